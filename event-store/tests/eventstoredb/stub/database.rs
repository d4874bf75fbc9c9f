//! What the nodes of the stub share: the streams, and the trouble that a test orders.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use super::messages::{
    AppendOptions, Appended, BatchAppendReq, BatchAppendResp, Empty, Id, Proposed, ReadEvent, ReadOptions,
    ReadResp, Recorded, StreamName, Told,
};

/// The server's limit until 25.0.
const APPEND_LIMIT_BYTES: usize = 1024 * 1024;

/// What happens to one append.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// Nothing; for the appends before the trouble.
    No,
    /// The node never answers, and has written nothing.
    IsNotHeard,
    /// The batch is written, and the reply never comes.
    ReplyIsLost,
    ConnectionIsCut,
    ConnectionIsCutAfterWriting,
    /// The node ends the session without an error.
    SessionEnds,
    SessionEndsAfterWriting,
    /// An error is told in the session, and nothing was written.
    Told(i32, &'static str),
    ToldAfterWriting(i32, &'static str),
    /// Another writer's event is written instead, and then the connection is cut.
    IsOvertaken,
    /// A reply without what every reply has: the client panics at it.
    AnswersNonsense,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscriptions {
    /// They are confirmed, and nothing follows.
    Mute,
    /// They are confirmed, and end without an error.
    EndWithOk,
}

pub enum Answer {
    Reply(BatchAppendResp),
    Silence,
    EndOfSession,
    Cut,
}

#[derive(Default)]
pub struct Database {
    state: Mutex<State>,
}

#[derive(Default)]
pub struct State {
    pub streams: BTreeMap<String, Vec<Proposed>>,
    /// Streams that were deleted for good.
    pub tombs: Vec<String>,
    /// Streams of which the first events are hidden.
    pub truncated: BTreeMap<String, usize>,
    pub troubles: VecDeque<Trouble>,
    /// So many reads are not answered.
    pub silent_reads: usize,
    /// So many reads are answered as a leader does that was deposed: without the last event.
    pub stale_reads: usize,
    pub subscriptions: Option<Subscriptions>,
    pub leader: u16,
    pub members: Vec<(u16, bool)>,
    /// The `authorization` that a call must have.
    pub authorization: Option<String>,
    pub appends: usize,
    pub reads: usize,
    pub subscribed: usize,
}

impl Database {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn append(&self, request: &BatchAppendReq) -> Answer {
        let mut state = self.state();
        state.appends += 1;
        let trouble = state.troubles.pop_front().unwrap_or(Trouble::No);
        let options = request.options.clone().unwrap();
        let reply = |outcome: Result<u64, Told>| BatchAppendResp {
            correlation: request.correlation,
            success: outcome.as_ref().ok().map(|last| Appended { revision: Some(*last) }),
            error: outcome.err(),
            stream: options.stream.clone(),
        };
        let told = |code, message: &str| Err(Told { code, message: message.into() });
        match trouble {
            Trouble::IsNotHeard => return Answer::Silence,
            Trouble::ConnectionIsCut => return Answer::Cut,
            Trouble::SessionEnds => return Answer::EndOfSession,
            Trouble::Told(code, message) => return Answer::Reply(reply(told(code, message))),
            Trouble::IsOvertaken => {
                let other = Proposed { id: Some(Id::default()), ..request.events[0].clone() };
                state.streams.entry(options.stream.unwrap().name).or_default().push(other);
                return Answer::Cut;
            }
            Trouble::AnswersNonsense => return Answer::Reply(BatchAppendResp::default()),
            _ => {}
        }
        let outcome = state.write(&options, &request.events);
        match trouble {
            Trouble::ReplyIsLost => Answer::Silence,
            Trouble::ConnectionIsCutAfterWriting => Answer::Cut,
            Trouble::SessionEndsAfterWriting => Answer::EndOfSession,
            Trouble::ToldAfterWriting(code, message) => Answer::Reply(reply(told(code, message))),
            _ => Answer::Reply(reply(outcome)),
        }
    }

    /// What a read answers; `None` for one that is not answered.
    pub fn read(&self, options: &ReadOptions) -> Option<Vec<ReadResp>> {
        let mut state = self.state();
        state.reads += 1;
        if state.silent_reads > 0 {
            state.silent_reads -= 1;
            return None;
        }
        let from = options.stream.clone().unwrap();
        let name = from.stream.clone().unwrap().name;
        let hidden = state.truncated.get(&name).copied().unwrap_or(0);
        let mut events: Vec<Recorded> = state.streams.get(&name).map_or_else(Vec::new, |stream| {
            (0..).zip(stream).map(|(revision, event)| recorded(&name, revision, event)).skip(hidden).collect()
        });
        if state.stale_reads > 0 {
            state.stale_reads -= 1;
            events.pop();
        }
        let Some(last) = events.last().map(|event| event.revision) else {
            return Some(vec![ReadResp { not_found: Some(Empty {}), ..Default::default() }]);
        };
        let count = usize::try_from(options.count.unwrap()).unwrap_or(usize::MAX);
        let found: Vec<Recorded> = match (options.direction, from.end, from.revision) {
            (1, Some(_), _) => events.into_iter().rev().take(count).collect(),
            (0, None, start) => {
                let start = start.unwrap_or(0);
                events.into_iter().filter(|event| event.revision >= start).take(count).collect()
            }
            other => panic!("the stub does not read so: {other:?}"),
        };
        let read = found.into_iter().map(|event| ReadResp {
            event: Some(ReadEvent { commit: Some(event.revision), event: Some(event) }),
            ..Default::default()
        });
        Some(read.chain([ReadResp { last: Some(last), ..Default::default() }]).collect())
    }
}

impl State {
    /// The server's rules: it compares ids, and only where the stream is longer than expected.
    fn write(&mut self, options: &AppendOptions, events: &[Proposed]) -> Result<u64, Told> {
        let told = |code, message: &str| Err(Told { code, message: message.into() });
        let name = options.stream.clone().unwrap().name;
        if self.tombs.contains(&name) {
            return told(5, "StreamDeleted");
        }
        if events.iter().map(bytes_on_disk).sum::<usize>() > APPEND_LIMIT_BYTES {
            return told(3, "MaximumAppendSizeExceeded");
        }
        // The server reads the largest numbers as words.
        let first = match (options.revision, options.no_stream) {
            (Some(revision), None) => i64::try_from(revision).expect("a number that is no word") as usize + 1,
            (None, Some(_)) => 0,
            other => panic!("the stub does not append so: {other:?}"),
        };
        let stream = self.streams.entry(name).or_default();
        let last = (first + events.len()) as u64 - 1;
        if first == stream.len() {
            stream.extend_from_slice(events);
            return Ok(last);
        }
        let there = stream.iter().skip(first).map(|event| event.id);
        let same = there.take(events.len()).eq(events.iter().map(|event| event.id));
        if same { Ok(last) } else { told(6, "WrongExpectedVersion") }
    }
}

/// The server counts the name of the type in UTF-16.
fn bytes_on_disk(event: &Proposed) -> usize {
    event.data.len() + event.custom_metadata.len() + 2 * event.metadata["type"].encode_utf16().count()
}

fn recorded(stream: &str, revision: u64, event: &Proposed) -> Recorded {
    let Proposed { id, metadata, custom_metadata, data } = event.clone();
    Recorded {
        id,
        stream: Some(StreamName { name: stream.into() }),
        revision,
        metadata,
        custom_metadata,
        data,
    }
}

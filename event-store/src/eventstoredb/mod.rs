//! A stream in EventStoreDB, which is now called KurrentDB.
//!
//! | what | how |
//! |---|---|
//! | an append | one message in a batch session, which the server answers when a majority of its nodes has it |
//! | a race | decided by the server: it compares the expected revision |
//! | an unknown outcome | the identical batch is sent again at the identical revision; the server compares event ids |
//! | a conflict | the session's error names no revisions, so the end of the stream is read |
//! | a broken connection | the client cannot mend every one, so a new client is made |
//! | following | whoever waits reads on from the last known revision, every few milliseconds |
//!
//! Nothing subscribes. A subscription of the client that the server ends regularly loops inside the client and
//! writes to the log without end, and no code outside can stop it; and one at a node that shuts down can stay
//! open and silent. A read that finds nothing costs the server next to nothing.
//!
//! The ids of events must be unique, as the port says: at the end of the stream the server does not compare them.

mod address;
mod fault;
mod link;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kurrentdb::{BatchAppendClient, EventData, StreamState};
use serde_json::value::RawValue;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use self::fault::Fault;
use self::link::{Link, Part};
use crate::{AppendError, Batch, EventRef, EventStore, ReadError, RecordedEvent};

pub use self::address::EventStoreDbAddress;

/// Revisions are signed in the server. It takes the largest unsigned numbers for words such as "no stream".
const LAST_REVISION: u64 = i64::MAX as u64;

/// The most events of one read.
const PAGE: usize = 1_000;

/// How often a read is tried, each time with another client.
const READS: usize = 3;

/// The pause between two tries of an append or a read.
const PAUSE: Duration = Duration::from_millis(50);

/// The pauses between two clients grow to this while the server is away, as the client logs each failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The pauses between two looks at the end grow from the first to the last while nothing comes.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LAST_LOOK: Duration = Duration::from_millis(25);

/// Settings that tests change.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long finding the leading node may take.
    pub connect: Duration,
    /// How long the server may take for an answer. It gives up a write of its own after about two seconds.
    pub answer: Duration,
    /// How long it may take for a page of events.
    pub page: Duration,
    /// How long an append is tried before its outcome is told as unknown.
    pub append: Duration,
    /// How often it is checked that the stream has not become shorter, while somebody waits.
    pub check_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(3),
            page: Duration::from_secs(10),
            append: Duration::from_secs(10),
            check_every: Duration::from_secs(1),
        }
    }
}

/// Why a stream in EventStoreDB was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0}: write kurrentdb://user:password@host:2113?tls=true&stream=name")]
    Address(String),
    #[error("the client for {place} cannot be made: {reason}; check the files of certificates that it names")]
    Client { place: String, reason: String },
    #[error("EventStoreDB cannot be read: {0}")]
    Read(#[from] ReadError),
    #[error("there is no journal at {place}: check the address, or start the server once to make it")]
    NoJournal { place: String },
}

/// A stream in EventStoreDB. Any number of processes append to it and read it.
pub struct EventStoreDb {
    address: EventStoreDbAddress,
    options: Options,
    clients: Mutex<Clients>,
    /// Appends go one by one: they would only race each other.
    session: Mutex<Option<Session>>,
    /// The furthest revision that was ever told.
    known: watch::Sender<Option<u64>>,
    /// Held by the one that looks for all who wait.
    looking: Mutex<()>,
}

#[derive(Default)]
struct Clients {
    link: Option<Arc<Link>>,
    /// One that has not connected yet.
    spare: Option<Link>,
    /// When the next one may be made.
    next: Option<Instant>,
    /// How many could not connect since one did.
    failed: u32,
}

struct Session {
    link: Arc<Link>,
    appends: Arc<BatchAppendClient>,
}

impl EventStoreDb {
    /// A stream of the server that a connection string names. The server need not be there yet, and a stream
    /// begins with its first event.
    ///
    /// # Errors
    /// Where the connection string is none, or names files that cannot be used.
    pub async fn connect(url: &str, stream: &str) -> Result<Self, OpenError> {
        let address: EventStoreDbAddress = url.parse().map_err(OpenError::Address)?;
        address::check_stream(stream).map_err(OpenError::Address)?;
        Self::open(&address.with_stream(stream)).await
    }

    /// As [`Self::connect`].
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn open(address: &EventStoreDbAddress) -> Result<Self, OpenError> {
        Self::open_with(address, Options::default()).await
    }

    /// As [`Self::open`], for a stream that is there.
    ///
    /// # Errors
    /// Where the server cannot be reached, or has no such stream.
    pub async fn open_to_read(address: &EventStoreDbAddress) -> Result<Self, OpenError> {
        let store = Self::open(address).await?;
        match store.head().await? {
            Some(_) => Ok(store),
            None => Err(OpenError::NoJournal { place: address.to_string() }),
        }
    }

    /// As [`Self::open`], with other settings than the default.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn open_with(address: &EventStoreDbAddress, options: Options) -> Result<Self, OpenError> {
        let unusable = |reason| OpenError::Client { place: address.to_string(), reason };
        // Made before it is used: what is wrong with its files is better told now than in every call.
        let spare = Some(Link::make(address).await.map_err(unusable)?);
        let (known, _) = watch::channel(None);
        Ok(Self {
            address: address.clone(),
            options,
            clients: Mutex::new(Clients { spare, ..Clients::default() }),
            session: Mutex::default(),
            known,
            looking: Mutex::default(),
        })
    }

    /// Deletes a stream, so that its name can be used again. The server frees its space at the next scavenge.
    ///
    /// # Errors
    /// Where the server does not do it.
    pub async fn remove(address: &EventStoreDbAddress) -> Result<(), String> {
        let store = Self::open(address).await.map_err(|fault| fault.to_string())?;
        let removed = async { store.link().await?.delete(store.options.page).await };
        removed.await.map_err(|fault: Fault| store.named(&fault.text()))
    }

    /// A connected client: the one that there is, or a new one.
    async fn link(&self) -> Result<Arc<Link>, Fault> {
        let connect = self.options.connect;
        let connecting = async {
            let mut clients = self.clients.lock().await;
            if let Some(link) = &clients.link {
                return Ok(Arc::clone(link));
            }
            // A server that is away is not called more often than this, however many wait for it.
            if let Some(next) = clients.next {
                sleep_until(next).await;
            }
            let pause = (PAUSE * 2_u32.pow(clients.failed.min(8))).min(LONGEST_PAUSE);
            clients.next = Some(Instant::now() + pause);
            let link = match clients.spare.take() {
                Some(link) => link,
                None => Link::make(&self.address).await.map_err(Fault::Failed)?,
            };
            match self.meet(&link).await {
                Ok(version) => {
                    info!(store = %self.address, version, "connected to EventStoreDB");
                    clients.failed = 0;
                    let link = Arc::new(link);
                    clients.link = Some(Arc::clone(&link));
                    Ok(link)
                }
                Err(fault) => {
                    clients.failed = clients.failed.saturating_add(1);
                    if clients.failed == 1 {
                        warn!(store = %self.address, fault = fault.text(), "EventStoreDB cannot be reached; trying on");
                    }
                    Err(fault)
                }
            }
        };
        let silent = |_| Fault::Failed(format!("no connection within {connect:?}"));
        timeout(connect, connecting).await.map_err(silent)?
    }

    /// Connects, and reads the end of the stream: a session that is denied would not say why. Answers the
    /// server's version.
    async fn meet(&self, link: &Link) -> Result<String, Fault> {
        let version = link.meet(self.options.connect).await?;
        match link.read(Part::Last, self.options.answer).await {
            Err(fault) if !fault.spares_the_client() => Err(fault),
            _ => Ok(version),
        }
    }

    /// Drops a client that is good no longer.
    async fn leave(&self, link: &Arc<Link>) {
        let mut clients = self.clients.lock().await;
        clients.link.take_if(|current| Arc::ptr_eq(current, link));
    }

    async fn read_once(&self, part: Part, within: Duration) -> Result<Vec<RecordedEvent>, Fault> {
        let link = self.link().await?;
        let read = link.read(part, within).await;
        if read.as_ref().is_err_and(|fault| !fault.spares_the_client()) {
            self.leave(&link).await;
        }
        read
    }

    async fn read_part(&self, part: Part, within: Duration) -> Result<Vec<RecordedEvent>, ReadError> {
        let mut left = READS;
        loop {
            left -= 1;
            match self.read_once(part, within).await {
                Ok(events) => return Ok(events),
                Err(Fault::Deleted) => {
                    return Err(ReadError::TailBehind(self.named("the stream was deleted")));
                }
                Err(fault) if left == 0 => return Err(ReadError::Unavailable(self.named(&fault.text()))),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// Where the stream ends, as one node tells it.
    async fn end(&self) -> Result<Option<u64>, ReadError> {
        let last = self.read_part(Part::Last, self.options.answer).await?;
        Ok(last.first().map(|event| event.revision))
    }

    /// Remembers that the stream reaches so far.
    fn saw(&self, revision: Option<u64>) {
        self.known.send_if_modified(|known| {
            let further = revision > *known;
            if further {
                *known = revision;
            }
            further
        });
    }

    fn named(&self, what: &str) -> String {
        format!("{}: {what}", self.address)
    }

    /// Sends the batch once.
    async fn append_once(
        &self,
        session: &mut Option<Session>,
        expected: StreamState,
        events: &[EventData],
    ) -> Result<Option<u64>, Fault> {
        let link = self.link().await?;
        session.take_if(|session| !Arc::ptr_eq(&session.link, &link));
        let appends = match session {
            Some(session) => Arc::clone(&session.appends),
            None => {
                let opened = link.session(self.options.answer).await;
                let appends = self.sparing(&link, opened).await?;
                *session = Some(Session { link: Arc::clone(&link), appends: Arc::clone(&appends) });
                appends
            }
        };
        let appended = link.append(appends, expected, events.to_vec(), self.options.answer).await;
        if appended.is_err() {
            // The client has closed it, or its answer may come too late for the next append.
            *session = None;
        }
        self.sparing(&link, appended).await
    }

    async fn sparing<T>(&self, link: &Arc<Link>, outcome: Result<T, Fault>) -> Result<T, Fault> {
        if outcome.as_ref().is_err_and(|fault| !fault.spares_the_client()) {
            self.leave(link).await;
        }
        outcome
    }

    /// Looks whether the stream goes on, for all who wait. Ends when that is not known any more.
    async fn look_out(&self) -> ReadError {
        let _turn = self.looking.lock().await;
        let mut pause = FIRST_LOOK;
        let mut check_at = Instant::now() + self.options.check_every;
        loop {
            // Whoever waits has just read to the end, so that the pause comes first.
            sleep(pause).await;
            if let Err(fault) = self.look(&mut check_at).await {
                return fault;
            }
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    /// Reads on from the known end, which is next to nothing while nothing comes. Asks for the end where it is
    /// not known, when something has come, and now and then.
    async fn look(&self, check_at: &mut Instant) -> Result<(), ReadError> {
        let known = *self.known.borrow();
        if let Some(known) = known
            && Instant::now() < *check_at
        {
            let found = self.read_part(Part::From(known + 1, 1), self.options.answer).await?;
            let Some(event) = found.first() else { return Ok(()) };
            // Who waits for no more than this is woken already.
            self.saw(Some(event.revision));
        }
        *check_at = Instant::now() + self.options.check_every;
        self.head().await.map(|_| ())
    }
}

#[async_trait]
impl EventStore for EventStoreDb {
    fn is_looked_into(&self) -> bool {
        true
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn append_batch(&self, expected: Option<u64>, batch: &Arc<Batch>) -> Result<u64, AppendError> {
        batch.check()?;
        if batch.events().any(|event| event.id.is_nil() || event.kind.is_empty()) {
            return Err(AppendError::Refused("EventStoreDB takes no event without an id and a kind".into()));
        }
        let behind = |tail| AppendError::TailBehind { expected: expected.unwrap_or(0), tail };
        let unknown = |why: &str| AppendError::OutcomeUnknown(self.named(why));
        let state = match expected {
            None => StreamState::NoStream,
            Some(revision) if revision < LAST_REVISION => StreamState::StreamRevision(revision),
            Some(_) => {
                let tail = self.end().await.map_err(|fault| unknown(&fault.to_string()))?;
                return Err(behind(tail));
            }
        };
        let last = expected.map_or(0, |revision| revision + 1) + batch.len() as u64 - 1;
        let batch: Vec<EventData> = batch.events().map(proposed).collect();
        let deadline = Instant::now() + self.options.append;
        let session = tokio::time::timeout_at(deadline, self.session.lock()).await;
        let mut session = session.map_err(|_| unknown("other appends take too long"))?;
        let mut was_behind = false;
        loop {
            // Each try sends the identical batch at the identical revision: it is written once at most.
            let why = match self.append_once(&mut session, state, &batch).await {
                Ok(Some(revision)) if revision == last => {
                    self.saw(Some(last));
                    return Ok(last);
                }
                Ok(other) => format!("it was told to end at {other:?}, not {last}"),
                Err(Fault::Refused(why)) => return Err(AppendError::Refused(why)),
                Err(Fault::Deleted) if expected.is_some() => return Err(behind(None)),
                Err(Fault::Conflict) => match self.end().await {
                    Ok(current) if current > expected => {
                        self.saw(current);
                        return Err(AppendError::WrongExpectedRevision { expected, current });
                    }
                    Ok(tail) if tail < expected && was_behind => return Err(behind(tail)),
                    // A leader that was deposed and does not know it yet says so too: another client asks again.
                    Ok(tail) => {
                        was_behind = tail < expected;
                        if was_behind {
                            self.clients.lock().await.link = None;
                        }
                        format!("the stream ends at {tail:?}")
                    }
                    Err(fault) => fault.to_string(),
                },
                Err(fault) => fault.text(),
            };
            if Instant::now() >= deadline {
                return Err(unknown(&why));
            }
            sleep(PAUSE).await;
        }
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        let mut events: Vec<RecordedEvent> = Vec::new();
        while events.len() < max {
            let next = from.saturating_add(events.len() as u64);
            if next > LAST_REVISION {
                break;
            }
            let count = PAGE.min(max - events.len());
            let page = self.read_part(Part::From(next, count), self.options.page).await?;
            let (found, whole) =
                (page.len(), (next..).zip(&page).all(|(next, event)| event.revision == next));
            if !whole {
                let missing =
                    format!("events are missing from revision {next} on: was the stream truncated?");
                return Err(ReadError::Damaged(self.named(&missing)));
            }
            events.extend(page);
            if found < count {
                break;
            }
        }
        self.saw(events.last().map(|event| event.revision));
        Ok(events)
    }

    async fn head(&self) -> Result<Option<u64>, ReadError> {
        let mut left = READS;
        loop {
            left -= 1;
            // Read before it is asked: what is told meanwhile must not count against the answer.
            let known = *self.known.borrow();
            let end = self.end().await?;
            if end >= known {
                self.saw(end);
                return Ok(end);
            }
            if left == 0 {
                let ends = end.map_or("is empty".into(), |end| format!("ends at revision {end}"));
                let known = known.unwrap_or(0);
                let lost = format!("the stream {ends}, and revision {known} was there before");
                return Err(ReadError::TailBehind(self.named(&lost)));
            }
            // A leader that was deposed and does not know it yet answers so too.
            self.clients.lock().await.link = None;
            sleep(PAUSE).await;
        }
    }

    async fn wait_beyond(&self, seen: Option<u64>) -> Result<u64, ReadError> {
        tokio::select! {
            biased;
            head = crate::follow::wait_for_head(self.known.subscribe(), seen) => head,
            fault = self.look_out() => Err(fault),
        }
    }
}

/// The event as the server is given it. Of JSON it says so, and its pages and projections can read it.
fn proposed(event: EventRef<'_>) -> EventData {
    let json: Option<&RawValue> = serde_json::from_slice(event.data).ok();
    // It is written as it stands.
    let json = json.and_then(|json| EventData::json(event.kind, &json).ok());
    json.unwrap_or_else(|| EventData::binary(event.kind, event.data.to_vec().into()))
        .id(event.id)
        .metadata(event.metadata.to_vec().into())
}

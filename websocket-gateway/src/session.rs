//! One socket's life: it proves who it is, is served, and is closed with a code that says why.
//!
//! Reading, writing and doing are apart. The reader never waits for a command or for the client's reading; the writer
//! alone waits for the client, and not for long.
//!
//! Most sockets are idle, so what an idle one keeps is kept small: the futures of what happens once are boxed and gone
//! by then, and queues, buffers and the task that does what is asked take memory while they are used.

use crate::line::{Closer, Frames, Line};
use crate::pace::{Pace, Pacer};
use crate::places::Place;
use crate::presence::Change;
use crate::protocol::{Close, Id, Request, Unreadable, done, parse, refused};
use crate::registry::Seat;
use crate::requests::{Job, Requests, closes_at};
use crate::{READ_BUFFER_BYTES, Shared};
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use chrono::{DateTime, Utc};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use platform::attendance::Attending;
use platform::clock;
use platform::identity::{AuthError, Caller, Role};
use platform::problem::Problem;
use platform::socket_leases::SignedIn;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_tungstenite::tungstenite;

/// Frames that are written in one go, within one time of patience.
const FRAMES_AT_ONCE: usize = 32;

type Sink = SplitSink<Box<WebSocket>, Message>;
type Stream = SplitStream<Box<WebSocket>>;

/// Serves a socket from its first frame to its last.
pub(crate) async fn serve(shared: Arc<Shared>, mut socket: Box<WebSocket>, place: Place) {
    let open = OpenGauge::new();
    match Box::pin(admitted(&shared, &mut socket)).await {
        Ok((id, caller)) => {
            let (sink, stream) = socket.split();
            let live = Box::pin(Live::begin(shared, sink, id, caller, place)).await;
            live.run(stream).await;
        }
        Err(close) => Box::pin(turn_away(&shared, socket, close)).await,
    }
    drop(open);
}

/// Who the socket says it is, or why it is closed: `None` when the client went away.
async fn admitted(shared: &Shared, socket: &mut WebSocket) -> Result<(Id, Caller), Option<Close>> {
    let mut stopping = shared.stopping.subscribe();
    tokio::select! {
        admitted = timeout(shared.config.auth_timeout, admit(shared, socket)) => {
            admitted.unwrap_or(Err(Some(Close::AUTH_TIMEOUT)))
        }
        _ = stopping.wait_for(|stopping| *stopping) => Err(Some(Close::SHUTTING_DOWN)),
    }
}

async fn turn_away(shared: &Shared, socket: Box<WebSocket>, close: Option<Close>) {
    let wait = shared.config.close_wait;
    let (mut sink, stream) = socket.split();
    if let Some(close) = close {
        // A client that does not take its close frame is left alone.
        let _ = timeout(wait, send_close(&mut sink, close)).await;
    }
    // Where the client has sent a close frame, reading on answers it.
    let _ = timeout(wait, drain(stream)).await;
}

/// Waits for the frame that says who it is. `None` when the client went away.
async fn admit(shared: &Shared, socket: &mut WebSocket) -> Result<(Id, Caller), Option<Close>> {
    let text = loop {
        match socket.recv().await {
            Some(Ok(Message::Text(text))) => break text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Binary(_))) => return Err(Some(Close::NOT_AUTHENTICATED)),
            Some(Ok(Message::Close(_))) | None => return Err(None),
            Some(Err(fault)) => return Err(close_for(fault)),
        }
    };
    if text.len() > shared.config.max_frame_bytes {
        return Err(Some(Close::FRAME_TOO_LARGE));
    }
    let (id, problem, close) = match parse(text.as_str()) {
        Ok((id, Request::Auth(auth))) => {
            match shared.app.sessions.authenticate(&auth.token, clock::now()).await {
                Ok(caller) => return Ok((id, caller)),
                Err(error) => (Some(id), Problem::from(&error), close_for_auth(&error)),
            }
        }
        Ok((id, _)) => {
            let problem = Problem::new(401, "authenticate_first", "the first frame must be auth");
            (Some(id), problem, Close::NOT_AUTHENTICATED)
        }
        Err(Unreadable { id, problem }) => (id, *problem, Close::NOT_AUTHENTICATED),
    };
    let _ = socket.send(Message::Text(refused(id.as_ref(), &problem))).await;
    Err(Some(close))
}

/// A socket that is signed in.
struct Live {
    reader: Reader,
    seat: Seat,
    writer: JoinHandle<()>,
}

impl Live {
    async fn begin(shared: Arc<Shared>, sink: Sink, id: Id, caller: Caller, mut place: Place) -> Box<Live> {
        let person = caller.person;
        let signed_in = SignedIn { person, at: clock::now() };
        let (line, frames) = Line::new(shared.config.queue);
        // From here on nothing is missed: what is pushed meanwhile waits behind the reply.
        let caller_in = watch::Sender::new(caller.clone());
        let proved = caller_in.subscribe();
        let seat = shared.registry.open(caller_in.clone(), line.clone());
        let attending = shared.app.attendance.attend(person, &caller.roles);
        let was = place.signed_in(signed_in, line.closer.clone());
        tokio::join!(
            shared.touch(person, caller.has(Role::Host)),
            shared.leases.sign_in(&was, signed_in, signed_in.at),
        );
        let reply = match shared.welcome(&caller, clock::now()).await {
            Ok(welcome) => done(&id, &welcome),
            Err(problem) => {
                line.closer.close(Close::UNAVAILABLE);
                refused(Some(&id), &problem)
            }
        };
        let writer = tokio::spawn(write(shared.clone(), sink, reply, frames, line.closer.clone()));
        let requests = Requests::new(shared.clone(), line.clone(), caller_in, place);
        Box::new(Live { reader: Reader::new(shared, attending, line, requests, proved), seat, writer })
    }

    /// Serves a person until either side goes.
    async fn run(mut self: Box<Self>, mut stream: Stream) {
        let close = self.reader.run(&mut stream).await;
        Box::pin(self.end(stream, close)).await;
    }

    async fn end(self: Box<Self>, stream: Stream, close: Option<Close>) {
        let Live { reader: Reader { shared, attending, line, requests: _requests, .. }, seat, writer } =
            *self;
        // The call is paused at once, however long the client takes to hear of it.
        drop(seat);
        drop(attending);
        if let Some(close) = close {
            line.closer.close(close);
            let _ = timeout(shared.config.close_wait, drain(stream)).await;
            // Ends by itself, soon: each of its steps is bounded.
            let _ = writer.await;
        } else {
            writer.abort();
            let _ = writer.await;
            // Where the client has sent a close frame, reading on answers it.
            let _ = timeout(shared.config.close_wait, drain(stream)).await;
        }
    }
}

/// The reading side.
struct Reader {
    shared: Arc<Shared>,
    attending: Attending,
    line: Line,
    requests: Arc<Requests>,
    caller: watch::Receiver<Caller>,
    pacer: Pacer,
    malformed: u32,
    heard_at: Instant,
    touched_at: Instant,
    expires_at: DateTime<Utc>,
    /// When the token's end has to be looked at next, and whether it is over.
    token_at: Instant,
    expired: bool,
}

impl Reader {
    fn new(
        shared: Arc<Shared>,
        attending: Attending,
        line: Line,
        requests: Arc<Requests>,
        caller: watch::Receiver<Caller>,
    ) -> Reader {
        let now = Instant::now();
        let expires_at = caller.borrow().expires_at;
        let pacer = Pacer::new(shared.config.requests_per_second);
        Reader {
            shared,
            attending,
            line,
            requests,
            caller,
            pacer,
            malformed: 0,
            heard_at: now,
            touched_at: now,
            expires_at,
            token_at: now + until(expires_at),
            expired: false,
        }
    }

    /// Reads until the socket has to be closed, or (`None`) the client has gone.
    async fn run(&mut self, stream: &mut Stream) -> Option<Close> {
        let mut stopping = self.shared.stopping.subscribe();
        // The last message is held until the next one has been read. So the library, when its buffer is full, takes a new one
        // of the first size; if nobody held what came out of it, it would go on with the old one, however long that is.
        let mut last: Option<Message> = None;
        loop {
            let silent_at = self.heard_at + 2 * self.shared.config.ping_interval;
            let step = tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => Err(Some(Close::SHUTTING_DOWN)),
                close = self.line.closer.decided() => Err(Some(close).filter(|it| *it != Close::GONE)),
                Ok(()) = self.caller.changed() => self.caller_has_changed(),
                // Before the frames, so that no flood of them puts it off.
                () = sleep_until(self.token_at) => self.token_is_over(),
                message = stream.next() => {
                    if let Some(Ok(message)) = &message {
                        drop(last.replace(message.clone()));
                    }
                    self.hear(message)
                }
                () = sleep_until(silent_at) => Err(Some(Close::SILENT)),
            };
            if let Err(close) = step {
                return close;
            }
        }
    }

    fn hear(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), Option<Close>> {
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(fault)) => return Err(close_for(fault)),
            None => return Err(None),
        };
        self.sign_of_life();
        let pace = self.pacer.request();
        if pace == Pace::Enough {
            return Err(Some(Close::RATE_LIMITED));
        }
        match message {
            Message::Text(text) => self.read(&text, pace),
            Message::Binary(_) => {
                let problem = Problem::new(400, "binary_frame", "requests are JSON in text frames");
                self.refuse(Unreadable { id: None, problem: Box::new(problem) })
            }
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => Err(None),
        }
    }

    fn sign_of_life(&mut self) {
        self.heard_at = Instant::now();
        self.attending.seen();
        if self.heard_at.duration_since(self.touched_at) >= self.shared.config.touch_interval {
            self.touched_at = self.heard_at;
            let caller = self.caller.borrow();
            let (person, is_host) = (caller.person, caller.has(Role::Host));
            self.shared.registry.tell(Change::Seen { person, is_host });
        }
    }

    fn read(&mut self, text: &Utf8Bytes, pace: Pace) -> Result<(), Option<Close>> {
        if text.len() > READ_BUFFER_BYTES {
            self.line.give_back_the_buffer();
        }
        if text.len() > self.shared.config.max_frame_bytes {
            count_refused("too_large");
            return Err(Some(Close::FRAME_TOO_LARGE));
        }
        let (id, request) = match parse(text.as_str()) {
            Ok(request) => request,
            Err(unreadable) => return self.refuse(unreadable),
        };
        let refused_for = match pace {
            Pace::TooFast | Pace::Enough => Some("too_fast"),
            Pace::Fine => {
                (!self.requests.take(Job::Request(id.clone(), request))).then_some("too_many_waiting")
            }
        };
        if let Some(reason) = refused_for {
            count_refused(reason);
            let detail = "too many requests at once; slow down, or the socket is closed";
            let problem = Problem::new(429, "rate_limited", detail).retry_after(1);
            self.line.send(refused(Some(&id), &problem));
        }
        Ok(())
    }

    fn refuse(&mut self, unreadable: Unreadable) -> Result<(), Option<Close>> {
        count_refused("unreadable");
        self.malformed += 1;
        if self.malformed > self.shared.config.max_malformed {
            return Err(Some(Close::MALFORMED));
        }
        self.line.send(refused(unreadable.id.as_ref(), &unreadable.problem));
        Ok(())
    }

    /// First the client is told and has a while to bring a fresh token, then it is closed.
    fn token_is_over(&mut self) -> Result<(), Option<Close>> {
        if self.expired {
            return Err(Some(Close::TOKEN_EXPIRED));
        }
        self.expired = true;
        self.token_at = Instant::now() + until(closes_at(&self.caller.borrow(), &self.shared.config));
        // When as many requests are unanswered as may be, the message is left out: each of them is then refused with
        // `token_expired`, which tells the client the same.
        let _ = self.requests.take(Job::Expired);
        Ok(())
    }

    /// A fresh token came, or other roles.
    fn caller_has_changed(&mut self) -> Result<(), Option<Close>> {
        let expires_at = {
            let caller = self.caller.borrow_and_update();
            self.attending.set_roles(&caller.roles);
            caller.expires_at
        };
        if expires_at != self.expires_at {
            self.expires_at = expires_at;
            self.expired = false;
            self.token_at = Instant::now() + until(expires_at);
        }
        Ok(())
    }
}

/// The writing side: the reply to `auth` first, then what is queued, and a ping now and then. Waits for
/// the client within bounds only.
async fn write(shared: Arc<Shared>, mut sink: Sink, first: Utf8Bytes, mut frames: Frames, closer: Closer) {
    let config = &shared.config;
    let every = config.ping_interval;
    let mut ping = interval_at(Instant::now() + every, every);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next = Some(Message::Text(first));
    let close = loop {
        let message = match next.take() {
            Some(message) => message,
            None => tokio::select! {
                biased;
                close = closer.decided() => break close,
                frame = frames.next() => Message::Text(frame),
                _ = ping.tick() => Message::Ping(frames.ping()),
            },
        };
        let sent = tokio::select! {
            biased;
            sent = timeout(config.write_timeout, send(&mut sink, message, &mut frames)) => sent,
            close = closer.decided() => break close,
        };
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return closer.close(Close::GONE),
            Err(_) => closer.close(Close::SLOW_READER),
        }
    };
    let farewell = async {
        while close != Close::SLOW_READER
            && let Some(frame) = frames.try_next()
        {
            sink.feed(Message::Text(frame)).await?;
        }
        // What is half written goes first; a client that reads again hears why.
        send_close(&mut sink, close).await
    };
    let _ = timeout(config.close_wait, Box::pin(farewell)).await;
}

/// Writes a message and, with it, what waits behind it by now.
async fn send(sink: &mut Sink, message: Message, frames: &mut Frames) -> Result<(), axum::Error> {
    sink.feed(message).await?;
    for _ in 0..FRAMES_AT_ONCE {
        let Some(frame) = frames.try_next() else { break };
        sink.feed(Message::Text(frame)).await?;
    }
    sink.flush().await
}

async fn send_close(sink: &mut Sink, close: Close) -> Result<(), axum::Error> {
    metrics::counter!("muneem_websocket_closed_total", "code" => close.code.to_string()).increment(1);
    let frame = CloseFrame { code: close.code, reason: close.reason.into() };
    sink.send(Message::Close(Some(frame))).await
}

/// Reads and drops what still comes: closing with unread bytes would reset the connection, and the close
/// frame could be lost.
async fn drain(mut stream: Stream) {
    while let Some(Ok(_)) = stream.next().await {}
}

/// How to answer a fault of reading; `None` when the client has gone.
fn close_for(fault: axum::Error) -> Option<Close> {
    match fault.into_inner().downcast_ref::<tungstenite::Error>()? {
        tungstenite::Error::Capacity(_) => Some(Close::FRAME_TOO_LARGE),
        tungstenite::Error::Utf8(_) => Some(Close::NOT_UTF8),
        tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => None,
        tungstenite::Error::Protocol(_) => Some(Close::PROTOCOL),
        _ => None,
    }
}

fn close_for_auth(error: &AuthError) -> Close {
    match error {
        AuthError::TokenMissing => Close::TOKEN_MISSING,
        AuthError::TokenInvalid => Close::TOKEN_INVALID,
        AuthError::TokenExpired => Close::TOKEN_EXPIRED,
        AuthError::SessionEnded | AuthError::Restricted(_) => Close::SESSION_ENDED,
        // Signing in needs no role.
        AuthError::ForbiddenRole(_) | AuthError::RateLimited { .. } | AuthError::Database(_) => {
            Close::UNAVAILABLE
        }
    }
}

/// Counts a frame that was read and not done. The reasons are a closed set.
fn count_refused(reason: &'static str) {
    metrics::counter!("muneem_websocket_frames_refused_total", "reason" => reason).increment(1);
}

fn until(moment: DateTime<Utc>) -> std::time::Duration {
    (moment - clock::now()).to_std().unwrap_or_default()
}

/// Counts the socket as open while it is held.
struct OpenGauge;

impl OpenGauge {
    fn new() -> OpenGauge {
        metrics::gauge!("muneem_websocket_sockets").increment(1.0);
        OpenGauge
    }
}

impl Drop for OpenGauge {
    fn drop(&mut self) {
        metrics::gauge!("muneem_websocket_sockets").decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a task takes for the future that `make` makes.
    fn size_of_future<A, F: Future>(_make: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_tasks_of_an_idle_socket_are_small() {
        let reading = size_of_future(|(shared, socket, place)| serve(shared, socket, place));
        let writing = size_of_future(|(shared, sink, first, frames, closer)| {
            write(shared, sink, first, frames, closer)
        });
        assert!(reading <= 1_152 && writing <= 768, "reading {reading}, writing {writing} bytes");
    }
}

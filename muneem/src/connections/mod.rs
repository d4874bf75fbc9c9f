//! The listener: takes connections, bounds how many there are and how long they may say nothing, and serves
//! HTTP/1.1 on them.
//!
//! A connection keeps its place for as long as its socket is open, so WebSockets count too. Too many from one
//! address, or too many in all, are closed at once. When the process runs out of file descriptors all the same,
//! the listener waits a moment instead of spinning; the connections and files that are open are not touched.

#[cfg(test)]
mod tests;

use anyhow::bail;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use backon::{BackoffBuilder, ExponentialBuilder};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use platform::client_address::TrustedProxies;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::{debug, error, info};

/// Descriptors that connections may not take: the journal's files, the log, Redis, calls to other servers.
const RESERVED_DESCRIPTORS: u64 = 128;
/// Fewer connections than this are not worth a server.
const LEAST_CONNECTIONS: u64 = 32;
/// The longest head of a request, in bytes.
const HEAD_BYTES: usize = 32 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How many connections there may be, and how patient the server is with each.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub connections: usize,
    pub per_address: usize,
    /// Proxies have no bound of their own: all clients behind one come from its address.
    pub trusted_proxies: TrustedProxies,
    /// How long a connection may take to send the head of a request, or be open without sending one.
    pub header_timeout: Duration,
    /// After this long without a byte in either direction a connection is closed.
    pub idle_timeout: Duration,
}

/// How many connections the process has file descriptors for, at most `wanted`. Raises the soft limit of open
/// files to the hard one first.
///
/// # Errors
/// When there are too few descriptors to serve anybody.
pub fn affordable(wanted: u32, database_connections: u32) -> anyhow::Result<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where raising is forbidden, the soft limit stands.
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).ok();
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let reserved = RESERVED_DESCRIPTORS + u64::from(database_connections);
    let room = limit.saturating_sub(reserved);
    if room < LEAST_CONNECTIONS {
        bail!(
            "the process may open {limit} files, and {reserved} of them are kept for the journal and the database; \
             allow more, for example: ulimit -n 65536"
        );
    }
    if room < u64::from(wanted) {
        info!(
            connections = room,
            wanted,
            open_files = limit,
            "the limit of open files bounds the connections"
        );
    }
    Ok(usize::try_from(room.min(u64::from(wanted))).unwrap_or(usize::MAX))
}

/// Serves until `stop` is cancelled, then lets requests that are under way end. Dropping the future closes every
/// connection that is no WebSocket at once.
pub async fn serve(listener: TcpListener, router: Router, bounds: Bounds, stop: CancellationToken) {
    let places = Places::new(&bounds);
    let under_way = TaskTracker::new();
    let cut = CancellationToken::new();
    let _cut_when_dropped = cut.clone().drop_guard();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.header_timeout).max_buf_size(HEAD_BYTES);
    let mut pauses = None;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(fault) if concerns_one_connection(&fault) => continue,
            Err(fault) => {
                // Out of descriptors or memory: trying again at once would fail at once.
                let pause = pauses.get_or_insert_with(|| {
                    error!(alert = "connections_not_accepted", %fault, "no connection can be accepted at present");
                    growing()
                });
                tokio::time::sleep(pause.next().unwrap_or(LONGEST_PAUSE)).await;
                continue;
            }
        };
        pauses = None;
        let Some(place) = places.take(peer.ip()) else { continue };
        // Answers are written whole; waiting to fill a packet would only delay them.
        stream.set_nodelay(true).ok();
        let connection = Connection::new(stream, bounds.idle_timeout, place);
        let router = router.clone();
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().oneshot(request.map(Body::new))
        });
        let served = http.serve_connection(TokioIo::new(connection), service).with_upgrades();
        let (stop, cut) = (stop.clone(), cut.clone());
        under_way.spawn(async move {
            let mut served = pin!(served);
            let outcome = tokio::select! {
                outcome = served.as_mut() => outcome,
                () = cut.cancelled() => return,
                () = stop.cancelled() => {
                    served.as_mut().graceful_shutdown();
                    tokio::select! {
                        outcome = served => outcome,
                        () = cut.cancelled() => return,
                    }
                }
            };
            if let Err(fault) = outcome {
                debug!(%fault, %peer, "a connection broke off");
            }
        });
    }
    drop(listener);
    under_way.close();
    under_way.wait().await;
}

/// The client gave up before it was accepted.
fn concerns_one_connection(fault: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(fault.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn growing() -> impl Iterator<Item = Duration> {
    let growing = ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times();
    growing.build()
}

/// Who holds how many connections.
#[derive(Clone)]
struct Places {
    held: Arc<Mutex<Held>>,
    connections: usize,
    per_address: usize,
    trusted_proxies: TrustedProxies,
}

#[derive(Default)]
struct Held {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Places {
    fn new(bounds: &Bounds) -> Places {
        metrics::gauge!("muneem_connections_max").set(bounds.connections as f64);
        Places {
            held: Arc::default(),
            connections: bounds.connections,
            per_address: bounds.per_address,
            trusted_proxies: bounds.trusted_proxies.clone(),
        }
    }

    /// A place for a connection from this address, if there is one.
    fn take(&self, address: IpAddr) -> Option<Place> {
        let is_proxy = self.trusted_proxies.trusts(address);
        let address = customer(address);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let here = held.by_address.get(&address).copied().unwrap_or_default();
        let refused = match () {
            () if here >= self.per_address && !is_proxy => "address",
            () if held.all >= self.connections => "total",
            () => {
                held.all += 1;
                held.by_address.insert(address, here + 1);
                metrics::gauge!("muneem_connections").set(held.all as f64);
                return Some(Place { held: self.held.clone(), address });
            }
        };
        metrics::counter!("muneem_connections_refused_total", "limit" => refused).increment(1);
        None
    }
}

/// One customer of IPv6 has at least a /64 to choose addresses from: they count as one.
fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// Held by a connection for as long as its socket is open.
struct Place {
    held: Arc<Mutex<Held>>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all -= 1;
        metrics::gauge!("muneem_connections").set(held.all as f64);
        if let Some(count) = held.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                held.by_address.remove(&self.address);
            }
        }
    }
}

/// A socket that is closed when nothing moves on it for too long.
struct Connection {
    stream: TcpStream,
    idle_timeout: Duration,
    last_moved: Instant,
    alarm: Pin<Box<Sleep>>,
    _place: Place,
}

impl Connection {
    fn new(stream: TcpStream, idle_timeout: Duration, place: Place) -> Connection {
        let now = Instant::now();
        let alarm = Box::pin(sleep_until(now + idle_timeout));
        Connection { stream, idle_timeout, last_moved: now, alarm, _place: place }
    }

    /// Passes on what moved; while nothing does, watches the time.
    fn watched<T>(&mut self, moved: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.last_moved = Instant::now();
            return moved;
        }
        while self.alarm.as_mut().poll(context).is_ready() {
            let until = self.last_moved + self.idle_timeout;
            if Instant::now() >= until {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.alarm.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let it = self.get_mut();
        let moved = Pin::new(&mut it.stream).poll_read(context, into);
        it.watched(moved, context)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let it = self.get_mut();
        let moved = Pin::new(&mut it.stream).poll_write(context, from);
        it.watched(moved, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let it = self.get_mut();
        let moved = Pin::new(&mut it.stream).poll_write_vectored(context, from);
        it.watched(moved, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

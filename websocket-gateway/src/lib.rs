//! The WebSocket gateway: `/v1/ws`.
//!
//! A client authenticates with its first frame, asks for things and is told of things. The protocol is
//! described in `schemas/asyncapi.json`, made from the types of [`protocol`] and [`push`].
//!
//! The gateway holds no truth. Everything that it tells can be asked for over HTTP, so a socket that is
//! closed costs its owner a moment and nothing else.

mod access;
mod asyncapi;
mod budget;
mod examples;
mod fanout;
mod leases;
mod line;
mod news;
mod pace;
mod places;
mod presence;
pub mod protocol;
pub mod push;
mod registry;
mod requests;
mod session;

pub use asyncapi::asyncapi;

use crate::access::AccessWatch;
use crate::fanout::{JournalNews, pass_on};
use crate::leases::LeaseKeeper;
use crate::news::{Names, Offset};
use crate::places::{Bounds, Gone, NoRoom, Places};
use crate::presence::Keeper;
use crate::protocol::Welcome;
use crate::registry::Registry;
use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, State, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};
use ledger_core::PersonId;
use ledger_runtime::{Facts, Follower};
use platform::app::App;
use platform::client_address::{FORWARDED_FOR, TrustedProxies};
use platform::clock;
use platform::identity::{AccessChange, Caller};
use platform::problem::Problem;
use platform::socket_leases::{LEASE, SocketBounds, SocketLeases};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, broadcast, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};

/// Changes of presence that may wait to be written to Redis.
const PRESENCE_CHANGES: usize = 65_536;
/// Closed sockets that may wait to be taken off the count of all nodes. Beyond them their leases lapse.
const CLOSED_SOCKETS: usize = 65_536;
/// How often the settings are read again.
const SETTINGS_AGAIN: Duration = Duration::from_secs(5);
/// How long a heartbeat may hold up a new socket.
const TOUCH_TIMEOUT: Duration = Duration::from_secs(2);
/// Open rings that a new socket is told of: a host can be rung by many users at once.
const RINGS: i64 = 50;
/// What a socket reads into, for as long as it is open; a longer frame takes a buffer of its own. The library's default
/// is 128 KiB, for ten thousand idle sockets more than a gigabyte.
pub const READ_BUFFER_BYTES: usize = 1024;
/// So much is gathered before it is written. The buffer grows up to this, and by a longer frame, when it is used.
const WRITE_BUFFER_BYTES: usize = 2 * 1024;
/// What may wait to be written into one socket. Frames are bounded by their number too.
const MAX_UNWRITTEN_BYTES: usize = 512 * 1024;
/// After how many seconds a refused socket may be tried again.
const RETRY_SECONDS: u32 = 5;

/// Bounds of the gateway.
#[derive(Clone, Debug)]
pub struct Config {
    /// Sockets of this node, those that have not authenticated too; further ones are answered 503.
    pub max_connections: u32,
    /// Whose word about the client's address is taken.
    pub trusted_proxies: TrustedProxies,
    /// Sockets of one client address over all nodes; further ones are answered 429.
    pub max_per_address: u32,
    /// Sockets of one address over all nodes that have not signed in yet; further ones are answered 429.
    pub max_per_address_before_sign_in: u32,
    /// Sockets of one person over all nodes. The next one closes the oldest.
    pub max_per_person: u32,
    /// After this long the sockets of a node that died no longer count on the others.
    pub lease: Duration,
    /// How long the first frame may take.
    pub auth_timeout: Duration,
    /// How often the server pings. A socket over which nothing comes, not even a pong, for two of these counts as
    /// gone and is closed: with the default after eight seconds.
    pub ping_interval: Duration,
    /// Frames that may wait for a reader before it counts as slow: more than a batch of gifts tells one person.
    pub queue: usize,
    /// How long one frame may take to be written.
    pub write_timeout: Duration,
    /// How long a close frame may take, and the client's answer to it.
    pub close_wait: Duration,
    /// The longest frame that is read; a longer one closes the socket.
    pub max_frame_bytes: usize,
    /// Frames of one socket, as a burst and as a rate.
    pub requests_per_second: u32,
    /// Requests of one socket that may be unanswered; a further one is refused.
    pub max_unanswered: usize,
    /// Frames that are no requests before the socket is closed.
    pub max_malformed: u32,
    /// How long a socket whose token has expired may stay without a fresh one.
    pub expiry_grace: Duration,
    /// How often the sessions and roles of all open sockets are looked up: changes made on another node, or by
    /// hand, reach a socket by this.
    pub access_check: Duration,
    /// How often a sign of life is passed on to presence, at most.
    pub touch_interval: Duration,
    /// How long a shutdown waits for sockets and what they have begun.
    pub shutdown_wait: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_connections: 10_000,
            trusted_proxies: TrustedProxies::default(),
            max_per_address: 1_000,
            max_per_address_before_sign_in: 100,
            max_per_person: 8,
            lease: LEASE,
            auth_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(4),
            queue: 512,
            write_timeout: Duration::from_secs(10),
            close_wait: Duration::from_secs(2),
            max_frame_bytes: 16 * 1024,
            requests_per_second: 30,
            max_unanswered: 64,
            max_malformed: 10,
            expiry_grace: Duration::from_secs(60),
            access_check: Duration::from_millis(1_500),
            touch_interval: Duration::from_secs(20),
            shutdown_wait: Duration::from_secs(10),
        }
    }
}

/// The gateway; cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
    sources: Arc<Mutex<Sources>>,
}

/// What all sockets share.
pub(crate) struct Shared {
    app: App,
    config: Config,
    registry: Arc<Registry>,
    offset: Offset,
    places: Arc<Places>,
    leases: SocketLeases,
    stopping: watch::Sender<bool>,
}

/// Where news come from, subscribed to when the gateway is made. They are kept when a run breaks off, so that the
/// next one goes on behind what broke it.
struct Sources {
    journal: Follower,
    bus: broadcast::Receiver<platform::push::Push>,
    access: broadcast::Receiver<AccessChange>,
    changes: mpsc::Receiver<presence::Change>,
    gone: mpsc::Receiver<Gone>,
}

/// The route of the sockets: `GET /v1/ws`.
pub fn router(gateway: Gateway) -> Router {
    // It follows from the code, so it is made once.
    let document = Arc::new(asyncapi());
    let show = async move || axum::Json(document);
    Router::new().route("/v1/ws", get(upgrade)).with_state(gateway).route("/v1/asyncapi.json", get(show))
}

impl Gateway {
    /// A gateway that hears all news from now on; [`Self::run`] passes them on.
    pub fn new(app: App, config: Config) -> Gateway {
        metrics::gauge!("muneem_websocket_sockets_max").set(f64::from(config.max_connections));
        let (changes_in, changes) = mpsc::channel(PRESENCE_CHANGES);
        let (gone_in, gone) = mpsc::channel(CLOSED_SOCKETS);
        let offset = Offset::default();
        let sources = Sources {
            journal: app.ledger.follow(),
            bus: app.bus.listen(),
            access: app.access.listen(),
            changes,
            gone,
        };
        offset.reach(app.ledger.durable_revision());
        let bounds = Bounds {
            node: config.max_connections,
            address: config.max_per_address,
            address_before_sign_in: config.max_per_address_before_sign_in,
        };
        let shared_bounds = SocketBounds {
            per_address: config.max_per_address,
            per_address_before_sign_in: config.max_per_address_before_sign_in,
            per_person: config.max_per_person,
        };
        let shared = Shared {
            registry: Registry::new(changes_in, config.max_per_person),
            offset,
            places: Places::new(bounds, gone_in),
            leases: SocketLeases::new(app.shared.clone(), shared_bounds, config.lease),
            stopping: watch::Sender::new(false),
            app,
            config,
        };
        Gateway { shared: Arc::new(shared), sources: Arc::new(Mutex::new(sources)) }
    }

    /// Follows the journal and the bus and tells the people concerned, until `shutdown` or the end of the
    /// ledger. Then every socket is closed with 1001, new ones are refused, and it returns once they are
    /// gone, or after [`Config::shutdown_wait`]. May be run again after it was broken off, one run at a time.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let mut sources = self.sources.lock().await;
        let Sources { journal, bus, access, changes, gone } = &mut *sources;
        let shared = &self.shared;
        let (warning_in, warning_seconds) =
            watch::channel(platform::settings::MeteringSettings::default().warning_seconds);
        let registry = shared.registry.clone();
        let news = JournalNews::new(
            shared.app.ledger.clone(),
            shared.app.cards.clone(),
            registry.clone(),
            shared.offset.clone(),
            warning_seconds,
        );
        let mut keeper = Keeper {
            presence: shared.app.presence.clone(),
            ledger: shared.app.ledger.clone(),
            registry: registry.clone(),
            changes,
        };
        let mut lease_keeper = LeaseKeeper {
            leases: shared.leases.clone(),
            places: shared.places.clone(),
            every: shared.config.lease / 4,
            gone,
        };
        let access = AccessWatch {
            sessions: shared.app.sessions.clone(),
            registry: registry.clone(),
            changes: access,
            every: shared.config.access_check,
        };
        tokio::select! {
            () = shutdown => info!("the gateway stops"),
            () = news.run(journal) => error!(alert = "fanout_stopped", "the ledger is gone: the gateway stops"),
            () = pass_on(bus, registry) => {}
            () = access.run() => {}
            () = keeper.run() => {}
            () = lease_keeper.run() => {}
            () = shared.read_settings(warning_in) => {}
        }
        shared.stop().await;
        let finished = async { tokio::join!(keeper.finish(), lease_keeper.finish()) };
        let _ = timeout(shared.config.close_wait, finished).await;
    }
}

impl Shared {
    async fn stop(&self) {
        self.stopping.send_replace(true);
        if timeout(self.config.shutdown_wait, self.places.all_free()).await.is_err() {
            warn!("some sockets did not close in time");
        }
    }

    /// Keeps the warning time that admins may change in step, for ever.
    async fn read_settings(&self, warning_seconds: watch::Sender<u32>) {
        let mut again = interval(SETTINGS_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = self.app.settings.changes();
        loop {
            // Another node's changes are not heard of, so they are looked for now and then.
            tokio::select! {
                _ = again.tick() => {}
                Ok(()) = changes.changed() => {}
            }
            match self.app.settings.metering().await {
                Ok(settings) => _ = warning_seconds.send_replace(settings.warning_seconds),
                Err(fault) => warn!(%fault, "the settings cannot be read; the last ones stay in force"),
            }
        }
    }

    /// What a client has to know to begin, or to go on after a lost connection.
    async fn welcome(&self, caller: &Caller, now: DateTime<Utc>) -> Result<Welcome, Problem> {
        let person = caller.person;
        let asked = self
            .app
            .ledger
            .query(move |state, at| (state.revision().unwrap_or(0), Facts::look_up(state, at, &[person])));
        let (offset, facts) = asked.await.map_err(|error| Problem::from(&error))?;
        let rings = self.app.calls.open_rings(person, RINGS, now).await;
        let rings = rings.map_err(|error| Problem::from(&error))?;
        let seen =
            self.app.calls.seen_by(person, rings).await.map_err(platform::commands::CommandError::from);
        let rings = seen.map_err(|error| Problem::from(&error))?;
        let names = match news::peer(&facts, person) {
            Some(peer) => self.app.cards.of(&BTreeSet::from([peer.0])).await,
            None => Names::new(),
        };
        Ok(Welcome {
            person,
            roles: caller.roles.iter().map(|role| role.as_str().to_owned()).collect(),
            offset,
            token_expires_at: caller.expires_at,
            active_call: news::standing(&facts, person, &names),
            rings: rings.into_iter().map(Into::into).collect(),
        })
    }

    /// The first heartbeat, before the client hears that it is in.
    async fn touch(&self, person: PersonId, is_host: bool) {
        let touched = timeout(TOUCH_TIMEOUT, self.app.presence.touch(person, is_host, clock::now())).await;
        if !matches!(touched, Ok(Ok(_))) {
            warn!("presence does not take a heartbeat");
        }
    }
}

/// Where a socket comes from, as far as bounds are concerned. Without an address (a server that does not tell) all
/// share one.
struct Address(String);

impl FromRequestParts<Gateway> for Address {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Address, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
        let hops: Vec<&[u8]> =
            parts.headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
        Ok(Address(gateway.shared.config.trusted_proxies.key_of(peer, hops.into_iter())))
    }
}

async fn upgrade(
    State(gateway): State<Gateway>,
    Address(address): Address,
    upgrade: WebSocketUpgrade,
) -> Response {
    let shared = gateway.shared;
    if *shared.stopping.borrow() {
        return no_room(NoRoom::Node);
    }
    let place = match shared.places.take(address) {
        Ok(place) => place,
        Err(reason) => return no_room(reason),
    };
    // First the count of this node, which costs nothing, then that of all nodes.
    if !shared.leases.take(&place.counted(), clock::now()).await {
        return no_room(NoRoom::Address);
    }
    // Somewhat longer frames are read and refused with a close frame that arrives for sure.
    let longest = shared.config.max_frame_bytes.saturating_mul(4);
    upgrade
        .max_message_size(longest)
        .max_frame_size(longest)
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(MAX_UNWRITTEN_BYTES)
        .on_upgrade(move |socket| {
            // In a task of its own: that of the upgrade keeps what the upgrade needed.
            tokio::spawn(session::serve(shared, Box::new(socket), place));
            std::future::ready(())
        })
}

fn no_room(reason: NoRoom) -> Response {
    let (status, title, code, detail, label) = match reason {
        NoRoom::Node => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Service Unavailable",
            "too_many_connections",
            "this server takes no more sockets at the moment; try again soon",
            "node",
        ),
        NoRoom::Address => (
            StatusCode::TOO_MANY_REQUESTS,
            "Too Many Requests",
            "too_many_connections_from_address",
            "too many sockets are open from this address; close some, or sign in on those that are open",
            "address",
        ),
    };
    metrics::counter!("muneem_websocket_refused_total", "bound" => label).increment(1);
    let body = serde_json::json!({
        "type": format!("/problems/{code}"),
        "title": title,
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
        "retry_after_seconds": RETRY_SECONDS,
    });
    let headers = [
        (header::CONTENT_TYPE, "application/problem+json".to_owned()),
        (header::RETRY_AFTER, RETRY_SECONDS.to_string()),
    ];
    (status, headers, body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_side_is_noticed_within_ten_seconds() {
        let config = Config::default();
        assert!(2 * config.ping_interval <= Duration::from_secs(10));
    }
}

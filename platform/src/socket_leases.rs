//! How many sockets an address and a person have over all nodes.
//!
//! Each socket holds leases in Redis, which its node renews. A node that dies renews none, and its sockets stop counting
//! after [`LEASE`]. While Redis is away nothing is counted here, and the bounds of each node alone hold.

use crate::entropy;
use crate::shared_redis::SharedRedis;
use chrono::{DateTime, Utc};
use ledger_core::PersonId;
use redis::Script;
use std::time::Duration;

/// How long a socket counts that nobody renews.
pub const LEASE: Duration = Duration::from_secs(60);
/// Sockets that are renewed in one go.
const AT_ONCE: usize = 500;

/// The sockets of one node, among those of all.
#[derive(Clone)]
pub struct SocketLeases {
    shared: SharedRedis,
    node: String,
    bounds: SocketBounds,
    lease: Duration,
}

#[derive(Clone, Copy, Debug)]
pub struct SocketBounds {
    pub per_address: u32,
    pub per_address_before_sign_in: u32,
    pub per_person: u32,
}

/// What one socket counts as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Tells the sockets of one node apart.
    pub socket: u64,
    pub address: String,
    /// `None` before it has signed in.
    pub person: Option<SignedIn>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedIn {
    pub person: PersonId,
    pub at: DateTime<Utc>,
}

// Each set holds sockets by the millisecond at which their lease ends. All bounds are looked at before anything is
// counted.
const TAKE: &str = r"
for i = 1, #KEYS do
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', ARGV[1])
    if redis.call('ZCARD', KEYS[i]) >= tonumber(ARGV[4 + i]) then
        return 0
    end
end
for i = 1, #KEYS do
    redis.call('ZADD', KEYS[i], ARGV[2], ARGV[4])
    redis.call('PEXPIRE', KEYS[i], ARGV[3])
end
return 1
";

// Members of a person's set begin with the time of their sign-in, so their order is that of their ages. Those that make
// room are written down for their nodes, whose name is the second part.
const SIGN_IN: &str = r"
redis.call('ZREM', KEYS[1], ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
local sockets = redis.call('ZRANGE', KEYS[2], 0, -1)
table.sort(sockets)
for i = 1, #sockets - tonumber(ARGV[6]) do
    local node, socket = string.match(sockets[i], '^%d+:([^:]+):(%d+)$')
    redis.call('ZREM', KEYS[2], sockets[i])
    redis.call('RPUSH', ARGV[7] .. node, socket)
    redis.call('PEXPIRE', ARGV[7] .. node, ARGV[3])
end
return 1
";

impl SocketLeases {
    /// The leases of a node that has just begun, under a name of its own.
    pub fn new(shared: SharedRedis, bounds: SocketBounds, lease: Duration) -> SocketLeases {
        SocketLeases { shared, node: entropy::uuid_v7().simple().to_string(), bounds, lease }
    }

    /// Whether there is room for a socket that has not signed in yet; if so it counts from now on. Without Redis there
    /// is.
    pub async fn take(&self, socket: &Counted, now: DateTime<Utc>) -> bool {
        let script = Script::new(TAKE);
        let mut call = script.prepare_invoke();
        call.key(self.of_address(socket)).key(self.before_sign_in(socket));
        call.arg(now.timestamp_millis()).arg(self.lapses(now)).arg(self.lease_ms()).arg(self.member(socket));
        call.arg(self.bounds.per_address).arg(self.bounds.per_address_before_sign_in);
        let taken: Option<bool> =
            self.shared.ask(async |mut redis| call.invoke_async(&mut redis).await).await;
        taken.unwrap_or(true)
    }

    /// The socket counts as this person's from now on. Where the person has more than they may, those that signed in
    /// first make room, on whichever node they are: see [`Self::to_close`].
    pub async fn sign_in(&self, socket: &Counted, by: SignedIn, now: DateTime<Utc>) {
        let script = Script::new(SIGN_IN);
        let mut call = script.prepare_invoke();
        call.key(self.before_sign_in(socket)).key(self.of_person(by));
        call.arg(now.timestamp_millis()).arg(self.lapses(now)).arg(self.lease_ms()).arg(self.member(socket));
        call.arg(self.member_of_person(socket, by))
            .arg(self.bounds.per_person)
            .arg(self.shared.key("sockets:close:"));
        let _: Option<bool> = self.shared.ask(async |mut redis| call.invoke_async(&mut redis).await).await;
    }

    /// Sockets of this node that make room for newer ones of the same person. Each is named once.
    pub async fn to_close(&self) -> Vec<u64> {
        let mut command = redis::cmd("LPOP");
        command.arg(self.shared.key(&format!("sockets:close:{}", self.node))).arg(AT_ONCE);
        let found: Option<Option<Vec<u64>>> =
            self.shared.ask(async |mut redis| command.query_async(&mut redis).await).await;
        found.flatten().unwrap_or_default()
    }

    /// The sockets go on counting. Those that Redis has lost, or never heard of, count again.
    pub async fn renew(&self, sockets: &[Counted], now: DateTime<Utc>) {
        for some in sockets.chunks(AT_ONCE) {
            let mut pipe = redis::pipe();
            for socket in some {
                for (key, member) in self.places(socket) {
                    pipe.zadd(&key, member, self.lapses(now)).ignore().pexpire(key, self.lease_ms()).ignore();
                }
            }
            self.tell(&pipe).await;
        }
    }

    /// The sockets are gone. Without Redis their leases lapse.
    pub async fn release(&self, sockets: &[Counted]) {
        for some in sockets.chunks(AT_ONCE) {
            let mut pipe = redis::pipe();
            for (key, member) in some.iter().flat_map(|socket| self.places(socket)) {
                pipe.zrem(key, member).ignore();
            }
            self.tell(&pipe).await;
        }
    }

    async fn tell(&self, pipe: &redis::Pipeline) {
        let _: Option<()> = self.shared.ask(async |mut redis| pipe.query_async(&mut redis).await).await;
    }

    /// Where the socket counts, and as what.
    fn places(&self, socket: &Counted) -> [(String, String); 2] {
        let by = match socket.person {
            Some(by) => (self.of_person(by), self.member_of_person(socket, by)),
            None => (self.before_sign_in(socket), self.member(socket)),
        };
        [(self.of_address(socket), self.member(socket)), by]
    }

    fn of_address(&self, socket: &Counted) -> String {
        self.shared.key(&format!("sockets:address:{}", socket.address))
    }

    fn before_sign_in(&self, socket: &Counted) -> String {
        self.shared.key(&format!("sockets:before_sign_in:{}", socket.address))
    }

    fn of_person(&self, by: SignedIn) -> String {
        self.shared.key(&format!("sockets:person:{}", by.person))
    }

    fn member(&self, socket: &Counted) -> String {
        format!("{}:{}", self.node, socket.socket)
    }

    fn member_of_person(&self, socket: &Counted, by: SignedIn) -> String {
        format!("{:016}:{}:{}", by.at.timestamp_micros(), self.node, socket.socket)
    }

    fn lease_ms(&self) -> i64 {
        i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX / 2)
    }

    fn lapses(&self, now: DateTime<Utc>) -> i64 {
        now.timestamp_millis().saturating_add(self.lease_ms())
    }
}

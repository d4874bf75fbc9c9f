//! What the server tells people without being asked, beside the ledger's own events.

use crate::calls::SeenRing;
use crate::workers::WorkerFault;
use ledger_core::{CallId, PersonId};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, broadcast, mpsc, watch};
use tokio::time::timeout;
use tracing::warn;
use uuid::Uuid;

/// Pushes that a slow gateway, or the way to the other nodes, may lag behind before it loses some.
const CAPACITY: usize = 4_096;
/// Where nodes tell one another.
const CHANNEL: &str = "muneem_news";
/// Pushes that go to the other nodes in one statement.
const AT_ONCE: usize = 256;
/// How long the start of a node waits until it hears the others.
const PATIENCE: Duration = Duration::from_secs(5);
/// What Postgres takes in one notification.
const LONGEST: usize = 7_999;

/// One message to everybody in `to`, on all their devices.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Push {
    pub to: Vec<PersonId>,
    pub news: News,
}

/// What is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum News {
    /// A user calls.
    Rings(SeenRing),
    /// The host took the call or declined.
    Answered { call: CallId, accepted: bool },
    /// A ring ended before it became a call: `cancelled`, `missed`, `busy`, or the code of the problem for which
    /// it failed.
    RingEnded { call: CallId, reason: Cow<'static, str> },
}

/// A push on its way to the other nodes.
#[derive(Serialize, Deserialize)]
struct Carried {
    /// The node that it comes from, which has told its own people already.
    from: Uuid,
    #[serde(flatten)]
    push: Push,
}

/// Carries pushes from whoever has news to the gateways of all nodes. News are hints: what they tell can always be
/// asked for, so a lost one costs a moment, never money.
#[derive(Clone)]
pub struct Bus {
    here: broadcast::Sender<Push>,
    /// Absent where one node serves alone.
    others: Option<Others>,
}

#[derive(Clone)]
struct Others {
    node: Uuid,
    out: mpsc::Sender<Push>,
    /// Whether the other nodes are heard.
    hears: Arc<watch::Sender<bool>>,
    /// Kept here and not by the carrier, so that a carrier that is started again goes on with them.
    waiting: Arc<Mutex<mpsc::Receiver<Push>>>,
}

impl Bus {
    /// Of a node that serves alone.
    pub fn alone() -> Bus {
        Bus { here: broadcast::channel(CAPACITY).0, others: None }
    }

    /// Of one of several nodes, which hear of one another while [`Self::keep_carrying`] runs.
    pub fn shared() -> Bus {
        let (out, waiting) = mpsc::channel(CAPACITY);
        let others = Others {
            node: crate::entropy::uuid_v7(),
            out,
            hears: Arc::new(watch::Sender::new(false)),
            waiting: Arc::new(Mutex::new(waiting)),
        };
        Bus { others: Some(others), ..Bus::alone() }
    }

    pub fn send(&self, to: &[PersonId], news: News) {
        let push = Push { to: to.to_vec(), news };
        if let Some(others) = &self.others
            && others.out.try_send(push.clone()).is_err()
        {
            metrics::counter!("muneem_pushes_not_carried_total").increment(1);
        }
        // Nobody listens where no gateway runs.
        drop(self.here.send(push));
    }

    pub fn listen(&self) -> broadcast::Receiver<Push> {
        self.here.subscribe()
    }

    /// Returns once the other nodes are heard, or have not been for long: a node that serves before it hears them tells
    /// nobody here of their rings.
    pub async fn ready(&self) {
        let Some(others) = &self.others else { return };
        let mut hears = others.hears.subscribe();
        // The sender lives as long as this does.
        drop(timeout(PATIENCE, hears.wait_for(|hears| *hears)).await);
    }

    /// Tells the other nodes, and hears from them, for as long as it is polled; ends at once where there are none.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn keep_carrying(&self, pool: &PgPool) -> Result<(), WorkerFault> {
        let Some(others) = &self.others else { return Ok(()) };
        let mut listener = PgListener::connect_with(pool).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        others.hears.send_replace(true);
        let mut waiting = others.waiting.lock().await;
        let mut pushes = Vec::new();
        loop {
            tokio::select! {
                _ = waiting.recv_many(&mut pushes, AT_ONCE) => {
                    others.tell(pool, &mut pushes).await?;
                }
                told = listener.try_recv() => {
                    let told = told?.ok_or("the connection on which other nodes are heard is lost")?;
                    self.hear(others, told.payload());
                }
            }
        }
    }

    fn hear(&self, others: &Others, payload: &str) {
        match serde_json::from_str::<Carried>(payload) {
            Ok(carried) if carried.from == others.node => {}
            Ok(carried) => drop(self.here.send(carried.push)),
            Err(fault) => warn!(%fault, "another node tells something that this one does not understand"),
        }
    }
}

impl Others {
    async fn tell(&self, pool: &PgPool, pushes: &mut Vec<Push>) -> Result<(), WorkerFault> {
        let count = pushes.len();
        let carried = pushes.drain(..).map(|push| Carried { from: self.node, push });
        let mut payloads: Vec<String> =
            carried.map(|carried| serde_json::to_string(&carried)).collect::<Result<_, _>>()?;
        payloads.retain(|payload| payload.len() <= LONGEST);
        let sent = sqlx::query("SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload")
            .bind(CHANNEL)
            .bind(&payloads)
            .execute(pool)
            .await;
        let told = if sent.is_ok() { payloads.len() } else { 0 };
        metrics::counter!("muneem_pushes_not_carried_total").increment((count - told) as u64);
        Ok(sent.map(drop)?)
    }
}

//! The inbox of gateways' deliveries. A signed delivery is stored first and answered; what it says is worked through
//! after. What no program can decide waits for a person.

use crate::audit::{self, Author, Change};
use crate::commands::CommandError;
use crate::page::{ListError, Page, Place, page_size, push_amounts, push_period};
use crate::seal::{Seal, SealBroken};
use chrono::{DateTime, TimeDelta, Utc};
use ledger_core::{Amounts, Period, PersonId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

/// For how long the bytes of a delivery are kept.
const BODY_DAYS: i64 = 90;

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits to be worked through.
    Pending,
    /// It was worked through; the outcome says what came of it.
    Done,
    /// It is signed, and it is no event of the gateway's. A person has to look at it.
    Unreadable,
    /// It speaks of money that could not be recorded. A person has to look at it.
    NeedsPerson,
    /// A person has dealt with it by hand.
    Handled,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Done => "done",
            State::Unreadable => "unreadable",
            State::NeedsPerson => "needs_person",
            State::Handled => "handled",
        }
    }

    fn of(text: &str) -> State {
        // The table allows these five alone.
        [State::Pending, State::Done, State::Unreadable, State::Handled]
            .into_iter()
            .find(|state| state.as_str() == text)
            .unwrap_or(State::NeedsPerson)
    }
}

/// A delivery that is due.
pub(crate) struct Due {
    pub id: i64,
    pub body: Result<Vec<u8>, SealBroken>,
    pub attempts: i32,
}

/// What a delivery speaks of, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Subject {
    /// The gateway's name of the event.
    pub kind: Option<String>,
    /// Who opened the purchase.
    pub person: Option<Uuid>,
    pub amount_minor: Option<i64>,
    pub amount_asset: Option<String>,
}

/// Which deliveries; all that is absent matches everything.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub state: Option<State>,
    pub kind: Option<String>,
    pub person: Option<PersonId>,
    /// When it was received.
    pub period: Period,
    pub amount_minor: Amounts,
}

/// A delivery as admins see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: i64,
    pub gateway: String,
    /// The gateway's name of it.
    pub delivery: String,
    pub received_at: DateTime<Utc>,
    pub state: State,
    /// What came of it, as a code.
    pub outcome: Option<String>,
    pub attempts: i32,
    pub subject: Subject,
    pub handled_by: Option<Uuid>,
    pub handled_at: Option<DateTime<Utc>>,
}

#[derive(Clone)]
pub struct Inbox {
    pool: PgPool,
    seal: Seal,
}

impl Inbox {
    pub fn new(pool: PgPool, seal: Seal) -> Inbox {
        Inbox { pool, seal }
    }

    /// By what a delivery is known that has no id of its own.
    pub(crate) fn name_by_bytes(&self, body: &[u8]) -> String {
        format!("mark:{}", hex::encode(self.seal.mark(body)))
    }

    /// Stores a delivery, unless one is stored under this name; answers whether it is new.
    pub(crate) async fn keep(
        &self,
        gateway: &str,
        delivery: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<bool, sqlx::Error> {
        let sealed = self.seal.seal(body, &context(gateway, delivery));
        let sealed = sealed.map_err(|fault| sqlx::Error::Encode(fault.into()))?;
        let kept = sqlx::query(
            "INSERT INTO app.webhook_inbox (gateway, delivery, body_sealed, body_mark, received_at, not_before)
             VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (gateway, delivery) DO NOTHING",
        )
        .bind(gateway)
        .bind(delivery)
        .bind(sealed)
        .bind(self.seal.mark(body))
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(kept.rows_affected() == 1)
    }

    /// Whether these very bytes are stored under this name.
    pub(crate) async fn is_kept(
        &self,
        gateway: &str,
        delivery: &str,
        body: &[u8],
    ) -> Result<bool, sqlx::Error> {
        let kept = "SELECT EXISTS (SELECT 1 FROM app.webhook_inbox
                                   WHERE gateway = $1 AND delivery = $2 AND body_mark = $3)";
        let mark = self.seal.mark(body);
        sqlx::query_scalar(kept).bind(gateway).bind(delivery).bind(mark).fetch_one(&self.pool).await
    }

    /// The oldest deliveries that are due.
    pub(crate) async fn due(&self, now: DateTime<Utc>, limit: i64) -> Result<Vec<Due>, sqlx::Error> {
        let rows: Vec<DueRow> = sqlx::query_as(
            "SELECT id, gateway, delivery, body_sealed, attempts FROM app.webhook_inbox
             WHERE status = 'pending' AND not_before <= $1 ORDER BY id LIMIT $2",
        )
        .bind(now)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let due = rows.into_iter().map(|row| Due {
            id: row.id,
            body: self.seal.open(&row.body_sealed.unwrap_or_default(), &context(&row.gateway, &row.delivery)),
            attempts: row.attempts,
        });
        Ok(due.collect())
    }

    pub(crate) async fn finish(&self, id: i64, state: State, outcome: &str) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE app.webhook_inbox SET status = $2, outcome = $3, attempts = attempts + 1
             WHERE id = $1 AND status = 'pending'",
        )
        .bind(id)
        .bind(state.as_str())
        .bind(outcome)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Looks at a delivery again later: after 1, 2, 4 ... 256 seconds.
    pub(crate) async fn postpone(&self, due: &Due, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
        let seconds = 1_i64 << due.attempts.clamp(0, 8);
        sqlx::query("UPDATE app.webhook_inbox SET attempts = attempts + 1, not_before = $2 WHERE id = $1")
            .bind(due.id)
            .bind(now + TimeDelta::seconds(seconds))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Keeps what a delivery speaks of, so that it is found by it.
    pub(crate) async fn describe(&self, id: i64, subject: &Subject) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE app.webhook_inbox SET kind = $2, person = $3, amount_minor = $4, amount_asset = $5 WHERE id = $1",
        )
        .bind(id)
        .bind(&subject.kind)
        .bind(subject.person)
        .bind(subject.amount_minor)
        .bind(&subject.amount_asset)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// One page of deliveries, the newest first.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn list(
        &self,
        filter: &Filter,
        after: Option<Place>,
        limit: u32,
    ) -> Result<Page<Delivery>, ListError> {
        let place = after.unwrap_or_else(Place::newest);
        let limit = page_size(limit);
        let mut query = QueryBuilder::<Postgres>::new(SELECT);
        query.push(" WHERE (received_at, id) < (").push_bind(place.at).push(", ");
        query.push_bind(i64::try_from(place.id.as_u128()).unwrap_or(i64::MAX)).push(")");
        if let Some(state) = filter.state {
            query.push(" AND status = ").push_bind(state.as_str());
        }
        if let Some(kind) = &filter.kind {
            query.push(" AND kind = ").push_bind(kind);
        }
        if let Some(person) = filter.person {
            query.push(" AND person = ").push_bind(person.0);
        }
        push_period(&mut query, "received_at", filter.period);
        push_amounts(&mut query, "amount_minor", filter.amount_minor);
        query.push(" ORDER BY received_at DESC, id DESC LIMIT ").push_bind(limit + 1);
        let rows: Vec<DeliveryRow> = query.build_query_as().fetch_all(&self.pool).await?;
        let deliveries = rows.into_iter().map(Delivery::from).collect();
        let place =
            |it: &Delivery| Place { at: it.received_at, id: Uuid::from_u128(it.id.unsigned_abs().into()) };
        Ok(Page::of(deliveries, limit, place))
    }

    /// A delivery with its bytes as text, as long as they are kept. That somebody read them is written to the audit
    /// log: they hold personal data.
    ///
    /// # Errors
    /// `NotFound`, or when Postgres fails.
    pub async fn read(
        &self,
        id: i64,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<(Delivery, Option<String>), CommandError> {
        let mut tx = self.pool.begin().await?;
        let row: Option<(String, String, Option<Vec<u8>>)> =
            sqlx::query_as("SELECT gateway, delivery, body_sealed FROM app.webhook_inbox WHERE id = $1")
                .bind(id)
                .fetch_optional(&mut *tx)
                .await?;
        let (gateway, delivery, sealed) = row.ok_or(CommandError::NotFound("webhook"))?;
        let opened = sealed.and_then(|sealed| self.seal.open(&sealed, &context(&gateway, &delivery)).ok());
        let shown = find(&mut tx, id).await?.ok_or(CommandError::NotFound("webhook"))?;
        if opened.is_some() {
            audit::record(&mut tx, author, Change::new("webhook.read", "webhook", id), now).await?;
        }
        tx.commit().await?;
        Ok((shown, opened.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())))
    }

    /// Says that a person has dealt with a delivery that needed one.
    ///
    /// # Errors
    /// `NotFound`; `webhook_needs_nobody` for a delivery in another state.
    pub async fn mark_handled(
        &self,
        id: i64,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<Delivery, CommandError> {
        self.decide(id, State::Handled, "webhook.handled", author, now).await
    }

    /// Has a delivery that needed a person worked through once more.
    ///
    /// # Errors
    /// `NotFound`; `webhook_needs_nobody` for a delivery in another state, or one whose bytes are erased.
    pub async fn try_again(
        &self,
        id: i64,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<Delivery, CommandError> {
        self.decide(id, State::Pending, "webhook.retried", author, now).await
    }

    async fn decide(
        &self,
        id: i64,
        state: State,
        action: &'static str,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<Delivery, CommandError> {
        let handled = state == State::Handled;
        let mut tx = self.pool.begin().await?;
        let before: Option<(String, Option<String>)> = sqlx::query_as(
            "SELECT status, outcome FROM app.webhook_inbox
             WHERE id = $1 AND status IN ('unreadable', 'needs_person') AND ($2 OR body_sealed IS NOT NULL)
             FOR UPDATE",
        )
        .bind(id)
        .bind(handled)
        .fetch_optional(&mut *tx)
        .await?;
        let Some((status, outcome)) = before else {
            return Err(match find(&mut tx, id).await? {
                None => CommandError::NotFound("webhook"),
                Some(_) => CommandError::Refused {
                    code: "webhook_needs_nobody",
                    message: "this delivery does not wait for a person",
                },
            });
        };
        sqlx::query(
            "UPDATE app.webhook_inbox
             SET status = $2, outcome = CASE WHEN $3 THEN outcome END, attempts = CASE WHEN $3 THEN attempts ELSE 0 END,
                 not_before = $5, handled_by = CASE WHEN $3 THEN $4::uuid END,
                 handled_at = CASE WHEN $3 THEN $5::timestamptz END
             WHERE id = $1",
        )
        .bind(id)
        .bind(state.as_str())
        .bind(handled)
        .bind(author.id().map(|person| person.0))
        .bind(now)
        .execute(&mut *tx)
        .await?;
        let change = Change::new(action, "webhook", id)
            .before(json!({ "state": status, "outcome": outcome }))
            .after(json!({ "state": state }));
        audit::record(&mut tx, author, change, now).await?;
        let delivery = find(&mut tx, id).await?.ok_or(CommandError::NotFound("webhook"))?;
        tx.commit().await?;
        Ok(delivery)
    }

    /// Removes deliveries that are dealt with, and erases the bytes of the others, once they are 90 days old.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn sweep(&self, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
        let old = now - TimeDelta::days(BODY_DAYS);
        let removed = sqlx::query(
            "DELETE FROM app.webhook_inbox WHERE received_at < $1 AND status IN ('done', 'handled')",
        )
        .bind(old)
        .execute(&self.pool)
        .await?;
        let erased = sqlx::query(
            "UPDATE app.webhook_inbox
             SET body_sealed = NULL, outcome = coalesce(outcome, 'expired'),
                 status = CASE status WHEN 'pending' THEN 'needs_person' ELSE status END
             WHERE received_at < $1 AND body_sealed IS NOT NULL",
        )
        .bind(old)
        .execute(&self.pool)
        .await?;
        Ok(removed.rows_affected() + erased.rows_affected())
    }
}

/// Binds sealed bytes to their row.
fn context(gateway: &str, delivery: &str) -> String {
    format!("{gateway} {delivery}")
}

const SELECT: &str =
    "SELECT id, gateway, delivery, received_at, status, outcome, attempts, handled_by, handled_at,
            kind, person, amount_minor, amount_asset
     FROM app.webhook_inbox";

async fn find(tx: &mut sqlx::PgConnection, id: i64) -> Result<Option<Delivery>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new(SELECT);
    query.push(" WHERE id = ").push_bind(id);
    let row: Option<DeliveryRow> = query.build_query_as().fetch_optional(tx).await?;
    Ok(row.map(Delivery::from))
}

#[derive(sqlx::FromRow)]
struct DueRow {
    id: i64,
    gateway: String,
    delivery: String,
    body_sealed: Option<Vec<u8>>,
    attempts: i32,
}

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    id: i64,
    gateway: String,
    delivery: String,
    received_at: DateTime<Utc>,
    status: String,
    outcome: Option<String>,
    attempts: i32,
    handled_by: Option<Uuid>,
    handled_at: Option<DateTime<Utc>>,
    #[sqlx(flatten)]
    subject: Subject,
}

impl From<DeliveryRow> for Delivery {
    fn from(row: DeliveryRow) -> Delivery {
        Delivery {
            id: row.id,
            gateway: row.gateway,
            delivery: row.delivery,
            received_at: row.received_at,
            state: State::of(&row.status),
            outcome: row.outcome,
            attempts: row.attempts,
            subject: row.subject,
            handled_by: row.handled_by,
            handled_at: row.handled_at,
        }
    }
}

//! Bonus coins that a person has. Balances are asked of the ledger itself.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{Place, ReadModel, ReadModels, Table, code};
use chrono::{DateTime, Utc};
use ledger_core::event::{Draw, ReturnedDraw};
use ledger_core::{Account, Event, LotId, PersonId, Timestamp, rfc3339};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

const TABLES: &str = "
CREATE TABLE bonus_lots (
    lot uuid PRIMARY KEY,
    \"user\" uuid NOT NULL,
    origin text NOT NULL CHECK (origin IN (
        'plan', 'promotion', 'adjustment', 'merged', 'ad', 'daily', 'code', 'referral')),
    purchase uuid,
    granted_milli bigint NOT NULL,
    remaining_milli bigint NOT NULL CHECK (remaining_milli BETWEEN 0 AND granted_milli),
    granted_at timestamptz NOT NULL,
    expires_at timestamptz,
    expired_at timestamptz,
    revision bigint NOT NULL
);
CREATE INDEX bonus_lots_of_user ON bonus_lots (\"user\", expires_at, lot) WHERE remaining_milli > 0;";

const LOAD: &str = "SELECT * FROM bonus_lots WHERE lot = ANY($1)";

const WRITE: &str = "
    INSERT INTO bonus_lots SELECT * FROM json_populate_recordset(NULL::bonus_lots, $1::json)
    ON CONFLICT (lot) DO UPDATE SET
        remaining_milli = EXCLUDED.remaining_milli, expired_at = EXCLUDED.expired_at,
        revision = EXCLUDED.revision";

/// The bonus lots that a batch of events adds or draws from.
#[derive(Default)]
pub(crate) struct Bonuses {
    lots: Table<BonusLotRow>,
}

impl ReadModel for Bonuses {
    const TABLES: &'static str = TABLES;

    fn touch(&mut self, event: &Event) {
        match event {
            Event::BonusExpired(it) => self.lots.want(it.lot.0),
            Event::PurchaseRefunded(it) => it.bonus_lot.iter().for_each(|lot| self.lots.want(lot.0)),
            Event::DisputeReversed(it) => it.bonus_lot.iter().for_each(|lot| self.lots.want(lot.0)),
            _ => drawn(event).for_each(|draw| self.lots.want(draw.lot.0)),
        }
        moved_back(event).for_each(|(lot, _)| self.lots.want(lot.0));
    }

    async fn load(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.lots.load(connection, LOAD, |row| row.lot).await
    }

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        match place.event() {
            Event::BonusGranted(it) => {
                let added = Added {
                    lot: it.lot,
                    user: it.user,
                    origin: code(it.origin),
                    purchase: it.purchase.map(|id| id.0),
                    coins_milli: it.coins_milli,
                    expires_at: it.expires_at,
                };
                self.add(added, place);
            }
            Event::BonusExpired(it) => {
                let row = self.take(it.lot, it.coins_milli, place)?;
                row.expired_at = Some(place.at);
            }
            Event::PurchaseRefunded(it) => {
                if let Some(lot) = it.bonus_lot {
                    self.take(lot, it.bonus_milli, place)?;
                }
            }
            Event::DisputeReversed(it) if it.bonus_milli > 0 => {
                if let Some(lot) = it.bonus_lot {
                    self.take(lot, -it.bonus_milli, place)?;
                }
            }
            Event::AdjustmentPosted(it) => {
                if let (Some(lot), Account::UserBonus(user)) = (it.lot, it.account) {
                    let origin = "adjustment".to_owned();
                    let coins_milli = it.amount_milli;
                    let added = Added { lot, user, origin, purchase: None, coins_milli, expires_at: None };
                    self.add(added, place);
                }
            }
            Event::LotsMerged(it) => {
                if let Account::UserBonus(user) = it.account {
                    let (lot, origin, coins_milli) = (it.lot, "merged".to_owned(), it.amount_milli);
                    let expires_at = it.expires_at;
                    self.add(Added { lot, user, origin, purchase: None, coins_milli, expires_at }, place);
                }
            }
            _ => {}
        }
        for draw in drawn(place.event()) {
            self.take(draw.lot, draw.amount_milli, place)?;
        }
        for (lot, coins_milli) in moved_back(place.event()) {
            self.take(lot, -coins_milli, place)?;
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.lots.write(connection, WRITE).await
    }
}

/// What an event says of a new lot.
struct Added {
    lot: LotId,
    user: PersonId,
    origin: String,
    purchase: Option<Uuid>,
    coins_milli: i64,
    expires_at: Option<Timestamp>,
}

impl Bonuses {
    fn add(&mut self, added: Added, place: &Place<'_>) {
        let row = BonusLotRow {
            lot: added.lot.0,
            user: added.user.0,
            origin: added.origin,
            purchase: added.purchase,
            granted_milli: added.coins_milli,
            remaining_milli: added.coins_milli,
            granted_at: place.at,
            expires_at: added.expires_at.map(Timestamp::to_utc),
            expired_at: None,
            revision: place.revision,
        };
        self.lots.insert(row.lot, row);
    }

    fn take(
        &mut self,
        lot: LotId,
        coins_milli: i64,
        place: &Place<'_>,
    ) -> Result<&mut BonusLotRow, ProjectError> {
        let row = self.lots.find(lot.0, "bonus lot", place)?;
        row.remaining_milli -= coins_milli;
        row.revision = place.revision;
        Ok(row)
    }
}

/// What `event` draws from bonus lots.
fn drawn(event: &Event) -> impl Iterator<Item = &Draw> {
    let draws: &[Draw] = match event {
        Event::CallTicked(it) => &it.draws,
        Event::GiftSent(it) => &it.draws,
        Event::SubscriptionPaid(it) => &it.draws,
        Event::OrderPlaced(it) => &it.draws,
        Event::OrderPaid(it) => &it.draws,
        Event::AdjustmentPosted(it) => &it.draws,
        Event::LotsMerged(it) => &it.merged,
        Event::DisputeLost(it) => &it.draws,
        Event::ReceivableRecovered(it) => &it.draws,
        _ => &[],
    };
    draws.iter().filter(|draw| matches!(draw.account, Account::UserBonus(_)))
}

/// What `event` puts back into bonus lots, or (negative) keeps aside from them until it is put back.
fn moved_back(event: &Event) -> impl Iterator<Item = (LotId, i64)> {
    let (draws, sign): (&[ReturnedDraw], i64) = match event {
        Event::CallChargeReturned(it) => (&it.draws, 1),
        Event::OrderCancelled(it) => (&it.draws, 1),
        Event::OrderRefunded(it) => (&it.draws, 1),
        Event::DisputeReleased(it) => (&it.released, 1),
        Event::DisputeOpened(it) => (&it.frozen, -1),
        Event::DisputeMatched(it) => (&it.frozen, -1),
        _ => (&[], 1),
    };
    let of_bonus = draws.iter().filter(|draw| matches!(draw.account, Account::UserBonus(_)));
    of_bonus.map(move |draw| (draw.lot, sign * draw.amount_milli))
}

/// Bonus coins that came in together.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct BonusLotRow {
    pub lot: Uuid,
    pub user: Uuid,
    /// `plan`, `promotion`, `adjustment`, or `merged` for a lot that took the place of small ones; `ad`, `daily`, `code` or
    /// `referral` for coins that were earned.
    pub origin: String,
    pub purchase: Option<Uuid>,
    pub granted_milli: i64,
    pub remaining_milli: i64,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub granted_at: DateTime<Utc>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub expires_at: Option<DateTime<Utc>>,
    /// When what was left went back to the platform.
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub expired_at: Option<DateTime<Utc>>,
    pub revision: i64,
}

/// The most lots that one wallet shows.
pub const MOST_LOTS: i64 = 200;

impl ReadModels {
    /// The bonus lots of `user` that are not spent, soonest expiry first; at most [`MOST_LOTS`].
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn bonus_lots_of(&self, user: PersonId) -> Result<Vec<BonusLotRow>, QueryError> {
        let rows = sqlx::query_as(
            "SELECT * FROM read.bonus_lots WHERE \"user\" = $1 AND remaining_milli > 0
             ORDER BY expires_at NULLS LAST, lot LIMIT $2",
        )
        .bind(user.0)
        .bind(MOST_LOTS)
        .fetch_all(self.pool()?)
        .await?;
        Ok(rows)
    }
}

//! Money that was received for coins which are not spent yet, and what has been earned of it.
//!
//! All coins of a purchase, the plan's bonus too, share its price evenly, as they do in a refund. Of a purchase of `t` coins
//! for the price `p`, of which `u` are unspent (frozen ones and those held for an order too) and `r` of whose money went back, `floor(p x u / t)` is
//! deferred, but never more than `p - r`. The rest of what is left of the price is recognised: its coins were spent, expired,
//! or taken for something else. So at each unit boundary *received = returned + deferred + recognised*.

use crate::error::{ProjectError, QueryError};
use crate::accounts::AsOf;
use crate::mechanism::{CopyRow, Cursor, Fields, Page, Place, ReadModel, ReadModels, append, page_size, put};
use ledger_core::{Account, Event, LotId, PersonId, PurchaseId};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use utoipa::ToSchema;
use uuid::Uuid;

const TABLES: &str = "
-- What is left of the coins of each captured purchase.
CREATE TABLE purchased_lots (
    purchase uuid PRIMARY KEY,
    \"user\" uuid NOT NULL,
    lot uuid NOT NULL UNIQUE,
    bonus_lot uuid UNIQUE,
    price_minor bigint NOT NULL,
    price_asset text NOT NULL,
    returned_minor bigint NOT NULL,
    coins_milli bigint NOT NULL,
    bonus_milli bigint NOT NULL,
    remaining_milli bigint NOT NULL CHECK (remaining_milli BETWEEN 0 AND coins_milli),
    bonus_remaining_milli bigint NOT NULL CHECK (bonus_remaining_milli BETWEEN 0 AND bonus_milli),
    frozen_milli bigint NOT NULL CHECK (frozen_milli >= 0),
    held_milli bigint NOT NULL CHECK (held_milli >= 0),
    since bigint NOT NULL,
    revision bigint NOT NULL
-- Room in each page for what is left after the next spend.
) WITH (fillfactor = 80);
CREATE INDEX purchased_lots_of_user ON purchased_lots (\"user\", since);

-- The sums of all purchases after each unit that changes them.
CREATE TABLE deferred_revenue (
    revision bigint NOT NULL,
    asset text COLLATE \"C\" NOT NULL,
    received_minor bigint NOT NULL,
    returned_minor bigint NOT NULL,
    deferred_minor bigint NOT NULL,
    PRIMARY KEY (asset, revision)
);
CREATE INDEX deferred_revenue_by_revision ON deferred_revenue USING brin (revision) WITH (pages_per_range = 16);";

const LOAD: &str = "
    SELECT * FROM purchased_lots WHERE purchase = ANY($1)
    UNION SELECT * FROM purchased_lots WHERE lot = ANY($2)
    UNION SELECT * FROM purchased_lots WHERE bonus_lot = ANY($3)";

const ADD: &str = "
    INSERT INTO purchased_lots SELECT * FROM json_populate_recordset(NULL::purchased_lots, $1::json)";

/// The purchases whose coins a batch of events moves, and the sums.
#[derive(Default)]
pub(crate) struct Deferred {
    /// The purchases that a batch is about, the lots of bought coins that it moves, and those of bonus coins.
    wanted: [BTreeSet<Uuid>; 3],
    /// Those that the batch captures, and those that were there before it.
    added: BTreeMap<Uuid, PurchasedLotRow>,
    kept: BTreeMap<Uuid, PurchasedLotRow>,
    /// The purchase of each of their lots.
    purchases: HashMap<Uuid, Uuid>,
    /// Of purchases that the batch captures.
    assets: BTreeSet<String>,
    sums: BTreeMap<String, DeferredRow>,
    changed: BTreeSet<String>,
    rows: Vec<DeferredRow>,
}

impl ReadModel for Deferred {
    const TABLES: &'static str = TABLES;

    fn touch(&mut self, event: &Event) {
        let [purchases, bought, bonus] = &mut self.wanted;
        for moved in event.lots() {
            let lots = if matches!(moved.account, Account::UserBonus(_)) { &mut *bonus } else { &mut *bought };
            lots.insert(moved.lot.0);
        }
        match event {
            Event::OrderCompleted(it) => {
                for draw in &it.spent {
                    let bonus_coins = matches!(draw.account, Account::UserBonus(_));
                    let lots = if bonus_coins { &mut *bonus } else { &mut *bought };
                    lots.insert(draw.lot.0);
                }
            }
            Event::PurchaseCaptured(it) => _ = self.assets.insert(it.paid_asset.to_string()),
            Event::PurchaseRefunded(it) => _ = purchases.insert(it.purchase.0),
            Event::DisputeLost(it) => purchases.extend(it.purchase.map(|id| id.0)),
            Event::DisputeReversed(it) => purchases.extend(it.purchase.map(|id| id.0)),
            _ => {}
        }
    }

    async fn load(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.wanted.iter().all(BTreeSet::is_empty) {
            return Ok(());
        }
        let mut query = sqlx::query_as(LOAD);
        for ids in &self.wanted {
            query = query.bind(Vec::from_iter(ids.iter().copied()));
        }
        let rows: Vec<PurchasedLotRow> = query.fetch_all(&mut *connection).await?;
        for row in rows {
            self.purchases.extend([Some(row.lot), row.bonus_lot].into_iter().flatten().map(|lot| (lot, row.purchase)));
            self.assets.insert(row.price_asset.clone());
            self.kept.insert(row.purchase, row);
        }
        if self.assets.is_empty() {
            return Ok(());
        }
        let sums: Vec<DeferredRow> = sqlx::query_as(
            "SELECT last.* FROM unnest($1::text[]) AS wanted (asset)
             CROSS JOIN LATERAL (SELECT * FROM deferred_revenue WHERE asset = wanted.asset
                                 ORDER BY revision DESC LIMIT 1) AS last",
        )
        .bind(Vec::from_iter(&self.assets))
        .fetch_all(connection)
        .await?;
        self.sums = sums.into_iter().map(|row| (row.asset.clone(), row)).collect();
        Ok(())
    }

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        match place.event() {
            Event::PurchaseCaptured(it) => {
                let row = PurchasedLotRow {
                    purchase: it.purchase.0,
                    user: it.user.0,
                    lot: it.lot.0,
                    bonus_lot: None,
                    price_minor: it.paid_minor,
                    price_asset: it.paid_asset.to_string(),
                    returned_minor: 0,
                    coins_milli: it.coins_milli,
                    bonus_milli: 0,
                    remaining_milli: 0,
                    bonus_remaining_milli: 0,
                    frozen_milli: 0,
                    held_milli: 0,
                    since: place.revision,
                    revision: place.revision,
                };
                self.purchases.insert(row.lot, row.purchase);
                self.added.insert(row.purchase, row);
                self.change(it.purchase.0, place, |row, sums| sums.received_minor += row.price_minor)?;
            }
            Event::BonusGranted(it) => {
                if let Some(PurchaseId(purchase)) = it.purchase {
                    self.purchases.insert(it.lot.0, purchase);
                    self.change(purchase, place, |row, _| {
                        (row.bonus_lot, row.bonus_milli) = (Some(it.lot.0), it.coins_milli);
                    })?;
                }
            }
            Event::PurchaseRefunded(it) => {
                self.returned(it.purchase, it.refunded_minor - it.uncovered_minor, place)?;
            }
            Event::DisputeLost(it) => {
                if let Some(purchase) = it.purchase {
                    self.returned(purchase, it.matched_minor, place)?;
                }
            }
            Event::DisputeReversed(it) => {
                if let Some(purchase) = it.purchase {
                    self.returned(purchase, -it.returned_minor, place)?;
                }
            }
            // What was held for it is spent now.
            Event::OrderCompleted(it) => {
                for draw in &it.spent {
                    let Some(purchase) = self.purchases.get(&draw.lot.0).copied() else { continue };
                    self.change(purchase, place, |row, _| row.held_milli -= draw.amount_milli)?;
                }
            }
            _ => {}
        }
        // Coins that a dispute freezes are unspent.
        let freezes =
            matches!(place.event(), Event::DisputeOpened(_) | Event::DisputeMatched(_) | Event::DisputeReleased(_));
        // So are coins that are held for an order, until it is completed.
        let holds = match place.event() {
            Event::OrderPlaced(_) | Event::OrderPaid(_) | Event::OrderCancelled(_) => true,
            Event::OrderRefunded(it) => !it.completed,
            _ => false,
        };
        for moved in place.event().lots().into_iter().filter(|moved| moved.amount_milli != 0) {
            let Some(purchase) = self.purchases.get(&moved.lot.0).copied() else { continue };
            self.change(purchase, place, |row, _| {
                let remaining = row.remaining_of(moved.lot);
                *remaining += moved.amount_milli;
                if freezes {
                    row.frozen_milli -= moved.amount_milli;
                }
                if holds {
                    row.held_milli -= moved.amount_milli;
                }
            })?;
        }
        if place.recorded.metadata.closes_unit() {
            for asset in std::mem::take(&mut self.changed) {
                self.rows.extend(self.sums.get(&asset).map(|row| DeferredRow { revision: place.revision, ..row.clone() }));
            }
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        put(connection, ADD, self.added.values()).await?;
        write_kept(connection, self.kept.values()).await?;
        append(connection, &self.rows).await
    }
}

impl Deferred {
    /// Money of a purchase went back to its payer.
    fn returned(
        &mut self,
        purchase: PurchaseId,
        amount_minor: i64,
        place: &Place<'_>,
    ) -> Result<(), ProjectError> {
        if amount_minor == 0 {
            return Ok(());
        }
        self.change(purchase.0, place, |row, sums| {
            row.returned_minor += amount_minor;
            sums.returned_minor += amount_minor;
        })
    }

    /// Changes a purchase, and the sums of its asset by what that makes of them.
    fn change(
        &mut self,
        purchase: Uuid,
        place: &Place<'_>,
        change: impl FnOnce(&mut PurchasedLotRow, &mut DeferredRow),
    ) -> Result<(), ProjectError> {
        let row = self.added.get_mut(&purchase).or_else(|| self.kept.get_mut(&purchase));
        let row = row.ok_or_else(|| place.lacks("the purchase", purchase))?;
        let none = || DeferredRow {
            revision: 0,
            asset: row.price_asset.clone(),
            received_minor: 0,
            returned_minor: 0,
            deferred_minor: 0,
        };
        if !self.changed.contains(&row.price_asset) {
            self.changed.insert(row.price_asset.clone());
        }
        let sums = match self.sums.get_mut(&row.price_asset) {
            Some(sums) => sums,
            None => self.sums.entry(row.price_asset.clone()).or_insert_with(none),
        };
        let before = row.deferred_minor();
        change(row, sums);
        row.revision = place.revision;
        sums.deferred_minor += row.deferred_minor() - before;
        Ok(())
    }
}

async fn write_kept(
    connection: &mut PgConnection,
    rows: impl ExactSizeIterator<Item = &PurchasedLotRow> + Clone,
) -> Result<(), sqlx::Error> {
    if rows.len() == 0 {
        return Ok(());
    }
    sqlx::query(
        "UPDATE purchased_lots AS lots
         SET returned_minor = rows.returned, remaining_milli = rows.remaining,
             bonus_remaining_milli = rows.bonus, frozen_milli = rows.frozen, held_milli = rows.held,
             revision = rows.revision
         FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
              AS rows (purchase, returned, remaining, bonus, frozen, held, revision)
         WHERE lots.purchase = rows.purchase",
    )
    .bind(rows.clone().map(|row| row.purchase).collect::<Vec<_>>())
    .bind(rows.clone().map(|row| row.returned_minor).collect::<Vec<_>>())
    .bind(rows.clone().map(|row| row.remaining_milli).collect::<Vec<_>>())
    .bind(rows.clone().map(|row| row.bonus_remaining_milli).collect::<Vec<_>>())
    .bind(rows.clone().map(|row| row.frozen_milli).collect::<Vec<_>>())
    .bind(rows.clone().map(|row| row.held_milli).collect::<Vec<_>>())
    .bind(rows.map(|row| row.revision).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// What is left of the coins of a purchase.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct PurchasedLotRow {
    pub purchase: Uuid,
    pub user: Uuid,
    pub lot: Uuid,
    /// The lot of the plan's bonus coins.
    pub bonus_lot: Option<Uuid>,
    pub price_minor: i64,
    /// What was paid in, such as `INR/2`.
    pub price_asset: String,
    /// What went back to the payer by refunds and lost disputes.
    pub returned_minor: i64,
    pub coins_milli: i64,
    pub bonus_milli: i64,
    /// Bought coins that can be spent.
    pub remaining_milli: i64,
    /// Bonus coins of the plan that can be spent.
    pub bonus_remaining_milli: i64,
    /// Coins of both kinds that a dispute keeps from being spent.
    pub frozen_milli: i64,
    /// Coins of both kinds that are held for orders which are not completed.
    pub held_milli: i64,
    /// The event that brought them.
    pub since: i64,
    pub revision: i64,
}

impl PurchasedLotRow {
    fn remaining_of(&mut self, lot: LotId) -> &mut i64 {
        if self.bonus_lot == Some(lot.0) { &mut self.bonus_remaining_milli } else { &mut self.remaining_milli }
    }

    /// Of the money that was paid, what stands for coins that are unspent.
    pub fn deferred_minor(&self) -> i64 {
        let all_milli = i128::from(self.coins_milli) + i128::from(self.bonus_milli);
        let unspent_milli = i128::from(self.remaining_milli)
            + i128::from(self.bonus_remaining_milli)
            + i128::from(self.frozen_milli)
            + i128::from(self.held_milli);
        let share = i128::from(self.price_minor) * unspent_milli / all_milli;
        let kept_minor = self.price_minor - self.returned_minor;
        i64::try_from(share).map_or(kept_minor, |share| share.min(kept_minor))
    }
}

/// A row of `read.deferred_revenue`.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub(crate) struct DeferredRow {
    pub revision: i64,
    pub asset: String,
    pub received_minor: i64,
    pub returned_minor: i64,
    pub deferred_minor: i64,
}

impl CopyRow for DeferredRow {
    const TABLE: &'static str = "deferred_revenue";
    const COLUMNS: &'static [&'static str] =
        &["revision", "asset", "received_minor", "returned_minor", "deferred_minor"];

    fn fields(&self, fields: &mut impl Fields) {
        fields
            .bigint(self.revision)
            .text(self.asset.clone())
            .bigint(self.received_minor)
            .bigint(self.returned_minor)
            .bigint(self.deferred_minor);
    }
}

/// What became of the money that was paid for coins in one asset, up to a moment.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DeferredRevenue {
    /// What was paid in, such as `INR/2`.
    pub asset: String,
    /// What was paid for coins.
    pub received_minor: i64,
    /// What of it went back to the payers.
    pub returned_minor: i64,
    /// What stands for coins that are not spent.
    pub deferred_minor: i64,
    /// What has been earned: its coins are spent or have expired.
    pub recognised_minor: i64,
    /// Where the money stands by the accounts: all that are not at zero in this asset. Their sum is zero.
    pub lines: Vec<MoneyLine>,
    /// The sum of all lines but those by which money leaves for payouts (`exchange:coins`, `platform:bank`,
    /// `platform:tax`), less deferred and recognised revenue: zero where the books are right.
    pub difference_minor: i64,
}

/// The balance of one account of the platform.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct MoneyLine {
    /// Such as `gateway:razorpay`.
    pub account: String,
    /// Debit is positive: what the platform has.
    pub balance_minor: i64,
}

/// Payouts take money out through these.
const LEAVES_BY: [&str; 3] = ["exchange:coins", "platform:bank", "platform:tax"];

/// Deferred and recognised revenue in each asset that coins were paid in.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DeferredReport {
    pub as_of_revision: Option<i64>,
    pub items: Vec<DeferredRevenue>,
}

impl ReadModels {
    /// Deferred and recognised revenue after the last command that was complete at the moment.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn deferred_revenue(&self, as_of: AsOf) -> Result<DeferredReport, QueryError> {
        let as_of_revision = self.boundary(as_of).await?.map(|(revision, _)| revision);
        let at = as_of_revision.unwrap_or(-1);
        let sums: Vec<DeferredRow> = sqlx::query_as(
            "WITH RECURSIVE assets AS (
                 SELECT min(asset) AS asset FROM read.deferred_revenue
                 UNION ALL
                 SELECT (SELECT min(asset) FROM read.deferred_revenue WHERE asset > assets.asset)
                 FROM assets WHERE assets.asset IS NOT NULL
             )
             SELECT last.* FROM assets
             CROSS JOIN LATERAL (SELECT * FROM read.deferred_revenue WHERE asset = assets.asset AND revision <= $1
                                 ORDER BY revision DESC LIMIT 1) AS last
             ORDER BY asset",
        )
        .bind(at)
        .fetch_all(self.pool()?)
        .await?;
        let mut items = Vec::new();
        for row in sums {
            let kept_minor = row.received_minor - row.returned_minor;
            let lines = self.money_lines(&row.asset, at).await?;
            let stays = |line: &&MoneyLine| !LEAVES_BY.contains(&line.account.as_str());
            let there_minor: i64 = lines.iter().filter(stays).map(|line| line.balance_minor).sum();
            items.push(DeferredRevenue {
                recognised_minor: kept_minor - row.deferred_minor,
                deferred_minor: row.deferred_minor,
                received_minor: row.received_minor,
                returned_minor: row.returned_minor,
                asset: row.asset,
                lines,
                difference_minor: there_minor - kept_minor,
            });
        }
        Ok(DeferredReport { as_of_revision, items })
    }

    /// What the accounts of the platform hold in `asset` after an event.
    async fn money_lines(&self, asset: &str, revision: i64) -> Result<Vec<MoneyLine>, QueryError> {
        // A class without a `*` is one account.
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT balances.account, line.balance_after_minor
             FROM read.account_classes AS classes
             JOIN read.balances ON balances.account = classes.class AND balances.asset = classes.asset
             CROSS JOIN LATERAL (SELECT balance_after_minor FROM read.statement_lines
                                 WHERE statement_lines.account = balances.number AND statement_lines.revision <= $2
                                 ORDER BY revision DESC, posting_index DESC LIMIT 1) AS line
             WHERE classes.asset = $1 AND line.balance_after_minor <> 0 ORDER BY balances.account",
        )
        .bind(asset)
        .bind(revision)
        .fetch_all(self.pool()?)
        .await?;
        let line = |(account, natural): (String, i64)| {
            // The owner's view of the owner's view is the journal's.
            let balance_minor = account.parse().map_or(natural, |account: Account| account.natural_balance(natural));
            MoneyLine { account, balance_minor }
        };
        Ok(rows.into_iter().map(line).collect())
    }

    /// What is left of the purchases of `user`, newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn purchased_lots_of(
        &self,
        user: PersonId,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<PurchasedLotRow>, QueryError> {
        let limit = page_size(limit);
        let rows: Vec<PurchasedLotRow> = sqlx::query_as(
            "SELECT * FROM read.purchased_lots WHERE \"user\" = $1 AND since < $2 ORDER BY since DESC LIMIT $3",
        )
        .bind(user.0)
        .bind(Cursor::read_or("lots", before, i64::MAX)?)
        .bind(limit + 1)
        .fetch_all(self.pool()?)
        .await?;
        Ok(Page::of(rows, limit, "lots", |row| row.since))
    }
}

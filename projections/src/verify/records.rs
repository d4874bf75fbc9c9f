//! Rows that are written once, each by one event: compared as the replay comes by.

use super::compare::{Comparison, Named, difference};
use super::{Books, Stop};
use crate::batch::lines;
use crate::batch::{bps, code, scope};
use crate::queries::*;
use ledger_core::event::*;
use ledger_core::{Event, Recorded, State, Timestamp};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What some whole units should have left in the tables that only grow.
#[derive(Default)]
pub(super) struct Records {
    events: Vec<EventRow>,
    lines: Vec<StatementLine>,
    splits: Vec<SplitRow>,
    gifts: Vec<GiftRow>,
    unmatched: Vec<UnmatchedRow>,
    rates: Vec<CommissionRateRow>,
    gift_splits: BTreeMap<Uuid, (i64, i64, i64)>,
}

impl Records {
    /// `state` and `books` stand after the event.
    pub fn add(&mut self, recorded: &Recorded, state: &State, books: &Books) {
        let Recorded { event_id, metadata, event, .. } = recorded;
        let (revision, at) = (pg_revision(recorded.revision), metadata.recorded_at.to_utc());
        let json = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or_default();
        self.events.push(EventRow {
            revision,
            event_id: *event_id,
            kind: event.kind().to_owned(),
            recorded_at: at,
            actor: metadata.actor.to_string(),
            payer: metadata.payer.map(|person| person.0),
            correlation: metadata.correlation,
            command_id: metadata.command_id.0,
            closes_unit: metadata.closes_unit(),
            people: event.people().iter().map(|person| person.0).collect(),
            data: json(&event.encode()),
            metadata: json(&metadata.encode()),
        });
        self.add_lines(recorded, state, books);
        match event {
            Event::CommissionSplit(it) => self.add_split(it, recorded),
            Event::GiftSent(it) => self.gifts.push(GiftRow {
                sending: it.sending.0,
                revision,
                gift: it.gift.0,
                sender: it.sender.0,
                host: it.host.0,
                call: it.call.map(|call| call.0),
                price_milli: it.price_milli,
                host_milli: 0,
                agency_milli: 0,
                platform_milli: 0,
                sent_at: at,
            }),
            Event::UnmatchedMoneyReceived(it) => self.unmatched.push(UnmatchedRow {
                revision,
                recorded_at: at,
                gateway: it.gateway.name().to_owned(),
                payment_ref: it.payment_ref.clone(),
                purchase: it.purchase.map(|purchase| purchase.0),
                cause: code(it.cause),
                direction: code(it.direction),
                amount_minor: it.amount_minor,
                amount_asset: it.amount_asset.to_string(),
            }),
            Event::PurchaseRefunded(it) if it.uncovered_minor > 0 => self.unmatched.push(UnmatchedRow {
                revision,
                recorded_at: at,
                gateway: it.gateway.name().to_owned(),
                payment_ref: it.refund_ref.clone(),
                purchase: Some(it.purchase.0),
                cause: "refund_uncovered".to_owned(),
                direction: "out".to_owned(),
                amount_minor: it.uncovered_minor,
                amount_asset: it.refunded_asset.to_string(),
            }),
            Event::CommissionRateSet(it) => {
                self.add_rate(recorded, it.scope, Some((it.host_bps, it.agency_bps)), it.effective_from);
            }
            Event::CommissionRateCleared(it) => self.add_rate(recorded, it.scope, None, it.effective_from),
            _ => {}
        }
    }

    fn add_lines(&mut self, recorded: &Recorded, state: &State, books: &Books) {
        let (event, metadata) = (&recorded.event, &recorded.metadata);
        let postings = event.postings();
        let call = metadata.correlation.and_then(|id| state.call(id.into()));
        let medium = call.map(|call| code(call.medium));
        for (index, (posting, after)) in postings.iter().zip(&books.after).enumerate() {
            let account = posting.account;
            let other = lines::opposite(postings, index).map(|posting| posting.account);
            let words = lines::describe(event, account, medium.as_deref());
            self.lines.push(StatementLine {
                account: account.to_string(),
                asset: posting.asset.to_string(),
                revision: pg_revision(recorded.revision),
                posting_index: i32::try_from(index).unwrap_or(i32::MAX),
                recorded_at: metadata.recorded_at.to_utc(),
                kind: event.kind().to_owned(),
                movement: words.movement.to_owned(),
                status: words.status.to_owned(),
                description: words.description.into_owned(),
                amount_minor: account.natural_balance(posting.amount),
                balance_after_minor: account.natural_balance(*after),
                counterparty_account: other.map(|other| other.to_string()),
                counterparty_person: lines::counterparty(event, account, other).map(|person| person.0),
                correlation: metadata.correlation,
                person: account.person().map(|person| person.0),
            });
        }
    }

    fn add_split(&mut self, it: &CommissionSplit, recorded: &Recorded) {
        let (source, source_id) = match it.source {
            SplitSource::Call(call) => ("call", call.0),
            SplitSource::Gift(sending) => {
                let shares = (it.host_milli, it.agency_milli, it.platform_milli);
                self.gift_splits.insert(sending.0, shares);
                ("gift", sending.0)
            }
        };
        self.splits.push(SplitRow {
            revision: pg_revision(recorded.revision),
            recorded_at: recorded.metadata.recorded_at.to_utc(),
            source: source.to_owned(),
            source_id,
            payer: it.payer.0,
            host: it.host.0,
            agency: it.commission.agency.map(|agency| agency.0),
            commission_scope: scope(it.commission.scope).0.to_owned(),
            host_bps: bps(it.commission.host_bps),
            agency_bps: bps(it.commission.agency_bps),
            gross_milli: it.gross_milli,
            host_milli: it.host_milli,
            agency_milli: it.agency_milli,
            platform_milli: it.platform_milli,
            available_from: it.available_from.to_utc(),
        });
    }

    fn add_rate(
        &mut self,
        recorded: &Recorded,
        of: CommissionScope,
        shares: Option<(u32, u32)>,
        effective_from: Timestamp,
    ) {
        let (scope, scope_id) = scope(of);
        self.rates.push(CommissionRateRow {
            revision: pg_revision(recorded.revision),
            scope: scope.to_owned(),
            scope_id,
            host_bps: shares.map(|(host, _)| bps(host)),
            agency_bps: shares.map(|(_, agency)| bps(agency)),
            effective_from: effective_from.to_utc(),
            recorded_at: recorded.metadata.recorded_at.to_utc(),
            actor: recorded.metadata.actor.to_string(),
        });
    }

    /// Compares with the rows of the revisions `first` to `last`.
    pub async fn compare(
        mut self,
        comparison: &mut Comparison<'_>,
        first: u64,
        last: u64,
    ) -> Result<(), Stop> {
        for gift in &mut self.gifts {
            let shares = self.gift_splits.get(&gift.sending).copied().unwrap_or_default();
            (gift.host_milli, gift.agency_milli, gift.platform_milli) = shares;
        }
        let range = (pg_revision(first), pg_revision(last));
        comparison
            .window(
                "SELECT * FROM read.statement_lines WHERE revision BETWEEN $1 AND $2
                 ORDER BY revision, posting_index",
                range,
                &self.lines,
            )
            .await?;
        comparison
            .window(
                "SELECT * FROM read.events WHERE revision BETWEEN $1 AND $2 ORDER BY revision",
                range,
                &self.events,
            )
            .await?;
        comparison
            .window(
                "SELECT * FROM read.commission_splits WHERE revision BETWEEN $1 AND $2 ORDER BY revision",
                range,
                &self.splits,
            )
            .await?;
        comparison
            .window(
                "SELECT * FROM read.gifts_sent WHERE revision BETWEEN $1 AND $2 ORDER BY revision",
                range,
                &self.gifts,
            )
            .await?;
        comparison
            .window(
                "SELECT * FROM read.unmatched_money WHERE revision BETWEEN $1 AND $2 ORDER BY revision",
                range,
                &self.unmatched,
            )
            .await?;
        comparison
            .window(
                "SELECT * FROM read.commission_rates WHERE revision BETWEEN $1 AND $2 ORDER BY revision",
                range,
                &self.rates,
            )
            .await
    }
}

/// No row speaks of an event that has not been projected.
pub(super) async fn nothing_beyond(
    comparison: &mut Comparison<'_>,
    checkpoint: Option<u64>,
) -> Result<(), Stop> {
    let row: Option<(String, String, i64)> = sqlx::query_as(
        "SELECT name, id, revision FROM (
             SELECT 'statement_lines' AS name, account AS id, revision FROM read.statement_lines
             UNION ALL SELECT 'events', event_id::text, revision FROM read.events
             UNION ALL SELECT 'commission_splits', source_id::text, revision FROM read.commission_splits
             UNION ALL SELECT 'gifts_sent', sending::text, revision FROM read.gifts_sent
             UNION ALL SELECT 'unmatched_money', payment_ref, revision FROM read.unmatched_money
             UNION ALL SELECT 'commission_rates', scope, revision FROM read.commission_rates
         ) AS rows WHERE revision > $1 OR revision < 0 ORDER BY revision LIMIT 1",
    )
    .bind(checkpoint.map_or(-1, pg_revision))
    .fetch_optional(&mut *comparison.connection)
    .await?;
    match row {
        Some((table, id, revision)) => Err(difference(&table, id, Some(revision), "no row", "a row")),
        None => Ok(()),
    }
}

macro_rules! named {
    ($($row:ty: $table:literal, $id:expr;)*) => {$(
        impl Named for $row {
            const TABLE: &'static str = $table;
            fn id(&self) -> String {
                let id: fn(&Self) -> String = $id;
                id(self)
            }
            fn revision(&self) -> i64 {
                self.revision
            }
        }
    )*};
}

named! {
    EventRow: "events", |row| row.event_id.to_string();
    SplitRow: "commission_splits", |row| row.source_id.to_string();
    GiftRow: "gifts_sent", |row| row.sending.to_string();
    UnmatchedRow: "unmatched_money", |row| row.payment_ref.clone();
    CommissionRateRow: "commission_rates", |row| row.scope.clone();
    CallRow: "calls", |row| row.call.to_string();
    PurchaseRow: "purchases", |row| row.purchase.to_string();
    WithdrawalRow: "withdrawals", |row| row.withdrawal.to_string();
    BonusLotRow: "bonus_lots", |row| row.lot.to_string();
    CoinPlanRow: "coin_plans", |row| row.plan.to_string();
    GiftPriceRow: "gift_prices", |row| row.gift.to_string();
    HostRateRow: "host_rates", |row| format!("{} {}", row.host, row.medium);
    AgencyMemberRow: "agency_members", |row| row.host.to_string();
    RevenueRow: "revenue_by_day", |row| format!("{} {}", row.day, row.source);
    HostGiftTotals: "host_gift_totals", |row| row.host.to_string();
}

impl Named for StatementLine {
    const TABLE: &'static str = "statement_lines";
    fn id(&self) -> String {
        self.account.clone()
    }
    fn revision(&self) -> i64 {
        self.revision
    }
    fn place(&self) -> (i64, i32) {
        (self.revision, self.posting_index)
    }
}

//! Applies events to rows, in memory.

use super::lines;
use crate::error::ProjectError;
use crate::queries::*;
use chrono::{DateTime, NaiveDate, Utc};
use ledger_core::event::*;
use ledger_core::{Account, Asset, Event, Recorded, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

pub(super) type BalanceKey = (Account, Asset);

/// Debit positive.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Balance {
    pub balance_minor: i64,
    pub revision: i64,
}

/// What a batch makes of the rows that it touches. Rows of `gift_totals` and `revenue` are what the
/// batch adds; all others are whole.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub balances: HashMap<BalanceKey, Balance>,
    pub lines: Vec<StatementLine>,
    pub events: Vec<EventText>,
    pub calls: BTreeMap<Uuid, CallRow>,
    pub gifts: BTreeMap<Uuid, GiftRow>,
    pub gift_totals: BTreeMap<Uuid, HostGiftTotals>,
    pub splits: Vec<SplitRow>,
    pub revenue: BTreeMap<(NaiveDate, String), RevenueRow>,
    pub purchases: BTreeMap<Uuid, PurchaseRow>,
    pub unmatched: Vec<UnmatchedRow>,
    pub withdrawals: BTreeMap<Uuid, WithdrawalRow>,
    pub bonus_lots: BTreeMap<Uuid, BonusLotRow>,
    pub plans: BTreeMap<Uuid, CoinPlanRow>,
    pub gift_prices: BTreeMap<Uuid, GiftPriceRow>,
    pub host_rates: BTreeMap<(Uuid, String), HostRateRow>,
    pub commission_rates: Vec<CommissionRateRow>,
    pub members: BTreeMap<(Uuid, i64), AgencyMemberRow>,
}

/// A row of `read.events`, its JSON as canonical text.
#[derive(Debug)]
pub(super) struct EventText {
    pub revision: i64,
    pub event_id: Uuid,
    pub kind: &'static str,
    pub recorded_at: DateTime<Utc>,
    pub actor: String,
    pub payer: Option<Uuid>,
    pub correlation: Option<Uuid>,
    pub command_id: Uuid,
    pub closes_unit: bool,
    /// As Postgres writes an array: `{id,id}`.
    pub people: String,
    pub data: String,
    pub metadata: String,
}

/// The name that a unit enum has in the journal.
pub(crate) fn code(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(code)) => code,
        _ => unreachable!("only enums without content are written as codes"),
    }
}

/// A scope as its kind and the id in it.
pub(crate) fn scope(scope: CommissionScope) -> (&'static str, Option<Uuid>) {
    match scope {
        CommissionScope::Global => ("global", None),
        CommissionScope::Agency(agency) => ("agency", Some(agency.0)),
        CommissionScope::Host(host) => ("host", Some(host.0)),
    }
}

/// Basis points as Postgres has them: at most 10,000.
pub(crate) fn bps(bps: u32) -> i32 {
    i32::try_from(bps).unwrap_or(i32::MAX)
}

impl Rows {
    pub fn apply(&mut self, recorded: &Recorded) -> Result<(), ProjectError> {
        let place = Place {
            revision: pg_revision(recorded.revision),
            at: recorded.metadata.recorded_at.to_utc(),
            recorded,
        };
        self.events.push(event_text(&place));
        self.apply_event(&place)?;
        // After the call's row is there, whose medium the statement names.
        self.post(&place);
        Ok(())
    }

    fn post(&mut self, place: &Place<'_>) {
        let event = &place.recorded.event;
        let postings = event.postings();
        if postings.is_empty() {
            return;
        }
        let correlation = place.recorded.metadata.correlation;
        let medium = correlation.and_then(|id| self.calls.get(&id)).map(|call| call.medium.clone());
        for (posting, index) in postings.iter().zip(0_i32..) {
            let balance = self.balances.entry((posting.account, posting.asset)).or_default();
            balance.balance_minor += posting.amount;
            balance.revision = place.revision;
            let account = posting.account;
            let words = lines::describe(event, account, medium.as_deref());
            let other = lines::opposite(postings, index as usize).map(|posting| posting.account);
            self.lines.push(StatementLine {
                account: account.to_string(),
                asset: posting.asset.to_string(),
                revision: place.revision,
                posting_index: index,
                recorded_at: place.at,
                kind: event.kind().to_owned(),
                movement: words.movement.to_owned(),
                status: words.status.to_owned(),
                description: words.description.into_owned(),
                amount_minor: account.natural_balance(posting.amount),
                balance_after_minor: account.natural_balance(balance.balance_minor),
                counterparty_account: other.map(|other| other.to_string()),
                counterparty_person: lines::counterparty(event, account, other).map(|person| person.0),
                correlation,
                person: account.person().map(|person| person.0),
            });
        }
    }

    fn apply_event(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        let (revision, at) = (place.revision, place.at);
        match &place.recorded.event {
            Event::JournalOpened(_) => {}
            Event::CoinPlanSet(it) => _ = self.plans.insert(it.plan.0, plan(it, revision)),
            Event::GiftPriceSet(it) => {
                let row = GiftPriceRow { gift: it.gift.0, price_milli: it.price_milli, revision };
                self.gift_prices.insert(row.gift, row);
            }
            Event::HostRateSet(it) => {
                let (host, medium) = (it.host.0, code(it.medium));
                let price_milli_per_minute = it.price_milli_per_minute;
                let row = HostRateRow { host, medium: medium.clone(), price_milli_per_minute, revision };
                self.host_rates.insert((host, medium), row);
            }
            Event::CommissionRateSet(it) => {
                let shares = Some((bps(it.host_bps), bps(it.agency_bps)));
                self.commission_rates.push(rate(place, it.scope, shares, it.effective_from));
            }
            Event::CommissionRateCleared(it) => {
                self.commission_rates.push(rate(place, it.scope, None, it.effective_from));
            }
            Event::AgencyJoined(it) => {
                let row = AgencyMemberRow {
                    host: it.host.0,
                    joined_revision: revision,
                    agency: it.agency.0,
                    joined_at: at,
                    left_at: None,
                    revision,
                };
                self.members.insert((row.host, revision), row);
            }
            Event::AgencyLeft(it) => {
                let open =
                    self.members.values_mut().find(|row| row.host == it.host.0 && row.left_at.is_none());
                let row = open.ok_or_else(|| place.lacks("the agency of", it.host))?;
                (row.left_at, row.revision) = (Some(at), revision);
            }
            Event::PurchaseOpened(it) => _ = self.purchases.insert(it.purchase.0, opened(it, place)),
            Event::PurchaseCaptured(it) => {
                let row = find(&mut self.purchases, it.purchase.0, "purchase", place)?;
                row.status = "captured".to_owned();
                row.payment_ref = Some(it.payment_ref.clone());
                row.paid_minor = it.paid_minor;
                (row.captured_at, row.revision) = (Some(at), revision);
            }
            Event::PurchaseFailed(it) => {
                let row = find(&mut self.purchases, it.purchase.0, "purchase", place)?;
                row.status = "failed".to_owned();
                row.payment_ref = Some(it.payment_ref.clone());
                row.fail_reason = Some(it.reason.clone());
                (row.failed_at, row.revision) = (Some(at), revision);
            }
            Event::PurchaseRefunded(it) => self.refund(it, place)?,
            Event::UnmatchedMoneyReceived(it) => self.unmatched.push(UnmatchedRow {
                revision,
                recorded_at: at,
                gateway: it.gateway.name().to_owned(),
                payment_ref: it.payment_ref.clone(),
                purchase: it.purchase.map(|id| id.0),
                cause: code(it.cause),
                direction: code(it.direction),
                amount_minor: it.amount_minor,
                amount_asset: it.amount_asset.to_string(),
            }),
            Event::BonusGranted(it) => {
                let lot = BonusLotRow {
                    lot: it.lot.0,
                    user: it.user.0,
                    origin: code(it.origin),
                    purchase: it.purchase.map(|id| id.0),
                    granted_milli: it.coins_milli,
                    remaining_milli: it.coins_milli,
                    granted_at: at,
                    expires_at: it.expires_at.map(Timestamp::to_utc),
                    expired_at: None,
                    revision,
                };
                self.bonus_lots.insert(lot.lot, lot);
            }
            Event::BonusExpired(it) => {
                let row = find(&mut self.bonus_lots, it.lot.0, "bonus lot", place)?;
                row.remaining_milli -= it.coins_milli;
                (row.expired_at, row.revision) = (Some(at), revision);
            }
            Event::CallStarted(it) => _ = self.calls.insert(it.call.0, started(it, place)),
            Event::CallTicked(it) => {
                let row = find(&mut self.calls, it.call.0, "call", place)?;
                row.ticks = i64::from(it.number);
                row.charged_total_milli = it.charged_total_milli;
                row.revision = revision;
                self.draw(&it.draws, place)?;
            }
            Event::CallPaused(it) => {
                let row = find(&mut self.calls, it.call.0, "call", place)?;
                row.status = "paused".to_owned();
                row.connected_ms = it.connected_ms;
                (row.lost_at, row.revision) = (Some(it.lost_at.to_utc()), revision);
            }
            Event::CallResumed(it) => {
                let row = find(&mut self.calls, it.call.0, "call", place)?;
                row.status = "running".to_owned();
                (row.lost_at, row.revision) = (None, revision);
            }
            Event::CallEnded(it) => {
                let row = find(&mut self.calls, it.call.0, "call", place)?;
                row.status = "ended".to_owned();
                row.lost_at = None;
                row.end_reason = Some(code(it.reason));
                row.ended_by = it.ended_by.map(|person| person.0);
                row.connected_ms = it.connected_ms;
                (row.ended_at, row.revision) = (Some(at), revision);
            }
            Event::GiftSent(it) => {
                self.gift(it, place);
                self.draw(&it.draws, place)?;
            }
            Event::CommissionSplit(it) => self.split(it, place)?,
            Event::WithdrawalRequested(it) => {
                self.withdrawals.insert(it.withdrawal.0, requested(it, place));
            }
            Event::WithdrawalApproved(it) => {
                let row = self.withdrawal(it.withdrawal, "approved", place)?;
                row.approved_at = Some(at);
            }
            Event::WithdrawalRejected(it) => {
                let row = self.withdrawal(it.withdrawal, "rejected", place)?;
                (row.rejected_at, row.reason) = (Some(at), Some(it.reason.clone()));
            }
            Event::WithdrawalCancelled(it) => {
                let row = self.withdrawal(it.withdrawal, "cancelled", place)?;
                row.cancelled_at = Some(at);
            }
            Event::WithdrawalPaid(it) => {
                let row = self.withdrawal(it.withdrawal, "paid", place)?;
                (row.paid_at, row.payout_ref) = (Some(at), Some(it.payout_ref.clone()));
            }
            Event::WithdrawalFailed(it) => {
                let row = self.withdrawal(it.withdrawal, "failed", place)?;
                (row.failed_at, row.reason) = (Some(at), Some(it.reason.clone()));
            }
            Event::AdjustmentPosted(it) => self.adjust(it, place)?,
        }
        Ok(())
    }

    fn withdrawal(
        &mut self,
        id: ledger_core::WithdrawalId,
        status: &str,
        place: &Place<'_>,
    ) -> Result<&mut WithdrawalRow, ProjectError> {
        let row = find(&mut self.withdrawals, id.0, "withdrawal", place)?;
        row.status = status.to_owned();
        row.revision = place.revision;
        Ok(row)
    }

    fn draw(&mut self, draws: &[Draw], place: &Place<'_>) -> Result<(), ProjectError> {
        for draw in draws.iter().filter(|draw| matches!(draw.account, Account::UserBonus(_))) {
            let row = find(&mut self.bonus_lots, draw.lot.0, "bonus lot", place)?;
            row.remaining_milli -= draw.amount_milli;
            row.revision = place.revision;
        }
        Ok(())
    }

    fn refund(&mut self, it: &PurchaseRefunded, place: &Place<'_>) -> Result<(), ProjectError> {
        let row = find(&mut self.purchases, it.purchase.0, "purchase", place)?;
        row.refunded_minor += it.refunded_minor;
        row.refunded_coins_milli += it.coins_milli;
        let whole = row.refunded_minor == row.paid_minor;
        row.status = if whole { "refunded" } else { "partly_refunded" }.to_owned();
        (row.refunded_at, row.revision) = (Some(place.at), place.revision);
        if let Some(lot) = it.bonus_lot {
            let row = find(&mut self.bonus_lots, lot.0, "bonus lot", place)?;
            row.remaining_milli -= it.bonus_milli;
            row.revision = place.revision;
        }
        if it.uncovered_minor > 0 {
            self.unmatched.push(UnmatchedRow {
                revision: place.revision,
                recorded_at: place.at,
                gateway: it.gateway.name().to_owned(),
                payment_ref: it.refund_ref.clone(),
                purchase: Some(it.purchase.0),
                cause: "refund_uncovered".to_owned(),
                direction: "out".to_owned(),
                amount_minor: it.uncovered_minor,
                amount_asset: it.refunded_asset.to_string(),
            });
        }
        Ok(())
    }

    fn gift(&mut self, it: &GiftSent, place: &Place<'_>) {
        let row = GiftRow {
            sending: it.sending.0,
            revision: place.revision,
            gift: it.gift.0,
            sender: it.sender.0,
            host: it.host.0,
            call: it.call.map(|id| id.0),
            price_milli: it.price_milli,
            // The split is the next event of the unit.
            host_milli: 0,
            agency_milli: 0,
            platform_milli: 0,
            sent_at: place.at,
        };
        self.gifts.insert(row.sending, row);
        let none = HostGiftTotals { host: it.host.0, gift_count: 0, value_milli: 0, revision: 0 };
        let totals = self.gift_totals.entry(it.host.0).or_insert(none);
        totals.gift_count += 1;
        totals.value_milli += it.price_milli;
        totals.revision = place.revision;
    }

    fn split(&mut self, it: &CommissionSplit, place: &Place<'_>) -> Result<(), ProjectError> {
        let (source, source_id, revenue_source) = match it.source {
            SplitSource::Call(id) => {
                let row = find(&mut self.calls, id.0, "call", place)?;
                row.host_earned_milli += it.host_milli;
                row.agency_earned_milli += it.agency_milli;
                row.platform_earned_milli += it.platform_milli;
                row.revision = place.revision;
                ("call", id.0, format!("call_{}", row.medium))
            }
            SplitSource::Gift(id) => {
                let row = find(&mut self.gifts, id.0, "gift", place)?;
                row.host_milli += it.host_milli;
                row.agency_milli += it.agency_milli;
                row.platform_milli += it.platform_milli;
                ("gift", id.0, "gift".to_owned())
            }
        };
        self.splits.push(SplitRow {
            revision: place.revision,
            recorded_at: place.at,
            source: source.to_owned(),
            source_id,
            payer: it.payer.0,
            host: it.host.0,
            agency: it.commission.agency.map(|id| id.0),
            commission_scope: scope(it.commission.scope).0.to_owned(),
            host_bps: bps(it.commission.host_bps),
            agency_bps: bps(it.commission.agency_bps),
            gross_milli: it.gross_milli,
            host_milli: it.host_milli,
            agency_milli: it.agency_milli,
            platform_milli: it.platform_milli,
            available_from: it.available_from.to_utc(),
        });
        let day = place.at.date_naive();
        let row = self.revenue.entry((day, revenue_source.clone())).or_insert(RevenueRow {
            day,
            source: revenue_source,
            gross_milli: 0,
            host_milli: 0,
            agency_milli: 0,
            platform_milli: 0,
            charge_count: 0,
            revision: 0,
        });
        row.gross_milli += it.gross_milli;
        row.host_milli += it.host_milli;
        row.agency_milli += it.agency_milli;
        row.platform_milli += it.platform_milli;
        row.charge_count += 1;
        row.revision = place.revision;
        Ok(())
    }

    fn adjust(&mut self, it: &AdjustmentPosted, place: &Place<'_>) -> Result<(), ProjectError> {
        if let (Some(lot), Account::UserBonus(user)) = (it.lot, it.account) {
            let row = BonusLotRow {
                lot: lot.0,
                user: user.0,
                origin: "adjustment".to_owned(),
                purchase: None,
                granted_milli: it.amount_milli,
                remaining_milli: it.amount_milli,
                granted_at: place.at,
                expires_at: None,
                expired_at: None,
                revision: place.revision,
            };
            self.bonus_lots.insert(lot.0, row);
        }
        self.draw(&it.draws, place)
    }
}

/// Where in the journal an event stands.
struct Place<'a> {
    revision: i64,
    at: DateTime<Utc>,
    recorded: &'a Recorded,
}

impl Place<'_> {
    fn lacks(&self, what: &str, id: impl std::fmt::Display) -> ProjectError {
        ProjectError::Incomplete { revision: self.recorded.revision, missing: format!("{what} {id}") }
    }
}

fn find<'a, T>(
    rows: &'a mut BTreeMap<Uuid, T>,
    id: Uuid,
    what: &str,
    place: &Place<'_>,
) -> Result<&'a mut T, ProjectError> {
    rows.get_mut(&id).ok_or_else(|| place.lacks(&format!("the {what}"), id))
}

fn event_text(place: &Place<'_>) -> EventText {
    let Recorded { event_id, metadata, event, .. } = place.recorded;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("JSON is UTF-8");
    let people: Vec<String> = event.people().iter().map(ToString::to_string).collect();
    EventText {
        revision: place.revision,
        event_id: *event_id,
        kind: event.kind(),
        recorded_at: place.at,
        actor: metadata.actor.to_string(),
        payer: metadata.payer.map(|person| person.0),
        correlation: metadata.correlation,
        command_id: metadata.command_id.0,
        closes_unit: metadata.closes_unit(),
        people: format!("{{{}}}", people.join(",")),
        data: text(event.encode()),
        metadata: text(metadata.encode()),
    }
}

fn plan(it: &CoinPlanSet, revision: i64) -> CoinPlanRow {
    CoinPlanRow {
        plan: it.plan.0,
        coins_milli: it.coins_milli,
        bonus_milli: it.bonus_milli,
        bonus_valid_seconds: it.bonus_valid_seconds.map(i64::from),
        price_minor: it.price_minor,
        price_asset: it.price_asset.to_string(),
        active: it.active,
        revision,
    }
}

fn rate(
    place: &Place<'_>,
    of: CommissionScope,
    shares: Option<(i32, i32)>,
    effective_from: Timestamp,
) -> CommissionRateRow {
    let (scope, scope_id) = scope(of);
    CommissionRateRow {
        revision: place.revision,
        scope: scope.to_owned(),
        scope_id,
        host_bps: shares.map(|(host, _)| host),
        agency_bps: shares.map(|(_, agency)| agency),
        effective_from: effective_from.to_utc(),
        recorded_at: place.at,
        actor: place.recorded.metadata.actor.to_string(),
    }
}

fn opened(it: &PurchaseOpened, place: &Place<'_>) -> PurchaseRow {
    PurchaseRow {
        purchase: it.purchase.0,
        opened_revision: place.revision,
        user: it.user.0,
        plan: it.plan.0,
        gateway: it.gateway.name().to_owned(),
        coins_milli: it.coins_milli,
        bonus_milli: it.bonus_milli,
        price_minor: it.price_minor,
        price_asset: it.price_asset.to_string(),
        status: "opened".to_owned(),
        payment_ref: None,
        fail_reason: None,
        paid_minor: 0,
        refunded_minor: 0,
        refunded_coins_milli: 0,
        opened_at: place.at,
        captured_at: None,
        failed_at: None,
        refunded_at: None,
        revision: place.revision,
    }
}

fn started(it: &CallStarted, place: &Place<'_>) -> CallRow {
    CallRow {
        call: it.call.0,
        started_revision: place.revision,
        payer: it.payer.0,
        host: it.host.0,
        medium: code(it.medium),
        price_milli_per_minute: it.price_milli_per_minute,
        increment_seconds: i64::from(it.increment_seconds),
        free_seconds: i64::from(it.free_seconds),
        grace_seconds: i64::from(it.grace_seconds),
        commission_scope: scope(it.commission.scope).0.to_owned(),
        host_bps: bps(it.commission.host_bps),
        agency_bps: bps(it.commission.agency_bps),
        agency: it.commission.agency.map(|id| id.0),
        started_at: place.at,
        ended_at: None,
        status: "running".to_owned(),
        lost_at: None,
        end_reason: None,
        ended_by: None,
        connected_ms: 0,
        ticks: 0,
        charged_total_milli: 0,
        host_earned_milli: 0,
        agency_earned_milli: 0,
        platform_earned_milli: 0,
        revision: place.revision,
    }
}

fn requested(it: &WithdrawalRequested, place: &Place<'_>) -> WithdrawalRow {
    WithdrawalRow {
        withdrawal: it.withdrawal.0,
        requested_revision: place.revision,
        host: it.host.0,
        coins_milli: it.coins_milli,
        rate: it.rate.to_string(),
        payout_minor: it.payout_minor,
        payout_asset: it.payout_asset.to_string(),
        status: "requested".to_owned(),
        payout_ref: None,
        reason: None,
        requested_at: place.at,
        approved_at: None,
        rejected_at: None,
        cancelled_at: None,
        paid_at: None,
        failed_at: None,
        revision: place.revision,
    }
}

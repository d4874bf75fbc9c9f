//! Rows that many events change: what they should be at the end of the replay.
//!
//! What the ledger's state knows (what was charged, refunded, is left, which state a withdrawal is
//! in) is taken from there; what it does not keep (times, references) from the events.

use super::Stop;
use super::compare::Comparison;
use crate::batch::{bps, code, scope};
use crate::queries::*;
use chrono::{DateTime, NaiveDate, Utc};
use ledger_core::call::Phase;
use ledger_core::event::*;
use ledger_core::{Account, Event, Medium, PersonId, PlanId, Recorded, State, Timestamp};
use std::collections::BTreeMap;
use uuid::Uuid;

/// An event's place.
#[derive(Clone, Copy, Debug, Default)]
struct When {
    revision: i64,
    at: DateTime<Utc>,
}

/// The last event of each kind about one thing.
#[derive(Clone, Debug)]
struct Story<T> {
    opening: T,
    opened: When,
    last: When,
    /// When each kind of event last happened to it.
    moments: BTreeMap<&'static str, When>,
}

impl<T> Story<T> {
    fn new(opening: T, when: When) -> Story<T> {
        Story { opening, opened: when, last: when, moments: BTreeMap::new() }
    }

    fn at(&self, kind: &str) -> Option<DateTime<Utc>> {
        self.moments.get(kind).map(|when| when.at)
    }
}

/// What was split of one source.
#[derive(Clone, Copy, Debug, Default)]
struct Split {
    gross_milli: i64,
    host_milli: i64,
    agency_milli: i64,
    platform_milli: i64,
    count: i64,
    revision: i64,
}

impl Split {
    fn add(&mut self, it: &CommissionSplit, revision: i64) {
        self.gross_milli += it.gross_milli;
        self.host_milli += it.host_milli;
        self.agency_milli += it.agency_milli;
        self.platform_milli += it.platform_milli;
        self.count += 1;
        self.revision = revision;
    }
}

struct Lot {
    user: PersonId,
    origin: &'static str,
    purchase: Option<Uuid>,
    granted_milli: i64,
    expires_at: Option<Timestamp>,
}

struct Member {
    host: Uuid,
    agency: Uuid,
    joined: When,
    left: Option<When>,
}

/// What the events so far should have made of the rows that change.
#[derive(Default)]
pub(super) struct Expected {
    calls: BTreeMap<Uuid, Story<CallStarted>>,
    /// Connected time at the last pause or the end, and how each call ended.
    connected: BTreeMap<Uuid, i64>,
    endings: BTreeMap<Uuid, CallEnded>,
    purchases: BTreeMap<Uuid, Story<PurchaseOpened>>,
    payment_refs: BTreeMap<Uuid, String>,
    fail_reasons: BTreeMap<Uuid, String>,
    paid: BTreeMap<Uuid, i64>,
    refunded_coins: BTreeMap<Uuid, i64>,
    withdrawals: BTreeMap<Uuid, Story<WithdrawalRequested>>,
    payout_refs: BTreeMap<Uuid, String>,
    reasons: BTreeMap<Uuid, String>,
    lots: BTreeMap<Uuid, Story<Lot>>,
    plans: BTreeMap<Uuid, i64>,
    gift_prices: BTreeMap<Uuid, i64>,
    host_rates: BTreeMap<(Uuid, Medium), i64>,
    members: Vec<Member>,
    call_splits: BTreeMap<Uuid, Split>,
    /// By day and, of calls, the call's medium.
    revenue: BTreeMap<(NaiveDate, Option<Medium>), Split>,
    received: BTreeMap<Uuid, HostGiftTotals>,
}

fn touch<T>(stories: &mut BTreeMap<Uuid, Story<T>>, id: Uuid, kind: &'static str, when: When) {
    if let Some(story) = stories.get_mut(&id) {
        story.last = when;
        story.moments.insert(kind, when);
    }
}

impl Expected {
    pub fn add(&mut self, recorded: &Recorded) {
        let event = &recorded.event;
        let kind = event.kind();
        let when =
            When { revision: pg_revision(recorded.revision), at: recorded.metadata.recorded_at.to_utc() };
        match event {
            Event::CallStarted(it) => _ = self.calls.insert(it.call.0, Story::new(it.clone(), when)),
            Event::CallTicked(it) => {
                touch(&mut self.calls, it.call.0, kind, when);
                self.drawn(&it.draws, kind, when);
            }
            Event::CallPaused(it) => {
                touch(&mut self.calls, it.call.0, kind, when);
                self.connected.insert(it.call.0, it.connected_ms);
            }
            Event::CallResumed(it) => touch(&mut self.calls, it.call.0, kind, when),
            Event::CallEnded(it) => {
                touch(&mut self.calls, it.call.0, kind, when);
                self.connected.insert(it.call.0, it.connected_ms);
                self.endings.insert(it.call.0, it.clone());
            }
            Event::GiftSent(it) => {
                let none = HostGiftTotals { host: it.host.0, gift_count: 0, value_milli: 0, revision: 0 };
                let totals = self.received.entry(it.host.0).or_insert(none);
                totals.gift_count += 1;
                totals.value_milli += it.price_milli;
                totals.revision = when.revision;
                self.drawn(&it.draws, kind, when);
            }
            Event::CommissionSplit(it) => self.split(it, when),
            Event::PurchaseOpened(it) => {
                self.purchases.insert(it.purchase.0, Story::new(it.clone(), when));
            }
            Event::PurchaseCaptured(it) => {
                touch(&mut self.purchases, it.purchase.0, kind, when);
                self.payment_refs.insert(it.purchase.0, it.payment_ref.clone());
                self.paid.insert(it.purchase.0, it.paid_minor);
            }
            Event::PurchaseFailed(it) => {
                touch(&mut self.purchases, it.purchase.0, kind, when);
                self.payment_refs.insert(it.purchase.0, it.payment_ref.clone());
                self.fail_reasons.insert(it.purchase.0, it.reason.clone());
            }
            Event::PurchaseRefunded(it) => {
                touch(&mut self.purchases, it.purchase.0, kind, when);
                *self.refunded_coins.entry(it.purchase.0).or_default() += it.coins_milli;
                if let Some(lot) = it.bonus_lot {
                    touch(&mut self.lots, lot.0, kind, when);
                }
            }
            Event::BonusGranted(it) => {
                let origin = match it.origin {
                    BonusOrigin::Plan => "plan",
                    BonusOrigin::Promotion => "promotion",
                };
                let (purchase, granted_milli) = (it.purchase.map(|id| id.0), it.coins_milli);
                let lot = Lot { user: it.user, origin, purchase, granted_milli, expires_at: it.expires_at };
                self.lots.insert(it.lot.0, Story::new(lot, when));
            }
            Event::BonusExpired(it) => touch(&mut self.lots, it.lot.0, kind, when),
            Event::AdjustmentPosted(it) => {
                if let (Some(id), Account::UserBonus(user)) = (it.lot, it.account) {
                    let granted_milli = it.amount_milli;
                    let lot =
                        Lot { user, origin: "adjustment", purchase: None, granted_milli, expires_at: None };
                    self.lots.insert(id.0, Story::new(lot, when));
                }
                self.drawn(&it.draws, kind, when);
            }
            Event::WithdrawalRequested(it) => {
                self.withdrawals.insert(it.withdrawal.0, Story::new(it.clone(), when));
            }
            Event::WithdrawalApproved(it) => touch(&mut self.withdrawals, it.withdrawal.0, kind, when),
            Event::WithdrawalRejected(it) => {
                touch(&mut self.withdrawals, it.withdrawal.0, kind, when);
                self.reasons.insert(it.withdrawal.0, it.reason.clone());
            }
            Event::WithdrawalCancelled(it) => touch(&mut self.withdrawals, it.withdrawal.0, kind, when),
            Event::WithdrawalPaid(it) => {
                touch(&mut self.withdrawals, it.withdrawal.0, kind, when);
                self.payout_refs.insert(it.withdrawal.0, it.payout_ref.clone());
            }
            Event::WithdrawalFailed(it) => {
                touch(&mut self.withdrawals, it.withdrawal.0, kind, when);
                self.reasons.insert(it.withdrawal.0, it.reason.clone());
            }
            Event::CoinPlanSet(it) => _ = self.plans.insert(it.plan.0, when.revision),
            Event::GiftPriceSet(it) => _ = self.gift_prices.insert(it.gift.0, when.revision),
            Event::HostRateSet(it) => _ = self.host_rates.insert((it.host.0, it.medium), when.revision),
            Event::AgencyJoined(it) => {
                let (host, agency) = (it.host.0, it.agency.0);
                self.members.push(Member { host, agency, joined: when, left: None });
            }
            Event::AgencyLeft(it) => {
                let open = self.members.iter_mut().rfind(|member| member.host == it.host.0);
                if let Some(member) = open {
                    member.left = Some(when);
                }
            }
            Event::JournalOpened(_)
            | Event::UnmatchedMoneyReceived(_)
            | Event::CommissionRateSet(_)
            | Event::CommissionRateCleared(_) => {}
        }
    }

    fn drawn(&mut self, draws: &[Draw], kind: &'static str, when: When) {
        for draw in draws {
            touch(&mut self.lots, draw.lot.0, kind, when);
        }
    }

    fn split(&mut self, it: &CommissionSplit, when: When) {
        let medium = match it.source {
            SplitSource::Call(call) => {
                touch(&mut self.calls, call.0, "CommissionSplit", when);
                self.call_splits.entry(call.0).or_default().add(it, when.revision);
                self.calls.get(&call.0).map(|story| story.opening.medium)
            }
            SplitSource::Gift(_) => None,
        };
        self.revenue.entry((when.at.date_naive(), medium)).or_default().add(it, when.revision);
    }

    pub async fn compare(self, comparison: &mut Comparison<'_>, state: &State) -> Result<(), Stop> {
        comparison
            .table("SELECT * FROM read.calls ORDER BY started_revision", self.calls(state), |row| row.call)
            .await?;
        let revenue = self.revenue();
        comparison
            .table("SELECT * FROM read.revenue_by_day ORDER BY day, source", revenue, |row| {
                (row.day, row.source.clone())
            })
            .await?;
        let totals = self.received.values().cloned().collect();
        comparison.table("SELECT * FROM read.host_gift_totals ORDER BY host", totals, |row| row.host).await?;
        let purchases = self.purchases(state);
        comparison
            .table("SELECT * FROM read.purchases ORDER BY opened_revision", purchases, |row| row.purchase)
            .await?;
        let withdrawals = self.withdrawals(state);
        comparison
            .table("SELECT * FROM read.withdrawals ORDER BY requested_revision", withdrawals, |row| {
                row.withdrawal
            })
            .await?;
        comparison
            .table("SELECT * FROM read.bonus_lots ORDER BY lot", self.bonus_lots(state), |row| row.lot)
            .await?;
        self.compare_catalogue(comparison, state).await
    }

    async fn compare_catalogue(&self, comparison: &mut Comparison<'_>, state: &State) -> Result<(), Stop> {
        comparison
            .table("SELECT * FROM read.coin_plans ORDER BY plan", self.plans(state), |row| row.plan)
            .await?;
        let prices = self.gift_prices.iter().map(|(gift, revision)| GiftPriceRow {
            gift: *gift,
            price_milli: state.gift_price((*gift).into()),
            revision: *revision,
        });
        comparison
            .table("SELECT * FROM read.gift_prices ORDER BY gift", prices.collect(), |row| row.gift)
            .await?;
        let rates = self.host_rates.iter().map(|((host, medium), revision)| HostRateRow {
            host: *host,
            medium: code(medium),
            price_milli_per_minute: state.host_rate((*host).into(), *medium),
            revision: *revision,
        });
        comparison
            .table("SELECT * FROM read.host_rates ORDER BY host, medium", rates.collect(), |row| {
                (row.host, row.medium.clone())
            })
            .await?;
        let members = self.members.iter().map(|member| AgencyMemberRow {
            host: member.host,
            joined_revision: member.joined.revision,
            agency: member.agency,
            joined_at: member.joined.at,
            left_at: member.left.map(|when| when.at),
            revision: member.left.unwrap_or(member.joined).revision,
        });
        comparison
            .table("SELECT * FROM read.agency_members ORDER BY joined_revision", members.collect(), |row| {
                (row.host, row.joined_revision)
            })
            .await
    }

    fn calls(&self, state: &State) -> Vec<CallRow> {
        let rows = self.calls.iter().filter_map(|(id, story)| {
            let (it, call) = (&story.opening, state.call((*id).into())?);
            let (status, lost_at) = match call.phase {
                Phase::Running { .. } => ("running", None),
                Phase::Paused { lost_at, .. } => ("paused", Some(lost_at.to_utc())),
                Phase::Ended => ("ended", None),
            };
            let ending = self.endings.get(id);
            let earned = self.call_splits.get(id).copied().unwrap_or_default();
            Some(CallRow {
                call: *id,
                started_revision: story.opened.revision,
                payer: call.payer.0,
                host: call.host.0,
                medium: code(call.medium),
                price_milli_per_minute: call.price_milli_per_minute,
                increment_seconds: i64::from(call.increment_seconds),
                free_seconds: i64::from(call.free_seconds),
                grace_seconds: i64::from(call.grace_seconds),
                commission_scope: scope(it.commission.scope).0.to_owned(),
                host_bps: bps(it.commission.host_bps),
                agency_bps: bps(it.commission.agency_bps),
                agency: it.commission.agency.map(|agency| agency.0),
                started_at: call.started_at.to_utc(),
                ended_at: story.at("CallEnded"),
                status: status.to_owned(),
                lost_at,
                end_reason: ending.map(|it| code(it.reason)),
                ended_by: ending.and_then(|it| it.ended_by).map(|person| person.0),
                connected_ms: self.connected.get(id).copied().unwrap_or(0),
                ticks: i64::from(call.ticks),
                charged_total_milli: call.charged_milli,
                host_earned_milli: earned.host_milli,
                agency_earned_milli: earned.agency_milli,
                platform_earned_milli: earned.platform_milli,
                revision: story.last.revision,
            })
        });
        rows.collect()
    }

    fn purchases(&self, state: &State) -> Vec<PurchaseRow> {
        let rows = self.purchases.iter().filter_map(|(id, story)| {
            let purchase = state.purchase((*id).into())?;
            let refunded_minor = purchase.captured.as_ref().map_or(0, |captured| captured.refunded_minor);
            let status = match (&purchase.captured, refunded_minor) {
                (None, _) if story.at("PurchaseFailed").is_some() => "failed",
                (None, _) => "opened",
                (Some(_), 0) => "captured",
                (Some(_), whole) if whole == purchase.price_minor => "refunded",
                (Some(_), _) => "partly_refunded",
            };
            Some(PurchaseRow {
                purchase: *id,
                opened_revision: story.opened.revision,
                user: purchase.user.0,
                plan: story.opening.plan.0,
                gateway: purchase.gateway.name().to_owned(),
                coins_milli: purchase.coins_milli,
                bonus_milli: purchase.bonus_milli,
                price_minor: purchase.price_minor,
                price_asset: purchase.price_asset.to_string(),
                status: status.to_owned(),
                payment_ref: self.payment_refs.get(id).cloned(),
                fail_reason: self.fail_reasons.get(id).cloned(),
                paid_minor: self.paid.get(id).copied().unwrap_or(0),
                refunded_minor,
                refunded_coins_milli: self.refunded_coins.get(id).copied().unwrap_or(0),
                opened_at: story.opened.at,
                captured_at: story.at("PurchaseCaptured"),
                failed_at: story.at("PurchaseFailed"),
                refunded_at: story.at("PurchaseRefunded"),
                revision: story.last.revision,
            })
        });
        rows.collect()
    }

    fn withdrawals(&self, state: &State) -> Vec<WithdrawalRow> {
        let rows = self.withdrawals.iter().filter_map(|(id, story)| {
            let withdrawal = state.withdrawal((*id).into())?;
            Some(WithdrawalRow {
                withdrawal: *id,
                requested_revision: story.opened.revision,
                host: withdrawal.host.0,
                coins_milli: withdrawal.coins_milli,
                rate: withdrawal.rate.to_string(),
                payout_minor: withdrawal.payout_minor,
                payout_asset: withdrawal.payout_asset.to_string(),
                status: code(withdrawal.status),
                payout_ref: self.payout_refs.get(id).cloned(),
                reason: self.reasons.get(id).cloned(),
                requested_at: story.opened.at,
                approved_at: story.at("WithdrawalApproved"),
                rejected_at: story.at("WithdrawalRejected"),
                cancelled_at: story.at("WithdrawalCancelled"),
                paid_at: story.at("WithdrawalPaid"),
                failed_at: story.at("WithdrawalFailed"),
                revision: story.last.revision,
            })
        });
        rows.collect()
    }

    fn bonus_lots(&self, state: &State) -> Vec<BonusLotRow> {
        let rows = self.lots.iter().map(|(id, story)| {
            let lot = &story.opening;
            BonusLotRow {
                lot: *id,
                user: lot.user.0,
                origin: lot.origin.to_owned(),
                purchase: lot.purchase,
                granted_milli: lot.granted_milli,
                remaining_milli: state.lot((*id).into()).map_or(0, |row| row.remaining_milli),
                granted_at: story.opened.at,
                expires_at: lot.expires_at.map(Timestamp::to_utc),
                expired_at: story.at("BonusExpired"),
                revision: story.last.revision,
            }
        });
        rows.collect()
    }

    fn plans(&self, state: &State) -> Vec<CoinPlanRow> {
        let rows = self.plans.iter().filter_map(|(id, revision)| {
            let plan = state.plan(PlanId(*id))?;
            Some(CoinPlanRow {
                plan: *id,
                coins_milli: plan.coins_milli,
                bonus_milli: plan.bonus_milli,
                bonus_valid_seconds: plan.bonus_valid_seconds.map(i64::from),
                price_minor: plan.price_minor,
                price_asset: plan.price_asset.to_string(),
                active: plan.active,
                revision: *revision,
            })
        });
        rows.collect()
    }

    fn revenue(&self) -> Vec<RevenueRow> {
        let rows = self.revenue.iter().map(|((day, medium), split)| RevenueRow {
            day: *day,
            source: medium.map_or_else(|| "gift".to_owned(), |medium| format!("call_{}", code(medium))),
            gross_milli: split.gross_milli,
            host_milli: split.host_milli,
            agency_milli: split.agency_milli,
            platform_milli: split.platform_milli,
            charge_count: split.count,
            revision: split.revision,
        });
        rows.collect()
    }
}

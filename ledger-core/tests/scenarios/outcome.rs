//! Events in few words, so that a story's line holds its outcome.

use ledger_core::Event;
use ledger_core::event::{Draw, MoneyDirection, ReturnedDraw, Totals};

/// The events of a unit in words that a table has room for; amounts in their smallest unit.
pub fn brief(events: &[Event]) -> String {
    events.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn one(event: &Event) -> String {
    match event {
        Event::JournalOpened(it) => format!("opened with {:?}", it.assets),
        Event::CoinPlanSet(it) => {
            format!("plan {}+{} for {} {}", it.coins_milli, it.bonus_milli, it.price_minor, it.price_asset)
        }
        Event::PurchaseOpened(it) => {
            format!("order {}+{} for {}", it.coins_milli, it.bonus_milli, it.price_minor)
        }
        Event::PurchaseCaptured(it) => format!("captured {} for {}", it.coins_milli, it.paid_minor),
        Event::PurchaseFailed(it) => format!("payment failed: {}", it.reason),
        Event::PurchaseExpired(_) => "order expired".to_owned(),
        Event::PurchaseRefunded(it) => {
            let spent = match it.uncovered_minor {
                0 => String::new(),
                uncovered => format!(", {uncovered} to suspense"),
            };
            format!("refunded {} for {}+{}{spent}", it.refunded_minor, it.coins_milli, it.bonus_milli)
        }
        Event::UnmatchedMoneyReceived(it) => {
            let way = if it.direction == MoneyDirection::In { "in" } else { "out" };
            let known = if it.purchase.is_some() { "" } else { ", no purchase" };
            format!("unmatched {way} {} {}: {:?}{known}", it.amount_minor, it.amount_asset, it.cause)
        }
        Event::SuspenseResolved(it) => format!("resolved {}", it.amount_minor),
        Event::DisputeOpened(it) => {
            let known = if it.purchase.is_some() { "" } else { ", no purchase" };
            format!("disputed {}, {} frozen{known}", it.amount_minor, sum(&it.frozen))
        }
        Event::DisputeMatched(it) => format!("matched, {} frozen", sum(&it.frozen)),
        Event::DisputeReleased(it) => format!("released {} ({:?})", sum(&it.released), it.cause),
        Event::DisputeLost(it) => {
            let fee = if it.fee_minor == 0 { String::new() } else { format!(", fee {}", it.fee_minor) };
            let owed = if it.owed_milli == 0 { String::new() } else { format!(", owes {}", it.owed_milli) };
            let clawed_milli: i64 = it.clawed.iter().map(|it| it.amount_milli).sum();
            let clawed =
                if clawed_milli == 0 { String::new() } else { format!(", {clawed_milli} clawed back") };
            format!("lost {} for {}+{}{owed}{fee}{clawed}", it.matched_minor, it.coins_milli, it.bonus_milli)
        }
        Event::DisputeReversed(it) => {
            let (coins, bonus, cancelled) =
                (it.coins_milli + it.other_milli, it.bonus_milli, it.cancelled_milli);
            let restored = if it.restored_milli == 0 {
                String::new()
            } else {
                format!(", {} restored", it.restored_milli)
            };
            format!("reversed {} for {coins}+{bonus}, {cancelled} cancelled{restored}", it.returned_minor)
        }
        Event::ReceivableRecovered(it) => format!("recovered {}, owes {}", it.recovered_milli, it.left_milli),
        Event::ReceivableWrittenOff(it) => format!("written off {}, owes {}", it.amount_milli, it.left_milli),
        Event::BonusGranted(it) => format!("bonus {} ({:?})", it.coins_milli, it.origin),
        Event::BonusExpired(it) => format!("bonus expired {}", it.coins_milli),
        Event::CampaignSet(it) => format!("campaign of {} ({:?})", it.budget_milli, it.kind),
        Event::CampaignEnded(it) => format!("campaign ended at {}", it.spent_milli),
        Event::RewardEarned(it) => format!("reward {} ({:?})", it.coins_milli, it.kind),
        Event::InviterNamed(_) => "brought".to_owned(),
        Event::SubscriptionPlanSet(it) => format!("subscription for {}", it.price_milli),
        Event::SubscriptionPaid(it) => {
            format!("period {} paid {}", it.period, drawn(&it.draws, it.price_milli))
        }
        Event::SubscriptionGraceBegun(it) => format!("grace of period {}", it.period),
        Event::SubscriptionCancelled(_) => "cancelled".to_owned(),
        Event::SubscriptionResumed(_) => "resumed".to_owned(),
        Event::SubscriptionLapsed(it) => format!("lapsed after {} ({:?})", it.periods, it.cause),
        Event::ServiceSet(it) => format!("service for {}", it.price_milli),
        Event::CouponSet(it) => format!("coupon {:?}", it.discount),
        Event::OrderPlaced(it) => {
            let total_milli = it.price_milli - it.discount_milli;
            let off =
                if it.discount_milli == 0 { String::new() } else { format!(" (-{})", it.discount_milli) };
            let wallet = drawn(&it.draws, it.wallet_milli);
            format!(
                "order for {total_milli}{off}: {wallet} of the wallet, {} at the gateway",
                it.gateway_milli
            )
        }
        Event::OrderPaid(it) => format!("order paid {}", drawn(&it.draws, it.coins_milli)),
        Event::OrderAccepted(_) => "order accepted".to_owned(),
        Event::OrderCompleted(it) => {
            format!("order completed {} ({}+{})", it.gross_milli, it.paid_milli, it.discount_milli)
        }
        Event::OrderCancelled(it) => format!("order cancelled ({:?}), {} back", it.cause, it.returned_milli),
        Event::OrderRefunded(it) => {
            let full = if it.in_full { " in full" } else { "" };
            let shares = format!("{}/{}/{}", it.host_milli, it.agency_milli, it.platform_milli);
            let (amount, total) = (it.amount_milli, it.refunded_total_milli);
            format!("order refunded {amount} of {total}{full}: {shares}, {} saved", it.discount_milli)
        }
        Event::LotsMerged(it) => format!("merged {} of {}", it.amount_milli, it.merged.len()),
        Event::AgencyJoined(it) if it.until.is_some() => "joined for a time".to_owned(),
        Event::AgencyJoined(_) => "joined".to_owned(),
        Event::AgencyLeft(_) => "left".to_owned(),
        Event::HostRateSet(it) => format!("{:?} {:?}", it.medium, it.price_milli_per_minute),
        Event::GiftPriceSet(it) => format!("gift {:?}", it.price_milli),
        Event::CommissionRateSet(it) => format!("rate {}/{}", it.host_bps, it.agency_bps),
        Event::CommissionRateCleared(_) => "rate cleared".to_owned(),
        Event::CallStarted(it) => {
            let rule = &it.commission;
            format!("started at {} ({}/{})", it.price_milli_per_minute, rule.host_bps, rule.agency_bps)
        }
        Event::CallTicked(it) => {
            format!("tick {}: {} of {}", it.number, drawn(&it.draws, it.charge_milli), it.charged_total_milli)
        }
        Event::CallPaused(it) => format!("paused at {} ms ({:?})", it.connected_ms, it.cause),
        Event::CallChargeReturned(it) => {
            let shares = format!("{}/{}/{}", it.host_milli, it.agency_milli, it.platform_milli);
            let (from, to) = (it.from_number, it.to_number);
            format!(
                "{from}..{to} returned: {} of {}, {shares} back",
                it.returned_milli, it.charged_total_milli
            )
        }
        Event::CallResumed(_) => "resumed".to_owned(),
        Event::CallEnded(it) => format!(
            "ended {:?} after {} ms, {} ticks, {}",
            it.reason, it.connected_ms, it.ticks, it.charged_total_milli
        ),
        Event::GiftSent(it) => format!("gift: {}", drawn(&it.draws, it.price_milli)),
        Event::CommissionSplit(it) => {
            format!("split {}/{}/{}", it.host_milli, it.agency_milli, it.platform_milli)
        }
        Event::WithdrawalRequested(it) => {
            let tax = if it.tax_minor == 0 { String::new() } else { format!(", tax {}", it.tax_minor) };
            format!("held {} for {}{tax}", it.coins_milli, it.payout_minor)
        }
        Event::WithdrawalApproved(_) => "approved".to_owned(),
        Event::WithdrawalRejected(it) => format!("rejected, {} back", it.coins_milli),
        Event::WithdrawalCancelled(it) => format!("cancelled, {} back", it.coins_milli),
        Event::WithdrawalPaid(it) => format!("paid {} for {}", it.payout_minor, it.coins_milli),
        Event::WithdrawalSent(it) => format!("sent as {}", it.payout_key),
        Event::WithdrawalUnknown(_) => "outcome unknown".to_owned(),
        Event::WithdrawalFailed(it) => format!("failed, {} back", it.coins_milli),
        Event::WithdrawalReversed(it) => format!("reversed {}, {} back", it.payout_minor, it.coins_milli),
        Event::PayoutRateSet(it) => format!("{} a coin", it.rate),
        Event::TaxRateSet(it) => format!("tax {}", it.tax_bps),
        Event::GatewayAdjusted(it) => format!("gateway adjusted {}", it.amount_minor),
        Event::SettlementClosed(it) => {
            let Totals { items, gross_milli, earned_milli, adjusted_milli, .. } = it.totals;
            format!("settled {items}: {gross_milli} gross, {earned_milli} + {adjusted_milli}")
        }
        Event::SettlementCorrected(it) => {
            let Totals { earned_milli, adjusted_milli, .. } = it.totals;
            format!("version {}: {}, {earned_milli} + {adjusted_milli}", it.version, it.amount_milli)
        }
        Event::SettlementPayoutRequested(it) => format!("settlement pays {}", it.coins_milli),
        Event::AdjustmentPosted(it) => format!("adjusted {}", drawn(&it.draws, it.amount_milli)),
    }
}

fn sum(draws: &[ReturnedDraw]) -> i64 {
    draws.iter().map(|it| it.amount_milli).sum()
}

/// An amount, and where it was drawn from several lots, each part.
fn drawn(draws: &[Draw], amount_milli: i64) -> String {
    match draws {
        [] | [_] => amount_milli.to_string(),
        parts => {
            let parts: Vec<_> = parts.iter().map(|it| it.amount_milli.to_string()).collect();
            format!("{amount_milli} ({})", parts.join("+"))
        }
    }
}

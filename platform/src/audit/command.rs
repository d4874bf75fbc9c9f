//! How a command of an admin stands in the audit log.

use super::Change;
use ledger_core::disputes::Loss;
use ledger_core::event::{CommissionScope, Earner};
use ledger_core::orders::OrderStatus;
use ledger_core::purchases::Captured;
use ledger_core::{Command, OrderId, State, Timestamp, WithdrawalId};
use serde_json::{Value, json};

/// The change that a command asks for, with the value before it as `state` has it.
pub(crate) fn describe(command: &Command, state: &State, at: Timestamp) -> Change {
    match command {
        Command::SetCoinPlan(it) => {
            let mut after = json!(it);
            if let Some(fields) = after.as_object_mut() {
                fields.remove("plan");
            }
            let change = Change::new("coin_plan.changed", "coin_plan", it.plan).after(after);
            Change { before: state.plan(it.plan).map(|plan| json!(plan)), ..change }
        }
        Command::SetCommissionRate(it) => {
            let before = state.rate_in_force(it.scope, it.effective_from.unwrap_or(at));
            let mut after = rate((it.host_bps, it.agency_bps));
            if let Some(moment) = it.effective_from {
                after["effective_from"] = json!(moment);
            }
            let change =
                Change::new("commission.changed", scope_kind(it.scope), scope_id(it.scope)).after(after);
            Change { before: before.map(rate), ..change }
        }
        Command::ClearCommissionRate(it) => {
            let before = state.rate_in_force(it.scope, it.effective_from.unwrap_or(at));
            let change = Change::new("commission.cleared", scope_kind(it.scope), scope_id(it.scope))
                .after(json!({ "effective_from": it.effective_from }));
            Change { before: before.map(rate), ..change }
        }
        Command::JoinAgency(it) => {
            let mut after = json!({ "agency": it.agency });
            for (name, moment) in [("from", it.from), ("until", it.until)] {
                if let Some(moment) = moment {
                    after[name] = json!(moment);
                }
            }
            Change::new("host.agency_changed", "host", it.host)
                .before(json!({ "agency": state.agency_of(it.host, it.from.unwrap_or(at)) }))
                .after(after)
        }
        Command::LeaveAgency(it) => {
            let mut after = json!({ "agency": Value::Null });
            if let Some(moment) = it.at {
                after["from"] = json!(moment);
            }
            Change::new("host.agency_changed", "host", it.host)
                .before(json!({ "agency": state.agency_of(it.host, it.at.unwrap_or(at)) }))
                .after(after)
        }
        Command::CloseSettlement(it) => {
            Change::new("settlement.closed", earner_kind(it.of), earner_id(it.of))
                .after(json!({ "to": it.to }))
        }
        Command::CorrectSettlement(it) => {
            let net = state.settlement(it.settlement).map(|(_, row)| row.totals.net_milli());
            let change = Change::new("settlement.corrected", "settlement", it.settlement).after(json!({
                "net_milli": net.map(|net| net.saturating_add(it.amount_milli)), "amount_milli": it.amount_milli,
            }));
            Change { before: net.map(|net| json!({ "net_milli": net })), ..change }
        }
        Command::PaySettlement(it) => {
            Change::new("settlement.paid", "settlement", it.settlement).after(json!({ "payee": it.payee }))
        }
        Command::PostAdjustment(it) => Change::new("adjustment.posted", "account", it.account)
            .after(json!({ "amount_milli": it.amount_milli, "settles": it.settles })),
        Command::AdjustGateway(it) => Change::new("gateway.adjusted", "gateway", it.gateway.name())
            .after(json!({ "amount_minor": it.amount_minor, "asset": it.asset, "settles": it.settles })),
        Command::GrantBonus(it) => Change::new("bonus.granted", "person", it.user)
            .after(json!({ "coins_milli": it.coins_milli, "valid_seconds": it.valid_seconds })),
        Command::RefundPurchase(it) => {
            let refunded_minor = |captured: &Captured| captured.refunded_minor;
            let before =
                state.purchase(it.purchase).and_then(|row| row.captured.as_ref()).map(refunded_minor);
            let change = Change::new("purchase.refunded", "purchase", it.purchase).after(json!({
                "refunded_minor": before.unwrap_or(0).saturating_add(it.amount_minor),
                "refund_ref": it.refund_ref, "amount_minor": it.amount_minor, "asset": it.asset,
            }));
            Change { before: before.map(|minor| json!({ "refunded_minor": minor })), ..change }
        }
        Command::ResolveSuspense(it) => {
            let change = Change::new("suspense.resolved", "suspense", it.case)
                .after(json!({ "resolution": it.resolution }));
            let before = state.suspense_case(it.case).map(|case| {
                json!({
                    "direction": case.direction, "amount_minor": case.amount_minor, "asset": case.amount_asset,
                    "payment_ref": case.payment_ref,
                })
            });
            Change { before, ..change }
        }
        Command::WriteOffReceivable(it) => {
            let loss = state.dispute(&it.dispute_ref).and_then(|row| row.loss.as_ref());
            let owed_milli = loss.map(Loss::left_milli);
            let change = Change::new("receivable.written_off", "dispute", &it.dispute_ref).after(json!({
                "owed_milli": owed_milli.map(|owed| owed.saturating_sub(it.amount_milli)),
                "amount_milli": it.amount_milli,
            }));
            Change { before: owed_milli.map(|owed| json!({ "owed_milli": owed })), ..change }
        }
        Command::ApproveWithdrawal(it) => decided("withdrawal.approved", it.withdrawal, state, "approved"),
        Command::RejectWithdrawal(it) => decided("withdrawal.rejected", it.withdrawal, state, "rejected"),
        Command::MarkWithdrawalSent(it) => decided("withdrawal.sent", it.withdrawal, state, "sent"),
        Command::MarkWithdrawalUnknown(it) => decided("withdrawal.unknown", it.withdrawal, state, "unknown"),
        Command::MarkWithdrawalPaid(it) => decided("withdrawal.paid", it.withdrawal, state, "paid"),
        Command::ReverseWithdrawal(it) => decided("withdrawal.reversed", it.withdrawal, state, "reversed"),
        Command::SetPayoutRate(it) => {
            let before = state.payout_rate(it.asset, it.effective_from.unwrap_or(at));
            let mut after = json!({ "rate": it.rate.normalize().to_string() });
            if let Some(moment) = it.effective_from {
                after["effective_from"] = json!(moment);
            }
            Change::new("payout_rate.changed", "payout_rate", it.asset)
                .before(json!({ "rate": before.to_string() }))
                .after(after)
        }
        Command::SetTaxRate(it) => {
            let before = state.tax_bps(it.asset, it.effective_from.unwrap_or(at));
            let mut after = json!({ "tax_bps": it.tax_bps });
            if let Some(moment) = it.effective_from {
                after["effective_from"] = json!(moment);
            }
            Change::new("tax_rate.changed", "tax_rate", it.asset)
                .before(json!({ "tax_bps": before }))
                .after(after)
        }
        Command::FailWithdrawal(it) => decided("withdrawal.failed", it.withdrawal, state, "failed"),
        Command::SetSubscriptionPlan(it) => {
            let mut after = json!(it);
            if let Some(fields) = after.as_object_mut() {
                fields.remove("plan");
            }
            let change = Change::new("subscription_plan.changed", "subscription_plan", it.plan).after(after);
            Change { before: state.subscription_plan(it.plan).map(|plan| json!(plan)), ..change }
        }
        Command::SetService(it) => {
            let mut after = json!(it);
            if let Some(fields) = after.as_object_mut() {
                fields.remove("service");
            }
            let change = Change::new("service.changed", "service", it.service).after(after);
            Change { before: state.service(it.service).map(|row| json!(row)), ..change }
        }
        Command::SetCoupon(it) => {
            let mut after = json!(it);
            if let Some(fields) = after.as_object_mut() {
                fields.remove("coupon");
            }
            let change = Change::new("coupon.changed", "coupon", it.coupon).after(after);
            Change { before: state.coupon(it.coupon).map(|row| json!(row.terms)), ..change }
        }
        Command::AcceptOrder(it) => order("order.accepted", it.order, state, "accepted"),
        Command::CompleteOrder(it) => order("order.completed", it.order, state, "completed"),
        Command::DeclineOrder(it) => order("order.declined", it.order, state, "cancelled"),
        Command::RefundOrder(it) => {
            let before = state.order(it.order).map(|row| row.refunded_milli);
            let change = Change::new("order.refunded", "order", it.order).after(json!({
                "refunded_milli": before.unwrap_or(0).saturating_add(it.amount_milli),
                "amount_milli": it.amount_milli,
            }));
            Change { before: before.map(|milli| json!({ "refunded_milli": milli })), ..change }
        }
        Command::SetCampaign(it) => {
            let row = state.campaign(it.campaign);
            let mut after = json!(it);
            if let Some(fields) = after.as_object_mut() {
                fields.remove("campaign");
            }
            let change = Change::new("campaign.changed", "campaign", it.campaign).after(after);
            Change { before: row.map(|row| json!(row.terms)), ..change }
        }
        Command::EndCampaign(it) => {
            let ended = |ended: bool| json!({ "ended": ended });
            let change = Change::new("campaign.ended", "campaign", it.campaign).after(ended(true));
            Change { before: state.campaign(it.campaign).map(|row| ended(row.ended)), ..change }
        }
        other => Change::new("command.given", "command", other.operation()),
    }
}

fn order(action: &'static str, id: OrderId, state: &State, after: &str) -> Change {
    let status = |status: OrderStatus| match status {
        OrderStatus::Unpaid => "unpaid",
        OrderStatus::Paid => "paid",
        OrderStatus::Accepted => "accepted",
        OrderStatus::Completed => "completed",
        OrderStatus::Refunded => "refunded",
        OrderStatus::Cancelled => "cancelled",
        OrderStatus::Expired => "expired",
    };
    let change = Change::new(action, "order", id).after(json!({ "status": after }));
    Change { before: state.order(id).map(|row| json!({ "status": status(row.status) })), ..change }
}

fn decided(action: &'static str, id: WithdrawalId, state: &State, after: &str) -> Change {
    let before = state.withdrawal(id).map(|row| {
        json!({ "status": row.status, "payee": row.payee, "coins_milli": row.coins_milli, "tax_minor": row.tax_minor,
            "payout_minor": row.payout_minor })
    });
    let change = Change::new(action, "withdrawal", id).after(json!({ "status": after }));
    Change { before, ..change }
}

fn earner_kind(earner: Earner) -> &'static str {
    match earner {
        Earner::Host(_) => "host",
        Earner::Agency(_) => "agency",
    }
}

fn earner_id(earner: Earner) -> String {
    match earner {
        Earner::Host(host) => host.to_string(),
        Earner::Agency(agency) => agency.to_string(),
    }
}

fn scope_kind(scope: CommissionScope) -> &'static str {
    match scope {
        CommissionScope::Global => "commission",
        CommissionScope::Agency(_) => "agency",
        CommissionScope::Host(_) => "host",
    }
}

fn scope_id(scope: CommissionScope) -> String {
    match scope {
        CommissionScope::Global => "global".to_owned(),
        CommissionScope::Agency(agency) => agency.to_string(),
        CommissionScope::Host(host) => host.to_string(),
    }
}

fn rate((host_bps, agency_bps): (u32, u32)) -> Value {
    json!({ "host_bps": host_bps, "agency_bps": agency_bps })
}

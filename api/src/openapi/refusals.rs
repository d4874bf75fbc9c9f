//! Which problems an operation may be answered with: those that follow from what it takes, and its own.

use crate::problems::find;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Why a reward is not given.
const REWARDS: &[&str] = &[
    "reward_already_given",
    "campaign_not_running",
    "campaign_budget_spent",
    "reward_day_full",
    "reward_person_full",
    "amount_too_large",
];

const COUPONS: &[&str] = &[
    "unknown_service",
    "service_inactive",
    "self_payment",
    "unknown_coupon",
    "coupon_not_valid",
    "coupon_price_too_low",
    "coupon_used_up",
    "coupon_person_full",
];

/// What each operation itself refuses, beside what follows from its parameters.
const OWN: &[(&str, &[&str])] = &[
    ("start_otp", &["phone_invalid", "otp_not_sent"]),
    (
        "verify_otp",
        &[
            "phone_invalid",
            "otp_invalid",
            "otp_expired",
            "otp_too_many_tries",
            "account_suspended",
            "account_banned",
        ],
    ),
    (
        "refresh_tokens",
        &["token_invalid", "token_expired", "session_ended", "account_suspended", "account_banned"],
    ),
    ("change_me", &["field_invalid"]),
    ("get_host", &["unknown_host"]),
    ("apply_as_host", &["field_invalid", "host_already_approved", "host_suspended", "host_banned"]),
    ("set_rate", &["amount_too_large", "amount_not_positive", "field_invalid", "unknown_medium"]),
    (
        "invite",
        &[
            "unknown_host",
            "host_offline",
            "host_busy",
            "payer_busy",
            "ring_pending",
            "not_connected",
            "medium_not_offered",
            "call_price_changed",
            "insufficient_funds",
            "receivable_open",
            "earnings_not_spendable",
            "self_payment",
        ],
    ),
    (
        "answer_call",
        &[
            "unknown_call",
            "ring_over",
            "not_connected",
            "insufficient_funds",
            "receivable_open",
            "earnings_not_spendable",
            "host_busy",
            "payer_busy",
            "call_price_changed",
            "medium_not_offered",
            "call_already_started",
        ],
    ),
    ("cancel_call", &["unknown_call", "ring_over"]),
    ("end_call", &["unknown_call", "ring_over", "not_in_call", "call_ended"]),
    ("get_call", &["unknown_call"]),
    (
        "send_gift",
        &[
            "unknown_gift",
            "unknown_host",
            "unknown_call",
            "gift_price_changed",
            "gift_outside_call",
            "insufficient_funds",
            "receivable_open",
            "earnings_not_spendable",
            "self_payment",
            "call_ended",
            "not_in_call",
            "call_not_running",
        ],
    ),
    (
        "open_purchase",
        &[
            "unknown_plan",
            "plan_inactive",
            "too_many_open_purchases",
            "gateway_unavailable",
            "gateway_refused",
        ],
    ),
    ("get_purchase", &["unknown_purchase"]),
    ("take_razorpay_webhook", &["webhook_signature_invalid"]),
    (
        "request_withdrawal",
        &[
            "amount_not_positive",
            "amount_too_large",
            "withdrawal_too_small",
            "payee_not_verified",
            "withdrawal_limit_reached",
            "payout_rounds_to_nothing",
            "insufficient_earnings",
            "earnings_not_available",
            "purchased_not_withdrawable",
            "receivable_open",
            "host_suspended",
            "host_banned",
        ],
    ),
    (
        "request_agency_withdrawal",
        &[
            "unknown_agency",
            "amount_not_positive",
            "amount_too_large",
            "withdrawal_too_small",
            "payee_not_verified",
            "withdrawal_limit_reached",
            "payout_rounds_to_nothing",
            "insufficient_earnings",
            "earnings_not_available",
            "receivable_open",
        ],
    ),
    (
        "cancel_withdrawal",
        &[
            "host_suspended",
            "host_banned",
            "unknown_withdrawal",
            "withdrawal_closed",
            "withdrawal_already_approved",
        ],
    ),
    (
        "cancel_agency_withdrawal",
        &["unknown_agency", "unknown_withdrawal", "withdrawal_closed", "withdrawal_already_approved"],
    ),
    ("list_agency_withdrawals", &["unknown_agency"]),
    ("list_agency_settlements", &["unknown_agency"]),
    ("get_agency_settlement", &["unknown_agency", "unknown_settlement"]),
    ("list_agency_settlement_items", &["unknown_agency", "unknown_settlement"]),
    ("get_own_settlement", &["unknown_settlement"]),
    ("list_own_settlement_items", &["unknown_settlement"]),
    ("get_settlement", &["unknown_settlement"]),
    ("list_settlement_items", &["unknown_settlement"]),
    (
        "draft_settlement",
        &[
            "field_invalid",
            "cut_off_in_future",
            "cut_off_uneven",
            "cut_off_too_old",
            "settlement_period_empty",
            "already_settled",
            "nothing_to_settle",
            "amount_too_large",
            "unknown_agency",
        ],
    ),
    (
        "close_settlement",
        &[
            "field_invalid",
            "cut_off_in_future",
            "cut_off_uneven",
            "cut_off_too_old",
            "settlement_period_empty",
            "already_settled",
            "nothing_to_settle",
            "amount_too_large",
            "unknown_host",
            "unknown_agency",
            "own_money",
        ],
    ),
    (
        "correct_settlement",
        &[
            "unknown_settlement",
            "settlement_corrected",
            "amount_not_positive",
            "amount_too_large",
            "reason_invalid",
            "field_invalid",
            "adjustment_overdraws",
            "own_money",
            "too_many_proposals",
        ],
    ),
    (
        "pay_settlement",
        &[
            "unknown_settlement",
            "settlement_corrected",
            "nothing_to_pay",
            "own_money",
            "amount_too_large",
            "withdrawal_too_small",
            "payee_not_verified",
            "withdrawal_limit_reached",
            "payout_rounds_to_nothing",
            "insufficient_earnings",
            "earnings_not_available",
            "purchased_not_withdrawable",
            "receivable_open",
        ],
    ),
    (
        "approve_withdrawal",
        &[
            "unknown_withdrawal",
            "withdrawal_closed",
            "withdrawal_already_approved",
            "receivable_open",
            "own_money",
            "too_many_proposals",
        ],
    ),
    (
        "reject_withdrawal",
        &[
            "unknown_withdrawal",
            "withdrawal_closed",
            "withdrawal_already_approved",
            "own_money",
            "reason_invalid",
        ],
    ),
    (
        "mark_withdrawal_sent",
        &[
            "unknown_withdrawal",
            "withdrawal_closed",
            "withdrawal_not_approved",
            "withdrawal_already_sent",
            "payout_outcome_unknown",
            "payout_ref_used",
            "receivable_open",
            "own_money",
            "reference_invalid",
        ],
    ),
    (
        "mark_withdrawal_unknown",
        &[
            "unknown_withdrawal",
            "withdrawal_closed",
            "withdrawal_not_approved",
            "withdrawal_not_sent",
            "payout_outcome_unknown",
            "own_money",
            "reason_invalid",
        ],
    ),
    (
        "reverse_withdrawal",
        &["unknown_withdrawal", "withdrawal_closed", "withdrawal_not_paid", "own_money", "reason_invalid"],
    ),
    ("set_payout_rate", &["field_invalid", "payout_rate_invalid", "effective_from_in_past"]),
    ("set_tax_rate", &["field_invalid", "tax_too_large", "effective_from_in_past"]),
    ("get_host_verification", &["unknown_host"]),
    ("verify_host", &["field_invalid", "unknown_host", "own_money"]),
    ("get_agency_verification", &["unknown_agency"]),
    ("verify_agency", &["field_invalid", "unknown_agency", "own_money"]),
    (
        "mark_withdrawal_paid",
        &[
            "unknown_withdrawal",
            "withdrawal_closed",
            "withdrawal_not_approved",
            "receivable_open",
            "payout_ref_used",
            "own_money",
            "reference_invalid",
        ],
    ),
    (
        "fail_withdrawal",
        &[
            "unknown_withdrawal",
            "withdrawal_closed",
            "withdrawal_not_approved",
            "own_money",
            "reason_invalid",
        ],
    ),
    (
        "adjust_gateway",
        &[
            "field_invalid",
            "gateway_holds_money",
            "asset_not_declared",
            "difference_settled",
            "amount_not_positive",
            "amount_too_large",
            "reason_invalid",
            "too_many_proposals",
        ],
    ),
    (
        "post_adjustment",
        &[
            "field_invalid",
            "account_not_adjustable",
            "adjustment_overdraws",
            "difference_settled",
            "amount_not_positive",
            "amount_too_large",
            "own_money",
            "reason_invalid",
            "too_many_proposals",
            "unknown_person",
            "unknown_agency",
        ],
    ),
    (
        "grant_bonus",
        &[
            "field_invalid",
            "amount_not_positive",
            "amount_too_large",
            "own_money",
            "reason_invalid",
            "too_many_lots",
            "too_many_proposals",
            "unknown_person",
        ],
    ),
    (
        "refund_purchase",
        &[
            "field_invalid",
            "unknown_purchase",
            "purchase_not_captured",
            "refund_exceeds_captured",
            "refund_exceeds_unspent",
            "purchase_disputed",
            "refund_currency_mismatch",
            "refund_already_recorded",
            "amount_not_positive",
            "amount_too_large",
            "own_money",
            "reason_invalid",
            "reference_invalid",
        ],
    ),
    (
        "start_subscription",
        &[
            "unknown_subscription_plan",
            "subscription_plan_inactive",
            "subscription_price_changed",
            "already_subscribed",
            "insufficient_funds",
            "earnings_not_spendable",
            "receivable_open",
            "too_many_lots",
        ],
    ),
    (
        "buy_subscription",
        &[
            "unknown_subscription_plan",
            "subscription_plan_inactive",
            "not_sold_for_money",
            "too_many_open_purchases",
            "gateway_unavailable",
            "gateway_refused",
        ],
    ),
    ("list_periods", &["unknown_subscription"]),
    ("cancel_subscription", &["unknown_subscription"]),
    ("resume_subscription", &["unknown_subscription"]),
    (
        "set_subscription_plan",
        &[
            "field_invalid",
            "amount_not_positive",
            "amount_too_large",
            "price_in_coins",
            "asset_not_declared",
            "entitlements_invalid",
            "grace_too_long",
        ],
    ),
    ("quote_order", COUPONS),
    (
        "place_order",
        &[
            "unknown_service",
            "service_inactive",
            "self_payment",
            "unknown_coupon",
            "coupon_not_valid",
            "coupon_price_too_low",
            "coupon_used_up",
            "coupon_person_full",
            "order_total_changed",
            "wallet_part_unfit",
            "not_sold_for_money",
            "receivable_open",
            "insufficient_funds",
            "earnings_not_spendable",
            "too_many_lots",
            "unknown_host",
            "too_many_open_purchases",
            "gateway_unavailable",
            "gateway_refused",
        ],
    ),
    ("list_my_orders", &["field_invalid"]),
    ("list_received_orders", &["field_invalid"]),
    ("get_order", &["unknown_order"]),
    ("cancel_order", &["unknown_order", "order_closed", "order_already_accepted", "order_already_completed"]),
    (
        "accept_order",
        &[
            "unknown_order",
            "order_closed",
            "order_not_paid",
            "order_already_accepted",
            "order_already_completed",
        ],
    ),
    ("complete_order", &["unknown_order", "order_closed", "order_not_paid", "order_already_completed"]),
    ("decline_order", &["unknown_order", "order_closed", "order_already_completed", "reason_invalid"]),
    (
        "accept_any_order",
        &[
            "field_invalid",
            "unknown_order",
            "order_closed",
            "order_not_paid",
            "order_already_accepted",
            "order_already_completed",
        ],
    ),
    (
        "complete_any_order",
        &[
            "field_invalid",
            "unknown_order",
            "order_closed",
            "order_not_paid",
            "order_already_completed",
            "own_money",
        ],
    ),
    (
        "decline_any_order",
        &[
            "field_invalid",
            "unknown_order",
            "order_closed",
            "order_already_completed",
            "own_money",
            "reason_invalid",
        ],
    ),
    (
        "refund_order",
        &[
            "field_invalid",
            "unknown_order",
            "order_closed",
            "order_not_paid",
            "refund_exceeds_order",
            "amount_not_positive",
            "amount_too_large",
            "own_money",
            "reason_invalid",
        ],
    ),
    (
        "set_service",
        &[
            "field_invalid",
            "amount_not_positive",
            "amount_too_large",
            "price_in_coins",
            "asset_not_declared",
            "unknown_host",
        ],
    ),
    (
        "set_coupon",
        &[
            "field_invalid",
            "amount_not_positive",
            "amount_too_large",
            "coupon_code_unfit",
            "coupon_code_taken",
            "coupon_code_fixed",
            "coupon_discount_invalid",
            "coupon_period_invalid",
            "coupon_over",
        ],
    ),
    ("earn_daily", REWARDS),
    (
        "redeem_code",
        &[
            "unknown_code",
            "reward_already_given",
            "campaign_not_running",
            "campaign_budget_spent",
            "reward_day_full",
            "reward_person_full",
            "amount_too_large",
        ],
    ),
    ("name_inviter", &["unknown_code", "inviter_already_named", "inviter_too_late", "inviter_is_oneself"]),
    (
        "set_campaign",
        &[
            "field_invalid",
            "amount_not_positive",
            "amount_too_large",
            "campaign_code_unfit",
            "campaign_code_taken",
            "campaign_kind_fixed",
            "campaign_over",
            "campaign_period_invalid",
        ],
    ),
    ("end_campaign", &["field_invalid", "unknown_campaign", "campaign_over"]),
    (
        "record_ad_view",
        &[
            "unknown_person",
            "unknown_campaign",
            "reward_kind_mismatch",
            "own_money",
            "reference_invalid",
            "reward_already_given",
            "campaign_not_running",
            "campaign_budget_spent",
            "reward_day_full",
            "reward_person_full",
            "amount_too_large",
        ],
    ),
    ("get_dispute", &["unknown_dispute"]),
    (
        "write_off_receivable",
        &[
            "field_invalid",
            "unknown_receivable",
            "write_off_too_large",
            "amount_not_positive",
            "amount_too_large",
            "own_money",
            "reason_invalid",
            "reference_invalid",
            "too_many_proposals",
        ],
    ),
    (
        "resolve_suspense",
        &[
            "purchase_not_open",
            "refund_already_recorded",
            "field_invalid",
            "unknown_case",
            "resolution_unfit",
            "own_money",
            "reason_invalid",
            "reference_invalid",
        ],
    ),
    (
        "set_coin_plan",
        &["field_invalid", "amount_not_positive", "amount_too_large", "price_in_coins", "asset_not_declared"],
    ),
    ("set_gift", &["field_invalid", "amount_not_positive", "amount_too_large"]),
    (
        "set_commission_rate",
        &[
            "field_invalid",
            "commission_too_large",
            "effective_from_in_past",
            "own_money",
            "unknown_host",
            "unknown_agency",
        ],
    ),
    (
        "clear_commission_rate",
        &[
            "field_invalid",
            "commission_not_set",
            "effective_from_in_past",
            "own_money",
            "unknown_host",
            "unknown_agency",
        ],
    ),
    (
        "set_agency",
        &[
            "field_invalid",
            "unknown_host",
            "unknown_agency",
            "already_in_agency",
            "not_in_agency",
            "membership_empty",
            "effective_from_in_past",
            "own_money",
        ],
    ),
    ("approve_host", &["unknown_host", "host_already_decided", "own_money"]),
    ("reject_host", &["unknown_host", "host_already_decided", "own_money", "field_invalid"]),
    ("create_agency", &["field_invalid", "agency_code_taken", "unknown_person"]),
    ("send_gifts", &["field_invalid"]),
    ("find_people", &["phone_invalid"]),
    ("get_person", &["unknown_person"]),
    ("restrict_person", &["field_invalid", "unknown_person", "person_is_admin", "own_money"]),
    ("lift_restriction", &["field_invalid", "unknown_person"]),
    ("grant_role", &["field_invalid", "unknown_person", "person_restricted"]),
    ("revoke_role", &["field_invalid", "unknown_person", "last_admin"]),
    ("end_sessions", &["field_invalid", "unknown_person"]),
    ("get_approval", &["unknown_approval"]),
    (
        "approve_proposal",
        &["unknown_approval", "approval_closed", "approval_needs_another_admin", "own_money"],
    ),
    ("decline_proposal", &["field_invalid", "unknown_approval", "approval_closed"]),
    ("stop_call", &["field_invalid", "unknown_call", "call_ended", "ring_over"]),
    ("get_note", &["unknown_note"]),
    ("get_event", &["unknown_event"]),
    ("sign_journal_head", &["no_head_key", "journal_tree_behind", "journal_refused"]),
    ("read_webhook", &["unknown_webhook"]),
    ("retry_webhook", &["unknown_webhook", "webhook_needs_nobody"]),
    ("mark_webhook_handled", &["field_invalid", "unknown_webhook", "webhook_needs_nobody"]),
    ("get_account_balance", &["field_invalid"]),
    ("list_account_statement", &[]),
    ("get_trial_balance", &["field_invalid"]),
    ("get_deferred_revenue", &["field_invalid"]),
    ("list_lots", &["unknown_person"]),
    ("get_revenue", &["field_invalid"]),
    ("set_approval_settings", &["field_invalid", "too_many_proposals", "setting_unreadable"]),
    ("set_limit_settings", &["field_invalid", "setting_unreadable"]),
    ("set_metering_settings", &["field_invalid", "setting_unreadable"]),
    ("set_payout_settings", &["field_invalid", "setting_unreadable"]),
    ("get_approval_settings", &["setting_unreadable"]),
    ("get_limit_settings", &["setting_unreadable"]),
    ("get_metering_settings", &["setting_unreadable"]),
    ("get_payout_settings", &["setting_unreadable"]),
];

/// Operations that give the ledger a command without a key of the client's.
const COMMANDS: &[&str] = &["answer_call", "stop_call", "approve_proposal", "send_gifts"];

/// Operations that ask the ledger and give it no command.
const ASKS: &[&str] = &["get_me", "get_wallet", "get_commission_rule"];

const OF_ASKING: &[&str] = &["busy", "ledger_stopped", "store_unavailable"];

const OF_COMMANDS: &[&str] = &[
    "busy",
    "ledger_stopped",
    "clock_leap",
    "journal_not_open",
    "outcome_unknown",
    "not_storable",
    "storage_full",
    "store_unavailable",
];

/// Adds to each operation a response for each status with the codes that it may have.
pub fn add(document: &mut Value) {
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for (_, operation) in item.as_object_mut().into_iter().flatten() {
            let mut by_status: BTreeMap<u16, BTreeSet<&str>> = BTreeMap::new();
            for entry in codes(path, operation).into_iter().filter_map(find) {
                by_status.entry(entry.status).or_default().insert(entry.code);
            }
            for (status, codes) in by_status {
                let name = status.to_string();
                if operation["responses"].get(&name).is_none() {
                    operation["responses"][name] = response(status, &codes);
                }
            }
            operation["responses"]["default"] = problem("Any other error. Decide by its `code`.");
        }
    }
}

/// Of each status the answer that most operations have stands in the document once.
pub fn share(document: &mut Value) {
    let mut counted: BTreeMap<(String, String), (usize, Value)> = BTreeMap::new();
    for (status, response) in responses_of(document) {
        if response["content"].get("application/problem+json").is_some() {
            counted.entry((status.clone(), response.to_string())).or_insert((0, response.clone())).0 += 1;
        }
    }
    let mut shared: BTreeMap<String, (usize, Value)> = BTreeMap::new();
    for ((status, _), (count, response)) in counted {
        let most = shared.entry(status).or_default();
        if count > most.0.max(1) {
            *most = (count, response);
        }
    }
    shared.retain(|_, (count, _)| *count > 0);
    for (status, response) in responses_of(document) {
        if shared.get(status).is_some_and(|(_, most)| most == response) {
            *response = json!({ "$ref": format!("#/components/responses/{}", name_of(status)) });
        }
    }
    document["components"]["responses"] = shared
        .into_iter()
        .map(|(status, (_, response))| (name_of(&status), response))
        .collect::<serde_json::Map<_, _>>()
        .into();
}

fn name_of(status: &str) -> String {
    format!("Problem{}", status.strip_prefix("default").unwrap_or(status))
}

fn responses_of(document: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    super::operations_of(document).flat_map(|operation| {
        operation.get_mut("responses").and_then(Value::as_object_mut).into_iter().flatten()
    })
}

/// All codes of an operation.
fn codes(path: &str, operation: &Value) -> Vec<&'static str> {
    let id = operation["operationId"].as_str().unwrap_or_default();
    let parameters = operation["parameters"].as_array();
    let takes = |name: &str| parameters.is_some_and(|all| all.iter().any(|it| it["name"] == name));
    let any = |place: &str| parameters.is_some_and(|all| all.iter().any(|it| it["in"] == place));
    let mut codes = Vec::new();
    if path.starts_with("/v1/") {
        codes.extend(["internal", "unavailable", "timeout"]);
        if !path.starts_with("/v1/webhooks/") {
            codes.push("rate_limited");
        }
    }
    if let Some(roles) = super::roles_of(operation) {
        codes.extend(["token_missing", "token_invalid", "token_expired", "session_ended"]);
        codes.extend(["account_suspended", "account_banned"]);
        if !roles.is_empty() {
            codes.push("forbidden_role");
        }
    }
    if any("path") {
        codes.push("invalid_path");
    }
    if any("query") {
        codes.extend(["invalid_query", "unknown_field"]);
    }
    if parameters.is_some_and(|all| all.iter().any(|it| it["in"] == "query" && it["required"] == true)) {
        codes.push("missing_field");
    }
    if takes("cursor") {
        codes.extend(["cursor_invalid", "field_invalid"]);
    }
    if takes("min_revision") {
        codes.extend(["min_revision_beyond_journal", "read_model_behind", "read_models_refused"]);
    }
    if !operation["requestBody"].is_null() {
        codes.extend(["malformed_json", "body_cut_off", "body_too_large", "not_json"]);
        codes.extend(["wrong_type", "unknown_field", "missing_field"]);
    }
    if takes("Idempotency-Key") {
        codes.extend(["idempotency_key_missing", "idempotency_key_repeated", "idempotency_key_invalid"]);
        codes.extend(["idempotency_key_reused", "idempotency_key_expired", "idempotency_key_in_future"]);
    }
    if takes("Idempotency-Key") || COMMANDS.contains(&id) {
        codes.extend(OF_COMMANDS);
    }
    if ASKS.contains(&id) {
        codes.extend(OF_ASKING);
    }
    let own = OWN.iter().find(|(operation, _)| *operation == id).map_or(&[][..], |(_, codes)| codes);
    codes.extend(own);
    codes
}

fn response(status: u16, codes: &BTreeSet<&str>) -> Value {
    let lines = codes.iter().copied().filter_map(find).map(|it| format!("- `{}`: {}", it.code, it.meaning));
    let mut response = problem(&format!("{}.\n\n{}", meaning(status), lines.collect::<Vec<_>>().join("\n")));
    response["x-problem-codes"] = json!(codes);
    response
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request cannot be read",
        401 => "Nobody, or nobody any more",
        403 => "Not for this caller",
        404 => "There is no such thing",
        409 => "Not as things are now",
        413 => "The body is too large",
        415 => "The body is no JSON",
        422 => "A value is wrong",
        429 => "Too often",
        500 => "A fault of the server",
        502 => "The payment gateway refused",
        503 => "Not at present",
        504 => "Nobody can say whether it was done",
        _ => "No room to record it",
    }
}

fn problem(description: &str) -> Value {
    json!({
        "description": description,
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operation_refuses_is_said_of_an_operation_that_there_is() {
        let document = crate::openapi();
        let mut ids = BTreeSet::new();
        crate::openapi::walk(&mut document.clone(), &mut |object| {
            if let Some(Value::String(id)) = object.get("operationId") {
                ids.insert(id.clone());
            }
        });
        for id in OWN.iter().map(|(id, _)| *id).chain(COMMANDS.iter().copied()) {
            assert!(ids.contains(id), "{id}");
        }
        let own: Vec<&str> = OWN.iter().map(|(id, _)| *id).collect();
        let once: BTreeSet<&str> = own.iter().copied().collect();
        assert_eq!(once.len(), own.len(), "each operation stands once");
    }

    #[test]
    fn each_code_has_its_page() {
        for code in OWN.iter().flat_map(|(_, codes)| *codes).chain(OF_COMMANDS) {
            assert!(find(code).is_some(), "{code}");
        }
    }
}

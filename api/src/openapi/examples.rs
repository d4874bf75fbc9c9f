//! An example of each body that a request may have. A test sends them all.

use serde_json::{Value, json};

/// Ids of the examples. They lead nowhere, but have the form of real ones.
const PERSON: &str = "01980000-0000-7000-8000-000000000001";
const THING: &str = "01980000-0000-7000-8000-000000000002";

pub fn add(document: &mut Value) {
    for operation in super::operations_of(document) {
        if let Some(body) = operation.pointer_mut("/requestBody/content/application~1json") {
            let schema = body["schema"]["$ref"].as_str().and_then(|target| target.rsplit('/').next());
            if let Some(example) = schema.and_then(body_of) {
                body["example"] = example;
            }
        }
        for parameter in super::parameters_of(operation) {
            if parameter["schema"]["format"] == "uuid" && parameter.get("example").is_none() {
                parameter["example"] = THING.into();
            }
        }
    }
}

fn body_of(schema: &str) -> Option<Value> {
    let scope = json!({ "kind": "host", "id": PERSON });
    Some(match schema {
        "CloseSettlementBody" => json!({ "host": PERSON }),
        "CorrectSettlementBody" => json!({
            "amount_milli": -2_000, "reason": "wrong_rate", "note": "The rate of October was meant.",
        }),
        "BuySubscriptionBody" => json!({ "plan": THING }),
        "SetSubscriptionPlanBody" => json!({
            "price_milli": 300_000, "price_minor": 29_900, "price_asset": "INR/2", "period_seconds": 2_592_000,
            "grace_seconds": 259_200, "entitlements": ["no_ads", "see_likes"], "active": true,
        }),
        "StartSubscriptionBody" => json!({ "plan": THING, "price_seen_milli": 300_000 }),
        "DecideOrderBody" => json!({ "reason": "done_by_support" }),
        "DeclineOrderBody" => json!({ "reason": "fully_booked" }),
        "PlaceOrderBody" => json!({
            "service": THING, "coupon": "DIWALI10", "total_seen_milli": 450_000, "wallet_milli": 150_000,
        }),
        "RefundOrderBody" => json!({ "amount_milli": 50_000, "reason": "delivered_late" }),
        "SetCouponBody" => json!({
            "code": "DIWALI10", "percent_bps": 1_000, "most_milli": 100_000, "least_price_milli": 200_000,
            "per_person": 1, "in_all": 500, "starts_at": "2026-11-01T00:00:00.000Z",
            "ends_at": "2036-11-30T00:00:00.000Z", "active": true,
        }),
        "SetServiceBody" => json!({
            "provider": PERSON, "price_milli": 500_000, "price_minor": 49_900, "price_asset": "INR/2", "active": true,
        }),
        "AdView" => json!({ "user": PERSON, "view": "c7f1f5f0-ad-network-view" }),
        "Answer" => json!({ "accept": true }),
        "Application" => json!({
            "display_name": "Meera", "bio": "Reads charts, listens well", "categories": ["astrology"],
            "languages": ["hi", "en"],
        }),
        "ApprovalLimits" => json!({
            "adjustment_milli": 1_000_000, "bonus_milli": 1_000_000, "payout_minor": 5_000_000,
            "expires_seconds": 86_400,
        }),
        "ChangeMe" => json!({ "name": "Asha" }),
        "ClearCommissionRate" => json!({ "scope": scope, "reason": "contract_ended" }),
        "CreateAgency" => json!({ "name": "Star Agency", "code": "STAR-1", "owner": PERSON }),
        "DeclineProposal" => json!({ "reason": "not_agreed", "note": "The ticket says otherwise." }),
        "EndCampaignBody" => json!({ "reason": "budget_moved" }),
        "EndSessions" => json!({ "reason": "stolen_phone" }),
        "GiftBatch" => json!({ "items": [{
            "gift": THING, "host": PERSON, "price_seen_milli": 5_000, "key": "order-7001-gift-1",
        }] }),
        "GrantBonus" => json!({ "user": PERSON, "coins_milli": 50_000, "valid_seconds": 2_592_000 }),
        "GrantRole" => json!({ "role": "admin", "reason": "new_colleague" }),
        "HandleWebhook" => json!({ "reason": "refunded_in_panel" }),
        "Invite" => json!({ "host": PERSON, "medium": "video", "price_seen_milli_per_minute": 60_000 }),
        "Metering" => json!({
            "increment_seconds": 10, "free_seconds": 0, "grace_seconds": 30, "ring_seconds": 30,
            "warning_seconds": 60,
        }),
        "NameInviter" => json!({ "code": "7KQ2MWXD" }),
        "OpenPurchase" => json!({ "plan": THING }),
        "Paid" => json!({ "payout_ref": "UTR2026112600017" }),
        "Payouts" => json!({
            "minimum_withdrawal_milli": 100_000, "daily_withdrawal_milli": 50_000_000,
            "require_verified_payee": true, "earnings_hold_seconds": 86_400, "claw_back_held_earnings": true,
        }),
        "PersonLimits" => json!({
            "open_purchases": 10, "purchases_per_day": 100, "purchase_open_seconds": 86_400,
            "order_payment_seconds": 1_800,
            "withdrawals_per_day": 100, "price_changes_per_day": 200, "applications_per_day": 50,
            "rings_per_minute": 20, "rings_per_day": 500,
        }),
        "AdjustGateway" => json!({
            "gateway": "razorpay", "amount_minor": -236, "asset": "INR/2", "reason": "gateway_fee",
            "note": "Fees of setl_1, from the report of 26 November.",
        }),
        "PostAdjustment" => json!({
            "account": format!("user:{PERSON}:purchased"), "amount_milli": 10_000, "reason": "duplicate_charge",
            "note": "Charged twice by the gateway.",
        }),
        "RedeemCode" => json!({ "code": "DIWALI26" }),
        "Reason" => json!({ "reason": "account_closed" }),
        "Refresh" => json!({ "refresh_token": "kR3vX9mP2qL7tB5nW8yZ1cD4fG6hJ0sA_uE3iO9xQ7w" }),
        "Refund" => json!({
            "refund_ref": "rfnd_FP8QHiV938haTz", "amount_minor": 9_900, "asset": "INR/2",
            "reason": "asked_by_buyer",
        }),
        "RejectHost" => json!({ "reason": "The picture shows somebody else." }),
        "RequestWithdrawal" => json!({ "coins_milli": 250_000 }),
        "ResolvedCase" => {
            json!({ "resolution": { "refund": "rfnd_FP8QHiV938haTz" }, "reason": "checked_with_bank" })
        }
        "Restrict" => json!({ "kind": "suspended", "reason": "fraud_report" }),
        "SendGift" => json!({ "host": PERSON, "price_seen_milli": 5_000 }),
        "SetAgency" => json!({ "agency": THING }),
        "SetCampaignBody" => json!({
            "kind": "code", "coins_milli": 20_000, "valid_seconds": 604_800, "per_person_day": 1, "per_person": 1,
            "budget_milli": 1_000_000, "starts_at": "2026-11-01T00:00:00.000Z", "ends_at": "2036-11-30T00:00:00.000Z",
            "code": "DIWALI26",
        }),
        "SetCoinPlan" => json!({
            "coins_milli": 500_000, "bonus_milli": 25_000, "bonus_valid_seconds": 2_592_000,
            "price_minor": 44_900, "price_asset": "INR/2", "active": true,
        }),
        "SetCommissionRate" => json!({ "scope": scope, "host_bps": 5_500, "agency_bps": 1_000 }),
        "SetGift" => {
            json!({ "name": "Rose", "image_url": "/gifts/rose.webp", "position": 1, "price_milli": 5_000 })
        }
        "SetPayoutRate" => json!({ "rate": "0.50", "reason": "new_contract" }),
        "SetTaxRate" => json!({ "tax_bps": 100, "reason": "new_year" }),
        "Sent" => json!({ "payout_key": "pout_FP8QHiV938haTz" }),
        "VerifyPayee" => json!({ "verified": true, "reason": "bank_letter_seen" }),
        "SetPresence" => json!({ "status": "offline" }),
        "SetRate" => json!({ "price_milli_per_minute": 60_000 }),
        "StartOtp" => json!({ "phone": "+919876543210", "channel": "sms" }),
        "VerifyOtp" => json!({ "phone": "+919876543210", "challenge": THING, "code": "123456" }),
        "Why" => json!({ "reason": "fraud_report" }),
        "WriteOff" => json!({ "amount_milli": 5_000, "reason": "uncollectable", "note": "Moved away." }),
        _ => return None,
    })
}

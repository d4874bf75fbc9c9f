//! Signatures against the vendor's own examples, and deliveries as the vendor shapes them.

use integrations::razorpay::{Config, DisputeStage, Notes, Razorpay, WebhookError, WebhookEvent};
use serde_json::{Value, json};

const CAPTURED: &[u8] = br#"{"entity":"event","account_id":"acc_BFQ7uQEaa7j2z7","event":"payment.captured","contains":["payment"],"payload":{"payment":{"entity":{"id":"pay_DESlfW9H8K9uqM","entity":"payment","amount":10000,"currency":"INR","status":"captured","order_id":"order_DESlLckIVRkHWj","method":"upi","captured":true}}},"created_at":1567674606}"#;
const CAPTURED_SIGNATURE: &str = "83f25ac911bc3363060dc2fdbcaade6cf46ee2c02b8d3c27600979ab989b4269";
const PAYOUT: &[u8] = br#"{"entity":"event","account_id":"acc_BfVUrG6tDiL7H0","event":"payout.processed","contains":["payout"],"payload":{"payout":{"entity":{"id":"pout_1Aa00000000001","entity":"payout","fund_account_id":"fa_1Aa00000000001","amount":100000,"currency":"INR","fees":590,"tax":90,"status":"processed","purpose":"payout","utr":"431234567890","mode":"UPI","reference_id":"wd_42"}}},"created_at":1580808301}"#;
const PAYOUT_SIGNATURE: &str = "4f4eb8790e1bfe5f675378b02fabe8851c4dd2e2e58372a5be8143d1bef02a54";
const WEBHOOK_SECRET: &str = "whsec_test_123";

fn razorpay(key_secret: &str, webhook_secrets: &[&str]) -> Razorpay {
    let config = Config {
        base_url: "http://127.0.0.1:9/v1".into(),
        key_id: "rzp_test_key".into(),
        key_secret: key_secret.into(),
        webhook_secrets: webhook_secrets.iter().map(|secret| (*secret).to_owned()).collect(),
    };
    Razorpay::new(config).unwrap()
}

#[test]
fn the_webhook_signatures_of_the_vendors_examples_are_accepted() {
    let razorpay = razorpay("key_secret", &[WEBHOOK_SECRET]);
    assert!(razorpay.verify_webhook(CAPTURED, CAPTURED_SIGNATURE));
    assert!(razorpay.verify_webhook(PAYOUT, PAYOUT_SIGNATURE));
}

#[test]
fn a_signature_covers_every_byte_and_no_other_body() {
    let razorpay = razorpay("key_secret", &[WEBHOOK_SECRET]);
    assert!(!razorpay.verify_webhook(PAYOUT, CAPTURED_SIGNATURE));
    let respaced = [CAPTURED, b" "].concat();
    assert!(!razorpay.verify_webhook(&respaced, CAPTURED_SIGNATURE));
    for bad in ["", "no hex", &CAPTURED_SIGNATURE[2..], &format!("{CAPTURED_SIGNATURE}00")] {
        assert!(!razorpay.verify_webhook(CAPTURED, bad), "{bad:?}");
    }
}

#[test]
fn the_key_secret_does_not_sign_webhooks() {
    assert!(!razorpay(WEBHOOK_SECRET, &["another"]).verify_webhook(CAPTURED, CAPTURED_SIGNATURE));
}

#[test]
fn after_a_rotation_the_old_and_the_new_secret_are_both_accepted() {
    for secrets in [["new", WEBHOOK_SECRET], [WEBHOOK_SECRET, "old"]] {
        assert!(razorpay("key_secret", &secrets).verify_webhook(CAPTURED, CAPTURED_SIGNATURE));
    }
}

#[test]
fn an_empty_secret_is_refused_at_the_start() {
    for (key_secret, webhook_secrets) in [("", vec!["w"]), ("k", vec![]), ("k", vec!["w", ""])] {
        let config = Config {
            base_url: "http://127.0.0.1:9/v1".into(),
            key_id: "rzp_test_key".into(),
            key_secret: key_secret.into(),
            webhook_secrets: webhook_secrets.into_iter().map(String::from).collect(),
        };
        assert!(Razorpay::new(config).is_err());
    }
}

fn parse(delivery: Value) -> Result<WebhookEvent, WebhookError> {
    Razorpay::parse_webhook(delivery.to_string().as_bytes()).map(|webhook| webhook.event)
}

fn payment(more: Value) -> Value {
    let mut entity =
        json!({"id": "pay_1", "order_id": "order_1", "amount": 19_900, "currency": "INR", "notes": []});
    entity.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    entity
}

fn paid(receipt: Option<&str>, notes: Notes) -> WebhookEvent {
    WebhookEvent::PaymentCaptured {
        payment_id: "pay_1".into(),
        order_id: Some("order_1".into()),
        amount_minor: 19_900,
        currency: "INR".into(),
        receipt: receipt.map(Into::into),
        notes,
    }
}

#[test]
fn the_vendors_captured_example_is_read() {
    let webhook = Razorpay::parse_webhook(CAPTURED).unwrap();
    assert_eq!((webhook.name.as_str(), webhook.created_at), ("payment.captured", Some(1_567_674_606)));
    let expected = WebhookEvent::PaymentCaptured {
        payment_id: "pay_DESlfW9H8K9uqM".into(),
        order_id: Some("order_DESlLckIVRkHWj".into()),
        amount_minor: 10_000,
        currency: "INR".into(),
        receipt: None,
        notes: Notes::new(),
    };
    assert_eq!(webhook.event, expected);
}

#[test]
fn notes_are_read_as_a_list_an_object_or_nothing() {
    for (notes, expected) in [
        (json!([]), Notes::new()),
        (json!(null), Notes::new()),
        (json!({}), Notes::new()),
        (
            json!({"purchase": "p-1", "try": 2}),
            Notes::from([("purchase".into(), "p-1".into()), ("try".into(), "2".into())]),
        ),
    ] {
        let delivery = json!({"event": "payment.captured", "payload": {"payment": {"entity": payment(json!({"notes": notes}))}}});
        assert_eq!(parse(delivery).unwrap(), paid(None, expected));
    }
}

#[test]
fn order_paid_tells_of_the_same_payment_and_adds_the_receipt() {
    let delivery = json!({"event": "order.paid", "contains": ["payment", "order"], "payload": {
        "payment": {"entity": payment(json!({}))},
        "order": {"entity": {"id": "order_1", "amount": 19_900, "receipt": "p-1", "status": "paid", "notes": []}},
    }});
    assert_eq!(parse(delivery).unwrap(), paid(Some("p-1"), Notes::new()));
}

#[test]
fn an_odd_part_that_is_not_needed_does_not_lose_a_payment() {
    let delivery = json!({"event": "order.paid", "new_field": 1, "payload": {
        "payment": {"entity": payment(json!({"acquirer_data": {"rrn": null}, "new_field": [1]}))},
        "order": "gone", "surprise": 7,
    }});
    assert_eq!(parse(delivery).unwrap(), paid(None, Notes::new()));
}

#[test]
fn a_payment_without_an_order_is_still_money() {
    let delivery = json!({"event": "payment.captured", "payload": {"payment": {"entity": payment(json!({"order_id": null}))}}});
    assert!(matches!(parse(delivery).unwrap(), WebhookEvent::PaymentCaptured { order_id: None, .. }));
}

#[test]
fn a_failure_names_its_reason_by_code() {
    for (more, expected) in [
        (
            json!({"error_code": "BAD_REQUEST_ERROR", "error_reason": "payment_cancelled"}),
            "payment_cancelled",
        ),
        (json!({"error_code": "GATEWAY_ERROR", "error_reason": null}), "GATEWAY_ERROR"),
        (json!({}), "unknown"),
    ] {
        let delivery = json!({"event": "payment.failed", "payload": {"payment": {"entity": payment(more)}}});
        let WebhookEvent::PaymentFailed { reason, payment_id, .. } = parse(delivery).unwrap() else {
            panic!("not a failure");
        };
        assert_eq!((reason.as_str(), payment_id.as_str()), (expected, "pay_1"));
    }
}

#[test]
fn a_processed_refund_names_its_payment_and_amount() {
    let entity =
        json!({"id": "rfnd_1", "payment_id": "pay_1", "amount": 5_000, "currency": "INR", "notes": []});
    let delivery = json!({"event": "refund.processed", "payload": {
        "refund": {"entity": entity}, "payment": {"entity": payment(json!({}))},
    }});
    let expected = WebhookEvent::RefundProcessed {
        refund_id: "rfnd_1".into(),
        payment_id: "pay_1".into(),
        amount_minor: 5_000,
        currency: "INR".into(),
    };
    assert_eq!(parse(delivery).unwrap(), expected);
}

#[test]
fn a_dispute_names_its_payment_where_it_stands_and_what_was_deducted() {
    let told = |name: &str, deducted: Value| {
        let entity = json!({
            "id": "disp_1", "entity": "dispute", "payment_id": "pay_1", "amount": 10_000, "currency": "INR",
            "amount_deducted": deducted, "reason_code": "chargeback", "respond_by": 1_590_604_200, "status": "open",
            "phase": "chargeback", "created_at": 1_590_059_211, "evidence": { "amount": 9_000, "others": [] },
        });
        parse(
            json!({"event": name, "payload": {"dispute": {"entity": entity}, "payment": {"entity": payment(json!({}))}}}),
        )
    };
    for (name, deducted, stage, deducted_minor) in [
        ("payment.dispute.created", json!(0), DisputeStage::Open, Some(0)),
        ("payment.dispute.under_review", json!(0), DisputeStage::Open, Some(0)),
        ("payment.dispute.action_required", json!(null), DisputeStage::Open, None),
        ("payment.dispute.won", json!(0), DisputeStage::Won, Some(0)),
        ("payment.dispute.closed", json!(0), DisputeStage::Closed, Some(0)),
        ("payment.dispute.lost", json!(10_000), DisputeStage::Lost, Some(10_000)),
    ] {
        let expected = WebhookEvent::Dispute {
            dispute_id: "disp_1".into(),
            payment_id: "pay_1".into(),
            amount_minor: 10_000,
            currency: "INR".into(),
            stage,
            deducted_minor,
        };
        assert_eq!(told(name, deducted).unwrap(), expected, "{name}");
    }
    assert!(matches!(
        parse(json!({"event": "payment.dispute.lost", "payload": {}})),
        Err(WebhookError::Malformed { name, .. }) if name == "payment.dispute.lost"
    ));
}

#[test]
fn an_event_that_we_do_not_know_is_kept_by_name() {
    assert_eq!(
        Razorpay::parse_webhook(PAYOUT).unwrap().event,
        WebhookEvent::Other("payout.processed".into())
    );
    assert_eq!(parse(json!({"event": "x.y"})).unwrap(), WebhookEvent::Other("x.y".into()));
}

#[test]
fn what_is_no_event_and_what_lacks_its_payment_are_told_apart() {
    for raw in [&b"not json"[..], b"[]", b"{}"] {
        assert!(matches!(Razorpay::parse_webhook(raw), Err(WebhookError::NotAnEvent(_))));
    }
    for payload in
        [json!({}), json!(null), json!({"payment": {"entity": {"id": "pay_1"}}}), json!({"payment": 1})]
    {
        let delivery = json!({"event": "payment.captured", "payload": payload});
        assert!(
            matches!(parse(delivery), Err(WebhookError::Malformed { name, .. }) if name == "payment.captured")
        );
    }
}

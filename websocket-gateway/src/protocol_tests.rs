use super::*;
use serde_json::json;
use uuid::Uuid;

const KEY: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const CALL: &str = "00000000-0000-4000-8000-00000000000a";

fn problem_of(text: &str) -> (Option<Id>, String) {
    let unreadable = parse(text).expect_err(text);
    (unreadable.id, unreadable.problem.code.into_owned())
}

#[test]
fn every_request_is_read() {
    let frames = [
        json!({"type": "auth", "data": {"token": "a.b.c"}}),
        json!({"type": "call:invite",
            "data": {"host": CALL, "medium": "video", "price_seen_milli_per_minute": 1, "key": KEY}}),
        json!({"type": "call:answer", "data": {"call": CALL, "accept": false}}),
        json!({"type": "call:cancel", "data": {"call": CALL}}),
        json!({"type": "call:end", "data": {"call": CALL, "key": KEY}}),
        json!({"type": "gift:send", "data": {"host": CALL, "gift": CALL, "price_seen_milli": 1, "key": KEY}}),
        json!({"type": "presence:update", "data": {"status": "offline"}}),
        json!({"type": "ping"}),
    ];
    let names: Vec<&str> = frames
        .iter()
        .map(|frame| {
            let mut frame = frame.clone();
            frame["id"] = json!(7);
            let (id, request) = parse(&frame.to_string()).expect("a request");
            assert_eq!(id, Id::Number(7));
            request.name()
        })
        .collect();
    assert_eq!(names, Request::TYPES);
}

#[test]
fn a_gift_may_be_sent_within_a_call() {
    let data = json!({"host": CALL, "gift": CALL, "call": CALL, "price_seen_milli": 5, "key": KEY});
    let frame = json!({"id": "a", "type": "gift:send", "data": data});
    let (id, request) = parse(&frame.to_string()).expect("a request");
    assert_eq!(id, Id::Text("a".into()));
    let Request::GiftSend(gift) = request else { panic!("{request:?}") };
    assert_eq!((gift.call.map(|it| it.to_string()).as_deref(), gift.price_seen_milli), (Some(CALL), 5));
}

#[test]
fn a_frame_without_a_readable_id_is_refused_without_one() {
    let long = format!(r#"{{"id": "{}", "type": "ping"}}"#, "x".repeat(65));
    for (text, code) in [
        ("", "malformed_json"),
        ("{", "malformed_json"),
        (r#"{"id": 1, "type": "ping"} x"#, "malformed_json"),
        (r#"{"id": 1e999, "type": "ping"}"#, "malformed_json"),
        (&"[".repeat(5_000), "malformed_json"),
        ("[]", "wrong_type"),
        ("null", "wrong_type"),
        (r#""ping""#, "wrong_type"),
        (r#"{"type": "ping"}"#, "missing_field"),
        (r#"{"id": null, "type": "ping"}"#, "wrong_type"),
        (r#"{"id": true, "type": "ping"}"#, "wrong_type"),
        (r#"{"id": 1.5, "type": "ping"}"#, "wrong_type"),
        (r#"{"id": 9223372036854775808, "type": "ping"}"#, "wrong_type"),
        (r#"{"id": "", "type": "ping"}"#, "wrong_type"),
        (r#"{"id": {}, "type": "ping"}"#, "wrong_type"),
        (&long, "wrong_type"),
    ] {
        assert_eq!(problem_of(text), (None, code.to_owned()), "{text}");
    }
}

#[test]
fn a_request_with_a_fault_is_refused_under_its_id_and_names_the_field() {
    for (rest, code, field) in [
        (r#""data": {}"#, "missing_field", "type"),
        (r#""type": 5"#, "wrong_type", "type"),
        (r#""type": "call:explode""#, "unknown_type", ""),
        (r#""type": "gift:sent""#, "unknown_type", ""),
        (r#""type": "ping", "more": 1"#, "unknown_field", "more"),
        (r#""type": "ping", "data": {"more": 1}"#, "unknown_field", "more"),
        (r#""type": "ping", "data": []"#, "wrong_type", "data"),
        (r#""type": "ping", "data": null"#, "wrong_type", "data"),
        (r#""type": "auth""#, "missing_field", "token"),
        (r#""type": "auth", "data": {"token": 5}"#, "wrong_type", "token"),
        (r#""type": "auth", "token": "a.b.c""#, "unknown_field", "token"),
        (r#""type": "call:cancel", "data": {"call": "no-uuid"}"#, "wrong_type", "call"),
        (r#""type": "call:cancel""#, "missing_field", "call"),
        (r#""type": "call:cancel", "call": "00000000-0000-4000-8000-00000000000a""#, "unknown_field", "call"),
        (r#""type": "presence:update", "data": {"status": "busy"}"#, "wrong_type", "status"),
    ] {
        let text = format!(r#"{{"id": 7, {rest}}}"#);
        let unreadable = parse(&text).expect_err(&text);
        assert_eq!(unreadable.id, Some(Id::Number(7)), "{text}");
        let told = (unreadable.problem.code.as_ref(), unreadable.problem.field.as_deref().unwrap_or(""));
        assert_eq!(told, (code, field), "{text}");
    }
}

#[test]
fn amounts_are_whole_numbers_and_nobody_says_who_pays() {
    let invite = json!({"host": CALL, "medium": "video", "price_seen_milli_per_minute": 1, "key": KEY});
    for (field, wrong, code) in [
        ("price_seen_milli_per_minute", json!(1.5), "wrong_type"),
        ("price_seen_milli_per_minute", json!("1"), "wrong_type"),
        ("price_seen_milli_per_minute", json!(u64::MAX), "wrong_type"),
        ("medium", json!("smoke"), "wrong_type"),
        ("key", json!(null), "wrong_type"),
        ("host", json!(1), "wrong_type"),
        ("payer", json!(CALL), "unknown_field"),
    ] {
        let mut data = invite.clone();
        data[field] = wrong;
        let text = json!({"id": 7, "type": "call:invite", "data": data}).to_string();
        let unreadable = parse(&text).expect_err(&text);
        assert_eq!(
            (unreadable.problem.code.as_ref(), unreadable.problem.field.as_deref()),
            (code, Some(field))
        );
    }
}

#[test]
fn a_reply_names_its_request() {
    let frame = done(&Id::Text("a".into()), &Cancelled { call: CallId(Uuid::nil()) });
    let expected = json!({"type": "call:cancel:done", "reply_to": "a", "data": {"call": Uuid::nil()}});
    assert_eq!(serde_json::from_str::<Value>(&frame).expect("JSON"), expected);
}

#[test]
fn a_refusal_names_the_code_and_what_helps_to_go_on() {
    let rejection = ledger_core::Rejection::InsufficientFunds { needed_milli: 10, spendable_milli: 4 };
    let frame = refused(Some(&Id::Number(3)), &Problem::from(&rejection));
    let frame: Value = serde_json::from_str(&frame).expect("JSON");
    assert_eq!((&frame["reply_to"], &frame["type"]), (&json!(3), &json!("refused")));
    let problem = &frame["problem"];
    assert_eq!(problem["code"], "insufficient_funds");
    assert_eq!((&problem["needed_milli"], &problem["spendable_milli"]), (&json!(10), &json!(4)));
    assert!(problem["price_milli"].is_null() && problem["detail"].is_string());

    let frame = refused(None, &Problem::rate_limited(1));
    assert!(serde_json::from_str::<Value>(&frame).expect("JSON")["reply_to"].is_null());
}

#[test]
fn close_reasons_fit_their_frame_and_differ() {
    let mut reasons: Vec<&str> = Close::ALL.iter().map(|(close, _)| close.reason).collect();
    assert!(reasons.iter().all(|reason| reason.len() <= 123));
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), Close::ALL.len());
}

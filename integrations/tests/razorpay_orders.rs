//! Orders against a small vendor on a loopback port, which checks the keys as the real one does.

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use integrations::razorpay::{Config, Notes, Order, Razorpay, RazorpayError};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

/// What the vendor does with the next `POST /orders`.
#[derive(Clone, Copy)]
enum Act {
    /// Makes the order and answers.
    Make,
    /// Makes the order, but the answer is a 502 from something on the way.
    MakeButAnswer502,
    /// Makes the order, but answers words that are no order.
    MakeButAnswerNonsense,
    /// Makes the order and never answers.
    MakeAndHang,
    /// Does nothing and answers 502.
    DropAndAnswer502,
    /// Refuses, as it does a receipt that it has seen; the earlier request has by now arrived.
    RefuseAsRepeat,
    TooMany,
}

#[derive(Default)]
struct Books {
    acts: VecDeque<Act>,
    orders: Vec<Value>,
    posts: usize,
    blind: bool,
}

#[derive(Clone, Default)]
struct Vendor(Arc<Mutex<Books>>);

impl Vendor {
    async fn start(acts: &[Act]) -> (Vendor, Razorpay) {
        let vendor = Vendor::default();
        vendor.0.lock().unwrap().acts = acts.iter().copied().collect();
        let base_url = vendor.listen().await;
        (vendor, client(base_url, "key_secret"))
    }

    async fn listen(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let app = Router::new().route("/v1/orders", post(make).get(find)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        base_url
    }

    fn count(&self) -> (usize, usize) {
        let books = self.0.lock().unwrap();
        (books.posts, books.orders.len())
    }
}

fn client(base_url: String, key_secret: &str) -> Razorpay {
    let config = Config {
        base_url,
        key_id: "rzp_test_key".into(),
        key_secret: key_secret.into(),
        webhook_secrets: vec!["whsec".into()],
    };
    Razorpay::new(config).unwrap().with_timeout(Duration::from_millis(400))
}

fn may_enter(headers: &HeaderMap) -> bool {
    let expected = format!("Basic {}", STANDARD.encode("rzp_test_key:key_secret"));
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    given == Some(expected.as_str())
}

fn refuse(status: StatusCode, description: &str) -> Response {
    let error = json!({"error": {"code": "BAD_REQUEST_ERROR", "description": description, "field": null}});
    (status, Json(error)).into_response()
}

async fn make(State(vendor): State<Vendor>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if !may_enter(&headers) {
        return refuse(StatusCode::UNAUTHORIZED, "Authentication failed");
    }
    let (act, order) = {
        let mut books = vendor.0.lock().unwrap();
        books.posts += 1;
        let act = books.acts.pop_front().unwrap_or(Act::Make);
        if body["amount"].as_i64().unwrap() < 100 {
            return refuse(StatusCode::BAD_REQUEST, "The amount must be atleast INR 1.00");
        }
        let order = json!({
            "id": format!("order_{}", books.posts), "entity": "order", "amount": body["amount"],
            "amount_paid": 0, "amount_due": body["amount"], "currency": body["currency"],
            "receipt": body["receipt"], "status": "created", "attempts": 0,
            "notes": if body["notes"] == json!({}) { json!([]) } else { body["notes"].clone() },
            "created_at": 1_767_225_600 + books.posts,
        });
        if !matches!(act, Act::DropAndAnswer502 | Act::TooMany) {
            books.orders.push(order.clone());
        }
        (act, order)
    };
    match act {
        Act::Make => Json(order).into_response(),
        Act::MakeButAnswer502 | Act::DropAndAnswer502 => StatusCode::BAD_GATEWAY.into_response(),
        Act::MakeButAnswerNonsense => "<html>all is well</html>".into_response(),
        Act::MakeAndHang => std::future::pending().await,
        Act::RefuseAsRepeat => refuse(StatusCode::BAD_REQUEST, "Receipt already exists"),
        Act::TooMany => StatusCode::TOO_MANY_REQUESTS.into_response(),
    }
}

async fn find(
    State(vendor): State<Vendor>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    if !may_enter(&headers) {
        return refuse(StatusCode::UNAUTHORIZED, "Authentication failed");
    }
    let books = vendor.0.lock().unwrap();
    if books.blind {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let items: Vec<_> =
        books.orders.iter().filter(|order| order["receipt"] == query["receipt"].as_str()).collect();
    Json(json!({"entity": "collection", "count": items.len(), "items": items})).into_response()
}

fn notes() -> Notes {
    Notes::from([("purchase".to_owned(), "p-1".to_owned())])
}

async fn order(razorpay: &Razorpay) -> Result<Order, RazorpayError> {
    razorpay.create_order(19_900, "INR", "receipt 1&2", &notes()).await
}

#[tokio::test]
async fn an_order_carries_amount_receipt_and_notes() {
    let (vendor, razorpay) = Vendor::start(&[]).await;
    let made = order(&razorpay).await.unwrap();
    assert_eq!((made.id.as_str(), made.amount_minor, made.currency.as_str()), ("order_1", 19_900, "INR"));
    assert_eq!((made.receipt.as_deref(), made.status.as_str()), (Some("receipt 1&2"), "created"));
    assert_eq!(made.notes, notes());
    assert_eq!(razorpay.find_order_by_receipt("receipt 1&2").await.unwrap(), Some(made));
    assert_eq!(razorpay.find_order_by_receipt("receipt 1").await.unwrap(), None);
    assert_eq!(vendor.count(), (1, 1));
}

#[tokio::test]
async fn empty_notes_come_back_as_a_list_and_are_read() {
    let (_vendor, razorpay) = Vendor::start(&[]).await;
    let made = razorpay.create_order(100, "INR", "r", &Notes::new()).await.unwrap();
    assert_eq!(made.notes, Notes::new());
}

#[tokio::test]
async fn a_lost_answer_is_found_again_by_receipt_and_no_second_order_is_made() {
    for act in [Act::MakeButAnswer502, Act::MakeButAnswerNonsense, Act::MakeAndHang] {
        let (vendor, razorpay) = Vendor::start(&[act]).await;
        assert_eq!(order(&razorpay).await.unwrap().id, "order_1");
        assert_eq!(vendor.count(), (1, 1));
    }
}

#[tokio::test]
async fn a_request_that_never_arrived_is_sent_once_more() {
    let (vendor, razorpay) = Vendor::start(&[Act::DropAndAnswer502]).await;
    assert_eq!(order(&razorpay).await.unwrap().id, "order_2");
    assert_eq!(vendor.count(), (2, 1));
}

#[tokio::test]
async fn a_first_request_that_arrives_late_is_found_when_the_second_is_refused() {
    let (vendor, razorpay) = Vendor::start(&[Act::DropAndAnswer502, Act::RefuseAsRepeat]).await;
    assert_eq!(order(&razorpay).await.unwrap().id, "order_2");
    assert_eq!(vendor.count(), (2, 1));
}

#[tokio::test]
async fn two_lost_requests_leave_the_outcome_unknown_and_ensure_order_mends_it() {
    let (vendor, razorpay) = Vendor::start(&[Act::DropAndAnswer502, Act::DropAndAnswer502]).await;
    assert!(matches!(order(&razorpay).await, Err(RazorpayError::OutcomeUnknown(_))));
    let made = razorpay.ensure_order(19_900, "INR", "receipt 1&2", &notes()).await.unwrap();
    let again = razorpay.ensure_order(19_900, "INR", "receipt 1&2", &notes()).await.unwrap();
    assert_eq!(made, again);
    assert_eq!(vendor.count(), (3, 1));
}

#[tokio::test]
async fn a_look_that_fails_leaves_the_outcome_unknown() {
    let (vendor, razorpay) = Vendor::start(&[Act::MakeButAnswer502]).await;
    vendor.0.lock().unwrap().blind = true;
    assert!(matches!(order(&razorpay).await, Err(RazorpayError::OutcomeUnknown(_))));
    assert_eq!(vendor.count(), (1, 1));
}

#[tokio::test]
async fn a_receipt_is_never_shared_by_two_amounts() {
    let (vendor, razorpay) = Vendor::start(&[]).await;
    order(&razorpay).await.unwrap();
    let other = razorpay.ensure_order(9_900, "INR", "receipt 1&2", &notes()).await;
    assert!(matches!(other, Err(RazorpayError::Refused { code, .. }) if code == "RECEIPT_IN_USE"));
    assert_eq!(vendor.count(), (1, 1));
}

#[tokio::test]
async fn a_refusal_keeps_the_vendors_code_and_words() {
    let (vendor, razorpay) = Vendor::start(&[]).await;
    match razorpay.create_order(99, "INR", "r", &notes()).await {
        Err(RazorpayError::Refused { code, description }) => {
            assert_eq!(
                (code.as_str(), description.as_str()),
                ("BAD_REQUEST_ERROR", "The amount must be atleast INR 1.00")
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(vendor.count(), (1, 0));
}

#[tokio::test]
async fn wrong_keys_are_refused_and_nothing_is_made() {
    let (vendor, _razorpay) = Vendor::start(&[]).await;
    let stranger = client(vendor.listen().await, "another_secret");
    assert!(matches!(order(&stranger).await, Err(RazorpayError::Refused { .. })));
    assert_eq!(vendor.count(), (0, 0));
}

#[tokio::test]
async fn a_vendor_that_is_down_or_busy_is_unavailable_and_nothing_was_done() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    assert!(matches!(order(&client(nobody, "key_secret")).await, Err(RazorpayError::Unavailable(_))));

    let (vendor, razorpay) = Vendor::start(&[Act::TooMany]).await;
    assert!(matches!(order(&razorpay).await, Err(RazorpayError::Unavailable(_))));
    assert_eq!(vendor.count(), (1, 0));
}

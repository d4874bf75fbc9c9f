//! The extractors inside a router, as clients meet them.

use super::{BODY_LIMIT_BYTES, IdempotencyKey, Json, Path, Query};
use crate::error::Error;
use crate::page::ReadQuery;
use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Request, StatusCode, header};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::Value;
use tower::ServiceExt;
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body1 {
    amount_milli: i64,
}

fn router() -> Router {
    Router::new()
        .route("/things/{id}", get(async |Path(id): Path<Uuid>| id.to_string()))
        .route("/list", get(async |Query(query): Query<ReadQuery>| format!("{:?}", query.min_revision)))
        .route(
            "/pay",
            post(async |IdempotencyKey(key): IdempotencyKey, Json(body): Json<Body1>| {
                format!("{key} {}", body.amount_milli)
            }),
        )
        .fallback(async || Error::NoSuchPath)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
}

async fn ask(request: Request<Body>) -> (StatusCode, Value) {
    let response = router().oneshot(request).await.expect("a router never fails");
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a short body");
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

async fn told(request: Request<Body>) -> (u16, String, Option<String>) {
    let (status, problem) = ask(request).await;
    let text = |name: &str| problem[name].as_str().map(str::to_owned);
    assert_eq!(problem["status"], status.as_u16(), "the body repeats the status");
    (status.as_u16(), text("code").expect("a code"), text("field"))
}

fn pay(key: Option<&str>, kind: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post("/pay").header(header::CONTENT_TYPE, kind);
    let request = match key {
        Some(key) => request.header("Idempotency-Key", key),
        None => request,
    };
    request.body(body.into()).expect("a request")
}

fn get_path(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).expect("a request")
}

const KEY: &str = "01980000-0000-7000-8000-000000000000";
const JSON: &str = "application/json";

#[tokio::test]
async fn a_good_request_comes_through() {
    let good = r#"{"amount_milli": 5}"#;
    assert_eq!(ask(pay(Some(KEY), JSON, good)).await.0, StatusCode::OK);
    assert_eq!(ask(pay(Some(KEY), "Application/JSON; charset=utf-8", good)).await.0, StatusCode::OK);
    for key in ["x", "order 4711", &"k".repeat(255), "b4d8ada9-74fc-4c4d-9fa7-9fcf1e2c3a4b"] {
        assert_eq!(ask(pay(Some(key), JSON, good)).await.0, StatusCode::OK, "{key}");
    }
    assert_eq!(ask(get_path("/list?min_revision=3")).await.0, StatusCode::OK);
    assert_eq!(ask(get_path(&format!("/things/{KEY}"))).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_command_needs_a_key_before_anything_else() {
    let header = Some("Idempotency-Key".to_owned());
    assert_eq!(told(pay(None, JSON, "{")).await, (400, "idempotency_key_missing".into(), header.clone()));
    for key in ["", " ", "tab\there", &"k".repeat(256)] {
        let answer = told(pay(Some(key), JSON, "{")).await;
        assert_eq!(answer, (422, "idempotency_key_invalid".into(), header.clone()), "{key:?}");
    }
}

#[tokio::test]
async fn a_bad_body_is_a_problem_with_its_own_code() {
    let field = |name: &str| Some(name.to_owned());
    let long = format!(r#"{{"amount_milli": {}1}}"#, " ".repeat(BODY_LIMIT_BYTES));
    for (kind, body, expected) in [
        (JSON, "{".to_owned(), (400, "malformed_json".to_owned(), None)),
        (JSON, r#"{"amount_milli": "5"}"#.into(), (422, "wrong_type".into(), field("amount_milli"))),
        (JSON, r#"{"amount_milli": 5, "x": 1}"#.into(), (422, "unknown_field".into(), field("x"))),
        (JSON, "{}".into(), (422, "missing_field".into(), field("amount_milli"))),
        (JSON, long, (413, "body_too_large".into(), None)),
        ("text/plain", r#"{"amount_milli": 5}"#.into(), (415, "not_json".into(), field("Content-Type"))),
    ] {
        assert_eq!(told(pay(Some(KEY), kind, body)).await, expected);
    }
}

#[tokio::test]
async fn a_bad_address_is_a_problem_with_its_own_code() {
    let field = |name: &str| Some(name.to_owned());
    for (path, expected) in [
        ("/things/12", (400, "invalid_path", None)),
        ("/list?min_revision=x", (400, "invalid_query", field("min_revision"))),
        ("/list?min_revision=-1", (400, "invalid_query", field("min_revision"))),
        ("/list?limit=1", (422, "unknown_field", field("limit"))),
        ("/nowhere", (404, "not_found", None)),
    ] {
        let (status, code, field) = told(get_path(path)).await;
        assert_eq!((status, code.as_str(), field), expected, "{path}");
    }
    let wrong_method = Request::builder().method(Method::DELETE).uri("/pay").body(Body::empty());
    let (status, code, _) = told(wrong_method.expect("a request")).await;
    assert_eq!((status, code.as_str()), (405, "method_not_allowed"));
}

//! What happens around every request.

use crate::Api;
use crate::error::Error;
use crate::extract::{ClientAddress, address_of};
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use platform::rate_limit::RateLimitError;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Gateways send from few addresses, as much as they have to tell.
const WEBHOOKS: &str = "/v1/webhooks/";

/// The layers, from the innermost to the outermost.
pub fn around(routes: Router, api: Api) -> Router {
    let cors = cors(&api.config.cors_origins);
    routes
        .layer(from_fn_with_state(api.clone(), limit))
        .layer(from_fn_with_state(api.config.timeout, in_time))
        .layer(from_fn(catch_panic))
        .layer(from_fn(not_stored))
        .layer(from_fn(measure))
        .layer(CompressionLayer::new())
        .layer(cors)
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(TraceLayer::new_for_http().make_span_with(span).on_failure(()))
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
}

/// The path without its query: cursors and filters are not worth a line of log.
fn span(request: &Request) -> tracing::Span {
    let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    tracing::info_span!("request", method = %request.method(), path = request.uri().path(), id)
}

async fn limit(State(api): State<Api>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let limit = api.config.requests_per_minute;
    if limit == 0 || !path.starts_with("/v1/") || path.starts_with(WEBHOOKS) {
        return next.run(request).await;
    }
    let ClientAddress(address) = address_of(request.extensions());
    match api.app.limits.check("requests", &address, limit, 60, api.now()).await {
        Ok(()) => next.run(request).await,
        Err(fault @ RateLimitError::Limited { .. }) => Error::from(fault).into_response(),
        Err(RateLimitError::Redis(fault)) => {
            // The limit protects others from one client; without Redis it is better to serve all.
            tracing::warn!(%fault, "requests are not limited");
            next.run(request).await
        }
    }
}

async fn in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Error::TimedOut.into_response(),
    }
}

async fn catch_panic(request: Request, next: Next) -> Response {
    let place = format!("{} {}", request.method(), request.uri().path());
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(cause) => {
            let cause = cause
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| cause.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            tracing::error!(alert = "handler_panicked", place, cause, "a handler panicked");
            Error::Panicked.into_response()
        }
    }
}

/// Counts answers and times by route, not by path: ids would make every request a series of its own.
#[expect(
    clippy::disallowed_methods,
    reason = "how long an answer takes is measured here, and decides nothing"
)]
async fn measure(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().to_string();
    let begun = std::time::Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::histogram!("http_request_seconds", "method" => method.clone(), "route" => route.clone())
        .record(begun.elapsed());
    metrics::counter!("http_requests_total", "method" => method, "route" => route, "status" => status)
        .increment(1);
    response
}

/// What the API answers is somebody's own and of this moment.
async fn not_stored(request: Request, next: Next) -> Response {
    let ours = request.uri().path().starts_with("/v1/");
    let mut response = next.run(request).await;
    if ours {
        response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    response
}

fn cors(origins: &[HeaderValue]) -> CorsLayer {
    if origins.is_empty() {
        return CorsLayer::new();
    }
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
            REQUEST_ID,
        ])
        .expose_headers([REQUEST_ID, header::RETRY_AFTER])
        .max_age(Duration::from_secs(600))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::routing::get;
    use tower::ServiceExt;

    async fn ask(routes: Router, request: Request<Body>) -> (StatusCode, String, axum::http::HeaderMap) {
        let response = routes.oneshot(request).await.expect("a router never fails");
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a short body");
        (parts.status, String::from_utf8_lossy(&bytes).into_owned(), parts.headers)
    }

    fn get_path(path: &str) -> Request<Body> {
        Request::get(path).body(Body::empty()).expect("a request")
    }

    #[tokio::test]
    async fn a_panic_in_a_handler_is_a_problem_that_tells_nothing() {
        let routes = Router::new()
            .route("/v1/bad", get(async || -> &'static str { panic!("the secret of {}", 7) }))
            .layer(from_fn(catch_panic));
        let (status, body, _) = ask(routes, get_path("/v1/bad")).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(body.contains(r#""code":"internal""#) && !body.contains("secret"), "{body}");
    }

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_told_to_come_again_with_its_key() {
        let routes = Router::new()
            .route("/v1/slow", get(std::future::pending::<&'static str>))
            .layer(from_fn_with_state(Duration::from_millis(1), in_time));
        let (status, body, headers) = ask(routes, get_path("/v1/slow")).await;
        assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
        assert!(body.contains(r#""code":"timeout""#) && body.contains("same key"), "{body}");
        assert_eq!(headers[header::RETRY_AFTER], "1");
    }

    #[tokio::test]
    async fn answers_of_the_api_are_not_stored_and_others_may_be() {
        let routes = Router::new()
            .route("/v1/wallet", get(async || "mine"))
            .route("/docs", get(async || "everybody's"))
            .layer(from_fn(not_stored));
        let (_, _, headers) = ask(routes.clone(), get_path("/v1/wallet")).await;
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        let (_, _, headers) = ask(routes, get_path("/docs")).await;
        assert!(!headers.contains_key(header::CACHE_CONTROL));
    }

    #[tokio::test]
    async fn only_pages_of_the_named_origins_may_call_from_a_browser() {
        let allowed = async |origins: &[HeaderValue]| {
            let routes = Router::new().route("/v1/me", get(async || "me")).layer(cors(origins));
            let request = Request::get("/v1/me").header(header::ORIGIN, "https://admin.example");
            let (_, _, headers) = ask(routes, request.body(Body::empty()).expect("a request")).await;
            headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
        };
        assert!(allowed(&[HeaderValue::from_static("https://admin.example")]).await);
        assert!(!allowed(&[HeaderValue::from_static("https://other.example")]).await);
        assert!(!allowed(&[]).await);
    }
}

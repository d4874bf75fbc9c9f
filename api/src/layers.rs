//! What happens around every request.

use crate::Api;
use crate::allowance::{self, Left};
use crate::csv::NEXT_CURSOR;
use crate::error::Error;
use crate::extract::address_of;
use crate::observe::{REQUEST_ID, TRACEPARENT, observe};
use crate::receipt::REPLAYED;
use axum::error_handling::HandleErrorLayer;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Router};
use platform::rate_limit::Allowance;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceBuilder;
use tower::timeout::TimeoutLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::set_header::SetResponseHeaderLayer;

/// A longer id is not taken over.
const REQUEST_ID_LENGTH: usize = 64;
/// Gateways send from few addresses, as much as they have to tell.
const WEBHOOKS: &str = "/v1/webhooks/";
/// An answer of the API is data: a browser that is led to open it as a page loads and runs nothing.
const POLICY_OF_ANSWERS: &str = "default-src 'none'; frame-ancestors 'none'";
/// The pages load their own scripts, styles and pictures, and ask this server alone.
const POLICY_OF_PAGES: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The layers around every route, from the outermost to the innermost. They are one stack: each `Router::layer` of
/// its own would put every route and every answer into one more box.
pub fn around(routes: Router, api: Api) -> Router {
    let cors = cors(&api.config.cors_origins);
    let (timeout, hsts_seconds) = (api.config.timeout, api.config.hsts_seconds);
    routes.layer(
        ServiceBuilder::new()
            .map_response(always(hsts_seconds))
            .map_request(without_unclean_id)
            .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
            .layer(PropagateRequestIdLayer::new(REQUEST_ID))
            .layer(from_fn(observe))
            .layer(cors)
            .layer(CompressionLayer::new())
            .layer(CatchPanicLayer::custom(panicked))
            .layer(HandleErrorLayer::new(timed_out))
            .layer(TimeoutLayer::new(timeout))
            .layer(from_fn_with_state(api, limit)),
    )
}

/// What only answers of the API have: they are somebody's own and of this moment, and no pages.
pub fn of_answers(routes: Router) -> Router {
    routes
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .layer(SetResponseHeaderLayer::overriding(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY_OF_ANSWERS),
        ))
}

/// What only pages have.
pub fn of_pages(pages: Router) -> Router {
    pages.layer(SetResponseHeaderLayer::overriding(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY_OF_PAGES),
    ))
}

/// The headers of every answer, made by whichever layer: what a browser may not do with it.
fn always<B>(hsts_seconds: u32) -> impl Fn(Response<B>) -> Response<B> + Clone {
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    let mut headers: Vec<_> =
        fixed.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
    if let (true, Ok(value)) = (hsts_seconds > 0, HeaderValue::try_from(format!("max-age={hsts_seconds}"))) {
        headers.push((header::STRICT_TRANSPORT_SECURITY, value));
    }
    let headers: Arc<[_]> = headers.into();
    move |mut response| {
        let answer = response.headers_mut();
        answer.reserve(headers.len() + 1);
        answer.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY_OF_ANSWERS));
        for (name, value) in headers.iter() {
            answer.insert(name, value.clone());
        }
        response
    }
}

/// An id of the client's stands in logs and answers, so it is taken only if it is short and plain. Without it the
/// request gets an id of our own.
fn without_unclean_id(mut request: Request) -> Request {
    let mut ids = request.headers().get_all(REQUEST_ID).iter();
    let clean = match (ids.next(), ids.next()) {
        (None, _) => true,
        (Some(id), None) => is_clean(id.as_bytes()),
        (Some(_), Some(_)) => false,
    };
    if !clean {
        request.headers_mut().remove(REQUEST_ID);
    }
    request
}

fn is_clean(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=REQUEST_ID_LENGTH).contains(&id.len()) && id.iter().all(plain)
}

async fn limit(State(api): State<Api>, request: Request, next: Next) -> Response {
    if api.config.requests_per_minute == 0 || request.uri().path().starts_with(WEBHOOKS) {
        return next.run(request).await;
    }
    let address = address_of(request.extensions(), request.headers(), &api.config.trusted_proxies);
    let (mut response, left) = match api.count_requests(&address, 1) {
        Ok(left) => (next.run(request).await, left),
        Err(limited) => {
            let (limit, reset_seconds) = (api.config.requests_per_minute, limited.retry_after_seconds);
            let none_left = Allowance { limit, remaining: 0, reset_seconds };
            (Error::from(limited).into_response(), Some(none_left))
        }
    };
    Left(left).stamp(response.headers_mut());
    response
}

/// What a request is answered that takes longer than it may.
async fn timed_out(_: BoxError) -> Error {
    Error::TimedOut
}

/// Runs within the span of the request, so the log line says which one it was.
fn panicked(cause: Box<dyn Any + Send>) -> Response {
    let cause = platform::workers::panic_text(&*cause);
    tracing::error!(alert = "handler_panicked", cause, "a handler panicked");
    Error::Panicked.into_response()
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
            TRACEPARENT,
            HeaderName::from_static("tracestate"),
        ])
        // A client whose clock is wrong makes its keys by the date of the answers.
        .expose_headers([
            REQUEST_ID,
            REPLAYED,
            allowance::LIMIT,
            allowance::REMAINING,
            allowance::RESET,
            NEXT_CURSOR,
            header::RETRY_AFTER,
            header::DATE,
        ])
        .max_age(Duration::from_secs(600))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::routing::get;
    use tower::ServiceExt;
    use tower::util::{MapRequestLayer, MapResponseLayer};

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
            .layer(CatchPanicLayer::custom(panicked));
        let (status, body, _) = ask(routes, get_path("/v1/bad")).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(body.contains(r#""code":"internal""#) && !body.contains("secret"), "{body}");
    }

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_told_to_come_again_with_its_key() {
        let routes = Router::new().route("/v1/slow", get(std::future::pending::<&'static str>));
        let in_time = ServiceBuilder::new()
            .layer(HandleErrorLayer::new(timed_out))
            .layer(TimeoutLayer::new(Duration::from_millis(1)));
        let routes = routes.layer(in_time);
        let (status, body, headers) = ask(routes, get_path("/v1/slow")).await;
        assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
        assert!(body.contains(r#""code":"timeout""#) && body.contains("same key"), "{body}");
        assert_eq!(headers[header::RETRY_AFTER], "1");
    }

    #[tokio::test]
    async fn answers_of_the_api_are_not_stored_and_pages_may_be() {
        let answers = of_answers(Router::new().route("/v1/wallet", get(async || "mine")));
        let routes = answers.merge(of_pages(Router::new().route("/docs", get(async || "everybody's"))));
        let (_, _, headers) = ask(routes.clone(), get_path("/v1/wallet")).await;
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], POLICY_OF_ANSWERS);
        let (_, _, headers) = ask(routes, get_path("/docs")).await;
        assert!(!headers.contains_key(header::CACHE_CONTROL));
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], POLICY_OF_PAGES);
    }

    #[tokio::test]
    async fn every_answer_has_the_headers_that_bind_browsers_and_tls_only_where_it_is_set() {
        let routes = Router::new().route("/there", get(async || "there"));
        for path in ["/there", "/nowhere"] {
            let (_, _, headers) =
                ask(routes.clone().layer(MapResponseLayer::new(always(0))), get_path(path)).await;
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
            assert_eq!(headers[header::X_FRAME_OPTIONS], "DENY", "{path}");
            assert_eq!(headers[header::REFERRER_POLICY], "no-referrer", "{path}");
            assert_eq!(headers["cross-origin-resource-policy"], "same-origin", "{path}");
            assert_eq!(headers[header::CONTENT_SECURITY_POLICY], POLICY_OF_ANSWERS, "{path}");
            assert!(!headers.contains_key(header::STRICT_TRANSPORT_SECURITY), "{path}");
        }
        let (_, _, headers) = ask(routes.layer(MapResponseLayer::new(always(600))), get_path("/there")).await;
        assert_eq!(headers[header::STRICT_TRANSPORT_SECURITY], "max-age=600");
    }

    #[tokio::test]
    async fn an_id_of_the_clients_is_taken_only_if_it_is_short_and_plain() {
        let routes = Router::new()
            .route("/", get(async |request: Request| format!("{:?}", request.headers().get(REQUEST_ID))))
            .layer(PropagateRequestIdLayer::new(REQUEST_ID))
            .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
            .layer(MapRequestLayer::new(without_unclean_id));
        let longest = "a".repeat(REQUEST_ID_LENGTH);
        for id in ["0", "app_1-Z", &longest] {
            let request = Request::get("/").header(REQUEST_ID, id).body(Body::empty()).expect("a request");
            let (_, _, headers) = ask(routes.clone(), request).await;
            assert_eq!(headers[REQUEST_ID], id);
        }
        let too_long = "a".repeat(REQUEST_ID_LENGTH + 1);
        for ids in [vec![""], vec![&too_long], vec!["a b"], vec!["a;b"], vec!["\u{e9}"], vec!["one", "two"]] {
            let mut request = Request::get("/");
            for id in &ids {
                let value = HeaderValue::from_bytes(id.as_bytes()).expect("a header's value");
                request = request.header(REQUEST_ID, value);
            }
            let request = request.body(Body::empty()).expect("a request");
            let (_, body, headers) = ask(routes.clone(), request).await;
            let id = headers[REQUEST_ID].to_str().expect("text").to_owned();
            assert!(uuid::Uuid::try_parse(&id).is_ok(), "{ids:?} was taken as {id}");
            assert!(body.contains(&id), "{body}");
        }
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

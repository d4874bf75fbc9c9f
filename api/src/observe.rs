//! What is told of every request: a span named by its route, figures by route, and one line of the log.
//!
//! Nothing of it quotes the client. Paths are told by their routes, so ids and made-up words are no labels; headers
//! and bodies are never told.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use metrics::SharedString;
use opentelemetry::global::get_text_map_propagator;
use opentelemetry::trace::{TraceContextExt, TraceId};
use opentelemetry_http::HeaderExtractor;
use std::sync::Arc;
use std::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span, info, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The status of a request whose client went away before it was answered. Nobody was sent it; proxies write the same.
const CLIENT_GONE: u16 = 499;

/// The layer. It needs the request's id, and knows the route where it is put around the routes of a router.
pub async fn observe(request: Request, next: Next) -> Response {
    let method = method_label(request.method());
    let route: Arc<str> =
        request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).into();
    let id = request.headers().get(REQUEST_ID).cloned();
    let span = span(method, &route, text(id.as_ref()), request.headers());
    let trace = trace_of(&span);
    let mut told = Told::begin(method, route, id, trace);
    let response = next.run(request).instrument(span.clone()).await;
    told.status = response.status().as_u16();
    if trace.is_some() {
        tell_trace(&span, response.status());
    }
    response
}

/// The request's span. The names that begin with `otel.` are for the collector alone.
fn span(method: &'static str, route: &str, id: &str, headers: &HeaderMap) -> Span {
    let span = info_span!(
        "request",
        otel.name = %format_args!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        method,
        route,
        id
    );
    if headers.contains_key(TRACEPARENT) {
        let parent = get_text_map_propagator(|it| it.extract(&HeaderExtractor(headers)));
        // Without a collector there is no trace to continue.
        span.set_parent(parent).ok();
    }
    span
}

/// The trace that the span is part of, where there is a collector.
fn trace_of(span: &Span) -> Option<TraceId> {
    let context = span.context();
    let trace = context.span().span_context().clone();
    trace.is_valid().then(|| trace.trace_id())
}

fn tell_trace(span: &Span, status: StatusCode) {
    span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// A request that is under way. However it ends, its end is told.
struct Told {
    begun: Instant,
    method: &'static str,
    route: Arc<str>,
    id: Option<HeaderValue>,
    trace: Option<TraceId>,
    status: u16,
}

impl Told {
    #[expect(
        clippy::disallowed_methods,
        reason = "how long an answer takes is measured here, and decides nothing"
    )]
    fn begin(method: &'static str, route: Arc<str>, id: Option<HeaderValue>, trace: Option<TraceId>) -> Told {
        metrics::gauge!("muneem_http_requests_in_flight").increment(1);
        Told { begun: Instant::now(), method, route, id, trace, status: CLIENT_GONE }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let (took, method, status) = (self.begun.elapsed(), self.method, self.status);
        let route = SharedString::from_shared(self.route.clone());
        metrics::gauge!("muneem_http_requests_in_flight").decrement(1);
        metrics::histogram!("muneem_http_request_duration_seconds", "method" => method, "route" => route.clone())
            .record(took);
        metrics::counter!("muneem_http_requests_total", "method" => method, "route" => route, "status" => status.to_string())
            .increment(1);
        info!(
            target: "access",
            method,
            route = &*self.route,
            status,
            duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            request_id = text(self.id.as_ref()),
            trace_id = self.trace.map(tracing::field::display),
        );
    }
}

fn text(id: Option<&HeaderValue>) -> &str {
    id.and_then(|id| id.to_str().ok()).unwrap_or_default()
}

/// A method may be any word: those that nobody knows share one series.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use futures_util::FutureExt;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tower::ServiceExt;

    #[test]
    fn methods_that_nobody_knows_share_one_label() {
        assert_eq!(method_label(&Method::GET), "GET");
        for word in ["BREW", "get", "CONNECT"] {
            assert_eq!(method_label(&Method::from_bytes(word.as_bytes()).expect("a method")), "other");
        }
    }

    #[test]
    fn a_request_whose_client_goes_away_is_told_too_and_is_no_longer_in_flight() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let figures = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let routes = Router::new()
                .route("/v1/calls/{id}", get(std::future::pending::<&'static str>))
                .layer(from_fn(observe));
            let request = Request::get("/v1/calls/7").body(Body::empty()).expect("a request");
            let mut asked = Box::pin(routes.oneshot(request));
            assert!((&mut asked).now_or_never().is_none(), "it is under way");
            assert!(figures.render().contains("muneem_http_requests_in_flight 1"), "{}", figures.render());
        });
        let figures = figures.render();
        let told = r#"muneem_http_requests_total{method="GET",route="/v1/calls/{id}",status="499"} 1"#;
        assert!(figures.contains(told), "{figures}");
        assert!(figures.contains("muneem_http_requests_in_flight 0"), "{figures}");
    }
}

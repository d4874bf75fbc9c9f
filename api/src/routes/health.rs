//! Whether the server is well, for whoever runs it.

use crate::Api;
use crate::error::Error;
use crate::extract::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use ledger_core::PersonId;
use projections::Condition;
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// What does not answer for so long counts as away.
const PATIENCE: Duration = Duration::from_secs(2);

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(is_live)).routes(routes!(is_ready)).routes(routes!(show_metrics))
}

#[derive(Serialize, ToSchema)]
struct Live {
    /// Always `live`.
    status: &'static str,
}

/// Check that the process runs
///
/// Returns 200 as long as the process answers at all. Use it to decide whether to restart the server.
#[utoipa::path(get, path = "/health/live", tag = "health", responses((status = 200, body = Live)))]
async fn is_live() -> Json<Live> {
    Json(Live { status: "live" })
}

#[derive(Serialize, ToSchema)]
struct Ready {
    ready: bool,
    /// `running`, `stalled`, `storage_full`, `clock_leap` or `stopped`.
    ledger: &'static str,
    postgres: bool,
    redis: bool,
    /// Background workers that do not run at present; each is started again by itself.
    #[schema(example = json!([]))]
    down: Vec<&'static str>,
    /// The last event of the journal.
    journal_revision: u64,
    /// `starting`, `following`, `waiting` (Postgres or the store does not answer), `refused` (the read models
    /// do not belong to the journal: rebuild them or restore the journal) or `down`.
    projector: &'static str,
    /// The last event that the read models include.
    projected_revision: Option<u64>,
    /// How many events the read models are behind.
    projector_lag: u64,
}

/// Check that the server is ready
///
/// Returns 200 if the server can do all of its work and 503 if it cannot, with the same body: whether the ledger takes
/// commands, whether PostgreSQL and Redis answer, which background workers are down, and how far the read models lag.
/// Use it to decide whether to send traffic to the server.
#[utoipa::path(get, path = "/health/ready", tag = "health",
    responses((status = 200, body = Ready), (status = 503, body = Ready)))]
async fn is_ready(State(api): State<Api>) -> (StatusCode, Json<Ready>) {
    let ledger = api.app.ledger.status().name();
    let checkpoint = tokio::time::timeout(PATIENCE, api.read.checkpoint());
    // Any read that goes to Redis will do.
    let seen = tokio::time::timeout(PATIENCE, api.app.presence.get(PersonId(Uuid::nil()), api.now()));
    let (checkpoint, seen) = tokio::join!(checkpoint, seen);
    let (postgres, redis) = (matches!(checkpoint, Ok(Ok(_))), matches!(seen, Ok(Ok(_))));
    let projected_revision = checkpoint.ok().and_then(Result::ok).and_then(|it| it.revision);
    let journal_revision = api.app.ledger.durable_revision();
    let projector_lag = api.lag(projected_revision);
    let down = api.workers.down();
    let condition = api.read.progress().condition;
    let ready = ledger == "running"
        && postgres
        && redis
        && down.is_empty()
        && condition == Condition::Following
        && projector_lag <= api.config.max_lag;
    let answer = Ready {
        ready,
        ledger,
        postgres,
        redis,
        down,
        journal_revision,
        projector: condition.name(),
        projected_revision,
        projector_lag,
    };
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(answer))
}

/// Retrieve metrics
///
/// Returns figures in the text format of Prometheus. Do not make this path public.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, body = String, content_type = "text/plain")))]
async fn show_metrics(State(api): State<Api>) -> Result<impl IntoResponse, Error> {
    let metrics = api.metrics.as_ref().ok_or(Error::NoSuchPath)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.show(&api)))
}

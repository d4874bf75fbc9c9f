//! The HTTP API under `/v1`: a file per resource in [`routes`]. A handler extracts, calls one thing and
//! responds; what may go wrong is in [`error`]. The OpenAPI document is made from the handlers.

mod allowance;
mod csv;
mod docs;
pub mod error;
mod extract;
mod html;
mod layers;
pub mod metrics;
mod observe;
mod openapi;
mod page;
mod problems;
mod receipt;
mod routes;
mod statements;
mod words;

use crate::metrics::Metrics;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::HeaderValue;
use chrono::{DateTime, Utc};
use error::Error;
use extract::ClientAddress;
use platform::app::App;
use platform::client_address::TrustedProxies;
use platform::rate_limit::{Allowance, RateLimited};
use platform::workers::Workers;
use projections::ReadModels;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

pub use extract::BODY_LIMIT_BYTES;

/// How long a read waits for the projector.
const MIN_REVISION_WAIT: Duration = Duration::from_secs(2);

/// What the handlers work with, behind one pointer: a clone for a request costs one count.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

/// What an [`Api`] gives access to.
pub struct Inner {
    pub app: App,
    pub read: ReadModels,
    /// Readiness names those that do not run.
    pub workers: Workers,
    /// What `/metrics` shows; without it the path answers 404.
    pub metrics: Option<Metrics>,
    pub config: Config,
}

impl Deref for Api {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What differs between deployments.
#[derive(Clone, Debug)]
pub struct Config {
    /// Web pages of these origins may call the API from a browser; none when empty.
    pub cors_origins: Vec<HeaderValue>,
    /// Requests under `/v1` that one address may make in a minute; webhooks do not count. 0 for no limit.
    pub requests_per_minute: u32,
    /// Whose word about the client's address is taken.
    pub trusted_proxies: TrustedProxies,
    /// After this long a request is answered with the problem `timeout`. Longer than the ledger takes to
    /// say that an outcome is unknown.
    pub timeout: Duration,
    /// How long browsers are to reach the server by HTTPS alone; 0 to say nothing about it.
    pub hsts_seconds: u32,
    /// How many events the read models may lag behind before `/health/ready` says no.
    pub max_lag: u64,
    /// Whether health and metrics are all that is served beside the gateway's routes.
    pub only_health: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            cors_origins: Vec::new(),
            requests_per_minute: 1_200,
            trusted_proxies: TrustedProxies::default(),
            timeout: Duration::from_secs(15),
            hsts_seconds: 0,
            max_lag: 10_000,
            only_health: false,
        }
    }
}

impl Api {
    pub fn new(
        app: App,
        read: ReadModels,
        workers: Workers,
        metrics: Option<Metrics>,
        config: Config,
    ) -> Api {
        Api(Arc::new(Inner { app, read, workers, metrics, config }))
    }

    /// How many events the read models are behind when they include all up to `projected`.
    fn lag(&self, projected: Option<u64>) -> u64 {
        // Revisions begin at zero: without a checkpoint the first event is lacking too.
        let projected = projected.map_or(0, |revision| revision.saturating_add(1));
        self.app.ledger.durable_revision().saturating_add(1).saturating_sub(projected)
    }

    fn now(&self) -> DateTime<Utc> {
        platform::clock::now()
    }

    /// Counts so many requests of an address and says how many are left, where they are limited; or counts none of them.
    /// The layers count each request that comes.
    fn count_requests(
        &self,
        ClientAddress(address): &ClientAddress,
        count: u32,
    ) -> Result<Option<Allowance>, RateLimited> {
        match self.config.requests_per_minute {
            0 => Ok(None),
            limit => self.app.limits.count_requests(address, count, limit, self.now()).map(Some),
        }
    }

    /// Returns once the read models show `min_revision`.
    async fn reach(&self, min_revision: Option<u64>) -> Result<(), Error> {
        match min_revision {
            Some(revision) => Ok(self.read.wait_for(revision, MIN_REVISION_WAIT).await?),
            None => Ok(()),
        }
    }
}

/// What is served beside the routes of this crate, within the same layers.
#[derive(Default)]
pub struct Beside {
    /// The gateway's, and those of development.
    pub routes: Router,
    /// The AsyncAPI document of the sockets, which has a page; null where there are none.
    pub asyncapi: serde_json::Value,
}

/// All routes. Serve them with the peer's address as `ConnectInfo<SocketAddr>` in each request: limits go by it.
pub fn router(api: Api, beside: Beside) -> Router {
    let (routes, document) = routes::all().split_for_parts();
    let document = openapi::complete(document);
    let only_health = api.config.only_health;
    let routes = if only_health { routes::health().into() } else { routes };
    let routes = routes
        .fallback(async || Error::NoSuchPath)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .with_state(api.clone())
        .merge(beside.routes);
    let pages = docs::pages(document, &beside.asyncapi).merge(problems::pages());
    let pages = if only_health { Router::new() } else { pages };
    layers::around(layers::of_answers(routes).merge(layers::of_pages(pages)), api)
}

/// The document of all routes.
pub fn openapi() -> serde_json::Value {
    openapi::complete(routes::all().into_openapi())
}

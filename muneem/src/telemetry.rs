//! Logs on standard error, and traces to a collector where one is named.

use crate::config::Config;
use anyhow::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::io::IsTerminal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Held for as long as the program runs.
pub struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Starts the logs, and with `MUNEEM_OTLP_ENDPOINT` the traces.
    ///
    /// # Errors
    /// When the endpoint is no address, or something in this process writes logs already.
    pub fn start(config: &Config) -> anyhow::Result<Telemetry> {
        let filter = EnvFilter::try_from_default_env()
            .unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn,tower_http=warn"));
        // Colours are for people; in a file they are noise.
        let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let lines = fmt::layer().with_ansi(coloured).with_writer(std::io::stderr);
        let logs = match config.log_format.as_str() {
            "json" => lines.json().boxed(),
            _ => lines.boxed(),
        };
        let provider = match config.otlp_endpoint.as_str() {
            "" => None,
            endpoint => Some(provider(endpoint).context("MUNEEM_OTLP_ENDPOINT cannot be used")?),
        };
        let traces =
            provider.as_ref().map(|it| tracing_opentelemetry::layer().with_tracer(it.tracer("muneem")));
        tracing_subscriber::registry().with(filter).with(logs).with(traces).try_init()?;
        Ok(Telemetry(provider))
    }

    /// Sends what has not been sent. Blocks until the collector has it or its patience is over.
    pub fn end(self) {
        if let Some(Err(fault)) = self.0.map(|provider| provider.shutdown()) {
            tracing::warn!(%fault, "the last traces were not sent");
        }
    }
}

fn provider(endpoint: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).build()?;
    let resource = Resource::builder().with_service_name("muneem").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

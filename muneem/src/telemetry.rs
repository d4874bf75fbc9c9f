//! Logs on standard error, and traces to a collector where one is named.

use crate::config::{Config, LogFormat};
use anyhow::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::io::IsTerminal;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

const DEFAULT_FILTER: &str = "info,sqlx=warn,tower_http=warn";

/// Libraries whose finer lines quote what passes through them: frames and headers, and so access tokens; phone numbers.
const QUOTING: [&str; 7] =
    ["h2", "hyper", "hyper_util", "reqwest", "rlibphonenumber", "tokio_tungstenite", "tungstenite"];

/// Whether a line cannot quote a client. Holds at every `RUST_LOG`.
fn quotes_nothing(line: &Metadata<'_>) -> bool {
    let library = line.target().split("::").next().unwrap_or_default();
    *line.level() <= Level::INFO || !QUOTING.contains(&library)
}

/// Held for as long as the program runs.
pub struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Starts the logs, and with `MUNEEM_OTLP_ENDPOINT` the traces.
    ///
    /// # Errors
    /// When the endpoint is no address, or something in this process writes logs already.
    pub fn start(config: &Config) -> anyhow::Result<Telemetry> {
        let filter = match std::env::var("RUST_LOG") {
            Ok(text) if !text.is_empty() => EnvFilter::try_new(&text)
                .with_context(|| format!("RUST_LOG: {text:?} is no filter; for example {DEFAULT_FILTER}"))?,
            _ => EnvFilter::new(DEFAULT_FILTER),
        };
        // Colours are for people; in a file they are noise.
        let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let lines = fmt::layer().with_ansi(coloured).with_writer(std::io::stderr);
        let logs = match config.log_format {
            LogFormat::Json => lines.json().boxed(),
            LogFormat::Text => lines.boxed(),
        };
        let provider = match config.otlp_endpoint.as_str() {
            "" => None,
            endpoint => Some(provider(endpoint).context("MUNEEM_OTLP_ENDPOINT cannot be used")?),
        };
        let traces =
            provider.as_ref().map(|it| tracing_opentelemetry::layer().with_tracer(it.tracer("muneem")));
        tracing_subscriber::registry()
            .with(filter)
            .with(filter_fn(quotes_nothing))
            .with(logs)
            .with(traces)
            .try_init()?;
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

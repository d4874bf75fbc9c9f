//! Logs on standard error, and traces to a collector where one is named. Alerts are counted by name.

use crate::config::{Config, LogFormat};
use anyhow::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::borrow::Cow;
use std::error::Error;
use std::fmt::Debug;
use std::io::IsTerminal;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};
use tracing_subscriber::layer::{self, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// What `RUST_LOG` is when it is not set.
pub const DEFAULT_FILTER: &str = "info,sqlx=warn";

/// Begins the names of fields that are for the collector alone.
const FOR_COLLECTOR: &str = "otel.";

/// Libraries whose finer lines quote what passes through them: frames and headers, and so access tokens; phone numbers.
const QUOTING: [&str; 7] =
    ["h2", "hyper", "hyper_util", "reqwest", "rlibphonenumber", "tokio_tungstenite", "tungstenite"];

/// Whether a line cannot quote a client. Holds at every `RUST_LOG`.
fn quotes_nothing(line: &Metadata<'_>) -> bool {
    let library = line.target().split("::").next().unwrap_or_default();
    *line.level() <= Level::INFO || !QUOTING.contains(&library)
}

/// A `RUST_LOG` that names some parts of the program alone would hide the errors of the others, alerts among them. Only
/// one that says something of all parts, such as `off`, does that.
fn with_errors(text: &str) -> Cow<'_, str> {
    let says_of_all = text.split(',').any(|directive| directive.trim().parse::<LevelFilter>().is_ok());
    if says_of_all { text.into() } else { format!("error,{text}").into() }
}

/// Counts what is logged as an alert.
struct Alerts;

impl<S: Subscriber> Layer<S> for Alerts {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        if *event.metadata().level() != Level::ERROR {
            return;
        }
        let mut name = AlertName(None);
        event.record(&mut name);
        if let Some(name) = name.0 {
            metrics::counter!("muneem_alerts_total", "alert" => name).increment(1);
        }
    }
}

/// The name of an alert, as one of the known ones: labels come from a closed set.
struct AlertName(Option<&'static str>);

impl Visit for AlertName {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "alert" {
            let known = api::metrics::ALERTS.into_iter().find(|name| *name == value);
            self.0 = Some(known.unwrap_or("other"));
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

/// Writes fields as the library does, without those that are for the collector.
struct ForPeople;

impl<'w> FormatFields<'w> for ForPeople {
    fn format_fields<R: RecordFields>(&self, line: Writer<'w>, fields: R) -> std::fmt::Result {
        let mut shown = Shown(DefaultVisitor::new(line, true));
        fields.record(&mut shown);
        shown.0.finish()
    }
}

struct Shown<'w>(DefaultVisitor<'w>);

impl Visit for Shown<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if !field.name().starts_with(FOR_COLLECTOR) {
            self.0.record_str(field, value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.0.record_error(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if !field.name().starts_with(FOR_COLLECTOR) {
            self.0.record_debug(field, value);
        }
    }
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
            Ok(text) if !text.is_empty() => EnvFilter::try_new(with_errors(&text))
                .with_context(|| format!("RUST_LOG: {text:?} is no filter; for example {DEFAULT_FILTER}"))?,
            _ => EnvFilter::new(DEFAULT_FILTER),
        };
        // Colours are for people; in a file they are noise.
        let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let lines = fmt::layer().with_ansi(coloured).with_writer(std::io::stderr);
        let logs = match config.log_format {
            LogFormat::Json => lines.json().boxed(),
            LogFormat::Text => lines.fmt_fields(ForPeople).boxed(),
        };
        let provider = match config.otlp_endpoint.as_str() {
            "" => None,
            endpoint => Some(provider(endpoint).context("MUNEEM_OTLP_ENDPOINT cannot be used")?),
        };
        let traces = provider.as_ref().map(|provider| {
            // A client, or a proxy, may have begun the trace.
            opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
            tracing_opentelemetry::layer().with_tracer(provider.tracer("muneem"))
        });
        // One filter for all outputs. With filters of their own the library lost lines: an alert was not logged.
        tracing_subscriber::registry()
            .with(filter)
            .with(filter_fn(quotes_nothing))
            .with(logs)
            .with(traces)
            .with(Alerts)
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

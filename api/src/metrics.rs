//! The figures that `/metrics` shows, each with its name, its kind and its meaning.
//!
//! A figure is counted where it happens, in whichever crate; what is a state of this moment is looked up here when
//! somebody asks.

use crate::Api;
use Kind::{Counter, Gauge, Histogram};
use ledger_runtime::Status;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use projections::Condition;
use std::path::PathBuf;
use std::sync::OnceLock;
use tracing::warn;

/// In seconds; one set for everything, so that the same question fits each histogram.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One figure.
#[derive(Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
    /// The labels. Those whose values are few and known have them here: their series are shown from the start, so
    /// that the first event is a rise and not a new series.
    pub labels: &'static [(&'static str, &'static [&'static str])],
}

const fn metric(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    labels: &'static [(&'static str, &'static [&'static str])],
) -> Metric {
    Metric { name, kind, help, labels }
}

/// The names under which faults and events that want a person are told in the log and counted.
pub const ALERTS: [&str; 33] = [
    "approval_unexecuted",
    "attendance_fault",
    "attendance_stalled",
    "batch_refused",
    "clock_leap",
    "connections_not_accepted",
    "decide_fault",
    "disk_filling",
    "dispute_lost",
    "fanout_stalled",
    "fanout_stopped",
    "handler_panicked",
    "heads_not_published",
    "heads_refused",
    "journal_damaged",
    "ledger_stopped",
    "limits_not_shared",
    "metering_fault",
    "metering_stalled",
    "metering_stopped",
    "payment_disputed",
    "second_server",
    "storage_full",
    "store_stalled",
    "unknown_currency",
    "unmatched_money",
    "webhook_conflict",
    "webhook_id_reused",
    "webhook_needs_person",
    "webhook_stuck",
    "webhook_unreadable",
    "worker_down",
    // Counts alerts that are missing above.
    "other",
];

/// All of them, in the order of the operators' page.
pub const METRICS: [Metric; 47] = [
    metric(
        "muneem_build_info",
        Gauge,
        "Always 1; the label names the version that runs.",
        &[("version", &[])],
    ),
    metric("process_start_time_seconds", Gauge, "When the server started, in seconds since 1970.", &[]),
    metric("process_resident_memory_bytes", Gauge, "The memory that the server holds.", &[]),
    metric("muneem_alerts_total", Counter, "Alerts in the log, by name.", &[("alert", &ALERTS)]),
    metric(
        "muneem_worker_up",
        Gauge,
        "Whether a background worker runs (1) or waits to be started again (0).",
        &[("worker", &[])],
    ),
    metric(
        "muneem_worker_failures_total",
        Counter,
        "How often a background worker broke and was started again.",
        &[("worker", &[])],
    ),
    metric(
        "muneem_duty",
        Gauge,
        "Whether this node does (1) what one node does at a time: `calls` drives calls, `projector` projects, `deciding` \
         decides the commands that others forward, `heads` signs heads of the journal.",
        &[("duty", &["calls", "deciding", "heads", "projector"])],
    ),
    metric(
        "muneem_http_requests_total",
        Counter,
        "Answered requests. The status 499 counts clients that went away before the answer.",
        &[("method", &[]), ("route", &[]), ("status", &[])],
    ),
    metric(
        "muneem_http_request_duration_seconds",
        Histogram,
        "The time from the head of a request to the head of its answer.",
        &[("method", &[]), ("route", &[])],
    ),
    metric("muneem_http_requests_in_flight", Gauge, "Requests that are under way.", &[]),
    metric("muneem_connections", Gauge, "Open connections, WebSockets too.", &[]),
    metric("muneem_connections_max", Gauge, "How many connections may be open.", &[]),
    metric(
        "muneem_connections_refused_total",
        Counter,
        "Connections that were closed at once because a limit was reached.",
        &[("limit", &["address", "total"])],
    ),
    metric("muneem_websocket_sockets", Gauge, "Open WebSockets.", &[]),
    metric("muneem_websocket_sockets_max", Gauge, "How many WebSockets may be open.", &[]),
    metric(
        "muneem_websocket_refused_total",
        Counter,
        "WebSockets that were not opened because a bound was reached.",
        &[("bound", &["node", "address"])],
    ),
    metric(
        "muneem_websocket_closed_total",
        Counter,
        "WebSockets that the server closed, by close code.",
        &[("code", &[])],
    ),
    metric(
        "muneem_websocket_requests_total",
        Counter,
        "Requests over WebSockets, by type and outcome (`done` or `refused`).",
        &[("type", &[]), ("outcome", &[])],
    ),
    metric(
        "muneem_websocket_frames_refused_total",
        Counter,
        "Frames that were read and not acted on.",
        &[("reason", &["too_large", "unreadable", "too_fast", "too_many_waiting"])],
    ),
    metric(
        "muneem_websocket_pushes_total",
        Counter,
        "Pushes handed to a WebSocket, by name.",
        &[("push", &[])],
    ),
    metric(
        "muneem_websocket_slow_readers_total",
        Counter,
        "WebSockets that were closed because their client did not read.",
        &[],
    ),
    metric(
        "muneem_websocket_presence_changes_dropped_total",
        Counter,
        "Changes of presence that were dropped because too many waited.",
        &[],
    ),
    metric(
        "muneem_pushes_not_carried_total",
        Counter,
        "Pushes that did not reach the other nodes, as the way there was full.",
        &[],
    ),
    metric(
        "muneem_websocket_bus_pushes_lost_total",
        Counter,
        "Pushes without an event that were lost because the gateway was too slow.",
        &[],
    ),
    metric(
        "muneem_limits_counted_locally",
        Gauge,
        "1 while Redis does not answer and each server counts limits for itself.",
        &[],
    ),
    metric(
        "muneem_ledger_state",
        Gauge,
        "1 for the state that the ledger is in, 0 for the others.",
        &[("state", &Status::NAMES)],
    ),
    metric("muneem_ledger_revision", Gauge, "The revision of the journal's last event.", &[]),
    metric(
        "muneem_snapshot_revision",
        Gauge,
        "The revision of the last snapshot that this server has made or begun with.",
        &[],
    ),
    metric("muneem_ledger_events_total", Counter, "Events that this server has seen become durable.", &[]),
    metric("muneem_ledger_batches_total", Counter, "Batches that this server has seen become durable.", &[]),
    metric(
        "muneem_ledger_append_duration_seconds",
        Histogram,
        "The time until a batch of events is durable.",
        &[],
    ),
    metric(
        "muneem_ledger_lost_races_total",
        Counter,
        "Batches that were decided again because another server wrote to the journal.",
        &[],
    ),
    metric(
        "muneem_ledger_forwarded_total",
        Counter,
        "Commands that this server gave to the one that decides: answered there, or decided here after all.",
        &[("outcome", &["answered", "decided_here"])],
    ),
    metric("muneem_calls", Gauge, "Calls that have not ended, paused ones too.", &[]),
    metric(
        "muneem_projector_state",
        Gauge,
        "1 for the state that the projector is in, 0 for the others.",
        &[("state", &Condition::NAMES)],
    ),
    metric(
        "muneem_projector_lag_events",
        Gauge,
        "Events of the journal that the read models do not include yet.",
        &[],
    ),
    metric(
        "muneem_journal_tree_leaves",
        Gauge,
        "Leaves of the journal's tree, on the node that builds it.",
        &[],
    ),
    metric(
        "muneem_journal_head_leaves",
        Gauge,
        "Leaves that the last signed head has, on the node that signs.",
        &[],
    ),
    metric(
        "muneem_journal_heads_signed_total",
        Counter,
        "Heads of the journal that this node has signed.",
        &[],
    ),
    metric(
        "muneem_postgres_connections",
        Gauge,
        "Connections of the pool to PostgreSQL.",
        &[("state", &["in_use", "idle"])],
    ),
    metric("muneem_postgres_connections_max", Gauge, "How many connections the pool may open.", &[]),
    metric("muneem_journal_disk_free_bytes", Gauge, "Free room on the journal's disk.", &[]),
    metric("muneem_journal_bytes", Gauge, "The bytes of the journal in its folder.", &[]),
    metric(
        "muneem_journal_saved_bytes",
        Gauge,
        "By how many bytes full segments became shorter that this server has compressed.",
        &[],
    ),
    metric(
        "muneem_journal_segments_checked_total",
        Counter,
        "Full segments of the journal that were read again, each batch of which was as it was written.",
        &[],
    ),
    metric(
        "muneem_journal_growth_bytes",
        Gauge,
        "By how many bytes the journal in its folder has grown in the last hour or day.",
        &[("window", &["day", "hour"])],
    ),
    metric(
        "muneem_journal_seconds_until_full",
        Gauge,
        "When the journal's disk is full if the journal grows on as in the last day or hour; ten years at the most.",
        &[],
    ),
];

/// What `/metrics` answers from.
pub struct Metrics {
    recorder: PrometheusHandle,
    /// The folder of which the disk is shown.
    journal: PathBuf,
}

/// Starts to count. The process has one recorder, however many servers a test starts in it. What is counted before is
/// lost. `None` when something else in the process has taken the place of the recorder.
pub fn record() -> Option<PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let install = || {
        let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS).ok()?.install_recorder().ok()?;
        begin();
        Some(recorder)
    };
    RECORDER.get_or_init(install).clone()
}

/// Says what each figure means, and shows what has not happened yet as zero.
fn begin() {
    for Metric { name, kind, help, labels } in &METRICS {
        let series: Vec<Vec<(&'static str, &'static str)>> = match labels {
            [] => vec![Vec::new()],
            [(label, values)] => values.iter().map(|value| vec![(*label, *value)]).collect(),
            // They are made as they come.
            _ => Vec::new(),
        };
        match kind {
            Counter => metrics::describe_counter!(*name, *help),
            Gauge => metrics::describe_gauge!(*name, *help),
            Histogram => metrics::describe_histogram!(*name, *help),
        }
        for labels in &series {
            match kind {
                Counter => metrics::counter!(*name, labels).increment(0),
                Gauge => metrics::gauge!(*name, labels).increment(0),
                Histogram => drop(metrics::histogram!(*name, labels)),
            }
        }
    }
    metrics::gauge!("process_start_time_seconds").set(platform::clock::now().timestamp() as f64);
    metrics::gauge!("muneem_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
}

impl Metrics {
    pub fn new(recorder: PrometheusHandle, journal: PathBuf) -> Metrics {
        Metrics { recorder, journal }
    }

    /// Everything, in the text format of Prometheus.
    pub fn show(&self, api: &Api) -> String {
        set_state("muneem_ledger_state", &Status::NAMES, api.app.ledger.status().name());
        metrics::gauge!("muneem_ledger_revision").set(api.app.ledger.durable_revision() as f64);
        let progress = api.read.progress();
        set_state("muneem_projector_state", &Condition::NAMES, progress.condition.name());
        metrics::gauge!("muneem_projector_lag_events").set(api.lag(progress.projected) as f64);
        let pool = &api.app.pool;
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        metrics::gauge!("muneem_postgres_connections", "state" => "idle").set(idle);
        metrics::gauge!("muneem_postgres_connections", "state" => "in_use")
            .set(pool.size().saturating_sub(idle));
        metrics::gauge!("muneem_postgres_connections_max").set(pool.options().get_max_connections());
        match platform::disk::room(&self.journal) {
            Ok(room) => metrics::gauge!("muneem_journal_disk_free_bytes").set(room.free as f64),
            Err(fault) => warn!(%fault, "the room on the journal's disk is not known"),
        }
        if let Some(bytes) = resident_bytes() {
            metrics::gauge!("process_resident_memory_bytes").set(bytes as f64);
        }
        self.recorder.render()
    }
}

fn set_state(name: &'static str, states: &[&'static str], now: &str) {
    for state in states {
        metrics::gauge!(name, "state" => *state).set(u8::from(*state == now));
    }
}

/// What the kernel says; `None` where it is no Linux.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// The text of every source file of the program, without its tests and its white space.
    fn sources() -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut folders: Vec<PathBuf> = std::fs::read_dir(root)
            .expect("the workspace")
            .map(|entry| entry.expect("an entry").path().join("src"))
            .filter(|folder| folder.is_dir())
            .collect();
        let mut texts = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|it| it == "rs") {
                    let text = std::fs::read_to_string(path).expect("a source file");
                    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                    texts.push(text.split_whitespace().collect());
                }
            }
        }
        assert!(texts.len() > 100, "the sources are found");
        texts
    }

    /// The text between each `before` and the next quotation mark.
    fn quoted<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
        text.split(before).skip(1).filter_map(|rest| rest.split('"').next())
    }

    fn operators_page() -> String {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
        std::fs::read_to_string(page).expect("the page")
    }

    #[test]
    fn every_name_follows_the_conventions_of_prometheus() {
        for Metric { name, kind, help, labels } in &METRICS {
            let plain = |it: &str| it.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(plain(name) && labels.iter().all(|(label, _)| plain(label)), "{name}");
            assert!(name.starts_with("muneem_") || name.starts_with("process_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Counter, "{name}");
            assert_eq!(name.ends_with("_duration_seconds"), *kind == Histogram, "{name}");
            for reserved in ["_count", "_sum", "_bucket", "_milliseconds", "_ms", "_kilobytes"] {
                assert!(!name.ends_with(reserved), "{name}");
            }
            assert!(help.ends_with('.') && help.len() > 15, "{name}: {help}");
        }
        let names: BTreeSet<&str> = METRICS.iter().map(|it| it.name).collect();
        assert_eq!(names.len(), METRICS.len(), "no name is there twice");
    }

    #[test]
    fn what_the_program_counts_is_in_the_list_and_what_is_in_the_list_is_counted() {
        let sources = sources();
        let counted = |kind: Kind| {
            let (made, set) = match kind {
                Counter => ("metrics::counter!(\"", None),
                Gauge => ("metrics::gauge!(\"", Some("set_state(\"")),
                Histogram => ("metrics::histogram!(\"", None),
            };
            let named = |before: &'static str| sources.iter().flat_map(move |text| quoted(text, before));
            named(made).chain(set.into_iter().flat_map(named)).collect::<BTreeSet<&str>>()
        };
        for kind in [Counter, Gauge, Histogram] {
            let listed: BTreeSet<&str> =
                METRICS.iter().filter(|it| it.kind == kind).map(|it| it.name).collect();
            assert_eq!(counted(kind), listed, "{kind:?}");
        }
    }

    #[test]
    fn every_alert_of_the_program_is_counted_by_its_name() {
        let sources = sources();
        let mut told: BTreeSet<&str> = sources.iter().flat_map(|text| quoted(text, "alert=\"")).collect();
        told.insert("other");
        assert_eq!(told, BTreeSet::from(ALERTS));
    }

    #[test]
    fn the_operators_page_says_what_each_figure_and_each_alert_means() {
        let page = operators_page();
        for name in METRICS.iter().map(|it| it.name).chain(ALERTS.into_iter().filter(|it| *it != "other")) {
            assert!(page.contains(&format!("`{name}`")), "{name} is not on the page");
        }
    }

    #[test]
    fn the_memory_that_the_kernel_tells_is_more_than_a_megabyte() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20), "{:?}", resident_bytes());
    }
}

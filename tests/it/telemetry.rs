//! What the server tells whoever runs it: figures, alerts, the access log, traces.

use crate::crash::{Deployment, terminate};
use crate::front::sign_in;
use crate::world::{WEBHOOK_SECRET, World, eventually, new_key, new_phone, sign};
use api::metrics::{Kind, METRICS};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;

const PRICE: i64 = 60_000;

/// What `/metrics` answered.
struct Scrape {
    helps: BTreeMap<String, String>,
    types: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: String,
}

impl Scrape {
    fn read(text: &str) -> Scrape {
        let mut scrape = Scrape { helps: BTreeMap::new(), types: BTreeMap::new(), samples: Vec::new() };
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|it| it.split_once(' ')) {
                assert!(scrape.helps.insert(name.to_owned(), help.to_owned()).is_none(), "twice: {line}");
            } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|it| it.split_once(' '))
            {
                assert!(scrape.types.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            } else {
                scrape.samples.push(Sample::read(line));
            }
        }
        scrape
    }

    async fn of(world: &World) -> Scrape {
        let text = world.get(None, "/metrics").await.expect_ok();
        Scrape::read(text.as_str().expect("text"))
    }

    /// The value of the one sample with this name and these labels.
    #[track_caller]
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> &str {
        let fits = |it: &&Sample| {
            it.name == name
                && labels.iter().all(|(label, value)| it.labels.get(*label).is_some_and(|is| is == value))
        };
        match self.samples.iter().filter(fits).collect::<Vec<_>>()[..] {
            [one] => &one.value,
            ref others => panic!("{} samples of {name} {labels:?}", others.len()),
        }
    }

    /// The samples of a figure: those of a histogram have endings.
    fn of_figure<'a>(&'a self, name: &'a str, kind: Kind) -> impl Iterator<Item = &'a Sample> {
        let endings: &[&str] = if kind == Kind::Histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        self.samples
            .iter()
            .filter(move |it| it.name.strip_prefix(name).is_some_and(|ending| endings.contains(&ending)))
    }
}

impl Sample {
    fn read(line: &str) -> Sample {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').expect("the end of the labels");
        let labels = labels.split("\",").filter(|it| !it.is_empty()).map(|label| {
            let (label, value) = label.split_once("=\"").expect("a label with a value");
            (label.to_owned(), value.trim_end_matches('"').to_owned())
        });
        Sample { name: name.to_owned(), labels: labels.collect(), value: value.to_owned() }
    }
}

/// A server on which everything that has no series before it happens has happened once, and a call is under way.
async fn busy_world(pool: &PgPool) -> (World, [crate::world::Socket; 2]) {
    let world = World::start(pool).await;
    let (user, host) = (world.new_user_with(1_000_000).await, world.new_host(PRICE).await);
    let (mut at_user, mut at_host) = (world.connect(&user).await, world.connect(&host).await);
    world.start_call(&mut at_user, &mut at_host, host.id, PRICE).await;
    let mut unheard = world.open_socket().await;
    unheard.send_raw(Message::text("hello")).await;
    assert!((4400..4410).contains(&unheard.closed_with().await));
    (world, [at_user, at_host])
}

#[sqlx::test(migrations = false)]
async fn every_figure_has_a_meaning_a_kind_and_labels_from_the_list(pool: PgPool) {
    let (world, _sockets) = busy_world(&pool).await;
    world.get(None, "/v1/coin-plans").await.expect_ok();
    let scrape = Scrape::of(&world).await;
    for metric in &METRICS {
        let name = metric.name;
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        assert_eq!(scrape.helps.get(name).map(String::as_str), Some(metric.help), "HELP of {name}");
        assert_eq!(scrape.types.get(name).map(String::as_str), Some(kind), "TYPE of {name}");
        let listed: BTreeSet<&str> = metric.labels.iter().map(|(label, _)| *label).collect();
        let mut count = 0;
        for sample in scrape.of_figure(name, metric.kind) {
            let labels: BTreeSet<&str> =
                sample.labels.keys().map(String::as_str).filter(|it| *it != "le").collect();
            assert_eq!(labels, listed, "{name}");
            for (label, values) in metric.labels.iter().filter(|(_, values)| !values.is_empty()) {
                let value = sample.labels[*label].as_str();
                assert!(values.contains(&value), "{name}: {label} is {value}, which is not listed");
            }
            count += 1;
        }
        assert!(count > 0, "{name} has no series");
    }
    let listed: BTreeSet<&str> = METRICS.iter().map(|it| it.name).collect();
    let shown: BTreeSet<&str> = scrape.types.keys().map(String::as_str).collect();
    assert_eq!(shown, listed, "nothing is shown that is not listed");
}

#[sqlx::test(migrations = false)]
async fn the_figures_say_how_the_server_fares(pool: PgPool) {
    let (world, mut sockets) = busy_world(&pool).await;
    let calls = async |count: &str| {
        eventually("the call is counted", async || {
            let scrape = Scrape::of(&world).await;
            (scrape.value("muneem_calls", &[]) == count).then_some(scrape)
        })
        .await
    };
    let scrape = calls("1").await;
    for (name, labels, value) in [
        ("muneem_ledger_state", vec![("state", "running")], "1"),
        ("muneem_ledger_state", vec![("state", "stopped")], "0"),
        ("muneem_projector_state", vec![("state", "following")], "1"),
        ("muneem_projector_lag_events", vec![], "0"),
        ("muneem_websocket_sockets", vec![], "2"),
        ("muneem_websocket_closed_total", vec![("code", "4401")], "1"),
        ("muneem_websocket_pushes_total", vec![("push", "call:invited")], "1"),
        ("muneem_worker_up", vec![("worker", "metrics")], "1"),
        ("muneem_worker_failures_total", vec![("worker", "projector")], "0"),
        ("muneem_limits_counted_locally", vec![], "0"),
        ("muneem_http_requests_in_flight", vec![], "1"),
        ("muneem_alerts_total", vec![("alert", "storage_full")], "0"),
        ("muneem_postgres_connections_max", vec![], "8"),
    ] {
        assert_eq!(scrape.value(name, &labels), value, "{name} {labels:?}");
    }
    let number =
        |name: &str| scrape.value(name, &[]).parse::<u64>().unwrap_or_else(|_| panic!("{name} is whole"));
    assert_eq!(number("muneem_ledger_revision") + 1, world.events());
    assert!(number("muneem_ledger_append_duration_seconds_count") > 0);
    assert!(number("muneem_journal_disk_free_bytes") > 1 << 20);
    assert!(number("process_resident_memory_bytes") > 1 << 20);
    let [at_user, _] = &mut sockets;
    let call = at_user.push("call:started").await["data"]["call"].clone();
    let ended = at_user.request("call:end", json!({ "call": call, "key": new_key() })).await;
    assert_eq!(ended["type"], "call:end:done", "{ended}");
    calls("0").await;
}

/// A file of the documentation.
fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(path).expect("the file")
}

/// The expressions of the dashboard's panels and of the alert rules, each with its title.
fn expressions() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&page("grafana/dashboard.json")).expect("JSON");
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels").iter().filter(|it| it["type"] != "row") {
        let title = panel["title"].as_str().expect("a title").to_owned();
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty(), "{title} asks for nothing");
        for target in targets {
            found.push((title.clone(), target["expr"].as_str().expect("an expression").to_owned()));
        }
    }
    let rules = page("prometheus/alerts.yml");
    for rule in rules.split("- alert: ").skip(1) {
        let (name, rest) = rule.split_once('\n').expect("a rule");
        let (_, rest) = rest.split_once("expr: ").expect("an expression");
        let ends = ["\n        for:", "\n        labels:"];
        let end = ends.iter().filter_map(|it| rest.find(it)).min().expect("what follows the expression");
        for part in ["severity: ", "summary: ", "description: "] {
            assert!(rest.contains(part), "{name} has no {part}");
        }
        found.push((name.to_owned(), rest[..end].to_owned()));
    }
    assert!(found.len() > 40, "both files are read");
    found
}

/// The names of series in an expression, each with what stands in braces behind it.
fn asked_for(expression: &str) -> Vec<(&str, &str)> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut found = Vec::new();
    for (at, _) in expression.match_indices("muneem_").chain(expression.match_indices("process_")) {
        let rest = &expression[at..];
        let (name, behind) = rest.split_at(rest.find(|letter| !is_name(letter)).unwrap_or(rest.len()));
        let matchers = behind.strip_prefix('{').and_then(|it| it.split('}').next()).unwrap_or_default();
        found.push((name, matchers));
    }
    found
}

#[sqlx::test(migrations = false)]
async fn what_the_dashboard_and_the_alert_rules_ask_for_is_there(pool: PgPool) {
    let (world, _sockets) = busy_world(&pool).await;
    // The first scrape has a series of its own in the second.
    Scrape::of(&world).await;
    let scrape = Scrape::of(&world).await;
    let mut used = BTreeSet::new();
    for (title, expression) in expressions() {
        let asked = asked_for(&expression);
        assert!(!asked.is_empty(), "{title}: {expression}");
        for (name, matchers) in asked {
            let series: Vec<&Sample> = scrape.samples.iter().filter(|it| it.name == name).collect();
            assert!(!series.is_empty(), "{title}: there is no {name}");
            used.insert(name.to_owned());
            for matcher in matchers.split(',').filter(|it| !it.is_empty()) {
                let (label, value) = matcher.split_once("=").expect("a matcher");
                let label = label.trim_end_matches('!');
                // Prometheus adds this one.
                if label == "instance" {
                    continue;
                }
                assert!(
                    series.iter().all(|it| it.labels.contains_key(label)),
                    "{title}: {name} has no {label}"
                );
                if let Some(value) = value.strip_prefix('"') {
                    let value = value.trim_end_matches('"');
                    assert!(
                        series.iter().any(|it| it.labels[label] == value),
                        "{title}: no {label} is {value}"
                    );
                }
            }
        }
        for group in expression.split(" by (").skip(1).filter_map(|it| it.split(')').next()) {
            let known = |label: &str| {
                label == "instance" || scrape.samples.iter().any(|it| it.labels.contains_key(label))
            };
            assert!(group.split(", ").all(known), "{title}: {group}");
        }
    }
    // The time of the start marks a start in the graphs.
    used.insert("process_start_time_seconds".to_owned());
    for metric in &METRICS {
        assert!(used.iter().any(|name| name.starts_with(metric.name)), "nobody looks at {}", metric.name);
    }
}

#[sqlx::test(migrations = false)]
async fn an_alert_is_counted_by_its_name_also_where_the_log_is_to_show_other_parts(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let mut deployment = Deployment::new(&pool, &data).await;
    deployment.settings.push(("MUNEEM_RAZORPAY_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()));
    deployment.settings.push(("RUST_LOG", "muneem=info".to_owned()));
    let _server = deployment.serve().await;
    let (url, http) = (deployment.url(), reqwest::Client::new());
    let unreadable = "{}";
    let delivery = http
        .post(format!("{url}/v1/webhooks/razorpay"))
        .header("x-razorpay-signature", sign(WEBHOOK_SECRET, unreadable.as_bytes()))
        .header("x-razorpay-event-id", "evt_unreadable")
        .body(unreadable);
    assert_eq!(delivery.send().await.expect("an answer").status(), StatusCode::OK);
    let alerts = async |alert: &str| {
        let text =
            http.get(format!("{url}/metrics")).send().await.expect("an answer").text().await.expect("text");
        Scrape::read(&text).value("muneem_alerts_total", &[("alert", alert)]).to_owned()
    };
    eventually("the alert is counted", async || (alerts("webhook_unreadable").await == "1").then_some(()))
        .await;
    assert_eq!(alerts("other").await, "0", "each alert has its own name");
}

/// The lines of the access log that name this request.
fn lines_of<'a>(log: &'a str, id: &str) -> Vec<&'a str> {
    let quoted = format!("\"{id}\"");
    let lines = log.lines().filter(|line| line.contains("access") && line.contains("duration_us"));
    lines.filter(|line| line.contains(&quoted)).collect()
}

#[sqlx::test(migrations = false)]
async fn every_request_is_one_line_of_the_access_log_and_none_holds_a_token(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let mut deployment = Deployment::new(&pool, &data).await;
    for format in ["json", "text"] {
        deployment.settings.push(("MUNEEM_LOG_FORMAT", format.to_owned()));
        let log = data.path().join(format);
        let mut server =
            deployment.serve_logging_to(Stdio::from(std::fs::File::create(&log).expect("a log"))).await;
        let (url, http) = (deployment.url(), reqwest::Client::new());
        let signed_in = sign_in(&http, &url, &new_phone()).await;
        let token = signed_in["tokens"]["access_token"].as_str().expect("a token");
        let refresh = signed_in["tokens"]["refresh_token"].as_str().expect("a token");
        let me = signed_in["person"]["person"].as_str().expect("an id");
        let requests = [
            ("mine", Method::GET, "/v1/wallet".to_owned(), Some(token), "/v1/wallet", 200),
            ("nobodys", Method::GET, "/v1/wallet".to_owned(), None, "/v1/wallet", 401),
            ("with-query", Method::GET, format!("/v1/wallet?token={token}"), Some(token), "/v1/wallet", 422),
            ("no-path", Method::GET, format!("/{token}"), Some(token), "none", 404),
            ("no-method", Method::DELETE, "/v1/wallet".to_owned(), Some(token), "/v1/wallet", 405),
            ("an-id", Method::GET, format!("/v1/hosts/{me}"), Some(token), "/v1/hosts/{person}", 404),
            ("a-page", Method::GET, "/health/live".to_owned(), None, "/health/live", 200),
        ];
        for (id, method, path, bearer, _, status) in &requests {
            let mut request =
                http.request(method.clone(), format!("{url}{path}")).header("x-request-id", *id);
            if let Some(token) = bearer {
                request = request.bearer_auth(token);
            }
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status(), *status, "{id}: {}", answer.text().await.unwrap_or_default());
        }
        terminate(&server);
        assert!(server.wait().await.expect("it ends").success());
        let log = std::fs::read_to_string(log).expect("the log");
        for (id, method, _, _, route, status) in &requests {
            let lines = lines_of(&log, id);
            let [line] = lines[..] else { panic!("{id}: {lines:?}") };
            if format == "json" {
                let line: Value = serde_json::from_str(line).expect("JSON");
                let told = &line["fields"];
                assert_eq!((&line["level"], &line["target"]), (&json!("INFO"), &json!("access")));
                assert_eq!(
                    (&told["method"], &told["route"], &told["status"], &told["request_id"]),
                    (&json!(method.as_str()), &json!(route), &json!(status), &json!(id))
                );
                assert!(told["duration_us"].is_u64(), "{line}");
            } else {
                let told = format!(
                    "INFO access: method=\"{method}\" route=\"{route}\" status={status} duration_us="
                );
                assert!(line.contains(&told), "{line}");
            }
        }
        assert_eq!(log.matches("/v1/auth/otp/verify").count(), 1, "the log tells of requests once");
        for (what, secret) in [("access", token), ("refresh", refresh)] {
            assert!(!log.contains(secret), "the {what} token is in the log");
        }
    }
}

/// A collector of traces, and what has come to it.
async fn collector() -> (String, tokio::sync::mpsc::UnboundedReceiver<axum::body::Bytes>) {
    let (spans, arrived) = tokio::sync::mpsc::unbounded_channel();
    let collect = axum::routing::post(async move |body: axum::body::Bytes| drop(spans.send(body)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().expect("an address"));
    let collector = axum::Router::new().route("/v1/traces", collect);
    tokio::spawn(async move { axum::serve(listener, collector).await });
    (endpoint, arrived)
}

#[sqlx::test(migrations = false)]
async fn traces_reach_the_collector_named_by_route_and_continue_the_callers(pool: PgPool) {
    let (endpoint, mut arrived) = collector().await;
    let data = TempDir::new().expect("a folder");
    let mut deployment = Deployment::new(&pool, &data).await;
    deployment.settings.push(("MUNEEM_OTLP_ENDPOINT", endpoint));
    let log = data.path().join("log");
    let mut server =
        deployment.serve_logging_to(Stdio::from(std::fs::File::create(&log).expect("a log"))).await;
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let http = reqwest::Client::new();
    for (id, path, traceparent) in [
        ("continued", "/v1/coin-plans", format!("00-{trace}-{parent}-01")),
        ("malformed", "/v1/gifts", format!("00-{}-{parent}-01", "z".repeat(32))),
    ] {
        let request = http.get(format!("{}{path}", deployment.url()));
        let request = request.header("traceparent", traceparent).header("x-request-id", id);
        assert!(request.send().await.expect("an answer").status() != StatusCode::INTERNAL_SERVER_ERROR);
    }
    // A graceful stop sends what has not been sent.
    terminate(&server);
    assert!(server.wait().await.expect("it ends").success());
    let mut seen = Vec::new();
    while let Ok(body) = arrived.try_recv() {
        seen.extend_from_slice(&body);
    }
    let text = String::from_utf8_lossy(&seen);
    for name in ["muneem", "GET /v1/coin-plans", "GET /v1/gifts", "http.response.status_code"] {
        assert!(text.contains(name), "{name} is in the spans: {text}");
    }
    let times = |id: &str| {
        let id = hex::decode(id).expect("hex");
        seen.windows(id.len()).filter(|bytes| *bytes == id).count()
    };
    assert_eq!((times(trace), times(parent)), (1, 1), "the trace of the caller goes on, and only there");
    let log = std::fs::read_to_string(log).expect("the log");
    let told = |id: &str| matches!(lines_of(&log, id)[..], [line] if line.contains(trace));
    assert!(told("continued"), "the access log names the trace: {log}");
    assert!(!told("malformed") && !log.contains("otel."), "{log}");
}

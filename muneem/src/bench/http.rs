//! The front door, beside a bare axum route that reads a body and answers as much.

use super::HttpOptions;
use super::load::{Measured, drive, drive_sockets};
use super::table;
use super::world::{SignedIn, World, within};
use crate::config::Config;
use crate::progress::say;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, header};
use axum::routing::post;
use ledger_core::{GiftId, PersonId};
use platform::entropy;
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const SENDERS: u32 = 256;
const HOSTS: u32 = 16;
/// Requests that a socket has unanswered: as many as it may.
const UNDER_WAY: usize = 64;
/// Gifts of one batch: as many as it may have.
const BATCH: u32 = 100;

#[derive(Serialize)]
struct Row {
    what: &'static str,
    connections: u32,
    #[serde(flatten)]
    measured: Measured,
    /// Of the bare route's requests a second at as many connections.
    of_bare: f64,
}

/// # Errors
/// When something that is measured fails.
pub async fn run(config: Config, options: &HttpOptions) -> anyhow::Result<()> {
    let rows = within(&config, async |world| measure(world, options).await).await?;
    let head = ["", "connections", "requests/s", "of bare", "p50 ms", "p99 ms", "p99/p50"];
    table::print(options.run.json, &head, &rows, |row| {
        let Measured { per_second, p50_ms, p99_ms } = row.measured;
        vec![
            row.what.to_owned(),
            row.connections.to_string(),
            format!("{per_second:.0}"),
            format!("{:.2}", row.of_bare),
            format!("{p50_ms:.2}"),
            format!("{p99_ms:.2}"),
            format!("{:.1}", p99_ms / p50_ms),
        ]
    })
}

async fn measure(world: &World, options: &HttpOptions) -> anyhow::Result<Vec<Row>> {
    say("making people who send and receive gifts");
    let (gift, price) = world.gift().await?;
    let (mut senders, mut hosts) = (Vec::new(), Vec::new());
    for number in 0..SENDERS {
        senders.push(world.user(number).await?);
    }
    for number in 0..HOSTS {
        hosts.push(world.host(SENDERS + number).await?);
    }
    let gifts = Arc::new(Gifts { gift, price, senders, hosts });
    let (bare, stop) = bare_route().await?;
    let mut rows = Vec::new();
    for &connections in &options.connections {
        say(&format!("{connections} connections"));
        let limit = drive(bare, connections, options.run.time(), |_| {
            request("POST", "/bare", Body::from(r#"{"host":"","price_seen_milli":1}"#))
        })
        .await?;
        let mut row = |what, measured: Measured| {
            let of_bare = measured.per_second / limit.per_second;
            rows.push(Row { what, connections, measured, of_bare });
        };
        row("bare axum route", limit);
        let empty = drive(world.address, connections, options.run.time(), |_| {
            request("GET", "/health/live", Body::empty())
        });
        row("empty route", empty.await?);
        let asked = gifts.clone();
        let one_by_one =
            drive(world.address, connections, options.run.time(), move |number| asked.one(number));
        row("gift", one_by_one.await?);
        let asked = gifts.clone();
        let ask = move |number, id| asked.frame(number, id);
        let over_sockets = drive_sockets(world.address, connections, options.run.time(), UNDER_WAY, ask);
        row("gift over sockets, 64 under way on each", over_sockets.await?);
        let asked = gifts.clone();
        let batches =
            drive(world.address, connections, options.run.time(), move |number| asked.batch(number));
        let batches = batches.await?;
        let each = f64::from(BATCH) * batches.per_second;
        row("gifts, 100 a request", Measured { per_second: each, ..batches });
    }
    stop.cancel();
    Ok(rows)
}

/// Gifts that the people of the measurement send.
struct Gifts {
    gift: GiftId,
    price: i64,
    senders: Vec<SignedIn>,
    hosts: Vec<SignedIn>,
}

impl Gifts {
    fn sender(&self, connection: u32) -> &SignedIn {
        &self.senders[(connection % SENDERS) as usize]
    }

    fn host(&self, connection: u32) -> PersonId {
        self.hosts[(connection % HOSTS) as usize].person
    }

    fn one(&self, connection: u32) -> Request<Body> {
        let (host, price) = (self.host(connection), self.price);
        self.post(
            connection,
            &format!("/v1/gifts/{}/send", self.gift),
            format!(r#"{{"host":"{host}","price_seen_milli":{price}}}"#),
        )
    }

    fn batch(&self, connection: u32) -> Request<Body> {
        let items: Vec<String> = (0..BATCH).map(|_| self.fields(connection)).collect();
        self.post(connection, "/v1/gifts/batch", format!(r#"{{"items":[{}]}}"#, items.join(",")))
    }

    fn post(&self, connection: u32, path: &str, body: String) -> Request<Body> {
        Request::post(path)
            .header(header::HOST, "bench")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.sender(connection).token))
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", entropy::uuid_v7().to_string())
            .body(Body::from(body))
            .unwrap_or_default()
    }

    /// A frame over a socket, whose first one signs in.
    fn frame(&self, connection: u32, id: u64) -> String {
        if id == 0 {
            return format!(
                r#"{{"id":0,"type":"auth","data":{{"token":"{}"}}}}"#,
                self.sender(connection).token
            );
        }
        format!(r#"{{"id":{id},"type":"gift:send","data":{}}}"#, self.fields(connection))
    }

    fn fields(&self, connection: u32) -> String {
        let (gift, host, price, key) = (self.gift, self.host(connection), self.price, entropy::uuid_v7());
        format!(r#"{{"gift":"{gift}","host":"{host}","price_seen_milli":{price},"key":"{key}"}}"#)
    }
}

fn request(method: &str, path: &str, body: Body) -> Request<Body> {
    Request::builder().method(method).uri(path).header(header::HOST, "bench").body(body).unwrap_or_default()
}

/// What axum does by itself: a body read, an answer of a receipt's length.
async fn bare_route() -> anyhow::Result<(SocketAddr, CancellationToken)> {
    let answer = r#"{"journal":"00000000-0000-0000-0000-000000000000","revision":0,"asset":"COIN/3"}"#;
    let routes = Router::new().route("/bare", post(async move |_: Bytes| answer));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let serving = axum::serve(listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::spawn(async move { serving.await });
    Ok((address, stop))
}

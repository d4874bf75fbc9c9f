//! Asks over kept-alive connections, one request at a time on each, and keeps the times.

use anyhow::{Context, bail};
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Measured {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// Requests for `run_for`, from each of so many connections. `ask` makes the requests of a connection.
///
/// # Errors
/// When a connection breaks, or a request is answered with anything but 2xx.
pub async fn drive<A>(
    address: SocketAddr,
    connections: u32,
    run_for: Duration,
    ask: A,
) -> anyhow::Result<Measured>
where
    A: Fn(u32) -> Request<Body> + Send + Sync + 'static,
{
    let ask = Arc::new(ask);
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(connect(address).await?);
    }
    let begun = now();
    let mut clients = JoinSet::new();
    for (number, mut connection) in (0..).zip(open) {
        let ask = ask.clone();
        clients.spawn(async move {
            let mut times = Vec::new();
            while begun.elapsed() < run_for {
                let asked = now();
                answered(connection.send_request(ask(number)).await?).await?;
                times.push(asked.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(client) = clients.join_next().await {
        times.append(&mut client??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    times.sort_unstable();
    Ok(Measured {
        per_second: times.len() as f64 / seconds,
        p50_ms: percentile(&times, 50),
        p99_ms: percentile(&times, 99),
    })
}

async fn connect(address: SocketAddr) -> anyhow::Result<http1::SendRequest<Body>> {
    let stream = TcpStream::connect(address).await.context("the server takes no more connections")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn answered(response: hyper::Response<hyper::body::Incoming>) -> anyhow::Result<Bytes> {
    let status = response.status();
    let body = axum::body::to_bytes(Body::new(response.into_body()), 1 << 20).await?;
    if !status.is_success() || status == StatusCode::NO_CONTENT {
        bail!("a request was answered {status}: {}", String::from_utf8_lossy(&body));
    }
    Ok(body)
}

/// The time within which so many of a hundred were answered.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1_000.0)
}

#[expect(clippy::disallowed_methods, reason = "a measurement is about the clock")]
pub fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_time_within_which_so_many_were_answered() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!((percentile(&times, 50), percentile(&times, 99)), (51.0, 100.0));
        assert_eq!(percentile(&times[..1], 99), 1.0);
        assert!(percentile(&[], 99).is_nan());
    }
}

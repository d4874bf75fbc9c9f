//! Asks over kept-alive connections, one request at a time on each, or over sockets, many at a time, and keeps the
//! times.

use anyhow::{Context, bail};
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use futures_util::{SinkExt, StreamExt};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

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
    measured(clients, begun).await
}

/// Requests for `run_for` over so many sockets. Each signs in with the first frame that `ask` makes, with the id 0; then
/// it has up to `under_way` requests unanswered at any time.
///
/// # Errors
/// When a socket breaks, or a request is refused.
pub async fn drive_sockets<A>(
    address: SocketAddr,
    connections: u32,
    run_for: Duration,
    under_way: usize,
    ask: A,
) -> anyhow::Result<Measured>
where
    A: Fn(u32, u64) -> String + Send + Sync + 'static,
{
    let ask = Arc::new(ask);
    let mut open = Vec::new();
    for number in 0..connections {
        let mut socket = open_socket(address).await?;
        socket.send(Message::text(ask(number, 0))).await?;
        reply(&mut socket).await?;
        open.push(socket);
    }
    let begun = now();
    let mut clients = JoinSet::new();
    for (number, mut socket) in (0..).zip(open) {
        let ask = ask.clone();
        clients.spawn(async move {
            let (mut times, mut unanswered, mut id) = (Vec::new(), VecDeque::new(), 0);
            loop {
                // Many frames go out in one write, as a server that has much to send would do it.
                if unanswered.len() <= under_way / 2 && begun.elapsed() < run_for {
                    while unanswered.len() < under_way {
                        id += 1;
                        socket.feed(Message::text(ask(number, id))).await?;
                        unanswered.push_back(now());
                    }
                    socket.flush().await?;
                }
                // Replies come in the order of the requests.
                let Some(asked) = unanswered.pop_front() else { return anyhow::Ok(times) };
                reply(&mut socket).await?;
                times.push(asked.elapsed());
            }
        });
    }
    measured(clients, begun).await
}

async fn measured(
    mut clients: JoinSet<anyhow::Result<Vec<Duration>>>,
    begun: Instant,
) -> anyhow::Result<Measured> {
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

async fn open_socket(address: SocketAddr) -> anyhow::Result<WebSocketStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.context("the server takes no more connections")?;
    stream.set_nodelay(true)?;
    Ok(tokio_tungstenite::client_async(format!("ws://{address}/v1/ws"), stream).await?.0)
}

/// Waits for the next reply, and drops the pushes before it.
async fn reply(socket: &mut WebSocketStream<TcpStream>) -> anyhow::Result<()> {
    loop {
        let came = socket.next().await.context("the server closed a socket")??;
        if let Message::Text(text) = came
            && text.contains(r#","reply_to":"#)
        {
            anyhow::ensure!(!text.starts_with(r#"{"type":"refused""#), "a request was refused: {text}");
            return Ok(());
        }
    }
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
pub fn percentile(sorted: &[Duration], percent: usize) -> f64 {
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

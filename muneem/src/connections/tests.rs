//! On real sockets.

use super::*;
use axum::extract::WebSocketUpgrade;
use axum::routing::{get, post};
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

fn bounds() -> Bounds {
    Bounds {
        connections: 100,
        per_address: 100,
        trusted_proxies: TrustedProxies::default(),
        header_timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(60),
    }
}

/// A server that is stopped when the answer is dropped.
async fn start(bounds: Bounds) -> (SocketAddr, tokio_util::sync::DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let echo = async |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async |mut socket| {
            while let Some(Ok(message)) = socket.recv().await {
                if socket.send(message).await.is_err() {
                    return;
                }
            }
        })
    };
    let router = Router::new()
        .route("/", get(async || "here"))
        .route("/read", post(async |body: String| body))
        .route("/echo", get(echo));
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, router, bounds, stop.clone()));
    (address, stop.drop_guard())
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("a connection")
}

/// Sends this and reads until the server closes the connection.
async fn said_until_closed(stream: &mut TcpStream, request: &str) -> String {
    // A connection that is closed already may refuse the bytes: what it says is what counts.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut said = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut said)).await;
    let _ = read.expect("the connection is closed in time");
    String::from_utf8_lossy(&said).into_owned()
}

/// Sends a request on a connection that stays open, and reads the head of the answer.
async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("a request is sent");
    let mut said = vec![0; 1_024];
    let count = stream.read(&mut said).await.expect("an answer");
    String::from_utf8_lossy(&said[..count]).into_owned()
}

#[tokio::test]
async fn a_connection_that_sends_its_head_too_slowly_is_closed() {
    let (address, _running) = start(Bounds { header_timeout: Duration::from_millis(100), ..bounds() }).await;
    let mut slow = connect(address).await;
    said_until_closed(&mut slow, "GET / HTTP/1.1\r\nhost: x\r\nx-slow: ").await;
    let mut silent = connect(address).await;
    said_until_closed(&mut silent, "").await;
    let mut after_its_answer = connect(address).await;
    let said = said_until_closed(&mut after_its_answer, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("here"), "{said}");
}

#[tokio::test]
async fn a_connection_on_which_nothing_moves_is_closed() {
    let (address, _running) = start(Bounds { idle_timeout: Duration::from_millis(100), ..bounds() }).await;
    let mut half = connect(address).await;
    let said = said_until_closed(
        &mut half,
        "POST /read HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 10\r\n\r\nhalf",
    );
    assert!(!said.await.contains("200"), "half a body is not a request");
}

#[tokio::test]
async fn one_connection_too_many_from_an_address_is_closed_and_the_others_go_on() {
    let (address, _running) = start(Bounds { per_address: 3, ..bounds() }).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(address).await;
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
        open.push(stream);
    }
    let mut surplus = connect(address).await;
    assert_eq!(said_until_closed(&mut surplus, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await, "");
    for stream in &mut open {
        assert!(ask(stream).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_web_socket_works_and_keeps_its_place() {
    let (address, _running) = start(Bounds { connections: 1, ..bounds() }).await;
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{address}/echo")).await.expect("it is upgraded");
    for text in ["one", "two"] {
        socket.send(Message::text(text)).await.expect("it is sent");
        assert_eq!(socket.next().await.expect("an echo").expect("a frame"), Message::text(text));
    }
    let mut surplus = connect(address).await;
    assert_eq!(said_until_closed(&mut surplus, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await, "");
    socket.send(Message::text("three")).await.expect("it is sent");
    assert_eq!(socket.next().await.expect("an echo").expect("a frame"), Message::text("three"));
}

#[test]
fn a_place_is_free_again_once_its_connection_is_gone() {
    let places = Places::new(&Bounds { connections: 3, per_address: 2, ..bounds() });
    let address = |text: &str| text.parse::<IpAddr>().expect("an address");
    let (here, there) = (address("192.0.2.1"), address("2001:db8::1"));
    let first = places.take(here).expect("a place");
    let _second = places.take(here).expect("a place");
    assert!(places.take(address("::ffff:192.0.2.1")).is_none(), "the same address, written otherwise");
    let _third = places.take(there).expect("a place for another address");
    assert!(places.take(address("192.0.2.9")).is_none(), "all places are taken");
    drop(first);
    let _again = places.take(here).expect("the place that was given back");
    assert_eq!(places.held.lock().expect("no panic").by_address.len(), 2);
}

#[test]
fn a_trusted_proxy_is_bounded_by_the_total_alone() {
    let trusted_proxies = "10.0.0.0/8".parse().expect("a network");
    let places = Places::new(&Bounds { connections: 3, per_address: 1, trusted_proxies, ..bounds() });
    let address = |text: &str| text.parse::<IpAddr>().expect("an address");
    let _held =
        [places.take(address("10.0.0.1")), places.take(address("10.0.0.1"))].map(|it| it.expect("a place"));
    let _third = places.take(address("192.0.2.1")).expect("a place");
    assert!(places.take(address("10.0.0.1")).is_none(), "no more in all");
}

#[test]
fn an_ipv6_customer_counts_as_one_address() {
    let customer = |text: &str| super::customer(text.parse().expect("an address"));
    assert_eq!(customer("2001:db8:1:2:3:4:5:6"), customer("2001:db8:1:2:ffff::1"));
    assert_ne!(customer("2001:db8:1:2::1"), customer("2001:db8:1:3::1"));
    assert_eq!(customer("::ffff:192.0.2.7"), customer("192.0.2.7"));
}

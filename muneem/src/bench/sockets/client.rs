//! Clients of the measurement: each signs in and then only answers pings, until it is told to speak.

use crate::connections;
use anyhow::{Context, bail};
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Said once all sockets are open.
pub const OPEN: &str = "open";
/// Asks for a long frame from each.
pub const SPEAK: &str = "speak";
/// Said once all have sent it and, where the server answers, have been answered.
pub const SPOKEN: &str = "spoken";

/// Sockets that open at once.
const AT_ONCE: usize = 64;
/// The longest frame that the gateway reads.
const LONG_FRAME_BYTES: usize = 16 * 1024;

#[derive(Args)]
pub struct ClientOptions {
    #[arg(long)]
    address: SocketAddr,
    /// The server discards what it reads.
    #[arg(long)]
    unanswered: bool,
}

/// Opens a socket for each line of its standard input up to an empty one, and keeps them until the input ends.
///
/// # Errors
/// When a socket is refused or closed.
pub async fn run(options: &ClientOptions) -> anyhow::Result<()> {
    connections::affordable(u32::MAX, 0)?;
    let mut input = BufReader::new(super::input()?).lines();
    let opening = Arc::new(Semaphore::new(AT_ONCE));
    let (done, mut all_done) = mpsc::unbounded_channel();
    let speak = watch::Sender::new(false);
    let mut sockets = JoinSet::new();
    while let Some(token) = input.next_line().await?.filter(|line| !line.is_empty()) {
        let client = Client { address: options.address, answered: !options.unanswered, done: done.clone() };
        sockets.spawn(client.live(token, opening.clone(), speak.subscribe()));
    }
    let count = sockets.len();
    for (told, asked) in [(OPEN, SPEAK), (SPOKEN, "")] {
        for _ in 0..count {
            tokio::select! {
                _ = all_done.recv() => {}
                Some(ended) = sockets.join_next() => {
                    ended??;
                    bail!("a socket ended");
                }
            }
        }
        crate::out!("{told}");
        while let Some(line) = input.next_line().await? {
            if line == asked {
                speak.send_replace(true);
                break;
            }
        }
    }
    Ok(())
}

struct Client {
    address: SocketAddr,
    answered: bool,
    done: mpsc::UnboundedSender<()>,
}

impl Client {
    async fn live(
        self,
        token: String,
        opening: Arc<Semaphore>,
        mut speak: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let permit = opening.acquire().await?;
        let stream = TcpStream::connect(self.address).await.context("the server takes no more sockets")?;
        let config = WebSocketConfig::default().read_buffer_size(1_024).write_buffer_size(0);
        let url = format!("ws://{}/v1/ws", self.address);
        let (mut socket, _) = tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await?;
        let auth = serde_json::json!({ "id": 1, "type": "auth", "data": { "token": token } });
        self.ask(&mut socket, auth.to_string()).await?;
        drop(permit);
        self.done.send(())?;
        let mut has_spoken = false;
        loop {
            tokio::select! {
                came = socket.next() => { came.context("the server closed a socket")??; }
                asked = speak.changed(), if !has_spoken => {
                    asked?;
                    let mut frame = r#"{"id":2,"type":"ping"}"#.to_owned();
                    frame.extend(std::iter::repeat_n(' ', LONG_FRAME_BYTES - frame.len()));
                    self.ask(&mut socket, frame).await?;
                    has_spoken = true;
                    self.done.send(())?;
                }
            }
        }
    }

    /// Sends a request and, where the server answers, waits until it is done.
    async fn ask(&self, socket: &mut WebSocketStream<TcpStream>, request: String) -> anyhow::Result<()> {
        socket.send(Message::text(request)).await?;
        if !self.answered {
            return Ok(());
        }
        loop {
            let came = socket.next().await.context("the server closed a socket")??;
            if let Message::Text(text) = came
                && text.contains("reply_to")
            {
                anyhow::ensure!(!text.contains(r#""type":"refused""#), "a request was refused: {text}");
                return Ok(());
            }
        }
    }
}

//! A client as an app would have it: HTTP with a token, and a socket.

use anyhow::{Context, bail};
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long anything may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// Somebody signed in, or not yet.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    pub fn new(base: &str) -> Client {
        let http = reqwest::Client::builder().timeout(PATIENCE).build();
        Client { http: http.unwrap_or_default(), base: base.trim_end_matches('/').to_owned(), token: None }
    }

    /// Signs in by one-time password, which development shows.
    ///
    /// # Errors
    /// When a step is refused.
    pub async fn sign_in(&self, phone: &str) -> anyhow::Result<(Client, String)> {
        let asked = self.post("/v1/auth/otp", json!({ "phone": phone, "channel": "sms" })).await?;
        let sent = self.get(&format!("/dev/otp/{}", phone.replace('+', "%2B"))).await?;
        let proof = json!({ "phone": phone, "challenge": asked["challenge"], "code": sent["code"] });
        let verified = self.post("/v1/auth/otp/verify", proof).await?;
        let token = text(&verified["tokens"], "access_token")?;
        let person = text(&verified["person"], "person")?;
        Ok((Client { token: Some(token), ..self.clone() }, person))
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// Posts something that should be refused, and answers the code of the refusal.
    ///
    /// # Errors
    /// When it is not refused.
    pub async fn refused(&self, path: &str, body: Value) -> anyhow::Result<String> {
        let (status, text) = self.send(Method::POST, path, Some(body)).await?;
        let problem: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        match problem["code"].as_str().filter(|_| !status.is_success()) {
            Some(code) => Ok(code.to_owned()),
            None => bail!("POST {path} should be refused and was answered {status}: {text}"),
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let (status, text) = self.send(method.clone(), path, body).await?;
        if !status.is_success() {
            bail!("{method} {path} was answered {status}: {text}");
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<(StatusCode, String)> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            let key = platform::entropy::uuid_v7().to_string();
            request = request.header("idempotency-key", key).json(&body);
        }
        let answer = request.send().await.with_context(|| {
            format!("no answer from {}; is the server running? `make run` starts it", self.base)
        })?;
        Ok((answer.status(), answer.text().await?))
    }

    /// Opens a socket and signs it in.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn connect(&self) -> anyhow::Result<Socket> {
        let url = format!("{}/v1/ws", self.base.replacen("http", "ws", 1));
        let (stream, _) = tokio_tungstenite::connect_async(&url).await.context("the socket was refused")?;
        let mut socket = Socket::new(stream);
        let token = self.token.clone().context("nobody is signed in")?;
        socket.send(json!({ "type": "auth", "data": { "token": token } })).await?;
        Ok(socket)
    }
}

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Frame = Result<Message, tokio_tungstenite::tungstenite::Error>;

/// Frames that may wait until the story looks at them.
const WAITING_FRAMES: usize = 1_024;

/// A socket that is signed in. It is read all the time, since the server takes a client that answers no pings
/// for gone.
pub struct Socket {
    sink: SplitSink<Stream, Message>,
    frames: mpsc::Receiver<Frame>,
    /// Ends with the socket.
    _reader: JoinSet<()>,
    pushes: VecDeque<Value>,
    next_id: u64,
}

impl Socket {
    fn new(stream: Stream) -> Socket {
        let (sink, mut stream) = stream.split();
        let (frames_in, frames) = mpsc::channel(WAITING_FRAMES);
        let mut reader = JoinSet::new();
        reader.spawn(async move {
            while let Some(frame) = stream.next().await {
                if frames_in.send(frame).await.is_err() {
                    return;
                }
            }
        });
        Socket { sink, frames, _reader: reader, pushes: VecDeque::new(), next_id: 1 }
    }

    /// Sends a request and answers the data of its reply.
    ///
    /// # Errors
    /// When it is refused, or nothing comes in time.
    pub async fn request(&mut self, kind: &str, data: Value) -> anyhow::Result<Value> {
        self.send(json!({ "type": kind, "data": data })).await
    }

    async fn send(&mut self, mut frame: Value) -> anyhow::Result<Value> {
        let id = self.next_id;
        self.next_id += 1;
        frame["id"] = json!(id);
        self.sink.send(Message::text(frame.to_string())).await?;
        loop {
            let came = self.receive().await?;
            if came["reply_to"] != json!(id) {
                self.pushes.push_back(came);
            } else if came["type"] != "refused" {
                return Ok(came["data"].clone());
            } else {
                bail!("{} was refused: {}", frame["type"], came["problem"]);
            }
        }
    }

    /// The next push of this name; others before it are dropped.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn push(&mut self, name: &str) -> anyhow::Result<Value> {
        loop {
            let came = self.next_push().await.with_context(|| format!("no push {name} came"))?;
            if came["type"] == name {
                return Ok(came["data"].clone());
            }
        }
    }

    /// The next push, whatever it is.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn next_push(&mut self) -> anyhow::Result<Value> {
        match self.pushes.pop_front() {
            Some(push) => Ok(push),
            None => self.receive().await,
        }
    }

    async fn receive(&mut self) -> anyhow::Result<Value> {
        loop {
            let came =
                tokio::time::timeout(PATIENCE, self.frames.recv()).await.context("nothing came in time")?;
            match came.context("the socket was closed")?? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Close(frame) => bail!("the socket was closed: {frame:?}"),
                _ => {}
            }
        }
    }
}

/// A text field of an answer.
///
/// # Errors
/// When it is missing.
pub fn text(value: &Value, field: &str) -> anyhow::Result<String> {
    value[field]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("the answer has no text {field}: {value}"))
}

/// An integer field of an answer.
///
/// # Errors
/// When it is missing.
pub fn number(value: &Value, field: &str) -> anyhow::Result<i64> {
    value[field].as_i64().with_context(|| format!("the answer has no integer {field}: {value}"))
}

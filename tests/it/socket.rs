//! A WebSocket as a client has it.

use crate::world::{PATIENCE, Person};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::VecDeque;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Frame = Result<Message, tokio_tungstenite::tungstenite::Error>;

/// A socket that is read, and so answers pings, whatever the test waits for.
pub struct Socket {
    sink: SplitSink<Stream, Message>,
    frames: mpsc::UnboundedReceiver<Frame>,
    reading: watch::Sender<bool>,
    /// Ends, and closes the connection, with the socket.
    _reader: JoinSet<()>,
    pushes: VecDeque<Value>,
    next_id: u64,
    /// The data of the reply to the first frame.
    pub hello: Value,
}

impl Socket {
    fn new(stream: Stream) -> Socket {
        let (sink, stream) = stream.split();
        let (frames_in, frames) = mpsc::unbounded_channel();
        let reading = watch::Sender::new(true);
        let mut reader = JoinSet::new();
        reader.spawn(read(stream, frames_in, reading.subscribe()));
        let (pushes, next_id, hello) = (VecDeque::new(), 1, Value::Null);
        Socket { sink, frames, reading, _reader: reader, pushes, next_id, hello }
    }

    /// The new socket, or the status with which it was refused.
    pub async fn open(url: &str) -> Result<Socket, u16> {
        match tokio_tungstenite::connect_async(url).await {
            Ok((stream, _)) => Ok(Socket::new(stream)),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(fault) => panic!("{url} cannot be reached: {fault}"),
        }
    }

    /// Says who it is.
    pub async fn sign_in(&mut self, who: &Person) {
        let reply =
            self.send_frame(json!({ "id": "auth", "type": "auth", "data": { "token": who.token } })).await;
        assert_eq!(reply["type"], "auth:done", "{reply}");
        self.hello = reply["data"].clone();
    }

    /// From now on nothing is read, and no ping is answered, until [`Self::closed_with`].
    pub fn stop_reading(&self) {
        self.reading.send_replace(false);
    }

    /// Sends a request and answers its reply.
    pub async fn request(&mut self, kind: &str, data: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        self.send_frame(json!({ "id": id, "type": kind, "data": data })).await
    }

    /// Sends a frame with an id and answers the reply to it.
    pub async fn send_frame(&mut self, frame: Value) -> Value {
        self.send_raw(Message::text(frame.to_string())).await;
        loop {
            match self.receive().await {
                Ok(came) if came["reply_to"] == frame["id"] => return came,
                Ok(came) => self.pushes.push_back(came),
                Err(closed) => panic!("closed before the reply to {frame}: {closed:?}"),
            }
        }
    }

    /// Sends requests one behind the other without waiting, with their places as ids.
    pub async fn pipeline(&mut self, requests: &[(&str, Value)]) {
        for (id, (kind, data)) in requests.iter().enumerate() {
            let frame = json!({ "id": id, "type": kind, "data": data });
            self.send_raw(Message::text(frame.to_string())).await;
        }
    }

    /// The next replies, in the order in which they come.
    pub async fn replies(&mut self, count: usize) -> Vec<Value> {
        let mut replies = Vec::new();
        while replies.len() < count {
            match self.receive().await {
                Ok(came) if came.get("reply_to").is_some() => replies.push(came),
                Ok(push) => self.pushes.push_back(push),
                Err(closed) => panic!("closed after {replies:?}: {closed:?}"),
            }
        }
        replies
    }

    pub async fn send_raw(&mut self, message: Message) {
        self.sink.send(message).await.expect("the frame goes out");
    }

    /// The next push of this name, whole; others before it are dropped.
    pub async fn push(&mut self, name: &str) -> Value {
        let push = async {
            loop {
                let came = match self.pushes.pop_front() {
                    Some(push) => push,
                    None => self
                        .receive()
                        .await
                        .unwrap_or_else(|closed| panic!("closed before {name}: {closed:?}")),
                };
                if came["type"] == name {
                    return came;
                }
            }
        };
        // Pings come from time to time, and do not make it patient.
        tokio::time::timeout(PATIENCE, push).await.unwrap_or_else(|_| panic!("{name} does not come in time"))
    }

    /// The next frame, or how the socket was closed.
    pub async fn receive(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            let came =
                tokio::time::timeout(PATIENCE, self.frames.recv()).await.expect("something comes in time");
            match came {
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str(&text).expect("JSON");
                    crate::documented::assert_frame_documented(&frame);
                    return Ok(frame);
                }
                Some(Ok(Message::Close(frame))) => return Err(frame),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// Reads on until the server closes, and answers its code.
    pub async fn closed_with(&mut self) -> u16 {
        self.reading.send_replace(true);
        let closed = async {
            loop {
                if let Err(frame) = self.receive().await {
                    return frame.map_or(0, |frame| frame.code.into());
                }
            }
        };
        // Pings come from time to time, and do not make it patient.
        tokio::time::timeout(PATIENCE, closed).await.expect("the server closes in time")
    }
}

/// Hands on what comes while the test wants it read.
async fn read(
    mut stream: SplitStream<Stream>,
    frames: mpsc::UnboundedSender<Frame>,
    mut reading: watch::Receiver<bool>,
) {
    while reading.wait_for(|reading| *reading).await.is_ok() {
        tokio::select! {
            biased;
            stopped = reading.wait_for(|reading| !reading) => if stopped.is_err() { return },
            frame = stream.next() => match frame {
                Some(frame) => drop(frames.send(frame)),
                None => return,
            },
        }
    }
}

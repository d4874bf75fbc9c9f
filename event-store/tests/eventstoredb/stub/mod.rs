//! Nodes of an EventStoreDB that speak just enough of its protocol, over real HTTP/2 on loopback ports.

pub mod database;
pub mod messages;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream::{self, BoxStream, StreamExt};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::codec::ProstCodec;
use tonic::server::Grpc;
use tonic::{Request, Response, Status, Streaming};

use self::database::{Answer, Database, Subscriptions};
use self::messages::{
    BatchAppendReq, BatchAppendResp, DeleteReq, Empty, Endpoint, Gossip, Member, Method, ReadReq, ReadResp,
    Supported,
};

type Answers<T> = BoxStream<'static, Result<T, Status>>;

/// One node. Dropped, it is gone with all its connections.
pub struct Node {
    pub database: Arc<Database>,
    pub port: u16,
    connections: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
    cut: watch::Sender<()>,
    tls: Option<TlsAcceptor>,
    /// Empty while the node is stopped.
    running: JoinSet<()>,
}

impl Node {
    /// The one node of a new database.
    pub async fn start() -> Self {
        Self::join(Arc::default()).await
    }

    /// One that takes TLS only.
    pub async fn start_with(tls: ServerConfig) -> Self {
        Self::begin(Arc::default(), Some(Arc::new(tls).into())).await
    }

    /// A node more; the first one leads.
    pub async fn join(database: Arc<Database>) -> Self {
        Self::begin(database, None).await
    }

    async fn begin(database: Arc<Database>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        {
            let mut state = database.state();
            state.members.push((port, true));
            if state.leader == 0 {
                state.leader = port;
            }
        }
        let (cut, _) = watch::channel(());
        let (connections, accepted) = (Arc::default(), Arc::default());
        let mut node = Self { database, port, connections, accepted, cut, tls, running: JoinSet::new() };
        node.listen(listener);
        node
    }

    pub fn url(&self) -> String {
        format!("kurrentdb://127.0.0.1:{}?tls=false", self.port)
    }

    pub async fn stop(&mut self) {
        self.running.shutdown().await;
        self.set_alive(false);
    }

    /// Starts again at the same port.
    pub async fn go_on(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.set_alive(true);
        self.listen(listener);
    }

    pub fn cut_connections(&self) {
        self.cut.send_replace(());
    }

    /// How many are open.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many there ever were.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    fn set_alive(&self, alive: bool) {
        let mut state = self.database.state();
        for member in state.members.iter_mut().filter(|(port, _)| *port == self.port) {
            member.1 = alive;
        }
    }

    fn listen(&mut self, listener: TcpListener) {
        let served = Served { database: Arc::clone(&self.database), port: self.port, cut: self.cut.clone() };
        let (open, tls) = (Arc::clone(&self.connections), self.tls.clone());
        let accepted = Arc::clone(&self.accepted);
        self.running.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                socket.set_nodelay(true).unwrap();
                accepted.fetch_add(1, Ordering::SeqCst);
                let (served, mut cut, tls) = (served.clone(), served.cut.subscribe(), tls.clone());
                let counted = Counted::new(&open);
                connections.spawn(async move {
                    let _counted = counted;
                    let serving = async {
                        match tls {
                            None => serve(served, socket).await,
                            Some(tls) => {
                                if let Ok(socket) = tls.accept(socket).await {
                                    serve(served, socket).await;
                                }
                            }
                        }
                    };
                    tokio::select! {
                        () = serving => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
    }
}

async fn serve(served: Served, socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
    let answer = service_fn(move |request| answer(served.clone(), request));
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    // A connection that ends badly is the client's concern.
    let _ = connection.serve_connection(TokioIo::new(socket), answer).await;
}

struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Clone)]
struct Served {
    database: Arc<Database>,
    port: u16,
    cut: watch::Sender<()>,
}

type Call = hyper::Request<Incoming>;
type Reply = hyper::Response<tonic::body::Body>;

async fn answer(served: Served, call: Call) -> Result<Reply, Infallible> {
    if let Some(refusal) = served.refusal(&call) {
        return Ok(refusal.into_http());
    }
    let method = call.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let service = call.uri().path().contains("Gossip");
    Ok(match (method.as_str(), service) {
        ("GetSupportedMethods", _) => {
            let method =
                Method { method: "batchappend".into(), service: "event_store.client.streams.streams".into() };
            let supported = Supported { methods: vec![method], version: "24.10.0".into() };
            unary(call, move |Empty {}| supported.clone()).await
        }
        ("Read", true) => unary(call, move |Empty {}| served.gossip()).await,
        ("Delete", _) => {
            unary(call, move |request: DeleteReq| {
                let name = request.options.unwrap().stream.unwrap().name;
                served.database.state().streams.remove(&name);
                Empty {}
            })
            .await
        }
        ("Read", _) => {
            let read = tower::service_fn(move |request: Request<ReadReq>| {
                let answers = served.read(&request.into_inner());
                async move { Ok(Response::new(answers)) }
            });
            Grpc::new(ProstCodec::<ReadResp, ReadReq>::default()).server_streaming(read, call).await
        }
        ("BatchAppend", _) => {
            let append = tower::service_fn(move |requests: Request<Streaming<BatchAppendReq>>| {
                let answers = served.clone().session(requests.into_inner());
                async move { Ok(Response::new(answers)) }
            });
            Grpc::new(ProstCodec::<BatchAppendResp, BatchAppendReq>::default())
                .max_decoding_message_size(16 * 1024 * 1024)
                .streaming(append, call)
                .await
        }
        other => Status::unimplemented(format!("{other:?}")).into_http(),
    })
}

async fn unary<Q, A>(call: Call, answer: impl Fn(Q) -> A) -> Reply
where
    Q: prost::Message + Default + Send + 'static,
    A: prost::Message + Default + Send + 'static,
{
    let service = tower::service_fn(move |request: Request<Q>| {
        let answered = answer(request.into_inner());
        async move { Ok(Response::new(answered)) }
    });
    Grpc::new(ProstCodec::<A, Q>::default()).unary(service, call).await
}

impl Served {
    /// A call of a stream needs the right user, and the leader where it asks for it.
    fn refusal(&self, call: &Call) -> Option<Status> {
        if !call.uri().path().contains("streams.Streams") {
            return None;
        }
        let header = |name| call.headers().get(name).and_then(|value| value.to_str().ok());
        let state = self.database.state();
        if state.authorization.as_deref().is_some_and(|wanted| header("authorization") != Some(wanted)) {
            return Some(Status::unauthenticated("who are you?"));
        }
        if header("requires-leader") == Some("true") && state.leader != self.port {
            let mut status = Status::not_found("Leader info available");
            status.metadata_mut().insert("exception", "not-leader".parse().unwrap());
            status.metadata_mut().insert("leader-endpoint-host", "127.0.0.1".parse().unwrap());
            status.metadata_mut().insert("leader-endpoint-port", state.leader.to_string().parse().unwrap());
            return Some(status);
        }
        None
    }

    fn gossip(&self) -> Gossip {
        let state = self.database.state();
        let member = |(port, is_alive): &(u16, bool)| Member {
            state: if *port == state.leader { 8 } else { 6 },
            is_alive: *is_alive,
            endpoint: Some(Endpoint { address: "127.0.0.1".into(), port: u32::from(*port) }),
        };
        Gossip { members: state.members.iter().map(member).collect() }
    }

    fn read(&self, request: &ReadReq) -> Answers<ReadResp> {
        let options = request.options.clone().unwrap();
        if options.subscription.is_some() {
            let mut state = self.database.state();
            state.subscribed += 1;
            let confirmed =
                stream::iter([Ok(ReadResp { confirmation: Some(Empty {}), ..Default::default() })]);
            return match state.subscriptions.expect("a test that says how subscriptions are") {
                Subscriptions::Mute => confirmed.chain(stream::pending()).boxed(),
                Subscriptions::EndWithOk => confirmed.boxed(),
            };
        }
        match self.database.read(&options) {
            Some(answers) => stream::iter(answers.into_iter().map(Ok)).boxed(),
            None => stream::pending().boxed(),
        }
    }

    fn session(self, requests: Streaming<BatchAppendReq>) -> Answers<BatchAppendResp> {
        let answered = stream::unfold((self, requests), |(served, mut requests)| async move {
            loop {
                let request = requests.message().await.ok()??;
                match served.database.append(&request) {
                    Answer::Reply(reply) => return Some((Ok(reply), (served, requests))),
                    Answer::Silence => {}
                    Answer::EndOfSession => return None,
                    Answer::Cut => {
                        served.cut.send_replace(());
                    }
                }
            }
        });
        answered.boxed()
    }
}

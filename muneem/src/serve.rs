//! `muneem serve`: puts the parts together, and takes them apart again in order.

use crate::config::{Config, Mode};
use crate::connections::{self, Bounds};
use crate::dev::{self, Dev, LoopbackRazorpay};
use crate::keeping;
use crate::progress::Bar;
use crate::room;
use crate::seed;
use crate::sole_server::SoleServer;
use anyhow::{Context, bail, ensure};
use api::metrics::Metrics;
use event_store::EventStore;
use integrations::otp_sender::{OtpOutbox, OtpSender};
use integrations::razorpay::Razorpay;
use ledger_core::{Event, JournalId};
use ledger_runtime::{
    Clock, Door, ExecuteError, Kinship, Ledger, Metering, OpenError, Opening, Snapshots, Status,
};
use metrics_exporter_prometheus::PrometheusHandle;
use platform::app::{App, Nodes, Parts};
use platform::duty::Duty;
use platform::identity::{AccessTokens, OtpConfig, PhoneVault};
use platform::journal_heads::JournalHeads;
use platform::preferred::Preferred;
use platform::seal::Seal;
use platform::workers::{Worker, Workers};
use projections::{Projector, ReadModels};
use redis::aio::ConnectionManagerConfig;
use secrecy::ExposeSecret;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection, PgPool};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Level, debug, error, info};
use websocket_gateway::Gateway;

/// How long requests and sockets that are under way may take to end.
const DRAIN: Duration = Duration::from_secs(10);

/// How long a request waits for a free database connection before it is refused.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long the server waits for a connection to Redis, or for an answer from it.
const REDIS_PATIENCE: Duration = Duration::from_secs(2);

/// How often recorded durations are summed up into histograms.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// A running server; it serves while `run` is polled.
pub struct Server {
    pub address: SocketAddr,
    pub app: App,
    pub read: ReadModels,
    /// In development mode: the stand-ins of third parties, such as the outbox of one-time passwords.
    pub dev: Option<Dev>,
    listener: TcpListener,
    bounds: Bounds,
    router: axum::Router,
    gateway: Gateway,
    workers: Workers,
    /// A start that fails half way, and a server that is never run, leave no worker behind.
    stop_workers: DropGuard,
    writer: tokio::task::JoinHandle<()>,
    /// Absent where several nodes share the store.
    sole: Option<SoleServer>,
}

impl Server {
    /// Connects, migrates, replays and listens; nothing is served before `run`.
    ///
    /// # Errors
    /// When a setting is no good or a part cannot be reached; the text says which, and the mend.
    pub async fn start(config: Config, sockets: websocket_gateway::Config) -> anyhow::Result<Server> {
        // As `main` does, for a test that starts a server in its own process.
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        // Before everything else: metrics that are counted before the recorder is installed are lost.
        let recorder = api::metrics::record();
        config.require_postgres()?;
        config.require_redis()?;
        config.check_exposure()?;
        config.check_node_address()?;
        let config = config.with_secrets()?;
        let bounds = bounds(&config)?;
        let outbox = OtpOutbox::default();
        let otp_sender = otp_sender(&config, outbox.clone())?;
        let listener = TcpListener::bind(config.listen).await.with_context(|| {
            format!(
                "{} cannot be listened on; is it taken? Another one: MUNEEM_LISTEN=127.0.0.1:8090",
                config.listen
            )
        })?;
        let address = listener.local_addr()?;
        let pool = connect_postgres(&config).await?;
        let nodes = if config.store().is_shared() { Nodes::Several } else { Nodes::One };
        let sole = match nodes {
            Nodes::One => Some(SoleServer::claim(config.require_postgres()?).await?),
            Nodes::Several => None,
        };
        platform::MIGRATOR.run(&pool).await.with_context(|| match config.mode {
            Mode::Development => {
                "the database cannot be migrated; a restored dump must hold all but the schema read \
                 (docs/operations.md); to begin with an empty database: make clean-data"
            }
            Mode::Production => {
                "the database cannot be migrated; a restored dump must hold all but the schema read \
                 (docs/operations.md)"
            }
        })?;
        let redis = connect_redis(&config).await?;
        check_place(&pool, &config).await?;
        let store = open_store(&config).await?;
        check_journal(&pool, store.as_ref(), &config).await?;
        check_keys(&pool, &config).await?;
        let (ledger, writer) = open_ledger(store.clone(), &config).await?;
        platform::journal::adopt(&pool, ledger.journal(), platform::clock::now()).await?;
        let workers = Workers::default();
        let stop_workers = workers.stop_when_dropped();

        let read = ReadModels::open(pool.clone(), store.clone())
            .await
            .context("the read models cannot be opened")?;
        let projector = Arc::new(Projector::new(pool.clone(), store.clone()));
        let read = read.following(&projector);
        projector.check().await.context("nothing is served from read models of another history")?;
        let duty = |name| match nodes {
            Nodes::One => Duty::alone(name),
            Nodes::Several => Duty::new(pool.clone(), name),
        };
        let projecting = config.roles.projector.then(|| duty("projector"));
        workers.start(projector_worker(projector, projecting));

        let heads = JournalHeads::new(pool.clone(), store, ledger.journal(), config.heads()?);
        if config.roles.projector {
            workers.start(heads_worker(heads.clone(), duty("heads")));
        }

        let (razorpay, dev) = razorpay(&config, &outbox, address, &workers).await?;
        let (pepper, sealing_key) = config.phone_keys()?;
        let (app, background) = App::new(Parts {
            ledger: ledger.clone(),
            pool: pool.clone(),
            redis,
            redis_prefix: config.redis_prefix.clone(),
            vault: PhoneVault::new(pepper, sealing_key),
            tokens: AccessTokens::new(&config.jwt_keys()?).context("MUNEEM_JWT_KEYS cannot be used")?,
            otp: otp_limits(&config),
            refreshes_per_hour: config.refreshes_per_hour,
            otp_sender,
            razorpay,
            webhook_seal: Seal::derived(&sealing_key, "webhook deliveries"),
            heads,
            nodes,
            works: config.roles.api,
        });
        if !config.node_address.is_empty() {
            for worker in forwarding(&config, &app).await? {
                workers.start(worker);
            }
        }
        if config.mode == Mode::Development {
            seed::complete(&app, platform::clock::now()).await.context("the demo world cannot be made")?;
        }
        if config.roles.metering {
            workers.start(take_calls(&app, duty("calls")).await?);
        }
        for worker in background {
            workers.start(worker);
        }
        app.bus.ready().await;

        let gateway = Gateway::new(app.clone(), sockets);
        let mut routes = axum::Router::new();
        if config.roles.gateway {
            routes = routes.merge(websocket_gateway::router(gateway.clone()));
        }
        if let Some(dev) = &dev {
            routes = routes.merge(dev::router(dev.clone()));
        }
        let beside = api::Beside { routes, asyncapi: websocket_gateway::asyncapi() };
        if let Some(recorder) = recorder.clone() {
            workers.start(metrics_worker(recorder));
        }
        if let Some(snapshots) = config.snapshots() {
            workers.start(snapshot_worker(snapshots, ledger.clone()));
        }
        workers.start(room::watch(config.store().folder().map(Into::into)));
        workers.start(keeping::keep(config.store().folder().map(Into::into)));
        let disk = config.store().folder().map_or(config.data_dir.clone(), Into::into);
        let metrics = recorder.map(|recorder| Metrics::new(recorder, disk));
        let api = api::Api::new(app.clone(), read.clone(), workers.clone(), metrics, api_config(&config));
        let router = api::router(api, beside);
        Ok(Server {
            address,
            app,
            read,
            dev,
            listener,
            bounds,
            router,
            gateway,
            workers,
            stop_workers,
            writer,
            sole,
        })
    }

    /// Serves until `stop` is ready, then lets what is under way end.
    ///
    /// # Errors
    /// When the listener's task fails, or another server has taken the database.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
        let Server {
            listener, bounds, router, gateway, workers, stop_workers, writer, app, read, sole, ..
        } = self;
        let stopping = CancellationToken::new();
        let fan_out = workers.start(fan_out_worker(gateway, stopping.clone()));
        let mut serving = tokio::spawn(connections::serve(listener, router, bounds, stopping.clone()));
        let mut displaced = false;
        tokio::select! {
            () = stop => info!("stopping: no new requests; sockets are closed"),
            outcome = &mut serving => outcome.context("the listener's task failed")?,
            () = async { match sole { Some(sole) => sole.lost().await, None => std::future::pending().await } } => {
                error!(alert = "second_server", "another server has taken this database: this one ends");
                displaced = true;
            }
        }
        stopping.cancel();
        // Sockets are closed by the gateway; a request that does not end in its time is cut off.
        let drained = async {
            drop(fan_out.await);
            drop((&mut serving).await)
        };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("some requests did not end in time");
            serving.abort();
            drop(serving.await);
        }
        workers.stop().await;
        app.attendance.leave().await;
        if tracing::enabled!(Level::DEBUG) {
            tell_the_state(&app.ledger).await;
        }
        drop((app, read, workers, stop_workers));
        // The writer ends once the last handle is gone, with everything durable that was accepted.
        if tokio::time::timeout(DRAIN, writer).await.is_err() {
            tracing::warn!("the ledger's writer did not end in time; the journal is whole all the same");
        }
        info!("stopped");
        ensure!(!displaced, "another server has taken this database");
        Ok(())
    }
}

/// By this line nodes of one journal can be compared. It takes a look at the whole state, so it is for debugging alone.
async fn tell_the_state(ledger: &Ledger) {
    match ledger.query(|state, _| (state.revision(), state.hash())).await {
        Ok((revision, hash)) => debug!(revision, state = hex::encode(hash), "the ledger's state at the end"),
        Err(fault) => debug!(%fault, "the ledger does not tell its state"),
    }
}

/// Takes the commands of other nodes, or gives those of this one to the node that decides.
async fn forwarding(config: &Config, app: &App) -> anyhow::Result<[Worker; 2]> {
    let address = &config.node_address;
    let (_, sealing_key) = config.phone_keys()?;
    let kinship = Kinship::new(Seal::derived(&sealing_key, "commands between nodes").mark(b"key"))
        .context("the file of this program cannot be read")?;
    let listener = TcpListener::bind(&places_of(address)[..])
        .await
        .with_context(|| format!("MUNEEM_NODE_ADDRESS is {address}, which cannot be listened on"))?;
    let door = Arc::new(Door::new(listener, kinship.clone(), app.ledger.clone()));
    let preferred = Arc::new(Preferred::new(app.pool.clone(), app.ledger.clone(), address, kinship));
    Ok([
        Worker::new("door", move || {
            let door = door.clone();
            async move {
                door.keep_open().await;
                Ok(())
            }
        }),
        Worker::new("forwarding", move || {
            let preferred = preferred.clone();
            async move { preferred.keep_forwarding().await }
        }),
    ])
}

/// Where a node listens that others reach at `address`: there, or where that is a name, on its port at all addresses.
fn places_of(address: &str) -> Vec<SocketAddr> {
    if let Ok(address) = address.parse() {
        return vec![address];
    }
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or_default();
    let all: [IpAddr; 2] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
    all.map(|all| SocketAddr::new(all, port)).to_vec()
}

/// Drives calls, on one node at a time: their time, and who is connected. Where nobody drives them yet, they are taken
/// over before anybody can connect to this node, by what the others say of those who are with them.
async fn take_calls(app: &App, duty: Duty) -> anyhow::Result<Worker> {
    let first = match duty.take_if_free().await.map_err(anyhow::Error::from_boxed)? {
        Some(turn) => {
            app.attendance.exchange().await;
            Some((turn, metering(app).await.context("calls under way cannot be taken over")?))
        }
        None => None,
    };
    let (app, first) = (app.clone(), Mutex::new(first));
    Ok(Worker::new("calls", move || {
        let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (app, duty) = (app.clone(), duty.clone());
        async move {
            let (turn, metering) = match first {
                Some(taken) => taken,
                None => {
                    let turn = duty.take().await?;
                    app.attendance.ready().await;
                    (turn, metering(&app).await?)
                }
            };
            let drive = async {
                tokio::select! {
                    () = metering.run() => {}
                    kept = app.attendance.keep_in_step() => kept?,
                }
                match app.ledger.status() {
                    Status::Stopped(_) => Ok(()),
                    _ => Err("calls are not driven any more, and the ledger runs".into()),
                }
            };
            turn.work(drive).await
        }
    }))
}

async fn metering(app: &App) -> Result<Metering, ExecuteError> {
    let attendance = &app.attendance;
    Metering::recover(app.ledger.clone(), attendance.sightings(), attendance.connections()).await
}

/// Projects, on one node at a time; the others watch how far the read models are.
fn projector_worker(projector: Arc<Projector>, duty: Option<Duty>) -> Worker {
    Worker::new("projector", move || {
        let (projector, duty) = (projector.clone(), duty.clone());
        async move {
            let watch = async {
                match projector.watch().await {
                    Err(fault) => fault.into(),
                    Ok(never) => match never {},
                }
            };
            let Some(duty) = duty else { return Err(watch.await) };
            let turn = tokio::select! {
                turn = duty.take() => turn?,
                fault = watch => return Err(fault),
            };
            turn.work(async { Ok(projector.run(std::future::pending()).await?) }).await
        }
    })
}

/// Signs heads of the journal, on one node at a time.
fn heads_worker(heads: JournalHeads, duty: Duty) -> Worker {
    Worker::new("heads", move || {
        let (heads, duty) = (heads.clone(), duty.clone());
        async move {
            let work = async { match heads.work().await {} };
            duty.take().await?.work(work).await
        }
    })
}

/// The metrics recorder keeps every single duration until the figures are read. They are summed up now and then, so that
/// memory stays bounded where nobody reads them.
fn metrics_worker(recorder: PrometheusHandle) -> Worker {
    Worker::new("metrics", move || {
        let recorder = recorder.clone();
        async move {
            let mut often = tokio::time::interval(METRICS_UPKEEP);
            loop {
                often.tick().await;
                recorder.run_upkeep();
            }
        }
    })
}

/// Makes snapshots, so that the next start is short.
fn snapshot_worker(snapshots: Snapshots, ledger: Ledger) -> Worker {
    if let Some(revision) = ledger.opened_from() {
        show_snapshot(revision);
    }
    Worker::new("snapshots", move || {
        let (snapshots, ledger) = (snapshots.clone(), ledger.clone());
        async move {
            snapshots.keep(ledger, show_snapshot).await;
            Ok(())
        }
    })
}

fn show_snapshot(revision: u64) {
    metrics::gauge!("muneem_snapshot_revision").set(revision as f64);
}

/// Returns once `stopping` is cancelled and the sockets are closed.
fn fan_out_worker(gateway: Gateway, stopping: CancellationToken) -> Worker {
    Worker::new("fan_out", move || {
        let (gateway, stopping) = (gateway.clone(), stopping.clone());
        async move {
            gateway.run(stopping.cancelled_owned()).await;
            Ok(())
        }
    })
}

fn bounds(config: &Config) -> anyhow::Result<Bounds> {
    Ok(Bounds {
        connections: connections::affordable(config.max_connections, config.database_connections)?,
        per_address: config.max_connections_per_address as usize,
        trusted_proxies: config.trusted_proxies.clone(),
        header_timeout: Duration::from_secs(config.header_timeout_seconds.into()),
        idle_timeout: Duration::from_secs(config.idle_timeout_seconds.into()),
    })
}

/// # Errors
/// When it cannot be reached; the text says where it was looked for, without the password.
pub async fn connect_postgres(config: &Config) -> anyhow::Result<PgPool> {
    let url = config.require_postgres()?;
    let place = || format!("PostgreSQL cannot be reached at {} (DATABASE_URL)", without_password(url));
    // The pool reports a timeout only. A single connection reports the reason.
    let first = tokio::time::timeout(PATIENCE, PgConnection::connect(url)).await;
    first.context("it does not answer").and_then(|it| Ok(it?)).with_context(place)?.close().await.ok();
    let connect = PgPoolOptions::new()
        .max_connections(config.database_connections)
        .acquire_timeout(PATIENCE)
        .connect(url)
        .await;
    connect.with_context(place)
}

/// # Errors
/// When it cannot be reached.
pub async fn connect_redis(config: &Config) -> anyhow::Result<redis::aio::ConnectionManager> {
    let url = config.require_redis()?;
    let client = redis::Client::open(url).context("REDIS_URL is not a Redis address")?;
    // A busy machine needs up to a second for an answer. One that takes longer counts as none: limits are then counted
    // by the node alone, and what needs Redis is answered 503.
    let patience = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(REDIS_PATIENCE))
        .set_response_timeout(Some(REDIS_PATIENCE))
        .set_number_of_retries(1)
        .set_max_delay(Duration::from_millis(200));
    let connect = client.get_connection_manager_with_config(patience).await;
    connect.with_context(|| format!("Redis cannot be reached at {} (REDIS_URL)", without_password(url)))
}

/// An address without its password, to be printed.
pub fn without_password(url: &str) -> String {
    // Passwords may stand among the parameters too.
    let place = url.split('?').next().unwrap_or_default();
    match (place.find("://"), place.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://{}", &place[..scheme], &place[at + 1..]),
        (None, _) => "an address that is none".to_owned(),
        _ => place.to_owned(),
    }
}

async fn open_store(config: &Config) -> anyhow::Result<Arc<dyn EventStore>> {
    let address = config.store();
    if let Some(folder) = address.folder() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    }
    let bar = Arc::new(Bar::bytes("checking the journal"));
    let shown = bar.clone();
    let store = address.open(move |done, total| shown.show(done, total)).await;
    bar.end();
    Ok(store?)
}

/// Refuses keys that are not those that the database was filled under: people would not be found by their numbers,
/// and would sign in as strangers.
async fn check_keys(pool: &PgPool, config: &Config) -> anyhow::Result<()> {
    let (pepper, sealing_key) = config.phone_keys()?;
    for (name, key) in [("MUNEEM_PHONE_PEPPER", pepper), ("MUNEEM_SEALING_KEY", sealing_key)] {
        if !platform::journal::is_same_key(pool, name, &key, platform::clock::now()).await? {
            bail!(
                "{name} is not the key that this database was filled under; set it to that one, which stands where the \
                 deployment's secrets are kept"
            );
        }
    }
    Ok(())
}

/// Refuses a folder without a journal where the database belongs to one, before a journal is begun there: `restore` would
/// not write over it.
async fn check_place(pool: &PgPool, config: &Config) -> anyhow::Result<()> {
    let place = config.store();
    let is_empty = place
        .folder()
        .is_some_and(|folder| std::fs::read_dir(folder).map_or(true, |mut it| it.next().is_none()));
    match platform::journal::adopted(pool).await? {
        Some(adopted) if is_empty => Err(no_journal(config, adopted)),
        _ => Ok(()),
    }
}

fn no_journal(config: &Config, adopted: JournalId) -> anyhow::Error {
    let (place, setting) = (config.store(), setting_of_journal(config));
    anyhow::anyhow!(
        "{place} is empty, and the database belongs to the journal {adopted}; set {setting} to where it is, or restore \
         it from a backup"
    )
}

fn setting_of_journal(config: &Config) -> &'static str {
    match config.store().folder() {
        Some(_) if config.store.is_none() => "MUNEEM_DATA_DIR",
        _ => "MUNEEM_STORE",
    }
}

/// Refuses a journal that does not belong to this database: balances would be those of other people, or zero.
async fn check_journal(pool: &PgPool, store: &dyn EventStore, config: &Config) -> anyhow::Result<()> {
    let Some(adopted) = platform::journal::adopted(pool).await? else { return Ok(()) };
    let (place, setting) = (config.store(), setting_of_journal(config));
    let first = ledger_runtime::read_journal(store, 0, 1).await?;
    match first.first().map(|recorded| &recorded.event) {
        Some(Event::JournalOpened(opened)) if opened.journal == adopted => Ok(()),
        Some(_) => bail!(
            "{place} holds another journal than the database's, which is {adopted}; is {setting} right?"
        ),
        None => Err(no_journal(config, adopted)),
    }
}

async fn open_ledger(
    store: Arc<dyn EventStore>,
    config: &Config,
) -> anyhow::Result<(Ledger, tokio::task::JoinHandle<()>)> {
    let today = platform::clock::now().date_naive();
    let bar = Bar::count("replaying the journal");
    let opening = Opening {
        new_journal: JournalId(platform::entropy::uuid_v7()),
        // A developer's machine is often away for weeks. The date makes a forgotten setting harmless.
        clock_is_confirmed: config.mode == Mode::Development || config.clock_confirmed == Some(today),
        snapshots: config.snapshots(),
    };
    let opened = Ledger::open_with(store, Clock::System, opening, |done, total| bar.show(done, total)).await;
    bar.end();
    let (ledger, writer) = match opened {
        Err(gap @ OpenError::ClockGap { .. }) => bail!(
            "{gap}; if the clock is right, start once with MUNEEM_CLOCK_CONFIRMED={today}, else set the clock"
        ),
        opened => opened.context("the ledger cannot be opened")?,
    };
    info!(journal = %ledger.journal(), events = ledger.durable_revision() + 1, "the ledger is open");
    Ok((ledger, writer))
}

async fn razorpay(
    config: &Config,
    outbox: &OtpOutbox,
    address: SocketAddr,
    workers: &Workers,
) -> anyhow::Result<(Razorpay, Option<Dev>)> {
    let mut settings = integrations::razorpay::Config {
        base_url: config.razorpay_url.clone(),
        key_id: config.razorpay_key_id.clone(),
        key_secret: config.razorpay_key_secret.expose_secret().to_owned(),
        webhook_secrets: config
            .razorpay_webhook_secret
            .expose_secret()
            .split(',')
            .map(str::to_owned)
            .collect(),
    };
    let mut dev = None;
    if config.mode == Mode::Development {
        let (stand_in, serve) =
            LoopbackRazorpay::start(&settings.key_id, &settings.key_secret, &settings.webhook_secrets[0])
                .await?;
        workers.spawn(serve);
        settings.base_url = stand_in.base_url();
        stand_in.send_webhooks_to(format!("http://{address}/v1/webhooks/razorpay"));
        dev = Some(Dev { outbox: outbox.clone(), razorpay: stand_in });
    }
    Ok((Razorpay::new(settings)?, dev))
}

fn api_config(config: &Config) -> api::Config {
    let mut api = api::Config {
        cors_origins: config.cors_origins.clone(),
        hsts_seconds: config.hsts_seconds,
        trusted_proxies: config.trusted_proxies.clone(),
        requests_per_minute: config.requests_per_minute,
        only_health: !config.roles.api,
        ..api::Config::default()
    };
    if config.mode == Mode::Development {
        // In development all clients come from one machine, so they share one address.
        api.requests_per_minute = 0;
    }
    api
}

/// The only sender so far writes one-time passwords to the log. In production the operator has to ask for that.
fn otp_sender(config: &Config, outbox: OtpOutbox) -> anyhow::Result<OtpSender> {
    match (config.mode, config.otp_sender.as_str()) {
        (Mode::Development, "" | "console") | (Mode::Production, "console") => Ok(OtpSender::Console(outbox)),
        (Mode::Production, "") => bail!(
            "MUNEEM_OTP_SENDER is not set; `console`, the only one so far, writes one-time passwords to the log instead \
             of sending them"
        ),
        (_, other) => bail!("MUNEEM_OTP_SENDER is {other:?}; the only one so far is `console`"),
    }
}

/// In development tests and demos sign in over and over from one machine, so the limits are wide.
fn otp_limits(config: &Config) -> OtpConfig {
    match config.mode {
        Mode::Production => OtpConfig {
            per_phone_per_hour: config.otp_per_phone_per_hour,
            per_phone_per_day: config.otp_per_phone_per_day,
            strangers_per_phone_per_day: config.otp_strangers_per_phone_per_day,
            per_address_per_hour: config.otp_per_address_per_hour,
            wrong_codes_per_day: config.otp_wrong_per_day,
            ..OtpConfig::default()
        },
        Mode::Development => OtpConfig {
            resend_seconds: 0,
            per_phone_per_hour: 1_000,
            per_phone_per_day: 10_000,
            strangers_per_phone_per_day: 10_000,
            per_address_per_hour: 10_000,
            ..OtpConfig::default()
        },
    }
}

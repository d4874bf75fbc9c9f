//! A server of the same program for a measurement, on a database, a journal and Redis keys of its own.

use crate::config::{Config, Mode};
use crate::interrupt::stop_signal;
use crate::seed;
use crate::serve::Server;
use anyhow::Context;
use ledger_core::command::PostAdjustment;
use ledger_core::{Account, Actor, Command, GiftId, Key, PersonId};
use platform::app::App;
use platform::audit::Author;
use platform::clock;
use platform::entropy;
use platform::hosts::HostProfile;
use platform::identity::Phone;
use secrecy::ExposeSecret;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use std::net::SocketAddr;
use std::str::FromStr;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Coins that nobody spends in a run.
const PLENTY_MILLI: i64 = 1 << 42;

pub struct World {
    pub address: SocketAddr,
    pub app: App,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<anyhow::Result<()>>,
}

/// A person with an access token.
#[derive(Clone)]
pub struct SignedIn {
    pub person: PersonId,
    pub token: String,
}

/// Makes a world, measures in it, and removes it, after an error and Ctrl-C too.
///
/// # Errors
/// When the world cannot be made, and what the measurement fails with.
pub async fn within<T>(
    config: &Config,
    measure: impl AsyncFnOnce(&World) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    apart(config, async |place| {
        let world = World::start(config, &place.database, &place.folder, &place.name).await?;
        let outcome = until_interrupted(measure(&world)).await;
        world.end().await?;
        outcome
    })
    .await
}

/// The outcome of a measurement, or an error at Ctrl-C: what it has made is removed then too.
///
/// # Errors
/// What the measurement fails with.
pub async fn until_interrupted<T>(measurement: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::select! {
        outcome = measurement => outcome,
        () = stop_signal() => Err(anyhow::anyhow!("interrupted")),
    }
}

/// A database and a folder of a measurement's own.
pub struct Apart {
    pub database: PgConnectOptions,
    pub folder: TempDir,
    name: String,
}

/// Makes a database and a folder, works in them, and removes them, after an error too.
///
/// # Errors
/// When they cannot be made, and what the work fails with.
pub async fn apart<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Apart) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let folder = tempfile::Builder::new()
        .prefix("muneem-bench-")
        .tempdir()
        .context("no folder can be made for the journal; TMPDIR names another place")?;
    let name = format!("muneem_bench_{}", entropy::uuid_v7().simple());
    let server = PgConnectOptions::from_str(config.require_postgres()?)?;
    let mut admin =
        PgConnection::connect_with(&server).await.context("PostgreSQL cannot be reached at DATABASE_URL")?;
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut admin)
        .await
        .context("the measurement needs a database of its own, which this account may not create")?;
    let outcome = work(&Apart { database: server.database(&name), folder, name: name.clone() }).await;
    let dropped =
        sqlx::query(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).execute(&mut admin).await;
    let outcome = outcome?;
    dropped.with_context(|| format!("the database {name} is left behind"))?;
    Ok(outcome)
}

impl World {
    async fn start(
        config: &Config,
        database: &PgConnectOptions,
        data: &TempDir,
        name: &str,
    ) -> anyhow::Result<World> {
        let secret = || hex::encode(entropy::bytes::<32>());
        // As in production, with limits that are counted and never reached.
        let config = Config {
            mode: Mode::Production,
            listen: ([127, 0, 0, 1], 0).into(),
            database_url: database.to_url_lossy().to_string().into(),
            redis_url: config.redis_url.expose_secret().into(),
            data_dir: data.path().to_path_buf(),
            redis_prefix: format!("{name}:"),
            jwt_keys: format!("bench:{}", secret()).into(),
            phone_pepper: secret().into(),
            sealing_key: secret().into(),
            razorpay_key_id: "rzp_test_bench".to_owned(),
            razorpay_key_secret: secret().into(),
            razorpay_webhook_secret: secret().into(),
            otp_sender: "console".to_owned(),
            requests_per_minute: u32::MAX,
            max_connections_per_address: config.max_connections,
            sockets_per_address: config.max_connections,
            sockets_per_address_before_sign_in: config.max_connections,
            socket_frames_per_second: 1_000_000,
            ..config.clone()
        };
        let sockets = config.gateway();
        let server = Server::start(config, sockets).await?;
        let (address, app) = (server.address, server.app.clone());
        seed::complete(&app, clock::now()).await?;
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.run(stop.clone().cancelled_owned()));
        Ok(World { address, app, stop, serving })
    }

    async fn end(self) -> anyhow::Result<()> {
        let World { app, stop, serving, .. } = self;
        drop(app);
        stop.cancel();
        serving.await.context("the server's task failed")?
    }

    /// The number-th person, who has plenty of coins.
    pub async fn user(&self, number: u32) -> anyhow::Result<SignedIn> {
        let user = self.sign_in(number).await?;
        let coins = PostAdjustment {
            account: Account::UserPurchased(user.person),
            amount_milli: PLENTY_MILLI,
            reason: "measurement".to_owned(),
            note: None,
            settles: None,
        };
        let key = Key::Client(entropy::uuid_v7().into());
        self.app.commands.give_as(Actor::System, key, Command::from(coins)).await?;
        Ok(user)
    }

    pub async fn host(&self, number: u32) -> anyhow::Result<SignedIn> {
        let host = self.sign_in(number).await?;
        let profile = HostProfile {
            display_name: format!("Host {number}"),
            bio: String::new(),
            categories: vec!["chat".to_owned()],
            languages: vec!["hindi".to_owned()],
        };
        self.app.hosts.apply(host.person, &profile, clock::now()).await?;
        let admin = self.app.people.ensure(&phone(seed::ADMIN_PHONE)?, clock::now()).await?.id;
        self.app.hosts.approve(host.person, &Author::person(admin), clock::now()).await?;
        Ok(host)
    }

    /// The number-th person.
    pub async fn sign_in(&self, number: u32) -> anyhow::Result<SignedIn> {
        let phone = phone(&format!("+9198{:08}", number % 100_000_000))?;
        let person = self.app.people.ensure(&phone, clock::now()).await?.id;
        let pair = self.app.sessions.open(person, clock::now()).await?;
        Ok(SignedIn { person, token: pair.access_token })
    }

    /// A gift of the catalogue and its price.
    pub async fn gift(&self) -> anyhow::Result<(GiftId, i64)> {
        let card = self.app.gifts.list().await?.into_iter().next().context("the catalogue is empty")?;
        let gift = GiftId(card.id);
        let price = self.app.ledger.query(move |state, _| state.gift_price(gift)).await?;
        Ok((gift, price.context("the gift has no price")?))
    }
}

fn phone(number: &str) -> anyhow::Result<Phone> {
    Phone::from_str(number).map_err(|_| anyhow::anyhow!("{number} is no phone number"))
}

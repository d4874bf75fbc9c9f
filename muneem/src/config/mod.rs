//! Settings of a deployment: defaults, then `muneem.toml` where there is one, then the environment.

mod heads;
mod roles;
mod secrets;
mod table;
#[cfg(test)]
mod tests;

pub use heads::make_key;
pub use roles::Roles;

use anyhow::{Context, bail};
use axum::http::HeaderValue;
use chrono::NaiveDate;
use event_store::StoreAddress;
use ledger_runtime::Snapshots;
use platform::client_address::TrustedProxies;
use platform::identity::OtpConfig;
use platform::journal_heads::Destination;
use secrecy::{ExposeSecret, SecretString};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For a developer's machine: secrets are generated, one-time passwords go to an outbox, and Razorpay is a stand-in
    /// on a loopback port.
    Development,
    Production,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Every setting. In the environment the names are in capitals with `MUNEEM_` before them, but for
/// `DATABASE_URL` and `REDIS_URL`. What is secret, addresses with passwords too, is never printed.
#[derive(Clone, Debug)]
pub struct Config {
    pub mode: Mode,
    pub listen: SocketAddr,
    pub database_url: SecretString,
    pub redis_url: SecretString,
    /// The folder of the embedded store and, in development, of the generated secrets.
    pub data_dir: PathBuf,
    /// Where the journal is, if not in the embedded store of the data folder.
    pub store: Option<StoreAddress>,
    /// The file of the keys that sign heads of the journal. Nothing set: no head is signed; in development the keys of the
    /// data folder sign.
    pub heads_key: Option<PathBuf>,
    /// Where heads are published.
    pub heads_to: Vec<Destination>,
    /// How much time passes between two heads at the least.
    pub heads_every_seconds: u32,
    /// How many events there are between two snapshots of the state; 0 for none, and none is used then.
    pub snapshot_every: u32,
    /// What this node does, where several share a store.
    pub roles: Roles,
    /// Where other nodes reach this one, as `host:port`. Empty: it decides its own commands, and no others.
    pub node_address: String,
    /// The address at which the operator's commands reach the server.
    pub url: String,
    /// The prefix of every key in Redis.
    pub redis_prefix: String,
    /// `kid:hex,kid:hex`: the first signs access tokens, all verify them.
    pub jwt_keys: SecretString,
    /// 32 bytes in hex: the key of the hashes by which phone numbers are looked up.
    pub phone_pepper: SecretString,
    /// 32 bytes in hex: the key that encrypts phone numbers.
    pub sealing_key: SecretString,
    pub razorpay_url: String,
    pub razorpay_key_id: String,
    pub razorpay_key_secret: SecretString,
    /// Comma-separated: after a rotation the old one still signs retries for a day.
    pub razorpay_webhook_secret: SecretString,
    /// How one-time passwords reach phones: `console` writes them to the log.
    pub otp_sender: String,
    /// Origins of web pages that may call the API.
    pub cors_origins: Vec<HeaderValue>,
    /// The max-age of `Strict-Transport-Security`, in seconds; 0 sends no such header.
    pub hsts_seconds: u32,
    /// The most open connections, WebSockets included; fewer where the process may not open so many files.
    pub max_connections: u32,
    pub max_connections_per_address: u32,
    /// WebSocket connections of this server.
    pub sockets: u32,
    /// WebSocket connections of one client address.
    pub sockets_per_address: u32,
    /// Those of one address that have not signed in yet.
    pub sockets_per_address_before_sign_in: u32,
    /// WebSocket connections of one person.
    pub sockets_per_person: u32,
    /// Frames that one WebSocket connection may send in a second.
    pub socket_frames_per_second: u32,
    /// How long a connection may take to send the head of a request, or be open without sending one.
    pub header_timeout_seconds: u32,
    /// A connection without any traffic for this long is closed.
    pub idle_timeout_seconds: u32,
    /// Today's date. Confirms that the clock is right although the journal's last event is more than a week old.
    pub clock_confirmed: Option<NaiveDate>,
    /// The proxies before the server, whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: TrustedProxies,
    /// Requests that one client address may make in a minute; 0 for no limit.
    pub requests_per_minute: u32,
    /// How often one person may refresh their tokens in an hour.
    pub refreshes_per_hour: u32,
    /// One-time passwords for one phone, that one requester may ask for.
    pub otp_per_phone_per_hour: u32,
    pub otp_per_phone_per_day: u32,
    /// One-time passwords for one phone, for all requesters without a device of its owner.
    pub otp_strangers_per_phone_per_day: u32,
    /// One-time passwords that one client address may ask for, over all phones.
    pub otp_per_address_per_hour: u32,
    /// Wrong one-time passwords for one phone.
    pub otp_wrong_per_day: u32,
    /// The most connections to Postgres.
    pub database_connections: u32,
    pub log_format: LogFormat,
    /// The collector that traces are sent to by OTLP over HTTP. Empty: no traces are sent.
    pub otlp_endpoint: String,
}

impl Default for Config {
    fn default() -> Self {
        let unset = || SecretString::from("");
        let otp = OtpConfig::default();
        Config {
            mode: Mode::Production,
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            database_url: unset(),
            redis_url: unset(),
            data_dir: PathBuf::from("data"),
            store: None,
            heads_key: None,
            heads_to: Vec::new(),
            heads_every_seconds: 300,
            snapshot_every: 1_000_000,
            roles: Roles::ALL,
            node_address: String::new(),
            url: "http://127.0.0.1:8080".to_owned(),
            redis_prefix: "muneem:".to_owned(),
            jwt_keys: unset(),
            phone_pepper: unset(),
            sealing_key: unset(),
            razorpay_url: integrations::razorpay::BASE_URL.to_owned(),
            razorpay_key_id: String::new(),
            razorpay_key_secret: unset(),
            razorpay_webhook_secret: unset(),
            otp_sender: String::new(),
            cors_origins: Vec::new(),
            hsts_seconds: 0,
            max_connections: 20_000,
            max_connections_per_address: 1_000,
            sockets: 10_000,
            sockets_per_address: 1_000,
            sockets_per_address_before_sign_in: 100,
            sockets_per_person: 8,
            socket_frames_per_second: 30,
            header_timeout_seconds: 30,
            idle_timeout_seconds: 75,
            clock_confirmed: None,
            trusted_proxies: TrustedProxies::default(),
            requests_per_minute: 1_200,
            refreshes_per_hour: 240,
            otp_per_phone_per_hour: otp.per_phone_per_hour,
            otp_per_phone_per_day: otp.per_phone_per_day,
            otp_strangers_per_phone_per_day: otp.strangers_per_phone_per_day,
            otp_per_address_per_hour: otp.per_address_per_hour,
            otp_wrong_per_day: otp.wrong_codes_per_day,
            database_connections: 20,
            log_format: LogFormat::Text,
            otlp_endpoint: String::new(),
        }
    }
}

impl Config {
    /// Reads the settings from `muneem.toml` in the working folder and from the environment.
    ///
    /// # Errors
    /// When a setting is unknown or its value is invalid; the text names each of them, with an example.
    pub fn load() -> anyhow::Result<Config> {
        let file = match std::fs::read_to_string(table::FILE) {
            Ok(text) => Some(text),
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => None,
            Err(fault) => return Err(fault).context("muneem.toml cannot be read"),
        };
        Config::read(file.as_deref(), std::env::vars_os())
    }

    /// Reads the settings from the text of a `muneem.toml` and from variables.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn read(
        file: Option<&str>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> anyhow::Result<Config> {
        let mut config = Config::default();
        let mut faults = Vec::new();
        if let Some(text) = file {
            table::apply_file(&mut config, text, &mut faults);
        }
        table::apply_variables(&mut config, variables, &mut faults);
        match faults.as_slice() {
            [] => Ok(config),
            [one] => bail!("{one}"),
            many => bail!("{} settings are no good:\n  {}", many.len(), many.join("\n  ")),
        }
    }

    /// The snapshots of the state, in the data folder, wherever the journal is.
    pub fn snapshots(&self) -> Option<Snapshots> {
        let folder = self.data_dir.join("snapshots");
        (self.snapshot_every > 0).then(|| Snapshots::new(folder, self.snapshot_every.into()))
    }

    /// The bounds of the WebSocket gateway.
    pub fn gateway(&self) -> websocket_gateway::Config {
        websocket_gateway::Config {
            max_connections: self.sockets,
            trusted_proxies: self.trusted_proxies.clone(),
            max_per_address: self.sockets_per_address,
            max_per_address_before_sign_in: self.sockets_per_address_before_sign_in,
            max_per_person: self.sockets_per_person,
            requests_per_second: self.socket_frames_per_second,
            ..websocket_gateway::Config::default()
        }
    }

    /// Where the journal is.
    pub fn store(&self) -> StoreAddress {
        self.store.clone().unwrap_or_else(|| StoreAddress::Embedded(self.journal_dir()))
    }

    /// The folder of the embedded store, unless another store is set.
    pub fn journal_dir(&self) -> PathBuf {
        self.data_dir.join("journal")
    }

    /// Checks the settings that `serve` and the operator's commands need.
    ///
    /// # Errors
    /// Names the missing setting and what to do.
    pub fn require_postgres(&self) -> anyhow::Result<&str> {
        match self.database_url.expose_secret() {
            "" => bail!(
                "DATABASE_URL is not set, such as postgres://muneem:password@127.0.0.1/muneem; `make run` starts a \
                 database of its own, `make verify` and the like use it"
            ),
            url => Ok(url),
        }
    }

    /// # Errors
    /// Names the missing setting.
    pub fn require_redis(&self) -> anyhow::Result<&str> {
        match self.redis_url.expose_secret() {
            "" => bail!(
                "REDIS_URL is not set, such as redis://:password@127.0.0.1:6379/0; `make run` starts a Redis of its own"
            ),
            url => Ok(url),
        }
    }

    /// Checks what must hold before anything is served.
    ///
    /// # Errors
    /// In development mode, when others than this machine could reach the server: it shows one-time passwords.
    pub fn check_exposure(&self) -> anyhow::Result<()> {
        if self.mode == Mode::Development && !self.listen.ip().is_loopback() {
            bail!(
                "MUNEEM_LISTEN is {}: development mode shows one-time passwords to everybody who can reach it, so it \
                 listens on this machine alone, for example on 127.0.0.1:8080; otherwise set MUNEEM_MODE=production",
                self.listen
            );
        }
        Ok(())
    }

    /// A journal in a folder is of one node alone, which has no others to reach.
    ///
    /// # Errors
    /// When the address of a node is set beside it.
    pub fn check_node_address(&self) -> anyhow::Result<()> {
        let store = self.store();
        if !self.node_address.is_empty() && !store.is_shared() {
            bail!("MUNEEM_NODE_ADDRESS is set, and {store} is of one node alone; leave it unset");
        }
        Ok(())
    }
}

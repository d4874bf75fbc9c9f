//! Settings of a deployment: defaults, then `muneem.toml` where there is one, then the environment.

use anyhow::{Context, bail};
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// For one machine: secrets are made up, codes go to an outbox, Razorpay is a stand-in on loopback.
    Development,
    Production,
}

/// Every setting. In the environment the names are in capitals with `MUNEEM_` before them, but for
/// `DATABASE_URL` and `REDIS_URL`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub mode: Mode,
    pub listen: SocketAddr,
    pub database_url: String,
    pub redis_url: String,
    /// The folder of the journal and, in development, of the secrets that were made up.
    pub data_dir: PathBuf,
    /// Where the operator's commands find the server.
    pub url: String,
    /// Begins every key in Redis.
    pub redis_prefix: String,
    /// `kid:hex,kid:hex`: the first signs access tokens, all verify them.
    pub jwt_keys: String,
    /// 32 bytes in hex: keys the hashes that phone numbers are found by.
    pub phone_pepper: String,
    /// 32 bytes in hex: seals phone numbers.
    pub sealing_key: String,
    pub razorpay_url: String,
    pub razorpay_key_id: String,
    pub razorpay_key_secret: String,
    /// Comma-separated: after a rotation the old one still signs retries for a day.
    pub razorpay_webhook_secret: String,
    /// How one-time passwords reach phones: `console` writes them to the log.
    pub otp_sender: String,
    /// Comma-separated origins of web pages that may call the API.
    pub cors_origins: String,
    /// Today's date, such as `2026-11-26`, where the journal's last event is more than a week ago and
    /// the clock is right all the same.
    pub clock_confirmed: String,
    /// Connections to Postgres at the most.
    pub database_connections: u32,
    /// `text` or `json`.
    pub log_format: String,
    /// Where traces go by OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`; nowhere when empty.
    pub otlp_endpoint: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            mode: Mode::Production,
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            database_url: String::new(),
            redis_url: String::new(),
            data_dir: PathBuf::from("data"),
            url: "http://127.0.0.1:8080".to_owned(),
            redis_prefix: "muneem:".to_owned(),
            jwt_keys: String::new(),
            phone_pepper: String::new(),
            sealing_key: String::new(),
            razorpay_url: integrations::razorpay::BASE_URL.to_owned(),
            razorpay_key_id: String::new(),
            razorpay_key_secret: String::new(),
            razorpay_webhook_secret: String::new(),
            otp_sender: String::new(),
            cors_origins: String::new(),
            clock_confirmed: String::new(),
            database_connections: 20,
            log_format: "text".to_owned(),
            otlp_endpoint: String::new(),
        }
    }
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// When one cannot be read; the text names it.
    pub fn load() -> anyhow::Result<Config> {
        let config: Config = Figment::from(Serialized::defaults(Config::default()))
            .merge(Toml::file("muneem.toml"))
            .merge(Env::raw().only(&["DATABASE_URL", "REDIS_URL"]))
            .merge(Env::prefixed("MUNEEM_").filter(|name| Config::knows(name.as_str())))
            .extract()
            .map_err(|fault| anyhow::anyhow!("a setting cannot be read: {fault}"))?;
        Ok(config)
    }

    /// Other programs' settings may begin with `MUNEEM_` too, those of the scripts for example.
    fn knows(name: &str) -> bool {
        let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
        defaults.get(name.to_lowercase()).is_some()
    }

    pub fn journal_dir(&self) -> PathBuf {
        self.data_dir.join("journal")
    }

    /// What `serve` and the operator's commands cannot do without.
    ///
    /// # Errors
    /// Names the missing setting and the mend.
    pub fn require_postgres(&self) -> anyhow::Result<&str> {
        if self.database_url.is_empty() {
            bail!(
                "DATABASE_URL is not set; `make run` starts a database of its own, `make verify` and the like use it"
            );
        }
        Ok(&self.database_url)
    }

    /// # Errors
    /// Names the missing setting.
    pub fn require_redis(&self) -> anyhow::Result<&str> {
        if self.redis_url.is_empty() {
            bail!("REDIS_URL is not set; `make run` starts a Redis of its own");
        }
        Ok(&self.redis_url)
    }

    /// Fills in what development makes up, kept in the data folder so that a restart finds it again.
    ///
    /// # Errors
    /// In production, when a secret is missing.
    pub fn with_secrets(mut self) -> anyhow::Result<Config> {
        let made_up = match self.mode {
            Mode::Production => None,
            Mode::Development => Some(DevelopmentSecrets::load_or_make(&self.data_dir)?),
        };
        type MakeUp = fn(&DevelopmentSecrets) -> String;
        let wanted: [(&str, &mut String, MakeUp); 6] = [
            ("MUNEEM_JWT_KEYS", &mut self.jwt_keys, |it| format!("dev:{}", it.jwt_key)),
            ("MUNEEM_PHONE_PEPPER", &mut self.phone_pepper, |it| it.phone_pepper.clone()),
            ("MUNEEM_SEALING_KEY", &mut self.sealing_key, |it| it.sealing_key.clone()),
            ("MUNEEM_RAZORPAY_KEY_ID", &mut self.razorpay_key_id, |_| "rzp_test_development".to_owned()),
            ("MUNEEM_RAZORPAY_KEY_SECRET", &mut self.razorpay_key_secret, |it| {
                it.razorpay_key_secret.clone()
            }),
            ("MUNEEM_RAZORPAY_WEBHOOK_SECRET", &mut self.razorpay_webhook_secret, |it| {
                it.razorpay_webhook_secret.clone()
            }),
        ];
        for (name, value, make_up) in wanted {
            match &made_up {
                _ if !value.is_empty() => {}
                Some(secrets) => *value = make_up(secrets),
                None => bail!(
                    "{name} is not set; in production every secret is given (docs/operations.md has the list)"
                ),
            }
        }
        Ok(self)
    }

    /// The keys of access tokens.
    ///
    /// # Errors
    /// When the setting is not `kid:hex,...`.
    pub fn jwt_keys(&self) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        let key = |part: &str| -> anyhow::Result<(String, Vec<u8>)> {
            let (kid, secret) = part.split_once(':').context("MUNEEM_JWT_KEYS is written kid:hex,kid:hex")?;
            Ok((kid.to_owned(), hex::decode(secret).context("MUNEEM_JWT_KEYS holds a key that is not hex")?))
        };
        self.jwt_keys.split(',').map(key).collect()
    }

    /// # Errors
    /// When a key is not 32 bytes in hex.
    pub fn phone_keys(&self) -> anyhow::Result<([u8; 32], [u8; 32])> {
        Ok((
            key_32("MUNEEM_PHONE_PEPPER", &self.phone_pepper)?,
            key_32("MUNEEM_SEALING_KEY", &self.sealing_key)?,
        ))
    }
}

fn key_32(name: &str, text: &str) -> anyhow::Result<[u8; 32]> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.with_context(|| format!("{name} is not 32 bytes in hex; make one: openssl rand -hex 32"))
}

#[derive(Serialize, Deserialize)]
struct DevelopmentSecrets {
    jwt_key: String,
    phone_pepper: String,
    sealing_key: String,
    razorpay_key_secret: String,
    razorpay_webhook_secret: String,
}

impl DevelopmentSecrets {
    fn load_or_make(data_dir: &Path) -> anyhow::Result<DevelopmentSecrets> {
        let path = data_dir.join("development-secrets.json");
        if let Ok(text) = std::fs::read_to_string(&path) {
            return serde_json::from_str(&text).with_context(|| {
                format!("{} is damaged; remove it with all data: make clean-data", path.display())
            });
        }
        let secret = || hex::encode(platform::entropy::bytes::<32>());
        let secrets = DevelopmentSecrets {
            jwt_key: secret(),
            phone_pepper: secret(),
            sealing_key: secret(),
            razorpay_key_secret: secret(),
            razorpay_webhook_secret: secret(),
        };
        std::fs::create_dir_all(data_dir)
            .with_context(|| format!("the data folder {} cannot be made", data_dir.display()))?;
        write_private(&path, &serde_json::to_string_pretty(&secrets)?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(secrets)
    }
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

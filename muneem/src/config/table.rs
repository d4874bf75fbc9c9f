//! The settings by name, with an example of each and how its text is parsed.

use super::{Config, LogFormat, Mode};
use anyhow::{Context, bail, ensure};
use axum::http::HeaderValue;
use event_store::StoreAddress;
use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

pub const FILE: &str = "muneem.toml";
const PREFIX: &str = "MUNEEM_";
/// Settings whose names other programs use too.
const WITHOUT_PREFIX: [&str; 2] = ["database_url", "redis_url"];
/// Settings of the scripts, which the program ignores.
const OF_SCRIPTS: [&str; 2] = ["MUNEEM_POSTGRES_PORT", "MUNEEM_REDIS_PORT"];
/// A name that differs by more letters is not taken for a misspelling.
const NEAR: f64 = 0.75;

pub struct Setting {
    pub name: &'static str,
    pub example: &'static str,
    pub secret: bool,
    set: fn(&mut Config, &str) -> anyhow::Result<()>,
}

/// Each with an example of its value; those in `secret` are never quoted.
pub const SETTINGS: [Setting; 45] = [
    open("mode", "production", |it, text| put(&mut it.mode, mode(text))),
    open("listen", "127.0.0.1:8080", |it, text| put(&mut it.listen, parsed(text, "an address and a port"))),
    secret("database_url", "postgres://muneem:password@127.0.0.1/muneem", |it, text| {
        let postgres = text.starts_with("postgres://") || text.starts_with("postgresql://");
        ensure!(
            postgres && PgConnectOptions::from_str(text).is_ok(),
            "is not the address of a PostgreSQL database"
        );
        put(&mut it.database_url, hidden(text))
    }),
    secret("redis_url", "redis://:password@127.0.0.1:6379/0", |it, text| {
        redis::parse_redis_url(text).context("is not the address of a Redis")?;
        put(&mut it.redis_url, hidden(text))
    }),
    open("data_dir", "/var/lib/muneem", |it, text| put(&mut it.data_dir, Ok(text.into()))),
    secret("store", "postgres://muneem:password@127.0.0.1/muneem", |it, text| {
        put(&mut it.store, store(text).map(Some))
    }),
    // Whoever takes it for the key itself must not find that in a log.
    secret("heads_key", "/run/secrets/heads.key", |it, text| {
        put(&mut it.heads_key, key_file(text).map(Some))
    }),
    // The address of a webhook may hold a token.
    secret("heads_to", "/mnt/heads,https://keeper.example/heads", |it, text| {
        let places = text.split(',').map(|place| place.trim().parse().map_err(anyhow::Error::msg));
        put(&mut it.heads_to, places.collect())
    }),
    open("heads_every_seconds", "300", |it, text| put(&mut it.heads_every_seconds, number(text, 1, 86_400))),
    open("snapshot_every", "1000000", |it, text| put(&mut it.snapshot_every, number(text, 0, 1_000_000_000))),
    open("roles", "api,gateway,projector,metering", |it, text| {
        put(&mut it.roles, text.parse().map_err(anyhow::Error::msg))
    }),
    open("node_address", "10.0.0.5:8081", |it, text| put(&mut it.node_address, host_and_port(text))),
    open("url", "http://127.0.0.1:8080", |it, text| put(&mut it.url, web_address(text))),
    open("redis_prefix", "muneem:", |it, text| put(&mut it.redis_prefix, visible(text, 64))),
    secret("jwt_keys", "2026a:<64 hex digits>,2025b:<64 hex digits>", |it, text| {
        super::secrets::signing_keys(text)?;
        put(&mut it.jwt_keys, hidden(text))
    }),
    secret("phone_pepper", "<64 hex digits, from: openssl rand -hex 32>", |it, text| {
        super::secrets::key_32(text)?;
        put(&mut it.phone_pepper, hidden(text))
    }),
    secret("sealing_key", "<64 hex digits, from: openssl rand -hex 32>", |it, text| {
        super::secrets::key_32(text)?;
        put(&mut it.sealing_key, hidden(text))
    }),
    open("razorpay_url", "https://api.razorpay.com/v1", |it, text| {
        put(&mut it.razorpay_url, web_address(text))
    }),
    open("razorpay_key_id", "rzp_live_AbCdEf123456", |it, text| {
        put(&mut it.razorpay_key_id, visible(text, 64))
    }),
    secret("razorpay_key_secret", "<as the gateway's panel shows it>", |it, text| {
        put(&mut it.razorpay_key_secret, hidden(text))
    }),
    secret("razorpay_webhook_secret", "<new secret>,<old secret>", |it, text| {
        put(&mut it.razorpay_webhook_secret, hidden(text))
    }),
    open("otp_sender", "console", |it, text| {
        ensure!(text == "console", "is no sender; the only one so far is console");
        put(&mut it.otp_sender, Ok(text.to_owned()))
    }),
    open("cors_origins", "https://app.example,https://admin.example", |it, text| {
        put(&mut it.cors_origins, text.split(',').map(|part| origin(part.trim())).collect())
    }),
    open("hsts_seconds", "31536000", |it, text| put(&mut it.hsts_seconds, number(text, 0, 126_144_000))),
    open("max_connections", "20000", |it, text| put(&mut it.max_connections, number(text, 1, 1_000_000))),
    open("max_connections_per_address", "1000", |it, text| {
        put(&mut it.max_connections_per_address, number(text, 1, 1_000_000))
    }),
    open("sockets", "10000", |it, text| put(&mut it.sockets, number(text, 1, 1_000_000))),
    open("sockets_per_address", "1000", |it, text| {
        put(&mut it.sockets_per_address, number(text, 1, 1_000_000))
    }),
    open("sockets_per_address_before_sign_in", "100", |it, text| {
        put(&mut it.sockets_per_address_before_sign_in, number(text, 1, 1_000_000))
    }),
    open("sockets_per_person", "8", |it, text| put(&mut it.sockets_per_person, number(text, 1, 1_000))),
    open("socket_frames_per_second", "30", |it, text| {
        put(&mut it.socket_frames_per_second, number(text, 1, 1_000_000))
    }),
    open("header_timeout_seconds", "30", |it, text| {
        put(&mut it.header_timeout_seconds, number(text, 1, 300))
    }),
    open("idle_timeout_seconds", "75", |it, text| {
        // A request may be worked on for fifteen seconds before its answer is written.
        put(&mut it.idle_timeout_seconds, number(text, 20, 3_600))
    }),
    open("clock_confirmed", "2026-11-26", |it, text| {
        put(&mut it.clock_confirmed, parsed(text, "a date").map(Some))
    }),
    open("trusted_proxies", "10.0.0.0/8,fd00::/8", |it, text| {
        put(&mut it.trusted_proxies, parsed(text, "a list of networks such as 10.0.0.0/8"))
    }),
    open("requests_per_minute", "1200", |it, text| {
        put(&mut it.requests_per_minute, number(text, 0, 1_000_000))
    }),
    open("refreshes_per_hour", "240", |it, text| {
        // A device needs four.
        put(&mut it.refreshes_per_hour, number(text, 4, 100_000))
    }),
    open("otp_per_phone_per_hour", "5", |it, text| {
        put(&mut it.otp_per_phone_per_hour, number(text, 1, 10_000))
    }),
    open("otp_per_phone_per_day", "10", |it, text| {
        put(&mut it.otp_per_phone_per_day, number(text, 1, 10_000))
    }),
    open("otp_strangers_per_phone_per_day", "20", |it, text| {
        put(&mut it.otp_strangers_per_phone_per_day, number(text, 1, 10_000))
    }),
    open("otp_per_address_per_hour", "20", |it, text| {
        put(&mut it.otp_per_address_per_hour, number(text, 1, 100_000))
    }),
    open("otp_wrong_per_day", "30", |it, text| put(&mut it.otp_wrong_per_day, number(text, 1, 1_000))),
    open("database_connections", "20", |it, text| put(&mut it.database_connections, number(text, 2, 1_000))),
    open("log_format", "json", |it, text| put(&mut it.log_format, log_format(text))),
    open("otlp_endpoint", "http://127.0.0.1:4318/v1/traces", |it, text| {
        put(&mut it.otlp_endpoint, web_address(text))
    }),
];

type Set = fn(&mut Config, &str) -> anyhow::Result<()>;

const fn open(name: &'static str, example: &'static str, set: Set) -> Setting {
    Setting { name, example, secret: false, set }
}

const fn secret(name: &'static str, example: &'static str, set: Set) -> Setting {
    Setting { name, example, secret: true, set }
}

impl Setting {
    /// Its name in the environment.
    pub fn variable(&self) -> String {
        let capitals = self.name.to_uppercase();
        if WITHOUT_PREFIX.contains(&self.name) { capitals } else { format!("{PREFIX}{capitals}") }
    }

    /// Parses the text of the setting. An empty text leaves it unset.
    fn apply(&self, config: &mut Config, place: &str, text: &str, faults: &mut Vec<String>) {
        if text.is_empty() {
            return;
        }
        if let Err(fault) = (self.set)(config, text) {
            let value = if self.secret { String::new() } else { format!("{text:?} ") };
            faults.push(format!("{place}: {value}{fault}; for example {}", self.example));
        }
    }
}

/// Applies the settings of a `muneem.toml`.
pub fn apply_file(config: &mut Config, text: &str, faults: &mut Vec<String>) {
    let table = match text.parse::<toml::Table>() {
        Ok(table) => table,
        Err(fault) => {
            // The library's own message quotes the line, which may hold a secret.
            let line =
                fault.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
            return faults.push(format!("{FILE} is no TOML: {} (line {line})", fault.message()));
        }
    };
    for (name, value) in table {
        let place = format!("{name} in {FILE}");
        let Some(setting) = SETTINGS.iter().find(|it| it.name == name) else {
            faults.push(unknown(&place, &name, SETTINGS.iter().map(|it| it.name.to_owned())));
            continue;
        };
        match value {
            toml::Value::String(text) => setting.apply(config, &place, &text, faults),
            // TOML drops the spelling of numbers, and every character of a secret counts.
            toml::Value::Integer(number) if !setting.secret => {
                setting.apply(config, &place, &number.to_string(), faults);
            }
            _ => faults
                .push(format!("{place}: the value must stand in quotes; for example {:?}", setting.example)),
        }
    }
}

/// Applies the settings of the environment.
pub fn apply_variables(
    config: &mut Config,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    faults: &mut Vec<String>,
) {
    let mut known: Vec<(String, OsString)> = Vec::new();
    for (name, value) in variables {
        let Ok(name) = name.into_string() else { continue };
        if name.starts_with(PREFIX) || SETTINGS.iter().any(|it| it.variable() == name) {
            known.push((name, value));
        }
    }
    // In a fixed order, so that the same environment is always answered by the same text.
    known.sort();
    for (name, value) in known {
        let setting = SETTINGS.iter().find(|it| it.variable() == name);
        match (setting, value.into_string()) {
            (Some(setting), Ok(text)) => setting.apply(config, &name, &text, faults),
            (Some(setting), Err(_)) => {
                faults.push(format!("{name}: the value is no text; for example {}", setting.example));
            }
            (None, _) if OF_SCRIPTS.contains(&name.as_str()) => {}
            (None, _) => faults.push(unknown(&name, &name, SETTINGS.iter().map(Setting::variable))),
        }
    }
}

fn unknown(place: &str, name: &str, known: impl Iterator<Item = String>) -> String {
    let near = known.map(|it| (strsim::jaro_winkler(&it, name), it)).max_by(|a, b| a.0.total_cmp(&b.0));
    match near.filter(|(likeness, _)| *likeness >= NEAR) {
        Some((_, near)) => format!("{place}: there is no such setting; is {near} meant?"),
        None => format!("{place}: there is no such setting; docs/operations.md lists them"),
    }
}

fn put<T>(place: &mut T, value: anyhow::Result<T>) -> anyhow::Result<()> {
    *place = value?;
    Ok(())
}

fn hidden(text: &str) -> anyhow::Result<SecretString> {
    Ok(SecretString::from(text))
}

fn store(text: &str) -> anyhow::Result<StoreAddress> {
    match text.parse().map_err(anyhow::Error::msg)? {
        StoreAddress::Memory => {
            bail!("memory: keeps nothing; it can be measured by `muneem store check` only")
        }
        address => Ok(address),
    }
}

fn mode(text: &str) -> anyhow::Result<Mode> {
    match text {
        "development" => Ok(Mode::Development),
        "production" => Ok(Mode::Production),
        _ => bail!("must be development or production"),
    }
}

fn log_format(text: &str) -> anyhow::Result<LogFormat> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => bail!("must be text or json"),
    }
}

fn parsed<T: FromStr>(text: &str, what: &str) -> anyhow::Result<T> {
    text.parse().ok().with_context(|| format!("is not {what}"))
}

fn number(text: &str, least: u32, most: u32) -> anyhow::Result<u32> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.with_context(|| format!("must be a number from {least} to {most}"))
}

fn visible(text: &str, longest: usize) -> anyhow::Result<String> {
    let fits = text.len() <= longest && text.bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(fits, "must be up to {longest} letters, digits and signs, without spaces");
    Ok(text.to_owned())
}

fn host_and_port(text: &str) -> anyhow::Result<String> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let fits = parts.is_some_and(|(host, port)| !host.is_empty() && port > 0);
    ensure!(fits, "is not a host and a port");
    visible(text, 255)
}

fn key_file(text: &str) -> anyhow::Result<PathBuf> {
    let is_key = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure!(
        !text.split(|it: char| !it.is_ascii_alphanumeric()).any(is_key),
        "must be the path of a file of keys, not a key: make one with muneem keygen"
    );
    Ok(text.into())
}

fn web_address(text: &str) -> anyhow::Result<String> {
    let url = reqwest::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.context("is not an http or https address")?;
    ensure!(url.username().is_empty() && url.password().is_none(), "must not hold a user name or a password");
    ensure!(!text.ends_with('/'), "must not end with a slash");
    Ok(text.to_owned())
}

/// A scheme and a host, as browsers send them: nothing behind the port.
fn origin(text: &str) -> anyhow::Result<HeaderValue> {
    let url = web_address(text).ok().and_then(|text| reqwest::Url::parse(&text).ok());
    let url = url.filter(|url| url.origin().ascii_serialization() == text);
    url.context("must list origins, without paths")?;
    HeaderValue::from_str(text).context("must list origins")
}

//! `muneem doctor`: is everything there that a server needs, and if not, the mend.

use super::open_journal;
use crate::config::{Config, Mode};
use crate::room::{Growth, WARN_BELOW, in_words};
use crate::serve::{connect_postgres, connect_redis};
use clap::Args;
use comfy_table::Table;
use event_store::EmbeddedReader;
use platform::disk::Room;
use platform::journal_heads::StoredTree;
use serde::Serialize;
use std::process::ExitCode;

/// Below this a journal and a database soon have no room.
const LEAST_FREE_BYTES: u64 = 1 << 30;
/// A clock that differs from the database's by more is wrong on one of them.
const CLOCK_SKEW_MS: i64 = 2_000;

#[derive(Args)]
pub struct DoctorOptions {
    /// The findings as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
    /// What was seen, or what to do.
    says: String,
}

/// Exits 1 when something is amiss.
///
/// # Errors
/// When the findings cannot be printed.
pub async fn doctor(config: &Config, options: &DoctorOptions) -> anyhow::Result<ExitCode> {
    let (postgres, clock) = postgres_and_clock(config).await;
    let findings = vec![
        settings(config),
        postgres,
        clock,
        redis(config).await,
        journal(config).await,
        heads(config).await,
        disk(config),
    ];
    let findings = findings.into_iter().chain(growth(config).await).collect::<Vec<_>>();
    if options.json {
        crate::out!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        let mut table = Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        for finding in &findings {
            table.add_row([if finding.ok { "ok" } else { "AMISS" }, finding.what, &finding.says]);
        }
        crate::out!("{table}");
    }
    Ok(if findings.iter().all(|it| it.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn finding(what: &'static str, outcome: Result<String, String>) -> Finding {
    let ok = outcome.is_ok();
    Finding { what, ok, says: outcome.unwrap_or_else(|mend| mend) }
}

fn settings(config: &Config) -> Finding {
    // Whoever looks must leave nothing behind: a folder or secrets made here, perhaps as root, would be
    // in the way of the server's own account.
    if config.mode == Mode::Development && !config.has_development_secrets() {
        let says = "development: the server's first start makes up the secrets, Razorpay is a stand-in";
        return finding("settings", Ok(says.to_owned()));
    }
    let checked = config
        .check_exposure()
        .and_then(|()| config.check_node_address())
        .and_then(|()| config.clone().with_secrets())
        .map(drop);
    let mode = match config.mode {
        Mode::Development => "development: secrets are made up, Razorpay is a stand-in",
        Mode::Production => "production",
    };
    finding("settings", checked.map(|()| mode.to_owned()).map_err(|fault| format!("{fault:#}")))
}

async fn postgres_and_clock(config: &Config) -> (Finding, Finding) {
    let asked = async {
        let pool = connect_postgres(config).await?;
        let row: (String, chrono::DateTime<chrono::Utc>) =
            sqlx::query_as("SELECT current_setting('server_version'), clock_timestamp()")
                .fetch_one(&pool)
                .await?;
        anyhow::Ok(row)
    };
    match asked.await {
        Ok((version, theirs)) => {
            let skew = (platform::clock::now() - theirs).num_milliseconds();
            let clock = match skew.abs() {
                ..=CLOCK_SKEW_MS => Ok(format!("within {CLOCK_SKEW_MS} ms of the database's")),
                _ => Err(format!("{skew} ms off the database's; set both by NTP")),
            };
            (finding("PostgreSQL", Ok(format!("version {version}"))), finding("clock", clock))
        }
        Err(fault) => (
            finding("PostgreSQL", Err(format!("{fault:#}; start it, or set DATABASE_URL to where it runs"))),
            finding("clock", Err("cannot be compared without the database".to_owned())),
        ),
    }
}

async fn redis(config: &Config) -> Finding {
    let asked = async {
        let mut redis = connect_redis(config).await?;
        let pong: String = redis::cmd("PING").query_async(&mut redis).await?;
        anyhow::Ok(pong)
    };
    let mend = |fault| format!("{fault:#}; start it, or set REDIS_URL to where it runs");
    finding("Redis", asked.await.map_err(mend))
}

async fn journal(config: &Config) -> Finding {
    let asked = async {
        let store = open_journal(config).await?;
        let head = store.head().await?;
        anyhow::Ok(format!("{} events in {}", head.map_or(0, |head| head + 1), config.store()))
    };
    finding("journal", asked.await.map_err(|fault| format!("{fault:#}")))
}

/// The public keys of heads, and how far the journal is signed and published.
async fn heads(config: &Config) -> Finding {
    let asked = async {
        let keys = config.signing_keys()?;
        let store = open_journal(config).await?;
        let Some(journal) = super::journal_id(store.as_ref()).await? else {
            return Ok("there is no journal yet".to_owned());
        };
        let pool = connect_postgres(config).await?;
        let is_there: bool =
            sqlx::query_scalar("SELECT to_regclass('app.journal_tree') IS NOT NULL").fetch_one(&pool).await?;
        if !is_there {
            return Ok("the server has not been started by this program yet".to_owned());
        }
        let tree = StoredTree::read(&pool, journal).await?;
        let (size, unpublished): (Option<i64>, i64) = sqlx::query_as(
            "SELECT max(size) FILTER (WHERE history = $1), count(*) FILTER (WHERE published_at IS NULL)
             FROM app.journal_heads",
        )
        .bind(tree.history.cast_signed())
        .fetch_one(&pool)
        .await?;
        let events = store.head().await?.map_or(0, |head| head + 1);
        anyhow::ensure!(
            tree.size <= events,
            "the journal has {events} events, and the signed history has {}: see \"Tamper evidence\" in docs/operations.md",
            tree.size
        );
        let signed = format!("{} of {} leaves are signed", size.unwrap_or(0), tree.size);
        let published = match (config.heads_to().len(), unpublished) {
            (0, _) => "published nowhere: set MUNEEM_HEADS_TO".to_owned(),
            (_, unpublished) => format!("{unpublished} heads wait to be published"),
        };
        anyhow::Ok(match keys {
            None => "no head of the journal is signed; to have them: muneem keygen, and MUNEEM_HEADS_KEY"
                .to_owned(),
            Some(keys) => format!(
                "{signed}; {published}; the public key is {}",
                keys.verifier_keys(&tree.origin).join(" and ")
            ),
        })
    };
    finding("heads", asked.await.map_err(|fault| format!("{fault:#}")))
}

/// When the journal's disk is full; nothing where there is no journal in a folder yet.
async fn growth(config: &Config) -> Option<Finding> {
    let folder = config.store().folder()?.to_owned();
    let opened = folder.clone();
    let journal = tokio::task::spawn_blocking(move || EmbeddedReader::open(opened)).await.ok()?.ok()?;
    let measured = async {
        let growth = Growth::measure(&journal, platform::clock::now()).await?;
        let seconds = growth.until_full(platform::disk::room(&folder)?.free);
        let grown = format!("{} MiB in the last day", growth.last_day >> 20);
        anyhow::Ok(match seconds < WARN_BELOW {
            true => {
                Err(format!("{grown}; disk full: {}; make room or order a larger one", in_words(seconds)))
            }
            false => Ok(format!("{grown}; disk full: {}", in_words(seconds))),
        })
    };
    let outcome = measured.await.unwrap_or_else(|fault| Err(format!("{fault:#}")));
    Some(finding("growth", outcome))
}

fn disk(config: &Config) -> Finding {
    let folder = config.data_dir.ancestors().find(|it| it.exists() && !it.as_os_str().is_empty());
    let folder = folder.unwrap_or(std::path::Path::new("."));
    let outcome = match platform::disk::room(folder) {
        Err(fault) => Err(format!("the free space of {} is not known: {fault}", folder.display())),
        Ok(Room { free, .. }) if free < LEAST_FREE_BYTES => {
            Err(format!("{} MiB free in {}; make room", free >> 20, folder.display()))
        }
        Ok(Room { free, .. }) => Ok(format!("{} GiB free in {}", free >> 30, folder.display())),
    };
    finding("disk", outcome)
}

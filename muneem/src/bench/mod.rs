//! `muneem bench`: how fast this program is on this machine, each figure beside its limit of the same run. Figures
//! drift with machine and hour; the ratios say what the program adds.

#![expect(clippy::float_arithmetic, reason = "times and their ratios are measured here, never money")]

mod asof;
mod books;
mod calls;
mod check;
mod growth;
mod heads;
mod http;
pub(crate) mod journal;
mod ledger;
mod load;
mod nodes;
mod overload;
mod project;
mod rebuild;
mod sockets;
mod start;
pub(crate) mod table;
mod verify;
mod world;

use crate::config::Config;
use clap::{Args, Subcommand};
use std::process::ExitCode;
use std::time::Duration;

/// Measures on a database, a journal and keys in Redis of its own, and removes them at the end.
#[derive(Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Requests a second through the whole front door: an empty route and gifts (one by one, over sockets without
    /// waiting, in batches), beside a bare axum route.
    Http(HttpOptions),
    /// Bytes of memory that a signed-in, idle socket takes, beside a socket of axum alone.
    Sockets(sockets::SocketsOptions),
    /// Clients of `bench sockets`, in a process of their own.
    #[command(hide = true)]
    SocketsClient(sockets::ClientOptions),
    /// The bare server of `bench sockets`, in a process of its own.
    #[command(hide = true)]
    SocketsBare(sockets::BareOptions),
    /// Gifts a second through the ledger on the embedded store, beside the raw log. Needs no database.
    Ledger(ledger::LedgerOptions),
    /// A short `bench ledger`, whose ratios are held against floors: fails where the ledger has become slower.
    Check(check::CheckOptions),
    /// More gifts than the ledger takes: what is accepted and how soon, what is refused. Needs no database.
    Overload(overload::OverloadOptions),
    /// The projector: how fast it catches up, and how far it is behind while commands arrive, beside the raw append.
    Project(project::ProjectOptions),
    /// Gifts a second over several nodes that write one journal in PostgreSQL, beside one node alone.
    Nodes(nodes::NodesOptions),
    /// A rebuild of the read models, beside a plain COPY of the same rows into the same tables.
    Rebuild(books::JournalOptions),
    /// Metered calls: how many are carried, and how late their increments are. Needs no database.
    Calls(calls::CallsOptions),
    /// A start, by how long the journal is: replayed whole, and begun with a snapshot, beside the reading of its bytes.
    /// Needs no database.
    Start(start::StartOptions),
    /// The ledger as wallets and events become more: gifts a second, memory, starts; also as a picture. Needs no database.
    Growth(growth::GrowthOptions),
    /// The tree of the journal: leaves a second while it catches up, beside the projector; bytes a leaf; a check of it all.
    Heads(books::JournalOptions),
    /// Verification of the read models, beside a replay of the same journal.
    Verify(books::JournalOptions),
    /// Questions about the past: balances, deferred revenue and trial balances as of moments all over the journal.
    Asof(books::JournalOptions),
}

#[derive(Args)]
pub struct HttpOptions {
    /// How many connections ask at once; one run for each.
    #[arg(long, value_delimiter = ',', default_value = "1,32,256", value_parser = clap::value_parser!(u32).range(1..=4_096))]
    connections: Vec<u32>,
    #[command(flatten)]
    run: Run,
}

/// How a measurement of several runs goes.
#[derive(Args)]
struct Run {
    /// How long each run takes, in seconds.
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// The figures as JSON.
    #[arg(long)]
    json: bool,
}

impl Run {
    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }
}

/// # Errors
/// When Postgres, Redis or the folder for temporary files is not there.
pub async fn run(config: Config, options: &Options) -> anyhow::Result<ExitCode> {
    match &options.what {
        What::Http(options) => http::run(config, options).await?,
        What::Sockets(options) => sockets::run(config, options).await?,
        What::SocketsClient(options) => sockets::run_client(options).await?,
        What::SocketsBare(options) => sockets::serve_bare(options).await?,
        What::Project(options) => project::run(config, options).await?,
        What::Nodes(options) => nodes::run(config, options).await?,
        What::Rebuild(options) => rebuild::run(config, options).await?,
        What::Ledger(options) => ledger::run(options).await?,
        What::Check(options) => check::run(options).await?,
        What::Overload(options) => overload::run(options).await?,
        What::Calls(options) => calls::run(options).await?,
        What::Start(options) => start::run(options).await?,
        What::Growth(options) => growth::run(options).await?,
        What::Heads(options) => heads::run(config, options).await?,
        What::Verify(options) => verify::run(config, options).await?,
        What::Asof(options) => asof::run(config, options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

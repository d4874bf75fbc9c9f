//! The command line.

use clap::{Parser, Subcommand};
use muneem::config::{Config, Mode, Roles};
use muneem::interrupt::stop_signal;
use muneem::serve::Server;
use muneem::telemetry::Telemetry;
use muneem::{bench, demo, operator};
use std::process::ExitCode;

/// Thousands of sockets come and go for months. The system's allocator keeps a third more for each of them, in gaps between
/// what lives long, and gives less back (`muneem bench sockets`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The bookkeeper: backend of apps that sell minutes.
///
/// Settings come from the environment (DATABASE_URL, REDIS_URL, MUNEEM_DATA_DIR, MUNEEM_MODE, ...) or
/// from muneem.toml; docs/operations.md lists them. `make run` sets all of them for you.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API and the WebSocket gateway until Ctrl-C.
    Serve(ServeOptions),
    /// Tell the main job as a story against the running server (development mode): sign in, buy coins,
    /// call, gift, exhaustion, split, withdrawal, books. Exits 1 if a figure is not what it should be.
    Demo(demo::Options),
    /// Replay the journal and compare the read models with it. Works beside a running server.
    /// Exits 1 and names the first difference (account and revision); exits 2 when it could not check.
    Verify(operator::VerifyOptions),
    /// Give a person a file that proves that an event is in the signed history; or check such a file.
    ///
    /// The proof holds the event, the hashes beside its way to the root of the journal's tree, and a signed head. To check it
    /// takes the public key alone: no server, no database. Get the key once from GET /v1/journal-keys or `muneem doctor`, and
    /// keep it. Exits 1 when the file, or the event in the journal, is not in the signed history.
    ///
    ///   muneem receipt 4711 --out gift.tlog-proof
    ///   muneem receipt --check gift.tlog-proof --key muneem/0198...+1a2b3c4d+AQ...
    #[command(verbatim_doc_comment)]
    Receipt(operator::ReceiptOptions),
    /// Make a key that signs heads of the journal. Set MUNEEM_HEADS_KEY to its file.
    Keygen(operator::KeygenOptions),
    /// Heads of the journal: begin a new history after events were lost for good.
    Heads(operator::HeadsOptions),
    /// Play random stories against the ledger, on stores of their own that fail: appends whose outcome stays unknown, full
    /// disks, killed nodes, torn tails, leaping clocks, replies that are lost. A story is its seed; the same seed asks for the
    /// same commands. Each must end with every accepted command recorded once, books that balance, and the balances that a
    /// model of its own predicts. The first that does not is made as short as it goes and told step by step; exit code 1.
    ///
    ///   muneem simulate --seeds 1000
    ///   muneem simulate --from 4711 --seeds 1 --steps 500
    #[command(verbatim_doc_comment)]
    Simulate(operator::SimulateOptions),
    /// Rebuild the read models from the journal. Works beside a running server, which serves the old ones until the new
    /// ones take their place.
    Rebuild,
    /// Print the journal, filtered. Works beside a running server.
    Events(operator::EventsOptions),
    /// Tell the history, or a range of it, again with other commission rates, prices or hold-back rules, and print what hosts,
    /// agencies and the platform would have had. It reads the journal and never writes.
    ///
    /// Charges are split anew by the ledger's own rules: a call as a whole, by the rules that it began with, so a call that
    /// began before the range stays as it was. Rates replace those of the same scope: a global one leaves hosts and agencies
    /// alone that had one of their own, unless --replace-all is given. With other prices demand is held equal. Withdrawals
    /// that would not have been possible are listed, and their coins stay.
    ///
    ///   muneem what-if --commission-host 65 --commission-agency 10
    ///   muneem what-if --rates rates.json --since 2026-04-01T00:00:00+05:30 --until 2026-05-01T00:00:00+05:30
    ///   muneem what-if --hold-days 14 --json
    #[command(verbatim_doc_comment)]
    WhatIf(operator::WhatIfOptions),
    /// Compare the journal with the books of somebody else: a gateway's settlement report, or a media server's durations. What
    /// is found is kept and shown to admins; nothing is booked by it. Exits 1 where the two differ, and 2 when it could not
    /// compare. Works beside a running server.
    Reconcile(operator::ReconcileOptions),
    /// Check the settings and the reach of PostgreSQL, Redis, store, clock and disk; say the mend.
    Doctor(operator::DoctorOptions),
    /// Look at a store of events.
    Store(operator::StoreOptions),
    /// Copy the journal, beside a running server, into a folder from which `restore` puts it back.
    Backup(operator::BackupOptions),
    /// Put the journal of a backup where there is none. The server must not run.
    Restore(operator::RestoreOptions),
    /// Keep a copy of the journal in a second folder, and say how far it is behind, until Ctrl-C.
    Mirror(operator::MirrorOptions),
    /// Write the journal into compressed files, which `import` puts into any store. Run again, it goes on.
    Export(operator::ExportOptions),
    /// Fill a store from an export or from another store. Run again, it goes on. Nobody else may use the store meanwhile.
    Import(operator::ImportOptions),
    /// Write the generated schemas (events, OpenAPI, AsyncAPI), or check that they are up to date.
    Schemas(operator::SchemasOptions),
    /// Measure this machine: each figure stands beside its limit of the same run.
    Bench(bench::Options),
    /// Give a person a role, by phone number; for the first admin of a deployment.
    GrantRole(operator::GrantRoleOptions),
}

#[derive(clap::Args)]
struct ServeOptions {
    /// What this node does, where several serve one journal: any of api, gateway, projector, metering,
    /// with commas between. Everything, if nothing is said here or in MUNEEM_ROLES.
    #[arg(long)]
    roles: Option<Roles>,
}

#[tokio::main]
async fn main() -> ExitCode {
    // Libraries bring two TLS providers, and any command may use TLS: whoever finds no choice made panics.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let cli = Cli::parse();
    let failure = match cli.command {
        // 1 says that something differs.
        Command::Verify(_) | Command::Receipt(_) | Command::Reconcile(_) => {
            ExitCode::from(operator::NOT_VERIFIED)
        }
        _ => ExitCode::FAILURE,
    };
    match run(cli.command).await {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("muneem: {}", told(&fault));
            failure
        }
    }
}

/// The fault and its causes on one line. Some libraries tell their cause in their own text too; what is
/// told already is not told again.
fn told(fault: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in fault.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let config = Config::load;
    match command {
        Command::Serve(options) => serve(config()?, &options).await,
        Command::Demo(options) => demo::run(config()?, &options, stop_signal()).await,
        Command::Verify(options) => operator::verify(&config()?, &options).await,
        // Needs no settings, so that anybody can check a receipt.
        Command::Receipt(options) if options.is_check() => operator::check_receipt(&options),
        Command::Receipt(options) => operator::receipt(&config()?, &options).await,
        Command::Keygen(options) => operator::keygen(&options),
        Command::Heads(options) => operator::heads(&config()?, &options).await,
        Command::Rebuild => operator::rebuild(&config()?).await,
        Command::Events(options) => operator::events(&config()?, &options).await,
        Command::WhatIf(options) => operator::what_if(&config()?, &options).await,
        Command::Reconcile(options) => operator::reconcile(&config()?, &options).await,
        Command::Doctor(options) => operator::doctor(&config()?, &options).await,
        Command::Store(options) => operator::store(&config()?, &options).await,
        Command::Backup(options) => operator::backup(&config()?, &options).await,
        Command::Restore(options) => operator::restore(&config()?, &options).await,
        Command::Mirror(options) => operator::mirror(&config()?, &options).await,
        Command::Export(options) => operator::export(&config()?, &options).await,
        Command::Import(options) => operator::import(&config()?, &options).await,
        // Follow from the code alone, so a build machine without settings can check them.
        Command::Schemas(options) => operator::schemas(&options),
        Command::Simulate(options) => operator::simulate(&options),
        Command::Bench(options) => bench::run(config()?, &options).await,
        Command::GrantRole(options) => operator::grant_role(config()?, &options).await,
    }
}

async fn serve(mut config: Config, options: &ServeOptions) -> anyhow::Result<ExitCode> {
    config.roles = options.roles.unwrap_or(config.roles);
    let telemetry = Telemetry::start(&config)?;
    let mode = config.mode;
    let journal = config.store().to_string();
    let sockets = config.gateway();
    let server = Server::start(config, sockets).await?;
    print!("{}", welcome(mode, &format!("http://{}", server.address), &journal));
    server.run(stop_signal()).await?;
    tokio::task::spawn_blocking(|| telemetry.end()).await?;
    Ok(ExitCode::SUCCESS)
}

fn welcome(mode: Mode, url: &str, journal: &str) -> String {
    let mut text = format!(
        "\nMuneem serves on {url}\n\
         \x20 API pages          {url}/docs\n\
         \x20 OpenAPI            {url}/v1/openapi.json\n\
         \x20 WebSocket          {}/v1/ws\n\
         \x20 health, metrics    {url}/health/ready  {url}/metrics\n\
         \x20 journal            {journal}\n",
        url.replacen("http", "ws", 1)
    );
    if mode == Mode::Development {
        text.push_str(&format!(
            "\nDevelopment mode: codes are shown at {url}/dev/otp/<phone>, Razorpay is a stand-in on loopback,\n\
             and the admin signs in as {}.\n\
             \nTry next, in another terminal:\n\
             \x20 make demo      the main job as a story, with its books\n\
             \x20 make verify    replay the journal and compare the read models\n\
             \x20 curl {url}/v1/coin-plans\n\
             \nCtrl-C stops everything that was started; the data stay.\n\n",
            muneem::seed::ADMIN_PHONE
        ));
    }
    text
}

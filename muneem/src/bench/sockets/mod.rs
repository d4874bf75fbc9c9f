//! What a signed-in, idle socket costs the server in memory, beside a socket of axum alone that reads and discards.
//!
//! Clients and bare servers are processes of their own, so that only the server's memory is counted. Some sockets are
//! opened before those that count: they take up what the heap had free.

mod bare;
mod client;

use super::table;
use super::world::{World, within};
use crate::config::Config;
use crate::progress::say;
use anyhow::{Context, ensure};
pub use bare::{BareOptions, serve as serve_bare};
use clap::Args;
pub use client::{ClientOptions, run as run_client};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// People who are made at once.
const AT_ONCE: usize = 8;
/// Within this time a socket has given back what a long frame took.
const GIVE_BACK: Duration = Duration::from_secs(50);
/// What axum takes for a socket's read buffer unless it is told otherwise.
const AXUM_BUFFER_BYTES: usize = 128 * 1024;

#[derive(Args)]
pub struct SocketsOptions {
    /// How many sockets are measured. A quarter as many are opened before.
    #[arg(long, default_value = "4000", value_parser = clap::value_parser!(u32).range(4..=100_000))]
    sockets: u32,
    /// How long the sockets are left alone before the memory is read, in seconds.
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u16).range(1..=600))]
    settle: u16,
    /// The figures as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    what: &'static str,
    sockets: u32,
    bytes_per_idle_socket: u64,
    /// The same, after each socket has sent the longest frame that is read.
    bytes_after_a_long_frame: u64,
}

/// # Errors
/// When something that is measured fails.
pub async fn run(config: Config, options: &SocketsOptions) -> anyhow::Result<()> {
    let all = options.sockets + options.sockets / 4;
    let room = all.saturating_add(1_000);
    let config = Config {
        max_connections: config.max_connections.max(room),
        sockets: config.sockets.max(room),
        ..config
    };
    let mut rows = Vec::new();
    for (what, buffer) in [
        ("bare axum socket", AXUM_BUFFER_BYTES),
        ("the same, small buffer", websocket_gateway::READ_BUFFER_BYTES),
    ] {
        say(what);
        let mut server = Helper::start(&["sockets-bare", "--buffer", &buffer.to_string()])?;
        let address = server.line().await?.parse()?;
        let somebody = vec!["nobody".to_owned(); all as usize];
        rows.push(measure(what, server.id()?, address, &somebody, &["--unanswered"], options).await?);
    }
    say("making people who sign in");
    let row = within(&config, async |world| {
        let tokens = tokens(world, all).await?;
        say("signed-in socket");
        measure("signed-in socket", std::process::id(), world.address, &tokens, &[], options).await
    });
    rows.push(row.await?);
    let head = ["", "sockets", "bytes each, idle", "after a long frame"];
    table::print(options.json, &head, &rows, |row| {
        vec![
            row.what.to_owned(),
            row.sockets.to_string(),
            row.bytes_per_idle_socket.to_string(),
            row.bytes_after_a_long_frame.to_string(),
        ]
    })
}

async fn tokens(world: &World, count: u32) -> anyhow::Result<Vec<String>> {
    let people = stream::iter(0..count).map(|number| world.sign_in(number)).buffer_unordered(AT_ONCE);
    people.map_ok(|person| person.token).try_collect().await
}

/// Opens sockets to a server, and reads how much the memory of its process has grown.
async fn measure(
    what: &'static str,
    server: u32,
    address: SocketAddr,
    tokens: &[String],
    arguments: &[&str],
    options: &SocketsOptions,
) -> anyhow::Result<Row> {
    let (measured, before) = tokens.split_at(options.sockets as usize);
    let open = async |tokens: &[String]| {
        let address = address.to_string();
        let mut clients = Helper::start(&[&["sockets-client", "--address", &address], arguments].concat())?;
        clients.tell(&tokens.join("\n")).await?;
        clients.tell("").await?;
        ensure!(clients.line().await? == client::OPEN, "the sockets did not open");
        tokio::time::sleep(Duration::from_secs(options.settle.into())).await;
        anyhow::Ok(clients)
    };
    let _kept = open(before).await?;
    let at_first = resident_bytes(server)?;
    let mut clients = open(measured).await?;
    let each = |now: u64| now.saturating_sub(at_first) / u64::from(options.sockets);
    let bytes_per_idle_socket = each(resident_bytes(server)?);
    clients.tell(client::SPEAK).await?;
    ensure!(clients.line().await? == client::SPOKEN, "the sockets did not speak");
    tokio::time::sleep(Duration::from_secs(options.settle.into()).max(GIVE_BACK)).await;
    let bytes_after_a_long_frame = each(resident_bytes(server)?);
    Ok(Row { what, sockets: options.sockets, bytes_per_idle_socket, bytes_after_a_long_frame })
}

/// The memory of a process that is no file's, as Linux counts it.
fn resident_bytes(process: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))
        .context("the memory of a process is read from /proc, which Linux alone has")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")).context("RssAnon is missing")?;
    Ok(kilobytes.trim().parse::<u64>()? * 1_024)
}

/// The standard input of a helper, which is a pipe.
fn input() -> anyhow::Result<pipe::Receiver> {
    Ok(pipe::Receiver::from_owned_fd(std::io::stdin().as_fd().try_clone_to_owned()?)?)
}

/// A process of this program that takes part in the measurement. It ends with its standard input.
struct Helper {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Helper {
    fn start(arguments: &[&str]) -> anyhow::Result<Helper> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bench").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("this program cannot be started once more")?;
        let input = child.stdin.take().context("it has no input")?;
        let output = child.stdout.take().context("it has no output")?;
        Ok(Helper { child, input, output: BufReader::new(output).lines() })
    }

    fn id(&self) -> anyhow::Result<u32> {
        self.child.id().context("a process of the measurement has ended")
    }

    async fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        self.input.write_all(line.as_bytes()).await?;
        self.input.write_all(b"\n").await?;
        Ok(self.input.flush().await?)
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        self.output.next_line().await?.context("a process of the measurement has ended early")
    }
}

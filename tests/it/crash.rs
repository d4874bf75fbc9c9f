//! The real binary, killed in the middle of a call.

use crate::world::{self, PATIENCE, eventually};
use secrecy::ExposeSecret;
use serde_json::Value;
use sqlx::PgPool;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The binary that `make test` has built beside this test.
fn muneem() -> PathBuf {
    let test = std::env::current_exe().expect("this test's path");
    let binary = test.parent().and_then(|deps| deps.parent()).expect("a target folder").join("muneem");
    assert!(binary.exists(), "{} is missing; `make test` builds it", binary.display());
    binary
}

/// What `kill -TERM` does; a minimal system has no such program.
pub fn terminate(server: &Child) {
    let id = server.id().and_then(|id| i32::try_from(id).ok()).expect("it runs");
    let id = rustix::process::Pid::from_raw(id).expect("a process id");
    rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("the server can be told to stop");
}

/// A port that nobody listens on, below the range which the kernel hands out to outgoing connections: one of those may take
/// a port between this look and the start of a server.
pub fn free_port() -> u16 {
    const FIRST: u32 = 20_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(97) + TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + number % 10_000).expect("a port");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

pub struct Deployment {
    pub settings: Vec<(&'static str, String)>,
}

impl Deployment {
    pub async fn new(pool: &PgPool, data: &TempDir) -> Deployment {
        let config = world::config(pool, data);
        let port = free_port();
        let settings = vec![
            ("MUNEEM_MODE", "development".to_owned()),
            ("MUNEEM_LISTEN", format!("127.0.0.1:{port}")),
            ("MUNEEM_URL", format!("http://127.0.0.1:{port}")),
            ("MUNEEM_DATA_DIR", data.path().display().to_string()),
            ("MUNEEM_REDIS_PREFIX", config.redis_prefix),
            ("MUNEEM_DATABASE_CONNECTIONS", "8".to_owned()),
            ("DATABASE_URL", config.database_url.expose_secret().to_owned()),
            ("REDIS_URL", config.redis_url.expose_secret().to_owned()),
        ];
        Deployment { settings }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(muneem());
        command.args(arguments).envs(self.settings.iter().cloned()).kill_on_drop(true);
        command
    }

    pub fn url(&self) -> String {
        self.settings.iter().find(|(name, _)| *name == "MUNEEM_URL").expect("its address").1.clone()
    }

    /// Starts the server and waits until it says that it serves.
    pub async fn serve(&self) -> Child {
        serves(self.command(&["serve"])).await
    }

    pub async fn serve_logging_to(&self, log: Stdio) -> Child {
        let mut command = self.command(&["serve"]);
        command.stderr(log);
        serves(command).await
    }

    /// Starts the server where it may open so many files at the most.
    pub async fn serve_with_open_files(&self, limit: u32) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n \"$0\" && exec \"$1\" serve", &limit.to_string()]).arg(muneem());
        command.envs(self.settings.iter().cloned()).kill_on_drop(true);
        serves(command).await
    }

    pub async fn run(&self, arguments: &[&str]) -> (bool, Value) {
        let output = self.command(arguments).output().await.expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let value = serde_json::from_str(&text).unwrap_or_else(|_| {
            Value::String(format!("{text}\n{}", String::from_utf8_lossy(&output.stderr)))
        });
        (output.status.success(), value)
    }
}

/// Starts it and waits until it says that it serves.
async fn serves(mut command: Command) -> Child {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the server starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let serves = async {
        while let Some(line) = lines.next_line().await.expect("its output is text") {
            if line.starts_with("Muneem serves on") {
                return;
            }
        }
        panic!("the server ended before it served");
    };
    tokio::time::timeout(PATIENCE, serves).await.expect("the server serves in time");
    child
}

#[sqlx::test(migrations = false)]
async fn each_story_of_the_demo_is_told_and_every_figure_is_right(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let deployment = Deployment::new(&pool, &data).await;
    let _server = deployment.serve().await;
    // Twice the same: each story finds what the others, and itself, have left behind.
    for story in ["main-job", "payout-unknown", "payout-unknown", "chargeback", "subscription", "agency"] {
        let (ok, told) = deployment.run(&["demo", "--story", story, "--json"]).await;
        assert!(ok, "{story}: {told:#}");
        assert_eq!(told["ok"], true, "{story}: {told:#}");
    }
    let (ok, verified) = deployment.run(&["verify", "--json"]).await;
    assert!(ok, "{verified:#}");
    let (ok, rebuilt) = deployment.run(&["rebuild"]).await;
    assert!(ok, "{rebuilt:#}");
    let (ok, verified) = deployment.run(&["verify", "--json"]).await;
    assert!(ok, "{verified:#}");
    let (ok, found) = deployment.run(&["doctor", "--json"]).await;
    assert!(ok, "{found:#}");
}

#[sqlx::test(migrations = false)]
async fn a_role_is_granted_to_a_number_that_signed_in_or_is_made_on_purpose(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let deployment = Deployment::new(&pool, &data).await;
    let _server = deployment.serve().await;
    let admins = async || -> i64 {
        let count = "SELECT count(*) FROM app.person_roles WHERE role = 'admin'";
        sqlx::query_scalar(count).fetch_one(&pool).await.expect("rows")
    };
    let before = admins().await;
    let grant = ["grant-role", "--role", "admin", "--phone", "+919812300001"];
    let (ok, told) = deployment.run(&grant).await;
    assert!(!ok && told.to_string().contains("nobody has signed in with +919812300001"), "{told}");
    assert!(told.to_string().contains("--create"), "the mend is named: {told}");
    assert_eq!(admins().await, before, "nobody got the role");
    let (ok, told) = deployment.run(&[&grant[..], &["--create"]].concat()).await;
    assert!(ok, "{told}");
    // Now that the number is known, it may be given again.
    let (ok, told) = deployment.run(&grant).await;
    assert!(ok, "{told}");
    assert_eq!(admins().await, before + 1);
}

#[sqlx::test(migrations = false)]
async fn keys_that_are_not_the_databases_are_refused_and_the_right_ones_serve_again(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let mut deployment = Deployment::new(&pool, &data).await;
    let mut server = deployment.serve().await;
    terminate(&server);
    server.wait().await.expect("it ends");
    let other = "c41f0d9b7e62a8350f1c9ed47b28a6513d90e7f2485bc16a0e93d7fb6428ac15".to_owned();
    for name in ["MUNEEM_PHONE_PEPPER", "MUNEEM_SEALING_KEY"] {
        deployment.settings.push((name, other.clone()));
        let (ok, told) = deployment.run(&["serve"]).await;
        let told = told.to_string();
        assert!(!ok && told.contains(&format!("{name} is not the key")), "{told}");
        assert!(!told.contains(&other), "a secret is not printed: {told}");
        deployment.settings.pop();
    }
    let _server = deployment.serve().await;
}

#[sqlx::test(migrations = false)]
async fn a_second_server_on_a_copy_of_the_journal_is_refused_and_a_restart_is_not(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let mut deployment = Deployment::new(&pool, &data).await;
    let mut server = deployment.serve().await;
    let copy = TempDir::new().expect("a folder");
    copy_folder(data.path(), copy.path());
    let own = deployment.settings.clone();
    deployment.settings.push(("MUNEEM_DATA_DIR", copy.path().display().to_string()));
    deployment.settings.push(("MUNEEM_LISTEN", "127.0.0.1:0".to_owned()));
    let (ok, told) = deployment.run(&["serve"]).await;
    assert!(!ok && told.to_string().contains("another server runs on this database"), "{told}");
    // One that was killed holds nothing any more.
    deployment.settings = own;
    server.kill().await.expect("it is killed");
    let _server = deployment.serve().await;
}

#[sqlx::test(migrations = false)]
async fn a_server_whose_database_was_taken_by_another_ends(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let deployment = Deployment::new(&pool, &data).await;
    let mut server = deployment.serve().await;
    // Cut off from the lock, as by a restart of the database, while somebody else waits for it.
    let mut other = pool.acquire().await.expect("a connection");
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_locks
               WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                   AND pid <> pg_backend_pid()";
    let lock = "SELECT pg_advisory_lock(x'6f6e65206e6f6465'::bigint)";
    sqlx::query(cut).execute(&mut *other).await.expect("the connection is cut");
    sqlx::query(lock).execute(&mut *other).await.expect("the lock is free");
    let ended = tokio::time::timeout(world::PATIENCE, server.wait()).await.expect("it ends");
    assert!(!ended.expect("a status").success());
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            std::fs::create_dir(&target).expect("a folder");
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

#[sqlx::test(migrations = false)]
async fn a_reader_who_has_seen_enough_ends_no_command(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let deployment = Deployment::new(&pool, &data).await;
    let _server = deployment.serve().await;
    for arguments in [&["verify"][..], &["doctor"], &["demo"], &["demo", "--json"]] {
        let mut command = deployment.command(arguments);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        drop(child.stdout.take());
        let output = child.wait_with_output().await.expect("it ends");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !told.contains("panicked"), "{arguments:?}: {told}");
    }
}

#[sqlx::test(migrations = false)]
async fn a_demo_that_is_interrupted_puts_the_settings_back(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let deployment = Deployment::new(&pool, &data).await;
    let _server = deployment.serve().await;
    let increment = async || {
        let stored: Option<i64> = sqlx::query_scalar(
            "SELECT (value ->> 'increment_seconds')::bigint FROM app.settings WHERE key = 'metering'",
        )
        .fetch_optional(&pool)
        .await
        .expect("the settings");
        stored
    };
    let story = deployment.command(&["demo", "--json"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut story = story.expect("the story starts");
    eventually("the story has set its increments", async || increment().await.filter(|it| *it == 1)).await;
    terminate(&story);
    assert!(!story.wait().await.expect("it ends").success(), "a story that broke off is not a success");
    assert_eq!(increment().await, Some(10), "as before the story");
}

#[sqlx::test(migrations = false)]
async fn a_read_model_that_was_tampered_with_is_named_by_verify(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let deployment = Deployment::new(&pool, &data).await;
    let server = deployment.serve().await;
    let (ok, told) = deployment.run(&["demo", "--json"]).await;
    assert!(ok, "{told:#}");
    drop(server);
    sqlx::query(
        "UPDATE read.balances SET balance_minor = balance_minor - 1 WHERE account = 'platform:revenue'",
    )
    .execute(&pool)
    .await
    .expect("the tampering");
    let differs = deployment.command(&["verify", "--json"]).output().await.expect("it runs");
    let verified = String::from_utf8_lossy(&differs.stdout).into_owned();
    assert_eq!(differs.status.code(), Some(1), "{verified}");
    assert!(verified.contains("platform:revenue"), "{verified}");
    let printed = deployment.command(&["verify"]).output().await.expect("it runs");
    let table = String::from_utf8_lossy(&printed.stdout).into_owned();
    let marked: Vec<&str> = table.lines().filter(|line| line.contains("DIFFERS")).collect();
    assert!(matches!(marked[..], [line] if line.contains(" balances ")), "{table}");

    // That nothing could be compared is told apart from a difference.
    let elsewhere = TempDir::new().expect("a folder");
    for (name, value) in [
        ("MUNEEM_DATA_DIR", elsewhere.path().display().to_string()),
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none".to_owned()),
    ] {
        let output = deployment.command(&["verify"]).env(name, value).output().await.expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{name}: {text}");
    }
}

#[sqlx::test(migrations = false)]
async fn killed_in_the_middle_of_a_call_no_charge_is_lost_or_doubled(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let deployment = Deployment::new(&pool, &data).await;
    let mut server = deployment.serve().await;
    // The story runs against a server that is killed once its call has been charged a few times.
    let story = deployment.command(&["demo", "--json"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut story = story.expect("the story starts");
    let charged = || async {
        let rows: Option<(i64,)> = sqlx::query_as("SELECT coalesce(max(ticks), 0)::bigint FROM read.calls")
            .fetch_optional(&pool)
            .await
            .ok()?;
        rows.filter(|(ticks,)| *ticks >= 2)
    };
    eventually("the call is charged", charged).await;
    server.kill().await.expect("kill -9");
    story.wait().await.expect("the story breaks off");

    let ticks_before = ticks(&deployment).await;
    let _server = deployment.serve().await;
    // Nobody comes back: the call ends as lost, and nothing more is charged.
    eventually("the call is lost", async || {
        let rows: Option<(String,)> =
            sqlx::query_as("SELECT end_reason FROM read.calls WHERE status = 'ended'")
                .fetch_optional(&pool)
                .await
                .ok()?;
        rows.filter(|(reason,)| reason == "lost")
    })
    .await;
    let ticks_after = ticks(&deployment).await;
    // What was acknowledged is there, unchanged; a tick that was durable and not yet acknowledged when
    // the server was killed may stand behind it, and no more.
    assert!(ticks_after.starts_with(&ticks_before), "no tick is lost");
    assert!(ticks_after.len() <= ticks_before.len() + 1, "no tick is added");
    let numbers: Vec<u64> =
        ticks_after.iter().map(|it| it["data"]["number"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "each increment once, in order");
    let (ok, verified) = deployment.run(&["verify", "--json"]).await;
    assert!(ok, "{verified:#}");
}

/// The program is killed as soon as the first start has made this or that file of the journal.
#[sqlx::test(migrations = false)]
async fn a_first_start_that_was_killed_is_completed_by_the_next(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let deployment = Deployment::new(&pool, &data).await;
    for made in ["", "writer.lock", "acknowledged", "00000000000000000000.segment"] {
        let mut server = deployment.command(&["serve"]).stdout(Stdio::null()).spawn().expect("it starts");
        let path = data.path().join("journal").join(made);
        eventually("the first start has come so far", async || path.exists().then_some(())).await;
        server.kill().await.expect("kill -9");
    }
    let _server = deployment.serve().await;
    let (ok, verified) = deployment.run(&["verify", "--json"]).await;
    assert!(ok, "{verified:#}");
}

#[sqlx::test(migrations = false)]
async fn a_missing_acknowledged_position_is_said_and_not_shown_as_an_empty_journal(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let deployment = Deployment::new(&pool, &data).await;
    let mut server = deployment.serve().await;
    server.kill().await.expect("kill -9");
    let journal = data.path().join("journal");
    std::fs::remove_file(journal.join("acknowledged")).expect("it is there");
    for command in ["events", "doctor", "verify"] {
        let (ok, told) = deployment.run(&[command]).await;
        assert!(!ok, "{command}: {told:#}");
        assert!(told.to_string().contains("acknowledged is missing or not readable"), "{command}: {told:#}");
        assert!(told.to_string().contains("start the server once"), "{command}: {told:#}");
    }
    let _server = deployment.serve().await;
    let (ok, told) = deployment.run(&["events", "--kind", "JournalOpened"]).await;
    assert!(ok && told.to_string().contains("JournalOpened"), "{told:#}");
}

/// Every tick of the journal, read beside whatever process writes it.
async fn ticks(deployment: &Deployment) -> Vec<Value> {
    let output =
        deployment.command(&["events", "--json", "--kind", "CallTicked"]).output().await.expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

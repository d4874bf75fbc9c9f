//! A PostgreSQL of a test's own, which it can kill and start again; made by the scripts of `make test`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use event_store::postgres::PostgresAddress;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

const PASSWORD: &str = "test";

pub struct OwnServer {
    folder: TempDir,
    port: u16,
    settings: Vec<&'static str>,
}

impl OwnServer {
    /// With these settings, such as `synchronous_commit=off`.
    pub fn start(settings: &[&'static str]) -> Self {
        // A port that was free a moment ago.
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
        let folder = TempDir::new().expect("a folder");
        // PostgreSQL runs as another account where the test runs as root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).expect("the folder is ours");
        let server = Self { folder, port, settings: settings.to_vec() };
        server.script("postgres_make_home", &[server.home().to_str().expect("a path")]);
        server.start_again();
        server
    }

    pub fn address(&self) -> PostgresAddress {
        self.url().parse().expect("an address")
    }

    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.expect("it answers")
    }

    pub fn url(&self) -> String {
        format!("postgres://muneem:{PASSWORD}@127.0.0.1:{}/muneem", self.port)
    }

    /// On the same data, under the same address.
    pub fn start_again(&self) {
        let (home, port) = (self.home(), self.port.to_string());
        let mut arguments = vec![home.to_str().expect("a path"), &port, PASSWORD, "fsync=off"];
        arguments.extend(&self.settings);
        self.script("postgres_start", &arguments);
    }

    /// Kills all its processes at once, as if the machine had no time for anything; what it had in its memory
    /// alone is gone.
    pub fn kill(&self) {
        let Some(postmaster) = self.pid() else { return };
        let mut processes = vec![postmaster];
        processes.extend(children(postmaster));
        for process in &processes {
            // One that has ended by itself needs no signal.
            let _ = kill_process(Pid::from_raw(*process).expect("a process id"), Signal::KILL);
        }
        while processes.iter().any(|process| is_running(*process)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Begins its next start as a standby, which takes no writes.
    pub fn will_be_standby(&self) {
        fs::write(self.data().join("standby.signal"), "").expect("the data folder is there");
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("postgres")
    }

    fn data(&self) -> PathBuf {
        self.home().join("data")
    }

    fn pid(&self) -> Option<i32> {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        file.lines().next()?.parse().ok()
    }

    /// Calls a function of the project's scripts.
    fn script(&self, function: &str, arguments: &[&str]) {
        let script = format!("set -euo pipefail; source scripts/services.sh; {function} \"$@\"");
        let output = Command::new("bash")
            .args(["-c", &script, "bash"])
            .args(arguments)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .output()
            .expect("bash is there");
        assert!(output.status.success(), "{function}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn children(parent: i32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|process| state(*process).is_some_and(|(_, its)| its == parent)).collect()
}

/// A process whose end nobody has looked at counts as gone.
fn is_running(process: i32) -> bool {
    state(process).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// The state of a process, and its parent.
fn state(process: i32) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name stands in brackets before, and may hold any character.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

//! What keeps the ledger from taking commands, known to all who hold it.

use crate::clock::Leap;
use crate::ledger::Status;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info};

/// Everything that is amiss. Each kind comes and goes by itself; none is told twice while it lasts.
#[derive(Clone, Debug, Default)]
struct Conditions {
    stopped: Option<String>,
    leap: Option<Leap>,
    storage_full: Option<String>,
    /// Whether there may be room again: nobody has tried since a while.
    room_is_likely: bool,
    stalled: Option<String>,
    stalled_at: Option<Instant>,
}

#[derive(Clone)]
pub(crate) struct Health(watch::Sender<Conditions>);

/// Sees what the writer says.
#[derive(Clone)]
pub(crate) struct Watched(watch::Receiver<Conditions>);

impl Watched {
    pub fn status(&self) -> Status {
        self.0.borrow().status()
    }

    /// For how long the store has not answered, if it does not.
    pub fn stalled_for(&self) -> Option<Duration> {
        let conditions = self.0.borrow();
        conditions.stalled.as_ref()?;
        conditions.stalled_at.map(|at| at.elapsed())
    }

    /// Returns once no command will be taken any more.
    pub async fn stopped(&self) {
        let mut watched = self.0.clone();
        // An error says that the writer is gone, which is the same.
        drop(watched.wait_for(|conditions| conditions.stopped.is_some()).await);
    }
}

impl Conditions {
    fn status(&self) -> Status {
        if let Some(reason) = &self.stopped {
            return Status::Stopped(reason.clone());
        }
        if let Some(leap) = self.leap {
            return Status::ClockLeap(leap);
        }
        match (&self.storage_full, &self.stalled) {
            (Some(reason), _) if !self.room_is_likely => Status::StorageFull(reason.clone()),
            (_, Some(reason)) => Status::Stalled(reason.clone()),
            _ => Status::Running,
        }
    }
}

impl Health {
    pub fn new() -> (Health, Watched) {
        let (conditions, watched) = watch::channel(Conditions::default());
        (Health(conditions), Watched(watched))
    }

    pub fn stopped(&self) -> Option<String> {
        self.0.borrow().stopped.clone()
    }

    /// Whether something keeps commands from being taken that goes by itself.
    pub fn is_held(&self) -> bool {
        let conditions = self.0.borrow();
        conditions.leap.is_some() || (conditions.storage_full.is_some() && !conditions.room_is_likely)
    }

    pub fn has_no_room(&self) -> bool {
        let conditions = self.0.borrow();
        conditions.storage_full.is_some() && !conditions.room_is_likely
    }

    /// From here on no command is taken. The first reason counts.
    pub fn stop(&self, reason: &str) {
        let first = self.change(|conditions| &mut conditions.stopped, Some(reason.to_owned()));
        if first {
            error!(alert = "ledger_stopped", reason, "the ledger has stopped");
        }
    }

    /// The writer has ended as it should: there is nobody left who could ask it.
    pub fn end(&self) {
        self.change(|conditions| &mut conditions.stopped, Some("the server is shutting down".to_owned()));
    }

    pub fn leap(&self, leap: Option<Leap>) {
        if !self.change(|conditions| &mut conditions.leap, leap) {
            return;
        }
        match leap {
            Some(leap) => error!(
                alert = "clock_leap",
                %leap,
                "commands are refused until the clock is right; if it is right now, restart the server"
            ),
            None => info!("the clock is right again; commands are taken"),
        }
    }

    pub fn storage_full(&self, reason: Option<String>) {
        self.0.send_if_modified(|conditions| std::mem::take(&mut conditions.room_is_likely));
        if !self.change(|conditions| &mut conditions.storage_full, reason.clone()) {
            return;
        }
        match reason {
            Some(reason) => error!(
                alert = "storage_full",
                reason, "the store has no room; commands are refused until it has some"
            ),
            None => info!("the store has room again; commands are taken"),
        }
    }

    /// Nobody has tried whether there is room since a while: the next command may.
    pub fn room_is_likely(&self) {
        self.0.send_if_modified(|conditions| {
            let changes = conditions.storage_full.is_some() && !conditions.room_is_likely;
            conditions.room_is_likely |= changes;
            changes
        });
    }

    pub fn stalled(&self, reason: Option<String>) {
        if self.change(|conditions| &mut conditions.stalled, reason.clone()) {
            self.0.send_modify(|conditions| conditions.stalled_at = Some(Instant::now()));
            match reason {
                Some(reason) => {
                    error!(alert = "store_stalled", reason, "the store does not answer; it is asked again")
                }
                None => info!("the store answers again"),
            }
        }
    }

    /// Sets a condition; answers whether it has come or gone. While it lasts, its first form stays.
    fn change<T>(&self, which: impl Fn(&mut Conditions) -> &mut Option<T>, to: Option<T>) -> bool {
        self.0.send_if_modified(|conditions| {
            let condition = which(conditions);
            let changes = condition.is_some() != to.is_some();
            if changes {
                *condition = to;
            }
            changes
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    /// What was logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn count(&self, text: &str) -> usize {
            String::from_utf8_lossy(&self.0.lock().expect("not poisoned")).matches(text).count()
        }
    }

    #[test]
    fn what_is_amiss_is_told_once_while_it_lasts() {
        let lines = Lines::default();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(Mutex::new(lines.clone())).finish();
        let (health, watched) = Health::new();
        let leap = Leap::Ahead { ahead_ms: 600_000 };
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..3 {
                health.storage_full(Some("the disk is full".to_owned()));
                health.room_is_likely();
                health.leap(Some(leap));
                health.stalled(Some("it does not answer".to_owned()));
            }
        });
        for alert in ["storage_full", "clock_leap", "store_stalled"] {
            assert_eq!(lines.count(&format!("alert=\"{alert}\"")), 1, "{alert}");
        }
        assert_eq!(watched.status(), Status::ClockLeap(leap));
        health.leap(None);
        assert_eq!(watched.status(), Status::Stalled("it does not answer".to_owned()), "room is likely");
        health.storage_full(Some("the disk is full".to_owned()));
        assert_eq!(watched.status(), Status::StorageFull("the disk is full".to_owned()));
        health.storage_full(None);
        health.stalled(None);
        assert_eq!(watched.status(), Status::Running);
        health.stop("the first reason");
        health.stop("another");
        health.end();
        assert_eq!(watched.status(), Status::Stopped("the first reason".to_owned()));
    }
}

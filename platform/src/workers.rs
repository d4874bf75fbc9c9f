//! Work beside the requests: each worker is watched, and started again when it breaks.
//!
//! A worker that panics or returns an error is logged with the alert `worker_down`, counted, and started again
//! after a pause that grows while it keeps breaking. [`Workers::down`] names those that do not run at present.

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::FutureExt;
use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{error, info};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A worker that ran for so long has recovered: its next pause is a short one again.
const RECOVERED: Duration = Duration::from_secs(60);

/// Why a worker broke off.
pub type WorkerFault = Box<dyn std::error::Error + Send + Sync>;

type Run = Pin<Box<dyn Future<Output = Result<(), WorkerFault>> + Send>>;

/// A piece of background work, by the name under which readiness and alerts speak of it.
pub struct Worker {
    name: &'static str,
    start: Box<dyn Fn() -> Run + Send + Sync>,
}

impl Worker {
    /// `start` is called for the first run and for each one after a fault. A run that returns `Ok` has nothing
    /// left to do, as when the ledger has ended, and is not started again.
    pub fn new<F>(name: &'static str, start: impl Fn() -> F + Send + Sync + 'static) -> Worker
    where
        F: Future<Output = Result<(), WorkerFault>> + Send + 'static,
    {
        Worker { name, start: Box::new(move || Box::pin(start())) }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the work once. What panics is an error that holds the panic's text.
    async fn run(&self) -> Result<(), WorkerFault> {
        // The factory is called inside too: it may panic as well.
        let run = async { (self.start)().await };
        AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|cause| Err(panic_text(&*cause).into()))
    }
}

/// What a panic said.
pub fn panic_text(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| cause.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_default())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    /// Broken, and to be started again.
    Waiting,
    /// It has returned and is not started again.
    Ended,
}

/// The workers of a server; clones share them.
#[derive(Clone)]
pub struct Workers {
    states: Arc<watch::Sender<BTreeMap<&'static str, State>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Default for Workers {
    fn default() -> Workers {
        Workers {
            states: Arc::new(watch::Sender::new(BTreeMap::new())),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }
}

impl Workers {
    /// Starts a worker. The handle is done when the worker has ended for good.
    pub fn start(&self, worker: Worker) -> JoinHandle<()> {
        self.set(worker.name, State::Running);
        // What never broke is shown as zero, so that the first fault is a rise.
        metrics::counter!("muneem_worker_failures_total", "worker" => worker.name).increment(0);
        let workers = self.clone();
        self.tasks.spawn(async move {
            let stop = workers.stop.clone();
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = workers.supervise(&worker) => {}
            }
        })
    }

    /// Runs something until it ends or the workers are stopped. Nobody watches it: for development's stand-ins.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move { stop.run_until_cancelled(work).await });
    }

    /// Whoever holds this and drops it without [`Self::stop`] stops the workers all the same, a moment later.
    pub fn stop_when_dropped(&self) -> DropGuard {
        self.stop.clone().drop_guard()
    }

    /// The names of those that do not run, in alphabetical order.
    pub fn down(&self) -> Vec<&'static str> {
        let states = self.states.borrow();
        states.iter().filter(|(_, state)| **state != State::Running).map(|(name, _)| *name).collect()
    }

    /// Returns once [`Self::down`] names exactly these.
    pub async fn wait_until_down(&self, names: &[&str]) {
        let mut states = self.states.subscribe();
        // The sender lives as long as this handle does.
        let _ = states.wait_for(|_| self.down() == names).await;
    }

    /// Stops all workers and returns once they are gone.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn supervise(&self, worker: &Worker) {
        let mut pauses = pauses();
        loop {
            let begun = Instant::now();
            let outcome = worker.run().await;
            let Err(fault) = outcome else {
                info!(worker = worker.name, "a background worker has ended");
                return self.set(worker.name, State::Ended);
            };
            if begun.elapsed() >= RECOVERED {
                pauses = self::pauses();
            }
            let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
            error!(
                alert = "worker_down", worker = worker.name, fault = %chain(&*fault), again_in = ?pause,
                "a background worker broke; it is started again after a pause"
            );
            metrics::counter!("muneem_worker_failures_total", "worker" => worker.name).increment(1);
            self.set(worker.name, State::Waiting);
            sleep(pause).await;
            self.set(worker.name, State::Running);
        }
    }

    fn set(&self, name: &'static str, state: State) {
        metrics::gauge!("muneem_worker_up", "worker" => name).set(if state == State::Running {
            1
        } else {
            0
        });
        self.states.send_modify(|states| {
            states.insert(name, state);
        });
    }
}

fn pauses() -> impl Iterator<Item = Duration> {
    let growing = ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times();
    growing.with_jitter().build()
}

/// A fault and its causes on one line.
fn chain(fault: &(dyn std::error::Error + 'static)) -> String {
    let mut text = fault.to_string();
    let mut next = fault.source();
    while let Some(cause) = next {
        let told = cause.to_string();
        if !text.ends_with(&told) {
            text = format!("{text}: {told}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    /// A worker whose first runs fail as told, and whose later ones go on for ever.
    fn breaking(
        first: fn(usize) -> Option<Result<(), WorkerFault>>,
    ) -> (Worker, Arc<AtomicUsize>, Arc<Notify>) {
        let (runs, lives) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (counted, told) = (runs.clone(), lives.clone());
        let worker = Worker::new("breaking", move || {
            let run = counted.fetch_add(1, Ordering::SeqCst);
            let told = told.clone();
            async move {
                match first(run) {
                    Some(outcome) => outcome,
                    None => {
                        told.notify_one();
                        std::future::pending().await
                    }
                }
            }
        });
        (worker, runs, lives)
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_panics_once_is_named_while_it_is_down_and_is_back_after_a_pause() {
        let workers = Workers::default();
        let (worker, runs, lives) = breaking(|run| if run == 0 { panic!("once") } else { None });
        let steady = Worker::new("steady", std::future::pending);
        workers.start(steady);
        workers.start(worker);
        assert!(workers.down().is_empty());
        workers.wait_until_down(&["breaking"]).await;
        lives.notified().await;
        assert!(workers.down().is_empty(), "{:?}", workers.down());
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        workers.stop().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_keeps_failing_is_started_again_ever_more_rarely() {
        let workers = Workers::default();
        let begun = Instant::now();
        let (worker, _, lives) = breaking(|run| (run < 6).then(|| Err("the disk is gone".into())));
        workers.start(worker);
        lives.notified().await;
        // 0.2 + 0.4 + 0.8 + 1.6 + 3.2 + 6.4 seconds at the least; the jitter adds up to as much again.
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_millis(12_600) && waited <= Duration::from_secs(26), "{waited:?}");
        workers.stop().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_has_nothing_left_to_do_is_not_started_again() {
        let workers = Workers::default();
        let (worker, runs, _) = breaking(|_| Some(Ok(())));
        workers.start(worker).await.expect("its supervisor ends");
        assert_eq!((workers.down(), runs.load(Ordering::SeqCst)), (vec!["breaking"], 1));
    }

    #[tokio::test]
    async fn a_stop_ends_those_that_run_and_those_that_wait() {
        let workers = Workers::default();
        workers.start(breaking(|_| None).0);
        workers.start(Worker::new("failing", async || Err("always".into())));
        workers.stop().await;
    }

    #[test]
    fn a_panic_is_told_by_its_text() {
        assert_eq!(panic_text(&"plain"), "panicked: plain");
        assert_eq!(panic_text(&"made".to_owned()), "panicked: made");
        assert_eq!(panic_text(&7), "panicked: ");
    }
}

//! Where the ledger's time comes from, and whether it can be believed.

use ledger_core::Timestamp;
use std::time::Duration;
use tokio::sync::watch;

/// How far the wall clock may leap, and how long time may stand still, before commands are refused.
pub(crate) const MAX_LEAP_MS: i64 = 5 * 60 * 1_000;
/// Leaps within the bound are forgotten after a day, so that small corrections do not add up to a large one.
const FORGIVEN_AFTER_MS: i64 = 24 * 60 * 60 * 1_000;
/// How long a ledger may have been down before somebody must confirm at its start that the clock is right.
pub(crate) const MAX_GAP_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// The clock of Linux that goes on while the machine is suspended, so that waking up is no leap.
#[cfg(target_os = "linux")]
const RUNNING: rustix::time::ClockId = rustix::time::ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const RUNNING: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

/// The wall clock with a monotonic one beside it, or in tests clocks that are set by hand.
#[derive(Clone, Debug)]
pub enum Clock {
    System,
    Manual {
        wall: watch::Receiver<Timestamp>,
        /// What the wall clock would show had nobody set it; `None` where it never leaps.
        running: Option<watch::Receiver<Timestamp>>,
    },
}

/// What both clocks show. Where the second begins means nothing; it never leaps.
#[derive(Clone, Copy, Debug)]
struct Reading {
    wall: Timestamp,
    running: Timestamp,
}

impl Clock {
    /// A clock that shows what was last sent, for tests.
    pub fn manual(start: Timestamp) -> (watch::Sender<Timestamp>, Clock) {
        let (hand, wall) = watch::channel(start);
        (hand, Clock::Manual { wall, running: None })
    }

    /// A clock whose wall time and running time are set apart, for tests of leaps.
    pub fn manual_that_leaps(
        start: Timestamp,
    ) -> (watch::Sender<Timestamp>, watch::Sender<Timestamp>, Clock) {
        let ((hand, wall), (running_hand, running)) = (watch::channel(start), watch::channel(start));
        (hand, running_hand, Clock::Manual { wall, running: Some(running) })
    }

    #[expect(clippy::disallowed_methods, reason = "the one place where the ledger reads the time")]
    pub fn now(&self) -> Timestamp {
        match self {
            Clock::System => chrono::Utc::now().into(),
            Clock::Manual { wall, .. } => *wall.borrow(),
        }
    }

    fn read(&self) -> Reading {
        let wall = self.now();
        let running = match self {
            Clock::System => {
                let time = rustix::time::clock_gettime(RUNNING);
                Timestamp(time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000))
            }
            Clock::Manual { running, .. } => running.as_ref().map_or(wall, |running| *running.borrow()),
        };
        Reading { wall, running }
    }

    /// Returns once the clock shows `moment` or later.
    pub async fn sleep_until(&self, moment: Timestamp) {
        match self {
            Clock::System => {
                // The wall clock may be set back meanwhile, so it is asked again.
                while let Ok(open @ 1..) = u64::try_from(moment.since(self.now())) {
                    tokio::time::sleep(Duration::from_millis(open)).await;
                }
            }
            Clock::Manual { wall, .. } => {
                let mut wall = wall.clone();
                if wall.wait_for(|now| *now >= moment).await.is_err() {
                    // Nobody can set the clock any more: the moment never comes.
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

/// How the wall clock and what is known otherwise contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Leap {
    /// More wall time has passed than time: ticks, expiries and keys would be days away.
    #[error("the server's clock has leapt {} s ahead", .ahead_ms / 1_000)]
    Ahead { ahead_ms: i64 },
    /// Time would have to stand still until the clock has come up.
    #[error("the server's clock is {} s behind the journal's last event", .behind_ms / 1_000)]
    Behind { behind_ms: i64 },
}

/// Holds the wall clock against the running time since a moment at which it was believed.
pub(crate) struct Pace {
    clock: Clock,
    believed: Reading,
}

impl Pace {
    /// Believes what `clock` shows now.
    pub fn new(clock: Clock) -> Pace {
        let believed = clock.read();
        Pace { clock, believed }
    }

    /// The time to go by after an event at `last_at`, and what makes the clock implausible, if anything
    /// does. The time never runs backwards and never follows a leap.
    pub fn now(&mut self, last_at: Timestamp) -> (Timestamp, Option<Leap>) {
        let reading = self.clock.read();
        let running_ms = reading.running.since(self.believed.running);
        let expected = self.believed.wall.plus_ms(running_ms);
        let (ahead_ms, behind_ms) = (reading.wall.since(expected), last_at.since(reading.wall));
        if ahead_ms > MAX_LEAP_MS {
            return (expected.max(last_at), Some(Leap::Ahead { ahead_ms }));
        }
        if behind_ms > MAX_LEAP_MS {
            return (last_at, Some(Leap::Behind { behind_ms }));
        }
        if running_ms > FORGIVEN_AFTER_MS && ahead_ms >= -MAX_LEAP_MS {
            self.believed = reading;
        }
        (reading.wall.max(last_at), None)
    }
}

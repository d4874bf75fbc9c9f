//! Where the ledger's time comes from.

use ledger_core::Timestamp;
use std::time::Duration;
use tokio::sync::watch;

/// The wall clock, or in tests one that is set by hand.
#[derive(Clone, Debug)]
pub enum Clock {
    System,
    Manual(watch::Receiver<Timestamp>),
}

impl Clock {
    /// A clock that shows what was last sent, for tests.
    pub fn manual(start: Timestamp) -> (watch::Sender<Timestamp>, Clock) {
        let (hand, face) = watch::channel(start);
        (hand, Clock::Manual(face))
    }

    #[expect(clippy::disallowed_methods, reason = "the one place where the ledger reads the time")]
    pub fn now(&self) -> Timestamp {
        match self {
            Clock::System => chrono::Utc::now().into(),
            Clock::Manual(face) => *face.borrow(),
        }
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
            Clock::Manual(face) => {
                let mut face = face.clone();
                if face.wait_for(|now| *now >= moment).await.is_err() {
                    // Nobody can set the clock any more: the moment never comes.
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

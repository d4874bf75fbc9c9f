//! The worker: follows the journal, signs and publishes, until it is stopped.

use super::publish::Published;
use super::tree::{At, BATCH_LEAVES, Step};
use super::{JournalHeads, TreeFault};
use crate::clock;
use chrono::{DateTime, TimeDelta, Utc};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

/// While events arrive they are gathered for so long: a leaf is in no hurry, and a growing tile is written as a whole.
const GATHER: Duration = Duration::from_secs(1);
/// How often an idle worker looks whether a head is due, or one of another node is to be published.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A refusal is told of again after so long.
const TELL_AGAIN: Duration = Duration::from_secs(3_600);

/// What the worker knows between two rounds.
#[derive(Default)]
struct Round {
    at: Option<At>,
    /// The largest head: how many events it has, and when it was signed.
    signed: Option<(u64, DateTime<Utc>)>,
    /// What was told last, and when.
    told: Option<(String, Instant)>,
}

impl JournalHeads {
    /// Works for as long as it is polled. An outage is waited out; a journal that is not the one that was signed is told
    /// of by an alert, and looked at again.
    pub async fn work(&self) -> Infallible {
        let mut round = Round::default();
        let mut pause = FIRST_PAUSE;
        loop {
            match self.round(&mut round).await {
                Ok(seen) => {
                    if round.told.take().is_some() {
                        info!("heads of the journal are signed and published again");
                    }
                    pause = FIRST_PAUSE;
                    // Errors of the store show when it is read.
                    drop(timeout(LOOK_AGAIN, self.0.store.wait_beyond(seen.checked_sub(1))).await);
                    sleep(GATHER).await;
                }
                Err(fault) => {
                    round.at = None;
                    round.tell(&fault);
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Appends what there is, signs and publishes what is due, and answers how many leaves the tree has.
    async fn round(&self, round: &mut Round) -> Result<u64, TreeFault> {
        loop {
            match self.0.step(&mut round.at).await? {
                Step::Appended(leaves) if leaves >= BATCH_LEAVES / 2 => {}
                Step::Appended(_) | Step::CaughtUp => break,
                Step::Moved => {}
            }
        }
        let size = round.at.as_ref().map_or(0, |at| at.stored.size);
        if self.is_due(round, size) {
            let head = self.0.sign(&mut round.at).await?;
            round.signed = head.map(|head| (head.size, head.signed_at)).or(round.signed);
        }
        while let Published::Some = self.0.publish().await? {}
        Ok(size)
    }

    fn is_due(&self, round: &Round, size: u64) -> bool {
        let every = TimeDelta::from_std(self.0.settings.every).unwrap_or(TimeDelta::MAX);
        match round.signed {
            // The first one finds what an earlier run has signed.
            None => true,
            Some((signed, at)) => size != signed && clock::now() - at >= every,
        }
    }
}

impl Round {
    fn tell(&mut self, fault: &TreeFault) {
        let text = fault.to_string();
        let known = self.told.as_ref().is_some_and(|(told, at)| *told == text && at.elapsed() < TELL_AGAIN);
        if known {
            return;
        }
        match fault {
            TreeFault::Refused(_) => error!(
                alert = "heads_refused", %fault,
                "no head of the journal is signed: it is not the journal that was signed before; keep it as it is and run \
                 muneem verify"
            ),
            TreeFault::NotPublished(_) => error!(
                alert = "heads_not_published", %fault,
                "a head of the journal was not published; it is tried again"
            ),
            TreeFault::Outage(_) => warn!(%fault, "the tree of the journal stands still; trying again"),
        }
        self.told = Some((text, Instant::now()));
    }
}

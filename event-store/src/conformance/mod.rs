//! What every adapter must do, as one suite that runs on any of them, also on a live store.
//!
//! One case is not tested, as the adapters differ in it: appending events whose ids are recorded already
//! at the end of the stream. EventStoreDB does not compare ids there and records the events again. So
//! writers must never use an id twice.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::{AppendError, BATCH_LIMIT_BYTES, EventStore, NewEvent, ReadError, RecordedEvent, follow};

/// Longer than any store needs; a story that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pause before something is tried again at a store that does not answer.
const PAUSE: Duration = Duration::from_millis(20);

type Store = Arc<dyn EventStore>;
type Stream = Arc<dyn Subject>;
type Told = Result<(), String>;

/// A stream that a story is told on: empty when it is opened for the first time.
#[async_trait]
pub trait Subject: Send + Sync + 'static {
    /// How many handles to the stream there can be.
    fn handles(&self) -> Handles;

    /// Opens the stream, as a process does that starts.
    async fn open(&self) -> Result<Arc<dyn EventStore>, String>;

    /// Cuts the connections of all open handles, as a restarted server or a network would; does nothing where
    /// the store has none.
    async fn cut_connections(&self) -> Result<(), String> {
        Ok(())
    }
}

/// How many handles to one stream there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handles {
    /// All handles are one, and the events are gone with it: such a store cannot be opened again.
    Shared,
    /// One at a time.
    One,
    Many,
}

/// One thing that a store must do.
pub struct Story {
    pub name: &'static str,
    opens_again: bool,
    tell: fn(Stream) -> BoxFuture<'static, Told>,
}

/// How a story ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// It has no meaning for such a store; says why.
    NotForThis(&'static str),
}

impl Story {
    /// Tells the story on an empty stream. Needs a tokio runtime with time.
    ///
    /// # Errors
    /// What the store did instead.
    pub async fn run(&self, empty: Arc<dyn Subject>) -> Result<Outcome, String> {
        if self.opens_again && empty.handles() == Handles::Shared {
            return Ok(Outcome::NotForThis("its events are gone when it is closed"));
        }
        let told = timeout(PATIENCE, (self.tell)(empty)).await;
        let told = told.unwrap_or_else(|_| Err(format!("not done within {PATIENCE:?}")));
        told.map(|()| Outcome::Passed).map_err(|what| format!("{}: {what}", self.name))
    }
}

/// All stories; each needs an empty stream of its own.
pub const STORIES: &[Story] = &[
    story!(a_new_stream_is_empty),
    story!(events_are_recorded_as_they_were_given),
    story!(batches_of_one_of_a_thousand_and_of_the_largest_size_are_recorded),
    story!(a_batch_beyond_the_limit_is_refused),
    story!(an_empty_batch_is_refused),
    story!(an_append_at_another_revision_than_the_last_is_refused),
    story!(an_append_beyond_the_tail_says_that_the_tail_is_behind),
    story!(a_refused_batch_leaves_nothing_behind),
    story!(the_identical_batch_sent_again_answers_its_first_outcome),
    story!(a_batch_whose_reply_was_lost_is_written_once),
    story!(a_batch_that_only_begins_like_a_recorded_one_is_refused),
    story!(recorded_ids_at_another_revision_are_refused),
    story!(reads_answer_the_window_that_was_asked_for),
    story!(pages_from_any_revision_join_without_a_gap),
    story!(a_wait_ends_when_an_event_is_appended),
    story!(a_follower_sees_what_is_there_and_what_comes),
    story!(a_follower_that_starts_at_the_end_misses_nothing),
    story!(of_racing_writers_exactly_one_wins_each_revision),
    story!(racing_writers_who_try_again_all_get_in),
    reopening!(what_was_acknowledged_is_there_when_the_stream_is_opened_again),
    reopening!(a_follower_sees_everything_once_and_in_order_over_lost_connections_and_restarts),
];

/// Runs every story, each on a stream that `empty` makes, and answers those that have no meaning for the store.
///
/// # Errors
/// The first story that failed, and why.
pub async fn run_all(empty: impl AsyncFn() -> Arc<dyn Subject>) -> Result<Vec<&'static str>, String> {
    let mut not_told = Vec::new();
    for story in STORIES {
        if story.run(empty().await).await? != Outcome::Passed {
            not_told.push(story.name);
        }
    }
    Ok(not_told)
}

/// A story that needs one handle.
macro_rules! story {
    ($name:ident) => {
        Story { name: stringify!($name), opens_again: false, tell: |stream| Box::pin($name(stream)) }
    };
}
use story;

/// A story that closes the stream and opens it again.
macro_rules! reopening {
    ($name:ident) => {
        Story { name: stringify!($name), opens_again: true, tell: |stream| Box::pin($name(stream)) }
    };
}
use reopening;

macro_rules! ensure {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(format!($($what)+));
        }
    };
}

mod expect;
mod stories;

use stories::*;

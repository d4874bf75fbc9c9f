//! How a batch gets into the store.

use crate::health::Health;
use backon::{BackoffBuilder, ExponentialBuilder, Retryable};
use event_store::{AppendError, Batch, EventStore, ReadError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How the store answered a batch.
pub(crate) enum Stored {
    Durable,
    /// Another node wrote: what was decided on the old end is void.
    LostRace,
    /// The store ends before what was durable: no node can have done that.
    Lost(String),
    /// The store has no room; nothing was appended.
    NoSpace(String),
    /// The store will never take this batch.
    Refused(String),
}

/// The pauses between two attempts at a store that does not answer: they never end.
pub(crate) fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(20))
        .with_max_delay(Duration::from_secs(2))
        .without_max_times()
}

/// The pauses one by one.
pub(crate) fn pauses() -> impl Iterator<Item = Duration> {
    backoff().build()
}

/// An attempt at a store that does not answer for so long is told of while it goes on: a connection may be silent for
/// long before it is known to be lost.
const SILENCE: Duration = Duration::from_secs(1);

async fn attended<T>(health: &Health, attempt: impl Future<Output = T>) -> T {
    let mut attempt = std::pin::pin!(attempt);
    tokio::select! {
        answer = &mut attempt => return answer,
        () = tokio::time::sleep(SILENCE) => {
            health.stalled(Some(format!("it has not answered for {} s", SILENCE.as_secs())));
        }
    }
    attempt.await
}

/// Appends a batch, the identical one at the identical revision until its outcome is known.
pub(crate) async fn append(
    store: &dyn EventStore,
    durable: u64,
    batch: &Arc<Batch>,
    health: &Health,
) -> Stored {
    let begun = Instant::now();
    let appended = (|| attended(health, store.append_batch(durable.checked_sub(1), batch)))
        .retry(backoff())
        .when(|fault| matches!(fault, AppendError::OutcomeUnknown(_)))
        .notify(|fault, _| health.stalled(Some(fault.to_string())))
        .await;
    metrics::histogram!("muneem_ledger_append_duration_seconds").record(begun.elapsed());
    health.stalled(None);
    match appended {
        Ok(_) => Stored::Durable,
        Err(AppendError::WrongExpectedRevision { .. }) => Stored::LostRace,
        Err(fault @ AppendError::TailBehind { .. }) => Stored::Lost(fault.to_string()),
        Err(AppendError::NoSpace(reason)) => Stored::NoSpace(reason),
        Err(AppendError::Refused(reason)) => Stored::Refused(reason),
        // The pauses never end, so it is asked until it is known.
        Err(AppendError::OutcomeUnknown(reason)) => Stored::Lost(reason),
    }
}

/// Whether the store still ends where the answers of a batch without events were decided.
pub(crate) async fn check_end(store: &dyn EventStore, durable: u64, health: &Health) -> Stored {
    match end_of(store, health).await {
        Ok(events) if events == durable => Stored::Durable,
        Ok(events) if events > durable => Stored::LostRace,
        Ok(events) => Stored::Lost(format!("the store has {events} events, and {durable} were durable")),
        Err(reason) => Stored::Lost(reason),
    }
}

/// How many events the store has. It is asked until it answers.
///
/// # Errors
/// When it has lost some.
pub(crate) async fn end_of(store: &dyn EventStore, health: &Health) -> Result<u64, String> {
    let head = (|| attended(health, store.head()))
        .retry(backoff())
        .when(|fault| !matches!(fault, ReadError::TailBehind(_)))
        .notify(|fault, _| health.stalled(Some(fault.to_string())))
        .await;
    health.stalled(None);
    head.map(|head| head.map_or(0, |head| head + 1)).map_err(|fault| fault.to_string())
}

//! Following a stream: the recorded events, then new ones as they are appended.

use std::sync::Arc;

use futures_util::stream::{self, Stream};
use tokio::sync::watch;

use crate::{EventStore, ReadError, RecordedEvent};

/// The events from revision `from` on, in batches of one to `batch` events, for ever: at the end of
/// the stream it waits for more. After an error the stream ends; follow again from the revision
/// after the last event that came.
pub fn follow(
    store: Arc<dyn EventStore>,
    from: u64,
    batch: usize,
) -> impl Stream<Item = Result<Vec<RecordedEvent>, ReadError>> + Send + 'static {
    stream::try_unfold(from, move |next| {
        let store = Arc::clone(&store);
        async move {
            loop {
                let events = store.read(next, batch.max(1)).await?;
                if let Some(last) = events.last() {
                    let next = last.revision.saturating_add(1);
                    return Ok(Some((events, next)));
                }
                store.wait_beyond(next.checked_sub(1)).await?;
            }
        }
    })
}

/// Waits until the head that a store in this process publishes is beyond `seen`.
pub(crate) async fn wait_for_head(
    mut head: watch::Receiver<Option<u64>>,
    seen: Option<u64>,
) -> Result<u64, ReadError> {
    let closed = || ReadError::Unavailable("the store was closed".into());
    let head = *head.wait_for(|head| *head > seen).await.map_err(|_| closed())?;
    head.ok_or_else(closed)
}

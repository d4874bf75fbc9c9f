//! A store that a test can hold, take down and make uncertain.

use async_trait::async_trait;
use event_store::{AppendError, Batch, EventStore, ReadError, RecordedEvent};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// What becomes of one append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// None: for an append before one that has a fault.
    Passes,
    /// Not appended, and the caller is not told.
    UnknownBefore,
    /// Appended, and the caller is not told.
    UnknownAfter,
    /// Appended, and no answer ever comes: the process dies meanwhile.
    SilentAfter,
    Refused,
    /// Not appended, as there is no room.
    NoSpace,
    /// Not appended, as another node is said to have written; none has.
    Contradicts,
    /// A fault of the program in the middle of the append.
    Panics,
}

/// Wraps a store; several can stand before one.
pub struct Rig {
    inner: Mutex<Arc<dyn EventStore>>,
    gate: watch::Sender<bool>,
    reachable: watch::Sender<bool>,
    readable: watch::Sender<bool>,
    /// Whether there is room for events.
    room: watch::Sender<bool>,
    /// Whether the end can be asked for.
    end_known: watch::Sender<bool>,
    /// Batches with events that hold these bytes are refused.
    disliked: Mutex<Option<Vec<u8>>>,
    faults: Mutex<VecDeque<Fault>>,
    /// Appends that have come so far, answered or not.
    arrived: watch::Sender<usize>,
    /// Faults that have had their effect.
    struck: watch::Sender<usize>,
    /// How often the end was asked for: once by each batch that appends nothing.
    asked: AtomicUsize,
    /// How many events each batch had that was answered as appended.
    batches: Mutex<Vec<usize>>,
}

impl Rig {
    pub fn before(inner: Arc<dyn EventStore>) -> Arc<Rig> {
        Arc::new(Rig {
            inner: Mutex::new(inner),
            gate: watch::channel(true).0,
            reachable: watch::channel(true).0,
            readable: watch::channel(true).0,
            room: watch::channel(true).0,
            end_known: watch::channel(true).0,
            disliked: Mutex::default(),
            faults: Mutex::default(),
            arrived: watch::channel(0).0,
            struck: watch::channel(0).0,
            asked: AtomicUsize::new(0),
            batches: Mutex::default(),
        })
    }

    /// From now on appends wait at the gate, nothing of them being written.
    pub fn hold(&self) {
        self.gate.send_replace(false);
    }

    pub fn release(&self) {
        self.gate.send_replace(true);
    }

    /// The store answers neither reads nor appends from now on, or does again.
    pub fn reachable(&self, reachable: bool) {
        self.reachable.send_replace(reachable);
    }

    /// Events cannot be read from now on, or can again; all else goes on.
    pub fn read_fails(&self, fails: bool) {
        self.readable.send_replace(!fails);
    }

    /// There is room for events from now on, or there is none.
    pub fn has_room(&self, room: bool) {
        self.room.send_replace(room);
    }

    /// The end cannot be asked for from now on, or can again; all else goes on.
    pub fn end_is_unknown(&self, unknown: bool) {
        self.end_known.send_replace(!unknown);
    }

    /// From now on the store refuses each batch with an event that holds `bytes`.
    pub fn refuse_what_holds(&self, bytes: &[u8]) {
        *self.disliked.lock().expect("not poisoned") = Some(bytes.to_vec());
    }

    /// Puts another store in the place of the one behind.
    pub fn replace(&self, inner: Arc<dyn EventStore>) {
        *self.inner.lock().expect("not poisoned") = inner;
    }

    fn inner(&self) -> Arc<dyn EventStore> {
        self.inner.lock().expect("not poisoned").clone()
    }

    fn dislikes(&self, batch: &Batch) -> bool {
        let disliked = self.disliked.lock().expect("not poisoned");
        disliked.as_ref().is_some_and(|bytes| {
            batch.events().any(|event| event.data.windows(bytes.len()).any(|part| part == bytes))
        })
    }

    /// What becomes of the next append for which nothing is planned yet.
    pub fn plan(&self, fault: Fault) {
        self.faults.lock().expect("not poisoned").push_back(fault);
    }

    pub fn clear_plan(&self) {
        self.faults.lock().expect("not poisoned").clear();
    }

    pub fn arrived(&self) -> usize {
        *self.arrived.borrow()
    }

    /// Returns once `count` appends have come in all.
    pub async fn until_arrived(&self, count: usize) {
        let seen = self.arrived.subscribe().wait_for(|seen| *seen >= count).await.map(|seen| *seen);
        seen.expect("the rig is there");
    }

    pub async fn until_struck(&self, count: usize) {
        let seen = self.struck.subscribe().wait_for(|seen| *seen >= count).await.map(|seen| *seen);
        seen.expect("the rig is there");
    }

    pub fn struck(&self) -> usize {
        *self.struck.borrow()
    }

    /// The sizes of the batches that were answered as appended, and forgets them.
    pub fn take_batches(&self) -> Vec<usize> {
        std::mem::take(&mut self.batches.lock().expect("not poisoned"))
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn check_reachable(&self) -> Result<(), ReadError> {
        let reachable = *self.reachable.borrow();
        reachable.then_some(()).ok_or_else(|| ReadError::Unavailable("the line is cut".to_owned()))
    }

    fn strike(&self) {
        self.struck.send_modify(|count| *count += 1);
    }
}

#[async_trait]
impl EventStore for Rig {
    fn is_shared(&self) -> bool {
        self.inner().is_shared()
    }

    async fn append_batch(&self, expected: Option<u64>, batch: &Arc<Batch>) -> Result<u64, AppendError> {
        self.arrived.send_modify(|count| *count += 1);
        let open = self.gate.subscribe().wait_for(|open| *open).await.map(|open| *open);
        open.expect("the rig is there");
        let unknown = |reason: &str| AppendError::OutcomeUnknown(reason.to_owned());
        self.check_reachable().map_err(|fault| unknown(&fault.to_string()))?;
        if !*self.room.borrow() {
            return Err(AppendError::NoSpace("the disk is full".to_owned()));
        }
        if self.dislikes(batch) {
            return Err(AppendError::Refused("it does not like it".to_owned()));
        }
        let fault = self.faults.lock().expect("not poisoned").pop_front();
        match fault {
            None | Some(Fault::Passes) => {
                let last = self.inner().append_batch(expected, batch).await?;
                self.batches.lock().expect("not poisoned").push(batch.len());
                Ok(last)
            }
            Some(Fault::UnknownBefore) => {
                self.strike();
                Err(unknown("the connection broke"))
            }
            Some(Fault::UnknownAfter) => {
                let outcome = self.inner().append_batch(expected, batch).await;
                self.strike();
                outcome.and(Err(unknown("the connection broke")))
            }
            Some(Fault::SilentAfter) => {
                drop(self.inner().append_batch(expected, batch).await);
                self.strike();
                std::future::pending().await
            }
            Some(Fault::Refused) => {
                self.strike();
                Err(AppendError::Refused("it does not like it".to_owned()))
            }
            Some(Fault::NoSpace) => {
                self.strike();
                Err(AppendError::NoSpace("the disk is full".to_owned()))
            }
            Some(Fault::Contradicts) => {
                self.strike();
                Err(AppendError::WrongExpectedRevision { expected, current: expected })
            }
            Some(Fault::Panics) => panic!("a fault of the store's adapter"),
        }
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        self.check_reachable()?;
        if !*self.readable.borrow() {
            return Err(ReadError::Unavailable("a bad sector".to_owned()));
        }
        self.inner().read(from, max).await
    }

    async fn head(&self) -> Result<Option<u64>, ReadError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.check_reachable()?;
        if !*self.end_known.borrow() {
            return Err(ReadError::Unavailable("the end is not known".to_owned()));
        }
        self.inner().head().await
    }

    async fn wait_beyond(&self, seen: Option<u64>) -> Result<u64, ReadError> {
        self.check_reachable()?;
        let mut reachable = self.reachable.subscribe();
        let inner = self.inner();
        tokio::select! {
            head = inner.wait_beyond(seen) => head,
            _ = reachable.wait_for(|reachable| !reachable) => {
                Err(ReadError::Unavailable("the line is cut".to_owned()))
            }
        }
    }
}

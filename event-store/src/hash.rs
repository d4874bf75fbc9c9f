//! What two copies of a journal are compared by.

use sha2::{Digest, Sha256};

use crate::RecordedEvent;

/// The SHA-256 of all events in order, each as in the body of a batch: id, the lengths of kind, data and metadata, and
/// these three. It is the same for every store, and however the events were put together in batches.
#[derive(Clone, Default)]
pub struct EventsHash(Sha256);

impl EventsHash {
    pub fn update(&mut self, event: &RecordedEvent) {
        self.0.update(event.id.as_bytes());
        self.0.update((event.kind.len() as u16).to_le_bytes());
        self.0.update((event.data.len() as u32).to_le_bytes());
        self.0.update((event.metadata.len() as u32).to_le_bytes());
        self.0.update(event.kind.as_bytes());
        self.0.update(&event.data);
        self.0.update(&event.metadata);
    }

    /// The events of a whole body.
    pub(crate) fn update_body(&mut self, body: &[u8]) {
        self.0.update(body);
    }

    /// In hex.
    #[must_use]
    pub fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

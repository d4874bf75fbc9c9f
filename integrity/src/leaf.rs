//! From events to the hashes of their leaves.

use event_store::RecordedEvent;
use ledger_core::LeafWriter;
use ledger_core::event::DecodeError;
use tlog_tiles::{Hash, record_hash};

/// Makes leaves of events that come in their order, beginning with the first of a unit.
#[derive(Clone, Debug, Default)]
pub struct Leaves {
    writer: LeafWriter,
    bytes: Vec<u8>,
}

impl Leaves {
    /// The bytes of the event's leaf.
    ///
    /// # Errors
    /// When the event is in none of the forms that this program writes.
    pub fn bytes(&mut self, event: &RecordedEvent) -> Result<&[u8], DecodeError> {
        let RecordedEvent { revision: _, id, kind, data, metadata } = event;
        self.bytes.clear();
        self.writer.put(*id, kind, data, metadata, &mut self.bytes)?;
        Ok(&self.bytes)
    }

    /// The hash of the event's leaf: SHA-256 of a zero byte and the leaf's bytes.
    ///
    /// # Errors
    /// As [`Leaves::bytes`].
    pub fn hash(&mut self, event: &RecordedEvent) -> Result<Hash, DecodeError> {
        self.bytes(event).map(record_hash)
    }
}

//! Events that are appended together.

use crate::{AppendError, BATCH_LIMIT_BYTES, EVENT_OVERHEAD_BYTES, NewEvent};
use uuid::Uuid;

/// Events that are appended together, one behind the other as the embedded store writes them: whoever encodes events
/// writes them straight to where they go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    body: Vec<u8>,
    /// Where each event begins.
    starts: Vec<usize>,
    /// Why no store takes it.
    unfit: Option<String>,
}

/// An event of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRef<'a> {
    pub id: Uuid,
    pub kind: &'a str,
    pub data: &'a [u8],
    pub metadata: &'a [u8],
}

impl Batch {
    /// Adds an event, whose data and metadata are what is written behind the bytes that are there.
    pub fn push(
        &mut self,
        id: Uuid,
        kind: &str,
        data: impl FnOnce(&mut Vec<u8>),
        metadata: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.body.len();
        self.starts.push(start);
        self.body.extend_from_slice(id.as_bytes());
        // The lengths are known when all is written.
        self.body.resize(start + EVENT_OVERHEAD_BYTES, 0);
        self.body.extend_from_slice(kind.as_bytes());
        let from = self.body.len();
        data(&mut self.body);
        let data_bytes = self.body.len() - from;
        metadata(&mut self.body);
        let metadata_bytes = self.body.len() - from - data_bytes;
        let lengths = &mut self.body[start + 16..start + EVENT_OVERHEAD_BYTES];
        lengths[0..2].copy_from_slice(&(kind.len() as u16).to_le_bytes());
        lengths[2..6].copy_from_slice(&(data_bytes as u32).to_le_bytes());
        lengths[6..10].copy_from_slice(&(metadata_bytes as u32).to_le_bytes());
        if kind.len() > usize::from(u16::MAX) {
            self.unfit = Some(format!("the name of a kind has {} bytes", kind.len()));
        }
        // PostgreSQL has no such text.
        if kind.contains('\0') {
            self.unfit = Some("the name of a kind has a character of code 0".into());
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// All events as they follow each other in a frame.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    pub fn events(&self) -> impl ExactSizeIterator<Item = EventRef<'_>> {
        self.starts.iter().map(|start| self.event(&self.body[*start..]))
    }

    fn event<'a>(&'a self, bytes: &'a [u8]) -> EventRef<'a> {
        let number = |from: usize, to: usize| {
            bytes[from..to].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
        };
        let (kind, data, metadata) = (number(16, 18), number(18, 22), number(22, 26));
        let (head, rest) = bytes.split_at(EVENT_OVERHEAD_BYTES);
        let (kind, rest) = rest.split_at(kind);
        let (data, rest) = rest.split_at(data);
        EventRef {
            id: Uuid::from_slice(&head[..16]).unwrap_or_default(),
            kind: std::str::from_utf8(kind).unwrap_or_default(),
            data,
            metadata: &rest[..metadata],
        }
    }

    /// Checks that every adapter makes before it compares revisions.
    pub(crate) fn check(&self) -> Result<(), AppendError> {
        if self.is_empty() {
            return Err(AppendError::Refused("it has no events".into()));
        }
        if let Some(reason) = &self.unfit {
            return Err(AppendError::Refused(reason.clone()));
        }
        let bytes = self.body.len();
        if bytes > BATCH_LIMIT_BYTES {
            return Err(AppendError::Refused(format!(
                "it has {bytes} bytes, the limit is {BATCH_LIMIT_BYTES}"
            )));
        }
        Ok(())
    }
}

impl<'a> FromIterator<&'a NewEvent> for Batch {
    fn from_iter<I: IntoIterator<Item = &'a NewEvent>>(events: I) -> Batch {
        let mut batch = Batch::default();
        for event in events {
            batch.push(
                event.id,
                &event.kind,
                |out| out.extend_from_slice(&event.data),
                |out| out.extend_from_slice(&event.metadata),
            );
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_holds_the_events_that_were_put_into_it() {
        let event = |number: u8, kind: &str| NewEvent {
            id: Uuid::from_u128(number.into()),
            kind: kind.to_owned(),
            data: vec![number; usize::from(number) * 100],
            metadata: vec![9; 3],
        };
        let events = [event(0, ""), event(1, "GiftSent"), event(2, "é")];
        let batch: Batch = events.iter().collect();
        let read: Vec<EventRef<'_>> = batch.events().collect();
        for (event, read) in events.iter().zip(&read) {
            let NewEvent { id, kind, data, metadata } = event;
            assert_eq!(*read, EventRef { id: *id, kind, data, metadata });
        }
        assert_eq!(read.len(), 3);
        assert_eq!(batch.body().len(), events.iter().map(NewEvent::stored_bytes).sum::<usize>());
        assert!(batch.check().is_ok());
    }
}

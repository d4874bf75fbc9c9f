//! The bytes of an event that its leaf in the journal's tree is made of. They are the same whichever store holds the event,
//! and every byte that a store holds of it changes them. `docs/event-format.md` describes them.
//!
//! A leaf says all that is known of its event: what a unit's first event says of all of them stands in the leaf of each.
//! So whoever is shown one leaf knows who gave the command, and when.

use super::binary::is_binary;
use super::event::DecodeError;
use super::metadata::{Metadata, Recorded, decode_whole, malformed, split_place};
use crate::nouns::Event;
use uuid::Uuid;

/// The id, and the lengths of kind, data and metadata.
const HEAD_BYTES: usize = 16 + 2 + 4 + 4;

/// Writes the leaves of events in their order: it keeps what the first event of a unit says of all of them.
#[derive(Clone, Debug, Default)]
pub struct LeafWriter {
    /// What stands behind the place in the metadata of the last event that began a unit.
    unit: Option<Vec<u8>>,
}

impl LeafWriter {
    /// Writes the leaf of an event, as a store holds it in either form, behind what is there.
    ///
    /// # Errors
    /// When it is in none of the forms that this program writes.
    pub fn put(
        &mut self,
        id: Uuid,
        kind: &str,
        data: &[u8],
        metadata: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        if is_binary(data) != is_binary(metadata) {
            return Err(malformed("its data are in another form"));
        }
        if !is_binary(metadata) {
            let (data, metadata) = binary_of(kind, data, metadata)?;
            let (place, _, unit) = split_place(&metadata)?;
            return put_parts(id, kind, &data, [place, unit], out);
        }
        let (place, index, rest) = split_place(metadata)?;
        match index {
            0 => self.unit = Some(rest.to_vec()),
            _ if !rest.is_empty() => return Err(malformed("bytes follow")),
            _ => {}
        }
        let unit =
            self.unit.as_deref().ok_or_else(|| malformed("the first event of its unit is not there"))?;
        put_parts(id, kind, data, [place, unit], out)
    }
}

fn put_parts(
    id: Uuid,
    kind: &str,
    data: &[u8],
    [place, unit]: [&[u8]; 2],
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let length = |bytes: usize| u32::try_from(bytes).map_err(|_| malformed("it is too long"));
    let kind_length = u16::try_from(kind.len()).map_err(|_| malformed("the name of its type is too long"))?;
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(&kind_length.to_le_bytes());
    out.extend_from_slice(&length(data.len())?.to_le_bytes());
    out.extend_from_slice(&length(place.len() + unit.len())?.to_le_bytes());
    for part in [kind.as_bytes(), data, place, unit] {
        out.extend_from_slice(part);
    }
    Ok(())
}

/// Data and metadata in the binary form, of JSON that is exactly as this program writes it.
fn binary_of(kind: &str, data: &[u8], metadata: &[u8]) -> Result<(Vec<u8>, Vec<u8>), DecodeError> {
    let event = Event::decode(kind, data)?;
    let read = Metadata::from_json(metadata)?;
    // Spaces, and fields in another order, would change nothing else.
    if event.to_json() != data || read.to_json() != metadata {
        return Err(malformed("its JSON is not as this program writes it"));
    }
    if read.correlation != event.correlation() {
        return Err(malformed("its correlation is not that of the event"));
    }
    let mut binary = Vec::new();
    event.encode_into(&mut binary);
    Ok((binary, read.encode_whole()))
}

/// Reads the event that a leaf is made of.
pub fn read_leaf(revision: u64, leaf: &[u8]) -> Result<Recorded, DecodeError> {
    let parts = || {
        let (head, rest) = leaf.split_at_checked(HEAD_BYTES)?;
        let (id, lengths) = head.split_first_chunk::<16>()?;
        let (kind_length, lengths) = lengths.split_first_chunk::<2>()?;
        let (data_length, lengths) = lengths.split_first_chunk::<4>()?;
        let metadata_length = lengths.first_chunk::<4>()?;
        let (kind, rest) = rest.split_at_checked(u16::from_le_bytes(*kind_length).into())?;
        let (data, metadata) = rest.split_at_checked(u32::from_le_bytes(*data_length) as usize)?;
        let is_whole = metadata.len() == u32::from_le_bytes(*metadata_length) as usize;
        is_whole.then_some((Uuid::from_bytes(*id), std::str::from_utf8(kind).ok()?, data, metadata))
    };
    let (event_id, kind, data, metadata) = parts().ok_or_else(|| malformed("it is no leaf"))?;
    let event = Event::decode(kind, data)?;
    let metadata = decode_whole(metadata, event.correlation())?;
    Ok(Recorded { revision, event_id, metadata, event })
}

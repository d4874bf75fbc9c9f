//! What nodes tell one another: commands, and the answers to them.

use crate::ledger::{ExecuteError, Receipt};
use ledger_core::{CommandId, Envelope, JournalId, NotCarried, Rejection};
use uuid::Uuid;

/// The journal of a node and its program: what it says first.
pub const HELLO: usize = 16 + 32;

pub fn hello(journal: JournalId, program: &[u8; 32]) -> Vec<u8> {
    [&journal.0.as_bytes()[..], program].concat()
}

/// Whether a node takes the commands of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Welcome {
    Yes,
    OtherProgram,
    OtherJournal,
    /// The node takes no commands at present.
    NotNow,
}

impl Welcome {
    pub fn code(self) -> u8 {
        match self {
            Welcome::Yes => 0,
            Welcome::OtherProgram => 1,
            Welcome::OtherJournal => 2,
            Welcome::NotNow => 3,
        }
    }

    /// Why not, if it is not.
    pub fn refusal(answer: &[u8]) -> Option<&'static str> {
        match answer {
            [0] => None,
            [1] => Some("it runs another program"),
            [2] => Some("it has another journal"),
            [3] => Some("it takes no commands at present"),
            _ => Some("it answers what no node answers"),
        }
    }
}

/// Puts commands that are decided together behind what is there.
pub fn put_group<'a>(commands: impl ExactSizeIterator<Item = &'a Envelope>, mut out: Vec<u8>) -> Vec<u8> {
    out.extend_from_slice(&(commands.len() as u32).to_le_bytes());
    commands.fold(out, |out, envelope| envelope.carry(out))
}

/// The groups of commands of a message.
///
/// # Errors
/// When it is not what a node sends.
pub fn groups(mut bytes: &[u8]) -> Result<Vec<Vec<Envelope>>, NotCarried> {
    let mut groups = vec![];
    while let Some((count, rest)) = bytes.split_first_chunk() {
        bytes = rest;
        let mut group = vec![];
        for _ in 0..u32::from_le_bytes(*count) {
            let (envelope, rest) = Envelope::carried(bytes)?;
            group.push(envelope);
            bytes = rest;
        }
        groups.push(group);
    }
    if bytes.is_empty() { Ok(groups) } else { Err(NotCarried) }
}

/// What a node answers to a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    Outcome(Result<Receipt, ExecuteError>),
    /// It cannot say: whoever asked decides.
    DecideYourself,
}

impl From<Result<Receipt, ExecuteError>> for Told {
    fn from(outcome: Result<Receipt, ExecuteError>) -> Told {
        match outcome {
            // The store or the clock of another node may be well.
            Err(
                ExecuteError::StoreAway
                | ExecuteError::ClockLeap(_)
                | ExecuteError::Stopped(_)
                | ExecuteError::OutcomeUnknown,
            ) => Told::DecideYourself,
            outcome => Told::Outcome(outcome),
        }
    }
}

const RECEIPT: u8 = 0;
const REJECTED: u8 = 1;
const FAULT: u8 = 2;
const BUSY: u8 = 3;
const STORAGE_FULL: u8 = 4;
const NOT_STORABLE: u8 = 5;
const DECIDE_YOURSELF: u8 = 6;

impl Told {
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Told::Outcome(Ok(Receipt { journal: _, command_id, revision, duplicate, recorded })) => {
                out.push(RECEIPT);
                out.extend_from_slice(command_id.0.as_bytes());
                out.extend_from_slice(&revision.to_le_bytes());
                out.push(u8::from(*duplicate) | u8::from(*recorded) << 1);
            }
            Told::Outcome(Err(ExecuteError::Rejected(rejection))) => {
                out.push(REJECTED);
                put_bytes(&rejection.carry(), out);
            }
            Told::Outcome(Err(ExecuteError::NotStorable(reason))) => {
                out.push(NOT_STORABLE);
                put_bytes(reason.as_bytes(), out);
            }
            Told::Outcome(Err(ExecuteError::Fault)) => out.push(FAULT),
            Told::Outcome(Err(ExecuteError::Busy)) => out.push(BUSY),
            Told::Outcome(Err(ExecuteError::StorageFull)) => out.push(STORAGE_FULL),
            Told::DecideYourself | Told::Outcome(Err(_)) => out.push(DECIDE_YOURSELF),
        }
    }

    /// The answer at the beginning of `bytes`, to a command of `journal`; `bytes` goes on behind it.
    ///
    /// # Errors
    /// When it is not what a node answers.
    pub fn take(bytes: &mut &[u8], journal: JournalId) -> Result<Told, NotCarried> {
        let [kind] = *array(bytes)?;
        Ok(match kind {
            RECEIPT => {
                let command_id = CommandId(Uuid::from_bytes(*array(bytes)?));
                let revision = u64::from_le_bytes(*array(bytes)?);
                let [flags] = *array(bytes)?;
                let (duplicate, recorded) = (flags & 1 != 0, flags & 2 != 0);
                Told::Outcome(Ok(Receipt { journal, command_id, revision, duplicate, recorded }))
            }
            REJECTED => Told::Outcome(Err(Rejection::carried(take_bytes(bytes)?)?.into())),
            NOT_STORABLE => {
                let reason = String::from_utf8(take_bytes(bytes)?.to_vec()).map_err(|_| NotCarried)?;
                Told::Outcome(Err(ExecuteError::NotStorable(reason)))
            }
            FAULT => Told::Outcome(Err(ExecuteError::Fault)),
            BUSY => Told::Outcome(Err(ExecuteError::Busy)),
            STORAGE_FULL => Told::Outcome(Err(ExecuteError::StorageFull)),
            DECIDE_YOURSELF => Told::DecideYourself,
            _ => return Err(NotCarried),
        })
    }
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], NotCarried> {
    let length = u32::from_le_bytes(*array(bytes)?) as usize;
    let (taken, rest) = bytes.split_at_checked(length).ok_or(NotCarried)?;
    *bytes = rest;
    Ok(taken)
}

fn array<'a, const N: usize>(bytes: &mut &'a [u8]) -> Result<&'a [u8; N], NotCarried> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(NotCarried)?;
    *bytes = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOURNAL: JournalId = JournalId(Uuid::from_u128(7));

    #[test]
    fn every_answer_is_read_as_it_was_told() {
        let command_id = CommandId(Uuid::from_u128(9));
        let receipt = |duplicate, recorded| {
            Ok(Receipt { journal: JOURNAL, command_id, revision: u64::MAX, duplicate, recorded })
        };
        let rejection =
            Rejection::InsufficientFunds { needed_milli: 5, spendable_milli: i64::from(i32::MIN) };
        let told = [
            receipt(true, false),
            receipt(false, true),
            Err(rejection.into()),
            Err(Rejection::AmountNotPositive { field: "coins_milli" }.into()),
            Err(ExecuteError::NotStorable("too long".to_owned())),
            Err(ExecuteError::Fault),
            Err(ExecuteError::Busy),
            Err(ExecuteError::StorageFull),
            Err(ExecuteError::StoreAway),
            Err(ExecuteError::Stopped("it is broken".to_owned())),
            Err(ExecuteError::OutcomeUnknown),
        ]
        .map(Told::from);
        let mut bytes = vec![];
        told.iter().for_each(|told| told.put(&mut bytes));
        let mut rest = &bytes[..];
        for told in told {
            assert_eq!(Told::take(&mut rest, JOURNAL), Ok(told));
        }
        assert!(rest.is_empty());
        let mut unknown = &[99][..];
        assert_eq!(Told::take(&mut unknown, JOURNAL), Err(NotCarried));
        for cut in 0..26 {
            assert_eq!(Told::take(&mut &bytes[..cut], JOURNAL), Err(NotCarried));
        }
    }
}

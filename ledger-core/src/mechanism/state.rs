//! What the journal adds up to: all that deciding the next command takes.
//!
//! Each noun adds its own questions to [`State`].

use super::account::Account;
use super::decide::check_key;
use super::envelope::{Key, command_ids};
use super::ids::{CommandId, JournalId};
use super::memory::{Memory, Remembered};
use super::metadata::{Actor, Metadata};
use super::money::Asset;
use super::stored::{Bytes, NotAState, Out};
use super::time::Timestamp;
use crate::nouns::{Rejection, Tables};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::io;

/// For how long a client's idempotency key is good, in milliseconds of event time.
pub const KEY_LIFE_MS: i64 = 24 * 60 * 60 * 1_000;

/// The ledger's state after the last event evolved. Changed by [`crate::evolve`] alone.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub(crate) head: Head,
    heads_before: VecDeque<(u64, Head)>,
    pub(crate) tables: Tables,
    commands: Memory,
    /// Events at earlier revisions are final.
    open_from: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub journal: Option<JournalId>,
    /// The revision that the next event gets.
    pub next: u64,
    pub at: Timestamp,
    /// The unit that the last event leaves open.
    pub open: Option<OpenUnit>,
}

/// What the next event of a unit must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenUnit {
    pub command: CommandId,
    pub index: u32,
    pub count: u32,
}

impl State {
    pub fn new() -> State {
        State::default()
    }

    /// The journal's id; `None` before its first event.
    pub fn journal(&self) -> Option<JournalId> {
        self.head.journal
    }

    /// The revision of the last event; `None` before the first.
    pub fn revision(&self) -> Option<u64> {
        self.head.next.checked_sub(1)
    }

    /// The revision that the next event gets.
    pub fn next_revision(&self) -> u64 {
        self.head.next
    }

    /// When the last event was recorded.
    pub fn last_at(&self) -> Timestamp {
        self.head.at
    }

    /// The signed balance, debit positive.
    pub fn balance(&self, account: Account, asset: Asset) -> i64 {
        self.tables.balances.get(&(account, asset)).copied().unwrap_or(0)
    }

    /// All balances that are not zero, in the order of the accounts; signed, debit positive.
    pub fn balances(&self) -> Vec<(Account, Asset, i64)> {
        self.tables.balances.iter().map(|((account, asset), amount)| (*account, *asset, *amount)).collect()
    }

    /// The id of the command that `actor` gives as `operation` under `key` at the moment `at`, and what is known of it
    /// if it was recorded before.
    pub(crate) fn find_command(
        &self,
        actor: Actor,
        operation: &str,
        key: &Key,
        at: Timestamp,
    ) -> Result<(CommandId, Option<Remembered>), Rejection> {
        self.find_by_ids(key, &command_ids(actor, operation, key, at), at)
    }

    /// The same of a command that may have these ids.
    pub(crate) fn find_by_ids(
        &self,
        key: &Key,
        ids: &[CommandId],
        at: Timestamp,
    ) -> Result<(CommandId, Option<Remembered>), Rejection> {
        let (how, horizon) = (check_key(key, at)?, at.plus_ms(-KEY_LIFE_MS));
        let known = ids.iter().find_map(|id| Some((*id, self.commands.find(*id, how, horizon)?)));
        Ok(known.map_or((ids[0], None), |(id, found)| (id, Some(found))))
    }

    pub(crate) fn remember(&mut self, revision: u64, metadata: &Metadata) {
        self.commands.add(revision, metadata);
    }

    /// Keeps the head as it is before the event at `revision`, for undo.
    pub(crate) fn keep_head(&mut self, revision: u64) {
        if revision >= self.open_from {
            self.heads_before.push_back((revision, self.head));
        }
    }

    /// Takes back every event from revision `from` on. Possible down to the last settled one.
    pub fn undo_from(&mut self, from: u64) {
        self.tables.undo_from(from);
        self.commands.undo_from(from);
        while let Some((_, head)) = self.heads_before.pop_back_if(|(revision, _)| *revision >= from) {
            self.head = head;
        }
    }

    /// Makes the events up to and including `revision` final: they cannot be taken back, and what was kept for it is
    /// let go. For those that are still to come nothing is kept: a replay says so before it begins.
    pub fn settle(&mut self, revision: u64) {
        self.open_from = self.open_from.max(revision.saturating_add(1));
        self.tables.settle(revision);
        self.commands.settle(revision);
        while self.heads_before.front().is_some_and(|(changed, _)| *changed <= revision) {
            self.heads_before.pop_front();
        }
        // A key that has expired is refused by its age alone, so it makes no difference when its command is
        // forgotten. The age is taken at the last settled event: time that is taken back with later events
        // must not have forgotten anything.
        let settled = self.heads_before.front().map_or(self.head, |(_, head)| *head);
        self.commands.let_time_pass(settled.at);
    }

    /// How many bytes, as JSON, the tables keep to take back what is not settled.
    pub fn undo_bytes(&self) -> usize {
        self.tables.undo_bytes()
    }

    /// How many rows each table holds, by the table's name.
    pub fn rows(&self) -> Vec<(&'static str, usize)> {
        self.tables.rows()
    }

    /// The id of the command that `actor` gives as `operation` under `key` at the moment `at`: of a retry that of the
    /// first time.
    ///
    /// # Errors
    /// When the key is refused at that moment.
    pub fn command_id(
        &self,
        actor: Actor,
        operation: &str,
        key: &Key,
        at: Timestamp,
    ) -> Result<CommandId, Rejection> {
        Ok(self.find_command(actor, operation, key, at)?.0)
    }

    /// Whether that command was recorded.
    ///
    /// # Errors
    /// When the key is refused at that moment.
    pub fn is_recorded(
        &self,
        actor: Actor,
        operation: &str,
        key: &Key,
        at: Timestamp,
    ) -> Result<bool, Rejection> {
        Ok(self.find_command(actor, operation, key, at)?.1.is_some())
    }

    /// How many bytes it takes to know retries of settled commands, as far as can be counted without the
    /// allocator.
    pub fn command_memory_bytes(&self) -> usize {
        self.commands.bytes()
    }

    /// A hash over everything that decides: equal journals give equal hashes.
    pub fn hash(&self) -> [u8; 32] {
        let mut digest = Digesting(Sha256::new());
        self.encode(&mut digest).expect("a hash takes all bytes");
        digest.0.finalize().into()
    }

    /// Writes everything that decides: equal journals give equal bytes, and [`State::hash`] is the SHA-256 of them.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn encode(&self, to: &mut dyn io::Write) -> io::Result<()> {
        let mut out = Out::new(to);
        out.put(&self.head)?;
        self.tables.encode(&mut out)?;
        self.commands.encode(self.head.at.plus_ms(-KEY_LIFE_MS), &mut out)?;
        out.finish()
    }

    /// The state that [`State::encode`] wrote, with all its events settled.
    ///
    /// # Errors
    /// When the bytes are not those of a state of this [`super::stored::STATE_VERSION`].
    pub fn decode(bytes: &[u8]) -> Result<State, NotAState> {
        let mut bytes = Bytes::new(bytes);
        let head = bytes.take()?;
        let tables = Tables::decode(&mut bytes)?;
        let commands = Memory::decode(&mut bytes)?;
        bytes.end()?;
        Ok(State { head, tables, commands, ..State::default() })
    }
}

/// A hash as something that can be written to.
struct Digesting(Sha256);

impl io::Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

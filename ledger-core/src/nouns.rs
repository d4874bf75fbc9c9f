//! The list of nouns, and what is made of it: [`Command`], [`Event`], [`Rejection`], the state's tables.
//!
//! A noun is a folder whose `mod.rs` declares, in its `noun` macro, the names of its commands, events,
//! tables and rejections. Adding a noun is its folder, its line in `lib.rs`, and its name here.

use crate::mechanism::binary::{BINARY, Binary, Bytes as Form, Unfit, is_binary};
use crate::mechanism::decide::{Context, Decide};
use crate::mechanism::event::{Change, DecodeError, Happened, LotMoves, read_binary, text_of};
use crate::mechanism::rejection::rejections;
use crate::mechanism::stored::{Bytes, NotAState, Out};
use crate::mechanism::table::{Lookup, Table};
use crate::*;
use std::io;

macro_rules! nouns {
    ($first:ident $($more:ident)*) => { $crate::$first::noun! { collect { [$($more)*] [] } } };
}

/// Asks one noun after the other for what it declares.
macro_rules! collect {
    ({ [] [$($declared:tt)*] } $last:tt) => { assemble! { $($declared)* $last } };
    ({ [$next:ident $($more:ident)*] [$($declared:tt)*] } $this:tt) => {
        $crate::$next::noun! { collect { [$($more)*] [$($declared)* $this] } }
    };
}
pub(crate) use collect;

macro_rules! assemble {
    ($({
        $noun:ident
        commands { $($command:ident)* }
        events { $($event:ident)* }
        tables { $($table:ident: $rows:ty;)* }
        rejections { $($rejection:tt)* }
    })*) => {
        /// Everything that can be asked of the ledger.
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum Command { $($($command(crate::$noun::$command),)*)* }

        impl Command {
            /// The names of all commands.
            pub const OPERATIONS: &'static [&'static str] = &[$($(crate::$noun::$command::OPERATION,)*)*];

            /// The command's name: part of its id.
            pub fn operation(&self) -> &'static str {
                match self { $($(Command::$command(_) => crate::$noun::$command::OPERATION,)*)* }
            }

            /// The canonical bytes, of which the request hash is made: the name, a zero, and the fields in the order
            /// of the command as `postcard` writes them.
            pub(crate) fn encode(&self) -> Vec<u8> {
                let mut bytes = Vec::with_capacity(128);
                bytes.extend_from_slice(self.operation().as_bytes());
                bytes.push(0);
                let bytes = match self { $($(Command::$command(command) => postcard::to_extend(command, bytes),)*)* };
                bytes.expect("commands hold texts, numbers and lists only, which postcard always takes")
            }

            pub(crate) fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
                match self { $($(Command::$command(command) => command.decide(context),)*)* }
            }

            /// The person whose money an admin decides on with this command, where there is one.
            pub(crate) fn decides_on_money_of(&self, state: &State) -> Option<PersonId> {
                match self { $($(Command::$command(command) => command.decides_on_money_of(state),)*)* }
            }

            /// Whether the state alone refuses a repeat. Everything else makes or moves something each time
            /// it is decided, and must be remembered whatever its key.
            pub(crate) fn state_refuses_repeats(&self) -> bool {
                match self { $($(Command::$command(_) => crate::$noun::$command::STATE_REFUSES_REPEATS,)*)* }
            }
        }

        /// One fact of the journal.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Event { $($($event(crate::$noun::$event),)*)* }

        impl Event {
            /// The names of all types of event.
            pub const KINDS: &'static [&'static str] = &[$($(crate::$noun::$event::KIND,)*)*];

            /// The name of the event's type, as the store records it.
            pub fn kind(&self) -> &'static str {
                match self { $($(Event::$event(_) => crate::$noun::$event::KIND,)*)* }
            }

            /// The binary form.
            pub fn encode(&self) -> Vec<u8> {
                let mut out = Vec::with_capacity(256);
                self.encode_into(&mut out);
                out
            }

            /// Writes the binary form behind what is there.
            pub fn encode_into(&self, out: &mut Vec<u8>) {
                out.push(BINARY);
                match self { $($(Event::$event(event) => event.put(out),)*)* }
            }

            /// What the binary form of each type of event is made of.
            pub fn shapes() -> serde_json::Value {
                let mut types = serde_json::Map::new();
                let kinds = [$($(crate::$noun::$event::shape(&mut types),)*)*];
                let kinds: serde_json::Map<_, _> = Event::KINDS
                    .iter()
                    .zip(kinds)
                    .filter_map(|(kind, name)| Some((kind.to_string(), types.remove(name.as_str()?)?["fields"].take())))
                    .collect();
                serde_json::json!({ "events": kinds, "types": types })
            }

            /// The event as JSON: fields in the order of the type, no white space.
            pub fn to_json(&self) -> Vec<u8> {
                let bytes = match self { $($(Event::$event(event) => serde_json::to_vec(event),)*)* };
                bytes.expect("events hold strings, integers and lists only, which JSON always takes")
            }

            /// Reads a recorded event of version 1, in either form.
            pub fn decode(kind: &str, data: &[u8]) -> Result<Event, DecodeError> {
                if is_binary(data) {
                    return match kind {
                        $($(crate::$noun::$event::KIND => read_binary(kind, data).map(Event::$event),)*)*
                        _ => Err(DecodeError::UnknownKind(kind.to_owned())),
                    };
                }
                let text = text_of(kind, data)?;
                let fault = |fault: serde_json::Error| DecodeError::Malformed(kind.to_owned(), fault.to_string());
                match kind {
                    $($(crate::$noun::$event::KIND => {
                        serde_json::from_str(text).map(Event::$event).map_err(fault)
                    })*)*
                    _ => Err(DecodeError::UnknownKind(kind.to_owned())),
                }
            }

            /// The JSON Schema of each type of event.
            pub fn schemas() -> Vec<(&'static str, schemars::Schema)> {
                vec![$($((crate::$noun::$event::KIND, schemars::schema_for!(crate::$noun::$event)),)*)*]
            }

            /// The entry of the event: its postings, none when no value moves.
            pub fn postings(&self) -> &[Posting] {
                match self { $($(Event::$event(event) => event.postings(),)*)* }
            }

            /// The people whom the event concerns: they may see it.
            pub fn people(&self) -> Vec<PersonId> {
                match self { $($(Event::$event(event) => event.people(),)*)* }
            }

            /// What the event takes from lots and adds to them.
            pub fn lots(&self) -> LotMoves {
                match self { $($(Event::$event(event) => event.lots(),)*)* }
            }

            /// Who pays for what happened.
            pub(crate) fn payer(&self) -> Option<PersonId> {
                match self { $($(Event::$event(event) => event.payer(),)*)* }
            }

            /// What the event is about, by which its neighbours are found: a call, a purchase, a withdrawal.
            pub fn correlation(&self) -> Option<uuid::Uuid> {
                match self { $($(Event::$event(event) => event.correlation(),)*)* }
            }

            pub(crate) fn evolve(&self, change: &mut Change) {
                match self { $($(Event::$event(event) => event.evolve(change),)*)* }
            }
        }

        /// The tables of all nouns, and the balances.
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Tables {
            /// Signed, debit positive; no row where the balance is zero.
            pub balances: Lookup<(Account, Asset), i64>,
            $($(pub $table: $rows,)*)*
        }

        impl Tables {
            pub fn undo_from(&mut self, from: u64) {
                self.balances.undo_from(from);
                $($(self.$table.undo_from(from);)*)*
            }

            pub fn settle(&mut self, revision: u64) {
                self.balances.settle(revision);
                $($(self.$table.settle(revision);)*)*
            }

            pub fn undo_bytes(&self) -> usize {
                self.balances.undo_bytes() $($(+ self.$table.undo_bytes())*)*
            }

            /// How many rows each table holds.
            pub fn rows(&self) -> Vec<(&'static str, usize)> {
                vec![("balances", self.balances.len()) $($(, (stringify!($table), self.$table.len()))*)*]
            }

            pub fn encode(&self, out: &mut Out) -> io::Result<()> {
                self.balances.encode("balances", out)?;
                $($(self.$table.encode(stringify!($table), out)?;)*)*
                Ok(())
            }

            /// Every table is named here, or this does not compile.
            pub fn decode(bytes: &mut Bytes) -> Result<Tables, NotAState> {
                Ok(Tables {
                    balances: Lookup::decode("balances", bytes)?,
                    $($($table: <$rows>::decode(stringify!($table), bytes)?,)*)*
                })
            }
        }

        rejections! { $($($rejection)*)* }

        /// The commands of all nouns.
        pub mod commands { $(#[allow(unused_imports)] pub use crate::$noun::{$($command,)*};)* }

        /// The events of all nouns.
        pub mod events { $(#[allow(unused_imports)] pub use crate::$noun::{$($event,)*};)* }
    };
}

nouns! {
    journal catalogue agencies commission lots bonuses rewards purchases disputes subscriptions orders calls gifts withdrawals settlements adjustments
}

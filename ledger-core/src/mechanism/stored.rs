//! The state as bytes: what its hash is of, and what a snapshot holds.
//!
//! Everything that decides stands there in one order, so equal states have equal bytes. The bytes are those of
//! `postcard`, whose format is written down and stays as it is; a row that is told otherwise changes the hash, and
//! with it [`STATE_VERSION`].

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;

/// The version of the state's bytes and of what events do to it. It is raised whenever either changes: a state that
/// another version left is never gone on with.
pub const STATE_VERSION: u32 = 10;

/// How many bytes are handed on at once.
const PIECE: usize = 64 * 1_024;

/// Bytes that are not a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAState {
    #[error("the bytes of the state cannot be read: {0}")]
    Unreadable(#[from] postcard::Error),
    #[error("where the table {expected} should begin something else does")]
    OtherTable { expected: &'static str },
    #[error("{0} bytes follow the state")]
    Surplus(usize),
}

/// Takes the bytes piece by piece.
pub(crate) struct Out<'a> {
    to: &'a mut dyn io::Write,
    waiting: Vec<u8>,
}

impl<'a> Out<'a> {
    pub fn new(to: &'a mut dyn io::Write) -> Out<'a> {
        Out { to, waiting: Vec::with_capacity(PIECE + 1_024) }
    }

    pub fn put(&mut self, part: &impl Serialize) -> io::Result<()> {
        self.waiting =
            postcard::to_extend(part, std::mem::take(&mut self.waiting)).map_err(io::Error::other)?;
        if self.waiting.len() < PIECE {
            return Ok(());
        }
        self.to.write_all(&self.waiting)?;
        self.waiting.clear();
        Ok(())
    }

    /// The rows of a table, in the order of their keys.
    pub fn put_rows<R: Serialize>(
        &mut self,
        name: &str,
        rows: impl ExactSizeIterator<Item = R>,
    ) -> io::Result<()> {
        self.put(&(name, rows.len()))?;
        rows.into_iter().try_for_each(|row| self.put(&row))
    }

    pub fn finish(self) -> io::Result<()> {
        self.to.write_all(&self.waiting)
    }
}

/// What is left to read.
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub fn new(bytes: &'a [u8]) -> Bytes<'a> {
        Bytes(bytes)
    }

    pub fn take<T: DeserializeOwned>(&mut self) -> Result<T, NotAState> {
        let (part, rest) = postcard::take_from_bytes(self.0)?;
        self.0 = rest;
        Ok(part)
    }

    /// The rows of the table `name`, in the order of their keys.
    pub fn take_rows<R: DeserializeOwned, T: FromIterator<R>>(
        &mut self,
        name: &'static str,
    ) -> Result<T, NotAState> {
        let (found, count) = postcard::take_from_bytes::<(&str, usize)>(self.0).map(|(head, rest)| {
            self.0 = rest;
            head
        })?;
        if found != name {
            return Err(NotAState::OtherTable { expected: name });
        }
        // The rows first: whoever makes a table of them knows how many there are.
        let rows: Vec<R> = (0..count).map(|_| self.take()).collect::<Result<_, _>>()?;
        Ok(rows.into_iter().collect())
    }

    pub fn end(self) -> Result<(), NotAState> {
        match self.0.len() {
            0 => Ok(()),
            surplus => Err(NotAState::Surplus(surplus)),
        }
    }
}

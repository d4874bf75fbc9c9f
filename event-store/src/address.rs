//! Stores by address: one text says which store, where it is, and which stream of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;

use crate::conformance::{Handles, Subject};
use crate::eventstoredb::{self, EventStoreDbAddress};
use crate::postgres::{self, PostgresAddress};
use crate::{EmbeddedReader, EmbeddedStore, EventStore, EventStoreDb, MemoryStore, OpenError, PostgresStore};

/// Where a store is. Shown and printed without passwords.
#[derive(Clone)]
pub enum StoreAddress {
    /// `memory:`, which is empty at each opening.
    Memory,
    /// `embedded:<folder>`
    Embedded(PathBuf),
    /// `postgres://user:password@host/database?stream=name`
    Postgres(Box<PostgresAddress>),
    /// `kurrentdb://user:password@host:2113?tls=true&stream=name`, or `esdb://`
    EventStoreDb(Box<EventStoreDbAddress>),
}

/// Why a store was not opened. Each text says what to do, and none holds a password.
#[derive(Debug, thiserror::Error)]
pub enum CannotOpen {
    #[error(transparent)]
    Embedded(#[from] OpenError),
    #[error(transparent)]
    Postgres(#[from] postgres::OpenError),
    #[error(transparent)]
    EventStoreDb(#[from] eventstoredb::OpenError),
    #[error("the thread that opens the store has ended: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// The stream of an address that names none.
const DEFAULT_STREAM: &str = "muneem";

const FORMS: &str = "an address of a store is memory:, embedded:<folder>, \
                     postgres://user:password@host/database?stream=name or \
                     kurrentdb://user:password@host:2113?tls=true&stream=name";

/// The address without its parameters, the stream that it names, and the other parameters.
pub(crate) fn split(text: &str) -> Result<(&str, &str, Vec<&str>), String> {
    let (place, parameters) = text.split_once('?').unwrap_or((text, ""));
    let (streams, others): (Vec<&str>, Vec<&str>) = parameters
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .partition(|parameter| parameter.starts_with("stream="));
    match streams[..] {
        [] => Ok((place, DEFAULT_STREAM, others)),
        [one] => Ok((place, one.trim_start_matches("stream="), others)),
        _ => Err("it names two streams".into()),
    }
}

impl FromStr for StoreAddress {
    type Err = String;

    /// The error quotes nothing of the text, which may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once(':').ok_or(FORMS)?;
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => Err("memory: has nothing behind it".into()),
            "embedded" if rest.is_empty() => Err("embedded: names no folder".into()),
            "embedded" => Ok(Self::Embedded(rest.into())),
            "postgres" | "postgresql" => Ok(Self::Postgres(Box::new(text.parse()?))),
            "kurrentdb" | "esdb" | "kurrentdb+discover" | "esdb+discover" => {
                Ok(Self::EventStoreDb(Box::new(text.parse()?)))
            }
            _ => Err(FORMS.into()),
        }
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Embedded(folder) => write!(f, "embedded:{}", folder.display()),
            Self::Postgres(address) => address.fmt(f),
            Self::EventStoreDb(address) => address.fmt(f),
        }
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StoreAddress {
    /// Opens the store to append to it, and begins its stream where there is none. `progress` is told the
    /// bytes checked and the bytes in all, by a store that checks itself when it is opened.
    ///
    /// # Errors
    /// Where it cannot be reached or used.
    pub async fn open(
        &self,
        progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> Result<Arc<dyn EventStore>, CannotOpen> {
        Ok(match self {
            Self::Memory => Arc::new(MemoryStore::new()),
            Self::Embedded(folder) => {
                let folder = folder.clone();
                let open = move || EmbeddedStore::open_with_progress(folder, progress);
                Arc::new(tokio::task::spawn_blocking(open).await??)
            }
            Self::Postgres(address) => Arc::new(PostgresStore::open(address).await?),
            Self::EventStoreDb(address) => Arc::new(EventStoreDb::open(address).await?),
        })
    }

    /// Opens the store for reading only, beside whatever writes to it. Makes nothing.
    ///
    /// # Errors
    /// Where it cannot be reached, or has no such stream.
    pub async fn open_to_read(&self) -> Result<Arc<dyn EventStore>, CannotOpen> {
        Ok(match self {
            Self::Memory => Arc::new(MemoryStore::new()),
            Self::Embedded(folder) => {
                let folder = folder.clone();
                Arc::new(tokio::task::spawn_blocking(move || EmbeddedReader::open(folder)).await??)
            }
            Self::Postgres(address) => Arc::new(PostgresStore::open_to_read(address).await?),
            Self::EventStoreDb(address) => Arc::new(EventStoreDb::open_to_read(address).await?),
        })
    }

    /// The folder of a store that lies in one on this machine.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Embedded(folder) => Some(folder),
            Self::Memory | Self::Postgres(_) | Self::EventStoreDb(_) => None,
        }
    }

    /// Whether several nodes can append to it at once.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Memory | Self::Embedded(_) => false,
            Self::Postgres(_) | Self::EventStoreDb(_) => true,
        }
    }

    /// Another stream of the same store: for the embedded store a folder beside its own.
    #[must_use]
    pub fn with_stream(&self, name: &str) -> Self {
        match self {
            Self::Memory => Self::Memory,
            Self::Embedded(folder) => Self::Embedded(folder.with_file_name(name)),
            Self::Postgres(address) => Self::Postgres(Box::new(address.with_stream(name))),
            Self::EventStoreDb(address) => Self::EventStoreDb(Box::new(address.with_stream(name))),
        }
    }

    /// Removes the stream with all its events, where the store can do so. Nobody may have it open.
    ///
    /// # Errors
    /// What is left, and why.
    pub async fn remove_stream(&self) -> Result<(), String> {
        match self {
            Self::Memory => Ok(()),
            Self::Embedded(folder) => match tokio::fs::remove_dir_all(folder).await {
                Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => {
                    Err(format!("the folder {} is left: {fault}", folder.display()))
                }
                _ => Ok(()),
            },
            Self::Postgres(address) => PostgresStore::remove(address)
                .await
                .map_err(|fault| format!("the table of {address} is left: {fault}")),
            Self::EventStoreDb(address) => {
                EventStoreDb::remove(address).await.map_err(|fault| format!("the stream is left: {fault}"))
            }
        }
    }

    /// The stream as the conformance suite takes it.
    #[must_use]
    pub fn subject(&self) -> Arc<dyn Subject> {
        let in_memory = matches!(self, Self::Memory).then(MemoryStore::new);
        Arc::new(Addressed { address: self.clone(), in_memory })
    }
}

struct Addressed {
    address: StoreAddress,
    in_memory: Option<MemoryStore>,
}

#[async_trait]
impl Subject for Addressed {
    fn handles(&self) -> Handles {
        match self.address {
            StoreAddress::Memory => Handles::Shared,
            StoreAddress::Embedded(_) => Handles::One,
            StoreAddress::Postgres(_) | StoreAddress::EventStoreDb(_) => Handles::Many,
        }
    }

    async fn open(&self) -> Result<Arc<dyn EventStore>, String> {
        match &self.in_memory {
            Some(store) => Ok(Arc::new(store.clone())),
            None => self.address.open(|_, _| {}).await.map_err(|fault| fault.to_string()),
        }
    }

    async fn cut_connections(&self) -> Result<(), String> {
        match &self.address {
            StoreAddress::Postgres(address) => {
                PostgresStore::cut_connections(address).await.map_err(|fault| fault.to_string())
            }
            // A client of EventStoreDB cannot cut the connections of others.
            StoreAddress::Memory | StoreAddress::Embedded(_) | StoreAddress::EventStoreDb(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::StoreAddress;

    #[test]
    fn an_address_says_which_store_and_where() {
        for (text, shown) in [
            ("memory:", "memory:"),
            ("embedded:data/journal", "embedded:data/journal"),
            ("embedded:/var/lib/muneem/journal", "embedded:/var/lib/muneem/journal"),
            ("postgres://muneem:abad1dea@db:5433/books", "postgres://muneem@db:5433/books?stream=muneem"),
            ("postgresql://muneem@db/books?stream=b-2", "postgres://muneem@db:5432/books?stream=b-2"),
            (
                "postgres://muneem:abad1dea@db/books?sslmode=require&stream=b",
                "postgres://muneem@db:5432/books?stream=b",
            ),
            ("esdb://admin:abad1dea@a:2113,b:2113?stream=b", "kurrentdb://a:2113,b:2113?tls=true&stream=b"),
        ] {
            let address: StoreAddress = text.parse().expect(text);
            assert_eq!(format!("{address} {address:?}"), format!("{shown} {shown}"), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_quoted() {
        for (text, why) in [
            ("", "an address of a store is"),
            ("data/journal", "an address of a store is"),
            ("mysql://abad1dea@db/books", "an address of a store is"),
            ("memory:abad1dea", "nothing behind it"),
            ("embedded:", "names no folder"),
            ("postgres://muneem:abad1dea@db:port/books", "not the address of a PostgreSQL database"),
            ("postgres://muneem:abad1dea@db", "names no database"),
            ("postgres://muneem:abad1dea@db/books?stream=", "a stream's name"),
            ("postgres://muneem:abad1dea@db/books?stream=a\"b", "a stream's name"),
            ("postgres://muneem:abad1dea@db/books?stream=a&stream=b", "names two streams"),
            ("kurrentdb://admin:abad1dea@db?tls=abc", "'tls'"),
        ] {
            let refused = text.parse::<StoreAddress>().expect_err(text);
            assert!(refused.contains(why) && !refused.contains("abad1dea"), "{text}: {refused}");
        }
    }

    #[test]
    fn another_stream_of_a_store_lies_beside_the_first() {
        for (text, other) in [
            ("memory:", "memory:"),
            ("embedded:/var/lib/muneem/journal", "embedded:/var/lib/muneem/check-1"),
            ("postgres://u@db/books?stream=a", "postgres://u@db:5432/books?stream=check-1"),
            ("esdb://u@db?tls=false", "kurrentdb://db:2113?tls=false&stream=check-1"),
        ] {
            let address: StoreAddress = text.parse().expect(text);
            assert_eq!(address.with_stream("check-1").to_string(), other);
        }
    }
}

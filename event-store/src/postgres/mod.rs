//! A stream as a table in PostgreSQL: `journal."<stream>"`, a row for each event.
//!
//! | what | how |
//! |---|---|
//! | an append | one statement, which is one transaction: it looks at the end, inserts from arrays, and notifies |
//! | a race | decided by the primary key: both writers insert the same revision, and one of them fails |
//! | durable | `synchronous_commit` is set in the statement, whatever the server's default is |
//! | a retry | the end has moved: the ids at the batch's place are compared |
//! | a broken connection | the outcome is unknown, and the identical batch can be sent again |
//! | following | one task for each store listens for notifications, and looks at the end every second |
//!
//! A store remembers the furthest revision that it was told of. A server that ends before it was restored from
//! an older copy, or is a standby that took over without the last events: reads say so, and so do appends.

mod address;
mod error;
mod follower;
mod statements;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx::postgres::{PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool, Row};
use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use uuid::Uuid;

use self::error::{Failure, Fault};
use self::statements::Statements;
use crate::{AppendError, Batch, EventStore, ReadError, RecordedEvent};

pub use self::address::PostgresAddress;
pub use self::error::OpenError;

/// How long one step may take: connecting, an append, the next row of a read.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the end is looked at, in case that a notification got lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Connections of readers, the listener's too. The appends have one more of their own.
const CONNECTIONS: u32 = 8;

/// Settings that tests change.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub look_every: Duration,
    /// How long an append or the next row of a read may take.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { look_every: LOOK_EVERY, patience: PATIENCE }
    }
}

/// A stream in PostgreSQL. Any number of processes append to it and read it.
pub struct PostgresStore {
    stream: Arc<Stream>,
    follower: AbortHandle,
}

/// What the handle and its follower share.
struct Stream {
    address: PostgresAddress,
    statements: Statements,
    pool: PgPool,
    appending: Mutex<Appending>,
    seen: watch::Sender<Seen>,
    patience: Duration,
    read_only: bool,
}

/// Appends go one by one.
struct Appending {
    /// Taken out while it is used: an append that is given up drops it, with whatever is still under way.
    connection: Option<PgConnection>,
    /// Where the last append expected the end, if its outcome is not known.
    uncertain: Option<Option<u64>>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    /// The furthest revision that was ever told.
    head: Option<u64>,
    trouble: Option<Trouble>,
}

/// Why nobody can wait for more.
#[derive(Clone, Debug)]
enum Trouble {
    /// The server ends before the furthest revision.
    Lost(String),
    /// The server does not answer.
    Away(String),
}

impl PostgresStore {
    /// Opens the stream, and makes its table where there is none.
    ///
    /// # Errors
    /// Where the server cannot be reached, is a standby, or does not let the table be made.
    pub async fn open(address: &PostgresAddress) -> Result<Self, OpenError> {
        Self::open_with(address, Options::default()).await
    }

    /// As [`Self::open`], with other settings than the default.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_with(address: &PostgresAddress, options: Options) -> Result<Self, OpenError> {
        let statements = Statements::new(&address.stream);
        let mut connection = error::connect(address).await?;
        error::check_server(&mut connection, address).await?;
        if !exists(&mut connection, &statements, address).await? {
            make(&mut connection, &statements, address).await?;
        }
        Self::opened(address, statements, Some(connection), options).await
    }

    /// Opens a stream that is there, for reading only. The server may be a standby.
    ///
    /// # Errors
    /// Where the server cannot be reached, or has no such stream.
    pub async fn open_to_read(address: &PostgresAddress) -> Result<Self, OpenError> {
        let statements = Statements::new(&address.stream);
        let mut connection = error::connect(address).await?;
        if !exists(&mut connection, &statements, address).await? {
            return Err(OpenError::NoJournal { place: address.to_string() });
        }
        Self::opened(address, statements, None, Options::default()).await
    }

    async fn opened(
        address: &PostgresAddress,
        statements: Statements,
        connection: Option<PgConnection>,
        options: Options,
    ) -> Result<Self, OpenError> {
        let read_only = connection.is_none();
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .connect_lazy_with(address.options.clone());
        let (seen, _) = watch::channel(Seen::default());
        let stream = Arc::new(Stream {
            address: address.clone(),
            statements,
            pool,
            appending: Mutex::new(Appending { connection, uncertain: None }),
            seen,
            patience: options.patience,
            read_only,
        });
        stream.head().await.map_err(|fault| OpenError::asking(address, fault.to_string()))?;
        let follower = tokio::spawn(follower::run(Arc::clone(&stream), options.look_every)).abort_handle();
        Ok(Self { stream, follower })
    }

    /// Removes the stream with all its events. Nobody may have it open.
    ///
    /// # Errors
    /// Where the server cannot be reached, or does not allow it.
    pub async fn remove(address: &PostgresAddress) -> Result<(), OpenError> {
        let mut connection = error::connect(address).await?;
        let table = Statements::new(&address.stream).table;
        let dropped = sqlx::query(AssertSqlSafe(format!("DROP TABLE IF EXISTS {table}")));
        dropped.execute(&mut connection).await.map_err(|fault| OpenError::asking(address, fault))?;
        Ok(())
    }

    /// Cuts all connections of this stream, those of other processes too, as a restarted server or a network
    /// would. For tests: every store goes on with new ones.
    ///
    /// # Errors
    /// Where the server cannot be reached, or does not allow it.
    pub async fn cut_connections(address: &PostgresAddress) -> Result<(), OpenError> {
        let mut connection = error::connect(address).await?;
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = current_setting('application_name')
                 AND datname = current_database() AND pid <> pg_backend_pid()",
        )
        .execute(&mut connection)
        .await
        .map_err(|fault| OpenError::asking(address, fault))?;
        Ok(())
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

async fn exists(
    connection: &mut PgConnection,
    statements: &Statements,
    address: &PostgresAddress,
) -> Result<bool, OpenError> {
    sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(&statements.table)
        .fetch_one(connection)
        .await
        .map_err(|fault| OpenError::asking(address, fault))
}

/// Several nodes may start at once, and `IF NOT EXISTS` alone fails for one of two that race.
async fn make(
    connection: &mut PgConnection,
    statements: &Statements,
    address: &PostgresAddress,
) -> Result<(), OpenError> {
    let make = async {
        let mut transaction = connection.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(hashtext('journal'))").execute(&mut *transaction).await?;
        for statement in &statements.make {
            sqlx::query(AssertSqlSafe(statement.as_str())).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    };
    make.await.map_err(|source| OpenError::Make { place: address.to_string(), source })
}

#[async_trait]
impl EventStore for PostgresStore {
    fn is_shared(&self) -> bool {
        true
    }

    async fn append_batch(&self, expected: Option<u64>, batch: &Arc<Batch>) -> Result<u64, AppendError> {
        batch.check()?;
        if self.stream.read_only {
            return Err(AppendError::Refused("the journal was opened for reading only".into()));
        }
        self.stream.append(expected, batch).await
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        self.stream.read(from, max).await
    }

    async fn head(&self) -> Result<Option<u64>, ReadError> {
        self.stream.head().await
    }

    async fn wait_beyond(&self, seen: Option<u64>) -> Result<u64, ReadError> {
        let closed = || ReadError::Unavailable("the store was closed".into());
        let mut known = self.stream.seen.subscribe();
        let known = known.wait_for(|known| known.trouble.is_some() || known.head > seen).await;
        let Seen { head, trouble } = known.map_err(|_| closed())?.clone();
        match trouble {
            Some(Trouble::Lost(text)) => Err(ReadError::TailBehind(text)),
            Some(Trouble::Away(text)) => Err(ReadError::Unavailable(text)),
            None => head.ok_or_else(closed),
        }
    }
}

impl Stream {
    async fn append(&self, expected: Option<u64>, batch: &Batch) -> Result<u64, AppendError> {
        let mut appending = self.appending.lock().await;
        // An earlier try may still be under way on the server, on a connection that is lost to us.
        let again = appending.uncertain.replace(expected) == Some(expected);
        let sent = timeout(self.patience, self.send(&mut appending.connection, expected, batch)).await;
        let fault = match sent.unwrap_or_else(|_| Err(Fault::unknown(self.silence()))) {
            Ok(sent) => {
                appending.uncertain = None;
                return self.told(expected, batch.len() as u64, sent);
            }
            Err(fault) => fault,
        };
        let told = match fault.failure {
            Failure::NoSpace if !again => AppendError::NoSpace(fault.text),
            Failure::Unstorable if !again => AppendError::Refused(fault.text),
            _ => return Err(AppendError::OutcomeUnknown(fault.text)),
        };
        appending.uncertain = None;
        Err(told)
    }

    async fn send(
        &self,
        connection: &mut Option<PgConnection>,
        expected: Option<u64>,
        batch: &Batch,
    ) -> Result<Sent, Fault> {
        let mut used = match connection.take() {
            Some(connection) => connection,
            None => self.address.options.connect().await?,
        };
        // Revisions are kept as bigint, and no stream is longer than that.
        let end = expected.map_or(Some(-1), |revision| i64::try_from(revision).ok());
        let inserted = match end {
            Some(end) => self.insert(&mut used, end, batch).await,
            None => Ok(false),
        };
        let sent = match inserted {
            Ok(true) => Sent::Appended,
            Ok(false) => self.compare(&mut used, expected, batch).await?,
            Err(Fault { failure: Failure::Race, .. }) => self.compare(&mut used, expected, batch).await?,
            Err(fault) => return Err(fault),
        };
        // Put back only now: after a fault it may be of no use any more.
        *connection = Some(used);
        Ok(sent)
    }

    /// Appends where the stream ends at `end`; `false` where it does not.
    async fn insert(&self, connection: &mut PgConnection, end: i64, batch: &Batch) -> Result<bool, Fault> {
        let ids: Vec<Uuid> = batch.events().map(|event| event.id).collect();
        let kinds: Vec<&str> = batch.events().map(|event| event.kind).collect();
        let data: Vec<&[u8]> = batch.events().map(|event| event.data).collect();
        let metadata: Vec<&[u8]> = batch.events().map(|event| event.metadata).collect();
        let row = sqlx::query(AssertSqlSafe(Arc::clone(&self.statements.append)))
            .bind(end)
            .bind(ids)
            .bind(kinds)
            .bind(data)
            .bind(metadata)
            .fetch_one(connection)
            .await?;
        let (appended, durability): (i64, &str) = (row.try_get(0)?, row.try_get(1)?);
        if appended > 0 && !matches!(durability, "on" | "remote_apply") {
            return Err(Fault::unknown(format!("synchronous_commit was {durability}")));
        }
        Ok(appended > 0)
    }

    /// What stands at the place of a batch that does not go to the end.
    async fn compare(
        &self,
        connection: &mut PgConnection,
        expected: Option<u64>,
        batch: &Batch,
    ) -> Result<Sent, Fault> {
        let first = expected.map_or(0, |revision| revision.saturating_add(1));
        let row = sqlx::query(AssertSqlSafe(Arc::clone(&self.statements.compare)))
            .bind(i64::try_from(first).unwrap_or(i64::MAX))
            .bind(i64::try_from(batch.len()).unwrap_or(i64::MAX))
            .fetch_one(connection)
            .await?;
        let (current, there) = (row.try_get::<Option<i64>, _>(0)?, row.try_get::<Vec<Uuid>, _>(1)?);
        Ok(Sent::Elsewhere {
            current: current.map(i64::cast_unsigned),
            same: there.iter().copied().eq(batch.events().map(|event| event.id)),
        })
    }

    fn told(&self, expected: Option<u64>, count: u64, sent: Sent) -> Result<u64, AppendError> {
        let current = match sent {
            Sent::Appended => {
                let last = expected.map_or(count - 1, |revision| revision.saturating_add(count));
                self.saw(last);
                return Ok(last);
            }
            Sent::Elsewhere { current, .. } => current,
        };
        if let Some(current) = current {
            self.saw(current);
        }
        let first = crate::first_revision(expected, current)?;
        match sent {
            Sent::Elsewhere { same: true, .. } => Ok(first.saturating_add(count - 1)),
            // The end has moved there between the two questions.
            _ if current == expected => {
                Err(AppendError::OutcomeUnknown("the end has changed meanwhile".into()))
            }
            _ => Err(AppendError::WrongExpectedRevision { expected, current }),
        }
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        let (Ok(first), false) = (i64::try_from(from), max == 0) else {
            return Ok(Vec::new());
        };
        let known = self.seen.borrow().head;
        let limit = i64::try_from(max).unwrap_or(i64::MAX);
        let read = sqlx::query(AssertSqlSafe(Arc::clone(&self.statements.read))).bind(first).bind(limit);
        let mut rows = read.fetch(&self.pool);
        let mut events: Vec<RecordedEvent> = Vec::new();
        while let Some(row) = self.within_patience(rows.try_next()).await? {
            let event = recorded(&row).map_err(|fault| ReadError::Damaged(fault.to_string()))?;
            let next = from.saturating_add(events.len() as u64);
            if event.revision != next {
                let place = self.statements.table.as_str();
                return Err(ReadError::Damaged(format!("revision {next} is missing in {place}")));
            }
            events.push(event);
        }
        let next = from.saturating_add(events.len() as u64);
        if events.len() < max && Some(next) <= known {
            return Err(self.lost(next));
        }
        if let Some(last) = events.last() {
            self.saw(last.revision);
        }
        Ok(events)
    }

    async fn head(&self) -> Result<Option<u64>, ReadError> {
        // What was told before the question was asked is in its answer.
        let known = self.seen.borrow().head;
        let asked =
            sqlx::query_scalar(AssertSqlSafe(Arc::clone(&self.statements.head))).fetch_one(&self.pool);
        let head: Option<i64> = self.within_patience(asked).await?;
        let head = head.map(i64::cast_unsigned);
        if head < known {
            return Err(self.lost(head.map_or(0, |head| head.saturating_add(1))));
        }
        self.seen.send_if_modified(|seen| {
            let news = seen.trouble.is_some() || seen.head < head;
            *seen = Seen { head: seen.head.max(head), trouble: None };
            news
        });
        Ok(head)
    }

    async fn within_patience<T>(
        &self,
        asked: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, ReadError> {
        match timeout(self.patience, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(fault)) => Err(ReadError::Unavailable(fault.to_string())),
            Err(_) => Err(ReadError::Unavailable(self.silence())),
        }
    }

    fn silence(&self) -> String {
        format!("no answer within {:?}", self.patience)
    }

    fn saw(&self, revision: u64) {
        self.seen.send_if_modified(|seen| {
            let back = seen.trouble.take_if(|trouble| matches!(trouble, Trouble::Away(_)));
            let news = back.is_some() || seen.head < Some(revision);
            seen.head = seen.head.max(Some(revision));
            news
        });
    }

    fn lost(&self, missing: u64) -> ReadError {
        let mut text = String::new();
        self.seen.send_modify(|seen| {
            text = format!(
                "{} has no revision {missing}, and revision {} was durable: an older copy was restored, or a \
                 standby took over that did not have it yet",
                self.address,
                seen.head.unwrap_or_default()
            );
            seen.trouble = Some(Trouble::Lost(text.clone()));
        });
        ReadError::TailBehind(text)
    }

    /// The follower has tried to reach the server again, and could not.
    fn away(&self, fault: &ReadError) {
        if let ReadError::Unavailable(text) = fault {
            self.seen.send_modify(|seen| seen.trouble = Some(Trouble::Away(text.clone())));
        }
    }
}

/// What became of a batch.
enum Sent {
    Appended,
    /// The stream does not end where it should; nothing was appended this time.
    Elsewhere {
        current: Option<u64>,
        /// Whether the batch itself stands at its place.
        same: bool,
    },
}

fn recorded(row: &PgRow) -> Result<RecordedEvent, sqlx::Error> {
    Ok(RecordedEvent {
        revision: row.try_get::<i64, _>(0)?.cast_unsigned(),
        id: row.try_get(1)?,
        kind: row.try_get(2)?,
        data: row.try_get(3)?,
        metadata: row.try_get(4)?,
    })
}

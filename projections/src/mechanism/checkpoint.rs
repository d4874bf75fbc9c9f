//! How far the read models are, and of which journal: the one row of `read.checkpoint`.

use super::schema::Schema;
use super::{FORMAT, pg_revision};
use crate::error::ProjectError;
use ledger_core::JournalId;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

/// The tables' DDL begins with this one.
pub(super) const TABLE: &str = "
-- How far the journal has been applied. The table has exactly one row; its lock keeps two projectors
-- from applying the same events twice.
CREATE TABLE checkpoint (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    format integer NOT NULL,
    -- All three are absent until the first batch: an empty journal has no name.
    journal_id uuid,
    revision bigint CHECK (revision >= 0),
    -- The id of the event at `revision`. A journal with another event there has another history.
    event_id uuid,
    CHECK ((journal_id IS NULL) = (revision IS NULL)),
    CHECK ((event_id IS NULL) = (revision IS NULL))
);";

/// How far the read models are. All is absent before the first batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    pub journal: Option<JournalId>,
    pub revision: Option<u64>,
    /// The id of the event at `revision`.
    pub event_id: Option<Uuid>,
}

type Row = (Option<Uuid>, Option<i64>, Option<Uuid>, i32);

impl Checkpoint {
    /// Reads the checkpoint and keeps its lock until the transaction ends.
    ///
    /// No commit of the read models waits for the disk. A crash of Postgres may take the last of them away, whole and in
    /// order, and the checkpoint with the rows, since both are of one transaction: the projector finds itself further
    /// back and projects those events again. That setting, and the schema that all further statements are about, come with
    /// this query because that saves a round trip.
    pub(super) async fn lock(
        connection: &mut PgConnection,
        schema: Schema,
    ) -> Result<Checkpoint, ProjectError> {
        let name = schema.name();
        let row = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT journal_id, revision, event_id, format FROM {name}.checkpoint,
                    set_config('synchronous_commit', 'off', true) AS commit,
                    set_config('search_path', '{name}', true) AS path
             FOR UPDATE OF checkpoint"
        )))
        .fetch_optional(connection)
        .await?;
        Checkpoint::in_our_format(row)
    }

    pub(crate) async fn read(connection: &mut PgConnection) -> Result<Checkpoint, ProjectError> {
        Checkpoint::read_in(connection, Schema::Served).await
    }

    pub(super) async fn read_in(
        connection: &mut PgConnection,
        schema: Schema,
    ) -> Result<Checkpoint, ProjectError> {
        let name = schema.name();
        let row = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT journal_id, revision, event_id, format FROM {name}.checkpoint"
        )))
        .fetch_optional(connection)
        .await?;
        Checkpoint::in_our_format(row)
    }

    pub(super) async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE checkpoint SET journal_id = $1, revision = $2, event_id = $3")
            .bind(self.journal.map(|journal| journal.0))
            .bind(self.revision.map(pg_revision))
            .bind(self.event_id)
            .execute(connection)
            .await?;
        Ok(())
    }

    fn in_our_format(row: Option<Row>) -> Result<Checkpoint, ProjectError> {
        match row {
            Some((journal, revision, event_id, FORMAT)) => Ok(Checkpoint {
                journal: journal.map(JournalId),
                revision: revision.and_then(|revision| u64::try_from(revision).ok()),
                event_id,
            }),
            _ => Err(ProjectError::NoCheckpoint),
        }
    }

    /// The first revision that has not been applied.
    pub(super) fn next(&self) -> u64 {
        self.revision.map_or(0, |revision| revision.saturating_add(1))
    }
}

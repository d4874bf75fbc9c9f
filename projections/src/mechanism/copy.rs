//! Rows of the tables that only grow, as `COPY` takes and gives them: the fastest way into Postgres and out of it.
//!
//! The format is the binary one of the Postgres manual (`COPY`, "Binary Format"). The projector sends rows in it.
//! `verify` makes rows of its own in it and compares them with what the table gives, as bytes.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// No flags, and no header beyond them.
const HEADER: [u8; 8] = [0; 8];
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// The first moment of the year 2000 in UTC, from which Postgres counts.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A row of a table that only grows.
pub(crate) trait CopyRow {
    const TABLE: &'static str;
    /// The columns, in the order in which [`CopyRow::fields`] gives them.
    const COLUMNS: &'static [&'static str];

    fn fields(&self, fields: &mut Fields<'_>);
}

/// Where a row puts its fields, one after the other.
pub(crate) struct Fields<'a>(&'a mut Vec<u8>);

impl Fields<'_> {
    fn field<const N: usize>(&mut self, bytes: [u8; N]) -> &mut Self {
        self.0.extend_from_slice(&(N as i32).to_be_bytes());
        self.0.extend_from_slice(&bytes);
        self
    }

    pub fn bigint(&mut self, value: i64) -> &mut Self {
        self.field(value.to_be_bytes())
    }

    pub fn integer(&mut self, value: i32) -> &mut Self {
        self.field(value.to_be_bytes())
    }

    pub fn smallint(&mut self, value: i16) -> &mut Self {
        self.field(value.to_be_bytes())
    }

    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.field([u8::from(value)])
    }

    pub fn time(&mut self, value: DateTime<Utc>) -> &mut Self {
        self.bigint(value.timestamp_micros().saturating_sub(POSTGRES_EPOCH_MICROS))
    }

    pub fn uuid(&mut self, value: Option<Uuid>) -> &mut Self {
        match value {
            Some(value) => self.field(value.into_bytes()),
            None => {
                self.0.extend_from_slice(&NULL);
                self
            }
        }
    }

    /// A text, or the name of a value of an enum.
    pub fn text(&mut self, value: &str) -> &mut Self {
        let bytes = i32::try_from(value.len()).unwrap_or(i32::MAX);
        self.0.extend_from_slice(&bytes.to_be_bytes());
        self.0.extend_from_slice(value.as_bytes());
        self
    }
}

/// The rows as one whole `COPY`.
pub(crate) fn encode<R: CopyRow>(rows: &[R]) -> Vec<u8> {
    let columns = i16::try_from(R::COLUMNS.len()).unwrap_or(i16::MAX);
    let mut bytes = Vec::with_capacity(32 + rows.len() * 16 * R::COLUMNS.len());
    bytes.extend_from_slice(SIGNATURE);
    bytes.extend_from_slice(&HEADER);
    for row in rows {
        bytes.extend_from_slice(&columns.to_be_bytes());
        row.fields(&mut Fields(&mut bytes));
    }
    bytes.extend_from_slice(&TRAILER);
    bytes
}

/// Appends the rows to their table.
pub(crate) async fn append<R: CopyRow>(connection: &mut PgConnection, rows: &[R]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let (table, columns) = (R::TABLE, R::COLUMNS.join(", "));
    let mut copy =
        connection.copy_in_raw(&format!("COPY read.{table} ({columns}) FROM STDIN (FORMAT binary)")).await?;
    copy.send(encode(rows)).await?;
    copy.finish().await?;
    Ok(())
}

/// The table's rows between two revisions, both included, as [`encode`] would have made them. `order` names the
/// columns by which they stand in order.
pub(crate) async fn between<R: CopyRow>(
    connection: &mut PgConnection,
    (first, last): (i64, i64),
    order: &str,
) -> Result<Vec<u8>, sqlx::Error> {
    use futures_util::TryStreamExt;
    let (table, columns) = (R::TABLE, R::COLUMNS.join(", "));
    let rows = connection
        .copy_out_raw(&format!(
            "COPY (SELECT {columns} FROM read.{table} WHERE revision BETWEEN {first} AND {last} ORDER BY {order})
             TO STDOUT (FORMAT binary)"
        ))
        .await?;
    rows.try_fold(Vec::new(), |mut all, piece| {
        all.extend_from_slice(&piece);
        std::future::ready(Ok(all))
    })
    .await
}

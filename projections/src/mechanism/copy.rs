//! Rows of the tables that only grow, as they are sent to Postgres and come back from it.
//!
//! Many rows are sent by `COPY`, in its binary format (the Postgres manual: `COPY`, "Binary Format"), which is the
//! fastest way in. Few are sent as arrays. `verify` makes rows of its own in the binary format and compares them with
//! what the table gives, as bytes.

use super::Kind;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres};
use uuid::Uuid;

/// From how many rows on `COPY` is faster. Its end is a message of its own, and sqlx leaves it to TCP to hold a small
/// message back until the one before is confirmed: 40 ms, which nobody who follows should wait.
const COPY_FROM_ROWS: usize = 4_000;

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

    fn fields(&self, fields: &mut impl Fields);
}

/// Where a row puts its fields, one after the other.
pub(crate) trait Fields {
    fn bigint(&mut self, value: i64) -> &mut Self;
    fn integer(&mut self, value: i32) -> &mut Self;
    fn smallint(&mut self, value: i16) -> &mut Self;
    fn boolean(&mut self, value: bool) -> &mut Self;
    fn time(&mut self, value: DateTime<Utc>) -> &mut Self;
    fn uuid(&mut self, value: Option<Uuid>) -> &mut Self;
    fn kind(&mut self, value: Kind) -> &mut Self;
    fn text(&mut self, value: String) -> &mut Self;
}

/// Fields in the binary format of `COPY`: their lengths and their bytes.
struct Binary<'a>(&'a mut Vec<u8>);

impl Binary<'_> {
    fn field<const N: usize>(&mut self, bytes: [u8; N]) -> &mut Self {
        self.0.extend_from_slice(&(N as i32).to_be_bytes());
        self.0.extend_from_slice(&bytes);
        self
    }

    fn letters(&mut self, text: &str) -> &mut Self {
        let bytes = i32::try_from(text.len()).unwrap_or(i32::MAX);
        self.0.extend_from_slice(&bytes.to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
        self
    }
}

impl Fields for Binary<'_> {
    fn bigint(&mut self, value: i64) -> &mut Self {
        self.field(value.to_be_bytes())
    }

    fn integer(&mut self, value: i32) -> &mut Self {
        self.field(value.to_be_bytes())
    }

    fn smallint(&mut self, value: i16) -> &mut Self {
        self.field(value.to_be_bytes())
    }

    fn boolean(&mut self, value: bool) -> &mut Self {
        self.field([u8::from(value)])
    }

    fn time(&mut self, value: DateTime<Utc>) -> &mut Self {
        self.bigint(value.timestamp_micros().saturating_sub(POSTGRES_EPOCH_MICROS))
    }

    fn uuid(&mut self, value: Option<Uuid>) -> &mut Self {
        match value {
            Some(value) => self.field(value.into_bytes()),
            None => {
                self.0.extend_from_slice(&NULL);
                self
            }
        }
    }

    fn kind(&mut self, value: Kind) -> &mut Self {
        self.letters(value.0)
    }

    fn text(&mut self, value: String) -> &mut Self {
        self.letters(&value)
    }
}

/// Fields as arrays, one for each column.
#[derive(Default)]
struct Arrays {
    arrays: Vec<Array>,
    /// The column of the next field.
    next: usize,
}

macro_rules! arrays {
    ($($field:ident: $name:ident($value:ty) = $type:literal,)*) => {
        enum Array { $($name(Vec<$value>)),* }

        impl Array {
            fn of_type(&self) -> &'static str {
                match self { $(Array::$name(_) => $type),* }
            }

            fn bind<'q>(self, query: Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments> {
                match self { $(Array::$name(values) => query.bind(values)),* }
            }
        }

        impl Fields for Arrays {
            $(fn $field(&mut self, value: $value) -> &mut Self {
                match self.arrays.get_mut(self.next) {
                    Some(Array::$name(values)) => values.push(value),
                    Some(_) => unreachable!("all rows of a table give fields of the same types"),
                    None => self.arrays.push(Array::$name(vec![value])),
                }
                self.next += 1;
                self
            })*
        }
    };
}

arrays! {
    bigint: Bigint(i64) = "bigint",
    integer: Integer(i32) = "integer",
    smallint: Smallint(i16) = "smallint",
    boolean: Boolean(bool) = "boolean",
    time: Time(DateTime<Utc>) = "timestamptz",
    uuid: Uuid(Option<Uuid>) = "uuid",
    kind: Kind(Kind) = "text",
    text: Text(String) = "text",
}

/// The rows as one whole `COPY`.
pub(crate) fn encode<R: CopyRow>(rows: &[R]) -> Vec<u8> {
    let columns = i16::try_from(R::COLUMNS.len()).unwrap_or(i16::MAX);
    let mut bytes = Vec::with_capacity(32 + rows.len() * 16 * R::COLUMNS.len());
    bytes.extend_from_slice(SIGNATURE);
    bytes.extend_from_slice(&HEADER);
    for row in rows {
        bytes.extend_from_slice(&columns.to_be_bytes());
        row.fields(&mut Binary(&mut bytes));
    }
    bytes.extend_from_slice(&TRAILER);
    bytes
}

/// Appends the rows to their table.
pub(crate) async fn append<R: CopyRow>(connection: &mut PgConnection, rows: &[R]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    if rows.len() < COPY_FROM_ROWS {
        return insert(connection, rows).await;
    }
    let (table, columns) = (R::TABLE, R::COLUMNS.join(", "));
    let copy = format!("COPY {table} ({columns}) FROM STDIN (FORMAT binary)");
    let mut copy = connection.copy_in_raw(&copy).await?;
    copy.send(encode(rows)).await?;
    copy.finish().await?;
    Ok(())
}

async fn insert<R: CopyRow>(connection: &mut PgConnection, rows: &[R]) -> Result<(), sqlx::Error> {
    let mut fields = Arrays::default();
    for row in rows {
        fields.next = 0;
        row.fields(&mut fields);
    }
    let (mut values, mut arrays) = (Vec::new(), Vec::new());
    for (place, (array, column)) in (1..).zip(fields.arrays.iter().zip(R::COLUMNS)) {
        arrays.push(format!("${place}::{}[]", array.of_type()));
        values.push(match array {
            Array::Kind(_) => format!("{column}::event_kind"),
            _ => (*column).to_owned(),
        });
    }
    let (table, columns) = (R::TABLE, R::COLUMNS.join(", "));
    let (values, arrays) = (values.join(", "), arrays.join(", "));
    let sql =
        format!("INSERT INTO {table} ({columns}) SELECT {values} FROM UNNEST({arrays}) AS rows ({columns})");
    let query = sqlx::query(AssertSqlSafe(sql));
    fields.arrays.into_iter().fold(query, |query, array| array.bind(query)).execute(connection).await?;
    Ok(())
}

/// The table's rows between two revisions, both included, as [`encode`] would have made them. `order` names the
/// columns by which they stand in order.
pub(crate) async fn between<R: CopyRow>(
    connection: &mut PgConnection,
    (first, last): (i64, i64),
    order: &str,
) -> Result<Vec<u8>, sqlx::Error> {
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

//! The audit log: who changed what, when, why, and the value before and after. Rows are added, never changed.

mod command;

use crate::commands::CommandError;
use crate::entropy;
use crate::notes;
use crate::page::{ListError, Page, Place, page_size, push_period};
use crate::validation::{FieldError, text};
use chrono::{DateTime, Utc};
use ledger_core::{NoteId, Period, PersonId};
use ledger_runtime::Receipt;
use serde_json::Value;
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

pub(crate) use command::describe;

/// Who makes a change, in which request, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    person: Option<PersonId>,
    request: Option<String>,
    reason: Option<String>,
    remark: Option<Remark>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Remark {
    /// Kept as a note together with the row.
    Words(String),
    /// Kept before.
    Note(NoteId),
}

impl Author {
    pub fn person(person: PersonId) -> Author {
        Author { person: Some(person), ..Author::default() }
    }

    /// Whoever works at the server's command line.
    pub fn operator() -> Author {
        Author::default()
    }

    /// `request` is the id that the server's log names the request by. A long one is cut.
    #[must_use]
    pub fn in_request(self, request: &str) -> Author {
        Author { request: Some(request.chars().filter(|it| !it.is_control()).take(64).collect()), ..self }
    }

    /// Gives the reason: a code of 1 to 64 small letters, digits and underscores, and the words behind it, up to
    /// 2,000 characters.
    ///
    /// # Errors
    /// When one of them cannot be taken.
    pub fn because(self, reason: Option<&str>, words: Option<&str>) -> Result<Author, FieldError> {
        let reason = reason.map(check_reason).transpose()?;
        let words = words.map(|words| text("note", words, 1..=2_000, true)).transpose()?;
        Ok(Author { reason, remark: words.map(Remark::Words), ..self })
    }

    /// Gives a reason whose words are kept already.
    #[must_use]
    pub fn with_note(self, reason: Option<String>, note: Option<NoteId>) -> Author {
        Author { reason, remark: note.map(Remark::Note), ..self }
    }

    /// The person, unless it is the operator.
    pub fn id(&self) -> Option<PersonId> {
        self.person
    }

    /// The person, where only a person may act.
    pub(crate) fn admin(&self) -> Result<PersonId, CommandError> {
        self.person.ok_or(CommandError::Refused {
            code: "no_person",
            message: "only a person who has signed in can do this",
        })
    }

    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

/// A reason is a code, so that it can be counted and filtered; words belong in the note.
pub(crate) fn check_reason(reason: &str) -> Result<String, FieldError> {
    let fits = (1..=64).contains(&reason.len())
        && reason.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if fits {
        return Ok(reason.to_owned());
    }
    Err(FieldError::new("reason", "must be a code of 1 to 64 small letters, digits and underscores"))
}

/// What was changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// The noun and what was done to it, such as `role.granted`.
    pub action: &'static str,
    pub subject_kind: &'static str,
    pub subject: String,
    /// Absent where there was nothing before.
    pub before: Option<Value>,
    pub after: Option<Value>,
}

impl Change {
    pub fn new(action: &'static str, subject_kind: &'static str, subject: impl ToString) -> Change {
        Change { action, subject_kind, subject: subject.to_string(), before: None, after: None }
    }

    #[must_use]
    pub fn before(self, value: impl Into<Value>) -> Change {
        Change { before: Some(value.into()), ..self }
    }

    #[must_use]
    pub fn after(self, value: impl Into<Value>) -> Change {
        Change { after: Some(value.into()), ..self }
    }
}

/// Adds a row inside the caller's transaction: the change and its row are kept together or not at all.
///
/// # Errors
/// When Postgres fails.
pub async fn record(
    tx: &mut PgConnection,
    author: &Author,
    change: Change,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    insert(tx, author, change, None, now).await
}

/// Adds the row of a change that the ledger has recorded. A retry of the same command adds none.
///
/// # Errors
/// When Postgres fails.
pub async fn record_command(
    tx: &mut PgConnection,
    author: &Author,
    change: Change,
    receipt: &Receipt,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    insert(tx, author, change, Some(receipt), now).await
}

async fn insert(
    tx: &mut PgConnection,
    author: &Author,
    change: Change,
    receipt: Option<&Receipt>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let note = keep_note(tx, author, receipt, now).await?;
    sqlx::query(
        "INSERT INTO app.audit_log (id, at, actor, action, subject_kind, subject, reason, note, before, after, request,
             command, revision)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (command) DO NOTHING",
    )
    .bind(entropy::uuid_v7())
    .bind(now)
    .bind(author.person.map(|person| person.0))
    .bind(change.action)
    .bind(change.subject_kind)
    .bind(change.subject)
    .bind(&author.reason)
    .bind(note.map(|note| note.0))
    .bind(change.before)
    .bind(change.after)
    .bind(&author.request)
    .bind(receipt.map(|receipt| receipt.command_id.0))
    .bind(receipt.map(|receipt| i64::try_from(receipt.revision).unwrap_or(i64::MAX)))
    .execute(tx)
    .await?;
    Ok(())
}

/// Keeps the words of the reason, unless they are kept already; answers the note.
pub(crate) async fn keep_note(
    tx: &mut PgConnection,
    author: &Author,
    receipt: Option<&Receipt>,
    now: DateTime<Utc>,
) -> Result<Option<NoteId>, sqlx::Error> {
    match &author.remark {
        None => Ok(None),
        Some(Remark::Note(note)) => Ok(Some(*note)),
        Some(Remark::Words(words)) => {
            // The words of a command's change get an id that its retry finds again.
            let note: NoteId = match receipt {
                Some(receipt) => receipt.command_id.derive("note"),
                None => NoteId(entropy::uuid_v7()),
            };
            notes::insert(tx, note, author.person, words, now).await?;
            Ok(Some(note))
        }
    }
}

/// A row of the log, with the words of its note as long as they are not erased.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Row {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub actor: Option<Uuid>,
    pub action: String,
    pub subject_kind: String,
    pub subject: String,
    pub reason: Option<String>,
    pub note: Option<Uuid>,
    pub words: Option<String>,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub request: Option<String>,
    pub revision: Option<i64>,
}

/// Which rows are wanted; all of them where nothing is named.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub actor: Option<PersonId>,
    pub action: Option<String>,
    pub subject_kind: Option<String>,
    pub subject: Option<String>,
    pub period: Period,
}

#[derive(Clone)]
pub struct AuditLog {
    pool: PgPool,
}

impl AuditLog {
    pub fn new(pool: PgPool) -> AuditLog {
        AuditLog { pool }
    }

    /// One page, the newest first.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn list(
        &self,
        filter: &Filter,
        after: Option<Place>,
        limit: u32,
    ) -> Result<Page<Row>, ListError> {
        let place = after.unwrap_or_else(Place::newest);
        let limit = page_size(limit);
        // Only the conditions that are asked for are written, so that Postgres can choose the index that serves them.
        let mut query = QueryBuilder::<Postgres>::new(
            "SELECT log.id, log.at, log.actor, log.action, log.subject_kind, log.subject, log.reason, log.note,
                 notes.words, log.before, log.after, log.request, log.revision
             FROM app.audit_log AS log LEFT JOIN app.notes ON notes.id = log.note
             WHERE (log.at, log.id) < (",
        );
        query.push_bind(place.at).push(", ").push_bind(place.id).push(")");
        if let Some(actor) = filter.actor {
            query.push(" AND log.actor = ").push_bind(actor.0);
        }
        for (column, value) in [
            (" AND log.action = ", &filter.action),
            (" AND log.subject_kind = ", &filter.subject_kind),
            (" AND log.subject = ", &filter.subject),
        ] {
            if let Some(value) = value {
                query.push(column).push_bind(value);
            }
        }
        push_period(&mut query, "log.at", filter.period);
        query.push(" ORDER BY log.at DESC, log.id DESC LIMIT ").push_bind(limit + 1);
        let rows: Vec<Row> = query.build_query_as().fetch_all(&self.pool).await?;
        Ok(Page::of(rows, limit, |row| Place { at: row.at, id: row.id }))
    }
}

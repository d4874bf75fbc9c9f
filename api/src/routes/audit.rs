//! The audit log, and the notes that it and the journal refer to.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminCaller, Json, Path, Query};
use crate::page::{Format, List, Listed, Page, period};
use axum::extract::State;
use chrono::{DateTime, Utc};
use ledger_core::{NoteId, PersonId, rfc3339};
use platform::audit::{Filter, Row};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

const LIST: List = List("audit");

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_audit_log)).routes(routes!(get_note))
}

/// One change that somebody made.
#[derive(Serialize, ToSchema)]
struct AuditEntry {
    entry: Uuid,
    #[serde(serialize_with = "rfc3339::serialize")]
    at: DateTime<Utc>,
    /// The person who made the change; null for the operator at the server's command line.
    actor: Option<Uuid>,
    /// What was done.
    #[schema(example = "setting.changed")]
    action: String,
    /// What kind of thing was changed.
    #[schema(example = "setting")]
    subject_kind: String,
    /// The id or the name of the thing that was changed.
    #[schema(example = "payout")]
    subject: String,
    /// The reason's code, where one was given.
    reason: Option<String>,
    /// The note's id, where one was written.
    note: Option<Uuid>,
    /// The note's words; null when they were erased.
    words: Option<String>,
    /// The value before the change; null where there was none.
    #[schema(value_type = Value)]
    before: Option<Value>,
    /// The value after the change; null where there is none.
    #[schema(value_type = Value)]
    after: Option<Value>,
    /// The `x-request-id` of the request that made the change.
    request: Option<String>,
    /// The journal's revision that records the change, where it is one of the journal.
    revision: Option<i64>,
}

impl From<Row> for AuditEntry {
    fn from(row: Row) -> AuditEntry {
        let Row {
            id,
            at,
            actor,
            action,
            subject_kind,
            subject,
            reason,
            note,
            words,
            before,
            after,
            request,
            revision,
        } = row;
        AuditEntry {
            entry: id,
            at,
            actor,
            action,
            subject_kind,
            subject,
            reason,
            note,
            words,
            before,
            after,
            request,
            revision,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    /// Only changes that this person made.
    actor: Option<Uuid>,
    /// Only changes of this kind, such as `setting.changed`.
    action: Option<String>,
    /// Only changes of things of this kind, such as `person`.
    subject_kind: Option<String>,
    /// Only changes of the thing with this id or name.
    subject: Option<String>,
    /// Only changes made at this moment or later.
    from: Option<DateTime<Utc>>,
    /// Only changes made before this moment.
    to: Option<DateTime<Utc>>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page, 1 to 100; 20 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// List the audit log
///
/// Returns what admins and the operator changed, the newest first. Settings, roles, decisions about hosts,
/// adjustments, bonuses, prices, commission and payouts: who changed what and when, the reason, and the value before
/// and after. The newest change comes first.
#[utoipa::path(get, path = "/v1/admin/audit", tag = "admin: audit", security(("bearer" = ["admin"])),
    params(AuditQuery), responses((status = 200, body = Page<AuditEntry>)))]
async fn list_audit_log(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<AuditQuery>,
    format: Format,
) -> Result<Listed<AuditEntry>, Error> {
    let AuditQuery { actor, action, subject_kind, subject, from, to, cursor, limit } = query;
    let limit = format.limit(limit)?;
    let (actor, period) = (actor.map(PersonId), period(from, to)?);
    let filter = Filter { actor, action, subject_kind, subject, period };
    let found = api.app.audit.list(&filter, LIST.place(cursor.as_deref())?, limit).await?;
    Ok(format.of(LIST.page(found).map(AuditEntry::from)))
}

/// The words behind a reason.
#[derive(Serialize, ToSchema)]
struct NoteView {
    note: Uuid,
    /// Who wrote it; null for the operator at the server's command line.
    author: Option<Uuid>,
    words: String,
    #[serde(serialize_with = "rfc3339::serialize")]
    created_at: DateTime<Utc>,
}

/// Retrieve a note
///
/// Adjustments, approvals and entries of the audit log refer to notes by id. A note that was erased is answered like
/// one that never was.
#[utoipa::path(get, path = "/v1/admin/notes/{note}", tag = "admin: audit", security(("bearer" = ["admin"])),
    responses((status = 200, body = NoteView)))]
async fn get_note(
    State(api): State<Api>,
    _: AdminCaller,
    Path(note): Path<Uuid>,
) -> Result<Json<NoteView>, Error> {
    let platform::notes::Note { id, author, words, created_at } = api.app.notes.get(NoteId(note)).await?;
    Ok(Json(NoteView { note: id, author, words, created_at }))
}

//! Signed heads of the journal, and the keys that they are checked with.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminCaller, Json, Query};
use crate::page::{Format, List, Listed, Page};
use axum::extract::State;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use ledger_core::rfc3339;
use platform::journal_heads::{SignedHead, StoredKey};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

const LIST: List = List("journal_heads");

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_journal_heads, sign_journal_head))
        .routes(routes!(get_journal_keys))
}

/// A signed head of the journal's Merkle tree.
#[derive(Serialize, ToSchema)]
struct JournalHead {
    head: Uuid,
    /// How many events the tree has: all up to the revision before this number.
    #[schema(example = 1_048_576)]
    size: u64,
    /// The root of the tree, in base64.
    #[schema(example = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")]
    root: String,
    /// The signed note (c2sp.org/tlog-checkpoint), as it is published. Keep it as it is.
    note: String,
    #[serde(serialize_with = "rfc3339::serialize")]
    signed_at: DateTime<Utc>,
    /// When every place that `MUNEEM_HEADS_TO` names had it; null before that.
    #[serde(serialize_with = "rfc3339::option::serialize")]
    published_at: Option<DateTime<Utc>>,
}

impl From<SignedHead> for JournalHead {
    fn from(it: SignedHead) -> JournalHead {
        JournalHead {
            head: it.id,
            size: it.size,
            root: BASE64_STANDARD.encode(it.root),
            note: it.note,
            signed_at: it.signed_at,
            published_at: it.published_at,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct JournalHeadsQuery {
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page, 1 to 100; 20 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// List signed heads of the journal
///
/// Returns the heads of the journal's Merkle tree, the newest first. Each says how many events there were and what the root
/// of their tree was. Keep copies elsewhere: whoever has a copy can show that an event was changed or removed later.
#[utoipa::path(get, path = "/v1/admin/journal-heads", tag = "admin: journal", security(("bearer" = ["admin"])),
    params(JournalHeadsQuery), responses((status = 200, body = Page<JournalHead>)))]
async fn list_journal_heads(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<JournalHeadsQuery>,
    format: Format,
) -> Result<Listed<JournalHead>, Error> {
    let limit = format.limit(query.limit)?;
    let after = LIST.place(query.cursor.as_deref())?;
    let found = api.app.heads.list(after, limit).await?;
    Ok(format.of(LIST.page(found).map(JournalHead::from)))
}

/// Sign a head of the journal now
///
/// Returns a head that has every event recorded before the request. If the newest head has them already, that one is
/// returned. Use it before you hand out receipts, or before an audit. Heads are signed by themselves every few minutes.
#[utoipa::path(post, path = "/v1/admin/journal-heads", tag = "admin: journal", security(("bearer" = ["admin"])),
    responses((status = 200, body = JournalHead)))]
async fn sign_journal_head(State(api): State<Api>, _: AdminCaller) -> Result<Json<JournalHead>, Error> {
    Ok(Json(api.app.heads.sign_now().await?.into()))
}

/// The name of the journal as a log, and the public keys of its heads.
#[derive(Serialize, ToSchema)]
struct JournalKeys {
    /// The first line of every head.
    #[schema(example = "muneem/0198c8a2-7a60-7000-8000-000000000001")]
    origin: String,
    /// The newest first. A head is believed if one of them has signed it.
    keys: Vec<JournalKey>,
}

#[derive(Serialize, ToSchema)]
struct JournalKey {
    /// The key in the form of c2sp.org/signed-note: pass it to `muneem receipt --check FILE --key`.
    verifier_key: String,
    /// When it first signed a head; null if it has signed none yet.
    #[serde(serialize_with = "rfc3339::option::serialize")]
    first_used: Option<DateTime<Utc>>,
}

impl From<StoredKey> for JournalKey {
    fn from(it: StoredKey) -> JournalKey {
        JournalKey { verifier_key: it.verifier_key, first_used: it.first_used }
    }
}

/// Retrieve the public keys of the journal's heads
///
/// Returns the keys that heads and receipts are checked with. Note them down once: a key that is fetched anew each time shows
/// nothing if the server is not trusted.
#[utoipa::path(get, path = "/v1/journal-keys", tag = "journal", responses((status = 200, body = JournalKeys)))]
async fn get_journal_keys(State(api): State<Api>) -> Result<Json<JournalKeys>, Error> {
    let (origin, keys) = api.app.heads.keys().await?;
    Ok(Json(JournalKeys { origin, keys: keys.into_iter().map(JournalKey::from).collect() }))
}

//! What reconciliations found, and the adjustment of a gateway's account that settles a difference.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, IdempotencyKey, Json, Path, Query};
use crate::page::{Format, List, Listed, Page, one_of};
use crate::receipt::{Answered, Recorded, made};
use crate::routes::adjustments::{known_difference, note_of};
use crate::routes::approvals::{ApprovalView, DoneOrProposed};
use axum::extract::State;
use chrono::{DateTime, Utc};
use ledger_core::{Asset, Gateway, command, rfc3339};
use platform::approvals::{Given, Proposal};
use platform::commands::CommandError;
use platform::reconciliation::{ItemFilter, Outcome, Reconciliation, StoredItem};
use projections::{Cursor, QueryError, SettledDifference};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

const LIST: List = List("reconciliations");
const ITEMS: &str = "reconciliation_items";

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_reconciliations))
        .routes(routes!(get_reconciliation))
        .routes(routes!(list_reconciliation_items))
        .routes(routes!(adjust_gateway))
}

/// Whose books were compared with the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReconciliationSource)]
enum SourceWord {
    Razorpay,
    Calls,
}

impl SourceWord {
    fn as_str(self) -> &'static str {
        match self {
            SourceWord::Razorpay => "razorpay",
            SourceWord::Calls => "calls",
        }
    }
}

/// A comparison of the journal with the books of somebody else.
#[derive(Serialize, ToSchema)]
struct ReconciliationView {
    reconciliation: Uuid,
    #[schema(value_type = SourceWord)]
    source: String,
    file_name: String,
    /// SHA-256 of the file, in hexadecimal.
    file_sha256: String,
    /// The journal was read up to this revision.
    revision: i64,
    /// What the journal has from this moment on should be in the file.
    #[serde(serialize_with = "rfc3339::serialize")]
    from: DateTime<Utc>,
    /// ... and before this moment.
    #[serde(serialize_with = "rfc3339::serialize")]
    to: DateTime<Utc>,
    matched: i64,
    /// They have it, the journal does not.
    missing_here: i64,
    /// The journal has it, their file does not.
    missing_there: i64,
    amount_differs: i64,
    /// How many settlements had fees.
    fees: i64,
    #[serde(serialize_with = "rfc3339::serialize")]
    made_at: DateTime<Utc>,
}

impl From<Reconciliation> for ReconciliationView {
    fn from(it: Reconciliation) -> ReconciliationView {
        ReconciliationView {
            reconciliation: it.id,
            source: it.source,
            file_name: it.file_name,
            file_sha256: hex::encode(it.file_sha256),
            revision: it.revision,
            from: it.from_at,
            to: it.to_at,
            matched: it.matched,
            missing_here: it.missing_here,
            missing_there: it.missing_there,
            amount_differs: it.amount_differs,
            fees: it.fees,
            made_at: it.made_at,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ReconciliationsQuery {
    /// Only comparisons with these books.
    source: Option<SourceWord>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
    /// How many items to return, from 1 to 100. The default is 20.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// List reconciliations
///
/// Comparisons of the journal with a gateway's settlement report or a media server's durations, newest first. An operator
/// makes them with `muneem reconcile`.
#[utoipa::path(get, path = "/v1/admin/reconciliations", tag = "admin: books", security(("bearer" = ["admin"])),
    params(ReconciliationsQuery), responses((status = 200, body = Page<ReconciliationView>)))]
async fn list_reconciliations(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<ReconciliationsQuery>,
    format: Format,
) -> Result<Listed<ReconciliationView>, Error> {
    let limit = format.limit(query.limit)?;
    let after = LIST.place(query.cursor.as_deref())?;
    let found = api.app.reconciliations.list(query.source.map(SourceWord::as_str), after, limit).await?;
    Ok(format.of(LIST.page(found).map(ReconciliationView::from)))
}

/// Retrieve a reconciliation
///
/// Returns what was compared, and how many lines match, are missing on either side, or differ.
#[utoipa::path(get, path = "/v1/admin/reconciliations/{reconciliation}", tag = "admin: books",
    security(("bearer" = ["admin"])), responses((status = 200, body = ReconciliationView)))]
async fn get_reconciliation(
    State(api): State<Api>,
    _: AdminCaller,
    Path(reconciliation): Path<Uuid>,
) -> Result<Json<ReconciliationView>, Error> {
    Ok(Json(find(&api, reconciliation).await?.into()))
}

async fn find(api: &Api, id: Uuid) -> Result<Reconciliation, Error> {
    let found = api.app.reconciliations.get(id).await.map_err(CommandError::from)?;
    found.ok_or_else(|| Error::not_found("reconciliation"))
}

/// How a line of one side stands beside the other side.
#[derive(ToSchema)]
#[schema(as = ReconciliationOutcome, rename_all = "snake_case")]
#[expect(dead_code, reason = "only the document shows it")]
enum OutcomeWord {
    Matched,
    MissingHere,
    MissingThere,
    AmountDiffers,
    Fees,
}

/// A line of a reconciliation.
#[derive(Serialize, ToSchema)]
struct ReconciliationItem {
    position: i32,
    #[schema(value_type = OutcomeWord)]
    outcome: String,
    /// `payment`, `refund`, `dispute` or `fee`, or what else the report has; `call`.
    kind: String,
    /// The gateway's name of it, or the call.
    reference: String,
    /// What the figures count: minor units of this asset; null for calls, whose figures are milliseconds.
    #[schema(example = "INR/2")]
    asset: Option<String>,
    /// What the journal has: money that came in is positive, money that went out negative.
    ours: Option<i64>,
    /// What they have, before fees.
    theirs: Option<i64>,
    /// What they kept for it; the tax is in it.
    fee: i64,
    tax: i64,
    /// The settlement that paid it out.
    settlement: Option<String>,
    /// The event of the journal.
    event: Option<Uuid>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    at: Option<DateTime<Utc>>,
    /// Names what differs: the same each time that it is found. Give it as `settles` to an adjustment.
    difference: Option<Uuid>,
    /// The adjustment that has settled it.
    settled_by: Option<Uuid>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    settled_at: Option<DateTime<Utc>>,
}

impl ReconciliationItem {
    fn of(it: StoredItem, settled: Option<&SettledDifference>) -> ReconciliationItem {
        ReconciliationItem {
            position: it.position,
            outcome: it.outcome,
            kind: it.kind,
            reference: it.reference,
            asset: it.asset,
            ours: it.ours,
            theirs: it.theirs,
            fee: it.fee,
            tax: it.tax,
            settlement: it.settlement,
            event: it.event,
            at: it.at,
            difference: it.difference,
            settled_by: settled.map(|settled| settled.adjustment),
            settled_at: settled.map(|settled| settled.settled_at),
        }
    }
}

crate::page::list_query! {
    ReconciliationItemsQuery {
        /// Only lines that stand so: `matched`, `missing_here`, `missing_there`, `amount_differs` or `fees`.
        outcome: Option<String>,
    }
}

/// List the lines of a reconciliation
///
/// In the order of the file; after them what the file lacks, and the fees of each settlement. A difference that an
/// adjustment has settled says by which.
#[utoipa::path(get, path = "/v1/admin/reconciliations/{reconciliation}/items", tag = "admin: books",
    security(("bearer" = ["admin"])), params(ReconciliationItemsQuery),
    responses((status = 200, body = Page<ReconciliationItem>)))]
async fn list_reconciliation_items(
    State(api): State<Api>,
    _: AdminCaller,
    Path(reconciliation): Path<Uuid>,
    Query(query): Query<ReconciliationItemsQuery>,
    format: Format,
) -> Result<Listed<ReconciliationItem>, Error> {
    let limit = query.ready(format, &api).await?;
    one_of("outcome", query.outcome.as_deref(), &Outcome::ALL.map(Outcome::as_str))?;
    let after = query.cursor.as_deref().map(|cursor| Cursor::read(ITEMS, cursor));
    let after = after.transpose().map_err(|_| QueryError::BadCursor)?;
    let id = find(&api, reconciliation).await?.id;
    let filter = ItemFilter { outcome: query.outcome, after };
    let mut rows = api.app.reconciliations.items(id, &filter, limit).await.map_err(CommandError::from)?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next_cursor = rows.last().filter(|_| more).map(|row| Cursor::write(ITEMS, &row.position));
    let differences: Vec<Uuid> = rows.iter().filter_map(|row| row.difference).collect();
    let settled: HashMap<Uuid, SettledDifference> =
        api.read.settled(&differences).await?.into_iter().map(|it| (it.difference, it)).collect();
    let item = |row: StoredItem| {
        let settled = row.difference.and_then(|id| settled.get(&id));
        ReconciliationItem::of(row, settled)
    };
    Ok(format.of(Page { items: rows.into_iter().map(item).collect(), next_cursor }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AdjustGateway {
    /// The account's gateway.
    #[schema(value_type = String, example = "razorpay")]
    gateway: Gateway,
    /// What the gateway holds more (positive) or less (negative) than the books say.
    amount_minor: i64,
    #[schema(value_type = String, example = "INR/2")]
    asset: Asset,
    /// A code of 1 to 64 small letters, digits and underscores.
    #[schema(example = "gateway_fee")]
    reason: String,
    /// The words behind the code, up to 2000 characters; kept outside the journal.
    note: Option<String>,
    /// The difference of a reconciliation that it settles. Each is settled once.
    settles: Option<Uuid>,
}

#[derive(Serialize, ToSchema)]
struct GatewayAdjusted {
    #[serde(flatten)]
    recorded: Recorded,
    adjustment: Uuid,
    note: Option<Uuid>,
    #[schema(example = "INR/2")]
    asset: String,
    amount_minor: i64,
}

/// Adjust a gateway's account
///
/// Use it to book what a gateway kept as its fee, or what a reconciliation found and nothing else will mend. What the
/// account loses is a loss of the platform (`platform:losses`). Money that waits in suspense is resolved there instead.
/// Above the payout limit in `/v1/admin/settings/approvals` nothing is posted: the answer is 202 with a proposal that
/// another admin approves or declines.
#[utoipa::path(post, path = "/v1/admin/gateway-adjustments", tag = "admin: books", security(("bearer" = ["admin"])),
    params(IdempotencyKey),
    responses((status = 201, body = GatewayAdjusted),
        (status = 202, body = ApprovalView)))]
async fn adjust_gateway(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<AdjustGateway>,
) -> Result<DoneOrProposed<GatewayAdjusted>, Error> {
    let AdjustGateway { gateway, amount_minor, asset, reason, note: words, settles } = asked;
    let settles = known_difference(&api, settles).await?;
    let note = note_of(&api, admin.person()?, command::AdjustGateway::OPERATION, &key, words).await?;
    let author = admin.author.with_note(Some(reason.clone()), note);
    let proposal = Proposal::GatewayAdjustment { gateway, amount_minor, asset, reason, note, settles };
    Ok(match api.app.approvals.give(&author, key, proposal).await? {
        Given::Proposed { approval, replayed } => DoneOrProposed::Proposed { approval, replayed },
        Given::Done(receipt) => {
            let answer = GatewayAdjusted {
                recorded: receipt.into(),
                adjustment: made(receipt.command_id, "adjustment"),
                note: note.map(|note| note.0),
                asset: asset.to_string(),
                amount_minor,
            };
            DoneOrProposed::Done(Answered::created(&receipt, answer))
        }
    })
}

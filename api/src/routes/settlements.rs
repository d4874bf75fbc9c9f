//! Settling what hosts and agencies have earned: drafted, closed, corrected, paid.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, IdempotencyKey, Json, Path, Query};
use crate::page::{COIN, Format, InCoins, Listed, Page, ReadQuery, list_query, moment, period};
use crate::receipt::{Answered, Recorded, made};
use crate::routes::approvals::{ApprovalView, DoneOrProposed};
use crate::routes::commission::not_the_owner;
use crate::statements::{self, Heading, StatementFormat};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use ledger_core::command::{self, CloseSettlement, PaySettlement};
use ledger_core::event::Earner;
use ledger_core::settlements::{Statement, Totals};
use ledger_core::{Actor, AgencyId, NoteId, Payee, PersonId, Rejection, SettlementId, rfc3339};
use platform::approvals::{Given, Proposal};
use platform::commands::CommandError;
use projections::{SettlementFilter, SettlementItem, SettlementRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(draft_settlement))
        .routes(routes!(close_settlement, list_settlements))
        .routes(routes!(get_settlement))
        .routes(routes!(list_settlement_items))
        .routes(routes!(correct_settlement))
        .routes(routes!(pay_settlement))
}

/// The one whose earnings are meant: a host or an agency.
fn earner(host: Option<Uuid>, agency: Option<Uuid>) -> Result<Option<Earner>, Error> {
    match (host, agency) {
        (Some(_), Some(_)) => Err(Error::field("agency", "must be absent when `host` is given")),
        (Some(host), None) => Ok(Some(Earner::Host(PersonId(host)))),
        (None, Some(agency)) => Ok(Some(Earner::Agency(AgencyId(agency)))),
        (None, None) => Ok(None),
    }
}

/// Who must be named.
fn one_earner(host: Option<Uuid>, agency: Option<Uuid>) -> Result<Earner, Error> {
    earner(host, agency)?.ok_or_else(|| Error::field("host", "must be given, or `agency`"))
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct DraftQuery {
    /// The host whose earnings are meant; absent for an agency.
    host: Option<Uuid>,
    /// The agency whose earnings are meant; absent for a host.
    agency: Option<Uuid>,
    /// When the period begins (RFC 3339); where the last settlement ends when absent.
    from: Option<DateTime<Utc>>,
    /// The cut-off, which is not part of the period: a full or half hour (UTC); now when absent.
    to: Option<DateTime<Utc>>,
}

/// What a settlement would say.
#[derive(Serialize, ToSchema)]
struct SettlementDraft {
    #[schema(example = "COIN/3")]
    asset: &'static str,
    host: Option<Uuid>,
    agency: Option<Uuid>,
    #[serde(serialize_with = "rfc3339::serialize")]
    starts_at: DateTime<Utc>,
    #[serde(serialize_with = "rfc3339::serialize")]
    ends_at: DateTime<Utc>,
    /// The items would be the earner's from this revision on and before `end_revision`.
    first_revision: u64,
    end_revision: u64,
    items: u64,
    gross_milli: i64,
    platform_milli: i64,
    others_milli: i64,
    earned_milli: i64,
    adjusted_milli: i64,
    net_milli: i64,
}

/// Draft a settlement
///
/// Returns what closing a settlement would say, and changes nothing. It is refused as closing it would be. Ask for
/// `text/csv`, a spreadsheet or `application/pdf` for the statement with its items.
#[utoipa::path(get, path = "/v1/admin/settlements/draft", tag = "admin: settlements",
    security(("bearer" = ["admin"])), params(DraftQuery), responses((status = 200, body = SettlementDraft)))]
async fn draft_settlement(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<DraftQuery>,
    format: StatementFormat,
) -> Result<Response, Error> {
    let DraftQuery { host, agency, from, to } = query;
    let of = one_earner(host, agency)?;
    let draft = CloseSettlement { of, from: moment("from", from)?, to: moment("to", to)? };
    let found = api.app.ledger.query(move |state, at| state.statement_draft(&draft, at)).await?;
    let Statement { from, to, first_revision, end_revision, totals } = found.map_err(CommandError::from)?;
    let Totals { items, gross_milli, platform_milli, earned_milli, adjusted_milli } = totals;
    let (starts_at, ends_at) = (from.to_utc(), to.to_utc());
    if format == StatementFormat::Json {
        let draft = SettlementDraft {
            asset: COIN,
            host,
            agency,
            starts_at,
            ends_at,
            first_revision,
            end_revision,
            items,
            gross_milli,
            platform_milli,
            others_milli: totals.others_milli(),
            earned_milli,
            adjusted_milli,
            net_milli: totals.net_milli(),
        };
        return Ok(Json(draft).into_response());
    }
    api.reach(end_revision.checked_sub(1)).await?;
    let revision = |revision: u64| i64::try_from(revision).unwrap_or(i64::MAX);
    let (first_revision, end_revision) = (revision(first_revision), revision(end_revision));
    let heading =
        Heading { of, settlement: None, from: starts_at, to: ends_at, first_revision, end_revision, totals };
    statements::file(&api, heading, format).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CloseSettlementBody {
    /// The host whose earnings are settled; absent for an agency.
    host: Option<Uuid>,
    /// The agency whose earnings are settled; absent for a host.
    agency: Option<Uuid>,
    /// When the period begins; where the last settlement ends when absent. What was earned before and is not settled
    /// is covered too.
    from: Option<DateTime<Utc>>,
    /// The cut-off, which is not part of the period: a full or half hour (UTC); now when absent.
    to: Option<DateTime<Utc>>,
}

#[derive(Serialize, ToSchema)]
struct SettlementMade {
    #[serde(flatten)]
    recorded: Recorded,
    settlement: Uuid,
}

/// Close a settlement
///
/// Settles everything that the host or the agency has earned before the cut-off and that no settlement covers: each
/// charge, what was given back, and adjustments. What is recorded later falls into the next one. A period is closed
/// once: again, or one that overlaps, is refused (`already_settled`). The statement is never changed; correct it by a
/// later version. An admin cannot settle their own earnings, or those of their own agency (`own_money`).
#[utoipa::path(post, path = "/v1/admin/settlements", tag = "admin: settlements",
    security(("bearer" = ["admin"])), params(IdempotencyKey), responses((status = 201, body = SettlementMade)))]
async fn close_settlement(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<CloseSettlementBody>,
) -> Result<Answered<SettlementMade>, Error> {
    let CloseSettlementBody { host, agency, from, to } = asked;
    let of = one_earner(host, agency)?;
    match of {
        Earner::Host(host) => drop(api.app.hosts.get(host).await?),
        Earner::Agency(agency) => not_the_owner(&api, &admin.author, agency).await?,
    }
    let command = CloseSettlement { of, from: moment("from", from)?, to: moment("to", to)? };
    let receipt = api.app.commands.give_audited(&admin.author, key, command.into(), api.now()).await?;
    let settlement = made(receipt.command_id, "settlement");
    Ok(Answered::created(&receipt, SettlementMade { recorded: receipt.into(), settlement }))
}

list_query! {
    SettlementsQuery {
        /// Only settlements of this host.
        host: Option<Uuid>,
        /// Only settlements of this agency.
        agency: Option<Uuid>,
        /// Only versions closed at this time or later (RFC 3339).
        from: Option<DateTime<Utc>>,
        /// Only versions closed before this time.
        to: Option<DateTime<Utc>>,
    }
}

/// List all settlements
///
/// Returns the settlements of all hosts and agencies, those that were closed last first. Each version of a settlement is
/// one of them: the last one of a period has no `corrected_by`.
#[utoipa::path(get, path = "/v1/admin/settlements", tag = "admin: settlements",
    security(("bearer" = ["admin"])), params(SettlementsQuery),
    responses((status = 200, body = Page<InCoins<SettlementRow>>)))]
async fn list_settlements(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<SettlementsQuery>,
    format: Format,
) -> Result<Listed<InCoins<SettlementRow>>, Error> {
    let limit = query.ready(format, &api).await?;
    let of = earner(query.host, query.agency)?;
    let filter = SettlementFilter { of, period: period(query.from, query.to)? };
    let page = api.read.settlements(filter, query.cursor.as_deref(), limit).await?;
    Ok(format.of(Page::from(page).map(InCoins::from)))
}

/// A settlement; of somebody else, where it is somebody's, there is none.
pub async fn find(
    api: &Api,
    id: Uuid,
    min_revision: Option<u64>,
    of: Option<Earner>,
) -> Result<(SettlementRow, Heading), Error> {
    api.reach(min_revision).await?;
    let found = api.read.settlement(SettlementId(id)).await?;
    let known = found.and_then(|it| Heading::of(&it).map(|heading| (it, heading)));
    let own = known.filter(|(_, heading)| of.is_none_or(|of| heading.of == of));
    own.ok_or_else(|| CommandError::from(Rejection::UnknownSettlement).into())
}

/// One settlement in the format that was asked for.
pub async fn shown(
    api: &Api,
    (view, heading): (SettlementRow, Heading),
    format: StatementFormat,
) -> Result<Response, Error> {
    match format {
        StatementFormat::Json => Ok(Json(InCoins::from(view)).into_response()),
        format => statements::file(api, heading, format).await,
    }
}

/// Retrieve a settlement
///
/// Returns one version. Ask for `text/csv`, a spreadsheet or `application/pdf` for the statement with its items.
#[utoipa::path(get, path = "/v1/admin/settlements/{settlement}", tag = "admin: settlements",
    security(("bearer" = ["admin"])), params(("settlement" = Uuid, Path), ReadQuery),
    responses((status = 200, body = InCoins<SettlementRow>)))]
async fn get_settlement(
    State(api): State<Api>,
    _: AdminCaller,
    Path(settlement): Path<Uuid>,
    Query(query): Query<ReadQuery>,
    format: StatementFormat,
) -> Result<Response, Error> {
    let found = find(&api, settlement, query.min_revision, None).await?;
    shown(&api, found, format).await
}

list_query! {
    ItemsQuery {}
}

impl ItemsQuery {
    /// The page of a settlement.
    pub async fn page(
        &self,
        api: &Api,
        id: Uuid,
        of: Option<Earner>,
        format: Format,
    ) -> Result<Page<InCoins<SettlementItem>>, Error> {
        let limit = self.ready(format, api).await?;
        let (_, heading) = find(api, id, None, of).await?;
        let range = (heading.first_revision, heading.end_revision);
        let page = api.read.settlement_items(heading.of, range, self.cursor.as_deref(), limit).await?;
        Ok(Page::from(page).map(InCoins::from))
    }
}

/// List the items of a settlement
///
/// Returns each charge of a call or gift, what was given back, and adjustments, the oldest first. Corrections by a later
/// version are no items: the versions have them.
#[utoipa::path(get, path = "/v1/admin/settlements/{settlement}/items", tag = "admin: settlements",
    security(("bearer" = ["admin"])), params(("settlement" = Uuid, Path), ItemsQuery),
    responses((status = 200, body = Page<InCoins<SettlementItem>>)))]
async fn list_settlement_items(
    State(api): State<Api>,
    _: AdminCaller,
    Path(settlement): Path<Uuid>,
    Query(query): Query<ItemsQuery>,
    format: Format,
) -> Result<Listed<InCoins<SettlementItem>>, Error> {
    Ok(format.of(query.page(&api, settlement, None, format).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CorrectSettlementBody {
    /// What the earner gains (positive) or loses (negative).
    amount_milli: i64,
    /// A code of 1 to 64 small letters, digits and underscores.
    #[schema(example = "wrong_rate")]
    reason: String,
    /// The words behind the code, up to 2000 characters; kept outside the journal.
    note: Option<String>,
}

/// Correct a settlement
///
/// Makes a later version of the same period, which names this one, and moves the difference to or from the earnings. Only
/// the last version is corrected (`settlement_corrected`). An admin cannot correct their own settlement, or their own
/// agency's (`own_money`). Above the limit for adjustments in `/v1/admin/settings/approvals` nothing is changed: the
/// answer is 202 with a proposal that another admin approves or declines.
#[utoipa::path(post, path = "/v1/admin/settlements/{settlement}/corrections", tag = "admin: settlements",
    security(("bearer" = ["admin"])), params(("settlement" = Uuid, Path), IdempotencyKey),
    responses((status = 201, body = SettlementMade), (status = 202, body = ApprovalView)))]
async fn correct_settlement(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(settlement): Path<Uuid>,
    Json(asked): Json<CorrectSettlementBody>,
) -> Result<DoneOrProposed<SettlementMade>, Error> {
    let CorrectSettlementBody { amount_milli, reason, note: words } = asked;
    let person = admin.person()?;
    let mut note = None;
    // The words come first: a correction never points at a note that was not kept.
    if let Some(words) = words {
        let operation = command::CorrectSettlement::OPERATION;
        let id = api.app.commands.id_of(Actor::Person(person), operation, &key).await?;
        let kept: NoteId = id.derive("note");
        api.app.notes.keep(kept, person, &words, api.now()).await?;
        note = Some(kept);
    }
    let author = admin.author.with_note(Some(reason.clone()), note);
    let settlement = SettlementId(settlement);
    let proposal = Proposal::SettlementCorrection { settlement, amount_milli, reason, note };
    Ok(match api.app.approvals.give(&author, key, proposal).await? {
        Given::Proposed { approval, replayed } => DoneOrProposed::Proposed { approval, replayed },
        Given::Done(receipt) => {
            let settlement = made(receipt.command_id, "settlement");
            let answer = SettlementMade { recorded: receipt.into(), settlement };
            DoneOrProposed::Done(Answered::created(&receipt, answer))
        }
    })
}

#[derive(Serialize, ToSchema)]
struct SettlementPayment {
    #[serde(flatten)]
    recorded: Recorded,
    /// The withdrawal, which takes its way like any other.
    withdrawal: Uuid,
}

/// Pay a settlement
///
/// Requests a withdrawal of what is left to pay of the settlement, in the name of its host or of the agency's owner. All
/// rules of withdrawals hold, and it is approved and paid like any other. What is on its way or paid is not paid again
/// (`nothing_to_pay`); what comes back can be. An admin cannot pay themselves (`own_money`).
#[utoipa::path(post, path = "/v1/admin/settlements/{settlement}/pay", tag = "admin: settlements",
    security(("bearer" = ["admin"])), params(("settlement" = Uuid, Path), IdempotencyKey),
    responses((status = 201, body = SettlementPayment)))]
async fn pay_settlement(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(settlement): Path<Uuid>,
) -> Result<Answered<SettlementPayment>, Error> {
    let settlement = SettlementId(settlement);
    let of = api.app.ledger.query(move |state, _| Some(state.settlement(settlement)?.1.of)).await?;
    let payee = match of.ok_or_else(|| CommandError::from(Rejection::UnknownSettlement))? {
        Earner::Host(person) => Payee::Host { person },
        Earner::Agency(agency) => Payee::Agency { agency, owner: api.app.agencies.get(agency).await?.owner },
    };
    let command = PaySettlement { settlement, payee };
    let receipt = api.app.commands.give_audited(&admin.author, key, command.into(), api.now()).await?;
    let withdrawal = made(receipt.command_id, "withdrawal");
    Ok(Answered::created(&receipt, SettlementPayment { recorded: receipt.into(), withdrawal }))
}

//! What hosts and owners of agencies see of their settlements.

use crate::Api;
use crate::error::Error;
use crate::extract::{AgencyCaller, AnyCaller, Json, Path, Query};
use crate::page::{Format, InCoins, Page, ReadQuery, list_query};
use crate::routes::settlements::{ItemsQuery, find, shown};
use crate::statements::StatementFormat;
use axum::extract::State;
use axum::response::Response;
use ledger_core::AgencyId;
use ledger_core::event::Earner;
use projections::{SettlementFilter, SettlementItem, SettlementRow};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_own_settlements))
        .routes(routes!(get_own_settlement))
        .routes(routes!(list_own_settlement_items))
        .routes(routes!(list_agency_settlements))
        .routes(routes!(get_agency_settlement))
        .routes(routes!(list_agency_settlement_items))
}

list_query! {
    OwnSettlementsQuery {}
}

impl OwnSettlementsQuery {
    async fn page(&self, api: &Api, of: Earner) -> Result<Page<InCoins<SettlementRow>>, Error> {
        let limit = self.ready(Format::Json, api).await?;
        let filter = SettlementFilter { of: Some(of), ..SettlementFilter::default() };
        let page = api.read.settlements(filter, self.cursor.as_deref(), limit).await?;
        Ok(Page::from(page).map(InCoins::from))
    }
}

/// The agency as an earner, if it is the caller's.
async fn own_agency(api: &Api, owner: &AgencyCaller, agency: Uuid) -> Result<Earner, Error> {
    Ok(Earner::Agency(api.app.agencies.owned(AgencyId(agency), owner.person()).await?.id))
}

/// List your settlements
///
/// Returns the settlements of what the caller earned as a host, those that were closed last first.
#[utoipa::path(get, path = "/v1/me/settlements", tag = "withdrawals", security(("bearer" = [])),
    params(OwnSettlementsQuery), responses((status = 200, body = Page<InCoins<SettlementRow>>)))]
async fn list_own_settlements(
    State(api): State<Api>,
    host: AnyCaller,
    Query(query): Query<OwnSettlementsQuery>,
) -> Result<Json<Page<InCoins<SettlementRow>>>, Error> {
    Ok(Json(query.page(&api, Earner::Host(host.person())).await?))
}

/// Retrieve one of your settlements
///
/// Returns one version. Ask for `text/csv`, a spreadsheet or `application/pdf` for the statement with its items.
#[utoipa::path(get, path = "/v1/me/settlements/{settlement}", tag = "withdrawals", security(("bearer" = [])),
    params(("settlement" = Uuid, Path), ReadQuery), responses((status = 200, body = InCoins<SettlementRow>)))]
async fn get_own_settlement(
    State(api): State<Api>,
    host: AnyCaller,
    Path(settlement): Path<Uuid>,
    Query(query): Query<ReadQuery>,
    format: StatementFormat,
) -> Result<Response, Error> {
    let of = Some(Earner::Host(host.person()));
    let found = find(&api, settlement, query.min_revision, of).await?;
    shown(&api, found, format).await
}

/// List the items of one of your settlements
///
/// Returns each charge of a call or gift, what was given back, and adjustments, the oldest first.
#[utoipa::path(get, path = "/v1/me/settlements/{settlement}/items", tag = "withdrawals",
    security(("bearer" = [])), params(("settlement" = Uuid, Path), ItemsQuery),
    responses((status = 200, body = Page<InCoins<SettlementItem>>)))]
async fn list_own_settlement_items(
    State(api): State<Api>,
    host: AnyCaller,
    Path(settlement): Path<Uuid>,
    Query(query): Query<ItemsQuery>,
) -> Result<Json<Page<InCoins<SettlementItem>>>, Error> {
    let of = Some(Earner::Host(host.person()));
    Ok(Json(query.page(&api, settlement, of, Format::Json).await?))
}

/// List the settlements of an agency
///
/// Returns those that were closed last first.
#[utoipa::path(get, path = "/v1/agencies/{agency}/settlements", tag = "agencies",
    security(("bearer" = ["agency"])), params(("agency" = Uuid, Path), OwnSettlementsQuery),
    responses((status = 200, body = Page<InCoins<SettlementRow>>)))]
async fn list_agency_settlements(
    State(api): State<Api>,
    owner: AgencyCaller,
    Path(agency): Path<Uuid>,
    Query(query): Query<OwnSettlementsQuery>,
) -> Result<Json<Page<InCoins<SettlementRow>>>, Error> {
    let of = own_agency(&api, &owner, agency).await?;
    Ok(Json(query.page(&api, of).await?))
}

/// Retrieve a settlement of an agency
///
/// Returns one version. Ask for `text/csv`, a spreadsheet or `application/pdf` for the statement with its items.
#[utoipa::path(get, path = "/v1/agencies/{agency}/settlements/{settlement}", tag = "agencies",
    security(("bearer" = ["agency"])),
    params(("agency" = Uuid, Path), ("settlement" = Uuid, Path), ReadQuery),
    responses((status = 200, body = InCoins<SettlementRow>)))]
async fn get_agency_settlement(
    State(api): State<Api>,
    owner: AgencyCaller,
    Path((agency, settlement)): Path<(Uuid, Uuid)>,
    Query(query): Query<ReadQuery>,
    format: StatementFormat,
) -> Result<Response, Error> {
    let of = own_agency(&api, &owner, agency).await?;
    let found = find(&api, settlement, query.min_revision, Some(of)).await?;
    shown(&api, found, format).await
}

/// List the items of a settlement of an agency
///
/// Returns each charge of a call or gift, what was given back, and adjustments, the oldest first.
#[utoipa::path(get, path = "/v1/agencies/{agency}/settlements/{settlement}/items", tag = "agencies",
    security(("bearer" = ["agency"])),
    params(("agency" = Uuid, Path), ("settlement" = Uuid, Path), ItemsQuery),
    responses((status = 200, body = Page<InCoins<SettlementItem>>)))]
async fn list_agency_settlement_items(
    State(api): State<Api>,
    owner: AgencyCaller,
    Path((agency, settlement)): Path<(Uuid, Uuid)>,
    Query(query): Query<ItemsQuery>,
) -> Result<Json<Page<InCoins<SettlementItem>>>, Error> {
    let of = own_agency(&api, &owner, agency).await?;
    Ok(Json(query.page(&api, settlement, Some(of), Format::Json).await?))
}

//! Money that was received for coins which are not spent yet.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminCaller, Json, Path, Query};
use crate::page::{Format, InCoins, Listed, Page, list_query};
use crate::routes::books::moment;
use axum::extract::State;
use chrono::{DateTime, Utc};
use ledger_core::PersonId;
use projections::{AsOf, DeferredReport, PurchasedLotRow};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(get_deferred_revenue)).routes(routes!(list_lots))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct DeferredQuery {
    /// At this time (RFC 3339), not before the journal's first event and not in the future. Cannot be combined with
    /// `revision`.
    at: Option<DateTime<Utc>>,
    /// After this event of the journal. Inside the events of one command it is what was before them.
    revision: Option<u64>,
    /// Answer only once the read models show this revision.
    min_revision: Option<u64>,
}

/// Retrieve deferred revenue
///
/// Returns, now or at any moment in the past, what was received for coins, what of it went back to the payers, what stands
/// for coins that are not spent (deferred), and what has been earned because its coins were spent or have expired
/// (recognised). All coins of a purchase, the plan's bonus too, share its price evenly. `lines` shows where the money stands
/// by the accounts; `difference_minor` is zero where both agree.
#[utoipa::path(get, path = "/v1/admin/deferred-revenue", tag = "admin: books", security(("bearer" = ["admin"])),
    params(DeferredQuery), responses((status = 200, body = DeferredReport)))]
async fn get_deferred_revenue(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<DeferredQuery>,
) -> Result<Json<DeferredReport>, Error> {
    let as_of = moment(&api, query.at, query.revision).await?;
    api.reach(query.min_revision).await?;
    Ok(Json(api.read.deferred_revenue(as_of.unwrap_or(AsOf::Revision(u64::MAX))).await?))
}

list_query! {
    LotsQuery {}
}

/// List a person's bought coins
///
/// Returns each captured purchase with what is left of its coins, the newest first. Spending takes bonus coins before bought
/// ones, and the oldest purchase first; the draws of an event (`/v1/admin/events`) name the lots that it took coins from.
#[utoipa::path(get, path = "/v1/admin/people/{person}/lots", tag = "admin: books", security(("bearer" = ["admin"])),
    params(("person" = Uuid, Path), LotsQuery), responses((status = 200, body = Page<InCoins<PurchasedLotRow>>)))]
async fn list_lots(
    State(api): State<Api>,
    _: AdminCaller,
    Path(person): Path<Uuid>,
    Query(query): Query<LotsQuery>,
    format: Format,
) -> Result<Listed<InCoins<PurchasedLotRow>>, Error> {
    let limit = query.ready(format, &api).await?;
    let person = api.app.people.get(PersonId(person)).await?.id;
    let page = api.read.purchased_lots_of(person, query.cursor.as_deref(), limit).await?;
    Ok(format.of(Page::from(page).map(InCoins::from)))
}

//! What an agency's owner sees of it, and the withdrawal of its earnings.

use crate::Api;
use crate::error::Error;
use crate::extract::{AgencyCaller, IdempotencyKey, Json, Path, Query};
use crate::page::{COIN, InCoins, Page, ReadQuery};
use crate::receipt::{Answered, Recorded};
use crate::routes::withdrawals::{RequestWithdrawal, WithdrawalRequested, WithdrawalsQuery, cancel, request};
use axum::extract::State;
use ledger_core::{Account, AgencyId, Asset, Payee};
use projections::WithdrawalRow;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_own_agencies))
        .routes(routes!(request_agency_withdrawal, list_agency_withdrawals))
        .routes(routes!(cancel_agency_withdrawal))
}

#[derive(Serialize, ToSchema)]
struct OwnAgency {
    agency: Uuid,
    name: String,
    code: String,
    #[schema(example = "COIN/3")]
    asset: &'static str,
    /// What the agency has earned and not withdrawn.
    earnings_milli: i64,
    /// What can be withdrawn now; nothing as long as the owner owes coins.
    withdrawable_milli: i64,
}

#[derive(Serialize, ToSchema)]
struct OwnAgencies {
    items: Vec<OwnAgency>,
    /// The last event of the journal that the balances include.
    as_of_revision: Option<u64>,
}

/// List your agencies
///
/// Returns the agencies that the caller owns, the oldest first, each with what it has earned. Balances come from the
/// ledger itself and are always current.
#[utoipa::path(get, path = "/v1/agencies", tag = "agencies", security(("bearer" = ["agency"])), params(ReadQuery),
    responses((status = 200, body = OwnAgencies)))]
async fn list_own_agencies(
    State(api): State<Api>,
    owner: AgencyCaller,
    Query(query): Query<ReadQuery>,
) -> Result<Json<OwnAgencies>, Error> {
    api.reach(query.min_revision).await?;
    let agencies = api.app.agencies.of(owner.person()).await?;
    let accounts: Vec<Account> = agencies.iter().map(|it| Account::AgencyEarnings(it.id)).collect();
    let person = owner.person();
    let (balances, as_of_revision) = api
        .app
        .ledger
        .query(move |state, at| {
            let owes = state.owed(person) > 0;
            let balance = |earnings: Account| {
                let withdrawable_milli = if owes { 0 } else { state.withdrawable(earnings, at) };
                (-state.balance(earnings, Asset::COIN), withdrawable_milli)
            };
            (accounts.iter().copied().map(balance).collect::<Vec<_>>(), state.revision())
        })
        .await?;
    let own = agencies.into_iter().zip(balances).map(|(it, (earnings_milli, withdrawable_milli))| {
        let (agency, name, code) = (it.id.0, it.name, it.code);
        OwnAgency { agency, name, code, asset: COIN, earnings_milli, withdrawable_milli }
    });
    Ok(Json(OwnAgencies { items: own.collect(), as_of_revision }))
}

/// The agency as the payee of a withdrawal, if it is the caller's.
async fn payee(api: &Api, owner: &AgencyCaller, agency: Uuid) -> Result<Payee, Error> {
    let agency = api.app.agencies.owned(AgencyId(agency), owner.person()).await?;
    Ok(Payee::Agency { agency: agency.id, owner: agency.owner })
}

/// Request a withdrawal of an agency
///
/// Asks for the agency's earnings to be paid out in money, at the rate of this moment. The coins are held until an
/// admin decides: a rejected or failed withdrawal returns them.
///
/// Fails with `insufficient_earnings` or `earnings_not_available` if less can be withdrawn, with
/// `withdrawal_too_small` below the smallest amount, and with `unknown_agency` for an agency of somebody else.
#[utoipa::path(post, path = "/v1/agencies/{agency}/withdrawals", tag = "agencies",
    security(("bearer" = ["agency"])), params(("agency" = Uuid, Path), IdempotencyKey),
    responses((status = 201, body = WithdrawalRequested)))]
async fn request_agency_withdrawal(
    State(api): State<Api>,
    owner: AgencyCaller,
    IdempotencyKey(key): IdempotencyKey,
    Path(agency): Path<Uuid>,
    Json(asked): Json<RequestWithdrawal>,
) -> Result<Answered<WithdrawalRequested>, Error> {
    let payee = payee(&api, &owner, agency).await?;
    request(&api, key, payee, asked.coins_milli).await
}

/// List the withdrawals of an agency
///
/// Returns the newest first.
#[utoipa::path(get, path = "/v1/agencies/{agency}/withdrawals", tag = "agencies",
    security(("bearer" = ["agency"])), params(("agency" = Uuid, Path), WithdrawalsQuery),
    responses((status = 200, body = Page<InCoins<WithdrawalRow>>)))]
async fn list_agency_withdrawals(
    State(api): State<Api>,
    owner: AgencyCaller,
    Path(agency): Path<Uuid>,
    Query(query): Query<WithdrawalsQuery>,
) -> Result<Json<Page<InCoins<WithdrawalRow>>>, Error> {
    let payee = payee(&api, &owner, agency).await?;
    Ok(Json(query.page(&api, payee).await?))
}

/// Cancel a withdrawal of an agency
///
/// Cancels a withdrawal that has not been approved yet and returns its coins.
#[utoipa::path(post, path = "/v1/agencies/{agency}/withdrawals/{withdrawal}/cancel", tag = "agencies",
    security(("bearer" = ["agency"])),
    params(("agency" = Uuid, Path), ("withdrawal" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn cancel_agency_withdrawal(
    State(api): State<Api>,
    owner: AgencyCaller,
    IdempotencyKey(key): IdempotencyKey,
    Path((agency, withdrawal)): Path<(Uuid, Uuid)>,
) -> Result<Answered<Recorded>, Error> {
    let payee = payee(&api, &owner, agency).await?;
    cancel(&api, key, payee, withdrawal).await
}

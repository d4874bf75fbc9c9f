//! Hosts taking their earnings out; agencies have routes of their own, which answer alike. Not for the role alone: whoever is no host any more still has what they
//! earned, and nobody else has earnings.

use crate::Api;
use crate::error::Error;
use crate::extract::{AnyCaller, EarnerCaller, IdempotencyKey, Json, Path, Query};
use crate::page::{COIN, Format, InCoins, Page, list_query};
use crate::receipt::{Answered, Recorded, made};
use crate::words::WithdrawalStatus;
use axum::extract::State;
use ledger_core::command;
use ledger_core::{Actor, ClientKey, Command, Payee, WithdrawalId};
use platform::bounds::Free;
use projections::{WithdrawalFilter, WithdrawalRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(request_withdrawal, list_withdrawals))
        .routes(routes!(cancel_withdrawal))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestWithdrawal {
    pub coins_milli: i64,
}

#[derive(Serialize, ToSchema)]
pub struct WithdrawalRequested {
    #[serde(flatten)]
    recorded: Recorded,
    withdrawal: Uuid,
    #[schema(example = "COIN/3")]
    asset: &'static str,
    coins_milli: i64,
}

/// Request a withdrawal
///
/// Asks for earnings to be paid out in money, at the rate of this moment. The coins are held until an admin decides: a
/// rejected or failed withdrawal returns them.
///
/// Fails with `insufficient_earnings` or `earnings_not_available` if less can be withdrawn, and with `withdrawal_too_small`
/// below the smallest amount.
#[utoipa::path(post, path = "/v1/withdrawals", tag = "withdrawals", security(("bearer" = [])),
    params(IdempotencyKey),
    responses((status = 201, body = WithdrawalRequested)))]
async fn request_withdrawal(
    State(api): State<Api>,
    host: EarnerCaller,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<RequestWithdrawal>,
) -> Result<Answered<WithdrawalRequested>, Error> {
    let payee = Payee::Host { person: host.person() };
    request(&api, key, payee, asked.coins_milli).await
}

/// Requests a withdrawal for whoever is paid.
pub async fn request(
    api: &Api,
    key: ClientKey,
    payee: Payee,
    coins_milli: i64,
) -> Result<Answered<WithdrawalRequested>, Error> {
    let command = Command::from(command::RequestWithdrawal { payee, coins_milli });
    let actor = Actor::Person(payee.person());
    if !api.app.commands.is_recorded(actor, command.operation(), &key).await? {
        api.app.bounds.take(payee.person(), Free::Withdrawals, api.now()).await?;
    }
    let receipt = api.app.commands.give(payee.person(), key, command).await?;
    let withdrawal = made(receipt.command_id, "withdrawal");
    let answer = WithdrawalRequested { recorded: receipt.into(), withdrawal, asset: COIN, coins_milli };
    Ok(Answered::created(&receipt, answer))
}

/// Cancels a withdrawal of whoever is to be paid.
pub async fn cancel(
    api: &Api,
    key: ClientKey,
    payee: Payee,
    withdrawal: Uuid,
) -> Result<Answered<Recorded>, Error> {
    let command = command::CancelWithdrawal { withdrawal: WithdrawalId(withdrawal), payee };
    Ok(Answered::done(api.app.commands.give(payee.person(), key, command.into()).await?))
}

list_query! {
    WithdrawalsQuery {
        /// Only withdrawals of this status.
        #[param(inline, value_type = Option<WithdrawalStatus>)]
        status: Option<WithdrawalStatus>,
    }
}

impl WithdrawalsQuery {
    /// The page of whoever is paid.
    pub async fn page(&self, api: &Api, payee: Payee) -> Result<Page<InCoins<WithdrawalRow>>, Error> {
        let limit = self.ready(Format::Json, api).await?;
        let status = self.status.map(|it| it.as_str().to_owned());
        let filter = WithdrawalFilter { status, payee: Some(payee), ..WithdrawalFilter::default() };
        let page = api.read.withdrawals(&filter, self.cursor.as_deref(), limit).await?;
        Ok(Page::from(page).map(InCoins::from))
    }
}

/// List your withdrawals
///
/// Returns the caller's withdrawals, the newest first.
#[utoipa::path(get, path = "/v1/withdrawals", tag = "withdrawals", security(("bearer" = [])),
    params(WithdrawalsQuery), responses((status = 200, body = Page<InCoins<WithdrawalRow>>)))]
async fn list_withdrawals(
    State(api): State<Api>,
    host: AnyCaller,
    Query(query): Query<WithdrawalsQuery>,
) -> Result<Json<Page<InCoins<WithdrawalRow>>>, Error> {
    Ok(Json(query.page(&api, Payee::Host { person: host.person() }).await?))
}

/// Cancel a withdrawal
///
/// Cancels a withdrawal that has not been approved yet and returns its coins.
#[utoipa::path(post, path = "/v1/withdrawals/{withdrawal}/cancel", tag = "withdrawals",
    security(("bearer" = [])), params(("withdrawal" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn cancel_withdrawal(
    State(api): State<Api>,
    host: EarnerCaller,
    IdempotencyKey(key): IdempotencyKey,
    Path(withdrawal): Path<Uuid>,
) -> Result<Answered<Recorded>, Error> {
    cancel(&api, key, Payee::Host { person: host.person() }, withdrawal).await
}

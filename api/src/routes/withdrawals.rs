//! Hosts taking their earnings out. Not for the role alone: whoever is no host any more still has what they
//! earned, and nobody else has earnings.

use crate::Api;
use crate::error::Error;
use crate::extract::{AnyCaller, EarnerCaller, IdempotencyKey, Json, Path, Query};
use crate::page::{COIN, InCoins, Page, list_query};
use crate::receipt::{Created, Recorded, created, made};
use crate::words::WithdrawalStatus;
use axum::extract::State;
use ledger_core::command;
use ledger_core::{Command, PersonId, WithdrawalId};
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
struct RequestWithdrawal {
    coins_milli: i64,
}

#[derive(Serialize, ToSchema)]
struct WithdrawalRequested {
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
    responses((status = 201, body = WithdrawalRequested), (status = 200, body = WithdrawalRequested)))]
async fn request_withdrawal(
    State(api): State<Api>,
    host: EarnerCaller,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<RequestWithdrawal>,
) -> Result<Created<WithdrawalRequested>, Error> {
    let coins_milli = asked.coins_milli;
    api.app.bounds.take(host.person(), Free::Withdrawals, api.now()).await?;
    let command = Command::from(command::RequestWithdrawal { host: host.person(), coins_milli });
    let receipt = api.app.commands.give(host.person(), key, command).await?;
    let withdrawal = made(receipt.command_id, "withdrawal");
    let answer = WithdrawalRequested { recorded: receipt.into(), withdrawal, asset: COIN, coins_milli };
    Ok(created(&receipt, answer))
}

list_query! {
    WithdrawalsQuery {
        /// Only withdrawals of this status.
        #[param(inline, value_type = Option<WithdrawalStatus>)]
        status: Option<WithdrawalStatus>,
    }
}

impl WithdrawalsQuery {
    /// The page for an admin (`host` absent) or for a host.
    pub async fn page(
        &self,
        api: &Api,
        host: Option<PersonId>,
    ) -> Result<Page<InCoins<WithdrawalRow>>, Error> {
        let limit = self.ready(api).await?;
        let filter = WithdrawalFilter { status: self.status.map(|it| it.as_str().to_owned()), host };
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
    Ok(Json(query.page(&api, Some(host.person())).await?))
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
) -> Result<Json<Recorded>, Error> {
    let command = Command::from(command::CancelWithdrawal {
        withdrawal: WithdrawalId(withdrawal),
        host: host.person(),
    });
    Ok(Json(api.app.commands.give(host.person(), key, command).await?.into()))
}

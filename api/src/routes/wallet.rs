//! What the caller has, and how it came and went.

use crate::Api;
use crate::error::Error;
use crate::extract::{AnyCaller, Json, Query};
use crate::page::{COIN, Page, ReadQuery, list_query};
use axum::extract::State;
use projections::{BonusLotRow, StatementLine, StatementOf};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(get_wallet)).routes(routes!(list_statement))
}

/// What a person has, in thousandths of a coin.
#[derive(Serialize, ToSchema)]
struct WalletView {
    person: Uuid,
    #[schema(example = "COIN/3")]
    asset: &'static str,
    /// Bought coins: spent after the bonus coins.
    purchased_milli: i64,
    /// Bonus coins, those that have expired but are not taken back yet among them.
    bonus_milli: i64,
    /// What can be spent now.
    spendable_milli: i64,
    /// What the person earned as a host: can be withdrawn, never spent.
    earnings_milli: i64,
    /// What can be withdrawn now.
    withdrawable_milli: i64,
    /// The balances are as of this event of the journal.
    as_of_revision: Option<u64>,
    /// Bonus coins that are not spent, soonest expiry first.
    bonus_lots: Vec<BonusLotRow>,
}

/// The caller's balances. They come from the ledger itself, so they are never behind.
#[utoipa::path(get, path = "/v1/wallet", tag = "wallet", security(("bearer" = [])), params(ReadQuery),
    responses((status = 200, body = WalletView)))]
async fn get_wallet(
    State(api): State<Api>,
    caller: AnyCaller,
    Query(query): Query<ReadQuery>,
) -> Result<Json<WalletView>, Error> {
    api.reach(query.min_revision).await?;
    let person = caller.person();
    let (wallet, as_of_revision) =
        api.app.ledger.query(move |state, at| (state.wallet(person, at), state.revision())).await?;
    // The lots should fit the balances; when the projector is far behind, old lots are better than no wallet.
    let _ = api.reach(as_of_revision).await;
    Ok(Json(WalletView {
        person: person.0,
        asset: COIN,
        purchased_milli: wallet.purchased_milli,
        bonus_milli: wallet.bonus_milli,
        spendable_milli: wallet.spendable_milli,
        earnings_milli: wallet.earnings_milli,
        withdrawable_milli: wallet.withdrawable_milli,
        as_of_revision,
        bonus_lots: api.read.bonus_lots_of(person).await?,
    }))
}

list_query! { StatementQuery {} }

/// Every movement of the caller's wallet, newest first, with the balance after it.
#[utoipa::path(get, path = "/v1/wallet/statement", tag = "wallet", security(("bearer" = [])),
    params(StatementQuery), responses((status = 200, body = Page<StatementLine>)))]
async fn list_statement(
    State(api): State<Api>,
    caller: AnyCaller,
    Query(query): Query<StatementQuery>,
) -> Result<Json<Page<StatementLine>>, Error> {
    let limit = query.ready(&api).await?;
    let of = StatementOf::Person(caller.person());
    Ok(Json(api.read.statement(of, query.cursor.as_deref(), limit).await?.into()))
}

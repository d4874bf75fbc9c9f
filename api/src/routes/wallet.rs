//! What the caller has, and how it came and went.

use crate::Api;
use crate::error::Error;
use crate::extract::{AnyCaller, Json, Query};
use crate::openapi::words_of;
use crate::page::{COIN, Format, Page, ReadQuery, WithOther, list_query, one_of, period};
use axum::extract::State;
use chrono::{DateTime, Utc};
use projections::{BonusLotRow, StatementFilter, StatementLine, StatementOf};
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
    /// Coins that were bought. They are spent after bonus coins and never expire.
    purchased_milli: i64,
    /// Bonus coins, including those that have expired but have not been taken back yet.
    bonus_milli: i64,
    /// What can be spent now.
    spendable_milli: i64,
    /// What the person earned as a host. It can be withdrawn but not spent.
    earnings_milli: i64,
    /// What can be withdrawn now.
    withdrawable_milli: i64,
    /// Coins that cannot be spent until a dispute over their payment is decided.
    frozen_milli: i64,
    /// What the person owes for spent coins whose payment was taken back. While it is above zero nothing can be paid with
    /// coins and nothing withdrawn (`receivable_open`); the next purchase settles it first.
    owed_milli: i64,
    /// The last event of the journal that the balances include.
    as_of_revision: Option<u64>,
    /// Bonus coins that have not been spent, those that expire first at the top.
    bonus_lots: Vec<BonusLotRow>,
}

/// Retrieve your wallet
///
/// Returns what the caller can spend and, for a host, what can be withdrawn. Balances come from the ledger itself and
/// are always current; `bonus_lots` come from the read models.
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
        frozen_milli: wallet.frozen_milli,
        owed_milli: wallet.owed_milli,
        as_of_revision,
        bonus_lots: api.read.bonus_lots_of(person).await?,
    }))
}

list_query! {
    StatementQuery {
        /// Only movements of this type.
        r#type: Option<String>,
        /// Only movements at this time or later (RFC 3339).
        from: Option<DateTime<Utc>>,
        /// Only movements before this time.
        to: Option<DateTime<Utc>>,
    }
}

/// List your statement
///
/// Returns every movement of the caller's wallet with the balance after it, the newest first. With `type` a page looks
/// through up to 10,000 movements: it may have fewer items than `limit`, or none, and still a `next_cursor` with which
/// the search goes on.
#[utoipa::path(get, path = "/v1/wallet/statement", tag = "wallet", security(("bearer" = [])),
    params(StatementQuery), responses((status = 200, body = Page<WithOther<StatementLine>>)))]
async fn list_statement(
    State(api): State<Api>,
    caller: AnyCaller,
    Query(query): Query<StatementQuery>,
) -> Result<Json<Page<WithOther<StatementLine>>>, Error> {
    let limit = query.ready(Format::Json, &api).await?;
    let of = StatementOf::Person(caller.person());
    one_of("type", query.r#type.as_deref(), words_of("MovementType"))?;
    let filter = StatementFilter {
        period: period(query.from, query.to)?,
        movement: query.r#type,
        ..StatementFilter::default()
    };
    let page = Page::from(api.read.statement(of, &filter, query.cursor.as_deref(), limit).await?);
    Ok(Json(page.with_others(&api, |line| line.counterparty_person).await?))
}

//! The books: accounts, statements, balances as of any moment, trial balance, revenue.

use crate::Api;
use crate::error::{Error, Unreadable};
use crate::extract::{AdminCaller, Json, Path, Query};
use crate::openapi::words_of;
use crate::page::{Format, InCoins, Listed, Page, amounts, common_era, list_query, one_of, period};
use axum::extract::State;
use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use ledger_core::{Account, Asset, Event, PersonId};
use projections::{
    AccountFilter, AsOf, BalanceAsOf, RevenueRow, StatementFilter, StatementLine, StatementOf, TrialBalance,
    TrialBalanceLine,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// The longest time that revenue is told of at once.
const REVENUE_DAYS: i64 = 366;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_accounts))
        .routes(routes!(list_account_statement))
        .routes(routes!(get_account_balance))
        .routes(routes!(get_trial_balance))
        .routes(routes!(get_revenue))
}

list_query! {
    AccountsQuery {
        /// Only accounts whose name begins with this, such as `suspense:`.
        prefix: Option<String>,
        /// Only the accounts of this person.
        person: Option<Uuid>,
        /// Only balances in this asset, such as `INR/2`.
        #[param(value_type = Option<String>)]
        asset: Option<Asset>,
        /// Only balances of this size or more, debit or credit.
        min_amount_minor: Option<i64>,
        /// Only balances of this size or less, debit or credit.
        max_amount_minor: Option<i64>,
    }
}

/// An account's balance in one asset.
#[derive(Serialize, ToSchema)]
struct AccountView {
    #[schema(example = "platform:revenue")]
    account: String,
    #[schema(example = "COIN/3")]
    asset: String,
    /// As the account's owner reads it: what a user has is positive.
    balance_minor: i64,
    /// Of debit and credit one is zero.
    debit_minor: i64,
    credit_minor: i64,
}

impl From<TrialBalanceLine> for AccountView {
    fn from(line: TrialBalanceLine) -> AccountView {
        let signed = line.debit_minor - line.credit_minor;
        let owner = line.account.parse::<Account>();
        AccountView {
            balance_minor: owner.map_or(signed, |account| account.natural_balance(signed)),
            account: line.account,
            asset: line.asset,
            debit_minor: line.debit_minor,
            credit_minor: line.credit_minor,
        }
    }
}

/// List accounts
///
/// Returns all accounts whose balance is not zero, ordered by name and asset.
#[utoipa::path(get, path = "/v1/admin/accounts", tag = "admin: books", security(("bearer" = ["admin"])),
    params(AccountsQuery), responses((status = 200, body = Page<AccountView>)))]
async fn list_accounts(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<AccountsQuery>,
    format: Format,
) -> Result<Listed<AccountView>, Error> {
    declared(&api, query.asset).await?;
    let limit = query.ready(format, &api).await?;
    let filter = AccountFilter {
        prefix: query.prefix.unwrap_or_default(),
        person: query.person.map(PersonId),
        asset: query.asset,
        amount_minor: amounts(query.min_amount_minor, query.max_amount_minor)?,
    };
    let page = api.read.accounts(&filter, query.cursor.as_deref(), limit).await?;
    Ok(format.of(Page::from(page).map(AccountView::from)))
}

list_query! {
    AccountStatementQuery {
        /// The asset, such as `INR/2`. If absent, the one that the account usually holds.
        #[param(value_type = Option<String>)]
        asset: Option<Asset>,
        /// Only movements of this type.
        r#type: Option<String>,
        /// Only movements by events of this type, such as `GiftSent`.
        kind: Option<String>,
        /// Only movements with this person on the other side.
        person: Option<Uuid>,
        /// Only movements at this time or later (RFC 3339).
        from: Option<DateTime<Utc>>,
        /// Only movements before this time.
        to: Option<DateTime<Utc>>,
        /// Only movements whose `amount_minor` is this or more. What the owner lost is negative.
        min_amount_minor: Option<i64>,
        /// Only movements whose `amount_minor` is this or less.
        max_amount_minor: Option<i64>,
    }
}

/// List an account's entries
///
/// Returns every movement of an account with the balance after it, the newest first. With a filter other than `from`
/// and `to` a page looks through up to 10,000 movements: it may have fewer items than `limit`, or none, and still a
/// `next_cursor` with which the search goes on.
#[utoipa::path(get, path = "/v1/admin/accounts/{account}/statement", tag = "admin: books",
    security(("bearer" = ["admin"])), params(("account" = String, Path), AccountStatementQuery),
    responses((status = 200, body = Page<StatementLine>)))]
async fn list_account_statement(
    State(api): State<Api>,
    _: AdminCaller,
    Path(account): Path<String>,
    Query(query): Query<AccountStatementQuery>,
    format: Format,
) -> Result<Listed<StatementLine>, Error> {
    let account = read_account(&account)?;
    declared(&api, query.asset).await?;
    let limit = query.ready(format, &api).await?;
    one_of("type", query.r#type.as_deref(), words_of("MovementType"))?;
    one_of("kind", query.kind.as_deref(), Event::KINDS)?;
    let of = StatementOf::Account(account, query.asset.unwrap_or_else(|| usual_asset(account)));
    let filter = StatementFilter {
        period: period(query.from, query.to)?,
        movement: query.r#type,
        kind: query.kind,
        counterparty: query.person.map(PersonId),
        amount_minor: amounts(query.min_amount_minor, query.max_amount_minor)?,
    };
    Ok(format.of(api.read.statement(of, &filter, query.cursor.as_deref(), limit).await?.into()))
}

/// A balance of zero in an asset that the journal does not know would be no answer.
async fn declared(api: &Api, asset: Option<Asset>) -> Result<(), Error> {
    let Some(asset) = asset else { return Ok(()) };
    match api.app.ledger.query(move |state, _| state.declares(asset)).await? {
        true => Ok(()),
        false => Err(Error::field("asset", format!("the journal holds nothing in {asset}"))),
    }
}

fn read_account(text: &str) -> Result<Account, Error> {
    text.parse().map_err(|fault: ledger_core::account::BadAccount| Unreadable::Path(fault.to_string()).into())
}

/// Money accounts count rupees, all others coins.
fn usual_asset(account: Account) -> Asset {
    match account {
        Account::Gateway(_) | Account::Suspense(_) | Account::PlatformBank | Account::PlatformTax => {
            Asset::INR
        }
        Account::UserPurchased(_)
        | Account::UserBonus(_)
        | Account::HostEarnings(_)
        | Account::AgencyEarnings(_)
        | Account::WithdrawalHeld(_)
        | Account::OrderHeld(_)
        | Account::UserFrozen(_)
        | Account::UserReceivable(_)
        | Account::PlatformLosses
        | Account::PlatformRevenue
        | Account::PlatformPromotions
        | Account::PlatformAdjustments
        | Account::ClearingCharges
        | Account::ExchangeCoins => Asset::COIN,
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct BalanceQuery {
    /// The balance at this time (RFC 3339), not before the journal's first event and not in the future. Cannot be combined
    /// with `revision`.
    at: Option<DateTime<Utc>>,
    /// The balance after this event of the journal. Inside the events of one command it is the balance before them.
    revision: Option<u64>,
    /// The asset, such as `INR/2`. If absent, the one that the account usually holds.
    #[param(value_type = Option<String>)]
    asset: Option<Asset>,
    /// Answer only once the read models show this revision.
    min_revision: Option<u64>,
}

/// Retrieve a balance as of a moment
///
/// Returns what an account held at a time or after an event of the journal, or holds now if neither is given. The
/// balance is computed from the history, so it is right for any moment in the past.
#[utoipa::path(get, path = "/v1/admin/accounts/{account}/balance", tag = "admin: books",
    security(("bearer" = ["admin"])), params(("account" = String, Path), BalanceQuery),
    responses((status = 200, body = BalanceAsOf)))]
async fn get_account_balance(
    State(api): State<Api>,
    _: AdminCaller,
    Path(account): Path<String>,
    Query(query): Query<BalanceQuery>,
) -> Result<Json<BalanceAsOf>, Error> {
    let account = read_account(&account)?;
    declared(&api, query.asset).await?;
    let as_of = moment(&api, query.at, query.revision).await?.unwrap_or(AsOf::Revision(u64::MAX));
    api.reach(query.min_revision).await?;
    let asset = query.asset.unwrap_or_else(|| usual_asset(account));
    Ok(Json(api.read.balance_as_of(account, asset, as_of).await?))
}

/// The moment that is asked for, once the read models show it.
pub(crate) async fn moment(
    api: &Api,
    at: Option<DateTime<Utc>>,
    revision: Option<u64>,
) -> Result<Option<AsOf>, Error> {
    match (at, revision) {
        (Some(time), None) => {
            let time = common_era("at", time)?;
            if time > platform::clock::now() {
                return Err(Error::field("at", "lies in the future"));
            }
            // What was recorded before that time is shown before the question is answered.
            api.reach(Some(api.app.ledger.durable_revision())).await?;
            if let Some(first) = api.read.begins_at().await?.filter(|first| time < *first) {
                let first = first.to_rfc3339_opts(SecondsFormat::Millis, true);
                return Err(Error::field(
                    "at",
                    format!("lies before the first event of the journal, at {first}"),
                ));
            }
            Ok(Some(AsOf::Time(time)))
        }
        (None, Some(revision)) => match api.reach(Some(revision)).await {
            Err(Error::Query(projections::QueryError::BeyondJournal { head, .. })) => {
                let last = head.map_or("it is empty".to_owned(), |head| format!("the last one is {head}"));
                Err(Error::field("revision", format!("the journal has no such revision; {last}")))
            }
            reached => reached.map(|()| Some(AsOf::Revision(revision))),
        },
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Error::field("at", "must not stand beside revision")),
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct TrialBalanceQuery {
    /// The balances at this time (RFC 3339), not before the journal's first event and not in the future. Cannot be combined
    /// with `revision`.
    at: Option<DateTime<Utc>>,
    /// The balances after this event of the journal. Inside the events of one command they are those before them.
    revision: Option<u64>,
    /// Answer only once the read models show this revision.
    min_revision: Option<u64>,
}

/// Retrieve the trial balance
///
/// Returns debit and credit balances. For each asset the two columns have equal sums; if they ever differ, money was
/// created or lost, and `muneem verify` tells where. The accounts of people, agencies and withdrawals are summed by
/// kind, as `user:*:bonus`; `/v1/admin/accounts` lists each of them. With `at` or `revision` it is the trial balance of
/// that moment, which takes a look at every account that ever was.
#[utoipa::path(get, path = "/v1/admin/trial-balance", tag = "admin: books",
    security(("bearer" = ["admin"])), params(TrialBalanceQuery), responses((status = 200, body = TrialBalance)))]
async fn get_trial_balance(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<TrialBalanceQuery>,
) -> Result<Json<TrialBalance>, Error> {
    let as_of = moment(&api, query.at, query.revision).await?;
    api.reach(query.min_revision).await?;
    Ok(Json(match as_of {
        Some(as_of) => api.read.trial_balance_as_of(as_of).await?,
        None => api.read.trial_balance().await?,
    }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct RevenueQuery {
    /// The first day, in UTC.
    from: NaiveDate,
    /// The last day, included; at most 366 days in all.
    to: NaiveDate,
    /// Answer only once the read models show this revision.
    min_revision: Option<u64>,
}

#[derive(Serialize, ToSchema)]
struct RevenueReport {
    items: Vec<InCoins<RevenueRow>>,
}

/// Report revenue by day
///
/// Returns what calls, gifts and other sources charged on each day, and how it was divided between hosts, agencies and
/// the platform. Days are in UTC; a report covers at most 366 of them.
#[utoipa::path(get, path = "/v1/admin/revenue", tag = "admin: books", security(("bearer" = ["admin"])),
    params(RevenueQuery), responses((status = 200, body = RevenueReport)))]
async fn get_revenue(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<RevenueQuery>,
) -> Result<Json<RevenueReport>, Error> {
    let RevenueQuery { from, to, min_revision } = query;
    let (from, to) = (common_era("from", from)?, common_era("to", to)?);
    if !(TimeDelta::zero()..TimeDelta::days(REVENUE_DAYS)).contains(&(to - from)) {
        return Err(Error::field("to", "must be from the day `from` on, with at most 366 days in all"));
    }
    api.reach(min_revision).await?;
    let rows = api.read.revenue_by_day(from, to).await?;
    Ok(Json(RevenueReport { items: rows.into_iter().map(InCoins::from).collect() }))
}

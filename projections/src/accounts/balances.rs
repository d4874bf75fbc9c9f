//! Balances of all accounts: now, and as of any moment.

use crate::error::QueryError;
use super::{class_of, wallet_of};
use crate::mechanism::{Cursor, Page, ReadModels, page_size, pg_revision, push_amounts};
use chrono::{DateTime, Utc};
use event_store::ReadError;
use futures_util::TryStreamExt;
use ledger_core::{Amounts, Account, Asset, PersonId, rfc3339};
use serde::Serialize;
use sqlx::{FromRow, Postgres, QueryBuilder};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// One account, or one class of accounts, in the trial balance.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct TrialBalanceLine {
    /// An account such as `platform:revenue`, or a class such as `user:*:purchased`.
    pub account: String,
    pub asset: String,
    pub debit_minor: i64,
    pub credit_minor: i64,
}

/// The sums of one asset: equal, when the books balance.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct TrialBalanceSum {
    pub asset: String,
    pub debit_minor: i64,
    pub credit_minor: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TrialBalance {
    pub as_of_revision: Option<i64>,
    pub lines: Vec<TrialBalanceLine>,
    pub sums: Vec<TrialBalanceSum>,
}

/// A moment in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    Time(DateTime<Utc>),
    Revision(u64),
}

/// What an account held at a moment.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BalanceAsOf {
    pub account: String,
    pub asset: String,
    /// As the account's owner reads it.
    pub balance_minor: i64,
    /// The last event of the last command that counts; absent before the journal's beginning.
    pub as_of_revision: Option<i64>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub recorded_at: Option<DateTime<Utc>>,
}

/// Which accounts; all that is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountFilter {
    /// How their names begin.
    pub prefix: String,
    pub person: Option<PersonId>,
    pub asset: Option<Asset>,
    /// Of the balance, debit or credit.
    pub amount_minor: Amounts,
}

fn accounts_of(person: PersonId) -> Vec<String> {
    wallet_of(person).map(|account| account.to_string()).to_vec()
}

impl ReadModels {
    /// The accounts that are not at zero, by name and asset.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn accounts(
        &self,
        filter: &AccountFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<TrialBalanceLine>, QueryError> {
        let limit = page_size(limit);
        let after: Option<(Account, Asset)> = after.map(|text| Cursor::read("accounts", text)).transpose()?;
        let (account, asset) =
            after.map(|(account, asset)| (account.to_string(), asset.to_string())).unwrap_or_default();
        let prefix = filter.prefix.as_str();
        // No name has other letters, and Postgres takes no text with a zero in it.
        if prefix.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Ok(Page { items: Vec::new(), next: None });
        }
        // Names are ASCII, so all that begin with the prefix lie below it with the last character of all.
        let mut query = QueryBuilder::<Postgres>::new(
            "SELECT account, asset,
                    greatest(balance_minor, 0) AS debit_minor, greatest(-balance_minor, 0) AS credit_minor
             FROM read.balances WHERE NOT at_zero AND account >= ",
        );
        query.push_bind(prefix).push(" AND account < ").push_bind(format!("{prefix}{}", char::MAX));
        query.push(" AND (account, asset) > (").push_bind(account).push(", ").push_bind(asset).push(")");
        if let Some(asset) = filter.asset {
            query.push(" AND asset = ").push_bind(asset.to_string());
        }
        if let Some(person) = filter.person {
            query.push(" AND account = ANY(").push_bind(accounts_of(person)).push(")");
        }
        push_amounts(&mut query, "abs(balance_minor)", filter.amount_minor);
        query.push(" ORDER BY account, asset LIMIT ").push_bind(limit + 1);
        let rows: Vec<TrialBalanceLine> = query.build_query_as().fetch_all(self.pool()?).await?;
        Ok(Page::of(rows, limit, "accounts", |row| (row.account.clone(), row.asset.clone())))
    }

    /// The trial balance now: a line for each account of the platform, and one for all accounts of people,
    /// agencies or withdrawals of a kind.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn trial_balance(&self) -> Result<TrialBalance, QueryError> {
        // One snapshot, so that lines, sums and revision belong together.
        let mut tx =
            self.pool()?.begin_with("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let lines = sqlx::query_as(
            "SELECT class AS account, asset, debit_minor, credit_minor FROM read.account_classes
             WHERE debit_minor <> 0 OR credit_minor <> 0 ORDER BY asset, class",
        )
        .fetch_all(&mut *tx)
        .await?;
        let sums = sqlx::query_as(
            "SELECT asset, sum(debit_minor)::bigint AS debit_minor, sum(credit_minor)::bigint AS credit_minor
             FROM read.account_classes GROUP BY asset ORDER BY asset",
        )
        .fetch_all(&mut *tx)
        .await?;
        let as_of_revision =
            sqlx::query_scalar("SELECT revision FROM read.checkpoint").fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(TrialBalance { as_of_revision, lines, sums })
    }

    /// The trial balance after the last command that was complete at the moment. Costs a look at each account that
    /// ever was.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn trial_balance_as_of(&self, as_of: AsOf) -> Result<TrialBalance, QueryError> {
        let boundary = self.boundary(as_of).await?.map(|(revision, _)| revision);
        let mut classes: BTreeMap<(String, String), (i64, i64)> = BTreeMap::new();
        let mut held = sqlx::query_as::<_, (String, String, i64)>(
            "SELECT account, asset, line.balance_after_minor
             FROM read.balances
             CROSS JOIN LATERAL (SELECT balance_after_minor FROM read.statement_lines
                                 WHERE statement_lines.account = balances.number AND revision <= $1
                                 ORDER BY revision DESC, posting_index DESC LIMIT 1) AS line
             WHERE line.balance_after_minor <> 0",
        )
        .bind(boundary.unwrap_or(-1))
        .fetch(self.pool()?);
        while let Some((account, asset, natural)) = held.try_next().await? {
            let account: Account = account
                .parse()
                .map_err(|_| ReadError::Damaged(format!("there is no account {account}")))?;
            // The owner's view of the owner's view is the journal's.
            let signed = account.natural_balance(natural);
            let (debit, credit) = classes.entry((asset, class_of(account).into_owned())).or_default();
            *debit += signed.max(0);
            *credit -= signed.min(0);
        }
        let mut sums: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for ((asset, _), (debit, credit)) in &classes {
            let sum = sums.entry(asset.clone()).or_default();
            *sum = (sum.0 + debit, sum.1 + credit);
        }
        let lines = classes.into_iter().map(|((asset, account), (debit_minor, credit_minor))| {
            TrialBalanceLine { account, asset, debit_minor, credit_minor }
        });
        let sums = sums.into_iter().map(|(asset, (debit_minor, credit_minor))| {
            TrialBalanceSum { asset, debit_minor, credit_minor }
        });
        Ok(TrialBalance { as_of_revision: boundary, lines: lines.collect(), sums: sums.collect() })
    }

    /// When the first event was recorded, once it is projected.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn begins_at(&self) -> Result<Option<DateTime<Utc>>, QueryError> {
        let first = sqlx::query_scalar("SELECT recorded_at FROM read.events WHERE revision = 0");
        Ok(first.fetch_optional(self.pool()?).await?)
    }

    /// The last event of the last command that was complete at a moment.
    pub(crate) async fn boundary(&self, as_of: AsOf) -> Result<Option<(i64, DateTime<Utc>)>, QueryError> {
        let query = match as_of {
            AsOf::Time(time) => sqlx::query_as(
                "SELECT revision, recorded_at FROM read.events
                 WHERE recorded_at <= $1 AND closes_unit ORDER BY recorded_at DESC, revision DESC LIMIT 1",
            )
            .bind(time),
            AsOf::Revision(revision) => sqlx::query_as(
                "SELECT revision, recorded_at FROM read.events
                 WHERE revision <= $1 AND closes_unit ORDER BY revision DESC LIMIT 1",
            )
            .bind(pg_revision(revision)),
        };
        Ok(query.fetch_optional(self.pool()?).await?)
    }

    /// What `account` held after the last command that was complete at the moment.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn balance_as_of(
        &self,
        account: Account,
        asset: Asset,
        as_of: AsOf,
    ) -> Result<BalanceAsOf, QueryError> {
        let boundary = self.boundary(as_of).await?;
        let (account, asset) = (account.to_string(), asset.to_string());
        let balance_minor: Option<i64> = sqlx::query_scalar(
            "SELECT balance_after_minor FROM read.statement_lines
             WHERE account = (SELECT number FROM read.balances WHERE account = $1 AND asset = $2)
               AND revision <= $3
             ORDER BY revision DESC, posting_index DESC LIMIT 1",
        )
        .bind(&account)
        .bind(&asset)
        .bind(boundary.map_or(-1, |(revision, _)| revision))
        .fetch_optional(self.pool()?)
        .await?;
        // An account without a line was not moved yet, or is clearing, which is at zero at each boundary.
        Ok(BalanceAsOf {
            account,
            asset,
            balance_minor: balance_minor.unwrap_or(0),
            as_of_revision: boundary.map(|(revision, _)| revision),
            recorded_at: boundary.map(|(_, recorded_at)| recorded_at),
        })
    }
}

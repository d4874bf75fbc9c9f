//! Balances of all accounts: now, and as of any moment.

use crate::error::QueryError;
use crate::mechanism::{Cursor, Page, ReadModels, page_size, pg_revision};
use chrono::{DateTime, Utc};
use ledger_core::{Account, Asset};
use serde::Serialize;
use sqlx::FromRow;
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
    pub recorded_at: Option<DateTime<Utc>>,
}

impl ReadModels {
    /// The accounts that are not at zero and whose name begins with `prefix`, by name and asset.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn accounts(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<TrialBalanceLine>, QueryError> {
        let limit = page_size(limit);
        let after: Option<(Account, Asset)> = after.map(|text| Cursor::read("accounts", text)).transpose()?;
        let (account, asset) =
            after.map(|(account, asset)| (account.to_string(), asset.to_string())).unwrap_or_default();
        // No name has other letters, and Postgres takes no text with a zero in it.
        if prefix.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Ok(Page { items: Vec::new(), next: None });
        }
        // Names are ASCII, so all that begin with the prefix lie below it with the last character of all.
        let rows: Vec<TrialBalanceLine> = sqlx::query_as(
            "SELECT account, asset,
                    greatest(balance_minor, 0) AS debit_minor, greatest(-balance_minor, 0) AS credit_minor
             FROM read.balances
             WHERE account >= $1 AND account < $2 AND (account, asset) > ($3, $4) AND NOT at_zero
             ORDER BY account, asset LIMIT $5",
        )
        .bind(prefix)
        .bind(format!("{prefix}{}", char::MAX))
        .bind(account)
        .bind(asset)
        .bind(limit + 1)
        .fetch_all(self.pool()?)
        .await?;
        Ok(Page::of(rows, limit, "accounts", |row| (row.account.clone(), row.asset.clone())))
    }

    /// The trial balance: a line for each account of the platform, and one for all accounts of people,
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
        let boundary: Option<(i64, DateTime<Utc>)> = match as_of {
            AsOf::Time(time) => {
                sqlx::query_as(
                    "SELECT revision, recorded_at FROM read.events
                     WHERE recorded_at <= $1 AND closes_unit ORDER BY recorded_at DESC, revision DESC LIMIT 1",
                )
                .bind(time)
                .fetch_optional(self.pool()?)
                .await?
            }
            AsOf::Revision(revision) => {
                sqlx::query_as(
                    "SELECT revision, recorded_at FROM read.events
                     WHERE revision <= $1 AND closes_unit ORDER BY revision DESC LIMIT 1",
                )
                .bind(pg_revision(revision))
                .fetch_optional(self.pool()?)
                .await?
            }
        };
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

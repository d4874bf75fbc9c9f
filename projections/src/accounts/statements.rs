//! Statements: every movement of an account, with the balance after it.

use crate::error::QueryError;
use crate::mechanism::{Cursor, Page, ReadModels, page_size};
use chrono::{DateTime, Utc};
use ledger_core::{Account, Asset, PersonId};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

/// One movement, as the account's owner reads it.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct StatementLine {
    pub account: String,
    /// The asset of the amounts, such as `COIN/3`: they count its smallest unit.
    pub asset: String,
    pub revision: i64,
    pub posting_index: i32,
    pub recorded_at: DateTime<Utc>,
    /// The type of the event.
    pub kind: String,
    /// `purchase`, `refund`, `unmatched`, `bonus`, `bonus_expiry`, `call`, `call_return`, `gift`, `commission`,
    /// `withdrawal` or `adjustment`.
    #[sqlx(rename = "type")]
    #[serde(rename = "type")]
    pub movement: String,
    /// `completed`; of a withdrawal its state after the movement; of unmatched money `unresolved`.
    pub status: String,
    pub description: String,
    /// What the owner gained (positive) or lost (negative).
    pub amount_minor: i64,
    pub balance_after_minor: i64,
    /// The account on the other side of the posting.
    pub counterparty_account: Option<String>,
    /// The person on the other side, through clearing: the host of a charge, the payer of earnings.
    pub counterparty_person: Option<Uuid>,
    /// The call, purchase, withdrawal ... that the movement is part of.
    pub correlation: Option<Uuid>,
    /// Whose wallet the account is part of.
    pub person: Option<Uuid>,
}

/// Whose statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementOf {
    /// All accounts of a person's wallet: bought coins, bonus coins, earnings.
    Person(PersonId),
    Account(Account, Asset),
}

impl ReadModels {
    /// The movements, newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn statement(
        &self,
        of: StatementOf,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<StatementLine>, QueryError> {
        let limit = page_size(limit);
        let (revision, index) = Cursor::read_or("statement", before, (i64::MAX, i32::MAX))?;
        let query = match of {
            StatementOf::Person(person) => sqlx::query_as(
                "SELECT * FROM read.statement_lines
                 WHERE (revision, posting_index) < ($1, $2) AND person = $4
                 ORDER BY revision DESC, posting_index DESC LIMIT $3",
            )
            .bind(revision)
            .bind(index)
            .bind(limit + 1)
            .bind(person.0),
            StatementOf::Account(account, asset) => sqlx::query_as(
                "SELECT * FROM read.statement_lines
                 WHERE (revision, posting_index) < ($1, $2) AND account = $4 AND asset = $5
                 ORDER BY revision DESC, posting_index DESC LIMIT $3",
            )
            .bind(revision)
            .bind(index)
            .bind(limit + 1)
            .bind(account.to_string())
            .bind(asset.to_string()),
        };
        let rows: Vec<StatementLine> = query.fetch_all(self.pool()?).await?;
        Ok(Page::of(rows, limit, "statement", |row| (row.revision, row.posting_index)))
    }
}

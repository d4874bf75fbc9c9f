//! Commission: the rates, and every split.

use super::{Cursor, Page, ReadModels, page_size};
use crate::error::QueryError;
use chrono::{DateTime, Utc};
use ledger_core::{AgencyId, PersonId};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

/// A rate that was set or (without shares) cleared, from a moment on.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct CommissionRateRow {
    pub revision: i64,
    /// `global`, `agency` or `host`.
    pub scope: String,
    /// The agency or the host.
    pub scope_id: Option<Uuid>,
    pub host_bps: Option<i32>,
    pub agency_bps: Option<i32>,
    pub effective_from: DateTime<Utc>,
    pub recorded_at: DateTime<Utc>,
    /// Who set it: `person:<uuid>` or `system`.
    pub actor: String,
}

/// One split of the commission log.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct SplitRow {
    pub revision: i64,
    pub recorded_at: DateTime<Utc>,
    /// `call` or `gift`.
    pub source: String,
    /// The call, or the sending of the gift.
    pub source_id: Uuid,
    pub payer: Uuid,
    pub host: Uuid,
    pub agency: Option<Uuid>,
    /// Where the rate was set: `global`, `agency` or `host`.
    pub commission_scope: String,
    pub host_bps: i32,
    pub agency_bps: i32,
    pub gross_milli: i64,
    pub host_milli: i64,
    pub agency_milli: i64,
    pub platform_milli: i64,
    pub available_from: DateTime<Utc>,
}

/// Which splits; all that is absent matches everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommissionFilter {
    pub host: Option<PersonId>,
    pub agency: Option<AgencyId>,
    /// The call, or the sending of the gift.
    pub source_id: Option<Uuid>,
}

impl ReadModels {
    /// All rates that were ever set, by scope, oldest first: the last one whose moment has come is
    /// in force.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn commission_rates(&self) -> Result<Vec<CommissionRateRow>, QueryError> {
        let rows = sqlx::query_as(
            "SELECT * FROM read.commission_rates
             ORDER BY array_position(ARRAY['global', 'agency', 'host'], scope), scope_id,
                      effective_from, revision",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }

    /// The splits, newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn commission_log(
        &self,
        filter: CommissionFilter,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<SplitRow>, QueryError> {
        let limit = page_size(limit);
        let rows: Vec<SplitRow> = sqlx::query_as(
            "SELECT * FROM read.commission_splits
             WHERE revision < $1 AND ($2::uuid IS NULL OR host = $2) AND ($3::uuid IS NULL OR agency = $3)
               AND ($4::uuid IS NULL OR source_id = $4)
             ORDER BY revision DESC LIMIT $5",
        )
        .bind(Cursor::parse(before)?.revision)
        .bind(filter.host.map(|host| host.0))
        .bind(filter.agency.map(|agency| agency.0))
        .bind(filter.source_id)
        .bind(limit + 1)
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::of(rows, limit, |row| Cursor::at(row.revision)))
    }
}

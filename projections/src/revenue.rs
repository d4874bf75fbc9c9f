//! Revenue by day and source.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{Place, ReadModel, ReadModels, put};
use chrono::NaiveDate;
use ledger_core::Event;
use ledger_core::event::SplitSource;
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use std::collections::BTreeMap;
use utoipa::ToSchema;

const TABLES: &str = "
CREATE TABLE revenue_by_day (
    day date NOT NULL,
    source text NOT NULL CHECK (source IN ('call_chat', 'call_voice', 'call_video', 'gift', 'subscription', 'service')),
    gross_milli bigint NOT NULL,
    host_milli bigint NOT NULL,
    agency_milli bigint NOT NULL,
    platform_milli bigint NOT NULL,
    charge_count bigint NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (day, source)
);";

const ADD: &str = "
    INSERT INTO revenue_by_day AS revenue
    SELECT * FROM json_populate_recordset(NULL::revenue_by_day, $1::json)
    ON CONFLICT (day, source) DO UPDATE SET
        gross_milli = revenue.gross_milli + EXCLUDED.gross_milli,
        host_milli = revenue.host_milli + EXCLUDED.host_milli,
        agency_milli = revenue.agency_milli + EXCLUDED.agency_milli,
        platform_milli = revenue.platform_milli + EXCLUDED.platform_milli,
        charge_count = revenue.charge_count + EXCLUDED.charge_count, revision = EXCLUDED.revision";

/// What a batch of events adds to the days.
#[derive(Default)]
pub(crate) struct Revenue {
    added: BTreeMap<(NaiveDate, String), RevenueRow>,
}

impl ReadModel for Revenue {
    const TABLES: &'static str = TABLES;

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        let call = |id| match &place.medium {
            Some(medium) => Ok(format!("call_{medium}")),
            None => Err(place.lacks("the call", id)),
        };
        let (source, [gross_milli, host_milli, agency_milli, platform_milli], charges) = match place.event() {
            Event::SubscriptionPaid(it) => {
                ("subscription".to_owned(), [it.price_milli, 0, 0, it.price_milli], 1)
            }
            // Of a service of a host the split tells.
            Event::OrderCompleted(it) if it.provider.is_none() => {
                ("service".to_owned(), [it.gross_milli, 0, 0, it.gross_milli], 1)
            }
            Event::OrderRefunded(it) if it.completed => {
                let shares = [it.host_milli, it.agency_milli, it.platform_milli];
                let [host, agency, platform] = shares.map(|part| -part);
                ("service".to_owned(), [host + agency + platform, host, agency, platform], 0)
            }
            Event::CommissionSplit(it) => {
                let source = match it.source {
                    SplitSource::Gift(_) => "gift".to_owned(),
                    SplitSource::Call(id) => call(id)?,
                    SplitSource::Order(_) => "service".to_owned(),
                };
                (source, [it.gross_milli, it.host_milli, it.agency_milli, it.platform_milli], 1)
            }
            Event::CallChargeReturned(it) => {
                let parts = [it.returned_milli, it.host_milli, it.agency_milli, it.platform_milli];
                (call(it.call)?, parts.map(|part| -part), 0)
            }
            _ => return Ok(()),
        };
        let day = place.at.date_naive();
        let row = self.added.entry((day, source.clone())).or_insert(RevenueRow {
            day,
            source,
            gross_milli: 0,
            host_milli: 0,
            agency_milli: 0,
            platform_milli: 0,
            charge_count: 0,
            revision: 0,
        });
        row.gross_milli += gross_milli;
        row.host_milli += host_milli;
        row.agency_milli += agency_milli;
        row.platform_milli += platform_milli;
        row.charge_count += charges;
        row.revision = place.revision;
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        put(connection, ADD, self.added.values()).await
    }
}

/// What one source brought on one day (in UTC), and who earned it.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct RevenueRow {
    pub day: NaiveDate,
    /// `call_chat`, `call_voice`, `call_video`, `gift`, `subscription` or `service`.
    pub source: String,
    pub gross_milli: i64,
    pub host_milli: i64,
    pub agency_milli: i64,
    pub platform_milli: i64,
    /// How many charges there were: increments of calls, gifts, periods of subscriptions, completed orders. What was given back
    /// stays counted; its amounts are taken off on the day on which it was given back.
    pub charge_count: i64,
    /// The last split that counts.
    pub revision: i64,
}

impl ReadModels {
    /// The revenue of the days `from` to `to`, both included, in their order.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn revenue_by_day(
        &self,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<RevenueRow>, QueryError> {
        let rows = sqlx::query_as(
            "SELECT * FROM read.revenue_by_day WHERE day BETWEEN $1 AND $2 ORDER BY day, source",
        )
        .bind(from)
        .bind(to)
        .fetch_all(self.pool()?)
        .await?;
        Ok(rows)
    }
}

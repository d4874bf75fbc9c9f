//! Which differences of reconciliations were settled, and by which adjustment.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{Place, ReadModel, ReadModels, put};
use chrono::{DateTime, Utc};
use ledger_core::{Event, rfc3339};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

const TABLES: &str = "
CREATE TABLE settled_differences (
    difference uuid PRIMARY KEY,
    adjustment uuid NOT NULL,
    actor text NOT NULL,
    settled_at timestamptz NOT NULL,
    revision bigint NOT NULL UNIQUE
);";

const WRITE: &str = "
    INSERT INTO settled_differences SELECT * FROM json_populate_recordset(NULL::settled_differences, $1::json)";

/// The differences that a batch of events settles.
#[derive(Default)]
pub(crate) struct Adjustments {
    settled: Vec<SettledDifference>,
}

impl ReadModel for Adjustments {
    const TABLES: &'static str = TABLES;

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        let (settles, adjustment) = match place.event() {
            Event::AdjustmentPosted(it) => (it.settles, it.adjustment),
            Event::GatewayAdjusted(it) => (it.settles, it.adjustment),
            _ => return Ok(()),
        };
        self.settled.extend(settles.map(|difference| SettledDifference {
            difference: difference.0,
            adjustment: adjustment.0,
            actor: place.recorded.metadata.actor.to_string(),
            settled_at: place.at,
            revision: place.revision,
        }));
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        put(connection, WRITE, self.settled.iter()).await
    }
}

/// A difference that was settled.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct SettledDifference {
    pub difference: Uuid,
    pub adjustment: Uuid,
    /// Who posted it.
    pub actor: String,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub settled_at: DateTime<Utc>,
    pub revision: i64,
}

impl ReadModels {
    /// Those of the differences that are settled.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn settled(&self, differences: &[Uuid]) -> Result<Vec<SettledDifference>, QueryError> {
        let select = "SELECT * FROM read.settled_differences WHERE difference = ANY($1)";
        Ok(sqlx::query_as(select).bind(differences).fetch_all(self.pool()?).await?)
    }
}

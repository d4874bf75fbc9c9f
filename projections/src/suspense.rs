//! Money that fits no open case and waits for a person.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{Cursor, Page, Place, ReadModel, ReadModels, code, page_size, put, push_amounts};
use chrono::{DateTime, Utc};
use ledger_core::{Amounts, Event, Period, PersonId, PurchaseId, rfc3339};
use ledger_core::event::{PurchaseRefunded, UnmatchedMoneyReceived};
use ledger_core::purchases::Resolution;
use serde::Serialize;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

const TABLES: &str = "
-- Money in suspense: one row for each event that put it there.
CREATE TABLE unmatched_money (
    revision bigint PRIMARY KEY,
    recorded_at timestamptz NOT NULL,
    gateway text NOT NULL,
    payment_ref text NOT NULL,
    purchase uuid,
    cause text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('in', 'out')),
    amount_minor bigint NOT NULL,
    amount_asset text NOT NULL
);

-- How a case was closed: by a person, or (settled) by money that undoes it.
CREATE TABLE suspense_resolutions (
    case_revision bigint PRIMARY KEY,
    revision bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    resolution text NOT NULL CHECK (resolution IN ('purchase', 'refund', 'income', 'settled')),
    purchase uuid,
    refund_ref text,
    reason text,
    actor text NOT NULL
);
CREATE INDEX resolutions_by_revision ON suspense_resolutions (revision, case_revision);";

const WRITE: &str = "
    INSERT INTO unmatched_money SELECT * FROM json_populate_recordset(NULL::unmatched_money, $1::json)";

const RESOLVE: &str = "
    INSERT INTO suspense_resolutions
    SELECT * FROM json_populate_recordset(NULL::suspense_resolutions, $1::json)";

/// The cases that a batch of events opens and closes.
#[derive(Default)]
pub(crate) struct Suspense {
    cases: Vec<UnmatchedRow>,
    resolutions: Vec<ResolutionRow>,
}

impl ReadModel for Suspense {
    const TABLES: &'static str = TABLES;

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        self.close(place);
        let row = match place.event() {
            Event::UnmatchedMoneyReceived(it) => UnmatchedRow {
                revision: place.revision,
                recorded_at: place.at,
                gateway: it.gateway.name().to_owned(),
                payment_ref: it.payment_ref.clone(),
                purchase: it.purchase.map(|id| id.0),
                cause: code(it.cause),
                direction: code(it.direction),
                amount_minor: it.amount_minor,
                amount_asset: it.amount_asset.to_string(),
            },
            Event::PurchaseRefunded(it) if it.uncovered_minor > 0 => UnmatchedRow {
                revision: place.revision,
                recorded_at: place.at,
                gateway: it.gateway.name().to_owned(),
                payment_ref: it.refund_ref.clone(),
                purchase: Some(it.purchase.0),
                cause: "refund_uncovered".to_owned(),
                direction: "out".to_owned(),
                amount_minor: it.uncovered_minor,
                amount_asset: it.refunded_asset.to_string(),
            },
            _ => return Ok(()),
        };
        self.cases.push(row);
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        put(connection, WRITE, self.cases.iter()).await?;
        put(connection, RESOLVE, self.resolutions.iter()).await
    }
}

impl Suspense {
    fn close(&mut self, place: &Place<'_>) {
        let settled = |case: i64| ResolutionRow {
            case_revision: case,
            revision: place.revision,
            recorded_at: place.at,
            resolution: "settled".to_owned(),
            purchase: None,
            refund_ref: None,
            reason: None,
            actor: place.recorded.metadata.actor.to_string(),
        };
        match place.event() {
            Event::UnmatchedMoneyReceived(UnmatchedMoneyReceived { settles: Some(case), .. }) => {
                self.resolutions.extend([settled(*case as i64), settled(place.revision)]);
            }
            Event::PurchaseRefunded(PurchaseRefunded { settles: Some(case), purchase, .. }) => {
                self.resolutions.push(ResolutionRow { purchase: Some(purchase.0), ..settled(*case as i64) });
            }
            Event::SuspenseResolved(it) => {
                let (resolution, purchase, refund_ref) = match &it.resolution {
                    Resolution::Purchase(purchase) => ("purchase", Some(purchase.0), None),
                    Resolution::Refund(refund_ref) => ("refund", None, Some(refund_ref.clone())),
                    Resolution::Income => ("income", None, None),
                };
                self.resolutions.push(ResolutionRow {
                    resolution: resolution.to_owned(),
                    purchase,
                    refund_ref,
                    reason: Some(it.reason.clone()),
                    ..settled(it.case as i64)
                });
            }
            _ => {}
        }
    }
}

/// How a case was closed.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub(crate) struct ResolutionRow {
    pub case_revision: i64,
    pub revision: i64,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub recorded_at: DateTime<Utc>,
    pub resolution: String,
    pub purchase: Option<Uuid>,
    pub refund_ref: Option<String>,
    pub reason: Option<String>,
    pub actor: String,
}

/// One case in suspense, and how it was closed.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct SuspenseCaseRow {
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub case: UnmatchedRow,
    /// `purchase`, `refund` or `income` by a person; `settled` by money that undoes it. Absent while it is open.
    pub resolution: Option<String>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub resolved_at: Option<DateTime<Utc>>,
    /// The event that closed it.
    pub resolved_revision: Option<i64>,
    /// The purchase that the money paid.
    pub resolved_purchase: Option<Uuid>,
    /// The refund by which the money went back.
    pub resolved_refund_ref: Option<String>,
    /// The reason code that the person gave.
    pub resolved_reason: Option<String>,
    /// Who closed it: `person:<id>`, or the gateway.
    pub resolved_by: Option<String>,
}

/// One case in suspense.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct UnmatchedRow {
    pub revision: i64,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub recorded_at: DateTime<Utc>,
    pub gateway: String,
    /// The gateway's name of the payment or the refund.
    pub payment_ref: String,
    pub purchase: Option<Uuid>,
    /// `unknown_order`, `second_payment`, `amount_mismatch`, `currency_mismatch`, `balance_full`,
    /// `refund_unmatched`, `refund_before_capture` (it waits for the capture), `dispute_unmatched`,
    /// `dispute_before_capture`, `dispute_reversed` (a lost one whose money came back), or `refund_uncovered`: the part of a refund whose coins were spent.
    pub cause: String,
    /// `in` or `out`.
    pub direction: String,
    pub amount_minor: i64,
    pub amount_asset: String,
}

/// Which cases; all that is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SuspenseFilter {
    /// Only those that are open.
    pub open: bool,
    pub cause: Option<String>,
    pub direction: Option<String>,
    pub purchase: Option<PurchaseId>,
    /// Who opened the purchase that the money speaks of.
    pub person: Option<PersonId>,
    pub period: Period,
    pub amount_minor: Amounts,
}

impl ReadModels {
    /// The cases, newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn suspense_cases(
        &self,
        filter: &SuspenseFilter,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<SuspenseCaseRow>, QueryError> {
        let limit = page_size(limit);
        let before = Cursor::read_or("suspense", before, i64::MAX)?;
        let (first, end) = self.revisions(filter.period).await?;
        let mut query = QueryBuilder::<Postgres>::new(
            "SELECT money.*, done.resolution, done.recorded_at AS resolved_at, done.revision AS resolved_revision,
                    done.purchase AS resolved_purchase, done.refund_ref AS resolved_refund_ref,
                    done.reason AS resolved_reason, done.actor AS resolved_by
             FROM read.unmatched_money AS money
             LEFT JOIN read.suspense_resolutions AS done ON done.case_revision = money.revision
             WHERE money.revision < ",
        );
        query.push_bind(before.min(end)).push(" AND money.revision >= ").push_bind(first);
        push_amounts(&mut query, "money.amount_minor", filter.amount_minor);
        if filter.open {
            query.push(" AND done.revision IS NULL");
        }
        if let Some(cause) = &filter.cause {
            query.push(" AND money.cause = ").push_bind(cause);
        }
        if let Some(direction) = &filter.direction {
            query.push(" AND money.direction = ").push_bind(direction);
        }
        if let Some(purchase) = filter.purchase {
            query.push(" AND money.purchase = ").push_bind(purchase.0);
        }
        if let Some(person) = filter.person {
            query.push(" AND money.purchase IN (SELECT purchase FROM read.purchases WHERE \"user\" = ");
            query.push_bind(person.0).push(")");
        }
        query.push(" ORDER BY money.revision DESC LIMIT ").push_bind(limit + 1);
        let rows: Vec<SuspenseCaseRow> = query.build_query_as().fetch_all(self.pool()?).await?;
        Ok(Page::of(rows, limit, "suspense", |row| row.case.revision))
    }
}

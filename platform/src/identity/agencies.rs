//! Agencies: organisations that hosts work under. Who belongs to which is in the ledger; here is who they are.

use super::people::{Role, grant};
use crate::{
    audit::{self, Author, Change},
    entropy,
    validation::{self, FieldError},
};
use chrono::{DateTime, Utc};
use ledger_core::{AgencyId, PersonId};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

/// A person is shown so many of their agencies.
const SHOWN_AGENCIES: i64 = 100;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agency {
    pub id: AgencyId,
    pub name: String,
    /// What people know it by; no two have the same.
    pub code: String,
    pub owner: PersonId,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, thiserror::Error)]
pub enum AgencyError {
    #[error("no such agency")]
    NotFound,
    #[error("another agency has this code")]
    CodeTaken,
    #[error("the owner is not a person we know")]
    OwnerNotFound,
    #[error(transparent)]
    Invalid(#[from] FieldError),
    #[error("the database is unavailable: {0}")]
    Database(#[from] sqlx::Error),
}

impl AgencyError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "unknown_agency",
            Self::CodeTaken => "agency_code_taken",
            Self::OwnerNotFound => "unknown_person",
            Self::Invalid(_) => FieldError::CODE,
            Self::Database(_) => "unavailable",
        }
    }
}

#[derive(Clone)]
pub struct Agencies {
    pool: PgPool,
}

impl Agencies {
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Makes an agency and gives its owner the role. `name` has 2 to 60 characters; `code` 3 to 20 of capital
    /// letters, digits and `-`.
    pub async fn create(
        &self,
        name: &str,
        code: &str,
        owner: PersonId,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<Agency, AgencyError> {
        let name = validation::text("name", name, 2..=60, false)?;
        if !is_code(code) {
            return Err(FieldError::new("code", "must have 3 to 20 capital letters, digits and -").into());
        }
        let mut tx = self.pool.begin().await?;
        let made = sqlx::query_as::<_, AgencyRow>(
            "INSERT INTO app.agencies (id, name, code, owner, created_at) VALUES ($1, $2, $3, $4, $5)
             RETURNING id, name, code, owner, created_at",
        )
        .bind(entropy::uuid_v7())
        .bind(name)
        .bind(code)
        .bind(owner.0)
        .bind(now)
        .fetch_one(&mut *tx)
        .await;
        let agency = match made {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(AgencyError::CodeTaken),
            Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => {
                Err(AgencyError::OwnerNotFound)
            }
            made => Ok(made?),
        }?;
        let agency = Agency::from(agency);
        grant(&mut tx, owner, Role::Agency, now).await?;
        let made = json!({ "name": agency.name, "code": agency.code, "owner": owner });
        let change = Change::new("agency.created", "agency", agency.id).after(made);
        audit::record(&mut tx, author, change, now).await?;
        tx.commit().await?;
        Ok(agency)
    }

    pub async fn get(&self, agency: AgencyId) -> Result<Agency, AgencyError> {
        let row: Option<AgencyRow> =
            sqlx::query_as("SELECT id, name, code, owner, created_at FROM app.agencies WHERE id = $1")
                .bind(agency.0)
                .fetch_optional(&self.pool)
                .await?;
        row.map(Agency::from).ok_or(AgencyError::NotFound)
    }

    /// The agency, if it is this person's; somebody else's is answered like none.
    ///
    /// # Errors
    /// [`AgencyError::NotFound`], or when Postgres fails.
    pub async fn owned(&self, agency: AgencyId, owner: PersonId) -> Result<Agency, AgencyError> {
        let agency = self.get(agency).await?;
        if agency.owner == owner { Ok(agency) } else { Err(AgencyError::NotFound) }
    }

    /// The agencies of a person, the oldest first.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn of(&self, owner: PersonId) -> Result<Vec<Agency>, AgencyError> {
        let rows: Vec<AgencyRow> = sqlx::query_as(
            "SELECT id, name, code, owner, created_at FROM app.agencies WHERE owner = $1 ORDER BY created_at, id
             LIMIT $2",
        )
        .bind(owner.0)
        .bind(SHOWN_AGENCIES)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Agency::from).collect())
    }
}

fn is_code(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-';
    (3..=20).contains(&text.len()) && text.bytes().all(fits)
}

#[derive(sqlx::FromRow)]
struct AgencyRow {
    id: Uuid,
    name: String,
    code: String,
    owner: Uuid,
    created_at: DateTime<Utc>,
}

impl From<AgencyRow> for Agency {
    fn from(row: AgencyRow) -> Self {
        Agency {
            id: AgencyId(row.id),
            name: row.name,
            code: row.code,
            owner: PersonId(row.owner),
            created_at: row.created_at,
        }
    }
}

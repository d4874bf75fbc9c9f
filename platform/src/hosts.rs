//! Hosts: an application, a decision, a profile. Prices are ledger events.

use crate::{
    audit::{self, Author, Change},
    identity::people::{Role, grant},
    identity::{AccessChange, AccessChanges},
    known::Remembered,
    page::{Page, Place, page_size, push_period},
    validation::{self, FieldError},
};
use chrono::{DateTime, Utc};
use ledger_core::{Period, PersonId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostStatus {
    Applied,
    Approved,
    Rejected,
}

/// What a host says of themselves. `display_name` 2 to 40 characters, `bio` up to 500; 1 to 10 `categories`
/// of 2 to 30 characters, 1 to 10 `languages` of 2 to 30.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostProfile {
    pub display_name: String,
    pub bio: String,
    pub categories: Vec<String>,
    pub languages: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub person: PersonId,
    pub profile: HostProfile,
    pub status: HostStatus,
    /// When the host came into this status.
    pub status_since: DateTime<Utc>,
    pub reject_reason: Option<String>,
    pub decided_by: Option<PersonId>,
    pub decided_at: Option<DateTime<Utc>>,
}

#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error(transparent)]
    Invalid(#[from] FieldError),
    #[error("no such host")]
    NotFound,
    #[error("no such person")]
    PersonNotFound,
    #[error("this person is a host already")]
    AlreadyApproved,
    #[error("the application was decided already")]
    AlreadyDecided,
    #[error("nobody decides on their own application")]
    OwnApplication,
    #[error("the database is unavailable: {0}")]
    Database(#[from] sqlx::Error),
}

impl HostError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => FieldError::CODE,
            Self::NotFound => "unknown_host",
            Self::PersonNotFound => "unknown_person",
            Self::AlreadyApproved => "host_already_approved",
            Self::AlreadyDecided => "host_already_decided",
            Self::OwnApplication => "own_money",
            Self::Database(_) => "unavailable",
        }
    }
}

#[derive(Clone)]
pub struct Hosts {
    pool: PgPool,
    access: AccessChanges,
    /// Those whom users may deal with.
    serving: Remembered<PersonId, ()>,
}

impl Hosts {
    pub fn new(pool: PgPool, access: AccessChanges) -> Self {
        Self { pool, access, serving: Remembered::default() }
    }

    /// Applies to become a host. Applying again before the decision changes the application; after a rejection
    /// it is a new one.
    pub async fn apply(
        &self,
        person: PersonId,
        profile: &HostProfile,
        now: DateTime<Utc>,
    ) -> Result<Host, HostError> {
        let profile = profile.checked()?;
        let row = sqlx::query_as::<_, HostRow>(
            "INSERT INTO app.hosts (person, display_name, bio, categories, languages, status, status_since)
             VALUES ($1, $2, $3, $4, $5, 'applied', $6)
             ON CONFLICT (person) DO UPDATE
             SET display_name = excluded.display_name, bio = excluded.bio, categories = excluded.categories,
                 languages = excluded.languages, status = 'applied', reject_reason = NULL, decided_by = NULL,
                 decided_at = NULL,
                 status_since = CASE hosts.status WHEN 'applied' THEN hosts.status_since
                                                  ELSE excluded.status_since END
             WHERE hosts.status <> 'approved'
             RETURNING *",
        )
        .bind(person.0)
        .bind(profile.display_name)
        .bind(profile.bio)
        .bind(profile.categories)
        .bind(profile.languages)
        .bind(now)
        .fetch_optional(&self.pool)
        .await;
        match row {
            Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => {
                Err(HostError::PersonNotFound)
            }
            row => Ok(row?.ok_or(HostError::AlreadyApproved)?.into()),
        }
    }

    /// Makes the applicant a host, with the role.
    ///
    /// # Errors
    /// `OwnApplication` when author and applicant are one.
    pub async fn approve(
        &self,
        person: PersonId,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<Host, HostError> {
        let mut tx = self.pool.begin().await?;
        let host = self.decide(&mut tx, person, HostStatus::Approved, None, author, now).await?;
        grant(&mut tx, person, Role::Host, now).await?;
        tx.commit().await?;
        self.access.publish(AccessChange::PersonChanged { person });
        Ok(host)
    }

    /// `words` has 1 to 300 characters; the applicant sees it.
    ///
    /// # Errors
    /// `OwnApplication` when author and applicant are one.
    pub async fn reject(
        &self,
        person: PersonId,
        words: &str,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<Host, HostError> {
        let words = validation::text("reason", words, 1..=300, true)?;
        let author = author.clone().because(author.reason(), Some(&words))?;
        let mut tx = self.pool.begin().await?;
        let host = self.decide(&mut tx, person, HostStatus::Rejected, Some(words), &author, now).await?;
        tx.commit().await?;
        Ok(host)
    }

    /// Decides an application and writes the decision to the audit log.
    async fn decide(
        &self,
        tx: &mut PgConnection,
        person: PersonId,
        status: HostStatus,
        reject_reason: Option<String>,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<Host, HostError> {
        if author.id() == Some(person) {
            return Err(HostError::OwnApplication);
        }
        let row: Option<HostRow> = sqlx::query_as(
            "UPDATE app.hosts SET status = $2, status_since = $5, reject_reason = $3, decided_by = $4, decided_at = $5
             WHERE person = $1 AND status = 'applied' RETURNING *",
        )
        .bind(person.0)
        .bind(status.as_str())
        .bind(reject_reason)
        .bind(author.id().map(|person| person.0))
        .bind(now)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Err(self.why_not_decided(person).await) };
        let action = match status {
            HostStatus::Approved => "host.approved",
            HostStatus::Applied | HostStatus::Rejected => "host.rejected",
        };
        let change = Change::new(action, "host", person)
            .before(json!({ "status": HostStatus::Applied }))
            .after(json!({ "status": status }));
        audit::record(tx, author, change, now).await?;
        Ok(row.into())
    }

    /// The host or applicant, whatever the status.
    pub async fn get(&self, person: PersonId) -> Result<Host, HostError> {
        let row: Option<HostRow> = sqlx::query_as("SELECT * FROM app.hosts WHERE person = $1")
            .bind(person.0)
            .fetch_optional(&self.pool)
            .await?;
        row.map(Host::from).ok_or(HostError::NotFound)
    }

    /// The host, if they are approved, suspended or not; an applicant is answered like nobody.
    pub async fn approved(&self, person: PersonId) -> Result<Host, HostError> {
        let host = self.get(person).await?;
        if host.status == HostStatus::Approved { Ok(host) } else { Err(HostError::NotFound) }
    }

    /// The host, if they are one whom users may deal with. Anybody else is answered like nobody: an applicant, and
    /// a host who is suspended, banned, or without the role.
    pub async fn serving(&self, person: PersonId) -> Result<Host, HostError> {
        self.get_serving(&[person]).await?.pop().ok_or(HostError::NotFound)
    }

    /// Refuses whoever is no host whom users may deal with, as [`Self::serving`] does, without a round trip for one
    /// who was asked about before.
    pub async fn must_serve(&self, person: PersonId) -> Result<(), HostError> {
        let mark = self.access.known().about(person);
        if self.serving.get(&person, mark).is_none() {
            self.serving(person).await?;
            self.serving.put(person, mark, ());
        }
        Ok(())
    }

    /// Those of `people` whom users may deal with. Takes one round trip at the most, and none for those who were
    /// asked about before.
    pub async fn serving_among(
        &self,
        people: impl Iterator<Item = PersonId>,
    ) -> Result<BTreeSet<PersonId>, HostError> {
        let mut serving: BTreeSet<PersonId> = people.collect();
        let marked = |person: &PersonId| (*person, self.access.known().about(*person));
        let mut asked: BTreeMap<PersonId, _> = serving.iter().map(marked).collect();
        asked.retain(|person, mark| self.serving.get(person, *mark).is_none());
        serving.retain(|person| !asked.contains_key(person));
        if asked.is_empty() {
            return Ok(serving);
        }
        let people: Vec<PersonId> = asked.keys().copied().collect();
        for host in self.get_serving(&people).await? {
            if let Some(mark) = asked.get(&host.person) {
                self.serving.put(host.person, *mark, ());
            }
            serving.insert(host.person);
        }
        Ok(serving)
    }

    /// Those of `people` whom users may deal with, in no order of meaning.
    pub async fn get_serving(&self, people: &[PersonId]) -> Result<Vec<Host>, HostError> {
        let ids: Vec<Uuid> = people.iter().map(|person| person.0).collect();
        let rows: Vec<HostRow> = sqlx::query_as(
            "SELECT * FROM app.hosts WHERE person = ANY($1) AND person IN (SELECT person FROM app.hosts_serving)",
        )
        .bind(ids)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Host::from).collect())
    }

    /// One page of the hosts whom users may deal with, those approved first at the head.
    pub async fn list_serving(&self, after: Option<Place>, limit: u32) -> Result<Page<Host>, HostError> {
        let place = after.unwrap_or(Place::OLDEST);
        let limit = page_size(limit);
        let rows: Vec<HostRow> = sqlx::query_as(
            "SELECT * FROM app.hosts WHERE status = 'approved' AND person IN (SELECT person FROM app.hosts_serving)
                 AND (status_since, person) > ($1, $2)
             ORDER BY status_since, person LIMIT $3",
        )
        .bind(place.at)
        .bind(place.id)
        .bind(limit + 1)
        .fetch_all(&self.pool)
        .await?;
        let hosts = rows.into_iter().map(Host::from).collect();
        Ok(Page::of(hosts, limit, |host: &Host| Place { at: host.status_since, id: host.person.0 }))
    }

    /// One page, those longest in the status first: the applications that wait, or the approved hosts, of those who
    /// came to it in the period.
    /// `after` is the last page's `next`; `limit` is brought within 1 to [`MAX_PAGE`](crate::page::MAX_PAGE).
    pub async fn list(
        &self,
        status: HostStatus,
        person: Option<PersonId>,
        period: Period,
        after: Option<Place>,
        limit: u32,
    ) -> Result<Page<Host>, HostError> {
        let place = after.unwrap_or(Place::OLDEST);
        let limit = page_size(limit);
        let mut query = QueryBuilder::<Postgres>::new("SELECT * FROM app.hosts WHERE status = ");
        query.push_bind(status.as_str()).push(" AND (status_since, person) > (");
        query.push_bind(place.at).push(", ").push_bind(place.id).push(")");
        if let Some(person) = person {
            query.push(" AND person = ").push_bind(person.0);
        }
        push_period(&mut query, "status_since", period);
        query.push(" ORDER BY status_since, person LIMIT ").push_bind(limit + 1);
        let rows: Vec<HostRow> = query.build_query_as().fetch_all(&self.pool).await?;
        let hosts = rows.into_iter().map(Host::from).collect();
        Ok(Page::of(hosts, limit, |host: &Host| Place { at: host.status_since, id: host.person.0 }))
    }

    async fn why_not_decided(&self, person: PersonId) -> HostError {
        match self.get(person).await {
            Ok(_) => HostError::AlreadyDecided,
            Err(error) => error,
        }
    }
}

impl HostProfile {
    fn checked(&self) -> Result<HostProfile, FieldError> {
        Ok(HostProfile {
            display_name: validation::text("display_name", &self.display_name, 2..=40, false)?,
            bio: validation::text("bio", &self.bio, 0..=500, true)?,
            categories: validation::texts("categories", &self.categories, 1..=10, 2..=30)?,
            languages: validation::texts("languages", &self.languages, 1..=10, 2..=30)?,
        })
    }
}

impl HostStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }
}

#[derive(sqlx::FromRow)]
struct HostRow {
    person: Uuid,
    display_name: String,
    bio: String,
    categories: Vec<String>,
    languages: Vec<String>,
    status: String,
    status_since: DateTime<Utc>,
    reject_reason: Option<String>,
    decided_by: Option<Uuid>,
    decided_at: Option<DateTime<Utc>>,
}

impl From<HostRow> for Host {
    fn from(row: HostRow) -> Self {
        Host {
            person: PersonId(row.person),
            profile: HostProfile {
                display_name: row.display_name,
                bio: row.bio,
                categories: row.categories,
                languages: row.languages,
            },
            // The table allows these three alone.
            status: match row.status.as_str() {
                "approved" => HostStatus::Approved,
                "rejected" => HostStatus::Rejected,
                _ => HostStatus::Applied,
            },
            status_since: row.status_since,
            reject_reason: row.reject_reason,
            decided_by: row.decided_by.map(PersonId),
            decided_at: row.decided_at,
        }
    }
}

//! People: an account for each proved phone number, and the roles that it has.

use super::access::{AccessChange, AccessChanges};
use super::phone::{Phone, PhoneVault, SealBroken};
use super::restrictions::{self, lock_person};
use crate::{
    audit::{self, Author, Change},
    entropy,
    page::{Page, Place},
    validation::{self, FieldError},
};
use chrono::{DateTime, Utc};
use ledger_core::{Period, PersonId};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use std::str::FromStr;
use uuid::Uuid;

/// What somebody may act as. One person may have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    User,
    Host,
    Agency,
    Admin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub id: PersonId,
    pub name: Option<String>,
    pub avatar_url: Option<String>,
    /// Those that give rights at present, in the order of [`Role`].
    pub roles: Vec<Role>,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    #[error("no such person")]
    NotFound,
    /// Nobody would be left who can give the role again.
    #[error("this is the last admin: make somebody else an admin first")]
    LastAdmin,
    /// An admin's account cannot be suspended or banned.
    #[error("this person is an admin: take the role away first")]
    IsAdmin,
    /// Somebody who cannot sign in is no admin.
    #[error("this account is suspended or banned: lift that first")]
    Restricted,
    #[error(transparent)]
    Invalid(#[from] FieldError),
    #[error(transparent)]
    Sealed(#[from] SealBroken),
    #[error("the database is unavailable: {0}")]
    Database(#[from] sqlx::Error),
}

impl PeopleError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "unknown_person",
            Self::LastAdmin => "last_admin",
            Self::IsAdmin => "person_is_admin",
            Self::Restricted => "person_restricted",
            Self::Invalid(_) => FieldError::CODE,
            Self::Sealed(_) => "phone_unreadable",
            Self::Database(_) => "unavailable",
        }
    }
}

/// Whom an admin looks for; what is absent does not matter.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub phone: Option<Phone>,
    /// The start of the name, or of the display name of a host.
    pub name: Option<String>,
    pub role: Option<Role>,
    /// When the account was made.
    pub period: Period,
}

#[derive(Clone)]
pub struct People {
    pool: PgPool,
    vault: PhoneVault,
    access: AccessChanges,
}

const BY_ID: &str = "SELECT id, name, avatar_url, created_at,
        ARRAY(SELECT role FROM app.roles_in_force WHERE person = people.id) AS roles
     FROM app.people WHERE id = $1";

impl People {
    pub fn new(pool: PgPool, vault: PhoneVault, access: AccessChanges) -> Self {
        Self { pool, vault, access }
    }

    pub async fn get(&self, person: PersonId) -> Result<Person, PeopleError> {
        let row: Option<PersonRow> = sqlx::query_as(BY_ID).bind(person.0).fetch_optional(&self.pool).await?;
        row.map(Person::from).ok_or(PeopleError::NotFound)
    }

    /// One page of the people who fit, the newest account first.
    pub async fn find(
        &self,
        wanted: &Wanted,
        after: Option<Place>,
        limit: u32,
    ) -> Result<Page<Person>, PeopleError> {
        let place = after.unwrap_or_else(Place::newest);
        let limit = i64::from(limit);
        // The start of a name, in any case of letters: what stands for any text in a pattern is taken as it is.
        let pattern = wanted.name.as_ref().map(|name| {
            let name = name.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            format!("{name}%")
        });
        let rows: Vec<PersonRow> = sqlx::query_as(
            "SELECT id, name, avatar_url, created_at,
                    ARRAY(SELECT role FROM app.roles_in_force WHERE person = people.id) AS roles
             FROM app.people
             WHERE (created_at, id) < ($1, $2)
               AND ($3::bytea IS NULL OR phone_hash = $3)
               AND ($4::text IS NULL OR lower(name) LIKE $4
                    OR id IN (SELECT person FROM app.hosts WHERE lower(display_name) LIKE $4))
               AND ($5::text IS NULL OR id IN (SELECT person FROM app.person_roles WHERE role = $5))
               AND ($7::timestamptz IS NULL OR created_at >= $7) AND ($8::timestamptz IS NULL OR created_at < $8)
             ORDER BY created_at DESC, id DESC LIMIT $6",
        )
        .bind(place.at)
        .bind(place.id)
        .bind(wanted.phone.as_ref().map(|phone| self.vault.hash(phone)))
        .bind(pattern)
        .bind(wanted.role.map(Role::as_str))
        .bind(limit + 1)
        .bind(wanted.period.from)
        .bind(wanted.period.to)
        .fetch_all(&self.pool)
        .await?;
        let people = rows.into_iter().map(Person::from).collect();
        Ok(Page::of(people, limit, |person: &Person| Place { at: person.created_at, id: person.id.0 }))
    }

    /// The person of a phone number, if somebody has signed in with it.
    pub async fn by_phone(&self, phone: &Phone) -> Result<Option<PersonId>, PeopleError> {
        let id: Option<Uuid> = sqlx::query_scalar("SELECT id FROM app.people WHERE phone_hash = $1")
            .bind(self.vault.hash(phone))
            .fetch_optional(&self.pool)
            .await?;
        Ok(id.map(PersonId))
    }

    /// The person of a phone number, with the account made if there is none. Whoever calls this vouches for
    /// the number: it was proved by a code, or an operator names it.
    pub async fn ensure(&self, phone: &Phone, now: DateTime<Utc>) -> Result<Person, PeopleError> {
        let mut tx = self.pool.begin().await?;
        let person = self.ensure_in(&mut tx, phone, now).await?;
        tx.commit().await?;
        Ok(person)
    }

    pub(super) async fn ensure_in(
        &self,
        tx: &mut PgConnection,
        phone: &Phone,
        now: DateTime<Utc>,
    ) -> Result<Person, PeopleError> {
        let fresh = PersonId(entropy::uuid_v7());
        // The update that changes nothing makes the row come back when the number is known already, and waits
        // for a first sign-in of the same number that is under way.
        let id: Uuid = sqlx::query_scalar(
            "INSERT INTO app.people (id, phone_hash, phone_sealed, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (phone_hash) DO UPDATE SET phone_hash = excluded.phone_hash
             RETURNING id",
        )
        .bind(fresh.0)
        .bind(self.vault.hash(phone))
        .bind(self.vault.seal(phone, fresh)?)
        .bind(now)
        .fetch_one(&mut *tx)
        .await?;
        if id == fresh.0 {
            grant(tx, fresh, Role::User, now).await?;
        }
        let row: PersonRow = sqlx::query_as(BY_ID).bind(id).fetch_one(tx).await?;
        Ok(row.into())
    }

    /// The person's own number, for themselves and for admins only.
    pub async fn phone(&self, person: PersonId) -> Result<Phone, PeopleError> {
        let sealed: Option<Vec<u8>> = sqlx::query_scalar("SELECT phone_sealed FROM app.people WHERE id = $1")
            .bind(person.0)
            .fetch_optional(&self.pool)
            .await?;
        Ok(self.vault.open(&sealed.ok_or(PeopleError::NotFound)?, person)?)
    }

    /// Sets what others see of the person. `name` has 1 to 60 characters; what is not given stays.
    pub async fn set_profile(
        &self,
        person: PersonId,
        name: Option<&str>,
        avatar_url: Option<&str>,
    ) -> Result<(), PeopleError> {
        let name = name.map(|name| validation::text("name", name, 1..=60, false)).transpose()?;
        let avatar_url = avatar_url.map(|address| validation::picture("avatar_url", address)).transpose()?;
        let change = "UPDATE app.people SET name = coalesce($2, name), avatar_url = coalesce($3, avatar_url)
             WHERE id = $1";
        let changed =
            sqlx::query(change).bind(person.0).bind(name).bind(avatar_url).execute(&self.pool).await?;
        if changed.rows_affected() == 1 { Ok(()) } else { Err(PeopleError::NotFound) }
    }

    /// Granting twice is granting once.
    ///
    /// # Errors
    /// [`PeopleError::Restricted`] for the role `admin` and a suspended or banned account.
    pub async fn grant_role(
        &self,
        person: PersonId,
        role: Role,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<(), PeopleError> {
        let mut tx = self.pool.begin().await?;
        lock_person(&mut tx, person).await?;
        if role == Role::Admin && restrictions::of_account(&mut tx, person).await?.is_some() {
            return Err(PeopleError::Restricted);
        }
        if grant(&mut tx, person, role, now).await? {
            let change = Change::new("role.granted", "person", person).after(role.as_str());
            audit::record(&mut tx, author, change, now).await?;
        }
        tx.commit().await?;
        self.access.publish(AccessChange::PersonChanged { person });
        Ok(())
    }

    /// Revoking twice is revoking once. There is always an admin: [`PeopleError::LastAdmin`].
    pub async fn revoke_role(
        &self,
        person: PersonId,
        role: Role,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<(), PeopleError> {
        let mut tx = self.pool.begin().await?;
        if role == Role::Admin {
            // The rows are held until the end, so that two admins do not revoke each other at once.
            let admins: Vec<Uuid> = sqlx::query_scalar(
                "SELECT person FROM app.person_roles WHERE role = $1 ORDER BY person FOR UPDATE",
            )
            .bind(role.as_str())
            .fetch_all(&mut *tx)
            .await?;
            if admins == [person.0] {
                return Err(PeopleError::LastAdmin);
            }
        }
        let revoked = sqlx::query("DELETE FROM app.person_roles WHERE person = $1 AND role = $2")
            .bind(person.0)
            .bind(role.as_str())
            .execute(&mut *tx)
            .await?;
        if revoked.rows_affected() == 1 {
            let change = Change::new("role.revoked", "person", person).before(role.as_str());
            audit::record(&mut tx, author, change, now).await?;
        }
        tx.commit().await?;
        self.access.publish(AccessChange::PersonChanged { person });
        Ok(())
    }

    pub(super) fn vault(&self) -> &PhoneVault {
        &self.vault
    }
}

/// Grants inside a transaction of the caller, so that a role comes with what earned it or not at all. Answers
/// whether the person did not have it.
pub(crate) async fn grant(
    tx: &mut PgConnection,
    person: PersonId,
    role: Role,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let granted = sqlx::query(
        "INSERT INTO app.person_roles (person, role, granted_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(person.0)
    .bind(role.as_str())
    .bind(now)
    .execute(tx)
    .await?;
    Ok(granted.rows_affected() == 1)
}

impl Role {
    pub const ALL: [Role; 4] = [Role::User, Role::Host, Role::Agency, Role::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Host => "host",
            Role::Agency => "agency",
            Role::Admin => "admin",
        }
    }

    /// Roles as Postgres keeps them. One that this program does not know gives no rights.
    pub(super) fn known(stored: &[String]) -> Vec<Role> {
        let mut roles: Vec<Role> = stored.iter().filter_map(|role| role.parse().ok()).collect();
        roles.sort();
        roles
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a role: user, host, agency or admin")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

#[derive(sqlx::FromRow)]
struct PersonRow {
    id: Uuid,
    name: Option<String>,
    avatar_url: Option<String>,
    created_at: DateTime<Utc>,
    roles: Vec<String>,
}

impl From<PersonRow> for Person {
    fn from(row: PersonRow) -> Self {
        Person {
            id: PersonId(row.id),
            name: row.name,
            avatar_url: row.avatar_url,
            roles: Role::known(&row.roles),
            created_at: row.created_at,
        }
    }
}

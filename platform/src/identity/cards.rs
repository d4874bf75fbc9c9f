//! What others see of a person.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgPool};
use std::collections::HashMap;
use uuid::Uuid;

/// A person as the other side of a call, a gift or a payment sees them: a host by their profile, others by the name
/// that they chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, FromRow, JsonSchema)]
pub struct PersonCard {
    pub id: Uuid,
    /// Null for somebody who has chosen none.
    pub name: Option<String>,
    pub avatar_url: Option<String>,
}

impl PersonCard {
    /// Of somebody about whom nothing is known, such as a person whose data was erased.
    pub fn blank(id: Uuid) -> PersonCard {
        PersonCard { id, name: None, avatar_url: None }
    }
}

/// The cards of people, by their ids.
///
/// # Errors
/// When Postgres fails.
pub async fn cards(pool: &PgPool, people: &[Uuid]) -> Result<HashMap<Uuid, PersonCard>, sqlx::Error> {
    if people.is_empty() {
        return Ok(HashMap::new());
    }
    let found: Vec<PersonCard> = sqlx::query_as(
        "SELECT people.id, coalesce(hosts.display_name, people.name) AS name, people.avatar_url
         FROM app.people LEFT JOIN app.hosts ON hosts.person = people.id AND hosts.status = 'approved'
         WHERE people.id = ANY($1)",
    )
    .bind(people)
    .fetch_all(pool)
    .await?;
    Ok(found.into_iter().map(|card| (card.id, card)).collect())
}

/// The card of one person.
///
/// # Errors
/// When Postgres fails.
pub async fn card(pool: &PgPool, person: Uuid) -> Result<PersonCard, sqlx::Error> {
    Ok(cards(pool, &[person]).await?.remove(&person).unwrap_or_else(|| PersonCard::blank(person)))
}

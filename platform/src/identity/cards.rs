//! What others see of a person.

use moka::sync::Cache;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgPool};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

/// How long a card is taken from memory: a new name is seen in pushes by then.
const GOOD_FOR: Duration = Duration::from_secs(10);
/// Cards in memory; the least used ones make room. About 12 MB where every name and address is as long as can be.
const CAPACITY: u64 = 20_000;
/// How long the news of many people may be held up for the names in them.
const PATIENCE: Duration = Duration::from_millis(250);

/// A person as others see them: a host by their profile, others by the name that they chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, FromRow, JsonSchema)]
pub struct PersonCard {
    pub person: Uuid,
    /// Null for somebody who has chosen none.
    pub name: Option<String>,
    /// The address of a picture. Null for somebody who has chosen none.
    pub avatar_url: Option<String>,
}

impl PersonCard {
    /// Of somebody about whom nothing is known, such as a person whose data was erased.
    pub fn blank(person: Uuid) -> PersonCard {
        PersonCard { person, name: None, avatar_url: None }
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
        "SELECT people.id AS person, coalesce(hosts.display_name, people.name) AS name, people.avatar_url
         FROM app.people LEFT JOIN app.hosts ON hosts.person = people.id AND hosts.status = 'approved'
         WHERE people.id = ANY($1)",
    )
    .bind(people)
    .fetch_all(pool)
    .await?;
    Ok(found.into_iter().map(|card| (card.person, card)).collect())
}

/// The card of one person.
///
/// # Errors
/// When Postgres fails.
pub async fn card(pool: &PgPool, person: Uuid) -> Result<PersonCard, sqlx::Error> {
    Ok(cards(pool, &[person]).await?.remove(&person).unwrap_or_else(|| PersonCard::blank(person)))
}

/// Cards for pushes: taken from memory where they can be, since many people are told of the same few.
#[derive(Clone)]
pub struct Cards {
    pool: PgPool,
    lately: Cache<Uuid, PersonCard>,
}

impl Cards {
    pub fn new(pool: PgPool) -> Cards {
        Cards { pool, lately: Cache::builder().max_capacity(CAPACITY).time_to_live(GOOD_FOR).build() }
    }

    /// The cards of these people, each as it was within the last seconds. News do not wait long for names: whose card
    /// cannot be looked up in time is left out.
    pub async fn of(&self, people: &BTreeSet<Uuid>) -> HashMap<Uuid, PersonCard> {
        let mut found = HashMap::with_capacity(people.len());
        let mut missing = Vec::new();
        for person in people {
            match self.lately.get(person) {
                Some(card) => drop(found.insert(*person, card)),
                None => missing.push(*person),
            }
        }
        match timeout(PATIENCE, cards(&self.pool, &missing)).await {
            Ok(Ok(looked_up)) => {
                for (person, card) in looked_up {
                    self.lately.insert(person, card.clone());
                    found.insert(person, card);
                }
            }
            Ok(Err(fault)) => tracing::warn!(%fault, "the cards of people cannot be looked up"),
            Err(_) => tracing::warn!("the cards of people cannot be looked up in time"),
        }
        found
    }
}

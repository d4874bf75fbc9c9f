//! What is remembered between requests: that it spares the round trip, and that a change is never overlooked.

use crate::sessions::sessions_telling;
use crate::{at, person};
use ledger_core::PersonId;
use platform::audit::Author;
use platform::hosts::{HostProfile, Hosts};
use platform::identity::{AccessChanges, People, PhoneVault, Role, Sessions, TokenPair};
use platform::known::Known;
use platform::settings::{MeteringSettings, Settings};
use sqlx::PgPool;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

/// One node of several on one database.
struct Node {
    sessions: Sessions,
    hosts: Hosts,
    settings: Settings,
    known: Known,
    listening: JoinHandle<()>,
}

impl Node {
    async fn start(pool: &PgPool) -> Node {
        let known = Known::default();
        let access = AccessChanges::new(known.clone());
        let listening = {
            let (known, pool) = (known.clone(), pool.clone());
            tokio::spawn(async move {
                known.keep_in_step(&pool).await.expect("Postgres answers");
            })
        };
        let node = Node {
            sessions: sessions_telling(pool, access.clone()).await,
            hosts: Hosts::new(pool.clone(), access),
            settings: Settings::new(pool.clone(), known.clone()),
            known,
            listening,
        };
        soon("the node is in step", async || node.known.about_settings().is_some()).await;
        node
    }

    async fn roles(&self, pair: &TokenPair) -> Option<Vec<Role>> {
        self.sessions.authenticate(&pair.access_token, at(1)).await.ok().map(|caller| caller.roles)
    }

    async fn serves(&self, host: PersonId) -> bool {
        self.hosts.must_serve(host).await.is_ok()
    }

    async fn increment(&self) -> u32 {
        self.settings.metering().await.unwrap().increment_seconds
    }
}

/// Asks again and again for at most the two seconds within which every node knows of a change.
async fn soon(what: &str, holds: impl AsyncFn() -> bool) {
    let asking = async {
        let mut again = interval(Duration::from_millis(20));
        while !holds().await {
            again.tick().await;
        }
    };
    timeout(Duration::from_secs(2), asking)
        .await
        .unwrap_or_else(|_| panic!("not within two seconds: {what}"));
}

async fn host(pool: &PgPool, phone: &str) -> PersonId {
    let host = person(pool, phone).await;
    let hosts = Hosts::new(pool.clone(), AccessChanges::default());
    let profile = HostProfile {
        display_name: "Tara".into(),
        bio: String::new(),
        categories: vec!["tarot".into()],
        languages: vec!["hindi".into()],
    };
    hosts.apply(host, &profile, at(0)).await.unwrap();
    let admin = person(pool, "+919800000009").await;
    hosts.approve(host, &Author::person(admin), at(0)).await.unwrap();
    host
}

/// Takes the tables away without changing a row, so that no trigger speaks: whoever still answers, remembers.
async fn tables_are(pool: &PgPool, there: bool) {
    for table in ["sessions", "hosts", "settings"] {
        let (from, to) = if there { ("away_", "") } else { ("", "away_") };
        sqlx::query(sqlx::AssertSqlSafe(format!("ALTER TABLE app.{from}{table} RENAME TO {to}{table}")))
            .execute(pool)
            .await
            .unwrap();
    }
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn what_was_asked_once_is_answered_without_the_database_until_the_node_hears_no_more(pool: PgPool) {
    let node = Node::start(&pool).await;
    let host = host(&pool, "+919800000001").await;
    let pair = node.sessions.open(host, at(0)).await.unwrap();
    // The word of the host's approval may still be on its way, and makes the node ask once more.
    soon("all is answered from memory", async || {
        let asked =
            node.roles(&pair).await.is_some() && node.serves(host).await && node.increment().await == 10;
        tables_are(&pool, false).await;
        let remembered = node.roles(&pair).await == Some(vec![Role::User, Role::Host])
            && node.serves(host).await
            && node.settings.metering().await.is_ok();
        if !remembered {
            tables_are(&pool, true).await;
        }
        asked && remembered
    })
    .await;

    // A node that is cut off must not go on believing what it knew.
    node.listening.abort();
    soon("the database is asked", async || {
        node.roles(&pair).await.is_none()
            && !node.serves(host).await
            && node.settings.metering().await.is_err()
    })
    .await;
    tables_are(&pool, true).await;
    assert!(node.roles(&pair).await.is_some());
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn what_another_node_changes_is_known_within_two_seconds(pool: PgPool) {
    let node = Node::start(&pool).await;
    let (host, admin) = (host(&pool, "+919800000001").await, person(&pool, "+919800000009").await);
    let author = Author::person(admin);
    let [logged_out, kept] =
        [node.sessions.open(host, at(0)).await.unwrap(), node.sessions.open(host, at(0)).await.unwrap()];
    assert!(node.roles(&logged_out).await.is_some() && node.serves(host).await);

    let elsewhere = Node::start(&pool).await;
    elsewhere.sessions.logout(host, logged_out.session, at(1)).await.unwrap();
    soon("the session has ended", async || node.roles(&logged_out).await.is_none()).await;

    let people = People::new(pool.clone(), PhoneVault::new([1; 32], [2; 32]), AccessChanges::default());
    people.grant_role(host, Role::Agency, &author, at(1)).await.unwrap();
    soon("the role counts", async || {
        node.roles(&kept).await == Some(vec![Role::User, Role::Host, Role::Agency])
    })
    .await;

    let longer = MeteringSettings { increment_seconds: 45, ..MeteringSettings::default() };
    assert_eq!(node.increment().await, 10);
    elsewhere.settings.set_metering(&longer, &author, at(1)).await.unwrap();
    assert_eq!(elsewhere.increment().await, 45, "the node that changes it knows at once");
    soon("the setting counts", async || node.increment().await == 45).await;
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn sql_by_hand_is_known_within_two_seconds_too(pool: PgPool) {
    let node = Node::start(&pool).await;
    let host = host(&pool, "+919800000001").await;
    // Each takes something from the host; what undoes it comes beside it.
    for (taking, giving) in [
        (
            "INSERT INTO app.restrictions VALUES ($1, 'host', 'banned', 'fraud', now())",
            "DELETE FROM app.restrictions WHERE person = $1",
        ),
        (
            "INSERT INTO app.restrictions VALUES ($1, 'account', 'banned', 'fraud', now())",
            "DELETE FROM app.restrictions WHERE person = $1",
        ),
        (
            "UPDATE app.hosts SET status = 'rejected', reject_reason = 'fraud' WHERE person = $1",
            "UPDATE app.hosts SET status = 'approved', reject_reason = NULL WHERE person = $1",
        ),
        (
            "DELETE FROM app.person_roles WHERE person = $1 AND role = 'host'",
            "INSERT INTO app.person_roles VALUES ($1, 'host', now())",
        ),
        (
            "UPDATE app.person_roles SET person = (SELECT id FROM app.people WHERE id <> $1 LIMIT 1)
             WHERE person = $1 AND role = 'host'",
            "INSERT INTO app.person_roles VALUES ($1, 'host', now())",
        ),
        (
            "WITH replica AS (SELECT set_config('session_replication_role', 'replica', true))
             DELETE FROM app.person_roles USING replica WHERE person = $1 AND role = 'host'",
            "INSERT INTO app.person_roles VALUES ($1, 'host', now())",
        ),
        // The last ones take the host away for good.
        ("DELETE FROM app.hosts WHERE person = $1", "SELECT $1"),
    ] {
        soon("the host serves", async || node.serves(host).await).await;
        sqlx::query(taking).bind(host.0).execute(&pool).await.unwrap();
        soon(taking, async || !node.serves(host).await).await;
        sqlx::query(giving).bind(host.0).execute(&pool).await.unwrap();
    }
    let pair = node.sessions.open(host, at(0)).await.unwrap();
    assert!(node.roles(&pair).await.is_some_and(|roles| roles.contains(&Role::Host)));
    sqlx::query("TRUNCATE app.person_roles").execute(&pool).await.unwrap();
    soon("roles are gone", async || node.roles(&pair).await == Some(vec![])).await;
    for taking in [
        "UPDATE app.sessions SET ended_at = now(), end_reason = 'logout' WHERE person = $1",
        "DELETE FROM app.sessions WHERE person = $1 AND ended_at IS NULL",
        "DELETE FROM app.people WHERE id = $1",
    ] {
        let pair = node.sessions.open(host, at(0)).await.unwrap();
        assert!(node.roles(&pair).await.is_some(), "before {taking}");
        sqlx::query(taking).bind(host.0).execute(&pool).await.unwrap();
        soon(taking, async || node.roles(&pair).await.is_none()).await;
    }
}

//! A server whose journal stands in PostgreSQL, from the outside.

use crate::crash::Deployment;
use crate::front::sign_in;
use crate::world::{PATIENCE, eventually, new_key, new_phone};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, PgPool};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::task::JoinSet;
use uuid::Uuid;

async fn deployment(pool: &PgPool, data: &TempDir) -> Deployment {
    let mut deployment = Deployment::new(pool, data).await;
    deployment.settings.push(("MUNEEM_STORE", pool.connect_options().to_url_lossy().to_string()));
    deployment
}

#[sqlx::test(migrations = false)]
async fn the_demo_passes_on_a_journal_in_postgres_and_every_command_reads_it(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let deployment = deployment(&pool, &data).await;
    let mut server = deployment.serve().await;
    let (ok, told) = deployment.run(&["demo", "--json"]).await;
    assert!(ok && told["ok"] == true, "{told:#}");
    for command in [&["verify", "--json"][..], &["rebuild"], &["verify", "--json"]] {
        let (ok, told) = deployment.run(command).await;
        assert!(ok, "{command:?}: {told:#}");
    }
    let (ok, found) = deployment.run(&["doctor", "--json"]).await;
    let journal = found.as_array().and_then(|it| it.iter().find(|it| it["what"] == "journal"));
    let journal = journal.expect("it is looked at")["says"].to_string();
    assert!(ok && journal.contains("events in postgres://muneem@"), "{found:#}");
    let password = pool.connect_options().to_url_lossy().password().expect("a password").to_owned();
    assert!(!found.to_string().contains(&password), "{found:#}");
    let (ok, events) = deployment.run(&["events", "--kind", "JournalOpened"]).await;
    assert!(ok && events.to_string().contains("JournalOpened"), "{events:#}");
    assert!(!data.path().join("journal").exists(), "nothing of the journal lies in the data folder");
    // Another stream of the same database is empty, so it is not this database's journal.
    server.kill().await.expect("it ends");
    let elsewhere = deployment.command(&["serve"]).env("MUNEEM_STORE", other_stream(&pool)).output().await;
    let told = String::from_utf8_lossy(&elsewhere.expect("it runs").stderr).into_owned();
    assert!(told.contains("stream=elsewhere is empty") && told.contains("set MUNEEM_STORE"), "{told}");
    assert!(!told.contains(&password), "{told}");
}

fn other_stream(pool: &PgPool) -> String {
    let mut url = pool.connect_options().to_url_lossy();
    url.set_query(Some("stream=elsewhere"));
    url.to_string()
}

/// Every story is told and everything is measured, and the stores are as they were.
#[sqlx::test(migrations = false)]
async fn a_store_is_checked_beside_its_journal_and_nothing_is_left_behind(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let mut deployment = Deployment::new(&pool, &data).await;
    let embedded = data.path().join("journal");
    let stores =
        [pool.connect_options().to_url_lossy().to_string(), format!("embedded:{}", embedded.display())];
    for store in stores {
        deployment.settings.push(("MUNEEM_STORE", store.clone()));
        let check = ["store", "check", "--json", "--seconds", "1", "--callers", "1,32"];
        let (ok, report) = deployment.run(&check).await;
        assert!(ok && report["ok"] == true, "{report:#}");
        let stories = report["stories"].as_array().expect("the stories");
        assert_eq!(stories.len(), event_store::conformance::STORIES.len());
        assert!(stories.iter().all(|told| told["outcome"] == "ok"), "{report:#}");
        let callers: Vec<&Value> =
            report["appends"].as_array().expect("the rates").iter().map(|rate| &rate["callers"]).collect();
        assert_eq!(callers, [1, 32]);
        assert_eq!(report["left_behind"], json!([]), "{report:#}");
        deployment.settings.pop();
    }
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'journal'";
    let tables: i64 = sqlx::query_scalar(tables).fetch_one(&pool).await.expect("the tables");
    assert_eq!(tables, 0);
    assert_eq!(std::fs::read_dir(data.path()).expect("the folder").count(), 0);

    // A store that cannot be opened was not checked.
    let nowhere = ["store", "check", "--store", "postgres://muneem:abad1dea@127.0.0.1:1/none"];
    let (ok, told) = deployment.run(&nowhere).await;
    let told = told.to_string();
    assert!(!ok && told.contains("cannot be reached at postgres://muneem@127.0.0.1:1"), "{told}");
    assert!(!told.contains("abad1dea"), "{told}");
}

/// A kill of the server under load, twice: who was told that a bonus is recorded finds it recorded, and whoever asks
/// again under the same key gets it once.
#[sqlx::test(migrations = false)]
async fn a_server_that_is_killed_under_load_loses_nothing_that_was_acknowledged(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let deployment = deployment(&pool, &data).await;
    let (url, http) =
        (deployment.url(), reqwest::Client::builder().timeout(PATIENCE).build().expect("a client"));
    let mut server = deployment.serve().await;
    let admin = sign_in(&http, &url, muneem::seed::ADMIN_PHONE).await;
    let user = sign_in(&http, &url, &new_phone()).await;
    let giving =
        Giving { http: http.clone(), url, token: token(&admin), user: user["person"]["person"].clone() };
    let keys: Vec<Uuid> = (0..400).map(|_| new_key()).collect();

    let mut acknowledged = BTreeSet::new();
    for part in keys.chunks(200) {
        let told = Arc::new(Mutex::new(BTreeSet::new()));
        let mut clients = JoinSet::new();
        for keys in part.chunks(25).map(<[Uuid]>::to_vec) {
            let (giving, told) = (giving.clone(), told.clone());
            clients.spawn(async move {
                for key in keys {
                    // A client whose server has died stops asking.
                    let Some(answer) = giving.give(key).await else { return };
                    assert!(!answer.replayed, "each key is new");
                    told.lock().expect("not poisoned").insert(key);
                }
            });
        }
        eventually("bonuses are acknowledged", async || {
            (told.lock().expect("not poisoned").len() >= 40).then_some(())
        })
        .await;
        server.kill().await.expect("kill -9");
        while let Some(ended) = clients.join_next().await {
            ended.expect("a client ends");
        }
        let told = std::mem::take(&mut *told.lock().expect("not poisoned"));
        assert!(told.len() < part.len(), "it was killed under load");
        acknowledged.extend(told);
        server = deployment.serve().await;
    }

    let mut revisions: BTreeMap<u64, Uuid> = BTreeMap::new();
    for key in keys {
        let answer = giving.give(key).await.expect("the server answers");
        assert!(answer.replayed || !acknowledged.contains(&key), "{key} was acknowledged, and is recorded");
        assert_eq!(revisions.insert(answer.revision, key), None, "each bonus has its own event");
    }
    let wallet = http.get(format!("{}/v1/wallet", giving.url)).bearer_auth(token(&user)).send().await;
    let wallet: Value = wallet.expect("an answer").json().await.expect("JSON");
    assert_eq!(wallet["bonus_milli"], 400 * 1_000, "each bonus once: {wallet}");
    let (ok, verified) = deployment.run(&["verify", "--json"]).await;
    assert!(ok, "{verified:#}");
}

fn token(person: &Value) -> String {
    person["tokens"]["access_token"].as_str().expect("a token").to_owned()
}

/// An admin who gives a user a coin.
#[derive(Clone)]
struct Giving {
    http: reqwest::Client,
    url: String,
    token: String,
    user: Value,
}

struct Given {
    replayed: bool,
    revision: u64,
}

impl Giving {
    /// `None` where nobody answers.
    async fn give(&self, key: Uuid) -> Option<Given> {
        let bonus = json!({ "user": self.user, "coins_milli": 1_000 });
        let request = self.http.post(format!("{}/v1/admin/bonuses", self.url)).bearer_auth(&self.token);
        let answer = request.header("idempotency-key", key.to_string()).json(&bonus).send().await.ok()?;
        let replayed = answer.headers().contains_key("idempotent-replayed");
        let status = answer.status();
        let body: Value = answer.json().await.ok()?;
        assert!(status.is_success(), "{status}: {body}");
        Some(Given { replayed, revision: body["revision"].as_u64().expect("a revision") })
    }
}

//! What the signed history shows: a thorough forger, whose journal passes every other check of its files, is named by the
//! place that was touched; an honest event is proven to whoever has the public key.

use crate::crash::Deployment;
use crate::world::{Person, World, eventually};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use event_store::{EmbeddedReader, EmbeddedStore, EventStore, NewEvent, RecordedEvent};
use ledger_core::{Event, PlaceInUnit};
use muneem::config::Config;
use platform::journal_heads::Destination;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

fn commands(config: &Config, data: &Path) -> Deployment {
    let settings = vec![
        ("MUNEEM_MODE", "development".to_owned()),
        ("MUNEEM_DATA_DIR", data.display().to_string()),
        ("MUNEEM_REDIS_PREFIX", config.redis_prefix.clone()),
        ("DATABASE_URL", config.database_url.expose_secret().to_owned()),
        ("REDIS_URL", config.redis_url.expose_secret().to_owned()),
    ];
    Deployment { settings }
}

async fn give(world: &World, user: &Person) -> u64 {
    let bonus = json!({ "user": user.id, "coins_milli": 1_000 });
    let given = world.post(Some(&world.admin), "/v1/admin/bonuses", bonus).await.expect_ok();
    given["receipt"]["revision"].as_u64().or(given["revision"].as_u64()).expect("a revision")
}

async fn sign(world: &World) -> Value {
    world.post(Some(&world.admin), "/v1/admin/journal-heads", json!({})).await.expect_ok()
}

async fn public_key(world: &World) -> String {
    let keys = world.get(None, "/v1/journal-keys").await.expect_ok();
    keys["keys"][0]["verifier_key"].as_str().expect("a key").to_owned()
}

async fn events_in(journal: &Path) -> Vec<RecordedEvent> {
    let reader = EmbeddedReader::open(journal).expect("a journal");
    reader.read(0, usize::MAX).await.expect("events")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// A data folder with the secrets of `data` and a journal of these events, whose checksums and lengths are all in order.
async fn forged(data: &Path, events: impl IntoIterator<Item = RecordedEvent>) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for entry in fs::read_dir(data).expect("the data folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            fs::copy(&path, folder.path().join(path.file_name().expect("a name"))).expect("a copy");
        }
    }
    let store = EmbeddedStore::open(folder.path().join("journal")).expect("a journal");
    let events: Vec<NewEvent> = events
        .into_iter()
        .map(|RecordedEvent { revision: _, id, kind, data, metadata }| NewEvent { id, kind, data, metadata })
        .collect();
    let mut expected = None;
    for chunk in events.chunks(64) {
        expected = Some(store.append(expected, chunk).await.expect("is appended"));
    }
    folder
}

/// A journal of whole units that were signed, and what it was served with.
struct Signed {
    config: Config,
    data: TempDir,
    all: Vec<RecordedEvent>,
    /// Where events stand that are units of their own, and give coins.
    alone: Vec<usize>,
    key: String,
}

impl Signed {
    async fn new(pool: &PgPool) -> Signed {
        let world = World::start(pool).await;
        let user = world.new_user_with(1_000).await;
        for round in 0..12 {
            give(&world, &user).await;
            if round == 5 {
                sign(&world).await;
            }
        }
        let head = sign(&world).await;
        let key = public_key(&world).await;
        let (config, data) = world.stop().await;
        let all = events_in(&data.path().join("journal")).await;
        assert_eq!(head["size"], json!(all.len()));
        let is_alone = |event: &&RecordedEvent| {
            event.kind == "BonusGranted" && PlaceInUnit::of(&event.metadata).expect("a place").count == 1
        };
        let alone = all.iter().filter(is_alone).map(|event| event.revision as usize).collect::<Vec<_>>();
        assert!(alone.len() > 8, "{:?}", all.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>());
        Signed { config, data, all, alone, key }
    }

    /// What `muneem verify` finds in a journal of these events.
    async fn verify(&self, events: Vec<RecordedEvent>, more: &[&str]) -> (bool, Value) {
        let folder = forged(self.data.path(), events).await;
        let arguments = [&["verify", "--json"], more].concat();
        let (ok, mut found) = commands(&self.config, folder.path()).run(&arguments).await;
        (ok, found["history"].take())
    }
}

#[sqlx::test(migrations = false)]
async fn an_event_that_was_changed_removed_inserted_or_moved_is_named(pool: PgPool) {
    let signed = Signed::new(&pool).await;
    let Signed { all, alone, .. } = &signed;
    let (ok, history) = signed.verify(all.clone(), &[]).await;
    assert!(ok && history["ok"] == true, "{history:#}");
    assert_eq!((&history["events"], &history["signed_events"]), (&json!(all.len()), &json!(all.len())));

    let (early, late) = (alone[2], alone[7]);
    // A gift of one coin becomes one of seven, in valid bytes.
    let mut changed = all.clone();
    let event = Event::decode(&changed[late].kind, &changed[late].data).expect("an event").to_json();
    let richer = String::from_utf8(event).expect("JSON").replace("1000", "7000");
    changed[late].data = Event::decode(&changed[late].kind, richer.as_bytes()).expect("an event").encode();
    assert_ne!(changed[late], all[late]);
    let mut removed = all.clone();
    removed.remove(early);
    let mut inserted = all.clone();
    let again = RecordedEvent { id: uuid::Uuid::from_u128(0xbad), ..all[early].clone() };
    inserted.insert(late, again);
    let mut moved = all.clone();
    let event = moved.remove(late);
    moved.insert(early, event);
    for (found, events, revision, event) in [
        ("changed", changed, late, Some(all[late].id)),
        ("removed", removed, early, Some(all[early + 1].id)),
        ("inserted", inserted, late, Some(uuid::Uuid::from_u128(0xbad))),
        ("moved", moved, early, Some(all[late].id)),
        ("cut", all[..late].to_vec(), late, None),
    ] {
        let (ok, history) = signed.verify(events, &["--key", &signed.key]).await;
        assert!(!ok, "{found}: {history:#}");
        let difference = &history["difference"];
        let named =
            (&difference["found"], &difference["revision"], &difference["event"], &difference["signed"]);
        assert_eq!(named, (&json!(found), &json!(revision), &json!(event), &json!(true)), "{history:#}");
    }
}

#[sqlx::test(migrations = false)]
async fn a_cut_tail_is_shown_by_a_head_that_is_kept_elsewhere_alone(pool: PgPool) {
    let signed = Signed::new(&pool).await;
    let elsewhere = signed.data.path().join("heads");
    let left = signed.all[..signed.alone[9]].to_vec();
    let folder = forged(signed.data.path(), left).await;
    let server = commands(&signed.config, folder.path());
    // The forger owns the database too: heads that have more than is left are gone, the tree is built again, and so are the
    // read models.
    sqlx::raw_sql(
        "ALTER TABLE app.journal_heads DISABLE TRIGGER ALL; DELETE FROM app.journal_heads;
         DELETE FROM app.journal_tiles; UPDATE app.journal_tree SET size = 0, last_event = NULL",
    )
    .execute(&pool)
    .await
    .expect("the forger may do all of it");
    let (ok, told) = server.run(&["rebuild"]).await;
    assert!(ok, "{told:#}");
    let (ok, found) = server.run(&["verify", "--json"]).await;
    assert!(ok, "nothing here shows it: {found:#}");
    let (ok, found) = server.run(&["verify", "--json", "--heads", text(&elsewhere)]).await;
    let difference = &found["history"]["difference"];
    assert!(!ok && difference["found"] == "cut", "{found:#}");
    assert_eq!(difference["revision"], json!(signed.alone[9]));
    let (ok, printed) = server.run(&["verify", "--heads", text(&elsewhere)]).await;
    assert!(!ok && printed.to_string().contains("THE JOURNAL IS NOT WHAT WAS SIGNED"), "{printed}");
    // Where the heads should be is nothing: that is no evidence, and no success.
    let (ok, told) = server.run(&["verify", "--heads", "/nowhere/heads"]).await;
    assert!(!ok && told.to_string().contains("/nowhere/heads cannot be read"), "{told}");
}

#[sqlx::test(migrations = false)]
async fn a_node_on_an_older_copy_serves_and_signs_nothing_until_an_operator_begins_again(pool: PgPool) {
    let signed = Signed::new(&pool).await;
    let older = forged(signed.data.path(), signed.all[..signed.alone[9]].to_vec()).await;
    let server = commands(&signed.config, older.path());
    let (ok, told) = server.run(&["rebuild"]).await;
    assert!(ok, "{told:#}");
    let config = Config { data_dir: older.path().to_path_buf(), ..signed.config.clone() };
    let world = World::start_with(&pool, config, older, websocket_gateway::Config::default()).await;
    let user = world.new_user_with(1_000).await;
    let asked = world.post(Some(&world.admin), "/v1/admin/journal-heads", json!({})).await;
    asked.expect_problem(409, "journal_refused");
    let ready = world.get(None, "/health/ready").await.expect_ok();
    assert_eq!(ready["ready"], true, "commands are served: {ready}");

    let server = commands(&world.config, &world.config.data_dir);
    let begin = ["heads", "begin-again", "--reason", "restored_from_backup", "--json"];
    let (ok, begun) = server.run(&begin).await;
    assert!(ok && begun["origin"].as_str().is_some_and(|name| name.ends_with("/1")), "{begun}");
    give(&world, &user).await;
    let head = sign(&world).await;
    assert_eq!(head["size"], json!(world.events()));
    assert!(head["note"].as_str().expect("a note").starts_with(begun["origin"].as_str().expect("a name")));
    let (ok, verified) = server.run(&["verify", "--json"]).await;
    assert!(ok && verified["history"]["earlier_heads"].as_u64() >= Some(2), "{verified:#}");
    let log = world.get(Some(&world.admin), "/v1/admin/audit?action=journal.history_ended").await.expect_ok();
    assert_eq!(log["items"][0]["reason"], "restored_from_backup", "{log}");
}

#[sqlx::test(migrations = false)]
async fn a_receipt_proves_an_event_to_whoever_has_the_public_key(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_user_with(1_000).await;
    let revision = give(&world, &user).await;
    let server = commands(&world.config, &world.config.data_dir);
    sign(&world).await;
    let key = public_key(&world).await;
    let file = world.config.data_dir.join("gift.tlog-proof");
    let event = world.get(Some(&world.admin), &format!("/v1/admin/events/{revision}")).await.expect_ok();
    let id = event["event_id"].as_str().expect("an id");
    for named in [&revision.to_string(), id] {
        let (ok, told) = server.run(&["receipt", named, "--out", text(&file), "--json"]).await;
        assert!(ok && told["revision"] == json!(revision) && told["event_id"] == id, "{told}");
    }
    // Whoever checks it has no settings at all.
    let stranger = Deployment { settings: vec![] };
    let check =
        async |key: &str| stranger.run(&["receipt", "--check", text(&file), "--key", key, "--json"]).await;
    let (ok, proven) = check(&key).await;
    assert!(ok, "{proven:#}");
    assert_eq!(
        (&proven["proven"], &proven["revision"], &proven["event_id"]),
        (&json!(true), &json!(revision), &json!(id))
    );
    assert_eq!(proven["recorded_at"], event["recorded_at"]);
    assert!(proven["data"].to_string().contains(&user.id.to_string()), "{proven:#}");

    let good = fs::read_to_string(&file).expect("the receipt");
    assert!(good.starts_with("c2sp.org/tlog-proof@v1\nextra "));
    let touched = good.replacen(&format!("index {revision}"), &format!("index {}", revision - 1), 1);
    fs::write(&file, touched).expect("a forged one");
    let (ok, told) = check(&key).await;
    assert!(!ok && told["proven"] == false, "{told}");
    fs::write(&file, &good).expect("the good one again");
    let other = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    let (ok, told) = check(other).await;
    assert!(!ok && told["says"].to_string().contains("no key that is trusted"), "{told}");

    let unsigned = give(&world, &user).await;
    let (ok, told) = server.run(&["receipt", &unsigned.to_string()]).await;
    assert!(!ok && told.to_string().contains("no signed head has the event"), "{told}");
    let (ok, told) = server.run(&["receipt", "999999"]).await;
    assert!(!ok && told.to_string().contains("the journal has"), "{told}");
}

#[sqlx::test(migrations = false)]
async fn admins_see_the_heads_and_anybody_the_keys(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_user_with(1_000).await;
    let first = sign(&world).await;
    give(&world, &user).await;
    let second = sign(&world).await;
    let again = sign(&world).await;
    assert_eq!(again["head"], second["head"], "nothing is new");
    let page = world.get(Some(&world.admin), "/v1/admin/journal-heads?limit=1").await.expect_ok();
    assert_eq!(page["items"][0]["head"], second["head"]);
    let cursor = page["next_cursor"].as_str().expect("a next page");
    let page =
        world.get(Some(&world.admin), &format!("/v1/admin/journal-heads?limit=1&cursor={cursor}")).await;
    assert_eq!(page.expect_ok()["items"][0]["head"], first["head"]);
    world.get(Some(&user), "/v1/admin/journal-heads").await.expect_problem(403, "forbidden_role");
    let note = second["note"].as_str().expect("a note");
    let keys = world.get(None, "/v1/journal-keys").await.expect_ok();
    assert!(note.starts_with(keys["origin"].as_str().expect("a name")));
    let (ok, found) = commands(&world.config, &world.config.data_dir).run(&["doctor", "--json"]).await;
    let heads =
        found.as_array().and_then(|all| all.iter().find(|it| it["what"] == "heads")).expect("a finding");
    let key = keys["keys"][0]["verifier_key"].as_str().expect("a key");
    assert!(ok && heads["says"].as_str().expect("words").contains(key), "{heads}");
    // The key that signs is in nobody's answer.
    let secret = fs::read_to_string(world.config.data_dir.join("heads.key")).expect("the key file");
    let seed = secret.lines().last().expect("a key");
    assert!(seed.len() == 64 && !found.to_string().contains(seed) && !keys.to_string().contains(seed));
}

/// What a receiver of heads has got, and how many it refuses first.
type Got = Arc<Mutex<(Vec<String>, usize)>>;

async fn take(State(got): State<Got>, note: String) -> StatusCode {
    let mut got = got.lock().expect("is not poisoned");
    if got.1 > 0 {
        got.1 -= 1;
        return StatusCode::BAD_GATEWAY;
    }
    got.0.push(note);
    StatusCode::NO_CONTENT
}

#[sqlx::test(migrations = false)]
async fn heads_are_sent_to_a_webhook_until_it_takes_them(pool: PgPool) {
    let got: Got = Arc::new(Mutex::new((vec![], 2)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let receiver = Router::new().route("/heads", post(take)).with_state(got.clone());
    tokio::spawn(async move { axum::serve(listener, receiver).await });
    let data = TempDir::new().expect("a folder");
    let heads_to = vec![Destination::Webhook(format!("http://{address}/heads"))];
    let config = Config { heads_to, ..crate::world::config(&pool, &data) };
    let world = World::start_with(&pool, config, data, websocket_gateway::Config::default()).await;
    let head = sign(&world).await;
    eventually("the receiver has the head", async || {
        let got = got.lock().expect("is not poisoned");
        got.0.iter().any(|note| head["note"] == note.as_str()).then_some(())
    })
    .await;
    assert_eq!(got.lock().expect("is not poisoned").1, 0, "it was refused first");
    eventually("it counts as published", async || {
        let page = world.get(Some(&world.admin), "/v1/admin/journal-heads").await.expect_ok();
        let all = page["items"].as_array().expect("heads").clone();
        all.iter().all(|it| it["published_at"].is_string()).then_some(())
    })
    .await;
}

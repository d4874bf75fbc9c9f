//! The journal is backed up while the server works, restored, looked at and carried to other stores, by the real binary.

use crate::crash::Deployment;
use crate::world::{PATIENCE, Person, World};
use event_store::{EmbeddedReader, EmbeddedStore, EventStore, NewEvent, RecordedEvent};
use muneem::config::Config;
use muneem::serve::Server;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

/// The operator's commands, on a data folder.
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

async fn give(world: &World, user: &Person) {
    let bonus = json!({ "user": user.id, "coins_milli": 1_000 });
    world.post(Some(&world.admin), "/v1/admin/bonuses", bonus).await.expect_ok();
}

/// Runs a command while two callers never stop to give coins.
async fn under_load(
    world: &World,
    user: &Person,
    commands: &Deployment,
    arguments: &[&str],
) -> (bool, Value) {
    let done = AtomicBool::new(false);
    let giving = async || {
        while !done.load(Ordering::Relaxed) {
            give(world, user).await;
        }
    };
    let running = async {
        let outcome = commands.run(arguments).await;
        done.store(true, Ordering::Relaxed);
        outcome
    };
    let (outcome, (), ()) = tokio::join!(running, giving(), giving());
    outcome
}

async fn events_in(journal: &Path) -> Vec<RecordedEvent> {
    let reader = EmbeddedReader::open(journal).expect("a journal");
    reader.read(0, usize::MAX).await.expect("events")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).expect("a file");
    bytes[offset] ^= 1;
    fs::write(path, bytes).expect("the flip");
}

#[track_caller]
fn refused((ok, told): (bool, Value), because: &str) {
    assert!(!ok && told.to_string().contains(because), "{told:#}");
}

#[sqlx::test(migrations = false)]
async fn a_backup_made_under_load_is_restored_and_verified(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_user_with(1_000).await;
    let serving = commands(&world.config, &world.config.data_dir);
    let kept = TempDir::new().expect("a folder");
    let backup = kept.path().join("deep/backup");
    let to = ["backup", "--to", text(&backup), "--json"];

    let before = world.app.ledger.durable_revision();
    let (ok, manifest) = under_load(&world, &user, &serving, &to).await;
    assert!(ok, "{manifest:#}");
    let last = manifest["last_revision"].as_u64().expect("a revision");
    assert!(last >= before, "what was acknowledged before is in it: {last} and {before}");
    give(&world, &user).await;
    assert!(world.app.ledger.durable_revision() > last, "the server went on");
    refused(serving.run(&to).await, "is not empty");
    let restore = ["restore", "--from", text(&backup), "--json"];
    refused(serving.run(&restore).await, "nothing is written over one");

    // The drill: another data folder, with the same secrets.
    let (config, data) = world.stop().await;
    let elsewhere = TempDir::new().expect("a folder");
    for entry in fs::read_dir(data.path()).expect("the data folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            fs::copy(&path, elsewhere.path().join(path.file_name().expect("a name"))).expect("a copy");
        }
    }
    let drill = commands(&config, elsewhere.path());
    let (ok, restored) = drill.run(&restore).await;
    assert!(ok, "{restored:#}");
    assert_eq!(restored, manifest);
    let mut all = events_in(&data.path().join("journal")).await;
    all.truncate(usize::try_from(last + 1).expect("few"));
    assert_eq!(events_in(&elsewhere.path().join("journal")).await, all);
    let (ok, rebuilt) = drill.run(&["rebuild"]).await;
    assert!(ok, "{rebuilt:#}");
    // The database has seen more than the backup has, and its signed history goes on from there.
    let (ok, begun) = drill.run(&["heads", "begin-again", "--reason", "restored_from_backup"]).await;
    assert!(ok, "{begun:#}");
    let (ok, verified) = drill.run(&["verify", "--json"]).await;
    assert!(ok, "{verified:#}");
    assert_eq!(verified["revision"], manifest["last_revision"]);

    // It is served from, and has what was given before.
    let config = Config { data_dir: elsewhere.path().to_path_buf(), ..config };
    let world = World::start_with(&pool, config, elsewhere, websocket_gateway::Config::default()).await;
    assert!(world.wallet(&user).await.bonus_milli >= 1_000);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_backup_that_is_not_what_its_manifest_says_is_refused_and_leaves_nothing(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_user_with(1_000).await;
    give(&world, &user).await;
    let kept = TempDir::new().expect("a folder");
    let backup = kept.path().join("backup");
    let serving = commands(&world.config, &world.config.data_dir);
    let (ok, told) = serving.run(&["backup", "--to", text(&backup)]).await;
    assert!(ok, "{told:#}");
    let (manifest, segment) =
        (backup.join("manifest.json"), backup.join("journal/00000000000000000000.segment"));
    let good = fs::read_to_string(&manifest).expect("the manifest");
    let hash =
        serde_json::from_str::<Value>(&good).expect("JSON")["hash"].as_str().expect("a hash").to_owned();

    let elsewhere = TempDir::new().expect("a folder");
    let drill = commands(&world.config, elsewhere.path());
    let restore = async || drill.run(&["restore", "--from", text(&backup)]).await;
    let check = async |because: &str| {
        refused(restore().await, because);
        assert_eq!(fs::read_dir(elsewhere.path()).expect("a folder").count(), 0, "{because}");
    };
    flip(&segment, 60);
    check("00000000000000000000.segment, offset 0, revision 0").await;
    flip(&segment, 60);
    fs::write(&manifest, good.replace(&hash, &hash.chars().rev().collect::<String>())).expect("another hash");
    check("is not what its manifest says").await;
    fs::write(&manifest, good.replace("\"backup\"", "\"archive\"")).expect("another form");
    check("is an archive: muneem import reads it").await;
    fs::write(&manifest, good.replace("\"version\": 1", "\"version\": 2")).expect("another version");
    check("was made by a newer program").await;
    fs::remove_file(&manifest).expect("it is there");
    check("it was not finished").await;
    fs::write(&manifest, &good).expect("the manifest");
    let (ok, told) = restore().await;
    assert!(ok, "{told:#}");
}

/// A bit flips inside the very last batch, and the power cut has taken back the position that speaks of it. The store
/// takes that for a torn write. The read models know better.
#[sqlx::test(migrations = false)]
async fn a_last_batch_that_is_gone_is_noticed_by_the_read_models_checkpoint(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_user_with(1_000).await;
    let journal = world.config.journal_dir();
    let position = fs::read(journal.join("acknowledged")).expect("a position");
    give(&world, &user).await;
    world.shown().await;
    let (config, data) = world.stop().await;
    let segment = journal.join("00000000000000000000.segment");
    let bytes = fs::read(&segment).expect("the log");
    flip(&segment, bytes.iter().rposition(|byte| *byte != 0).expect("events") - 20);
    fs::write(journal.join("acknowledged"), position).expect("an older position");
    let refused = Server::start(config, websocket_gateway::Config::default()).await.err();
    let text = format!("{:#}", refused.expect("events are lost"));
    assert!(text.contains("restore the journal"), "{text}");
    drop(data);
}

#[sqlx::test(migrations = false)]
async fn an_inspection_beside_a_server_tells_the_files_the_end_and_the_growth(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_user_with(1_000).await;
    give(&world, &user).await;
    let serving = commands(&world.config, &world.config.data_dir);
    let (ok, found) = serving.run(&["store", "inspect", "--json"]).await;
    assert!(ok, "{found:#}");
    let events = world.app.ledger.durable_revision() + 1;
    assert_eq!((&found["events"], &found["last_revision"]), (&json!(events), &json!(events - 1)));
    assert_eq!(found["end"], "the last batch is whole and acknowledged");
    let segment = &found["segments"][0];
    assert_eq!((&segment["first_revision"], &segment["last_revision"]), (&json!(0), &json!(events - 1)));
    assert_eq!((&segment["bytes"], &segment["index"]), (&found["bytes"], &json!("none yet")));
    assert!(segment["first_at"].as_str() <= segment["last_at"].as_str() && segment["first_at"].is_string());
    // All of it is of today.
    assert_eq!(found["grown_last_day_bytes"], found["bytes"]);
    assert!(found["disk_free_bytes"].as_u64() > Some(0));
    let (ok, table) = serving.run(&["store", "inspect"]).await;
    assert!(ok && table.to_string().contains("00000000000000000000.segment"), "{table:#}");
    let (ok, findings) = serving.run(&["doctor", "--json"]).await;
    let growth = findings.as_array().and_then(|all| all.iter().find(|it| it["what"] == "growth"));
    assert!(ok && growth.is_some_and(|it| it["says"].to_string().contains("disk full: ")), "{findings:#}");
    let metrics = world.get(None, "/metrics").await.expect_ok();
    for name in ["muneem_journal_bytes ", "muneem_journal_seconds_until_full "] {
        let line =
            metrics.as_str().expect("text").lines().find(|line| line.starts_with(name)).expect("a sample");
        assert!(!line.ends_with(" 0"), "{line}");
    }
}

/// How far a mirror says that it is, from line to line, until it has come to `revision`.
async fn mirrored_to(mirror: &mut tokio::process::Child, revision: u64) -> Value {
    let mut lines = BufReader::new(mirror.stdout.take().expect("its output")).lines();
    let coming = async {
        while let Some(line) = lines.next_line().await.expect("its output is text") {
            let lag: Value = serde_json::from_str(&line).expect("JSON");
            if lag["mirrored"].as_u64() >= Some(revision) {
                return lag;
            }
        }
        panic!("the mirror ended before it came to revision {revision}");
    };
    tokio::time::timeout(PATIENCE, coming).await.expect("the mirror comes up")
}

#[sqlx::test(migrations = false)]
async fn a_mirror_follows_a_server_goes_on_after_a_kill_and_outlives_the_journal(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_user_with(1_000).await;
    let kept = TempDir::new().expect("a folder");
    let copy = kept.path().join("journal");
    let serving = commands(&world.config, &world.config.data_dir);
    let arguments = ["mirror", "--to", text(&copy), "--every-seconds", "1", "--json"];
    let start = || serving.command(&arguments).stdout(Stdio::piped()).spawn().expect("it starts");
    for _ in 0..2 {
        let mut mirror = start();
        for _ in 0..5 {
            give(&world, &user).await;
        }
        let head = world.app.ledger.durable_revision();
        let lag = mirrored_to(&mut mirror, head).await;
        assert!(lag["behind"].is_u64() && lag["journal"].as_u64() >= Some(head), "{lag}");
        mirror.kill().await.expect("kill -9");
    }
    let head = world.app.ledger.durable_revision();
    let (config, data) = world.stop().await;
    let all = events_in(&data.path().join("journal")).await;
    let mirrored = events_in(&copy).await;
    assert!(mirrored.len() as u64 > head && mirrored == all[..mirrored.len()]);

    // The journal is lost, or another one is in its place: the copy is not touched.
    let older = TempDir::new().expect("a folder");
    let store = EmbeddedStore::open(older.path().join("journal")).expect("a new journal");
    let events: Vec<NewEvent> = all.iter().cloned().map(as_new).collect();
    store.append(None, &events[..5]).await.expect("its first events");
    let other = commands(&config, older.path());
    refused(other.run(&arguments).await, "its events are lost, and the copy has them");
    let rest = events[5..].iter().cloned().map(|event| NewEvent { id: uuid::Uuid::now_v7(), ..event });
    store.append(Some(4), &rest.collect::<Vec<_>>()).await.expect("other events");
    refused(other.run(&arguments).await, "is a copy of another journal");
    assert_eq!(events_in(&copy).await, mirrored);

    // To go on from the copy.
    let mut home = commands(&config, older.path());
    home.settings.push(("MUNEEM_STORE", format!("embedded:{}", copy.display())));
    let (ok, verified) = home.run(&["verify", "--json"]).await;
    assert!(ok, "{verified:#}");
}

fn as_new(event: RecordedEvent) -> NewEvent {
    let RecordedEvent { revision: _, id, kind, data, metadata } = event;
    NewEvent { id, kind, data, metadata }
}

fn files_in(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = event_store::archive::files(folder).expect("an archive");
    files.into_iter().map(|file| (file.path.clone(), fs::read(file.path).expect("a file"))).collect()
}

/// Out of the folder into compressed files, into PostgreSQL, and back into a folder: the same events, hash for hash, with
/// interruptions on the way.
#[sqlx::test(migrations = false)]
async fn a_journal_moves_between_stores_and_is_the_same(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_user_with(1_000).await;
    for _ in 0..20 {
        give(&world, &user).await;
    }
    let (config, data) = world.stop().await;
    let source = commands(&config, data.path());
    let all = events_in(&data.path().join("journal")).await;
    let kept = TempDir::new().expect("a folder");
    let archive = kept.path().join("archive");
    let export = ["export", "--to", text(&archive), "--file-bytes", "1500", "--json"];
    let (ok, exported) = source.run(&export).await;
    assert!(ok, "{exported:#}");
    assert_eq!(exported["events"], json!(all.len()));
    let files = files_in(&archive);
    assert!(files.len() >= 3, "{} files", files.len());

    // Interrupted: the last file is not whole, and what was to be its successor is half written.
    let (last, _) = files.last().expect("files");
    fs::remove_file(last).expect("it is there");
    fs::remove_file(archive.join("manifest.json")).expect("it is there");
    fs::write(archive.join("new.events.zst.part"), "half").expect("a part");
    let import = ["import", "--from", text(&archive), "--json"];
    let target = TempDir::new().expect("a folder");
    let into = commands(&config, target.path());
    refused(into.run(&import).await, "it was not finished");
    let (ok, again) = source.run(&export).await;
    assert!(ok, "{again:#}");
    assert_eq!(again["hash"], exported["hash"]);
    assert_eq!(files_in(&archive), files);

    // A file that is damaged is named, by the export that goes on and by the import.
    flip(&files[1].0, 30);
    refused(source.run(&export).await, text(&files[1].0));
    fs::write(&files[1].0, &files[1].1).expect("the file");
    let (ok, _) = source.run(&export).await;
    assert!(ok);

    // An import that was interrupted after some events goes on behind them.
    let journal = target.path().join("journal");
    let store = EmbeddedStore::open(&journal).expect("a new journal");
    store.append(None, &all[..7].iter().cloned().map(as_new).collect::<Vec<_>>()).await.expect("some events");
    drop(store);
    let (ok, imported) = into.run(&import).await;
    assert!(ok, "{imported:#}");
    assert_eq!(imported["hash"], exported["hash"]);
    assert_eq!(events_in(&journal).await, all);
    let (ok, verified) = into.run(&["verify", "--json"]).await;
    assert!(ok, "{verified:#}");

    // Through PostgreSQL, and from there into a folder.
    let url = config.database_url.expose_secret();
    let postgres = format!("{url}{}stream=moved", if url.contains('?') { '&' } else { '?' });
    let (ok, imported) =
        source.run(&["import", "--from", text(&archive), "--store", &postgres, "--json"]).await;
    assert!(ok, "{imported:#}");
    let back = TempDir::new().expect("a folder");
    let home = commands(&config, back.path());
    let (ok, returned) = home.run(&["import", "--from-store", &postgres, "--json"]).await;
    assert!(ok, "{returned:#}");
    assert_eq!((&imported["hash"], &returned["hash"]), (&exported["hash"], &exported["hash"]));
    assert_eq!(events_in(&back.path().join("journal")).await, all);
    let (ok, archived) = home.run(&["export", "--to", text(&kept.path().join("second")), "--json"]).await;
    assert!(ok && archived["hash"] == exported["hash"], "{archived:#}");

    // What the manifest does not speak of is not taken for it.
    let manifest = fs::read_to_string(archive.join("manifest.json")).expect("a manifest");
    let hash = exported["hash"].as_str().expect("a hash");
    let altered = manifest.replace(hash, &hash.chars().rev().collect::<String>());
    fs::write(archive.join("manifest.json"), altered).expect("another hash");
    refused(into.run(&import).await, "is not what its manifest says");
    fs::write(archive.join("manifest.json"), &manifest).expect("the manifest");

    // Nothing is put behind another journal, nor behind more events than there are in the source.
    let other = TempDir::new().expect("a folder");
    let store = EmbeddedStore::open(other.path().join("journal")).expect("a new journal");
    let mut events: Vec<NewEvent> = all.iter().cloned().map(as_new).collect();
    events[0].id = uuid::Uuid::now_v7();
    store.append(None, &events).await.expect("as many events");
    drop(store);
    refused(commands(&config, other.path()).run(&import).await, "they differ at revision 0");
    assert_eq!(events_in(&other.path().join("journal")).await.len(), all.len());
    refused(commands(&config, other.path()).run(&export).await, "is of another journal");
    let kept = fs::read_to_string(archive.join("manifest.json")).ok();
    assert_eq!((files_in(&archive), kept), (files, Some(manifest)));
    let event = NewEvent { id: uuid::Uuid::now_v7(), ..events.remove(0) };
    let store = EmbeddedStore::open(&journal).expect("the journal");
    store.append(Some(all.len() as u64 - 1), &[event]).await.expect("one more");
    drop(store);
    refused(into.run(&import).await, "it is no import that was interrupted");
}

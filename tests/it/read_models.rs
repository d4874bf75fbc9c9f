//! Read models beside a journal that is not theirs.

use crate::world::{PATIENCE, World};
use muneem::serve::Server;
use serde_json::json;
use sqlx::PgPool;
use std::path::Path;
use std::sync::Arc;

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

fn restore(backup: &Path, journal: &Path) {
    std::fs::remove_dir_all(journal).expect("the journal goes");
    copy_folder(backup, journal);
}

#[sqlx::test(migrations = false)]
async fn an_older_journal_under_newer_read_models_is_refused_and_the_mend_works(pool: PgPool) {
    let world = World::start(&pool).await;
    world.new_user_with(1_000).await;
    world.shown().await;
    let (config, data) = world.stop().await;
    let (journal, backup) = (config.journal_dir(), data.path().join("backup"));
    copy_folder(&journal, &backup);
    let sockets = websocket_gateway::Config::default;

    let world = World::start_with(&pool, config, data, sockets()).await;
    let user = world.new_user_with(2_000).await;
    world.verify().await;
    let (config, data) = world.stop().await;
    restore(&backup, &journal);

    let refused = Server::start(config.clone(), sockets()).await.err().expect("a journal that is too short");
    let text = format!("{refused:#}");
    assert!(text.contains("restore the journal") && text.contains("muneem rebuild"), "{text}");

    // The mend that it names.
    let store = event_store::EmbeddedReader::open(&journal).expect("the older journal is whole");
    projections::rebuild(&pool, Arc::new(store), |_, _| ()).await.expect("the read models are rebuilt");
    let world = World::start_with(&pool, config, data, sockets()).await;
    let statement = world.get(Some(&user), "/v1/wallet/statement").await.expect_ok();
    assert_eq!(statement["items"], json!([]), "nothing is told of a history that is gone");
    assert_eq!(world.wallet(&user).await.bonus_milli, 0);

    // As long as before, but another history: the event at the checkpoint tells.
    for _ in 0..3 {
        world.new_user_with(3_000).await;
    }
    world.verify().await;
    let (config, data) = world.stop().await;
    restore(&backup, &journal);
    sqlx::query(
        "UPDATE read.checkpoint SET revision = events.revision, event_id = gen_random_uuid()
         FROM read.events WHERE events.revision = 1",
    )
    .execute(&pool)
    .await
    .expect("the checkpoint moves");
    let refused = Server::start(config, sockets()).await.err().expect("another history");
    let text = format!("{refused:#}");
    assert!(text.contains("another history") && text.contains("muneem rebuild"), "{text}");
    drop(data);
}

#[sqlx::test(migrations = false)]
async fn a_history_that_changes_under_a_running_server_is_said_and_not_read(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_user_with(1_000).await;
    let ready = world.get(None, "/health/ready").await.expect_ok();
    assert_eq!(ready["projector"], "following");
    // As after a restore of the database from a backup of another history.
    sqlx::query("UPDATE read.checkpoint SET event_id = gen_random_uuid()")
        .execute(&pool)
        .await
        .expect("an update");
    let mut news = world.read.news();
    let refused = news.wait_for(|news| matches!(news.condition, projections::Condition::Refused(_)));
    drop(tokio::time::timeout(PATIENCE, refused).await.expect("it is noticed, though nobody writes"));

    let ready = world.get(None, "/health/ready").await;
    assert_eq!((ready.status.as_u16(), &ready.body["projector"]), (503, &json!("refused")), "{}", ready.body);
    for path in ["/v1/wallet/statement", "/v1/purchases", "/v1/coin-plans", "/v1/wallet?min_revision=0"] {
        world.get(Some(&user), path).await.expect_problem(503, "read_models_refused");
    }
    // The ledger needs no read models.
    let bonus = json!({ "user": user.id, "coins_milli": 5 });
    world.post(Some(&world.admin), "/v1/admin/bonuses", bonus).await.expect_ok();
    assert_eq!(world.wallet(&user).await.bonus_milli, 1_005);
}

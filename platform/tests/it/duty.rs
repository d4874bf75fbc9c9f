//! What one node does at a time.

use platform::duty::Duty;
use sqlx::PgPool;
use std::future::pending;
use std::time::Duration;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn one_node_at_a_time_has_a_duty_and_the_next_takes_over_when_it_is_gone(pool: PgPool) {
    let (one, two) = (Duty::new(pool.clone(), "calls"), Duty::new(pool.clone(), "calls"));
    let other = Duty::new(pool.clone(), "projector");
    let turn = one.take().await.unwrap();
    assert!(two.take_if_free().await.unwrap().is_none());
    assert!(other.take_if_free().await.unwrap().is_some(), "another duty is free");
    let waiting = tokio::spawn(async move { two.take().await.map(drop) });
    drop(turn);
    // Well before the turn would lapse.
    timeout(Duration::from_secs(3), waiting).await.expect("it is taken over").unwrap().unwrap();
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_node_that_stands_still_loses_its_duty_and_notices_when_it_goes_on(pool: PgPool) {
    let (one, two) = (Duty::new(pool.clone(), "calls"), Duty::new(pool.clone(), "calls"));
    let turn = one.take().await.unwrap();
    // As if it had said nothing for long; its connection, and with it the lock, is still there.
    sqlx::query("UPDATE app.duties SET held_until = now() - interval '1 second'")
        .execute(&pool)
        .await
        .unwrap();
    let taken = two.take_if_free().await.unwrap().expect("it is free");
    let ended = timeout(PATIENCE, turn.work(pending())).await.expect("it notices");
    assert!(ended.unwrap_err().to_string().contains("another node has taken over"));
    let working = tokio::spawn(taken.work(pending()));
    assert!(one.take_if_free().await.unwrap().is_none(), "the other one is at work");
    working.abort();
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_node_whose_connection_breaks_works_on_and_keeps_its_duty(pool: PgPool) {
    let (one, two) = (Duty::new(pool.clone(), "calls"), Duty::new(pool.clone(), "calls"));
    let turn = one.take().await.unwrap();
    let working = tokio::spawn(turn.work(pending()));
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks JOIN pg_stat_activity USING (pid)
               WHERE locktype = 'advisory' AND datname = current_database()";
    sqlx::query(cut).execute(&pool).await.unwrap();
    // It has the lock again with its next word on a new connection, unless the other node was there first.
    let locked = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
                  WHERE locktype = 'advisory' AND datname = current_database()";
    let again = async {
        while sqlx::query_scalar::<_, i64>(locked).fetch_one(&pool).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, again).await.expect("it takes the lock again");
    assert!(two.take_if_free().await.unwrap().is_none());
    assert!(!working.is_finished());
    working.abort();
}

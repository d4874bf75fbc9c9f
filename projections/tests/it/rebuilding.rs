//! A rebuild makes new read models beside those that serve, and lets them take their place at once.

use crate::world::*;
use event_store::{AppendError, Batch, EventStore, ReadError, RecordedEvent};
use ledger_core::{Account, Asset};
use projections::{AsOf, Journal, ProjectError, Projector, ReadModels, rebuild, verify};
use sqlx::PgPool;
use std::sync::Arc;
use tokio::sync::{Notify, oneshot};

/// A journal of which nothing is read until it is let go.
struct Held {
    journal: Journal,
    asked: Notify,
    let_go: Notify,
}

#[async_trait::async_trait]
impl EventStore for Held {
    fn is_shared(&self) -> bool {
        true
    }

    async fn append_batch(&self, _: Option<u64>, _: &Arc<Batch>) -> Result<u64, AppendError> {
        unreachable!("nothing is recorded here")
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        self.asked.notify_one();
        self.let_go.notified().await;
        self.let_go.notify_one();
        self.journal.read(from, max).await
    }

    async fn head(&self) -> Result<Option<u64>, ReadError> {
        self.journal.head().await
    }

    async fn wait_beyond(&self, seen: Option<u64>) -> Result<u64, ReadError> {
        self.journal.wait_beyond(seen).await
    }
}

fn held(world: &World) -> Arc<Held> {
    Arc::new(Held { journal: world.journal(), asked: Notify::new(), let_go: Notify::new() })
}

async fn revenue_at(models: &ReadModels, revision: u64) -> anyhow::Result<i64> {
    let then = AsOf::Revision(revision);
    Ok(models.balance_as_of(Account::PlatformRevenue, Asset::COIN, then).await?.balance_minor)
}

async fn schemas(pool: &PgPool) -> anyhow::Result<Vec<String>> {
    let names = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'read%' ORDER BY 1";
    Ok(sqlx::query_scalar(names).fetch_all(pool).await?)
}

/// Waits until so many connections of this database wait for a lock.
async fn until_waiting(pool: &PgPool, connections: i64) -> anyhow::Result<()> {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(pool).await? < connections {}
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn until_a_rebuild_is_done_the_old_read_models_serve_and_follow(pool: PgPool) -> anyhow::Result<()> {
    let mut world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;
    // By this wrong line the old ones are known.
    sqlx::query("UPDATE read.statement_lines SET balance_after_minor = balance_after_minor - 1")
        .execute(&pool)
        .await?;
    let then = world.last();
    let wrong = revenue_at(&models, then).await?;

    let held = held(&world);
    let (at, journal) = (pool.clone(), held.clone());
    let rebuilding = tokio::spawn(async move { rebuild(&at, journal, |_, _| ()).await });
    held.asked.notified().await;
    let second = rebuild(&pool, world.journal(), |_, _| ()).await;
    assert!(matches!(second, Err(ProjectError::RebuildUnderWay)), "{second:?}");
    assert_eq!(revenue_at(&models, then).await?, wrong);
    world.gift(ROSE, 2_000, None).await;
    Projector::new(pool.clone(), world.journal()).project_to_end(|_, _| ()).await?;
    assert_eq!(models.checkpoint().await?.revision, Some(world.last()));
    let before = dump(&pool).await;

    // Cut off: nothing has changed, and the next one is not kept from beginning.
    rebuilding.abort();
    assert!(rebuilding.await.is_err());
    assert_eq!(dump(&pool).await, before);
    rebuild(&pool, world.journal(), |_, _| ()).await?;
    assert_eq!(revenue_at(&models, then).await?, wrong + 1);
    assert_eq!(schemas(&pool).await?, ["read"]);
    assert_eq!(verify(&pool, world.journal(), |_, _| ()).await?.difference, None);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn new_read_models_that_are_behind_the_old_ones_catch_up_first(pool: PgPool) -> anyhow::Result<()> {
    let mut world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;
    // It has come to the end and waits to take over, while another event comes and is projected.
    let mut holder = pool.begin().await?;
    sqlx::query("SELECT 1 FROM read.checkpoint FOR UPDATE").execute(&mut *holder).await?;
    let (at, journal) = (pool.clone(), world.journal());
    let rebuilding = tokio::spawn(async move { rebuild(&at, journal, |_, _| ()).await });
    until_waiting(&pool, 1).await?;
    world.gift(ROSE, 2_000, None).await;
    let last = i64::try_from(world.last())?;
    sqlx::query("UPDATE read.checkpoint SET revision = $1").bind(last).execute(&mut *holder).await?;
    holder.commit().await?;
    assert_eq!(rebuilding.await??, Some(world.last()));
    assert_eq!(models.checkpoint().await?.revision, Some(world.last()));
    assert_eq!(verify(&pool, world.journal(), |_, _| ()).await?.difference, None);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_projector_that_waits_while_the_new_ones_take_over_goes_on_in_them(
    pool: PgPool,
) -> anyhow::Result<()> {
    let mut world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;
    let mut holder = pool.begin().await?;
    sqlx::query("SELECT 1 FROM read.checkpoint FOR UPDATE").execute(&mut *holder).await?;
    world.gift(ROSE, 2_000, None).await;
    // The rebuild has all events, and is the first in the line for the lock.
    let (at, journal) = (pool.clone(), world.journal());
    let rebuilding = tokio::spawn(async move { rebuild(&at, journal, |_, _| ()).await });
    until_waiting(&pool, 1).await?;
    let (at, journal) = (pool.clone(), world.journal());
    let following = tokio::spawn(async move { Projector::new(at, journal).project_to_end(|_, _| ()).await });
    until_waiting(&pool, 2).await?;
    holder.rollback().await?;
    assert_eq!(rebuilding.await??, Some(world.last()));
    assert_eq!(following.await??, Some(world.last()));
    assert_eq!(models.checkpoint().await?.revision, Some(world.last()));
    assert_eq!(verify(&pool, world.journal(), |_, _| ()).await?.difference, None);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn rebuilds_beside_a_projector_that_follows_lose_and_double_nothing(
    pool: PgPool,
) -> anyhow::Result<()> {
    let mut world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let (at, journal) = (pool.clone(), world.journal());
    let following =
        tokio::spawn(async move { Projector::new(at, journal).run(async { _ = stopped.await }).await });
    for _ in 0..3 {
        let journal = world.journal();
        let (rebuilt, ()) = tokio::join!(rebuild(&pool, journal, |_, _| ()), async {
            for _ in 0..20 {
                world.gift(ROSE, 2_000, None).await;
            }
        });
        rebuilt?;
    }
    models.wait_for(world.last(), std::time::Duration::from_secs(20)).await?;
    drop(stop);
    following.await??;
    assert_eq!(verify(&pool, world.journal(), |_, _| ()).await?.difference, None);
    Ok(())
}

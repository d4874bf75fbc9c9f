//! Projectors: what they write, and what they refuse.

use crate::world::{CAR, ROSE, USER, World, dump};
use event_store::{EventStore, NewEvent};
use ledger_core::command::{GrantBonus, SetGiftPrice};
use ledger_core::event::BonusOrigin;
use ledger_core::{Command, Event};
use projections::{
    BATCH_EVENTS, Condition, Journal, ProjectError, Projector, QueryError, ReadModels, rebuild, verify,
};
use sqlx::PgPool;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(20);

#[sqlx::test(migrations = false)]
async fn a_journal_with_every_type_of_event_is_projected_and_verified(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let stored = world.store.read(0, usize::MAX).await?;
    let kinds: BTreeSet<&str> = stored.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, Event::KINDS.iter().copied().collect::<BTreeSet<_>>(), "the world has every type");

    let models = ReadModels::open(pool.clone(), world.journal()).await?;
    let at = Projector::new(pool.clone(), world.journal()).project_to_end(|_, _| ()).await?;
    assert_eq!(at, Some(world.last()));
    assert_eq!(models.checkpoint().await?.journal, world.state.journal());

    let report = verify(&pool, world.journal(), |_, _| ()).await?;
    assert_eq!(report.difference, None);
    assert_eq!(report.revision, Some(world.last()));
    let empty: Vec<_> = report.checks.iter().filter(|check| check.count == 0).collect();
    assert!(empty.is_empty(), "the world has rows for every table, but not {empty:?}");
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn an_empty_read_model_beside_an_empty_journal_verifies(pool: PgPool) -> anyhow::Result<()> {
    let journal = std::sync::Arc::new(event_store::MemoryStore::new());
    ReadModels::open(pool.clone(), journal.clone()).await?;
    assert_eq!(Projector::new(pool.clone(), journal.clone()).project_to_end(|_, _| ()).await?, None);
    assert!(verify(&pool, journal, |_, _| ()).await?.is_ok());
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn rebuilding_gives_the_tables_that_following_gave(pool: PgPool) -> anyhow::Result<()> {
    // The same journal, projected command by command.
    let whole = World::with_every_event(1).await;
    let stored = whole.store.read(0, usize::MAX).await?;
    let growing = event_store::MemoryStore::new();
    ReadModels::open(pool.clone(), std::sync::Arc::new(growing.clone())).await?;
    let projector = Projector::new(pool.clone(), std::sync::Arc::new(growing.clone()));
    let mut unit = Vec::new();
    for event in stored {
        let closes = ledger_core::PlaceInUnit::of(&event.metadata)?.closes_unit();
        let expected = (event.revision + 1).checked_sub(unit.len() as u64 + 2);
        unit.push(NewEvent { id: event.id, kind: event.kind, data: event.data, metadata: event.metadata });
        if closes {
            growing.append(expected, &unit).await?;
            unit.clear();
            assert_eq!(projector.project_to_end(|_, _| ()).await?, growing.head().await?);
        }
    }
    let followed = dump(&pool).await;

    let mut seen = Vec::new();
    rebuild(&pool, whole.journal(), |done, total| seen.push((done, total))).await?;
    assert_eq!(dump(&pool).await, followed);
    let total = whole.last() + 1;
    assert_eq!((seen.first(), seen.last()), (Some(&(0, total)), Some(&(total, total))));
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_journal_of_several_batches_is_projected_and_verified_whole(pool: PgPool) -> anyhow::Result<()> {
    let mut world = World::new(1).await;
    world.open_for_business().await;
    world
        .give(Command::from(GrantBonus {
            user: USER,
            origin: BonusOrigin::Promotion,
            coins_milli: 1 << 40,
            valid_seconds: None,
        }))
        .await;
    // Units of two events after an odd number of others: the batch's end is within one, which comes with the next.
    if world.last() % 2 == 1 {
        world.give(Command::from(SetGiftPrice { gift: CAR, price_milli: Some(41_000) })).await;
    }
    while world.last() <= 2 * BATCH_EVENTS as u64 {
        world.gift(ROSE, 2_000, None).await;
    }
    ReadModels::open(pool.clone(), world.journal()).await?;
    let mut seen = Vec::new();
    rebuild(&pool, world.journal(), |done, _| seen.push(done)).await?;
    assert!(seen.len() > 3, "{seen:?}");
    assert_eq!(verify(&pool, world.journal(), |_, _| ()).await?.difference, None);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_batch_that_another_projector_has_applied_is_not_applied_again(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    ReadModels::open(pool.clone(), world.journal()).await?;
    // Both find an empty read model and come to the lock with the same first batch.
    let mut holder = pool.begin().await?;
    sqlx::query("SELECT 1 FROM read.checkpoint FOR UPDATE").execute(&mut *holder).await?;
    let (one, two) =
        (Projector::new(pool.clone(), world.journal()), Projector::new(pool.clone(), world.journal()));
    let both = async { tokio::join!(one.project_to_end(|_, _| ()), two.project_to_end(|_, _| ())) };
    let release = async {
        loop {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'",
            )
            // Not in the holder's transaction, which would see one picture for ever.
            .fetch_one(&pool)
            .await
            .expect("the activity of this database");
            if waiting == 2 {
                break;
            }
        }
        holder.rollback().await
    };
    let (outcomes, released) = tokio::join!(both, release);
    released?;
    assert_eq!((outcomes.0?, outcomes.1?), (Some(world.last()), Some(world.last())));
    let once = dump(&pool).await;
    assert!(verify(&pool, world.journal(), |_, _| ()).await?.is_ok());

    one.project_to_end(|_, _| ()).await?;
    assert_eq!(dump(&pool).await, once, "projecting again changes nothing");
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn two_projectors_follow_a_growing_journal_together(pool: PgPool) -> anyhow::Result<()> {
    let mut world = World::new(1).await;
    let models = ReadModels::open(pool.clone(), world.journal()).await?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut tasks = Vec::new();
    let projectors = [(); 2].map(|()| Projector::new(pool.clone(), world.journal()));
    let models = models.following(&projectors[0]);
    for projector in projectors {
        let mut stopped = stopped.clone();
        tasks.push(tokio::spawn(async move {
            projector.run(async { _ = stopped.wait_for(|stop| *stop).await }).await
        }));
    }
    world.open_for_business().await;
    for _ in 0..30 {
        world.gift(ROSE, 2_000, None).await;
        models.wait_for(world.last(), LONG).await?;
    }
    stop.send(true)?;
    for task in tasks {
        task.await??;
    }
    assert_eq!(verify(&pool, world.journal(), |_, _| ()).await?.difference, None);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_fresh_journal_beside_an_old_read_model_is_refused(pool: PgPool) -> anyhow::Result<()> {
    let old = World::with_every_event(1).await;
    ReadModels::open(pool.clone(), old.journal()).await?;
    Projector::new(pool.clone(), old.journal()).project_to_end(|_, _| ()).await?;

    let fresh = World::new(2).await;
    let refused = Projector::new(pool.clone(), fresh.journal()).run(std::future::pending()).await;
    let Err(fault @ ProjectError::OtherJournal { .. }) = refused else { panic!("{refused:?}") };
    assert!(fault.to_string().contains("muneem rebuild"), "{fault}");
    assert!(verify(&pool, fresh.journal(), |_, _| ()).await.is_err());

    rebuild(&pool, fresh.journal(), |_, _| ()).await?;
    assert!(verify(&pool, fresh.journal(), |_, _| ()).await?.is_ok());

    // The same journal, restored from an older copy.
    rebuild(&pool, old.journal(), |_, _| ()).await?;
    let shorter = World::new(1).await;
    let refused = Projector::new(pool.clone(), shorter.journal()).project_to_end(|_, _| ()).await;
    assert!(matches!(refused, Err(ProjectError::AheadOfJournal { .. })), "{refused:?}");
    Ok(())
}

/// The same journal as `world`'s up to its first unit, with as many other events after it.
async fn another_history(world: &World) -> anyhow::Result<Journal> {
    let store = event_store::MemoryStore::new();
    let mut expected = None;
    for event in world.store.read(0, usize::MAX).await? {
        let id =
            if event.revision == 0 { event.id } else { Uuid::from_u128(0xbad << 64 | event.id.as_u128()) };
        let event = NewEvent { id, kind: event.kind, data: event.data, metadata: event.metadata };
        expected = Some(store.append(expected, &[event]).await?);
    }
    Ok(Arc::new(store))
}

#[sqlx::test(migrations = false)]
async fn a_restored_journal_that_went_another_way_is_refused_at_the_start(
    pool: PgPool,
) -> anyhow::Result<()> {
    let mut world = World::with_every_event(1).await;
    rebuild_all(&pool, world.journal()).await?;
    let other = another_history(&world).await?;

    let projector = Projector::new(pool.clone(), other.clone());
    let models = ReadModels::open(pool.clone(), other.clone()).await?.following(&projector);
    let refused = projector.check().await;
    assert!(matches!(refused, Err(ProjectError::OtherHistory { .. })), "{refused:?}");
    let text = refused.expect_err("refused").to_string();
    assert!(text.contains("muneem rebuild") && text.contains("restore the journal"), "{text}");
    // Longer or shorter: as long as another event stands where the checkpoint is, it is the wrong one.
    world.gift(ROSE, 2_000, None).await;
    let longer = another_history(&world).await?;
    let refused = Projector::new(pool.clone(), longer).project_to_end(|_, _| ()).await;
    assert!(matches!(refused, Err(ProjectError::OtherHistory { .. })), "{refused:?}");

    // Nothing is read from read models of a history that is gone.
    assert!(matches!(models.progress().condition, Condition::Refused(_)), "{:?}", models.progress());
    for answer in [
        models.wait_for(0, LONG).await.err(),
        models.coin_plans().await.err(),
        models.trial_balance().await.err(),
        models.event(0).await.err(),
    ] {
        assert!(matches!(answer, Some(QueryError::Refused(_))), "{answer:?}");
    }
    let found = verify(&pool, other.clone(), |_, _| ()).await?.difference.expect("a difference");
    assert_eq!(found.what, "checkpoint.event_id");

    rebuild_all(&pool, other).await?;
    projector.check().await?;
    assert_eq!(models.coin_plans().await?.len(), 1);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn another_history_is_noticed_while_running_and_the_projector_can_be_run_again(
    pool: PgPool,
) -> anyhow::Result<()> {
    let mut world = World::with_every_event(1).await;
    let projector = Projector::new(pool.clone(), world.journal());
    let models = ReadModels::open(pool.clone(), world.journal()).await?.following(&projector);
    let mut news = projector.progress();
    let (running, watching) = tokio::join!(projector.run(std::future::pending()), async {
        models.wait_for(world.last(), LONG).await?;
        assert_eq!(models.progress().condition, Condition::Following);
        // As after a restore of the database from a backup of another history.
        sqlx::query("UPDATE read.checkpoint SET event_id = gen_random_uuid()").execute(&pool).await?;
        world.gift(ROSE, 2_000, None).await;
        anyhow::Ok(())
    });
    watching?;
    assert!(matches!(running, Err(ProjectError::OtherHistory { .. })), "{running:?}");
    assert!(matches!(news.borrow_and_update().condition, Condition::Refused(_)));
    // Run again, it says the same, and once the read models are rebuilt it goes on.
    let again = projector.run(std::future::pending()).await;
    assert!(matches!(again, Err(ProjectError::OtherHistory { .. })), "{again:?}");
    rebuild_all(&pool, world.journal()).await?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (running, watching) = tokio::join!(projector.run(async { _ = stopped.await }), async {
        news.wait_for(|news| news.condition == Condition::Following).await?;
        world.gift(ROSE, 2_000, None).await;
        models.wait_for(world.last(), LONG).await?;
        _ = stop.send(());
        anyhow::Ok(())
    });
    running?;
    watching?;
    assert!(matches!(models.progress().condition, Condition::Down(_)), "it was shut down");
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_projector_that_panics_is_told_to_be_down(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let projector = Arc::new(Projector::new(pool.clone(), world.journal()));
    let models = ReadModels::open(pool.clone(), world.journal()).await?.following(&projector);
    let task = {
        let projector = projector.clone();
        tokio::spawn(async move { projector.run(async { panic!("on purpose") }).await })
    };
    assert!(task.await.is_err_and(|fault| fault.is_panic()));
    assert!(matches!(models.progress().condition, Condition::Down(_)), "{:?}", models.progress());
    // What was projected can be read meanwhile, and a new run goes on from the checkpoint.
    assert_eq!(models.event(u64::MAX).await?, None);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (running, waited) = tokio::join!(projector.run(async { _ = stopped.await }), async {
        let waited = models.wait_for(world.last(), LONG).await;
        _ = stop.send(());
        waited
    });
    running?;
    waited?;
    Ok(())
}

async fn rebuild_all(pool: &PgPool, journal: Journal) -> anyhow::Result<()> {
    ReadModels::open(pool.clone(), journal.clone()).await?;
    rebuild(pool, journal, |_, _| ()).await?;
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn an_event_that_cannot_be_read_stops_the_projector_where_it_stands(
    pool: PgPool,
) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let last = world.last();
    let metadata = world.store.read(0, 1).await?.remove(0).metadata;
    let id = Uuid::from_u128(0xdead);
    let unknown = NewEvent { id, kind: "FutureThing".into(), data: b"{}".to_vec(), metadata };
    world.store.append(Some(last), &[unknown]).await?;

    let models = ReadModels::open(pool.clone(), world.journal()).await?;
    for _ in 0..2 {
        let stopped = Projector::new(pool.clone(), world.journal()).run(std::future::pending()).await;
        assert!(
            matches!(stopped, Err(ProjectError::Undecodable { revision, .. }) if revision == last + 1),
            "{stopped:?}"
        );
        assert_eq!(models.checkpoint().await?.revision, Some(last), "what came before is applied");
    }
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_read_model_of_another_format_is_made_anew(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    ReadModels::open(pool.clone(), world.journal()).await?;
    rebuild(&pool, world.journal(), |_, _| ()).await?;
    let models = ReadModels::open(pool.clone(), world.journal()).await?;
    assert_eq!(models.checkpoint().await?.revision, Some(world.last()), "the same format is kept");

    sqlx::query("UPDATE read.checkpoint SET format = format + 1").execute(&pool).await?;
    let opened = tokio::join!(
        ReadModels::open(pool.clone(), world.journal()),
        ReadModels::open(pool.clone(), world.journal())
    );
    assert_eq!(
        (opened.0?.checkpoint().await?.revision, opened.1?.checkpoint().await?.revision),
        (None, None)
    );
    rebuild(&pool, world.journal(), |_, _| ()).await?;
    assert!(verify(&pool, world.journal(), |_, _| ()).await?.is_ok());

    // As a program leaves them that knows one type of event more.
    sqlx::query("ALTER TYPE read.event_kind ADD VALUE 'FutureThing'").execute(&pool).await?;
    let models = ReadModels::open(pool.clone(), world.journal()).await?;
    assert_eq!(models.checkpoint().await?.revision, None, "they are made for the types of this one");
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_projector_waits_out_an_outage_of_postgres(pool: PgPool) -> anyhow::Result<()> {
    let mut world = World::new(1).await;
    let models = ReadModels::open(pool.clone(), world.journal()).await?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let projector = Projector::new(pool.clone(), world.journal());
    let task = tokio::spawn(async move { projector.run(async { _ = stopped.await }).await });
    models.wait_for(world.last(), LONG).await?;

    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .execute(&pool)
    .await?;
    world.open_for_business().await;
    models.wait_for(world.last(), LONG).await?;
    _ = stop.send(());
    task.await??;
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn an_idle_projector_finishes_a_rebuild_that_somebody_began_and_gave_up(
    pool: PgPool,
) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let models = ReadModels::open(pool.clone(), world.journal()).await?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let projector = Projector::new(pool.clone(), world.journal());
    let task = tokio::spawn(async move { projector.run(async { _ = stopped.await }).await });
    models.wait_for(world.last(), LONG).await?;
    // As a rebuild begins: everything is dropped, and the checkpoint with it.
    sqlx::query("UPDATE read.checkpoint SET format = format + 1").execute(&pool).await?;
    let models = ReadModels::open(pool.clone(), world.journal()).await?;
    assert_eq!(models.checkpoint().await?.revision, None);
    models.wait_for(world.last(), LONG).await?;
    assert!(verify(&pool, world.journal(), |_, _| ()).await?.is_ok());
    _ = stop.send(());
    task.await??;
    Ok(())
}

//! Verification: whatever is changed in a read model is named.

use crate::world::{World, table_names};
use event_store::EventStore;
use projections::{Difference, Projector, ReadModels, verify};
use sqlx::{AssertSqlSafe, PgPool};

async fn projected(pool: &PgPool) -> anyhow::Result<World> {
    let world = World::with_every_event(1).await;
    ReadModels::open(pool.clone(), world.journal()).await?;
    Projector::new(pool.clone(), world.journal()).project_to_end(|_, _| ()).await?;
    Ok(world)
}

async fn difference(pool: &PgPool, world: &World) -> anyhow::Result<Option<Difference>> {
    Ok(verify(pool, world.journal(), |_, _| ()).await?.difference)
}

async fn run(pool: &PgPool, sql: String) -> anyhow::Result<u64> {
    Ok(sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await?.rows_affected())
}

#[sqlx::test(migrations = false)]
async fn each_change_is_named_with_its_place(pool: PgPool) -> anyhow::Result<()> {
    let world = projected(&pool).await?;
    // Each statement answers the id and the revision that the difference has to name.
    let cases = [
        (
            "balances",
            "UPDATE read.balances SET balance_minor = balance_minor - 1 WHERE account LIKE 'host:%a2:earnings'
             RETURNING account || ' in ' || asset, revision",
        ),
        (
            "balances",
            "DELETE FROM read.balances WHERE account = 'platform:revenue' AND asset = 'COIN/3'
             RETURNING account || ' in ' || asset, revision",
        ),
        (
            "balances",
            "INSERT INTO read.balances VALUES ('user:00000000-0000-0000-0000-0000000000ff:bonus', 'COIN/3', 999, -5, false, 9)
             RETURNING account || ' in ' || asset, revision",
        ),
        (
            "statement_lines.balance_after_minor",
            "UPDATE read.statement_lines SET balance_after_minor = balance_after_minor + 1
             WHERE (account, revision) = (SELECT account, max(revision) FROM read.statement_lines WHERE account =
                 (SELECT number FROM read.balances WHERE account = 'platform:bank') GROUP BY account)
             RETURNING 'platform:bank in INR/2', revision",
        ),
        (
            "statement_lines.balance_after_minor",
            "UPDATE read.statement_lines SET balance_after_minor = 0
             WHERE (account, revision) = (SELECT account, min(revision) FROM read.statement_lines WHERE account =
                 (SELECT number FROM read.balances WHERE account = 'suspense:razorpay') GROUP BY account)
             RETURNING 'suspense:razorpay in INR/2', revision",
        ),
        (
            "statement_lines",
            "DELETE FROM read.statement_lines
             WHERE (account, revision) = (SELECT account, max(revision) FROM read.statement_lines WHERE account =
                 (SELECT number FROM read.balances WHERE account = 'platform:adjustments') GROUP BY account)
             RETURNING 'platform:adjustments in COIN/3', revision",
        ),
        (
            "statement_lines",
            "INSERT INTO read.statement_lines SELECT number, 0, 100000, 1 FROM read.balances
             WHERE account = 'platform:revenue' AND asset = 'COIN/3' RETURNING 'platform:revenue in COIN/3', revision",
        ),
        (
            "events.kind",
            "UPDATE read.events SET kind = 'GiftSent' WHERE kind = 'AdjustmentPosted' AND revision =
               (SELECT min(revision) FROM read.events WHERE kind = 'AdjustmentPosted')
             RETURNING revision::text, revision",
        ),
        (
            "withdrawals.tax_minor",
            "UPDATE read.withdrawals SET tax_minor = tax_minor + 1 WHERE status = 'paid'
             RETURNING withdrawal::text, revision",
        ),
        (
            "payout_rates.rate",
            "UPDATE read.payout_rates SET rate = '1' RETURNING asset, revision",
        ),
        (
            "tax_rates.tax_bps",
            "UPDATE read.tax_rates SET tax_bps = 0 RETURNING asset, revision",
        ),
        (
            "withdrawals.status",
            "UPDATE read.withdrawals SET status = 'paid' WHERE status = 'rejected'
             RETURNING withdrawal::text, revision",
        ),
        (
            "calls.charged_total_milli",
            "UPDATE read.calls SET charged_total_milli = charged_total_milli + 1,
                                   host_earned_milli = host_earned_milli + 1
             WHERE medium = 'video' RETURNING call::text, revision",
        ),
        (
            "balances.revision",
            "UPDATE read.balances SET revision = 1 WHERE account = 'platform:revenue' AND asset = 'COIN/3'
             RETURNING account || ' in ' || asset,
                 (SELECT max(revision) FROM read.statement_lines AS lines WHERE lines.account = number)",
        ),
        (
            "revenue_by_day.platform_milli",
            "UPDATE read.revenue_by_day SET platform_milli = platform_milli + 1 WHERE source = 'call_chat'
             RETURNING day || ' ' || source, revision",
        ),
    ];
    for (what, sql) in cases {
        let saved = save(&pool).await?;
        let (id, revision): (String, i64) = sqlx::query_as(sql).fetch_one(&pool).await?;
        let report = verify(&pool, world.journal(), |_, _| ()).await?;
        let marked: Vec<_> = report.checks.iter().filter(|it| report.failed(it)).map(|it| it.name).collect();
        let found = report.difference.unwrap_or_else(|| panic!("not seen: {sql}"));
        let named = (found.what.as_str(), found.id.as_str(), found.revision);
        assert_eq!(named, (what, id.as_str(), u64::try_from(revision).ok()), "{sql}");
        let line = if what.starts_with("balances") { what } else { what.split('.').next().unwrap_or(what) };
        assert_eq!(marked, [line], "the line that differs is marked, and no other");
        restore(&pool, &saved).await?;
    }
    assert_eq!(difference(&pool, &world).await?, None);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn no_column_of_any_table_can_be_changed_unseen(pool: PgPool) -> anyhow::Result<()> {
    let world = projected(&pool).await?;
    let saved = save(&pool).await?;
    for table in &saved {
        // Whoever tampers with a table may well begin with its constraints.
        drop_constraints(&pool, table).await?;
        for (column, kind) in columns(&pool, table).await? {
            let other = match kind.as_str() {
                "bigint" | "integer" | "smallint" => format!("coalesce({column}, 0) + 1"),
                "text" => format!("coalesce({column}, '') || 'x'"),
                "uuid" => "'00000000-0000-0000-0000-00000000ffff'".to_owned(),
                "timestamp with time zone" => {
                    format!("coalesce({column}, '2020-01-01 00:00Z') + interval '1 second'")
                }
                "boolean" => format!("NOT {column}"),
                "date" => format!("{column} + 1"),
                // The types of events.
                "USER-DEFINED" => format!(
                    "CASE {column} WHEN 'GiftSent' THEN 'CallTicked' ELSE 'GiftSent' END::read.event_kind"
                ),
                other => panic!("how is a column of the type {other} changed?"),
            };
            // The row that is last on the disk.
            let pick = format!("ctid = (SELECT max(ctid) FROM read.{table})");
            let changed =
                run(&pool, format!("UPDATE read.{table} SET {column} = {other} WHERE {pick}")).await?;
            assert_eq!(changed, 1, "{table}.{column}");
            let found = difference(&pool, &world).await?;
            assert!(
                found.as_ref().is_some_and(|found| found.what.starts_with(table.as_str())),
                "{table}.{column}: {found:?}"
            );
            restore(&pool, std::slice::from_ref(table)).await?;
        }
        for sql in [
            format!("DELETE FROM read.{table} WHERE ctid = (SELECT max(ctid) FROM read.{table})"),
            format!("INSERT INTO read.{table} SELECT * FROM read.{table} LIMIT 1"),
        ] {
            run(&pool, sql.clone()).await?;
            let found = difference(&pool, &world).await?;
            assert!(found.is_some_and(|found| found.what.starts_with(table.as_str())), "not seen: {sql}");
            restore(&pool, std::slice::from_ref(table)).await?;
        }
    }
    assert_eq!(difference(&pool, &world).await?, None);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_checkpoint_that_was_moved_is_seen(pool: PgPool) -> anyhow::Result<()> {
    let world = projected(&pool).await?;
    let last = i64::try_from(world.last())?;
    // The last unit is a tick and its split.
    for (revision, named) in [(last - 1, last - 1), (last - 2, last - 1)] {
        // With the revision alone, another event's id stands beside it.
        sqlx::query("UPDATE read.checkpoint SET revision = $1").bind(revision).execute(&pool).await?;
        let found = difference(&pool, &world).await?;
        assert_eq!(found.as_ref().map(|found| found.what.as_str()), Some("checkpoint.event_id"), "{found:?}");
        let event = world.store.read(u64::try_from(revision)?, 1).await?.remove(0);
        sqlx::query("UPDATE read.checkpoint SET event_id = $1").bind(event.id).execute(&pool).await?;
        let found = difference(&pool, &world).await?;
        let at = found.as_ref().and_then(|found| found.revision);
        assert_eq!(at, u64::try_from(named).ok(), "{found:?}");
    }
    sqlx::query("UPDATE read.checkpoint SET revision = $1").bind(last + 1).execute(&pool).await?;
    let refused = verify(&pool, world.journal(), |_, _| ()).await;
    assert!(refused.is_err(), "the read models are beyond the journal's end");
    Ok(())
}

async fn save(pool: &PgPool) -> anyhow::Result<Vec<String>> {
    run(pool, "DROP SCHEMA IF EXISTS saved CASCADE; CREATE SCHEMA saved".to_owned()).await?;
    let tables: Vec<String> =
        table_names(pool).await.into_iter().filter(|table| table != "checkpoint").collect();
    for table in &tables {
        run(pool, format!("CREATE TABLE saved.{table} AS TABLE read.{table}")).await?;
    }
    Ok(tables)
}

async fn restore(pool: &PgPool, tables: &[String]) -> anyhow::Result<()> {
    for table in tables {
        run(pool, format!("TRUNCATE read.{table}; INSERT INTO read.{table} SELECT * FROM saved.{table}"))
            .await?;
    }
    Ok(())
}

async fn drop_constraints(pool: &PgPool, table: &str) -> anyhow::Result<()> {
    let copy = format!("DROP TABLE read.{table}; CREATE TABLE read.{table} AS TABLE saved.{table}");
    run(pool, copy).await?;
    Ok(())
}

async fn columns(pool: &PgPool, table: &str) -> anyhow::Result<Vec<(String, String)>> {
    let rows = sqlx::query_as(
        "SELECT quote_ident(column_name), data_type::text FROM information_schema.columns
         WHERE table_schema = 'read' AND table_name = $1 ORDER BY ordinal_position",
    )
    .bind(table)
    .fetch_all(pool)
    .await?;
    Ok(rows)
}

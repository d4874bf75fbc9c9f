//! What a page costs: rows read by the database, however many rows there are.

use crate::world::*;
use anyhow::Context;
use chrono::NaiveDate;
use event_store::{AppendError, Batch, EventStore, ReadError, RecordedEvent};
use ledger_core::Payee;
use ledger_core::{Account, Asset, PersonId, PlaceInUnit};
use projections::*;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Rows that each table gets of the one who asks, and of others in between.
const CROWD: i64 = 2_000;
const PAGE: u32 = 20;
/// A page reads its rows, one more, and what leads to them.
const MOST_ROWS_READ: i64 = 4 * PAGE as i64;

/// Fills the tables with rows of `a` and of others by turns, at revisions beyond the journal's.
async fn crowd(pool: &PgPool) -> anyhow::Result<()> {
    let (user, host, agency) = (USER.0, HOST.0, AGENCY.0);
    let who = |person: Uuid| format!("CASE n % 2 WHEN 0 THEN '{person}'::uuid ELSE gen_random_uuid() END");
    let (user, host, agency) = (who(user), who(host), who(agency));
    let rows = format!("FROM generate_series(100000, 100000 + {CROWD} * 2) AS n");
    let sql = [
        format!(
            "INSERT INTO read.events SELECT n, now(), gen_random_uuid(),
                 CASE n % 190 WHEN 0 THEN 'GiftSent' ELSE 'CallTicked' END::read.event_kind, true {rows}"
        ),
        format!(
            "INSERT INTO read.event_people SELECT CASE events.revision % 2 WHEN 0 THEN number ELSE events.revision END, kind,
                 events.revision FROM read.events, read.people WHERE person = '{}' AND events.revision >= 100000",
            USER.0
        ),
        format!(
            "INSERT INTO read.statement_lines SELECT CASE n % 2 WHEN 0 THEN number ELSE n END, 0, n, 1 {rows},
                 read.balances WHERE account = 'user:00000000-0000-0000-0000-0000000000a1:purchased'"
        ),
        format!(
            "INSERT INTO read.balances SELECT 'user:' || gen_random_uuid() || ':bonus', 'COIN/3', n, n % 2, n % 2 = 0, n {rows}"
        ),
        format!(
            "INSERT INTO read.commission_splits SELECT n + 200000, 1, {host}, {agency} {rows}"
        ),
        format!("INSERT INTO read.commission_rates SELECT n, 'global', NULL, 1, 1, now(), now(), 'system' {rows}"),
        format!(
            "INSERT INTO read.gifts_sent SELECT {host}, n {rows}"
        ),
        format!(
            "INSERT INTO read.purchases SELECT gen_random_uuid(), n, {user}, gen_random_uuid(), NULL, NULL, 'razorpay', 1, 0, 1,
                 'INR/2', 'opened', NULL, NULL, 0, 0, 0, 0, now(), NULL, NULL, NULL, NULL, n {rows}"
        ),
        format!(
            "INSERT INTO read.unmatched_money SELECT n, now(), 'razorpay', 'pay', NULL, 'unknown_order', 'in', 1,
                 'INR/2' {rows}"
        ),
        format!(
            "INSERT INTO read.withdrawals (withdrawal, requested_revision, person, agency, coins_milli, rate, tax_bps,
                 gross_minor, tax_minor, payout_minor, payout_asset, status, requested_at, revision)
             SELECT gen_random_uuid(), n, {host}, CASE n % 5 WHEN 0 THEN {agency} END, 1, '1', 0, 1, 0, 1, 'INR/2',
                 CASE n % 3 WHEN 0 THEN 'paid' ELSE 'failed' END, now(), n {rows}"
        ),
        format!(
            "INSERT INTO read.bonus_lots SELECT gen_random_uuid(), {user}, 'promotion', NULL, 1, 1, now(),
                 NULL, NULL, n {rows}"
        ),
        format!(
            "INSERT INTO read.purchased_lots SELECT gen_random_uuid(), {user}, gen_random_uuid(), NULL, 1, 'INR/2', 0, 1, 0, 1, 0,
                 0, 0, n, n {rows}"
        ),
        format!("INSERT INTO read.deferred_revenue SELECT n, 'INR/2', 1, 0, 1 {rows}"),
        format!(
            "INSERT INTO read.calls SELECT gen_random_uuid(), n, {user}, {host}, 'chat', 1, 1, 0, 0, 'global', 0, 0,
                 NULL, now(), now(), 'ended', NULL, 'lost', NULL, 0, 0, 0, 0, 0, 0, n {rows}"
        ),
    ];
    for sql in sql {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await?;
    }
    sqlx::raw_sql("ANALYZE").execute(pool).await?;
    Ok(())
}

/// A journal that has a gift at every revision of the crowd, and at those of its splits a split.
struct Crowded {
    journal: Journal,
    gift: RecordedEvent,
    split: RecordedEvent,
}

impl Crowded {
    async fn of(world: &World) -> anyhow::Result<Crowded> {
        let all = world.store.read(0, usize::MAX).await?;
        let metadata =
            all.iter().find(|event| PlaceInUnit::of(&event.metadata).is_ok_and(PlaceInUnit::closes_unit));
        let metadata = metadata.context("a unit of one event")?.metadata.clone();
        // Each is a unit by itself.
        let first = |kind: &str| {
            let event = all.iter().find(|event| event.kind == kind).context("an event")?;
            anyhow::Ok(RecordedEvent { metadata: metadata.clone(), ..event.clone() })
        };
        Ok(Crowded { journal: world.journal(), gift: first("GiftSent")?, split: first("CommissionSplit")? })
    }
}

#[async_trait::async_trait]
impl EventStore for Crowded {
    fn is_shared(&self) -> bool {
        true
    }

    async fn append_batch(&self, _: Option<u64>, _: &Arc<Batch>) -> Result<u64, AppendError> {
        unreachable!("nothing is recorded here")
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        if from < 100_000 {
            return self.journal.read(from, max).await;
        }
        let at = |revision| match revision {
            300_000.. => RecordedEvent { revision, ..self.split.clone() },
            _ => RecordedEvent { revision, ..self.gift.clone() },
        };
        Ok((from..).take(max).map(at).collect())
    }

    async fn head(&self) -> Result<Option<u64>, ReadError> {
        self.journal.head().await
    }

    async fn wait_beyond(&self, seen: Option<u64>) -> Result<u64, ReadError> {
        self.journal.wait_beyond(seen).await
    }
}

/// Rows that queries have read so far, by table: from the table itself and from its indexes.
async fn rows_read(pool: &PgPool) -> anyhow::Result<BTreeMap<String, i64>> {
    sqlx::raw_sql("SELECT pg_stat_force_next_flush()").execute(pool).await?;
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT tables.relname::text, (seq_tup_read + coalesce(sum(indexes.idx_tup_read), 0))::bigint
         FROM pg_stat_user_tables AS tables LEFT JOIN pg_stat_user_indexes AS indexes USING (relid)
         WHERE tables.schemaname = 'read' GROUP BY tables.relid, tables.relname, seq_tup_read",
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().collect())
}

/// How many other connections to the database there are.
async fn others(pool: &PgPool) -> anyhow::Result<i64> {
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
    );
    Ok(count.fetch_one(pool).await?)
}

#[sqlx::test(migrations = false)]
async fn a_page_reads_its_own_rows_and_not_all_that_ever_were(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    ReadModels::open(pool.clone(), world.journal()).await?;
    Projector::new(pool.clone(), world.journal()).project_to_end(|_, _| ()).await?;
    crowd(&pool).await?;
    // One connection, whose statistics are complete as soon as it says so. It plans as if no table were in
    // memory as a whole: where all rows fit on a few pages, reading all of them is indeed the cheapest.
    let options =
        (*pool.connect_options()).clone().options([("random_page_cost", "0.01"), ("seq_page_cost", "1")]);
    let one = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
    // What other connections have read is counted when they tell it, at the latest when they end.
    pool.close().await;
    while others(&one).await? > 0 {
        tokio::task::yield_now().await;
    }
    let models = ReadModels::open(one.clone(), Arc::new(Crowded::of(&world).await?)).await?;

    let user_coins = StatementOf::Account(Account::UserPurchased(USER), Asset::COIN);
    let nobody = PersonId(Uuid::from_u128(0xff));
    let events = |kind: Option<&str>, person, correlation, from| EventFilter {
        kind: kind.map(str::to_owned),
        person,
        correlation,
        from_revision: from,
        ..EventFilter::default()
    };
    let every = StatementFilter::default();
    let beginning = |prefix: &str| AccountFilter { prefix: prefix.to_owned(), ..AccountFilter::default() };
    let correlation = Some(Uuid::from_u128(0xf1));
    let splits =
        |host, agency, source_id| CommissionFilter { host, agency, source_id, ..CommissionFilter::default() };
    let withdrawals = |status: Option<&str>, payee| WithdrawalFilter {
        status: status.map(str::to_owned),
        payee,
        ..WithdrawalFilter::default()
    };
    let of_agency = Payee::Agency { agency: AGENCY, owner: USER };
    let day = |year| NaiveDate::from_ymd_opt(year, 1, 1).expect("a day");

    macro_rules! costs {
        ($($query:expr),* $(,)?) => {$(
            // Twice by the same connection more than five times over: the plan for any parameters, too.
            for _ in 0..7 {
                let before = rows_read(&one).await?;
                $query;
                let after = rows_read(&one).await?;
                let read: BTreeMap<_, _> = after
                    .into_iter()
                    .map(|(table, rows)| (table.clone(), rows - before.get(&table).copied().unwrap_or(0)))
                    .filter(|(_, rows)| *rows > 0)
                    .collect();
                let sum: i64 = read.values().sum();
                assert!(sum <= MOST_ROWS_READ, "{} reads {read:?}", stringify!($query));
            }
        )*};
    }
    costs! {
        assert_eq!(models.statement(StatementOf::Person(USER), &every, None, PAGE).await?.items.len(), 20),
        assert_eq!(models.statement(user_coins, &every, None, PAGE).await?.items.len(), 20),
        models.statement(StatementOf::Person(nobody), &every, None, PAGE).await?,
        assert_eq!(models.accounts(&beginning(""), None, PAGE).await?.items.len(), 20),
        assert_eq!(models.accounts(&beginning("user:"), None, PAGE).await?.items.len(), 20),
        models.accounts(&beginning("withdrawal:"), None, PAGE).await?,
        models.trial_balance().await?,
        models.balance_as_of(Account::UserPurchased(USER), Asset::COIN, AsOf::Revision(101_000)).await?,
        models.balance_as_of(Account::UserPurchased(USER), Asset::COIN, AsOf::Time(world.at.to_utc())).await?,
        assert_eq!(models.events(&events(None, None, None, None), None, PAGE).await?.items.len(), 20),
        assert_eq!(models.events(&events(Some("GiftSent"), None, None, None), None, PAGE).await?.items.len(), 20),
        assert_eq!(models.events(&events(None, Some(USER), None, None), None, PAGE).await?.items.len(), 20),
        models.events(&events(Some("BonusExpired"), Some(USER), None, Some(3)), None, PAGE).await?,
        models.events(&events(None, None, correlation, None), None, PAGE).await?,
        models.events(&events(Some("CallEnded"), Some(USER), correlation, None), None, PAGE).await?,
        models.event(100_500).await?,
        assert_eq!(models.commission_log(splits(None, None, None), None, PAGE).await?.items.len(), 20),
        assert_eq!(models.commission_log(splits(Some(HOST), None, None), None, PAGE).await?.items.len(), 20),
        assert_eq!(models.commission_log(splits(None, Some(AGENCY), None), None, PAGE).await?.items.len(), 20),
        models.commission_log(splits(Some(HOST), Some(AGENCY), None), None, PAGE).await?,
        models.commission_log(splits(None, None, correlation), None, PAGE).await?,
        assert_eq!(models.commission_rates(RateFilter::default(), None, PAGE).await?.items.len(), 20),
        assert_eq!(models.gifts_received(HOST, None, PAGE).await?.items.len(), 20),
        models.gift_totals(HOST).await?,
        assert_eq!(models.purchases_of(USER, None, PAGE).await?.items.len(), 20),
        assert_eq!(models.suspense_cases(&SuspenseFilter::default(), None, PAGE).await?.items.len(), 20),
        assert_eq!(models.withdrawals(&withdrawals(None, None), None, PAGE).await?.items.len(), 20),
        assert_eq!(models.withdrawals(&withdrawals(Some("paid"), None), None, PAGE).await?.items.len(), 20),
        assert_eq!(models.withdrawals(&withdrawals(None, Some(Payee::Host { person: HOST })), None, PAGE).await?.items.len(), 20),
        assert_eq!(models.withdrawals(&withdrawals(Some("paid"), Some(Payee::Host { person: HOST })), None, PAGE).await?.items.len(), 20),
        models.withdrawals(&withdrawals(Some("requested"), Some(Payee::Host { person: HOST })), None, PAGE).await?,
        assert_eq!(models.withdrawals(&withdrawals(None, Some(of_agency)), None, PAGE).await?.items.len(), 20),
        assert_eq!(models.withdrawals(&withdrawals(Some("paid"), Some(of_agency)), None, PAGE).await?.items.len(), 20),
        models.withdrawals(&withdrawals(Some("approved"), Some(of_agency)), None, PAGE).await?,
        models.revenue_by_day(day(2026), day(2027)).await?,
        models.bonus_lots_of(nobody).await?,
        assert_eq!(models.purchased_lots_of(USER, None, PAGE).await?.items.len(), 20),
        models.deferred_revenue(AsOf::Revision(101_000)).await?,
        models.call(ledger_core::CallId(Uuid::from_u128(0xf1))).await?,
    }
    assert_eq!(models.bonus_lots_of(USER).await?.len(), MOST_LOTS as usize, "the list is bounded");
    Ok(())
}

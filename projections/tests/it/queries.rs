//! Queries: what clients, finance and admins read.

use crate::world::*;
use chrono::{DateTime, NaiveDate, Utc};
use event_store::{EventStore, RecordedEvent};
use ledger_core::Payee;
use ledger_core::command::{Command, RecordDispute, RecordRefund};
use ledger_core::event::Earner;
use ledger_core::{
    Account, AgencyId, Asset, Before, CallId, Gateway, Medium, PersonId, Recorded, SettlementId, State,
    disputes::DisputeNews, evolve,
};
use projections::*;
use sqlx::PgPool;
use std::sync::LazyLock;
use std::time::Duration;
use uuid::Uuid;

static EVERY: LazyLock<StatementFilter> = LazyLock::new(StatementFilter::default);

fn beginning(prefix: &str) -> AccountFilter {
    AccountFilter { prefix: prefix.to_owned(), ..AccountFilter::default() }
}

#[sqlx::test(migrations = false)]
async fn a_wallet_is_what_the_ledger_says(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;
    for person in [USER, HOST, OTHER_HOST, PersonId(Uuid::from_u128(0xff))] {
        let ledger = world.state.wallet(person, world.at);
        for (account, balance_minor) in [
            (Account::UserPurchased(person), ledger.purchased_milli),
            (Account::UserBonus(person), ledger.bonus_milli),
            (Account::HostEarnings(person), ledger.earnings_milli),
        ] {
            let found = models.balance_as_of(account, Asset::COIN, AsOf::Revision(u64::MAX)).await?;
            assert_eq!(found.balance_minor, balance_minor, "{account}");
            assert_eq!(found.as_of_revision, i64::try_from(world.last()).ok());
        }
    }
    let lots: i64 = models.bonus_lots_of(USER).await?.iter().map(|lot| lot.remaining_milli).sum();
    assert_eq!(lots, world.state.wallet(USER, world.at).bonus_milli);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn balances_as_of_any_revision_and_time_are_those_of_a_replay(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;
    let accounts = [
        (Account::UserPurchased(USER), Asset::COIN),
        (Account::HostEarnings(HOST), Asset::COIN),
        (Account::ClearingCharges, Asset::COIN),
        (Account::ExchangeCoins, Asset::INR),
    ];
    let mut state = State::new();
    let (mut boundary, mut before) = (state.clone(), None);
    for event in world.store.read(0, usize::MAX).await? {
        let recorded = decoded(&mut before, &event)?;
        evolve(&mut state, &recorded);
        if recorded.metadata.closes_unit() {
            boundary = state.clone();
        }
        for (account, asset) in accounts {
            let answer = models.balance_as_of(account, asset, AsOf::Revision(event.revision)).await?;
            let expected = account.natural_balance(boundary.balance(account, asset));
            assert_eq!(answer.balance_minor, expected, "{account} at {}", event.revision);
            assert_eq!(answer.as_of_revision, boundary.revision().and_then(|it| i64::try_from(it).ok()));
        }
    }
    // A moment after the last event of the first second, and one before everything.
    let first = models.event(0).await?.expect("the journal has a first event").recorded_at;
    let account = Account::UserPurchased(USER);
    let before = AsOf::Time(first - chrono::TimeDelta::milliseconds(1));
    let answer = models.balance_as_of(account, Asset::COIN, before).await?;
    assert_eq!((answer.balance_minor, answer.as_of_revision), (0, None));
    let after = models.balance_as_of(account, Asset::COIN, AsOf::Time(world.at.to_utc())).await?;
    assert_eq!(after.balance_minor, world.state.wallet(USER, world.at).purchased_milli);
    let end_of_day: DateTime<Utc> = first.date_naive().and_hms_opt(23, 59, 59).expect("a time").and_utc();
    let at = models.balance_as_of(Account::PlatformRevenue, Asset::COIN, AsOf::Time(end_of_day)).await?;
    assert!(at.recorded_at.is_some_and(|moment| moment <= end_of_day));
    assert!(at.balance_minor > 0, "the first increment was charged before midnight");
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn pages_neither_skip_nor_repeat_while_the_journal_grows(pool: PgPool) -> anyhow::Result<()> {
    let mut world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;
    let projector = Projector::new(pool.clone(), world.journal());
    for of in [StatementOf::Person(USER), StatementOf::Account(Account::ClearingCharges, Asset::COIN)] {
        let whole = models.statement(of, &EVERY, None, PAGE_LIMIT).await?;
        assert!(whole.items.len() > 20 && whole.next.is_none());
        for limit in [1, 2, 3, 7] {
            let mut collected = Vec::new();
            let mut cursor: Option<String> = None;
            loop {
                let page = models.statement(of, &EVERY, cursor.as_deref(), limit).await?;
                assert!(page.items.len() <= limit as usize);
                collected.extend(page.items);
                let Some(next) = page.next else { break };
                cursor = Some(next);
                if collected.len() < 4 {
                    // What comes later is not on these pages.
                    world.gift(ROSE, 2_000, None).await;
                    projector.project_to_end(|_, _| ()).await?;
                }
            }
            let seen: Vec<_> = collected.iter().filter(|line| whole.items.contains(line)).collect();
            assert_eq!(seen.len(), whole.items.len(), "nothing is skipped with pages of {limit}");
            let mut places: Vec<_> = collected.iter().map(|it| (it.revision, it.posting_index)).collect();
            places.dedup();
            assert_eq!(places.len(), collected.len(), "nothing is repeated with pages of {limit}");
            assert!(places.is_sorted_by(|a, b| a > b), "newest first");
        }
    }
    let broken = models.statement(StatementOf::Person(USER), &EVERY, Some("yesterday"), 5).await;
    assert!(matches!(broken, Err(QueryError::BadCursor)));
    Ok(())
}

/// 110 coins for 99 rupees: each is worth 90 paise.
#[sqlx::test(migrations = false)]
async fn money_is_deferred_until_its_coins_are_spent_and_every_moment_can_be_asked(
    pool: PgPool,
) -> anyhow::Result<()> {
    let mut world = World::new(1).await;
    let told = |news| {
        Command::from(RecordDispute {
            gateway: Gateway::Razorpay,
            dispute_ref: "disp".to_owned(),
            payment_ref: "pay_1".to_owned(),
            amount_minor: 8_910,
            asset: Asset::INR,
            news,
        })
    };
    let refund = Command::from(RecordRefund {
        gateway: Gateway::Razorpay,
        payment_ref: "pay_1".to_owned(),
        refund_ref: "rfnd_1".to_owned(),
        amount_minor: 990,
        asset: Asset::INR,
    });
    let mut moments = Vec::new();
    world.open_for_business().await;
    moments.push(("bought", world.last(), [9_900, 0, 9_900, 0]));
    world.gift(ROSE, 2_000, None).await;
    moments.push(("a bonus is spent", world.last(), [9_900, 0, 9_720, 180]));
    world.gift(CAR, 40_000, None).await;
    moments.push(("bought coins are spent", world.last(), [9_900, 0, 6_120, 3_780]));
    world.give(refund).await;
    moments.push(("a tenth is refunded", world.last(), [9_900, 990, 5_130, 3_780]));
    world.give(told(DisputeNews::Opened)).await;
    moments.push(("what is frozen is unspent", world.last(), [9_900, 990, 5_130, 3_780]));
    world.give(told(DisputeNews::Lost { taken_minor: 8_910, fee_minor: 500 })).await;
    moments.push(("all is charged back", world.last(), [9_900, 9_900, 0, 0]));
    world.give(told(DisputeNews::Won)).await;
    moments.push(("and comes again", world.last(), [9_900, 990, 5_130, 3_780]));
    let models = models(&pool, &world).await?;
    for (what, revision, [received, returned, deferred, recognised]) in moments {
        let report = models.deferred_revenue(AsOf::Revision(revision)).await?;
        assert_eq!(report.as_of_revision, i64::try_from(revision).ok(), "{what}");
        let [rupees] = &report.items[..] else { panic!("{what}: {report:?}") };
        let figures = [
            rupees.received_minor,
            rupees.returned_minor,
            rupees.deferred_minor,
            rupees.recognised_minor,
            rupees.difference_minor,
        ];
        assert_eq!(figures, [received, returned, deferred, recognised, 0], "{what}");
        let sum: i64 = rupees.lines.iter().map(|line| line.balance_minor).sum();
        assert_eq!(sum, 0, "{what}: {:?}", rupees.lines);
    }
    let none = models.deferred_revenue(AsOf::Revision(0)).await?;
    assert!(none.items.is_empty(), "nothing was bought yet: {none:?}");
    let page = models.purchased_lots_of(USER, None, 10).await?;
    let [lot] = &page.items[..] else { panic!("{page:?}") };
    assert_eq!((lot.remaining_milli, lot.bonus_remaining_milli, lot.frozen_milli), (57_000, 0, 0));
    Ok(())
}

fn decoded(before: &mut Option<Before>, event: &RecordedEvent) -> anyhow::Result<Recorded> {
    let RecordedEvent { revision, id, kind, data, metadata } = event;
    Ok(Recorded::decode(before, *revision, *id, kind, data, metadata)?)
}

/// Revision, posting, amount and balance after it of each movement of clearing, newest first, by the journal alone.
async fn clearing_by_the_journal(world: &World) -> anyhow::Result<Vec<(i64, i32, i64, i64)>> {
    let (mut lines, mut balance, mut before) = (Vec::new(), 0, None);
    for event in world.store.read(0, usize::MAX).await? {
        let recorded = decoded(&mut before, &event)?;
        for (posting, index) in recorded.event.postings().iter().zip(0..) {
            if posting.account == Account::ClearingCharges {
                balance += posting.amount;
                lines.push((i64::try_from(event.revision)?, index, posting.amount, balance));
            }
        }
    }
    lines.reverse();
    Ok(lines)
}

#[sqlx::test(migrations = false)]
async fn the_statement_of_clearing_has_every_movement_though_no_table_has(
    pool: PgPool,
) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;
    let of = StatementOf::Account(Account::ClearingCharges, Asset::COIN);
    let expected = clearing_by_the_journal(&world).await?;
    assert!(expected.len() > 20);
    for limit in [1, 3, PAGE_LIMIT] {
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = models.statement(of, &EVERY, cursor.as_deref(), limit).await?;
            let figures =
                |it: &StatementLine| (it.revision, it.posting_index, it.amount_minor, it.balance_after_minor);
            found.extend(page.items.iter().map(figures));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "in pages of {limit}");
    }
    let other =
        models.statement(StatementOf::Account(Account::ClearingCharges, Asset::INR), &EVERY, None, 5).await?;
    assert_eq!(other.items, []);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_statement_names_the_people_on_the_other_side(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;
    let user = models.statement(StatementOf::Person(USER), &EVERY, None, PAGE_LIMIT).await?.items;
    let tick = user.iter().rfind(|line| line.kind == "CallTicked").expect("a tick of the first call");
    assert_eq!(tick.movement, "call");
    assert_eq!(tick.description, "Video call, increment 1");
    assert_eq!(tick.counterparty_person, Some(HOST.0));
    assert_eq!(tick.amount_minor, -1_000);
    let bought = user.iter().rfind(|line| line.movement == "purchase").expect("a purchase");
    assert_eq!((bought.amount_minor, bought.balance_after_minor), (100_000, 100_000));

    let host = models.statement(StatementOf::Person(HOST), &EVERY, None, PAGE_LIMIT).await?.items;
    let earned = host.iter().rfind(|line| line.movement == "call").expect("an earning");
    assert_eq!(earned.counterparty_person, Some(USER.0));
    assert_eq!(earned.description, "Earned: Video call");
    assert!(earned.amount_minor > 0);
    let statuses: Vec<_> =
        host.iter().filter(|it| it.movement == "withdrawal").map(|it| it.status.as_str()).collect();
    assert_eq!(
        statuses,
        [
            "requested",
            "requested",
            "failed",
            "requested",
            "cancelled",
            "requested",
            "rejected",
            "requested",
            "reversed",
            "requested"
        ]
    );
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn the_trial_balance_balances(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;
    let balance = models.trial_balance().await?;
    assert_eq!(balance.as_of_revision, i64::try_from(world.last()).ok());
    assert_eq!(balance.sums.iter().map(|sum| sum.asset.as_str()).collect::<Vec<_>>(), ["COIN/3", "INR/2"]);
    for sum in &balance.sums {
        assert_eq!(sum.debit_minor, sum.credit_minor);
        let ledger: i64 = world
            .state
            .balances()
            .iter()
            .map(|(_, asset, it)| match it {
                debit @ 1.. if asset.to_string() == sum.asset => *debit,
                _ => 0,
            })
            .sum();
        assert_eq!(sum.debit_minor, ledger, "all accounts of the ledger are in it");
        let lines = balance.lines.iter().filter(|line| line.asset == sum.asset);
        assert_eq!(lines.map(|line| line.debit_minor).sum::<i64>(), sum.debit_minor);
    }
    let earned = balance.lines.iter().find(|line| line.account == "host:*:earnings").expect("a class");
    let both: i64 = [HOST, OTHER_HOST].map(|it| world.state.wallet(it, world.at).earnings_milli).iter().sum();
    assert_eq!((earned.debit_minor, earned.credit_minor), (0, both));
    Ok(())
}

/// All accounts, in pages of five.
async fn all_accounts(models: &ReadModels) -> anyhow::Result<Vec<TrialBalanceLine>> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = models.accounts(&beginning(""), cursor.as_deref(), 5).await?;
        all.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

#[sqlx::test(migrations = false)]
async fn accounts_are_listed_by_prefix_in_pages(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;
    let all = all_accounts(&models).await?;
    assert_eq!(all.len(), world.state.balances().len());
    assert!(all.is_sorted_by(|a, b| (&a.account, &a.asset) < (&b.account, &b.asset)));
    for prefix in
        ["", "platform:", "host:", "suspense:", "exchange:coins", "u", "USER", "%", "_ser", "\u{0}", "é"]
    {
        let wanted: Vec<_> = all.iter().filter(|line| line.account.starts_with(prefix)).cloned().collect();
        for limit in [1, 3, PAGE_LIMIT] {
            let (mut found, mut cursor) = (Vec::new(), None);
            loop {
                let page = models.accounts(&beginning(prefix), cursor.as_deref(), limit).await?;
                assert!(page.items.len() <= limit as usize);
                found.extend(page.items);
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(found, wanted, "{prefix:?} in pages of {limit}");
        }
    }
    let of = |list: &str, account: &str, asset: &str| Cursor::write(list, &(account, asset));
    for cursor in [
        "".to_owned(),
        "platform:revenue".to_owned(),
        "1-0".to_owned(),
        Cursor::write("accounts", &1),
        of("statement", "platform:revenue", "COIN/3"),
        of("accounts", "platform:tea", "COIN/3"),
        of("accounts", "platform:revenue", "COIN"),
        of("accounts", "\u{0}", "COIN/3"),
    ] {
        let broken = models.accounts(&beginning(""), Some(&cursor), 5).await;
        assert!(matches!(broken, Err(QueryError::BadCursor)), "{cursor:?}");
    }
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn histories_of_calls_gifts_purchases_and_withdrawals(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;
    let calls = calls_newest_first(&pool, &models).await?;
    let states: Vec<_> = calls.iter().map(|it| (it.status.as_str(), it.end_reason.as_deref())).collect();
    assert_eq!(states, [("running", None), ("ended", Some("lost")), ("ended", Some("hung_up"))]);
    assert_eq!((calls[2].ticks, calls[2].charged_total_milli), (5, 5_000));
    assert_eq!(models.call(calls[2].call.into()).await?.as_ref(), Some(&calls[2]));
    let mut some = models.calls(&[calls[2].call.into(), CallId(Uuid::nil()), calls[0].call.into()]).await?;
    some.sort_by_key(|row| std::cmp::Reverse(row.started_revision));
    assert_eq!(some, [calls[0].clone(), calls[2].clone()], "and none for a call that is not there");
    assert_eq!(models.calls(&[]).await?, []);

    let gifts = models.gifts_received(HOST, None, 10).await?.items;
    assert_eq!(gifts.len(), 3);
    assert_eq!(gifts[2].call, Some(calls[2].call));
    for gift in &gifts {
        let shares = [gift.host_milli, gift.agency_milli, gift.platform_milli];
        assert!(shares.iter().all(|share| *share > 0), "a gift is told with its split: {gift:?}");
        assert_eq!(shares.iter().sum::<i64>(), gift.price_milli);
    }
    assert_eq!(models.gifts_received(USER, None, 10).await?.items, [], "the sender received none");
    let totals = models.gift_totals(HOST).await?;
    assert_eq!((totals.gift_count, totals.value_milli), (3, 44_000));

    let mut statuses = Vec::new();
    let mut cursor = None;
    loop {
        let page = models.purchases_of(USER, cursor.as_deref(), 2).await?;
        statuses.extend(page.items.into_iter().map(|it| it.status));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    #[rustfmt::skip]
    assert_eq!(statuses, [
        "refunded", "captured", "expired", "expired", "partly_refunded", "opened", "failed", "captured", "refunded",
    ]);

    let all = models.withdrawals(&WithdrawalFilter::default(), None, 10).await?.items;
    let statuses: Vec<_> = all.iter().map(|it| it.status.as_str()).collect();
    assert_eq!(
        statuses,
        [
            "requested",
            "rejected",
            "requested",
            "paid",
            "failed",
            "requested",
            "cancelled",
            "rejected",
            "reversed"
        ]
    );
    let filter = WithdrawalFilter {
        status: Some("paid".into()),
        payee: Some(Payee::Host { person: HOST }),
        ..WithdrawalFilter::default()
    };
    let paid = models.withdrawals(&filter, None, 10).await?.items;
    assert_eq!(paid.len(), 1);
    let refs = (paid[0].payout_key.as_deref(), paid[0].payout_ref.as_deref(), paid[0].reason.as_deref());
    assert_eq!(refs, (Some("key_2"), Some("utr_2"), Some("timeout")));
    assert!(paid[0].sent_at.is_some() && paid[0].unknown_at.is_some() && paid[0].paid_at.is_some());
    // Three coins at 0.95 rupees, less 1 %: 2.85 is withheld as 2, rounded down.
    let money =
        (&*paid[0].rate, paid[0].tax_bps, paid[0].gross_minor, paid[0].tax_minor, paid[0].payout_minor);
    assert_eq!(money, ("0.95", 100, 285, 2, 283));
    let rates = models.payout_rates(ledger_core::Period::default(), None, 10).await?.items;
    let rates: Vec<_> = rates.iter().map(|it| (&*it.asset, &*it.rate)).collect();
    assert_eq!(rates, [("INR/2", "0.95")]);
    let taxes = models.tax_rates(ledger_core::Period::default(), None, 10).await?.items;
    assert_eq!(taxes.iter().map(|it| it.tax_bps).collect::<Vec<_>>(), [100]);
    let payee = Some(Payee::Agency { agency: AGENCY, owner: USER });
    let of_agency =
        models.withdrawals(&WithdrawalFilter { payee, ..WithdrawalFilter::default() }, None, 10).await?.items;
    let of_agency: Vec<_> = of_agency.iter().map(|it| (it.agency, it.person, it.coins_milli)).collect();
    assert_eq!(of_agency, [(Some(AGENCY.0), USER.0, 1_000)]);
    let payee = Some(Payee::Host { person: USER });
    let own =
        models.withdrawals(&WithdrawalFilter { payee, ..WithdrawalFilter::default() }, None, 10).await?.items;
    assert_eq!(own, [], "the owner's own are others");

    let cases = models.suspense_cases(&SuspenseFilter::default(), None, 10).await?.items;
    let cases: Vec<_> = cases.iter().map(|it| (it.case.cause.as_str(), it.resolution.as_deref())).collect();
    #[rustfmt::skip]
    assert_eq!(cases, [
        ("refund_before_capture", Some("settled")),
        ("refund_before_capture", Some("income")),
        ("refund_uncovered", None),
        ("unknown_order", None),
        ("second_payment", None),
    ]);
    assert_eq!(
        models
            .suspense_cases(&SuspenseFilter { open: true, ..SuspenseFilter::default() }, None, 10)
            .await?
            .items
            .len(),
        3,
        "open ones"
    );
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn commission_revenue_and_catalogue(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;
    let filter = CommissionFilter { host: Some(HOST), ..CommissionFilter::default() };
    let log = models.commission_log(filter, None, PAGE_LIMIT).await?.items;
    let first = log.last().expect("a split");
    assert_eq!((first.commission_scope.as_str(), first.host_bps, first.agency_bps), ("host", 7_001, 503));
    assert_eq!((first.gross_milli, first.host_milli), (1_000, 700));

    let days = (date(2026, 1, 1), date(2027, 1, 1));
    let revenue = models.revenue_by_day(days.0, days.1).await?;
    let dates: std::collections::BTreeSet<_> = revenue.iter().map(|row| row.day).collect();
    assert_eq!(dates.len(), 2, "the call went on over midnight");
    // Subscriptions are the platform's alone: nothing of them is split. Services are those of another host.
    let split = revenue.iter().filter(|row| !["subscription", "service"].contains(&row.source.as_str()));
    let gross: i64 = split.map(|row| row.gross_milli).sum();
    assert_eq!(gross, log.iter().map(|row| row.gross_milli).sum::<i64>());
    assert_eq!(models.revenue_by_day(date(2020, 1, 1), date(2020, 2, 1)).await?, []);

    let page = models.commission_rates(RateFilter::default(), None, 2).await?;
    let mut rates = page.items;
    rates.extend(models.commission_rates(RateFilter::default(), page.next.as_deref(), 2).await?.items);
    assert_eq!(rates.iter().map(|it| it.scope.as_str()).collect::<Vec<_>>(), ["host", "host", "global"]);
    assert_eq!(rates[0].host_bps, None, "cleared");

    assert_eq!(models.coin_plans().await?.len(), 1);
    assert_eq!(models.gift_prices().await?.len(), 1, "the car was withdrawn from the catalogue");
    let offered = models.host_rates(&[HOST, OTHER_HOST]).await?;
    let offered: Vec<_> = offered.iter().map(|it| (it.medium.as_str(), it.price_milli_per_minute)).collect();
    assert_eq!(offered, [("chat", Some(1_000)), ("video", Some(6_000))]);
    assert_eq!(world.state.host_rate(HOST, Medium::Voice), None);
    let members: Vec<(Uuid, Uuid)> =
        sqlx::query_as("SELECT host, agency FROM read.agency_members WHERE left_at IS NULL")
            .fetch_all(&pool)
            .await?;
    assert_eq!(members, [(HOST.0, OTHER_AGENCY.0)], "the host has left the first agency");
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn the_items_of_a_settlement_come_to_its_totals_and_its_payouts_are_told(
    pool: PgPool,
) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;
    let page = models.settlements(SettlementFilter::default(), None, PAGE_LIMIT).await?;
    assert_eq!(page.items.len(), 6, "four that were closed, and two corrections");
    for it in &page.items {
        let row = &it.row;
        let of = row.host.map_or_else(
            || Earner::Agency(AgencyId(row.agency.expect("a host or an agency"))),
            |host| Earner::Host(PersonId(host)),
        );
        // Page by page.
        let (mut items, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let range = (row.first_revision, row.end_revision);
            let page = models.settlement_items(of, range, cursor.as_deref(), 2).await?;
            items.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert!(items.is_sorted_by_key(|item| item.revision), "the first first");
        assert_eq!(i64::try_from(items.len()).ok(), Some(row.items), "{}", row.settlement);
        let sum = |amount: fn(&SettlementItem) -> i64| items.iter().map(amount).sum::<i64>();
        let corrections = models.settlement_corrections(SettlementId(row.settlement)).await?;
        assert_eq!(i64::try_from(corrections.len()).ok(), Some(row.version - 1));
        let corrected: i64 = corrections.iter().map(|item| item.net_milli).sum();
        assert_eq!(
            (sum(|it| it.gross_milli), sum(|it| it.platform_milli), sum(|it| it.others_milli)),
            (row.gross_milli, row.platform_milli, row.others_milli)
        );
        assert_eq!(sum(|it| it.net_milli) + corrected, row.net_milli, "{}", row.settlement);
        assert_eq!(models.settlement(SettlementId(row.settlement)).await?.as_ref(), Some(it));
    }
    let of = Some(Earner::Host(OTHER_HOST));
    let own =
        models.settlements(SettlementFilter { of, ..SettlementFilter::default() }, None, PAGE_LIMIT).await?;
    let told: Vec<_> = own.items.iter().map(|it| (it.row.version, it.row.net_milli, it.held_milli)).collect();
    // The payment that was rejected holds nothing, the one after it what it is for.
    assert_eq!(told[0].1, told[0].2);
    assert_eq!(own.items.iter().map(|it| it.row.version).collect::<Vec<_>>(), [1, 3, 2, 1]);
    assert!(own.items[1..].iter().all(|it| it.held_milli == 0 && it.paid_milli == 0));
    Ok(())
}

fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).expect("a date")
}

#[sqlx::test(migrations = false)]
async fn events_are_filtered_for_the_audit(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;
    let call = calls_newest_first(&pool, &models).await?.pop().expect("the first call");
    let filter = EventFilter { correlation: Some(call.call), ..EventFilter::default() };
    let of_call = models.events(&filter, None, PAGE_LIMIT).await?.items;
    assert_eq!(of_call.first().map(|it| it.kind.as_str()), Some("CallStarted"));
    assert_eq!(of_call.last().map(|it| it.kind.as_str()), Some("CallEnded"));

    let filter = EventFilter {
        kind: Some("GiftSent".into()),
        person: Some(HOST),
        from_revision: u64::try_from(call.revision).ok(),
        ..EventFilter::default()
    };
    let page = models.events(&filter, None, 1).await?;
    let rest = models.events(&filter, page.next.as_deref(), 10).await?;
    assert_eq!((page.items.len(), rest.items.len()), (1, 1), "two gifts after the call");
    assert!(rest.items[0].revision > page.items[0].revision);
    assert_eq!(page.items[0].data["price_milli"], 40_000);
    let one = models.event(u64::try_from(page.items[0].revision)?).await?;
    assert_eq!(one.as_ref(), Some(&page.items[0]));
    assert_eq!(models.event(u64::MAX).await?, None);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_query_waits_for_its_revision_and_no_longer_than_it_may(pool: PgPool) -> anyhow::Result<()> {
    let mut world = World::new(1).await;
    let models = models(&pool, &world).await?;
    // Where the read models are is known from here on; a first look may take longer than the patience below.
    models.wait_for(world.last(), Duration::from_secs(20)).await?;
    let behind = models.wait_for(world.last() + 1, Duration::from_millis(50)).await;
    assert!(
        matches!(behind, Err(QueryError::Behind(Behind { wanted: 1, projected: Some(0) }))),
        "{behind:?}"
    );
    // By polling, as when the projector runs in another process.
    world.open_for_business().await;
    let projector = Projector::new(pool.clone(), world.journal());
    let waiting = models.wait_for(world.last(), Duration::from_secs(20));
    let (waited, projected) = tokio::join!(waiting, projector.project_to_end(|_, _| ()));
    waited?;
    assert_eq!(projected?, Some(world.last()));
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_revision_beyond_the_journal_is_refused_at_once(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let projector = Projector::new(pool.clone(), world.journal());
    let models = ReadModels::open(pool.clone(), world.journal()).await?.following(&projector);
    for wanted in [world.last() + 1, u64::MAX] {
        // Nobody projects, so whoever waits at all waits for ever.
        let refused = models.wait_for(wanted, Duration::MAX).await;
        let head = Some(world.last());
        assert!(
            matches!(refused, Err(QueryError::BeyondJournal { wanted: it, head: at }) if it == wanted && at == head),
            "{refused:?}"
        );
    }
    let behind = models.wait_for(world.last(), Duration::from_millis(50)).await;
    assert!(matches!(behind, Err(QueryError::Behind(_))), "{behind:?}");
    projector.project_to_end(|_, _| ()).await?;
    models.wait_for(world.last(), Duration::ZERO).await?;
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_hundred_who_wait_beside_a_projector_ask_the_database_nothing(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let projector = Projector::new(pool.clone(), world.journal());
    let models = ReadModels::open(pool.clone(), world.journal()).await?.following(&projector);
    // Without a connection left, a query would wait until the test fails.
    let mut held = Vec::new();
    while let Some(connection) = pool.try_acquire() {
        held.push(connection);
    }
    while held.len() < pool.options().get_max_connections() as usize {
        held.push(pool.acquire().await?);
    }
    let waiters: Vec<_> = (0..100)
        .map(|_| {
            let (models, last) = (models.clone(), world.last());
            tokio::spawn(async move { models.wait_for(last, Duration::from_secs(20)).await })
        })
        .collect();
    // All of them wait before the projector begins.
    let early = models.wait_for(world.last(), Duration::from_millis(50)).await;
    assert!(matches!(early, Err(QueryError::Behind(_))), "{early:?}");
    let connection = held.pop();
    drop(connection);
    projector.project_to_end(|_, _| ()).await?;
    for waiter in waiters {
        waiter.await??;
    }
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_hundred_who_wait_for_another_process_ask_once_for_all(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let models = ReadModels::open(pool.clone(), world.journal()).await?;
    // One connection serves all who wait, and the projector.
    let waiters: Vec<_> = (0..100)
        .map(|_| {
            let (models, last) = (models.clone(), world.last());
            tokio::spawn(async move { models.wait_for(last, Duration::from_secs(20)).await })
        })
        .collect();
    Projector::new(pool.clone(), world.journal()).project_to_end(|_, _| ()).await?;
    for waiter in waiters {
        waiter.await??;
    }
    Ok(())
}

async fn calls_newest_first(pool: &PgPool, models: &ReadModels) -> anyhow::Result<Vec<CallRow>> {
    let ids: Vec<Uuid> = sqlx::query_scalar("SELECT call FROM read.calls").fetch_all(pool).await?;
    let mut calls = models.calls(&ids.into_iter().map(CallId).collect::<Vec<_>>()).await?;
    calls.sort_by_key(|row| std::cmp::Reverse(row.started_revision));
    Ok(calls)
}

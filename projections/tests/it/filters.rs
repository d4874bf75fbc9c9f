//! Filters of lists: each finds what a look through the whole list finds.

use crate::world::*;
use chrono::{DateTime, TimeDelta, Utc};
use ledger_core::{Account, Amounts, Asset, Period};
use projections::*;
use sqlx::PgPool;
use std::collections::{BTreeMap, BTreeSet};

/// Periods that begin and end at, just before and just after moments of the journal.
async fn periods(pool: &PgPool) -> anyhow::Result<Vec<Period>> {
    let moments: Vec<DateTime<Utc>> =
        sqlx::query_scalar("SELECT DISTINCT recorded_at FROM read.events ORDER BY 1").fetch_all(pool).await?;
    assert!(moments.len() >= 3, "a history of several moments");
    let some = [moments[0], moments[moments.len() / 2], moments[moments.len() - 1]];
    let near = |at: DateTime<Utc>| [-1, 0, 1].map(|ms| Some(at + TimeDelta::milliseconds(ms)));
    let ends: Vec<_> = std::iter::once(None).chain(some.into_iter().flat_map(near)).collect();
    Ok(ends.iter().flat_map(|from| ends.iter().map(|to| Period { from: *from, to: *to })).collect())
}

fn lies_in(at: DateTime<Utc>, period: Period) -> bool {
    period.from.is_none_or(|from| at >= from) && period.to.is_none_or(|to| at < to)
}

/// All pages of a list, read in small ones.
macro_rules! all {
    (|$cursor:ident| $page:expr) => {{
        let mut items = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let $cursor = next.as_deref();
            let page = $page.await?;
            items.extend(page.items);
            next = page.next;
            if next.is_none() {
                break items;
            }
        }
    }};
}

#[sqlx::test(migrations = false)]
async fn lists_of_a_period_have_what_was_recorded_in_it(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let models = &models(&pool, &world).await?;
    let mut found = 0;
    for period in periods(&pool).await? {
        macro_rules! same {
            ($at:ident, |$filtered:ident, $cursor:ident| $page:expr) => {{
                let whole = {
                    let $filtered = Period::default();
                    all!(|$cursor| $page)
                };
                let some = {
                    let $filtered = period;
                    all!(|$cursor| $page)
                };
                found += some.len();
                let expected: Vec<_> = whole.into_iter().filter(|row| lies_in(row.$at, period)).collect();
                assert_eq!(some, expected, "{period:?}");
            }};
        }
        same!(recorded_at, |period, cursor| {
            let filter = EventFilter { period, ..EventFilter::default() };
            async move { models.events(&filter, cursor, 50).await }
        });
        same!(recorded_at, |period, cursor| {
            let filter = EventFilter { period, person: Some(USER), ..EventFilter::default() };
            async move { models.events(&filter, cursor, 50).await }
        });
        same!(recorded_at, |period, cursor| {
            models.commission_log(CommissionFilter { period, ..CommissionFilter::default() }, cursor, 3)
        });
        same!(recorded_at, |period, cursor| {
            models.commission_rates(RateFilter { period, ..RateFilter::default() }, cursor, 2)
        });
        same!(requested_at, |period, cursor| {
            let filter = WithdrawalFilter { period, ..WithdrawalFilter::default() };
            async move { models.withdrawals(&filter, cursor, 2).await }
        });
        for account in [Account::UserPurchased(USER), Account::ClearingCharges, Account::PlatformRevenue] {
            same!(recorded_at, |period, cursor| {
                let filter = StatementFilter { period, ..StatementFilter::default() };
                let of = StatementOf::Account(account, Asset::COIN);
                async move { models.statement(of, &filter, cursor, 4).await }
            });
        }
    }
    assert!(found > 1_000, "{found} rows were found");
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn movements_are_found_by_type_person_and_amount(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;
    let any = StatementFilter::default;
    for of in [StatementOf::Person(USER), StatementOf::Account(Account::PlatformRevenue, Asset::COIN)] {
        let whole = models.statement(of, &any(), None, PAGE_LIMIT).await?.items;
        let movements: BTreeSet<&str> = whole.iter().map(|line| line.movement.as_str()).collect();
        let kinds: BTreeSet<&str> = whole.iter().map(|line| line.kind.as_str()).collect();
        let amounts: BTreeSet<i64> = whole.iter().map(|line| line.amount_minor).collect();
        assert!(kinds.len() > 1 && amounts.len() > 2, "{kinds:?} {amounts:?}");
        let mut filters: Vec<StatementFilter> = Vec::new();
        filters.extend(movements.iter().map(|it| StatementFilter { movement: Some((*it).into()), ..any() }));
        filters.extend(kinds.iter().map(|it| StatementFilter { kind: Some((*it).into()), ..any() }));
        filters
            .extend([USER, HOST, OTHER_HOST].map(|it| StatementFilter { counterparty: Some(it), ..any() }));
        for amount in amounts {
            let (min, max) = (Some(amount), Some(amount));
            filters.extend(
                [(min, None), (None, max), (min, max)]
                    .map(|(min, max)| StatementFilter { amount_minor: Amounts { min, max }, ..any() }),
            );
        }
        for filter in filters {
            let fits = |line: &StatementLine| {
                filter.movement.as_ref().is_none_or(|it| *it == line.movement)
                    && filter.kind.as_ref().is_none_or(|it| *it == line.kind)
                    && filter.counterparty.is_none_or(|it| line.counterparty_person == Some(it.0))
                    && filter.amount_minor.min.is_none_or(|min| line.amount_minor >= min)
                    && filter.amount_minor.max.is_none_or(|max| line.amount_minor <= max)
            };
            let expected: Vec<_> = whole.iter().filter(|line| fits(line)).cloned().collect();
            assert_eq!(all!(|cursor| models.statement(of, &filter, cursor, 2)), expected, "{filter:?}");
        }
    }
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn splits_are_found_by_source_person_and_amount(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;
    let any = CommissionFilter::default;
    let whole = models.commission_log(any(), None, PAGE_LIMIT).await?.items;
    for (source, word) in [(SplitFrom::Call, "call"), (SplitFrom::Gift, "gift"), (SplitFrom::Order, "order")]
    {
        let expected: Vec<_> = whole.iter().filter(|row| row.source == word).cloned().collect();
        assert!(!expected.is_empty(), "{word}");
        let filter = CommissionFilter { source: Some(source), ..any() };
        assert_eq!(all!(|cursor| models.commission_log(filter, cursor, 2)), expected, "{word}");
    }
    for person in [USER, HOST, OTHER_HOST, ORDERER] {
        let of = |row: &&SplitRow| row.payer == person.0 || row.host == person.0;
        let expected: Vec<_> = whole.iter().filter(of).cloned().collect();
        let filter = CommissionFilter { person: Some(person), ..any() };
        assert_eq!(all!(|cursor| models.commission_log(filter, cursor, 2)), expected, "{person:?}");
    }
    let grosses: BTreeSet<i64> = whole.iter().map(|row| row.gross_milli).collect();
    assert!(grosses.iter().any(|gross| *gross < 0) && grosses.len() > 2, "{grosses:?}");
    for gross in grosses {
        let (min, max) = (Some(gross), Some(gross));
        for gross_milli in [Amounts { min, max: None }, Amounts { min: None, max }, Amounts { min, max }] {
            let fits = |row: &&SplitRow| {
                gross_milli.min.is_none_or(|min| row.gross_milli >= min)
                    && gross_milli.max.is_none_or(|max| row.gross_milli <= max)
            };
            let expected: Vec<_> = whole.iter().filter(fits).cloned().collect();
            let filter = CommissionFilter { gross_milli, ..any() };
            assert_eq!(all!(|cursor| models.commission_log(filter, cursor, 2)), expected);
        }
    }
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn cases_withdrawals_rates_and_accounts_are_found_by_what_they_say(pool: PgPool) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;

    let cases = models.suspense_cases(&SuspenseFilter::default(), None, PAGE_LIMIT).await?.items;
    assert!(cases.len() > 2);
    for case in &cases {
        let it = &case.case;
        let amount = Amounts { min: Some(it.amount_minor), max: Some(it.amount_minor) };
        let filter = SuspenseFilter {
            cause: Some(it.cause.clone()),
            direction: Some(it.direction.clone()),
            purchase: it.purchase.map(ledger_core::PurchaseId),
            amount_minor: amount,
            ..SuspenseFilter::default()
        };
        let found = models.suspense_cases(&filter, None, PAGE_LIMIT).await?.items;
        assert!(found.contains(case) && found.iter().all(|other| other.case.cause == it.cause));
        let more = Amounts { min: Some(it.amount_minor + 1), max: None };
        let filter = SuspenseFilter { amount_minor: more, ..SuspenseFilter::default() };
        assert!(!models.suspense_cases(&filter, None, PAGE_LIMIT).await?.items.contains(case));
    }
    let filter = SuspenseFilter { person: Some(USER), ..SuspenseFilter::default() };
    let of_user = models.suspense_cases(&filter, None, PAGE_LIMIT).await?.items;
    assert!(!of_user.is_empty() && of_user.iter().all(|it| it.case.purchase.is_some()));
    let filter = SuspenseFilter { person: Some(HOST), ..SuspenseFilter::default() };
    assert_eq!(models.suspense_cases(&filter, None, PAGE_LIMIT).await?.items, []);

    let all = models.withdrawals(&WithdrawalFilter::default(), None, PAGE_LIMIT).await?.items;
    for (filter, fits) in [
        (
            WithdrawalFilter { person: Some(HOST), ..WithdrawalFilter::default() },
            Box::new(|row: &WithdrawalRow| row.person == HOST.0) as Box<dyn Fn(&WithdrawalRow) -> bool>,
        ),
        (
            WithdrawalFilter { agency: Some(AGENCY), ..WithdrawalFilter::default() },
            Box::new(|row| row.agency == Some(AGENCY.0)),
        ),
        (
            WithdrawalFilter {
                coins_milli: Amounts { min: Some(all[0].coins_milli), max: Some(all[0].coins_milli) },
                ..WithdrawalFilter::default()
            },
            Box::new(|row| row.coins_milli == all[0].coins_milli),
        ),
    ] {
        let expected: Vec<_> = all.iter().filter(|row| fits(row)).cloned().collect();
        assert!(!expected.is_empty(), "{filter:?}");
        assert_eq!(models.withdrawals(&filter, None, PAGE_LIMIT).await?.items, expected, "{filter:?}");
    }

    let all = models.commission_rates(RateFilter::default(), None, PAGE_LIMIT).await?.items;
    for scope in ["global", "agency", "host"] {
        let expected: Vec<_> = all.iter().filter(|row| row.scope == scope).cloned().collect();
        let filter = RateFilter { scope: Some(scope), ..RateFilter::default() };
        assert_eq!(models.commission_rates(filter, None, PAGE_LIMIT).await?.items, expected, "{scope}");
        for row in &expected {
            let filter = RateFilter { scope_id: row.scope_id, scope: Some(scope), ..RateFilter::default() };
            assert!(models.commission_rates(filter, None, PAGE_LIMIT).await?.items.contains(row));
        }
    }

    let all = models.accounts(&AccountFilter::default(), None, PAGE_LIMIT).await?.items;
    let filter = AccountFilter { person: Some(USER), ..AccountFilter::default() };
    let of_user = models.accounts(&filter, None, PAGE_LIMIT).await?.items;
    let named: Vec<_> = all.iter().filter(|row| row.account.contains(&USER.to_string())).cloned().collect();
    assert_eq!(of_user, named);
    assert!(!named.is_empty());
    let filter = AccountFilter { asset: Some(Asset::INR), ..AccountFilter::default() };
    let in_rupees = models.accounts(&filter, None, PAGE_LIMIT).await?.items;
    assert!(!in_rupees.is_empty() && in_rupees.iter().all(|row| row.asset == "INR/2"));
    let size = |row: &TrialBalanceLine| row.debit_minor + row.credit_minor;
    let most = all.iter().map(size).max().expect("accounts");
    let filter =
        AccountFilter { amount_minor: Amounts { min: Some(most), max: None }, ..AccountFilter::default() };
    assert!(models.accounts(&filter, None, PAGE_LIMIT).await?.items.iter().all(|row| size(row) == most));
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn the_trial_balance_of_any_moment_is_made_of_the_balances_of_that_moment(
    pool: PgPool,
) -> anyhow::Result<()> {
    let world = World::with_every_event(1).await;
    let models = models(&pool, &world).await?;
    assert_eq!(models.trial_balance_as_of(AsOf::Revision(u64::MAX)).await?, models.trial_balance().await?);

    let accounts: Vec<(String, String)> =
        sqlx::query_as("SELECT account, asset FROM read.balances").fetch_all(&pool).await?;
    let last = world.last();
    for revision in [0, last / 3, last / 2, last - 1] {
        let balance = models.trial_balance_as_of(AsOf::Revision(revision)).await?;
        let mut debits = BTreeMap::<&str, i64>::new();
        let mut credits = BTreeMap::<&str, i64>::new();
        for (name, asset) in &accounts {
            let account: Account = name.parse()?;
            let held = models.balance_as_of(account, asset.parse()?, AsOf::Revision(revision)).await?;
            assert_eq!(held.as_of_revision, balance.as_of_revision);
            let signed = account.natural_balance(held.balance_minor);
            *debits.entry(asset.as_str()).or_default() += signed.max(0);
            *credits.entry(asset.as_str()).or_default() -= signed.min(0);
        }
        for sum in &balance.sums {
            let asset = sum.asset.as_str();
            assert_eq!(
                (sum.debit_minor, sum.credit_minor),
                (debits[asset], credits[asset]),
                "{asset} at {revision}"
            );
            assert_eq!(sum.debit_minor, sum.credit_minor, "{asset} at {revision}");
            let lines = balance.lines.iter().filter(|line| line.asset == sum.asset);
            assert_eq!(lines.map(|line| line.debit_minor).sum::<i64>(), sum.debit_minor);
        }
    }
    let before = AsOf::Time(DateTime::UNIX_EPOCH);
    let nothing = models.trial_balance_as_of(before).await?;
    assert_eq!((nothing.as_of_revision, nothing.lines, nothing.sums), (None, vec![], vec![]));
    Ok(())
}

use super::*;
use crate::bench::journal::fill;
use clap::Parser;
use event_store::{MemoryStore, NewEvent};
use ledger_core::command::{
    EndCall, Ending, JoinAgency, OpenJournal, PostAdjustment, RequestWithdrawal, SendGift, SetCommissionRate,
    SetGiftPrice, SetHostRate, StartCall, TickCall,
};
use ledger_core::event::{CommissionScope, Medium};
use ledger_core::{
    Actor, AgencyId, CallId, Command, Decision, Envelope, GiftId, JournalId, Key, Payee, PersonId, Policy,
    State, decide, evolve,
};
use uuid::Uuid;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: WhatIfOptions,
}

fn options(words: &str) -> Result<WhatIfOptions, String> {
    let words = std::iter::once("what-if").chain(words.split_whitespace());
    Line::try_parse_from(words).map(|line| line.options).map_err(|error| error.to_string())
}

async fn told(store: &dyn EventStore, words: &str) -> anyhow::Result<Report> {
    let options = options(words).map_err(anyhow::Error::msg)?;
    let rules = Rules::of(&options.rules, &options.specific)?;
    let range = options.range(store).await?;
    report(store, &rules, range).await
}

const PAYER: PersonId = PersonId(Uuid::from_u128(1));
const HOST: PersonId = PersonId(Uuid::from_u128(2));
const OTHER: PersonId = PersonId(Uuid::from_u128(3));
const AGENCY: AgencyId = AgencyId(Uuid::from_u128(4));
const GIFT: GiftId = GiftId(Uuid::from_u128(5));
const CALL: CallId = CallId(Uuid::from_u128(6));

/// A journal that is made by the ledger's own rules.
struct Story {
    state: State,
    store: MemoryStore,
    at: Timestamp,
    count: u64,
}

impl Story {
    async fn begin() -> Story {
        let at = Timestamp(1_772_409_600_000);
        let mut story = Story { state: State::new(), store: MemoryStore::new(), at, count: 0 };
        let journal = JournalId(Uuid::from_u128(7));
        story.give(OpenJournal { journal, assets: vec![Asset::COIN, Asset::INR] }).await;
        story.give(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }).await;
        story.rate(CommissionScope::Global, 5_000, 1_000).await;
        let account = Account::UserPurchased(PAYER);
        let reason = "goodwill".to_owned();
        story
            .give(PostAdjustment { account, amount_milli: 1_000_000, reason, note: None, settles: None })
            .await;
        story.give(SetGiftPrice { gift: GIFT, price_milli: Some(10_000) }).await;
        for host in [HOST, OTHER] {
            let price_milli_per_minute = Some(6_001);
            story.give(SetHostRate { host, medium: Medium::Voice, price_milli_per_minute }).await;
        }
        story
    }

    async fn rate(&mut self, scope: CommissionScope, host_bps: u32, agency_bps: u32) {
        self.give(SetCommissionRate { scope, host_bps, agency_bps, effective_from: None }).await;
    }

    async fn gift(&mut self, host: PersonId) {
        let price_seen_milli = 10_000;
        self.give(SendGift { sender: PAYER, host, gift: GIFT, call: None, price_seen_milli }).await;
    }

    async fn start_call(&mut self, host: PersonId) {
        let (call, payer, medium) = (CALL, PAYER, Medium::Voice);
        let price_seen_milli_per_minute = 6_001;
        self.give(StartCall { call, payer, host, medium, price_seen_milli_per_minute }).await;
    }

    async fn tick(&mut self, number: u32) {
        self.at = self.at.plus_seconds(10);
        self.give(TickCall { call: CALL, number, last_seen: Some(self.at) }).await;
    }

    async fn withdraw(&mut self, coins_milli: i64) {
        let payee = Payee::Host { person: HOST };
        self.give(RequestWithdrawal { payee, coins_milli }).await;
    }

    fn head(&self) -> u64 {
        self.state.next_revision() - 1
    }

    async fn give(&mut self, command: impl Into<Command>) {
        self.count += 1;
        self.at = self.at.plus_ms(1);
        let mut counter = [0; 10];
        counter[2..].copy_from_slice(&self.count.to_be_bytes());
        let key = uuid::Builder::from_unix_timestamp_millis(self.at.0.unsigned_abs(), &counter).into_uuid();
        let policy = Policy { earnings_hold_seconds: 0, ..Policy::default() };
        let envelope =
            Envelope { actor: Actor::System, key: Key::Client(key.into()), command: command.into(), policy };
        let unit = match decide(&self.state, self.at, &envelope) {
            Ok(Decision::Append(unit)) => unit,
            other => panic!("{envelope:?} led to {other:?}"),
        };
        let mut index = 0;
        let recorded = unit.record(self.state.next_revision(), || {
            index += 1;
            Uuid::from_u64_pair(self.count, index)
        });
        let head = recorded[0].revision.checked_sub(1);
        let events: Vec<NewEvent> = recorded
            .iter()
            .map(|recorded| NewEvent {
                id: recorded.event_id,
                kind: recorded.event.kind().to_owned(),
                data: recorded.event.encode(),
                metadata: recorded.metadata.encode(),
            })
            .collect();
        self.store.append(head, &events).await.unwrap();
        for event in &recorded {
            evolve(&mut self.state, event);
            self.state.settle(event.revision);
        }
    }
}

fn earned(report: &Report, account: Account) -> (i64, i64) {
    let row = report.earners.iter().find(|row| row.account == account);
    row.map_or((0, 0), |row| (row.earned.recorded_milli, row.earned.alternative_milli))
}

fn sums(report: &Report) {
    let parts = |of: fn(Both) -> i64| -> i64 {
        of(report.platform) + report.earners.iter().map(|row| of(row.earned)).sum::<i64>()
    };
    assert_eq!(parts(|it| it.recorded_milli), report.paid_by_users.recorded_milli);
    assert_eq!(parts(|it| it.alternative_milli), report.paid_by_users.alternative_milli);
}

#[tokio::test]
async fn the_rates_that_were_change_nothing_on_a_busy_history() {
    let store = MemoryStore::new();
    let head = fill(&store, 6_000).await.unwrap() - 1;
    // The rates, prices and the hold of that history.
    let hold_days = Policy::default().earnings_hold_seconds / 86_400;
    let same = format!(
        "--commission-host 60 --commission-agency 10 --gift-price-percent 100 --call-rate-percent 100 --hold-days {hold_days}"
    );
    for range in [String::new(), format!("--from {}", head / 2), format!("--from 3000 --to {}", head / 3 * 2)]
    {
        let report = told(&store, &format!("{same} {range}")).await.unwrap();
        assert!(report.charges > 100, "{range}");
        assert_eq!(report.platform.difference_milli(), 0, "{range}");
        assert_eq!(report.paid_by_users.difference_milli(), 0, "{range}");
        for row in &report.earners {
            assert_eq!(row.earned.difference_milli(), 0, "{}", row.account);
            assert_eq!(row.withdrawable.difference_milli(), 0, "{}", row.account);
        }
        assert_eq!(report.withdrawals_refused.count, 0);
        sums(&report);
    }
    // And others do.
    let report = told(&store, "--commission-host 70 --commission-agency 10").await.unwrap();
    assert!(report.platform.difference_milli() < 0);
    assert_eq!(report.paid_by_users.difference_milli(), 0);
    sums(&report);
}

/// Ten coins: 50 % and 10 % for the host and the agency, or 65 % and 5 %.
#[tokio::test]
async fn gifts_are_split_by_the_other_rates_and_more_specific_ones_stay() {
    let mut story = Story::begin().await;
    story.gift(HOST).await;
    story.rate(CommissionScope::Host(OTHER), 8_000, 0).await;
    story.gift(OTHER).await;
    let (host, other) = (Account::HostEarnings(HOST), Account::HostEarnings(OTHER));
    let agency = Account::AgencyEarnings(AGENCY);

    let report = told(&story.store, "--commission-host 65 --commission-agency 5").await.unwrap();
    assert_eq!(earned(&report, host), (5_000, 6_500));
    assert_eq!(earned(&report, agency), (1_000, 500));
    assert_eq!(earned(&report, other), (8_000, 8_000), "a rate of their own");
    assert_eq!(report.platform, Both { recorded_milli: 6_000, alternative_milli: 5_000 });
    assert_eq!((report.charges, report.paid_by_users.recorded_milli), (2, 20_000));
    sums(&report);

    let report =
        told(&story.store, "--commission-host 65 --commission-agency 5 --replace-all").await.unwrap();
    assert_eq!(earned(&report, other), (8_000, 6_500), "without an agency nobody has its share");
    sums(&report);

    let file = tempfile::NamedTempFile::new().unwrap();
    let rates = format!(
        r#"{{"agencies": {{"{AGENCY}": {{"host_bps": 4000, "agency_bps": 2000}}}}, "hosts": {{"{OTHER}": {{"host_bps": 9000, "agency_bps": 0}}}}}}"#
    );
    std::fs::write(file.path(), rates).unwrap();
    let report = told(&story.store, &format!("--rates {}", file.path().display())).await.unwrap();
    assert_eq!((earned(&report, host), earned(&report, agency)), ((5_000, 4_000), (1_000, 2_000)));
    assert_eq!(earned(&report, other), (8_000, 9_000));
    sums(&report);

    // The second gift alone is in the range.
    let report =
        told(&story.store, &format!("--commission-host 90 --replace-all --from {}", story.head() - 1)).await;
    let report = report.unwrap();
    assert_eq!((earned(&report, host), earned(&report, other)), ((0, 0), (8_000, 9_000)));
    assert_eq!(report.charges, 1);
}

/// 6.001 coins a minute in increments of 10 seconds: after three of them 3.000 coins, split as a whole. The platform's share is
/// rounded down.
#[tokio::test]
async fn a_call_is_split_as_a_whole_and_keeps_the_rules_that_it_began_with() {
    let mut story = Story::begin().await;
    story.start_call(HOST).await;
    let begun = story.head();
    story.tick(2).await;
    story.tick(3).await;
    story.give(EndCall { call: CALL, by: Ending::Participant(PAYER) }).await;
    let host = Account::HostEarnings(HOST);
    let paid = story.state.call(CALL).unwrap().charged_milli;
    assert_eq!(paid, 3_000);
    for (percent, host_milli) in [("50", 1_500), ("33.33", 1_000), ("0.01", 1), ("100", 3_000)] {
        let report = told(&story.store, &format!("--commission-host {percent}")).await.unwrap();
        assert_eq!(earned(&report, host), (1_500, host_milli), "{percent}");
        sums(&report);
    }
    let report = told(&story.store, "--call-rate-percent 150 --gift-price-percent 0").await.unwrap();
    assert_eq!(report.paid_by_users, Both { recorded_milli: 3_000, alternative_milli: 4_500 });
    assert_eq!(earned(&report, host), (1_500, 2_250));
    sums(&report);

    let from = begun + 1;
    let report =
        told(&story.store, &format!("--commission-host 90 --call-rate-percent 200 --from {from}")).await;
    let report = report.unwrap();
    assert_eq!(report.charges, 2, "of a call that began before the range");
    assert_eq!(report.paid_by_users.difference_milli(), 0);
    assert!(report.earners.iter().all(|row| row.difference_milli == 0));
}

#[tokio::test]
async fn a_hold_tells_what_could_have_been_withdrawn_and_which_withdrawals_could_not() {
    let mut story = Story::begin().await;
    story.gift(HOST).await;
    story.gift(HOST).await;
    story.withdraw(9_000).await;
    let asked = story.head();
    let host = Account::HostEarnings(HOST);
    let at = |report: &Report| report.earners.iter().find(|row| row.account == host).unwrap().withdrawable;

    let report = told(&story.store, "--hold-days 0").await.unwrap();
    assert_eq!(report.withdrawals_refused.count, 0);
    let left = 1_000;
    assert_eq!(at(&report), Both { recorded_milli: left, alternative_milli: left });

    let report = told(&story.store, "--hold-days 7").await.unwrap();
    assert_eq!(report.withdrawals_refused.count, 1);
    assert_eq!(report.withdrawals_refused.coins_milli, 9_000);
    let refusal = &report.withdrawals_refused.withdrawals[0];
    assert_eq!((refusal.revision, refusal.account, refusal.withdrawable_milli), (asked, host, 0));
    assert_eq!(at(&report), Both { recorded_milli: left, alternative_milli: 0 });

    // A smaller share is not enough for it either, and what did not leave is still there.
    let report = told(&story.store, "--commission-host 40").await.unwrap();
    assert_eq!(report.withdrawals_refused.count, 1);
    assert_eq!(at(&report), Both { recorded_milli: left, alternative_milli: 8_000 });

    // After the hold it is possible again.
    story.at = story.at.plus_seconds(9 * 86_400);
    story.gift(HOST).await;
    let report = told(&story.store, &format!("--hold-days 7 --from {}", asked + 1)).await.unwrap();
    assert_eq!(report.withdrawals_refused.count, 0, "it was before the range");
    assert_eq!(at(&report), Both { recorded_milli: left + 5_000, alternative_milli: left });
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_what_to_do() {
    let mut story = Story::begin().await;
    story.gift(HOST).await;
    let head = story.head();
    for (words, says) in [
        ("", "required"),
        ("--commission-host 101", "at most 100"),
        ("--commission-host x", "write a percentage"),
        ("--commission-agency 10", "--commission-host"),
        ("--commission-host 95 --commission-agency 10", "at most 10000"),
        ("--commission-host 50 --rates rates.json", "cannot be used with"),
        ("--rates /nowhere/rates.json", "cannot read /nowhere/rates.json"),
        ("--hold-days 5000", "0..=3650"),
        ("--gift-price-percent 100001", "at most 100000"),
        ("--hold-days 1 --from 100000", &format!("the journal ends at revision {head}")),
        ("--hold-days 1 --to 100000", "give --from and --to up to that"),
        ("--hold-days 1 --from 5 --to 4", "exchange them"),
        ("--hold-days 1 --since yesterday", "--since"),
        ("--hold-days 1 --since 2026-03-02T00:00:00Z --until 2026-03-01T00:00:00Z", "before --until"),
        ("--hold-days 1 --since 2040-01-01T00:00:00Z", "nothing was recorded in this range"),
    ] {
        let error = told(&story.store, words).await.err().expect(words);
        assert!(format!("{error:#}").contains(says), "{words}: {error:#}");
    }
    let error = told(&MemoryStore::new(), "--hold-days 1").await.err().unwrap();
    assert!(error.to_string().contains("there is no history yet"));
    let file = tempfile::NamedTempFile::new().unwrap();
    for text in ["", "{}", "[]", r#"{"global": {"host_bps": -1, "agency_bps": 0}}"#, r#"{"golbal": {}}"#] {
        std::fs::write(file.path(), text).unwrap();
        let error = told(&story.store, &format!("--rates {}", file.path().display())).await.err().unwrap();
        let says = if ["{}", "[]"].contains(&text) { "names no rate" } else { "is no file of rates" };
        assert!(format!("{error:#}").contains(says), "{text}: {error:#}");
    }
}

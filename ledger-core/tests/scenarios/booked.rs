//! `docs/ledger.md` says how each flow of money is booked. Its tables are what the core books.
//!
//! Each table stands under a heading `### ...` and is held against the story of that name here: the postings of the events
//! that the story's last line leads to. `MUNEEM_WRITE_GOLDEN=1 cargo test -p ledger-core booked` writes those that are missing.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::disputes::DisputeNews::{Opened, Won};
use ledger_core::event::CommissionScope;
use ledger_core::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A flow: its heading, and the story whose last command is the flow.
pub type Flow = (&'static str, fn() -> (World, Command));

/// The flows of all nouns.
fn flows() -> impl Iterator<Item = &'static Flow> {
    FLOWS
        .iter()
        .chain(crate::rewards::FLOWS)
        .chain(crate::subscriptions::FLOWS)
        .chain(crate::orders::FLOWS)
        .chain(crate::settlements::FLOWS)
}

const HEAD: &str = "| event | account | asset | debit | credit |";

/// 100 coins and 20 of the plan's bonus for 100 rupees.
fn buyer() -> (World, PurchaseId) {
    let mut world = World::new();
    world.given(plan(100_000, 20_000, Some(86_400)));
    let purchase = world.buy(USER);
    (world, purchase)
}

/// The buyer has spent 30 coins: the 20 of the bonus, and 10 that were bought.
fn spender() -> (World, String) {
    let (mut world, purchase) = buyer();
    world.given(SetGiftPrice { gift: ROSE, price_milli: Some(30_000) }.into());
    world.given(gift(USER, HOST, None, 30_000));
    (world, payment_of(purchase))
}

fn withdrawal() -> (World, WithdrawalId) {
    let mut world = World::with_earnings(50_000);
    let withdrawal = world.request_withdrawal(10_000);
    (world, withdrawal)
}

const FLOWS: &[Flow] = &[
    ("A purchase is captured", || {
        let mut world = World::new();
        world.given(plan(100_000, 20_000, Some(86_400)));
        let purchase = world.order(USER);
        (world, capture(Some(purchase), "pay_1", 10_000))
    }),
    ("A purchase is refunded in part", || {
        let (world, purchase) = buyer();
        (world, refund(purchase, "rfnd_1", 2_500))
    }),
    ("The gateway refunds more than is unspent", || {
        let (world, payment) = spender();
        (world, refund_of(&payment, "rfnd_1", 10_000))
    }),
    ("Bonus coins are given", || (World::new(), grant(USER, 5_000, Some(60)))),
    ("Bonus coins expire", || {
        let mut world = World::new();
        let lot = world.bonus(5_000, Some(60));
        world.at(61);
        (world, ExpireBonus { lot }.into())
    }),
    ("A gift is sent", || {
        let (mut world, _) = buyer();
        world
            .given(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }.into())
            .given(commission(CommissionScope::Agency(AGENCY), 5_000, 1_500))
            .given(SetGiftPrice { gift: ROSE, price_milli: Some(30_000) }.into());
        (world, gift(USER, HOST, None, 30_000))
    }),
    ("An increment of a call is charged", || (World::with_coins(100_000), start())),
    ("An increment of a call is given back", || {
        let mut world = World::in_call(100_000);
        world.at(10).given(tick_seen(2, 5)).at(12);
        (world, lost_since(5))
    }),
    ("A withdrawal is requested", || (World::with_earnings(50_000), withdraw(HOST, 10_000))),
    ("A withdrawal is rejected", || {
        let (world, it) = withdrawal();
        (world, reject(it))
    }),
    ("A withdrawal is paid", || {
        let (mut world, it) = withdrawal();
        world.given(approve(it));
        (world, paid(it))
    }),
    ("A payout comes back", || {
        let (mut world, it) = withdrawal();
        world.given(approve(it)).given(paid(it));
        (world, reversed(it))
    }),
    ("A withdrawal is paid less tax", || {
        let mut world = World::with_earnings(50_000);
        world.given(tax(100));
        let it = world.request_withdrawal(10_000);
        world.given(approve(it));
        (world, paid(it))
    }),
    ("A payout comes back with its tax", || {
        let mut world = World::with_earnings(50_000);
        world.given(tax(100));
        let it = world.request_withdrawal(10_000);
        world.given(approve(it)).given(sent(it)).given(paid(it));
        (world, reversed(it))
    }),
    ("An account is adjusted", || (World::new(), adjust(Account::HostEarnings(HOST), 5_000))),
    ("A gateway's fee is booked", || (World::new(), adjust_gateway(-236, None))),
    ("Money fits no purchase", || (World::new(), capture(None, "pay_1", 9_900))),
    ("A dispute is opened", || {
        let (world, payment) = spender();
        (world, dispute(&payment, "disp_1", Opened))
    }),
    ("A dispute is won", || {
        let (mut world, payment) = spender();
        world.given(dispute(&payment, "disp_1", Opened));
        (world, dispute(&payment, "disp_1", Won))
    }),
    ("A dispute is lost", || {
        let (mut world, payment) = spender();
        world.given(adjust(Account::UserPurchased(USER), 12_000));
        world.given(dispute(&payment, "disp_1", Opened));
        let news = disputes::DisputeNews::Lost { taken_minor: 10_000, fee_minor: 500 };
        (world, dispute(&payment, "disp_1", news))
    }),
    ("Held earnings cover what is owed", || {
        let (mut world, purchase) = buyer();
        world.policy.earnings_hold_seconds = 86_400;
        world.policy.claw_back_held_earnings = true;
        world.given(SetGiftPrice { gift: ROSE, price_milli: Some(100_000) }.into());
        world.given(gift(USER, HOST, None, 100_000));
        (world, dispute(&payment_of(purchase), "disp_1", lost(10_000)))
    }),
    ("Recovered earnings go back", || {
        let (mut world, purchase) = buyer();
        world.policy.earnings_hold_seconds = 86_400;
        world.policy.claw_back_held_earnings = true;
        world.given(SetGiftPrice { gift: ROSE, price_milli: Some(100_000) }.into());
        world.given(gift(USER, HOST, None, 100_000));
        world.given(dispute(&payment_of(purchase), "disp_1", lost(10_000)));
        let purchase = world.order(USER);
        (world, capture(Some(purchase), "pay_2", 10_000))
    }),
    ("More is taken than was paid", || {
        let (world, purchase) = buyer();
        let payment = payment_of(purchase);
        (world, dispute_over(12_000, &payment, "disp_1", lost(12_000)))
    }),
    ("A receivable is recovered", || {
        let (mut world, payment) = spender();
        world.given(dispute(&payment, "disp_1", lost(10_000)));
        let purchase = world.order(USER);
        (world, capture(Some(purchase), "pay_2", 10_000))
    }),
    ("A receivable is written off", || {
        let (mut world, payment) = spender();
        world.given(dispute(&payment, "disp_1", lost(10_000)));
        (world, write_off("disp_1", 30_000))
    }),
    ("A lost dispute is won", || {
        let (mut world, payment) = spender();
        world.given(dispute(&payment, "disp_1", lost(10_000))).given(write_off("disp_1", 10_000));
        (world, dispute(&payment, "disp_1", Won))
    }),
];

/// What a story's last line books, as the lines of its table.
fn booked(flow: &Flow) -> Vec<String> {
    let (mut world, command) = flow.1();
    let envelope = world.envelope(command);
    let (events, _) = world.send(&envelope).unwrap_or_else(|fault| panic!("{}: {fault}", flow.0));
    let mut lines = vec![];
    for event in &events {
        let mut kind = format!("`{}`", event.kind());
        for Posting { account, asset, amount } in event.postings() {
            let (debit, credit) = if *amount > 0 {
                (amount.to_string(), String::new())
            } else {
                (String::new(), (-amount).to_string())
            };
            lines.push(format!("| {kind} | `{}` | {asset} | {debit} | {credit} |", named(*account)));
            kind.clear();
        }
    }
    lines
}

/// The account with a word for each id.
fn named(account: Account) -> String {
    let text = account.to_string();
    let ids = [
        (USER.to_string(), "<buyer>"),
        (HOST.to_string(), "<host>"),
        (AGENCY.to_string(), "<agency>"),
        (OTHER.to_string(), "<other>"),
    ];
    let known = ids.iter().fold(text, |text, (id, word)| text.replace(id, word));
    match account {
        Account::WithdrawalHeld(id) => known.replace(&id.to_string(), "<withdrawal>"),
        Account::OrderHeld(id) => known.replace(&id.to_string(), "<order>"),
        _ => known,
    }
}

/// Writes the tables of headings that have none yet.
fn write_missing() {
    let (path, found) = (page(), tables());
    let mut text = std::fs::read_to_string(&path).expect("the page is there");
    for flow in flows().filter(|flow| found.get(flow.0).is_some_and(Vec::is_empty)) {
        let heading = format!("### {}\n", flow.0);
        let start = text.find(&heading).expect("a heading") + heading.len();
        let end = text[start..].find("\n#").map_or(text.len(), |at| start + at);
        let lines = [HEAD, "|---|---|---|---:|---:|"].map(str::to_owned).into_iter().chain(booked(flow));
        let table = lines.collect::<Vec<_>>().join("\n");
        let words = text[start..end].trim().to_owned();
        let words = if words.is_empty() { words } else { format!("{words}\n\n") };
        text.replace_range(start..end, &format!("\n{words}{table}\n"));
    }
    std::fs::write(path, text).expect("the page can be written");
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ledger.md")
}

/// The tables of the page, by their headings.
fn tables() -> BTreeMap<String, Vec<String>> {
    let page = std::fs::read_to_string(page()).expect("the page is there");
    let (mut tables, mut heading) = (BTreeMap::<String, Vec<String>>::new(), None);
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("### ") {
            heading = Some(name.to_owned());
            tables.entry(name.to_owned()).or_default();
        } else if line.starts_with('#') {
            heading = None;
        } else if let Some(name) = heading.as_ref().filter(|_| line.starts_with("| ")) {
            tables.entry(name.clone()).or_default().push(line.to_owned());
        }
    }
    tables
}

#[test]
fn each_table_of_the_page_is_what_the_core_books() {
    if std::env::var_os("MUNEEM_WRITE_GOLDEN").is_some_and(|it| it == "1") {
        write_missing();
    }
    let mut found = tables();
    for flow in flows() {
        let table = found.remove(flow.0).unwrap_or_default();
        let expected = [vec![HEAD.to_owned()], booked(flow)].concat();
        assert_eq!(table, expected, "{}:\n{}\n", flow.0, expected.join("\n"));
    }
    assert!(found.is_empty(), "no story tells of {:?}", found.keys());
}

#[test]
fn each_account_of_the_books_stands_in_a_table() {
    let named: std::collections::BTreeSet<&str> = flows().map(|(name, _)| *name).collect();
    assert_eq!(named.len(), flows().count());
    let page = tables().into_values().flatten().collect::<String>();
    for account in [
        "user:<buyer>:purchased",
        "user:<buyer>:bonus",
        "user:<buyer>:frozen",
        "user:<buyer>:receivable",
        "host:<host>:earnings",
        "agency:<agency>:earnings",
        "withdrawal:<withdrawal>:held",
        "order:<order>:held",
        "platform:revenue",
        "platform:promotions",
        "platform:adjustments",
        "platform:bank",
        "platform:losses",
        "platform:tax",
        "clearing:charges",
        "exchange:coins",
        "gateway:razorpay",
        "suspense:razorpay",
    ] {
        assert!(page.contains(&format!("`{account}`")), "{account}");
    }
}

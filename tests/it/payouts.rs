//! Withdrawals on their way to the bank: each step once, however often it is sent; who may be paid; at which rate, less
//! which tax.

use crate::governance::another_admin;
use crate::payments::order;
use crate::world::{Person, World, captured, dispute_event, new_key};
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::PgPool;

/// A host with earnings, all of which can be withdrawn.
async fn earner(world: &World, coins_milli: i64) -> Person {
    let host = world.new_host(60_000).await;
    let account = format!("host:{}:earnings", host.id);
    let credit = json!({ "account": account, "amount_milli": coins_milli, "reason": "test" });
    world.post(Some(&world.admin), "/v1/admin/adjustments", credit).await.expect_ok();
    host
}

async fn request(world: &World, host: &Person, coins_milli: i64) -> String {
    let asked = world.post(Some(host), "/v1/withdrawals", json!({ "coins_milli": coins_milli })).await;
    asked.expect_ok()["withdrawal"].as_str().expect("a withdrawal").to_owned()
}

fn path(id: &str, step: &str) -> String {
    format!("/v1/admin/withdrawals/{id}/{step}")
}

/// What an admin sends with a step.
fn body(id: &str, step: &str) -> Value {
    match step {
        "approve" => json!({}),
        "sent" => json!({ "payout_key": format!("K{id}") }),
        "paid" => json!({ "payout_ref": format!("U{id}") }),
        _ => json!({ "reason": "account_closed" }),
    }
}

async fn give(world: &World, id: &str, step: &str) {
    world.post(Some(&world.admin), &path(id, step), body(id, step)).await.expect_ok();
}

async fn row(world: &World, id: &str) -> Value {
    world.shown().await;
    let page = world.get(Some(&world.admin), "/v1/admin/withdrawals?limit=100").await.expect_ok();
    let rows = page["items"].as_array().expect("items");
    rows.iter().find(|row| row["withdrawal"] == id).expect("it is listed").clone()
}

async fn set_payouts(world: &World, field: &str, value: Value) {
    let settings = "/v1/admin/settings/payouts";
    let mut payouts = world.get(Some(&world.admin), settings).await.expect_ok();
    payouts[field] = value;
    world.put(Some(&world.admin), settings, payouts).await.expect_ok();
}

const STEPS: [&str; 7] = ["approve", "reject", "sent", "unknown", "paid", "failed", "reversed"];

/// Each state with the steps to it, and what each of [`STEPS`] leads to: the next state or a refusal.
#[rustfmt::skip]
const STATES: [(&str, &[&str], [&str; 7]); 9] = {
    const CLOSED: &str = "withdrawal_closed";
    const EARLY: &str = "withdrawal_not_approved";
    const LATE: &str = "withdrawal_already_approved";
    const UNPAID: &str = "withdrawal_not_paid";
    const UNKNOWN: &str = "payout_outcome_unknown";
    [
        ("requested", &[],                             ["approved", "rejected", EARLY, EARLY, EARLY, EARLY, UNPAID]),
        ("approved",  &["approve"],                    [LATE, LATE, "sent", "withdrawal_not_sent", "paid", "failed", UNPAID]),
        ("sent",      &["approve", "sent"],            [LATE, LATE, "withdrawal_already_sent", "unknown", "paid", "failed", UNPAID]),
        ("unknown",   &["approve", "sent", "unknown"], [LATE, LATE, UNKNOWN, UNKNOWN, "paid", "failed", UNPAID]),
        ("rejected",  &["reject"],                     [CLOSED; 7]),
        ("cancelled", &["cancel"],                     [CLOSED; 7]),
        ("paid",      &["approve", "sent", "paid"],    [CLOSED, CLOSED, CLOSED, CLOSED, CLOSED, CLOSED, "reversed"]),
        ("failed",    &["approve", "failed"],          [CLOSED; 7]),
        ("reversed",  &["approve", "paid", "reversed"], [CLOSED; 7]),
    ]
};

#[sqlx::test(migrations = false)]
async fn every_step_in_every_state_happens_once_or_is_refused_however_many_send_it_at_once(pool: PgPool) {
    let world = World::start(&pool).await;
    let host = earner(&world, 10_000_000).await;
    for (state, steps, outcomes) in STATES {
        for (step, expected) in STEPS.into_iter().zip(outcomes) {
            let id = request(&world, &host, 1_000).await;
            for step in steps {
                match *step {
                    "cancel" => {
                        let cancel = format!("/v1/withdrawals/{id}/cancel");
                        world.post(Some(&host), &cancel, json!({})).await.expect_ok();
                    }
                    step => give(&world, &id, step).await,
                }
            }
            let case = format!("{step} of one that is {state}");
            // Two send it twice each, under a key of their own.
            let keys = [new_key(), new_key()];
            let (path, body) = (path(&id, step), body(&id, step));
            let sent =
                [0, 1, 0, 1].map(|it| world.post_with_key(&world.admin, &path, keys[it], body.clone()));
            let answers = join_all(sent).await;
            let taken = answers.iter().filter(|it| it.status.is_success());
            if expected.contains('_') {
                assert_eq!(taken.count(), 0, "{case}");
                answers.iter().for_each(|it| it.expect_problem(409, expected));
                assert_eq!(row(&world, &id).await["status"], state, "{case}");
            } else {
                let new = answers.iter().filter(|it| it.body["duplicate"] == false);
                assert_eq!((new.count(), taken.count()), (1, 2), "{case}: one key, first and again");
                assert_eq!(row(&world, &id).await["status"], expected, "{case}");
            }
        }
    }
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_payout_is_made_at_the_rate_and_less_the_tax_of_its_request(pool: PgPool) {
    let world = World::start(&pool).await;
    let admin = Some(&world.admin);
    let host = earner(&world, 100_000).await;
    let rate = |text: &str| json!({ "rate": text, "reason": "new_contract" });
    world.put(admin, "/v1/admin/payout-rates", rate("0.50")).await.expect_ok();
    let again = world.put(admin, "/v1/admin/payout-rates", rate("0.5000")).await.expect_ok();
    assert_eq!(again["duplicate"], false, "{again}");
    world.put(admin, "/v1/admin/tax-rates", json!({ "tax_bps": 1_000 })).await.expect_ok();
    let later = json!({ "rate": "3", "effective_from": chrono::Utc::now() + chrono::TimeDelta::hours(1) });
    world.put(admin, "/v1/admin/payout-rates", later).await.expect_ok();
    let id = request(&world, &host, 10_000).await;
    world.put(admin, "/v1/admin/payout-rates", rate("0.10")).await.expect_ok();
    world.put(admin, "/v1/admin/tax-rates", json!({ "tax_bps": 0 })).await.expect_ok();
    for step in ["approve", "sent", "unknown", "paid"] {
        give(&world, &id, step).await;
    }
    let found = row(&world, &id).await;
    let money = ["gross_minor", "tax_minor", "payout_minor", "tax_bps"].map(|it| found[it].clone());
    assert_eq!(money, [json!(500), json!(50), json!(450), json!(1_000)]);
    assert_eq!(
        [&found["rate"], &found["payout_key"], &found["payout_ref"]],
        [&json!("0.5"), &json!(format!("K{id}")), &json!(format!("U{id}"))]
    );
    let stands = async |account: &str| {
        world.shown().await;
        let path = format!("/v1/admin/accounts/{account}/balance");
        world.get(admin, &path).await.expect_ok()["balance_minor"].clone()
    };
    assert_eq!((stands("platform:bank").await, stands("platform:tax").await), (json!(-450), json!(50)));
    give(&world, &id, "reversed").await;
    assert_eq!((stands("platform:bank").await, stands("platform:tax").await), (json!(0), json!(0)));
    let rates = world.get(admin, "/v1/admin/payout-rates").await.expect_ok();
    let rates: Vec<&Value> = rates["items"].as_array().expect("items").iter().map(|it| &it["rate"]).collect();
    assert_eq!(rates, [&json!("0.1"), &json!("3"), &json!("0.5")]);
    let log = world.get(admin, "/v1/admin/audit?action=payout_rate.changed").await.expect_ok();
    let log: Vec<_> =
        log["items"].as_array().expect("items").iter().map(|it| &it["before"]["rate"]).collect();
    assert_eq!(log.len(), 3, "setting what is in force is no change: {log:?}");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_payee_is_verified_by_another_admin_where_that_is_asked_for(pool: PgPool) {
    let world = World::start(&pool).await;
    let admin = Some(&world.admin);
    let host = earner(&world, 100_000).await;
    let early = request(&world, &host, 10_000).await;
    set_payouts(&world, "require_verified_payee", json!(true)).await;
    let ask = json!({ "coins_milli": 10_000 });
    let refused = world.post(Some(&host), "/v1/withdrawals", ask.clone()).await;
    refused.expect_problem(409, "payee_not_verified");
    // What was requested before goes on.
    give(&world, &early, "approve").await;
    let verification = format!("/v1/admin/hosts/{}/payout-verification", host.id);
    assert_eq!(world.get(admin, &verification).await.expect_ok()["verified"], false);
    let verify = json!({ "verified": true, "reason": "bank_letter_seen" });
    for _ in 0..2 {
        let verified = world.put(admin, &verification, verify.clone()).await.expect_ok();
        assert_eq!((&verified["verified"], &verified["verified_by"]), (&json!(true), &json!(world.admin.id)));
    }
    let log = world.get(admin, "/v1/admin/audit?action=payee.verification_changed").await.expect_ok();
    assert_eq!(log["items"].as_array().map(Vec::len), Some(1), "twice is one change: {log}");
    // A retry is the same request, whatever is asked for by then.
    let key = new_key();
    let first = world.post_with_key(&host, "/v1/withdrawals", key, ask.clone()).await.expect_ok();
    world.put(admin, &verification, json!({ "verified": false })).await.expect_ok();
    let again = world.post_with_key(&host, "/v1/withdrawals", key, ask.clone()).await.expect_ok();
    assert_eq!(again["withdrawal"], first["withdrawal"]);
    let refused = world.post(Some(&host), "/v1/withdrawals", ask).await;
    refused.expect_problem(409, "payee_not_verified");
    let nobody = format!("/v1/admin/hosts/{}/payout-verification", uuid::Uuid::now_v7());
    world.put(admin, &nobody, verify.clone()).await.expect_problem(404, "unknown_host");
    let nobody = format!("/v1/admin/agencies/{}/payout-verification", uuid::Uuid::now_v7());
    world.put(admin, &nobody, verify).await.expect_problem(404, "unknown_agency");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_day_s_limit_holds_however_many_ask_at_once(pool: PgPool) {
    let world = World::start(&pool).await;
    let host = earner(&world, 100_000).await;
    set_payouts(&world, "daily_withdrawal_milli", json!(25_000)).await;
    let ask = json!({ "coins_milli": 10_000 });
    let answers = join_all((0..6).map(|_| world.post(Some(&host), "/v1/withdrawals", ask.clone()))).await;
    let (taken, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status.is_success());
    assert_eq!((taken.len(), refused.len()), (2, 4));
    for it in refused {
        it.expect_problem(409, "withdrawal_limit_reached");
        assert_eq!((&it.body["limit_milli"], &it.body["left_milli"]), (&json!(25_000), &json!(5_000)));
    }
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_second_admin_approves_what_is_above_the_limit_before_tax(pool: PgPool) {
    let world = World::start(&pool).await;
    let host = earner(&world, 100_000).await;
    let second = another_admin(&world).await;
    world.put(Some(&world.admin), "/v1/admin/tax-rates", json!({ "tax_bps": 9_000 })).await.expect_ok();
    let limits = "/v1/admin/settings/approvals";
    let mut asked = world.get(Some(&world.admin), limits).await.expect_ok();
    asked["payout_minor"] = json!(999);
    world.put(Some(&world.admin), limits, asked).await.expect_ok();
    let id = request(&world, &host, 10_000).await;
    let proposed = world.post(Some(&world.admin), &path(&id, "approve"), json!({})).await;
    assert_eq!(proposed.status.as_u16(), 202, "{}", proposed.body);
    let approval = proposed.body["approval"].as_str().expect("an approval");
    let approve = format!("/v1/admin/approvals/{approval}/approve");
    world.post(Some(&second), &approve, json!({})).await.expect_ok();
    assert_eq!(row(&world, &id).await["status"], "approved");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn who_owes_has_nothing_to_spend_or_withdraw_and_is_paid_nothing(pool: PgPool) {
    let world = World::start(&pool).await;
    let admin = Some(&world.admin);
    let host = earner(&world, 100_000).await;
    let (waiting, approved, sent) = (
        request(&world, &host, 10_000).await,
        request(&world, &host, 10_000).await,
        request(&world, &host, 10_000).await,
    );
    give(&world, &approved, "approve").await;
    give(&world, &sent, "approve").await;
    give(&world, &sent, "sent").await;
    // The host buys coins, they are spent, and the payment is taken back.
    let (_, order) = order(&world, &host).await;
    world.webhook("evt_paid", &captured("pay_1", &order, 9_900, "INR")).await.expect_ok();
    world.inbox_done().await;
    let account = format!("user:{}:purchased", host.id);
    let spent = json!({ "account": account, "amount_milli": -100, "reason": "test" });
    world.post(admin, "/v1/admin/adjustments", spent).await.expect_ok();
    let mut socket = world.connect(&host).await;
    let lost = dispute_event("lost", "disp_1", "pay_1", (9_900, 9_900), 1);
    world.webhook("evt_lost", &lost).await.expect_ok();
    world.inbox_done().await;
    let wallet = world.get(Some(&host), "/v1/wallet").await.expect_ok();
    let found = ["spendable_milli", "withdrawable_milli", "owed_milli", "earnings_milli"];
    assert_eq!(found.map(|it| wallet[it].clone()), [json!(0), json!(0), json!(100), json!(70_000)]);
    let push = loop {
        let push = socket.push("wallet:updated").await["data"].clone();
        if push["owed_milli"] == 100 {
            break push;
        }
    };
    assert_eq!((&push["spendable_milli"], &push["withdrawable_milli"]), (&json!(0), &json!(0)));
    for (id, step) in [(&waiting, "approve"), (&approved, "sent"), (&approved, "paid")] {
        let refused = world.post(admin, &path(id, step), body(id, step)).await;
        refused.expect_problem(409, "receivable_open");
    }
    let refused = world.post(Some(&host), "/v1/withdrawals", json!({ "coins_milli": 1_000 })).await;
    refused.expect_problem(409, "receivable_open");
    // What was sent, the bank has done.
    give(&world, &sent, "paid").await;
    let write_off = json!({ "amount_milli": 100, "reason": "uncollectable" });
    world.post(admin, "/v1/admin/disputes/disp_1/write-off", write_off).await.expect_ok();
    give(&world, &waiting, "approve").await;
    give(&world, &approved, "paid").await;
    world.verify().await;
}

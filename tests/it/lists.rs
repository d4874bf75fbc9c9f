//! Lists as finance and admins read them: filtered, in pages, and as tables for a spreadsheet.

use crate::payments::order;
use crate::world::{Answer, World, captured, dispute_event, new_key, refund_event};
use reqwest::header::ACCEPT;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

/// Every list that admins have.
const LISTS: [&str; 16] = [
    "/v1/admin/accounts",
    "/v1/admin/accounts/platform:revenue/statement",
    "/v1/admin/approvals",
    "/v1/admin/audit",
    "/v1/admin/commission-log",
    "/v1/admin/commission-rates",
    "/v1/admin/disputes",
    "/v1/admin/events",
    "/v1/admin/hosts?status=approved",
    "/v1/admin/payout-rates",
    "/v1/admin/people",
    "/v1/admin/receivables",
    "/v1/admin/suspense",
    "/v1/admin/tax-rates",
    "/v1/admin/webhooks",
    "/v1/admin/withdrawals",
];

/// Three gifts, a withdrawal, a proposal and money that fits nothing.
async fn a_busy_hour(world: &World) {
    let admin = Some(&world.admin);
    let (user, host) = (world.new_user_with(100_000).await, world.new_host(60_000).await);
    let gift = world.new_gift(10_000).await;
    for _ in 0..3 {
        let body = json!({ "host": host.id, "price_seen_milli": 10_000 });
        world.post(Some(&user), &format!("/v1/gifts/{gift}/send"), body).await.expect_ok();
    }
    let credit =
        json!({ "account": format!("host:{}:earnings", host.id), "amount_milli": 50_000, "reason": "test" });
    world.post(admin, "/v1/admin/adjustments", credit).await.expect_ok();
    world.put(admin, "/v1/admin/payout-rates", json!({ "rate": "0.50" })).await.expect_ok();
    world.put(admin, "/v1/admin/tax-rates", json!({ "tax_bps": 100 })).await.expect_ok();
    world.post(Some(&host), "/v1/withdrawals", json!({ "coins_milli": 20_000 })).await.expect_ok();
    world.limit_one_admin(100).await;
    let bonus = json!({ "user": user.id, "coins_milli": 1_000, "reason": "campaign" });
    world.post_with_key(&world.admin, "/v1/admin/bonuses", new_key(), bonus).await.expect_ok();
    let stray = captured("pay_stray", "order_nobody", 9_900, "INR");
    world.webhook("delivery_stray", &stray).await.expect_ok();
    world.inbox_done().await;
}

/// Somebody who has spent coins whose payment was taken back.
async fn a_debtor(world: &World) {
    let debtor = world.new_person().await;
    let (_, order) = order(world, &debtor).await;
    world.webhook("evt_debtor", &captured("pay_debtor", &order, 9_900, "INR")).await.expect_ok();
    world.inbox_done().await;
    let account = format!("user:{}:purchased", debtor.id);
    let spent = json!({ "account": account, "amount_milli": -100, "reason": "test" });
    world.post(Some(&world.admin), "/v1/admin/adjustments", spent).await.expect_ok();
    let lost = dispute_event("lost", "disp_debtor", "pay_debtor", (9_900, 9_900), 1);
    world.webhook("evt_lost", &lost).await.expect_ok();
    world.inbox_done().await;
}

async fn table(world: &World, path: &str) -> (Answer, Vec<Vec<String>>) {
    world.shown().await;
    let request = world.http.get(format!("{}{path}", world.base)).bearer_auth(&world.admin.token);
    let answer = Answer::of(request.header(ACCEPT, "text/csv").send().await.expect("an answer")).await;
    let text = answer.body.as_str().map_or_else(|| answer.body.to_string(), str::to_owned);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let lines = reader.records().map(|line| line.expect("a line").iter().map(str::to_owned).collect());
    let lines = lines.collect();
    (answer, lines)
}

#[sqlx::test(migrations = false)]
async fn each_list_of_admins_is_a_table_too(pool: PgPool) {
    let world = World::start(&pool).await;
    a_busy_hour(&world).await;
    a_debtor(&world).await;
    world.shown().await;
    for path in LISTS {
        let pages = world.get(Some(&world.admin), path).await;
        assert_eq!(pages.headers["vary"].to_str().ok(), Some("accept"), "{path}");
        let items = pages.expect_ok()["items"].as_array().expect("items").clone();
        assert!(!items.is_empty(), "{path}");
        let (answer, lines) = table(&world, path).await;
        assert_eq!((answer.status.as_u16(), answer.content_type.split(';').next()), (200, Some("text/csv")));
        let (header, rows) = lines.split_first().expect("a line of names");
        assert!(rows.len() >= items.len(), "{path}: {} rows", rows.len());
        for (item, row) in items.iter().zip(rows) {
            let item = item.as_object().expect("an object");
            let lacks: Vec<&String> = item.keys().filter(|name| !header.contains(name)).collect();
            assert!(lacks.is_empty(), "{path} lacks {lacks:?}");
            for (name, cell) in header.iter().zip(row) {
                let value = item.get(name).unwrap_or(&Value::Null);
                let fits = match value {
                    Value::Null => cell.is_empty(),
                    Value::String(text) => cell == text,
                    other => serde_json::from_str(cell).ok().as_ref() == Some(other),
                };
                assert!(fits, "{path} {name}: {cell} is not {value}");
            }
        }
    }
}

#[sqlx::test(migrations = false)]
async fn a_long_table_comes_in_parts_and_an_empty_one_has_names(pool: PgPool) {
    let world = World::start(&pool).await;
    a_busy_hour(&world).await;
    let (_, whole) = table(&world, "/v1/admin/events").await;
    let (mut parts, mut path) = (Vec::new(), "/v1/admin/events?limit=7".to_owned());
    loop {
        let (answer, lines) = table(&world, &path).await;
        parts.extend(lines.into_iter().skip(1));
        let Some(cursor) = answer.headers.get("next-cursor") else { break };
        path = format!("/v1/admin/events?limit=7&cursor={}", cursor.to_str().expect("text"));
    }
    assert_eq!(parts, whole[1..]);
    let (_, none) = table(&world, "/v1/admin/events?to=2000-01-01T00:00:00Z").await;
    assert_eq!(none, whole[..1]);
    let (answer, _) = table(&world, "/v1/admin/events?limit=10001").await;
    answer.expect_problem(422, "field_invalid");
}

#[sqlx::test(migrations = false)]
async fn deliveries_are_found_by_person_event_and_amount_and_hosts_by_person(pool: PgPool) {
    let world = World::start(&pool).await;
    let (payer, other) = (world.new_person().await, world.new_person().await);
    for (user, payment) in [(&payer, "pay_1"), (&other, "pay_2")] {
        let (_, order) = order(&world, user).await;
        world.webhook(&format!("evt_{payment}"), &captured(payment, &order, 9_900, "INR")).await.expect_ok();
    }
    world.inbox_done().await;
    world.webhook("evt_refund", &refund_event("rfnd_1", "pay_1", 4_000)).await.expect_ok();
    world.webhook("evt_stray", &captured("pay_3", "order_nobody", 5_000, "JPY")).await.expect_ok();
    world.inbox_done().await;
    let found = async |filter: &str| {
        let page = world.get(Some(&world.admin), &format!("/v1/admin/webhooks?{filter}")).await.expect_ok();
        let name = |item: &Value| item["delivery"].as_str().expect("a name").to_owned();
        page["items"].as_array().expect("items").iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(found(&format!("person={}", payer.id)).await, ["evt_refund", "evt_pay_1"]);
    assert_eq!(found(&format!("person={}&kind=refund.processed", payer.id)).await, ["evt_refund"]);
    assert_eq!(found("kind=payment.captured").await, ["evt_stray", "evt_pay_2", "evt_pay_1"]);
    assert_eq!(found("min_amount_minor=4001&max_amount_minor=5000").await, ["evt_stray"]);
    assert_eq!(found("kind=payment.lost").await, Vec::<String>::new());
    let page = world.get(Some(&world.admin), "/v1/admin/webhooks?kind=refund.processed").await.expect_ok();
    assert_eq!(
        (&page["items"][0]["amount_minor"], &page["items"][0]["amount_asset"]),
        (&json!(4_000), &json!("INR/2"))
    );

    let (host, _) = (world.new_host(60_000).await, world.new_host(60_000).await);
    let path = format!("/v1/admin/hosts?status=approved&person={}", host.id);
    let hosts = world.get(Some(&world.admin), &path).await.expect_ok();
    let people: Vec<&Value> =
        hosts["items"].as_array().expect("items").iter().map(|item| &item["person"]).collect();
    assert_eq!(people, [&json!(host.id)]);
}

#[sqlx::test(migrations = false)]
async fn a_filter_that_makes_no_sense_is_named(pool: PgPool) {
    let world = World::start(&pool).await;
    for (path, status, field) in [
        ("/v1/admin/events?kind=GiftSend", 422, "kind"),
        ("/v1/admin/events?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", 422, "to"),
        ("/v1/admin/events?from=yesterday", 400, "from"),
        ("/v1/admin/suspense?cause=none", 422, "cause"),
        ("/v1/admin/suspense?direction=up", 422, "direction"),
        ("/v1/admin/accounts/platform:revenue/statement?type=gifts", 422, "type"),
        ("/v1/admin/commission-log?source=message", 400, "source"),
        ("/v1/admin/commission-log?min_amount_minor=2&max_amount_minor=1", 422, "max_amount_minor"),
        ("/v1/admin/commission-log?min_amount_minor=1.5", 400, "min_amount_minor"),
        ("/v1/admin/approvals?kind=gift", 400, "kind"),
        ("/v1/admin/webhooks?kind=%00", 400, "kind"),
        ("/v1/admin/webhooks?min_amount_minor=2&max_amount_minor=1", 422, "max_amount_minor"),
        ("/v1/admin/events?min_amount_minor=2&max_amount_minor=1", 422, "max_amount_minor"),
        ("/v1/admin/approvals?min_amount_minor=2&max_amount_minor=1", 422, "max_amount_minor"),
        ("/v1/admin/hosts?person=me", 400, "person"),
        ("/v1/admin/commission-rates?scope=global&host=01980000-0000-7000-8000-000000000000", 422, "scope"),
        ("/v1/admin/trial-balance?at=2026-01-01T00:00:00Z&revision=1", 422, "at"),
        ("/v1/admin/accounts?asset=USD/2", 422, "asset"),
        ("/v1/admin/accounts/platform:bank/balance?asset=USD/2", 422, "asset"),
        ("/v1/admin/accounts/platform:bank/statement?asset=USD/2", 422, "asset"),
        ("/v1/admin/people?name=a%00b", 400, "name"),
        ("/v1/admin/audit?action=%00", 400, "action"),
        ("/v1/wallet/statement?type=coins", 422, "type"),
    ] {
        let answer = world.get(Some(&world.admin), path).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["field"]),
            (status, &json!(field)),
            "{path}: {}",
            answer.body
        );
    }
}

#[sqlx::test(migrations = false)]
async fn an_auditor_finds_what_happened_by_time_person_kind_and_amount(pool: PgPool) {
    let world = World::start(&pool).await;
    let before = platform::clock::now();
    a_busy_hour(&world).await;
    a_debtor(&world).await;
    world.shown().await;
    let admin = Some(&world.admin);
    let count = async |path: &str| {
        let page = world.get(admin, path).await.expect_ok();
        page["items"].as_array().expect("items").len()
    };
    let stamp = before.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    for path in LISTS {
        let and = if path.contains('?') { '&' } else { '?' };
        if path != "/v1/admin/accounts" {
            assert!(count(&format!("{path}{and}from=2000-01-01T00:00:00Z&limit=100")).await > 0, "{path}");
            assert_eq!(count(&format!("{path}{and}to=2000-01-01T00:00:00Z")).await, 0, "{path}");
        }
    }
    assert_eq!(count(&format!("/v1/admin/commission-log?source=gift&from={stamp}")).await, 3);
    assert_eq!(count("/v1/admin/commission-log?source=call").await, 0);
    assert_eq!(count("/v1/admin/commission-log?min_amount_minor=10001").await, 0);
    assert_eq!(count("/v1/admin/accounts/platform:revenue/statement?type=commission").await, 3);
    assert_eq!(count("/v1/admin/accounts/platform:revenue/statement?type=gift").await, 0);
    assert_eq!(
        count("/v1/admin/suspense?cause=unknown_order&min_amount_minor=9900&max_amount_minor=9900").await,
        1
    );
    assert_eq!(count("/v1/admin/approvals?kind=bonus").await, 1);
    assert_eq!(count("/v1/admin/approvals?kind=payout").await, 0);
    assert_eq!(count("/v1/admin/approvals?min_amount_minor=1000&max_amount_minor=1000").await, 1);
    assert_eq!(count("/v1/admin/approvals?max_amount_minor=999").await, 0);
    assert_eq!(
        count("/v1/admin/events?kind=GiftSent&min_amount_minor=10000&max_amount_minor=10000").await,
        3
    );
    assert_eq!(count("/v1/admin/events?kind=GiftSent&min_amount_minor=10001").await, 0);
    assert_eq!(count("/v1/admin/events?kind=GiftSent&max_amount_minor=9999").await, 0);
    assert_eq!(count(&format!("/v1/admin/approvals?person={}", world.admin.id)).await, 1);
    assert_eq!(count(&format!("/v1/admin/approvals?person={}", Uuid::nil())).await, 0);
    assert_eq!(count("/v1/admin/withdrawals?min_amount_minor=20000&max_amount_minor=20000").await, 1);

    // The books of any moment balance.
    let now = world.get(admin, "/v1/admin/trial-balance").await.expect_ok();
    let last = now["as_of_revision"].clone();
    let then = world.get(admin, &format!("/v1/admin/trial-balance?revision={last}")).await.expect_ok();
    assert_eq!(now, then);
    let then = world.get(admin, &format!("/v1/admin/trial-balance?at={stamp}")).await.expect_ok();
    assert_ne!(now["sums"], then["sums"]);
    // What the journal cannot know is an error, and no balance of zero.
    for route in [
        "/v1/admin/trial-balance",
        "/v1/admin/accounts/platform:revenue/balance",
        "/v1/admin/deferred-revenue",
    ] {
        for time in ["2000-01-01T00:00:00Z", "2999-01-01T00:00:00Z"] {
            let refused = world.get(admin, &format!("{route}?at={time}")).await;
            assert_eq!(
                (refused.status.as_u16(), &refused.body["field"]),
                (422, &json!("at")),
                "{}",
                refused.body
            );
        }
    }
}

//! Money in suspense, and the admins who say what it was.

use crate::payments::{audited, order, suspense};
use crate::world::{Person, World, captured, refund_event};
use serde_json::json;
use sqlx::PgPool;

/// A second admin.
async fn colleague(world: &World) -> Person {
    let person = world.new_person().await;
    let path = format!("/v1/admin/people/{}/roles", person.id);
    world.post(Some(&world.admin), &path, json!({ "role": "admin" })).await.expect_ok();
    person
}

/// Money of 99 rupees for an order of nobody stands in suspense under this payment; answers its case.
async fn a_case(world: &World, payment: &str) -> u64 {
    world
        .webhook(&format!("evt_{payment}"), &captured(payment, "order_unknown", 9_900, "INR"))
        .await
        .expect_ok();
    world.inbox_done().await;
    let cases = world.get(Some(&world.admin), "/v1/admin/suspense?open=true").await.expect_ok();
    let cases = cases["items"].as_array().expect("items");
    let case = cases.iter().find(|it| it["payment_ref"] == payment).expect("the case");
    case["revision"].as_u64().expect("a revision")
}

#[sqlx::test(migrations = false)]
async fn two_admins_who_resolve_one_case_at_once_resolve_it_once(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, second) = (world.new_person().await, colleague(&world).await);
    let mut bought = 0;
    // The same resolution by both, then a different one by each.
    for (round, kinds) in [
        ["purchase", "purchase"],
        ["refund", "refund"],
        ["income", "income"],
        ["purchase", "refund"],
        ["refund", "income"],
    ]
    .into_iter()
    .enumerate()
    {
        let (purchase, _) = order(&world, &user).await;
        let case = a_case(&world, &format!("pay_{round}")).await;
        let before = (world.events(), world.wallet(&user).await.purchased_milli);
        let resolution = |kind: &str| match kind {
            "purchase" => json!({ "purchase": purchase }),
            "refund" => json!({ "refund": format!("rfnd_{round}") }),
            _ => json!({ "income": {} }),
        };
        let path = format!("/v1/admin/suspense/{case}/resolve");
        // Each presses twice, under the key of their one decision.
        let sent = [(&world.admin, kinds[0]), (&second, kinds[1])].map(|(who, kind)| {
            let body = json!({ "resolution": resolution(kind), "reason": "checked_with_bank" });
            let key = crate::world::new_key();
            let twice = [(); 2].map(|()| world.post_with_key(who, &path, key, body.clone()));
            futures_util::future::join_all(twice)
        });
        let answers = futures_util::future::join_all(sent).await;
        let won: Vec<usize> = (0..2).filter(|place| answers[*place][0].status.is_success()).collect();
        let [winner] = won[..] else { panic!("one of both: {answers:?}") };
        for (place, answer) in
            answers.iter().enumerate().flat_map(|(place, twice)| twice.iter().map(move |it| (place, it)))
        {
            match place == winner {
                true => assert_eq!(
                    answer.body["revision"], answers[winner][0].body["revision"],
                    "{}",
                    answer.body
                ),
                false => answer.expect_problem(404, "unknown_case"),
            }
        }
        let units = if kinds[winner] == "purchase" { 2 } else { 1 };
        bought += if kinds[winner] == "purchase" { 100_000 } else { 0 };
        assert_eq!(
            world.events(),
            before.0 + units,
            "{kinds:?}: resolved, and credited where it pays a purchase"
        );
        assert_eq!(world.wallet(&user).await.purchased_milli, bought, "{kinds:?}");
        assert_eq!(suspense(&world).await, 0, "{kinds:?}");
        let rows = audited(&world, "suspense", case).await;
        let [row] = &rows[..] else { panic!("one row: {rows:?}") };
        let author = [world.admin.id, second.id][winner];
        assert_eq!((&row["actor"], &row["reason"]), (&json!(author), &json!("checked_with_bank")));
        assert_eq!(row["before"]["amount_minor"], 9_900, "{row}");
        assert_eq!(
            row["after"],
            json!({ "resolution": match kinds[winner] {
                "purchase" => json!({ "purchase": purchase }),
                "refund" => json!({ "refund": format!("rfnd_{round}") }),
                _ => json!("income"),
            }})
        );
    }
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn one_purchase_takes_one_of_two_cases_and_one_refund_too(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, second) = (world.new_person().await, colleague(&world).await);
    let (purchase, order) = order(&world, &user).await;
    for (resolution, code) in [
        (json!({ "purchase": purchase }), "purchase_not_open"),
        (json!({ "refund": "rfnd_one" }), "refund_already_recorded"),
    ] {
        let cases =
            [a_case(&world, &format!("pay_{code}_1")).await, a_case(&world, &format!("pay_{code}_2")).await];
        let body = json!({ "resolution": resolution, "reason": "checked_with_bank" });
        let paths = cases.map(|case| format!("/v1/admin/suspense/{case}/resolve"));
        let (one, two) = tokio::join!(
            world.post(Some(&world.admin), &paths[0], body.clone()),
            world.post(Some(&second), &paths[1], body.clone()),
        );
        let (won, lost) = if one.status.is_success() { (one, two) } else { (two, one) };
        won.expect_ok();
        lost.expect_problem(409, code);
        assert_eq!(suspense(&world).await, 9_900, "the other case is still open");
        let left = cases[usize::from(is_open(&world, cases[1]).await)];
        let income = json!({ "resolution": { "income": {} }, "reason": "kept" });
        world.post(Some(&second), &format!("/v1/admin/suspense/{left}/resolve"), income).await.expect_ok();
        assert_eq!(suspense(&world).await, 0);
    }
    // The gateway tells of the order's own payment, and of a refund that an admin has recorded, at the same time.
    let case = a_case(&world, "pay_back").await;
    let body = json!({ "resolution": { "refund": "rfnd_back" }, "reason": "sent_back" });
    let path = format!("/v1/admin/suspense/{case}/resolve");
    let own = captured("pay_own", &order, 9_900, "INR");
    let back = refund_event("rfnd_back", "pay_back", 9_900);
    let (by_admin, told, told_of_own) = tokio::join!(
        world.post(Some(&world.admin), &path, body),
        world.webhook("evt_back", &back),
        world.webhook("evt_own", &own),
    );
    told.expect_ok();
    told_of_own.expect_ok();
    assert!(
        by_admin.status.is_success()
            || by_admin.code() == "unknown_case"
            || by_admin.code() == "refund_already_recorded"
    );
    world.inbox_done().await;
    assert_eq!(suspense(&world).await, 9_900, "the second payment of the order alone");
    assert_eq!(world.wallet(&user).await.purchased_milli, 100_000, "bought once");
    world.verify().await;
}

/// Whether the case in suspense is still open.
async fn is_open(world: &World, case: u64) -> bool {
    let open = move |state: &ledger_core::State, _| state.suspense_case(case).is_some();
    world.app.ledger.query(open).await.expect("the ledger answers")
}

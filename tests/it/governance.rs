//! What admins do is written down, bounded, and never for themselves.

use crate::world::World;
use serde_json::json;
use sqlx::PgPool;

#[sqlx::test(migrations = false)]
async fn a_change_of_the_settings_tells_who_when_why_and_what_was_before(pool: PgPool) {
    let world = World::start(&pool).await;
    let admin = Some(&world.admin);
    let payouts = world.get(admin, "/v1/admin/settings/payouts").await.expect_ok();
    let mut wanted = payouts.clone();
    wanted["rate"] = json!("0.25");
    let mut asked = wanted.clone();
    (asked["reason"], asked["note"]) = (json!("rate_review"), json!("agreed on Monday"));
    let set = world.put(admin, "/v1/admin/settings/payouts", asked.clone()).await.expect_ok();
    assert_eq!(set, wanted, "the reason is no setting");
    world.put(admin, "/v1/admin/settings/payouts", asked).await.expect_ok();
    let log = world.get(admin, "/v1/admin/audit?subject=payout&action=setting.changed").await.expect_ok();
    assert_eq!(log["items"].as_array().map(Vec::len), Some(1), "the second time nothing changed: {log}");
    let entry = &log["items"][0];
    assert_eq!((&entry["before"], &entry["after"]), (&payouts, &wanted));
    assert_eq!((&entry["actor"], &entry["reason"]), (&json!(world.admin.id), &json!("rate_review")));
    assert!(entry["request"].is_string() && entry["at"].is_string(), "{entry}");
    assert_eq!(entry["words"], "agreed on Monday");
    let note = entry["note"].as_str().expect("a note");
    let note = world.get(admin, &format!("/v1/admin/notes/{note}")).await.expect_ok();
    assert_eq!((&note["words"], &note["author"]), (&json!("agreed on Monday"), &json!(world.admin.id)));
    let nobodys = format!("/v1/admin/notes/{}", uuid::Uuid::now_v7());
    world.get(admin, &nobodys).await.expect_problem(404, "unknown_note");
    let page = world.get(admin, "/v1/admin/audit?cursor=x").await;
    page.expect_problem(400, "cursor_invalid");
    world.get(admin, "/v1/admin/audit?actor=x").await.expect_problem(400, "invalid_query");
    let bad = json!({ "rate": "1", "minimum_withdrawal_milli": 1, "earnings_hold_seconds": 0, "reason": "No code" });
    world.put(admin, "/v1/admin/settings/payouts", bad).await.expect_problem(422, "field_invalid");
}

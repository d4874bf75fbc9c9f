//! A subscription: begun, renewed by the server, waiting for coins, paid, cancelled, ended.

use super::client::{Client, number, text};
use super::report::Report;
use super::stage::Stage;
use anyhow::bail;
use serde_json::{Value, json};
use std::time::Duration;

const PRICE_MILLI: i64 = 30_000;
/// Enough for two periods, and a third of the third one.
const GIVEN_MILLI: i64 = 70_000;
const GIVEN_LATER_MILLI: i64 = 25_000;
const PERIOD_SECONDS: i64 = 10;
/// As long as it may be: a grace is no longer than its period.
const GRACE_SECONDS: i64 = PERIOD_SECONDS;
/// How long a step may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// # Errors
/// When the server refuses a step that should succeed.
pub async fn tell(stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    let admin = &stage.admin;
    report.intro(
        "Asha subscribes with coins. A period of the story lasts ten seconds, and its grace as long. Each line with \"ok\"\n\
         compares a figure of the server's with the story's own arithmetic.",
    );
    report.chapter("1. A plan, and somebody with coins");
    let plan = platform::entropy::uuid_v7();
    let mut offer = json!({
        "price_milli": PRICE_MILLI, "period_seconds": PERIOD_SECONDS, "grace_seconds": GRACE_SECONDS,
        "entitlements": ["no_ads"], "active": true,
    });
    admin.put(&format!("/v1/admin/subscription-plans/{plan}"), offer.clone()).await?;
    let (asha, person) = stage.newcomer().await?;
    admin.post("/v1/admin/bonuses", json!({ "user": person, "coins_milli": GIVEN_MILLI })).await?;
    let ask = json!({ "plan": plan, "price_seen_milli": PRICE_MILLI });
    asha.post("/v1/me/subscriptions", ask).await?;
    // The plan was the story's; it is no longer on offer, and what runs goes on.
    offer["active"] = json!(false);
    admin.put(&format!("/v1/admin/subscription-plans/{plan}"), offer).await?;
    report.step("Asha subscribes: the first period is paid now.");
    report.coins("left of her coins", GIVEN_MILLI - PRICE_MILLI, spendable(&asha).await?);
    report.figure("she is entitled to", "[\"no_ads\"]".to_owned(), entitlements(&asha).await?);

    report.chapter("2. The server renews it");
    until(admin, &person, "status", "grace").await?;
    report.step(
        "The second period was paid by itself. For the third there are too few coins: its grace begins.",
    );
    report.coins("left of her coins", GIVEN_MILLI - 2 * PRICE_MILLI, spendable(&asha).await?);
    report.figure("she is still entitled to", "[\"no_ads\"]".to_owned(), entitlements(&asha).await?);
    admin.post("/v1/admin/bonuses", json!({ "user": person, "coins_milli": GIVEN_LATER_MILLI })).await?;
    let row = until(admin, &person, "periods", "3").await?;
    report.step("Coins come, and the third period is paid at once.");
    let left = GIVEN_MILLI + GIVEN_LATER_MILLI - 3 * PRICE_MILLI;
    report.coins("left of her coins", left, spendable(&asha).await?);

    report.chapter("3. It ends");
    let id = text(&row, "subscription")?;
    asha.post(&format!("/v1/me/subscriptions/{id}/cancel"), json!({})).await?;
    report.step("Asha cancels: it ends with its period.");
    report.figure("until then she is entitled to", "[\"no_ads\"]".to_owned(), entitlements(&asha).await?);
    let row = until(admin, &person, "status", "lapsed").await?;
    report.figure("why it has ended", "cancelled".to_owned(), text(&row, "lapse_cause")?);
    report.figure("then she is entitled to", "[]".to_owned(), entitlements(&asha).await?);
    report.coins("left of her coins", left, spendable(&asha).await?);
    let periods = asha.get(&format!("/v1/me/subscriptions/{id}/periods")).await?;
    let rows = periods["items"].as_array().cloned().unwrap_or_default();
    report.figure("periods paid", "3".to_owned(), rows.len().to_string());
    let columns = [
        ("period", "period", true),
        ("from", "starts_at", false),
        ("to", "ends_at", false),
        ("coins", "price_milli", true),
    ];
    report.table("Periods", &rows, &columns);
    Ok(())
}

async fn spendable(asha: &Client) -> anyhow::Result<i64> {
    number(&asha.get("/v1/wallet").await?, "spendable_milli")
}

async fn entitlements(asha: &Client) -> anyhow::Result<String> {
    Ok(asha.get("/v1/me/subscriptions").await?["entitlements"].to_string())
}

/// Waits until a field of the person's subscription has this value.
async fn until(admin: &Client, person: &str, field: &str, value: &str) -> anyhow::Result<Value> {
    let mut waited = Duration::ZERO;
    while waited < PATIENCE {
        let rows = admin.get(&format!("/v1/admin/subscriptions?user={person}")).await?;
        let row = rows["items"][0].clone();
        let found = row[field].as_str().map_or_else(|| row[field].to_string(), str::to_owned);
        if found == value {
            return Ok(row);
        }
        let pause = Duration::from_millis(50);
        tokio::time::sleep(pause).await;
        waited += pause;
    }
    bail!("the subscription's {field} does not become {value}")
}

//! A payout of which nobody knows what became, and one that comes back. The arithmetic is the story's own: whole coins,
//! done by hand below, and compared with what the server says.

use super::books;
use super::client::{Client, number, text};
use super::report::{Report, coins};
use super::stage::{Settings, Stage, key};
use ledger_core::Asset;
use serde_json::{Value, json};

const GIFT_MILLI: i64 = 40_000;
const PAID_MINOR: i64 = 4_000;
/// Half of the gift.
const EARNED_MILLI: i64 = 20_000;
/// What she asks for: at 0.75 rupees a coin, less a tenth.
const FIRST: Payout = Payout { coins_milli: 10_000, gross_minor: 750, tax_minor: 75, net_minor: 675 };
const SECOND: Payout = Payout { coins_milli: 8_000, gross_minor: 600, tax_minor: 60, net_minor: 540 };

struct Payout {
    coins_milli: i64,
    gross_minor: i64,
    tax_minor: i64,
    net_minor: i64,
}

pub fn settings() -> Settings {
    let payouts = json!({
        "minimum_withdrawal_milli": 1_000, "daily_withdrawal_milli": FIRST.coins_milli + SECOND.coins_milli,
        "require_verified_payee": true, "earnings_hold_seconds": 0, "claw_back_held_earnings": false,
    });
    Settings { payouts, payout_rate: "0.75".to_owned(), tax_bps: 1_000, ..Settings::usual() }
}

/// # Errors
/// When the server refuses a step that should succeed, or takes one that it should refuse.
pub async fn tell(stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    report.intro(
        "Meera has earned coins and is paid. The bank does not say what became of the first payout, and the second one\n\
         comes back. Each line with \"ok\" compares what the server says with what the story expects.",
    );
    let bank = stood(&stage.admin, "platform:bank").await?;
    let tax = stood(&stage.admin, "platform:tax").await?;
    let (host, host_id) = earn(stage, report).await?;
    ask(stage, &host, &host_id, report).await?;
    lose_sight(stage, &host, report).await?;
    let revision = come_back(stage, &host, report).await?;

    report.chapter("5. The books");
    books::statement(&host, "Meera's statement", revision, report).await?;
    payouts(&host, revision, report).await?;
    let wallet = host.get("/v1/wallet").await?;
    report.coins("what Meera has left", EARNED_MILLI - FIRST.coins_milli, number(&wallet, "earnings_milli")?);
    let left = stood(&stage.admin, "platform:bank").await? - bank;
    report.figure("left the bank", rupees(-FIRST.net_minor), rupees(left));
    let owed = stood(&stage.admin, "platform:tax").await? - tax;
    report.figure("tax owed to the state", rupees(FIRST.tax_minor), rupees(owed));
    books::trial_balance(&stage.admin, report).await?;
    books::verify(&stage.config, "6. The proof", revision, report).await
}

/// Meera becomes a host and earns half of a gift.
async fn earn(stage: &Stage, report: &mut Report) -> anyhow::Result<(Client, String)> {
    report.chapter("1. Meera earns");
    let (host, host_id) = stage.new_host("Meera").await?;
    let scope = json!({ "kind": "host", "id": host_id });
    let rate = json!({ "scope": scope, "host_bps": 5_000, "agency_bps": 0 });
    stage.admin.put("/v1/admin/commission-rates", rate).await?;
    let (user, _) = stage.newcomer().await?;
    stage.buy(&user, (GIFT_MILLI, 0, PAID_MINOR)).await?;
    let gift = platform::entropy::uuid_v7();
    let mut card = json!({ "name": "Lotus", "image_url": "/gifts/lotus.webp", "position": 100, "price_milli": GIFT_MILLI });
    stage.admin.put(&format!("/v1/admin/gifts/{gift}"), card.clone()).await?;
    let mut socket = user.connect().await?;
    let sent = json!({ "host": host_id, "gift": gift, "price_seen_milli": GIFT_MILLI, "key": key() });
    socket.request("gift:send", sent).await?;
    card["price_milli"] = Value::Null;
    stage.admin.put(&format!("/v1/admin/gifts/{gift}"), card).await?;
    report.step(format!("Asha sends her a lotus for {}; half of it is Meera's.", coins(GIFT_MILLI)));
    let wallet = host.get("/v1/wallet").await?;
    report.coins("Meera's earnings", EARNED_MILLI, number(&wallet, "earnings_milli")?);
    Ok((host, host_id))
}

/// A withdrawal takes a verified payee, and a day has a limit.
async fn ask(stage: &Stage, host: &Client, host_id: &str, report: &mut Report) -> anyhow::Result<()> {
    report.chapter("2. Who is paid");
    report.step("A coin pays 0.75 rupees, a tenth is withheld as tax, and payees have to be verified.");
    let asked = json!({ "coins_milli": FIRST.coins_milli });
    let refused = host.refused("/v1/withdrawals", asked).await?;
    report.figure("she asks before she is verified", "payee_not_verified".to_owned(), refused);
    let verified = json!({ "verified": true, "reason": "bank_letter_seen" });
    stage.admin.put(&format!("/v1/admin/hosts/{host_id}/payout-verification"), verified).await?;
    report.step("The admin has seen a letter of her bank and verifies her.");
    Ok(())
}

/// The first payout: sent, lost sight of, refused to be sent again, found to be paid.
async fn lose_sight(stage: &Stage, host: &Client, report: &mut Report) -> anyhow::Result<()> {
    report.chapter("3. Nobody knows");
    let id = request(host, FIRST.coins_milli).await?;
    let path = |step: &str| format!("/v1/admin/withdrawals/{id}/{step}");
    let admin = &stage.admin;
    admin.post(&path("approve"), json!({})).await?;
    admin.post(&path("sent"), json!({ "payout_key": format!("pout-{id}") })).await?;
    report.step(format!(
        "She asks for {}; the admin approves, and hands the payout to the bank.",
        coins(FIRST.coins_milli)
    ));
    let unknown = admin.post(&path("unknown"), json!({ "reason": "bank_timeout" })).await?;
    report.step("The bank times out: it may have paid, or not.");
    is(host, &id, "unknown", number(&unknown, "revision")?, report).await?;
    let again = admin.refused(&path("sent"), json!({ "payout_key": format!("pout-{id}-again") })).await?;
    report.figure("to send it again is refused", "payout_outcome_unknown".to_owned(), again);
    let kept = host.get("/v1/wallet").await?;
    let rest = EARNED_MILLI - FIRST.coins_milli;
    report.coins("Meera's earnings without the held coins", rest, number(&kept, "earnings_milli")?);
    let paid = admin.post(&path("paid"), json!({ "payout_ref": format!("UTR-{id}") })).await?;
    report.step("The admin asks the bank: it was paid. It is marked so, under the bank's own reference.");
    is(host, &id, "paid", number(&paid, "revision")?, report).await
}

/// The second payout: paid, and reversed. Answers the revision of the end.
async fn come_back(stage: &Stage, host: &Client, report: &mut Report) -> anyhow::Result<i64> {
    report.chapter("4. One comes back");
    let over = json!({ "coins_milli": SECOND.coins_milli + 1_000 });
    let refused = host.refused("/v1/withdrawals", over).await?;
    report.figure("more than the day's limit", "withdrawal_limit_reached".to_owned(), refused);
    let id = request(host, SECOND.coins_milli).await?;
    let path = |step: &str| format!("/v1/admin/withdrawals/{id}/{step}");
    let admin = &stage.admin;
    admin.post(&path("approve"), json!({})).await?;
    admin.post(&path("sent"), json!({ "payout_key": format!("pout-{id}") })).await?;
    admin.post(&path("paid"), json!({ "payout_ref": format!("UTR-{id}") })).await?;
    report.step(format!("She asks for {} more, which are paid.", coins(SECOND.coins_milli)));
    let reversed = admin.post(&path("reversed"), json!({ "reason": "account_closed" })).await?;
    report.step("Her account was closed: the money comes back, her coins too, and no tax is owed for them.");
    let revision = number(&reversed, "revision")?;
    is(host, &id, "reversed", revision, report).await?;
    Ok(revision)
}

async fn request(host: &Client, coins_milli: i64) -> anyhow::Result<String> {
    text(&host.post("/v1/withdrawals", json!({ "coins_milli": coins_milli })).await?, "withdrawal")
}

async fn is(host: &Client, id: &str, status: &str, revision: i64, report: &mut Report) -> anyhow::Result<()> {
    let rows = withdrawals(host, revision).await?;
    let row = rows.iter().find(|row| row["withdrawal"] == id).cloned().unwrap_or_default();
    report.figure("its status", status.to_owned(), text(&row, "status")?);
    Ok(())
}

async fn withdrawals(host: &Client, revision: i64) -> anyhow::Result<Vec<Value>> {
    let page = host.get(&format!("/v1/withdrawals?min_revision={revision}")).await?;
    Ok(books::items(&page)?.clone())
}

/// What she asked for, what was withheld, and what became of it.
async fn payouts(host: &Client, revision: i64, report: &mut Report) -> anyhow::Result<()> {
    let rows = withdrawals(host, revision).await?;
    let shown = rows.iter().rev().map(|row| {
        let money = |field: &str| row[field].as_i64().map(rupees);
        json!({
            "coins": row["coins_milli"].as_i64().map(coins), "gross": money("gross_minor"),
            "tax": money("tax_minor"), "paid": money("payout_minor"), "status": row["status"],
        })
    });
    let columns = [
        ("coins", "coins", true),
        ("gross", "gross", true),
        ("tax", "tax", true),
        ("paid out", "paid", true),
        ("status", "status", false),
    ];
    report.table("Meera's withdrawals", &shown.collect::<Vec<_>>(), &columns);
    for (payout, row) in [FIRST, SECOND].iter().zip(rows.iter().rev()) {
        let found = [number(row, "gross_minor")?, number(row, "tax_minor")?, number(row, "payout_minor")?];
        let expected = [payout.gross_minor, payout.tax_minor, payout.net_minor];
        let words = |of: [i64; 3]| of.map(rupees).join(", ");
        report.figure("gross, tax and what is paid out", words(expected), words(found));
    }
    Ok(())
}

/// What stands in an account of the platform, in paise.
async fn stood(admin: &Client, account: &str) -> anyhow::Result<i64> {
    let balance = admin.get(&format!("/v1/admin/accounts/{account}/balance")).await?;
    number(&balance, "balance_minor")
}

fn rupees(minor: i64) -> String {
    Asset::INR.format(minor)
}

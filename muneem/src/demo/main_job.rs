//! The story. Its arithmetic is its own: whole coins, done by hand below, and compared with what the
//! server says.

use super::books;
use super::client::{Client, Socket, number, text};
use super::report::{Report, coins};
use super::stage::{Settings, Stage, key};
use anyhow::Context;
use serde_json::{Value, json};

/// One coin a second, so that each increment of the story is one coin.
const PRICE_MILLI_PER_MINUTE: i64 = 60_000;
const INCREMENT_MILLI: i64 = 1_000;
const BOUGHT_MILLI: i64 = 9_000;
const BONUS_MILLI: i64 = 3_000;
const PAID_MINOR: i64 = 1_200;
const GIFT_MILLI: i64 = 5_000;
/// What is left for the call when the gift is paid: seven increments.
const CALL_MILLI: i64 = BOUGHT_MILLI + BONUS_MILLI - GIFT_MILLI;
const HOST_BPS: i64 = 5_500;
const AGENCY_BPS: i64 = 1_000;
/// The gift is sent when this increment has begun.
const GIFT_AFTER_TICK: i64 = 2;
const WARNING_SECONDS: i64 = 3;
const WITHDRAWN_MILLI: i64 = 6_000;

/// Who plays in the story.
struct Cast {
    admin: Client,
    user: Client,
    host: Client,
    host_id: String,
    agency_id: String,
}

pub fn settings() -> Settings {
    let metering = json!({
        "increment_seconds": 1, "free_seconds": 0, "grace_seconds": 3, "ring_seconds": 30,
        "warning_seconds": WARNING_SECONDS,
    });
    Settings { metering, payout_rate: "0.75".to_owned(), ..Settings::usual() }
}

/// # Errors
/// When the server refuses a step that should succeed.
pub async fn tell(stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    report.intro(
        "Asha pays to talk, Meera is paid for it, an admin runs the platform. Muneem keeps the books: the story goes\n\
         through the running server's HTTP and WebSocket, and each line with \"ok\" compares a figure of the server's\n\
         with the story's own arithmetic. Amounts are in coins; a coin has three decimals.",
    );
    let cast = arrive(stage, report).await?;
    prices(&cast, report).await?;
    purchase(stage, &cast, report).await?;
    call(&cast, report).await?;
    let revision = withdrawal(&cast, report).await?;
    show(&cast, revision, report).await?;
    books::verify(&stage.config, "7. The proof", revision, report).await
}

async fn arrive(stage: &Stage, report: &mut Report) -> anyhow::Result<Cast> {
    report.chapter("1. People arrive");
    let (user, _) = stage.newcomer().await?;
    report.step("Asha signs in with a one-time password: a user.");
    let (host, host_id) = stage.new_host("Meera").await?;
    report.step("Meera signs in the same way, applies to be a host, and the admin approves her.");
    let admin = stage.admin.clone();
    let (_, owner) = stage.newcomer().await?;
    let code = format!("DEMO{}", hex::encode_upper(platform::entropy::bytes::<4>()));
    let agency = admin
        .post("/v1/admin/agencies", json!({ "name": "Star Agency", "code": code, "owner": owner }))
        .await?;
    let agency_id = text(&agency, "agency")?;
    admin.put(&format!("/v1/admin/hosts/{host_id}/agency"), json!({ "agency": agency_id })).await?;
    report.step("She belongs to an agency.");
    Ok(Cast { admin, user, host, host_id, agency_id })
}

async fn prices(cast: &Cast, report: &mut Report) -> anyhow::Result<()> {
    report.chapter("2. Prices and shares");
    let price = json!({ "price_milli_per_minute": PRICE_MILLI_PER_MINUTE });
    cast.host.put("/v1/hosts/me/rates/video", price).await?;
    report.step(format!("Meera asks {} a minute for video.", coins(PRICE_MILLI_PER_MINUTE)));
    let scope = json!({ "kind": "host", "id": cast.host_id });
    let rate = json!({ "scope": scope, "host_bps": HOST_BPS, "agency_bps": AGENCY_BPS });
    cast.admin.put("/v1/admin/commission-rates", rate).await?;
    report.step("Her own rate: 55 % to her, 10 % to her agency, 35 % to the platform.");
    report.step(
        "A call is charged in increments, usually of 10 seconds; in the story of one second. A coin pays 0.75 rupees.",
    );
    Ok(())
}

async fn purchase(stage: &Stage, cast: &Cast, report: &mut Report) -> anyhow::Result<()> {
    report.chapter("3. Asha buys coins");
    let (order, wallet) = stage.buy(&cast.user, (BOUGHT_MILLI, BONUS_MILLI, PAID_MINOR)).await?;
    report.step(format!(
        "She chooses a plan: 9 coins and 3 as a bonus for 12 rupees. Razorpay's order is {order}."
    ));
    report.step("She pays. Razorpay tells us twice, as it does (payment.captured and order.paid), with signed webhooks.");
    report.coins("bought coins", BOUGHT_MILLI, number(&wallet, "purchased_milli")?);
    report.coins("bonus coins", BONUS_MILLI, number(&wallet, "bonus_milli")?);
    Ok(())
}

async fn call(cast: &Cast, report: &mut Report) -> anyhow::Result<()> {
    report.chapter("4. They talk");
    let gift = platform::entropy::uuid_v7();
    let mut card = json!({ "name": "Marigold", "image_url": "/gifts/marigold.webp", "position": 100, "price_milli": GIFT_MILLI });
    cast.admin.put(&format!("/v1/admin/gifts/{gift}"), card.clone()).await?;
    let (mut user, mut host) = (cast.user.connect().await?, cast.host.connect().await?);
    let invitation = json!({
        "host": cast.host_id, "medium": "video", "price_seen_milli_per_minute": PRICE_MILLI_PER_MINUTE, "key": key(),
    });
    let ring = user.request("call:invite", invitation).await?;
    let call = text(&ring, "call")?;
    host.push("call:invited").await?;
    report.step("Asha rings; price and balance were checked before it rang.");
    host.request("call:answer", json!({ "call": call, "accept": true })).await?;
    report.step("Meera takes the call: the first increment is charged now, one more each second.");
    let heard = listen(&mut user, &call, cast, &gift.to_string(), report).await?;
    report.figure("increments charged", (CALL_MILLI / INCREMENT_MILLI).to_string(), heard.ticks.to_string());
    report.coins("charged for the call", CALL_MILLI, number(&heard.end, "charged_total_milli")?);
    report.figure("the call ended as", "exhausted".to_owned(), text(&heard.end, "reason")?);
    report.figure("low-balance warnings", "1".to_owned(), heard.warnings.to_string());
    let received = host.push("gift:sent").await?;
    report.coins("the gift as Meera sees it", GIFT_MILLI, number(&received, "price_milli")?);
    // No longer in the catalogue.
    card["price_milli"] = Value::Null;
    cast.admin.put(&format!("/v1/admin/gifts/{gift}"), card).await?;
    Ok(())
}

struct Heard {
    ticks: i64,
    warnings: i64,
    end: Value,
}

/// Listens at Asha's side until the call ends, and sends the gift in the middle.
async fn listen(
    user: &mut Socket,
    call: &str,
    cast: &Cast,
    gift: &str,
    report: &mut Report,
) -> anyhow::Result<Heard> {
    let mut heard = Heard { ticks: 0, warnings: 0, end: Value::Null };
    loop {
        let came = user.next_push().await?;
        let data = &came["data"];
        match came["type"].as_str().unwrap_or_default() {
            "call:ticked" => {
                heard.ticks = number(data, "number")?;
                let total = coins(number(data, "charged_total_milli")?);
                report.step(format!("increment {}: {total} charged so far", heard.ticks));
                if heard.ticks == GIFT_AFTER_TICK {
                    let sent = json!({
                        "host": cast.host_id, "gift": gift, "call": call, "price_seen_milli": GIFT_MILLI, "key": key(),
                    });
                    user.request("gift:send", sent).await?;
                    report.step(format!(
                        "Asha sends a marigold for {}, in the middle of the call.",
                        coins(GIFT_MILLI)
                    ));
                }
            }
            "call:warned" => {
                heard.warnings += 1;
                report.step(format!("A warning: coins for {} more seconds.", data["seconds_left"]));
            }
            "call:ended" => {
                heard.end = data.clone();
                report.step("The coins are used up, and the server hangs up.");
                return Ok(heard);
            }
            _ => {}
        }
    }
}

async fn withdrawal(cast: &Cast, report: &mut Report) -> anyhow::Result<i64> {
    report.chapter("5. Meera is paid");
    let wallet = cast.host.get("/v1/wallet").await?;
    report.coins("Meera's earnings", earned_milli(HOST_BPS), number(&wallet, "earnings_milli")?);
    let asked = cast.host.post("/v1/withdrawals", json!({ "coins_milli": WITHDRAWN_MILLI })).await?;
    let id = text(&asked, "withdrawal")?;
    report.step(format!("She asks for {}.", coins(WITHDRAWN_MILLI)));
    cast.admin.post(&format!("/v1/admin/withdrawals/{id}/approve"), json!({})).await?;
    let paid = json!({ "payout_ref": format!("UTR-{id}") });
    let paid = cast.admin.post(&format!("/v1/admin/withdrawals/{id}/paid"), paid).await?;
    let revision = number(&paid, "revision")?;
    report.step("The admin approves, pays by bank, and marks it as paid.");
    let mine = cast.host.get(&format!("/v1/withdrawals?min_revision={revision}")).await?;
    let row = mine["items"].as_array().and_then(|items| items.first()).context("no withdrawal is listed")?;
    report.figure("its status", "paid".to_owned(), text(row, "status")?);
    // Six coins at 0.75 rupees.
    report.figure("paid out, in paise", "450".to_owned(), number(row, "payout_minor")?.to_string());
    Ok(revision)
}

/// What this many basis points of everything that Asha spent come to. The amounts are whole coins,
/// so nothing is rounded.
fn earned_milli(bps: i64) -> i64 {
    (CALL_MILLI + GIFT_MILLI) * bps / 10_000
}

/// The figures of the end: (what, expected).
fn expected_shares() -> [(&'static str, i64); 3] {
    let platform_bps = 10_000 - HOST_BPS - AGENCY_BPS;
    [
        ("host", earned_milli(HOST_BPS)),
        ("agency", earned_milli(AGENCY_BPS)),
        ("platform", earned_milli(platform_bps)),
    ]
}

fn expected_host_rest_milli() -> i64 {
    earned_milli(HOST_BPS) - WITHDRAWN_MILLI
}

async fn show(cast: &Cast, revision: i64, report: &mut Report) -> anyhow::Result<()> {
    report.chapter("6. The books");
    report.intro(
        "  A revision is a place in the journal: `muneem events --from <revision>` shows what was recorded there.\n\
         \x20 Bonus coins are spent before bought ones; each line names its account and what stood there after it.",
    );
    books::statement(&cast.user, "Asha's statement", revision, report).await?;
    let spent = cast.user.get("/v1/wallet").await?;
    report.coins("what Asha has left", 0, number(&spent, "spendable_milli")?);
    books::statement(&cast.host, "Meera's statement", revision, report).await?;
    let kept = cast.host.get("/v1/wallet").await?;
    report.coins("what Meera has left", expected_host_rest_milli(), number(&kept, "earnings_milli")?);
    commission(cast, revision, report).await?;
    books::trial_balance(&cast.admin, report).await
}

async fn commission(cast: &Cast, revision: i64, report: &mut Report) -> anyhow::Result<()> {
    let page = cast
        .admin
        .get(&format!("/v1/admin/commission-log?host={}&limit=100&min_revision={revision}", cast.host_id))
        .await?;
    let splits = books::items(&page)?;
    let rows = splits.iter().rev().map(|split| {
        let amount = |field: &str| split[field].as_i64().map(coins);
        json!({
            "revision": split["revision"], "source": split["source"],
            "gross": amount("gross_milli"), "host": amount("host_milli"),
            "agency": amount("agency_milli"), "platform": amount("platform_milli"),
        })
    });
    let columns = [
        ("revision", "revision", true),
        ("source", "source", false),
        ("gross", "gross", true),
        ("host", "host", true),
        ("agency", "agency", true),
        ("platform", "platform", true),
    ];
    report.table("Commission log", &rows.collect::<Vec<_>>(), &columns);
    for (who, expected) in expected_shares() {
        let field = format!("{who}_milli");
        let found = splits.iter().map(|split| number(split, &field)).sum::<anyhow::Result<i64>>()?;
        report.coins(&format!("the {who}'s shares in all"), expected, found);
    }
    let agency = format!("agency:{}:earnings", cast.agency_id);
    let balance = cast.admin.get(&format!("/v1/admin/accounts/{agency}/balance")).await?;
    let [_, (_, expected), _] = expected_shares();
    report.coins("the agency's account", expected, number(&balance, "balance_minor")?);
    Ok(())
}

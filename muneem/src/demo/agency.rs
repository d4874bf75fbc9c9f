//! A host who belongs to an agency for a time, and what both are settled and paid. The arithmetic is the story's own: whole
//! coins, done by hand below, and compared with what the server says.

use super::books;
use super::client::{Client, number, text};
use super::report::{Report, coins};
use super::stage::{Settings, Stage, key};
use anyhow::ensure;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use std::time::Duration;

const GIFT_MILLI: i64 = 60_000;
const PAID_MINOR: i64 = 12_000;
/// Half of a gift, a fifth of it, and the rest.
const HOST_MILLI: i64 = 30_000;
const AGENCY_MILLI: i64 = 12_000;
const PLATFORM_MILLI: i64 = 18_000;
/// What an admin adds after the settlement is closed, and by what it is corrected.
const LATE_MILLI: i64 = 2_000;
const CORRECTION_MILLI: i64 = -3_000;
/// For how long Meera belongs to the agency.
const MEMBER: TimeDelta = TimeDelta::seconds(6);

pub fn settings() -> Settings {
    let payouts = json!({
        "minimum_withdrawal_milli": 1_000, "daily_withdrawal_milli": null, "require_verified_payee": false,
        "earnings_hold_seconds": 0, "claw_back_held_earnings": false,
    });
    Settings { payouts, ..Settings::usual() }
}

struct Cast {
    owner: Client,
    agency: String,
    host: Client,
    host_id: String,
    user: Client,
    gift: String,
}

/// # Errors
/// When the server refuses a step that should succeed, or takes one that it should refuse.
pub async fn tell(stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    report.intro(
        "Meera belongs to the agency Night Sky for some seconds. Both are settled, and the agency is paid. Each line with\n\
         \"ok\" compares what the server says with what the story expects.",
    );
    let cast = cast(stage, report).await?;
    earn(stage, &cast, report).await?;
    let (first, closed) = close(stage, &cast, report).await?;
    let last = correct(stage, &cast, &first, report).await?;
    pay(stage, &last, report).await?;
    let revision = late(stage, &cast, &closed, report).await?;
    books::verify(&stage.config, "6. The proof", revision, report).await
}

/// An agency, a host, and somebody with coins for two gifts.
async fn cast(stage: &Stage, report: &mut Report) -> anyhow::Result<Cast> {
    report.chapter("1. An agency");
    let (owner, owner_id) = stage.newcomer().await?;
    let code = format!("SKY-{}", u64::from_be_bytes(platform::entropy::bytes()) % 1_000_000_000);
    let made = json!({ "name": "Night Sky", "code": code, "owner": owner_id });
    let agency = text(&stage.admin.post("/v1/admin/agencies", made).await?, "agency")?;
    let (host, host_id) = stage.new_host("Meera").await?;
    let scope = json!({ "kind": "host", "id": host_id });
    let rate = json!({ "scope": scope, "host_bps": 5_000, "agency_bps": 2_000 });
    stage.admin.put("/v1/admin/commission-rates", rate).await?;
    let (user, _) = stage.newcomer().await?;
    stage.buy(&user, (2 * GIFT_MILLI, 0, PAID_MINOR)).await?;
    let gift = platform::entropy::uuid_v7().to_string();
    let card = json!({ "name": "Moon", "image_url": "/gifts/moon.webp", "position": 101, "price_milli": GIFT_MILLI });
    stage.admin.put(&format!("/v1/admin/gifts/{gift}"), card).await?;
    report.step("Of what Meera's guests spend she gets half, and her agency, while she has one, a fifth.");
    Ok(Cast { owner, agency, host, host_id, user, gift })
}

/// One gift while Meera belongs to the agency, and one after.
async fn earn(stage: &Stage, cast: &Cast, report: &mut Report) -> anyhow::Result<()> {
    report.chapter("2. From a moment to a moment");
    let until = platform::clock::now() + MEMBER;
    let joined =
        json!({ "agency": cast.agency, "until": until.to_rfc3339_opts(SecondsFormat::Millis, true) });
    let path = format!("/v1/admin/hosts/{}/agency", cast.host_id);
    stage.admin.put(&path, joined).await?;
    let mut socket = cast.user.connect().await?;
    let mut send = async || {
        let sent = json!({
            "host": cast.host_id, "gift": cast.gift, "price_seen_milli": GIFT_MILLI, "key": key(),
        });
        socket.request("gift:send", sent).await
    };
    send().await?;
    report
        .step(format!("Asha sends Meera a moon for {}, while she belongs to the agency.", coins(GIFT_MILLI)));
    report.coins("Meera's half", HOST_MILLI, earned(&cast.host).await?);
    report.coins("the agency's fifth", AGENCY_MILLI, agency_earned(&cast.owner).await?);
    while platform::clock::now() <= until {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    send().await?;
    report.step(
        "The membership is over. Asha sends another one: it is shared by Meera and the platform alone.",
    );
    report.coins("Meera's two halves", 2 * HOST_MILLI, earned(&cast.host).await?);
    report.coins("still the agency's", AGENCY_MILLI, agency_earned(&cast.owner).await?);
    // The moon was the story's; it is no longer on offer.
    let card =
        json!({ "name": "Moon", "image_url": "/gifts/moon.webp", "position": 101, "price_milli": null });
    stage.admin.put(&format!("/v1/admin/gifts/{}", cast.gift), card).await?;
    Ok(())
}

/// The agency's period: drafted, closed, and closed only once.
async fn close(stage: &Stage, cast: &Cast, report: &mut Report) -> anyhow::Result<(String, Value)> {
    report.chapter("3. A settlement");
    let admin = &stage.admin;
    let agency = &cast.agency;
    let draft = admin.get(&format!("/v1/admin/settlements/draft?agency={agency}")).await?;
    report.step("The admin looks at the draft of the agency's statement, and closes it.");
    report.coins("charged, in the draft", GIFT_MILLI, number(&draft, "gross_milli")?);
    report.coins("the platform's share", PLATFORM_MILLI, number(&draft, "platform_milli")?);
    report.coins("the agency's net", AGENCY_MILLI, number(&draft, "net_milli")?);
    let made = admin.post("/v1/admin/settlements", json!({ "agency": agency })).await?;
    let id = text(&made, "settlement")?;
    let revision = number(&made, "revision")?;
    let own = format!("/v1/agencies/{agency}/settlements/{id}?min_revision={revision}");
    let closed = cast.owner.get(&own).await?;
    report.coins("the owner sees the agency's net", AGENCY_MILLI, number(&closed, "net_milli")?);
    let again = json!({ "agency": agency, "from": closed["starts_at"] });
    let refused = admin.refused("/v1/admin/settlements", again).await?;
    report.figure("to close the period again is refused", "already_settled".to_owned(), refused);
    let items = cast.owner.get(&format!("/v1/agencies/{agency}/settlements/{id}/items")).await?;
    let columns = [
        ("revision", "revision", true),
        ("type", "type", false),
        ("charged", "gross_milli", true),
        ("platform", "platform_milli", true),
        ("host", "others_milli", true),
        ("agency", "net_milli", true),
    ];
    report.table("The statement's items", items["items"].as_array().map_or(&[][..], Vec::as_slice), &columns);
    Ok((id, closed))
}

/// A closed statement is corrected by a later version alone.
async fn correct(stage: &Stage, cast: &Cast, first: &str, report: &mut Report) -> anyhow::Result<String> {
    report.chapter("4. A correction, and the payment");
    let path = format!("/v1/admin/settlements/{first}/corrections");
    let why = json!({ "amount_milli": CORRECTION_MILLI, "reason": "wrong_rate" });
    let made = stage.admin.post(&path, why.clone()).await?;
    let id = text(&made, "settlement")?;
    let revision = number(&made, "revision")?;
    report.step(format!(
        "The agency got {} too much: a second version takes them back.",
        coins(-CORRECTION_MILLI)
    ));
    let own = format!("/v1/agencies/{}/settlements/{id}?min_revision={revision}", cast.agency);
    let corrected = cast.owner.get(&own).await?;
    report.figure("it names the first one", first.to_owned(), text(&corrected, "corrects")?);
    report.coins("the new net", AGENCY_MILLI + CORRECTION_MILLI, number(&corrected, "net_milli")?);
    let refused = stage.admin.refused(&path, why).await?;
    report.figure("to correct the first one again is refused", "settlement_corrected".to_owned(), refused);
    Ok(id)
}

/// Like a withdrawal: requested, approved, paid; once.
async fn pay(stage: &Stage, settlement: &str, report: &mut Report) -> anyhow::Result<()> {
    let admin = &stage.admin;
    let path = format!("/v1/admin/settlements/{settlement}");
    let withdrawal = text(&admin.post(&format!("{path}/pay"), json!({})).await?, "withdrawal")?;
    let refused = admin.refused(&format!("{path}/pay"), json!({})).await?;
    report.figure("to pay it twice is refused", "nothing_to_pay".to_owned(), refused);
    let step = |step: &str| format!("/v1/admin/withdrawals/{withdrawal}/{step}");
    admin.post(&step("approve"), json!({})).await?;
    let paid = admin.post(&step("paid"), json!({ "payout_ref": format!("UTR-{withdrawal}") })).await?;
    report.step("The withdrawal of the settlement is approved and paid like any other.");
    let revision = number(&paid, "revision")?;
    let settled = admin.get(&format!("{path}?min_revision={revision}")).await?;
    report.coins("paid", AGENCY_MILLI + CORRECTION_MILLI, number(&settled, "paid_milli")?);
    Ok(())
}

/// What is recorded late falls into the next period.
async fn late(stage: &Stage, cast: &Cast, closed: &Value, report: &mut Report) -> anyhow::Result<i64> {
    report.chapter("5. The next period");
    let admin = &stage.admin;
    let account = format!("agency:{}:earnings", cast.agency);
    let why = json!({ "account": account, "amount_milli": LATE_MILLI, "reason": "late_bonus" });
    admin.post("/v1/admin/adjustments", why).await?;
    report.step(format!("An admin adds {} after the period was closed.", coins(LATE_MILLI)));
    let made = admin.post("/v1/admin/settlements", json!({ "agency": cast.agency })).await?;
    let (id, revision) = (text(&made, "settlement")?, number(&made, "revision")?);
    let next = admin.get(&format!("/v1/admin/settlements/{id}?min_revision={revision}")).await?;
    report.coins(
        "the next settlement has them, and nothing of the correction",
        LATE_MILLI,
        number(&next, "net_milli")?,
    );
    report.figure("it begins where the first one ends", text(closed, "ends_at")?, text(&next, "starts_at")?);
    let starts: DateTime<Utc> = text(&next, "starts_at")?.parse()?;
    ensure!(starts <= platform::clock::now(), "the next period begins in the future");
    let made = admin.post("/v1/admin/settlements", json!({ "host": cast.host_id })).await?;
    let (id, revision) = (text(&made, "settlement")?, number(&made, "revision")?);
    let own = cast.host.get(&format!("/v1/me/settlements/{id}?min_revision={revision}")).await?;
    report.step("Meera's own earnings are settled too: both gifts, with the agency's share of the first.");
    report.coins("charged", 2 * GIFT_MILLI, number(&own, "gross_milli")?);
    report.coins("her agency's share", AGENCY_MILLI, number(&own, "others_milli")?);
    report.coins("her net", 2 * HOST_MILLI, number(&own, "net_milli")?);
    Ok(revision)
}

async fn earned(host: &Client) -> anyhow::Result<i64> {
    number(&host.get("/v1/wallet").await?, "earnings_milli")
}

async fn agency_earned(owner: &Client) -> anyhow::Result<i64> {
    number(&owner.get("/v1/agencies").await?["items"][0], "earnings_milli")
}

//! The end of the story: statements, commission log, trial balance, and the proof.

use super::client::number;
use super::report::{Report, coins};
use super::story::{Cast, expected_host_rest_milli, expected_shares};
use crate::config::Config;
use crate::operator;
use anyhow::Context;
use ledger_core::Asset;
use serde_json::{Value, json};

pub async fn show(cast: &Cast, revision: i64, report: &mut Report) -> anyhow::Result<()> {
    report.chapter("6. The books");
    report.intro(
        "  A revision is a place in the journal: `muneem events --from <revision>` shows what was recorded there.\n\
         \x20 Bonus coins are spent before bought ones; each line names its account and what stood there after it.",
    );
    statement(&cast.user, "Asha's statement", revision, report).await?;
    let spent = cast.user.get("/v1/wallet").await?;
    report.coins("what Asha has left", 0, number(&spent, "spendable_milli")?);
    statement(&cast.host, "Meera's statement", revision, report).await?;
    let kept = cast.host.get("/v1/wallet").await?;
    report.coins("what Meera has left", expected_host_rest_milli(), number(&kept, "earnings_milli")?);
    commission(cast, revision, report).await?;
    trial_balance(cast, report).await
}

async fn statement(
    who: &super::client::Client,
    name: &str,
    revision: i64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let page = who.get(&format!("/v1/wallet/statement?limit=100&min_revision={revision}")).await?;
    let lines = items(&page)?.iter().rev().map(|line| {
        let asset: Asset = line["asset"].as_str().and_then(|it| it.parse().ok()).unwrap_or(Asset::COIN);
        let amount = |field: &str| line[field].as_i64().map(|it| asset.format(it));
        json!({
            "revision": line["revision"], "type": line["type"], "description": line["description"],
            "account": line["account"].as_str().and_then(|it| it.rsplit(':').next()),
            "amount": amount("amount_minor"), "balance": amount("balance_after_minor"),
        })
    });
    let columns = [
        ("revision", "revision", true),
        ("type", "type", false),
        ("what", "description", false),
        ("account", "account", false),
        ("amount", "amount", true),
        ("account after", "balance", true),
    ];
    report.table(name, &lines.collect::<Vec<_>>(), &columns);
    Ok(())
}

async fn commission(cast: &Cast, revision: i64, report: &mut Report) -> anyhow::Result<()> {
    let page = cast
        .admin
        .get(&format!("/v1/admin/commission-log?host={}&limit=100&min_revision={revision}", cast.host_id))
        .await?;
    let splits = items(&page)?;
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

async fn trial_balance(cast: &Cast, report: &mut Report) -> anyhow::Result<()> {
    let trial = cast.admin.get("/v1/admin/trial-balance").await?;
    let lines = trial["lines"].as_array().context("the trial balance has no lines")?;
    let rows = lines.iter().map(|line| {
        let asset: Asset = line["asset"].as_str().and_then(|it| it.parse().ok()).unwrap_or(Asset::COIN);
        let amount = |field: &str| line[field].as_i64().filter(|it| *it != 0).map(|it| asset.format(it));
        json!({ "account": line["account"], "asset": line["asset"], "debit": amount("debit_minor"), "credit": amount("credit_minor") })
    });
    let columns = [("account", "account", false), ("debit", "debit", true), ("credit", "credit", true)];
    report.table(
        "Trial balance (all accounts of the deployment, by kind)",
        &rows.collect::<Vec<_>>(),
        &columns,
    );
    report.intro(
        "  Credit is what the platform owes, or has earned; debit is what it holds, or has spent. Coins and rupees meet\n\
         \x20 in exchange:coins only, so each asset balances by itself.",
    );
    for sum in trial["sums"].as_array().context("the trial balance has no sums")? {
        let asset = sum["asset"].as_str().unwrap_or_default();
        let sides = (number(sum, "debit_minor")?, number(sum, "credit_minor")?);
        let kind: Asset = asset.parse().ok().with_context(|| format!("{asset} is no asset"))?;
        let (debit, credit) = (kind.format(sides.0), kind.format(sides.1));
        report.figure(&format!("debit equals credit in {asset}"), debit, credit);
    }
    Ok(())
}

/// What `muneem verify` says.
///
/// # Errors
/// When the journal or the database cannot be reached from here.
pub async fn verify(config: &Config, revision: i64, report: &mut Report) -> anyhow::Result<()> {
    report.chapter("7. The proof");
    let verified = operator::verify_report(config).await?;
    report.step(format!(
        "verify replays the journal from its first event to revision {} and compares every figure of the read models.",
        verified.revision.unwrap_or_default()
    ));
    let reached =
        verified.revision.is_some_and(|reached| i64::try_from(reached).is_ok_and(|it| it >= revision));
    report.figure("verify saw the story's last event", "true".to_owned(), reached.to_string());
    let difference = verified.difference.map_or("none".to_owned(), |it| it.to_string());
    report.figure("differences", "none".to_owned(), difference);
    Ok(())
}

fn items(page: &Value) -> anyhow::Result<&Vec<Value>> {
    page["items"].as_array().with_context(|| format!("no page of items: {page}"))
}

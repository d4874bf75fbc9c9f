//! The end of each story: statements, trial balance, and the proof.

use super::client::{Client, number};
use super::report::Report;
use crate::config::Config;
use crate::operator;
use anyhow::Context;
use ledger_core::Asset;
use serde_json::{Value, json};

/// What somebody has spent and earned, the oldest line first.
///
/// # Errors
/// When the server refuses.
pub async fn statement(who: &Client, name: &str, revision: i64, report: &mut Report) -> anyhow::Result<()> {
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

/// All accounts, by kind; debit and credit are equal.
///
/// # Errors
/// When the server refuses.
pub async fn trial_balance(admin: &Client, report: &mut Report) -> anyhow::Result<()> {
    let trial = admin.get("/v1/admin/trial-balance").await?;
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
pub async fn verify(
    config: &Config,
    chapter: &str,
    revision: i64,
    report: &mut Report,
) -> anyhow::Result<()> {
    report.chapter(chapter);
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

/// The items of a page.
///
/// # Errors
/// When it is none.
pub fn items(page: &Value) -> anyhow::Result<&Vec<Value>> {
    page["items"].as_array().with_context(|| format!("no page of items: {page}"))
}

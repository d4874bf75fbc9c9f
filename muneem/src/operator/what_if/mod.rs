//! `muneem what-if`: what hosts, agencies and the platform would have had by other rules.

mod earnings;
mod replay;
mod rules;
#[cfg(test)]
mod tests;

use self::replay::{Both, Range, Refusal, Replay};
use self::rules::{RuleOptions, Rules, Specific};
use super::open_journal;
use crate::config::Config;
use crate::progress::Bar;
use anyhow::{bail, ensure};
use chrono::{DateTime, Utc};
use clap::Args;
use comfy_table::{CellAlignment, Table};
use event_store::EventStore;
use ledger_core::{Account, Asset, Timestamp};
use serde::Serialize;
use std::process::ExitCode;

/// As many as a read of the journal answers at once.
const PAGE_EVENTS: usize = 8_192;
/// So many refused withdrawals are printed.
const SHOWN_REFUSALS: usize = 10;

#[derive(Args)]
pub struct WhatIfOptions {
    #[command(flatten)]
    rules: RuleOptions,
    #[command(flatten)]
    specific: Specific,
    /// The first revision of the range; the rules before it stay as they were.
    #[arg(long, default_value_t = 0, value_name = "REVISION")]
    from: u64,
    /// The last revision of the range; the end of the journal if not given.
    #[arg(long, value_name = "REVISION")]
    to: Option<u64>,
    /// The range begins at this moment, such as 2026-04-01T00:00:00+05:30.
    #[arg(long, value_name = "TIME")]
    since: Option<DateTime<Utc>>,
    /// The range ends before this moment.
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
    /// How many hosts and agencies to print, those with the greatest differences first.
    #[arg(long, default_value_t = 30)]
    rows: usize,
    /// All of it as JSON; amounts are in thousandths of a coin.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When the options make no sense together, or the journal cannot be read.
pub async fn what_if(config: &Config, options: &WhatIfOptions) -> anyhow::Result<ExitCode> {
    let store = open_journal(config).await?;
    let rules = Rules::of(&options.rules, &options.specific)?;
    let range = options.range(store.as_ref()).await?;
    let report = report(store.as_ref(), &rules, range).await?;
    match options.json {
        true => crate::out!("{}", serde_json::to_string_pretty(&report)?),
        false => print(&report, options.rows),
    }
    Ok(ExitCode::SUCCESS)
}

impl WhatIfOptions {
    async fn range(&self, store: &dyn EventStore) -> anyhow::Result<Range> {
        let Some(head) = store.head().await? else { bail!("the journal is empty: there is no history yet") };
        let to = self.to.unwrap_or(head);
        ensure!(
            self.from <= head && to <= head,
            "the journal ends at revision {head}: give --from and --to up to that"
        );
        ensure!(self.from <= to, "--from {} is after --to {to}: exchange them", self.from);
        let moment = |it: &DateTime<Utc>| Timestamp(it.timestamp_millis());
        let (since, until) = (self.since.as_ref().map(moment), self.until.as_ref().map(moment));
        if let (Some(since), Some(until)) = (since, until) {
            ensure!(since < until, "--since must be before --until");
        }
        Ok(Range { from: self.from, to, since, until })
    }
}

/// What `muneem what-if` finds.
#[derive(Serialize)]
struct Report {
    rules: Rules,
    from_revision: u64,
    to_revision: u64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    /// The charges that were split in the range.
    charges: u64,
    paid_by_users: Both,
    platform: Both,
    /// By the greatest difference.
    earners: Vec<Row>,
    withdrawals_refused: Refused,
}

#[derive(Serialize)]
struct Row {
    account: Account,
    earned: Both,
    difference_milli: i64,
    /// At the end of the range.
    withdrawable: Both,
}

#[derive(Serialize)]
struct Refused {
    count: u64,
    coins_milli: i64,
    /// The first of them.
    withdrawals: Vec<Refusal>,
}

async fn report(store: &dyn EventStore, rules: &Rules, range: Range) -> anyhow::Result<Report> {
    let mut replay = Replay::new(rules, range);
    let bar = Bar::count("replaying the journal");
    let mut next = 0;
    'journal: while next <= range.to {
        bar.show(next, range.to.saturating_add(1));
        let events = ledger_runtime::read_journal(store, next, PAGE_EVENTS).await?;
        let Some(last) = events.last() else { break };
        next = last.revision.saturating_add(1);
        for recorded in &events {
            if range.is_before(recorded) {
                break 'journal;
            }
            replay.take(recorded)?;
        }
    }
    bar.end();
    let (Some((from_revision, from)), Some((to_revision, end))) = (replay.first, replay.last) else {
        bail!("nothing was recorded in this range: give --since and --until that have events between them");
    };
    let mut earners: Vec<Row> = replay
        .earners
        .iter()
        .map(|(account, earner)| Row {
            account: *account,
            earned: earner.earned,
            difference_milli: earner.earned.difference_milli(),
            withdrawable: earner.withdrawable(end),
        })
        .filter(|row| row.earned != Both::default() || row.withdrawable.difference_milli() != 0)
        .collect();
    earners.sort_by_key(|row| {
        let most = row.difference_milli.abs().max(row.withdrawable.difference_milli().abs());
        (std::cmp::Reverse(most), row.account)
    });
    Ok(Report {
        rules: rules.clone(),
        from_revision,
        to_revision,
        from: from.to_utc(),
        to: end.to_utc(),
        charges: replay.charges,
        paid_by_users: replay.paid,
        platform: replay.platform,
        earners,
        withdrawals_refused: Refused {
            count: replay.refused,
            coins_milli: replay.refused_milli,
            withdrawals: replay.refusals,
        },
    })
}

fn print(report: &Report, rows: usize) {
    crate::out!(
        "Revisions {} to {}, {} to {}: {} charges told again. Nothing is written.",
        report.from_revision,
        report.to_revision,
        report.from.format("%F %T"),
        report.to.format("%F %T UTC"),
        report.charges
    );
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(["coins", "as it was", "otherwise", "difference", "could withdraw", "otherwise"]);
    let coins = |milli: i64| Asset::COIN.format(milli);
    let signed = |milli: i64| format!("{}{}", if milli > 0 { "+" } else { "" }, coins(milli));
    let figures = |name: String, both: Both| {
        [name, coins(both.recorded_milli), coins(both.alternative_milli), signed(both.difference_milli())]
    };
    table.add_row(figures("paid by users".into(), report.paid_by_users));
    table.add_row(figures("platform".into(), report.platform));
    for row in report.earners.iter().take(rows) {
        let can = [row.withdrawable.recorded_milli, row.withdrawable.alternative_milli].map(coins);
        table.add_row(figures(row.account.to_string(), row.earned).into_iter().chain(can));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    crate::out!("{table}");
    if let Some(more) = report.earners.len().checked_sub(rows).filter(|more| *more > 0) {
        crate::out!("and {more} with smaller differences: --rows or --json shows them");
    }
    let refused = &report.withdrawals_refused;
    if refused.count > 0 {
        let total = coins(refused.coins_milli);
        crate::out!("{} withdrawals of {total} coins in all would not have been possible:", refused.count);
        for it in refused.withdrawals.iter().take(SHOWN_REFUSALS) {
            crate::out!(
                "  {} at revision {}: {} of {}, who could withdraw {}",
                it.withdrawal,
                it.revision,
                coins(it.coins_milli),
                it.account,
                coins(it.withdrawable_milli)
            );
        }
    }
    if report.rules.change_prices() {
        crate::out!(
            "Demand is held equal: as many calls, minutes and gifts as there were, whatever they cost."
        );
    }
}

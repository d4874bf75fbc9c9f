//! `muneem events`: the journal on the terminal.

use super::open_journal;
use crate::config::Config;
use anyhow::Context;
use clap::Args;
use ledger_core::{Account, Event, PersonId, Recorded};
use serde_json::{Value, json};
use std::io::Write;
use std::process::ExitCode;
use uuid::Uuid;

#[derive(Args)]
pub struct EventsOptions {
    /// Only this type, such as GiftSent.
    #[arg(long, value_parser = known_kind)]
    kind: Option<String>,
    /// Only events that concern this person.
    #[arg(long)]
    person: Option<PersonId>,
    /// Only events about this call, purchase, withdrawal or gift.
    #[arg(long)]
    about: Option<Uuid>,
    /// Only events that post to this account, such as platform:revenue.
    #[arg(long)]
    account: Option<Account>,
    /// From this revision on.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// At most so many.
    #[arg(long)]
    limit: Option<u64>,
    /// Go on with what is recorded from now on, until Ctrl-C.
    #[arg(long)]
    follow: bool,
    /// One JSON object a line, with metadata and data as recorded.
    #[arg(long)]
    json: bool,
}

fn known_kind(text: &str) -> Result<String, String> {
    match Event::KINDS.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(format!("the types are {}", Event::KINDS.join(", "))),
    }
}

/// # Errors
/// When the journal cannot be read.
pub async fn events(config: &Config, options: &EventsOptions) -> anyhow::Result<ExitCode> {
    let store = open_journal(config).await?;
    let mut out = std::io::stdout().lock();
    let mut next = options.from;
    let mut shown = 0;
    loop {
        let batch = ledger_runtime::read_journal(store.as_ref(), next, 1_000).await?;
        for event in batch.iter().filter(|event| options.fits(event)) {
            if options.limit.is_some_and(|limit| shown >= limit) {
                return Ok(ExitCode::SUCCESS);
            }
            shown += 1;
            if print(&mut out, event, options.json).is_err() {
                // The reader of the output has closed it, as in `muneem events | head`.
                return Ok(ExitCode::SUCCESS);
            }
        }
        match batch.last() {
            Some(last) => next = last.revision + 1,
            None if options.follow => {
                store.wait_beyond(next.checked_sub(1)).await.context("the journal cannot be followed on")?;
            }
            None => return Ok(ExitCode::SUCCESS),
        }
    }
}

impl EventsOptions {
    fn fits(&self, recorded: &Recorded) -> bool {
        let event = &recorded.event;
        self.kind.as_deref().is_none_or(|kind| kind == event.kind())
            && self.person.is_none_or(|person| event.people().contains(&person))
            && self.about.is_none_or(|about| recorded.metadata.correlation == Some(about))
            && self.account.is_none_or(|account| event.postings().iter().any(|it| it.account == account))
    }
}

fn print(out: &mut impl Write, recorded: &Recorded, as_json: bool) -> std::io::Result<()> {
    let data: Value = serde_json::from_slice(&recorded.event.to_json()).unwrap_or_default();
    if as_json {
        let line = json!({
            "revision": recorded.revision,
            "event_id": recorded.event_id,
            "type": recorded.event.kind(),
            "metadata": recorded.metadata,
            "data": data,
        });
        return writeln!(out, "{line}");
    }
    let metadata = &recorded.metadata;
    writeln!(
        out,
        "{:>8}  {}  {:<22} {}/{}  {}",
        recorded.revision,
        metadata.recorded_at,
        recorded.event.kind(),
        metadata.index + 1,
        metadata.count,
        metadata.actor
    )?;
    let fields = data
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, value)| *name != "postings" && !value.is_null());
    for (name, value) in fields {
        writeln!(out, "{:>12}{name}: {value}", "")?;
    }
    for posting in recorded.event.postings() {
        let side = if posting.amount > 0 { "debit " } else { "credit" };
        let amount = posting.asset.format(posting.amount.abs());
        writeln!(out, "{:>12}{side} {amount:>20}  {}", "", posting.account)?;
    }
    Ok(())
}

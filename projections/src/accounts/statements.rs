//! Statements: every movement of an account, with the balance after it.

use super::{wallet_of, words};
use crate::calls::CallRow;
use crate::error::QueryError;
use crate::mechanism::{Cursor, Events, Page, ReadModels, page_size, pg_revision};
use chrono::{DateTime, Utc};
use event_store::ReadError;
use ledger_core::event::{CommissionSplit, SubscriptionPaid};
use ledger_core::{Amounts, Account, Asset, CallId, Period, PersonId, Recorded, rfc3339};
use serde::Serialize;
use sqlx::{Postgres, QueryBuilder};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use utoipa::ToSchema;
use uuid::Uuid;

/// One movement, as the account's owner reads it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct StatementLine {
    pub account: String,
    /// The asset of the amounts, such as `COIN/3`: they count its smallest unit.
    pub asset: String,
    pub revision: i64,
    pub posting_index: i32,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub recorded_at: DateTime<Utc>,
    /// The type of the event.
    pub kind: String,
    /// `purchase`, `refund`, `dispute`, `receivable`, `clawback`, `unmatched`, `bonus`, `bonus_expiry`, `call`, `call_return`,
    /// `gift`, `subscription`, `order`, `order_return`, `commission`, `withdrawal` or `adjustment`.
    #[serde(rename = "type")]
    pub movement: String,
    /// `completed`; of a withdrawal its state after the movement; of unmatched money `unresolved`.
    pub status: String,
    pub description: String,
    /// What the owner gained (positive) or lost (negative); of a `receivable`, how much more (positive) or less is owed.
    pub amount_minor: i64,
    pub balance_after_minor: i64,
    /// The account on the other side of the posting.
    pub counterparty_account: Option<String>,
    /// The person on the other side, through clearing: the host of a charge, the payer of earnings.
    pub counterparty_person: Option<Uuid>,
    /// The call, purchase, withdrawal ... that the movement is part of.
    pub correlation: Option<Uuid>,
    /// Whose wallet the account is part of.
    pub person: Option<Uuid>,
}

/// Whose statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementOf {
    /// All accounts of a person's wallet: bought coins, bonus coins, earnings, frozen coins, what is owed.
    Person(PersonId),
    Account(Account, Asset),
}

impl StatementOf {
    fn accounts(self) -> Vec<(Account, Asset)> {
        match self {
            StatementOf::Person(person) => {
                wallet_of(person).map(|account| (account, Asset::COIN)).to_vec()
            }
            StatementOf::Account(account, asset) => vec![(account, asset)],
        }
    }
}

/// Which movements; all that is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatementFilter {
    pub period: Period,
    /// What sort of movement, such as `gift`.
    pub movement: Option<String>,
    /// The type of the event.
    pub kind: Option<String>,
    /// The person on the other side.
    pub counterparty: Option<PersonId>,
    /// As the account's owner reads them.
    pub amount_minor: Amounts,
}

impl StatementFilter {
    /// Whether lines have to be read to be told apart.
    fn reads(&self) -> bool {
        *self != StatementFilter { period: self.period, ..StatementFilter::default() }
    }

    fn takes(&self, line: &StatementLine) -> bool {
        self.movement.as_ref().is_none_or(|movement| *movement == line.movement)
            && self.kind.as_ref().is_none_or(|kind| *kind == line.kind)
            && self.counterparty.is_none_or(|person| line.counterparty_person == Some(person.0))
            && self.amount_minor.take(line.amount_minor)
    }
}

/// As many lines are read at once for a filter that reads them,
const BLOCK: i64 = 1_000;
/// and so many times for one page.
const BLOCKS: u32 = 10;

/// A line as its table has it: the revision, the posting, the balance after it.
type Kept = (i64, i16, i64);

impl ReadModels {
    /// The movements, newest first. Tables keep the figures alone, so that a filter reads the events of up to 10,000
    /// lines for a page: the page may be short, or empty, and have a next one.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres or the journal fails.
    pub async fn statement(
        &self,
        of: StatementOf,
        filter: &StatementFilter,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<StatementLine>, QueryError> {
        let rows = usize::try_from(page_size(limit)).unwrap_or(usize::MAX);
        let (first, end) = self.revisions(filter.period).await?;
        let mut before = Cursor::read_or("statement", before, (i64::MAX, i16::MAX))?.min((end, 0));
        let (block, blocks) = if filter.reads() { (BLOCK, BLOCKS) } else { (page_size(limit), 1) };
        let mut items = Vec::new();
        for _ in 0..blocks {
            let (Page { items: lines, next }, events) = self.block(of, (first, before), block).await?;
            let media = self.media(&events).await?;
            for (place, line) in lines.iter().enumerate() {
                before = (line.0, line.1);
                let line = told(line, events.at(line.0)?, &media)?;
                items.extend(Some(line).filter(|line| filter.takes(line)));
                if items.len() == rows {
                    let more = next.is_some() || place + 1 < lines.len();
                    return Ok(Page { items, next: more.then(|| Cursor::write("statement", &before)) });
                }
            }
            if next.is_none() {
                return Ok(Page { items, next });
            }
        }
        Ok(Page { items, next: Some(Cursor::write("statement", &before)) })
    }

    /// Up to `limit` lines before a place and from a revision on, and their events.
    async fn block(
        &self,
        of: StatementOf,
        (first, before): (i64, (i64, i16)),
        limit: i64,
    ) -> Result<(Page<Kept>, Events), QueryError> {
        let page = |kept| Page::of(kept, limit, "statement", |line: &Kept| (line.0, line.1));
        if let StatementOf::Account(Account::ClearingCharges, asset) = of {
            let (mut kept, events) = self.clearing(asset, before, limit + 1).await?;
            kept.retain(|line| line.0 >= first);
            return Ok((page(kept), events));
        }
        let page = page(self.lines(of, (first, before), limit + 1).await?);
        let events = self.recorded(page.items.iter().map(|line| line.0)).await?;
        Ok((page, events))
    }

    /// The lines before a place, newest first. Each account has its own in order along the key, and they are merged.
    async fn lines(
        &self,
        of: StatementOf,
        (first, before): (i64, (i64, i16)),
        limit: i64,
    ) -> Result<Vec<Kept>, QueryError> {
        let mut query = QueryBuilder::<Postgres>::new("SELECT * FROM (");
        for (place, (account, asset)) in of.accounts().into_iter().enumerate() {
            query.push(if place == 0 { "(" } else { " UNION ALL (" });
            query.push(
                "SELECT revision, posting_index, balance_after_minor FROM read.statement_lines
                 WHERE account = (SELECT number FROM read.balances WHERE account = ",
            );
            query.push_bind(account.to_string()).push(" AND asset = ").push_bind(asset.to_string());
            query.push(") AND (revision, posting_index) < (").push_bind(before.0);
            query.push(", ").push_bind(before.1).push(") AND revision >= ").push_bind(first);
            query.push(" ORDER BY revision DESC, posting_index DESC LIMIT ").push_bind(limit).push(")");
        }
        query.push(") AS lines ORDER BY revision DESC, posting_index DESC LIMIT ").push_bind(limit);
        Ok(query.build_query_as().fetch_all(self.pool()?).await?)
    }

    /// As [`ReadModels::lines`], of clearing. A charge and its split are of one unit, and each split moves clearing, as does
    /// what goes to the platform as a whole: the lines are made of these units around the place and before it.
    async fn clearing(
        &self,
        asset: Asset,
        before: (i64, i16),
        limit: i64,
    ) -> Result<(Vec<Kept>, Events), QueryError> {
        let splits: Vec<i64> = sqlx::query_scalar(
            "SELECT near.revision FROM UNNEST($1::text[]) AS wanted (kind)
             CROSS JOIN LATERAL (
                 (SELECT revision FROM read.events WHERE events.kind = wanted.kind::read.event_kind AND revision > $2
                  ORDER BY revision LIMIT 1)
                 UNION ALL
                 (SELECT revision FROM read.events WHERE events.kind = wanted.kind::read.event_kind AND revision <= $2
                  ORDER BY revision DESC LIMIT $3)
             ) AS near",
        )
        .bind([CommissionSplit::KIND, SubscriptionPaid::KIND].map(str::to_owned).to_vec())
        .bind(before.0)
        // All lines of the first may stand on the page before.
        .bind(limit.saturating_add(1))
        .fetch_all(self.pool()?)
        .await?;
        // Most units are a charge and its split.
        let mut events =
            self.recorded(splits.iter().flat_map(|revision| [*revision - 1, *revision])).await?;
        let mut units = BTreeMap::new();
        for revision in splits {
            let metadata = &events.at(revision)?.metadata;
            let first = revision - i64::from(metadata.index);
            units.insert(first, first + i64::from(metadata.count) - 1);
        }
        let missing: Vec<i64> = units
            .iter()
            .flat_map(|(first, last)| *first..=*last)
            .filter(|revision| events.get(*revision).is_none())
            .collect();
        if !missing.is_empty() {
            events.extend(self.recorded(missing).await?);
        }
        let mut lines = Vec::new();
        for (first, last) in units {
            let mut balance_minor = 0;
            for revision in first..=last {
                for (posting, index) in events.at(revision)?.event.postings().iter().zip(0_i16..) {
                    if posting.account == Account::ClearingCharges && posting.asset == asset {
                        balance_minor += posting.amount;
                        lines.push((revision, index, balance_minor));
                    }
                }
            }
        }
        lines.retain(|line| (line.0, line.1) < before);
        lines.reverse();
        lines.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok((lines, events))
    }

    /// The media of the calls that the events are part of.
    async fn media(&self, events: &Events) -> Result<HashMap<Uuid, String>, QueryError> {
        let correlations: BTreeSet<Uuid> =
            events.values().filter_map(|recorded| recorded.metadata.correlation).collect();
        let calls = self.calls(&correlations.into_iter().map(CallId).collect::<Vec<_>>()).await?;
        Ok(calls.into_iter().map(|CallRow { call, medium, .. }| (call, medium)).collect())
    }
}

/// A line in the words of its event.
fn told(
    (_, posting_index, balance_after_minor): &Kept,
    recorded: &Recorded,
    media: &HashMap<Uuid, String>,
) -> Result<StatementLine, QueryError> {
    let (event, correlation) = (&recorded.event, recorded.metadata.correlation);
    let (postings, index) = (event.postings(), usize::try_from(*posting_index).unwrap_or(usize::MAX));
    let Some(posting) = postings.get(index) else {
        let lacking = format!("the event at {} has no posting {posting_index}", recorded.revision);
        return Err(ReadError::Damaged(lacking).into());
    };
    let account = posting.account;
    let medium = correlation.and_then(|call| media.get(&call));
    let words = words::describe(event, account, medium.map(String::as_str));
    let other = words::opposite(postings, index).map(|posting| posting.account);
    Ok(StatementLine {
        account: account.to_string(),
        asset: posting.asset.to_string(),
        revision: pg_revision(recorded.revision),
        posting_index: i32::from(*posting_index),
        recorded_at: recorded.metadata.recorded_at.to_utc(),
        kind: event.kind().to_owned(),
        movement: words.movement.to_owned(),
        status: words.status.to_owned(),
        description: words.description.into_owned(),
        amount_minor: account.natural_balance(posting.amount),
        balance_after_minor: *balance_after_minor,
        counterparty_account: other.map(|other| other.to_string()),
        counterparty_person: words::counterparty(event, account, other).map(|person| person.0),
        correlation,
        person: account.person().map(|person| person.0),
    })
}

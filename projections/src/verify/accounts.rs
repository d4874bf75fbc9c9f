//! Balances by the events' postings, against the ledger's own and those of the read models; and the lines
//! of statements.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::accounts::{AccountClassRow, StatementLine, class_of, words};
use ledger_core::{Account, Asset, State};
use sqlx::PgConnection;
use std::collections::BTreeMap;

named!(StatementLine: "statement_lines", |row| row.account.clone());
named!(AccountClassRow: "account_classes", |row| format!("{} in {}", row.class, row.asset));

/// Debit positive, with the last event that moved the account.
#[derive(Default)]
pub(super) struct Accounts {
    balances: BTreeMap<(Account, Asset), (i64, u64)>,
    lines: Vec<StatementLine>,
}

impl Opinion for Accounts {
    const GROWING: &[(&str, &str)] = &[("statement_lines", "account")];

    fn add(&mut self, told: &Told<'_>) {
        let event = told.event();
        let postings = event.postings();
        for (index, posting) in postings.iter().enumerate() {
            let account = posting.account;
            let row = self.balances.entry((account, posting.asset)).or_default();
            *row = (row.0 + posting.amount, told.recorded.revision);
            let other = words::opposite(postings, index).map(|posting| posting.account);
            let text = words::describe(event, account, told.medium.as_deref());
            self.lines.push(StatementLine {
                account: account.to_string(),
                asset: posting.asset.to_string(),
                revision: told.revision,
                posting_index: i32::try_from(index).unwrap_or(i32::MAX),
                recorded_at: told.at,
                kind: event.kind().to_owned(),
                movement: text.movement.to_owned(),
                status: text.status.to_owned(),
                description: text.description.into_owned(),
                amount_minor: account.natural_balance(posting.amount),
                balance_after_minor: account.natural_balance(row.0),
                counterparty_account: other.map(|other| other.to_string()),
                counterparty_person: words::counterparty(event, account, other).map(|person| person.0),
                correlation: told.recorded.metadata.correlation,
                person: account.person().map(|person| person.0),
            });
        }
    }

    async fn compare_range(
        &mut self,
        comparison: &mut Comparison<'_>,
        range: (i64, i64),
    ) -> Result<(), Stop> {
        comparison
            .range(
                "SELECT * FROM read.statement_lines WHERE revision BETWEEN $1 AND $2
                 ORDER BY revision, posting_index",
                range,
                std::mem::take(&mut self.lines),
                |row| (row.revision, row.posting_index),
            )
            .await
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, state: &State) -> Result<(), Stop> {
        for ((account, asset), (balance, revision)) in &self.balances {
            let ledger = state.balance(*account, *asset);
            comparison.same("replayed balances", account, *revision, *balance, ledger)?;
        }
        let mut sums: BTreeMap<Asset, i128> = BTreeMap::new();
        for (_, asset, balance) in state.balances() {
            *sums.entry(asset).or_default() += i128::from(balance);
        }
        let last = state.revision().unwrap_or(0);
        for (asset, sum) in sums {
            comparison.same("conservation", asset, last, 0, sum)?;
            let clearing = state.balance(Account::ClearingCharges, asset);
            comparison.same("clearing at zero", Account::ClearingCharges, last, 0, clearing)?;
        }
        self.compare_rows(comparison).await?;
        comparison
            .table("SELECT * FROM read.account_classes ORDER BY class, asset", self.classes(), |row| {
                (row.class.clone(), row.asset.clone())
            })
            .await
    }
}

impl Accounts {
    /// The classes of accounts, summed over all that they hold now.
    fn classes(&self) -> Vec<AccountClassRow> {
        let mut classes: BTreeMap<(String, Asset), AccountClassRow> = BTreeMap::new();
        for ((account, asset), (balance, touched)) in &self.balances {
            let class = class_of(*account);
            let row = classes.entry((class.clone(), *asset)).or_insert(AccountClassRow {
                class,
                asset: asset.to_string(),
                debit_minor: 0,
                credit_minor: 0,
                revision: 0,
            });
            match *balance {
                debit @ 1.. => row.debit_minor += debit,
                credit => row.credit_minor -= credit,
            }
            row.revision = row.revision.max(i64::try_from(*touched).unwrap_or(i64::MAX));
        }
        classes.into_values().collect()
    }

    /// In both directions: a row that is missing, and one that should not be there.
    async fn compare_rows(&self, comparison: &mut Comparison<'_>) -> Result<(), Stop> {
        let mut expected: BTreeMap<(String, String), (i64, u64)> = self
            .balances
            .iter()
            .map(|((account, asset), row)| ((account.to_string(), asset.to_string()), *row))
            .collect();
        for (account, asset, balance, revision) in balances(comparison.connection).await? {
            let name = format!("{account} in {asset}");
            let Some((wanted, touched)) = expected.remove(&(account, asset)) else {
                return Err(comparison.differs(
                    "balances",
                    "balances",
                    name,
                    Some(revision),
                    "no row",
                    "a row",
                ));
            };
            comparison.same("balances", &name, touched, wanted, balance)?;
            comparison.same("balances.revision", &name, touched, i128::from(touched), i128::from(revision))?;
        }
        match expected.into_iter().next() {
            Some(((account, asset), (_, touched))) => {
                let (name, at) = (format!("{account} in {asset}"), i64::try_from(touched).ok());
                Err(comparison.differs("balances", "balances", name, at, "a row", "no row"))
            }
            None => Ok(()),
        }
    }
}

async fn balances(connection: &mut PgConnection) -> Result<Vec<(String, String, i64, i64)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT account, asset, balance_minor, revision FROM read.balances ORDER BY account, asset",
    )
    .fetch_all(connection)
    .await
}

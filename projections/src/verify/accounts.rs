//! Balances by the events' postings, against the ledger's own and those of the read models; and the lines
//! of statements.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::accounts::{AccountClassRow, LineRow, class_of};
use ledger_core::{Account, Asset, State};
use sqlx::PgConnection;
use std::collections::BTreeMap;

named!(LineRow: |row| row.account.to_string());
named!(AccountClassRow: "account_classes", |row| format!("{} in {}", row.class, row.asset));

/// Debit positive, with the last event that moved the account, and the account's place by its first movement.
#[derive(Default)]
struct Balance {
    minor: i64,
    touched: u64,
    number: i32,
}

#[derive(Default)]
pub(super) struct Accounts {
    balances: BTreeMap<(Account, Asset), Balance>,
    lines: Vec<LineRow>,
}

/// The name of the account that a line has the number of.
const NAME: &str =
    "(SELECT account || ' in ' || asset FROM read.balances WHERE number = statement_lines.account)";

impl Opinion for Accounts {
    const GROWING: &[(&str, &str)] = &[("statement_lines", NAME)];

    fn add(&mut self, told: &Told<'_>) {
        for (index, posting) in told.event().postings().iter().enumerate() {
            let account = posting.account;
            let known = self.balances.len();
            let row = self.balances.entry((account, posting.asset)).or_default();
            if row.number == 0 {
                row.number = i32::try_from(known).unwrap_or(i32::MAX).saturating_add(1);
            }
            row.minor += posting.amount;
            row.touched = told.recorded.revision;
            // The statement of clearing is made of the journal.
            if account == Account::ClearingCharges {
                continue;
            }
            self.lines.push(LineRow {
                account: row.number,
                posting_index: i16::try_from(index).unwrap_or(i16::MAX),
                revision: told.revision,
                balance_after_minor: account.natural_balance(row.minor),
            });
        }
    }

    async fn compare_range(
        &mut self,
        comparison: &mut Comparison<'_>,
        range: (i64, i64),
    ) -> Result<(), Stop> {
        let order = "revision, posting_index";
        let outcome =
            comparison.grown(&mut self.lines, range, order, |row| (row.revision, row.posting_index)).await;
        outcome.map_err(|stop| self.naming_the_account(stop))
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, state: &State) -> Result<(), Stop> {
        for ((account, asset), balance) in &self.balances {
            let ledger = state.balance(*account, *asset);
            comparison.same("replayed balances", account, balance.touched, balance.minor, ledger)?;
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
    /// A line knows its account by number; people know it by name.
    fn naming_the_account(&self, stop: Stop) -> Stop {
        let Stop::Difference(mut difference) = stop else { return stop };
        let of_number = |row: &Balance| row.number.to_string() == difference.id;
        if let Some(((account, asset), _)) = self.balances.iter().find(|(_, row)| of_number(row)) {
            difference.id = format!("{account} in {asset}");
        }
        Stop::Difference(difference)
    }

    /// The classes of accounts, summed over all that they hold now.
    fn classes(&self) -> Vec<AccountClassRow> {
        let mut classes: BTreeMap<(String, Asset), AccountClassRow> = BTreeMap::new();
        for ((account, asset), Balance { minor, touched, .. }) in &self.balances {
            let class = class_of(*account).into_owned();
            let row = classes.entry((class.clone(), *asset)).or_insert(AccountClassRow {
                class,
                asset: asset.to_string(),
                debit_minor: 0,
                credit_minor: 0,
                revision: 0,
            });
            match *minor {
                debit @ 1.. => row.debit_minor += debit,
                credit => row.credit_minor -= credit,
            }
            row.revision = row.revision.max(i64::try_from(*touched).unwrap_or(i64::MAX));
        }
        classes.into_values().collect()
    }

    /// In both directions: a row that is missing, and one that should not be there.
    async fn compare_rows(&self, comparison: &mut Comparison<'_>) -> Result<(), Stop> {
        let mut expected: BTreeMap<(String, String), &Balance> = self
            .balances
            .iter()
            .map(|((account, asset), row)| ((account.to_string(), asset.to_string()), row))
            .collect();
        for (account, asset, number, balance, at_zero, revision) in balances(comparison.connection).await? {
            let name = format!("{account} in {asset}");
            let Some(&Balance { minor: wanted, touched, number: place }) = expected.remove(&(account, asset)) else {
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
            comparison.same("balances.at_zero", &name, touched, i64::from(wanted == 0), i64::from(at_zero))?;
            comparison.same("balances.number", &name, touched, place, number)?;
            comparison.same("balances.revision", &name, touched, i128::from(touched), i128::from(revision))?;
        }
        match expected.into_iter().next() {
            Some(((account, asset), Balance { touched, .. })) => {
                let (name, at) = (format!("{account} in {asset}"), i64::try_from(*touched).ok());
                Err(comparison.differs("balances", "balances", name, at, "a row", "no row"))
            }
            None => Ok(()),
        }
    }
}

async fn balances(connection: &mut PgConnection) -> Result<Vec<(String, String, i32, i64, bool, i64)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT account, asset, number, balance_minor, at_zero, revision FROM read.balances ORDER BY account, asset",
    )
    .fetch_all(connection)
    .await
}

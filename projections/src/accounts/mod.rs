//! What each account holds, and every movement that led there.

mod balances;
mod statements;
pub(crate) mod words;

pub use balances::{AsOf, BalanceAsOf, TrialBalance, TrialBalanceLine, TrialBalanceSum};
pub use statements::{StatementLine, StatementOf};

use crate::error::ProjectError;
use crate::mechanism::{Place, ReadModel, put};
use ledger_core::{Account, Asset, Event};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const TABLES: &str = "
CREATE TABLE read.balances (
    -- By bytes, whatever the database's locale: accounts are listed by prefix and in pages down the key.
    account text COLLATE \"C\" NOT NULL,
    asset text COLLATE \"C\" NOT NULL,
    -- Debit is positive, as in the journal; the owner's view is made when it is read.
    balance_minor bigint NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (account, asset)
);
-- Lists leave out accounts at zero, which most accounts of finished withdrawals are.
CREATE INDEX balances_not_at_zero ON read.balances (account, asset) WHERE balance_minor <> 0;

-- The sums of a class of accounts, such as all people's bonus coins: the trial balance is read from here,
-- however many accounts there are.
CREATE TABLE read.account_classes (
    class text COLLATE \"C\" NOT NULL,
    asset text COLLATE \"C\" NOT NULL,
    debit_minor bigint NOT NULL,
    credit_minor bigint NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (class, asset)
);

CREATE TABLE read.statement_lines (
    account text NOT NULL,
    asset text NOT NULL,
    revision bigint NOT NULL,
    posting_index integer NOT NULL,
    recorded_at timestamptz NOT NULL,
    kind text NOT NULL,
    type text NOT NULL,
    status text NOT NULL,
    description text NOT NULL,
    -- As the account's owner reads them: what they gain is positive.
    amount_minor bigint NOT NULL CHECK (amount_minor <> 0),
    balance_after_minor bigint NOT NULL,
    counterparty_account text,
    counterparty_person uuid,
    correlation uuid,
    -- Whose wallet the account is part of.
    person uuid,
    -- The statement of an account, and its balance at any revision, are read along this key.
    PRIMARY KEY (account, asset, revision, posting_index),
    -- A posting makes one line; verification reads them in the journal's order.
    UNIQUE (revision, posting_index)
);
CREATE INDEX statement_lines_of_person ON read.statement_lines (person, revision, posting_index)
    WHERE person IS NOT NULL;";

const ADD_CLASSES: &str = "
    INSERT INTO read.account_classes AS classes
    SELECT * FROM json_populate_recordset(NULL::read.account_classes, $1::json)
    ON CONFLICT (class, asset) DO UPDATE SET
        debit_minor = classes.debit_minor + EXCLUDED.debit_minor,
        credit_minor = classes.credit_minor + EXCLUDED.credit_minor, revision = EXCLUDED.revision";

type BalanceKey = (Account, Asset);

/// Debit positive.
#[derive(Clone, Copy, Default)]
struct Balance {
    balance_minor: i64,
    revision: i64,
}

/// The accounts that a batch of events moves, and the lines that it adds to their statements.
#[derive(Default)]
pub(crate) struct Accounts {
    wanted: BTreeSet<BalanceKey>,
    balances: HashMap<BalanceKey, Balance>,
    lines: Vec<StatementLine>,
    /// What the batch adds to the sums of classes.
    added: BTreeMap<(String, String), AccountClassRow>,
}

impl ReadModel for Accounts {
    const TABLES: &'static str = TABLES;

    fn touch(&mut self, event: &Event) {
        let postings = event.postings().iter();
        self.wanted.extend(postings.map(|posting| (posting.account, posting.asset)));
    }

    async fn load(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.wanted.is_empty() {
            return Ok(());
        }
        // Rows come back under the place of their key, so that no text has to be read back as an account.
        let accounts: Vec<String> = self.wanted.iter().map(|(account, _)| account.to_string()).collect();
        let assets: Vec<String> = self.wanted.iter().map(|(_, asset)| asset.to_string()).collect();
        let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
            "SELECT wanted.place, balances.balance_minor, balances.revision
             FROM UNNEST($1::text[], $2::text[]) WITH ORDINALITY AS wanted (account, asset, place)
             JOIN read.balances USING (account, asset)",
        )
        .bind(&accounts)
        .bind(&assets)
        .fetch_all(connection)
        .await?;
        let found: HashMap<i64, Balance> = rows
            .into_iter()
            .map(|(place, balance_minor, revision)| (place, Balance { balance_minor, revision }))
            .collect();
        let keyed = self.wanted.iter().zip(1_i64..);
        self.balances =
            keyed.map(|(key, place)| (*key, found.get(&place).copied().unwrap_or_default())).collect();
        Ok(())
    }

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        let (event, correlation) = (place.event(), place.recorded.metadata.correlation);
        let postings = event.postings();
        for (posting, index) in postings.iter().zip(0_i32..) {
            let account = posting.account;
            let balance = self.balances.entry((account, posting.asset)).or_default();
            let before = balance.balance_minor;
            balance.balance_minor += posting.amount;
            balance.revision = place.revision;
            let (class, asset) = (class_of(account), posting.asset.to_string());
            let sums = self
                .added
                .entry((class.clone(), asset.clone()))
                .or_insert(AccountClassRow { class, asset, debit_minor: 0, credit_minor: 0, revision: 0 });
            sums.debit_minor += balance.balance_minor.max(0) - before.max(0);
            sums.credit_minor += before.min(0) - balance.balance_minor.min(0);
            sums.revision = place.revision;
            let words = words::describe(event, account, place.medium.as_deref());
            let other = words::opposite(postings, index as usize).map(|posting| posting.account);
            self.lines.push(StatementLine {
                account: account.to_string(),
                asset: posting.asset.to_string(),
                revision: place.revision,
                posting_index: index,
                recorded_at: place.at,
                kind: event.kind().to_owned(),
                movement: words.movement.to_owned(),
                status: words.status.to_owned(),
                description: words.description.into_owned(),
                amount_minor: account.natural_balance(posting.amount),
                balance_after_minor: account.natural_balance(balance.balance_minor),
                counterparty_account: other.map(|other| other.to_string()),
                counterparty_person: words::counterparty(event, account, other).map(|person| person.0),
                correlation,
                person: account.person().map(|person| person.0),
            });
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        write_lines(connection, &self.lines).await?;
        write_balances(connection, &self.balances).await?;
        put(connection, ADD_CLASSES, self.added.values()).await
    }
}

/// The sums of the accounts of one class in one asset.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub(crate) struct AccountClassRow {
    pub class: String,
    pub asset: String,
    pub debit_minor: i64,
    pub credit_minor: i64,
    pub revision: i64,
}

/// The account's name with `*` for the person, agency or withdrawal in it.
pub(crate) fn class_of(account: Account) -> String {
    let name = account.to_string();
    let parts: Vec<&str> = name.split(':').map(|part| if part.len() == 36 { "*" } else { part }).collect();
    parts.join(":")
}

async fn write_lines(connection: &mut PgConnection, rows: &[StatementLine]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO read.statement_lines (account, asset, revision, posting_index, recorded_at, kind, type,
                                           status, description, amount_minor, balance_after_minor,
                                           counterparty_account, counterparty_person, correlation, person)
         SELECT * FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::integer[], $5::timestamptz[], $6::text[],
                              $7::text[], $8::text[], $9::text[], $10::bigint[], $11::bigint[], $12::text[],
                              $13::uuid[], $14::uuid[], $15::uuid[])",
    )
    .bind(rows.iter().map(|row| row.account.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.asset.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.revision).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.posting_index).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.recorded_at).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.movement.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.status.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.description.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.amount_minor).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.balance_after_minor).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.counterparty_account.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.counterparty_person).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.correlation).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.person).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_balances(
    connection: &mut PgConnection,
    balances: &HashMap<BalanceKey, Balance>,
) -> Result<(), sqlx::Error> {
    if balances.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = balances.iter().collect();
    sqlx::query(
        "INSERT INTO read.balances (account, asset, balance_minor, revision)
         SELECT * FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::bigint[])
         ON CONFLICT (account, asset) DO UPDATE
         SET balance_minor = EXCLUDED.balance_minor, revision = EXCLUDED.revision",
    )
    .bind(rows.iter().map(|((account, _), _)| account.to_string()).collect::<Vec<_>>())
    .bind(rows.iter().map(|((_, asset), _)| asset.to_string()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, balance)| balance.balance_minor).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, balance)| balance.revision).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

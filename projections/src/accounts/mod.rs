//! What each account holds, and every movement that led there.

mod balances;
mod statements;
pub(crate) mod words;

pub use balances::{AccountFilter, AsOf, BalanceAsOf, TrialBalance, TrialBalanceLine, TrialBalanceSum};
pub use statements::{StatementFilter, StatementLine, StatementOf};

use crate::error::ProjectError;
use crate::mechanism::{CopyRow, Fields, Place, ReadModel, append, put};
use ledger_core::{Account, Asset, Event, PersonId};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

const TABLES: &str = "
CREATE TABLE balances (
    -- By bytes, whatever the database's locale: accounts are listed by prefix and in pages down the key.
    account text COLLATE \"C\" NOT NULL,
    asset text COLLATE \"C\" NOT NULL,
    -- Counts the accounts in the order of their first movements. Statements name the account by it.
    number integer NOT NULL UNIQUE,
    -- Debit is positive, as in the journal; the owner's view is made when it is read.
    balance_minor bigint NOT NULL,
    -- A column of its own, so that a balance that changes and stays above zero changes no index.
    at_zero boolean NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (account, asset)
-- Room in each page for the next balances of its accounts.
) WITH (fillfactor = 70);
-- Lists leave out accounts at zero, which most accounts of finished withdrawals are.
CREATE INDEX balances_not_at_zero ON balances (account, asset) WHERE NOT at_zero;

-- The sums of a class of accounts, such as all people's bonus coins: the trial balance is read from here,
-- however many accounts there are.
CREATE TABLE account_classes (
    class text COLLATE \"C\" NOT NULL,
    asset text COLLATE \"C\" NOT NULL,
    debit_minor bigint NOT NULL,
    credit_minor bigint NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (class, asset)
);

-- A posting makes one line. What it says beside its figures is made of the event when it is read. Clearing has no
-- lines here: it is at zero before and after each unit, so its statement is made of the units themselves.
CREATE TABLE statement_lines (
    -- `number` of the account's balance.
    account integer NOT NULL,
    posting_index smallint NOT NULL,
    revision bigint NOT NULL,
    -- As the account's owner reads it: what they have is positive.
    balance_after_minor bigint NOT NULL,
    -- The statement of an account, and its balance at any revision, are read along this key.
    PRIMARY KEY (account, revision, posting_index)
);
-- Rows come in the journal's order, so verification finds a part of it by this small index.
CREATE INDEX statement_lines_by_revision ON statement_lines USING brin (revision)
    WITH (pages_per_range = 16);";

const ADD_CLASSES: &str = "
    INSERT INTO account_classes AS classes
    SELECT * FROM json_populate_recordset(NULL::account_classes, $1::json)
    ON CONFLICT (class, asset) DO UPDATE SET
        debit_minor = classes.debit_minor + EXCLUDED.debit_minor,
        credit_minor = classes.credit_minor + EXCLUDED.credit_minor, revision = EXCLUDED.revision";

type BalanceKey = (Account, Asset);

/// Debit positive.
#[derive(Clone, Copy)]
struct Balance {
    number: i32,
    balance_minor: i64,
    revision: i64,
}

/// The accounts that a batch of events moves, and the lines that it adds to their statements.
#[derive(Default)]
pub(crate) struct Accounts {
    wanted: BTreeSet<BalanceKey>,
    /// How many accounts there are.
    count: i32,
    balances: HashMap<BalanceKey, Balance>,
    lines: Vec<LineRow>,
    /// What the batch adds to the sums of classes.
    added: BTreeMap<(Cow<'static, str>, Asset), AccountClassRow>,
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
        // The first row, which no key has the place of, is the highest number.
        let rows: Vec<(i64, i32, i64, i64)> = sqlx::query_as(
            "SELECT 0::bigint, coalesce(max(number), 0), 0::bigint, 0::bigint FROM balances
             UNION ALL
             SELECT wanted.place, balances.number, balances.balance_minor, balances.revision
             FROM UNNEST($1::text[], $2::text[]) WITH ORDINALITY AS wanted (account, asset, place)
             JOIN balances USING (account, asset)",
        )
        .bind(&accounts)
        .bind(&assets)
        .fetch_all(connection)
        .await?;
        let keys: Vec<BalanceKey> = self.wanted.iter().copied().collect();
        for (place, number, balance_minor, revision) in rows {
            match usize::try_from(place).ok().and_then(|place| keys.get(place.checked_sub(1)?)) {
                Some(key) => _ = self.balances.insert(*key, Balance { number, balance_minor, revision }),
                None => self.count = number,
            }
        }
        Ok(())
    }

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        for (posting, posting_index) in place.event().postings().iter().zip(0_i16..) {
            let account = posting.account;
            let count = &mut self.count;
            let balance = self.balances.entry((account, posting.asset)).or_insert_with(|| {
                *count += 1;
                Balance { number: *count, balance_minor: 0, revision: 0 }
            });
            let before = balance.balance_minor;
            balance.balance_minor += posting.amount;
            balance.revision = place.revision;
            let class = class_of(account);
            let sums = self.added.entry((class, posting.asset)).or_insert_with_key(|(class, asset)| {
                let (class, asset) = (class.clone().into_owned(), asset.to_string());
                AccountClassRow { class, asset, debit_minor: 0, credit_minor: 0, revision: 0 }
            });
            sums.debit_minor += balance.balance_minor.max(0) - before.max(0);
            sums.credit_minor += before.min(0) - balance.balance_minor.min(0);
            sums.revision = place.revision;
            if account == Account::ClearingCharges {
                continue;
            }
            self.lines.push(LineRow {
                account: balance.number,
                posting_index,
                revision: place.revision,
                balance_after_minor: account.natural_balance(balance.balance_minor),
            });
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        append(connection, &self.lines).await?;
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

/// The account's name with `*` for the person, agency, withdrawal or order in it.
pub(crate) fn class_of(account: Account) -> Cow<'static, str> {
    match account {
        Account::UserPurchased(_) => "user:*:purchased".into(),
        Account::UserBonus(_) => "user:*:bonus".into(),
        Account::UserFrozen(_) => "user:*:frozen".into(),
        Account::UserReceivable(_) => "user:*:receivable".into(),
        Account::HostEarnings(_) => "host:*:earnings".into(),
        Account::AgencyEarnings(_) => "agency:*:earnings".into(),
        Account::WithdrawalHeld(_) => "withdrawal:*:held".into(),
        Account::OrderHeld(_) => "order:*:held".into(),
        alone => alone.to_string().into(),
    }
}

/// All accounts that are part of a person's wallet.
pub(crate) fn wallet_of(person: PersonId) -> [Account; 5] {
    [
        Account::UserPurchased(person),
        Account::UserBonus(person),
        Account::HostEarnings(person),
        Account::UserFrozen(person),
        Account::UserReceivable(person),
    ]
}

/// A row of `read.statement_lines`.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub(crate) struct LineRow {
    pub account: i32,
    pub posting_index: i16,
    pub revision: i64,
    pub balance_after_minor: i64,
}

impl CopyRow for LineRow {
    const TABLE: &'static str = "statement_lines";
    const COLUMNS: &'static [&'static str] =
        &["account", "posting_index", "revision", "balance_after_minor"];

    fn fields(&self, fields: &mut impl Fields) {
        fields
            .integer(self.account)
            .smallint(self.posting_index)
            .bigint(self.revision)
            .bigint(self.balance_after_minor);
    }
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
        "INSERT INTO balances (account, asset, number, balance_minor, at_zero, revision)
         SELECT account, asset, number, balance_minor, balance_minor = 0, revision
         FROM UNNEST($1::text[], $2::text[], $3::integer[], $4::bigint[], $5::bigint[])
              AS rows (account, asset, number, balance_minor, revision)
         ON CONFLICT (account, asset) DO UPDATE
         SET balance_minor = EXCLUDED.balance_minor, at_zero = EXCLUDED.at_zero, revision = EXCLUDED.revision",
    )
    .bind(rows.iter().map(|((account, _), _)| account.to_string()).collect::<Vec<_>>())
    .bind(rows.iter().map(|((_, asset), _)| asset.to_string()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, balance)| balance.number).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, balance)| balance.balance_minor).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, balance)| balance.revision).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

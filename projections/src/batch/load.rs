//! Reads the rows that a batch builds on: one query a table.

use super::fold::{Balance, Rows};
use super::touched::Touched;
use crate::queries::{AgencyMemberRow, BonusLotRow, CallRow, PurchaseRow, WithdrawalRow};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

pub(super) async fn load(connection: &mut PgConnection, touched: &Touched) -> Result<Rows, sqlx::Error> {
    let calls: Vec<CallRow> =
        by_id(connection, "SELECT * FROM read.calls WHERE call = ANY($1)", &touched.calls).await?;
    let purchases: Vec<PurchaseRow> =
        by_id(connection, "SELECT * FROM read.purchases WHERE purchase = ANY($1)", &touched.purchases)
            .await?;
    let withdrawals: Vec<WithdrawalRow> =
        by_id(connection, "SELECT * FROM read.withdrawals WHERE withdrawal = ANY($1)", &touched.withdrawals)
            .await?;
    let bonus_lots: Vec<BonusLotRow> =
        by_id(connection, "SELECT * FROM read.bonus_lots WHERE lot = ANY($1)", &touched.bonus_lots).await?;
    let members: Vec<AgencyMemberRow> = by_id(
        connection,
        "SELECT * FROM read.agency_members WHERE host = ANY($1) AND left_at IS NULL",
        &touched.leavers,
    )
    .await?;
    Ok(Rows {
        balances: balances(connection, touched).await?,
        calls: keyed(calls, |row| row.call),
        purchases: keyed(purchases, |row| row.purchase),
        withdrawals: keyed(withdrawals, |row| row.withdrawal),
        bonus_lots: keyed(bonus_lots, |row| row.lot),
        members: keyed(members, |row| (row.host, row.joined_revision)),
        ..Rows::default()
    })
}

fn keyed<K: Ord, T>(rows: Vec<T>, key: impl Fn(&T) -> K) -> BTreeMap<K, T> {
    rows.into_iter().map(|row| (key(&row), row)).collect()
}

async fn by_id<T: for<'r> FromRow<'r, PgRow> + Send + Unpin>(
    connection: &mut PgConnection,
    sql: &'static str,
    ids: &BTreeSet<Uuid>,
) -> Result<Vec<T>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = ids.iter().copied().collect();
    sqlx::query_as(sql).bind(ids).fetch_all(connection).await
}

async fn balances(
    connection: &mut PgConnection,
    touched: &Touched,
) -> Result<HashMap<super::fold::BalanceKey, Balance>, sqlx::Error> {
    if touched.balances.is_empty() {
        return Ok(HashMap::new());
    }
    // Rows come back under the place of their key, so that no text has to be read back as an account.
    let accounts: Vec<String> = touched.balances.iter().map(|(account, _)| account.to_string()).collect();
    let assets: Vec<String> = touched.balances.iter().map(|(_, asset)| asset.to_string()).collect();
    let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
        "SELECT touched.place, balances.balance_minor, balances.revision
         FROM UNNEST($1::text[], $2::text[]) WITH ORDINALITY AS touched (account, asset, place)
         JOIN read.balances USING (account, asset)",
    )
    .bind(&accounts)
    .bind(&assets)
    .fetch_all(connection)
    .await?;
    let mut found: HashMap<i64, Balance> = rows
        .into_iter()
        .map(|(place, balance_minor, revision)| (place, Balance { balance_minor, revision }))
        .collect();
    Ok(touched
        .balances
        .iter()
        .zip(1_i64..)
        .map(|(key, place)| (*key, found.remove(&place).unwrap_or_default()))
        .collect())
}

//! Writes a batch: one statement a table.
//!
//! Tables that get a row an event or more take their columns as arrays (UNNEST), which is what
//! Postgres inserts fastest from one statement; the others take their rows as one JSON text, whose
//! keys are the columns.

use super::fold::Rows;
use crate::queries::{SplitRow, StatementLine};
use serde::Serialize;
use sqlx::PgConnection;

pub(super) async fn write(connection: &mut PgConnection, rows: &Rows) -> Result<(), sqlx::Error> {
    events(connection, rows).await?;
    lines(connection, &rows.lines).await?;
    balances(connection, rows).await?;
    splits(connection, &rows.splits).await?;
    put(connection, CALLS, rows.calls.values()).await?;
    put(connection, GIFTS, rows.gifts.values()).await?;
    put(connection, GIFT_TOTALS, rows.gift_totals.values()).await?;
    put(connection, REVENUE, rows.revenue.values()).await?;
    put(connection, PURCHASES, rows.purchases.values()).await?;
    put(connection, UNMATCHED, rows.unmatched.iter()).await?;
    put(connection, WITHDRAWALS, rows.withdrawals.values()).await?;
    put(connection, BONUS_LOTS, rows.bonus_lots.values()).await?;
    put(connection, PLANS, rows.plans.values()).await?;
    put(connection, GIFT_PRICES, rows.gift_prices.values()).await?;
    put(connection, HOST_RATES, rows.host_rates.values()).await?;
    put(connection, COMMISSION_RATES, rows.commission_rates.iter()).await?;
    // In the order of their revisions, so that a host has left one agency before joining another.
    put(connection, MEMBERS, rows.members.values()).await
}

async fn put<'a, T: Serialize + 'a>(
    connection: &mut PgConnection,
    sql: &'static str,
    rows: impl ExactSizeIterator<Item = &'a T>,
) -> Result<(), sqlx::Error> {
    if rows.len() == 0 {
        return Ok(());
    }
    let rows: Vec<&T> = rows.collect();
    let text = serde_json::to_string(&rows).map_err(|fault| sqlx::Error::Encode(fault.into()))?;
    sqlx::query(sql).bind(text).execute(connection).await?;
    Ok(())
}

async fn events(connection: &mut PgConnection, rows: &Rows) -> Result<(), sqlx::Error> {
    let rows = &rows.events;
    sqlx::query(
        "INSERT INTO read.events (revision, event_id, kind, recorded_at, actor, payer, correlation, command_id,
                                  closes_unit, people, data, metadata)
         SELECT revision, event_id, kind, recorded_at, actor, payer, correlation, command_id,
                closes_unit, people::uuid[], data::jsonb, metadata::jsonb
         FROM UNNEST($1::bigint[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::uuid[],
                     $7::uuid[], $8::uuid[], $9::boolean[], $10::text[], $11::text[], $12::text[])
              AS batch (revision, event_id, kind, recorded_at, actor, payer, correlation, command_id,
                        closes_unit, people, data, metadata)",
    )
    .bind(rows.iter().map(|row| row.revision).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.event_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.kind).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.recorded_at).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.actor.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.payer).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.correlation).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.command_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.closes_unit).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.people.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.data.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.metadata.as_str()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn lines(connection: &mut PgConnection, rows: &[StatementLine]) -> Result<(), sqlx::Error> {
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

async fn balances(connection: &mut PgConnection, rows: &Rows) -> Result<(), sqlx::Error> {
    if rows.balances.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = rows.balances.iter().collect();
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

async fn splits(connection: &mut PgConnection, rows: &[SplitRow]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO read.commission_splits (revision, recorded_at, source, source_id, payer, host, agency,
                                             commission_scope, host_bps, agency_bps, gross_milli, host_milli,
                                             agency_milli, platform_milli, available_from)
         SELECT * FROM UNNEST($1::bigint[], $2::timestamptz[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[],
                              $7::uuid[], $8::text[], $9::integer[], $10::integer[], $11::bigint[],
                              $12::bigint[], $13::bigint[], $14::bigint[], $15::timestamptz[])",
    )
    .bind(rows.iter().map(|row| row.revision).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.recorded_at).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.source.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.source_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.payer).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.host).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.agency).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.commission_scope.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.host_bps).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.agency_bps).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.gross_milli).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.host_milli).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.agency_milli).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.platform_milli).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.available_from).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

const CALLS: &str = "
    INSERT INTO read.calls SELECT * FROM json_populate_recordset(NULL::read.calls, $1::json)
    ON CONFLICT (call) DO UPDATE SET
        ended_at = EXCLUDED.ended_at, status = EXCLUDED.status, lost_at = EXCLUDED.lost_at,
        end_reason = EXCLUDED.end_reason, ended_by = EXCLUDED.ended_by,
        connected_ms = EXCLUDED.connected_ms, ticks = EXCLUDED.ticks,
        charged_total_milli = EXCLUDED.charged_total_milli,
        host_earned_milli = EXCLUDED.host_earned_milli,
        agency_earned_milli = EXCLUDED.agency_earned_milli,
        platform_earned_milli = EXCLUDED.platform_earned_milli, revision = EXCLUDED.revision";

const GIFTS: &str =
    "INSERT INTO read.gifts_sent SELECT * FROM json_populate_recordset(NULL::read.gifts_sent, $1::json)";

const GIFT_TOTALS: &str = "
    INSERT INTO read.host_gift_totals AS totals
    SELECT * FROM json_populate_recordset(NULL::read.host_gift_totals, $1::json)
    ON CONFLICT (host) DO UPDATE SET
        gift_count = totals.gift_count + EXCLUDED.gift_count,
        value_milli = totals.value_milli + EXCLUDED.value_milli, revision = EXCLUDED.revision";

const REVENUE: &str = "
    INSERT INTO read.revenue_by_day AS revenue
    SELECT * FROM json_populate_recordset(NULL::read.revenue_by_day, $1::json)
    ON CONFLICT (day, source) DO UPDATE SET
        gross_milli = revenue.gross_milli + EXCLUDED.gross_milli,
        host_milli = revenue.host_milli + EXCLUDED.host_milli,
        agency_milli = revenue.agency_milli + EXCLUDED.agency_milli,
        platform_milli = revenue.platform_milli + EXCLUDED.platform_milli,
        charge_count = revenue.charge_count + EXCLUDED.charge_count, revision = EXCLUDED.revision";

const PURCHASES: &str = "
    INSERT INTO read.purchases SELECT * FROM json_populate_recordset(NULL::read.purchases, $1::json)
    ON CONFLICT (purchase) DO UPDATE SET
        status = EXCLUDED.status, payment_ref = EXCLUDED.payment_ref, fail_reason = EXCLUDED.fail_reason,
        paid_minor = EXCLUDED.paid_minor, refunded_minor = EXCLUDED.refunded_minor,
        refunded_coins_milli = EXCLUDED.refunded_coins_milli, captured_at = EXCLUDED.captured_at,
        failed_at = EXCLUDED.failed_at, refunded_at = EXCLUDED.refunded_at, revision = EXCLUDED.revision";

const UNMATCHED: &str = "
    INSERT INTO read.unmatched_money SELECT * FROM json_populate_recordset(NULL::read.unmatched_money, $1::json)";

const WITHDRAWALS: &str = "
    INSERT INTO read.withdrawals SELECT * FROM json_populate_recordset(NULL::read.withdrawals, $1::json)
    ON CONFLICT (withdrawal) DO UPDATE SET
        status = EXCLUDED.status, payout_ref = EXCLUDED.payout_ref, reason = EXCLUDED.reason,
        approved_at = EXCLUDED.approved_at, rejected_at = EXCLUDED.rejected_at,
        cancelled_at = EXCLUDED.cancelled_at, paid_at = EXCLUDED.paid_at, failed_at = EXCLUDED.failed_at,
        revision = EXCLUDED.revision";

const BONUS_LOTS: &str = "
    INSERT INTO read.bonus_lots SELECT * FROM json_populate_recordset(NULL::read.bonus_lots, $1::json)
    ON CONFLICT (lot) DO UPDATE SET
        remaining_milli = EXCLUDED.remaining_milli, expired_at = EXCLUDED.expired_at,
        revision = EXCLUDED.revision";

const PLANS: &str = "
    INSERT INTO read.coin_plans SELECT * FROM json_populate_recordset(NULL::read.coin_plans, $1::json)
    ON CONFLICT (plan) DO UPDATE SET
        coins_milli = EXCLUDED.coins_milli, bonus_milli = EXCLUDED.bonus_milli,
        bonus_valid_seconds = EXCLUDED.bonus_valid_seconds, price_minor = EXCLUDED.price_minor,
        price_asset = EXCLUDED.price_asset, active = EXCLUDED.active, revision = EXCLUDED.revision";

const GIFT_PRICES: &str = "
    INSERT INTO read.gift_prices SELECT * FROM json_populate_recordset(NULL::read.gift_prices, $1::json)
    ON CONFLICT (gift) DO UPDATE SET price_milli = EXCLUDED.price_milli, revision = EXCLUDED.revision";

const HOST_RATES: &str = "
    INSERT INTO read.host_rates SELECT * FROM json_populate_recordset(NULL::read.host_rates, $1::json)
    ON CONFLICT (host, medium) DO UPDATE SET
        price_milli_per_minute = EXCLUDED.price_milli_per_minute, revision = EXCLUDED.revision";

const COMMISSION_RATES: &str = "
    INSERT INTO read.commission_rates SELECT * FROM json_populate_recordset(NULL::read.commission_rates, $1::json)";

const MEMBERS: &str = "
    INSERT INTO read.agency_members SELECT * FROM json_populate_recordset(NULL::read.agency_members, $1::json)
    ON CONFLICT (host, joined_revision) DO UPDATE SET
        left_at = EXCLUDED.left_at, revision = EXCLUDED.revision";

//! Splits, and the rates that were set.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::commission::{CommissionRateRow, SplitRow};
use crate::mechanism::{bps, scope};
use ledger_core::event::{CommissionScope, SplitSource};
use ledger_core::{Event, Timestamp};

named!(SplitRow: "commission_splits", |row| row.source_id.to_string());
named!(CommissionRateRow: "commission_rates", |row| row.scope.clone());

#[derive(Default)]
pub(super) struct Commission {
    splits: Vec<SplitRow>,
    rates: Vec<CommissionRateRow>,
}

impl Opinion for Commission {
    const GROWING: &[(&str, &str)] = &[("commission_splits", "source_id"), ("commission_rates", "scope")];

    fn add(&mut self, told: &Told<'_>) {
        match told.event() {
            Event::CommissionSplit(it) => {
                let (source, source_id) = match it.source {
                    SplitSource::Call(call) => ("call", call.0),
                    SplitSource::Gift(sending) => ("gift", sending.0),
                };
                self.splits.push(SplitRow {
                    revision: told.revision,
                    recorded_at: told.at,
                    source: source.to_owned(),
                    source_id,
                    payer: it.payer.0,
                    host: it.host.0,
                    agency: it.commission.agency.map(|agency| agency.0),
                    commission_scope: scope(it.commission.scope).0.to_owned(),
                    host_bps: bps(it.commission.host_bps),
                    agency_bps: bps(it.commission.agency_bps),
                    gross_milli: it.gross_milli,
                    host_milli: it.host_milli,
                    agency_milli: it.agency_milli,
                    platform_milli: it.platform_milli,
                    available_from: it.available_from.to_utc(),
                });
            }
            Event::CallChargeReturned(it) => self.splits.push(SplitRow {
                revision: told.revision,
                recorded_at: told.at,
                source: "call".to_owned(),
                source_id: it.call.0,
                payer: it.payer.0,
                host: it.host.0,
                agency: it.commission.agency.map(|agency| agency.0),
                commission_scope: scope(it.commission.scope).0.to_owned(),
                host_bps: bps(it.commission.host_bps),
                agency_bps: bps(it.commission.agency_bps),
                gross_milli: -it.returned_milli,
                host_milli: -it.host_milli,
                agency_milli: -it.agency_milli,
                platform_milli: -it.platform_milli,
                available_from: told.at,
            }),
            Event::CommissionRateSet(it) => {
                self.rate(told, it.scope, Some((it.host_bps, it.agency_bps)), it.effective_from);
            }
            Event::CommissionRateCleared(it) => self.rate(told, it.scope, None, it.effective_from),
            _ => {}
        }
    }

    async fn compare_range(
        &mut self,
        comparison: &mut Comparison<'_>,
        range: (i64, i64),
    ) -> Result<(), Stop> {
        comparison
            .range(
                "SELECT * FROM read.commission_splits WHERE revision BETWEEN $1 AND $2 ORDER BY revision",
                range,
                std::mem::take(&mut self.splits),
                |row| row.revision,
            )
            .await?;
        comparison
            .range(
                "SELECT * FROM read.commission_rates WHERE revision BETWEEN $1 AND $2 ORDER BY revision",
                range,
                std::mem::take(&mut self.rates),
                |row| row.revision,
            )
            .await
    }
}

impl Commission {
    fn rate(
        &mut self,
        told: &Told<'_>,
        of: CommissionScope,
        shares: Option<(u32, u32)>,
        effective_from: Timestamp,
    ) {
        let (scope, scope_id) = scope(of);
        self.rates.push(CommissionRateRow {
            revision: told.revision,
            scope: scope.to_owned(),
            scope_id,
            host_bps: shares.map(|(host, _)| bps(host)),
            agency_bps: shares.map(|(_, agency)| bps(agency)),
            effective_from: effective_from.to_utc(),
            recorded_at: told.at,
            actor: told.recorded.metadata.actor.to_string(),
        });
    }
}

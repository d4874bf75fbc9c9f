//! Splits, and the rates that were set.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::commission::{CommissionRateRow, SplitPlace};
use crate::mechanism::{bps, scope};
use ledger_core::event::CommissionScope;
use ledger_core::{AgencyId, Event, PersonId, Timestamp};

named!(SplitPlace: |row| row.revision.to_string());
named!(CommissionRateRow: "commission_rates", |row| row.scope.clone());

#[derive(Default)]
pub(super) struct Commission {
    splits: Vec<SplitPlace>,
    rates: Vec<CommissionRateRow>,
}

impl Opinion for Commission {
    const GROWING: &[(&str, &str)] = &[("commission_splits", "revision"), ("commission_rates", "scope")];

    fn add(&mut self, told: &Told<'_>) {
        match told.event() {
            Event::CommissionSplit(it) => {
                let parts = (it.host, it.commission.agency);
                self.split(told, it.gross_milli, parts);
            }
            Event::CallChargeReturned(it) => {
                let parts = (it.host, it.commission.agency);
                self.split(told, -it.returned_milli, parts);
            }
            Event::OrderRefunded(it) if it.completed => {
                if let (Some(host), Some(rule)) = (it.provider, it.commission) {
                    let gross_milli = it.host_milli + it.agency_milli + it.platform_milli;
                    self.split(told, -gross_milli, (host, rule.agency));
                }
            }
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
        comparison.grown(&mut self.splits, range, "revision", |row| row.revision).await?;
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
    fn split(
        &mut self,
        told: &Told<'_>,
        gross_milli: i64,
        (host, agency): (PersonId, Option<AgencyId>),
    ) {
        self.splits.push(SplitPlace {
            revision: told.revision,
            gross_milli,
            host: host.0,
            agency: agency.map(|agency| agency.0),
        });
    }

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

//! The differences that adjustments have settled.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::adjustments::SettledDifference;
use ledger_core::Event;

named!(SettledDifference: "settled_differences", |row| row.difference.to_string());

#[derive(Default)]
pub(super) struct Adjustments {
    settled: Vec<SettledDifference>,
}

impl Opinion for Adjustments {
    const GROWING: &[(&str, &str)] = &[("settled_differences", "difference::text")];

    fn add(&mut self, told: &Told<'_>) {
        let (difference, adjustment) = match told.event() {
            Event::AdjustmentPosted(it) => (it.settles, it.adjustment),
            Event::GatewayAdjusted(it) => (it.settles, it.adjustment),
            _ => return,
        };
        let Some(difference) = difference else { return };
        self.settled.push(SettledDifference {
            difference: difference.0,
            adjustment: adjustment.0,
            actor: told.recorded.metadata.actor.to_string(),
            settled_at: told.at,
            revision: told.revision,
        });
    }

    async fn compare_range(
        &mut self,
        comparison: &mut Comparison<'_>,
        range: (i64, i64),
    ) -> Result<(), Stop> {
        let select = "SELECT * FROM read.settled_differences WHERE revision BETWEEN $1 AND $2 ORDER BY revision";
        comparison.range(select, range, std::mem::take(&mut self.settled), |row| row.revision).await
    }
}

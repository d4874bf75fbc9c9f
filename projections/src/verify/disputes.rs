//! Disputes, by their events and by the ledger's own rows.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::disputes::DisputeRow;
use chrono::{DateTime, Utc};
use ledger_core::disputes::{DisputeStatus, dispute_id};
use ledger_core::event::DisputeOpened;
use ledger_core::{Event, State};
use std::collections::BTreeMap;

named!(DisputeRow: "disputes", |row| row.dispute_ref.clone());

/// What the ledger's row does not say.
struct Dispute {
    opening: DisputeOpened,
    opened: (i64, DateTime<Utc>),
    decided_at: Option<DateTime<Utc>>,
    fees_minor: i64,
    given_back_milli: i64,
    last: i64,
}

#[derive(Default)]
pub(super) struct Disputes {
    disputes: BTreeMap<String, Dispute>,
}

impl Opinion for Disputes {
    fn add(&mut self, told: &Told<'_>) {
        let (dispute_ref, decided, fee_minor) = match told.event() {
            Event::DisputeOpened(it) => {
                let opened = (told.revision, told.at);
                let row = Dispute {
                    opening: it.clone(),
                    opened,
                    decided_at: None,
                    fees_minor: 0,
                    given_back_milli: 0,
                    last: told.revision,
                };
                return drop(self.disputes.insert(it.dispute_ref.clone(), row));
            }
            Event::DisputeMatched(it) => (&it.dispute_ref, false, 0),
            Event::DisputeReleased(it) => {
                (&it.dispute_ref, it.cause != ledger_core::event::ReleaseCause::Taken, 0)
            }
            Event::DisputeLost(it) => (&it.dispute_ref, true, it.fee_minor),
            Event::DisputeReversed(it) => (&it.dispute_ref, true, 0),
            Event::ReceivableRecovered(it) => (&it.dispute_ref, false, 0),
            Event::ReceivableWrittenOff(it) => (&it.dispute_ref, false, 0),
            _ => return,
        };
        if let Some(row) = self.disputes.get_mut(dispute_ref) {
            match told.event() {
                Event::ReceivableRecovered(it) => {
                    row.given_back_milli += it.given_back.iter().map(|it| it.amount_milli).sum::<i64>();
                }
                Event::DisputeReversed(_) | Event::DisputeLost(_) => row.given_back_milli = 0,
                _ => {}
            }
            row.decided_at = if decided { Some(told.at) } else { row.decided_at };
            row.fees_minor += fee_minor;
            row.last = told.revision;
        }
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, state: &State) -> Result<(), Stop> {
        let rows = self.disputes.values().map(|row| row.expected(state));
        let mut expected: Vec<DisputeRow> = rows.collect();
        expected.sort_by_key(|row| row.opened_revision);
        comparison
            .table("SELECT * FROM read.disputes ORDER BY opened_revision", expected, |row| row.opened_revision)
            .await
    }
}

impl Dispute {
    fn expected(&self, state: &State) -> DisputeRow {
        let it = &self.opening;
        let ledger = state.dispute(&it.dispute_ref);
        let loss = ledger.and_then(|row| row.loss.as_ref());
        let status = match ledger.map(|row| row.status) {
            None => "missing from the ledger",
            Some(DisputeStatus::Open) => "open",
            Some(DisputeStatus::Won) => "won",
            Some(DisputeStatus::Closed) => "closed",
            Some(DisputeStatus::Lost) => "lost",
        };
        let frozen = ledger.into_iter().flat_map(|row| &row.frozen);
        DisputeRow {
            dispute: dispute_id(&it.dispute_ref).0,
            opened_revision: self.opened.0,
            dispute_ref: it.dispute_ref.clone(),
            gateway: it.gateway.name().to_owned(),
            payment_ref: it.payment_ref.clone(),
            purchase: ledger.and_then(|row| row.purchase).map(|id| id.0),
            user: ledger.and_then(|row| row.user).map(|id| id.0),
            amount_minor: it.amount_minor,
            amount_asset: it.amount_asset.to_string(),
            status: status.to_owned(),
            frozen_milli: frozen.map(|it| it.amount_milli).sum(),
            matched_minor: loss.map_or(0, |loss| loss.matched_minor),
            unmatched_minor: loss.map_or(0, |loss| loss.unmatched_minor),
            fee_minor: self.fees_minor,
            taken_milli: loss.map_or(0, |loss| loss.coins_milli + loss.bonus_milli),
            owed_milli: loss.map_or(0, |loss| loss.left_milli()),
            recovered_milli: loss.map_or(0, |loss| loss.recovered_milli),
            written_off_milli: loss.map_or(0, |loss| loss.written_off_milli),
            clawed_milli: loss.map_or(0, |loss| loss.clawed.iter().map(|(_, milli)| milli).sum::<i64>())
                - self.given_back_milli,
            opened_at: self.opened.1,
            decided_at: self.decided_at,
            revision: self.last,
        }
    }
}

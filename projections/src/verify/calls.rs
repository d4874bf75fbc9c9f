//! Calls, by the story that their events tell.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::calls::CallRow;
use crate::mechanism::{bps, code, scope};
use chrono::{DateTime, Utc};
use ledger_core::event::{CallEnded, CallStarted, SplitSource};
use ledger_core::{CallId, Event, Recorded, State};
use std::collections::BTreeMap;
use uuid::Uuid;

named!(CallRow: "calls", |row| row.call.to_string());

struct Call {
    opening: CallStarted,
    opened: (i64, DateTime<Utc>),
    /// Until when a pause may last; absent while the call runs.
    lost_at: Option<DateTime<Utc>>,
    ending: Option<(CallEnded, DateTime<Utc>)>,
    connected_ms: i64,
    ticks: i64,
    charged_milli: i64,
    /// Of host, agency and platform.
    earned_milli: [i64; 3],
    last: i64,
}

#[derive(Default)]
pub(super) struct Calls {
    calls: BTreeMap<Uuid, Call>,
}

impl Opinion for Calls {
    fn add(&mut self, told: &Told<'_>) {
        match told.event() {
            Event::CallStarted(it) => {
                let call = Call {
                    opening: it.clone(),
                    opened: (told.revision, told.at),
                    lost_at: None,
                    ending: None,
                    connected_ms: 0,
                    ticks: 0,
                    charged_milli: 0,
                    earned_milli: [0; 3],
                    last: told.revision,
                };
                self.calls.insert(it.call.0, call);
            }
            Event::CallTicked(it) => self.touch(it.call, told, |call| {
                call.ticks += 1;
                call.charged_milli += it.charge_milli;
            }),
            Event::CallPaused(it) => self.touch(it.call, told, |call| {
                call.connected_ms = it.connected_ms;
                call.lost_at = Some(it.lost_at.to_utc());
            }),
            Event::CallChargeReturned(it) => self.touch(it.call, told, |call| {
                call.ticks -= i64::from(it.to_number - it.from_number) + 1;
                call.charged_milli -= it.returned_milli;
                call.earn([-it.host_milli, -it.agency_milli, -it.platform_milli]);
            }),
            Event::CallResumed(it) => self.touch(it.call, told, |call| call.lost_at = None),
            Event::CallEnded(it) => self.touch(it.call, told, |call| {
                call.connected_ms = it.connected_ms;
                call.lost_at = None;
                call.ending = Some((it.clone(), told.at));
            }),
            Event::CommissionSplit(it) => {
                if let SplitSource::Call(call) = it.source {
                    let shares = [it.host_milli, it.agency_milli, it.platform_milli];
                    self.touch(call, told, |call| call.earn(shares));
                }
            }
            _ => {}
        }
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, _: &State) -> Result<(), Stop> {
        let expected = self.calls.values().map(Call::row).collect();
        comparison
            .table("SELECT * FROM read.calls ORDER BY started_revision", expected, |row| row.call)
            .await
    }
}

impl Calls {
    /// The medium of the call that an event is part of.
    pub fn medium_of(&self, recorded: &Recorded) -> Option<String> {
        let call = self.calls.get(&recorded.metadata.correlation?)?;
        Some(code(call.opening.medium))
    }

    fn touch(&mut self, id: CallId, told: &Told<'_>, change: impl FnOnce(&mut Call)) {
        if let Some(call) = self.calls.get_mut(&id.0) {
            change(call);
            call.last = told.revision;
        }
    }
}

impl Call {
    fn earn(&mut self, shares: [i64; 3]) {
        for (sum, share) in self.earned_milli.iter_mut().zip(shares) {
            *sum += share;
        }
    }

    fn row(&self) -> CallRow {
        let it = &self.opening;
        let ending = self.ending.as_ref();
        let status = match (ending, self.lost_at) {
            (Some(_), _) => "ended",
            (None, Some(_)) => "paused",
            (None, None) => "running",
        };
        let [host_earned_milli, agency_earned_milli, platform_earned_milli] = self.earned_milli;
        CallRow {
            call: it.call.0,
            started_revision: self.opened.0,
            payer: it.payer.0,
            host: it.host.0,
            medium: code(it.medium),
            price_milli_per_minute: it.price_milli_per_minute,
            increment_seconds: i64::from(it.increment_seconds),
            free_seconds: i64::from(it.free_seconds),
            grace_seconds: i64::from(it.grace_seconds),
            commission_scope: scope(it.commission.scope).0.to_owned(),
            host_bps: bps(it.commission.host_bps),
            agency_bps: bps(it.commission.agency_bps),
            agency: it.commission.agency.map(|agency| agency.0),
            started_at: self.opened.1,
            ended_at: ending.map(|(_, at)| *at),
            status: status.to_owned(),
            lost_at: self.lost_at,
            end_reason: ending.map(|(it, _)| code(it.reason)),
            ended_by: ending.and_then(|(it, _)| it.ended_by).map(|person| person.0),
            connected_ms: self.connected_ms,
            ticks: self.ticks,
            charged_total_milli: self.charged_milli,
            host_earned_milli,
            agency_earned_milli,
            platform_earned_milli,
            revision: self.last,
        }
    }
}

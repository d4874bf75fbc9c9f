//! A call begins.

use super::tick::increment;
use super::{Call, CallEnded};
use crate::commission::CommissionRule;
use crate::mechanism::decide::{Context, Decide, check_amount};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{CallId, Event, Medium, PersonId, Posting, Rejection, State, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;

commands! {
    /// The host accepted: what decides the charges is fixed, and the first increment begins.
    StartCall = "StartCall" {
        call: CallId,
        payer: PersonId,
        host: PersonId,
        medium: Medium,
        /// The price that the payer saw when inviting.
        price_seen_milli_per_minute: i64,
    }
}

events! {
    /// The host accepted. Everything that decides a charge is fixed here.
    CallStarted = "CallStarted" {
        call: CallId,
        payer: PersonId,
        host: PersonId,
        medium: Medium,
        price_milli_per_minute: i64,
        increment_seconds: u32,
        /// What is left of the free seconds that this payer has with this host on this day (UTC).
        free_seconds: u32,
        grace_seconds: u32,
        earnings_hold_seconds: u32,
        commission: CommissionRule,
    }
}

/// What a payer has used of free seconds on one day (UTC): they are given per payer, host and day. The row is
/// replaced on the next day on which the payer uses any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct FreeUsed {
    day: i64,
    seconds: BTreeMap<PersonId, u32>,
}

impl State {
    /// The free seconds that `payer` has used with `host` on the day of `at`.
    fn free_used(&self, payer: PersonId, host: PersonId, at: Timestamp) -> u32 {
        let row = self.tables.free_used.get(&payer).filter(|row| row.day == day(at));
        row.and_then(|row| row.seconds.get(&host)).copied().unwrap_or(0)
    }
}

impl Change<'_> {
    /// Counts the free seconds of a call that has ended, on the day on which it began.
    pub(super) fn use_free_seconds(&mut self, ended: &CallEnded) {
        let tables = &mut self.state.tables;
        let Some(call) = tables.calls.get(&ended.call).filter(|call| call.free_seconds > 0) else { return };
        let day = day(call.started_at);
        let used = u32::try_from(ended.connected_ms.div_euclid(1_000).saturating_add(1)).unwrap_or(u32::MAX);
        let used = used.min(call.free_seconds);
        let before = tables.free_used.get(&ended.payer).filter(|row| row.day == day);
        let mut row = before.cloned().unwrap_or(FreeUsed { day, seconds: BTreeMap::new() });
        let seconds = row.seconds.entry(ended.host).or_default();
        *seconds = seconds.saturating_add(used);
        tables.free_used.set(self.revision, ended.payer, Some(row));
    }
}

fn day(at: Timestamp) -> i64 {
    at.0.div_euclid(24 * 60 * 60 * 1_000)
}

impl Decide for StartCall {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &StartCall { call: id, payer, host, medium, price_seen_milli_per_minute } = self;
        check_amount("price_seen_milli_per_minute", price_seen_milli_per_minute)?;
        if payer == host {
            return Err(Rejection::SelfPayment);
        }
        if context.state.call(id).is_some() {
            return Err(Rejection::CallKnown);
        }
        let price = context.state.host_rate(host, medium).ok_or(Rejection::MediumNotOffered { medium })?;
        if price != price_seen_milli_per_minute {
            return Err(Rejection::CallPriceChanged { price_milli_per_minute: price });
        }
        let policy = context.policy;
        for (field, seconds, least) in [
            ("increment_seconds", policy.increment_seconds, 1),
            ("free_seconds", policy.free_seconds, 0),
            ("grace_seconds", policy.grace_seconds, 0),
        ] {
            if !(least..=86_400).contains(&seconds) {
                return Err(Rejection::TermsInvalid { field });
            }
        }
        if context.state.engaged(payer).is_some() {
            return Err(Rejection::PayerBusy);
        }
        if context.state.engaged(host).is_some() {
            return Err(Rejection::HostBusy);
        }
        let started = CallStarted {
            call: id,
            payer,
            host,
            medium,
            price_milli_per_minute: price,
            increment_seconds: policy.increment_seconds,
            free_seconds: policy
                .free_seconds
                .saturating_sub(context.state.free_used(payer, host, context.at)),
            grace_seconds: policy.grace_seconds,
            earnings_hold_seconds: policy.earnings_hold_seconds,
            commission: context.state.commission_rule(host, context.at),
        };
        let call = Call::begun(&started, context.at);
        let mut events = vec![started.into()];
        events.extend(increment(context, id, &call, context.at, 0)?);
        Ok(events)
    }
}

impl Happened for CallStarted {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.payer, self.host]
    }

    fn payer(&self) -> Option<PersonId> {
        Some(self.payer)
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(self.call.0)
    }

    fn evolve(&self, change: &mut Change) {
        change.forget_ended_calls();
        let (tables, revision) = (&mut change.state.tables, change.revision);
        tables.calls.set(revision, self.call, Some(Call::begun(self, change.at)));
        tables.engaged.set(revision, self.payer, Some(self.call));
        tables.engaged.set(revision, self.host, Some(self.call));
    }
}

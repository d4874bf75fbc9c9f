//! A call begins.

use super::tick::increment;
use super::{Call, CallEnded};
use crate::commission::CommissionRule;
use crate::mechanism::decide::{Context, Decide, check_amount};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{CallId, Event, Medium, PersonId, Posting, Rejection, State, Timestamp};

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
        /// Whether a lost dispute may take back what is earned while it waits.
        claws_back: bool,
        commission: CommissionRule,
    }
}

impl State {
    /// The free seconds that `payer` has used with `host` on the day of `at`. They are given per payer, host and day.
    fn free_used(&self, payer: PersonId, host: PersonId, at: Timestamp) -> u32 {
        self.tables.free_used.get(&(day(at), payer, host)).copied().unwrap_or(0)
    }
}

impl Change<'_> {
    /// Counts the free seconds of a call that has ended, on the day on which it began. Days that are over leave, a
    /// few rows at a time, so that no more rows stay than one day makes.
    pub(super) fn use_free_seconds(&mut self, ended: &CallEnded) {
        const AT_ONCE: usize = 4;
        let today = day(self.at);
        let tables = &mut self.state.tables;
        let Some(call) = tables.calls.get(&ended.call).filter(|call| call.free_seconds > 0) else { return };
        let used = u32::try_from(ended.connected_ms.div_euclid(1_000).saturating_add(1)).unwrap_or(u32::MAX);
        let used = used.min(call.free_seconds);
        let day = day(call.started_at);
        let oldest = tables.free_used.iter().map(|(key, _)| *key).take(AT_ONCE);
        let over: Vec<_> = oldest.filter(|(of, _, _)| *of < today).collect();
        for key in over {
            tables.free_used.set(self.revision, key, None);
        }
        // Nobody asks about the day before any more: a call of that day needs no row.
        if day == today {
            let key = (day, ended.payer, ended.host);
            let before = tables.free_used.get(&key).copied().unwrap_or(0);
            tables.free_used.set(self.revision, key, Some(before.saturating_add(used)));
        }
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
            claws_back: policy.claw_back_held_earnings,
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

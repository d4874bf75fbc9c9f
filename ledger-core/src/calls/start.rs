//! A call begins.

use super::Call;
use super::tick::increment;
use crate::commission::CommissionRule;
use crate::mechanism::decide::{Context, Decide, check_amount};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{CallId, Event, Medium, PersonId, Posting, Rejection};

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
        free_seconds: u32,
        grace_seconds: u32,
        earnings_hold_seconds: u32,
        commission: CommissionRule,
    }
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
            free_seconds: policy.free_seconds,
            grace_seconds: policy.grace_seconds,
            earnings_hold_seconds: policy.earnings_hold_seconds,
            commission: context.state.commission_rule(host, context.at),
        };
        let call = Call::begun(&started, context.at);
        let mut events = vec![started.into()];
        events.extend(increment(context, id, &call, context.at)?);
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
        let (tables, revision) = (&mut change.state.tables, change.revision);
        tables.calls.set(revision, self.call, Some(Call::begun(self, change.at)));
        tables.engaged.set(revision, self.payer, Some(self.call));
        tables.engaged.set(revision, self.host, Some(self.call));
    }
}

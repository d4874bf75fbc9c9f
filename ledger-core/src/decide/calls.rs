//! Metered calls.

use super::spending::Charge;
use super::{Context, audit, check_amount};
use crate::call::{Call, Phase};
use crate::command::Ending;
use crate::event::*;
use crate::ids::{CallId, PersonId};
use crate::rejection::Rejection;
use crate::time::Timestamp;

impl Context<'_> {
    /// The host accepted: what decides the charges is fixed, and the first increment begins.
    pub fn start_call(
        &self,
        id: CallId,
        payer: PersonId,
        host: PersonId,
        medium: Medium,
        price_seen_milli_per_minute: i64,
    ) -> Result<Vec<Event>, Rejection> {
        check_amount("price_seen_milli_per_minute", price_seen_milli_per_minute)?;
        if payer == host {
            return Err(Rejection::SelfPayment);
        }
        if self.state.call(id).is_some() {
            return Err(Rejection::CallKnown);
        }
        let price = self.state.host_rate(host, medium).ok_or(Rejection::MediumNotOffered { medium })?;
        if price != price_seen_milli_per_minute {
            return Err(Rejection::CallPriceChanged { price_milli_per_minute: price });
        }
        let policy = self.policy;
        for (field, seconds, least) in [
            ("increment_seconds", policy.increment_seconds, 1),
            ("free_seconds", policy.free_seconds, 0),
            ("grace_seconds", policy.grace_seconds, 0),
        ] {
            if !(least..=86_400).contains(&seconds) {
                return Err(Rejection::TermsInvalid { field });
            }
        }
        if self.state.engaged(payer).is_some() {
            return Err(Rejection::PayerBusy);
        }
        if self.state.engaged(host).is_some() {
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
            commission: self.state.commission_rule(host, self.at),
        };
        let call = Call::begun(&started, self.at);
        let mut events = vec![started.into()];
        events.extend(self.increment(id, &call, self.at)?);
        Ok(events)
    }

    /// The next increment begins, or the call ends because it cannot be paid.
    pub fn tick_call(&self, id: CallId, number: u32) -> Result<Vec<Event>, Rejection> {
        let call = self.active(id)?;
        if number != call.ticks + 1 {
            return Err(Rejection::TickOutOfOrder { next: call.ticks + 1 });
        }
        let due = call.next_tick_at().ok_or(Rejection::CallNotRunning)?;
        if self.at < due {
            return Err(Rejection::TickNotDue { due });
        }
        // A tick that comes late by an increment or more means that the server was not there: time
        // that nobody watched is not billed.
        let late = self.at.since(due) >= i64::from(call.increment_seconds) * 1_000;
        let begun_at = if late { self.at } else { due };
        // An increment that no account could take up must end the call as well: it would be tried for ever.
        let increment = self.increment(id, call, begun_at);
        match increment.and_then(|events| audit(self.state, &events).map(|()| events)) {
            Ok(events) => Ok(events),
            Err(_) => Ok(vec![self.ended(id, call, EndReason::Exhausted, None)]),
        }
    }

    /// The events of the increment that begins at `begun_at`.
    fn increment(&self, id: CallId, call: &Call, begun_at: Timestamp) -> Result<Vec<Event>, Rejection> {
        let number = call.ticks + 1;
        let field = "price_milli_per_minute";
        let charged_total_milli = call.total_milli(number).ok_or(Rejection::AmountTooLarge { field })?;
        let charge_milli = charged_total_milli - call.charged_milli;
        let Charge { draws, postings } = self.charge(call.payer, charge_milli)?;
        let (payer, host) = (call.payer, call.host);
        let ticked = CallTicked {
            call: id,
            payer,
            host,
            number,
            begun_at,
            charge_milli,
            charged_total_milli,
            draws,
            postings,
        };
        let split = self.split(
            SplitSource::Call(id),
            (payer, host),
            call.commission,
            (call.charged_milli, charged_total_milli),
            call.earnings_hold_seconds,
        );
        Ok([Some(ticked.into()), split].into_iter().flatten().collect())
    }

    pub fn pause_call(&self, id: CallId, cause: PauseCause) -> Result<Vec<Event>, Rejection> {
        let call = self.active(id)?;
        // After an outage a paused call gets a new grace: nobody could come back to a server that
        // was not there.
        if matches!(call.phase, Phase::Paused { .. }) && cause == PauseCause::Disconnected {
            return Err(Rejection::CallNotRunning);
        }
        let connected_ms = match cause {
            PauseCause::Disconnected => call.connected_ms(self.at),
            PauseCause::Outage => call.connected_ms_after_outage(),
        };
        let lost_at = self.at.plus_seconds(call.grace_seconds);
        Ok(vec![
            CallPaused { call: id, payer: call.payer, host: call.host, cause, connected_ms, lost_at }.into(),
        ])
    }

    pub fn resume_call(&self, id: CallId) -> Result<Vec<Event>, Rejection> {
        let call = self.active(id)?;
        match call.phase {
            Phase::Paused { lost_at, .. } if self.at >= lost_at => {
                Ok(vec![self.ended(id, call, EndReason::Lost, None)])
            }
            Phase::Paused { .. } => {
                let (payer, host) = (call.payer, call.host);
                Ok(vec![CallResumed { call: id, payer, host, resumed_at: self.at }.into()])
            }
            _ => Err(Rejection::CallNotPaused),
        }
    }

    pub fn end_call(&self, id: CallId, by: Ending) -> Result<Vec<Event>, Rejection> {
        let call = self.active(id)?;
        let (reason, ended_by) = match (by, call.phase) {
            (Ending::Participant(person), _) if !call.includes(person) => return Err(Rejection::NotInCall),
            (Ending::Participant(person), _) => (EndReason::HungUp, Some(person)),
            (Ending::Admin(person), _) => (EndReason::Stopped, Some(person)),
            (Ending::Lost, Phase::Paused { lost_at, .. }) if self.at < lost_at => {
                return Err(Rejection::GraceNotOver { lost_at });
            }
            (Ending::Lost, Phase::Paused { .. }) => (EndReason::Lost, None),
            (Ending::Lost, _) => return Err(Rejection::CallNotPaused),
        };
        Ok(vec![self.ended(id, call, reason, ended_by)])
    }

    fn ended(&self, id: CallId, call: &Call, reason: EndReason, ended_by: Option<PersonId>) -> Event {
        CallEnded {
            call: id,
            payer: call.payer,
            host: call.host,
            reason,
            ended_by,
            connected_ms: call.connected_ms(self.at),
            ticks: call.ticks,
            charged_total_milli: call.charged_milli,
        }
        .into()
    }

    fn active(&self, id: CallId) -> Result<&Call, Rejection> {
        let call = self.state.call(id).ok_or(Rejection::UnknownCall)?;
        if call.is_active() { Ok(call) } else { Err(Rejection::CallEnded) }
    }
}

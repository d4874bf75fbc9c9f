//! An increment of a call begins and is charged.

use super::pause::{PauseCause, paused};
use super::{Call, EndReason, Phase, Returnable, UNSEEN_LIMIT_MS};
use crate::commission::{Split, SplitSource};
use crate::lots::{Charge, Draw};
use crate::mechanism::decide::{Context, Decide, audit};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, LotMove, LotMoves, events};
use crate::{CallId, Event, PersonId, Posting, Rejection, Timestamp};

commands! {
    /// The next increment begins, or the call ends because it cannot be paid, or it is paused because
    /// nobody has seen both sides for too long.
    TickCall = "TickCall" {
        call: CallId,
        number: u32,
        /// The last moment at which both sides were seen; absent when that is not known.
        last_seen: Option<Timestamp>,
    }
}

events! {
    /// An increment began. It is kept, unless both sides turn out to have been gone before it began.
    CallTicked = "CallTicked" {
        call: CallId,
        payer: PersonId,
        host: PersonId,
        /// From one.
        number: u32,
        begun_at: Timestamp,
        charge_milli: i64,
        charged_total_milli: i64,
        /// The connected time up to the last moment at which both sides are known to have been there.
        seen_ms: i64,
        draws: Vec<Draw>,
        postings: Vec<Posting>,
    }
}

impl Decide for TickCall {
    const STATE_REFUSES_REPEATS: bool = true;

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &TickCall { call: id, number, last_seen } = self;
        let call = context.active_call(id)?;
        if number != call.ticks + 1 {
            return Err(Rejection::TickOutOfOrder { next: call.ticks + 1 });
        }
        let due = call.next_tick_at().ok_or(Rejection::CallNotRunning)?;
        if context.at < due {
            return Err(Rejection::TickNotDue { due });
        }
        // A tick that comes late by an increment or more means that the server was not there: time
        // that nobody watched is not billed.
        let late = context.at.since(due) >= i64::from(call.increment_seconds) * 1_000;
        let begun_at = if late { context.at } else { due };
        let seen_ms = call.seen_ms_at(last_seen.map(|moment| moment.min(context.at)));
        if call.begins_ms(number) - seen_ms >= UNSEEN_LIMIT_MS {
            return Ok(paused(context, id, call, PauseCause::Disconnected, last_seen));
        }
        // An increment that no account could take up must end the call as well: it would be tried for ever.
        let increment = increment(context, id, call, begun_at, seen_ms);
        match increment.and_then(|events| audit(context.state, &events).map(|()| events)) {
            Ok(events) => Ok(events),
            Err(_) => Ok(vec![call.ended(id, context.at, EndReason::Exhausted, None)]),
        }
    }
}

/// The events of the increment that begins at `begun_at`.
pub(super) fn increment(
    context: &Context,
    id: CallId,
    call: &Call,
    begun_at: Timestamp,
    seen_ms: i64,
) -> Result<Vec<Event>, Rejection> {
    let number = call.ticks + 1;
    let field = "price_milli_per_minute";
    let charged_total_milli = call.total_milli(number).ok_or(Rejection::AmountTooLarge { field })?;
    let charge_milli = charged_total_milli - call.charged_milli;
    let Charge { draws, postings } = context.charge(call.payer, charge_milli)?;
    let (payer, host) = (call.payer, call.host);
    let split = Split {
        source: SplitSource::Call(id),
        payer,
        host,
        commission: call.commission,
        before_milli: call.charged_milli,
        after_milli: charged_total_milli,
        hold_seconds: call.earnings_hold_seconds,
        claws_back: call.claws_back,
        draws: &draws,
    };
    let split = split.event(context);
    let ticked = CallTicked {
        call: id,
        payer,
        host,
        number,
        begun_at,
        charge_milli,
        charged_total_milli,
        seen_ms,
        draws,
        postings,
    };
    Ok([Some(ticked.into()), split].into_iter().flatten().collect())
}

impl Happened for CallTicked {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn lots(&self) -> LotMoves {
        self.draws.iter().map(LotMove::drawn).collect()
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
        let returnable = Returnable::of(change, self.number, &self.draws);
        change.edit_call(self.call, |call| {
            let connected_ms = call.begins_ms(self.number);
            call.phase = Phase::Running { connected_ms, since: self.begun_at };
            call.ticks = self.number;
            call.charged_milli = self.charged_total_milli;
            call.unseen.push(returnable);
            call.seen(self.seen_ms);
        });
        change.spend(&self.draws);
    }
}

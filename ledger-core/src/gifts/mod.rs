//! Gifts that users send to hosts.

use crate::commission::{Split, SplitSource};
use crate::lots::{Charge, Draw};
use crate::mechanism::decide::{Context, Decide, check_amount};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, LotMove, LotMoves, events};
use crate::{CallId, Event, GiftId, GiftSendingId, PersonId, Posting, Rejection};

macro_rules! noun {
    ($next:ident $so_far:tt) => { $crate::nouns::$next! { $so_far {
        gifts
        commands { SendGift }
        events { GiftSent }
        tables {}
        rejections {
            GiftOutsideCall = "gift_outside_call", "a gift in a call goes from its payer to its host while it lasts";
        }
    } } };
}
pub(crate) use noun;

commands! {
    SendGift = "SendGift" {
        sender: PersonId,
        host: PersonId,
        gift: GiftId,
        call: Option<CallId>,
        /// The price that the sender saw.
        price_seen_milli: i64,
    }
}

events! {
    GiftSent = "GiftSent" {
        sending: GiftSendingId,
        gift: GiftId,
        sender: PersonId,
        host: PersonId,
        call: Option<CallId>,
        price_milli: i64,
        draws: Vec<Draw>,
        postings: Vec<Posting>,
    }
}

impl Decide for SendGift {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &SendGift { sender, host, gift, call, price_seen_milli } = self;
        check_amount("price_seen_milli", price_seen_milli)?;
        if sender == host {
            return Err(Rejection::SelfPayment);
        }
        let price_milli = context.state.gift_price(gift).ok_or(Rejection::UnknownGift)?;
        if price_milli != price_seen_milli {
            return Err(Rejection::GiftPriceChanged { price_milli });
        }
        if let Some(call) = call {
            let row = context.state.call(call).ok_or(Rejection::UnknownCall)?;
            if !row.is_active() || row.payer != sender || row.host != host {
                return Err(Rejection::GiftOutsideCall);
            }
        }
        let Charge { draws, postings } = context.charge(sender, price_milli)?;
        let sending = context.command_id.derive("gift");
        let split = Split {
            source: SplitSource::Gift(sending),
            payer: sender,
            host,
            commission: context.state.commission_rule(host, context.at),
            before_milli: 0,
            after_milli: price_milli,
            hold_seconds: context.policy.earnings_hold_seconds,
            claws_back: context.policy.claw_back_held_earnings,
            draws: &draws,
        };
        let split = split.event(context);
        let sent = GiftSent { sending, gift, sender, host, call, price_milli, draws, postings };
        Ok([Some(sent.into()), split].into_iter().flatten().collect())
    }
}

impl Happened for GiftSent {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn lots(&self) -> LotMoves {
        self.draws.iter().map(LotMove::drawn).collect()
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.sender, self.host]
    }

    fn payer(&self) -> Option<PersonId> {
        Some(self.sender)
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(self.call.map_or(self.sending.0, |call| call.0))
    }

    fn evolve(&self, change: &mut Change) {
        change.spend(&self.draws);
    }
}

//! What gifts cost.

use crate::mechanism::decide::{Context, Decide, check_amount};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{Event, GiftId, PersonId, Posting, Rejection, State};

commands! {
    SetGiftPrice = "SetGiftPrice" { gift: GiftId, price_milli: Option<i64> }
}

events! {
    /// A gift's price; absent when it is withdrawn from the catalogue.
    GiftPriceSet = "GiftPriceSet" { gift: GiftId, price_milli: Option<i64> }
}

impl State {
    /// The price of a gift in thousandths of a coin; `None` when it is not on offer.
    pub fn gift_price(&self, gift: GiftId) -> Option<i64> {
        self.tables.gifts.get(&gift).copied()
    }
}

impl Decide for SetGiftPrice {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &SetGiftPrice { gift, price_milli } = self;
        price_milli.map(|price| check_amount("price_milli", price)).transpose()?;
        if context.state.gift_price(gift) == price_milli {
            return Ok(vec![]);
        }
        Ok(vec![GiftPriceSet { gift, price_milli }.into()])
    }
}

impl Happened for GiftPriceSet {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![]
    }

    fn evolve(&self, change: &mut Change) {
        change.state.tables.gifts.set(change.revision, self.gift, self.price_milli);
    }
}

//! What is sold by the order: who provides it, and what it costs.

use crate::mechanism::decide::{Context, Decide, check_amount};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{Event, PersonId, Posting, Price, Rejection, ServiceId, State};
use serde::{Deserialize, Serialize};

commands! {
    /// Offers a service, changes it, or (inactive) withdraws it.
    SetService = "SetService" {
        service: ServiceId,
        provider: Option<PersonId>,
        price_milli: i64,
        price: Option<Price>,
        active: bool,
    }
}

events! {
    /// A service was offered, changed or (inactive) withdrawn.
    ServiceSet = "ServiceSet" {
        service: ServiceId,
        /// The host who provides it; the platform itself when absent.
        provider: Option<PersonId>,
        price_milli: i64,
        /// What it costs at a gateway; absent where it is sold for coins alone.
        price: Option<Price>,
        active: bool,
    }
}

/// A service and its price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub provider: Option<PersonId>,
    pub price_milli: i64,
    pub price: Option<Price>,
    pub active: bool,
}

/// What the gateway is asked for where it pays `part_milli` of a service that costs `price_milli`: in proportion, rounded
/// up to the smallest unit of the money, so that no part is free.
pub fn gateway_minor(price: Price, price_milli: i64, part_milli: i64) -> i64 {
    let exact = i128::from(price.amount_minor) * i128::from(part_milli);
    let rounded_up = (exact + i128::from(price_milli) - 1) / i128::from(price_milli);
    i64::try_from(rounded_up).expect("a part of an amount is an amount")
}

impl State {
    pub fn service(&self, service: ServiceId) -> Option<&Service> {
        self.tables.services.get(&service)
    }
}

impl Decide for SetService {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &SetService { service, provider, price_milli, price, active } = self;
        check_amount("price_milli", price_milli)?;
        price.map(|price| context.check_price("price", price)).transpose()?;
        let set = ServiceSet { service, provider, price_milli, price, active };
        if context.state.service(service) == Some(&set.terms()) {
            return Ok(vec![]);
        }
        Ok(vec![set.into()])
    }
}

impl ServiceSet {
    fn terms(&self) -> Service {
        let &ServiceSet { provider, price_milli, price, active, .. } = self;
        Service { provider, price_milli, price, active }
    }
}

impl Happened for ServiceSet {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        self.provider.into_iter().collect()
    }

    fn evolve(&self, change: &mut Change) {
        change.state.tables.services.set(change.revision, self.service, Some(self.terms()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Asset, MAX_AMOUNT};

    #[test]
    fn a_part_of_a_price_is_in_proportion_and_rounded_up() {
        for (amount_minor, price_milli, part_milli, expected) in [
            (10_000, 100_000, 100_000, 10_000),
            (10_000, 100_000, 40_000, 4_000),
            (10_000, 100_000, 1, 1),
            (10_000, 99_999, 33_333, 3_334),
            (1, MAX_AMOUNT, 1, 1),
            (MAX_AMOUNT, MAX_AMOUNT, MAX_AMOUNT, MAX_AMOUNT),
        ] {
            let price = Price { amount_minor, asset: Asset::INR };
            assert_eq!(
                gateway_minor(price, price_milli, part_milli),
                expected,
                "{part_milli} of {price_milli}"
            );
        }
    }
}

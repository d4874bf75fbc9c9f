//! Orders of services.

use crate::commands::{CommandError, Commands};
use crate::hosts::Hosts;
use crate::purchases::{Checkout, Purchases};
use chrono::{DateTime, Utc};
use ledger_core::command::PlaceOrder;
use ledger_core::{Actor, ClientKey};
use ledger_runtime::Receipt;

#[derive(Clone)]
pub struct Orders {
    commands: Commands,
    purchases: Purchases,
    hosts: Hosts,
}

impl Orders {
    pub fn new(commands: Commands, purchases: Purchases, hosts: Hosts) -> Orders {
        Orders { commands, purchases, hosts }
    }

    /// Places an order. Where the wallet does not pay all of it, a purchase is opened for the rest. The same key again
    /// answers the same order.
    ///
    /// # Errors
    /// When its provider serves nobody at present, or the ledger or the gateway refuses.
    pub async fn place(
        &self,
        key: ClientKey,
        order: PlaceOrder,
        now: DateTime<Utc>,
    ) -> Result<(Receipt, Option<Checkout>), CommandError> {
        let (user, service) = (order.user, order.service);
        let provider = self.commands.ledger().query(move |state, _| state.service(service)?.provider).await?;
        // The ledger does not know who is suspended. A retry is answered as the first time all the same.
        if let Some(provider) = provider
            && let Err(no_host) = self.hosts.must_serve(provider).await
            && !self.commands.is_recorded(Actor::Person(user), PlaceOrder::OPERATION, &key).await?
        {
            return Err(no_host.into());
        }
        if order.wallet_milli >= order.total_seen_milli {
            return Ok((self.commands.give(user, key, order.into()).await?, None));
        }
        let checkout = self.purchases.open_for_order(key, order, now).await?;
        Ok((checkout.receipt, Some(checkout)))
    }
}

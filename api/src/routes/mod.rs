//! The routes, a file per resource. Each names its roles in its `security`: an empty list means anybody
//! who has signed in, none at all that everybody may call it.

mod adjustments;
mod agencies;
mod approvals;
mod audit;
mod auth;
mod bonuses;
mod books;
mod call_admin;
mod calls;
mod coin_plans;
mod commission;
mod deferred_revenue;
mod disputes;
mod events;
mod gift_batches;
mod gifts;
mod health;
mod host_admin;
mod hosts;
mod journal_heads;
mod me;
mod my_agencies;
mod my_settlements;
mod order_admin;
mod orders;
mod payees;
mod payout_rates;
mod people;
mod purchases;
mod reconciliations;
mod rewards;
mod settings;
mod settlements;
mod subscriptions;
mod wallet;
mod webhooks;
mod withdrawal_admin;
mod withdrawals;

use crate::Api;
use utoipa_axum::router::OpenApiRouter;

/// What every node serves.
pub fn health() -> OpenApiRouter<Api> {
    health::routes()
}

/// The routes of all resources.
pub fn all() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .merge(auth::routes())
        .merge(me::routes())
        .merge(hosts::routes())
        .merge(host_admin::routes())
        .merge(agencies::routes())
        .merge(my_agencies::routes())
        .merge(coin_plans::routes())
        .merge(purchases::routes())
        .merge(disputes::routes())
        .merge(webhooks::routes())
        .merge(wallet::routes())
        .merge(gifts::routes())
        .merge(gift_batches::routes())
        .merge(calls::routes())
        .merge(call_admin::routes())
        .merge(withdrawals::routes())
        .merge(withdrawal_admin::routes())
        .merge(payout_rates::routes())
        .merge(payees::routes())
        .merge(commission::routes())
        .merge(bonuses::routes())
        .merge(rewards::routes())
        .merge(subscriptions::routes())
        .merge(orders::routes())
        .merge(order_admin::routes())
        .merge(settlements::routes())
        .merge(my_settlements::routes())
        .merge(adjustments::routes())
        .merge(reconciliations::routes())
        .merge(events::routes())
        .merge(journal_heads::routes())
        .merge(books::routes())
        .merge(deferred_revenue::routes())
        .merge(settings::routes())
        .merge(audit::routes())
        .merge(approvals::routes())
        .merge(people::routes())
        .merge(health::routes())
}

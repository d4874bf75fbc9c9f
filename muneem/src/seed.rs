//! A small demo world, made on the first start in development mode through the same commands that
//! an admin would give.

use chrono::{DateTime, Utc};
use ledger_core::command::{SetCoinPlan, SetCommissionRate, SetGiftPrice};
use ledger_core::event::CommissionScope;
use ledger_core::{Actor, Asset, Command, GiftId, Key, PlanId};
use platform::app::App;
use platform::audit::Author;
use platform::gifts::GiftCard;
use platform::identity::Role;
use uuid::Uuid;

/// The phone that signs in as admin in development.
pub const ADMIN_PHONE: &str = "+919000000001";

const NAMESPACE: Uuid = Uuid::from_u128(0x6465_6d6f_776f_4c72_8d00_5eed_0000_0001);

struct Plan {
    name: &'static str,
    coins: i64,
    bonus: i64,
    rupees: i64,
}

impl Plan {
    fn id(&self) -> PlanId {
        PlanId(Uuid::new_v5(&NAMESPACE, self.name.as_bytes()))
    }
}

const PLANS: [Plan; 3] = [
    Plan { name: "small", coins: 100, bonus: 0, rupees: 99 },
    Plan { name: "medium", coins: 500, bonus: 25, rupees: 449 },
    Plan { name: "large", coins: 2_000, bonus: 200, rupees: 1_699 },
];

const GIFTS: [(&str, i64); 4] = [("Rose", 5), ("Chai", 10), ("Diya", 25), ("Crown", 500)];

/// Makes the demo world, or completes one that an earlier start was interrupted in. A whole one is left as it is:
/// the admin may have changed it since.
///
/// # Errors
/// When a part of the platform does not answer.
pub async fn complete(app: &App, now: DateTime<Utc>) -> anyhow::Result<()> {
    // The plans come last and in order, so that the last of them stands for everything before it.
    let last = PLANS.last().map(Plan::id);
    let is_whole =
        app.ledger.query(move |state, _| last.is_none_or(|last| state.plan(last).is_some())).await?;
    if is_whole {
        return Ok(());
    }
    tracing::info!("development: making a small demo world");
    seed(app, now).await
}

async fn seed(app: &App, now: DateTime<Utc>) -> anyhow::Result<()> {
    let phone = ADMIN_PHONE.parse().map_err(|_| anyhow::anyhow!("the admin's phone number is not one"))?;
    let admin = app.people.ensure(&phone, now).await?;
    app.people.grant_role(admin.id, Role::Admin, &Author::operator(), now).await?;
    let give = async |what: String, command: Command| {
        app.commands.give_as(Actor::System, Key::Natural(format!("seed:{what}")), command).await
    };
    for (position, (name, coins)) in (1..).zip(GIFTS) {
        let gift = GiftId(Uuid::new_v5(&NAMESPACE, name.as_bytes()));
        let image = format!("/gifts/{}.webp", name.to_lowercase());
        let price = SetGiftPrice { gift, price_milli: Some(coins * 1_000) };
        let receipt = give(format!("gift:{name}"), price.into()).await?;
        app.gifts.put(&GiftCard::new(gift, name, &image, position)?, receipt.revision, now).await?;
    }
    let scope = CommissionScope::Global;
    let command =
        Command::from(SetCommissionRate { scope, host_bps: 5_000, agency_bps: 500, effective_from: None });
    give("commission".to_owned(), command).await?;
    for plan in &PLANS {
        let command = Command::from(SetCoinPlan {
            plan: plan.id(),
            coins_milli: plan.coins * 1_000,
            bonus_milli: plan.bonus * 1_000,
            bonus_valid_seconds: (plan.bonus > 0).then_some(30 * 24 * 3_600),
            price_minor: plan.rupees * 100,
            price_asset: Asset::INR,
            active: true,
        });
        give(format!("plan:{}", plan.name), command).await?;
    }
    Ok(())
}

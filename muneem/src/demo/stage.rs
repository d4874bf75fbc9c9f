//! What the stories share: where they are told, under which settings, and what people do in all of them.

use super::client::{Client, Socket, number, text};
use super::report::coins;
use crate::config::Config;
use crate::seed::ADMIN_PHONE;
use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use platform::settings::{MeteringSettings, PayoutSettings};
use serde_json::{Value, json};

/// The running server, as a visitor and as the admin.
pub struct Stage {
    pub config: Config,
    pub visitor: Client,
    pub admin: Client,
}

/// The settings that a story is told under.
#[derive(Clone, PartialEq)]
pub struct Settings {
    pub metering: Value,
    pub payouts: Value,
    /// Rupees for one coin.
    pub payout_rate: String,
    pub tax_bps: i64,
}

impl Settings {
    /// Those that a deployment begins with.
    pub fn usual() -> Settings {
        Settings {
            metering: json!(MeteringSettings::default()),
            payouts: json!(PayoutSettings::default()),
            payout_rate: "1".to_owned(),
            tax_bps: 0,
        }
    }

    async fn in_force(admin: &Client) -> anyhow::Result<Settings> {
        let rate = in_force(admin, "/v1/admin/payout-rates").await?;
        let tax = in_force(admin, "/v1/admin/tax-rates").await?;
        let usual = Settings::usual();
        Ok(Settings {
            metering: admin.get("/v1/admin/settings/metering").await?,
            payouts: admin.get("/v1/admin/settings/payouts").await?,
            payout_rate: rate.map(|row| text(&row, "rate")).transpose()?.unwrap_or(usual.payout_rate),
            tax_bps: tax.map(|row| number(&row, "tax_bps")).transpose()?.unwrap_or(usual.tax_bps),
        })
    }

    /// These, but the usual ones for what an earlier story of the same settings has left behind.
    fn without(self, of_story: &Settings) -> Settings {
        fn kept<T: PartialEq>(found: T, of_story: &T, usual: T) -> T {
            if found == *of_story { usual } else { found }
        }
        let usual = Settings::usual();
        Settings {
            metering: kept(self.metering, &of_story.metering, usual.metering),
            payouts: kept(self.payouts, &of_story.payouts, usual.payouts),
            payout_rate: kept(self.payout_rate, &of_story.payout_rate, usual.payout_rate),
            tax_bps: kept(self.tax_bps, &of_story.tax_bps, usual.tax_bps),
        }
    }

    async fn put(&self, admin: &Client) -> anyhow::Result<()> {
        admin.put("/v1/admin/settings/metering", self.metering.clone()).await?;
        admin.put("/v1/admin/settings/payouts", self.payouts.clone()).await?;
        admin.put("/v1/admin/payout-rates", json!({ "rate": self.payout_rate })).await?;
        admin.put("/v1/admin/tax-rates", json!({ "tax_bps": self.tax_bps })).await?;
        Ok(())
    }
}

/// Of rates that hold from moments on, the one that holds now.
async fn in_force(admin: &Client, list: &str) -> anyhow::Result<Option<Value>> {
    let page = admin.get(&format!("{list}?limit=100")).await?;
    let now = platform::clock::now();
    let from = |row: &Value| row["effective_from"].as_str().and_then(|it| it.parse::<DateTime<Utc>>().ok());
    let rows = page["items"].as_array().into_iter().flatten();
    let begun = rows.filter_map(|row| Some((from(row)?, row["revision"].as_i64()?, row)));
    let latest = begun.filter(|(from, ..)| *from <= now).max_by_key(|(from, revision, _)| (*from, *revision));
    Ok(latest.map(|(.., row)| row.clone()))
}

impl Stage {
    /// # Errors
    /// When the server is not there, or is not in development mode.
    pub async fn enter(config: &Config) -> anyhow::Result<Stage> {
        let visitor = Client::new(&config.url);
        let (admin, _) = visitor
            .sign_in(ADMIN_PHONE)
            .await
            .context("the admin could not sign in (development mode only)")?;
        Ok(Stage { config: config.clone(), visitor, admin })
    }

    /// Tells a story under its own settings, and puts back those that were in force before.
    ///
    /// # Errors
    /// When the server refuses a step that should succeed, or `stop` was ready first.
    pub async fn under(
        &self,
        of_story: Settings,
        story: impl Future<Output = anyhow::Result<()>>,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        // A story that broke off, with the server perhaps, left its settings behind.
        let before = Settings::in_force(&self.admin).await?.without(&of_story);
        let told = async {
            of_story.put(&self.admin).await?;
            story.await
        };
        let told = tokio::select! {
            told = told => told,
            () = stop => Err(anyhow::anyhow!("the story was interrupted; the settings are as they were before it")),
        };
        let restored = before.put(&self.admin).await;
        // What broke the story is the news, not that the settings could not be set back after it.
        told.and(restored.context("the settings could not be set back; the next demo does it"))
    }

    /// Somebody signs in for the first time.
    ///
    /// # Errors
    /// When a step is refused.
    pub async fn newcomer(&self) -> anyhow::Result<(Client, String)> {
        self.visitor.sign_in(&new_phone()).await
    }

    /// Somebody signs in, applies to be a host, and is approved.
    ///
    /// # Errors
    /// When a step is refused.
    pub async fn new_host(&self, name: &str) -> anyhow::Result<(Client, String)> {
        let (host, id) = self.newcomer().await?;
        let profile = json!({
            "display_name": name, "bio": "Reads charts, listens well", "categories": ["astrology"],
            "languages": ["hi", "en"],
        });
        host.post("/v1/hosts/applications", profile).await?;
        self.admin.post(&format!("/v1/admin/hosts/{id}/approve"), json!({})).await?;
        Ok((host, id))
    }

    /// Buys a plan that is offered for this one purchase; answers Razorpay's order and the wallet after it.
    ///
    /// # Errors
    /// When a step is refused.
    pub async fn buy(
        &self,
        buyer: &Client,
        (coins_milli, bonus_milli, price_minor): (i64, i64, i64),
    ) -> anyhow::Result<(String, Value)> {
        let plan = platform::entropy::uuid_v7();
        let mut offer = json!({
            "coins_milli": coins_milli, "bonus_milli": bonus_milli, "bonus_valid_seconds": 86_400,
            "price_minor": price_minor, "price_asset": "INR/2", "active": true,
        });
        self.admin.put(&format!("/v1/admin/coin-plans/{plan}"), offer.clone()).await?;
        let mut socket = buyer.connect().await?;
        let checkout = buyer.post("/v1/purchases", json!({ "plan": plan })).await?;
        let order = text(&checkout, "order_id")?;
        buyer.post("/dev/razorpay/pay", json!({ "order_id": order })).await?;
        let wallet = wallet_with(&mut socket, "spendable_milli", coins_milli + bonus_milli).await?;
        // The plan was the story's; it is no longer on offer.
        offer["active"] = json!(false);
        self.admin.put(&format!("/v1/admin/coin-plans/{plan}"), offer).await?;
        Ok((order, wallet))
    }
}

/// Waits for the wallet in which a field has this value.
///
/// # Errors
/// When it comes to hold more, or nothing comes in time.
pub async fn wallet_with(socket: &mut Socket, field: &str, value: i64) -> anyhow::Result<Value> {
    loop {
        let wallet = socket.push("wallet:updated").await?;
        let found = number(&wallet, field)?;
        ensure!(found <= value, "the wallet holds {} where {} were bought", coins(found), coins(value));
        if found == value {
            return Ok(wallet);
        }
    }
}

pub fn key() -> String {
    platform::entropy::uuid_v7().to_string()
}

/// A number that no earlier story used.
fn new_phone() -> String {
    let random = u64::from_be_bytes(platform::entropy::bytes());
    format!("+9198{:08}", random % 100_000_000)
}

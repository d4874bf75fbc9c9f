//! What an admin may change while the server runs. A call pins the metering values that it started with, so a
//! change touches later calls only.

use crate::audit::{self, Author, Change};
use crate::known::{Known, Remembered};
use crate::validation::{FieldError, within};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use sqlx::PgPool;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// How calls are metered. A field that a stored value does not have takes its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MeteringSettings {
    /// What is charged at a time, 1 to 3600.
    pub increment_seconds: u32,
    /// Connected time before the first charge, 0 to 3600.
    pub free_seconds: u32,
    /// How long a side may be away before the call ends as lost, 1 to 600.
    pub grace_seconds: u32,
    /// How long an invitation rings, 1 to 300.
    pub ring_seconds: u32,
    /// How long before the coins run out the payer is warned, 0 to 3600.
    pub warning_seconds: u32,
}

impl Default for MeteringSettings {
    fn default() -> Self {
        Self {
            increment_seconds: 10,
            free_seconds: 0,
            grace_seconds: 30,
            ring_seconds: 30,
            warning_seconds: 60,
        }
    }
}

/// When earnings may be withdrawn, and how much of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PayoutSettings {
    /// Thousandths of a coin, 1 or more.
    pub minimum_withdrawal_milli: i64,
    /// Thousandths of a coin that one payee may ask for in a day (UTC), 1 or more; no limit when absent.
    pub daily_withdrawal_milli: Option<i64>,
    /// Whether an admin has to check a payee's payout details before the payee can withdraw.
    pub require_verified_payee: bool,
    /// How long earnings wait before they can be withdrawn, at most 90 days.
    pub earnings_hold_seconds: u32,
    /// Whether a lost dispute takes back what hosts and agencies earned by its coins, while that waits.
    pub claw_back_held_earnings: bool,
}

impl Default for PayoutSettings {
    fn default() -> Self {
        Self {
            minimum_withdrawal_milli: 1_000,
            daily_withdrawal_milli: None,
            require_verified_payee: false,
            earnings_hold_seconds: 0,
            claw_back_held_earnings: false,
        }
    }
}

/// What takes a second admin: amounts above these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ApprovalSettings {
    /// Thousandths of a coin that one admin may add to or take from an account at a time.
    pub adjustment_milli: i64,
    /// Thousandths of a coin that one admin may give as a bonus at a time.
    pub bonus_milli: i64,
    /// Minor units of the payout's currency, before tax, that one admin may approve at a time.
    pub payout_minor: i64,
    /// How long a proposal waits for another admin, 60 to 2,592,000 (30 days).
    pub expires_seconds: u32,
}

impl Default for ApprovalSettings {
    fn default() -> Self {
        Self {
            adjustment_milli: 100_000_000,
            bonus_milli: 100_000_000,
            payout_minor: 10_000_000,
            expires_seconds: 3 * 24 * 3_600,
        }
    }
}

/// How often a person may do what costs nothing: each time adds to the journal or to a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitSettings {
    /// Unpaid purchases that a person may have at a time, 1 to 100.
    pub open_purchases: u32,
    /// Purchases that a person may open in 24 hours, 1 to 10,000.
    pub purchases_per_day: u32,
    /// After this long an unpaid purchase is closed, 900 to 2,592,000 (30 days).
    pub purchase_open_seconds: u32,
    /// For how long an order may be paid at the gateway, and keeps what its wallet part holds, 5 to 86,400.
    pub order_payment_seconds: u32,
    /// Withdrawals that a person may request in 24 hours, 1 to 10,000.
    pub withdrawals_per_day: u32,
    /// Changes of a host's own prices in 24 hours, 1 to 10,000.
    pub price_changes_per_day: u32,
    /// Applications to become a host, changed ones too, in 24 hours, 1 to 10,000.
    pub applications_per_day: u32,
    /// Calls that a person may begin to ring in a minute, 1 to 1,000.
    pub rings_per_minute: u32,
    /// The same in 24 hours, 1 to 100,000.
    pub rings_per_day: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            open_purchases: 10,
            purchases_per_day: 100,
            purchase_open_seconds: 24 * 3_600,
            order_payment_seconds: 1_800,
            withdrawals_per_day: 100,
            price_changes_per_day: 200,
            applications_per_day: 50,
            rings_per_minute: 20,
            rings_per_day: 500,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error(transparent)]
    Invalid(#[from] FieldError),
    /// Somebody changed the row by hand.
    #[error("the stored setting {key} cannot be read: {problem}")]
    Unreadable { key: &'static str, problem: String },
    #[error("the database is unavailable: {0}")]
    Database(#[from] sqlx::Error),
}

impl SettingsError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => FieldError::CODE,
            Self::Unreadable { .. } => "setting_unreadable",
            Self::Database(_) => "unavailable",
        }
    }
}

/// All groups as they are stored; one that cannot be read fails alone.
struct Stored {
    metering: Result<MeteringSettings, String>,
    payout: Result<PayoutSettings, String>,
    approvals: Result<ApprovalSettings, String>,
    limits: Result<LimitSettings, String>,
}

/// A group of settings: a row.
trait Group: Serialize + DeserializeOwned + Default + Clone + Sync {
    const KEY: &'static str;
    fn of(stored: &Stored) -> &Result<Self, String>;
}

macro_rules! groups {
    ($($name:ident: $group:ty;)*) => {$(
        impl Group for $group {
            const KEY: &'static str = stringify!($name);

            fn of(stored: &Stored) -> &Result<Self, String> {
                &stored.$name
            }
        }
    )*

        impl Stored {
            fn read(rows: Vec<(String, Value)>) -> Stored {
                let mut rows: HashMap<String, Value> = rows.into_iter().collect();
                Stored { $($name: read(rows.remove(stringify!($name)))),* }
            }
        }
    };
}

groups! {
    metering: MeteringSettings;
    payout: PayoutSettings;
    approvals: ApprovalSettings;
    limits: LimitSettings;
}

#[derive(Clone)]
pub struct Settings {
    pool: PgPool,
    known: Known,
    remembered: Remembered<(), Arc<Stored>>,
    changes: watch::Sender<()>,
}

impl Settings {
    pub fn new(pool: PgPool, known: Known) -> Self {
        Self { pool, known, remembered: Remembered::default(), changes: watch::Sender::new(()) }
    }

    /// Hears of every change that is made on this node.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// The values in force; the defaults as long as nobody set any.
    pub async fn metering(&self) -> Result<MeteringSettings, SettingsError> {
        self.get().await
    }

    pub async fn set_metering(
        &self,
        settings: &MeteringSettings,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<(), SettingsError> {
        settings.validate()?;
        self.set(settings, author, now).await
    }

    /// The values in force; the defaults as long as nobody set any.
    pub async fn payout(&self) -> Result<PayoutSettings, SettingsError> {
        self.get().await
    }

    pub async fn set_payout(
        &self,
        settings: &PayoutSettings,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<(), SettingsError> {
        settings.validate()?;
        self.set(settings, author, now).await
    }

    /// The values in force; the defaults as long as nobody set any.
    pub async fn approvals(&self) -> Result<ApprovalSettings, SettingsError> {
        self.get().await
    }

    pub(crate) async fn set_approvals(
        &self,
        settings: &ApprovalSettings,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<(), SettingsError> {
        settings.validate()?;
        self.set(settings, author, now).await
    }

    /// The values in force; the defaults as long as nobody set any.
    pub async fn limits(&self) -> Result<LimitSettings, SettingsError> {
        self.get().await
    }

    pub async fn set_limits(
        &self,
        settings: &LimitSettings,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<(), SettingsError> {
        settings.validate()?;
        self.set(settings, author, now).await
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    async fn get<T: Group>(&self) -> Result<T, SettingsError> {
        let stored = self.stored().await?;
        T::of(&stored).clone().map_err(|problem| SettingsError::Unreadable { key: T::KEY, problem })
    }

    /// Every command needs some of them, so all are kept in memory, see [`crate::known`].
    async fn stored(&self) -> Result<Arc<Stored>, SettingsError> {
        let mark = self.known.about_settings();
        if let Some(stored) = self.remembered.get(&(), mark) {
            return Ok(stored);
        }
        let rows = sqlx::query_as("SELECT key, value FROM app.settings").fetch_all(&self.pool).await?;
        let stored = Arc::new(Stored::read(rows));
        self.remembered.put((), mark, stored.clone());
        Ok(stored)
    }

    /// Writes a group and its row of the audit log together. The values that are in force already change nothing.
    async fn set<T: Group>(
        &self,
        value: &T,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<(), SettingsError> {
        let key = T::KEY;
        let after = serde_json::to_value(value)
            .map_err(|error| SettingsError::Unreadable { key, problem: error.to_string() })?;
        let mut tx = self.pool.begin().await?;
        // Two admins at once: the second one reads what the first one wrote.
        sqlx::query("LOCK TABLE app.settings IN SHARE ROW EXCLUSIVE MODE").execute(&mut *tx).await?;
        let stored: Option<Value> = sqlx::query_scalar("SELECT value FROM app.settings WHERE key = $1")
            .bind(key)
            .fetch_optional(&mut *tx)
            .await?;
        // A stored value that cannot be read is replaced, and shown as it is.
        let before = match stored {
            None => serde_json::to_value(T::default()).ok(),
            stored => stored,
        };
        if before.as_ref() == Some(&after) {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO app.settings (key, value, changed_by, changed_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value, changed_by = excluded.changed_by,
                 changed_at = excluded.changed_at",
        )
        .bind(key)
        .bind(&after)
        .bind(author.id().map(|person| person.0))
        .bind(now)
        .execute(&mut *tx)
        .await?;
        let change = Change::new("setting.changed", "setting", key);
        let change = Change { before, after: Some(after), ..change };
        audit::record(&mut tx, author, change, now).await?;
        tx.commit().await?;
        self.known.settings_changed();
        self.changes.send_replace(());
        Ok(())
    }
}

fn read<T: DeserializeOwned + Default>(stored: Option<Value>) -> Result<T, String> {
    stored.map_or_else(|| Ok(T::default()), serde_json::from_value).map_err(|error| error.to_string())
}

impl MeteringSettings {
    pub fn validate(&self) -> Result<(), FieldError> {
        within("increment_seconds", self.increment_seconds, 1..=3_600)?;
        within("free_seconds", self.free_seconds, 0..=3_600)?;
        within("grace_seconds", self.grace_seconds, 1..=600)?;
        within("ring_seconds", self.ring_seconds, 1..=300)?;
        within("warning_seconds", self.warning_seconds, 0..=3_600)
    }
}

impl PayoutSettings {
    pub fn validate(&self) -> Result<(), FieldError> {
        within("minimum_withdrawal_milli", self.minimum_withdrawal_milli, 1..=ledger_core::MAX_AMOUNT)?;
        if let Some(limit) = self.daily_withdrawal_milli {
            within("daily_withdrawal_milli", limit, 1..=ledger_core::MAX_AMOUNT)?;
        }
        within("earnings_hold_seconds", self.earnings_hold_seconds, 0..=90 * 24 * 3_600)
    }
}

impl ApprovalSettings {
    pub fn validate(&self) -> Result<(), FieldError> {
        for (field, limit) in [
            ("adjustment_milli", self.adjustment_milli),
            ("bonus_milli", self.bonus_milli),
            ("payout_minor", self.payout_minor),
        ] {
            within(field, limit, 0..=ledger_core::MAX_AMOUNT)?;
        }
        within("expires_seconds", self.expires_seconds, 60..=30 * 24 * 3_600)
    }

    /// Whether one admin may do more under these than under `others`.
    pub(crate) fn raises(&self, others: &ApprovalSettings) -> bool {
        self.adjustment_milli > others.adjustment_milli
            || self.bonus_milli > others.bonus_milli
            || self.payout_minor > others.payout_minor
    }
}

impl LimitSettings {
    pub fn validate(&self) -> Result<(), FieldError> {
        within("open_purchases", self.open_purchases, 1..=100)?;
        within("purchase_open_seconds", self.purchase_open_seconds, 900..=30 * 24 * 3_600)?;
        within("order_payment_seconds", self.order_payment_seconds, 5..=24 * 3_600)?;
        within("purchases_per_day", self.purchases_per_day, 1..=10_000)?;
        within("withdrawals_per_day", self.withdrawals_per_day, 1..=10_000)?;
        within("price_changes_per_day", self.price_changes_per_day, 1..=10_000)?;
        within("applications_per_day", self.applications_per_day, 1..=10_000)?;
        within("rings_per_minute", self.rings_per_minute, 1..=1_000)?;
        within("rings_per_day", self.rings_per_day, 1..=100_000)
    }
}

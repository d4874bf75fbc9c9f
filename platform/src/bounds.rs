//! How often a person may do what costs nothing. Each time adds to the journal or to a table, and neither may grow
//! without bound.

use crate::commands::CommandError;
use crate::rate_limit::RateLimiter;
use crate::settings::{LimitSettings, Settings};
use chrono::{DateTime, Utc};
use ledger_core::PersonId;

const DAY_SECONDS: u32 = 24 * 3_600;

/// What is counted for each person and day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Free {
    Withdrawals,
    PriceChanges,
    Applications,
    Purchases,
}

#[derive(Clone)]
pub struct Bounds {
    limits: RateLimiter,
    settings: Settings,
}

impl Bounds {
    pub fn new(limits: RateLimiter, settings: Settings) -> Bounds {
        Bounds { limits, settings }
    }

    /// Counts one more, or says when to come back.
    ///
    /// # Errors
    /// `TooOften`, or when the settings cannot be read.
    pub async fn take(&self, person: PersonId, what: Free, now: DateTime<Utc>) -> Result<(), CommandError> {
        self.take_of(&self.settings.limits().await?, person, what, now).await
    }

    /// As [`Bounds::take`], under settings that were read before: for callers that hold a database connection, who
    /// must not wait for another one.
    ///
    /// # Errors
    /// `TooOften`.
    pub(crate) async fn take_of(
        &self,
        settings: &LimitSettings,
        person: PersonId,
        what: Free,
        now: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        let (bucket, limit) = match what {
            Free::Withdrawals => ("withdrawals", settings.withdrawals_per_day),
            Free::PriceChanges => ("price_changes", settings.price_changes_per_day),
            Free::Applications => ("applications", settings.applications_per_day),
            Free::Purchases => ("purchases", settings.purchases_per_day),
        };
        Ok(self.limits.check(bucket, &person.to_string(), limit, DAY_SECONDS, now).await?)
    }
}

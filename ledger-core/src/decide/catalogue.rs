//! Prices and rates: plans, gifts, hosts, commission, agencies.

use super::{Context, check_amount};
use crate::event::*;
use crate::ids::{AgencyId, GiftId, PersonId};
use crate::money::{Asset, MAX_AMOUNT};
use crate::rejection::Rejection;
use crate::time::Timestamp;

impl Context<'_> {
    pub fn set_coin_plan(&self, plan: CoinPlanSet) -> Result<Vec<Event>, Rejection> {
        check_amount("coins_milli", plan.coins_milli)?;
        check_amount("price_minor", plan.price_minor)?;
        match plan.bonus_milli {
            ..0 => return Err(Rejection::AmountNotPositive { field: "bonus_milli" }),
            bonus if bonus > MAX_AMOUNT => return Err(Rejection::AmountTooLarge { field: "bonus_milli" }),
            _ => {}
        }
        if plan.price_asset == Asset::COIN {
            return Err(Rejection::PriceInCoins);
        }
        if plan.bonus_valid_seconds == Some(0) {
            return Err(Rejection::AmountNotPositive { field: "bonus_valid_seconds" });
        }
        Ok(vec![plan.into()])
    }

    pub fn set_gift_price(&self, gift: GiftId, price_milli: Option<i64>) -> Result<Vec<Event>, Rejection> {
        price_milli.map(|price| check_amount("price_milli", price)).transpose()?;
        Ok(vec![GiftPriceSet { gift, price_milli }.into()])
    }

    pub fn set_host_rate(
        &self,
        host: PersonId,
        medium: Medium,
        price_milli_per_minute: Option<i64>,
    ) -> Result<Vec<Event>, Rejection> {
        price_milli_per_minute.map(|price| check_amount("price_milli_per_minute", price)).transpose()?;
        Ok(vec![HostRateSet { host, medium, price_milli_per_minute }.into()])
    }

    pub fn join_agency(&self, host: PersonId, agency: AgencyId) -> Result<Vec<Event>, Rejection> {
        match self.state.agency_of(host) {
            Some(_) => Err(Rejection::AlreadyInAgency),
            None => Ok(vec![AgencyJoined { host, agency }.into()]),
        }
    }

    pub fn leave_agency(&self, host: PersonId) -> Result<Vec<Event>, Rejection> {
        let agency = self.state.agency_of(host).ok_or(Rejection::NotInAgency)?;
        Ok(vec![AgencyLeft { host, agency }.into()])
    }

    pub fn set_commission_rate(
        &self,
        scope: CommissionScope,
        host_bps: u32,
        agency_bps: u32,
        effective_from: Option<Timestamp>,
    ) -> Result<Vec<Event>, Rejection> {
        if u64::from(host_bps) + u64::from(agency_bps) > 10_000 {
            return Err(Rejection::CommissionTooLarge);
        }
        let effective_from = self.not_backdated(effective_from)?;
        Ok(vec![CommissionRateSet { scope, host_bps, agency_bps, effective_from }.into()])
    }

    pub fn clear_commission_rate(
        &self,
        scope: CommissionScope,
        effective_from: Option<Timestamp>,
    ) -> Result<Vec<Event>, Rejection> {
        let effective_from = self.not_backdated(effective_from)?;
        if self.state.rate_in_force(scope, effective_from).is_none() {
            return Err(Rejection::CommissionNotSet);
        }
        Ok(vec![CommissionRateCleared { scope, effective_from }.into()])
    }

    fn not_backdated(&self, effective_from: Option<Timestamp>) -> Result<Timestamp, Rejection> {
        match effective_from {
            Some(moment) if moment < self.at => Err(Rejection::EffectiveInPast { earliest: self.at }),
            moment => Ok(moment.unwrap_or(self.at)),
        }
    }
}

//! Coupons: what they take off, and how often at the most.

use crate::mechanism::binary::{binary_choices, binary_fields};
use crate::mechanism::decide::{Context, Decide, check_amount};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::money::share;
use crate::{CouponId, Event, MAX_AMOUNT, PersonId, Posting, Rejection, State, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a coupon takes off a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Discount {
    Percent(PercentOff),
    /// So many thousandths of a coin, and never more than the price.
    Amount(i64),
}

/// A share of the price, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PercentOff {
    /// In basis points: 10000 is the whole price.
    pub bps: u32,
    /// What it takes off at the most.
    pub most_milli: Option<i64>,
}

binary_fields! { PercentOff { bps: u32, most_milli: Option<i64> } }

binary_choices! { Discount as "name" {
    0 = Percent(percent: PercentOff) "percent"
    1 = Amount(amount_milli: i64) "amount"
} }

impl Discount {
    /// What it takes off a price: never more than the price.
    pub fn of(self, price_milli: i64) -> i64 {
        match self {
            Discount::Percent(PercentOff { bps, most_milli }) => {
                let off = share(price_milli, bps.into(), 10_000).unwrap_or(0);
                off.min(most_milli.unwrap_or(MAX_AMOUNT))
            }
            Discount::Amount(amount_milli) => amount_milli.min(price_milli),
        }
    }

    fn is_valid(self) -> bool {
        let is_amount = |amount: i64| (1..=MAX_AMOUNT).contains(&amount);
        match self {
            Discount::Percent(PercentOff { bps, most_milli }) => {
                (1..=10_000).contains(&bps) && most_milli.is_none_or(is_amount)
            }
            Discount::Amount(amount_milli) => is_amount(amount_milli),
        }
    }
}

commands! {
    /// Sets up a coupon, or changes one that is not over.
    SetCoupon = "SetCoupon" {
        coupon: CouponId,
        code: String,
        discount: Discount,
        least_price_milli: Option<i64>,
        per_person: Option<u32>,
        in_all: Option<u32>,
        from: Timestamp,
        to: Timestamp,
        active: bool,
    }
}

events! {
    /// A coupon was set up or changed. Orders that were placed keep their discount.
    CouponSet = "CouponSet" {
        coupon: CouponId,
        code: String,
        discount: Discount,
        /// The lowest price that it takes something off; any price when absent.
        least_price_milli: Option<i64>,
        /// How often a person can use it; without a limit when absent.
        per_person: Option<u32>,
        /// How often everybody together can use it; without a limit when absent.
        in_all: Option<u32>,
        from: Timestamp,
        /// Exclusive.
        to: Timestamp,
        active: bool,
    }
}

/// A coupon and how often it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coupon {
    pub terms: CouponTerms,
    /// In orders that were neither cancelled nor have expired.
    pub used: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouponTerms {
    pub code: String,
    pub discount: Discount,
    pub least_price_milli: Option<i64>,
    pub per_person: Option<u32>,
    pub in_all: Option<u32>,
    pub from: Timestamp,
    pub to: Timestamp,
    pub active: bool,
}

impl State {
    pub fn coupon(&self, coupon: CouponId) -> Option<&Coupon> {
        self.tables.coupons.get(&coupon)
    }

    /// How often a person uses a coupon that is not over.
    pub fn coupon_used(&self, coupon: CouponId, user: PersonId) -> u32 {
        self.tables.coupon_people.get(&(coupon, user)).copied().unwrap_or(0)
    }

    /// The coupon of a code, and what it takes off a price for `user` at the moment `at`.
    pub(super) fn discount(
        &self,
        code: &String,
        user: PersonId,
        price_milli: i64,
        at: Timestamp,
    ) -> Result<(CouponId, i64), Rejection> {
        let coupon = *self.tables.coupon_codes.get(code).ok_or(Rejection::UnknownCoupon)?;
        let Coupon { terms, used } = self.coupon(coupon).ok_or(Rejection::UnknownCoupon)?;
        if !terms.active || at < terms.from || at >= terms.to {
            return Err(Rejection::CouponNotValid);
        }
        if let Some(least_milli) = terms.least_price_milli.filter(|least| price_milli < *least) {
            return Err(Rejection::CouponPriceTooLow { least_milli });
        }
        if terms.in_all.is_some_and(|most| *used >= most) {
            return Err(Rejection::CouponUsedUp);
        }
        if let Some(most) = terms.per_person.filter(|most| self.coupon_used(coupon, user) >= *most) {
            return Err(Rejection::CouponPersonFull { most });
        }
        Ok((coupon, terms.discount.of(price_milli)))
    }
}

impl Decide for SetCoupon {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let (state, at, coupon) = (context.state, context.at, self.coupon);
        let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if !(4..=32).contains(&self.code.len()) || !self.code.bytes().all(fits) {
            return Err(Rejection::CouponCodeUnfit);
        }
        if !self.discount.is_valid() {
            return Err(Rejection::CouponDiscountInvalid);
        }
        self.least_price_milli.map(|least| check_amount("least_price_milli", least)).transpose()?;
        self.per_person.map(|most| check_amount("per_person", most.into())).transpose()?;
        self.in_all.map(|most| check_amount("in_all", most.into())).transpose()?;
        let set = self.as_event();
        if let Some(row) = state.coupon(coupon) {
            if row.terms.code != self.code {
                return Err(Rejection::CouponCodeFixed);
            }
            // What is set already stays so, whenever it is asked for.
            if row.terms == set.terms() {
                return Ok(vec![]);
            }
            // How often each person used it may be forgotten.
            if at >= row.terms.to {
                return Err(Rejection::CouponOver);
            }
        } else if state.tables.coupon_codes.get(&self.code).is_some() {
            return Err(Rejection::CouponCodeTaken);
        }
        if self.to <= self.from || self.to <= at {
            return Err(Rejection::CouponPeriodInvalid);
        }
        Ok(vec![set.into()])
    }
}

impl SetCoupon {
    fn as_event(&self) -> CouponSet {
        let &SetCoupon { coupon, discount, least_price_milli, per_person, in_all, from, to, active, .. } =
            self;
        let code = self.code.clone();
        CouponSet { coupon, code, discount, least_price_milli, per_person, in_all, from, to, active }
    }
}

impl CouponSet {
    fn terms(&self) -> CouponTerms {
        let &CouponSet { discount, least_price_milli, per_person, in_all, from, to, active, .. } = self;
        let code = self.code.clone();
        CouponTerms { code, discount, least_price_milli, per_person, in_all, from, to, active }
    }
}

impl Happened for CouponSet {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![]
    }

    fn correlation(&self) -> Option<Uuid> {
        Some(self.coupon.0)
    }

    fn evolve(&self, change: &mut Change) {
        let (tables, revision, coupon) = (&mut change.state.tables, change.revision, self.coupon);
        let before = tables.coupons.get(&coupon).map(|row| (row.terms.to, row.used));
        match before {
            Some((to, _)) => tables.coupon_ends.set(revision, (to, coupon), None),
            None => tables.coupon_codes.set(revision, self.code.clone(), Some(coupon)),
        }
        tables.coupon_ends.set(revision, (self.to, coupon), Some(()));
        let used = before.map_or(0, |(_, used)| used);
        tables.coupons.set(revision, coupon, Some(Coupon { terms: self.terms(), used }));
        change.forget_coupon_counters();
    }
}

/// How many counters leave with each order or coupon: more than come in with one.
const AT_ONCE: usize = 4;

impl Change<'_> {
    /// An order uses a coupon.
    pub(super) fn coupon_taken(&mut self, coupon: CouponId, user: PersonId) {
        let so_far = self.state.coupon_used(coupon, user);
        let tables = &mut self.state.tables;
        tables.coupons.edit(self.revision, &coupon, |row| row.used += 1);
        tables.coupon_people.set(self.revision, (coupon, user), Some(so_far + 1));
    }

    /// An order that used a coupon came to nothing. Who used it may be forgotten, of a coupon that is over.
    pub(super) fn coupon_given_back(&mut self, coupon: CouponId, user: PersonId) {
        let so_far = self.state.coupon_used(coupon, user);
        let tables = &mut self.state.tables;
        tables.coupons.edit(self.revision, &coupon, |row| row.used = row.used.saturating_sub(1));
        if so_far > 0 {
            let left = Some(so_far - 1).filter(|left| *left > 0);
            tables.coupon_people.set(self.revision, (coupon, user), left);
        }
    }

    /// Lets go of the counters of coupons that are over.
    pub(super) fn forget_coupon_counters(&mut self) {
        let (tables, revision) = (&mut self.state.tables, self.revision);
        let due = tables.coupon_ends.due_before(self.at.plus_ms(1)).first().copied();
        let Some((ended_at, coupon)) = due else { return };
        let of_coupon = (coupon, PersonId(Uuid::nil()))..=(coupon, PersonId(Uuid::max()));
        let rows: Vec<_> = tables.coupon_people.range(of_coupon).map(|(key, _)| *key).take(AT_ONCE).collect();
        if rows.len() < AT_ONCE {
            tables.coupon_ends.set(revision, (ended_at, coupon), None);
        }
        for key in rows {
            tables.coupon_people.set(revision, key, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discount_is_rounded_down_and_never_more_than_the_price() {
        let percent = |bps, most_milli| Discount::Percent(PercentOff { bps, most_milli });
        for (discount, price_milli, expected) in [
            (percent(2_500, None), 10_001, 2_500),
            (percent(1, None), 9_999, 0),
            (percent(10_000, None), MAX_AMOUNT, MAX_AMOUNT),
            (percent(5_000, Some(1_000)), 10_000, 1_000),
            (percent(5_000, Some(9_000)), 10_000, 5_000),
            (Discount::Amount(3_000), 10_000, 3_000),
            (Discount::Amount(30_000), 10_000, 10_000),
        ] {
            assert_eq!(discount.of(price_milli), expected, "{discount:?} of {price_milli}");
        }
    }
}

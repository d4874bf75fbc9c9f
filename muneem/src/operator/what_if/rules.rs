//! The rules that the history is told again with.

use anyhow::{Context, ensure};
use clap::Args;
use ledger_core::event::{CommissionRule, CommissionScope};
use ledger_core::{AgencyId, PersonId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

pub(super) const WHOLE_BPS: i64 = 10_000;
/// A thousand times the price.
const MOST_PRICE_BPS: u32 = 10_000_000;
const DAY_SECONDS: u32 = 86_400;

#[derive(Args)]
#[group(id = "rules", required = true, multiple = true)]
pub(super) struct RuleOptions {
    /// The share of hosts, in percent with up to two decimals, such as 65 or 62.5: the rate of everybody who has none of
    /// their own.
    #[arg(long, value_name = "PERCENT", value_parser = share, conflicts_with = "rates")]
    commission_host: Option<u32>,
    /// The share of agencies, for hosts who are in one; 0 if only --commission-host is given.
    #[arg(long, value_name = "PERCENT", value_parser = share, requires = "commission_host")]
    commission_agency: Option<u32>,
    /// A JSON file of rates in basis points, each part of which may be left out:
    /// {"global": {"host_bps": 6500, "agency_bps": 1000}, "agencies": {"<id>": {...}}, "hosts": {"<id>": {...}}}
    #[arg(long, value_name = "FILE")]
    rates: Option<PathBuf>,
    /// What gifts cost, in percent of what they did, such as 110.
    #[arg(long, value_name = "PERCENT", value_parser = price)]
    gift_price_percent: Option<u32>,
    /// What a minute of a call costs, in percent of what it did.
    #[arg(long, value_name = "PERCENT", value_parser = price)]
    call_rate_percent: Option<u32>,
    /// For how many days earnings are held back before they can be withdrawn; 0 for not at all.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(..=3_650))]
    hold_days: Option<u32>,
}

#[derive(Args)]
pub(super) struct Specific {
    /// The rates given here hold for those too who had a more specific one: a global rate for hosts and agencies that had
    /// one of their own.
    #[arg(long)]
    replace_all: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rate {
    host_bps: u32,
    agency_bps: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rates {
    global: Option<Rate>,
    agencies: BTreeMap<AgencyId, Rate>,
    hosts: BTreeMap<PersonId, Rate>,
}

/// What is other than it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Rules {
    rates: Rates,
    replace_all: bool,
    pub(super) gift_price_bps: i64,
    pub(super) call_rate_bps: i64,
    pub(super) hold_seconds: Option<u32>,
}

impl Rules {
    pub(super) fn of(options: &RuleOptions, specific: &Specific) -> anyhow::Result<Rules> {
        let mut rates = match &options.rates {
            Some(path) => {
                let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                let rates: Rates = serde_json::from_slice(&text).with_context(|| {
                    format!("{} is no file of rates (muneem what-if --help)", path.display())
                })?;
                ensure!(rates != Rates::default(), "{} names no rate", path.display());
                rates
            }
            None => Rates::default(),
        };
        if let Some(host_bps) = options.commission_host {
            rates.global = Some(Rate { host_bps, agency_bps: options.commission_agency.unwrap_or(0) });
        }
        let all = rates.global.iter().chain(rates.agencies.values()).chain(rates.hosts.values());
        for Rate { host_bps, agency_bps } in all {
            ensure!(
                u64::from(*host_bps) + u64::from(*agency_bps) <= WHOLE_BPS.unsigned_abs(),
                "host and agency together get {host_bps} + {agency_bps} basis points: at most 10000, which is 100 %, can be \
                 given away"
            );
        }
        let bps = |percent: Option<u32>| percent.map_or(WHOLE_BPS, i64::from);
        Ok(Rules {
            rates,
            replace_all: specific.replace_all,
            gift_price_bps: bps(options.gift_price_percent),
            call_rate_bps: bps(options.call_rate_percent),
            hold_seconds: options.hold_days.map(|days| days * DAY_SECONDS),
        })
    }

    pub(super) fn change_prices(&self) -> bool {
        (self.gift_price_bps, self.call_rate_bps) != (WHOLE_BPS, WHOLE_BPS)
    }

    /// The rate of a charge that was split by `recorded`: as in the ledger the most specific one wins, and those that
    /// are not replaced stay as they were.
    pub(super) fn commission(&self, host: PersonId, recorded: CommissionRule) -> CommissionRule {
        let agency = recorded.agency;
        let with = |scope, rate: &Rate| CommissionRule {
            scope,
            host_bps: rate.host_bps,
            agency_bps: if agency.is_some() { rate.agency_bps } else { 0 },
            agency,
        };
        let stays = |is_more_specific: bool| is_more_specific && !self.replace_all;
        if let Some(rate) = self.rates.hosts.get(&host) {
            return with(CommissionScope::Host(host), rate);
        }
        if stays(matches!(recorded.scope, CommissionScope::Host(_))) {
            return recorded;
        }
        if let Some((agency, rate)) = agency.and_then(|agency| self.rates.agencies.get_key_value(&agency)) {
            return with(CommissionScope::Agency(*agency), rate);
        }
        if stays(matches!(recorded.scope, CommissionScope::Agency(_))) {
            return recorded;
        }
        self.rates.global.as_ref().map_or(recorded, |rate| with(CommissionScope::Global, rate))
    }
}

fn share(text: &str) -> Result<u32, String> {
    let bps = basis_points(text)?;
    if i64::from(bps) > WHOLE_BPS {
        return Err("a share is at most 100".into());
    }
    Ok(bps)
}

fn price(text: &str) -> Result<u32, String> {
    let bps = basis_points(text)?;
    if bps > MOST_PRICE_BPS {
        return Err("a price is at most 100000 percent of what it was".into());
    }
    Ok(bps)
}

/// A percentage with up to two decimals.
fn basis_points(text: &str) -> Result<u32, String> {
    let bad = || "write a percentage with up to two decimals, such as 65 or 62.5".to_owned();
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || decimals.len() > 2 {
        return Err(bad());
    }
    let whole: u32 = whole.parse().map_err(|_| bad())?;
    let hundredths: u32 = format!("{decimals:0<2}").parse().map_err(|_| bad())?;
    whole.checked_mul(100).and_then(|bps| bps.checked_add(hundredths)).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_exact_or_refused() {
        for (text, bps) in [("65", 6_500), ("62.5", 6_250), ("0", 0), ("100.00", 10_000), ("0.01", 1)] {
            assert_eq!(basis_points(text), Ok(bps), "{text}");
        }
        for text in ["", ".", "5.", ".5", "-1", "1e3", "12.345", "65%", "99999999999", "42949673", "٣"] {
            assert!(basis_points(text).is_err(), "{text}");
        }
        assert!(share("100.01").unwrap_err().contains("at most 100"));
        assert!(price("100000.01").is_err());
    }
}

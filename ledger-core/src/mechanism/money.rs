//! Money is integers: coins in thousandths, fiat in minor units, the asset always named.

use super::binary::{Binary, Bytes, Unfit, binary_fields};
use super::text::text_or_parts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{fmt, str::FromStr};

/// The largest amount, 2^53-1: exact in every JSON reader.
pub const MAX_AMOUNT: i64 = (1 << 53) - 1;

/// What an amount counts: a code and its number of decimals, written `COIN/3` or `INR/2`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Asset {
    code: [u8; 4],
    scale: u8,
}

impl Asset {
    /// Coins, in thousandths.
    pub const COIN: Asset = Asset { code: *b"COIN", scale: 3 };
    /// Indian rupees, in paise.
    pub const INR: Asset = Asset { code: *b"INR\0", scale: 2 };

    /// An asset of a code of three or four capital letters and at most nine decimals.
    pub fn new(code: &str, scale: u8) -> Option<Asset> {
        let bytes = code.as_bytes();
        let fits = (3..=4).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_uppercase);
        if !fits || scale > 9 {
            return None;
        }
        let mut padded = [0; 4];
        padded[..bytes.len()].copy_from_slice(bytes);
        Some(Asset { code: padded, scale })
    }

    pub fn code(&self) -> &str {
        let length = self.code.iter().position(|b| *b == 0).unwrap_or(4);
        std::str::from_utf8(&self.code[..length]).unwrap_or("????")
    }

    /// How many decimals the smallest unit has.
    pub fn scale(&self) -> u8 {
        self.scale
    }

    /// An amount as people read it.
    ///
    /// ```
    /// use ledger_core::Asset;
    /// assert_eq!(Asset::COIN.format(12_345), "12.345 COIN");
    /// assert_eq!(Asset::INR.format(-50), "-0.50 INR");
    /// ```
    pub fn format(&self, amount: i64) -> String {
        let unit = 10_u64.pow(u32::from(self.scale));
        let (sign, size) = (if amount < 0 { "-" } else { "" }, amount.unsigned_abs());
        match self.scale {
            0 => format!("{sign}{size} {}", self.code()),
            scale => format!(
                "{sign}{}.{:0width$} {}",
                size / unit,
                size % unit,
                self.code(),
                width = usize::from(scale)
            ),
        }
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.code(), self.scale)
    }
}

impl fmt::Debug for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What something costs at a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub amount_minor: i64,
    pub asset: Asset,
}

binary_fields! { Price { amount_minor: i64, asset: Asset } }

/// A text that is not an asset such as `COIN/3`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an asset: {0:?} (an asset is a code and its decimals, such as COIN/3)")]
pub struct BadAsset(pub String);

impl FromStr for Asset {
    type Err = BadAsset;
    fn from_str(text: &str) -> Result<Self, BadAsset> {
        text.split_once('/')
            .filter(|(_, scale)| scale.len() == 1)
            .and_then(|(code, scale)| Asset::new(code, scale.parse().ok()?))
            .ok_or_else(|| BadAsset(text.to_owned()))
    }
}

/// The two assets that nearly every posting has are one byte.
impl Binary for Asset {
    fn shape(types: &mut Map<String, Value>) -> Value {
        let other = json!([["code", "text"], ["decimals", "unsigned"]]);
        let choices = json!([
            { "number": 0, "word": "COIN/3", "holds": [] },
            { "number": 1, "word": "INR/2", "holds": [] },
            { "number": 2, "word": "{}/{}", "holds": other },
        ]);
        types.insert("Asset".to_owned(), json!({ "json": "text", "choices": choices }));
        "Asset".into()
    }

    fn put(&self, out: &mut Vec<u8>) {
        match *self {
            Asset::COIN => out.push(0),
            Asset::INR => out.push(1),
            other => {
                out.push(2);
                other.code().to_owned().put(out);
                other.scale.put(out);
            }
        }
    }

    fn take(from: &mut Bytes) -> Result<Self, Unfit> {
        match from.byte()? {
            0 => Ok(Asset::COIN),
            1 => Ok(Asset::INR),
            2 => {
                let (code, scale) = (String::take(from)?, u8::take(from)?);
                let asset =
                    Asset::new(&code, scale).filter(|asset| ![Asset::COIN, Asset::INR].contains(asset));
                asset.ok_or(Unfit("it is no asset, or one that has a number"))
            }
            _ => Err(Unfit("no Asset has this number")),
        }
    }
}

text_or_parts!(Asset, "an asset such as COIN/3");

impl JsonSchema for Asset {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Asset".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[A-Z]{3,4}/[0-9]$",
            "description": "A code and its number of decimals, such as COIN/3 or INR/2"
        })
    }
}

/// `amount * numerator / denominator`, rounded down, for non-negative amounts.
///
/// `None` when the result exceeds [`MAX_AMOUNT`] or a part is negative.
pub fn share(amount: i64, numerator: i64, denominator: i64) -> Option<i64> {
    if amount < 0 || numerator < 0 || denominator <= 0 {
        return None;
    }
    let exact = i128::from(amount) * i128::from(numerator) / i128::from(denominator);
    i64::try_from(exact).ok().filter(|it| *it <= MAX_AMOUNT)
}

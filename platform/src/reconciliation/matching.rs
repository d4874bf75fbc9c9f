//! Their rows beside ours.

use super::ours::Known;
use super::{Ours, Source, Subject, Theirs};
use chrono::{DateTime, Utc};
use ledger_core::Asset;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use uuid::Uuid;

/// How a row of one side stands beside the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Matched,
    /// They have it, the journal does not.
    MissingHere,
    /// The journal has it, their file does not.
    MissingThere,
    AmountDiffers,
    /// What they keep for themselves, of one settlement; tax on it is in it.
    Fees,
}

impl Outcome {
    pub const ALL: [Outcome; 5] = [
        Outcome::Matched,
        Outcome::MissingHere,
        Outcome::MissingThere,
        Outcome::AmountDiffers,
        Outcome::Fees,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Matched => "matched",
            Outcome::MissingHere => "missing_here",
            Outcome::MissingThere => "missing_there",
            Outcome::AmountDiffers => "amount_differs",
            Outcome::Fees => "fees",
        }
    }
}

/// A line of what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub outcome: Outcome,
    pub subject: Subject,
    pub asset: Option<Asset>,
    pub ours: Option<i64>,
    pub theirs: Option<i64>,
    pub fee: i64,
    pub tax: i64,
    pub settlement: Option<String>,
    pub event: Option<Uuid>,
    pub at: Option<DateTime<Utc>>,
    /// Names what differs; absent where nothing does.
    pub difference: Option<Uuid>,
}

/// How their rows are compared with ours.
pub struct Comparison {
    pub source: Source,
    /// So much may a figure differ and still be the same.
    pub tolerance: i64,
}

/// All that was found, their rows in their order before those that they lack.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub items: Vec<Item>,
}

impl Found {
    pub fn count(&self, outcome: Outcome) -> usize {
        self.items.iter().filter(|item| item.outcome == outcome).count()
    }

    /// Whether both sides say the same. Fees are no difference: they are news.
    pub fn agrees(&self) -> bool {
        self.items.iter().all(|item| matches!(item.outcome, Outcome::Matched | Outcome::Fees))
    }
}

impl Comparison {
    pub fn compare(&self, theirs: Vec<Theirs>, ours: Ours) -> Found {
        let (wanted, mut known) = ours.into_parts();
        // What is not settled yet is told again with its settlement.
        let mut fees = BTreeMap::<(String, Option<Asset>), (i64, i64)>::new();
        let mut items = Vec::with_capacity(theirs.len());
        for row in theirs {
            if let Some(settlement) = row.settlement.as_ref().filter(|_| row.fee != 0) {
                let sums = fees.entry((settlement.clone(), row.asset)).or_default();
                (sums.0, sums.1) = (sums.0.saturating_add(row.fee), sums.1.saturating_add(row.tax));
            }
            // What they name a second time finds nothing left here.
            let ours = known.remove(&row.subject);
            items.push(self.beside(row, ours));
        }
        // What the file names was of any time; what it lacks is asked of the period alone.
        let within = |known: &Known| {
            wanted.period.from.is_none_or(|from| from <= known.at)
                && wanted.period.to.is_none_or(|to| known.at < to)
        };
        let mut left: Vec<_> = known.into_iter().filter(|(_, known)| within(known)).collect();
        left.sort_by(|a, b| (a.1.at, &a.0).cmp(&(b.1.at, &b.0)));
        items.extend(left.into_iter().map(|(subject, known)| self.lacking(subject, known)));
        items.extend(fees.into_iter().map(|(of, sums)| self.fees(of, sums)));
        Found { items }
    }

    fn beside(&self, row: Theirs, ours: Option<Known>) -> Item {
        let outcome = match &ours {
            None => Outcome::MissingHere,
            Some(known)
                if known.asset == row.asset && (known.amount - row.amount).abs() <= self.tolerance =>
            {
                Outcome::Matched
            }
            Some(_) => Outcome::AmountDiffers,
        };
        let amounts = (ours.as_ref().map(|known| known.amount), Some(row.amount));
        Item {
            outcome,
            difference: self.difference(outcome, &row.subject, amounts),
            subject: row.subject,
            asset: row.asset,
            ours: amounts.0,
            theirs: amounts.1,
            fee: row.fee,
            tax: row.tax,
            settlement: row.settlement,
            event: ours.as_ref().map(|known| known.event),
            at: row.at.or(ours.map(|known| known.at)),
        }
    }

    fn lacking(&self, subject: Subject, known: Known) -> Item {
        let outcome = Outcome::MissingThere;
        Item {
            outcome,
            difference: self.difference(outcome, &subject, (Some(known.amount), None)),
            subject,
            asset: known.asset,
            ours: Some(known.amount),
            theirs: None,
            fee: 0,
            tax: 0,
            settlement: None,
            event: Some(known.event),
            at: Some(known.at),
        }
    }

    fn fees(&self, (settlement, asset): (String, Option<Asset>), (fee, tax): (i64, i64)) -> Item {
        let subject = Subject::new("fee", &settlement);
        let outcome = Outcome::Fees;
        Item {
            outcome,
            difference: self.difference(outcome, &subject, (None, Some(-fee))),
            subject,
            asset,
            ours: None,
            theirs: Some(-fee),
            fee,
            tax,
            settlement: Some(settlement),
            event: None,
            at: None,
        }
    }

    /// Follows from what differs and by how much, so that the same difference is settled once, however often it is found.
    fn difference(
        &self,
        outcome: Outcome,
        subject: &Subject,
        (ours, theirs): (Option<i64>, Option<i64>),
    ) -> Option<Uuid> {
        if outcome == Outcome::Matched {
            return None;
        }
        let by = theirs.unwrap_or(0) - ours.unwrap_or(0);
        let parts = [self.source.as_str(), &subject.kind, &subject.reference, &by.to_string()];
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let mut half = [0; 16];
        half.copy_from_slice(&hash.finalize()[..16]);
        Some(uuid::Builder::from_custom_bytes(half).into_uuid())
    }
}

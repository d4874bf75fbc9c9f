//! Is the journal the history that was signed, and if not, where does it differ first?
//!
//! The tree is rebuilt from the events. At the size of each head its root must be the head's: so all heads are consistent with
//! each other too. A root tells that something differs and not what; the leaves that were stored when the events were
//! recorded tell that. They are not signed themselves, but where they lead to a head that is, they are as good.

use crate::head::Head;
use crate::key::VerifierKeys;
use crate::leaf::Leaves;
use crate::tree::Tree;
use event_store::RecordedEvent;
use serde::Serialize;
use std::fmt;
use tlog_tiles::Hash;
use uuid::Uuid;

/// How many events and stored leaves behind the first difference are looked at for what became of those there.
pub const WINDOW: usize = 1_024;

/// A head, and where it was kept.
#[derive(Clone, Debug)]
pub struct KeptHead {
    pub place: String,
    pub note: String,
}

/// What is known of the journal's history. It is `ok` where nothing differs and every head is believed.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub ok: bool,
    /// The name of the log, which is in every head.
    pub origin: String,
    /// The events that the tree was rebuilt from.
    pub events: u64,
    /// How many of their leaves are stored, too.
    pub stored_leaves: u64,
    /// How many heads are as the journal is.
    pub heads: usize,
    /// How many events the largest of these heads has.
    pub signed_events: u64,
    /// Heads of histories that an operator has ended.
    pub earlier_heads: usize,
    /// Heads that are not believed.
    pub refused: Vec<Refused>,
    pub difference: Option<Difference>,
}

/// A head that is not believed.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    pub place: String,
    pub says: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// The event is not as it was recorded.
    Changed,
    /// Events that were recorded are not there.
    Removed,
    /// Events are there that were not recorded, or not at that time.
    Inserted,
    /// Events stand in another order.
    Moved,
    /// The journal ends before what was recorded.
    Cut,
    /// Somewhere from this revision on the journal is not what was signed; the stored leaves do not tell where.
    History,
    /// The journal is what was signed, and a stored leaf is not.
    StoredTree,
}

/// The first difference.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    pub found: Found,
    pub revision: u64,
    /// The event that stands there now.
    pub event: Option<Uuid>,
    /// Whether a signed head shows it. Otherwise the stored leaves alone do.
    pub signed: bool,
    /// Where the head is kept.
    pub head: Option<String>,
    pub says: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at revision {}: {}", self.revision, self.says)?;
        match (self.event, &self.head) {
            (Some(event), Some(head)) => write!(f, " (event {event}; shown by {head})"),
            (Some(event), None) => write!(f, " (event {event}; no signed head has it yet)"),
            (None, Some(head)) => write!(f, " (shown by {head})"),
            (None, None) => write!(f, " (no signed head has it yet)"),
        }
    }
}

/// The events and the stored leaves from the first difference on.
#[derive(Default)]
struct Around {
    revision: u64,
    events: Vec<(Uuid, Option<[u8; 32]>)>,
    stored: Vec<[u8; 32]>,
    /// Why the first event has no leaf.
    unreadable: Option<String>,
}

/// A check that is under way: it is told the events in their order.
pub struct Check {
    origin: String,
    /// Believed heads by size, with where they are kept; those before `next` are compared.
    heads: Vec<(String, Head)>,
    next: usize,
    matching: usize,
    matching_size: u64,
    /// The first head whose root is another one.
    other: Option<usize>,
    earlier_heads: usize,
    refused: Vec<Refused>,
    leaves: Leaves,
    tree: Tree,
    events: u64,
    stored: u64,
    around: Option<Around>,
    /// An event that has no leaf: no root is known any more.
    is_broken: bool,
}

impl Check {
    /// A check against heads that are kept somewhere, with the keys that are trusted. Heads of `earlier` origins are counted
    /// and no more: an operator has ended those histories.
    pub fn new(
        origin: &str,
        earlier: &[String],
        keys: &VerifierKeys,
        kept: impl IntoIterator<Item = KeptHead>,
    ) -> Check {
        let mut check = Check {
            origin: origin.to_owned(),
            heads: Vec::new(),
            next: 0,
            matching: 0,
            matching_size: 0,
            other: None,
            earlier_heads: 0,
            refused: Vec::new(),
            leaves: Leaves::default(),
            tree: Tree::default(),
            events: 0,
            stored: 0,
            around: None,
            is_broken: false,
        };
        for KeptHead { place, note } in kept {
            let refused = match Head::open(&note, keys) {
                Ok(head) if head.origin == origin => {
                    check.heads.push((place, head));
                    continue;
                }
                Ok(head) if earlier.contains(&head.origin) => {
                    check.earlier_heads += 1;
                    continue;
                }
                Ok(head) => format!("it is a head of {}", head.origin),
                Err(fault) => fault.to_string(),
            };
            check.refused.push(Refused { place, says: refused });
        }
        check.heads.sort_by_key(|(_, head)| head.size);
        check.compare_heads();
        check
    }

    /// Takes the next event, and its leaf where one is stored.
    pub fn event(&mut self, event: &RecordedEvent, stored: Option<Hash>) {
        let leaf = self.leaves.hash(event);
        let differs = match (&leaf, stored) {
            (Ok(leaf), Some(stored)) => leaf.0 != stored.0,
            (Ok(_), None) => false,
            (Err(_), _) => true,
        };
        if differs && self.around.is_none() {
            let unreadable = leaf.as_ref().err().map(ToString::to_string);
            self.around = Some(Around { revision: self.events, unreadable, ..Around::default() });
        }
        if let Some(around) = self.around.as_mut().filter(|around| around.events.len() < WINDOW) {
            around.events.push((event.id, leaf.as_ref().ok().map(|leaf| leaf.0)));
        }
        self.events += 1;
        if let Some(stored) = stored {
            self.stored_leaf(stored);
        }
        match leaf {
            Ok(leaf) => self.tree.push(leaf),
            Err(_) => self.is_broken = true,
        }
        self.compare_heads();
    }

    /// Takes a leaf that is stored behind the last event.
    pub fn stored_beyond(&mut self, stored: Hash) {
        if self.around.is_none() {
            self.around = Some(Around { revision: self.events, ..Around::default() });
        }
        self.stored_leaf(stored);
    }

    fn stored_leaf(&mut self, stored: Hash) {
        self.stored += 1;
        if let Some(around) = self.around.as_mut().filter(|around| around.stored.len() < WINDOW) {
            around.stored.push(stored.0);
        }
    }

    fn compare_heads(&mut self) {
        while let Some((_, head)) = self.heads.get(self.next).filter(|(_, head)| head.size <= self.events) {
            let is_same = !self.is_broken && self.tree.root().0 == head.root.0;
            if is_same {
                self.matching += 1;
                self.matching_size = head.size;
            } else if self.other.is_none() {
                self.other = Some(self.next);
            }
            self.next += 1;
        }
    }

    /// What was found.
    #[must_use]
    pub fn end(self) -> Report {
        let difference = self.difference();
        Report {
            ok: difference.is_none() && self.refused.is_empty(),
            origin: self.origin,
            events: self.events,
            stored_leaves: self.stored,
            heads: self.matching,
            signed_events: self.matching_size,
            earlier_heads: self.earlier_heads,
            refused: self.refused,
            difference,
        }
    }

    fn difference(&self) -> Option<Difference> {
        // A head that is not reached has more events than there are.
        let shown = self.heads.get(self.other.unwrap_or(self.next));
        // Where the journal is what a later head says, it is not the journal that differs.
        let around = self.around.as_ref();
        let in_journal = around.filter(|around| around.revision >= self.matching_size);
        match (in_journal, shown) {
            (Some(around), Some((place, head))) if around.revision < head.size => {
                Some(around.tell(Some(place.clone())))
            }
            (_, Some((place, head))) if self.other.is_none() => Some(Difference {
                found: Found::Cut,
                revision: self.events,
                event: None,
                signed: true,
                head: Some(place.clone()),
                says: format!("the journal ends there, and {} events were signed", head.size),
            }),
            (_, Some((place, head))) => Some(Difference {
                found: Found::History,
                revision: self.matching_size,
                event: None,
                signed: true,
                head: Some(place.clone()),
                says: format!(
                    "from there to revision {} something is not as it was signed",
                    head.size.saturating_sub(1)
                ),
            }),
            (Some(around), None) => Some(around.tell(None)),
            (None, None) => around.map(|around| Difference {
                found: Found::StoredTree,
                revision: around.revision,
                event: around.events.first().map(|(id, _)| *id),
                signed: true,
                head: None,
                says:
                    "the journal is what was signed, and the stored leaf is not; the stored tree was changed"
                        .to_owned(),
            }),
        }
    }
}

impl Around {
    /// What became of the event at the first difference, by where its leaf and the stored one are found again.
    fn tell(&self, head: Option<String>) -> Difference {
        let event = self.events.first();
        let now = event.and_then(|(_, leaf)| *leaf);
        let then = self.stored.first();
        let now_stood = now.and_then(|now| self.stored.iter().position(|stored| *stored == now));
        let then_stands =
            then.and_then(|then| self.events.iter().position(|(_, leaf)| leaf.as_ref() == Some(then)));
        let revision = self.revision;
        let at = |offset: usize| revision.saturating_add(offset as u64);
        let (found, says) = match (event, now_stood, then_stands) {
            (None, ..) => (Found::Cut, "the journal ends there, and more events were recorded".to_owned()),
            (_, Some(stood), Some(_)) => (
                Found::Moved,
                format!("events were moved: the one that stands here was recorded at revision {}", at(stood)),
            ),
            (_, Some(1), None) => {
                (Found::Removed, "the event that was recorded there was removed".to_owned())
            }
            (_, Some(stood), None) => {
                (Found::Removed, format!("{stood} events that were recorded there were removed"))
            }
            (_, None, Some(1)) => {
                (Found::Inserted, "the event was inserted: it was not recorded there".to_owned())
            }
            (_, None, Some(stands)) => (Found::Inserted, format!("{stands} events were inserted")),
            (_, None, None) => {
                let why = self.unreadable.as_ref().map_or_else(String::new, |why| format!(": {why}"));
                (Found::Changed, format!("the event was changed{why}"))
            }
        };
        let event = event.map(|(id, _)| *id);
        Difference { found, revision, event, signed: head.is_some(), head, says }
    }
}

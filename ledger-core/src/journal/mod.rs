//! The journal itself: its first event names it.

use crate::mechanism::decide::{Context, Decide};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{Asset, Event, JournalId, PersonId, Posting, Rejection, State};

macro_rules! noun {
    ($next:ident $so_far:tt) => {
        $crate::nouns::$next! { $so_far {
            journal
            commands { OpenJournal }
            events { JournalOpened }
            tables {
                // The assets that the journal's first event declares: amounts in others would mean nothing to a reader.
                assets: Lookup<Asset, ()>;
            }
            rejections {
                JournalNotOpen = "journal_not_open", "the journal has not been opened";
                AssetNotDeclared { asset: Asset } = "asset_not_declared", "this journal is not kept in {asset}";
                JournalAlreadyOpen = "journal_already_open", "the journal has been opened before";
            }
        } }
    };
}
pub(crate) use noun;

commands! {
    OpenJournal = "OpenJournal" { journal: JournalId, assets: Vec<Asset> }
}

events! {
    /// The first event of a journal; names it.
    JournalOpened = "JournalOpened" { journal: JournalId, format: u32, assets: Vec<Asset> }
}

impl Decide for OpenJournal {
    const STATE_REFUSES_REPEATS: bool = true;

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        match context.state.journal() {
            Some(_) => Err(Rejection::JournalAlreadyOpen),
            None => {
                let (journal, assets) = (self.journal, self.assets.clone());
                Ok(vec![JournalOpened { journal, format: 1, assets }.into()])
            }
        }
    }
}

impl Happened for JournalOpened {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![]
    }

    fn evolve(&self, change: &mut Change) {
        assert_eq!(change.revision, 0, "JournalOpened is the first event");
        change.state.head.journal = Some(self.journal);
        for asset in &self.assets {
            change.state.tables.assets.set(change.revision, *asset, Some(()));
        }
    }
}

impl State {
    /// Whether the journal has amounts in this asset.
    pub fn declares(&self, asset: Asset) -> bool {
        self.tables.assets.get(&asset).is_some()
    }
}

impl Context<'_> {
    /// # Errors
    /// [`Rejection::AssetNotDeclared`].
    pub(crate) fn check_declared(&self, asset: Asset) -> Result<(), Rejection> {
        if self.state.declares(asset) { Ok(()) } else { Err(Rejection::AssetNotDeclared { asset }) }
    }
}

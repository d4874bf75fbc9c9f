//! Who was brought by whom. Both are rewarded when the one who was brought pays for the first time.

use super::RewardKind;
use super::earn::{Reward, reward_id};
use crate::mechanism::decide::{Context, Decide};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{Event, PersonId, Posting, Rejection, State};
use serde::{Deserialize, Serialize};

commands! {
    /// A person says who brought them: once, and before they have paid for anything.
    NameInviter = "NameInviter" { user: PersonId, inviter: PersonId }
}

events! {
    /// It is known who brought a person.
    InviterNamed = "InviterNamed" { user: PersonId, inviter: PersonId }
}

/// What is known of how a person came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Referral {
    /// Brought by this person, and has paid for nothing yet.
    By(PersonId),
    /// Has paid before.
    HasPaid,
}

impl State {
    pub fn referral(&self, user: PersonId) -> Option<Referral> {
        self.tables.referrals.get(&user).copied()
    }
}

impl Decide for NameInviter {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &NameInviter { user, inviter } = self;
        if user == inviter {
            return Err(Rejection::InviterIsOneself);
        }
        match context.state.referral(user) {
            Some(Referral::HasPaid) => Err(Rejection::InviterTooLate),
            Some(Referral::By(known)) if known == inviter => Ok(vec![]),
            Some(Referral::By(_)) => Err(Rejection::InviterKnown),
            None => Ok(vec![InviterNamed { user, inviter }.into()]),
        }
    }
}

impl Context<'_> {
    /// The rewards that come with the first purchase of `user`: their own, and that of who brought them. What the
    /// campaign's limits do not let is not given.
    pub fn referral_rewards(&self, user: PersonId) -> Vec<Event> {
        let Some(Referral::By(inviter)) = self.state.referral(user) else { return vec![] };
        let running = self.state.running_campaign(RewardKind::Referral, self.at);
        let Some((campaign, row)) = running else { return vec![] };
        let mut events: Vec<Event> = vec![];
        let mut before_milli = 0;
        for (person, word) in [(user, "invited"), (inviter, "inviter")] {
            let reward = reward_id(&format!("referral:{user}:{word}"));
            let reward = Reward { reward, campaign, user: person, invited: Some(user), word };
            if let Ok(more) = reward.events(self, before_milli) {
                before_milli += row.terms.coins_milli;
                events.extend(more);
            }
        }
        events
    }
}

impl Change<'_> {
    /// The person has paid: who brought them has been rewarded, or is no more.
    pub fn has_paid(&mut self, user: PersonId) {
        if self.state.referral(user) != Some(Referral::HasPaid) {
            self.state.tables.referrals.set(self.revision, user, Some(Referral::HasPaid));
        }
    }
}

impl Happened for InviterNamed {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.user, self.inviter]
    }

    fn evolve(&self, change: &mut Change) {
        change.state.tables.referrals.set(change.revision, self.user, Some(Referral::By(self.inviter)));
    }
}

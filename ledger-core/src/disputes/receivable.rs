//! What a buyer owes after a lost dispute: nothing can be paid with coins until it is recovered or written off.

use super::decided::people;
use super::{GivenBack, Loss, dispute_id};
use crate::account::legs;
use crate::lots::Draw;
use crate::mechanism::decide::{Context, Decide, check_amount, check_reason, check_reference};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, LotMove, LotMoves, events};
use crate::purchases::Refundable;
use crate::{Account, Asset, Event, NoteId, PersonId, Posting, PurchaseId, Rejection, State};

commands! {
    /// The platform bears what a buyer owes for a lost dispute, or part of it.
    WriteOffReceivable = "WriteOffReceivable" {
        dispute_ref: String,
        amount_milli: i64,
        reason: String,
        note: Option<NoteId>,
    }
}

events! {
    /// Coins that a buyer has just bought paid for what the buyer owed.
    ReceivableRecovered = "ReceivableRecovered" {
        dispute_ref: String,
        user: PersonId,
        /// The purchase that the coins came with.
        purchase: PurchaseId,
        draws: Vec<Draw>,
        recovered_milli: i64,
        /// What is still owed for this dispute.
        left_milli: i64,
        /// What had been taken from earnings goes back in proportion.
        given_back: Vec<GivenBack>,
        postings: Vec<Posting>,
    }
    /// The platform bears what a buyer owed.
    ReceivableWrittenOff = "ReceivableWrittenOff" {
        dispute_ref: String,
        user: PersonId,
        purchase: Option<PurchaseId>,
        amount_milli: i64,
        left_milli: i64,
        reason: String,
        note: Option<NoteId>,
        postings: Vec<Posting>,
    }
}

impl State {
    /// What `person` owes for payments that were taken back.
    pub fn owed(&self, person: PersonId) -> i64 {
        self.balance(Account::UserReceivable(person), Asset::COIN)
    }

    /// What `person` owes for which disputes, the oldest first.
    pub fn receivables_of(&self, person: PersonId) -> impl Iterator<Item = (&str, i64)> {
        let rows = self.tables.receivables.range((person, 0)..=(person, u64::MAX));
        rows.filter_map(|(_, id)| Some((id.as_str(), self.dispute(id)?.loss.as_ref()?.left_milli())))
    }
}

impl Context<'_> {
    /// Whoever owes coins can neither pay with coins nor withdraw any.
    pub fn check_owes_nothing(&self, person: PersonId) -> Result<(), Rejection> {
        match self.state.owed(person) {
            0 => Ok(()),
            owed_milli => Err(Rejection::ReceivableOpen { owed_milli }),
        }
    }
}

impl Refundable<'_> {
    /// What the coins of a new purchase pay of what the buyer owes, bought coins first.
    pub fn recovered(&mut self, context: &Context, purchase: PurchaseId) -> Vec<Event> {
        let (user, mut events) = (self.row.user, Vec::new());
        for (dispute_ref, owed_milli) in context.state.receivables_of(user) {
            let coins_milli = owed_milli.min(self.coins_left_milli);
            let bonus_milli = (owed_milli - coins_milli).min(self.bonus_left_milli);
            let recovered_milli = coins_milli + bonus_milli;
            if recovered_milli == 0 {
                break;
            }
            self.coins_left_milli -= coins_milli;
            self.bonus_left_milli -= bonus_milli;
            let (coins, bonus) = (Account::UserPurchased(user), Account::UserBonus(user));
            let parts = [
                (Some(self.captured.lot), coins, coins_milli),
                (self.captured.bonus_lot, bonus, bonus_milli),
            ];
            let draws = parts.into_iter().filter(|(.., amount_milli)| *amount_milli > 0);
            let draws = draws
                .filter_map(|(lot, account, amount_milli)| Some(Draw { lot: lot?, account, amount_milli }));
            let postings = parts.map(|(_, account, amount_milli)| {
                legs(Asset::COIN, account, Account::UserReceivable(user), amount_milli)
            });
            let loss = context.state.dispute(dispute_ref).and_then(|row| row.loss.as_ref());
            let given_back = loss.map_or(vec![], |loss| loss.given_back(Some(recovered_milli)));
            let given_back = GivenBack::all(given_back);
            let recovered = ReceivableRecovered {
                dispute_ref: dispute_ref.to_owned(),
                user,
                purchase,
                draws: draws.collect(),
                recovered_milli,
                left_milli: owed_milli - recovered_milli,
                postings: [postings.concat(), GivenBack::legs(&given_back)].concat(),
                given_back,
            };
            events.push(recovered.into());
        }
        events
    }
}

impl Decide for WriteOffReceivable {
    fn decides_on_money_of(&self, state: &State) -> Option<PersonId> {
        state.dispute(&self.dispute_ref).and_then(|row| row.user)
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &WriteOffReceivable { ref dispute_ref, amount_milli, ref reason, note } = self;
        let dispute_ref = check_reference("dispute_ref", dispute_ref)?;
        check_amount("amount_milli", amount_milli)?;
        let reason = check_reason("reason", reason)?;
        let row = context.state.dispute(&dispute_ref).ok_or(Rejection::UnknownReceivable)?;
        let owed_milli = row.loss.as_ref().map_or(0, Loss::left_milli);
        let user = row.user.filter(|_| owed_milli > 0).ok_or(Rejection::UnknownReceivable)?;
        if amount_milli > owed_milli {
            return Err(Rejection::WriteOffTooLarge { owed_milli });
        }
        let (from, to) = (Account::PlatformLosses, Account::UserReceivable(user));
        let written_off = ReceivableWrittenOff {
            dispute_ref,
            user,
            purchase: row.purchase,
            amount_milli,
            left_milli: owed_milli - amount_milli,
            reason,
            note,
            postings: legs(Asset::COIN, from, to, amount_milli),
        };
        Ok(vec![written_off.into()])
    }
}

impl Change<'_> {
    /// A receivable that is settled leaves.
    pub(super) fn forget_receivable(&mut self, user: PersonId, loss: &Loss) {
        let (receivables, key) = (&mut self.state.tables.receivables, (user, loss.since));
        if receivables.get(&key).is_some() {
            receivables.set(self.revision, key, None);
        }
    }

    fn edit_receivable(&mut self, dispute_ref: &String, user: PersonId, edit: impl FnOnce(&mut Loss)) {
        let mut settled = None;
        self.edit_dispute(dispute_ref, |row| {
            let loss = row.loss.as_mut().expect("what is owed was lost");
            edit(loss);
            settled = (loss.left_milli() == 0).then(|| loss.clone());
        });
        if let Some(loss) = settled {
            self.forget_receivable(user, &loss);
        }
    }
}

impl Happened for ReceivableRecovered {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn lots(&self) -> LotMoves {
        self.draws.iter().map(LotMove::drawn).collect()
    }

    fn people(&self) -> Vec<PersonId> {
        people(Some(self.user), self.given_back.iter().filter_map(|it| it.account.person()))
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(dispute_id(&self.dispute_ref).0)
    }

    fn evolve(&self, change: &mut Change) {
        change.edit_receivable(&self.dispute_ref, self.user, |loss| {
            loss.recovered_milli += self.recovered_milli
        });
        change.spend(&self.draws);
        change.accrue_moved(&self.postings);
    }
}

impl Happened for ReceivableWrittenOff {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.user]
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(dispute_id(&self.dispute_ref).0)
    }

    fn evolve(&self, change: &mut Change) {
        change.edit_receivable(&self.dispute_ref, self.user, |loss| {
            loss.written_off_milli += self.amount_milli
        });
    }
}

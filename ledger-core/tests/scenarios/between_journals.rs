//! A transfer between two journals, as docs/scaling.md describes it: a simulation of the steps and of what may happen to the
//! messages between them. Nothing of it is built.

use proptest::prelude::*;
use std::collections::BTreeMap;

const AMOUNT: i64 = 7;
const COINS: i64 = 1_000;

/// One journal: what its wallets and its account `transit` hold, and what it has recorded about each transfer.
#[derive(Default)]
struct Journal {
    wallets: i64,
    transit: i64,
    recorded: BTreeMap<usize, Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// By the sender's: the coins have left.
    Sent,
    /// By the sender's: the other has taken them.
    Arrived,
    /// By the sender's: the other has refused them, and they are back.
    Returned,
    /// By the receiver's.
    Taken,
    /// By the receiver's.
    Refused,
}

#[derive(Clone, Copy, Debug)]
enum Message {
    Take(usize),
    Answer(usize, Entry),
}

/// Two journals and what is on its way between them. A crash of either loses messages, and nothing that is recorded.
struct Cells {
    sender: Journal,
    receiver: Journal,
    on_the_way: Vec<Message>,
    /// Whether the receiver takes transfers now, as a wallet may be closed and opened.
    takes: bool,
    records_refusals: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Send,
    /// The sender asks once more after whatever it has no answer to.
    AskAgain,
    /// A message arrives, whichever, and may arrive once more.
    Arrive {
        which: prop::sample::Index,
        twice: bool,
    },
    Lose(prop::sample::Index),
    /// The receiver begins to take transfers, or to refuse them.
    Turn,
}

impl Cells {
    fn new(records_refusals: bool) -> Cells {
        let sender = Journal { wallets: COINS, ..Journal::default() };
        Cells { sender, receiver: Journal::default(), on_the_way: Vec::new(), takes: true, records_refusals }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Send if self.sender.wallets >= AMOUNT => {
                let transfer = self.sender.recorded.len();
                self.sender.wallets -= AMOUNT;
                self.sender.transit += AMOUNT;
                self.sender.recorded.insert(transfer, Entry::Sent);
                self.on_the_way.push(Message::Take(transfer));
            }
            Step::AskAgain => {
                let sent = self.sender.recorded.iter().filter(|(_, entry)| **entry == Entry::Sent);
                self.on_the_way.extend(sent.map(|(transfer, _)| Message::Take(*transfer)));
            }
            Step::Arrive { which, twice } if !self.on_the_way.is_empty() => {
                let place = which.index(self.on_the_way.len());
                let message =
                    if *twice { self.on_the_way[place] } else { self.on_the_way.swap_remove(place) };
                self.arrive(message);
            }
            Step::Lose(which) if !self.on_the_way.is_empty() => {
                self.on_the_way.swap_remove(which.index(self.on_the_way.len()));
            }
            Step::Turn => self.takes = !self.takes,
            Step::Send | Step::Arrive { .. } | Step::Lose(_) => {}
        }
    }

    fn arrive(&mut self, message: Message) {
        match message {
            Message::Take(transfer) => {
                let answer = match self.receiver.recorded.get(&transfer) {
                    Some(known) => *known,
                    None if self.takes => {
                        self.receiver.transit -= AMOUNT;
                        self.receiver.wallets += AMOUNT;
                        Entry::Taken
                    }
                    None => Entry::Refused,
                };
                if answer == Entry::Taken || self.records_refusals {
                    self.receiver.recorded.insert(transfer, answer);
                }
                self.on_the_way.push(Message::Answer(transfer, answer));
            }
            Message::Answer(transfer, answer) => {
                let entry = self.sender.recorded.get_mut(&transfer).expect("only what was sent is answered");
                match (*entry, answer) {
                    (Entry::Sent, Entry::Taken) => *entry = Entry::Arrived,
                    (Entry::Sent, Entry::Refused) => {
                        *entry = Entry::Returned;
                        self.sender.transit -= AMOUNT;
                        self.sender.wallets += AMOUNT;
                    }
                    _ => {}
                }
            }
        }
    }

    /// What stands in `transit` over both journals: the transfers that the receiver has not decided on, and those that it
    /// has refused and the sender has not taken back yet.
    fn in_transit(&self) -> i64 {
        self.sender.transit + self.receiver.transit
    }

    fn owed(&self) -> i64 {
        let is_open = |transfer: &usize, entry: &Entry| {
            *entry == Entry::Sent && self.receiver.recorded.get(transfer) != Some(&Entry::Taken)
        };
        let open = self.sender.recorded.iter().filter(|(transfer, entry)| is_open(transfer, entry));
        AMOUNT * open.count() as i64
    }
}

fn step() -> impl Strategy<Value = Step> {
    let index = || any::<prop::sample::Index>();
    prop_oneof![
        3 => Just(Step::Send),
        2 => Just(Step::AskAgain),
        6 => (index(), any::<bool>()).prop_map(|(which, twice)| Step::Arrive { which, twice }),
        2 => index().prop_map(Step::Lose),
        1 => Just(Step::Turn),
    ]
}

proptest! {
    #[test]
    fn whatever_is_lost_doubled_or_late_no_coin_is_made_or_gone(
        steps in prop::collection::vec(step(), 0..200)
    ) {
        let mut cells = Cells::new(true);
        for step in &steps {
            cells.step(step);
            prop_assert_eq!(cells.sender.wallets + cells.receiver.wallets + cells.in_transit(), COINS);
            prop_assert_eq!(cells.in_transit(), cells.owed());
        }
        // Once messages arrive again, nothing stays in transit.
        cells.step(&Step::AskAgain);
        while let Some(message) = cells.on_the_way.pop() {
            cells.arrive(message);
        }
        prop_assert_eq!(cells.in_transit(), 0);
    }
}

#[test]
fn a_refusal_that_is_not_recorded_would_make_coins() {
    let mut cells = Cells::new(false);
    cells.takes = false;
    cells.step(&Step::Send);
    cells.step(&Step::AskAgain);
    let [first, second] = cells.on_the_way[..] else { panic!("two questions are on their way") };
    cells.on_the_way.clear();
    cells.arrive(first);
    cells.takes = true;
    cells.arrive(second);
    // The answer to the first question was on its way for long.
    let refused = cells.on_the_way.remove(0);
    cells.arrive(refused);
    assert_eq!(cells.sender.wallets + cells.receiver.wallets, COINS + AMOUNT);
}

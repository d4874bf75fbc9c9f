//! Stories from a seed: people who ask two nodes for money to be moved, while appends fail, nodes are killed, tails of the
//! journal are torn, replies are lost and clocks leap.
//!
//! Each client asks again under the same key until it has an answer that is certain. In the end every command that was
//! accepted stands in the journal once, at the revision of its receipt; none that was refused does; a replay says what
//! the live nodes say; the books balance; and wallets, agencies and held coins are what a model makes of the accepted
//! commands, by arithmetic of its own. What the model knows: gifts, calls and their increments, adjustments, bonus coins and
//! their expiry, commission, agencies, withdrawals in all their states, purchases, disputes of whole payments, and what is owed.
//! It knows of each accepted command what it does to wallets, and that it should have been accepted; not why others were refused.
//!
//! A story is its seed and the numbers of its steps. Each step draws from chance of its own, so steps can be left out and the
//! others stay what they were: that is how [`shrink`] makes a short story of a long one.
//!
//! [`rig`] and [`world`] are for other tests of the ledger too.

mod model;
mod nodes;
pub mod rig;
pub mod world;

use nodes::{Simulation, Told};
use std::any::Any;
use std::ops::AddAssign;
use std::sync::PoisonError;
use std::thread;

/// How many steps a story has that nobody has made shorter.
pub const STEPS: u64 = 120;

/// What fixes a story: which commands and faults there are. How tasks take turns is the runtime's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    pub seed: u64,
    /// The numbers of the steps that are played.
    pub steps: Vec<u64>,
}

impl Story {
    /// A story of so many steps.
    pub fn new(seed: u64, steps: u64) -> Story {
        Story { seed, steps: (0..steps).collect() }
    }
}

/// What a story, or many, came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub accepted: usize,
    pub refused: usize,
    pub crashes: usize,
    /// Tails of the journal that lost a part.
    pub torn: usize,
    /// How often clients were told that there was no room, that the clock was wrong, that a batch was refused.
    pub without_room: usize,
    pub clock_leaps: usize,
    pub not_stored: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.crashes += other.crashes;
        self.torn += other.torn;
        self.without_room += other.without_room;
        self.clock_leaps += other.clock_leaps;
        self.not_stored += other.not_stored;
    }
}

/// A story that ended badly.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was not as it should be.
    pub what: String,
    /// What had happened, a line for each thing.
    pub told: Vec<String>,
}

/// The name of the threads that play stories: what panics there is told by [`Failure`].
pub const THREAD: &str = "story";

/// Plays a story in a thread of its own.
///
/// # Errors
/// When something was not as it should be.
pub fn play(story: &Story) -> Result<Tally, Failure> {
    let (story, told) = (story.clone(), Told::default());
    let telling = told.clone();
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(Simulation::play(&story, telling))
    };
    let ended = match thread::Builder::new().name(THREAD.to_owned()).spawn(run) {
        Ok(thread) => thread.join().map_err(|panic| words(panic.as_ref())),
        Err(fault) => Err(fault.to_string()),
    };
    ended.map_err(|what| Failure { what, told: told.lock().unwrap_or_else(PoisonError::into_inner).clone() })
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}

/// The shortest story that still fails, as far as leaving out steps leads: halves, quarters and so on down to single steps.
/// `tried` is told how many steps are left.
pub fn shrink(story: &Story, mut fails: impl FnMut(&Story) -> bool, mut tried: impl FnMut(usize)) -> Story {
    let mut shortest = story.clone();
    let mut part = shortest.steps.len().div_ceil(2);
    while part > 0 {
        let mut from = 0;
        let before = shortest.steps.len();
        while from < shortest.steps.len() {
            let mut shorter = shortest.clone();
            shorter.steps.drain(from..(from + part).min(shorter.steps.len()));
            if !shorter.steps.is_empty() && fails(&shorter) {
                shortest = shorter;
            } else {
                from += part;
            }
            tried(shortest.steps.len());
        }
        // Once single steps cannot be left out any more, nothing can.
        if part > 1 || shortest.steps.len() == before {
            part /= 2;
        }
    }
    shortest
}

//! Gifts a second by how many are under way at once, beside the bare cost without a store:
//! `cargo run --release -p ledger-runtime --example gift_rate [folder]`. Compare within a run only.

use event_store::{EmbeddedStore, EventStore, MemoryStore};
use ledger_core::command::{OpenJournal, PostAdjustment, SendGift, SetGiftPrice};
use ledger_core::*;
use ledger_runtime::{Clock, Ledger};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

const RUN_FOR: Duration = Duration::from_secs(2);
const START: Timestamp = Timestamp(1_700_000_000_000);
const GIFT: GiftId = GiftId(Uuid::from_u128(0x4a));
const SENDERS: u64 = 1_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let base = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(base)?;
    let bare = bare();
    println!("each line is one run of {RUN_FOR:?}; a gift is two events");
    println!("{:>9} {:>9} {:>9} {:>13}", "store", "at once", "gifts/s", "against bare");
    println!("{:>9} {:>9} {bare:>9}", "none", 1);
    for at_once in [1, 32, 256, 1024] {
        let embedded = EmbeddedStore::open(folder.path().join(at_once.to_string()))?;
        let stores: [(&str, Arc<dyn EventStore>); 2] =
            [("memory", Arc::new(MemoryStore::new())), ("embedded", Arc::new(embedded))];
        for (name, store) in stores {
            let rate = through(store, at_once).await?;
            println!("{name:>9} {at_once:>9} {rate:>9} {:>12}%", rate * 100 / bare.max(1));
        }
    }
    Ok(())
}

/// Through a ledger, from `at_once` tasks which each wait for their receipt.
async fn through(store: Arc<dyn EventStore>, at_once: u64) -> Result<u64, Box<dyn std::error::Error>> {
    let (_hand, clock) = Clock::manual(START);
    let (ledger, _) = Ledger::open(store, clock, JournalId(Uuid::from_u128(1)), |_, _| {}).await?;
    for number in 0..=SENDERS {
        ledger.execute(setting(number)).await?;
    }
    let numbers = Arc::new(AtomicU64::new(SENDERS + 1));
    let start = now();
    let tasks = (0..at_once).map(|_| {
        let (ledger, numbers) = (ledger.clone(), numbers.clone());
        tokio::spawn(async move {
            let mut count = 0;
            while start.elapsed() < RUN_FOR {
                ledger.execute(gift(numbers.fetch_add(1, Ordering::Relaxed))).await?;
                count += 1;
            }
            Ok::<u64, ledger_runtime::ExecuteError>(count)
        })
    });
    let (tasks, mut count) = (tasks.collect::<Vec<_>>(), 0);
    for task in tasks {
        count += task.await??;
    }
    Ok(per_second(count, start))
}

/// The same without queue, store and replies, on one thread.
fn bare() -> u64 {
    let mut state = State::new();
    let (journal, assets) = (JournalId(Uuid::from_u128(1)), vec![Asset::COIN, Asset::INR]);
    record(&mut state, &envelope(u64::MAX, Command::from(OpenJournal { journal, assets })));
    (0..=SENDERS).for_each(|number| record(&mut state, &setting(number)));
    let (start, mut number) = (now(), SENDERS);
    while start.elapsed() < RUN_FOR {
        number += 1;
        record(&mut state, &gift(number));
    }
    per_second(number - SENDERS, start)
}

fn record(state: &mut State, envelope: &Envelope) {
    let Ok(Decision::Append(unit)) = decide(state, START, envelope) else { panic!("is accepted") };
    let first = state.next_revision();
    for event in unit.record(first, || Uuid::from_u128(u128::from(first))) {
        evolve(state, &event);
        std::hint::black_box((event.event.encode(), event.metadata.encode()));
        state.settle(event.revision);
    }
}

fn setting(number: u64) -> Envelope {
    let (account, reason) = (Account::UserPurchased(person(number)), "goodwill".to_owned());
    let coins =
        Command::from(PostAdjustment { account, amount_milli: 1 << 42, reason, note: None, settles: None });
    let price = Command::from(SetGiftPrice { gift: GIFT, price_milli: Some(1_000) });
    envelope(number, if number == 0 { price } else { coins })
}

fn gift(number: u64) -> Envelope {
    let (sender, host) = (person(number % SENDERS + 1), person(2 * SENDERS + number % 100));
    envelope(
        number,
        Command::from(SendGift { sender, host, gift: GIFT, call: None, price_seen_milli: 1_000 }),
    )
}

fn envelope(number: u64, command: Command) -> Envelope {
    let mut chance = [0; 10];
    chance[2..].copy_from_slice(&number.to_be_bytes());
    let key = uuid::Builder::from_unix_timestamp_millis(START.0.unsigned_abs(), &chance).into_uuid();
    Envelope { actor: Actor::System, key: Key::Client(key.into()), command, policy: Policy::default() }
}

fn person(number: u64) -> PersonId {
    PersonId(Uuid::from_u64_pair(1, number))
}

#[expect(clippy::disallowed_methods, reason = "a measurement is about the clock")]
fn now() -> Instant {
    Instant::now()
}

fn per_second(count: u64, start: Instant) -> u64 {
    count * 1_000 / u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
}

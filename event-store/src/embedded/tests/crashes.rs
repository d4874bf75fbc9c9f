//! The embedded store on a simulated disk: kills, power losses, full disks, failed flushes.
//!
//! `MUNEEM_DISK_SEED=7` runs the one seed that a failure has named.

use crate::NewEvent;
use std::panic::{AssertUnwindSafe, catch_unwind};

use uuid::Uuid;

use super::super::simulated_disk::{Plan, Random, SimulatedDisk};
use super::super::*;

const FOLDER: &str = "/data/muneem/journal";
const SEEDS: u64 = 300;

type Batch = Vec<NewEvent>;

/// A machine with a journal, and what its caller knows of it.
struct Machine {
    disk: SimulatedDisk,
    options: Options,
    /// What was acknowledged, or seen after a start.
    recorded: Vec<Batch>,
    /// The batch whose outcome is not known.
    in_flight: Option<Batch>,
    number: u64,
}

impl Machine {
    fn new(seed: u64, segment_bytes: u64) -> Self {
        let disk = SimulatedDisk::new(seed);
        Self { disk, options: Options { segment_bytes }, recorded: Vec::new(), in_flight: None, number: 0 }
    }

    fn try_open(&self) -> Result<EmbeddedStore, OpenError> {
        let disk = Disk::Simulated(self.disk.clone());
        EmbeddedStore::open_on(&disk, Path::new(FOLDER), self.options, |_, _| {})
    }

    fn try_read(&self) -> Result<EmbeddedReader, OpenError> {
        EmbeddedReader::open_on(&Disk::Simulated(self.disk.clone()), Path::new(FOLDER), |_, _| {})
    }

    /// Starts the store and checks that it holds what it must, byte for byte. `None` where the start
    /// met a fault of the disk.
    async fn start(&mut self) -> Option<EmbeddedStore> {
        let store = match self.try_open() {
            Ok(store) => store,
            // Damage and lost events are never the work of a crash.
            Err(OpenError::Io { .. }) => return None,
            Err(error) => panic!("{error}"),
        };
        let events = store.read(0, usize::MAX).await.unwrap();
        let in_flight = self.in_flight.take();
        self.recorded.extend(in_flight.filter(|batch| events.len() == self.events() + batch.len()));
        self.check(&events, self.events());
        assert_eq!(store.head().await.unwrap(), self.head());
        Some(store)
    }

    /// As [`Self::start`], where nothing may go wrong.
    async fn start_well(&mut self) -> EmbeddedStore {
        self.start().await.expect("a start without faults")
    }

    fn check(&self, events: &[RecordedEvent], count: usize) {
        assert_eq!(events.len(), count, "events");
        let recorded = self.recorded.iter().flatten();
        for (revision, (found, given)) in (0..).zip(events.iter().zip(recorded)) {
            let NewEvent { id, kind, data, metadata } = given.clone();
            assert_eq!(*found, RecordedEvent { revision, id, kind, data, metadata });
        }
    }

    /// What a reader in another process sees is all that was acknowledged.
    async fn check_reader(&self) {
        let events = self.try_read().unwrap().read(0, usize::MAX).await.unwrap();
        self.check(&events, self.events());
    }

    fn events(&self) -> usize {
        self.recorded.iter().map(Vec::len).sum()
    }

    fn head(&self) -> Option<u64> {
        (self.events() as u64).checked_sub(1)
    }

    /// A batch that was never made before; each event has other contents than all others.
    fn batch(&mut self, random: &mut Random) -> Batch {
        self.number += 1;
        (0..=random.below(4))
            .map(|index| NewEvent {
                id: Uuid::from_u64_pair(self.number, index),
                kind: "GiftSent".into(),
                data: (0..random.below(120)).map(|_| random.next() as u8).collect(),
                metadata: b"{}".to_vec(),
            })
            .collect()
    }

    /// Appends at the end, as a writer does that has seen all of the journal.
    async fn append(&mut self, store: &EmbeddedStore, batch: Batch) -> Result<(), AppendError> {
        match store.append(self.head(), &batch).await {
            Ok(last) => {
                self.recorded.push(batch);
                assert_eq!(Some(last), self.head());
                Ok(())
            }
            Err(error) => {
                if matches!(error, AppendError::OutcomeUnknown(_)) {
                    self.in_flight = Some(batch);
                } else {
                    assert!(matches!(error, AppendError::NoSpace(_)), "{error}");
                }
                Err(error)
            }
        }
    }

    fn power_loss(&mut self, store: Option<EmbeddedStore>) {
        drop(store);
        self.disk.lose_power();
    }
}

/// So many seeds, or the one that the environment names.
pub(super) fn seeds(count: u64) -> std::ops::Range<u64> {
    match std::env::var("MUNEEM_DISK_SEED") {
        Ok(seed) => {
            let seed = seed.parse::<u64>().unwrap();
            seed..seed + 1
        }
        Err(_) => 0..count,
    }
}

/// Runs a story for each seed and names the seed that failed.
fn for_seeds(story: impl AsyncFn(u64)) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for seed in seeds(SEEDS) {
        let told = catch_unwind(AssertUnwindSafe(|| runtime.block_on(story(seed))));
        assert!(told.is_ok(), "failed with MUNEEM_DISK_SEED={seed}");
    }
}

/// Lives that end by a kill or a power loss, at any step of anything.
#[test]
fn no_crash_loses_what_was_acknowledged_or_makes_up_events() {
    for_seeds(async |seed| {
        lives(seed, |random| Plan { killed_at: Some(1 + random.below(60)), ..Plan::default() }).await
    });
}

/// The same on a disk whose flushes fail, that runs full, and in a process out of open files.
#[test]
fn no_failed_flush_or_full_disk_loses_what_was_acknowledged_or_makes_up_events() {
    for_seeds(async |seed| {
        lives(seed, |random| {
            let mut window = |often| {
                let start = 1 + random.below(60);
                let steps = if random.one_in(often) { 1 + random.below(12) } else { 0 };
                start..start + steps
            };
            let (syncs_fail, full, no_handles) = (window(2), window(2), window(3));
            let killed_at = random.one_in(3).then(|| 1 + random.below(80));
            Plan { killed_at, syncs_fail, full, no_handles, full_when_synced: random.one_in(2) }
        })
        .await;
    });
}

async fn lives(seed: u64, mut plan: impl FnMut(&mut Random) -> Plan) {
    let mut random = Random(seed);
    let mut machine = Machine::new(random.next(), 500 + random.below(4000));
    for _ in 0..8 {
        machine.disk.plan(plan(&mut random));
        let store = machine.start().await;
        if let Some(store) = &store {
            live(&mut machine, store, &mut random).await;
        }
        drop(store);
        match random.below(3) {
            0 => machine.disk.restart_process(),
            _ => machine.disk.lose_power(),
        }
    }
    let store = machine.start_well().await;
    let last = machine.batch(&mut random);
    machine.append(&store, last).await.unwrap();
    machine.power_loss(Some(store));
    machine.start_well().await;
    machine.check_reader().await;
}

async fn live(machine: &mut Machine, store: &EmbeddedStore, random: &mut Random) {
    for _ in 0..random.below(14) {
        let batch = machine.batch(random);
        match machine.append(store, batch.clone()).await {
            Ok(()) | Err(AppendError::NoSpace(_)) => {}
            Err(_) => {
                // It stays unknown until the store is opened again, to whoever asks.
                let again = store.append(machine.head(), &batch).await;
                assert!(matches!(again, Err(AppendError::OutcomeUnknown(_))), "{again:?}");
                return;
            }
        }
    }
    if !machine.disk.killed() {
        let events = store.read(0, usize::MAX).await.unwrap();
        machine.check(&events, machine.events());
    }
}

/// A kill in each step of the first start, then a power loss or none: the next start completes it.
#[tokio::test]
async fn a_first_start_that_was_killed_in_any_step_is_completed_by_the_next() {
    let mut steps = 0;
    for killed_at in 1.. {
        let mut killed = false;
        for seed in 0..40 {
            let mut machine = Machine::new(seed, 500);
            machine.disk.plan(Plan { killed_at: Some(killed_at), ..Plan::default() });
            drop(machine.try_open());
            killed = machine.disk.killed();
            if seed % 2 == 0 {
                machine.disk.lose_power();
            }
            machine.disk.restart_process();
            let names = machine.disk.names(Path::new(FOLDER)).unwrap_or_default();
            let (acknowledged, segment) = ["acknowledged", "00000000000000000000.segment"]
                .map(|name| names.iter().any(|it| it == name))
                .into();
            assert!(acknowledged || !segment, "step {killed_at}: the file is there before the first segment");
            match machine.try_read() {
                Ok(reader) => assert_eq!(reader.head().await.unwrap(), None),
                Err(error) => assert!(matches!(error, OpenError::NoJournal { .. }), "{error}"),
            }
            let store = machine.start_well().await;
            let batch = machine.batch(&mut Random(seed));
            machine.append(&store, batch).await.unwrap();
            machine.power_loss(Some(store));
            machine.start_well().await;
        }
        if !killed {
            break;
        }
        steps = killed_at;
    }
    assert!(steps >= 12, "{steps} steps");
}

/// What a process that was killed has left is durable before anything is acknowledged on top of it.
#[tokio::test]
async fn what_a_killed_process_left_is_made_durable_by_the_next_start() {
    for killed_at in 1..120 {
        for seed in 0..8 {
            let mut random = Random(seed);
            let mut machine = Machine::new(seed, 400);
            machine.disk.plan(Plan { killed_at: Some(killed_at), ..Plan::default() });
            if let Some(store) = machine.start().await {
                for _ in 0..8 {
                    let batch = machine.batch(&mut random);
                    if machine.append(&store, batch).await.is_err() {
                        break;
                    }
                }
            }
            machine.disk.restart_process();
            let store = machine.start_well().await;
            let batch = machine.batch(&mut random);
            machine.append(&store, batch).await.unwrap();
            machine.power_loss(Some(store));
            machine.start_well().await;
        }
    }
}

/// A flush that failed has dropped the frame, and the running system shows it all the same.
#[tokio::test]
async fn after_a_failed_flush_the_next_start_writes_the_last_frame_again() {
    let mut seen = 0;
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut machine = Machine::new(seed, 5000);
        let store = machine.start_well().await;
        let first = machine.batch(&mut random);
        machine.append(&store, first).await.unwrap();
        machine.disk.plan(Plan { syncs_fail: 1..5, ..Plan::default() });
        let batch = machine.batch(&mut random);
        let error = machine.append(&store, batch).await.unwrap_err();
        assert!(matches!(error, AppendError::OutcomeUnknown(_)), "{error}");
        drop(store);
        machine.disk.restart_process();
        // The start sees the frame whole, so its callers hear of it; a power loss may not take it back.
        let store = machine.start_well().await;
        seen += machine.recorded.len() - 1;
        machine.power_loss(Some(store));
        machine.start_well().await;
    }
    assert_eq!(seen, 60);
}

/// One flush fails, whichever: of a frame, of the zeros ahead, of a name. Even where only the zeros are
/// lost the file's length may be lost with them, and so would be what is written over them.
#[tokio::test]
async fn after_any_one_failed_flush_nothing_is_acknowledged_that_a_power_loss_takes_back() {
    for step in 1..60 {
        for seed in 0..20 {
            let mut random = Random(seed);
            let mut machine = Machine::new(seed, 600);
            machine.disk.plan(Plan { syncs_fail: step..step + 1, ..Plan::default() });
            let store = machine.start().await;
            if let Some(store) = &store {
                for _ in 0..8 {
                    let batch = machine.batch(&mut random);
                    if machine.append(store, batch).await.is_err() {
                        break;
                    }
                }
            }
            machine.power_loss(store);
            machine.start_well().await;
        }
    }
}

#[tokio::test]
async fn appends_go_on_by_themselves_once_a_full_disk_has_room() {
    for (seed, full_when_synced) in (0..40).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut random = Random(seed);
        let mut machine = Machine::new(seed, 600 + random.below(4000));
        let store = machine.start_well().await;
        let first = machine.batch(&mut random);
        machine.append(&store, first).await.unwrap();
        let mut refused = 0;
        for _ in 0..3 {
            machine.disk.plan(Plan { full: 0..u64::MAX, full_when_synced, ..Plan::default() });
            // What was written ahead is used up first.
            for _ in 0..40 {
                let batch = machine.batch(&mut random);
                match machine.append(&store, batch.clone()).await {
                    Ok(()) => {}
                    Err(AppendError::NoSpace(reason)) => {
                        refused += 1;
                        assert!(reason.contains("free some space"), "{reason}");
                        assert_eq!(store.head().await.unwrap(), machine.head());
                        // Nothing of it is there, so another batch may take its place.
                        machine.check_reader().await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            machine.disk.plan(Plan::default());
            for _ in 0..3 {
                let batch = machine.batch(&mut random);
                machine.append(&store, batch).await.unwrap();
            }
        }
        assert!(refused > 3, "{refused}");
        machine.power_loss(Some(store));
        machine.start_well().await;
    }
}

#[tokio::test]
async fn a_batch_that_found_no_space_never_appears() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut machine = Machine::new(seed, 600 + random.below(4000));
        let store = machine.start_well().await;
        machine.disk.plan(Plan { full: 0..u64::MAX, full_when_synced: seed % 2 == 0, ..Plan::default() });
        loop {
            let batch = machine.batch(&mut random);
            if machine.append(&store, batch).await.is_err() {
                break;
            }
        }
        machine.power_loss(Some(store));
        machine.start_well().await;
    }
}

#[tokio::test]
async fn a_process_out_of_open_files_appends_to_the_end_of_the_next_segment() {
    let mut random = Random(1);
    let mut machine = Machine::new(1, 1000);
    let store = machine.start_well().await;
    let first = machine.batch(&mut random);
    machine.append(&store, first).await.unwrap();
    machine.disk.plan(Plan { no_handles: 0..u64::MAX, ..Plan::default() });
    let mut reason = None;
    while reason.is_none() {
        let batch = machine.batch(&mut random);
        if let Err(error) = machine.append(&store, batch).await {
            reason = Some(error.to_string());
        }
    }
    let reason = reason.unwrap();
    assert!(reason.contains("limit of open files"), "{reason}");
    let segments = machine.disk.names(Path::new(FOLDER)).unwrap();
    let segments = segments.iter().filter(|name| name.ends_with(".segment") && name.starts_with('0'));
    assert_eq!(segments.count(), 2, "the segment that was opened ahead is used");
    machine.disk.plan(Plan::default());
    for _ in 0..20 {
        let batch = machine.batch(&mut random);
        machine.append(&store, batch).await.unwrap();
    }
    machine.power_loss(Some(store));
    machine.start_well().await;
}

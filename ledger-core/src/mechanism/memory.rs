//! Which commands have been accepted: by what a retry is known.
//!
//! A client's command is kept for a day. Where its key says when it was made, it costs 32 bytes once it is a few seconds
//! old: such commands stand in buckets, one for each second of the keys, so that a second is let go of as a whole. A key
//! that says no time does not tell where to look, so its command stands in a tree, and costs three to four times as
//! much.

use super::ids::CommandId;
use super::metadata::{Metadata, RememberedFor, RequestHash};
use super::state::KEY_LIFE_MS;
use super::stored::{Bytes, NotAState, Out};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;

/// What is known of an accepted command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub revision: u64,
    /// The first ten bytes of the request's hash.
    request: [u8; 10],
}

impl Remembered {
    /// Whether the command asked for the same. Two requests that differ pass for the same once in 2^80.
    pub fn asked(&self, hash: RequestHash) -> bool {
        self.request == start_of(hash)
    }
}

fn start_of(hash: RequestHash) -> [u8; 10] {
    let mut start = [0; 10];
    start.copy_from_slice(&hash.0[..10]);
    start
}

#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// Not settled yet, so that they can be taken back; in the order of their revisions.
    recent: VecDeque<(u64, CommandId)>,
    found: ById<(Bucket, Remembered)>,
    settled: BTreeMap<Bucket, Commands>,
    timeless: Timeless,
    /// Buckets before this one are packed.
    packed: Bucket,
    /// Commands at earlier revisions are final.
    open_from: u64,
}

/// By the ids of commands, which are as good as random. The hash is another one in each process.
type ById<T> = HashMap<CommandId, T, foldhash::fast::RandomState>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Bucket {
    /// Commands of clients, by the second in their keys.
    Second(i64),
    /// Commands that are remembered for ever, by the start of their ids.
    Forever(u16),
}

const SECOND_MS: i64 = 1_000;
/// For how many seconds a bucket takes most of its commands. It is fast to add to, and takes more room than later.
const OPEN_SECONDS: i64 = 10;
/// The names of their rows among those of the tables.
const COMMANDS: &str = "commands";
const TIMELESS: &str = "timeless_commands";

impl Bucket {
    /// None where no bucket tells how long.
    fn of(command: CommandId, how: RememberedFor) -> Option<Bucket> {
        match how {
            RememberedFor::DayFromKey(at) => Some(Bucket::Second(at.0.div_euclid(SECOND_MS))),
            RememberedFor::Ever => Some(Bucket::Forever((command.0.as_u128() >> 112) as u16)),
            RememberedFor::Day | RememberedFor::Never => None,
        }
    }

    /// Whether a key of the bucket may be younger than `horizon`.
    fn counts(&self, horizon: Timestamp) -> bool {
        match self {
            Bucket::Second(second) => second.saturating_add(1).saturating_mul(SECOND_MS) > horizon.0,
            Bucket::Forever(_) => true,
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Memory {
            recent: VecDeque::new(),
            found: ById::default(),
            settled: BTreeMap::new(),
            timeless: Timeless::default(),
            packed: Bucket::Second(i64::MIN),
            open_from: 0,
        }
    }
}

impl Memory {
    /// What is known of a command; of one whose key says no time, if it was recorded at `horizon` or later.
    pub fn find(&self, command: CommandId, how: RememberedFor, horizon: Timestamp) -> Option<Remembered> {
        if how == RememberedFor::Day {
            return self.timeless.find(command, horizon);
        }
        let bucket = Bucket::of(command, how)?;
        // A command has one id, and its id one bucket.
        let recent = self.found.get(&command).map(|(_, row)| *row);
        recent.or_else(|| self.settled.get(&bucket)?.find(command))
    }

    pub fn add(&mut self, revision: u64, metadata: &Metadata) {
        let (command, how) = (metadata.command_id, metadata.remembered_for);
        let row = Remembered { revision, request: start_of(metadata.request_hash) };
        if how == RememberedFor::Day {
            self.timeless.add(command, metadata.recorded_at, row);
        } else if let Some(bucket) = Bucket::of(command, how) {
            if revision < self.open_from {
                return self.add_settled(bucket, command, row);
            }
            self.recent.push_back((revision, command));
            self.found.insert(command, (bucket, row));
        }
    }

    fn add_settled(&mut self, bucket: Bucket, command: CommandId, row: Remembered) {
        let is_open = bucket >= self.packed && matches!(bucket, Bucket::Second(_));
        let commands = self.settled.entry(bucket).or_default();
        commands.fresh.insert(command, row);
        if !is_open && commands.fresh.len() >= 32 + commands.sorted.len() / 8 {
            commands.pack();
        }
    }

    pub fn undo_from(&mut self, from: u64) {
        self.timeless.undo_from(from);
        while let Some((_, command)) = self.recent.pop_back_if(|(revision, _)| *revision >= from) {
            self.found.remove(&command);
        }
    }

    pub fn settle(&mut self, revision: u64) {
        self.open_from = self.open_from.max(revision.saturating_add(1));
        while let Some((_, command)) = self.recent.pop_front_if(|(added, _)| *added <= revision) {
            if let Some((bucket, row)) = self.found.remove(&command) {
                self.add_settled(bucket, command, row);
            }
        }
    }

    /// It is `at`: lets go of what no command after this finds, seconds whose keys are all older than a day and commands
    /// recorded before it whose keys say no time; and packs the seconds that take few commands more.
    pub fn let_time_pass(&mut self, at: Timestamp) {
        let horizon = at.plus_ms(-KEY_LIFE_MS);
        self.timeless.forget_before(horizon);
        while self.settled.first_key_value().is_some_and(|(bucket, _)| !bucket.counts(horizon)) {
            self.settled.pop_first();
        }
        let packed = Bucket::Second(at.0.div_euclid(SECOND_MS).saturating_sub(OPEN_SECONDS));
        if packed > self.packed {
            self.settled.range_mut(self.packed..packed).for_each(|(_, commands)| commands.pack());
            self.packed = packed;
        }
    }

    /// Writes what a command after `horizon` may find, settled or not.
    pub fn encode(&self, horizon: Timestamp, out: &mut Out) -> io::Result<()> {
        let mut recent: BTreeMap<Bucket, Vec<Row>> = BTreeMap::new();
        for (command, (bucket, row)) in &self.found {
            recent.entry(*bucket).or_default().push(Row::new(*command, *row));
        }
        let mut buckets: BTreeSet<Bucket> = self.settled.keys().chain(recent.keys()).copied().collect();
        buckets.retain(|bucket| bucket.counts(horizon));
        out.put(&buckets.len())?;
        for bucket in buckets {
            let mut rows = self.settled.get(&bucket).map(Commands::rows).unwrap_or_default();
            rows.extend(recent.remove(&bucket).unwrap_or_default());
            rows.sort();
            out.put(&bucket)?;
            out.put_rows(COMMANDS, rows.iter())?;
        }
        self.timeless.encode(horizon, out)
    }

    /// A memory of which nothing can be taken back.
    pub fn decode(bytes: &mut Bytes) -> Result<Memory, NotAState> {
        let mut settled = BTreeMap::new();
        for _ in 0..bytes.take::<usize>()? {
            let bucket = bytes.take()?;
            let sorted = bytes.take_rows::<Row, Vec<Row>>(COMMANDS)?.into_boxed_slice();
            settled.insert(bucket, Commands { sorted, fresh: ById::default() });
        }
        Ok(Memory { settled, timeless: Timeless::decode(bytes)?, ..Memory::default() })
    }

    /// How many bytes the settled commands take, as far as it can be counted without the allocator.
    pub fn bytes(&self) -> usize {
        let buckets = self.settled.values().map(|it| size_of::<(Bucket, Commands)>() + it.bytes());
        buckets.sum::<usize>() + self.timeless.bytes()
    }
}

/// Commands whose keys say no time.
#[derive(Clone, Debug, Default)]
struct Timeless {
    /// By the command and its revision: after a day the same key may stand for another request.
    rows: BTreeMap<(CommandId, u64), (Timestamp, [u8; 10])>,
    /// The keys of the rows, as they were recorded.
    order: VecDeque<(CommandId, u64)>,
}

impl Timeless {
    fn find(&self, command: CommandId, horizon: Timestamp) -> Option<Remembered> {
        let ((_, revision), (at, request)) =
            self.rows.range((command, 0)..=(command, u64::MAX)).next_back()?;
        (*at >= horizon).then_some(Remembered { revision: *revision, request: *request })
    }

    fn add(&mut self, command: CommandId, at: Timestamp, row: Remembered) {
        self.rows.insert((command, row.revision), (at, row.request));
        self.order.push_back((command, row.revision));
    }

    fn undo_from(&mut self, from: u64) {
        while let Some(key) = self.order.pop_back_if(|(_, revision)| *revision >= from) {
            self.rows.remove(&key);
        }
    }

    fn forget_before(&mut self, horizon: Timestamp) {
        let rows = &mut self.rows;
        while let Some(key) = self.order.pop_front_if(|key| rows.get(key).is_none_or(|(at, _)| *at < horizon))
        {
            rows.remove(&key);
        }
    }

    fn encode(&self, horizon: Timestamp, out: &mut Out) -> io::Result<()> {
        let rows: Vec<_> = self.rows.iter().filter(|(_, (at, _))| *at >= horizon).collect();
        out.put_rows(TIMELESS, rows.into_iter())
    }

    fn decode(bytes: &mut Bytes) -> Result<Timeless, NotAState> {
        let rows: BTreeMap<(CommandId, u64), (Timestamp, [u8; 10])> = bytes.take_rows(TIMELESS)?;
        let mut order: Vec<_> = rows.keys().copied().collect();
        order.sort_unstable_by_key(|(_, revision)| *revision);
        Ok(Timeless { rows, order: order.into() })
    }

    fn bytes(&self) -> usize {
        // A tree's nodes are at least half full: at most twice the row.
        let row = size_of::<((CommandId, u64), (Timestamp, [u8; 10]))>();
        self.rows.len() * 2 * row + self.order.capacity() * size_of::<(CommandId, u64)>()
    }
}

/// The commands of one bucket: packed in one sorted run without gaps, or added since then.
#[derive(Clone, Debug, Default)]
struct Commands {
    sorted: Box<[Row]>,
    fresh: ById<Remembered>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Row {
    command: [u8; 16],
    request: [u8; 10],
    /// The low 48 bits.
    revision: [u8; 6],
}

impl Row {
    fn new(command: CommandId, row: Remembered) -> Row {
        let [_, _, revision @ ..] = row.revision.to_be_bytes();
        Row { command: *command.0.as_bytes(), request: row.request, revision }
    }

    fn remembered(&self) -> Remembered {
        let [a, b, c, d, e, f] = self.revision;
        Remembered { revision: u64::from_be_bytes([0, 0, a, b, c, d, e, f]), request: self.request }
    }
}

/// Finds a command among rows in order. Ids are as good as random, so that one stands about where its value lies between
/// the first and the last: from there it is looked for in steps that double. That touches a fifth of the memory that
/// halving does.
fn find_among(rows: &[Row], command: CommandId) -> Option<&Row> {
    let lead = |row: &Row| u64::from_be_bytes(*row.command.first_chunk().expect("an id has 16 bytes"));
    let wanted = command.0.as_bytes();
    let (first, last) = (lead(rows.first()?), lead(rows.last()?));
    let of_all = command.0.as_u64_pair().0.clamp(first, last) - first;
    let guess = u128::from(of_all) * (rows.len() as u128 - 1) / u128::from((last - first).max(1));
    let guess = guess as usize;
    let (mut low, mut high, mut step) = (guess, guess, 16);
    while low > 0 && rows[low].command > *wanted {
        low = low.saturating_sub(step);
        step *= 2;
    }
    while high < rows.len() && rows[high].command < *wanted {
        high = high.saturating_add(step);
        step *= 2;
    }
    let among = &rows[low..high.saturating_add(1).min(rows.len())];
    among.binary_search_by(|row| row.command.cmp(wanted)).ok().map(|place| &among[place])
}

impl Commands {
    fn find(&self, command: CommandId) -> Option<Remembered> {
        let sorted = || find_among(&self.sorted, command).map(Row::remembered);
        self.fresh.get(&command).copied().or_else(sorted)
    }

    fn pack(&mut self) {
        if !self.fresh.is_empty() {
            self.sorted = self.rows().into_boxed_slice();
            self.fresh = ById::default();
        }
    }

    /// All commands, sorted.
    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::with_capacity(self.sorted.len() + self.fresh.len());
        rows.extend(self.fresh.iter().map(|(command, row)| Row::new(*command, *row)));
        rows.sort_unstable();
        rows.extend_from_slice(&self.sorted);
        // Two sorted runs, which a stable sort merges in one pass.
        rows.sort();
        rows
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.sorted) + self.fresh.capacity() * (size_of::<(CommandId, Remembered)>() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const HASH: RequestHash = RequestHash([7; 16]);

    fn id(number: u64) -> CommandId {
        CommandId(Uuid::new_v5(&Uuid::nil(), &number.to_be_bytes()))
    }

    fn recorded(command: CommandId, at: i64, remembered_for: RememberedFor) -> Metadata {
        Metadata {
            schema_version: crate::SCHEMA_VERSION,
            recorded_at: Timestamp(at),
            command_id: command,
            request_hash: HASH,
            remembered_for,
            index: 0,
            count: 1,
            actor: crate::Actor::System,
            payer: None,
            correlation: None,
        }
    }

    fn second(number: i64) -> RememberedFor {
        RememberedFor::DayFromKey(Timestamp(number * SECOND_MS))
    }

    const EPOCH: Timestamp = Timestamp(0);

    fn after_a_day(at: i64) -> Timestamp {
        Timestamp(at + KEY_LIFE_MS)
    }

    /// `count` settled commands, so many in each second.
    fn filled(count: u64, per_second: u64) -> Memory {
        let mut memory = Memory::default();
        for number in 0..count {
            let at = i64::try_from(number / per_second).expect("a second");
            memory.add(number, &recorded(id(number), at * SECOND_MS, second(at)));
            memory.settle(number);
            memory.let_time_pass(Timestamp(at * SECOND_MS));
        }
        memory
    }

    #[test]
    fn a_command_costs_less_than_forty_bytes_after_a_few_seconds() {
        assert_eq!(size_of::<Row>(), 32);
        let (count, per_second) = (200_000, 10_000);
        let mut memory = filled(count, per_second);
        let each = memory.bytes() as u64 / count;
        assert!((40..60).contains(&each), "{each} bytes where half of the seconds are open");
        memory.let_time_pass(Timestamp((count / per_second) as i64 * SECOND_MS + 10 * SECOND_MS));
        let each = memory.bytes() as u64 / count;
        assert!(each < 40, "{each} bytes for each command");
        for number in [0, 1, 9_999, 10_000, count - 1] {
            let at = second(i64::try_from(number / per_second).expect("a second"));
            let found = memory.find(id(number), at, EPOCH).expect("is remembered");
            assert!(found.revision == number && found.asked(HASH) && !found.asked(RequestHash([8; 16])));
        }
        assert_eq!(memory.find(id(count), second(0), EPOCH), None);
    }

    #[test]
    fn what_is_taken_back_was_never_there_and_seconds_go_as_a_whole() {
        let mut memory = filled(300, 100);
        memory.add(300, &recorded(id(300), 0, RememberedFor::Ever));
        memory.add(301, &recorded(id(301), 0, second(0)));
        memory.undo_from(301);
        assert_eq!(memory.find(id(301), second(0), EPOCH), None);
        memory.settle(300);
        memory.let_time_pass(after_a_day(SECOND_MS - 1));
        assert!(
            memory.find(id(99), second(0), EPOCH).is_some(),
            "the last moment of the second still counts"
        );
        memory.let_time_pass(after_a_day(SECOND_MS));
        let found = |number, at| memory.find(id(number), at, EPOCH).is_some();
        assert!(!found(99, second(0)) && found(100, second(1)));
        memory.let_time_pass(Timestamp(i64::MAX));
        assert!(
            memory.find(id(300), RememberedFor::Ever, EPOCH).is_some(),
            "a key of the world is kept for ever"
        );
    }

    #[test]
    fn a_key_that_says_no_time_is_known_by_when_its_command_was_recorded() {
        let mut memory = Memory::default();
        for (revision, at) in [(0, 10), (1, 20), (2, 30)] {
            memory.add(revision, &recorded(id(revision), at, RememberedFor::Day));
            memory.settle(revision);
        }
        let found = |memory: &Memory, number, horizon| {
            memory.find(id(number), RememberedFor::Day, Timestamp(horizon)).map(|it| it.revision)
        };
        assert_eq!((found(&memory, 1, 20), found(&memory, 1, 21)), (Some(1), None));
        // The same key once more, after its day: taken back, the first is still the one that an earlier moment finds.
        memory.add(3, &recorded(id(1), 40, RememberedFor::Day));
        assert_eq!(found(&memory, 1, 20), Some(3));
        memory.undo_from(3);
        assert_eq!(found(&memory, 1, 20), Some(1));
        memory.let_time_pass(after_a_day(21));
        assert_eq!((found(&memory, 1, 0), found(&memory, 2, 0)), (None, Some(2)));
        memory.let_time_pass(after_a_day(31));
        assert_eq!(memory.bytes() - memory.timeless.order.capacity() * size_of::<(CommandId, u64)>(), 0);
    }

    #[test]
    fn commands_that_come_late_to_a_packed_second_are_found_and_so_are_those_before() {
        let mut memory = filled(500, 500);
        memory.let_time_pass(Timestamp(60 * SECOND_MS));
        for number in 500..1_200 {
            memory.add(number, &recorded(id(number), 60 * SECOND_MS, second(0)));
            memory.settle(number);
        }
        for number in 0..1_200 {
            let found = memory.find(id(number), second(0), EPOCH).map(|it| it.revision);
            assert_eq!(found, Some(number));
        }
    }

    #[test]
    fn among_sorted_rows_each_is_found_and_nothing_else() {
        let even = |number: u64| CommandId(Uuid::from_u64_pair(number * 2, number));
        let spread = |count| -> Vec<CommandId> { (0..count).map(id).collect() };
        let crowded: Vec<CommandId> = (0..500).map(even).chain([CommandId(Uuid::max())]).collect();
        for mut ids in [vec![], spread(1), spread(2), spread(40), spread(5_000), crowded] {
            ids.sort();
            let row = Remembered { revision: 7, request: [0; 10] };
            let rows: Vec<Row> = ids.iter().map(|id| Row::new(*id, row)).collect();
            for id in &ids {
                let found = find_among(&rows, *id).expect("is found");
                assert_eq!(found.command, *id.0.as_bytes());
                for other in [id.0.as_u128().wrapping_sub(1), id.0.as_u128().wrapping_add(1)] {
                    let other = CommandId(Uuid::from_u128(other));
                    assert_eq!(find_among(&rows, other).is_some(), ids.contains(&other), "{other}");
                }
            }
            for other in [CommandId(Uuid::nil()), CommandId(Uuid::max()), id(1_000_000)] {
                assert_eq!(find_among(&rows, other).is_some(), ids.contains(&other), "{other}");
            }
        }
    }
}

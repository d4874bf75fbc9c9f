//! A disk in memory that can be killed, run full and lose its power.
//!
//! Each file and folder is kept twice: as the running system shows it, and as it is on the disk, with
//! the list of changes between the two. A sync makes the changes durable. A kill of the process loses
//! nothing. A power loss makes any part of the changes durable and forgets the rest: each sector by
//! itself, the length by itself, each name by itself, in no order. The failed sync of a file does the
//! same, and the running system goes on to show what was forgotten.
//!
//! Real systems promise more than this. Two of their promises are used. A sector is written as a whole
//! or not at all, so the few bytes of `acknowledged` are never half old and half new. And a folder
//! whose sync failed keeps its changes for the next sync: file systems log them, or stop.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frame::BLOCK_BYTES;

/// Smaller than a real one, so that small batches are torn as well.
const SECTOR_BYTES: usize = 64;
/// What Linux answers where a process has too many open files.
const EMFILE: i32 = 24;
const EIO: i32 = 5;

/// SplitMix64: a seed makes the same history on every machine.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(super) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

/// What goes wrong, by the number of the step: each change and each sync is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// The process is killed in this step, which may be half done.
    pub(super) killed_at: Option<u64>,
    /// A sync in these steps fails, and forgets what it did not make durable.
    pub(super) syncs_fail: Range<u64>,
    /// In these steps nothing can grow and no name can be added.
    pub(super) full: Range<u64>,
    /// Whether a full disk says so when it syncs, and not when it writes.
    pub(super) full_when_synced: bool,
    /// In these steps no file can be made, or opened to write.
    pub(super) no_handles: Range<u64>,
}

#[derive(Clone)]
pub(super) struct SimulatedDisk(Arc<Mutex<State>>);

pub(super) struct SimulatedFile {
    state: Arc<Mutex<State>>,
    node: usize,
}

struct State {
    nodes: Vec<Node>,
    random: Random,
    plan: Plan,
    step: u64,
    killed: bool,
}

enum Node {
    File(FileNode),
    Folder(FolderNode),
}

#[derive(Default)]
struct FileNode {
    shown: Vec<u8>,
    stored: Stored,
    unsynced: Vec<Change>,
}

#[derive(Clone, Default)]
struct Stored {
    /// May be longer or shorter than the length, as both are written on their own.
    bytes: Vec<u8>,
    length: usize,
}

enum Change {
    /// With the file's new length where the write made it longer.
    Write {
        offset: usize,
        bytes: Vec<u8>,
        grown_to: Option<usize>,
    },
    Length(usize),
}

type Names = BTreeMap<String, usize>;

#[derive(Default)]
struct FolderNode {
    shown: Names,
    stored: Names,
    unsynced: Vec<NameChange>,
}

enum NameChange {
    Added { name: String, node: usize },
    Moved { from: String, to: String, node: usize },
}

impl SimulatedDisk {
    /// An empty disk with a root folder.
    pub(super) fn new(seed: u64) -> Self {
        let state = State {
            nodes: vec![Node::Folder(FolderNode::default())],
            random: Random(seed),
            plan: Plan::default(),
            step: 0,
            killed: false,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// What goes wrong from now on; steps are counted from here.
    pub(super) fn plan(&self, plan: Plan) {
        let mut state = lock(&self.0);
        (state.plan, state.step) = (plan, 0);
    }

    pub(super) fn killed(&self) -> bool {
        lock(&self.0).killed
    }

    /// The process has gone and the system runs on. Nothing more goes wrong until the next plan.
    pub(super) fn restart_process(&self) {
        let mut state = lock(&self.0);
        (state.killed, state.plan) = (false, Plan::default());
    }

    /// The power went: what was not synced is there in part.
    pub(super) fn lose_power(&self) {
        self.restart_process();
        let State { nodes, random, .. } = &mut *lock(&self.0);
        for node in nodes {
            node.forget(random);
            match node {
                Node::File(file) => {
                    file.shown.clone_from(&file.stored.bytes);
                    file.shown.resize(file.stored.length, 0);
                }
                Node::Folder(folder) => folder.shown.clone_from(&folder.stored),
            }
        }
    }

    pub(super) fn is_folder(&self, path: &Path) -> bool {
        let state = lock(&self.0);
        state.find(path).is_ok_and(|node| matches!(state.nodes[node], Node::Folder(_)))
    }

    pub(super) fn names(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut state = lock(&self.0);
        let node = state.find(path)?;
        Ok(state.folder(node)?.shown.keys().cloned().collect())
    }

    pub(super) fn make_folder(&self, path: &Path) -> io::Result<()> {
        lock(&self.0).add(path, Node::Folder(FolderNode::default())).map(drop)
    }

    pub(super) fn open(&self, path: &Path) -> io::Result<SimulatedFile> {
        let state = lock(&self.0);
        Ok(SimulatedFile { node: state.find(path)?, state: Arc::clone(&self.0) })
    }

    pub(super) fn open_to_write(&self, path: &Path) -> io::Result<SimulatedFile> {
        lock(&self.0).check_handles()?;
        self.open(path)
    }

    pub(super) fn create(&self, path: &Path) -> io::Result<SimulatedFile> {
        let mut state = lock(&self.0);
        state.check_handles()?;
        let file = |node| SimulatedFile { node, state: Arc::clone(&self.0) };
        match state.find(path) {
            Ok(node) => {
                drop(state);
                file(node).set_len(0)?;
                Ok(file(node))
            }
            Err(_) => state.add(path, Node::File(FileNode::default())).map(file),
        }
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = lock(&self.0);
        let (folder, name) = state.find_parent(from)?;
        let (to_folder, to_name) = state.find_parent(to)?;
        assert_eq!(folder, to_folder, "a journal's files stay in its folder");
        let node = state.find(from)?;
        let half_done = state.step()?;
        state.check_room_for_a_name()?;
        if half_done.is_none_or(|_| state.random.one_in(2)) {
            let folder = state.folder(folder)?;
            let change = NameChange::Moved { from: name, to: to_name, node };
            change.apply(&mut folder.shown);
            folder.unsynced.push(change);
        }
        half_done.map_or(Ok(()), |Killed| Err(killed()))
    }
}

impl SimulatedFile {
    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.state).file(self.node)?.shown.len() as u64)
    }

    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = lock(&self.state);
        let shown = &state.file(self.node)?.shown;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(shown.len());
        let bytes = buffer.len().min(shown.len() - from);
        buffer[..bytes].copy_from_slice(&shown[from..from + bytes]);
        Ok(bytes)
    }

    pub(super) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = lock(&self.state);
        let half_done = state.step()?;
        let offset = offset as usize;
        let room = match state.is_full() && !state.plan.full_when_synced {
            true => state.file(self.node)?.shown.len().saturating_sub(offset).min(bytes.len()),
            false => bytes.len(),
        };
        let written = match half_done {
            Some(Killed) => state.random.below(room as u64 + 1) as usize,
            None => room,
        };
        if written > 0 {
            let file = state.file(self.node)?;
            let end = offset + written;
            let grown_to = (end > file.shown.len()).then_some(end);
            let change = Change::Write { offset, bytes: bytes[..written].to_vec(), grown_to };
            change.apply_to_bytes(&mut file.shown);
            file.unsynced.push(change);
        }
        match half_done {
            Some(Killed) => Err(killed()),
            None if written < bytes.len() => Err(io::ErrorKind::StorageFull.into()),
            None => Ok(()),
        }
    }

    /// A write that is durable when it returns, and that leaves alone what else is not synced. Where it fails or is killed,
    /// any part of it is durable.
    pub(super) fn write_through_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        assert_eq!((offset as usize % BLOCK_BYTES, bytes.len() % BLOCK_BYTES), (0, 0), "whole blocks");
        assert_eq!(bytes.as_ptr().align_offset(BLOCK_BYTES), 0, "from aligned memory");
        let unsynced = std::mem::take(&mut lock(&self.state).file(self.node)?.unsynced);
        let written = self.write_all_at(bytes, offset);
        let synced = if lock(&self.state).killed { Err(killed()) } else { self.sync() };
        let mut state = lock(&self.state);
        let State { nodes, random, .. } = &mut *state;
        if synced.is_err() {
            // What a kill has left of it comes to the disk in part.
            nodes[self.node].forget(random);
        }
        state.file(self.node)?.unsynced = unsynced;
        written.and(synced)
    }

    pub(super) fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.step()?.is_some() {
            return Err(killed());
        }
        let file = state.file(self.node)?;
        file.shown.resize(bytes as usize, 0);
        file.unsynced.push(Change::Length(bytes as usize));
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.step()?.is_some() {
            return Err(killed());
        }
        let full = state.is_full() && state.plan.full_when_synced;
        let broken = state.plan.syncs_fail.contains(&state.step);
        let State { nodes, random, .. } = &mut *state;
        let node = &mut nodes[self.node];
        if broken || (full && node.grows()) {
            node.fail_to_sync(random);
            let full = io::ErrorKind::StorageFull.into();
            return Err(if broken { io::Error::from_raw_os_error(EIO) } else { full });
        }
        node.sync();
        Ok(())
    }
}

/// The process ends within the step that is under way.
#[derive(Clone, Copy)]
struct Killed;

fn killed() -> io::Error {
    io::Error::other("the process was killed")
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Begins a step, which is the last one where the answer is `Killed`.
    fn step(&mut self) -> io::Result<Option<Killed>> {
        if self.killed {
            return Err(killed());
        }
        self.step += 1;
        self.killed = self.plan.killed_at == Some(self.step);
        Ok(self.killed.then_some(Killed))
    }

    fn is_full(&self) -> bool {
        self.plan.full.contains(&self.step)
    }

    fn check_handles(&self) -> io::Result<()> {
        match self.plan.no_handles.contains(&self.step) {
            true => Err(io::Error::from_raw_os_error(EMFILE)),
            false => Ok(()),
        }
    }

    fn check_room_for_a_name(&self) -> io::Result<()> {
        match self.is_full() && !self.plan.full_when_synced {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        path.components().filter(|part| matches!(part, Component::Normal(_))).try_fold(0, |node, part| {
            match &self.nodes[node] {
                Node::Folder(folder) => {
                    let name = text(part.as_os_str());
                    folder.shown.get(&name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
                }
                Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
            }
        })
    }

    fn find_parent(&self, path: &Path) -> io::Result<(usize, String)> {
        let parent = self.find(path.parent().unwrap_or(Path::new("/")))?;
        Ok((parent, text(path.file_name().unwrap_or_default())))
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        let (parent, name) = self.find_parent(path)?;
        let half_done = self.step()?;
        self.check_room_for_a_name()?;
        let number = self.nodes.len();
        if half_done.is_none_or(|_| self.random.one_in(2)) {
            self.nodes.push(node);
            let folder = self.folder(parent)?;
            let change = NameChange::Added { name, node: number };
            change.apply(&mut folder.shown);
            folder.unsynced.push(change);
        }
        half_done.map_or(Ok(number), |Killed| Err(killed()))
    }

    fn file(&mut self, node: usize) -> io::Result<&mut FileNode> {
        match &mut self.nodes[node] {
            Node::File(file) => Ok(file),
            Node::Folder(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn folder(&mut self, node: usize) -> io::Result<&mut FolderNode> {
        match &mut self.nodes[node] {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }
}

fn text(name: &OsStr) -> String {
    name.to_str().expect("tests use names that are text").to_owned()
}

impl Node {
    fn sync(&mut self) {
        match self {
            Self::File(file) => {
                for change in file.unsynced.drain(..) {
                    change.apply_to_bytes(&mut file.stored.bytes);
                    change.apply_to_length(&mut file.stored.length);
                }
            }
            Self::Folder(folder) => {
                for change in folder.unsynced.drain(..) {
                    change.apply(&mut folder.stored);
                }
            }
        }
    }

    /// Whether a sync needs room on the disk.
    fn grows(&self) -> bool {
        match self {
            Self::File(file) => {
                file.unsynced.iter().any(|change| matches!(change, Change::Write { grown_to: Some(_), .. }))
            }
            Self::Folder(folder) => !folder.unsynced.is_empty(),
        }
    }

    fn fail_to_sync(&mut self, random: &mut Random) {
        if matches!(self, Self::File(_)) {
            self.forget(random);
        }
    }

    /// Makes any part of the changes durable and forgets the rest.
    fn forget(&mut self, random: &mut Random) {
        match self {
            Self::File(file) => {
                let changes = std::mem::take(&mut file.unsynced);
                // Often all or nothing, which random parts alone would hardly ever be.
                let extreme = random.below(4);
                let mut pick = |count: usize| match extreme {
                    0 => 0,
                    1 => count,
                    _ => random.below(count as u64 + 1) as usize,
                };
                let mut versions = vec![file.stored.bytes.clone()];
                let mut lengths = vec![file.stored.length];
                for change in &changes {
                    let (mut bytes, mut length) =
                        (versions[versions.len() - 1].clone(), lengths[lengths.len() - 1]);
                    change.apply_to_bytes(&mut bytes);
                    change.apply_to_length(&mut length);
                    versions.push(bytes);
                    lengths.push(length);
                }
                let longest = versions.iter().map(Vec::len).max().unwrap_or(0);
                versions.iter_mut().for_each(|version| version.resize(longest, 0));
                let mut bytes = Vec::with_capacity(longest);
                for start in (0..longest).step_by(SECTOR_BYTES) {
                    let sector = start..longest.min(start + SECTOR_BYTES);
                    bytes.extend_from_slice(&versions[pick(changes.len())][sector]);
                }
                file.stored = Stored { bytes, length: lengths[pick(changes.len())] };
            }
            Self::Folder(folder) => {
                for change in std::mem::take(&mut folder.unsynced) {
                    if random.one_in(2) {
                        change.apply(&mut folder.stored);
                    }
                }
            }
        }
    }
}

impl Change {
    fn apply_to_bytes(&self, file: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes, .. } => {
                let end = offset + bytes.len();
                file.resize(file.len().max(end), 0);
                file[*offset..end].copy_from_slice(bytes);
            }
            Self::Length(length) => file.resize(*length, 0),
        }
    }

    fn apply_to_length(&self, length: &mut usize) {
        match self {
            Self::Write { grown_to, .. } => *length = grown_to.unwrap_or(*length),
            Self::Length(new) => *length = *new,
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Added { name, node } => {
                names.insert(name.clone(), *node);
            }
            Self::Moved { from, to, node } => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), *node);
            }
        }
    }
}

//! The thread that works ahead of the writer's: it makes the file of the next segment and writes zeros behind the log's
//! end, so that an append needs no new file and never waits for zeros.
//!
//! A frame that overwrites zeros changes nothing of the file but its bytes, so it becomes durable a third faster than one
//! that makes the file longer. The zeros have to be real: room that was only reserved is marked as written by
//! the first write, which costs the same as growing.
//!
//! The two threads never write to the same bytes: this one writes behind what was filled when its work was begun, and the
//! writer waits for it before it goes there. Work is done in the order in which it was begun.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use super::disk::DiskFile;
use super::error::{OpenError, is_full};
use super::folder::Folder;
use super::frame::FrameBuffer;

type Work = Box<dyn FnOnce() + Send>;

/// What the outcome of a piece of work comes through.
pub(super) type Outcome<T> = mpsc::Receiver<io::Result<T>>;

/// A segment's file, and how far it was written.
pub(super) struct Filled {
    file: Arc<DiskFile>,
    /// Up to here with frames and then zeros.
    pub(super) filled: u64,
    /// Up to where zeros are being written.
    filling: Option<(u64, Outcome<()>)>,
}

impl Filled {
    pub(super) fn new(file: DiskFile, filled: u64) -> Self {
        Self { file: Arc::new(file), filled, filling: None }
    }

    /// Writes a frame at the end of the log, which is durable when this returns.
    pub(super) fn write(&mut self, frame: &[u8], offset: u64) -> io::Result<()> {
        let end = offset.saturating_add(frame.len() as u64);
        if end > self.filled {
            match self.wait() {
                // The zeros found no room, but the frame may.
                Err(error) if is_full(&error) => self.cut(offset)?,
                outcome => outcome?,
            }
            self.filled = self.filled.max(end);
        }
        self.file.write_through_at(frame, offset)
    }

    /// Begins to write more zeros.
    pub(super) fn fill(&mut self, ahead: &Ahead, to: u64) {
        let (file, from) = (Arc::clone(&self.file), self.filled);
        self.filling = Some((to, ahead.begin(move || write_zeros(&file, from, to))));
    }

    /// Whether zeros are being written. Takes in those that have been.
    pub(super) fn is_filling(&mut self) -> io::Result<bool> {
        let Some((_, outcome)) = &self.filling else { return Ok(false) };
        match look(outcome) {
            Some(outcome) => self.take_in(outcome).map(|()| false),
            None => Ok(true),
        }
    }

    fn wait(&mut self) -> io::Result<()> {
        match &self.filling {
            Some((_, outcome)) => {
                let outcome = wait(outcome);
                self.take_in(outcome)
            }
            None => Ok(()),
        }
    }

    fn take_in(&mut self, outcome: io::Result<()>) -> io::Result<()> {
        let filling = self.filling.take();
        outcome?;
        self.filled = filling.map_or(self.filled, |(to, _)| to);
        Ok(())
    }

    /// Takes away all that was written from `offset` on.
    pub(super) fn cut(&mut self, offset: u64) -> io::Result<()> {
        // Whether the zeros could be written no longer matters, but they must not come behind the new end.
        let _ = self.wait();
        self.file.set_len(offset)?;
        self.file.sync_all()?;
        self.filled = offset;
        Ok(())
    }
}

pub(super) struct Ahead {
    /// `None` where a simulated disk is to see the same steps again: then work is done where it is begun.
    thread: Option<(mpsc::Sender<Work>, JoinHandle<()>)>,
}

impl Ahead {
    pub(super) fn new(folder: &Folder) -> Result<Self, OpenError> {
        if !folder.disk.is_real() {
            return Ok(Self { thread: None });
        }
        let (begin, begun) = mpsc::channel::<Work>();
        let thread = std::thread::Builder::new()
            .name("journal-ahead".into())
            .spawn(move || begun.into_iter().for_each(|work| work()))
            .map_err(OpenError::io("start the thread that works ahead", &folder.path))?;
        Ok(Self { thread: Some((begin, thread)) })
    }

    /// Makes the empty file that becomes the next segment.
    pub(super) fn make_next(&self, folder: &Arc<Folder>) -> Outcome<DiskFile> {
        let folder = Arc::clone(folder);
        self.begin(move || next_segment(&folder))
    }

    fn begin<T: Send + 'static>(&self, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Outcome<T> {
        let (done, outcome) = mpsc::sync_channel(1);
        // The writer may not ask for the outcome any more.
        let work = move || drop(done.send(work()));
        match &self.thread {
            // It ends only with this, or by a panic. Then the outcome tells it.
            Some((begin, _)) => drop(begin.send(Box::new(work))),
            None => work(),
        }
        outcome
    }
}

impl Drop for Ahead {
    /// Nothing is written any more once the writer has gone.
    fn drop(&mut self) {
        if let Some((begin, thread)) = self.thread.take() {
            drop(begin);
            let _ = thread.join();
        }
    }
}

/// Waits for the outcome of work that was begun.
pub(super) fn wait<T>(outcome: &Outcome<T>) -> io::Result<T> {
    outcome.recv().unwrap_or_else(|_| Err(ended()))
}

/// The outcome, if it is there.
pub(super) fn look<T>(outcome: &Outcome<T>) -> Option<io::Result<T>> {
    match outcome.try_recv() {
        Ok(outcome) => Some(outcome),
        Err(mpsc::TryRecvError::Empty) => None,
        Err(mpsc::TryRecvError::Disconnected) => Some(Err(ended())),
    }
}

fn ended() -> io::Error {
    io::Error::other("the thread that works ahead has ended")
}

pub(super) fn next_segment(folder: &Folder) -> io::Result<DiskFile> {
    let file = folder.disk.create_log(&folder.next_segment())?;
    file.sync_all()?;
    Ok(file)
}

fn write_zeros(file: &DiskFile, mut from: u64, to: u64) -> io::Result<()> {
    let zeros = FrameBuffer::zeros(to - from);
    while from < to {
        let bytes = (to - from).min(zeros.bytes().len() as u64);
        file.write_through_at(&zeros.bytes()[..bytes as usize], from)?;
        from += bytes;
    }
    Ok(())
}

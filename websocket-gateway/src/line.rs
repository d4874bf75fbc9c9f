//! The way to one socket: the frames that wait to be written into it, and why it is closed.
//!
//! Nobody waits for a reader: a frame is taken at once, or the socket is closed. The queue takes memory only while
//! frames wait in it.

use crate::READ_BUFFER_BYTES;
use crate::protocol::Close;
use axum::body::Bytes;
use axum::extract::ws::Utf8Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::Notify;

/// The longest that the protocol allows.
const LONG_PING_BYTES: usize = 125;
/// As many long pongs as fill a read buffer.
const LONG_PINGS: u8 = (READ_BUFFER_BYTES / LONG_PING_BYTES + 1) as u8;

/// Decides once why a socket is closed; the first reason stays.
#[derive(Clone)]
pub(crate) struct Closer(Arc<Queue>);

impl Closer {
    pub fn close(&self, close: Close) {
        if self.0.closing.set(close).is_ok() {
            self.0.decided.notify_waiters();
            if close == Close::SLOW_READER {
                metrics::counter!("muneem_websocket_slow_readers_total").increment(1);
            }
        }
    }

    /// The reason, if there is one by now.
    pub fn reason(&self) -> Option<Close> {
        self.0.closing.get().copied()
    }

    /// Waits for a reason.
    pub async fn decided(&self) -> Close {
        loop {
            // Made before the look: a decision that comes in between wakes it.
            let decided = self.0.decided.notified();
            match self.reason() {
                Some(close) => return close,
                None => decided.await,
            }
        }
    }
}

/// For whoever has something to tell the socket.
#[derive(Clone)]
pub(crate) struct Line {
    queue: Arc<Queue>,
    pub closer: Closer,
}

/// For the one who writes into the socket.
pub(crate) struct Frames(Arc<Queue>);

struct Queue {
    waiting: Mutex<Waiting>,
    came: Notify,
    capacity: usize,
    closing: OnceLock<Close>,
    decided: Notify,
    /// Pings that are still to be long ones.
    long_pings: AtomicU8,
}

#[derive(Default)]
struct Waiting {
    frames: VecDeque<Utf8Bytes>,
    /// Nobody writes them any more.
    ended: bool,
}

impl Line {
    pub fn new(capacity: usize) -> (Line, Frames) {
        let queue = Arc::new(Queue {
            waiting: Mutex::default(),
            came: Notify::new(),
            capacity: capacity.max(1),
            closing: OnceLock::new(),
            decided: Notify::new(),
            long_pings: AtomicU8::new(0),
        });
        (Line { queue: queue.clone(), closer: Closer(queue.clone()) }, Frames(queue))
    }

    /// Whether the frame was taken. A full queue closes the socket.
    pub fn send(&self, frame: Utf8Bytes) -> bool {
        let mut waiting = self.queue.lock();
        if waiting.ended {
            return false;
        }
        if waiting.frames.len() >= self.queue.capacity {
            drop(waiting);
            self.closer.close(Close::SLOW_READER);
            return false;
        }
        waiting.frames.push_back(frame);
        drop(waiting);
        self.queue.came.notify_one();
        true
    }
}

impl Line {
    /// The client has sent a long frame. The library reads on in what is left of the buffer of that frame, and lets go
    /// of it once it is full: the next pings are so long that the pongs fill it soon.
    pub fn give_back_the_buffer(&self) {
        self.queue.long_pings.store(LONG_PINGS, Ordering::Relaxed);
    }
}

impl Frames {
    /// What the next ping carries, and with it the pong that answers it.
    pub fn ping(&mut self) -> Bytes {
        let left = &self.0.long_pings;
        match left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => Bytes::from_static(&[0; LONG_PING_BYTES]),
            Err(_) => Bytes::new(),
        }
    }

    pub async fn next(&mut self) -> Utf8Bytes {
        loop {
            if let Some(frame) = self.try_next() {
                return frame;
            }
            self.0.came.notified().await;
        }
    }

    pub fn try_next(&mut self) -> Option<Utf8Bytes> {
        let mut waiting = self.0.lock();
        let frame = waiting.frames.pop_front();
        if waiting.frames.is_empty() {
            waiting.frames = VecDeque::new();
        }
        frame
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        *self.0.lock() = Waiting { frames: VecDeque::new(), ended: true };
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_in_order_and_leave_no_room_behind() {
        let (line, mut frames) = Line::new(100);
        assert!((0..100).all(|number| line.send(number.to_string().into())));
        for number in 0..100 {
            assert_eq!(frames.next().await, number.to_string());
        }
        assert_eq!(frames.0.lock().frames.capacity(), 0, "an idle socket keeps no queue");
        let waiting = tokio::spawn(async move { frames.next().await });
        tokio::task::yield_now().await;
        assert!(line.send("late".into()));
        assert_eq!(waiting.await.expect("it comes"), "late");
    }

    #[test]
    fn pings_are_long_while_a_long_frame_s_buffer_is_given_back_and_empty_otherwise() {
        let (line, mut frames) = Line::new(1);
        assert!(frames.ping().is_empty());
        line.give_back_the_buffer();
        let long: usize = (0..LONG_PINGS).map(|_| frames.ping().len()).sum();
        assert!(long >= READ_BUFFER_BYTES, "{long} bytes of pongs");
        assert!(frames.ping().is_empty());
    }

    #[test]
    fn a_full_queue_closes_the_socket_and_one_that_nobody_writes_takes_nothing() {
        let (line, frames) = Line::new(1);
        assert_eq!([(); 2].map(|()| line.send("x".into())), [true, false]);
        assert_eq!(line.closer.reason(), Some(Close::SLOW_READER));
        drop(frames);
        assert!(!line.send("x".into()));
        assert!(line.queue.lock().frames.is_empty());
    }

    #[tokio::test]
    async fn the_first_reason_to_close_stays_and_wakes_all_who_wait() {
        let (line, _frames) = Line::new(1);
        let waiting = [(); 2]
            .map(|()| line.closer.clone())
            .map(|closer| tokio::spawn(async move { closer.decided().await }));
        tokio::task::yield_now().await;
        line.closer.close(Close::SILENT);
        line.closer.close(Close::SHUTTING_DOWN);
        assert_eq!(line.closer.reason(), Some(Close::SILENT));
        for waiting in waiting {
            assert_eq!(waiting.await.expect("it ends"), Close::SILENT);
        }
        assert_eq!(line.closer.decided().await, Close::SILENT, "those who ask late hear it too");
    }
}

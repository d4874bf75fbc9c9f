//! The way to one socket: the frames that wait to be written into it, and why it is closed.
//!
//! Nobody waits for a reader: a frame is taken at once, or the socket is closed. The queue takes memory only while
//! frames wait in it.

use crate::protocol::Close;
use axum::extract::ws::Utf8Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// Decides once why a socket is closed; the first reason stays.
#[derive(Clone)]
pub(crate) struct Closer(watch::Sender<Option<Close>>);

impl Closer {
    pub fn close(&self, close: Close) {
        let first = self.0.send_if_modified(|decided| {
            let first = decided.is_none();
            decided.get_or_insert(close);
            first
        });
        if first && close == Close::SLOW_READER {
            metrics::counter!("muneem_websocket_slow_readers_total").increment(1);
        }
    }

    pub fn watch(&self) -> watch::Receiver<Option<Close>> {
        self.0.subscribe()
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
}

#[derive(Default)]
struct Waiting {
    frames: VecDeque<Utf8Bytes>,
    /// Nobody writes them any more.
    ended: bool,
}

impl Line {
    pub fn new(capacity: usize) -> (Line, Frames) {
        let queue =
            Arc::new(Queue { waiting: Mutex::default(), came: Notify::new(), capacity: capacity.max(1) });
        (Line { queue: queue.clone(), closer: Closer(watch::Sender::new(None)) }, Frames(queue))
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

impl Frames {
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
    fn a_full_queue_closes_the_socket_and_one_that_nobody_writes_takes_nothing() {
        let (line, frames) = Line::new(1);
        assert_eq!([(); 2].map(|()| line.send("x".into())), [true, false]);
        assert_eq!(*line.closer.watch().borrow(), Some(Close::SLOW_READER));
        drop(frames);
        assert!(!line.send("x".into()));
        assert!(line.queue.lock().frames.is_empty());
    }

    #[test]
    fn the_first_reason_to_close_stays() {
        let (line, _frames) = Line::new(1);
        line.closer.close(Close::SILENT);
        line.closer.close(Close::SHUTTING_DOWN);
        assert_eq!(*line.closer.watch().borrow(), Some(Close::SILENT));
    }
}

//! What waits to be decided, and what was decided together.

use crate::ledger::{ExecuteError, Receipt};
use crate::published::Published;
use ledger_core::{Prepared, State, Timestamp};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{mpsc, oneshot};

/// Commands in a batch at the most.
const BATCH_REQUESTS: usize = 4_096;
/// Bytes of events in a batch, after which it takes no further command: well below what stores take.
const BATCH_BYTES: usize = 512 * 1024;

pub(crate) type Ask = Box<dyn Fn(&State, Timestamp) -> Answer + Send>;
pub(crate) type Answer = Box<dyn Any + Send>;
pub(crate) type Reply = oneshot::Sender<Result<Receipt, ExecuteError>>;

pub(crate) enum Request {
    Execute {
        command: Box<Prepared>,
        reply: Reply,
    },
    /// Commands that are decided one after the other, with nothing in between.
    Together(Vec<(Box<Prepared>, Reply)>),
    Query {
        ask: Ask,
        reply: oneshot::Sender<Result<Answer, ExecuteError>>,
    },
}

impl Request {
    /// How many places in the line it takes.
    pub fn places(&self) -> usize {
        match self {
            Request::Together(commands) => commands.len(),
            Request::Execute { .. } | Request::Query { .. } => 1,
        }
    }
}

/// The writer's end of the line.
pub(crate) struct Inbox {
    pub requests: mpsc::Receiver<Request>,
    /// Places that are taken.
    pub in_line: Arc<AtomicUsize>,
}

impl Inbox {
    pub async fn recv(&mut self) -> Option<Request> {
        let request = self.requests.recv().await;
        request.inspect(|request| self.leave(request))
    }

    pub fn try_recv(&mut self) -> Option<Request> {
        self.requests.try_recv().ok().inspect(|request| self.leave(request))
    }

    fn leave(&self, request: &Request) {
        self.in_line.fetch_sub(request.places(), Ordering::Relaxed);
    }
}

/// A request that has to be decided once more.
pub(crate) struct Queued {
    pub request: Request,
    /// Whether it gets a batch to itself.
    pub alone: bool,
}

/// A request with the answer that it gets once the state that it was decided on is durable.
pub(crate) enum Waiting {
    Execute(Box<Prepared>, Reply, Result<Receipt, ExecuteError>),
    Query(Ask, oneshot::Sender<Result<Answer, ExecuteError>>, Answer),
}

impl Waiting {
    pub fn release(self) {
        // A caller that has gone away needs no answer.
        match self {
            Waiting::Execute(_, reply, outcome) => drop(reply.send(outcome)),
            Waiting::Query(_, reply, answer) => drop(reply.send(Ok(answer))),
        }
    }

    /// Whether events of it are in the batch.
    pub fn appends(&self) -> bool {
        matches!(self, Waiting::Execute(_, _, Ok(Receipt { recorded: true, .. })))
    }

    pub fn into_request(self) -> Request {
        match self {
            Waiting::Execute(command, reply, _) => Request::Execute { command, reply },
            Waiting::Query(ask, reply, _) => Request::Query { ask, reply },
        }
    }
}

/// What was decided together.
#[derive(Default)]
pub(crate) struct Batch {
    pub published: Published,
    pub encoded: event_store::Batch,
    pub waiting: Vec<Waiting>,
    /// Whether it belongs to one command: the store has refused it together with others.
    pub alone: bool,
}

impl Batch {
    pub fn has_room(&self) -> bool {
        let is_full = self.waiting.len() >= BATCH_REQUESTS || self.encoded.body().len() >= BATCH_BYTES;
        self.waiting.is_empty() || !(is_full || self.alone)
    }

    /// The requests, in order, to be decided once more.
    pub fn into_queued(self) -> impl Iterator<Item = Queued> {
        let alone = self.alone;
        self.waiting.into_iter().map(move |waiting| Queued { alone, request: waiting.into_request() })
    }
}

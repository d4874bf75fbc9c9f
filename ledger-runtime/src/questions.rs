//! Questions that come while other nodes write.
//!
//! A question is answered by a state that holds all that was durable when it came. So the store is asked for its end, the
//! journal is followed up to there, and then the question is answered, however far the journal has gone on meanwhile.

use crate::batch::{Answer, Ask, Request};
use crate::health::Health;
use crate::ledger::ExecuteError;
use crate::storing::end_of;
use event_store::EventStore;
use ledger_core::{State, Timestamp};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Looks for the number of durable events.
pub(crate) type Looking = Pin<Box<dyn Future<Output = Result<u64, String>> + Send>>;

pub(crate) struct Question {
    ask: Ask,
    reply: oneshot::Sender<Result<Answer, ExecuteError>>,
}

impl Question {
    /// The question, if the request is one.
    pub fn of(request: Request) -> Result<Question, Request> {
        match request {
            Request::Query { ask, reply } => Ok(Question { ask, reply }),
            command => Err(command),
        }
    }

    pub fn answer(self, state: &State, at: Timestamp) {
        let answer = catch_unwind(AssertUnwindSafe(|| (self.ask)(state, at)));
        drop(self.reply.send(answer.map_err(|_| ExecuteError::Fault)));
    }
}

impl From<Question> for Request {
    fn from(Question { ask, reply }: Question) -> Request {
        Request::Query { ask, reply }
    }
}

#[derive(Default)]
pub(crate) struct Questions {
    /// For which the end has not been looked for yet.
    new: Vec<Question>,
    waiting: Vec<Question>,
}

impl Questions {
    pub fn push(&mut self, question: Question) {
        self.new.push(question);
    }

    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.waiting.is_empty()
    }

    /// Looks for the end, if there is a question that waits for that.
    pub fn look(&mut self, store: &Arc<dyn EventStore>, health: &Health) -> Option<Looking> {
        if self.new.is_empty() || !self.waiting.is_empty() {
            return None;
        }
        std::mem::swap(&mut self.new, &mut self.waiting);
        let (store, health) = (store.clone(), health.clone());
        Some(Box::pin(async move { end_of(store.as_ref(), &health).await }))
    }

    /// Those for which the end was looked for.
    pub fn take(&mut self) -> Vec<Question> {
        std::mem::take(&mut self.waiting)
    }
}

//! A connection to Redis that outlives a restart of Redis.

use redis::aio::{ConnectionLike, ConnectionManager};
use redis::{Cmd, Pipeline, RedisFuture, Value};

/// Sends a request once more when the connection turns out to be lost. The manager opens a new connection only after a
/// request has failed, and without this the first request after a restart would be the one that fails.
///
/// A request may so be executed twice, if its answer was lost: a hit may be counted twice, everything else here is the
/// same when repeated.
#[derive(Clone)]
pub(crate) struct Reconnecting(ConnectionManager);

impl Reconnecting {
    pub fn new(manager: ConnectionManager) -> Reconnecting {
        Reconnecting(manager)
    }
}

impl ConnectionLike for Reconnecting {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            match self.0.req_packed_command(command).await {
                Err(fault) if fault.is_unrecoverable_error() => self.0.req_packed_command(command).await,
                answered => answered,
            }
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            match self.0.req_packed_commands(pipeline, offset, count).await {
                Err(fault) if fault.is_unrecoverable_error() => {
                    self.0.req_packed_commands(pipeline, offset, count).await
                }
                answered => answered,
            }
        })
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}

//! One client of the database, with a runtime of its own.
//!
//! The client leaves tasks, streams and connections behind where a server falls silent, and nothing of it can be
//! closed. So all of it runs in a runtime that ends with the link.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kurrentdb::{
    BatchAppendClient, BatchAppendOptions, Client, DeleteStreamOptions, Error, EventData, ReadStreamOptions,
    StreamPosition, StreamState,
};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::EventStoreDbAddress;
use super::fault::Fault;
use crate::RecordedEvent;

pub(super) struct Link {
    address: EventStoreDbAddress,
    client: Client,
    /// `None` only while the link is dropped.
    runtime: Option<Runtime>,
}

/// Which events to read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// The last one.
    Last,
    /// So many, from this revision on.
    From(u64, usize),
}

impl Link {
    /// A client that has not connected yet. Reads certificates from disk.
    pub(super) async fn make(address: &EventStoreDbAddress) -> Result<Self, String> {
        let address = address.clone();
        let made = spawn_blocking(move || {
            let mut runtime = Builder::new_multi_thread();
            let runtime = runtime.worker_threads(1).thread_name("eventstoredb").enable_all().build();
            let runtime = runtime.map_err(|fault| fault.to_string())?;
            let client = Client::with_runtime_handle(runtime.handle().clone(), address.settings.clone());
            let client = client.map_err(|fault| fault.to_string())?;
            Ok(Self { address, client, runtime: Some(runtime) })
        });
        // The client panics at a file of certificates that holds something else.
        made.await.unwrap_or_else(|fault| Err(fault.to_string()))
    }

    /// Finds the node that leads; answers the server's version.
    pub(super) async fn meet(&self, within: Duration) -> Result<String, Fault> {
        let client = self.client.clone();
        let info = self.run(within, async move { client.server_info().await }).await?;
        Ok(info.version().to_string())
    }

    /// A session that takes appends one after another, for as long as none fails.
    pub(super) async fn session(&self, within: Duration) -> Result<Arc<BatchAppendClient>, Fault> {
        let client = self.client.clone();
        let options = match self.address.credentials.clone() {
            Some(known) => BatchAppendOptions::default().authenticated(known),
            None => BatchAppendOptions::default(),
        };
        self.run(within, async move { client.batch_append(&options).await.map(Arc::new) }).await
    }

    /// The revision of the last event of the batch.
    pub(super) async fn append(
        &self,
        session: Arc<BatchAppendClient>,
        expected: StreamState,
        events: Vec<EventData>,
        within: Duration,
    ) -> Result<Option<u64>, Fault> {
        let stream = self.address.stream.clone();
        let appended = async move { session.append_to_stream(stream, expected, events).await };
        Ok(self.run(within, appended).await?.current_revision())
    }

    /// In the order of their revisions; none where there is no such stream.
    pub(super) async fn read(&self, part: Part, within: Duration) -> Result<Vec<RecordedEvent>, Fault> {
        let (client, stream) = (self.client.clone(), self.address.stream.clone());
        let options = ReadStreamOptions::default();
        let (options, count) = match part {
            Part::Last => (options.position(StreamPosition::End), 1),
            Part::From(from, count) => (options.position(StreamPosition::Position(from)), count),
        };
        let mut options = options.max_count(count);
        if let Some(known) = self.address.credentials.clone() {
            options = options.authenticated(known);
        }
        let read = async move {
            let mut events = Vec::new();
            let mut reading = client.read_stream(stream, &options).await?;
            while let Some(read) = reading.next().await? {
                let unresolved = || Error::InternalParsingError("an event without its content".into());
                let event = read.event.ok_or_else(unresolved)?;
                events.push(RecordedEvent {
                    revision: event.revision,
                    id: event.id,
                    kind: event.event_type,
                    data: event.data.into(),
                    metadata: event.custom_metadata.into(),
                });
            }
            Ok(events)
        };
        let read = async move {
            match read.await {
                Err(Error::ResourceNotFound) => Ok(Vec::new()),
                other => other,
            }
        };
        self.run(within, read).await
    }

    /// Deletes the stream so that its name can be used again; its space is free after the next scavenge.
    pub(super) async fn delete(&self, within: Duration) -> Result<(), Fault> {
        let (client, stream) = (self.client.clone(), self.address.stream.clone());
        let options = match self.address.credentials.clone() {
            Some(known) => DeleteStreamOptions::default().authenticated(known),
            None => DeleteStreamOptions::default(),
        };
        self.run(within, async move { client.delete_stream(stream, &options).await.map(|_| ()) }).await
    }

    /// Does the work in the client's runtime. It ends there when it takes too long, or when nobody waits for it
    /// any more.
    async fn run<T: Send + 'static>(
        &self,
        within: Duration,
        work: impl Future<Output = kurrentdb::Result<T>> + Send + 'static,
    ) -> Result<T, Fault> {
        let ended = || Fault::Failed("the client has ended".into());
        let mut running = JoinSet::new();
        running.spawn_on(work, self.runtime.as_ref().ok_or_else(ended)?.handle());
        match timeout(within, running.join_next()).await {
            Ok(Some(Ok(done))) => Ok(done?),
            // The client panics at answers that it does not expect.
            Ok(Some(Err(fault))) => Err(Fault::Failed(fault.to_string())),
            Ok(None) => Err(ended()),
            Err(_) => Err(Fault::Failed(format!("no answer within {within:?}"))),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

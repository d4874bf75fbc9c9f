//! The one task of a store that learns how far the stream is.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use super::Stream;
use crate::ReadError;

/// The pauses between two tries at a server that does not answer grow from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// Whoever waits notices nothing of a connection that is replaced at once, and is told of a server that is away.
pub(super) async fn run(stream: Arc<Stream>, look_every: Duration) {
    let mut pause = FIRST_PAUSE;
    let mut told = false;
    loop {
        let mut listened = false;
        let Err(fault) = listen(&stream, look_every, &mut listened).await;
        if listened {
            (pause, told) = (FIRST_PAUSE, false);
        } else {
            stream.away(&fault);
        }
        if !told {
            told = true;
            warn!(store = %stream.address, %fault, "the end of the journal is not known; asking again");
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

async fn listen(stream: &Stream, look_every: Duration, listened: &mut bool) -> Result<Infallible, ReadError> {
    let unavailable = |fault: sqlx::Error| ReadError::Unavailable(fault.to_string());
    let mut listener = PgListener::connect_with(&stream.pool).await.map_err(unavailable)?;
    listener.eager_reconnect(false);
    listener.listen(&stream.statements.channel).await.map_err(unavailable)?;
    // The first tick comes at once: what was appended before this listened is found too.
    let mut look = interval(look_every);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            notified = listener.try_recv() => match notified.map_err(unavailable)? {
                Some(notification) => {
                    if let Ok(revision) = notification.payload().parse() {
                        stream.saw(revision);
                    }
                }
                None => return Err(ReadError::Unavailable("the connection is lost".into())),
            },
            _ = look.tick() => {
                stream.head().await?;
                if !*listened {
                    *listened = true;
                    info!(store = %stream.address, "following the journal");
                }
            }
        }
    }
}

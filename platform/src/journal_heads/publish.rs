//! Heads are published where only others can remove them: a head that lies beside the journal goes with it.

use super::kept::{LOOKED_AT, name_of};
use super::{Inner, KeptHeads, SignedHead, TreeFault};
use crate::clock;
use integrations::head_bucket::HeadBucket;
use integrations::head_webhook::HeadWebhook;
use integrity::{Head, KeptHead, origin};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// How many heads are published in one go.
const AT_ONCE: i64 = 100;

/// A place that heads are published to.
#[derive(Clone, PartialEq, Eq)]
pub enum Destination {
    /// A folder: at best a disk of another machine, or one that is written once.
    Folder(PathBuf),
    /// Each head is posted to this address.
    Webhook(String),
    /// A bucket at S3, and what stands before the names in it.
    Bucket { bucket: String, prefix: String },
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Destination, String> {
        let loopback = ["http://127.0.0.1", "http://[::1]", "http://localhost"];
        match text.split_once("://") {
            None if text.is_empty() => Err("names no place".to_owned()),
            None => Ok(Destination::Folder(text.into())),
            Some(("s3", place)) => match place.split_once('/').unwrap_or((place, "")) {
                ("", _) => Err("an s3 address names its bucket: s3://bucket/folder".to_owned()),
                (bucket, prefix) => {
                    let (bucket, prefix) = (bucket.to_owned(), prefix.trim_end_matches('/').to_owned());
                    Ok(Destination::Bucket { bucket, prefix })
                }
            },
            Some(("https", host)) if !host.is_empty() => Ok(Destination::Webhook(text.to_owned())),
            Some(("http", _)) if loopback.iter().any(|it| text.starts_with(it)) => {
                Ok(Destination::Webhook(text.to_owned()))
            }
            Some(_) => Err("a place is a folder, an https address or s3://bucket/folder".to_owned()),
        }
    }
}

/// The address of a webhook may hold a token.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Folder(folder) => write!(f, "the folder {}", folder.display()),
            Destination::Webhook(_) => f.write_str("the webhook"),
            Destination::Bucket { bucket, .. } => write!(f, "the bucket {bucket}"),
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a head was not published; it is tried again.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct PublishError {
    place: String,
    fault: String,
}

/// Publishes heads to all places.
#[derive(Clone, Default)]
pub struct Publisher(Vec<Place>);

#[derive(Clone)]
struct Place {
    destination: Destination,
    taker: Taker,
}

#[derive(Clone)]
enum Taker {
    Folder(PathBuf),
    Webhook(HeadWebhook),
    Bucket(HeadBucket),
}

impl Publisher {
    /// # Errors
    /// When no HTTP client can be made, or a bucket lacks its settings.
    pub fn new(destinations: &[Destination]) -> Result<Publisher, PublishError> {
        let place = |destination: &Destination| {
            let taker = match destination {
                Destination::Folder(folder) => Taker::Folder(folder.clone()),
                Destination::Webhook(url) => {
                    Taker::Webhook(HeadWebhook::new(url).map_err(|fault| failed(destination, fault))?)
                }
                Destination::Bucket { bucket, prefix } => Taker::Bucket(
                    HeadBucket::new(bucket, prefix, std::env::vars())
                        .map_err(|fault| failed(destination, fault))?,
                ),
            };
            Ok(Place { destination: destination.clone(), taker })
        };
        destinations.iter().map(place).collect::<Result<_, _>>().map(Publisher)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The largest heads in each folder and bucket.
    pub(super) async fn largest(&self, origin: &str) -> Result<Vec<Vec<KeptHead>>, TreeFault> {
        let mut heads = Vec::new();
        for Place { destination, taker } in &self.0 {
            match taker {
                Taker::Folder(folder) => {
                    let kept = KeptHeads::new(folder, origin);
                    let largest = tokio::task::spawn_blocking(move || kept.largest()).await;
                    let largest = largest.map_err(|fault| TreeFault::Outage(fault.to_string()))?;
                    heads.push(largest.map_err(|fault| failed(destination, fault))?);
                }
                Taker::Bucket(bucket) => {
                    let last = bucket.last(origin, LOOKED_AT).await;
                    let last = last.map_err(|fault| failed(destination, fault))?;
                    heads.push(last.into_iter().map(|(place, note)| KeptHead { note, place }).collect());
                }
                Taker::Webhook(_) => {}
            }
        }
        Ok(heads)
    }
}

impl Place {
    async fn publish(&self, origin: &str, signed: &SignedHead) -> Result<(), PublishError> {
        let Place { destination, taker } = self;
        let failed = |fault: &dyn fmt::Display| failed(destination, fault);
        match taker {
            Taker::Webhook(webhook) => webhook.send(&signed.note).await.map_err(|fault| failed(&fault))?,
            Taker::Folder(folder) => {
                let kept = KeptHeads::new(folder, origin);
                let head = Head::read(&signed.note).map_err(|fault| failed(&fault))?;
                let signed_at = signed.signed_at;
                let keep = tokio::task::spawn_blocking(move || kept.keep(&head, signed_at)).await;
                keep.map_err(|fault| failed(&fault))?.map_err(|fault| failed(&fault))?;
            }
            Taker::Bucket(bucket) => {
                let head = Head::read(&signed.note).map_err(|fault| failed(&fault))?;
                let name = format!("{origin}/{}", name_of(&head, signed.signed_at));
                bucket.keep(&name, &signed.note).await.map_err(|fault| failed(&fault))?;
            }
        }
        Ok(())
    }
}

fn failed(place: &Destination, fault: impl fmt::Display) -> PublishError {
    PublishError { place: place.to_string(), fault: fault.to_string() }
}

#[derive(sqlx::FromRow)]
struct Unpublished {
    history: i32,
    #[sqlx(flatten)]
    head: SignedHead,
}

const UNPUBLISHED: &str =
    "SELECT history, id, size, root, note, signed_at, published_at FROM app.journal_heads
     WHERE published_at IS NULL ORDER BY history, size LIMIT $1";

/// What became of heads that were due.
pub(super) enum Published {
    All,
    /// There are more.
    Some,
}

impl Inner {
    /// Publishes heads that are not published yet, the oldest first. What is published twice, after a crash in between, is the
    /// same. A place that does not take one is left alone for this time, and the others get theirs.
    pub(super) async fn publish(&self) -> Result<Published, TreeFault> {
        let publisher = &self.settings.publisher;
        if publisher.is_empty() {
            return Ok(Published::All);
        }
        let due: Vec<Unpublished> = sqlx::query_as(UNPUBLISHED).bind(AT_ONCE).fetch_all(&self.pool).await?;
        let (mut places, mut failed) = (publisher.0.iter().collect::<Vec<_>>(), None);
        for Unpublished { history, head } in &due {
            let origin = origin(self.journal, history.unsigned_abs());
            let mut taking = Vec::new();
            for place in places {
                match place.publish(&origin, head).await {
                    Ok(()) => taking.push(place),
                    Err(fault) => failed = failed.or(Some(fault)),
                }
            }
            places = taking;
            if failed.is_some() {
                continue;
            }
            sqlx::query("UPDATE app.journal_heads SET published_at = $2 WHERE id = $1")
                .bind(head.id)
                .bind(clock::now())
                .execute(&self.pool)
                .await?;
        }
        if let Some(fault) = failed {
            return Err(fault.into());
        }
        let all = (due.len() as i64) < AT_ONCE;
        Ok(if all { Published::All } else { Published::Some })
    }
}

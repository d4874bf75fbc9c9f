//! A bucket for signed heads, at Amazon S3 or whatever speaks as it does: best one with versions or an object lock, which
//! whoever writes cannot empty. Keys, region and endpoint come from the usual variables: `AWS_ACCESS_KEY_ID`,
//! `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`.

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig};
use std::sync::Arc;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a head was not kept, or heads could not be read; it is tried again later.
#[derive(Debug, thiserror::Error)]
pub enum HeadBucketError {
    #[error("the bucket cannot be used: {0}")]
    Settings(String),
    #[error("the bucket did not answer as it should: {0}")]
    Unavailable(String),
    #[error("the bucket has another head at {0}")]
    Another(String),
}

#[derive(Clone)]
pub struct HeadBucket {
    store: Arc<AmazonS3>,
    prefix: Path,
}

impl HeadBucket {
    /// `variables` are those of the environment; others than the usual ones are passed over.
    ///
    /// # Errors
    /// When a variable is missing or makes no sense.
    pub fn new(
        bucket: &str,
        prefix: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<HeadBucket, HeadBucketError> {
        let mut builder = AmazonS3Builder::new();
        for (name, value) in variables {
            let key =
                name.starts_with("AWS_").then(|| name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>());
            if let Some(Ok(key)) = key {
                builder = builder.with_config(key, value);
            }
        }
        let store = builder
            .with_bucket_name(bucket)
            .with_client_options(
                ClientOptions::new()
                    .with_connect_timeout(CONNECT_TIMEOUT)
                    .with_timeout(REQUEST_TIMEOUT)
                    // An address with http is for a stand-in on this machine.
                    .with_allow_http(true),
            )
            // The one that publishes tries again by itself.
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .build()
            .map_err(|fault| HeadBucketError::Settings(fault.to_string()))?;
        let prefix = Path::parse(prefix).map_err(|fault| HeadBucketError::Settings(fault.to_string()))?;
        Ok(HeadBucket { store: Arc::new(store), prefix })
    }

    /// Keeps a note under a name, unless it is there; another note under the name is an error.
    ///
    /// # Errors
    /// When the note is not there afterwards, as far as anybody knows.
    pub async fn keep(&self, name: &str, note: &str) -> Result<(), HeadBucketError> {
        let path = self.path(name);
        let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&path, note.to_owned().into(), create).await {
            Ok(_) => Ok(()),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => match self.read(&path).await? {
                kept if kept == note => Ok(()),
                _ => Err(HeadBucketError::Another(path.to_string())),
            },
            Err(fault) => Err(unavailable(fault)),
        }
    }

    /// The last notes below a name, by their names, the last first; each with its name.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn last(&self, below: &str, limit: usize) -> Result<Vec<(String, String)>, HeadBucketError> {
        let found = self.store.list_with_delimiter(Some(&self.path(below))).await.map_err(unavailable)?;
        let mut days = found.common_prefixes;
        // Histories that came after lie beside the days of the first one.
        days.retain(|day| day.filename().is_some_and(|name| name.len() == "2026-11-27".len()));
        days.sort();
        let mut notes = Vec::new();
        while let Some(day) = days.pop().filter(|_| notes.len() < limit) {
            let found = self.store.list_with_delimiter(Some(&day)).await.map_err(unavailable)?;
            let mut paths: Vec<Path> = found.objects.into_iter().map(|object| object.location).collect();
            paths.sort();
            while let Some(path) = paths.pop().filter(|_| notes.len() < limit) {
                notes.push((path.to_string(), self.read(&path).await?));
            }
        }
        Ok(notes)
    }

    async fn read(&self, path: &Path) -> Result<String, HeadBucketError> {
        let bytes = async { self.store.get(path).await?.bytes().await };
        let bytes = bytes.await.map_err(unavailable)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn path(&self, name: &str) -> Path {
        self.prefix.parts().chain(Path::from(name).parts()).collect()
    }
}

/// Without the cause's cause, which may hold a signed address.
fn unavailable(fault: Error) -> HeadBucketError {
    HeadBucketError::Unavailable(fault.to_string())
}

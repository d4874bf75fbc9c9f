//! A receiver of signed heads: whoever keeps them apart from this deployment. A head is a signed note, so the receiver
//! checks it with the public key, and nothing secret is shared with it.

use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a head was not taken; the same head is sent again later.
#[derive(Debug, thiserror::Error)]
pub enum HeadWebhookError {
    #[error("no HTTP client can be made: {0}")]
    NoClient(String),
    #[error("it does not answer: {0}")]
    Unavailable(String),
    #[error("it answered {0}")]
    Refused(u16),
}

#[derive(Clone)]
pub struct HeadWebhook {
    http: reqwest::Client,
    url: String,
}

impl HeadWebhook {
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(url: &str) -> Result<HeadWebhook, HeadWebhookError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            // A redirect that is followed as a GET would be answered 200 by a page that keeps nothing.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|fault| HeadWebhookError::NoClient(fault.to_string()))?;
        Ok(HeadWebhook { http, url: url.to_owned() })
    }

    /// Sends the signed note as it is. The receiver may get one twice, and answers 2xx once it is kept.
    ///
    /// # Errors
    /// When it was not taken, as far as anybody knows.
    pub async fn send(&self, note: &str) -> Result<(), HeadWebhookError> {
        let request = self.http.post(&self.url).header("content-type", "text/plain; charset=utf-8");
        let answer = request.body(note.to_owned()).send().await;
        // The address may hold a token of the receiver's.
        let answer =
            answer.map_err(|fault| HeadWebhookError::Unavailable(fault.without_url().to_string()))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(HeadWebhookError::Refused(status.as_u16())),
        }
    }
}

//! How a one-time password reaches a phone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The way a code travels, as the person chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OtpChannel {
    Sms,
    Whatsapp,
}

/// Sends codes to phones. An enum, so that a deployment names its sender in its configuration.
#[derive(Clone, Debug)]
pub enum OtpSender {
    /// Development only: writes the code to the log and keeps it in an outbox that a test or a story can read.
    Console(OtpOutbox),
}

#[derive(Debug, thiserror::Error)]
pub enum OtpSendError {
    /// The provider did not take the message; asking again later is safe.
    #[error("the OTP provider is unavailable: {0}")]
    Unavailable(String),
}

impl OtpSender {
    /// Hands `code` over for `phone` (E.164).
    pub async fn send(&self, channel: OtpChannel, phone: &str, code: &str) -> Result<(), OtpSendError> {
        match self {
            OtpSender::Console(outbox) => {
                tracing::info!(?channel, phone, code, "one-time password (development)");
                outbox.put(phone, code);
                Ok(())
            }
        }
    }
}

/// The last code sent to each phone, in memory. Clones share the same outbox.
#[derive(Clone, Default)]
pub struct OtpOutbox {
    codes: Arc<Mutex<HashMap<String, String>>>,
}

impl OtpOutbox {
    pub fn last_code(&self, phone: &str) -> Option<String> {
        self.lock().get(phone).cloned()
    }

    fn put(&self, phone: &str, code: &str) {
        self.lock().insert(phone.to_owned(), code.to_owned());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        // A map of whole strings is never half written, so a poisoned lock is still good.
        self.codes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for OtpOutbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OtpOutbox(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_console_sender_keeps_the_last_code_of_each_phone() {
        let outbox = OtpOutbox::default();
        let sender = OtpSender::Console(outbox.clone());
        for (phone, code) in
            [("+919800000001", "111111"), ("+919800000002", "222222"), ("+919800000001", "333333")]
        {
            sender.send(OtpChannel::Sms, phone, code).await.expect("the console takes every code");
        }
        assert_eq!(outbox.last_code("+919800000001").as_deref(), Some("333333"));
        assert_eq!(outbox.last_code("+919800000002").as_deref(), Some("222222"));
        assert_eq!(outbox.last_code("+919800000003"), None);
    }

    #[test]
    fn the_outbox_keeps_its_codes_out_of_debug_output() {
        let outbox = OtpOutbox::default();
        outbox.put("+919800000001", "111111");
        assert!(!format!("{outbox:?}").contains("111111"));
    }
}

//! The secrets of a deployment: set in production, generated in development. Weak ones are refused.

use super::{Config, Mode};
use anyhow::{Context, bail, ensure};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A shorter secret can be guessed.
const SHORTEST: usize = 12;
/// A secret with fewer different characters can be guessed too.
const FEWEST_DIFFERENT: usize = 6;
/// Words that people use as placeholders.
const WELL_KNOWN: [&str; 8] =
    ["changeme", "password", "secret", "example", "default", "muneem", "12345678", "qwerty"];

impl Config {
    /// Generates the secrets of development and keeps them in the data folder, so that they are the same after a
    /// restart. Refuses secrets that are missing, weak or used twice.
    ///
    /// # Errors
    /// Names the setting and what to do, and never shows the secret.
    pub fn with_secrets(mut self) -> anyhow::Result<Config> {
        let made_up = match self.mode {
            Mode::Production => None,
            Mode::Development => Some(DevelopmentSecrets::load_or_make(&self.data_dir)?),
        };
        if let (Some(_), "") = (&made_up, self.razorpay_key_id.as_str()) {
            self.razorpay_key_id = "rzp_test_development".to_owned();
        }
        type MakeUp = fn(&DevelopmentSecrets) -> String;
        let wanted: [(&str, &mut SecretString, MakeUp); 5] = [
            ("MUNEEM_JWT_KEYS", &mut self.jwt_keys, |it| format!("dev:{}", it.jwt_key)),
            ("MUNEEM_PHONE_PEPPER", &mut self.phone_pepper, |it| it.phone_pepper.clone()),
            ("MUNEEM_SEALING_KEY", &mut self.sealing_key, |it| it.sealing_key.clone()),
            ("MUNEEM_RAZORPAY_KEY_SECRET", &mut self.razorpay_key_secret, |it| {
                it.razorpay_key_secret.clone()
            }),
            ("MUNEEM_RAZORPAY_WEBHOOK_SECRET", &mut self.razorpay_webhook_secret, |it| {
                it.razorpay_webhook_secret.clone()
            }),
        ];
        for (name, value, make_up) in wanted {
            match &made_up {
                _ if !value.expose_secret().is_empty() => {}
                Some(secrets) => *value = make_up(secrets).into(),
                None => bail!(
                    "{name} is not set; in production every secret is given (docs/operations.md has the list)"
                ),
            }
        }
        if self.razorpay_key_id.is_empty() {
            bail!("MUNEEM_RAZORPAY_KEY_ID is not set; for example rzp_live_AbCdEf123456");
        }
        self.check_secrets()?;
        Ok(self)
    }

    /// Whether a server has been started on the data folder in development.
    pub(crate) fn has_development_secrets(&self) -> bool {
        self.data_dir.join(DEVELOPMENT_SECRETS).exists()
    }

    /// The keys of access tokens.
    ///
    /// # Errors
    /// When the setting is not `kid:hex,...`.
    pub fn jwt_keys(&self) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        signing_keys(self.jwt_keys.expose_secret()).context("MUNEEM_JWT_KEYS cannot be used")
    }

    /// # Errors
    /// When a key is not 32 bytes in hex.
    pub fn phone_keys(&self) -> anyhow::Result<([u8; 32], [u8; 32])> {
        Ok((
            key_32(self.phone_pepper.expose_secret()).context("MUNEEM_PHONE_PEPPER cannot be used")?,
            key_32(self.sealing_key.expose_secret()).context("MUNEEM_SEALING_KEY cannot be used")?,
        ))
    }

    fn check_secrets(&self) -> anyhow::Result<()> {
        let mut owner: HashMap<Vec<u8>, &str> = HashMap::new();
        let (pepper, sealing_key) = self.phone_keys()?;
        let mut all: Vec<(&'static str, Vec<u8>)> = vec![
            ("MUNEEM_PHONE_PEPPER", pepper.to_vec()),
            ("MUNEEM_SEALING_KEY", sealing_key.to_vec()),
            ("MUNEEM_RAZORPAY_KEY_SECRET", self.razorpay_key_secret.expose_secret().into()),
        ];
        all.extend(self.jwt_keys()?.into_iter().map(|(_, key)| ("MUNEEM_JWT_KEYS", key)));
        let webhook_secrets = self.razorpay_webhook_secret.expose_secret().split(',');
        all.extend(webhook_secrets.map(|it| ("MUNEEM_RAZORPAY_WEBHOOK_SECRET", it.into())));
        for (name, secret) in all {
            if let Some(why) = weakness(&secret) {
                bail!("{name} holds a secret that {why}; make one: openssl rand -hex 32");
            }
            if let Some(other) = owner.insert(secret, name) {
                let both = if other == name { name.to_owned() } else { format!("{other} and {name}") };
                bail!("{both} hold the same secret; make another: openssl rand -hex 32");
            }
        }
        Ok(())
    }
}

/// Why a secret is easily guessed.
pub fn weakness(secret: &[u8]) -> Option<&'static str> {
    let mut different = [false; 256];
    secret.iter().for_each(|byte| different[usize::from(*byte)] = true);
    let different = different.iter().filter(|seen| **seen).count();
    let text = String::from_utf8_lossy(secret).to_lowercase();
    match () {
        () if secret.len() < SHORTEST => Some("is shorter than 12 characters"),
        () if different < FEWEST_DIFFERENT => Some("repeats a few characters"),
        // What is left of "Password1234" without its word is no secret.
        () if WELL_KNOWN.iter().any(|known| text.replace(known, "").len() < SHORTEST / 2) => {
            Some("many people would try first")
        }
        () => None,
    }
}

/// Keys written `kid:hex,kid:hex`.
///
/// # Errors
/// When they are written otherwise, or two have one name.
pub fn signing_keys(text: &str) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut keys: Vec<(String, Vec<u8>)> = Vec::new();
    for part in text.split(',') {
        let (kid, secret) = part.trim().split_once(':').context("must be written kid:hex,kid:hex")?;
        let name = kid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        ensure!(
            name && (1..=32).contains(&kid.len()),
            "holds a key whose name is not 1 to 32 letters and digits"
        );
        ensure!(keys.iter().all(|(other, _)| other != kid), "holds two keys of one name");
        keys.push((kid.to_owned(), key_32(secret).context("holds a key that cannot be used")?.to_vec()));
    }
    Ok(keys)
}

/// A key of 32 bytes in hex.
///
/// # Errors
/// When it is none.
pub fn key_32(text: &str) -> anyhow::Result<[u8; 32]> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.context("must be 32 bytes in hex; make one: openssl rand -hex 32")
}

/// In the data folder.
const DEVELOPMENT_SECRETS: &str = "development-secrets.json";

#[derive(Serialize, Deserialize)]
struct DevelopmentSecrets {
    jwt_key: String,
    phone_pepper: String,
    sealing_key: String,
    razorpay_key_secret: String,
    razorpay_webhook_secret: String,
}

impl DevelopmentSecrets {
    fn load_or_make(data_dir: &Path) -> anyhow::Result<DevelopmentSecrets> {
        let path = data_dir.join(DEVELOPMENT_SECRETS);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                return serde_json::from_str(&text).ok().with_context(|| {
                    format!(
                        "{} is damaged; restore it, or remove it with all data: make clean-data",
                        path.display()
                    )
                });
            }
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => {}
            Err(fault) => return Err(fault).with_context(|| format!("{} cannot be read", path.display())),
        }
        let secret = || hex::encode(platform::entropy::bytes::<32>());
        let secrets = DevelopmentSecrets {
            jwt_key: secret(),
            phone_pepper: secret(),
            sealing_key: secret(),
            razorpay_key_secret: secret(),
            razorpay_webhook_secret: secret(),
        };
        std::fs::create_dir_all(data_dir)
            .with_context(|| format!("the data folder {} cannot be made", data_dir.display()))?;
        write_private(&path, &serde_json::to_string_pretty(&secrets)?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(secrets)
    }
}

/// Writes the whole file or nothing, so that a start that was killed meanwhile leaves no half-written file.
pub(super) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    // One that was left behind may have been made with other permissions.
    match std::fs::remove_file(&unfinished) {
        Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => return Err(fault),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
}

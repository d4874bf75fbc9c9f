//! Where a stream in PostgreSQL is.

use std::fmt;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

/// Names of notification channels and of tables have up to 63 bytes, and `journal:` is put before.
const LONGEST_NAME: usize = 55;

/// `postgres://user:password@host/database?stream=name`, with the parameters of libpq that `sqlx` knows, such as
/// `sslmode`. Shown without its password.
#[derive(Clone)]
pub struct PostgresAddress {
    pub(super) options: PgConnectOptions,
    pub(super) stream: String,
}

impl FromStr for PostgresAddress {
    type Err = String;

    /// The error quotes nothing of the text, which may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains("://") {
            return Err("it is not the address of a PostgreSQL database".into());
        }
        let (place, stream, others) = crate::address::split(text)?;
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if stream.is_empty() || stream.len() > LONGEST_NAME || !stream.bytes().all(fits) {
            return Err(format!("a stream's name has 1 to {LONGEST_NAME} of a-z, 0-9, - and _"));
        }
        let options = PgConnectOptions::from_str(&format!("{place}?{}", others.join("&")));
        let options = options.map_err(|_| "it is not the address of a PostgreSQL database")?;
        if options.get_database().is_none() {
            return Err("it names no database".into());
        }
        Ok(Self { options, stream: stream.to_owned() }.with_stream(stream))
    }
}

impl PostgresAddress {
    /// Another stream in the same database.
    #[must_use]
    pub fn with_stream(&self, name: &str) -> Self {
        let stream = name.to_owned();
        // The name by which connections of this stream are found.
        Self { options: self.options.clone().application_name(&format!("journal:{name}")), stream }
    }
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { options, stream } = self;
        let (user, host, port) = (options.get_username(), options.get_host(), options.get_port());
        let database = options.get_database().unwrap_or_default();
        write!(f, "postgres://{user}@{host}:{port}/{database}?stream={stream}")
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

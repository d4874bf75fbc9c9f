//! Where a stream in EventStoreDB is.

use std::fmt;
use std::str::FromStr;

use kurrentdb::{ClientSettings, Credentials, NodePreference};
use percent_encoding::percent_decode_str;

const LONGEST_NAME: usize = 200;

/// Every new client pauses for so long before it connects, in milliseconds: by itself for half a second.
const DISCOVERY_INTERVAL: &str = "discoveryInterval=20";

/// `kurrentdb://user:password@host:2113?tls=true&stream=name`, or `esdb://`, with several hosts for a cluster and
/// the other parameters of EventStoreDB's connection strings. Shown without user and password.
#[derive(Clone)]
pub struct EventStoreDbAddress {
    pub(super) settings: ClientSettings,
    pub(super) stream: String,
    /// Given to the client with each call: by itself it would send `%40` for a `@` in a password.
    pub(super) credentials: Option<Credentials>,
}

impl FromStr for EventStoreDbAddress {
    type Err = String;

    /// The error quotes nothing of the text that may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        let (place, stream, mut others) = crate::address::split(text)?;
        if !others.iter().any(|parameter| parameter.to_ascii_lowercase().starts_with("discoveryinterval=")) {
            others.push(DISCOVERY_INTERVAL);
        }
        let settings = format!("{place}?{}", others.join("&"));
        let settings = settings.parse::<ClientSettings>().map_err(|fault| {
            let about_a_parameter =
                ["Invalid format for param", "Unknown node preference", "Invalid keepAlive"];
            let told = fault.message();
            match about_a_parameter.iter().any(|start| told.starts_with(start)) {
                true => told.to_owned(),
                false => "it is not the connection string of an EventStoreDB".into(),
            }
        })?;
        if settings.node_preference() != NodePreference::Leader {
            return Err("nodePreference is not leader, and other nodes may not have the last events".into());
        }
        check_stream(stream)?;
        Ok(Self { settings, stream: stream.to_owned(), credentials: credentials(place)? })
    }
}

/// User and password as they are meant, from what stands before the `@`.
fn credentials(place: &str) -> Result<Option<Credentials>, String> {
    let authority = place.split_once("://").map_or(place, |(_, authority)| authority);
    let Some((user, _)) = authority.rsplit_once('@') else {
        return Ok(None);
    };
    let (login, password) = user.split_once(':').unwrap_or((user, ""));
    let decoded = |text| percent_decode_str(text).decode_utf8().map(|text| text.into_owned());
    match (decoded(login), decoded(password)) {
        (Ok(login), Ok(password)) => Ok(Some(Credentials::new(login, password))),
        _ => Err("its user or password is not UTF-8".into()),
    }
}

impl EventStoreDbAddress {
    /// Another stream of the same server.
    #[must_use]
    pub fn with_stream(&self, name: &str) -> Self {
        Self { stream: name.to_owned(), ..self.clone() }
    }
}

/// What begins with `$` belongs to the server.
pub(super) fn check_stream(name: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(fits) {
        return Err(format!("a stream's name has 1 to {LONGEST_NAME} letters, digits and any of - _ . :"));
    }
    Ok(())
}

impl fmt::Display for EventStoreDbAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { settings, stream, .. } = self;
        let hosts: Vec<String> =
            settings.hosts().iter().map(|node| format!("{}:{}", node.host, node.port)).collect();
        let tls = settings.is_secure_mode_enabled();
        write!(f, "kurrentdb://{}?tls={tls}&stream={stream}", hosts.join(","))
    }
}

impl fmt::Debug for EventStoreDbAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::EventStoreDbAddress;

    #[test]
    fn an_address_says_where_the_stream_is_and_hides_the_password() {
        for (text, shown) in [
            ("kurrentdb://db", "kurrentdb://db:2113?tls=true&stream=muneem"),
            ("esdb://u:abad1dea@db:1234?tls=false", "kurrentdb://db:1234?tls=false&stream=muneem"),
            ("kurrentdb://u:abad1dea%40@db?stream=books-2", "kurrentdb://db:2113?tls=true&stream=books-2"),
            ("esdb://u:abad1dea@a:1,b:2,c:3?stream=b&tls=true", "kurrentdb://a:1,b:2,c:3?tls=true&stream=b"),
        ] {
            let address: EventStoreDbAddress = text.parse().expect(text);
            assert_eq!(format!("{address} {address:?}"), format!("{shown} {shown}"), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_quoted() {
        for (text, why) in [
            ("", "not the connection string"),
            ("abad1dea", "not the connection string"),
            ("http://u:abad1dea@db", "not the connection string"),
            ("esdb://u:abad1dea@db:port", "not the connection string"),
            ("esdb://u:abad1dea@db?tls=perhaps", "'tls'"),
            ("esdb://u:abad1dea@db?nodePreference=follower", "nodePreference is not leader"),
            ("esdb://u:abad1dea%ff@db", "not UTF-8"),
            ("esdb://u:abad1dea@db?stream=", "a stream's name"),
            ("esdb://u:abad1dea@db?stream=$all", "a stream's name"),
            ("esdb://u:abad1dea@db?stream=a&stream=b", "names two streams"),
        ] {
            let refused = text.parse::<EventStoreDbAddress>().expect_err(text);
            assert!(refused.contains(why) && !refused.contains("abad1dea"), "{text}: {refused}");
        }
    }
}

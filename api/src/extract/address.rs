//! Where a request comes from, as far as limits are concerned.

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::{Extensions, request::Parts};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The peer's address, as a key for limits. Without one (a server that does not tell) all share a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub String);

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<ClientAddress, Infallible> {
        Ok(address_of(&parts.extensions))
    }
}

pub fn address_of(extensions: &Extensions) -> ClientAddress {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    ClientAddress(peer.map_or_else(|| "unknown".to_owned(), |ConnectInfo(peer)| limit_key(peer.ip())))
}

/// One customer of IPv6 has at least a /64 to choose addresses from: they count as one.
fn limit_key(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_customer_share_a_key() {
        for (address, key) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(limit_key(address.parse().expect("an address")), key);
        }
    }
}

//! From where a request comes, as far as limits are concerned: the client's address, also when proxies stand between.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

/// The header that proxies write the client's address into.
pub const FORWARDED_FOR: &str = "x-forwarded-for";

/// The networks whose word about the client's address is taken.
///
/// Each proxy adds the address that it was asked from at the right end of `X-Forwarded-For`. Read from the right, the
/// first address that is no trusted proxy's is the client's; what stands left of it is the client's own invention.
/// `Forwarded` is not read: a proxy that writes one of the two headers passes the other one on as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Arc<[IpNet]>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a network such as 10.0.0.0/8 or fd00::/8, nor an address")]
pub struct NotANetwork(String);

impl FromStr for TrustedProxies {
    type Err = NotANetwork;

    /// Networks and addresses, separated by commas; none when empty.
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let network = |part: &str| {
            let address = || part.parse::<IpAddr>().map(IpNet::from);
            part.parse::<IpNet>().or_else(|_| address()).map_err(|_| NotANetwork(part.to_owned()))
        };
        Ok(Self(parts.map(network).collect::<Result<_, _>>()?))
    }
}

impl TrustedProxies {
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// What limits count the client by. Without a peer (a server that does not tell) all share a key.
    pub fn key_of<'a>(
        &self,
        peer: Option<SocketAddr>,
        forwarded_for: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> String {
        peer.map_or_else(|| "unknown".to_owned(), |peer| limit_key(self.client(peer.ip(), forwarded_for)))
    }

    /// The client's address. `forwarded_for` are the values of `X-Forwarded-For`, in their order, as bytes: what a
    /// client wrote into the header may be anything, and must not hide what a proxy wrote behind it.
    fn client<'a>(&self, peer: IpAddr, forwarded_for: impl DoubleEndedIterator<Item = &'a [u8]>) -> IpAddr {
        let mut nearest = peer.to_canonical();
        let mut hops = forwarded_for.rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
        while self.trusts(nearest) {
            // A trusted proxy that says nothing, or nothing that can be read, is the last one known.
            let Some(hop) = hops.next().and_then(read_hop) else { break };
            nearest = hop;
        }
        nearest
    }
}

/// An address, maybe with a port.
fn read_hop(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse().ok().map(|it: SocketAddr| it.ip());
    let address: Option<IpAddr> = text.parse().ok().or_else(bracketed).or_else(with_port);
    address.map(|it| it.to_canonical())
}

/// What limits count by. One customer of IPv6 has at least a /64 to choose addresses from: they count as one.
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

    fn client(trusted: &str, peer: &str, headers: &[&str]) -> String {
        let trusted: TrustedProxies = trusted.parse().expect("networks");
        let headers = headers.iter().map(|value| value.as_bytes());
        trusted.client(peer.parse().expect("an address"), headers).to_string()
    }

    #[test]
    fn bytes_that_are_no_text_hide_nothing_that_a_proxy_wrote() {
        let trusted: TrustedProxies = "10.0.0.0/8".parse().expect("networks");
        let key = |values: &[&[u8]]| trusted.key_of(Some(([10, 0, 0, 1], 80).into()), values.iter().copied());
        for values in [
            &[&b"\xff, 203.0.113.7"[..]][..],
            &[b"\xff", b"203.0.113.7"],
            &[b"198.51.100.1\xc3, 203.0.113.7, 10.9.9.9"],
        ] {
            assert_eq!(key(values), "203.0.113.7", "{values:?}");
        }
        assert_eq!(
            key(&[b"203.0.113.7, \xff"]),
            "10.0.0.1",
            "a proxy that wrote it itself is the last one known"
        );
        assert_eq!(trusted.key_of(None, [].into_iter()), "unknown");
    }

    #[test]
    fn the_right_most_hop_that_is_no_trusted_proxy_is_the_client() {
        let proxies = "10.0.0.0/8, fd00::/8";
        for (peer, headers, expected) in [
            ("10.0.0.1", &["203.0.113.7"][..], "203.0.113.7"),
            ("10.0.0.1", &["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", &["198.51.100.1, 203.0.113.7, 10.9.9.9"], "203.0.113.7"),
            ("10.0.0.1", &["198.51.100.1", "203.0.113.7", "10.9.9.9"], "203.0.113.7"),
            ("10.0.0.1", &["203.0.113.7:1234"], "203.0.113.7"),
            ("fd00::1", &["2001:db8::7"], "2001:db8::7"),
            ("fd00::1", &["[2001:db8::7]:443"], "2001:db8::7"),
            ("fd00::1", &["[2001:db8::7]"], "2001:db8::7"),
            ("::ffff:10.0.0.1", &["::ffff:203.0.113.7"], "203.0.113.7"),
            // Everybody is trusted: the farthest one known.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // What cannot be read ends the chain at the last proxy that was.
            ("10.0.0.1", &["203.0.113.7, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["203.0.113.7, "], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ] {
            assert_eq!(client(proxies, peer, headers), expected, "{peer} {headers:?}");
        }
    }

    #[test]
    fn a_header_from_an_untrusted_peer_is_ignored() {
        assert_eq!(client("10.0.0.0/8", "198.51.100.9", &["203.0.113.7"]), "198.51.100.9");
        assert_eq!(client("", "10.0.0.1", &["203.0.113.7"]), "10.0.0.1");
    }

    #[test]
    fn networks_and_addresses_are_read_and_nothing_else() {
        let trusted: TrustedProxies = "127.0.0.1, ::1,172.16.0.0/12".parse().expect("networks");
        for (address, is_trusted) in [
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("::1", true),
            ("172.31.0.1", true),
            ("172.32.0.1", false),
        ] {
            assert_eq!(trusted.trusts(address.parse().expect("an address")), is_trusted, "{address}");
        }
        for bad in ["10.0.0.0/33", "proxy.example", "10.0.0", "10.0.0.0/8;fd00::/8"] {
            assert!(bad.parse::<TrustedProxies>().is_err(), "{bad}");
        }
    }

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

//! Where a request comes from, as far as limits are concerned.

use crate::Api;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::{Extensions, HeaderMap, HeaderValue, request::Parts};
use platform::client_address::{FORWARDED_FOR, TrustedProxies};
use std::convert::Infallible;
use std::net::SocketAddr;

/// The client's address, as a key for limits. Without one (a server that does not tell) all share a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub String);

impl FromRequestParts<Api> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<ClientAddress, Infallible> {
        Ok(address_of(&parts.extensions, &parts.headers, &api.config.trusted_proxies))
    }
}

pub fn address_of(extensions: &Extensions, headers: &HeaderMap, trusted: &TrustedProxies) -> ClientAddress {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    let forwarded_for: Vec<&[u8]> =
        headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
    ClientAddress(trusted.key_of(peer, forwarded_for.into_iter()))
}

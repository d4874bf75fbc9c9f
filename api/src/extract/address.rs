//! Where a request comes from, as far as limits are concerned.

use crate::Api;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::{Extensions, HeaderMap, request::Parts};
use platform::client_address::{FORWARDED_FOR, TrustedProxies, limit_key};
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
    let Some(ConnectInfo(peer)) = extensions.get::<ConnectInfo<SocketAddr>>() else {
        return ClientAddress("unknown".to_owned());
    };
    // A value that is no text cannot be read either, and ends the chain as an empty one does.
    let forwarded_for = headers.get_all(FORWARDED_FOR).iter().map(|value| value.to_str().unwrap_or_default());
    let hops: Vec<&str> = forwarded_for.collect();
    ClientAddress(limit_key(trusted.client(peer.ip(), hops.into_iter())))
}

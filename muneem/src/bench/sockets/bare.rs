//! A socket as axum serves it: it reads and discards.

use crate::connections;
use axum::Router;
use axum::extract::WebSocketUpgrade;
use axum::routing::get;
use clap::Args;
use std::future::IntoFuture;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

#[derive(Args)]
pub struct BareOptions {
    /// What a socket's read buffer begins with, in bytes.
    #[arg(long)]
    buffer: usize,
}

/// Prints its address and serves until its standard input ends.
///
/// # Errors
/// When it cannot listen.
pub async fn serve(options: &BareOptions) -> anyhow::Result<()> {
    connections::affordable(u32::MAX, 0)?;
    let buffer = options.buffer;
    let upgrade = async move |upgrade: WebSocketUpgrade| {
        upgrade
            .read_buffer_size(buffer)
            .on_upgrade(async |mut socket| while let Some(Ok(_)) = socket.recv().await {})
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    crate::out!("{}", listener.local_addr()?);
    let routes = Router::new().route("/v1/ws", get(upgrade));
    let mut rest = Vec::new();
    let mut input = super::input()?;
    tokio::select! {
        served = axum::serve(listener, routes).into_future() => served?,
        read = input.read_to_end(&mut rest) => { read?; }
    }
    Ok(())
}

//! Keeps the sockets of this node among those that all nodes count.
//!
//! A task of its own: a slow Redis holds up neither a socket that closes nor a push.

use crate::places::{Gone, Places};
use platform::clock;
use platform::socket_leases::SocketLeases;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// How often is asked whether sockets of this node make room for newer ones on other nodes.
const LOOK: Duration = Duration::from_secs(1);
/// Closed sockets that are taken off the count in one go.
const AT_ONCE: usize = 500;

pub(crate) struct LeaseKeeper<'a> {
    pub leases: SocketLeases,
    pub places: Arc<Places>,
    /// How often leases are renewed; well within the time in which they lapse.
    pub every: Duration,
    pub gone: &'a mut mpsc::Receiver<Gone>,
}

impl LeaseKeeper<'_> {
    pub async fn run(&mut self) {
        let mut renew = interval(self.every);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut closed = Vec::new();
        loop {
            tokio::select! {
                count = self.gone.recv_many(&mut closed, AT_ONCE) => {
                    if count == 0 {
                        return;
                    }
                    self.release(&mut closed).await;
                }
                _ = renew.tick() => self.leases.renew(&self.places.open(), clock::now()).await,
                _ = look.tick() => self.places.make_room(&self.leases.to_close().await),
            }
        }
    }

    /// Takes off the count what has closed since.
    pub async fn finish(&mut self) {
        let mut closed = Vec::new();
        while let Ok(gone) = self.gone.try_recv() {
            closed.push(gone);
        }
        self.release(&mut closed).await;
    }

    async fn release(&self, closed: &mut Vec<Gone>) {
        let sockets: Vec<_> = closed.drain(..).map(|Gone(socket)| socket).collect();
        self.leases.release(&sockets).await;
    }
}

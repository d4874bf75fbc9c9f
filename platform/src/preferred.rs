//! Which node decides the commands of all.
//!
//! Any node may write to the journal at any time; nodes that all do get in each other's way. So one of those that can be
//! reached by the others has the duty [`DUTY`], and the others forward their commands to it while it answers. When it is
//! gone, or cannot write, another one takes the duty.

use crate::duty::{Duty, Turn};
use crate::workers::WorkerFault;
use ledger_runtime::{Kinship, Ledger, Status};
use sqlx::PgPool;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::sleep;
use tracing::info;

/// The name of the duty.
pub const DUTY: &str = "deciding";
/// How often it is looked who has it.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// One of the nodes that decide at one place.
pub struct Preferred {
    ledger: Ledger,
    duty: Duty,
    kinship: Kinship,
}

impl Preferred {
    /// `address` is where other nodes reach this one's [`ledger_runtime::Door`].
    pub fn new(pool: PgPool, ledger: Ledger, address: &str, kinship: Kinship) -> Preferred {
        Preferred { ledger, duty: Duty::new(pool, DUTY).reached_at(address), kinship }
    }

    /// Forwards this node's commands, or has the duty itself, for as long as it is polled.
    ///
    /// # Errors
    /// None: what cannot be done now is tried again.
    pub async fn keep_forwarding(&self) -> Result<(), WorkerFault> {
        let mut told = String::new();
        loop {
            let taken = tokio::select! {
                taken = self.take() => taken,
                never = self.forward() => match never {},
            };
            let outcome = match taken {
                Ok(turn) => turn.work(self.while_it_can_write()).await,
                Err(fault) => Err(fault),
            };
            if let Err(fault) = outcome
                && told != fault.to_string()
            {
                told = fault.to_string();
                info!(fault = told, "this node is not the one that decides");
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn take(&self) -> Result<Turn, WorkerFault> {
        self.until(|status| *status == Status::Running).await;
        self.duty.take().await
    }

    async fn while_it_can_write(&self) -> Result<(), WorkerFault> {
        self.until(|status| *status != Status::Running).await;
        Ok(())
    }

    async fn until(&self, wanted: impl Fn(&Status) -> bool) {
        while !wanted(&self.ledger.status()) {
            sleep(LOOK_EVERY).await;
        }
    }

    async fn forward(&self) -> Infallible {
        let (mut holder, mut told) = (None, String::new());
        loop {
            // Where nobody can say who has it, it is taken to be who had it.
            holder = self.duty.holder().await.unwrap_or(holder);
            if let Some(address) = &holder {
                let fault = tokio::select! {
                    ended = self.ledger.forward(address, &self.kinship) => match ended {
                        Ok(never) => match never {},
                        Err(fault) => fault.to_string(),
                    },
                    () = self.another_has_it(address) => "another node has the duty".to_owned(),
                };
                if told != fault {
                    info!(address, fault, "this node decides its commands itself");
                    told = fault;
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn another_has_it(&self, than: &str) {
        loop {
            sleep(LOOK_EVERY).await;
            if matches!(self.duty.holder().await, Ok(Some(address)) if address != than) {
                return;
            }
        }
    }
}

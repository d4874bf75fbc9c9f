//! Everything that a request can need, put together once.

use crate::approvals::Approvals;
use crate::attendance::Attendance;
use crate::audit::AuditLog;
use crate::bounds::Bounds;
use crate::calls::{Calls, Turns};
use crate::commands::Commands;
use crate::gifts::Gifts;
use crate::hosts::Hosts;
use crate::identity::{
    AccessChanges, AccessTokens, Agencies, Cards, Otp, OtpConfig, People, PhoneVault, Restrictions, Sessions,
    Sweep,
};
use crate::journal_heads::JournalHeads;
use crate::known::Known;
use crate::notes::Notes;
use crate::orders::Orders;
use crate::payees::Payees;
use crate::presence::Presence;
use crate::purchases::Purchases;
use crate::push::Bus;
use crate::rate_limit::RateLimiter;
use crate::reconciliation::Reconciliations;
use crate::referrals::Referrals;
use crate::seal::Seal;
use crate::settings::Settings;
use crate::shared_redis::SharedRedis;
use crate::webhooks::Inbox;
use crate::workers::{Worker, WorkerFault};
use integrations::otp_sender::OtpSender;
use integrations::razorpay::Razorpay;
use ledger_runtime::Ledger;
use redis::aio::ConnectionManager;
use sqlx::PgPool;
use std::ops::Deref;
use std::sync::Arc;

/// The parts that differ between deployments.
pub struct Parts {
    pub ledger: Ledger,
    pub pool: PgPool,
    pub redis: ConnectionManager,
    /// Begins every key in Redis, so that deployments and tests can share one.
    pub redis_prefix: String,
    pub vault: PhoneVault,
    pub tokens: AccessTokens,
    pub otp: OtpConfig,
    /// How often one person may refresh their tokens.
    pub refreshes_per_hour: u32,
    pub otp_sender: OtpSender,
    pub razorpay: Razorpay,
    /// Seals gateways' deliveries.
    pub webhook_seal: Seal,
    pub heads: JournalHeads,
    pub nodes: Nodes,
    /// Whether this node works through what requests leave: webhooks, unpaid purchases, approvals.
    pub works: bool,
}

/// Whether others serve beside this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nodes {
    /// The journal is of this node alone.
    One,
    /// Several nodes share the journal, Postgres and Redis.
    Several,
}

/// The services of the platform behind one pointer, so that a clone for a request costs one count.
#[derive(Clone)]
pub struct App(Arc<Services>);

/// What an [`App`] gives access to.
pub struct Services {
    pub ledger: Ledger,
    pub pool: PgPool,
    pub redis: ConnectionManager,
    /// Where nodes count together.
    pub shared: SharedRedis,
    pub commands: Commands,
    pub people: People,
    pub cards: Cards,
    pub otp: Otp,
    pub sessions: Sessions,
    pub restrictions: Restrictions,
    pub agencies: Agencies,
    pub payees: Payees,
    pub reconciliations: Reconciliations,
    pub hosts: Hosts,
    pub presence: Presence,
    pub settings: Settings,
    pub limits: RateLimiter,
    pub attendance: Attendance,
    pub calls: Calls,
    pub purchases: Purchases,
    pub gifts: Gifts,
    pub orders: Orders,
    pub referrals: Referrals,
    pub notes: Notes,
    pub audit: AuditLog,
    pub approvals: Approvals,
    pub webhooks: Inbox,
    pub heads: JournalHeads,
    pub bounds: Bounds,
    pub bus: Bus,
    pub access: AccessChanges,
}

impl Deref for App {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
    }
}

impl App {
    /// The services, and the background workers that have to be started for them.
    pub fn new(parts: Parts) -> (App, Vec<Worker>) {
        let Parts {
            ledger,
            pool,
            redis,
            redis_prefix,
            vault,
            tokens,
            otp,
            refreshes_per_hour,
            otp_sender,
            razorpay,
            webhook_seal,
            heads,
            nodes,
            works,
        } = parts;
        let known = Known::default();
        let settings = Settings::new(pool.clone(), known.clone());
        let commands = Commands::new(ledger.clone(), settings.clone());
        let shared = SharedRedis::new(redis.clone(), &redis_prefix);
        let limits = RateLimiter::new(shared.clone());
        let access = AccessChanges::new(known);
        let people = People::new(pool.clone(), vault, access.clone());
        let otp = Otp::new(pool.clone(), people.clone(), limits.clone(), otp_sender, otp);
        let hosts = Hosts::new(pool.clone(), access.clone());
        let presence = Presence::new(redis.clone(), &redis_prefix);
        let (bus, attendance) = match nodes {
            Nodes::One => (Bus::alone(), Attendance::alone(ledger.clone())),
            Nodes::Several => (Bus::shared(), Attendance::shared(ledger.clone(), shared.clone())),
        };
        let calls = Calls {
            pool: pool.clone(),
            commands: commands.clone(),
            hosts: hosts.clone(),
            presence: presence.clone(),
            settings: settings.clone(),
            attendance: attendance.clone(),
            limits: limits.clone(),
            bus: bus.clone(),
            turns: Turns::default(),
        };
        let bounds = Bounds::new(limits.clone(), settings.clone());
        let webhooks = Inbox::new(pool.clone(), webhook_seal);
        let purchases = Purchases::new(
            pool.clone(),
            commands.clone(),
            Arc::new(razorpay),
            webhooks.clone(),
            bounds.clone(),
            settings.clone(),
        );
        let agencies = Agencies::new(pool.clone());
        let approvals = Approvals::new(pool.clone(), commands.clone(), settings.clone(), agencies.clone());
        let app = Services {
            people,
            cards: Cards::new(pool.clone()),
            otp,
            sessions: Sessions::new(pool.clone(), tokens, access.clone(), limits.clone(), refreshes_per_hour),
            restrictions: Restrictions::new(pool.clone(), access.clone()),
            agencies,
            payees: Payees::new(pool.clone()),
            reconciliations: Reconciliations::new(pool.clone()),
            presence,
            orders: Orders::new(commands.clone(), purchases.clone(), hosts.clone()),
            gifts: Gifts::new(pool.clone(), commands.clone(), hosts.clone()),
            referrals: Referrals::new(pool.clone(), commands.clone()),
            notes: Notes::new(pool.clone()),
            audit: AuditLog::new(pool.clone()),
            approvals,
            webhooks,
            heads,
            bounds,
            ledger,
            pool,
            redis,
            shared,
            commands,
            hosts,
            settings,
            limits,
            attendance,
            calls,
            purchases,
            bus,
            access,
        };
        let app = App(Arc::new(app));
        let workers = app.workers(nodes, works);
        (app, workers)
    }

    fn workers(&self, nodes: Nodes, works: bool) -> Vec<Worker> {
        let mut workers = vec![
            self.worker("known", async |app| app.access.known().keep_in_step(&app.pool).await),
            self.worker("request_counts", async |app| {
                app.limits.keep_exchanging().await;
                Ok(())
            }),
        ];
        if works {
            workers.extend([
                self.worker("ring_sweep", async |app| {
                    app.calls.sweep().await;
                    Ok(())
                }),
                self.worker("session_sweep", async |app| {
                    Sweep::new(app.pool.clone()).run().await;
                    Ok(())
                }),
                self.worker("webhook_inbox", async |app| {
                    app.purchases.work().await;
                    Ok(())
                }),
                self.worker("purchase_sweep", async |app| {
                    app.purchases.sweep().await;
                    Ok(())
                }),
                self.worker("approvals", async |app| {
                    app.approvals.work().await;
                    Ok(())
                }),
            ]);
        }
        if nodes == Nodes::Several {
            workers.push(self.worker("attendance_exchange", async |app| {
                app.attendance.keep_exchanging().await;
                Ok(())
            }));
            workers.push(self.worker("news", async |app| app.bus.keep_carrying(&app.pool).await));
        }
        workers
    }

    fn worker<F>(&self, name: &'static str, run: impl Fn(App) -> F + Send + Sync + 'static) -> Worker
    where
        F: Future<Output = Result<(), WorkerFault>> + Send + 'static,
    {
        let app = self.clone();
        Worker::new(name, move || run(app.clone()))
    }
}

//! Everything that a request can need, put together once.

use crate::attendance::Attendance;
use crate::audit::AuditLog;
use crate::calls::Calls;
use crate::commands::Commands;
use crate::gifts::Gifts;
use crate::hosts::Hosts;
use crate::identity::{AccessChanges, AccessTokens, Agencies, Otp, OtpConfig, People, PhoneVault, Sessions};
use crate::notes::Notes;
use crate::presence::Presence;
use crate::purchases::Purchases;
use crate::push::Bus;
use crate::rate_limit::RateLimiter;
use crate::settings::Settings;
use integrations::otp_sender::OtpSender;
use integrations::razorpay::Razorpay;
use ledger_runtime::Ledger;
use redis::aio::ConnectionManager;
use sqlx::PgPool;
use std::pin::Pin;
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
    pub otp_sender: OtpSender,
    pub razorpay: Razorpay,
}

/// The services of the platform; cheap to clone.
#[derive(Clone)]
pub struct App {
    pub ledger: Ledger,
    pub pool: PgPool,
    pub redis: ConnectionManager,
    pub commands: Commands,
    pub people: People,
    pub otp: Otp,
    pub sessions: Sessions,
    pub agencies: Agencies,
    pub hosts: Hosts,
    pub presence: Presence,
    pub settings: Settings,
    pub limits: RateLimiter,
    pub attendance: Attendance,
    pub calls: Calls,
    pub purchases: Purchases,
    pub gifts: Gifts,
    pub notes: Notes,
    pub audit: AuditLog,
    pub bus: Bus,
    pub access: AccessChanges,
}

/// Work that goes on beside the requests, for as long as it is polled.
pub type Background = Vec<Pin<Box<dyn Future<Output = ()> + Send>>>;

impl App {
    /// The services, and the work that has to be spawned for them.
    pub fn new(parts: Parts) -> (App, Background) {
        let Parts { ledger, pool, redis, redis_prefix, vault, tokens, otp, otp_sender, razorpay } = parts;
        let settings = Settings::new(pool.clone());
        let commands = Commands::new(ledger.clone(), settings.clone());
        let limits = RateLimiter::new(redis.clone(), &redis_prefix);
        let access = AccessChanges::default();
        let people = People::new(pool.clone(), vault, access.clone());
        let otp = Otp::new(pool.clone(), people.clone(), limits.clone(), otp_sender, otp);
        let hosts = Hosts::new(pool.clone(), access.clone());
        let presence = Presence::new(redis.clone(), &redis_prefix);
        let bus = Bus::default();
        let (attendance, keep_in_step) = Attendance::new(ledger.clone());
        let calls = Calls::new(
            pool.clone(),
            commands.clone(),
            hosts.clone(),
            presence.clone(),
            settings.clone(),
            attendance.clone(),
            bus.clone(),
        );
        let purchases = Purchases::new(pool.clone(), commands.clone(), Arc::new(razorpay));
        let background: Background =
            vec![Box::pin(keep_in_step), Box::pin(calls.clone().sweep()), Box::pin(purchases.clone().work())];
        let app = App {
            people,
            otp,
            sessions: Sessions::new(pool.clone(), tokens, access.clone()),
            agencies: Agencies::new(pool.clone()),
            presence,
            gifts: Gifts::new(pool.clone(), commands.clone(), hosts.clone()),
            notes: Notes::new(pool.clone()),
            audit: AuditLog::new(pool.clone()),
            ledger,
            pool,
            redis,
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
        (app, background)
    }
}

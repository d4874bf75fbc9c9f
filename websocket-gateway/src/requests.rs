//! Does what a socket asks for, one request after the other, so that replies keep the order.
//!
//! It runs beside the reading: what was begun is finished even when the socket goes away meanwhile.

use crate::protocol::*;
use crate::push::{ExpiredPush, Push};
use crate::registry::Line;
use crate::{Config, Shared};
use axum::extract::ws::Utf8Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use ledger_core::{CallId, ClientKey, PersonId, Rejection};
use platform::calls::Invitation;
use platform::clock;
use platform::commands::CommandError;
use platform::gifts::Sending;
use platform::identity::{AuthError, Caller, Role};
use platform::problem::Problem;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// What the reading side hands over.
pub(crate) enum Job {
    Request(Id, Request),
    /// The token's time is over.
    Expired,
}

pub(crate) struct Requests {
    pub shared: Arc<Shared>,
    pub line: Line,
    /// Who the socket speaks for, as last proved.
    pub caller: watch::Sender<Caller>,
}

impl Requests {
    /// Works until the reading side is gone and all that it handed over is done.
    pub async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.recv().await {
            match job {
                Job::Request(id, request) => {
                    let name = request.name();
                    let reply = self.reply(&id, request).await;
                    let outcome = if reply.is_ok() { "done" } else { "refused" };
                    metrics::counter!("muneem_websocket_requests_total", "type" => name, "outcome" => outcome)
                        .increment(1);
                    self.answer_with(&id, reply);
                }
                Job::Expired => self.expired().await,
            }
        }
    }

    fn answer_with(&self, id: &Id, reply: Result<Utf8Bytes, Problem>) {
        match reply {
            Ok(frame) => {
                self.line.send(frame);
            }
            Err(problem) => {
                self.line.send(refused(Some(id), &problem));
                self.close_if_ended(&problem);
            }
        }
    }

    fn close_if_ended(&self, problem: &Problem) {
        if problem.code == Close::SESSION_ENDED.reason {
            self.line.closer.close(Close::SESSION_ENDED);
        }
    }

    async fn reply(&self, id: &Id, request: Request) -> Result<Utf8Bytes, Problem> {
        let now = clock::now();
        let person = match &request {
            Request::Auth(auth) => return Ok(done(id, &self.authenticate(&auth.token, now).await?)),
            Request::Ping(_) => return Ok(done(id, &Pong { at: now })),
            _ => self.may(request.role(), now).await?,
        };
        match request {
            Request::CallInvite(it) => Ok(done(id, &self.invite(person, it, now).await?)),
            Request::CallAnswer(it) => Ok(done(id, &self.answer(person, it, now).await?)),
            Request::CallCancel(it) => Ok(done(id, &self.cancel(person, it.call, now).await?)),
            Request::CallHangUp(it) => Ok(done(id, &self.hang_up(person, it, now).await?)),
            Request::GiftSend(it) => Ok(done(id, &self.send_gift(person, it).await?)),
            Request::PresenceUpdate(it) => Ok(done(id, &self.choose_presence(person, it, now).await?)),
            Request::Auth(_) | Request::Ping(_) => Err(Problem::unavailable()),
        }
    }

    /// A request counts only while the session lives and its person has the role, as over HTTP: a logout or
    /// a lost role elsewhere counts here at once.
    async fn may(&self, needed: Option<Role>, now: DateTime<Utc>) -> Result<PersonId, Problem> {
        let caller = self.caller.borrow().clone();
        if now >= caller.expires_at {
            return Err(Problem::from(&AuthError::TokenExpired));
        }
        let caller = self.caller_now(caller).await?;
        if let Some(role) = needed {
            caller.require(role).map_err(|error| Problem::from(&error))?;
        }
        Ok(caller.person)
    }

    /// The caller with the roles of now, if the session lives.
    async fn caller_now(&self, mut caller: Caller) -> Result<Caller, Problem> {
        let roles = self.shared.app.sessions.roles(caller.person, caller.session).await;
        caller.take_roles(&roles.map_err(|error| Problem::from(&error))?);
        self.caller.send_if_modified(|kept| kept.session == caller.session && kept.take_roles(&caller.roles));
        Ok(caller)
    }

    async fn authenticate(&self, token: &str, now: DateTime<Utc>) -> Result<Welcome, Problem> {
        let caller =
            self.shared.app.sessions.authenticate(token, now).await.map_err(|error| Problem::from(&error))?;
        if caller.person != self.caller.borrow().person {
            let detail = "this socket belongs to another person; open a new one";
            return Err(Problem::new(409, "another_person", detail));
        }
        let welcome = self.shared.welcome(&caller, now).await?;
        self.caller.send_replace(caller);
        Ok(welcome)
    }

    async fn expired(&self) {
        let caller = self.caller.borrow().clone();
        if clock::now() < caller.expires_at {
            return;
        }
        if let Err(problem) = self.caller_now(caller.clone()).await {
            return self.close_if_ended(&problem);
        }
        let closes_at = closes_at(&caller, &self.shared.config);
        let push = Push::AuthExpired(ExpiredPush { closes_at });
        self.line.send(push.frame(None));
    }

    async fn invite(
        &self,
        payer: PersonId,
        asked: CallInvite,
        now: DateTime<Utc>,
    ) -> Result<Ringing, Problem> {
        let CallInvite { host, medium, price_seen_milli_per_minute, key } = asked;
        let invitation = Invitation { payer, host, medium, price_seen_milli_per_minute };
        let ring = self.shared.app.calls.invite(key_of(&key)?, invitation, now).await.map_err(problem)?;
        Ok(Ringing {
            call: CallId(ring.call),
            host,
            medium: ring.medium,
            price_milli_per_minute: ring.price_milli_per_minute,
            status: ring.status,
            expires_at: ring.expires_at,
        })
    }

    async fn answer(
        &self,
        host: PersonId,
        asked: CallAnswer,
        now: DateTime<Utc>,
    ) -> Result<Answered, Problem> {
        let (calls, call) = (&self.shared.app.calls, asked.call);
        if !asked.accept {
            calls.reject(host, call, now).await.map_err(problem)?;
            return Ok(Answered { call, accepted: false, receipt: None });
        }
        let receipt = calls.accept(host, call, now).await.map_err(problem)?;
        Ok(Answered { call, accepted: true, receipt: Some(receipt.into()) })
    }

    async fn cancel(&self, payer: PersonId, call: CallId, now: DateTime<Utc>) -> Result<Cancelled, Problem> {
        self.shared.app.calls.cancel(payer, call, now).await.map_err(problem)?;
        Ok(Cancelled { call })
    }

    async fn hang_up(
        &self,
        person: PersonId,
        asked: CallHangUp,
        now: DateTime<Utc>,
    ) -> Result<HungUp, Problem> {
        let CallHangUp { call, key } = asked;
        let receipt = self.shared.app.calls.end(person, key_of(&key)?, call, now).await.map_err(problem)?;
        Ok(HungUp { call, receipt: receipt.map(Into::into) })
    }

    async fn send_gift(&self, sender: PersonId, asked: GiftSend) -> Result<GiftReceipt, Problem> {
        let GiftSend { host, gift, call, price_seen_milli, key } = asked;
        let asked = Sending { host, gift, call, price_seen_milli };
        let (sending, receipt) =
            self.shared.app.gifts.send(sender, key_of(&key)?, asked).await.map_err(problem)?;
        Ok(GiftReceipt { sending, receipt: receipt.into() })
    }

    async fn choose_presence(
        &self,
        person: PersonId,
        asked: PresenceUpdate,
        now: DateTime<Utc>,
    ) -> Result<PresenceChosen, Problem> {
        let (presence, status) = (&self.shared.app.presence, asked.status);
        let chosen = presence.set_hidden(person, status == ChosenStatus::Offline).await;
        chosen.map_err(|fault| Problem::from(&fault))?;
        let status_now = presence.get(person, now).await.map_err(|fault| Problem::from(&fault))?;
        let push = Push::PresenceUpdate(crate::push::PresencePush { person, status: status_now });
        self.shared.registry.push(person, None, &push);
        Ok(PresenceChosen { status })
    }
}

/// When a socket whose token has expired is closed.
pub(crate) fn closes_at(caller: &Caller, config: &Config) -> DateTime<Utc> {
    let grace = TimeDelta::from_std(config.expiry_grace).unwrap_or_default();
    caller.expires_at.checked_add_signed(grace).unwrap_or(caller.expires_at)
}

fn key_of(text: &str) -> Result<ClientKey, Problem> {
    text.parse().map_err(|refusal: Rejection| problem(refusal.into()))
}

fn problem(error: CommandError) -> Problem {
    let problem = Problem::from(&error);
    if problem.code == "unavailable" {
        tracing::warn!(fault = %error, "a request could not be done");
    }
    problem
}

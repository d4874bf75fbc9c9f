//! Does what a socket asks for, in the order in which it is asked, and answers in that order.
//!
//! A client need not wait for one reply before it asks for the next thing. Each request is begun once the one before it
//! can no longer be overtaken: a gift when it is in the ledger's line, so that many of one socket are recorded together;
//! anything else when it is done. What was begun is finished even when the socket goes away meanwhile.
//!
//! The task that does it lives only while something is unanswered: an idle socket has none.

use crate::line::Line;
use crate::places::Place;
use crate::protocol::*;
use crate::push::{ExpiredPush, Push};
use crate::{Config, Shared};
use axum::extract::ws::Utf8Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{BoxFuture, FutureExt, ready};
use futures_util::stream::{FuturesOrdered, StreamExt};
use ledger_core::{CallId, ClientKey, PersonId, Rejection};
use ledger_runtime::Submitted;
use platform::calls::Invitation;
use platform::clock;
use platform::commands::CommandError;
use platform::gifts::{self, Sending};
use platform::identity::{AuthError, Caller, Role};
use platform::problem::Problem;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// What the reading side hands over.
pub(crate) enum Job {
    Request(Id, Request),
    /// The token's time is over.
    Expired,
}

/// What is unanswered of one socket.
pub(crate) struct Requests {
    shared: Arc<Shared>,
    line: Line,
    /// Who the socket speaks for, as last proved.
    caller: watch::Sender<Caller>,
    waiting: Mutex<Waiting>,
    /// Something is there to be begun, or nothing is unanswered any more.
    changed: Notify,
    /// What was begun counts as a socket until it is done: a shutdown waits for both.
    _place: Place,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Those that wait and those that were begun.
    unanswered: usize,
    /// Whether a task works on them.
    is_worked: bool,
}

/// What is said of a job once it is done; nothing of one that nobody asked for.
type Answer = Option<(&'static str, Id, Result<Utf8Bytes, Problem>)>;

impl Requests {
    pub fn new(
        shared: Arc<Shared>,
        line: Line,
        caller: watch::Sender<Caller>,
        place: Place,
    ) -> Arc<Requests> {
        let (waiting, changed) = (Mutex::default(), Notify::new());
        Arc::new(Requests { shared, line, caller, waiting, changed, _place: place })
    }

    /// Whether the job was taken: not while as many are unanswered as may be.
    pub fn take(self: &Arc<Self>, job: Job) -> bool {
        let mut waiting = self.lock();
        if waiting.unanswered >= self.shared.config.max_unanswered {
            return false;
        }
        waiting.unanswered += 1;
        waiting.jobs.push_back(job);
        if std::mem::replace(&mut waiting.is_worked, true) {
            self.changed.notify_one();
        } else {
            tokio::spawn(self.clone().work_watched());
        }
        true
    }

    /// After a fault of ours nothing further is answered here, so the client has to open another socket.
    async fn work_watched(self: Arc<Self>) {
        let closer = self.line.closer.clone();
        if AssertUnwindSafe(self.work()).catch_unwind().await.is_err() {
            closer.close(Close::UNAVAILABLE);
        }
    }

    /// Works until nothing is unanswered.
    async fn work(self: Arc<Self>) {
        let mut answers = FuturesOrdered::new();
        let mut beginning = self.clone().begin_next();
        loop {
            tokio::select! {
                begun = &mut beginning => match begun {
                    Some(answer) => {
                        answers.push_back(answer);
                        beginning = self.clone().begin_next();
                    }
                    None => return,
                },
                Some(answer) = answers.next() => {
                    // First room, then the reply: a client that has it may send the next request at once.
                    self.one_less();
                    self.tell(answer);
                }
            }
        }
    }

    fn one_less(&self) {
        let mut waiting = self.lock();
        waiting.unanswered -= 1;
        if waiting.unanswered == 0 {
            self.changed.notify_one();
        }
    }

    /// Begins the next job; `None` when nothing is unanswered.
    fn begin_next(self: Arc<Self>) -> BoxFuture<'static, Option<BoxFuture<'static, Answer>>> {
        async move {
            let job = self.next().await?;
            Some(self.begin(job).await)
        }
        .boxed()
    }

    /// The next job, if there is one or can be one while this task works.
    async fn next(&self) -> Option<Job> {
        loop {
            {
                let mut waiting = self.lock();
                if let Some(job) = waiting.jobs.pop_front() {
                    return Some(job);
                }
                if waiting.unanswered == 0 {
                    *waiting = Waiting::default();
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Does a job up to where the next one may be begun.
    async fn begin(&self, job: Job) -> BoxFuture<'static, Answer> {
        let (id, request) = match job {
            Job::Request(id, request) => (id, request),
            Job::Expired => {
                self.expired().await;
                return ready(None).boxed();
            }
        };
        let (name, role) = (request.name(), request.role());
        let reply = match request {
            Request::GiftSend(gift) => match self.begin_gift(role, gift).await {
                Ok(submitted) => {
                    return async move {
                        let sent = gifts::outcome(submitted).await.map_err(problem);
                        let receipt =
                            |(sending, receipt)| GiftReceipt { sending, receipt: Into::into(receipt) };
                        let reply = sent.map(|sent| done(&id, &receipt(sent)));
                        Some((name, id, reply))
                    }
                    .boxed();
                }
                Err(problem) => Err(problem),
            },
            // Boxed: what ringing a host needs is not carried about for a gift.
            request => Box::pin(self.reply(&id, request)).await,
        };
        ready(Some((name, id, reply))).boxed()
    }

    fn tell(&self, answer: Answer) {
        let Some((name, id, reply)) = answer else { return };
        let outcome = if reply.is_ok() { "done" } else { "refused" };
        metrics::counter!("muneem_websocket_requests_total", "type" => name, "outcome" => outcome)
            .increment(1);
        match reply {
            Ok(frame) => {
                self.line.send(frame);
            }
            Err(problem) => {
                self.line.send(refused(Some(&id), &problem));
                self.close_if_ended(&problem);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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
            Request::CallInvite(it) => Ok(done(id, &self.invite(person, it).await?)),
            Request::CallAnswer(it) => Ok(done(id, &self.answer(person, it, now).await?)),
            Request::CallCancel(it) => Ok(done(id, &self.cancel(person, it.call, now).await?)),
            Request::CallEnd(it) => Ok(done(id, &self.hang_up(person, it, now).await?)),
            Request::PresenceUpdate(it) => Ok(done(id, &self.choose_presence(person, it, now).await?)),
            // A gift is begun apart, and the others are answered above.
            Request::GiftSend(_) | Request::Auth(_) | Request::Ping(_) => Err(Problem::unavailable()),
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

    async fn invite(&self, payer: PersonId, asked: CallInvite) -> Result<Ringing, Problem> {
        let CallInvite { host, medium, price_seen_milli_per_minute, key } = asked;
        let invitation = Invitation { payer, host, medium, price_seen_milli_per_minute };
        let ring = self.shared.app.calls.invite(key_of(&key)?, invitation).await.map_err(problem)?.ring;
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

    async fn hang_up(&self, person: PersonId, asked: CallEnd, now: DateTime<Utc>) -> Result<HungUp, Problem> {
        let CallEnd { call, key } = asked;
        let receipt = self.shared.app.calls.end(person, key_of(&key)?, call, now).await.map_err(problem)?;
        Ok(HungUp { call, receipt: receipt.map(Into::into) })
    }

    async fn begin_gift(&self, role: Option<Role>, asked: GiftSend) -> Result<Submitted, Problem> {
        let sender = self.may(role, clock::now()).await?;
        let GiftSend { host, gift, call, price_seen_milli, key } = asked;
        let asked = Sending { host, gift, call, price_seen_milli };
        self.shared.app.gifts.submit(sender, key_of(&key)?, asked).await.map_err(problem)
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
        let push = Push::PresenceUpdated(crate::push::PresencePush { person, status: status_now });
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

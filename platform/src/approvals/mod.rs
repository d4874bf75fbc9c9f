//! What takes two admins: payouts, adjustments, write-offs and bonuses above a limit, and raising a limit. One admin proposes,
//! another one approves or declines. An approved proposal is executed once, however often it is approved.

mod approval;
mod proposal;

pub use approval::{Amount, Approval, Filter, State};
pub use proposal::Proposal;

use crate::audit::{self, Author, Change};
use crate::commands::{CommandError, Commands};
use crate::identity::{Agencies, AgencyError};
use crate::page::{ListError, Page, Place, page_size, push_amounts, push_period};
use crate::settings::{ApprovalSettings, Settings};
use approval::ApprovalRow;
use chrono::{DateTime, TimeDelta, Utc};
use ledger_core::state::KEY_LIFE_MS;
use ledger_core::withdrawals::{Withdrawal, WithdrawalStatus};
use ledger_core::{
    Account, Actor, Asset, ClientKey, Key, MAX_AMOUNT, PersonId, Rejection, SettlementId, Timestamp,
    check_key, command_ids,
};
use ledger_runtime::{ExecuteError, Receipt};
use proposal::is_adjustable;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder, types::Json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tracing::{error, warn};
use uuid::Uuid;

/// Proposals of one admin that may wait at a time.
const OPEN_AT_MOST: i64 = 100;
/// How often proposals that ran out are closed, and those that a crash left unexecuted are executed.
const ROUND: Duration = Duration::from_secs(30);
/// How long an approved proposal is left to the request that approved it.
const LEFT_TO_REQUEST: TimeDelta = TimeDelta::seconds(30);

/// What became of something that may take two admins.
#[derive(Clone, Debug)]
pub enum Given {
    /// It lies within the limit and is done.
    Done(Receipt),
    /// It waits for a second admin.
    Proposed {
        approval: Box<Approval>,
        /// Whether this is the answer to a retry.
        replayed: bool,
    },
}

#[derive(Clone)]
pub struct Approvals {
    pool: PgPool,
    commands: Commands,
    settings: Settings,
    agencies: Agencies,
    turn: Arc<Mutex<()>>,
}

impl Approvals {
    pub fn new(pool: PgPool, commands: Commands, settings: Settings, agencies: Agencies) -> Approvals {
        Approvals { pool, commands, settings, agencies, turn: Arc::default() }
    }

    /// Does what lies within the limits, and proposes what lies above them. The same key again answers the same
    /// receipt or the same proposal, whatever the limits are by then.
    ///
    /// # Errors
    /// `own_money` when it is about the author's own money; the ledger's refusal.
    pub async fn give(
        &self,
        author: &Author,
        key: ClientKey,
        proposal: Proposal,
    ) -> Result<Given, CommandError> {
        let person = author.admin()?;
        let Some(command) = proposal.command() else {
            return Err(CommandError::NotFound("command"));
        };
        let (actor, operation) = (Actor::Person(person), command.operation());
        // Copies of one request come one after the other: with a limit that changes between them, one would be done
        // and another one proposed.
        let _turn = self.turn.lock().await;
        // Those that reach other nodes too: only one of each node waits here, so that connections stay free.
        let mut everywhere = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('muneem approvals', 0))")
            .execute(&mut *everywhere)
            .await?;
        let now = self.commands.now().await?;
        let client = Key::Client(key.clone());
        check_key(&client, now.into())?;
        let ids_at = |at: DateTime<Utc>| -> Vec<Uuid> {
            let ids = command_ids(actor, operation, &client, at.into());
            ids.iter().map(|id| id.derive("approval")).collect()
        };
        // Those of the day after too: no event holds the time of a proposal, so that a server that starts again on an
        // earlier clock is before it.
        for id in ids_at(now).into_iter().chain(ids_at(now + TimeDelta::days(1))) {
            let Some(earlier) = self.known(id).await? else { continue };
            // A key that says when it was made is good for a day from then, which was checked above.
            let age_ms = Timestamp::from(now).since(earlier.proposed_at.into());
            if key.made_at().is_none() && age_ms > KEY_LIFE_MS {
                continue;
            }
            // A retry. The same key for something else is refused as the ledger would refuse it.
            if earlier.proposal != proposal {
                return Err(Rejection::KeyReused.into());
            }
            return Ok(Given::Proposed { approval: Box::new(earlier), replayed: true });
        }
        let subject = self.subject(&proposal).await?;
        if subject.beneficiary == Some(person) {
            return Err(Rejection::OwnMoney.into());
        }
        let limits = self.settings.approvals().await?;
        // A retry of what was within the limits is answered by the ledger, whatever they are by now.
        if self.commands.is_recorded(actor, operation, &key).await? || self.within(&proposal, &limits).await?
        {
            return Ok(Given::Done(self.commands.give_audited(author, key, command, now).await?));
        }
        let approval = self.propose(ids_at(now)[0], author, proposal, subject, &limits, now).await?;
        Ok(Given::Proposed { approval: Box::new(approval), replayed: false })
    }

    /// Sets other limits. Lower ones hold at once; a higher one is proposed, so that nobody lifts a limit and uses it
    /// alone.
    ///
    /// # Errors
    /// When a limit is out of bounds.
    pub async fn set_limits(
        &self,
        author: &Author,
        limits: ApprovalSettings,
        now: DateTime<Utc>,
    ) -> Result<Option<Approval>, CommandError> {
        limits.validate()?;
        let in_force = self.settings.approvals().await?;
        if !limits.raises(&in_force) {
            self.settings.set_approvals(&limits, author, now).await?;
            return Ok(None);
        }
        let proposal = Proposal::Limits { limits };
        let id = crate::entropy::uuid_v7();
        Ok(Some(self.propose(id, author, proposal, Subject::default(), &in_force, now).await?))
    }

    async fn propose(
        &self,
        id: Uuid,
        author: &Author,
        proposal: Proposal,
        Subject { beneficiary, amount }: Subject,
        limits: &ApprovalSettings,
        now: DateTime<Utc>,
    ) -> Result<Approval, CommandError> {
        let person = author.admin()?;
        author.reason().map(audit::check_reason).transpose()?;
        let mut tx = self.pool.begin().await?;
        let open: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM app.approvals WHERE proposed_by = $1 AND state = 'proposed'",
        )
        .bind(person.0)
        .fetch_one(&mut *tx)
        .await?;
        if open >= OPEN_AT_MOST {
            return Err(CommandError::Refused {
                code: "too_many_proposals",
                message: "too many of your proposals wait for another admin",
            });
        }
        let note = audit::keep_note(&mut tx, author, None, now).await?;
        let inserted = sqlx::query(
            "INSERT INTO app.approvals (id, proposal, beneficiary, proposed_by, proposed_at, reason, note, expires_at,
                                        amount_minor, amount_asset)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(Json(&proposal))
        .bind(beneficiary.map(|person| person.0))
        .bind(person.0)
        .bind(now)
        .bind(author.reason())
        .bind(note.map(|note| note.0))
        .bind(now + TimeDelta::seconds(limits.expires_seconds.into()))
        .bind(amount.map(|amount| amount.minor))
        .bind(amount.map(|amount| amount.asset.to_string()))
        .execute(&mut *tx)
        .await?;
        // Of two retries at once the first one proposes.
        if inserted.rows_affected() == 1 {
            let after = serde_json::to_value(&proposal).unwrap_or(Value::Null);
            let author = author.clone().with_note(author.reason().map(str::to_owned), note);
            let change = Change::new("approval.proposed", "approval", id).after(after);
            audit::record(&mut tx, &author, change, now).await?;
        }
        tx.commit().await?;
        self.known(id).await?.ok_or(CommandError::NotFound("approval"))
    }

    /// Approves a proposal and executes it. Approving again, or at once with somebody else, executes it once.
    ///
    /// # Errors
    /// `NotFound`; `own_money` for the person whose money it is; `approval_needs_another_admin` for the proposer;
    /// `approval_closed` when it was declined or ran out.
    pub async fn approve(
        &self,
        id: Uuid,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<Approval, CommandError> {
        let person = author.admin()?;
        let mut tx = self.pool.begin().await?;
        let approval = lock(&mut tx, id).await?;
        if approval.beneficiary == Some(person) {
            return Err(Rejection::OwnMoney.into());
        }
        if approval.proposed_by == person {
            return Err(CommandError::Refused {
                code: "approval_needs_another_admin",
                message: "another admin than the proposer has to approve",
            });
        }
        match approval.state {
            State::Proposed if approval.expires_at > now => {
                set_decided(&mut tx, id, State::Approved, person, now).await?;
                let change = Change::new("approval.approved", "approval", id)
                    .before(json!({ "state": approval.state, "proposed_by": approval.proposed_by }))
                    .after(json!({ "state": State::Approved }));
                audit::record(&mut tx, author, change, now).await?;
                tx.commit().await?;
            }
            State::Approved | State::Executed | State::Refused => drop(tx),
            State::Proposed | State::Declined | State::Expired => return Err(closed()),
        }
        self.execute(id, now).await
    }

    /// Declines a proposal. The proposer takes it back in the same way.
    ///
    /// # Errors
    /// `NotFound`; `approval_closed` when it was decided or ran out.
    pub async fn decline(
        &self,
        id: Uuid,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<Approval, CommandError> {
        let person = author.admin()?;
        let mut tx = self.pool.begin().await?;
        let approval = lock(&mut tx, id).await?;
        match approval.state {
            State::Proposed if approval.expires_at > now => {}
            // A repeated decline of the same admin.
            State::Declined if approval.decided_by == Some(person) => return Ok(approval),
            _ => return Err(closed()),
        }
        set_decided(&mut tx, id, State::Declined, person, now).await?;
        let change = Change::new("approval.declined", "approval", id)
            .before(json!({ "state": approval.state, "proposed_by": approval.proposed_by }))
            .after(json!({ "state": State::Declined }));
        audit::record(&mut tx, author, change, now).await?;
        tx.commit().await?;
        self.get(id).await
    }

    /// Executes an approved proposal under a key that follows from its id, so that the ledger records it once.
    async fn execute(&self, id: Uuid, now: DateTime<Utc>) -> Result<Approval, CommandError> {
        let approval = self.get(id).await?;
        let (State::Approved, Some(approver)) = (approval.state, approval.decided_by) else {
            return Ok(approval);
        };
        let author = Author::person(approver).with_note(approval.reason.clone(), approval.note);
        let done = match &approval.proposal {
            Proposal::Limits { limits } => {
                self.settings.set_approvals(limits, &author, now).await?;
                Ok(None)
            }
            proposal => {
                let command = proposal.command().ok_or(CommandError::NotFound("command"))?;
                let key = Key::Natural(format!("approval:{id}"));
                match self.commands.give_audited_as(&author, key, command, now).await {
                    Ok(receipt) => Ok(i64::try_from(receipt.revision).ok()),
                    Err(CommandError::Execute(ExecuteError::Rejected(rejection))) => Err(rejection.code()),
                    // Not decided: the worker, or approving again, executes it.
                    Err(fault) => return Err(fault),
                }
            }
        };
        // What was recorded stands, whatever another try was told.
        let (state, from, revision, failure) = match done {
            Ok(revision) => (State::Executed, ["approved", "refused"], revision, None),
            Err(code) => (State::Refused, ["approved", "approved"], None, Some(code)),
        };
        sqlx::query(
            "UPDATE app.approvals SET state = $2, revision = $3, failure = $4 WHERE id = $1 AND state = ANY($5)",
        )
        .bind(id)
        .bind(state.as_str())
        .bind(revision)
        .bind(failure)
        .bind(from)
        .execute(&self.pool)
        .await?;
        self.get(id).await
    }

    /// Closes proposals that ran out and executes those that a crash left approved, for as long as it is polled.
    pub async fn work(&self) {
        loop {
            if let Err(fault) = self.work_once(crate::clock::now()).await {
                warn!(%fault, "approvals wait");
            }
            tokio::time::sleep(ROUND).await;
        }
    }

    /// # Errors
    /// When Postgres or the ledger does not answer.
    pub async fn work_once(&self, now: DateTime<Utc>) -> Result<(), CommandError> {
        let mut tx = self.pool.begin().await?;
        let expired: Vec<Uuid> = sqlx::query_scalar(
            "UPDATE app.approvals SET state = 'expired' WHERE state = 'proposed' AND expires_at <= $1 RETURNING id",
        )
        .bind(now)
        .fetch_all(&mut *tx)
        .await?;
        for id in expired {
            let change =
                Change::new("approval.expired", "approval", id).after(json!({ "state": State::Expired }));
            audit::record(&mut tx, &Author::operator(), change, now).await?;
        }
        tx.commit().await?;
        let unexecuted: Vec<Uuid> = sqlx::query_scalar(
            "SELECT id FROM app.approvals WHERE state = 'approved' AND decided_at <= $1 ORDER BY decided_at LIMIT 100",
        )
        .bind(now - LEFT_TO_REQUEST)
        .fetch_all(&self.pool)
        .await?;
        for id in unexecuted {
            if let Err(fault) = self.execute(id, now).await {
                error!(alert = "approval_unexecuted", approval = %id, %fault, "an approved proposal is not executed yet");
            }
        }
        Ok(())
    }

    /// # Errors
    /// `NotFound`, or when Postgres fails.
    pub async fn get(&self, id: Uuid) -> Result<Approval, CommandError> {
        self.known(id).await?.ok_or(CommandError::NotFound("approval"))
    }

    async fn known(&self, id: Uuid) -> Result<Option<Approval>, sqlx::Error> {
        let row: Option<ApprovalRow> = sqlx::query_as("SELECT * FROM app.approvals WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(Approval::from))
    }

    /// One page, the newest first.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn list(
        &self,
        filter: &Filter,
        after: Option<Place>,
        limit: u32,
    ) -> Result<Page<Approval>, ListError> {
        let place = after.unwrap_or_else(Place::newest);
        let limit = page_size(limit);
        let mut query =
            QueryBuilder::<Postgres>::new("SELECT * FROM app.approvals WHERE (proposed_at, id) < (");
        query.push_bind(place.at).push(", ").push_bind(place.id).push(")");
        if let Some(state) = filter.state {
            query.push(" AND state = ").push_bind(state.as_str());
        }
        if let Some(kind) = filter.kind {
            query.push(" AND proposal->>'kind' = ").push_bind(kind);
        }
        if let Some(person) = filter.person {
            query.push(" AND (proposed_by = ").push_bind(person.0);
            query.push(" OR decided_by = ").push_bind(person.0);
            query.push(" OR beneficiary = ").push_bind(person.0).push(")");
        }
        push_period(&mut query, "proposed_at", filter.period);
        push_amounts(&mut query, "abs(amount_minor)", filter.amount_minor);
        query.push(" ORDER BY proposed_at DESC, id DESC LIMIT ").push_bind(limit + 1);
        let rows: Vec<ApprovalRow> = query.build_query_as().fetch_all(&self.pool).await?;
        let approvals = rows.into_iter().map(Approval::from).collect();
        Ok(Page::of(approvals, limit, |it: &Approval| Place { at: it.proposed_at, id: it.id }))
    }

    /// Whose money a proposal is about, and how much.
    async fn subject(&self, proposal: &Proposal) -> Result<Subject, CommandError> {
        let coins = |minor: i64| Some(Amount { minor, asset: Asset::COIN });
        let (beneficiary, amount) = match *proposal {
            Proposal::WriteOff { ref dispute_ref, amount_milli, .. } => {
                let dispute_ref = dispute_ref.clone();
                let buyer = self.commands.ledger().query(move |state, _| state.dispute(&dispute_ref)?.user);
                (buyer.await?, coins(amount_milli))
            }
            Proposal::Adjustment { account, amount_milli, .. } => {
                (self.owner(account).await?, coins(amount_milli))
            }
            Proposal::GatewayAdjustment { amount_minor: minor, asset, .. } => {
                (None, Some(Amount { minor, asset }))
            }
            Proposal::SettlementCorrection { settlement, amount_milli, .. } => {
                let owner = match self.settled(settlement).await? {
                    Some(account) => self.owner(account).await?,
                    None => None,
                };
                (owner, coins(amount_milli))
            }
            Proposal::Campaign { ref campaign } => (None, coins(campaign.budget_milli)),
            Proposal::Bonus { user, coins_milli, .. } => (Some(user), coins(coins_milli)),
            Proposal::Payout { withdrawal } => {
                let payout = self.commands.ledger().query(move |state, _| {
                    state
                        .withdrawal(withdrawal)
                        .map(|row| (row.payee.person(), row.gross_minor, row.payout_asset))
                });
                let payout = payout.await?;
                (payout.map(|(payee, ..)| payee), payout.map(|(_, minor, asset)| Amount { minor, asset }))
            }
            Proposal::Limits { .. } => (None, None),
        };
        Ok(Subject { beneficiary, amount })
    }

    /// The account whose earnings a settlement is of.
    async fn settled(&self, settlement: SettlementId) -> Result<Option<Account>, CommandError> {
        let of =
            self.commands.ledger().query(move |state, _| Some(state.settlement(settlement)?.1.of.account()));
        Ok(of.await?)
    }

    /// Whose account it is, where it is a person's.
    async fn owner(&self, account: Account) -> Result<Option<PersonId>, CommandError> {
        Ok(match account {
            Account::UserPurchased(person) | Account::UserBonus(person) | Account::HostEarnings(person) => {
                Some(person)
            }
            Account::AgencyEarnings(agency) => match self.agencies.get(agency).await {
                Ok(agency) => Some(agency.owner),
                Err(AgencyError::Database(fault)) => return Err(fault.into()),
                Err(_) => return Err(CommandError::NotFound("agency")),
            },
            _ => None,
        })
    }

    /// Whether one admin is enough.
    async fn within(&self, proposal: &Proposal, limits: &ApprovalSettings) -> Result<bool, CommandError> {
        // What the ledger refuses whatever another admin says is not proposed either.
        let within = |amount: i64, limit: i64| {
            let amount = amount.unsigned_abs();
            amount <= limit.unsigned_abs() || amount > MAX_AMOUNT.unsigned_abs()
        };
        Ok(match *proposal {
            Proposal::Adjustment { account, amount_milli, .. } => {
                !is_adjustable(account) || within(amount_milli, limits.adjustment_milli)
            }
            Proposal::GatewayAdjustment { amount_minor, .. } => within(amount_minor, limits.payout_minor),
            // Of one that is not there, the ledger says so.
            Proposal::SettlementCorrection { settlement, amount_milli, .. } => {
                self.settled(settlement).await?.is_none() || within(amount_milli, limits.adjustment_milli)
            }
            // It is a correction of what somebody owes.
            Proposal::WriteOff { ref dispute_ref, amount_milli, .. } => {
                let dispute_ref = dispute_ref.clone();
                let owed = self.commands.ledger().query(move |state, _| {
                    state.dispute(&dispute_ref).and_then(|row| Some(row.loss.as_ref()?.left_milli()))
                });
                // Of what is not owed, the ledger says so.
                owed.await?.is_none_or(|owed_milli| amount_milli > owed_milli)
                    || within(amount_milli, limits.adjustment_milli)
            }
            // What it may give more than before.
            Proposal::Campaign { ref campaign } => {
                let (id, budget_milli) = (campaign.campaign, campaign.budget_milli);
                let budget =
                    move |state: &ledger_core::State, _| state.campaign(id).map(|row| row.terms.budget_milli);
                let before_milli = self.commands.ledger().query(budget).await?.unwrap_or(0);
                budget_milli <= before_milli || within(budget_milli - before_milli, limits.bonus_milli)
            }
            Proposal::Bonus { coins_milli, .. } => within(coins_milli, limits.bonus_milli),
            Proposal::Payout { withdrawal } => {
                let payout = self
                    .commands
                    .ledger()
                    .query(move |state, _| {
                        let waits = |row: &&Withdrawal| row.status == WithdrawalStatus::Requested;
                        state.withdrawal(withdrawal).filter(waits).map(|row| row.gross_minor)
                    })
                    .await?;
                // Of one that is not there, or that was decided, the ledger says so.
                payout.is_none_or(|minor| within(minor, limits.payout_minor))
            }
            Proposal::Limits { .. } => false,
        })
    }
}

/// What a proposal is about.
#[derive(Clone, Copy, Default)]
struct Subject {
    /// Whose money it is, where it is a person's.
    beneficiary: Option<PersonId>,
    amount: Option<Amount>,
}

fn closed() -> CommandError {
    CommandError::Refused {
        code: "approval_closed",
        message: "this proposal was decided already or has run out",
    }
}

async fn lock(tx: &mut PgConnection, id: Uuid) -> Result<Approval, CommandError> {
    let row: Option<ApprovalRow> = sqlx::query_as("SELECT * FROM app.approvals WHERE id = $1 FOR UPDATE")
        .bind(id)
        .fetch_optional(tx)
        .await?;
    row.map(Approval::from).ok_or(CommandError::NotFound("approval"))
}

async fn set_decided(
    tx: &mut PgConnection,
    id: Uuid,
    state: State,
    by: PersonId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE app.approvals SET state = $2, decided_by = $3, decided_at = $4 WHERE id = $1")
        .bind(id)
        .bind(state.as_str())
        .bind(by.0)
        .bind(now)
        .execute(tx)
        .await?;
    Ok(())
}

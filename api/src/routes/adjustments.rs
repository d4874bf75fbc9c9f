//! Corrections by hand.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, IdempotencyKey, Json};
use crate::page::COIN;
use crate::receipt::{Answered, Recorded, made};
use crate::routes::approvals::{ApprovalView, DoneOrProposed};
use axum::extract::State;
use ledger_core::{Account, Actor, ClientKey, DifferenceId, NoteId, PersonId, command};
use platform::approvals::{Given, Proposal};
use platform::commands::CommandError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(post_adjustment))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PostAdjustment {
    /// An account of a user, a host or an agency.
    #[schema(value_type = String, example = "user:01980000-0000-7000-8000-000000000000:purchased")]
    account: Account,
    /// What its owner gains (positive) or loses (negative).
    amount_milli: i64,
    /// A code of 1 to 64 small letters, digits and underscores.
    #[schema(example = "duplicate_charge")]
    reason: String,
    /// The words behind the code, up to 2000 characters; kept outside the journal.
    note: Option<String>,
    /// The difference of a reconciliation that it settles. Each is settled once.
    settles: Option<Uuid>,
}

#[derive(Serialize, ToSchema)]
struct AdjustmentPosted {
    #[serde(flatten)]
    recorded: Recorded,
    adjustment: Uuid,
    note: Option<Uuid>,
    #[schema(example = "COIN/3")]
    asset: &'static str,
    amount_milli: i64,
}

/// Adjust an account
///
/// Use it to give back what was charged wrongly, or to take what was credited wrongly. An admin cannot adjust their own
/// account or their own agency's (`own_money`). Above the limit in `/v1/admin/settings/approvals` nothing is posted:
/// the answer is 202 with a proposal that another admin approves or declines.
#[utoipa::path(post, path = "/v1/admin/adjustments", tag = "admin: books", security(("bearer" = ["admin"])),
    params(IdempotencyKey),
    responses((status = 201, body = AdjustmentPosted),
        (status = 202, body = ApprovalView)))]
async fn post_adjustment(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<PostAdjustment>,
) -> Result<DoneOrProposed<AdjustmentPosted>, Error> {
    let PostAdjustment { account, amount_milli, reason, note: words, settles } = asked;
    check_owner(&api, account).await?;
    let settles = known_difference(&api, settles).await?;
    let note = note_of(&api, admin.person()?, command::PostAdjustment::OPERATION, &key, words).await?;
    let author = admin.author.with_note(Some(reason.clone()), note);
    let proposal = Proposal::Adjustment { account, amount_milli, reason, note, settles };
    Ok(match api.app.approvals.give(&author, key, proposal).await? {
        Given::Proposed { approval, replayed } => DoneOrProposed::Proposed { approval, replayed },
        Given::Done(receipt) => {
            let answer = AdjustmentPosted {
                recorded: receipt.into(),
                adjustment: made(receipt.command_id, "adjustment"),
                note: note.map(|note| note.0),
                asset: COIN,
                amount_milli,
            };
            DoneOrProposed::Done(Answered::created(&receipt, answer))
        }
    })
}

/// Coins of somebody who does not exist would be stranded; of which accounts may be adjusted the ledger decides.
async fn check_owner(api: &Api, account: Account) -> Result<(), Error> {
    match account {
        Account::UserPurchased(person) | Account::UserBonus(person) => {
            drop(api.app.people.get(person).await?)
        }
        Account::HostEarnings(host) => drop(api.app.hosts.get(host).await?),
        Account::AgencyEarnings(agency) => drop(api.app.agencies.get(agency).await?),
        _ => {}
    }
    Ok(())
}

/// A difference that some reconciliation has found.
pub(super) async fn known_difference(
    api: &Api,
    settles: Option<Uuid>,
) -> Result<Option<DifferenceId>, Error> {
    let Some(difference) = settles else { return Ok(None) };
    match api.app.reconciliations.has_difference(difference).await.map_err(CommandError::from)? {
        true => Ok(Some(DifferenceId(difference))),
        false => Err(Error::field("settles", "no reconciliation has found such a difference")),
    }
}

/// Keeps the words of an adjustment. The note's id follows from the command's, so that a retry names the same note; the words
/// come first, so that no adjustment points at a note that was not kept.
pub(super) async fn note_of(
    api: &Api,
    admin: PersonId,
    operation: &'static str,
    key: &ClientKey,
    words: Option<String>,
) -> Result<Option<NoteId>, Error> {
    let Some(words) = words else { return Ok(None) };
    let id = api.app.commands.id_of(Actor::Person(admin), operation, key).await?;
    let note = id.derive("note");
    api.app.notes.keep(note, admin, &words, api.now()).await?;
    Ok(Some(note))
}

//! Corrections by hand.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminCaller, IdempotencyKey, Json};
use crate::page::COIN;
use crate::receipt::{Created, Recorded, created, made};
use axum::extract::State;
use ledger_core::command;
use ledger_core::{Account, Actor, Command, NoteId, command_id};
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

/// Correct an account, with a reason.
#[utoipa::path(post, path = "/v1/admin/adjustments", tag = "admin: books", security(("bearer" = ["admin"])),
    params(IdempotencyKey),
    responses((status = 201, body = AdjustmentPosted), (status = 200, body = AdjustmentPosted)))]
async fn post_adjustment(
    State(api): State<Api>,
    admin: AdminCaller,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<PostAdjustment>,
) -> Result<Created<AdjustmentPosted>, Error> {
    let PostAdjustment { account, amount_milli, reason, note: words } = asked;
    check_owner(&api, account).await?;
    let note = words.as_ref().map(|_| note_of(&admin, key));
    // The words come first: an adjustment never points at a note that was not kept.
    if let (Some(note), Some(words)) = (note, words) {
        api.app.notes.keep(note, admin.person(), &words, api.now()).await?;
    }
    let command = Command::from(command::PostAdjustment { account, amount_milli, reason, note });
    let receipt = api.app.commands.give(admin.person(), key, command).await?;
    let answer = AdjustmentPosted {
        recorded: receipt.into(),
        adjustment: made(receipt.command_id, "adjustment"),
        note: note.map(|note| note.0),
        asset: COIN,
        amount_milli,
    };
    Ok(created(&receipt, answer))
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

/// Follows from the command's id, so that a retry names the same note.
fn note_of(admin: &AdminCaller, key: Uuid) -> NoteId {
    command_id(Actor::Person(admin.person()), command::PostAdjustment::OPERATION, &key.to_string())
        .derive("note")
}

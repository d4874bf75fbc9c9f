//! Bonus coins that admins give.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, IdempotencyKey, Json};
use crate::page::COIN;
use crate::receipt::{Answered, Recorded, made};
use crate::routes::approvals::{ApprovalView, DoneOrProposed};
use axum::extract::State;
use ledger_core::PersonId;
use platform::approvals::{Given, Proposal};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(grant_bonus))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GrantBonus {
    user: Uuid,
    coins_milli: i64,
    /// How long the coins last; for ever when absent.
    valid_seconds: Option<u32>,
    /// Why: a code of 1 to 64 small letters, digits and underscores, kept in the audit log; `promotion` when absent.
    reason: Option<String>,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct BonusGranted {
    #[serde(flatten)]
    recorded: Recorded,
    /// The lot of coins that came in.
    lot: Uuid,
    #[schema(example = "COIN/3")]
    asset: &'static str,
    coins_milli: i64,
}

/// Give bonus coins
///
/// They are spent before bought ones. An admin cannot give themselves a bonus (`own_money`). Above the limit in
/// `/v1/admin/settings/approvals` nothing is given: the answer is 202 with a proposal that another admin approves or
/// declines.
#[utoipa::path(post, path = "/v1/admin/bonuses", tag = "admin: books", security(("bearer" = ["admin"])),
    params(IdempotencyKey),
    responses((status = 201, body = BonusGranted),
        (status = 202, body = ApprovalView)))]
async fn grant_bonus(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<GrantBonus>,
) -> Result<DoneOrProposed<BonusGranted>, Error> {
    let GrantBonus { user, coins_milli, valid_seconds, reason, note } = asked;
    let user = api.app.people.get(PersonId(user)).await?.id;
    let author = admin.because(Some(reason.as_deref().unwrap_or("promotion")), note.as_deref())?;
    let proposal = Proposal::Bonus { user, coins_milli, valid_seconds };
    Ok(match api.app.approvals.give(&author, key, proposal).await? {
        Given::Proposed { approval, replayed } => DoneOrProposed::Proposed { approval, replayed },
        Given::Done(receipt) => {
            let lot = made(receipt.command_id, "bonus");
            let answer = BonusGranted { recorded: receipt.into(), lot, asset: COIN, coins_milli };
            DoneOrProposed::Done(Answered::created(&receipt, answer))
        }
    })
}

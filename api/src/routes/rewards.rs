//! Coins that users earn, and the campaigns that give them.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, AnyCaller, IdempotencyKey, Json, Path, Query, UserCaller};
use crate::page::{Format, InCoins, Listed, Page, ReadQuery, common_era, list_query};
use crate::receipt::{Answered, Recorded, made};
use crate::routes::approvals::{ApprovalView, DoneOrProposed};
use crate::words::RewardKindWord;
use axum::extract::State;
use chrono::{DateTime, Utc};
use ledger_core::command::{Claim, EarnReward, EndCampaign, SetCampaign};
use ledger_core::event::RewardKind;
use ledger_core::rewards::Referral;
use ledger_core::{CampaignId, PersonId};
use ledger_runtime::Receipt;
use platform::approvals::{Given, Proposal};
use projections::{CampaignRow, RewardFilter, RewardRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_rewards))
        .routes(routes!(earn_daily))
        .routes(routes!(redeem_code))
        .routes(routes!(get_referral))
        .routes(routes!(name_inviter))
        .routes(routes!(list_campaigns))
        .routes(routes!(set_campaign))
        .routes(routes!(end_campaign))
        .routes(routes!(record_ad_view))
        .routes(routes!(list_campaign_rewards))
}

/// A reward that was given.
#[derive(Serialize, ToSchema)]
struct RewardGiven {
    #[serde(flatten)]
    recorded: Recorded,
    /// The lot of bonus coins that came in.
    lot: Uuid,
}

impl RewardGiven {
    fn of(receipt: Receipt) -> Answered<RewardGiven> {
        let lot = made(receipt.command_id, "bonus");
        Answered::created(&receipt, RewardGiven { recorded: receipt.into(), lot })
    }
}

/// Earn the daily bonus
///
/// Gives the caller the bonus coins of the day, where a campaign gives any. A person gets them once a day (UTC);
/// `reward_already_given` says that today's are there already.
#[utoipa::path(post, path = "/v1/rewards/daily", tag = "rewards", security(("bearer" = ["user"])),
    params(IdempotencyKey), responses((status = 201, body = RewardGiven)))]
async fn earn_daily(
    State(api): State<Api>,
    user: UserCaller,
    IdempotencyKey(key): IdempotencyKey,
) -> Result<Answered<RewardGiven>, Error> {
    let user = user.person();
    let command = EarnReward { user, claim: Claim::Daily };
    Ok(RewardGiven::of(api.app.commands.give(user, key, command.into()).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RedeemCode {
    /// As it was advertised; small letters count as capital ones.
    code: String,
}

/// Redeem a promotion code
///
/// Gives the caller the bonus coins of a promotion code. A person gets them once for each code.
#[utoipa::path(post, path = "/v1/rewards/codes", tag = "rewards", security(("bearer" = ["user"])),
    params(IdempotencyKey), responses((status = 201, body = RewardGiven)))]
async fn redeem_code(
    State(api): State<Api>,
    user: UserCaller,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<RedeemCode>,
) -> Result<Answered<RewardGiven>, Error> {
    let user = user.person();
    let command = EarnReward { user, claim: Claim::Code(asked.code.trim().to_ascii_uppercase()) };
    Ok(RewardGiven::of(api.app.commands.give(user, key, command.into()).await?))
}

list_query! { RewardsQuery {} }

/// List your rewards
///
/// Returns the bonus coins that the caller has earned, the newest first.
#[utoipa::path(get, path = "/v1/rewards", tag = "rewards", security(("bearer" = [])),
    params(RewardsQuery), responses((status = 200, body = Page<InCoins<RewardRow>>)))]
async fn list_rewards(
    State(api): State<Api>,
    caller: AnyCaller,
    Query(query): Query<RewardsQuery>,
) -> Result<Json<Page<InCoins<RewardRow>>>, Error> {
    let limit = query.ready(Format::Json, &api).await?;
    let filter = RewardFilter { user: Some(caller.person()), ..RewardFilter::default() };
    let page = api.read.rewards(filter, query.cursor.as_deref(), limit).await?;
    Ok(Json(Page::from(page).map(InCoins::from)))
}

/// How the caller brings others, and who brought them.
#[derive(Serialize, ToSchema)]
struct ReferralView {
    /// What others enter to say that the caller brought them.
    code: String,
    /// Who brought the caller; null where they have not said so.
    inviter: Option<Uuid>,
    /// Whether the caller can still say who brought them: nobody can after their first purchase.
    may_name_inviter: bool,
}

/// Retrieve your referral code
///
/// Returns the code that the caller gives to others. Whoever enters it before their first purchase is rewarded with that
/// purchase, and so is the caller, where a campaign gives anything for it.
#[utoipa::path(get, path = "/v1/me/referral", tag = "rewards", security(("bearer" = ["user"])), params(ReadQuery),
    responses((status = 200, body = ReferralView)))]
async fn get_referral(
    State(api): State<Api>,
    user: UserCaller,
    Query(query): Query<ReadQuery>,
) -> Result<Json<ReferralView>, Error> {
    api.reach(query.min_revision).await?;
    let person = user.person();
    let code =
        api.app.referrals.code_of(person, api.now()).await.map_err(platform::commands::CommandError::from)?;
    let known = api.app.ledger.query(move |state, _| state.referral(person)).await?;
    let inviter = match known {
        Some(Referral::By(inviter)) => Some(inviter.0),
        _ => api.read.inviter_of(person).await?.map(|row| row.inviter),
    };
    Ok(Json(ReferralView { code, inviter, may_name_inviter: known.is_none() }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NameInviter {
    /// The referral code of the person who brought the caller.
    code: String,
}

/// Say who brought you
///
/// Records whose referral code brought the caller: once, and before their first purchase. Saying the same again changes
/// nothing.
#[utoipa::path(put, path = "/v1/me/referral/inviter", tag = "rewards", security(("bearer" = ["user"])),
    params(IdempotencyKey), responses((status = 200, body = Recorded)))]
async fn name_inviter(
    State(api): State<Api>,
    user: UserCaller,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<NameInviter>,
) -> Result<Answered<Recorded>, Error> {
    Ok(Answered::done(api.app.referrals.name_inviter(user.person(), key, &asked.code).await?))
}

list_query! { CampaignsQuery {} }

/// List campaigns
///
/// What users are rewarded for, how much at the most and how much so far, the newest first.
#[utoipa::path(get, path = "/v1/admin/campaigns", tag = "admin: rewards", security(("bearer" = ["admin"])),
    params(CampaignsQuery), responses((status = 200, body = Page<InCoins<CampaignRow>>)))]
async fn list_campaigns(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<CampaignsQuery>,
    format: Format,
) -> Result<Listed<InCoins<CampaignRow>>, Error> {
    let limit = query.ready(format, &api).await?;
    let page = api.read.campaigns(query.cursor.as_deref(), limit).await?;
    Ok(format.of(Page::from(page).map(InCoins::from)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetCampaignBody {
    /// What is rewarded. It cannot be changed later.
    #[schema(value_type = RewardKindWord)]
    kind: RewardKind,
    /// What one reward is; of a referral each of the two gets it.
    coins_milli: i64,
    /// How long the coins last; for ever when absent.
    valid_seconds: Option<u32>,
    /// How often a person is rewarded on one day (UTC) at the most.
    per_person_day: u32,
    /// How often a person is rewarded in all; without a limit when absent.
    per_person: Option<u32>,
    /// What everybody together is given at the most.
    budget_milli: i64,
    starts_at: DateTime<Utc>,
    /// From then on nothing is rewarded any more.
    ends_at: DateTime<Utc>,
    /// The code of a campaign for codes: 4 to 32 capital letters and digits. It cannot be changed later, and no other
    /// campaign ever gets it.
    code: Option<String>,
    /// Why: a code of 1 to 64 small letters, digits and underscores, kept in the audit log.
    reason: Option<String>,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

/// Set up or change a campaign
///
/// Sets up what users are rewarded for, or changes the amounts, limits and times of a campaign that is not over. Where
/// two campaigns of a kind run at once, daily bonuses and referrals go by the one whose id comes first. A budget below
/// what was given already stops the campaign. Where the budget, or what it is raised by, is above the limit for bonuses in
/// `/v1/admin/settings/approvals`, nothing is set up: the answer is 202 with a proposal that another admin approves or declines.
#[utoipa::path(put, path = "/v1/admin/campaigns/{campaign}", tag = "admin: rewards",
    security(("bearer" = ["admin"])), params(("campaign" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded),
        (status = 202, body = ApprovalView)))]
async fn set_campaign(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(campaign): Path<Uuid>,
    Json(asked): Json<SetCampaignBody>,
) -> Result<DoneOrProposed<Recorded>, Error> {
    let author = admin.because(asked.reason.as_deref(), asked.note.as_deref())?;
    let campaign = SetCampaign {
        campaign: CampaignId(campaign),
        kind: asked.kind,
        coins_milli: asked.coins_milli,
        valid_seconds: asked.valid_seconds,
        per_person_day: asked.per_person_day,
        per_person: asked.per_person,
        budget_milli: asked.budget_milli,
        from: common_era("starts_at", asked.starts_at)?.into(),
        to: common_era("ends_at", asked.ends_at)?.into(),
        code: asked.code,
    };
    Ok(match api.app.approvals.give(&author, key, Proposal::Campaign { campaign }).await? {
        Given::Proposed { approval, replayed } => DoneOrProposed::Proposed { approval, replayed },
        Given::Done(receipt) => DoneOrProposed::Done(Answered::done(receipt)),
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EndCampaignBody {
    /// Why: a code of 1 to 64 small letters, digits and underscores, kept in the audit log.
    reason: String,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

/// End a campaign
///
/// Nothing more is rewarded. What was given stays. A campaign that is over cannot be begun again.
#[utoipa::path(post, path = "/v1/admin/campaigns/{campaign}/end", tag = "admin: rewards",
    security(("bearer" = ["admin"])), params(("campaign" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn end_campaign(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(campaign): Path<Uuid>,
    Json(asked): Json<EndCampaignBody>,
) -> Result<Answered<Recorded>, Error> {
    let author = admin.because(Some(&asked.reason), asked.note.as_deref())?;
    let command = EndCampaign { campaign: CampaignId(campaign) };
    Ok(Answered::done(api.app.commands.give_audited(&author, key, command.into(), api.now()).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AdView {
    user: Uuid,
    /// What the ad network calls this showing: 1 to 64 visible ASCII characters. It is paid for once, whoever it was shown
    /// to.
    view: String,
}

/// Reward a watched ad
///
/// For the server that hears from the ad network that somebody has watched an ad: call it with an admin's token. A view
/// that is told again, under whichever key, is refused with `reward_already_given`.
#[utoipa::path(post, path = "/v1/admin/campaigns/{campaign}/ad-views", tag = "admin: rewards",
    security(("bearer" = ["admin"])), params(("campaign" = Uuid, Path), IdempotencyKey),
    responses((status = 201, body = RewardGiven)))]
async fn record_ad_view(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(campaign): Path<Uuid>,
    Json(asked): Json<AdView>,
) -> Result<Answered<RewardGiven>, Error> {
    let user = api.app.people.get(PersonId(asked.user)).await?.id;
    let claim = Claim::AdView { campaign: CampaignId(campaign), view: asked.view };
    let command = EarnReward { user, claim };
    Ok(RewardGiven::of(api.app.commands.give(admin.person()?, key, command.into()).await?))
}

list_query! {
    CampaignRewardsQuery {
        /// Only rewards of this person.
        user: Option<Uuid>,
    }
}

/// List the rewards of a campaign
///
/// What a campaign has given to whom, the newest first.
#[utoipa::path(get, path = "/v1/admin/campaigns/{campaign}/rewards", tag = "admin: rewards",
    security(("bearer" = ["admin"])), params(("campaign" = Uuid, Path), CampaignRewardsQuery),
    responses((status = 200, body = Page<InCoins<RewardRow>>)))]
async fn list_campaign_rewards(
    State(api): State<Api>,
    _: AdminCaller,
    Path(campaign): Path<Uuid>,
    Query(query): Query<CampaignRewardsQuery>,
    format: Format,
) -> Result<Listed<InCoins<RewardRow>>, Error> {
    let limit = query.ready(format, &api).await?;
    let filter = RewardFilter { user: query.user.map(PersonId), campaign: Some(CampaignId(campaign)) };
    let page = api.read.rewards(filter, query.cursor.as_deref(), limit).await?;
    Ok(format.of(Page::from(page).map(InCoins::from)))
}

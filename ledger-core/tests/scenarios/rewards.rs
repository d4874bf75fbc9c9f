//! Coins that users earn: each reward once, and never more than its campaign gives.

use crate::booked::Flow;
use crate::identities::Known;
use crate::rejections::Case;
use crate::world::*;
use ledger_core::command::*;
use ledger_core::event::RewardKind;
use ledger_core::rewards::Referral;
use ledger_core::*;
use uuid::Uuid;

pub const ADS: CampaignId = CampaignId(Uuid::from_u128(0xca1));
pub const DAILY: CampaignId = CampaignId(Uuid::from_u128(0xca2));
pub const CODES: CampaignId = CampaignId(Uuid::from_u128(0xca3));
pub const REFERRALS: CampaignId = CampaignId(Uuid::from_u128(0xca4));
const CODE: &str = "DIWALI26";

/// A campaign of ten rewards of two coins, three a day and five in all for a person, for thirty days.
pub fn set(campaign: CampaignId, kind: RewardKind) -> SetCampaign {
    SetCampaign {
        campaign,
        kind,
        coins_milli: 2_000,
        valid_seconds: Some(60),
        per_person_day: 3,
        per_person: Some(5),
        budget_milli: 20_000,
        from: START,
        to: START.plus_ms(30 * DAY_MS),
        code: (kind == RewardKind::Code).then(|| CODE.to_owned()),
    }
}

/// A world with a campaign of each kind.
pub fn campaigns() -> World {
    let mut world = World::new();
    set_up(&mut world, i64::MAX);
    world
}

/// Campaigns that run so long, with room for many rewards.
pub fn set_up(world: &mut World, for_ms: i64) {
    for (campaign, kind) in [
        (ADS, RewardKind::Ad),
        (DAILY, RewardKind::Daily),
        (CODES, RewardKind::Code),
        (REFERRALS, RewardKind::Referral),
    ] {
        let set = set(campaign, kind);
        let long = SetCampaign {
            to: START.plus_ms(for_ms),
            per_person: None,
            budget_milli: 2_000_000_000,
            ..set.clone()
        };
        world.given(if for_ms == i64::MAX { set } else { long }.into());
    }
}

pub fn ad(user: PersonId, view: &str) -> Command {
    EarnReward { user, claim: Claim::AdView { campaign: ADS, view: view.to_owned() } }.into()
}

pub fn daily(user: PersonId) -> Command {
    EarnReward { user, claim: Claim::Daily }.into()
}

pub fn code(user: PersonId, code: &str) -> Command {
    EarnReward { user, claim: Claim::Code(code.to_owned()) }.into()
}

pub fn brought(user: PersonId, inviter: PersonId) -> Command {
    NameInviter { user, inviter }.into()
}

/// Everything that happens with rewards, at the end of the story in which everything happens.
pub fn everything(world: &mut World) {
    let (newcomer, ends) = (PersonId(Uuid::from_u128(0x77)), world.now.plus_ms(DAY_MS));
    for (campaign, kind) in [(ADS, RewardKind::Ad), (REFERRALS, RewardKind::Referral)] {
        world.given(SetCampaign { to: ends, ..set(campaign, kind) }.into());
    }
    world.given(SetCampaign { to: ends, ..set(CODES, RewardKind::Code) }.into());
    world.given(code(OTHER, CODE)).given(ad(OTHER, "view_1")).given(brought(newcomer, OTHER));
    world.buy(newcomer);
    world.given(EndCampaign { campaign: ADS }.into());
}

#[rustfmt::skip]
pub fn cases() -> Vec<Case> {
    use Rejection::*;
    vec![
        ("a campaign of a code without one", |_| SetCampaign { code: None, ..set(CODES, RewardKind::Code) }.into(), CampaignCodeUnfit),
        ("a code in small letters", |_| SetCampaign { code: Some("diwali".to_owned()), ..set(CODES, RewardKind::Code) }.into(), CampaignCodeUnfit),
        ("the code of another campaign", |w| { w.given(set(CODES, RewardKind::Code).into()); SetCampaign { campaign: ADS, ..set(CODES, RewardKind::Code) }.into() }, CampaignCodeTaken),
        ("a campaign of another kind", |w| { w.given(set(ADS, RewardKind::Ad).into()); set(ADS, RewardKind::Daily).into() }, CampaignKindFixed),
        ("a campaign that ends before it begins", |_| SetCampaign { to: START, ..set(ADS, RewardKind::Ad) }.into(), CampaignPeriodInvalid),
        ("a campaign for nothing", |_| SetCampaign { coins_milli: 0, ..set(ADS, RewardKind::Ad) }.into(), AmountNotPositive { field: "coins_milli" }),
        ("the end of no campaign", |_| EndCampaign { campaign: ADS }.into(), UnknownCampaign),
        ("the change of a campaign that is over", |w| { *w = campaigns(); w.given(EndCampaign { campaign: ADS }.into()); SetCampaign { coins_milli: 1, ..set(ADS, RewardKind::Ad) }.into() }, CampaignOver),
        ("an ad of no campaign", |_| ad(USER, "v"), UnknownCampaign),
        ("an ad of a campaign that is over", |w| { *w = campaigns(); w.now = START.plus_ms(30 * DAY_MS); ad(USER, "v") }, CampaignNotRunning),
        ("an ad of another campaign", |w| { *w = campaigns(); EarnReward { user: USER, claim: Claim::AdView { campaign: DAILY, view: "v".to_owned() } }.into() }, RewardKindMismatch),
        ("an ad once more, by another person", |w| { *w = campaigns(); w.given(ad(USER, "v")); ad(OTHER, "v") }, RewardKnown),
        ("a fourth ad on one day", |w| { *w = campaigns(); for it in ["1", "2", "3"] { w.given(ad(USER, it)); } ad(USER, "4") }, RewardDayFull { most: 3 }),
        ("a sixth ad", |w| {
            *w = campaigns();
            for it in ["1", "2", "3"] { w.given(ad(USER, it)); }
            w.now = w.now.plus_ms(DAY_MS);
            for it in ["4", "5"] { w.given(ad(USER, it)); }
            ad(USER, "6")
        }, RewardPersonFull { most: 5 }),
        ("an ad beyond the budget", |w| {
            w.given(SetCampaign { budget_milli: 3_999, ..set(ADS, RewardKind::Ad) }.into()).given(ad(USER, "1"));
            ad(OTHER, "2")
        }, CampaignBudgetSpent),
        ("the same day again", |w| { *w = campaigns(); w.given(daily(USER)); daily(USER) }, RewardKnown),
        ("the same code again", |w| { *w = campaigns(); w.given(code(USER, CODE)); code(USER, CODE) }, RewardKnown),
        ("no such code", |_| code(USER, "NOSUCH"), UnknownCode),
        ("an ad of an admin's own", |w| { *w = campaigns(); ad(ADMIN, "v") }, OwnMoney),
        ("another inviter", |w| { w.given(brought(USER, OTHER)); brought(USER, HOST) }, InviterKnown),
        ("an inviter after the first purchase", |w| { w.buy(USER); brought(USER, OTHER) }, InviterTooLate),
        ("oneself as inviter", |_| brought(USER, USER), InviterIsOneself),
    ]
}

#[rustfmt::skip]
pub fn commands() -> Vec<Known> {
    vec![
        (set(CODES, RewardKind::Code).into(), "d7a53a98-b3f1-55fb-8e12-2a5884fb195e", "5940843d6a087d4a781231fe1af5f6e8"),
        (SetCampaign { valid_seconds: None, per_person: None, ..set(ADS, RewardKind::Ad) }.into(), "d7a53a98-b3f1-55fb-8e12-2a5884fb195e", "3fe3cd6226718d0fb8a82d83a036395e"),
        (EndCampaign { campaign: ADS }.into(), "a8e1ef55-6d19-5469-9de5-822ce7290676", "0422e7fdfa87837272a157ceac3f56c9"),
        (ad(USER, "view_1"), "2aa84e1b-4e9e-5123-8a7c-bd093bb954fb", "121b08861f8fb089cb8b25820010440a"),
        (daily(USER), "2aa84e1b-4e9e-5123-8a7c-bd093bb954fb", "a840172d1263aab133bddefb1988f775"),
        (code(USER, CODE), "2aa84e1b-4e9e-5123-8a7c-bd093bb954fb", "54b539d20ccf74f2a6d0a1d916e563e2"),
        (brought(USER, OTHER), "908a996b-3a30-5b61-8aab-881ac6f1fc3a", "1b0feb10879c06bb3587b2874c950606"),
    ]
}

pub const FLOWS: &[Flow] = &[
    ("A reward is earned", || (campaigns(), ad(USER, "view_1"))),
    ("Somebody who was brought pays for the first time", || {
        let mut world = campaigns();
        world.given(brought(USER, OTHER));
        let purchase = world.order(USER);
        (world, capture(Some(purchase), "pay_1", 10_000))
    }),
];

#[test]
fn each_reward_is_given_once_whoever_asks_and_however_often() {
    let mut world = campaigns();
    for claim in [ad(USER, "view_1"), daily(USER), code(USER, CODE)] {
        let sent = world.envelope(claim.clone());
        let (events, revision) = world.send(&sent).expect("is given");
        assert_eq!(events.len(), 2, "{events:?}");
        assert_eq!(world.send(&sent), Ok((vec![], revision)), "a retry is the same");
        world.refuse(claim, Rejection::RewardKnown);
    }
    world.wallet(USER, [0, 6_000, 6_000, 0, 0]);
    world.given(daily(OTHER));
    // The next day begins at midnight in UTC, 1 hour and 46 minutes after the story's start.
    world.now = Timestamp(START.0.div_euclid(DAY_MS) * DAY_MS + DAY_MS - 1);
    world.refuse(daily(USER), Rejection::RewardKnown);
    world.now = world.now.plus_ms(1);
    world.check(daily(USER), "reward 2000 (Daily); bonus 2000 (Daily)");
    world.refuse(code(USER, CODE), Rejection::RewardKnown);
    world.refuse(ad(USER, "view_1"), Rejection::RewardKnown);
}

#[test]
fn the_last_of_a_budget_goes_to_one_of_two() {
    let mut world = campaigns();
    world.given(SetCampaign { budget_milli: 2_000, ..set(CODES, RewardKind::Code) }.into());
    // Both are decided on the same state, and one after the other.
    let (one, two) = (world.envelope(code(USER, CODE)), world.envelope(code(OTHER, CODE)));
    assert!(world.decide(&one).is_ok() && world.decide(&two).is_ok());
    world.send(&one).expect("the first one");
    world.refuse_sent(&two, Rejection::CampaignBudgetSpent);
    let spent = world.state.campaign(CODES).expect("a campaign").spent_milli;
    assert_eq!(spent, 2_000);
    world.stands("platform:promotions", Asset::COIN, 2_000);
    // More budget lets the other one have it.
    world.given(SetCampaign { budget_milli: 4_000, ..set(CODES, RewardKind::Code) }.into());
    world.check(code(OTHER, CODE), "reward 2000 (Code); bonus 2000 (Code)");
}

#[test]
fn a_referral_pays_both_with_the_first_purchase_and_never_again() {
    let mut world = campaigns();
    world.check(brought(USER, OTHER), "brought");
    world.check(brought(USER, OTHER), "duplicate of 10");
    let first = world.order(USER);
    let both = "reward 2000 (Referral); bonus 2000 (Referral); reward 2000 (Referral); bonus 2000 (Referral)";
    let paid = capture(Some(first), "pay_1", 10_000);
    world.check(paid.clone(), &format!("captured 100000 for 10000; {both}"));
    world.check(paid, "duplicate of 16");
    world.wallet(USER, [100_000, 2_000, 102_000, 0, 0]).wallet(OTHER, [0, 2_000, 2_000, 0, 0]);
    let second = world.order(USER);
    world.check(capture(Some(second), "pay_2", 10_000), "captured 100000 for 10000");
    assert_eq!(world.state.referral(USER), Some(Referral::HasPaid));
}

#[test]
fn the_inviter_is_held_to_the_limits_and_the_purchase_is_captured_whatever_they_are() {
    let mut world = campaigns();
    world.given(
        SetCampaign { per_person_day: 1, budget_milli: 7_000, ..set(REFERRALS, RewardKind::Referral) }.into(),
    );
    let people: Vec<PersonId> = (0..4).map(|number| PersonId(Uuid::from_u128(0x700 + number))).collect();
    for (person, expected) in people.iter().zip([2, 1, 0, 0]) {
        world.given(brought(*person, OTHER));
        world.buy(*person);
        let rewards = world.journal.iter().rev().take(5);
        let rewards = rewards.take_while(|it| !matches!(it.event, Event::PurchaseCaptured(_)));
        let rewards = rewards.filter(|it| matches!(it.event, Event::RewardEarned(_))).count();
        assert_eq!(rewards, expected, "{person}");
    }
    // Money that a person finds in suspense is a first purchase too.
    world.given(SetCampaign { budget_milli: 20_000, ..set(REFERRALS, RewardKind::Referral) }.into());
    let late = PersonId(Uuid::from_u128(0x710));
    world.given(brought(late, HOST));
    let purchase = world.order(late);
    world.given(capture(None, "pay_odd", 10_000));
    let (case, reason) = (world.state.next_revision() - 1, "found".to_owned());
    let resolution = purchases::Resolution::Purchase(purchase);
    world.given(ResolveSuspense { case, resolution, reason }.into());
    world.wallet(HOST, [0, 2_000, 2_000, 0, 0]);
}

#[test]
fn counters_leave_with_their_day_and_with_their_campaign() {
    let mut world = campaigns();
    let rows = |world: &World, table: &str| {
        world.state.rows().into_iter().find(|(name, _)| *name == table).map(|(_, rows)| rows)
    };
    for number in 0..5 {
        world.given(ad(PersonId(Uuid::from_u128(0x800 + number)), &format!("view_{number}")));
    }
    assert_eq!((rows(&world, "reward_days"), rows(&world, "reward_people")), (Some(5), Some(5)));
    world.now = world.now.plus_ms(DAY_MS);
    world.given(daily(USER)).given(daily(OTHER));
    assert_eq!((rows(&world, "reward_days"), rows(&world, "reward_people")), (Some(2), Some(7)));
    world.given(EndCampaign { campaign: ADS }.into()).given(daily(HOST));
    assert_eq!(rows(&world, "reward_people"), Some(3));
    // What was rewarded stays known.
    assert_eq!(rows(&world, "ad_views"), Some(5));
}

/// Both sides of a reward may have so many lots that those of both are merged with it.
#[test]
fn a_reward_of_both_sides_merges_the_lots_of_both() {
    let mut world = World::new();
    set_up(&mut world, i64::MAX);
    let newcomer = PersonId(Uuid::from_u128(0x77));
    for number in 0..256 {
        let valid_seconds = Some(86_400 + number);
        world.given(grant(USER, 1_000, valid_seconds)).given(grant(newcomer, 1_000, valid_seconds));
    }
    world.given(brought(newcomer, USER));
    world.buy(newcomer);
    for person in [USER, newcomer] {
        let wallet = world.state.wallet(person, world.now);
        assert!(wallet.bonus_milli > 256_000, "{person} has the reward: {wallet:?}");
    }
}

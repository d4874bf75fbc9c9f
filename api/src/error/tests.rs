use super::{Error, Unreadable};
use crate::problems::find;
use axum::response::IntoResponse;
use ledger_core::{Asset, Medium, Rejection, Timestamp, WithdrawalId};
use ledger_runtime::{ExecuteError, Leap};
use platform::commands::CommandError;
use platform::hosts::HostError;
use platform::identity::{AgencyError, AuthError, OtpError, PeopleError, RestrictionKind, Role};
use platform::page::ListError;
use platform::purchases::WebhookRefusal;
use platform::rate_limit::RateLimited;
use platform::settings::SettingsError;
use projections::{Behind, QueryError};
use std::collections::BTreeSet;

/// One of each, with the status that it is answered with.
fn rejections() -> Vec<(Rejection, u16)> {
    use Rejection::*;
    let (at, field) = (Timestamp(0), "a_field");
    vec![
        (JournalNotOpen, 503),
        (JournalAlreadyOpen, 409),
        (KeyReused, 409),
        (KeyInvalid, 422),
        (KeyExpired, 422),
        (KeyInFuture, 422),
        (AmountNotPositive { field }, 422),
        (AmountTooLarge { field }, 422),
        (SelfPayment, 422),
        (InsufficientFunds { needed_milli: 2, spendable_milli: 1 }, 409),
        (EarningsNotSpendable { needed_milli: 2, spendable_milli: 1 }, 409),
        (UnknownPlan, 404),
        (PlanInactive, 409),
        (PriceInCoins, 422),
        (AssetNotDeclared { asset: Asset::INR }, 422),
        (UnknownPurchase, 404),
        (PurchaseNotOpen, 409),
        (PurchaseNotCaptured, 409),
        (RefundExceedsCaptured { refundable_minor: 1 }, 409),
        (RefundCurrencyMismatch, 422),
        (RefundExceedsUnspent { refundable_minor: 1 }, 409),
        (RefundKnown, 409),
        (PaymentKnown, 409),
        (DisputeKnown, 409),
        (DisputeDecided, 409),
        (DisputeMismatch, 409),
        (PurchaseDisputed, 409),
        (ReceivableOpen { owed_milli: 1 }, 409),
        (UnknownReceivable, 404),
        (WriteOffTooLarge { owed_milli: 1 }, 409),
        (ResolutionUnfit, 409),
        (UnknownCase, 404),
        (UnknownLot, 404),
        (LotNotExpired, 409),
        (TooManyLots { most: 1_000 }, 409),
        (UnknownGift, 404),
        (GiftPriceChanged { price_milli: 1 }, 409),
        (GiftOutsideCall, 409),
        (AlreadyInAgency, 409),
        (NotInAgency, 409),
        (CommissionTooLarge, 422),
        (EffectiveInPast { earliest: at }, 422),
        (CommissionNotSet, 409),
        (MediumNotOffered { medium: Medium::Video }, 409),
        (CallPriceChanged { price_milli_per_minute: 1 }, 409),
        (PayerBusy, 409),
        (HostBusy, 409),
        (CallKnown, 409),
        (UnknownCall, 404),
        (CallEnded, 409),
        (NotInCall, 403),
        (CallNotRunning, 409),
        (CallNotPaused, 409),
        (TickNotDue { due: at }, 409),
        (TickOutOfOrder { next: 1 }, 409),
        (OwnMoney, 403),
        (GraceNotOver { lost_at: at }, 409),
        (TermsInvalid { field }, 409),
        (UnknownWithdrawal, 404),
        (WithdrawalTooSmall { minimum_milli: 1 }, 422),
        (PayoutRoundsToNothing, 422),
        (InsufficientEarnings { available_milli: 1 }, 409),
        (EarningsNotAvailable { available_milli: 1 }, 409),
        (PurchasedNotWithdrawable { available_milli: 1 }, 409),
        (WithdrawalAlreadyApproved, 409),
        (WithdrawalNotApproved, 409),
        (WithdrawalClosed, 409),
        (WithdrawalAlreadySent, 409),
        (WithdrawalNotSent, 409),
        (WithdrawalNotPaid, 409),
        (PayoutOutcomeUnknown, 409),
        (PayeeNotVerified, 409),
        (WithdrawalLimitReached { limit_milli: 1, left_milli: 0 }, 409),
        (PayoutRateInvalid, 422),
        (PayoutInCoins, 422),
        (TaxTooLarge, 422),
        (PayoutRefUsed { withdrawal: WithdrawalId(uuid::Uuid::nil()) }, 409),
        (AccountNotAdjustable, 422),
        (GatewayHoldsMoney, 422),
        (DifferenceSettled, 409),
        (MembershipEmpty, 422),
        (CutOffInFuture { latest: at }, 422),
        (CutOffUneven, 422),
        (CutOffTooOld { earliest: at }, 422),
        (SettlementPeriodEmpty, 422),
        (AlreadySettled { until: at }, 409),
        (NothingToSettle, 409),
        (UnknownSettlement, 404),
        (SettlementCorrectedAlready { by: uuid::Uuid::nil().into() }, 409),
        (NothingToPay, 409),
        (AdjustmentOverdraws { balance_milli: 1 }, 409),
        (ReasonInvalid { field }, 422),
        (ReferenceInvalid { field }, 422),
        (UnknownCampaign, 404),
        (CampaignOver, 409),
        (CampaignNotRunning, 409),
        (CampaignKindFixed, 409),
        (CampaignCodeUnfit, 422),
        (CampaignCodeTaken, 409),
        (CampaignPeriodInvalid, 422),
        (RewardKindMismatch, 409),
        (RewardKnown, 409),
        (RewardDayFull { most: 1 }, 409),
        (RewardPersonFull { most: 1 }, 409),
        (CampaignBudgetSpent, 409),
        (UnknownCode, 404),
        (InviterKnown, 409),
        (InviterTooLate, 409),
        (InviterIsOneself, 422),
        (UnknownSubscriptionPlan, 404),
        (SubscriptionPlanInactive, 409),
        (SubscriptionPriceChanged { price_milli: 1 }, 409),
        (NotSoldForMoney, 409),
        (EntitlementsInvalid, 422),
        (GraceTooLong, 422),
        (UnknownSubscription, 404),
        (AlreadySubscribed, 409),
        (RenewalNotDue { due: at }, 409),
        (RenewalOutOfOrder { next: 1 }, 409),
        (UnknownService, 404),
        (ServiceInactive, 409),
        (CouponCodeUnfit, 422),
        (CouponCodeTaken, 409),
        (CouponCodeFixed, 409),
        (CouponDiscountInvalid, 422),
        (CouponPeriodInvalid, 422),
        (CouponOver, 409),
        (UnknownCoupon, 404),
        (CouponNotValid, 409),
        (CouponPriceTooLow { least_milli: 1 }, 409),
        (CouponUsedUp, 409),
        (CouponPersonFull { most: 1 }, 409),
        (OrderTotalChanged { total_milli: 1 }, 409),
        (WalletPartUnfit { total_milli: 1 }, 422),
        (UnknownOrder, 404),
        (OrderNotPaid, 409),
        (OrderAlreadyPaid, 409),
        (OrderAlreadyAccepted, 409),
        (OrderAlreadyCompleted, 409),
        (OrderClosed, 409),
        (OrderPaymentNotDue { due: at }, 409),
        (RefundExceedsOrder { refundable_milli: 1 }, 409),
    ]
}

#[test]
fn every_rejection_of_the_ledger_has_its_status_under_its_own_code() {
    let mut seen = BTreeSet::new();
    for (rejection, status) in rejections() {
        let code = rejection.code();
        let detail = rejection.to_string();
        let problem = Error::from(ExecuteError::from(rejection)).problem();
        assert_eq!((problem.code.as_ref(), problem.status), (code, status));
        assert_eq!((problem.kind, problem.detail), (format!("/problems/{code}"), detail));
        let entry = find(code).unwrap_or_else(|| panic!("{code} has no page"));
        assert_eq!(entry.status, status, "{code}");
        seen.insert(code);
    }
    assert_eq!(seen, Rejection::CODES.iter().copied().collect(), "the list above has every rejection");
}

/// Errors that the ledger has no part in.
fn others() -> Vec<(Error, u16, &'static str)> {
    let refused = CommandError::Refused { code: "host_offline", message: "the host is not online" };
    let lost = || sqlx::Error::PoolClosed;
    vec![
        (Unreadable::MalformedJson(String::new()).into(), 400, "malformed_json"),
        (Unreadable::BodyTooLarge { limit_bytes: 1 }.into(), 413, "body_too_large"),
        (Unreadable::NotJson.into(), 415, "not_json"),
        (Unreadable::Path(String::new()).into(), 400, "invalid_path"),
        (Unreadable::KeyMissing.into(), 400, "idempotency_key_missing"),
        (Unreadable::KeyRepeated.into(), 400, "idempotency_key_repeated"),
        (Unreadable::KeyInvalid.into(), 422, "idempotency_key_invalid"),
        (AuthError::TokenMissing.into(), 401, "token_missing"),
        (AuthError::TokenInvalid.into(), 401, "token_invalid"),
        (AuthError::TokenExpired.into(), 401, "token_expired"),
        (AuthError::SessionEnded.into(), 401, "session_ended"),
        (AuthError::RateLimited { retry_after_seconds: 7 }.into(), 429, "rate_limited"),
        (AuthError::Restricted(RestrictionKind::Suspended).into(), 403, "account_suspended"),
        (AuthError::Restricted(RestrictionKind::Banned).into(), 403, "account_banned"),
        (AuthError::Database(lost()).into(), 503, "unavailable"),
        (AuthError::ForbiddenRole(Role::Admin).into(), 403, "forbidden_role"),
        (Error::HostRestricted(RestrictionKind::Suspended), 403, "host_suspended"),
        (Error::HostRestricted(RestrictionKind::Banned), 403, "host_banned"),
        (Error::NoSuchPath, 404, "not_found"),
        (Error::MethodNotAllowed, 405, "method_not_allowed"),
        (Error::TimedOut, 504, "timeout"),
        (Error::Panicked, 500, "internal"),
        (ExecuteError::Fault.into(), 500, "internal"),
        (ExecuteError::Stopped("x".into()).into(), 503, "ledger_stopped"),
        (ExecuteError::OutcomeUnknown.into(), 504, "outcome_unknown"),
        (ExecuteError::Busy.into(), 503, "busy"),
        (ExecuteError::StoreAway.into(), 503, "store_unavailable"),
        (ExecuteError::StorageFull.into(), 507, "storage_full"),
        (ExecuteError::ClockLeap(Leap::Ahead { ahead_ms: 600_000 }).into(), 503, "clock_leap"),
        (ExecuteError::NotStorable("x".into()).into(), 500, "not_storable"),
        (refused.into(), 409, "host_offline"),
        (CommandError::TooOften { retry_after_seconds: 7 }.into(), 429, "rate_limited"),
        (Error::not_found("call"), 404, "unknown_call"),
        (Error::field("name", "is too long"), 422, "field_invalid"),
        (HostError::NotFound.into(), 404, "unknown_host"),
        (HostError::AlreadyDecided.into(), 409, "host_already_decided"),
        (HostError::OwnApplication.into(), 403, "own_money"),
        (QueryError::BadCursor.into(), 400, "cursor_invalid"),
        (ListError::from(lost()).into(), 503, "unavailable"),
        (QueryError::from(Behind { wanted: 2, projected: None }).into(), 503, "read_model_behind"),
        (QueryError::BeyondJournal { wanted: 2, head: Some(1) }.into(), 422, "min_revision_beyond_journal"),
        (QueryError::Refused("x".into()).into(), 503, "read_models_refused"),
        (OtpError::Invalid.into(), 422, "otp_invalid"),
        (OtpError::Expired.into(), 422, "otp_expired"),
        (OtpError::TooManyTries.into(), 429, "otp_too_many_tries"),
        (OtpError::RateLimited { retry_after_seconds: 7 }.into(), 429, "rate_limited"),
        (RateLimited { retry_after_seconds: 7 }.into(), 429, "rate_limited"),
        (PeopleError::NotFound.into(), 404, "unknown_person"),
        (PeopleError::LastAdmin.into(), 409, "last_admin"),
        (PeopleError::IsAdmin.into(), 409, "person_is_admin"),
        (PeopleError::Restricted.into(), 409, "person_restricted"),
        (AgencyError::NotFound.into(), 404, "unknown_agency"),
        (AgencyError::CodeTaken.into(), 409, "agency_code_taken"),
        (WebhookRefusal::BadSignature.into(), 400, "webhook_signature_invalid"),
        (
            SettingsError::Unreadable { key: "metering", problem: "secret".into() }.into(),
            500,
            "setting_unreadable",
        ),
    ]
}

#[test]
fn what_others_refuse_has_its_status_and_code_too() {
    for (error, status, code) in others() {
        let problem = error.problem();
        assert_eq!((problem.status, problem.code.as_ref()), (status, code), "{error:?}");
        let entry = find(code).unwrap_or_else(|| panic!("{code} has no page"));
        assert_eq!(entry.status, status, "{code}");
    }
}

#[test]
fn whoever_may_ask_again_is_told_when() {
    for (error, _, _) in others() {
        let problem = error.problem();
        let told = problem.members.contains_key("retry_after_seconds");
        // A code that was guessed at too often does not come back to life, and read models of another journal
        // wait for an operator.
        let for_good = ["otp_too_many_tries", "read_models_refused"].contains(&problem.code.as_ref());
        let helps = [429, 503, 504, 507].contains(&problem.status) && !for_good;
        assert_eq!(told, helps, "{error:?}");
    }
    let response = Error::from(RateLimited { retry_after_seconds: 7 }).into_response();
    assert_eq!(response.headers()["retry-after"], "7");
}

#[test]
fn an_answer_to_a_stranger_says_how_to_sign_in_and_is_a_problem() {
    let response = Error::from(AuthError::TokenMissing).into_response();
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[test]
fn the_figures_of_the_case_are_members_of_the_problem() {
    let fault = Rejection::InsufficientFunds { needed_milli: 2_000, spendable_milli: 500 };
    let problem = Error::from(ExecuteError::from(fault)).problem();
    let expected = serde_json::json!({
        "type": "/problems/insufficient_funds",
        "title": "Insufficient funds",
        "status": 409,
        "detail": "this needs 2000 thousandths of a coin and 500 can be spent",
        "code": "insufficient_funds",
        "needed_milli": 2_000,
        "spendable_milli": 500,
    });
    assert_eq!(serde_json::to_value(&problem).ok(), Some(expected));
}

#[test]
fn what_a_database_says_stays_inside() {
    let complaint = sqlx::Error::Protocol("password of the database".into());
    let problem = Error::from(PeopleError::Database(complaint)).problem();
    assert!(!problem.detail.contains("password"), "{}", problem.detail);
    assert!(!others().into_iter().any(|(error, ..)| error.problem().detail.contains("secret")));
}

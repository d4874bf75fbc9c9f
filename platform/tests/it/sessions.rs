use crate::{at, people, person, shared, warm};
use platform::audit::Author;
use platform::identity::{
    AccessChange, AccessChanges, AccessTokens, AuthError, Caller, PeopleError, RestrictionKind, Restrictions,
    Role, Scope, SessionId, Sessions, Sweep, TokenPair,
};
use platform::rate_limit::RateLimiter;
use sqlx::PgPool;
use uuid::Uuid;

const DAY: i64 = 24 * 3_600;

async fn sessions(pool: &PgPool) -> Sessions {
    sessions_telling(pool, AccessChanges::default()).await
}

pub async fn sessions_telling(pool: &PgPool, access: AccessChanges) -> Sessions {
    let tokens = AccessTokens::new(&[("k1".into(), vec![7; 32])]).unwrap();
    let limiter = RateLimiter::new(shared().await);
    Sessions::new(pool.clone(), tokens, access, limiter, 20)
}

fn code<T>(result: Result<T, AuthError>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

async fn refresh(sessions: &Sessions, pair: &TokenPair, seconds: i64) -> TokenPair {
    sessions.refresh(&pair.refresh_token, at(seconds)).await.unwrap()
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn an_access_token_names_its_caller_with_the_roles_of_now(pool: PgPool) {
    let (sessions, asha) = (sessions(&pool).await, person(&pool, "+919800000001").await);
    let pair = sessions.open(asha, at(0)).await.unwrap();
    let caller = sessions.authenticate(&pair.access_token, at(1)).await.unwrap();
    let expected =
        Caller { person: asha, session: pair.session, roles: vec![Role::User], expires_at: at(900) };
    assert_eq!(caller, expected);

    // Another admin, since the last one stays one.
    let ravi = person(&pool, "+919800000002").await;
    people(&pool).grant_role(ravi, Role::Admin, &Author::operator(), at(2)).await.unwrap();
    people(&pool).grant_role(asha, Role::Admin, &Author::operator(), at(2)).await.unwrap();
    assert!(sessions.authenticate(&pair.access_token, at(3)).await.unwrap().has(Role::Admin));
    people(&pool).revoke_role(asha, Role::Admin, &Author::operator(), at(4)).await.unwrap();
    assert!(!sessions.authenticate(&pair.access_token, at(4)).await.unwrap().has(Role::Admin));
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn missing_forged_expired_and_ended_are_told_apart(pool: PgPool) {
    let (sessions, asha) = (sessions(&pool).await, person(&pool, "+919800000001").await);
    let pair = sessions.open(asha, at(0)).await.unwrap();
    assert_eq!(pair.access_expires_in_seconds, 900);
    assert_eq!(code(sessions.authenticate("", at(1)).await), "token_missing");
    assert_eq!(code(sessions.authenticate("forged", at(1)).await), "token_invalid");
    assert_eq!(code(sessions.authenticate(&pair.refresh_token, at(1)).await), "token_invalid");
    assert_eq!(code(sessions.authenticate(&pair.access_token, at(899)).await), "ok");
    assert_eq!(code(sessions.authenticate(&pair.access_token, at(900)).await), "token_expired");
    sessions.logout(asha, pair.session, at(2)).await.unwrap();
    sessions.logout(asha, pair.session, at(3)).await.unwrap();
    assert_eq!(code(sessions.authenticate(&pair.access_token, at(4)).await), "session_ended");
    assert_eq!(code(sessions.refresh(&pair.refresh_token, at(4)).await), "session_ended");
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_session_belongs_to_its_person(pool: PgPool) {
    let sessions = sessions(&pool).await;
    let (asha, ravi) = (person(&pool, "+919800000001").await, person(&pool, "+919800000002").await);
    let pair = sessions.open(asha, at(0)).await.unwrap();
    assert_eq!(code(sessions.roles(asha, pair.session).await), "ok");
    assert_eq!(code(sessions.roles(ravi, pair.session).await), "session_ended");
    assert_eq!(code(sessions.roles(asha, SessionId(Uuid::nil())).await), "session_ended");
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn each_refresh_gives_a_new_token_and_thirty_more_days(pool: PgPool) {
    let (sessions, asha) = (sessions(&pool).await, person(&pool, "+919800000001").await);
    let first = sessions.open(asha, at(0)).await.unwrap();
    assert_eq!(first.refresh_expires_at, at(30 * DAY));
    let second = refresh(&sessions, &first, 29 * DAY).await;
    assert_ne!(second.refresh_token, first.refresh_token);
    assert_eq!((second.session, second.refresh_expires_at), (first.session, at(59 * DAY)));
    assert_eq!(code(sessions.authenticate(&second.access_token, at(29 * DAY + 1)).await), "ok");
    let third = refresh(&sessions, &second, 58 * DAY).await;
    assert_eq!(code(sessions.refresh(&third.refresh_token, at(88 * DAY)).await), "token_expired");
    assert_eq!(code(sessions.refresh("never given out", at(0)).await), "token_invalid");
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_client_that_lost_the_answer_gets_the_same_token_again(pool: PgPool) {
    let (sessions, asha) = (sessions(&pool).await, person(&pool, "+919800000001").await);
    let first = sessions.open(asha, at(0)).await.unwrap();
    let lost = refresh(&sessions, &first, 10).await;
    let retried = refresh(&sessions, &first, 39).await;
    assert_eq!(retried.refresh_token, lost.refresh_token);
    assert_eq!(retried.refresh_expires_at, lost.refresh_expires_at);
    refresh(&sessions, &retried, 40).await;
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn two_tabs_that_refresh_at_once_end_with_one_token(pool: PgPool) {
    let (sessions, asha) = (sessions(&pool).await, person(&pool, "+919800000001").await);
    let first = sessions.open(asha, at(0)).await.unwrap();
    warm(&pool).await;
    let tries: Vec<_> = (0..6)
        .map(|_| {
            let (sessions, token) = (sessions.clone(), first.refresh_token.clone());
            tokio::spawn(async move { sessions.refresh(&token, at(10)).await.unwrap().refresh_token })
        })
        .collect();
    let mut tokens = Vec::new();
    for token in tries {
        tokens.push(token.await.unwrap());
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
    assert_eq!(code(sessions.refresh(&tokens[0], at(11)).await), "ok");
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_token_used_again_after_the_grace_ends_the_whole_session(pool: PgPool) {
    let (sessions, asha) = (sessions(&pool).await, person(&pool, "+919800000001").await);
    let other = sessions.open(asha, at(0)).await.unwrap();
    let first = sessions.open(asha, at(0)).await.unwrap();
    let second = refresh(&sessions, &first, 10).await;
    assert_eq!(code(sessions.refresh(&first.refresh_token, at(40)).await), "session_ended");
    assert_eq!(code(sessions.refresh(&second.refresh_token, at(41)).await), "session_ended");
    assert_eq!(code(sessions.authenticate(&second.access_token, at(41)).await), "session_ended");
    assert_eq!(code(sessions.authenticate(&other.access_token, at(41)).await), "ok", "other devices stay");
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_token_used_again_after_its_successor_was_used_ends_the_session_at_once(pool: PgPool) {
    let (sessions, asha) = (sessions(&pool).await, person(&pool, "+919800000001").await);
    let first = sessions.open(asha, at(0)).await.unwrap();
    let second = refresh(&sessions, &first, 10).await;
    let third = refresh(&sessions, &second, 11).await;
    assert_eq!(code(sessions.refresh(&first.refresh_token, at(12)).await), "session_ended");
    assert_eq!(code(sessions.refresh(&third.refresh_token, at(13)).await), "session_ended");
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn logout_ends_one_device_and_logout_everywhere_all(pool: PgPool) {
    let sessions = sessions(&pool).await;
    let (asha, ravi) = (person(&pool, "+919800000001").await, person(&pool, "+919800000002").await);
    let mut pairs = Vec::new();
    for who in [asha, asha, asha, ravi] {
        pairs.push(sessions.open(who, at(0)).await.unwrap());
    }
    let mut alive = Vec::new();
    sessions.logout(asha, pairs[0].session, at(1)).await.unwrap();
    for pair in &pairs {
        alive.push(code(sessions.authenticate(&pair.access_token, at(2)).await));
    }
    assert_eq!(alive, ["session_ended", "ok", "ok", "ok"]);

    let mut ended = sessions.logout_everywhere(asha, at(3)).await.unwrap();
    ended.sort_by_key(|session| session.0);
    assert_eq!(ended, [pairs[1].session, pairs[2].session]);
    assert_eq!(code(sessions.authenticate(&pairs[2].access_token, at(4)).await), "session_ended");
    assert_eq!(code(sessions.authenticate(&pairs[3].access_token, at(4)).await), "ok");
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn the_table_holds_no_refresh_token(pool: PgPool) {
    let (sessions, asha) = (sessions(&pool).await, person(&pool, "+919800000001").await);
    let first = sessions.open(asha, at(0)).await.unwrap();
    let second = refresh(&sessions, &first, 1).await;
    let stored: String = sqlx::query_scalar("SELECT string_agg(t::text, '') FROM app.refresh_tokens t")
        .fetch_one(&pool)
        .await
        .unwrap();
    for pair in [first, second] {
        assert_eq!(pair.refresh_token.len(), 64);
        assert!(!stored.contains(&pair.refresh_token));
    }
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn every_end_of_a_session_is_told_and_the_batched_look_sees_it(pool: PgPool) {
    let access = AccessChanges::default();
    let mut heard = access.listen();
    let (sessions, asha) = (sessions_telling(&pool, access).await, person(&pool, "+919800000001").await);
    let mut pairs = Vec::new();
    for _ in 0..3 {
        pairs.push(sessions.open(asha, at(0)).await.unwrap());
    }
    let ids: Vec<SessionId> = pairs.iter().map(|pair| pair.session).collect();
    let alive = sessions.alive(&ids).await.unwrap();
    assert!(ids.iter().all(|id| alive[id] == [Role::User]), "{alive:?}");
    assert!(heard.try_recv().is_err(), "nothing has changed");

    sessions.logout(asha, ids[0], at(1)).await.unwrap();
    refresh(&sessions, &pairs[1], 1).await;
    assert_eq!(code(sessions.refresh(&pairs[1].refresh_token, at(60)).await), "session_ended");
    sessions.logout_everywhere(asha, at(61)).await.unwrap();
    for session in &ids {
        let told = heard.try_recv().expect("each end is told");
        assert_eq!(told, AccessChange::SessionEnded { person: asha, session: *session });
    }
    assert!(sessions.alive(&ids).await.unwrap().is_empty());
}

fn because(reason: &str) -> Author {
    Author::operator().because(Some(reason), None).unwrap()
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_suspended_account_has_no_session_until_it_is_lifted(pool: PgPool) {
    let access = AccessChanges::default();
    let mut heard = access.listen();
    let sessions = sessions_telling(&pool, access.clone()).await;
    let restrictions = Restrictions::new(pool.clone(), access);
    let (asha, ravi) = (person(&pool, "+919800000001").await, person(&pool, "+919800000002").await);
    let (pair, other) =
        (sessions.open(asha, at(0)).await.unwrap(), sessions.open(ravi, at(0)).await.unwrap());
    for (kind, expected) in
        [(RestrictionKind::Suspended, "account_suspended"), (RestrictionKind::Banned, "account_banned")]
    {
        restrictions.impose(asha, Scope::Account, kind, &because("fraud"), at(1)).await.unwrap();
        assert_eq!(code(sessions.authenticate(&pair.access_token, at(2)).await), expected);
        assert_eq!(code(sessions.refresh(&pair.refresh_token, at(2)).await), expected);
        assert_eq!(code(sessions.open(asha, at(2)).await), expected);
        assert_eq!(code(sessions.authenticate(&other.access_token, at(2)).await), "ok", "others go on");
    }
    assert_eq!(
        heard.recv().await.unwrap(),
        AccessChange::SessionEnded { person: asha, session: pair.session }
    );
    assert_eq!(heard.recv().await.unwrap(), AccessChange::PersonChanged { person: asha });
    for _ in 0..2 {
        restrictions.lift(asha, Scope::Account, &because("appeal"), at(3)).await.unwrap();
    }
    assert_eq!(code(sessions.authenticate(&pair.access_token, at(4)).await), "session_ended");
    assert_eq!(code(sessions.open(asha, at(4)).await), "ok");
    let log: Vec<(String, Option<String>)> =
        sqlx::query_as("SELECT action, reason FROM app.audit_log WHERE subject = $1 ORDER BY at, id")
            .bind(asha.to_string())
            .fetch_all(&pool)
            .await
            .unwrap();
    let log: Vec<(&str, &str)> = log.iter().map(|(it, why)| (it.as_str(), why.as_deref().unwrap())).collect();
    let expected =
        [("account.suspended", "fraud"), ("account.banned", "fraud"), ("account.restored", "appeal")];
    assert_eq!(log, expected);
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_suspension_and_a_sign_in_at_once_leave_no_session(pool: PgPool) {
    let (sessions, asha) = (sessions(&pool).await, person(&pool, "+919800000001").await);
    let restrictions = Restrictions::new(pool.clone(), AccessChanges::default());
    warm(&pool).await;
    for round in 0..10 {
        let why = because("fraud");
        let (_, imposed) = tokio::join!(
            sessions.open(asha, at(round)),
            restrictions.impose(asha, Scope::Account, RestrictionKind::Suspended, &why, at(round))
        );
        imposed.unwrap();
        assert!(sessions.of(asha).await.unwrap().is_empty(), "round {round}");
        restrictions.lift(asha, Scope::Account, &why, at(round)).await.unwrap();
    }
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn an_admins_account_is_not_restricted_and_a_restricted_one_is_no_admins(pool: PgPool) {
    let restrictions = Restrictions::new(pool.clone(), AccessChanges::default());
    let (people, asha) = (people(&pool), person(&pool, "+919800000001").await);
    let why = because("fraud");
    people.grant_role(asha, Role::Admin, &why, at(0)).await.unwrap();
    let refused = restrictions.impose(asha, Scope::Account, RestrictionKind::Banned, &why, at(1)).await;
    assert!(matches!(refused, Err(PeopleError::IsAdmin)));
    let ravi = person(&pool, "+919800000002").await;
    restrictions.impose(ravi, Scope::Account, RestrictionKind::Banned, &why, at(1)).await.unwrap();
    let refused = people.grant_role(ravi, Role::Admin, &why, at(2)).await;
    assert!(matches!(refused, Err(PeopleError::Restricted)));
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_host_who_is_suspended_has_no_rights_as_one(pool: PgPool) {
    let (sessions, asha) = (sessions(&pool).await, person(&pool, "+919800000001").await);
    let restrictions = Restrictions::new(pool.clone(), AccessChanges::default());
    let why = because("complaints");
    people(&pool).grant_role(asha, Role::Host, &why, at(0)).await.unwrap();
    let pair = sessions.open(asha, at(0)).await.unwrap();
    let roles = async || sessions.authenticate(&pair.access_token, at(1)).await.unwrap().roles;
    assert_eq!(roles().await, [Role::User, Role::Host]);
    restrictions.impose(asha, Scope::Host, RestrictionKind::Suspended, &why, at(1)).await.unwrap();
    assert_eq!(roles().await, [Role::User]);
    assert_eq!(sessions.alive(&[pair.session]).await.unwrap()[&pair.session], [Role::User]);
    restrictions.lift(asha, Scope::Host, &why, at(2)).await.unwrap();
    assert_eq!(roles().await, [Role::User, Role::Host]);
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn an_admin_ends_one_session_or_all_of_a_person(pool: PgPool) {
    let sessions = sessions(&pool).await;
    let (asha, ravi) = (person(&pool, "+919800000001").await, person(&pool, "+919800000002").await);
    let mut pairs = Vec::new();
    for who in [asha, asha, asha, ravi] {
        pairs.push(sessions.open(who, at(0)).await.unwrap());
    }
    let why = because("stolen_phone");
    let end = async |session| sessions.end_by_admin(asha, session, &why, at(1)).await.unwrap();
    assert_eq!(end(Some(pairs[0].session)).await, [pairs[0].session]);
    assert!(end(Some(pairs[0].session)).await.is_empty(), "ended before");
    assert!(end(Some(pairs[3].session)).await.is_empty(), "somebody else's");
    assert_eq!(end(None).await.len(), 2);
    assert_eq!(code(sessions.refresh(&pairs[2].refresh_token, at(2)).await), "session_ended");
    assert_eq!(code(sessions.authenticate(&pairs[3].access_token, at(2)).await), "ok");
    let nobody = sessions.end_by_admin(ledger_core::PersonId(Uuid::nil()), None, &why, at(1)).await;
    assert!(matches!(nobody, Err(PeopleError::NotFound)));
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn how_often_a_person_refreshes_is_limited_over_all_devices(pool: PgPool) {
    let (sessions, asha) = (sessions(&pool).await, person(&pool, "+919800000001").await);
    let ravi = sessions.open(person(&pool, "+919800000002").await, at(0)).await.unwrap();
    let mut devices = [sessions.open(asha, at(0)).await.unwrap(), sessions.open(asha, at(0)).await.unwrap()];
    for turn in 0..20 {
        let device = &mut devices[turn % 2];
        *device = refresh(&sessions, device, 1).await;
    }
    let refused = sessions.refresh(&devices[0].refresh_token, at(1)).await;
    assert!(matches!(refused, Err(AuthError::RateLimited { retry_after_seconds: 3_600 })));
    assert_eq!(code(sessions.refresh(&ravi.refresh_token, at(1)).await), "ok");
    assert_eq!(code(sessions.refresh(&devices[0].refresh_token, at(3_601)).await), "ok");
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn what_sign_ins_leave_behind_is_swept_by_age(pool: PgPool) {
    let (sessions, asha) = (sessions(&pool).await, person(&pool, "+919800000001").await);
    let sweep = Sweep::new(pool.clone());
    let ended = sessions.open(asha, at(0)).await.unwrap();
    let idle = sessions.open(asha, at(0)).await.unwrap();
    let kept = sessions.open(asha, at(0)).await.unwrap();
    sessions.logout(asha, ended.session, at(1)).await.unwrap();
    let kept = refresh(&sessions, &kept, 20 * DAY).await;
    let counts = async || -> (i64, i64) {
        let count = "SELECT (SELECT count(*) FROM app.sessions), (SELECT count(*) FROM app.refresh_tokens)";
        sqlx::query_as(count).fetch_one(&pool).await.unwrap()
    };
    assert_eq!(sweep.once(at(29 * DAY)).await.unwrap(), 0);
    assert_eq!(counts().await, (3, 4));
    sweep.once(at(31 * DAY)).await.unwrap();
    assert_eq!(counts().await, (1, 1), "the session in use is left");
    assert_eq!(code(sessions.refresh(&idle.refresh_token, at(31 * DAY)).await), "token_invalid");
    assert_eq!(code(sessions.refresh(&kept.refresh_token, at(31 * DAY)).await), "ok");
}

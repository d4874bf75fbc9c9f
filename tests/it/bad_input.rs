//! Each bad input gets its own stable code, and records nothing.

use crate::world::{World, new_key, new_phone};
use chrono::{TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

#[sqlx::test(migrations = false)]
async fn bodies_paths_and_cursors(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host) = (world.new_user_with(100_000).await, world.new_host(60_000).await);
    let gift = Uuid::now_v7();
    let send = format!("/v1/gifts/{gift}/send");
    let good = json!({ "host": host.id, "price_seen_milli": 10_000 });
    let before = world.events();
    let raw = async |path: &str, body: String| {
        let request = world
            .http
            .post(format!("{}{path}", world.base))
            .bearer_auth(&user.token)
            .header("idempotency-key", new_key().to_string())
            .header("content-type", "application/json")
            .body(body);
        let answer = request.send().await.expect("an answer");
        let (status, kind) = (answer.status().as_u16(), answer.headers()["content-type"].clone());
        let body: Value = answer.json().await.expect("a problem");
        assert_eq!(kind, "application/problem+json", "{body}");
        (status, body["code"].as_str().unwrap_or_default().to_owned(), body)
    };
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body.to_string()
    };
    for (case, body, status, code, field) in [
        ("no JSON", "{".to_owned(), 400, "malformed_json", ""),
        ("empty", String::new(), 400, "malformed_json", ""),
        ("an unknown field", with("colour", json!("red")), 422, "unknown_field", "colour"),
        ("a missing field", json!({ "host": host.id }).to_string(), 422, "missing_field", "price_seen_milli"),
        (
            "a text for a number",
            with("price_seen_milli", json!("10000")),
            422,
            "wrong_type",
            "price_seen_milli",
        ),
        (
            "a float for money",
            with("price_seen_milli", json!(10_000.5)),
            422,
            "wrong_type",
            "price_seen_milli",
        ),
        ("beyond 64 bits", with("price_seen_milli", json!(1e30)), 422, "wrong_type", "price_seen_milli"),
        ("an id that is none", with("host", json!("meera")), 422, "wrong_type", "host"),
        ("zero", with("price_seen_milli", json!(0)), 422, "amount_not_positive", "price_seen_milli"),
        ("negative", with("price_seen_milli", json!(-1)), 422, "amount_not_positive", "price_seen_milli"),
        (
            "overflowing",
            with("price_seen_milli", json!(i64::MAX)),
            422,
            "amount_too_large",
            "price_seen_milli",
        ),
        ("no such gift", good.to_string(), 404, "unknown_gift", ""),
        ("too large", with("host", json!("x".repeat(100_000))), 413, "body_too_large", ""),
    ] {
        let (found_status, found, problem) = raw(&send, body).await;
        assert_eq!((found_status, found.as_str()), (status, code), "{case}: {problem}");
        if !field.is_empty() {
            assert_eq!(problem["field"], field, "{case}: {problem}");
        }
    }
    for (case, path, status, code) in [
        ("a path that is none", "/v1/nowhere", 404, "not_found"),
        ("an id that is none", "/v1/purchases/42", 400, "invalid_path"),
        ("a cursor that is none", "/v1/wallet/statement?cursor=%00abc", 400, "cursor_invalid"),
        ("a cursor of another list", "/v1/calls?cursor=1-2-3-4", 400, "cursor_invalid"),
        ("a limit that is too large", "/v1/wallet/statement?limit=100000", 422, "field_invalid"),
        ("a limit that is none", "/v1/wallet/statement?limit=many", 400, "invalid_query"),
        (
            "a revision that has not come",
            "/v1/wallet?min_revision=99999999",
            422,
            "min_revision_beyond_journal",
        ),
    ] {
        let answer = world.get(Some(&user), path).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{case}: {}", answer.body);
    }
    let answer = world.send(Method::DELETE, Some(&user), "/v1/wallet", None, None).await;
    answer.expect_problem(405, "method_not_allowed");
    assert_eq!(world.events(), before, "nothing was recorded");
}

#[sqlx::test(migrations = false)]
async fn one_time_passwords(pool: PgPool) {
    let world = World::start(&pool).await;
    let before = world.events();
    let start = async |phone: &str| {
        world.post(None, "/v1/auth/otp", json!({ "phone": phone, "channel": "sms" })).await
    };
    let verify = async |phone: &str, challenge: &Value, code: &str| {
        let proof = json!({ "phone": phone, "challenge": challenge, "code": code });
        world.post(None, "/v1/auth/otp/verify", proof).await
    };
    for phone in [
        "",
        "9812345678",
        "+0123456789",
        "+91 11111 11111",
        "+9198123456789012345",
        "+91abc",
        "+91981234567\u{0}",
    ] {
        start(phone).await.expect_problem(422, "phone_invalid");
    }
    let phone = new_phone();
    verify(&phone, &json!(Uuid::now_v7()), "123456").await.expect_problem(422, "otp_invalid");
    verify(&phone, &json!("x"), "123456").await.expect_problem(422, "wrong_type");
    let challenge = &start(&phone).await.expect_ok()["challenge"];
    let code = world.dev.outbox.last_code(&phone).expect("a code");
    let wrong = if code == "000000" { "000001" } else { "000000" };
    verify(&phone, challenge, wrong).await.expect_problem(422, "otp_invalid");
    verify(&phone, challenge, "abc").await.expect_problem(422, "otp_invalid");
    // Single use: of many at once, one gets in.
    let tries = futures_util::future::join_all((0..8).map(|_| verify(&phone, challenge, &code))).await;
    assert_eq!(tries.iter().filter(|it| it.status.is_success()).count(), 1);
    verify(&phone, challenge, &code).await.expect_problem(422, "otp_invalid");

    // Too many tries kill a code, the right one too.
    let phone = new_phone();
    let challenge = &start(&phone).await.expect_ok()["challenge"];
    let code = world.dev.outbox.last_code(&phone).expect("a code");
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..5 {
        verify(&phone, challenge, wrong).await;
    }
    verify(&phone, challenge, &code).await.expect_problem(429, "otp_too_many_tries");

    // An expired one.
    let phone = new_phone();
    let challenge = &start(&phone).await.expect_ok()["challenge"];
    let code = world.dev.outbox.last_code(&phone).expect("a code");
    sqlx::query("UPDATE app.otp_challenges SET expires_at = now() - interval '1 second'")
        .execute(&pool)
        .await
        .expect("time passes");
    verify(&phone, challenge, &code).await.expect_problem(422, "otp_expired");
    assert_eq!(world.events(), before, "nothing was recorded");
}

#[sqlx::test(migrations = false)]
async fn tokens(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let kid = jsonwebtoken::decode_header(&user.token).expect("a header").kid.expect("a key id");
    let secret = secret_of(&world);
    let claims = |age_minutes: i64| {
        let issued = Utc::now() - TimeDelta::minutes(age_minutes);
        let mut claims: Value = payload(&user.token);
        claims["iat"] = json!(issued.timestamp());
        claims["exp"] = json!((issued + TimeDelta::minutes(15)).timestamp());
        claims
    };
    let token = |algorithm: Algorithm, kid: Option<&str>, secret: &[u8], claims: &Value| {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret)).expect("a token")
    };
    let (_, rest) = user.token.split_once('.').expect("a JWT");
    let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", rest.split_once('.').expect("a JWT").0);
    let mut ghost = claims(0);
    ghost["sid"] = json!(Uuid::now_v7());
    for (case, token, code) in [
        ("no JWT", "abc".to_owned(), "token_invalid"),
        (
            "a forged signature",
            token(Algorithm::HS256, Some(&kid), b"another secret of at least thirty-two bytes", &claims(0)),
            "token_invalid",
        ),
        ("another algorithm", token(Algorithm::HS512, Some(&kid), &secret, &claims(0)), "token_invalid"),
        ("no algorithm", unsigned, "token_invalid"),
        ("no key id", token(Algorithm::HS256, None, &secret, &claims(0)), "token_invalid"),
        ("an unknown key id", token(Algorithm::HS256, Some("k9"), &secret, &claims(0)), "token_invalid"),
        ("expired", token(Algorithm::HS256, Some(&kid), &secret, &claims(16)), "token_expired"),
        ("a session that is none", token(Algorithm::HS256, Some(&kid), &secret, &ghost), "session_ended"),
    ] {
        let forged = crate::world::Person { token, ..user.clone() };
        let answer = world.get(Some(&forged), "/v1/me").await;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, code), "{case}: {}", answer.body);
    }
    // The same making, with nothing wrong in it, gets in: the cases above fail for their own reason.
    let right = crate::world::Person {
        token: token(Algorithm::HS256, Some(&kid), &secret, &claims(0)),
        ..user.clone()
    };
    world.get(Some(&right), "/v1/me").await.expect_ok();
}

#[sqlx::test(migrations = false)]
async fn refresh_tokens_rotate_and_a_reused_one_ends_the_session(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let refresh =
        async |token: &str| world.post(None, "/v1/auth/refresh", json!({ "refresh_token": token })).await;
    refresh("nonsense").await.expect_problem(401, "token_invalid");
    let second = refresh(&user.refresh).await.expect_ok();
    let third = refresh(second["refresh_token"].as_str().expect("a token")).await.expect_ok();
    // The first is two turns old: somebody has stolen it.
    let answer = refresh(&user.refresh).await;
    assert_eq!(answer.status, 401, "{}", answer.body);
    let answer = refresh(third["refresh_token"].as_str().expect("a token")).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (401, "session_ended"), "{}", answer.body);
    world.get(Some(&user), "/v1/me").await.expect_problem(401, "session_ended");

    let again = world.sign_in(&user.phone).await;
    world.post(Some(&again), "/v1/auth/logout", json!({})).await.expect_ok();
    world.get(Some(&again), "/v1/me").await.expect_problem(401, "session_ended");
}

#[sqlx::test(migrations = false)]
async fn the_guards_of_the_ledger_answer_with_their_own_codes(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host) = (world.new_user_with(100_000).await, world.new_host(60_000).await);
    let (admin, other_host) = (&world.admin, world.new_host(60_000).await);
    let gift = Uuid::now_v7();
    let card = json!({ "name": "Rose", "image_url": "/rose.webp", "position": 1, "price_milli": 10_000 });
    world.put(Some(admin), &format!("/v1/admin/gifts/{gift}"), card).await.expect_ok();
    let credit =
        json!({ "account": format!("host:{}:earnings", host.id), "amount_milli": 50_000, "reason": "test" });
    world.post(Some(admin), "/v1/admin/adjustments", credit).await.expect_ok();
    let asked =
        world.post(Some(&host), "/v1/withdrawals", json!({ "coins_milli": 10_000 })).await.expect_ok();
    let withdrawal = format!("/v1/admin/withdrawals/{}", asked["withdrawal"].as_str().expect("a withdrawal"));
    world
        .post(Some(admin), &format!("{withdrawal}/paid"), json!({ "payout_ref": "utr" }))
        .await
        .expect_problem(409, "withdrawal_not_approved");
    world.post(Some(admin), &format!("{withdrawal}/approve"), json!({})).await.expect_ok();

    let send = format!("/v1/gifts/{gift}/send");
    let to = |person: Uuid, price: i64| json!({ "host": person, "price_seen_milli": price });
    let commission = |host_bps: u32, agency_bps: u32, from: Value| json!({ "scope": { "kind": "global" }, "host_bps": host_bps, "agency_bps": agency_bps, "effective_from": from });
    let payout_rate = |rate: Value| json!({ "rate": rate });
    let plan = format!("/v1/admin/coin-plans/{}", Uuid::now_v7());
    let adjust = |account: &str, amount: i64, reason: &str| json!({ "account": account, "amount_milli": amount, "reason": reason });
    let bonus = format!("user:{}:bonus", user.id);
    let offer = |coins: i64, price: i64| json!({ "coins_milli": coins, "bonus_milli": 0, "price_minor": price, "price_asset": "INR/2", "active": true });
    let before = world.events();
    let (post, put) = (Method::POST, Method::PUT);
    for (case, who, method, path, body, status, code) in [
        ("paying oneself", &host, &post, send.as_str(), to(host.id, 10_000), 422, "self_payment"),
        (
            "paying from earnings",
            &host,
            &post,
            &send,
            to(other_host.id, 10_000),
            409,
            "earnings_not_spendable",
        ),
        ("a price that changed", &user, &post, &send, to(host.id, 9_000), 409, "gift_price_changed"),
        (
            "more than there is",
            &host,
            &post,
            "/v1/withdrawals",
            json!({ "coins_milli": 99_000 }),
            409,
            "insufficient_earnings",
        ),
        (
            "bought coins withdrawn",
            &user,
            &post,
            "/v1/withdrawals",
            json!({ "coins_milli": 50_000 }),
            409,
            "purchased_not_withdrawable",
        ),
        (
            "too little",
            &host,
            &post,
            "/v1/withdrawals",
            json!({ "coins_milli": 1 }),
            422,
            "withdrawal_too_small",
        ),
        ("zero", &host, &post, "/v1/withdrawals", json!({ "coins_milli": 0 }), 422, "amount_not_positive"),
        (
            "approving twice",
            admin,
            &post,
            &format!("{withdrawal}/approve"),
            json!({}),
            409,
            "withdrawal_already_approved",
        ),
        (
            "rejecting what is approved",
            admin,
            &post,
            &format!("{withdrawal}/reject"),
            json!({ "reason": "late" }),
            409,
            "withdrawal_already_approved",
        ),
        (
            "a reason in words",
            admin,
            &post,
            &format!("{withdrawal}/failed"),
            json!({ "reason": "Bank said no!" }),
            422,
            "reason_invalid",
        ),
        (
            "more than all",
            admin,
            &put,
            "/v1/admin/commission-rates",
            commission(9_000, 2_000, json!(null)),
            422,
            "commission_too_large",
        ),
        (
            "backdated",
            admin,
            &put,
            "/v1/admin/commission-rates",
            commission(5_000, 0, json!("2020-01-01T00:00:00Z")),
            422,
            "effective_from_in_past",
        ),
        (
            "a rate that is a number",
            admin,
            &put,
            "/v1/admin/payout-rates",
            payout_rate(json!(0.5)),
            422,
            "wrong_type",
        ),
        (
            "a rate of nothing",
            admin,
            &put,
            "/v1/admin/payout-rates",
            payout_rate(json!("0")),
            422,
            "payout_rate_invalid",
        ),
        (
            "a rate of yesterday",
            admin,
            &put,
            "/v1/admin/payout-rates",
            json!({ "rate": "2", "effective_from": "2020-01-01T00:00:00Z" }),
            422,
            "effective_from_in_past",
        ),
        (
            "a tax of more than all",
            admin,
            &put,
            "/v1/admin/tax-rates",
            json!({ "tax_bps": 10_001 }),
            422,
            "tax_too_large",
        ),
        (
            "a tax of yesterday",
            admin,
            &put,
            "/v1/admin/tax-rates",
            json!({ "tax_bps": 1, "effective_from": "2020-01-01T00:00:00Z" }),
            422,
            "effective_from_in_past",
        ),
        (
            "a rate that is words",
            admin,
            &put,
            "/v1/admin/payout-rates",
            payout_rate(json!("half")),
            422,
            "wrong_type",
        ),
        ("a plan of nothing", admin, &put, &plan, offer(0, 100), 422, "amount_not_positive"),
        ("a plan beyond numbers", admin, &put, &plan, offer(i64::MAX, 100), 422, "amount_too_large"),
        (
            "an account that is none",
            admin,
            &post,
            "/v1/admin/adjustments",
            adjust("user:me", 1, "test"),
            422,
            "wrong_type",
        ),
        (
            "a platform account",
            admin,
            &post,
            "/v1/admin/adjustments",
            adjust("platform:revenue", 1, "test"),
            422,
            "account_not_adjustable",
        ),
        (
            "an overdraft",
            admin,
            &post,
            "/v1/admin/adjustments",
            adjust(&bonus, -100_001, "test"),
            409,
            "adjustment_overdraws",
        ),
        (
            "an adjustment of nothing",
            admin,
            &post,
            "/v1/admin/adjustments",
            adjust(&bonus, 0, "test"),
            422,
            "amount_not_positive",
        ),
        (
            "an unknown plan",
            &user,
            &post,
            "/v1/purchases",
            json!({ "plan": Uuid::now_v7() }),
            404,
            "unknown_plan",
        ),
    ] {
        let answer = world.send(method.clone(), Some(who), path, Some(new_key()), Some(body)).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{case}: {}", answer.body);
        assert_eq!(answer.content_type, "application/problem+json", "{case}");
    }
    assert_eq!(world.events(), before, "nothing was recorded");
    // A refused price changes nothing of the card that stands beside it in another store.
    let free = json!({ "name": "Thorn", "image_url": "/thorn.webp", "position": 1, "price_milli": 0 });
    let answer = world.put(Some(admin), &format!("/v1/admin/gifts/{gift}"), free).await;
    assert_eq!(answer.code(), "amount_not_positive", "{}", answer.body);
    let name: String = sqlx::query_scalar("SELECT name FROM app.gifts WHERE id = $1")
        .bind(gift)
        .fetch_one(&pool)
        .await
        .expect("the card");
    assert_eq!(name, "Rose");
}

/// The first key that development made up for this server.
fn secret_of(world: &World) -> Vec<u8> {
    let path = world.config.data_dir.join("development-secrets.json");
    let secrets: Value =
        serde_json::from_str(&std::fs::read_to_string(path).expect("the secrets")).expect("JSON");
    hex::decode(secrets["jwt_key"].as_str().expect("a key")).expect("hex")
}

fn payload(token: &str) -> Value {
    use base64::Engine;
    let part = token.split('.').nth(1).expect("a JWT");
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("base64"))
        .expect("JSON")
}

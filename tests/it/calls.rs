//! Rings and calls over real sockets.

use crate::world::{Person, Socket, World, eventually, new_key};
use platform::identity::Role;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

const PRICE: i64 = 60_000;

fn invitation(host: &Person) -> Value {
    json!({ "host": host.id, "medium": "video", "price_seen_milli_per_minute": PRICE, "key": new_key() })
}

/// A user with 1000 coins and a host, both connected.
async fn pair(world: &World) -> (Person, Person, Socket, Socket) {
    let (user, host) = (world.new_user_with(1_000_000).await, world.new_host(PRICE).await);
    let (at_user, at_host) = (world.connect(&user).await, world.connect(&host).await);
    (user, host, at_user, at_host)
}

#[track_caller]
fn refused(reply: &Value, code: &str) {
    assert_eq!((&reply["type"], &reply["problem"]["code"]), (&json!("refused"), &json!(code)), "{reply}");
}

#[sqlx::test(migrations = false)]
async fn a_ring_is_rejected_cancelled_or_missed_and_costs_nothing(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, mut at_user, mut at_host) = pair(&world).await;
    let before = world.wallet(&user).await;

    let ring = at_user.request("call:invite", invitation(&host)).await;
    let call = ring["data"]["call"].clone();
    let invite = at_host.push("call:invited").await;
    assert_eq!(invite["data"]["call"], call);
    assert!(invite["offset"].is_null(), "a ring is no event of the journal: {invite}");
    refused(&at_user.request("call:invite", invitation(&host)).await, "ring_pending");
    assert_eq!(
        at_host.request("call:answer", json!({ "call": call, "accept": false })).await["type"],
        "call:answer:done"
    );
    assert_eq!(at_user.push("call:answered").await["data"]["accepted"], false);
    refused(&at_host.request("call:answer", json!({ "call": call, "accept": true })).await, "ring_over");

    let ring = at_user.request("call:invite", invitation(&host)).await;
    assert_eq!(
        at_user.request("call:cancel", json!({ "call": ring["data"]["call"] })).await["type"],
        "call:cancel:done"
    );
    for side in [&mut at_host, &mut at_user] {
        assert_eq!(side.push("call:ended").await["data"]["reason"], "cancelled");
    }

    let ring = at_user.request("call:invite", invitation(&host)).await;
    let after_ring = chrono::Utc::now() + chrono::TimeDelta::seconds(31);
    world.app.calls.sweep_once(after_ring).await.expect("the sweep");
    let missed = at_user.push("call:ended").await;
    assert_eq!(missed["data"], json!({ "call": ring["data"]["call"], "reason": "missed" }));

    assert_eq!(world.wallet(&user).await, before);
    let history = world.get(Some(&user), "/v1/calls").await.expect_ok();
    let statuses: Vec<_> =
        history["items"].as_array().expect("items").iter().map(|it| it["status"].clone()).collect();
    assert_eq!(statuses, [json!("missed"), json!("cancelled"), json!("rejected")], "newest first");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn of_several_rings_the_host_takes_one_and_the_others_hear_busy(pool: PgPool) {
    let world = World::start(&pool).await;
    let (_, host, mut first, mut at_host) = pair(&world).await;
    let second_user = world.new_user_with(1_000_000).await;
    let mut second = world.connect(&second_user).await;
    first.request("call:invite", invitation(&host)).await;
    let taken = second.request("call:invite", invitation(&host)).await["data"]["call"].clone();
    assert_eq!(
        at_host.request("call:answer", json!({ "call": taken, "accept": true })).await["type"],
        "call:answer:done"
    );
    assert_eq!(first.push("call:ended").await["data"]["reason"], "busy");
    assert_eq!(second.push("call:ticked").await["data"]["number"], 1);
    refused(&first.request("call:invite", invitation(&host)).await, "host_busy");
    let other_host = world.new_host(PRICE).await;
    let _at_other = world.connect(&other_host).await;
    refused(&second.request("call:invite", invitation(&other_host)).await, "payer_busy");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn what_rings_after_a_call_began_is_not_told_busy_by_its_beginning(pool: PgPool) {
    let world = World::start(&pool).await;
    let (_, host, mut first, mut at_host) = pair(&world).await;
    let second_user = world.new_user_with(1_000_000).await;
    let mut second = world.connect(&second_user).await;
    let later = first.request("call:invite", invitation(&host)).await["data"]["call"].clone();
    // As it stands when the first call ended at once, and the others are told of its beginning after that.
    sqlx::query("UPDATE app.rings SET created_at = created_at + interval '1 minute'")
        .execute(&pool)
        .await
        .expect("the ring");
    let taken = second.request("call:invite", invitation(&host)).await["data"]["call"].clone();
    at_host.request("call:answer", json!({ "call": taken, "accept": true })).await;
    assert_eq!(ring_status(&world, &second_user, &taken).await, "running");
    assert_eq!(
        at_host.request("call:end", json!({ "call": taken, "key": new_key() })).await["type"],
        "call:end:done"
    );
    let answer = at_host.request("call:answer", json!({ "call": later, "accept": true })).await;
    assert_eq!(answer["type"], "call:answer:done", "it still rings: {answer}");
}

#[sqlx::test(migrations = false)]
async fn ringing_another_host_ends_the_first_ring(pool: PgPool) {
    let world = World::start(&pool).await;
    let (_, host, mut at_user, mut at_host) = pair(&world).await;
    let other = world.new_host(PRICE).await;
    let mut at_other = world.connect(&other).await;
    let first = at_user.request("call:invite", invitation(&host)).await["data"]["call"].clone();
    assert_eq!(at_user.request("call:invite", invitation(&other)).await["type"], "call:invite:done");
    assert_eq!(at_host.push("call:ended").await["data"], json!({ "call": first, "reason": "cancelled" }));
    at_other.push("call:invited").await;
}

#[sqlx::test(migrations = false)]
async fn before_it_rings_price_balance_and_presence_are_checked(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, mut at_user, _at_host) = pair(&world).await;
    let away = world.new_host(PRICE).await;
    let poor = world.new_user_with(9_999).await;
    let mut at_poor = world.connect(&poor).await;
    let before = world.events();
    refused(&at_user.request("call:invite", invitation(&away)).await, "host_offline");
    // Ten seconds cost ten coins.
    refused(&at_poor.request("call:invite", invitation(&host)).await, "insufficient_funds");
    let mut changed = invitation(&host);
    changed["price_seen_milli_per_minute"] = json!(PRICE - 1);
    refused(&at_user.request("call:invite", changed).await, "call_price_changed");
    let mut myself = invitation(&host);
    myself["host"] = json!(user.id);
    refused(&at_user.request("call:invite", myself).await, "self_payment");
    let mut nobody = invitation(&host);
    nobody["host"] = json!(Uuid::now_v7());
    refused(&at_user.request("call:invite", nobody).await, "unknown_host");
    assert_eq!(world.events(), before, "nothing was recorded");
}

#[sqlx::test(migrations = false)]
async fn a_lost_connection_pauses_the_call_and_coming_back_resumes_it(pool: PgPool) {
    let world = World::start(&pool).await;
    world.meter(1, 30).await;
    let (user, host, mut at_user, mut at_host) = pair(&world).await;
    let call = world.start_call(&mut at_user, &mut at_host, host.id, PRICE).await;
    at_host.push("call:ticked").await;
    drop(at_user);
    let paused = at_host.push("call:paused").await;
    // A stranger to the pause: the host's second device changes nothing.
    let _second_device = world.connect(&host).await;
    let mut at_user = world.connect(&user).await;
    assert_eq!(at_user.hello["active_call"]["call"], json!(call), "{}", at_user.hello);
    let resumed = loop {
        let came = at_host.receive().await.expect("the socket stays open");
        assert_ne!(came["type"], "call:ticked", "nothing is charged while a side is away");
        if came["type"] == "call:resumed" {
            break came;
        }
    };
    assert!(resumed["offset"].as_u64() > paused["offset"].as_u64());
    at_user.push("call:ticked").await;
    let ended = at_host.request("call:end", json!({ "call": call, "key": new_key() })).await;
    assert_eq!(ended["type"], "call:end:done", "{ended}");
    let ended = at_user.push("call:ended").await;
    assert_eq!((&ended["data"]["reason"], &ended["data"]["ended_by"]), (&json!("hung_up"), &json!(host.id)));
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn who_stays_away_beyond_the_grace_loses_the_call(pool: PgPool) {
    let world = World::start(&pool).await;
    world.meter(1, 1).await;
    let (_, host, mut at_user, mut at_host) = pair(&world).await;
    world.start_call(&mut at_user, &mut at_host, host.id, PRICE).await;
    drop(at_user);
    assert_eq!(at_host.push("call:ended").await["data"]["reason"], "lost");
    assert!(world.wallet(&host).await.earnings_milli >= 500, "what had begun is kept");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_second_device_keeps_the_call_alive(pool: PgPool) {
    let world = World::start(&pool).await;
    world.meter(1, 1).await;
    let (user, host, at_user, mut at_host) = pair(&world).await;
    // The same phone signs in again: two sessions, two sockets.
    let again = world.sign_in(&user.phone).await;
    assert_eq!(again.id, user.id);
    let mut second = world.connect(&again).await;
    let mut first = at_user;
    world.start_call(&mut first, &mut at_host, host.id, PRICE).await;
    drop(first);
    for number in 1..=3 {
        assert_eq!(second.push("call:ticked").await["data"]["number"], number);
    }
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_restart_pauses_the_call_and_bills_no_outage(pool: PgPool) {
    let world = World::start(&pool).await;
    world.meter(2, 30).await;
    let (user, host, mut at_user, mut at_host) = pair(&world).await;
    let call = world.start_call(&mut at_user, &mut at_host, host.id, PRICE).await;
    at_user.push("call:ticked").await;
    drop((at_user, at_host));
    let world = world.restart().await;
    let before = charged(&world, call).await;
    let mut at_user = world.connect(&user).await;
    let _at_host = world.connect(&host).await;
    at_user.push("call:resumed").await;
    let tick = at_user.push("call:ticked").await;
    assert_eq!(tick["data"]["charged_total_milli"], before + 2_000, "one more increment of two coins");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn over_http_a_call_runs_the_same_way(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, mut at_user, _at_host) = pair(&world).await;
    let ask = json!({ "host": host.id, "medium": "voice", "price_seen_milli_per_minute": PRICE });
    let key = new_key();
    let ring = world.post_with_key(&user, "/v1/calls", key, ask.clone()).await.expect_ok();
    let again = world.post_with_key(&user, "/v1/calls", key, ask).await;
    assert_eq!(
        (&again.body["call"], again.status.as_u16()),
        (&ring["call"], 201),
        "the same key is the same ring"
    );
    assert!(again.headers.contains_key("idempotent-replayed"), "and it says so: {:?}", again.headers);
    let path = format!("/v1/calls/{}", ring["call"].as_str().expect("a call"));
    let stranger = world.new_person().await;
    for who in [&user, &stranger] {
        let answer = world.post(Some(who), &format!("{path}/answer"), json!({ "accept": true })).await;
        assert!([403, 404].contains(&answer.status.as_u16()), "{}", answer.body);
    }
    world.post(Some(&host), &format!("{path}/answer"), json!({ "accept": true })).await.expect_ok();
    world.post(Some(&host), &format!("{path}/answer"), json!({ "accept": true })).await.expect_ok();
    at_user.push("call:ticked").await;
    world.post(Some(&stranger), &format!("{path}/end"), json!({})).await.expect_problem(404, "unknown_call");
    let key = new_key();
    let ended = world.post_with_key(&user, &format!("{path}/end"), key, json!({})).await.expect_ok();
    let again = world.post_with_key(&user, &format!("{path}/end"), key, json!({})).await.expect_ok();
    assert_eq!(ended["revision"], again["revision"]);
    world.post(Some(&host), &format!("{path}/end"), json!({})).await.expect_problem(409, "call_ended");
    let revision = &ended["revision"];
    let row = world.get(Some(&host), &format!("{path}?min_revision={revision}")).await.expect_ok();
    assert_eq!(row["status"], "ended", "{row}");
    world.verify().await;
}

async fn charged(world: &World, call: Uuid) -> i64 {
    let ask =
        move |state: &ledger_core::State, _| state.call(ledger_core::CallId(call)).map(|it| it.charged_milli);
    world.app.ledger.query(ask).await.expect("the ledger answers").expect("the call")
}

#[sqlx::test(migrations = false)]
async fn coins_that_run_out_end_the_call_on_both_sides(pool: PgPool) {
    let world = World::start(&pool).await;
    world.meter(1, 30).await;
    let (user, host) = (world.new_user_with(2_500).await, world.new_host(PRICE).await);
    let (mut at_user, mut at_host) = (world.connect(&user).await, world.connect(&host).await);
    let call = world.start_call(&mut at_user, &mut at_host, host.id, PRICE).await;
    assert_eq!(at_user.push("call:warned").await["data"]["call"], json!(call));
    assert_eq!(at_user.push("call:ended").await["data"]["reason"], "exhausted");
    assert_eq!(at_host.push("call:ended").await["data"]["reason"], "exhausted");
    assert_eq!(world.wallet(&user).await.spendable_milli, 500, "what does not pay an increment stays");
    // Both are free again.
    eventually("both are free", async || {
        let (a, b) = (ledger_core::PersonId(user.id), ledger_core::PersonId(host.id));
        let busy = world.app.ledger.query(move |state, _| state.engaged(a).or(state.engaged(b))).await;
        busy.expect("the ledger answers").is_none().then_some(())
    })
    .await;
    world.verify().await;
}

/// Leaves the ring as a server does that dies between the answer and the start of the call.
async fn half_accept(world: &World, call: &Value) {
    let call: Uuid = call.as_str().expect("a call").parse().expect("a uuid");
    sqlx::query("UPDATE app.rings SET status = 'accepted', decided_at = now() WHERE call = $1")
        .bind(call)
        .execute(&world.pool)
        .await
        .expect("the ring");
}

#[sqlx::test(migrations = false)]
async fn an_answer_that_is_tried_again_starts_no_call_with_a_payer_who_has_gone(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, mut at_user, mut at_host) = pair(&world).await;
    let call = at_user.request("call:invite", invitation(&host)).await["data"]["call"].clone();
    half_accept(&world, &call).await;
    drop(at_user);
    let payer = ledger_core::PersonId(user.id);
    eventually("the payer has gone", async || {
        (!world.app.attendance.is_connected(payer, Role::User)).then_some(())
    })
    .await;
    let before = world.events();
    let answer = json!({ "call": call, "accept": true });
    refused(&at_host.request("call:answer", answer.clone()).await, "not_connected");
    assert_eq!(world.events(), before, "nothing was recorded");
    // Once the payer is back, the same answer counts.
    let mut at_user = world.connect(&user).await;
    assert_eq!(at_host.request("call:answer", answer).await["type"], "call:answer:done");
    assert_eq!(at_user.push("call:ticked").await["data"]["number"], 1);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn who_hangs_up_on_a_half_accepted_ring_is_never_charged_for_it(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, mut at_user, mut at_host) = pair(&world).await;
    let before = world.wallet(&user).await;
    let call = at_user.request("call:invite", invitation(&host)).await["data"]["call"].clone();
    half_accept(&world, &call).await;
    let hang_up = json!({ "call": call, "key": new_key() });
    for _ in 0..2 {
        let ended = at_user.request("call:end", hang_up.clone()).await;
        assert_eq!(ended["type"], "call:end:done", "{ended}");
    }
    refused(&at_host.request("call:answer", json!({ "call": call, "accept": true })).await, "ring_over");
    assert_eq!(world.wallet(&user).await, before);
}

#[sqlx::test(migrations = false)]
async fn a_half_accepted_ring_fails_after_a_while_and_a_call_that_runs_does_not(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, mut at_user, mut at_host) = pair(&world).await;
    let running = world.start_call(&mut at_user, &mut at_host, host.id, PRICE).await;
    let other = world.new_user_with(1_000_000).await;
    let mut at_other = world.connect(&other).await;
    let second_host = world.new_host(PRICE).await;
    let _at_second = world.connect(&second_host).await;
    let half = at_other.request("call:invite", invitation(&second_host)).await["data"]["call"].clone();
    half_accept(&world, &half).await;
    let now = chrono::Utc::now();
    let since = now - chrono::TimeDelta::minutes(10);
    world.app.calls.recover(since, now).await.expect("the look");
    assert_eq!(ring_status(&world, &other, &half).await, "accepted", "it may still become a call");
    world.app.calls.recover(since, now + chrono::TimeDelta::minutes(2)).await.expect("the look");
    let failed = at_other.push("call:ended").await;
    assert_eq!(failed["data"], json!({ "call": half, "reason": "server_stopped" }));
    assert_eq!(ring_status(&world, &other, &half).await, "failed");
    assert_ne!(ring_status(&world, &user, &json!(running)).await, "failed");
}

async fn ring_status(world: &World, who: &Person, call: &Value) -> Value {
    let path = format!("/v1/calls/{}", call.as_str().expect("a call"));
    world.get(Some(who), &path).await.expect_ok()["status"].clone()
}

#[sqlx::test(migrations = false)]
async fn a_running_call_can_be_ended_whatever_its_ring_says(pool: PgPool) {
    let world = World::start(&pool).await;
    let (_, host, mut at_user, mut at_host) = pair(&world).await;
    let call = world.start_call(&mut at_user, &mut at_host, host.id, PRICE).await;
    sqlx::query("UPDATE app.rings SET status = 'failed', failure = 'payer_busy' WHERE call = $1")
        .bind(call)
        .execute(&pool)
        .await
        .expect("the ring");
    let ended = at_user.request("call:end", json!({ "call": call, "key": new_key() })).await;
    assert_eq!(ended["type"], "call:end:done", "{ended}");
    assert_eq!(at_host.push("call:ended").await["data"]["reason"], "hung_up");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn hanging_up_twice_while_it_rings_is_one_hanging_up(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, mut at_user, _at_host) = pair(&world).await;
    for who in [&user, &host] {
        let call = at_user.request("call:invite", invitation(&host)).await["data"]["call"].clone();
        let path = format!("/v1/calls/{}/end", call.as_str().expect("a call"));
        let key = new_key();
        world.post_with_key(who, &path, key, json!({})).await.expect_ok();
        world.post_with_key(who, &path, key, json!({})).await.expect_ok();
    }
}

#[sqlx::test(migrations = false)]
async fn hanging_up_while_the_host_takes_the_call_ends_one_or_the_other(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, mut at_user, _at_host) = pair(&world).await;
    for _ in 0..10 {
        let call = at_user.request("call:invite", invitation(&host)).await["data"]["call"].clone();
        let path = format!("/v1/calls/{}", call.as_str().expect("a call"));
        let (answer, end) = (format!("{path}/answer"), format!("{path}/end"));
        let (_, ended) = tokio::join!(
            world.post(Some(&host), &answer, json!({ "accept": true })),
            world.post(Some(&user), &end, json!({})),
        );
        ended.expect_ok();
        let (a, b) = (ledger_core::PersonId(user.id), ledger_core::PersonId(host.id));
        let busy = world.app.ledger.query(move |state, _| state.engaged(a).or(state.engaged(b))).await;
        assert_eq!(busy.expect("the ledger answers"), None, "whoever hangs up does not pay on");
    }
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn two_devices_of_the_host_that_answer_at_once_start_one_call(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, mut at_user, _at_host) = pair(&world).await;
    let ring = at_user.request("call:invite", invitation(&host)).await["data"]["call"].clone();
    let call: Uuid = ring.as_str().expect("a call").parse().expect("a uuid");
    let path = format!("/v1/calls/{call}/answer");
    let answers = futures_util::future::join_all(
        (0..8).map(|_| world.post(Some(&host), &path, json!({ "accept": true }))),
    );
    let revisions: Vec<_> = answers.await.into_iter().map(|it| it.expect_ok()["revision"].clone()).collect();
    assert!(revisions.iter().all(|it| *it == revisions[0]), "one receipt for all: {revisions:?}");
    assert_eq!(charged(&world, call).await, 10_000, "one increment");
    assert_eq!(world.wallet(&user).await.spendable_milli, 990_000);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_call_that_starts_when_nobody_is_there_any_more_is_paused_at_once(pool: PgPool) {
    use ledger_core::command::StartCall;
    use ledger_core::{Actor, CallId, Command, Key, Medium, PersonId};
    let world = World::start(&pool).await;
    let (user, host) = (world.new_user_with(1_000_000).await, world.new_host(PRICE).await);
    // As when both sides are gone by the time that the ledger hears of the answer.
    let call = CallId(Uuid::now_v7());
    let command = Command::from(StartCall {
        call,
        payer: PersonId(user.id),
        host: PersonId(host.id),
        medium: Medium::Video,
        price_seen_milli_per_minute: PRICE,
    });
    let actor = Actor::Person(PersonId(host.id));
    world.app.commands.give_as(actor, Key::Natural(call.to_string()), command).await.expect("it starts");
    eventually("the call is paused", async || {
        let phase = world.app.ledger.query(move |state, _| state.call(call).map(|it| it.phase)).await;
        matches!(phase, Ok(Some(ledger_core::calls::Phase::Paused { .. }))).then_some(())
    })
    .await;
    assert_eq!(charged(&world, call.0).await, 10_000, "no second increment");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_host_who_connects_hears_of_the_open_ring_however_many_have_ended_since(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, mut at_user, _at_host) = pair(&world).await;
    let call = at_user.request("call:invite", invitation(&host)).await["data"]["call"].clone();
    // Rings that began later and are over, more than any page of the history.
    sqlx::query(
        "INSERT INTO app.rings
             (call, payer, host, medium, price_milli_per_minute, status, created_at, expires_at, decided_at)
         SELECT gen_random_uuid(), $1, $2, 'video', 1, 'missed', now() + n * interval '1 second',
                now() + interval '1 hour', now()
         FROM generate_series(1, 200) AS n",
    )
    .bind(user.id)
    .bind(host.id)
    .execute(&pool)
    .await
    .expect("the rings");
    for who in [&host, &user] {
        let hello = world.connect(who).await.hello;
        let rings = hello["rings"].as_array().expect("rings");
        assert_eq!(rings.len(), 1, "{hello}");
        assert_eq!(rings[0]["call"], call);
    }
    // Once its time is over it is not told of, even if nobody has swept it yet.
    let later = chrono::Utc::now() + chrono::TimeDelta::seconds(31);
    let open = world.app.calls.open_rings(ledger_core::PersonId(host.id), 50, later).await;
    assert!(open.expect("the rings").is_empty());
}

#[sqlx::test(migrations = false)]
async fn ringing_and_cancelling_over_and_over_is_bounded(pool: PgPool) {
    // The bound on a socket's requests is not the one that is looked for.
    let sockets = websocket_gateway::Config { requests_per_second: 1_000, ..Default::default() };
    let world = World::start_bounded(&pool, sockets).await;
    let (_, host, mut at_user, _at_host) = pair(&world).await;
    let mut rung = 0;
    let refusal = loop {
        let ring = at_user.request("call:invite", invitation(&host)).await;
        if ring["type"] == "refused" {
            break ring;
        }
        rung += 1;
        assert!(rung <= 20, "twenty a minute");
        let call = &ring["data"]["call"];
        assert_eq!(at_user.request("call:cancel", json!({ "call": call })).await["type"], "call:cancel:done");
    };
    refused(&refusal, "rate_limited");
    assert!(refusal["problem"]["retry_after_seconds"].is_u64(), "{refusal}");
    assert_eq!(rung, 20);
    // Another payer is not held up.
    let other = world.new_user_with(1_000_000).await;
    let mut at_other = world.connect(&other).await;
    assert_eq!(at_other.request("call:invite", invitation(&host)).await["type"], "call:invite:done");
}

#[sqlx::test(migrations = false)]
async fn rings_that_became_no_call_are_swept_by_age(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, mut at_user, mut at_host) = pair(&world).await;
    let cancelled = at_user.request("call:invite", invitation(&host)).await["data"]["call"].clone();
    at_host.push("call:invited").await;
    assert_eq!(
        at_user.request("call:cancel", json!({ "call": cancelled })).await["type"],
        "call:cancel:done"
    );
    let call = world.start_call(&mut at_user, &mut at_host, host.id, PRICE).await;
    let days = |days| chrono::Utc::now() + chrono::TimeDelta::days(days);
    assert_eq!(world.app.calls.sweep_old(days(89)).await.expect("the sweep"), 0);
    assert_eq!(world.app.calls.sweep_old(days(91)).await.expect("the sweep"), 1);
    let history = world.get(Some(&user), "/v1/calls").await.expect_ok();
    let left: Vec<&Value> =
        history["items"].as_array().expect("items").iter().map(|it| &it["call"]).collect();
    assert_eq!(left, [&json!(call)], "a call stays in the history");
}

/// What was charged for a call in all, and what of it was given back, by the journal.
async fn told(world: &World, call: Uuid) -> (i64, i64) {
    use ledger_core::Event;
    let journal = ledger_runtime::read_journal(world.app.ledger.store().as_ref(), 0, usize::MAX).await;
    let (mut charged, mut returned) = (0, 0);
    for recorded in journal.expect("the journal reads") {
        match recorded.event {
            Event::CallTicked(it) if it.call.0 == call => charged += it.charge_milli,
            Event::CallChargeReturned(it) if it.call.0 == call => returned += it.returned_milli,
            _ => {}
        }
    }
    (charged, returned)
}

#[sqlx::test(migrations = false)]
async fn what_nobody_was_seen_in_is_given_back_once_however_often_the_loss_is_told(pool: PgPool) {
    use ledger_core::command::{PauseCall, TickCall};
    use ledger_core::event::PauseCause;
    use ledger_core::{Actor, CallId, Command, Key};
    use ledger_runtime::ExecuteError;
    use platform::commands::CommandError;
    let world = World::start(&pool).await;
    world.meter(1, 30).await;
    let (user, host, mut at_user, mut at_host) = pair(&world).await;
    let call = world.start_call(&mut at_user, &mut at_host, host.id, PRICE).await;
    // The payer's phone says nothing any more, not even a pong; nobody knows it yet.
    at_user.stop_reading();
    while at_host.push("call:ticked").await["data"]["number"].as_i64() < Some(4) {}
    let lost = |cause| Command::from(PauseCall { call: CallId(call), cause, last_seen: None });
    let tick = |number| Command::from(TickCall { call: CallId(call), number, last_seen: None });
    let step = |name: String, command| world.app.commands.give_as(Actor::System, Key::State(name), command);
    // Eight tell of the loss at once, others of an outage, and late timers tick; then all of them again.
    for _ in 0..2 {
        let losses = (0..8).map(|it| (format!("loss {it}"), lost(PauseCause::Disconnected)));
        let outages = (0..4).map(|it| (format!("outage {it}"), lost(PauseCause::Outage)));
        let ticks = (2..10).map(|number| (format!("tick {number}"), tick(number)));
        let steps = losses.chain(outages).chain(ticks).map(|(name, command)| step(name, command));
        for answer in futures_util::future::join_all(steps).await {
            // What comes too late is refused; nothing breaks.
            let refused =
                |fault: &CommandError| matches!(fault, CommandError::Execute(ExecuteError::Rejected(_)));
            assert!(answer.as_ref().err().is_none_or(refused), "{answer:?}");
        }
    }
    // The host hangs up, four times under one key, while the loss is told once more.
    let (key, path) = (new_key(), format!("/v1/calls/{call}/end"));
    let ends = (0..4).map(|_| world.post_with_key(&host, &path, key, json!({})));
    let losses = (0..4).map(|it| step(format!("late {it}"), lost(PauseCause::Disconnected)));
    let (ends, _) =
        tokio::join!(futures_util::future::join_all(ends), futures_util::future::join_all(losses));
    let revisions: Vec<Value> = ends.into_iter().map(|it| it.expect_ok()["revision"].clone()).collect();
    assert!(revisions.iter().all(|it| *it == revisions[0]), "{revisions:?}");

    let (charged_milli, returned_milli) = told(&world, call).await;
    assert!(returned_milli >= 1_000, "increments without a sign of life are given back: {returned_milli}");
    let kept_milli = charged_milli - returned_milli;
    assert_eq!(kept_milli, charged(&world, call).await, "what the call says that it cost");
    assert!(kept_milli >= 1_000, "the first increment is kept");
    assert_eq!(world.wallet(&user).await.spendable_milli, 1_000_000 - kept_milli);
    assert_eq!(world.wallet(&host).await.earnings_milli, kept_milli / 2, "the host gives their half back");
    world.verify().await;
    // A replay of the journal ends the same.
    let (paid, earned) = (world.wallet(&user).await, world.wallet(&host).await);
    drop((at_user, at_host));
    let world = world.restart().await;
    assert_eq!((world.wallet(&user).await, world.wallet(&host).await), (paid, earned));
    world.verify().await;
}

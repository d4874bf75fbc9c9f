//! Settlements: drafted, closed once, corrected by later versions, paid like withdrawals, and read as files.

use crate::agencies::{agency, earns};
use crate::governance::another_admin;
use crate::world::{Person, World, new_key};
use chrono::{SecondsFormat, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::io::{Cursor, Read};
use uuid::Uuid;

const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
const PATH: &str = "/v1/admin/settlements";

async fn close(world: &World, body: Value) -> String {
    let made = world.post(Some(&world.admin), PATH, body).await.expect_ok();
    made["settlement"].as_str().expect("a settlement").to_owned()
}

async fn shown(world: &World, id: &str) -> Value {
    world.get(Some(&world.admin), &format!("{PATH}/{id}")).await.expect_ok()
}

/// The statement in one of its forms.
async fn file(world: &World, who: &Person, path: &str, kind: &str) -> (String, Vec<u8>) {
    world.shown().await;
    let request = world.http.get(format!("{}{path}", world.base)).bearer_auth(&who.token);
    let answer = request.header("accept", kind).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200, "{path}");
    let header = |name: &str| {
        answer.headers().get(name).and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned()
    };
    assert!(header("content-type").starts_with(kind), "{}", header("content-type"));
    (header("content-disposition"), answer.bytes().await.expect("a body").to_vec())
}

/// All texts and numbers of a spreadsheet.
fn cells(xlsx: &[u8]) -> String {
    let mut archive = zip::ZipArchive::new(Cursor::new(xlsx)).expect("a zip file");
    let mut all = String::new();
    for name in ["xl/sharedStrings.xml", "xl/worksheets/sheet1.xml", "xl/worksheets/sheet2.xml"] {
        archive.by_name(name).expect("a part").read_to_string(&mut all).expect("text");
    }
    all
}

fn amounts(row: &Value) -> [i64; 6] {
    ["gross_milli", "platform_milli", "others_milli", "earned_milli", "adjusted_milli", "net_milli"]
        .map(|field| row[field].as_i64().unwrap_or_else(|| panic!("{field} of {row}")))
}

#[sqlx::test(migrations = false)]
async fn a_period_of_an_agency_and_its_host_is_settled_once(pool: PgPool) {
    let world = World::start(&pool).await;
    let (agency, owner, host) = agency(&world, "NIGHT-SKY").await;
    let admin = Some(&world.admin);
    let of_agency = json!({ "agency": agency });
    world.post(admin, PATH, of_agency.clone()).await.expect_problem(409, "nothing_to_settle");
    earns(&world, &host, 100_000).await;
    earns(&world, &host, 50_000).await;

    // A draft changes nothing, and says what closing says.
    let events = world.events();
    let draft = world.get(admin, &format!("{PATH}/draft?agency={agency}")).await.expect_ok();
    assert_eq!(amounts(&draft), [150_000, 45_000, 75_000, 30_000, 0, 30_000]);
    assert_eq!((world.events(), &draft["items"]), (events, &json!(2)));

    // The same request eight times at once closes it once; under other keys it is refused.
    let key = new_key();
    let ask = || world.post_with_key(&world.admin, PATH, key, of_agency.clone());
    let ids: Vec<Value> = join_all((0..8).map(|_| ask()))
        .await
        .into_iter()
        .map(|it| it.expect_ok()["settlement"].clone())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(world.events(), events + 1);
    world.post(admin, PATH, of_agency.clone()).await.expect_problem(409, "nothing_to_settle");
    let id = ids[0].as_str().expect("a settlement");
    let closed = shown(&world, id).await;
    assert_eq!(amounts(&closed), amounts(&draft));
    let overlaps = json!({ "agency": agency, "from": closed["starts_at"] });
    world.post(admin, PATH, overlaps).await.expect_problem(409, "already_settled");
    let of_host = close(&world, json!({ "host": host.id })).await;
    assert_eq!(amounts(&shown(&world, &of_host).await), [150_000, 45_000, 30_000, 75_000, 0, 75_000]);

    // What comes later is of the next one.
    earns(&world, &host, 10_000).await;
    let next = shown(&world, &close(&world, of_agency).await).await;
    assert_eq!(amounts(&next), [10_000, 3_000, 5_000, 2_000, 0, 2_000]);
    assert_eq!((&next["starts_at"], &next["first_revision"]), (&closed["ends_at"], &closed["end_revision"]));
    let own = world.get(Some(&owner), &format!("/v1/agencies/{agency}/settlements")).await.expect_ok();
    let nets: Vec<_> =
        own["items"].as_array().expect("items").iter().map(|it| it["net_milli"].clone()).collect();
    assert_eq!(nets, [json!(2_000), json!(30_000)]);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn two_admins_who_close_a_period_at_once_close_it_once(pool: PgPool) {
    let world = World::start(&pool).await;
    let (agency, _, host) = agency(&world, "NIGHT-SKY").await;
    earns(&world, &host, 100_000).await;
    let other = another_admin(&world).await;
    let close = |who| world.post(Some(who), PATH, json!({ "agency": agency }));
    let answers =
        join_all((0..10).map(|number| close(if number % 2 == 0 { &world.admin } else { &other }))).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|it| it.status.is_success());
    assert_eq!(made.len(), 1);
    assert!(
        refused.iter().all(|it| ["nothing_to_settle", "already_settled"].contains(&it.code())),
        "{refused:?}"
    );
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_closed_statement_is_corrected_by_later_versions_and_paid_once(pool: PgPool) {
    let world = World::start(&pool).await;
    let (agency, owner, host) = agency(&world, "NIGHT-SKY").await;
    let admin = Some(&world.admin);
    earns(&world, &host, 100_000).await;
    let first = close(&world, json!({ "agency": agency })).await;
    let correct = |id: &str, amount_milli: i64| {
        let why = json!({ "amount_milli": amount_milli, "reason": "wrong_rate", "note": "Of October." });
        (format!("{PATH}/{id}/corrections"), why)
    };
    let (path, why) = correct(&first, -5_000);
    let second = world.post(admin, &path, why.clone()).await.expect_ok();
    let second = second["settlement"].as_str().expect("a settlement").to_owned();
    world.post(admin, &path, why).await.expect_problem(409, "settlement_corrected");
    let row = shown(&world, &second).await;
    assert_eq!(
        (&row["corrects"], &row["version"], &row["net_milli"]),
        (&json!(first), &json!(2), &json!(15_000))
    );
    assert_eq!((&row["correction_milli"], &row["reason"]), (&json!(-5_000), &json!("wrong_rate")));
    let before = shown(&world, &first).await;
    assert_eq!((&before["corrected_by"], &before["net_milli"]), (&json!(second), &json!(20_000)));

    // Above the limit for adjustments a second admin decides, and the correction is no way around them.
    world.limit_one_admin(1_999).await;
    let (path, why) = correct(&second, 2_000);
    let proposed = world.post(admin, &path, why).await;
    assert_eq!(proposed.status.as_u16(), 202);
    let approval = proposed.expect_ok()["approval"].as_str().expect("an id").to_owned();
    assert_eq!(shown(&world, &second).await["corrected_by"], Value::Null);
    let other = another_admin(&world).await;
    let approve = format!("/v1/admin/approvals/{approval}/approve");
    world.post(admin, &approve, json!({})).await.expect_problem(409, "approval_needs_another_admin");
    world.post(Some(&other), &approve, json!({})).await.expect_ok();
    let third = shown(&world, &second).await["corrected_by"].as_str().expect("a version").to_owned();
    assert_eq!(shown(&world, &third).await["net_milli"], json!(17_000));

    // Paid by a withdrawal of all of it, once; again when it came back.
    let pay = format!("{PATH}/{third}/pay");
    world
        .post(admin, &format!("{PATH}/{first}/pay"), json!({}))
        .await
        .expect_problem(409, "settlement_corrected");
    let withdrawal = async || {
        world.post(admin, &pay, json!({})).await.expect_ok()["withdrawal"].as_str().expect("an id").to_owned()
    };
    let one = withdrawal().await;
    world.post(admin, &pay, json!({})).await.expect_problem(409, "nothing_to_pay");
    assert_eq!(shown(&world, &third).await["held_milli"], json!(17_000));
    let reject = json!({ "reason": "account_closed" });
    world.post(admin, &format!("/v1/admin/withdrawals/{one}/reject"), reject).await.expect_ok();
    assert_eq!(shown(&world, &third).await["held_milli"], json!(0));
    let two = withdrawal().await;
    // The owner sees it among the agency's withdrawals.
    let own = world.get(Some(&owner), &format!("/v1/agencies/{agency}/withdrawals")).await.expect_ok();
    assert_eq!(
        (&own["items"][0]["withdrawal"], &own["items"][0]["coins_milli"]),
        (&json!(two), &json!(17_000))
    );
    world.post(admin, &format!("/v1/admin/withdrawals/{two}/approve"), json!({})).await.expect_ok();
    world
        .post(admin, &format!("/v1/admin/withdrawals/{two}/paid"), json!({ "payout_ref": "utr" }))
        .await
        .expect_ok();
    world.post(admin, &pay, json!({})).await.expect_problem(409, "nothing_to_pay");
    let row = shown(&world, &third).await;
    assert_eq!((&row["held_milli"], &row["paid_milli"]), (&json!(0), &json!(17_000)));
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_statement_is_a_table_a_spreadsheet_and_a_page_to_print(pool: PgPool) {
    let world = World::start(&pool).await;
    let (agency, owner, host) = agency(&world, "NIGHT-SKY").await;
    for coins_milli in [12_345, 20_000, 7] {
        earns(&world, &host, coins_milli).await;
    }
    let id = close(&world, json!({ "agency": agency })).await;
    let why = json!({ "amount_milli": 1_234, "reason": "late_bonus" });
    let made = world.post(Some(&world.admin), &format!("{PATH}/{id}/corrections"), why).await.expect_ok();
    let id = made["settlement"].as_str().expect("a settlement").to_owned();
    let row = shown(&world, &id).await;
    let [gross, platform, hosts, earned, adjusted, net] = amounts(&row);
    assert_eq!((gross, adjusted, net), (32_352, 1_234, earned + 1_234));
    assert_eq!(gross, platform + hosts + earned);
    let decimal = |milli: i64| format!("{}.{:03}", milli / 1_000, milli % 1_000);

    let own = format!("/v1/agencies/{agency}/settlements/{id}");
    let (name, csv) = file(&world, &owner, &own, "text/csv").await;
    assert_eq!(name, format!("attachment; filename=\"settlement-{id}.csv\""));
    let mut table = csv::Reader::from_reader(csv.as_slice());
    let names: Vec<String> = table.headers().expect("names").iter().map(str::to_owned).collect();
    let column = |name: &str| names.iter().position(|it| it == name).expect("a column");
    let lines: Vec<csv::StringRecord> = table.records().map(|line| line.expect("a line")).collect();
    let kinds: Vec<&str> = lines.iter().map(|line| &line[column("type")]).collect();
    assert_eq!(kinds, ["gift", "gift", "gift", "correction", "total"]);
    let of = |line: &csv::StringRecord, name: &str| -> i64 { line[column(name)].parse().expect("a number") };
    for name in ["gross_milli", "platform_milli", "others_milli", "net_milli"] {
        let (total, items) = lines.split_last().expect("a total");
        assert_eq!(items.iter().map(|line| of(line, name)).sum::<i64>(), of(total, name), "{name}");
    }
    assert_eq!((of(&lines[4], "gross_milli"), of(&lines[4], "net_milli")), (gross, net));

    let (name, xlsx) = file(&world, &owner, &own, XLSX).await;
    assert!(name.ends_with(".xlsx\""), "{name}");
    let found = cells(&xlsx);
    for text in [&id, "NIGHT-SKY", "Version", "late_bonus", "correction"] {
        assert!(found.contains(text), "{text}");
    }
    for milli in [gross, platform, hosts, earned, adjusted, net, 12_345, 20_000] {
        // As a spreadsheet writes the number: without zeros at its end.
        let number = decimal(milli);
        let number = number.trim_end_matches('0').trim_end_matches('.');
        assert!(found.contains(&format!("<v>{number}</v>")), "{number}");
    }

    let (name, pdf) = file(&world, &owner, &own, "application/pdf").await;
    assert!(name.ends_with(".pdf\""), "{name}");
    assert!(pdf.starts_with(b"%PDF-"));
    let text = String::from_utf8_lossy(&pdf);
    for milli in [gross, platform, hosts, earned, adjusted, net, 12_345, 20_000, 7] {
        assert!(text.contains(&decimal(milli)), "{}", decimal(milli));
    }
    assert!(text.contains(&id) && text.contains("Page 1 of 1"));

    // A draft is a file too, and says that it is one.
    earns(&world, &host, 1_000).await;
    let draft = format!("{PATH}/draft?agency={agency}");
    let (name, pdf) = file(&world, &world.admin, &draft, "application/pdf").await;
    assert_eq!(name, "attachment; filename=\"settlement-draft.pdf\"");
    assert!(String::from_utf8_lossy(&pdf).contains("draft, not closed"));
}

#[sqlx::test(migrations = false)]
async fn everybody_sees_their_own_settlements_and_no_other(pool: PgPool) {
    let world = World::start(&pool).await;
    let (agency_id, owner, host) = agency(&world, "NIGHT-SKY").await;
    let (other_id, other_owner, other_host) = agency(&world, "DAY-SKY").await;
    earns(&world, &host, 100_000).await;
    let of_agency = close(&world, json!({ "agency": agency_id })).await;
    let of_host = close(&world, json!({ "host": host.id })).await;
    for (who, path) in [
        (&host, format!("/v1/me/settlements/{of_host}")),
        (&owner, format!("/v1/agencies/{agency_id}/settlements/{of_agency}")),
    ] {
        let row = world.get(Some(who), &path).await.expect_ok();
        let items = world.get(Some(who), &format!("{path}/items")).await.expect_ok();
        assert_eq!((&row["items"], items["items"].as_array().map(Vec::len)), (&json!(1), Some(1)));
        let net: i64 =
            items["items"].as_array().into_iter().flatten().filter_map(|it| it["net_milli"].as_i64()).sum();
        assert_eq!(json!(net), row["net_milli"]);
    }
    // Somebody else's is answered like one that is not there.
    for path in [
        format!("/v1/me/settlements/{of_host}"),
        format!("/v1/me/settlements/{of_host}/items"),
        format!("/v1/me/settlements/{of_agency}"),
    ] {
        for who in [&other_host, &owner] {
            world.get(Some(who), &path).await.expect_problem(404, "unknown_settlement");
        }
    }
    let strange = format!("/v1/agencies/{agency_id}/settlements/{of_agency}");
    world.get(Some(&other_owner), &strange).await.expect_problem(404, "unknown_agency");
    let mixed = format!("/v1/agencies/{other_id}/settlements/{of_agency}");
    world.get(Some(&other_owner), &mixed).await.expect_problem(404, "unknown_settlement");
    world.get(Some(&host), &strange).await.expect_problem(403, "forbidden_role");
    world.get(Some(&host), PATH).await.expect_problem(403, "forbidden_role");

    // Nobody settles their own earnings, or those of their own agency.
    for person in [&owner, &host] {
        let roles = format!("/v1/admin/people/{}/roles", person.id);
        world.post(Some(&world.admin), &roles, json!({ "role": "admin" })).await.expect_ok();
    }
    earns(&world, &host, 1_000).await;
    let events = world.events();
    for (who, body, id) in
        [(&owner, json!({ "agency": agency_id }), &of_agency), (&host, json!({ "host": host.id }), &of_host)]
    {
        world.post(Some(who), PATH, body).await.expect_problem(403, "own_money");
        let why = json!({ "amount_milli": 1, "reason": "wrong_rate" });
        world
            .post(Some(who), &format!("{PATH}/{id}/corrections"), why)
            .await
            .expect_problem(403, "own_money");
        world.post(Some(who), &format!("{PATH}/{id}/pay"), json!({})).await.expect_problem(403, "own_money");
    }
    assert_eq!(world.events(), events, "nothing was recorded");
}

#[sqlx::test(migrations = false)]
async fn what_cannot_be_settled_is_refused_with_the_field_named(pool: PgPool) {
    let world = World::start(&pool).await;
    let (agency, _, host) = agency(&world, "NIGHT-SKY").await;
    earns(&world, &host, 1_000).await;
    let events = world.events();
    let moment = |ahead: TimeDelta| (Utc::now() + ahead).to_rfc3339_opts(SecondsFormat::Millis, true);
    let (past, ahead) = (moment(-TimeDelta::days(63)), moment(TimeDelta::days(1)));
    for (body, status, code, field) in [
        (json!({}), 422, "field_invalid", "host"),
        (json!({ "host": host.id, "agency": agency }), 422, "field_invalid", "agency"),
        (json!({ "host": host.id, "to": ahead }), 422, "cut_off_in_future", "to"),
        (json!({ "host": host.id, "to": "2026-01-01T00:00:00.000Z" }), 422, "cut_off_too_old", "to"),
        (json!({ "host": host.id, "to": "2026-01-01T00:00:00.001Z" }), 422, "cut_off_uneven", "to"),
        (json!({ "host": host.id, "from": ahead }), 422, "settlement_period_empty", "from"),
        (json!({ "host": host.id, "until": past }), 422, "unknown_field", "until"),
    ] {
        let answer = world.post(Some(&world.admin), PATH, body.clone()).await;
        assert_eq!((answer.code(), answer.status.as_u16()), (code, status), "{body}: {}", answer.body);
        assert_eq!(answer.body["field"], json!(field), "{body}");
    }
    for (body, code) in [
        (json!({ "host": Uuid::now_v7() }), "unknown_host"),
        (json!({ "agency": Uuid::now_v7() }), "unknown_agency"),
    ] {
        world.post(Some(&world.admin), PATH, body).await.expect_problem(404, code);
    }
    let nobodys = format!("{PATH}/{}", Uuid::now_v7());
    world.get(Some(&world.admin), &nobodys).await.expect_problem(404, "unknown_settlement");
    world
        .post(Some(&world.admin), &format!("{nobodys}/pay"), json!({}))
        .await
        .expect_problem(404, "unknown_settlement");
    assert_eq!(world.events(), events, "nothing was recorded");
}

#[sqlx::test(migrations = false)]
async fn a_host_belongs_to_an_agency_from_a_moment_to_a_moment(pool: PgPool) {
    let world = World::start(&pool).await;
    let (agency, owner, host) = agency(&world, "NIGHT-SKY").await;
    let admin = Some(&world.admin);
    let path = format!("/v1/admin/hosts/{}/agency", host.id);
    let moment = |ahead: TimeDelta| (Utc::now() + ahead).to_rfc3339_opts(SecondsFormat::Millis, true);
    world.put(admin, &path, json!({ "agency": null })).await.expect_ok();
    let earnings = async || {
        let own = world.get(Some(&owner), "/v1/agencies").await.expect_ok();
        own["items"][0]["earnings_milli"].as_i64().expect("a number")
    };
    // From tomorrow on: nothing is shared today, and nobody else gets in between.
    let (tomorrow, later) = (moment(TimeDelta::days(1)), moment(TimeDelta::days(2)));
    let joined = json!({ "agency": agency, "from": tomorrow, "until": later });
    world.put(admin, &path, joined.clone()).await.expect_ok();
    world.put(admin, &path, joined).await.expect_ok();
    earns(&world, &host, 10_000).await;
    assert_eq!(earnings().await, 0);
    world.put(admin, &path, json!({ "agency": agency })).await.expect_problem(409, "already_in_agency");
    world.put(admin, &path, json!({ "agency": null })).await.expect_problem(409, "not_in_agency");
    // It does not come to that: the membership ends as it begins. Then a short one.
    world.put(admin, &path, json!({ "agency": null, "from": tomorrow })).await.expect_ok();
    let until = Utc::now() + TimeDelta::seconds(5);
    let short = json!({ "agency": agency, "until": until.to_rfc3339_opts(SecondsFormat::Millis, true) });
    world.put(admin, &path, short).await.expect_ok();
    earns(&world, &host, 10_000).await;
    assert_eq!(earnings().await, 2_000);
    tokio::time::sleep((until - Utc::now()).to_std().unwrap_or_default()).await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    earns(&world, &host, 10_000).await;
    assert_eq!(earnings().await, 2_000, "the split has two ways again");
    for (body, status, code) in [
        (json!({ "agency": agency, "from": moment(-TimeDelta::days(1)) }), 422, "effective_from_in_past"),
        (json!({ "agency": agency, "from": later, "until": tomorrow }), 422, "membership_empty"),
        (json!({ "agency": null, "until": later }), 422, "field_invalid"),
    ] {
        world.put(admin, &path, body).await.expect_problem(status, code);
    }
    world.verify().await;
}

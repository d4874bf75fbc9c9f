use crate::{at, person};
use ledger_core::Period;
use platform::audit::{self, AuditLog, Author, Change, Filter, Row};
use sqlx::PgPool;

async fn write(pool: &PgPool, author: &Author, change: Change, seconds: i64) {
    let mut tx = pool.begin().await.unwrap();
    audit::record(&mut tx, author, change, at(seconds)).await.unwrap();
    tx.commit().await.unwrap();
}

fn subjects(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.subject.as_str()).collect()
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn the_log_is_read_in_pages_and_by_each_filter(pool: PgPool) {
    let (asha, ravi) = (person(&pool, "+919800000001").await, person(&pool, "+919800000002").await);
    for number in 0..5 {
        let who = Author::person(if number % 2 == 0 { asha } else { ravi });
        let action = if number < 3 { "thing.changed" } else { "thing.removed" };
        // Two in one moment: the id breaks the tie.
        write(&pool, &who, Change::new(action, "thing", number).after(number), number.min(3)).await;
    }
    write(&pool, &Author::operator(), Change::new("role.granted", "person", "x"), 9).await;
    let log = AuditLog::new(pool.clone());

    let mut seen = Vec::new();
    let mut next = None;
    loop {
        let page = log.list(&Filter::default(), next, 2).await.unwrap();
        seen.extend(page.items.into_iter().map(|row| row.subject));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["x", "4", "3", "2", "1", "0"]);

    let all = Filter::default;
    for (case, filter, expected) in [
        ("actor", Filter { actor: Some(ravi), ..all() }, vec!["3", "1"]),
        ("action", Filter { action: Some("thing.removed".into()), ..all() }, vec!["4", "3"]),
        ("kind", Filter { subject_kind: Some("person".into()), ..all() }, vec!["x"]),
        ("subject", Filter { subject: Some("2".into()), ..all() }, vec!["2"]),
        ("from", Filter { period: Period { from: Some(at(3)), to: None }, ..all() }, vec!["x", "4", "3"]),
        ("to", Filter { period: Period { from: None, to: Some(at(1)) }, ..all() }, vec!["0"]),
        (
            "two",
            Filter { actor: Some(asha), period: Period { from: Some(at(2)), to: Some(at(3)) }, ..all() },
            vec!["2"],
        ),
        ("none", Filter { subject: Some("9".into()), ..all() }, vec![]),
    ] {
        let page = log.list(&filter, None, 10).await.unwrap();
        assert_eq!(subjects(&page.items), expected, "{case}");
    }
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_row_is_never_changed_or_removed(pool: PgPool) {
    write(&pool, &Author::operator(), Change::new("role.granted", "person", "x"), 1).await;
    for forbidden in
        ["UPDATE app.audit_log SET actor = NULL", "DELETE FROM app.audit_log", "TRUNCATE app.audit_log"]
    {
        let refused = sqlx::query(forbidden).execute(&pool).await;
        assert!(refused.is_err(), "{forbidden}");
    }
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM app.audit_log").fetch_one(&pool).await.unwrap();
    assert_eq!(rows, 1);
}

#[test]
fn a_reason_is_a_code_and_a_note_has_words() {
    let author = Author::operator();
    assert!(author.clone().because(Some("asked_by_user_2"), Some("they called")).is_ok());
    for (field, reason, words) in [
        ("reason", Some(""), None),
        ("reason", Some("With words"), None),
        ("reason", Some("nul\0"), None),
        ("note", None, Some(" ")),
        ("note", None, Some("nul \0")),
    ] {
        assert_eq!(author.clone().because(reason, words).unwrap_err().field, field);
    }
}

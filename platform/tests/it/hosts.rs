use crate::{at, people, person};
use ledger_core::{Period, PersonId};
use platform::{
    audit::{AuditLog, Author, Filter},
    hosts::{HostError, HostProfile, HostStatus, Hosts},
    identity::{AccessChanges, Role},
};
use sqlx::PgPool;
use uuid::Uuid;

fn by(admin: PersonId) -> Author {
    Author::person(admin)
}

fn profile(name: &str) -> HostProfile {
    HostProfile {
        display_name: name.into(),
        bio: "Tarot and\nastrology".into(),
        categories: vec!["astrology".into(), " tarot ".into(), "tarot".into()],
        languages: vec!["hi".into(), "en".into()],
    }
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn an_applicant_is_approved_and_becomes_a_host(pool: PgPool) {
    let hosts = Hosts::new(pool.clone(), AccessChanges::default());
    let (meera, admin) = (person(&pool, "+919800000001").await, person(&pool, "+919800000009").await);
    let applied = hosts.apply(meera, &profile(" Meera "), at(1)).await.unwrap();
    assert_eq!((applied.status, applied.status_since), (HostStatus::Applied, at(1)));
    assert_eq!(applied.profile.display_name, "Meera");
    assert_eq!(applied.profile.categories, ["astrology", "tarot"]);
    assert!(hosts.get_serving(&[meera]).await.unwrap().is_empty());

    let approved = hosts.approve(meera, &by(admin), at(2)).await.unwrap();
    assert_eq!(
        (approved.status, approved.decided_by, approved.decided_at),
        (HostStatus::Approved, Some(admin), Some(at(2)))
    );
    assert_eq!(hosts.get(meera).await.unwrap(), approved);
    assert_eq!(hosts.get_serving(&[meera, admin]).await.unwrap(), [approved]);
    assert_eq!(people(&pool).get(meera).await.unwrap().roles, [Role::User, Role::Host]);
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_decision_is_made_once(pool: PgPool) {
    let hosts = Hosts::new(pool.clone(), AccessChanges::default());
    let (meera, admin) = (person(&pool, "+919800000001").await, person(&pool, "+919800000009").await);
    assert_eq!(hosts.approve(meera, &by(admin), at(0)).await.unwrap_err().code(), "unknown_host");
    hosts.apply(meera, &profile("Meera"), at(1)).await.unwrap();
    hosts.approve(meera, &by(admin), at(2)).await.unwrap();
    assert_eq!(hosts.approve(meera, &by(admin), at(3)).await.unwrap_err().code(), "host_already_decided");
    assert_eq!(
        hosts.reject(meera, "no", &by(admin), at(3)).await.unwrap_err().code(),
        "host_already_decided"
    );
    assert_eq!(
        hosts.apply(meera, &profile("Meera"), at(4)).await.unwrap_err().code(),
        "host_already_approved"
    );
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_rejected_applicant_learns_why_and_may_apply_again(pool: PgPool) {
    let hosts = Hosts::new(pool.clone(), AccessChanges::default());
    let (meera, admin) = (person(&pool, "+919800000001").await, person(&pool, "+919800000009").await);
    hosts.apply(meera, &profile("Meera"), at(1)).await.unwrap();
    let rejected = hosts.reject(meera, "Please add a bio.", &by(admin), at(2)).await.unwrap();
    assert_eq!(
        (rejected.status, rejected.reject_reason.as_deref()),
        (HostStatus::Rejected, Some("Please add a bio."))
    );
    assert_eq!(people(&pool).get(meera).await.unwrap().roles, [Role::User]);

    let again = hosts.apply(meera, &profile("Meera"), at(3)).await.unwrap();
    assert_eq!((again.status, again.status_since, again.reject_reason), (HostStatus::Applied, at(3), None));
    let changed = hosts.apply(meera, &profile("Meera Rao"), at(4)).await.unwrap();
    assert_eq!(
        (changed.profile.display_name.as_str(), changed.status_since),
        ("Meera Rao", at(3)),
        "keeps its place"
    );
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn each_field_out_of_bounds_is_named(pool: PgPool) {
    let hosts = Hosts::new(pool.clone(), AccessChanges::default());
    let meera = person(&pool, "+919800000001").await;
    let many = |count: usize| (0..count).map(|number| format!("entry {number}")).collect::<Vec<_>>();
    let good = profile("Meera");
    for (field, bad) in [
        ("display_name", HostProfile { display_name: "M".into(), ..good.clone() }),
        ("display_name", HostProfile { display_name: "x".repeat(41), ..good.clone() }),
        ("display_name", HostProfile { display_name: "Mee\nra".into(), ..good.clone() }),
        ("bio", HostProfile { bio: "x".repeat(501), ..good.clone() }),
        ("bio", HostProfile { bio: "nul \0".into(), ..good.clone() }),
        ("categories", HostProfile { categories: vec![], ..good.clone() }),
        ("categories", HostProfile { categories: many(11), ..good.clone() }),
        ("categories", HostProfile { categories: vec!["x".repeat(31)], ..good.clone() }),
        ("languages", HostProfile { languages: vec![" ".into()], ..good.clone() }),
    ] {
        match hosts.apply(meera, &bad, at(0)).await {
            Err(HostError::Invalid(error)) => assert_eq!(error.field, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    let nobody = PersonId(Uuid::nil());
    assert_eq!(hosts.apply(nobody, &good, at(0)).await.unwrap_err().code(), "unknown_person");
    assert_eq!(hosts.get(meera).await.unwrap_err().code(), "unknown_host");
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn pages_show_every_host_once_in_order(pool: PgPool) {
    let hosts = Hosts::new(pool.clone(), AccessChanges::default());
    let admin = person(&pool, "+919800000099").await;
    let mut expected = Vec::new();
    for number in 0..7 {
        let who = person(&pool, &format!("+9198000000{number:02}")).await;
        hosts.apply(who, &profile("Host"), at(number)).await.unwrap();
        // Three were approved in the same moment: the id breaks the tie.
        hosts.approve(who, &by(admin), at(100 + number.min(4))).await.unwrap();
        expected.push(who);
    }
    let mut seen = Vec::new();
    let mut next = None;
    loop {
        let page = hosts.list(HostStatus::Approved, None, Period::default(), next, 3).await.unwrap();
        assert!(page.items.len() <= 3);
        seen.extend(page.items.iter().map(|host| host.person));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(seen, expected);
    assert!(
        hosts.list(HostStatus::Applied, None, Period::default(), None, 3).await.unwrap().items.is_empty()
    );
    let whole = hosts.list(HostStatus::Approved, None, Period::default(), None, 7).await.unwrap();
    assert_eq!((whole.items.len(), whole.next), (7, None));
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_decision_is_in_the_audit_log_and_nobody_decides_on_themselves(pool: PgPool) {
    let hosts = Hosts::new(pool.clone(), AccessChanges::default());
    let (meera, admin) = (person(&pool, "+919800000001").await, person(&pool, "+919800000009").await);
    hosts.apply(meera, &profile("Meera"), at(1)).await.unwrap();
    assert_eq!(hosts.approve(meera, &by(meera), at(2)).await.unwrap_err().code(), "own_money");
    assert_eq!(hosts.reject(meera, "no", &by(meera), at(2)).await.unwrap_err().code(), "own_money");
    assert_eq!(people(&pool).get(meera).await.unwrap().roles, [Role::User]);
    hosts.reject(meera, "Please add a bio.", &by(admin), at(3)).await.unwrap();
    hosts.apply(meera, &profile("Meera"), at(4)).await.unwrap();
    hosts.approve(meera, &by(admin), at(5)).await.unwrap();
    let log = AuditLog::new(pool.clone());
    let rows = log.list(&Filter::default(), None, 10).await.unwrap().items;
    let told: Vec<_> =
        rows.iter().map(|row| (row.action.as_str(), row.actor, row.words.as_deref(), row.at)).collect();
    assert_eq!(
        told,
        [
            ("host.approved", Some(admin.0), None, at(5)),
            ("host.rejected", Some(admin.0), Some("Please add a bio."), at(3))
        ]
    );
    assert!(rows.iter().all(|row| row.subject == meera.to_string()));
}

use crate::{at, people, person, warm};
use ledger_core::{AgencyId, PersonId};
use platform::audit::Author;
use platform::identity::{Agencies, AgencyError, PeopleError, Role};
use sqlx::PgPool;
use uuid::Uuid;

const NOBODY: PersonId = PersonId(Uuid::nil());

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn one_number_is_one_person_even_when_they_come_at_once(pool: PgPool) {
    warm(&pool).await;
    let tries: Vec<_> = (0..6)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { person(&pool, "+919800000001").await })
        })
        .collect();
    let mut ids = Vec::new();
    for id in tries {
        ids.push(id.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_ne!(person(&pool, "+919800000002").await, ids[0]);
    assert_eq!(people(&pool).phone(ids[0]).await.unwrap().as_str(), "+919800000001");
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn roles_are_granted_once_and_taken_away(pool: PgPool) {
    let (people, asha) = (people(&pool), person(&pool, "+919800000001").await);
    for _ in 0..2 {
        people.grant_role(asha, Role::Admin, &Author::operator(), at(0)).await.unwrap();
    }
    assert_eq!(people.get(asha).await.unwrap().roles, [Role::User, Role::Admin]);
    people.grant_role(asha, Role::Agency, &Author::operator(), at(0)).await.unwrap();
    for _ in 0..2 {
        people.revoke_role(asha, Role::Agency, &Author::operator(), at(1)).await.unwrap();
    }
    assert_eq!(people.get(asha).await.unwrap().roles, [Role::User, Role::Admin]);
    assert!(matches!(
        people.grant_role(NOBODY, Role::Admin, &Author::operator(), at(0)).await,
        Err(PeopleError::NotFound)
    ));
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn the_last_admin_stays_one_even_when_two_leave_at_once(pool: PgPool) {
    let (people, asha) = (people(&pool), person(&pool, "+919800000001").await);
    let ravi = person(&pool, "+919800000002").await;
    people.grant_role(asha, Role::Admin, &Author::operator(), at(0)).await.unwrap();
    assert!(matches!(
        people.revoke_role(asha, Role::Admin, &Author::operator(), at(1)).await,
        Err(PeopleError::LastAdmin)
    ));
    people
        .revoke_role(ravi, Role::Admin, &Author::operator(), at(1))
        .await
        .expect("nobody loses what they have not");
    for _ in 0..10 {
        for admin in [asha, ravi] {
            people.grant_role(admin, Role::Admin, &Author::operator(), at(1)).await.unwrap();
        }
        let by = Author::operator();
        let left = tokio::join!(
            people.revoke_role(asha, Role::Admin, &by, at(1)),
            people.revoke_role(ravi, Role::Admin, &by, at(1))
        );
        assert!(matches!(
            left,
            (Ok(()), Err(PeopleError::LastAdmin)) | (Err(PeopleError::LastAdmin), Ok(()))
        ));
    }
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_name_is_trimmed_and_has_bounds(pool: PgPool) {
    let (people, asha) = (people(&pool), person(&pool, "+919800000001").await);
    people.set_profile(asha, Some("  Asha राव "), None).await.unwrap();
    assert_eq!(people.get(asha).await.unwrap().name.as_deref(), Some("Asha राव"));
    for bad in ["", "   ", "a\0b", "a\nb", &"x".repeat(61)] {
        let error = people.set_profile(asha, Some(bad), None).await.unwrap_err();
        assert!(matches!(&error, PeopleError::Invalid(field) if field.field == "name"), "{bad:?}");
        assert_eq!(error.code(), "field_invalid");
    }
    assert_eq!(people.set_profile(NOBODY, Some("X"), None).await.unwrap_err().code(), "unknown_person");
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn an_agency_has_a_code_of_its_own_and_gives_its_owner_the_role(pool: PgPool) {
    let (agencies, owner) = (Agencies::new(pool.clone()), person(&pool, "+919800000001").await);
    let made = agencies.create("Star Agency", "STAR-1", owner, &Author::operator(), at(0)).await.unwrap();
    assert_eq!(agencies.get(made.id).await.unwrap(), made);
    assert_eq!(people(&pool).get(owner).await.unwrap().roles, [Role::User, Role::Agency]);

    let other = person(&pool, "+919800000002").await;
    let taken = agencies.create("Other", "STAR-1", other, &Author::operator(), at(0)).await.unwrap_err();
    assert_eq!(taken.code(), "agency_code_taken");
    assert_eq!(people(&pool).get(other).await.unwrap().roles, [Role::User], "no role without the agency");
    for code in ["", "AB", "star", "A B C", "A\0BC"] {
        assert!(matches!(
            agencies.create("Other", code, other, &Author::operator(), at(0)).await,
            Err(AgencyError::Invalid(_))
        ));
    }
    assert_eq!(
        agencies.create("Other", "OTHER", NOBODY, &Author::operator(), at(0)).await.unwrap_err().code(),
        "unknown_person"
    );
    assert_eq!(agencies.get(AgencyId(Uuid::nil())).await.unwrap_err().code(), "unknown_agency");
}

use crate::{at, person};
use ledger_core::PersonId;
use platform::audit::{AuditLog, Author, Filter};
use platform::known::Known;
use platform::settings::{MeteringSettings, PayoutSettings, Settings, SettingsError};
use sqlx::PgPool;

fn field<T>(result: Result<T, SettingsError>) -> &'static str {
    match result {
        Err(SettingsError::Invalid(error)) => error.field,
        Err(error) => panic!("{error}"),
        Ok(_) => "",
    }
}

fn by(admin: PersonId) -> Author {
    Author::person(admin)
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn nobody_set_anything_yet_so_the_defaults_hold(pool: PgPool) {
    let settings = Settings::new(pool, Known::default());
    let metering = settings.metering().await.unwrap();
    let MeteringSettings { increment_seconds, free_seconds, grace_seconds, ring_seconds, warning_seconds } =
        metering;
    assert_eq!(
        (increment_seconds, free_seconds, grace_seconds, ring_seconds, warning_seconds),
        (10, 0, 30, 30, 60)
    );
    let payout = settings.payout().await.unwrap();
    assert_eq!((payout.minimum_withdrawal_milli, payout.daily_withdrawal_milli), (1_000, None));
    assert_eq!((payout.require_verified_payee, payout.earnings_hold_seconds), (false, 0));
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn what_was_set_is_read_and_can_be_set_again(pool: PgPool) {
    let (settings, admin) =
        (Settings::new(pool.clone(), Known::default()), person(&pool, "+919800000009").await);
    for increment_seconds in [1, 60] {
        let metering =
            MeteringSettings { increment_seconds, warning_seconds: 3, ..MeteringSettings::default() };
        settings.set_metering(&metering, &by(admin), at(0)).await.unwrap();
        assert_eq!(settings.metering().await.unwrap(), metering);
    }
    let payout = PayoutSettings {
        minimum_withdrawal_milli: 500_000,
        daily_withdrawal_milli: Some(700_000),
        require_verified_payee: true,
        earnings_hold_seconds: 86_400,
        claw_back_held_earnings: true,
    };
    settings.set_payout(&payout, &by(admin), at(0)).await.unwrap();
    assert_eq!(settings.payout().await.unwrap(), payout);
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn each_value_out_of_bounds_is_named_and_nothing_is_stored(pool: PgPool) {
    let (settings, admin) =
        (Settings::new(pool.clone(), Known::default()), person(&pool, "+919800000009").await);
    let good = MeteringSettings::default();
    for (expected, bad) in [
        ("increment_seconds", MeteringSettings { increment_seconds: 0, ..good.clone() }),
        ("increment_seconds", MeteringSettings { increment_seconds: 3_601, ..good.clone() }),
        ("free_seconds", MeteringSettings { free_seconds: 3_601, ..good.clone() }),
        ("grace_seconds", MeteringSettings { grace_seconds: 0, ..good.clone() }),
        ("ring_seconds", MeteringSettings { ring_seconds: 0, ..good.clone() }),
        ("warning_seconds", MeteringSettings { warning_seconds: 3_601, ..good.clone() }),
    ] {
        assert_eq!(field(settings.set_metering(&bad, &by(admin), at(0)).await), expected);
    }
    let good = PayoutSettings::default();
    for (expected, bad) in [
        ("daily_withdrawal_milli", PayoutSettings { daily_withdrawal_milli: Some(0), ..good.clone() }),
        ("daily_withdrawal_milli", PayoutSettings { daily_withdrawal_milli: Some(1 << 53), ..good.clone() }),
        ("minimum_withdrawal_milli", PayoutSettings { minimum_withdrawal_milli: 0, ..good.clone() }),
        ("minimum_withdrawal_milli", PayoutSettings { minimum_withdrawal_milli: 1 << 53, ..good.clone() }),
        ("earnings_hold_seconds", PayoutSettings { earnings_hold_seconds: 90 * 86_400 + 1, ..good.clone() }),
    ] {
        assert_eq!(field(settings.set_payout(&bad, &by(admin), at(0)).await), expected);
    }
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM app.settings").fetch_one(&pool).await.unwrap();
    assert_eq!(stored, 0);
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_field_that_a_stored_value_lacks_takes_its_default(pool: PgPool) {
    let (settings, admin) =
        (Settings::new(pool.clone(), Known::default()), person(&pool, "+919800000009").await);
    sqlx::query("INSERT INTO app.settings VALUES ('metering', '{\"increment_seconds\": 5}', $1, $2)")
        .bind(admin.0)
        .bind(at(0))
        .execute(&pool)
        .await
        .unwrap();
    let expected = MeteringSettings { increment_seconds: 5, ..MeteringSettings::default() };
    assert_eq!(settings.metering().await.unwrap(), expected);

    sqlx::query("UPDATE app.settings SET value = '{\"increment_seconds\": \"x\"}'")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(settings.metering().await.unwrap_err().code(), "setting_unreadable");
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_change_is_in_the_audit_log_with_what_was_before_and_one_that_changes_nothing_is_not(pool: PgPool) {
    let (settings, admin) =
        (Settings::new(pool.clone(), Known::default()), person(&pool, "+919800000009").await);
    let author =
        by(admin).in_request("req-1").because(Some("shorter_ticks"), Some("asked by hosts")).unwrap();
    let metering = MeteringSettings { increment_seconds: 5, ..MeteringSettings::default() };
    // Eight at once: the first one changes, the others find it changed.
    crate::warm(&pool).await;
    let at_once = (0..8).map(|_| {
        let (settings, metering, author) = (settings.clone(), metering.clone(), author.clone());
        tokio::spawn(async move { settings.set_metering(&metering, &author, at(7)).await })
    });
    for done in at_once.collect::<Vec<_>>() {
        done.await.unwrap().unwrap();
    }
    let log = AuditLog::new(pool.clone());
    let page = log.list(&Filter::default(), None, 10).await.unwrap();
    let [row] = page.items.as_slice() else { panic!("one row: {page:?}") };
    assert_eq!((row.action.as_str(), row.subject.as_str()), ("setting.changed", "metering"));
    assert_eq!((row.actor, row.at, row.request.as_deref()), (Some(admin.0), at(7), Some("req-1")));
    assert_eq!(
        (row.reason.as_deref(), row.words.as_deref()),
        (Some("shorter_ticks"), Some("asked by hosts"))
    );
    let increments = [&row.before, &row.after].map(|it| it.as_ref().unwrap()["increment_seconds"].clone());
    assert_eq!(increments, [10, 5]);
    assert_eq!(page.next, None);
}

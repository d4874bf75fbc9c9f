use crate::{at, people, prefix, redis, warm};
use integrations::otp_sender::{OtpChannel, OtpOutbox, OtpSender};
use platform::{
    identity::{Otp, OtpConfig, OtpError, OtpStarted, Role},
    rate_limit::RateLimiter,
};
use sqlx::PgPool;

const PHONE: &str = "+919876543210";

struct Desk {
    otp: Otp,
    outbox: OtpOutbox,
}

async fn desk(pool: &PgPool, config: OtpConfig) -> Desk {
    let outbox = OtpOutbox::default();
    let limiter = RateLimiter::new(redis().await, &prefix());
    let sender = OtpSender::Console(outbox.clone());
    Desk { otp: Otp::new(pool.clone(), people(pool), limiter, sender, config), outbox }
}

impl Desk {
    async fn start(&self, phone: &str, address: &str, seconds: i64) -> Result<OtpStarted, OtpError> {
        self.otp.start(phone, OtpChannel::Sms, address, at(seconds)).await
    }

    async fn verify(&self, code: &str, seconds: i64) -> Result<Vec<Role>, &'static str> {
        let verified = self.otp.verify(PHONE, code, at(seconds)).await;
        verified.map(|person| person.roles).map_err(|error| error.code())
    }

    fn code(&self, phone: &str) -> String {
        self.outbox.last_code(phone).expect("a code was sent")
    }
}

fn another(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000)
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn the_right_code_makes_the_account_and_later_finds_it(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    let started = desk.start(PHONE, "10.0.0.1", 0).await.unwrap();
    assert_eq!(started, OtpStarted { expires_in_seconds: 300, resend_after_seconds: 30 });
    let code = desk.code(PHONE);
    assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
    let first = desk.otp.verify(PHONE, &code, at(299)).await.unwrap();
    assert_eq!((first.roles.as_slice(), first.created_at), (&[Role::User][..], at(299)));

    desk.start(PHONE, "10.0.0.1", 400).await.unwrap();
    let again = desk.otp.verify(PHONE, &desk.code(PHONE), at(401)).await.unwrap();
    assert_eq!(again, first);
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_code_is_good_once(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    desk.start(PHONE, "10.0.0.1", 0).await.unwrap();
    let code = desk.code(PHONE);
    desk.verify(&code, 1).await.unwrap();
    assert_eq!(desk.verify(&code, 2).await, Err("otp_invalid"));
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn of_many_who_verify_at_once_exactly_one_wins(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    desk.start(PHONE, "10.0.0.1", 0).await.unwrap();
    let code = desk.code(PHONE);
    warm(&pool).await;
    let tries: Vec<_> = (0..8)
        .map(|_| {
            let (otp, code) = (desk.otp.clone(), code.clone());
            tokio::spawn(async move { otp.verify(PHONE, &code, at(1)).await.map_err(|error| error.code()) })
        })
        .collect();
    let mut won = 0;
    for result in tries {
        match result.await.unwrap() {
            Ok(_) => won += 1,
            Err(code) => assert_eq!(code, "otp_invalid"),
        }
    }
    assert_eq!(won, 1);
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_code_expires_to_the_second(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    desk.start(PHONE, "10.0.0.1", 0).await.unwrap();
    assert_eq!(desk.verify(&desk.code(PHONE), 300).await, Err("otp_expired"));
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn five_wrong_codes_kill_it_and_a_new_code_is_good_again(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    desk.start(PHONE, "10.0.0.1", 0).await.unwrap();
    let code = desk.code(PHONE);
    for _ in 0..5 {
        assert_eq!(desk.verify(&another(&code), 1).await, Err("otp_invalid"));
    }
    assert_eq!(desk.verify(&code, 2).await, Err("otp_too_many_tries"));
    desk.start(PHONE, "10.0.0.1", 30).await.unwrap();
    assert!(desk.verify(&desk.code(PHONE), 31).await.is_ok());
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn wrong_codes_at_once_are_all_counted(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    desk.start(PHONE, "10.0.0.1", 0).await.unwrap();
    let wrong = another(&desk.code(PHONE));
    warm(&pool).await;
    let tries: Vec<_> = (0..9)
        .map(|_| {
            let (otp, wrong) = (desk.otp.clone(), wrong.clone());
            tokio::spawn(async move { otp.verify(PHONE, &wrong, at(1)).await.unwrap_err().code() })
        })
        .collect();
    let mut invalid = 0;
    for result in tries {
        invalid += usize::from(result.await.unwrap() == "otp_invalid");
    }
    assert_eq!(invalid, 5);
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_new_code_replaces_the_old_one(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    desk.start(PHONE, "10.0.0.1", 0).await.unwrap();
    let old = desk.code(PHONE);
    // One time in a million both are the same; then ask once more.
    let mut seconds = 30;
    desk.start(PHONE, "10.0.0.1", seconds).await.unwrap();
    while desk.code(PHONE) == old {
        seconds += 30;
        desk.start(PHONE, "10.0.0.1", seconds).await.unwrap();
    }
    assert_eq!(desk.verify(&old, seconds).await, Err("otp_invalid"));
    assert!(desk.verify(&desk.code(PHONE), seconds).await.is_ok());
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_code_belongs_to_its_phone(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    desk.start("+919876500000", "10.0.0.1", 0).await.unwrap();
    assert_eq!(desk.verify(&desk.code("+919876500000"), 1).await, Err("otp_invalid"));
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn what_is_not_a_number_or_a_code_is_refused(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    assert_eq!(desk.start("98765", "10.0.0.1", 0).await.unwrap_err().code(), "phone_invalid");
    assert_eq!(desk.otp.verify("98765", "123456", at(0)).await.unwrap_err().code(), "phone_invalid");
    desk.start(PHONE, "10.0.0.1", 0).await.unwrap();
    for code in ["", "12345", "1234567", "abcdef", "\0\0\0\0\0\0"] {
        assert_eq!(desk.verify(code, 1).await, Err("otp_invalid"), "{code:?}");
    }
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_phone_gets_one_code_in_thirty_seconds_and_five_in_an_hour(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    desk.start(PHONE, "10.0.0.1", 0).await.unwrap();
    let sent = desk.code(PHONE);
    let limited = desk.start(PHONE, "10.0.0.2", 10).await.unwrap_err();
    assert!(matches!(limited, OtpError::RateLimited { retry_after_seconds: 20 }), "{limited}");
    assert_eq!(desk.code(PHONE), sent, "nothing was sent");
    for seconds in [30, 60, 90, 120] {
        desk.start(PHONE, "10.0.0.1", seconds).await.unwrap();
    }
    let limited = desk.start(PHONE, "10.0.0.1", 150).await.unwrap_err();
    assert!(matches!(limited, OtpError::RateLimited { retry_after_seconds: 3_450 }), "{limited}");
    desk.start(PHONE, "10.0.0.1", 3_600).await.unwrap();
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn an_address_gets_twenty_codes_in_an_hour_over_all_phones(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    for number in 0..20 {
        desk.start(&format!("+9198765000{number:02}"), "10.0.0.1", 0).await.unwrap();
    }
    assert_eq!(desk.start(PHONE, "10.0.0.1", 0).await.unwrap_err().code(), "rate_limited");
    // The refused hit counted nothing against the phone.
    desk.start(PHONE, "10.0.0.2", 0).await.unwrap();
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn the_tables_hold_neither_codes_nor_numbers(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    desk.start(PHONE, "10.0.0.1", 0).await.unwrap();
    let code = desk.code(PHONE);
    let codes: String =
        sqlx::query_scalar("SELECT string_agg(encode(code_mac, 'escape'), '') FROM app.otp_codes")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert!(!codes.contains(&code));
    desk.verify(&code, 1).await.unwrap();
    let people: String =
        sqlx::query_scalar("SELECT encode(phone_hash || phone_sealed, 'escape') FROM app.people")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert!(!people.contains("9876543210"));
}

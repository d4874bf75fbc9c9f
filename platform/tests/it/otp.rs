use crate::{at, people, shared, warm};
use integrations::otp_sender::{OtpChannel, OtpOutbox, OtpSender};
use platform::{
    identity::{Otp, OtpConfig, OtpError, OtpStarted, Requester, Role},
    rate_limit::RateLimiter,
};
use sqlx::PgPool;
use uuid::Uuid;

const PHONE: &str = "+919876543210";
const HERE: &str = "10.0.0.1";

struct Desk {
    otp: Otp,
    outbox: OtpOutbox,
}

async fn desk(pool: &PgPool, config: OtpConfig) -> Desk {
    let outbox = OtpOutbox::default();
    let limiter = RateLimiter::new(shared().await);
    let sender = OtpSender::Console(outbox.clone());
    Desk { otp: Otp::new(pool.clone(), people(pool), limiter, sender, config), outbox }
}

impl Desk {
    async fn start(&self, phone: &str, address: &str, seconds: i64) -> Result<OtpStarted, OtpError> {
        self.start_on(None, phone, address, seconds).await
    }

    async fn start_on(
        &self,
        device_token: Option<&str>,
        phone: &str,
        address: &str,
        seconds: i64,
    ) -> Result<OtpStarted, OtpError> {
        self.otp.start(phone, OtpChannel::Sms, Requester { address, device_token }, at(seconds)).await
    }

    /// A challenge and its code.
    async fn sent(&self, address: &str, seconds: i64) -> (Uuid, String) {
        let started = self.start(PHONE, address, seconds).await.unwrap();
        (started.challenge, self.code(PHONE))
    }

    async fn verify(&self, challenge: Uuid, code: &str, seconds: i64) -> Result<Vec<Role>, &'static str> {
        let verified = self.otp.verify(PHONE, challenge, code, at(seconds)).await;
        verified.map(|it| it.person.roles).map_err(|error| error.code())
    }

    /// The token that a device gets at its first sign-in.
    async fn sign_in(&self, seconds: i64) -> Option<String> {
        let (challenge, code) = self.sent(HERE, seconds).await;
        self.otp.verify(PHONE, challenge, &code, at(seconds)).await.unwrap().device_token
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
    let started = desk.start(PHONE, HERE, 0).await.unwrap();
    assert_eq!((started.expires_in_seconds, started.resend_after_seconds), (300, 30));
    let code = desk.code(PHONE);
    assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
    let first = desk.otp.verify(PHONE, started.challenge, &code, at(299)).await.unwrap().person;
    assert_eq!((first.roles.as_slice(), first.created_at), (&[Role::User][..], at(299)));

    // However the number is written, it is the same one.
    let started = desk.start("0091 98765-43210", HERE, 400).await.unwrap();
    let code = desk.code(PHONE);
    let again = desk.otp.verify("+91 0 98765 43210", started.challenge, &code, at(401)).await.unwrap();
    assert_eq!(again.person, first);
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_code_is_good_once(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    let (challenge, code) = desk.sent(HERE, 0).await;
    desk.verify(challenge, &code, 1).await.unwrap();
    assert_eq!(desk.verify(challenge, &code, 2).await, Err("otp_invalid"));
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn of_many_who_verify_at_once_exactly_one_wins(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    let (challenge, code) = desk.sent(HERE, 0).await;
    warm(&pool).await;
    let tries: Vec<_> = (0..8)
        .map(|_| {
            let (otp, code) = (desk.otp.clone(), code.clone());
            tokio::spawn(
                async move { otp.verify(PHONE, challenge, &code, at(1)).await.map_err(|it| it.code()) },
            )
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
    let (challenge, code) = desk.sent(HERE, 0).await;
    assert_eq!(desk.verify(challenge, &code, 300).await, Err("otp_expired"));
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn five_wrong_codes_kill_a_challenge_and_a_new_one_is_good_again(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    let (challenge, code) = desk.sent(HERE, 0).await;
    for _ in 0..5 {
        assert_eq!(desk.verify(challenge, &another(&code), 1).await, Err("otp_invalid"));
    }
    assert_eq!(desk.verify(challenge, &code, 2).await, Err("otp_too_many_tries"));
    let (challenge, code) = desk.sent(HERE, 30).await;
    assert!(desk.verify(challenge, &code, 31).await.is_ok());
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn wrong_codes_at_once_are_all_counted(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    let (challenge, code) = desk.sent(HERE, 0).await;
    let wrong = another(&code);
    warm(&pool).await;
    let tries: Vec<_> = (0..9)
        .map(|_| {
            let (otp, wrong) = (desk.otp.clone(), wrong.clone());
            tokio::spawn(
                async move { otp.verify(PHONE, challenge, &wrong, at(1)).await.err().unwrap().code() },
            )
        })
        .collect();
    let mut invalid = 0;
    for result in tries {
        invalid += usize::from(result.await.unwrap() == "otp_invalid");
    }
    assert_eq!(invalid, 5);
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn wrong_codes_are_counted_by_phone_too_and_slow_a_guesser_down_instead_of_the_owner(pool: PgPool) {
    let desk = desk(&pool, OtpConfig { wrong_codes_per_day: 7, ..OtpConfig::default() }).await;
    let (first, code) = desk.sent("10.0.0.7", 0).await;
    for _ in 0..5 {
        desk.verify(first, &another(&code), 1).await.unwrap_err();
    }
    let (second, code) = desk.sent("10.0.0.8", 2).await;
    for _ in 0..3 {
        assert_eq!(desk.verify(second, &another(&code), 3).await, Err("otp_invalid"));
    }
    assert_eq!(
        desk.verify(second, &code, 4).await,
        Err("otp_too_many_tries"),
        "the eighth wrong code of the phone"
    );
    let (third, code) = desk.sent(HERE, 5).await;
    assert!(desk.verify(third, &code, 6).await.is_ok(), "whoever has the right code gets in");
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_challenge_is_its_requesters_alone(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    let (mine, my_code) = desk.sent(HERE, 0).await;
    let (theirs, their_code) = desk.sent("10.0.0.9", 1).await;
    for _ in 0..6 {
        let _ = desk.verify(theirs, &another(&their_code), 2).await;
    }
    // One time in a million both codes are the same.
    if my_code != their_code {
        assert_eq!(desk.verify(mine, &their_code, 3).await, Err("otp_invalid"));
    }
    assert!(desk.verify(mine, &my_code, 3).await.is_ok(), "a stranger cannot use up the tries of my code");
    assert_eq!(desk.verify(Uuid::nil(), &my_code, 3).await, Err("otp_invalid"));
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_code_belongs_to_its_phone(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    let started = desk.start("+919876500000", HERE, 0).await.unwrap();
    assert_eq!(desk.verify(started.challenge, &desk.code("+919876500000"), 1).await, Err("otp_invalid"));
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn what_is_not_a_number_or_a_code_is_refused(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    assert_eq!(desk.start("98765", HERE, 0).await.unwrap_err().code(), "phone_invalid");
    let (challenge, _) = desk.sent(HERE, 0).await;
    let verified = desk.otp.verify("98765", challenge, "123456", at(0)).await;
    assert_eq!(verified.err().unwrap().code(), "phone_invalid");
    for code in ["", "12345", "1234567", "abcdef", "\0\0\0\0\0\0"] {
        assert_eq!(desk.verify(challenge, code, 1).await, Err("otp_invalid"), "{code:?}");
    }
}

fn wait<T>(result: Result<T, OtpError>) -> u32 {
    match result {
        Err(OtpError::RateLimited { retry_after_seconds }) => retry_after_seconds,
        Err(other) => panic!("{other}"),
        Ok(_) => 0,
    }
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_requester_gets_one_code_in_thirty_seconds_five_in_an_hour_and_ten_in_a_day(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    let ask = async |seconds| wait(desk.start(PHONE, HERE, seconds).await);
    assert_eq!(ask(0).await, 0);
    let sent = desk.code(PHONE);
    assert_eq!(ask(10).await, 20);
    assert_eq!(desk.code(PHONE), sent, "nothing was sent");
    for seconds in [30, 60, 90, 120] {
        assert_eq!(ask(seconds).await, 0);
    }
    assert_eq!(ask(150).await, 3_450);
    for seconds in [0, 30, 60, 90, 120] {
        assert_eq!(ask(3_600 + seconds).await, 0);
    }
    assert_eq!(ask(7_300).await, 79_100, "the day's are used up");
    assert_eq!(ask(86_400).await, 0);
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn strangers_slow_each_other_down_and_never_the_owners_device(pool: PgPool) {
    let config = OtpConfig { strangers_per_phone_per_day: 3, ..OtpConfig::default() };
    let desk = desk(&pool, config).await;
    let token = desk.sign_in(0).await.expect("a new device gets its token");
    for address in ["10.1.0.1", "10.1.0.2"] {
        desk.start(PHONE, address, 1).await.unwrap();
    }
    // Beyond the day's codes: one an hour for all strangers together.
    assert_eq!(wait(desk.start(PHONE, "10.1.0.3", 2).await), 0);
    assert_eq!(wait(desk.start(PHONE, "10.1.0.4", 3).await), 3_599);

    assert_eq!(
        wait(desk.start_on(Some("f".repeat(64).as_str()), PHONE, "10.1.0.5", 4).await),
        3_598,
        "no token"
    );
    let other = "+919876500000";
    for address in ["10.1.0.6", "10.1.0.7", "10.1.0.8"] {
        desk.start(other, address, 4).await.unwrap();
    }
    assert_eq!(wait(desk.start_on(Some(&token), other, "10.1.0.9", 5).await), 0, "the slow one");
    assert_ne!(wait(desk.start_on(Some(&token), other, "10.1.0.10", 5).await), 0, "another's phone");

    let started = desk.start_on(Some(&token), PHONE, "10.1.0.4", 5).await.expect("its own allowance");
    let verified = desk.otp.verify(PHONE, started.challenge, &desk.code(PHONE), at(6)).await.unwrap();
    assert!(verified.device_token.is_none(), "the device keeps its token");
    assert_eq!(wait(desk.start_on(Some(&token), PHONE, HERE, 7).await), 28, "its own limits hold");
    assert_eq!(wait(desk.start(PHONE, "10.1.0.4", 3_602).await), 0);
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn wrong_codes_of_strangers_are_not_the_owners_devices(pool: PgPool) {
    let desk = desk(&pool, OtpConfig { wrong_codes_per_day: 2, ..OtpConfig::default() }).await;
    let token = desk.sign_in(0).await.expect("a token");
    let (challenge, code) = desk.sent("10.2.0.1", 1).await;
    for _ in 0..3 {
        desk.verify(challenge, &another(&code), 2).await.unwrap_err();
    }
    let mine = desk.start_on(Some(&token), PHONE, HERE, 3).await.unwrap().challenge;
    let code = desk.code(PHONE);
    assert_eq!(desk.verify(mine, &another(&code), 4).await, Err("otp_invalid"));
    assert!(desk.verify(mine, &code, 5).await.is_ok());
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_persons_devices_are_bounded(pool: PgPool) {
    let config = OtpConfig {
        resend_seconds: 0,
        per_phone_per_hour: 100,
        per_phone_per_day: 100,
        ..OtpConfig::default()
    };
    let config = OtpConfig { strangers_per_phone_per_day: 100, per_address_per_hour: 100, ..config };
    let desk = desk(&pool, config).await;
    let first = desk.sign_in(0).await.expect("a token");
    for second in 1..=20 {
        desk.sign_in(second).await.expect("a token");
    }
    let devices: i64 = sqlx::query_scalar("SELECT count(*) FROM app.devices").fetch_one(&pool).await.unwrap();
    assert_eq!(devices, 20);
    let started = desk.start_on(Some(&first), PHONE, HERE, 30).await.unwrap();
    let verified = desk.otp.verify(PHONE, started.challenge, &desk.code(PHONE), at(31)).await.unwrap();
    assert!(verified.device_token.is_some(), "the oldest is forgotten and gets a new token");
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn an_address_gets_twenty_codes_in_an_hour_over_all_phones(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    for number in 0..20 {
        desk.start(&format!("+9198765000{number:02}"), HERE, 0).await.unwrap();
    }
    assert_eq!(desk.start(PHONE, HERE, 0).await.unwrap_err().code(), "rate_limited");
    // The refused hit counted nothing against the phone.
    desk.start(PHONE, "10.0.0.2", 0).await.unwrap();
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn the_tables_hold_neither_codes_nor_numbers_nor_device_tokens(pool: PgPool) {
    let desk = desk(&pool, OtpConfig::default()).await;
    let (challenge, code) = desk.sent(HERE, 0).await;
    let codes: String =
        sqlx::query_scalar("SELECT string_agg(encode(code_mac, 'escape'), '') FROM app.otp_challenges")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert!(!codes.contains(&code));
    let verified = desk.otp.verify(PHONE, challenge, &code, at(1)).await.unwrap();
    let people: String =
        sqlx::query_scalar("SELECT encode(phone_hash || phone_sealed, 'escape') FROM app.people")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert!(!people.contains("9876543210"));
    let devices: String = sqlx::query_scalar("SELECT string_agg(d::text, '') FROM app.devices d")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(!devices.contains(&verified.device_token.expect("a token")));
}

use super::secrets::weakness;
use super::table::{SETTINGS, Setting};
use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn hex_key(seed: u8) -> String {
    hex::encode((seed..).step_by(3).take(32).collect::<Vec<u8>>())
}

fn from_variables(variables: &[(&str, &str)]) -> anyhow::Result<Config> {
    Config::read(None, variables.iter().map(|(name, value)| (name.into(), value.into())))
}

fn refused(outcome: anyhow::Result<Config>) -> String {
    format!("{:#}", outcome.expect_err("it is refused"))
}

/// Whole settings of a production, good as they stand.
fn production() -> Config {
    Config {
        jwt_keys: format!("a:{},b:{}", hex_key(1), hex_key(2)).into(),
        phone_pepper: hex_key(3).into(),
        sealing_key: hex_key(4).into(),
        razorpay_key_id: "rzp_live_1".to_owned(),
        razorpay_key_secret: "q8RzT0aKcW1x".into(),
        razorpay_webhook_secret: "new-9QmZr2Lk7,old-4TbXs6Wd1".into(),
        ..Config::default()
    }
}

#[test]
fn every_setting_is_refused_with_its_name_and_an_example_when_its_value_is_no_good() {
    for (name, value) in [
        ("MUNEEM_MODE", "prod"),
        ("MUNEEM_LISTEN", "8080"),
        ("DATABASE_URL", "mysql://127.0.0.1/muneem"),
        ("REDIS_URL", "127.0.0.1:6379"),
        ("MUNEEM_STORE", "data/journal"),
        ("MUNEEM_STORE", "memory:"),
        ("MUNEEM_STORE", "postgres://muneem:abad1dea@127.0.0.1/muneem?stream=A"),
        ("MUNEEM_ROLES", "api,worker"),
        ("MUNEEM_URL", "127.0.0.1:8080"),
        ("MUNEEM_REDIS_PREFIX", "a b"),
        ("MUNEEM_HEADS_KEY", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        ("MUNEEM_JWT_KEYS", "no-colon"),
        ("MUNEEM_PHONE_PEPPER", "abcd"),
        ("MUNEEM_SEALING_KEY", "not hex"),
        ("MUNEEM_RAZORPAY_URL", "ftp://api.razorpay.com"),
        ("MUNEEM_RAZORPAY_KEY_ID", "with space"),
        ("MUNEEM_OTP_SENDER", "pigeon"),
        ("MUNEEM_CORS_ORIGINS", "https://app.example/path"),
        ("MUNEEM_CORS_ORIGINS", "*"),
        ("MUNEEM_HSTS_SECONDS", "-1"),
        ("MUNEEM_MAX_CONNECTIONS", "0"),
        ("MUNEEM_MAX_CONNECTIONS_PER_ADDRESS", "many"),
        ("MUNEEM_HEADER_TIMEOUT_SECONDS", "0"),
        ("MUNEEM_IDLE_TIMEOUT_SECONDS", "5"),
        ("MUNEEM_CLOCK_CONFIRMED", "26.11.2026"),
        ("MUNEEM_DATABASE_CONNECTIONS", "1"),
        ("MUNEEM_LOG_FORMAT", "xml"),
        ("MUNEEM_OTLP_ENDPOINT", "collector:4318"),
    ] {
        let text = refused(from_variables(&[(name, value)]));
        let setting = SETTINGS.iter().find(|it| it.variable() == name).expect("a setting");
        assert!(text.contains(name) && text.contains(setting.example), "{text}");
        assert_eq!(text.contains(&format!("{value:?}")), !setting.secret, "{text}");
    }
}

#[test]
fn the_example_of_every_setting_is_taken_unless_it_stands_for_a_secret() {
    for setting in SETTINGS.iter().filter(|it| !it.example.contains('<')) {
        from_variables(&[(&setting.variable(), setting.example)]).expect(setting.name);
        Config::read(Some(&format!("{} = {:?}", setting.name, setting.example)), []).expect(setting.name);
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let text = refused(from_variables(&[("MUNEEM_MODE", "x"), ("MUNEEM_LISTEN", "y"), ("MUNEEM_NAME", "z")]));
    for name in ["MUNEEM_MODE", "MUNEEM_LISTEN", "MUNEEM_NAME"] {
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn an_unknown_name_is_refused_with_the_nearest_known_one() {
    for (name, near) in [
        ("MUNEEM_LISTN", "is MUNEEM_LISTEN meant"),
        ("MUNEEM_JWT_KEY", "is MUNEEM_JWT_KEYS meant"),
        ("MUNEEM_DATABASE_CONECTIONS", "is MUNEEM_DATABASE_CONNECTIONS meant"),
    ] {
        let text = refused(from_variables(&[(name, "1")]));
        assert!(text.contains(near), "{text}");
    }
    let text = refused(Config::read(Some("phone_peper = \"x\""), []));
    assert!(text.contains("is phone_pepper meant"), "{text}");
    // Variables of other programs, and of the scripts around this one, are none of its business.
    from_variables(&[("LISTEN", "x"), ("MUNEEM_POSTGRES_PORT", "54320")]).expect("they are left alone");
}

#[test]
fn the_environment_wins_over_the_file_and_an_empty_value_leaves_a_setting_unset() {
    let file = "database_connections = 7\nurl = \"http://file.example\"\nlog_format = \"json\"";
    let variables = [("MUNEEM_URL", "http://env.example"), ("MUNEEM_LOG_FORMAT", "")];
    let variables = variables.map(|(name, value)| (name.into(), value.into()));
    let config = Config::read(Some(file), variables).expect("good settings");
    assert_eq!((config.database_connections, config.url.as_str()), (7, "http://env.example"));
    assert_eq!(config.log_format, LogFormat::Json);
}

#[test]
fn a_secret_that_looks_like_a_number_is_text() {
    let digits = "0012345678901234";
    let config = from_variables(&[("MUNEEM_RAZORPAY_KEY_SECRET", digits)]).expect("text");
    assert_eq!(config.razorpay_key_secret.expose_secret(), digits);
    let config = Config::read(Some(&format!("razorpay_key_secret = {digits:?}")), []).expect("text");
    assert_eq!(config.razorpay_key_secret.expose_secret(), digits);
    let key = "1234567890".repeat(7)[..64].to_owned();
    let config = from_variables(&[("MUNEEM_PHONE_PEPPER", &key)]).expect("64 digits are hex");
    assert_eq!(config.phone_pepper.expose_secret(), key);
    // Without quotes TOML would forget how it was spelled.
    let text = refused(Config::read(Some("razorpay_key_secret = 123456789012"), []));
    assert!(text.contains("quotes") && !text.contains("123456789012"), "{text}");
}

#[test]
fn secrets_are_never_printed() {
    let config = production();
    let shown = format!("{config:?}");
    for secret in [&config.jwt_keys, &config.phone_pepper, &config.razorpay_webhook_secret] {
        assert!(!shown.contains(secret.expose_secret()), "{shown}");
    }
    let store = "postgres://muneem:abad1dea@127.0.0.1/muneem";
    let shown = format!("{:?}", from_variables(&[("MUNEEM_STORE", store)]).expect("an address"));
    assert!(shown.contains("postgres://muneem@127.0.0.1") && !shown.contains("abad1dea"), "{shown}");
    for (name, value) in [
        ("MUNEEM_SEALING_KEY", "abad1dea"),
        ("DATABASE_URL", "redis://u:abad1dea@h"),
        ("MUNEEM_STORE", "mysql://u:abad1dea@h"),
    ] {
        let text = refused(from_variables(&[(name, value)]));
        assert!(!text.contains("abad1dea"), "{text}");
    }
    let text = refused(Config::read(Some("sealing_key = \"abad1dea\nlisten = 1"), []));
    assert!(!text.contains("abad1dea"), "{text}");
}

#[test]
fn weak_secrets_and_secrets_used_twice_are_refused() {
    production().with_secrets().expect("good ones are taken");
    type Change = fn(&mut Config);
    let changes: [(&str, Change); 8] = [
        ("MUNEEM_PHONE_PEPPER", |it| it.phone_pepper = "11".repeat(32).into()),
        ("MUNEEM_SEALING_KEY", |it| it.sealing_key = "00".repeat(32).into()),
        ("MUNEEM_JWT_KEYS", |it| it.jwt_keys = format!("a:{}", "ab".repeat(32)).into()),
        ("MUNEEM_RAZORPAY_KEY_SECRET", |it| it.razorpay_key_secret = "short".into()),
        ("MUNEEM_RAZORPAY_KEY_SECRET", |it| it.razorpay_key_secret = "changeme1234".into()),
        ("MUNEEM_RAZORPAY_WEBHOOK_SECRET", |it| it.razorpay_webhook_secret = "new-9QmZr2Lk7,".into()),
        ("MUNEEM_PHONE_PEPPER and MUNEEM_SEALING_KEY", |it| it.sealing_key = it.phone_pepper.clone()),
        ("MUNEEM_JWT_KEYS hold", |it| {
            it.jwt_keys = format!("a:{0},b:{0}", hex_key(1)).into();
        }),
    ];
    for (name, change) in changes {
        let mut config = production();
        change(&mut config);
        let text = refused(config.with_secrets());
        assert!(text.contains(name), "{name}: {text}");
    }
    assert_eq!(weakness(b"q8RzT0aKcW1x"), None);
}

#[test]
fn development_listens_on_this_machine_alone() {
    for (listen, mode, fits) in [
        ("127.0.0.1:8080", Mode::Development, true),
        ("[::1]:8080", Mode::Development, true),
        ("0.0.0.0:8080", Mode::Development, false),
        ("192.168.1.7:8080", Mode::Development, false),
        ("[::]:8080", Mode::Development, false),
        ("0.0.0.0:8080", Mode::Production, true),
    ] {
        let config = Config { mode, listen: listen.parse().expect("an address"), ..Config::default() };
        assert_eq!(config.check_exposure().is_ok(), fits, "{listen} {mode:?}");
    }
}

#[test]
fn secrets_that_development_makes_up_are_private_and_stay_the_same() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::TempDir::new().expect("a folder");
    let config = Config { mode: Mode::Development, data_dir: data.path().into(), ..Config::default() };
    let file = data.path().join("development-secrets.json");
    // An earlier start was killed while it wrote them.
    std::fs::write(file.with_extension("unfinished"), "{\"jwt_key\": ").expect("half a file");
    let first = config.clone().with_secrets().expect("made up");
    let second = config.with_secrets().expect("found again");
    assert_eq!(first.sealing_key.expose_secret(), second.sealing_key.expose_secret());
    let mode = std::fs::metadata(&file).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!file.with_extension("unfinished").exists());
}

/// A file of the project.
fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(path).expect(name)
}

fn every_setting() -> BTreeSet<String> {
    SETTINGS.iter().map(Setting::variable).collect()
}

#[test]
fn the_operators_page_lists_every_setting() {
    let page = file("docs/operations.md");
    for setting in every_setting() {
        assert!(page.contains(&format!("`{setting}`")), "{setting} is not listed");
    }
}

/// The settings of `.env.example` with their values: those that must be filled in, and those with a default.
fn env_example() -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let text = file(".env.example");
    let lines = text.lines().filter(|line| !line.starts_with("# ") && !line.is_empty());
    let (defaults, wanted): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with('#'));
    let read = |lines: Vec<&str>| {
        let pairs =
            lines.iter().map(|line| line.trim_start_matches('#').split_once('=').expect("NAME=value"));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    (read(wanted), read(defaults))
}

/// What `docker-compose.yml` gives every node, by name. deploy/test_deployment.py looks at the rest of it.
fn compose_environment() -> BTreeMap<String, String> {
    let text = file("docker-compose.yml");
    let (_, settings) = text.split_once("\nx-settings: &settings\n").expect("the settings");
    let lines = settings.lines().take_while(|line| line.starts_with("  "));
    let pairs =
        lines.filter_map(|line| line.trim().split_once(": ")).filter(|(name, _)| !name.starts_with('#'));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_example_of_an_environment_has_every_setting_and_its_defaults_are_those_of_the_program() {
    let (wanted, defaults) = env_example();
    let mut listed: BTreeSet<String> = wanted.keys().chain(defaults.keys()).cloned().collect();
    let of_compose = ["POSTGRES_PASSWORD", "REDIS_PASSWORD", "DOMAIN", "FRONT_NETWORK", "COMPOSE_PROFILES"];
    for of_others in of_compose.into_iter().chain(["RUST_LOG"]) {
        assert!(listed.remove(of_others), "{of_others} is missing");
    }
    assert_eq!(listed, every_setting());
    assert!(wanted.values().all(String::is_empty), "no secret stands in an example: {wanted:?}");
    let variables = defaults.iter().filter(|(name, _)| !of_compose.contains(&name.as_str()));
    let variables = variables.map(|(name, value)| (name.into(), value.into()));
    let shown = Config::read(None, variables).expect("good settings");
    assert_eq!(format!("{shown:?}"), format!("{:?}", Config::default()), "a default is another one");
    assert_eq!(defaults["RUST_LOG"], crate::telemetry::DEFAULT_FILTER);
}

#[test]
fn compose_passes_every_setting_and_demands_those_that_have_no_default() {
    let mut environment = compose_environment();
    assert_eq!(environment.remove("RUST_LOG").as_deref(), Some("${RUST_LOG:-}"));
    let mut passed: BTreeSet<_> = environment.keys().cloned().collect();
    for of_each in ["MUNEEM_ROLES", "MUNEEM_NODE_ADDRESS"] {
        assert!(passed.insert(of_each.into()), "each node has its own {of_each}");
    }
    assert_eq!(passed, every_setting());
    let set_by_compose = [
        "MUNEEM_MODE",
        "MUNEEM_LISTEN",
        "MUNEEM_DATA_DIR",
        "MUNEEM_STORE",
        "MUNEEM_TRUSTED_PROXIES",
        "DATABASE_URL",
        "REDIS_URL",
    ];
    let (wanted, _) = env_example();
    for (name, value) in environment.iter().filter(|(name, _)| !set_by_compose.contains(&name.as_str())) {
        if wanted.contains_key(name) {
            assert!(value.starts_with(&format!("${{{name}:?")), "{name} is not demanded: {value}");
        } else {
            assert_eq!(*value, format!("${{{name}:-}}"), "{name}");
        }
    }
}

#[test]
fn secrets_of_a_deployment_reach_neither_the_repository_nor_the_image() {
    for name in [".gitignore", ".dockerignore"] {
        assert!(file(name).lines().any(|line| line == ".env"), "{name}");
    }
}

#[test]
fn the_licence_is_the_one_that_the_packages_name() {
    assert_eq!(env!("CARGO_PKG_LICENSE"), "Apache-2.0");
    let licence = file("LICENSE");
    assert!(licence.contains("Apache License") && licence.contains("Version 2.0"), "{licence}");
}

#[test]
fn default_ports_lie_below_those_that_systems_give_to_outgoing_connections() {
    assert!(Config::default().listen.port() < 32_768);
}

#[test]
fn the_address_of_a_node_beside_a_journal_in_a_folder_is_refused_before_anything_is_opened() {
    let address = ("MUNEEM_NODE_ADDRESS", "10.0.0.5:8081");
    let text = format!("{:#}", from_variables(&[address]).unwrap().check_node_address().unwrap_err());
    assert!(text.contains("is of one node alone; leave it unset"), "{text}");
    let shared = ("MUNEEM_STORE", "postgres://127.0.0.1/muneem");
    from_variables(&[address, shared]).unwrap().check_node_address().expect("several nodes");
}

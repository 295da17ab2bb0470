//! The configuration: every mistake with its line and all at once, what outranks what, and that example, reference and
//! development file are what the table of settings says.

use jeton::config::{self, Loaded, Mistakes, Overrides, Settings, StoreUrl};
use jeton_domain::client::{ClientKind, GrantType, Rotation};
use jeton_domain::name::ResourceId;
use jeton_domain::resource::TokenFormat;
use jeton_domain::secret::SecretText;
use jeton_domain::time::Millis;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

mod mistakes;

type Variables = BTreeMap<String, String>;

/// Loads `text` as the file `jeton.toml`; the directory is left out of mistakes and warnings.
fn load(text: impl AsRef<[u8]>, variables: &[(&str, &str)], overrides: &Overrides) -> Result<Loaded, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jeton.toml");
    std::fs::write(&path, text).unwrap();
    let variables: Variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let short = |text: String| text.replace(&format!("{}/", directory.path().display()), "");
    match config::load(Some(&path), &variables, overrides) {
        Ok(mut loaded) => {
            loaded.warnings = loaded.warnings.into_iter().map(short).collect();
            Ok(loaded)
        }
        Err(mistakes) => Err(short(mistakes.to_string())),
    }
}

fn from_text(text: &str) -> Result<Loaded, String> {
    load(text, &[], &Overrides::default())
}

fn defaults() -> Settings {
    from_text("").unwrap().settings
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn defaults_are_those_that_the_documentation_promises() {
    let settings = defaults();
    assert_eq!(settings.issuer, "http://127.0.0.1:8080");
    assert_eq!(settings.store, StoreUrl::Embedded("data".into()));
    assert_eq!(settings.listen.grpc.to_string(), "127.0.0.1:50051");
    assert_eq!(settings.listen.http.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.listen.admin.to_string(), "127.0.0.1:9464");
    assert!(!settings.insecure && settings.root_keys.is_empty() && settings.clients.is_empty());
    assert_eq!(settings.tokens.overlap, Millis::from_secs(10));
    assert_eq!(settings.tokens.max_staleness, Millis::from_secs(2));
    assert_eq!(settings.tokens.access_token_ceiling, Millis::from_secs(300));
    assert_eq!(settings.signing.rotation_period, Millis::from_secs(30 * 86_400));
    assert_eq!(settings.signing.publish_ahead, Millis::from_secs(86_400));
    assert_eq!((settings.limits.concurrency, settings.limits.max_streams), (1024, 256));
    assert_eq!((settings.limits.connections, settings.limits.connections_per_address), (20_000, 2_000));
    assert_eq!((settings.limits.caller_rate, settings.limits.failure_rate), (50_000, 10));
    assert_eq!(settings.telemetry.otlp_endpoint, None);
}

#[test]
fn the_example_is_in_force_as_the_defaults() {
    let loaded = from_text(&config::example()).unwrap();
    assert_eq!(loaded.settings, defaults());
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn the_example_with_everything_switched_on_is_valid_too() {
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "a1".repeat(32)).unwrap();
    let switched_on: String = config::example()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c != ' ') => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    // Keys are in one place only, a certificate is known in one way, and the audit stream goes to one place.
    let is_another = |line: &&str| {
        let others = ["jwks_uri = ", "tls_client_auth_san_", "self_signed_certificates", "file = "];
        others.iter().any(|other| line.starts_with(other))
    };
    let switched_on: String = switched_on.lines().filter(|line| !is_another(line)).map(|line| format!("{line}\n")).collect();
    let loaded = from_text(&switched_on.replace("/etc/jeton/root.key", &key.path().display().to_string())).unwrap();
    assert_eq!(loaded.settings.clients.len(), 1);
    assert_eq!(loaded.settings.resources.iter().len(), 1);
    assert_eq!(loaded.settings.root_keys.keys().len(), 1);
    assert_eq!(loaded.settings.telemetry.otlp_endpoint.as_deref(), Some("http://127.0.0.1:4317"));
}

#[test]
fn the_reference_is_up_to_date() {
    let written = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    assert!(
        written == config::reference_markdown(),
        "docs/configuration.md is out of date: run `cargo test --test suite write_the_reference -- --ignored`"
    );
}

#[test]
#[ignore = "writes docs/configuration.md"]
fn write_the_reference() {
    std::fs::write(root().join("docs/configuration.md"), config::reference_markdown()).unwrap();
}

#[test]
fn the_development_file_is_valid_and_its_comments_tell_the_secrets() {
    let path = root().join("jeton.toml");
    let loaded = config::load(Some(&path), &Variables::new(), &Overrides::default()).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let settings = loaded.settings;
    let client = |name: &str| settings.clients.iter().find(|client| client.id.as_str() == name).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    for name in ["web-app", "billing-job"] {
        let prefix = format!("jcs_dev_{}_", name.replace('-', "_"));
        let secret = text.split_whitespace().find(|word| word.starts_with(&prefix)).unwrap();
        let hash = jeton_domain::client_secret::hash(&SecretText::new(secret.into()));
        assert_eq!(client(name).kind, ClientKind::Confidential { secret_hashes: vec![hash], keys: None });
    }
    assert_eq!(client("mobile-app").kind, ClientKind::Public);
    assert_eq!(client("mobile-app").rotation, Rotation::UnboundPublic);
    assert_eq!(client("billing-job").grant_types, [GrantType::ClientCredentials]);
    let resource = |uri: &str| settings.resources.find(&ResourceId::parse("resource", uri).unwrap()).unwrap();
    assert_eq!(resource("https://orders.internal").format, TokenFormat::Jwt);
    assert_eq!(resource("https://payments.internal").format, TokenFormat::Opaque);
    assert_eq!(resource("https://payments.internal").policy.amr_values, ["mfa"]);
}

#[test]
fn the_environment_outranks_the_file_and_the_command_line_both() {
    let file = "store = 'embedded:file'\n[listen]\ngrpc = '127.0.0.1:1'\nhttp = '127.0.0.1:2'\nadmin = '127.0.0.1:3'\n";
    let variables = [("JETON_STORE", "embedded:env"), ("JETON_LISTEN_GRPC", "127.0.0.1:4"), ("JETON_LISTEN_HTTP", "127.0.0.1:5")];
    let overrides = Overrides { store: Some("memory:".into()), grpc_listen: Some("127.0.0.1:6".into()), ..Overrides::default() };
    let settings = load(file, &variables, &overrides).unwrap().settings;
    assert_eq!(settings.store, StoreUrl::Memory);
    assert_eq!([settings.listen.grpc, settings.listen.http, settings.listen.admin].map(|address| address.port()), [6, 5, 3]);
    let settings = load(file, &variables, &Overrides::default()).unwrap().settings;
    assert_eq!(settings.store, StoreUrl::Embedded("env".into()));
}

#[test]
fn a_value_of_every_type_comes_from_the_environment() {
    let variables = [
        ("JETON_INSECURE", "true"),
        ("JETON_TOKENS_OVERLAP", "20s"),
        ("JETON_LIMITS_CONCURRENCY", "7"),
        ("JETON_TELEMETRY_TRACE_SAMPLE_RATIO", "1"),
        ("JETON_TELEMETRY_LOG_FORMAT", "json"),
        ("JETON_ISSUER", ""),
    ];
    let loaded = load("", &variables, &Overrides::default()).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let settings = loaded.settings;
    assert!(settings.insecure);
    assert_eq!(settings.tokens.overlap, Millis::from_secs(20));
    assert_eq!(settings.limits.concurrency, 7);
    assert!((settings.telemetry.trace_sample_ratio - 1.0).abs() < f64::EPSILON);
    assert_eq!(settings.telemetry.log_format, config::LogFormat::Json);
    assert_eq!(settings.issuer, "http://127.0.0.1:8080", "an empty variable counts as not set");
}

#[test]
fn the_file_that_jeton_config_names_is_read_and_must_exist() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.toml");
    let variables = Variables::from([("JETON_CONFIG".into(), path.display().to_string())]);
    let mistakes = config::load(None, &variables, &Overrides::default()).unwrap_err().to_string();
    assert!(
        mistakes.starts_with(&format!("{}: cannot be read: No such file or directory (os error 2)\n1 mistake ", path.display())),
        "{mistakes}"
    );
    std::fs::write(&path, "issuer = 'https://other.example'").unwrap();
    let loaded = config::load(None, &variables, &Overrides::default()).unwrap();
    assert_eq!(loaded.settings.issuer, "https://other.example");
    assert_eq!(loaded.file.as_deref(), Some(path.as_path()));
}

#[test]
fn unknown_variables_are_warned_about_but_those_of_kubernetes_and_the_documented_ones() {
    let variables = [
        ("JETON_LISTEN_GPRC", "127.0.0.1:1"),
        ("JETON_SERVER", "http://127.0.0.1:50051"),
        ("JETON_CLIENT_SECRET", "hunter2"),
        ("JETON_SERVICE_HOST", "10.0.0.1"),
        ("JETON_SERVICE_PORT_GRPC", "50051"),
        ("JETON_PORT", "tcp://10.0.0.1:50051"),
        ("JETON_PORT_50051_TCP_ADDR", "10.0.0.1"),
        ("PATH", "/bin"),
    ];
    let warnings = load("", &variables, &Overrides::default()).unwrap().warnings;
    assert_eq!(warnings, ["`JETON_LISTEN_GPRC`: is no setting of jeton and was not read; did you mean `JETON_LISTEN_GRPC`?"]);
}

#[test]
fn the_ring_of_root_keys_comes_from_the_environment_or_a_file() {
    let (one, two) = ("a1".repeat(32), "b2".repeat(32));
    let ring = format!("{one},{two}");
    let settings = load("store = 'redis://127.0.0.1'", &[("JETON_ROOT_KEY", &ring)], &Overrides::default()).unwrap().settings;
    assert_eq!(settings.root_keys.keys().iter().map(|key| key.expose()[0]).collect::<Vec<_>>(), [0xA1, 0xB2]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("# the ring\n{two}\n{one}\n")).unwrap();
    let text = format!("root_key_file = '{}'", file.path().display());
    let loaded = from_text(&text).unwrap();
    assert_eq!(loaded.settings.root_keys.keys()[0].expose()[0], 0xB2);
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let both = load(&text, &[("JETON_ROOT_KEY", &ring)], &Overrides::default()).unwrap_err();
    assert!(both.starts_with("JETON_ROOT_KEY: is set, and root_key_file too"), "{both}");
}

#[test]
#[cfg(unix)]
fn a_ring_file_that_everybody_can_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "a1".repeat(32)).unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = from_text(&format!("\nroot_key_file = '{}'", file.path().display())).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("jeton.toml:2: root_key_file: ") && warnings[0].contains("chmod 600"), "{warnings:?}");
}

#[test]
fn the_ceiling_is_the_largest_access_token_lifetime() {
    let text = "[resources.'https://a']\naccess_token_lifetime = '1m'\n[resources.'https://b']\naccess_token_lifetime = '2m'\n";
    assert_eq!(from_text(text).unwrap().settings.tokens.access_token_ceiling, Millis::from_secs(120));
}

#[test]
fn the_password_of_a_redis_is_in_no_text() {
    let secret = "hunter2";
    let url = format!("redis://jeton:{secret}@redis:6379");
    let ring = "a1".repeat(32);
    let variables = [("JETON_STORE", url.as_str()), ("JETON_ROOT_KEY", ring.as_str())];
    let overrides = Overrides { store: Some(url.clone()), ..Overrides::default() };
    let loaded = load("", &variables, &overrides).unwrap();
    assert_eq!(loaded.settings.store.shown(), "redis://jeton:***@redis:6379");
    for shown in [format!("{loaded:?} {loaded:#?}"), loaded.settings.store.to_string(), format!("{overrides:?} {overrides:#?}")] {
        assert!(!shown.contains(secret) && !shown.contains("161, 161"), "{shown}");
    }
    for text in [
        format!("store = '{url}'"),
        format!("store = '{url}"),
        format!("store = {url}"),
        format!("store = '{url}' x"),
        format!("store = '{url}'\nstore = '{url}'"),
        format!("store = ['{url}']"),
        format!("store = 'rdis://jeton:{secret}@redis'"),
        format!("issuer = '{url}'"),
        format!("issuer = 'http://jeton:{secret}@redis'"),
        format!("root_key_file = 3\n[listen]\ngrpc = '{url}'\n[telemetry]\notlp_endpoint = 'http://u:{secret}@h'"),
    ] {
        let mistakes = from_text(&text).expect_err(&text);
        assert!(!mistakes.contains(secret), "{mistakes}");
    }
}

fn never_panics(text: &str) -> Option<Mistakes> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jeton.toml");
    std::fs::write(&path, text).unwrap();
    let mistakes = config::load(Some(&path), &Variables::new(), &Overrides::default()).err()?;
    assert_eq!(mistakes.to_string().lines().count(), mistakes.iter().len() + 1, "one line each: {mistakes}");
    Some(mistakes)
}

/// A file of known and unknown keys with values of every type.
fn nearly_a_file() -> impl Strategy<Value = String> {
    let section = prop::sample::select(vec![
        "",
        "[listen]",
        "[redis]",
        "[tokens]",
        "[signing]",
        "[limits]",
        "[telemetry]",
        "[clients.a]",
        "[clients.b]",
        "[resources.'urn:x:y']",
        "[clients]",
        "[[resources]]",
        "[nonsense]",
    ]);
    let key = prop::sample::select(vec![
        "issuer",
        "store",
        "insecure",
        "grpc",
        "admin",
        "overlap",
        "store_timeout",
        "rotation_period",
        "publish_ahead",
        "concurrency",
        "replicas",
        "trace_sample_ratio",
        "log_level",
        "kind",
        "secret_hashes",
        "grant_types",
        "scopes",
        "resources",
        "idle_lifetime",
        "rotation",
        "format",
        "max_age",
        "acr_values",
        "clients",
        "x",
        "'ä \\n'",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec![
            "1",
            "-1",
            "0.5",
            "nan",
            "true",
            "'10s'",
            "'0s'",
            "'30d'",
            "'public'",
            "'confidential'",
            "'never'",
            "'opaque'",
            "['a', 'b']",
            "'openid a'",
            "['refresh_token']",
            "'refresh_token password'",
            "[1]",
            "{ a = 1 }",
            "1979-05-27",
            "''",
            "'127.0.0.1:1'",
            "'0.0.0.0:1'",
            "['urn:x:y']",
            "9223372036854775807",
            "'redis://u:p@h'",
        ])
        .prop_map(str::to_owned),
        "'[^'\\p{Cc}]{0,12}'",
    ];
    let pair = (key, value).prop_map(|(key, value)| format!("{key} = {value}"));
    let block =
        (section, prop::collection::vec(pair, 0..5)).prop_map(|(section, pairs)| format!("{section}\n{}\n", pairs.join("\n")));
    prop::collection::vec(block, 0..5).prop_map(|blocks| blocks.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        never_panics(&text);
    }

    #[test]
    fn what_is_nearly_a_configuration_never_panics(text in nearly_a_file()) {
        never_panics(&text);
    }
}

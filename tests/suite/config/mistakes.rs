//! Every kind of mistake and warning, with its exact place and words.

use super::{Overrides, from_text, load};

const RESOURCES: &str = "[resources.'https://orders']\nscopes = 'orders:read'\n[resources.'https://pay']\nscopes = 'pay:read'\n";

/// What is said about `text`, without the last line.
fn mistakes(text: &str) -> Vec<String> {
    let told = from_text(text).expect_err(text);
    let mut lines: Vec<String> = told.lines().map(str::to_owned).collect();
    let last = lines.pop().unwrap();
    assert!(last.contains("in the configuration: correct"), "{last}");
    lines
}

/// Each row: a file, and the one mistake in it, which is told as it begins here.
fn each_is_told(rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        let told = mistakes(text);
        assert!(told.len() == 1 && told[0].starts_with(expected), "{text}\nexpected: {expected}\ntold:     {told:#?}");
    }
}

/// A client after [`RESOURCES`], so that its section's header is line 5.
fn client(keys: &str) -> String {
    format!("{RESOURCES}[clients.app]\n{keys}")
}

#[test]
fn settings_of_the_process() {
    each_is_told(&[
        ("\n\nissuer = 'tokens.example.com'", "jeton.toml:3: issuer: is no http or https URL"),
        ("issuer = 'http://a/'", "jeton.toml:1: issuer: must not end with a slash"),
        ("issuer = 'http://a?b'", "jeton.toml:1: issuer: must not have a query or fragment"),
        ("issuer = 'http://a#b'", "jeton.toml:1: issuer: must not have a query or fragment"),
        ("issuer = 'http://u:p@a'", "jeton.toml:1: issuer: must not hold a user or password"),
        ("issuer = 3", "jeton.toml:1: issuer: is a number: it must be text in quotes"),
        ("store = 'postgres://db'", "jeton.toml:1: store: is no store: write embedded:PATH"),
        (
            "# a\nstore = 'redis://redis'",
            "jeton.toml:2: store: a Redis needs a root key that all replicas share: run `jeton keys generate-root`",
        ),
        ("insecure = 'yes'", "jeton.toml:1: insecure: is a text: it must be `true` or `false`, without quotes"),
        (
            "root_key_file = '/nowhere/root.key'",
            "jeton.toml:1: root_key_file: /nowhere/root.key cannot be read: No such file or directory (os error 2)",
        ),
        (
            "[listen]\ngrpc = 'localhost:1'",
            "jeton.toml:2: [listen] grpc: is no IP address and port: write it such as 127.0.0.1:8080",
        ),
        (
            "[listen]\n\nhttp = '0.0.0.0:8080'",
            "jeton.toml:3: [listen] http: 0.0.0.0:8080 is open beyond this machine without TLS: bind it to 127.0.0.1, set certificate_file and key_file under [tls], or set insecure = true",
        ),
        ("listen.admin = '[::]:1'", "jeton.toml:1: [listen] admin: [::]:1 is open beyond this machine"),
        ("[listen]\nadmin = '127.0.0.1:8080'", "jeton.toml:2: [listen] admin: http and admin both listen on port 8080"),
        ("listen = 3", "jeton.toml:1: [listen]: must be a section"),
        ("[tokens]\noverlap = '2m'", "jeton.toml:2: [tokens] overlap: is 2m, outside 1s to 1m"),
        ("[tokens]\noverlap = '0s'", "jeton.toml:2: [tokens] overlap: must be longer than zero"),
        ("[tokens]\noverlap = '-1s'", "jeton.toml:2: [tokens] overlap: must be longer than zero"),
        ("[tokens]\noverlap = 10", "jeton.toml:2: [tokens] overlap: is a number without a unit"),
        ("[tokens]\noverlap = '10 sec'", "jeton.toml:2: [tokens] overlap: is no duration"),
        (
            "[tokens]\nstore_timeout = '6s'",
            "jeton.toml:2: [tokens] store_timeout: [tokens] store_timeout (6s) is longer than [limits] request_deadline (5s)",
        ),
        ("[redis]\nreplicas = 17", "jeton.toml:2: [redis] replicas: is 17, outside 0 to 16"),
        ("[limits]\nrequest_deadline = '1s'", "jeton.toml:2: [limits] request_deadline: [tokens] store_timeout (2s) is longer"),
        (
            "[signing]\njwks_max_age = '2h'\npublish_ahead = '1h'",
            "jeton.toml:3: [signing] publish_ahead: publish_ahead (1h) is shorter than jwks_max_age (2h)",
        ),
        (
            "[signing]\nrotation_period = '1d'",
            "jeton.toml:2: [signing] rotation_period: publish_ahead (1d) is not shorter than rotation_period (1d)",
        ),
        ("[limits]\nconcurrency = 0", "jeton.toml:2: [limits] concurrency: is 0, outside 1 to 65536"),
        ("[limits]\nmax_streams = -5", "jeton.toml:2: [limits] max_streams: is -5, outside 1 to 65536"),
        (
            "[limits]\nmax_streams = '9'",
            "jeton.toml:2: [limits] max_streams: is a text: it must be a whole number from 1 to 65536",
        ),
        ("[telemetry]\ntrace_sample_ratio = 1.5", "jeton.toml:2: [telemetry] trace_sample_ratio: is 1.5, outside 0 to 1"),
        ("[telemetry]\ntrace_sample_ratio = nan", "jeton.toml:2: [telemetry] trace_sample_ratio: is NaN, outside 0 to 1"),
        (
            "[telemetry]\nlog_level = 'infos'",
            "jeton.toml:2: [telemetry] log_level: `infos` is none of error, warn, info, debug; did you mean `info`?",
        ),
        (
            "[audit]\nfile = 'audit.log'\notlp_endpoint = 'http://127.0.0.1:4317'",
            "jeton.toml:3: [audit] otlp_endpoint: is one place too many, for jeton.toml:2: [audit] file is set too",
        ),
        (
            "[telemetry]\notlp_endpoint = 'http://127.0.0.1:4317/v1/traces'",
            "jeton.toml:2: [telemetry] otlp_endpoint: must have nothing after host and port",
        ),
        ("[telemetry]\notlp_endpoint = '127.0.0.1:4317'", "jeton.toml:2: [telemetry] otlp_endpoint: is no http or https URL"),
    ]);
}

#[test]
fn unknown_keys_and_sections() {
    each_is_told(&[
        ("\nstroe = 'memory:'", "jeton.toml:2: stroe: is not known; did you mean `store`?"),
        ("[limits]\nconcurency = 3", "jeton.toml:2: [limits] concurency: is not known; did you mean `concurrency`?"),
        ("[limits]\nzzzzzzzz = 3", "jeton.toml:2: [limits] zzzzzzzz: is not known"),
        ("\n[limts]\nconcurrency = 3", "jeton.toml:2: [limts]: is not known; did you mean `limits`?"),
        (
            "[limits]\nstore = 'memory:'",
            "jeton.toml:2: [limits] store: is not known here; `store` belongs to the top of the file",
        ),
        ("overlap = '3s'", "jeton.toml:1: overlap: is not known here; `overlap` belongs to [tokens]"),
        (
            "[resources.'urn:a:b']\nscope = 'x'",
            "jeton.toml:2: [resources.\"urn:a:b\"] scope: is not known; did you mean `scopes`?",
        ),
        (
            &client("kind = 'public'\ngrant_types = 'password'\nrotate = 'never'"),
            "jeton.toml:8: [clients.app] rotate: is not known; did you mean `rotation`?",
        ),
        (
            "clients = { app = { kind = 'public', grant_types = 'password', x = 1 } }",
            "jeton.toml:1: [clients.app] x: is not known",
        ),
        ("[[clients]]\nkind = 'public'", "jeton.toml:1: [clients]: must be a section"),
        ("[clients]\napp = 'public'\n", "jeton.toml:2: [clients.app]: must be a section"),
    ]);
}

#[test]
fn a_secret_in_the_place_of_a_name_is_not_repeated() {
    let root_key = "a1".repeat(32);
    let hash = format!("sha256:{root_key}");
    for secret in ["jck_hunter2", "jcs_hunter2", &root_key] {
        for text in [
            format!("{secret} = 'x'"),
            format!("[{secret}]\nx = 1"),
            format!("[limits]\n{secret} = 1"),
            format!("[callers.{secret}]\nkey_hashes = '{hash}'"),
            format!("[issuers.{secret}]\nx = 1"),
            format!("[callers.a]\nkey_hashes = '{hash}'\nclients = ['{secret}?']\nrpcs = '{secret}'"),
        ] {
            let told = mistakes(&text).concat();
            assert!(!told.contains(secret) && told.contains("(a secret)"), "{told}");
        }
    }
    let client = |id: &str| mistakes(&format!("[clients.{id}]\nkind = 'public'\ngrant_types = ['password']\nx = 1")).concat();
    assert!(client("jcs_hunter2").contains("(a secret)") && !client("jcs_hunter2").contains("hunter2"));
    assert!(!client(&root_key).contains("(a secret)"), "ids that others gave look so");
}

#[test]
fn resources() {
    let many =
        format!("[resources.'urn:a:b']\nformat = 'opaque'\nscopes = '{}'", (0..65).map(|n| format!("s{n} ")).collect::<String>());
    each_is_told(&[
        ("[resources.orders]", "jeton.toml:1: [resources.orders]: is not an absolute URI"),
        ("[resources.'urn:a:b#c']", "jeton.toml:1: [resources.\"urn:a:b#c\"]: must not have a fragment"),
        (&many, "jeton.toml:3: [resources.\"urn:a:b\"] scopes: are 65, and opaque access tokens allow 64"),
        (
            "[resources.'urn:a:a']\nscopes = 'r'\n[resources.'urn:a:b']\nscopes = [\n 'w',\n 'r',\n]",
            "jeton.toml:6: [resources.\"urn:a:b\"] scopes: `r` is owned by `urn:a:a` already",
        ),
        (
            "[resources.'urn:a:b']\nauthorization_details_types = ['pay(sum:money)']",
            "jeton.toml:2: [resources.\"urn:a:b\"] authorization_details_types: `pay(sum:money)` has the member `sum:money`: write NAME",
        ),
        (
            "[resources.'urn:a:b']\nauthorization_details_types = 'pay pay(sum)'",
            "jeton.toml:2: [resources.\"urn:a:b\"] authorization_details_types: `pay` is declared twice",
        ),
        (
            "[resources.'urn:a:a']\nauthorization_details_types = 'pay'\n[resources.'urn:a:b']\nauthorization_details_types = ['pay(sum)']",
            "jeton.toml:4: [resources.\"urn:a:b\"] authorization_details_types: `pay` is declared by `urn:a:a` already",
        ),
        (
            "[resources.'urn:a:b']\nscopes = 'openid'",
            "jeton.toml:2: [resources.\"urn:a:b\"] scopes: `openid` belongs to OpenID Connect",
        ),
        ("[resources.'urn:a:b']\nscopes = ['a', 'a']", "jeton.toml:2: [resources.\"urn:a:b\"] scopes: `a` is named twice"),
        (
            "[resources.'urn:a:b']\nscopes = ['a b']",
            "jeton.toml:2: [resources.\"urn:a:b\"] scopes: has an entry that is empty or holds a space",
        ),
        (
            "[resources.'urn:a:b']\nscopes = ['\"']",
            "jeton.toml:2: [resources.\"urn:a:b\"] scopes: `\\\"` has a character that RFC 6749",
        ),
        ("[resources.'urn:a:b']\nscopes = [1]", "jeton.toml:2: [resources.\"urn:a:b\"] scopes: has an entry that is a number"),
        (
            "[resources.'urn:a:b']\nscopes = 1",
            "jeton.toml:2: [resources.\"urn:a:b\"] scopes: is a number: it must be an array of texts",
        ),
        (
            "[resources.'urn:a:b']\nformat = 'jwe'",
            "jeton.toml:2: [resources.\"urn:a:b\"] format: `jwe` is none of jwt, opaque; did you mean `jwt`?",
        ),
        (
            "[resources.'urn:a:b']\nalgorithm = 'none'",
            "jeton.toml:2: [resources.\"urn:a:b\"] algorithm: `none` is none of EdDSA, ES256, RS256",
        ),
        (
            "[resources.'urn:a:b']\naccess_token_lifetime = '9s'",
            "jeton.toml:2: [resources.\"urn:a:b\"] access_token_lifetime: is 9s, outside 10s to 1d",
        ),
        (
            "[resources.'urn:a:b']\naccess_token_lifetime = '25h'",
            "jeton.toml:2: [resources.\"urn:a:b\"] access_token_lifetime: is 25h, outside 10s to 1d",
        ),
        ("[resources.'urn:a:b']\nmax_age = '0s'", "jeton.toml:2: [resources.\"urn:a:b\"] max_age: must be longer than zero"),
        ("[resources.'urn:a:b']\namr_values = ['ä']", "jeton.toml:2: [resources.\"urn:a:b\"] amr_values: `ä` is not a word"),
    ]);
}

#[test]
fn issuers() {
    let key = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let issuer = |name: &str, prefix: &str| {
        format!("[issuers.'{name}']\njwks = '{{\"keys\":[{key}]}}'\nclients = 'app'\nsubject_prefix = '{prefix}'\n")
    };
    for (text, told) in [
        ("[issuers.'https://a']\nclients = 'app'\nsubject_prefix = 'a:'".to_owned(), "jwks: is missing: write its keys"),
        (issuer("https://a", ""), "subject_prefix: must have 1 to 64 printable ASCII characters"),
        (
            format!("{}{}", issuer("https://a", "a:"), issuer("https://b", "a:b:")),
            "subject_prefix: begins as that of issuer `https://a` does",
        ),
        (format!("{}scopes = 'orders:read'", issuer("https://a", "a:")), "scopes: `orders:read` is owned by no resource"),
        (format!("{}resources = 'https://x'", issuer("https://a", "a:")), "resources: `https://x` is no known resource"),
    ] {
        let mistakes = mistakes(&text);
        assert!(mistakes.iter().any(|mistake| mistake.contains(told)), "{told}: {mistakes:?}");
    }
}

#[test]
fn clients() {
    let hash = format!("sha256:{}", "ab".repeat(32));
    let key = r#"{"kid":"1","kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let rows = [
        (
            "grant_types = 'password'".into(),
            "jeton.toml:5: [clients.app] kind: is missing (confidential, public): write kind = \"confidential\"",
        ),
        (
            "kind = 'publik'\ngrant_types = 'password'".into(),
            "jeton.toml:6: [clients.app] kind: `publik` is none of confidential, public; did you mean `public`?",
        ),
        ("kind = 'public'".into(), "jeton.toml:5: [clients.app] grant_types: is missing: write grant_types = "),
        ("kind = 'public'\ngrant_types = []".into(), "jeton.toml:7: [clients.app] grant_types: is empty"),
        (
            "kind = 'public'\ngrant_types = 'implicit'".into(),
            "jeton.toml:7: [clients.app] grant_types: `implicit` is none of authorization_code",
        ),
        (
            "kind = 'public'\ngrant_types = ['password', 'password']".into(),
            "jeton.toml:7: [clients.app] grant_types: `password` is named twice",
        ),
        (
            "kind = 'public'\ngrant_types = 'client_credentials'".into(),
            "jeton.toml:7: [clients.app] grant_types: client_credentials is for confidential clients only",
        ),
        (
            "kind = 'public'\ngrant_types = 'refresh_token'\nscopes = 'offline_access'".into(),
            "jeton.toml:7: [clients.app] grant_types: refresh_token comes with no flow that gives one",
        ),
        (
            "kind = 'confidential'\ngrant_types = 'password'".into(),
            "jeton.toml:5: [clients.app] secret_hashes: is missing: a confidential client authenticates",
        ),
        (
            format!("kind = 'public'\ngrant_types = 'password'\njwks = '{{\"keys\":[{key}]}}'"),
            "jeton.toml:8: [clients.app] jwks: is given to a public client, which cannot keep a key",
        ),
        (
            "kind = 'confidential'\ngrant_types = 'password'\njwks = '[]'".into(),
            "jeton.toml:8: [clients.app] jwks: is no JWK set of at most 32 keys",
        ),
        (
            "kind = 'confidential'\ngrant_types = 'password'\njwks = '{\"keys\":[]}'".into(),
            "jeton.toml:8: [clients.app] jwks: holds no key",
        ),
        (
            "kind = 'confidential'\ngrant_types = 'password'\njwks = '{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}'".into(),
            "jeton.toml:8: [clients.app] jwks: key 1 holds a private or symmetric key",
        ),
        (
            format!(
                "kind = 'confidential'\ngrant_types = 'password'\njwks = '{{\"keys\":[{key},{{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"_w\"}}]}}'"
            ),
            "jeton.toml:8: [clients.app] jwks: key 2 is too weak",
        ),
        (
            format!("kind = 'confidential'\ngrant_types = 'password'\njwks = '{{\"keys\":[{key},{key}]}}'"),
            "jeton.toml:8: [clients.app] jwks: leaves open which key of the `kid` `1` is meant",
        ),
        (
            format!(
                "kind = 'confidential'\ngrant_types = 'password'\njwks = '{{\"keys\":[{key}]}}'\njwks_uri = 'https://a.example'"
            ),
            "jeton.toml:9: [clients.app] jwks_uri: is given beside jwks",
        ),
        (
            "kind = 'confidential'\ngrant_types = 'password'\njwks_uri = 'http://app.example.com/jwks.json'".into(),
            "jeton.toml:8: [clients.app] jwks_uri: must begin with https",
        ),
        (
            "kind = 'public'\ngrant_types = 'password'\njwks_uri = 'https://app.example.com/jwks.json'".into(),
            "jeton.toml:8: [clients.app] jwks_uri: is given to a public client",
        ),
        (
            format!("kind = 'public'\ngrant_types = 'password'\nsecret_hashes = ['{hash}']"),
            "jeton.toml:8: [clients.app] secret_hashes: is given to a public client",
        ),
        (
            "kind = 'confidential'\ngrant_types = 'password'\nsecret_hashes = ['hunter2']".into(),
            "jeton.toml:8: [clients.app] secret_hashes: entry 1 is not `sha256:` and 64 hexadecimal digits",
        ),
        (
            format!("kind = 'confidential'\ngrant_types = 'password'\nsecret_hashes = ['{hash}',\n'{hash}']"),
            "jeton.toml:9: [clients.app] secret_hashes: entry 2 repeats an earlier one",
        ),
        (
            "kind = 'public'\ngrant_types = 'password'\nresources = ['https://order']".into(),
            "jeton.toml:8: [clients.app] resources: `https://order` is no known resource: add it first; did you mean `https://orders`?",
        ),
        (
            "kind = 'public'\ngrant_types = 'password'\nscopes = [\n'openid',\n'orders:raed']".into(),
            "jeton.toml:10: [clients.app] scopes: `orders:raed` is owned by no resource: add it to the scopes of one; did you mean `orders:read`?",
        ),
        (
            "kind = 'public'\ngrant_types = 'password'\nauthorization_details_types = 'order'".into(),
            "jeton.toml:8: [clients.app] authorization_details_types: `order` is declared by no resource",
        ),
        (
            "kind = 'public'\ngrant_types = 'password'\nscopes = 'orders:read pay:read'\nresources = 'https://pay'".into(),
            "jeton.toml:8: [clients.app] scopes: `orders:read` belongs to `https://orders`: add that to resources",
        ),
        (
            "kind = 'public'\ngrant_types = 'password'\nidle_lifetime = '91d'".into(),
            "jeton.toml:8: [clients.app] idle_lifetime: idle_lifetime (91d) is longer than absolute_lifetime (90d)",
        ),
        (
            "kind = 'public'\ngrant_types = 'password'\nabsolute_lifetime = '1d'".into(),
            "jeton.toml:8: [clients.app] absolute_lifetime: idle_lifetime (14d) is longer than absolute_lifetime (1d)",
        ),
        (
            "kind = 'public'\ngrant_types = 'password'\nidle_lifetime = '59s'".into(),
            "jeton.toml:8: [clients.app] idle_lifetime: is 59s, outside 1m to 3650d",
        ),
        (
            "kind = 'public'\ngrant_types = 'password'\nrotation = 'sometimes'".into(),
            "jeton.toml:8: [clients.app] rotation: `sometimes` is none of always, unbound-public, near-expiry, never",
        ),
        (
            "kind = 'public'\ngrant_types = 'password'\nreuse = true".into(),
            "jeton.toml:8: [clients.app] reuse: is a truth value: it must be text in quotes",
        ),
        (
            "kind = 'public'\ngrant_types = 'password'\ngrants_per_subject = 1001".into(),
            "jeton.toml:8: [clients.app] grants_per_subject: is 1001, outside 1 to 1000",
        ),
        (
            "kind = 'public'\ngrant_types = 'password'\nid_token_algorithm = 'RS512'".into(),
            "jeton.toml:8: [clients.app] id_token_algorithm: `RS512` is none of EdDSA, ES256, RS256; did you mean `RS256`?",
        ),
    ];
    for (keys, expected) in &rows {
        each_is_told(&[(&client(keys), expected)]);
    }
    each_is_told(&[(
        "[clients.'ä']\nkind = 'public'\ngrant_types = 'password'",
        "jeton.toml:1: [clients.\"ä\"]: may contain printable ASCII",
    )]);
}

#[test]
fn what_is_no_toml_is_told_with_line_and_column_and_nothing_else() {
    each_is_told(&[
        ("issuer = 3\nstore = 'embedded:data", "jeton.toml:2:"),
        ("[limits\nconcurrency = 0", "jeton.toml:1:"),
        ("a = 1\na = 2", "jeton.toml:2:1: is not TOML: duplicate key"),
    ]);
    let told = load(b"a = 1\n# \xff\n", &[], &Overrides::default()).unwrap_err();
    assert!(told.starts_with("jeton.toml:2: is not UTF-8\n"), "{told}");
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = "issuer = 'x'\n[tokens]\noverlap = '0s'\n[clients.app]\nkind = 'public'\ngrant_types = 'nothing'\nrotation = 3\nx = 1\n[limits]\nconcurrency = 0\n";
    let told =
        load(text, &[("JETON_LISTEN_GRPC", "here")], &Overrides { http_listen: Some("there".into()), ..Overrides::default() });
    let told = told.unwrap_err();
    let starts = [
        "JETON_LISTEN_GRPC: is no IP",
        "--http-listen: is no IP",
        "jeton.toml:1: issuer: ",
        "jeton.toml:3: [tokens] overlap: ",
        "jeton.toml:6: [clients.app] grant_types: ",
        "jeton.toml:7: [clients.app] rotation: ",
        "jeton.toml:8: [clients.app] x: ",
        "jeton.toml:10: [limits] concurrency: ",
        "8 mistakes in the configuration: correct them and run `jeton config check`",
    ];
    assert_eq!(told.lines().count(), starts.len(), "{told}");
    for (line, start) in told.lines().zip(starts) {
        assert!(line.starts_with(start), "{line}\n{start}");
    }
}

#[test]
fn mistakes_in_a_ring_name_its_lines_and_repeat_no_digit() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display().to_string();
    std::fs::write(file.path(), format!("{}\n{}\n", "0".repeat(64), "f00f")).unwrap();
    let told = mistakes(&format!("root_key_file = '{path}'"));
    assert_eq!(told.len(), 2);
    assert!(told[0].starts_with(&format!("jeton.toml:1: root_key_file: {path}:1: a key is all zeros")), "{told:?}");
    assert!(told[1].starts_with(&format!("jeton.toml:1: root_key_file: {path}:2: a key has 4 hexadecimal digits")), "{told:?}");
    std::fs::write(file.path(), "# none\n").unwrap();
    assert!(mistakes(&format!("root_key_file = '{path}'"))[0].contains("holds no key: run `jeton keys generate-root`"));
    let told = load("", &[("JETON_ROOT_KEY", "f00fzz")], &Overrides::default()).unwrap_err();
    assert!(told.starts_with("JETON_ROOT_KEY: a key is not hexadecimal") && !told.contains("f00f"), "{told}");
}

#[test]
fn replicas_are_waited_for_half_as_long_as_the_store_at_most() {
    let key = "f00d".repeat(16);
    let on_redis =
        |rest: &str| load(format!("store = 'redis://redis'\n{rest}"), &[("JETON_ROOT_KEY", &key)], &Overrides::default());
    for (rest, expected) in [
        (
            "[redis]\nreplicas = 1\nwait_timeout = '1001ms'",
            "jeton.toml:4: [redis] wait_timeout: [redis] wait_timeout (1001ms) is longer than half of [tokens] store_timeout (2s)",
        ),
        (
            "redis.replicas = 1\n[tokens]\nstore_timeout = '900ms'",
            "jeton.toml:4: [tokens] store_timeout: [redis] wait_timeout (500ms) is longer than half of [tokens] store_timeout (900ms)",
        ),
    ] {
        let told = on_redis(rest).expect_err(rest);
        assert!(told.starts_with(expected) && told.lines().count() == 2, "{rest}\n{told}");
    }
    for fine in ["[redis]\nreplicas = 16\nwait_timeout = '1s'", "[redis]\nwait_timeout = '15s'"] {
        let loaded = on_redis(fine).unwrap();
        assert_eq!(loaded.warnings, Vec::<String>::new(), "{fine}");
    }
}

/// Each row: a file, and how its one warning begins.
#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let public = "kind = 'public'\ngrant_types = 'password refresh_token'\nscopes = 'offline_access'\n";
    let rows = [
        (
            client(&format!("{public}rotation = 'never'")),
            "jeton.toml:9: [clients.app] rotation: a stolen refresh token is not detected",
        ),
        (
            client(&format!("{public}rotation = 'near-expiry'")),
            "jeton.toml:9: [clients.app] rotation: a stolen refresh token is not detected",
        ),
        (
            client("kind = 'public'\ngrant_types = 'password refresh_token'"),
            "jeton.toml:5: [clients.app] scopes: refresh_token is allowed, but",
        ),
        (
            client("kind = 'public'\ngrant_types = 'password'\nscopes = 'offline_access'"),
            "jeton.toml:8: [clients.app] scopes: offline_access gives no",
        ),
        (
            client("kind = 'public'\ngrant_types = 'authorization_code'"),
            "jeton.toml:5: [clients.app] redirect_uris: are missing, so that no authorization code can be made",
        ),
        (
            client(
                "kind = 'public'\ngrant_types = 'authorization_code'\nredirect_uris = ['https://app/cb', 'http://app.example.com/cb']",
            ),
            "jeton.toml:8: [clients.app] redirect_uris: `http://app.example.com/cb` is http and not of the user's machine",
        ),
        ("store = 'memory:'".into(), "jeton.toml:1: store: nothing is kept"),
        ("\n[redis]\nreplicas = 2".into(), "jeton.toml:3: [redis] replicas: only Redis has replicas, and the store is none"),
        ("issuer = 'http://tokens.example.com'".into(), "jeton.toml:1: issuer: is http and not of this machine"),
        (
            format!("issuer = 'http://localhost:8080'\n[tls]\n{CERTIFICATE}"),
            "jeton.toml:1: issuer: is http, and with [tls] this server answers https only",
        ),
        (
            "insecure = true\nlisten.grpc = '0.0.0.0:50051'".into(),
            "jeton.toml:2: [listen] grpc: 0.0.0.0:50051 is open beyond this machine WITHOUT TLS",
        ),
    ];
    for (text, expected) in rows {
        let warnings = from_text(&text).unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].starts_with(expected), "{text}\n{warnings:#?}");
    }
}

const CERTIFICATE: &str = "certificate_file = 'a'\nkey_file = 'b'\n";

#[test]
fn tls_of_listeners() {
    let with = |rest: &str| format!("[tls]\n{CERTIFICATE}{rest}");
    let rows = [
        ("[tls]\ncertificate_file = 'a'".to_owned(), "jeton.toml:1: [tls] key_file: is missing beside certificate_file"),
        ("[tls]\nkey_file = 'a'".into(), "jeton.toml:1: [tls] certificate_file: is missing beside key_file"),
        ("[tls]\ncaller_ca_file = 'a'".into(), "jeton.toml:2: [tls] caller_ca_file: needs certificate_file and key_file too"),
        (
            "[tls]\nclient_certificates = true".into(),
            "jeton.toml:2: [tls] client_certificates: needs certificate_file and key_file too",
        ),
        (with("client_ca_file = 'c'"), "jeton.toml:4: [tls] client_ca_file: is of no use where clients are not asked"),
        (
            with("client_certificates = true\nproxies = 'proxy.internal'"),
            "jeton.toml:5: [tls] proxies: need client_ca_file: nobody else says whose certificate is a proxy's",
        ),
        (
            with("client_certificates = true\nclient_ca_file = 'c'\nproxies = ['*.internal']"),
            "jeton.toml:6: [tls] proxies: `*.internal` is no host name such as client.example.com",
        ),
        (
            with("client_certificates = true\nclient_ca_file = 'c'\nproxies = ['spiffe:']"),
            "jeton.toml:6: [tls] proxies: `spiffe:` is no absolute URI",
        ),
        (with("proxy_header = 'Client_Cert'"), "jeton.toml:4: [tls] proxy_header: is no name of a header"),
        (
            format!("[listen]\ngrpc = '0.0.0.0:1'\n[tls]\n{CERTIFICATE}"),
            "jeton.toml:2: [listen] grpc: 0.0.0.0:1 is open beyond this machine without known callers: bind it to 127.0.0.1, write a section [callers.NAME]",
        ),
    ];
    for (text, expected) in &rows {
        each_is_told(&[(text.as_str(), expected)]);
    }
    let open = "[listen]\ngrpc = '0.0.0.0:1'\nhttp = '0.0.0.0:2'\nadmin = '0.0.0.0:3'\n";
    let known = "[callers.a]\ndns_names = 'a.internal'\nrpcs = 'read_keys'\n";
    from_text(&format!("{open}[tls]\n{CERTIFICATE}caller_ca_file = 'c'\n{known}")).expect("all of it is known, or open to all");
}

#[test]
fn callers() {
    let tls = format!("[tls]\n{CERTIFICATE}caller_ca_file = 'c'\n");
    let caller = |keys: &str| format!("{tls}[callers.a]\nrpcs = 'read_keys'\n{keys}");
    let hash = format!("sha256:{}", "a1".repeat(32));
    let rows = [
        (tls.clone(), "jeton.toml:4: [tls] caller_ca_file: is set, and no caller is configured"),
        (caller(""), "jeton.toml:5: [callers.a]: is known by nothing"),
        (caller("spiffe_ids = ['spiffe://a']"), "jeton.toml:7: [callers.a] spiffe_ids: `spiffe://a` is no SPIFFE id"),
        (caller("dns_names = ['*.internal']"), "jeton.toml:7: [callers.a] dns_names: `*.internal` is no host name"),
        (
            caller("key_hashes = ['jck_hunter2']"),
            "jeton.toml:7: [callers.a] key_hashes: is not `sha256:` and 64 hexadecimal digits",
        ),
        (caller("service_accounts = ['a/b']"), "jeton.toml:7: [callers.a] service_accounts: needs [caller_tokens]"),
        (
            caller("dns_names = 'a'\nclients = ['*', 'b']"),
            "jeton.toml:8: [callers.a] clients: names \"*\", which is every one, and others",
        ),
        (
            format!("[callers.a]\nrpcs = ['introspct']\nkey_hashes = '{hash}'"),
            "jeton.toml:2: [callers.a] rpcs: `introspct` is none of issue, refresh,",
        ),
        (
            "[callers.a]\nrpcs = 'read_keys'\ndns_names = 'a'".into(),
            "jeton.toml:3: [callers.a] dns_names: needs caller_ca_file under [tls]",
        ),
        (
            caller(&format!("dns_names = ['b']\n[callers.b]\nrpcs = 'heal'\nkey_hashes = '{hash}'\ndns_names = ['c', 'B']")),
            "jeton.toml:11: [callers.b] dns_names: names what another caller",
        ),
        ("[caller_tokens]\nissuer = 'a'\naudience = 'b'".into(), "jeton.toml:1: [caller_tokens] jwks_uri: is missing"),
    ];
    for (text, expected) in &rows {
        each_is_told(&[(text.as_str(), expected)]);
    }
    let told = mistakes(&caller("key_hashes = ['jck_hunter2']"));
    assert!(!told.concat().contains("hunter2"), "{told:?}");
    let loaded = from_text(&format!(
        "[callers.a]\nkey_hashes = '{hash}'\n[callers.b]\nkey_hashes = 'sha256:{}'\nrpcs = 'refresh introspect'\n",
        "b2".repeat(32)
    ));
    let warnings = loaded.unwrap().warnings.join("\n");
    for expected in ["[callers.a] rpcs: is empty", "[callers.b] clients: is empty", "[callers.b] resources: is empty"] {
        assert!(warnings.contains(expected), "{expected}: {warnings}");
    }
}

#[test]
fn certificates_of_clients() {
    let hash = format!("sha256:{}", "a1".repeat(32));
    let job = |keys: &str| client(&format!("kind = 'confidential'\ngrant_types = 'client_credentials'\n{keys}"));
    let rows = [
        (
            job("tls_client_auth_san_dns = 'a.example.com'\ntls_client_auth_san_ip = '192.0.2.1'"),
            "jeton.toml:9: [clients.app] tls_client_auth_san_ip: is given beside another",
        ),
        (
            job(&format!("tls_client_auth_san_dns = 'a.example.com'\nself_signed_certificates = '{hash}'")),
            "jeton.toml:9: [clients.app] self_signed_certificates: is given beside another",
        ),
        (
            job("tls_client_auth_subject_dn = 'billing'"),
            "jeton.toml:8: [clients.app] tls_client_auth_subject_dn: is no distinguished name such as",
        ),
        (job("tls_client_auth_san_uri = 'billing'"), "jeton.toml:8: [clients.app] tls_client_auth_san_uri: is no absolute URI"),
        (
            job("self_signed_certificates = ['x']"),
            "jeton.toml:8: [clients.app] self_signed_certificates: entry 1 is not `sha256:` and 64 hexadecimal digits",
        ),
        (
            client("kind = 'public'\ngrant_types = 'password'\ntls_client_auth_san_dns = 'a.example.com'"),
            "jeton.toml:8: [clients.app] tls_client_auth_san_dns: is given to a public client, which does not authenticate",
        ),
    ];
    for (text, expected) in &rows {
        each_is_told(&[(text.as_str(), expected)]);
    }
    let named = job("tls_client_auth_subject_dn = 'CN=billing,O=Example'\n");
    let warnings = |tls: &str| {
        load(format!("issuer = 'https://tokens.example.com'\n{tls}{named}"), &[], &Overrides::default()).unwrap().warnings
    };
    assert!(warnings("").iter().any(|line| line.contains("client `app` is to show a certificate over HTTP")));
    let asked = format!("[tls]\n{CERTIFICATE}client_certificates = true\n");
    assert!(warnings(&asked).iter().any(|line| line.contains("nobody else vouches for client `app`")));
    assert_eq!(warnings(&format!("{asked}client_ca_file = 'c'\n")), Vec::<String>::new());
}

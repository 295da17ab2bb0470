//! The operator's page of the real binary: asked as no browser would, here, and by a person with a real browser, in `person`.

mod browser;
mod person;

use crate::rfc::raw::{Answer, Asking, answers};
use crate::tour::{Home, Server};
use crate::world::{alice, fully_fresh};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jeton::api::token_service_client::TokenServiceClient;
use jeton::api::{IntrospectRequest, IssueRequest};
use jeton::config;
use jeton_domain::caller::hash_of_key;
use std::net::SocketAddr;
use std::path::Path;
use tonic::transport::Channel;

const KEY: &str = "jck_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
const EXPLAINER: &str = "jck_9876543210abcdefghijklmnopqrstuvwxyzABCDEFG";
/// A name that a page must not take for its own words.
const HOSTILE: &str = "\"><img src=x onerror=alert(1)><script>alert(2)</script>'&amp;";

/// The real binary, and its admin port.
struct House {
    tokens: Option<TokenServiceClient<Channel>>,
    admin: SocketAddr,
    _server: Server,
    home: Home,
}

impl House {
    /// With these sections beside those of the repository's configuration.
    async fn start(sections: &str) -> Self {
        let home = Home::new();
        let own = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("jeton.toml")).unwrap();
        let config = home.path().join("jeton.toml");
        std::fs::write(&config, own + sections).unwrap();
        let server = Server::start_as(&config, "127.0.0.1:0", "127.0.0.1:0", &home, "memory:", &[]);
        let tokens = TokenServiceClient::connect(server.address.clone()).await.ok();
        Self { tokens, admin: server.admin, _server: server, home }
    }

    fn tokens(&self) -> TokenServiceClient<Channel> {
        self.tokens.clone().unwrap()
    }

    /// A refresh token of a subject, and the id of its grant.
    async fn issue(&self, client: &str, subject: &str) -> (String, String) {
        let asked = IssueRequest { sub: subject.into(), ..alice(client, "offline_access orders:read") };
        let issued = self.tokens().issue(asked).await.unwrap().into_inner();
        (issued.refresh_token, issued.grant_id)
    }

    async fn is_active(&self, token: &str) -> bool {
        let asked = IntrospectRequest { token: token.into(), freshness: fully_fresh(), ..Default::default() };
        self.tokens().introspect(asked).await.unwrap().into_inner().active
    }

    /// A form as the page itself sends it.
    fn form(&self, path: &str, fields: &[(&str, &str)]) -> Asking {
        Asking::post(self.admin, path).header("Origin", &format!("http://{}", self.admin)).form(fields)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap()
    }
}

fn text(answer: &Answer) -> &str {
    std::str::from_utf8(&answer.body).unwrap()
}

/// The value of a hidden field.
#[track_caller]
fn field<'a>(page: &'a str, name: &str) -> &'a str {
    let begun = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("no {name}: {page}")).1;
    begun.split_once('"').unwrap().0
}

/// Every answer of the page says what a browser must not do with it.
#[track_caller]
fn is_guarded(answer: &Answer) {
    let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("no policy: {answer:?}"));
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("script") && !policy.contains("unsafe"), "no script at all: {policy}");
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{answer:?}");
    }
}

#[tokio::test]
async fn no_other_site_opens_the_page_or_makes_it_revoke() {
    let house = House::start("").await;
    let (token, grant) = house.issue("mobile-app", "alice").await;
    let target = [("kind", "grant"), ("grant_id", grant.as_str())];
    let ours = format!("http://{}", house.admin);
    let open = Asking::get(house.admin, "/").send().await;
    assert_eq!(open.status, 200);
    is_guarded(&open);

    for path in ["/", "/explain", "/grants", "/style.css"] {
        let foreign = format!("GET {path} HTTP/1.1\r\nHost: evil.example:9464\r\nConnection: close\r\n\r\n");
        let [refused] = &answers(house.admin, foreign.as_bytes()).await[..] else { panic!("one answer") };
        assert_eq!(refused.status, 403, "{path}");
        is_guarded(refused);
        let framed = Asking::get(house.admin, path).header("Sec-Fetch-Site", "cross-site").send().await;
        assert_eq!(framed.status, 403, "{path}");
    }
    // Probes and scrapers call by whatever name they were given.
    let [alive] = &answers(house.admin, b"GET /livez HTTP/1.1\r\nHost: pod.example\r\nConnection: close\r\n\r\n").await[..]
    else {
        panic!("one answer")
    };
    assert_eq!(alive.status, 200);

    let looked = house.form("/revoke", &target).send().await;
    let seal = field(text(&looked), "seal").to_owned();
    let confirmed = [&target[..], &[("reason", "leaked"), ("seal", seal.as_str())]].concat();
    for origin in ["http://evil.example", "null", "http://127.0.0.1:3000", "https://localhost"] {
        for path in ["/revoke", "/revoke/confirmed", "/explain", "/grants"] {
            let sent = Asking::post(house.admin, path).header("Origin", origin).form(&confirmed).send().await;
            assert_eq!(sent.status, 403, "{origin} {path}");
            is_guarded(&sent);
        }
    }
    let silent = Asking::post(house.admin, "/revoke/confirmed").form(&confirmed).send().await;
    assert_eq!(silent.status, 403, "nothing says where it comes from");
    let pairs: Vec<String> = confirmed.iter().map(|(name, value)| format!("{name}={value}")).collect();
    for path in ["/revoke", "/revoke/confirmed"] {
        let got = Asking::get(house.admin, &format!("{path}?{}", pairs.join("&"))).header("Origin", &ours).send().await;
        assert_eq!(got.status, 405, "{path} by GET");
        is_guarded(&got);
    }
    for seal in ["", "1.AAAA", &seal.replacen('.', "0.", 1)] {
        let fields = [&target[..], &[("reason", "leaked"), ("seal", seal)]].concat();
        let refused = house.form("/revoke/confirmed", &fields).send().await;
        assert!(refused.status == 409 && text(&refused).contains("DRY_RUN_MISSING"), "{seal}: {refused:?}");
    }
    let of_another = house.form("/revoke", &[("kind", "subject"), ("sub", "alice")]).send().await;
    let fields = [&target[..], &[("reason", "leaked"), ("seal", field(text(&of_another), "seal"))]].concat();
    assert_eq!(house.form("/revoke/confirmed", &fields).send().await.status, 409, "another was looked at");
    assert!(house.is_active(&token).await, "nothing of all this revoked");

    let done = house.form("/revoke/confirmed", &confirmed).send().await;
    assert!(done.status == 200 && text(&done).contains("In force from"), "{done:?}");
    assert!(!house.is_active(&token).await);
}

#[tokio::test]
async fn what_is_pasted_is_said_nowhere_and_names_are_only_names() {
    let house = House::start(&format!(
        "[clients.'{}']\nkind = 'public'\ngrant_types = ['authorization_code', 'refresh_token']\nredirect_uris = ['http://127.0.0.1/callback']\nscopes = ['offline_access', 'orders:read']\nresources = ['https://orders.internal']\n",
        HOSTILE.replace('\'', "")
    ))
    .await;
    let client = HOSTILE.replace('\'', "");
    let (token, grant) = house.issue(&client, HOSTILE).await;
    let cut = token.split_at(token.len() - 1).0;
    let altered = token.replacen("jrt_", "jrt_A", 1);
    for pasted in [token.as_str(), cut, &altered, &format!("Bearer {token}\r\n"), HOSTILE] {
        let answer = house.form("/explain", &[("token", pasted)]).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!text(&answer).contains(token.get(40..).unwrap()), "{answer:?}");
        is_guarded(&answer);
    }
    let explained = house.form("/explain", &[("token", &token)]).send().await;
    let listed = house.form("/grants", &[("sub", HOSTILE)]).send().await;
    let looked = house.form("/revoke", &[("kind", "subject"), ("sub", HOSTILE)]).send().await;
    for (page, said) in [(&explained, "Active"), (&listed, grant.as_str()), (&looked, "1 living grant would end")] {
        let page = text(page);
        assert!(page.contains(said), "{said}: {page}");
        assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"), "{page}");
        assert!(!page.contains("<img") && !page.contains("<script"), "{page}");
    }
    for refused in [
        house.form("/explain", &[]),
        house.form("/explain", &[("token", &token), ("resource", HOSTILE)]),
        house.form("/revoke", &[("kind", HOSTILE)]),
        house.form("/grants", &[("sub", "alice"), ("page_token", HOSTILE)]),
    ] {
        let refused = refused.send().await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(!text(&refused).contains("<img") && !text(&refused).contains(&token), "{refused:?}");
        is_guarded(&refused);
    }
    let metrics = Asking::get(house.admin, "/metrics").send().await;
    assert!(text(&metrics).contains("jeton_requests_total{operation=\"page_explain\",outcome=\"OK\"} 6\n"), "{metrics:?}");
    for said in [house.log().as_str(), text(&metrics)] {
        assert!(!said.contains(token.get(40..).unwrap()), "{said}");
    }
}

#[tokio::test]
async fn a_pasted_jwt_leads_to_its_end_and_says_why_it_is_dead() {
    let house = House::start("").await;
    // With a record of its grant, and without.
    for scopes in ["orders:read offline_access", "orders:read"] {
        let issued = house.tokens().issue(alice("mobile-app", scopes)).await.unwrap().into_inner();
        let explains = async || house.form("/explain", &[("token", &issued.access_token)]).send().await;
        let explained = explains().await;
        assert!(
            text(&explained).contains("access token, JWT") && text(&explained).contains("Revoke this grant…"),
            "{explained:?}"
        );
        assert_eq!(field(text(&explained), "grant_id"), issued.grant_id);
        let target = [("kind", "grant"), ("grant_id", issued.grant_id.as_str())];
        let looked = house.form("/revoke", &target).send().await;
        let confirmed = [&target[..], &[("reason", "leaked"), ("seal", field(text(&looked), "seal"))]].concat();
        assert_eq!(house.form("/revoke/confirmed", &confirmed).send().await.status, 200);
        let dead = explains().await;
        assert!(text(&dead).contains("Not active") && text(&dead).contains("grant revoked (leaked)"), "{dead:?}");
    }
    let nothing = house.form("/explain", &[]).send().await;
    assert!(
        text(&nothing).contains("Go back, correct it, and send it again.") && !text(&nothing).contains("BadRequest"),
        "{nothing:?}"
    );
}

#[tokio::test]
async fn a_caller_sees_and_ends_what_it_may_over_grpc() {
    let hash = |key| config::written_hash(&hash_of_key(key));
    let house = House::start(&format!(
        "[callers.operator]\nkey_hashes = ['{}']\nrpcs = '*'\nclients = '*'\n[callers.explainer]\nkey_hashes = ['{}']\nrpcs = ['explain']\n",
        hash(KEY),
        hash(EXPLAINER)
    ))
    .await;
    let as_person = |asking: Asking, key: &str| {
        asking.header("Authorization", &format!("Basic {}", STANDARD.encode(format!("anna:{key}")))).send()
    };
    let get = |path: &str| Asking::get(house.admin, path);
    for path in ["/", "/explain", "/grants"] {
        let nobody = get(path).send().await;
        assert_eq!((nobody.status, nobody.header("www-authenticate")), (401, Some("Basic realm=\"jeton\", charset=\"UTF-8\"")));
        assert!(!text(&nobody).contains("memory:"), "a stranger learns nothing: {nobody:?}");
        assert_eq!(as_person(get(path), "jck_wrong").await.status, 401);
    }
    let whole = as_person(get("/"), KEY).await;
    assert!(whole.status == 200 && text(&whole).contains("<dd>operator</dd>") && text(&whole).contains("retires"), "{whole:?}");
    let as_service = get("/").header("Authorization", &format!("Bearer {KEY}")).send().await;
    assert_eq!(as_service.status, 200);

    let lacking = as_person(get("/"), EXPLAINER).await;
    for lacks in ["caller `explainer` may not `heal`", "caller `explainer` may not `read_keys`"] {
        assert!(lacking.status == 200 && text(&lacking).contains(lacks), "{lacking:?}");
    }
    let explained = as_person(house.form("/explain", &[("token", "jrt_x")]), EXPLAINER).await;
    assert!(explained.status == 200 && text(&explained).contains("Not active"), "{explained:?}");
    let subject = [("kind", "subject"), ("sub", "alice")];
    for refused in [house.form("/grants", &[("sub", "alice")]), house.form("/revoke", &subject), get("/grants")] {
        let refused = as_person(refused, EXPLAINER).await;
        assert!(refused.status == 403 && text(&refused).contains("CALLER_REFUSED"), "{refused:?}");
    }
    let looked = as_person(house.form("/revoke", &subject), KEY).await;
    let fields = [&subject[..], &[("reason", "incident"), ("seal", field(text(&looked), "seal"))]].concat();
    assert_eq!(as_person(house.form("/revoke/confirmed", &fields), EXPLAINER).await.status, 403, "what another looked at");
    assert_eq!(as_person(house.form("/revoke/confirmed", &fields), KEY).await.status, 200);
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_ne!(get(path).send().await.status, 401, "{path} is for the platform");
    }
}

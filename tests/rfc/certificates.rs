//! Certificates of clients (RFC 8705): how a client proves by one who it is. Below: `bound` (tokens that are bound to one), `passed_on` (those
//! that a proxy passes on).

mod bound;
mod passed_on;

use super::Server;
use super::raw::{Answer, Asking};
use crate::authority::{Authority, Identity};
use crate::rfc::codes::with_places;
use crate::world::{ORDERS, mobile, refusal};
use jeton::api::{self, ClientAuthentication, IssueRequest};
use jeton::config::{Settings, Tls};
use jeton_domain::certificate::CertificateName;
use jeton_domain::client::{Client, KnownBy, MutualTls};
use jeton_domain::name::ClientId;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DistinguishedName, DnType, SanType, date_time_ymd};
use serde_json::json;

const TOKEN: &str = "/oauth2/token";

/// A server that speaks TLS over HTTP, and those who sign.
struct Mutual {
    server: Server,
    servers: Authority,
    clients: Authority,
    _files: tempfile::TempDir,
}

impl Mutual {
    async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let (servers, clients, files) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
        let (certificate, key) = servers.server().write(files.path(), "server");
        let authorities = files.path().join("clients.pem");
        std::fs::write(&authorities, clients.pem()).unwrap();
        let server = Server::start_with(|settings| {
            settings.tls = Some(Tls {
                certificate,
                key,
                callers: None,
                client_certificates: true,
                clients: Some(authorities),
                proxies: vec![CertificateName::dns("proxy.internal").unwrap()],
                proxy_header: "Client-Cert".into(),
            });
            with_places(settings);
            change(settings);
        })
        .await;
        Self { server, servers, clients, _files: files }
    }

    /// A request over TLS, of who shows this certificate.
    fn asking(&self, asking: Asking, shows: Option<&Identity>) -> Asking {
        asking.over(&self.servers.trusted(shows))
    }

    /// A form to the token endpoint.
    fn form(&self, fields: &[(&str, &str)], shows: Option<&Identity>) -> Asking {
        self.asking(self.server.post(TOKEN, fields), shows)
    }

    /// Tokens for a client itself.
    fn credentials_of(&self, client: &str, shows: Option<&Identity>) -> Asking {
        self.form(&[("grant_type", "client_credentials"), ("scope", "orders:read"), ("client_id", client)], shows)
    }

    async fn is_let_in(&self, client: &str, shows: &Identity) -> bool {
        let answer = self.credentials_of(client, Some(shows)).send().await;
        if answer.status == 200 {
            return true;
        }
        is_no_client(&answer);
        false
    }
}

#[track_caller]
fn is_no_client(answer: &Answer) {
    assert_eq!(answer.refusal(), (401, "invalid_client".into()));
    assert_eq!(answer.json()["error_description"], "client authentication failed", "one text for every cause");
}

/// A machine client that is known by its certificate, as the billing job is by its secret.
fn job(settings: &mut Settings, id: &str, authenticates: KnownBy) -> Client {
    let billing = settings.clients.iter().find(|client| client.id.as_str() == "billing-job").unwrap();
    let mutual_tls = MutualTls { authenticates: Some(authenticates), binds: false };
    Client { id: ClientId::parse("client_id", id).unwrap(), mutual_tls, ..billing.clone() }
}

fn text(text: &str) -> Ia5String {
    text.try_into().unwrap()
}

/// The subject CN=billing, O=Example.
fn subject(params: &mut CertificateParams) {
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Example");
    params.distinguished_name.push(DnType::CommonName, "billing");
}

/// A client, what it is known by, and what its certificate says.
type Known = (&'static str, CertificateName, fn(&mut CertificateParams));

fn known() -> [Known; 5] {
    [
        ("by-dn", CertificateName::subject_dn("CN=billing,O=Example").unwrap(), subject),
        ("by-dns", CertificateName::dns("billing.example.com").unwrap(), |params| {
            params.subject_alt_names = vec![SanType::DnsName(text("billing.example.com"))];
        }),
        ("by-uri", CertificateName::uri("spiffe://example.com/billing").unwrap(), |params| {
            params.subject_alt_names = vec![SanType::URI(text("spiffe://example.com/billing"))];
        }),
        ("by-ip", CertificateName::ip("192.0.2.1").unwrap(), |params| {
            params.subject_alt_names = vec![SanType::IpAddress("192.0.2.1".parse().unwrap())];
        }),
        ("by-email", CertificateName::email("billing@example.com").unwrap(), |params| {
            params.subject_alt_names = vec![SanType::Rfc822Name(text("billing@example.com"))];
        }),
    ]
}

async fn with_known() -> Mutual {
    Mutual::start(|settings| {
        for (id, name, _) in known() {
            let client = job(settings, id, KnownBy::Name(name));
            settings.clients.push(client);
        }
    })
    .await
}

#[tokio::test]
async fn s081_one_name_of_the_certificate_is_matched_and_no_other() {
    let mutual = with_known().await;
    for (id, _, describe) in known() {
        let right = mutual.clients.client(describe);
        for (other, _, _) in known() {
            assert_eq!(mutual.is_let_in(other, &right).await, id == other, "{id} as {other}");
        }
        is_no_client(&mutual.credentials_of(id, None).send().await);
        assert!(!mutual.is_let_in("billing-job", &right).await, "one that is known by a secret only");
    }
}

#[tokio::test]
async fn s081_whom_a_certificate_names_only_an_authority_says() {
    let mutual = with_known().await;
    let stranger = Authority::new();
    for (id, _, describe) in known() {
        assert!(!mutual.is_let_in(id, &Identity::self_signed(describe)).await, "{id} says it itself");
        assert!(!mutual.is_let_in(id, &stranger.client(describe)).await, "{id} of an authority that nobody trusts");
        assert!(!mutual.is_let_in(id, &mutual.servers.client(describe)).await, "{id} of the authority of servers");
        assert!(mutual.is_let_in(id, &mutual.clients.client(describe)).await, "{id}");
    }
}

#[tokio::test]
async fn s081_names_are_compared_strictly() {
    let mutual = with_known().await;
    let alternative = |names: Vec<SanType>| mutual.clients.client(|params| params.subject_alt_names = names);
    let uri = |name: &str| SanType::URI(text(name));
    let dns = |name: &str| SanType::DnsName(text(name));
    for (id, names, why) in [
        ("by-uri", vec![uri("spiffe://example.com/billing"), uri("spiffe://example.com/admin")], "two URIs"),
        ("by-uri", vec![uri("spiffe://other.example.com/billing")], "another trust domain"),
        ("by-uri", vec![uri("spiffe://example.com/billing/x")], "a longer path"),
        ("by-dns", vec![dns("*.example.com")], "a wildcard"),
        ("by-dns", vec![dns("billing.example.com\0.evil.example")], "a NUL"),
        ("by-dns", vec![dns("billing.example.com"), dns("x\0y")], "a NUL in another name"),
        ("by-dns", vec![dns("billing.example.com.")], "a dot more"),
        ("by-dns", vec![uri("billing.example.com")], "a name of another kind"),
    ] {
        assert!(!mutual.is_let_in(id, &alternative(names)).await, "{why}");
    }
    let of_host = alternative(vec![dns("other.example.com"), dns("BILLING.example.com")]);
    assert!(mutual.is_let_in("by-dns", &of_host).await, "hosts are compared without regard to case");
    let subjects: [(&str, &[(DnType, &str)]); 5] = [
        ("longer", &[(DnType::CountryName, "DE"), (DnType::OrganizationName, "Example"), (DnType::CommonName, "billing")]),
        ("shorter", &[(DnType::CommonName, "billing")]),
        ("the other way round", &[(DnType::CommonName, "billing"), (DnType::OrganizationName, "Example")]),
        ("of a NUL", &[(DnType::OrganizationName, "Example"), (DnType::CommonName, "billing\0")]),
        ("of other letters", &[(DnType::OrganizationName, "Example"), (DnType::CommonName, "Billing")]),
    ];
    for (why, attributes) in subjects {
        let other = mutual.clients.client(|params| {
            params.distinguished_name = DistinguishedName::new();
            attributes.iter().for_each(|(kind, value)| params.distinguished_name.push(kind.clone(), *value));
        });
        assert!(!mutual.is_let_in("by-dn", &other).await, "a subject that is {why}");
    }
}

#[tokio::test]
async fn s081_a_registered_certificate_proves_itself_whoever_signed_it() {
    let own = Identity::self_signed(subject);
    let next = Authority::new().client(|_| {});
    let mutual = Mutual::start(|settings| {
        let client = job(settings, "by-thumbprint", KnownBy::Thumbprints(vec![own.hash(), next.hash()]));
        settings.clients.push(client);
    })
    .await;
    assert!(mutual.is_let_in("by-thumbprint", &own).await);
    assert!(mutual.is_let_in("by-thumbprint", &next).await, "the one that takes its place");
    assert!(!mutual.is_let_in("by-thumbprint", &Identity::self_signed(subject)).await, "another of the same name");
    assert!(!mutual.is_let_in("by-thumbprint", &mutual.clients.client(subject)).await, "one that an authority vouches for");
    is_no_client(&mutual.credentials_of("by-thumbprint", None).send().await);
}

#[tokio::test]
async fn s081_a_client_that_is_registered_at_run_time_is_known_by_its_certificate_too() {
    let mutual = Mutual::start(|_| {}).await;
    let client = api::Client {
        client_id: "by-dn".into(),
        kind: "confidential".into(),
        grant_types: vec!["client_credentials".into()],
        scopes: vec!["orders:read".into()],
        resources: vec![ORDERS.into()],
        tls_client_auth_subject_dn: "CN=billing,O=Example".into(),
        ..Default::default()
    };
    let asked = api::CreateClientRequest { client: Some(client) };
    let made = mutual.server.replica.clients.clone().create_client(asked).await.unwrap().into_inner();
    assert_eq!(made.client_secret, "");
    assert!(mutual.is_let_in("by-dn", &mutual.clients.client(subject)).await);
    assert!(!mutual.is_let_in("by-dn", &mutual.clients.client(|_| {})).await, "another name");
    assert!(!mutual.is_let_in("by-dn", &Identity::self_signed(subject)).await, "it says it itself");
}

#[tokio::test]
async fn s081_an_expired_certificate_is_refused() {
    let old = |params: &mut CertificateParams| {
        subject(params);
        params.not_after = date_time_ymd(2020, 1, 1);
    };
    let expired = Identity::self_signed(old);
    let mutual = Mutual::start(|settings| {
        let client = job(settings, "by-thumbprint", KnownBy::Thumbprints(vec![expired.hash()]));
        settings.clients.push(client);
    })
    .await;
    for shown in [&expired, &mutual.clients.client(old)] {
        let refused = mutual.credentials_of("by-thumbprint", Some(shown)).try_send().await;
        assert!(refused.is_err(), "{refused:?}");
    }
}

#[tokio::test]
async fn s007_a_certificate_is_not_another_way_beside_a_secret() {
    let own = Identity::self_signed(subject);
    let mutual = Mutual::start(|settings| {
        let client = job(settings, "by-thumbprint", KnownBy::Thumbprints(vec![own.hash()]));
        settings.clients.push(client);
    })
    .await;
    let wrong = [("grant_type", "client_credentials"), ("client_id", "by-thumbprint"), ("client_secret", "jcs_wrong")];
    is_no_client(&mutual.form(&wrong, Some(&own)).send().await);
}

#[tokio::test]
async fn rfc8705_2_2_a_caller_passes_on_a_registered_certificate_over_grpc() {
    let own = Identity::self_signed(subject);
    let mutual = Mutual::start(|settings| {
        let by_thumbprint = job(settings, "by-thumbprint", KnownBy::Thumbprints(vec![own.hash()]));
        let by_name = job(settings, "by-dn", KnownBy::Name(known()[0].1.clone()));
        settings.clients.extend([by_thumbprint, by_name]);
    })
    .await;
    let asked = |client: &str, thumbprint: String| IssueRequest {
        client_id: client.into(),
        scope: "orders:read".into(),
        client_authentication: Some(ClientAuthentication { certificate_thumbprint: thumbprint, ..Default::default() }),
        ..Default::default()
    };
    let replica = &mutual.server.replica;
    replica.issue(asked("by-thumbprint", own.thumbprint())).await;
    let named = mutual.clients.client(subject);
    for (client, thumbprint) in
        [("by-thumbprint", named.thumbprint()), ("by-dn", named.thumbprint()), ("by-dn", own.thumbprint())]
    {
        assert_eq!(refusal(replica.try_issue(asked(client, thumbprint)).await).1, "INVALID_CLIENT", "{client}");
    }
    // A public client has nothing to prove by one, and may show it.
    let issued = replica.issue(crate::world::alice("mobile-app", crate::world::SCOPES)).await;
    let shown = Some(ClientAuthentication { certificate_thumbprint: own.thumbprint(), ..Default::default() });
    replica.refresh(jeton::api::RefreshRequest { client_authentication: shown, ..mobile(&issued.refresh_token) }).await;
}

#[tokio::test]
async fn s089_ways_by_certificate_are_advertised_where_they_work() {
    let advertised = |document: &serde_json::Value, member: &str| -> Vec<String> {
        document[member].as_array().unwrap().iter().map(|method| method.as_str().unwrap().to_owned()).collect()
    };
    let path = "/.well-known/oauth-authorization-server";
    let mutual = Mutual::start(|_settings| {}).await;
    let document = mutual.asking(Asking::get(mutual.server.replica.http, path), None).send().await.json();
    for member in ["token", "introspection", "revocation"] {
        let methods = advertised(&document, &format!("{member}_endpoint_auth_methods_supported"));
        for method in ["tls_client_auth", "self_signed_tls_client_auth"] {
            assert!(methods.iter().any(|one| one == method), "{member}: {methods:?}");
        }
    }
    assert_eq!(document["tls_client_certificate_bound_access_tokens"], json!(true));
    let without = Mutual::start(|settings| settings.tls.as_mut().unwrap().clients = None).await;
    let document = without.asking(Asking::get(without.server.replica.http, path), None).send().await.json();
    let methods = advertised(&document, "token_endpoint_auth_methods_supported");
    assert!(!methods.contains(&"tls_client_auth".into()), "nobody vouches: {methods:?}");
    let plain = Server::start().await;
    let document = Asking::get(plain.replica.http, path).send().await.json();
    assert_eq!(document.get("tls_client_certificate_bound_access_tokens"), None);
    assert!(advertised(&document, "token_endpoint_auth_methods_supported").iter().all(|method| !method.contains("tls")));
}

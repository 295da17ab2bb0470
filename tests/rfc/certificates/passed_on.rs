//! Certificates in a header (RFC 9440): believed of an authenticated proxy, of nobody else (RFC 8705 section 6.5).

use super::{Mutual, is_no_client, job, known, subject, text};
use crate::authority::{Authority, Identity};
use crate::rfc::raw::Asking;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jeton_domain::client::KnownBy;
use rcgen::{CertificateParams, SanType, date_time_ymd};

const HEADER: &str = "Client-Cert";

/// As a proxy writes it.
fn written(certificate: &Identity) -> String {
    format!(":{}:", STANDARD.encode(certificate.der()))
}

fn proxy(params: &mut CertificateParams) {
    params.subject_alt_names = vec![SanType::DnsName(text("proxy.internal"))];
}

/// A server behind a proxy, and a client with a certificate of nobody.
struct Behind {
    mutual: Mutual,
    proxy: Identity,
    own: Identity,
}

impl Behind {
    async fn start() -> Self {
        let own = Identity::self_signed(subject);
        let mutual = Mutual::start(|settings| {
            let by_thumbprint = job(settings, "by-thumbprint", KnownBy::Thumbprints(vec![own.hash()]));
            let by_name = job(settings, "by-dn", KnownBy::Name(known()[0].1.clone()));
            settings.clients.extend([by_thumbprint, by_name]);
        })
        .await;
        let proxy = mutual.clients.client(proxy);
        Self { mutual, proxy, own }
    }

    /// What comes over the connection of whoever shows this certificate.
    fn over(&self, shows: Option<&Identity>) -> Asking {
        self.mutual.credentials_of("by-thumbprint", shows)
    }
}

#[tokio::test]
async fn s083_a_proxy_passes_on_the_certificate_of_its_client() {
    let behind = Behind::start().await;
    behind.over(Some(&behind.proxy)).header(HEADER, &written(&behind.own)).send().await.tokens();
    let by_name = || behind.mutual.credentials_of("by-dn", Some(&behind.proxy));
    by_name().header(HEADER, &written(&behind.mutual.clients.client(subject))).send().await.tokens();
    // Its word is taken for the key, and for nothing else.
    for unvouched in [Identity::self_signed(subject), Authority::new().client(subject)] {
        is_no_client(&by_name().header(HEADER, &written(&unvouched)).send().await);
    }
    is_no_client(&behind.over(Some(&behind.proxy)).send().await);
}

#[tokio::test]
async fn s083_of_anybody_else_the_header_is_not_looked_at() {
    let behind = Behind::start().await;
    let Behind { mutual, own, .. } = &behind;
    let other_name = |params: &mut CertificateParams| {
        params.subject_alt_names = vec![SanType::DnsName(text("proxy.internal.example.com"))];
    };
    for (why, shown) in [
        ("nobody", None),
        ("a client of the authority", Some(mutual.clients.client(subject))),
        ("another host", Some(mutual.clients.client(other_name))),
        ("one that calls itself so", Some(Identity::self_signed(proxy))),
        ("one of another authority", Some(mutual.servers.client(proxy))),
    ] {
        let answer = behind.over(shown.as_ref()).header(HEADER, &written(own)).send().await;
        assert_eq!(answer.refusal(), (401, "invalid_client".into()), "{why}");
        // Not even what is wrong with it is told.
        let answer = behind.over(shown.as_ref()).header(HEADER, "nonsense").send().await;
        assert_eq!(answer.refusal(), (401, "invalid_client".into()), "{why}");
    }
    behind.over(Some(own)).header(HEADER, &written(&behind.proxy)).send().await.tokens();
}

#[tokio::test]
async fn s083_copies_of_a_client_that_a_proxy_lets_through_count_for_nothing() {
    let behind = Behind::start().await;
    let (right, other) = (written(&behind.own), written(&Identity::self_signed(subject)));
    for (first, second) in [(&right, &other), (&other, &right), (&right, &right)] {
        let twice = behind.over(Some(&behind.proxy)).header(HEADER, first).header(HEADER, second).send().await;
        assert_eq!(twice.refusal(), (400, "invalid_request".into()));
        let joined = behind.over(Some(&behind.proxy)).header(HEADER, &format!("{first}, {second}")).send().await;
        assert_eq!(joined.refusal(), (400, "invalid_request".into()));
    }
    for name in
        ["Client_Cert", "CLIENT_CERT", "Client-Certificate", "X-Client-Cert", "X-Forwarded-Client-Cert", "Ssl-Client-Cert"]
    {
        is_no_client(&behind.over(Some(&behind.proxy)).header(name, &right).send().await);
        let both = behind.over(Some(&behind.proxy)).header(name, &other).header("client-cert", &right).send().await;
        both.tokens();
    }
}

#[tokio::test]
async fn s083_what_is_passed_on_is_one_certificate_in_one_form() {
    let behind = Behind::start().await;
    let der = STANDARD.encode(behind.own.der());
    let expired = Identity::self_signed(|params| params.not_after = date_time_ymd(2020, 1, 1));
    let longer = STANDARD.encode([behind.own.der(), &[0]].concat());
    let wrong = [
        String::new(),
        "::".into(),
        der.clone(),
        format!("\"{der}\""),
        format!(":{der}"),
        format!(":{der}:;a=1"),
        format!(":{}:", behind.own.pem().replace('\n', " ")),
        format!(":{}:", der.trim_end_matches('=').replace('+', "-").replace('/', "_") + "-"),
        format!(":{longer}:"),
        ":AAEC:".into(),
        written(&expired),
    ];
    for value in wrong {
        let answer = behind.over(Some(&behind.proxy)).header(HEADER, &value).send().await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{value}");
    }
}

#[tokio::test]
async fn s083_in_plain_text_nobody_is_a_proxy() {
    let own = Identity::self_signed(subject);
    let server = crate::rfc::Server::start_with(|settings| {
        let client = job(settings, "by-thumbprint", KnownBy::Thumbprints(vec![own.hash()]));
        settings.clients.push(client);
    })
    .await;
    let fields = [("grant_type", "client_credentials"), ("client_id", "by-thumbprint")];
    is_no_client(&server.post(super::TOKEN, &fields).header(HEADER, &written(&own)).send().await);
}

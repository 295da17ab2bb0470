//! The keys of what the file declares: resources, clients, and issuers whose assertions are taken.

use super::Absent::{Mistake, Off, Takes};
use super::{DAY, Group, Kind, count, row, secs};
use jeton_domain::client::Client;
use jeton_domain::registration::Bounds;
use jeton_domain::resource::Resource;
use jeton_domain::time::Millis;

const fn within(bounds: Bounds<Millis>) -> Kind {
    Kind::Duration { min: bounds.least, max: bounds.most }
}

const JWKS: Kind = Kind::Text("JWK set");
const JWKS_OF_CLIENT: &str = "The public keys that its assertions are signed with (`private_key_jwt`, RFC 7523 section 2.2): a JWK set of \
     OKP Ed25519, EC P-256 or RSA keys from 2048 bits on, as JSON. A confidential client has `secret_hashes`, this, or `jwks_uri`; \
     a secret beside keys while one replaces the other.";
const JWKS_URI_DOC: &str = "Where such keys are instead: https, or http on this machine. They are fetched every five minutes and believed for \
     an hour where that fails; also when an assertion names another, but not within ten seconds. At most 32 keys, 256 KiB, no redirect.";
pub(super) const JWKS_SAMPLE: &str =
    r#"{"keys":[{"kid":"1","kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

const JWKS_URI_SAMPLE: &str = "https://app.example.com/jwks.json";

const ALGORITHMS: Kind = Kind::Word(&["EdDSA", "ES256", "RS256"]);

/// The keys of `[resources."https://..."]`.
pub(in crate::config) const RESOURCE: Group = Group {
    section: "resources",
    doc: "A resource server, named by its identifier: an absolute URI, which becomes `aud`. One section each.",
    rows: &[
        row(
            "scopes",
            Kind::List("scopes"),
            Takes(""),
            "The scopes it owns. A scope belongs to one resource at most; those of OpenID Connect to none.",
        )
        .sample("orders:read orders:write"),
        row(
            "format",
            Kind::Word(&["jwt", "opaque"]),
            Takes("jwt"),
            "How its access tokens look: a signed JWT, which a gateway can check by itself, or opaque, which says nothing \
             to who holds it. Opaque allows 64 scopes at most.",
        ),
        row(
            "algorithm",
            ALGORITHMS,
            Takes("EdDSA"),
            "The algorithm of its JWTs. RS256 is for gateways that know nothing else: a signature costs 230 us, one of EdDSA 8. \
             Every replica must know it before one is set to it.",
        ),
        row(
            "access_token_lifetime",
            within(Resource::ACCESS_TOKEN_LIFETIME),
            Takes("5m"),
            "How long its access tokens are valid.",
        ),
        row(
            "authorization_details_types",
            Kind::List("declarations"),
            Takes(""),
            "The types of authorization details (RFC 9396) that it understands, each as `TYPE(MEMBER,MEMBER:SHAPE,...)` with all members that \
             an object of it may have; `!` after one that must be given. SHAPE is string, strings, number, boolean, object or array: \
             without one string, but for `locations`, `actions`, `datatypes`, `privileges`, which are strings. A type belongs to one \
             resource at most.",
        )
        .sample("payment_initiation(actions!,amount:object!,creditorName)"),
        row(
            "acr_values",
            Kind::List("acr values"),
            Takes(""),
            "The sign-in must have one of these `acr` values. Empty demands none.",
        )
        .sample("urn:example:loa:2"),
        row(
            "amr_values",
            Kind::List("amr values"),
            Takes(""),
            "The sign-in must have all of these `amr` values (RFC 8176). Empty demands none.",
        )
        .sample("mfa"),
        row("max_age", within(Resource::MAX_AGE), Off, "The sign-in must be no older than this.").sample("1h"),
    ],
};

/// The keys of `[clients.NAME]`.
pub(in crate::config) const CLIENT: Group = Group {
    section: "clients",
    doc: "A client, named by its client id. One section each.",
    rows: &[
        row(
            "kind",
            Kind::Word(&["confidential", "public"]),
            Mistake,
            "`confidential` authenticates, with a secret, a key or a certificate; `public` cannot keep one.",
        )
        .sample("confidential"),
        row(
            "secret_hashes",
            Kind::List("hashes"),
            Takes(""),
            "Of each secret that is valid now the hash, `sha256:` and 64 hexadecimal digits. `jeton clients secret` makes a \
             secret and prints both. Two while one replaces the other. Only for a confidential client.",
        ).secret()
        .sample("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        row("jwks", JWKS, Off, JWKS_OF_CLIENT).sample(JWKS_SAMPLE),
        row("jwks_uri", Kind::Text("URI"), Off, JWKS_URI_DOC).sample(JWKS_URI_SAMPLE),
        row(
            "tls_client_auth_subject_dn",
            Kind::Text("distinguished name"),
            Off,
            "It authenticates by a certificate whose subject is this, as a whole (`tls_client_auth`, RFC 8705 section 2.1.2; written as in \
             RFC 4514, compared letter by letter), and for which an authority of tls.client_ca_file vouches. One of these five at most.",
        )
        .sample("CN=billing,OU=Jobs,O=Example,C=DE"),
        row("tls_client_auth_san_dns", Kind::Text("host"), Off, "The same, where this host is among the alternative names.")
            .sample("billing.example.com"),
        row(
            "tls_client_auth_san_uri",
            Kind::Text("URI"),
            Off,
            "The same, where this is the only URI among the alternative names, as in a SPIFFE certificate.",
        )
        .sample("spiffe://example.com/billing"),
        row("tls_client_auth_san_ip", Kind::Text("IP address"), Off, "The same, where this address is among the alternative names.")
            .sample("192.0.2.1"),
        row("tls_client_auth_san_email", Kind::Text("mailbox"), Off, "The same, where this mailbox is among the alternative names.")
            .sample("billing@example.com"),
        row(
            "self_signed_certificates",
            Kind::List("hashes"),
            Takes(""),
            "It authenticates by one of these certificates, whoever signed them (`self_signed_tls_client_auth`, RFC 8705 section 2.2): of \
             each the hash of its DER, `sha256:` and 64 hexadecimal digits. Two while one replaces the other.",
        )
        .sample("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        row(
            "tls_client_certificate_bound_access_tokens",
            Kind::Switch,
            Takes("false"),
            "Whether its tokens are bound to the certificate that it shows, and it must show one (RFC 8705 section 3). The refresh tokens \
             of a public client are bound too; a confidential one may exchange its certificate.",
        ),
        row(
            "grant_types",
            Kind::List("grant types"),
            Mistake,
            "The ways of obtaining tokens that it may use: authorization_code, device_code, password, client_credentials, \
             refresh_token, jwt_bearer, token_exchange. Empty for a resource server that only introspects.",
        )
        .sample("authorization_code refresh_token"),
        row(
            "scopes",
            Kind::List("scopes"),
            Takes(""),
            "The scopes it may be given: those of its resources, and openid, offline_access, profile, email, address, phone.",
        )
        .sample("openid offline_access orders:read"),
        row("resources", Kind::List("resources"), Takes(""), "The resources it may be given tokens for.")
            .sample("https://orders.internal"),
        row(
            "authorization_details_types",
            Kind::List("types"),
            Takes(""),
            "The types of authorization details that it may be given: those that its resources declare.",
        )
        .sample("payment_initiation"),
        row(
            "redirect_uris",
            Kind::List("URIs"),
            Takes(""),
            "Where its authorization codes may be sent, letter by letter; of http://127.0.0.1 and http://[::1] the port may be any. \
             Needed to create codes.",
        )
        .sample("https://app.example.com/callback"),
        row(
            "serves",
            Kind::List("resources"),
            Takes(""),
            "The resources it is the server of. Over HTTP it may then introspect their tokens; a client that serves nothing sees \
             its own tokens only.",
        )
        .sample("https://orders.internal"),
        row(
            "impersonates",
            Kind::Switch,
            Takes("false"),
            "Whether a token that it gets by token_exchange without an actor token does not name it as the acting party. By default \
             each does.",
        ),
        row("idle_lifetime", within(Client::IDLE_LIFETIME), Takes("14d"), "A grant that is not used for this long expires."),
        row(
            "absolute_lifetime",
            within(Client::ABSOLUTE_LIFETIME),
            Takes("90d"),
            "However used, a grant expires after this. At least idle_lifetime.",
        ),
        row(
            "rotation",
            Kind::Word(&["always", "unbound-public", "near-expiry", "never"]),
            Takes("unbound-public"),
            "When a refresh hands out a new refresh token: `always`; `unbound-public`, which is always for a public client \
             without a sender constraint and near expiry else; `near-expiry`, when 70 % of idle_lifetime passed; `never`.",
        ),
        row(
            "reuse",
            Kind::Word(&["end-grant", "refuse"]),
            Takes("end-grant"),
            "What a proved second holder of a refresh token leads to: `end-grant` ends the grant, `refuse` refuses the \
             request only.",
        ),
        row(
            "grants_per_subject",
            count(1, 1_000),
            Takes("100"),
            "The most living grants of one subject with this client; the one that ends first makes room.",
        ),
        row(
            "id_token_algorithm",
            ALGORITHMS,
            Takes("EdDSA"),
            "The algorithm of its ID tokens, and of introspection answers that it asks for as JWTs. RS256 is for those that know \
             nothing else: a signature costs 230 us, one of EdDSA 8.",
        ),
        row("id_token_lifetime", within(Client::ID_TOKEN_LIFETIME), Takes("1h"), "How long its ID tokens are valid."),
        row(
            "backchannel_logout_uri",
            Kind::Text("URL"),
            Off,
            "Where it is told that a session ended in which it was given an ID token (OpenID Connect Back-Channel Logout 1.0): https, or \
             http on this machine. Every logout token names `sub` and `sid`.",
        )
        .sample("https://app.example.com/backchannel-logout"),
    ],
};

/// The keys of `[issuers."https://..."]`.
pub(in crate::config) const ISSUER: Group = Group {
    section: "issuers",
    doc: "An issuer whose assertions clients may show for access tokens (`urn:ietf:params:oauth:grant-type:jwt-bearer`, RFC 7523 section 2.1), \
          named by its `iss`. One section each. There is neither a refresh token nor an ID token, and a resource that demands how the user \
          signed in is not given.",
    rows: &[
        row("jwks", JWKS, Off, "Its public keys, as those of a client. Each issuer has this or `jwks_uri`.").sample(JWKS_SAMPLE),
        row("jwks_uri", Kind::Text("URI"), Off, "Where its public keys are, as those of a client.").sample(JWKS_URI_SAMPLE),
        row(
            "subject_prefix",
            Kind::Text("text"),
            Mistake,
            "Stands before each `sub` of it, so that none of its subjects is one of another issuer or of the login service, which may not \
             use it then.",
        )
        .sample("partner:"),
        row("clients", Kind::List("client ids"), Mistake, "The clients that may show its assertions. They need the grant type jwt_bearer, too.")
            .sample("web-app"),
        row("scopes", Kind::List("scopes"), Takes(""), "The scopes that they may be given for one, of those that are theirs.")
            .sample("orders:read"),
        row("resources", Kind::List("resources"), Takes(""), "The resources that they may be given tokens for, the same.")
            .sample("https://orders.internal"),
        row(
            "audience",
            Kind::Text("text"),
            Off,
            "The `aud` that its assertions must have, and no other, where it is not `issuer` at the top of this file.",
        )
        .sample("https://tokens.example.com"),
        row("assertion_lifetime", secs(10, DAY), Takes("10m"), "The longest that its assertions may be valid. Each counts once."),
    ],
};

/// The keys of `[callers.NAME]`.
pub(in crate::config) const CALLER: Group = Group {
    section: "callers",
    doc: "A service that calls over gRPC: by what it is known, and what it may do, which is nothing by default. One section each. Where there \
          is one, nobody else may call; a caller is not a client, which proves beside it who it is.",
    rows: &[
        row(
            "spiffe_ids",
            Kind::List("SPIFFE ids"),
            Takes(""),
            "It is known by a certificate with one of these as its only URI, letter by letter. An authority of `tls.caller_ca_file` must vouch \
             for it.",
        )
        .sample("spiffe://example.com/billing"),
        row(
            "dns_names",
            Kind::List("hosts"),
            Takes(""),
            "It is known by a certificate for one of these hosts. There are no wildcards, and a certificate for one is nobody's.",
        )
        .sample("billing.internal"),
        row(
            "any_certificate",
            Kind::Switch,
            Takes("false"),
            "It is whoever shows a certificate of these authorities that is no other caller's. Of one caller at most.",
        ),
        row(
            "service_accounts",
            Kind::List("namespace/name"),
            Takes(""),
            "It is known by the token of one of these Kubernetes service accounts (`authorization: Bearer`), as [caller_tokens] says.",
        )
        .sample("payments/billing"),
        row(
            "key_hashes",
            Kind::List("hashes"),
            Takes(""),
            "It is known by a key (`authorization: Bearer`) that has one of these hashes. `jeton callers new-key` makes a key; two while one \
             replaces the other.",
        ).secret()
        .sample("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        row(
            "rpcs",
            Kind::List("words"),
            Takes(""),
            "What it may call: `issue` (codes and decisions about devices too), `refresh` (and redeem codes), `exchange`, `revoke`, \
             `introspect`, `authorize` (as a gateway), `watch`, `read_keys`; for operators `explain`, `read_grants`, `rotate_keys`, `read_registry`, `write_registry`, \
             `heal`; or `*`.",
        )
        .sample("refresh introspect"),
        row(
            "clients",
            Kind::List("client ids"),
            Takes(""),
            "The clients that it may act for, or `*`, which is needed for what names no client: to revoke a grant, session, subject or key, \
             to read grants by their id or of all clients, to decide about devices.",
        )
        .sample("web-app"),
        row("resources", Kind::List("resources"), Takes(""), "The resources that it may introspect for, or `*`, which is needed to name none.")
            .sample("https://orders.internal"),
        row(
            "may_assert_certificates",
            Kind::Switch,
            Takes("false"),
            "Whether it is believed which certificate a client showed it (`client_authentication.certificate_thumbprint`).",
        ),
        row(
            "may_report_arrivals",
            Kind::Switch,
            Takes("false"),
            "Whether it is believed, where it watches, which access tokens arrived. A false report can end a grant.",
        ),
        row(
            "rate",
            count(0, 10_000_000),
            Off,
            "Calls a second of this caller to one replica, and as many at once, where `limits.caller_rate` is not right for it. 0: as many as \
             it likes.",
        )
        .sample("200000"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table::Absent;

    #[test]
    fn defaults_are_those_of_who_registers_at_run_time() {
        for (group, key, default) in [
            (&RESOURCE, "access_token_lifetime", Resource::ACCESS_TOKEN_LIFETIME.default.written()),
            (&CLIENT, "idle_lifetime", Client::IDLE_LIFETIME.default.written()),
            (&CLIENT, "absolute_lifetime", Client::ABSOLUTE_LIFETIME.default.written()),
            (&CLIENT, "id_token_lifetime", Client::ID_TOKEN_LIFETIME.default.written()),
            (&CLIENT, "grants_per_subject", Client::GRANTS_PER_SUBJECT.default.to_string()),
        ] {
            let row = group.rows.iter().find(|row| row.key == key).unwrap();
            assert!(matches!(row.absent, Absent::Takes(text) if text == default), "{key}");
        }
        let Bounds { least, most, .. } = Client::GRANTS_PER_SUBJECT;
        let row = CLIENT.rows.iter().find(|row| row.key == "grants_per_subject").unwrap();
        assert!(matches!(row.kind, Kind::Count { min, max } if (min, max) == (least.into(), most.into())));
    }
}

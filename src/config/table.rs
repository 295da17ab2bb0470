//! The table of settings: every key, its type and bounds, its default, what it means.
//!
//! Reading, environment variables, the example file and the reference all follow it. The defaults stand here and nowhere else.

use jeton_domain::time::Millis;

/// A key of a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    pub(super) absent: Absent,
    /// What the example shows, in plain words, where there is no default to show.
    pub(super) sample: &'static str,
    pub(super) doc: &'static str,
}

/// The type of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Duration {
        min: Millis,
        max: Millis,
    },
    Count {
        min: u64,
        max: u64,
    },
    /// From 0 to 1.
    Ratio,
    Switch,
    /// One of a few.
    Word(&'static [&'static str]),
    /// Anything of this shape.
    Text(&'static str),
    /// A secret-bearing or lengthy list of this.
    List(&'static str),
}

/// What holds where a key is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// This, in plain words.
    Takes(&'static str),
    /// There is none.
    Off,
    /// It must be given.
    Mistake,
}

/// A section of the file: `[name]`, or the top of the file where the name is empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) section: &'static str,
    pub(super) doc: &'static str,
    pub(super) rows: &'static [Row],
}

impl Kind {
    /// The type's name, for people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Duration { .. } => "duration",
            Self::Count { .. } => "whole number",
            Self::Ratio => "number",
            Self::Switch => "switch",
            Self::Word(_) => "word",
            Self::Text(_) => "text",
            Self::List(_) => "list",
        }
    }
}

impl Group {
    /// The environment variable of one of its keys.
    pub(super) fn variable(&self, key: &str) -> String {
        let path = if self.section.is_empty() { key.into() } else { format!("{}_{key}", self.section) };
        format!("JETON_{}", path.to_ascii_uppercase())
    }
}

const fn row(key: &'static str, kind: Kind, absent: Absent, doc: &'static str) -> Row {
    Row { key, kind, absent, sample: "", doc }
}

impl Row {
    const fn sample(mut self, sample: &'static str) -> Self {
        self.sample = sample;
        self
    }
}

const fn secs(min: u64, max: u64) -> Kind {
    Kind::Duration { min: Millis::from_secs(min), max: Millis::from_secs(max) }
}

const fn millis(min: u64, max: u64) -> Kind {
    Kind::Duration { min: Millis::new(min), max: Millis::new(max) }
}

const fn count(min: u64, max: u64) -> Kind {
    Kind::Count { min, max }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

use Absent::{Mistake, Off, Takes};

const ADDRESS: Kind = Kind::Text("IP address and port");

/// The settings of the process. Each is an environment variable too.
pub(super) const SETTINGS: [Group; 6] = [
    Group {
        section: "",
        doc: "The service as a whole. These keys stand above the first [section].",
        rows: &[
            row(
                "issuer",
                Kind::Text("URL"),
                Takes("http://127.0.0.1:8080"),
                "The `iss` of every token: an absolute http(s) URL without query, fragment and trailing slash, \
                under which /.well-known/jwks.json is reachable. Changing it makes every token foreign that was \
                handed out before.",
            ),
            row(
                "store",
                Kind::Text("store"),
                Takes("embedded:data"),
                "Where grants, keys and revocations are kept: embedded:PATH (a directory of this machine), memory: \
                (for trials; nothing is kept), redis://HOST:PORT or rediss://HOST:PORT (TLS). A password in the \
                URL is never shown; it is best given by the environment.",
            ),
            row(
                "root_key_file",
                Kind::Text("path"),
                Off,
                "The file with the ring of root keys, from which everything secret is derived: 64 hexadecimal \
                digits each, one a line or commas between, the active one first; # begins a comment. Instead of it \
                JETON_ROOT_KEY may hold the ring. On the embedded store a key is made beside the data where \
                neither is given; on Redis jeton does not start without. `jeton keys generate-root` makes a key.",
            )
            .sample("/etc/jeton/root.key"),
            row(
                "insecure",
                Kind::Switch,
                Takes("false"),
                "Allows to listen beyond loopback without TLS. Tokens and client secrets then cross the network in \
                the clear: only inside a network that encrypts by itself.",
            ),
        ],
    },
    Group {
        section: "listen",
        doc: "The addresses that are listened on. Port 0 lets the system choose one.",
        rows: &[
            row("grpc", ADDRESS, Takes("127.0.0.1:50051"), "gRPC: tokens, grants, keys, health, reflection."),
            row("http", ADDRESS, Takes("127.0.0.1:8080"), "HTTP: /.well-known/jwks.json."),
            row("admin", ADDRESS, Takes("127.0.0.1:9464"), "Liveness, readiness and metrics. Not for the outside."),
        ],
    },
    Group {
        section: "tokens",
        doc: "Rules of time that hold for all tokens. Lifetimes are set by client and by resource.",
        rows: &[
            row(
                "overlap",
                secs(1, MINUTE),
                Takes("10s"),
                "For this long after a refresh the previous refresh token gets the same new one again: two tabs, a \
                double click, a quick retry. A thief is not told apart within it, so keep it short.",
            ),
            row(
                "store_timeout",
                millis(50, 30_000),
                Takes("2s"),
                "The longest wait for one answer of the store; then the request fails as UNAVAILABLE. At most \
                limits.request_deadline.",
            ),
            row(
                "max_staleness",
                millis(100, 60_000),
                Takes("2s"),
                "Introspection trusts its view of the revocations while the view is provably younger than this; \
                else it catches up with the store first.",
            ),
        ],
    },
    Group {
        section: "signing",
        doc: "The schedule of the keys that sign tokens. jeton makes, publishes, activates and retires them by \
        itself.",
        rows: &[
            row(
                "rotation_period",
                secs(HOUR, 730 * DAY),
                Takes("30d"),
                "A key signs for this long, then the next \
                one takes over.",
            ),
            row(
                "publish_ahead",
                secs(10, 90 * DAY),
                Takes("1d"),
                "A key is published this long before it signs, so that every verifier knows it in time. At least \
                jwks_max_age, and shorter than rotation_period.",
            ),
            row(
                "jwks_max_age",
                secs(1, DAY),
                Takes("5m"),
                "For how long verifiers may keep the published keys (Cache-Control: max-age) at most.",
            ),
        ],
    },
    Group {
        section: "limits",
        doc: "What is accepted at most. What is over a limit is refused at once and by name, never queued without \
        end.",
        rows: &[
            row(
                "request_deadline",
                millis(100, 60_000),
                Takes("5s"),
                "A request is answered within this time, or \
                refused. A shorter deadline of the caller wins.",
            ),
            row(
                "max_message_bytes",
                count(4_096, 4_194_304),
                Takes("262144"),
                "The largest message that is read, \
                in bytes. 256 KiB hold a batch of 1,000 opaque tokens or of 300 JWTs.",
            ),
            row(
                "concurrency",
                count(1, 65_536),
                Takes("1024"),
                "Requests in work at the same moment, over all \
                connections. One more is refused with RESOURCE_EXHAUSTED.",
            ),
            row(
                "max_streams",
                count(1, 65_536),
                Takes("256"),
                "Requests in work at the same moment on one connection (HTTP/2 streams). A quarter of the default \
                concurrency, so that no single caller takes every place; at a millisecond each it still carries \
                256,000 requests a second.",
            ),
            row("batch_tokens", count(1, 10_000), Takes("1000"), "The most tokens in one BatchIntrospect."),
            row(
                "grants_per_subject",
                count(1, 10_000),
                Takes("1000"),
                "The most living grants of one subject, over all clients; the one that ends first makes room.",
            ),
        ],
    },
    Group {
        section: "telemetry",
        doc: "Logs and traces. Tokens, secrets and keys are in neither.",
        rows: &[
            row(
                "otlp_endpoint",
                Kind::Text("URL"),
                Off,
                "Where spans are sent, as OTLP over gRPC. No spans are \
                made where it is not set.",
            )
            .sample("http://127.0.0.1:4317"),
            row(
                "trace_sample_ratio",
                Kind::Ratio,
                Takes("0.01"),
                "The share of requests that is traced where the \
                caller did not decide (W3C trace context). 0 traces none, 1 all.",
            ),
            row(
                "log_format",
                Kind::Word(&["text", "json"]),
                Takes("text"),
                "How a log line looks: for people, or \
                one JSON object a line.",
            ),
            row(
                "log_level",
                Kind::Word(&["error", "warn", "info", "debug"]),
                Takes("info"),
                "The least level that \
                is logged. `debug` says no more than `info` in a release build.",
            ),
        ],
    },
];

const ALGORITHMS: Kind = Kind::Word(&["EdDSA", "ES256"]);

/// The keys of `[resources."https://..."]`.
pub(super) const RESOURCE: Group = Group {
    section: "resources",
    doc: "A resource server, named by its identifier: an absolute URI, which becomes `aud`. One section each.",
    rows: &[
        row(
            "scopes",
            Kind::List("scopes"),
            Takes(""),
            "The scopes it owns. A scope belongs to one resource at \
            most; those of OpenID Connect to none.",
        )
        .sample("orders:read orders:write"),
        row(
            "format",
            Kind::Word(&["jwt", "opaque"]),
            Takes("jwt"),
            "How its access tokens look: a signed JWT, \
            which a gateway can check by itself, or opaque, which says nothing to who holds it. Opaque allows 64 \
            scopes at most.",
        ),
        row("algorithm", ALGORITHMS, Takes("EdDSA"), "The algorithm of its JWTs."),
        row("access_token_lifetime", secs(10, DAY), Takes("5m"), "How long its access tokens are valid."),
        row(
            "acr_values",
            Kind::List("acr values"),
            Takes(""),
            "The sign-in must have one of these `acr` values. \
            Empty demands none.",
        )
        .sample("urn:example:loa:2"),
        row(
            "amr_values",
            Kind::List("amr values"),
            Takes(""),
            "The sign-in must have all of these `amr` values \
            (RFC 8176). Empty demands none.",
        )
        .sample("mfa"),
        row("max_age", secs(1, 3_650 * DAY), Off, "The sign-in must be no older than this.").sample("1h"),
    ],
};

/// The keys of `[clients.NAME]`.
pub(super) const CLIENT: Group = Group {
    section: "clients",
    doc: "A client, named by its client id. One section each.",
    rows: &[
        row(
            "kind",
            Kind::Word(&["confidential", "public"]),
            Mistake,
            "`confidential` authenticates with a secret; \
            `public` cannot keep one.",
        )
        .sample("confidential"),
        row(
            "secret_hashes",
            Kind::List("hashes"),
            Takes(""),
            "Of each secret that is valid now the hash, \
            `sha256:` and 64 hexadecimal digits. `jeton clients secret` makes a secret and prints both. Two while \
            one replaces the other. Only for a confidential client, which needs at least one.",
        )
        .sample("sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        row(
            "grant_types",
            Kind::List("grant types"),
            Mistake,
            "The ways of obtaining tokens that it may use: \
            authorization_code, device_code, password, client_credentials, refresh_token.",
        )
        .sample("authorization_code refresh_token"),
        row(
            "scopes",
            Kind::List("scopes"),
            Takes(""),
            "The scopes it may be given: those of its resources, and \
            openid, offline_access, profile, email, address, phone.",
        )
        .sample("openid offline_access orders:read"),
        row(
            "resources",
            Kind::List("resources"),
            Takes(""),
            "The resources it may be given tokens \
            for.",
        )
        .sample("https://orders.internal"),
        row(
            "idle_lifetime",
            secs(MINUTE, 3_650 * DAY),
            Takes("14d"),
            "A grant that is not used for this long \
            expires.",
        ),
        row(
            "absolute_lifetime",
            secs(MINUTE, 3_650 * DAY),
            Takes("90d"),
            "However used, a grant expires after \
            this. At least idle_lifetime.",
        ),
        row(
            "rotation",
            Kind::Word(&["always", "unbound-public", "near-expiry", "never"]),
            Takes("unbound-public"),
            "When a refresh hands out a new refresh token: `always`; `unbound-public`, which is always for a \
            public client without a sender constraint and near expiry else; `near-expiry`, when 70 % of \
            idle_lifetime passed; `never`.",
        ),
        row(
            "reuse",
            Kind::Word(&["end-grant", "refuse"]),
            Takes("end-grant"),
            "What a proved second holder of a \
            refresh token leads to: `end-grant` ends the grant, `refuse` refuses the request only.",
        ),
        row(
            "grants_per_subject",
            count(1, 1_000),
            Takes("100"),
            "The most living grants of one subject with this \
            client; the one that ends first makes room.",
        ),
        row("id_token_algorithm", ALGORITHMS, Takes("EdDSA"), "The algorithm of its ID tokens."),
        row("id_token_lifetime", secs(10, DAY), Takes("1h"), "How long its ID tokens are valid."),
    ],
};

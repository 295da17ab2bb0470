//! The settings of the process. Each is an environment variable too.

use super::Absent::{Off, Takes};
use super::declared::JWKS_SAMPLE;
use super::{DAY, Group, HOUR, Kind, MINUTE, count, millis, row, secs};

const HEADER: Kind = Kind::Text("header");
const ADDRESS: Kind = Kind::Text("IP address and port");

/// The settings of the process. Each is an environment variable too.
pub(in crate::config) const SETTINGS: [Group; 13] = [
    Group {
        section: "",
        doc: "The service as a whole. These keys stand above the first [section].",
        rows: &[
            row(
                "issuer",
                Kind::Text("URL"),
                Takes("http://127.0.0.1:8080"),
                "The `iss` of every token: an absolute http(s) URL without query, fragment and trailing slash, under which \
                 /.well-known/jwks.json is reachable. Changing it makes every token foreign that was handed out before.",
            ),
            row(
                "store",
                Kind::Text("store"),
                Takes("embedded:data"),
                "Where grants, keys and revocations are kept: embedded:PATH (a directory of this machine), memory: (for \
                 trials; nothing is kept), redis://HOST:PORT, redis+sentinel://HOST:PORT,HOST:PORT/NAME (the primary that \
                 these Sentinels know by that name) or redis+cluster://HOST:PORT,HOST:PORT (some nodes of a cluster). With \
                 rediss instead of redis all of it speaks TLS; ?ca_file=PATH at the end names the authorities to trust \
                 instead of the machine's. USER:PASSWORD@ before the first host is for the nodes with data, \
                 ?sentinel_user=USER&sentinel_password=PASSWORD for Sentinels that demand it; percent-encode what stands \
                 for something else. A password in the address is never shown; it is best given by the environment.",
            ).secret(),
            row(
                "root_key_file",
                Kind::Text("path"),
                Off,
                "The file with the ring of root keys, from which everything secret is derived: 64 hexadecimal digits each, \
                 one a line or commas between, the active one first; # begins a comment. Instead of it JETON_ROOT_KEY may \
                 hold the ring. On the embedded store a key is made beside the data where neither is given; on Redis jeton \
                 does not start without. `jeton keys generate-root` makes a key.",
            )
            .sample("/etc/jeton/root.key"),
            row(
                "insecure",
                Kind::Switch,
                Takes("false"),
                "Allows to listen beyond loopback without TLS, and for gRPC without a caller configured: whoever calls may then do \
                 everything. Those that are configured stay what they are. \
                 Without TLS tokens and client secrets cross the network in the clear: only inside a network that encrypts by \
                 itself, and lets only your services in.",
            ),
        ],
    },
    Group {
        section: "listen",
        doc: "The addresses that are listened on. Port 0 lets the system choose one.",
        rows: &[
            row("grpc", ADDRESS, Takes("127.0.0.1:50051"), "gRPC: tokens, grants, keys, health."),
            row(
                "reflection",
                Kind::Switch,
                Off,
                "Whether gRPC lists its services and messages to whoever asks: no caller is needed for that. Where it is not said: on loopback only.",
            )
            .sample("true"),
            row("http", ADDRESS, Takes("127.0.0.1:8080"), "HTTP: OAuth 2.0 endpoints, discovery and the public keys."),
            row("admin", ADDRESS, Takes("127.0.0.1:9464"), "Liveness, readiness, metrics and the operator's page. Not for the outside."),
        ],
    },
    Group {
        section: "tls",
        doc: "TLS of the three listeners. The files are looked at every second, and what changed is used for new connections; what does \
              not go together changes nothing and is logged.",
        rows: &[
            row(
                "certificate_file",
                Kind::Text("path"),
                Off,
                "The certificate that is shown, and after it those between it and its authority, PEM. Without it all listeners speak \
                 plain text.",
            ).reloads()
            .sample("/etc/jeton/tls.crt"),
            row("key_file", Kind::Text("path"), Off, "The private key of that certificate, PEM.").reloads().sample("/etc/jeton/tls.key"),
            row(
                "caller_ca_file",
                Kind::Text("path"),
                Off,
                "The authorities of the services that call over gRPC, PEM. What one may do is said under [callers.NAME]. Who shows no \
                 certificate of these authorities is not connected, unless some callers are known by a key or a service account. Roots, \
                 and those between that callers do not send.",
            ).reloads()
            .sample("/etc/jeton/callers.crt"),
            row(
                "client_certificates",
                Kind::Switch,
                Off,
                "Whether OAuth clients are asked for a certificate over HTTP (RFC 8705). They need not show one. A browser may ask its \
                 user which.",
            )
            .sample("true"),
            row(
                "client_ca_file",
                Kind::Text("path"),
                Off,
                "The authorities that are believed whom a certificate of an OAuth client or of a proxy names, PEM: roots, and those \
                 between that clients do not send.",
            )
            .sample("/etc/jeton/clients.crt"),
            row(
                "proxies",
                Kind::List("names"),
                Off,
                "Proxies before the HTTP listener that pass on the certificates of clients: the host or URI that an authority of \
                 client_ca_file says in a proxy's own certificate. From anybody else the header is not looked at.",
            )
            .sample("proxy.internal spiffe://example.com/proxy"),
            row(
                "proxy_header",
                Kind::Text("header"),
                Takes("Client-Cert"),
                "The header by which they do, as RFC 9440 writes it. The proxy must remove it from what clients send.",
            ),
        ],
    },
    Group {
        section: "caller_tokens",
        doc: "Tokens of Kubernetes service accounts by which callers are known (`service_accounts` under [callers.NAME]): who issues them, for \
              whom, and the keys. All of it, or nothing.",
        rows: &[
            row("issuer", Kind::Text("text"), Off, "Their `iss`: what the API server's --service-account-issuer says.").reloads()
                .sample("https://kubernetes.default.svc.cluster.local"),
            row(
                "audience",
                Kind::Text("text"),
                Off,
                "The one `aud` that they must have: the `audience` of the projected volume. One that is for the API server too is refused, for \
                 whoever is shown it could pass it on.",
            ).reloads()
            .sample("jeton"),
            row("jwks", Kind::Text("JWK set"), Off, "The issuer's public keys, as JSON. This or `jwks_uri`.").reloads()
                .sample(JWKS_SAMPLE),
            row(
                "jwks_uri",
                Kind::Text("URI"),
                Off,
                "Where these keys are instead: https. Kubernetes says it at /.well-known/openid-configuration of its issuer, and must let \
                 who is not signed in read it.",
            ).reloads()
            .sample("https://kubernetes.default.svc.cluster.local/openid/v1/jwks"),
        ],
    },
    Group {
        section: "login",
        doc: "The pages of the login service, which jeton tells clients in its metadata. They are not jeton's.",
        rows: &[
            row("authorization_endpoint", Kind::Text("URL"), Off, "Where a user signs in and consents (RFC 6749 section 3.1).")
                .sample("https://login.example.com/authorize"),
            row(
                "end_session_endpoint",
                Kind::Text("URL"),
                Off,
                "Where a user signs out (OpenID Connect RP-Initiated Logout 1.0).",
            )
            .sample("https://login.example.com/logout"),
            row(
                "verification_uri",
                Kind::Text("URL"),
                Off,
                "Where a user types the code that his device shows (RFC 8628 section 3.2). Short, for he types it too. No device is \
                 served where it is not set.",
            )
            .sample("https://login.example.com/device"),
        ],
    },
    Group {
        section: "redis",
        doc: "How the store is used where it is Redis.",
        rows: &[
            row(
                "replicas",
                count(0, 16),
                Takes("0"),
                "How many replicas each primary of Redis has. All of them must acknowledge a revocation, an Issue and a key \
                 before it is answered, so that no failover loses it; one that is down makes these fail as UNAVAILABLE. 0: \
                 nothing waits, and a failover may lose what was just acknowledged. Count what is deployed: with a smaller \
                 number here, the replica that takes over may be one that was not waited for.",
            ),
            row(
                "wait_timeout",
                millis(10, 15_000),
                Takes("500ms"),
                "For how long the replicas are waited for. At most half of tokens.store_timeout, for a write may have to wait \
                 for those before it too.",
            ),
        ],
    },
    Group {
        section: "tokens",
        doc: "Rules that hold for all tokens. Lifetimes are set by client and by resource.",
        rows: &[
            row(
                "overlap",
                secs(1, MINUTE),
                Takes("10s"),
                "For this long after a refresh the previous refresh token gets the same new one again: two tabs, a double \
                 click, a quick retry. A thief is not told apart within it, so keep it short.",
            ).reloads(),
            row(
                "code_lifetime",
                secs(1, 10 * MINUTE),
                Takes("60s"),
                "How long an authorization code may be redeemed (RFC 6749 section 4.1.2: at most ten minutes).",
            ).reloads(),
            row(
                "device_code_lifetime",
                secs(MINUTE, 30 * MINUTE),
                Takes("10m"),
                "How long a device may wait for its user, from its first request until it is handed tokens.",
            ).reloads(),
            row(
                "device_poll_interval",
                secs(1, MINUTE),
                Takes("5s"),
                "How long a device waits between two polls (RFC 8628 section 3.2). One that polls sooner must wait 5 s longer.",
            ).reloads(),
            row(
                "dpop_window",
                secs(1, 5 * MINUTE),
                Takes("60s"),
                "The `iat` of a DPoP proof may be so far from now, to either side (RFC 9449 section 11.1). Clocks of clients \
                 differ; until it would be outside, each proof is remembered in the store, so that it counts once.",
            ).reloads(),
            row(
                "dpop_nonce",
                Kind::Switch,
                Takes("false"),
                "Whether DPoP proofs must name a nonce of jeton (RFC 9449 section 8), so that none can be made ahead of its \
                 use. It costs a client one request more, every five to ten minutes, and not every client can do it.",
            ).reloads(),
            row(
                "client_assertion_lifetime",
                secs(10, HOUR),
                Takes("5m"),
                "The longest that an assertion by which a client authenticates may be valid (RFC 7523 section 3). Until it expires \
                 each is remembered in the store, so that it counts once.",
            ).reloads(),
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
                "Introspection answers from memory while what it knows of the revocations is provably no older than this; \
                 older, it asks the store, and without the store it is refused. An answer may be reused for this long at \
                 most, too (its cache advice). A revocation made on another replica is usually known within milliseconds.",
            ),
        ],
    },
    Group {
        section: "signing",
        doc: "The schedule of the keys that sign tokens. jeton makes, publishes, activates and retires them by itself.",
        rows: &[
            row(
                "rotation_period",
                secs(HOUR, 730 * DAY),
                Takes("30d"),
                "A key signs for this long, then the next one takes over.",
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
        doc: "What is accepted at most. What is over a limit is refused at once and by name, never queued without end.",
        rows: &[
            row(
                "request_deadline",
                millis(100, 60_000),
                Takes("5s"),
                "A request is answered within this time, or refused. A shorter deadline of the caller wins.",
            ),
            row(
                "concurrency",
                count(1, 65_536),
                Takes("1024"),
                "Requests in work at the same moment, over all connections. One more is refused with RESOURCE_EXHAUSTED.",
            ),
            row(
                "max_streams",
                count(1, 65_536),
                Takes("256"),
                "Requests in work at the same moment on one connection (HTTP/2 streams). A quarter of the default \
                 concurrency, so that no single caller takes every place; at a millisecond each it still carries 256,000 \
                 requests a second.",
            ),
            row(
                "connections",
                count(1, 1_000_000),
                Takes("20000"),
                "Connections of one listener at the same moment. One more is closed. Each needs a file descriptor of the process, and a \
                 watcher is one.",
            ),
            row(
                "connections_per_address",
                count(1, 1_000_000),
                Takes("2000"),
                "Of these from one address, or one network of 64 bits of IPv6. Where all come through a proxy or a node, these are that \
                 address.",
            ),
            row(
                "caller_rate",
                count(0, 10_000_000),
                Takes("50000"),
                "Calls a second of one caller to one replica, and as many at once, unless it has a `rate` of its own. One more is refused with \
                 RESOURCE_EXHAUSTED. Over HTTP it is requests of one address (429). 0: as many as it likes, as where no caller is configured.",
            ),
            row(
                "failure_rate",
                count(0, 1_000_000),
                Takes("10"),
                "Failures a second to prove who asks, and ten times as many at once: of one caller, or one address where none is known, and one \
                 client. Over it, what is wrong is refused with RESOURCE_EXHAUSTED (429 over HTTP), and assertions and tokens are not looked \
                 at any more; a right secret, key or certificate is taken all the same. 0: as many as he likes.",
            ),
            row(
                "shutdown_delay",
                millis(100, 60_000),
                Off,
                "How long it goes on as before, SIGTERM received, while it says that it is not ready: until nobody is sent here any more. \
                 Then connections are told to go, and requests in work may end within request_deadline and 5 s. SIGINT does not wait. As \
                 long as the platform takes to notice: 5s and more in Kubernetes, and with the rest less than terminationGracePeriodSeconds.",
            )
            .sample("5s"),
            row(
                "grants_per_subject",
                count(1, 10_000),
                Takes("1000"),
                "The most living grants of one subject, over all clients; the one that ends first makes room.",
            ).reloads(),
            row(
                "view_entries",
                count(1_000, 100_000_000),
                Takes("4000000"),
                "The most revocations that are held in memory, at most 64 bytes each. An alarm tells at 80 %. Over it none is \
                 dropped: what is settled is asked of the store, which makes introspection slower.",
            ),
            row(
                "watchers",
                count(1, 100_000),
                Takes("10000"),
                "Streams of revocations (Watch) open at the same moment: gateways and services that check tokens by themselves, \
                 one each. One more is refused with RESOURCE_EXHAUSTED. They take no place of `concurrency`.",
            ),
            row(
                "token_cache_bytes",
                count(0, 64 << 30),
                Takes("67108864"),
                "The most memory for access tokens that were proved, so that none is proved twice: about 1 KiB each. Whether one \
                 expired or was revoked is asked each time all the same. 0 keeps none.",
            ),
        ],
    },
    Group {
        section: "telemetry",
        doc: "Logs, traces and metrics. Tokens, secrets and keys are in none of them.",
        rows: &[
            row(
                "otlp_endpoint",
                Kind::Text("URL"),
                Off,
                "Where spans, and metrics where metrics_interval is set, are sent: OTLP over gRPC. No spans are made where it is not set. Of \
                 https the machine's authorities are trusted, and those of outbound.ca_file.",
            )
            .sample("http://127.0.0.1:4317"),
            row(
                "trace_sample_ratio",
                Kind::Ratio,
                Takes("0.01"),
                "The share of requests that is traced where the caller did not decide (W3C trace context). 0 traces none, 1 \
                 all.",
            ),
            row(
                "metrics_interval",
                secs(1, HOUR),
                Off,
                "So often metrics are sent to otlp_endpoint too, as OTLP. Prometheus finds them on the admin port whatever is set here.",
            )
            .sample("30s"),
            row(
                "log_format",
                Kind::Word(&["text", "json"]),
                Takes("text"),
                "How a log line looks: for people, or one JSON object a line.",
            ),
            row(
                "log_level",
                Kind::Word(&["error", "warn", "info", "debug"]),
                Takes("info"),
                "The least level that is logged. `debug` says no more than `info` in a release build.",
            ).reloads(),
        ],
    },
    Group {
        section: "audit",
        doc: "The audit stream (docs/audit.md): who did what to which grant. Tokens, subjects and sessions stand in it as keyed hashes. There is \
              none where no place for it is set.",
        rows: &[
            row(
                "file",
                Kind::Text("path"),
                Off,
                "The file that it is written to, a line each; - is standard output. One process writes \
                 a file; rotate it by renaming it.",
            )
            .sample("/var/lib/jeton/audit.log"),
            row(
                "otlp_endpoint",
                Kind::Text("URL"),
                Off,
                "A collector that it is sent to in place of a file, as OTLP over gRPC: a log record each line. Trusted as that of [telemetry].",
            )
            .sample("http://127.0.0.1:4317"),
        ],
    },
    Group {
        section: "outbound",
        doc: "What jeton asks of others, or tells them: over HTTP at addresses that clients and issuers are configured with, and nowhere else; and whom \
              it trusts there and at collectors.",
        rows: &[
            row(
                "ca_file",
                Kind::Text("path"),
                Off,
                "A file of certificate authorities, PEM, that are trusted there beside the machine's.",
            )
            .sample("/etc/jeton/authorities.pem"),
        ],
    },
    Group {
        section: "gateway",
        doc: "What services behind a gateway are told that asks jeton about each request (docs/gateways.md). Copies of these headers that come \
              with a request are overwritten or removed.",
        rows: &[
            row("subject_header", HEADER, Takes("X-Jeton-Subject"), "The header with the subject (`sub`)."),
            row("client_header", HEADER, Takes("X-Jeton-Client"), "The header with the client (`client_id`)."),
            row("scope_header", HEADER, Takes("X-Jeton-Scope"), "The header with the scopes, a space between."),
            row("session_header", HEADER, Takes("X-Jeton-Session"), "The header with the session (`sid`), where there is one."),
            row("acr_header", HEADER, Takes("X-Jeton-Acr"), "The header with the authentication context (`acr`), where there is one."),
            row(
                "auth_time_header",
                HEADER,
                Takes("X-Jeton-Auth-Time"),
                "The header with the moment of the sign-in (`auth_time`) in seconds since the epoch, where there was one.",
            ),
            row(
                "phantom_lifetime",
                secs(10, 10 * MINUTE),
                Takes("1m"),
                "How long a JWT is valid that stands for a token where a route demands it, at most: it never outlives the token. One is used \
                 for half of that time. A revocation does not reach a service that checks it by its signature alone, and nothing else.",
            ).reloads(),
        ],
    },
];

//! What a single value must be beyond its type, and what does not go together. Must not live here: clients and resources.

use super::duration::written;
use super::mistake::quoted;
use super::section::Section;
use super::settings::{Audit, Gateway, Limits, Redis, Settings, Signing, Tls, Tokens};
use jeton_domain::certificate::CertificateName;
use jeton_domain::client::{KnownBy, MutualTls};
use jeton_domain::time::Millis;
use std::net::{IpAddr, SocketAddr};

/// The issuer (RFC 8414 section 2, without its demand for https, so that loopback works).
pub(super) fn issuer(text: &str) -> Result<String, String> {
    const RIGHT: &str = "write an absolute URL such as https://tokens.example.com";
    let authority = http_authority(text).ok_or_else(|| format!("is no http or https URL: {RIGHT}"))?;
    if authority.contains('@') {
        return Err(format!("must not hold a user or password: {RIGHT}"));
    }
    if text.contains(['?', '#']) {
        return Err(format!("must not have a query or fragment: {RIGHT}"));
    }
    if text.ends_with('/') {
        return Err(format!("must not end with a slash, for `iss` is compared letter by letter: {RIGHT}"));
    }
    Ok(text.into())
}

/// A page that a browser is sent to: no fragment (RFC 6749 section 3.1).
pub(super) fn page(text: &str) -> Result<String, String> {
    let authority =
        http_authority(text).ok_or("is no http or https URL: write one such as https://login.example.com/authorize")?;
    if authority.contains('@') || text.contains('#') {
        return Err("must have neither user, password nor fragment".into());
    }
    Ok(text.into())
}

/// A collector.
pub(super) fn otlp_endpoint(text: &str) -> Result<String, String> {
    let authority = http_authority(text).ok_or("is no http or https URL: write one such as http://127.0.0.1:4317")?;
    if authority.contains('@') {
        return Err("must not hold a user or password: write it such as http://127.0.0.1:4317".into());
    }
    let rest = text.split_once("://").and_then(|(_, rest)| rest.strip_prefix(authority));
    if rest.is_none_or(|rest| !matches!(rest, "" | "/")) {
        return Err(
            "must have nothing after host and port, for over gRPC nothing of it is used: write it such as http://127.0.0.1:4317"
                .into(),
        );
    }
    Ok(text.into())
}

/// Where the audit stream goes, which is one place.
pub(super) fn audit(section: &Section<'_>) -> Audit {
    let (file, endpoint) = (section.text("file", path), section.text("otlp_endpoint", otlp_endpoint));
    if section.is_given("file") && section.is_given("otlp_endpoint") {
        let file = section.place("file").text;
        section.mistake("otlp_endpoint", format!("is one place too many, for {file} is set too: remove one of them"));
    }
    if endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http:") && !is_local(endpoint)) {
        section.warning(
            "otlp_endpoint",
            "is plain text and not of this machine: who sits between reads the stream, and can keep it",
        );
    }
    Audit { file, otlp_endpoint: endpoint }
}

/// How often metrics are sent, where it is said whereto.
pub(super) fn metrics_interval(section: &Section<'_>) -> Option<Millis> {
    let interval = section.optional_duration("metrics_interval");
    if interval.is_some() && !section.is_given("otlp_endpoint") {
        section.mistake("metrics_interval", "needs otlp_endpoint too: it says where metrics are sent");
    }
    interval
}

/// Host and port of an http(s) URL, with a user where there is one; none where it is no such URL.
fn http_authority(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let (host, port) = host_and_port(place);
    let sound = !host.is_empty()
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
        && text.len() <= 512
        && text.chars().all(|c| c.is_ascii_graphic());
    sound.then_some(authority)
}

/// Host and port of an authority without a user; an IPv6 address keeps its brackets (RFC 3986 section 3.2.2).
pub(super) fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// An address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().ok().ok_or_else(|| "is no IP address and port: write it such as 127.0.0.1:8080 or [::1]:8080".into())
}

/// A path that can exist.
pub(super) fn path(text: &str) -> Result<std::path::PathBuf, String> {
    if text.is_empty() || text.contains('\0') { Err("is no path".into()) } else { Ok(text.into()) }
}

/// The sections that relations are checked between.
pub(super) struct Sections<'a> {
    pub(super) top: &'a Section<'a>,
    pub(super) listen: &'a Section<'a>,
    pub(super) tls: &'a Section<'a>,
    pub(super) caller_tokens: &'a Section<'a>,
    pub(super) redis: &'a Section<'a>,
    pub(super) tokens: &'a Section<'a>,
    pub(super) signing: &'a Section<'a>,
    pub(super) limits: &'a Section<'a>,
}

impl Sections<'_> {
    fn is_tls_sound(&self) -> bool {
        ["certificate_file", "key_file", "caller_ca_file"].into_iter().all(|key| self.tls.is_sound(key))
    }
}

/// Reports what does not go together.
pub(super) fn relations(settings: &Settings, sections: &Sections<'_>) {
    listeners(settings, sections);
    callers(settings, sections);
    schedule(&settings.signing, sections.signing);
    waits(&settings.tokens, &settings.limits, sections);
    replicas(&settings.redis, &settings.tokens, settings.store.is_redis(), sections);
    certificates(settings, sections.tls);
    if settings.store == super::StoreUrl::Memory {
        sections.top.warning("store", "nothing is kept when the process ends: for trials only");
    }
    if sections.top.is_sound("issuer") && settings.issuer.starts_with("http://") {
        if settings.tls.is_some() {
            let problem = "is http, and with [tls] this server answers https only: what its metadata names is not there";
            sections.top.warning("issuer", problem);
        } else if !is_local(&settings.issuer) {
            sections.top.warning("issuer", "is http and not of this machine: verifiers may demand https (RFC 8414 section 2)");
        }
    }
}

/// TLS of the listeners. What goes with it is no use without it.
pub(super) fn tls(section: &Section<'_>) -> Option<Tls> {
    let [certificate, key, callers, clients] =
        ["certificate_file", "key_file", "caller_ca_file", "client_ca_file"].map(|file| section.text(file, path));
    let client_certificates = section.switch("client_certificates");
    if clients.is_some() && !client_certificates && section.is_sound("client_certificates") {
        section.mistake("client_ca_file", "is of no use where clients are not asked: set client_certificates = true too");
    }
    let (proxies, proxy_header) = (proxies(section, clients.is_some()), section.text("proxy_header", header));
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            Some(Tls { certificate, key, callers, client_certificates, clients, proxies, proxy_header: proxy_header? })
        }
        (Some(_), None) => incomplete(section, "key_file", "is missing beside certificate_file"),
        (None, Some(_)) => incomplete(section, "certificate_file", "is missing beside key_file"),
        (None, None) if callers.is_some() => incomplete(section, "caller_ca_file", "needs certificate_file and key_file too"),
        (None, None) if client_certificates => {
            incomplete(section, "client_certificates", "needs certificate_file and key_file too")
        }
        (None, None) => None,
    }
}

fn proxies(section: &Section<'_>, has_authorities: bool) -> Vec<CertificateName> {
    let entries = section.list("proxies");
    if !entries.is_empty() && !has_authorities && section.is_sound("client_ca_file") {
        section.mistake("proxies", "need client_ca_file: nobody else says whose certificate is a proxy's");
    }
    let mut names = Vec::new();
    for entry in &entries {
        let name = if entry.text.contains(':') { CertificateName::uri(&entry.text) } else { CertificateName::dns(&entry.text) };
        match name {
            Ok(name) => names.push(name),
            Err(problem) => section.entry_mistake("proxies", entry, format!("{} {problem}", quoted(&entry.text))),
        }
    }
    names
}

/// The name of a header (RFC 9110 section 5.1), without the underscore that some servers take for a dash.
fn header(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if is_name { Ok(text.into()) } else { Err("is no name of a header: letters, digits and dashes, such as Client-Cert".into()) }
}

/// Headers that mean something to whoever reads a request.
const MEANT: [&str; 10] = [
    "authorization",
    "dpop",
    "host",
    "cookie",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "te",
    "upgrade",
];

/// What services behind gateways are told: each in a header of its own.
pub(super) fn gateway(section: &Section<'_>) -> Option<Gateway> {
    const KEYS: [&str; 6] =
        ["subject_header", "client_header", "scope_header", "session_header", "acr_header", "auth_time_header"];
    let headers = KEYS.map(|key| section.text(key, header));
    let mut taken: Vec<String> = Vec::new();
    for (key, name) in KEYS.into_iter().zip(&headers) {
        let name = name.as_deref().unwrap_or_default().to_ascii_lowercase();
        if MEANT.contains(&name.as_str()) {
            section.mistake(key, format!("{} has a meaning of its own: choose another name", quoted(&name)));
        } else if taken.contains(&name) {
            section.mistake(key, format!("{} is the name of another one: give each its own", quoted(&name)));
        }
        taken.push(name);
    }
    let [subject_header, client_header, scope_header, session_header, acr_header, auth_time_header] = headers;
    Some(Gateway {
        subject_header: subject_header?,
        client_header: client_header?,
        scope_header: scope_header?,
        session_header: session_header?,
        acr_header: acr_header?,
        auth_time_header: auth_time_header?,
        phantom_lifetime: section.duration("phantom_lifetime"),
    })
}

fn incomplete(section: &Section<'_>, key: &'static str, problem: &str) -> Option<Tls> {
    if ["certificate_file", "key_file"].into_iter().all(|file| section.is_sound(file)) {
        section.mistake(key, problem);
    }
    None
}

fn listeners(settings: &Settings, sections: &Sections<'_>) {
    let Settings { listen, insecure, tls, .. } = settings;
    let (section, insecure) = (sections.listen, *insecure);
    let all = [("grpc", listen.grpc), ("http", listen.http), ("admin", listen.admin)];
    for (key, address) in
        all.into_iter().filter(|(key, address)| section.is_sound(key) && !address.ip().to_canonical().is_loopback())
    {
        let (lacks, cure) = match tls {
            None => ("TLS", "set certificate_file and key_file under [tls]"),
            Some(_) if key == "grpc" && settings.callers.is_empty() => {
                ("KNOWN CALLERS", "write a section [callers.NAME] for each service that calls")
            }
            Some(_) => continue,
        };
        if insecure {
            let problem =
                format!("{address} is open beyond this machine WITHOUT {lacks}, as `insecure` allows: {}", danger(lacks));
            section.warning(key, &problem);
        } else if sections.top.is_sound("insecure") && sections.is_tls_sound() {
            let problem = format!(
                "{address} is open beyond this machine without {}: bind it to 127.0.0.1, {cure}, or set insecure = true (--insecure, \
                 JETON_INSECURE) inside a network that encrypts by itself and lets only your services in",
                if lacks == "TLS" { lacks } else { "known callers" }
            );
            section.mistake(key, problem);
        }
    }
    let collides = |a: SocketAddr, b: SocketAddr| a.port() == b.port() && a.port() != 0 && same_place(a.ip(), b.ip());
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        if let (Some((first, a)), Some((second, b))) = (all.get(one), all.get(other))
            && collides(*a, *b)
            && section.is_sound(first)
            && section.is_sound(second)
        {
            let key = if section.is_given(second) { second } else { first };
            section.mistake(key, format!("{first} and {second} both listen on port {}: give each its own", a.port()));
        }
    }
}

/// A certificate alone says who somebody is, and not what he may do.
fn callers(settings: &Settings, sections: &Sections<'_>) {
    let asks = settings.tls.as_ref().is_some_and(|tls| tls.callers.is_some());
    if asks && settings.callers.is_empty() && !settings.insecure && sections.top.is_sound("insecure") {
        sections.tls.mistake(
            "caller_ca_file",
            "is set, and no caller is configured, so that nobody may do anything: write [callers.NAME] for each service, or one with \
             any_certificate = true, rpcs = [\"*\"], clients = [\"*\"] and resources = [\"*\"] where whoever has a certificate may do \
             everything",
        );
    }
    if settings.caller_tokens.is_some() && !settings.callers.any_by_service_account() {
        sections.caller_tokens.warning("issuer", "is of no use: no caller is known by its service account");
    }
    if !settings.callers.is_empty()
        && settings.tls.is_none()
        && settings.callers.any_by_bearer()
        && !settings.listen.grpc.ip().to_canonical().is_loopback()
    {
        sections.listen.warning("grpc", "is plain text, and callers show keys or tokens: who reads one may do what they may");
    }
}

fn danger(lacks: &str) -> &'static str {
    if lacks == "TLS" { "tokens and secrets cross the network in the clear" } else { "whoever calls may do everything" }
}

fn same_place(one: IpAddr, other: IpAddr) -> bool {
    one == other || one.is_unspecified() || other.is_unspecified()
}

/// Clients that can show no certificate, or whose certificate nobody vouches for, cannot prove who they are.
fn certificates(settings: &Settings, section: &Section<'_>) {
    let (asked, vouched) = settings.tls.as_ref().map_or((false, false), |tls| (tls.client_certificates, tls.clients.is_some()));
    for client in &settings.clients {
        let MutualTls { authenticates, binds } = &client.mutual_tls;
        if !asked && (authenticates.is_some() || *binds) {
            let problem = format!("is not set, and client {} is to show a certificate over HTTP", quoted(client.id.as_str()));
            section.warning("client_certificates", &problem);
        } else if !vouched && matches!(authenticates, Some(KnownBy::Name(_))) {
            let problem = format!("is not set, and nobody else vouches for client {}", quoted(client.id.as_str()));
            section.warning("client_ca_file", &problem);
        }
    }
}

fn schedule(signing: &Signing, section: &Section<'_>) {
    let (ahead, age, period) = (signing.publish_ahead, signing.jwks_max_age, signing.rotation_period);
    if section.is_sound("publish_ahead") && section.is_sound("jwks_max_age") && ahead < age {
        let key = if section.is_given("publish_ahead") { "publish_ahead" } else { "jwks_max_age" };
        let problem = format!(
            "publish_ahead ({}) is shorter than jwks_max_age ({}): verifiers would meet keys that they do not know yet",
            written(ahead),
            written(age)
        );
        section.mistake(key, problem);
    }
    if section.is_sound("publish_ahead") && section.is_sound("rotation_period") && ahead >= period {
        let key = if section.is_given("publish_ahead") { "publish_ahead" } else { "rotation_period" };
        let problem = format!(
            "publish_ahead ({}) is not shorter than rotation_period ({}): the next key would be due before this one signs",
            written(ahead),
            written(period)
        );
        section.mistake(key, problem);
    }
}

fn waits(tokens: &Tokens, limits: &Limits, sections: &Sections<'_>) {
    let sound = sections.tokens.is_sound("store_timeout") && sections.limits.is_sound("request_deadline");
    if sound && tokens.store_timeout > limits.request_deadline {
        let (wait, deadline) = (written(tokens.store_timeout), written(limits.request_deadline));
        let problem = format!(
            "[tokens] store_timeout ({wait}) is longer than [limits] request_deadline ({deadline}): no request could wait \
             for it"
        );
        if sections.tokens.is_given("store_timeout") || !sections.limits.is_given("request_deadline") {
            sections.tokens.mistake("store_timeout", problem);
        } else {
            sections.limits.mistake("request_deadline", problem);
        }
    }
}

fn replicas(redis: &Redis, tokens: &Tokens, on_redis: bool, sections: &Sections<'_>) {
    if redis.replicas == 0 || !sections.redis.is_sound("replicas") {
        return;
    }
    if !on_redis && sections.top.is_sound("store") {
        sections.redis.warning("replicas", "only Redis has replicas, and the store is none: nothing is waited for");
        return;
    }
    let sound = sections.redis.is_sound("wait_timeout") && sections.tokens.is_sound("store_timeout");
    if sound && redis.wait_timeout > tokens.store_timeout.percent(50) {
        let (wait, most) = (written(redis.wait_timeout), written(tokens.store_timeout));
        let problem = format!(
            "[redis] wait_timeout ({wait}) is longer than half of [tokens] store_timeout ({most}): a write that waits for \
             those before it would not be answered in time"
        );
        if sections.redis.is_given("wait_timeout") || !sections.tokens.is_given("store_timeout") {
            sections.redis.mistake("wait_timeout", problem);
        } else {
            sections.tokens.mistake("store_timeout", problem);
        }
    }
}

fn is_local(url: &str) -> bool {
    let (host, _) = host_and_port(http_authority(url).unwrap_or_default());
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

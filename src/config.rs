//! The settings: read from one file, the environment and the command line, checked as a whole, all mistakes told at once.
//!
//! Lives here: the table of settings and what follows from it (reading, environment variables, example, reference), the
//! declared clients and resources, the ring of root keys as text. This is the only room that reads the environment.
//! Must not live here: anything that acts on a setting.

mod callers;
mod check;
mod client_secret;
mod clients;
mod duration;
pub mod environment;
mod issuers;
mod keys;
mod mistake;
mod mutual_tls;
mod reload;
mod render;
mod resources;
mod roots;
mod section;
mod settings;
mod source;
mod store_url;
mod table;
mod value;

pub use client_secret::{generate_caller_key, generate_secret, written_hash};
pub use environment::{Environment, ProcessEnvironment};
pub use mistake::{Mistake, Mistakes};
pub use reload::Change;
pub use render::{example, reference_markdown};
pub use roots::{RingMistake, RootKeys, written_key};
pub use settings::{
    Audit, Gateway, Limits, Listen, LogFormat, LogLevel, Login, Outbound, Redis, Settings, Signing, Telemetry, Tls, Tokens,
};
pub use store_url::StoreUrl;

use jeton_domain::secret::{is_one, shown};
use jeton_domain::time::Millis;
use mistake::{Place, Report, suggestion};
use reload::Said;
use section::{Outranking, Section};
use source::Source;
use std::fmt;
use std::path::{Path, PathBuf};
use table::{CALLER, CLIENT, DECLARED, Group, ISSUER, RESOURCE, SETTINGS};
use toml_edit::TableLike;

/// The file that is read where none is named.
const FILE: &str = "jeton.toml";
/// The ceiling where no resource is configured.
const CEILING_WITHOUT_RESOURCES: Millis = Millis::from_secs(300);

/// What the command line says; it outranks environment and file.
#[derive(Clone, Default)]
pub struct Overrides {
    /// `--store`. May hold a password, so `Debug` leaves it out.
    pub store: Option<String>,
    /// `--grpc-listen`.
    pub grpc_listen: Option<String>,
    /// `--http-listen`.
    pub http_listen: Option<String>,
    /// `--admin-listen`.
    pub admin_listen: Option<String>,
    /// `--insecure`; false says nothing.
    pub insecure: bool,
}

impl fmt::Debug for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = self.store.as_ref().map(|_| "..");
        write!(f, "Overrides {{ store: {store:?}, grpc: {:?}, http: {:?}, ", self.grpc_listen, self.http_listen)?;
        write!(f, "admin: {:?}, insecure: {} }}", self.admin_listen, self.insecure)
    }
}

/// Settings without a mistake.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// What is probably not meant, one line each, with its place.
    pub warnings: Vec<String>,
    /// The file that was read; none where everything came from defaults, environment and command line.
    pub file: Option<PathBuf>,
    said: Said,
}

/// Reads and checks everything.
///
/// Without `file` it is `JETON_CONFIG`, else `jeton.toml` of the working directory where there is one, else defaults.
///
/// # Errors
/// Every mistake there is, with its line; but of a file that is no TOML only the place where it stops to be.
pub fn load(file: Option<&Path>, env: &dyn Environment, overrides: &Overrides) -> Result<Loaded, Mistakes> {
    let report = Report::default();
    let named = file.map(Path::to_path_buf).or_else(|| set(env, environment::CONFIG).map(PathBuf::from));
    let path = named.or_else(|| Some(PathBuf::from(FILE)).filter(|path| path.exists()));
    let source = match &path {
        Some(path) => Source::read(path, &report),
        None => Some(Source::none()),
    };
    let document = source.as_ref().and_then(|source| source.parse(&report));
    let settings = match (&source, &document) {
        (Some(source), Some(document)) => {
            warn_of_unknown_variables(env, &report);
            Reading { source, top: document.as_table(), report: &report }.settings(env, overrides)
        }
        _ => None,
    };
    match (report.conclude()?, settings) {
        ((warnings, said), Some(settings)) => Ok(Loaded { settings, warnings, file: path, said }),
        (_, None) => Err(Mistakes::defect()),
    }
}

/// One file being read.
struct Reading<'a> {
    source: &'a Source,
    top: &'a dyn TableLike,
    report: &'a Report,
}

impl<'a> Reading<'a> {
    fn settings(&self, env: &dyn Environment, overrides: &Overrides) -> Option<Settings> {
        let outranking = SETTINGS.each_ref().map(|group| outranking(group, env, overrides));
        let [top, listen, tls, caller_tokens, login, redis, tokens, signing, limits, telemetry, audit, outbound, gateway] = &{
            let mut outranking = outranking.into_iter();
            SETTINGS.each_ref().map(|group| self.section(group, outranking.next().unwrap_or_default()))
        };
        let resources = resources::read(self.named_sections(&RESOURCE));
        let clients = clients::read(self.named_sections(&CLIENT), &resources);
        let issuers = issuers::read(self.named_sections(&ISSUER), &resources);
        let (told_tls, token_terms) = (check::tls(tls), callers::tokens(caller_tokens));
        let grounds = callers::Grounds {
            certificates: tls.is_given("caller_ca_file"),
            tokens: caller_tokens.is_given("issuer") || caller_tokens.is_given("audience"),
        };
        let callers = callers::read(self.named_sections(&CALLER), grounds);
        let ceiling = resources.iter().map(|resource| resource.access_token_lifetime).max();
        let store = top.text("store", StoreUrl::parse)?;
        let settings = Settings {
            issuer: top.text("issuer", check::issuer)?,
            root_keys: self.root_keys(top, env, &store),
            store,
            listen: Listen {
                grpc: listen.text("grpc", check::address)?,
                reflection: listen.optional_switch("reflection"),
                http: listen.text("http", check::address)?,
                admin: listen.text("admin", check::address)?,
            },
            tls: told_tls,
            callers,
            caller_tokens: token_terms,
            login: Login {
                authorization_endpoint: login.text("authorization_endpoint", check::page),
                end_session_endpoint: login.text("end_session_endpoint", check::page),
                verification_uri: login.text("verification_uri", check::page),
            },
            insecure: top.switch("insecure"),
            redis: Redis { replicas: redis.count("replicas"), wait_timeout: redis.duration("wait_timeout") },
            tokens: Tokens {
                overlap: tokens.duration("overlap"),
                code_lifetime: tokens.duration("code_lifetime"),
                device_code_lifetime: tokens.duration("device_code_lifetime"),
                device_poll_interval: tokens.duration("device_poll_interval"),
                dpop_window: tokens.duration("dpop_window"),
                dpop_nonce: tokens.switch("dpop_nonce"),
                client_assertion_lifetime: tokens.duration("client_assertion_lifetime"),
                store_timeout: tokens.duration("store_timeout"),
                max_staleness: tokens.duration("max_staleness"),
                access_token_ceiling: ceiling.unwrap_or(CEILING_WITHOUT_RESOURCES),
            },
            signing: Signing {
                rotation_period: signing.duration("rotation_period"),
                publish_ahead: signing.duration("publish_ahead"),
                jwks_max_age: signing.duration("jwks_max_age"),
            },
            limits: Limits {
                request_deadline: limits.duration("request_deadline"),
                concurrency: limits.count("concurrency"),
                max_streams: limits.count("max_streams"),
                connections: limits.count("connections"),
                connections_per_address: limits.count("connections_per_address"),
                caller_rate: limits.count("caller_rate"),
                failure_rate: limits.count("failure_rate"),
                shutdown_delay: limits.optional_duration("shutdown_delay"),
                grants_per_subject: limits.count("grants_per_subject"),
                view_entries: limits.count("view_entries"),
                watchers: limits.count("watchers"),
                token_cache_bytes: limits.count("token_cache_bytes"),
            },
            telemetry: Telemetry {
                otlp_endpoint: telemetry.text("otlp_endpoint", check::otlp_endpoint),
                trace_sample_ratio: telemetry.ratio("trace_sample_ratio"),
                metrics_interval: check::metrics_interval(telemetry),
                log_format: telemetry.word("log_format", LogFormat::parse)?,
                log_level: telemetry.word("log_level", LogLevel::parse)?,
            },
            audit: check::audit(audit),
            outbound: Outbound { ca_file: outbound.text("ca_file", check::path) },
            gateway: check::gateway(gateway)?,
            clients,
            issuers,
            resources,
        };
        let names: Vec<&str> =
            SETTINGS.iter().chain(DECLARED).map(|group| group.section).filter(|name| !name.is_empty()).collect();
        top.refuse_unknown_keys(&names);
        for section in [listen, tls, caller_tokens, login, redis, tokens, signing, limits, telemetry, audit, outbound, gateway] {
            section.refuse_unknown_keys(&[]);
        }
        check::relations(&settings, &check::Sections { top, listen, tls, caller_tokens, redis, tokens, signing, limits });
        Some(settings)
    }

    fn section(&self, group: &'static Group, outranking: Outranking) -> Section<'a> {
        let title = if group.section.is_empty() { String::new() } else { format!("[{}]", group.section) };
        let section = Section::new(group, title, self.source, self.report).outranked(outranking);
        if group.section.is_empty() { section.at_top(self.top) } else { section.under(self.top, group.section) }
    }

    /// The sections under `[clients]` or `[resources]`, in the order of the file.
    fn named_sections(&self, group: &'static Group) -> impl Iterator<Item = (&'a str, Section<'a>)> {
        let (source, report) = (self.source, self.report);
        let whole = Section::new(group, format!("[{}]", group.section), source, report).under(self.top, group.section);
        whole.table().into_iter().flat_map(move |table| {
            table.iter().filter_map(move |(name, _)| {
                // The ids that other servers gave to clients may be 64 hexadecimal digits.
                let is_secret = is_one(name) || (group.section != "clients" && shown(name) != name);
                let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
                let bare = !name.is_empty() && !is_secret && name.chars().all(is_plain);
                let written = if bare { name.into() } else { format!("\"{}\"", mistake::quoted(name).trim_matches('`')) };
                let section = Section::new(group, format!("[{}.{written}]", group.section), source, report).under(table, name);
                if is_secret {
                    section.mistake_of_name(
                        "is a key or a secret by its looks: write a name, for logs and answers repeat it, and make another secret",
                    );
                }
                // What is no section was reported as that.
                section.table().is_some().then_some((name, section))
            })
        })
    }

    fn root_keys(&self, top: &Section<'_>, env: &dyn Environment, store: &StoreUrl) -> RootKeys {
        let file = top.text("root_key_file", check::path);
        let variable = Place::outside(environment::ROOT_KEY);
        match (file, set(env, environment::ROOT_KEY).map(zeroize::Zeroizing::new)) {
            (Some(_), Some(_)) => {
                self.report.mistake(variable, "is set, and root_key_file too: keep one, so that it is plain which ring holds");
            }
            (Some(path), None) => return roots::read_file(&path, &top.place("root_key_file"), self.report),
            (None, Some(text)) => match RootKeys::parse(&text) {
                Ok(keys) if keys.is_empty() => self.report.mistake(variable, "holds no key: run `jeton keys generate-root`"),
                Ok(keys) => return keys,
                Err(mistakes) => {
                    for RingMistake { problem, .. } in mistakes {
                        self.report.mistake(variable.clone(), problem);
                    }
                }
            },
            (None, None) if store.is_redis() && top.is_sound("root_key_file") => top.mistake(
                "store",
                "a Redis needs a root key that all replicas share: run `jeton keys generate-root` and give the key as \
                 root_key_file or JETON_ROOT_KEY",
            ),
            (None, None) => {}
        }
        RootKeys::default()
    }
}

/// What environment and command line say about a group, the command line last.
fn outranking(group: &'static Group, env: &dyn Environment, overrides: &Overrides) -> Outranking {
    let mut outranking = Outranking::new();
    for (key, variable) in group.variables() {
        if let Some(words) = set(env, &variable) {
            outranking.insert(key, (words, Place::outside(variable)));
        }
    }
    let flags = [
        ("", "store", "--store", overrides.store.clone()),
        ("listen", "grpc", "--grpc-listen", overrides.grpc_listen.clone()),
        ("listen", "http", "--http-listen", overrides.http_listen.clone()),
        ("listen", "admin", "--admin-listen", overrides.admin_listen.clone()),
        ("", "insecure", "--insecure", overrides.insecure.then(|| "true".into())),
    ];
    for (section, key, flag, words) in flags {
        if let Some(words) = words.filter(|_| section == group.section) {
            outranking.insert(key, (words, Place::outside(flag)));
        }
    }
    outranking
}

/// A variable that is set to something.
fn set(env: &dyn Environment, name: &str) -> Option<String> {
    env.read(name).filter(|value| !value.is_empty())
}

fn warn_of_unknown_variables(env: &dyn Environment, report: &Report) {
    let known: Vec<String> = SETTINGS
        .iter()
        .flat_map(|group| group.variables().map(|(_, variable)| variable))
        .chain(environment::OTHERS.map(|(name, _)| name.into()))
        .collect();
    let mut names = env.names();
    names.sort();
    for name in names.iter().filter(|name| name.starts_with("JETON_") && !known.contains(name)) {
        if environment::is_of_kubernetes(name, &env.read(name).unwrap_or_default()) {
            continue;
        }
        let hint = suggestion(name, known.iter().map(String::as_str));
        report.warning(&Place::outside(mistake::quoted(name)), &format!("is no setting of jeton and was not read{hint}"));
    }
}

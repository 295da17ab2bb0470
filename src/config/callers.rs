//! The callers of the file, `[callers.NAME]`, into those of the domain, and whose service-account tokens are taken for theirs.

use super::client_secret::parse_hash;
use super::keys;
use super::mistake::{quoted, suggestion};
use super::resources::problem_of;
use super::section::Section;
use super::value::Entry;
use jeton_domain::caller::{Caller, Callers, Names, Permission, Reach, TokenTerms};
use jeton_domain::certificate::CertificateName;
use jeton_domain::name::{ClientId, ResourceId};

/// The most callers, and the most that one is known by in each way.
const MAX_CALLERS: usize = 1_024;
const MAX_NAMES: usize = 64;
/// What stands for every one.
const EVERY: &str = "*";

/// Where callers are known by their certificates or tokens: what the rest of the configuration must have for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grounds {
    /// Authorities of callers are configured, or what names them is wrong and was reported.
    pub(super) certificates: bool,
    /// Service-account tokens are taken, the same.
    pub(super) tokens: bool,
}

/// Reads each section; what is wrong is reported, and a caller that is known by nothing left out.
pub(super) fn read<'a>(sections: impl Iterator<Item = (&'a str, Section<'a>)>, grounds: Grounds) -> Callers {
    let mut callers = Callers::default();
    for (name, section) in sections {
        if callers.iter().len() >= MAX_CALLERS {
            section.mistake_of_name(format!("is one more than {MAX_CALLERS}, the most"));
        }
        let (caller, names) = (caller(name, &section), names(&section));
        section.refuse_unknown_keys(&[]);
        lacks_grounds(&section, &names, grounds);
        remarks(&section, &caller);
        let Err(twice) = callers.add(caller, names) else { continue };
        let problem = "names what another caller, or this one already, is known by: it must be one caller's, once";
        let entry = if twice.setting == "any_certificate" { None } else { section.list(twice.setting).into_iter().nth(twice.at) };
        match entry {
            Some(entry) => section.entry_mistake(twice.setting, &entry, problem),
            None => section.mistake(twice.setting, problem),
        }
    }
    callers
}

fn caller(name: &str, section: &Section<'_>) -> Caller {
    let is_name = (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_graphic());
    if !is_name {
        section.mistake_of_name("must have 1 to 64 printable ASCII characters: logs and traces name the caller so");
    }
    let words = Permission::ALL.map(Permission::word);
    let rpc = |text: &str| {
        let unknown = || format!("{} is none of {}{}", quoted(text), words.join(", "), suggestion(text, words));
        Permission::parse(text).ok_or_else(unknown)
    };
    let client = |text: &str| ClientId::parse("clients", text).map_err(|error| format!("{} {}", quoted(text), problem_of(error)));
    let resource =
        |text: &str| ResourceId::parse("resources", text).map_err(|error| format!("{} {}", quoted(text), problem_of(error)));
    Caller {
        permissions: reach(section, "rpcs", rpc),
        clients: reach(section, "clients", client),
        resources: reach(section, "resources", resource),
        may_assert_certificates: section.switch("may_assert_certificates"),
        may_report_arrivals: section.switch("may_report_arrivals"),
        rate: section.optional_count("rate"),
        ..Caller::new(name)
    }
}

fn reach<T: Ord>(section: &Section<'_>, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Reach<T> {
    let entries = section.list(key);
    if entries.iter().any(|entry| entry.text == EVERY) {
        if entries.len() > 1 {
            section.mistake(key, "names \"*\", which is every one, and others beside it: keep one");
        }
        return Reach::All;
    }
    Reach::Some(parsed(section, key, &entries, parse).into_iter().collect())
}

fn names(section: &Section<'_>) -> Names {
    let of = |key, parse: &dyn Fn(&str) -> Result<Box<str>, &'static str>| {
        let entries = section.list(key);
        if entries.len() > MAX_NAMES {
            section.mistake(key, format!("are {}: {MAX_NAMES} are the most of one caller", entries.len()));
        }
        parsed(section, key, &entries, |text| parse(text).map_err(|problem| format!("{} {problem}", quoted(text))))
    };
    let dns = |text: &str| CertificateName::dns(text).map(|_host| text.to_ascii_lowercase().into());
    let hashes = section.list("key_hashes");
    Names {
        spiffe_ids: of("spiffe_ids", &Names::spiffe_id),
        dns_names: of("dns_names", &dns),
        service_accounts: of("service_accounts", &Names::service_account),
        // Never repeated: it may be the key itself.
        key_hashes: parsed(section, "key_hashes", &hashes, |text| parse_hash(text, "jeton callers new-key")),
        any_certificate: section.switch("any_certificate"),
    }
}

/// The entries that can be read; what is wrong with the others is reported.
fn parsed<T>(section: &Section<'_>, key: &'static str, entries: &[Entry], parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
    let one = |entry: &Entry| parse(&entry.text).map_err(|problem| section.entry_mistake(key, entry, problem)).ok();
    entries.iter().filter_map(one).collect()
}

/// What a caller is known by must be something that can be shown here.
fn lacks_grounds(section: &Section<'_>, names: &Names, grounds: Grounds) {
    const WAYS: [&str; 5] = ["spiffe_ids", "dns_names", "service_accounts", "key_hashes", "any_certificate"];
    if names.is_empty() && WAYS.iter().all(|way| section.is_sound(way)) {
        section.mistake_of_name(
            "is known by nothing: write spiffe_ids, dns_names, service_accounts or key_hashes (`jeton callers new-key` makes a key)",
        );
    }
    if names.is_by_certificate() && !grounds.certificates {
        let way = ["spiffe_ids", "dns_names"].into_iter().find(|way| section.is_given(way)).unwrap_or("any_certificate");
        section.mistake(way, "needs caller_ca_file under [tls]: nobody else says whose certificate is whose");
    }
    if !names.service_accounts.is_empty() && !grounds.tokens {
        section.mistake("service_accounts", "needs [caller_tokens]: it says whose tokens of service accounts are taken");
    }
}

/// What is probably not meant.
fn remarks(section: &Section<'_>, caller: &Caller) {
    if caller.permissions.is_empty() && section.is_sound("rpcs") {
        section.warning("rpcs", "is empty, so this caller may do nothing");
    }
    let may = |permission| caller.permissions.has(&permission);
    if caller.clients.is_empty()
        && section.is_sound("clients")
        && Permission::ALL.into_iter().any(|one| one.is_for_clients() && may(one))
    {
        section.warning("clients", "is empty, and what `rpcs` allow is done for clients: write their ids, or \"*\"");
    }
    if caller.resources.is_empty() && section.is_sound("resources") && may(Permission::Introspect) {
        section.warning("resources", "is empty, so `introspect` is refused: write the resources that it asks for, or \"*\"");
    }
}

/// `[caller_tokens]`: all of it, or nothing.
pub(super) fn tokens(section: &Section<'_>) -> Option<TokenTerms> {
    let text = |key| section.text(key, name);
    let (issuer, audience, source) = (text("issuer"), text("audience"), keys::read(section));
    let has_keys = keys::given(section).is_some();
    if !has_keys && issuer.is_none() && audience.is_none() {
        return None;
    }
    for (key, is_there) in [("issuer", issuer.is_some()), ("audience", audience.is_some()), ("jwks_uri", has_keys)] {
        if !is_there && section.is_sound(key) {
            section.mistake(key, "is missing: issuer, audience and keys go together");
        }
    }
    Some(TokenTerms { issuer: issuer?, audience: audience?, keys: source? })
}

fn name(text: &str) -> Result<Box<str>, String> {
    let is_name = (1..=256).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic());
    if is_name { Ok(text.into()) } else { Err("must have 1 to 256 printable ASCII characters".into()) }
}

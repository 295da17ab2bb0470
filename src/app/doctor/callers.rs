//! Callers: whether each can be known by what its section says, and what is unwise in what it may do.

use crate::config::Settings;
use crate::store::Diagnosis;
use jeton_domain::caller::{Caller, Names, Permission, Reach, hash_of_key};
use jeton_domain::client::ClientKind;
use jeton_domain::name::{ClientId, ResourceId};
use std::net::IpAddr;
use std::sync::Arc;

/// One line each.
pub fn examine(settings: &Settings) -> Vec<Diagnosis> {
    settings.callers.iter().flat_map(|caller| one(settings, caller)).collect()
}

/// All that is not as it should be, or that all is.
fn one(settings: &Settings, caller: &Arc<Caller>) -> Vec<Diagnosis> {
    let names = settings.callers.names_of(caller);
    let at = &*caller.name;
    let failures = keys(settings, &names).map(|(found, advice)| Diagnosis::fail("caller", at, found, advice));
    let [clients, resources] = strangers(settings, caller);
    let remarks = [unheard_of(&names), idle(caller), everything(caller, &names), clients, resources].into_iter().flatten();
    let warnings = remarks.map(|(found, advice)| Diagnosis::warn("caller", at, found, advice));
    let mut all: Vec<Diagnosis> = failures.into_iter().chain(warnings).collect();
    if all.is_empty() {
        all.push(Diagnosis::ok("caller", at, format!("known by {}", ways(&names))));
    }
    all
}

/// What was found, and what to do.
type Remark = (String, &'static str);

/// A hash that is no key's.
fn keys(settings: &Settings, names: &Names) -> Option<Remark> {
    let makes_one = "make a key with `jeton callers new-key`, and write the hash that it prints";
    let has = |hash: &[u8; 32]| names.key_hashes.contains(hash);
    if has(&hash_of_key("")) {
        return Some(("a hash of its key_hashes is that of nothing at all".into(), makes_one));
    }
    if names.key_hashes.iter().any(is_sample) {
        return Some(("a hash of its key_hashes is the example of the documentation: nobody has that key".into(), makes_one));
    }
    let of_client = settings.clients.iter().find(|client| match &client.kind {
        ClientKind::Confidential { secret_hashes, .. } => secret_hashes.iter().any(has),
        ClientKind::Public => false,
    })?;
    let found = format!("a hash of its key_hashes is that of the secret of client `{}`", of_client.id);
    Some((found, "make a key of its own with `jeton callers new-key`: who has that secret is not this caller"))
}

/// The sample: the hexadecimal digits in their order, again and again.
fn is_sample(hash: &[u8; 32]) -> bool {
    let sample = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
    hash.chunks_exact(sample.len()).all(|part| part == sample)
}

/// Names that no certificate has where they are looked for.
fn unheard_of(names: &Names) -> Option<Remark> {
    if let Some(address) = names.dns_names.iter().find(|host| host.parse::<IpAddr>().is_ok()) {
        let advice = "name a host that its certificate is for, or a SPIFFE id: an address stands elsewhere in a certificate";
        return Some((format!("no certificate is for a host called `{address}`"), advice));
    }
    let long = names.dns_names.iter().find(|host| host.len() > 253)?;
    let shown: String = long.chars().take(32).collect();
    Some((format!("no host can be called `{shown}...`: it is too long"), "name a host of at most 253 characters"))
}

/// What it may not use.
fn idle(caller: &Caller) -> Option<Remark> {
    let may = |permission| caller.permissions.has(&permission);
    if caller.permissions.is_empty() {
        return Some(("it may do nothing".into(), "write what it calls into rpcs, or take the section out"));
    }
    if caller.may_report_arrivals && !may(Permission::Watch) {
        let advice = "add watch to rpcs, or take may_report_arrivals out: reports come over that stream only";
        return Some(("it may report arrivals, and may not watch".into(), advice));
    }
    let asserts = [Permission::Issue, Permission::Refresh, Permission::Exchange, Permission::Revoke, Permission::Authorize];
    if caller.may_assert_certificates && !asserts.into_iter().any(may) {
        let advice = "take may_assert_certificates out: nothing that it may call looks at a certificate of a client";
        return Some(("it may assert certificates of clients, and calls nothing that takes them".into(), advice));
    }
    None
}

/// Everything, for whoever comes.
fn everything(caller: &Caller, names: &Names) -> Option<Remark> {
    let all = caller.permissions == Reach::All && caller.clients == Reach::All;
    (all && names.any_certificate).then(|| {
        let advice = "write a section for each service with what it needs: one that is taken over can issue tokens for anybody";
        ("whoever shows a certificate may do everything".into(), advice)
    })
}

/// Clients and resources that are not in the file.
fn strangers(settings: &Settings, caller: &Caller) -> [Option<Remark>; 2] {
    let advice = "correct the name, unless it is registered at run time: it allows nothing until then";
    let told = |what: &str, unknown: Vec<String>| {
        let verb = if unknown.len() == 1 { " is" } else { "s are" };
        let named = unknown.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        (!unknown.is_empty()).then(|| (format!("{what}{verb} not in the file: {named}"), advice))
    };
    let is_client = |id: &&ClientId| settings.clients.iter().any(|client| client.id == **id);
    let clients = listed(&caller.clients).filter(|id| !is_client(id)).map(ToString::to_string).collect();
    let is_resource = |id: &&ResourceId| settings.resources.find(id).is_some();
    let resources = listed(&caller.resources).filter(|id| !is_resource(id)).map(ToString::to_string).collect();
    [told("client", clients), told("resource", resources)]
}

/// Those that are named one by one.
fn listed<T: Ord>(reach: &Reach<T>) -> impl Iterator<Item = &T> {
    match reach {
        Reach::All => None,
        Reach::Some(named) => Some(named.iter()),
    }
    .into_iter()
    .flatten()
}

fn ways(names: &Names) -> String {
    let counted = [
        (names.spiffe_ids.len(), "SPIFFE id"),
        (names.dns_names.len(), "host"),
        (names.service_accounts.len(), "service account"),
        (names.key_hashes.len(), "key"),
    ];
    let several = |(count, what): (usize, &str)| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let mut ways: Vec<String> = counted.into_iter().filter(|(count, _)| *count > 0).map(several).collect();
    if names.any_certificate {
        ways.push("any certificate".into());
    }
    ways.join(", ")
}

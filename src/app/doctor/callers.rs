//! Callers: whether each can be known by what its section says, and what is unwise in what it may do.

use crate::config::Settings;
use crate::store::Diagnosis;
use jeton_domain::caller::{Caller, Names, Permission, Reach, hash_of_key};
use jeton_domain::client::ClientKind;
use jeton_domain::name::ClientId;
use std::net::IpAddr;
use std::sync::Arc;

/// One line each.
pub fn examine(settings: &Settings) -> Vec<Diagnosis> {
    settings.callers.iter().map(|caller| one(settings, caller)).collect()
}

fn one(settings: &Settings, caller: &Arc<Caller>) -> Diagnosis {
    let names = settings.callers.names_of(caller);
    let at = &*caller.name;
    let failure = keys(settings, &names).map(|(found, advice)| Diagnosis::fail("caller", at, found, advice));
    let warning = || {
        let remark = unheard_of(&names)
            .or_else(|| idle(caller))
            .or_else(|| everything(caller, &names))
            .or_else(|| strangers(settings, caller));
        remark.map(|(found, advice)| Diagnosis::warn("caller", at, found, advice))
    };
    failure.or_else(warning).unwrap_or_else(|| Diagnosis::ok("caller", at, format!("known by {}", ways(&names))))
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
fn strangers(settings: &Settings, caller: &Caller) -> Option<Remark> {
    let advice = "correct the name, unless it is registered at run time: it allows nothing until then";
    let is_client = |id: &ClientId| settings.clients.iter().any(|client| client.id == *id);
    if let Reach::Some(clients) = &caller.clients
        && let Some(unknown) = clients.iter().find(|id| !is_client(id))
    {
        return Some((format!("client `{unknown}` is not in the file"), advice));
    }
    let Reach::Some(resources) = &caller.resources else { return None };
    let unknown = resources.iter().find(|id| settings.resources.find(id).is_none())?;
    Some((format!("resource `{unknown}` is not in the file"), advice))
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

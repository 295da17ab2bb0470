//! The certificate that listeners show, and the authorities that are believed: whether they go together, are for these names, and last.

use crate::app::serve;
use crate::clock::Clock;
use crate::config::Settings;
use crate::store::Diagnosis;
use crate::transport::tls::{self, Described, Lasts};
use jeton_domain::certificate::Names;
use jeton_domain::endpoint::Endpoint;
use jeton_domain::time::{Millis, Timestamp};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// A certificate that ends sooner should have been exchanged, but for short ones.
const SOON: Millis = Millis::from_secs(14 * 86_400);
/// Who is nobody of the owner's, in the mode of a file.
const OTHERS: u32 = 0o007;

/// All that there are.
pub fn examine(settings: &Settings, clock: &Clock) -> Vec<Diagnosis> {
    let now = clock.now();
    let mut all = Vec::new();
    if let Some(told) = &settings.tls {
        let together = certificate(settings, clock);
        all.extend(together);
        all.extend(key(&told.key));
        all.extend(names(settings, &told.certificate));
        let bundles = [("tls.caller_ca_file", &told.callers), ("tls.client_ca_file", &told.clients)];
        all.extend(bundles.into_iter().filter_map(|(setting, file)| authorities(setting, file.as_deref()?, now)));
    }
    all.extend(settings.outbound.ca_file.as_deref().and_then(|file| authorities("outbound.ca_file", file, now)));
    all
}

/// The files of TLS go together, and the certificate lives for a while.
fn certificate(settings: &Settings, clock: &Clock) -> Option<Diagnosis> {
    let at = settings.tls.as_ref()?.certificate.display().to_string();
    let tls = match serve::tls(settings, clock) {
        Ok([_, Some(tls), _]) => tls,
        Ok(_) => return None,
        Err(problem) => {
            let advice = "give a certificate and its key, PEM, that this user may read, and authorities that are some";
            return Some(Diagnosis::fail("TLS", at, problem.to_string(), advice));
        }
    };
    let (now, lasts) = (clock.now(), tls.lasts());
    let days = days(now, lasts.until);
    Some(if lasts.until < now {
        Diagnosis::fail("TLS", at, "the certificate has expired", "exchange it: nobody who checks it connects")
    } else if lasts.is_due(now, SOON) {
        let advice = "exchange it in time, with its key: both are read again while jeton runs";
        Diagnosis::warn("TLS", at, format!("the certificate ends in {days} days"), advice)
    } else {
        Diagnosis::ok("TLS", at, format!("the certificate is valid for {days} days"))
    })
}

/// Nobody else reads the key.
fn key(file: &Path) -> Option<Diagnosis> {
    let mode = std::fs::metadata(file).ok()?.permissions().mode();
    if mode & OTHERS == 0 {
        return None;
    }
    let advice = "take it from them (chmod o=): who reads it can pass for this server";
    Some(Diagnosis::warn("TLS", file.display().to_string(), "every user of this machine may use the key", advice))
}

/// The certificate is for the host of the issuer, and for some host at all.
fn names(settings: &Settings, file: &Path) -> Option<Diagnosis> {
    // What cannot be read was told.
    let shown = tls::describe(file).ok()?.into_iter().next()?;
    let at = file.display().to_string();
    let advice = |words: &str| {
        format!("{words}: the names are the subject alternative ones, and who connects looks for the host that it calls")
    };
    let Names { dns, ips, .. } = &shown.names;
    if dns.is_empty() && ips.is_empty() {
        return Some(Diagnosis::fail(
            "TLS",
            at,
            "the certificate is for no host",
            advice("let it name the hosts under which jeton is called"),
        ));
    }
    let issuer = Endpoint::parse("issuer", &settings.issuer).ok()?;
    if !is_for(&shown.names, issuer.host()) {
        let found = format!("the certificate is not for `{}`, the host of the issuer", issuer.host());
        let words = "let it name that host too, unless a proxy before jeton shows a certificate of its own";
        return Some(Diagnosis::warn("TLS", at, found, advice(words)));
    }
    let listen = [settings.listen.grpc, settings.listen.http].map(|address| address.ip().to_canonical());
    let unnamed = listen.iter().find(|ip| dns.is_empty() && !ip.is_unspecified() && !ips.contains(ip));
    Some(match unnamed {
        Some(ip) => {
            let found = format!("the certificate names addresses only, and not {ip}, which is listened on");
            Diagnosis::warn("TLS", at, found, advice("let it name that address, or a host"))
        }
        None => Diagnosis::ok("TLS", at, format!("the certificate is for `{}`", issuer.host())),
    })
}

/// A wildcard stands for the first label, as a whole (RFC 6125 section 6.4.3).
fn is_for(names: &Names, host: &str) -> bool {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return names.ips.contains(&ip);
    }
    names.dns.iter().any(|name| match name.strip_prefix("*.") {
        Some(rest) => host.split_once('.').is_some_and(|(_, domain)| domain.eq_ignore_ascii_case(rest)),
        None => name.eq_ignore_ascii_case(host),
    })
}

/// Each is an authority, and lasts.
fn authorities(setting: &'static str, file: &Path, now: Timestamp) -> Option<Diagnosis> {
    // What cannot be read was told.
    let all: Vec<Described> = tls::describe(file).ok()?;
    let expired = all.iter().filter(|one| one.lasts.until < now).count();
    if expired == all.len() {
        let advice = "put those of today into it: whom they vouch for is nobody";
        return Some(Diagnosis::fail("authorities", setting, "all of them have expired", advice));
    }
    if let Some(at) = all.iter().position(|one| !one.is_authority) {
        let advice = "put there who signs certificates, not a certificate that is shown: it vouches for nobody";
        return Some(Diagnosis::warn("authorities", setting, format!("number {} is no authority", at + 1), advice));
    }
    if expired > 0 {
        let advice = "take them out, and see that nobody needs them";
        return Some(Diagnosis::warn("authorities", setting, format!("{expired} of {} have expired", all.len()), advice));
    }
    let first = Lasts::first(all.iter().map(|one| one.lasts), now)?;
    let found = format!("{}, the first ends in {} days", all.len(), days(now, first.until));
    if first.is_due(now, SOON) {
        let advice = "put its successor beside it in time: the file is read again while jeton runs";
        return Some(Diagnosis::warn("authorities", setting, found, advice));
    }
    Some(Diagnosis::ok("authorities", setting, found))
}

fn days(now: Timestamp, ends: Timestamp) -> u64 {
    ends.since(now).secs() / 86_400
}

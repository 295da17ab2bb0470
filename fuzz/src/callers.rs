//! By what callers are known (`domain::caller`): names in the configuration, and those of certificates.

use jeton_domain::caller::{Caller, Callers, Names};
use jeton_domain::certificate::{self, Certificate, CertificateName};
use std::sync::LazyLock;

/// Two services, and whoever else shows a certificate.
static CALLERS: LazyLock<Callers> = LazyLock::new(|| {
    let mut callers = Callers::default();
    for name in ["billing", "orders"] {
        let names = Names {
            spiffe_ids: vec![format!("spiffe://example.com/{name}").into()],
            dns_names: vec![format!("{name}.example.com").into()],
            ..Names::default()
        };
        assert!(callers.add(Caller::new(name), names).is_ok());
    }
    assert!(callers.add(Caller::new("others"), Names { any_certificate: true, ..Names::default() }).is_ok());
    callers
});

/// The first byte says what it is.
pub fn read(data: &[u8]) {
    let Some((kind, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match kind % 3 {
        0 => of_spiffe(text),
        1 => of_account(text),
        _ => of_certificate(text),
    }
}

/// What is read is as it is compared, and is what a certificate can say.
fn of_spiffe(text: &str) {
    let Ok(id) = Names::spiffe_id(text) else { return };
    assert_eq!(&*id, text);
    assert!(text.len() <= 2_048 && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'%' | b'?' | b'#' | b'@')));
    let path = text.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')).map(|(_, path)| path);
    assert!(path.is_some_and(|path| path.split('/').all(|segment| !matches!(segment, "" | "." | ".."))), "{text:?}");
    assert!(text.len() > 1_024 || CertificateName::uri(text).is_ok(), "{text:?}");
}

/// Two accounts have never one subject.
fn of_account(text: &str) {
    let Ok(subject) = Names::service_account(text) else { return };
    let parts: Vec<&str> = subject.split(':').collect();
    let [system, word, namespace, name] = parts.as_slice() else { unreachable!("{subject:?}") };
    assert_eq!((*system, *word), ("system", "serviceaccount"));
    assert_eq!(format!("{namespace}/{name}"), text);
}

/// Lines of a letter and a name. One caller is meant or nobody, and none where no authority vouches.
fn of_certificate(text: &str) {
    let mut names = certificate::Names::default();
    for line in text.lines().filter(|line| line.is_char_boundary(1) && line.len() > 1) {
        let (kind, name) = line.split_at(1);
        match kind {
            "u" => names.uris.push(name.to_owned()),
            "e" => names.emails.push(name.to_owned()),
            _ => names.dns.push(name.to_owned()),
        }
    }
    let shown = Certificate { vouched: Some(names.clone()), ..Certificate::known_by_thumbprint([1; 32]) };
    assert!(CALLERS.by_certificate(&Certificate { vouched: None, ..shown.clone() }).is_none());
    let found = CALLERS.by_certificate(&shown).map(|caller| &*caller.name);
    let says = |name: &str| {
        names.uris.iter().any(|uri| *uri == format!("spiffe://example.com/{name}"))
            || names.dns.iter().any(|dns| dns.to_ascii_lowercase() == format!("{name}.example.com"))
    };
    let hides = names.uris.len() > 1 || names.uris.iter().chain(&names.dns).any(|name| name.contains('*'));
    let meant = match (hides, says("billing"), says("orders")) {
        (true, ..) | (_, true, true) => None,
        (_, true, false) => Some("billing"),
        (_, false, true) => Some("orders"),
        (_, false, false) => Some("others"),
    };
    assert_eq!(found, meant, "{names:?}");
}

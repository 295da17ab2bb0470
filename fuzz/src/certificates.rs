//! Certificates as they are shown (`transport::tls::certificate`): what is read of their names.

use jeton::transport::tls::certificate;
use jeton_domain::certificate::{Certificate, CertificateName, Names};

/// What a name may be read back from, in bytes.
const MAX_BYTES: usize = 1_024;

/// A certificate as it is on the wire. Each of its names is one that a setting can say, or has none that hides something; it is found by it.
pub fn read(data: &[u8]) {
    let der = data.to_vec().into();
    let lasts = certificate::lasts(&der);
    let read = certificate::read(&der, &[], None, lasts.map(|lasts| lasts.until).unwrap_or_default());
    let reads = read.as_ref().map(|read| (read.not_before, read.not_after));
    assert_eq!(reads, lasts.map(|lasts| (lasts.from, lasts.until)));
    assert!(read.is_none_or(|read| read.vouched.is_none()), "nobody vouches");
    let Some(described) = certificate::describe(&der) else { return };
    assert_eq!(Some(described.lasts), lasts);
    has_plain_names(&described.names);
    let subject = described.names.subject.as_ref().map(ToString::to_string).filter(|text| text.len() <= MAX_BYTES);
    if let Some(text) = &subject {
        assert!(!text.chars().any(char::is_control), "{text:?}");
        let again = CertificateName::subject_dn(text);
        assert_eq!(again.as_ref().ok(), described.names.subject.clone().map(CertificateName::SubjectDn).as_ref(), "{text:?}");
    }
    let shown = Certificate { vouched: Some(described.names.clone()), ..Certificate::known_by_thumbprint([1; 32]) };
    let Names { dns, uris, ips, emails, .. } = &described.names;
    let texts = subject.iter().map(|text| CertificateName::subject_dn(text));
    let texts = texts.chain(dns.iter().map(|text| CertificateName::dns(text)));
    let texts = texts.chain(emails.iter().map(|text| CertificateName::email(text)));
    let texts = texts.chain(ips.iter().map(|ip| CertificateName::ip(&ip.to_string())));
    for name in texts.flatten() {
        assert!(shown.is_of(&name), "{name:?}");
    }
    for name in uris.iter().filter_map(|uri| CertificateName::uri(uri).ok()) {
        assert_eq!(shown.is_of(&name), uris.len() == 1, "{name:?}");
    }
}

fn has_plain_names(names: &Names) {
    for text in names.dns.iter().chain(&names.uris).chain(&names.emails) {
        assert!(!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()), "{text:?}");
    }
}

//! What a registered client's certificate is for, as a message, and back.

use super::unreadable;
use crate::records::proto::MutualTlsRecord;
use jeton_domain::certificate::CertificateName;
use jeton_domain::client::{KnownBy, MutualTls};
use jeton_domain::error::Result;

/// None where it is for nothing.
pub(super) fn record(mutual_tls: &MutualTls) -> Option<MutualTlsRecord> {
    let MutualTls { authenticates, binds } = mutual_tls;
    let mut record = MutualTlsRecord { binds: *binds, ..MutualTlsRecord::default() };
    match authenticates {
        Some(KnownBy::Name(name)) => (record.name_kind, record.name) = (code(name), name.to_string()),
        Some(KnownBy::Thumbprints(hashes)) => record.certificates = hashes.iter().map(|hash| hash.to_vec()).collect(),
        None if !binds => return None,
        None => {}
    }
    Some(record)
}

pub(super) fn read(record: Option<MutualTlsRecord>) -> Result<MutualTls> {
    let MutualTlsRecord { name_kind, name, certificates, binds } = record.unwrap_or_default();
    let hashes: Vec<[u8; 32]> =
        certificates.iter().map(|hash| hash.as_slice().try_into().map_err(|_garbled| unreadable())).collect::<Result<_>>()?;
    let authenticates = match (name_kind, hashes.is_empty()) {
        (0, true) => None,
        (0, false) => Some(KnownBy::Thumbprints(hashes)),
        (kind, _) => Some(KnownBy::Name(named(kind, &name)?)),
    };
    Ok(MutualTls { authenticates, binds })
}

const fn code(name: &CertificateName) -> u32 {
    match name {
        CertificateName::SubjectDn(_) => 1,
        CertificateName::Dns(_) => 2,
        CertificateName::Uri(_) => 3,
        CertificateName::Ip(_) => 4,
        CertificateName::Email(_) => 5,
    }
}

fn named(kind: u32, name: &str) -> Result<CertificateName> {
    let read = match kind {
        1 => CertificateName::subject_dn(name),
        2 => CertificateName::dns(name),
        3 => CertificateName::uri(name),
        4 => CertificateName::ip(name),
        5 => CertificateName::email(name),
        _ => return Err(unreadable()),
    };
    read.map_err(|_garbled| unreadable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reads_back() {
        let texts =
            ["CN=billing\\,1,O=Example", "billing.example.com", "spiffe://example.com/billing", "192.0.2.1", "a@example.com"];
        let names = CertificateName::SETTINGS.into_iter().zip(texts).map(|((_, read), text)| KnownBy::Name(read(text).unwrap()));
        let known = names.chain([KnownBy::Thumbprints(vec![[1; 32], [2; 32]])]).map(Some).chain([None]);
        for authenticates in known {
            for binds in [false, true] {
                let mutual_tls = MutualTls { authenticates: authenticates.clone(), binds };
                assert_eq!(read(record(&mutual_tls)), Ok(mutual_tls));
            }
        }
        assert_eq!(record(&MutualTls::default()), None);
    }

    #[test]
    fn what_a_newer_version_wrote_is_unreadable() {
        assert!(read(Some(MutualTlsRecord { name_kind: 6, name: "x".into(), ..MutualTlsRecord::default() })).is_err());
        assert!(read(Some(MutualTlsRecord { certificates: vec![vec![1; 31]], ..MutualTlsRecord::default() })).is_err());
    }
}

//! Names of certificates (`domain::certificate`), as settings and registered clients have them.

use jeton_domain::certificate::CertificateName;

/// The first byte says of which kind. What is read is written so that it reads back, and not much longer: an attribute may be given by its
/// number, which is shorter than its name.
pub fn read(data: &[u8]) {
    let Some((kind, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let settings = CertificateName::SETTINGS;
    let Some((setting, parse)) = settings.get(usize::from(*kind) % settings.len()) else { return };
    let Ok(name) = parse(text) else { return };
    let written = name.to_string();
    assert_eq!(name.setting(), [*setting]);
    assert_eq!(parse(&written).as_ref(), Ok(&name), "{written:?}");
    assert!(written.len() <= text.len().saturating_mul(2).max(45), "{written:?}");
    assert!(!written.chars().any(char::is_control), "{written:?}");
}

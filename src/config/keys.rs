//! The public keys of others, `jwks`: read with their mistakes told, for what would never verify is found out here and not by who is refused.

use super::section::Section;
use jeton_domain::jwk::{KeySet, KeySource, MAX_KEYS};

/// Where the keys are; none where the section has none, or what it has is wrong and was reported.
pub(super) fn read(section: &Section<'_>) -> Option<KeySource> {
    let keys = section.text("jwks", |text| Ok(text.to_owned())).and_then(|text| inline(section, &text));
    keys.map(KeySource::Inline)
}

fn inline(section: &Section<'_>, text: &str) -> Option<KeySet> {
    let Some((keys, unfit)) = KeySet::read(text.as_bytes()) else {
        let problem = format!(
            "is no JWK set of at most {MAX_KEYS} keys: write JSON between three single quotes, such as '''{{\"keys\":[...]}}''' (RFC 7517 section 5)"
        );
        section.mistake("jwks", problem);
        return None;
    };
    for (place, why) in &unfit {
        section.mistake("jwks", format!("key {place} {why}"));
    }
    if keys.is_empty() && unfit.is_empty() {
        section.mistake("jwks", "holds no key: add one, or remove it");
    }
    for key in keys.iter().filter(|key| keys.find(key.kid.as_deref(), key.signs).is_none()) {
        let which = key
            .kid
            .as_deref()
            .map_or_else(|| "without a `kid`".to_owned(), |kid| format!("of the `kid` {}", super::mistake::quoted(kid)));
        section.mistake("jwks", format!("leaves open which key {which} is meant: give each a `kid` of its own"));
        return None;
    }
    (unfit.is_empty() && !keys.is_empty()).then_some(keys)
}

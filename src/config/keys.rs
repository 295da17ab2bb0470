//! The public keys of others, `jwks` or `jwks_uri`: read with their mistakes told, for what would never verify is found out here and not
//! by who is refused.

use super::resources::problem_of;
use super::section::Section;
use jeton_domain::endpoint::Endpoint;
use jeton_domain::jwk::{KeySet, KeySource, MAX_KEYS};

/// The settings that name keys. At most one of them is given.
pub(super) const KEYS: [&str; 2] = ["jwks", "jwks_uri"];

/// Which of them is given.
pub(super) fn given(section: &Section<'_>) -> Option<&'static str> {
    KEYS.into_iter().find(|key| section.is_given(key))
}

/// Where the keys are; none where the section has none, or what it has is wrong and was reported.
pub(super) fn read(section: &Section<'_>) -> Option<KeySource> {
    if KEYS.iter().all(|key| section.is_given(key)) {
        section.mistake("jwks_uri", "is given beside jwks: keep one, so that it is plain which keys hold (RFC 7591 section 2)");
    }
    let inline = section.text("jwks", |text| Ok(text.to_owned())).and_then(|text| inline(section, &text));
    let parse = |text: &str| Endpoint::parse("jwks_uri", text).map_err(problem_of);
    inline.map(KeySource::Inline).or_else(|| section.text("jwks_uri", parse).map(KeySource::Uri))
}

fn inline(section: &Section<'_>, text: &str) -> Option<KeySet> {
    let Some((keys, unfit)) = KeySet::read(text.as_bytes()) else {
        let problem = format!(
            "is no JWK set of at most {MAX_KEYS} keys: write JSON between three single quotes, such as '''{{\"keys\":[...]}}''' \
             (RFC 7517 section 5)"
        );
        section.mistake("jwks", problem);
        return None;
    };
    keys.flaws(&unfit).into_iter().for_each(|flaw| section.mistake("jwks", flaw));
    Some(keys)
}

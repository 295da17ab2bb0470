//! What is wrong with how a client is known by its certificate (RFC 8705).

use super::{Problem, mistake, too_many};
use crate::client::{Client, KnownBy};

const CERTIFICATES: &[&str] = &["self_signed_certificates"];
/// More valid certificates at once than an exchange needs.
const MAX: usize = 8;

pub(super) fn problems(client: &Client) -> Vec<Problem> {
    let Some(known) = &client.mutual_tls.authenticates else { return Vec::new() };
    let (setting, hashes) = match known {
        KnownBy::Name(name) => (name.setting(), [].as_slice()),
        KnownBy::Thumbprints(hashes) => (CERTIFICATES, hashes.as_slice()),
    };
    let again = hashes.iter().enumerate().filter(|(at, hash)| hashes.iter().take(*at).any(|before| before == *hash));
    let mut found: Vec<Problem> =
        again.map(|(at, _)| mistake(CERTIFICATES, Some(at), "repeats an earlier one: remove it".into())).collect();
    found.extend(too_many(CERTIFICATES, hashes.len(), MAX));
    if !client.is_confidential() {
        let words = "is given to a public client, which does not authenticate: remove it, or kind = \"confidential\"";
        found.push(mistake(setting, None, words.into()));
    }
    found
}

//! The names of everything in the store. The part in braces places a name in Redis Cluster: what belongs to a subject lies together.
//!
//! Pinned by golden vectors: a name never changes.

use crate::store::Name;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::id::{DeviceId, GrantId, TargetId};

/// A grant's record.
#[must_use]
pub fn grant(id: GrantId) -> Name {
    placed(id.slot(), 'g', &id.0)
}

/// The list of a subject's grants.
#[must_use]
pub fn grants_of(subject: TargetId) -> Name {
    placed(subject.slot(), 'l', &subject.0)
}

/// A target's floor record.
#[must_use]
pub fn floor(target: TargetId) -> Name {
    placed(target.slot(), 'f', &target.0)
}

/// The record of a device authorization.
#[must_use]
pub fn device(id: DeviceId) -> Name {
    let DeviceId([a, b, ..]) = id;
    placed([a, b], 'd', &id.0)
}

/// What a user code points to, by its keyed hash.
#[must_use]
pub fn user_code(hash: [u8; 16]) -> Name {
    let [a, b, ..] = hash;
    placed([a, b], 'u', &hash)
}

/// What tells that a proof was shown which counts once: of DPoP, or an assertion.
#[must_use]
pub fn shown(id: TargetId) -> Name {
    placed(id.slot(), 'p', &id.0)
}

/// The record of a session that clients learnt of.
#[must_use]
pub fn session(id: TargetId) -> Name {
    placed(id.slot(), 's', &id.0)
}

/// The list of a subject's sessions.
#[must_use]
pub fn sessions_of(subject: TargetId) -> Name {
    placed(subject.slot(), 'm', &subject.0)
}

/// The list of what a client is to be told of ended sessions.
#[must_use]
pub fn logouts_of(client: TargetId) -> Name {
    placed(client.slot(), 'o', &client.0)
}

/// The list of the clients that are to be told something of ended sessions.
#[must_use]
pub fn clients_to_tell() -> Name {
    Name::new("jeton:{logouts}")
}

/// Whose turn it is to tell a client.
#[must_use]
pub fn logout_turn(client: TargetId) -> Name {
    placed(client.slot(), 't', &client.0)
}

/// The ring document.
#[must_use]
pub fn ring() -> Name {
    Name::new("jeton:{ring}")
}

/// The salt document.
#[must_use]
pub fn salt() -> Name {
    Name::new("jeton:{salt}")
}

/// The signing keys.
#[must_use]
pub fn signing() -> Name {
    Name::new("jeton:{signing}")
}

/// The ceilings.
#[must_use]
pub fn ceilings() -> Name {
    Name::new("jeton:{ceilings}")
}

/// Which parts of what is registered at run time changed. All of it lies together.
#[must_use]
pub fn registry() -> Name {
    Name::new("jeton:{registry}")
}

/// A part of what is registered at run time.
#[must_use]
pub fn registry_part(number: usize) -> Name {
    Name::new(&format!("jeton:{{registry}}:{number}"))
}

/// Without the machinery of `format!`: an operation makes up to six names.
fn placed(slot: [u8; 2], kind: char, id: &[u8; 16]) -> Name {
    let mut name = String::with_capacity(40);
    name.push_str("jeton:{");
    for byte in slot {
        name.extend([byte >> 4, byte & 0xf].into_iter().filter_map(|nibble| char::from_digit(nibble.into(), 16)));
    }
    name.push_str("}:");
    name.push(kind);
    name.push(':');
    URL_SAFE_NO_PAD.encode_string(id, &mut name);
    Name::new(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_they_always_were() {
        let id = [0xab, 0x12, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        assert_eq!(grant(GrantId(id)).as_str(), "jeton:{ab12}:g:qxICAwQFBgcICQoLDA0ODw");
        assert_eq!(grants_of(TargetId(id)).as_str(), "jeton:{ab12}:l:qxICAwQFBgcICQoLDA0ODw");
        assert_eq!(floor(TargetId(id)).as_str(), "jeton:{ab12}:f:qxICAwQFBgcICQoLDA0ODw");
        assert_eq!(device(DeviceId(id)).as_str(), "jeton:{ab12}:d:qxICAwQFBgcICQoLDA0ODw");
        assert_eq!(user_code(id).as_str(), "jeton:{ab12}:u:qxICAwQFBgcICQoLDA0ODw");
        assert_eq!(shown(TargetId(id)).as_str(), "jeton:{ab12}:p:qxICAwQFBgcICQoLDA0ODw");
        assert_eq!(registry().as_str(), "jeton:{registry}");
        assert_eq!(registry_part(1_023).as_str(), "jeton:{registry}:1023");
        assert_eq!(session(TargetId(id)).as_str(), "jeton:{ab12}:s:qxICAwQFBgcICQoLDA0ODw");
        assert_eq!(sessions_of(TargetId(id)).as_str(), "jeton:{ab12}:m:qxICAwQFBgcICQoLDA0ODw");
        assert_eq!(logouts_of(TargetId(id)).as_str(), "jeton:{ab12}:o:qxICAwQFBgcICQoLDA0ODw");
        assert_eq!(clients_to_tell().as_str(), "jeton:{logouts}");
        assert_eq!(logout_turn(TargetId(id)).as_str(), "jeton:{ab12}:t:qxICAwQFBgcICQoLDA0ODw");
        let documents = [ring(), salt(), signing(), ceilings()];
        assert_eq!(
            documents.each_ref().map(Name::as_str),
            ["jeton:{ring}", "jeton:{salt}", "jeton:{signing}", "jeton:{ceilings}"]
        );
    }
}

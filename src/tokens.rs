//! Is it genuine? Tokens made and proved: tags of derived tokens, the MAC in a `jti`, signatures of JWTs.
//!
//! Lives here: `mint` (making), `read` (proving), `jws` (JWTs by the signing keys), `dpop` (proofs of a
//! holder's key, and the nonces they name), `foreign` (keys that are not ours), `cache` (what was proved lately), `phantom` (what was made of it). Must not live here:
//! how strictly a JWT is read and what it says (the domain's), whether it is still alive (`floors`, the domain), the store.

mod cache;
mod dpop;
mod foreign;
mod jws;
mod mint;
mod phantom;
mod read;

pub use cache::{Digest, Proved, Sign, Written};
pub use jeton_domain::jws::{NotGenuine, Verified};
pub use mint::at_hash;
pub use phantom::Phantom;

use crate::roots::{Roots, Use};
use crate::signing::Signing;
use cache::Recent;
use jeton_domain::id::{Generation, GrantId, KeyId};
use jeton_domain::token::NumberedKind;
use phantom::Phantoms;
use std::fmt;
use std::sync::Arc;

/// Phantom tokens may take this part of what proved tokens may take.
const PHANTOM_SHARE: u64 = 4;

/// Makes and proves tokens. No I/O: keys are in memory.
pub struct Tokens {
    roots: Arc<Roots>,
    signing: Arc<Signing>,
    issuer: String,
    recent: Recent,
    phantoms: Phantoms,
}

impl Tokens {
    /// `issuer` is the `iss` that JWTs must have; what was proved is kept in at most `cache_bytes`.
    #[must_use]
    pub fn new(roots: Arc<Roots>, signing: Arc<Signing>, issuer: String, cache_bytes: u64) -> Self {
        let phantoms = Phantoms::new(cache_bytes / PHANTOM_SHARE);
        Self { roots, signing, issuer, recent: Recent::new(cache_bytes), phantoms }
    }

    /// The `iss` of our JWTs.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
}

/// The label at the front of what a tag covers, and the key it is made with.
const fn numbered_label(kind: NumberedKind) -> (&'static [u8], Use) {
    match kind {
        NumberedKind::Refresh => (b"refresh token", Use::RefreshToken),
        NumberedKind::Code => (b"authorization code", Use::AuthorizationCode),
    }
}

const OPAQUE_LABEL: &[u8] = b"opaque access token";
const JTI_LABEL: &[u8] = b"jti";

/// What a `jti` says: key id 4, random 8, generation 4, and before it what its MAC covers beside: the label and the grant id, zeros if none.
struct JtiBody {
    grant: [u8; 16],
    key: [u8; 4],
    random: [u8; 8],
    generation: [u8; 4],
}

/// Bytes of the MAC in a `jti`.
const JTI_MAC_BYTES: usize = 8;

impl JtiBody {
    fn new(grant: Option<GrantId>, key: KeyId, random: [u8; 8], generation: Generation) -> Self {
        Self { grant: grant.map_or([0; 16], |grant| grant.0), key: key.0, random, generation: generation.to_be_bytes() }
    }

    fn parts(&self) -> [&[u8]; 5] {
        [JTI_LABEL, &self.grant, &self.key, &self.random, &self.generation]
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

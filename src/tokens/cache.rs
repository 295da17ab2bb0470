//! Tokens that were proved lately, so that none is proved twice: what each says, ready to be sent, and what its life depends on.
//!
//! Lives here: access tokens that are genuine, and nothing else. What is not genuine costs its check each time; refresh tokens, codes and
//! ID tokens are never kept. Must not live here: any judgement. Who recalls a token asks each time whether it expired, whether a floor
//! kills it, and who asks; and lets it be forgotten once it is dead.
//!
//! A token is found by the SHA-256 of the whole of it; the token itself is not kept.
//!
//! INVARIANT: what was proved stays proved while no key changed, for all that a proof rests on besides is fixed.
//! - A JWT rests on its signing key. One that is burnt changes the number of `Tokens::keys`; one goes by the clock only after all that it
//!   signed expired (`rotation_never_makes_a_valid_token_fail`).
//! - An opaque token rests on its root key, which changes that number when it is burnt, and on its grant's record: the nonce, the scopes
//!   and the resources in it never change, and it outlives the token. What a record says of the grant's end came into it through the log,
//!   where it is a floor of the token's targets too (`floors/settle`), or is an eviction, which lets access tokens run out
//!   (`domain::access::judge`).

use super::Tokens;
use bytes::Bytes;
use jeton_domain::access::{Ancestor, Standing};
use jeton_domain::floors::{Floors, Raised};
use jeton_domain::id::{Generation, GrantId, TargetId};
use jeton_domain::revision::Born;
use jeton_domain::time::Timestamp;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Weighter};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What an entry takes beside what it points to: its key, its place in the index and in the order of eviction.
const ENTRY_BYTES: usize = 32 + 64 + size_of::<Proved>();
/// What an ordinary entry takes: for the size of the index only.
const ORDINARY_BYTES: u64 = 1_024;

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of the whole token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
        bytes.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }
}

/// Eight bytes of a SHA-256 are as good as all.
impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// What a token says, as it goes over the wire, in two parts: between them comes what differs from answer to answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    bytes: Bytes,
    second_at: usize,
}

impl Written {
    /// `bytes`, of which the second part begins at `second_at`.
    #[must_use]
    pub const fn new(bytes: Bytes, second_at: usize) -> Self {
        Self { bytes, second_at }
    }

    /// The first part.
    #[must_use]
    pub fn first(&self) -> &[u8] {
        self.bytes.get(..self.second_at).unwrap_or(&self.bytes)
    }

    /// The second part.
    #[must_use]
    pub fn second(&self) -> &[u8] {
        self.bytes.get(self.second_at..).unwrap_or_default()
    }
}

/// That an access token is seen tells that this generation of its grant arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// The grant.
    pub grant: GrantId,
    /// The generation of the refresh token that it came with.
    pub generation: Generation,
    /// Its `jti`, whose MAC proves both.
    pub jti: Box<str>,
}

/// An access token that was proved.
pub struct Proved {
    born: Born,
    exp: Timestamp,
    nbf: Option<Timestamp>,
    audience: Box<[String]>,
    targets: Box<[TargetId]>,
    ancestors: Box<[Ancestor]>,
    grant: Option<GrantId>,
    sign: Option<Sign>,
    written: Written,
    /// The number of the keys that it was proved under.
    keys: u64,
    /// The version of the floors under which it was last found to live.
    alive_under: AtomicU64,
}

impl Proved {
    /// What was proved under the keys of that number, read before: what its life depends on, and its grant.
    #[must_use]
    pub fn new(standing: &Standing<'_>, grant: Option<GrantId>, keys: u64) -> Self {
        Self {
            born: standing.born,
            exp: standing.exp,
            nbf: standing.nbf,
            audience: standing.audience.into(),
            targets: standing.targets.into(),
            ancestors: standing.ancestors.into(),
            grant,
            sign: None,
            written: Written::default(),
            keys,
            // No floors are of this version.
            alive_under: AtomicU64::new(u64::MAX),
        }
    }

    /// What it says, too, and what its being seen tells.
    #[must_use]
    pub fn saying(self, written: Written, sign: Option<Sign>) -> Self {
        Self { written, sign, ..self }
    }

    /// What its being seen tells; none where that is nothing to anybody.
    #[must_use]
    pub const fn sign(&self) -> Option<&Sign> {
        self.sign.as_ref()
    }

    /// What its life depends on.
    #[must_use]
    pub const fn standing(&self) -> Standing<'_> {
        let Self { born, exp, nbf, audience, targets, ancestors, .. } = self;
        Standing { born: *born, exp: *exp, nbf: *nbf, audience, targets, ancestors }
    }

    /// Its grant; none for a client's own JWT.
    #[must_use]
    pub const fn grant(&self) -> Option<GrantId> {
        self.grant
    }

    /// What it says.
    #[must_use]
    pub const fn written(&self) -> &Written {
        &self.written
    }

    /// The floor that kills it, as a view that holds all floors knows. Looked up only where some floor was raised since it was last found
    /// to live.
    #[must_use]
    pub fn killing(&self, floors: &Floors) -> Option<Raised> {
        let version = floors.version();
        if self.alive_under.load(Ordering::Relaxed) == version {
            return None;
        }
        let killing = self.standing().killing(floors);
        if killing.is_none() {
            self.alive_under.store(version, Ordering::Relaxed);
        }
        killing
    }

    fn bytes(&self) -> usize {
        let audience = self.audience.iter().map(|audience| size_of::<String>().saturating_add(audience.len()));
        let ancestors = self.ancestors.iter().map(|one| size_of::<Ancestor>().saturating_add(size_of_val(&*one.targets)));
        let jti = self.sign.as_ref().map_or(0, |sign| sign.jti.len());
        let pointed_to = [self.written.bytes.len(), audience.sum(), size_of_val(&*self.targets), ancestors.sum(), jti];
        pointed_to.into_iter().fold(ENTRY_BYTES, usize::saturating_add)
    }
}

/// What a token says is its holder's affair.
impl fmt::Debug for Proved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proved(..)")
    }
}

/// How much of the cache an entry takes.
#[derive(Clone)]
struct Bytewise;

impl Weighter<Digest, Arc<Proved>> for Bytewise {
    fn weight(&self, _key: &Digest, proved: &Arc<Proved>) -> u64 {
        u64::try_from(proved.bytes()).unwrap_or(u64::MAX)
    }
}

/// The tokens, within bounds; which go first is decided by how lately and how often they were asked for.
pub(super) struct Recent(Cache<Digest, Arc<Proved>, Bytewise>);

impl Recent {
    /// At most so many bytes; none: nothing is kept.
    pub(super) fn new(bytes: u64) -> Self {
        Self(bounded(bytes, Bytewise))
    }
}

/// A cache by tokens whose entries weigh at most so many bytes together; none: nothing is kept.
pub(super) fn bounded<V: Clone, W: Weighter<Digest, V> + Clone>(bytes: u64, weighter: W) -> Cache<Digest, V, W> {
    let entries = usize::try_from(bytes / ORDINARY_BYTES).unwrap_or(usize::MAX);
    Cache::with(entries, bytes, weighter, DefaultHashBuilder::default(), DefaultLifecycle::default())
}

impl Tokens {
    /// Another number whenever a key may prove nothing any more. To be read before a token is proved.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.signing.changes().wrapping_add(self.roots.changes())
    }

    /// What was proved of a token, unless a key changed since.
    #[must_use]
    pub fn recall(&self, token: &Digest) -> Option<Arc<Proved>> {
        self.recent.0.get(token).filter(|proved| proved.keys == self.keys())
    }

    /// Keeps what was proved of a token, as long as there is room.
    pub fn remember(&self, token: Digest, proved: Arc<Proved>) {
        self.recent.0.insert(token, proved);
    }

    /// Drops a token that is dead.
    pub fn forget(&self, token: &Digest) {
        drop(self.recent.0.remove(token));
    }
}

//! The ring of root keys: the one secret of the operator, and everything derived from it (HKDF-SHA-256, RFC 5869, one label a use).
//!
//! Lives here: key ids and check values, the MACs of tokens, sealing of records (`seal`), the keys of the audit stream (`audit`), and what the ring document says
//! of order and burnt keys. Must not live here: what is MACed or sealed (`tokens`, `records`), and reading settings (`config`).
//!
//! The root keys themselves are not kept: only what was derived from them.

mod audit;
mod seal;

pub use audit::{AuditKey, Hidden};
pub use seal::FRONT_BYTES;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use jeton_domain::error::{Error, Result};
use jeton_domain::id::KeyId;
use jeton_domain::ring::RingOrder;
use jeton_domain::secret::Secret;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use zeroize::Zeroizing;

/// What a derived MAC key is for. Each has an HKDF label of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    /// Tags of refresh tokens.
    RefreshToken,
    /// Tags of authorization codes.
    AuthorizationCode,
    /// Tags of opaque access tokens.
    OpaqueAccessToken,
    /// The MAC in an access token's `jti`.
    Jti,
    /// The names of user codes in the store.
    UserCode,
    /// The nonces that DPoP proofs must name.
    DpopNonce,
}

/// The ring: every root key that this replica was given, and what the store's ring document says of them.
pub struct Roots {
    keys: Vec<Root>,
    document: RwLock<Arc<Document>>,
    changes: AtomicU64,
}

/// What the ring document in the store says.
struct Document {
    order: Arc<RingOrder>,
    burnt: Vec<KeyId>,
}

/// What was derived from one root key.
struct Root {
    id: KeyId,
    check: [u8; 16],
    seal: hmac::Key,
    refresh_token: hmac::Key,
    authorization_code: hmac::Key,
    opaque_access_token: hmac::Key,
    jti: hmac::Key,
    user_code: hmac::Key,
    dpop_nonce: hmac::Key,
}

impl Roots {
    /// Derives everything. The active key comes first; until `learn` the ring document is taken to be empty.
    ///
    /// # Errors
    /// `Error::Invalid` naming `root_key`: none, one given twice, or two that derive the same 4-byte id.
    pub fn new(keys: &[Secret<32>]) -> Result<Self> {
        let mut roots = Vec::<Root>::with_capacity(keys.len());
        for key in keys {
            let root = Root::derive(key)?;
            if roots.iter().any(|known| known.id == root.id) {
                return Err(Error::invalid("root_key", "names the same key twice: give each key of the ring once"));
            }
            roots.push(root);
        }
        let Some(first) = roots.first() else {
            return Err(Error::invalid("root_key", "must name at least one key: `jeton keys generate-root` makes one"));
        };
        let order = Arc::new(RingOrder::new(first.id, Vec::new()));
        let document = RwLock::new(Arc::new(Document { order, burnt: Vec::new() }));
        Ok(Self { keys: roots, document, changes: AtomicU64::new(0) })
    }

    /// The key that this replica was told to hand out and seal under: the first that is not burnt.
    #[must_use]
    pub fn active(&self) -> KeyId {
        self.document().order.active()
    }

    /// The ids of the keys that are here, the active one first.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = KeyId> {
        self.keys.iter().map(|root| root.id)
    }

    /// What proves to other replicas that this one has the key, without telling it; none where it is not here.
    #[must_use]
    pub fn check(&self, id: KeyId) -> Option<[u8; 16]> {
        self.root(id).map(|root| root.check)
    }

    /// The age of the keys, as the ring document has it.
    #[must_use]
    pub fn order(&self) -> Arc<RingOrder> {
        Arc::clone(&self.document().order)
    }

    /// Takes over what the ring document says: the age of its keys (a higher number is a newer key), and those that prove
    /// nothing any more, which no document takes back. Where all keys that are here are burnt the active one stays, and nothing can be made
    /// under it.
    pub fn learn(&self, seqs: Vec<(KeyId, u32)>, burnt: Vec<KeyId>) {
        self.exchange(|_known| seqs, burnt);
    }

    /// Lets a key prove nothing any more, whatever the ring document says.
    pub fn burn(&self, id: KeyId) {
        self.exchange(|known| known.seqs().to_vec(), vec![id]);
    }

    /// What was burnt stays so.
    fn exchange(&self, seqs: impl FnOnce(&RingOrder) -> Vec<(KeyId, u32)>, mut burnt: Vec<KeyId>) {
        let mut document = self.document.write().unwrap_or_else(PoisonError::into_inner);
        burnt.extend(&document.burnt);
        burnt.sort_unstable();
        burnt.dedup();
        let active = self.ids().find(|id| !burnt.contains(id)).unwrap_or_else(|| document.order.active());
        let is_changed = document.burnt != burnt;
        *document = Arc::new(Document { order: Arc::new(RingOrder::new(active, seqs(&document.order))), burnt });
        // After it: who reads the number and then a key has what the document says under that number, or under a later one.
        if is_changed {
            self.changes.fetch_add(1, Ordering::Release);
        }
    }

    /// How often it changed which keys are burnt: under the same number each proves what it did.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Whether a newer key is here, which takes over where this one is burnt.
    #[must_use]
    pub fn is_replaceable(&self, id: KeyId) -> bool {
        let document = self.document();
        self.ids().any(|other| document.order.newer(other, id) && !document.burnt.contains(&other))
    }

    /// Whether it proves nothing any more, as the store's ring document says.
    #[must_use]
    pub fn is_burnt(&self, id: KeyId) -> bool {
        self.document().burnt.contains(&id)
    }

    /// The keys of the store's ring document that prove something.
    #[must_use]
    pub fn in_use(&self) -> Vec<KeyId> {
        let document = self.document();
        document.order.seqs().iter().map(|(id, _)| *id).filter(|id| !document.burnt.contains(id)).collect()
    }

    /// Whether the key is in the store's ring document.
    #[must_use]
    pub fn registered(&self, id: KeyId) -> bool {
        self.document().order.contains(id)
    }

    /// HMAC-SHA-256 over the parts, one after another without separators: parts before the last must be of fixed length.
    ///
    /// None where the key proves nothing: it is burnt, or neither here nor in the ring document.
    ///
    /// # Errors
    /// `Error::RootKeyMissing` where the ring document has the key and this replica does not.
    pub fn mac(&self, key: KeyId, usage: Use, parts: &[&[u8]]) -> Result<Option<[u8; 32]>> {
        let document = self.document();
        if document.burnt.contains(&key) {
            return Ok(None);
        }
        match self.root(key) {
            Some(root) => Ok(Some(mac(root.key(usage), parts))),
            None if document.order.contains(key) => Err(Error::RootKeyMissing(key.to_string())),
            None => Ok(None),
        }
    }

    fn document(&self) -> Arc<Document> {
        Arc::clone(&self.document.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn root(&self, id: KeyId) -> Option<&Root> {
        self.keys.iter().find(|root| root.id == id)
    }
}

impl Root {
    fn derive(key: &Secret<32>) -> Result<Self> {
        let prk = extract(key);
        let mut check = [0; 16];
        expand(&prk, "jeton v1 check", &mut check)?;
        Ok(Self {
            id: key_id(&prk)?,
            check,
            seal: mac_key(&prk, "jeton v1 seal")?,
            refresh_token: mac_key(&prk, "jeton v1 refresh token")?,
            authorization_code: mac_key(&prk, "jeton v1 authorization code")?,
            opaque_access_token: mac_key(&prk, "jeton v1 opaque access token")?,
            jti: mac_key(&prk, "jeton v1 jti")?,
            user_code: mac_key(&prk, "jeton v1 user code")?,
            dpop_nonce: mac_key(&prk, "jeton v1 DPoP nonce")?,
        })
    }

    const fn key(&self, usage: Use) -> &hmac::Key {
        match usage {
            Use::RefreshToken => &self.refresh_token,
            Use::AuthorizationCode => &self.authorization_code,
            Use::OpaqueAccessToken => &self.opaque_access_token,
            Use::Jti => &self.jti,
            Use::UserCode => &self.user_code,
            Use::DpopNonce => &self.dpop_nonce,
        }
    }
}

/// The length of what is expanded, as HKDF wants to be told.
#[derive(Clone, Copy)]
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn extract(key: &Secret<32>) -> Prk {
    Salt::new(HKDF_SHA256, &[]).extract(key.expose())
}

fn key_id(prk: &Prk) -> Result<KeyId> {
    let mut id = [0; 4];
    expand(prk, "jeton v1 key id", &mut id)?;
    Ok(KeyId(id))
}

fn expand(prk: &Prk, label: &str, out: &mut [u8]) -> Result<()> {
    prk.expand(&[label.as_bytes()], Length(out.len()))
        .and_then(|okm| okm.fill(out))
        .map_err(|Unspecified| Error::Internal("a key could not be derived".into()))
}

fn mac_key(prk: &Prk, label: &str) -> Result<hmac::Key> {
    let mut bytes = Zeroizing::new([0; 32]);
    expand(prk, label, bytes.as_mut_slice())?;
    Ok(hmac::Key::new(HMAC_SHA256, bytes.as_slice()))
}

fn mac(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    out
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").field("ids", &self.ids().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> Roots {
        Roots::new(&[Secret::new([1; 32]), Secret::new([2; 32])]).unwrap()
    }

    fn stranger() -> KeyId {
        Roots::new(&[Secret::new([3; 32])]).unwrap().active()
    }

    #[test]
    fn an_empty_ring_and_a_key_given_twice_are_refused() {
        assert!(matches!(Roots::new(&[]), Err(Error::Invalid { .. })));
        assert!(matches!(Roots::new(&[Secret::new([1; 32]), Secret::new([1; 32])]), Err(Error::Invalid { .. })));
    }

    #[test]
    fn the_first_key_is_active_and_ids_are_the_same_on_every_replica() {
        let other = Roots::new(&[Secret::new([2; 32]), Secret::new([1; 32])]).unwrap();
        let ids = ring().ids().collect::<Vec<_>>();
        assert_eq!(ring().active(), ids[0]);
        assert_eq!(other.active(), ids[1]);
        assert_eq!(other.check(ids[0]), ring().check(ids[0]));
        assert_ne!(ring().check(ids[0]), ring().check(ids[1]));
        assert_eq!(ring().check(stranger()), None);
    }

    #[test]
    fn every_use_has_a_key_of_its_own() {
        let (roots, id) = (ring(), ring().active());
        let mut macs =
            [Use::RefreshToken, Use::AuthorizationCode, Use::OpaqueAccessToken, Use::Jti, Use::UserCode, Use::DpopNonce]
                .map(|usage| roots.mac(id, usage, &[b"same"]).unwrap().unwrap())
                .to_vec();
        macs.sort_unstable();
        macs.dedup();
        assert_eq!(macs.len(), 6);
        assert_eq!(roots.mac(id, Use::Jti, &[b"sa", b"me"]), roots.mac(id, Use::Jti, &[b"same"]));
    }

    #[test]
    fn a_key_registered_but_missing_is_told_apart_from_an_unknown_one() {
        let (roots, missing) = (ring(), stranger());
        assert_eq!(roots.mac(missing, Use::Jti, &[]), Ok(None));
        roots.learn(vec![(roots.active(), 1), (missing, 2)], vec![]);
        assert_eq!(roots.mac(missing, Use::Jti, &[]), Err(Error::RootKeyMissing(missing.to_string())));
        assert!(roots.registered(missing));
    }

    #[test]
    fn a_burnt_key_proves_nothing_and_is_not_active() {
        let roots = ring();
        let ids = roots.ids().collect::<Vec<_>>();
        roots.learn(vec![(ids[0], 2), (ids[1], 1)], vec![]);
        let before = roots.changes();
        for _ in 0..2 {
            roots.learn(vec![(ids[0], 2), (ids[1], 1)], vec![ids[0]]);
            assert_eq!(roots.mac(ids[0], Use::RefreshToken, &[]), Ok(None));
            assert_eq!((roots.active(), roots.changes()), (ids[1], before + 1));
        }
        // A store that fell back says otherwise.
        roots.learn(vec![(ids[0], 2), (ids[1], 1)], vec![]);
        assert!(roots.is_burnt(ids[0]) && roots.changes() == before + 1);
        // And the log may know it first, of a ring whose order stays.
        let roots = ring();
        roots.learn(vec![(ids[0], 2), (ids[1], 1)], vec![]);
        roots.burn(ids[0]);
        assert_eq!((roots.mac(ids[0], Use::RefreshToken, &[]), roots.active(), roots.in_use()), (Ok(None), ids[1], vec![ids[1]]));
        assert!(roots.order().newer(ids[0], ids[1]));
    }

    #[test]
    fn debug_is_silent() {
        let shown = format!("{:?}", ring());
        assert!(shown.starts_with("Roots { ids: [KeyId(") && shown.ends_with(", .. }"), "{shown}");
    }
}

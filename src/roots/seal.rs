//! Sealing: AES-256-GCM under a key derived per record name, with the swap's stamp as nonce and the name as associated data.
//!
//! A sealed value is `version | root key id 4 | stamp 12 | ciphertext | tag 16`. Its first 17 bytes are what a store's swap compares.
//! One key for each name, because one key with random 96-bit nonces would wear out (NIST SP 800-38D section 8.3: 2^32 uses).

use super::{Root, Roots, mac};
use crate::random;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use bytes::Bytes;
use jeton_domain::error::{Error, Result};
use jeton_domain::id::KeyId;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const KEY_ID_BYTES: usize = 4;
const TAG_BYTES: usize = 16;

/// Bytes before the ciphertext: version, root key id and stamp. What a store's swap compares.
pub const FRONT_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_LEN;

impl Roots {
    /// Seals a record for its name, under the active key and a fresh random stamp.
    ///
    /// # Errors
    /// `Error::Internal` where the system has no randomness.
    pub fn seal(&self, name: &str, plain: &[u8]) -> Result<Bytes> {
        let active = self.active();
        let root = self.root(active).ok_or_else(|| Error::RootKeyMissing(active.to_string()))?;
        let stamp: [u8; NONCE_LEN] = random::bytes()?;
        let mut value = Vec::with_capacity(FRONT_BYTES + plain.len() + TAG_BYTES);
        value.push(VERSION);
        value.extend_from_slice(&active.0);
        value.extend_from_slice(&stamp);
        value.extend_from_slice(plain);
        let Some(in_place) = value.get_mut(FRONT_BYTES..) else {
            return Err(Error::Internal("a sealed value has no room".into()));
        };
        let tag = record_key(root, name)?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(stamp), Aad::from(name.as_bytes()), in_place)
            .map_err(|Unspecified| Error::Internal("a record could not be sealed".into()))?;
        value.extend_from_slice(tag.as_ref());
        Ok(value.into())
    }

    /// Whether it was sealed under a key that is older than the active one.
    #[must_use]
    pub fn is_outdated(&self, sealed: &[u8]) -> bool {
        let key = sealed.get(1..).and_then(<[u8]>::first_chunk::<KEY_ID_BYTES>);
        key.is_some_and(|id| self.order().older(KeyId(*id), self.active()))
    }

    /// Opens what was sealed for this name. The plain bytes are wiped when dropped.
    /// A burnt key still opens, so that what it sealed can be replaced.
    ///
    /// # Errors
    /// `Error::RootKeyMissing` where the ring document has the key and this replica does not.
    /// `Error::RecordUnreadable` for everything else: another version, too short, tampered with, sealed for another name.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let unreadable = |why: &str| Error::RecordUnreadable(why.into());
        let (version, rest) = sealed.split_first().ok_or_else(|| unreadable("it is empty"))?;
        if *version != VERSION {
            return Err(unreadable("its format is of another version"));
        }
        let (id, rest) = rest.split_first_chunk::<KEY_ID_BYTES>().ok_or_else(|| unreadable("it is cut short"))?;
        let (stamp, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(|| unreadable("it is cut short"))?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or_else(|| unreadable("it is cut short"))?;

        let id = KeyId(*id);
        let root = match self.root(id) {
            Some(root) => root,
            None if self.registered(id) => return Err(Error::RootKeyMissing(id.to_string())),
            None => return Err(unreadable("it is sealed under a root key that no ring has")),
        };
        let mut plain = Zeroizing::new(ciphertext.to_vec());
        record_key(root, name)?
            .open_in_place_separate_tag(Nonce::assume_unique_for_key(*stamp), Aad::from(name.as_bytes()), tag, &mut plain)
            .map_err(|Unspecified| unreadable("its seal is broken"))?;
        Ok(plain)
    }
}

fn record_key(root: &Root, name: &str) -> Result<LessSafeKey> {
    let bytes = Zeroizing::new(mac(&root.seal, &[name.as_bytes()]));
    UnboundKey::new(&AES_256_GCM, bytes.as_slice())
        .map(LessSafeKey::new)
        .map_err(|Unspecified| Error::Internal("a sealing key could not be made".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jeton_domain::secret::Secret;

    const NAME: &str = "jeton:{ab12}:g:grant";

    fn roots(keys: &[u8]) -> Roots {
        Roots::new(&keys.iter().map(|key| Secret::new([*key; 32])).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_sealed_record_opens_under_its_name_only() {
        let roots = roots(&[1]);
        for plain in [&b""[..], b"alice", &[7; 64 * 1024]] {
            let sealed = roots.seal(NAME, plain).unwrap();
            assert_eq!(roots.open(NAME, &sealed).unwrap().as_slice(), plain);
            assert!(matches!(roots.open("jeton:{ab12}:g:other", &sealed), Err(Error::RecordUnreadable(_))));
        }
    }

    #[test]
    fn every_stamp_is_fresh() {
        let roots = roots(&[1]);
        let [one, two] = [roots.seal(NAME, b"same").unwrap(), roots.seal(NAME, b"same").unwrap()];
        assert_ne!(one[..FRONT_BYTES], two[..FRONT_BYTES]);
        assert_ne!(one[FRONT_BYTES..], two[FRONT_BYTES..]);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_unreadable() {
        let roots = roots(&[1]);
        let sealed = roots.seal(NAME, b"alice").unwrap();
        for at in 0..sealed.len() * 8 {
            let mut bytes = sealed.to_vec();
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(matches!(roots.open(NAME, &bytes), Err(Error::RecordUnreadable(_))), "bit {at}");
        }
        for length in 0..sealed.len() {
            assert!(matches!(roots.open(NAME, &sealed[..length]), Err(Error::RecordUnreadable(_))), "{length} bytes");
        }
    }

    #[test]
    fn an_older_key_still_opens_and_a_missing_one_is_named() {
        let (old, both, new) = (roots(&[1]), roots(&[2, 1]), roots(&[2]));
        let sealed = old.seal(NAME, b"alice").unwrap();
        assert_eq!(both.open(NAME, &sealed).unwrap().as_slice(), b"alice");
        assert!(matches!(new.open(NAME, &sealed), Err(Error::RecordUnreadable(_))));
        new.learn(vec![(old.active(), 1), (new.active(), 2)], vec![]);
        assert_eq!(new.open(NAME, &sealed), Err(Error::RootKeyMissing(old.active().to_string())));
        assert_eq!(new.open(NAME, &new.seal(NAME, b"bob").unwrap()).unwrap().as_slice(), b"bob");
    }

    #[test]
    fn a_burnt_key_opens_but_seals_no_more() {
        let ring = roots(&[2, 1]);
        let sealed = ring.seal(NAME, b"alice").unwrap();
        let burnt = ring.active();
        ring.learn(vec![(burnt, 2)], vec![burnt]);
        assert_eq!(ring.open(NAME, &sealed).unwrap().as_slice(), b"alice");
        assert_ne!(ring.seal(NAME, b"alice").unwrap()[1..5], burnt.0);
    }
}

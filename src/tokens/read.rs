//! Proving tokens: tags and MACs, compared in constant time. JWTs are in `jws`.

use super::mint::first;
use super::{JTI_MAC_BYTES, JtiBody, OPAQUE_LABEL, Tokens, numbered_label};
use crate::roots::Use;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::error::Result;
use jeton_domain::id::{Generation, GrantId, KeyId};
use jeton_domain::secret::Secret;
use jeton_domain::token::{Numbered, Opaque};
use subtle::ConstantTimeEq as _;

const JTI_CHARACTERS: usize = 32;

impl Tokens {
    /// Whether the tag of a refresh token or authorization code is genuine under the grant's nonce.
    /// Under a key that is burnt or in no ring nothing is.
    ///
    /// # Errors
    /// `Error::RootKeyMissing` where the ring document has the key and this replica does not.
    pub fn prove(&self, presented: &Numbered, nonce: &Secret<16>) -> Result<bool> {
        let (label, usage) = numbered_label(presented.kind);
        let mac = self.roots.mac(presented.key, usage, &[label, &presented.body(), nonce.expose()])?;
        Ok(mac.is_some_and(|mac| mac.ct_eq(&presented.tag).into()))
    }

    /// Whether the tag of an opaque access token is genuine under the grant's nonce.
    ///
    /// # Errors
    /// As `prove`.
    pub fn prove_opaque(&self, presented: &Opaque, nonce: &Secret<16>) -> Result<bool> {
        let parts = [OPAQUE_LABEL, &presented.body(), nonce.expose()];
        let mac = self.roots.mac(presented.key, Use::OpaqueAccessToken, &parts)?;
        Ok(mac.is_some_and(|mac| first::<16>(&mac).ct_eq(&presented.tag).into()))
    }

    /// What a `jti` says, where its MAC is genuine for this grant (none: client credentials without one).
    ///
    /// # Errors
    /// As `prove`.
    pub fn read_jti(&self, grant: Option<GrantId>, jti: &str) -> Result<Option<(KeyId, Generation)>> {
        let Some((body, presented)) = parse_jti(grant, jti) else { return Ok(None) };
        let key = KeyId(body.key);
        let mac = self.roots.mac(key, Use::Jti, &body.parts())?;
        let genuine = mac.is_some_and(|mac| first::<JTI_MAC_BYTES>(&mac).ct_eq(&presented).into());
        Ok(genuine.then(|| (key, u32::from_be_bytes(body.generation))))
    }

    /// The generation that the `jti` of a verified token says. Its MAC is not asked: the token's signature covers it.
    #[must_use]
    pub fn generation_of(jti: &str) -> Generation {
        parse_jti(None, jti).map_or(0, |(body, _)| u32::from_be_bytes(body.generation))
    }
}

fn parse_jti(grant: Option<GrantId>, jti: &str) -> Option<(JtiBody, [u8; JTI_MAC_BYTES])> {
    if jti.len() != JTI_CHARACTERS {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(jti).ok()?;
    let (key, rest) = bytes.split_first_chunk::<4>()?;
    let (random, rest) = rest.split_first_chunk::<8>()?;
    let (generation, mac) = rest.split_first_chunk::<4>()?;
    let body = JtiBody::new(grant, KeyId(*key), *random, u32::from_be_bytes(*generation));
    Some((body, mac.try_into().ok()?))
}

//! Making tokens: the tag of what is derived, the signature of what is signed.

use super::{JTI_MAC_BYTES, JtiBody, OPAQUE_LABEL, Tokens, numbered_label};
use crate::random;
use crate::roots::Use;
use crate::signing::Typ;
use aws_lc_rs::digest::{SHA256, SHA512, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::client::Algorithm;
use jeton_domain::error::{Error, Result};
use jeton_domain::grant::Grant;
use jeton_domain::id::{Generation, GrantId, KeyId};
use jeton_domain::name::ResourceId;
use jeton_domain::scope::Scopes;
use jeton_domain::secret::SecretText;
use jeton_domain::time::{Millis, Timestamp};
use jeton_domain::token::{Numbered, NumberedKind, Opaque};
use serde::Serialize;

impl Tokens {
    /// The refresh token of that generation. The same input gives the same token.
    ///
    /// # Errors
    /// `Error::RootKeyMissing`. `Error::Internal` where the key is burnt or in no ring.
    pub fn refresh_token(&self, grant: &Grant, generation: Generation, key: KeyId) -> Result<SecretText> {
        self.numbered(NumberedKind::Refresh, grant, generation, key)
    }

    /// The authorization code of that generation (always 0), under a label of its own.
    ///
    /// # Errors
    /// As `refresh_token`.
    pub fn authorization_code(&self, grant: &Grant, generation: Generation, key: KeyId) -> Result<SecretText> {
        self.numbered(NumberedKind::Code, grant, generation, key)
    }

    /// An opaque access token for some of the grant's scopes and resources. Times are cut to whole seconds.
    ///
    /// # Errors
    /// `Error::Internal`: a scope or resource that is not the grant's or is beyond what bits can say, a lifetime of no second
    /// or beyond `Opaque::MAX_LIFETIME`, no randomness; and as `refresh_token`.
    #[expect(clippy::too_many_arguments, reason = "these are the fields of the token; a struct for them would be that token")]
    pub fn opaque(
        &self,
        grant: &Grant,
        generation: Generation,
        key: KeyId,
        now: Timestamp,
        lifetime: Millis,
        scopes: &Scopes,
        resources: &[ResourceId],
    ) -> Result<SecretText> {
        let cannot_say = |what: &str| Error::Internal(format!("an opaque access token cannot say {what}"));
        if lifetime.secs() == 0 || lifetime > Opaque::MAX_LIFETIME {
            return Err(cannot_say("this lifetime"));
        }
        let mut token = Opaque {
            key,
            grant: grant.id,
            generation,
            issued_at: now,
            lifetime,
            scope_bits: Opaque::bits_of_scopes(grant, scopes).ok_or_else(|| cannot_say("these scopes"))?,
            resource_bits: Opaque::bits_of_resources(grant, resources).ok_or_else(|| cannot_say("these resources"))?,
            random: random::bytes()?,
            tag: [0; 16],
        };
        let parts = [OPAQUE_LABEL, &token.body(), grant.nonce.expose()];
        let mac = self.mint(key, Use::OpaqueAccessToken, &parts)?;
        token.tag = first(&mac);
        Ok(token.encode())
    }

    /// The `jti` of an access token: base64url of key id 4, random 8, generation 4, MAC 8. The MAC covers the grant id too,
    /// zeros if none. An opaque token's is made of its own fields.
    ///
    /// # Errors
    /// As `refresh_token`.
    pub fn jti(&self, grant: Option<GrantId>, generation: Generation, random: [u8; 8], key: KeyId) -> Result<String> {
        let body = JtiBody::new(grant, key, random, generation);
        let mac: [u8; JTI_MAC_BYTES] = first(&self.mint(key, Use::Jti, &body.parts())?);
        let mut bytes = Vec::with_capacity(24);
        for part in [&body.key[..], &body.random, &body.generation, &mac] {
            bytes.extend_from_slice(part);
        }
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Signs claims with the key that signs now. `claims` must serialize to a JSON object with everything in it, `iss` too.
    ///
    /// # Errors
    /// `Error::Internal`: no key of this algorithm is loaded, or the claims cannot be written.
    pub fn sign(&self, typ: Typ, algorithm: Algorithm, claims: &impl Serialize, now: Timestamp) -> Result<SecretText> {
        let key = self.signing.signer(algorithm, now)?;
        let claims = serde_json::to_vec(claims).map_err(|e| Error::Internal(format!("claims could not be written: {e}")))?;
        let header = key.header(typ);
        let mut jws = String::with_capacity(header.len() + claims.len().div_ceil(3) * 4 + 88);
        jws.push_str(header);
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut jws);
        let signature = key.sign(jws.as_bytes())?;
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut jws);
        Ok(SecretText::new(jws))
    }

    fn numbered(&self, kind: NumberedKind, grant: &Grant, generation: Generation, key: KeyId) -> Result<SecretText> {
        let mut token = Numbered { kind, key, grant: grant.id, generation, tag: [0; 32] };
        let (label, usage) = numbered_label(kind);
        token.tag = self.mint(key, usage, &[label, &token.body(), grant.nonce.expose()])?;
        Ok(token.encode())
    }

    pub(super) fn mint(&self, key: KeyId, usage: Use, parts: &[&[u8]]) -> Result<[u8; 32]> {
        let mac = self.roots.mac(key, usage, parts)?;
        mac.ok_or_else(|| Error::Internal(format!("root key `{key}` is burnt, or in no ring: nothing can be made under it")))
    }
}

/// The `at_hash` of an ID token (OIDC Core section 3.1.3.6): the left half of the hash that the signature algorithm uses.
///
/// For EdDSA the specification names no hash. Ed25519 hashes with SHA-512 (RFC 8032 section 5.1), and so do the relying-party
/// libraries that check an `at_hash` under EdDSA, so its left half it is: 32 bytes. For ES256 and RS256 the left half of SHA-256: 16 bytes.
#[must_use]
pub fn at_hash(algorithm: Algorithm, access_token: &str) -> String {
    let hash = match algorithm {
        Algorithm::EdDsa => digest(&SHA512, access_token.as_bytes()),
        Algorithm::Es256 | Algorithm::Rs256 => digest(&SHA256, access_token.as_bytes()),
    };
    let (left, _) = hash.as_ref().split_at(hash.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}

/// The first `N` bytes of a MAC (RFC 2104 section 5).
pub(super) fn first<const N: usize>(mac: &[u8; 32]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(mac) {
        *to = *from;
    }
    out
}

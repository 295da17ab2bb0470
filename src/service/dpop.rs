//! DPoP: who asks for tokens, or shows one, proves the key that it is bound to (RFC 9449).
//!
//! A proof counts once, and that is written down; so it is counted last, when all else about the request is known to be genuine, and
//! nobody who holds nothing makes records.

use crate::service::{Credentials, Service};
use jeton_domain::dpop::{Expected, Refusal};
use jeton_domain::error::{Error, Result};
use jeton_domain::grant::Proof;
use jeton_domain::id::TargetId;
use jeton_domain::secret::SecretText;
use jeton_domain::time::{Millis, Timestamp};
use std::borrow::Cow;

/// Where the token endpoint is, under the issuer. Proofs are made for it, by whatever way they come here.
pub const TOKEN_PATH: &str = "/oauth2/token";
/// Where user info is, under the issuer. Proofs that come with an access token are made for it, and for that token.
pub const USERINFO_PATH: &str = "/oauth2/userinfo";

/// What is asked of proofs.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Their `iat` may be so far from now, to either side.
    pub window: Millis,
    /// Whether they must name a nonce of ours.
    pub requires_nonce: bool,
}

/// Where a request went.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// To an endpoint of ours: its path under the issuer.
    Ours(&'static str),
    /// Through a gateway, to this URI.
    Uri(&'a str),
}

/// The request that a proof must have been made for.
#[derive(Debug)]
pub(super) struct MadeFor<'a> {
    /// Its method.
    pub method: &'a str,
    /// Where it went.
    pub at: Place<'a>,
    /// The access token that comes with it.
    pub access_token: Option<&'a str>,
}

/// What the holder of a token, or who is to be it, proved beside who the client is.
#[derive(Debug)]
pub(super) struct Holder {
    /// What it proved.
    pub proof: Proof,
    /// The DPoP proof, not counted yet.
    shown: Option<Shown>,
}

#[derive(Debug)]
struct Shown {
    id: TargetId,
    until: Timestamp,
    next_nonce: Option<String>,
}

impl Holder {
    /// The nonce for the next proof; none where none need be named.
    pub fn next_nonce(&self) -> Option<String> {
        self.shown.as_ref().and_then(|shown| shown.next_nonce.clone())
    }
}

impl Service {
    /// What is proved beside who the client is. A DPoP proof has to be counted before anything is handed out for it.
    ///
    /// # Errors
    /// `InvalidDpopProof`, `UseDpopNonce`.
    pub(super) fn holder(&self, credentials: &Credentials) -> Result<Holder> {
        let made_for = MadeFor { method: "POST", at: Place::Ours(TOKEN_PATH), access_token: None };
        self.holder_at(&made_for, credentials.thumbprint(), credentials.dpop.as_ref())
    }

    /// The same of any request.
    ///
    /// # Errors
    /// As `holder`.
    pub(super) fn holder_at(
        &self,
        made_for: &MadeFor<'_>,
        certificate: Option<[u8; 32]>,
        dpop: Option<&SecretText>,
    ) -> Result<Holder> {
        let mut proof = Proof { jkt: None, x5t: certificate };
        let Some(shown) = dpop else { return Ok(Holder { proof, shown: None }) };
        let now = self.clock.now();
        let MadeFor { method, at, access_token } = *made_for;
        let uri = match at {
            Place::Ours(path) => Cow::Owned(format!("{}{path}", self.issuer())),
            Place::Uri(uri) => Cow::Borrowed(uri),
        };
        let terms = self.terms().dpop;
        let expected = Expected { method, uri: &uri, access_token, now, window: terms.window };
        let proven = self.tokens.dpop_proof(shown.expose(), &expected)?;
        let is_nonce_right = match &proven.nonce {
            Some(nonce) => self.tokens.is_dpop_nonce(nonce, now),
            None => !terms.requires_nonce,
        };
        if !is_nonce_right {
            return Err(Error::UseDpopNonce(self.tokens.dpop_nonce(now)?));
        }
        // Who names none and need not is not asked to.
        let next_nonce = if proven.nonce.is_some() { Some(self.tokens.dpop_nonce(now)?) } else { None };
        proof.jkt = Some(proven.jkt);
        let id = self.alive.salt().dpop_proof(&proven.jkt, &proven.jti);
        Ok(Holder { proof, shown: Some(Shown { id, until: proven.until, next_nonce }) })
    }

    /// Counts the DPoP proof, where there is one.
    ///
    /// # Errors
    /// `InvalidDpopProof` where it was counted before, on whichever replica; the store.
    pub(super) async fn count_proof(&self, holder: &Holder) -> Result<()> {
        let Some(Shown { id, until, .. }) = &holder.shown else { return Ok(()) };
        if self.records.count_shown(*id, *until).await? { Ok(()) } else { Err(Refusal::Replayed.into()) }
    }
}

impl Credentials {
    /// Where no key is bound, a proof of one says nothing, and is not passed over in silence.
    ///
    /// # Errors
    /// `Invalid`.
    pub(super) fn without_proof(&self) -> Result<()> {
        match self.dpop {
            None => Ok(()),
            Some(_) => {
                let problem = "goes with Issue, Refresh, Exchange and the exchange of a code only";
                Err(Error::invalid("client_authentication.dpop_proof", problem))
            }
        }
    }
}

//! The grant: what a subject allowed a client, from one Issue, and the state of its refresh tokens. One record for ever.
//!
//! The decisions over it live in `issue`, `refresh` and `arrival`.

use crate::access::Ancestor;
use crate::client::{Client, GrantType};
use crate::dpop;
use crate::error::{Ended, Error, Result};
use crate::id::{Generation, GrantId, Identity, KeyId, RequestHash};
use crate::name::{ClientId, ResourceId, SessionId, Subject};
use crate::pkce::Challenge;
use crate::redirect::RedirectUri;
use crate::revision::Born;
use crate::scope::{OPENID, Scopes};
use crate::secret::Secret;
use crate::time::{Millis, Timestamp};
use serde_json::{Map, Value};

/// What a subject allowed a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// Who allowed it.
    pub subject: Subject,
    /// Whom.
    pub client: ClientId,
    /// The sign-in it came from, where one was named.
    pub session: Option<SessionId>,
    /// The scopes granted. INVARIANT: never changes; opaque access tokens point into it by bit (a grant with more than 64 has JWTs only).
    pub scopes: Scopes,
    /// The resources granted. INVARIANT: never changes; opaque access tokens point into it by bit (a grant with more than 16 has JWTs only).
    pub resources: Vec<ResourceId>,
    /// How the subject signed in.
    pub sign_in: SignIn,
    /// The key or certificate the holder must prove.
    pub binding: Option<Binding>,
    /// The log's head when it was issued.
    pub born: Born,
    /// When it was issued.
    pub created_at: Timestamp,
    /// Unused for this long it expires.
    pub idle: Millis,
    /// However used, it expires here. INVARIANT: no refresh moves it.
    pub absolute_end: Timestamp,
    /// Random; with the root key it derives the refresh tokens. Lives only in the store.
    pub nonce: Secret<16>,
    /// The generations of its refresh tokens; `refreshable` says whether it has any.
    pub lineage: Lineage,
    /// Set once it was ended.
    pub ended: Option<Ended>,
    /// Authorization details (RFC 9396), as the JSON array of the request; empty where there are none.
    pub authorization_details: Vec<Value>,
    /// Further claims of its access tokens.
    pub access_claims: Map<String, Value>,
    /// Further claims of its ID tokens.
    pub id_claims: Map<String, Value>,
    /// How many of its access tokens were revoked one by one; the 16th ends the grant.
    pub tokens_revoked: u8,
    /// The acting party, where it came by token exchange (RFC 8693 section 4.1).
    pub act: Option<Map<String, Value>>,
    /// The tokens that its token was exchanged for; empty for every other grant.
    pub ancestors: Vec<Ancestor>,
}

/// The generations of a grant's refresh tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lineage {
    /// Whether refresh tokens are handed out at all.
    pub refreshable: bool,
    /// n: the newest generation handed out.
    pub newest: Generation,
    /// The newest generation known to have arrived below n.
    pub parent: Generation,
    /// Bit i: generation n - i arrived.
    pub arrived: u32,
    /// The newest generation whose access token was seen; 0 none.
    pub reported: Generation,
    /// When n was handed out, or its overlap last began anew. Issue sets `NEVER`, so that the first refresh rotates.
    /// INVARIANT: within the overlap it equals `used_at` until the overlap begins anew, and never after; so keep the milliseconds.
    pub handed_at: Timestamp,
    /// When it was last used, to within the overlap or a hundredth of the idle lifetime, whichever is longer.
    pub used_at: Timestamp,
    /// The root key that minted n.
    pub key: KeyId,
    /// The generation at which that key took over.
    pub key_since: Generation,
    /// The request that n was asked for with.
    pub request: Option<RequestHash>,
    /// The store's primary under which n was handed out.
    pub identity: Identity,
    /// Where generation 0 is an authorization code: until when, and what redeems it.
    pub code: Option<Code>,
}

impl Lineage {
    /// Of a grant that is made now under that root key. No primary of the store is known to hold it yet.
    #[must_use]
    pub fn new(now: Timestamp, key: KeyId, refreshable: bool) -> Self {
        Self {
            refreshable,
            newest: u32::from(refreshable),
            parent: 0,
            arrived: 0,
            reported: 0,
            handed_at: Timestamp::NEVER,
            used_at: now,
            key,
            key_since: 0,
            request: None,
            identity: Identity([0; 8]),
            code: None,
        }
    }
}

/// An authorization code's terms (RFC 6749 section 4.1, RFC 7636).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Code {
    /// It is redeemable before this.
    pub until: Timestamp,
    /// SHA-256 that the verifier must have (`S256`).
    pub challenge: Option<Challenge>,
    /// The redirect URI that must be repeated exactly.
    pub redirect_uri: Option<RedirectUri>,
    /// The `nonce` of the ID token that comes with the redemption (OIDC Core section 3.1.2.1).
    pub nonce: Option<Box<str>>,
    /// The DPoP key that must be proved at the redemption (RFC 9449 section 10).
    pub jkt: Option<[u8; 32]>,
}

/// How a subject signed in, as the login service says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// When (OIDC Core section 2 `auth_time`). None for client credentials.
    pub auth_time: Option<Timestamp>,
    /// The authentication context class (OIDC Core section 2 `acr`).
    pub acr: Option<String>,
    /// The methods (RFC 8176 `amr`).
    pub amr: Vec<String>,
    /// The flow that it came by.
    pub method: GrantType,
}

/// The sender constraint of a grant's tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Binding {
    /// A DPoP key's JWK thumbprint (RFC 9449 section 6.1 `jkt`).
    Jkt([u8; 32]),
    /// A certificate's SHA-256 thumbprint (RFC 8705 section 3.1 `x5t#S256`).
    X5t([u8; 32]),
}

impl Binding {
    /// The type of a token with or without a binding: `Bearer` (RFC 6750), or `DPoP` (RFC 9449 section 5) where that is to a DPoP key.
    #[must_use]
    pub const fn token_type(binding: Option<Self>) -> &'static str {
        match binding {
            Some(Self::Jkt(_)) => "DPoP",
            Some(Self::X5t(_)) | None => "Bearer",
        }
    }
}

/// What the holder of a token proved with this request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// The key of a verified DPoP proof.
    pub jkt: Option<[u8; 32]>,
    /// The certificate of the connection.
    pub x5t: Option<[u8; 32]>,
}

impl Proof {
    /// Whether this proves `binding`.
    #[must_use]
    pub fn proves(&self, binding: Binding) -> bool {
        match binding {
            Binding::Jkt(thumbprint) => self.jkt == Some(thumbprint),
            Binding::X5t(thumbprint) => self.x5t == Some(thumbprint),
        }
    }

    /// Whether who proved this may show a token with that binding (RFC 9449 sections 7.1 and 7.2): a DPoP key goes with the tokens that
    /// are bound to it, and with no others.
    #[must_use]
    pub fn may_show(&self, binding: Option<Binding>) -> bool {
        let is_of_a_key = matches!(binding, Some(Binding::Jkt(_)));
        self.jkt.is_some() == is_of_a_key && binding.is_none_or(|binding| self.proves(binding))
    }

    /// What tokens handed out to `client` for this proof are bound to: `binding`, which a DPoP key must not contradict, else that key, else
    /// the certificate where the client's tokens are bound to one.
    ///
    /// # Errors
    /// `InvalidDpopProof`: they are bound to another key, or to a certificate. `Invalid`: there must be a certificate.
    pub fn binds(&self, binding: Option<Binding>, client: &Client) -> Result<Option<Binding>> {
        let proved = self.jkt.map(Binding::Jkt);
        match (binding, proved) {
            (Some(bound), Some(proved)) if bound != proved => Err(Error::InvalidDpopProof(dpop::Refusal::OtherBinding)),
            (None, Some(_)) if client.mutual_tls.binds => Err(Error::InvalidDpopProof(dpop::Refusal::OtherBinding)),
            (None, None) if client.mutual_tls.binds => {
                let problem = "must be shown: the tokens of this client are bound to it (RFC 8705 section 3)";
                self.x5t.map(Binding::X5t).map(Some).ok_or_else(|| Error::invalid("client_certificate", problem))
            }
            (bound, proved) => Ok(bound.or(proved)),
        }
    }
}

impl Grant {
    /// The most scopes a grant with opaque access tokens may have.
    pub const MAX_OPAQUE_SCOPES: usize = 64;
    /// The most resources a grant with opaque access tokens may have.
    pub const MAX_OPAQUE_RESOURCES: usize = 16;
    /// The access token revoked one by one that ends the grant.
    pub const TOKENS_REVOKED_MAX: u8 = 16;

    /// Binds it, when tokens with that binding are handed out for the first time. Not to the certificate of a confidential client with
    /// refresh tokens: that proves at each refresh who it is, so that it may exchange its certificate (RFC 8705 section 7.1).
    pub fn bind(&mut self, binding: Option<Binding>, client: &Client) {
        let may_exchange = self.lineage.refreshable && client.is_confidential();
        let stays = |binding: &Binding| matches!(binding, Binding::Jkt(_)) || !may_exchange;
        self.binding = self.binding.or(binding.filter(stays));
    }

    /// Whether its opaque access tokens, which say what it says, can say this binding.
    ///
    /// # Errors
    /// `InvalidDpopProof`, `InvalidTarget`: it is not bound to that.
    pub fn says(&self, binding: Option<Binding>) -> Result<()> {
        match binding {
            _ if binding == self.binding => Ok(()),
            Some(Binding::X5t(_)) => {
                let problem = "is given opaque access tokens, which cannot be bound to a certificate that may be exchanged";
                Err(Error::invalid_target("resource", problem))
            }
            _ => Err(Error::InvalidDpopProof(dpop::Refusal::UnboundGrant)),
        }
    }

    /// The user it speaks for; none for client credentials, where the client speaks for itself.
    #[must_use]
    pub fn user(&self) -> Option<&Subject> {
        self.sign_in.method.has_user().then_some(&self.subject)
    }

    /// Whether a refresh gives an ID token too.
    #[must_use]
    pub fn has_openid(&self) -> bool {
        self.scopes.contains(OPENID)
    }

    /// When it expires if it is not used again; before its code was redeemed, when that expires.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        let end = self.lineage.used_at.plus(self.idle).min(self.absolute_end);
        match &self.lineage.code {
            Some(code) if self.lineage.newest == 0 => end.min(code.until),
            _ => end,
        }
    }
}

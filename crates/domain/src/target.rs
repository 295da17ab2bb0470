//! Targets of a revocation: what a floor can be raised for, and the 16-byte id of each in the log and in the view.

use crate::error::Cause;
use crate::id::{GrantId, KeyId, TargetId};
use crate::name::{ClientId, SessionId, Subject};
use crate::revision::{Floor, Revision};
use crate::secret::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// What is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One access token, by its `jti`.
    Token {
        /// The `jti` claim.
        jti: String,
    },
    /// One grant.
    Grant(GrantId),
    /// Every grant of a session.
    Session(SessionId),
    /// Everything of a subject.
    Subject(Subject),
    /// Everything of a client.
    Client(ClientId),
    /// What a subject allowed one client.
    Consent(Subject, ClientId),
    /// Everything that one signing key signed.
    SigningKey {
        /// Its `kid`.
        kid: String,
    },
    /// Everything that one root key proves.
    RootKey(KeyId),
}

/// The kind of a target. Kinds exist for people: audit, metrics, causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetKind {
    /// One access token.
    Token,
    /// One grant.
    Grant,
    /// One session.
    Session,
    /// One subject.
    Subject,
    /// One client.
    Client,
    /// One subject's consent to one client.
    Consent,
    /// One key: that signs, or a root key, so that who knows of no root keys here reads what burns one all the same.
    SigningKey,
}

/// Why it was revoked, as the caller says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Not said.
    #[default]
    Unspecified,
    /// The user signed out.
    SignOut,
    /// The user withdrew consent.
    ConsentWithdrawn,
    /// The account was disabled or deleted.
    AccountDisabled,
    /// Password or other credential changed.
    CredentialChanged,
    /// The token leaked or may have.
    Leaked,
    /// A security incident.
    Incident,
    /// An administrator decided so.
    Administrative,
    /// A spent refresh token was used again. Set by jeton.
    Reuse,
    /// A lost reply was retried too late. Set by jeton.
    RetryExpired,
}

impl Reason {
    /// The word for it in metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::SignOut => "sign_out",
            Self::ConsentWithdrawn => "consent_withdrawn",
            Self::AccountDisabled => "account_disabled",
            Self::CredentialChanged => "credential_changed",
            Self::Leaked => "leaked",
            Self::Incident => "incident",
            Self::Administrative => "administrative",
            Self::Reuse => "reuse",
            Self::RetryExpired => "retry_expired",
        }
    }
}

/// The salt under which names become target ids. Made once, sealed in the store, never derived from the ring.
#[derive(Clone)]
pub struct Salt {
    salt: Secret<32>,
    /// HMAC-SHA-256 with the salt taken in: half the work of an id, done once.
    keyed: Hmac<Sha256>,
}

impl Salt {
    /// Takes the salt.
    #[must_use]
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    pub fn new(salt: &Secret<32>) -> Self {
        Self { salt: salt.clone(), keyed: Hmac::new_from_slice(salt.expose()).expect("HMAC takes a key of any length") }
    }

    /// The salt itself, to be sealed.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.salt.expose()
    }

    /// The id of a session.
    #[must_use]
    pub fn session(&self, session: &SessionId) -> TargetId {
        self.named(&[b"session", session.as_str().as_bytes()])
    }

    /// The id of a subject.
    #[must_use]
    pub fn subject(&self, subject: &Subject) -> TargetId {
        self.named(&[b"subject", subject.as_str().as_bytes()])
    }

    /// The id of a client.
    #[must_use]
    pub fn client(&self, client: &ClientId) -> TargetId {
        self.named(&[b"client", client.as_str().as_bytes()])
    }

    /// The id of what a subject allowed a client.
    #[must_use]
    pub fn consent(&self, subject: &Subject, client: &ClientId) -> TargetId {
        self.named(&[b"consent", subject.as_str().as_bytes(), client.as_str().as_bytes()])
    }

    /// The id of a signing key.
    #[must_use]
    pub fn signing_key(&self, kid: &str) -> TargetId {
        self.named(&[b"signing_key", kid.as_bytes()])
    }

    /// The id of a root key.
    #[must_use]
    pub fn root_key(&self, key: KeyId) -> TargetId {
        self.named(&[b"root_key", &key.0])
    }

    /// The id of a DPoP proof: of its key and its `jti`. It is no target, and takes no other's name.
    #[must_use]
    pub fn dpop_proof(&self, jkt: &[u8; 32], jti: &str) -> TargetId {
        self.named(&[b"dpop_proof", jkt, jti.as_bytes()])
    }

    /// The id of an assertion: of its issuer and its `jti`. It is no target either.
    #[must_use]
    pub fn assertion(&self, issuer: &str, jti: &str) -> TargetId {
        self.named(&[b"assertion", issuer.as_bytes(), jti.as_bytes()])
    }

    /// Names never hold a NUL and thumbprints have one length, so parts joined by it cannot be mistaken for others.
    fn named(&self, parts: &[&[u8]]) -> TargetId {
        let mut mac = self.keyed.clone();
        let mut first = true;
        for part in parts {
            if !first {
                mac.update(&[0]);
            }
            first = false;
            mac.update(part);
        }
        TargetId(first16(&mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

impl Target {
    /// Its id in the log, in floor records and in the view.
    #[must_use]
    pub fn id(&self, salt: &Salt) -> TargetId {
        match self {
            Self::Token { jti } => token_id(jti),
            Self::Grant(id) => TargetId(id.0),
            Self::Session(session) => salt.session(session),
            Self::Subject(subject) => salt.subject(subject),
            Self::Client(client) => salt.client(client),
            Self::Consent(subject, client) => salt.consent(subject, client),
            Self::SigningKey { kid } => salt.signing_key(kid),
            Self::RootKey(key) => salt.root_key(*key),
        }
    }

    /// The client that it names, where it names one.
    #[must_use]
    pub const fn client(&self) -> Option<&ClientId> {
        match self {
            Self::Client(client) | Self::Consent(_, client) => Some(client),
            Self::Token { .. }
            | Self::Grant(_)
            | Self::Session(_)
            | Self::Subject(_)
            | Self::SigningKey { .. }
            | Self::RootKey(_) => None,
        }
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> TargetKind {
        match self {
            Self::Token { .. } => TargetKind::Token,
            Self::Grant(_) => TargetKind::Grant,
            Self::Session(_) => TargetKind::Session,
            Self::Subject(_) => TargetKind::Subject,
            Self::Client(_) => TargetKind::Client,
            Self::Consent(..) => TargetKind::Consent,
            Self::SigningKey { .. } | Self::RootKey(_) => TargetKind::SigningKey,
        }
    }

    /// The word for it in metrics and in the audit stream.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        if let Self::RootKey(_) = self { "root_key" } else { self.kind().word() }
    }
}

/// The id of a token's own target: the first 16 bytes of SHA-256 over its `jti`.
#[must_use]
pub fn token_id(jti: &str) -> TargetId {
    TargetId(first16(&Sha256::digest(jti.as_bytes())))
}

/// The two bytes by which everything of a subject lies together in the store.
#[must_use]
pub fn slot(subject: &Subject, salt: &Salt) -> [u8; 2] {
    let TargetId([a, b, ..]) = salt.subject(subject);
    [a, b]
}

fn first16(bytes: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}

impl TargetKind {
    /// Every kind, in the order of its code in the log.
    pub const ALL: [Self; 7] =
        [Self::Token, Self::Grant, Self::Session, Self::Subject, Self::Client, Self::Consent, Self::SigningKey];

    /// The floor that a revocation at `revision` raises for this kind.
    #[must_use]
    pub const fn floor(self, revision: Revision) -> Floor {
        match self {
            Self::Token | Self::Grant | Self::Session | Self::SigningKey => Floor::INFINITE,
            Self::Subject | Self::Client | Self::Consent => Floor(revision.micros),
        }
    }

    /// The cause that a grant under this floor ended for.
    #[must_use]
    pub const fn cause(self, reason: Reason) -> Cause {
        match (self, reason) {
            (_, Reason::Reuse) => Cause::Reuse,
            (_, Reason::RetryExpired) => Cause::RetryExpired,
            (Self::Token, _) => Cause::TokenRevoked,
            (Self::Grant, _) => Cause::GrantRevoked,
            (Self::Session, _) => Cause::SessionRevoked,
            (Self::Subject, _) => Cause::SubjectRevoked,
            (Self::Client, _) => Cause::ClientRevoked,
            (Self::Consent, _) => Cause::ConsentRevoked,
            (Self::SigningKey, _) => Cause::KeyBurnt,
        }
    }

    /// The word for it in logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Grant => "grant",
            Self::Session => "session",
            Self::Subject => "subject",
            Self::Client => "client",
            Self::Consent => "consent",
            Self::SigningKey => "signing_key",
        }
    }
}

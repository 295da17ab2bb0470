//! Clients: who may ask for tokens, what they may have, and how their refresh tokens rotate.

use crate::certificate::{Certificate, CertificateName};
use crate::endpoint::Endpoint;
use crate::jwk::KeySource;
use crate::name::{ClientId, ResourceId};
use crate::redirect::RedirectUri;
use crate::scope::Scopes;
use crate::time::Millis;

/// A client as configured (RFC 6749 section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its identifier.
    pub id: ClientId,
    /// Whether it can keep a secret. Confidential clients authenticate; public ones cannot.
    pub kind: ClientKind,
    /// The ways of obtaining tokens that it may use.
    pub grant_types: Vec<GrantType>,
    /// The scopes it may be given.
    pub scopes: Scopes,
    /// The resources it may be given tokens for.
    pub resources: Vec<ResourceId>,
    /// The types of authorization details that it may be given (RFC 9396 section 10).
    pub details_types: Vec<Box<str>>,
    /// Where its authorization codes may be sent.
    pub redirect_uris: Vec<RedirectUri>,
    /// The resources it is the server of: tokens for them are its business, too.
    pub serves: Vec<ResourceId>,
    /// Whether what it exchanges without an actor token does not name it as the acting party (RFC 8693 section 1.1).
    pub impersonates: bool,
    /// Unused for this long a grant expires. At least a minute.
    pub idle_lifetime: Millis,
    /// However used, a grant expires after this. Always finite; at least the idle lifetime.
    pub absolute_lifetime: Millis,
    /// When a refresh hands out a new refresh token.
    pub rotation: Rotation,
    /// What a proved second holder leads to.
    pub reuse: ReusePolicy,
    /// The most living grants a subject may have with it; the one that ends first makes room. 1 to 1,000.
    pub grants_per_subject: u32,
    /// The algorithm of its ID tokens.
    pub id_token_algorithm: Algorithm,
    /// How long its ID tokens are valid.
    pub id_token_lifetime: Millis,
    /// What its certificate is for.
    pub mutual_tls: MutualTls,
    /// Where it is told that a session ended; none: it is not told.
    pub backchannel_logout_uri: Option<Endpoint>,
}

/// What a client's certificate is for (RFC 8705).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MutualTls {
    /// How a confidential client proves by it who it is; none: it does not.
    pub authenticates: Option<KnownBy>,
    /// Whether its tokens are bound to the certificate that it shows, and it must show one (section 3.4).
    pub binds: bool,
}

/// By what a client's certificate is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownBy {
    /// A name that an authority vouches for: `tls_client_auth` (RFC 8705 section 2.1).
    Name(CertificateName),
    /// SHA-256 of each certificate that is valid now: `self_signed_tls_client_auth` (RFC 8705 section 2.2).
    Thumbprints(Vec<[u8; 32]>),
}

impl KnownBy {
    /// What is said where a client is to be known in two ways.
    pub const ONE_WAY: &'static str =
        "is given beside another: a client's certificate is known in one way (RFC 8705 section 2.1.2)";

    /// Whether a certificate is that of the client.
    #[must_use]
    pub fn knows(&self, certificate: &Certificate) -> bool {
        match self {
            Self::Name(name) => certificate.is_of(name),
            Self::Thumbprints(known) => known.contains(&certificate.thumbprint),
        }
    }
}

/// Whether a client can keep a secret (RFC 6749 section 2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// Cannot; proves nothing by itself.
    Public,
    /// Can, and proves it by one of these.
    Confidential {
        /// SHA-256 of each secret that is valid now. Secrets are generated with 256 bits, so a plain hash cannot be inverted.
        secret_hashes: Vec<[u8; 32]>,
        /// Where the keys are that its assertions are signed with (RFC 7523 section 2.2); none where it makes none.
        keys: Option<KeySource>,
    },
}

/// How tokens may be obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GrantType {
    /// RFC 6749 section 4.1.
    AuthorizationCode,
    /// RFC 8628.
    DeviceCode,
    /// The login service checked a password itself; jeton never takes one (RFC 9700 section 2.4).
    Password,
    /// RFC 6749 section 4.4.
    ClientCredentials,
    /// RFC 6749 section 6.
    RefreshToken,
    /// RFC 7523 section 2.1.
    JwtBearer,
    /// RFC 8693.
    TokenExchange,
}

/// When a refresh hands out a new refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// At every refresh.
    Always,
    /// Always for a public client without a sender constraint, near expiry for every other.
    #[default]
    UnboundPublic,
    /// When 70 % of the idle lifetime passed since the newest was handed out.
    NearExpiry,
    /// Never.
    Never,
}

/// What a proved second holder leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReusePolicy {
    /// The grant is ended and the event raised (RFC 9700 section 4.14.2).
    #[default]
    EndGrant,
    /// The request is refused; the grant lives on.
    Refuse,
}

impl Rotation {
    /// Every one, the default second.
    pub const ALL: [Self; 4] = [Self::Always, Self::UnboundPublic, Self::NearExpiry, Self::Never];

    /// The word for it in settings and on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::UnboundPublic => "unbound-public",
            Self::NearExpiry => "near-expiry",
            Self::Never => "never",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rotation| rotation.word() == word)
    }
}

impl ReusePolicy {
    /// Every one, the default first.
    pub const ALL: [Self; 2] = [Self::EndGrant, Self::Refuse];

    /// The word for it in settings and on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::EndGrant => "end-grant",
            Self::Refuse => "refuse",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.word() == word)
    }
}

/// A signature algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// Ed25519.
    #[default]
    EdDsa,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// RSA PKCS#1 v1.5 with SHA-256, for those that know nothing else.
    Rs256,
}

impl Client {
    /// Whether it can keep a secret.
    #[must_use]
    pub const fn is_confidential(&self) -> bool {
        matches!(self.kind, ClientKind::Confidential { .. })
    }

    /// Whether it may be given authorization details of that type (RFC 9396).
    #[must_use]
    pub fn may_have_details(&self, name: &str) -> bool {
        self.details_types.iter().any(|allowed| **allowed == *name)
    }

    /// Whether it may use this way of obtaining tokens.
    #[must_use]
    pub fn may(&self, grant_type: GrantType) -> bool {
        self.grant_types.contains(&grant_type)
    }
}

impl GrantType {
    /// Every one, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::AuthorizationCode,
        Self::DeviceCode,
        Self::Password,
        Self::ClientCredentials,
        Self::RefreshToken,
        Self::JwtBearer,
        Self::TokenExchange,
    ];

    /// The word for it in settings and on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::DeviceCode => "device_code",
            Self::Password => "password",
            Self::ClientCredentials => "client_credentials",
            Self::RefreshToken => "refresh_token",
            Self::JwtBearer => "jwt_bearer",
            Self::TokenExchange => "token_exchange",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant_type| grant_type.word() == word)
    }

    /// Whether the subject is a user, and not the client.
    #[must_use]
    pub const fn has_user(self) -> bool {
        !matches!(self, Self::ClientCredentials)
    }

    /// Whether a user signed in here: then there is a session, and there may be an ID token and a refresh token.
    #[must_use]
    pub const fn signs_in(self) -> bool {
        self.has_user() && !matches!(self, Self::JwtBearer | Self::TokenExchange)
    }
}

impl Algorithm {
    /// Every one, the default first.
    pub const ALL: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Rs256];

    /// The `alg` of the JWS header.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// Reads the `alg` of a JWS header.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.word() == word)
    }
}

//! Explain: exactly why a token is or is not active, for the operator.

use crate::service::Service;
use crate::service::grants::GrantState;
use jeton_domain::error::{Cause, Error, Expiry, Result, Unmet};
use jeton_domain::id::Generation;
use jeton_domain::name::ResourceId;
use jeton_domain::revision::Revision;
use jeton_domain::secret::SecretText;
use jeton_domain::time::Timestamp;

/// What kind of token it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Not one of ours.
    Unknown,
    /// A refresh token.
    Refresh,
    /// A JWT access token.
    JwtAccess,
    /// An opaque access token.
    OpaqueAccess,
    /// An ID token.
    Id,
    /// An authorization code.
    Code,
}

/// Why it is not active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// Not a token of ours.
    Malformed,
    /// Its signature or tag does not prove it.
    NotGenuine,
    /// No such grant is known.
    Unknown,
    /// Its grant expired.
    GrantExpired(Expiry),
    /// It reached its `exp`.
    Expired,
    /// A newer generation was handed out and this one would not be accepted.
    Rotated,
    /// It, or something it belongs to, was ended.
    Ended(Cause),
    /// A resource's authentication policy is not met.
    PolicyNotMet(Unmet),
    /// Its client is not configured.
    ClientUnknown,
    /// Issuer, audience or type are not ours.
    Foreign,
    /// The code was redeemed.
    CodeUsed,
    /// The resource that asks is not in its audience.
    Audience,
}

/// The explanation.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What it is.
    pub kind: TokenKind,
    /// None: it is active.
    pub why_not: Option<WhyNot>,
    /// The same in one sentence, with generations and times.
    pub text: String,
    /// The generation it carries; 0 none.
    pub generation: Generation,
    /// The newest generation of its grant.
    pub newest: Generation,
    /// When it ended, where that is known.
    pub ended_at: Option<Timestamp>,
    /// Its grant, where a record of it is known.
    pub grant: Option<GrantState>,
    /// What the answer knows.
    pub revision: Revision,
}

impl Service {
    /// Explains a token.
    ///
    /// # Errors
    /// The store. A token that is not active is no error.
    pub async fn explain(&self, _token: SecretText, _resource: Option<ResourceId>) -> Result<Explanation> {
        Err(Error::Internal("not built".into()))
    }
}

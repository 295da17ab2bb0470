//! Authorize: may this request pass the gateway, and as whom? The same question as Introspect, and answered from the same memory; then
//! what the route demands, and what the holder proves.

use crate::service::dpop::{MadeFor, Place};
use crate::service::introspect::{Introspect, Write, Written};
use crate::service::{Freshness, Service};
use jeton_domain::access::Asker;
use jeton_domain::client::GrantType;
use jeton_domain::error::{Error, Result};
use jeton_domain::gateway::{Asked, Demand};
use jeton_domain::grant::{Binding, SignIn};
use jeton_domain::secret::SecretText;

/// A request that came with an access token.
pub struct Authorize<'a> {
    /// The request.
    pub asked: Asked<'a>,
    /// What its route demands.
    pub demand: &'a Demand,
    /// The access token.
    pub token: SecretText,
    /// The DPoP proof; none where the token is shown as a bearer token.
    pub dpop: Option<SecretText>,
    /// SHA-256 of the certificate that the client showed to the gateway.
    pub certificate: Option<[u8; 32]>,
}

/// How whoever asks writes down what a token says, and reads it again.
#[derive(Clone, Copy)]
pub struct Words {
    /// Writes it.
    pub write: Write,
    /// Reads it.
    pub read: fn(&Written) -> Result<Identity>,
}

/// For whom a token speaks.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// The subject.
    pub subject: String,
    /// The client.
    pub client: String,
    /// Scopes, separated by spaces.
    pub scope: String,
    /// The session.
    pub session: Option<String>,
    /// How its user signed in; its method says whether there is one.
    pub sign_in: SignIn,
    /// The sender constraint.
    pub binding: Option<Binding>,
}

/// A request that may pass.
pub struct Authorized {
    /// As whom.
    pub identity: Identity,
    /// What the service behind is shown instead of the token; none: the token.
    pub phantom: Option<SecretText>,
    /// The nonce for the next DPoP proof; none where none need be named.
    pub next_dpop_nonce: Option<String>,
}

impl Service {
    /// Whether the request may pass. A token that is bound to a key is accepted with a proof of that key, made for this token and this
    /// request (RFC 9449 section 7), and a proof goes with no other token; one that is bound to a certificate with that (RFC 8705 section
    /// 3).
    ///
    /// # Errors
    /// `InvalidDpopProof`, `UseDpopNonce`, `AccessTokenRefused`, `InsufficientScope`, `ReauthenticationRequired`, the store.
    pub async fn authorize(&self, asks: Authorize<'_>, words: Words) -> Result<Authorized> {
        let Authorize { asked, demand, token, dpop, certificate } = asks;
        let uri = dpop.as_ref().map(|_proof| asked.uri(demand.origin.as_deref())).unwrap_or_default();
        let made_for = MadeFor { method: asked.method(), at: Place::Uri(&uri), access_token: Some(token.expose()) };
        let holder = self.holder_at(&made_for, certificate, dpop.as_ref())?;
        let asker = Asker::Resource(demand.resource.as_str());
        let shown = Introspect { token: token.clone(), asker, freshness: Freshness::Default };
        let answer = self.introspect(shown, words.write).await?.active.ok_or(Error::AccessTokenRefused)?;
        let identity = (words.read)(&answer.written)?;
        if !holder.proof.may_show(identity.binding) {
            return Err(Error::AccessTokenRefused);
        }
        self.meets_policy(&demand.resource, &identity.sign_in)?;
        demand.met_by(&identity.scope, &identity.sign_in, self.clock.now())?;
        let phantom = if demand.phantom { Some(Box::pin(self.phantom(&token, &demand.resource)).await?) } else { None };
        self.count_proof(&holder).await?;
        Ok(Authorized { identity, phantom, next_dpop_nonce: holder.next_nonce() })
    }
}

impl Identity {
    /// The flow that stands for all in which a user signed in, or none did.
    #[must_use]
    pub const fn method(has_user: bool) -> GrantType {
        if has_user { GrantType::AuthorizationCode } else { GrantType::ClientCredentials }
    }
}

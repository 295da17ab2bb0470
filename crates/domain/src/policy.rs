//! Authentication policies of resources: what a sign-in must have been for a token to be handed out (RFC 9470).

use crate::error::{Error, Result, Unmet};
use crate::grant::SignIn;
use crate::name::ResourceId;
use crate::time::{Millis, Timestamp};

/// What a resource demands of the sign-in behind a token. The default demands nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthenticationPolicy {
    /// One of these `acr` values; empty demands none.
    pub acr_values: Vec<String>,
    /// All of these `amr` values (RFC 8176), such as `mfa`.
    pub amr_values: Vec<String>,
    /// The sign-in is at most this old.
    pub max_age: Option<Millis>,
}

impl AuthenticationPolicy {
    /// Whether `sign_in` meets this policy at `now`. Where no user signed in (client credentials) only the demands on a user are void: none apply.
    ///
    /// # Errors
    /// `Error::ReauthenticationRequired` with everything that is missing.
    pub fn check(&self, resource: &ResourceId, sign_in: &SignIn, now: Timestamp) -> Result<()> {
        let acr_met = self.acr_values.is_empty() || sign_in.acr.as_ref().is_some_and(|acr| self.acr_values.contains(acr));
        let amr_met = self.amr_values.iter().all(|required| sign_in.amr.contains(required));
        let age_met = self.max_age.is_none_or(|max| sign_in.auth_time.is_some_and(|at| now.since(at) <= max));
        if !sign_in.method.has_user() || (acr_met && amr_met && age_met) {
            return Ok(());
        }
        Err(Error::ReauthenticationRequired(Unmet {
            resource: resource.to_string(),
            acr_values: if acr_met { Vec::new() } else { self.acr_values.clone() },
            amr_values: if amr_met { Vec::new() } else { self.amr_values.clone() },
            max_age_seconds: self.max_age.filter(|_| !age_met).map(Millis::secs),
        }))
    }
}

//! Explain: exactly why a token is or is not active, for the operator.

use crate::audit::Action;
use crate::records::grants::Known;
use crate::service::Service;
use crate::service::examine::Examined;
use crate::service::grants::GrantState;
use crate::service::introspect::Active;
use jeton_domain::error::{Cause, Expiry, Result, Unmet};
use jeton_domain::id::{Generation, GrantId};
use jeton_domain::name::ResourceId;
use jeton_domain::revision::Revision;
use jeton_domain::secret::SecretText;
use jeton_domain::target::Reason;
use jeton_domain::time::{Millis, Timestamp};

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
    /// A device code.
    Device,
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
    /// Its `nbf` is still to come.
    NotYet,
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
    /// What it says, where it is active.
    pub says: Option<Box<Active>>,
    /// What the answer knows.
    pub revision: Revision,
}

impl Service {
    /// Explains a token.
    ///
    /// # Errors
    /// The store. A token that is not active is no error.
    pub async fn explain(&self, token: SecretText, resource: Option<ResourceId>) -> Result<Explanation> {
        if let Some(deed) = self.deed(Action::Explain) {
            deed.presented(&token).tell();
        }
        let (caught, looked) = tokio::try_join!(self.alive.caught_up(), self.look_up(token.expose()))?;
        // As who revoked it said, where he did and it is still in memory.
        let reason = self.killing_of(&looked).map(|raised| raised.reason).filter(|reason| *reason != Reason::Unspecified);
        let Examined { kind, generation, grant, state, verdict } = self.judge(looked, resource.as_ref().into()).await?;
        let grant = match (state, grant) {
            (Some(state), _) => Some(state),
            (None, Some(grant)) => Some(self.state(grant).await?),
            // A JWT needs no record; there may be one all the same.
            (None, None) => self.state_of(verdict.as_ref().ok().and_then(|says| says.grant)).await?,
        };
        let newest = grant.as_ref().map_or(0, |state| state.grant.lineage.newest);
        let now = self.clock.now();
        let (why_not, ended_at, text, says) = match verdict {
            Ok(says) => {
                let text = active_text(kind, generation, newest, Timestamp::from_secs(says.exp), now);
                (None, None, text, Some(Box::new(says)))
            }
            Err((why, at)) => {
                let because = reason.filter(|_| matches!(why, WhyNot::Ended(_))).map(|reason| format!(" ({})", reason.word()));
                let text = dead_text(kind, &why, generation, newest, at, now) + &because.unwrap_or_default();
                (Some(why), at, text, None)
            }
        };
        Ok(Explanation { kind, why_not, text, generation, newest, ended_at, grant, says, revision: caught.head })
    }

    /// How a grant is, where a record of it is known.
    async fn state_of(&self, grant: Option<GrantId>) -> Result<Option<GrantState>> {
        let Some(id) = grant else { return Ok(None) };
        match self.records.grant(id).await?.known()? {
            Some(Known::Grant(grant)) => self.state(*grant).await.map(Some),
            Some(Known::OnlyEnded(_)) | None => Ok(None),
        }
    }
}

fn active_text(kind: TokenKind, generation: Generation, newest: Generation, exp: Timestamp, now: Timestamp) -> String {
    let left = exp.since(now).spelled();
    match kind {
        TokenKind::Refresh if generation < newest => format!(
            "active: generation {generation} of {newest}, still accepted because the reply that carried a newer one may be lost; the grant expires in {left}"
        ),
        TokenKind::Refresh => format!("active: generation {generation} of {newest}; expires in {left} if it is not used"),
        _ => format!("active: expires in {left}"),
    }
}

fn dead_text(
    kind: TokenKind,
    why: &WhyNot,
    generation: Generation,
    newest: Generation,
    at: Option<Timestamp>,
    now: Timestamp,
) -> String {
    let ago = at.map(|at| format!(" {} ago", now.since(at).spelled())).unwrap_or_default();
    match why {
        WhyNot::Malformed => {
            "not a token of ours: its form, length or checksum is wrong; perhaps it was cut when it was copied".into()
        }
        WhyNot::NotGenuine => {
            "not genuine: its signature or tag does not prove it, or the key that made it proves nothing any more".into()
        }
        WhyNot::Unknown => "no such grant is known: it expired and was forgotten, or it belongs to another deployment".into(),
        WhyNot::GrantExpired(Expiry::Idle) => format!("expired: its grant was not used for the idle lifetime, which ended{ago}"),
        WhyNot::GrantExpired(Expiry::Absolute) => {
            format!("expired: its grant reached its absolute lifetime{ago}; the user must sign in again")
        }
        WhyNot::GrantExpired(Expiry::Code) => format!("expired: the authorization code was not redeemed in time{ago}"),
        WhyNot::Expired => format!("expired: it reached its `exp`{ago}"),
        WhyNot::NotYet => "not valid yet: its `nbf` is still to come".into(),
        WhyNot::Rotated => format!(
            "rotated away: generation {generation} of {newest}; presenting it to Refresh would be taken as reuse and end the grant"
        ),
        WhyNot::Ended(cause) => format!("ended{ago}: {cause}"),
        WhyNot::PolicyNotMet(unmet) => format!(
            "policy not met: `{}` demands what the sign-in lacks ({}); it heals when the policy allows again or the user signs in so",
            unmet.resource,
            lacking(unmet)
        ),
        WhyNot::ClientUnknown => "its client is not configured (any more)".into(),
        WhyNot::Foreign if kind == TokenKind::Device => {
            "a device code is no token and never active: a device polls with it, and what comes of that is told there only".into()
        }
        WhyNot::Foreign if kind == TokenKind::Id => "an ID token is no access token: it is never active".into(),
        WhyNot::Foreign => "issued by somebody else, or of a type that is no access token".into(),
        WhyNot::CodeUsed => "the authorization code was redeemed already".into(),
        WhyNot::Audience => "the resource that asks is not among those it is for".into(),
    }
}

fn lacking(unmet: &Unmet) -> String {
    let mut lacking = Vec::new();
    if !unmet.acr_values.is_empty() {
        lacking.push(format!("acr one of {}", unmet.acr_values.join(", ")));
    }
    if !unmet.amr_values.is_empty() {
        lacking.push(format!("amr {}", unmet.amr_values.join(", ")));
    }
    if let Some(seconds) = unmet.max_age_seconds {
        lacking.push(format!("a sign-in at most {} old", Millis::from_secs(seconds).spelled()));
    }
    lacking.join("; ")
}

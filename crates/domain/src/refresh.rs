//! The refresh decision: rotation, retries, reuse, lifetimes, down-scoping, authentication policy, sender constraint
//! (RFC 6749 section 6, RFC 9700 section 4.14.2). Pure: the caller loads, asks, and swaps the record.
//!
//! Must not live here: formats of tokens, client authentication, what a revocation covers.

mod lineage;
mod verdict;

use crate::audience::{Audience, narrow, policies_met};
use crate::client::{Client, ReusePolicy};
use crate::error::{Cause, Error, RefreshRefusal};
use crate::grant::{Grant, Proof};
use crate::id::{Generation, Identity, KeyId, RequestHash};
use crate::name::ResourceId;
use crate::resource::Resources;
use crate::ring::RingOrder;
use crate::scope::Scopes;
use crate::time::{Millis, Timestamp};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use verdict::Judged;

/// A refresh token, or as generation 0 an authorization code, that was proved genuine before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented {
    /// The root key that proves it.
    pub key: KeyId,
    /// Its number.
    pub generation: Generation,
}

/// What is asked for beside the token.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// What the client calls this request, the same in every retry of it.
    pub id: Option<&'a [u8]>,
    /// Scopes of the access token; none, or an empty set: those of the grant.
    pub scopes: Option<&'a Scopes>,
    /// Resources of the access token; empty: those of the grant.
    pub resources: &'a [ResourceId],
    /// Authorization details of the access token; empty: those of the grant.
    pub details: &'a [Value],
}

/// What the decision rests on beside the grant.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// The grant's client. A confidential one has authenticated.
    pub client: &'a Client,
    /// The resources as configured now.
    pub resources: &'a Resources,
    /// Why a floor is above the grant's `born`, where one is.
    pub revoked: Option<Cause>,
    /// The order of the root keys.
    pub ring: &'a RingOrder,
    /// The store's primary that holds the grant, read on the connection that read the record.
    pub identity: Identity,
    /// For so long after a hand-out the same token comes back.
    pub overlap: Millis,
    /// What the holder proved with this request.
    pub proof: &'a Proof,
}

/// What was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The next generation.
    Next,
    /// The newest generation once more.
    Again,
    /// A new number in the place of one that was lost; that one is abandoned.
    Retry,
    /// The generation presented, which the store had forgotten.
    Forward,
}

impl Verdict {
    /// The word for it in metrics and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Again => "again",
            Self::Retry => "retry",
            Self::Forward => "forward",
        }
    }
}

/// What an operator must hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A genuine token from the future, and no rollback of the store is known: root key and nonce may have leaked.
    FutureToken,
    /// Two holders of one refresh token are proved.
    Reuse,
}

/// What to mint: a refresh token of all that was granted, and an access token for this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOut {
    /// Why this one.
    pub verdict: Verdict,
    /// The number of the refresh token, which the access token carries too.
    pub generation: Generation,
    /// The root key that mints it.
    pub key: KeyId,
    /// What the access token is for.
    pub audience: Audience,
    /// What to report once it is handed out.
    pub event: Option<Event>,
}

/// What becomes of a refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Hand out.
    HandOut {
        /// The record to swap in before; none: nothing is written.
        changed: Option<Box<Grant>>,
        /// What to mint.
        out: HandOut,
    },
    /// Revoke the grant for this cause, then refuse.
    End {
        /// `Reuse` or `RetryExpired`.
        cause: Cause,
        /// What to report.
        event: Option<Event>,
    },
    /// Refuse. Nothing is written, nothing consumed.
    Refuse(Error),
}

/// Decides a refresh, or the redemption of an authorization code, at `now`.
///
/// Done before, in this order, by the service, each refusing without touching the grant: the token is well formed; the client
/// has authenticated; the grant exists; it belongs to this client; the tag is genuine under `presented.key`, which is not burnt;
/// for a code PKCE verifier and redirect URI match. Here follow, in this order: the key had not been taken over from; sender
/// constraint; not ended, no floor above `born`; not expired; the generation; the request. Only then anything changes.
#[must_use]
pub fn refresh(now: Timestamp, grant: &Grant, presented: Presented, request: &Request<'_>, env: &Env<'_>) -> Decision {
    let judged = verdict::genuine(grant, presented, env)
        .and_then(|()| verdict::proved(grant, env))
        .and_then(|()| verdict::alive(now, grant, env))
        .and_then(|()| verdict::judge(now, grant, presented, request.id, env));
    let verdict = match judged {
        Ok(Judged::HandOut(verdict)) => verdict,
        Ok(Judged::Reuse) if env.client.reuse == ReusePolicy::Refuse => return refuse(RefreshRefusal::Reuse),
        Ok(Judged::Reuse) => return Decision::End { cause: Cause::Reuse, event: Some(Event::Reuse) },
        Ok(Judged::RetryExpired) => return Decision::End { cause: Cause::RetryExpired, event: None },
        Err(refusal) => return refuse(refusal),
    };
    let audience = narrow(grant, request.scopes, request.resources, request.details, env.resources)
        .and_then(|audience| policies_met(now, &audience.resources, env.resources, &grant.sign_in).map(|()| audience));
    match audience {
        Ok(audience) => hand_out(now, grant, presented, request.id, env, verdict, audience),
        Err(error) => Decision::Refuse(error),
    }
}

/// Whether Refresh would accept this generation at `now`, without a `request_id`. Changes nothing and never counts as presented.
///
/// The sender constraint is not asked: who introspects is not the holder. Nor is the request: use [`narrow`] and [`policies_met`].
///
/// # Errors
/// What Refresh would refuse with.
pub fn would_accept(now: Timestamp, grant: &Grant, presented: Presented, env: &Env<'_>) -> Result<(), RefreshRefusal> {
    verdict::genuine(grant, presented, env)?;
    verdict::alive(now, grant, env)?;
    match verdict::judge(now, grant, presented, None, env)? {
        Judged::HandOut(_) => Ok(()),
        Judged::Reuse => Err(RefreshRefusal::Reuse),
        Judged::RetryExpired => Err(RefreshRefusal::RetryExpired),
    }
}

/// What is kept of a `request_id`: it counts only together with the generation it was presented with.
#[must_use]
pub fn request_hash(id: &[u8], presented: Generation) -> RequestHash {
    let digest = Sha256::new().chain_update(id).chain_update(presented.to_be_bytes()).finalize();
    let mut hash = [0; 16];
    for (to, from) in hash.iter_mut().zip(digest.iter()) {
        *to = *from;
    }
    RequestHash(hash)
}

fn refuse(refusal: RefreshRefusal) -> Decision {
    Decision::Refuse(Error::RefreshRefused(refusal))
}

fn hand_out(
    now: Timestamp,
    grant: &Grant,
    presented: Presented,
    request: Option<&[u8]>,
    env: &Env<'_>,
    verdict: Verdict,
    audience: Audience,
) -> Decision {
    let mut lineage = grant.lineage.clone();
    let mut event = None;
    match verdict {
        Verdict::Again => {
            if !grant.is_held(env.client) {
                lineage.answer_again(presented.generation, now, env.overlap);
            }
            if now.since(lineage.used_at) >= env.overlap.max(grant.idle.percent(1)) {
                lineage.used_at = now;
            }
        }
        Verdict::Next | Verdict::Retry => {
            if verdict == Verdict::Next {
                lineage.arrived |= 1;
                lineage.request = request.map(|id| request_hash(id, presented.generation));
            }
            lineage.step(lineage.newest.saturating_add(1), now);
            lineage.identity = env.identity;
            lineage.adopt_key(env.ring.newest(lineage.key), env.ring);
        }
        Verdict::Forward => {
            event = lineage.forward(presented.generation, now, env.identity).then_some(Event::FutureToken);
            lineage.adopt_key(presented.key, env.ring);
        }
    }
    let (generation, key) = (lineage.newest, env.ring.newest(lineage.key));
    // Whoever redeems a code with a DPoP key or a certificate binds the grant to it (RFC 9449 section 5, RFC 8705 section 4). No refresh
    // does: a thief would keep it so.
    let proved = if grant.lineage.newest == 0 { env.proof.binds(grant.binding, env.client).ok().flatten() } else { None };
    let changed = (lineage != grant.lineage).then(|| {
        let mut changed = Box::new(Grant { lineage, ..grant.clone() });
        changed.bind(proved, env.client);
        changed
    });
    Decision::HandOut { changed, out: HandOut { verdict, generation, key, audience, event } }
}

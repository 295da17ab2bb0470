//! Is a genuine access token alive? The one judgement behind Introspect, whatever the token's format.

use crate::error::{Cause, Ended};
use crate::floors::{Floors, Raised};
use crate::id::{GrantId, KeyId, TargetId};
use crate::name::{ClientId, ResourceId, SessionId, Subject};
use crate::revision::Born;
use crate::target::{Salt, token_id};
use crate::time::Timestamp;

/// What a genuine access token says of itself, as far as its life depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    /// Its place in the order of revocations.
    pub born: Born,
    /// When it expires.
    pub exp: Timestamp,
    /// Not valid before, where it says so.
    pub nbf: Option<Timestamp>,
    /// The resources it is for.
    pub audience: &'a [String],
    /// The targets whose floors would end it.
    pub targets: &'a [TargetId],
    /// The tokens that it was exchanged for: where one of them is dead, it is too.
    pub ancestors: &'a [Ancestor],
}

/// A token that another one was exchanged for (RFC 8693), as far as the life of the other depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// Its place in the order of revocations.
    pub born: Born,
    /// The grant whose record may say that it ended; none for a client's own JWT.
    pub grant: Option<GrantId>,
    /// The targets whose floors would end it.
    pub targets: Vec<TargetId>,
}

impl<'a> Standing<'a> {
    /// The floor that kills it, of all that are known: one of its own, or of a token that it was exchanged for.
    #[must_use]
    pub fn killing(&self, floors: &Floors) -> Option<Raised> {
        self.lives().find_map(|(targets, born)| floors.killing(targets, born))
    }

    /// The targets that its life depends on, each with the `born` that counts for it.
    pub fn lives(&self) -> impl Iterator<Item = (&'a [TargetId], Born)> + use<'a> {
        let ancestors = self.ancestors.iter().map(|ancestor| (ancestor.targets.as_slice(), ancestor.born));
        std::iter::once((self.targets, self.born)).chain(ancestors)
    }
}

/// Who asks about a token. Each sees only what is its business; for everybody else the token is not active (RFC 7662 section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asker<'a> {
    /// Nobody in particular, who may see every token.
    #[default]
    Anyone,
    /// A resource, by its identifier: tokens that are for it.
    Resource(&'a str),
    /// A client: its own tokens, and those for the resources that it serves.
    Client {
        /// Itself, as a target of its tokens.
        target: TargetId,
        /// The resources that it serves.
        serves: &'a [ResourceId],
    },
}

impl<'a> From<Option<&'a ResourceId>> for Asker<'a> {
    /// The resource that a caller names; without one he is nobody in particular.
    fn from(resource: Option<&'a ResourceId>) -> Self {
        resource.map_or(Self::Anyone, |resource| Self::Resource(resource.as_str()))
    }
}

impl Asker<'_> {
    /// Whether an access token is its business.
    #[must_use]
    pub fn sees(&self, token: &Standing<'_>) -> bool {
        let is_for = |resource: &str| token.audience.iter().any(|audience| audience == resource);
        match self {
            Self::Anyone => true,
            Self::Resource(resource) => is_for(resource),
            Self::Client { serves, .. } => self.owns(token.targets) || serves.iter().any(|served| is_for(served.as_str())),
        }
    }

    /// Whether a token with these targets is its own: then a refresh token is its business, too.
    #[must_use]
    pub fn owns(&self, targets: &[TargetId]) -> bool {
        match self {
            Self::Anyone => true,
            Self::Resource(_) => false,
            Self::Client { target, .. } => targets.contains(target),
        }
    }
}

/// Why an access token is not active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dead {
    /// It reached its `exp`.
    Expired,
    /// Its `nbf` is still to come.
    NotYet,
    /// A floor is above its `born`, or its grant was ended.
    Ended(Ended),
    /// It is not the business of who asks.
    Audience,
}

/// Judges at `now`, as seen by `asker`.
///
/// `killing` is the floor that kills it, of all that are known to a view that is fresh enough; `grant_ended` is what the grant's record
/// says, where there is one.
///
/// # Errors
/// Why it is not active.
pub fn judge(
    standing: &Standing<'_>,
    now: Timestamp,
    asker: Asker<'_>,
    grant_ended: Option<Ended>,
    killing: Option<Raised>,
) -> Result<(), Dead> {
    if let Some(raised) = killing {
        return Err(Dead::Ended(raised.ended()));
    }
    match grant_ended {
        // An evicted grant's access tokens run out by themselves.
        None | Some(Ended { cause: Cause::Evicted, .. }) => {}
        Some(ended) => return Err(Dead::Ended(ended)),
    }
    if now >= standing.exp {
        return Err(Dead::Expired);
    }
    if standing.nbf.is_some_and(|nbf| now < nbf) {
        return Err(Dead::NotYet);
    }
    if !asker.sees(standing) {
        return Err(Dead::Audience);
    }
    Ok(())
}

/// What a token belongs to: each of these is a target of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Belongs<'a> {
    /// The token itself, by its `jti`.
    pub jti: Option<&'a str>,
    /// Its grant.
    pub grant: Option<GrantId>,
    /// Its session.
    pub session: Option<&'a SessionId>,
    /// Its subject; none for client credentials.
    pub subject: Option<&'a Subject>,
    /// Its client.
    pub client: Option<&'a ClientId>,
    /// The key that signed it.
    pub kid: Option<&'a str>,
    /// The root key that proves it.
    pub root_key: Option<KeyId>,
}

impl Belongs<'_> {
    /// The ids of all its targets.
    #[must_use]
    pub fn targets(&self, salt: &Salt) -> Vec<TargetId> {
        let mut targets = Vec::with_capacity(7);
        targets.extend(self.jti.map(token_id));
        targets.extend(self.grant.map(|grant| TargetId(grant.0)));
        targets.extend(self.session.map(|session| salt.session(session)));
        targets.extend(self.subject.map(|subject| salt.subject(subject)));
        targets.extend(self.client.map(|client| salt.client(client)));
        if let (Some(subject), Some(client)) = (self.subject, self.client) {
            targets.push(salt.consent(subject, client));
        }
        targets.extend(self.kid.map(|kid| salt.signing_key(kid)));
        targets.extend(self.root_key.map(|key| salt.root_key(key)));
        targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revision::Revision;
    use crate::target::{Reason, TargetKind};

    const TARGETS: [TargetId; 2] = [TargetId([1; 16]), TargetId([2; 16])];

    fn floor(target: TargetId, kind: TargetKind, micros: u64) -> Raised {
        let origin = Revision { micros, random: 0 };
        Raised { target, kind, reason: Reason::SignOut, at: Timestamp::from_secs(5), origin, place: origin }
    }

    /// What a token born at 100 and expiring at 10 is, as `resource` asks, where one floor of `kind` was raised at `micros`.
    fn judged(at: u64, resource: Option<&str>, ended: Option<Ended>, raised: Option<(TargetKind, u64)>) -> Result<(), Dead> {
        let audience = ["https://orders.internal".to_owned()];
        let exp = Timestamp::from_secs(10);
        let standing = Standing { born: Born(100), exp, nbf: None, audience: &audience, targets: &TARGETS, ancestors: &[] };
        let mut floors = Floors::default();
        if let Some((kind, micros)) = raised {
            floors.join(floor(TARGETS[1], kind, micros));
        }
        let killing = standing.killing(&floors);
        let asker = resource.map_or(Asker::Anyone, Asker::Resource);
        judge(&standing, Timestamp::from_secs(at), asker, ended, killing)
    }

    #[test]
    fn it_is_dead_if_some_floor_is_above_its_born_and_for_no_other_reason_but_its_end() {
        assert_eq!(judged(9, None, None, None), Ok(()));
        assert_eq!(judged(9, None, None, Some((TargetKind::Subject, 100))), Ok(()));
        assert!(matches!(judged(9, None, None, Some((TargetKind::Subject, 101))), Err(Dead::Ended(_))));
        assert!(matches!(judged(9, None, None, Some((TargetKind::Session, 1))), Err(Dead::Ended(_))));
        assert_eq!(judged(10, None, None, None), Err(Dead::Expired));
        assert_eq!(judged(9, Some("https://payments.internal"), None, None), Err(Dead::Audience));
        assert_eq!(judged(9, Some("https://orders.internal"), None, None), Ok(()));
    }

    #[test]
    fn what_says_from_when_it_is_valid_is_not_before() {
        let nbf = Some(Timestamp::from_secs(5));
        let standing =
            Standing { born: Born(1), exp: Timestamp::from_secs(10), nbf, audience: &[], targets: &[], ancestors: &[] };
        let at = |seconds| judge(&standing, Timestamp::from_secs(seconds), Asker::Anyone, None, None);
        assert_eq!((at(4), at(5), at(9), at(10)), (Err(Dead::NotYet), Ok(()), Ok(()), Err(Dead::Expired)));
    }

    #[test]
    fn a_client_sees_its_own_tokens_and_those_of_the_resources_it_serves() {
        let audience = ["https://orders.internal".to_owned()];
        let exp = Timestamp::from_secs(10);
        let token = Standing { born: Born(100), exp, nbf: None, audience: &audience, targets: &TARGETS, ancestors: &[] };
        let [own, other] = [TARGETS[0], TargetId([9; 16])];
        let orders = [ResourceId::parse("resource", "https://orders.internal").unwrap()];
        let client = |target, serves| Asker::Client { target, serves };
        assert!(client(own, &[]).sees(&token) && client(own, &[]).owns(&TARGETS));
        assert!(client(other, &orders).sees(&token) && !client(other, &orders).owns(&TARGETS));
        assert!(!client(other, &[]).sees(&token));
    }

    #[test]
    fn an_exchanged_token_dies_with_each_that_it_was_exchanged_for_by_the_born_of_that() {
        let [own, first, second] = [1, 2, 3].map(|byte| [TargetId([byte; 16])]);
        let ancestor = |born, targets: [TargetId; 1]| Ancestor { born: Born(born), grant: None, targets: targets.into() };
        let ancestors = [ancestor(10, first), ancestor(50, second)];
        let exp = Timestamp::from_secs(10);
        let token = Standing { born: Born(100), exp, nbf: None, audience: &[], targets: &own, ancestors: &ancestors };
        for (target, micros, dies) in
            [(own, 100, false), (own, 101, true), (first, 10, false), (first, 11, true), (second, 50, false)]
        {
            let mut floors = Floors::default();
            floors.join(floor(target[0], TargetKind::Client, micros));
            assert_eq!(token.killing(&floors).is_some(), dies, "{target:?} at {micros}");
        }
    }

    #[test]
    fn an_evicted_grants_access_tokens_run_out_and_an_ended_ones_do_not() {
        let ended = |cause| Some(Ended { at: Timestamp::from_secs(9), cause });
        assert_eq!(judged(9, None, ended(Cause::Evicted), None), Ok(()));
        assert!(judged(9, None, ended(Cause::Reuse), None).is_err());
    }
}

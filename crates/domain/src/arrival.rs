//! The arrival decision: what it means that an access token was seen. It tells for free whether a reply of Refresh arrived,
//! and shows a second holder. Off the path of any request; losing a report only makes Refresh lenient.

use crate::client::{Client, ReusePolicy, Rotation};
use crate::error::Cause;
use crate::grant::Grant;
use crate::id::{Generation, Identity, KeyId};
use crate::refresh::Event;
use crate::ring::RingOrder;
use crate::time::Timestamp;

/// An access token that was seen; the MAC in its `jti`, or its tag, was verified before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The generation of the refresh token that it came with; 0 where it came without.
    pub generation: Generation,
    /// The root key that proves it.
    pub key: KeyId,
}

/// What the decision rests on beside the grant.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// The grant's client.
    pub client: &'a Client,
    /// The order of the root keys.
    pub ring: &'a RingOrder,
    /// The store's primary that holds the grant, read on the connection that read the record.
    pub identity: Identity,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing that was not known, or that could be told.
    Nothing,
    /// The record to swap in: this generation arrived.
    Changed(Box<Grant>),
    /// The record to swap in: the store had forgotten this generation. With what to report, if anything.
    Forward(Box<Grant>, Option<Event>),
    /// Two holders are proved: revoke the grant for this cause and report `Event::Reuse`.
    End(Cause),
}

/// Whether seeing access tokens of a grant can tell anything: who presents its refresh tokens has not proved himself by more than
/// them, and they rotate.
#[must_use]
pub fn tells(client: &Client, is_bound: bool) -> bool {
    !is_bound && !client.is_confidential() && client.rotation != Rotation::Never
}

/// Decides what it means that an access token of the grant was seen at `now`.
///
/// Where it does not tell there is nothing to detect; where the client's policy only refuses reuse there is nothing here to refuse.
#[must_use]
pub fn seen(now: Timestamp, grant: &Grant, arrival: Arrival, env: &Env<'_>) -> Seen {
    let Arrival { generation, key } = arrival;
    let before = &grant.lineage;
    if !tells(env.client, grant.binding.is_some())
        || grant.ended.is_some()
        || generation == 0
        || before.outdates(generation, key, env.ring)
    {
        return Seen::Nothing;
    }
    let mut lineage = before.clone();
    let Some(below) = lineage.newest.checked_sub(generation) else {
        let unexplained = lineage.forward(generation, now, env.identity);
        lineage.reported = generation;
        return Seen::Forward(Box::new(Grant { lineage, ..grant.clone() }), unexplained.then_some(Event::FutureToken));
    };
    if below > 31 && generation != lineage.parent {
        return Seen::Nothing;
    }
    if below > 0 && !lineage.has_arrived(generation) {
        return match env.client.reuse {
            ReusePolicy::EndGrant => Seen::End(Cause::Reuse),
            ReusePolicy::Refuse => Seen::Nothing,
        };
    }
    lineage.arrived |= 1_u32.checked_shl(below).unwrap_or(0);
    lineage.reported = lineage.reported.max(generation);
    if lineage == *before { Seen::Nothing } else { Seen::Changed(Box::new(Grant { lineage, ..grant.clone() })) }
}

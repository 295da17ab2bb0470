//! The checks of a refresh in their order, and the verdict table over generations. Nothing changes here.

use super::{Env, Presented, Verdict, request_hash};
use crate::error::{Expiry, RefreshRefusal};
use crate::grant::Grant;
use crate::id::Generation;
use crate::time::{Millis, Timestamp};

/// How long the reply that brought n may be believed lost, where gateways do not report.
const RETRY_WINDOW: Millis = Millis::from_secs(60);
/// A report of one of so many last generations shows that gateways report: then silence means that n did not arrive.
const REPORTS_COUNT_FOR: Generation = 3;

/// What the generation says.
pub(super) enum Judged {
    /// Accepted, if the request is.
    HandOut(Verdict),
    /// Two holders are proved.
    Reuse,
    /// The predecessor of a generation that never arrived came too late.
    RetryExpired,
}

/// The grant has refresh tokens, or for generation 0 a code, and no newer key had taken over when this one was handed out.
pub(super) fn genuine(grant: &Grant, presented: Presented, env: &Env<'_>) -> Result<(), RefreshRefusal> {
    let lineage = &grant.lineage;
    let is_there = if presented.generation == 0 { lineage.code.is_some() } else { lineage.refreshable };
    if !is_there || lineage.outdates(presented.generation, presented.key, env.ring) {
        return Err(RefreshRefusal::NotGenuine);
    }
    Ok(())
}

/// The sender constraint is proved.
pub(super) fn proved(grant: &Grant, env: &Env<'_>) -> Result<(), RefreshRefusal> {
    match grant.binding {
        Some(binding) if !env.proof.proves(binding) => Err(RefreshRefusal::WrongProof),
        _ => Ok(()),
    }
}

/// Neither ended nor revoked nor past a lifetime.
pub(super) fn alive(now: Timestamp, grant: &Grant, env: &Env<'_>) -> Result<(), RefreshRefusal> {
    if let Some(cause) = grant.ended.map(|ended| ended.cause).or(env.revoked) {
        return Err(RefreshRefusal::Ended(cause));
    }
    if now >= grant.absolute_end {
        return Err(RefreshRefusal::Expired(Expiry::Absolute));
    }
    if now >= grant.lineage.used_at.plus(grant.idle) {
        return Err(RefreshRefusal::Expired(Expiry::Idle));
    }
    Ok(())
}

/// The verdict table: the first row that matches.
pub(super) fn judge(
    now: Timestamp,
    grant: &Grant,
    presented: Presented,
    request: Option<&[u8]>,
    env: &Env<'_>,
) -> Result<Judged, RefreshRefusal> {
    let lineage = &grant.lineage;
    let (n, generation) = (lineage.newest, presented.generation);
    let age = now.since(lineage.handed_at);
    let fresh = lineage.is_fresh(now, env.overlap);
    let last = n == Generation::MAX;
    if generation > n {
        return Ok(Judged::HandOut(Verdict::Forward));
    }
    if generation == 0 {
        return redeem(now, grant, fresh);
    }
    if generation == n {
        let stays = fresh || last || !grant.rotates(now, env.client, env.ring);
        return Ok(Judged::HandOut(if stays { Verdict::Again } else { Verdict::Next }));
    }
    if grant.is_held(env.client) {
        return Ok(Judged::HandOut(Verdict::Again));
    }
    let known = lineage.parent <= generation && lineage.has_arrived(generation);
    let mine = request.is_some_and(|id| lineage.request == Some(request_hash(id, generation)));
    if fresh && (known || mine) {
        return Ok(Judged::HandOut(Verdict::Again));
    }
    if mine && !last {
        return Ok(Judged::HandOut(Verdict::Retry));
    }
    if known && !lineage.has_arrived(n) {
        let reports = lineage.reported > 0 && lineage.reported.saturating_add(REPORTS_COUNT_FOR) > generation;
        let window = if reports { grant.idle } else { RETRY_WINDOW };
        return Ok(if age < window && !last { Judged::HandOut(Verdict::Retry) } else { Judged::RetryExpired });
    }
    Ok(Judged::Reuse)
}

/// Generation 0, the authorization code (RFC 6749 section 4.1.2): once, and a second time means that it leaked.
fn redeem(now: Timestamp, grant: &Grant, fresh: bool) -> Result<Judged, RefreshRefusal> {
    let lineage = &grant.lineage;
    if lineage.newest == 0 {
        let in_time = lineage.code.as_ref().is_some_and(|code| now < code.until);
        return if in_time { Ok(Judged::HandOut(Verdict::Next)) } else { Err(RefreshRefusal::Expired(Expiry::Code)) };
    }
    if lineage.newest == 1 && fresh {
        return Err(RefreshRefusal::CodeUsed);
    }
    Ok(if lineage.newest > 1 || lineage.has_arrived(1) { Judged::Reuse } else { Judged::RetryExpired })
}

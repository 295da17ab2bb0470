//! Where the rules are walked: what may happen, how often, and what has happened before.

use crate::rules::{Bounds, Mode};
use crate::world::Move::{
    self, CatchUp, Crash, Decide, FailOver, Judge, Post, Receive, Refresh, Revoke, SettleRaise, SettleRead, Stall, Tick as Pass,
};

const NEXT: Move = FailOver { behind: false };
const NEXT_BEHIND: Move = FailOver { behind: true };
const ALL_OF_THE_SUBJECT: Move = Revoke { by: 0, target: 0 };

/// One revocation of the subject, one grant, nothing fails.
pub const QUIET: Bounds = Bounds {
    mode: Mode::Applied,
    from_nothing: false,
    before: &[],
    granted: 1,
    beginning: &[],
    ticks: 1,
    revokes: [1, 0],
    lost_replies: 0,
    repeats: 0,
    issues: 0,
    refreshes: 0,
    settles: 0,
    failovers: 0,
    grant_failovers: 0,
    flushes: 0,
    rollbacks: 0,
    evictions: 0,
    splits: 0,
    grant_rollbacks: 0,
    crashes: 0,
    stalls: 0,
    beats: false,
    skew: false,
    page: usize::MAX,
    delays: false,
    heals_in_time: true,
    ways_back: false,
    depth: usize::MAX,
};

/// A failover while tokens are issued.
pub const OVER: Bounds = Bounds { failovers: 1, issues: 1, ..QUIET };
/// The same, and the new primary's clock is behind.
pub const OVER_BEHIND: Bounds = Bounds { skew: true, ..OVER };
/// The same where all servers are waited for.
pub const OVER_REPLICATED: Bounds = Bounds { mode: Mode::Replicated, ..OVER };
/// One revocation of all, and one of a single grant of two; a failover.
pub const OVER_BOTH: Bounds = Bounds { revokes: [1, 1], granted: 2, issues: 0, ..OVER };
/// A revocation of a grant that is asked for again until it is acknowledged; a failover, a crash.
pub const OVER_REPEATED: Bounds =
    Bounds { mode: Mode::Replicated, revokes: [0, 1], repeats: 2, failovers: 1, crashes: 1, ..QUIET };
/// Two revocations, an answer that is lost, a failover.
pub const OVER_UNHEARD: Bounds = Bounds { revokes: [2, 0], lost_replies: 1, issues: 0, ticks: 0, ..OVER };
/// A crash, and a failover.
pub const OVER_CRASHED: Bounds = Bounds { crashes: 1, issues: 0, ..OVER };
/// Two failovers in one moment, and a crash.
pub const TWICE: Bounds = Bounds { failovers: 2, crashes: 1, ticks: 0, ..QUIET };
/// The second of two failovers in one moment, while tokens are issued, to a clock that is behind.
pub const TWICE_BEHIND: Bounds = Bounds { failovers: 2, issues: 1, ticks: 0, skew: true, beginning: &[NEXT], ..QUIET };
/// Two failovers, the first of which loses beats.
pub const TWICE_UNHEARD_OF: Bounds = Bounds { failovers: 2, beats: true, ticks: 2, before: &[Pass, Pass], ..QUIET };
/// Somebody starts, and a failover.
pub const STARTED: Bounds = Bounds { failovers: 1, crashes: 1, beats: true, ticks: 2, before: &[Crash(1), Pass, Pass], ..QUIET };
/// Somebody was silent, and a failover.
pub const SILENT: Bounds = Bounds { failovers: 1, stalls: 1, beats: true, ticks: 2, before: &[Stall(1), Pass, Pass], ..QUIET };
/// A revocation in an era that is not confirmed, then a failover to a clock that is behind; much later.
pub const TOLD: Bounds = Bounds {
    granted: 2,
    ticks: 8,
    failovers: 2,
    crashes: 1,
    refreshes: 1,
    revokes: [1, 1],
    skew: true,
    beginning: &[
        NEXT,
        CatchUp(0),
        ALL_OF_THE_SUBJECT,
        NEXT_BEHIND,
        Crash(0),
        CatchUp(1),
        Post(1),
        Pass,
        Pass,
        Pass,
        Pass,
        Pass,
        Pass,
    ],
    ..QUIET
};

/// Long enough for a token to end and its revocation to be forgotten; a refresh, a crash.
pub const SETTLING: Bounds = Bounds { mode: Mode::Replicated, refreshes: 1, crashes: 1, settles: 1, ticks: 4, ..QUIET };
/// Two revocations of just now.
pub const SETTLING_YOUNG: Bounds = Bounds { granted: 2, revokes: [1, 1], refreshes: 0, ticks: 0, ..SETTLING };
/// One of two revocations is about to be settled.
pub const SETTLING_BOTH: Bounds = Bounds {
    granted: 2,
    revokes: [1, 1],
    crashes: 0,
    beginning: &[SettleRead(0), SettleRaise(0), ALL_OF_THE_SUBJECT, Pass, Pass],
    ..SETTLING
};
/// One of two revocations is old already.
pub const SETTLING_LATE: Bounds =
    Bounds { granted: 2, revokes: [1, 1], ticks: 3, beginning: &[ALL_OF_THE_SUBJECT, Pass, Pass, Pass], ..SETTLING };
/// The grants' shard fails over meanwhile.
pub const LAPSED: Bounds = Bounds { grant_failovers: 1, crashes: 0, ..SETTLING };
pub const LAPSED_APPLIED: Bounds = Bounds { mode: Mode::Applied, ..LAPSED };
/// A single grant is revoked while it is issued.
pub const OF_GRANT: Bounds = Bounds { granted: 0, issues: 1, revokes: [0, 1], crashes: 0, ..SETTLING };
/// A single grant is revoked while it is refreshed.
pub const OF_A_REFRESHED_GRANT: Bounds = Bounds { granted: 1, issues: 0, crashes: 1, ..OF_GRANT };
/// What was lost is put back late, and a token was refreshed meanwhile.
pub const PUT_BACK_LATE: Bounds = Bounds {
    failovers: 1,
    refreshes: 1,
    ticks: 4,
    settles: 1,
    beginning: &[
        ALL_OF_THE_SUBJECT,
        Pass,
        Pass,
        NEXT,
        Refresh { by: 1, grant: 0, writes: true },
        CatchUp(1),
        Decide(1),
        Judge(1),
    ],
    ..QUIET
};
/// What was lost is put back when it is old already.
pub const PUT_BACK_OLD: Bounds = Bounds {
    failovers: 1,
    refreshes: 1,
    ticks: 3,
    settles: 1,
    beginning: &[ALL_OF_THE_SUBJECT, Pass, Pass, NEXT, Pass],
    ..QUIET
};
/// A clock that is behind settles and forgets.
pub const FORGOTTEN_BEHIND: Bounds =
    Bounds { skew: true, failovers: 1, settles: 1, ticks: 3, beginning: &[NEXT_BEHIND], ..QUIET };

/// Answers of one entry each.
pub const PAGES: Bounds = Bounds { page: 1, ticks: 0, ..OVER_BOTH };
/// Answers that come late; a refresh.
pub const DELAYS: Bounds = Bounds { delays: true, refreshes: 1, ..QUIET };
/// Answers that come late, and a failover.
pub const DELAYS_OVER: Bounds = Bounds { delays: true, failovers: 1, ticks: 0, ..QUIET };
/// An append of before a failover is heard after it.
pub const DELAYS_AFTER: Bounds = Bounds {
    delays: true,
    failovers: 1,
    beginning: &[ALL_OF_THE_SUBJECT, NEXT, CatchUp(0), Receive(0), Post(0), CatchUp(1), Receive(1), Post(1)],
    ..QUIET
};

/// All of the log's shard is gone, though all servers had it.
pub const WIPED: Bounds = Bounds { mode: Mode::Replicated, flushes: 1, crashes: 1, issues: 1, ticks: 1, ..QUIET };
/// The entries alone are gone.
pub const EVICTED: Bounds = Bounds { flushes: 0, evictions: 1, ..WIPED };
/// The log's shard starts again from an old disk.
pub const ROLLED_BACK: Bounds = Bounds { mode: Mode::Replicated, rollbacks: 1, revokes: [2, 0], ticks: 2, ..QUIET };
/// A store that nobody used before.
pub const NEW: Bounds = Bounds { from_nothing: true, granted: 0, issues: 1, crashes: 1, ticks: 3, ..QUIET };

/// A former primary answers on.
pub const SPLIT: Bounds = Bounds { mode: Mode::Replicated, splits: 1, ..QUIET };
/// The grants' shard starts again from an old disk.
pub const GRANTS_ROLLED_BACK: Bounds = Bounds { grant_rollbacks: 1, crashes: 0, ..SETTLING };

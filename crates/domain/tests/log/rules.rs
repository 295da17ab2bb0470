//! What is walked: the rules, each of which can be dropped, and how much of everything there may be.

use crate::server::Tick;
use crate::world::Move;

/// What Revoke waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The primary.
    Applied,
    /// All configured replicas of Redis.
    Replicated,
}

/// The rules. Each is true in the log that is built; the walks drop them one by one.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// 1: another primary is noticed.
    pub identity_is_looked_at: bool,
    /// 1: a log without its era's marker has lost something, whatever its identity.
    pub the_log_holds_its_marker: bool,
    /// 2: the first entry of a range must be the cursor.
    pub pages_are_chained: bool,
    /// 2: an answer that another primary's answer overtook is dropped.
    pub overtaken_answers_are_dropped: bool,
    /// 3: an append answers everything after the cursor.
    pub append_answers_all: bool,
    /// 3: Revoke is acknowledged after that is merged.
    pub merged_before_acknowledged: bool,
    /// 3: what is asked for again only waits for the replicas, where the log as it stands is known to have it.
    pub repeated_in_this_log: bool,
    /// 4: what the log lost is appended again,
    pub what_is_missing_is_put_back: bool,
    /// 4: with its original floor,
    pub floor_is_the_original: bool,
    /// 4: and a new lifetime.
    pub lifetime_begins_anew: bool,
    /// 5: who says that he has healed says under which primary.
    pub post_names_the_identity: bool,
    /// 5: all that are known are waited for.
    pub all_must_post: bool,
    /// 5: also who was waited for in the era before, and said nothing,
    pub waiting_is_carried_over: bool,
    /// 5: where nobody is known, time is waited for.
    pub nobody_known_is_waited_for: bool,
    /// 6: a replica serves after its first beat is on all servers,
    pub first_beat_is_durable: bool,
    /// 6: and after a silence as if it were its first.
    pub silence_is_a_start: bool,
    /// 7: an era begins far ahead of every clock,
    pub marker_is_far_ahead: bool,
    /// 7: and above all that its first caller ever saw.
    pub marker_is_above_the_caller: bool,
    /// 7: its marker is on all servers before a `born` is taken or a revision acknowledged,
    pub marker_is_confirmed: bool,
    /// 7: by a beat that is refused under any other era.
    pub beat_names_the_era: bool,
    /// 7: and before a revision is told at all,
    pub told_under_a_confirmed_era: bool,
    /// 7: no `born` is taken below a floor of the own view.
    pub born_is_above_the_view: bool,
    /// 7: the first era of an empty log has a marker and an interval too.
    pub the_first_era_has_a_marker: bool,
    /// 8: a head above it is no evidence that a revision is known,
    pub intervals: bool,
    /// 8: all intervals are kept,
    pub all_intervals_are_kept: bool,
    /// 8: they are those of the era that the head is of,
    pub the_marker_is_current: bool,
    /// 8: and the log is healed,
    pub at_least_waits_for_healing: bool,
    /// 8: as said with the last page of a catch-up.
    pub healed_with_the_last_page: bool,
    /// 9: what was raised is on all servers,
    pub settle_waits: bool,
    /// 9: also where Revoke does not wait for that,
    pub applied_settle_waits: bool,
    /// 9: before `settled` moves to what had been read,
    pub settles_what_it_read: bool,
    /// 9: which must still be there.
    pub settle_needs_the_entry: bool,
    /// 10: a view drops only what is settled
    pub view_forgets_only_the_settled: bool,
    /// 10: and older than the horizon,
    pub view_forgets_only_the_old: bool,
    /// 10: while nothing of it is missing from the log,
    pub view_forgets_only_what_the_log_has: bool,
    /// 10: and so does trimming.
    pub trims_only_the_settled: bool,
    pub trims_only_the_old: bool,
    /// 11: settling a grant writes an ended record where there is none,
    pub ended_is_written: bool,
    /// 11: and Issue only creates.
    pub put_only_creates: bool,
    /// 12: the catch-up starts after arrival,
    pub catch_up_after_arrival: bool,
    /// 12: floors are read,
    pub floors_are_read: bool,
    /// 12: after the decision,
    pub floors_are_read_after: bool,
    /// 12: and so is the record, where the decision writes nothing.
    pub the_unwritten_is_read_again: bool,
    /// 13: the horizon counts a request's deadline
    pub horizon_counts_the_deadline: bool,
    /// 13: by the place in the log, which no clock that is behind makes too low,
    pub age_is_of_the_place: bool,
    /// 13: an access token's end counts from the decision.
    pub exp_is_of_the_decision: bool,
    /// Freshness: a view's age counts from the sending of a catch-up.
    pub age_counts_from_the_sending: bool,
    /// Freshness: on a clock that nobody sets.
    pub age_is_monotonic: bool,
    /// Freshness: nothing proves a view fresh before the log is healed,
    pub default_waits_for_healing: bool,
    /// Freshness: not even where Revoke waits for all servers.
    pub replicated_waits_for_healing: bool,
    /// Freshness: `fully_fresh` waits for healing.
    pub fully_fresh_waits_for_healing: bool,
}

/// The log as it is built.
pub const REAL: Rules = Rules {
    identity_is_looked_at: true,
    the_log_holds_its_marker: true,
    pages_are_chained: true,
    overtaken_answers_are_dropped: true,
    append_answers_all: true,
    merged_before_acknowledged: true,
    repeated_in_this_log: true,
    what_is_missing_is_put_back: true,
    floor_is_the_original: true,
    lifetime_begins_anew: true,
    post_names_the_identity: true,
    all_must_post: true,
    waiting_is_carried_over: true,
    nobody_known_is_waited_for: true,
    first_beat_is_durable: true,
    silence_is_a_start: true,
    marker_is_far_ahead: true,
    marker_is_above_the_caller: true,
    marker_is_confirmed: true,
    beat_names_the_era: true,
    told_under_a_confirmed_era: true,
    born_is_above_the_view: true,
    the_first_era_has_a_marker: true,
    intervals: true,
    all_intervals_are_kept: true,
    the_marker_is_current: true,
    at_least_waits_for_healing: true,
    healed_with_the_last_page: true,
    settle_waits: true,
    applied_settle_waits: true,
    settles_what_it_read: true,
    settle_needs_the_entry: true,
    view_forgets_only_the_settled: true,
    view_forgets_only_the_old: true,
    view_forgets_only_what_the_log_has: true,
    trims_only_the_settled: true,
    trims_only_the_old: true,
    ended_is_written: true,
    put_only_creates: true,
    catch_up_after_arrival: true,
    floors_are_read: true,
    floors_are_read_after: true,
    the_unwritten_is_read_again: true,
    horizon_counts_the_deadline: true,
    age_is_of_the_place: true,
    exp_is_of_the_decision: true,
    age_counts_from_the_sending: true,
    age_is_monotonic: true,
    default_waits_for_healing: true,
    replicated_waits_for_healing: true,
    fully_fresh_waits_for_healing: true,
};

/// How much of everything may happen in a walk.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub mode: Mode,
    /// Whether the store begins empty and the replicas begin with it.
    pub from_nothing: bool,
    /// What happens before the first tokens are handed out, of how many grants, and after it before the walk begins.
    pub before: &'static [Move],
    pub granted: usize,
    pub beginning: &'static [Move],
    pub ticks: Tick,
    /// Of the subject, and of the first grant.
    pub revokes: [u8; 2],
    /// How many of them lose their reply.
    pub lost_replies: u8,
    /// How often one of a grant that was not acknowledged is asked for again.
    pub repeats: u8,
    pub issues: u8,
    pub refreshes: u8,
    /// How many times settling begins.
    pub settles: u8,
    pub failovers: u8,
    pub grant_failovers: u8,
    pub flushes: u8,
    pub rollbacks: u8,
    pub evictions: u8,
    /// A former primary that answers on; the grants' shard that starts again from what its disk had at the beginning.
    pub splits: u8,
    pub grant_rollbacks: u8,
    pub crashes: u8,
    pub stalls: u8,
    /// Whether beats tell the time: else everybody was always heard of just now.
    pub beats: bool,
    /// Whether a promoted server's clock may be behind.
    pub skew: bool,
    /// How many entries an answer has at most.
    pub page: usize,
    /// Whether an answer may come later than it was given.
    pub delays: bool,
    /// What the store takes as said aloud: a replica that does not heal in time is not waited for.
    pub heals_in_time: bool,
    /// Whether every state is asked for the way back.
    pub ways_back: bool,
    pub depth: usize,
}

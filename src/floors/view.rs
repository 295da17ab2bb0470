//! The log in this replica's memory: what it holds, where it stands, how fresh it is provably, which history it knows.
//!
//! Must not live here: how and when it is fed (`follow`, `heal`).

use crate::clock::Clock;
use crate::floors::health::Health;
use crate::floors::{Terms, entry};
use crate::store::{Durability, Era, EraState, Followed, Position};
use crate::telemetry::metrics;
use jeton_domain::error::{Error, Result};
use jeton_domain::floors::{Floors, Raised};
use jeton_domain::id::{Identity, TargetId};
use jeton_domain::revision::{Floor, Lost, Revision};
use jeton_domain::target::TargetKind;
use jeton_domain::time::Millis;
use std::sync::Arc;

/// What a view took in at once.
#[derive(Clone, Debug)]
pub struct Change {
    /// The floors raised, and those that were put back.
    pub raised: Arc<[Raised]>,
    /// Where the view stands after it.
    pub upto: Revision,
}

/// One era under one primary: an emptied log begins another under the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reign {
    identity: Identity,
    marker: Revision,
}

/// What can be raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct What {
    pub(super) target: TargetId,
    pub(super) kind: TargetKind,
}

/// The followed log.
#[derive(Debug, Default)]
pub(super) struct View {
    floors: Floors,
    cursor: Revision,
    highest: Revision,
    settled: Revision,
    /// Up to where it is settled though shards of the store fall back; none where they do not without the log, or were not asked yet.
    sure: Option<Revision>,
    /// The primary of the last catch-up, and the era it told.
    met: Option<(Identity, Era)>,
    /// Under which primary all replicas of the store have the log, and up to where.
    replicated: Option<(Reign, Revision)>,
    lost: Vec<Lost>,
    /// Under which primary all that this view knew was put back.
    healed_under: Option<Identity>,
    /// How often what it follows was another log than before, or may have been.
    turn: u64,
    /// What it knows from up to here it learnt of another log: this one may lack that, until all is put back.
    doubtful: Revision,
    /// When (on the clock's run) the catch-up was sent that last proved it fresh.
    proved: Option<Millis>,
    /// The last answer had more: the cursor is far behind.
    is_behind: bool,
    /// When (on the clock's run) floors that the store holds were last dropped from memory, where they were.
    dropped: Option<Millis>,
}

impl View {
    pub(super) const fn floors(&self) -> &Floors {
        &self.floors
    }

    pub(super) const fn cursor(&self) -> Revision {
        self.cursor
    }

    pub(super) const fn settled(&self) -> Revision {
        self.settled
    }

    pub(super) const fn sure(&self) -> Option<Revision> {
        self.sure
    }

    /// Up to where it may be forgotten: what lies above is kept.
    pub(super) fn forgettable(&self) -> Revision {
        self.sure.unwrap_or(self.settled)
    }

    pub(super) const fn highest(&self) -> Revision {
        self.highest
    }

    pub(super) const fn is_whole(&self) -> bool {
        self.dropped.is_none()
    }

    /// Whether an append from here would be answered with a great part of the log.
    pub(super) const fn is_behind(&self) -> bool {
        self.is_behind
    }

    pub(super) fn position(&self) -> Position {
        let era = self.met.map_or(Revision::START, |(_, era)| era.marker);
        Position { cursor: self.cursor, highest: self.highest, era }
    }

    pub(super) fn met_under(&self) -> Option<Identity> {
        self.met.map(|(identity, _)| identity)
    }

    /// The era that was met last.
    pub(super) fn reign(&self) -> Option<Reign> {
        self.met.map(|(identity, era)| Reign { identity, marker: era.marker })
    }

    /// All replicas of the store acknowledged the last of an append that was answered so, and with it what lay before it in that log.
    pub(super) fn acknowledged(&mut self, followed: &Followed) {
        let reign = Reign { identity: followed.identity, marker: followed.era.marker };
        let before = self.replicated.filter(|(under, _)| *under == reign).map(|(_, upto)| upto);
        self.replicated = Some((reign, before.unwrap_or_default().max(followed.head)));
    }

    /// Where the log as it stands has ended something for ever, and how far that got in it. What was learnt of another log may be gone from
    /// this one, so that it is not said of that until all that this view knows was put back.
    pub(super) fn ended(&self, What { target, kind }: What) -> Option<(Revision, Durability)> {
        // An id that is made up for a grant may be that of something else.
        let is_ended = |known: &Raised| known.kind == kind && known.floor() == Floor::INFINITE;
        let known = self.floors.get(target).filter(|known| is_ended(known) && known.place > self.doubtful)?;
        let upto = self.replicated.filter(|(under, _)| Some(*under) == self.reign());
        let is_replicated = upto.is_some_and(|(_, upto)| known.place <= upto);
        Some((known.origin, if is_replicated { Durability::Replicated } else { Durability::Applied }))
    }

    /// Another number whenever it may follow another log than before.
    pub(super) const fn turn(&self) -> u64 {
        self.turn
    }

    pub(super) fn era_state(&self) -> EraState {
        self.met.map_or(EraState::Healing, |(_, era)| era.state)
    }

    pub(super) fn is_healed_under(&self, identity: Identity) -> bool {
        self.healed_under == Some(identity)
    }

    /// Where it stands, if it is provably no older than `longest` when the clock has run for `run`.
    pub(super) fn fresh_at(&self, run: Millis, longest: Millis) -> Option<Revision> {
        Clock::is_fresh(self.proved?, run, longest).then_some(self.cursor)
    }

    /// Whether what was acknowledged at `revision` is known here, for a log whose head is `head`. That a place is lower is no evidence: it
    /// may be of a history that was lost.
    pub(super) fn knows(&self, revision: Revision, head: Revision) -> bool {
        // One follows upon another: only the first that does not end before it can hold it.
        let next = self.lost.partition_point(|lost| lost.marker <= revision);
        let is_lost = self.lost.get(next).is_some_and(|lost| lost.holds(revision));
        revision <= head && (!is_lost || self.floors.hold(revision))
    }

    /// Takes in what a store answered to a call sent at `sent`, the only way in. Answers what was raised, or put back.
    pub(super) fn take_in(&mut self, followed: &Followed, sent: Millis, replicated: bool) -> Result<Vec<Raised>> {
        let mut raised = Vec::new();
        let highest = self.highest;
        for logged in &followed.entries {
            let Some(entry) = entry::decode(logged)? else { continue };
            // What was put back is no higher than it was, but who follows this view must keep it for longer.
            if self.floors.join(entry) || entry.place != entry.origin {
                raised.push(entry);
            }
        }
        let last = followed.entries.last().map(|last| last.revision);
        match last {
            Some(last) if followed.gap || last > self.cursor => self.cursor = last,
            None if followed.gap => self.cursor = Revision::START,
            Some(_) | None => {}
        }
        self.highest = self.highest.max(self.cursor).max(followed.head);
        self.settled = followed.settled;
        self.sure = followed.sure;
        if let Some(lost) = &followed.lost {
            self.lost.clone_from(lost);
        }
        let before = self.met.replace((followed.identity, followed.era));
        let is_another = before.is_some_and(|(identity, _)| identity != followed.identity);
        // Where a log was emptied under the same primary, an answer of before may come late.
        let is_another_era = before.is_some_and(|(_, era)| era.marker != followed.era.marker);
        if followed.gap || is_another || is_another_era {
            self.healed_under = None;
            (self.turn, self.doubtful) = (self.turn.wrapping_add(1), highest);
        }
        if is_another {
            metrics::PRIMARIES.add();
        }
        if is_another_era {
            let marker = followed.era.marker;
            tracing::warn!(%marker, "another era of the log: its primary is another, or it was emptied");
        }
        self.is_behind = followed.more;
        let certain = match followed.era.state {
            EraState::Healed => true,
            // Where every acknowledged revocation is on every replica, none is missing under the next primary.
            EraState::Healing => replicated,
            EraState::Restored { .. } => false,
        };
        if certain && !followed.more && self.cursor == followed.head {
            self.proved = self.proved.max(Some(sent));
        }
        Ok(raised)
    }

    /// What this view knows of one part and a log that holds `found` lacks.
    pub(super) fn missing(&self, part: usize, found: &Floors, is_over: impl Fn(&Raised) -> bool) -> Vec<Raised> {
        let lacks = |raised: &Raised| found.get(raised.target).is_none_or(|held| held.floor() < raised.floor());
        self.floors.part(part).filter(|raised| !is_over(raised) && lacks(raised)).collect()
    }

    /// All that it knew at that `turn` is in the log of that primary. Whether that is the one that it follows, and was all the while.
    pub(super) fn healed(&mut self, under: Identity, turn: u64) -> bool {
        let is_so = self.met_under() == Some(under) && self.turn == turn;
        if is_so {
            (self.healed_under, self.doubtful) = (Some(under), Revision::START);
        }
        is_so
    }

    /// Whether something may be missing in the log that this view knows.
    pub(super) fn needs_healing(&self) -> bool {
        self.met_under().is_some_and(|met| !self.is_healed_under(met))
    }

    /// Forgets of one part what is over. Where there are too many at `now`, what Refresh and Introspect find in the store is dropped too:
    /// then the view is not whole any more.
    pub(super) fn forget(&mut self, part: usize, is_over: impl Fn(&Raised) -> bool, too_many: Option<Millis>) {
        let forgettable = self.forgettable();
        if too_many.is_some() && self.is_whole() {
            let entries = self.floors.len();
            tracing::error!(entries, "the view of revocations is full: what is settled is asked of the store from now on");
        }
        self.dropped = too_many.or(self.dropped);
        let in_the_store = |raised: &Raised| {
            let has_record = !matches!(raised.kind, TargetKind::Token | TargetKind::SigningKey);
            too_many.is_some() && has_record && raised.place <= forgettable
        };
        self.floors.forget(part, |raised| is_over(raised) || in_the_store(raised));
    }

    /// How long ago something was dropped, where the view is not whole.
    pub(super) fn dropped_for(&self, now: Millis) -> Option<Millis> {
        self.dropped.map(|dropped| now.minus(dropped))
    }

    /// Takes in again what the log, as it was under that primary at that `turn`, holds and was dropped. Whether it is that one still.
    pub(super) fn remember(&mut self, under: Identity, turn: u64, dropped: impl Iterator<Item = Raised>) -> bool {
        let is_so = self.met_under() == Some(under) && self.turn == turn;
        for raised in dropped.filter(|_| is_so) {
            self.floors.join(raised);
        }
        is_so
    }

    /// All of the log was read again since something was dropped.
    pub(super) const fn whole_again(&mut self) {
        self.dropped = None;
    }

    /// How it is at `now`, for a replica that holds to `terms`; `joined`: acknowledged by all replicas of the store.
    pub(super) fn health(&self, now: Millis, terms: &Terms, joined: bool) -> Health {
        Health {
            age: self.proved.map(|proved| now.minus(proved)),
            stale: self.fresh_at(now, terms.max_staleness).is_none(),
            head: self.cursor,
            settled: self.settled,
            era: self.met.map(|(_, era)| era),
            healed: !self.needs_healing(),
            joined,
            entries: self.floors.len(),
            max_entries: terms.max_entries,
            bytes: self.floors.bytes(),
            whole: self.is_whole(),
        }
    }

    /// Refuses where nothing in the store is to be believed.
    pub(super) fn believable(&self) -> Result<()> {
        match self.met {
            Some((_, Era { state: EraState::Restored { last_seen }, .. })) => Err(Error::Restored(last_seen)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Logged, MARKER};
    use bytes::Bytes;
    use jeton_domain::target::Reason;
    use jeton_domain::time::Timestamp;

    fn at(micros: u64) -> Revision {
        Revision { micros, random: 1 }
    }

    fn followed(entries: Vec<(u64, Bytes)>) -> Followed {
        let entries: Vec<_> = entries.into_iter().map(|(micros, entry)| Logged { revision: at(micros), entry }).collect();
        Followed {
            identity: Identity([0; 8]),
            now: Timestamp::from_secs(1),
            head: entries.last().unwrap().revision,
            settled: Revision::START,
            sure: None,
            entries,
            gap: false,
            more: false,
            era: Era { marker: Revision::START, state: EraState::Healed },
            lost: None,
        }
    }

    fn grant(id: u8) -> What {
        What { target: TargetId([id; 16]), kind: TargetKind::Grant }
    }

    /// An answer under that primary: grants that are ended at these places.
    fn under(identity: u8, ended: &[(u64, u8)]) -> Followed {
        let entry = |id| entry::encode(TargetId([id; 16]), TargetKind::Grant, Reason::SignOut, Timestamp::from_secs(1));
        let entries = ended.iter().map(|(micros, id)| (*micros, entry(*id))).collect();
        Followed { identity: Identity([identity; 8]), ..followed(entries) }
    }

    fn reached(view: &View, ids: impl IntoIterator<Item = u8>) -> Vec<Option<Durability>> {
        ids.into_iter().map(|id| view.ended(grant(id)).map(|(_, reached)| reached)).collect()
    }

    const APPLIED: Option<Durability> = Some(Durability::Applied);
    const REPLICATED: Option<Durability> = Some(Durability::Replicated);

    #[test]
    fn what_all_replicas_have_is_up_to_where_they_acknowledged() {
        let mut view = View::default();
        let first = under(0, &[(7, 1), (8, 2)]);
        view.take_in(&first, Millis::ZERO, true).unwrap();
        assert_eq!(reached(&view, 1..=2), [APPLIED; 2]);
        view.acknowledged(&first);
        let later = under(0, &[(9, 3)]);
        view.take_in(&later, Millis::ZERO, true).unwrap();
        assert_eq!(reached(&view, 1..=4), [REPLICATED, REPLICATED, APPLIED, None]);
        // An acknowledgement that comes late takes nothing back.
        view.acknowledged(&later);
        view.acknowledged(&first);
        assert_eq!(reached(&view, 1..=3), [REPLICATED; 3]);
        assert_eq!(view.ended(What { kind: TargetKind::Session, ..grant(1) }), None, "an id of another kind");
        let emptied = Era { marker: at(30), state: EraState::Healed };
        view.take_in(&Followed { era: emptied, ..later.clone() }, Millis::ZERO, true).unwrap();
        assert_eq!(reached(&view, 1..=3), [None; 3]);
        assert!(view.healed(later.identity, view.turn()));
        assert_eq!(reached(&view, 1..=3), [APPLIED; 3]);
    }

    #[test]
    fn what_another_log_had_is_not_said_of_this_one_until_all_is_back() {
        let mut view = View::default();
        let first = under(0, &[(7, 1), (8, 2)]);
        view.take_in(&first, Millis::ZERO, true).unwrap();
        view.acknowledged(&first);
        assert!(view.healed(first.identity, 0));
        let other = under(1, &[(20, 3)]);
        view.take_in(&other, Millis::ZERO, true).unwrap();
        assert_eq!(reached(&view, 1..=3), [None, None, APPLIED], "what was learnt of this one is in it");
        view.acknowledged(&other);
        assert_eq!(reached(&view, 1..=3), [None, None, REPLICATED]);
        assert!(!view.healed(other.identity, 0), "what was put back was of a view before");
        assert!(!view.healed(first.identity, view.turn()));
        // A late answer of the first, and again one of the other: between them something may have come in that only the first has.
        let turn = view.turn();
        view.take_in(&under(0, &[(9, 4)]), Millis::ZERO, true).unwrap();
        view.take_in(&other, Millis::ZERO, true).unwrap();
        assert_eq!(reached(&view, 1..=4), [None; 4]);
        assert!(!view.healed(other.identity, turn) && view.healed(other.identity, view.turn()));
        assert_eq!(reached(&view, 1..=4), [REPLICATED; 4]);
        // A place that is gone: the log was emptied, or trimmed.
        view.take_in(&Followed { gap: true, ..under(1, &[(30, 5)]) }, Millis::ZERO, true).unwrap();
        assert_eq!(reached(&view, 1..=5), [None, None, None, None, APPLIED]);
        // It was emptied, and another era began in it under the same primary; then comes what was answered before.
        let emptied = Followed { gap: true, era: Era { marker: at(40), state: EraState::Healed }, ..under(1, &[(41, 6)]) };
        view.take_in(&emptied, Millis::ZERO, true).unwrap();
        assert!(view.healed(emptied.identity, view.turn()));
        view.take_in(&under(1, &[(35, 7)]), Millis::ZERO, true).unwrap();
        assert!(view.needs_healing());
        assert_eq!(reached(&view, 6..=7), [None; 2]);
        view.take_in(&Followed { gap: false, ..emptied }, Millis::ZERO, true).unwrap();
        assert!(view.needs_healing());
        assert_eq!(reached(&view, 6..=7), [None; 2], "the log as it stands has one of them, and nobody knows which");
    }

    #[test]
    fn a_place_is_lost_within_each_interval_and_at_no_bound_of_one() {
        let mut view = View::default();
        let lost = [(10, 20), (20, 30), (35, 40)].map(|(tail, marker)| Lost { tail: at(tail), marker: at(marker) });
        let marker = vec![(50, Bytes::from_static(&MARKER))];
        view.take_in(&Followed { lost: Some(lost.to_vec()), ..followed(marker) }, Millis::ZERO, false).unwrap();
        for micros in 0..=50 {
            let is_lost = [11..20, 21..30, 36..40].iter().any(|interval| interval.contains(&micros));
            assert_eq!(view.knows(at(micros), at(50)), !is_lost, "{micros}");
        }
        assert!(!view.knows(at(51), at(50)), "nobody wrote that yet");
    }

    #[test]
    fn who_follows_it_is_told_what_was_raised_and_what_was_put_back() {
        let mut view = View::default();
        let entry = entry::encode(TargetId([1; 16]), TargetKind::Subject, Reason::SignOut, Timestamp::from_secs(1));
        let first = view.take_in(&followed(vec![(7, entry)]), Millis::ZERO, false).unwrap();
        assert_eq!((first.len(), first[0].place), (1, at(7)));
        let put_back = entry::put_back(&first[0], Timestamp::from_secs(90));
        let later = vec![(20, Bytes::from_static(&MARKER)), (21, put_back)];
        let again = view.take_in(&followed(later), Millis::ZERO, false).unwrap();
        assert_eq!((again.len(), again[0].place, again[0].at), (1, at(21), Timestamp::from_secs(90)), "to be kept for longer");
        assert_eq!(again[0].floor(), first[0].floor());
    }
}

//! What every store promises of the log: places that grow, nothing missed, nothing forgotten too early.

use super::Log;
use super::{LATER, Names, now};
use bytes::Bytes;
use jeton::store::{ERA_AHEAD, EraState, Followed, Logged, MARKER, Position, Store};
use jeton_domain::id::{Identity, ReplicaId};
use jeton_domain::revision::{Lost, Revision};
use jeton_domain::time::{Millis, Timestamp};
use std::sync::Arc;
use tokio::task::{JoinSet, yield_now};

pub async fn append(store: &Arc<dyn Store>, entry: &str) -> Revision {
    let head = head(store).await;
    store.append_after(entry.as_bytes(), head, Revision::START).await.unwrap().head
}

async fn head(store: &Arc<dyn Store>) -> Revision {
    store.follow_after(Revision::START, 1).await.unwrap().head
}

async fn log(store: &Arc<dyn Store>) -> Vec<Logged> {
    store.follow_after(Revision::START, 100_000).await.unwrap().entries
}

pub fn texts(followed: &Followed) -> Vec<&str> {
    followed.entries.iter().map(|logged| std::str::from_utf8(&logged.entry).unwrap()).collect()
}

/// After every entry: a log may run ahead of the clock.
pub async fn far(store: &Arc<dyn Store>) -> Timestamp {
    let head = Timestamp::from_millis(head(store).await.micros / 1_000);
    now(store).await.max(head).plus(LATER)
}

pub async fn revisions_grow(store: Arc<dyn Store>, _names: Names) {
    let mut last = head(&store).await;
    for _ in 0..50 {
        let next = append(&store, "entry").await;
        assert!(next.micros > last.micros, "{next} after {last}");
        last = next;
    }
    let ahead = Revision { micros: last.micros + 3_600_000_000, random: u64::MAX };
    let jumped = store.append_after(b"jump", last, ahead).await.unwrap().head;
    assert!(jumped.micros > ahead.micros, "{jumped} is not above {ahead}");
    assert!(append(&store, "after").await.micros > jumped.micros);
}

pub async fn append_returns_all_after_the_cursor_with_its_own_last(store: Arc<dyn Store>, _names: Names) {
    let start = append(&store, "a").await;
    append(&store, "b").await;
    append(&store, "c").await;
    let answer = store.append_after(b"d", start, Revision::START).await.unwrap();
    assert_eq!(texts(&answer), ["b", "c", "d"]);
    assert_eq!(answer.entries[2].revision, answer.head);
    assert!(!answer.gap && !answer.more);
    let next = store.append_after(b"e", answer.head, Revision::START).await.unwrap();
    assert_eq!(texts(&next), ["e"]);
    assert_eq!(next.identity, answer.identity);
    let all = store.append_after(b"f", Revision::START, Revision::START).await.unwrap();
    assert_eq!((all.gap, all.entries), (false, log(&store).await));
    let foreign = store.append_after(b"g", Revision { random: start.random ^ 1, ..start }, Revision::START).await.unwrap();
    assert_eq!((foreign.gap, foreign.entries), (true, log(&store).await));
}

pub async fn concurrent_appends_are_all_there(store: Arc<dyn Store>, _names: Names) {
    let start = append(&store, "start").await;
    let mut tasks = JoinSet::new();
    for task in 0..32 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let (mut cursor, mut seen, mut own) = (start, Vec::new(), Vec::new());
            for i in 0..10 {
                let answer = store.append_after(format!("{task}:{i}").as_bytes(), cursor, Revision::START).await.unwrap();
                assert!(!answer.gap && !answer.more);
                assert_eq!(answer.entries.last().unwrap().entry, format!("{task}:{i}"), "its own is the last");
                cursor = answer.head;
                own.push(answer.head);
                seen.extend(answer.entries);
            }
            (seen, own)
        });
    }
    let seen_by = tasks.join_all().await;
    let all = store.follow_after(start, 100_000).await.unwrap().entries;
    assert_eq!(all.len(), 320);
    assert!(all.is_sorted_by(|a, b| a.revision.micros < b.revision.micros));
    for (seen, own) in seen_by {
        assert_eq!(seen, all[..seen.len()], "each saw what all see, nothing missed");
        assert!(own.iter().all(|revision| all.iter().any(|logged| logged.revision == *revision)));
    }
}

pub async fn follow_from_head_is_empty(store: Arc<dyn Store>, _names: Names) {
    let head = append(&store, "a").await;
    let before = now(&store).await;
    let answer = store.follow_after(head, 10).await.unwrap();
    assert!(answer.entries.is_empty() && !answer.gap && !answer.more);
    assert_eq!(answer.head, head);
    assert!(answer.now >= before && answer.now <= now(&store).await, "it tells the store's time");
}

pub async fn follow_pages(store: Arc<dyn Store>, _names: Names) {
    let start = append(&store, "start").await;
    for i in 0..10 {
        append(&store, &i.to_string()).await;
    }
    let (mut cursor, mut seen, mut pages) = (start, Vec::new(), 0);
    loop {
        let page = store.follow_after(cursor, 4).await.unwrap();
        assert!(page.entries.len() <= 4 && !page.gap);
        cursor = page.entries.last().unwrap().revision;
        pages += 1;
        seen.extend(page.entries);
        if !page.more {
            assert_eq!(cursor, page.head);
            break;
        }
    }
    assert_eq!(pages, 3);
    assert_eq!(seen, store.follow_after(start, 10).await.unwrap().entries);
    assert!(!store.follow_after(start, 10).await.unwrap().more, "a page that just holds all has no more");
}

pub async fn who_follows_far_misses_nothing_that_comes_meanwhile(store: Arc<dyn Store>, _names: Names) {
    let start = append(&store, "start").await;
    let entries = Vec::from_iter((0..5_000).map(|i| Bytes::from(i.to_string())));
    let appending = async {
        for part in entries.chunks(100) {
            store.append(part, Position { cursor: head(&store).await, ..Position::default() }).await.unwrap();
        }
    };
    let following = async {
        let (mut cursor, mut seen) = (start, Vec::new());
        while seen.len() < entries.len() {
            let page = store.follow_after(cursor, 2_000).await.unwrap();
            assert!(page.entries.len() <= 2_000 && !page.gap);
            cursor = page.entries.last().map_or(cursor, |last| last.revision);
            assert_eq!(page.more, cursor != page.head);
            seen.extend(page.entries.into_iter().map(|logged| logged.entry));
            // A store in memory answers without waiting, and would leave no time for what comes.
            yield_now().await;
        }
        seen
    };
    let ((), seen) = tokio::join!(appending, following);
    assert_eq!(seen, entries);
}

pub async fn a_foreign_cursor_is_a_gap(store: Arc<dyn Store>, _names: Names) {
    let first = append(&store, "a").await;
    let last = append(&store, "b").await;
    let foreign = [
        Revision { random: last.random ^ 1, ..last },
        Revision { micros: last.micros + 1, ..last },
        Revision { micros: first.micros - 1, ..first },
        Revision { micros: last.micros + 1_000_000_000, random: 5 },
    ];
    for cursor in foreign {
        let answer = store.follow_after(cursor, 100_000).await.unwrap();
        assert_eq!((answer.gap, answer.head), (true, last), "{cursor}");
        assert_eq!(answer.entries, log(&store).await, "from the log's beginning");
    }
    let paged = store.follow_after(foreign[0], 1).await.unwrap();
    assert_eq!((paged.gap, paged.more, paged.entries), (true, true, log(&store).await[..1].to_vec()));
}

pub async fn follow_from_start_is_no_gap(store: Arc<dyn Store>, _names: Names) {
    let untouched = store.follow_after(Revision::START, 100_000).await.unwrap();
    assert!(!untouched.gap && !untouched.more);
    let revisions = [append(&store, "a").await, append(&store, "b").await, append(&store, "c").await];
    let answer = store.follow_after(Revision::START, 100_000).await.unwrap();
    assert!(!answer.gap && texts(&answer).ends_with(&["a", "b", "c"]));
    assert!(store.settle(revisions[1], None).await.unwrap());
    assert!(store.trim(far(&store).await).await.unwrap() >= 2);
    let answer = store.follow_after(Revision::START, 100_000).await.unwrap();
    assert_eq!((answer.gap, texts(&answer)), (false, vec!["c"]), "not even when its beginning was trimmed");
}

pub async fn settle_refuses_a_revision_that_is_gone(store: Arc<dyn Store>, _names: Names) {
    let (a, b) = (append(&store, "a").await, append(&store, "b").await);
    let settled = store.follow_after(b, 1).await.unwrap().settled;
    assert!(!store.settle(Revision { random: b.random ^ 1, ..b }, None).await.unwrap());
    assert!(!store.settle(Revision { micros: b.micros + 1, ..b }, None).await.unwrap());
    assert_eq!(store.follow_after(b, 1).await.unwrap().settled, settled, "what was refused changes nothing");
    assert!(store.settle(a, None).await.unwrap());
    assert!(store.trim(far(&store).await).await.unwrap() >= 1);
    assert!(!store.settle(a, None).await.unwrap(), "trimmed");
    assert!(store.settle(b, None).await.unwrap());
}

pub async fn settled_never_goes_back(store: Arc<dyn Store>, _names: Names) {
    let (a, b, c) = (append(&store, "a").await, append(&store, "b").await, append(&store, "c").await);
    assert!(store.settle(b, None).await.unwrap());
    assert_eq!(store.follow_after(c, 1).await.unwrap().settled, b);
    assert!(store.settle(a, None).await.unwrap(), "it is settled, so that is no refusal");
    let answer = store.append_after(b"d", c, Revision::START).await.unwrap();
    assert_eq!((answer.settled, store.follow_after(a, 1).await.unwrap().settled), (b, b));
    assert!(store.settle(c, None).await.unwrap());
    assert_eq!(store.follow_after(answer.head, 1).await.unwrap().settled, c);
}

pub async fn trim_stops_at_the_first_unsettled(store: Arc<dyn Store>, _names: Names) {
    store.trim(far(&store).await).await.unwrap();
    let (a, b, c) = (append(&store, "a").await, append(&store, "b").await, append(&store, "c").await);
    let before = log(&store).await;
    let old = before.iter().filter(|logged| logged.revision < a).count() as u64;
    assert_eq!(store.trim(far(&store).await).await.unwrap(), 0, "nothing is settled");
    assert!(store.settle(b, None).await.unwrap());
    assert_eq!(store.trim(far(&store).await).await.unwrap(), old + 2);
    let answer = store.follow_after(Revision::START, 100_000).await.unwrap();
    assert_eq!((answer.entries[0].revision, answer.head, answer.settled), (c, c, b));
    assert!(
        store.follow_after(a, 10).await.unwrap().gap && store.follow_after(b, 10).await.unwrap().gap,
        "their places are gone"
    );
    assert_eq!(store.trim(far(&store).await).await.unwrap(), 0);
}

pub async fn trim_keeps_what_is_younger(store: Arc<dyn Store>, _names: Names) {
    let a_second_after = |revision: Revision| Revision { micros: revision.micros + 1_000_000, random: 0 };
    let before = append(&store, "before").await;
    let a = store.append_after(b"a", before, a_second_after(before)).await.unwrap().head;
    let b = store.append_after(b"b", a, a_second_after(a)).await.unwrap().head;
    let c = append(&store, "c").await;
    assert!(store.settle(c, None).await.unwrap());
    let at = |revision: Revision| Timestamp::from_millis(revision.micros / 1_000);
    store.trim(at(a)).await.unwrap();
    assert_eq!(log(&store).await[0].revision, a, "what is as old as that stays");
    assert_eq!(store.trim(at(b)).await.unwrap(), 1);
    let left: Vec<Revision> = log(&store).await.iter().map(|logged| logged.revision).collect();
    assert_eq!(left, [b, c]);
}

pub async fn trim_keeps_the_newest_entry(store: Arc<dyn Store>, _names: Names) {
    append(&store, "a").await;
    let newest = append(&store, "b").await;
    assert!(store.settle(newest, None).await.unwrap());
    assert!(store.trim(far(&store).await).await.unwrap() >= 1);
    let answer = store.follow_after(newest, 10).await.unwrap();
    assert!(!answer.gap && answer.entries.is_empty(), "its place is still there");
    assert_eq!(log(&store).await.len(), 1);
    assert!(append(&store, "c").await.micros > newest.micros);
}

pub async fn several_entries_are_appended_as_one(store: Arc<dyn Store>, _names: Names) {
    let start = append(&store, "start").await;
    let mut tasks = JoinSet::new();
    for task in 0..16 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let entries: Vec<Bytes> = (0..7).map(|i| format!("{task}:{i}").into()).collect();
            let position = Position { cursor: start, highest: start, ..Position::default() };
            let (answer, _) = store.append(&entries, position).await.unwrap();
            assert!(!answer.gap && !answer.more);
            let own = &answer.entries[answer.entries.len() - entries.len()..];
            assert!(own.iter().map(|logged| &logged.entry).eq(&entries), "its own are the last");
            assert_eq!(own.last().unwrap().revision, answer.head);
            answer
        });
    }
    let answers = tasks.join_all().await;
    let all = store.follow_after(start, 1_000).await.unwrap().entries;
    assert_eq!(all.len(), 16 * 7);
    assert!(all.is_sorted_by(|a, b| a.revision.micros < b.revision.micros));
    for together in all.chunks(7) {
        let whose = |logged: &Logged| logged.entry.split(|byte| *byte == b':').next().unwrap().to_vec();
        assert!(together.iter().all(|logged| whose(logged) == whose(&together[0])), "nothing came between");
    }
    for answer in answers {
        assert_eq!(answer.entries, all[..answer.entries.len()], "each saw what all see");
    }
}

pub async fn without_an_entry_the_log_stays_as_it_is(store: Arc<dyn Store>, _names: Names) {
    let start = append(&store, "start").await;
    append(&store, "a").await;
    let before = log(&store).await;
    for (cursor, expected) in [(start, vec!["a"]), (head(&store).await, Vec::new())] {
        let (answer, reached) = store.append(&[], Position { cursor, highest: cursor, ..Position::default() }).await.unwrap();
        assert_eq!((texts(&answer), answer.head, answer.gap, answer.more), (expected, head(&store).await, false, false));
        assert_eq!(reached, store.durability());
    }
    let foreign = Revision { random: start.random ^ 1, ..start };
    assert!(store.append(&[], Position { cursor: foreign, ..Position::default() }).await.unwrap().0.gap);
    assert_eq!(log(&store).await, before);
    assert!(append(&store, "b").await.micros > before.last().unwrap().revision.micros);
}

pub async fn changed_wakes_when_something_was_appended(store: Arc<dyn Store>, _names: Names) {
    let mut cursor = append(&store, "start").await;
    for i in 0..20 {
        let (waiter, mut waiting) = (Arc::clone(&store), JoinSet::new());
        waiting.spawn(async move { waiter.changed(cursor).await });
        let entry = append(&store, &i.to_string()).await;
        waiting.join_next().await.unwrap().unwrap().unwrap();
        store.changed(cursor).await.unwrap();
        cursor = entry;
    }
}

pub async fn an_accepted_era_begins_above_everything(store: Arc<dyn Store>, _names: Names) {
    let ahead = Millis::from_secs(600).get() * 1_000;
    assert_eq!(ERA_AHEAD.get() * 1_000, ahead);
    let head = append(&store, "before").await;
    let seen = Revision { micros: head.micros + 3_600_000_000, random: u64::MAX };
    let before = now(&store).await;
    for highest in [Revision::START, seen] {
        let found = store.follow_after(Revision::START, 1).await.unwrap();
        let marker = store.accept(Position { highest, ..Position::default() }).await.unwrap();
        let least = found.head.micros.max(highest.micros).max(before.millis() * 1_000);
        assert!(marker.micros >= least + ahead, "{marker} is not ahead of {least}");
        let answer = store.follow_after(head, 1_000).await.unwrap();
        assert_eq!((answer.head, answer.era.marker, answer.era.state), (marker, marker, EraState::Healed));
        let last = answer.entries.last().unwrap();
        assert_eq!((last.revision, &last.entry[..]), (marker, &MARKER[..]), "it is an entry like others");
        assert!(!answer.gap, "what was there stays");
        assert!(append(&store, "after").await > marker);
    }
}

pub async fn lost_intervals_are_told_to_who_knows_another_era(store: Arc<dyn Store>, _names: Names) {
    let follow = async |era| store.follow(Position { era, ..Position::default() }, 1).await.unwrap();
    let found = follow(Revision::START).await;
    let mut lost = found.lost.unwrap_or_default();
    let mut known = found.era.marker;
    assert_eq!(follow(known).await.lost, None, "nothing new to who knows it");
    for _ in 0..3 {
        let tail = append(&store, "last of an era").await;
        let marker = store.accept(Position { cursor: tail, highest: tail, era: known }).await.unwrap();
        lost.push(Lost { tail, marker });
        for stranger in [Revision::START, known, Revision { random: marker.random ^ 1, ..marker }] {
            assert_eq!(follow(stranger).await.lost.as_ref(), Some(&lost));
        }
        let answer =
            store.append(&[Bytes::from("first of an era")], Position { era: known, ..Position::default() }).await.unwrap().0;
        assert_eq!((answer.era.marker, answer.lost.as_ref()), (marker, Some(&lost)));
        assert_eq!(follow(marker).await.lost, None);
        known = marker;
    }
}

pub async fn healed_is_refused_under_another_primary(store: Arc<dyn Store>, _names: Names) {
    let replica = ReplicaId([7; 8]);
    store.beat(replica, Millis::from_secs(7_200), true).await.unwrap();
    store.beat(replica, Millis::from_secs(7_200), false).await.unwrap();
    let Identity(identity) = store.follow_after(Revision::START, 1).await.unwrap().identity;
    assert!(store.healed(replica, Identity(identity)).await.unwrap());
    assert!(!store.healed(replica, Identity(identity.map(|byte| byte ^ 1))).await.unwrap());
    assert_eq!(store.follow_after(Revision::START, 1).await.unwrap().era.state, EraState::Healed);
    store.leave(replica).await.unwrap();
}

//! What every store promises of lists: their order, their caps, what leaves them.

use super::{LATER, Names, SOON, added, eventually, member, now, whole};
use bytes::Bytes;
use jeton::store::{Member, Store};
use jeton_domain::time::Millis;
use std::sync::Arc;

pub async fn list_is_ordered_by_expiry(store: Arc<dyn Store>, names: Names) {
    let list = names.fresh();
    let base = now(&store).await.plus(LATER);
    let at = |millis| base.plus(Millis::new(millis));
    let in_order = [
        member("g", "d", at(1)),
        member("g", "b", at(2)),
        member("h", "a", at(3)),
        member("h", "c", at(3)),
        member("g", "a", at(400)),
    ];
    for i in [3, 0, 4, 2, 1] {
        assert!(added(&store, &list, &in_order[i], 10, 10).await.is_empty());
    }
    assert_eq!(whole(&store, &list).await, in_order);
    assert_eq!(store.list(&list, None, 2).await.unwrap(), in_order[..2]);
}

pub async fn surplus_of_a_group_is_its_earliest(store: Arc<dyn Store>, names: Names) {
    let list = names.fresh();
    let base = now(&store).await.plus(LATER);
    let at = |millis| base.plus(Millis::new(millis));
    let (other, second, first, third) =
        (member("h", "0", at(0)), member("g", "2", at(20)), member("g", "1", at(10)), member("g", "3", at(30)));
    for one in [&other, &second, &first] {
        assert!(added(&store, &list, one, 2, 100).await.is_empty());
    }
    assert_eq!(added(&store, &list, &third, 2, 100).await, std::slice::from_ref(&first), "of its own group only");
    assert_eq!(
        added(&store, &list, &third, 1, 100).await,
        [first.clone(), second.clone()],
        "all that are too many, earliest first"
    );
    assert_eq!(added(&store, &list, &first, 2, 100).await, [second], "never the new one, though it is the earliest");
}

pub async fn surplus_of_a_list_is_its_earliest(store: Arc<dyn Store>, names: Names) {
    let list = names.fresh();
    let base = now(&store).await.plus(LATER);
    let members: Vec<Member> = (0..5).map(|i| member(&i.to_string(), "x", base.plus(Millis::new(i)))).collect();
    for one in [3, 1, 2] {
        assert!(added(&store, &list, &members[one], 100, 3).await.is_empty());
    }
    assert_eq!(added(&store, &list, &members[4], 100, 3).await, members[1..2], "of whatever group");
    assert_eq!(added(&store, &list, &members[0], 100, 3).await, members[1..3], "never the new one, though it is the earliest");
    assert_eq!(added(&store, &list, &members[0], 100, 1).await, members[1..]);
    // What is surplus in its group is none of the list's.
    let list = names.fresh();
    let mixed = [("h", 1), ("g", 2), ("g", 3)].map(|(group, i)| member(group, &i.to_string(), base.plus(Millis::new(i))));
    for one in &mixed {
        added(&store, &list, one, 100, 100).await;
    }
    assert_eq!(added(&store, &list, &mixed[2], 1, 2).await, mixed[1..2]);
    assert_eq!(added(&store, &list, &mixed[2], 1, 1).await, mixed[..2]);
}

pub async fn surplus_stays_and_is_told_again_until_it_is_removed(store: Arc<dyn Store>, names: Names) {
    let list = names.fresh();
    let base = now(&store).await.plus(LATER);
    let members: Vec<Member> = (0..4).map(|i| member("g", &i.to_string(), base.plus(Millis::new(i)))).collect();
    for at in 0..4 {
        assert_eq!(added(&store, &list, &members[at], 2, 100).await, members[..at.saturating_sub(1)]);
        assert_eq!(whole(&store, &list).await, members[..=at]);
    }
    store.list_remove(&list, &[members[0].bytes.clone(), members[1].bytes.clone()]).await.unwrap();
    assert!(added(&store, &list, &members[3], 2, 100).await.is_empty());
    assert_eq!(whole(&store, &list).await, members[2..]);
}

pub async fn adding_twice_counts_once(store: Arc<dyn Store>, names: Names) {
    let list = names.fresh();
    let base = now(&store).await.plus(LATER);
    let at = |millis| base.plus(Millis::new(millis));
    let (one, two) = (member("g", "1", at(1)), member("g", "2", at(2)));
    for member in [&one, &two, &one, &two] {
        assert!(added(&store, &list, member, 2, 2).await.is_empty());
    }
    let moved = member("g", "1", at(3));
    assert!(added(&store, &list, &moved, 2, 2).await.is_empty());
    assert_eq!(whole(&store, &list).await, [two, moved], "its expiry moved");
}

pub async fn list_pages_by_member(store: Arc<dyn Store>, names: Names) {
    let list = names.fresh();
    let base = now(&store).await.plus(LATER);
    // Several share an expiry, so that a page can end between them.
    let members: Vec<Member> = (0..10).map(|i| member("g", &i.to_string(), base.plus(Millis::new(i / 4)))).collect();
    for one in &members {
        added(&store, &list, one, 100, 100).await;
    }
    let mut seen: Vec<Member> = Vec::new();
    loop {
        let page = store.list(&list, seen.last(), 3).await.unwrap();
        assert!(page.len() <= 3);
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen, members);
    store.list_remove(&list, &[members[4].bytes.clone()]).await.unwrap();
    let after_removed = store.list(&list, Some(&members[4]), 2).await.unwrap();
    assert_eq!(after_removed, members[5..7], "the member that a page ended with need not be there any more");
}

pub async fn expired_members_are_gone_and_no_surplus(store: Arc<dyn Store>, names: Names) {
    let list = names.fresh();
    let soon = now(&store).await.plus(SOON);
    let later = soon.plus(LATER);
    let (short, long) = (member("g", "short", soon), member("g", "long", later));
    added(&store, &list, &short, 2, 2).await;
    added(&store, &list, &long, 2, 2).await;
    eventually("the member expires", async || {
        let before = now(&store).await;
        let found = whole(&store, &list).await;
        let after = now(&store).await;
        assert!(found.contains(&short) || after >= soon, "gone at {after:?}, expires at {soon:?}");
        assert!(!found.contains(&short) || before <= soon, "there at {before:?}, expires at {soon:?}");
        found == [long.clone()]
    })
    .await;
    let third = member("g", "third", later.plus(SOON));
    assert!(added(&store, &list, &third, 2, 2).await.is_empty(), "what expired neither counts nor is told");
    assert_eq!(whole(&store, &list).await, [long, third]);
}

pub async fn removed_members_are_gone(store: Arc<dyn Store>, names: Names) {
    let (list, other) = (names.fresh(), names.fresh());
    let base = now(&store).await.plus(LATER);
    let members: Vec<Member> = (0..4).map(|i| member("g", &i.to_string(), base.plus(Millis::new(i)))).collect();
    for one in &members {
        added(&store, &list, one, 100, 100).await;
        added(&store, &other, one, 100, 100).await;
    }
    let gone = [members[0].bytes.clone(), members[2].bytes.clone(), Bytes::from_static(b"never was")];
    store.list_remove(&list, &gone).await.unwrap();
    assert_eq!(whole(&store, &list).await, [members[1].clone(), members[3].clone()]);
    assert_eq!(whole(&store, &other).await, members, "another list keeps its own");
    store.list_remove(&list, &gone).await.unwrap();
    store.list_remove(&list, &[members[1].bytes.clone(), members[3].bytes.clone()]).await.unwrap();
    assert!(whole(&store, &list).await.is_empty());
    added(&store, &list, &members[0], 1, 1).await;
    assert_eq!(whole(&store, &list).await, members[..1]);
}

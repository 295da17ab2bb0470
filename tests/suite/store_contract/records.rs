//! What every store promises of records: read, swapped whole, expired; and that answers find their callers.

use super::{LATER, Names, SOON, change, eventually, give_up_after, made, now, number, read, stamp, value, whole};
use bytes::Bytes;
use jeton::store::{Name, STAMP_BYTES, Stamp, Store, Swap, Swapped};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinSet;

pub async fn absent_reads_as_none(store: Arc<dyn Store>, names: Names) {
    assert_eq!(store.get(&[names.fresh(), names.fresh()]).await.unwrap().values, [None, None]);
    assert!(store.get(&[]).await.unwrap().values.is_empty());
    assert!(whole(&store, &names.fresh()).await.is_empty());
}

pub async fn get_answers_in_order(store: Arc<dyn Store>, names: Names) {
    let (a, absent, b) = (names.fresh(), names.fresh(), names.fresh());
    made(&store, &change(&a, None, Some(1))).await;
    made(&store, &change(&b, None, Some(2))).await;
    let answer = store.get(&[b.clone(), absent, a.clone(), b]).await.unwrap();
    assert_eq!(answer.values, [Some(value(2)), None, Some(value(1)), Some(value(2))]);
    let again = store.get(&[a]).await.unwrap();
    assert_eq!(again.identity, answer.identity, "one primary has one identity");
}

pub async fn large_values_come_back_whole(store: Arc<dyn Store>, names: Names) {
    let name = names.fresh();
    let large: Bytes = (0..65_536_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24).to_be_bytes()[3]).collect();
    let stamp = Stamp::try_from(&large[..STAMP_BYTES]).unwrap();
    made(&store, &Swap { value: Some(large.clone()), ..change(&name, None, None) }).await;
    assert_eq!(read(&store, &name).await, Some(large.clone()));
    made(&store, &Swap { expected: Some(stamp), ..change(&name, None, Some(1)) }).await;
    assert_eq!(read(&store, &name).await, Some(value(1)), "a shorter one leaves nothing of it");
}

pub async fn create_only_when_absent(store: Arc<dyn Store>, names: Names) {
    let name = names.fresh();
    made(&store, &change(&name, None, Some(1))).await;
    let second = store.swap(&change(&name, None, Some(2)), &[]).await.unwrap().0;
    assert_eq!(second, Swapped::Conflict(Some(value(1))));
    assert_eq!(read(&store, &name).await, Some(value(1)));
}

pub async fn swap_only_when_stamp_matches(store: Arc<dyn Store>, names: Names) {
    let name = names.fresh();
    made(&store, &change(&name, None, Some(1))).await;
    made(&store, &change(&name, Some(1), Some(2))).await;
    for stale in [1, 3] {
        let refused = store.swap(&change(&name, Some(stale), Some(9)), &[]).await.unwrap().0;
        assert_eq!(refused, Swapped::Conflict(Some(value(2))), "expected {stale}");
    }
    let one_byte_off = {
        let mut stamp = stamp(2);
        stamp[0] ^= 1;
        stamp
    };
    let refused = store.swap(&Swap { expected: Some(one_byte_off), ..change(&name, None, Some(9)) }, &[]).await.unwrap().0;
    assert_eq!(refused, Swapped::Conflict(Some(value(2))), "all of the stamp is compared");
    assert_eq!(read(&store, &name).await, Some(value(2)));

    let same_stamp = [stamp(2).as_slice(), b"another end"].concat();
    made(&store, &Swap { value: Some(same_stamp.into()), ..change(&name, Some(2), None) }).await;
    made(&store, &change(&name, Some(2), Some(3))).await;
    assert_eq!(read(&store, &name).await, Some(value(3)), "nothing but the stamp is compared");
}

pub async fn conflict_shows_what_is_there(store: Arc<dyn Store>, names: Names) {
    let (name, absent) = (names.fresh(), names.fresh());
    made(&store, &change(&name, None, Some(5))).await;
    let (swapped, also) = store.swap(&change(&name, Some(4), Some(6)), &[absent.clone(), name.clone()]).await.unwrap();
    assert_eq!(swapped, Swapped::Conflict(Some(value(5))));
    assert_eq!(also.values, [None, Some(value(5))], "the other reads are answered nevertheless");
    let swapped = store.swap(&change(&absent, Some(4), Some(6)), &[]).await.unwrap().0;
    assert_eq!(swapped, Swapped::Conflict(None));
    assert_eq!(read(&store, &absent).await, None);
}

pub async fn delete_needs_the_stamp(store: Arc<dyn Store>, names: Names) {
    let name = names.fresh();
    made(&store, &change(&name, None, Some(1))).await;
    assert_eq!(store.swap(&change(&name, Some(2), None), &[]).await.unwrap().0, Swapped::Conflict(Some(value(1))));
    assert_eq!(store.swap(&change(&name, None, None), &[]).await.unwrap().0, Swapped::Conflict(Some(value(1))));
    assert_eq!(read(&store, &name).await, Some(value(1)));
    made(&store, &change(&name, Some(1), None)).await;
    assert_eq!(read(&store, &name).await, None);
    assert_eq!(store.swap(&change(&name, Some(1), None), &[]).await.unwrap().0, Swapped::Conflict(None));
    made(&store, &change(&name, None, Some(2))).await;
}

pub async fn one_of_many_concurrent_swaps_wins(store: Arc<dyn Store>, names: Names) {
    let name = names.fresh();
    for round in 0..10 {
        let expected = (round > 0).then(|| 1_000 * (round - 1));
        let mut tasks = JoinSet::new();
        for task in 1..=64 {
            let (store, name) = (Arc::clone(&store), name.clone());
            let swap = change(&name, expected, Some(1_000 * round + task));
            tasks.spawn(async move { (task, store.swap(&swap, &[]).await.unwrap().0) });
        }
        let answers = tasks.join_all().await;
        let winners: Vec<_> = answers.iter().filter(|(_, swapped)| *swapped == Swapped::Done).collect();
        assert_eq!(winners.len(), 1, "round {round}: {answers:?}");
        let won = value(1_000 * round + winners[0].0);
        assert_eq!(read(&store, &name).await, Some(won.clone()));
        for (task, swapped) in &answers {
            let lost = *swapped == Swapped::Conflict(Some(won.clone()));
            assert!(lost || *swapped == Swapped::Done, "task {task} was shown {swapped:?}");
        }
        made(&store, &change(&name, Some(number(&won)), Some(1_000 * round))).await;
    }
}

pub async fn expired_reads_as_absent(store: Arc<dyn Store>, names: Names) {
    let name = names.fresh();
    let expires_at = now(&store).await.plus(SOON);
    made(&store, &Swap { expires_at: Some(expires_at), ..change(&name, None, Some(1)) }).await;
    let early = read(&store, &name).await;
    assert!(early == Some(value(1)) || now(&store).await >= expires_at, "gone before its time");
    eventually("the record expires", async || {
        let before = now(&store).await;
        let found = read(&store, &name).await;
        let after = now(&store).await;
        assert!(found.is_some() || after >= expires_at, "gone at {after:?}, expires at {expires_at:?}");
        assert!(found.is_none() || before <= expires_at, "there at {before:?}, expires at {expires_at:?}");
        found.is_none()
    })
    .await;
    let swapped = store.swap(&change(&name, Some(1), Some(2)), std::slice::from_ref(&name)).await.unwrap();
    assert_eq!((swapped.0, swapped.1.values), (Swapped::Conflict(None), vec![None]), "nor can it be swapped");
}

pub async fn expired_may_be_created_anew(store: Arc<dyn Store>, names: Names) {
    let name = names.fresh();
    let expires_at = now(&store).await.plus(SOON);
    made(&store, &Swap { expires_at: Some(expires_at), ..change(&name, None, Some(1)) }).await;
    // Nothing reads it in between: the swap itself has to notice.
    eventually("its time comes", async || now(&store).await > expires_at).await;
    made(&store, &change(&name, None, Some(2))).await;
    assert_eq!(read(&store, &name).await, Some(value(2)));
}

pub async fn no_expiry_stays(store: Arc<dyn Store>, names: Names) {
    let (always, freed, moved) = (names.fresh(), names.fresh(), names.fresh());
    let soon = now(&store).await.plus(SOON);
    let later = soon.plus(LATER);
    made(&store, &change(&always, None, Some(1))).await;
    made(&store, &Swap { expires_at: Some(later), ..change(&freed, None, Some(0)) }).await;
    made(&store, &change(&freed, Some(0), Some(1))).await;
    made(&store, &Swap { expires_at: Some(soon), ..change(&moved, None, Some(0)) }).await;
    let swapped = store.swap(&Swap { expires_at: Some(later), ..change(&moved, Some(0), Some(1)) }, &[]).await.unwrap().0;
    assert!(swapped == Swapped::Done || now(&store).await >= soon);
    eventually("the first expiry passes", async || now(&store).await > soon).await;
    assert_eq!(read(&store, &always).await, Some(value(1)));
    assert_eq!(read(&store, &freed).await, Some(value(1)), "a swap without expiry takes the old one away");
    if swapped == Swapped::Done {
        assert_eq!(read(&store, &moved).await, Some(value(1)), "a swap with another expiry moves it");
    }
}

pub async fn reads_after_a_swap_see_what_was_there_before_it_was_sent(store: Arc<dyn Store>, names: Names) {
    // A read that began before the swap was made lets both of two crossing writers miss each other.
    for round in 0..100 {
        let (a, b) = (names.fresh(), names.fresh());
        let mut tasks = JoinSet::new();
        for (mine, other) in [(a.clone(), b.clone()), (b, a)] {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                let (swapped, also) = store.swap(&change(&mine, None, Some(round)), &[mine.clone(), other]).await.unwrap();
                assert_eq!(swapped, Swapped::Done);
                assert_eq!(also.values[0], Some(value(round)), "it sees itself");
                also.values[1].is_some()
            });
        }
        assert!(tasks.join_all().await.contains(&true), "round {round}: neither saw the other");
    }

    let (counter, acknowledged) = (names.fresh(), Arc::new(AtomicU64::new(0)));
    made(&store, &change(&counter, None, Some(0))).await;
    let counting = {
        let (store, counter, acknowledged) = (Arc::clone(&store), counter.clone(), Arc::clone(&acknowledged));
        async move {
            for n in 1..=200 {
                made(&store, &change(&counter, Some(n - 1), Some(n))).await;
                acknowledged.store(n, Ordering::SeqCst);
            }
        }
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(counting);
    while acknowledged.load(Ordering::SeqCst) < 200 {
        let before = acknowledged.load(Ordering::SeqCst);
        let (_, also) = store.swap(&change(&names.fresh(), None, Some(1)), std::slice::from_ref(&counter)).await.unwrap();
        let seen = number(also.values[0].as_ref().unwrap());
        assert!(seen >= before, "{before} was acknowledged, {seen} was read");
    }
    tasks.join_all().await;
}

pub async fn a_dropped_call_never_hands_its_reply_to_another(store: Arc<dyn Store>, names: Names) {
    let all: Arc<Vec<Name>> = Arc::new((0..64).map(|_| names.fresh()).collect());
    for (i, name) in (0..).zip(all.iter()) {
        made(&store, &change(name, None, Some(i))).await;
    }
    let mut tasks = JoinSet::new();
    for task in 0..8_usize {
        let (store, all, victim) = (Arc::clone(&store), Arc::clone(&all), names.fresh());
        tasks.spawn(async move {
            for round in 0..64_usize {
                let dropped = &all[(task * 7 + round) % 64];
                let wanted = (task * 13 + round * 5) % 64;
                give_up_after(round % 4, store.get(std::slice::from_ref(dropped))).await;
                let answer = read(&store, &all[wanted]).await;
                assert_eq!(answer, Some(value(wanted as u64)), "task {task}, round {round}");

                let sent = change(&victim, None, Some(round as u64));
                give_up_after(round % 4, store.swap(&sent, std::slice::from_ref(dropped))).await;
                let (swapped, also) =
                    store.swap(&change(&all[wanted], Some(999_999), None), &[all[wanted].clone()]).await.unwrap();
                assert_eq!(swapped, Swapped::Conflict(Some(value(wanted as u64))), "task {task}, round {round}");
                assert_eq!(also.values, [Some(value(wanted as u64))]);
            }
        });
    }
    tasks.join_all().await;
}

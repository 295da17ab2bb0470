//! Many callers' items done as one: while one group is under way the next gathers. Must not live here: what is done with them.

use jeton_domain::error::{Error, Result};
use std::future::Future;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// How many make one group at most: appended to the log of Redis, which does nothing else meanwhile, they take about a millisecond.
const MOST: usize = 256;

/// What gathers: each `T` is answered by an `A`.
#[derive(Debug)]
pub struct Together<T, A> {
    waiting: Mutex<Vec<Waiting<T, A>>>,
    /// Held while a group is under way.
    doing: Arc<tokio::sync::Mutex<()>>,
    /// Groups under way: a task of its own each, so that no caller who goes away takes the others' with him.
    begun: TaskTracker,
}

#[derive(Debug)]
struct Waiting<T, A> {
    item: T,
    told: Told<A>,
}

type Told<A> = oneshot::Sender<Result<A>>;

impl<T, A> Default for Together<T, A> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), doing: Arc::default(), begun: TaskTracker::new() }
    }
}

impl<T, A: Send + 'static> Together<T, A> {
    /// Has `item` done by `all`, which this caller brings or another: as part of a group that begins after this call, an answer for each
    /// item in order. A group that began is done to its end, whoever goes away meanwhile.
    pub async fn join<F>(&self, item: T, all: impl Fn(Vec<T>) -> F) -> Result<A>
    where
        F: Future<Output = Result<Vec<A>>> + Send + 'static,
    {
        let mut answer = self.enter(item);
        loop {
            let turn = tokio::select! {
                biased;
                told = &mut answer => return told.unwrap_or_else(|_gone| Err(unanswered())),
                turn = Arc::clone(&self.doing).lock_owned() => turn,
            };
            let (items, told): (Vec<T>, Vec<_>) = self.group().into_iter().map(|one| (one.item, one.told)).unzip();
            if !told.is_empty() {
                self.begin(all(items), told, turn);
            }
        }
    }

    fn enter(&self, item: T) -> oneshot::Receiver<Result<A>> {
        let (told, answer) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(Waiting { item, told });
        answer
    }

    /// Does a group, and tells everybody before the next one begins.
    fn begin<F>(&self, group: F, told: Vec<Told<A>>, turn: OwnedMutexGuard<()>)
    where
        F: Future<Output = Result<Vec<A>>> + Send + 'static,
    {
        let done = async move {
            match group.await {
                Ok(answers) => {
                    let answers = answers.into_iter().map(Ok).chain(std::iter::repeat_with(|| Err(unanswered())));
                    told.into_iter().zip(answers).for_each(|(told, answer)| drop(told.send(answer)));
                }
                Err(error) => told.into_iter().for_each(|told| drop(told.send(Err(error.clone())))),
            }
            drop(turn);
        };
        drop(self.begun.spawn(done.in_current_span()));
    }

    /// Those that came first and still want to know.
    fn group(&self) -> Vec<Waiting<T, A>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|one| !one.told.is_closed());
        let most = waiting.len().min(MOST);
        let later = waiting.split_off(most);
        mem::replace(&mut *waiting, later)
    }
}

fn unanswered() -> Error {
    Error::Internal("of what was done together one was not answered".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::{Notify, Semaphore};
    use tokio::task::JoinHandle;

    /// Groups are done when they may, and answer each item with the size of its group.
    struct Bench {
        together: Together<usize, usize>,
        arrived: Semaphore,
        begun: Notify,
        may: Semaphore,
    }

    fn join(bench: &Arc<Bench>, tasks: &TaskTracker, item: usize) -> JoinHandle<Result<usize>> {
        let bench = Arc::clone(bench);
        tasks.spawn(async move {
            bench.arrived.add_permits(1);
            let all = |items: Vec<usize>| {
                let bench = Arc::clone(&bench);
                async move {
                    bench.begun.notify_one();
                    bench.may.acquire().await.unwrap().forget();
                    if items.contains(&7) { Err(Error::Healing) } else { Ok(vec![items.len(); items.len()]) }
                }
            };
            bench.together.join(item, all).await
        })
    }

    /// One group under way, of one; `count` items behind it.
    async fn gathered(count: usize, item: usize) -> (Arc<Bench>, JoinHandle<Result<usize>>, Vec<JoinHandle<Result<usize>>>) {
        let tasks = TaskTracker::new();
        let together = Together::default();
        let bench = Arc::new(Bench { together, arrived: Semaphore::new(0), begun: Notify::new(), may: Semaphore::new(0) });
        let first = join(&bench, &tasks, 0);
        bench.begun.notified().await;
        let others = (0..count).map(|_| join(&bench, &tasks, item)).collect();
        // On this runtime's one thread, a task that arrived runs on until it waits.
        bench.arrived.acquire_many(u32::try_from(count + 1).unwrap()).await.unwrap().forget();
        (bench, first, others)
    }

    #[tokio::test]
    async fn who_arrives_while_one_group_is_under_way_is_in_the_next() {
        let (bench, first, others) = gathered(MOST + 10, 1).await;
        bench.may.add_permits(3);
        assert_eq!(first.await.unwrap(), Ok(1));
        for (at, other) in others.into_iter().enumerate() {
            assert_eq!(other.await.unwrap(), Ok(if at < MOST { MOST } else { 10 }));
        }
        assert_eq!(bench.may.available_permits(), 0, "three groups");
    }

    #[tokio::test]
    async fn what_fails_fails_for_all_of_its_group_and_for_no_other() {
        let (bench, first, others) = gathered(3, 7).await;
        bench.may.add_permits(2);
        assert_eq!(first.await.unwrap(), Ok(1));
        for other in others {
            assert_eq!(other.await.unwrap(), Err(Error::Healing));
        }
    }

    #[tokio::test]
    async fn who_goes_away_while_his_group_is_under_way_takes_nothing_from_the_others() {
        let (bench, first, mut others) = gathered(5, 1).await;
        bench.may.add_permits(1);
        assert_eq!(first.await.unwrap(), Ok(1));
        bench.begun.notified().await;
        others.remove(0).abort();
        bench.may.add_permits(1);
        for other in others {
            assert_eq!(other.await.unwrap(), Ok(5), "nothing is done again");
        }
    }
}

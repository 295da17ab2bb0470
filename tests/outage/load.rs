//! The four operations, by honest clients that keep the rules of `docs/refresh.md`, and by watchers who look at what was ended.

use super::caller::{Caller, Held, Wanted};
use super::fleet::{APPS, WEB};
use super::history::{Freshness, Outcome, RevocationAt, Target, TokenAt};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How many of each kind are at work.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Sign in, refresh, introspect, and sign out in the end.
    pub apps: u64,
    /// The same, and each refresh is sent twice at once.
    pub hasty: u64,
    /// Sign in and out, as fast as that goes.
    pub fleeting: u64,
    /// Introspect what was revoked a moment ago, wherever.
    pub watchers: u64,
}

pub const USUAL: Mix = Mix { apps: 8, hasty: 2, fleeting: 4, watchers: 4 };
/// Nobody: the test does it.
pub const IDLE: Mix = Mix { apps: 0, hasty: 0, fleeting: 0, watchers: 0 };

/// What all share.
struct Shared {
    /// Revocations of late, each with a token that it ends.
    ended: Mutex<VecDeque<(RevocationAt, TokenAt)>>,
    /// What is held in the end.
    held: Mutex<Vec<Held>>,
}

/// The load, until it is stopped.
pub struct Load {
    workers: JoinSet<()>,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

impl Load {
    /// Begins. `seed` decides who does what.
    pub fn start(caller: &Caller, mix: Mix, seed: u64) -> Self {
        let shared = Arc::new(Shared { ended: Mutex::default(), held: Mutex::default() });
        let stop = CancellationToken::new();
        let mut workers = JoinSet::new();
        let kinds =
            [(mix.apps, Habit::App), (mix.hasty, Habit::Hasty), (mix.fleeting, Habit::Fleeting), (mix.watchers, Habit::Watcher)];
        let all = kinds.into_iter().flat_map(|(count, habit)| (0..count).map(move |number| (habit, number)));
        for (habit, number) in all {
            let worker = Worker {
                caller: caller.clone(),
                shared: Arc::clone(&shared),
                stop: stop.clone(),
                dice: Dice::new(seed.wrapping_mul(1_000).wrapping_add(number * 10 + habit as u64)),
                name: format!("{habit:?}-{number}"),
                made: 0,
            };
            workers.spawn(async move {
                match habit {
                    Habit::App | Habit::Hasty => worker.app(habit == Habit::Hasty).await,
                    Habit::Fleeting => worker.fleeting().await,
                    Habit::Watcher => worker.watcher().await,
                }
            });
        }
        Self { workers, shared, stop }
    }

    /// Ends it; what is held then.
    pub async fn stop(&mut self) -> Vec<Held> {
        self.stop.cancel();
        while let Some(ended) = self.workers.join_next().await {
            ended.unwrap();
        }
        std::mem::take(&mut *self.shared.held.lock().unwrap())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    App = 1,
    Hasty,
    Fleeting,
    Watcher,
}

struct Worker {
    caller: Caller,
    shared: Arc<Shared>,
    stop: CancellationToken,
    dice: Dice,
    name: String,
    made: u64,
}

impl Worker {
    fn goes_on(&self) -> bool {
        !self.stop.is_cancelled()
    }

    fn replica(&mut self) -> usize {
        let replicas = u64::try_from(self.caller.doors.len()).unwrap();
        usize::try_from(self.dice.below(replicas)).unwrap()
    }

    async fn pause(&mut self, most: u64) {
        let pause = Duration::from_millis(self.dice.below(most));
        self.stop.run_until_cancelled(sleep(pause)).await;
    }

    /// Signs somebody in. Of a worker's subjects there are a few, so that revoking one ends several grants.
    async fn sign_in(&mut self) -> Option<Held> {
        self.made += 1;
        let client = if self.dice.one_in(4) { WEB } else { APPS[usize::try_from(self.dice.below(3)).unwrap()] };
        let sub = format!("{}-{}", self.name, self.dice.below(3));
        let wanted = Wanted {
            client: client.into(),
            sub,
            sid: format!("{}-session-{}", self.name, self.made / 2),
            opaque: self.dice.one_in(3),
        };
        let replica = self.replica();
        self.caller.issue(replica, wanted).await
    }

    async fn app(mut self, hasty: bool) {
        while self.goes_on() {
            let Some(mut held) = self.sign_in().await else {
                self.pause(200).await;
                continue;
            };
            let mut older = vec![held.access];
            let steps = 5 + self.dice.below(30);
            let mut lives = true;
            for _ in 0..steps {
                if !self.goes_on() {
                    break;
                }
                if self.dice.one_in(3) {
                    lives = if hasty { self.refresh_twice(&mut held).await } else { self.refresh(&mut held).await };
                    older.push(held.access);
                } else {
                    let token = older[usize::try_from(self.dice.below(older.len() as u64)).unwrap()];
                    self.look(token, None).await;
                }
                if !lives {
                    break;
                }
                self.pause(60).await;
            }
            let keeps = !self.goes_on() || self.dice.one_in(3);
            if lives && !keeps {
                self.sign_out(&held).await;
            }
            self.shared.held.lock().unwrap().push(held);
        }
    }

    /// One refresh, repeated under one name until it is answered. False where it was refused.
    async fn refresh(&mut self, held: &mut Held) -> bool {
        let name = held.pending.take().unwrap_or_else(|| format!("{:x}", self.dice.next()));
        loop {
            let replica = self.replica();
            match self.caller.refresh(replica, held, &name).await {
                Outcome::Done((refresh, access)) => {
                    (held.refresh, held.access) = (refresh, access);
                    return true;
                }
                Outcome::Refused(_) => {
                    self.caller.explain(replica, held.refresh).await;
                    return false;
                }
                Outcome::Unknown(_) if self.goes_on() => self.pause(200).await,
                Outcome::Unknown(_) => {
                    held.pending = Some(name);
                    return true;
                }
            }
        }
    }

    /// One refresh, sent twice at once. Who gets two different successors, or does not know, has broken the rules and may be taken
    /// for two: he is honest no more, and keeps what came last.
    async fn refresh_twice(&mut self, held: &mut Held) -> bool {
        let name = format!("{:x}", self.dice.next());
        let (one, other) = (self.replica(), self.replica());
        let answers = tokio::join!(self.caller.refresh(one, held, &name), self.caller.refresh(other, held, &name));
        match answers {
            (Outcome::Done(one), Outcome::Done(other))
                if one.0 == other.0 || one.0 == held.refresh || other.0 == held.refresh =>
            {
                // What was presented is the older one.
                (held.refresh, held.access) = if one.0 == held.refresh { other } else { one };
                true
            }
            (Outcome::Refused(_), Outcome::Refused(_)) => {
                self.caller.explain(one, held.refresh).await;
                false
            }
            (one, other) => {
                self.caller.recorder.history().grants[held.grant].honest = false;
                if let Some((refresh, access)) = other.done().or(one.done()) {
                    (held.refresh, held.access) = (*refresh, *access);
                }
                false
            }
        }
    }

    /// Signs in and out.
    async fn fleeting(mut self) {
        while self.goes_on() {
            match self.sign_in().await {
                Some(held) => {
                    self.sign_out(&held).await;
                    self.shared.held.lock().unwrap().push(held);
                    self.pause(10).await;
                }
                None => self.pause(200).await,
            }
        }
    }

    /// Revokes what is held, in one of the ways there are, and again until it is acknowledged (or given up).
    async fn sign_out(&mut self, held: &Held) {
        let grant = held.grant;
        let (target, by) = match self.dice.below(8) {
            0 => (Target::Token(held.access), None),
            1 | 2 => (Target::Grant(grant), None),
            3 => (Target::Session(held.sid.clone()), None),
            4 => (Target::Subject(held.sub.clone()), None),
            5 => (Target::Consent(held.sub.clone(), held.client.clone()), None),
            _ => (Target::Grant(grant), Some(held.refresh)),
        };
        for _ in 0..=self.dice.below(4) {
            let replica = self.replica();
            let revoked = self.caller.revoke(replica, target.clone(), by).await;
            if self.caller.recorder.history().revocations[revoked].outcome.done().is_some() {
                self.ended(revoked, held.access);
                break;
            }
            if !self.goes_on() {
                break;
            }
            self.pause(200).await;
        }
    }

    fn ended(&self, revocation: RevocationAt, token: TokenAt) {
        let mut ended = self.shared.ended.lock().unwrap();
        ended.push_back((revocation, token));
        if ended.len() > 300 {
            ended.pop_front();
        }
    }

    async fn watcher(mut self) {
        while self.goes_on() {
            let looked_at = {
                let ended = self.shared.ended.lock().unwrap();
                // What was ended last is asked for most.
                let newest = ended.len() as u64;
                let back = if newest == 0 { 0 } else { self.dice.below(newest).min(self.dice.below(newest)) };
                ended.len().checked_sub(1 + usize::try_from(back).unwrap()).and_then(|at| ended.get(at)).copied()
            };
            if let Some((revocation, token)) = looked_at {
                self.look(token, Some(revocation)).await;
            }
            self.pause(20).await;
        }
    }

    async fn look(&mut self, token: TokenAt, since: Option<RevocationAt>) {
        let freshness = match (self.dice.below(3), since) {
            (0, _) => Freshness::Full,
            (1, Some(revocation)) => Freshness::AtLeast(revocation),
            _ => Freshness::Default,
        };
        let replica = self.replica();
        self.caller.introspect(replica, &[token], freshness).await;
    }
}

/// Chance that a seed decides (splitmix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

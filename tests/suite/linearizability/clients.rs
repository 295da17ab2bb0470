//! The clients of one grant, several at once: each makes a call after the other, with tokens that any of them was handed, and writes down
//! what it asked and what it was told. Nothing is judged here.
//!
//! The service's clock stands while calls are under way and is moved between rounds, as a call of the history. So no moment falls on one
//! side of a window for the service and on the other for the model. What was given up may still happen when the round is over; therefore
//! calls are given up in the last round only, after which the clock moves no more.

use super::dice::Dice;
use super::history::{Answer, Asked, Number, Operation, Standing};
use super::holder::Holder;
use super::model::{Row, Terms};
use crate::world::{Replica, World, fully_fresh, refusal, seconds};
use jeton::api::revoke_request::Target;
use jeton::api::{Cause, ExplainRequest, IntrospectRequest, IssueResponse, RefreshRequest, RevokeRequest};
use jeton::clock::Clock;
use jeton_domain::token::{Presented, parse};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::task::JoinSet;
use tonic::{Code, Status};

/// How many call at once, each on one of two replicas.
const CLIENTS: usize = 4;
/// How many calls each makes.
const CALLS: usize = 20;
/// Names of attempts are so few that clients meet under one.
const REQUEST_IDS: u64 = 3;

/// What the clients of a grant do.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    pub name: &'static str,
    pub terms: Terms,
    /// Rounds into which the calls are divided.
    pub rounds: usize,
    /// By one of these the clock is moved between two rounds, in seconds.
    pub passes: &'static [u64],
    /// One call in so many presents any token, however old.
    pub strays: u64,
    /// One call in so many shows an access token to a gateway, which tells; 0: none does.
    pub gateways: u64,
    /// By which rows its refreshes are answered.
    pub rows: &'static [Row],
}

/// A grant, what was handed out under it, and what happened to it.
struct Chain {
    issued: IssueResponse,
    sub: String,
    holder: Holder,
    clock: Clock,
    began: Instant,
    /// By how many seconds the clock was moved.
    passed: AtomicU64,
    handed: Mutex<BTreeMap<Number, String>>,
    /// Access tokens, with the number of the refresh token that each came with and the second at which it ends.
    accesses: Mutex<Vec<(Number, u64, String)>>,
    /// Held from when an access token is seen until that was looked at, by each replica: nobody else looks at it.
    looking: [tokio::sync::Mutex<()>; 2],
    /// Refreshes that were asked for under a name.
    attempts: Mutex<Vec<Asked>>,
    history: Mutex<Vec<Operation>>,
}

/// Everything that happened to one grant of its own, in the order in which it began.
pub async fn history(world: &World, replicas: &[Arc<Replica>; 2], mode: Mode, dice: &mut Dice) -> Vec<Operation> {
    let holder = if mode.terms.is_held { Holder::proved(dice) } else { Holder::Anybody };
    let chain = Arc::new(Chain::issue(world, &replicas[0], holder, dice).await);
    for round in 0..mode.rounds {
        if round > 0 {
            let seconds = mode.passes[usize::try_from(dice.below(mode.passes.len() as u64)).unwrap()];
            let passed = async {
                world.pass(seconds);
                chain.passed.fetch_add(seconds, Ordering::Relaxed);
                for replica in replicas {
                    replica.app.service.refresh_keys().await.unwrap();
                }
                Answer::Done
            };
            chain.record(CLIENTS, Asked::Pass(seconds), passed).await;
        }
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let (chain, replica) = (Arc::clone(&chain), Arc::clone(&replicas[number % 2]));
            let dice = Dice(dice.below(u64::MAX));
            let gives_up = round + 1 == mode.rounds;
            clients.spawn(Client { number, chain, replica, mode, dice, gives_up }.call(CALLS / mode.rounds));
        }
        clients.join_all().await;
    }
    let newest = *chain.handed.lock().unwrap().last_key_value().unwrap().0;
    chain.record(CLIENTS, Asked::Explain(newest), chain.explain(&replicas[1], newest)).await;
    let mut history = std::mem::take(&mut *chain.history.lock().unwrap());
    history.sort_by_key(|call| call.start);
    history
}

impl Chain {
    async fn issue(world: &World, replica: &Replica, holder: Holder, dice: &mut Dice) -> Self {
        let sub = format!("user-{}", dice.below(u64::MAX));
        let issued = replica.issue(holder.issue(&sub)).await;
        let first = number(&issued.refresh_token);
        let until = u64::try_from(issued.expires_in).unwrap();
        Self {
            handed: Mutex::new(BTreeMap::from([(first, issued.refresh_token.clone())])),
            accesses: Mutex::new(vec![(first, until, issued.access_token.clone())]),
            issued,
            sub,
            holder,
            clock: world.clock.clone(),
            began: Instant::now(),
            passed: AtomicU64::new(0),
            looking: Default::default(),
            attempts: Mutex::default(),
            history: Mutex::default(),
        }
    }

    /// Writes down a call, from before it leaves until after its answer came.
    async fn record(&self, client: usize, asked: Asked, call: impl Future<Output = Answer>) -> Answer {
        let start = self.began.elapsed();
        let answer = call.await;
        let end = (answer != Answer::Unknown).then(|| self.began.elapsed());
        self.history.lock().unwrap().push(Operation { client, asked, start, end, answer });
        answer
    }

    fn text(&self, number: Number) -> String {
        self.handed.lock().unwrap()[&number].clone()
    }

    async fn refresh(&self, replica: &Replica, presented: Number, request: Option<u32>) -> Answer {
        let request_id = request.map(|name| format!("attempt-{name}")).unwrap_or_default();
        let asked = self.holder.refresh(&self.text(presented), seconds(self.clock.now()));
        match replica.try_refresh(RefreshRequest { request_id, ..asked }).await {
            Ok(refreshed) => {
                let handed = number(&refreshed.refresh_token);
                let until = self.passed.load(Ordering::Relaxed) + u64::try_from(refreshed.expires_in).unwrap();
                self.accesses.lock().unwrap().push((handed, until, refreshed.access_token));
                let mut known = self.handed.lock().unwrap();
                let text = known.entry(handed).or_insert_with(|| refreshed.refresh_token.clone());
                assert_eq!(*text, refreshed.refresh_token, "one token of one number");
                Answer::Handed(handed)
            }
            Err(status) => refused(status),
        }
    }

    async fn unproved(&self, replica: &Replica, presented: Number, shows_another: bool) -> Answer {
        let asked = self.holder.unproved(&self.text(presented), seconds(self.clock.now()), shows_another);
        match replica.try_refresh(asked).await.map_err(|status| (status.code(), status)) {
            // Who the client is comes before anything that is its own.
            Err((Code::Unauthenticated, _)) if matches!(self.holder, Holder::Client) => Answer::Refused,
            Err((_, status)) => refused(status),
            Ok(refreshed) => Answer::Handed(number(&refreshed.refresh_token)),
        }
    }

    async fn introspect(&self, replica: &Replica, token: String) -> Answer {
        let asked = IntrospectRequest { token, freshness: fully_fresh(), ..Default::default() };
        let answer = replica.tokens.clone().introspect(asked).await;
        answer.map_or_else(refused, |answer| Answer::Active(answer.into_inner().active))
    }

    async fn explain(&self, replica: &Replica, presented: Number) -> Answer {
        let asked = ExplainRequest { token: self.text(presented), ..Default::default() };
        let explained = match replica.tokens.clone().explain(asked).await {
            Ok(explained) => explained.into_inner(),
            Err(status) => return refused(status),
        };
        let newest = explained.newest_generation;
        Answer::Explained(match explained.cause() {
            Cause::Unspecified => Standing::Accepted(newest),
            Cause::Rotated => Standing::Rotated(newest),
            Cause::GrantRevoked | Cause::SubjectRevoked | Cause::SessionRevoked | Cause::Reuse | Cause::RetryExpired => {
                Standing::Ended
            }
            other => panic!("{other:?}: {}", explained.explanation),
        })
    }

    async fn revoke(&self, replica: &Replica, target: Target) -> Answer {
        let asked = RevokeRequest { target: Some(target), ..Default::default() };
        replica.try_revoke(asked).await.map_or_else(refused, |_| Answer::Done)
    }
}

/// That what was seen was looked at. What failed may have been half done.
async fn look(replica: &Replica) -> Answer {
    replica.app.service.look_at_arrivals().await.map_or(Answer::Unknown, |()| Answer::Done)
}

/// The number of a refresh token, as its text says.
fn number(token: &str) -> Number {
    match parse(token) {
        Presented::Numbered(numbered) => numbered.generation,
        other => panic!("no refresh token: {other:?}"),
    }
}

/// The store is never gone here; that a race was lost too often is no answer.
fn refused(status: Status) -> Answer {
    match status.code() {
        Code::Unavailable => Answer::Unknown,
        _ => {
            let told = format!("{status:?}");
            assert_eq!(refusal::<()>(Err(status)), (Code::FailedPrecondition, "REFRESH_TOKEN_REFUSED".into()), "{told}");
            Answer::Refused
        }
    }
}

/// One of those who call at once.
struct Client {
    number: usize,
    chain: Arc<Chain>,
    replica: Arc<Replica>,
    mode: Mode,
    dice: Dice,
    gives_up: bool,
}

impl Client {
    async fn call(mut self, calls: usize) {
        let mut left = calls;
        while left > 0 {
            if self.mode.gateways > 0 && self.dice.one_in(self.mode.gateways) {
                self.sees().await;
                left = left.saturating_sub(2);
                continue;
            }
            left -= 1;
            let asked = self.chooses();
            let (turns, target, shows_another) = (self.patience(), self.target(), self.dice.one_in(2));
            let (chain, replica) = (&self.chain, &self.replica);
            let call = async {
                match asked {
                    Asked::Refresh(presented, request) => chain.refresh(replica, presented, request).await,
                    Asked::Revoke => chain.revoke(replica, target).await,
                    Asked::Unproved(presented) => chain.unproved(replica, presented, shows_another).await,
                    Asked::Introspect(presented) => chain.introspect(replica, chain.text(presented)).await,
                    Asked::Explain(presented) => chain.explain(replica, presented).await,
                    Asked::Pass(_) | Asked::Access(..) | Asked::Seen(_) => unreachable!("no client does so by itself"),
                }
            };
            chain.record(self.number, asked, within(turns, call)).await;
            if asked == Asked::Revoke && self.dice.one_in(2) {
                // What is in force then is read from the record.
                replica.app.alive.settle().await.unwrap();
            }
        }
    }

    /// A gateway asks about an access token: one of the last few, or as often any. What that tells is looked at afterwards; it is never given up.
    async fn sees(&mut self) {
        let (chain, place) = (Arc::clone(&self.chain), self.number % 2);
        let (number, until, token) = {
            let all = chain.accesses.lock().unwrap();
            let far = if self.dice.one_in(2) { all.len() } else { all.len().min(6) };
            all[all.len() - 1 - usize::try_from(self.dice.below(far as u64)).unwrap()].clone()
        };
        let _alone = chain.looking[place].lock().await;
        let asked = chain.introspect(&self.replica, token);
        if chain.record(self.number, Asked::Access(number, until), asked).await == Answer::Active(true) {
            chain.record(self.number, Asked::Seen(number), look(&self.replica)).await;
        }
    }

    fn chooses(&mut self) -> Asked {
        let presented = self.presents();
        match self.dice.below(120) {
            0 => Asked::Revoke,
            80..92 if self.mode.terms.is_held => Asked::Unproved(presented),
            1..11 => Asked::Introspect(presented),
            11..23 => Asked::Explain(presented),
            23..35 => self.repeats().unwrap_or(Asked::Refresh(presented, None)),
            35..80 => {
                let asked = Asked::Refresh(presented, Some(u32::try_from(self.dice.below(REQUEST_IDS)).unwrap()));
                self.chain.attempts.lock().unwrap().push(asked);
                asked
            }
            _ => Asked::Refresh(presented, None),
        }
    }

    /// Mostly the newest that anybody was handed, sometimes the one before it, seldom any.
    fn presents(&mut self) -> Number {
        let handed: Vec<Number> = self.chain.handed.lock().unwrap().keys().rev().copied().collect();
        let any = if self.dice.one_in(self.mode.strays) {
            self.dice.below(handed.len() as u64)
        } else {
            u64::from(self.dice.one_in(3))
        };
        handed[usize::try_from(any).unwrap().min(handed.len() - 1)]
    }

    /// The latest attempt that has a name, or one before it.
    fn repeats(&mut self) -> Option<Asked> {
        let attempts = self.chain.attempts.lock().unwrap();
        let before = usize::try_from(self.dice.below(2)).unwrap();
        attempts.iter().rev().nth(before).copied()
    }

    /// Anything that the grant belongs to.
    fn target(&mut self) -> Target {
        match self.dice.below(3) {
            0 => Target::GrantId(self.chain.issued.grant_id.clone()),
            1 => Target::Token(self.chain.issued.refresh_token.clone()),
            _ => Target::Sub(self.chain.sub.clone()),
        }
    }

    /// After how many turns of this thread a call is given up, if at all.
    fn patience(&mut self) -> Option<u64> {
        let gives_up = self.gives_up && self.dice.one_in(8);
        gives_up.then(|| self.dice.below(200))
    }
}

/// The answer, if it comes within so many turns; none: however long it takes.
async fn within(turns: Option<u64>, call: impl Future<Output = Answer>) -> Answer {
    let Some(turns) = turns else { return call.await };
    let waiting = async {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        answer = call => answer,
        () = waiting => Answer::Unknown,
    }
}

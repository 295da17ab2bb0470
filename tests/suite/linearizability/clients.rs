//! The clients of one grant, several at once: each makes a call after the other, with tokens that any of them was handed, and writes down
//! what it asked and what it was told. Nothing is judged here.
//!
//! The service's clock stands while calls are under way and is moved between rounds, as a call of the history. So no moment falls on one
//! side of a window for the service and on the other for the model. What was given up may still happen when the round is over; therefore
//! calls are given up in the last round only, after which the clock moves no more.

use super::dice::Dice;
use super::history::{Answer, Asked, Number, Operation, Standing};
use super::model::{Row, Terms};
use crate::world::{Replica, SCOPES, World, alice, fully_fresh, mobile, refusal};
use jeton::api::revoke_request::Target;
use jeton::api::{Cause, ExplainRequest, IntrospectRequest, IssueRequest, IssueResponse, RefreshRequest, RevokeRequest};
use jeton_domain::token::{Presented, parse};
use std::collections::BTreeMap;
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
    /// By which rows its refreshes are answered.
    pub rows: &'static [Row],
}

/// A grant, what was handed out under it, and what happened to it.
struct Chain {
    issued: IssueResponse,
    sub: String,
    began: Instant,
    handed: Mutex<BTreeMap<Number, String>>,
    /// Refreshes that were asked for under a name.
    attempts: Mutex<Vec<Asked>>,
    history: Mutex<Vec<Operation>>,
}

/// Everything that happened to one grant of its own, in the order in which it began.
pub async fn history(world: &World, replicas: &[Arc<Replica>; 2], mode: Mode, dice: &mut Dice) -> Vec<Operation> {
    let chain = Arc::new(Chain::issue(&replicas[0], dice).await);
    for round in 0..mode.rounds {
        if round > 0 {
            let seconds = mode.passes[usize::try_from(dice.below(mode.passes.len() as u64)).unwrap()];
            let passed = async {
                world.pass(seconds);
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
    async fn issue(replica: &Replica, dice: &mut Dice) -> Self {
        let sub = format!("user-{}", dice.below(u64::MAX));
        let issued = replica.issue(IssueRequest { sub: sub.clone(), ..alice("mobile-app", SCOPES) }).await;
        let handed = Mutex::new(BTreeMap::from([(number(&issued.refresh_token), issued.refresh_token.clone())]));
        let (attempts, history) = (Mutex::default(), Mutex::default());
        Self { issued, sub, began: Instant::now(), handed, attempts, history }
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
        match replica.try_refresh(RefreshRequest { request_id, ..mobile(&self.text(presented)) }).await {
            Ok(refreshed) => {
                let handed = number(&refreshed.refresh_token);
                let mut known = self.handed.lock().unwrap();
                let text = known.entry(handed).or_insert_with(|| refreshed.refresh_token.clone());
                assert_eq!(*text, refreshed.refresh_token, "one token of one number");
                Answer::Handed(handed)
            }
            Err(status) => refused(status),
        }
    }

    async fn introspect(&self, replica: &Replica, presented: Number) -> Answer {
        let asked = IntrospectRequest { token: self.text(presented), freshness: fully_fresh(), ..Default::default() };
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
        for _ in 0..calls {
            let asked = self.chooses();
            let (turns, target) = (self.patience(), self.target());
            let (chain, replica) = (&self.chain, &self.replica);
            let call = async {
                match asked {
                    Asked::Refresh(presented, request) => chain.refresh(replica, presented, request).await,
                    Asked::Revoke => chain.revoke(replica, target).await,
                    Asked::Introspect(presented) => chain.introspect(replica, presented).await,
                    Asked::Explain(presented) => chain.explain(replica, presented).await,
                    Asked::Pass(_) => unreachable!("no client moves the clock"),
                }
            };
            chain.record(self.number, asked, within(turns, call)).await;
            if asked == Asked::Revoke && self.dice.one_in(2) {
                // What is in force then is read from the record.
                replica.app.alive.settle().await.unwrap();
            }
        }
    }

    fn chooses(&mut self) -> Asked {
        let presented = self.presents();
        match self.dice.below(120) {
            0 => Asked::Revoke,
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

//! One run: a fleet under load while things fail, then calm, then everything asked once more, then judged.

use super::caller::{Caller, Held, Wanted};
use super::checker::{Promise, Rules, Verdict, check};
use super::fleet::{APPS, Fleet, LIFETIME, MAX_STALENESS, Settings};
use super::history::{Freshness, Introspection, Kind, Moment, Outcome, Recorder, Target, Token, TokenAt};
use super::load::{Dice, IDLE, Load, Mix};
use super::node::{Node, until};
use super::summary;
use jeton::api::Durability;
use jeton::clock::Clock;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The overlap of the fleet, and a little: after it a refresh hands out a new token again.
const AFTER_THE_OVERLAP: Duration = Duration::from_millis(1_200);
/// How many calls go on at once when everything is asked once more.
const AT_ONCE: usize = 8;

/// What is promised in a run, and what is kept.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub promise: Promise,
    /// What every acknowledgement must say.
    pub durability: Durability,
    pub records_kept: bool,
    pub views_kept: bool,
    /// It must lose something, and does not count.
    pub is_control: bool,
}

/// Acknowledged by all replicas of the store; records and views kept.
pub const REPLICATED: Terms = Terms {
    promise: Promise::Replicated,
    durability: Durability::Replicated,
    records_kept: true,
    views_kept: true,
    is_control: false,
};
/// Acknowledged by the primary alone.
pub const APPLIED: Terms = Terms { promise: Promise::Applied, durability: Durability::Applied, ..REPLICATED };

/// A run under way.
pub struct Run {
    name: &'static str,
    terms: Terms,
    pub fleet: Fleet,
    pub caller: Caller,
    load: Load,
    injected: BTreeMap<&'static str, usize>,
    /// What was done when, for who looks into a finding.
    marks: Vec<String>,
}

/// What a run was, and how it was judged.
pub struct Judged {
    pub verdict: Verdict,
    pub recorder: Arc<Recorder>,
    pub calm: Moment,
    told: String,
}

impl Run {
    /// Starts the fleet and the load.
    pub async fn start(name: &'static str, terms: Terms, settings: Settings, mix: Mix, seed: u64) -> Self {
        let run = Self::begin(name, terms, settings, mix, seed).await;
        run.revocations(20).await;
        run
    }

    /// Starts the fleet alone.
    pub async fn idle(name: &'static str, terms: Terms, settings: Settings) -> Self {
        Self::begin(name, terms, settings, IDLE, 0).await
    }

    async fn begin(name: &'static str, terms: Terms, settings: Settings, mix: Mix, seed: u64) -> Self {
        let fleet = Fleet::start(settings).await;
        let caller =
            Caller { recorder: Arc::new(Recorder::new()), doors: Arc::clone(&fleet.doors), durability: terms.durability };
        let load = Load::start(&caller, mix, seed);
        let mut run = Self { name, terms, fleet, caller, load, injected: BTreeMap::new(), marks: Vec::new() };
        run.mark(format!("on the wall: {} ms", Clock::system().now().millis()));
        run
    }

    /// Notes the moment of something.
    pub fn mark(&mut self, what: impl Into<String>) {
        self.marks.push(format!("{:?} {}\n", self.caller.now(), what.into()));
    }

    /// Counts a fault that was injected.
    pub fn injected(&mut self, what: &'static str) {
        self.injected_many(what, 1);
    }

    /// Counts several.
    pub fn injected_many(&mut self, what: &'static str, count: usize) {
        *self.injected.entry(what).or_default() += count;
    }

    /// Waits until so many more revocations were acknowledged.
    pub async fn revocations(&self, more: usize) {
        let count = || {
            let history = self.caller.recorder.history();
            history.revocations.iter().filter(|revocation| revocation.outcome.done().is_some()).count()
        };
        let enough = count() + more;
        until("more acknowledged revocations", async || {
            sleep(Duration::from_millis(30)).await;
            count() >= enough
        })
        .await;
    }

    /// Lets the load go on for a while, whatever it achieves.
    pub async fn lasting(&self, long: Duration) {
        sleep(long).await;
    }

    /// Ends what many hold: everything of one client, and all that was signed with the key that signed last. Until it is acknowledged.
    pub async fn sweep(&self) {
        let signed_last = |tokens: &[Token]| {
            tokens.iter().rev().find_map(|token| match &token.kind {
                Kind::Jwt(kid) => Some(Target::Key(kid.clone())),
                Kind::Refresh | Kind::Opaque => None,
            })
        };
        let key = signed_last(&self.caller.recorder.history().tokens);
        for target in [Some(Target::Client(APPS[2].into())), key].into_iter().flatten() {
            let mut replica = 0;
            until("a sweeping revocation is acknowledged", async || {
                replica = (replica + 1) % self.caller.doors.len();
                let revoked = self.caller.revoke(replica, target.clone(), None).await;
                self.caller.recorder.history().revocations[revoked].outcome.done().is_some()
            })
            .await;
        }
    }

    /// All replicas of the service die at once: nobody is left who has seen anything. Others begin in the end, or by `revive`.
    pub async fn kill_the_fleet(&mut self) {
        self.fleet.kill_all().await;
        self.terms.views_kept = false;
        self.injected("fleets killed");
    }

    /// Starts every replica that does not run.
    pub async fn revive(&mut self) {
        let ended = self.fleet.revive().await;
        if ended > 0 {
            self.injected_many("replicas that ended by themselves", ended);
        }
    }

    /// Ends the load and waits until all is well, asks everything once more of everyone, and judges.
    pub async fn conclude(self) -> Judged {
        self.conclude_on(&[]).await
    }

    /// The same; where a promise was broken, what `nodes` and the replicas logged is kept.
    pub async fn conclude_on(mut self, nodes: &[&Node]) -> Judged {
        let held = self.load.stop().await;
        self.revive().await;
        self.fleet.ready().await;
        recovered(&self.caller).await;
        let calm = self.caller.now();
        // Who was handed a token a moment ago gets the same again, and so does who is ahead of what a failover left: he goes twice.
        sleep(AFTER_THE_OVERLAP).await;
        let held = refresh_once_more(&self.caller, held).await;
        sleep(AFTER_THE_OVERLAP).await;
        refresh_once_more(&self.caller, held).await;
        let tokens: Vec<TokenAt> = (0..self.caller.recorder.history().tokens.len()).collect();
        for replica in 0..self.caller.doors.len() {
            self.caller.introspect_all(replica, &tokens, Freshness::Full).await;
            self.caller.introspect_all(replica, sample(&tokens), Freshness::Default).await;
        }
        let history = self.caller.recorder.history();
        let rules = Rules {
            max_staleness: MAX_STALENESS,
            promise: self.terms.promise,
            calm,
            lifetime: LIFETIME,
            records_kept: self.terms.records_kept,
            views_kept: self.terms.views_kept,
        };
        let verdict = check(&history, rules);
        summary::add(self.name, self.terms.is_control, &self.injected, &history, &verdict, calm);
        if !verdict.findings.is_empty() {
            self.keep_logs(nodes);
        }
        let told = format!(
            "{}: broken promises\n{}\n{}\n{}",
            self.name,
            verdict.told(&history),
            self.marks.concat(),
            self.fleet.complaints()
        );
        drop(history);
        Judged { verdict, recorder: self.caller.recorder, calm, told }
    }
}

impl Run {
    fn keep_logs(&self, nodes: &[&Node]) {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("outage-{}", self.name.replace([' ', ','], "-")));
        std::fs::create_dir_all(&directory).unwrap();
        for node in nodes {
            std::fs::write(directory.join(format!("redis-{}.log", node.port)), node.log()).unwrap();
        }
        for at in 0..self.fleet.len() {
            std::fs::write(directory.join(format!("jeton-{at}.log")), self.fleet.log(at)).unwrap();
        }
        summary::say(&format!("logs are in {}", directory.display()));
    }
}

impl Judged {
    /// How many access tokens that were handed out before `moment` are active after the calm.
    pub fn survivors(&self, moment: Moment) -> usize {
        let history = self.recorder.history();
        let lives = |asked: &&Introspection| asked.outcome == Outcome::Done(true) && asked.span.start > self.calm;
        let alive: HashSet<TokenAt> = history.introspections.iter().filter(lives).map(|asked| asked.token).collect();
        let tokens = alive.into_iter().map(|at| &history.tokens[at]);
        tokens.filter(|token| token.kind != Kind::Refresh && token.handed.end < moment).count()
    }

    /// Fails where a promise was broken.
    #[track_caller]
    pub fn is_kept(&self) {
        assert!(self.verdict.findings.is_empty(), "{}", self.told);
    }
}

/// Waits until every replica does everything.
async fn recovered(caller: &Caller) {
    let mut dice = Dice::new(7);
    for replica in 0..caller.doors.len() {
        until(&format!("replica {replica} does its work"), async || {
            let name = format!("canary-{:x}", dice.next());
            let wanted = Wanted { client: APPS[0].into(), sub: name.clone(), sid: name, opaque: true };
            let Some(held) = caller.issue(replica, wanted).await else {
                sleep(Duration::from_millis(100)).await;
                return false;
            };
            let revoked = caller.revoke(replica, Target::Grant(held.grant), None).await;
            let is_done = caller.recorder.history().revocations[revoked].outcome.done().is_some();
            is_done && caller.introspect(replica, &[held.access], Freshness::Full).await.is_some()
        })
        .await;
    }
}

/// Each chain goes one step further, so that what came before is spent; who is refused asks why. Answers those who were handed what they
/// presented.
async fn refresh_once_more(caller: &Caller, held: Vec<Held>) -> Vec<Held> {
    let mut tasks = JoinSet::new();
    for (number, some) in shares(held).into_iter().enumerate() {
        let caller = caller.clone();
        tasks.spawn(async move {
            let mut dice = Dice::new(number as u64);
            let mut same = Vec::new();
            for mut held in some {
                let replica = usize::try_from(dice.below(caller.doors.len() as u64)).unwrap();
                let name = held.pending.take().unwrap_or_else(|| format!("last-{:x}", dice.next()));
                match caller.refresh(replica, &held, &name).await {
                    Outcome::Done((next, _)) if next == held.refresh => same.push(held),
                    Outcome::Done(_) | Outcome::Unknown(_) => {}
                    Outcome::Refused(_) => {
                        caller.explain(replica, held.refresh).await;
                    }
                }
            }
            same
        });
    }
    tasks.join_all().await.concat()
}

fn shares(mut held: Vec<Held>) -> Vec<Vec<Held>> {
    let each = held.len().div_ceil(AT_ONCE).max(1);
    let mut shares = Vec::new();
    while !held.is_empty() {
        shares.push(held.split_off(held.len().saturating_sub(each)));
    }
    shares
}

/// The newest.
fn sample(tokens: &[TokenAt]) -> &[TokenAt] {
    &tokens[tokens.len().saturating_sub(600)..]
}

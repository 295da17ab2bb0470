//! Whether a Redis is fit to be jeton's store, found out before it goes live: every server is asked, and what is done is harmless.
//!
//! Lives here: what one server is asked, and how long it took. Below: who belongs to the deployment and how it holds together (`sentinels`,
//! `cluster`), what a server's answers mean (`judge`, `replication`), what the user may do (`permissions`).
//! Must not live here: readiness, which is asked again and again and may take no time.

mod cluster;
mod judge;
mod permissions;
mod replication;
mod sentinels;

use super::address::{Address, Deployment, Login, Node};
use super::reply::{self, Refusal, refusal};
use super::wire::{Door, Wire};
use crate::clock::Clock;
use crate::store::Diagnosis;
use ::redis::{Pipeline, Value};
use judge::Server;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How often a time is taken; the middle one counts.
const TIMES: usize = 21;
/// A round trip that takes longer is felt in every Issue and Refresh.
const SLOW_TRIP: Duration = Duration::from_millis(5);
/// A write that takes longer is.
const SLOW_WRITE: Duration = Duration::from_millis(25);
/// What is written to see how long it takes; it is gone a second later.
const WRITTEN: &str = "jeton:{doctor}";
/// The settings that are looked at, the last two where there is a cluster.
const SETTINGS: [&str; 5] = ["appendfsync", "save", "min-replicas-to-write", cluster::NODE_TIMEOUT, cluster::FULL_COVERAGE];

const NO_USER: &str = "make a user of Redis for jeton, with the permissions of docs/operations.md: who reaches its port can end every \
                       session";
const NO_SENTINEL_USER: &str = "make a user there with +sentinel|get-master-addr-by-name and name it by sentinel_user and \
                                sentinel_password: who reaches their port can make another server the primary";

/// What the configuration says of a Redis.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// How many replicas of each primary are waited for.
    pub replicas: u32,
    /// How long anything may take.
    pub timeout: Duration,
}

/// Examines the Redis at an address. What cannot be found out is told too.
pub async fn examine(address: &Address, clock: &Clock, expected: Expected) -> Vec<Diagnosis> {
    let (door, sentinel_door) = match Door::both(address) {
        Ok(doors) => doors,
        Err(problem) => return vec![Diagnosis::fail("address", "", problem.to_string(), "correct `store`")],
    };
    let shown = address.to_string();
    let examination = Examination { door, clock, expected };
    let mut all = vec![login(address.login.as_ref(), &shown, NO_USER)];
    match &address.deployment {
        Deployment::Standalone(node) => all.extend(examination.of_one(node).await),
        Deployment::Cluster(seeds) => all.extend(cluster::examine(&examination, seeds).await),
        Deployment::Sentinel(nodes, name) => {
            all.push(login(address.sentinel_login.as_ref(), "the Sentinels", NO_SENTINEL_USER));
            let examination_of_them = Examination { door: sentinel_door, ..examination.clone() };
            let (told, primary) = sentinels::examine(&examination_of_them, nodes, name).await;
            all.extend(told);
            if let Some(primary) = primary {
                all.extend(examination.of_one(&primary).await);
            }
        }
    }
    all
}

/// What all questions are asked with.
#[derive(Clone)]
struct Examination<'a> {
    door: Arc<Door>,
    clock: &'a Clock,
    expected: Expected,
}

impl Examination<'_> {
    /// A primary, and those that follow it.
    async fn of_one(&self, node: &Node) -> Vec<Diagnosis> {
        let mut all = vec![transport(&self.door, node)];
        let (asked, server) = match self.ask(node).await {
            Ok(asked) => asked,
            Err(why) => {
                all.push(unreached(node, why));
                return all;
            }
        };
        all.extend(server.of_any());
        all.extend(server.of_primary(self.expected.replicas, false));
        all.extend(user(&asked).await);
        all.push(trip(&asked).await);
        // A cluster's node writes only what is in its slots.
        if !server.is_in_a_cluster() {
            all.push(write(&asked, WRITTEN, self.expected.replicas).await);
        }
        for follower in server.followers() {
            match self.ask(&Node::new(&follower.host, follower.port)).await {
                Ok((asked, replica)) => {
                    all.extend(replica.of_any());
                    all.extend(replica.of_replica(Some(&server)));
                    all.extend(user(&asked).await);
                }
                Err(why) => all.push(unreached(&Node::new(&follower.host, follower.port), why)),
            }
        }
        all
    }

    async fn enter(&self, node: &Node) -> Result<Asked, Refusal> {
        let within = self.expected.timeout;
        let wire = timeout(within, self.door.enter(node)).await.map_err(|_elapsed| self.door.silence())??;
        Ok(Asked { name: node.to_string(), wire, within })
    }

    /// Connects to a server with data, and lets it tell all that is judged.
    async fn ask(&self, node: &Node) -> Result<(Asked, Server), Refusal> {
        let asked = self.enter(node).await?;
        let mut questions = Pipeline::with_capacity(3);
        questions.cmd("INFO").cmd("CONFIG").arg("GET").arg(&SETTINGS[..]).cmd("TIME");
        let sent = self.clock.now();
        let answers = asked.answers(&questions).await?;
        let now = self.clock.now();
        let [info, settings, time] = answers.as_slice() else { return Err(Refusal::Unknown) };
        if let Value::ServerError(error) = info {
            return Err(refusal(error));
        }
        let unknown = |_| Refusal::Unknown;
        let theirs = reply::time(time).map_err(unknown)?;
        let apart = theirs.since(now).max(sent.since(theirs));
        let name = asked.name.clone();
        let server = Server { name, info: reply::text(info).map_err(unknown)?.to_owned(), settings: pairs(settings), apart };
        Ok((asked, server))
    }
}

/// A connection to one server.
struct Asked {
    name: String,
    wire: Wire,
    within: Duration,
}

impl Asked {
    async fn answers(&self, questions: &Pipeline) -> Result<Vec<Value>, Refusal> {
        let mut connection = self.wire.connection.clone();
        let answers = connection.send_packed_commands(questions, 0, questions.len());
        let late = |_elapsed| Refusal::Lost("Redis did not answer in time");
        timeout(self.within, answers).await.map_err(late)?.map_err(|error| Refusal::lost(&error))
    }

    /// The same where an error among them is the answer.
    async fn all_answers(&self, questions: &Pipeline) -> Result<Vec<Value>, Refusal> {
        let answers = self.answers(questions).await?;
        match answers.iter().find_map(|answer| if let Value::ServerError(error) = answer { Some(error) } else { None }) {
            Some(error) => Err(refusal(error)),
            None => Ok(answers),
        }
    }
}

/// Name, value, name, value, ...; none where it is refused.
fn pairs(answer: &Value) -> Option<BTreeMap<String, String>> {
    let Value::Array(flat) = answer else { return None };
    let texts: Vec<&str> = flat.iter().map(|value| reply::text(value).unwrap_or_default()).collect();
    Some(texts.as_chunks().0.iter().map(|[name, value]| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn unreached(node: &Node, why: Refusal) -> Diagnosis {
    Diagnosis::fail(
        "connection",
        node.to_string(),
        why.into_error().to_string(),
        "mend it: jeton reaches every server of the deployment with the address and user of `store`",
    )
}

fn transport(door: &Door, node: &Node) -> Diagnosis {
    let at = node.to_string();
    let is_local = &*node.host == "localhost" || node.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match (door.is_tls(), is_local) {
        (true, _) => Diagnosis::ok("transport", at, "TLS"),
        (false, true) => Diagnosis::ok("transport", at, "plain text that does not leave this machine"),
        (false, false) => Diagnosis::warn(
            "transport",
            at,
            "plain text over the network",
            "begin the address with rediss:// and give Redis a certificate: who listens learns the password, and can then end every \
             session",
        ),
    }
}

/// How one logs in to the servers with data, or the Sentinels.
fn login(login: Option<&Login>, at: &str, advice: &str) -> Diagnosis {
    if login.is_some() {
        return Diagnosis::ok("login", at, "with a password");
    }
    Diagnosis::warn("login", at, "without a password", advice)
}

/// What the user of the address may do.
async fn user(asked: &Asked) -> Vec<Diagnosis> {
    let name = &asked.name;
    let lacking = match asked.answers(&permissions::trials()).await {
        Ok(answers) => permissions::lacking(&answers),
        Err(why) => {
            let found = format!("what this user may do could not be tried: {}", why.into_error());
            return vec![Diagnosis::warn("permissions", name, found, "run this again")];
        }
    };
    let mut all = Vec::new();
    all.push(if lacking.permissions.is_empty() {
        Diagnosis::ok("permissions", name, "the user may do all that jeton does")
    } else {
        let found = format!("the user lacks {}", lacking.permissions.join(" "));
        Diagnosis::fail(
            "permissions",
            name,
            found,
            format!("`ACL SETUSER NAME {}`, as docs/operations.md says", super::PERMISSIONS),
        )
    });
    if lacking.library {
        all.push(Diagnosis::fail(
            "functions",
            name,
            "jeton's function library is not loaded, and this user may not load it",
            "let a user who may run `jeton doctor --functions | redis-cli -x FUNCTION LOAD`: without it jeton does not start",
        ));
    }
    all
}

/// How long one question takes.
async fn trip(asked: &Asked) -> Diagnosis {
    let mut question = Pipeline::with_capacity(1);
    question.cmd("TIME");
    let name = &asked.name;
    match middle(asked, &question, |_| true).await.map(Option::unwrap_or_default) {
        Err(why) => {
            Diagnosis::fail("round trip", name, why.into_error().to_string(), "look at the network between jeton and Redis")
        }
        Ok(took) if took > SLOW_TRIP => Diagnosis::warn(
            "round trip",
            name,
            spelled(took),
            "bring jeton and Redis nearer to each other: Issue and Refresh wait for several round trips",
        ),
        Ok(took) => Diagnosis::ok("round trip", name, spelled(took)),
    }
}

/// How long one write takes until it is where it must be: on the disk, where Redis is set so, and with the replicas.
async fn write(asked: &Asked, key: &str, replicas: u32) -> Diagnosis {
    let name = &asked.name;
    let mut questions = Pipeline::with_capacity(2);
    questions.cmd("SET").arg(key).arg("").arg("PX").arg(1_000);
    if replicas > 0 {
        questions.cmd("WAIT").arg(replicas).arg(u64::try_from(asked.within.as_millis()).unwrap_or(u64::MAX) / 2);
    }
    let advice =
        "look at the disk and, where replicas are waited for, at the network between them: so long takes every revocation";
    let reached = |answers: &[Value]| !matches!(answers, [_, Value::Int(reached)] if *reached < i64::from(replicas));
    match middle(asked, &questions, reached).await {
        Err(why) => {
            Diagnosis::fail("write", name, why.into_error().to_string(), "mend it: so jeton can neither issue nor revoke")
        }
        Ok(None) => Diagnosis::fail("write", name, "not all replicas acknowledged a write in time", advice),
        Ok(Some(took)) if took > SLOW_WRITE => Diagnosis::warn("write", name, spelled(took), advice),
        Ok(Some(took)) => Diagnosis::ok("write", name, spelled(took)),
    }
}

/// The middle of several times; none as soon as the answers are not as they should be.
async fn middle(asked: &Asked, questions: &Pipeline, is_right: impl Fn(&[Value]) -> bool) -> Result<Option<Duration>, Refusal> {
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let begun = Instant::now();
        let answers = asked.all_answers(questions).await?;
        times.push(begun.elapsed());
        if !is_right(&answers) {
            return Ok(None);
        }
    }
    times.sort_unstable();
    Ok(times.get(TIMES / 2).copied())
}

fn spelled(took: Duration) -> String {
    format!("{:.2} ms", took.as_secs_f64() * 1_000.0)
}

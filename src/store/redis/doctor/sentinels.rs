//! The Sentinels: whether enough of them know of each other, agree, and elect another primary in time. Not the servers they watch.

use super::judge::silence;
use super::{Asked, Examination, pairs, transport, unreached};
use crate::store::redis::address::Node;
use crate::store::redis::reply::{self, Refusal, refusal};
use crate::store::{Diagnosis, Verdict};
use ::redis::{Pipeline, Value};
use std::collections::BTreeMap;

/// With fewer no majority is left when one fails.
const FEWEST: usize = 3;
/// An election takes up to ten seconds, unless `failover-timeout` cuts it short.
const ELECTION_MS: u64 = 10_000;
/// Ten times as long without its primary a replica is still fit to be elected: longer than TILT, the 30 s in which a Sentinel that was
/// paused for 2 s does nothing.
const OUTLASTS_TILT_MS: u64 = 4_000;
/// Only after twice its `failover-timeout` does a Sentinel try again.
const PATIENT_MS: u64 = 60_000;
/// What asking them needs beside what jeton itself does.
const PERMISSIONS: &str = "+sentinel|master +sentinel|replicas +sentinel|sentinels";

/// Field by field, as a Sentinel tells of a server.
type Told = BTreeMap<String, String>;

/// What one Sentinel said.
#[derive(Debug)]
struct Sentinel {
    at: String,
    /// The primary.
    named: Option<Node>,
    /// The primary, its replicas and the other Sentinels; none where the user may not ask.
    told: Option<(Told, Vec<Told>, Vec<Told>)>,
}

/// Asks all of them; and whom most name.
pub(super) async fn examine(examination: &Examination<'_>, nodes: &[Node], name: &str) -> (Vec<Diagnosis>, Option<Node>) {
    let (mut all, mut answered) = (Vec::new(), Vec::new());
    for node in nodes {
        all.push(transport(&examination.door, node));
        let said = async {
            let asked = examination.enter(node).await?;
            ask(&asked, name).await
        };
        match said.await {
            Ok(sentinel) => answered.push(sentinel),
            Err(why) => all.push(unreached(node, why)),
        }
    }
    let (agreement, primary) = agreed(&answered, nodes.len());
    all.push(agreement);
    all.extend(answered.iter().flat_map(|sentinel| sentinel.judged(name, nodes.len(), examination.expected.replicas)));
    (all, primary)
}

async fn ask(asked: &Asked, name: &str) -> Result<Sentinel, Refusal> {
    let mut questions = Pipeline::with_capacity(4);
    for what in ["GET-MASTER-ADDR-BY-NAME", "MASTER", "REPLICAS", "SENTINELS"] {
        questions.cmd("SENTINEL").arg(what).arg(name);
    }
    let answers = asked.answers(&questions).await?;
    let [named, primary, replicas, others] = answers.as_slice() else { return Err(Refusal::Unknown) };
    let named = match named {
        Value::ServerError(error) => return Err(refusal(error)),
        Value::Array(place) => match place.as_slice() {
            [host, port] => {
                let word = |value| reply::text(value).map_err(|_foreign| Refusal::Unknown);
                Some(Node::new(word(host)?, word(port)?.parse().map_err(|_word| Refusal::Unknown)?))
            }
            _ => return Err(Refusal::Unknown),
        },
        _ => None,
    };
    let told = pairs(primary).zip(servers(replicas)).zip(servers(others));
    Ok(Sentinel { at: asked.name.clone(), named, told: told.map(|((primary, replicas), others)| (primary, replicas, others)) })
}

fn servers(answer: &Value) -> Option<Vec<Told>> {
    if let Value::Array(servers) = answer { servers.iter().map(pairs).collect() } else { None }
}

/// Whether all that answered name the same primary, and most of those that the address names do.
fn agreed(answered: &[Sentinel], named: usize) -> (Diagnosis, Option<Node>) {
    const CHECK: &str = "primary";
    let mut votes = BTreeMap::<&Node, usize>::new();
    for node in answered.iter().filter_map(|sentinel| sentinel.named.as_ref()) {
        *votes.entry(node).or_default() += 1;
    }
    let told: Vec<String> = votes.iter().map(|(node, votes)| format!("{node} by {votes}")).collect();
    let first = votes.iter().max_by_key(|(_, votes)| **votes).map(|(node, votes)| ((*node).clone(), *votes));
    let diagnosis = match &first {
        None => Diagnosis::fail(
            CHECK,
            "",
            "no Sentinel names one",
            "write in `store` the name that `sentinel monitor` gives it: without a primary jeton does not start",
        ),
        Some(_) if votes.len() > 1 => Diagnosis::fail(
            CHECK,
            "",
            format!("they do not agree who it is: {}", told.join(", ")),
            "wait until a failover is over; else let all monitor the same: a replica of jeton that asks another would serve other data",
        ),
        Some((node, votes)) if 2 * votes <= named => Diagnosis::fail(
            CHECK,
            node.to_string(),
            format!("{votes} of {named} Sentinels name it"),
            "bring the others back: jeton follows a failover only when most of those that the address names say so",
        ),
        Some((node, votes)) => Diagnosis::ok(CHECK, node.to_string(), format!("{votes} of {named} Sentinels name it")),
    };
    (diagnosis, first.map(|(node, _)| node))
}

impl Sentinel {
    /// What it knows, where the address of jeton names so many and so many replicas are waited for.
    fn judged(&self, name: &str, named: usize, replicas: u32) -> Vec<Diagnosis> {
        if self.named.is_none() {
            return vec![self.fail(
                "sentinels",
                format!("it knows no primary by the name {name}"),
                "let it monitor the same as the others: it has no vote here",
            )];
        }
        let Some((primary, known, others)) = &self.told else {
            return vec![Diagnosis::warn(
                "sentinels",
                &self.at,
                "this user may only ask who is primary, so that quorum, time-outs and what it knows of the others were not seen",
                format!("give it {PERMISSIONS} for the time of this; jeton itself does not need them"),
            )];
        };
        let number = |field: &str| primary.get(field).and_then(|number| number.parse().ok()).unwrap_or(0_u64);
        let mut all = vec![
            self.company(others, named),
            self.quorum(usize::try_from(number("quorum")).unwrap_or(usize::MAX), others.len() + 1, name),
            self.down_after(number("down-after-milliseconds")),
            self.failover_timeout(number("failover-timeout")),
            self.replicas(known, replicas, name),
        ];
        if is_down(primary) {
            all.push(self.fail(
                "connection",
                "it takes the primary for down",
                "look at the network between them, and at its `sentinel auth-user` and `auth-pass`: it would elect another",
            ));
        }
        all
    }

    fn fail(&self, check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Diagnosis {
        Diagnosis::fail(check, &self.at, found, advice)
    }

    fn company(&self, others: &[Told], named: usize) -> Diagnosis {
        const CHECK: &str = "sentinels";
        let known = others.len() + 1;
        let found = format!("it knows of {known}, itself included, and the address names {named}");
        let down: Vec<String> = others.iter().filter(|other| is_down(other)).map(place).collect();
        if known < FEWEST {
            self.fail(
                CHECK,
                found,
                "run three or more that monitor the same primary, on machines of their own: with fewer no majority is left when one \
                 fails, and nobody takes over",
            )
        } else if !down.is_empty() {
            self.fail(
                CHECK,
                format!("it cannot reach {}", down.join(", ")),
                "bring it back, or `SENTINEL RESET` where it is gone for good: it counts among those of whom most must agree",
            )
        } else if known < named {
            self.fail(CHECK, found, "let all monitor the same primary and reach each other: whom it does not know has no vote")
        } else if known > named {
            Diagnosis::warn(
                CHECK,
                &self.at,
                found,
                "name all of them in `store`: jeton follows a failover when most of those that it asks say so",
            )
        } else {
            Diagnosis::ok(CHECK, &self.at, found)
        }
    }

    fn quorum(&self, quorum: usize, known: usize, name: &str) -> Diagnosis {
        const CHECK: &str = "quorum";
        let most = known / 2 + 1;
        let found = format!("{quorum} of {known} must find the primary down");
        let set = format!("`SENTINEL SET {name} quorum {most}` at each");
        if quorum > known {
            self.fail(CHECK, found, format!("{set}: so nobody is ever elected"))
        } else if quorum < most {
            Diagnosis::warn(
                CHECK,
                &self.at,
                found,
                format!("{set}: a few that are cut off take a living primary for down, and begin elections"),
            )
        } else if quorum == known && known > most {
            Diagnosis::warn(CHECK, &self.at, found, format!("{set}: one Sentinel that is down, and nobody is elected"))
        } else {
            Diagnosis::ok(CHECK, &self.at, found)
        }
    }

    fn down_after(&self, millis: u64) -> Diagnosis {
        const CHECK: &str = "down-after-milliseconds";
        let told = silence(CHECK, &self.at, millis);
        if told.verdict == Verdict::Ok && millis < OUTLASTS_TILT_MS {
            let advice = "make it 5000: after a pause of the machine Sentinels elect nobody for half a minute (TILT), and then take replicas \
                          that were so long without their primary for unfit: nobody takes over any more";
            return Diagnosis::warn(CHECK, &self.at, told.found, advice);
        }
        told
    }

    fn failover_timeout(&self, timeout: u64) -> Diagnosis {
        const CHECK: &str = "failover-timeout";
        let found = format!("{timeout} ms");
        if timeout < ELECTION_MS {
            let advice = "make it 30000: an election or a promotion that takes longer is given up half-way, and begun anew";
            Diagnosis::warn(CHECK, &self.at, found, advice)
        } else if timeout > PATIENT_MS {
            let advice = "make it 30000: a failover that did not succeed is tried again after twice as long, and meanwhile nobody \
                          signs in and nothing is revoked";
            Diagnosis::warn(CHECK, &self.at, found, advice)
        } else {
            Diagnosis::ok(CHECK, &self.at, found)
        }
    }

    fn replicas(&self, known: &[Told], wanted: u32, name: &str) -> Diagnosis {
        const CHECK: &str = "replicas";
        let count = u32::try_from(known.len()).unwrap_or(u32::MAX);
        let down: Vec<String> = known.iter().filter(|replica| is_down(replica)).map(place).collect();
        let may_take_over = known.iter().any(|replica| replica.get("slave-priority").is_none_or(|priority| priority != "0"));
        let found = format!("it knows of {count}, and {wanted} are waited for");
        if count == 0 {
            self.fail(CHECK, "it knows of none", "give the primary a replica: nobody can take over")
        } else if !may_take_over {
            self.fail(CHECK, "none may be elected", "set replica-priority 100 at one or more: with 0 nobody takes over")
        } else if !down.is_empty() {
            self.fail(
                CHECK,
                format!("it finds {} down", down.join(", ")),
                format!("bring it back; `SENTINEL RESET {name}` at each, one after the other, where it is gone for good"),
            )
        } else if wanted > 0 && count < wanted {
            self.fail(CHECK, found, "bring the others back, or lower redis.replicas: what waits for them is never acknowledged")
        } else if wanted > 0 && count > wanted {
            self.fail(CHECK, found, format!("set redis.replicas = {count}: a failover may elect the one that was not waited for"))
        } else {
            Diagnosis::ok(CHECK, &self.at, found)
        }
    }
}

/// A link that broke a moment ago is no such thing yet.
fn is_down(server: &Told) -> bool {
    let flags = server.get("flags").map_or("", String::as_str);
    flags.split(',').any(|flag| matches!(flag, "s_down" | "o_down"))
}

fn place(server: &Told) -> String {
    let of = |field: &str| server.get(field).map_or("?", String::as_str);
    format!("{}:{}", of("ip"), of("port"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Verdict::{Fail, Warn};

    fn told(fields: &[(&str, &str)]) -> Told {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn sentinel(others: usize, replicas: usize, changes: &[(&str, &str)]) -> Sentinel {
        let sound = [("flags", "master"), ("quorum", "2"), ("down-after-milliseconds", "5000"), ("failover-timeout", "30000")];
        let other = told(&[("ip", "10.0.0.8"), ("port", "26379"), ("flags", "sentinel")]);
        let replica = told(&[("ip", "10.0.0.2"), ("port", "6379"), ("flags", "slave"), ("slave-priority", "100")]);
        let primary = sound.iter().chain(changes).copied().collect::<Vec<_>>();
        let told = Some((told(&primary), vec![replica; replicas], vec![other; others]));
        Sentinel { at: "s:1".into(), named: Some(Node::new("h", 1)), told }
    }

    /// What is not ok of one, where the address names three and two replicas are waited for.
    fn wrong(sentinel: &Sentinel) -> Vec<(&'static str, Verdict)> {
        let all = sentinel.judged("main", 3, 2).into_iter().filter(|one| one.verdict != Verdict::Ok);
        all.inspect(|one| assert!(!one.advice.is_empty() && !one.found.ends_with('.') && !one.advice.ends_with('.')))
            .map(|one| (one.check, one.verdict))
            .collect()
    }

    #[test]
    fn each_fault_is_told_by_itself() {
        assert_eq!(wrong(&sentinel(2, 2, &[])), []);
        for (others, replicas, changes, expected) in [
            (1, 2, &[][..], &[("sentinels", Fail)][..]),
            (3, 2, &[("quorum", "3")], &[("sentinels", Warn)]),
            (2, 2, &[("quorum", "1")], &[("quorum", Warn)]),
            (2, 2, &[("quorum", "3")], &[("quorum", Warn)]),
            (2, 2, &[("quorum", "4")], &[("quorum", Fail)]),
            (2, 2, &[("down-after-milliseconds", "300")], &[("down-after-milliseconds", Fail)]),
            (2, 2, &[("down-after-milliseconds", "1500")], &[("down-after-milliseconds", Warn)]),
            (2, 2, &[("down-after-milliseconds", "30000")], &[("down-after-milliseconds", Warn)]),
            (2, 2, &[("failover-timeout", "1000")], &[("failover-timeout", Warn)]),
            (2, 2, &[("failover-timeout", "180000")], &[("failover-timeout", Warn)]),
            (2, 0, &[], &[("replicas", Fail)]),
            (2, 1, &[], &[("replicas", Fail)]),
            (2, 3, &[], &[("replicas", Fail)]),
            (2, 2, &[("flags", "s_down,master,disconnected")], &[("connection", Fail)]),
        ] {
            assert_eq!(wrong(&sentinel(others, replicas, changes)), expected, "{others} {replicas} {changes:?}");
        }
        let mut ill = sentinel(2, 2, &[]);
        let (_, replicas, others) = ill.told.as_mut().unwrap();
        others[0].insert("flags".into(), "s_down,sentinel".into());
        replicas[1].insert("flags".into(), "s_down,slave".into());
        assert_eq!(wrong(&ill), [("sentinels", Fail), ("replicas", Fail)]);
        let mut none_may = sentinel(2, 2, &[]);
        for replica in &mut none_may.told.as_mut().unwrap().1 {
            replica.insert("slave-priority".into(), "0".into());
        }
        assert_eq!(wrong(&none_may), [("replicas", Fail)]);
        assert_eq!(wrong(&Sentinel { named: None, ..sentinel(2, 2, &[]) }), [("sentinels", Fail)]);
        assert_eq!(wrong(&Sentinel { told: None, ..sentinel(2, 2, &[]) }), [("sentinels", Warn)]);
    }

    #[test]
    fn most_of_all_must_name_one_primary() {
        let naming = |ports: &[u16]| {
            let all: Vec<_> =
                ports.iter().map(|port| Sentinel { named: Some(Node::new("h", *port)), ..sentinel(2, 2, &[]) }).collect();
            let (agreement, primary) = agreed(&all, 3);
            (agreement.verdict, primary.map(|node| node.port))
        };
        assert_eq!(naming(&[1, 1, 1]), (Verdict::Ok, Some(1)));
        assert_eq!(naming(&[1, 1]), (Verdict::Ok, Some(1)));
        assert_eq!(naming(&[1]), (Fail, Some(1)));
        assert_eq!(naming(&[1, 2, 2]), (Fail, Some(2)));
        assert_eq!(naming(&[]), (Fail, None));
    }
}

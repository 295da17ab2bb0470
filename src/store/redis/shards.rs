//! What a node of a cluster says of all: `CLUSTER SHARDS` and `CLUSTER INFO`, read. Not what is made of it (`cluster`).

use super::address::Node;
use super::reply::{self, Refusal, field};
use ::redis::{Pipeline, Value};

/// What one node said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct View {
    /// Whether that node finds the cluster in order and itself among most of its primaries.
    pub(super) ok: bool,
    /// How many slots it finds served.
    pub(super) served: usize,
    /// Higher is newer: every failover and every move of a slot raises it.
    pub(super) epoch: u64,
    pub(super) shards: Vec<Shard>,
}

/// Some slots and who holds them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shard {
    /// First and last of each range.
    pub(super) slots: Vec<(usize, usize)>,
    pub(super) members: Vec<Member>,
    /// Nodes of it that are known to be down.
    pub(super) down: Vec<Node>,
}

/// A node that is not known to be down.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) node: Node,
    pub(super) primary: bool,
}

/// What to ask for a view.
pub(super) fn questions() -> Pipeline {
    let mut questions = Pipeline::with_capacity(2);
    questions.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SHARDS");
    questions
}

/// The view of the node that was asked at `asked`; `tls` tells which port of the others is meant.
pub(super) fn view(answers: &[Value], asked: &Node, tls: bool) -> Result<View, Refusal> {
    let [info, shards] = answers else { return Err(Refusal::Unknown) };
    let info = reply::text(info).map_err(|_foreign| Refusal::Unknown)?;
    let number = |name| field(info, name).and_then(|number| number.parse().ok()).ok_or(Refusal::Unknown);
    let shards = list(shards)?.iter().map(|value| shard(value, asked, tls)).collect::<Result<_, _>>()?;
    Ok(View {
        ok: field(info, "cluster_state") == Some("ok"),
        served: usize::try_from(number("cluster_slots_ok")?).unwrap_or(usize::MAX),
        epoch: number("cluster_current_epoch")?,
        shards,
    })
}

fn shard(value: &Value, asked: &Node, tls: bool) -> Result<Shard, Refusal> {
    let bounds: Vec<usize> = list(get(value, "slots")?)?.iter().map(integer).collect::<Result<_, _>>()?;
    let slots = bounds.as_chunks().0.iter().map(|&[first, last]| (first, last)).collect();
    let (mut members, mut down) = (Vec::new(), Vec::new());
    for node in list(get(value, "nodes")?)? {
        if get(node, "health").and_then(word)?.starts_with("fail") {
            // Whoever is down need not have the right port.
            down.extend(member(node, asked, tls).map(|member| member.node));
        } else {
            members.push(member(node, asked, tls)?);
        }
    }
    Ok(Shard { slots, members, down })
}

/// An endpoint that is unknown is the host that was asked (`cluster-preferred-endpoint-type unknown-endpoint`, or a node alone).
fn member(node: &Value, asked: &Node, tls: bool) -> Result<Member, Refusal> {
    let host = match get(node, "endpoint")? {
        Value::Nil => "",
        other => word(other)?,
    };
    let host = if matches!(host, "" | "?") { &asked.host } else { host };
    let port = get(node, if tls { "tls-port" } else { "port" }).map_err(|_absent| {
        Refusal::Unfit(if tls {
            "the nodes of the cluster tell no port for TLS: set tls-cluster there, or begin the address with redis+cluster"
        } else {
            "a node of the cluster speaks only TLS: begin the address with rediss+cluster"
        })
    })?;
    let port = u16::try_from(integer(port)?).map_err(|_large| Refusal::Unknown)?;
    Ok(Member { node: Node::new(host, port), primary: get(node, "role").and_then(word)? == "master" })
}

fn list(value: &Value) -> Result<&[Value], Refusal> {
    if let Value::Array(values) = value { Ok(values) } else { Err(Refusal::Unknown) }
}

/// The value of a key of a map, which RESP2 writes as key, value, key, value, ...
fn get<'a>(map: &'a Value, key: &str) -> Result<&'a Value, Refusal> {
    let pairs = list(map)?.as_chunks().0.iter();
    pairs.filter(|[name, _]| word(name) == Ok(key)).map(|[_, value]| value).next().ok_or(Refusal::Unknown)
}

fn word(value: &Value) -> Result<&str, Refusal> {
    reply::text(value).map_err(|_foreign| Refusal::Unknown)
}

fn integer(value: &Value) -> Result<usize, Refusal> {
    if let Value::Int(number) = value {
        usize::try_from(*number).map_err(|_negative| Refusal::Unknown)
    } else {
        Err(Refusal::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn node(fields: &[(&str, Value)]) -> Value {
        let all = [("id", text("a")), ("ip", text("10.0.0.9")), ("role", text("master")), ("health", text("online"))];
        let mut flat = Vec::new();
        for (name, value) in fields.iter().chain(all.iter().filter(|(name, _)| fields.iter().all(|(given, _)| given != name))) {
            flat.extend([text(name), value.clone()]);
        }
        Value::Array(flat)
    }

    fn answers(nodes: Vec<Value>) -> [Value; 2] {
        let info = "cluster_state:ok\r\ncluster_slots_ok:12\r\ncluster_current_epoch:7\r\n";
        let slots = Value::Array([0, 5, 7, 7].map(Value::Int).into());
        let shard = Value::Array(vec![text("slots"), slots, text("nodes"), Value::Array(nodes)]);
        [text(info), Value::Array(vec![shard])]
    }

    #[test]
    fn endpoints_and_ports_are_those_to_connect_to() {
        let asked = Node::new("seed", 1);
        let both = [("port", Value::Int(6379)), ("tls-port", Value::Int(6380))];
        let with = |endpoint: Value| node(&[both.as_slice(), &[("endpoint", endpoint)]].concat());
        let nodes = vec![with(text("a.internal")), with(text("?")), with(text("")), with(Value::Nil)];
        for (tls, port) in [(false, 6379), (true, 6380)] {
            let view = view(&answers(nodes.clone()), &asked, tls).unwrap();
            assert_eq!((view.ok, view.served, view.epoch), (true, 12, 7));
            assert_eq!(view.shards[0].slots, [(0, 5), (7, 7)]);
            let found: Vec<_> = view.shards[0].members.iter().map(|member| (&*member.node.host, member.node.port)).collect();
            assert_eq!(found, [("a.internal", port), ("seed", port), ("seed", port), ("seed", port)]);
        }
    }

    #[test]
    fn who_is_down_is_no_member_and_roles_are_told() {
        let of = |role: &str, health: &str| {
            node(&[("port", Value::Int(1)), ("endpoint", text("h")), ("role", text(role)), ("health", text(health))])
        };
        let nodes = vec![of("master", "fail"), of("replica", "online"), of("master", "loading")];
        let view = view(&answers(nodes), &Node::new("seed", 1), false).unwrap();
        assert_eq!(view.shards[0].members.iter().map(|member| member.primary).collect::<Vec<_>>(), [false, true]);
        assert_eq!(view.shards[0].down, [Node::new("h", 1)]);
    }

    #[test]
    fn a_node_without_the_port_that_is_needed_is_told() {
        let plain = node(&[("port", Value::Int(6379)), ("endpoint", text("h"))]);
        let refused = view(&answers(vec![plain]), &Node::new("seed", 1), true).unwrap_err();
        assert!(matches!(refused, Refusal::Unfit(words) if words.contains("TLS")));
        assert_eq!(view(&[text("x"), Value::Nil], &Node::new("seed", 1), false), Err(Refusal::Unknown));
    }
}

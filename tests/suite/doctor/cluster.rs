//! What `jeton doctor` says of a cluster.

use super::{SOUND, examined, wrong};
use crate::redis_cluster::RedisCluster;
use jeton::store::Verdict::{self, Fail, Warn};
use jeton::store::redis::{FUNCTIONS, PERMISSIONS};

#[tokio::test]
async fn each_fault_of_a_cluster_is_told_of_every_node() {
    let mut cluster = RedisCluster::start_with(&[&SOUND[..], &["--cluster-require-full-coverage", "no"]].concat()).await;
    // One is named, and under a name that the others do not know it by.
    let one = format!("redis+cluster://localhost:{}", cluster.nodes[0].port());
    let all = |at: &[(&'static str, Verdict)]| [&[("login", Warn)], at].concat();
    let said = examined(&one, 1).await;
    assert_eq!(wrong(&said), all(&[]), "{said:?}");
    for (at, node) in cluster.nodes.iter().enumerate() {
        let port = format!(":{}", node.port());
        let of = |check: &str| said.iter().filter(|one| one.at.ends_with(&port) && one.check == check).count();
        assert_eq!([of("cluster"), of("eviction"), of("clock"), of("permissions")], [1; 4], "{at}: {said:?}");
        assert_eq!([of("replicas"), of("write")], [usize::from(at < 3); 2], "{at}: {said:?}");
    }

    let set = async |at: usize, name: &str, value: &str| cluster.nodes[at].ask::<()>(&["CONFIG", "SET", name, value]).await;
    for at in [2, 4] {
        for (name, sound, ill, expected) in [
            ("maxmemory-policy", "noeviction", "allkeys-lru", ("eviction", Fail)),
            ("appendonly", "yes", "no", ("persistence", Fail)),
            ("cluster-node-timeout", "5000", "300", ("cluster-node-timeout", Fail)),
            ("cluster-require-full-coverage", "no", "yes", ("cluster-require-full-coverage", Warn)),
        ] {
            set(at, name, ill).await;
            assert!(wrong(&examined(&one, 1).await).contains(&expected), "{name} of node {at}");
            set(at, name, sound).await;
        }
    }
    let said = examined(&one, 0).await;
    assert_eq!(wrong(&said), all(&[("replicas", Warn), ("replicas", Warn), ("replicas", Warn)]), "{said:?}");

    // A user who may what jeton needs is told what he could not see, of each node; and one node lacks a permission.
    cluster.nodes[1].ask::<String>(&["FUNCTION", "LOAD", FUNCTIONS]).await;
    cluster.nodes[2].ask::<String>(&["FUNCTION", "LOAD", FUNCTIONS]).await;
    for (at, node) in cluster.nodes.iter().enumerate() {
        let rules = if at == 5 { PERMISSIONS.replace("+xadd ", "") } else { PERMISSIONS.to_owned() };
        node.add_user("jeton", "hunter2", &rules).await;
    }
    let poor = one.replace("//", "//jeton:hunter2@");
    let said = examined(&poor, 1).await;
    let of = |check: &str, verdict| wrong(&said).iter().filter(|one| **one == (check, verdict)).count();
    assert_eq!([of("settings", Warn), of("permissions", Fail), of("functions", Fail)], [6, 1, 2], "{said:?}");

    // As one node finds it, a slot is nobody's.
    cluster.nodes[0].ask::<()>(&["CLUSTER", "DELSLOTS", "7"]).await;
    let said = examined(&one, 1).await;
    let told = said.iter().find(|one| one.check == "cluster" && one.verdict == Fail);
    assert!(told.is_some_and(|one| one.found.contains("slots 7")), "{said:?}");

    cluster.nodes[3].stop().await;
    let said = examined(&one, 1).await;
    for expected in [("connection", Fail), ("replicas", Fail), ("write", Fail)] {
        assert!(wrong(&said).contains(&expected), "{expected:?}: {said:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_no_cluster_is_told() {
    let server = crate::redis_server::RedisServer::start_with(&SOUND).await;
    let said = examined(&server.url().replace("redis:", "redis+cluster:"), 0).await;
    assert_eq!(wrong(&said), [("login", Warn), ("cluster", Fail)], "{said:?}");
    assert!(said.iter().any(|one| one.found.contains("redis instead of redis+cluster")), "{said:?}");
}

//! What `jeton doctor` says of Sentinels.

use super::{PATIENCE, SOUND, examined, wrong};
use crate::redis_sentinel::{NAME, RedisSentinel};
use jeton::store::Verdict::{Fail, Warn};
use std::time::Duration;

/// Nobody is taken for down in these tests who lives.
const DOWN_AFTER: Duration = Duration::from_secs(5);

/// Sets one thing at one of them.
async fn set(deployment: &RedisSentinel, sentinel: usize, name: &str, value: &str) {
    deployment.sentinels[sentinel].ask::<()>(&["SENTINEL", "SET", NAME, name, value]).await;
}

#[tokio::test]
async fn each_fault_of_sentinels_is_told() {
    let mut deployment = RedisSentinel::start_with(&SOUND, DOWN_AFTER).await;
    deployment.nodes[0].ask::<()>(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    let url = deployment.url();
    let open = [("login", Warn), ("login", Warn)];
    let all = |at: &[(&'static str, jeton::store::Verdict)]| [&open[..], at].concat();
    let said = examined(&url, 2).await;
    assert_eq!(wrong(&said), all(&[]), "{said:?}");
    for server in deployment.nodes.iter().chain(&deployment.sentinels) {
        let at = format!("127.0.0.1:{}", server.port());
        assert!(said.iter().filter(|one| one.at == at).count() >= 6, "{at} was asked: {said:?}");
    }

    for (name, sound, ill, expected) in [
        ("quorum", "2", "1", ("quorum", Warn)),
        ("quorum", "2", "3", ("quorum", Warn)),
        ("down-after-milliseconds", "5000", "300", ("down-after-milliseconds", Fail)),
        ("failover-timeout", "20000", "1000", ("failover-timeout", Warn)),
    ] {
        set(&deployment, 1, name, ill).await;
        let said = examined(&url, 2).await;
        let at = format!("127.0.0.1:{}", deployment.sentinels[1].port());
        assert!(wrong(&said).contains(&expected), "{name} {ill}: {said:?}");
        assert!(said.iter().all(|one| one.check != expected.0 || (one.at == at) == (one.verdict == expected.1)), "{said:?}");
        set(&deployment, 1, name, sound).await;
    }
    let said = wrong(&examined(&url, 1).await).into_iter().filter(|one| *one == ("replicas", Fail)).count();
    assert_eq!(said, 4, "the primary and every Sentinel know of one that is not waited for");

    // Who may only ask what jeton asks hears what he cannot see, and what to permit.
    for sentinel in &deployment.sentinels {
        let rules = "-@all +sentinel|get-master-addr-by-name";
        sentinel.add_user("jeton", "hunter2", rules).await;
    }
    let poor = format!("{url}?sentinel_user=jeton&sentinel_password=hunter2");
    let said = examined(&poor, 2).await;
    assert_eq!(wrong(&said), [("login", Warn), ("sentinels", Warn), ("sentinels", Warn), ("sentinels", Warn)], "{said:?}");
    assert!(said.iter().any(|one| one.advice.contains("+sentinel|master")), "{said:?}");

    let named = format!("127.0.0.1:{}", deployment.sentinels[2].port());
    let two = url.replace(&format!(",{named}"), "");
    assert_eq!(wrong(&examined(&two, 2).await), all(&[("sentinels", Warn), ("sentinels", Warn)]), "one is not named");
    let nobody = url.replace(&format!("/{NAME}"), "/nobody");
    assert!(wrong(&examined(&nobody, 2).await).contains(&("primary", Fail)));

    deployment.sentinels[2].ask::<()>(&["SENTINEL", "REMOVE", NAME]).await;
    assert!(wrong(&examined(&url, 2).await).contains(&("sentinels", Fail)), "it watches nobody");
    deployment.sentinels[2].stop().await;
    assert!(wrong(&examined(&url, 2).await).contains(&("connection", Fail)));
    deployment.sentinels[1].stop().await;
    let said = examined(&url, 2).await;
    assert!(wrong(&said).contains(&("primary", Fail)), "one of three follows nothing: {said:?}");
    assert!(PATIENCE > DOWN_AFTER);
}

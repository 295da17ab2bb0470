//! What only a Redis under Sentinel can show.

use crate::redis_sentinel::RedisSentinel;

#[tokio::test]
async fn harness() {
    let t = std::time::Instant::now();
    let mut all = RedisSentinel::start().await;
    eprintln!("started {:?}", t.elapsed());
    let old = all.primary().await;
    all.nodes[old].stop().await;
    let new = all.primary_after(old).await;
    eprintln!("failed over {:?}", t.elapsed());
    all.nodes[old].restart().await;
    all.until("back", async |all| all.replicas_of(new).await == 2).await;
    eprintln!("back {:?}", t.elapsed());
    all.fail_over().await;
    eprintln!("manual {:?}", t.elapsed());
}

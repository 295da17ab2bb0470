//! What only a Redis Cluster can show.

use crate::redis_cluster::RedisCluster;

#[tokio::test]
async fn harness() {
    let t = std::time::Instant::now();
    let mut all = RedisCluster::start().await;
    eprintln!("started {:?}", t.elapsed());
    let slot = all.slot_of("jeton:{log}").await;
    let old = all.primary_of(slot).await;
    all.fail_over(slot, None).await;
    eprintln!("manual {:?}", t.elapsed());
    all.until_whole().await;
    let old = all.primary_of(slot).await;
    all.nodes[old].stop().await;
    all.until("another", async |all| all.primary_of(slot).await != old).await;
    eprintln!("failed over {:?}", t.elapsed());
    all.nodes[old].restart().await;
    all.until_whole().await;
    eprintln!("back {:?}", t.elapsed());
    let to = (0..6).find(|&n| n != old && n != old + 3).unwrap();
    let _ = to;
}

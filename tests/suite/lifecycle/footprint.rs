//! What a grant costs in Redis.

use crate::world::{World, alice, mobile};
use jeton::api::IssueRequest;

/// What all keys of an ordinary grant may take, by `MEMORY USAGE`.
const MOST_BYTES: u64 = 640;

#[tokio::test]
async fn an_ordinary_grant_takes_at_most_640_bytes_of_redis() {
    let world = World::redis(&[]).await;
    let server = world.start().await;
    let redis = world.redis.as_ref().unwrap();
    let usage = async || redis.memory_usage("jeton:{????}:*").await;
    assert_eq!(usage().await, 0);
    let asked = || alice("mobile-app", "openid offline_access orders:read");
    let issued = server.issue(asked()).await;
    let first = usage().await;
    world.pass(86_400);
    let refreshed = server.refresh(mobile(&issued.refresh_token)).await;
    world.pass(86_400);
    server.refresh(jeton::api::RefreshRequest { request_id: "attempt-1".into(), ..mobile(&refreshed.refresh_token) }).await;
    let used = usage().await;
    server.issue(asked()).await;
    let second = usage().await - used;
    for bob in 0..100 {
        server.issue(IssueRequest { sub: format!("user-{bob}@example.com"), ..asked() }).await;
    }
    let many = (usage().await - used - second) / 100;
    println!("a grant takes {first} bytes, used {used}, the second of a subject {second}, on average {many}");
    for bytes in [first, used, second, many] {
        assert!(bytes <= MOST_BYTES, "{bytes} bytes");
    }
}

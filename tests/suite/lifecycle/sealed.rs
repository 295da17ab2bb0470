//! What a reader and a writer of Redis get out of it: nothing about anybody, and no power over a token.

use crate::redis_server::RedisServer;
use crate::world::{SCOPES, World, alice, mobile, refusal};
use jeton::api::revoke_request::Target;
use jeton::api::{IssueRequest, RevokeRequest, SessionTarget};
use tonic::Code;

async fn keys(redis: &RedisServer, pattern: &str) -> Vec<String> {
    redis.ask(&["KEYS", pattern]).await
}

#[tokio::test]
async fn who_reads_redis_learns_nothing_and_everything_but_the_services_documents_expires() {
    let world = World::redis(&[]).await;
    let server = world.start().await;
    let redis = world.redis.as_ref().unwrap();
    let asked = |scope| IssueRequest { sub: "alice@example.com".into(), sid: "session-1".into(), ..alice("mobile-app", scope) };
    let issued = server.issue(asked(SCOPES)).await;
    let opaque = server.issue(asked("offline_access payments:read")).await;
    let refreshed = server.refresh(mobile(&issued.refresh_token)).await;
    server.revoke(Target::Token(opaque.access_token.clone())).await;
    server.revoke(Target::Session(SessionTarget { sid: "session-1".into(), ..Default::default() })).await;
    server.revoke(Target::Sub("alice@example.com".into())).await;
    server.app.alive.settle().await.unwrap();

    let tokens = [&issued.access_token, &issued.refresh_token, &opaque.access_token, &refreshed.refresh_token];
    let proofs: Vec<&str> = tokens.iter().map(|token| token.get(token.len() - 43..).unwrap()).collect();
    for key in keys(redis, "*").await {
        let dumped: Vec<u8> = redis.ask(&["DUMP", &key]).await;
        let text = key.clone() + &String::from_utf8_lossy(&dumped);
        for said in ["alice", "example.com", "session-1", "mobile-app", "payments", "orders", "pwd"].iter().chain(&proofs) {
            assert!(!text.contains(said), "{key} says {said}");
        }
        let ttl: i64 = redis.ask(&["PTTL", &key]).await;
        let document = ["jeton:{ring}", "jeton:{salt}", "jeton:{signing}", "jeton:{ceilings}"].contains(&key.as_str());
        let log = key.starts_with("jeton:{log}");
        assert_eq!(ttl > 0, !document && !log, "{key} lives {ttl} ms");
    }
}

#[tokio::test]
async fn a_record_that_was_tampered_with_is_never_read_and_never_called_inactive() {
    let world = World::redis(&[]).await;
    let server = world.start().await;
    let redis = world.redis.as_ref().unwrap();
    let mine = server.issue(IssueRequest { sub: "mallory".into(), ..alice("mobile-app", "offline_access payments:read") }).await;
    let [my_key] = keys(redis, "jeton:*:g:*").await.try_into().unwrap();
    let theirs = server.issue(alice("mobile-app", "offline_access payments:read")).await;
    let their_key = keys(redis, "jeton:*:g:*").await.into_iter().find(|key| *key != my_key).unwrap();
    let untouched = server.issue(alice("mobile-app", SCOPES)).await;
    let length: usize = redis.ask(&["STRLEN", &their_key]).await;
    let garble = async |at: usize| {
        let byte: Vec<u8> = redis.ask(&["GETRANGE", &their_key, &at.to_string(), &at.to_string()]).await;
        let other = if byte == b"x" { "y" } else { "x" };
        redis.ask::<i64>(&["SETRANGE", &their_key, &at.to_string(), other]).await;
    };
    for tampering in ["the ciphertext", "the tag", "the nonce", "cut short", "another's record"] {
        redis.ask::<bool>(&["COPY", &their_key, "kept", "REPLACE"]).await;
        match tampering {
            "the ciphertext" => garble(40).await,
            "the tag" => garble(length - 1).await,
            "the nonce" => garble(10).await,
            "cut short" => redis.ask::<()>(&["SET", &their_key, "short", "KEEPTTL"]).await,
            _ => drop(redis.ask::<bool>(&["COPY", &my_key, &their_key, "REPLACE"]).await),
        }
        let answers = [
            server.try_introspect(&theirs.access_token, "").await.map(drop),
            server.try_introspect(&theirs.refresh_token, "").await.map(drop),
            server.try_refresh(mobile(&theirs.refresh_token)).await.map(drop),
            server
                .try_revoke(RevokeRequest { target: Some(Target::Token(theirs.refresh_token.clone())), ..Default::default() })
                .await
                .map(drop),
        ];
        for answer in answers {
            let (code, reason) = refusal(answer);
            assert_eq!(reason, "RECORD_UNREADABLE", "{tampering}");
            assert!(matches!(code, Code::Unavailable | Code::Internal | Code::DataLoss), "{tampering}: {code}");
        }
        assert!(server.active(&untouched.access_token).await && server.active(&mine.access_token).await);
        redis.ask::<bool>(&["COPY", "kept", &their_key, "REPLACE"]).await;
    }
    // What can be revoked without reading it, is.
    garble(40).await;
    server.revoke(Target::Sub("alice".into())).await;
    redis.ask::<bool>(&["COPY", "kept", &their_key, "REPLACE"]).await;
    assert!(!server.active(&theirs.access_token).await && server.active(&mine.access_token).await);
}

//! What is published: the metadata (RFC 8414, OpenID Connect Discovery 1.0) and the keys (RFC 7517).

use super::Server;
use super::raw::{Answer, Asking};
use crate::world::ISSUER;
use std::collections::HashSet;

const PATHS: [&str; 2] = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];

async fn get(server: &Server, path: &str) -> Answer {
    Asking::get(server.replica.http, path).send().await
}

#[tokio::test]
async fn s089_the_issuer_is_the_one_of_the_tokens_and_every_endpoint_answers() {
    let server = Server::start().await;
    for path in PATHS {
        let document = get(&server, path).await;
        assert_eq!((document.status, document.header("content-type")), (200, Some("application/json")));
        let document = document.json();
        assert_eq!(document["issuer"], ISSUER);
        for endpoint in ["token_endpoint", "introspection_endpoint", "revocation_endpoint", "userinfo_endpoint"] {
            let path = document[endpoint].as_str().unwrap().strip_prefix(ISSUER).unwrap();
            let status = server.post(path, &[]).send().await.status;
            assert!(status == 400 || status == 401, "{endpoint} is there: {status}");
        }
        let keys = document["jwks_uri"].as_str().unwrap().strip_prefix(ISSUER).unwrap();
        assert_eq!(get(&server, keys).await.status, 200);
        assert_eq!(document.get("authorization_endpoint"), None, "none is configured");
        for logout in ["backchannel_logout_supported", "backchannel_logout_session_supported"] {
            assert_eq!(document[logout], true, "shown by the tests of the lifecycle");
        }
    }
}

#[tokio::test]
async fn s089_every_grant_type_that_is_advertised_is_answered_and_no_other() {
    let server = Server::start().await;
    let document = get(&server, PATHS[0]).await.json();
    let advertised: HashSet<&str> =
        document["grant_types_supported"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    let known = [
        "authorization_code",
        "refresh_token",
        "client_credentials",
        "password",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
    ];
    assert!(advertised.iter().all(|one| known.contains(one)), "{advertised:?}");
    for grant_type in known {
        let (_, word) = server.web("/oauth2/token", &[("grant_type", grant_type)]).await.refusal();
        assert_eq!(word == "unsupported_grant_type", !advertised.contains(grant_type), "{grant_type}: {word}");
    }
}

#[tokio::test]
async fn documents_that_have_not_changed_are_not_sent_again() {
    let server = Server::start().await;
    for path in PATHS.into_iter().chain(["/.well-known/jwks.json"]) {
        let first = get(&server, path).await;
        assert!(first.header("cache-control").unwrap().starts_with("public, max-age="), "{path}");
        let tag = first.header("etag").unwrap();
        let again = Asking::get(server.replica.http, path).header("If-None-Match", tag).send().await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
    }
}

#[tokio::test]
async fn s089_rs256_is_advertised_where_something_is_signed_with_it() {
    let advertised = async |server: &Server| {
        let document = get(server, PATHS[1]).await.json();
        let keys = get(server, "/.well-known/jwks.json").await.json();
        let published = keys["keys"].as_array().unwrap().iter().filter(|key| key["alg"] == "RS256").count();
        (document["id_token_signing_alg_values_supported"].as_array().unwrap().len(), published)
    };
    assert_eq!(advertised(&Server::start().await).await, (2, 0));
    let server = Server::start_with(super::web_signs_with_rs256).await;
    assert_eq!(advertised(&server).await, (3, 2));
}

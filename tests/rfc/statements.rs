//! What a token service must keep, by the RFCs: numbered statements, and the page that says which test shows each.
//!
//! A test that is named `sNNN_...` shows statement NNN; where a test of another name does, the table says so.

use crate::documents::{files, tests};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A number, what must hold and where that is said, and tests of other names that show it.
type Statement = (usize, &'static str, &'static [&'static str]);

/// In order, each number once.
const STATEMENTS: [Statement; 92] = [
    (1, "Only POST reaches the token endpoint (RFC 6749 section 3.2)", &[]),
    (2, "A repeated parameter is refused, an unknown one ignored, an empty one absent (RFC 6749 sections 3.1 and 3.2)", &[]),
    (3, "Answers with tokens or credentials are never stored (RFC 6749 section 5.1)", &[]),
    (4, "`expires_in` is the lifetime of the token (RFC 6749 section 5.1)", &[]),
    (
        5,
        "The scope is said where it differs from what was asked for (RFC 6749 section 3.3)",
        &["rfc8707_2_the_owners_of_the_scopes_are_the_audience_where_none_is_named"],
    ),
    (6, "Failed authentication by header is 401 with `WWW-Authenticate` (RFC 6749 section 5.2)", &[]),
    (7, "Two ways of authenticating at once are refused (RFC 6749 section 2.3)", &[]),
    (8, "Error texts are plain ASCII whatever was sent (RFC 6749 section 5.2)", &[]),
    (
        9,
        "Opaque tokens cannot be guessed (RFC 6749 section 10.10): a tag of 128 bits over 256 bits of secrets",
        &["opaque_access_tokens"],
    ),
    (
        10,
        "A flow that the client may not use is refused, a password never taken (RFC 6749 section 5.2, RFC 9700 section 2.4)",
        &[],
    ),
    (11, "A bearer token in more than one place, or in the query, is refused (RFC 6750 section 2, RFC 9700 section 4.3.2)", &[]),
    (
        12,
        "Challenges say `invalid_token`, `insufficient_scope`, or nothing where no token came (RFC 6750 section 3.1)",
        &["rfc6750_3_a_request_is_challenged_as_it_failed"],
    ),
    (13, "A JWT access token has `typ` `at+jwt` and is signed (RFC 9068 section 2.1)", &[]),
    (
        14,
        "It has `iss exp aud sub client_id iat jti` (RFC 9068 section 2.2)",
        &["rfc9068_2_2_the_claims_of_an_access_token_exactly"],
    ),
    (
        15,
        "`aud` follows `resource`, and resources that do not go together are not merged (RFC 9068 sections 3 and 5)",
        &["rfc8707_2_several_resources_agree_on_a_form_or_are_refused"],
    ),
    (
        16,
        "No user is called like a client (RFC 9068 section 5, RFC 9700 section 4.15)",
        &["rfc9700_4_15_no_user_is_called_like_a_client"],
    ),
    (
        17,
        "A token of one kind is never taken for another (RFC 9068 section 4, RFC 8725 section 3.12)",
        &["rfc8725_forms_that_are_not_ours_are_refused"],
    ),
    (
        18,
        "A confidential client authenticates; another client's token is refused and stays as it is (RFC 6749 sections 6 and 10.4)",
        &["rfc6749_6_a_confidential_client_must_authenticate"],
    ),
    (19, "Scope shrinks for the access token and never grows (RFC 6749 section 6)", &["rfc6749_6_scope_may_shrink_never_grow"]),
    (
        20,
        "A public client's refresh token is bound to a key or rotates (RFC 9700 section 4.14.2)",
        &["rfc9700_4_14_2_a_public_client_gets_a_new_token_each_time"],
    ),
    (
        21,
        "A spent refresh token ends its grant (RFC 9700 section 4.14.2), by the table in refresh.md",
        &["rfc9700_4_14_2_a_spent_token_ends_the_grant_and_its_access_tokens"],
    ),
    (22, "So it does on another replica, after a restart, after a failover", &["a_second_holder_is_found_across_a_failover"]),
    (23, "Many requests with one token: one new generation", &["sixty_four_at_once_are_one_new_generation_and_one_write"]),
    (
        24,
        "A retry with the predecessor succeeds within the window, an older one ends the grant",
        &["the_second_last_within_the_overlap_is_reuse"],
    ),
    (
        25,
        "Where a client does not rotate, its token stays (FAPI 2.0 section 5.3.2.1)",
        &["a_confidential_client_keeps_its_token_until_near_expiry"],
    ),
    (26, "A store that fails consumes nothing and is no reuse", &["a_request_that_is_refused_consumes_nothing_and_heals"]),
    (
        27,
        "A token that was tampered with is refused, and ends nobody's session (RFC 9700 section 4.14.2)",
        &["a_forged_generation_ends_nobodys_session"],
    ),
    (
        28,
        "Idle and absolute lifetimes both hold; rotation never moves the absolute one",
        &["lifetimes_end_on_the_clock_and_renewing_never_moves_the_absolute_end"],
    ),
    (
        29,
        "Sign-out, withdrawn consent and changed credentials end the grant (RFC 9700 section 4.14.2)",
        &["each_target_ends_what_it_names_everywhere_at_once_and_nothing_else"],
    ),
    (
        30,
        "Resources and authorization details on refresh only narrow (RFC 8707 section 2.2, RFC 9396 section 6)",
        &["rfc8707_2_2_resources_may_shrink_never_grow"],
    ),
    (
        31,
        "A refreshed ID token has the same `iss sub aud`, a new `iat` (OpenID Connect Core section 12.2)",
        &["oidc_core_12_2_a_refreshed_id_token_has_the_same_identity_a_new_iat_and_no_nonce"],
    ),
    (
        32,
        "Its `auth_time` is that of the sign-in (OpenID Connect Core section 12.2)",
        &["oidc_core_12_2_a_refreshed_id_token_has_the_same_identity_a_new_iat_and_no_nonce"],
    ),
    (
        33,
        "`azp` is absent, before and after (OpenID Connect Core section 12.2)",
        &["oidc_core_2_the_claims_of_an_id_token_exactly"],
    ),
    (
        34,
        "Its `nonce` is absent (OpenID Connect Core section 12.2)",
        &["oidc_core_12_2_a_refreshed_id_token_has_the_same_identity_a_new_iat_and_no_nonce"],
    ),
    (
        35,
        "`offline_access` gives a refresh token where the client may have one, and is ignored elsewhere (OpenID Connect Core section 11)",
        &[
            "oidc_core_11_a_refresh_token_only_where_offline_access_was_asked_for",
            "oidc_core_11_offline_access_is_ignored_where_the_client_may_not_refresh",
        ],
    ),
    (
        36,
        "Offline grants outlive a browser session; an explicit revocation ends them",
        &["each_target_ends_what_it_names_everywhere_at_once_and_nothing_else"],
    ),
    (
        37,
        "`at_hash` is that of the access token beside it (OpenID Connect Core section 3.1.3.6)",
        &["oidc_core_2_the_claims_of_an_id_token_exactly"],
    ),
    (
        38,
        "Only its own client revokes a token (RFC 7009 section 2.1)",
        &["rfc7009_2_1_a_foreign_token_is_refused_and_stays_valid"],
    ),
    (
        39,
        "What is unknown or over is answered like what was revoked (RFC 7009 section 2.2)",
        &["rfc7009_2_2_unknown_token_is_ok"],
    ),
    (40, "A wrong hint finds the token all the same (RFC 7009 section 2.1)", &[]),
    (
        41,
        "A refresh token takes its access tokens with it, and not the other way round (RFC 7009 section 2.1)",
        &["rfc7009_2_1_an_access_token_ends_alone"],
    ),
    (
        42,
        "A store that fails is 503 and never 200 (RFC 7009 section 2.2.1)",
        &["rfc7009_2_2_1_a_redis_that_is_gone_is_unavailable_and_heals"],
    ),
    (
        43,
        "After an acknowledged revocation every replica says inactive (RFC 7009 section 2.1)",
        &["a_pong_comes_after_all_that_was_acknowledged_elsewhere_before_its_ping"],
    ),
    (
        44,
        "A token of a kind that cannot be revoked (RFC 7009 section 2.2.1): there is none; an ID token is answered as unknown",
        &["s039_what_is_unknown_or_over_is_answered_like_what_was_revoked"],
    ),
    (
        45,
        "Everything of a subject or client ends at once, in introspection and in refresh",
        &["all_of_a_client_ends_with_one_entry_in_the_log"],
    ),
    (46, "Who does not authenticate learns nothing (RFC 7662 sections 2.1 and 2.3)", &[]),
    (47, "Of an inactive token nothing else is said (RFC 7662 section 2.2)", &["rfc7662_2_2_an_inactive_token_says_nothing"]),
    (
        48,
        "A caller outside the audience sees no active token (RFC 7662 section 4)",
        &["rfc7662_4_who_is_not_in_the_audience_hears_inactive"],
    ),
    (49, "Signature, issuer, lifetime and revocation are all checked (RFC 7662 section 4)", &[]),
    (
        50,
        "A refresh token is inactive to a resource server",
        &["a_refresh_token_is_shown_to_nobody_but_the_one_who_does_not_ask_as_a_resource"],
    ),
    (
        51,
        "What a token is bound to is said (RFC 9449 section 6.2, RFC 8705 section 3.2)",
        &["rfc8705_3_a_sender_constraint_is_said_and_demanded"],
    ),
    (52, "An answer is kept no longer than it holds (RFC 7662 section 4)", &[]),
    (53, "The signed answer is an introspection JWT for who asked (RFC 9701 section 5)", &[]),
    (54, "It is no access token (RFC 9701 section 8.1)", &[]),
    (55, "Two callers may see different scopes (RFC 7662 section 2.2)", &[]),
    (56, "The algorithm is that of the key (RFC 8725 section 3.1)", &["rfc8725_3_1_the_algorithm_is_that_of_the_key"]),
    (57, "`none` and an empty signature fail (RFC 8725 section 3.2)", &["rfc8725_3_1_the_algorithm_is_that_of_the_key"]),
    (58, "A key is of one family and one use (RFC 8725 section 3.1)", &["rfc8725_3_1_the_algorithm_is_that_of_the_key"]),
    (59, "`crit` fails (RFC 7515 section 4.1.11)", &["rfc8725_headers_are_read_strictly"]),
    (60, "`kid` is looked up in memory and nowhere else (RFC 8725 section 3.10)", &["rfc8725_3_10_keys_are_only_looked_up"]),
    (61, "`jku x5u x5c jwk` are no source of trust (RFC 8725 section 3.10)", &["rfc8725_3_10_keys_are_only_looked_up"]),
    (
        62,
        "`iss` is exact, and a retired or burnt key proves nothing (RFC 8725 section 3.8)",
        &["rfc8725_3_8_claims_have_their_type_and_issuer", "a_burnt_key_ends_what_it_signed_and_nothing_else"],
    ),
    (63, "`aud` is judged for who asks (RFC 8725 section 3.9)", &["rfc7662_4_who_is_not_in_the_audience_hears_inactive"]),
    (64, "`typ` is a media type (RFC 8725 section 3.11)", &["a_typ_is_a_media_type"]),
    (65, "Times of the wrong type are refused, not ignored", &["rfc8725_3_8_claims_have_their_type_and_issuer"]),
    (
        66,
        "Members given twice, other encodings and other numbers of parts are refused (RFC 7515 section 4)",
        &["rfc8725_forms_that_are_not_ours_are_refused"],
    ),
    (
        67,
        "Keys are strong enough and signatures in range (RFC 8725 sections 3.4 and 3.5)",
        &[
            "weak_keys_are_refused",
            "points_for_which_everybody_signs_are_refused",
            "without_that_check_a_point_of_low_order_would_prove_anything",
        ],
    ),
    (68, "Encrypted tokens are none of ours (RFC 8725 section 3.6)", &["rfc8725_forms_that_are_not_ours_are_refused"]),
    (69, "Exactly one DPoP proof (RFC 9449 section 4.3)", &[]),
    (70, "Its `typ`, an asymmetric `alg`, a public `jwk` (RFC 9449 section 4.3)", &[]),
    (71, "Its `htm` and `htu`, by the configured origin (RFC 9449 section 4.3)", &[]),
    (72, "Its `iat` is within the window (RFC 9449 section 11.1)", &[]),
    (73, "A proof counts once in the whole deployment (RFC 9449 section 11.1)", &[]),
    (
        74,
        "`ath` is that of the access token that is shown (RFC 9449 sections 4.3 and 7)",
        &["beside_an_access_token_the_proof_is_for_it"],
    ),
    (75, "A bound token says so (RFC 9449 sections 5 and 6.1)", &[]),
    (76, "A bound token as Bearer is refused (RFC 9449 section 7.2)", &["a_bound_token_is_no_bearer_token"]),
    (77, "A public client's refresh token is bound to the key (RFC 9449 section 5)", &[]),
    (78, "A nonce that is required is asked for and given (RFC 9449 section 8)", &[]),
    (79, "`dpop_jkt` of the authorization must match (RFC 9449 section 10)", &[]),
    (80, "`x5t#S256` is that of the certificate (RFC 8705 section 3)", &["rfc8705_3_a_sender_constraint_is_said_and_demanded"]),
    (81, "One value of the certificate's subject is matched (RFC 8705 section 2.1.2)", &[]),
    (
        82,
        "A public client's refresh token is bound to its certificate (RFC 8705 section 4)",
        &["rfc8705_3_a_sender_constraint_is_said_and_demanded"],
    ),
    (83, "Certificates in headers are trusted from an authenticated proxy only (RFC 8705 section 6.5)", &[]),
    (
        84,
        "Token exchange: its parameters (RFC 8693 section 2)",
        &["only_access_tokens_are_named_and_the_actors_type_beside_it_only"],
    ),
    (
        85,
        "`may_act` is enforced, `act` nests, the chain is bounded (RFC 8693 section 4)",
        &["may_act_names_the_one_party_that_may", "who_acts_is_named_and_who_did_before_inside"],
    ),
    (
        86,
        "An exchanged token never outlives or out-scopes its subject's, and dies with it",
        &["each_revocation_kills_what_was_exchanged", "where_the_view_does_not_hold_all_too"],
    ),
    (87, "A bad resource is `invalid_target` (RFC 8707 section 2)", &["s015_the_audience_follows_the_resource"]),
    (88, "Unknown authorization details are refused (RFC 9396 section 5)", &[]),
    (89, "The metadata names the issuer of the tokens, and what it advertises works (RFC 8414 section 3.3)", &[]),
    (90, "PKCE with S256, verifier and challenge together (RFC 7636 section 4.6, RFC 9700 section 2.1.1)", &[]),
    (91, "Device codes: `slow_down`, expiry, once, guesses limited (RFC 8628 section 3.5)", &[]),
    (
        92,
        "Client assertions: for the issuer, once, short (RFC 7523, RFC 9700)",
        &["a_client_proves_by_an_assertion_over_grpc_what_it_proves_over_http"],
    ),
];

/// The page as it must be.
fn page() -> String {
    let sources = files(&["rs"]);
    let known: BTreeSet<&str> = tests(&sources);
    let rfc: Vec<&str> =
        sources.iter().filter(|(path, _)| path.starts_with("tests/rfc")).map(|(_, text)| text.as_str()).collect();
    let mut text = String::from(
        "# Conformance\n\nWhat a token service must keep by the RFCs, and the tests that show it: over HTTP with a client that sends\n\
         what no library would (`tests/rfc`), over gRPC on every store (`tests/suite`), and in the pure domain. `make test` runs\n\
         them all; a row without a test is not built. This page is rendered from `tests/rfc/statements.rs` and compared with it by\n\
         a test.\n\n| | statement | shown by |\n|---|---|---|\n",
    );
    for (number, statement, elsewhere) in STATEMENTS {
        let front = format!("s{number:03}_");
        let mut named: Vec<&str> = known.iter().copied().filter(|name| name.starts_with(&front)).collect();
        assert!(named.iter().all(|name| rfc.iter().any(|source| source.contains(name))), "{front} is shown in tests/rfc");
        let gone: Vec<_> = elsewhere.iter().filter(|name| !known.contains(*name)).collect();
        assert!(gone.is_empty(), "statement {number} names tests that do not exist: {gone:?}");
        named.extend(elsewhere);
        let shown: Vec<String> = named.iter().map(|name| format!("`{name}`")).collect();
        let shown = if shown.is_empty() { "not built".to_owned() } else { shown.join(", ") };
        writeln!(text, "| {number} | {statement} | {shown} |").unwrap();
    }
    text
}

#[test]
fn the_conformance_page_is_these_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let right = page();
    if std::fs::read_to_string(root.join("docs/conformance.md")).unwrap_or_default() != right {
        let expected = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("conformance.md");
        std::fs::write(&expected, right).unwrap();
        panic!("docs/conformance.md is not what the tests say: look at and copy target/tmp/conformance.md over it");
    }
}

#[test]
fn each_number_stands_once_and_in_order() {
    assert!(STATEMENTS.iter().map(|(number, ..)| *number).eq(1..=92));
}

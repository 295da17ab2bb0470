//! What is probably not meant with where a client's codes may be sent.

use super::{Problem, doubt};
use crate::client::{Client, GrantType};

const REDIRECT_URIS: &[&str] = &["redirect_uris", "grant_types"];

pub(super) fn problems(client: &Client) -> Vec<Problem> {
    let mut found = Vec::new();
    if client.redirect_uris.is_empty() && client.may(GrantType::AuthorizationCode) {
        let words = "are missing, so that no authorization code can be made for this client: add them, or remove authorization_code \
                     (a login service that calls Issue itself may leave it so)";
        found.push(doubt(REDIRECT_URIS, words));
    }
    if let Some(uri) = client.redirect_uris.iter().find(|uri| uri.is_in_the_clear()) {
        let words =
            format!("`{uri}` is http and not of the user's machine: its codes cross the network in the clear, so use https");
        found.push(doubt(REDIRECT_URIS, &words));
    }
    found
}

//! Token exchange: a message to the operation, its answer to a message.

use super::fields::{Fields, MAX_TOKEN_BYTES};
use super::{api, parsed, token};
use crate::service::exchange::Exchange;
use crate::service::issue::Tokens;
use crate::transport::fault::Fault;
use jeton_domain::exchange::Role;
use jeton_domain::name::ClientId;
use jeton_domain::scope::Scopes;

/// What is asked for, with every field that is wrong named.
pub fn read(asked: api::ExchangeRequest) -> Result<Exchange, Fault> {
    let mut fields = Fields::default();
    let client = fields.get(ClientId::parse("client_id", &asked.client_id));
    let credentials = fields.credentials("client_authentication", asked.client_authentication);
    let subject = fields.token(Role::Subject.parameter(), asked.subject_token, MAX_TOKEN_BYTES);
    let actor = if asked.actor_token.is_empty() {
        None
    } else {
        Some(fields.token(Role::Actor.parameter(), asked.actor_token, MAX_TOKEN_BYTES))
    };
    let scopes = fields.take(Scopes::parse("scope", &asked.scope));
    let resources = fields.resources("resource", &asked.resource);
    let authorization_details = fields.details(asked.authorization_details);
    fields.done()?;
    Ok(Exchange { client: parsed(client)?, credentials, subject, actor, scopes, resources, authorization_details })
}

/// What is given, as a message.
pub fn written(tokens: Tokens) -> api::ExchangeResponse {
    let api::IssueResponse {
        access_token,
        token_type,
        expires_in,
        refresh_token: _,
        id_token: _,
        scope,
        refresh_token_expires_in: _,
        grant_id,
        sid,
        revision,
        durability,
        dpop_nonce,
        authorization_details,
    } = token::issued(tokens);
    api::ExchangeResponse {
        access_token,
        token_type,
        expires_in,
        scope,
        grant_id,
        sid,
        revision,
        durability,
        dpop_nonce,
        authorization_details,
    }
}

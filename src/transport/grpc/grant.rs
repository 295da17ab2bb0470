//! `jeton.v1.GrantService`, and what Explain shares with it: a grant and its cause as messages.

use super::fields::{self, Fields, signed};
use super::{Api, acting_for_all, allow, api, claims, introspect, parsed, refused, status};
use crate::service::explain::{Explanation, TokenKind, WhyNot};
use crate::service::grants::{GrantState, ListGrants};
use crate::transport::caller::Permission;
use crate::transport::fault::Fault;
use crate::transport::logged;
use api::grant_service_server::GrantService;
use jeton_domain::client::GrantType;
use jeton_domain::error::{Cause, Expiry, Unmet};
use jeton_domain::grant::SignIn;
use jeton_domain::name::{ClientId, SessionId, Subject};
use tonic::{Request, Response, Status};

const DEFAULT_PAGE: usize = 50;
const MAX_PAGE: usize = 1_000;
const MAX_PAGE_TOKEN_BYTES: usize = 1_024;

#[tonic::async_trait]
impl GrantService for Api {
    async fn get_grant(&self, request: Request<api::GetGrantRequest>) -> Result<Response<api::GetGrantResponse>, Status> {
        let read = allow(&request, Permission::ReadGrants).and_then(|caller| {
            let mut fields = Fields::default();
            let id = fields.grant_id("grant_id", &request.into_inner().grant_id);
            fields.done().and_then(|()| acting_for_all(&caller, parsed(id)?))
        });
        let id = read.map_err(status::of)?;
        let state = self.service.grant(id).await.map_err(refused)?;
        Ok(Response::new(api::GetGrantResponse { grant: Some(grant(state)) }))
    }

    async fn list_grants(&self, request: Request<api::ListGrantsRequest>) -> Result<Response<api::ListGrantsResponse>, Status> {
        let read = allow(&request, Permission::ReadGrants).and_then(|caller| {
            let asked = list(request.into_inner())?;
            caller.may_concern(asked.client.as_ref()).map_err(logged)?;
            Ok(asked)
        });
        let asked = read.map_err(status::of)?;
        let page = self.service.list_grants(asked).await.map_err(refused)?;
        Ok(Response::new(api::ListGrantsResponse {
            grants: page.grants.into_iter().map(grant).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }
}

fn list(asked: api::ListGrantsRequest) -> Result<ListGrants, Fault> {
    let mut fields = Fields::default();
    let subject = fields.get(Subject::parse("sub", &asked.sub));
    let client = fields.optional(&asked.client_id, |text| ClientId::parse("client_id", text));
    let session = fields.optional(&asked.sid, |text| SessionId::parse("sid", text));
    let limit = match usize::try_from(asked.page_size) {
        Ok(0) => DEFAULT_PAGE,
        Ok(size) if size <= MAX_PAGE => size,
        _ => {
            fields.wrong("page_size", &format!("must be between 0 and {MAX_PAGE}"));
            DEFAULT_PAGE
        }
    };
    let page_token = fields.word("page_token", &asked.page_token, MAX_PAGE_TOKEN_BYTES);
    fields.done()?;
    Ok(ListGrants { subject: parsed(subject)?, client, session, limit, page_token })
}

fn grant(state: GrantState) -> api::Grant {
    let GrantState { grant, why_not, ended_at } = state;
    api::Grant {
        grant_id: grant.id.to_string(),
        sub: grant.subject.to_string(),
        client_id: grant.client.to_string(),
        sid: grant.session.as_ref().map(ToString::to_string).unwrap_or_default(),
        scope: grant.scopes.to_string(),
        resource: grant.resources.iter().map(ToString::to_string).collect(),
        cnf: grant.binding.map(fields::confirmation),
        created_at: signed(grant.created_at.secs()),
        last_used_at: signed(grant.lineage.used_at.secs()),
        idle_expires_at: signed(grant.expires_at().secs()),
        absolute_expires_at: signed(grant.absolute_end.secs()),
        generation: if grant.lineage.refreshable { grant.lineage.newest } else { 0 },
        active: why_not.is_none(),
        cause: why_not.as_ref().map_or(api::Cause::Unspecified, cause).into(),
        ended_at: ended_at.map_or(0, |at| signed(at.secs())),
        authentication: Some(authentication(grant.sign_in)),
        authorization_details: claims::written_all(grant.authorization_details),
    }
}

fn authentication(sign_in: SignIn) -> api::AuthenticationContext {
    let method = match sign_in.method {
        GrantType::AuthorizationCode => api::GrantType::AuthorizationCode,
        GrantType::DeviceCode => api::GrantType::DeviceCode,
        GrantType::Password => api::GrantType::Password,
        GrantType::ClientCredentials => api::GrantType::ClientCredentials,
        GrantType::JwtBearer => api::GrantType::JwtBearer,
        GrantType::RefreshToken => api::GrantType::Unspecified,
        GrantType::TokenExchange => api::GrantType::TokenExchange,
    };
    api::AuthenticationContext {
        auth_time: sign_in.auth_time.map_or(0, |at| signed(at.secs())),
        acr: sign_in.acr.unwrap_or_default(),
        amr: sign_in.amr,
        method: method.into(),
    }
}

const fn cause(why: &WhyNot) -> api::Cause {
    match why {
        WhyNot::Malformed => api::Cause::Malformed,
        WhyNot::NotGenuine => api::Cause::NotGenuine,
        WhyNot::Unknown => api::Cause::Unknown,
        WhyNot::GrantExpired(Expiry::Idle) => api::Cause::ExpiredIdle,
        WhyNot::GrantExpired(Expiry::Absolute) => api::Cause::ExpiredAbsolute,
        WhyNot::GrantExpired(Expiry::Code) | WhyNot::Expired => api::Cause::Expired,
        WhyNot::Rotated => api::Cause::Rotated,
        WhyNot::Ended(Cause::TokenRevoked) => api::Cause::TokenRevoked,
        WhyNot::Ended(Cause::GrantRevoked) => api::Cause::GrantRevoked,
        WhyNot::Ended(Cause::SessionRevoked) => api::Cause::SessionRevoked,
        WhyNot::Ended(Cause::SubjectRevoked) => api::Cause::SubjectRevoked,
        WhyNot::Ended(Cause::ClientRevoked) => api::Cause::ClientRevoked,
        WhyNot::Ended(Cause::ConsentRevoked) => api::Cause::ConsentRevoked,
        WhyNot::Ended(Cause::KeyBurnt) => api::Cause::KeyBurnt,
        WhyNot::Ended(Cause::Reuse) => api::Cause::Reuse,
        WhyNot::Ended(Cause::RetryExpired) => api::Cause::RetryExpired,
        WhyNot::Ended(Cause::Evicted) => api::Cause::Evicted,
        WhyNot::PolicyNotMet(_) => api::Cause::PolicyNotMet,
        WhyNot::ClientUnknown => api::Cause::ClientUnknown,
        WhyNot::Foreign => api::Cause::Foreign,
        WhyNot::CodeUsed => api::Cause::CodeUsed,
        WhyNot::Audience => api::Cause::Audience,
        WhyNot::NotYet => api::Cause::NotYet,
    }
}

/// The answer of Explain.
pub fn explained(explanation: Explanation) -> api::ExplainResponse {
    let kind = match explanation.kind {
        TokenKind::Unknown => api::TokenKind::Unspecified,
        TokenKind::Refresh => api::TokenKind::RefreshToken,
        TokenKind::JwtAccess => api::TokenKind::JwtAccessToken,
        TokenKind::OpaqueAccess => api::TokenKind::OpaqueAccessToken,
        TokenKind::Id => api::TokenKind::IdToken,
        TokenKind::Device => api::TokenKind::DeviceCode,
        TokenKind::Code => api::TokenKind::AuthorizationCode,
    };
    api::ExplainResponse {
        active: explanation.why_not.is_none(),
        kind: kind.into(),
        cause: explanation.why_not.as_ref().map_or(api::Cause::Unspecified, cause).into(),
        explanation: explanation.text,
        generation: explanation.generation,
        newest_generation: explanation.newest,
        ended_at: explanation.ended_at.map_or(0, |at| signed(at.secs())),
        grant: explanation.grant.map(grant),
        unmet: match explanation.why_not {
            Some(WhyNot::PolicyNotMet(unmet)) => Some(lacking(unmet)),
            _ => None,
        },
        revision: explanation.revision.to_string(),
        says: explanation.says.map(|says| introspect::says(*says)),
    }
}

fn lacking(unmet: Unmet) -> api::UnmetPolicy {
    api::UnmetPolicy {
        resource: unmet.resource,
        acr_values: unmet.acr_values,
        amr_values: unmet.amr_values,
        max_age: unmet.max_age_seconds.map_or(0, signed),
    }
}

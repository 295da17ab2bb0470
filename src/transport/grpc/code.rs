//! `jeton.v1.AuthorizationCodeService`: messages to operations, answers to messages.

use super::fields::{Fields, MAX_REFRESH_TOKEN_BYTES, signed};
use super::token::{self, MAX_VERIFIER_BYTES};
use super::{Api, acting, allow, api, parsed, refused, status};
use crate::service::code::{NewCode, Redeem};
use crate::transport::caller::Permission;
use crate::transport::fault::Fault;
use api::authorization_code_service_server::AuthorizationCodeService;
use jeton_domain::name::ClientId;
use jeton_domain::pkce;
use jeton_domain::redirect::RedirectUri;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl AuthorizationCodeService for Api {
    async fn create_authorization_code(
        &self,
        request: Request<api::CreateAuthorizationCodeRequest>,
    ) -> Result<Response<api::CreateAuthorizationCodeResponse>, Status> {
        let read = allow(&request, Permission::Issue).and_then(|caller| {
            acting(&caller, create(request.into_inner())?, |asked| (&asked.issue.client, &mut asked.issue.credentials))
        });
        let made = self.service.create_code(read.map_err(status::of)?).await.map_err(refused)?;
        Ok(Response::new(api::CreateAuthorizationCodeResponse {
            code: made.code.expose().to_owned(),
            expires_in: signed(made.expires_in.secs()),
            grant_id: made.grant.to_string(),
            sid: made.session.map(|sid| sid.to_string()).unwrap_or_default(),
            revision: made.revision.to_string(),
            durability: token::durability(Some(made.durability)).into(),
        }))
    }

    async fn exchange_authorization_code(
        &self,
        request: Request<api::ExchangeAuthorizationCodeRequest>,
    ) -> Result<Response<api::ExchangeAuthorizationCodeResponse>, Status> {
        let read = allow(&request, Permission::Refresh)
            .and_then(|caller| acting(&caller, redeem(request.into_inner())?, |asked| (&asked.client, &mut asked.credentials)));
        let tokens = self.service.redeem_code(read.map_err(status::of)?).await.map_err(refused)?;
        Ok(Response::new(api::ExchangeAuthorizationCodeResponse { tokens: Some(token::issued(tokens)) }))
    }
}

fn create(asked: api::CreateAuthorizationCodeRequest) -> Result<NewCode, Fault> {
    let mut fields = Fields::default();
    let redirect_uri = fields.optional(&asked.redirect_uri, |text| RedirectUri::parse("redirect_uri", text));
    let challenge = fields.optional(&asked.code_challenge, |text| pkce::challenge("code_challenge", text));
    if !matches!(asked.code_challenge_method.as_str(), "" | pkce::METHOD) {
        fields.wrong("code_challenge_method", "must be `S256` (RFC 9700 section 2.1.1)");
    }
    let jkt = fields.thumbprint("dpop_jkt", &asked.dpop_jkt);
    fields.done()?;
    let issue = token::issue(asked.grant.unwrap_or_default())?;
    Ok(NewCode { issue, redirect_uri, challenge, jkt })
}

fn redeem(asked: api::ExchangeAuthorizationCodeRequest) -> Result<Redeem, Fault> {
    let mut fields = Fields::default();
    let code = fields.token("code", asked.code, MAX_REFRESH_TOKEN_BYTES);
    let client = fields.get(ClientId::parse("client_id", &asked.client_id));
    let credentials = fields.credentials("client_authentication", asked.client_authentication);
    let redirect_uri = fields.optional(&asked.redirect_uri, |text| RedirectUri::parse("redirect_uri", text));
    let verifier = if asked.code_verifier.is_empty() {
        None
    } else {
        Some(fields.token("code_verifier", asked.code_verifier, MAX_VERIFIER_BYTES))
    };
    let resources = fields.resources("resource", &asked.resource);
    let authorization_details = fields.details(asked.authorization_details);
    fields.done()?;
    Ok(Redeem { code, client: parsed(client)?, credentials, redirect_uri, verifier, resources, authorization_details })
}

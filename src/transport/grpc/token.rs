//! `jeton.v1.TokenService`: messages to operations, answers to messages.

use super::fields::{Fields, MAX_REFRESH_TOKEN_BYTES, MAX_TOKEN_BYTES, signed};
use super::{Api, acting, allow, api, caller_of, claims, exchange, grant, introspect, parsed, passing_on, refused, status};
use crate::service::Durability;
use crate::service::issue::{Issue, Tokens};
use crate::service::refresh::{MAX_REQUEST_ID_BYTES, Refresh};
use crate::service::revoke::{Revoke, Revoked, What};
use crate::transport::caller::{Calling, Permission};
use crate::transport::fault::Fault;
use crate::transport::logged;
use api::token_service_server::TokenService;
use jeton_domain::client::GrantType;
use jeton_domain::error::Error;
use jeton_domain::grant::Binding;
use jeton_domain::id::KeyId;
use jeton_domain::name::{ClientId, ResourceId, SessionId, Subject};
use jeton_domain::scope::Scopes;
use jeton_domain::secret::SecretText;
use jeton_domain::target::{self, Reason};
use tonic::{Request, Response, Status};

const MAX_ACR_BYTES: usize = 255;
const MAX_AMR: usize = 16;
const MAX_AMR_BYTES: usize = 64;
const MAX_NONCE_BYTES: usize = 512;
const MAX_KID_BYTES: usize = 128;
/// The longest PKCE verifier that is looked at (RFC 7636 section 4.1: 128), and room to be told that it is too long.
pub const MAX_VERIFIER_BYTES: usize = 256;

#[tonic::async_trait]
impl TokenService for Api {
    async fn issue(&self, request: Request<api::IssueRequest>) -> Result<Response<api::IssueResponse>, Status> {
        let asked = allow(&request, Permission::Issue)
            .and_then(|caller| acting(&caller, issue(request.into_inner())?, |asked| (&asked.client, &mut asked.credentials)));
        let asked = asked.map_err(status::of)?;
        let tokens = self.service.issue(asked).await.map_err(refused)?;
        Ok(Response::new(issued(tokens)))
    }

    async fn refresh(&self, request: Request<api::RefreshRequest>) -> Result<Response<api::RefreshResponse>, Status> {
        let asked = allow(&request, Permission::Refresh)
            .and_then(|caller| acting(&caller, refresh(request.into_inner())?, |asked| (&asked.client, &mut asked.credentials)));
        let asked = asked.map_err(status::of)?;
        let tokens = self.service.refresh(asked).await.map_err(refused)?;
        Ok(Response::new(refreshed(tokens)))
    }

    async fn revoke(&self, request: Request<api::RevokeRequest>) -> Result<Response<api::RevokeResponse>, Status> {
        let asked = allow(&request, Permission::Revoke).and_then(|caller| {
            let mut asked = revoke(request.into_inner())?;
            may_revoke(&caller, &mut asked.what)?;
            Ok(asked)
        });
        let asked = asked.map_err(status::of)?;
        let client_unknown = self.service.names_unknown_client(&asked.what);
        let revoked = self.service.revoke(asked).await.map_err(refused)?;
        Ok(Response::new(api::RevokeResponse { client_unknown, ..acknowledged(revoked) }))
    }

    async fn introspect(&self, request: Request<api::IntrospectRequest>) -> Result<Response<api::IntrospectResponse>, Status> {
        let caller = caller_of(&request).map_err(status::of)?;
        let answer = introspect::answer(self, &caller, request.into_inner()).await?;
        Ok(Response::new(introspect::message(&answer).map_err(refused)?))
    }

    async fn batch_introspect(
        &self,
        request: Request<api::BatchIntrospectRequest>,
    ) -> Result<Response<api::BatchIntrospectResponse>, Status> {
        let caller = caller_of(&request).map_err(status::of)?;
        let answers = introspect::answer_all(self, &caller, request.into_inner()).await?;
        let results = answers.iter().map(introspect::message).collect::<Result<_, _>>().map_err(refused)?;
        Ok(Response::new(api::BatchIntrospectResponse { results }))
    }

    async fn explain(&self, request: Request<api::ExplainRequest>) -> Result<Response<api::ExplainResponse>, Status> {
        let read = allow(&request, Permission::Explain).and_then(|_caller| {
            let asked = request.into_inner();
            let mut fields = Fields::default();
            let token = fields.token("token", asked.token, MAX_TOKEN_BYTES);
            let resource = fields.optional(&asked.resource, |text| ResourceId::parse("resource", text));
            fields.done().map(|()| (token, resource))
        });
        let (token, resource) = read.map_err(status::of)?;
        let explanation = self.service.explain(token, resource).await.map_err(refused)?;
        Ok(Response::new(grant::explained(explanation)))
    }

    async fn exchange(&self, request: Request<api::ExchangeRequest>) -> Result<Response<api::ExchangeResponse>, Status> {
        let asked = allow(&request, Permission::Exchange).and_then(|caller| {
            acting(&caller, exchange::read(request.into_inner())?, |asked| (&asked.client, &mut asked.credentials))
        });
        let asked = asked.map_err(status::of)?;
        let tokens = self.service.exchange(asked).await.map_err(refused)?;
        Ok(Response::new(exchange::written(tokens)))
    }
}

/// What is asked for, with every field that is wrong named.
pub fn issue(asked: api::IssueRequest) -> Result<Issue, Fault> {
    let mut fields = Fields::default();
    let client = fields.get(ClientId::parse("client_id", &asked.client_id));
    let subject = fields.optional(&asked.sub, |text| Subject::parse("sub", text));
    let sign_in = asked.authentication.unwrap_or_default();
    let method = method(&mut fields, sign_in.method);
    if method == Some(GrantType::ClientCredentials) && !asked.sub.is_empty() {
        fields.wrong("sub", "must be empty for client credentials");
    } else if method.is_some_and(GrantType::has_user) && asked.sub.is_empty() {
        fields.wrong("sub", "must not be empty");
    }
    let scopes = fields.take(Scopes::parse("scope", &asked.scope));
    let resources = fields.resources("resource", &asked.resource);
    let session = fields.optional(&asked.sid, |text| SessionId::parse("sid", text));
    let auth_time = fields.moment("authentication.auth_time", sign_in.auth_time);
    let acr = fields.word("authentication.acr", &sign_in.acr, MAX_ACR_BYTES);
    let amr = methods(&mut fields, &sign_in.amr);
    let nonce = fields.word("nonce", &asked.nonce, MAX_NONCE_BYTES);
    let access_claims = fields.claims("access_token_claims", asked.access_token_claims);
    let id_claims = fields.claims("id_token_claims", asked.id_token_claims);
    let binding = fields.binding("cnf", asked.cnf.as_ref());
    let authorization_details = fields.details(asked.authorization_details);
    let credentials = fields.credentials("client_authentication", asked.client_authentication);
    fields.done()?;
    Ok(Issue {
        client: parsed(client)?,
        subject,
        scopes,
        resources,
        session,
        auth_time,
        acr,
        amr,
        method,
        nonce,
        access_claims,
        id_claims,
        binding,
        authorization_details,
        credentials,
    })
}

fn method(fields: &mut Fields, number: i32) -> Option<GrantType> {
    match api::GrantType::try_from(number) {
        Ok(api::GrantType::Unspecified) => None,
        Ok(api::GrantType::AuthorizationCode) => Some(GrantType::AuthorizationCode),
        Ok(api::GrantType::DeviceCode) => Some(GrantType::DeviceCode),
        Ok(api::GrantType::Password) => Some(GrantType::Password),
        Ok(api::GrantType::ClientCredentials) => Some(GrantType::ClientCredentials),
        Ok(api::GrantType::TokenExchange) => Some(GrantType::TokenExchange),
        Ok(api::GrantType::JwtBearer) => Some(GrantType::JwtBearer),
        Err(_) => {
            fields.wrong("authentication.method", "is not a value of GrantType");
            None
        }
    }
}

fn methods(fields: &mut Fields, amr: &[String]) -> Vec<String> {
    if amr.len() > MAX_AMR {
        fields.wrong("authentication.amr", &format!("has more than {MAX_AMR} members"));
        return Vec::new();
    }
    let mut read = Vec::with_capacity(amr.len());
    for (at, text) in amr.iter().enumerate() {
        let field = format!("authentication.amr[{at}]");
        let word = fields.word(&field, text, MAX_AMR_BYTES);
        read.extend(fields.required(&field, word));
    }
    read
}

fn refresh(asked: api::RefreshRequest) -> Result<Refresh, Fault> {
    let mut fields = Fields::default();
    let token = fields.token("refresh_token", asked.refresh_token, MAX_REFRESH_TOKEN_BYTES);
    let client = fields.get(ClientId::parse("client_id", &asked.client_id));
    let credentials = fields.credentials("client_authentication", asked.client_authentication);
    let scopes = fields.take(Scopes::parse("scope", &asked.scope));
    let resources = fields.resources("resource", &asked.resource);
    let request_id = fields.word("request_id", &asked.request_id, MAX_REQUEST_ID_BYTES).map(String::into_boxed_str);
    let authorization_details = fields.details(asked.authorization_details);
    fields.done()?;
    Ok(Refresh { token, client: parsed(client)?, credentials, scopes, resources, authorization_details, request_id })
}

fn revoke(asked: api::RevokeRequest) -> Result<Revoke, Fault> {
    use api::revoke_request::Target;
    let mut fields = Fields::default();
    let is_token = matches!(asked.target, Some(Target::Token(_)));
    if !is_token && !asked.token_client_id.is_empty() {
        fields.wrong("token_client_id", "goes with `token` only");
    }
    if !is_token && asked.client_authentication.is_some() {
        fields.wrong("client_authentication", "goes with `token` only");
    }
    let what = match asked.target {
        None => {
            fields.wrong("target", "must be set: say what to revoke");
            None
        }
        Some(Target::Token(token)) => Some(What::Token {
            token: fields.token("token", token, MAX_TOKEN_BYTES),
            client: fields.optional(&asked.token_client_id, |text| ClientId::parse("token_client_id", text)),
            credentials: fields.credentials("client_authentication", asked.client_authentication),
        }),
        Some(Target::GrantId(id)) => fields.grant_id("grant_id", &id).map(|id| target::Target::Grant(id).into()),
        Some(Target::Session(target)) => {
            let subject = fields.optional(&target.sub, |text| Subject::parse("session.sub", text));
            let session = fields.get(SessionId::parse("session.sid", &target.sid));
            session.map(|session| What::Target { target: target::Target::Session(session), subject })
        }
        Some(Target::Sub(sub)) => fields.get(Subject::parse("sub", &sub)).map(|subject| target::Target::Subject(subject).into()),
        Some(Target::ClientId(id)) => {
            fields.get(ClientId::parse("client_id", &id)).map(|client| target::Target::Client(client).into())
        }
        Some(Target::Consent(target)) => {
            let subject = fields.get(Subject::parse("consent.sub", &target.sub));
            let client = fields.get(ClientId::parse("consent.client_id", &target.client_id));
            subject.zip(client).map(|(subject, client)| target::Target::Consent(subject, client).into())
        }
        Some(Target::Kid(kid)) => {
            let kid = fields.word("kid", &kid, MAX_KID_BYTES);
            fields.required("kid", kid).map(|kid| target::Target::SigningKey { kid }.into())
        }
        Some(Target::RootKeyId(id)) => {
            let id = KeyId::parse(&id)
                .ok_or_else(|| Error::invalid("root_key_id", "is no id of a root key: `jeton doctor` tells them"));
            fields.get(id).map(|id| target::Target::RootKey(id).into())
        }
    };
    let reason = reason(&mut fields, asked.reason);
    fields.done()?;
    Ok(Revoke { what: parsed(what)?, reason, dry_run: asked.dry_run })
}

/// What names a client is for who may act for it, and everything else for who may act for all.
fn may_revoke(caller: &Calling, what: &mut What) -> Result<(), Fault> {
    let client = match what {
        What::Token { client, credentials, .. } => {
            passing_on(caller, credentials)?;
            client.as_ref()
        }
        What::Target { target, .. } => target.client(),
    };
    caller.may_concern(client).map_err(logged)
}

fn reason(fields: &mut Fields, number: i32) -> Reason {
    use api::RevocationReason as Word;
    match Word::try_from(number) {
        Ok(Word::Unspecified) => Reason::Unspecified,
        Ok(Word::SignOut) => Reason::SignOut,
        Ok(Word::ConsentWithdrawn) => Reason::ConsentWithdrawn,
        Ok(Word::AccountDisabled) => Reason::AccountDisabled,
        Ok(Word::CredentialChanged) => Reason::CredentialChanged,
        Ok(Word::Leaked) => Reason::Leaked,
        Ok(Word::Incident) => Reason::Incident,
        Ok(Word::Administrative) => Reason::Administrative,
        Ok(Word::Reuse | Word::RetryExpired) => {
            fields.wrong("reason", "is one that only jeton itself says");
            Reason::Unspecified
        }
        Err(_) => {
            fields.wrong("reason", "is not a value of RevocationReason");
            Reason::Unspecified
        }
    }
}

/// Tokens as a message.
pub fn issued(tokens: Tokens) -> api::IssueResponse {
    api::IssueResponse {
        access_token: tokens.access.expose().to_owned(),
        token_type: Binding::token_type(tokens.binding).to_owned(),
        expires_in: signed(tokens.expires_in.secs()),
        refresh_token_expires_in: tokens.refresh.as_ref().map_or(0, |_| signed(tokens.refresh_expires_in.secs())),
        refresh_token: text(tokens.refresh),
        id_token: text(tokens.id),
        scope: tokens.scopes.to_string(),
        grant_id: tokens.grant.map(|id| id.to_string()).unwrap_or_default(),
        sid: tokens.session.map(|sid| sid.to_string()).unwrap_or_default(),
        revision: tokens.revision.to_string(),
        durability: durability(tokens.durability).into(),
        dpop_nonce: tokens.next_dpop_nonce.unwrap_or_default(),
        authorization_details: claims::written_all(tokens.authorization_details),
    }
}

fn refreshed(tokens: Tokens) -> api::RefreshResponse {
    let api::IssueResponse {
        access_token,
        token_type,
        expires_in,
        refresh_token,
        id_token,
        scope,
        refresh_token_expires_in,
        grant_id,
        sid,
        revision,
        durability: _,
        dpop_nonce,
        authorization_details,
    } = issued(tokens);
    api::RefreshResponse {
        access_token,
        token_type,
        expires_in,
        refresh_token,
        id_token,
        scope,
        refresh_token_expires_in,
        grant_id,
        sid,
        revision,
        dpop_nonce,
        authorization_details,
    }
}

fn text(token: Option<SecretText>) -> String {
    token.map(|token| token.expose().to_owned()).unwrap_or_default()
}

/// How far a write got.
pub const fn durability(durability: Option<Durability>) -> api::Durability {
    match durability {
        None => api::Durability::Unspecified,
        Some(Durability::Applied) => api::Durability::Applied,
        Some(Durability::Replicated) => api::Durability::Replicated,
    }
}

fn acknowledged(revoked: Revoked) -> api::RevokeResponse {
    match revoked {
        Revoked::Nothing => api::RevokeResponse::default(),
        Revoked::Done { revision, durability: reached } => api::RevokeResponse {
            revision: revision.to_string(),
            durability: durability(Some(reached)).into(),
            ..Default::default()
        },
        Revoked::Counted(counts) => {
            let counted = counts.is_some();
            let count =
                |(client, grants): (ClientId, u64)| api::ClientCount { client_id: client.to_string(), grants: signed(grants) };
            let grants_by_client = counts.into_iter().flatten().map(count).collect();
            api::RevokeResponse { counted, grants_by_client, ..Default::default() }
        }
    }
}

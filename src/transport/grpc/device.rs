//! `jeton.v1.DeviceService`: messages to operations, answers to messages.

use super::fields::{Fields, MAX_REFRESH_TOKEN_BYTES, signed};
use super::{Api, acting, acting_for_all, allow, api, claims, parsed, refused, status, token};
use crate::service::device::{Approve, Poll, Start};
use crate::transport::caller::Permission;
use crate::transport::fault::Fault;
use api::device_service_server::DeviceService;
use jeton_domain::device::UserCode;
use jeton_domain::name::ClientId;
use jeton_domain::scope::Scopes;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl DeviceService for Api {
    async fn start_device_authorization(
        &self,
        request: Request<api::StartDeviceAuthorizationRequest>,
    ) -> Result<Response<api::StartDeviceAuthorizationResponse>, Status> {
        let read = allow(&request, Permission::Refresh)
            .and_then(|caller| acting(&caller, start(request.into_inner())?, |asked| (&asked.client, &mut asked.credentials)));
        let started = self.service.start_device(read.map_err(status::of)?).await.map_err(refused)?;
        Ok(Response::new(api::StartDeviceAuthorizationResponse {
            device_code: started.device_code.expose().to_owned(),
            user_code: started.user_code.shown(),
            verification_uri: started.verification_uri,
            verification_uri_complete: started.verification_uri_complete,
            expires_in: signed(started.expires_in.secs()),
            interval: signed(started.interval.secs()),
        }))
    }

    async fn describe_device_authorization(
        &self,
        request: Request<api::DescribeDeviceAuthorizationRequest>,
    ) -> Result<Response<api::DescribeDeviceAuthorizationResponse>, Status> {
        let read = allow(&request, Permission::Issue)
            .and_then(|caller| acting_for_all(&caller, user_code(&request.into_inner().user_code)?));
        let described = self.service.describe_device(&read.map_err(status::of)?).await.map_err(refused)?;
        Ok(Response::new(api::DescribeDeviceAuthorizationResponse {
            client_id: described.client.to_string(),
            scope: described.scopes.to_string(),
            resource: described.resources.iter().map(ToString::to_string).collect(),
            expires_in: signed(described.expires_in.secs()),
            authorization_details: claims::written_all(described.authorization_details),
        }))
    }

    async fn approve_device_authorization(
        &self,
        request: Request<api::ApproveDeviceAuthorizationRequest>,
    ) -> Result<Response<api::ApproveDeviceAuthorizationResponse>, Status> {
        let read = allow(&request, Permission::Issue).and_then(|caller| acting_for_all(&caller, approve(request.into_inner())?));
        let approved = self.service.approve_device(read.map_err(status::of)?).await.map_err(refused)?;
        Ok(Response::new(api::ApproveDeviceAuthorizationResponse {
            grant_id: approved.grant.to_string(),
            sid: approved.session.map(|sid| sid.to_string()).unwrap_or_default(),
            revision: approved.revision.to_string(),
            durability: token::durability(Some(approved.durability)).into(),
        }))
    }

    async fn deny_device_authorization(
        &self,
        request: Request<api::DenyDeviceAuthorizationRequest>,
    ) -> Result<Response<api::DenyDeviceAuthorizationResponse>, Status> {
        let read = allow(&request, Permission::Issue)
            .and_then(|caller| acting_for_all(&caller, user_code(&request.into_inner().user_code)?));
        self.service.deny_device(&read.map_err(status::of)?).await.map_err(refused)?;
        Ok(Response::new(api::DenyDeviceAuthorizationResponse {}))
    }

    async fn exchange_device_code(
        &self,
        request: Request<api::ExchangeDeviceCodeRequest>,
    ) -> Result<Response<api::ExchangeDeviceCodeResponse>, Status> {
        let read = allow(&request, Permission::Refresh)
            .and_then(|caller| acting(&caller, poll(request.into_inner())?, |asked| (&asked.client, &mut asked.credentials)));
        let tokens = self.service.redeem_device_code(read.map_err(status::of)?).await.map_err(refused)?;
        Ok(Response::new(api::ExchangeDeviceCodeResponse { tokens: Some(token::issued(tokens)) }))
    }
}

fn start(asked: api::StartDeviceAuthorizationRequest) -> Result<Start, Fault> {
    let mut fields = Fields::default();
    let client = fields.get(ClientId::parse("client_id", &asked.client_id));
    let credentials = fields.credentials("client_authentication", asked.client_authentication);
    let scopes = fields.take(Scopes::parse("scope", &asked.scope));
    let resources = fields.resources("resource", &asked.resource);
    let authorization_details = fields.details(asked.authorization_details);
    fields.done()?;
    Ok(Start { client: parsed(client)?, credentials, scopes, resources, authorization_details })
}

fn user_code(text: &str) -> Result<UserCode, Fault> {
    Ok(UserCode::parse("user_code", text)?)
}

fn approve(asked: api::ApproveDeviceAuthorizationRequest) -> Result<Approve, Fault> {
    let user_code = user_code(&asked.user_code)?;
    Ok(Approve { user_code, issue: token::issue(asked.grant.unwrap_or_default())? })
}

fn poll(asked: api::ExchangeDeviceCodeRequest) -> Result<Poll, Fault> {
    let mut fields = Fields::default();
    let code = fields.token("device_code", asked.device_code, MAX_REFRESH_TOKEN_BYTES);
    let client = fields.get(ClientId::parse("client_id", &asked.client_id));
    let credentials = fields.credentials("client_authentication", asked.client_authentication);
    let authorization_details = fields.details(asked.authorization_details);
    fields.done()?;
    Ok(Poll { code, client: parsed(client)?, credentials, authorization_details })
}

//! `jeton codes` and `jeton devices`: the flows by which an application obtains tokens, each side of them by hand.

use super::answer::Answer;
use super::arguments::{
    CodesCommand, CodesCreateArguments, CodesExchangeArguments, DevicesApproveArguments, DevicesCommand, DevicesPollArguments,
    DevicesStartArguments, DevicesUserCodeArguments, GrantArguments, Remote,
};
use super::call::{answered, authentication, request, token};
use super::connection::{Connection, channel};
use super::failure::Failure;
use super::messages;
use crate::api::authorization_code_service_client::AuthorizationCodeServiceClient;
use crate::api::device_service_client::DeviceServiceClient;
use crate::api::{self, GrantType};
use crate::transport::grpc::claims;
use jeton_domain::details;
use jeton_domain::secret::SecretText;
use prost_types::Struct;

pub(super) async fn codes(command: CodesCommand, secret: Option<SecretText>) -> Result<(Answer, Remote), Failure> {
    Ok(match command {
        CodesCommand::Create(arguments) => (create(&arguments).await?, arguments.remote),
        CodesCommand::Exchange(arguments) => (exchange(&arguments, secret).await?, arguments.remote),
    })
}

pub(super) async fn devices(command: DevicesCommand, secret: Option<SecretText>) -> Result<(Answer, Remote), Failure> {
    Ok(match command {
        DevicesCommand::Start(arguments) => (start(&arguments, secret).await?, arguments.remote),
        DevicesCommand::Describe(arguments) => (describe(&arguments).await?, arguments.remote),
        DevicesCommand::Approve(arguments) => (approve(&arguments).await?, arguments.remote),
        DevicesCommand::Deny(arguments) => (deny(&arguments).await?, arguments.remote),
        DevicesCommand::Poll(arguments) => (poll(&arguments, secret).await?, arguments.remote),
    })
}

/// What a user allowed, as Issue takes it.
pub(super) fn grant(arguments: &GrantArguments, method: GrantType) -> Result<api::IssueRequest, Failure> {
    Ok(api::IssueRequest {
        client_id: arguments.client.clone(),
        sub: arguments.subject.clone().unwrap_or_default(),
        scope: arguments.scope.clone().unwrap_or_default(),
        resource: arguments.resource.clone(),
        sid: arguments.session.clone().unwrap_or_default(),
        authentication: Some(api::AuthenticationContext {
            auth_time: arguments.auth_time.unwrap_or_default(),
            acr: arguments.acr.clone().unwrap_or_default(),
            amr: arguments.amr.clone(),
            method: method.into(),
        }),
        nonce: arguments.nonce.clone().unwrap_or_default(),
        authorization_details: authorization_details(arguments.authorization_details.as_deref())?,
        ..Default::default()
    })
}

/// The objects of `--authorization-details`.
pub(super) fn authorization_details(json: Option<&str>) -> Result<Vec<Struct>, Failure> {
    let Some(json) = json else { return Ok(Vec::new()) };
    let wrong = |error: jeton_domain::Error| {
        Failure::usage(
            format!("--authorization-details: {error}"),
            "write it like '[{\"type\":\"payment\",\"actions\":[\"initiate\"]}]'",
        )
    };
    details::parse(json).map(claims::written_all).map_err(wrong)
}

async fn create(arguments: &CodesCreateArguments) -> Result<Answer, Failure> {
    let message = api::CreateAuthorizationCodeRequest {
        grant: Some(grant(&arguments.grant, GrantType::Unspecified)?),
        redirect_uri: arguments.redirect_uri.clone().unwrap_or_default(),
        code_challenge: arguments.code_challenge.clone().unwrap_or_default(),
        code_challenge_method: String::new(),
        dpop_jkt: arguments.dpop_jkt.clone().unwrap_or_default(),
    };
    let mut client = AuthorizationCodeServiceClient::new(channel(&arguments.remote)?);
    let call = client.create_authorization_code(request(message));
    answered("codes create", &arguments.remote, call).await.map(messages::coded)
}

async fn exchange(arguments: &CodesExchangeArguments, secret: Option<SecretText>) -> Result<Answer, Failure> {
    let verifier = arguments.code_verifier.as_ref().map(SecretText::expose);
    let message = api::ExchangeAuthorizationCodeRequest {
        code: token(&arguments.code)?,
        client_id: arguments.client.clone(),
        client_authentication: authentication(arguments.client_secret_file.as_deref(), secret)?,
        redirect_uri: arguments.redirect_uri.clone().unwrap_or_default(),
        code_verifier: verifier.unwrap_or_default().to_owned(),
        resource: arguments.resource.clone(),
        authorization_details: authorization_details(arguments.authorization_details.as_deref())?,
    };
    let mut client = AuthorizationCodeServiceClient::new(channel(&arguments.remote)?);
    let call = client.exchange_authorization_code(request(message));
    let answer = answered("codes exchange", &arguments.remote, call).await?;
    Ok(messages::issued(answer.tokens.unwrap_or_default()))
}

async fn start(arguments: &DevicesStartArguments, secret: Option<SecretText>) -> Result<Answer, Failure> {
    let message = api::StartDeviceAuthorizationRequest {
        client_id: arguments.client.clone(),
        client_authentication: authentication(arguments.client_secret_file.as_deref(), secret)?,
        scope: arguments.scope.clone().unwrap_or_default(),
        resource: arguments.resource.clone(),
        authorization_details: authorization_details(arguments.authorization_details.as_deref())?,
    };
    let mut client = service(&arguments.remote)?;
    let call = client.start_device_authorization(request(message));
    answered("devices start", &arguments.remote, call).await.map(messages::started)
}

async fn describe(arguments: &DevicesUserCodeArguments) -> Result<Answer, Failure> {
    let message = api::DescribeDeviceAuthorizationRequest { user_code: arguments.user_code.clone() };
    let mut client = service(&arguments.remote)?;
    let call = client.describe_device_authorization(request(message));
    answered("devices describe", &arguments.remote, call).await.map(messages::described)
}

async fn approve(arguments: &DevicesApproveArguments) -> Result<Answer, Failure> {
    let message = api::ApproveDeviceAuthorizationRequest {
        user_code: arguments.user_code.clone(),
        grant: Some(grant(&arguments.grant, GrantType::Unspecified)?),
    };
    let mut client = service(&arguments.remote)?;
    let call = client.approve_device_authorization(request(message));
    answered("devices approve", &arguments.remote, call).await.map(messages::approved)
}

async fn deny(arguments: &DevicesUserCodeArguments) -> Result<Answer, Failure> {
    let message = api::DenyDeviceAuthorizationRequest { user_code: arguments.user_code.clone() };
    let mut client = service(&arguments.remote)?;
    let call = client.deny_device_authorization(request(message));
    answered("devices deny", &arguments.remote, call).await.map(|_denied| Answer::default())
}

async fn poll(arguments: &DevicesPollArguments, secret: Option<SecretText>) -> Result<Answer, Failure> {
    let message = api::ExchangeDeviceCodeRequest {
        device_code: token(&arguments.device_code)?,
        client_id: arguments.client.clone(),
        client_authentication: authentication(arguments.client_secret_file.as_deref(), secret)?,
        authorization_details: authorization_details(arguments.authorization_details.as_deref())?,
    };
    let mut client = service(&arguments.remote)?;
    let call = client.exchange_device_code(request(message));
    let answer = answered("devices poll", &arguments.remote, call).await?;
    Ok(messages::issued(answer.tokens.unwrap_or_default()))
}

fn service(remote: &Remote) -> Result<DeviceServiceClient<Connection>, Failure> {
    channel(remote).map(DeviceServiceClient::new)
}

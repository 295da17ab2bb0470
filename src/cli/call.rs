//! Carries out a client command: reads what it needs, calls the server, shows the answer.

use super::answer::{Answer, Value};
use super::arguments::{
    ClientCommand, ExchangeArguments, ExplainArguments, GrantsCommand, GrantsListArguments, GrantsShowArguments,
    IntrospectArguments, IssueArguments, KeyAlgorithm, KeysCommand, KeysListArguments, KeysRotateArguments, Output,
    RefreshArguments, Remote, RevokeArguments, RevokeReason, SignInMethod,
};
use super::connection::channel;
use super::failure::{Exit, Failure};
use super::{bench, escape, flows, heal, leaked, messages, registry, table, watch};
use crate::api::freshness::Requirement;
use crate::api::grant_service_client::GrantServiceClient;
use crate::api::key_service_client::KeyServiceClient;
use crate::api::revoke_request::Target;
use crate::api::token_service_client::TokenServiceClient;
use crate::api::{self, ClientAuthentication};
use crate::clock::Clock;
use crate::random;
use jeton_domain::secret::SecretText;
use std::future::Future;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

/// How long a call may take, the connection included.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);
/// The most that is read from standard input or a secret file: far above any token.
const MAX_INPUT_BYTES: u64 = 64 * 1024;
/// Grants a page of `grants list`; every page is fetched.
const GRANTS_A_PAGE: i32 = 200;

/// Runs a command that calls a server, and says how it ended. Answers go to standard output, failures to standard error.
///
/// `client_secret` is the value of JETON_CLIENT_SECRET, read by `config`; `--client-secret-file` goes before it.
pub async fn run_client(command: ClientCommand, client_secret: Option<SecretText>, clock: &Clock) -> ExitCode {
    let exit = match carry_out(command, client_secret, clock).await {
        Ok(exit) => exit,
        Err(failure) => {
            // Nobody is left to tell where standard error is gone.
            match io::stderr().lock().write_all(failure.to_string().as_bytes()) {
                Ok(()) | Err(_) => failure.exit,
            }
        }
    };
    exit.into()
}

async fn carry_out(command: ClientCommand, secret: Option<SecretText>, clock: &Clock) -> Result<Exit, Failure> {
    if let ClientCommand::Revoke(RevokeArguments { leaked: Some(file), dry_run, remote, .. }) = &command {
        return leaked::run(file, *dry_run, remote, clock).await;
    }
    let asks_whether_active = matches!(command, ClientCommand::Introspect(_));
    let (answer, remote) = match command {
        ClientCommand::Issue(arguments) => (issue(&arguments, secret).await?, arguments.remote),
        ClientCommand::Refresh(arguments) => (refresh(&arguments, secret).await?, arguments.remote),
        ClientCommand::Exchange(arguments) => (exchange(&arguments, secret).await?, arguments.remote),
        ClientCommand::Introspect(arguments) => (introspect(&arguments).await?, arguments.remote),
        ClientCommand::Revoke(arguments) => (revoke(&arguments, secret).await?, arguments.remote),
        ClientCommand::Explain(arguments) => (explain(&arguments).await?, arguments.remote),
        ClientCommand::Codes(command) => flows::codes(command, secret).await?,
        ClientCommand::Devices(command) => flows::devices(command, secret).await?,
        ClientCommand::Grants(GrantsCommand::List(arguments)) => (list_grants(&arguments).await?, arguments.remote),
        ClientCommand::Grants(GrantsCommand::Show(arguments)) => (show_grant(&arguments).await?, arguments.remote),
        ClientCommand::Keys(KeysCommand::List(arguments)) => (list_keys(&arguments).await?, arguments.remote),
        ClientCommand::Keys(KeysCommand::Rotate(arguments)) => (rotate_key(&arguments).await?, arguments.remote),
        ClientCommand::Keys(KeysCommand::GenerateRoot) => return print(&generate_root()?),
        ClientCommand::Clients(command) => registry::clients(*command).await?,
        ClientCommand::Resources(command) => registry::resources(command).await?,
        ClientCommand::Heal(arguments) => (heal::run(&arguments, clock).await?, arguments.remote),
        ClientCommand::Watch(arguments) => return watch::run(&arguments, clock).await,
        ClientCommand::Bench(arguments) => return bench::run(&arguments).await,
    };
    show(&answer, &remote, clock)?;
    let inactive = asks_whether_active && answer.get("active") == Some(&Value::Flag(false));
    Ok(if inactive { Exit::Inactive } else { Exit::Ok })
}

async fn issue(arguments: &IssueArguments, secret: Option<SecretText>) -> Result<Answer, Failure> {
    let method = arguments.method.map_or(api::GrantType::Unspecified, |method| match method {
        SignInMethod::AuthorizationCode => api::GrantType::AuthorizationCode,
        SignInMethod::DeviceCode => api::GrantType::DeviceCode,
        SignInMethod::Password => api::GrantType::Password,
        SignInMethod::ClientCredentials => api::GrantType::ClientCredentials,
    });
    // The login service vouches for the user; only a client that asks for itself proves itself here.
    let for_itself = method == api::GrantType::ClientCredentials || arguments.grant.subject.is_none();
    let client_authentication = if for_itself { authentication(arguments.client_secret_file.as_deref(), secret)? } else { None };
    let message = api::IssueRequest { client_authentication, ..flows::grant(&arguments.grant, method)? };
    let mut client = TokenServiceClient::new(channel(&arguments.remote)?);
    answered("issue", &arguments.remote, client.issue(request(message))).await.map(messages::issued)
}

async fn refresh(arguments: &RefreshArguments, secret: Option<SecretText>) -> Result<Answer, Failure> {
    let message = api::RefreshRequest {
        refresh_token: token(&arguments.token)?,
        client_id: arguments.client.clone(),
        client_authentication: authentication(arguments.client_secret_file.as_deref(), secret)?,
        scope: arguments.scope.clone().unwrap_or_default(),
        resource: arguments.resource.clone(),
        request_id: arguments.request_id.clone().unwrap_or_default(),
        authorization_details: flows::authorization_details(arguments.authorization_details.as_deref())?,
    };
    let mut client = TokenServiceClient::new(channel(&arguments.remote)?);
    answered("refresh", &arguments.remote, client.refresh(request(message))).await.map(messages::refreshed)
}

async fn exchange(arguments: &ExchangeArguments, secret: Option<SecretText>) -> Result<Answer, Failure> {
    let actor_token = arguments.actor_token_file.as_deref().map(|path| read_file("--actor-token-file", path)).transpose()?;
    let message = api::ExchangeRequest {
        client_id: arguments.client.clone(),
        client_authentication: authentication(arguments.client_secret_file.as_deref(), secret)?,
        subject_token: token(&arguments.token)?,
        actor_token: actor_token.unwrap_or_default(),
        scope: arguments.scope.clone().unwrap_or_default(),
        resource: arguments.resource.clone(),
        authorization_details: flows::authorization_details(arguments.authorization_details.as_deref())?,
    };
    let mut client = TokenServiceClient::new(channel(&arguments.remote)?);
    answered("exchange", &arguments.remote, client.exchange(request(message))).await.map(messages::exchanged)
}

async fn introspect(arguments: &IntrospectArguments) -> Result<Answer, Failure> {
    let resource = arguments.resource.clone().unwrap_or_default();
    let requirement = match &arguments.at_least_as_fresh {
        Some(revision) => Some(Requirement::AtLeastAsFresh(revision.clone())),
        None => arguments.fully_fresh.then_some(Requirement::FullyFresh(true)),
    };
    let freshness = requirement.map(|requirement| api::Freshness { requirement: Some(requirement) });
    let message = api::IntrospectRequest { token: token(&arguments.token)?, resource, freshness };
    let mut client = TokenServiceClient::new(channel(&arguments.remote)?);
    answered("introspect", &arguments.remote, client.introspect(request(message))).await.map(messages::introspected)
}

async fn revoke(arguments: &RevokeArguments, secret: Option<SecretText>) -> Result<Answer, Failure> {
    if arguments.dry_run && arguments.session.is_some() && arguments.subject.is_none() {
        let what = "revoke: the grants of a session are counted only with --subject, whose session it is";
        return Err(Failure::usage(what, "give --subject too; without --dry-run it is not needed"));
    }
    let asking_client = arguments.client.clone().filter(|_| arguments.token.is_some());
    let client_authentication = match asking_client {
        Some(_) => authentication(arguments.client_secret_file.as_deref(), secret)?,
        None => None,
    };
    let reason = arguments.reason.map_or(api::RevocationReason::Unspecified, |reason| match reason {
        RevokeReason::SignOut => api::RevocationReason::SignOut,
        RevokeReason::ConsentWithdrawn => api::RevocationReason::ConsentWithdrawn,
        RevokeReason::AccountDisabled => api::RevocationReason::AccountDisabled,
        RevokeReason::CredentialChanged => api::RevocationReason::CredentialChanged,
        RevokeReason::Leaked => api::RevocationReason::Leaked,
        RevokeReason::Incident => api::RevocationReason::Incident,
        RevokeReason::Administrative => api::RevocationReason::Administrative,
    });
    let message = api::RevokeRequest {
        target: Some(target(arguments)?),
        reason: reason.into(),
        dry_run: arguments.dry_run,
        token_client_id: asking_client.unwrap_or_default(),
        client_authentication,
    };
    let mut client = TokenServiceClient::new(channel(&arguments.remote)?);
    let answer = answered("revoke", &arguments.remote, client.revoke(request(message))).await?;
    if answer.client_unknown {
        let named = arguments.client.as_deref().unwrap_or_default();
        let told =
            if arguments.dry_run { "Nothing was revoked: without --dry-run it would be" } else { "It is revoked all the same" };
        tell(&format!("warning: client `{named}` is not known to this server: is it spelled right? {told}"));
    }
    if arguments.token.is_some() && !arguments.dry_run && answer.revision.is_empty() {
        tell("warning: nothing was ended: the token is unknown here, expired, or ended before; `jeton explain TOKEN` says which");
    }
    Ok(messages::revoked(answer, arguments.dry_run))
}

/// What a `revoke` names. Which options go together was checked when they were parsed.
fn target(arguments: &RevokeArguments) -> Result<Target, Failure> {
    if let Some(shown) = &arguments.token {
        return token(shown).map(Target::Token);
    }
    if let Some(id) = &arguments.root_key {
        return Ok(Target::RootKeyId(id.clone()));
    }
    let subject = arguments.subject.clone();
    match (arguments.grant.clone(), arguments.session.clone(), subject, arguments.client.clone(), arguments.kid.clone()) {
        (Some(grant_id), ..) => Ok(Target::GrantId(grant_id)),
        (_, Some(sid), subject, ..) => Ok(Target::Session(api::SessionTarget { sid, sub: subject.unwrap_or_default() })),
        (_, _, Some(sub), Some(client_id), _) => Ok(Target::Consent(api::ConsentTarget { sub, client_id })),
        (_, _, Some(sub), ..) => Ok(Target::Sub(sub)),
        (_, _, _, Some(client_id), _) => Ok(Target::ClientId(client_id)),
        (_, _, _, _, Some(kid)) => Ok(Target::Kid(kid)),
        (None, None, None, None, None) => {
            Err(Failure::usage("revoke: nothing is named", "`jeton revoke --help` says what can be"))
        }
    }
}

async fn explain(arguments: &ExplainArguments) -> Result<Answer, Failure> {
    let resource = arguments.resource.clone().unwrap_or_default();
    let message = api::ExplainRequest { token: token(&arguments.token)?, resource };
    let mut client = TokenServiceClient::new(channel(&arguments.remote)?);
    answered("explain", &arguments.remote, client.explain(request(message))).await.map(messages::explained)
}

async fn list_grants(arguments: &GrantsListArguments) -> Result<Answer, Failure> {
    let mut client = GrantServiceClient::new(channel(&arguments.remote)?);
    let mut grants = Vec::new();
    let mut page_token = String::new();
    loop {
        let message = api::ListGrantsRequest {
            sub: arguments.subject.clone(),
            client_id: arguments.client.clone().unwrap_or_default(),
            sid: arguments.session.clone().unwrap_or_default(),
            page_size: GRANTS_A_PAGE,
            page_token: page_token.clone(),
        };
        let page = answered("grants list", &arguments.remote, client.list_grants(request(message))).await?;
        grants.extend(page.grants);
        // A server that answers the same place twice would keep us here for ever.
        if page.next_page_token.is_empty() || page.next_page_token == page_token {
            return Ok(messages::grants(grants));
        }
        page_token = page.next_page_token;
    }
}

async fn show_grant(arguments: &GrantsShowArguments) -> Result<Answer, Failure> {
    let message = api::GetGrantRequest { grant_id: arguments.grant.clone() };
    let mut client = GrantServiceClient::new(channel(&arguments.remote)?);
    let answer = answered("grants show", &arguments.remote, client.get_grant(request(message))).await?;
    Ok(messages::grant(answer.grant.unwrap_or_default()))
}

async fn list_keys(arguments: &KeysListArguments) -> Result<Answer, Failure> {
    let mut client = KeyServiceClient::new(channel(&arguments.remote)?);
    answered("keys list", &arguments.remote, client.list_keys(request(api::ListKeysRequest {}))).await.map(messages::keys)
}

async fn rotate_key(arguments: &KeysRotateArguments) -> Result<Answer, Failure> {
    let alg = match arguments.alg {
        KeyAlgorithm::EdDsa => "EdDSA",
        KeyAlgorithm::Es256 => "ES256",
        KeyAlgorithm::Rs256 => "RS256",
    };
    let message = api::RotateKeyRequest { alg: alg.into() };
    let mut client = KeyServiceClient::new(channel(&arguments.remote)?);
    answered("keys rotate", &arguments.remote, client.rotate_key(request(message))).await.map(messages::rotated)
}

/// A fresh root key as JETON_ROOT_KEY takes it: 64 hexadecimal digits and a line end.
fn generate_root() -> Result<String, Failure> {
    let drawn = random::bytes::<32>();
    let bytes =
        Zeroizing::new(drawn.map_err(|error| Failure::local(error.to_string(), "without randomness no key can be made"))?);
    let mut text = String::with_capacity(65);
    for byte in *bytes {
        for nibble in [byte >> 4, byte & 0xf] {
            text.extend(char::from_digit(nibble.into(), 16));
        }
    }
    text.push('\n');
    Ok(text)
}

/// A request whose deadline the server is told, so that it stops working when nobody waits any more.
pub(super) fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    request
}

pub(super) async fn answered<T>(
    operation: &str,
    remote: &Remote,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(Failure::of_status(operation, &remote.server, &status)),
        Err(_elapsed) => Err(Failure::timed_out(operation, &remote.server, DEADLINE.as_secs())),
    }
}

/// The token of an argument, or of standard input for `-`, without the one line end that `echo` adds.
pub(super) fn token(argument: &SecretText) -> Result<String, Failure> {
    if argument.expose() != "-" {
        return Ok(argument.expose().to_owned());
    }
    let text = read_text(io::stdin().lock(), "standard input")?;
    if text.is_empty() {
        return Err(Failure::usage("standard input is empty", "pipe the token into this command: echo \"$TOKEN\" | jeton ... -"));
    }
    Ok(text)
}

pub(super) fn authentication(file: Option<&Path>, variable: Option<SecretText>) -> Result<Option<ClientAuthentication>, Failure> {
    let secret = match file {
        Some(path) => Some(SecretText::new(read_file("--client-secret-file", path)?)),
        None => variable.filter(|secret| !secret.expose().is_empty()),
    };
    Ok(secret.map(|secret| ClientAuthentication { client_secret: secret.expose().to_owned(), ..Default::default() }))
}

pub(super) fn read_file(option: &str, path: &Path) -> Result<String, Failure> {
    let name = path.display().to_string();
    let file = std::fs::File::open(path).map_err(|error| {
        Failure::usage(format!("`{name}` cannot be read: {error}"), format!("{option} names a file that holds the secret"))
    })?;
    read_text(file, &name)
}

fn read_text(from: impl io::Read, name: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = from.take(MAX_INPUT_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| Failure::usage(format!("{name} cannot be read: {error}"), "it must hold one line of text"))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_INPUT_BYTES {
        return Err(Failure::usage(format!("{name} holds more than {MAX_INPUT_BYTES} bytes"), "it must hold one line of text"));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

pub(super) fn show(answer: &Answer, remote: &Remote, clock: &Clock) -> Result<Exit, Failure> {
    if !remote.field.is_empty() {
        let mut text = String::new();
        for name in &remote.field {
            for line in answer.lines_of(name).map_err(Failure::of_the_answer)? {
                text.push_str(&escape::for_terminal(&line));
                text.push('\n');
            }
        }
        return print(&text);
    }
    match remote.output {
        Output::Table => print(&table::render(answer, i64::try_from(clock.now().secs()).unwrap_or(i64::MAX))),
        Output::Json => {
            let json = serde_json::to_string_pretty(answer)
                .map_err(|error| Failure::local(format!("the answer cannot be shown: {error}"), "use --output table"))?;
            print(&(escape::in_json(&json) + "\n"))
        }
    }
}

/// Writes to standard output. A reader that went away early (`| head -1`) has what it wanted.
pub(super) fn print(text: &str) -> Result<Exit, Failure> {
    print_line(text).map(|_is_read| Exit::Ok)
}

/// Writes to standard output, and tells whether anybody reads it.
pub(super) fn print_line(text: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::local(format!("standard output cannot be written: {error}"), "the command itself was done")),
    }
}

/// A remark beside the answer, to standard error.
pub(super) fn tell(remark: &str) {
    let line = format!("{}\n", escape::for_terminal(remark));
    // Nobody is left to tell where it is gone.
    let _gone = io::stderr().lock().write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use super::*;
    use clap::Parser as _;

    fn revoking(arguments: &[&str]) -> Result<Target, String> {
        let cli = Cli::try_parse_from(["jeton", "revoke"].iter().chain(arguments)).map_err(|error| error.to_string())?;
        let Command::Client(command) = cli.into_command() else { panic!("another command") };
        let ClientCommand::Revoke(arguments) = *command else { panic!("another command") };
        target(&arguments).map_err(|failure| failure.to_string())
    }

    #[test]
    fn what_revoke_names() {
        let (s, c) = (|| "alice".to_owned(), || "mobile-app".to_owned());
        for (arguments, expected) in [
            (&["jrt_x"][..], Target::Token("jrt_x".into())),
            (&["jrt_x", "--client", "mobile-app"], Target::Token("jrt_x".into())),
            (&["--grant", "g"], Target::GrantId("g".into())),
            (&["--session", "s"], Target::Session(api::SessionTarget { sid: "s".into(), sub: String::new() })),
            (&["--session", "s", "--subject", "alice"], Target::Session(api::SessionTarget { sid: "s".into(), sub: s() })),
            (&["--subject", "alice"], Target::Sub(s())),
            (&["--client", "mobile-app"], Target::ClientId(c())),
            (&["--subject", "alice", "--client", "mobile-app"], Target::Consent(api::ConsentTarget { sub: s(), client_id: c() })),
            (&["--kid", "k"], Target::Kid("k".into())),
            (&["--root-key", "-_AA8g"], Target::RootKeyId("-_AA8g".into())),
        ] {
            assert_eq!(revoking(arguments), Ok(expected), "{arguments:?}");
        }
    }

    #[test]
    fn what_does_not_go_together_in_revoke() {
        for arguments in [
            &[][..],
            &["--dry-run"],
            &["jrt_x", "--subject", "alice"],
            &["--grant", "g", "--client", "c"],
            &["--grant", "g", "--session", "s"],
            &["--session", "s", "--client", "c"],
            &["--kid", "k", "--subject", "alice"],
            &["--root-key", "k", "--kid", "k"],
            &["--client", "c", "--client-secret-file", "f"],
        ] {
            assert!(revoking(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn one_line_end_is_dropped_and_no_more() {
        for (input, expected) in [("t", "t"), ("t\n", "t"), ("t\r\n", "t"), ("t\n\n", "t\n"), (" t ", " t ")] {
            assert_eq!(read_text(input.as_bytes(), "x").unwrap(), expected);
        }
        assert!(read_text("x".repeat(70_000).as_bytes(), "x").is_err());
        assert!(read_text(&b"\xff"[..], "x").is_err());
    }
}

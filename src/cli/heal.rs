//! `jeton heal`: how the log of revocations is, and taking it as it is after a restore.

use super::answer::{Answer, Value};
use super::arguments::HealArguments;
use super::call::{answered, request, tell};
use super::connection::channel;
use super::failure::Failure;
use super::{messages, table};
use crate::api::revocation_service_client::RevocationServiceClient;
use crate::api::{AcceptLogRequest, GetLogRequest, LogState};
use crate::clock::Clock;

pub(super) async fn run(arguments: &HealArguments, clock: &Clock) -> Result<Answer, Failure> {
    let remote = &arguments.remote;
    let mut client = RevocationServiceClient::new(channel(remote)?);
    let log = answered("heal", remote, client.get_log(request(GetLogRequest {}))).await?;
    if !arguments.accept {
        return Ok(messages::log(log));
    }
    tell(&match log.state() {
        LogState::Restored => {
            let now = i64::try_from(clock.now().secs()).unwrap_or(i64::MAX);
            let when = table::cell(&Value::Time(log.last_seen), now);
            format!("accepting the store as it was when a replica was last there, {when}: what was revoked since stays lost")
        }
        LogState::Healed => "accepting a log that is healed: every revision handed out after the last of it is lost".into(),
        LogState::Healing | LogState::Unspecified => {
            return Err(Failure::local(
                "heal: there is nothing to accept yet: the log is being healed, or was not read".into(),
                "wait some seconds, and look again with `jeton heal`",
            ));
        }
    });
    let accepted = answered("heal", remote, client.accept_log(request(AcceptLogRequest { last_seen: log.last_seen }))).await?;
    Ok(Answer::default().time("last_seen", log.last_seen).text("revision", accepted.revision))
}

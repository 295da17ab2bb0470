//! Device authorizations: one record each, named by a hash of the device code, and a pointer to it named by a keyed hash of the user code.

use crate::random;
use crate::records::grants::{decode as decode_grant, encode as encode_grant, json, read_json};
use crate::records::{Decided, GRACE, Held, Records, Step, name, proto};
use crate::roots::Use;
use crate::store::{Durability, Name};
use bytes::Bytes;
use jeton_domain::device::{Authorization, State, UserCode};
use jeton_domain::error::{Error, Result};
use jeton_domain::grant::Grant;
use jeton_domain::id::{DeviceId, GrantId, Identity, KeyId};
use jeton_domain::name::{ClientId, ResourceId};
use jeton_domain::scope::Scopes;
use jeton_domain::time::{Millis, Timestamp};

const PENDING: u32 = 0;
const DENIED: u32 = 1;
const APPROVED: u32 = 2;
const REDEEMED: u32 = 3;

/// How often another user code is drawn where one is taken.
const DRAWS: u32 = 8;

/// A device authorization as loaded, to be decided over.
#[derive(Debug)]
pub struct LoadedDevice {
    id: DeviceId,
    held: Option<Held<proto::DeviceRecord>>,
    identity: Identity,
}

impl LoadedDevice {
    /// What it says.
    ///
    /// # Errors
    /// `RecordUnreadable`.
    pub fn known(&self) -> Result<Option<Authorization>> {
        self.held.as_ref().map(|held| decode(&held.value)).transpose()
    }
}

impl Records {
    /// Writes a new device authorization, and answers the user code that points to it.
    ///
    /// # Errors
    /// The store; `Contended` where no free user code was found.
    pub async fn create_device(&self, id: DeviceId, authorization: &Authorization) -> Result<UserCode> {
        let code = self.draw_user_code(id, authorization.expires_at).await?;
        let until = Some(authorization.expires_at.plus(GRACE));
        let write = |_: Option<&proto::DeviceRecord>, _| Ok((Step::Write(encode(authorization), until), ()));
        let absent = (None, Identity([0; 8]));
        self.decide(&name::device(id), absent, Durability::Applied, write, |()| Vec::new()).await?;
        Ok(code)
    }

    async fn draw_user_code(&self, id: DeviceId, expires_at: Timestamp) -> Result<UserCode> {
        for _ in 0..DRAWS {
            let code = UserCode::of(u64::from_be_bytes(random::bytes()?));
            let name = self.user_code_name(&code, self.roots.active())?;
            let name = name.ok_or_else(|| Error::Internal("the active root key proves nothing".into()))?;
            let loaded = self.read_one::<proto::UserCodeRecord>(&name).await?;
            let point = |held: Option<&proto::UserCodeRecord>, _| match held {
                Some(taken) => Ok((Step::Keep, taken.device == id.0)),
                None => {
                    let pointer = proto::UserCodeRecord { device: id.0.to_vec() };
                    Ok((Step::Write(pointer, Some(expires_at.plus(GRACE))), true))
                }
            };
            if self.decide(&name, loaded, Durability::Applied, point, |_| Vec::new()).await?.answer {
                return Ok(code);
            }
        }
        Err(Error::Contended)
    }

    /// The name of a user code under a root key; none where the key proves nothing.
    fn user_code_name(&self, code: &UserCode, key: KeyId) -> Result<Option<Name>> {
        let mac = self.roots.mac(key, Use::UserCode, &[code.letters()])?;
        Ok(mac.and_then(|mac| mac.first_chunk().copied()).map(name::user_code))
    }

    /// Reads a device authorization.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`, `RootKeyMissing`.
    pub async fn device(&self, id: DeviceId) -> Result<LoadedDevice> {
        let (held, identity) = self.read_one::<proto::DeviceRecord>(&name::device(id)).await?;
        Ok(LoadedDevice { id, held, identity })
    }

    /// Reads the device authorization that a user code stands for, whichever key of the ring it was made under.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`, `RootKeyMissing`.
    pub async fn device_of_user_code(&self, code: &UserCode) -> Result<Option<LoadedDevice>> {
        let names: Vec<Option<Name>> = self.roots.ids().map(|key| self.user_code_name(code, key)).collect::<Result<_>>()?;
        let names: Vec<Name> = names.into_iter().flatten().collect();
        let (found, _) = self.read::<proto::UserCodeRecord>(&names).await?;
        let Some(pointer) = found.into_iter().flatten().next() else { return Ok(None) };
        let id = DeviceId::from_slice(&pointer.value.device).ok_or_else(garbled)?;
        let loaded = self.device(id).await?;
        Ok(loaded.held.is_some().then_some(loaded))
    }

    /// Decides over a device authorization that was loaded, swaps as durably as it `needs`, and reads `also` after it; on a lost race
    /// decides again. What stays is made as durable, for it may have been written by a request that was cut off.
    ///
    /// # Errors
    /// What `decide` refuses with, `Contended`, the store.
    pub async fn decide_device<D>(
        &self,
        loaded: LoadedDevice,
        needs: Durability,
        mut decide: impl FnMut(Option<Authorization>) -> Result<(Option<Authorization>, D)>,
        also: impl Fn(&D) -> Vec<Name>,
    ) -> Result<(D, Vec<Option<Bytes>>)> {
        let LoadedDevice { id, held, identity } = loaded;
        let step = |held: Option<&proto::DeviceRecord>, _| {
            let (changed, answer) = decide(held.map(decode).transpose()?)?;
            let step =
                changed.map_or(Step::Confirm, |changed| Step::Write(encode(&changed), Some(changed.expires_at.plus(GRACE))));
            Ok((step, answer))
        };
        let Decided { answer, also } = self.decide(&name::device(id), (held, identity), needs, step, also).await?;
        Ok((answer, also))
    }
}

/// What is stored of a device authorization.
#[must_use]
pub fn encode(authorization: &Authorization) -> proto::DeviceRecord {
    let (state, redeemed_at) = match &authorization.state {
        State::Pending => (PENDING, Timestamp::NEVER),
        State::Denied => (DENIED, Timestamp::NEVER),
        State::Approved(_) => (APPROVED, Timestamp::NEVER),
        State::Redeemed { at, .. } => (REDEEMED, *at),
    };
    let grant = authorization.grant();
    proto::DeviceRecord {
        client: authorization.client.to_string(),
        scopes: authorization.scopes.iter().map(str::to_owned).collect(),
        resources: authorization.resources.iter().map(ToString::to_string).collect(),
        expires_at: authorization.expires_at.millis(),
        interval: authorization.interval.get(),
        polled_at: authorization.polled_at.millis(),
        state,
        redeemed_at: redeemed_at.millis(),
        grant_id: grant.map(|grant| grant.id.0.to_vec()).unwrap_or_default(),
        grant: grant.map(encode_grant),
        authorization_details: json(&authorization.details, authorization.details.is_empty()),
    }
}

/// Reads what is stored of a device authorization.
///
/// # Errors
/// `RecordUnreadable`: garbled, or written by a newer version.
pub fn decode(record: &proto::DeviceRecord) -> Result<Authorization> {
    let state = match record.state {
        PENDING => State::Pending,
        DENIED => State::Denied,
        APPROVED => State::Approved(grant(record)?),
        REDEEMED => State::Redeemed { at: Timestamp::from_millis(record.redeemed_at), grant: grant(record)? },
        _ => return Err(Error::RecordUnreadable("the state of a device was written by a newer version".into())),
    };
    let resources = record.resources.iter().map(|id| ResourceId::parse("resource", id)).collect::<Result<_>>();
    Ok(Authorization {
        client: ClientId::parse("client_id", &record.client).map_err(|_form| garbled())?,
        scopes: record.scopes.iter().map(|scope| scope.as_str().into()).collect::<Scopes>(),
        resources: resources.map_err(|_form| garbled())?,
        details: read_json(&record.authorization_details)?,
        expires_at: Timestamp::from_millis(record.expires_at),
        interval: Millis::new(record.interval),
        polled_at: Timestamp::from_millis(record.polled_at),
        state,
    })
}

fn grant(record: &proto::DeviceRecord) -> Result<Box<Grant>> {
    let id = GrantId::from_slice(&record.grant_id).ok_or_else(garbled)?;
    let known = decode_grant(id, record.grant.as_ref().ok_or_else(garbled)?)?;
    known.into_grant().ok_or_else(garbled)
}

fn garbled() -> Error {
    Error::RecordUnreadable("the record of a device is garbled".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    fn pending() -> Authorization {
        Authorization {
            client: ClientId::parse("client_id", "television").unwrap(),
            scopes: Scopes::parse("scope", "openid orders:read").unwrap(),
            resources: vec![ResourceId::parse("resource", "https://orders.internal").unwrap()],
            details: vec![serde_json::json!({"type": "payment", "amount": 5})],
            expires_at: Timestamp::from_millis(1_700_000_600_123),
            interval: Millis::from_secs(15),
            polled_at: Timestamp::from_millis(1_700_000_000_123),
            state: State::Pending,
        }
    }

    #[test]
    fn a_device_reads_back_whole() {
        for state in [State::Pending, State::Denied] {
            let device = Authorization { state, ..pending() };
            let bytes = encode(&device).encode_to_vec();
            assert_eq!(decode(&proto::DeviceRecord::decode(bytes.as_slice()).unwrap()), Ok(device));
        }
    }

    #[test]
    fn what_is_not_understood_is_unreadable_and_never_pending() {
        for state in [APPROVED, REDEEMED, REDEEMED + 1] {
            let record = proto::DeviceRecord { state, ..encode(&pending()) };
            assert!(matches!(decode(&record), Err(Error::RecordUnreadable(_))), "{state}, without its grant");
        }
    }
}

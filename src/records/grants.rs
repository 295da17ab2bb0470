//! Grants: one record each, and the list of each subject. What a record says is read and written in `record`.

mod record;

pub use record::{decode, encode};
pub(super) use record::{json, read_json};

use crate::records::codes::cause_code;
use crate::records::unavailable;
use crate::records::{Decided, GRACE, Held, Records, Step, name, proto};
use crate::store::{Add, Durability, Member, Name};
use bytes::{BufMut as _, Bytes, BytesMut};
use jeton_domain::error::{Cause, Ended, Error, Result};
use jeton_domain::grant::Grant;
use jeton_domain::id::{GrantId, Identity, TargetId};
use jeton_domain::target::{Salt, Target};
use jeton_domain::time::{Millis, Timestamp};

/// What the store knows of a grant's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// The grant, living or ended.
    Grant(Box<Grant>),
    /// Only that it ended: a revocation was settled before the grant was written.
    OnlyEnded(Ended),
}

impl Known {
    /// The grant, where more is known than its end.
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        match self {
            Self::Grant(grant) => Some(grant),
            Self::OnlyEnded(_) => None,
        }
    }

    /// The same, taken.
    #[must_use]
    pub fn into_grant(self) -> Option<Box<Grant>> {
        match self {
            Self::Grant(grant) => Some(grant),
            Self::OnlyEnded(_) => None,
        }
    }

    /// When and why it ended.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        match self {
            Self::Grant(grant) => grant.ended,
            Self::OnlyEnded(ended) => Some(*ended),
        }
    }
}

/// A grant as loaded, to be decided over.
#[derive(Debug)]
pub struct LoadedGrant {
    id: GrantId,
    held: Option<Held<proto::GrantRecord>>,
    identity: Identity,
}

impl LoadedGrant {
    /// What it says.
    ///
    /// # Errors
    /// `RecordUnreadable`.
    pub fn known(&self) -> Result<Option<Known>> {
        self.held.as_ref().map(|held| decode(self.id, &held.value)).transpose()
    }
}

/// How many bytes at the front of a list's member tell the client.
const CLIENT_TAG_BYTES: usize = 8;

/// A grant in its subject's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The front of the client's target id.
    pub client_tag: [u8; CLIENT_TAG_BYTES],
    /// The grant.
    pub id: GrantId,
    /// When it leaves the list.
    pub expires_at: Timestamp,
}

impl Records {
    /// Reads a grant.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`, `RootKeyMissing`.
    pub async fn grant(&self, id: GrantId) -> Result<LoadedGrant> {
        let (held, identity) = self.read_one::<proto::GrantRecord>(&name::grant(id)).await?;
        Ok(LoadedGrant { id, held, identity })
    }

    /// Reads several grants, in order.
    ///
    /// # Errors
    /// As `grant`.
    pub async fn grants(&self, ids: &[GrantId]) -> Result<Vec<Option<Known>>> {
        let names: Vec<Name> = ids.iter().map(|id| name::grant(*id)).collect();
        let (held, _) = self.read::<proto::GrantRecord>(&names).await?;
        ids.iter().zip(held).map(|(id, held)| held.map(|held| decode(*id, &held.value)).transpose()).collect()
    }

    /// Writes a new grant, and reads `also` after it. False where a record is there already: only creates.
    ///
    /// # Errors
    /// The store.
    pub async fn create_grant(&self, grant: &Grant, keep_until: Timestamp, also: &[Name]) -> Result<(bool, Vec<Option<Bytes>>)> {
        self.create(name::grant(grant.id), &encode(grant), keep_until, also).await
    }

    /// Decides over a grant that was loaded, swaps as durably as it `needs`, and reads `also` after it; on a lost race decides again.
    ///
    /// # Errors
    /// What `decide` refuses with, `Contended`, the store.
    pub async fn decide_grant<D>(
        &self,
        loaded: LoadedGrant,
        access_token_ceiling: Millis,
        needs: Durability,
        mut decide: impl FnMut(Option<Known>, Identity) -> Result<D>,
        changed: impl Fn(&D) -> Option<&Grant>,
        also: impl Fn(&D) -> Vec<Name>,
    ) -> Result<Decided<D>> {
        let LoadedGrant { id, held, identity } = loaded;
        self.decide(
            &name::grant(id),
            (held, identity),
            needs,
            |held, identity| {
                let answer = decide(held.map(|held| decode(id, held)).transpose()?, identity)?;
                let step = changed(&answer)
                    .map_or(Step::Keep, |grant| Step::Write(encode(grant), Some(keep_until(grant, access_token_ceiling))));
                Ok((step, answer))
            },
            also,
        )
        .await
    }

    /// Writes into a grant's record that it ended, also where none exists yet; the first end stays, but for an eviction, which lets access
    /// tokens live. Answers the grant where it was living.
    ///
    /// # Errors
    /// The store.
    pub async fn end_grant(&self, id: GrantId, ended: Ended, keep_until: Timestamp) -> Result<Option<Grant>> {
        let loaded = self.grant(id).await?;
        let decided = self
            .decide(
                &name::grant(id),
                (loaded.held, loaded.identity),
                Durability::Replicated,
                |held, _| {
                    let record = proto::Ended { at: ended.at.millis(), cause: cause_code(ended.cause).into() };
                    let evicted = |was: &proto::Ended| was.cause == u32::from(cause_code(Cause::Evicted));
                    match held {
                        Some(held) if held.ended.is_some_and(|was| !evicted(&was) || evicted(&record)) => {
                            Ok((Step::Confirm, None))
                        }
                        Some(held) => {
                            let was = decode(id, held)?.grant().cloned();
                            let until = was.as_ref().map_or(keep_until, |grant| keep_until.max(grant.expires_at().plus(GRACE)));
                            Ok((Step::Write(proto::GrantRecord { ended: Some(record), ..held.clone() }, Some(until)), was))
                        }
                        None => Ok((
                            Step::Write(proto::GrantRecord { ended: Some(record), ..Default::default() }, Some(keep_until)),
                            None,
                        )),
                    }
                },
                |_| Vec::new(),
            )
            .await?;
        Ok(decided.answer)
    }

    /// Puts a grant into its subject's list, and answers those that have to make room: they stay listed until they are taken out.
    ///
    /// # Errors
    /// The store.
    pub async fn list_grant(
        &self,
        subject: TargetId,
        listed: &Listed,
        client_cap: usize,
        subject_cap: usize,
    ) -> Result<Vec<Listed>> {
        let add = Add {
            list: name::grants_of(subject),
            member: member(listed),
            group_bytes: CLIENT_TAG_BYTES,
            group_cap: client_cap,
            list_cap: subject_cap,
        };
        let surplus = self.store.list_add(&add).await.map_err(unavailable)?;
        surplus.iter().map(read_member).collect()
    }

    /// Takes grants out of their subject's list.
    ///
    /// # Errors
    /// The store.
    pub async fn unlist_grants(&self, subject: TargetId, listed: &[Listed]) -> Result<()> {
        let members: Vec<Bytes> = listed.iter().map(|listed| member(listed).bytes).collect();
        self.store.list_remove(&name::grants_of(subject), &members).await.map_err(unavailable)
    }

    /// A page of a subject's list, those that end first first.
    ///
    /// # Errors
    /// The store.
    pub async fn listed_grants(&self, subject: TargetId, after: Option<&Listed>, limit: usize) -> Result<Vec<Listed>> {
        let after = after.map(member);
        let members = self.store.list(&name::grants_of(subject), after.as_ref(), limit).await.map_err(unavailable)?;
        members.iter().map(read_member).collect()
    }
}

/// Until when a grant's record must be kept: past its end, and past every opaque token that points into it.
#[must_use]
pub fn keep_until(grant: &Grant, access_token_ceiling: Millis) -> Timestamp {
    grant.expires_at().plus(access_token_ceiling).plus(GRACE)
}

/// A grant's place in its subject's list, and the subject; none for client credentials, whose grants no user withdraws, nor for what
/// came by token exchange, which ends with a grant that is in the list.
#[must_use]
pub fn listed(grant: &Grant, salt: &Salt) -> Option<(TargetId, Listed)> {
    let subject = Target::Subject(grant.subject.clone()).id(salt);
    let client = Target::Client(grant.client.clone()).id(salt);
    let listed = Listed { client_tag: client_tag(client), id: grant.id, expires_at: grant.absolute_end };
    (grant.sign_in.method.has_user() && grant.ancestors.is_empty()).then_some((subject, listed))
}

/// How a client's grants are told apart in a subject's list.
const fn client_tag(client: TargetId) -> [u8; CLIENT_TAG_BYTES] {
    let TargetId([a, b, c, d, e, f, g, h, ..]) = client;
    [a, b, c, d, e, f, g, h]
}

fn member(listed: &Listed) -> Member {
    let mut bytes = BytesMut::with_capacity(24);
    bytes.put_slice(&listed.client_tag);
    bytes.put_slice(&listed.id.0);
    Member { bytes: bytes.freeze(), expires_at: listed.expires_at }
}

fn read_member(member: &Member) -> Result<Listed> {
    let (tag, id) = member.bytes.split_at_checked(CLIENT_TAG_BYTES).unwrap_or_default();
    match (tag.try_into(), GrantId::from_slice(id)) {
        (Ok(client_tag), Some(id)) => Ok(Listed { client_tag, id, expires_at: member.expires_at }),
        _ => Err(Error::RecordUnreadable("a list of grants is garbled".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_list_is_what_it_always_was() {
        let listed = Listed { client_tag: [1; 8], id: GrantId([2; 16]), expires_at: Timestamp::from_millis(3) };
        let written = member(&listed);
        assert_eq!(written.bytes.as_ref(), [[1; 8].as_slice(), &[2; 16]].concat());
        assert_eq!(read_member(&written), Ok(listed));
    }
}

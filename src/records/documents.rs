//! The service's own few documents, which have no TTL: the ring of root keys, the salt, the ceilings, the signing keys.

use crate::random;
use crate::records::proto::{CeilingRecord, RingRecord, RootKey, SaltRecord, SigningRecord};
use crate::records::{ATTEMPTS, Held, Records, Step, name, unavailable};
use crate::store::{Durability, STAMP_BYTES, Swap, Swapped};
use bytes::{BufMut as _, Bytes, BytesMut};
use jeton_domain::error::{Error, Result};
use jeton_domain::id::KeyId;
use jeton_domain::secret::Secret;
use jeton_domain::target::Salt;
use jeton_domain::time::Millis;
use prost::Message as _;

/// The state of a root key that proves nothing any more.
const BURNT: u32 = 2;
/// The state of a root key in use.
const IN_USE: u32 = 1;

/// The longest lifetimes that were ever handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ceilings {
    /// Of access tokens.
    pub access_token: Millis,
    /// Of grants.
    pub grant: Millis,
}

impl Ceilings {
    /// The longer of both, each by itself.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { access_token: self.access_token.max(other.access_token), grant: self.grant.max(other.grant) }
    }
}

impl Records {
    /// Registers this replica's root keys and learns the order of all. Not sealed: who lacks a key must be able to see that.
    ///
    /// # Errors
    /// `RootKeyMissing` where none of its keys is one that the store knows: it would be given power over what it cannot read.
    /// `RecordUnreadable` where a key of the same id is another key; the store.
    pub async fn register_ring(&self) -> Result<()> {
        self.change_ring(Durability::Replicated, |ring| self.join_ring(ring)).await.map(|_ring| ())
    }

    /// Says of a root key that it proves nothing any more, for ever, and which signing keys are burnt with it. Answers those that were named
    /// when it was said first. `confirm_ring` makes it durable.
    ///
    /// # Errors
    /// `KeyUnknown`; as `register_ring`.
    pub async fn burn_root_key(&self, id: KeyId, kids: &[String]) -> Result<Vec<String>> {
        let unknown = || Error::KeyUnknown(format!("no root key `{id}` is known"));
        let ring = self
            .change_ring(Durability::Applied, |ring| {
                let is_joined = self.join_ring(ring)?;
                let key = ring.keys.iter_mut().find(|key| key.id == id.0).ok_or_else(unknown)?;
                if key.state == BURNT {
                    return Ok(is_joined);
                }
                (key.state, key.kids) = (BURNT, kids.to_vec());
                Ok(true)
            })
            .await?;
        ring.keys.into_iter().find(|key| key.id == id.0).map(|key| key.kids).ok_or_else(unknown)
    }

    /// Waits until the ring document as it is now is as durable as the store can make it: whoever wrote it.
    ///
    /// # Errors
    /// `NotDurable`, the store.
    pub async fn confirm_ring(&self) -> Result<()> {
        self.confirm(&name::ring(), Durability::Replicated).await
    }

    /// Changes the ring document, where `change` says that it did; learns it, and answers it.
    async fn change_ring(&self, needs: Durability, change: impl Fn(&mut RingRecord) -> Result<bool>) -> Result<RingRecord> {
        for _ in 0..ATTEMPTS {
            let (held, mut ring) = self.read_ring().await?;
            if !change(&mut ring)? {
                self.learn_order(&ring)?;
                return Ok(ring);
            }
            let mut value = BytesMut::from(&unsealed_stamp()?[..]);
            value.put_slice(&ring.encode_to_vec());
            let swap = Swap {
                name: name::ring(),
                expected: held.as_ref().and_then(|held| held.get(..STAMP_BYTES)?.try_into().ok()),
                value: Some(value.freeze()),
                expires_at: None,
                needs,
            };
            if let (Swapped::Done, _) = self.store.swap(&swap, &[]).await.map_err(unavailable)? {
                self.learn_order(&ring)?;
                return Ok(ring);
            }
        }
        Err(Error::Contended)
    }

    /// Whether the store was ever used. Its newest root key is then one of these, and they open what it holds. Writes nothing.
    ///
    /// # Errors
    /// As `register_ring`; `RootKeyMissing` too where the store knows a newer key than all of these.
    pub async fn is_ours(&self) -> Result<bool> {
        let (held, mut ring) = self.read_ring().await?;
        if let Some(newest) = ring.keys.iter().max_by_key(|key| key.seq)
            && !self.roots.ids().any(|id| id.0 == *newest.id)
        {
            return Err(Error::RootKeyMissing(key_id(newest)?.to_string()));
        }
        self.join_ring(&mut ring)?;
        Ok(self.has_salt().await? || held.is_some())
    }

    /// The ring document, and its bytes where there is one.
    async fn read_ring(&self) -> Result<(Option<Bytes>, RingRecord)> {
        let read = self.store.get(&[name::ring()]).await.map_err(unavailable)?;
        let held = read.values.into_iter().next().flatten();
        let ring = match &held {
            Some(bytes) => RingRecord::decode(bytes.get(STAMP_BYTES..).unwrap_or_default())
                .map_err(|_garbled| Error::RecordUnreadable("the ring document is garbled".into()))?,
            None => RingRecord::default(),
        };
        Ok((held, ring))
    }

    /// Adds this replica's keys where they are new, oldest first, so that the first of the ring is the newest, and says again of those that it
    /// knows to be burnt what the store may have lost. Whether anything was changed.
    fn join_ring(&self, ring: &mut RingRecord) -> Result<bool> {
        let mut changed = false;
        let ids: Vec<KeyId> = self.roots.ids().collect();
        if let Some(newest) = ring.keys.iter().max_by_key(|key| key.seq)
            && !ring.keys.iter().any(|key| ids.iter().any(|id| id.0 == *key.id))
        {
            return Err(Error::RootKeyMissing(key_id(newest)?.to_string()));
        }
        // What is burnt was there before what takes its place.
        let (burnt, others): (Vec<KeyId>, Vec<KeyId>) = ids.into_iter().rev().partition(|id| self.roots.is_burnt(*id));
        for id in burnt.into_iter().chain(others) {
            let check = self.roots.check(id).ok_or_else(|| Error::Internal("a root key has no check value".into()))?;
            match ring.keys.iter().find(|key| key.id == id.0) {
                Some(known) if known.check == check => {}
                Some(_) => {
                    return Err(Error::RecordUnreadable(format!(
                        "root key `{id}` is another key than the store knows by that id"
                    )));
                }
                None => {
                    let seq = ring.keys.iter().map(|key| key.seq).max().unwrap_or(0).saturating_add(1);
                    ring.keys.push(RootKey { id: id.0.to_vec(), check: check.to_vec(), seq, state: IN_USE, kids: Vec::new() });
                    changed = true;
                }
            }
        }
        for key in ring.keys.iter_mut().filter(|key| key.state != BURNT) {
            let id = key_id(key)?;
            if self.roots.is_burnt(id) {
                tracing::warn!(key = %id, "a root key was burnt again: the store had lost that it was");
                key.state = BURNT;
                changed = true;
            }
        }
        Ok(changed)
    }

    fn learn_order(&self, ring: &RingRecord) -> Result<()> {
        let seqs = ring.keys.iter().map(|key| Ok((key_id(key)?, key.seq))).collect::<Result<_>>()?;
        let burnt = ring.keys.iter().filter(|key| key.state == BURNT).map(key_id).collect::<Result<Vec<KeyId>>>()?;
        self.roots.learn(seqs, burnt);
        Ok(())
    }

    /// Whether there is a salt.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`, `RootKeyMissing`.
    pub async fn has_salt(&self) -> Result<bool> {
        Ok(self.read_one::<SaltRecord>(&name::salt()).await?.0.is_some())
    }

    /// The salt of target ids; made at the first start.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`, `RootKeyMissing`.
    pub async fn salt(&self) -> Result<Salt> {
        let fresh: [u8; 32] = random::bytes()?;
        let name = name::salt();
        let loaded = self.read_one::<SaltRecord>(&name).await?;
        let decided = self
            .decide(
                &name,
                loaded,
                Durability::Replicated,
                |held, _| match held {
                    Some(held) => Ok((Step::Keep, held.salt.clone())),
                    None => Ok((Step::Write(SaltRecord { salt: fresh.to_vec() }, None), fresh.to_vec())),
                },
                |_| Vec::new(),
            )
            .await?;
        let salt = decided.answer.try_into().map_err(|_garbled| Error::RecordUnreadable("the salt has another length".into()))?;
        Ok(Salt::new(&Secret::new(salt)))
    }

    /// Gives the store its salt back where it was emptied under a running replica. False where it has another by now:
    /// replicas of two salts do not understand each other's revocations.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`, `RootKeyMissing`.
    pub async fn keep_salt(&self, salt: &Salt) -> Result<bool> {
        let name = name::salt();
        let loaded = self.read_one::<SaltRecord>(&name).await?;
        let decided = self
            .decide(
                &name,
                loaded,
                Durability::Replicated,
                |held, _| match held {
                    Some(held) => Ok((Step::Keep, held.salt == salt.expose())),
                    None => Ok((Step::Write(SaltRecord { salt: salt.expose().to_vec() }, None), true)),
                },
                |_| Vec::new(),
            )
            .await?;
        Ok(decided.answer)
    }

    /// Raises the ceilings to at least these, and answers what they are.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`, `RootKeyMissing`.
    pub async fn raise_ceilings(&self, least: Ceilings) -> Result<Ceilings> {
        let name = name::ceilings();
        let loaded = self.read_one::<CeilingRecord>(&name).await?;
        let decided = self
            .decide(
                &name,
                loaded,
                Durability::Replicated,
                |held, _| {
                    let held = held.copied().unwrap_or_default();
                    let raised = CeilingRecord {
                        access_token: held.access_token.max(least.access_token.get()),
                        grant: held.grant.max(least.grant.get()),
                    };
                    let step = if raised == held { Step::Keep } else { Step::Write(raised, None) };
                    Ok((step, raised))
                },
                |_| Vec::new(),
            )
            .await?;
        let CeilingRecord { access_token, grant } = decided.answer;
        Ok(Ceilings { access_token: Millis::new(access_token), grant: Millis::new(grant) })
    }

    /// The signing keys, where there are any yet.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`, `RootKeyMissing`.
    pub async fn signing_keys(&self) -> Result<(Option<Held<SigningRecord>>, jeton_domain::id::Identity)> {
        self.read_one(&name::signing()).await
    }

    /// Waits until the signing keys as they are now are as durable as the store can make them: whoever wrote them.
    ///
    /// # Errors
    /// `NotDurable`, the store.
    pub async fn confirm_signing_keys(&self) -> Result<()> {
        self.confirm(&name::signing(), Durability::Replicated).await
    }

    /// Changes the signing keys: `change` answers what they become, or none where they stay. Answers what they are then.
    ///
    /// # Errors
    /// What `change` refuses with; the store.
    pub async fn change_signing_keys(
        &self,
        mut change: impl FnMut(Option<&SigningRecord>) -> Result<Option<SigningRecord>>,
    ) -> Result<SigningRecord> {
        let loaded = self.signing_keys().await?;
        let decided = self
            .decide(
                &name::signing(),
                loaded,
                Durability::Replicated,
                |held, _| match change(held)? {
                    Some(changed) => Ok((Step::Write(changed.clone(), None), changed)),
                    None => Ok((Step::Keep, held.cloned().unwrap_or_default())),
                },
                |_| Vec::new(),
            )
            .await?;
        Ok(decided.answer)
    }
}

fn key_id(key: &RootKey) -> Result<KeyId> {
    KeyId::from_slice(&key.id).ok_or_else(|| Error::RecordUnreadable("a root key's id is garbled".into()))
}

/// The front of a value that is not sealed: no root key, a random stamp.
fn unsealed_stamp() -> Result<Bytes> {
    random::bytes::<STAMP_BYTES>().map(|stamp| Bytes::copy_from_slice(&stamp))
}

//! One client or resource that is registered at run time, or was, and its message.

use crate::records::proto::Registration;
use crate::records::registered::{self, StoredClient};
use jeton_domain::error::Result;
use jeton_domain::resource::Resource;
use jeton_domain::time::Timestamp;
use std::sync::Arc;

/// What kind of thing is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A client.
    Client,
    /// A resource.
    Resource,
}

/// One that is registered, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How often it was changed.
    pub change: u64,
    /// Another after each change.
    pub etag: [u8; 8],
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was changed last, or deleted.
    pub changed_at: Timestamp,
    /// What it is; none: it was deleted.
    pub value: Option<Value>,
}

/// What is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A client.
    Client(StoredClient),
    /// A resource.
    Resource(Arc<Resource>),
}

impl Kind {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Client, Self::Resource];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Resource => "resource",
        }
    }

    pub(super) const fn code(self) -> u32 {
        match self {
            Self::Client => 1,
            Self::Resource => 2,
        }
    }
}

impl Value {
    /// Of which kind it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Client(_) => Kind::Client,
            Self::Resource(_) => Kind::Resource,
        }
    }

    /// The client, where it is one.
    #[must_use]
    pub const fn client(&self) -> Option<&StoredClient> {
        match self {
            Self::Client(client) => Some(client),
            Self::Resource(_) => None,
        }
    }

    /// The resource, where it is one.
    #[must_use]
    pub const fn resource(&self) -> Option<&Arc<Resource>> {
        match self {
            Self::Resource(resource) => Some(resource),
            Self::Client(_) => None,
        }
    }

    fn record(&self) -> Vec<u8> {
        match self {
            Self::Client(client) => registered::client_record(client),
            Self::Resource(resource) => registered::resource_record(resource),
        }
    }
}

impl Entry {
    pub(super) fn of(kind: Kind, record: &Registration) -> Result<Self> {
        let value = match (record.body.is_empty(), kind) {
            (true, _) => None,
            (false, Kind::Client) => Some(Value::Client(registered::client(&record.id, &record.body)?)),
            (false, Kind::Resource) => Some(Value::Resource(Arc::new(registered::resource(&record.id, &record.body)?))),
        };
        Ok(Self {
            change: record.change,
            etag: record.etag.as_slice().try_into().unwrap_or_default(),
            created_at: Timestamp::from_millis(record.created_at),
            changed_at: Timestamp::from_millis(record.changed_at),
            value,
        })
    }

    pub(super) fn record(&self, kind: Kind, id: &str) -> Registration {
        Registration {
            kind: kind.code(),
            id: id.to_owned(),
            change: self.change,
            etag: self.etag.to_vec(),
            created_at: self.created_at.millis(),
            changed_at: self.changed_at.millis(),
            body: self.value.as_ref().map(Value::record).unwrap_or_default(),
        }
    }
}

//! Identifiers of fixed size: what names a grant, a root key, a target, a store's primary. Not the names people choose (`name`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Reads the base64url form (no padding) that `Display` writes; none if it is not exactly that.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
                Some(Self(bytes.try_into().ok()?))
            }

            /// From a slice of exactly the right length.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Some(Self(bytes.try_into().ok()?))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

bytes_id!(
    /// Names a grant. Its first two bytes are a keyed hash of the subject, so that what belongs to a subject lies together in the store.
    GrantId, 16
);
bytes_id!(
    /// Names a root key: derived from the key itself, so that the same key has the same name on every replica.
    KeyId, 4
);
bytes_id!(
    /// Names a target of a revocation inside the log and the view.
    TargetId, 16
);
bytes_id!(
    /// Names a device authorization: a hash of its device code.
    DeviceId, 16
);
bytes_id!(
    /// Names the primary of the store that answered: another value means another history.
    Identity, 8
);
bytes_id!(
    /// Names a running replica of the service: random, made at its start.
    ReplicaId, 8
);
bytes_id!(
    /// What is remembered of a refresh's `request_id`: a hash over it and the generation it was presented with.
    RequestHash, 16
);

impl GrantId {
    /// The two bytes that place a grant in the store: its subject's.
    #[must_use]
    pub const fn slot(self) -> [u8; 2] {
        let [a, b, ..] = self.0;
        [a, b]
    }
}

impl TargetId {
    /// The two bytes that place a target's records in the store. Those of a subject place all that belongs to it.
    #[must_use]
    pub const fn slot(self) -> [u8; 2] {
        let [a, b, ..] = self.0;
        [a, b]
    }
}

/// The number of a refresh token handed out under a grant. 0 is the authorization code.
pub type Generation = u32;

//! Who calls, and may they? One permission a method; today a caller is anyone who is let in at a listener.
//!
//! Lives here: what a caller is and what each may do. Must not live here: clients (a caller is not a client), tokens.

use jeton_domain::error::{Error, Result};
use std::net::SocketAddr;

/// The internal service that calls, as authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Whoever is let in: at a listener that is open, or one that connects nobody who shows no certificate of a trusted authority.
    Anyone,
    /// Reached a listener that demands authentication, and showed none.
    Unauthenticated,
}

/// What a method needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Issue tokens.
    Issue,
    /// Refresh.
    Refresh,
    /// Exchange tokens.
    Exchange,
    /// Revoke anything.
    Revoke,
    /// Introspect one or many.
    Introspect,
    /// Learn the exact cause of a token's state: for operators only.
    Explain,
    /// Read grants.
    ReadGrants,
    /// Read public keys and schedules.
    ReadKeys,
    /// Rotate signing keys.
    RotateKeys,
    /// Read clients and resources.
    ReadRegistry,
    /// Register, change and delete clients and resources: for operators only.
    WriteRegistry,
    /// Follow the revocations.
    Watch,
    /// See how the log is, and accept what it lost: for operators only.
    Heal,
}

/// Who is let in at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Everyone.
    Open,
    /// Authenticated callers only.
    Authenticated,
}

impl Admission {
    /// Loopback is open for development. Anything else only where the operator says `insecure`, or where who is not to be let in is not
    /// even connected: `known`.
    #[must_use]
    pub const fn of_listener(address: SocketAddr, insecure: bool, known: bool) -> Self {
        if insecure || known || address.ip().is_loopback() { Self::Open } else { Self::Authenticated }
    }

    /// Who the caller of a request is.
    #[must_use]
    pub const fn caller(self) -> Caller {
        match self {
            Self::Open => Caller::Anyone,
            Self::Authenticated => Caller::Unauthenticated,
        }
    }
}

/// Whether `caller` has `permission`.
///
/// # Errors
/// `CallerRefused`.
pub fn may(caller: Caller, _permission: Permission) -> Result<()> {
    match caller {
        Caller::Anyone => Ok(()),
        Caller::Unauthenticated => Err(Error::CallerRefused(
            "callers of this listener must show a certificate: set [tls] caller_ca_file, listen on loopback, or start with --insecure"
                .into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_open_by_default() {
        let admitted = |address: &str, insecure| Admission::of_listener(address.parse().unwrap(), insecure, false);
        assert_eq!(admitted("127.0.0.1:1", false), Admission::Open);
        assert_eq!(admitted("[::1]:1", false), Admission::Open);
        assert_eq!(admitted("0.0.0.0:1", false), Admission::Authenticated);
        assert_eq!(admitted("10.1.2.3:1", false), Admission::Authenticated);
        assert_eq!(admitted("0.0.0.0:1", true), Admission::Open);
        assert_eq!(Admission::of_listener("0.0.0.0:1".parse().unwrap(), false, true), Admission::Open);
    }

    #[test]
    fn who_is_not_known_may_nothing() {
        assert!(may(Admission::Authenticated.caller(), Permission::ReadKeys).is_err());
        assert!(may(Admission::Open.caller(), Permission::Explain).is_ok());
    }
}

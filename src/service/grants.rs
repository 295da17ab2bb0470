//! Grants, read: one by its id, or a subject's.

use crate::service::Service;
use crate::service::explain::WhyNot;
use jeton_domain::error::{Error, Result};
use jeton_domain::grant::Grant;
use jeton_domain::id::GrantId;
use jeton_domain::name::{ClientId, SessionId, Subject};
use jeton_domain::time::Timestamp;

/// A grant and whether it lives.
#[derive(Clone, Debug)]
pub struct GrantState {
    /// The grant.
    pub grant: Grant,
    /// None: it lives.
    pub why_not: Option<WhyNot>,
    /// When it ended, where that is known.
    pub ended_at: Option<Timestamp>,
}

/// Which grants are asked for.
#[derive(Clone, Debug)]
pub struct ListGrants {
    /// Whose.
    pub subject: Subject,
    /// Only this client's.
    pub client: Option<ClientId>,
    /// Only this session's.
    pub session: Option<SessionId>,
    /// The most to answer. 1 to 1,000.
    pub limit: usize,
    /// Where to go on, from the page before.
    pub page_token: Option<String>,
}

/// A page of grants.
#[derive(Clone, Debug, Default)]
pub struct GrantPage {
    /// The grants.
    pub grants: Vec<GrantState>,
    /// Where to go on.
    pub next: Option<String>,
}

impl Service {
    /// One grant, living or ended.
    ///
    /// # Errors
    /// `GrantUnknown`, the store.
    pub async fn grant(&self, _id: GrantId) -> Result<GrantState> {
        Err(Error::GrantUnknown)
    }

    /// The living grants of a subject.
    ///
    /// # Errors
    /// `Invalid` for a page token that is not ours, the store.
    pub async fn list_grants(&self, _asked: ListGrants) -> Result<GrantPage> {
        Err(Error::Internal("not built".into()))
    }
}

//! Which access tokens were seen, to be told to jeton: so it learns, off everybody's path, that the reply that brought one arrived.
//! Losing a report only makes jeton lenient.

use super::recent::Recent;
use crate::api::Arrival;
use jeton_domain::claims::Said;
use jeton_domain::id::TargetId;
use jeton_domain::target::token_id;
use std::sync::{Mutex, PoisonError};

/// The most that wait to be told, and the most of one message.
const MAX_WAITING: usize = 1_000;
/// The most that are remembered, so that each is told once.
const MAX_SEEN: usize = 64 * 1_024;

#[derive(Debug)]
pub(crate) struct Arrivals(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    seen: Recent<TargetId, ()>,
    waiting: Vec<Arrival>,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self(Mutex::new(Inner { seen: Recent::new(MAX_SEEN), waiting: Vec::new() }))
    }
}

impl Arrivals {
    /// A living access token was seen. Without a grant there is nothing to learn from it; while too many wait it is not told.
    pub(crate) fn saw(&self, said: &Said) {
        let Some(grant) = said.grant else { return };
        let id = token_id(&said.jti);
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.waiting.len() < MAX_WAITING && inner.seen.get(&id).is_none() {
            inner.seen.insert(id, ());
            inner.waiting.push(Arrival { grant_id: grant.to_string(), jti: said.jti.clone() });
        }
    }

    /// What is to be told now.
    pub(crate) fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jeton_domain::id::GrantId;
    use serde_json::json;

    fn said(jti: &str, grant: Option<GrantId>) -> Said {
        let mut claims = json!({"iss": "i", "sub": "s", "aud": "a", "exp": 1, "iat": 1, "jti": jti, "client_id": "c", "born": 1});
        if let Some(grant) = grant {
            claims["grant_id"] = grant.to_string().into();
        }
        Said::read(claims.as_object().unwrap().clone()).unwrap()
    }

    #[test]
    fn each_token_of_a_grant_is_told_once() {
        let arrivals = Arrivals::default();
        for jti in ["one", "two", "one"] {
            arrivals.saw(&said(jti, Some(GrantId([1; 16]))));
        }
        arrivals.saw(&said("three", None));
        assert_eq!(arrivals.take().iter().map(|arrival| arrival.jti.as_str()).collect::<Vec<_>>(), ["one", "two"]);
        arrivals.saw(&said("one", Some(GrantId([1; 16]))));
        assert_eq!(arrivals.take(), []);
    }

    #[test]
    fn no_more_wait_than_one_message_takes() {
        let arrivals = Arrivals::default();
        for number in 0..2_000 {
            arrivals.saw(&said(&format!("token {number}"), Some(GrantId([1; 16]))));
        }
        assert_eq!(arrivals.take().len(), 1_000);
    }
}

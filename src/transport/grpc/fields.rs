//! The form of the fields of a request: lengths, counts, alphabets, numbers. Every violation is named by its proto field.
//!
//! Lives here: what the protobuf files promise about form. Must not live here: what is allowed to whom.

use super::{api, claims};
use crate::service::{Credentials, Freshness};
use crate::transport::fault::Fault;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::certificate::Certificate;
use jeton_domain::details;
use jeton_domain::error::{Error, Result};
use jeton_domain::grant::Binding;
use jeton_domain::id::GrantId;
use jeton_domain::name::ResourceId;
use jeton_domain::resource::MAX_NAMED;
use jeton_domain::revision::Revision;
use jeton_domain::secret::SecretText;
use jeton_domain::time::Timestamp;
use serde_json::{Map, Value};

/// The longest token of any kind, and the longest assertion or proof.
pub const MAX_TOKEN_BYTES: usize = jeton_domain::token::MAX_BYTES;
/// The longest refresh token that is read.
pub const MAX_REFRESH_TOKEN_BYTES: usize = 512;
const MAX_SECRET_BYTES: usize = 512;
/// The last second of the year 9999.
const LATEST_SECOND: u64 = 253_402_300_799;

/// Collects what is wrong with a request, so that one answer names it all.
#[derive(Debug, Default)]
pub struct Fields(Option<Fault>);

impl Fields {
    /// Nothing wrong, or everything that is.
    pub fn done(self) -> std::result::Result<(), Fault> {
        self.0.map_or(Ok(()), Err)
    }

    /// The value, or its default and a violation more.
    pub fn take<T: Default>(&mut self, parsed: Result<T>) -> T {
        self.get(parsed).unwrap_or_default()
    }

    /// The value, or a violation more.
    pub fn get<T>(&mut self, parsed: Result<T>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(Fault::of(&error));
                None
            }
        }
    }

    /// A violation.
    pub fn wrong(&mut self, field: &str, problem: &str) {
        self.fault(Fault::of(&Error::invalid(field, problem)));
    }

    fn fault(&mut self, fault: Fault) {
        match &mut self.0 {
            None => self.0 = Some(fault),
            Some(first) => fault.violations.iter().for_each(|violation| first.add(&violation.field, &violation.problem)),
        }
    }

    /// A token of at most `max` bytes.
    pub fn token(&mut self, field: &str, token: String, max: usize) -> SecretText {
        if token.is_empty() {
            self.wrong(field, "must not be empty");
        } else if token.len() > max {
            self.wrong(field, &longer_than(max));
        }
        SecretText::new(token)
    }

    /// Printable ASCII of at most `max` bytes; none where it is empty.
    pub fn word(&mut self, field: &str, text: &str, max: usize) -> Option<String> {
        if text.is_empty() {
            return None;
        }
        if text.len() > max {
            self.wrong(field, &longer_than(max));
            return None;
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            self.wrong(field, "may contain printable ASCII characters only");
            return None;
        }
        Some(text.to_owned())
    }

    /// What must be there.
    pub fn required<T>(&mut self, field: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.names(field) {
            self.wrong(field, "must not be empty");
        }
        value
    }

    fn names(&self, field: &str) -> bool {
        self.0.as_ref().is_some_and(|fault| fault.violations.iter().any(|violation| violation.field == field))
    }

    /// Parsed where it is not empty.
    pub fn optional<T>(&mut self, text: &str, parse: impl FnOnce(&str) -> Result<T>) -> Option<T> {
        if text.is_empty() { None } else { self.get(parse(text)) }
    }

    /// Resources, each once.
    pub fn resources(&mut self, field: &str, texts: &[String]) -> Vec<ResourceId> {
        if texts.len() > MAX_NAMED {
            let problem = format!("names more than {MAX_NAMED} resources");
            self.fault(Fault::of(&Error::invalid_target(field, problem)));
            return Vec::new();
        }
        let mut resources = Vec::with_capacity(texts.len());
        for (at, text) in texts.iter().enumerate() {
            if let Some(resource) = self.get(ResourceId::parse(&format!("{field}[{at}]"), text))
                && !resources.contains(&resource)
            {
                resources.push(resource);
            }
        }
        resources
    }

    /// Seconds since the epoch; none for 0.
    pub fn moment(&mut self, field: &str, seconds: i64) -> Option<Timestamp> {
        match u64::try_from(seconds) {
            Ok(0) => None,
            Ok(seconds) if seconds <= LATEST_SECOND => Some(Timestamp::from_secs(seconds)),
            Ok(_) => {
                self.wrong(field, "is after the year 9999: it is in seconds");
                None
            }
            Err(_) => {
                self.wrong(field, "must not be negative");
                None
            }
        }
    }

    /// The id of a grant.
    pub fn grant_id(&mut self, field: &str, text: &str) -> Option<GrantId> {
        let id = GrantId::parse(text);
        if id.is_none() {
            self.wrong(field, if text.is_empty() { "must not be empty" } else { "is not the id of a grant" });
        }
        id
    }

    /// A SHA-256 thumbprint; none where it is empty.
    pub fn thumbprint(&mut self, field: &str, text: &str) -> Option<[u8; 32]> {
        if text.is_empty() {
            return None;
        }
        // Longer text is not decoded: 32 bytes are 43 characters.
        let bytes = (text.len() == 43).then(|| URL_SAFE_NO_PAD.decode(text).ok()).flatten();
        let thumbprint = bytes.and_then(|bytes| bytes.try_into().ok());
        if thumbprint.is_none() {
            self.wrong(field, "is not the base64url form, without padding, of 32 bytes");
        }
        thumbprint
    }

    /// The sender constraint.
    pub fn binding(&mut self, field: &str, cnf: Option<&api::Confirmation>) -> Option<Binding> {
        let cnf = cnf?;
        let jkt = self.thumbprint(&format!("{field}.jkt"), &cnf.jkt).map(Binding::Jkt);
        let x5t = self.thumbprint(&format!("{field}.x5t_s256"), &cnf.x5t_s256).map(Binding::X5t);
        if !cnf.jkt.is_empty() && !cnf.x5t_s256.is_empty() {
            self.wrong(field, "may have one member only");
        }
        jkt.or(x5t)
    }

    /// How a client proves who it is.
    pub fn credentials(&mut self, field: &str, proof: Option<api::ClientAuthentication>) -> Credentials {
        let Some(proof) = proof else { return Credentials::default() };
        let mut secret = |name: &str, text: String, max: usize| {
            if text.is_empty() {
                return None;
            }
            if text.len() > max {
                self.wrong(&format!("{field}.{name}"), &longer_than(max));
            }
            Some(SecretText::new(text))
        };
        Credentials {
            secret: secret("client_secret", proof.client_secret, MAX_SECRET_BYTES),
            assertion: secret("client_assertion", proof.client_assertion, MAX_TOKEN_BYTES),
            dpop: secret("dpop_proof", proof.dpop_proof, MAX_TOKEN_BYTES),
            certificate: self
                .thumbprint(&format!("{field}.certificate_thumbprint"), &proof.certificate_thumbprint)
                .map(|thumbprint| Box::new(Certificate::known_by_thumbprint(thumbprint))),
            from: None,
        }
    }

    /// How fresh an answer must be.
    pub fn freshness(&mut self, field: &str, freshness: Option<api::Freshness>) -> Freshness {
        use api::freshness::Requirement;
        match freshness.and_then(|freshness| freshness.requirement) {
            None | Some(Requirement::FullyFresh(false)) => Freshness::Default,
            Some(Requirement::FullyFresh(true)) => Freshness::Full,
            Some(Requirement::AtLeastAsFresh(text)) => {
                let revision = Revision::parse(&text);
                if revision.is_none() {
                    self.wrong(&format!("{field}.at_least_as_fresh"), "is not a revision of ours");
                }
                revision.map_or(Freshness::Default, Freshness::AtLeast)
            }
        }
    }

    /// Further claims.
    pub fn claims(&mut self, field: &str, claims: Option<prost_types::Struct>) -> Map<String, Value> {
        claims.map(|claims| self.take(claims::object(field, claims))).unwrap_or_default()
    }

    /// Authorization details (RFC 9396).
    pub fn details(&mut self, given: Vec<prost_types::Struct>) -> Vec<Value> {
        self.take(claims::details(details::FIELD, given))
    }
}

fn longer_than(max: usize) -> String {
    format!("is longer than {max} bytes")
}

/// A thumbprint as it is written.
fn thumbprint(bytes: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A sender constraint as it is written.
pub fn confirmation(binding: Binding) -> api::Confirmation {
    match binding {
        Binding::Jkt(bytes) => api::Confirmation { jkt: thumbprint(&bytes), x5t_s256: String::new() },
        Binding::X5t(bytes) => api::Confirmation { jkt: String::new(), x5t_s256: thumbprint(&bytes) },
    }
}

/// A number that protobuf has signed.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

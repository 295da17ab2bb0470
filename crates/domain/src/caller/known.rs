//! Who is meant by a certificate, a service account or a key. One name belongs to one caller.

use super::Caller;
use crate::certificate::{self, Certificate};
use crate::secret::Secret;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// The longest SPIFFE id (SPIFFE-ID section 2.3), and the longest trust domain (2.1), in bytes.
const MAX_SPIFFE_BYTES: usize = 2_048;
const MAX_TRUST_DOMAIN_BYTES: usize = 255;
/// What the `sub` of every service account's token begins with.
const ACCOUNT_PREFIX: &str = "system:serviceaccount:";
/// The longest name of a namespace (RFC 1123), and of a service account, in bytes.
const MAX_NAMESPACE_BYTES: usize = 63;
const MAX_ACCOUNT_BYTES: usize = 253;

/// By what a caller is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// SPIFFE ids.
    pub spiffe_ids: Vec<Box<str>>,
    /// Hosts, in lower case.
    pub dns_names: Vec<Box<str>>,
    /// Service accounts, as the `sub` of their tokens.
    pub service_accounts: Vec<Box<str>>,
    /// SHA-256 of static keys.
    pub key_hashes: Vec<[u8; 32]>,
    /// Whether it is whoever shows a certificate that belongs to no other caller.
    pub any_certificate: bool,
}

/// Something that two callers would be known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsound {
    /// The setting that names it a second time.
    pub setting: &'static str,
    /// Where in its list.
    pub at: usize,
}

/// All callers that are configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Callers {
    spiffe_ids: BTreeMap<Box<str>, Arc<Caller>>,
    dns_names: BTreeMap<Box<str>, Arc<Caller>>,
    service_accounts: BTreeMap<Box<str>, Arc<Caller>>,
    /// By the first bytes of the hash, so that what an attacker could time says next to nothing of the rest.
    keys: BTreeMap<[u8; 8], (Secret<32>, Arc<Caller>)>,
    any_certificate: Option<Arc<Caller>>,
    all: Vec<Arc<Caller>>,
}

impl Names {
    /// Reads a SPIFFE id (SPIFFE-ID section 2): a trust domain and a path, as they are compared.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn spiffe_id(text: &str) -> Result<Box<str>, &'static str> {
        const WRONG: &str = "is no SPIFFE id such as spiffe://example.com/billing: a trust domain of lower-case letters, digits, `.`, `-` \
                             and `_`, and a path of letters, digits and these";
        let rest = text.strip_prefix("spiffe://").filter(|_| text.len() <= MAX_SPIFFE_BYTES).ok_or(WRONG)?;
        let (domain, path) = rest.split_once('/').ok_or(WRONG)?;
        let is_domain = (1..=MAX_TRUST_DOMAIN_BYTES).contains(&domain.len())
            && domain.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_'));
        let is_segment = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        };
        if is_domain && path.split('/').all(is_segment) { Ok(text.into()) } else { Err(WRONG) }
    }

    /// Reads `NAMESPACE/NAME` into the `sub` of that service account's tokens.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn service_account(text: &str) -> Result<Box<str>, &'static str> {
        let is_name = |name: &str, most| {
            (1..=most).contains(&name.len())
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'))
        };
        match text.split_once('/') {
            Some((namespace, name))
                if is_name(namespace, MAX_NAMESPACE_BYTES) && !namespace.contains('.') && is_name(name, MAX_ACCOUNT_BYTES) =>
            {
                Ok(format!("{ACCOUNT_PREFIX}{namespace}:{name}").into())
            }
            _ => Err("is no service account such as payments/billing: its namespace, a slash, its name"),
        }
    }

    /// Whether it is known by nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        !self.is_by_certificate() && !self.is_by_bearer()
    }

    /// Whether it may be known by its certificate.
    #[must_use]
    pub const fn is_by_certificate(&self) -> bool {
        !self.spiffe_ids.is_empty() || !self.dns_names.is_empty() || self.any_certificate
    }

    const fn is_by_bearer(&self) -> bool {
        !self.service_accounts.is_empty() || !self.key_hashes.is_empty()
    }
}

impl Callers {
    /// One more.
    ///
    /// # Errors
    /// The first thing that another is known by, or itself already; it is not added then.
    pub fn add(&mut self, caller: Caller, names: Names) -> Result<(), Unsound> {
        let mut next = self.clone();
        let caller = Arc::new(caller);
        let fill = |map: &mut BTreeMap<Box<str>, Arc<Caller>>, setting, keys: Vec<Box<str>>| {
            keys.into_iter().enumerate().try_for_each(|(at, key)| match map.entry(key) {
                Entry::Occupied(_) => Err(Unsound { setting, at }),
                Entry::Vacant(free) => {
                    free.insert(Arc::clone(&caller));
                    Ok(())
                }
            })
        };
        fill(&mut next.spiffe_ids, "spiffe_ids", names.spiffe_ids)?;
        fill(&mut next.dns_names, "dns_names", names.dns_names)?;
        fill(&mut next.service_accounts, "service_accounts", names.service_accounts)?;
        for (at, hash) in names.key_hashes.into_iter().enumerate() {
            if next.keys.insert(first(&hash), (Secret::new(hash), Arc::clone(&caller))).is_some() {
                return Err(Unsound { setting: "key_hashes", at });
            }
        }
        if names.any_certificate && next.any_certificate.replace(Arc::clone(&caller)).is_some() {
            return Err(Unsound { setting: "any_certificate", at: 0 });
        }
        next.all.push(caller);
        *self = next;
        Ok(())
    }

    /// Whether none is configured.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All, in the order of the configuration.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Caller>> {
        self.all.iter()
    }

    /// All by which one of them is known.
    #[must_use]
    pub fn names_of(&self, caller: &Arc<Caller>) -> Names {
        let of = |map: &BTreeMap<Box<str>, Arc<Caller>>| {
            map.iter().filter(|(_, known)| Arc::ptr_eq(known, caller)).map(|(name, _)| name.clone()).collect()
        };
        let keys = self.keys.values().filter(|(_, known)| Arc::ptr_eq(known, caller));
        Names {
            spiffe_ids: of(&self.spiffe_ids),
            dns_names: of(&self.dns_names),
            service_accounts: of(&self.service_accounts),
            key_hashes: keys.map(|(hash, _)| *hash.expose()).collect(),
            any_certificate: self.any_certificate.as_ref().is_some_and(|known| Arc::ptr_eq(known, caller)),
        }
    }

    /// Whether some are known by what is no certificate.
    #[must_use]
    pub fn any_by_bearer(&self) -> bool {
        !self.service_accounts.is_empty() || !self.keys.is_empty()
    }

    /// Whether some are known by their service accounts.
    #[must_use]
    pub fn any_by_service_account(&self) -> bool {
        !self.service_accounts.is_empty()
    }

    /// Whom a certificate names. Nobody where an authority does not vouch for it, where it holds more than one URI (X509-SVID section 2)
    /// or a wildcard, and where its names are those of two callers.
    #[must_use]
    pub fn by_certificate(&self, certificate: &Certificate) -> Option<&Arc<Caller>> {
        let certificate::Names { dns, uris, .. } = certificate.vouched.as_ref()?;
        if uris.len() > 1 || dns.iter().chain(uris).any(|name| name.contains('*')) {
            return None;
        }
        let of_uri = uris.iter().filter_map(|uri| self.spiffe_ids.get(uri.as_str()));
        let mut named = of_uri.chain(dns.iter().filter_map(|host| self.by_host(host)));
        match named.next() {
            None => self.any_certificate.as_ref(),
            Some(first) => named.all(|other| Arc::ptr_eq(other, first)).then_some(first),
        }
    }

    fn by_host(&self, host: &str) -> Option<&Arc<Caller>> {
        if host.bytes().any(|b| b.is_ascii_uppercase()) {
            return self.dns_names.get(host.to_ascii_lowercase().as_str());
        }
        self.dns_names.get(host)
    }

    /// Whose service account this is: the `sub` of a token that was proved.
    #[must_use]
    pub fn by_service_account(&self, subject: &str) -> Option<&Arc<Caller>> {
        self.service_accounts.get(subject)
    }

    /// Whose key has this SHA-256.
    #[must_use]
    pub fn by_key(&self, hash: [u8; 32]) -> Option<&Arc<Caller>> {
        let (known, caller) = self.keys.get(&first(&hash))?;
        (*known == Secret::new(hash)).then_some(caller)
    }
}

fn first(hash: &[u8; 32]) -> [u8; 8] {
    hash.first_chunk().copied().unwrap_or_default()
}

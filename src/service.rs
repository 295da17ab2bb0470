//! What is asked? One verb a file; each loads, lets the domain decide, writes, and answers.
//!
//! Lives here: the order of steps of each operation and what it needs of the rooms below. Must not live here: rules of
//! the domain, words of a transport (protobuf, HTTP, status codes), formats of tokens or records.

mod arrivals;
pub mod assertion;
mod authenticate;
pub mod authorize;
pub mod callers;
pub mod clients;
pub mod code;
pub mod device;
pub mod dpop;
mod examine;
pub mod exchange;
pub mod explain;
mod foreign_keys;
pub mod grants;
mod hand_out;
pub mod introspect;
pub mod issue;
pub mod keys;
pub mod limits;
mod logout;
mod phantom;
pub mod reconfigure;
pub mod refresh;
pub mod registry;
pub mod resources;
pub mod revoke;
mod root_keys;
pub mod userinfo;
pub mod watch;

use crate::audit::{Action, Audit, Deed};
use crate::clock::Clock;
use crate::floors::{Alive, Raise, Turns};
use crate::outbound::Outbound;
use crate::records::Records;
use crate::records::registry::Registry;
use crate::service::reconfigure::Configuration;
use crate::signing::Signing;
use crate::tokens::Tokens;
use jeton_domain::caller::{Callers, TokenTerms};
use jeton_domain::certificate::Certificate;
use jeton_domain::client::Algorithm;
use jeton_domain::device::Guesses;
use jeton_domain::error::{Error, Result};
use jeton_domain::id::KeyId;
use jeton_domain::issuer::Issuers;
use jeton_domain::name::ResourceId;
use jeton_domain::scope::OIDC;
use jeton_domain::secret::SecretText;
use jeton_domain::target::{Reason, Target};
use jeton_domain::time::Millis;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub use crate::floors::Freshness;
pub use crate::store::Durability;
pub use foreign_keys::fetch_keys;

/// The operations. One for the process; cheap to share behind an `Arc`.
pub struct Service {
    clock: Clock,
    records: Records,
    alive: Arc<Alive>,
    tokens: Tokens,
    signing: Arc<Signing>,
    in_force: RwLock<InForce>,
    /// Who reads the registry again.
    following: Turns<()>,
    /// Held by the one who reads or changes it: what is read before a change is never taken over after it.
    registering: tokio::sync::Mutex<()>,
    proved_callers: callers::Remembered,
    issuer: ResourceId,
    outbound: Arc<Outbound>,
    audit: Audit,
    reloaded: keys::Reloaded,
    arrivals: arrivals::Arrivals,
    guesses: Mutex<Guesses>,
    left: limits::Left,
    foreign_keys: Arc<foreign_keys::ForeignKeys>,
}

/// What of a configuration is in force: exchanged together, so that nobody finds the callers of one beside the terms of another.
struct InForce {
    registry: Arc<Registry>,
    callers: Arc<Callers>,
    terms: Arc<Terms>,
}

/// What the operations hold to beside clients and resources.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How long after a hand-out the same request is answered again.
    pub overlap: Millis,
    /// How long an authorization code may be redeemed.
    pub code_lifetime: Millis,
    /// What holds for every device.
    pub device: device::DeviceTerms,
    /// What is asked of DPoP proofs.
    pub dpop: dpop::Terms,
    /// Whose service-account tokens callers are known by.
    pub caller_tokens: Option<TokenTerms>,
    /// Whose assertions are taken as grants.
    pub issuers: Issuers,
    /// The longest that an assertion of a client may be valid.
    pub client_assertion_lifetime: Millis,
    /// The longest that a JWT is valid which a gateway shows in place of a token.
    pub phantom_lifetime: Millis,
    /// The most grants of a subject with all clients together.
    pub grants_per_subject: usize,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Service(..)")
    }
}

impl InForce {
    fn of(registry: Registry, callers: Callers, terms: Terms) -> Self {
        Self { registry: Arc::new(registry), callers: Arc::new(callers), terms: Arc::new(terms) }
    }
}

impl Service {
    /// Over the rooms below, for `issuer`: the `iss` claim, and the audience of a token that is for no resource.
    #[must_use]
    pub fn new(
        alive: Arc<Alive>,
        records: Records,
        tokens: Tokens,
        signing: Arc<Signing>,
        outbound: Arc<Outbound>,
        issuer: ResourceId,
        configured: Configuration,
    ) -> Self {
        let Configuration { clients, resources, callers, terms, .. } = configured;
        let guesses = Mutex::new(Guesses::new(records.clock().run()));
        let foreign_keys = foreign_keys::ForeignKeys::new(records.clock().clone(), Arc::clone(&outbound));
        Self {
            clock: records.clock().clone(),
            records,
            alive,
            tokens,
            signing,
            in_force: RwLock::new(InForce::of(Registry::new(clients, resources), callers, terms)),
            following: Turns::default(),
            registering: tokio::sync::Mutex::default(),
            proved_callers: callers::Remembered::default(),
            issuer,
            left: limits::Left::new(limits::Limits::default()),
            outbound,
            audit: Audit::default(),
            reloaded: keys::Reloaded::default(),
            arrivals: arrivals::Arrivals::default(),
            guesses,
            foreign_keys,
        }
    }

    /// The same, which tells there what was done.
    #[must_use]
    pub fn telling(self, audit: Audit) -> Self {
        Self { audit, ..self }
    }

    /// The same, where nobody may call or fail more often than that.
    #[must_use]
    pub fn limiting(self, limits: limits::Limits) -> Self {
        Self { left: limits::Left::new(limits), ..self }
    }

    /// Who issues: the `iss` of every token.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.issuer.as_str()
    }

    /// What the operations hold to now.
    fn terms(&self) -> Arc<Terms> {
        self.in_force(|held| &held.terms)
    }

    /// A part of what is in force now.
    fn in_force<T>(&self, part: impl FnOnce(&InForce) -> &Arc<T>) -> Arc<T> {
        Arc::clone(part(&self.in_force.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Another from now on.
    fn put_in_force(&self, change: impl FnOnce(&mut InForce)) {
        change(&mut self.in_force.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The scopes that there are: those of OpenID Connect and of every resource, in order.
    #[must_use]
    pub fn scopes(&self) -> Vec<String> {
        let registry = self.registry();
        let owned = registry.resources().iter().flat_map(|resource| resource.scopes.iter());
        OIDC.into_iter().chain(owned).map(str::to_owned).collect()
    }

    /// The types of authorization details that there are, in order.
    #[must_use]
    pub fn details_types(&self) -> Vec<String> {
        let registry = self.registry();
        let declared = registry.resources().iter().flat_map(|resource| &resource.details_types);
        declared.map(|declared| declared.name().to_owned()).collect()
    }

    /// The algorithms that are signed with.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.signing.settings().algorithms()
    }

    /// Begins to tell what was done; none where nobody listens.
    fn deed(&self, action: Action) -> Option<Deed<'_>> {
        self.audit.deed(action)
    }

    /// Raises a floor, and tells of it; of a signing key its own document says first that it is burnt, as durably as can be at the moment.
    /// `shown`: the token by which it was asked for.
    async fn raise_and_tell(&self, target: &Target, reason: Reason, shown: Option<&SecretText>) -> Result<Raise> {
        let ending = async {
            let said = match target {
                Target::SigningKey { kid } => self.burn_keys(std::slice::from_ref(kid)).await,
                _ => Ok(()),
            };
            match said {
                Err(undurable @ Error::NotDurable(_)) => self.alive.raise(target, reason).await.and(Err(undurable)),
                said => {
                    said?;
                    self.alive.raise(target, reason).await
                }
            }
        };
        self.tell_end(target, reason, shown, ending).await
    }

    /// Tells of what is ended.
    async fn tell_end(
        &self,
        target: &Target,
        reason: Reason,
        shown: Option<&SecretText>,
        ending: impl Future<Output = Result<Raise>>,
    ) -> Result<Raise> {
        let mut deed = self.deed(Action::Revoke).map(|deed| {
            let deed = deed.target(target).text("reason", reason.word());
            shown.into_iter().fold(deed, Deed::presented)
        });
        let raised = Deed::while_doing(&mut deed, ending).await;
        let (revision, durability) = match &raised {
            Ok(raise) => (raise.revision, "acknowledged"),
            Err(Error::RevokedNotDurable(revision)) => (*revision, "not_durable"),
            Err(_) => return raised,
        };
        if let Some(deed) = deed {
            deed.text("revision", &revision.to_string()).text("durability", durability).tell();
        }
        raised
    }

    /// Before tokens are called not genuine because of their root keys: another replica may have put keys into the ring
    /// since this one looked.
    async fn know_root_keys(&self, keys: impl IntoIterator<Item = KeyId>) -> Result<()> {
        let roots = self.records.roots();
        if keys.into_iter().all(|key| roots.registered(key)) { Ok(()) } else { self.records.register_ring().await }
    }
}

/// How a client proves who it is. All absent for a public client.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The client secret.
    pub secret: Option<SecretText>,
    /// A client assertion (RFC 7523).
    pub assertion: Option<SecretText>,
    /// The certificate whose key the client proved to have, to us or to who passes it on.
    pub certificate: Option<Box<Certificate>>,
    /// A DPoP proof (RFC 9449), made for the token endpoint.
    pub dpop: Option<SecretText>,
    /// Who asks for the client; none: failures are not counted.
    pub from: Option<limits::Source>,
}

impl Credentials {
    /// Whether nothing is given that proves who the client is: a DPoP proof does not.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.secret.is_none() && self.assertion.is_none() && self.certificate.is_none()
    }

    /// SHA-256 of the certificate.
    fn thumbprint(&self) -> Option<[u8; 32]> {
        self.certificate.as_ref().map(|certificate| certificate.thumbprint)
    }
}

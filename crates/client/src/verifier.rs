//! Checking access tokens in one's own process, by the public keys and by the log of revocations as it is streamed.
//!
//! Lives here: the question and its answer. Below: `keys` (the public keys, kept), `view` (revocations, and how fresh that knowledge is),
//! `watch` (the stream that feeds it), `known` (tokens that were checked lately), `answer` (what jeton says where it is asked),
//! `arrivals` (what jeton is told). What makes a token dead is the domain's.

mod answer;
mod arrivals;
mod keys;
mod known;
mod recent;
mod turns;
mod view;
mod watch;

use crate::client::Client;
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use arrivals::Arrivals;
use jeton_domain::access::Dead;
use jeton_domain::claims::Said;
use jeton_domain::floors::Floors;
use jeton_domain::jws::{self, Keys, NotGenuine};
use jeton_domain::token::{Presented, parse};
use keys::{KeyRing, PublicKey};
use known::{Known, KnownTokens, Proof, TokenHash};
use std::ops::Deref;
use std::sync::Arc;
use tokio::task::JoinSet;
use turns::Turns;
use view::Watched;

/// What to do where revocations are not known freshly enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// Ask jeton about each token until the stream is back. While jeton is gone too, each waits for the deadline of the client: give the
    /// verifier one with a short deadline where that is too long.
    #[default]
    Introspect,
    /// Refuse as [`Refused::Stale`]: no call ever leaves for a JWT.
    Refuse,
}

/// How a verifier works.
#[derive(Clone, Debug)]
pub struct VerifierSettings {
    /// The `iss` that tokens must have: jeton's `issuer`.
    pub issuer: String,
    /// What to do where revocations are not known freshly enough. Default: ask.
    pub fallback: Fallback,
    /// The most tokens that are remembered as checked: at most some 6 KiB each, a JWT of usual size takes 2. Default 8,192.
    pub max_tokens: usize,
    /// The most revocations that are held, 64 bytes each. With more of them nothing is trusted. Default 4,000,000.
    pub max_floors: usize,
    /// The clock. Default: the machine's.
    pub clock: Arc<dyn Clock>,
}

impl VerifierSettings {
    /// The defaults for tokens of this issuer.
    #[must_use]
    pub fn new(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            fallback: Fallback::default(),
            max_tokens: 8_192,
            max_floors: 4_000_000,
            clock: Arc::new(SystemClock::default()),
        }
    }
}

/// What a valid access token says. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified(Arc<Said>);

impl Verified {
    /// Whether it has this scope.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.scope.split(' ').any(|had| had == scope)
    }
}

impl Deref for Verified {
    type Target = Said;

    fn deref(&self) -> &Said {
        &self.0
    }
}

/// Why an access token is not accepted. Not for who sent it: he is told that it is not valid, and no more.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// It proves nothing: not an access token of this issuer.
    #[error("the token is not genuine: {0}")]
    NotGenuine(NotGenuine),
    /// It expired, was revoked, or is for another resource.
    #[error("the token is not alive: {0:?}")]
    Dead(Dead),
    /// jeton was asked, and says that it is not active.
    #[error("the token is not active")]
    Inactive,
    /// It may be valid, but what is known of revocations is too old to say so, and asking is not wanted. Passes by itself.
    #[error("revocations are not known freshly enough")]
    Stale,
    /// It may be valid, but jeton had to be asked and did not say. Passes by itself.
    #[error("the token could not be checked: {0}")]
    Unavailable(Error),
}

impl Refused {
    /// Whether nothing is known against the token, so that its sender is to try again and not to be turned away.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Stale | Self::Unavailable(_))
    }
}

/// Checks access tokens. Cheap to clone; when the last clone is gone its tasks end.
///
/// A JWT is checked in memory: signature, issuer, type, `exp`, audience, and that no floor of the log was raised above its `born`. Nothing is
/// awaited, no lock is held for longer than a look-up, and a token that was checked before costs one hash. Only three things are asked
/// over the network:
/// - an opaque token, once, and again when the advice of the answer is over (a revocation ends it at once);
/// - the keys, where a JWT names one that is not known yet;
/// - a JWT while the stream of revocations is cut for longer than jeton's `max_staleness`, where [`Fallback::Introspect`] is chosen.
///
/// What it cannot know it never calls valid: then the answer is [`Refused::Stale`] or [`Refused::Unavailable`].
#[derive(Clone, Debug)]
pub struct Verifier {
    shared: Arc<Shared>,
    _tasks: Arc<JoinSet<()>>,
}

/// What the tasks and the questions share.
#[derive(Debug)]
struct Shared {
    client: Client,
    settings: VerifierSettings,
    keys: KeyRing,
    watched: Watched,
    turns: Turns,
    known: KnownTokens,
    arrivals: Arrivals,
    /// Where nothing is known of revocations.
    nothing: Floors,
}

/// What memory says of a token.
enum Found {
    Judged(Result<Arc<Known>, Refused>),
    /// It is signed with a key that is not known.
    UnknownKey,
    /// Revocations are not known freshly enough.
    Unsure,
    /// Only jeton can tell.
    Opaque,
}

impl Verifier {
    /// Begins to fetch keys and to watch revocations. Returns at once: [`ready`](Self::ready) waits for the first of both.
    ///
    /// Call it within a tokio runtime.
    #[must_use]
    pub fn start(client: Client, settings: VerifierSettings) -> Self {
        let shared = Arc::new(Shared {
            client,
            keys: KeyRing::default(),
            watched: Watched::default(),
            turns: Turns::default(),
            known: KnownTokens::new(settings.max_tokens),
            arrivals: Arrivals::default(),
            nothing: Floors::default(),
            settings,
        });
        let mut tasks = JoinSet::new();
        let keeps = Arc::clone(&shared);
        tasks.spawn(async move { keeps.keys.keep(&keeps.client).await });
        let watches = Arc::clone(&shared);
        tasks.spawn(async move { watch::watch(&watches).await });
        Self { shared, _tasks: Arc::new(tasks) }
    }

    /// Checks an access token for the resource that it was sent to. DPoP proofs and certificates are not checked here: see
    /// [`Said::binding`].
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn verify(&self, token: &str, resource: &str) -> Result<Verified, Refused> {
        let shared = &self.shared;
        let hash = TokenHash::of(token);
        let mut found = shared.find(token, hash, resource);
        if matches!(found, Found::UnknownKey) {
            found = match shared.keys.newer(shared.client.deadline()).await {
                true => shared.find(token, hash, resource),
                false => Found::Unsure,
            };
        }
        let known = match found {
            Found::Judged(judged) => judged,
            Found::UnknownKey => Err(Refused::NotGenuine(NotGenuine::UnknownKey)),
            Found::Unsure if shared.settings.fallback == Fallback::Refuse => Err(Refused::Stale),
            Found::Unsure | Found::Opaque => shared.ask(token, hash, resource).await,
        };
        known.map(|known| Verified(Arc::clone(&known.said)))
    }

    /// Waits until tokens can be checked without asking: keys are there, and revocations are known.
    pub async fn ready(&self) {
        tokio::join!(self.shared.keys.ready(), self.caught_up());
    }

    /// Waits until every revocation is known that was acknowledged before this call: what was revoked is refused from then on.
    pub async fn caught_up(&self) {
        self.shared.turns.after_now().await;
    }

    /// Whether revocations are known freshly enough, for health checks: a service without it answers, as [`Fallback`] says.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        let run = self.shared.settings.clock.run();
        self.shared.watched.read().as_ref().is_some_and(|view| view.is_fresh(run))
    }
}

impl Keys for Shared {
    type Key = PublicKey;

    /// A burnt key is published no more, and not worth a fetch.
    fn by_kid(&self, kid: &str) -> Result<Arc<PublicKey>, NotGenuine> {
        let why = || if self.watched.is_burnt(kid) { NotGenuine::BurntKey } else { NotGenuine::UnknownKey };
        self.keys.now().get(kid).ok_or_else(why)
    }
}

impl Shared {
    /// What memory says.
    fn find(&self, token: &str, hash: TokenHash, resource: &str) -> Found {
        if let Some(known) = self.known.get(&hash)
            && let Some(found) = self.judge(known, resource)
        {
            return found;
        }
        let not_genuine = |why| Found::Judged(Err(Refused::NotGenuine(why)));
        let (kid, claims) = match parse(token) {
            Presented::Opaque(_) => return Found::Opaque,
            Presented::Jws(jws) => match jws::verify(jws, &self.settings.issuer, self) {
                jws::Verified::Access { kid, claims, .. } => (kid, claims),
                jws::Verified::Id { .. } => return not_genuine(NotGenuine::WrongTyp),
                jws::Verified::No(NotGenuine::UnknownKey) => return Found::UnknownKey,
                jws::Verified::No(why) => return not_genuine(why),
            },
            Presented::Numbered(_) | Presented::Device => return not_genuine(NotGenuine::WrongTyp),
            Presented::Unknown => return not_genuine(NotGenuine::Malformed),
        };
        let Some(said) = Said::read(claims) else { return not_genuine(NotGenuine::WrongClaim) };
        let Some((targets, salted)) =
            self.watched.read().as_ref().map(|view| (said.belongs(&kid).targets(&view.salt), view.salted))
        else {
            return Found::Unsure;
        };
        let known = Arc::new(Known::new(Arc::new(said), targets, Proof::Signature { salted }));
        self.known.insert(hash, token, &known);
        self.judge(known, resource).unwrap_or(Found::Unsure)
    }

    /// Judges what was checked, under what is known of revocations. None where its proof holds no more: it must be checked anew.
    fn judge(&self, known: Arc<Known>, resource: &str) -> Option<Found> {
        let (now, run) = (self.settings.clock.now(), self.settings.clock.run());
        let view = self.watched.read();
        let is_certain = match known.proof {
            Proof::Signature { salted } => view.as_ref().filter(|view| view.salted == salted)?.is_fresh(run),
            Proof::Answer { until } if run < until => true,
            Proof::Answer { .. } => return None,
        };
        let judged = known.judge(now, resource, view.as_ref().map_or(&self.nothing, |view| &view.floors));
        drop(view);
        Some(match judged {
            // A floor does not sink and time does not go back: the dead stay dead, however old the knowledge is.
            Err(dead) => Found::Judged(Err(Refused::Dead(dead))),
            Ok(()) if !is_certain => Found::Unsure,
            Ok(()) => {
                if known.is_to_be_told() {
                    self.arrivals.saw(&known.said);
                }
                Found::Judged(Ok(known))
            }
        })
    }

    /// What jeton says.
    async fn ask(&self, token: &str, hash: TokenHash, resource: &str) -> Result<Arc<Known>, Refused> {
        // Nobody in particular would be told of tokens for everybody, and of refresh tokens too.
        if resource.is_empty() {
            return Err(Refused::Dead(Dead::Audience));
        }
        let asked = self.settings.clock.run();
        let answer = self.client.introspect(answer::question(token, resource)).await.map_err(Refused::Unavailable)?;
        let known = Arc::new(answer::read(answer, asked).ok_or(Refused::Inactive)?);
        self.known.insert(hash, token, &known);
        // Something may have been revoked since it was answered.
        let (now, view) = (self.settings.clock.now(), self.watched.read());
        let floors = view.as_ref().map_or(&self.nothing, |view| &view.floors);
        known.judge(now, resource, floors).map_err(Refused::Dead)?;
        drop(view);
        Ok(known)
    }
}

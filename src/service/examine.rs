//! Examining a token: what it is, whether it is proved, and exactly why it is or is not active. Introspect, Explain and
//! Revoke ask the same question here, so that they cannot disagree.

mod look_up;

use crate::service::Service;
use crate::service::explain::{TokenKind, WhyNot};
use crate::service::grants::GrantState;
use crate::service::introspect::Active;
use futures_util::future::try_join_all;
use jeton_domain::access::{self, Asker, Dead, Standing};
use jeton_domain::audience::policies_met;
use jeton_domain::error::{Cause, Ended, Error, RefreshRefusal, Result};
use jeton_domain::floors::Raised;
use jeton_domain::grant::{Grant, Proof};
use jeton_domain::id::{Generation, GrantId, Identity};
use jeton_domain::name::{ClientId, ResourceId};
use jeton_domain::refresh::{Env, Presented as OfGeneration, would_accept};
use jeton_domain::target::Target;
use jeton_domain::time::{Millis, Timestamp};
use jeton_domain::token::{Numbered, NumberedKind};
use serde_json::Map;

/// A token as looked up: its form known, its proof checked, nothing judged yet.
pub(super) enum Looked {
    /// An access token, proved.
    Access(Box<AccessToken>),
    /// A refresh token or a code, proved, with its grant.
    Numbered(Numbered, Box<Grant>),
    /// Nothing to judge: what it is and why it is not active.
    No(TokenKind, Generation, WhyNot, Option<Timestamp>),
}

/// A genuine access token, whatever its format.
pub(super) struct AccessToken {
    kind: TokenKind,
    generation: Generation,
    client: ClientId,
    says: Active,
    grant: Option<Box<Grant>>,
}

impl AccessToken {
    /// The grant whose record ends it; none for a client's own JWT.
    fn record(&self) -> Option<GrantId> {
        self.grant.as_ref().map(|grant| grant.id).or(self.says.grant)
    }
}

/// A token judged.
pub(super) struct Examined {
    pub kind: TokenKind,
    pub generation: Generation,
    pub grant: Option<Grant>,
    /// How its grant is, where that was asked for the verdict.
    pub state: Option<GrantState>,
    pub verdict: Result<Active, (WhyNot, Option<Timestamp>)>,
}

/// What revoking a token ends.
pub(super) struct Revocable {
    pub target: Target,
    pub client: ClientId,
    /// The grant whose record counts its revoked tokens.
    pub record: Option<GrantId>,
}

impl Looked {
    /// What revoking it ends; none where it is over already or never was ours. A grant that expired or was evicted less than
    /// `longest` ago may have access tokens that live; one whose end `may_be_lost` is ended again.
    pub(super) fn revocable(
        self,
        now: Timestamp,
        longest: Millis,
        may_be_lost: impl FnOnce(GrantId) -> bool,
    ) -> Option<Revocable> {
        match self {
            Self::Access(token) if now.secs() < token.says.exp => {
                let record = token.record();
                let AccessToken { client, says, .. } = *token;
                Some(Revocable { target: Target::Token { jti: says.jti }, client, record })
            }
            Self::Numbered(_, grant)
                if now < grant.expires_at().plus(longest)
                    && (grant.ended.is_none_or(|ended| ended.cause == Cause::Evicted) || may_be_lost(grant.id)) =>
            {
                Some(Revocable { target: Target::Grant(grant.id), client: grant.client, record: None })
            }
            Self::Access(_) | Self::Numbered(..) | Self::No(..) => None,
        }
    }
}

impl Service {
    /// What killed it, as the view knows: for who asks why. To judge it is `judge`.
    pub(super) fn killing_of(&self, looked: &Looked) -> Option<Raised> {
        match looked {
            Looked::Access(token) => self.alive.with_floors(|floors| token.says.standing().killing(floors)),
            Looked::Numbered(numbered, grant) => {
                self.root_key_burnt(numbered.key).or_else(|| self.killing(grant, &self.floor_targets(grant)))
            }
            Looked::No(..) => None,
        }
    }

    /// Judges what was looked up, under the view as it is now: catch up before.
    pub(super) async fn judge(&self, looked: Looked, asker: Asker<'_>) -> Result<Examined> {
        match looked {
            Looked::No(kind, generation, why, at) => {
                Ok(Examined { kind, generation, grant: None, state: None, verdict: Err((why, at)) })
            }
            Looked::Access(token) => {
                let record = token.record();
                let AccessToken { kind, generation, says, grant, .. } = *token;
                let ended = grant.as_ref().and_then(|grant| grant.ended);
                let verdict = match self.judge_access(&says.standing(), record, ended, asker).await? {
                    Ok(()) => Ok(says),
                    Err(Dead::Expired) => Err((WhyNot::Expired, Some(Timestamp::from_secs(says.exp)))),
                    Err(Dead::NotYet) => Err((WhyNot::NotYet, None)),
                    Err(Dead::Ended(Ended { at, cause })) => Err((WhyNot::Ended(cause), Some(at))),
                    Err(Dead::Audience) => Err((WhyNot::Audience, None)),
                };
                Ok(Examined { kind, generation, grant: grant.map(|grant| *grant), state: None, verdict })
            }
            Looked::Numbered(numbered, grant) => self.judge_numbered(&numbered, *grant, asker).await,
        }
    }

    /// Whether a genuine access token is active, as `asker` sees it; `ended` is what its grant's record said, where that was read.
    ///
    /// Under a view that does not hold all, the floor records and the grant's record are asked too, and after it.
    pub(super) async fn judge_access(
        &self,
        standing: &Standing<'_>,
        grant: Option<GrantId>,
        mut ended: Option<Ended>,
        asker: Asker<'_>,
    ) -> Result<Result<(), Dead>> {
        let (mut killing, is_whole) = self.alive.with_floors_if_whole(|floors| standing.killing(floors));
        if killing.is_none() && !is_whole {
            let grants: Vec<GrantId> = grant.into_iter().chain(standing.ancestors.iter().filter_map(|one| one.grant)).collect();
            let floors = standing.lives().map(|(targets, born)| self.records.read_killing_floor(targets, born));
            let (floors, known) = tokio::try_join!(try_join_all(floors), self.records.grants(&grants))?;
            killing = floors.into_iter().flatten().next();
            let ends = known.into_iter().flatten().filter_map(|known| known.ended());
            // One that was evicted lets its tokens run out, and hides no end of another.
            ended = ends.max_by_key(|ended| ended.cause != Cause::Evicted).or(ended);
        }
        Ok(access::judge(standing, self.clock.now(), asker, ended, killing))
    }

    async fn judge_numbered(&self, numbered: &Numbered, grant: Grant, asker: Asker<'_>) -> Result<Examined> {
        let kind = if numbered.kind == NumberedKind::Code { TokenKind::Code } else { TokenKind::Refresh };
        let state = self.state(grant).await?;
        self.registry_for(&state.grant.client).await?;
        let verdict = match (self.root_key_burnt(numbered.key), &state.why_not) {
            (Some(raised), _) => Err((WhyNot::Ended(raised.cause()), Some(raised.at))),
            (None, Some(why)) => Err((why.clone(), state.ended_at)),
            (None, None) => self.acceptable(numbered, &state.grant, asker).map(|()| self.refresh_token_says(&state.grant)),
        };
        Ok(Examined { kind, generation: numbered.generation, grant: None, state: Some(state), verdict })
    }

    /// Whether Refresh would accept this generation now.
    fn acceptable(&self, numbered: &Numbered, grant: &Grant, asker: Asker<'_>) -> Result<(), (WhyNot, Option<Timestamp>)> {
        let now = self.clock.now();
        let registry = self.registry();
        let client = registry.client(&grant.client).ok_or((WhyNot::ClientUnknown, None))?;
        let env = Env {
            client,
            resources: registry.resources(),
            revoked: None,
            ring: &self.records.roots().order(),
            identity: Identity([0; 8]),
            overlap: self.terms().overlap,
            proof: &Proof::default(),
        };
        let of = OfGeneration { key: numbered.key, generation: numbered.generation };
        would_accept(now, grant, of, &env).map_err(|refusal| match refusal {
            RefreshRefusal::Ended(cause) => (WhyNot::Ended(cause), None),
            RefreshRefusal::Expired(expiry) => (WhyNot::GrantExpired(expiry), None),
            RefreshRefusal::CodeUsed => (WhyNot::CodeUsed, None),
            RefreshRefusal::Reuse | RefreshRefusal::RetryExpired => (WhyNot::Rotated, None),
            RefreshRefusal::Malformed
            | RefreshRefusal::Unknown
            | RefreshRefusal::OtherClient
            | RefreshRefusal::NotGenuine
            | RefreshRefusal::CodeMismatch
            | RefreshRefusal::WrongProof => (WhyNot::NotGenuine, None),
        })?;
        let asking = match asker {
            Asker::Resource(name) => &vec![ResourceId::parse("resource", name).map_err(|_none| (WhyNot::Audience, None))?],
            Asker::Anyone | Asker::Client { .. } => &grant.resources,
        };
        match policies_met(now, asking, registry.resources(), &grant.sign_in) {
            Ok(()) => Ok(()),
            Err(Error::ReauthenticationRequired(unmet)) => Err((WhyNot::PolicyNotMet(unmet), None)),
            Err(_not_configured) => Err((WhyNot::Audience, None)),
        }
    }

    fn refresh_token_says(&self, grant: &Grant) -> Active {
        Active {
            is_access_token: false,
            scope: grant.scopes.to_string(),
            client_id: grant.client.to_string(),
            exp: grant.expires_at().secs(),
            iat: grant.lineage.handed_at.max(grant.created_at).secs(),
            nbf: None,
            sub: grant.subject.to_string(),
            aud: grant.resources.iter().map(ToString::to_string).collect(),
            iss: self.issuer.to_string(),
            jti: String::new(),
            sid: grant.session.as_ref().map(ToString::to_string),
            acr: grant.sign_in.acr.clone(),
            amr: grant.sign_in.amr.clone(),
            auth_time: grant.sign_in.auth_time.map(Timestamp::secs),
            binding: grant.binding,
            authorization_details: grant.authorization_details.clone(),
            act: None,
            grant: Some(grant.id),
            claims: Map::new(),
            targets: self.targets(grant),
            born: grant.born,
            ancestors: Vec::new(),
        }
    }
}

//! Authorization codes: the login service makes one after sign-in and consent, the client redeems it (RFC 6749 section 4.1).
//!
//! A code is generation 0 of its grant, derived like its refresh tokens; redeeming it is the step from 0 to 1, decided as a refresh is.
//! A grant takes its place in the subject's list when its code is redeemed: until then nobody holds anything of it.

use crate::audit::{Action, Deed};
use crate::records::grants::{Listed, LoadedGrant};
use crate::service::issue::{Issue, Prepared, Tokens};
use crate::service::refresh::Shown;
use crate::service::{Credentials, Durability, Service};
use jeton_domain::client::{Client, GrantType};
use jeton_domain::error::{Error, RefreshRefusal, Result};
use jeton_domain::grant::{Code, Grant};
use jeton_domain::id::GrantId;
use jeton_domain::name::{ClientId, ResourceId, SessionId};
use jeton_domain::pkce::{self, Challenge};
use jeton_domain::redirect::RedirectUri;
use jeton_domain::refresh::Verdict;
use jeton_domain::revision::Revision;
use jeton_domain::scope::Scopes;
use jeton_domain::secret::SecretText;
use jeton_domain::time::Millis;
use jeton_domain::token::{Numbered, NumberedKind, Presented, parse};
use serde_json::Value;

/// What a code is asked for.
#[derive(Clone, Debug)]
pub struct NewCode {
    /// What is issued when it is redeemed.
    pub issue: Issue,
    /// Where it is sent; none: the only place that the client has.
    pub redirect_uri: Option<RedirectUri>,
    /// What its redeemer must know. A public client needs one.
    pub challenge: Option<Challenge>,
    /// The DPoP key that its redeemer must prove (RFC 9449 section 10).
    pub jkt: Option<[u8; 32]>,
}

/// A code.
#[derive(Debug)]
pub struct Coded {
    /// It.
    pub code: SecretText,
    /// For how long it may be redeemed.
    pub expires_in: Millis,
    /// Its grant.
    pub grant: GrantId,
    /// Its session.
    pub session: Option<SessionId>,
    /// What the answer knows.
    pub revision: Revision,
    /// How far its record got.
    pub durability: Durability,
}

/// What is presented to redeem a code.
#[derive(Debug)]
pub struct Redeem {
    /// The code.
    pub code: SecretText,
    /// Who presents it.
    pub client: ClientId,
    /// How it proves who it is.
    pub credentials: Credentials,
    /// The redirect URI that the code was asked for with.
    pub redirect_uri: Option<RedirectUri>,
    /// The PKCE verifier.
    pub verifier: Option<SecretText>,
    /// Narrower resources for the access token; empty: the grant's.
    pub resources: Vec<ResourceId>,
    /// Narrower authorization details for the access token; empty: the grant's.
    pub authorization_details: Vec<Value>,
}

impl Service {
    /// Makes a code.
    ///
    /// # Errors
    /// As Issue; `Invalid` for a redirect URI that is not registered, or a public client without PKCE.
    pub async fn create_code(&self, asked: NewCode) -> Result<Coded> {
        let NewCode { issue, redirect_uri, challenge, jkt } = asked;
        issue.credentials.without_proof()?;
        if issue.method.is_some_and(|method| method != GrantType::AuthorizationCode) {
            return Err(Error::invalid("grant.authentication.method", "must be authorization code, or left out"));
        }
        let issue = Issue { method: Some(GrantType::AuthorizationCode), ..issue };
        let Prepared { client, now, plan, mut grant, session, head, .. } = self.prepare(&issue).await?;
        check_redirect(&client, redirect_uri.as_ref())?;
        if challenge.is_none() && !client.is_confidential() {
            let problem = "must be given: a public client proves by it that the code is its own (RFC 9700 section 2.1.1)";
            return Err(Error::invalid("code_challenge", problem));
        }
        let lifetime = self.terms().code_lifetime;
        if !plan.refreshable {
            grant.idle = lifetime.plus(plan.access.lifetime);
            grant.absolute_end = now.plus(grant.idle);
        }
        let nonce = issue.nonce.map(String::into_boxed_str);
        grant.lineage.newest = 0;
        grant.lineage.code = Some(Code { until: now.plus(lifetime), challenge, redirect_uri, nonce, jkt });
        let mut deed = self
            .deed(Action::CreateCode)
            .map(|deed| deed.client(&grant.client).subject(&grant.subject).grant(Some(grant.id)).session(grant.session.as_ref()));
        let durability = Deed::while_doing(&mut deed, self.write(&grant, &session)).await?;
        let code = self.tokens.authorization_code(&grant, 0, grant.lineage.key)?;
        if let Some(deed) = deed {
            deed.text("scope", &grant.scopes.to_string()).handed_out([&code]).tell();
        }
        Ok(Coded { code, expires_in: lifetime, grant: grant.id, session: grant.session, revision: head, durability })
    }

    /// Redeems a code.
    ///
    /// # Errors
    /// `InvalidClient`, `InvalidDpopProof`, `UseDpopNonce`, `RefreshRefused` (one answer outward), `ReauthenticationRequired`,
    /// `InvalidTarget`, `InvalidAuthorizationDetails`, the store.
    pub async fn redeem_code(&self, asked: Redeem) -> Result<Tokens> {
        let Presented::Numbered(presented @ Numbered { kind: NumberedKind::Code, generation: 0, .. }) =
            parse(asked.code.expose())
        else {
            return Err(Error::RefreshRefused(RefreshRefusal::Malformed));
        };
        let client = &*self.authenticate(&asked.client, &asked.credentials).await?;
        if !client.may(GrantType::AuthorizationCode) {
            return Err(Error::UnauthorizedClient(format!("client `{}` may not use `authorization_code`", client.id)));
        }
        let holder = self.holder(&asked.credentials)?;
        let scopes = Scopes::default();
        let shown = Shown {
            presented,
            client,
            holder: &holder,
            scopes: &scopes,
            resources: &asked.resources,
            details: &asked.authorization_details,
            request_id: None,
            // A redemption that a failover loses would let the code be redeemed again.
            needs: Durability::Replicated,
        };
        let terms = |grant: &Grant| check_terms(grant, client, &asked, holder.proof.jkt);
        let (caught, loaded) = self.load(&shown).await?;
        let surplus = self.list_redeemed(&shown, &loaded, terms).await?;
        let deed = self.deed(Action::RedeemCode);
        let mut deed = deed.map(|deed| deed.client(&client.id).grant(Some(shown.presented.grant)).presented(&asked.code));
        let given = Deed::while_doing(&mut deed, self.decide(&shown, (caught, loaded), terms)).await?;
        if given.out.verdict == Verdict::Next
            && let Err(problem) = self.make_room(&given.grant, &surplus, self.clock.now()).await
        {
            // They stay listed, and whoever comes next ends them. The code is spent: what it gives must not be lost.
            tracing::warn!(grant_id = %given.grant.id, %problem, "grants that had to make room are not ended yet");
        }
        let nonce = given.grant.lineage.code.as_ref().and_then(|code| code.nonce.clone());
        let verdict = given.out.verdict;
        let tokens = self.give(given, client, nonce.as_deref())?;
        if let Some(deed) = deed {
            tokens.told(deed.text("verdict", verdict.word())).tell();
        }
        Ok(tokens)
    }
}

impl Service {
    /// Takes the place of a grant whose code is about to be redeemed, before it is: then whoever is cut off leaves no grant that lives
    /// unlisted. Nothing where the decision will refuse.
    async fn list_redeemed(
        &self,
        shown: &Shown<'_>,
        loaded: &LoadedGrant,
        terms: impl Fn(&Grant) -> Result<()>,
    ) -> Result<Vec<Listed>> {
        let presented = self.presented_grant(loaded.known()?, shown.client, &shown.presented);
        match presented.and_then(|grant| terms(&grant).map(|()| grant)) {
            Ok(grant) if grant.lineage.newest == 0 => self.list(&grant, shown.client).await,
            Ok(_) | Err(Error::RefreshRefused(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// The redirect URI is registered (RFC 6749 section 3.1.2.3, RFC 9700 section 2.1).
fn check_redirect(client: &Client, asked: Option<&RedirectUri>) -> Result<()> {
    let wrong = |problem| Err(Error::invalid("redirect_uri", problem));
    match asked {
        Some(asked) if client.redirect_uris.iter().any(|registered| registered.allows(asked)) => Ok(()),
        Some(_) => wrong("is not among the redirect_uris of the client"),
        None if client.redirect_uris.len() == 1 => Ok(()),
        None => wrong("must be given: the client has not exactly one"),
    }
}

/// What the code was asked for with is what its redeemer shows (RFC 6749 section 4.1.3, RFC 7636 section 4.6, RFC 9449 section 10).
fn check_terms(grant: &Grant, client: &Client, asked: &Redeem, jkt: Option<[u8; 32]>) -> Result<()> {
    let Some(code) = &grant.lineage.code else { return Err(Error::RefreshRefused(RefreshRefusal::NotGenuine)) };
    let is_redirect_right = match (&code.redirect_uri, &asked.redirect_uri) {
        (None, Some(shown)) => client.redirect_uris.iter().any(|registered| registered.allows(shown)),
        (sent_to, shown) => sent_to == shown,
    };
    if !is_redirect_right || !pkce::goes_with(code.challenge.as_ref(), asked.verifier.as_ref().map(SecretText::expose)) {
        return Err(Error::RefreshRefused(RefreshRefusal::CodeMismatch));
    }
    match code.jkt {
        Some(key) if jkt != Some(key) => Err(Error::RefreshRefused(RefreshRefusal::WrongProof)),
        _ => Ok(()),
    }
}

//! Looking a token up: what it is, and whether its tag or signature proves it. Judges nothing.

use super::{AccessToken, Looked};
use crate::records::grants::Known;
use crate::service::Service;
use crate::service::explain::{TokenKind, WhyNot};
use crate::service::hand_out::visible_id;
use crate::service::introspect::Active;
use crate::tokens::{NotGenuine, Tokens, Verified};
use jeton_domain::access::Belongs;
use jeton_domain::claims::Said;
use jeton_domain::details;
use jeton_domain::error::{Cause, Error, Result};
use jeton_domain::id::{GrantId, KeyId};
use jeton_domain::time::Timestamp;
use jeton_domain::token::{Numbered, NumberedKind, Opaque, Presented, parse};
use serde_json::{Map, Value};

impl Service {
    /// Looks one token up. Reads the grant's record where the proof needs it.
    pub(in crate::service) async fn look_up(&self, token: &str) -> Result<Looked> {
        self.look_up_all(&[token]).await?.pop().ok_or_else(|| Error::Internal("one token has one answer".into()))
    }

    /// Looks many tokens up, with one read for all their grants.
    pub(in crate::service) async fn look_up_all(&self, tokens: &[&str]) -> Result<Vec<Looked>> {
        let presented: Vec<Presented<'_>> = tokens.iter().map(|token| parse(token)).collect();
        let ids: Vec<GrantId> = presented.iter().filter_map(needs_grant).collect();
        self.know_root_keys(presented.iter().filter_map(root_key)).await?;
        let mut known = if ids.is_empty() { Vec::new() } else { self.records.grants(&ids).await? }.into_iter();
        let mut learnt = false;
        let mut looked = Vec::with_capacity(tokens.len());
        for presented in presented {
            looked.push(match presented {
                Presented::Numbered(numbered) => self.look_up_numbered(numbered, known.next().flatten())?,
                Presented::Opaque(opaque) => self.look_up_opaque(&opaque, known.next().flatten())?,
                Presented::Jws(jws) => self.look_up_jws(jws, &mut learnt).await?,
                Presented::Device => Looked::No(TokenKind::Device, 0, WhyNot::Foreign, None),
                Presented::Unknown => Looked::No(TokenKind::Unknown, 0, WhyNot::Malformed, None),
            });
        }
        Ok(looked)
    }

    fn look_up_numbered(&self, numbered: Numbered, known: Option<Known>) -> Result<Looked> {
        let kind = match numbered.kind {
            NumberedKind::Refresh => TokenKind::Refresh,
            NumberedKind::Code => TokenKind::Code,
        };
        let no = |why, at| Ok(Looked::No(kind, numbered.generation, why, at));
        match known {
            None => no(WhyNot::Unknown, None),
            Some(Known::OnlyEnded(ended)) => no(WhyNot::Ended(ended.cause), Some(ended.at)),
            Some(Known::Grant(grant)) if self.tokens.prove(&numbered, &grant.nonce)? => Ok(Looked::Numbered(numbered, grant)),
            Some(Known::Grant(_)) => {
                let (why, at) = self.unproved(numbered.key);
                no(why, at)
            }
        }
    }

    fn look_up_opaque(&self, opaque: &Opaque, known: Option<Known>) -> Result<Looked> {
        let no = |why, at| Ok(Looked::No(TokenKind::OpaqueAccess, opaque.generation, why, at));
        let grant = match known {
            None => return no(WhyNot::Unknown, None),
            Some(Known::OnlyEnded(ended)) => return no(WhyNot::Ended(ended.cause), Some(ended.at)),
            Some(Known::Grant(grant)) => grant,
        };
        if !self.tokens.prove_opaque(opaque, &grant.nonce)? {
            let (why, at) = self.unproved(opaque.key);
            return no(why, at);
        }
        let (Some(scope), Some(resources)) = (opaque.scopes(&grant), opaque.resources(&grant)) else {
            return no(WhyNot::NotGenuine, None);
        };
        let mut aud: Vec<String> = resources.iter().map(ToString::to_string).collect();
        if aud.is_empty() {
            aud.push(self.issuer.to_string());
        }
        let jti = self.tokens.jti(visible_id(&grant), opaque.generation, opaque.random, opaque.key)?;
        let belongs = Belongs {
            jti: Some(&jti),
            grant: Some(grant.id),
            session: grant.session.as_ref(),
            subject: grant.user(),
            client: Some(&grant.client),
            kid: None,
            root_key: Some(opaque.key),
        };
        let says = Active {
            is_access_token: true,
            scope: scope.to_string(),
            client_id: grant.client.to_string(),
            exp: opaque.expires_at().secs(),
            iat: opaque.issued_at.secs(),
            nbf: None,
            sub: grant.subject.to_string(),
            aud,
            iss: self.issuer.to_string(),
            targets: belongs.targets(self.alive.salt()),
            jti,
            sid: grant.session.as_ref().map(ToString::to_string),
            acr: grant.sign_in.acr.clone(),
            amr: grant.sign_in.amr.clone(),
            auth_time: grant.sign_in.auth_time.map(Timestamp::secs),
            binding: grant.binding,
            authorization_details: details::of_resources(&grant.authorization_details, &resources, self.registry().resources()),
            act: grant.act.clone(),
            grant: visible_id(&grant),
            claims: grant.access_claims.clone(),
            born: grant.born,
            ancestors: grant.ancestors.clone(),
        };
        Ok(Looked::Access(Box::new(AccessToken {
            kind: TokenKind::OpaqueAccess,
            generation: opaque.generation,
            client: grant.client.clone(),
            says,
            grant: Some(grant),
        })))
    }

    /// Why the tag of a token that names this root key proves nothing.
    fn unproved(&self, key: KeyId) -> (WhyNot, Option<Timestamp>) {
        if self.records.roots().is_burnt(key) {
            return (WhyNot::Ended(Cause::KeyBurnt), self.root_key_burnt(key).map(|raised| raised.at));
        }
        (WhyNot::NotGenuine, None)
    }

    /// `learnt`: whether this request has read the signing keys again already, because a token named one that is not known here.
    async fn look_up_jws(&self, jws: &str, learnt: &mut bool) -> Result<Looked> {
        let mut verified = self.tokens.verify(jws, self.clock.now())?;
        if matches!(verified, Verified::No(NotGenuine::UnknownKey)) && !*learnt {
            self.refresh_keys().await?;
            *learnt = true;
            verified = self.tokens.verify(jws, self.clock.now())?;
        }
        Ok(match verified {
            Verified::Access { kid, claims, .. } => self
                .access_of_claims(&kid, claims)
                .map_or(Looked::No(TokenKind::JwtAccess, 0, WhyNot::Foreign, None), |token| Looked::Access(Box::new(token))),
            Verified::Id { .. } => Looked::No(TokenKind::Id, 0, WhyNot::Foreign, None),
            Verified::No(why) => {
                let why = match why {
                    NotGenuine::Malformed => WhyNot::Malformed,
                    NotGenuine::ForeignIssuer | NotGenuine::WrongTyp => WhyNot::Foreign,
                    NotGenuine::BurntKey => WhyNot::Ended(Cause::KeyBurnt),
                    NotGenuine::UnknownCrit
                    | NotGenuine::UnknownKey
                    | NotGenuine::WrongAlgorithm
                    | NotGenuine::WrongSignature
                    | NotGenuine::WrongClaim => WhyNot::NotGenuine,
                };
                Looked::No(TokenKind::Unknown, 0, why, None)
            }
        })
    }

    /// What a verified JWT says. None where a claim that every access token of ours has is missing or garbled.
    fn access_of_claims(&self, kid: &str, claims: Map<String, Value>) -> Option<AccessToken> {
        let said = Said::read(claims)?;
        let targets = said.belongs(kid).targets(self.alive.salt());
        let says = Active {
            is_access_token: true,
            scope: said.scope,
            client_id: said.client.to_string(),
            exp: said.exp.secs(),
            iat: said.iat.secs(),
            nbf: said.nbf.map(Timestamp::secs),
            sub: said.sub,
            aud: said.aud,
            iss: said.iss,
            jti: said.jti,
            sid: said.session.as_ref().map(ToString::to_string),
            acr: said.acr,
            amr: said.amr,
            auth_time: said.auth_time.map(Timestamp::secs),
            binding: said.binding,
            authorization_details: said.authorization_details,
            act: said.act,
            grant: said.grant,
            claims: said.extra,
            targets,
            born: said.born,
            ancestors: said.ancestors,
        };
        let generation = Tokens::generation_of(&says.jti);
        Some(AccessToken { kind: TokenKind::JwtAccess, generation, client: said.client, says, grant: None })
    }
}

const fn root_key(presented: &Presented<'_>) -> Option<KeyId> {
    match presented {
        Presented::Numbered(numbered) => Some(numbered.key),
        Presented::Opaque(opaque) => Some(opaque.key),
        Presented::Jws(_) | Presented::Device | Presented::Unknown => None,
    }
}

const fn needs_grant(presented: &Presented<'_>) -> Option<GrantId> {
    match presented {
        Presented::Numbered(numbered) => Some(numbered.grant),
        Presented::Opaque(opaque) => Some(opaque.grant),
        Presented::Jws(_) | Presented::Device | Presented::Unknown => None,
    }
}

//! `jeton.v1.KeyService`: public keys and their schedule.

use super::fields::{Fields, signed};
use super::{Api, allow, api, parsed, refused, status};
use crate::service::keys::{KeyState, KeyStatus};
use crate::transport::caller::Permission;
use api::key_service_server::KeyService;
use jeton_domain::client::Algorithm;
use jeton_domain::error::Error;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl KeyService for Api {
    async fn get_jwks(&self, request: Request<api::GetJwksRequest>) -> Result<Response<api::GetJwksResponse>, Status> {
        allow(&request, Permission::ReadKeys).map_err(status::of)?;
        let (jwks, max_age) = self.service.jwks();
        Ok(Response::new(api::GetJwksResponse {
            keys: jwks.keys.iter().filter_map(public).collect(),
            max_age: signed(max_age.secs()),
        }))
    }

    async fn list_keys(&self, request: Request<api::ListKeysRequest>) -> Result<Response<api::ListKeysResponse>, Status> {
        allow(&request, Permission::ReadKeys).map_err(status::of)?;
        let keys = self.service.list_keys().await.map_err(refused)?;
        Ok(Response::new(api::ListKeysResponse { keys: keys.into_iter().map(scheduled).collect() }))
    }

    async fn rotate_key(&self, request: Request<api::RotateKeyRequest>) -> Result<Response<api::RotateKeyResponse>, Status> {
        let read = allow(&request, Permission::RotateKeys).and_then(|_caller| {
            let word = request.into_inner().alg;
            let mut fields = Fields::default();
            let algorithm =
                fields.get(Algorithm::parse(&word).ok_or_else(|| Error::invalid("alg", "must be `EdDSA`, `ES256` or `RS256`")));
            fields.done().and_then(|()| parsed(algorithm))
        });
        let algorithm = read.map_err(status::of)?;
        let (active, standby) = self.service.rotate_key(algorithm).await.map_err(refused)?;
        Ok(Response::new(api::RotateKeyResponse { active: Some(scheduled(active)), standby: standby.map(scheduled) }))
    }
}

/// None for a kind of key that we never make.
fn public(jwk: &Jwk) -> Option<api::JsonWebKey> {
    let curve = |curve: &EllipticCurve| match curve {
        EllipticCurve::Ed25519 => Some("Ed25519".to_owned()),
        EllipticCurve::P256 => Some("P-256".to_owned()),
        _ => None,
    };
    let key = api::JsonWebKey {
        r#use: jwk.common.public_key_use.as_ref().filter(|usage| **usage == PublicKeyUse::Signature).map_or("", |_| "sig").into(),
        alg: jwk.common.key_algorithm.map(|algorithm| algorithm.to_string()).unwrap_or_default(),
        kid: jwk.common.key_id.clone().unwrap_or_default(),
        ..api::JsonWebKey::default()
    };
    Some(match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(of) => {
            api::JsonWebKey { kty: "OKP".into(), crv: curve(&of.curve)?, x: of.x.clone(), ..key }
        }
        AlgorithmParameters::EllipticCurve(of) => {
            api::JsonWebKey { kty: "EC".into(), crv: curve(&of.curve)?, x: of.x.clone(), y: of.y.clone(), ..key }
        }
        AlgorithmParameters::RSA(of) => api::JsonWebKey { kty: "RSA".into(), n: of.n.clone(), e: of.e.clone(), ..key },
        _ => return None,
    })
}

fn scheduled(key: KeyStatus) -> api::SigningKey {
    let state = match key.state {
        KeyState::Standby => api::KeyState::Standby,
        KeyState::Active => api::KeyState::Active,
        KeyState::Retired => api::KeyState::Retired,
        KeyState::Burnt => api::KeyState::Burnt,
    };
    api::SigningKey {
        kid: key.kid,
        alg: key.algorithm.word().into(),
        state: state.into(),
        created_at: signed(key.created_at.secs()),
        activates_at: signed(key.activates_at.secs()),
        retires_at: key.retires_at.map_or(0, |at| signed(at.secs())),
        removed_at: key.removed_at.map_or(0, |at| signed(at.secs())),
    }
}

//! `jeton.v1.KeyService`: public keys and their schedule.

use super::fields::{Fields, signed};
use super::{Api, api, parsed, refused, status};
use crate::service::keys::{KeyState, KeyStatus};
use crate::transport::caller::Permission;
use api::key_service_server::KeyService;
use jeton_domain::client::Algorithm;
use jeton_domain::error::Error;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl KeyService for Api {
    async fn get_jwks(&self, _request: Request<api::GetJwksRequest>) -> Result<Response<api::GetJwksResponse>, Status> {
        self.allow(Permission::ReadKeys).map_err(status::of)?;
        let (jwks, max_age) = self.service.jwks();
        Ok(Response::new(api::GetJwksResponse {
            keys: jwks.keys.iter().filter_map(public).collect(),
            max_age: signed(max_age.secs()),
        }))
    }

    async fn list_keys(&self, _request: Request<api::ListKeysRequest>) -> Result<Response<api::ListKeysResponse>, Status> {
        self.allow(Permission::ReadKeys).map_err(status::of)?;
        let keys = self.service.list_keys().await.map_err(refused)?;
        Ok(Response::new(api::ListKeysResponse { keys: keys.into_iter().map(scheduled).collect() }))
    }

    async fn rotate_key(&self, request: Request<api::RotateKeyRequest>) -> Result<Response<api::RotateKeyResponse>, Status> {
        let read = self.allow(Permission::RotateKeys).and_then(|()| {
            let word = request.into_inner().alg;
            let mut fields = Fields::default();
            let algorithm =
                fields.get(Algorithm::parse(&word).ok_or_else(|| Error::invalid("alg", "must be `EdDSA` or `ES256`")));
            fields.done().and_then(|()| parsed(algorithm))
        });
        let algorithm = read.map_err(status::of)?;
        let (active, standby) = self.service.rotate_key(algorithm).await.map_err(refused)?;
        Ok(Response::new(api::RotateKeyResponse { active: Some(scheduled(active)), standby: standby.map(scheduled) }))
    }
}

/// None for a kind of key that we never make.
fn public(jwk: &Jwk) -> Option<api::JsonWebKey> {
    let (kty, curve, x, y) = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(key) => ("OKP", &key.curve, &key.x, ""),
        AlgorithmParameters::EllipticCurve(key) => ("EC", &key.curve, &key.x, key.y.as_str()),
        _ => return None,
    };
    let crv = match curve {
        EllipticCurve::Ed25519 => "Ed25519",
        EllipticCurve::P256 => "P-256",
        _ => return None,
    };
    let signs = matches!(jwk.common.public_key_use, Some(PublicKeyUse::Signature));
    Some(api::JsonWebKey {
        kty: kty.into(),
        r#use: if signs { "sig".into() } else { String::new() },
        alg: jwk.common.key_algorithm.map(|algorithm| algorithm.to_string()).unwrap_or_default(),
        kid: jwk.common.key_id.clone().unwrap_or_default(),
        crv: crv.into(),
        x: x.clone(),
        y: y.into(),
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

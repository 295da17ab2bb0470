//! A public client that always rotates, a grant of it, and what the decisions rest on: what tests vary from.

use jeton_domain::client::{Algorithm, Client, ClientKind, GrantType, MutualTls, ReusePolicy, Rotation};
use jeton_domain::grant::{Grant, Lineage, Proof, SignIn};
use jeton_domain::id::{Generation, GrantId, Identity, KeyId};
use jeton_domain::name::{ClientId, ResourceId, Subject};
use jeton_domain::policy::AuthenticationPolicy;
use jeton_domain::refresh::{Env, Presented};
use jeton_domain::resource::{Resource, Resources, TokenFormat};
use jeton_domain::revision::Born;
use jeton_domain::ring::RingOrder;
use jeton_domain::scope::Scopes;
use jeton_domain::secret::Secret;
use jeton_domain::time::{Millis, Timestamp};
use serde_json::Map;

pub const OLD_KEY: KeyId = KeyId([1; 4]);
pub const KEY: KeyId = KeyId([2; 4]);
pub const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub const OVERLAP: Millis = Millis::from_secs(10);
pub const DAY: Millis = Millis::from_secs(86_400);

pub struct World {
    pub client: Client,
    pub resources: Resources,
    pub ring: RingOrder,
    pub identity: Identity,
    pub proof: Proof,
}

impl World {
    pub fn new() -> Self {
        Self {
            client: client(),
            resources: Resources::new(vec![
                resource("https://orders", "orders:read orders:write"),
                resource("https://pay", "pay"),
            ]),
            ring: RingOrder::new(KEY, vec![(OLD_KEY, 1), (KEY, 2)]),
            identity: primary(1),
            proof: Proof::default(),
        }
    }

    pub fn env(&self) -> Env<'_> {
        Env {
            client: &self.client,
            resources: &self.resources,
            revoked: None,
            ring: &self.ring,
            identity: self.identity,
            overlap: OVERLAP,
            proof: &self.proof,
        }
    }
}

pub fn primary(number: u8) -> Identity {
    Identity([number; 8])
}

pub fn presented(generation: Generation) -> Presented {
    Presented { key: KEY, generation }
}

pub fn scopes(text: &str) -> Scopes {
    Scopes::parse("scope", text).unwrap()
}

pub fn resource_id(text: &str) -> ResourceId {
    ResourceId::parse("resource", text).unwrap()
}

pub fn resource(id: &str, owns: &str) -> Resource {
    Resource {
        id: resource_id(id),
        scopes: scopes(owns),
        details_types: Vec::new(),
        format: TokenFormat::Jwt,
        algorithm: Algorithm::EdDsa,
        access_token_lifetime: Millis::from_secs(300),
        policy: AuthenticationPolicy::default(),
    }
}

pub fn client() -> Client {
    Client {
        id: ClientId::parse("client_id", "mobile-app").unwrap(),
        kind: ClientKind::Public,
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        scopes: scopes("openid offline_access orders:read orders:write pay"),
        resources: vec![resource_id("https://orders"), resource_id("https://pay")],
        details_types: Vec::new(),
        redirect_uris: Vec::new(),
        serves: Vec::new(),
        impersonates: false,
        idle_lifetime: DAY,
        absolute_lifetime: Millis::from_secs(30 * 86_400),
        rotation: Rotation::Always,
        reuse: ReusePolicy::EndGrant,
        grants_per_subject: 10,
        id_token_algorithm: Algorithm::EdDsa,
        id_token_lifetime: Millis::from_secs(300),
        mutual_tls: MutualTls::default(),
        backchannel_logout_uri: None,
    }
}

/// As Issue makes it, an hour before `NOW`: generation 1, not yet presented.
pub fn grant() -> Grant {
    let created_at = NOW.minus(Millis::from_secs(3_600));
    Grant {
        id: GrantId([7; 16]),
        subject: Subject::parse("subject", "alice").unwrap(),
        client: ClientId::parse("client_id", "mobile-app").unwrap(),
        session: None,
        scopes: scopes("openid offline_access orders:read orders:write pay"),
        resources: vec![resource_id("https://orders"), resource_id("https://pay")],
        sign_in: SignIn { auth_time: Some(created_at), acr: None, amr: vec!["pwd".into()], method: GrantType::AuthorizationCode },
        binding: None,
        born: Born(1),
        created_at,
        idle: DAY,
        absolute_end: created_at.plus(Millis::from_secs(30 * 86_400)),
        nonce: Secret::new([9; 16]),
        lineage: Lineage {
            refreshable: true,
            newest: 1,
            parent: 0,
            arrived: 0,
            reported: 0,
            handed_at: Timestamp::NEVER,
            used_at: created_at,
            key: KEY,
            key_since: 0,
            request: None,
            identity: primary(1),
            code: None,
        },
        ended: None,
        authorization_details: Vec::new(),
        access_claims: Map::new(),
        id_claims: Map::new(),
        tokens_revoked: 0,
        act: None,
        ancestors: Vec::new(),
    }
}

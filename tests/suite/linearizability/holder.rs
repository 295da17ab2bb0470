//! Who holds the refresh tokens of a grant: what he proves with each refresh, and what somebody shows who cannot. Nothing is judged here.

use super::dice::Dice;
use crate::rfc::proof::Prover;
use crate::world::{SCOPES, alice, mobile, secret, web};
use jeton::api::{ClientAuthentication, Confirmation, IssueRequest, RefreshRequest};

/// Of a certificate, and of another.
const CERTIFICATES: [&str; 2] = ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "EEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEE"];

pub enum Holder {
    /// Whoever has them.
    Anybody,
    /// Who has the key that they are bound to; and another key.
    Key(Box<[Prover; 2]>),
    /// Who has the certificate.
    Certificate,
    /// A confidential client.
    Client,
}

impl Holder {
    /// One of those who prove themselves.
    pub fn proved(dice: &mut Dice) -> Self {
        match dice.below(3) {
            0 => Self::Key(Box::new([Prover::new(), Prover::ed25519()])),
            1 => Self::Certificate,
            _ => Self::Client,
        }
    }

    pub fn issue(&self, sub: &str) -> IssueRequest {
        let client = if matches!(self, Self::Client) { "web-app" } else { "mobile-app" };
        let cnf = match self {
            Self::Anybody | Self::Client => None,
            Self::Key(keys) => Some(Confirmation { jkt: keys[0].jkt(), ..Default::default() }),
            Self::Certificate => Some(Confirmation { x5t_s256: CERTIFICATES[0].into(), ..Default::default() }),
        };
        IssueRequest { sub: sub.into(), cnf, ..alice(client, SCOPES) }
    }

    /// A refresh by the holder, at that time.
    pub fn refresh(&self, token: &str, now: i64) -> RefreshRequest {
        match self {
            Self::Anybody => mobile(token),
            Self::Key(keys) => with_proof(token, &keys[0], now),
            Self::Certificate => with_certificate(token, CERTIFICATES[0]),
            Self::Client => web(token),
        }
    }

    /// A refresh by somebody else, who has the token.
    pub fn unproved(&self, token: &str, now: i64, shows_another: bool) -> RefreshRequest {
        let bare = RefreshRequest { client_authentication: None, ..self.refresh(token, now) };
        match self {
            _ if !shows_another => bare,
            Self::Anybody => unreachable!("what nobody proves"),
            Self::Key(keys) => with_proof(token, &keys[1], now),
            Self::Certificate => with_certificate(token, CERTIFICATES[1]),
            Self::Client => RefreshRequest { client_authentication: secret("jcs_wrong"), ..bare },
        }
    }
}

fn with_proof(token: &str, key: &Prover, now: i64) -> RefreshRequest {
    let client_authentication = Some(ClientAuthentication { dpop_proof: key.proof(now).signed(), ..Default::default() });
    RefreshRequest { client_authentication, ..mobile(token) }
}

fn with_certificate(token: &str, certificate: &str) -> RefreshRequest {
    let client_authentication = Some(ClientAuthentication { certificate_thumbprint: certificate.into(), ..Default::default() });
    RefreshRequest { client_authentication, ..mobile(token) }
}

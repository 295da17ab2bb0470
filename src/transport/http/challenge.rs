//! How an access token is shown: in the header Authorization, as a bearer token (RFC 6750 section 2.1) or with a DPoP proof (RFC 9449
//! section 7.1); and how who shows none, or a wrong one, is told.
//!
//! Must not live here: whether the token is right.

use super::answer::{described, insert, never_stored, refusal};
use super::token::dpop_proof;
use crate::transport::fault::{Fault, Reason};
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, StatusCode};
use jeton_domain::dpop;
use jeton_domain::error::Error;
use jeton_domain::secret::SecretText;

/// What a challenge says that is missing (RFC 6750 section 3, RFC 9470 section 3); `amr_values` is ours.
const MISSING: [&str; 4] = ["scope", "acr_values", "amr_values", "max_age"];

/// The header by which a DPoP proof comes (RFC 9449 section 4.1).
pub const DPOP: HeaderName = HeaderName::from_static("dpop");

/// The scheme of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 6750.
    Bearer,
    /// RFC 9449.
    Dpop,
}

/// What a request shows.
pub struct Presented {
    /// The access token.
    pub token: SecretText,
    /// The DPoP proof; none where the token is shown as a bearer token.
    pub dpop: Option<SecretText>,
}

/// The access token of a request, with its proof; none where none is shown.
///
/// # Errors
/// `invalid_request` where there are two tokens, `invalid_dpop_proof` where there is not one proof.
pub fn presented(headers: &HeaderMap) -> Result<Option<Presented>, Fault> {
    let Some((scheme, token)) = shown(headers)? else { return Ok(None) };
    let dpop = match scheme {
        // A bearer token needs no proof, so none that comes with it is looked at.
        Scheme::Bearer => None,
        Scheme::Dpop => Some(dpop_proof(headers)?.ok_or(Error::InvalidDpopProof(dpop::Refusal::NotOne))?),
    };
    Ok(Some(Presented { token, dpop }))
}

/// The access token of a request, and how it is shown; none where none is.
///
/// # Errors
/// `invalid_request` where there are two.
fn shown(headers: &HeaderMap) -> Result<Option<(Scheme, SecretText)>, Fault> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let Some(one) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(Fault::of(&Error::invalid("authorization", "is given more than once")));
    }
    let Some((word, token)) = one.to_str().ok().and_then(|text| text.split_once(' ')) else { return Ok(None) };
    let scheme = [Scheme::Bearer, Scheme::Dpop].into_iter().find(|scheme| scheme.word().eq_ignore_ascii_case(word));
    Ok(scheme.map(|scheme| (scheme, SecretText::new(token.trim().to_owned()))))
}

/// That an access token is to be shown: none was, so there is no word for what is wrong with it (RFC 6750 section 3.1).
pub fn challenge() -> Response {
    let mut answer = StatusCode::UNAUTHORIZED.into_response();
    never_stored(answer.headers_mut());
    insert(answer.headers_mut(), WWW_AUTHENTICATE, &format!("{}, {}", Scheme::Bearer.challenge(), Scheme::Dpop.challenge()));
    answer
}

/// A refusal where an access token is shown: that of any endpoint, and the challenge of the scheme that was tried (RFC 6750 section 3, RFC
/// 9449 section 7.1, RFC 9470 section 3).
pub fn refusal_of(fault: &Fault, scheme: Scheme) -> Response {
    let mut answer = refusal(fault);
    match fault.reason {
        Reason::AccessTokenRefused | Reason::InsufficientScope => {}
        // Here the token is not accepted without a right proof or sign-in; at the token endpoint the request is wrong.
        Reason::InvalidDpopProof | Reason::UseDpopNonce | Reason::ReauthenticationRequired => {
            *answer.status_mut() = StatusCode::UNAUTHORIZED
        }
        _ => return answer,
    }
    let mut challenge = format!("{}, error=\"{}\"", scheme.challenge(), fault.row().oauth);
    for (name, value) in fault.metadata.iter().filter(|(name, _)| MISSING.contains(name)) {
        challenge.push_str(&format!(", {name}=\"{}\"", described(value)));
    }
    insert(answer.headers_mut(), WWW_AUTHENTICATE, &challenge);
    answer
}

impl Scheme {
    /// That of a request.
    pub fn of(headers: &HeaderMap) -> Self {
        shown(headers).ok().flatten().map_or(Self::Bearer, |(scheme, _)| scheme)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => "DPoP",
        }
    }

    fn challenge(self) -> String {
        match self {
            Self::Bearer => "Bearer realm=\"jeton\"".to_owned(),
            Self::Dpop => format!("DPoP realm=\"jeton\", algs=\"{}\"", dpop::ALGORITHMS.join(" ")),
        }
    }
}

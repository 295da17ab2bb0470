//! What comes through a gateway: a request, and what its route demands of the access token that comes with it.
//!
//! Must not live here: how gateways tell it (transport), whether the token is genuine and alive.

use crate::client::GrantType;
use crate::error::{Error, Result};
use crate::grant::SignIn;
use crate::name::ResourceId;
use crate::policy::AuthenticationPolicy;
use crate::scope::Scopes;
use crate::time::{Millis, Timestamp};
use std::borrow::Cow;
use std::fmt::Write as _;

/// The longest part of a request that is looked at, in bytes.
const MAX_BYTES: usize = 16 * 1024;
/// The longest list of `acr` values, in bytes.
const MAX_ACR_BYTES: usize = 1_024;
/// RFC 6750 section 2.3.
const TOKEN_PARAMETER: &str = "access_token";

/// What a route demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The resource behind it, for which the token must be.
    pub resource: ResourceId,
    /// All of these scopes.
    pub scopes: Scopes,
    /// How the user must have signed in.
    pub policy: AuthenticationPolicy,
    /// Scheme and host that clients know the gateway by, for DPoP proofs; none: those of the request.
    pub origin: Option<String>,
    /// Whether the service behind is shown a short-lived JWT instead of the token.
    pub phantom: bool,
}

impl Demand {
    /// Reads demands by their names; `place` is what an error puts before them. What is not known is refused, for a demand that is not
    /// understood would not be met by anybody. An empty value is as none.
    ///
    /// # Errors
    /// `Invalid`, `InvalidScope`, `InvalidTarget`, naming the demand; `Invalid` where there is no `resource`.
    pub fn read<'a>(place: &str, given: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let (mut resource, mut scopes, mut policy) = (None, Scopes::default(), AuthenticationPolicy::default());
        let (mut origin, mut phantom) = (None, false);
        for (name, value) in given.into_iter().filter(|(_, value)| !value.is_empty()) {
            let field = format!("{place}{name}");
            match name {
                "resource" if resource.is_some() => return Err(Error::invalid(&field, "is given more than once")),
                "resource" => resource = Some(ResourceId::parse(&field, value)?),
                "scope" => scopes = Scopes::parse(&field, value)?,
                "acr" => policy.acr_values = acr_values(&field, value)?,
                "max_age" => policy.max_age = Some(max_age(&field, value)?),
                "origin" => origin = Some(sound_origin(&field, value)?),
                "phantom" => phantom = switch(&field, value)?,
                _ => {
                    let problem = "is no demand: there are resource, scope, acr, max_age, origin, phantom";
                    return Err(Error::invalid(&field, problem));
                }
            }
        }
        let missing = || Error::invalid(&format!("{place}resource"), "must name the resource that the route leads to");
        Ok(Self { resource: resource.ok_or_else(missing)?, scopes, policy, origin, phantom })
    }

    /// Whether a token of these scopes, from this sign-in, may pass at `now`. Unlike the policy of a resource a demand on the sign-in
    /// is met by a user only: a client that acts by itself has not signed in.
    ///
    /// # Errors
    /// `InsufficientScope` with all scopes that are demanded; `ReauthenticationRequired` with what is missing.
    pub fn met_by(&self, scope: &str, sign_in: &SignIn, now: Timestamp) -> Result<()> {
        let has = |demanded: &str| scope.split(' ').any(|held| held == demanded);
        if !self.scopes.iter().all(has) {
            return Err(Error::InsufficientScope(self.scopes.to_string()));
        }
        if self.policy == AuthenticationPolicy::default() {
            return Ok(());
        }
        self.policy.check(&self.resource, &SignIn { method: GrantType::AuthorizationCode, ..sign_in.clone() }, now)
    }
}

fn acr_values(field: &str, value: &str) -> Result<Vec<String>> {
    if value.len() > MAX_ACR_BYTES || !value.bytes().all(|b| matches!(b, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~')) {
        return Err(Error::invalid(field, "must be `acr` values with a space between, of printable ASCII without \" and \\"));
    }
    Ok(value.split(' ').filter(|acr| !acr.is_empty()).map(str::to_owned).collect())
}

fn max_age(field: &str, value: &str) -> Result<Millis> {
    let digits = (1..=9).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    let seconds = if digits { value.parse().ok() } else { None };
    seconds.map(Millis::from_secs).ok_or_else(|| Error::invalid(field, "must be whole seconds, such as 300"))
}

fn sound_origin(field: &str, value: &str) -> Result<String> {
    let host = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    match host {
        Some(host) if is_host(host) => Ok(value.to_owned()),
        _ => Err(Error::invalid(field, "must be scheme and host alone, such as https://api.example.com")),
    }
}

fn switch(field: &str, value: &str) -> Result<bool> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Error::invalid(field, "must be true or false")),
    }
}

/// A request as the gateway got it. Not printable: its path may hold a token that does not belong there.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    method: &'a str,
    scheme: &'a str,
    host: &'a str,
    target: &'a str,
}

impl<'a> Asked<'a> {
    /// `target` is the path with its query.
    ///
    /// # Errors
    /// `Invalid`: what no request is made of, too long, or a token in the query (RFC 6750 section 2.3, RFC 9700 section 4.3.2).
    pub fn new(method: &'a str, scheme: &'a str, host: &'a str, target: &'a str) -> Result<Self> {
        if method.is_empty() || method.len() > 32 || !method.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(Error::invalid("method", "is no method of HTTP"));
        }
        // Otherwise it could hold the host that a proof is for, and the host the rest of it. Where it is none, such as the list that a chain
        // of proxies makes, no proof is for this request, and nobody else asks for it.
        let is_scheme = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        let scheme = if is_scheme { scheme } else { "" };
        if !host.is_empty() && !is_host(host) {
            return Err(Error::invalid("host", "is no host"));
        }
        if !target.starts_with('/') || target.len() > MAX_BYTES || target.chars().any(|c| c.is_control() || c == ' ') {
            return Err(Error::invalid("path", "is no path of a request"));
        }
        if has_token(target) {
            let problem = "belongs into the header Authorization, and nowhere else (RFC 6750 section 2.1)";
            return Err(Error::invalid(TOKEN_PARAMETER, problem));
        }
        Ok(Self { method, scheme, host, target })
    }

    /// Its method.
    #[must_use]
    pub const fn method(&self) -> &'a str {
        self.method
    }

    /// The URI that a DPoP proof must be made for: under `origin`, where the route says what clients know it by.
    #[must_use]
    pub fn uri(&self, origin: Option<&str>) -> String {
        match origin {
            Some(origin) => format!("{origin}{}", self.target),
            None => format!("{}://{}{}", self.scheme, self.host, self.target),
        }
    }
}

/// Letters, digits, what addresses are written with, and a port.
fn is_host(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    (1..=261).contains(&text.len()) && text.bytes().all(allowed)
}

/// Whether a query has the parameter by which a token is shown, however it is spelt.
fn has_token(target: &str) -> bool {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    query
        .split(['&', ';', '?', '#'])
        .any(|pair| unescaped(pair.split('=').next().unwrap_or_default()).eq_ignore_ascii_case(TOKEN_PARAMETER.as_bytes()))
}

/// Without percent-encoding; what is none stays.
fn unescaped(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
    let (mut plain, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [byte, after @ ..] = rest {
        match (byte, digit(after.first()), digit(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                plain.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                plain.push(*byte);
                rest = after;
            }
        }
    }
    plain
}

/// A text as it is told in a header: visible ASCII stays, all else and `%` is percent-encoded, so that no text ends a header, is cut, or
/// is taken for another one.
#[must_use]
pub fn in_header(text: &str) -> Cow<'_, str> {
    let stays = |b: u8| b.is_ascii_graphic() && b != b'%';
    if text.bytes().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len().saturating_mul(3));
    for byte in text.bytes() {
        if stays(byte) {
            written.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            _ = write!(written, "%{byte:02X}");
        }
    }
    Cow::Owned(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: (&str, &str) = ("resource", "https://orders.internal");

    fn read(given: &[(&'static str, &'static str)]) -> Result<Demand> {
        Demand::read("route.", [&[ORDERS], given].concat())
    }

    fn user(acr: Option<&str>, auth_time: Option<u64>) -> SignIn {
        let acr = acr.map(str::to_owned);
        let method = GrantType::AuthorizationCode;
        SignIn { auth_time: auth_time.map(Timestamp::from_secs), acr, amr: Vec::new(), method }
    }

    #[test]
    fn a_demand_that_is_not_understood_is_refused_by_its_name() {
        for (name, value) in [
            ("scopes", "orders:read"),
            ("Scope", "orders:read"),
            ("scope", "a\"b"),
            ("resource", "orders"),
            ("acr", "gold\n"),
            ("max_age", "5m"),
            ("max_age", "-1"),
            ("max_age", "+1"),
            ("max_age", "9999999999"),
            ("phantom", "yes"),
            ("origin", "api.example.com"),
            ("origin", "https://api.example.com/v1"),
            ("origin", "https://user@api.example.com"),
        ] {
            let told = read(&[(name, value)]).unwrap_err().to_string();
            assert!(told.starts_with(&format!("`route.{name}` ")), "{name}={value}: {told}");
        }
        assert!(Demand::read("", [("scope", "orders:read")]).unwrap_err().to_string().starts_with("`resource` "));
        assert!(Demand::read("", [("resource", "")]).is_err());
        assert_eq!(read(&[("acr", ""), ("scope", "")]), read(&[]));
    }

    #[test]
    fn all_scopes_are_demanded_and_told() {
        let demand = read(&[("scope", "orders:read orders:write")]).unwrap();
        let met = |scope: &str| demand.met_by(scope, &user(None, None), Timestamp::from_secs(0));
        assert_eq!(met("openid orders:write orders:read"), Ok(()));
        for less in ["", "orders:read", "orders:read orders:writes", "orders:read,orders:write"] {
            assert_eq!(met(less), Err(Error::InsufficientScope("orders:read orders:write".into())), "{less}");
        }
    }

    #[test]
    fn a_sign_in_is_demanded_of_a_user_and_no_client_has_one() {
        let demand = read(&[("acr", "gold silver"), ("max_age", "60")]).unwrap();
        let met = |sign_in: &SignIn| demand.met_by("", sign_in, Timestamp::from_secs(100));
        assert_eq!(met(&user(Some("silver"), Some(40))), Ok(()));
        let client = SignIn { method: GrantType::ClientCredentials, ..user(None, None) };
        for lacks in [
            user(Some("bronze"), Some(40)),
            user(None, Some(100)),
            user(Some("gold"), Some(39)),
            user(Some("gold"), None),
            client,
        ] {
            assert!(matches!(met(&lacks), Err(Error::ReauthenticationRequired(_))), "{lacks:?}");
        }
    }

    #[test]
    fn a_token_in_the_query_is_found_however_it_is_spelt() {
        for query in [
            "access_token=x",
            "a=b&access_token=x",
            "access_token",
            "ACCESS_TOKEN=x",
            "%61ccess%5Ftoken=x",
            "a;access_token=x",
            "?access_token=x",
        ] {
            assert!(Asked::new("GET", "https", "h", &format!("/orders?{query}")).is_err(), "{query}");
        }
        for other in ["/access_token=x", "/a?b=access_token", "/a?access_tokens=x", "/a?%6", "/a?%zz=1&b", "/a"] {
            assert!(Asked::new("GET", "https", "h", other).is_ok(), "{other}");
        }
    }

    #[test]
    fn what_no_request_is_made_of_is_refused() {
        for (method, host, target) in [
            ("", "h", "/"),
            ("GET ", "h", "/"),
            ("GET\r\nX: y", "h", "/"),
            ("GET", "h/evil?", "/"),
            ("GET", "user@h", "/"),
            ("GET", "h\0", "/"),
            ("GET", "h", ""),
            ("GET", "h", "*"),
            ("GET", "h", "//evil\r\nX: y"),
            ("GET", "h", "/a\0"),
            ("GET", "h", "https://h/"),
        ] {
            assert!(Asked::new(method, "https", host, target).is_err(), "{method:?} {host:?} {target:?}");
        }
        let asked = Asked::new("GET", "https", "h:8443", "//a?b=1").unwrap();
        assert_eq!(
            (asked.uri(None), asked.uri(Some("https://api"))),
            ("https://h:8443//a?b=1".into(), "https://api//a?b=1".into())
        );
    }

    #[test]
    fn a_scheme_is_no_place_for_another_host() {
        let uri = |scheme| Asked::new("GET", scheme, "b.example.com", "/").unwrap().uri(None);
        for scheme in ["https://a.example.com/x?y=", "https:", "https, http", "http s", "https\n", ""] {
            assert_eq!(uri(scheme), "://b.example.com/", "{scheme:?}");
        }
        assert_eq!(uri("http"), "http://b.example.com/");
        assert_eq!(uri("HTTPS"), "HTTPS://b.example.com/");
    }

    #[test]
    fn no_text_leaves_its_header() {
        assert_eq!(in_header("alice@example.com"), "alice@example.com");
        assert_eq!(in_header(" a%b\r\nX: y\0ä "), "%20a%25b%0D%0AX:%20y%00%C3%A4%20");
    }
}

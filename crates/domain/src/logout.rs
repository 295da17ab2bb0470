//! Back-channel logout (OpenID Connect Back-Channel Logout 1.0): what a client is told, what its answer means, when it is told again.

use crate::time::Millis;
use serde::Serialize;

/// How long a logout token is valid: it is made anew for each attempt.
pub const LIFETIME: Millis = Millis::from_secs(120);
/// For so long after its session ended a client that cannot be told is tried again.
pub const GIVE_UP_AFTER: Millis = Millis::from_secs(24 * 3_600);
/// The shortest pause before it is told again.
const FIRST_PAUSE: Millis = Millis::from_secs(1);
/// The longest.
const LONGEST_PAUSE: Millis = Millis::from_secs(600);

/// A logout token's claims (section 2.4). Never a `nonce`, so that it is taken for no ID token.
#[derive(Debug, Serialize)]
pub struct LogoutClaims<'a> {
    /// Who issued it.
    pub iss: &'a str,
    /// Who signed in.
    pub sub: &'a str,
    /// The client.
    pub aud: &'a str,
    /// Seconds since the epoch.
    pub iat: u64,
    /// Seconds since the epoch.
    pub exp: u64,
    /// Its id, another at each attempt: a client that failed in the middle must not take the next for a replay.
    pub jti: &'a str,
    /// The session. Always there, so that no client need require it.
    pub sid: &'a str,
    /// That it is a logout.
    pub events: Events,
}

/// The `events` claim (RFC 8417 section 2.2) of a logout.
#[derive(Debug, Default, Serialize)]
pub struct Events {
    #[serde(rename = "http://schemas.openid.net/event/backchannel-logout")]
    logout: Nothing,
}

#[derive(Debug, Default, Serialize)]
struct Nothing {}

/// What the status of a client's answer means (section 2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It was told. Frameworks make 204 of an empty 200.
    Told,
    /// It refuses this, and would refuse it again.
    Refused,
    /// It is to be told again.
    Again,
}

/// What that status means.
#[must_use]
pub const fn answered(status: u16) -> Answered {
    match status {
        200 | 204 => Answered::Told,
        400 => Answered::Refused,
        _ => Answered::Again,
    }
}

/// How long to wait with a session that ended so long ago: half of that, so that attempts grow rarer.
#[must_use]
pub fn pause_at(age: Millis) -> Millis {
    age.percent(50).max(FIRST_PAUSE).min(LONGEST_PAUSE)
}

/// How long to leave a client alone that failed so often in a row, whatever session it was about.
#[must_use]
pub fn pause_after(failures: u32) -> Millis {
    let doubled = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
    if failures == 0 { Millis::ZERO } else { Millis::new(FIRST_PAUSE.get().saturating_mul(doubled)).min(Millis::from_secs(60)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::RESERVED;
    use serde_json::json;

    #[test]
    fn the_claims_are_those_of_the_specification() {
        let claims =
            LogoutClaims { iss: "i", sub: "s", aud: "c", iat: 1, exp: 121, jti: "j", sid: "d", events: Events::default() };
        let written = serde_json::to_value(claims).unwrap();
        let events = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
        let right = json!({"iss": "i", "sub": "s", "aud": "c", "iat": 1, "exp": 121, "jti": "j", "sid": "d", "events": events});
        assert_eq!(written, right);
        assert!(written.as_object().unwrap().keys().all(|name| RESERVED.contains(&name.as_str())));
    }

    #[test]
    fn only_success_and_refusal_end_it() {
        assert_eq!([200, 204, 400].map(answered), [Answered::Told, Answered::Told, Answered::Refused]);
        for other in [201, 202, 301, 302, 307, 401, 403, 404, 408, 410, 413, 429, 500, 501, 502, 503, 504] {
            assert_eq!(answered(other), Answered::Again, "{other}");
        }
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let pauses = [0, 2, 60, 3_600, 24 * 3_600].map(|age| pause_at(Millis::from_secs(age)).secs());
        assert_eq!(pauses, [1, 1, 30, 600, 600]);
        assert_eq!([0, 1, 2, 6, 7, 64, u32::MAX].map(|failures| pause_after(failures).secs()), [0, 1, 2, 32, 60, 60, 60]);
    }
}

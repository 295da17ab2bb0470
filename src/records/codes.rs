//! The numbers that stand for words in records and in the log. A number never changes its meaning.

use jeton_domain::client::{Algorithm, GrantType, ReusePolicy, Rotation};
use jeton_domain::error::{Cause, Error, Result};
use jeton_domain::resource::TokenFormat;
use jeton_domain::target::{Reason, TargetKind};

macro_rules! codes {
    ($to:ident, $from:ident, $type:ty, $what:literal, { $($variant:path => $code:literal),* $(,)? }) => {
        /// The number that stands for it.
        #[must_use]
        pub const fn $to(word: $type) -> u8 {
            match word { $($variant => $code),* }
        }

        /// What the number stands for.
        ///
        /// # Errors
        /// `RecordUnreadable`: a newer version wrote it.
        pub fn $from(code: u32) -> Result<$type> {
            match code {
                $($code => Ok($variant),)*
                _ => Err(Error::RecordUnreadable(concat!($what, " was written by a newer version").into())),
            }
        }
    };
}

codes!(kind_code, kind, TargetKind, "a kind of target", {
    TargetKind::Token => 1,
    TargetKind::Grant => 2,
    TargetKind::Session => 3,
    TargetKind::Subject => 4,
    TargetKind::Client => 5,
    TargetKind::Consent => 6,
    TargetKind::SigningKey => 7,
});

codes!(reason_code, reason, Reason, "a reason", {
    Reason::Unspecified => 0,
    Reason::SignOut => 1,
    Reason::ConsentWithdrawn => 2,
    Reason::AccountDisabled => 3,
    Reason::CredentialChanged => 4,
    Reason::Leaked => 5,
    Reason::Incident => 6,
    Reason::Administrative => 7,
    Reason::Reuse => 8,
    Reason::RetryExpired => 9,
});

codes!(cause_code, cause, Cause, "a cause", {
    Cause::TokenRevoked => 1,
    Cause::GrantRevoked => 2,
    Cause::SessionRevoked => 3,
    Cause::SubjectRevoked => 4,
    Cause::ClientRevoked => 5,
    Cause::ConsentRevoked => 6,
    Cause::KeyBurnt => 7,
    Cause::Reuse => 8,
    Cause::RetryExpired => 9,
    Cause::Evicted => 10,
});

codes!(grant_type_code, grant_type, GrantType, "a flow", {
    GrantType::AuthorizationCode => 1,
    GrantType::DeviceCode => 2,
    GrantType::Password => 3,
    GrantType::ClientCredentials => 4,
    GrantType::RefreshToken => 5,
    GrantType::TokenExchange => 6,
    GrantType::JwtBearer => 7,
});

codes!(algorithm_code, algorithm, Algorithm, "an algorithm", {
    Algorithm::EdDsa => 1,
    Algorithm::Es256 => 2,
    Algorithm::Rs256 => 3,
});

codes!(rotation_code, rotation, Rotation, "a rotation", {
    Rotation::Always => 1,
    Rotation::UnboundPublic => 2,
    Rotation::NearExpiry => 3,
    Rotation::Never => 4,
});

codes!(reuse_code, reuse, ReusePolicy, "a reuse policy", {
    ReusePolicy::EndGrant => 1,
    ReusePolicy::Refuse => 2,
});

codes!(format_code, format, TokenFormat, "a format", {
    TokenFormat::Jwt => 1,
    TokenFormat::Opaque => 2,
});

//! The public keys, kept: fetched ahead of their age, and at once where a token names one that is not known.

use super::turns::Turns;
use crate::api::{GetJwksResponse, JsonWebKey};
use crate::client::Client;
use crate::error::Error;
use crate::retry::Pauses;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::client::Algorithm;
use jeton_domain::jws::Key;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The lengths of a modulus that are taken: 2,048 bits at least (RFC 7518 section 3.3), and no more than is verified in good time.
const RSA_BYTES: RangeInclusive<usize> = 256..=512;
/// The exponent of jeton's RSA keys, 65,537, in base64url.
const RSA_EXPONENT: &str = "AQAB";
/// The most keys that are kept: jeton publishes two of each algorithm, and those that retired lately.
const MAX_KEYS: usize = 64;
/// From one fetch to the next, whoever asks: who sends tokens of unknown keys costs jeton no more than this.
const GAP: Duration = Duration::from_secs(1);
/// The longest that keys are not fetched again.
const LONGEST: Duration = Duration::from_secs(3_600);

/// The keys that are published, as far as is known.
#[derive(Debug, Default)]
pub(crate) struct KeyRing {
    set: RwLock<Arc<KeySet>>,
    turns: Turns,
}

/// Public keys by their id.
#[derive(Debug, Default)]
pub(crate) struct KeySet(HashMap<Box<str>, Arc<PublicKey>>);

#[derive(Debug)]
pub(crate) struct PublicKey {
    kid: Box<str>,
    algorithm: Algorithm,
    public: ParsedPublicKey,
}

impl KeyRing {
    /// The keys now.
    pub(crate) fn now(&self) -> Arc<KeySet> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for keys that were fetched after this call. False where they do not come within `time`.
    pub(crate) async fn newer(&self, time: Duration) -> bool {
        timeout(time, self.turns.after_now()).await.is_ok()
    }

    /// Waits until there are keys.
    pub(crate) async fn ready(&self) {
        if self.now().0.is_empty() {
            self.turns.after_now().await;
        }
    }

    /// Lets them be fetched soon.
    pub(crate) fn are_outdated(&self) {
        self.turns.ask();
    }

    /// Keeps the keys, for ever.
    pub(crate) async fn keep(&self, client: &Client) {
        let mut pauses = Pauses::new(Duration::from_millis(200), Duration::from_secs(5));
        let mut failing = false;
        loop {
            let turn = self.turns.begin();
            let fetched = client.jwks().await.and_then(|answer| {
                let next = ahead_of(answer.max_age);
                self.install(answer).map(|()| next)
            });
            match fetched {
                Ok(next) => {
                    self.turns.end(turn);
                    pauses.reset();
                    failing = false;
                    sleep(GAP).await;
                    // Too late is as good as asked for.
                    let _asked_or_due = timeout(next.saturating_sub(GAP), self.turns.asked()).await;
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(problem = %error, "the public keys could not be fetched; it is tried again");
                    }
                    failing = true;
                    sleep(pauses.next(error.retry_after())).await;
                }
            }
        }
    }

    /// Takes keys over. Not where there is none: jeton never is without, and all tokens would be refused as unknown.
    fn install(&self, answer: GetJwksResponse) -> Result<(), Error> {
        let set = answer.keys.iter().take(MAX_KEYS).filter_map(PublicKey::parse).map(Arc::new);
        let set = KeySet(set.map(|key| (key.kid.clone(), key)).collect());
        if set.0.is_empty() {
            return Err(Error::NoAnswer("no key of a kind that is known here is published".into()));
        }
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
        Ok(())
    }
}

/// When to fetch keys again that may be used for so many seconds.
fn ahead_of(max_age: i64) -> Duration {
    let max_age = Duration::from_secs(u64::try_from(max_age).unwrap_or(0)).min(LONGEST);
    (max_age * 3 / 4).max(GAP)
}

impl KeySet {
    pub(crate) fn get(&self, kid: &str) -> Option<Arc<PublicKey>> {
        self.0.get(kid).map(Arc::clone)
    }
}

impl PublicKey {
    /// Reads a key (RFC 7517, RFC 7518 section 6, RFC 8037 section 2). None for a kind that only a newer version knows.
    fn parse(key: &JsonWebKey) -> Option<Self> {
        let coordinate = |text: &str| <[u8; 32]>::try_from(URL_SAFE_NO_PAD.decode(text).ok()?).ok();
        let (algorithm, public) = match (key.kty.as_str(), key.crv.as_str(), key.alg.as_str()) {
            ("OKP", "Ed25519", "EdDSA") => (Algorithm::EdDsa, ParsedPublicKey::new(&ED25519, coordinate(&key.x)?).ok()?),
            ("EC", "P-256", "ES256") => {
                // The uncompressed point (SEC 1 section 2.3.3).
                let point = [&[4], coordinate(&key.x)?.as_slice(), coordinate(&key.y)?.as_slice()].concat();
                (Algorithm::Es256, ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?)
            }
            ("RSA", "", "RS256") => {
                let n = URL_SAFE_NO_PAD.decode(&key.n).ok().filter(|n| RSA_BYTES.contains(&n.len()) && key.e == RSA_EXPONENT)?;
                let parts = RsaPublicKeyComponents { n, e: vec![1, 0, 1] };
                (Algorithm::Rs256, parts.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()?)
            }
            _ => return None,
        };
        Some(Self { kid: key.kid.as_str().into(), algorithm, public })
    }
}

impl Key for PublicKey {
    fn kid(&self) -> &str {
        &self.kid
    }

    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 8037 appendix A.2, and the one of RFC 7515 appendix A.3.
    fn published() -> [JsonWebKey; 2] {
        let key = |kty: &str, alg: &str, crv: &str, x: &str, y: &str| JsonWebKey {
            kty: kty.into(),
            r#use: "sig".into(),
            alg: alg.into(),
            kid: alg.into(),
            crv: crv.into(),
            x: x.into(),
            y: y.into(),
            ..JsonWebKey::default()
        };
        [
            key("OKP", "EdDSA", "Ed25519", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", ""),
            key(
                "EC",
                "ES256",
                "P-256",
                "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
            ),
        ]
    }

    #[test]
    fn keys_are_read_and_what_one_signed_the_other_does_not_verify() {
        let ring = KeyRing::default();
        ring.install(GetJwksResponse { keys: published().to_vec(), max_age: 300 }).unwrap();
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let verifies = |kid: &str, message: &[u8]| ring.now().get(kid).unwrap().verifies(message, &signature);
        assert!(verifies("EdDSA", message));
        assert!(!verifies("EdDSA", b"another message"));
        assert!(!verifies("ES256", message));
    }

    #[test]
    fn an_rsa_key_is_read_where_it_is_long_enough_and_of_our_exponent() {
        let golden: serde_json::Value = serde_json::from_str(include_str!("../../../../tests/golden/tokens.json")).unwrap();
        let text = |name: &str| golden[name].as_str().unwrap();
        let modulus = text("rsa_signing_key_public");
        let modulus: Vec<u8> =
            (0..modulus.len()).step_by(2).map(|at| u8::from_str_radix(modulus.get(at..at + 2).unwrap(), 16).unwrap()).collect();
        let of = |n: &[u8], e: &str| JsonWebKey {
            kty: "RSA".into(),
            alg: "RS256".into(),
            kid: "r".into(),
            n: URL_SAFE_NO_PAD.encode(n),
            e: e.into(),
            ..JsonWebKey::default()
        };
        let key = PublicKey::parse(&of(&modulus, "AQAB")).unwrap();
        let (signed, signature) = text("rsa_jwt").rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(key.verifies(signed.as_bytes(), &signature));
        assert!(!key.verifies(b"another message", &signature));
        assert!(!key.verifies(signed.as_bytes(), &signature[1..]));
        for wrong in
            [of(&modulus[..128], "AQAB"), of(&modulus, "AQ"), of(&modulus, ""), of(&[255; 1024], "AQAB"), of(&[], "AQAB")]
        {
            assert!(PublicKey::parse(&wrong).is_none(), "{wrong:?}");
        }
        assert!(PublicKey::parse(&JsonWebKey { alg: "ES256".into(), ..of(&modulus, "AQAB") }).is_none());
    }

    #[test]
    fn a_key_of_another_kind_is_left_out_and_one_that_is_gone_is_unknown() {
        let ring = KeyRing::default();
        let answer = |keys: &[JsonWebKey]| GetJwksResponse { keys: keys.to_vec(), max_age: 300 };
        let knows = |kid| ring.now().get(kid).is_some();
        let [mut wrong_algorithm, mut half] = published();
        wrong_algorithm.alg = "ES256".into();
        half.y.clear();
        ring.install(answer(&[wrong_algorithm.clone(), published()[1].clone()])).unwrap();
        assert!(knows("ES256") && !knows("EdDSA"));
        ring.install(answer(&published())).unwrap();
        assert!(knows("ES256") && knows("EdDSA"));
        ring.install(answer(&published()[1..])).unwrap();
        assert!(knows("ES256") && !knows("EdDSA"));
        for none in [&[][..], &[wrong_algorithm, half]] {
            assert!(ring.install(answer(none)).is_err());
            assert!(knows("ES256"), "what is known stays");
        }
    }

    #[test]
    fn keys_are_fetched_ahead_of_their_age() {
        assert_eq!(ahead_of(300), Duration::from_secs(225));
        assert_eq!((ahead_of(0), ahead_of(-5), ahead_of(i64::MAX)), (GAP, GAP, LONGEST * 3 / 4));
    }
}

//! JSON Web Tokens (RFC 7519): one key, one algorithm, so that no token chooses how it is checked (RFC 8725 §3.1).
//!
//! The format is jsonwebtoken's; the signatures are checked by ring, which rustls brings along anyway. Time is an argument.

use std::{error::Error, fmt};

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    decode, decode_header,
    errors::{Error as JwtError, ErrorKind},
    signature,
};
use ring::{hmac, signature as ring_signature};
use serde::{Deserialize, Deserializer};

use crate::{
    rights::Patterns,
    token::{Grant, TokenError, is_user_id},
};

/// A key that JWTs are checked with, and the one algorithm that it is for.
#[derive(Clone)]
pub struct JwtKey {
    key: DecodingKey,
    validation: Validation,
}

/// Why something is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// A secret without a byte, with which everybody could sign.
    Empty,
    /// A secret of so few bytes that it is found by trying, from any one token. RFC 7518 §3.2.
    Short {
        /// So many.
        bytes: usize,
    },
    /// Not the PEM of a public key of RSA or Ed25519.
    Pem,
}

/// What is read of a token. A claim that is there is of its type: `null` would widen what it was to narrow.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default, deserialize_with = "present")]
    exp: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    sub_rooms: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    pub_rooms: Option<Vec<String>>,
}

impl JwtKey {
    /// A secret for HS256, of 32 bytes or more (RFC 7518 §3.2).
    ///
    /// # Errors
    /// It is shorter.
    pub fn hs256(secret: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        match secret.as_ref() {
            [] => Err(KeyError::Empty),
            short if short.len() < HS256_BYTES_MIN => Err(KeyError::Short { bytes: short.len() }),
            secret => Ok(Self::new(DecodingKey::from_secret(secret), Algorithm::HS256)),
        }
    }

    /// A public key in PEM: RSA of 2,048 bits or more for RS256, Ed25519 for EdDSA.
    ///
    /// # Errors
    /// It is neither.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        // A private key has no business here, and the first bits of a certificate are no key.
        if !pem.windows(PUBLIC_KEY.len()).any(|window| window == PUBLIC_KEY) {
            return Err(KeyError::Pem);
        }
        if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            return Ok(Self::new(key, Algorithm::RS256));
        }
        DecodingKey::from_ed_pem(pem).map(|key| Self::new(key, Algorithm::EdDSA)).map_err(|_| KeyError::Pem)
    }

    fn new(key: DecodingKey, algorithm: Algorithm) -> Self {
        // Whoever was first stays: an application that signs has installed one that can.
        let _ = RING.install_default();
        let mut validation = Validation::new(algorithm);
        // By our own clock, and without a minute's grace.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        validation.validate_aud = false;
        Self { key, validation }
    }

    /// Refuses tokens that are not for this audience (`aud`). Default: it is not looked at.
    pub fn audience(mut self, audience: &str) -> Self {
        self.validation.validate_aud = true;
        self.validation.set_audience(&[audience]);
        self.validation.required_spec_claims.insert("aud".to_owned());
        self
    }

    /// Refuses tokens that are not of this issuer (`iss`). Default: it is not looked at.
    pub fn issuer(mut self, issuer: &str) -> Self {
        self.validation.set_issuer(&[issuer]);
        self.validation.required_spec_claims.insert("iss".to_owned());
        self
    }

    pub(crate) fn verify(&self, token: &str, unix_ms: u64) -> Result<Grant, TokenError> {
        // Whatever its header cannot say, `"alg":"none"` for one, is no algorithm of ours.
        decode_header(token).map_err(|error| match error.kind() {
            ErrorKind::Json(_) => TokenError::Algorithm,
            _ => TokenError::Unknown,
        })?;
        let decoded =
            decode::<Claims>(token, &self.key, &self.validation).map_err(|error| as_ours(&error))?;
        if decoded.header.crit.is_some() {
            // RFC 7515 §4.1.11: what must be understood, and is not.
            return Err(TokenError::Claims);
        }
        let Claims { sub, exp, nbf, sub_rooms, pub_rooms } = decoded.claims;
        if !is_user_id(&sub) {
            return Err(TokenError::Claims);
        }
        let expires_at_ms = exp.map(millis).transpose()?;
        if expires_at_ms.is_some_and(|at| at <= unix_ms) {
            return Err(TokenError::Expired);
        }
        if nbf.map(millis).transpose()?.is_some_and(|at| at > unix_ms) {
            return Err(TokenError::NotYet);
        }
        let patterns = |rooms: Option<Vec<String>>| {
            let new = |rooms: Vec<String>| Patterns::new(rooms.iter().map(String::as_str));
            rooms.map(new).transpose().map_err(|_| TokenError::Claims)
        };
        Ok(Grant {
            user_id: sub.into(),
            expires_at_ms,
            subscribe: patterns(sub_rooms)?,
            publish: patterns(pub_rooms)?,
        })
    }
}

/// A NumericDate (RFC 7519 §2), which may have a fraction.
fn millis(seconds: f64) -> Result<u64, TokenError> {
    // What is before 1970 or after the last date is as good as those.
    let millis = (seconds * 1e3).clamp(0.0, u64::MAX as f64) as u64;
    if seconds.is_finite() { Ok(millis) } else { Err(TokenError::Claims) }
}

fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The library's error may quote what it found; which rule it was is enough.
fn as_ours(error: &JwtError) -> TokenError {
    match error.kind() {
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidKeyFormat => TokenError::Algorithm,
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::InvalidAudience
        | ErrorKind::InvalidIssuer
        | ErrorKind::InvalidSubject
        | ErrorKind::MissingRequiredClaim(_)
        | ErrorKind::Json(_) => TokenError::Claims,
        _ => TokenError::Unknown,
    }
}

/// Checks, and does not sign.
static RING: CryptoProvider = CryptoProvider {
    signer_factory: |_: &Algorithm, _: &EncodingKey| -> Result<Box<dyn JwtSigner>, JwtError> {
        Err(ErrorKind::InvalidAlgorithm.into())
    },
    verifier_factory,
    key_utils: KeyUtils::new_unimplemented(),
};

fn verifier_factory(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, JwtError> {
    let check: Check = match (algorithm, key.family()) {
        (Algorithm::HS256, AlgorithmFamily::Hmac) => check_hs256,
        (Algorithm::RS256, AlgorithmFamily::Rsa) => check_rs256,
        (Algorithm::EdDSA, AlgorithmFamily::Ed) => check_eddsa,
        _ => return Err(ErrorKind::InvalidAlgorithm.into()),
    };
    Ok(Box::new(Verifier { algorithm: *algorithm, key: key.try_get_as_bytes()?.to_vec(), check }))
}

/// As many as the hash has. RFC 7518 §3.2.
const HS256_BYTES_MIN: usize = 32;

const PUBLIC_KEY: &[u8] = b"PUBLIC KEY-----";

/// Key, message, signature.
type Check = fn(&[u8], &[u8], &[u8]) -> Result<(), ring::error::Unspecified>;

struct Verifier {
    algorithm: Algorithm,
    key: Vec<u8>,
    check: Check,
}

fn check_hs256(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), ring::error::Unspecified> {
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), message, signature)
}

fn check_rs256(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), ring::error::Unspecified> {
    ring_signature::UnparsedPublicKey::new(&ring_signature::RSA_PKCS1_2048_8192_SHA256, key)
        .verify(message, signature)
}

fn check_eddsa(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), ring::error::Unspecified> {
    ring_signature::UnparsedPublicKey::new(&ring_signature::ED25519, key).verify(message, signature)
}

impl signature::Verifier<Vec<u8>> for Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        (self.check)(&self.key, message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Verifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = self.validation.algorithms.first().copied().unwrap_or_default();
        write!(f, "JwtKey({algorithm:?})")
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the secret is empty"),
            Self::Short { bytes } => write!(
                f,
                "the secret has {bytes} bytes, and HS256 needs {HS256_BYTES_MIN} or more (RFC 7518 §3.2)"
            ),
            Self::Pem => f.write_str("not the PEM of a public key of RSA or Ed25519"),
        }
    }
}

impl Error for KeyError {}

#[cfg(test)]
mod tests;

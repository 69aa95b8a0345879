//! Who somebody is, by a token: a JWT, or one of a file's.
//!
//! Neither `Debug` nor an error ever shows a token (catalogue: HS-91 and ASKS 21): what goes to logs says which rule it broke.

use std::{collections::HashMap, error::Error, fmt, sync::Arc};

use ring::digest;

use crate::{jwt::JwtKey, rights::Patterns};

/// Something that is not to be seen: its `Debug` is empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// Who this is.
    pub user_id: Arc<str>,
    /// Until when, in milliseconds of Unix time; `None`: without an end.
    pub expires_at_ms: Option<u64>,
    /// What it may subscribe to; `None`: what the hub allows by default.
    pub subscribe: Option<Patterns>,
    /// What it may publish to, likewise.
    pub publish: Option<Patterns>,
}

/// Which rule a token broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenError {
    /// It is no token of a form that is known here, or not one of the file's.
    Unknown,
    /// It is signed by another algorithm than the key is for, or by none.
    Algorithm,
    /// Its signature is not the key's.
    Signature,
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYet,
    /// What it says is not what is needed: a `sub` of 1 to 255 bytes, numbers for times, room patterns; or it asks for more than is
    /// understood here (`crit`).
    Claims,
    /// It is longer than 8 KiB.
    TooLong,
}

/// A line of a token file that is wrong, by its number, from 1; what is on it is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenFileError {
    /// It is no token and a user.
    Line(usize),
    /// Its token was there before: whose it is would go by the order of lines.
    Again(usize),
}

/// What tokens are checked against. Empty at first: then every token is unknown.
#[derive(Clone, Default)]
pub struct Tokens {
    keys: Vec<JwtKey>,
    /// Users by the SHA-256 of their tokens, which need not be kept for that.
    listed: HashMap<[u8; 32], Arc<str>>,
}

impl Secret {
    /// Hides it.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// Shows it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Grant {
    pub(crate) fn of(user_id: Arc<str>) -> Self {
        Self { user_id, expires_at_ms: None, subscribe: None, publish: None }
    }
}

impl Tokens {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepts JWTs of this key too.
    pub fn with_key(mut self, key: JwtKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Accepts the tokens of a file too: a line for each, `token user_id`; empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// A line without a user, one of 1 to 255 bytes without control characters; or with a token that was there before, in this file or
    /// in one that was accepted earlier.
    pub fn with_file(mut self, text: &str) -> Result<Self, TokenFileError> {
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let user = line.split_once(char::is_whitespace).map(|(token, user)| (token, user.trim()));
            let Some((token, user)) = user.filter(|(_, user)| is_user_id(user)) else {
                return Err(TokenFileError::Line(at + 1));
            };
            if self.listed.insert(hash(token), user.into()).is_some() {
                return Err(TokenFileError::Again(at + 1));
            }
        }
        Ok(self)
    }

    /// Whether no token at all would be accepted.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.listed.is_empty()
    }

    /// Who somebody with this token is, at this time.
    ///
    /// # Errors
    /// The rule that it broke; with several keys, by the one that it came furthest with.
    pub fn verify(&self, token: &str, unix_ms: u64) -> Result<Grant, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        // Found by its hash: how long that takes tells nothing about the tokens there are.
        if let Some(user_id) = self.listed.get(&hash(token)) {
            return Ok(Grant::of(user_id.clone()));
        }
        let mut error = TokenError::Unknown;
        for key in &self.keys {
            match key.verify(token, unix_ms) {
                Ok(grant) => return Ok(grant),
                Err(this) if this.distance() > error.distance() => error = this,
                Err(_) => {}
            }
        }
        Err(error)
    }
}

impl TokenError {
    /// How far a token came.
    const fn distance(self) -> u8 {
        match self {
            Self::Unknown | Self::TooLong => 0,
            Self::Algorithm => 1,
            Self::Signature => 2,
            Self::Claims => 3,
            Self::Expired | Self::NotYet => 4,
        }
    }
}

/// 1 to 255 bytes without control characters.
pub(crate) fn is_user_id(user_id: &str) -> bool {
    (1..=255).contains(&user_id.len()) && !user_id.contains(char::is_control)
}

fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    hash
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Tokens");
        debug.field("keys", &self.keys).field("listed", &self.listed.len()).finish()
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "the token is not known",
            Self::Algorithm => "the token is signed by another algorithm",
            Self::Signature => "the token's signature is wrong",
            Self::Expired => "the token has expired",
            Self::NotYet => "the token is not valid yet",
            Self::Claims => "the token's claims are not valid",
            Self::TooLong => "the token is too long",
        })
    }
}

impl Error for TokenError {}

impl fmt::Display for TokenFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line} is not `token user_id`"),
            Self::Again(line) => write!(f, "line {line} has a token that was there before"),
        }
    }
}

impl Error for TokenFileError {}

const TOKEN_BYTES_MAX: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_tokens_are_their_users() {
        let tokens =
            Tokens::new().with_file("# who\n\ns3cret ada\n  t0ken\tBob Ross \n").expect("it is a file");
        assert_eq!(tokens.verify("s3cret", 0).map(|grant| grant.user_id), Ok("ada".into()));
        assert_eq!(tokens.verify("t0ken", 0).map(|grant| grant.user_id), Ok("Bob Ross".into()));
        for wrong in ["", "s3cre", "s3cret ", "# who", "S3CRET", &"x".repeat(100_000)] {
            assert!(tokens.verify(wrong, 0).is_err(), "{wrong}");
        }
        assert_eq!(Tokens::new().with_file("a b\nlonely\n").err(), Some(TokenFileError::Line(2)));
        let again = "s3cret bob\n";
        assert_eq!(tokens.with_file(again).err(), Some(TokenFileError::Again(1)));
        let twice = Tokens::new().with_file("s3cret ada\nother ada\n\ns3cret ada\n");
        assert_eq!(twice.err(), Some(TokenFileError::Again(4)));
    }

    #[test]
    fn secrets_are_not_seen() {
        let tokens = Tokens::new()
            .with_file("s3cret ada")
            .expect("it is a file")
            .with_key(JwtKey::hs256("0123456789abcdef0123456789abcdef").expect("it is a secret"));
        assert_eq!(format!("{tokens:?}"), "Tokens { keys: [JwtKey(HS256)], listed: 1 }");
        assert_eq!(format!("{:?}", Secret::new("s3cret")), "Secret");
    }
}

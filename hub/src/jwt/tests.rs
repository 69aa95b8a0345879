//! A key is for one algorithm, and time is an argument. The private keys of the two signed tokens are thrown away.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::hmac;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const RS256: (&str, &str) = (include_str!("rs256.pem"), include_str!("rs256.jwt"));
const EDDSA: (&str, &str) = (include_str!("eddsa.pem"), include_str!("eddsa.jwt"));

fn signed(secret: &[u8], header: &str, claims: &str) -> String {
    let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", BASE64.encode(signature))
}

fn hs256(claims: &str) -> Result<Grant, TokenError> {
    let key = JwtKey::hs256(SECRET).expect("it is a secret");
    key.verify(&signed(SECRET.as_bytes(), r#"{"alg":"HS256"}"#, claims), 1_000_000)
}

#[test]
fn a_token_says_who_and_what() {
    let grant =
        hs256(r#"{"sub":"ada","exp":1000.5,"nbf":1000,"sub_rooms":["a:*"],"pub_rooms":[],"else":{}}"#);
    let grant = grant.expect("it is valid");
    assert_eq!((&*grant.user_id, grant.expires_at_ms), ("ada", Some(1_000_500)));
    assert!(grant.subscribe.is_some_and(|rooms| rooms.cover("a:b") && !rooms.cover("a")));
    assert!(grant.publish.is_some_and(|rooms| !rooms.cover("a:b")));
    let grant = hs256(r#"{"sub":"ada"}"#).expect("it is valid");
    assert_eq!((grant.expires_at_ms, grant.subscribe, grant.publish), (None, None, None));
}

#[test]
fn time_is_kept_to_the_millisecond() {
    for (claims, error) in [
        (r#"{"sub":"ada","exp":1000}"#, TokenError::Expired),
        (r#"{"sub":"ada","exp":0}"#, TokenError::Expired),
        (r#"{"sub":"ada","exp":-5}"#, TokenError::Expired),
        (r#"{"sub":"ada","nbf":1000.001}"#, TokenError::NotYet),
    ] {
        assert_eq!(hs256(claims).err(), Some(error), "{claims}");
    }
    assert!(hs256(r#"{"sub":"ada","exp":1000.001}"#).is_ok());
    assert!(hs256(r#"{"sub":"ada","exp":1e300}"#).is_ok());
}

#[test]
fn claims_of_a_wrong_type_are_refused_and_not_ignored() {
    let long = format!(r#"{{"sub":"{}"}}"#, "x".repeat(256));
    for claims in [
        "{}",
        r#"{"sub":1}"#,
        r#"{"sub":""}"#,
        r#"{"sub":"a\u0000b"}"#,
        &long,
        r#"{"sub":"a","sub":"b"}"#,
        r#"{"sub":"a","exp":"2000"}"#,
        r#"{"sub":"a","exp":null}"#,
        r#"{"sub":"a","sub_rooms":null}"#,
        r#"{"sub":"a","sub_rooms":"x"}"#,
        r#"{"sub":"a","pub_rooms":[1]}"#,
        r#"{"sub":"a","pub_rooms":[">:x"]}"#,
        "[]",
        "x",
    ] {
        assert_eq!(hs256(claims).err(), Some(TokenError::Claims), "{claims}");
    }
}

/// RFC 8725 §2.1: the key says which algorithm it is, not the token.
#[test]
fn no_token_chooses_its_algorithm() {
    let key = JwtKey::hs256(SECRET).expect("it is a secret");
    let claims = r#"{"sub":"ada"}"#;
    for header in
        [r#"{"alg":"none"}"#, r#"{"alg":"HS512"}"#, r#"{"alg":"RS256"}"#, r#"{"alg":"hs256"}"#, "{}"]
    {
        let token = signed(SECRET.as_bytes(), header, claims);
        assert_eq!(key.verify(&token, 0).err(), Some(TokenError::Algorithm), "{header}");
    }
    let unsigned = format!("{}.{}.", BASE64.encode(r#"{"alg":"none"}"#), BASE64.encode(claims));
    assert_eq!(key.verify(&unsigned, 0).err(), Some(TokenError::Algorithm));
    // A public key is no secret: whoever has it could sign with it.
    for (pem, _) in [RS256, EDDSA] {
        let key = JwtKey::from_pem(pem.as_bytes()).expect("it is a key");
        let token = signed(pem.as_bytes(), r#"{"alg":"HS256"}"#, claims);
        assert_eq!(key.verify(&token, 0).err(), Some(TokenError::Algorithm));
    }
}

#[test]
fn a_signature_is_by_its_key_over_all_of_it() {
    let key = JwtKey::hs256(SECRET).expect("it is a secret");
    let token = signed(SECRET.as_bytes(), r#"{"alg":"HS256"}"#, r#"{"sub":"ada"}"#);
    assert!(key.verify(&token, 0).is_ok());
    let other = signed(b"another", r#"{"alg":"HS256"}"#, r#"{"sub":"ada"}"#);
    assert_eq!(key.verify(&other, 0).err(), Some(TokenError::Signature));
    let (message, _) = token.rsplit_once('.').expect("it has parts");
    assert_eq!(key.verify(&format!("{message}."), 0).err(), Some(TokenError::Signature));
    for broken in
        ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", &format!("{token}."), &format!(" {token}"), "🎈.🎈.🎈"]
    {
        assert!(key.verify(broken, 0).is_err(), "{broken}");
    }
}

#[test]
fn public_keys_check_what_their_private_ones_signed() {
    for ((pem, token), other) in [(RS256, EDDSA), (EDDSA, RS256)] {
        let key = JwtKey::from_pem(pem.as_bytes()).expect("it is a key");
        let grant = key.verify(token, 0).expect("it is valid");
        assert_eq!((&*grant.user_id, grant.expires_at_ms), ("ada", Some(2_000_000_000_000)));
        assert_eq!(key.verify(token, 2_000_000_000_000).err(), Some(TokenError::Expired));
        assert_eq!(key.verify(other.1, 0).err(), Some(TokenError::Algorithm));
        let (message, signature) = token.rsplit_once('.').expect("it has parts");
        let mut signature = BASE64.decode(signature).expect("it is base64");
        signature[7] ^= 1;
        let tampered = format!("{message}.{}", BASE64.encode(signature));
        assert_eq!(key.verify(&tampered, 0).err(), Some(TokenError::Signature));
    }
}

#[test]
fn what_must_be_understood_and_is_not_refuses_the_token() {
    let key = JwtKey::hs256(SECRET).expect("it is a secret");
    let token =
        signed(SECRET.as_bytes(), r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, r#"{"sub":"ada"}"#);
    assert_eq!(key.verify(&token, 0).err(), Some(TokenError::Claims));
}

#[test]
fn an_audience_and_an_issuer_are_asked_for() {
    let key = JwtKey::hs256(SECRET).expect("it is a secret").audience("hub").issuer("us");
    let verify =
        |claims: &str| key.verify(&signed(SECRET.as_bytes(), r#"{"alg":"HS256"}"#, claims), 0).is_ok();
    assert!(verify(r#"{"sub":"ada","aud":["x","hub"],"iss":"us"}"#));
    assert!(!verify(r#"{"sub":"ada","aud":"x","iss":"us"}"#));
    assert!(!verify(r#"{"sub":"ada","aud":"hub","iss":"them"}"#));
    assert!(!verify(r#"{"sub":"ada"}"#));
}

#[test]
fn what_is_no_key_is_refused() {
    assert_eq!(JwtKey::hs256("").err(), Some(KeyError::Empty));
    assert_eq!(JwtKey::hs256(&SECRET[1..]).err(), Some(KeyError::Short { bytes: 31 }));
    for pem in ["", "nonsense", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        assert_eq!(JwtKey::from_pem(pem.as_bytes()).err(), Some(KeyError::Pem));
    }
    let private = RS256.0.replace("PUBLIC", "PRIVATE");
    assert_eq!(JwtKey::from_pem(private.as_bytes()).err(), Some(KeyError::Pem));
}

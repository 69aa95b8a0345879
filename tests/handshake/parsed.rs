//! Requests that another HTTP server has read (`Endpoint::check`). That the rules are the same, every test of the others asks beside its
//! own question, in `support`; here is what only such requests have.

use framecast::handshake::{Endpoint, HandshakeError, HeadError};
use framecast::proto::Config;
use http::{Method, Version, request::Parts};

use crate::support::*;

fn check(config: &Config, parts: &Parts) -> Result<(), HandshakeError> {
    Endpoint::new().check(config, parts).map(drop)
}

/// RFC 8441 §4
#[test]
fn http_2_is_refused_by_a_status_that_says_what_is_missing() {
    let mut parts = parsed(&head(BASE)).expect("sound");
    for (version, method, error, status) in [
        (Version::HTTP_2, Method::CONNECT, HandshakeError::ExtendedConnect, 501),
        (Version::HTTP_3, Method::CONNECT, HandshakeError::ExtendedConnect, 501),
        (Version::HTTP_2, Method::GET, HeadError::Version.into(), 505),
        (Version::HTTP_10, Method::GET, HeadError::Version.into(), 505),
        (Version::HTTP_09, Method::GET, HeadError::Version.into(), 505),
        (Version::HTTP_11, Method::CONNECT, HandshakeError::Method { head: false }, 405),
    ] {
        (parts.version, parts.method) = (version, method);
        assert_eq!(check(&Config::default(), &parts), Err(error), "{version:?}");
        let answer = error.refusal().encode();
        assert_eq!(crate::support::status(&answer), status);
        assert_sound_refusal(&answer);
    }
}

/// `http::Uri` takes more bytes than we do · RFC 9112 §3.2 · catalogue: HS-09
#[test]
fn bytes_of_a_target_are_judged_again() {
    for (target, byte) in [("/a\\b", b'\\'), ("/a\"b", b'"'), ("/é", 0xc3)] {
        let parts = parsed(&base_target(target)).expect("it lets it pass");
        let error = HeadError::TargetByte(byte).into();
        assert_eq!(check(&Config::default(), &parts), Err(error), "{target}");
    }
}

/// RFC 9112 §3, RFC 6585 §5 · catalogue: HS-50, HS-51
#[test]
fn limits_on_the_head_hold_again() {
    let line = |bytes: usize| base_target(format!("/{}", "a".repeat(bytes - 14)));
    let headers = |headers: usize| base_and((5..headers).map(|_| "a:"));
    // Without white space, which cannot be counted any more.
    let bytes = |bytes: usize| {
        let tight: Vec<_> = BASE.iter().map(|line| line.replace(": ", ":")).collect();
        let padding = format!("x:{}", "a".repeat(bytes - head(&tight).len() - 4));
        head(tight.into_iter().chain([padding]))
    };
    let config = Config::default();
    for (input, error) in [
        (line(8192), None),
        (line(8193), Some(HeadError::RequestLineBytes { max: 8192 })),
        (headers(100), None),
        (headers(101), Some(HeadError::Headers { max: 100 })),
        (bytes(16_384), None),
        (bytes(16_385), Some(HeadError::HeadBytes { max: 16_384 })),
    ] {
        let parts = parsed(&input).expect("it has no limit");
        assert_eq!(check(&config, &parts).err(), error.map(HandshakeError::Head));
        assert_eq!(status(&answer(&input)), error.map_or(101, |error| error.status().as_u16()));
    }
}

/// As a router does that has matched the front of a path
#[test]
fn path_may_have_been_cut_meanwhile() {
    let mut parts = parsed(&base_target("http://LOCALHOST:9001/app/ws?a")).expect("sound");
    parts.uri = "http://localhost:9001/ws?a".parse().expect("a URL");
    let request = Endpoint::new().check(&Config::default(), &parts).expect("sound");
    assert_eq!((request.path(), request.query()), ("/ws", Some("a")));
    parts.uri = "http://elsewhere:9001/ws".parse().expect("a URL");
    assert_eq!(check(&Config::default(), &parts), Err(HandshakeError::Target));
}

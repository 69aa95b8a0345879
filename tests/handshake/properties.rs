//! What holds for all inputs: splits do not matter, nothing panics, work grows with the bytes (catalogue G-1, G-5, G-12).

use std::time::{Duration, Instant};

use framecast::handshake::{Endpoint, ServerHandshake, Url};
use framecast::proto::Config;
use proptest::prelude::*;

use crate::support::*;

/// A request with a few bytes written over, taken away or put in.
fn damaged(base: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let edit = (
        any::<prop::sample::Index>(),
        0..3u8,
        prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b' ')],
    );
    prop::collection::vec(edit, 0..4).prop_map(move |edits| {
        let mut bytes = base.clone();
        for (at, kind, byte) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// catalogue: G-12
    #[test]
    fn damaged_requests_are_judged_alike_in_every_delivery(input in damaged(head(BASE))) {
        answer_of(&Config::default(), &Endpoint::new(), &input);
    }

    /// catalogue: G-12
    #[test]
    fn damaged_answers_are_judged_alike_in_every_delivery(input in damaged(head(ANSWER))) {
        let _ = client(&input);
    }

    /// catalogue: G-1
    #[test]
    fn arbitrary_bytes_never_panic(input in prop::collection::vec(any::<u8>(), 0..300)) {
        answer_of(&Config::default(), &Endpoint::new(), &input);
        let _ = client(&input);
        let _ = client(&[&b"HTTP/1.1 500 X\r\n\r\n"[..], &input].concat());
    }

    /// catalogue: G-1
    #[test]
    fn arbitrary_values_never_panic(name in 0..9usize, value in prop::collection::vec(any::<u8>(), 0..40)) {
        let names = ["Host", "Upgrade", "Connection", "Origin", "Sec-WebSocket-Key", "Sec-WebSocket-Version",
            "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Content-Length"];
        answer_of(&Config::default(), &Endpoint::new(), &base_and([[names[name].as_bytes(), b": ", &value].concat()]));
    }

    /// catalogue: G-1
    #[test]
    fn arbitrary_grammar_never_panics(value in "[a;=,\" \\\\\t]{0,40}", url in "wss?://[a:@/?#%\\[\\]0-9.]{0,20}") {
        answer_of(&Config::default(), &Endpoint::new(), &base_and([format!("Sec-WebSocket-Extensions: {value}")]));
        answer_of(&Config::default(), &Endpoint::new(), &base_and([format!("Sec-WebSocket-Protocol: {value}")]));
        let _ = Url::parse(&url);
    }
}

/// A parser that began anew with each byte would look at 2^43 bytes here.
/// catalogue: G-5, V-40, V-41
#[test]
fn four_mebibytes_byte_by_byte_cost_linear_time() {
    let config = Config::builder().head_bytes_max(8 << 20).build().expect("fits");
    let input = base_and([format!("X: {}", "a".repeat(4 << 20))]);
    let mut handshake = ServerHandshake::new(&config, Endpoint::new().into());
    let start = Instant::now();
    let mut request = None;
    for byte in &input {
        request = handshake.receive(std::slice::from_ref(byte)).expect("sound");
    }
    assert_eq!(request.map(|(_, used)| used), Some(1));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

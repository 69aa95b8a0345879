//! What is sent to break something: it is answered, and nothing grows.

use framecast_hub::{Limits, Rate};

use crate::support::World;

fn unlimited() -> Limits {
    let mut limits = Limits::default();
    let rate = Rate { per_second: 1_000_000_000, burst: 1_000_000_000 };
    (limits.messages, limits.bytes, limits.misuses) = (rate, rate, rate);
    limits
}

/// catalogue: DS-16
#[test]
fn deep_json_is_refused_wherever_it_is() {
    let world = World::new();
    let ada = world.anonymous("ada").greeted();
    let deep = "[".repeat(100_000);
    for said in [
        format!(r#"{{"type":"message","room":"r","payload":{deep}"#),
        format!(r#"{{"type":"ping","other":{deep}"#),
        format!(r#"{{"type":"ping","id":{}"#, r#"{"a":"#.repeat(100_000)),
    ] {
        assert_eq!(
            ada.asks(&said),
            [r#"{"type":"error","id":null,"code":"too_large","message":"nested deeper than 128"}"#]
        );
    }
    assert!(ada.asks(&deep)[0].contains("-32600"));
}

#[test]
fn two_of_a_field_are_refused_and_not_chosen_from() {
    let world = World::new();
    let ada = world.anonymous("ada").greeted();
    for said in [
        r#"{"type":"message","room":"a","room":"b","payload":1}"#,
        r#"{"type":"ping","type":"auth"}"#,
        r#"{"type":"message","room":"a","payload":1,"payload":2}"#,
        r#"{"type":"message","room":"a","payload":1,"p\u0061yload":2}"#,
        r#"{"id":1,"id":2,"type":"ping"}"#,
    ] {
        let heard = ada.asks(said);
        assert!(
            heard[0].starts_with(r#"{"type":"error","id":null,"code":"bad_request""#),
            "{said} {heard:?}"
        );
    }
    assert!(world.hub.topics().is_empty());
    assert!(
        ada.asks(r#"{"type":"ping","x":1,"x":2}"#)[0].contains("pong"),
        "what is ignored is ignored twice"
    );
}

#[test]
fn a_huge_id_is_not_echoed() {
    let world = World::new();
    let ada = world.anonymous("ada").greeted();
    for id in [
        format!("\"{}\"", "x".repeat(500_000)),
        "9".repeat(500_000),
        format!("[{}]", "1,".repeat(1000) + "1"),
    ] {
        let heard = ada.asks(&format!(r#"{{"type":"ping","id":{id}}}"#));
        assert!(heard[0].len() < 200 && heard[0].contains("bad_request"), "{:.100}", heard[0]);
    }
}

/// catalogue: DS-41, DS-42
#[test]
fn a_million_names_of_rooms_leave_no_more_than_there_may_be() {
    let mut limits = unlimited();
    limits.rooms_total_max = 1_000;
    let world = World::with(|hub| hub.limits(limits));
    let ada = world.anonymous("ada").inside(&["mine"]);
    let count = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };
    for number in 0..count {
        ada.says(&format!(r#"{{"type":"message","room":"r{number}","payload":1}}"#));
        if number % 1000 == 999 {
            // Those that are there keep their histories, and there is no room for others until their time is over.
            let full = r#""code":"unavailable","message":"there are 1000 rooms already""#;
            let heard = ada.hears();
            assert!(heard.iter().all(|heard| heard.contains(full)), "{heard:?}");
            assert_eq!(heard.len(), if number == 999 { 1 } else { 1000 });
        }
    }
    assert!(world.hub.topics().len() <= 1_000);
    world.passes(300_000);
    assert_eq!(world.hub.topics().members("mine"), 1);
    for number in 0..1000 {
        ada.says(&format!(r#"{{"type":"subscribe","room":"s{number}"}}"#));
    }
    assert_eq!(ada.hears().iter().filter(|heard| heard.contains("too_many_rooms")).count(), 1000 - 127);
    ada.hangs_up();
    assert_eq!(world.hub.stats().total_rooms, 0);
}

/// catalogue: DS-41
#[test]
fn coming_and_going_leaves_nothing() {
    let world = World::with(|hub| hub.limits(unlimited()));
    let ada = world.anonymous("ada").greeted();
    for _ in 0..2_000 {
        ada.says(r#"{"type":"subscribe","room":"r","presence":true}"#);
        ada.says(r#"{"type":"unsubscribe","room":"r"}"#);
        ada.hears();
    }
    assert_eq!(world.hub.topics().members("r"), 0);
    assert!(world.hub.topics().presence("r").is_empty());
}

/// catalogue: DS-46
#[test]
fn a_storm_of_ids_is_held_to_a_number() {
    let mut limits = unlimited();
    limits.dedupe_ids_max = 100;
    let world = World::with(|hub| hub.limits(limits));
    let ada = world.anonymous("ada").greeted();
    for id in 0..10_000 {
        ada.says(&format!(r#"{{"type":"message","id":{id},"room":"r","payload":1}}"#));
    }
    ada.hears();
    assert_eq!(
        ada.asks(r#"{"type":"message","id":9999,"room":"r","payload":1}"#),
        [r#"{"type":"ack","id":9999,"offset":10000}"#]
    );
    assert_eq!(
        ada.asks(r#"{"type":"message","id":1,"room":"r","payload":1}"#),
        [r#"{"type":"ack","id":1,"offset":10001}"#]
    );
}

/// Whatever bytes of the grammar in whatever order: an answer or none, and never a panic.
#[test]
fn noise_is_answered() {
    let world = World::with(|hub| hub.limits(unlimited()).method("m", |_, _| async { Ok(()) }));
    let ada = world.anonymous("ada").greeted();
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"type\"",
        "\"subscribe\"",
        "\"message\"",
        "\"room\"",
        "\"r\"",
        "\"payload\"",
        "1",
        "null",
        "\"id\"",
        "\"jsonrpc\"",
        "\"2.0\"",
        "\"method\"",
        "\"m\"",
        "\"\\u0000\"",
        "\"since\"",
        "-",
        "1e9",
        " ",
        "\\",
        "\"",
        "é",
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..20_000 {
        let mut said = String::new();
        for _ in 0..12 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            said.push_str(pieces[(state % pieces.len() as u64) as usize]);
        }
        for heard in ada.asks(&said) {
            assert!(serde_json::from_str::<serde_json::Value>(&heard).is_ok(), "{said} {heard}");
        }
    }
    assert_eq!(ada.is_closed_with(), None);
}

/// Each type's fields: what fits, beside `null`, which is none, and the type's other fields as they have to be.
const FIELDS: [(&str, &str, &[Shape], &str); 17] = [
    ("subscribe", "room", &[Shape::Text], ""),
    ("subscribe", "since", &[], r#","room":"r""#),
    ("subscribe", "presence", &[Shape::Bool], r#","room":"r""#),
    ("subscribe", "policy", &[], r#","room":"r""#),
    ("subscribe", "max_rate", &[Shape::Whole, Shape::Fraction], r#","room":"r""#),
    ("unsubscribe", "room", &[Shape::Text], ""),
    ("message", "room", &[Shape::Text], r#","payload":1"#),
    ("message", "echo", &[Shape::Bool], r#","room":"r","payload":1"#),
    ("message", "key", &[Shape::Text], r#","room":"r","payload":1"#),
    ("direct", "to", &[Shape::Text], r#","payload":1"#),
    ("direct", "receipt", &[Shape::Bool], r#","to":"x","payload":1"#),
    ("presence", "room", &[Shape::Text], ""),
    ("history", "room", &[Shape::Text], ""),
    ("history", "since", &[], r#","room":"r""#),
    ("history", "limit", &[Shape::Whole], r#","room":"r""#),
    ("auth", "token", &[Shape::Text], ""),
    ("ping", "type", &[Shape::Text], ""),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    Bool,
    Whole,
    Fraction,
    Else,
}

/// catalogue: DS-16
#[test]
fn a_field_of_a_wrong_type_is_an_error_and_nothing_else() {
    let world = World::with(|hub| hub.limits(unlimited()));
    let ada = world.anonymous("ada").greeted();
    let values = [
        (Shape::Text, r#""x""#),
        (Shape::Bool, "true"),
        (Shape::Whole, "7"),
        (Shape::Fraction, "1.5"),
        (Shape::Else, "-1"),
        (Shape::Else, "1e999"),
        (Shape::Else, "18446744073709551616"),
        (Shape::Else, "[]"),
        (Shape::Else, r#"["r"]"#),
        (Shape::Else, "{}"),
        (Shape::Else, r#"{"epoch":"1","offset":1}"#),
        (Shape::Else, r#"{"epoch":1}"#),
    ];
    for (kind, field, fits, rest) in FIELDS {
        for (shape, value) in values {
            let is_a_rate = field == "max_rate" && value == "18446744073709551616";
            // A limit that is too large for us is as large as it may be; a rate like that is no rate.
            if fits.contains(&shape) && !is_a_rate {
                continue;
            }
            let said = match field {
                "type" => format!(r#"{{"id":1,"type":{value}}}"#),
                _ => format!(r#"{{"id":1,"type":"{kind}"{rest},"{field}":{value}}}"#),
            };
            let heard = ada.asks(&said);
            let error = r#"{"type":"error","id":1,"code":"bad_request","message":"`"#;
            assert!(
                heard.len() == 1 && heard[0].starts_with(&format!("{error}{field}`")),
                "{said} {heard:?}"
            );
        }
    }
    assert_eq!((ada.is_closed_with(), world.hub.topics().is_empty()), (None, true));
    // An `ack` is by the hub's own id, which is a string; any other is nobody's.
    assert!(ada.asks(r#"{"type":"ack","id":7}"#)[0].contains(r#""id":7,"code":"bad_request""#));
    assert_eq!(ada.asks(r#"{"type":"ack","id":"d-00000000-1"}"#), [] as [&str; 0]);
    assert!(ada.asks(r#"{"type":"ping"}"#)[0].contains("pong"));
}

#[test]
fn parameters_and_batches_of_a_wrong_type_are_json_rpcs_errors() {
    let world = World::with(|hub| hub.limits(unlimited()));
    let ada = world.visit(framecast_hub::Visitor { is_admin: true, ..Default::default() }).greeted();
    let request = |fields: &str| format!(r#"{{"jsonrpc":"2.0","id":1,{fields}}}"#);
    for (said, code) in [
        (request(r#""method":7"#), -32600),
        (request(r#""method":"stats","params":"x""#), -32600),
        (request(r#""method":"stats","params":7"#), -32600),
        (request(r#""method":"stats","method":"stats""#), -32600),
        (request(r#""method":"rooms.list","params":{"limit":"x"}"#), -32602),
        (request(r#""method":"rooms.list","params":{"after":"a","after":"b"}"#), -32602),
        (request(r#""method":"presence","params":{"room":7}"#), -32602),
        (request(r#""method":"presence","params":["r"]"#), -32602),
        (request(r#""method":"presence","params":{"room":"a","room":"b"}"#), -32602),
        (request(r#""method":"history","params":{"room":"r","limit":-1}"#), -32602),
        (request(r#""method":"publish","params":{"room":"r"}"#), -32602),
        (request(r#""method":"publish","params":{"room":">","payload":1}"#), -32602),
        (r#"{"jsonrpc":2.0,"method":"stats","id":1}"#.to_owned(), -32600),
        (r#"{"jsonrpc":"2.0","method":"stats","id":{}}"#.to_owned(), -32600),
        (r#"[7]"#.to_owned(), -32600),
        (r#"[[]]"#.to_owned(), -32600),
        (format!("[{}]", request(r#""method":"stats","id":2"#)), -32600),
    ] {
        let heard = ada.asks(&said);
        assert!(heard.len() == 1 && heard[0].contains(&format!(r#""code":{code},"#)), "{said} {heard:?}");
    }
    assert_eq!((ada.is_closed_with(), world.hub.topics().is_empty()), (None, true));
}

/// Which of two counts is nobody's to guess: they are refused wherever they mean something, and relayed where they mean nothing to us.
#[test]
fn two_of_a_field_inside_are_refused_or_untouched() {
    let world = World::new();
    let ada = world.anonymous("ada").inside(&["r"]);
    let twice = r#"{"type":"subscribe","id":1,"room":"s","since":{"epoch":1,"epoch":2,"offset":1}}"#;
    assert!(ada.asks(twice)[0].contains(r#""id":1,"code":"bad_request","message":"`since` is not"#));
    let heard = ada.asks(r#"{"type":"message","room":"r","payload":{"a":1,"a":2}}"#);
    assert!(heard[0].contains(r#""payload":{"a":1,"a":2},"#), "{heard:?}");
}

/// catalogue: DS-16
#[test]
fn deep_json_takes_no_time_and_no_stack() {
    let world = World::with(|hub| hub.limits(unlimited()));
    // As small a stack as a thread may have.
    std::thread::scope(|scope| {
        let talk = || {
            let ada = world.anonymous("ada").greeted();
            let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
            let since = std::time::Instant::now();
            for said in [
                format!(r#"{{"type":"message","room":"r","payload":{open}{close}}}"#),
                format!(r#"{{"type":"ping","id":{open}{close}}}"#),
                format!(r#"{{"jsonrpc":"2.0","method":"m","params":{open}{close},"id":1}}"#),
                format!(r#"[{open}{close}]"#),
                format!(
                    r#"{{"type":"message","room":"r","payload":{}1{}}}"#,
                    r#"{"a":"#.repeat(100_000),
                    "}".repeat(100_000)
                ),
            ] {
                let heard = ada.asks(&said);
                assert!(heard.len() == 1 && heard[0].contains("nested deeper than 128"), "{heard:?}");
            }
            // Milliseconds, on any machine; what is quadratic takes minutes.
            assert!(since.elapsed() < std::time::Duration::from_secs(10));
            assert_eq!(ada.is_closed_with(), None);
        };
        let thread = std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, talk);
        thread.expect("there are threads").join().expect("it has not panicked");
    });
}

/// catalogue: DS-41
#[test]
fn what_a_million_names_took_is_given_back() {
    let mut limits = unlimited();
    limits.room_messages = Some(Rate { per_second: 1, burst: 1 });
    let world = World::with(|hub| hub.limits(limits));
    let ada = world.anonymous("ada").greeted();
    for number in 0..10_000 {
        ada.says(&format!(r#"{{"type":"message","room":"p{number}","payload":1}}"#));
        ada.says(&format!(r#"{{"type":"subscribe","room":"s{number}","presence":true}}"#));
    }
    assert_eq!(ada.hears().iter().filter(|heard| heard.contains(r#""type":"subscribed""#)).count(), 128);
    assert!(world.hub.topics().len() > 10_000);
    ada.hangs_up();
    world.passes(300_001);
    world.hub.topics().forget_idle();
    assert_eq!(world.hub.topics().len(), 0);
}

/// catalogue: DS-16
#[test]
fn each_part_of_a_binary_message_is_none_until_its_rooms_name_is_whole() {
    use framecast::Message;
    let world = World::with(|hub| hub.limits(unlimited()));
    let ada = world.anonymous("ada").inside(&["ré"]);
    let whole = [&b"\x00\x03"[..], "ré".as_bytes(), b"payload"].concat();
    for len in 0..=whole.len() {
        ada.sends(Message::binary(whole[..len].to_vec()));
        let heard = ada.hears();
        let expected = if len < 5 { r#"{"type":"error","id":null,"code":"bad_request","# } else { "binary" };
        assert!(heard.len() == 1 && heard[0].starts_with(expected), "{len} {heard:?}");
    }
    // A length that is the other way round, or of more than there is.
    for broken in [&b"\x03\x00r\xc3\xa9x"[..], b"\xff\xff", b"\x01\x00"] {
        ada.sends(Message::binary(broken.to_vec()));
        assert!(ada.hears()[0].contains("bad_request"));
    }
    let long = [&[1, 0][..], &[b'x'; 256]].concat();
    ada.sends(Message::binary(long));
    assert!(ada.hears()[0].contains("a room's name of 256 bytes is above 255"));
    assert_eq!(ada.is_closed_with(), None);
}

/// catalogue: HS-91
#[test]
fn a_token_that_is_a_trick_opens_nothing_and_is_not_shown() {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
    let world = World::with_tokens(|hub| hub.limits(unlimited()));
    let eve = world.anonymous("eve").greeted();
    let part = |json: &str| BASE64.encode(json);
    let good = crate::support::jwt(r#"{"sub":"ada"}"#);
    let (head, signature) = good.rsplit_once('.').expect("it has three parts");
    let (algorithm, unknown) = ("the token is signed by another algorithm", "the token is not known");
    let (claims, wrong) = ("the token's claims are not valid", "the token's signature is wrong");
    for (token, message) in [
        (format!("{}.{}.", part(r#"{"alg":"none"}"#), part(r#"{"sub":"ada"}"#)), algorithm),
        (format!("{}.{}.", part(r#"{"alg":"nOnE"}"#), part(r#"{"sub":"ada"}"#)), algorithm),
        (format!("{}.{}.{signature}", part(r#"{"alg":"HS384"}"#), part(r#"{"sub":"ada"}"#)), algorithm),
        (format!("{}.{}.{signature}", part(r#"{"alg":"HS256"}"#), part(r#"{"sub":"bob"}"#)), wrong),
        (format!("{head}."), wrong),
        (head.to_owned(), unknown),
        (format!("{good}.x"), unknown),
        (crate::support::jwt(r#"{"sub":"ada","exp":"99999999999"}"#), claims),
        (crate::support::jwt(r#"{"exp":99999999999}"#), claims),
        (crate::support::jwt(r#"{"sub":null}"#), claims),
        (crate::support::jwt(r#"{"sub":["ada"]}"#), claims),
        (crate::support::jwt(r#"{"sub":"ada","sub":"bob"}"#), claims),
        (crate::support::jwt(r#"{"sub":"a\nb"}"#), claims),
        (crate::support::jwt(r#"{"sub":"ada","pub_rooms":"*"}"#), claims),
        (crate::support::jwt(r#"{"sub":"ada","exp":1}"#), "the token has expired"),
        ("x".repeat(8193), "the token is too long"),
        (String::new(), unknown),
        ("ada-token ".to_owned(), unknown),
        ("ADA-TOKEN".to_owned(), unknown),
    ] {
        let heard = eve.asks(&format!(r#"{{"type":"auth","id":1,"token":"{token}"}}"#));
        let error = format!(r#"{{"type":"error","id":1,"code":"unauthorized","message":"{message}"}}"#);
        assert_eq!(heard, [error], "{token:.80}");
        assert!(eve.asks(r#"{"type":"subscribe","room":"r"}"#)[0].contains("unauthorized"), "{token:.80}");
    }
    assert_eq!(eve.is_closed_with(), None);
    assert!(eve.asks(&format!(r#"{{"type":"auth","token":"{good}"}}"#))[0].contains("authenticated"));
}

/// catalogue: DS-42
#[test]
fn names_of_rooms_are_checked_and_otherwise_only_what_they_are() {
    let world = World::with(|hub| hub.limits(unlimited()));
    let ada = world.anonymous("ada").greeted();
    let error = |name: &str, kind: &str| {
        let heard = ada.asks(&format!(r#"{{"type":"{kind}","id":1,"room":"{name}","payload":1}}"#));
        assert!(
            heard.len() == 1
                && heard[0].starts_with(r#"{"type":"error","id":1,"code":"bad_request","#)
                && heard[0].len() < 200,
            "{kind} {name:.80} {heard:?}"
        );
    };
    let (long, huge) = ("é".repeat(128), "x".repeat(500_000));
    for name in ["", r"\u0000", r"a\r\nQUIT", r"a\tb", r"\u007f", r"a\u0085b", r"\ud800", &long, &huge] {
        for kind in ["subscribe", "unsubscribe", "message", "presence", "history"] {
            error(name, kind);
        }
    }
    for name in ["*", ">", "a:*", "a:>", "*:a", "a:*:b"] {
        for kind in ["message", "presence", "history"] {
            error(name, kind);
        }
    }
    for name in [">:a", "a:>:b"] {
        error(name, "subscribe");
    }
    assert!(world.hub.topics().is_empty());
    // Names that look alike are not the same: bytes are.
    let alike = [
        "room",
        "Room",
        "room ",
        " room",
        "r\u{43e}\u{43e}m",
        "ro\u{200b}om",
        "\u{202e}moor",
        "café",
        "cafe\u{301}",
    ];
    let plain =
        ["../room", "framecast:room", "a*", "a>b", "[a-z]", "a:", ":a", "a::b", "{x}", "%2e", "__proto__"];
    for name in alike.iter().chain(&plain) {
        let heard = ada.asks(&format!(r#"{{"type":"subscribe","room":"{name}"}}"#));
        assert!(heard[0].contains(&format!(r#""room":"{name}","members":1,"#)), "{name} {heard:?}");
    }
    for name in alike.iter().chain(&plain) {
        let heard = ada.asks(&format!(r#"{{"type":"message","room":"{name}","payload":1}}"#));
        assert!(heard.len() == 1 && heard[0].contains(&format!(r#""room":"{name}""#)), "{name} {heard:?}");
    }
    // However it is written, it is the same.
    assert_eq!(ada.asks(r#"{"type":"message","room":"\u0072oom","payload":1}"#).len(), 1);
}

//! The negotiation of permessage-deflate, in both roles (RFC 7692 §5, §7, §7.1; catalogue §4.4).

use std::sync::Arc;
use std::time::{Duration, Instant};

use framecast::handshake::{ConnectError, Endpoint};
use framecast::proto::{
    Compression, Config, ConfigError, Connection, Deflate, DeflateTerms, DeflateTermsError, Outbound, Role,
};

use crate::support::*;

const PLAIN: &str = "permessage-deflate";
const LARGEST: DeflateTerms = DeflateTerms::LARGEST;
/// Those of [`Deflate::default`], where the client lets its window be limited.
const SMALL: DeflateTerms = DeflateTerms {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: 12,
    client_max_window_bits: 12,
};
/// What is wrong with any parameter of either side, in an offer and in an answer.
const WRONG: [&str; 31] = [
    // Sizes that are none.
    "server_max_window_bits=7",
    "server_max_window_bits=16",
    "server_max_window_bits=0",
    "server_max_window_bits=08",
    "server_max_window_bits=015",
    "server_max_window_bits=1e1",
    "server_max_window_bits=+9",
    "server_max_window_bits=-9",
    "server_max_window_bits=10.0",
    "server_max_window_bits=1111111111111111111111111111111111111111",
    "server_max_window_bits",
    "client_max_window_bits=7",
    "client_max_window_bits=16",
    "client_max_window_bits=0",
    "client_max_window_bits=08",
    "client_max_window_bits=-9",
    "client_max_window_bits=266",
    // Values where there are none.
    "server_no_context_takeover=1",
    "server_no_context_takeover=true",
    "client_no_context_takeover=x",
    "client_no_context_takeover=\"0\"",
    // The same parameter twice.
    "server_no_context_takeover; server_no_context_takeover",
    "client_no_context_takeover; client_no_context_takeover",
    "server_max_window_bits=10; server_max_window_bits=10",
    "server_max_window_bits=10; server_no_context_takeover; server_max_window_bits=11",
    "client_max_window_bits=10; client_max_window_bits=10",
    "client_max_window_bits=10; client_max_window_bits",
    // What is no parameter.
    "x",
    "Server_No_Context_Takeover",
    "max_window_bits=10",
    "server_max_window_bits=10; mem_level=9",
];

fn config(deflate: Deflate) -> Config {
    Config::builder().deflate(deflate).build().expect("terms that can be met")
}

fn line(value: &str) -> String {
    format!("Sec-WebSocket-Extensions: {value}")
}

/// What a server on these terms says to these lines of the field, and the terms it will hold to.
fn served(ours: Deflate, lines: &[&str]) -> Option<(String, DeflateTerms)> {
    let config = config(ours);
    let input = base_and(lines.iter().map(|value| line(value)));
    let answer = answer_of(&config, &Endpoint::new(), &input).expect("an answer");
    let Served::Request(request, _) = serve_pieces(&config, &Endpoint::new().into(), &[&input]) else {
        panic!("{lines:?} are well formed")
    };
    let response = request.accept();
    assert_eq!(response.encode(), answer);
    let Some(terms) = response.deflate() else {
        assert_eq!(answer, SWITCHING, "declined without a word");
        return None;
    };
    let rest = answer.strip_prefix(&SWITCHING[..SWITCHING.len() - 2]).expect("the 101, and one more line");
    let rest = std::str::from_utf8(rest).expect("ASCII").strip_prefix("Sec-WebSocket-Extensions: ");
    let said = rest.and_then(|rest| rest.strip_suffix("\r\n\r\n")).expect("one line");
    assert!(!said.contains("\r\n"), "{said}");
    Some((said.to_owned(), terms))
}

fn offered(ours: Deflate) -> String {
    let (bytes, _) = client_request().start(&config(ours), KEY);
    let text = String::from_utf8(bytes).expect("ASCII");
    let rest = text.strip_prefix(std::str::from_utf8(&head(BASE)[..head(BASE).len() - 2]).expect("ASCII"));
    let rest = rest.and_then(|rest| rest.strip_prefix("Sec-WebSocket-Extensions: "));
    rest.and_then(|rest| rest.strip_suffix("\r\n\r\n")).expect("one more line").to_owned()
}

/// What a client on these terms makes of these lines in the 101.
fn taken(ours: Deflate, lines: &[&str]) -> Result<Option<DeflateTerms>, ConnectError> {
    let lines: Vec<_> = lines.iter().map(|value| line(value)).collect();
    let input = answer_and(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    client_of(&config(ours), &client_request(), &input).map(|(established, _)| established.deflate())
}

// ---- the server

/// RFC 7692 §5, §7.1.3 · catalogue: PN-01
#[test]
fn server_accepts_the_plain_offer_on_its_own_terms() {
    let said = served(Deflate::takeover(), &[PLAIN]);
    assert_eq!(said, Some((PLAIN.to_owned(), LARGEST)));
    // The client does not say that its window can be limited, so nothing is asked of it; ours is 12 bits, told or not.
    let said = served(Deflate::default(), &[PLAIN]);
    let wanted = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(said, Some((wanted.to_owned(), DeflateTerms { client_max_window_bits: 15, ..SMALL })));
    // With compression off it is not a word of the answer.
    assert_eq!(answer(&base_and([line(PLAIN)])), SWITCHING);
}

/// RFC 7692 §7.1.2.2 · catalogue: PN-02
#[test]
fn server_limits_the_window_of_a_client_that_lets_it() {
    let offer = "permessage-deflate; client_max_window_bits";
    let wanted = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits=12";
    assert_eq!(served(Deflate::default(), &[offer]), Some((wanted.to_owned(), SMALL)));
    // There is nothing to say where the largest one will do.
    assert_eq!(served(Deflate::takeover(), &[offer]), Some((PLAIN.to_owned(), LARGEST)));
}

/// RFC 7692 §7.1.2.2
#[test]
fn server_never_names_the_window_of_a_client_that_did_not() {
    for bits in 9..=15 {
        for offer in [PLAIN, "permessage-deflate; server_max_window_bits=10; client_no_context_takeover"] {
            let (said, terms) =
                served(Deflate::default().client_max_window_bits(bits), &[offer]).expect("accepted");
            assert!(!said.contains("client_max_window_bits"), "{said}");
            assert_eq!(terms.client_max_window_bits, 15);
        }
    }
}

/// RFC 7692 §7.1.2.1, §7.1.2.2 · catalogue: PN-03. No compressor here does 8 bits, so an offer of them is declined.
#[test]
fn server_answers_every_window_with_the_same_or_a_smaller_one() {
    for ours in [9, 12, 15] {
        let config = Deflate::takeover().server_max_window_bits(ours).client_max_window_bits(ours);
        for asked in 8..=15u8 {
            let bits = asked.min(ours);
            let met = |said: String, terms| (asked >= 9).then_some((said, terms));
            let offer = format!("permessage-deflate; server_max_window_bits={asked}");
            let wanted = format!("permessage-deflate; server_max_window_bits={bits}");
            let terms = DeflateTerms { server_max_window_bits: bits, ..LARGEST };
            assert_eq!(served(config, &[&offer]), met(wanted, terms), "{offer} of {ours}");

            let offer = format!("permessage-deflate; client_max_window_bits={asked}");
            let wanted = match bits {
                15 => PLAIN.to_owned(),
                _ => format!("permessage-deflate; client_max_window_bits={bits}"),
            };
            let terms =
                DeflateTerms { client_max_window_bits: bits, server_max_window_bits: ours, ..LARGEST };
            assert_eq!(served(config, &[&offer]), met(wanted, terms), "{offer} of {ours}");
        }
    }
}

/// RFC 7692 §7.1.1
#[test]
fn server_grants_every_no_context_takeover_that_is_asked_for_and_adds_its_own() {
    let of = |server, client| DeflateTerms {
        server_no_context_takeover: server,
        client_no_context_takeover: client,
        ..LARGEST
    };
    for (asked, ours, wanted, terms) in [
        ("server", "", "; server_no_context_takeover", of(true, false)),
        ("client", "", "; client_no_context_takeover", of(false, true)),
        ("", "server", "; server_no_context_takeover", of(true, false)),
        ("", "client", "; client_no_context_takeover", of(false, true)),
        ("client", "server", "; server_no_context_takeover; client_no_context_takeover", of(true, true)),
        ("server", "server", "; server_no_context_takeover", of(true, false)),
    ] {
        let offer = match asked {
            "" => PLAIN.to_owned(),
            side => format!("permessage-deflate; {side}_no_context_takeover"),
        };
        let ours = Deflate::takeover()
            .server_no_context_takeover(ours == "server")
            .client_no_context_takeover(ours == "client");
        assert_eq!(served(ours, &[&offer]), Some((format!("{PLAIN}{wanted}"), terms)), "{offer}");
    }
}

/// RFC 6455 §9.1 · catalogue: PN-04
#[test]
fn quoted_sizes_are_sizes() {
    let offer = "permessage-deflate; server_max_window_bits=\"10\"; client_max_window_bits=\"1\\1\"";
    let wanted = "permessage-deflate; server_max_window_bits=10; client_max_window_bits=11";
    let terms = DeflateTerms { server_max_window_bits: 10, client_max_window_bits: 11, ..LARGEST };
    assert_eq!(served(Deflate::takeover(), &[offer]), Some((wanted.to_owned(), terms)));
    assert_eq!(taken(Deflate::takeover(), &[offer]), Ok(Some(terms)));
}

/// RFC 7692 §7 · catalogue: PN-04, PN-05, PN-06, PN-07
#[test]
fn server_declines_wrong_parameters_and_the_connection_opens_without_compression() {
    for ours in [Deflate::default(), Deflate::takeover()] {
        for wrong in WRONG {
            assert_eq!(served(ours, &[&format!("permessage-deflate; {wrong}")]), None, "{wrong}");
        }
        let twice = "permessage-deflate; client_max_window_bits; client_max_window_bits";
        assert_eq!(served(ours, &[twice]), None);
    }
}

/// RFC 6455 §9.1 · catalogue: PN-04. What is no parameter by the grammar is no matter of terms any more.
#[test]
fn a_size_that_is_missing_behind_its_sign_is_answered_with_400() {
    for bad in ["server_max_window_bits=", "client_max_window_bits=", "client_max_window_bits=\"\""] {
        let input = base_and([line(&format!("permessage-deflate; {bad}"))]);
        let answer = answer_of(&config(Deflate::default()), &Endpoint::new(), &input).expect("an answer");
        assert_eq!(status(&answer), 400, "{bad}");
        let answer = taken(Deflate::takeover(), &[&format!("permessage-deflate; {bad}")]);
        assert_eq!(answer, Err(ConnectError::Extension), "{bad}");
    }
}

/// RFC 7692 §5 · catalogue: PN-08, HS-67
#[test]
fn server_takes_the_first_offer_that_it_can_meet() {
    let wanted = |bits| {
        let terms = DeflateTerms { server_max_window_bits: bits, ..LARGEST };
        Some((format!("permessage-deflate; server_max_window_bits={bits}"), terms))
    };
    for wrong in WRONG {
        let bad = format!("permessage-deflate; {wrong}");
        let good = "permessage-deflate; server_max_window_bits=11";
        assert_eq!(served(Deflate::takeover(), &[&format!("{bad}, {good}")]), wanted(11), "{bad}");
    }
    for (lines, bits) in [
        (&["foo, permessage-deflate; server_max_window_bits=11, permessage-deflate"][..], 11),
        (&["foo", "permessage-deflate; server_max_window_bits=12", "permessage-deflate"], 12),
        (
            &["permessage-deflate; server_max_window_bits=8", "permessage-deflate; server_max_window_bits=9"],
            9,
        ),
        (&["permessage-deflate; server_max_window_bits=13, permessage-deflate; x"], 13),
        (&["permessage-bzip2", "permessage-deflate; server_max_window_bits=14, bar; x=1"], 14),
    ] {
        assert_eq!(served(Deflate::takeover(), lines), wanted(bits), "{lines:?}");
    }
    assert_eq!(served(Deflate::takeover(), &["foo, permessage-deflate; x", "bar"]), None);
}

/// catalogue: PN-09
#[test]
fn sixteen_offers_are_looked_at_and_no_more() {
    let behind = |bad: &str, count: usize| format!("{}{PLAIN}", format!("{bad}, ").repeat(count));
    for bad in ["foo", "permessage-deflate; x"] {
        let accepted = served(Deflate::takeover(), &[&behind(bad, 15)]);
        assert_eq!(accepted, Some((PLAIN.to_owned(), LARGEST)), "{bad}");
        assert_eq!(served(Deflate::takeover(), &[&behind(bad, 16)]), None, "{bad}");
    }
    // Beyond 128 names a list is none.
    let start = Instant::now();
    let input = base_and([line(&behind("a", 1000))]);
    let served = serve_pieces(&config(Deflate::takeover()), &Endpoint::new().into(), &[&input]);
    assert!(matches!(served, Served::Refused(error) if error.status() == 400), "{served:?}");
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
}

/// RFC 6455 §9.1 · catalogue: PN-15
#[test]
fn extensions_of_other_names_are_passed_over() {
    for other in [
        "x-webkit-deflate-frame",
        "permessage-bzip2",
        "deflate-frame",
        "permessage-deflate-2; client_max_window_bits",
        "PERMESSAGE-DEFLATE",
        "foo; server_no_context_takeover",
    ] {
        assert_eq!(served(Deflate::default(), &[other]), None, "{other}");
        let both = format!("{other}, {PLAIN}");
        assert_eq!(served(Deflate::takeover(), &[&both]), Some((PLAIN.to_owned(), LARGEST)), "{other}");
        assert_eq!(taken(Deflate::takeover(), &[other]), Err(ConnectError::Extension), "{other}");
    }
}

/// RFC 7692 §5
#[test]
fn an_application_declines_compression_for_one_connection() {
    let config = config(Deflate::default());
    let input = base_and([line("permessage-deflate; client_max_window_bits")]);
    let Served::Request(request, _) = serve_pieces(&config, &Endpoint::new().into(), &[&input]) else {
        panic!("a request")
    };
    assert_eq!(request.accept().deflate(), Some(SMALL));
    let response = request.accept().without_deflate();
    assert_eq!((response.deflate(), response.encode()), (None, SWITCHING.to_vec()));
}

// ---- the client

/// RFC 7692 §5, §7.1.3
#[test]
fn client_offers_what_it_asks_for_and_lets_its_window_be_limited() {
    let takeover = Deflate::takeover();
    for (ours, wanted) in [
        (takeover, "permessage-deflate; client_max_window_bits"),
        (takeover.fallback(true), "permessage-deflate; client_max_window_bits"),
        (
            Deflate::default(),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             server_max_window_bits=12; client_max_window_bits=12",
        ),
        (
            Deflate::default().fallback(true),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             server_max_window_bits=12; client_max_window_bits=12, \
             permessage-deflate; client_max_window_bits",
        ),
        (
            takeover.server_max_window_bits(10).fallback(true),
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits, \
             permessage-deflate; client_max_window_bits",
        ),
        (
            takeover.client_no_context_takeover(true),
            "permessage-deflate; client_no_context_takeover; client_max_window_bits",
        ),
        (
            takeover.client_max_window_bits(9).level(9).threshold(0),
            "permessage-deflate; client_max_window_bits=9",
        ),
    ] {
        assert_eq!(offered(ours), wanted);
    }
    let (bytes, _) = client_request().start(&Config::default(), KEY);
    assert_eq!(bytes, head(BASE), "off: not a word of it");
}

/// RFC 7692 §5
#[test]
fn every_offer_of_a_client_is_met_by_a_server_of_ours() {
    for bits in 9..=15 {
        for ours in [Deflate::default(), Deflate::takeover(), Deflate::default().fallback(true)] {
            let client = ours.client_max_window_bits(bits).server_max_window_bits(24 - bits);
            for server in [Deflate::default(), Deflate::takeover()] {
                let (said, mut terms) = served(server, &[&offered(client)]).expect("met");
                if !said.contains("server_max_window_bits") {
                    // It was not asked, and need not tell: the client is ready for the largest.
                    terms.server_max_window_bits = 15;
                }
                assert_eq!(taken(client, &[&said]), Ok(Some(terms)), "{said}");
            }
        }
    }
}

/// RFC 7692 §5
#[test]
fn client_goes_on_without_compression_where_the_server_says_nothing_of_it() {
    for ours in [Deflate::default(), Deflate::takeover().fallback(true)] {
        assert_eq!(taken(ours, &[]), Ok(None));
    }
}

/// RFC 7692 §7.1.1.2, §7.1.2.2 · catalogue: PN-01, PN-03
#[test]
fn client_takes_whatever_limits_itself_or_the_server_more() {
    for (said, terms) in [
        ("", LARGEST),
        ("; client_no_context_takeover", DeflateTerms { client_no_context_takeover: true, ..LARGEST }),
        ("; server_no_context_takeover", DeflateTerms { server_no_context_takeover: true, ..LARGEST }),
        ("; server_max_window_bits=15", LARGEST),
        ("; client_max_window_bits=15", LARGEST),
        (
            "; client_max_window_bits=12; server_max_window_bits=12; client_no_context_takeover; \
             server_no_context_takeover",
            SMALL,
        ),
    ] {
        assert_eq!(taken(Deflate::takeover(), &[&format!("{PLAIN}{said}")]), Ok(Some(terms)), "{said}");
    }
    for bits in 8..=15 {
        let said = format!("permessage-deflate; server_max_window_bits={bits}");
        let terms = DeflateTerms { server_max_window_bits: bits, ..LARGEST };
        assert_eq!(taken(Deflate::takeover(), &[&said]), Ok(Some(terms)));
        let said = format!("permessage-deflate; client_max_window_bits={bits}");
        let terms = DeflateTerms { client_max_window_bits: bits, ..LARGEST };
        assert_eq!(taken(Deflate::takeover(), &[&said]), Ok(Some(terms)));
    }
}

/// A hint that the server leaves aside binds the client alone, which uses the smaller window: RFC 7692 §7.1.2.2, §7.2.1.
#[test]
fn client_that_said_how_small_its_window_is_keeps_to_that() {
    let ours = Deflate::takeover().client_max_window_bits(10).client_no_context_takeover(true);
    for (said, bits) in [
        ("", 10),
        ("; client_max_window_bits=15", 10),
        ("; client_max_window_bits=11", 10),
        ("; client_max_window_bits=10", 10),
        ("; client_max_window_bits=9", 9),
    ] {
        let terms =
            DeflateTerms { client_max_window_bits: bits, client_no_context_takeover: true, ..LARGEST };
        assert_eq!(taken(ours, &[&format!("{PLAIN}{said}")]), Ok(Some(terms)), "{said}");
    }
}

/// RFC 7692 §7.1.2.2 · catalogue: PN-10. Every offer of ours has the parameter; without offers, nothing may be answered.
#[test]
fn no_offer_of_a_client_leaves_its_window_out() {
    for bits in 9..=15 {
        for ours in [Deflate::default(), Deflate::takeover(), Deflate::default().fallback(true)] {
            let offers = offered(ours.client_max_window_bits(bits));
            assert!(offers.split(", ").all(|offer| offer.contains("; client_max_window_bits")), "{offers}");
        }
    }
    let input = answer_and(&["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10"]);
    assert_eq!(client_error(&input), ConnectError::Extension);
}

/// RFC 7692 §7.1.1.1, §7.1.2.1 · catalogue: PN-11, PN-12
#[test]
fn client_fails_if_the_server_does_not_limit_itself_as_asked() {
    let window = Deflate::takeover().server_max_window_bits(10);
    for said in
        ["", "; server_max_window_bits=11", "; server_max_window_bits=15", "; client_max_window_bits=10"]
    {
        let answer = format!("{PLAIN}{said}");
        assert_eq!(taken(window, &[&answer]), Err(ConnectError::DeflateTerms), "{said}");
        // It may: there is a second offer that this answers.
        assert!(matches!(taken(window.fallback(true), &[&answer]), Ok(Some(_))), "{said}");
    }
    for bits in 8..=10 {
        let said = format!("permessage-deflate; server_max_window_bits={bits}");
        let terms = DeflateTerms { server_max_window_bits: bits, ..LARGEST };
        assert_eq!(taken(window, &[&said]), Ok(Some(terms)));
    }
    let context = Deflate::takeover().server_no_context_takeover(true);
    for said in ["", "; client_no_context_takeover", "; server_max_window_bits=9"] {
        let answer = format!("{PLAIN}{said}");
        assert_eq!(taken(context, &[&answer]), Err(ConnectError::DeflateTerms), "{said}");
        assert!(matches!(taken(context.fallback(true), &[&answer]), Ok(Some(_))), "{said}");
    }
}

/// RFC 7692 §5: the terms say which offer was taken.
#[test]
fn client_with_a_fallback_holds_to_the_terms_of_the_answer() {
    let ours = Deflate::default().fallback(true);
    let asked = "permessage-deflate; server_no_context_takeover; server_max_window_bits=12";
    // What the client said of itself holds, whichever offer was taken.
    assert_eq!(taken(ours, &[asked]), Ok(Some(SMALL)));
    let any = DeflateTerms { server_no_context_takeover: false, server_max_window_bits: 15, ..SMALL };
    assert_eq!(taken(ours, &[PLAIN]), Ok(Some(any)));
}

/// RFC 7692 §7 · catalogue: PN-04, PN-05, PN-06, PN-07, PN-13
#[test]
fn client_fails_over_wrong_parameters_and_over_two_answers() {
    for ours in [Deflate::takeover(), Deflate::default().fallback(true)] {
        let fails =
            |lines: &[&str]| assert_eq!(taken(ours, lines), Err(ConnectError::DeflateTerms), "{lines:?}");
        for wrong in WRONG {
            fails(&[&format!("permessage-deflate; {wrong}")]);
        }
        // Without a value it is an offer's.
        fails(&["permessage-deflate; client_max_window_bits"]);
        fails(&["permessage-deflate, permessage-deflate"]);
        fails(&[PLAIN, PLAIN]);
        fails(&["permessage-deflate; server_no_context_takeover, permessage-deflate"]);
    }
}

/// RFC 7692 §5, RFC 6455 §4.1 item 5 · catalogue: PN-14
#[test]
fn client_fails_over_another_extension_beside_compression_or_without_an_offer() {
    for lines in
        [&["permessage-deflate, foo"][..], &["foo, permessage-deflate"], &[PLAIN, "foo"], &[""], &[";"]]
    {
        assert_eq!(taken(Deflate::takeover(), lines), Err(ConnectError::Extension), "{lines:?}");
    }
    for said in [PLAIN, "permessage-deflate; server_no_context_takeover"] {
        assert_eq!(client_error(&answer_and(&[&line(said)])), ConnectError::Extension);
    }
}

// ---- what was agreed on, in use

/// Bytes without any order that a compressor could find.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Whether `message` leaves compressed.
fn is_compressed(connection: &mut Connection, message: &[u8]) -> bool {
    let (now, mut outbound, mut written) = (Instant::now(), Outbound::default(), Vec::new());
    connection.send_with(message, Compression::Always, &mut outbound).expect("room");
    while let Some(transmit) = connection.poll_transmit(now, &mut outbound) {
        let before = written.len();
        transmit.slices().iter().for_each(|slice| written.extend_from_slice(slice));
        transmit.wrote(written.len() - before);
    }
    written[0] & 0x40 != 0
}

fn connection(role: Role, terms: DeflateTerms) -> Connection {
    Connection::new(Arc::new(config(Deflate::default())), role, Instant::now(), 0).with_deflate(Some(terms))
}

/// RFC 7692 §7.1.2, §7.2.1 · catalogue: PN-03
#[test]
fn a_compressor_refers_back_no_further_than_was_agreed() {
    for bits in 9..=15u8 {
        let offer = format!("permessage-deflate; server_max_window_bits={bits}");
        let (_, of_server) = served(Deflate::takeover(), &[&offer]).expect("accepted");
        let answer = format!("permessage-deflate; client_max_window_bits={bits}");
        let of_client = taken(Deflate::takeover(), &[&answer]).expect("taken").expect("compression");
        for (role, terms) in [(Role::Server, of_server), (Role::Client, of_client)] {
            let window = 1 << bits;
            // zlib leaves 262 bytes of its window unused.
            for (distance, within) in [(window + 1, false), (window - 300, true)] {
                let block = noise(window + 1)[..window - 300].to_vec();
                let message = [&noise(window + 1)[..distance], &block].concat();
                let compressed = is_compressed(&mut connection(role, terms), &message);
                assert_eq!(compressed, within, "{role:?}, {bits} bits, {distance} back");
            }
        }
    }
}

/// Once, sizes came from the wire to the compressor's own check, which panics: RFC 7692 §7.1.2 · catalogue: PN-20, V-24
#[test]
fn no_size_is_one_that_a_compressor_refuses() {
    let message = [b'a'; 2000];
    for bits in [0, 1, 7, 8, 9, 14, 15, 16, 31, 64, 255] {
        for takeover in [true, false] {
            let terms = DeflateTerms {
                server_no_context_takeover: !takeover,
                client_no_context_takeover: !takeover,
                server_max_window_bits: bits,
                client_max_window_bits: bits,
            };
            for role in [Role::Server, Role::Client] {
                let compressed = is_compressed(&mut connection(role, terms), &message);
                assert_eq!(compressed, bits >= 9, "{role:?}, {bits} bits: below 9 nothing is compressed");
            }
        }
    }
    // What is agreed on over the wire is never outside of 8 to 15 to begin with, and 9 for what a server sends.
    for bits in 0..=255u8 {
        let offer =
            format!("permessage-deflate; server_max_window_bits={bits}; client_max_window_bits={bits}");
        let served = served(Deflate::takeover(), &[&offer]).map(|(_, terms)| terms.server_max_window_bits);
        assert_eq!(served, (9..=15).contains(&bits).then_some(bits));
        assert_eq!(taken(Deflate::takeover(), &[&offer]).is_ok(), (8..=15).contains(&bits), "{bits}");
    }
}

// ---- the terms as configured and as text

/// Read back whole, so that a default that changes is seen.
#[test]
fn defaults_are_a_servers_small_terms() {
    let by_hand = Deflate::takeover()
        .server_no_context_takeover(true)
        .client_no_context_takeover(true)
        .server_max_window_bits(12)
        .client_max_window_bits(12)
        .threshold(1024)
        .level(3)
        .fallback(false);
    assert_eq!(Deflate::default(), by_hand);
    assert_ne!(Deflate::default(), Deflate::takeover());
}

#[test]
fn config_refuses_terms_that_cannot_be_met() {
    let build = |deflate| Config::builder().deflate(deflate).build().err();
    let takeover = Deflate::takeover();
    for bits in [0, 7, 8, 16, 255] {
        assert_eq!(build(takeover.server_max_window_bits(bits)), Some(ConfigError::Deflate), "{bits}");
        assert_eq!(build(takeover.client_max_window_bits(bits)), Some(ConfigError::Deflate), "{bits}");
    }
    for level in [0, 10, 255] {
        assert_eq!(build(takeover.level(level)), Some(ConfigError::Deflate), "{level}");
    }
    for bits in [9, 15] {
        let deflate = takeover.server_max_window_bits(bits).client_max_window_bits(bits);
        assert_eq!((build(deflate.level(1)), build(deflate.level(9))), (None, None));
    }
    let text = ConfigError::Deflate.to_string();
    assert_eq!(text, "deflate takes windows of 9 to 15 bits and levels of 1 to 9");
}

#[test]
fn compression_and_parts_exclude_each_other() {
    let parts = |deflate: Option<Deflate>| Config::builder().parts(true).deflate(deflate).build().err();
    assert_eq!(parts(Some(Deflate::default())), Some(ConfigError::DeflateInParts));
    assert_eq!(parts(None), None);
    assert_eq!(ConfigError::DeflateInParts.to_string(), "deflate and parts exclude each other");
}

#[test]
fn terms_are_read_from_text() {
    let takeover = Deflate::takeover();
    for (text, wanted) in [
        ("", takeover),
        (" ; ,", takeover),
        ("server_no_context_takeover", takeover.server_no_context_takeover(true)),
        ("client_no_context_takeover", takeover.client_no_context_takeover(true)),
        ("server_max_window_bits=9", takeover.server_max_window_bits(9)),
        ("client_max_window_bits=15", takeover),
        ("threshold=0", takeover.threshold(0)),
        ("level=9", takeover.level(9)),
        ("fallback", takeover.fallback(true)),
        (
            "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12; \
             client_max_window_bits=12; threshold=1024; level=3",
            Deflate::default(),
        ),
        (" level = 1 ,fallback;; threshold= 70000 ", takeover.level(1).fallback(true).threshold(70_000)),
    ] {
        assert_eq!(text.parse(), Ok(wanted), "{text}");
    }
}

#[test]
fn terms_that_there_are_not_are_named_in_the_error() {
    for param in [
        "x",
        "x=1",
        "permessage-deflate",
        "Level=1",
        "server_no_context_takeover=1",
        "client_no_context_takeover=",
        "fallback=yes",
        "server_max_window_bits",
        "server_max_window_bits=8",
        "server_max_window_bits=16",
        "server_max_window_bits=265",
        "client_max_window_bits",
        "client_max_window_bits=8",
        "client_max_window_bits=-9",
        "client_max_window_bits=ten",
        "level",
        "level=0",
        "level=10",
        "level=257",
        "threshold",
        "threshold=",
        "threshold=-1",
        "threshold=1k",
        "threshold=99999999999999999999999",
    ] {
        let error = DeflateTermsError { param: param.to_owned() };
        assert_eq!(format!("fallback; {param}, level=1").parse::<Deflate>(), Err(error.clone()), "{param}");
        assert!(error.to_string().starts_with(&format!("{param:?}: ")), "{error}");
    }
    for twice in ["level=1; level=2", "fallback, fallback"] {
        assert!(twice.parse::<Deflate>().is_err(), "{twice}");
    }
    // What a user typed is shown with its control bytes escaped.
    let error = "\x1b[2J".parse::<Deflate>().expect_err("no parameter");
    assert!(!error.to_string().contains('\x1b'), "{error}");
}

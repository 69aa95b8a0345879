//! What it is told, and by whom.

use std::{io::Read, net::TcpListener};

use crate::{
    client::{Client, get, upgraded},
    process::{Serve, file, refused, run},
};

#[test]
fn it_needs_no_configuration_and_says_where_it_listens() {
    let serve = Serve::start(&[]);
    let port = serve.url.strip_prefix("http://127.0.0.1:").and_then(|rest| rest.strip_suffix('/'));
    assert_ne!(port.expect("a URL").parse::<u16>().expect("a port"), 0);
    assert!(get(&serve, "/health").starts_with("HTTP/1.1 200 "));
    let mut client = Client::open(&serve, "/ws");
    client.subscribe("news");
    let open = serve.logs("in a browser");
    assert_eq!(open, format!("framecast: open {} in a browser; Ctrl-C stops it", serve.url));
    assert_eq!(
        serve.logs("framecast: "),
        "framecast: REST and /metrics answer to this machine alone, without an --admin-token"
    );
}

#[test]
fn a_wrong_file_is_told_with_its_line() {
    let text =
        "# who is believed\nlisten = '127.0.0.1:0'\ntrusted-proxy = [\n  '127.0.0.1',\n  '10.0.0',\n]\n";
    let path = file("framecast.toml", text);
    let path = path.to_str().expect("UTF-8");
    let expected = format!("{path}:5: trusted-proxy: \"10.0.0\" is neither an address nor a network");
    assert_eq!(refused(&["serve", "--config", path], &[]), expected);
    assert_eq!(refused(&["serve"], &[("FRAMECAST_CONFIG", path)]), expected);
    let missing = refused(&["serve", "--config", "no-such.toml"], &[]);
    assert!(missing.starts_with("cannot read no-such.toml: "), "{missing}");
}

#[test]
fn wrong_options_and_variables_are_told_in_a_line() {
    for (arguments, environment, expected) in [
        (
            &["--origin", "x"][..],
            &[][..],
            "invalid value 'x' for '--origin <any|ORIGIN>': \"x\" is not scheme://host[:port]",
        ),
        (&["--message-rate", "0"], &[], "invalid value '0' for '--message-rate <N>': must be at least 1"),
        (&["--lisen", "x"], &[], "unexpected argument '--lisen' found"),
        (
            &[],
            &[("FRAMECAST_TRUSTED_PROXY", "::1, 10.0.0")],
            "FRAMECAST_TRUSTED_PROXY: \"10.0.0\" is neither an address nor a network",
        ),
        (
            &[],
            &[("FRAMECAST_JWT_SECRT", "s3cret")],
            "FRAMECAST_JWT_SECRT: no such option; did you mean FRAMECAST_JWT_SECRET?",
        ),
        (&[], &[("FRAMECAST_LOG", "xml")], "FRAMECAST_LOG: \"xml\": must be one of text, json"),
        (
            &["--public-url", "https://example.com/hub/"],
            &[],
            "invalid value 'https://example.com/hub/' for '--public-url <URL>': \"https://example.com/hub/\" is not \
            scheme://host[:port]",
        ),
        (
            &["--jwt-secret", "s3cret"],
            &[],
            "--jwt-secret: the secret has 6 bytes, and HS256 needs 32 or more (RFC 7518 §3.2)",
        ),
        (&["--tls-cert", "a"], &[], "--tls-cert is of no use without --tls-key"),
        (
            &["--broker", "redis://a:s3cret@b"],
            &[],
            "--broker redis://…: not yet; this version serves from one process",
        ),
        (
            &["--allow-anonymous=false"],
            &[],
            "--allow-anonymous: nobody could join: give --jwt-secret, --jwt-public-key or --tokens, or leave it out",
        ),
    ] {
        assert_eq!(refused(&[&["serve"], arguments].concat(), environment), expected);
    }
}

/// The command line before the environment, and that before the file.
#[test]
fn who_counts_first_is_heard() {
    let path = file("framecast.toml", "admin-token = 'of-the-file'\n");
    let path = path.to_str().expect("UTF-8");
    let environment = [("FRAMECAST_ADMIN_TOKEN", "of-the-environment"), ("FRAMECAST_ADMIN_TOKEN", "")];
    for (serve, token) in [
        (Serve::with(&["--config", path, "--admin-token", "of-the-line"], &environment[..1]), "of-the-line"),
        (Serve::with(&["--config", path], &environment[..1]), "of-the-environment"),
        (Serve::with(&["--config", path], &environment[1..]), "of-the-file"),
    ] {
        for other in ["of-the-line", "of-the-environment", "of-the-file"] {
            let (status, _, stderr) = serve.publish(&["news", "1", "--admin-token", other]);
            assert_eq!(status, if other == token { 0 } else { 4 }, "{token} {other}: {stderr}");
        }
    }
}

/// PROTOCOL: beyond loopback not without authentication, unless it is said.
#[test]
fn it_is_open_to_the_world_only_if_told_so() {
    let anywhere = ["serve", "--listen", "0.0.0.0:0"];
    let line = refused(&anywhere, &[]);
    let (address, why) = line.split_once(' ').expect("words");
    assert!(address.starts_with("0.0.0.0:"), "{line}");
    assert_eq!(
        why,
        "can be reached from elsewhere, and everybody could join: give --jwt-secret, --jwt-public-key or --tokens, \
        or say --allow-anonymous"
    );
    for options in [&["--allow-anonymous"][..], &["--jwt-secret", JWT_SECRET]] {
        let serve = Serve::of(crate::process::command(&[&anywhere, options].concat(), &[]));
        assert!(serve.url.starts_with("http://0.0.0.0:"), "{}", serve.url);
    }
}

/// A proxy on this machine makes it reachable from elsewhere, whatever it listens on.
#[test]
fn behind_a_proxy_it_is_open_only_if_told_so() {
    let proxy = ["serve", "--listen", "127.0.0.1:0", "--trusted-proxy", "127.0.0.1"];
    let public = ["serve", "--listen", "127.0.0.1:0", "--public-url", "https://example.com"];
    let words = "can be reached from elsewhere, and everybody could join: give --jwt-secret, --jwt-public-key or \
        --tokens, or say --allow-anonymous";
    assert_eq!(refused(&proxy, &[]), format!("with --trusted-proxy it {words}"));
    assert_eq!(refused(&public, &[]), format!("with --public-url it {words}"));
    let path = file("framecast.toml", "public_url = 'https://example.com'\n");
    let config = ["serve", "--config", path.to_str().expect("UTF-8")];
    assert_eq!(refused(&config, &[]), format!("with --public-url it {words}"));
    for (arguments, options) in [(proxy, &["--allow-anonymous"][..]), (public, &["--jwt-secret", JWT_SECRET])]
    {
        let serve = Serve::of(crate::process::command(&[&arguments, options].concat(), &[]));
        assert!(serve.url.starts_with("http://127.0.0.1:"), "{}", serve.url);
    }
}

/// What other parts read, and what Kubernetes puts there.
#[test]
fn variables_of_others_are_let_through() {
    let serve = Serve::with(
        &[],
        &[
            ("FRAMECAST_SERVER", "http://127.0.0.1:8000"),
            ("FRAMECAST_SERVE", "framecast serve"),
            ("FRAMECAST_ECHO_CLIENT", "echo_client"),
            ("FRAMECAST_SERVICE_HOST", "10.0.0.1"),
            ("FRAMECAST_PORT_8000_TCP", "tcp://10.0.0.1:8000"),
        ],
    );
    assert!(get(&serve, "/health").starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let (status, stdout, stderr) = run(&["serve", "--listen", &address], &[]);
    assert_eq!((status, stdout.as_str()), (1, ""));
    assert!(stderr.starts_with(&format!("framecast: cannot listen on {address}: ")), "{stderr}");
}

#[test]
fn tokens_are_those_of_their_file() {
    let path = file("tokens", "s3cret ada\n");
    let path = path.to_str().expect("UTF-8");
    let serve = Serve::start(&["--tokens", path]);
    let mut client = Client::connect(&serve, "/ws?token=s3cret", None);
    assert_eq!(client.next()["user_id"], "ada");
    let end = Client::connect(&serve, "/ws?token=other", None).closed();
    assert_eq!(end.code.0, 4001);

    let nobody = file("tokens", "# nobody yet\n");
    let lonely = file("tokens", "s3cret ada\ns3cret-of-nobody\n");
    let twice = file("tokens", "s3cret ada\n# again\ns3cret bob\n");
    let key = file("key.pem", "s3cret");
    for (option, path, expected) in [
        ("--tokens", &nobody, "there is no token in it"),
        ("--tokens", &lonely, "line 2 is not `token user_id`"),
        ("--tokens", &twice, "line 3 has a token that was there before"),
        ("--jwt-public-key", &key, "not the PEM of a public key of RSA or Ed25519"),
    ] {
        let path = path.to_str().expect("UTF-8");
        assert_eq!(refused(&["serve", option, path], &[]), format!("{option}: {path}: {expected}"));
    }
    let missing = refused(&["serve", "--tokens", "no-such-file"], &[]);
    assert!(missing.starts_with("--tokens: no-such-file: "), "{missing}");
}

/// Whether a token is let in is told by the first message, or by the Close.
#[test]
fn tokens_are_of_the_audience_and_the_issuer_that_were_said() {
    let narrow = ["--jwt-secret", JWT_SECRET, "--jwt-audience", "chat", "--jwt-issuer", "shop"];
    let (wide, narrow) = (Serve::start(&narrow[..2]), Serve::start(&narrow));
    for (token, is_ours) in [(OURS, true), (OF_MAIL, false), (OF_ELSE, false), (OF_NOBODY, false)] {
        let path = format!("/ws?token={token}");
        assert_eq!(Client::connect(&wide, &path, None).next()["user_id"], "ada");
        let mut client = Client::connect(&narrow, &path, None);
        match is_ours {
            true => assert_eq!(client.next()["user_id"], "ada"),
            false => assert_eq!(client.closed().code.0, 4001),
        }
    }
}

#[test]
fn pings_come_as_often_as_clients_are_told() {
    for (ping, told) in [("20", 20), ("0", 0), ("1.5", 2), ("0.25", 1)] {
        let serve = Serve::start(&["--ping", ping, "--pong", "1"]);
        assert_eq!(Client::connect(&serve, "/ws", None).next()["ping_interval"], told, "{ping}");
    }
    let serve = Serve::start(&["--ping", "0.05", "--pong", "0.1"]);
    let mut stream = upgraded(&serve);
    let mut seen = Vec::new();
    let _ = stream.read_to_end(&mut seen).expect("it is closed in time");
    let at = |bytes: &[u8]| seen.windows(bytes.len()).position(|window| window == bytes);
    // A ping of 8 bytes, and 1008 as nobody answers.
    assert!(at(&[0x89]).is_some() && at(&1008_u16.to_be_bytes()).is_some(), "{seen:?}");
}

#[test]
fn users_and_rooms_have_the_rates_and_connections_that_were_said() {
    let tokens = file("tokens", "of-ada ada\nof-bob bob\n");
    let tokens = tokens.to_str().expect("UTF-8");
    let serve = Serve::start(&["--tokens", tokens, "--max-connections-per-user", "1"]);
    let _ada = Client::open(&serve, "/ws?token=of-ada");
    assert_eq!(Client::connect(&serve, "/ws?token=of-ada", None).closed().code.0, 1013);
    Client::open(&serve, "/ws?token=of-bob").subscribe("r");

    let message = r#"{"type":"message","id":"…","room":"r","payload":1}"#;
    for (option, message, answer) in [
        ("--user-message-rate", r#"{"type":"ping"}"#, "pong"),
        ("--user-byte-rate", r#"{"type": "ping"}"#, "pong"),
        ("--room-message-rate", message, "ack"),
    ] {
        let serve = Serve::start(&["--tokens", tokens, option, "1"]);
        let mut ada = Client::open(&serve, "/ws?token=of-ada");
        let message = |number: usize| message.replace('…', &number.to_string());
        (0..5).for_each(|number| ada.send(&message(number)));
        let answers: Vec<_> = (0..5).map(|_| ada.next()).collect();
        assert_eq!(answers[0]["type"], answer, "{option}: {answers:?}");
        assert!(answers.iter().any(|answer| answer["code"] == "rate_limited"), "{option}: {answers:?}");
    }
}

#[test]
fn a_history_is_within_all_that_may_be_kept() {
    let serve = Serve::start(&["--history-total-bytes", "5000"]);
    let mut client = Client::open(&serve, "/ws");
    for (room, payload, kept) in [("a", 3000, 1), ("b", 3000, 0), ("b", 10, 1), ("a", 2000, 1)] {
        assert_eq!(serve.publish(&[room, "--text", &"x".repeat(payload)]).0, 0);
        client.send(&format!(r#"{{"type":"history","room":"{room}"}}"#));
        assert_eq!(client.next()["messages"].as_array().map(Vec::len), Some(kept), "{room} {payload}");
    }
}

#[test]
fn a_route_of_the_file_subscribes() {
    let path = file("framecast.toml", "[routes]\n\"/ws/chat/{room}\" = \"chat:{room}\"\n");
    let serve = Serve::start(&["--config", path.to_str().expect("UTF-8")]);
    let mut client = Client::open(&serve, "/ws/chat/tea");
    assert_eq!(client.next()["room"], "chat:tea");
    assert_eq!(serve.publish(&["chat:tea", "\"hello\""]).0, 0);
    assert_eq!(client.next()["payload"], "hello");
}

#[test]
fn limits_are_those_that_were_said() {
    let path = file("framecast.toml", "[limits]\nrooms-per-connection = 2\n");
    let serve = Serve::start(&["--config", path.to_str().expect("UTF-8"), "--history-messages", "0"]);
    let mut client = Client::open(&serve, "/ws");
    client.subscribe("a");
    client.subscribe("b");
    client.send(r#"{"type":"subscribe","room":"c"}"#);
    assert_eq!(client.next()["code"], "too_many_rooms");
    client.send(r#"{"type":"message","room":"a","payload":1}"#);
    assert_eq!(client.next()["payload"], 1);
    client.send(r#"{"type":"history","room":"a"}"#);
    assert_eq!(client.next()["messages"], serde_json::json!([]));
}

/// Neither from where they are said nor from where they are wrong.
#[test]
fn secrets_are_not_shown() {
    let secrets = [("FRAMECAST_JWT_SECRET", JWT_SECRET), ("FRAMECAST_ADMIN_TOKEN", "s3cret")];
    let (status, help, _) = run(&["serve", "--help"], &secrets);
    assert_eq!(status, 0);
    assert!(help.contains("--jwt-secret <SECRET>") && !help.contains("s3cret"), "{help}");
    let wrong = file("framecast.toml", "jwt-secret = s3cret\n");
    let error = refused(&["serve", "--config", wrong.to_str().expect("UTF-8")], &[]);
    assert!(error.contains(".toml:1: ") && !error.contains("s3cret"), "{error}");

    let serve = Serve::with(&["--log-level", "trace"], &secrets);
    drop(Client::connect(&serve, "/ws?token=s3cret", None).closed());
    assert_eq!(serve.publish(&["news", "1", "--admin-token", "s3cret"]).0, 0);
    assert_eq!(serve.publish(&["news", "1", "--admin-token", "s3cret-of-another"]).0, 4);
    serve.signal(rustix::process::Signal::INT);
    let (status, log) = serve.over();
    assert_eq!(status, Some(0));
    assert!(log.len() > 2 && !log.iter().any(|line| line.contains("s3cret")), "{log:#?}");
}

#[test]
fn help_has_a_line_on_each() {
    let (_, help, _) = run(&["--help"], &[]);
    let first =
        "WebSockets for the shell: a client for people and scripts, and servers to try clients with\n";
    assert!(help.starts_with(first), "{help}");
    let line = |name: &str| {
        help.lines().find(|line| line.trim_start().starts_with(name)).expect("a line").to_owned()
    };
    assert!(
        line("serve ").contains("Serve rooms: clients subscribe, publish, and get what they missed"),
        "{help}"
    );
    assert!(line("connect ").contains("Talk to a server: each line typed is a message"), "{help}");
    assert!(
        line("publish ").contains("Publish a message to a room of a server, or to everybody on it"),
        "{help}"
    );
}

/// As few bytes as HS256 may have, and some more.
const JWT_SECRET: &str = "s3cret of 32 bytes or more for HS256";

/// JWTs of `ada`, signed with it: for `chat` by `shop`,
const OURS: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEiLCJhdWQiOiJjaGF0IiwiaXNzIjoic2hvcCJ9.d6_YjoUcykm0HT3YS31wWc-HmjsDHiXQuCCpG9ZWP6w";
/// for `mail` by `shop`,
const OF_MAIL: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEiLCJhdWQiOiJtYWlsIiwiaXNzIjoic2hvcCJ9.DZae3LX8uY3MVWI3A-WvoOyT9whmHnykI3i_9KI3_J0";
/// for `chat` by `else`,
const OF_ELSE: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEiLCJhdWQiOiJjaGF0IiwiaXNzIjoiZWxzZSJ9.seFANiAdIbhJsQFvr52CQ4NhOJIKMAu60a7Qli7I4PE";
/// and with neither claim.
const OF_NOBODY: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.SHdyXSc8YneMRn22VsmOhn5AX80d555VTuMQfNwPwhQ";

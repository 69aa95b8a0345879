//! What the options make of the request and of the connection.

use std::sync::mpsc;

use framecast::{Message, WebSocket};
use tokio::io::AsyncReadExt;

use crate::{
    command::{Running, connect, ran},
    server::{asked, echo, open, raw_open, tcp, tls},
};

#[test]
fn headers_origin_subprotocols_and_credentials_are_sent() {
    let (told, seen) = mpsc::channel();
    let url = asked(move |incoming| {
        let request = incoming.request();
        let headers = request.headers();
        let field = |name| headers.get(name).map(|value| value.to_str().expect("ASCII").to_owned());
        let names = ["x-one", "x-two", "origin", "authorization", "sec-websocket-protocol"];
        told.send(names.map(field)).expect("the test waits");
        async move { drop(incoming.run(echo).await) }
    });
    let url = url.replace("ws://", "ws://me:secret@");
    let options = ["--header", "X-One:  1 ", "--header", "X-Two: a:b", "--origin", "https://example.com"];
    let more = ["--subprotocol", "soap", "--subprotocol", "chat", &url];
    let run = connect(&[&options[..], &more[..]].concat(), "x\n");
    assert_eq!(run, ran(0, "x\n", "framecast: subprotocol chat\n"));
    let expected = ["1", "a:b", "https://example.com", "Basic bWU6c2VjcmV0", "soap, chat"];
    assert_eq!(seen.recv().expect("asked"), expected.map(|value| Some(value.to_owned())));

    assert_eq!(connect(&["--header", "authorization: mine", &url], "x\n"), ran(0, "x\n", ""));
    let expected = [None, None, None, Some("mine".to_owned()), None];
    assert_eq!(seen.recv().expect("asked"), expected);
}

/// RFC 7692: offered on any terms, or on those that are given; and not unless asked.
#[test]
fn compression_is_offered_as_it_is_asked_for() {
    let (told, seen) = mpsc::channel();
    let url = asked(move |incoming| {
        let offers = incoming.request().headers().get("sec-websocket-extensions");
        told.send(offers.map(|offers| offers.to_str().expect("ASCII").to_owned())).expect("the test waits");
        async move { drop(incoming.run(echo).await) }
    });
    for (options, offered) in [
        (&[][..], None),
        (&["--deflate"], Some("permessage-deflate; client_max_window_bits")),
        (
            &["--deflate=server_no_context_takeover; client_max_window_bits=10; threshold=0; fallback"],
            Some(
                "permessage-deflate; server_no_context_takeover; client_max_window_bits=10, permessage-deflate; \
                 client_max_window_bits",
            ),
        ),
    ] {
        assert_eq!(connect(&[options, &[&url]].concat(), "x\n"), ran(0, "x\n", ""));
        assert_eq!(seen.recv().expect("asked").as_deref(), offered);
    }
    for wrong in ["--deflate=", "--deflate=level=0", "--deflate=client_max_window_bits", "--deflate=gzip"] {
        let run = connect(&[wrong, &url], "");
        assert_eq!(run.status, Some(if wrong == "--deflate=" { 0 } else { 2 }), "{run:?}");
    }
}

#[test]
fn a_certificate_signed_by_nobody_is_3_unless_insecure() {
    let url = tls("localhost");
    let run = connect(&[&url], "x\n");
    assert_eq!((run.status, run.stdout.len(), run.stderr.lines().count()), (Some(3), 0, 1), "{run:?}");
    assert!(run.stderr.ends_with("; --insecure takes any certificate\n"), "{run:?}");
    assert!(run.stderr.contains("certificate"), "{run:?}");
    // Nor does the name matter: it is for another host.
    assert_eq!(connect(&["--insecure", &url], "x\n"), ran(0, "x\n", ""));
}

#[test]
fn a_server_without_tls_is_3() {
    let address = tcp(|stream| crate::server::raw_answer(stream, b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    for options in [&[][..], &["--insecure"]] {
        let url = format!("wss://{address}/");
        let run = connect(&[options, &["--handshake-timeout", "0.5", &url]].concat(), "");
        assert_eq!((run.status, run.stderr.lines().count()), (Some(3), 1), "{run:?}");
    }
}

#[test]
fn pings_are_sent_at_the_interval_and_none_without_it() {
    let (told, seen) = mpsc::channel();
    let address = tcp(move |stream| {
        let told = told.clone();
        async move {
            let mut stream = raw_open(stream, b"").await;
            let mut frame = [0; 2];
            stream.read_exact(&mut frame).await.expect("a frame");
            told.send(frame[0]).expect("the test waits");
        }
    });
    let url = format!("ws://{address}/");
    let running = Running::start(&["--ping-interval", "0.05", &url]);
    assert_eq!(seen.recv(), Ok(0x89), "a ping");
    assert_eq!(running.wait().status, Some(5));
    // The first frame is what was said, and no ping of the start.
    connect(&["--close-timeout", "0.1", "--wait", "0.1", &url], "x\n");
    assert_eq!(seen.recv(), Ok(0x81), "a text");
}

/// A comment at the subcommand once took the place of all of it.
#[test]
fn help_has_the_commands_and_the_exit_statuses() {
    let help = Running::start(&["--help"]).wait();
    let text = String::from_utf8(help.stdout).expect("UTF-8");
    assert_eq!((help.status, help.stderr.as_str()), (Some(0), ""));
    let first = "Talk to a server: each line typed is a message, and each message received is printed.\n\nOn a terminal";
    assert!(text.starts_with(first), "{text}");
    for part in [
        "`/close [CODE] [REASON]` closes",
        "\n\nExit status: 0 normal, 2 usage, 3 cannot connect, 4 refused with an HTTP status, 5 closed with another code than 1000.",
        "\n\nUsage: framecast connect [OPTIONS] <URL>\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn a_servers_ping_is_answered() {
    let url = open(async |mut ws: WebSocket| {
        let took = ws.sender().round_trip(b"there?").await;
        let _ = ws.send(Message::text(if took.is_ok() { "answered" } else { "silent" })).await;
        while ws.recv().await.is_some() {}
    });
    let mut running = Running::start(&[&url]);
    assert_eq!(running.line(), "answered\n");
    assert_eq!(running.finish().status, Some(0));
}

#[test]
fn messages_up_to_max_message_pass_and_longer_ones_do_not() {
    let url = open(echo);
    let line = "x".repeat(100);
    assert_eq!(connect(&["--max-message", "100", &url], line.clone()), ran(0, line.clone() + "\n", ""));
    let run = connect(&["--max-message", "99", &url], line.clone());
    assert_eq!(run, ran(2, "", "framecast: a line is above --max-message, 99 bytes\n"));

    let sends = open(async |mut ws: WebSocket| {
        let _ = ws.send(Message::text("x".repeat(100))).await;
        while ws.recv().await.is_some() {}
    });
    let mut running = Running::start(&["--max-message", "100", &sends]);
    assert_eq!(running.line(), line + "\n");
    assert_eq!(running.finish().status, Some(0));
    let run = Running::start(&["--max-message", "99", &sends]).wait();
    assert_eq!((run.status, run.stdout.len()), (Some(5), 0), "{run:?}");
    assert!(run.stderr.starts_with("framecast: closed with 1009: "), "{run:?}");
}

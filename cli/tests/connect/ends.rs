//! How it ends: exit status, and code and reason on stderr.

use framecast::{CloseCode, Refusal, WebSocket};
use rustix::process::Signal;

use crate::{
    command::{Running, connect, ran},
    server::{asked, echoing, open, raw_answer, raw_open, tcp},
};

#[test]
fn a_server_that_closes_with_1008_is_5_with_code_and_reason() {
    let url = open(async |mut ws: WebSocket| drop(ws.close(CloseCode::POLICY, "why").await));
    assert_eq!(Running::start(&[&url]).wait(), ran(5, "", "framecast: closed with 1008: why\n"));
}

#[test]
fn a_reason_cannot_steer_the_terminal() {
    let url = open(async |mut ws: WebSocket| drop(ws.close(CloseCode(4000), "\x1b[2J\n\u{9b}").await));
    let why = "framecast: closed with 4000: \\u{1b}[2J\\u{a}\\u{9b}\n";
    assert_eq!(Running::start(&[&url]).wait(), ran(5, "", why));
}

#[test]
fn a_server_that_closes_with_1000_is_0_and_is_told() {
    let url = open(async |mut ws: WebSocket| drop(ws.close(CloseCode::NORMAL, "bye").await));
    assert_eq!(Running::start(&[&url]).wait(), ran(0, "", "framecast: closed with 1000: bye\n"));
}

#[test]
fn a_close_without_a_code_is_1005() {
    let address = tcp(async |stream| drop(raw_open(stream, b"\x88\x00").await));
    let run = Running::start(&[&format!("ws://{address}")]).wait();
    assert_eq!(run, ran(5, "", "framecast: closed with 1005\n"));
}

#[test]
fn a_connection_that_breaks_is_1006() {
    let address = tcp(async |stream| drop(raw_open(stream, b"\x81\x02hi").await));
    let run = Running::start(&[&format!("ws://{address}")]).wait();
    assert_eq!(run, ran(5, "hi\n", "framecast: closed with 1006: connection ended without a close\n"));
}

#[test]
fn a_broken_rule_is_told_with_our_code() {
    let address = tcp(async |stream| {
        let _open = raw_open(stream, b"\xf1\x00").await;
        std::future::pending::<()>().await;
    });
    let run = Running::start(&[&format!("ws://{address}"), "--close-timeout", "0.1"]).wait();
    assert_eq!(run.status, Some(5));
    assert!(run.stderr.starts_with("framecast: closed with 1002: "), "{}", run.stderr);
}

#[test]
fn a_refusal_is_4_with_status_and_first_line() {
    let url = asked(async |incoming| {
        let body = "\n no\x1b[2J entry \nsecond line";
        drop(incoming.refuse(Refusal::forbidden().body(body)).await);
    });
    let why = "framecast: server answered 403 Forbidden: no\\u{1b}[2J entry\n";
    assert_eq!(connect(&[&url], "x\n"), ran(4, "", why));
}

#[test]
fn a_refusal_without_a_body_and_a_redirect_are_4() {
    for (answer, why) in [
        (&b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"[..], "401 Unauthorized"),
        (
            b"HTTP/1.1 301 Moved\r\nLocation: wss://elsewhere/\r\nContent-Length: 0\r\n\r\n",
            "301 Moved Permanently, location wss://elsewhere/",
        ),
        (
            b"HTTP/1.1 503 Later\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbusy!\r\n0\r\n\r\n",
            "503 Service Unavailable: busy!",
        ),
    ] {
        let address = tcp(move |stream| raw_answer(stream, answer));
        let run = connect(&[&format!("ws://{address}")], "");
        assert_eq!(run, ran(4, "", &format!("framecast: server answered {why}\n")));
    }
}

#[test]
fn what_cannot_be_connected_to_is_3() {
    let refused = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let run = connect(&[&format!("ws://{refused}")], "");
    let why = format!("framecast: cannot connect to {refused}: Connection refused (os error 111)\n");
    assert_eq!(run, ran(3, "", &why));

    let run = connect(&["ws://nowhere.invalid:81/"], "");
    assert_eq!(run.status, Some(3));
    assert!(run.stderr.starts_with("framecast: cannot connect to nowhere.invalid:81: "), "{}", run.stderr);

    let silent = tcp(async |stream| {
        let _open = stream;
        std::future::pending::<()>().await;
    });
    let run = connect(&["--handshake-timeout", "0.1", &format!("ws://{silent}")], "");
    let why = format!("framecast: cannot connect to {silent}: opening handshake took too long\n");
    assert_eq!(run, ran(3, "", &why));
}

#[test]
fn an_invalid_101_is_3() {
    let address = tcp(|stream| {
        raw_answer(
            stream,
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        )
    });
    let why = format!(
        "framecast: {address} is no WebSocket server: accept value is missing or not for our key (RFC 6455 §4.1)\n"
    );
    assert_eq!(connect(&[&format!("ws://{address}")], ""), ran(3, "", &why));
}

#[test]
fn usage_is_2_in_one_line() {
    for arguments in [
        &["http://localhost/"][..],
        &["ws://localhost/#part"],
        &["ws://localhost:port/"],
        &["ws://localhost", "--header", "no colon"],
        &["ws://localhost", "--header", "bad name: x"],
        &["ws://localhost", "--header", "Upgrade: x"],
        &["ws://localhost", "--header", "a: 1", "--header", "A: 2"],
        &["ws://localhost", "--origin", "a\nb"],
        &["ws://localhost", "--subprotocol", "a b"],
        &["ws://localhost", "--subprotocol", "a", "--subprotocol", "a"],
        &["ws://localhost", "--ping-interval", "0"],
        &["ws://localhost", "--wait", "soon"],
        &["ws://localhost", "--max-message", "0"],
        &["ws://localhost", "--no-such-option"],
        &["--json"],
    ] {
        let run = connect(arguments, "");
        assert_eq!((run.status, run.stdout.len(), run.stderr.lines().count()), (Some(2), 0, 1), "{run:?}");
        assert!(run.stderr.starts_with("framecast: "), "{run:?}");
    }
}

#[test]
fn signals_close_with_1000() {
    for signal in [Signal::INT, Signal::TERM] {
        let (told, seen) = std::sync::mpsc::channel();
        let url = open(move |ws: WebSocket| {
            let told = told.clone();
            async move {
                let _ = ws.send(framecast::Message::text("open")).await;
                let _ = told.send(ws.closed().await.code.0);
            }
        });
        let mut running = Running::start(&[&url]);
        assert_eq!(running.line(), "open\n");
        running.signal(signal);
        assert_eq!(running.wait(), ran(0, "", ""));
        assert_eq!(seen.recv(), Ok(1000));
    }
}

#[test]
fn a_close_that_is_not_answered_is_1006() {
    let address = tcp(async |stream| {
        let _open = raw_open(stream, b"").await;
        std::future::pending::<()>().await;
    });
    let run = connect(&["--close-timeout", "0.1", &format!("ws://{address}")], "/close\n");
    assert_eq!(run, ran(5, "", "framecast: closed with 1006: peer did not answer our close in time\n"));
}

#[test]
fn a_close_ends_it_though_stdin_stays_open() {
    // Nothing was sent, so no reply is waited for either: the watchdog would bark.
    let mut running = Running::start(&["--wait", "600", &echoing()]);
    running.types("/close\n");
    assert_eq!(running.wait(), ran(0, "", ""));
}

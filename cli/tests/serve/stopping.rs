//! Signals that stop it.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use rustix::process::Signal;

use crate::{
    client::Client,
    process::{DEADLINE, Serve},
};

#[test]
fn sigterm_tells_when_to_come_back_and_ends_with_0() {
    let serve = Serve::start(&["--drain", "0.2"]);
    let client = Client::open(&serve, "/ws");
    serve.signal(Signal::TERM);
    let end = client.closed();
    assert_eq!(end.code.0, 1012);
    assert!(end.reason.starts_with("retry_after_ms="), "{}", &*end.reason);
    assert_eq!(serve.over().0, Some(0));
}

#[test]
fn sigint_closes_for_good_and_ends_with_0() {
    let serve = Serve::start(&[]);
    let client = Client::open(&serve, "/ws");
    serve.signal(Signal::INT);
    assert_eq!(client.closed().code.0, 1001);
    assert_eq!(serve.over().0, Some(0));
}

/// Who never answers a Close would be waited for.
#[test]
fn a_second_sigterm_ends_it_at_once() {
    let serve = Serve::start(&["--drain", "600"]);
    let mut silent: Vec<_> = (0..3).map(|_| upgraded(&serve)).collect();
    serve.signal(Signal::TERM);
    serve.logs("draining");
    serve.signal(Signal::TERM);
    assert_eq!(serve.over().0, Some(1));
    for stream in &mut silent {
        // Whatever had come, there is an end.
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

/// A connection that will not read a frame.
fn upgraded(serve: &Serve) -> TcpStream {
    let mut stream = TcpStream::connect(serve.address()).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    stream
}

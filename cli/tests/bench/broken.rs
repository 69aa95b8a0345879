//! Servers that are wrong, refuse, or are not there: one line that says what and where, and the right exit code.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use framecast::proto::OpCode;

use crate::support::{Peer, bench, command, server, stderr, tcp_server};

/// The exit code, and the one line on stderr without `framecast: `.
pub(crate) fn fails(arguments: &[&str]) -> (i32, String) {
    let output = bench(arguments);
    assert_eq!(output.stdout, b"", "nothing is reported");
    let line = stderr(&output).strip_prefix("framecast: ").unwrap_or_else(|| panic!("{output:?}"));
    assert_eq!(line.lines().count(), 1, "{line}");
    (output.status.code().unwrap(), line.trim_end().to_owned())
}

/// A load of one connection with 4 messages in flight on a server that does `spoil` to what it echoes.
fn spoiled(spoil: impl Fn(&mut Peer, Vec<Vec<u8>>) + Send + Sync + 'static) -> (i32, String) {
    let url = server(move |mut peer| {
        loop {
            let mut batch = Vec::new();
            while batch.len() < 4 {
                let Some((OpCode::Binary, payload)) = peer.frame() else { return };
                batch.push(payload);
            }
            spoil(&mut peer, batch);
        }
    });
    fails(&["echo", &url, "--connections", "1", "--depth", "4", "--seconds", "5"])
}

#[test]
fn a_changed_byte_is_found_and_named() {
    let (code, line) = spoiled(|peer, mut batch| {
        batch[2][13] ^= 0x20;
        batch.iter().for_each(|payload| peer.send(OpCode::Binary, true, payload));
    });
    assert_eq!(code, 1);
    let rest = line.strip_prefix("connection 0, echo 2: byte 13 is 0x").unwrap_or_else(|| panic!("{line}"));
    let (got, wanted) = rest.split_once(", not 0x").unwrap();
    let byte = |text: &str| u8::from_str_radix(&text[..2], 16).unwrap();
    assert_eq!(byte(got) ^ byte(wanted), 0x20, "{line}");
}

#[test]
fn swapped_echoes_are_told_apart() {
    let line = spoiled(|peer, mut batch| {
        batch.swap(1, 2);
        batch.iter().for_each(|payload| peer.send(OpCode::Binary, true, payload));
    });
    assert_eq!(line, (1, "connection 0, echo 1: is that of message 2".into()));
}

#[test]
fn echoes_of_another_kind_or_length_or_number_are_wrong() {
    let text = spoiled(|peer, batch| peer.send(OpCode::Text, true, &[b'a'; 20][..batch[0].len()]));
    assert_eq!(text, (1, "connection 0, echo 0: was sent as binary, came as text".into()));
    let short = spoiled(|peer, batch| peer.send(OpCode::Binary, true, &batch[0][..19]));
    assert_eq!(short, (1, "connection 0, echo 0: has 19 bytes, not the 20 that were sent".into()));
    let long = spoiled(|peer, batch| peer.send(OpCode::Binary, true, &[&batch[0][..], b"!"].concat()));
    assert_eq!(long, (1, "connection 0, echo 0: has 21 bytes, not the 20 that were sent".into()));
    let url = server(|mut peer| {
        while let Some((opcode, payload)) = peer.frame() {
            peer.send(opcode, true, &payload);
            peer.send(opcode, true, &payload);
        }
    });
    let twice = fails(&["echo", &url, "--rate", "1", "--connections", "1", "--warmup", "0"]);
    assert_eq!(twice, (1, "connection 0, echo 1: came, though nothing is in flight".into()));
}

#[test]
fn a_server_that_closes_in_the_middle_is_told_with_its_code() {
    let closed = spoiled(|peer, batch| {
        peer.send(OpCode::Binary, true, &batch[0]);
        peer.send(OpCode::Close, true, &[&1011u16.to_be_bytes()[..], b"tired"].concat());
    });
    assert_eq!(closed, (1, "connection 0, echo 1: peer closed with 1011 (tired)".into()));
    let hung_up = spoiled(|peer, batch| {
        peer.send(OpCode::Binary, true, &batch[0]);
        drop(peer.stream.shutdown(std::net::Shutdown::Both));
    });
    assert_eq!(hung_up, (1, "connection 0, echo 1: the server closed the connection".into()));
    let masked = spoiled(|peer, _| drop(peer.stream.write_all(&[0x82, 0x81, 0, 0, 0, 0, 0])));
    assert_eq!(masked.0, 1);
    assert!(masked.1.starts_with("connection 0, echo 0: ") && masked.1.contains("mask"), "{}", masked.1);
}

#[test]
fn a_close_reason_cannot_steer_the_terminal() {
    let reason = "\x1b[31mred\r\n\u{9b}\u{202e}";
    for options in [["--depth", "4"], ["--rate", "100"]] {
        let url = server(move |mut peer| {
            while peer.frame().is_some() {
                peer.send(OpCode::Close, true, &[&4000u16.to_be_bytes()[..], reason.as_bytes()].concat());
            }
        });
        let closed = fails(&[&["echo", &url, "--connections", "1", "--seconds", "5"][..], &options].concat());
        let shown = "peer closed with 4000 (\\u{1b}[31mred\\u{d}\\u{a}\\u{9b}\\u{202e})";
        assert_eq!(closed, (1, format!("connection 0, echo 0: {shown}")));
    }
    let url = server(move |mut peer| {
        peer.send(OpCode::Close, true, &[&4000u16.to_be_bytes()[..], b"\x1b[31m"].concat());
        while peer.frame().is_some() {}
    });
    let (code, line) = fails(&["idle", &url, "--connections", "1"]);
    assert_eq!((code, line.as_str()), (1, "connection 0, echo 0: peer closed with 4000 (\\u{1b}[31m)"));
}

#[test]
fn plain_tcp_that_changes_a_byte_is_wrong_too() {
    let addr = tcp_server(|mut stream| {
        let mut bytes = [0; 26 * 4];
        while stream.read_exact(&mut bytes).is_ok() {
            bytes[26 * 3 + 8] ^= 1;
            if stream.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    let url = format!("tcp://{addr}");
    let (code, line) = fails(&["echo", &url, "--raw", "--connections", "1", "--depth", "4"]);
    assert_eq!(code, 1);
    assert!(line.starts_with("connection 0, echo 3: byte 8 of its frame is 0x"), "{line}");
}

#[test]
fn a_refusal_and_an_empty_port_are_3() {
    let addr = tcp_server(|mut stream| {
        let mut bytes = [0; 1024];
        drop(stream.read(&mut bytes));
        drop(stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"));
    });
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    for scenario in ["echo", "idle", "handshake", "relay"] {
        let url = format!("ws://{addr}/");
        let why = "the server refused with status 403 Forbidden";
        assert_eq!(fails(&[scenario, &url]), (3, format!("cannot connect to {url}: {why}")));
        let url = format!("ws://{free}/");
        let why = "connection refused; is the server running?";
        assert_eq!(fails(&[scenario, &url]), (3, format!("cannot connect to {url}: {why}")));
    }
}

/// RFC 7692 §5.1: a server may decline, and then there is nothing to measure.
#[test]
fn a_server_that_declines_compression_is_3() {
    let url = server(|mut peer| while peer.echo() {});
    for scenario in ["echo", "idle", "handshake", "relay"] {
        let why = "the server declined compression";
        assert_eq!(fails(&[scenario, &url, "--deflate"]), (3, format!("cannot connect to {url}: {why}")));
    }
}

#[test]
fn options_that_make_no_sense_are_2() {
    for (arguments, says) in [
        (&["echo", "wss://localhost/"][..], "wss://localhost/: the load speaks ws:// only, not TLS"),
        (&["echo", "tcp://localhost:1"], "tcp://localhost:1: a tcp:// server is driven with --raw only"),
        (&["relay", "tcp://localhost:1", "--raw"], "relay has no --raw: plain TCP has no messages to relay"),
        (&["echo", "http://localhost/"], "http://localhost/: scheme is neither ws nor wss (RFC 6455 §3)"),
    ] {
        assert_eq!(fails(arguments), (2, says.to_owned()));
    }
    for arguments in [
        &["echo", "ws://localhost/", "--rate", "5", "--depth", "2"][..],
        &["echo", "ws://localhost/", "--text", "--binary"],
        &["echo", "ws://localhost/", "--deflate=level=10"],
        &["echo", "ws://localhost/", "--deflate=server_max_window_bits=8"],
        &["echo", "tcp://localhost:1/", "--raw", "--deflate"],
        &["echo", "ws://localhost/", "--connections", "0"],
        &["echo", "ws://localhost/", "--seconds", "0"],
        &["echo", "ws://localhost/", "--rate", "nan"],
        &["publish", "ws://localhost/"],
        &["relay", "ws://localhost/", "--rate", "5", "--depth", "2"],
        &["relay", "ws://localhost/", "--stalled", "-1"],
        &["echo"],
    ] {
        assert_eq!(fails(arguments).0, 2, "{arguments:?}");
    }
}

#[test]
fn more_connections_than_files_are_told_before_the_first() {
    // Nobody is asked: the port need not listen.
    let binary = env!("CARGO_BIN_EXE_framecast");
    let script = format!("ulimit -n 100; exec {binary} bench idle ws://127.0.0.1:9/ --connections 200");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let line = "framecast: 200 connections need as many open files, and the limit is 100; raise it (`ulimit -Hn`) or \
                take fewer --connections\n";
    assert_eq!((output.status.code(), stderr(&output)), (Some(3), line));
}

#[test]
fn a_process_that_is_not_there_or_ends_is_told() {
    let seen = Arc::new((Mutex::new(0), Condvar::new()));
    let counting = seen.clone();
    let url = server(move |mut peer| {
        while peer.echo() {
            *counting.0.lock().unwrap() += 1;
            counting.1.notify_all();
        }
    });
    let mut process = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
    let pid = process.id().to_string();
    let child =
        command(&["echo", &url, "--connections", "1", "--seconds", "600", "--pid", &pid]).spawn().unwrap();
    let (count, more) = &*seen;
    let wait = more.wait_timeout_while(count.lock().unwrap(), Duration::from_secs(20), |seen| *seen < 100);
    assert!(!wait.unwrap().1.timed_out(), "no load within 20 s");
    process.kill().unwrap();
    process.wait().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let ended = format!("process {pid} has ended");
    assert!(stderr(&output).contains(&ended), "{output:?}");
    assert_eq!(
        fails(&["echo", &url, "--pid", &pid]),
        (1, format!("cannot watch process {pid}: there is none"))
    );
}

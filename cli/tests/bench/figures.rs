//! Good servers: what is told must add up, and be true.

use std::{
    io::{Read, Write},
    process::Command,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use framecast::proto::OpCode;
use serde_json::Value;

use crate::support::{Echo, bench, command, json, number, server, stderr, tcp_server};

pub(crate) fn assert_close(got: f64, wanted: f64, what: &str) {
    assert!((got - wanted).abs() <= wanted.abs() * 1e-9, "{what}: {got} is not {wanted}");
}

/// What holds for every report of messages.
fn assert_adds_up(report: &Value, seconds: f64) {
    let (messages, took) = (number(&report["messages"]), number(&report["seconds"]));
    assert!(messages > 0.0 && (seconds..seconds + 5.0).contains(&took), "{report}");
    let per_second = number(&report["messages_per_second"]);
    assert_close(per_second, messages / took, "messages_per_second");
    let bytes = per_second * number(&report["size"]);
    assert_close(number(&report["payload_bytes_per_second"]), bytes, "payload_bytes_per_second");
    assert_latencies(&report["latency_us"]);
    let server = &report["server"];
    if !server.is_null() {
        let used_us = number(&server["cpu_us_per_message"]) * messages;
        assert_close(number(&server["cpu_share"]), used_us / 1e6 / took, "cpu_share");
        // One thread serves, and its count is a tick old at most.
        assert!(used_us > 0.0 && used_us < (took + 0.1) * 1e6, "{report}");
        assert!((100 << 10..1 << 30).contains(&server["rss_bytes"].as_u64().unwrap()), "{report}");
    }
}

pub(crate) fn assert_latencies(latency: &Value) {
    let quantiles: Vec<f64> =
        ["p50", "p90", "p99", "p99_9", "max"].iter().map(|name| number(&latency[*name])).collect();
    assert!(quantiles[0] > 0.0 && quantiles.is_sorted(), "{latency}");
}

/// RFC 7692: what comes back is compared after inflating, and counted before.
#[test]
fn compressed_echoes_are_compared_and_their_bytes_told() {
    for (server, load, least, most) in [
        ("--deflate", "--deflate", 200.0, 400.0),
        // With context takeover one message is much as the last.
        ("--deflate=threshold=0", "--deflate=threshold=0; level=9", 20.0, 200.0),
        // What is random does not shrink, and comes as it is.
        ("--deflate", "--deflate", 1028.0, 1028.0),
    ] {
        let echo = Echo::with(&[server]);
        let kind = if most > 1000.0 { "--binary" } else { "--text" };
        let options = ["echo", &echo.url, "--connections", "3", "--depth", "4", "--size", "1024", kind, load];
        let report =
            json(&bench(&[&options[..], &["--seconds", "0.3", "--warmup", "0.1", "--json"]].concat()));
        assert_adds_up(&report, 0.3);
        let bytes = number(&report["reply_bytes"]);
        assert!((least..=most).contains(&bytes), "{server} {load}: {bytes}");
    }
}

#[test]
fn closed_loop_figures_add_up_for_every_shape() {
    let echo = Echo::start();
    for shape in [
        &["--connections", "10", "--depth", "32"][..],
        &["--connections", "3", "--depth", "8", "--size", "1024", "--text"],
        &["--connections", "2", "--depth", "3", "--size", "0"],
        &["--connections", "2", "--depth", "4", "--size", "16384"],
        // More than both sockets hold: writing and reading must go on at once.
        &["--connections", "2", "--depth", "4", "--size", "4194304", "--text"],
    ] {
        let pid = echo.pid();
        let options = ["echo", &echo.url, "--seconds", "0.3", "--warmup", "0.1", "--json", "--pid", &pid];
        let report = json(&bench(&[&options[..], shape].concat()));
        assert_adds_up(&report, 0.3);
        assert_eq!((&report["scenario"], &report["url"]), (&"echo".into(), &echo.url.clone().into()));
        assert_eq!(report["connections"].to_string(), shape[1]);
        assert_eq!(report["depth"].to_string(), shape[3]);
        assert_eq!(report["text"], shape.contains(&"--text"));
        assert_eq!(report["server"]["pid"].to_string(), pid);
        assert_eq!((&report["rate"], &report["raw"]), (&Value::Null, &false.into()));
    }
}

#[test]
fn plain_tcp_is_driven_and_counted_the_same_way() {
    let addr = tcp_server(|mut stream| {
        let mut buffer = vec![0; 5000];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..read]).is_err() {
                return;
            }
        }
    });
    for (url, size) in [(format!("tcp://{addr}"), "20"), (format!("ws://{addr}/"), "1000000")] {
        let options = ["--connections", "4", "--depth", "5", "--size", size, "--seconds", "0.3", "--json"];
        let report = json(&bench(&[&["echo", &url, "--raw"], &options[..]].concat()));
        assert_adds_up(&report, 0.3);
        assert_eq!((&report["raw"], &report["server"]), (&true.into(), &Value::Null));
        // Whole messages: none is counted by its first bytes.
        assert!(report["messages"].as_u64().is_some());
    }
    let url = format!("tcp://{addr}");
    let open = ["echo", &url, "--raw", "--rate", "500", "--connections", "3", "--seconds", "0.4", "--json"];
    assert_eq!(json(&bench(&open))["messages"], 200);
}

#[test]
fn the_open_loop_sends_what_the_rate_says() {
    let echo = Echo::start();
    let options = ["--rate", "2000", "--connections", "7", "--seconds", "0.5", "--warmup", "0.1", "--json"];
    let report = json(&bench(&[&["echo", &echo.url, "--pid", &echo.pid()], &options[..]].concat()));
    assert_adds_up(&report, 0.49);
    assert_eq!((&report["messages"], &report["rate"]), (&1000.into(), &2000.0.into()));
    assert_eq!(report["open_loop"]["scheduled"], 1000);
    assert_eq!((&report["open_loop"]["unanswered"], &report["depth"]), (&0.into(), &Value::Null));
}

/// The server stops once for 300 ms. In the open loop all messages that fall due meanwhile wait for the rest of it; in the
/// closed loop one does, and nobody sees it.
#[test]
fn a_stall_shows_in_the_open_loop_and_not_in_the_closed_one() {
    let stalling = || {
        let count = AtomicU64::new(0);
        server(move |mut peer| {
            while peer.echo() {
                if count.fetch_add(1, Ordering::Relaxed) == 300 {
                    thread::sleep(Duration::from_millis(300));
                }
            }
        })
    };
    let options = ["--connections", "1", "--seconds", "1", "--warmup", "0.1", "--json"];
    let open = json(&bench(&[&["echo", &stalling(), "--rate", "1000"], &options[..]].concat()));
    assert_eq!(open["messages"], 1000);
    let at = |report: &Value, name: &str| number(&report["latency_us"][name]);
    assert!((250e3..2e6).contains(&at(&open, "max")), "{open}");
    assert!(at(&open, "p99") > 200e3 && at(&open, "p90") > 100e3, "{open}");

    let closed =
        json(&bench(&[&["echo", &stalling(), "--warmup", "0"], &options[..4], &["--json"]].concat()));
    assert!(at(&closed, "max") > 290e3, "{closed}");
    assert!(at(&closed, "p50") < 50e3 && at(&closed, "p90") < 50e3, "{closed}");
}

/// What never comes back has been waited for: it counts as old as it is, and is told.
#[test]
fn unanswered_messages_are_told_and_count_with_their_age() {
    let url = server(|mut peer| {
        for _ in 0..100 {
            peer.echo();
        }
        while peer.frame().is_some() {}
    });
    let options = ["--rate", "1000", "--connections", "1", "--seconds", "0.2", "--warmup", "0", "--json"];
    let report = json(&bench(&[&["echo", &url], &options[..]].concat()));
    assert_eq!((&report["messages"], &report["open_loop"]["unanswered"]), (&100.into(), &100.into()));
    assert!(number(&report["latency_us"]["p90"]) > 5e6, "{report}");
}

#[test]
fn pings_are_answered_and_echoes_in_fragments_are_whole() {
    let url = server(|mut peer| {
        loop {
            let Some((OpCode::Binary, payload)) = peer.frame() else { return };
            peer.send(OpCode::Binary, false, &payload[..7]);
            peer.send(OpCode::Ping, true, b"there?");
            assert_eq!(peer.frame(), Some((OpCode::Pong, b"there?".to_vec())));
            peer.send(OpCode::Continuation, false, b"");
            peer.send(OpCode::Continuation, true, &payload[7..]);
        }
    });
    for size in ["20", "100000"] {
        let options = ["echo", &url, "--connections", "3", "--size", size, "--seconds", "0.2", "--json"];
        assert_adds_up(&json(&bench(&options)), 0.2);
    }
}

#[test]
fn idle_tells_the_memory_of_a_connection() {
    let echo = Echo::start();
    let report = json(&bench(&["idle", &echo.url, "--connections", "500", "--pid", &echo.pid(), "--json"]));
    assert_eq!((&report["scenario"], &report["connections"]), (&"idle".into(), &500.into()));
    assert_eq!((&report["messages"], &report["quiet"]), (&500.into(), &true.into()));
    let server = &report["server"];
    let (before, after) = (number(&server["rss_bytes_before"]), number(&server["rss_bytes"]));
    assert_close(number(&server["rss_bytes_per_connection"]), (after - before) / 500.0, "each");
    assert!(before > 1e5 && after > before && after < before + 500.0 * 20e3, "{report}");
    let alone = json(&bench(&["idle", &echo.url, "--connections", "5", "--json"]));
    assert_eq!((&alone["server"], &alone["quiet"]), (&Value::Null, &Value::Null));
}

#[test]
fn handshakes_are_counted_and_leave_nothing_open() {
    let echo = Echo::start();
    let options = ["--connections", "8", "--seconds", "0.4", "--warmup", "0.1", "--json"];
    let report = json(&bench(&[&["handshake", &echo.url, "--pid", &echo.pid()], &options[..]].concat()));
    let (count, took) = (number(&report["handshakes"]), number(&report["seconds"]));
    assert!(count > 10.0 && took >= 0.4, "{report}");
    assert_close(number(&report["handshakes_per_second"]), count / took, "handshakes_per_second");
    assert_latencies(&report["latency_us"]);
    let server = &report["server"];
    let used = number(&server["cpu_us_per_handshake"]) * count / 1e6;
    assert_close(number(&server["cpu_share"]), used / took, "cpu_share");
    assert!(used > 0.0 && used < took + 0.1, "{report}");
    // The same server serves on.
    let echoed = json(&bench(&["echo", &echo.url, "--connections", "2", "--seconds", "0.1", "--json"]));
    assert_adds_up(&echoed, 0.1);
}

#[test]
fn raw_handshakes_read_a_fixed_answer_up_to_the_blank_line() {
    let addr = tcp_server(|mut stream| {
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            if stream.read_exact(&mut byte).is_err() {
                return;
            }
            request.push(byte[0]);
        }
        let text = String::from_utf8(request).unwrap();
        assert!(text.starts_with("GET / HTTP/1.1\r\n") && text.contains("\r\nSec-WebSocket-Key: "), "{text}");
        // In pieces, and with the start of an end that is none.
        for piece in [&b"HTTP/1.1 101 Fixed\r\n"[..], b"A: b\r", b"\n\r", b"\n"] {
            drop(stream.write_all(piece));
        }
        // It is the client who hangs up.
        drop(stream.read(&mut byte));
    });
    let url = format!("tcp://{addr}");
    let options = ["handshake", &url, "--raw", "--connections", "4", "--seconds", "0.3", "--json"];
    let report = json(&bench(&options));
    assert!(number(&report["handshakes"]) > 4.0 && report["raw"] == true, "{report}");
}

#[test]
fn a_signal_ends_the_measurement_and_what_was_measured_is_told() {
    let seen = Arc::new((Mutex::new(0), Condvar::new()));
    let counting = seen.clone();
    let url = server(move |mut peer| {
        while peer.echo() {
            *counting.0.lock().unwrap() += 1;
            counting.1.notify_all();
        }
    });
    for loop_options in [&["--depth", "2"][..], &["--rate", "5000"]] {
        let options = ["echo", &url, "--connections", "2", "--seconds", "600", "--warmup", "0", "--json"];
        *seen.0.lock().unwrap() = 0;
        let child = command(&[&options[..], loop_options].concat()).spawn().unwrap();
        let (count, more) = &*seen;
        let wait =
            more.wait_timeout_while(count.lock().unwrap(), Duration::from_secs(20), |seen| *seen < 1000);
        assert!(!wait.unwrap().1.timed_out(), "no load within 20 s");
        let began = Instant::now();
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let report = json(&child.wait_with_output().unwrap());
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!(report["interrupted"], true);
        assert!(number(&report["messages"]) >= 500.0 && number(&report["seconds"]) < 60.0, "{report}");
        assert_close(
            number(&report["messages_per_second"]),
            number(&report["messages"]) / number(&report["seconds"]),
            "messages_per_second",
        );
    }
}

#[test]
fn people_get_a_few_lines_and_no_bar_in_a_pipe() {
    let echo = Echo::start();
    let options = ["--connections", "2", "--depth", "3", "--seconds", "0.1", "--pid", &echo.pid()];
    let output = bench(&[&["echo", &echo.url], &options[..]].concat());
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    let text = String::from_utf8(output.stdout).unwrap();
    let first = format!("echo {}: 2 connections, 3 in flight on each, 20 B binary", echo.url);
    assert_eq!(text.lines().next(), Some(&*first));
    let names: Vec<_> = text.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(names, ["echoes", "rate", "latency", "server", "load"], "{text}");
}

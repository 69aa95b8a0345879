//! The log on stderr.

use std::{io, process::Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    client::{Client, get},
    process::{Serve, command, file},
};

#[test]
fn json_lines_have_time_level_target_and_fields() {
    let serve = Serve::start(&["--log", "json", "--drain", "0"]);
    let url = serve.url.clone();
    serve.signal(Signal::TERM);
    let (status, log) = serve.over();
    assert_eq!(status, Some(0));
    let lines: Vec<Value> =
        log.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let listening = &lines[0];
    assert_eq!(
        (
            &listening["level"],
            &listening["target"],
            &listening["fields"]["message"],
            &listening["fields"]["url"]
        ),
        (&"INFO".into(), &"framecast::serve".into(), &"listening".into(), &url.into())
    );
    assert!(lines.iter().all(|line| line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z'))));
    assert!(lines.iter().any(|line| line["fields"]["message"] == "draining"), "{lines:#?}");
}

/// Once, however it is written; and not of a server that asks for tokens.
#[test]
fn that_everybody_may_join_is_a_warning() {
    let tokens = file("tokens", "s3cret ada\n");
    let tokens = ["--tokens", tokens.to_str().expect("UTF-8")];
    let anonymous = [&tokens[..], &["--allow-anonymous"]].concat();
    let text = "everybody who can reach it may join without a token";
    for format in ["text", "json"] {
        for (options, times) in [(&[][..], 1), (&anonymous, 1), (&tokens, 0)] {
            let serve = Serve::start(&[&["--log", format], options].concat());
            serve.signal(Signal::INT);
            let (_, log) = serve.over();
            let told: Vec<_> = log.iter().filter(|line| line.contains("may join")).collect();
            let is_it = |line: &&String| line.contains(text) && line.contains("WARN");
            assert!(told.len() == times && told.iter().all(is_it), "{format} {options:?}: {log:#?}");
        }
    }
}

#[test]
fn its_level_is_what_was_said() {
    let serve = Serve::with(&["--log", "json"], &[("FRAMECAST_LOG_LEVEL", "error")]);
    serve.signal(Signal::INT);
    assert_eq!(serve.over(), (Some(0), Vec::new()));
    let serve = Serve::start(&["--log", "json", "--log-level", "debug"]);
    assert!(get(&serve, "/ws").starts_with("HTTP/1.1 4"));
    assert!(serve.logs("upgrade refused").contains(r#""level":"DEBUG""#));
}

/// catalogue: FT-33
#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    let (unread, into_pipe) = io::pipe().expect("a pipe");
    let (closed, into_nothing) = io::pipe().expect("a pipe");
    drop(closed);
    // Each request is a line: of 2 MiB in memory and the 64 KiB that a pipe holds, there are some too many.
    let path = format!("/ws/{}", "x".repeat(7000));
    for (stderr, lines) in [(Stdio::from(into_pipe), 400), (Stdio::from(into_nothing), 10)] {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--log-level", "debug"];
        let mut command = command(&arguments, &[]);
        command.stderr(stderr);
        let serve = Serve::of(command);
        let mut client = Client::open(&serve, "/ws");
        client.subscribe("news");
        for _ in 0..lines {
            assert!(get(&serve, &path).starts_with("HTTP/1.1 426 "));
        }
        assert_eq!(serve.publish(&["news", "1"]).0, 0);
        assert_eq!(client.next()["payload"], 1);
        serve.signal(Signal::INT);
        assert_eq!(client.closed().code.0, 1001);
        assert_eq!(serve.over().0, Some(0));
    }
    drop(unread);
}

//! Lines of input: messages and commands.

use framecast::{Message, WebSocket};

use crate::{
    command::{Running, connect, ran},
    server::{echoing, open},
};

#[test]
fn lines_are_sent_as_text_and_replies_are_printed_a_line_each() {
    let run = connect(&[&echoing()], "one\n\ntwo é\r\nlast without a line feed");
    assert_eq!(run, ran(0, "one\n\ntwo é\r\nlast without a line feed\n", ""));
}

#[test]
fn binary_lines_are_sent_and_printed_as_they_are() {
    let url = open(async |mut ws: WebSocket| {
        while let Some(message) = ws.recv().await {
            let Message::Binary(bytes) = message else { return };
            let Ok(()) = ws.send(Message::Binary(bytes)).await else { return };
        }
    });
    let run = connect(&["--binary", &url], b"\x00\xff\x1b[2J\r\nb\n".to_vec());
    assert_eq!(run, ran(0, b"\x00\xff\x1b[2J\rb", ""));
}

#[test]
fn text_comes_raw_in_a_pipe() {
    let url = open(async |ws: WebSocket| {
        let _ = ws.send(Message::text("\x1b[31mred\u{9b}\nsecond line")).await;
    });
    let run = connect(&["--wait", "forever", &url], "");
    assert_eq!(run, ran(0, "\x1b[31mred\u{9b}\nsecond line\n", "framecast: closed with 1000\n"));
}

#[test]
fn two_slashes_send_one_and_no_commands_sends_all() {
    assert_eq!(connect(&[&echoing()], "//ping\n//\n"), ran(0, "/ping\n/\n", ""));
    assert_eq!(connect(&["--no-commands", &echoing()], "/ping\n//\n"), ran(0, "/ping\n//\n", ""));
}

#[test]
fn a_ping_tells_its_round_trip() {
    let mut running = Running::start(&[&echoing()]);
    running.types("/ping are you there\n/ping\nhi\n");
    assert_eq!(running.line(), "hi\n");
    let run = running.finish();
    assert_eq!(run.status, Some(0));
    let mut lines: Vec<_> = run.stderr.lines().collect();
    lines.sort_unstable_by_key(|line| line.len());
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, end) in lines.iter().zip(["", ": are you there"]) {
        let time = line
            .strip_prefix("framecast: pong after ")
            .and_then(|line| line.strip_suffix(end)?.strip_suffix(" ms"));
        let time: f64 = time.and_then(|time| time.parse().ok()).expect("milliseconds");
        assert!((0.0..60_000.0).contains(&time), "{line}");
    }
}

#[test]
fn a_close_carries_code_and_reason_behind_the_replies() {
    let (told, seen) = std::sync::mpsc::channel();
    let url = open(move |mut ws: WebSocket| {
        let told = told.clone();
        async move {
            while let Some(message) = ws.recv().await {
                let _ = ws.send(message).await;
            }
            let end = ws.closed().await;
            let _ = told.send((end.code.0, end.reason));
        }
    });
    let run = connect(&[&url], "a\n/close 1000 that is all\nnever sent\n");
    assert_eq!(run, ran(0, "a\n", ""));
    assert_eq!(seen.recv(), Ok((1000, "that is all".to_owned())));
    assert_eq!(connect(&[&url], "/close\n"), ran(0, "", ""));
    assert_eq!(seen.recv(), Ok((1000, String::new())));
    assert_eq!(connect(&[&url], "/close 4001 x\n"), ran(5, "", "framecast: closed with 4001\n"));
    assert_eq!(seen.recv(), Ok((4001, "x".to_owned())));
}

#[test]
fn a_wrong_line_in_a_pipe_ends_it_with_2() {
    for (lines, why) in [
        (
            &b"/pong\n"[..],
            "no command \"/pong\"; there are /ping and /close, and // sends a line that begins with /",
        ),
        (b"/close 1005\n", "close code 1005 must not be sent"),
        (b"\xff\n", "a line is not UTF-8; --binary sends it as it is"),
    ] {
        assert_eq!(connect(&[&echoing()], lines), ran(2, "", &format!("framecast: {why}\n")));
    }
}

//! Ends of pipes: what is waited for, what is held in memory, and readers that go away.

use std::{
    fs,
    io::{Read, Write},
    time::{Duration, Instant},
};

use framecast::{Message, WebSocket};

use crate::{
    command::{Running, command, connect, ran},
    server::{echo, echoing, open},
};

/// Long enough to be seen if it were waited for.
const LONG: &str = "60";

#[test]
fn it_ends_when_as_many_replies_came_as_messages_were_sent() {
    assert_eq!(connect(&["--wait", LONG, &echoing()], "1\n2\n3\n"), ran(0, "1\n2\n3\n", ""));
    assert_eq!(connect(&["--wait", LONG, &echoing()], "1\n/ping\n").status, Some(0));
}

#[test]
fn a_reply_that_takes_its_time_is_waited_for() {
    let url = open(async |mut ws: WebSocket| {
        while let Some(message) = ws.recv().await {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let _ = ws.send(message).await;
        }
    });
    assert_eq!(connect(&["--wait", LONG, &url], "1\n2\n"), ran(0, "1\n2\n", ""));
}

#[test]
fn replies_that_do_not_come_are_given_up_after_wait_and_said() {
    let url = open(async |mut ws: WebSocket| {
        let _ = ws.recv().await;
        let _ = ws.send(Message::text("only one")).await;
        while ws.recv().await.is_some() {}
    });
    let start = Instant::now();
    let run = connect(&["--wait", "0.2", &url], "1\n2\n");
    assert_eq!(run, ran(0, "only one\n", "framecast: 1 of 2 replies came\n"));
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!(connect(&["--wait", "0", &url], "").status, Some(0));
}

#[test]
fn with_nothing_sent_it_listens_for_wait() {
    let url = open(async |mut ws: WebSocket| {
        let _ = ws.send(Message::text("news")).await;
        while ws.recv().await.is_some() {}
    });
    let start = Instant::now();
    assert_eq!(connect(&["--wait", "0.5", &url], ""), ran(0, "news\n", ""));
    assert!(start.elapsed() >= Duration::from_millis(500));
}

#[test]
fn forever_waits_for_the_server_to_close() {
    let url = open(async |mut ws: WebSocket| {
        let Some(message) = ws.recv().await else { return };
        for _ in 0..3 {
            let _ = ws.send(message.clone()).await;
        }
    });
    let run = connect(&["--wait", "forever", &url], "news\n");
    assert_eq!(run, ran(0, "news\nnews\nnews\n", "framecast: closed with 1000\n"));
}

#[test]
fn many_lines_come_back_whole_and_in_order() {
    let lines: String = (0..100_000).map(|n| format!("line {n}\n")).collect();
    let run = connect(&[&echoing()], lines.clone());
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
    assert!(run.stdout == lines.as_bytes(), "{} bytes of {}", run.stdout.len(), lines.len());
}

/// 256 MiB go in and nobody takes them: they wait in the pipe, not in memory.
#[test]
fn a_huge_input_is_not_held_in_memory() {
    let url = open(async |_ws: WebSocket| std::future::pending().await);
    let mut child = command(&[&url]).spawn().expect("the command is built");
    let mut stdin = child.stdin.take().expect("piped");
    let (written, so_far) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let lines = format!("{}\n", "x".repeat(1023)).repeat(1024);
        for mebibyte in 1..=256 {
            let Ok(()) = stdin.write_all(lines.as_bytes()) else { return };
            let _ = written.send(mebibyte);
        }
    });
    // Until the writer gets no further.
    let mut mebibytes = 0;
    while let Ok(more) = so_far.recv_timeout(Duration::from_secs(3)) {
        mebibytes = more;
    }
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it runs");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a figure");
    let kibibytes: u64 = resident.trim().trim_end_matches(" kB").parse().expect("a figure");
    child.kill().expect("it runs");
    child.wait().expect("killed");
    assert!(mebibytes < 100, "{mebibytes} MiB were taken");
    assert!(kibibytes < 64 << 10, "{kibibytes} KiB");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let url = open(async |ws: WebSocket| while ws.send(Message::text("y")).await.is_ok() {});
    let mut running = Running::start(&[&url]);
    assert_eq!(running.line(), "y\n");
    let (mut child, _stdin) = running.hang_up();
    let mut stderr = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("UTF-8");
    assert_eq!((child.wait().expect("it ends").code(), stderr.as_str()), (Some(0), ""));
}

/// And not only with the next message, which may never come.
#[test]
fn a_reader_that_goes_away_is_noticed_in_silence() {
    let mut running = Running::start(&[&open(echo)]);
    running.types("once\n");
    assert_eq!(running.line(), "once\n");
    let (mut child, _stdin) = running.hang_up();
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

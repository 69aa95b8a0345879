//! `framecast bench relay`: against a relay of the engine's own parts its figures must add up, and one that is wrong is found.

use std::{
    net::TcpStream,
    process::Command,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use framecast::{Acceptor, CloseCode, Config, Deflate, Endpoint, Listen, Sender, WebSocket, proto::OpCode};
use serde_json::Value;

use crate::{
    broken::fails,
    figures::{assert_close, assert_latencies},
    support::{Peer, bench, command, json, number, server, stderr},
};

/// A relay in this process: a [`Sender`] a connection, and those that take no more are cut off.
struct Relay {
    url: String,
    cut_off: Arc<AtomicU64>,
}

#[derive(Clone, Default)]
struct Hub {
    senders: Arc<Mutex<Vec<Sender>>>,
    cut_off: Arc<AtomicU64>,
}

impl Relay {
    fn start() -> Self {
        Self::with_outbox(16 << 20)
    }

    fn with_outbox(bytes_max: usize) -> Self {
        let hub = Hub::default();
        let cut_off = hub.cut_off.clone();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let config = Config::builder()
                .message_bytes_max(8 << 20)
                .outbox_bytes_max(bytes_max)
                .deflate(Some(Deflate::default()));
            let listen = Listen::new(Acceptor::new(config.build().unwrap(), Endpoint::new()));
            runtime.block_on(async {
                let listener = listen.bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                listener.serve(move |ws| hub.clone().relay(ws)).await.unwrap();
            });
        });
        Self { url: format!("ws://{}/", told.recv().unwrap()), cut_off }
    }
}

impl Hub {
    async fn relay(self, mut ws: WebSocket) {
        self.senders.lock().unwrap().push(ws.sender());
        while let Some(message) = ws.recv().await {
            self.senders.lock().unwrap().retain(|sender| {
                let is_queued = sender.try_send(&message).is_ok();
                if !is_queued && sender.close(CloseCode::POLICY, "too slow").is_ok() {
                    self.cut_off.fetch_add(1, Ordering::Relaxed);
                }
                is_queued
            });
        }
    }
}

/// A relay of two connections that gives the publisher what it sent, and the other what `spoil` makes of the 4 messages.
fn spoiling(spoil: impl Fn(&mut Peer, Vec<Vec<u8>>) + Send + Sync + 'static) -> String {
    let joined: Arc<(Mutex<Vec<TcpStream>>, Condvar)> = Arc::default();
    server(move |mut peer| {
        let (peers, more) = &*joined;
        peers.lock().unwrap().push(peer.stream.try_clone().unwrap());
        more.notify_all();
        loop {
            let mut batch = Vec::new();
            while batch.len() < 4 {
                let Some((OpCode::Binary, payload)) = peer.frame() else { return };
                peer.send(OpCode::Binary, true, &payload);
                batch.push(payload);
            }
            let peers = more.wait_while(peers.lock().unwrap(), |peers| peers.len() < 2).unwrap();
            let own = peer.stream.peer_addr().unwrap();
            let mut others = peers.iter().filter(|other| other.peer_addr().is_ok_and(|addr| addr != own));
            let Some(other) = others.next() else { return };
            spoil(&mut Peer { stream: other.try_clone().unwrap(), path: String::new() }, batch);
        }
    })
}

fn spoiled(spoil: impl Fn(&mut Peer, Vec<Vec<u8>>) + Send + Sync + 'static) -> (i32, String) {
    fails(&["relay", &spoiling(spoil), "--connections", "2", "--depth", "4", "--seconds", "5"])
}

/// What holds for every report of deliveries; `--pid` was this process.
fn assert_adds_up(report: &Value, seconds: f64) {
    let (deliveries, took) = (number(&report["deliveries"]), number(&report["seconds"]));
    assert!(deliveries > 0.0 && (seconds..seconds + 5.0).contains(&took), "{report}");
    let per_second = number(&report["deliveries_per_second"]);
    assert_close(per_second, deliveries / took, "deliveries_per_second");
    let bytes = per_second * number(&report["size"]);
    assert_close(number(&report["payload_bytes_per_second"]), bytes, "payload_bytes_per_second");
    assert_latencies(&report["latency_us"]);
    let server = &report["server"];
    let used = number(&server["cpu_us_per_delivery"]) * deliveries / 1e6;
    assert!(used > 0.0, "{report}");
    assert_close(number(&server["cpu_share"]), used / took, "cpu_share");
    let opened = number(&report["connections"]) + number(&report["stalled"]);
    let grown = number(&server["rss_bytes"]) - number(&server["rss_bytes_before"]);
    assert_close(number(&server["rss_bytes_per_connection"]), grown / opened, "rss_bytes_per_connection");
    assert!(number(&server["rss_bytes_peak"]) > 100e3, "{report}");
}

fn relayed(relay: &Relay, options: &[&str]) -> Value {
    let pid = std::process::id().to_string();
    let always = ["relay", &relay.url, "--pid", &pid, "--warmup", "0.1", "--json"];
    json(&bench(&[&always[..], options].concat()))
}

#[test]
fn deliveries_add_up_for_every_shape_and_come_in_whole_batches() {
    let relay = Relay::start();
    for shape in [
        &["--connections", "100", "--depth", "1"][..],
        &["--connections", "7", "--depth", "8", "--size", "1024", "--text"],
        &["--connections", "1", "--depth", "3"],
        &["--connections", "2", "--depth", "5", "--size", "0"],
        // More than the sockets hold: writing and reading must go on at once.
        &["--connections", "3", "--depth", "2", "--size", "4194304"],
    ] {
        let report = relayed(&relay, &[shape, &["--seconds", "0.3"]].concat());
        assert_adds_up(&report, 0.3);
        assert_eq!((&report["scenario"], &report["stalled"]), (&"relay".into(), &0.into()));
        assert_eq!(report["connections"].to_string(), shape[1]);
        assert_eq!(report["depth"].to_string(), shape[3]);
        assert_eq!(report["text"], shape.contains(&"--text"));
        let batch = report["connections"].as_u64().unwrap() * report["depth"].as_u64().unwrap();
        assert_eq!(report["deliveries"].as_u64().unwrap() % batch, 0, "{report}");
    }
    assert_eq!(relay.cut_off.load(Ordering::Relaxed), 0);
}

#[test]
fn at_a_fixed_rate_each_message_is_delivered_to_all() {
    let options = ["--rate", "1000", "--connections", "7", "--seconds", "0.5"];
    let report = relayed(&Relay::start(), &options);
    assert_adds_up(&report, 0.49);
    assert_eq!((&report["deliveries"], &report["rate"]), (&3500.into(), &1000.0.into()));
    assert_eq!((&report["open_loop"]["scheduled"], &report["depth"]), (&500.into(), &Value::Null));
    assert_eq!(report["open_loop"]["unanswered"], 0);
}

/// RFC 7692: what is delivered is compared after inflating, and counted before.
#[test]
fn compressed_deliveries_are_compared_and_their_bytes_told() {
    let options = ["--connections", "5", "--size", "1024", "--text", "--deflate", "--seconds", "0.2"];
    let report = relayed(&Relay::start(), &options);
    assert_adds_up(&report, 0.2);
    assert!((200.0..400.0).contains(&number(&report["reply_bytes"])), "{report}");
}

/// The others get theirs, and nobody minds that the server gives up on those that do not read.
#[test]
fn stalled_connections_are_neither_waited_for_nor_missed() {
    let relay = Relay::with_outbox(4 << 20);
    let options = ["--connections", "4", "--stalled", "3", "--size", "262144", "--depth", "4"];
    // Until what the system takes for a connection and the outbox are full.
    for _ in 0..10 {
        let report = relayed(&relay, &[&options[..], &["--seconds", "1"]].concat());
        assert_adds_up(&report, 1.0);
        assert_eq!((&report["connections"], &report["stalled"]), (&4.into(), &3.into()));
        if relay.cut_off.load(Ordering::Relaxed) >= 3 {
            return;
        }
    }
    panic!("none was cut off");
}

#[test]
fn deliveries_that_are_wrong_are_found_and_named() {
    let changed = spoiled(|peer, mut batch| {
        batch[2][13] ^= 0x20;
        batch.iter().for_each(|payload| peer.send(OpCode::Binary, true, payload));
    });
    assert_eq!(changed.0, 1);
    assert!(changed.1.starts_with("connection 1, delivery 2: byte 13 is 0x"), "{}", changed.1);
    let left_out = spoiled(|peer, batch| {
        [0, 2, 3].iter().for_each(|nth| peer.send(OpCode::Binary, true, &batch[*nth]));
    });
    assert_eq!(left_out, (1, "connection 1, delivery 1: is that of message 2".into()));
    let twice = spoiled(|peer, batch| {
        [0, 1, 2, 3, 3].iter().for_each(|nth| peer.send(OpCode::Binary, true, &batch[*nth]));
    });
    // It is seen with the batch, or with the next one.
    assert_eq!(twice.0, 1);
    assert!(twice.1.starts_with("connection 1, delivery 4: "), "{}", twice.1);
    let text = spoiled(|peer, _| peer.send(OpCode::Text, true, &[b'a'; 20]));
    assert_eq!(text, (1, "connection 1, delivery 0: was sent as binary, came as text".into()));
    let closed = spoiled(|peer, batch| {
        peer.send(OpCode::Binary, true, &batch[0]);
        peer.send(OpCode::Close, true, &[&1008u16.to_be_bytes()[..], b"too slow"].concat());
    });
    assert_eq!(closed, (1, "connection 1, delivery 1: peer closed with 1008 (too slow)".into()));
}

/// In the closed loop there is nothing to go on with; at a rate, what does not come counts with its age.
#[test]
fn what_is_never_delivered_is_told() {
    let leaves_out_the_last = |peer: &mut Peer, batch: Vec<Vec<u8>>| {
        batch[..3].iter().for_each(|payload| peer.send(OpCode::Binary, true, payload));
    };
    let stuck = thread::spawn(move || spoiled(leaves_out_the_last));
    let options = ["--rate", "4", "--connections", "2", "--seconds", "1", "--warmup", "0", "--json"];
    let report = json(&bench(&[&["relay", &spoiling(leaves_out_the_last)], &options[..]].concat()));
    assert_eq!((&report["deliveries"], &report["open_loop"]["scheduled"]), (&7.into(), &4.into()));
    assert_eq!(report["open_loop"]["unanswered"], 1);
    assert!(number(&report["latency_us"]["max"]) > 5e6, "{report}");
    let why = "no delivery within 10 seconds; 7 of 8 of this batch have come";
    assert_eq!(stuck.join().unwrap(), (1, why.to_owned()));
}

#[test]
fn a_signal_ends_a_batch_that_does_not_end() {
    let came = Arc::new((Mutex::new(0), Condvar::new()));
    let telling = came.clone();
    let url = spoiling(move |peer, batch| {
        let mut came = telling.0.lock().unwrap();
        let whole = if *came < 10 { 4 } else { 1 };
        batch[..whole].iter().for_each(|payload| peer.send(OpCode::Binary, true, payload));
        *came += 1;
        telling.1.notify_all();
    });
    let options = ["--connections", "2", "--depth", "4", "--seconds", "600", "--warmup", "0", "--json"];
    let child = command(&[&["relay", &url], &options[..]].concat()).spawn().unwrap();
    let (came, told) = &*came;
    let wait = told.wait_timeout_while(came.lock().unwrap(), Duration::from_secs(20), |came| *came <= 10);
    assert!(!wait.unwrap().1.timed_out(), "no load within 20 s");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let report = json(&child.wait_with_output().unwrap());
    assert_eq!(report["interrupted"], true);
    assert!((80..=85).contains(&report["deliveries"].as_u64().unwrap()), "{report}");
}

#[test]
fn people_get_a_few_lines() {
    let relay = Relay::start();
    let pid = std::process::id().to_string();
    let options = ["--connections", "3", "--stalled", "1", "--seconds", "0.1", "--pid", &pid];
    let output = bench(&[&["relay", &relay.url], &options[..]].concat());
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    let text = String::from_utf8(output.stdout).unwrap();
    let shape = "3 connections, one publishes 1 at once, 20 B binary; stalled besides: 1";
    assert_eq!(text.lines().next().unwrap(), format!("relay {}: {shape}", relay.url));
    let names: Vec<_> = text.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(names, ["deliveries", "rate", "latency", "server", "load"], "{text}");
}

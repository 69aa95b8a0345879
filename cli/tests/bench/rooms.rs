//! `framecast bench rooms`: in each dialect its figures must add up, and a server that delivers too little, too much, in another
//! order or elsewhere is found.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use framecast::proto::OpCode;
use serde_json::Value;

use crate::{
    broken::fails,
    figures::{assert_close, assert_latencies},
    support::{Peer, bench, json, number, server, stderr},
};

const DIALECTS: [&str; 3] = ["hub", "plain", "socketio"];

/// What comes of the payload of a room's `nth` message.
type Spoil = fn(usize, String) -> Vec<String>;

/// The rooms of a server, by their names.
#[derive(Default)]
struct Rooms(Mutex<HashMap<String, Room>>);

#[derive(Default)]
struct Room {
    members: Vec<Peer>,
    /// Messages that came.
    published: usize,
    /// Messages that left, which a spoilt room has more or fewer of.
    offset: u64,
}

impl Rooms {
    /// The server's URL for the load: each connection has a thread.
    fn start(dialect: &'static str, spoil: Spoil) -> String {
        let rooms = Arc::new(Self::default());
        let url = server(move |peer| match dialect {
            "hub" => rooms.hub(peer, spoil),
            "plain" => rooms.plain(peer, spoil),
            _ => rooms.socketio(peer, spoil),
        });
        match dialect {
            "plain" => format!("{url}ws/{{room}}"),
            "hub" => format!("{url}ws"),
            _ => format!("{url}socket.io/?EIO=4&transport=websocket"),
        }
    }

    fn hub(&self, mut peer: Peer, spoil: Spoil) {
        say(&mut peer, r#"{"type":"connection_established","client_id":"c","ping_interval":20}"#);
        while let Some(text) = hear(&mut peer) {
            let said: Value = serde_json::from_str(&text).unwrap();
            let room = said["room"].as_str().unwrap();
            if said["type"] == "subscribe" {
                let mut rooms = self.0.lock().unwrap();
                let Room { members, offset, .. } = rooms.entry(room.to_owned()).or_default();
                let json = format!(r#"{{"type":"subscribed","room":"{room}","epoch":7,"offset":{offset}}}"#);
                say(&mut peer, &json);
                members.push(clone(&peer));
                continue;
            }
            let (_, payload) = text.split_once(r#","payload":"#).unwrap();
            self.publish(room, payload.strip_suffix('}').unwrap(), spoil, |payload, offset| {
                let head =
                    format!(r#"{{"type":"message","room":"{room}","payload":{payload},"user_id":null"#);
                format!(r#"{head},"epoch":7,"offset":{offset},"ts":1}}"#)
            });
        }
    }

    fn plain(&self, mut peer: Peer, spoil: Spoil) {
        let room = peer.path.strip_prefix("/ws/").expect("a room in the path").to_owned();
        self.0.lock().unwrap().entry(room.clone()).or_default().members.push(clone(&peer));
        while let Some(text) = hear(&mut peer) {
            self.publish(&room, &text, spoil, |payload, _| payload.to_owned());
        }
    }

    fn socketio(&self, mut peer: Peer, spoil: Spoil) {
        say(&mut peer, r#"0{"sid":"e","upgrades":[],"pingInterval":25000}"#);
        assert_eq!(hear(&mut peer).unwrap(), "40");
        say(&mut peer, r#"40{"sid":"s"}"#);
        let join: Value =
            serde_json::from_str(hear(&mut peer).unwrap().strip_prefix("420").unwrap()).unwrap();
        let room = join[1].as_str().unwrap().to_owned();
        say(&mut peer, "2");
        assert_eq!(hear(&mut peer).unwrap(), "3");
        self.0.lock().unwrap().entry(room).or_default().members.push(clone(&peer));
        say(&mut peer, "430[]");
        while let Some(text) = hear(&mut peer) {
            let (room, payload) = text.strip_prefix(r#"42["message",""#).unwrap().split_once("\",").unwrap();
            self.publish(room, payload.strip_suffix(']').unwrap(), spoil, |payload, _| {
                format!(r#"42["message",{payload}]"#)
            });
        }
    }

    fn publish(&self, room: &str, payload: &str, spoil: Spoil, write: impl Fn(&str, u64) -> String) {
        let mut rooms = self.0.lock().unwrap();
        let Room { members, published, offset } = rooms.get_mut(room).unwrap();
        for payload in spoil(*published, payload.to_owned()) {
            *offset += 1;
            members.iter_mut().for_each(|member| say(member, &write(&payload, *offset)));
        }
        *published += 1;
    }
}

fn as_it_is(_: usize, payload: String) -> Vec<String> {
    vec![payload]
}

fn clone(peer: &Peer) -> Peer {
    Peer { stream: peer.stream.try_clone().unwrap(), path: String::new() }
}

fn say(peer: &mut Peer, text: &str) {
    peer.send(OpCode::Text, true, text.as_bytes());
}

/// The next text; `None` at the end.
fn hear(peer: &mut Peer) -> Option<String> {
    match peer.frame()? {
        (OpCode::Text, text) => Some(String::from_utf8(text).unwrap()),
        _ => None,
    }
}

fn spoiled(dialect: &'static str, spoil: Spoil) -> (i32, String) {
    let url = Rooms::start(dialect, spoil);
    let load = ["--connections", "1", "--rooms", "1", "--rate", "50", "--seconds", "5", "--warmup", "0"];
    fails(&[&["rooms", &url, "--dialect", dialect], &load[..]].concat())
}

#[test]
fn deliveries_add_up_in_every_dialect() {
    let pid = std::process::id().to_string();
    for dialect in DIALECTS {
        let url = Rooms::start(dialect, as_it_is);
        // The last room has one member less.
        let load =
            ["--connections", "19", "--rooms", "4", "--rate", "380", "--seconds", "0.5", "--size", "64"];
        let always = ["rooms", &url, "--dialect", dialect, "--pid", &pid, "--warmup", "0.1", "--json"];
        let report = json(&bench(&[&always[..], &load].concat()));
        assert_eq!((&report["scenario"], &report["dialect"]), (&"rooms".into(), &dialect.into()));
        assert_eq!((&report["connections"], &report["rooms"]), (&19.into(), &4.into()));
        assert_eq!(
            (&report["open_loop"]["scheduled"], &report["open_loop"]["unanswered"]),
            (&190.into(), &0.into())
        );
        // Ten of each: three rooms of five, and one of four.
        let expected = 10 * (3 * 5 * 5 + 4 * 4);
        assert_eq!(
            (&report["deliveries"], &report["expected"]),
            (&expected.into(), &expected.into()),
            "{report}"
        );
        assert_latencies(&report["latency_us"]);
        let per_second = f64::from(expected) / number(&report["seconds"]);
        assert_close(number(&report["deliveries_per_second"]), per_second, "deliveries_per_second");
        assert_close(
            number(&report["payload_bytes_per_second"]),
            per_second * 64.0,
            "payload_bytes_per_second",
        );
        let server = &report["server"];
        let grown = number(&server["rss_bytes_joined"]) - number(&server["rss_bytes_before"]);
        assert_close(number(&server["rss_bytes_per_connection"]), grown / 19.0, "rss_bytes_per_connection");
        assert!(number(&server["cpu_us_per_delivery"]) > 0.0, "{report}");
    }
}

#[test]
fn deliveries_that_are_wrong_are_found_and_named() {
    for dialect in DIALECTS {
        let changed = |nth, payload: String| match nth {
            2 => vec![payload.replacen("x", "y", 1)],
            _ => vec![payload],
        };
        let why = "connection 0, delivery 2: is not what connection 0 sent as message 2";
        assert_eq!(spoiled(dialect, changed), (1, why.to_owned()), "{dialect}");
        let left_out = |nth, payload| if nth == 1 { vec![] } else { vec![payload] };
        let why = "connection 0, delivery 1: is message 2 of connection 0, not 1";
        assert_eq!(spoiled(dialect, left_out), (1, why.to_owned()), "{dialect}");
        let twice =
            |nth, payload: String| if nth == 1 { vec![payload.clone(), payload] } else { vec![payload] };
        let why = "connection 0, delivery 2: is message 1 of connection 0, not 2";
        assert_eq!(spoiled(dialect, twice), (1, why.to_owned()), "{dialect}");
        let elsewhere = |_, payload: String| vec![payload.replacen("000000000000", "000000100000", 1)];
        let why = "connection 0, delivery 0: is connection 1's, which is not in this room";
        assert_eq!(spoiled(dialect, elsewhere), (1, why.to_owned()), "{dialect}");
    }
}

/// The hub says what it did not do, and its offsets tell what it does not say.
#[test]
fn what_a_hub_says_it_lost_or_refused_ends_the_measurement() {
    let told = |text: &'static str| {
        let url = server(move |mut peer| {
            say(&mut peer, r#"{"type":"connection_established","client_id":"c"}"#);
            hear(&mut peer);
            say(&mut peer, r#"{"type":"subscribed","room":"room-0","epoch":7,"offset":3}"#);
            if let Some(message) = hear(&mut peer) {
                let (_, payload) = message.split_once(r#","payload":"#).unwrap();
                say(&mut peer, &text.replace("{payload}", payload.strip_suffix('}').unwrap()));
                hear(&mut peer);
            }
        });
        let options = ["--connections", "1", "--rooms", "1", "--rate", "1", "--warmup", "0"];
        fails(&[&["rooms", &url], &options[..]].concat())
    };
    let gap = r#"{"type":"gap","room":"room-0","from":4,"to":4,"reason":"slow"}"#;
    assert_eq!(told(gap), (1, format!("connection 0, delivery 0: the server said {gap}")));
    let error = r#"{"type":"error","id":null,"code":"rate_limited","message":"too fast"}"#;
    assert_eq!(told(error), (1, format!("connection 0, delivery 0: the server said {error}")));
    let jumped = told(r#"{"type":"message","room":"room-0","payload":{payload},"offset":5}"#);
    assert_eq!(jumped, (1, "connection 0, delivery 0: offset 5 came after 3".to_owned()));
}

#[test]
fn what_is_never_delivered_is_told_with_its_age() {
    let url = Rooms::start("plain", |nth, payload| if nth < 3 { vec![payload] } else { vec![] });
    let load =
        ["--connections", "2", "--rooms", "1", "--rate", "4", "--seconds", "1", "--warmup", "0", "--json"];
    let report = json(&bench(&[&["rooms", &url, "--dialect", "plain"], &load[..]].concat()));
    assert_eq!((&report["deliveries"], &report["expected"]), (&6.into(), &8.into()));
    assert_eq!(report["open_loop"]["unanswered"], 2);
    assert!(number(&report["latency_us"]["max"]) > 5e6, "{report}");
}

#[test]
fn a_server_that_lets_nobody_in_is_told_of() {
    let url = server(|mut peer| {
        say(&mut peer, r#"{"type":"error","id":null,"code":"unauthorized","message":"no"}"#);
        hear(&mut peer);
    });
    let (code, why) = fails(&["rooms", &url, "--connections", "1"]);
    assert_eq!((code, why.contains(r#"the server said {"type":"error""#)), (1, true), "{why}");
    let raw = fails(&["rooms", &url, "--raw"]);
    assert_eq!(raw, (2, "rooms has no --raw: plain TCP has no rooms".to_owned()));
}

#[test]
fn people_get_a_few_lines() {
    let url = Rooms::start("socketio", as_it_is);
    let pid = std::process::id().to_string();
    let load = ["--connections", "4", "--rooms", "2", "--rate", "40", "--seconds", "0.2", "--pid", &pid];
    let output = bench(&[&["rooms", &url, "--dialect", "socketio"], &load[..]].concat());
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    let text = String::from_utf8(output.stdout).unwrap();
    let shape = "4 connections in 2 rooms (socketio), 40 messages a second in all, 128 B text";
    assert_eq!(text.lines().next().unwrap(), format!("rooms {url}: {shape}"));
    let mut names: Vec<_> =
        text.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
    names.retain(|name| *name != "note");
    assert_eq!(names, ["joined", "deliveries", "rate", "latency", "counted", "server", "load"], "{text}");
    assert!(text.contains("  deliveries     16 of 16 in "), "{text}");
}

//! The conversations of docs/protocol.md, played against a hub: what the page says is what happens, and nothing else does.

use std::collections::{BTreeMap, VecDeque};

use framecast_hub::{Secret, Visitor};

use crate::support::{Peer, World, jwt};

/// The epoch of every room on the page.
const EPOCH: &str = "4817263549102";

#[test]
fn the_pages_conversations_are_exact() {
    let page = include_str!("../../../docs/protocol.md");
    let blocks = page.split("```text\n# ").skip(1);
    let conversations: Vec<_> = blocks.filter_map(|block| block.split("\n```").next()).collect();
    assert_eq!(conversations.len(), 11, "a conversation more has its number here");
    for conversation in conversations {
        play(conversation);
    }
}

/// Somebody on the page, and what it has heard that the page has not said yet.
struct Said<'w> {
    peer: Peer<'w>,
    heard: VecDeque<String>,
    resume: Option<String>,
}

fn play(conversation: &str) {
    let (hub, lines) = conversation.split_once('\n').expect("it says which hub");
    let world = match hub {
        "an open hub" => World::new(),
        "a hub with tokens" => World::with_tokens(|hub| hub),
        _ => panic!("no such hub: {hub}"),
    };
    let mut all: BTreeMap<&str, Said<'_>> = BTreeMap::new();
    for line in lines.lines() {
        if let Some(seconds) = line.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" s later")) {
            world.passes(1000 * seconds.parse::<u64>().expect("they are seconds"));
            for said in all.values() {
                said.peer.wakes();
            }
            continue;
        }
        let (name, rest) = line.split_at(line.find([':', '>', '<']).expect("somebody does something"));
        if let Some(url) = rest.strip_prefix(": ") {
            let peer = world.visit(visitor(url, &all));
            all.insert(name, Said { peer, heard: VecDeque::new(), resume: None });
        } else if let Some(text) = rest.strip_prefix("> ") {
            all[name].peer.says(&with_epoch(&with_jwt(text), &world));
        } else if let Some(expected) = rest.strip_prefix("< close ") {
            let (code, reason) =
                all[name].peer.is_closed_with().unwrap_or_else(|| panic!("not closed: {line}"));
            assert_eq!(format!("{code} {reason}"), expected);
        } else if let Some(expected) = rest.strip_prefix("< ") {
            let said = all.get_mut(name).expect("it has come");
            let heard = said.next().unwrap_or_else(|| panic!("nothing heard: {line}"));
            assert!(fits(&heard, expected), "{name} hears {heard}, and not {expected}");
        } else {
            panic!("{line}");
        }
    }
    for (name, mut said) in all {
        assert_eq!(said.next(), None, "{name} hears more than the page says");
    }
}

impl Said<'_> {
    fn next(&mut self) -> Option<String> {
        self.heard.extend(self.peer.hears());
        let heard = self.heard.pop_front()?;
        if let Some((_, rest)) = heard.split_once(r#""resume":""#) {
            self.resume = rest.split_once('"').map(|(resume, _)| resume.to_owned());
        }
        Some(heard)
    }
}

/// `/ws/CLIENT?token=TOKEN`, or `?resume=(NAME)` for what was told to somebody.
fn visitor(url: &str, all: &BTreeMap<&str, Said<'_>>) -> Visitor {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let resume = query.strip_prefix("resume=(").and_then(|rest| rest.strip_suffix(')'));
    let resume = resume.map(|name| all[name].resume.clone().expect("it was told"));
    Visitor {
        client_id: path.strip_prefix("/ws/").map(str::to_owned),
        token: query.strip_prefix("token=").map(|token| Secret::new(with_jwt(token))),
        resume: resume.map(Secret::new),
        path: path.to_owned(),
        ..Visitor::default()
    }
}

/// With `jwt{claims}` made one.
fn with_jwt(text: &str) -> String {
    let Some((before, rest)) = text.split_once("jwt{") else { return text.to_owned() };
    let (claims, after) = rest.split_once('}').expect("claims end");
    format!("{before}{}{after}", jwt(&format!("{{{claims}}}")))
}

/// With the room's real epoch.
fn with_epoch(text: &str, world: &World) -> String {
    let Some((_, rest)) = text.split_once(r#""room":""#) else { return text.to_owned() };
    let position = rest.split('"').next().and_then(|room| world.hub.topics().position(room));
    position.map_or_else(|| text.to_owned(), |position| text.replace(EPOCH, &position.epoch.to_string()))
}

/// `…` is anything.
fn fits(heard: &str, expected: &str) -> bool {
    let expected = expected.replace(EPOCH, "7").replace("/0.1.0", concat!("/", env!("CARGO_PKG_VERSION")));
    let mut parts = expected.split('…');
    let Some(mut rest) = heard.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    rest.is_empty() || last == Some("")
}

//! Whatever is published to whomever, and however slowly it is taken: what a subscriber gets and what it is told to have lost are
//! together what was published, once and in order, and what waits stays within its bounds.

use std::{collections::HashMap, time::Duration};

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::simulation::{Got, Sim, Socket, say};
use crate::{
    broadcast::{Backlog, ConflateBy, OverflowPolicy, Position, Publish, Publishing, Subscription},
    proto::{CloseCode, CloseFrame},
};

const TOPICS: [&str; 4] = ["a", "b:x", "b:y", "c:x:y"];
/// With what each matches.
const PATTERNS: [(&str, [bool; 4]); 4] = [
    (">", [true; 4]),
    ("b:*", [false, true, true, false]),
    ("*:x", [false, true, false, false]),
    ("*:x:>", [false, false, false, true]),
];
const EVERYBODY: &str = "";
const RESTARTS: &str = "retry_after_ms=1234";

const MEMBERS: usize = 6;
/// It has one subscription, with a wildcard.
const BY_PATTERN: usize = 3;
/// It has all kinds, but without rates, by which one that matches could overtake another.
const BY_BOTH: usize = 4;
/// A task of its own writes to this one's socket.
const WRITTEN_BY_OTHERS: usize = 5;

#[derive(Clone, Debug)]
enum Op {
    Publish { topic: usize, bytes: usize, key: Option<u8>, except: Option<usize> },
    Everybody { bytes: usize },
    Lose { topic: usize, messages: u64 },
    Subscribe { member: usize, topic: usize, wish: Wish },
    Unsubscribe { member: usize, topic: usize, drained: bool },
    Take { member: usize, bytes: usize },
    Stall { member: usize },
    SendOwn { member: usize },
    Ping { member: usize },
    SendAway { member: usize },
    BreakOff { member: usize },
    Work { shard: usize, members: usize },
    Advance { millis: u64 },
}

/// The terms of a subscription.
#[derive(Clone, Debug)]
struct Wish {
    policy: OverflowPolicy,
    messages_max: Option<usize>,
    bytes_max: Option<usize>,
    every_millis: Option<u64>,
}

fn wish() -> impl Strategy<Value = Wish> {
    let policy = select(vec![
        OverflowPolicy::Disconnect(CloseCode::POLICY),
        OverflowPolicy::DropNewest,
        OverflowPolicy::DropNewest,
        OverflowPolicy::DropOldest,
        OverflowPolicy::DropOldest,
        OverflowPolicy::Conflate(ConflateBy::Key),
        OverflowPolicy::Conflate(ConflateBy::Key),
        OverflowPolicy::Conflate(ConflateBy::Topic),
    ]);
    let of = (policy, option::of(1_usize..6), option::of(0_usize..2000), option::weighted(0.3, 1_u64..400));
    of.prop_map(|(policy, messages_max, bytes_max, every_millis)| Wish {
        policy,
        messages_max,
        bytes_max,
        every_millis,
    })
}

fn op() -> impl Strategy<Value = Op> {
    let (member, topic) = (|| 0..MEMBERS, || 0..TOPICS.len());
    let bytes = || prop_oneof![16 => 0_usize..200, 3 => 200_usize..10_000, 1 => 10_000_usize..102_400];
    prop_oneof![
        60 => (topic(), bytes(), option::of(0_u8..3), option::weighted(0.1, member()))
            .prop_map(|(topic, bytes, key, except)| Op::Publish { topic, bytes, key, except }),
        4 => bytes().prop_map(|bytes| Op::Everybody { bytes }),
        2 => (topic(), 1_u64..4).prop_map(|(topic, messages)| Op::Lose { topic, messages }),
        12 => (member(), topic(), wish())
            .prop_map(|(member, topic, wish)| Op::Subscribe { member, topic, wish }),
        4 => (member(), topic(), prop::bool::weighted(0.3))
            .prop_map(|(member, topic, drained)| Op::Unsubscribe { member, topic, drained }),
        10 => (member(), prop_oneof![0_usize..300, 0_usize..100_000, Just(usize::MAX)])
            .prop_map(|(member, bytes)| Op::Take { member, bytes }),
        8 => member().prop_map(|member| Op::Stall { member }),
        4 => member().prop_map(|member| Op::SendOwn { member }),
        4 => member().prop_map(|member| Op::Ping { member }),
        1 => member().prop_map(|member| Op::SendAway { member }),
        1 => member().prop_map(|member| Op::BreakOff { member }),
        20 => (0_usize..2, prop_oneof![1_usize..4, Just(usize::MAX)])
            .prop_map(|(shard, members)| Op::Work { shard, members }),
        10 => (0_u64..200).prop_map(|millis| Op::Advance { millis }),
    ]
}

/// What a member is owed of a topic while one subscription lasts.
#[derive(Debug, Default)]
struct Owed {
    offsets: Vec<u64>,
    /// It ended while something waited, which is owed no longer.
    cut: bool,
}

#[derive(Default)]
struct Expected {
    owed: HashMap<&'static str, Vec<Owed>>,
    /// By name, and what their terms are.
    names: HashMap<&'static str, Wish>,
    patterns: HashMap<&'static str, Wish>,
    own: Vec<String>,
    pings: usize,
    left: bool,
    /// It is to be closed behind what it is owed by now.
    goes: bool,
    /// What was for it after that, which is lost.
    late: u64,
    /// Subscriptions that have ended and of which something may wait still, and whether they had rates.
    ended: HashMap<&'static str, bool>,
    /// Something was dropped that is not told.
    cut: bool,
}

impl Expected {
    fn wants(&self, topic: &str) -> bool {
        let at = TOPICS.iter().position(|name| *name == topic).expect("a topic");
        let matches = |(name, fits): &(&str, [bool; 4])| fits[at] && self.patterns.contains_key(name);
        !self.left && (self.names.contains_key(topic) || PATTERNS.iter().any(matches))
    }

    fn owe(&mut self, topic: &'static str, offset: u64) {
        if self.goes {
            self.late += 1;
            return;
        }
        let owed = self.owed.entry(topic).or_default();
        match owed.last_mut() {
            Some(last) if !last.cut => last.offsets.push(offset),
            _ => owed.push(Owed { offsets: vec![offset], cut: false }),
        }
    }
}

struct World {
    sim: Sim,
    expected: Vec<Expected>,
    publishings: Vec<(Publishing, u32)>,
    everybody: u64,
    /// By what is upstream of us, for all that were to get it.
    lost_before: u64,
    bounds: (usize, usize),
}

impl World {
    fn new(messages_max: usize, bytes_max: usize) -> Self {
        let mut sim = Sim::with(
            2,
            |topics| topics.everybody(Subscription::new().policy(OverflowPolicy::DropOldest)),
            |config| config.outbox_messages_max(messages_max).outbox_bytes_low(0).outbox_bytes_max(bytes_max),
        );
        for number in 0..MEMBERS {
            sim.join(number % 2);
        }
        sim.socket(WRITTEN_BY_OTHERS).others_write = true;
        let expected = (0..MEMBERS).map(|_| Expected::default()).collect();
        Self {
            sim,
            expected,
            publishings: Vec::new(),
            everybody: 0,
            lost_before: 0,
            bounds: (messages_max, bytes_max),
        }
    }

    fn obey(&mut self, op: Op) {
        let Self { sim, expected, publishings, .. } = self;
        match op {
            Op::Publish { topic, bytes, key, except } => {
                let topic = TOPICS[topic];
                let excepted = except.map(|member| sim.members[member].clone());
                let publishing = sim.publish_with(topic, bytes, |publish| {
                    let publish = match key {
                        Some(key) => publish.key(vec![key]),
                        None => publish,
                    };
                    excepted.iter().fold(publish, |publish, member| publish.except(member))
                });
                let publishing = publishing.expect("the inboxes are empty enough");
                let mut subscribers = 0;
                for (number, member) in expected.iter_mut().enumerate() {
                    if member.wants(topic) && except != Some(number) {
                        member.owe(topic, publishing.position().offset);
                        subscribers += 1;
                    }
                }
                publishings.push((publishing, subscribers));
            }
            Op::Everybody { bytes } => {
                self.everybody += 1;
                let publish = Publish::new(say(EVERYBODY, self.everybody, bytes));
                let publishing = sim.topics.publish_to_all(publish).expect("the inboxes are empty enough");
                assert_eq!(publishing.position().offset, self.everybody);
                let mut there: Vec<_> = expected.iter_mut().filter(|member| !member.left).collect();
                there.iter_mut().for_each(|member| member.owe(EVERYBODY, self.everybody));
                publishings.push((publishing, there.len() as u32));
            }
            Op::Lose { topic, messages } => {
                let topic = TOPICS[topic];
                let Some(Position { epoch, offset }) = sim.topics.position(topic) else { return };
                let from = Position { epoch, offset: offset + 1 };
                sim.topics.lost(topic, from, offset + messages).expect("a name");
                for member in expected.iter_mut().filter(|member| member.wants(topic)) {
                    (1..=messages).for_each(|more| member.owe(topic, offset + more));
                    self.lost_before += messages;
                }
            }
            Op::Subscribe { member, topic, wish } => {
                let Expected { names, patterns, left, .. } = &mut expected[member];
                let (topic, (pattern, _)) = (TOPICS[topic], PATTERNS[topic]);
                let is_pattern = member == BY_PATTERN || (member == BY_BOTH && wish.bytes_max.is_some());
                let is_one_more = member == BY_PATTERN && !patterns.is_empty();
                let (name, book) = if is_pattern { (pattern, patterns) } else { (topic, names) };
                if !*left && !is_one_more && !book.contains_key(name) {
                    let mut subscription = Subscription::new().policy(wish.policy);
                    subscription = subscription.messages_max(wish.messages_max.unwrap_or(usize::MAX));
                    subscription = subscription.bytes_max(wish.bytes_max.unwrap_or(usize::MAX));
                    if let Some(millis) = wish.every_millis.filter(|_| member != BY_BOTH) {
                        subscription = subscription.at_most_every(Duration::from_millis(millis));
                    }
                    sim.members[member].subscribe(name, subscription).expect("a name");
                    book.insert(name, wish);
                }
            }
            Op::Unsubscribe { member, topic, drained } => {
                let topic = TOPICS[topic];
                let Expected { names, left, .. } = &expected[member];
                if *left || member == BY_BOTH || !names.contains_key(topic) {
                    return;
                }
                if drained {
                    sim.drain();
                }
                assert!(sim.members[member].unsubscribe(topic));
                let Expected { names, owed, cut, ended, .. } = &mut expected[member];
                let wish = names.remove(topic).filter(|_| !drained);
                if let Some(wish) = wish {
                    *ended.entry(topic).or_default() |= wish.every_millis.is_some();
                }
                *cut |= !drained;
                if let Some(last) = owed.get_mut(topic).and_then(|owed| owed.last_mut()) {
                    last.cut |= !drained;
                }
            }
            Op::Take { member, bytes } => sim.take(member, bytes),
            Op::Stall { member } => sim.stall(member),
            Op::SendOwn { member } => {
                let text = format!("{}", expected[member].own.len());
                if !expected[member].left && sim.send_own(member, &text) {
                    expected[member].own.push(text);
                }
            }
            Op::Ping { member } if expected[member].left => {}
            Op::Ping { member } => {
                sim.ping(member);
                expected[member].pings += 1;
            }
            Op::SendAway { member } => {
                let frame = CloseFrame::new(CloseCode::RESTART, RESTARTS).expect("it may be sent");
                assert_eq!(sim.members[member].close(frame), !expected[member].left);
                expected[member].goes = true;
            }
            Op::BreakOff { member } => {
                sim.break_off(member);
                sim.members[member].leave();
                expected[member].left = true;
            }
            Op::Work { shard, members } => {
                // In the middle of a turn it may not have heard of the subscription's new terms.
                if !sim.work_some(shard, members) {
                    self.check_bounds(shard);
                }
            }
            Op::Advance { millis } => sim.clock.advance(Duration::from_millis(millis)),
        }
    }

    /// What waits is within the bounds of its subscription, and with what was published and is in the outbox, within those of the
    /// connection; or it is one message. Where something waits for its rate alone, and not for the socket, others do not wait for
    /// it, so that the one that is being written comes on top.
    fn check_bounds(&mut self, shard: usize) {
        self.check_backlog();
        for number in (shard..MEMBERS).step_by(2).filter(|number| *number != WRITTEN_BY_OTHERS) {
            let Expected { names, patterns, ended, .. } = &self.expected[number];
            let has_rates = names.values().chain(patterns.values()).any(|wish| wish.every_millis.is_some());
            let with_rates = has_rates || ended.values().any(|had_rates| *had_rates);
            let (mut messages, mut bytes) = if with_rates { (0, 0) } else { self.sim.outbox(number) };
            for (name, of_one, bytes_of_one, _) in self.sim.waiting(number) {
                let Expected { names, patterns, ended, .. } = &self.expected[number];
                let wish = names.get(&*name).or(patterns.get(&*name));
                if let Some(wish) = wish.filter(|_| !ended.contains_key(&*name)) {
                    let max = wish.messages_max.unwrap_or(usize::MAX);
                    assert!(of_one <= max, "{number} has {of_one} of {name}, which is above {max}");
                    let max = wish.bytes_max.unwrap_or(usize::MAX);
                    assert!(
                        of_one == 1 || bytes_of_one <= max,
                        "{number} has {bytes_of_one} bytes of {name}, above {max}"
                    );
                }
                (messages, bytes) = (messages + of_one, bytes + bytes_of_one);
            }
            let (messages_max, bytes_max) = self.bounds;
            assert!(messages <= messages_max, "{number} has {messages} messages, above {messages_max}");
            assert!(messages <= 1 || bytes <= bytes_max, "{number} has {bytes} bytes, above {bytes_max}");
        }
    }

    /// What is counted to wait does.
    fn check_backlog(&mut self) {
        let (mut messages, mut bytes) = (0, 0);
        for number in 0..MEMBERS {
            for (_, of_one, bytes_of_one, _) in self.sim.waiting(number) {
                (messages, bytes) = (messages + of_one as u64, bytes + bytes_of_one as u64);
            }
        }
        assert_eq!(self.sim.topics.backlog(), Backlog { messages, bytes });
    }

    fn end(mut self) {
        self.sim.drain();
        (0..2).for_each(|shard| self.check_bounds(shard));
        for (publishing, subscribers) in &self.publishings {
            let published = publishing.published().expect("all have counted");
            assert_eq!(published.subscribers(), *subscribers, "{publishing:?}: {published:?}");
        }
        self.check_losses();
        for number in 0..MEMBERS {
            self.check_member(number);
        }
    }

    /// What is owed to all came to them, those that were closed or broke off with them, or is counted as lost, once.
    fn check_losses(&self) {
        let (losses, sockets) = (self.sim.topics.losses(), &self.sim.net.sockets);
        let owed = self.expected.iter().flat_map(|member| member.owed.values().flatten());
        let owed = owed.map(|owed| owed.offsets.len() as u64).sum::<u64>();
        let late = self.expected.iter().map(|member| member.late).sum::<u64>();
        let got = sockets.iter().flat_map(|socket| &socket.got);
        let got = got.filter(|got| matches!(got, Got::Message { .. })).count();
        assert_eq!(got as u64 + losses.messages(), owed + late, "{got} came, {late} could not: {losses:?}");
        assert_eq!(losses.broker, self.lost_before);
        let dropped: u32 = self.publishings.iter().map(|(publishing, _)| lost_of(publishing)).sum();
        let others = losses.messages() - losses.broker;
        assert!(others >= u64::from(dropped), "{losses:?}, and {dropped} dropped and displaced");
        let too_slow = |socket: &&Socket| {
            socket.closed.as_ref().is_some_and(|(_, reason)| reason.starts_with("too slow: "))
        };
        assert_eq!(losses.disconnected, sockets.iter().filter(too_slow).count() as u64);
        assert_eq!(self.sim.topics.backlog(), Backlog::default());
    }

    fn check_member(&mut self, number: usize) {
        let got = self.sim.got(number);
        let (is_open, expected) = (self.sim.is_open(number), &self.expected[number]);
        let closed = self.sim.net.sockets[number].closed.as_ref();
        let is_sent_away = closed.is_some_and(|(code, why)| *code == CloseCode::RESTART && why == RESTARTS);
        assert!(!is_open || !expected.goes, "{number} is to be closed");
        let (mut told, mut own) = (0, Vec::new());
        let mut received: HashMap<&str, Vec<u64>> = HashMap::new();
        for got in &got {
            match got {
                Got::Message { topic, offset } => received.entry(topic).or_default().push(*offset),
                Got::Gap { topic, from, to, .. } => {
                    told += to - from + 1;
                    received.entry(topic).or_default().extend(*from..=*to);
                }
                Got::Own(text) => own.push(text.clone()),
                Got::Pong => {}
            }
        }
        for topic in TOPICS.into_iter().chain([EVERYBODY]) {
            let received = received.remove(topic).unwrap_or_default();
            let mut left = &*received;
            for owed in expected.owed.get(topic).into_iter().flatten() {
                let fits = left.iter().zip(&owed.offsets).take_while(|(left, owed)| left == owed).count();
                assert!(
                    owed.cut || !(is_open || is_sent_away) || fits == owed.offsets.len(),
                    "{number} misses of {topic:?} what comes after {fits} of {owed:?}: {got:?}"
                );
                left = &left[fits..];
            }
            assert_eq!(
                left,
                [],
                "{number} got of {topic:?} what it is not owed: {:?}, {got:?}",
                expected.owed.get(topic)
            );
        }
        if is_open {
            assert_eq!(own, expected.own, "{number}");
            let pongs = got.iter().filter(|got| **got == Got::Pong).count();
            assert!((expected.pings.min(1)..=expected.pings).contains(&pongs), "{pongs} pongs");
            if !expected.cut {
                assert_eq!(self.sim.members[number].lost(), told, "{number} has lost what it is told");
            }
        }
    }
}

/// How many lost something by it, or lost it.
fn lost_of(publishing: &Publishing) -> u32 {
    publishing.published().map_or(0, |published| published.dropped + published.displaced)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// catalogue: DS-30
    #[test]
    fn what_comes_and_what_is_told_to_be_lost_is_what_was_published(
        messages_max in 1_usize..30,
        bytes_max in prop_oneof![100_usize..5000, 5000_usize..300_000],
        ops in vec(op(), 1..200),
    ) {
        let mut world = World::new(messages_max, bytes_max);
        for op in ops {
            world.obey(op);
        }
        world.end();
    }
}

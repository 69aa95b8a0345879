//! Names, wildcards and shards against a list of who wants what, which is looked through for each message.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*, sample::select};

use super::simulation::{Got, Sim};
use crate::broadcast::{Member, Subscription};

#[derive(Clone, Debug)]
enum Op {
    Join { shard: usize },
    Leave { member: usize, breaks_off: bool },
    Subscribe { member: usize, name: String },
    Unsubscribe { member: usize, name: String },
    Publish { topic: String, except: Option<usize> },
    PublishToAll,
    Work { shard: usize, members: usize },
}

/// Parts that are likely to meet, empty ones among them.
fn name(parts: &'static [&'static str]) -> impl Strategy<Value = String> {
    vec(select(parts), 1..4)
        .prop_map(|parts| parts.join(":"))
        .prop_filter("a name", |name| !name.is_empty() && !name.contains(">:"))
}

fn op() -> impl Strategy<Value = Op> {
    let pattern = || name(&["a", "b", "", "*", "*", ">"]);
    prop_oneof![
        1 => (0_usize..2).prop_map(|shard| Op::Join { shard }),
        1 => (0_usize..8, any::<bool>()).prop_map(|(member, breaks_off)| Op::Leave { member, breaks_off }),
        8 => (0_usize..8, pattern()).prop_map(|(member, name)| Op::Subscribe { member, name }),
        5 => (0_usize..8, pattern()).prop_map(|(member, name)| Op::Unsubscribe { member, name }),
        8 => (name(&["a", "b", ""]), proptest::option::weighted(0.2, 0_usize..8))
            .prop_map(|(topic, except)| Op::Publish { topic, except }),
        1 => Just(Op::PublishToAll),
        4 => (0_usize..2, 1_usize..4).prop_map(|(shard, members)| Op::Work { shard, members }),
    ]
}

/// The rule, written down as it is documented: `*` is one part, `>` at the end one part or more.
fn matches(pattern: &str, topic: &str) -> bool {
    let (pattern, topic): (Vec<_>, Vec<_>) = (pattern.split(':').collect(), topic.split(':').collect());
    match pattern.split_last() {
        Some((&">", before)) => topic.len() > before.len() && fits(before, &topic[..before.len()]),
        _ => fits(&pattern, &topic),
    }
}

fn fits(pattern: &[&str], topic: &[&str]) -> bool {
    pattern.len() == topic.len() && pattern.iter().zip(topic).all(|(part, of)| *part == "*" || part == of)
}

#[derive(Default)]
struct Model {
    /// The names that each member has, or nothing once it has left.
    names: Vec<Option<BTreeSet<String>>>,
    breaks_off: BTreeSet<usize>,
    owed: Vec<Vec<Got>>,
    offsets: BTreeMap<String, u64>,
}

impl Model {
    fn member(&self, number: usize) -> Option<usize> {
        (!self.names.is_empty()).then(|| number % self.names.len())
    }
}

fn run(ops: Vec<Op>) {
    let (mut sim, mut model) = (Sim::new(2), Model::default());
    let mut publishings = Vec::new();
    for op in ops {
        match op {
            Op::Join { shard } => {
                sim.join(shard);
                model.names.push(Some(BTreeSet::new()));
                model.owed.push(Vec::new());
            }
            Op::Leave { member, breaks_off } => {
                let Some(member) = model.member(member) else { continue };
                if breaks_off {
                    // What it is given from then on is lost, and what it is owed no longer counts.
                    sim.break_off(member);
                    model.breaks_off.insert(member);
                }
                sim.members[member].leave();
                model.names[member] = None;
            }
            Op::Subscribe { member, name } => {
                let Some(member) = model.member(member) else { continue };
                let subscribed = sim.members[member].subscribe(&name, Subscription::new());
                assert_eq!(subscribed.is_ok(), model.names[member].is_some());
                model.names[member].iter_mut().for_each(|names| names.extend([name.clone()]));
            }
            Op::Unsubscribe { member, name } => {
                let Some(member) = model.member(member) else { continue };
                let had = model.names[member].as_mut().is_some_and(|names| names.remove(&name));
                assert_eq!(sim.members[member].unsubscribe(&name), had, "{name}");
            }
            Op::Publish { topic, except } => {
                let except = except.and_then(|member| model.member(member));
                let excepted = except.map(|member| sim.members[member].clone());
                let publishing = sim.publish_with(&topic, 0, |publish| {
                    excepted.iter().fold(publish, |publish, member| publish.except(member))
                });
                let offset = model.offsets.entry(topic.clone()).or_default();
                *offset += 1;
                let mut subscribers = 0;
                for (number, names) in model.names.iter().enumerate() {
                    let wants = names.iter().flatten().any(|name| matches(name, &topic));
                    if wants && except != Some(number) {
                        model.owed[number].push(super::simulation::message(&topic, *offset));
                        subscribers += 1;
                    }
                }
                publishings.push((publishing.expect("published"), *offset, subscribers));
            }
            Op::PublishToAll => {
                let publishing = sim.topics.publish_to_all("!").expect("published");
                let offset = publishing.position().offset;
                let there = model.names.iter().zip(&mut model.owed).filter(|(names, _)| names.is_some());
                let subscribers = there.map(|(_, owed)| owed.push(Got::Own("!".into()))).count();
                publishings.push((publishing, offset, subscribers));
            }
            Op::Work { shard, members } => drop(sim.work_some(shard, members)),
        }
    }
    sim.work();
    for (publishing, offset, subscribers) in publishings {
        assert_eq!(publishing.position().offset, offset);
        let published = publishing.published().expect("all have counted");
        assert_eq!(published.subscribers(), subscribers as u32, "{publishing:?}");
        assert_eq!((published.queued, published.displaced), (0, 0));
    }
    for number in 0..model.names.len() {
        let got = sim.got(number);
        let owed = &model.owed[number];
        if model.breaks_off.contains(&number) {
            assert!(owed.starts_with(&got), "{number} got {got:?} of {owed:?}");
        } else {
            assert_eq!(got, *owed, "{number}");
        }
    }
    let members = |name: &str| model.names.iter().flatten().filter(|names| names.contains(name)).count();
    for topic in model.offsets.keys() {
        assert_eq!(sim.topics.members(topic), members(topic) as u32, "{topic}");
    }
    sim.members.iter().for_each(Member::leave);
    sim.work();
    assert!(sim.shards.iter().all(|shard| shard.sizes() == [0, 0, 0]), "nothing is left");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    /// catalogue: ZC-33, ZC-37, ZC-39
    #[test]
    fn everybody_gets_what_it_wants_once_and_nothing_else(ops in vec(op(), 1..120)) {
        run(ops);
    }
}

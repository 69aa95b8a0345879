//! Who is in a topic, and who is told.

use std::sync::{Arc, Mutex};

use super::simulation::{Got, Sim, message};
use crate::broadcast::{Gap, OverflowPolicy, PresenceChange, PresenceKind, Subscription};

/// Changes are told as `o KIND-IDENTITY-CONNECTIONS-MEMBERS-VERSION`, and written down.
fn told() -> (Sim, Arc<Mutex<Vec<PresenceChange>>>) {
    let changes: Arc<Mutex<Vec<PresenceChange>>> = Arc::default();
    let tell = {
        let changes = changes.clone();
        move |change: &PresenceChange| {
            changes.lock().expect("nobody panicked").push(change.clone());
            let PresenceChange { kind, identity, connections, members, version, .. } = change;
            let kind = if *kind == PresenceKind::Join { "+" } else { "-" };
            Some(format!("o {kind}{identity}-{connections}-{members}-{version}").into())
        }
    };
    (Sim::with(2, |topics| topics.tell_presence(tell), |config| config), changes)
}

fn join(sim: &mut Sim, shard: usize, subscription: Subscription) -> usize {
    let member = sim.join(shard);
    sim.members[member].subscribe("t", subscription).expect("subscribed");
    member
}

fn own(texts: &[&str]) -> Vec<Got> {
    texts.iter().map(|text| Got::Own((*text).into())).collect()
}

fn present(sim: &Sim, topic: &str) -> Vec<(String, u32)> {
    let each = sim.topics.presence(topic);
    each.iter().map(|present| (present.identity.to_string(), present.connections)).collect()
}

#[test]
fn who_watches_is_told_who_joins_and_leaves() {
    let (mut sim, changes) = told();
    let watching = || Subscription::new().watch_presence(true);
    let watcher = join(&mut sim, 0, watching());
    let ann = join(&mut sim, 1, Subscription::new().identity("ann"));
    let anns_other = join(&mut sim, 0, Subscription::new().identity("ann"));
    let nobody = join(&mut sim, 1, Subscription::new());
    let ben = join(&mut sim, 0, watching().identity("ben"));
    sim.work();
    let joined = ["+ann-1-2-1", "+ann-2-3-2", "+ben-1-5-3"];
    assert_eq!(sim.got(watcher), own(&joined));
    assert_eq!(sim.got(ben), [], "who comes is not told of itself");
    assert_eq!(present(&sim, "t"), [("ann".into(), 2), ("ben".into(), 1)]);
    assert_eq!(sim.topics.members("t"), 5);

    assert!(sim.members[ann].unsubscribe("t"));
    // A connection that ends leaves too.
    sim.members[anns_other].leave();
    sim.members[nobody].leave();
    sim.members[ben].leave();
    sim.work();
    assert_eq!(sim.got(watcher), own(&["-ann-1-4-4", "-ann-0-3-5", "-ben-0-1-6"]));
    assert_eq!(sim.got(ben), own(&["-ann-1-4-4", "-ann-0-3-5"]), "and who goes neither");
    assert_eq!((present(&sim, "t"), sim.topics.members("t")), (vec![], 1));
    let changes = changes.lock().expect("nobody panicked");
    assert!(changes.iter().all(|change| &*change.topic == "t"));
    assert_eq!(changes.iter().map(|change| change.version).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn nobody_is_told_where_nobody_watches() {
    let (mut sim, changes) = told();
    let ann = join(&mut sim, 0, Subscription::new().identity("ann"));
    let watcher = sim.join(0);
    let watching = || Subscription::new().watch_presence(true);
    sim.members[watcher].subscribe("another", watching()).expect("subscribed");
    sim.members[watcher].subscribe("*", watching().identity("cat")).expect("subscribed");
    sim.members[ann].leave();
    sim.work();
    assert_eq!((sim.got(ann), sim.got(watcher)), (vec![], vec![]));
    assert!(changes.lock().expect("nobody panicked").is_empty());
    assert_eq!((present(&sim, "t"), present(&sim, "*")), (vec![], vec![]));
    // Versions go on all the same.
    sim.members[watcher].subscribe("t", watching()).expect("subscribed");
    join(&mut sim, 1, Subscription::new().identity("ben"));
    sim.work();
    assert_eq!(sim.got(watcher), own(&["+ben-1-2-3"]));
}

/// To come twice, or to go twice, is to come or go once.
#[test]
fn presence_counts_connections_and_not_calls() {
    let (mut sim, changes) = told();
    let ann = join(&mut sim, 0, Subscription::new().identity("ann"));
    sim.members[ann].subscribe("t", Subscription::new().identity("ben")).expect("it has it already");
    assert_eq!(present(&sim, "t"), [("ann".into(), 1)]);
    assert!(sim.members[ann].unsubscribe("t"));
    assert!(!sim.members[ann].unsubscribe("t"));
    sim.members[ann].leave();
    assert_eq!((present(&sim, "t"), sim.topics.members("t")), (vec![], 0));
    assert!(changes.lock().expect("nobody panicked").is_empty());
}

/// Word of who joined is no message of the topic: it has no offset there, and neither a wildcard nor history has it.
#[test]
fn who_joins_is_told_beside_the_topics_messages() {
    let (mut sim, _) = told();
    let watcher = join(&mut sim, 0, Subscription::new().watch_presence(true));
    let wildcard = sim.join(0);
    sim.members[wildcard].subscribe(">", Subscription::new().watch_presence(true)).expect("subscribed");
    sim.publish("t").expect("published");
    join(&mut sim, 0, Subscription::new().identity("ann"));
    sim.publish("t").expect("published");
    sim.work();
    let told = own(&["+ann-1-2-1"]).remove(0);
    assert_eq!(sim.got(watcher), [message("t", 1), told, message("t", 2)]);
    assert_eq!(sim.got(wildcard), [message("t", 1), message("t", 2)]);
    assert!(sim.members[watcher].unsubscribe("t"));
    join(&mut sim, 0, Subscription::new().identity("ben"));
    sim.work();
    assert_eq!(sim.got(watcher), []);
}

/// Lost word of joins and leaves is a gap of the topic's presence.
#[test]
fn who_is_too_slow_for_joins_is_told_to_ask_anew() {
    let gaps: Arc<Mutex<Vec<Gap>>> = Arc::default();
    let tell_gap = {
        let gaps = gaps.clone();
        move |gap: &Gap| {
            gaps.lock().expect("nobody panicked").push(gap.clone());
            Some("o gap".into())
        }
    };
    let tell = |_: &PresenceChange| Some("o change".into());
    let mut sim = Sim::with(1, |topics| topics.tell_presence(tell).tell_gap(tell_gap), |config| config);
    let terms = Subscription::new().policy(OverflowPolicy::DropNewest).messages_max(1);
    let watcher = join(&mut sim, 0, terms.watch_presence(true));
    sim.work();
    sim.stall(watcher);
    for at in 0..5 {
        join(&mut sim, 0, Subscription::new().identity(format!("no. {at}")));
    }
    sim.publish("t").expect("published");
    sim.publish("t").expect("published");
    sim.work();
    sim.drain();
    let got = [own(&["change", "change", "gap"]), vec![message("t", 1)], own(&["gap"])].concat();
    assert_eq!(sim.got(watcher), got);
    let gaps = gaps.lock().expect("nobody panicked");
    let told = gaps.iter().map(|gap| (gap.topic(), gap.is_of_presence(), gap.from, gap.to));
    assert_eq!(told.collect::<Vec<_>>(), [("t", true, 3, 5), ("t", false, 2, 2)]);
}

//! Several threads publish, subscribe and unsubscribe, while two others work on a shard each.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};

use super::simulation::say;
use crate::{
    broadcast::{
        HistoryLimits, Member, Position, Publish, Subscription, Topics,
        giving::{Flushed, Outlet, Outlets},
        member::MemberState,
        shard::Shard,
    },
    proto::{CloseCode, PreparedMessage, SendError},
};

/// What a member was sent, of which topic and with which offset.
type Log = Arc<Mutex<Vec<(String, u64)>>>;

/// Sockets that take everything at once.
struct Logs;

struct One<'l>(&'l Log);

impl Outlets for Logs {
    type Key = Log;

    fn with(&mut self, log: &Log, f: impl FnOnce(&mut dyn Outlet)) -> bool {
        f(&mut One(log));
        true
    }
}

impl Outlet for One<'_> {
    fn send(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        let text = message.as_text().expect("text");
        let mut parts = text.split(' ').skip(1);
        let topic = parts.next().expect("a topic").to_owned();
        let offset = parts.next().expect("an offset").parse().expect("a number");
        self.0.lock().expect("nobody panicked").push((topic, offset));
        Ok(())
    }

    fn flush(&mut self) -> Flushed {
        Flushed::All
    }

    fn queued(&self) -> (usize, usize) {
        (0, 0)
    }

    fn bounds(&self) -> (usize, usize) {
        (usize::MAX, usize::MAX)
    }

    fn retract(&mut self, _: usize) -> usize {
        0
    }

    fn close(&mut self, code: CloseCode, reason: &str) {
        panic!("closed with {code:?}: {reason}");
    }

    fn tell_when_drained(&mut self, _: &Arc<MemberState>) {}
}

/// A thread that works on a shard whenever somebody rings.
struct Worker {
    inbox: Arc<crate::broadcast::inbox::Inbox>,
    /// True: something to do. False: that was all.
    bell: mpsc::Sender<bool>,
    thread: thread::JoinHandle<()>,
}

impl Worker {
    fn new(topics: &Topics) -> Self {
        let (bell, rung) = mpsc::channel();
        let ring = {
            let bell = Mutex::new(bell.clone());
            move || {
                // An error says that it was told to end.
                let _ = bell.lock().expect("nobody panicked").send(true);
            }
        };
        let inbox = topics.attach(Box::new(ring));
        let mut shard: Shard<Log> = Shard::new(topics, inbox.clone());
        let thread = thread::spawn(move || {
            while let Ok(goes_on) = rung.recv() {
                while shard.work(Instant::now(), &mut Logs, 3) || !shard.inbox().sleeps() {}
                if !goes_on {
                    return;
                }
            }
        });
        Self { inbox, bell, thread }
    }

    fn join(&self, topics: &Topics) -> (Member, Log) {
        let log = Log::default();
        (topics.join(&self.inbox, Box::new(log.clone())), log)
    }

    fn end(self) {
        self.bell.send(false).expect("it waits");
        self.thread.join().expect("it did not panic");
    }
}

fn publish(topics: &Topics, topic: &str) -> crate::broadcast::Publishing {
    let publish = |Position { offset, .. }| Publish::new(say(topic, offset, 0));
    topics.publish_with(topic, publish).expect("published")
}

const TOPICS: [&str; 2] = ["t", "u"];
const BY_WILDCARD_ONLY: &str = "w";

/// From when to when a member had a topic: nothing up to `after`, everything up to `at_least`, nothing beyond `at_most`.
struct Session {
    after: u64,
    at_least: u64,
    at_most: u64,
}

/// What was published after subscribing returned comes, what is published after unsubscribing returned does not, and all in order.
///
/// catalogue: ZC-34
#[test]
fn who_has_subscribed_gets_everything_and_who_has_unsubscribed_nothing() {
    let topics = Topics::new();
    let workers = [Worker::new(&topics), Worker::new(&topics)];
    let publishers_end = AtomicBool::new(false);
    let counted = Arc::new(AtomicUsize::new(0));
    let always: Vec<_> = workers.iter().map(|worker| worker.join(&topics)).collect();
    for (member, _) in &always {
        for topic in TOPICS {
            member.subscribe(topic, Subscription::new()).expect("subscribed");
        }
    }
    let now_and_then: Vec<_> = workers.iter().cycle().take(4).map(|worker| worker.join(&topics)).collect();
    let by_wildcard: Vec<_> = workers.iter().map(|worker| worker.join(&topics)).collect();
    const EACH: usize = 4000;
    // Where the workers have no turn for a while, what they are to do would become more and more.
    const TURNS_MAX: usize = 20_000;
    let sessions: Vec<HashMap<&str, Vec<Session>>> = thread::scope(|scope| {
        let publishers = [0, 1].map(|_| {
            let (topics, counted) = (&topics, &counted);
            scope.spawn(move || {
                for at in 0..EACH {
                    let counted = counted.clone();
                    let count = move |_| {
                        counted.fetch_add(1, Ordering::Relaxed);
                    };
                    publish(topics, TOPICS[at % 2]).then(count.clone());
                    // Which shards want this one changes at any moment.
                    publish(topics, BY_WILDCARD_ONLY).then(count);
                }
            })
        });
        let subscribers: Vec<_> = now_and_then
            .iter()
            .map(|(member, _)| {
                let (topics, publishers_end) = (&topics, &publishers_end);
                scope.spawn(move || {
                    let mut sessions: HashMap<&str, Vec<Session>> = HashMap::new();
                    for _ in 0..TURNS_MAX {
                        if publishers_end.load(Ordering::Acquire) {
                            break;
                        }
                        for topic in TOPICS {
                            let subscribed =
                                member.subscribe(topic, Subscription::new()).expect("subscribed");
                            let offset = || topics.position(topic).expect("it is known").offset;
                            thread::yield_now();
                            let at_least = offset();
                            assert!(member.unsubscribe(topic));
                            let after = subscribed.position.expect("a topic has one").offset;
                            let session = Session { after, at_least, at_most: offset() };
                            sessions.entry(topic).or_default().push(session);
                        }
                    }
                    sessions
                })
            })
            .collect();
        for (member, _) in &by_wildcard {
            let publishers_end = &publishers_end;
            scope.spawn(move || {
                for _ in 0..TURNS_MAX {
                    if publishers_end.load(Ordering::Acquire) {
                        break;
                    }
                    member.subscribe(">", Subscription::new()).expect("subscribed");
                    assert!(member.unsubscribe(">"));
                }
            });
        }
        for publisher in publishers {
            publisher.join().expect("it did not panic");
        }
        publishers_end.store(true, Ordering::Release);
        subscribers.into_iter().map(|subscriber| subscriber.join().expect("it did not panic")).collect()
    });
    workers.into_iter().for_each(Worker::end);

    assert_eq!(counted.load(Ordering::Relaxed), 2 * 2 * EACH, "each publish is counted by all shards");
    for (_, log) in &always {
        for topic in TOPICS {
            assert_eq!(of_topic(log, topic), (1..=EACH as u64).collect::<Vec<_>>());
        }
    }
    for ((_, log), sessions) in now_and_then.iter().zip(sessions) {
        for topic in TOPICS {
            let got = of_topic(log, topic);
            let mut left = &*got;
            for Session { after, at_least, at_most } in &sessions[topic] {
                let mut offset = *after;
                while let [first, rest @ ..] = left
                    && *first == offset + 1
                    && *first <= *at_most
                {
                    (offset, left) = (*first, rest);
                }
                assert!(
                    offset >= *at_least,
                    "{topic}: {offset} is the last after {after}, at least {at_least}"
                );
            }
            assert_eq!(left, [0; 0], "{topic}: nothing came that was not subscribed to");
        }
    }
    for (_, log) in &by_wildcard {
        for topic in TOPICS {
            assert!(of_topic(log, topic).is_sorted_by(|before, after| before < after), "in order, and once");
        }
    }
}

fn of_topic(log: &Log, topic: &str) -> Vec<u64> {
    let log = log.lock().expect("nobody panicked");
    log.iter().filter(|(of, _)| of == topic).map(|(_, offset)| *offset).collect()
}

/// Who comes back gets what it missed, and then what is published meanwhile: nothing twice, nothing left out.
///
/// catalogue: BR-20
#[test]
fn what_was_missed_comes_first_and_joins_what_is_published_meanwhile() {
    let limits = HistoryLimits { messages: 100_000, bytes: 100 << 20, ..HistoryLimits::default() };
    let topics = Topics::builder().history(limits).build();
    let workers = [Worker::new(&topics), Worker::new(&topics)];
    let epoch = publish(&topics, "t").position().epoch;
    const MESSAGES: u64 = 3000;
    let logs: Vec<(u64, usize, Position, Log)> = thread::scope(|scope| {
        let publisher = scope.spawn(|| (1..MESSAGES).for_each(|_| drop(publish(&topics, "t"))));
        let mut logs = Vec::new();
        while !publisher.is_finished() && logs.len() < 300 {
            let (member, log) = workers[logs.len() % 2].join(&topics);
            let now = topics.position("t").expect("it is known");
            let since = now.offset.saturating_sub(logs.len() as u64);
            let subscription = Subscription::new().since(Position { epoch, offset: since });
            let subscribed = member.subscribe("t", subscription).expect("subscribed");
            let recovered = subscribed.recovered.expect("everything is kept");
            logs.push((since, recovered, subscribed.position.expect("a topic has one"), log));
        }
        logs
    });
    workers.into_iter().for_each(Worker::end);
    assert!(!logs.is_empty());
    for (since, recovered, position, log) in logs {
        assert_eq!(recovered as u64, position.offset - since);
        assert_eq!(of_topic(&log, "t"), (since + 1..=MESSAGES).collect::<Vec<_>>(), "since {since}");
    }
}

//! What orders and keeps messages for several processes: the trait, and one in memory.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    error::TopicError,
    history::{HistoryLimits, Page, Position, Since},
    presence::Present,
    publication::Publish,
    topics::Topics,
};

/// An answer of a [`Broker`]: it may take its time, and may fail.
pub type BrokerFuture<'b, T> = Pin<Box<dyn Future<Output = Result<T, BrokerError>> + Send + 'b>>;

/// What several [`Topics`], mostly of several processes, publish by: it gives messages their place, keeps them, knows who is where,
/// and hands what is published to all who are attached and have subscribed, the publisher's own [`Topics`] with them, by
/// [`Topics::deliver`]; what it lost on the way, by [`Topics::lost`].
///
/// Whoever uses one publishes by it and not by [`Topics::publish`]; whether to give messages to local subscribers while it is away
/// is for them to say, as these have no place then.
pub trait Broker: Send + Sync {
    /// Begins to deliver to `topics`, which is `node` among all that are attached; who was that before is no more.
    fn attach(&self, node: &str, topics: &Topics);

    /// Subscribes a node to a topic, once for all of its members; afterwards it is delivered there.
    fn subscribe<'b>(&'b self, node: &'b str, topic: &'b str) -> BrokerFuture<'b, Position>;

    /// Ends that.
    fn unsubscribe<'b>(&'b self, node: &'b str, topic: &'b str) -> BrokerFuture<'b, ()>;

    /// Publishes; the message's place.
    fn publish<'b>(&'b self, topic: &'b str, publish: Publish) -> BrokerFuture<'b, Position>;

    /// As [`Topics::history`].
    fn history<'b>(&'b self, topic: &'b str, since: Option<Since>, limit: usize) -> BrokerFuture<'b, Page>;

    /// Says who is in a topic by way of this node, each with its connections; it holds until it is said anew or the node's
    /// [lease](Self::renew) ends, so that nobody is there for ever whose node has died.
    fn present<'b>(&'b self, node: &'b str, topic: &'b str, present: Vec<Present>) -> BrokerFuture<'b, ()>;

    /// Renews the lease of all that this node has said of presence.
    fn renew<'b>(&'b self, node: &'b str) -> BrokerFuture<'b, ()>;

    /// Who is in a topic, over all nodes.
    fn presence<'b>(&'b self, topic: &'b str) -> BrokerFuture<'b, Vec<Present>>;
}

/// Why a broker could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerError {
    /// It cannot be reached: nothing was done, or it is not known.
    Away,
    /// It did not answer in time.
    TimedOut,
    /// It says no, for this reason.
    Refused(String),
    /// It cannot be published like that.
    Topic(TopicError),
}

impl From<TopicError> for BrokerError {
    fn from(error: TopicError) -> Self {
        Self::Topic(error)
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away => f.write_str("the broker cannot be reached"),
            Self::TimedOut => f.write_str("the broker did not answer in time"),
            Self::Refused(reason) => write!(f, "the broker refused: {reason}"),
            Self::Topic(error) => error.fmt(f),
        }
    }
}

impl Error for BrokerError {}

/// A [`Broker`] for nodes of one process: its answers are there at once.
///
/// ```
/// # async fn example() -> Result<(), framecast::broadcast::BrokerError> {
/// use framecast::broadcast::{Broker, HistoryLimits, MemoryBroker, Topics};
///
/// let (broker, node) = (MemoryBroker::new(HistoryLimits::default()), Topics::new());
/// broker.attach("node-1", &node);
/// broker.subscribe("node-1", "news").await?;
/// broker.publish("news", "it rains".into()).await?;
/// assert_eq!(node.position("news").map(|position| position.offset), Some(1));
/// # Ok(())
/// # }
/// ```
pub struct MemoryBroker {
    /// Gives places and keeps messages; it has no members.
    topics: Topics,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    lease: Duration,
    nodes: Mutex<HashMap<String, Node>>,
}

struct Node {
    topics: Topics,
    subscriptions: std::collections::HashSet<String>,
    present: HashMap<String, Vec<Present>>,
    renewed: Instant,
}

impl MemoryBroker {
    /// Keeps so much of each topic; a node's word of presence holds for 30 seconds.
    pub fn new(history: HistoryLimits) -> Self {
        Self::with_clock(history, Duration::from_secs(30), Instant::now)
    }

    /// With a clock, and how long a node's word of presence holds by it.
    pub fn with_clock(
        history: HistoryLimits,
        lease: Duration,
        clock: impl Fn() -> Instant + Send + Sync + Clone + 'static,
    ) -> Self {
        Self {
            topics: Topics::builder().history(history).clock(clock.clone()).build(),
            clock: Box::new(clock),
            lease,
            nodes: Mutex::default(),
        }
    }

    fn nodes(&self) -> MutexGuard<'_, HashMap<String, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of_node<T>(&self, node: &str, f: impl FnOnce(&mut Node) -> T) -> Result<T, BrokerError> {
        self.nodes().get_mut(node).map(f).ok_or_else(|| BrokerError::Refused(format!("no node {node}")))
    }
}

impl Broker for MemoryBroker {
    fn attach(&self, node: &str, topics: &Topics) {
        let new = Node {
            topics: topics.clone(),
            subscriptions: Default::default(),
            present: HashMap::new(),
            renewed: (self.clock)(),
        };
        self.nodes().insert(node.to_owned(), new);
    }

    fn subscribe<'b>(&'b self, node: &'b str, topic: &'b str) -> BrokerFuture<'b, Position> {
        Box::pin(async move {
            self.of_node(node, |node| node.subscriptions.insert(topic.to_owned()))?;
            Ok(self.topics.position(topic).unwrap_or(Position { epoch: 0, offset: 0 }))
        })
    }

    fn unsubscribe<'b>(&'b self, node: &'b str, topic: &'b str) -> BrokerFuture<'b, ()> {
        Box::pin(async move { self.of_node(node, |node| node.subscriptions.remove(topic)).map(drop) })
    }

    fn publish<'b>(&'b self, topic: &'b str, publish: Publish) -> BrokerFuture<'b, Position> {
        Box::pin(async move {
            // Held until all have it, so that its order is the same for all.
            let nodes = self.nodes();
            let position = self.topics.publish(topic, publish.clone())?.position();
            for node in nodes.values().filter(|node| node.subscriptions.contains(topic)) {
                if node.topics.deliver(topic, position, publish.clone()).is_err() {
                    node.topics.lost(topic, position, position.offset)?;
                }
            }
            Ok(position)
        })
    }

    fn history<'b>(&'b self, topic: &'b str, since: Option<Since>, limit: usize) -> BrokerFuture<'b, Page> {
        Box::pin(async move { Ok(self.topics.history(topic, since, limit)) })
    }

    fn present<'b>(&'b self, node: &'b str, topic: &'b str, present: Vec<Present>) -> BrokerFuture<'b, ()> {
        Box::pin(async move {
            self.of_node(node, |node| match present.is_empty() {
                true => drop(node.present.remove(topic)),
                false => drop(node.present.insert(topic.to_owned(), present)),
            })
        })
    }

    fn renew<'b>(&'b self, node: &'b str) -> BrokerFuture<'b, ()> {
        let now = (self.clock)();
        Box::pin(async move { self.of_node(node, |node| node.renewed = now) })
    }

    fn presence<'b>(&'b self, topic: &'b str) -> BrokerFuture<'b, Vec<Present>> {
        let now = (self.clock)();
        Box::pin(async move {
            let mut all: std::collections::BTreeMap<Arc<str>, u32> = Default::default();
            let nodes = self.nodes();
            let alive = |node: &&Node| now.saturating_duration_since(node.renewed) <= self.lease;
            for present in nodes.values().filter(alive).filter_map(|node| node.present.get(topic)).flatten() {
                *all.entry(present.identity.clone()).or_default() += present.connections;
            }
            Ok(all.into_iter().map(|(identity, connections)| Present { identity, connections }).collect())
        })
    }
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBroker").field("topics", &self.topics).finish_non_exhaustive()
    }
}

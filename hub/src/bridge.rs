//! The way to a broker: what is published goes there, and what others publish comes from there, straight into the rooms.
//!
//! A room is subscribed to there once, however many are in it here. Whoever is in it holds a [`Lease`]; a room without any is
//! given back when the bridge is next [tended](Bridge::tend). Nothing here has a clock: how long something may take is
//! for who waits for it.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use framecast::broadcast::{Broker, BrokerError, Page, Position, Publish, Since, Topics};

/// Whether a broker answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerState {
    /// Its last answer was one.
    Up,
    /// It could not be reached or did not answer in time, the last time that it was asked anything; or it has not been asked yet.
    Away,
}

/// What of a broker is shared by all sessions.
#[derive(Debug)]
pub(crate) struct Bridge {
    broker: AnyBroker,
    /// Who we are there.
    node: Box<str>,
    topics: Topics,
    is_up: AtomicBool,
    rooms: Mutex<Rooms>,
    /// Bytes that wait to be published.
    waiting_bytes: AtomicUsize,
    waiting_bytes_max: usize,
}

#[derive(Clone)]
pub(crate) struct AnyBroker(pub(crate) Arc<dyn Broker>);

#[derive(Debug, Default)]
struct Rooms {
    by_name: HashMap<Arc<str>, Arc<Room>>,
    /// Those that nobody was in any more, at some time since they were last looked at.
    left: VecDeque<Arc<str>>,
}

#[derive(Debug, Default)]
struct Room {
    /// How many hold a lease.
    holders: AtomicUsize,
    /// Whether it is subscribed to at the broker. Whoever changes that holds this meanwhile, so that it is done once, and one after
    /// the other.
    is_subscribed: tokio::sync::Mutex<bool>,
}

/// A room's subscription at the broker is held for somebody.
#[derive(Debug)]
pub(crate) struct Lease {
    bridge: Arc<Bridge>,
    name: Arc<str>,
    room: Arc<Room>,
}

/// Bytes that wait.
#[derive(Debug)]
pub(crate) struct Waiting {
    bridge: Arc<Bridge>,
    bytes: usize,
}

impl BrokerState {
    /// As `stats` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Away => "away",
        }
    }
}

impl Bridge {
    pub(crate) fn new(broker: AnyBroker, node: String, topics: &Topics, waiting_bytes_max: usize) -> Self {
        broker.0.attach(&node, topics);
        Self {
            broker,
            node: node.into(),
            topics: topics.clone(),
            is_up: AtomicBool::new(false),
            rooms: Mutex::default(),
            waiting_bytes: AtomicUsize::new(0),
            waiting_bytes_max,
        }
    }

    pub(crate) fn state(&self) -> BrokerState {
        if self.is_up.load(Ordering::Relaxed) { BrokerState::Up } else { BrokerState::Away }
    }

    /// Notes that it has not answered in the time that somebody had for it.
    pub(crate) fn was_too_slow(&self) {
        self.is_up.store(false, Ordering::Relaxed);
    }

    pub(crate) async fn publish(&self, room: &str, publish: Publish) -> Result<Position, BrokerError> {
        self.noted(self.broker.0.publish(room, publish).await)
    }

    pub(crate) async fn history(
        &self,
        room: &str,
        since: Option<Since>,
        limit: usize,
    ) -> Result<Page, BrokerError> {
        self.noted(self.broker.0.history(room, since, limit).await)
    }

    /// Holds a room for somebody, who has still to have it [subscribed](Lease::subscribe).
    pub(crate) fn lease(self: &Arc<Self>, name: &str) -> Lease {
        let mut rooms = self.rooms();
        let name: Arc<str> = match rooms.by_name.get_key_value(name) {
            Some((name, _)) => name.clone(),
            None => name.into(),
        };
        let room = rooms.by_name.entry(name.clone()).or_default().clone();
        room.holders.fetch_add(1, Ordering::Relaxed);
        drop(rooms);
        Lease { bridge: self.clone(), name, room }
    }

    /// Has bytes wait, if as many may.
    pub(crate) fn wait(self: &Arc<Self>, bytes: usize) -> Option<Waiting> {
        let add = |waiting: usize| Some(waiting + bytes).filter(|sum| *sum <= self.waiting_bytes_max);
        let added = self.waiting_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        added.ok().map(|_| Waiting { bridge: self.clone(), bytes })
    }

    /// What is to be done now and then: asks the broker for an answer, and gives back the rooms that nobody is in.
    pub(crate) async fn tend(&self) -> Result<(), BrokerError> {
        self.noted(self.broker.0.renew(&self.node).await)?;
        loop {
            let Some(name) = self.rooms().left.front().cloned() else { return Ok(()) };
            self.give_back(&name).await?;
            // Not before: who has no more time for this comes back to it.
            let mut rooms = self.rooms();
            if rooms.left.front() == Some(&name) {
                rooms.left.pop_front();
            }
        }
    }

    /// Ends a room's subscription, unless somebody is in it again.
    async fn give_back(&self, name: &Arc<str>) -> Result<(), BrokerError> {
        let Some(room) = self.rooms().by_name.get(name).cloned() else { return Ok(()) };
        let mut is_subscribed = room.is_subscribed.lock().await;
        if room.holders.load(Ordering::Relaxed) > 0 {
            return Ok(());
        }
        if *is_subscribed {
            self.noted(self.broker.0.unsubscribe(&self.node, name).await)?;
            *is_subscribed = false;
        }
        let mut rooms = self.rooms();
        // Whoever has come meanwhile has it subscribed anew.
        if room.holders.load(Ordering::Relaxed) == 0 {
            rooms.by_name.remove(name);
        }
        Ok(())
    }

    fn noted<T>(&self, answer: Result<T, BrokerError>) -> Result<T, BrokerError> {
        let is_away = matches!(answer, Err(BrokerError::Away | BrokerError::TimedOut));
        self.is_up.store(!is_away, Ordering::Relaxed);
        answer
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Subscribes at the broker, unless that is done already; if somebody else is at it, waits for what comes of that.
    pub(crate) async fn subscribe(&self) -> Result<(), BrokerError> {
        let bridge = &self.bridge;
        let mut is_subscribed = self.room.is_subscribed.lock().await;
        if !*is_subscribed {
            let subscribed = bridge.broker.0.subscribe(&bridge.node, &self.name).await;
            let position = bridge.noted(subscribed)?;
            *is_subscribed = true;
            // A room that it does not know has no place there yet.
            if position.epoch != 0 {
                bridge.topics.place(&self.name, position)?;
            }
        }
        Ok(())
    }

    /// Whether it is subscribed at the broker, as far as that can be known without waiting.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.room.is_subscribed.try_lock().is_ok_and(|is_subscribed| *is_subscribed)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut rooms = self.bridge.rooms();
        if self.room.holders.fetch_sub(1, Ordering::Relaxed) == 1 {
            rooms.left.push_back(self.name.clone());
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.bridge.waiting_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for AnyBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Broker")
    }
}

//! A hub: what all its connections share, and how it is made.

use std::{
    error::Error,
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use framecast::{
    broadcast::{
        Broker, BrokerError, OverflowPolicy, Position, Published, Publishing, Subscription, TopicError,
        Topics,
    },
    proto::PreparedMessage,
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    addresses::Addresses,
    answer,
    bridge::{AnyBroker, Bridge, BrokerState},
    clients::Clients,
    clock::Clock,
    connection::{Connection, Line},
    counters::{Counters, Stats, Unpublished, one_more},
    counts::Counts,
    fault::close,
    holdings::Holdings,
    hooks::{Context, Denied, Hooks, Incoming, Params},
    limits::Limits,
    meters::RoomMeters,
    post::Post,
    random::Random,
    receipts::Receipts,
    rights::Rights,
    routes::{Route, RouteError},
    rpc::RpcError,
    session::{Action, Session, Visitor},
    token::Tokens,
};

/// Rooms, clients, and what they may; a clone is a reference count.
///
/// ```
/// use framecast_hub::{Hub, RpcError};
///
/// let hub = Hub::builder()
///     .route("/ws/chat/{room}", "chat:{room}")
///     .method("add", |_, params| async move {
///         let (a, b): (f64, f64) = params.parse()?;
///         Ok::<_, RpcError>(a + b)
///     })
///     .build()?;
/// assert_eq!(hub.stats().total_connections, 0);
/// # Ok::<(), framecast_hub::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Hub(pub(crate) Arc<Core>);

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) topics: Topics,
    /// Where messages get their places, if not here.
    pub(crate) bridge: Option<Arc<Bridge>>,
    pub(crate) clients: Clients,
    pub(crate) receipts: Receipts,
    pub(crate) counters: Arc<Counters>,
    pub(crate) tokens: Tokens,
    /// What somebody may whose token does not say;
    pub(crate) rights: Rights,
    /// and who has none. `None`: nothing, not even connect.
    pub(crate) anonymous: Option<Rights>,
    is_open_by_default: bool,
    pub(crate) limits: Limits,
    /// What is published to rooms, if that is limited.
    pub(crate) rooms: Option<RoomMeters>,
    pub(crate) ping_interval_s: u64,
    pub(crate) hooks: Hooks,
    pub(crate) routes: Vec<Route>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    addresses: Addresses,
    pub(crate) holdings: Arc<Holdings>,
    connections: AtomicU64,
}

/// What a hub is made of.
#[must_use]
#[derive(Debug)]
pub struct HubBuilder {
    tokens: Tokens,
    rights: Rights,
    allow_anonymous: Option<bool>,
    anonymous_rights: Rights,
    limits: Limits,
    ping_interval_s: u64,
    hooks: Hooks,
    routes: Vec<(String, String)>,
    addresses: Option<Addresses>,
    broker: Option<AnyBroker>,
    clock: Clock,
    random: Random,
}

/// Why there can be no such hub.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// No token is accepted, and nobody may come without.
    NobodyCanConnect,
    /// A route that cannot be.
    Route(RouteError),
    /// A method of a name that is JSON-RPC's or the hub's own.
    Method(String),
}

impl HubBuilder {
    /// What tokens are checked against. Default: none is accepted.
    pub fn tokens(mut self, tokens: Tokens) -> Self {
        self.tokens = tokens;
        self
    }

    /// Whether who has no token may connect. Default: as long as no tokens are accepted either.
    pub fn allow_anonymous(mut self, on: bool) -> Self {
        self.allow_anonymous = Some(on);
        self
    }

    /// What users may whose token does not say. Default: everything.
    pub fn rights(mut self, rights: Rights) -> Self {
        self.rights = rights;
        self
    }

    /// What those may who have no token. Default: everything.
    pub fn anonymous_rights(mut self, rights: Rights) -> Self {
        self.anonymous_rights = rights;
        self
    }

    /// How much is allowed. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How much an address may ask for. Default: [`Addresses::standard`].
    pub fn addresses(mut self, addresses: Addresses) -> Self {
        self.addresses = Some(addresses);
        self
    }

    /// The seconds between two pings of the server's, as clients are told; 0, there are none. Default 20, which is the engine's.
    pub fn ping_interval_s(mut self, seconds: u64) -> Self {
        self.ping_interval_s = seconds;
        self
    }

    /// Asked when somebody is known and before it is told so. No: the connection is closed with 4003, or as [`Denied::closing`] says.
    pub fn on_connect(
        mut self,
        hook: impl Fn(&Context) -> Result<(), Denied> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.connect = Some(Box::new(hook));
        self
    }

    /// Asked for each room or wildcard that somebody has the right to, before it is subscribed to it, and before it is told of presence or history.
    pub fn on_subscribe(
        mut self,
        hook: impl Fn(&Context, &str) -> Result<(), Denied> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.subscribe = Some(Box::new(hook));
        self
    }

    /// Asked when somebody is subscribed to a room, by whatever way: what it is told first, behind `subscribed` and before all that is
    /// published from then on, and nobody else is. It comes as a `message` of the room, without an offset. Not asked for wildcards, for who is in the room already,
    /// and for who comes back and is sent what it missed.
    ///
    /// So an application that first changes what it says here and then publishes the change has nobody miss any; who subscribes between the
    /// two is told of it twice, and knows it by a number in both. It is asked while the room is locked: it must not wait, and to use
    /// the hub in it, or a lock that is held while something is published, is a deadlock.
    pub fn on_subscribed(
        mut self,
        hook: impl Fn(&Context, &str) -> Option<Box<RawValue>> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.subscribed = Some(Box::new(hook));
        self
    }

    /// Asked for each message that somebody has the right to send.
    pub fn on_message(
        mut self,
        hook: impl Fn(&Context, &Incoming<'_>) -> Result<(), Denied> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.message = Some(Box::new(hook));
        self
    }

    /// Told when somebody is gone who was let in.
    pub fn on_disconnect(mut self, hook: impl Fn(&Context) + Send + Sync + 'static) -> Self {
        self.hooks.disconnect = Some(Box::new(hook));
        self
    }

    /// A JSON-RPC method; its result is anything that can be written as JSON.
    pub fn method<F, A, T>(mut self, name: &str, handler: F) -> Self
    where
        F: Fn(Context, Params) -> A + Send + Sync + 'static,
        A: Future<Output = Result<T, RpcError>> + Send + 'static,
        T: Serialize,
    {
        self.hooks.add_method(name, handler);
        self
    }

    /// Subscribes who connects by this path to a room: `{name}` stands for one segment of the path, and for the same in the room. All
    /// routes that fit do. [`build`](Self::build) refuses one that can never be of use: a path of the [`Server`](crate::Server)'s own,
    /// such as `/health`, or a room that is a wildcard. `/ws` is none of those: it may have a room too.
    pub fn route(mut self, path: &str, room: &str) -> Self {
        self.routes.push((path.to_owned(), room.to_owned()));
        self
    }

    /// What messages get their place by, are kept by, and come from, so that several processes are one hub. Default: none, and
    /// this process is one alone. See [`tend_broker`](Hub::tend_broker).
    ///
    /// Presence, messages to users and to all, and what is published in the server's name stay in this process; wildcards cannot be
    /// subscribed to.
    pub fn broker(mut self, broker: Arc<dyn Broker>) -> Self {
        self.broker = Some(AnyBroker(broker));
        self
    }

    /// What time it is. Default: the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Where names and secrets come from. Default: the system's.
    pub fn random(mut self, random: Random) -> Self {
        self.random = random;
        self
    }

    /// The hub.
    ///
    /// # Errors
    /// What contradicts itself.
    pub fn build(self) -> Result<Hub, BuildError> {
        let Self { tokens, rights, limits, hooks, clock, random, .. } = self;
        let is_open_by_default = self.allow_anonymous.is_none() && tokens.is_empty();
        let allow_anonymous = self.allow_anonymous.unwrap_or(tokens.is_empty());
        if tokens.is_empty() && !allow_anonymous {
            return Err(BuildError::NobodyCanConnect);
        }
        let is_taken = |name: &&String| name.starts_with("rpc.") || BUILT_IN.contains(&name.as_str());
        if let Some(name) = hooks.methods.keys().find(is_taken) {
            return Err(BuildError::Method(name.clone()));
        }
        let routes = self.routes.iter().map(|(path, room)| Route::new(path, room));
        let routes = routes.collect::<Result<_, _>>().map_err(BuildError::Route)?;
        let topics = topics(&limits, &clock);
        let bridge = self.broker.map(|broker| {
            let node = random.name::<8>("n-");
            Arc::new(Bridge::new(broker, node, &topics, limits.broker_waiting_bytes_max))
        });
        Ok(Hub(Arc::new(Core {
            topics,
            bridge,
            clients: Clients::default(),
            receipts: Receipts::new(&random, limits.receipts_bytes_max),
            counters: Arc::new(Counters::new(clock.now().instant)),
            tokens,
            rights,
            rooms: limits.room_messages.map(|rate| RoomMeters::new(rate, &clock)),
            anonymous: allow_anonymous.then_some(self.anonymous_rights),
            is_open_by_default,
            holdings: Arc::new(Holdings::new(limits.rooms_per_address_max)),
            limits,
            ping_interval_s: self.ping_interval_s,
            hooks,
            routes,
            addresses: self.addresses.unwrap_or_else(|| Addresses::standard(&clock)),
            clock,
            random,
            connections: AtomicU64::new(1),
        })))
    }
}

/// The rooms, which tell what the wire has for it.
fn topics(limits: &Limits, clock: &Clock) -> Topics {
    let clock = clock.clone();
    Topics::builder()
        .subscriptions_max(limits.rooms_max)
        .topics_max(limits.rooms_total_max)
        .patterns_max(limits.wildcards_total_max)
        .history(limits.history)
        .history_bytes_max(limits.history_total_bytes)
        .everybody(Subscription::new().policy(OverflowPolicy::Disconnect(close::TOO_SLOW)))
        .tell_gap(|gap| Some(answer::gap(gap)))
        .tell_place(|position, message| answer::with_place(message.as_text()?, position))
        .tell_presence(answer::presence_change)
        .clock(move || clock.now().instant)
        .build()
}

impl Hub {
    /// Sets the terms.
    pub fn builder() -> HubBuilder {
        HubBuilder {
            tokens: Tokens::new(),
            rights: Rights::all(),
            allow_anonymous: None,
            anonymous_rights: Rights::all(),
            limits: Limits::default(),
            ping_interval_s: 20,
            hooks: Hooks::default(),
            routes: Vec::new(),
            addresses: None,
            broker: None,
            clock: Clock::system(),
            random: Random::system(),
        }
    }

    /// Begins a session for a connection whose handshake is done. What it is sent first is sent by its line; the rest is in `out`.
    pub fn open(&self, visitor: Visitor, line: impl Line + 'static, out: &mut Vec<Action>) -> Session {
        let number = self.0.connections.fetch_add(1, Ordering::Relaxed);
        Session::open(
            self.0.clone(),
            Arc::new(Connection::new(number, Box::new(line), self.0.counters.clone())),
            visitor,
            out,
        )
    }

    /// The rooms, as the engine has them.
    pub fn topics(&self) -> &Topics {
        &self.0.topics
    }

    /// What addresses may ask for.
    pub fn addresses(&self) -> &Addresses {
        &self.0.addresses
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// A payload's bytes at most.
    pub fn payload_bytes_max(&self) -> usize {
        self.0.limits.payload_bytes_max
    }

    pub(crate) fn random(&self) -> &Random {
        &self.0.random
    }

    /// Whether anybody may connect, and nobody has said so.
    pub(crate) fn is_open_by_default(&self) -> bool {
        self.0.is_open_by_default
    }

    /// Whether the broker answers; `None` if there is none.
    pub fn broker_state(&self) -> Option<BrokerState> {
        self.0.bridge.as_ref().map(|bridge| bridge.state())
    }

    /// Asks the broker for an answer, so that it is known whether it can be reached, and gives it back the rooms that nobody is in
    /// any more. A server does so when it starts and then every second or so, each time with a bound of its own. Nothing without
    /// a broker.
    ///
    /// # Errors
    /// The broker's.
    pub async fn tend_broker(&self) -> Result<(), BrokerError> {
        match &self.0.bridge {
            Some(bridge) => bridge.tend().await,
            None => Ok(()),
        }
    }

    /// Whether a path subscribes to something.
    pub fn has_route(&self, path: &str) -> bool {
        self.0.routes.iter().any(|route| route.room(path).is_some())
    }

    /// Publishes to a room, in the server's name.
    ///
    /// # Errors
    /// As [`Topics::publish`].
    pub fn publish(
        &self,
        room: &str,
        payload: Box<RawValue>,
        key: Option<&str>,
    ) -> Result<Position, TopicError> {
        self.0.publish(&Post::new(room, payload, self.0.clock.now().unix_ms).key(key))
    }

    /// [`publish`](Self::publish), and waits for what came of it: until each loop or worker has tried, or, with a broker, until that has
    /// it; whom it reaches then is not counted. It needs no runtime, and has no bound of its own: the broker may take its time.
    ///
    /// # Errors
    /// The broker's, or as [`Topics::publish`] in one.
    pub async fn publish_counted(&self, post: &Post) -> Result<(Position, Published), BrokerError> {
        if let Some(bridge) = &self.0.bridge {
            let position = bridge.publish(post.room(), post.to_publish(None)).await?;
            one_more(&self.0.counters.publishes);
            return Ok((position, Published::default()));
        }
        let publishing = self.0.begin_publish(post)?;
        let position = publishing.position();
        let published = publishing.await;
        self.0.counters.published(published);
        Ok((position, published))
    }

    /// How long a broker may take.
    pub(crate) fn broker_within(&self) -> Duration {
        self.0.limits.broker_within
    }

    /// Publishes to every connection whose client is known, and waits for what came of it, as [`publish_counted`](Self::publish_counted).
    ///
    /// # Errors
    /// As [`Topics::publish_to_all`].
    pub async fn broadcast(&self, payload: &RawValue) -> Result<Published, TopicError> {
        let message = answer::broadcast(payload.get(), self.0.clock.now().unix_ms);
        let published = self.0.topics.publish_to_all(message)?.await;
        self.0.counters.published(published);
        Ok(published)
    }

    /// Sends to every connection of a user, in the server's name; how many it was.
    pub fn direct(&self, user_id: &str, payload: &RawValue) -> usize {
        let (_, id) = self.0.receipts.name();
        let message = answer::direct(&id, None, payload.get(), false, self.0.clock.now().unix_ms);
        let (message, connections) = (PreparedMessage::new(message), self.0.clients.of_user(user_id));
        self.0.send_direct(&connections, &message);
        connections.len()
    }

    /// Closes every connection of a user with 4003; how many it was.
    pub fn disconnect(&self, user_id: &str, reason: &str) -> usize {
        self.0.clients.disconnect(user_id, reason)
    }

    /// Up to `limit` rooms with subscribers in the order of their names, `after` one and with a `prefix`:
    /// `{"rooms":[{"name","members"}]}`.
    pub fn rooms_json(&self, prefix: &str, after: &str, limit: usize) -> String {
        answer::rooms(&self.0.topics.list(prefix, after, limit.min(ROOMS_PAGE_MAX)))
    }

    /// What was counted, with reasons: for metrics.
    pub fn counts(&self) -> Counts {
        self.0.counters.counts(self.0.topics.losses().disconnected, self.0.clients.ids_forgotten())
    }

    /// What was counted, in short.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    /// [`stats`](Self::stats) as JSON, with the broker's state if there is one.
    pub fn stats_json(&self) -> String {
        answer::stats(&self.stats(), self.broker_state().map(BrokerState::as_str))
    }
}

impl Core {
    fn begin_publish(&self, post: &Post) -> Result<Publishing, TopicError> {
        let publishing = post.publish(&self.topics);
        match &publishing {
            Ok(_) => one_more(&self.counters.publishes),
            Err(error) => self.counters.publishes_refused.add(Unpublished::from(*error)),
        }
        publishing
    }

    pub(crate) fn publish(&self, post: &Post) -> Result<Position, TopicError> {
        let publishing = self.begin_publish(post)?;
        let (position, counters) = (publishing.position(), self.counters.clone());
        publishing.then(move |published| counters.published(published));
        Ok(position)
    }

    /// To a user's connections.
    pub(crate) fn send_direct(&self, connections: &[Arc<Connection>], message: &PreparedMessage) {
        self.counters.directs.fetch_add(connections.len() as u64, Ordering::Relaxed);
        connections.iter().for_each(|connection| connection.send(message));
    }

    /// Its state, for `stats`.
    pub(crate) fn broker(&self) -> Option<&'static str> {
        self.bridge.as_ref().map(|bridge| bridge.state().as_str())
    }

    pub(crate) fn stats(&self) -> Stats {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counters { messages_in, messages_out, since, .. } = &*self.counters;
        Stats {
            total_connections: self.clients.connected(),
            total_rooms: self.topics.listed() as u64,
            messages_in: load(messages_in),
            messages_out: load(messages_out),
            dropped: self.topics.losses().messages(),
            uptime_s: self.clock.now().instant.saturating_duration_since(*since).as_secs(),
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyCanConnect => f.write_str("no token is accepted, and nobody may connect without one"),
            Self::Route(error) => error.fmt(f),
            Self::Method(name) => write!(f, "{name:?} is a method of JSON-RPC's or the hub's own"),
        }
    }
}

impl Error for BuildError {}

/// The methods of every hub.
const BUILT_IN: [&str; 5] = ["history", "presence", "publish", "rooms.list", "stats"];
/// Rooms that one answer lists.
pub(crate) const ROOMS_PAGE_MAX: usize = 1000;

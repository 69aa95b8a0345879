//! Topics, shards and sockets on one thread, with a clock that only the test moves. The connections are real ones: what a socket
//! takes is a number of bytes, and a peer reads what came out.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    broadcast::{
        Member, Position, Publish, Publishing, TopicError, Topics, TopicsBuilder,
        giving::{Flushed, Outlet, Outlets},
        member::MemberState,
        shard::Shard,
    },
    proto::{
        Cause, CloseCode, Config, ConfigBuilder, Connection, Event, Inbound, Outbound, PreparedMessage, Role,
        SendError, State,
    },
};

/// Time as the test has it.
#[derive(Clone)]
pub(super) struct Clock {
    began: Instant,
    millis: Arc<AtomicU64>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), millis: Arc::default() }
    }

    pub(super) fn now(&self) -> Instant {
        self.began + Duration::from_millis(self.millis())
    }

    pub(super) fn millis(&self) -> u64 {
        self.millis.load(Ordering::Relaxed)
    }

    pub(super) fn advance(&self, time: Duration) {
        self.millis.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }

    fn advance_to(&self, at: Instant) {
        let millis = at.saturating_duration_since(self.began).as_nanos().div_ceil(1_000_000) as u64;
        self.millis.fetch_max(millis, Ordering::Relaxed);
    }
}

/// What came over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Got {
    Message {
        topic: String,
        offset: u64,
    },
    Gap {
        topic: String,
        from: u64,
        to: u64,
        reason: String,
    },
    /// What the application sent by itself.
    Own(String),
    Pong,
}

/// A message of [`say`], for comparing.
pub(super) fn message(topic: &str, offset: u64) -> Got {
    Got::Message { topic: topic.into(), offset }
}

pub(super) fn gap(topic: &str, from: u64, to: u64, reason: &str) -> Got {
    Got::Gap { topic: topic.into(), from, to, reason: reason.into() }
}

/// A payload of at least `bytes` that tells its place.
pub(super) fn say(topic: &str, offset: u64, bytes: usize) -> String {
    let mut said = format!("m {topic} {offset} ");
    while said.len() < bytes {
        said.push('x');
    }
    said
}

/// What a frame in the outbox is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Published,
    Gap,
    Own,
}

pub(super) struct Socket {
    server: Connection,
    peer: Connection,
    /// Bytes that it takes until it is full.
    pub(super) takes: usize,
    /// As on a stream whose task writes.
    pub(super) others_write: bool,
    gone: bool,
    behind: Option<Arc<MemberState>>,
    /// What waits in the outbox, in order, and how long each is as a whole.
    frames: VecDeque<(Frame, usize)>,
    pub(super) got: Vec<Got>,
    /// When each of them came, in milliseconds.
    pub(super) came: Vec<u64>,
    pub(super) closed: Option<(CloseCode, String)>,
}

/// The sockets of all shards.
pub(super) struct Net {
    pub(super) sockets: Vec<Socket>,
    outbound: Outbound,
    clock: Clock,
}

pub(super) struct Sim {
    pub(super) clock: Clock,
    pub(super) topics: Topics,
    pub(super) shards: Vec<Shard<usize>>,
    pub(super) net: Net,
    pub(super) members: Vec<Member>,
    config: Arc<Config>,
}

impl Sim {
    pub(super) fn new(shards: usize) -> Self {
        Self::with(shards, |topics| topics, |config| config)
    }

    pub(super) fn with(
        shards: usize,
        topics: impl FnOnce(TopicsBuilder) -> TopicsBuilder,
        config: impl FnOnce(ConfigBuilder) -> ConfigBuilder,
    ) -> Self {
        let clock = Clock::new();
        let builder = Topics::builder().seed(1).tell_gap(|gap| {
            Some(format!("g {} {} {} {}", gap.topic(), gap.from, gap.to, gap.reason.as_str()).into())
        });
        let topics = topics(builder.clock({
            let clock = clock.clone();
            move || clock.now()
        }))
        .build();
        let shard = |_| Shard::new(&topics, topics.attach(Box::new(|| {})));
        let config = config(Config::builder().control_frames_burst(u16::MAX)).build().expect("a config");
        Self {
            shards: (0..shards).map(shard).collect(),
            topics: topics.clone(),
            net: Net { sockets: Vec::new(), outbound: Outbound::default(), clock: clock.clone() },
            clock,
            members: Vec::new(),
            config: Arc::new(config),
        }
    }

    /// A connection whose socket takes everything; its number.
    pub(super) fn join(&mut self, shard: usize) -> usize {
        let (now, number) = (self.clock.now(), self.members.len());
        let peers = Arc::new(Config::default());
        self.net.sockets.push(Socket {
            server: Connection::new(self.config.clone(), Role::Server, now, number as u64),
            peer: Connection::new(peers, Role::Client, now, number as u64),
            takes: usize::MAX,
            others_write: false,
            gone: false,
            behind: None,
            frames: VecDeque::new(),
            got: Vec::new(),
            came: Vec::new(),
            closed: None,
        });
        self.members.push(self.topics.join(self.shards[shard].inbox(), Box::new(number)));
        number
    }

    pub(super) fn socket(&mut self, number: usize) -> &mut Socket {
        &mut self.net.sockets[number]
    }

    /// The socket takes nothing from now on.
    pub(super) fn stall(&mut self, number: usize) {
        self.socket(number).takes = 0;
    }

    /// The socket takes so many bytes more, and what waits is written as far as that reaches.
    pub(super) fn take(&mut self, number: usize, bytes: usize) {
        let socket = self.socket(number);
        socket.takes = socket.takes.saturating_add(bytes);
        self.write(number);
    }

    fn write(&mut self, number: usize) {
        let Net { sockets, outbound, clock } = &mut self.net;
        sockets[number].write(outbound, clock);
        if sockets[number].server.queued().0 == 0
            && let Some(member) = sockets[number].behind.take()
        {
            member.drained();
        }
    }

    /// Publishes what tells its place.
    pub(super) fn publish(&self, topic: &str) -> Result<Publishing, TopicError> {
        self.publish_with(topic, 0, |publish| publish)
    }

    pub(super) fn publish_with(
        &self,
        topic: &str,
        bytes: usize,
        more: impl FnOnce(Publish) -> Publish,
    ) -> Result<Publishing, TopicError> {
        self.topics
            .publish_with(topic, |Position { offset, .. }| more(Publish::new(say(topic, offset, bytes))))
    }

    /// The application sends something by itself; whether there was room.
    pub(super) fn send_own(&mut self, number: usize, text: &str) -> bool {
        let Net { sockets, outbound, .. } = &mut self.net;
        let socket = &mut sockets[number];
        let sent = socket.server.send(&*format!("o {text}"), outbound).is_ok();
        if sent {
            socket.frames.push_back((Frame::Own, 4 + text.len()));
        }
        self.write(number);
        sent
    }

    /// The application closes by itself.
    pub(super) fn close_own(&mut self, number: usize) {
        let now = self.clock.now();
        self.socket(number).server.close(now, CloseCode::NORMAL, "").expect("it is open");
        self.write(number);
    }

    /// The peer pings, and the pong is due.
    pub(super) fn ping(&mut self, number: usize) {
        let now = self.clock.now();
        let Net { sockets, outbound, .. } = &mut self.net;
        let Socket { server, peer, .. } = &mut sockets[number];
        if peer.ping(b"?").is_err() {
            return;
        }
        let mut wire = Vec::new();
        while let Some(transmit) = peer.poll_transmit(now, outbound) {
            let from = wire.len();
            transmit.slices().iter().for_each(|slice| wire.extend_from_slice(slice));
            transmit.wrote(wire.len() - from);
        }
        let mut inbound = Inbound::default();
        let mut left = &mut *wire;
        while let (rest, Some(_)) = server.receive(now, left, &mut inbound) {
            left = rest;
        }
        self.write(number);
    }

    /// The connection breaks off; the shard hears of it later, by [`Member::leave`].
    pub(super) fn break_off(&mut self, number: usize) {
        self.net.sockets[number].gone = true;
    }

    /// Has all shards work until there is nothing to do.
    pub(super) fn work(&mut self) {
        loop {
            for shard in 0..self.shards.len() {
                while self.work_some(shard, 64) {}
            }
            if self.shards.iter().all(|shard| shard.inbox().sleeps()) {
                return;
            }
        }
    }

    /// One shard works for as many as `members` members; whether it has more.
    pub(super) fn work_some(&mut self, shard: usize, members: usize) -> bool {
        let more = self.shards[shard].work(self.clock.now(), &mut self.net, members);
        for number in 0..self.net.sockets.len() {
            // As the reactor does at the end of a turn, and on tokio the pump.
            let socket = &self.net.sockets[number];
            let is_drained = socket.behind.is_some() && socket.server.queued().0 == 0;
            if socket.others_write || is_drained || socket.server.state() != State::Open {
                self.write(number);
            }
        }
        more
    }

    /// All sockets take what comes, and the time goes on until nothing waits.
    pub(super) fn drain(&mut self) {
        for number in 0..self.members.len() {
            self.take(number, usize::MAX);
        }
        loop {
            self.work();
            let Some(at) = self.shards.iter().filter_map(|shard| shard.poll_timeout()).min() else { break };
            self.clock.advance_to(at);
        }
        for number in 0..self.members.len() {
            if self.is_open(number) {
                assert_eq!(self.waiting(number), [], "member {number} waits for nobody");
            }
        }
    }

    pub(super) fn is_open(&self, number: usize) -> bool {
        let socket = &self.net.sockets[number];
        socket.closed.is_none() && !socket.gone
    }

    /// What waits in the shard for a member: of each subscription the name, messages, bytes, gaps.
    pub(super) fn waiting(&mut self, number: usize) -> Vec<(String, usize, usize, usize)> {
        let member = self.members[number].number();
        self.shards.iter_mut().flat_map(|shard| shard.waiting(member)).collect()
    }

    /// Messages and bytes in the outbox that were published; what the application sent itself and what tells a gap come on top.
    pub(super) fn outbox(&self, number: usize) -> (usize, usize) {
        let Socket { server, frames, .. } = &self.net.sockets[number];
        if server.state() != State::Open {
            return (0, 0);
        }
        let (_, bytes) = server.queued();
        let behind_the_first: usize = frames.iter().skip(1).map(|(_, len)| len).sum();
        // Of the first a part may be written.
        let lens = [bytes - behind_the_first].into_iter().chain(frames.iter().skip(1).map(|(_, len)| *len));
        let published = frames.iter().zip(lens).filter(|((frame, _), _)| *frame == Frame::Published);
        published.fold((0, 0), |(messages, bytes), (_, len)| (messages + 1, bytes + len))
    }

    /// What came since it was last asked.
    pub(super) fn got(&mut self, number: usize) -> Vec<Got> {
        std::mem::take(&mut self.net.sockets[number].got)
    }
}

impl Socket {
    /// Writes what the socket takes, and has the peer read it.
    fn write(&mut self, outbound: &mut Outbound, clock: &Clock) {
        let mut wire = Vec::new();
        while self.takes > 0
            && let Some(transmit) = self.server.poll_transmit(clock.now(), outbound)
        {
            let from = wire.len();
            for slice in transmit.slices().iter() {
                let left = self.takes - (wire.len() - from);
                wire.extend_from_slice(&slice[..slice.len().min(left)]);
            }
            let written = wire.len() - from;
            transmit.wrote(written);
            self.takes = if self.takes == usize::MAX { usize::MAX } else { self.takes - written };
        }
        if self.server.state() == State::Open {
            while self.frames.len() > self.server.queued().0 {
                self.frames.pop_front();
            }
        }
        self.read(&mut wire, clock);
    }

    fn read(&mut self, wire: &mut [u8], clock: &Clock) {
        let (mut inbound, mut left) = (Inbound::default(), wire);
        while let (rest, Some(event)) = self.peer.receive(clock.now(), left, &mut inbound) {
            left = rest;
            match event {
                Event::Text(text) => self.got.push(parse(text.as_str())),
                Event::Pong(_) => self.got.push(Got::Pong),
                Event::Closed(Cause::Peer(Some(frame))) => {
                    self.closed = Some((frame.code, frame.reason.to_string()));
                    continue;
                }
                event => panic!("{event:?}"),
            }
            self.came.push(clock.millis());
        }
    }
}

fn parse(text: &str) -> Got {
    let parts: Vec<_> = text.split(' ').collect();
    let number = |at: usize| parts[at].parse().expect("a number");
    match parts[0] {
        "m" => message(parts[1], number(2)),
        "g" => gap(parts[1], number(2), number(3), parts[4]),
        _ => Got::Own(parts.last().copied().unwrap_or_default().into()),
    }
}

impl Outlets for Net {
    type Key = usize;

    fn with(&mut self, key: &usize, f: impl FnOnce(&mut dyn Outlet)) -> bool {
        let Self { sockets, outbound, clock } = self;
        let socket = &mut sockets[*key];
        let is_there = !socket.gone;
        if is_there {
            f(&mut One { socket, outbound, clock });
        }
        is_there
    }
}

struct One<'n> {
    socket: &'n mut Socket,
    outbound: &'n mut Outbound,
    clock: &'n Clock,
}

impl Outlet for One<'_> {
    fn write(&mut self, frames: &[u8], messages: usize) -> Option<usize> {
        let Self { socket, clock, .. } = self;
        if socket.others_write || !socket.server.takes_plain_frames() {
            return None;
        }
        let taken = frames.len().min(socket.takes);
        if socket.takes != usize::MAX {
            socket.takes -= taken;
        }
        if taken == frames.len() {
            socket.server.wrote_plain_frames(messages, taken);
        }
        socket.read(&mut frames[..taken].to_vec(), clock);
        Some(taken)
    }

    fn wrote(&mut self, bytes: usize) {
        let Self { socket, outbound, clock } = self;
        if let Some(transmit) = socket.server.poll_transmit(clock.now(), outbound) {
            transmit.wrote(bytes);
        }
        while socket.frames.len() > socket.server.queued().0 {
            socket.frames.pop_front();
        }
    }

    fn send(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        self.socket.server.send(message, self.outbound)?;
        let is_gap = message.payload().starts_with(b"g ");
        let frame = if is_gap { Frame::Gap } else { Frame::Published };
        self.socket.frames.push_back((frame, message.frame_bytes()));
        Ok(())
    }

    fn flush(&mut self) -> Flushed {
        if self.socket.others_write {
            return Flushed::ByOthers;
        }
        self.socket.write(self.outbound, self.clock);
        if self.socket.server.queued().0 == 0 { Flushed::All } else { Flushed::Some }
    }

    fn queued(&self) -> (usize, usize) {
        self.socket.server.queued()
    }

    fn bounds(&self) -> (usize, usize) {
        let config = self.socket.server.config();
        (config.outbox_messages_max, config.outbox_bytes_max)
    }

    fn retract(&mut self, messages: usize) -> usize {
        let retracted = self.socket.server.retract(messages);
        self.socket.frames.truncate(self.socket.frames.len() - retracted);
        retracted
    }

    fn close(&mut self, code: CloseCode, reason: &str) {
        self.socket.server.close(self.clock.now(), code, reason).expect("it was open, and the reason fits");
    }

    fn tell_when_drained(&mut self, member: &Arc<MemberState>) {
        self.socket.behind = Some(member.clone());
    }
}

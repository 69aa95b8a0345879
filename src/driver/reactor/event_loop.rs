//! The loop of one thread: waits for sockets, clocks and other threads, and gives each connection its turn.

use std::{
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use mio::{Events, Poll, Token, event::Event, net::TcpListener};

use super::{
    accept::Accepting,
    handler::Handler,
    members::Members,
    remote::{Command, Owned, SLOW_TURN, add},
    slot::{Key, Phase, Slot},
    websocket::WebSocket,
    wheel::Wheel,
    world::{NOBODY, World},
};
use crate::{
    broadcast::{Shard, Topics},
    driver::close_info::CloseInfo,
    proto::{Cause, CloseCode, Inbound},
};

pub(super) struct EventLoop<H: Handler> {
    pub(super) poll: Poll,
    pub(super) handler: H,
    pub(super) world: World<H::Data>,
    /// Lent to connections that receive: beside the world, as a message borrows from it while the world is worked on.
    pub(super) inbound: Inbound,
    pub(super) buffer: Box<[u8]>,
    pub(super) wheel: Wheel,
    /// Who has more to read than one turn's share.
    pub(super) again: Vec<Key>,
    pub(super) accepting: Accepting,
    pub(super) mailbox: Owned,
    topics: Option<Topics>,
    /// Our part of them,
    shard: Option<Box<Shard<Key>>>,
    /// which has more to do than one turn's share.
    shard_has_more: bool,
    /// By when whoever has not taken what topics have for it is closed all the same, once we are shutting down,
    closes_by: Option<Instant>,
    /// and by when the last are cut.
    pub(super) stops_by: Option<Instant>,
    /// Events since the clocks were looked at.
    unfired: usize,
    /// Used anew each turn.
    scratch: Scratch,
}

#[derive(Default)]
struct Scratch {
    keys: Vec<Key>,
    fired: Vec<usize>,
    commands: Vec<Command>,
}

impl<H: Handler> EventLoop<H> {
    pub(super) fn new(
        poll: Poll,
        handler: H,
        world: World<H::Data>,
        accepting: Accepting,
        mailbox: Owned,
    ) -> Self {
        let wheel = Wheel::new(world.now, world.slots.capacity());
        Self {
            poll,
            handler,
            world,
            inbound: Inbound::default(),
            buffer: vec![0; READ_BYTES].into(),
            wheel,
            again: Vec::new(),
            accepting,
            mailbox,
            topics: None,
            shard: None,
            shard_has_more: false,
            closes_by: None,
            stops_by: None,
            unfired: 0,
            scratch: Scratch::default(),
        }
    }

    /// Takes part in `topics`.
    pub(super) fn with_topics(mut self, topics: Option<&Topics>) -> Self {
        let mailbox = self.mailbox.0.clone();
        self.topics = topics.cloned();
        self.shard = topics.map(|topics| {
            let inbox = topics.attach(Box::new(move || mailbox.wake()));
            Box::new(Shard::new(topics, inbox))
        });
        self
    }

    /// Runs until it is shut down.
    ///
    /// # Errors
    /// The poll's, or the listening socket's.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let result = self.turns();
        self.drop_all();
        self.mailbox.end();
        result
    }

    fn turns(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut now = Instant::now();
        loop {
            match self.poll.poll(&mut events, self.patience(now)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    // Time has passed: who is signalled often would begin anew each time, and never come to its clocks.
                    now = Instant::now();
                    continue;
                }
                polled => polled?,
            }
            if let Some(shard) = &self.shard {
                shard.inbox().wakes();
            }
            let began = Instant::now();
            self.world.now = began;
            self.turn(&events)?;
            if self.closes_by.is_some_and(|by| began >= by) {
                self.closes_by = None;
                self.close_all(|world, index| world.close(index, CloseCode::AWAY, "").unwrap_or_default());
            }
            now = Instant::now();
            self.count_turn(now - began);
            if let Some(by) = self.stops_by
                && (self.world.slots.is_empty() || now >= by)
            {
                return Ok(());
            }
        }
    }

    /// How long nobody needs us if nothing happens.
    fn patience(&self, now: Instant) -> Option<Duration> {
        let shard = self.shard.as_deref();
        let shard_is_busy = self.shard_has_more || shard.is_some_and(|shard| !shard.inbox().sleeps());
        if shard_is_busy || !self.again.is_empty() || self.accepting.has_more() {
            return Some(Duration::ZERO);
        }
        let of_shard = shard.and_then(|shard| shard.poll_timeout());
        let closes_by = self.closes_by;
        let next = [self.wheel.next(), self.accepting.waits_until(), closes_by, self.stops_by, of_shard];
        next.into_iter().flatten().min().map(|at| at.saturating_duration_since(now))
    }

    fn turn(&mut self, events: &Events) -> io::Result<()> {
        let mut accept = self.accepting.is_due(self.world.now);
        let mut commands = false;
        // Who is to go on was here before those who are ready now.
        self.go_on();
        let mut seen = 0;
        for event in events {
            seen += 1;
            if seen % EVENTS_A_GLANCE == 0 {
                self.world.now = Instant::now();
            }
            match event.token() {
                LISTENER => accept = true,
                WAKER => commands = true,
                token => self.ready(token, event),
            }
        }
        if commands {
            self.obey();
        }
        if accept {
            self.accept()?;
        }
        // There may be others whose pong or request lies unread, and nobody is late before we have looked. Those who were ready at
        // the first look have all had theirs after as many events as there are connections.
        self.unfired += seen;
        if seen < EVENTS || self.unfired > self.world.slots.len() {
            self.unfired = 0;
            self.fire();
        }
        self.settle_dirty();
        self.publish();
        Ok(())
    }

    /// Gives members what was published to them.
    fn publish(&mut self) {
        let Some(shard) = &mut self.shard else { return };
        self.shard_has_more = shard.work(self.world.now, &mut Members(&mut self.world), MEMBERS_A_TURN);
        self.settle_dirty();
    }

    /// One read can bring tens of thousands of messages to publish, and a turn a thousand reads: more than may wait.
    fn publish_if_filling(&mut self) {
        if self.shard.as_ref().is_some_and(|shard| shard.inbox().is_filling()) {
            self.publish();
        }
    }

    fn ready(&mut self, Token(token): Token, event: &Event) {
        let (index, serial) = (token & INDEX_MASK, (token >> INDEX_BITS) as u32);
        // One that ended earlier in this turn may still have an event in it, and its place a new owner (catalogue: RT-20).
        let Some(slot) = self.world.slots.get(index).filter(|slot| slot.serial as u32 == serial) else {
            return;
        };
        let closed = event.is_read_closed() || event.is_error() || event.is_write_closed();
        if matches!(slot.phase, Phase::Opening(_)) {
            self.open_on(index);
        } else {
            if event.is_readable() || closed {
                self.read(index, closed);
            }
            self.settle(index);
            self.publish_if_filling();
        }
    }

    /// Those who had more than one turn's share.
    fn go_on(&mut self) {
        let mut keys = mem::replace(&mut self.again, mem::take(&mut self.scratch.keys));
        for key in keys.drain(..) {
            let Some(slot) = self.world.get(key) else { continue };
            slot.flags.again = false;
            if matches!(slot.phase, Phase::Open(_)) {
                self.read(key.index, true);
                self.settle(key.index);
                self.publish_if_filling();
            } else {
                self.open_on(key.index);
            }
        }
        self.scratch.keys = keys;
    }

    /// Gives `index` another turn soon.
    pub(super) fn once_more(&mut self, index: usize) {
        let Some(slot) = self.world.slots.get_mut(index) else { return };
        if !mem::replace(&mut slot.flags.again, true) {
            self.again.push(Key { index, serial: slot.serial });
        }
    }

    fn fire(&mut self) {
        let mut fired = mem::take(&mut self.scratch.fired);
        self.wheel.fire(self.world.now, &mut fired);
        for index in fired.drain(..) {
            match self.world.slots.get_mut(index).map(|slot| &mut slot.phase) {
                Some(Phase::Opening(_)) => self.opening_is_late(index),
                Some(Phase::Open(connection)) => {
                    connection.handle_timeout(self.world.now);
                    self.settle(index);
                }
                None => {}
            }
        }
        self.scratch.fired = fired;
    }

    /// Those that callbacks of others, or other threads, did something to; what their own callbacks do meanwhile too.
    fn settle_dirty(&mut self) {
        while let Some(key) = self.world.dirty.pop() {
            let Some(slot) = self.world.get(key) else { continue };
            slot.flags.dirty = false;
            self.settle(key.index);
        }
    }

    /// Does what other threads ask for.
    fn obey(&mut self) {
        let mut commands = mem::take(&mut self.scratch.commands);
        self.mailbox.take(&mut commands);
        for command in commands.drain(..) {
            // `then` is somebody's code.
            if catch_unwind(AssertUnwindSafe(|| self.obey_one(command))).is_err() {
                add(&self.mailbox.counts.panics, 1);
            }
        }
        self.scratch.commands = commands;
    }

    fn obey_one(&mut self, command: Command) {
        let world = &mut self.world;
        match command {
            Command::Send { to, message, compression, then } => {
                let sent = match world.find(to) {
                    Some(index) => world.send(index, message.into(), compression),
                    None => Err(crate::proto::SendError::Closed),
                };
                if sent.is_err() {
                    add(&self.mailbox.counts.undelivered, 1);
                }
                if let Some(then) = then {
                    then(sent);
                }
            }
            Command::Close { to, frame, behind_topics } => {
                if let Some(index) = world.find(to) {
                    // An error says that it is closing already.
                    let _ = match behind_topics {
                        true => world.close_behind_topics(index, frame.code, &frame.reason),
                        false => world.close(index, frame.code, &frame.reason),
                    };
                }
            }
            Command::Stats { of, then } => {
                let index = world.find(of);
                let stats =
                    index.and_then(|index| world.connection(index)).map(|connection| connection.stats());
                then(stats);
            }
            Command::ShutDown => self.shut_down(),
        }
    }

    fn shut_down(&mut self) {
        if self.stops_by.is_some() {
            return;
        }
        let config = &self.world.config;
        let now = Instant::now();
        (self.closes_by, self.stops_by) =
            (Some(now + config.linger_within), Some(now + config.close_within + config.linger_within));
        // Whoever the kernel has accepted for us is told, too.
        self.refuse_backlog();
        // What topics have for a connection comes before its Close.
        self.close_all(|world, index| {
            world.close_behind_topics(index, CloseCode::AWAY, "").unwrap_or_default();
        });
    }

    /// Closes by `close` who is open, and refuses who is not yet. An error says that it is closing already.
    fn close_all(&mut self, close: impl Fn(&mut World<H::Data>, usize)) {
        let all: Vec<usize> = self.world.slots.iter().map(|(index, _)| index).collect();
        for index in all {
            if self.world.connection(index).is_some() {
                close(&mut self.world, index);
            } else {
                self.refuse_unavailable(index);
            }
        }
        self.settle_dirty();
    }

    // ---- callbacks

    /// Calls the application for a connection; a panic ends that connection and nothing else.
    pub(super) fn call(&mut self, index: usize, callback: impl FnOnce(&mut H, &mut WebSocket<'_, H::Data>)) {
        let Self { handler, world, .. } = self;
        let called = catch_unwind(AssertUnwindSafe(|| callback(handler, &mut WebSocket::new(world, index))));
        if called.is_err() {
            self.panicked(index);
        }
    }

    pub(super) fn panicked(&mut self, index: usize) {
        add(&self.mailbox.counts.panics, 1);
        // An error says that it is closing already.
        let _ = self.world.close(index, CloseCode::INTERNAL, "");
    }

    // ---- the end

    /// Takes a connection out, and closes its socket by that.
    pub(super) fn remove(&mut self, index: usize) {
        let Some(slot) = self.world.slots.try_remove(index) else { return };
        self.wheel.disarm(index);
        let counts = &self.mailbox.counts;
        match slot.phase {
            Phase::Opening(_) => {
                self.accepting.left();
                add(&counts.handshakes, -1);
            }
            Phase::Open(_) => add(&counts.connections, -1),
        }
        if let Some(member) = &slot.member {
            member.leave();
        }
        if slot.admitted {
            self.world.remote.shared().admitted.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Tells the end, once.
    pub(super) fn tell_end(&mut self, index: usize) {
        let Some(Slot { phase: Phase::Open(connection), end, flags, member, .. }) =
            self.world.slots.get_mut(index)
        else {
            return;
        };
        if flags.told {
            return;
        }
        let Some(cause) = end.take() else { return };
        flags.told = true;
        let info = CloseInfo::new(*cause, connection.is_clean());
        if let Some(member) = member {
            member.leave();
        }
        add(&self.mailbox.counts.ended, 1);
        self.call(index, |handler, ws| handler.close(ws, info));
        if let Some(slot) = self.world.slots.get_mut(index) {
            // It may hold much, and the socket lingers.
            drop(catch_unwind(AssertUnwindSafe(|| slot.data = H::Data::default())));
        }
    }

    /// The loop is over: who is still there goes with it, and is told.
    fn drop_all(&mut self) {
        let all: Vec<usize> = self.world.slots.iter().map(|(index, _)| index).collect();
        for index in all {
            if let Some(slot) = self.world.slots.get_mut(index)
                && slot.connection().is_some()
            {
                slot.end.get_or_insert_with(|| Box::new(Cause::Transport(io::ErrorKind::ConnectionAborted)));
                self.world.active = index;
                self.tell_end(index);
            }
            self.remove(index);
        }
        self.world.active = NOBODY;
    }

    fn count_turn(&self, took: Duration) {
        let counts = &self.mailbox.counts;
        add(&counts.turns, 1);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if micros > counts.longest_turn_micros.load(Ordering::Relaxed) {
            counts.longest_turn_micros.store(micros, Ordering::Relaxed);
        }
        if took >= SLOW_TURN {
            add(&counts.slow_turns, 1);
        }
    }

    /// A connection that is open takes part in the topics, if there are any.
    pub(super) fn join(&mut self, key: Key) {
        if let Some((topics, shard)) = self.topics.as_ref().zip(self.shard.as_ref())
            && let Some(slot) = self.world.get(key)
        {
            slot.member = Some(topics.join(shard.inbox(), Box::new(key)));
        }
    }

    pub(super) fn listener(&mut self) -> Option<&mut TcpListener> {
        self.accepting.listener.as_mut()
    }
}

/// What an event is for: a place in the slab, and the low half of its owner's serial.
pub(super) fn token(key: Key) -> Token {
    Token(key.index | (key.serial as u32 as usize) << INDEX_BITS)
}

pub(super) const LISTENER: Token = Token(usize::MAX);
pub(super) const WAKER: Token = Token(usize::MAX - 1);
const INDEX_BITS: u32 = 32;
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;
/// As much as a read takes at most.
const READ_BYTES: usize = 256 << 10;
/// Events of one turn at most.
const EVENTS: usize = 1024;
/// Members that are given what was published, before sockets are looked at again: some milliseconds.
const MEMBERS_A_TURN: usize = 1024;
/// So many connections between two looks at the clock.
const EVENTS_A_GLANCE: usize = 16;

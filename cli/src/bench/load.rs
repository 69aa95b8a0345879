//! All connections and the one thread that serves them: opening, waiting for events, hanging up.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use mio::{Events, Poll, Token, net::TcpStream};
use rustix::{
    net::sockopt::set_socket_linger,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use signal_hook::{consts::TERM_SIGNALS, flag};

use super::{
    client::{CLOSE_WITHIN, Client, Tools},
    failure::Failure,
    opening::{Opening, RawRequest},
    progress::Progress,
    target::Target,
};

pub(super) struct Load {
    poll: Poll,
    pub(super) events: Events,
    pub(super) clients: Vec<Client>,
    pub(super) tools: Tools,
    raw: bool,
    /// Of a relay: what the first connection says is what all of them hear.
    relayed: bool,
    /// Open, and never read.
    stalled: Vec<TcpStream>,
}

/// Set by SIGINT or SIGTERM: come to an end, and tell what was measured. A second one ends the process.
#[derive(Clone)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(super) fn at_signals() -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in TERM_SIGNALS {
            flag::register_conditional_shutdown(*signal, 130, stop.clone())
                .and_then(|_| flag::register(*signal, stop.clone()))
                .map_err(|error| Failure::Broken(format!("cannot listen to signals: {error}")))?;
        }
        Ok(Self(stop))
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Load {
    /// Bytes of a reply on the wire, on average of all that came.
    pub(super) fn reply_bytes(&self) -> Option<f64> {
        let (bytes, replies) = self.clients.iter().fold((0, 0), |(bytes, replies), client| {
            (bytes + client.bytes_received(), replies + client.echoed())
        });
        (replies > 0).then(|| bytes as f64 / replies as f64)
    }

    /// Opens `count` connections, many at once.
    pub(super) fn open(
        target: &Target,
        count: u32,
        mut tools: Tools,
        stop: &Stop,
        progress: &mut Progress,
    ) -> Result<Self, Failure> {
        allow_files(count)?;
        let (mut poll, mut events) = poll()?;
        let cannot = |opened: usize, why: String| {
            let so_far = if opened == 0 { String::new() } else { format!(" after {opened} connections") };
            Failure::CannotConnect(format!("cannot connect to {}{so_far}: {why}", target.url))
        };
        let mut clients: Vec<Option<Client>> = (0..count).map(|_| None).collect();
        let mut openings = HashMap::new();
        let (mut started, mut opened) = (0, 0);
        let mut last_opened = Instant::now();
        while opened < clients.len() {
            while openings.len() < AT_ONCE && started < clients.len() {
                let opening =
                    Opening::start(target, tools.config(), RawRequest::None, poll.registry(), Token(started));
                openings.insert(started, opening.map_err(|why| cannot(opened, why))?);
                started += 1;
            }
            wait(&mut poll, &mut events, Some(TICK))?;
            for event in &events {
                let at = event.token().0;
                if let Some(opening) = openings.get_mut(&at) {
                    let read = opening.advance(&mut tools.buffer).map_err(|why| cannot(opened, why))?;
                    let Some(rest) = read else { continue };
                    let Some(opening) = openings.remove(&at) else { continue };
                    let number = at as u32;
                    let terms = opening.terms();
                    let mut client = Client::new(opening.into_socket(), number, target.raw, terms, &tools);
                    last_opened = Instant::now();
                    client.receive(rest, last_opened, &mut tools).map_err(Failure::Broken)?;
                    clients[at] = Some(client);
                    opened += 1;
                } else if let Some(client) = &mut clients[at] {
                    client
                        .read(event.is_read_closed(), Instant::now(), &mut tools)
                        .map_err(Failure::Broken)?;
                }
            }
            progress.tick(opened as u64);
            if stop.is_set() {
                return Err(Failure::Broken("stopped before every connection was open".to_owned()));
            }
            if last_opened.elapsed() > PATIENCE {
                return Err(cannot(opened, format!("no answer within {} seconds", PATIENCE.as_secs())));
            }
        }
        let clients = clients.into_iter().flatten().collect();
        Ok(Self { poll, events, clients, tools, raw: target.raw, relayed: false, stalled: Vec::new() })
    }

    /// Waits for something to happen on a socket, at most so long; 0 only looks.
    pub(super) fn wait(&mut self, at_most: Duration) -> Result<(), Failure> {
        wait(&mut self.poll, &mut self.events, Some(at_most))
    }

    /// From now on all hear what the first connection says, but for the last `stalled`: those are open, and nobody looks at
    /// them again.
    pub(super) fn relay(&mut self, stalled: u32) -> Result<(), Failure> {
        let hearing = self.clients.len().saturating_sub(stalled as usize);
        for client in self.clients.drain(hearing..) {
            let mut socket = client.into_socket();
            let unwatched = self.poll.registry().deregister(&mut socket);
            unwatched.map_err(|error| Failure::Broken(format!("cannot let go of a socket: {error}")))?;
            // Or the system would take megabytes for it before the server sees that it does not read; without, it only takes longer.
            let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, STALLED_BYTES);
            self.stalled.push(socket);
        }
        self.relayed = true;
        // A server may have answered a handshake before that connection is one of all.
        let opened = Instant::now();
        while opened.elapsed() < JOINS_WITHIN {
            self.serve(JOINS_WITHIN)?;
        }
        Ok(())
    }

    /// Whose messages a connection is to receive.
    pub(super) fn sender(&self, at: usize) -> usize {
        if self.relayed { PUBLISHER } else { at }
    }

    /// How many connections send, and how many receive what one of them sent.
    pub(super) fn senders_and_copies(&self) -> (u64, u64) {
        let connections = self.clients.len() as u64;
        if self.relayed { (1, connections) } else { (connections, 1) }
    }

    /// Queues so many messages on a connection and writes them; when.
    pub(super) fn send(&mut self, at: usize, count: u64) -> Result<Instant, Failure> {
        for _ in 0..count {
            if !self.clients[at].queue(&mut self.tools) {
                return Err(Failure::Broken(format!("connection {at} takes no {count} messages at once")));
            }
        }
        let now = Instant::now();
        self.clients[at].flush(now, &mut self.tools).map_err(Failure::Broken)?;
        Ok(now)
    }

    /// Writes what waits on a connection.
    pub(super) fn flush(&mut self, at: usize) -> Result<(), Failure> {
        self.clients[at].flush(Instant::now(), &mut self.tools).map_err(Failure::Broken)
    }

    /// Reads what is there on a connection; how many messages that completed. `to_the_end`: the server may have closed.
    pub(super) fn read(&mut self, at: usize, to_the_end: bool) -> Result<u64, Failure> {
        if self.relayed && at != PUBLISHER {
            let published = self.clients[PUBLISHER].queued();
            self.clients[at].follow(PUBLISHER as u32, published);
        }
        self.clients[at].read(to_the_end, Instant::now(), &mut self.tools).map_err(Failure::Broken)
    }

    /// Waits at most so long, reads what came, pings that want an answer with it, and goes on writing; how many messages came.
    pub(super) fn serve(&mut self, at_most: Duration) -> Result<u64, Failure> {
        self.wait(at_most)?;
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let mut messages = 0;
        for event in &events {
            let at = event.token().0;
            if event.is_readable() {
                messages += self.read(at, event.is_read_closed())?;
            }
            if event.is_writable() {
                self.flush(at)?;
            }
        }
        self.events = events;
        Ok(messages)
    }

    /// Hangs up: with the closing handshake on WebSocket, without waiting for servers that do not answer.
    pub(super) fn close(mut self) {
        let now = Instant::now();
        for client in &mut self.clients {
            if self.raw {
                let _ = set_socket_linger(client.socket(), Some(Duration::ZERO));
            }
            client.close(now, &mut self.tools);
        }
        let mut open: HashMap<usize, Client> = self.clients.drain(..).enumerate().collect();
        open.retain(|_, client| !client.has_ended(now, &mut self.tools));
        while !open.is_empty() && now.elapsed() < CLOSE_WITHIN {
            if wait(&mut self.poll, &mut self.events, Some(TICK)).is_err() {
                return;
            }
            for event in &self.events {
                let at = event.token().0;
                if open.get_mut(&at).is_some_and(|client| client.has_ended(Instant::now(), &mut self.tools)) {
                    open.remove(&at);
                }
            }
        }
    }
}

pub(super) fn poll() -> Result<(Poll, Events), Failure> {
    let poll = Poll::new().map_err(|error| Failure::Broken(format!("cannot wait for sockets: {error}")))?;
    Ok((poll, Events::with_capacity(1024)))
}

pub(super) fn wait(poll: &mut Poll, events: &mut Events, at_most: Option<Duration>) -> Result<(), Failure> {
    match poll.poll(events, at_most) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => {
            Err(Failure::Broken(format!("cannot wait for sockets: {error}")))
        }
        Err(_) => {
            events.clear();
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// One connection takes one file: as many as the system lets us have.
pub(super) fn allow_files(connections: u32) -> Result<(), Failure> {
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    match files.maximum {
        Some(most) if u64::from(connections) + FILES_OF_OURS > most => Err(Failure::CannotConnect(format!(
            "{connections} connections need as many open files, and the limit is {most}; raise it (`ulimit -Hn`) or take \
             fewer --connections"
        ))),
        _ => Ok(()),
    }
}

/// What the system is to keep for a connection that never reads.
const STALLED_BYTES: usize = 4 << 10;
/// What a relay is given to do for its newest connection whatever it does for one.
pub(super) const JOINS_WITHIN: Duration = Duration::from_millis(100);
/// The connection of a relay that sends.
pub(super) const PUBLISHER: usize = 0;
/// Connections on their way up at once: fewer than the shortest listen queues hold.
pub(super) const AT_ONCE: usize = 64;
/// Standard streams, epoll, and what looks at `/proc`.
const FILES_OF_OURS: u64 = 16;
/// How often the clock, the signals and the bar are looked at.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// For a server that says nothing.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

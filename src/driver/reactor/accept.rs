//! Taking in what the kernel has accepted: counted, limited, and patient when files run out.

use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc, sync::atomic::Ordering, time::Instant};

use mio::net::{TcpListener, TcpStream};

use super::{
    event_loop::{EventLoop, token},
    handler::Handler,
    opening::{Opening, Stage},
    remote::add,
    slot::{Flags, Key, Phase, Slot},
    stream::Stream,
};
use crate::{
    driver::admission::{Fault, Patience, fault},
    handshake::{Endpoint, ServerHandshake},
};

/// A loop's listening socket, and those that it brought and that are not open yet.
pub(super) struct Accepting {
    /// None once we are shutting down.
    pub(super) listener: Option<TcpListener>,
    endpoint: Arc<Endpoint>,
    #[cfg(feature = "reactor-tls")]
    tls: Option<Arc<rustls::ServerConfig>>,
    /// The oldest first; those that are open or gone by now are left in, for a while.
    handshakes: VecDeque<Key>,
    /// How many are really unfinished,
    unfinished: usize,
    /// and may be.
    handshakes_max: usize,
    patience: Patience,
    /// Files have run out: not before then.
    waits_until: Option<Instant>,
    /// The last turn took as many as it may.
    has_more: bool,
}

impl Accepting {
    pub(super) fn new(listener: TcpListener, endpoint: Arc<Endpoint>, handshakes_max: usize) -> Self {
        Self {
            listener: Some(listener),
            endpoint,
            #[cfg(feature = "reactor-tls")]
            tls: None,
            handshakes: VecDeque::new(),
            unfinished: 0,
            handshakes_max,
            patience: Patience::default(),
            waits_until: None,
            has_more: false,
        }
    }

    #[cfg(feature = "reactor-tls")]
    pub(super) fn with_tls(mut self, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        self.tls = tls;
        self
    }

    pub(super) fn has_more(&self) -> bool {
        self.has_more && self.waits_until.is_none()
    }

    pub(super) fn waits_until(&self) -> Option<Instant> {
        self.waits_until
    }

    /// Whether it is time to accept, without an event that says so.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.has_more() || self.waits_until.is_some_and(|until| until <= now)
    }

    /// A handshake is done, or its connection gone.
    pub(super) fn left(&mut self) {
        self.unfinished = self.unfinished.saturating_sub(1);
    }

    fn stream(&self, tcp: TcpStream) -> Option<Stream> {
        #[cfg(feature = "reactor-tls")]
        if let Some(tls) = &self.tls {
            return Some(Stream::with_tls(tcp, rustls::ServerConnection::new(tls.clone()).ok()?));
        }
        Some(Stream::new(tcp))
    }
}

impl<H: Handler> EventLoop<H> {
    /// Takes in what is there, but no more than a turn's share.
    ///
    /// # Errors
    /// The listening socket itself failed.
    pub(super) fn accept(&mut self) -> io::Result<()> {
        if self.accepting.waits_until.is_some_and(|until| until > self.world.now) {
            return Ok(());
        }
        self.accepting.waits_until = None;
        self.accepting.has_more = false;
        for _ in 0..ACCEPTS_A_TURN {
            let Some(listener) = self.listener() else { return Ok(()) };
            match listener.accept() {
                Ok((tcp, peer)) => {
                    self.accepting.patience = Patience::default();
                    self.take_in(tcp, peer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => {
                    add(&self.mailbox.counts.accept_errors, 1);
                    match fault(&error) {
                        Fault::OfOneConnection => {}
                        Fault::OutOfResources => {
                            self.accepting.waits_until =
                                Some(self.world.now + self.accepting.patience.next());
                            return Ok(());
                        }
                        Fault::OfTheSocket => return Err(error),
                    }
                }
            }
        }
        self.accepting.has_more = true;
        Ok(())
    }

    /// Enters a connection; above the limits it is refused, or the oldest unfinished one is cut, so that silent sockets shut
    /// nobody out (catalogue: DS-02).
    fn take_in(&mut self, tcp: TcpStream, peer: SocketAddr) {
        let Some(mut stream) = self.accepting.stream(tcp) else { return };
        let shared = self.world.remote.shared();
        let admitted = shared.admitted.fetch_add(1, Ordering::Relaxed) < shared.connections_max;
        if !admitted {
            shared.admitted.fetch_sub(1, Ordering::Relaxed);
        }
        let serial = self.world.next_serial;
        self.world.next_serial += 1;
        let key = Key { index: self.world.slots.vacant_key(), serial };
        if stream.register(self.poll.registry(), token(key)).is_err() {
            if admitted {
                self.world.remote.shared().admitted.fetch_sub(1, Ordering::Relaxed);
            }
            return;
        }
        // Not the turn's time, which callbacks may have used up.
        let deadline = Instant::now() + self.world.config.handshake_within;
        let handshake = ServerHandshake::new(&self.world.config, self.accepting.endpoint.clone());
        let opening = Opening { peer, deadline, stage: Stage::Reading(handshake) };
        self.world.slots.insert(Slot {
            stream,
            phase: Phase::Opening(Box::new(opening)),
            held: None,
            end: None,
            serial,
            admitted,
            flags: Flags::default(),
            member: None,
            data: H::Data::default(),
        });
        add(&self.mailbox.counts.handshakes, 1);
        self.wheel.arm(key.index, deadline);
        self.make_room();
        self.accepting.handshakes.push_back(key);
        self.accepting.unfinished += 1;
        if !admitted {
            self.refuse_unavailable(key.index);
        }
    }

    /// Cuts the oldest handshakes, if there are too many; and forgets those that are done.
    fn make_room(&mut self) {
        while let Some(&oldest) = self.accepting.handshakes.front() {
            let unfinished = match self.world.get(oldest).map(|slot| &slot.phase) {
                Some(Phase::Opening(_)) => true,
                Some(Phase::Open(_)) | None => false,
            };
            if unfinished && self.accepting.unfinished < self.accepting.handshakes_max {
                break;
            }
            self.accepting.handshakes.pop_front();
            if unfinished {
                self.remove(oldest.index);
            }
        }
        // Behind one that takes its time there may be many that were quick.
        if self.accepting.handshakes.len() > 2 * self.accepting.unfinished + HANDSHAKES_LEFT_IN {
            let world = &self.world;
            self.accepting.handshakes.retain(|key| {
                world
                    .slots
                    .get(key.index)
                    .is_some_and(|slot| slot.serial == key.serial && matches!(slot.phase, Phase::Opening(_)))
            });
        }
    }

    /// Refuses whom the kernel has accepted, and listens no more.
    pub(super) fn refuse_backlog(&mut self) {
        while let Some(listener) = self.listener() {
            match listener.accept() {
                Ok((tcp, peer)) => self.take_in(tcp, peer),
                Err(error)
                    if fault(&error) == Fault::OfOneConnection
                        && error.kind() != io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        self.accepting.listener = None;
        self.accepting.waits_until = None;
        self.accepting.has_more = false;
    }
}

/// Connections taken in before the others have their turn.
const ACCEPTS_A_TURN: usize = 64;
/// Handshakes that are done and still noted, at least.
const HANDSHAKES_LEFT_IN: usize = 256;

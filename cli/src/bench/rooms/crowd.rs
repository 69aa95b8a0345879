//! All members of all rooms and the one thread that serves them: connecting, joining, waiting for events, hanging up.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use mio::{Events, Poll, Token};
use rustix::net::sockopt::set_socket_linger;

use super::member::{Member, Shape};
use crate::bench::{
    client::Tools,
    failure::Failure,
    load::{AT_ONCE, JOINS_WITHIN, PATIENCE, Stop, TICK, allow_files, poll, wait},
    opening::{Opening, RawRequest},
    progress::Progress,
    target::Target,
};

pub(super) struct Crowd {
    poll: Poll,
    events: Events,
    pub(super) members: Vec<Member>,
    tools: Tools,
}

impl Crowd {
    /// Opens all connections, many at once, each to its room; none publishes before all have joined.
    pub(super) fn gather(
        target: &Target,
        shape: Shape,
        mut tools: Tools,
        stop: &Stop,
        progress: &mut Progress,
    ) -> Result<Self, Failure> {
        allow_files(shape.connections)?;
        let (mut poll, mut events) = poll()?;
        let mut members: Vec<Option<Member>> = (0..shape.connections).map(|_| None).collect();
        let mut openings = HashMap::new();
        let (mut started, mut joined) = (0, 0);
        let mut last_joined = Instant::now();
        while joined < members.len() {
            while started < members.len() && started - joined < AT_ONCE {
                let target = target.for_room(&shape.room_name(started as u32))?;
                let opening = Opening::start(
                    &target,
                    tools.config(),
                    RawRequest::None,
                    poll.registry(),
                    Token(started),
                );
                openings.insert(started, opening.map_err(|why| cannot(&target, joined, &why))?);
                started += 1;
            }
            wait(&mut poll, &mut events, Some(TICK))?;
            for event in &events {
                let at = event.token().0;
                if let Some(opening) = openings.get_mut(&at) {
                    let read =
                        opening.advance(&mut tools.buffer).map_err(|why| cannot(target, joined, &why))?;
                    let Some(rest) = read else { continue };
                    let Some(opening) = openings.remove(&at) else { continue };
                    let terms = opening.terms();
                    let mut member = Member::new(opening.into_socket(), at as u32, shape, terms, &tools);
                    member.receive(rest, &mut tools, &mut |_, _| {}).map_err(Failure::Broken)?;
                    joined += usize::from(member.has_joined());
                    members[at] = Some(member);
                    last_joined = Instant::now();
                } else if let Some(member) = &mut members[at] {
                    let had_joined = member.has_joined();
                    read(member, event, &mut tools, &mut |_, _| {})?;
                    if member.has_joined() && !had_joined {
                        joined += 1;
                        last_joined = Instant::now();
                    }
                }
            }
            progress.tick(joined as u64);
            if stop.is_set() {
                return Err(Failure::Broken("stopped before every connection was in its room".to_owned()));
            }
            if last_joined.elapsed() > PATIENCE {
                let why = format!("no answer within {} seconds", PATIENCE.as_secs());
                return Err(cannot(target, joined, &why));
            }
        }
        let mut crowd = Self { poll, events, members: members.into_iter().flatten().collect(), tools };
        // A server may have answered a handshake before that connection is one of its room.
        let gathered = Instant::now();
        while gathered.elapsed() < JOINS_WITHIN {
            crowd.serve(JOINS_WITHIN, &mut |_, _| {})?;
        }
        Ok(crowd)
    }

    pub(super) fn publish(&mut self, at: usize, now: Instant) -> Result<(), Failure> {
        self.members[at].publish(now, &mut self.tools).map_err(Failure::Broken)
    }

    /// Waits at most so long, 0 only looks; reads what came, answers what wants an answer, and goes on writing. `delivered`
    /// is told whose message came, and the how manieth of it.
    pub(super) fn serve(
        &mut self,
        at_most: Duration,
        delivered: &mut dyn FnMut(u32, u64),
    ) -> Result<(), Failure> {
        wait(&mut self.poll, &mut self.events, Some(at_most))?;
        for event in &self.events {
            read(&mut self.members[event.token().0], event, &mut self.tools, delivered)?;
        }
        Ok(())
    }

    /// Hangs up: a Close, then a reset, as thousands of ports would otherwise be kept for a minute.
    pub(super) fn close(mut self) {
        for member in &mut self.members {
            member.close(Instant::now(), &mut self.tools);
        }
        let closed = Instant::now();
        while closed.elapsed() < JOINS_WITHIN && self.serve(JOINS_WITHIN, &mut |_, _| {}).is_ok() {}
        for member in self.members {
            let _ = set_socket_linger(member.into_socket(), Some(Duration::ZERO));
        }
    }
}

fn read(
    member: &mut Member,
    event: &mio::event::Event,
    tools: &mut Tools,
    delivered: &mut dyn FnMut(u32, u64),
) -> Result<(), Failure> {
    if event.is_readable() {
        member.read(event.is_read_closed(), tools, delivered).map_err(Failure::Broken)?;
    }
    if event.is_writable() {
        member.flush(Instant::now(), tools).map_err(Failure::Broken)?;
    }
    Ok(())
}

fn cannot(target: &Target, joined: usize, why: &str) -> Failure {
    let so_far = if joined == 0 { String::new() } else { format!(" after {joined} connections") };
    Failure::CannotConnect(format!("cannot connect to {}{so_far}: {why}", target.url))
}

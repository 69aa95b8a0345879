//! Handshakes: so many loops at once, each connects, asks, reads the answer to its end, hangs up, and begins again.
//!
//! It hangs up by a reset (`SO_LINGER` of 0): a port would otherwise be kept for a minute, and there are some 28,000.

use std::time::{Duration, Instant};

use framecast::{Config, Deflate};
use mio::{Poll, Token};
use rustix::net::sockopt::set_socket_linger;

use super::{
    failure::Failure,
    load::{PATIENCE, Stop, TICK, allow_files, poll, wait},
    meter::{Measured, Span, Watch},
    opening::{Opening, RawRequest},
    progress::Progress,
    target::Target,
};

pub(super) struct Handshakes<'t> {
    pub(super) target: &'t Target,
    pub(super) connections: u32,
    pub(super) deflate: Option<Deflate>,
    pub(super) warmup: Duration,
    pub(super) time: Duration,
}

impl Handshakes<'_> {
    pub(super) fn run(
        &self,
        watch: &mut Watch,
        stop: &Stop,
        progress: &mut Progress,
    ) -> Result<Measured, Failure> {
        allow_files(self.connections)?;
        let (mut poll, mut events) = poll()?;
        let config = Config::builder().deflate(self.deflate).build();
        let config = config.map_err(|error| Failure::Usage(error.to_string()))?;
        let mut buffer = vec![0; 64 << 10];
        let mut done = 0;
        let mut loops = Vec::new();
        for at in 0..self.connections as usize {
            loops.push((
                Instant::now(),
                self.start(&config, &poll, at).map_err(|why| self.failure(done, &why))?,
            ));
        }
        let mut span = Span::start(self.warmup, self.time);
        let start = Instant::now();
        let (mut next_tick, mut last_done) = (start, start);
        loop {
            let now = Instant::now();
            if now >= next_tick {
                watch.sample()?;
                progress.tell(done, "handshakes");
                next_tick = now + TICK;
                if now - last_done > PATIENCE {
                    let why = format!("no answer within {} seconds", PATIENCE.as_secs());
                    return Err(self.failure(done, &why));
                }
            }
            if let Some(measured) = span.turn(now, watch, stop)? {
                return Ok(measured);
            }
            let at_most = span.ends().min(next_tick).saturating_duration_since(now);
            wait(&mut poll, &mut events, Some(at_most))?;
            for event in &events {
                let at = event.token().0;
                let (began, opening) = &mut loops[at];
                if opening.advance(&mut buffer).map_err(|why| self.failure(done, &why))?.is_none() {
                    continue;
                }
                let latency = began.elapsed();
                done += 1;
                span.record(latency, 1);
                // The old socket is let go of before the next one takes its token.
                let began = Instant::now();
                last_done = began;
                let next = self.start(&config, &poll, at).map_err(|why| self.failure(done, &why))?;
                let (_, old) = std::mem::replace(&mut loops[at], (began, next));
                let _ = set_socket_linger(old.into_socket(), Some(Duration::ZERO));
            }
        }
    }

    fn start(&self, config: &Config, poll: &Poll, at: usize) -> Result<Opening, String> {
        Opening::start(self.target, config, RawRequest::Same, poll.registry(), Token(at))
    }

    fn failure(&self, done: u64, why: &str) -> Failure {
        match done {
            0 => Failure::CannotConnect(format!("cannot connect to {}: {why}", self.target.url)),
            _ => Failure::Broken(format!("handshake {done}: {why}")),
        }
    }
}

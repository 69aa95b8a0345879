//! The closed loop: each connection writes its messages at once, reads until all came back, and begins again.
//!
//! The server sets the pace, so this tells what it can do at most. While it stalls, nothing more is sent: a stall meets one
//! batch of each connection and hardly shows in the percentiles. The [open loop](super::open) is there to see it.

use std::time::{Duration, Instant};

use super::{
    failure::Failure,
    load::{Load, Stop, TICK},
    meter::{Measured, Span, Watch},
    progress::Progress,
};

pub(super) struct Closed {
    pub(super) depth: u64,
    pub(super) warmup: Duration,
    pub(super) time: Duration,
}

impl Closed {
    pub(super) fn run(
        &self,
        load: &mut Load,
        watch: &mut Watch,
        stop: &Stop,
        progress: &mut Progress,
    ) -> Result<Measured, Failure> {
        let mut span = Span::start(self.warmup, self.time);
        let mut next_tick = Instant::now();
        let mut echoes = 0;
        let mut sent_at = Vec::with_capacity(load.clients.len());
        for at in 0..load.clients.len() {
            sent_at.push(load.send(at, self.depth)?);
        }
        loop {
            let now = Instant::now();
            if now >= next_tick {
                watch.sample()?;
                progress.tell(echoes, "messages");
                next_tick = now + TICK;
            }
            if let Some(measured) = span.turn(now, watch, stop)? {
                return Ok(measured);
            }
            load.wait(span.ends().min(next_tick).saturating_duration_since(now))?;
            // Taken out for the time of the loop, which sends while it looks at them.
            let events = std::mem::replace(&mut load.events, mio::Events::with_capacity(0));
            for event in &events {
                let at = event.token().0;
                if event.is_readable() {
                    let count = load.read(at, event.is_read_closed())?;
                    if count > 0 {
                        echoes += count;
                        span.record(sent_at[at].elapsed(), count);
                        if load.clients[at].in_flight() == 0 {
                            sent_at[at] = load.send(at, self.depth)?;
                            continue;
                        }
                    }
                }
                if event.is_writable() {
                    load.flush(at)?;
                }
            }
            load.events = events;
        }
    }
}

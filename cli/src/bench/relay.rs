//! A relay in the closed loop: one connection publishes its messages at once, and again when all connections have all of them.
//!
//! Each delivery is held against what was published, in its order. A measured time begins and ends between two batches, as a
//! batch may take long: what it cost the server and what came of it are then of the same messages. At a fixed rate a relay is
//! driven by the [open loop](super::open).

use std::time::{Duration, Instant};

use super::{
    failure::Failure,
    load::{Load, PATIENCE, PUBLISHER, Stop, TICK},
    meter::{Measured, Span, Watch},
    progress::Progress,
};

pub(super) struct Relay {
    pub(super) depth: u64,
    pub(super) warmup: Duration,
    pub(super) time: Duration,
}

impl Relay {
    pub(super) fn run(
        &self,
        load: &mut Load,
        watch: &mut Watch,
        stop: &Stop,
        progress: &mut Progress,
    ) -> Result<Measured, Failure> {
        let batch = self.depth * load.clients.len() as u64;
        let mut span = Span::start(self.warmup, self.time);
        let start = Instant::now();
        let (mut published_at, mut last_delivery, mut next_tick) = (start, start, start);
        let (mut deliveries, mut missing) = (0, 0);
        loop {
            let now = Instant::now();
            if now >= next_tick {
                watch.sample()?;
                progress.tell(deliveries, "deliveries");
                next_tick = now + TICK;
            }
            if missing > 0 && now.saturating_duration_since(last_delivery) > PATIENCE {
                return Err(stuck(batch, missing));
            }
            if (missing == 0 || stop.is_set())
                && let Some(measured) = span.turn(now, watch, stop)?
            {
                return Ok(measured);
            }
            if missing == 0 {
                published_at = load.send(PUBLISHER, self.depth)?;
                (missing, last_delivery) = (batch, published_at);
            }
            load.wait(next_tick.saturating_duration_since(now))?;
            // Taken out for the time of the loop, which reads while it looks at them.
            let events = std::mem::replace(&mut load.events, mio::Events::with_capacity(0));
            for event in &events {
                let at = event.token().0;
                if event.is_readable() {
                    let count = load.read(at, event.is_read_closed())?;
                    if count > 0 {
                        last_delivery = Instant::now();
                        span.record(last_delivery - published_at, count);
                        deliveries += count;
                        // A connection is given no message that was not published, so that this never falls below zero.
                        missing -= count;
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

fn stuck(batch: u64, missing: u64) -> Failure {
    let (came, seconds) = (batch - missing, PATIENCE.as_secs());
    Failure::Broken(format!(
        "no delivery within {seconds} seconds; {came} of {batch} of this batch have come"
    ))
}

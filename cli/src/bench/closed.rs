//! The closed loop: each connection writes its messages at once, reads until all came back, and begins again.
//!
//! The server sets the pace, so this tells what it can do at most. While it stalls, nothing more is sent: a stall meets one
//! batch of each connection and hardly shows in the percentiles. The [open loop](super::open) is there to see it.

use std::time::{Duration, Instant};

use super::{
    failure::Failure,
    load::{Load, Stop, TICK},
    meter::{Measured, Meter, Watch},
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
        let mut meter = None;
        let start = Instant::now();
        let mut ends = start + self.warmup;
        let mut next_tick = start;
        let mut echoes = 0;
        let mut sent_at = Vec::with_capacity(load.clients.len());
        for at in 0..load.clients.len() {
            sent_at.push(self.send(load, at)?);
        }
        loop {
            let now = Instant::now();
            if now >= next_tick {
                watch.sample()?;
                progress.tell(echoes, "messages");
                next_tick = now + TICK;
            }
            if now >= ends || stop.is_set() {
                match meter.take() {
                    Some(meter) => return Meter::finish(meter, now, watch),
                    None if stop.is_set() => {
                        return Err(Failure::Broken("stopped before the measurement began".to_owned()));
                    }
                    None => {
                        let started = meter.insert(Meter::start(watch)?);
                        ends = started.began() + self.time;
                    }
                }
            }
            load.wait(ends.min(next_tick).saturating_duration_since(now))?;
            // Taken out for the time of the loop, which sends while it looks at them.
            let events = std::mem::replace(&mut load.events, mio::Events::with_capacity(0));
            for event in &events {
                let at = event.token().0;
                let client = &mut load.clients[at];
                if event.is_readable() {
                    let count = client
                        .read(event.is_read_closed(), Instant::now(), &mut load.tools)
                        .map_err(Failure::Broken)?;
                    if count > 0 {
                        echoes += count;
                        if let Some(meter) = &mut meter {
                            meter.record(sent_at[at].elapsed(), count);
                        }
                        if client.in_flight() == 0 {
                            sent_at[at] = self.send(load, at)?;
                            continue;
                        }
                    }
                }
                if event.is_writable() {
                    load.clients[at].flush(Instant::now(), &mut load.tools).map_err(Failure::Broken)?;
                }
            }
            load.events = events;
        }
    }

    /// Writes the next batch; when.
    fn send(&self, load: &mut Load, at: usize) -> Result<Instant, Failure> {
        let client = &mut load.clients[at];
        for _ in 0..self.depth {
            if !client.queue(&mut load.tools) {
                return Err(Failure::Broken(format!(
                    "connection {at} takes no {} messages at once",
                    self.depth
                )));
            }
        }
        let now = Instant::now();
        client.flush(now, &mut load.tools).map_err(Failure::Broken)?;
        Ok(now)
    }
}

//! The open loop: messages leave at their scheduled times, whatever the server does.
//!
//! A latency counts from the time at which the message was *due*, not from when it could leave: while a server stalls,
//! messages go on falling due, and each one waits for the rest of the stall. A closed loop would leave them out, which is
//! called coordinated omission.

use std::time::{Duration, Instant};

use super::{
    failure::Failure,
    load::{Load, Stop, TICK},
    meter::{Measured, Meter, Watch},
    progress::Progress,
    report::OpenLoop,
    schedule::Schedule,
};

pub(super) struct Open<'l> {
    schedule: Schedule,
    start: Instant,
    /// The numbers that are measured: from, and up to.
    first: u64,
    end: u64,
    /// Messages that fell due so far.
    due: u64,
    /// Those of each connection that its queue has no room for yet.
    waiting: Vec<u64>,
    meter: Option<Meter>,
    /// Connections that a message is delivered to.
    copies: u64,
    late: u64,
    late_max: Duration,
    load: &'l mut Load,
}

impl<'l> Open<'l> {
    pub(super) fn new(load: &'l mut Load, rate: f64, warmup: Duration, time: Duration) -> Self {
        let (connections, copies) = load.senders_and_copies();
        let schedule = Schedule { rate, connections };
        let first = schedule.due_within(warmup);
        let end = schedule.due_within(warmup + time).max(first + 1);
        let waiting = vec![0; load.clients.len()];
        let (due, late, late_max) = (0, 0, Duration::ZERO);
        let start = Instant::now();
        Self { schedule, start, first, end, due, waiting, meter: None, copies, late, late_max, load }
    }

    pub(super) fn run(
        mut self,
        watch: &mut Watch,
        stop: &Stop,
        progress: &mut Progress,
    ) -> Result<(Measured, OpenLoop), Failure> {
        let mut next_tick = self.start;
        let mut patience_ends = None;
        loop {
            let now = Instant::now();
            if now >= next_tick {
                watch.sample()?;
                progress.tell(self.due, "messages");
                next_tick = now + TICK;
            }
            if stop.is_set() && patience_ends.is_none() {
                self.end = self.end.min(self.due);
                patience_ends = Some(now + AFTER_STOP);
            }
            if self.meter.is_none() && self.due >= self.first {
                self.meter = Some(Meter::start(watch)?);
            }
            self.send_what_is_due(now)?;
            if self.due >= self.end && patience_ends.is_none() {
                patience_ends = Some(now + self.schedule.due(self.end - self.first) + AFTER_END);
            }
            let all = self.end.saturating_sub(self.first) * self.copies;
            let all_back = self.meter.as_ref().is_some_and(|meter| meter.count >= all);
            if self.due >= self.end && (all_back || patience_ends.is_some_and(|ends| now >= ends)) {
                return self.finish(now, watch);
            }
            let at_most = if self.due < self.end {
                let due = self.start + self.schedule.due(self.due);
                // A sleep ends up to a millisecond late: the last one before a message is spent looking.
                due.min(next_tick).saturating_duration_since(now).saturating_sub(SLEEP_MIN)
            } else {
                TICK
            };
            self.load.wait(at_most)?;
            self.look_at_events()?;
        }
    }

    fn send_what_is_due(&mut self, now: Instant) -> Result<(), Failure> {
        let before = self.due;
        let end = if self.meter.is_some() { self.end } else { self.first };
        let until = self.schedule.due_within(now - self.start).min(end);
        while self.due < until {
            let late = now.saturating_duration_since(self.start + self.schedule.due(self.due));
            if self.due >= self.first {
                self.late += u64::from(late > LATE);
                self.late_max = self.late_max.max(late);
            }
            self.waiting[self.schedule.connection(self.due)] += 1;
            self.due += 1;
        }
        let connections = self.schedule.connections;
        for number in before..self.due.min(before + connections) {
            self.send(self.schedule.connection(number))?;
        }
        Ok(())
    }

    /// Queues what waits, as far as there is room, and writes.
    fn send(&mut self, at: usize) -> Result<(), Failure> {
        let client = &mut self.load.clients[at];
        loop {
            while self.waiting[at] > 0 && client.queue(&mut self.load.tools) {
                self.waiting[at] -= 1;
            }
            let was_full = self.waiting[at] > 0;
            client.flush(Instant::now(), &mut self.load.tools).map_err(Failure::Broken)?;
            if !was_full || !client.has_room(&self.load.tools) {
                return Ok(());
            }
        }
    }

    fn look_at_events(&mut self) -> Result<(), Failure> {
        let events = std::mem::replace(&mut self.load.events, mio::Events::with_capacity(0));
        for event in &events {
            let at = event.token().0;
            if event.is_readable() {
                self.read(at, event.is_read_closed())?;
            }
            if event.is_writable() {
                self.send(at)?;
            }
        }
        self.load.events = events;
        Ok(())
    }

    fn read(&mut self, at: usize, to_the_end: bool) -> Result<(), Failure> {
        let before = self.load.clients[at].echoed();
        let count = self.load.read(at, to_the_end)?;
        let elapsed = self.start.elapsed();
        let sender = self.load.sender(at);
        for nth in before..before + count {
            let number = self.schedule.number(sender, nth);
            if let Some(meter) = &mut self.meter
                && (self.first..self.end).contains(&number)
            {
                meter.record(elapsed.saturating_sub(self.schedule.due(number)), 1);
            }
        }
        Ok(())
    }

    /// What did not come back has taken as long as it has waited by now, at least.
    fn finish(mut self, now: Instant, watch: &mut Watch) -> Result<(Measured, OpenLoop), Failure> {
        let Some(mut meter) = self.meter.take() else {
            return Err(Failure::Broken("stopped before the measurement began".to_owned()));
        };
        let scheduled = self.end.saturating_sub(self.first);
        let mut unanswered = 0;
        for (at, client) in self.load.clients.iter().enumerate() {
            let sender = self.load.sender(at);
            let missing = (client.echoed()..).map(|nth| self.schedule.number(sender, nth));
            for number in
                missing.take_while(|number| *number < self.end).filter(|number| *number >= self.first)
            {
                let due = self.start + self.schedule.due(number);
                meter.record_uncounted(now.saturating_duration_since(due), 1);
                unanswered += 1;
            }
        }
        let late_us_max = self.late_max.as_secs_f64() * 1e6;
        let (expected, late) = (scheduled * self.copies, self.late);
        Ok((meter.finish(now, watch)?, OpenLoop { scheduled, expected, unanswered, late, late_us_max }))
    }
}

/// The shortest time worth sleeping for.
pub(super) const SLEEP_MIN: Duration = Duration::from_millis(1);
/// From here on it is told that the load was late.
pub(super) const LATE: Duration = Duration::from_millis(1);
/// For what is in flight when a signal ends the measurement.
pub(super) const AFTER_STOP: Duration = Duration::from_secs(1);
/// For what is in flight at the end, besides as long again as was measured.
pub(super) const AFTER_END: Duration = Duration::from_secs(5);

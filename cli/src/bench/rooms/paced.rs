//! The rooms' open loop: messages leave at their scheduled times, whatever the server does; see [`open`](crate::bench::open).

use std::time::{Duration, Instant};

use super::{crowd::Crowd, member::Shape};
use crate::bench::{
    failure::Failure,
    load::{Stop, TICK},
    meter::{Measured, Meter, Watch},
    open::{AFTER_END, AFTER_STOP, LATE, SLEEP_MIN},
    progress::Progress,
    report::OpenLoop,
    schedule::Schedule,
};

pub(super) struct Paced<'c> {
    schedule: Schedule,
    shape: Shape,
    start: Instant,
    /// The numbers that are measured: from, and up to.
    first: u64,
    end: u64,
    /// Messages that fell due so far.
    due: u64,
    /// Deliveries of those that are measured.
    expected: u64,
    meter: Option<Meter>,
    late: u64,
    late_max: Duration,
    crowd: &'c mut Crowd,
}

impl<'c> Paced<'c> {
    pub(super) fn new(
        crowd: &'c mut Crowd,
        shape: Shape,
        rate: f64,
        warmup: Duration,
        time: Duration,
    ) -> Self {
        let schedule = Schedule { rate, connections: shape.connections.into() };
        let first = schedule.due_within(warmup);
        let end = schedule.due_within(warmup + time).max(first + 1);
        let (due, expected, late, late_max) = (0, 0, 0, Duration::ZERO);
        let start = Instant::now();
        Self { schedule, shape, start, first, end, due, expected, meter: None, late, late_max, crowd }
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
            let all_came = self.meter.as_ref().is_some_and(|meter| meter.count >= self.expected);
            if self.due >= self.end && (all_came || patience_ends.is_some_and(|ends| now >= ends)) {
                return self.finish(now, watch);
            }
            let at_most = if self.due < self.end {
                let due = self.start + self.schedule.due(self.due);
                // A sleep ends up to a millisecond late: the last one before a message is spent looking.
                due.min(next_tick).saturating_duration_since(now).saturating_sub(SLEEP_MIN)
            } else {
                TICK
            };
            self.look_at_events(at_most)?;
        }
    }

    fn send_what_is_due(&mut self, now: Instant) -> Result<(), Failure> {
        let end = if self.meter.is_some() { self.end } else { self.first };
        let until = self.schedule.due_within(now - self.start).min(end);
        while self.due < until {
            let sender = self.schedule.connection(self.due);
            if self.due >= self.first {
                let late = now.saturating_duration_since(self.start + self.schedule.due(self.due));
                self.late += u64::from(late > LATE);
                self.late_max = self.late_max.max(late);
                self.expected += u64::from(self.shape.members(sender as u32));
            }
            self.due += 1;
            self.crowd.publish(sender, now)?;
        }
        Ok(())
    }

    fn look_at_events(&mut self, at_most: Duration) -> Result<(), Failure> {
        let Self { schedule, start, first, end, meter, crowd, .. } = self;
        crowd.serve(at_most, &mut |sender, nth| {
            let number = schedule.number(sender as usize, nth);
            if let Some(meter) = meter
                && (*first..*end).contains(&number)
            {
                meter.record(start.elapsed().saturating_sub(schedule.due(number)), 1);
            }
        })
    }

    /// What did not come has taken as long as it has waited by now, at least.
    fn finish(mut self, now: Instant, watch: &mut Watch) -> Result<(Measured, OpenLoop), Failure> {
        let Some(mut meter) = self.meter.take() else {
            return Err(Failure::Broken("stopped before the measurement began".to_owned()));
        };
        let scheduled = self.end.saturating_sub(self.first);
        let mut unanswered = 0;
        for (sender, heard) in self.crowd.members.iter().flat_map(|member| member.heard()) {
            let missing = (heard..).map(|nth| self.schedule.number(sender as usize, nth));
            for number in
                missing.take_while(|number| *number < self.end).filter(|number| *number >= self.first)
            {
                let due = self.start + self.schedule.due(number);
                meter.record_uncounted(now.saturating_duration_since(due), 1);
                unanswered += 1;
            }
        }
        let late_us_max = self.late_max.as_secs_f64() * 1e6;
        let (expected, late) = (self.expected, self.late);
        Ok((meter.finish(now, watch)?, OpenLoop { scheduled, expected, unanswered, late, late_us_max }))
    }
}

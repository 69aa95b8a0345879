//! The measured span: what was counted, how long it took, and what it cost the processors.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::{failure::Failure, load::Stop, process::Process, report::Latency};

/// The two processes that are watched.
pub(super) struct Watch {
    pub(super) server: Option<Process>,
    own: Process,
}

/// Counts from [`start`](Self::start) to [`finish`](Self::finish).
pub(super) struct Meter {
    began: Instant,
    pub(super) count: u64,
    latencies: Histogram<u64>,
    server_before: u64,
    own_before: u64,
}

/// The warm-up and then the measured time, of a scenario that ends by the clock.
pub(super) struct Span {
    time: Duration,
    ends: Instant,
    meter: Option<Meter>,
}

/// What came of it.
pub(super) struct Measured {
    pub(super) time: Duration,
    pub(super) count: u64,
    pub(super) latency: Latency,
    /// Of the server, if it is watched.
    pub(super) server_cpu: Option<Duration>,
    pub(super) own_cpu: Duration,
}

impl Watch {
    pub(super) fn new(pid: Option<u32>) -> Result<Self, Failure> {
        Ok(Self { server: pid.map(Process::watch).transpose()?, own: Process::own()? })
    }

    /// Looks at both, so that little is lost of threads that end; says so if the server has ended.
    pub(super) fn sample(&mut self) -> Result<(u64, u64), Failure> {
        let server = self.server.as_mut().map(Process::sample).transpose()?;
        Ok((server.unwrap_or(0), self.own.sample()?))
    }

    /// `failure`, unless it is the end of the server that was watched.
    pub(super) fn blame(&mut self, failure: Failure) -> Failure {
        match self.sample() {
            Err(Failure::Broken(ended)) => Failure::Broken(format!("{failure}; {ended}")),
            _ => failure,
        }
    }
}

impl Meter {
    pub(super) fn start(watch: &mut Watch) -> Result<Self, Failure> {
        let latencies = Histogram::new_with_bounds(1, LATENCY_MAX.as_nanos() as u64, 3)
            .map_err(|error| Failure::Broken(format!("cannot count latencies: {error}")))?;
        let (server_before, own_before) = watch.sample()?;
        Ok(Self { began: Instant::now(), count: 0, latencies, server_before, own_before })
    }

    /// `count` things that took `latency` each.
    #[inline]
    pub(super) fn record(&mut self, latency: Duration, count: u64) {
        self.count += count;
        self.record_uncounted(latency, count);
    }

    /// As [`record`](Self::record), for what took at least `latency` and has not come yet.
    #[inline]
    pub(super) fn record_uncounted(&mut self, latency: Duration, count: u64) {
        let nanos = latency.min(LATENCY_MAX).as_nanos() as u64;
        self.latencies.saturating_record_n(nanos.max(1), count);
    }

    pub(super) fn finish(self, ended: Instant, watch: &mut Watch) -> Result<Measured, Failure> {
        let (server, own) = watch.sample()?;
        let server_cpu = Duration::from_nanos(server - self.server_before);
        Ok(Measured {
            time: ended.saturating_duration_since(self.began),
            count: self.count,
            latency: Latency::of(&self.latencies),
            server_cpu: watch.server.is_some().then_some(server_cpu),
            own_cpu: Duration::from_nanos(own - self.own_before),
        })
    }
}

impl Span {
    pub(super) fn start(warmup: Duration, time: Duration) -> Self {
        Self { time, ends: Instant::now() + warmup, meter: None }
    }

    /// When the one gives way to the other, or ends.
    pub(super) fn ends(&self) -> Instant {
        self.ends
    }

    /// Goes on if it is time to; `Some` at the end, or after a signal.
    pub(super) fn turn(
        &mut self,
        now: Instant,
        watch: &mut Watch,
        stop: &Stop,
    ) -> Result<Option<Measured>, Failure> {
        if now < self.ends && !stop.is_set() {
            return Ok(None);
        }
        match self.meter.take() {
            Some(meter) => meter.finish(now, watch).map(Some),
            None if stop.is_set() => Err(Failure::Broken("stopped before the measurement began".to_owned())),
            None => {
                let started = self.meter.insert(Meter::start(watch)?);
                self.ends = started.began + self.time;
                Ok(None)
            }
        }
    }

    /// As [`Meter::record`], once the warm-up is over.
    #[inline]
    pub(super) fn record(&mut self, latency: Duration, count: u64) {
        if let Some(meter) = &mut self.meter {
            meter.record(latency, count);
        }
    }
}

/// What is above counts as this.
const LATENCY_MAX: Duration = Duration::from_secs(24 * 3600);

//! A bar on stderr, if that is a terminal.

use std::{
    io::{IsTerminal, stderr},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub(super) struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
}

impl Progress {
    /// Counts things that are done.
    pub(super) fn of_things(what: &'static str, count: u64) -> Self {
        Self::new(count, "{prefix:>12} [{bar:30}] {pos} of {len}", what)
    }

    /// Counts time that has passed; [`tell`](Self::tell) says what was done in it.
    pub(super) fn of_time(what: &'static str, time: Duration) -> Self {
        Self::new(time.as_millis() as u64, "{prefix:>12} [{bar:30}] {percent:>3} %  {msg}", what)
    }

    fn new(len: u64, template: &str, what: &'static str) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let target = ProgressDrawTarget::stderr_with_hz(10);
            ProgressBar::with_draw_target(Some(len), target)
                .with_style(style.progress_chars("=> "))
                .with_prefix(what)
        });
        Self { bar, began: Instant::now() }
    }

    pub(super) fn tick(&mut self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    /// Moves to now, with `count` of `things` done since the beginning.
    pub(super) fn tell(&mut self, count: u64, things: &str) {
        if let Some(bar) = &self.bar {
            let passed = self.began.elapsed();
            let per_second = count as f64 / passed.as_secs_f64().max(1e-3);
            bar.set_message(format!("{per_second:.0} {things}/s"));
            bar.set_position(passed.as_millis() as u64);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

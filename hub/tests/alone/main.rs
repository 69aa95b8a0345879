//! What takes or measures what the whole process has: its files, its CPU. One test at a time, in a process of its own.

mod crowd;
mod files;
mod flood;
mod half_close;
#[path = "../server/support.rs"]
mod support;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::runtime::Builder;

/// Runs `test` when the others are done. Its runtime is made only then: where another one has taken all files, it could not be.
fn alone(test: impl Future<Output = ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Builder::new_current_thread().enable_all().build().expect("there are files").block_on(test);
}

/// This process' CPU time.
fn cpu() -> Duration {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(usage.tv_sec as u64, usage.tv_nsec as u32)
}

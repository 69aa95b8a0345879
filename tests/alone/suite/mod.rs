//! What measures or limits the whole process, and so is alone in it: one test at a time.

#[path = "../../engines/suite/application.rs"]
mod application;
mod files;
mod half_close;
#[path = "../../support/peer.rs"]
mod peer;
#[allow(dead_code, reason = "the engines' suite needs more of it")]
#[path = "../../engines/suite/server.rs"]
mod server;
mod signals;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

pub(crate) use server::Engine;
use tokio::runtime::Builder;

/// Runs `test` when the others are done. Its runtime is made only then: where another one has taken all files, it could not be.
fn alone(test: impl Future<Output = ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Builder::new_current_thread().enable_all().build().expect("files").block_on(test);
}

/// This process' CPU time.
fn cpu() -> Duration {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(usage.tv_sec as u64, usage.tv_nsec as u32)
}

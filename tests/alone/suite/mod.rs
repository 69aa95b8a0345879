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

use std::time::Duration;

pub(crate) use server::Engine;
use tokio::sync::{Mutex, MutexGuard};

/// Waits for one's turn.
async fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// This process' CPU time.
fn cpu() -> Duration {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(usage.tv_sec as u64, usage.tv_nsec as u32)
}

//! Signals, which interrupt whoever waits.

use std::{
    process::{self, Child, Command, Stdio},
    time::Duration,
};

use framecast::Config;
use tokio::time::timeout;

use super::{alone, peer::PING, server::Server};

/// Stops this process twenty times a second, and has it go on at once.
struct Nuisance(Child);

impl Nuisance {
    fn start() -> Self {
        // It ends by itself once nobody reads what it says, and never between the two signals.
        let script = "while echo; do kill -STOP $0; kill -CONT $0; sleep 0.05; done";
        let mut command = Command::new("sh");
        command.args(["-c", script, &process::id().to_string()]).stdin(Stdio::null()).stdout(Stdio::piped());
        Self(command.spawn().expect("a shell"))
    }
}

impl Drop for Nuisance {
    fn drop(&mut self) {
        drop(self.0.stdout.take());
        let _ = self.0.wait();
    }
}

/// A wait that is interrupted was begun anew with its whole time, so that a process that was signalled more often than that
/// never came to its deadlines · catalogue: FT-06
#[test]
fn a_ping_comes_in_time_however_often_signals_do() {
    alone(async {
        let config = Config::builder().ping_every(Some(Duration::from_millis(500))).build().expect("valid");
        let server = Server::with_config(config);
        let mut peer = server.open().await;
        let _nuisance = Nuisance::start();
        let first = timeout(Duration::from_secs(5), peer.next()).await.expect("in time");
        assert_eq!(first.expect("a ping").0, PING);
    });
}

//! Peers that end their direction, in each state.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    alone, cpu,
    peer::{TEXT, close, frame},
    server::Server,
};

/// catalogue: FT-03, FT-05, RT-03
#[test]
fn a_half_close_in_any_state_does_not_spin() {
    alone(async {
        let server = Server::start();
        let mut peers = Vec::new();
        for state in ["open", "head", "mid-message", "closing", "blocked", "peer closed"] {
            let mut peer = if state == "head" { server.connect().await } else { server.open().await };
            match state {
                "head" => peer.send(b"GET / HT").await,
                "mid-message" => peer.send(&frame(TEXT, b"half")[..7]).await,
                "closing" => peer.text("close").await,
                "blocked" => {
                    for _ in 0..20 {
                        peer.text("flood 1000000").await;
                    }
                }
                "peer closed" => peer.send(&close(1000, "")).await,
                _ => {}
            }
            peer.half_close().await;
            peers.push(peer);
        }
        // What there was to do is done soon; from then on nobody works.
        sleep(Duration::from_millis(500)).await;
        let (before, started) = (cpu(), Instant::now());
        sleep(Duration::from_secs(1)).await;
        let used = cpu() - before;
        assert!(used < started.elapsed() / 10, "{used:?} of CPU in {:?}", started.elapsed());
    });
}

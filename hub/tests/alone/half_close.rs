//! Peers that end their direction, in each state.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{alone, cpu, support::*};

/// catalogue: FT-03, FT-05
#[test]
fn a_half_close_in_any_state_of_http_does_not_spin() {
    alone(async {
        let running = Running::of(hub(|hub| hub), with_admin).await;
        let mut peers = Vec::new();
        let (upgrade, host) = (upgrade("/ws", running.addr, ""), running.addr);
        let post = request("POST /broadcast", host, &format!("Authorization: Bearer {ADMIN}\r\n"), "12345");
        let idle = format!("GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
        for (state, input) in [
            ("silent", vec![]),
            ("in its head", upgrade[..40].to_vec()),
            ("in its body", post[..post.len() - 2].to_vec()),
            ("between two requests", idle),
            ("upgraded", upgrade.clone()),
            ("in a message", [&upgrade[..], &frame(TEXT, b"half")[..7]].concat()),
            ("closing", [&upgrade[..], &close(1000, "")].concat()),
        ] {
            let mut peer = running.raw().await;
            peer.send(&input).await;
            sleep(Duration::from_millis(20)).await;
            peer.half_close().await;
            peers.push((state, peer));
        }
        // What there was to do is done soon; from then on nobody works.
        sleep(Duration::from_millis(500)).await;
        let (before, started) = (cpu(), Instant::now());
        sleep(Duration::from_secs(1)).await;
        let used = cpu() - before;
        assert!(used < started.elapsed() / 10, "{used:?} of CPU in {:?}", started.elapsed());
        for (state, mut peer) in peers {
            assert!(tokio::time::timeout(SOON, peer.rest()).await.is_ok(), "{state}");
        }
    });
}

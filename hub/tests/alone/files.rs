//! A process that has run out of file descriptors.

use std::{fs::File, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::{Instant, sleep, timeout};

use crate::{alone, cpu, support::*};

/// Nobody gets in while there is no file to be had, nobody is lost who was in, no core is burnt, and it goes on by itself
/// · catalogue: FT-20, V-88
#[test]
fn a_server_waits_out_emfile_without_spinning_and_counts_it() {
    alone(async {
        let running = Running::of(hub(|hub| hub), with_admin).await;
        let mut early = running.inside("r").await;

        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: limit.maximum })
            .expect("it is lower");
        let mut files = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            files.push(file);
        }
        // One for a client of ours, none for the server.
        files.pop();
        let mut waiting = running.raw().await;
        waiting.send(&upgrade("/ws", running.addr, "")).await;
        let (before, started) = (cpu(), Instant::now());
        sleep(Duration::from_secs(2)).await;
        let (used, elapsed) = (cpu() - before, started.elapsed());
        assert!(used < elapsed / 20, "{used:?} of CPU in {elapsed:?}");
        let failed = running.metric("framecast_refused_total{reason=\"accept\"}").await;
        assert!((2..40).contains(&failed), "{failed} accepts failed in two seconds");
        say(&early, r#"{"type":"ping"}"#).await;
        assert!(hear(&mut early).await.contains("pong"));

        drop(files);
        let head = timeout(Duration::from_secs(3), waiting.head()).await.expect("in a second");
        assert_eq!(status(&head), 101);
        say(&early, r#"{"type":"ping"}"#).await;
        assert!(hear(&mut early).await.contains("pong"));
        setrlimit(Resource::Nofile, limit).expect("it is as it was");
    });
}

/// catalogue: DS-04, G-4
#[test]
fn a_storm_of_connections_leaves_no_file_open() {
    alone(async {
        let running = Running::of(hub(|hub| hub), with_admin).await;
        let open = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        running.enter("/ws").await;
        running.metric_becomes("framecast_connections", 0).await;
        let before = open();
        for number in 0..2000 {
            let mut peer = running.raw().await;
            match number % 4 {
                0 => drop(peer),
                1 => peer.reset(),
                2 => {
                    peer.send(&upgrade("/ws", running.addr, "")).await;
                    peer.reset();
                }
                _ => {
                    peer.send(&request("GET /health", running.addr, "", "")).await;
                    peer.rest().await;
                }
            }
        }
        running.metric_becomes("framecast_connections", 0).await;
        let closed = async {
            while open() > before {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, closed).await.expect("all files are closed");
        running.enter("/ws").await;
    });
}

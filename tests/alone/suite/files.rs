//! A process that has run out of file descriptors.

use std::{fs::File, time::Duration};

use framecast::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::{Instant, sleep, timeout};

use super::{
    alone, cpu,
    peer::{PING, PONG, REQUEST, frame},
    server::Server,
};

/// Nobody gets in while there is no file to be had, nobody is lost who was in, no core is burnt, and it goes on by itself
/// · catalogue: FT-20, V-88
#[test]
fn a_listener_waits_out_emfile_without_spinning() {
    alone(async {
        let config = Config::builder().connections_max(Some(1000)).handshakes_max(Some(100));
        let server = Server::with_config(config.build().expect("valid"));
        let mut early = server.open().await;

        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: limit.maximum }).expect("lower");
        let mut files = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            files.push(file);
        }
        // One for a client of ours, none for the server.
        files.pop();
        let mut waiting = server.connect().await;
        waiting.send(REQUEST).await;
        let (before, started) = (cpu(), Instant::now());
        sleep(Duration::from_secs(2)).await;
        let (used, elapsed) = (cpu() - before, started.elapsed());
        assert!(used < elapsed / 20, "{used:?} of CPU in {elapsed:?}");
        if let Some(remote) = server.remote() {
            let errors = remote.numbers().accept_errors;
            assert!((2..40).contains(&errors), "{errors} accepts failed in two seconds");
        }
        early.send(&frame(PING, b"")).await;
        assert_eq!(early.next().await, Some((PONG, vec![])));

        drop(files);
        let head = timeout(Duration::from_secs(3), waiting.head()).await.expect("in a second");
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        early.send(&frame(PING, b"")).await;
        assert_eq!(early.next().await, Some((PONG, vec![])));
        setrlimit(Resource::Nofile, limit).expect("as it was");
    });
}

//! A crowd that keeps sockets open and has nothing to say.

use std::time::Duration;

use framecast_hub::Server;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{alone, cpu, support::*};

/// As many of each kind as the catalogue asks for, or as there are files for: both ends are here.
fn size() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let files = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| files as usize);
    2000.min((files - 200) / 4)
}

/// Some are silent, some send a byte of their head now and then; the oldest make way, and all are gone when their time is up
/// · catalogue: DS-02, DS-03, DS-07, G-10
#[test]
fn thousands_of_silent_and_dripping_sockets_keep_nobody_out() {
    alone(async {
        let engine = Server::engine().handshake_within(Duration::from_secs(4)).build().expect("it can be");
        let running = Running::of(hub(|hub| hub), |server| with_admin(server).engine(engine)).await;
        let mut early = running.inside("r").await;
        let size = size();
        let mut crowd = Vec::new();
        for number in 0..2 * size {
            let mut stream = TcpStream::connect(running.addr).await.expect("it listens");
            if number % 2 == 0 {
                let _ = stream.write_all(b"G").await;
            }
            crowd.push(stream);
        }
        let begun = Instant::now();
        for _ in 0..3 {
            for stream in crowd.iter_mut().step_by(2) {
                // An error: it had to go.
                let _ = stream.write_all(b"G").await;
            }
            let started = Instant::now();
            let honest = running.enter("/ws").await;
            let elapsed = started.elapsed();
            assert!(elapsed < Duration::from_secs(1), "an honest client was let in after {elapsed:?}");
            say(&honest, r#"{"type":"message","room":"r","payload":"hi"}"#).await;
            assert!(hear(&mut early).await.contains(r#""payload":"hi""#));
            sleep(Duration::from_millis(300)).await;
        }
        let crowded = running.metric("framecast_refused_total{reason=\"crowded\"}").await;
        assert!(crowded as usize + 1024 >= 2 * size, "{crowded} of {} had to go", 2 * size);
        for mut stream in crowd {
            let mut end = Vec::new();
            let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut end);
            // Be it by a reset.
            let _ = timeout(SOON, read).await.expect("it is cut");
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        let (used, idle) = (cpu(), Instant::now());
        sleep(Duration::from_millis(500)).await;
        let used = cpu() - used;
        assert!(used < idle.elapsed() / 10, "{used:?} of CPU when all is over");
    });
}

//! One that floods, and one beside it that minds its own business.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use framecast::WebSocket;
use tokio::time::interval;

use crate::{alone, support::*};

/// The 99th percentile of what its pings take, 20 a second: in the CPU time of the one worker, which is the server's too.
async fn p99(ws: &mut WebSocket) -> Duration {
    let mut ticks = interval(Duration::from_millis(50));
    let mut took = Vec::new();
    for _ in 0..50 {
        ticks.tick().await;
        let started = cpu_of_worker();
        say(ws, r#"{"type":"ping"}"#).await;
        assert!(hear(ws).await.starts_with(r#"{"type":"pong""#));
        took.push(cpu_of_worker() - started);
    }
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

/// Connects, sends as fast as it is read, and comes again when it was cut; how many it sent.
fn attack(addr: SocketAddr, input: &[u8], is_over: &AtomicBool, sent: &AtomicU64) {
    while !is_over.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(addr) else { continue };
        stream.set_write_timeout(Some(Duration::from_millis(200))).expect("there is one");
        let mut answers = stream.try_clone().expect("there is a file");
        let reader =
            thread::spawn(move || while answers.read(&mut [0; 64 << 10]).is_ok_and(|read| read > 0) {});
        let _ = stream.write_all(&upgrade("/ws", addr, ""));
        while !is_over.load(Ordering::Relaxed) && stream.write_all(input).is_ok() {
            sent.fetch_add(1, Ordering::Relaxed);
        }
        let _ = stream.shutdown(Shutdown::Both);
        let _ = reader.join();
    }
}

/// catalogue: DS-18, G-2
#[test]
fn who_floods_takes_nobody_elses_time() {
    alone(async {
        let running = Running::of(hub(|hub| hub), with_admin).await;
        let mut bystander = running.enter("/ws").await;
        let baseline = p99(&mut bystander).await;
        for text in [
            r#"{"type":"ping"}"#,
            "{",
            r#"{"type":"message","room":"r","payload":1}"#,
            r#"{"type":"subscribe","room":"a:*"}"#,
            r#"{"jsonrpc":"2.0","method":"rooms.list","id":1}"#,
        ] {
            let (is_over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
            let attacker = {
                let (addr, input) = (running.addr, frame(TEXT, text.as_bytes()).repeat(256));
                let (is_over, sent) = (is_over.clone(), sent.clone());
                thread::spawn(move || attack(addr, &input, &is_over, &sent))
            };
            let flooded = p99(&mut bystander).await;
            is_over.store(true, Ordering::Relaxed);
            // Which waits for answers of the server's: not in its own thread.
            tokio::task::spawn_blocking(|| attacker.join())
                .await
                .expect("it ends")
                .expect("it does not panic");
            assert!(sent.load(Ordering::Relaxed) > 10, "nobody has flooded");
            let most = (2 * baseline).max(baseline + SLACK);
            assert!(flooded <= most, "{text}: p99 is {flooded:?}, and {baseline:?} without the flood");
        }
    });
}

/// As the catalogue has it; what is not optimized takes many times as long, and differs from run to run.
const SLACK: Duration = Duration::from_millis(if cfg!(debug_assertions) { 250 } else { 10 });

//! What it costs: one write for what gathered, and nobody woken who has nothing to do.

use framecast::broadcast::Subscription;
use tokio::io::AsyncReadExt;

use super::{
    peer::{TEXT, bare_frame, frame},
    server::{On, Setup},
};

/// What one read brought and was published leaves for each subscriber in one write: its client reads once.
#[tokio::test]
async fn what_one_read_brings_reaches_each_subscriber_in_one_write() {
    const SUBSCRIBERS: usize = 10;
    let setup = Setup { threads: 1, ..Setup::default() }.does(|on, at| match on {
        On::Open => drop(at.member.subscribe("room", Subscription::new()).expect("open")),
        On::Message(text) => drop(at.topics.publish("room", text.to_owned()).expect("room")),
        _ => {}
    });
    let mut server = setup.start();
    let mut opened = server.open_many(SUBSCRIBERS).await;
    let (mut publisher, _) = server.open().await;
    for round in 0..20 {
        let texts: Vec<String> = (0..8).map(|at| format!("{round} {at}")).collect();
        let sent: Vec<u8> = texts.iter().flat_map(|text| frame(TEXT, text.as_bytes())).collect();
        let expected: Vec<u8> = texts.iter().flat_map(|text| bare_frame(TEXT, text.as_bytes())).collect();
        publisher.send(&sent).await;
        for (at, (peer, _)) in opened.iter_mut().enumerate() {
            let mut read = vec![0; 4096];
            let bytes = peer.stream.read(&mut read).await.expect("open");
            // The first on tokio is by the connection's own task, which shares its socket from then on.
            assert_eq!(read[..bytes], expected, "round {round}, subscriber {at}");
        }
        let mut own = vec![0; expected.len()];
        publisher.stream.read_exact(&mut own).await.expect("open");
        assert_eq!(own, expected);
    }
}

//! Pings are answered and asked, whatever the application does.

use framecast::{
    CloseCode, Config, Initiator, Message, WebSocket,
    proto::{Cause, Limit, LimitError, ProtocolError},
};
use tokio::time::{Duration, Instant, sleep, timeout};

use crate::support::{CLOSE, PING, PONG, accept, connect, frame, run};

async fn pings_are_answered<F>(handler: impl FnOnce(WebSocket) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (mut peer, _running, _) = run(Config::default(), handler).await;
    for n in 0..10_u8 {
        peer.send(&frame(PING, &[n; 125])).await;
        assert_eq!(peer.next().await, Some((PONG, vec![n; 125])));
    }
}

/// RFC 6455 §5.5.2
#[tokio::test]
async fn pings_are_answered_while_the_application_only_reads() {
    pings_are_answered(async |mut ws: WebSocket| while ws.recv().await.is_some() {}).await;
}

/// RFC 6455 §5.5.2
#[tokio::test]
async fn pings_are_answered_while_the_application_only_writes() {
    let (mut peer, _running, _) = run(Config::default(), async |ws: WebSocket| {
        while ws.send(Message::binary(vec![0; 10])).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    peer.send(&frame(PING, b"there?")).await;
    while peer.next().await.expect("a pong some time") != (PONG, b"there?".to_vec()) {}
}

/// RFC 6455 §5.5.2
#[tokio::test]
async fn pings_are_answered_while_the_application_only_holds_the_socket() {
    pings_are_answered(async |_ws: WebSocket| std::future::pending().await).await;
    let (_ws, mut peer, _) = accept(Config::default()).await;
    peer.send(&frame(PING, b"there?")).await;
    assert_eq!(peer.next().await, Some((PONG, b"there?".to_vec())));
}

/// RFC 6455 §5.5.2 · catalogue: FT-06, DS-05
#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_then_told_1008() {
    let opened = Instant::now();
    let (ws, mut peer, _) = accept(Config::default()).await;
    assert_eq!(peer.next().await.expect("a ping").0, PING);
    let pinged = opened.elapsed().as_secs_f64();
    assert!((16.0..=24.1).contains(&pinged), "{pinged}");
    let (opcode, payload) = peer.next().await.expect("a Close");
    assert_eq!((opcode, &payload[..2]), (CLOSE, &1008_u16.to_be_bytes()[..]));
    let closed = opened.elapsed().as_secs_f64() - pinged;
    assert!((19.9..=20.1).contains(&closed), "{closed}");
    let end = ws.closed().await;
    let limit = LimitError { limit: Limit::Pong, value: 20_000 };
    assert_eq!(end.cause, Cause::Protocol(ProtocolError::Limit(limit)));
    assert_eq!((end.code, end.initiator, end.clean), (CloseCode::POLICY, Initiator::Local, false));
}

/// catalogue: DS-22, DS-24
#[tokio::test(start_paused = true)]
async fn pings_and_wrong_pongs_of_its_own_do_not_save_a_peer() {
    let opened = Instant::now();
    let (ws, mut peer, _) = accept(Config::default()).await;
    let noise = async {
        loop {
            sleep(Duration::from_secs(1)).await;
            peer.send(&[frame(PING, b"me"), frame(PONG, b"wrong")].concat()).await;
        }
    };
    let end = tokio::select! {
        end = ws.closed() => end,
        () = noise => unreachable!(),
    };
    assert_eq!(end.code, CloseCode::POLICY, "{end} {:?} {:?}", ws.stats(), opened.elapsed());
}

/// RFC 6455 §5.5.3 · catalogue: FT-06
#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_lives_for_an_hour() {
    let (ws, mut peer, _) = accept(Config::default()).await;
    let mut pings = 0;
    let answering = async {
        loop {
            let (opcode, payload) = peer.next().await.expect("open");
            assert_eq!(opcode, PING);
            pings += 1;
            sleep(Duration::from_secs(15)).await;
            peer.send(&frame(PONG, &payload)).await;
        }
    };
    assert!(timeout(Duration::from_secs(3600), answering).await.is_err());
    assert!(ws.sender().is_open());
    assert!((90..=225).contains(&pings), "{pings} pings");
    let round_trip = ws.stats().round_trip.expect("measured").as_secs_f64();
    assert!((14.9..15.1).contains(&round_trip), "{round_trip}");
}

/// RFC 6455 §5.5.2
#[tokio::test(start_paused = true)]
async fn a_client_pings_too() {
    let (ws, mut peer) = connect(Config::default(), b"").await;
    let (opcode, payload) = peer.next().await.expect("a ping");
    assert_eq!(opcode, PING);
    let pong = peer.frame(PONG, &payload);
    peer.send(&pong).await;
    sleep(Duration::from_secs(14)).await;
    assert!(ws.sender().is_open() && ws.stats().round_trip.is_some());
}

/// catalogue: DS-05
#[tokio::test(start_paused = true)]
async fn connections_that_opened_together_do_not_ping_together() {
    let mut times = Vec::new();
    for _ in 0..20 {
        let opened = Instant::now();
        let (_ws, mut peer, _) = accept(Config::default()).await;
        peer.next().await.expect("a ping");
        times.push(opened.elapsed().as_millis());
    }
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 15, "{times:?}");
}

/// An application's ping · DESIGN "The core"
#[tokio::test]
async fn an_applications_ping_leaves_at_once() {
    let (ws, mut peer, _) = accept(Config::default()).await;
    ws.sender().ping(b"mine").expect("open");
    assert_eq!(peer.next().await, Some((PING, b"mine".to_vec())));
}

/// A message that drips in is given up; here at the default's time, by a paused clock · catalogue: DS-17
#[tokio::test(start_paused = true)]
async fn a_message_that_drips_in_is_told_1008() {
    let (ws, mut peer, _) = accept(Config::default()).await;
    peer.send(&frame(1, &[b'x'; 5000])[..100]).await;
    let started = Instant::now();
    assert_eq!(ws.closed().await.code, CloseCode::POLICY);
    assert!((30..=31).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

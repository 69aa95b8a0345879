//! Members whose streams cannot be written to from elsewhere: their own tasks write, and no wake-up is lost between the two.

use std::time::Duration;

use framecast::{
    Acceptor, Config, Endpoint, WebSocket,
    broadcast::{ConflateBy, OverflowPolicy, Subscription, Topics},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, duplex},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

use crate::suite::{DEADLINE, Peer, close, watchdog};

fn acceptor() -> Acceptor {
    let config = Config::builder().write_stall_after(Duration::from_secs(600)).build().expect("valid");
    Acceptor::new(config, Endpoint::new())
}

async fn serve<S>(stream: S, topics: Topics, subscription: Subscription, joined: mpsc::UnboundedSender<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handler = |mut ws: WebSocket| async move {
        let member = ws.join(&topics);
        member.subscribe("room", subscription).expect("open");
        joined.send(()).expect("the test waits");
        while ws.recv().await.is_some() {}
    };
    acceptor().run(stream, handler).await.expect("a handshake");
}

fn message(round: usize, number: usize) -> String {
    format!("{round} {number:01000}")
}

async fn open(
    buffer: usize,
    topics: &Topics,
    serving: &mut JoinSet<()>,
    joined: &mut (mpsc::UnboundedSender<()>, mpsc::UnboundedReceiver<()>),
) -> Peer<DuplexStream> {
    open_with(Subscription::new(), buffer, topics, serving, joined).await
}

async fn open_with(
    subscription: Subscription,
    buffer: usize,
    topics: &Topics,
    serving: &mut JoinSet<()>,
    joined: &mut (mpsc::UnboundedSender<()>, mpsc::UnboundedReceiver<()>),
) -> Peer<DuplexStream> {
    let (ours, theirs) = duplex(buffer);
    serving.spawn(serve(theirs, topics.clone(), subscription, joined.0.clone()));
    let peer = Peer::open(ours).await;
    joined.1.recv().await.expect("it runs");
    peer
}

/// Tiny buffers, so that each is behind again and again, and slow readers and fast ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_write_by_themselves_get_everything_however_often_they_fall_behind() {
    watchdog();
    const ROUNDS: usize = 4;
    const MESSAGES: usize = 400;
    let topics = Topics::new();
    let (mut serving, mut joined) = (JoinSet::new(), mpsc::unbounded_channel());
    let (done, mut all_done) = mpsc::unbounded_channel();
    let mut reading = JoinSet::new();
    for at in 0..16 {
        let mut peer = open([1, 64, 1000, 8000][at % 4].max(97), &topics, &mut serving, &mut joined).await;
        let done = done.clone();
        reading.spawn(async move {
            for round in 0..ROUNDS {
                for number in 0..MESSAGES {
                    assert_eq!(peer.next_text().await, message(round, number));
                    if at % 3 == 0 && number % 16 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                done.send(round).expect("the test waits");
            }
            peer.send(&close(1000, "")).await;
            assert_eq!(peer.next_close().await, 1000);
        });
    }
    for round in 0..ROUNDS {
        for number in 0..MESSAGES {
            topics.publish("room", message(round, number)).expect("room");
            if round % 2 == 1 && number % 50 == 0 {
                tokio::task::yield_now().await;
            }
        }
        for _ in 0..16 {
            let done = timeout(DEADLINE, all_done.recv()).await.expect("no wake-up is lost");
            assert_eq!(done, Some(round));
        }
    }
    while let Some(read) = reading.join_next().await {
        read.expect("all came");
    }
    while let Some(served) = serving.join_next().await {
        served.expect("no panic");
    }
    assert_eq!(topics.list("", "", 10), []);
}

/// One that is far behind, and reads on only then.
#[tokio::test]
async fn who_was_far_behind_gets_the_rest_once_it_reads() {
    watchdog();
    const MESSAGES: usize = 800;
    let topics = Topics::new();
    let (mut serving, mut joined) = (JoinSet::new(), mpsc::unbounded_channel());
    let mut peer = open(512, &topics, &mut serving, &mut joined).await;
    for round in 0..3 {
        for number in 0..MESSAGES {
            let published = topics.publish("room", message(round, number)).expect("room").await;
            assert_eq!((published.queued, published.dropped), (1, 0), "{number}");
        }
        for number in 0..MESSAGES {
            let text = timeout(DEADLINE, peer.next_text()).await.expect("no wake-up is lost");
            assert_eq!(text, message(round, number));
        }
    }
}

/// Its records hide from everybody but its own task what the socket takes.
#[cfg(feature = "tls")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_over_tls_get_everything_too() {
    use std::sync::Arc;

    use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::PrivatePkcs8KeyDer};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    watchdog();
    const MESSAGES: usize = 900;
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![own.cert.der().clone()], key.into()).expect("a pair");
    let tls = TlsAcceptor::from(Arc::new(config));
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).expect("a certificate");
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let client = TlsConnector::from(Arc::new(client));

    let topics = Topics::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let (joined_to, mut joined) = mpsc::unbounded_channel();
    let serving = tokio::spawn({
        let topics = topics.clone();
        async move {
            for _ in 0..6 {
                let (stream, _) = listener.accept().await.expect("a client");
                let (tls, topics, joined) = (tls.clone(), topics.clone(), joined_to.clone());
                tokio::spawn(async move {
                    serve(
                        tls.accept(stream).await.expect("a handshake"),
                        topics,
                        Subscription::new(),
                        joined,
                    )
                    .await;
                });
            }
        }
    });
    let mut reading = JoinSet::new();
    for _ in 0..6 {
        let stream = TcpStream::connect(addr).await.expect("a server");
        let name = "localhost".try_into().expect("a name");
        let mut peer = Peer::open(client.connect(name, stream).await.expect("a handshake")).await;
        joined.recv().await.expect("it runs");
        reading.spawn(async move {
            for number in 0..MESSAGES {
                assert_eq!(peer.next_text().await, message(0, number));
            }
        });
    }
    serving.await.expect("all came");
    for number in 0..MESSAGES {
        topics.publish("room", message(0, number)).expect("room");
    }
    while let Some(read) = timeout(DEADLINE, reading.join_next()).await.expect("in time") {
        read.expect("all came");
    }
}

/// Its outbox is no way around the policy: what cannot leave yet waits where a newer one replaces it, whether each message has a
/// turn of its own or all are of one.
#[tokio::test]
async fn a_bound_holds_where_only_the_connections_own_task_writes() {
    watchdog();
    const LAST: usize = 999;
    for turn_each in [true, false] {
        let topics = Topics::new();
        let (mut serving, mut joined) = (JoinSet::new(), mpsc::unbounded_channel());
        let newest = Subscription::new().policy(OverflowPolicy::Conflate(ConflateBy::Topic));
        let mut peer = open_with(newest, 256, &topics, &mut serving, &mut joined).await;
        for number in 0..=LAST {
            let publishing = topics.publish("room", message(0, number)).expect("room");
            if turn_each {
                publishing.await;
            }
        }
        let (mut got, last) = (0, message(0, LAST));
        while peer.next_text().await != last {
            got += 1;
        }
        // What the stream has taken, and what its task had begun to write.
        assert!(got <= 2, "{got} older ones, {turn_each}");
        peer.send(&close(1000, "")).await;
        assert_eq!(peer.next_close().await, 1000);
    }
}

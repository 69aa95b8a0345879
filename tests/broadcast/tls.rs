//! Members whose frames are put into records: what the socket takes is no measure of what they take.

use std::{sync::Arc, thread, time::Duration};

use framecast::{
    Config, Endpoint,
    broadcast::{Subscription, Topics},
    reactor::{Handler, Reactor, WebSocket},
};
use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::PrivatePkcs8KeyDer};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::suite::{DEADLINE, Peer, close, until, watchdog};

struct Room;

impl Handler for Room {
    type Data = ();

    fn open(&mut self, ws: &mut WebSocket<'_, ()>) {
        ws.subscribe("room", Subscription::new()).expect("the reactor has topics");
    }
}

fn message(number: usize) -> String {
    format!("{number:016384}")
}

#[tokio::test]
async fn members_over_tls_get_everything_also_when_they_were_behind() {
    watchdog();
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let config = ServerConfig::builder().with_no_client_auth();
    let tls = config.with_single_cert(vec![own.cert.der().clone()], key.into()).expect("a pair");
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).expect("a certificate");
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let client = TlsConnector::from(Arc::new(client));

    let topics = Topics::new();
    let config = Config::builder()
        .write_stall_after(Duration::from_secs(600))
        .ping_every(None)
        .build()
        .expect("valid");
    let reactor = Reactor::new(config, Endpoint::new()).tls(Arc::new(tls)).topics(&topics);
    let bound = reactor.bind("127.0.0.1:0").expect("a port");
    let (addr, remote) = (bound.local_addr(), bound.remote());
    let running = thread::spawn(move || bound.run(|_| Room));

    let open = async |stream: TcpStream| {
        let name = "localhost".try_into().expect("a name");
        Peer::open(client.connect(name, stream).await.expect("a handshake")).await
    };
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(open(TcpStream::connect(addr).await.expect("a server")).await);
    }
    let narrow = TcpSocket::new_v4().expect("a socket");
    narrow.set_recv_buffer_size(4096).expect("an option of it");
    let mut slow = open(narrow.connect(addr).await.expect("a server")).await;
    until("all have subscribed", || topics.members("room") == 4).await;
    for round in 0..2 {
        let (mut number, mut waiting) = (0, 0);
        while waiting < 30 {
            let published = topics.publish("room", message(number)).expect("room").await;
            assert_eq!((published.subscribers(), published.dropped), (4, 0), "{number} of {round}");
            for reader in &mut readers {
                assert_eq!(timeout(DEADLINE, reader.next_text()).await.as_deref(), Ok(&*message(number)));
            }
            waiting += published.queued;
            number += 1;
        }
        for number in 0..number {
            let text = timeout(DEADLINE, slow.next_text()).await.expect("it goes on by itself");
            assert!(text == message(number), "{number} of {round}");
        }
    }
    remote.shut_down();
    for mut peer in readers.into_iter().chain([slow]) {
        assert_eq!(peer.next_close().await, 1001);
        peer.send(&close(1001, "")).await;
    }
    running.join().expect("no panic").expect("no error");
    assert_eq!(topics.members("room"), 0);
}

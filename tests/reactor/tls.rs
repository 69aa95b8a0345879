//! TLS by rustls' own buffers, against rustls in tokio's hands.

use std::{sync::Arc, time::Duration};

use framecast::{
    Config, Connector, Endpoint, Message,
    handshake::{ClientRequest, Url},
    proto::Cause,
    reactor::Reactor,
};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_rustls::TlsConnector;

use crate::{
    peer::{BINARY, Peer, REQUEST, TEXT, close, frame},
    support::{Call, Server, narrow, next},
};

fn certified() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = KeyPair::generate().expect("a key");
    let names = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = names.self_signed(&key).expect("signed");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("a certificate");
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate");
    (Arc::new(server), Arc::new(client))
}

/// An echo over TLS that tells its ends.
fn echo(config: Config, tls: Arc<ServerConfig>) -> (Server, mpsc::UnboundedReceiver<(bool, Cause)>) {
    let (tell, told) = mpsc::unbounded_channel();
    let reactor = Reactor::new(config, Endpoint::new().secure(true)).tls(tls);
    let server = Server::with(reactor, move |call, ws| match call {
        Call::Message(text) if text == "binary" => {
            // Large, so that TLS' buffer is full before the message is.
            let _ = ws.send(vec![5; 900_000].as_slice());
        }
        Call::Message(text) => drop(ws.send(text.as_str())),
        Call::Close(end) => drop(tell.send((end.clean, end.cause))),
        _ => {}
    });
    (server, told)
}

async fn connect(server: &Server, client: Arc<ClientConfig>) -> tokio_rustls::client::TlsStream<TcpStream> {
    over_tls(TcpStream::connect(server.addr).await.expect("a server"), client).await
}

async fn over_tls(tcp: TcpStream, client: Arc<ClientConfig>) -> tokio_rustls::client::TlsStream<TcpStream> {
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(client).connect(name, tcp).await.expect("TLS")
}

#[tokio::test]
async fn our_client_talks_and_closes_cleanly_over_tls() {
    let (tls, client) = certified();
    let (server, mut told) = echo(Config::default(), tls);
    let connector = Connector::default().with_tls(client);
    for _ in 0..20 {
        let url = Url::parse(&format!("wss://localhost:{}/", server.addr.port())).expect("a URL");
        let mut ws = connector.connect(ClientRequest::new(url)).await.expect("a server");
        for size in [1, 1000, 100_000] {
            let text = "x".repeat(size);
            ws.send(Message::text(text.as_str())).await.expect("open");
            assert!(ws.recv().await == Some(Message::text(text.as_str())), "another message");
        }
        ws.send(Message::binary(vec![0; 1 << 20])).await.expect("open");
        assert!(ws.recv().await == Some(Message::binary(vec![5; 900_000])), "another message");
        let end = ws.close(framecast::CloseCode::NORMAL, "").await.expect("valid");
        assert!(end.clean);
        assert!(next(&mut told).await.0);
    }
    server.stop();
}

/// catalogue: TL-06
#[tokio::test]
async fn close_notify_ends_it_and_an_end_without_it_is_told_as_1006_with_half_a_message_dropped() {
    let (tls, client) = certified();
    let (server, mut told) = echo(Config::default(), tls);
    let mut peer = Peer::open(connect(&server, client.clone()).await).await;
    peer.send(&[frame(TEXT, b"hi"), close(1000, "")].concat()).await;
    assert_eq!(peer.next_text().await, "hi");
    assert_eq!(peer.next_close().await, 1000);
    let mut rest = Vec::new();
    peer.stream.read_to_end(&mut rest).await.expect("close_notify, or rustls would say so");
    drop(peer);
    assert!(next(&mut told).await.0);

    let mut peer = Peer::open(connect(&server, client).await).await;
    peer.send(&frame(BINARY, &[0; 1000])[..500]).await;
    // TCP's end without TLS'.
    peer.stream.get_mut().0.shutdown().await.expect("open");
    let (clean, cause) = next(&mut told).await;
    assert!(!clean && matches!(cause, Cause::Eof | Cause::Transport(_)), "{cause:?}");
    drop(peer);
    server.stop();
}

/// A 101 that rustls took whole while the socket was full was not known to be out, and the connection never open
/// · catalogue: HS-79
#[tokio::test]
async fn a_101_that_the_socket_does_not_take_at_once_opens_the_connection_when_it_is_out() {
    let (tls, client) = certified();
    let (server, _told) = echo(Config::default(), tls);
    let mut peer = Peer::new(over_tls(narrow(server.addr).await, client).await);
    // rustls takes up to 64 KiB at once.
    let request = String::from_utf8(REQUEST.to_vec()).expect("ASCII").replace("GET / ", "GET /long/60000 ");
    peer.send(request.as_bytes()).await;
    assert!(peer.head().await.starts_with("HTTP/1.1 101 "));
    peer.text("open").await;
    assert_eq!(peer.next_text().await, "open");
    drop(peer);
    server.stop();
}

/// They were told nothing, as the answer cannot leave before TLS' handshake is done · catalogue: HS-53, V-83
#[tokio::test]
async fn who_is_refused_before_its_tls_is_done_is_told_503_behind_it() {
    let (tls, client) = certified();
    let config = Config::builder().connections_max(Some(1)).handshake_within(Duration::from_secs(1));
    let (server, _told) = echo(config.build().expect("valid"), tls);
    let unavailable = async |tcp: TcpStream| {
        let mut refused = Peer::new(over_tls(tcp, client.clone()).await);
        refused.send(REQUEST).await;
        let head = refused.head().await.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 503 ") && head.contains("\r\nretry-after: "), "{head}");
        let mut rest = Vec::new();
        refused.stream.read_to_end(&mut rest).await.expect("close_notify, or rustls would say so");
    };
    let tcp = async || TcpStream::connect(server.addr).await.expect("a server");
    let holder = Peer::open(connect(&server, client.clone()).await).await;
    unavailable(tcp().await).await;
    // Who does not go on with TLS has the handshake's time, and no more.
    let started = Instant::now();
    assert_eq!(Peer::new(tcp().await).rest().await, b"");
    assert!((990..3000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    drop(holder);
    while server.remote.numbers().connections > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let early = tcp().await;
    // There was room for the one, and then no more: it has been taken in.
    unavailable(tcp().await).await;
    server.remote.shut_down();
    while TcpStream::connect(server.addr).await.is_ok() {}
    unavailable(early).await;
    server.stop();
}

/// catalogue: TL-01
#[tokio::test]
async fn a_hello_that_comes_byte_by_byte_is_taken() {
    let (tls, client) = certified();
    let (server, _told) = echo(Config::default(), tls);
    let (mut ours, theirs) = tokio::io::duplex(64 << 10);
    let name = ServerName::try_from("localhost").expect("a name");
    let tcp = TcpStream::connect(server.addr).await.expect("a server");
    tcp.set_nodelay(true).expect("a socket");
    // Between client and server everything goes a byte at a time.
    tokio::spawn(async move {
        let (mut from_server, mut to_server) = tcp.into_split();
        let (mut from_client, mut to_client) = tokio::io::split(&mut ours);
        let up = async {
            let mut byte = [0];
            while from_client.read_exact(&mut byte).await.is_ok() {
                to_server.write_all(&byte).await.expect("it reads");
            }
        };
        let down = async { drop(tokio::io::copy(&mut from_server, &mut to_client).await) };
        tokio::join!(up, down);
    });
    let stream = TlsConnector::from(client).connect(name, theirs).await.expect("TLS");
    let mut peer = Peer::open(stream).await;
    peer.text("bytes").await;
    assert_eq!(peer.next_text().await, "bytes");
    drop(peer);
    server.stop();
}

/// catalogue: TL-02, TL-03, G-10
#[tokio::test]
async fn plain_http_rubbish_and_silence_end_in_time_and_hold_up_nobody() {
    let (tls, client) = certified();
    let config = Config::builder().handshake_within(Duration::from_millis(500)).build().expect("valid");
    let (server, _told) = echo(config, tls);
    let started = Instant::now();
    for bytes in
        [&b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"[..], &[0x16, 3, 1, 0x40, 0][..], &[][..], &[0; 4000][..]]
    {
        let mut tcp = TcpStream::connect(server.addr).await.expect("a server");
        tcp.write_all(bytes).await.expect("it reads");
        let mut rest = Vec::new();
        let _ = tcp.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP"), "no plain answer to it");
    }
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    let mut peer = Peer::open(connect(&server, client).await).await;
    peer.text("in").await;
    assert_eq!(peer.next_text().await, "in");
    drop(peer);
    server.stop();
}

//! `wss://` against a rustls server with a certificate authority of its own.

use std::{io, sync::Arc};

use framecast::{CloseCode, Config, Connector, ErrorKind, Initiator, Message};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    time::{Duration, Instant, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::support::{Peer, acceptor, ask, bare_frame, echo, watchdog};

struct Authority {
    client: Arc<ClientConfig>,
    server: TlsAcceptor,
}

/// An authority, a server with its certificate for `name`, and a client that trusts it.
fn authority(name: &str) -> Authority {
    watchdog();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut params = CertificateParams::new(vec![]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec![name.to_owned()])
        .expect("a name")
        .signed_by(&key, &issuer)
        .expect("signed");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(issuer.der().to_vec())).expect("a CA");
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
    Authority { client: Arc::new(client), server: TlsAcceptor::from(Arc::new(server)) }
}

async fn bound() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

async fn serve_raw(listener: &TcpListener, tls: &TlsAcceptor, more: &[u8]) -> Peer<TlsStream<TcpStream>> {
    let (tcp, _) = listener.accept().await.expect("a client");
    Peer::serve(tls.accept(tcp).await.expect("TLS"), more).await
}

/// RFC 6455 §4.1 item 5, §10.6 · catalogue: CL-43
#[tokio::test]
async fn a_client_and_a_server_talk_and_close_cleanly_over_tls() {
    let Authority { client, server } = authority("localhost");
    let (listener, port) = bound().await;
    let serving = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.expect("a client");
        let tls = server.accept(tcp).await.expect("TLS");
        acceptor(Config::default()).run(tls, echo).await.expect("opened")
    });
    let connector = Connector::default().with_tls(client);
    let mut ws = connector.connect(ask(&format!("wss://localhost:{port}/"))).await.expect("a server");
    for size in [0, 10, 20_000, 1 << 20] {
        ws.send(Message::binary(vec![7; size])).await.expect("open");
        assert_eq!(ws.recv().await, Some(Message::binary(vec![7; size])));
    }
    assert!(ws.close(CloseCode::NORMAL, "").await.expect("valid").clean);
    let (count, end) = timeout(Duration::from_secs(5), serving).await.expect("no hang").expect("no panic");
    assert_eq!((count, end.clean), (4, true));
}

/// RFC 6455 §4.1 item 5: the name in the hello is the URL's host · catalogue: TL-05
#[tokio::test]
async fn a_client_names_the_server_in_its_hello() {
    let Authority { client, server } = authority("localhost");
    let (listener, port) = bound().await;
    let connector = Connector::default().with_tls(client);
    let (ws, peer) = tokio::join!(
        connector.connect(ask(&format!("wss://localhost:{port}/"))),
        serve_raw(&listener, &server, b"")
    );
    ws.expect("a server");
    assert_eq!(peer.stream.get_ref().1.server_name(), Some("localhost"));
}

/// catalogue: TL-05
#[tokio::test]
async fn a_wrong_name_and_an_unknown_authority_are_refused() {
    let Authority { client, server } = authority("localhost");
    let (listener, port) = bound().await;
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.expect("a client");
            assert!(server.accept(tcp).await.is_err(), "the client refuses");
        }
    });
    let stranger = authority("localhost").client;
    for (tls, host) in [(client, "127.0.0.1"), (stranger, "localhost")] {
        let connector = Connector::default().with_tls(tls);
        let error =
            connector.connect(ask(&format!("wss://{host}:{port}/"))).await.expect_err("not to be trusted");
        assert_eq!(error.kind(), ErrorKind::Io(io::ErrorKind::InvalidData), "{error}");
    }
}

/// catalogue: TL-03
#[tokio::test]
async fn a_server_without_tls_is_an_error() {
    let (listener, port) = bound().await;
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.expect("a client");
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await
    });
    let connector = Connector::default().with_tls(authority("localhost").client);
    let error = connector.connect(ask(&format!("wss://localhost:{port}/"))).await.expect_err("no TLS");
    assert!(matches!(error.kind(), ErrorKind::Io(_)), "{error}");
}

/// catalogue: DS-06
#[tokio::test]
async fn a_server_that_says_no_hello_is_given_up() {
    let (listener, port) = bound().await;
    let config = Config::builder().tls_within(Duration::from_millis(200)).build().expect("valid");
    let connector = Connector::new(config).with_tls(authority("localhost").client);
    let error = connector.connect(ask(&format!("wss://localhost:{port}/"))).await.expect_err("no hello");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    drop(listener);
}

/// One deadline for everything, TLS with it · catalogue: HC-11
#[tokio::test]
async fn a_client_gives_up_at_its_one_deadline_although_tls_has_longer() {
    let (listener, port) = bound().await;
    let config = Config::builder()
        .handshake_within(Duration::from_millis(200))
        .tls_within(Duration::from_secs(10))
        .build()
        .expect("valid");
    let connector = Connector::new(config).with_tls(authority("localhost").client);
    let started = Instant::now();
    let error = connector.connect(ask(&format!("wss://localhost:{port}/"))).await.expect_err("no hello");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let took = started.elapsed();
    assert!((200..5_000).contains(&took.as_millis()), "{took:?}");
    drop(listener);
}

/// An end without close_notify may be an attacker's: a half message is never delivered · catalogue: TL-06, CL-43
#[tokio::test]
async fn an_end_without_close_notify_is_told_as_1006_and_half_a_message_is_dropped() {
    let Authority { client, server } = authority("localhost");
    let (listener, port) = bound().await;
    let connector = Connector::default().with_tls(client);
    let whole = bare_frame(1, b"whole");
    let (ws, peer) = tokio::join!(
        connector.connect(ask(&format!("wss://localhost:{port}/"))),
        serve_raw(&listener, &server, &whole)
    );
    let (mut ws, mut peer) = (ws.expect("a server"), peer);
    peer.send(&bare_frame(1, b"half a message")[..6]).await;
    peer.stream.flush().await.expect("sent");
    // TCP ends, TLS does not.
    peer.stream.get_mut().0.shutdown().await.expect("open");
    assert_eq!(ws.recv().await, Some(Message::text("whole")));
    assert_eq!(ws.recv().await, None);
    let end = timeout(Duration::from_secs(5), ws.closed()).await.expect("no hang");
    assert_eq!((end.code, end.initiator, end.clean), (CloseCode::ABNORMAL, Initiator::Transport, false));
}

/// RFC 6455 §7.1.1 · catalogue: CL-43
#[tokio::test]
async fn close_notify_comes_before_the_end_of_tcp() {
    let Authority { client, server } = authority("localhost");
    let (listener, port) = bound().await;
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.expect("a client");
        let tls = server.accept(tcp).await.expect("TLS");
        acceptor(Config::default()).run(tls, async |_ws| {}).await
    });
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.expect("a server");
    let name = "localhost".try_into().expect("a name");
    let tls = tokio_rustls::TlsConnector::from(client).connect(name, tcp).await.expect("TLS");
    let mut peer = Peer::open(tls).await;
    assert_eq!(peer.next_close().await, 1000);
    peer.send(&crate::support::close(1000, "")).await;
    let mut rest = Vec::new();
    use tokio::io::AsyncReadExt;
    // rustls says UnexpectedEof where close_notify is missing.
    peer.stream.read_to_end(&mut rest).await.expect("close_notify");
}

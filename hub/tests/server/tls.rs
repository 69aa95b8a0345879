//! TLS: whoever speaks it is served, with the certificate of the day; whoever does not is refused, and holds nobody up.

use std::{
    fs,
    path::PathBuf,
    process,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use framecast::{
    Connector, WebSocket,
    handshake::{ClientRequest, OriginPolicy, Url},
};
use framecast_hub::{Server, Tls, TlsError};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::support::*;

/// A certificate and its key in files, which go with it.
struct Files {
    folder: PathBuf,
}

impl Files {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("framecast-hub-{}-{number}", process::id()));
        fs::create_dir(&folder).expect("it is nobody's");
        Self { folder }
    }

    fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// Writes another pair, and gives a client that trusts no other.
    fn renew(&self) -> Arc<ClientConfig> {
        let key = KeyPair::generate().expect("it is a key");
        let names = CertificateParams::new(["localhost".to_owned()]).expect("it is a name");
        let certificate = names.self_signed(&key).expect("it can be signed");
        fs::write(self.certificate(), certificate.pem()).expect("there is room");
        fs::write(self.key(), key.serialize_pem()).expect("there is room");
        trusting(certificate.der())
    }

    fn load(&self) -> Result<Tls, TlsError> {
        Tls::from_pem_files(&self.certificate(), &self.key())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn trusting(certificate: &CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("it is a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(client.expect("there are versions").with_root_certificates(roots).with_no_client_auth())
}

async fn with_tls(server: Server, tls: &Tls) -> Running {
    Running::bound(server, |bound| {
        let bound = bound.tls(tls.clone());
        assert_eq!(bound.url(), format!("https://{}/", bound.local_addr()));
        bound
    })
    .await
}

async fn connect(running: &Running, client: &Arc<ClientConfig>) -> Result<WebSocket, framecast::Error> {
    let url = Url::parse(&format!("wss://localhost:{}/ws", running.addr.port())).expect("it is a URL");
    let connector = Connector::default().with_tls(client.clone());
    timeout(SOON, connector.connect(ClientRequest::new(url))).await.expect("it is answered")
}

async fn ping(ws: &mut WebSocket) {
    say(ws, r#"{"type":"ping"}"#).await;
    assert!(hear(ws).await.starts_with(r#"{"type":"pong""#));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_who_comes_and_disturbs_nobody() {
    let files = Files::new();
    let old = files.renew();
    let tls = files.load().expect("it is a pair");
    let running = with_tls(Server::builder(hub(|hub| hub)).build(), &tls).await;
    let mut early = connect(&running, &old).await.expect("it is let in");
    assert!(hear(&mut early).await.starts_with(r#"{"type":"connection_established""#));

    let new = files.renew();
    assert!(connect(&running, &new).await.is_err(), "nothing is read until it is asked for");
    tls.reload().expect("it is a pair");
    let mut late = connect(&running, &new).await.expect("it is let in");
    hear(&mut late).await;
    assert!(connect(&running, &old).await.is_err(), "the old one is shown to nobody");
    ping(&mut early).await;
    ping(&mut late).await;
}

#[tokio::test]
async fn a_certificate_that_is_none_leaves_the_old_one_in_place() {
    let files = Files::new();
    let client = files.renew();
    let tls = files.load().expect("it is a pair");
    let running = with_tls(Server::builder(hub(|hub| hub)).build(), &tls).await;
    let (certificate, key) = (files.certificate(), files.key());
    let good = fs::read(&certificate).expect("it is there");
    let good_key = fs::read(&key).expect("it is there");
    let other = KeyPair::generate().expect("it is a key").serialize_pem();

    let broken: [(&PathBuf, &[u8], Option<&PathBuf>); 6] = [
        (&certificate, b"", Some(&certificate)),
        (&certificate, b"rubbish", Some(&certificate)),
        (&certificate, &good[..good.len() / 2], Some(&certificate)),
        (&certificate, &good_key, Some(&certificate)),
        (&key, &good, Some(&key)),
        (&key, other.as_bytes(), None),
    ];
    for (path, bytes, named) in broken {
        fs::write(path, bytes).expect("there is room");
        let error = tls.reload().expect_err("it is none");
        match (&error, named) {
            (TlsError::File { path, .. }, Some(named)) => {
                assert_eq!(path, named);
                assert!(error.to_string().starts_with(&format!("{}: ", named.display())), "{error}");
            }
            (TlsError::Pair(_), None) => {}
            _ => panic!("{error}"),
        }
        fs::write(&certificate, &good).expect("there is room");
        fs::write(&key, &good_key).expect("there is room");
        hear(&mut connect(&running, &client).await.expect("it is let in")).await;
    }
    fs::remove_file(&key).expect("it is there");
    let error = tls.reload().expect_err("it is gone");
    assert!(
        matches!(&error, TlsError::File { path, source } if *path == key && source.kind() == std::io::ErrorKind::NotFound)
    );
    hear(&mut connect(&running, &client).await.expect("it is let in")).await;
    assert!(files.load().is_err(), "nor does a server start so");
}

/// catalogue: DS-06, DS-07
#[tokio::test]
async fn whoever_speaks_no_tls_is_refused_counted_and_in_nobodys_way() {
    let files = Files::new();
    let client = files.renew();
    let tls = files.load().expect("it is a pair");
    let engine = Server::engine().handshake_within(Duration::from_millis(500)).build().expect("it can be");
    let running = with_tls(Server::builder(hub(|hub| hub)).engine(engine).build(), &tls).await;

    let request = request("GET /health", running.addr, "", "");
    for input in [&request[..], b"\x16\x03\x01\xff\xff\x00", &[0; 1000], b"\x16\x03\x01\x00\x05hello"] {
        let mut peer = running.raw().await;
        peer.send(input).await;
        peer.half_close().await;
        let answer = timeout(SOON, peer.rest()).await.expect("it is refused");
        // An alert at most, and nothing of HTTP.
        assert!(answer.len() < 100 && !answer.starts_with(b"HTTP"), "{answer:?}");
    }
    running.metric_becomes("framecast_refused_total{reason=\"tls\"}", 4).await;

    // Some say nothing, some begin to.
    let mut stuck = Vec::new();
    for number in 0..50 {
        let mut peer = running.raw().await;
        if number % 2 == 0 {
            peer.send(b"\x16\x03\x01\x02\x00\x01").await;
        }
        stuck.push(peer);
    }
    let mut ws = connect(&running, &client).await.expect("it is let in");
    hear(&mut ws).await;
    running.metric_becomes("framecast_refused_total{reason=\"late\"}", 50).await;
    for mut peer in stuck {
        timeout(SOON, peer.rest()).await.expect("it is cut");
    }
    ping(&mut ws).await;
    assert_eq!(running.metric("framecast_refused_total{reason=\"tls\"}").await, 4);
}

/// WebSockets over HTTP/2 are not spoken here: a browser that offers both is to take HTTP/1.1
#[tokio::test]
async fn http_1_1_is_all_that_is_negotiated() {
    let files = Files::new();
    let client = files.renew();
    let tls = files.load().expect("it is a pair");
    let running = with_tls(Server::builder(hub(|hub| hub)).build(), &tls).await;
    for (offer, chosen) in [
        (&[&b"h2"[..], b"http/1.1"][..], Some(&b"http/1.1"[..])),
        (&[], None),
        // Nothing in common is a failure.
        (&[b"h2"], Some(b"")),
    ] {
        let mut client = ClientConfig::clone(&client);
        client.alpn_protocols = offer.iter().map(|name| name.to_vec()).collect();
        let tcp = TcpStream::connect(running.addr).await.expect("it listens");
        let name = "localhost".try_into().expect("it is a name");
        match TlsConnector::from(Arc::new(client)).connect(name, tcp).await {
            Ok(stream) => assert_eq!(stream.get_ref().1.alpn_protocol(), chosen),
            Err(error) => assert!(chosen == Some(b""), "{error}"),
        }
    }
}

/// catalogue: HS-81
#[tokio::test]
async fn a_page_without_tls_is_of_another_origin_where_tls_is_known() {
    let files = Files::new();
    let client = files.renew();
    let tls = files.load().expect("it is a pair");
    let server = Server::builder(hub(|hub| hub)).origins(OriginPolicy::same_origin()).secure(true).build();
    let running = with_tls(server, &tls).await;
    for (scheme, is_in) in [("https", true), ("http", false)] {
        let at = format!("localhost:{}", running.addr.port());
        let url = Url::parse(&format!("wss://{at}/ws")).expect("it is a URL");
        let request = ClientRequest::new(url).header("origin", format!("{scheme}://{at}"));
        let connector = Connector::default().with_tls(client.clone());
        let opened = connector.connect(request.expect("it is a header")).await;
        assert_eq!(opened.is_ok(), is_in, "{scheme}");
    }
}

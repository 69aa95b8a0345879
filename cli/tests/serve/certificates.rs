//! TLS, and a certificate that is replaced.

use std::{fs, net::TcpStream, path::PathBuf, sync::Arc};

use rcgen::CertifiedKey;
use rustix::process::Signal;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};

use crate::{
    client::Client,
    process::{DEADLINE, Serve, file, refused, run},
};

/// A certificate for `localhost`, which stands for itself.
struct Issued {
    pem: String,
    key: String,
    der: CertificateDer<'static>,
}

fn issue() -> Issued {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    Issued { pem: cert.pem(), key: signing_key.serialize_pem(), der: cert.der().clone() }
}

/// Where a server has its certificate and key.
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn with(issued: &Issued) -> Self {
        Self { cert: file("cert.pem", &issued.pem), key: file("key.pem", &issued.key) }
    }

    fn replace(&self, cert: &str, key: &str) {
        fs::write(&self.cert, cert).expect("a file");
        fs::write(&self.key, key).expect("a file");
    }

    fn serve(&self) -> Serve {
        let [cert, key] = [&self.cert, &self.key].map(|path| path.to_str().expect("UTF-8"));
        Serve::start(&["--tls-cert", cert, "--tls-key", key, "--log", "json"])
    }
}

fn trusting(issued: &[&Issued]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    issued.iter().for_each(|issued| roots.add(issued.der.clone()).expect("a certificate"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(config.expect("versions").with_root_certificates(roots).with_no_client_auth())
}

/// The certificate that a new connection is shown.
fn shown(serve: &Serve, trusting: Arc<ClientConfig>) -> CertificateDer<'static> {
    let mut stream = TcpStream::connect(serve.address()).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    let name = ServerName::try_from("localhost").expect("a name");
    let mut tls = ClientConnection::new(trusting, name).expect("a client");
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).expect("TLS");
    }
    tls.peer_certificates().expect("one")[0].clone().into_owned()
}

#[test]
fn sighup_brings_the_new_certificate_and_nobody_is_cut_off() {
    let [old, new] = [issue(), issue()];
    let files = Files::with(&old);
    let serve = files.serve();
    assert!(serve.url.starts_with("https://127.0.0.1:"), "{}", serve.url);
    let both = trusting(&[&old, &new]);
    let mut client = Client::open_over(&serve, "/ws", Some(trusting(&[&old])));
    client.subscribe("news");
    assert_eq!(shown(&serve, both.clone()), old.der);

    // A key that is another's: what was there stays.
    files.replace(&old.pem, &new.key);
    serve.signal(Signal::HUP);
    let line = serve.logs("SIGHUP");
    assert!(
        line.contains(r#""level":"ERROR""#) && line.contains("the certificate stays as it was"),
        "{line}"
    );
    assert_eq!(shown(&serve, both.clone()), old.der);

    files.replace(&new.pem, &new.key);
    serve.signal(Signal::HUP);
    let line = serve.logs("SIGHUP");
    assert!(line.contains(r#""level":"INFO""#) && line.contains("the certificate was read again"), "{line}");
    assert_eq!(shown(&serve, both), new.der);
    let mut other = Client::open_over(&serve, "/ws", Some(trusting(&[&new])));
    other.send(r#"{"type":"message","room":"news","payload":"still here"}"#);
    assert_eq!(client.next()["payload"], "still here");
    serve.signal(Signal::INT);
    assert_eq!(serve.over().0, Some(0));
}

#[test]
fn sighup_without_a_certificate_is_not_the_end() {
    let serve = Serve::start(&[]);
    serve.signal(Signal::HUP);
    serve.logs("SIGHUP: there is no certificate to be read again");
    drop(Client::open(&serve, "/ws"));
}

#[test]
fn publish_trusts_whom_the_system_trusts() {
    let issued = issue();
    let files = Files::with(&issued);
    let serve = files.serve();
    let url = format!("https://localhost:{}/", serve.address().rsplit_once(':').expect("a port").1);
    let arguments = ["publish", "--server", &url, "news", "1"];
    let (status, answer, stderr) = run(&arguments, &[("SSL_CERT_FILE", files.cert.to_str().expect("UTF-8"))]);
    assert_eq!((status, stderr.as_str()), (0, ""), "{answer}");
    let stranger = file("stranger.pem", issue().pem);
    let (status, _, stderr) = run(&arguments, &[("SSL_CERT_FILE", stranger.to_str().expect("UTF-8"))]);
    assert_eq!(status, 3);
    assert!(stderr.starts_with("framecast: cannot publish by localhost:"), "{stderr}");
    assert!(stderr.contains("certificate"), "{stderr}");
}

#[test]
fn a_certificate_that_is_none_is_told() {
    let [cert, key] = [file("cert.pem", "nothing"), file("key.pem", issue().key)];
    let [cert, key] = [&cert, &key].map(|path| path.to_str().expect("UTF-8"));
    let error = refused(&["serve", "--tls-cert", cert, "--tls-key", key], &[]);
    assert!(error.contains(cert), "{error}");
}

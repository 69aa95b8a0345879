//! `wss://` for the client, over rustls.

use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use ::tokio::{net::TcpStream, time::timeout};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio_rustls::TlsConnector;

use super::{error::Error, stream::Stream};

/// TLS to `host`, whose name the certificate must bear (RFC 6455 §4.1 item 5; catalogue: TL-05).
pub(super) async fn connect(
    tls: Arc<ClientConfig>,
    host: &str,
    tcp: TcpStream,
    within: Duration,
) -> Result<Stream, Error> {
    let name = ServerName::try_from(host.to_owned()).map_err(Error::invalid)?;
    let handshake = TlsConnector::from(tls).connect(name, tcp);
    let stream = timeout(within, handshake).await.map_err(|_| Error::timeout())??;
    Ok(Stream::Tls(Box::new(stream)))
}

/// Trusts what the system trusts. It is read once: that takes milliseconds of disk.
pub(super) fn system_config() -> io::Result<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    let config = load_system_config()?;
    Ok(CONFIG.get_or_init(|| config).clone())
}

fn load_system_config() -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the system has no certificates to trust"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

//! One POST, by HTTP/1.1 over TCP or TLS, and its answer.

use std::{sync::Arc, time::Duration};

use framecast_hub::Secret;
use http::{
    Request, StatusCode, Uri,
    header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// There can be no such request.
    Options(String),
    /// It could not be reached, or its answer makes no sense.
    Server(String),
}

/// Posts JSON; the answer's status and body.
pub(super) async fn post(
    server: &Uri,
    path: &str,
    token: Option<&Secret>,
    payload: String,
) -> Result<(StatusCode, Vec<u8>), Unanswered> {
    let request = request(server, path, token, payload)?;
    match timeout(WITHIN, exchange(server, request)).await {
        Ok(answer) => answer,
        Err(_) => Err(Unanswered::Server(format!("no answer within {} s", WITHIN.as_secs()))),
    }
}

fn request(
    server: &Uri,
    path: &str,
    token: Option<&Secret>,
    payload: String,
) -> Result<Request<Full<bytes::Bytes>>, Unanswered> {
    let host = server.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let mut request = Request::post(path)
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "close");
    if let Some(token) = token {
        let value = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        let mut value = value.map_err(|_| Unanswered::Options("--admin-token: is not a token".to_owned()))?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    request.body(Full::from(payload)).map_err(|error| Unanswered::Options(error.to_string()))
}

async fn exchange(
    server: &Uri,
    request: Request<Full<bytes::Bytes>>,
) -> Result<(StatusCode, Vec<u8>), Unanswered> {
    let is_tls = server.scheme_str() == Some("https");
    // Brackets are for URLs.
    let host = server.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = server.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let tcp = TcpStream::connect((host, port)).await.map_err(failed)?;
    if !is_tls {
        return talk(tcp, request).await;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(failed)?;
    let tls = TlsConnector::from(Arc::new(trusting()?)).connect(name, tcp).await.map_err(failed)?;
    talk(tls, request).await
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<bytes::Bytes>>,
) -> Result<(StatusCode, Vec<u8>), Unanswered> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(failed)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|error| Unanswered::Server(error.to_string()))?;
    connection.abort();
    Ok((status, body.to_bytes().into()))
}

/// Whom the system trusts, or `SSL_CERT_FILE`.
fn trusting() -> Result<ClientConfig, Unanswered> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(Unanswered::Server("no certificate authority is trusted here".to_owned()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(failed)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The innermost reason says most, and the outer ones little.
fn failed(error: impl std::error::Error + 'static) -> Unanswered {
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    Unanswered::Server(innermost.to_string())
}

/// From the look-up to the answer's last byte.
const WITHIN: Duration = Duration::from_secs(30);
const BODY_BYTES_MAX: usize = 1 << 20;

//! TLS by rustls, with a certificate that can be replaced while the server runs: who is connected stays so.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;

/// A certificate and its key, from files; a clone is a reference count.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Files>);

#[derive(Debug)]
struct Files {
    certificates: PathBuf,
    key: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
}

/// Why a certificate cannot be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or has no such thing in it.
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The two do not go together.
    Pair(rustls::Error),
}

impl Tls {
    /// The chain of certificates, the server's own first, and its private key, both as PEM.
    ///
    /// # Errors
    /// A file that cannot be read or has nothing of that kind; a key that is not the certificate's.
    pub fn from_pem_files(certificates: &Path, key: &Path) -> Result<Self, TlsError> {
        let config = RwLock::new(load(certificates, key)?);
        Ok(Self(Arc::new(Files { certificates: certificates.into(), key: key.into(), config })))
    }

    /// Reads the files again; connections that come from now on have what is in them.
    ///
    /// # Errors
    /// As [`from_pem_files`](Self::from_pem_files); then all stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = load(&self.0.certificates, &self.0.key)?;
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.0.config.read().unwrap_or_else(PoisonError::into_inner).clone().into()
    }
}

fn load(certificates: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = CertificateDer::pem_file_iter(certificates).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain =
        chain.and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) });
    let chain = chain.map_err(|error| of_file(certificates, error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| of_file(key, error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(TlsError::Pair)?;
    // A browser that is offered HTTP/2 asks for nothing else, and WebSockets over it are not spoken here.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn of_file(path: &Path, error: pem::Error) -> TlsError {
    let source = match error {
        pem::Error::Io(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
    };
    TlsError::File { path: path.into(), source }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Pair(error) => write!(f, "certificate and key do not go together: {error}"),
        }
    }
}

impl Error for TlsError {}

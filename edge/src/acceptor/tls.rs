//! The edge's certificate, where it has one of its own.

use std::{path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read as PEM.
    #[error("{path} holds no {what} that can be read")]
    File {
        /// Which file.
        path: String,
        /// What was expected.
        what: &'static str,
        /// Why.
        source: pem::Error,
    },

    /// The two do not fit each other.
    #[error("the certificate and its key cannot be used")]
    Pair(#[from] rustls::Error),
}

/// Reads a certificate chain and its key, both PEM.
///
/// # Errors
/// When a file cannot be read, or the key is not the certificate's.
pub fn config(certificates: &Path, key: &Path) -> Result<Arc<ServerConfig>, Error> {
    let wrong = |path: &Path, what| {
        let path = path.display().to_string();
        move |source| Error::File { path, what, source }
    };
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(wrong(certificates, "certificates"))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(wrong(key, "private key"))?;
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring serves the default versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    // WebSocket upgrades are of HTTP/1.1, and `Guarded` reads nothing else.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

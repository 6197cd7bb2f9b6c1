//! Whom we trust over TLS: the same for sockets and for HTTP.
//!
//! The roots are compiled in, so that nothing is read at the start of a program and a machine
//! without a store of its own works. A deployment with a certificate authority of its own is
//! trusted through `SSL_CERT_FILE`, which names a PEM file whose certificates are trusted as well.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

/// The environment variable that names more certificates to trust.
pub const VARIABLE: &str = "SSL_CERT_FILE";

/// Chooses ring for TLS, once; two providers may be linked, and then nothing chooses by itself.
pub fn install() {
    // It fails only if somebody chose before us, which is as good.
    let _ = default_provider().install_default();
}

/// How we connect over TLS. Made at the first use.
pub fn config() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    CONFIG.get_or_init(|| Arc::new(make())).clone()
}

/// The file of more certificates, if one is named.
pub fn file() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).filter(|file| !file.is_empty()).map(PathBuf::from)
}

fn make() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(file) = file() {
        match CertificateDer::pem_file_iter(&file) {
            Ok(read) => {
                let (_, n_ignored) = roots.add_parsable_certificates(read.flatten());
                if n_ignored > 0 {
                    warn!(?file, n_ignored, "certificates in {VARIABLE} cannot be read");
                }
            }
            Err(error) => warn!(?file, %error, "{VARIABLE} cannot be read"),
        }
    }
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring serves the protocol versions that rustls chooses")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

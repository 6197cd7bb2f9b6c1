//! Whom we trust over TLS: the roots that are compiled in, and those of `SSL_CERT_FILE`, as the
//! client does.

use std::env;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use skein_wire::limit::FETCH_HOSTS_KEPT_MAX;
use tracing::warn;

/// The environment variable that names more certificates to trust.
const VARIABLE: &str = "SSL_CERT_FILE";
/// Hosts whose last session can be resumed, which costs a fraction of a new one: more than those
/// that a connection is kept to.
const RESUMED_MAX: usize = 8 * FETCH_HOSTS_KEPT_MAX;

/// The certificates that are trusted.
pub(crate) fn roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(file) = env::var_os(VARIABLE).filter(|file| !file.is_empty()) {
        add(&mut roots, Path::new(&file));
    }
    roots
}

fn add(roots: &mut RootCertStore, file: &Path) {
    match CertificateDer::pem_file_iter(file) {
        Ok(read) => {
            let (_, n_ignored) = roots.add_parsable_certificates(read.flatten());
            if n_ignored > 0 {
                warn!(?file, n_ignored, "certificates in {VARIABLE} cannot be read");
            }
        }
        Err(error) => warn!(?file, %error, "{VARIABLE} cannot be read"),
    }
}

/// How connections that trust these are made.
pub(crate) fn config(roots: RootCertStore) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring serves the protocol versions that rustls chooses")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(RESUMED_MAX);
    config
}

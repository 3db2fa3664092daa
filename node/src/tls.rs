//! TLS of what a node calls outside: webhooks, and databases that projections fold into.

use std::sync::{Arc, LazyLock};

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tracing::warn;

/// Trusts whom the system trusts, or whom `SSL_CERT_FILE` and `SSL_CERT_DIR` name. Without any, no server is trusted.
pub(crate) fn client_config() -> ClientConfig {
    static CONFIG: LazyLock<ClientConfig> = LazyLock::new(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            warn!(%error, "certificates of the system cannot be read");
        }
        let mut trusted = RootCertStore::empty();
        trusted.add_parsable_certificates(found.certs);
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks the versions of rustls")
            .with_root_certificates(trusted)
            .with_no_client_auth()
    });
    CONFIG.clone()
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! The TLS policy, in one place.
//!
//! TLS 1.3 only (RFC 8446); AES-256-GCM, then ChaCha20-Poly1305, in the appliance's order; hybrid post-quantum
//! key exchange first. Nothing outlives a connection: no tickets, no resumption, no 0-RTT, so every connection is
//! shown the certificate of this moment. Does not know which certificate that is.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;

use super::Error;
use super::key::KeyPkcs8;
pub use crate::platform::suites::{ALPN_UDP, provider, quic_initial_suite};

/// Application protocols over TCP, preferred first (RFC 7301, RFC 9113).
const ALPN_TCP: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How HTTPS is served, with whatever certificate `resolver` presents at each handshake.
pub fn https_config(resolver: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|source| Error::Tls { what: "policy", source })?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = ALPN_TCP.iter().map(|protocol| protocol.to_vec()).collect();
    // Otherwise the client's order wins.
    config.ignore_client_order = true;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// How QUIC is served, with whatever certificate `resolver` presents at each handshake.
pub fn quic_config(resolver: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::clone(&*https_config(resolver)?);
    config.alpn_protocols = ALPN_UDP.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// A chain and its key, as `rustls` presents them; refused when they do not belong together.
pub(super) fn certified_key(
    what: &'static str,
    chain: Vec<CertificateDer<'static>>,
    key: &KeyPkcs8,
) -> Result<CertifiedKey, Error> {
    // The provider takes a copy and wipes it.
    CertifiedKey::from_der(chain, key.as_private_key().clone_key(), &provider())
        .map_err(|source| Error::Tls { what, source })
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! The TLS policy, in one place.
//!
//! TLS 1.3 only (RFC 8446); AES-256-GCM, then ChaCha20-Poly1305, in the appliance's order; hybrid post-quantum
//! key exchange first. Nothing outlives a connection: no tickets, no resumption, no 0-RTT, so every connection is
//! shown the certificate of this moment. Does not know which certificate that is.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;

use super::Error;
use super::key::KeyPkcs8;

/// Application protocols over TCP, preferred first (RFC 7301, RFC 9113).
const ALPN_TCP: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The cryptography of every TLS connection, of servers and of our clients.
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
            aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![
            aws_lc_rs::kx_group::X25519MLKEM768,
            aws_lc_rs::kx_group::X25519,
            aws_lc_rs::kx_group::SECP256R1,
            aws_lc_rs::kx_group::SECP384R1,
        ],
        ..aws_lc_rs::default_provider()
    }
}

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

/// Application protocols over UDP (RFC 7301): native clients, and browsers.
pub const ALPN_UDP: [&[u8]; 2] = [b"conclave/1", b"h3"];

/// How QUIC is served, with whatever certificate `resolver` presents at each handshake.
pub fn quic_config(resolver: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::clone(&*https_config(resolver)?);
    config.alpn_protocols = ALPN_UDP.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// The suite of QUIC's Initial packets, whose keys everybody can compute (RFC 9001 §5.2). It protects nothing else.
pub fn quic_initial_suite() -> Option<rustls::quic::Suite> {
    aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13()?.quic_suite()
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

#[cfg(test)]
mod tests {
    use rustls::{CipherSuite, NamedGroup};

    use super::*;

    #[test]
    fn the_provider_offers_these_and_no_others() {
        let provider = provider();
        let suites: Vec<_> = provider.cipher_suites.iter().map(rustls::SupportedCipherSuite::suite).collect();
        assert_eq!(suites, [CipherSuite::TLS13_AES_256_GCM_SHA384, CipherSuite::TLS13_CHACHA20_POLY1305_SHA256]);
        let groups: Vec<_> = provider.kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(
            groups,
            [NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1]
        );
    }
}

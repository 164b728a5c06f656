// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The cryptography of TLS, the same for the appliance and for our clients: AES-256-GCM, then ChaCha20-Poly1305, hybrid
//! post-quantum key exchange first. Which certificate is presented or trusted is not known here.

use rustls::crypto::{CryptoProvider, aws_lc_rs};

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

/// Application protocols over UDP (RFC 7301): native clients, and browsers.
pub const ALPN_UDP: [&[u8]; 2] = [b"conclave/1", b"h3"];

/// The suite of QUIC's Initial packets, whose keys everybody can compute (RFC 9001 §5.2). It protects nothing else.
pub fn quic_initial_suite() -> Option<rustls::quic::Suite> {
    aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13()?.quic_suite()
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

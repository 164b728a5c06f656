// SPDX-License-Identifier: AGPL-3.0-or-later
//! TLS and QUIC of a measurement: the appliance's own policy, with a certificate that lives as long as the relay.
//!
//! Both relays under test get the same suites, and their participants the same QUIC settings.

use std::sync::Arc;
use std::time::Duration;

use quinn::TransportConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::error::BenchError;
use crate::platform::pki::tls;

/// The name in the certificate.
pub(super) const SERVER_NAME: &str = "localhost";
/// The addresses in it: WebTransport connects by address, so that nothing is resolved.
const SERVER_ADDRESSES: [&str; 2] = ["127.0.0.1", "::1"];
/// As the relay has it: carriers of which nothing is heard are gone after this.
pub(super) const IDLE: Duration = Duration::from_secs(8);
/// As the relay has it.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Bytes of datagrams that a participant keeps until it reads them: the generator reads for a hundred of them in turn.
const DATAGRAMS_UNREAD_MAX: usize = 1 << 20;

/// A certificate that signs itself, and how it is presented.
pub(super) struct Identity {
    /// What participants trust.
    pub certificate: CertificateDer<'static>,
    resolver: Arc<SingleCertAndKey>,
}

fn fault(error: impl std::fmt::Display) -> BenchError {
    BenchError::Tls(error.to_string())
}

impl Identity {
    /// A fresh one.
    pub fn new() -> Result<Self, BenchError> {
        let names: Vec<String> = [SERVER_NAME].into_iter().chain(SERVER_ADDRESSES).map(ToOwned::to_owned).collect();
        let made = rcgen::generate_simple_self_signed(names).map_err(fault)?;
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(fault)?;
        let key = any_supported_type(&key).map_err(fault)?;
        let certified = CertifiedKey::new(vec![certificate.clone()], key);
        Ok(Self { certificate, resolver: Arc::new(SingleCertAndKey::from(certified)) })
    }

    /// The appliance's TLS for its relay, with this certificate.
    pub fn appliance(&self) -> Result<Arc<rustls::ServerConfig>, BenchError> {
        tls::quic_config(Arc::clone(&self.resolver) as _).map_err(fault)
    }

    /// The same for another application protocol.
    pub fn server(&self, protocol: &[u8]) -> Result<quinn::ServerConfig, BenchError> {
        let mut config = rustls::ServerConfig::clone(&*self.appliance()?);
        config.alpn_protocols = vec![protocol.to_vec()];
        let crypto = QuicServerConfig::with_initial(Arc::new(config), initial_suite()?).map_err(fault)?;
        Ok(quinn::ServerConfig::with_crypto(Arc::new(crypto)))
    }
}

/// How a participant connects: it trusts this certificate and no other.
pub(super) fn client(certificate: &[u8], protocol: &[u8]) -> Result<quinn::ClientConfig, BenchError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(certificate.to_vec())).map_err(fault)?;
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(fault)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    let crypto = QuicClientConfig::with_initial(Arc::new(config), initial_suite()?).map_err(fault)?;
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IDLE.try_into().map_err(fault)?))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .datagram_receive_buffer_size(Some(DATAGRAMS_UNREAD_MAX));
    let mut client = quinn::ClientConfig::new(Arc::new(crypto));
    client.transport_config(Arc::new(transport));
    Ok(client)
}

fn initial_suite() -> Result<rustls::quic::Suite, BenchError> {
    tls::quic_initial_suite().ok_or_else(|| BenchError::Tls("no suite for Initial packets".to_owned()))
}

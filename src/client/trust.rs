// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the client trusts: the appliance's own root certificate and nothing else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{TransportConfig, VarInt};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::client::ClientError;
use crate::platform::suites::{provider, quic_initial_suite};

/// Carriers of which nothing is heard are gone after this, as the relay has it.
const IDLE: Duration = Duration::from_secs(8);
/// How often a quiet carrier is probed.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Bytes of datagrams that may wait to be read, and to be sent.
const DATAGRAMS: usize = 256 * 1_024;
/// Groups of screen frames that the relay may send at once.
const STREAMS: u32 = 64;

/// A root certificate.
#[derive(Debug, Clone)]
pub struct Trust {
    roots: Arc<RootCertStore>,
}

impl Trust {
    /// Reads the root certificate from a PEM file.
    pub fn from_file(path: &Path) -> Result<Self, ClientError> {
        let named = |reason: String| ClientError::Root(format!("{}: {reason}", path.display()));
        let pem = std::fs::read(path).map_err(|error| named(error.to_string()))?;
        Self::from_pem(&pem).map_err(|_| named("is not a certificate".to_owned()))
    }

    /// Reads the root certificate.
    pub fn from_pem(pem: &[u8]) -> Result<Self, ClientError> {
        let certificate = CertificateDer::from_pem_slice(pem);
        Self::from_certificate(certificate.map_err(|error| ClientError::Root(error.to_string()))?)
    }

    /// This root certificate.
    pub fn from_certificate(certificate: CertificateDer<'static>) -> Result<Self, ClientError> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate).map_err(|error| ClientError::Root(error.to_string()))?;
        Ok(Self { roots: Arc::new(roots) })
    }

    /// TLS 1.3 for these application protocols.
    pub fn tls(&self, protocols: &[&[u8]]) -> Result<ClientConfig, ClientError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider()));
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]);
        let builder = builder.map_err(|error| ClientError::Root(error.to_string()))?;
        let mut config = builder.with_root_certificates(Arc::clone(&self.roots)).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }

    /// QUIC for one application protocol.
    pub fn quic(&self, protocol: &[u8]) -> Result<quinn::ClientConfig, ClientError> {
        let fault = || ClientError::Root("TLS does not fit QUIC".to_owned());
        let initial = quic_initial_suite().ok_or_else(fault)?;
        let crypto = QuicClientConfig::with_initial(Arc::new(self.tls(&[protocol])?), initial).map_err(|_| fault())?;
        let mut transport = TransportConfig::default();
        transport
            .max_idle_timeout(Some(IDLE.try_into().map_err(|_| fault())?))
            .keep_alive_interval(Some(KEEP_ALIVE))
            .max_concurrent_uni_streams(VarInt::from_u32(STREAMS))
            .datagram_receive_buffer_size(Some(DATAGRAMS))
            .datagram_send_buffer_size(DATAGRAMS);
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(transport));
        Ok(config)
    }
}

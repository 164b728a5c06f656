// SPDX-License-Identifier: AGPL-3.0-or-later
//! Certificates over a restart: loads them from `system.db`, presents them, renews them, and keeps what was renewed.
//!
//! How certificates are made is `pki`'s knowledge, how they are kept is `store`'s; here the two meet.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;

use crate::platform::clock::Clock;
use crate::platform::https::TlsFor;
use crate::platform::pki::{
    self, Authority, AuthorityParts, Certificates, Cover, DnsName, Fingerprint, KeyPkcs8, LeafParts, Renewed,
    SavedLeaves, Scope, Slot, Subject, tls,
};
use crate::platform::store::Store;
use crate::platform::store::certificates::{self, StoredCertificate};
use crate::platform::store::claim;
use crate::platform::store::error::StoreError;
use crate::platform::store::keyring::WorkspaceKeys;
use crate::platform::store::workspace::Write;
use crate::values::time::Timestamp;

const ROOT: &str = "root";
const INTERMEDIATE: &str = "intermediate";

/// Certificates could not be loaded, made or kept.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Making or reading one.
    #[error("certificates: {0}")]
    Pki(#[from] pki::Error),
    /// Keeping one.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What TLS presents.
pub struct Trust {
    certificates: Arc<Certificates>,
    tls: Arc<ServerConfig>,
    clock: Clock,
    /// Minted on the fly while a connection arrived; kept at the next [`Trust::renew`].
    unsaved: Mutex<Vec<Renewed>>,
}

impl Trust {
    /// As it was before the restart; a self-signed bootstrap certificate when there is no root yet.
    pub async fn load(store: &Store, addresses: Vec<IpAddr>, clock: Clock) -> Result<Self, TrustError> {
        let now = clock.now();
        // A root may be kept before the claim. Who is about to claim would lose the page if it were presented then.
        let claimed = store.system().read(claim::is_claimed).await?;
        let (authority, leaves) = if claimed { stored(store).await? } else { (None, None) };
        let mut unsaved = Vec::new();
        let certificates = match (authority, leaves) {
            (Some(authority), Some(leaves)) => Certificates::load(authority, &leaves)?,
            (Some(authority), None) => {
                let certificates = Certificates::bootstrap(&bootstrap_subject(addresses.clone()), now)?;
                let subject = subject_of(authority.scope(), addresses);
                unsaved = certificates.install(authority, &subject, now)?;
                certificates
            }
            (None, _) => Certificates::bootstrap(&bootstrap_subject(addresses), now)?,
        };
        let certificates = Arc::new(certificates);
        let tls = tls::https_config(Arc::clone(&certificates) as _)?;
        let trust = Self { certificates, tls, clock, unsaved: Mutex::new(unsaved) };
        // What there is is presented, and renewed when it can be: a wrong clock or a disk that takes nothing is no reason
        // to serve nobody. Clients judge by their own clocks.
        if let Err(error) = trust.renew(store).await {
            tracing::error!(error = %error, "certificates cannot be renewed");
        }
        Ok(trust)
    }

    /// The certificates as they are now.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// How QUIC is served: the certificate of UDP at each handshake, none before there is a root.
    pub fn quic(&self) -> Result<Arc<ServerConfig>, TrustError> {
        Ok(tls::quic_config(Arc::new(pki::UdpCertificates(Arc::clone(&self.certificates))))?)
    }

    /// Mints a root for `scope`. It is presented once it is kept and the appliance claimed: [`save_authority`], then
    /// [`Trust::adopt`].
    pub fn mint(&self, scope: Scope, label: &str) -> Result<(Authority, AuthorityParts), TrustError> {
        Ok(Authority::mint(scope, label, self.clock.now())?)
    }

    /// Presents the root that a claim has made ours.
    pub async fn adopt(&self, store: &Store) -> Result<(), TrustError> {
        match stored(store).await?.0 {
            Some(authority) => self.install(store, authority).await,
            None => Ok(()),
        }
    }

    /// The root that is kept, presented or not.
    pub async fn kept(&self, store: &Store) -> Result<Option<KeptRoot>, TrustError> {
        Ok(stored(store).await?.0.as_ref().map(KeptRoot::from))
    }

    /// Presents leaves of a root that has been kept.
    async fn install(&self, store: &Store, authority: Authority) -> Result<(), TrustError> {
        let known = self.certificates.tcp().subject().addresses.iter().copied().collect();
        let subject = subject_of(authority.scope(), known);
        let renewed = self.certificates.install(authority, &subject, self.clock.now())?;
        self.note(renewed);
        self.renew(store).await
    }

    /// Renews what is due and keeps everything new. Cheap when nothing is.
    pub async fn renew(&self, store: &Store) -> Result<(), TrustError> {
        self.note(self.certificates.renew_due(self.clock.now())?);
        if store.system().state() != "open" {
            // Presented all the same; kept when the file may be written again.
            return Ok(());
        }
        let mut renewed = std::mem::take(&mut *self.unsaved.lock().unwrap_or_else(PoisonError::into_inner));
        // A bootstrap certificate is made anew at every start.
        renewed.retain(|_| self.certificates.authority().is_some());
        if renewed.is_empty() {
            return Ok(());
        }
        for leaf in &renewed {
            tracing::info!(
                pki.slot = leaf.slot.as_str(), pki.serial = leaf.serial, pki.fingerprint = %leaf.fingerprint,
                pki.not_after = %leaf.validity.not_after, "certificate renewed"
            );
        }
        let again = renewed.clone();
        let write = move |write: &Write<'_>| {
            renewed.iter().try_for_each(|leaf| certificates::put(write, leaf.slot.as_str(), &stored_leaf(&leaf.parts)))
        };
        // What could not be kept is presented all the same, and kept at the next try.
        store.system().write(write).await.inspect_err(|_| self.note(again))?;
        Ok(())
    }

    fn note(&self, mut renewed: Vec<Renewed>) {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner).append(&mut renewed);
    }
}

impl TlsFor for Trust {
    fn tls_for(&self, local: SocketAddr) -> Arc<ServerConfig> {
        match self.certificates.cover(local.ip(), self.clock.now()) {
            Ok(Cover::Minted(renewed)) => self.note(vec![*renewed]),
            Ok(Cover::Covered | Cover::Outside | Cover::Full) => {}
            Err(error) => tracing::warn!(error = %error, "no certificate for a local address"),
        }
        Arc::clone(&self.tls)
    }
}

/// Keeps a freshly minted root and intermediate. It is not presented before the appliance is claimed.
pub fn save_authority(write: &Write<'_>, parts: &AuthorityParts, now: Timestamp) -> rusqlite::Result<()> {
    let root_key = parts.root_key_pkcs8.as_ref().map(|key| key.expose().to_vec()).unwrap_or_default();
    let certificate = |chain: &[u8], key: Vec<u8>| StoredCertificate {
        chain: chain.to_vec(),
        key: key.into(),
        not_before: now,
        not_after: now,
    };
    certificates::put(write, ROOT, &certificate(&parts.root_der, root_key))?;
    let key = parts.intermediate_key_pkcs8.expose().to_vec();
    certificates::put(write, INTERMEDIATE, &certificate(&parts.intermediate_der, key))
}

/// The root that is kept: its certificate and what it is bound to.
pub struct KeptRoot {
    /// SHA-256 of it.
    pub fingerprint: Fingerprint,
    /// It, as PEM.
    pub pem: String,
    /// Names and networks.
    pub scope: Scope,
}

impl From<&Authority> for KeptRoot {
    fn from(authority: &Authority) -> Self {
        Self { fingerprint: authority.root_fingerprint(), pem: authority.root_pem(), scope: authority.scope().clone() }
    }
}

/// SHA-256 of the root that is kept, presented or not; none before names and networks were fixed.
pub fn kept_root(database: &rusqlite::Connection, keys: &WorkspaceKeys) -> rusqlite::Result<Option<Fingerprint>> {
    Ok(certificates::find(database, keys, ROOT)?.map(|root| Fingerprint::of(&root.chain)))
}

fn stored_leaf(parts: &LeafParts) -> StoredCertificate {
    StoredCertificate {
        chain: parts.chain_der.clone(),
        key: parts.key_pkcs8.expose().to_vec().into(),
        not_before: parts.not_before,
        not_after: parts.not_after,
    }
}

async fn stored(store: &Store) -> Result<(Option<Authority>, Option<SavedLeaves>), TrustError> {
    let keys = Arc::clone(store.system().keys());
    let read = move |database: &rusqlite::Connection| {
        let names = [ROOT, INTERMEDIATE, Slot::Tcp.as_str(), Slot::UdpCurrent.as_str(), Slot::UdpNext.as_str()];
        names
            .into_iter()
            .map(|purpose| certificates::find(database, &keys, purpose))
            .collect::<rusqlite::Result<Vec<_>>>()
    };
    let mut found = store.system().read(read).await?.into_iter();
    let mut next = || found.next().flatten();
    let (Some(root), Some(intermediate)) = (next(), next()) else { return Ok((None, None)) };
    let authority = Authority::load(&AuthorityParts {
        root_der: root.chain,
        root_key_pkcs8: (!root.key.is_empty()).then(|| KeyPkcs8::new(root.key.to_vec())),
        intermediate_der: intermediate.chain,
        intermediate_key_pkcs8: KeyPkcs8::new(intermediate.key.to_vec()),
    })?;
    let leaf = |stored: StoredCertificate| LeafParts {
        chain_der: stored.chain,
        key_pkcs8: KeyPkcs8::new(stored.key.to_vec()),
        not_before: stored.not_before,
        not_after: stored.not_after,
    };
    let leaves = match (next(), next(), next()) {
        (Some(tcp), Some(current), Some(following)) => {
            Some(SavedLeaves { tcp: leaf(tcp), udp_current: leaf(current), udp_next: leaf(following) })
        }
        _ => None,
    };
    Ok((Some(authority), leaves))
}

/// Every name of the scope, and the known addresses that it includes.
fn subject_of(scope: &Scope, addresses: Vec<IpAddr>) -> Subject {
    let inside = addresses.into_iter().filter(|address| scope.includes_address(*address));
    Subject::new(scope.names().iter().cloned(), inside)
}

/// Before there is a scope: `localhost` and the addresses we listen on.
fn bootstrap_subject(addresses: Vec<IpAddr>) -> Subject {
    Subject::new("localhost".parse::<DnsName>(), addresses)
}

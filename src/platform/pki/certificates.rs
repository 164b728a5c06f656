// SPDX-License-Identifier: AGPL-3.0-or-later
//! Which certificates are presented right now, swapped while connections are served.
//!
//! Invariants: readers never wait and always see one whole state; writers take turns. UDP has two leaves, minted
//! ahead: clients are given the hashes of `current` and `next`, so a rotation surprises nobody who asked within the
//! last five days. Nothing is stored here: what changed is returned as [`Renewed`], to be sealed, logged and audited.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Error;
use super::authority::Authority;
use super::key::Fingerprint;
use super::leaf::{Leaf, LeafParts, LeafUse, UDP_ROTATE, Validity};
use super::scope::Subject;
use crate::values::time::Timestamp;

/// Most addresses in one leaf: local addresses of one machine, and 64 of them add at most 1.2 KiB to a handshake.
const MAX_ADDRESSES: usize = 64;

/// The live certificates of the appliance; shared by its listeners as an `Arc`.
#[derive(Debug)]
pub struct Certificates {
    state: ArcSwap<State>,
    /// Held by writers, so that none overwrites what another has just minted. Readers do not take it.
    turn: Mutex<()>,
}

#[derive(Debug)]
struct State {
    tcp: Arc<Leaf>,
    /// `None` before there is a root.
    issued: Option<Issued>,
}

#[derive(Debug, Clone)]
struct Issued {
    authority: Arc<Authority>,
    udp_current: Arc<Leaf>,
    udp_next: Arc<Leaf>,
}

/// Where a leaf is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Presented over TCP.
    Tcp,
    /// Presented over UDP.
    UdpCurrent,
    /// Presented over UDP after the next rotation.
    UdpNext,
}

impl Slot {
    /// A stable name for storage and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::UdpCurrent => "udp.current",
            Self::UdpNext => "udp.next",
        }
    }
}

/// A leaf that a slot holds from now on.
#[derive(Debug, Clone)]
pub struct Renewed {
    /// Which slot.
    pub slot: Slot,
    /// Serial number in hex.
    pub serial: String,
    /// SHA-256 of the leaf's DER.
    pub fingerprint: Fingerprint,
    /// From when to when it is valid.
    pub validity: Validity,
    /// What the store keeps.
    pub parts: LeafParts,
}

/// What [`Certificates::cover`] did.
#[derive(Debug)]
pub enum Cover {
    /// The address is in the certificate already.
    Covered,
    /// The address is outside the networks of the root, or there is no root yet.
    Outside,
    /// The certificate holds as many addresses as it may.
    Full,
    /// A new certificate that includes the address is presented from now on.
    Minted(Box<Renewed>),
}

/// The three leaves that the store kept.
#[derive(Debug, Clone)]
pub struct SavedLeaves {
    /// Of [`Slot::Tcp`].
    pub tcp: LeafParts,
    /// Of [`Slot::UdpCurrent`].
    pub udp_current: LeafParts,
    /// Of [`Slot::UdpNext`].
    pub udp_next: LeafParts,
}

impl Certificates {
    /// Before there is a root: a fresh self-signed certificate over TCP, nothing over UDP.
    pub fn bootstrap(subject: &Subject, now: Timestamp) -> Result<Self, Error> {
        Ok(Self::with(State { tcp: Arc::new(Leaf::bootstrap(subject, now)?), issued: None }))
    }

    /// As they were before a restart. Call [`Self::renew_due`] next: the machine may have been off for long.
    pub fn load(authority: Authority, saved: &SavedLeaves) -> Result<Self, Error> {
        let load = |parts| {
            let leaf = Leaf::load(parts)?;
            if leaf.chain().get(1).map(AsRef::as_ref) != Some(authority.intermediate_der()) {
                return Err(Error::Stored { what: "leaf certificate", reason: "another root issued it" });
            }
            Ok(Arc::new(leaf))
        };
        let (tcp, udp_current, udp_next) = (load(&saved.tcp)?, load(&saved.udp_current)?, load(&saved.udp_next)?);
        let issued = Some(Issued { authority: Arc::new(authority), udp_current, udp_next });
        Ok(Self::with(State { tcp, issued }))
    }

    /// Presents leaves of this root for these names and addresses from now on; answers all three slots.
    ///
    /// Store the authority's parts first: what is presented must survive a crash.
    pub fn install(&self, authority: Authority, subject: &Subject, now: Timestamp) -> Result<Vec<Renewed>, Error> {
        let _turn = self.take_turn();
        let mint = |leaf_use| authority.issue(leaf_use, subject, now).map(Arc::new);
        let (tcp, udp_current, udp_next) = (mint(LeafUse::Tcp)?, mint(LeafUse::Udp)?, mint(LeafUse::Udp)?);
        let renewed = vec![
            Renewed::of(Slot::Tcp, &tcp),
            Renewed::of(Slot::UdpCurrent, &udp_current),
            Renewed::of(Slot::UdpNext, &udp_next),
        ];
        let issued = Some(Issued { authority: Arc::new(authority), udp_current, udp_next });
        self.state.store(Arc::new(State { tcp, issued }));
        Ok(renewed)
    }

    /// Replaces what is due; answers the slots that changed. Cheap when nothing is due: call it every few minutes.
    pub fn renew_due(&self, now: Timestamp) -> Result<Vec<Renewed>, Error> {
        let _turn = self.take_turn();
        let state = self.state.load_full();
        let (mut tcp, mut issued, mut renewed) = (state.tcp.clone(), state.issued.clone(), Vec::new());
        if LeafUse::Tcp.is_due(tcp.validity(), now) {
            tcp = Arc::new(match &issued {
                Some(issued) => issued.authority.issue(LeafUse::Tcp, state.tcp.subject(), now)?,
                None => Leaf::bootstrap(state.tcp.subject(), now)?,
            });
            renewed.push(Renewed::of(Slot::Tcp, &tcp));
        }
        if let Some(issued) = &mut issued
            && LeafUse::Udp.is_due(issued.udp_next.validity(), now)
        {
            let mint = || issued.authority.issue(LeafUse::Udp, tcp.subject(), now).map(Arc::new);
            // After a long time off even `next` is too old to serve.
            let ahead = issued.udp_next.validity();
            let current =
                if ahead.contains(now) && ahead.contains(now + UDP_ROTATE) { issued.udp_next.clone() } else { mint()? };
            let next = mint()?;
            renewed.push(Renewed::of(Slot::UdpCurrent, &current));
            renewed.push(Renewed::of(Slot::UdpNext, &next));
            (issued.udp_current, issued.udp_next) = (current, next);
        }
        if !renewed.is_empty() {
            self.state.store(Arc::new(State { tcp, issued }));
        }
        Ok(renewed)
    }

    /// Makes sure that the TCP certificate names the local address a connection arrived at, when it may.
    ///
    /// The daemon never enumerates interfaces; this is how it learns its addresses. UDP leaves that
    /// are minted from then on include it too.
    pub fn cover(&self, local: IpAddr, now: Timestamp) -> Result<Cover, Error> {
        let local = local.to_canonical();
        if let Some(answer) = self.state.load().judge(local) {
            return Ok(answer);
        }
        let _turn = self.take_turn();
        let state = self.state.load_full();
        // Again, now that nobody else writes: another connection may have been faster.
        if let Some(answer) = state.judge(local) {
            return Ok(answer);
        }
        let Some(issued) = &state.issued else { return Ok(Cover::Outside) };
        let mut subject = state.tcp.subject().clone();
        subject.addresses.insert(local);
        let tcp = Arc::new(issued.authority.issue(LeafUse::Tcp, &subject, now)?);
        let renewed = Renewed::of(Slot::Tcp, &tcp);
        self.state.store(Arc::new(State { tcp, issued: state.issued.clone() }));
        Ok(Cover::Minted(Box::new(renewed)))
    }

    /// What TCP presents.
    pub fn tcp(&self) -> Arc<Leaf> {
        self.state.load().tcp.clone()
    }

    /// What UDP presents; `None` before there is a root.
    pub fn udp(&self) -> Option<Arc<Leaf>> {
        self.state.load().issued.as_ref().map(|issued| issued.udp_current.clone())
    }

    /// SHA-256 of the UDP leaves, current then next, as the API publishes them; empty before there is a root.
    pub fn udp_hashes(&self) -> Vec<Fingerprint> {
        let state = self.state.load();
        let leaves = state.issued.iter().flat_map(|issued| [&issued.udp_current, &issued.udp_next]);
        leaves.map(|leaf| leaf.fingerprint()).collect()
    }

    /// The root in use; `None` before there is one.
    pub fn authority(&self) -> Option<Arc<Authority>> {
        self.state.load().issued.as_ref().map(|issued| issued.authority.clone())
    }

    fn with(state: State) -> Self {
        Self { state: ArcSwap::from_pointee(state), turn: Mutex::new(()) }
    }

    fn take_turn(&self) -> MutexGuard<'_, ()> {
        // The lock guards no data: a writer that panicked has left the state as it was.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.state.load().tcp.certified_key().clone())
    }
}

/// Presents the certificate of UDP; nothing before there is a root.
#[derive(Debug)]
pub struct UdpCertificates(pub Arc<Certificates>);

impl ResolvesServerCert for UdpCertificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.udp().map(|leaf| leaf.certified_key().clone())
    }
}

impl State {
    /// The answer for a local address, unless a certificate has to be minted for it.
    fn judge(&self, local: IpAddr) -> Option<Cover> {
        let addresses = &self.tcp.subject().addresses;
        if addresses.contains(&local) {
            return Some(Cover::Covered);
        }
        match &self.issued {
            Some(issued) if issued.authority.scope().includes_address(local) => {
                (addresses.len() >= MAX_ADDRESSES).then_some(Cover::Full)
            }
            _ => Some(Cover::Outside),
        }
    }
}

impl Renewed {
    fn of(slot: Slot, leaf: &Leaf) -> Self {
        Self {
            slot,
            serial: leaf.serial().to_owned(),
            fingerprint: leaf.fingerprint(),
            validity: leaf.validity(),
            parts: leaf.parts(),
        }
    }
}

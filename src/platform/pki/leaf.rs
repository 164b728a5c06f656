// SPDX-License-Identifier: AGPL-3.0-or-later
//! Leaves: what one connection presents, how long it lives, when it is replaced.
//!
//! Invariants: P-256; no common name, so that names stand in one place only; an issued leaf has an empty subject
//! and therefore a critical subjectAltName (RFC 5280 section 4.2.1.6); `serverAuth` only; a random serial number;
//! a fresh key for every leaf. Signing below a root is [`Authority`](super::Authority)'s.

use std::sync::Arc;
use std::time::Duration;

use rand_core::Rng;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::key::{Fingerprint, KeyPkcs8};
use super::scope::{DnsName, Subject};
use super::{Error, constraints, tls};
use crate::platform::entropy;
use crate::values::time::Timestamp;

/// Every certificate begins this long before it is made, for clients whose clock is behind.
pub(super) const BACKDATE: Duration = Duration::from_hours(1);
/// Life of a TCP leaf: long enough to survive a long outage of renewal, short enough to be replaced in earnest.
const TCP_LIFE: Duration = Duration::from_hours(90 * 24);
/// A TCP leaf is replaced at two thirds of its life, so that a month is left to notice that it was not.
const TCP_RENEW: Duration = Duration::from_hours(60 * 24);
/// Life of a UDP leaf in total: browsers take `serverCertificateHashes` only for 14 days or less
/// (W3C WebTransport, "custom certificate requirements"); the last day is slack.
const UDP_LIFE: Duration = Duration::from_hours(13 * 24);
/// UDP leaves rotate this often: a leaf is `next` for five days and `current` for five, and three are left.
pub(super) const UDP_ROTATE: Duration = Duration::from_hours(5 * 24);
/// Octets of a serial number (RFC 5280 section 4.1.2.2: at most 20, positive).
const SERIAL_LEN: usize = 20;

/// What a leaf is for. Only its life differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeafUse {
    /// HTTPS and WebSocket, judged by its chain: 90 days.
    Tcp,
    /// QUIC, judged by browsers by its hash: 13 days.
    Udp,
}

impl LeafUse {
    /// Not before to not after.
    pub const fn life(self) -> Duration {
        match self {
            Self::Tcp => TCP_LIFE,
            Self::Udp => UDP_LIFE,
        }
    }

    /// Whether a leaf of this validity is to be replaced now.
    ///
    /// Also when it has not begun yet: then the clock was ahead when it was made, and clients refuse it.
    pub fn is_due(self, validity: Validity, now: Timestamp) -> bool {
        let after = match self {
            Self::Tcp => TCP_RENEW,
            Self::Udp => UDP_ROTATE,
        };
        now < validity.not_before || now.since(validity.not_before + BACKDATE) >= after
    }
}

/// From when to when a certificate is valid, both inclusive, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First moment.
    pub not_before: Timestamp,
    /// Last moment.
    pub not_after: Timestamp,
}

impl Validity {
    /// `life` in total, of which [`BACKDATE`] has already passed.
    pub(super) fn of_life(life: Duration, now: Timestamp) -> Self {
        let not_before = Timestamp::from_millis(now.as_secs().saturating_mul(1_000)) - BACKDATE;
        Self { not_before, not_after: not_before + life }
    }

    pub(super) fn of_certificate(certificate: &X509Certificate<'_>) -> Self {
        let moment = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1_000));
        let validity = certificate.validity();
        Self { not_before: moment(validity.not_before.timestamp()), not_after: moment(validity.not_after.timestamp()) }
    }

    /// Whether the certificate is valid at this moment.
    pub fn contains(self, moment: Timestamp) -> bool {
        self.not_before <= moment && moment <= self.not_after
    }

    /// Not before to not after.
    pub fn life(self) -> Duration {
        self.not_after.since(self.not_before)
    }

    pub(super) fn write(self, params: &mut CertificateParams) -> Result<(), Error> {
        let moment = |moment: Timestamp| moment.to_date_time().ok_or(Error::Time(moment));
        params.not_before = moment(self.not_before)?;
        params.not_after = moment(self.not_after)?;
        Ok(())
    }
}

/// A leaf certificate with its key, ready to be presented.
#[derive(Debug)]
pub struct Leaf {
    certified: Arc<CertifiedKey>,
    key: KeyPkcs8,
    subject: Subject,
    validity: Validity,
    serial: String,
    fingerprint: Fingerprint,
}

/// A leaf as the store keeps it.
#[derive(Debug, Clone)]
pub struct LeafParts {
    /// DER of the leaf, followed by DER of its intermediate (nothing follows a bootstrap leaf).
    pub chain_der: Vec<u8>,
    /// Its private key, to be sealed.
    pub key_pkcs8: KeyPkcs8,
    /// First moment, as the certificate says it; for listing, [`Leaf::load`] reads the certificate.
    pub not_before: Timestamp,
    /// Last moment, likewise.
    pub not_after: Timestamp,
}

impl Leaf {
    /// A self-signed leaf for at least one name or address, for the time before there is a root. People compare
    /// its fingerprint.
    pub fn bootstrap(subject: &Subject, now: Timestamp) -> Result<Self, Error> {
        let what = "bootstrap certificate";
        let mut params = params(subject, Validity::of_life(TCP_LIFE, now))?;
        // An issuer must not be empty (RFC 5280 section 4.1.2.4), and here the issuer is the subject.
        params.distinguished_name.push(DnType::OrganizationName, "Conclave, before its first run");
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::issue(what))?;
        let certificate = params.self_signed(&key).map_err(Error::issue(what))?;
        Self::assemble(what, vec![certificate.into()], KeyPkcs8::of(&key))
    }

    /// The leaf that the store kept.
    pub fn load(parts: &LeafParts) -> Result<Self, Error> {
        let what = "leaf certificate";
        let (mut chain, mut rest) = (Vec::new(), parts.chain_der.as_slice());
        while !rest.is_empty() {
            let (after, _) =
                X509Certificate::from_der(rest).map_err(|_| Error::Stored { what, reason: "its chain is not DER" })?;
            let (certificate, tail) = rest
                .split_at_checked(rest.len() - after.len())
                .ok_or(Error::Stored { what, reason: "its chain is cut short" })?;
            chain.push(CertificateDer::from(certificate.to_vec()));
            rest = tail;
        }
        Self::assemble(what, chain, parts.key_pkcs8.clone())
    }

    /// What the store keeps.
    pub fn parts(&self) -> LeafParts {
        LeafParts {
            chain_der: self.certified.cert.iter().flat_map(|certificate| certificate.iter().copied()).collect(),
            key_pkcs8: self.key.clone(),
            not_before: self.validity.not_before,
            not_after: self.validity.not_after,
        }
    }

    /// The names and addresses in it.
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// From when to when it is valid.
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// Its serial number in hex, for logs and audit.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// SHA-256 of the leaf's DER.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The leaf, then its intermediate.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// As `rustls` presents it.
    pub const fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// Reads everything from the certificate itself, so that nothing said beside it can differ.
    pub(super) fn assemble(
        what: &'static str,
        chain: Vec<CertificateDer<'static>>,
        key: KeyPkcs8,
    ) -> Result<Self, Error> {
        let der = chain.first().ok_or(Error::Stored { what, reason: "its chain is empty" })?;
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| Error::Stored { what, reason: "it is not DER" })?;
        let (subject, validity) = (subject_of(&certificate), Validity::of_certificate(&certificate));
        let (serial, fingerprint) = (hex::encode(certificate.raw_serial()), Fingerprint::of(der));
        let certified = Arc::new(tls::certified_key(what, chain, &key)?);
        Ok(Self { certified, key, subject, validity, serial, fingerprint })
    }
}

/// Everything of a leaf but its key and its issuer.
pub(super) fn params(subject: &Subject, validity: Validity) -> Result<CertificateParams, Error> {
    if subject.is_empty() {
        return Err(Error::EmptySubject);
    }
    let names = subject.names.iter().map(|name| {
        let name = name.as_str().try_into().map_err(Error::issue("leaf certificate"))?;
        Ok(SanType::DnsName(name))
    });
    let addresses = subject.addresses.iter().map(|address| Ok(SanType::IpAddress(*address)));
    params_of(names.chain(addresses).collect::<Result<_, Error>>()?, validity)
}

/// The same for alternative names of any kind; [`params`] is the way to here.
pub(super) fn params_of(names: Vec<SanType>, validity: Validity) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    validity.write(&mut params)?;
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(random_serial());
    params.subject_alt_names = names;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// 158 random bits, positive and of full length.
pub(super) fn random_serial() -> SerialNumber {
    let mut bytes = [0; SERIAL_LEN];
    entropy::system().fill_bytes(&mut bytes);
    let [first, ..] = &mut bytes;
    *first = (*first & 0x7f) | 0x40;
    SerialNumber::from(bytes.to_vec())
}

fn subject_of(certificate: &X509Certificate<'_>) -> Subject {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names = alternative.as_ref().map_or(&[][..], |extension| extension.value.general_names.as_slice());
    Subject::new(
        names.iter().filter_map(|name| match name {
            GeneralName::DNSName(text) => text.parse::<DnsName>().ok(),
            _ => None,
        }),
        names.iter().filter_map(|name| match name {
            GeneralName::IPAddress(octets) => constraints::address_of(octets),
            _ => None,
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const DAY: Duration = Duration::from_hours(24);
    const NOW: Timestamp = Timestamp::from_millis(1_795_451_400_125);

    #[test]
    fn a_leaf_is_due_at_two_thirds_of_its_life_or_every_five_days() {
        fn check(leaf_use: LeafUse, age: Duration, expected: bool) {
            let validity = Validity::of_life(leaf_use.life(), NOW);
            assert_eq!(leaf_use.is_due(validity, NOW + age), expected, "{leaf_use:?} {age:?}");
        }
        check(LeafUse::Tcp, Duration::ZERO, false);
        check(LeafUse::Tcp, 59 * DAY + 23 * HOUR, false);
        check(LeafUse::Tcp, 60 * DAY, true);
        check(LeafUse::Tcp, 400 * DAY, true);
        check(LeafUse::Udp, Duration::ZERO, false);
        check(LeafUse::Udp, 4 * DAY + 23 * HOUR, false);
        check(LeafUse::Udp, 5 * DAY, true);
    }

    #[test]
    fn a_clock_that_steps_back_beyond_the_first_moment_makes_a_leaf_due() {
        let validity = Validity::of_life(TCP_LIFE, NOW);
        assert!(!LeafUse::Tcp.is_due(validity, NOW - Duration::from_secs(3_000)));
        assert!(LeafUse::Tcp.is_due(validity, NOW - 2 * HOUR));
    }

    #[test]
    fn a_leaf_survives_its_parts_and_a_foreign_key_does_not_fit() {
        let subject = Subject::new(["a.example".parse().unwrap()], ["10.0.0.1".parse().unwrap()]);
        let leaf = Leaf::bootstrap(&subject, NOW).unwrap();
        let loaded = Leaf::load(&leaf.parts()).unwrap();
        assert_eq!((loaded.serial(), loaded.subject(), loaded.validity()), (leaf.serial(), &subject, leaf.validity()));
        let foreign = Leaf::bootstrap(&subject, NOW).unwrap().parts();
        assert!(matches!(
            Leaf::load(&LeafParts { key_pkcs8: foreign.key_pkcs8, ..leaf.parts() }),
            Err(Error::Tls { .. })
        ));
        let cut = LeafParts { chain_der: vec![0x30, 0x82], ..leaf.parts() };
        assert!(matches!(Leaf::load(&cut), Err(Error::Stored { .. })));
        let none = LeafParts { chain_der: Vec::new(), ..leaf.parts() };
        assert!(matches!(Leaf::load(&none), Err(Error::Stored { .. })));
    }

    #[test]
    fn a_certificate_for_nothing_and_a_time_without_a_calendar_are_refused() {
        assert!(matches!(Leaf::bootstrap(&Subject::default(), NOW), Err(Error::EmptySubject)));
        let subject = Subject::new(["a.example".parse().unwrap()], []);
        let far = Timestamp::from_millis(i64::MAX);
        assert!(matches!(Leaf::bootstrap(&subject, far), Err(Error::Time(_))));
    }
}

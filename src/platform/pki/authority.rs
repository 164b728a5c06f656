// SPDX-License-Identifier: AGPL-3.0-or-later
//! The appliance's root and the intermediate that signs for it, both bound to one [`Scope`] for life.
//!
//! Invariants: root and intermediate carry the same critical name constraints, so that neither of their keys,
//! once stolen, can speak for another name. The root key signs the intermediate and is never needed again: it
//! leaves in [`AuthorityParts`] and is not kept here, so it can leave the machine. Other names later are another
//! root. Does not know which leaves are in use.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::key::{Fingerprint, KeyPkcs8};
use super::leaf::{self, Leaf, LeafUse, Validity};
use super::scope::{Scope, Subject};
use super::{Error, constraints};
use crate::values::time::Timestamp;

/// Life of root and intermediate: ten years of 365.25 days, as long as the appliance is expected to be run.
const LIFE: Duration = Duration::from_hours(87_660);
/// Longest label, in characters (RFC 5280 appendix A.1, ub-organization-name).
const MAX_LABEL: usize = 64;
/// Characters of base64 on a line (RFC 7468 section 2).
const PEM_LINE: usize = 64;

/// A root and the intermediate that issues leaves below it.
pub struct Authority {
    root: CertificateDer<'static>,
    intermediate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    scope: Scope,
    validity: Validity,
}

/// An authority as the store keeps it.
#[derive(Debug, Clone)]
pub struct AuthorityParts {
    /// DER of the root certificate; public.
    pub root_der: Vec<u8>,
    /// Private key of the root, to be sealed; [`Authority::load`] does not need it.
    pub root_key_pkcs8: Option<KeyPkcs8>,
    /// DER of the intermediate certificate; public.
    pub intermediate_der: Vec<u8>,
    /// Private key of the intermediate, to be sealed.
    pub intermediate_key_pkcs8: KeyPkcs8,
}

impl Authority {
    /// A new root for this scope. `label` tells roots of several appliances apart in lists of trusted roots.
    pub fn mint(scope: Scope, label: &str, now: Timestamp) -> Result<(Self, AuthorityParts), Error> {
        let bound = constraints::extension(&scope);
        Self::make(scope, label, now, vec![bound.clone()], vec![bound])
    }

    /// The authority that the store kept. Its scope is read from its certificates.
    pub fn load(parts: &AuthorityParts) -> Result<Self, Error> {
        let unusable = |what, reason| Error::Stored { what, reason };
        let (_, root) = X509Certificate::from_der(&parts.root_der).map_err(|_| unusable("root", "it is not DER"))?;
        let (_, intermediate) = X509Certificate::from_der(&parts.intermediate_der)
            .map_err(|_| unusable("intermediate", "it is not DER"))?;
        let scope = constraints::scope_of(&root).ok_or(unusable("root", "its name constraints are missing"))?;
        if constraints::scope_of(&intermediate).as_ref() != Some(&scope) {
            return Err(unusable("intermediate", "its name constraints are not those of the root"));
        }
        if intermediate.issuer().as_raw() != root.subject().as_raw() {
            return Err(unusable("intermediate", "another root signed it"));
        }
        let key =
            KeyPair::from_der_and_sign_algo(&parts.intermediate_key_pkcs8.as_private_key(), &PKCS_ECDSA_P384_SHA384)
                .map_err(|_| unusable("key of the intermediate", "it is not a P-384 key"))?;
        if key.public_key_raw() != &*intermediate.public_key().subject_public_key.data {
            return Err(unusable("key of the intermediate", "it belongs to another certificate"));
        }
        let validity = Validity::of_certificate(&root);
        let intermediate = CertificateDer::from(parts.intermediate_der.clone());
        let issuer = Issuer::from_ca_cert_der(&intermediate, key)
            .map_err(|_| unusable("intermediate", "it cannot be used as an issuer"))?;
        Ok(Self { root: CertificateDer::from(parts.root_der.clone()), intermediate, issuer, scope, validity })
    }

    /// A leaf for these names and addresses, with a key of its own.
    pub fn issue(&self, leaf_use: LeafUse, subject: &Subject, now: Timestamp) -> Result<Leaf, Error> {
        if let Some(name) = subject.names.iter().find(|name| !self.scope.includes_name(name)) {
            return Err(Error::NameOutsideScope { name: name.clone(), scope: Box::new(self.scope.clone()) });
        }
        if let Some(address) = subject.addresses.iter().find(|address| !self.scope.includes_address(**address)) {
            return Err(Error::AddressOutsideScope { address: *address, scope: Box::new(self.scope.clone()) });
        }
        if !self.validity.contains(now) {
            return Err(Error::AuthorityNotValid { validity: self.validity, now });
        }
        self.sign(&leaf::params(subject, Validity::of_life(leaf_use.life(), now))?)
    }

    /// The names and networks this root is bound to.
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// From when to when the root is valid.
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// The root as DER, for download and trust stores.
    pub fn root_der(&self) -> &[u8] {
        &self.root
    }

    /// The root as PEM (RFC 7468), for download and trust stores.
    pub fn root_pem(&self) -> String {
        let text = STANDARD.encode(&self.root);
        let lines = text.as_bytes().chunks(PEM_LINE).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n");
        format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
    }

    /// SHA-256 of the root's DER, as people compare it.
    pub fn root_fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.root)
    }

    /// DER of the intermediate, as leaves carry it in their chain.
    pub fn intermediate_der(&self) -> &[u8] {
        &self.intermediate
    }

    fn sign(&self, params: &CertificateParams) -> Result<Leaf, Error> {
        let what = "leaf certificate";
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::issue(what))?;
        let leaf = params.signed_by(&key, &self.issuer).map_err(Error::issue(what))?;
        Leaf::assemble(what, vec![leaf.into(), self.intermediate.clone()], KeyPkcs8::of(&key))
    }

    fn make(
        scope: Scope,
        label: &str,
        now: Timestamp,
        root_extensions: Vec<CustomExtension>,
        intermediate_extensions: Vec<CustomExtension>,
    ) -> Result<(Self, AuthorityParts), Error> {
        if label.is_empty() || label.chars().count() > MAX_LABEL || label.chars().any(char::is_control) {
            return Err(Error::Label);
        }
        let validity = Validity::of_life(LIFE, now);
        let generate = || KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384);
        let (no_root, no_intermediate) = (Error::issue("root"), Error::issue("intermediate"));

        let serial = leaf::random_serial();
        // Part of the serial number, so that two roots of one appliance never share a name.
        let tag: String = hex::encode(serial.as_ref()).chars().take(8).collect();
        let root_key = generate().map_err(no_root)?;
        let mut root_params = ca_params(BasicConstraints::Unconstrained, validity, serial, root_extensions)?;
        root_params.distinguished_name = distinguished_name(label, format!("Conclave root {tag}"));
        let root = root_params.self_signed(&root_key).map_err(no_root)?;

        let intermediate_key = generate().map_err(no_intermediate)?;
        let depth = BasicConstraints::Constrained(0);
        let mut params = ca_params(depth, validity, leaf::random_serial(), intermediate_extensions)?;
        // Verifiers that nest usages hold the leaves to it.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name = distinguished_name(label, format!("Conclave issuer {tag}"));
        let root_issuer = Issuer::from_params(&root_params, &root_key);
        let intermediate = params.signed_by(&intermediate_key, &root_issuer).map_err(no_intermediate)?;

        let parts = AuthorityParts {
            root_der: root.der().to_vec(),
            root_key_pkcs8: Some(KeyPkcs8::of(&root_key)),
            intermediate_der: intermediate.der().to_vec(),
            intermediate_key_pkcs8: KeyPkcs8::of(&intermediate_key),
        };
        let issuer = Issuer::new(params, intermediate_key);
        Ok((Self { root: root.into(), intermediate: intermediate.into(), issuer, scope, validity }, parts))
    }
}

/// Doors for the tests: certificates that this module refuses to make, to prove that verifiers refuse them too.
#[cfg(any(test, feature = "test-hooks"))]
impl Authority {
    /// An authority whose root alone is constrained: what a thief of the root key could make.
    pub fn mint_root_constrained(scope: Scope, label: &str, now: Timestamp) -> Result<(Self, AuthorityParts), Error> {
        let bound = constraints::extension(&scope);
        Self::make(scope, label, now, vec![bound], Vec::new())
    }

    /// An authority without any constraint: the control of each negative test.
    pub fn mint_unconstrained(scope: Scope, label: &str, now: Timestamp) -> Result<(Self, AuthorityParts), Error> {
        Self::make(scope, label, now, Vec::new(), Vec::new())
    }

    /// A leaf for names of any kind, whatever the scope.
    pub fn issue_unchecked(
        &self,
        leaf_use: LeafUse,
        names: Vec<rcgen::SanType>,
        now: Timestamp,
    ) -> Result<Leaf, Error> {
        self.sign(&leaf::params_of(names, Validity::of_life(leaf_use.life(), now))?)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("scope", &self.scope)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

fn ca_params(
    depth: BasicConstraints,
    validity: Validity,
    serial: SerialNumber,
    extensions: Vec<CustomExtension>,
) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    validity.write(&mut params)?;
    params.serial_number = Some(serial);
    params.is_ca = IsCa::Ca(depth);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.custom_extensions = extensions;
    Ok(params)
}

fn distinguished_name(label: &str, common_name: String) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, label);
    name.push(DnType::CommonName, common_name);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_451_400_125);

    fn scope() -> Scope {
        Scope::parse(&["example.com"], &["10.0.0.0/8", "fd00::/8"]).unwrap()
    }

    #[test]
    fn an_authority_survives_its_parts_without_the_root_key() {
        let (authority, mut parts) = Authority::mint(scope(), "Lab 3", NOW).unwrap();
        parts.root_key_pkcs8 = None;
        let loaded = Authority::load(&parts).unwrap();
        assert_eq!(loaded.scope(), &scope());
        assert_eq!(loaded.root_fingerprint(), authority.root_fingerprint());
        let subject = Subject::new(["xr.example.com".parse().unwrap()], []);
        let leaf = loaded.issue(LeafUse::Tcp, &subject, NOW).unwrap();
        assert_eq!(leaf.chain().last().map(|der| der.as_ref()), Some(authority.intermediate_der()));
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        fn check(spoil: impl Fn(&mut AuthorityParts), expected: &str) {
            let (_, mut parts) = Authority::mint(scope(), "Lab 3", NOW).unwrap();
            spoil(&mut parts);
            let error = Authority::load(&parts).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let (_, other) = Authority::mint(scope(), "Lab 3", NOW).unwrap();
        let narrow = Scope::parse(&["example.com"], &["10.0.0.0/8"]).unwrap();
        let (_, narrower) = Authority::mint(narrow, "Lab 3", NOW).unwrap();
        let (_, free) = Authority::mint_unconstrained(scope(), "Lab 3", NOW).unwrap();
        check(|parts| parts.root_der.truncate(40), "not DER");
        check(|parts| parts.root_der.clone_from(&free.root_der), "missing");
        check(|parts| parts.intermediate_der.clone_from(&free.intermediate_der), "not those of the root");
        check(|parts| parts.intermediate_der.clone_from(&narrower.intermediate_der), "not those of the root");
        check(|parts| parts.intermediate_der.clone_from(&other.intermediate_der), "another root");
        check(|parts| parts.intermediate_key_pkcs8 = other.intermediate_key_pkcs8.clone(), "another certificate");
        check(|parts| parts.intermediate_key_pkcs8 = KeyPkcs8::new(vec![0; 8]), "not a P-384 key");
    }

    #[test]
    fn a_label_is_text_that_fits() {
        for (label, good) in
            [("Lab 3", true), ("", false), ("a\nb", false), (&*"é".repeat(64), true), (&*"é".repeat(65), false)]
        {
            assert_eq!(Authority::mint(scope(), label, NOW).is_ok(), good, "{label:?}");
        }
    }

    #[test]
    fn a_root_that_has_ended_issues_nothing() {
        let (authority, _) = Authority::mint(scope(), "Lab 3", NOW).unwrap();
        let subject = Subject::new(["xr.example.com".parse().unwrap()], []);
        for (moment, good) in [(NOW + LIFE / 2, true), (NOW + LIFE, false), (NOW - 2 * leaf::BACKDATE, false)] {
            let issued = authority.issue(LeafUse::Udp, &subject, moment);
            assert_eq!(issued.is_ok(), good, "{moment}");
            assert!(good || matches!(issued, Err(Error::AuthorityNotValid { .. })));
        }
    }
}

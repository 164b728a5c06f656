// SPDX-License-Identifier: AGPL-3.0-or-later
//! The `NameConstraints` extension (RFC 5280 section 4.2.1.10), written and read.
//!
//! Written by hand because `rcgen` has no URI subtree. Per type of name:
//!
//! | type | wanted | unwanted |
//! |---|---|---|
//! | DNS | permitted: the suffixes | excluded: the empty name, which every name is below |
//! | IPv4, IPv6 | permitted: the networks | excluded: `0.0.0.0/0`, `::/0` |
//! | e-mail, URI | – | permitted *and* excluded: one host that cannot exist |
//!
//! For e-mail and URI the empty string is not used: RFC 5280 does not say what it means there, and OpenSSL takes
//! it for a host without a name, so that an excluded empty string excludes nothing. Permitting only one host and
//! excluding that same host leaves nothing, by rules that all verifiers share.
//!
//! Knows no key and no certificate.

use std::net::IpAddr;

use ipnet::IpNet;
use rcgen::CustomExtension;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::scope::Scope;

/// id-ce-nameConstraints (RFC 5280 appendix A.2).
const OID: [u64; 4] = [2, 5, 29, 30];
/// A host that is never delegated (RFC 6761 section 6.4).
const NOWHERE: &[u8] = b"nowhere.invalid";

const SEQUENCE: u8 = 0x30;
/// `permittedSubtrees [0]`, `excludedSubtrees [1]`, both implicit and constructed.
const PERMITTED: u8 = 0xa0;
const EXCLUDED: u8 = 0xa1;
/// Choices of `GeneralName`, implicit and primitive (RFC 5280 section 4.2.1.6).
const RFC822_NAME: u8 = 0x81;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;
const IP_ADDRESS: u8 = 0x87;

/// The critical extension that binds a CA to `scope`.
pub fn extension(scope: &Scope) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&OID, name_constraints(scope));
    extension.set_criticality(true);
    extension
}

/// The scope a CA certificate is bound to; `None` when its constraints are absent or not of the form above.
pub fn scope_of(certificate: &X509Certificate<'_>) -> Option<Scope> {
    let constraints = certificate.name_constraints().ok()??;
    if !constraints.critical {
        return None;
    }
    let (mut names, mut networks) = (Vec::new(), Vec::new());
    for subtree in constraints.value.permitted_subtrees.as_deref()? {
        match &subtree.base {
            GeneralName::DNSName(name) => names.push(name.parse().ok()?),
            GeneralName::IPAddress(octets) => networks.push(network_of(octets)?),
            GeneralName::RFC822Name(_) | GeneralName::URI(_) => {}
            _ => return None,
        }
    }
    let scope = Scope::new(names, networks).ok()?;
    // The excluded half follows from the permitted one: compare the whole instead of reading it piece by piece.
    let extension =
        certificate.get_extension_unique(&x509_parser::oid_registry::OID_X509_EXT_NAME_CONSTRAINTS).ok()??;
    (extension.value == name_constraints(&scope)).then_some(scope)
}

fn name_constraints(scope: &Scope) -> Vec<u8> {
    let (mut permitted, mut excluded) = (Vec::new(), Vec::new());
    for name in scope.names() {
        permitted.extend(subtree(DNS_NAME, name.as_str().as_bytes()));
    }
    if scope.names().is_empty() {
        excluded.extend(subtree(DNS_NAME, b""));
    }
    for network in scope.networks() {
        permitted.extend(subtree(IP_ADDRESS, &address_and_mask(network)));
    }
    if !scope.networks().iter().any(|network| matches!(network, IpNet::V4(_))) {
        excluded.extend(subtree(IP_ADDRESS, &[0; 8]));
    }
    if !scope.networks().iter().any(|network| matches!(network, IpNet::V6(_))) {
        excluded.extend(subtree(IP_ADDRESS, &[0; 32]));
    }
    for unwanted in [RFC822_NAME, URI] {
        permitted.extend(subtree(unwanted, NOWHERE));
        excluded.extend(subtree(unwanted, NOWHERE));
    }
    tlv(SEQUENCE, &[tlv(PERMITTED, &permitted), tlv(EXCLUDED, &excluded)].concat())
}

/// `GeneralSubtree`: minimum is 0 by default and therefore absent, maximum must be absent.
fn subtree(tag: u8, base: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &tlv(tag, base))
}

/// The address followed by its mask, 8 or 32 octets.
fn address_and_mask(network: &IpNet) -> Vec<u8> {
    match network {
        IpNet::V4(v4) => [v4.network().octets(), v4.netmask().octets()].concat(),
        IpNet::V6(v6) => [v6.network().octets(), v6.netmask().octets()].concat(),
    }
}

fn network_of(octets: &[u8]) -> Option<IpNet> {
    let (address, mask) = octets.split_at_checked(octets.len() / 2)?;
    IpNet::with_netmask(address_of(address)?, address_of(mask)?).ok()
}

/// An iPAddress of a certificate: 4 or 16 octets.
pub fn address_of(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}

/// Tag, definite length in its shortest form, contents (X.690 sections 8.1 and 10.1).
fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match u8::try_from(contents.len()) {
        Ok(short) if short < 0x80 => der.push(short),
        _ => {
            let length = contents.len().to_be_bytes();
            let significant: Vec<u8> = length.iter().copied().skip_while(|byte| *byte == 0).collect();
            // A length has at most eight octets.
            der.push(0x80 | u8::try_from(significant.len()).unwrap_or_default());
            der.extend(significant);
        }
    }
    der.extend_from_slice(contents);
    der
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_their_shortest_form() {
        fn check(length: usize, expected: &[u8]) {
            let der = tlv(0x04, &vec![0; length]);
            assert_eq!(&der[1..der.len() - length], expected, "{length}");
        }
        check(0, &[0x00]);
        check(127, &[0x7f]);
        check(128, &[0x81, 0x80]);
        check(255, &[0x81, 0xff]);
        check(256, &[0x82, 0x01, 0x00]);
        check(65_536, &[0x83, 0x01, 0x00, 0x00]);
    }

    #[test]
    fn a_type_nobody_wants_is_excluded_whole() {
        fn check(names: &[&str], networks: &[&str], excluded_dns: bool, excluded_v4: bool, excluded_v6: bool) {
            let der = name_constraints(&Scope::parse(names, networks).unwrap());
            let holds = |part: &[u8]| der.windows(part.len()).any(|window| window == part);
            assert_eq!(holds(&subtree(DNS_NAME, b"")), excluded_dns);
            assert_eq!(holds(&subtree(IP_ADDRESS, &[0; 8])), excluded_v4);
            assert_eq!(holds(&subtree(IP_ADDRESS, &[0; 32])), excluded_v6);
        }
        check(&["example.com"], &["10.0.0.0/8", "fd00::/8"], false, false, false);
        check(&["example.com"], &[], false, true, true);
        check(&[], &["10.0.0.0/8"], true, false, true);
        check(&[], &["fd00::/8"], true, true, false);
    }
}

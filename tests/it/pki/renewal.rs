// SPDX-License-Identifier: AGPL-3.0-or-later
//! What leaves look like, when they are replaced, and what connections see of it.

use std::ffi::OsStr;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use conclave::platform::pki::{
    Authority, Certificates, Cover, Error, Fingerprint, LeafUse, Renewed, SavedLeaves, Slot, Subject, tls,
};
use conclave::values::time::Timestamp;

use super::constraints::webpki_verify;
use super::{Server, connect, loopback_subject, now, scope};

const DAY: Duration = Duration::from_hours(24);

#[test]
fn a_leaf_outside_the_scope_is_not_issued() {
    fn check(name: Option<&str>, address: Option<&str>, expected: &str) {
        let (authority, _) = Authority::mint(scope(), "Lab 3", now()).unwrap();
        let subject =
            Subject::new(name.map(|name| name.parse().unwrap()), address.map(|address| address.parse().unwrap()));
        match authority.issue(LeafUse::Tcp, &subject, now()) {
            Ok(leaf) => assert_eq!((leaf.subject(), expected), (&subject, "")),
            Err(error) => assert!(!expected.is_empty() && error.to_string().contains(expected), "{error}"),
        }
    }
    check(Some("xr.conclave.test"), Some("10.20.3.4"), "");
    check(Some("xr.conclave.test"), None, "");
    check(None, Some("fd20::4"), "");
    check(None, Some("::ffff:10.20.3.4"), "");
    check(Some("www.example.org"), None, "no certificate for www.example.org");
    check(Some("xr.conclave.test"), Some("10.21.3.4"), "no certificate for 10.21.3.4");
    check(None, Some("fd21::4"), "no certificate for fd21::4");
    check(None, None, "at least one name or address");
}

#[test]
fn leaves_are_p256_without_common_name_and_udp_leaves_fit_the_fourteen_days_of_browsers() {
    fn check(leaf_use: LeafUse, days: u64) {
        let (authority, _) = Authority::mint(scope(), "Lab 3", now()).unwrap();
        let subject = Subject::new(["xr.conclave.test".parse().unwrap()], ["10.20.3.4".parse().unwrap()]);
        let leaf = authority.issue(leaf_use, &subject, now()).unwrap();
        assert_eq!(leaf.validity().life(), Duration::from_secs(days * 86_400));
        assert!(leaf.validity().not_before <= now() - Duration::from_secs(3_600));
        assert!(leaf.validity().contains(now()));
        let text = openssl_text(leaf.chain().first().unwrap());
        for part in [
            "ASN1 OID: prime256v1",
            "Subject: \n",
            "Subject Alternative Name: critical",
            "TLS Web Server Authentication",
        ] {
            assert!(text.contains(part), "{part:?} is missing:\n{text}");
        }
        let der = leaf.chain().first().unwrap();
        assert_eq!(leaf.fingerprint(), Fingerprint::of(der));
        assert_eq!(openssl_fingerprint(der), leaf.fingerprint().to_string());
        let other = authority.issue(leaf_use, &subject, now()).unwrap();
        assert_ne!(other.serial(), leaf.serial());
        assert_eq!(leaf.serial().len(), 40, "20 octets: {}", leaf.serial());
    }
    check(LeafUse::Tcp, 90);
    check(LeafUse::Udp, 13);
}

#[test]
fn the_root_is_p384_for_ten_years_and_its_fingerprint_is_what_openssl_shows() {
    let (authority, _) = Authority::mint(scope(), "Lab 3", now()).unwrap();
    let text = openssl_text(authority.root_der());
    for part in ["ASN1 OID: secp384r1", "O = Lab 3, CN = Conclave root", "X509v3 Name Constraints: critical"] {
        assert!(text.contains(part), "{part:?} is missing:\n{text}");
    }
    let years = authority.validity().life().as_secs() / (365 * 86_400);
    assert_eq!(years, 10);
    assert_eq!(openssl_fingerprint(authority.root_der()), authority.root_fingerprint().to_string());
}

#[test]
fn before_there_is_a_root_tcp_presents_a_certificate_known_by_its_fingerprint() {
    let start = now();
    let certificates = Certificates::bootstrap(&loopback_subject(), start).unwrap();
    assert!(certificates.udp().is_none() && certificates.udp_hashes().is_empty() && certificates.authority().is_none());
    let bootstrap = certificates.tcp().fingerprint();
    assert_eq!(bootstrap.to_string(), openssl_fingerprint(certificates.tcp().chain().first().unwrap()));
    let unseen: IpAddr = "10.20.3.4".parse().unwrap();
    assert!(matches!(certificates.cover(unseen, start), Ok(Cover::Outside)));
    assert!(certificates.renew_due(start + 59 * DAY).unwrap().is_empty());
    assert_eq!(slots(&certificates.renew_due(start + 60 * DAY).unwrap()), [Slot::Tcp]);
    assert_ne!(certificates.tcp().fingerprint(), bootstrap);
}

#[test]
fn leaves_are_renewed_when_time_has_passed_and_not_before() {
    let start = now();
    let certificates = installed(start);
    let first = certificates.tcp();
    let [current, next] = hashes(&certificates);
    assert!(certificates.renew_due(start + 4 * DAY).unwrap().is_empty());

    let rotated = certificates.renew_due(start + 5 * DAY).unwrap();
    assert_eq!(slots(&rotated), [Slot::UdpCurrent, Slot::UdpNext]);
    let [now_current, now_next] = hashes(&certificates);
    assert_eq!(now_current, next, "what clients were told would be next is presented");
    assert!(now_next != next && now_next != current);
    assert_eq!(certificates.udp().unwrap().fingerprint(), now_current);
    assert_eq!(certificates.tcp().fingerprint(), first.fingerprint());
    assert!(certificates.renew_due(start + 9 * DAY).unwrap().is_empty());

    // Renewal on time keeps every presented leaf valid until the next one.
    let mut moment = start + 5 * DAY;
    for _ in 0..20 {
        moment = moment + 5 * DAY;
        certificates.renew_due(moment).unwrap();
        let presented = certificates.udp().unwrap().validity();
        assert!(presented.contains(moment) && presented.contains(moment + 5 * DAY), "{moment}: {presented:?}");
        assert!(certificates.tcp().validity().contains(moment + 5 * DAY));
    }
    assert_ne!(certificates.tcp().fingerprint(), first.fingerprint());
}

#[test]
fn after_a_long_time_off_nothing_that_has_ended_is_presented() {
    for days in [8, 12, 20, 100] {
        let start = now();
        let certificates = installed(start);
        let moment = start + days * DAY;
        certificates.renew_due(moment).unwrap();
        let udp = certificates.udp().unwrap().validity();
        assert!(udp.contains(moment) && udp.contains(moment + 5 * DAY), "{days} days: {udp:?}");
        assert!(certificates.tcp().validity().contains(moment), "{days} days");
    }
}

#[test]
fn a_restart_keeps_the_same_leaves() {
    let start = now();
    let (authority, parts) = Authority::mint(scope(), "Lab 3", start).unwrap();
    let certificates = Certificates::bootstrap(&loopback_subject(), start).unwrap();
    let renewed = certificates.install(authority, &loopback_subject(), start).unwrap();
    assert_eq!(slots(&renewed), [Slot::Tcp, Slot::UdpCurrent, Slot::UdpNext]);
    let [tcp, udp_current, udp_next] = <[Renewed; 3]>::try_from(renewed).unwrap().map(|renewed| renewed.parts);
    let saved = SavedLeaves { tcp, udp_current, udp_next };
    let again = Certificates::load(Authority::load(&parts).unwrap(), &saved).unwrap();
    assert_eq!(again.tcp().fingerprint(), certificates.tcp().fingerprint());
    assert_eq!(again.udp_hashes(), certificates.udp_hashes());
    assert!(again.renew_due(start).unwrap().is_empty());
    let (other, _) = Authority::mint(scope(), "Lab 3", start).unwrap();
    assert!(matches!(Certificates::load(other, &saved), Err(Error::Stored { .. })));
}

#[test]
fn a_connection_after_a_swap_sees_the_new_leaf_without_a_restart() {
    let start = now();
    let certificates = Arc::new(installed(start));
    let server = Server::tls(tls::https_config(certificates.clone()).unwrap());
    let look = || connect(server.address, &certificates.authority().unwrap(), tls::provider(), &[]).leaf;
    let before = look();
    assert_eq!(before, certificates.tcp().fingerprint());
    certificates.renew_due(start + 60 * DAY).unwrap();
    // The new leaf begins two months from now, so the client takes any: here only which one it is matters.
    assert_ne!(peer_of_any(server.address), before);
    assert_eq!(peer_of_any(server.address), certificates.tcp().fingerprint());
    let (other, _) = Authority::mint(scope(), "Lab 3", start).unwrap();
    certificates.install(other, &loopback_subject(), start).unwrap();
    assert_eq!(look(), certificates.tcp().fingerprint());
}

#[test]
fn an_unseen_local_address_is_covered_inside_the_networks_and_not_outside() {
    let start = now();
    let certificates = installed(start);
    let cover = |address: &str| certificates.cover(address.parse().unwrap(), start).unwrap();
    assert!(matches!(cover("127.0.0.1"), Cover::Covered));
    let Cover::Minted(renewed) = cover("10.20.3.4") else { panic!("not minted") };
    assert_eq!((renewed.slot, renewed.fingerprint), (Slot::Tcp, certificates.tcp().fingerprint()));
    assert!(matches!(cover("10.20.3.4"), Cover::Covered));
    assert!(matches!(cover("::ffff:10.20.3.4"), Cover::Covered), "as a dual-stack socket shows it");
    assert!(matches!(cover("10.21.3.4"), Cover::Outside));
    assert!(matches!(cover("fd21::4"), Cover::Outside));
    let authority = certificates.authority().unwrap();
    assert_eq!(webpki_verify(&authority, &certificates.tcp(), "10.20.3.4"), Ok(()));
    assert_eq!(webpki_verify(&authority, &certificates.tcp(), "127.0.0.1"), Ok(()), "what it had it keeps");

    // UDP follows at its next rotation.
    certificates.renew_due(start + 5 * DAY).unwrap();
    certificates.renew_due(start + 10 * DAY).unwrap();
    assert_eq!(certificates.udp().unwrap().subject(), certificates.tcp().subject());
}

#[test]
fn a_certificate_does_not_grow_without_bound() {
    let start = now();
    let certificates = installed(start);
    let minted = (1..=100_u8)
        .map(|last| certificates.cover(IpAddr::from(Ipv4Addr::new(10, 20, 0, last)), start).unwrap())
        .filter(|cover| matches!(cover, Cover::Minted(_)))
        .count();
    assert_eq!(minted, 63, "64 with the one it began with");
    assert!(matches!(certificates.cover("10.20.1.1".parse().unwrap(), start), Ok(Cover::Full)));
    assert_eq!(certificates.tcp().subject().addresses.len(), 64);
}

fn installed(start: Timestamp) -> Certificates {
    let certificates = Certificates::bootstrap(&loopback_subject(), start).unwrap();
    let (authority, _) = Authority::mint(scope(), "Lab 3", start).unwrap();
    certificates.install(authority, &loopback_subject(), start).unwrap();
    certificates
}

fn slots(renewed: &[Renewed]) -> Vec<Slot> {
    renewed.iter().map(|renewed| renewed.slot).collect()
}

fn hashes(certificates: &Certificates) -> [Fingerprint; 2] {
    certificates.udp_hashes().try_into().unwrap()
}

fn openssl_text(der: &[u8]) -> String {
    openssl_x509(der, ["-text"])
}

fn openssl_fingerprint(der: &[u8]) -> String {
    let text = openssl_x509(der, ["-fingerprint", "-sha256"]);
    text.trim().split_once('=').unwrap().1.to_owned()
}

fn openssl_x509(der: &[u8], options: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    let mut child = Command::new("openssl")
        .args(["x509", "-inform", "DER", "-noout"])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(der).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

/// The leaf a server presents, whether or not it is valid now.
fn peer_of_any(address: SocketAddr) -> Fingerprint {
    let output = Command::new("timeout")
        .args(["20", "openssl", "s_client", "-showcerts", "-connect", &address.to_string()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
    let body = text.split_once(begin).unwrap().1.split_once(end).unwrap().0;
    let base64 = body.split_whitespace().collect::<String>();
    Fingerprint::of(&STANDARD.decode(base64).unwrap())
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! The certificates of a running appliance: before and after the claim, over restarts, renewals and new addresses.

use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::harness::http::client_config;
use crate::harness::{Appliance, tool};

/// What a verified handshake presented.
struct Presented {
    serial: String,
    names: Vec<String>,
    days: i64,
}

/// A TLS handshake to `address` under `name`, verified against `root_pem`; the clock of the verifier is this machine's.
fn handshake(address: SocketAddr, name: &str, root_pem: &str) -> Result<Presented, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = ClientConnection::new(client_config(root_pem), name)?;
    let mut tcp = TcpStream::connect(address).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut tcp).map_err(|error| match error.downcast::<rustls::Error>() {
            Ok(error) => error,
            Err(error) => rustls::Error::General(error.to_string()),
        })?;
    }
    let leaf = session.peer_certificates().unwrap()[0].clone();
    let (_, certificate) = X509Certificate::from_der(&leaf).unwrap();
    let alternative = certificate.subject_alternative_name().unwrap().unwrap();
    let names = alternative.value.general_names.iter().map(|name| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress([a, b, c, d]) => format!("{a}.{b}.{c}.{d}"),
        other => format!("{other:?}"),
    });
    let life = certificate.validity().not_after.timestamp() - certificate.validity().not_before.timestamp();
    Ok(Presented { serial: certificate.raw_serial_as_string(), names: names.collect(), days: life / 86_400 })
}

#[test]
fn an_unclaimed_appliance_presents_a_bootstrap_certificate_and_a_claimed_one_its_own_root() {
    let appliance = Appliance::start();
    let before = appliance.admin("GET", "/api/v1/trust", None).json();
    assert_eq!(before["root_pem"], serde_json::Value::Null);
    assert_eq!(before["fingerprint"].as_str().unwrap().len(), 64);
    appliance.claim();
    let after = appliance.admin("GET", "/api/v1/trust", None).json();
    assert_ne!(before["fingerprint"], after["fingerprint"]);
    assert_eq!(after["udp_certificate_hashes"].as_array().unwrap().len(), 2);
    let presented = handshake(appliance.address, "localhost", &appliance.root_pem()).unwrap();
    assert_eq!(presented.days, 90);
    assert!(presented.names.contains(&"localhost".to_owned()), "{:?}", presented.names);
}

#[test]
fn a_restart_keeps_root_and_leaf_and_another_root_does_not_verify_it() {
    let mut appliance = Appliance::claimed();
    let root = appliance.root_pem();
    let before = handshake(appliance.address, "localhost", &root).unwrap();
    assert!(appliance.stop().success());
    appliance.restart();
    assert_eq!(appliance.root_pem(), root);
    assert_eq!(handshake(appliance.address, "localhost", &root).unwrap().serial, before.serial);
    let other = Appliance::claimed();
    assert!(handshake(appliance.address, "localhost", &other.root_pem()).is_err());
}

#[test]
fn certificates_are_renewed_while_serving_and_the_udp_ones_every_five_days() {
    let appliance = Appliance::claimed();
    let root = appliance.root_pem();
    let serial = || handshake(appliance.address, "localhost", &root).map(|presented| presented.serial);
    let hashes = || appliance.admin("GET", "/api/v1/trust", None).json()["udp_certificate_hashes"].clone();
    let (first, udp) = (serial().unwrap(), hashes());

    appliance.advance(Duration::from_secs(6 * 86_400));
    appliance.tick();
    assert_eq!(serial().unwrap(), first, "a TCP leaf lives for 90 days");
    let rotated = hashes();
    assert_eq!(rotated[0], udp[1], "the next one became the current one");
    assert_ne!(rotated[1], udp[1]);

    appliance.advance(Duration::from_secs(56 * 86_400));
    appliance.tick();
    // The new leaf begins in the appliance's present, which is this verifier's future: it is refused for just that.
    match serial() {
        Err(rustls::Error::InvalidCertificate(error)) => {
            assert!(format!("{error:?}").starts_with("NotValidYet"), "{error:?}")
        }
        other => panic!("{other:?}"),
    }
    assert!(appliance.log().contains("certificate renewed"));
}

#[test]
fn a_local_address_inside_the_networks_gets_into_the_certificate_when_somebody_uses_it() {
    let appliance = Appliance::start_with(&["--test-cheap-passwords", "--listen", "0.0.0.0:0"]);
    appliance.claim();
    let root = appliance.root_pem();
    let port =
        appliance.log().split("0.0.0.0:").nth(1).and_then(|rest| rest.split(']').next()).unwrap().parse().unwrap();
    let presented = handshake(([127, 0, 0, 77], port).into(), "127.0.0.77", &root).unwrap();
    assert!(presented.names.contains(&"127.0.0.77".to_owned()), "{:?}", presented.names);
}

#[test]
fn the_root_is_to_be_downloaded_and_openssl_accepts_the_chain() {
    let appliance = Appliance::claimed();
    let answer = appliance.https("GET", "/api/v1/trust/root.pem", &[], None);
    assert_eq!(answer.text(), appliance.root_pem());
    let root = appliance.dir.path().join("root.pem");
    std::fs::write(&root, &answer.body).unwrap();
    let connect = |arguments: &[&str]| {
        let mut command = tool("openssl");
        command.args(["s_client", "-connect", &appliance.address.to_string(), "-servername", "localhost"]);
        command.args(["-verify_hostname", "localhost", "-verify_return_error", "-CAfile"]).arg(&root);
        command.args(arguments).stdin(Stdio::null()).output().unwrap().status.success()
    };
    assert!(connect(&["-tls1_3"]));
    assert!(!connect(&["-tls1_2"]));
    assert!(!connect(&["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]));
    assert!(connect(&["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"]));
}

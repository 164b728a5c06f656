// SPDX-License-Identifier: AGPL-3.0-or-later
//! The TLS policy, as clients of other people and our own meet it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread;

use rustls::crypto::aws_lc_rs;
use rustls::server::ServerSessionMemoryCache;
use rustls::{CipherSuite, HandshakeKind, NamedGroup, ServerConfig};

use conclave::platform::pki::{Authority, Leaf, tls};

use super::{Server, client_config, connect, fixed, handshake, loopback};

#[test]
fn openssl_gets_tls_1_3_with_the_suites_of_the_policy_and_nothing_else() {
    fn check(address: SocketAddr, root: &Path, options: &[&str], expected: Option<&str>) {
        let output = s_client(address, root, options);
        let words = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.success(), expected.is_some(), "{options:?}: {words}");
        assert!(words.contains(expected.unwrap_or("alert")), "{options:?}: {words}");
    }
    let dir = tempfile::tempdir().unwrap();
    let (authority, leaf) = loopback();
    let root = dir.path().join("root.pem");
    fs::write(&root, authority.root_pem()).unwrap();
    let ours = Server::tls(tls::https_config(fixed(&leaf)).unwrap());
    let aes_128 = ["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"];
    check(ours.address, &root, &["-tls1_3"], Some("TLS_AES_256_GCM_SHA384"));
    check(ours.address, &root, &["-tls1_3"], Some("Verification: OK"));
    check(ours.address, &root, &["-tls1_3"], Some("X25519"));
    check(ours.address, &root, &["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], Some("CHACHA20"));
    let chacha_first = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384";
    check(ours.address, &root, &["-ciphersuites", chacha_first], Some("TLS_AES_256_GCM_SHA384"));
    check(ours.address, &root, &["-tls1_2"], None);
    check(ours.address, &root, &aes_128, None);

    // Control: the same client gets AES-128 and TLS 1.2 from servers without the policy.
    let free = Server::tls(Arc::new(
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(fixed(&leaf)),
    ));
    check(free.address, &root, &aes_128, Some("TLS_AES_128_GCM_SHA256"));
    let old = openssl_s_server(dir.path(), &authority, &leaf);
    check(old.address, &root, &["-tls1_2"], Some("TLSv1.2"));
}

#[test]
fn clients_that_can_agree_on_post_quantum_keys_and_the_rest_on_x25519() {
    let (authority, leaf) = loopback();
    let server = Server::tls(tls::https_config(fixed(&leaf)).unwrap());
    let seen = connect(server.address, &authority, tls::provider(), &[b"http/1.1", b"h2"]);
    assert_eq!(seen.group, NamedGroup::X25519MLKEM768);
    assert_eq!(seen.suite, CipherSuite::TLS13_AES_256_GCM_SHA384);
    assert_eq!(seen.alpn.as_deref(), Some(&b"h2"[..]));
    let mut classical = tls::provider();
    classical.kx_groups.retain(|group| group.name() != NamedGroup::X25519MLKEM768);
    assert_eq!(connect(server.address, &authority, classical, &[]).group, NamedGroup::X25519);
}

#[test]
fn no_session_outlives_its_connection() {
    let (authority, leaf) = loopback();
    let server = Server::tls(tls::https_config(fixed(&leaf)).unwrap());
    let client = client_config(&authority, tls::provider(), &[]);
    for _ in 0..2 {
        let seen = handshake(server.address, client.clone());
        assert_eq!(seen.resumed, Some(HandshakeKind::Full));
    }
    // Control: without the policy the second connection of the same client is a resumption.
    let mut config = ServerConfig::clone(&tls::https_config(fixed(&leaf)).unwrap());
    config.send_tls13_tickets = 2;
    config.session_storage = ServerSessionMemoryCache::new(8);
    let server = Server::tls(Arc::new(config));
    let client = client_config(&authority, tls::provider(), &[]);
    let kinds: Vec<_> = (0..2).map(|_| handshake(server.address, client.clone()).resumed).collect();
    assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)]);
}

fn s_client(address: SocketAddr, root: &Path, options: &[&str]) -> Output {
    Command::new("timeout")
        .args(["20", "openssl", "s_client", "-verify_return_error", "-connect", &address.to_string(), "-CAfile"])
        .arg(root)
        .args(options)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// A TLS 1.2 server of somebody else's, with our certificate.
fn openssl_s_server(dir: &Path, authority: &Authority, leaf: &Leaf) -> ForeignServer {
    let parts = leaf.parts();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let mut child = Command::new("openssl")
        .args(["s_server", "-tls1_2", "-accept", "127.0.0.1:0", "-certform", "DER", "-keyform", "DER", "-cert"])
        .arg(file("leaf.der", leaf.chain().first().unwrap()))
        .arg("-key")
        .arg(file("key.der", parts.key_pkcs8.expose()))
        .arg("-cert_chain")
        .arg(file("chain.der", authority.intermediate_der()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
    // Somebody has to read what it says, or it stops.
    thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    ForeignServer { address: address.parse().unwrap(), child }
}

struct ForeignServer {
    address: SocketAddr,
    child: Child,
}

impl Drop for ForeignServer {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

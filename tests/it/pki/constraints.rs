// SPDX-License-Identifier: AGPL-3.0-or-later
//! Name constraints: each verifier accepts what the scope includes and refuses the rest, one trial per type of name.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rcgen::SanType;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use conclave::platform::pki::{Authority, Leaf, LeafUse, Scope, tls};

use super::{Server, fixed, now, scope};

/// One leaf that a verifier is shown.
struct Trial {
    what: String,
    authority: Arc<Authority>,
    leaf: Leaf,
    /// Whom the client asks for.
    host: &'static str,
    accepted: bool,
}

/// The alternative names of one leaf, whom the client asks for, and whether the scope includes all of them.
struct Case {
    what: &'static str,
    names: Vec<SanType>,
    host: &'static str,
    included: bool,
}

#[test]
fn openssl_accepts_what_the_scope_includes_and_refuses_the_rest() {
    check_with(openssl_verify, &["permitted subtree violation", "excluded subtree violation"]);
}

#[test]
fn webpki_accepts_what_the_scope_includes_and_refuses_the_rest() {
    check_with(webpki_verify, &["NameConstraintViolation"]);
}

#[test]
fn chromium_accepts_what_the_scope_includes_and_refuses_the_rest() {
    let home = tempfile::tempdir().unwrap();
    let trials = trials();
    let mut page =
        String::from("<script>function said(n, v) { document.body.dataset['trial' + n] = v }</script><body>");
    let servers: Vec<Server> = trials.iter().map(|trial| Server::tls(script_config(&trial.leaf))).collect();
    for (n, (trial, server)) in trials.iter().zip(&servers).enumerate() {
        let port = server.address.port();
        let host = if trial.host.contains(':') { format!("[{}]", trial.host) } else { trial.host.to_owned() };
        let said = |verdict: &str| format!("said({n}, '{verdict}')");
        let (accepted, refused) = (said("accepted"), said("refused"));
        writeln!(page, "<script src='https://{host}:{port}/' onload=\"{accepted}\" onerror=\"{refused}\"></script>")
            .unwrap();
    }
    trust(home.path(), &trials);
    let start = Server::plain(page);
    let dom = chromium(home.path(), &format!("http://127.0.0.1:{}/", start.address.port()));
    for (n, trial) in trials.iter().enumerate() {
        let verdict = if trial.accepted { "accepted" } else { "refused" };
        assert!(dom.contains(&format!("data-trial{n}=\"{verdict}\"")), "{} should be {verdict}\n{dom}", trial.what);
    }
}

/// Shows every trial to `verify`, which answers the verifier's words when it refuses.
fn check_with(verify: impl Fn(&Authority, &Leaf, &str) -> Result<(), String>, violation: &[&str]) {
    for Trial { what, authority, leaf, host, accepted } in trials() {
        match verify(&authority, &leaf, host) {
            Ok(()) => assert!(accepted, "{what} was accepted"),
            Err(words) => {
                assert!(!accepted && violation.iter().any(|part| words.contains(part)), "{what}: {words}");
            }
        }
    }
}

/// Every case under constraints as shipped, on the root alone, and absent: the control, which accepts everything.
fn trials() -> Vec<Trial> {
    let none: [&str; 0] = [];
    let [v4, v6] = ["10.20.0.0/16", "fd20::/16"];
    let scopes = [
        (scope(), cases()),
        // A type of name that nobody chose is excluded whole.
        (Scope::parse(&none, &[v4, v6]).unwrap(), vec![only_dns("xr.conclave.test")]),
        (Scope::parse(&["conclave.test"], &[v6]).unwrap(), vec![only_ip("10.20.3.4")]),
        (Scope::parse(&["conclave.test"], &[v4]).unwrap(), vec![only_ip("fd20::4")]),
        (Scope::parse(&["conclave.test"], &none).unwrap(), vec![only_ip("10.20.3.4"), only_ip("fd20::4")]),
    ];
    let mut trials = Vec::new();
    for (scope, cases) in scopes {
        for (how, constrained, authority) in authorities(&scope) {
            let authority = Arc::new(authority);
            for case in &cases {
                trials.push(Trial {
                    what: format!("{}, root for {scope}, {how}", case.what),
                    leaf: authority.issue_unchecked(LeafUse::Tcp, case.names.clone(), now()).unwrap(),
                    authority: authority.clone(),
                    host: case.host,
                    accepted: case.included || !constrained,
                });
            }
        }
    }
    trials
}

fn authorities(scope: &Scope) -> [(&'static str, bool, Authority); 3] {
    [
        ("constrained", true, Authority::mint(scope.clone(), "Lab 3", now()).unwrap().0),
        ("root constrained", true, Authority::mint_root_constrained(scope.clone(), "Lab 3", now()).unwrap().0),
        ("control", false, Authority::mint_unconstrained(scope.clone(), "Lab 3", now()).unwrap().0),
    ]
}

fn cases() -> Vec<Case> {
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let ip = |address: &str| SanType::IpAddress(address.parse().unwrap());
    let email = |text: &str| SanType::Rfc822Name(text.try_into().unwrap());
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let own = "xr.conclave.test";
    let case = |what, names, host, included| Case { what, names, host, included };
    vec![
        case("the suffix itself", vec![dns("conclave.test")], "conclave.test", true),
        case("a name below the suffix", vec![dns(own)], own, true),
        case("an IPv4 address", vec![ip("10.20.3.4")], "10.20.3.4", true),
        case("an IPv6 address", vec![ip("fd20::4")], "fd20::4", true),
        case("all of them", vec![dns(own), ip("10.20.3.4"), ip("fd20::4")], own, true),
        case("another name", vec![dns("www.example.org")], "www.example.org", false),
        case("a name that only ends alike", vec![dns("badconclave.test")], "badconclave.test", false),
        case("another IPv4 address", vec![ip("10.21.3.4")], "10.21.3.4", false),
        case("another IPv6 address", vec![ip("fd21::4")], "fd21::4", false),
        case("another name beside a good one", vec![dns(own), dns("www.example.org")], own, false),
        case("an e-mail address", vec![dns(own), email("admin@conclave.test")], own, false),
        case("an e-mail address nowhere", vec![dns(own), email("admin@nowhere.invalid")], own, false),
        case("a URI", vec![dns(own), uri("https://xr.conclave.test/")], own, false),
        case("a URI nowhere", vec![dns(own), uri("https://nowhere.invalid/")], own, false),
    ]
}

fn only_dns(host: &'static str) -> Case {
    let names = vec![SanType::DnsName(host.try_into().unwrap())];
    Case { what: "a name where none was chosen", names, host, included: false }
}

fn only_ip(host: &'static str) -> Case {
    let names = vec![SanType::IpAddress(host.parse().unwrap())];
    Case { what: "an address where none of its kind was chosen", names, host, included: false }
}

/// `openssl verify` of the chain and of the name the client asked for.
fn openssl_verify(authority: &Authority, leaf: &Leaf, host: &str) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, der: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, der).unwrap();
        path
    };
    let check = if host.parse::<IpAddr>().is_ok() { "-verify_ip" } else { "-verify_hostname" };
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslserver", "-no-CApath", "-no-CAstore", check, host, "-CAfile"])
        .arg(file("root.pem", authority.root_pem().as_bytes()))
        .arg("-untrusted")
        .arg(file("intermediate.der", authority.intermediate_der()))
        .arg(file("leaf.der", leaf.chain().first().unwrap()))
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(words) }
}

/// What rustls clients do.
pub fn webpki_verify(authority: &Authority, leaf: &Leaf, host: &str) -> Result<(), String> {
    let root = CertificateDer::from(authority.root_der());
    let anchor = webpki::anchor_from_trusted_cert(&root).unwrap();
    let (leaf, intermediates) = leaf.chain().split_first().unwrap();
    let leaf = webpki::EndEntityCert::try_from(leaf).unwrap();
    let time = UnixTime::since_unix_epoch(Duration::from_secs(now().as_secs().try_into().unwrap()));
    leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &[anchor],
        intermediates,
        time,
        webpki::KeyUsage::server_auth(),
        None,
        None,
    )
    .map_err(|error| format!("{error:?}"))?;
    leaf.verify_is_valid_for_subject_name(&ServerName::try_from(host).unwrap()).map_err(|error| format!("{error:?}"))
}

/// A certificate store in this home directory that trusts the root of every trial.
fn trust(home: &Path, trials: &[Trial]) {
    let store = home.join(".pki/nssdb");
    fs::create_dir_all(&store).unwrap();
    let certutil = |arguments: &[&str]| {
        let output = Command::new("certutil")
            .arg("-d")
            .arg(format!("sql:{}", store.display()))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    certutil(&["-N", "--empty-password"]);
    let mut roots: Vec<_> = trials.iter().map(|trial| &trial.authority).collect();
    roots.dedup_by_key(|authority| authority.root_fingerprint());
    let file = home.join("root.pem");
    for root in roots {
        fs::write(&file, root.root_pem()).unwrap();
        certutil(&["-A", "-t", "C,,", "-n", &root.root_fingerprint().to_string(), "-i", file.to_str().unwrap()]);
    }
}

/// The document as a browser with this home directory leaves it; every name and address is this machine.
fn chromium(home: &Path, url: &str) -> String {
    let output = Command::new("timeout")
        .args(["--kill-after=5", "90", "/usr/bin/chromium", "--headless", "--no-sandbox", "--disable-gpu"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--host-resolver-rules=MAP * 127.0.0.1", "--dump-dom"])
        .arg(format!("--user-data-dir={}", home.join("profile").display()))
        .arg(url)
        .env("HOME", home)
        .env_remove("XDG_DATA_HOME")
        .env_remove("XDG_CONFIG_HOME")
        .stderr(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The policy, for a server that speaks HTTP/1.1 alone.
fn script_config(leaf: &Leaf) -> Arc<ServerConfig> {
    let mut config = ServerConfig::clone(&tls::https_config(fixed(leaf)).unwrap());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave doctor`: everything that can be looked at, with the way out of what is not as it should be. Half of it is
//! seen from the host, half by the appliance itself.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command as Process;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use ipnet::IpNet;

use crate::api::doctor::of_fence;
use crate::api::types::Status;
use crate::api::types::doctor::{Check, CheckState, Checkup};
use crate::cli::exit::Failure;
use crate::cli::host::{key, network, output_of};
use crate::cli::{Door, addresses};
use crate::config::{Config, SEALED_MASTER_KEY};
use crate::lifecycle::LifecycleError;
use crate::platform::clock::Clock;
use crate::platform::fence::{self, Tried};
use crate::platform::https::Listener;
use crate::platform::sockets::HandedOver;
use crate::platform::sys;

const SERVICE: &str = "conclave.service";
/// Where the probe tries to get to: this host, and yet not what its fence lets through.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// How long the probe may take.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);
/// How long this host's DNS may take for a name.
const DNS_PATIENCE: Duration = Duration::from_secs(2);
/// How much one commit may wait for the disk before people notice.
const COMMIT_SLOW: Duration = Duration::from_millis(50);
/// `systemd-analyze security` counts what is exposed, in tenths of 10.
const EXPOSED_MAX: f64 = 0.5;

/// Runs the command.
pub async fn run(door: &Door, config: &Config) -> Result<(), Failure> {
    let mut checks = Vec::new();
    let status = door.client.get::<Status>("/api/v1/system/status").await;
    match &status {
        Ok(status) => checks.push(version(&status.version)),
        Err(error) => checks.push(Check::fail(
            "appliance",
            error.to_string(),
            "`systemctl status conclave.service` and `journalctl -u conclave.service` say why; the checks below are the host's alone",
        )),
    }
    if matches!(sd_notify::booted(), Ok(true)) {
        checks.extend(units());
        checks.push(sandbox());
        checks.push(fence_as_told());
        checks.push(reused_listener());
    } else {
        let says = "this host is not run by systemd: there are no units, no sandbox and no fence to look at";
        checks.push(Check::warn("units", says, "run the appliance on a host with systemd, as the package installs it"));
    }
    checks.extend(host_addresses(status.as_ref().ok()));
    if let Ok(status) = &status {
        checks.extend(names(&status.trust.names).await);
    }
    checks.push(commit_time(config.layout.root()));
    checks.extend(sealing(config));
    checks.push(swap());
    checks.push(time());
    if status.is_ok() {
        match door.client.get::<Checkup>("/api/v1/system/doctor").await {
            Ok(seen) => checks.extend(seen.checks),
            Err(error) => checks.push(Check::fail("appliance", error.to_string(), "look at its log")),
        }
    }
    let checkup = Checkup { checks };
    door.output.print(&checkup, text)?;
    match checkup.worst() {
        CheckState::Fail => Err(Failure::CheckFailed("something does not work, or not for long: see above".to_owned())),
        CheckState::Warn | CheckState::Ok => Ok(()),
    }
}

fn text(checkup: &Checkup) -> String {
    let width = checkup.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    let line = |check: &Check| {
        let Check { name, state, says, way_out } = check;
        let way_out = way_out.as_ref().map(|way_out| format!("      {:width$}  → {way_out}\n", "")).unwrap_or_default();
        format!("{:<4}  {name:width$}  {says}\n{way_out}", state.as_str())
    };
    checkup.checks.iter().map(line).collect()
}

fn version(running: &str) -> Check {
    let here = env!("CARGO_PKG_VERSION");
    if running == here {
        return Check::ok("appliance", format!("Conclave {running} answers"));
    }
    let says = format!("Conclave {running} serves, and this command is {here}");
    Check::warn("appliance", says, "restart it: systemctl restart conclave.service")
}

/// What systemd shows of a unit, one property.
pub fn shown(unit: &str, property: &str) -> Option<String> {
    let output = output_of(Process::new("systemctl").args(["show", "--value", "-p", property, unit])).ok()?;
    Some(String::from_utf8_lossy(&output).trim().to_owned())
}

fn units() -> Vec<Check> {
    let [https, quic] = network::SOCKETS;
    let ill = |unit: &str| {
        let state = shown(unit, "ActiveState").unwrap_or_else(|| "not known".to_owned());
        (state != "active").then(|| format!("{unit} is {state}"))
    };
    let ill: Vec<String> = [SERVICE, https, quic, "conclave-admin.socket"].into_iter().filter_map(ill).collect();
    if ill.is_empty() {
        return vec![Check::ok("units", "the service and its three sockets are active"), ports()];
    }
    let way_out = "systemctl start conclave.service; where a port is taken, `ss -lntup` shows by whom";
    vec![Check::fail("units", ill.join(", "), way_out)]
}

fn ports() -> Check {
    let listening = network::SOCKETS.map(|unit| shown(unit, "Listen").unwrap_or_default().replace('\n', ", "));
    Check::ok("ports", listening.join(", "))
}

fn sandbox() -> Check {
    let analyse = Process::new("systemd-analyze").args(["security", "--no-pager", SERVICE]).output();
    let text = match analyse {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => return Check::warn("sandbox", error.to_string(), "install systemd-analyze"),
    };
    let level = text
        .lines()
        .find_map(|line| line.split_once("exposure level for")?.1.split_whitespace().nth(1)?.parse::<f64>().ok());
    match level {
        Some(level) if level <= EXPOSED_MAX => Check::ok("sandbox", format!("exposure {level} of 10")),
        Some(level) => Check::warn(
            "sandbox",
            format!("exposure {level} of 10, and it was {EXPOSED_MAX} at most when it was installed"),
            "`systemctl cat conclave.service` shows which drop-in opens it",
        ),
        None => Check::warn("sandbox", "systemd says nothing of the service", "is conclave.service installed?"),
    }
}

/// What the socket units let through, as the kernel was told.
fn fence_as_told() -> Check {
    const NAME: &str = "fence: as told";
    let ill = |unit: &&str| {
        let deny = shown(unit, "IPAddressDeny").unwrap_or_default();
        let allow = shown(unit, "IPAddressAllow").unwrap_or_default();
        let denied = |all: &str| deny.split_whitespace().any(|network| network == all);
        let allowed: Vec<IpNet> = allow.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        !denied("0.0.0.0/0") || !denied("::/0") || network::too_wide(&allowed).is_some()
    };
    let open: Vec<&str> = network::SOCKETS.into_iter().filter(ill).collect();
    if open.is_empty() {
        return Check::ok(NAME, "both sockets are closed to all but the client networks");
    }
    let says = format!("{} may reach every address there is", open.join(", "));
    Check::fail(NAME, says, "`conclave network list` shows what was allowed, `systemctl cat` which file says so")
}

/// The third way out: an inherited listener, shut down and connected elsewhere. Tried on a socket that systemd makes with
/// such a fence, because it serves nobody afterwards: from 127.0.0.1 to 127.0.0.2, which it does not let through, so that
/// what comes out is seen.
fn reused_listener() -> Check {
    const NAME: &str = "fence: inherited listener";
    if sys::own_uid() != 0 {
        return Check::warn(NAME, "only root can try it", "sudo conclave doctor");
    }
    match escapes_by_listener() {
        Ok(false) => Check::ok(NAME, "this kernel stops one behind such a fence"),
        Ok(true) => of_fence(NAME, Tried::Left),
        Err(why) => of_fence(NAME, Tried::NotTried(why)),
    }
}

fn escapes_by_listener() -> Result<bool, String> {
    let said = |error: std::io::Error| error.to_string();
    let outside = TcpListener::bind((OUTSIDE, 0)).map_err(said)?;
    outside.set_nonblocking(true).map_err(said)?;
    let goal = outside.local_addr().map_err(said)?;
    // systemd takes no port 0; this one was free a moment ago.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr()).map_err(said)?.port();
    let program = std::env::current_exe().map_err(said)?;
    let unit = format!("conclave-fence-{}", std::process::id());
    let mut start = Process::new("systemd-run");
    start.args(["--quiet", "--collect", "--unit", &unit, "--socket-property=IPAddressDeny=any"]);
    start.args([format!("--socket-property=ListenStream=127.0.0.1:{port}")]);
    start.args([format!("--socket-property=IPAddressAllow={}", Ipv4Addr::LOCALHOST)]);
    start.arg(&program).args(["fence-probe", &goal.to_string()]);
    let started = output_of(&mut start).map_err(|error| error.to_string());
    // The first who connects starts the service.
    let knocked = started.and_then(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(said));
    let tried = knocked.and_then(|knock| wait_for_its_end(knock).map_err(said));
    let arrived = outside.accept().is_ok();
    drop(Process::new("systemctl").args(["stop", &format!("{unit}.socket")]).output());
    tried.map(|()| arrived)
}

/// The probe holds the connection that started it until it ends.
fn wait_for_its_end(mut knock: TcpStream) -> std::io::Result<()> {
    knock.set_read_timeout(Some(PROBE_PATIENCE))?;
    match knock.read(&mut [0; 1]) {
        // It was reset, or nothing more comes.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error),
    }
}

/// What the probe does, behind the fence.
pub fn probe(outside: SocketAddr) -> Result<(), Failure> {
    let HandedOver { https, .. } = HandedOver::take().map_err(LifecycleError::from)?;
    let listener = https.into_iter().next().map(Listener::into_std);
    let listener = listener.ok_or_else(|| Failure::Usage("this is started by `conclave doctor` alone".to_owned()))?;
    listener.set_nonblocking(false)?;
    let (_knock, _) = listener.accept()?;
    Ok(fence::reuse(listener, outside)?)
}

/// How the key file that systemd opens is protected: the host's key is on the same disk.
fn sealing(config: &Config) -> Option<Check> {
    const NAME: &str = "master key sealing";
    if !Path::new(SEALED_MASTER_KEY).exists() {
        return None;
    }
    if config.layout.master_key().exists() {
        let says = format!("sealed, and {} is there all the same", config.layout.master_key().display());
        return Some(Check::warn(NAME, says, "run `conclave key seal` or `conclave key unseal` again"));
    }
    Some(if key::has_tpm2() {
        Check::ok(NAME, "to the TPM2 of this machine")
    } else {
        Check::warn(
            NAME,
            "to a key of the host that lies on the same machine: whoever copies its whole disk has both",
            "use a machine with a TPM2, or an encrypted disk",
        )
    })
}

/// Addresses that clients would use, but that the fence or the root leaves out.
fn host_addresses(status: Option<&Status>) -> Vec<Check> {
    let (addresses, allowed) = match (addresses::of_this_host(), network::allowed()) {
        (Ok(addresses), Ok(allowed)) => (addresses, allowed),
        (Err(error), _) => return vec![Check::warn("addresses", error.to_string(), "run this as root")],
        (_, Err(error)) => return vec![Check::warn("addresses", error.to_string(), "run this as root")],
    };
    if addresses.is_empty() {
        let way_out = "give it an address (`ip address`), then `conclave network addresses`";
        return vec![Check::warn("addresses", "this host has none that others could type", way_out)];
    }
    let listed = |addresses: &[&IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let inside = |networks: &[IpNet], address: &IpAddr| networks.iter().any(|network| network.contains(address));
    let mut checks = Vec::new();
    let fenced: Vec<&IpAddr> = addresses.iter().filter(|address| !inside(&allowed, address)).collect();
    if fenced.is_empty() {
        checks.push(Check::ok("client networks", "every address of this host is in one"));
    } else {
        let says = format!("{} is in none: clients beside it are not answered", listed(&fenced));
        checks.push(Check::warn(
            "client networks",
            says,
            "conclave network allow CIDR, for the networks your people are in",
        ));
    }
    if let Some(status) = status.filter(|status| status.claim == "claimed") {
        let networks = &status.trust.networks;
        let uncovered: Vec<&IpAddr> = addresses.iter().filter(|address| !inside(networks, address)).collect();
        if uncovered.len() == addresses.len() && status.trust.names.is_empty() {
            let says = format!("no certificate may name {}", listed(&uncovered));
            checks.push(Check::warn(
                "addresses",
                says,
                "the root is bound to other networks: people need a name of it",
            ));
        } else {
            checks.push(Check::ok("addresses", listed(&addresses.iter().collect::<Vec<_>>())));
        }
    }
    checks
}

/// Whether the names of the root lead here.
async fn names(names: &[String]) -> Vec<Check> {
    let here = addresses::of_this_host().unwrap_or_default();
    let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
    let Ok(resolver) = resolver else {
        return vec![Check::warn("names", "this host has no resolver", "look at /etc/resolv.conf")];
    };
    let mut checks = Vec::new();
    for name in names.iter().filter(|name| *name != "localhost") {
        let check = format!("name {name}");
        let found = tokio::time::timeout(DNS_PATIENCE, resolver.lookup_ip(format!("{name}."))).await;
        checks.push(match found {
            Ok(Ok(found)) if found.iter().any(|address| here.contains(&address)) => {
                Check::ok(&check, "leads to this host")
            }
            Ok(Ok(found)) => {
                let found: Vec<String> = found.iter().map(|address| address.to_string()).collect();
                let says = format!("leads to {}, which this host does not have", found.join(", "));
                Check::warn(&check, says, "right where a proxy or NAT stands before it; else mend the DNS entry")
            }
            Ok(Err(_)) | Err(_) => Check::warn(
                &check,
                "is not found by this host's DNS",
                "enter it in your DNS; names below a suffix of the root count by themselves",
            ),
        });
    }
    checks
}

/// How long a commit waits for the disk, the slowest of some.
fn commit_time(data_dir: &Path) -> Check {
    const NAME: &str = "disk latency";
    let path = data_dir.join("doctor.new");
    let clock = Clock::system();
    let measure = || -> std::io::Result<Duration> {
        // The directory is the appliance's: what is there, a link too, goes, and nothing there is followed.
        drop(fs::remove_file(&path));
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let mut slowest = Duration::ZERO;
        for _ in 0..10 {
            let began = clock.instant();
            file.write_all(&[0; 4_096])?;
            file.sync_data()?;
            slowest = slowest.max(clock.instant().duration_since(began));
        }
        Ok(slowest)
    };
    let measured = measure();
    drop(fs::remove_file(&path));
    match measured {
        Ok(slowest) if slowest > COMMIT_SLOW => Check::warn(
            NAME,
            format!("a commit takes up to {} ms", slowest.as_millis()),
            "put the data on a local disk with a write cache that survives a power cut",
        ),
        Ok(slowest) => Check::ok(NAME, format!("a commit takes up to {:.1} ms", slowest.as_secs_f64() * 1_000.0)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let says = format!("there is no {}", data_dir.display());
            Check::warn(NAME, says, "name the configuration that the appliance runs with: --config FILE")
        }
        Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            Check::fail(NAME, format!("{}: {error}", path.display()), "free space on the disk of the data")
        }
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => Check::fail(
            NAME,
            format!("{}: {error}", path.display()),
            "the system log says why the disk is read-only; make it writable again",
        ),
        Err(error) => Check::warn(NAME, format!("{}: {error}", path.display()), "run this as root"),
    }
}

/// Keys must not get into a swap file that outlives them.
fn swap() -> Check {
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    if swaps.lines().count() <= 1 {
        return Check::ok("swap", "this host has none");
    }
    match shown(SERVICE, "MemorySwapMax").as_deref() {
        Some("0") => Check::ok("swap", "the host swaps, the service does not"),
        _ => Check::warn(
            "swap",
            "the service may be swapped out, keys included",
            "put MemorySwapMax=0 back into conclave.service",
        ),
    }
}

fn time() -> Check {
    let synchronised = output_of(Process::new("timedatectl").args(["show", "--value", "-p", "NTPSynchronized"]));
    match synchronised.map(|said| String::from_utf8_lossy(&said).trim() == "yes") {
        Ok(true) => Check::ok("time", "the clock of this host is synchronised"),
        Ok(false) => Check::warn(
            "time",
            "the clock of this host is not synchronised",
            "point systemd-timesyncd or chrony at a time server of yours: headsets refuse certificates when clocks are days apart",
        ),
        Err(_) => Check::warn("time", "systemd does not say whether the clock is synchronised", "timedatectl status"),
    }
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave doctor`: everything that can be looked at, with the way out of what is not as it should be. Half of it is
//! seen from the host, half by the appliance itself.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
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
use crate::cli::host::{network, output_of};
use crate::cli::{Door, addresses};
use crate::config::Config;
use crate::platform::clock::Clock;
use crate::platform::fence::{self, Tried};
use crate::platform::https::Listener;
use crate::platform::sockets::HandedOver;
use crate::platform::sys;

const SERVICE: &str = "conclave.service";
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
fn shown(unit: &str, property: &str) -> Option<String> {
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

/// The third way out: an inherited listener, shut down and connected elsewhere. Tried on a socket that systemd makes with
/// the same fence, because it serves nobody afterwards.
fn reused_listener() -> Check {
    const NAME: &str = "fence: inherited listener";
    if sys::own_uid() != 0 {
        return Check::warn(NAME, "only root can try it", "sudo conclave doctor");
    }
    let [https, _] = network::SOCKETS;
    let (Some(allow), Some(deny)) = (shown(https, "IPAddressAllow"), shown(https, "IPAddressDeny")) else {
        return Check::warn(NAME, "systemd does not answer", "is this host run by systemd?");
    };
    let Ok(program) = std::env::current_exe() else {
        return Check::warn(NAME, "this program does not know where it is", "run it by its whole path");
    };
    let unit = format!("conclave-fence-{}", std::process::id());
    let result = fs_name(&unit);
    let start = Process::new("systemd-run")
        .args(["--quiet", "--collect", "--unit", &unit])
        .args(["--socket-property=ListenStream=127.0.0.1:0".to_owned()])
        .args([format!("--socket-property=IPAddressAllow={allow}"), format!("--socket-property=IPAddressDeny={deny}")])
        .arg(format!("--property=StandardOutput=truncate:{result}"))
        .arg(&program)
        .arg("fence-probe")
        .output();
    // The socket is there now, and the first who connects starts the service.
    let knocked = start.map_err(|error| error.to_string()).and_then(|_| knock(&unit));
    let said = knocked.and_then(|()| wait_for(&result));
    drop(Process::new("systemctl").args(["stop", &format!("{unit}.socket")]).output());
    drop(fs::remove_file(&result));
    match said {
        Ok(said) => of_fence(NAME, read_verdict(&said)),
        Err(why) => Check::warn(NAME, format!("could not be tried: {why}"), "the other two are tried by the appliance"),
    }
}

fn fs_name(unit: &str) -> String {
    format!("/run/{unit}.result")
}

/// Connects to the socket of a unit, wherever it listens.
fn knock(unit: &str) -> Result<(), String> {
    let listening = shown(&format!("{unit}.socket"), "Listen").unwrap_or_default();
    let address = listening.split_whitespace().next().unwrap_or_default();
    let address: std::net::SocketAddr = address.parse().map_err(|_| format!("it does not listen ({listening})"))?;
    std::net::TcpStream::connect(address).map(drop).map_err(|error| error.to_string())
}

fn wait_for(result: &str) -> Result<String, String> {
    for _ in 0..50 {
        if let Ok(said) = fs::read_to_string(result)
            && said.ends_with('\n')
        {
            return Ok(said);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err("the probe said nothing within five seconds".to_owned())
}

/// What the probe prints, behind the fence.
pub fn probe() -> Result<(), Failure> {
    let HandedOver { https, .. } = HandedOver::take().map_err(crate::lifecycle::LifecycleError::from)?;
    let listener = https.into_iter().next().map(Listener::into_std);
    let tried = match listener {
        Some(listener) => fence::reuse(listener)?,
        None => Tried::NotTried("no socket was handed over".to_owned()),
    };
    let said = match tried {
        Tried::Refused(why) => format!("refused {why}\n"),
        Tried::Left => "left\n".to_owned(),
        Tried::NotTried(why) => format!("not tried {why}\n"),
    };
    Ok(crate::cli::output::print(&said)?)
}

fn read_verdict(said: &str) -> Tried {
    let said = said.trim();
    match said.strip_prefix("refused ") {
        Some(why) => Tried::Refused(why.to_owned()),
        None if said == "left" => Tried::Left,
        None => Tried::NotTried(said.to_owned()),
    }
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
        checks.push(match resolver.lookup_ip(format!("{name}.")).await {
            Ok(found) if found.iter().any(|address| here.contains(&address)) => Check::ok(&check, "leads to this host"),
            Ok(found) => {
                let found: Vec<String> = found.iter().map(|address| address.to_string()).collect();
                let says = format!("leads to {}, which this host does not have", found.join(", "));
                Check::warn(&check, says, "right where a proxy or NAT stands before it; else mend the DNS entry")
            }
            Err(_) => Check::warn(
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
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
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
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let says = format!("there is no {}", data_dir.display());
            Check::warn(NAME, says, "name the configuration that the appliance runs with: --config FILE")
        }
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

// SPDX-License-Identifier: AGPL-3.0-or-later
//! Exit codes mean what `conclave --help` says, and every failure names the thing and the way out.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::config::{run, text};
use crate::harness::{Appliance, BINARY, tool};

/// Ends with this code, and says all of that.
fn ends(output: &Output, code: i32, expected: &[&str]) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}{}", text(&output.stdout));
    for part in expected {
        assert!(error.contains(part), "no {part:?} in: {error}");
    }
    assert!(!error.contains("panicked"), "{error}");
}

fn serve(data: &Path, socket: &Path, listen: &str) -> Output {
    let (data, socket) = (data.to_str().unwrap(), socket.to_str().unwrap());
    run(&["serve", "--data-dir", data, "--admin-socket", socket, "--listen", listen, "--test-cheap-passwords"])
}

#[test]
fn the_help_lists_every_code() {
    let help = text(&run(&["--help"]).stdout).replace('\n', " ");
    let codes = help.split("Exit codes:").nth(1).unwrap();
    for code in [
        "0 done",
        "1 refused",
        "2 wrong",
        "64 conf",
        "65 dam",
        "69 app",
        "70 int",
        "71 sock",
        "74 input",
        "75 data",
        "77 not",
    ] {
        assert!(codes.contains(code), "{code}: {codes}");
    }
}

#[test]
fn usage_output_and_absence_have_codes() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("none.sock");
    let socket = socket.to_str().unwrap();
    ends(&run(&["--version"]), 0, &[]);
    ends(&run(&["config", "example"]), 0, &[]);
    for wrong in [
        &["frobnicate"][..],
        &[],
        &["status", "--frobnicate"],
        &["account", "create"],
        &["session", "revoke", "-w", "demo", "ada"],
    ] {
        ends(&run(wrong), 2, &["Usage"]);
    }
    for command in
        [&["status"][..], &["workspace", "list"], &["setup", "claim", "--operator", "root"], &["setup", "code"]]
    {
        ends(
            &run(&[&["--admin-socket", socket], command].concat()),
            69,
            &[socket, "not running", "systemctl start conclave"],
        );
    }
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(BINARY);
    let output = command.arg("openapi").stdin(Stdio::null()).stdout(full).stderr(Stdio::piped()).output().unwrap();
    ends(&output, 74, &["No space left"]);
}

#[test]
fn a_second_appliance_and_taken_sockets_have_codes() {
    let mut appliance = Appliance::claimed();
    let (data, socket) = (appliance.data_dir(), appliance.admin_socket());
    let dir = tempfile::tempdir().unwrap();
    let (other_data, other_socket) = (dir.path().join("data"), dir.path().join("admin.sock"));

    ends(&serve(&data, &other_socket, "127.0.0.1:0"), 75, &[data.to_str().unwrap(), "another appliance", "data_dir"]);
    ends(
        &serve(&other_data, &socket, "127.0.0.1:0"),
        71,
        &[socket.to_str().unwrap(), "another appliance", "admin.socket"],
    );
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    ends(&serve(&other_data, &other_socket, &address), 71, &[&address]);
    // TEST-NET-1 (RFC 5737) belongs to nobody.
    ends(&serve(&other_data, &other_socket, "192.0.2.1:0"), 71, &["192.0.2.1"]);
    assert!(!other_socket.exists());
    // The first one noticed nothing.
    appliance.cli_ok(&["status"]);

    ends(&appliance.cli(&["workspace", "show", "nowhere"]), 1, &["nowhere", "conclave workspace list"]);
    assert!(appliance.stop().success());
    ends(&appliance.cli(&["status"]), 69, &["not running"]);
}

#[test]
fn a_damaged_system_file_ends_the_start_and_is_left_as_it_is() {
    let mut appliance = Appliance::claimed();
    assert!(appliance.stop().success());
    let (data, socket) = (appliance.data_dir(), appliance.admin_socket());
    let system = data.join("system.db");
    let good = fs::read(&system).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (what, bytes) in [
        ("its first page", flipped(100)),
        ("its third page", flipped(4_096 * 2 + 100)),
        ("its end", good[..good.len() - 4_096].to_vec()),
        ("another file", b"SQLite format 3\0".repeat(1_000)),
    ] {
        fs::write(&system, &bytes).unwrap();
        let output = serve(&data, &socket, "127.0.0.1:0");
        ends(&output, 65, &["system.db"]);
        assert!(text(&output.stderr).contains("estore it from a backup"), "{what}: {}", text(&output.stderr));
        assert!(fs::read(&system).unwrap() == bytes, "{what} was written to");
        assert!(!socket.exists(), "{what}");
    }
    fs::write(&system, &good).unwrap();
    appliance.restart();
    appliance.cli_ok(&["workspace", "show", "demo"]);
}

#[test]
fn the_admin_socket_is_for_root_and_the_appliance_alone() {
    let appliance = Appliance::claimed();
    let socket = appliance.admin_socket();
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    if !rustix::process::geteuid().is_root() {
        // Nobody else can be asked without being root; the mode has to do.
        return;
    }
    // A copy that another user can reach, and the way to the socket open.
    let binary = appliance.dir.path().join("conclave");
    fs::copy(BINARY, &binary).unwrap();
    fs::set_permissions(appliance.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = |arguments: &[&str]| {
        let mut command = tool("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&binary);
        command.arg("--admin-socket").arg(&socket).args(arguments).stdin(Stdio::null()).output().unwrap()
    };
    let way_out = ["permission denied", "sudo conclave"];
    ends(&as_nobody(&["status"]), 77, &way_out);
    // Even with the file's permissions out of the way, the kernel says who is there.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    for command in [
        &["status"][..],
        &["workspace", "create", "mine"],
        &["account", "list", "-w", "demo"],
        &["account", "create", "-w", "demo", "eve", "--role", "admin"],
    ] {
        ends(&as_nobody(command), 77, &way_out);
    }
    // What is on the host only does not exist for anybody else.
    ends(
        &as_nobody(&["setup", "claim", "--name", "localhost", "--operator", "eve", "--without-recovery-kit"]),
        1,
        &["Not found"],
    );
    let list = appliance.cli_json(&["workspace", "list"]);
    assert_eq!(list["workspaces"].as_array().unwrap().len(), 1);
    assert_eq!(appliance.cli_json(&["account", "list", "-w", "demo"])["accounts"], serde_json::json!([]));
}

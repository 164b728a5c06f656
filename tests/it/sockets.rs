// SPDX-License-Identifier: AGPL-3.0-or-later
//! Socket activation: the appliance serves on what a service manager made, and says when that is not what it needs.

use std::process::{Command, Output, Stdio};

use conclave::client::carrier::Kind;

use crate::harness::{Appliance, BINARY};
use crate::xr::hall::{Hall, settled};

/// Makes sockets and becomes the appliance, as sd_listen_fds(3) says.
const MANAGER: &str = "
import os, socket, sys
kinds, admin, rest = sys.argv[1].split(','), sys.argv[2], sys.argv[3:]
made = []
for kind in kinds:
    if kind == 'tcp':
        # Not on the port of a UDP socket that was made before.
        ports = [one.getsockname()[1] for one in made if one.family == socket.AF_INET]
        choices = [socket.create_server(('127.0.0.1', 0)) for _ in range(2)]
        made.append([one for one in choices if one.getsockname()[1] not in ports][0])
    elif kind == 'udp':
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # Beside TCP on the same port when that was made before: on another one for both when somebody has that.
        tcp = [place for place, one in enumerate(made) if one.family == socket.AF_INET]
        for _ in range(16):
            try:
                udp.bind(('127.0.0.1', made[tcp[0]].getsockname()[1] if tcp else 0))
                break
            except OSError:
                made[tcp[0]] = socket.create_server(('127.0.0.1', 0))
        made.append(udp)
    elif kind == 'unix':
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        unix.bind(admin + '2' * sum(one.family == socket.AF_UNIX for one in made))
        unix.listen()
        made.append(unix)
copies = [os.dup(one.fileno()) for one in made]
for place, copy in enumerate(copies):
    os.dup2(copy, 3 + place, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(made)))
os.execv(rest[0], rest)
";

#[test]
fn what_was_handed_over_is_served_and_stays_where_it_was() {
    let mut appliance = Appliance::start();
    appliance.stop_well();
    let socket = appliance.admin_socket();
    appliance.restart_wrapped(&["python3", "-c", MANAGER, "unix,tcp,udp", socket.to_str().unwrap()]);
    assert!(appliance.log().contains("https.handed_over=true"), "{}", appliance.log());
    appliance.claim();
    appliance.workspace("demo");
    // HTTPS, the admin socket and the relay, all on what was handed over.
    let mut hall = Hall::of(appliance, &[]);
    let (ada, bob) = (hall.enter("ada", Kind::Quic), hall.enter("bob", Kind::WebTransport));
    settled(&[&ada, &bob]);
    hall.talk(&ada, &bob);
    let status = hall.appliance.stop();
    assert!(status.success());
    assert!(socket.exists(), "the socket is the service manager's to remove");
}

fn refused(kinds: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let (data, socket) = (directory.path().join("data"), directory.path().join("admin.sock"));
    let mut command = Command::new("python3");
    command.args(["-c", MANAGER, kinds]).arg(&socket).arg(BINARY).arg("serve").arg("--data-dir").arg(&data);
    command.arg("--admin-socket").arg(&socket).args(["--listen", "127.0.0.1:0", "--test-cheap-passwords"]);
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn half_of_what_is_needed_is_refused_by_name() {
    for (kinds, expected) in [
        ("unix,tcp", "TCP sockets without UDP"),
        ("udp", "UDP sockets without TCP"),
        ("unix,tcp,udp,unix", "something in place 3"),
        ("unix,udp,tcp", "must be the same ports"),
    ] {
        let output = refused(kinds);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(71), "{kinds}: {said}");
        assert!(said.contains(expected) && said.contains("systemctl cat"), "{kinds}: {said}");
    }
}

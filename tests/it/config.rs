// SPDX-License-Identifier: AGPL-3.0-or-later
//! Configurations that do not hold end with 64 before anything is made or bound, and say key, reason and way out.
//!
//! The port of every one of them is taken by the test: who binds before looking ends with 71.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::harness::{Appliance, BINARY, repository, tool, wait};

/// Runs to the end, which a refusal must come to by itself.
pub fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let watched = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait(&mut child)));
    if watched.is_err() {
        drop(child.kill());
    }
    child.wait_with_output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A directory with a configuration in it, and a port that is taken.
struct Place {
    dir: TempDir,
    taken: TcpListener,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), taken: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// A configuration that would hold, with the lines of the test in front.
    fn write(&self, lines: &str) -> PathBuf {
        let (data, socket, listen) = (self.data(), self.path("admin.sock"), self.taken.local_addr().unwrap());
        let mut text = format!("{lines}\n");
        for (key, default) in [
            ("data_dir", format!("data_dir = {data:?}\n")),
            ("[https]", format!("[https]\nlisten = [\"{listen}\"]\n")),
            ("[admin]", format!("[admin]\nsocket = {socket:?}\n")),
        ] {
            if !lines.contains(key) {
                // Keys of the root come before tables.
                text = if key == "data_dir" { default + &text } else { text + &default };
            }
        }
        let file = self.path("conclave.toml");
        fs::write(&file, text).unwrap();
        file
    }

    /// Neither starts nor makes nor binds anything; says everything that is expected.
    fn refused(&self, lines: &str, expected: &[&str]) {
        let file = self.write(lines);
        let before = self.listing();
        for command in [&["serve"][..], &["config", "check"]] {
            let output = run(&[&["--config", file.to_str().unwrap()], command].concat());
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(64), "{command:?} {lines}: {error}");
            for part in expected {
                assert!(error.contains(part), "{command:?} {lines}: no {part:?} in: {error}");
            }
            assert!(!error.contains("panicked"), "{error}");
            assert_eq!(self.listing(), before, "{command:?} {lines}: something was made");
        }
    }

    /// `conclave config check` as a user who may look into the directory and read nothing private.
    fn check_as_nobody(&self, lines: &str) -> Output {
        let file = self.write(lines);
        let binary = self.path("conclave");
        fs::copy(BINARY, &binary).unwrap();
        fs::set_permissions(self.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = tool("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&binary);
        command.arg("--config").arg(&file).args(["config", "check"]).stdin(Stdio::null()).output().unwrap()
    }

    /// Everything below the directory.
    fn listing(&self) -> Vec<PathBuf> {
        fn walk(directory: &Path, into: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                into.push(path.clone());
                if path.is_dir() {
                    walk(&path, into);
                }
            }
        }
        let mut found = Vec::new();
        walk(self.dir.path(), &mut found);
        found.sort();
        found
    }
}

#[test]
fn a_value_that_cannot_be_is_refused_by_key_reason_and_way_out() {
    let place = Place::new();
    let path = "conclave.toml";
    for (lines, expected) in [
        ("data_dirr = \"/x\"", &[path, "data_dirr", "expected", "config example"][..]),
        ("[limits]\nconections = 5", &["conections", "open_workspaces", "line 3", "docs/configuration.md"]),
        ("[https]\nlisten = \"127.0.0.1:1\"", &["listen", "sequence"]),
        ("[https]\nlisten = [443]", &["listen", "expected"]),
        ("[https]\nlisten = [\"localhost:443\"]", &["listen", "socket address"]),
        ("[https]\nlisten = [\"127.0.0.1:65536\"]", &["listen", "socket address"]),
        ("[https]\nlisten = []", &["https.listen", "empty", "name at least one"]),
        ("[https]\nlisten = [\"0.0.0.0:8443\", \"127.0.0.1:8443\"]", &["https.listen", "overlap", "another port"]),
        ("[https]\nlisten = [\"[::]:8443\", \"[::1]:8443\"]", &["https.listen", "overlap", "another port"]),
        ("[https]\nlisten = [\"127.0.0.1:8443\", \"127.0.0.1:8443\"]", &["https.listen", "overlap", "leave one out"]),
        ("data_dir = \"data\"", &["data_dir", "absolute", "from / on"]),
        ("data_dir = 7", &["data_dir", "invalid type", "expected"]),
        ("[log]\nlevel = \"loud\"", &["log.level", "loud", "\"debug\""]),
        ("[log]\nlevel = true", &["level", "invalid type"]),
        ("[log]\nformat = \"xml\"", &["format", "xml", "expected one of"]),
        ("[password]\nmemory_kib = 1024", &["password.memory_kib", "1024", "19456"]),
        ("[password]\nmemory_kib = -1", &["memory_kib", "-1", "expected"]),
        ("[password]\npasses = 1", &["password.passes", "floor"]),
        ("[password]\npasses = 1.5", &["passes", "1.5", "expected"]),
        ("[limits]\nconnections = 0", &["limits.connections", "1 to 100000"]),
        ("[limits]\nopen_workspaces = 1000000", &["limits.open_workspaces", "1 to 100000"]),
        ("[limits]\nconnections = \"many\"", &["connections", "many", "expected"]),
        ("[log]\nlevel = \"info\"\nlevel = \"warn\"", &["duplicate key", "level"]),
        ("this is not TOML", &[path, "line 2", "docs/configuration.md"]),
        ("{\"data_dir\":\"/x\"}", &[path, "line", "docs/configuration.md"]),
    ] {
        place.refused(lines, expected);
    }
    let long = format!("[admin]\nsocket = \"/{}\"", "x".repeat(120));
    place.refused(&long, &["admin.socket", "107", "shorter"]);
    assert!(!place.data().exists());
}

#[test]
fn a_master_key_that_cannot_be_used_is_refused_before_anything_is_made() {
    let place = Place::new();
    let key = place.path("key");
    let line = format!("master_key_file = {key:?}");
    let file = key.to_str().unwrap();

    fs::create_dir(&key).unwrap();
    place.refused(&line, &["master_key_file", file, "is not a file", "name the file it is in"]);
    fs::remove_dir(&key).unwrap();

    fs::write(&key, [7; 32]).unwrap();
    for mode in [0o644, 0o640, 0o604, 0o660] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let shown = format!("mode {mode:o}");
        place.refused(&line, &["master_key_file", file, "open to others", &shown, &format!("chmod 600 {file}")]);
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, [7; 31]).unwrap();
    place.refused(&line, &["master_key_file", file, "31 bytes", "has 32", "put the right file back"]);
    fs::write(&key, []).unwrap();
    place.refused(&line, &["master_key_file", "0 bytes"]);

    fs::remove_file(&key).unwrap();
    let below = format!("master_key_file = {:?}", place.path("conclave.toml").join("key"));
    place.refused(&below, &["master_key_file", "cannot be looked at", "name another one"]);
    // Root reads everything; somebody else is refused what it may not read.
    fs::write(&key, [7; 32]).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o000)).unwrap();
    let expected = ["master_key_file", file, "cannot be read", "Permission denied", "name another file"];
    if rustix::process::geteuid().is_root() {
        let output = place.check_as_nobody(&line);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{error}");
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
    } else {
        place.refused(&line, &expected);
    }
    assert!(!place.data().exists());
}

#[test]
fn a_lost_master_key_is_named_and_not_replaced() {
    let mut appliance = Appliance::start();
    assert!(appliance.stop().success());
    let key = appliance.data_dir().join("master.key");
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let (data, socket) = (appliance.data_dir(), appliance.admin_socket());
    let (data, socket) = (data.to_str().unwrap(), socket.to_str().unwrap());
    let serve = ["serve", "--data-dir", data, "--listen", "127.0.0.1:0", "--admin-socket", socket];
    let output = run(&serve);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{error}");
    assert!(error.contains("master_key_file") && error.contains("put the master key back"), "{error}");
    assert!(!key.exists());
    fs::write(&key, kept).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    appliance.restart();
}

#[test]
fn a_data_directory_that_others_can_enter_is_refused_and_stays_as_it_is() {
    let place = Place::new();
    let data = place.data();
    fs::DirBuilder::new().mode(0o700).create(&data).unwrap();
    let file = data.to_str().unwrap();
    for mode in [0o755, 0o750, 0o701] {
        fs::set_permissions(&data, fs::Permissions::from_mode(mode)).unwrap();
        place.refused(
            "",
            &["data_dir", file, "open to others", &format!("mode {mode:o}"), &format!("chmod 700 {file}")],
        );
    }
    fs::remove_dir(&data).unwrap();
    fs::write(&data, "a file").unwrap();
    place.refused("", &["data_dir", file, "is not a directory", "name another one"]);
    assert_eq!(fs::read_to_string(&data).unwrap(), "a file");
}

#[test]
fn a_file_in_the_place_of_the_admin_socket_is_not_removed() {
    let place = Place::new();
    let precious = place.path("admin.sock");
    fs::write(&precious, "precious").unwrap();
    place.refused("", &["admin.socket", "no socket", "move it away"]);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    // A socket that nobody answers on is what a crash leaves, and no obstacle.
    fs::remove_file(&precious).unwrap();
    drop(UnixListener::bind(&precious).unwrap());
    let file = place.write("");
    assert!(run(&["--config", file.to_str().unwrap(), "config", "check"]).status.success());
}

#[test]
fn a_file_that_somebody_names_has_to_be_there() {
    let place = Place::new();
    let missing = place.path("nothing.toml");
    for command in [&["serve"][..], &["config", "check"], &["status"], &["demo"]] {
        let output = run(&[&["--config", missing.to_str().unwrap()], command].concat());
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{command:?}: {error}");
        assert!(
            error.contains("nothing.toml") && error.contains("--config") && error.contains("No such file"),
            "{error}"
        );
    }
    let output = run(&["--config", place.dir.path().to_str().unwrap(), "config", "check"]);
    assert_eq!(output.status.code(), Some(64), "a directory: {}", text(&output.stderr));
    let binary = place.path("binary.toml");
    fs::write(&binary, [0xff, 0xfe, 0x00]).unwrap();
    let output = run(&["--config", binary.to_str().unwrap(), "config", "check"]);
    assert_eq!(output.status.code(), Some(64), "not text: {}", text(&output.stderr));
}

#[test]
fn flags_are_held_to_the_same_rules() {
    let place = Place::new();
    let file = place.write("");
    let serve = |flags: &[&str]| run(&[&["--config", file.to_str().unwrap(), "serve"], flags].concat());
    for (flags, expected) in [
        (&["--data-dir", "relative"][..], "data_dir"),
        (&["--log-level", "loud"], "log.level"),
        (&["--listen", "127.0.0.1:9", "--listen", "0.0.0.0:9"], "https.listen"),
        (&["--admin-socket", "relative.sock"], "admin.socket"),
    ] {
        let output = serve(flags);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{flags:?}: {error}");
        assert!(error.contains(expected), "{flags:?}: {error}");
    }
    // What is not even a value is wrong usage.
    assert_eq!(serve(&["--listen", "here"]).status.code(), Some(2));
    assert!(!place.data().exists());
}

#[test]
fn the_example_is_a_configuration_and_the_reference_names_its_keys() {
    let place = Place::new();
    let example = run(&["config", "example"]);
    assert!(example.status.success());
    let file = place.path("example.toml");
    // As it is but for the paths, which on this machine may be somebody's.
    let (data, socket) = (place.data(), place.path("admin.sock"));
    let own = text(&example.stdout)
        .replace("#data_dir = \"/var/lib/conclave\"", &format!("data_dir = {data:?}"))
        .replace("#socket = \"/run/conclave/admin.sock\"", &format!("socket = {socket:?}"));
    assert!(own.contains(&format!("{data:?}")) && own.contains(&format!("{socket:?}")), "{own}");
    fs::write(&file, own).unwrap();
    let checked = run(&["--config", file.to_str().unwrap(), "config", "check"]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    assert_eq!(text(&checked.stdout), "The configuration holds.\n");

    let reference = text(&run(&["config", "reference"]).stdout);
    let example = text(&example.stdout);
    let keys: Vec<_> = example.lines().filter_map(|line| line.strip_prefix('#')?.split_once(" = ")).collect();
    let keys: Vec<_> = keys.into_iter().filter(|(key, _)| !key.starts_with(' ')).collect();
    assert!(keys.len() >= 10, "{keys:?}");
    for (key, _) in &keys {
        assert!(reference.contains(&format!("{key}` |")), "{key} is not in the reference");
    }
    // Uncommented, each line is still TOML of that key.
    let whole: String = example
        .lines()
        .map(|line| line.strip_prefix('#').filter(|line| !line.starts_with(' ')).unwrap_or(line))
        .fold(String::new(), |text, line| text + line + "\n");
    toml::from_str::<toml::Table>(&whole).unwrap();
    let committed = repository().join("docs/configuration.md");
    if committed.exists() {
        assert_eq!(fs::read_to_string(committed).unwrap(), reference, "run `conclave config reference`");
    }
}

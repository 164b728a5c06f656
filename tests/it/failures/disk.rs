// SPDX-License-Identifier: AGPL-3.0-or-later
//! A disk that is full, and one that can only be read: small file systems in a mount namespace of their own.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use super::{doctor, id_of, nothing_is_lost, write};
use crate::harness::http::Connection;
use crate::harness::{self, Appliance, BINARY, tool};
use crate::xr::hall::becomes;

/// Whether file systems can be mounted and processes be traced here: by root, as whom the tests run with `CI=true`.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    assert!(is_root || std::env::var("CI").as_deref() != Ok("true"), "this needs root");
    if !is_root {
        eprintln!("skipped: only root can mount a file system or trace any process");
    }
    is_root
}

/// The file system of a data directory, which this process and all others but the appliance do not see.
struct Disk {
    /// Holds the namespace until its standard input ends, so until the test does, however.
    keeper: Child,
    data: PathBuf,
}

impl Disk {
    /// Mounts with a shell script, of which `$1` is the data directory in `dir` and `$2` a file beside it.
    fn mounted(dir: &TempDir, script: &str) -> Self {
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        let script = format!("set -e\n{script}\nchmod 700 \"$1\"\necho mounted\nexec cat");
        let mut keeper = tool("unshare");
        keeper.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]);
        keeper.arg(&data).arg(dir.path().join("image")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = keeper.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "mounted\n", "the file system cannot be mounted");
        Self { keeper, data }
    }

    /// What runs a program where the disk is there. The watch of the appliance looks every 300 ms.
    fn wrapper(&self) -> Vec<String> {
        let pid = self.keeper.id().to_string();
        ["nsenter", "--target", &pid, "--mount", "env", "WATCHDOG_USEC=900000"].map(str::to_owned).to_vec()
    }

    fn start(&self, dir: TempDir) -> Appliance {
        let wrapper = self.wrapper();
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        Appliance::start_wrapped(dir, &wrapper, &["--test-cheap-passwords"])
    }

    fn run(&self, program: &[&str]) -> Output {
        let wrapper = self.wrapper();
        Command::new(&wrapper[0]).args(&wrapper[1..]).args(program).stdin(Stdio::null()).output().unwrap()
    }

    fn shell(&self, script: &str) {
        let output = self.run(&["sh", "-c", &format!("set -e\n{script}"), "sh", self.data.to_str().unwrap()]);
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A file of the disk, seen from here.
    fn file(&self, name: &str) -> PathBuf {
        let inside = self.data.join(name);
        Path::new("/proc").join(self.keeper.id().to_string()).join("root").join(inside.strip_prefix("/").unwrap())
    }

    /// Takes all room but so much.
    fn fill(&self, but: u64) {
        let options = &mut OpenOptions::new();
        let mut ballast: File =
            options.write(true).create(true).truncate(true).mode(0o600).open(self.file("ballast")).unwrap();
        for size in [64 << 10, 512] {
            let full = loop {
                if let Err(full) = ballast.write_all(&vec![0; size]) {
                    break full;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull);
        }
        let length = ballast.metadata().unwrap().len();
        ballast.set_len(length - but).unwrap();
    }

    /// `conclave doctor`, on the host that has this disk: what it printed, which must not be all well.
    fn doctor(&self, appliance: &Appliance) -> String {
        let config = appliance.dir.path().join("conclave.toml");
        fs::write(&config, format!("data_dir = {:?}\n", self.data)).unwrap();
        let (config, socket) = (config.to_str().unwrap().to_owned(), appliance.admin_socket());
        let output = self.run(&[BINARY, "--config", &config, "--admin-socket", socket.to_str().unwrap(), "doctor"]);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}

/// Lines of the health page that do not say `ok`.
fn unhealthy(appliance: &Appliance) -> Vec<String> {
    let page = appliance.https("GET", "/healthz?verbose", &[], None).text();
    page.lines().filter(|line| !line.starts_with("ok ")).map(str::to_owned).collect()
}

/// Somebody in workspace `demo`, with what they may read.
struct Reader {
    workspace: String,
    token: String,
    names: Vec<String>,
}

impl Reader {
    fn of(appliance: &Appliance) -> Self {
        appliance.claim();
        appliance.workspace("demo");
        let token = appliance.signed_in("demo", "ada", "admin");
        Self { workspace: appliance.workspace_id("demo"), token, names: vec!["ada".to_owned()] }
    }

    /// Writes until it is refused with this state, or so often; keeps what was acknowledged.
    fn write(&mut self, appliance: &Appliance, most: usize) -> Option<String> {
        for _ in 0..most {
            let name = format!("person-{}", self.names.len());
            let answer = write(&appliance.admin_socket(), &self.workspace, &name);
            if answer.status != 201 {
                assert_eq!((answer.status, answer.code().as_str()), (503, "workspace-unavailable"));
                return Some(answer.text());
            }
            self.names.push(name);
        }
        None
    }

    /// Reads go on, over the admin socket and over HTTPS.
    fn reads(&self, appliance: &Appliance) {
        let me = appliance.with_token(&self.token, "GET", "/api/v1/me", None);
        assert_eq!(me.status, 200, "{}", me.text());
        let list = appliance.with_token(&self.token, "GET", "/api/v1/accounts", None);
        assert_eq!(list.status, 200, "{}", list.text());
        assert!(appliance.cli_ok(&["workspace", "list"]).contains("demo"));
    }
}

#[test]
fn a_full_disk_refuses_changes_by_name_and_goes_on_when_there_is_room() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::mounted(&dir, "mount -t tmpfs -o size=48m tmpfs \"$1\"");
    let mut appliance = disk.start(dir);
    let mut reader = Reader::of(&appliance);

    disk.fill(300 << 10);
    let said = reader.write(&appliance, 1_000).expect("a full disk refuses nothing");
    assert!(said.contains("disk-full") && said.contains("when there is room"), "{said}");
    assert!(reader.names.len() > 2, "it was full from the beginning: nothing was tried");
    disk.fill(0);
    let refused = appliance.cli(&["workspace", "create", "late", "--agreement-accepted-by", "Tess Ter"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("disk-full"), "{said}");
    reader.reads(&appliance);
    becomes("the health page names it", || unhealthy(&appliance) == ["fail store", "fail disk"]);
    let (state, says) = doctor(&appliance, "writing");
    assert!(state == "fail" && says.contains("system.db") && says.contains("free space"), "{says}");
    let text = disk.doctor(&appliance);
    for part in ["fail  writing", "fail  store", "fail  disk ", "fail  disk latency", "→ free space"] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    let log = appliance.log();
    let warned = |line: &str| line.contains("workspace.db: the disk is full: free space");
    assert!(log.lines().any(warned), "{log}");

    // Room again: it goes on by itself.
    fs::remove_file(disk.file("ballast")).unwrap();
    assert_eq!(reader.write(&appliance, 5), None);
    appliance.workspace("late");
    becomes("the health page is well", || !unhealthy(&appliance).iter().any(|line| line.starts_with("fail")));
    assert_eq!(doctor(&appliance, "writing").0, "ok");
    appliance.tick();
    nothing_is_lost(&appliance, &reader.workspace, &reader.names);

    // Full again, and killed: it serves what it has all the same.
    disk.fill(0);
    assert!(reader.write(&appliance, 1_000).is_some());
    appliance.kill();
    appliance.restart();
    reader.reads(&appliance);
    assert!(reader.write(&appliance, 1_000).is_some_and(|said| said.contains("disk-full")));
    fs::remove_file(disk.file("ballast")).unwrap();
    assert_eq!(reader.write(&appliance, 5), None);
    appliance.tick();
    nothing_is_lost(&appliance, &reader.workspace, &reader.names);
}

#[test]
fn a_disk_that_became_read_only_is_named_and_nothing_is_lost() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    drop(tool("mkfs.ext4"));
    // Every file system that meets an error does what this one is told to: be read from now on.
    let mount = "truncate -s 24M \"$2\"; mkfs.ext4 -q \"$2\"; mount -o loop,errors=remount-ro \"$2\" \"$1\"";
    let disk = Disk::mounted(&dir, mount);
    let image = dir.path().join("image");
    let mut appliance = disk.start(dir);
    let mut reader = Reader::of(&appliance);
    assert_eq!(reader.write(&appliance, 5), None);

    disk.shell("echo 1 > /sys/fs/ext4/$(basename $(findmnt -no SOURCE \"$1\"))/trigger_fs_error");
    let said = reader.write(&appliance, 100).expect("a read-only disk refuses nothing");
    assert!(said.contains("disk-read-only") && said.contains("can be written again"), "{said}");
    reader.reads(&appliance);
    becomes("the health page names it", || unhealthy(&appliance).contains(&"fail store".to_owned()));
    let (state, says) = doctor(&appliance, "writing");
    assert!(state == "fail" && says.contains("system.db: the disk is read-only"), "{says}");
    let text = disk.doctor(&appliance);
    for part in ["fail  writing", "fail  store", "fail  disk latency", "system log says why"] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    appliance.stop();

    // What is refused at the start leaves everything as it is.
    let (code, said) = appliance.refused_start();
    assert_eq!(code, 74, "{said}");
    assert!(said.contains("data") && said.contains("the disk is read-only") && said.contains("system log"), "{said}");
    let check = format!("umount \"$1\"; e2fsck -p {image:?} > /dev/null || [ $? = 1 ]; mount -o loop {image:?} \"$1\"");
    disk.shell(&check);
    appliance.restart();
    assert_eq!(reader.write(&appliance, 5), None);
    appliance.tick();
    nothing_is_lost(&appliance, &reader.workspace, &reader.names);

    // Mounted so by somebody, and back.
    appliance.kill();
    disk.shell("mount -o remount,ro \"$1\"");
    let (code, said) = appliance.refused_start();
    assert!(code == 74 && said.contains("the disk is read-only"), "{code}: {said}");
    disk.shell("mount -o remount,rw \"$1\"");
    appliance.restart();
    nothing_is_lost(&appliance, &reader.workspace, &reader.names);
}

#[test]
fn a_disk_that_can_be_written_again_needs_no_restart() {
    calls_fail_for_a_while("EROFS", "disk-read-only");
}

#[test]
fn a_disk_that_fails_is_named_and_the_file_is_opened_anew_afterwards() {
    calls_fail_for_a_while("EIO", "disk-failing");
}

/// Every call that writes to the disk fails with this error for a while: changes are refused as this state says, and
/// then it goes on.
fn calls_fail_for_a_while(error: &str, state: &str) {
    if !is_root() {
        return;
    }
    let mut appliance = Appliance::claimed_with(&["--test-cheap-passwords", "--test-traceable"]);
    let workspace = appliance.workspace_id("demo");
    let mut names = Vec::new();
    let mut made = |appliance: &Appliance| {
        let name = format!("person-{}", names.len());
        let answer = write(&appliance.admin_socket(), &workspace, &name);
        if answer.status == 201 {
            names.push(name);
        }
        answer
    };
    id_of(&made(&appliance));
    // A disk cannot be made read-only and back under whoever writes to it; calls can be refused as it would refuse them.
    let mut strace = tool("strace");
    let log = appliance.dir.path().join("trace");
    strace.args(["-f", "-o"]).arg(&log).args(["-p", &appliance.pid().to_string()]);
    let refused = "pwrite64,write,ftruncate,fsync,fdatasync";
    strace.args(["-e", &format!("trace={refused}"), "-e", &format!("inject={refused}:error={error}")]);
    let data = appliance.data_dir();
    for directory in [data.clone(), data.join("workspaces").join(&workspace)] {
        for file in ["system.db", "system.db-wal", "workspace.db", "workspace.db-wal", "tried.new", "anchor.new"] {
            strace.arg("-P").arg(directory.join(file));
        }
    }
    let mut strace = strace.stderr(Stdio::null()).spawn().unwrap();
    let mut refusal = None;
    becomes("calls fail", || {
        refusal = Some(made(&appliance)).filter(|answer| answer.status != 201);
        refusal.is_some()
    });
    let said = refusal.unwrap();
    assert!((said.status, said.text().contains(state)) == (503, true), "{}", said.text());
    let refused = appliance.cli(&["workspace", "create", "late", "--agreement-accepted-by", "Tess Ter"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains(state), "{said}");
    assert_eq!(doctor(&appliance, "writing").0, "fail");
    assert_eq!(Connection::unix(&appliance.admin_socket()).json("GET", "/healthz", &[], None).status, 200);

    harness::signal(strace.id(), "TERM");
    strace.wait().unwrap();
    id_of(&made(&appliance));
    appliance.workspace("late");
    assert_eq!(doctor(&appliance, "writing").0, "ok");
    appliance.tick();
    let names = names.clone();
    nothing_is_lost(&appliance, &workspace, &names);
    appliance.stop_well();
}

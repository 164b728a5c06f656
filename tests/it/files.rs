// SPDX-License-Identifier: AGPL-3.0-or-later
//! What happens to files that are not what they were: swapped, cut, changed, exposed, older. And what files give away.
//!
//! Through the real binary: each case has its named state or exit code, the file and the way out in the message, no
//! byte written, and nobody else disturbed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use conclave::core::keys::envelope::{self, Purpose, WrappedKey};
use conclave::values::id::WorkspaceId;
use conclave::values::secret::Key256;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::claim::PROVISION;
use crate::harness::{Appliance, files_below};

/// Every file below a directory with its bytes.
pub fn snapshot(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files_below(directory, "").into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

pub const NOTHING: [PathBuf; 0] = [];

/// What is not the same in both.
pub fn changed<T: PartialEq>(before: &BTreeMap<PathBuf, T>, after: &BTreeMap<PathBuf, T>) -> Vec<PathBuf> {
    let all = before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path));
    all.cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_tree(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub fn database(appliance: &Appliance, id: &str) -> PathBuf {
    appliance.data_dir().join("workspaces").join(id).join("workspace.db")
}

pub fn key_file(appliance: &Appliance, id: &str) -> PathBuf {
    appliance.data_dir().join("keys").join(format!("{id}.json"))
}

fn exchange(one: &Path, other: &Path) {
    let bytes = fs::read(one).unwrap();
    fs::copy(other, one).unwrap();
    fs::write(other, bytes).unwrap();
}

/// Turns one bit at `part` of 1,000 of the file.
fn flip(path: &Path, part: usize) {
    let mut bytes = fs::read(path).unwrap();
    let position = (bytes.len() - 1) * part / 1_000;
    bytes[position] ^= 0x04;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, bytes: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
}

/// The raw key of a database, unwrapped as `docs/files.md` says.
pub fn raw_key(data_dir: &Path, id: &str) -> String {
    let master = Key256::from_slice(&fs::read(data_dir.join("master.key")).unwrap()).unwrap();
    let workspace: WorkspaceId = id.parse().unwrap();
    let text = fs::read(data_dir.join("keys").join(format!("{id}.json"))).unwrap();
    let file: Value = serde_json::from_slice(&text).unwrap();
    let entry = file["keys"].as_array().unwrap().iter().find(|key| key["purpose"] == "file").unwrap();
    let bytes = |name: &str| hex::decode(entry[name].as_str().unwrap()).unwrap();
    let wrapped = WrappedKey { nonce: bytes("nonce").try_into().unwrap(), sealed: bytes("sealed") };
    let version = u32::try_from(entry["version"].as_u64().unwrap()).unwrap();
    hex::encode(envelope::unwrap_key(&master, workspace, Purpose::File, version, &wrapped).unwrap().as_slice())
}

/// Writes a schema version that no release has.
fn age_into_the_future(path: &Path, key: &str) {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "key", format!("x'{key}'")).unwrap();
    connection.pragma_update(None, "user_version", 9_000).unwrap();
}

/// Every line is one of our logger or our command line: a library that talks past both gives itself away.
pub fn only_our_lines(log: &str) {
    for line in log.lines() {
        let ours = line.starts_with("conclave: ")
            || (line.get(..27).is_some_and(|time| time.ends_with('Z') && time.contains('T'))
                && ["ERROR", " WARN", " INFO"]
                    .iter()
                    .any(|level| line[27..].trim_start_matches(' ').starts_with(level.trim())));
        assert!(ours, "a line that is not ours: {line}");
    }
}

fn show(appliance: &Appliance, name: &str) -> Value {
    appliance.cli_json(&["workspace", "show", name])
}

/// Runs a command that must be refused; answers what it said.
fn refused(appliance: &Appliance, arguments: &[&str]) -> String {
    let output = appliance.cli(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    said
}

#[test]
fn a_workspace_whose_files_were_tampered_with_has_a_named_state_and_the_others_go_on() {
    let mut appliance = Appliance::claimed();
    let names = [
        "swap-a",
        "swap-b",
        "keys-a",
        "keys-b",
        "no-keys",
        "open-keys",
        "cut-byte",
        "cut-page",
        "cut-all",
        "flip-first",
        "flip-page-one",
        "flip-middle",
        "flip-last",
        "newer",
        "gone",
    ];
    for name in names {
        appliance.workspace(name);
    }
    let password = appliance.account("demo", "ada", "admin");
    let ids: BTreeMap<&str, String> = names.iter().map(|name| (*name, appliance.workspace_id(name))).collect();
    appliance.stop_well();

    let file = |name: &str| database(&appliance, &ids[name]);
    let keys = |name: &str| key_file(&appliance, &ids[name]);
    exchange(&file("swap-a"), &file("swap-b"));
    exchange(&keys("keys-a"), &keys("keys-b"));
    fs::remove_file(keys("no-keys")).unwrap();
    set_mode(&keys("open-keys"), 0o644);
    cut(&file("cut-byte"), 1);
    cut(&file("cut-page"), 4_096);
    fs::write(file("cut-all"), b"").unwrap();
    flip(&file("flip-first"), 0);
    let length = usize::try_from(fs::metadata(file("flip-page-one")).unwrap().len()).unwrap();
    flip(&file("flip-page-one"), 3_000 * 1_000 / length);
    flip(&file("flip-middle"), 500);
    flip(&file("flip-last"), 1_000);
    age_into_the_future(&file("newer"), &raw_key(&appliance.data_dir(), &ids["newer"]));
    fs::remove_file(file("gone")).unwrap();

    let tampered = |appliance: &Appliance| -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let paths = ids.values().flat_map(|id| [database(appliance, id), key_file(appliance, id)]);
        paths.map(|path| (path.clone(), fs::read(path).ok())).collect()
    };
    let before = tampered(&appliance);
    appliance.restart();

    let swapped = ["workspace.db", "does not open with this workspace's key", "Restore it from a backup"];
    let damaged = ["workspace.db", "is damaged", "Restore it from a backup"];
    let sealed = [".json", "is the key file of another workspace", "restore it from a backup"];
    let cases = [
        ("swap-a", "swapped", swapped),
        ("swap-b", "swapped", swapped),
        ("keys-a", "sealed", sealed),
        ("keys-b", "sealed", sealed),
        ("no-keys", "sealed", [".json", "is missing", "restore it from a backup"]),
        ("open-keys", "sealed", [".json", "mode 644", "chmod 600"]),
        ("cut-byte", "damaged", damaged),
        ("cut-page", "damaged", damaged),
        ("cut-all", "damaged", damaged),
        ("flip-first", "swapped", swapped),
        ("flip-page-one", "swapped", swapped),
        ("flip-middle", "damaged", damaged),
        ("flip-last", "damaged", damaged),
        ("newer", "newer-schema", ["workspace.db", "has schema 9000", "install the newer release again"]),
        ("gone", "unreadable", ["workspace.db", "is missing", "restore it from a backup"]),
    ];
    for (name, state, says) in cases {
        let shown = show(&appliance, name);
        let reason = shown["reason"].as_str().unwrap_or_default();
        assert_eq!(shown["state"], state, "{name}: {reason}");
        assert!(says.iter().all(|part| reason.contains(part)), "{name}: {reason}");
        assert!(reason.contains(&ids[name]), "{name}: {reason}");
        assert!(!reason.contains(": /"), "{name}: a path within a path: {reason}");
        let said = refused(&appliance, &["account", "create", "--workspace", name, "bob"]);
        assert!(said.contains("workspace-unavailable") && said.contains(state), "{name}: {said}");
        let answer = appliance.try_sign_in(name, "bob", "whatever it is");
        assert_eq!((answer.status, answer.code().as_str()), (401, "sign-in-refused"), "{name}");
    }

    appliance.sign_in("demo", "ada", &password);
    appliance.workspace("one-more");
    assert_eq!(show(&appliance, "one-more")["state"], "open");
    appliance.stop_well();
    assert_eq!(changed(&before, &tampered(&appliance)), NOTHING, "refused files");
    only_our_lines(&appliance.log());
}

/// What a start must say: exit code, and parts of its message.
type Refusal = (i32, &'static [&'static str]);

#[test]
fn a_start_on_files_that_do_not_hold_names_the_file_and_the_way_out_and_writes_nothing() {
    let mut appliance = Appliance::claimed();
    appliance.tick();
    let mut other = Appliance::claimed();
    other.tick();
    appliance.stop_well();
    other.stop_well();
    let (data, kept, other) = (appliance.data_dir(), appliance.dir.path().join("kept"), other.data_dir());
    copy_tree(&data, &kept);
    let system = WorkspaceId::SYSTEM.to_string();
    let system_keys = data.join("keys").join(format!("{system}.json"));
    let workspace = fs::read_dir(data.join("workspaces")).unwrap().next().unwrap().unwrap().path();

    let from_other = |name: &str| fs::copy(other.join(name), data.join(name)).map(|_| ()).unwrap();
    let cases: &[(&str, &dyn Fn(), Refusal)] = &[
        (
            "no master key",
            &|| fs::remove_file(data.join("master.key")).unwrap(),
            (64, &["master.key", "is missing", "put the master key back"]),
        ),
        (
            "another master key",
            &|| from_other("master.key"),
            (65, &[".json", "does not unwrap", "from the same backup"]),
        ),
        (
            "half a master key",
            &|| cut(&data.join("master.key"), 16),
            (64, &["master.key", "16 bytes", "put the right file back"]),
        ),
        (
            "exposed master key",
            &|| set_mode(&data.join("master.key"), 0o644),
            (64, &["master.key", "mode 644", "chmod 600"]),
        ),
        ("exposed directory", &|| set_mode(&data, 0o755), (64, &["data", "mode 755", "chmod 700"])),
        ("exposed keys", &|| set_mode(&data.join("keys"), 0o750), (64, &["keys", "mode 750", "chmod 700"])),
        ("no system keys", &|| fs::remove_file(&system_keys).unwrap(), (65, &[".json", "is missing", "restore both"])),
        ("damaged system keys", &|| flip(&system_keys, 900), (65, &[".json", "backup"])),
        (
            "no system file",
            &|| fs::remove_file(data.join("system.db")).unwrap(),
            (65, &["system.db", "is missing", "backup"]),
        ),
        (
            "empty system file",
            &|| fs::write(data.join("system.db"), b"").unwrap(),
            (65, &["system.db", "is damaged", "backup"]),
        ),
        ("another's system file", &|| from_other("system.db"), (65, &["system.db", "does not open", "backup"])),
        (
            "a workspace as system",
            &|| fs::copy(workspace.join("workspace.db"), data.join("system.db")).map(|_| ()).unwrap(),
            (65, &["system.db", "does not open", "backup"]),
        ),
        ("cut system file", &|| cut(&data.join("system.db"), 4_096), (65, &["system.db", "is damaged", "backup"])),
        ("changed system file", &|| flip(&data.join("system.db"), 700), (65, &["system.db", "is damaged", "backup"])),
        (
            "newer system file",
            &|| age_into_the_future(&data.join("system.db"), &raw_key(&data, &system)),
            (65, &["system.db", "has schema 9000", "newer release"]),
        ),
        (
            "changed anchor",
            &|| flip(&data.join("anchor"), 300),
            (65, &["anchor", "restore it from the backup", "accept-rollback system"]),
        ),
        (
            "half an anchor",
            &|| cut(&data.join("anchor"), 100),
            (65, &["anchor", "is not an anchor", "accept-rollback system"]),
        ),
        ("another's anchor", &|| from_other("anchor"), (65, &["anchor", "did not sign", "accept-rollback system"])),
        ("exposed anchor", &|| set_mode(&data.join("anchor"), 0o604), (64, &["anchor", "mode 604", "chmod 600"])),
    ];
    for (what, tamper, (code, says)) in cases {
        tamper();
        let before = snapshot(&data);
        let (exit, said) = appliance.refused_start();
        assert_eq!(exit, *code, "{what}: {said}");
        assert!(says.iter().all(|part| said.contains(part)), "{what}: {said}");
        only_our_lines(&said);
        assert_eq!(changed(&before, &snapshot(&data)), NOTHING, "{what}");
        assert!(!appliance.admin_socket().exists(), "{what}: a socket was bound");
        set_mode(&data, 0o700);
        fs::remove_dir_all(&data).unwrap();
        copy_tree(&kept, &data);
    }
    // The same files untouched: so every refusal above was for its own reason.
    appliance.restart();
    assert_eq!(show(&appliance, "demo")["state"], "open");
}

#[test]
fn an_older_workspace_file_is_read_only_until_the_operator_accepts_it() {
    let mut appliance = Appliance::claimed();
    appliance.workspace("other");
    let password = appliance.account("demo", "ada", "admin");
    let file = database(&appliance, &appliance.workspace_id("demo"));
    appliance.stop_well();
    assert!(!file.with_extension("db-wal").exists(), "a clean stop leaves one file");
    let old = fs::read(&file).unwrap();

    appliance.restart();
    appliance.account("demo", "bob", "user");
    appliance.account("demo", "eve", "user");
    appliance.stop_well();
    fs::write(&file, &old).unwrap();
    appliance.restart();

    let shown = show(&appliance, "demo");
    assert_eq!(shown["state"], "rolled-back");
    let reason = shown["reason"].as_str().unwrap();
    assert!(reason.contains("workspace.db") && reason.contains("accept-rollback"), "{reason}");
    // Reads work and show the old state; the verification names the matter.
    let listed = appliance.cli_ok(&["account", "list", "--workspace", "demo"]);
    assert!(listed.contains("ada") && !listed.contains("bob"), "{listed}");
    let verdict = appliance.cli(&["audit", "verify", "--workspace", "demo"]);
    let printed = String::from_utf8(verdict.stdout).unwrap();
    assert!(verdict.status.code() == Some(1) && printed.contains("rolled-back"), "{printed}");
    // Writes are refused by name, and an outsider without a credential cannot tell.
    let said = refused(&appliance, &["account", "create", "--workspace", "demo", "carol"]);
    assert!(said.contains("workspace-unavailable") && said.contains("rolled-back"), "{said}");
    let proven = appliance.try_sign_in("demo", "ada", &password);
    assert_eq!((proven.status, proven.code().as_str()), (503, "workspace-unavailable"));
    for _ in 0..4 {
        let answer = appliance.try_sign_in("demo", "eve", "wrong");
        assert_eq!((answer.status, answer.code().as_str()), (401, "sign-in-refused"));
        appliance.advance(std::time::Duration::from_secs(900));
    }
    // Nobody else is concerned.
    appliance.account("other", "zoe", "user");
    // It stays so over a restart, without a byte written.
    appliance.stop_well();
    assert!(fs::read(&file).unwrap() == old, "a read-only file was written");
    appliance.restart();
    assert_eq!(show(&appliance, "demo")["state"], "rolled-back");

    appliance.cli_ok(&["workspace", "accept-rollback", "demo"]);
    assert_eq!(show(&appliance, "demo")["state"], "open");
    let again = refused(&appliance, &["workspace", "accept-rollback", "demo"]);
    assert!(again.contains("conflict"), "{again}");
    let newest = &appliance.cli_json(&["audit", "list", "--workspace", "demo"])["records"][0];
    assert_eq!((&newest["action"], &newest["actor"]), (&json!("workspace.accept_rollback"), &json!("operator:local")));
    appliance.sign_in("demo", "ada", &password);
    appliance.cli_ok(&["audit", "verify", "--workspace", "demo"]);
    appliance.kill();
    appliance.restart();
    assert_eq!(show(&appliance, "demo")["state"], "open");
    appliance.cli_ok(&["audit", "verify", "--workspace", "demo"]);
    only_our_lines(&appliance.log());
}

#[test]
fn a_write_ahead_log_taken_away_is_a_rollback_too() {
    let mut appliance = Appliance::claimed();
    let file = database(&appliance, &appliance.workspace_id("demo"));
    appliance.account("demo", "ada", "user");
    appliance.tick();
    appliance.kill();
    let log = file.with_extension("db-wal");
    assert!(fs::metadata(&log).unwrap().len() > 0, "what was acknowledged lies in the log");
    fs::remove_file(&log).unwrap();
    appliance.restart();
    assert_eq!(show(&appliance, "demo")["state"], "rolled-back");
}

fn system_state(appliance: &Appliance) -> (String, bool) {
    let status = appliance.cli_json(&["status"]);
    (status["system_state"].as_str().unwrap().to_owned(), status["anchor_current"].as_bool().unwrap())
}

#[test]
fn an_older_system_file_is_read_only_until_the_operator_accepts_it_and_workspaces_go_on() {
    let mut appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "admin");
    appliance.stop_well();
    let file = appliance.data_dir().join("system.db");
    let old = fs::read(&file).unwrap();
    appliance.restart();
    appliance.workspace("late");
    appliance.stop_well();
    fs::write(&file, &old).unwrap();
    appliance.restart();

    let log = appliance.log();
    let warned =
        log.lines().any(|line| line.contains("ERROR") && line.contains("system.db") && line.contains("rolled-back"));
    assert!(warned, "the start says so");
    assert_eq!(system_state(&appliance).0, "rolled-back");
    let said = refused(&appliance, &["workspace", "create", "new"]);
    assert!(said.contains("workspace-unavailable") && said.contains("rolled-back"), "{said}");
    let verdict = appliance.cli(&["audit", "verify", "--workspace", "system"]);
    assert!(String::from_utf8(verdict.stdout).unwrap().contains("rolled-back"));
    // The people of the workspaces do not notice.
    appliance.sign_in("demo", "ada", &password);
    appliance.account("demo", "bob", "user");
    appliance.tick();
    appliance.stop_well();
    assert!(fs::read(&file).unwrap() == old, "a read-only file was written");
    appliance.restart();
    assert_eq!(system_state(&appliance).0, "rolled-back");

    appliance.cli_ok(&["workspace", "accept-rollback", "system"]);
    assert_eq!(system_state(&appliance), ("open".to_owned(), true));
    let newest = &appliance.cli_json(&["audit", "list", "--workspace", "system"])["records"][0];
    assert_eq!((&newest["action"], &newest["actor"]), (&json!("workspace.accept_rollback"), &json!("operator:local")));
    appliance.workspace("new");
    appliance.kill();
    appliance.restart();
    assert_eq!(system_state(&appliance), ("open".to_owned(), true));
    assert_eq!(show(&appliance, "demo")["state"], "open");
    only_our_lines(&appliance.log());
}

#[test]
fn a_system_file_from_before_the_claim_had_a_table_starts_and_nobody_claims_it_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (provision, config) = (dir.path().join("provision.toml"), dir.path().join("conclave.toml"));
    fs::write(&config, format!("provision = {provision:?}\n")).unwrap();
    fs::write(&provision, PROVISION).unwrap();
    set_mode(&provision, 0o600);
    let config = config.to_str().unwrap().to_owned();
    let mut appliance = Appliance::start_in(dir, &["--test-cheap-passwords", "--config", &config]);
    let system = WorkspaceId::SYSTEM.to_string();
    let fingerprint = |appliance: &Appliance| appliance.cli_json(&["status"])["trust"]["fingerprint"].clone();
    let before = fingerprint(&appliance);
    appliance.stop_well();
    let file = appliance.data_dir().join("system.db");
    let old = fs::read(&file).unwrap();
    appliance.restart();
    appliance.workspace("late");
    appliance.stop_well();
    fs::write(&file, &old).unwrap();
    let connection = Connection::open(&file).unwrap();
    connection.pragma_update(None, "key", format!("x'{}'", raw_key(&appliance.data_dir(), &system))).unwrap();
    connection
        .execute_batch(
            "DROP TABLE api_tokens; DROP TABLE claim; DROP TABLE one_time_links; DROP TABLE policy; DROP TABLE agreements; DROP TABLE approvals;
             ALTER TABLE accounts DROP COLUMN roles; ALTER TABLE accounts DROP COLUMN replayed_at; ALTER TABLE sessions DROP COLUMN persistent;
             ALTER TABLE sessions DROP COLUMN idle_millis; ALTER TABLE sessions DROP COLUMN absolute_millis;
             INSERT INTO settings (key, value) VALUES ('claimed_at', '2026-01-02T03:04:05.000Z');
             PRAGMA user_version = 5;",
        )
        .unwrap();
    drop(connection);

    let begin = appliance.log().len();
    appliance.restart();
    let log = appliance.log()[begin..].to_owned();
    assert!(!log.contains("setup.code") && log.contains("read-only: `provision` is ignored"), "{log}");
    assert_eq!(system_state(&appliance).0, "rolled-back");
    assert_eq!(appliance.cli_json(&["status"])["claim"], "claimed");
    assert_eq!(fingerprint(&appliance), before);
    assert_eq!(appliance.https("GET", "/api/v1/setup", &[], None).status, 404);
    appliance.cli_ok(&["workspace", "accept-rollback", "system"]);
    assert_eq!(system_state(&appliance), ("open".to_owned(), true));
    assert_eq!(appliance.cli_json(&["status"])["claim"], "claimed");
    assert_eq!(appliance.cli_json(&["account", "list", "-w", "system"])["accounts"][0]["user_name"], "olga");
}

#[test]
fn a_system_file_from_before_the_claim_is_claimed_by_no_code_and_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let (provision, config) = (dir.path().join("provision.toml"), dir.path().join("conclave.toml"));
    fs::write(&config, "").unwrap();
    let path = config.to_str().unwrap().to_owned();
    let mut appliance = Appliance::start_in(dir, &["--test-cheap-passwords", "--config", &path]);
    appliance.stop_well();
    let file = appliance.data_dir().join("system.db");
    let old = fs::read(&file).unwrap();
    appliance.restart();
    appliance.claim();
    appliance.stop_well();
    fs::write(&file, &old).unwrap();
    fs::write(&config, format!("provision = {provision:?}\n")).unwrap();
    fs::write(&provision, PROVISION).unwrap();
    set_mode(&provision, 0o600);
    let begin = appliance.log().len();
    appliance.restart();
    let log = appliance.log()[begin..].to_owned();
    assert!(!log.contains("setup.code") && log.contains("read-only: `provision` is ignored"), "{log}");
    assert_eq!(system_state(&appliance).0, "rolled-back");
    let said = refused(&appliance, &["setup", "code"]);
    assert!(said.contains("workspace-unavailable"), "{said}");
}

#[test]
fn an_older_or_missing_anchor_is_noticed_and_does_not_heal_by_itself() {
    let mut appliance = Appliance::claimed();
    appliance.tick();
    let anchor = appliance.data_dir().join("anchor");
    let old = fs::read(&anchor).unwrap();
    for name in ["ada", "bob", "eve"] {
        appliance.account("demo", name, "user");
        appliance.tick();
    }
    for put_back in [Some(&old), None] {
        appliance.stop_well();
        match put_back {
            Some(old) => fs::write(&anchor, old).unwrap(),
            None => fs::remove_file(&anchor).unwrap(),
        }
        appliance.restart();
        for n in 0..4 {
            assert_eq!(system_state(&appliance), ("rolled-back".to_owned(), false));
            appliance.account("demo", &format!("more{}{n}", put_back.is_some()), "user");
            appliance.tick();
        }
        assert_eq!(fs::read(&anchor).ok().as_ref(), put_back, "the evidence stays until it is confirmed");
        appliance.cli_ok(&["workspace", "accept-rollback", "system"]);
        assert_eq!(system_state(&appliance), ("open".to_owned(), true));
        appliance.stop_well();
        appliance.restart();
        assert_eq!(system_state(&appliance), ("open".to_owned(), true));
    }
}

#[test]
fn nothing_in_the_data_directory_is_plain_and_nobody_else_may_read_it() {
    const DISPLAY: &str = "Marker Of A Display Name";
    const DEVICE: &str = "marker of a device";
    const NAME: &str = "marker-of-a-user";
    const WORKSPACE: &str = "marker-of-a-workspace";
    let mut appliance = Appliance::start();
    let operator = appliance.claim();
    appliance.workspace(WORKSPACE);
    let password = appliance.account(WORKSPACE, NAME, "admin");
    let sealed = appliance.seal(&json!({ "workspace": WORKSPACE, "user_name": NAME, "password": password }));
    let body = json!({ "sealed": sealed, "device_name": DEVICE });
    let grant = appliance.https("POST", "/api/v1/sessions", &[], Some(&body)).json();
    let (access, refresh) = (grant["access_token"].as_str().unwrap(), grant["refresh_token"].as_str().unwrap());
    let account = format!("/api/v1/accounts/{}", grant["account"]["id"].as_str().unwrap());
    let renamed = appliance.with_token(access, "PATCH", &account, Some(&json!({ "display_name": DISPLAY })));
    assert_eq!(renamed.status, 200, "{}", renamed.text());
    appliance.tick();
    let signature = access.rsplit('.').next().unwrap();
    let markers = [DISPLAY, DEVICE, NAME, WORKSPACE, "argon2id", &operator, &password, access, signature, refresh];

    let nothing_plain = |appliance: &Appliance, when: &str| {
        let files = snapshot(&appliance.data_dir());
        assert!(files.len() >= 7, "{when}: {files:?}", files = files.keys());
        for (path, bytes) in &files {
            let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
            assert!(!holds(b"SQLite format 3\0"), "{when}: {} has a plain header", path.display());
            for marker in markers {
                assert!(!holds(marker.as_bytes()), "{when}: {} holds {marker:?}", path.display());
                let wide: Vec<u8> = marker.encode_utf16().flat_map(u16::to_le_bytes).collect();
                assert!(!holds(&wide), "{when}: {} holds {marker:?} in UTF-16", path.display());
            }
            let mode = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o600, "{when}: {}", path.display());
            let directory = path.parent().unwrap();
            let mode = fs::metadata(directory).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o700, "{when}: {}", directory.display());
        }
        let logs = files.keys().filter(|path| path.to_string_lossy().ends_with("-wal")).count();
        (files.len(), logs)
    };
    let (_, logs) = nothing_plain(&appliance, "running");
    assert!(logs >= 2, "the write-ahead logs were looked at");
    assert_eq!(fs::metadata(appliance.admin_socket()).unwrap().permissions().mode() & 0o777, 0o600);
    appliance.kill();
    let (_, logs) = nothing_plain(&appliance, "killed");
    assert!(logs >= 2, "the write-ahead logs were looked at");
    appliance.restart();
    // Opened once, so that what the crash left in its log is moved into the file.
    assert_eq!(show(&appliance, WORKSPACE)["state"], "open");
    appliance.stop_well();
    nothing_plain(&appliance, "stopped");
    let log = appliance.log();
    for marker in markers {
        assert!(!log.contains(marker), "the log holds {marker:?}");
    }
}

/// Local address and state of every Internet socket in `/proc/net/{table}`, by inode.
fn sockets(table: &str) -> BTreeMap<String, (String, String)> {
    let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields[9].to_owned(), (fields[1].to_owned(), fields[3].to_owned()))
    };
    text.lines().skip(1).map(row).collect()
}

#[test]
fn nothing_listens_but_the_documented_port_and_the_admin_socket() {
    let appliance = Appliance::claimed_with(&["--test-cheap-passwords", "--test-traceable"]);
    let password = appliance.account("demo", "ada", "user");
    appliance.sign_in("demo", "ada", &password);
    let descriptors = fs::read_dir(format!("/proc/{}/fd", appliance.pid())).unwrap();
    let links = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let inode = |link: PathBuf| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned());
    let inodes: Vec<String> = links.filter_map(inode).collect();
    assert!(inodes.len() >= 2, "{inodes:?}");

    let of_the_process = |table: &str| {
        let mut sockets = sockets(table);
        inodes.iter().filter_map(|inode| sockets.remove(inode)).collect::<Vec<_>>()
    };
    let own = format!("0100007F:{:04X}", appliance.address.port());
    let tcp = of_the_process("tcp");
    let listening: Vec<_> = tcp.iter().filter(|(_, state)| state == "0A").map(|(address, _)| address).collect();
    assert_eq!(listening, [&own]);
    // Whatever else there is belongs to a client of that port: nothing was dialled.
    assert!(tcp.iter().all(|(address, _)| *address == own), "{tcp:?}");
    let udp = of_the_process("udp");
    assert_eq!(udp.iter().map(|(address, _)| address).collect::<Vec<_>>(), [&own], "{udp:?}");
    for table in ["tcp6", "udp6", "raw", "raw6", "icmp"] {
        assert_eq!(of_the_process(table), [], "{table}");
    }
    let unix = fs::read_to_string("/proc/net/unix").unwrap();
    let bound: Vec<&str> = unix
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.len() == 8 && inodes.iter().any(|inode| inode == fields[6]) && fields[5] == "01")
        .map(|fields| fields[7])
        .filter(|path| Path::new(path) != appliance.admin_socket())
        .collect();
    assert!(bound.is_empty(), "{bound:?}");
}

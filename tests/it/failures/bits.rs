// SPDX-License-Identifier: AGPL-3.0-or-later
//! One flipped bit in each kind of file: what the next start or use says, and that nobody else is concerned.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use conclave::values::id::WorkspaceId;

use super::{chains_hold, doctor, id_of, read, rounds, write};
use crate::files::{NOTHING, changed, copy_tree, database, key_file, only_our_lines, set_mode, snapshot};
use crate::harness::{Appliance, Random};

/// Flips one drawn bit in this part of a file. Not the one that makes a hexadecimal digit a capital: that changes nothing
/// of what a text says.
fn flip_within(path: &Path, part: Range<usize>, random: &mut Random) -> String {
    let mut bytes = read(path);
    loop {
        let at = part.start + usize::try_from(random.below(u64::try_from(part.len()).unwrap())).unwrap();
        let bit = 1_u8 << random.below(8);
        if bit == 0x20 && bytes[at].is_ascii_hexdigit() && bytes[at].is_ascii_alphabetic() {
            continue;
        }
        bytes[at] ^= bit;
        fs::write(path, &bytes).unwrap();
        return format!("{}, byte {at}, bit {bit:#04x}", path.display());
    }
}

fn whole(path: &Path) -> Range<usize> {
    0..read(path).len()
}

fn log_of(database: &Path) -> PathBuf {
    database.with_extension("db-wal")
}

/// How far a log goes without its last two transactions: what a crash can cut off is only the last.
fn acknowledged(log: &Path) -> Range<usize> {
    const FRAME: usize = 24 + 4_096;
    let bytes = read(log);
    let salt = &bytes[16..24];
    let frames = bytes[32..].chunks_exact(FRAME).take_while(|frame| &frame[8..16] == salt);
    let ends: Vec<usize> = (1..).zip(frames).filter(|(_, frame)| frame[4..8] != [0; 4]).map(|(n, _)| n).collect();
    assert!(ends.len() > 4, "{}: {} transactions", log.display(), ends.len());
    0..32 + ends[ends.len() - 3] * FRAME
}

/// Everything but what SQLite makes anew for looking inside.
fn all_files(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = snapshot(data);
    files.retain(|path, _| !path.to_string_lossy().ends_with("-shm"));
    files
}

fn put_back(appliance: &Appliance, kept: &Path) {
    set_mode(&appliance.data_dir(), 0o700);
    fs::remove_dir_all(appliance.data_dir()).unwrap();
    copy_tree(kept, &appliance.data_dir());
}

/// An appliance that stands still, with a copy of its data as it was killed, its last changes in logs, and one as it
/// was stopped: a log heals a page of the file that lies in it.
struct Kept {
    appliance: Appliance,
    killed: PathBuf,
    stopped: PathBuf,
    ids: BTreeMap<String, String>,
}

fn kept(workspaces: &[&str]) -> Kept {
    let appliance = Appliance::start();
    let kit = appliance.dir.path().join("kit.txt");
    let claim = ["setup", "claim", "--name", "localhost", "--operator", "olga", "--kit-file", kit.to_str().unwrap()];
    appliance.cli_ok(&claim);
    let mut ids = BTreeMap::new();
    for name in workspaces {
        appliance.workspace(name);
        ids.insert((*name).to_owned(), appliance.workspace_id(name));
    }
    let system = WorkspaceId::SYSTEM.to_string();
    for n in 0..6 {
        for id in ids.values().chain([&system]) {
            id_of(&write(&appliance.admin_socket(), id, &format!("person-{n}")));
        }
    }
    appliance.tick();
    let mut appliance = appliance;
    appliance.kill();
    let [killed, stopped] = ["killed", "stopped"].map(|name| appliance.dir.path().join(name));
    copy_tree(&appliance.data_dir(), &killed);
    appliance.restart();
    // Every file is opened, so that its log is moved into it.
    chains_hold(&appliance);
    appliance.stop_well();
    copy_tree(&appliance.data_dir(), &stopped);
    Kept { appliance, killed, stopped, ids }
}

#[test]
fn a_bit_in_a_file_that_all_depend_on_ends_the_start() {
    let mut random = Random::seeded("flipped bits that end the start");
    let Kept { mut appliance, killed, stopped, .. } = kept(&["demo"]);
    let data = appliance.data_dir();
    let keys = format!("{}.json", WorkspaceId::SYSTEM);
    type Kind<'k> = (&'k Path, PathBuf, fn(&Path) -> Range<usize>, &'k [&'k str]);
    let kinds: [Kind<'_>; 5] = [
        (&stopped, data.join("master.key"), whole, &[&keys, "does not unwrap", "master key", "same backup"]),
        (&stopped, data.join("keys").join(&keys), whole, &[&keys, "backup"]),
        (&stopped, data.join("system.db"), whole, &["system.db", "estore it from a backup"]),
        (&killed, data.join("system.db-wal"), acknowledged, &["system.db-wal", "acknowledged", "from a backup"]),
        (&stopped, data.join("anchor"), whole, &["anchor", "backup", "accept-rollback system"]),
    ];
    for (kept, path, part, says) in &kinds {
        for _ in 0..rounds(3, 5) {
            put_back(&appliance, kept);
            let what = flip_within(path, part(path), &mut random);
            let before = all_files(&data);
            let (code, said) = appliance.refused_start();
            assert_eq!(code, 65, "{what}: {said}");
            assert!(says.iter().all(|part| said.contains(part)), "{what}: {said}");
            only_our_lines(&said);
            assert_eq!(changed(&before, &all_files(&data)), NOTHING, "{what}");
        }
    }
    put_back(&appliance, &killed);
    appliance.restart();
    chains_hold(&appliance);
}

#[test]
fn a_bit_in_a_file_of_a_workspace_concerns_it_alone() {
    let mut random = Random::seeded("flipped bits of workspaces");
    let Kept { mut appliance, killed, stopped, ids } = kept(&["demo", "by-key", "by-file", "by-log"]);
    for _ in 0..rounds(2, 4) {
        put_back(&appliance, &killed);
        let directory = format!("workspaces/{}", ids["by-file"]);
        fs::remove_dir_all(appliance.data_dir().join(&directory)).unwrap();
        copy_tree(&stopped.join(&directory), &appliance.data_dir().join(&directory));
        let (key, log) = (key_file(&appliance, &ids["by-key"]), log_of(&database(&appliance, &ids["by-log"])));
        let file = database(&appliance, &ids["by-file"]);
        let flipped = [
            ("by-key", &key, flip_within(&key, whole(&key), &mut random), ["sealed", "sealed"]),
            ("by-file", &file, flip_within(&file, whole(&file), &mut random), ["swapped", "damaged"]),
            ("by-log", &log, flip_within(&log, acknowledged(&log), &mut random), ["damaged", "damaged"]),
        ];
        let before: Vec<Vec<u8>> = flipped.iter().map(|(_, path, ..)| read(path)).collect();
        appliance.restart();
        let mut ill = Vec::new();
        for (name, path, what, states) in &flipped {
            let shown = appliance.cli_json(&["workspace", "show", name]);
            let (state, reason) = (shown["state"].as_str().unwrap(), shown["reason"].as_str().unwrap_or_default());
            assert!(states.contains(&state), "{what}: {state}, {reason}");
            assert!(reason.contains(path.to_str().unwrap()) && reason.contains("backup"), "{what}: {reason}");
            let refused = write(&appliance.admin_socket(), &ids[*name], "late");
            assert_eq!((refused.status, refused.code().as_str()), (503, "workspace-unavailable"), "{what}");
            let (seen, says) = doctor(&appliance, &format!("workspace {}", ids[*name]));
            assert!(seen == "fail" && says.contains(path.to_str().unwrap()), "{what}: {says}");
            ill.push(what.clone());
        }
        assert_eq!(doctor(&appliance, "keys").0, "fail", "{ill:?}");
        assert_eq!(appliance.cli(&["doctor"]).status.code(), Some(1), "{ill:?}");
        id_of(&write(&appliance.admin_socket(), &ids["demo"], "late"));
        appliance.stop();
        let after: Vec<Vec<u8>> = flipped.iter().map(|(_, path, ..)| read(path)).collect();
        assert!(before == after, "a refused file was changed: {ill:?}");
        only_our_lines(&appliance.log());
    }
    put_back(&appliance, &killed);
    appliance.restart();
    chains_hold(&appliance);
}

#[test]
fn a_bit_in_the_recovery_file_is_seen_while_there_is_time() {
    let mut random = Random::seeded("flipped bits of recovery.json");
    let Kept { mut appliance, stopped, ids, .. } = kept(&["demo"]);
    let file = appliance.data_dir().join("recovery.json");
    for round in 0..rounds(3, 6) {
        // What is sealed is most of the file, and what nobody can look into without the words.
        let sealed = String::from_utf8(read(&file)).unwrap().find("\"sealed\"").unwrap() + "\"sealed\": \"".len();
        let part = if round == 0 { sealed..sealed + 96 } else { whole(&file) };
        let what = flip_within(&file, part, &mut random);
        let (before, begin) = (read(&file), appliance.log().len());
        appliance.restart();
        let log = appliance.log()[begin..].to_owned();
        let warned = |line: &str| line.contains("WARN") && line.contains("recovery.json") && line.contains("backup");
        assert!(log.lines().any(warned), "{what}: {log}");
        let (seen, says) = doctor(&appliance, "recovery kit");
        assert!(seen == "fail" && says.contains("recovery.json") && says.contains("backup"), "{what}: {says}");
        // It is for a day that need not come: everything else goes on.
        id_of(&write(&appliance.admin_socket(), &ids["demo"], "late"));
        appliance.stop_well();
        assert!(read(&file) == before, "{what}: it was changed");
        put_back(&appliance, &stopped);
    }
    appliance.restart();
    assert_eq!(doctor(&appliance, "recovery kit").0, "ok");
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! The documents say what is there: promises, permissions, commands, exit codes, tests, files and links are compared
//! with the code. What is not there yet is said so, and the day it comes a test here asks for the document.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use conclave::cli::parity;
use conclave::core::auth::permission::{Permission, Role};
use serde_json::Value;

use crate::harness::{BINARY, files_below, repository};

/// Clause and promise of each row of the policy map. A promise of the product is added or dropped here first.
const PROMISES: [(&str, &str); 24] = [
    ("1.1 13.1 14.1", "who runs this: operator identity, privacy contact, supervisory authority"),
    ("1.2 2.2", "workspace life: trial → subscribed → suspended → closed; trial has an end date and a seat limit"),
    ("2.3 3.1 11.3", "controller and processor told apart"),
    ("3.2", "a Data Processing Agreement is accepted before a workspace is usable"),
    ("4.1", "sign-up takes the minimum"),
    ("4.2", "voice is relayed encrypted, never stored, and can be disabled"),
    ("4.3", "tracking data only passes through"),
    ("4.4", "no sensitive data"),
    ("6 7", "data stays where the customer put it; recipients are known"),
    ("8.1", "kept no longer than needed"),
    ("9.1 9.5", "not lost, changed or disclosed by accident"),
    ("9.2", "user name and password through a real authentication process"),
    ("9.2", "JWT signed with HS512"),
    ("9.2", "TLS 1.3 for REST"),
    ("9.2", "AES-GCM-256 for events, voice, tracking, screen share"),
    ("9.2", "keys randomised continuously through the session"),
    ("9.2", "login credentials carry additional encryption at application level"),
    ("9.2", "a device stores only low-risk data"),
    ("9.3", "isolation per tenant"),
    ("9.4", "role-based access"),
    ("9.6", "risk assessed, security questions answered"),
    ("10", "session and persistent cookies"),
    ("11.2", "access, portability, rectification, erasure, objection, restriction"),
    ("12", "policy changes are announced"),
];

/// Where a permission may be enforced.
const ENFORCED: [&str; 6] =
    ["ticket grant", "channel", "content address", "API route", "client side only", "no feature yet"];

/// Folders that documents name as not there yet.
const PLANNED: [&str; 0] = [];

/// What a table holds where there is nothing to say.
const NOTHING: &str = "–";

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every document, by its path in the repository.
fn documents() -> Vec<String> {
    let root = repository();
    let mut found: Vec<String> =
        ["README.md", "CHANGELOG.md", "SECURITY.md", "tests/independent/README.md"].map(ToOwned::to_owned).into();
    for file in files_below(&root.join("docs"), ".md") {
        found.push(file.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
    }
    found
}

/// Text without fenced blocks, cut at its backticks: prose at even places, code at odd ones.
fn split_at_backticks(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut open = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            open.push(line);
        }
    }
    open.join("\n").split('`').map(ToOwned::to_owned).collect()
}

/// What stands between backticks, on one line.
fn code(text: &str) -> Vec<String> {
    let parts = split_at_backticks(text);
    assert!(parts.len() % 2 == 1, "a backtick is not closed:\n{text}");
    let code = parts.iter().skip(1).step_by(2);
    code.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The rows of the first table whose first heading this is.
fn rows(document: &str, heading: &str) -> Vec<Vec<String>> {
    let text = read(document);
    let mut found: Vec<Vec<String>> = Vec::new();
    for line in text.lines() {
        let cells = line.strip_prefix('|').and_then(|line| line.trim_end().strip_suffix('|'));
        let cells: Option<Vec<String>> = cells.map(|line| line.split('|').map(|cell| cell.trim().to_owned()).collect());
        match cells {
            Some(cells) if !found.is_empty() || cells[0] == heading => found.push(cells),
            None if !found.is_empty() => break,
            _ => {}
        }
    }
    assert!(found.len() > 2, "{document} has no table that begins with {heading:?}");
    let columns = found[0].len();
    assert!(found.iter().all(|row| row.len() == columns), "{document}: rows of {heading:?} differ in length");
    found.split_off(2)
}

/// `file::test`, when that is what a piece of code is.
fn as_test(code: &str) -> Option<(&str, &str)> {
    code.split_once("::").filter(|(file, _)| file.ends_with(".rs") || file.ends_with(".mjs"))
}

/// The tests that a text names.
fn tests_in(text: &str) -> Vec<String> {
    code(text).into_iter().filter(|code| as_test(code).is_some()).collect()
}

fn test_exists(named: &str) -> bool {
    let (file, name) = as_test(named).unwrap();
    let in_a_test_folder = file.starts_with("src/") || file.starts_with("tests/");
    let Ok(text) = fs::read_to_string(repository().join(file)) else { return false };
    let declared = if file.ends_with(".rs") { format!("fn {name}(") } else { format!("test(\"{name}\"") };
    in_a_test_folder && text.contains(&declared)
}

fn conclave(arguments: &[&str]) -> String {
    let output = Command::new(BINARY).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_policy_map_has_every_promise_and_a_test_for_every_claim() {
    let rows = rows("docs/policy-map.md", "clause");
    let found: Vec<(&str, &str)> = rows.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    assert_eq!(found, PROMISES);
    for row in &rows {
        let [_, promise, state, place, tests, check] = &row[..] else { panic!("{row:?}") };
        let claimed = !tests_in(tests).is_empty() && place != NOTHING && check != NOTHING;
        match code(state).first().map(String::as_str) {
            Some("yes") => {
                let whole = state == "`yes`" || state.starts_with("`yes`: ");
                assert!(claimed && whole, "{promise}: a yes has code, test and check");
            }
            Some("partly") => {
                assert!(claimed && state.starts_with("`partly`: "), "{promise}: what is there, and what is not?");
            }
            Some("no") => assert!(tests == NOTHING && check == NOTHING, "{promise}: a no has no test and no check"),
            _ => panic!("{promise}: {state} is no state"),
        }
    }
}

#[test]
fn permissions_are_complete_and_at_the_right_lowest_role() {
    let role = |permission: Permission| match permission.lowest_role() {
        Some(Role::Guest) => "Guest",
        Some(Role::User) => "User",
        Some(Role::PowerUser) => "Power User",
        Some(Role::Admin) => "Admin",
        None => "nobody (by hand)",
    };
    let rows = rows("docs/permissions.md", "permission");
    let expected: Vec<(String, &str)> =
        Permission::ALL.map(|permission| (format!("`{}`", permission.as_str()), role(permission))).into();
    let found: Vec<(String, &str)> = rows.iter().map(|row| (row[0].clone(), row[1].as_str())).collect();
    assert_eq!(found, expected);

    let sources = files_below(&repository().join("src/api"), ".rs");
    let api: String = sources.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    for (row, permission) in rows.iter().zip(Permission::ALL) {
        let (enforced, place) = (row[2].as_str(), &row[3]);
        assert!(ENFORCED.contains(&enforced), "{permission:?}: {enforced}");
        let asks = ["require", "administers"].map(|ask| format!("{ask}(Permission::{permission:?})"));
        let by_a_route = asks.iter().any(|ask| api.contains(ask));
        assert_eq!(by_a_route, enforced == "API route", "{permission:?}: {enforced}");
        assert!(enforced == "no feature yet" || code(place).iter().any(|code| code.starts_with("src/")), "{row:?}");
    }
}

#[test]
fn every_test_that_a_document_names_exists() {
    let mut missing = Vec::new();
    let mut named = 0;
    for document in documents() {
        let tests = tests_in(&read(&document));
        named += tests.len();
        missing.extend(tests.into_iter().filter(|test| !test_exists(test)).map(|test| format!("{document}: {test}")));
    }
    assert!(named > 0 && missing.is_empty(), "\n{}\n", missing.join("\n"));
}

#[test]
fn every_file_that_a_document_names_exists() {
    let mut wrong = Vec::new();
    for document in documents() {
        for code in code(&read(&document)) {
            let path = code.split("::").next().unwrap();
            let is_path = ["src/", "tests/", "docs/", ".ci/"].iter().any(|folder| path.starts_with(folder));
            // A command line with arguments, or a name with a gap in it, names no file.
            if !is_path || path.contains([' ', '<', '{', '…', '*']) || path.contains("NNNN") {
                continue;
            }
            if repository().join(path).exists() == PLANNED.contains(&path) {
                wrong.push(format!("{document}: {path}"));
            }
        }
    }
    assert!(wrong.is_empty(), "missing, or there and called not there yet:\n{}\n", wrong.join("\n"));
}

#[test]
fn links_between_documents_resolve() {
    let mut broken = Vec::new();
    for document in documents() {
        // Code in the text of a link is left out, its target stays.
        let prose = split_at_backticks(&read(&document)).into_iter().step_by(2).collect::<String>();
        for target in prose.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if !target.starts_with("https://") && !resolves(&document, target) {
                broken.push(format!("{document}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

fn resolves(document: &str, target: &str) -> bool {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let own = repository().join(document);
    let path = if file.is_empty() { own } else { own.parent().unwrap().join(file) };
    path.exists() && (heading.is_empty() || slugs(&path).contains(heading))
}

/// The headings of a document, as links name them.
fn slugs(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let slug = |heading: &str| {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
    };
    headings.map(slug).collect()
}

#[test]
fn every_decision_is_in_the_index_and_says_context_decision_and_consequences() {
    let index = read("docs/decisions/README.md");
    for file in files_below(&repository().join("docs/decisions"), ".md") {
        let name = file.file_name().unwrap().to_str().unwrap();
        if name == "README.md" {
            continue;
        }
        assert!(index.contains(&format!("]({name})")), "{name} is not in the index");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with(&format!("# {} ", &name[..4])), "{name} does not begin with its number");
        for part in ["**Context.**", "**Decision.**", "**Consequences.**"] {
            assert!(text.contains(part), "{name} has no {part}");
        }
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let reasons = code(&read("docs/decisions/0010-dependencies.md"));
    let kinds = ["dependencies", "dev-dependencies"].map(|kind| manifest[kind].as_table().unwrap());
    let missing: Vec<_> = kinds.iter().flat_map(|kind| kind.keys()).filter(|name| !reasons.contains(name)).collect();
    assert!(missing.is_empty(), "no reason for {missing:?}");
}

#[test]
fn every_command_has_its_place_and_every_exit_code_is_in_the_help() {
    let mut expected = BTreeSet::new();
    commands(&[], &mut expected);
    let text = read("docs/cli.md");
    let headings = text.lines().filter_map(|line| line.strip_prefix("### `conclave ")?.strip_suffix('`'));
    assert_eq!(headings.map(ToOwned::to_owned).collect::<BTreeSet<_>>(), expected);

    let help = conclave(&["--help"]);
    let (_, codes) = help.split_once("Exit codes:").unwrap();
    let number = |text: &str| text.split_whitespace().next().unwrap().parse::<u8>().unwrap();
    let in_help: BTreeSet<u8> = codes.split('·').map(number).collect();
    let documented: BTreeSet<u8> = rows("docs/cli.md", "code").iter().map(|row| number(&row[0])).collect();
    assert_eq!(documented, in_help);
}

/// Adds every command below `path` that has none below itself.
fn commands(path: &[&str], into: &mut BTreeSet<String>) {
    let help = conclave(&[path, &["--help"]].concat());
    let below: Vec<&str> = match help.split_once("\nCommands:\n") {
        // A name is indented by two; what a long description goes on with, by more.
        Some((_, list)) => list
            .lines()
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')))
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| *name != "help")
            .collect(),
        None => Vec::new(),
    };
    if below.is_empty() {
        into.insert(path.join(" "));
    }
    for name in below {
        commands(&[path, &[name]].concat(), into);
    }
}

#[test]
fn the_generated_documents_are_what_the_binary_prints() {
    for (document, arguments) in [
        ("docs/configuration.md", &["config", "reference"][..]),
        ("docs/openapi.json", &["openapi"][..]),
        ("docs/problems.md", &["problems"][..]),
        ("docs/parity.md", &["parity"][..]),
    ] {
        assert!(read(document) == conclave(arguments), "{document} is not what the binary prints: run `make generate`");
    }
}

/// The operations of the API, the two prefixes of a workspace's routes as one.
fn operations() -> BTreeSet<String> {
    let document: Value = serde_json::from_str(&read("docs/openapi.json")).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let of_a_workspace = |path: &str| {
        let rest =
            path.strip_prefix("/api/v1/system/workspaces/{workspace}/").or_else(|| path.strip_prefix("/api/v1/"))?;
        let twice = ["/api/v1/", "/api/v1/system/workspaces/{workspace}/"].map(|prefix| format!("{prefix}{rest}"));
        twice.iter().all(|path| paths.contains_key(path)).then(|| format!("…/{rest}"))
    };
    let methods = ["get", "put", "post", "patch", "delete"];
    let of_a_path = paths.iter().flat_map(|(path, item)| {
        let named = of_a_workspace(path).unwrap_or_else(|| path.clone());
        let taken = methods.iter().filter(|method| item.get(**method).is_some());
        taken.map(move |method| format!("{} {named}", method.to_uppercase())).collect::<Vec<_>>()
    });
    of_a_path.collect()
}

#[test]
fn every_route_has_its_command_or_a_reason_and_every_command_its_routes() {
    let rows: Vec<String> = parity::ROUTES.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let listed: BTreeSet<String> = rows.iter().cloned().collect();
    assert_eq!((listed.len(), &listed), (rows.len(), &operations()));

    let mut every = BTreeSet::new();
    commands(&[], &mut every);
    let mut named: BTreeSet<String> = parity::WITHOUT_ROUTE.iter().map(|(command, _)| (*command).to_owned()).collect();
    let text = read("docs/cli.md");
    for ((_, _, twin), route) in parity::ROUTES.iter().zip(&rows) {
        let parity::Twin::Commands(twins) = twin else { continue };
        for command in *twins {
            named.insert((*command).to_owned());
            let section = text.split("### `conclave ").find(|section| section.starts_with(&format!("{command}`\n")));
            let section = section.unwrap_or_else(|| panic!("docs/cli.md has no section of {command}"));
            assert!(code(&format!("`{section}")).contains(route), "docs/cli.md does not say that {command} is {route}");
        }
    }
    assert_eq!(named, every);
}

#[test]
fn an_account_takes_the_minimum() {
    let document: Value = serde_json::from_str(&read("docs/openapi.json")).unwrap();
    let schema = &document["components"]["schemas"]["CreateAccount"];
    let fields: BTreeSet<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, BTreeSet::from(["display_name", "password", "role", "roles", "sealed", "user_name"]));
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn the_checks_find_what_they_look_for() {
    assert_eq!(code("a `b\nc` d `e`"), ["b c", "e"]);
    assert_eq!(code("```\n`\n```\n`x`"), ["x"]);
    assert!(test_exists("tests/it/docs.rs::the_checks_find_what_they_look_for"));
    for missing in ["tests/it/docs.rs::no_such_test", "tests/it/no_such_file.rs::test", "../x.rs::test"] {
        assert!(!test_exists(missing), "{missing}");
    }
    assert!(as_test("Role::manages").is_none());
    for (target, good) in [
        ("files.md", true),
        ("files.md#anchor", true),
        ("files.md#no-such-heading", false),
        ("no-such-file.md", false),
        ("../README.md", true),
        ("#known-gaps", true),
    ] {
        assert_eq!(resolves("docs/security.md", target), good, "{target}");
    }
}

/// The types that the API document describes, by name. One that derives `ToSchema` gives its name to a schema.
fn schema_types() -> Vec<String> {
    let mut found = Vec::new();
    for file in files_below(&repository().join("src"), ".rs") {
        let text = fs::read_to_string(&file).unwrap();
        for derive in text.split("#[derive(").skip(1) {
            let (derived, rest) = derive.split_once(")]").unwrap();
            let item = rest.lines().find_map(|line| {
                let line = line.trim_start().trim_start_matches("pub(super) ").trim_start_matches("pub ");
                line.strip_prefix("struct ").or_else(|| line.strip_prefix("enum "))
            });
            if derived.split(',').any(|name| name.trim() == "ToSchema")
                && let Some(item) = item
            {
                let end = item.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(item.len());
                found.push(item[..end].to_owned());
            }
        }
    }
    found
}

#[test]
fn no_two_types_share_a_schema() {
    let types = schema_types();
    assert!(types.len() > 50 && types.iter().any(|name| name == "ProblemBody"), "{types:?}");
    let mut seen = BTreeSet::new();
    for name in &types {
        assert!(seen.insert(name), "two types are called {name}: the document would describe only one of them");
    }
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! The rules of the house (`docs/architecture.md`), read from the sources. Each rule is a function over a path and a
//! text, so that the tests at the end can show that it finds what it looks for.

use std::fs;

use crate::harness::{files_below, repository};

/// The layers, lowest first. A module names strictly lower layers, and itself.
const LAYERS: &[&[&str]] = &[
    &["values"],
    &["wire"],
    &["core"],
    &["platform"],
    &["hub"],
    &["api", "relay", "console", "client"],
    &["config", "app", "lifecycle", "cli"],
];

/// Modules of the last layer are put together by hand and may name each other.
const ASSEMBLY: usize = LAYERS.len() - 1;

/// Files longer than the soft cap, each with the reason why it is still one file.
const LONG_FILES: &[(&str, &str)] = &[
    ("api/types.rs", "shapes only, read from top to bottom as one document"),
    ("api/error/texts.rs", "a catalogue of words, read from top to bottom as one document"),
    ("wire/control/schema.rs", "made from the schema beside it"),
];
const SOFT_CAP: usize = 400;
const HARD_CAP: usize = 700;

/// Paths below which the licence is permissive, so that client developers are free.
const PERMISSIVE: &[&str] = &[
    "values/",
    "wire/",
    "core/keys/",
    "core/replay.rs",
    "client/",
    "platform/clock.rs",
    "platform/entropy.rs",
    "platform/suites.rs",
    "console/web/sdk/",
];

type Finding = String;

/// Code without comments and without what is compiled for tests only.
fn shipped(text: &str) -> String {
    let end = text.find("\n#[cfg(test)]\nmod tests").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn module_of(path: &str) -> &str {
    path.split('/').next().unwrap().trim_end_matches(".rs")
}

fn names_higher_layers(path: &str, text: &str) -> Vec<Finding> {
    let own = module_of(path);
    let Some(own_layer) = layer_of(own) else {
        return if ["lib", "main"].contains(&own) { vec![] } else { vec![format!("{path}: belongs to no layer")] };
    };
    let code = shipped(text);
    let mut named: Vec<&str> = code
        .match_indices("crate::")
        .filter(|(at, _)| *at == 0 || !code[..*at].ends_with(['_', '$']))
        .map(|(at, found)| {
            let rest = &code[at + found.len()..];
            &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())]
        })
        .collect();
    // `use crate::{api, console};`
    for (at, found) in code.match_indices("crate::{") {
        let rest = &code[at + found.len()..];
        named.extend(rest[..rest.find('}').unwrap()].split(',').map(|part| part.trim().split("::").next().unwrap()));
    }
    named
        .into_iter()
        .filter(|name| !name.is_empty() && *name != own)
        .filter(|name| match layer_of(name) {
            Some(layer) => layer >= own_layer && !(layer == ASSEMBLY && own_layer == ASSEMBLY),
            None => true,
        })
        .map(|name| format!("{path}: {own} names {name}, which is not below it"))
        .collect()
}

fn has_no_head(path: &str, text: &str) -> Vec<Finding> {
    let permissive = PERMISSIVE.iter().any(|prefix| path.starts_with(prefix));
    let licence = if permissive { "Apache-2.0 OR MIT" } else { "AGPL-3.0-or-later" };
    let mut lines = text.lines();
    let mut findings = Vec::new();
    if lines.next() != Some(&format!("// SPDX-License-Identifier: {licence}")) {
        findings.push(format!("{path}: does not begin with the licence {licence}"));
    }
    if path.ends_with(".rs") && !lines.next().unwrap_or_default().starts_with("//! ") {
        findings.push(format!("{path}: does not say what it owns (//!)"));
    }
    findings
}

fn names_forbidden(path: &str, text: &str) -> Vec<Finding> {
    let code = shipped(text);
    let within = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
    let rules: &[(&[&str], &[&str], &str)] = &[
        (
            &["\"SELECT ", "\"INSERT ", "\"UPDATE ", "\"DELETE ", "\"PRAGMA ", "\"CREATE ", "execute_batch"],
            &["platform/store/"],
            "SQL lives in the store",
        ),
        (&["std::env", "env::var"], &["config/", "cli/"], "the environment is read in config and cli"),
        (&["EpochSecret"], &["core/keys/", "hub/driver", "client/"], "the relay sees no secret of an epoch"),
        (&["unsafe {", "unsafe fn", "unsafe impl"], &["platform/sys.rs", "client/ffi"], "unsafe code has one place"),
        (
            &[
                "StatusCode::BAD",
                "StatusCode::UNAUTH",
                "StatusCode::FORBIDDEN",
                "StatusCode::NOT_FOUND",
                "StatusCode::CONFLICT",
                "StatusCode::TOO_MANY",
                "StatusCode::SERVICE",
            ],
            &["api/error/", "platform/https", "relay/endpoint.rs", "cli/client.rs"],
            "failure status codes live in api/error",
        ),
    ];
    let mut findings = Vec::new();
    for (words, places, reason) in rules {
        if !within(places) {
            let found = words.iter().filter(|word| code.contains(*word));
            findings.extend(found.map(|word| format!("{path}: {word}: {reason}")));
        }
    }
    if within(&["core/", "values/", "wire/"]) {
        let impure = [
            "tokio",
            "axum",
            "rusqlite",
            "quinn",
            "std::fs",
            "std::net::Tcp",
            "std::net::Udp",
            "std::thread",
            "async fn",
            ".await",
            "tracing::debug",
            "tracing::info",
            "tracing::warn",
            "tracing::error",
            "SystemTime",
            "Instant",
            "getrandom",
        ];
        findings.extend(
            impure.iter().filter(|word| code.contains(*word)).map(|word| format!("{path}: {word}: the core is pure")),
        );
    }
    if within(&["relay/"]) && code.contains("platform::store") {
        findings.push(format!("{path}: the relay never names the store"));
    }
    findings
}

fn is_too_long(path: &str, text: &str) -> Vec<Finding> {
    let lines = shipped(text).lines().filter(|line| !line.trim().is_empty()).count();
    let excused = LONG_FILES.iter().any(|(file, _)| *file == path);
    match lines {
        lines if lines > HARD_CAP => vec![format!("{path}: {lines} lines of code, more than {HARD_CAP}")],
        lines if lines > SOFT_CAP && !excused => {
            vec![format!(
                "{path}: {lines} lines of code, more than {SOFT_CAP}: split it by reason to change, or excuse it"
            )]
        }
        _ => vec![],
    }
}

fn check_sources(suffix: &str, rules: &[fn(&str, &str) -> Vec<Finding>]) {
    let root = repository().join("src");
    let mut findings = Vec::new();
    let files = files_below(&root, suffix);
    assert!(!files.is_empty());
    for file in files {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        findings.extend(rules.iter().flat_map(|rule| rule(&path, &text)));
    }
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn every_source_file_keeps_the_rules_of_the_house() {
    check_sources(".rs", &[names_higher_layers, has_no_head, names_forbidden, is_too_long]);
}

#[test]
fn every_script_says_its_licence() {
    check_sources(".ts", &[has_no_head, is_too_long]);
}

#[test]
fn main_is_thin() {
    let text = fs::read_to_string(repository().join("src/main.rs")).unwrap();
    assert!(text.lines().count() <= 20);
}

#[test]
fn the_rules_find_what_they_look_for() {
    let check = |rule: fn(&str, &str) -> Vec<Finding>, path: &str, text: &str, found: bool| {
        assert_eq!(!rule(path, text).is_empty(), found, "{path}: {text}");
    };
    check(names_higher_layers, "core/audit.rs", "use crate::platform::store;", true);
    check(
        names_higher_layers,
        "core/audit.rs",
        "use crate::values::id;\n\n#[cfg(test)]\nmod tests {\nuse crate::platform;\n}",
        false,
    );
    check(names_higher_layers, "console/mod.rs", "use crate::api::types;", true);
    check(names_higher_layers, "api/mod.rs", "use crate::{console, values};", true);
    check(names_higher_layers, "app.rs", "use crate::{api, console};", false);
    check(names_higher_layers, "util/mod.rs", "", true);
    check(has_no_head, "api/mod.rs", "// SPDX-License-Identifier: AGPL-3.0-or-later\n//! Routes.", false);
    check(has_no_head, "values/id.rs", "// SPDX-License-Identifier: AGPL-3.0-or-later\n//! Ids.", true);
    check(has_no_head, "api/mod.rs", "// SPDX-License-Identifier: AGPL-3.0-or-later\nuse x;", true);
    check(names_forbidden, "api/me.rs", "let sql = \"SELECT 1\";", true);
    check(names_forbidden, "platform/store/audit_log.rs", "let sql = \"SELECT 1\";", false);
    check(names_forbidden, "platform/pki/tls.rs", "std::env::var(\"X\")", true);
    check(names_forbidden, "core/limit.rs", "let now = Instant::now();", true);
    check(names_forbidden, "api/me.rs", "unsafe { x() }", true);
    check(names_forbidden, "core/room/mod.rs", "secret: &EpochSecret", true);
    check(names_forbidden, "hub/driver.rs", "secret: &EpochSecret", false);
    check(names_forbidden, "relay/mod.rs", "use crate::platform::store::Store;", true);
    check(is_too_long, "api/me.rs", &"x();\n".repeat(SOFT_CAP + 1), true);
    check(is_too_long, "api/me.rs", &"// x\n".repeat(SOFT_CAP + 1), false);
}

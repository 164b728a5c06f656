// SPDX-License-Identifier: AGPL-3.0-or-later
//! Names that pretend to be others, hide characters, or have no end.

use serde_json::json;

use super::{is_problem, talkative, unharmed};

#[test]
fn user_names_are_normalised_and_look_alikes_refused_with_the_reason() {
    let appliance = talkative();
    let demo = appliance.workspace_id("demo");
    let path = format!("/api/v1/system/workspaces/{demo}/accounts");
    let create =
        |name: &str| appliance.admin("POST", &path, Some(&json!({ "user_name": name, "display_name": "Somebody" })));
    for (name, normal) in [
        ("ada", "ada"),
        ("admin1", "admin1"),
        ("mary", "mary"),
        ("oscar", "oscar"),
        ("paypal", "paypal"),
        // Full width, ligature, capitals, another composition: what they mean is what is kept.
        ("Ｇｒａｃｅ", "grace"),
        ("\u{fb01}ona", "fiona"),
        ("ÉLISE", "élise"),
        ("Жанна", "жанна"),
        ("李明", "李明"),
    ] {
        let answer = create(name);
        assert_eq!(answer.status, 201, "{name}: {}", answer.text());
        assert_eq!(answer.json()["account"]["user_name"], normal, "{name}");
    }
    for name in ["ada", "ADA", "Ａｄａ", "grace", "fiona", "e\u{301}lise"] {
        is_problem(name, &create(name), 409, "user-name-taken");
    }
    for name in ["adminl", "rnary", "0scar", "раураӏ"] {
        is_problem(name, &create(name), 409, "user-name-looks-alike");
    }
    for (name, reason) in [
        ("аdа", "mixes scripts"),
        ("pаypal", "mixes scripts"),
        ("ad\u{200b}a", "U+200B"),
        ("ad\u{200d}a", "U+200D"),
        ("\u{feff}ada", "U+FEFF"),
        ("ada\u{202e}", "U+202E"),
        ("ada\0", "U+0000"),
        ("ada\n", "U+000A"),
        ("ada lovelace", "U+0020"),
        ("ada\u{a0}lovelace", "U+0020"),
        ("ada/../bob", "U+002F"),
        ("ada'--", "\"'\""),
        ("<b>ada", "U+003C"),
        ("ada😀", "U+1F600"),
        (".ada", "start and end"),
        ("ada-", "start and end"),
        ("", "too short"),
        ("a", "too short"),
        (&"x".repeat(65), "too long"),
        (&"x".repeat(60_000), "too long"),
        (&"\u{fdfa}".repeat(100), "too long"),
        (&format!("a{}", "\u{301}".repeat(200)), "too long"),
    ] {
        let answer = create(name);
        is_problem(name, &answer, 400, "invalid-body");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(reason) && detail.contains("user name"), "{name:?}: {detail}");
    }
    unharmed(&appliance);
}

#[test]
fn display_and_workspace_names_are_refused_with_the_reason() {
    let appliance = talkative();
    let demo = appliance.workspace_id("demo");
    let path = format!("/api/v1/system/workspaces/{demo}/accounts");
    for (name, reason) in [
        ("", "too short"),
        ("  ", "too short"),
        ("\u{202e}nimda", "U+202E"),
        ("Ada\u{200b}", "U+200B"),
        ("Ada\0", "U+0000"),
        ("Ada\nAdmin", "U+000A"),
        (&"é".repeat(81), "too long"),
    ] {
        let answer = appliance.admin("POST", &path, Some(&json!({ "user_name": "bob", "display_name": name })));
        is_problem(name, &answer, 400, "invalid-body");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(reason) && detail.contains("display name"), "{name:?}: {detail}");
    }
    for (name, reason) in [
        ("", "too short"),
        ("x", "too short"),
        ("démo", "é"),
        ("de mo", "U+0020"),
        ("demo\0", "U+0000"),
        ("../demo", "\".\""),
        ("-demo", "start and end"),
        (&"x".repeat(64), "too long"),
    ] {
        let answer = appliance.admin("POST", "/api/v1/system/workspaces", Some(&json!({ "name": name })));
        is_problem(name, &answer, 400, "invalid-body");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(reason) && detail.contains("workspace name"), "{name:?}: {detail}");
    }
    for name in ["demo", "DEMO", "system", "System"] {
        let answer = appliance.admin("POST", "/api/v1/system/workspaces", Some(&json!({ "name": name })));
        is_problem(name, &answer, 409, "workspace-name-taken");
    }
    unharmed(&appliance);
}

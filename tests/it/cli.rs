// SPDX-License-Identifier: AGPL-3.0-or-later
//! The command line, command by command: what it says, its JSON, its errors, and the one audit record of each action.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use conclave::core::auth::login::AccountStatus;
use conclave::core::auth::permission::{Permissions, Role, Roles};
use conclave::platform::clock::Clock;
use conclave::platform::entropy;
use conclave::platform::store::accounts::{self, Account};
use conclave::platform::store::files::Layout;
use conclave::platform::store::{Limits, Store};
use conclave::values::id::AccountId;
use serde_json::{Value, json};

use crate::harness::{Appliance, BINARY};

const STRONG: &str = "quiet harbour lantern moss";

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Refused with 1, with a message that holds all of that.
fn refused(output: &Output, expected: &[&str]) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}{}", text(&output.stdout));
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    for part in expected {
        assert!(error.contains(part), "no {part:?} in: {error}");
    }
}

fn with_input(appliance: &Appliance, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(BINARY);
    command.arg("--admin-socket").arg(appliance.admin_socket()).args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may refuse before it reads.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    child.wait_with_output().unwrap()
}

/// The newest records of a chain, newest first.
fn records(appliance: &Appliance, workspace: &str) -> Vec<Value> {
    let list = appliance.cli_json(&["audit", "list", "-w", workspace, "-n", "1000"]);
    list["records"].as_array().unwrap().clone()
}

#[test]
fn an_appliance_is_claimed_once() {
    let appliance = Appliance::start();
    assert_eq!(appliance.cli_json(&["status"])["claim"], "unclaimed");
    refused(&appliance.cli(&["workspace", "create", "demo"]), &["Not claimed", "conclave setup", "unclaimed"]);
    refused(
        &appliance.cli(&["setup", "claim", "--operator", "x", "--without-recovery-kit"]),
        &["user name is too short", "invalid-body"],
    );
    let bad_name = ["setup", "claim", "--operator", "root", "--name", "not a name", "--without-recovery-kit"];
    refused(&appliance.cli(&bad_name), &["not a name", "invalid-body"]);
    assert_eq!(appliance.cli_json(&["status"])["claim"], "unclaimed");

    let setup = [
        "setup",
        "claim",
        "--without-recovery-kit",
        "--name",
        "localhost",
        "--network",
        "127.0.0.0/8",
        "--operator",
        "Root",
        "--display-name",
        "The Root",
    ];
    let said = appliance.cli_ok(&setup);
    for part in [
        "The appliance is claimed",
        "User name     root",
        "told this once",
        "Root SHA-256",
        "Next: conclave workspace create",
    ] {
        assert!(said.contains(part), "no {part:?} in: {said}");
    }
    let password = said.lines().find_map(|line| line.strip_prefix("Password")).unwrap();
    let password = password.split_whitespace().next().unwrap();
    appliance.sign_in("system", "root", password);
    refused(&appliance.cli(&setup), &["Already claimed", "Sign in as an operator", "already-claimed"]);
    let status = appliance.cli_json(&["status"]);
    assert_eq!((&status["claim"], &status["anchor_current"]), (&json!("claimed"), &json!(true)));
    let shown = appliance.cli_ok(&["status"]);
    for part in ["claimed", "localhost, 127.0.0.0/8", "Fingerprint", &appliance.address.to_string(), "0 (0 open)"] {
        assert!(shown.contains(part), "no {part:?} in: {shown}");
    }
}

#[test]
fn every_command_has_words_json_and_errors_that_name_the_thing() {
    let appliance = Appliance::start();
    appliance.claim();
    let says = |arguments: &[&str], expected: &[&str]| {
        let said = appliance.cli_ok(arguments);
        for part in expected {
            assert!(said.contains(part), "{arguments:?}: no {part:?} in: {said}");
        }
    };
    says(&["workspace", "list"], &["no workspace yet", "conclave workspace create"]);
    says(&["workspace", "create", "Demo"], &["Workspace demo is open", "conclave account create --workspace demo"]);
    says(&["workspace", "list"], &["NAME", "STATE", "demo", "open"]);
    says(&["workspace", "show", "DEMO"], &["demo", "open", "subscribed", "0 of any number taken", "not accepted"]);
    says(&["policy", "set", "-w", "demo", "--plain-sign-in", "allow"], &["Plain sign-in", "allowed"]);
    says(&["policy", "set", "-w", "demo", "--plain-sign-in", "refuse"], &["refused"]);
    says(&["account", "list", "-w", "demo"], &["no account yet", "conclave account create --workspace demo"]);
    says(
        &["account", "create", "-w", "demo", "Ada", "--display-name", "Ada Lovelace", "--role", "admin"],
        &["ada", "Ada Lovelace", "admin", "told this once"],
    );
    says(&["account", "create", "-w", "demo", "bob"], &["bob", "user", "active"]);
    says(&["account", "list", "-w", "demo"], &["USER NAME", "ada", "Ada Lovelace", "bob"]);
    says(&["account", "show", "-w", "demo", "ADA"], &["ada", "demo", "admin"]);
    says(&["account", "role", "-w", "demo", "bob", "power_user"], &["power_user"]);
    says(&["account", "disable", "-w", "demo", "bob"], &["disabled"]);
    says(&["account", "enable", "-w", "demo", "bob"], &["active"]);
    says(&["account", "password", "-w", "demo", "bob"], &["Sessions ended  0", "told this once"]);
    says(&["session", "list", "-w", "demo", "bob"], &["Nobody is signed in"]);
    says(&["audit", "list", "-w", "demo"], &["account.create", "operator:local", "allowed"]);
    says(&["audit", "list", "-w", "demo", "-n", "1"], &["account.password"]);
    says(&["audit", "verify", "-w", "demo"], &["holds", "Head", "Signature"]);
    says(&["audit", "verify", "-w", "system"], &["holds"]);

    for arguments in [
        &["status"][..],
        &["workspace", "list"],
        &["workspace", "show", "demo"],
        &["workspace", "create", "second"],
        &["workspace", "set", "demo", "--seats", "40"],
        &["account", "list", "-w", "demo"],
        &["account", "show", "-w", "demo", "ada"],
        &["account", "create", "-w", "demo", "cleo"],
        &["account", "role", "-w", "demo", "cleo", "guest"],
        &["account", "disable", "-w", "demo", "cleo"],
        &["account", "enable", "-w", "demo", "cleo"],
        &["account", "password", "-w", "demo", "cleo"],
        &["session", "list", "-w", "demo", "cleo"],
        &["audit", "list", "-w", "system"],
        &["audit", "verify", "-w", "demo"],
    ] {
        assert!(appliance.cli_json(arguments).is_object(), "{arguments:?}");
    }

    let elsewhere = ["nowhere", "conclave workspace list"];
    let somebody = ["nobody", "demo", "conclave account list --workspace demo"];
    for (arguments, expected) in [
        (&["workspace", "show", "nowhere"][..], &elsewhere[..]),
        (&["workspace", "set", "nowhere", "--seats", "4"], &elsewhere),
        (&["workspace", "accept-rollback", "nowhere"], &elsewhere),
        (&["account", "list", "-w", "nowhere"], &elsewhere),
        (&["audit", "list", "-w", "nowhere"], &elsewhere),
        (&["account", "show", "-w", "demo", "nobody"], &somebody),
        (&["account", "role", "-w", "demo", "nobody", "user"], &somebody),
        (&["account", "disable", "-w", "demo", "nobody"], &somebody),
        (&["account", "password", "-w", "demo", "nobody"], &somebody),
        (&["session", "list", "-w", "demo", "nobody"], &somebody),
        (&["session", "revoke", "-w", "demo", "nobody", "--all"], &somebody),
        (
            &["session", "revoke", "-w", "demo", "ada", "0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11"],
            &["Not found", "not-found"],
        ),
        (&["workspace", "create", "demo"], &["Workspace name taken", "Choose another one"]),
        (&["workspace", "create", "system"], &["reserved", "workspace-name-taken"]),
        (&["workspace", "create", "de mo"], &["workspace name", "U+0020", "a to z"]),
        (&["workspace", "accept-rollback", "demo"], &["state open", "not rolled-back", "conflict"]),
        (&["account", "create", "-w", "demo", "ADA"], &["User name taken", "Choose another one"]),
        (&["account", "create", "-w", "demo", "dan", "--role", "king"], &["king", "power_user", "invalid-body"]),
        (&["account", "role", "-w", "demo", "ada", "user"], &["only active admin", "last-admin"]),
        (&["account", "disable", "-w", "demo", "ada"], &["Make another account admin first", "last-admin"]),
    ] {
        refused(&appliance.cli(arguments), expected);
    }
}

#[test]
fn sessions_are_listed_and_ended_by_id_or_all() {
    let appliance = Appliance::claimed();
    let password = appliance.account("demo", "ada", "user");
    let tokens: Vec<_> = (0..3)
        .map(|_| appliance.sign_in("demo", "ada", &password)["access_token"].as_str().unwrap().to_owned())
        .collect();
    let alive =
        || tokens.iter().filter(|token| appliance.with_token(token, "GET", "/api/v1/me", None).status == 200).count();
    let sessions =
        appliance.cli_json(&["session", "list", "-w", "demo", "ada"])["sessions"].as_array().unwrap().clone();
    assert_eq!((sessions.len(), alive()), (3, 3));
    assert!(appliance.cli_ok(&["session", "list", "-w", "demo", "ada"]).contains("test device"));
    let id = sessions[0]["id"].as_str().unwrap();
    assert_eq!(appliance.cli_ok(&["session", "revoke", "-w", "demo", "ada", id]), "The session is ended.\n");
    assert_eq!(alive(), 2);
    refused(&appliance.cli(&["session", "revoke", "-w", "demo", "ada", id]), &["not-found"]);
    assert_eq!(appliance.cli_ok(&["session", "revoke", "-w", "demo", "ada", "--all"]), "Every session is ended.\n");
    assert_eq!(alive(), 0);
    assert_eq!(appliance.cli_json(&["workspace", "show", "demo"])["sessions"], 0);
}

#[test]
fn every_admin_action_leaves_one_record_that_says_who() {
    let appliance = Appliance::start();
    appliance.claim();
    let claim = &records(&appliance, "system")[0];
    assert_eq!((&claim["action"], &claim["actor"]), (&json!("appliance.claim"), &json!("operator:local")));
    appliance.cli_ok(&["workspace", "create", "demo"]);
    assert_eq!(records(&appliance, "system")[0]["action"], "workspace.create");
    assert_eq!(records(&appliance, "demo")[0]["action"], "workspace.create");
    let ada = appliance.account("demo", "ada", "admin");
    appliance.account("demo", "bob", "user");
    appliance.sign_in("demo", "ada", &ada);

    for (chain, action, arguments) in [
        ("demo", "account.create", &["account", "create", "-w", "demo", "cleo"][..]),
        ("demo", "account.update", &["account", "role", "-w", "demo", "bob", "guest"]),
        ("demo", "account.update", &["account", "disable", "-w", "demo", "bob"]),
        ("demo", "account.update", &["account", "enable", "-w", "demo", "bob"]),
        ("demo", "account.password", &["account", "password", "-w", "demo", "bob"]),
        ("demo", "session.delete_all", &["session", "revoke", "-w", "demo", "ada", "--all"]),
        ("system", "workspace.update", &["workspace", "set", "demo", "--seats", "50"]),
        ("system", "account.create", &["account", "create", "-w", "system", "second-operator", "--role", "admin"]),
    ] {
        let other = if chain == "demo" { "system" } else { "demo" };
        let (before, aside) = (records(&appliance, chain).len(), records(&appliance, other).len());
        appliance.cli_ok(arguments);
        let after = records(&appliance, chain);
        assert_eq!(after.len(), before + 1, "{arguments:?}");
        assert_eq!(records(&appliance, other).len(), aside, "{arguments:?} in {other}");
        let newest = &after[0];
        for (field, expected) in [
            ("actor", "operator:local"),
            ("strength", "local-socket"),
            ("address", ""),
            ("action", action),
            ("outcome", "allowed"),
        ] {
            assert_eq!(newest[field], expected, "{arguments:?}: {newest}");
        }
        assert!(newest["target"].as_str().is_some_and(|target| target.contains(':')), "{newest}");
        assert!(!newest.to_string().contains(&ada), "{newest}");
    }
    // What is read or refused leaves none.
    let before = (records(&appliance, "demo").len(), records(&appliance, "system").len());
    for arguments in [
        &["status"][..],
        &["account", "list", "-w", "demo"],
        &["session", "list", "-w", "demo", "ada"],
        &["audit", "verify", "-w", "demo"],
    ] {
        appliance.cli_ok(arguments);
    }
    for arguments in [
        &["account", "create", "-w", "demo", "ada"][..],
        &["account", "disable", "-w", "demo", "ada"],
        &["workspace", "create", "demo"],
        &["setup", "claim", "--name", "localhost", "--operator", "eve", "--without-recovery-kit"],
    ] {
        assert_eq!(appliance.cli(arguments).status.code(), Some(1));
    }
    assert_eq!((records(&appliance, "demo").len(), records(&appliance, "system").len()), before);
    for chain in ["demo", "system"] {
        assert_eq!(appliance.cli_json(&["audit", "verify", "-w", chain])["ok"], true);
    }
}

#[test]
fn a_password_comes_from_standard_input_and_never_from_the_arguments() {
    let appliance = Appliance::claimed();
    let create = ["account", "create", "-w", "demo", "ada", "--password-stdin"];
    refused(&with_input(&appliance, &create, "password1234\n"), &["Password refused", "easy to guess"]);
    refused(&with_input(&appliance, &create, "short\n"), &["too short", "four unrelated words"]);
    refused(&with_input(&appliance, &create, ""), &["too short"]);
    let made = with_input(&appliance, &create, &format!("{STRONG}\nsomething else\n"));
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(!text(&made.stdout).contains(STRONG) && !text(&made.stdout).contains("Password"));
    appliance.sign_in("demo", "ada", STRONG);
    let set = ["account", "password", "-w", "demo", "ada", "--password-stdin"];
    let other = "velvet turbine orchard sleet";
    let changed = with_input(&appliance, &set, &format!("{other}\r\n"));
    assert!(text(&changed.stdout).contains("Sessions ended  1"), "{}", text(&changed.stderr));
    appliance.sign_in("demo", "ada", other);
    assert_eq!(
        with_input(&appliance, &["account", "password", "-w", "demo", "ada", "--password", other], "").status.code(),
        Some(2)
    );
}

/// Puts accounts into a workspace's file while nothing runs on it, without hashing a password for each.
fn fill(appliance: &Appliance, workspace: &str, names: &[String]) {
    let id = workspace.parse().unwrap();
    let layout = Layout::new(appliance.data_dir(), None);
    let now = Clock::system().now();
    let account = |name: &String| Account {
        id: AccountId::random(&mut entropy::system()),
        user_name: name.parse().unwrap(),
        display_name: name.parse().unwrap(),
        roles: Roles::only(Role::User),
        status: AccountStatus::Active,
        voice_off: false,
        by_hand: Permissions::NONE,
        created_at: now,
        replayed_at: None,
    };
    let all: Vec<Account> = names.iter().map(account).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(layout, Limits { open_workspaces: 4 }).unwrap();
        let workspace = store.workspace(id).await.unwrap();
        let write = workspace.write(move |write| {
            for account in &all {
                accounts::insert(write, account, "no hash")?.unwrap();
            }
            Ok(())
        });
        write.await.unwrap();
    });
}

#[test]
fn a_list_of_450_accounts_and_a_long_audit_are_read_page_by_page() {
    let mut appliance = Appliance::claimed();
    let demo = appliance.workspace_id("demo");
    let mut names: Vec<_> = (1..=450).map(|number| format!("person-{:03}", number * 7 % 451)).collect();
    assert!(appliance.stop().success());
    fill(&appliance, &demo, &names);
    appliance.restart();
    names.sort();
    let list = appliance.cli_json(&["account", "list", "-w", "demo"]);
    let listed: Vec<_> =
        list["accounts"].as_array().unwrap().iter().map(|account| account["user_name"].as_str().unwrap()).collect();
    assert_eq!(listed, names);
    assert_eq!(appliance.cli_ok(&["account", "list", "-w", "demo"]).lines().count(), 451);
    // A page has 200 at most, and says where the next one begins.
    let path = format!("/api/v1/system/workspaces/{demo}/accounts?limit=1000");
    let page = appliance.admin("GET", &path, None).json();
    assert_eq!((page["accounts"].as_array().unwrap().len(), &page["next"]), (200, &json!(names[199])));

    let account = list["accounts"][0]["id"].as_str().unwrap();
    let path = format!("/api/v1/system/workspaces/{demo}/accounts/{account}");
    for _ in 0..120 {
        assert_eq!(appliance.admin("PATCH", &path, Some(&json!({}))).status, 200);
    }
    let sequences: Vec<_> =
        records(&appliance, "demo").iter().map(|record| record["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (1..=122).rev().collect::<Vec<_>>());
    let some = appliance.cli_json(&["audit", "list", "-w", "demo", "-n", "110"]);
    assert_eq!(some["records"].as_array().unwrap().len(), 110);
}

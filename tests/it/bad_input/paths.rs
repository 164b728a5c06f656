// SPDX-License-Identifier: AGPL-3.0-or-later
//! Addresses: traversal, ids that are none, paths and methods that do not exist.

use serde_json::Value;

use super::{MARK, is_problem, talkative, unharmed};
use crate::harness::BINARY;

#[test]
fn no_spelling_of_a_path_leads_out_of_the_assets() {
    let appliance = talkative();
    for path in [
        "/assets/",
        "/assets",
        "/assets/../Cargo.toml",
        "/assets/../../../../etc/passwd",
        "/assets/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/assets/..%5c..%5cetc%5cpasswd",
        "/assets/%252e%252e%252fetc",
        "/assets/....//....//etc/passwd",
        "/assets/%c0%ae%c0%ae/etc/passwd",
        "/assets/%00",
        "/assets/console.js%00",
        "/assets/console.js%00.css",
        "/assets/console.js/",
        "/assets/console.js/..",
        "/assets/./console.js",
        "/assets//console.js",
        "/assets/../assets/console.js",
        "/Assets/console.js",
        "/assets/%63onsole.js",
        "//assets/console.js",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/../data/master.key",
        "/%ff%fe",
        "/api/v1/../../healthz",
        "/api//v1/me",
        "/api/v1/me/",
        "/API/v1/me",
        "/api/v1/me;admin=1",
        "/api/v2/me",
        "/.git/config",
        "/h0st1le",
    ] {
        is_problem(path, &appliance.connect().raw("GET", path, &[], b""), 404, "not-found");
    }
    assert_eq!(appliance.https("GET", "/assets/console.js", &[], None).status, 200);
    unharmed(&appliance);
}

#[test]
fn an_id_in_a_path_has_one_spelling() {
    let appliance = talkative();
    let token = appliance.signed_in("demo", "ada", "admin");
    let me = appliance.with_token(&token, "GET", "/api/v1/me", None).json()["id"].as_str().unwrap().to_owned();
    let get = |id: &str| appliance.with_token(&token, "GET", &format!("/api/v1/accounts/{id}"), None);
    assert_eq!(get(&me).status, 200);
    let bare = me.replace('-', "");
    for id in [
        bare.as_str(),
        &format!("%7B{me}%7D"),
        &format!("urn:uuid:{me}"),
        &format!("{me}%00"),
        &format!("{me}%20"),
        &format!("%20{me}"),
        &format!("{me}%2f..%2f{me}"),
        &format!("..%2faccounts%2f{me}"),
        &me[..35],
        &format!("{me}0"),
        "0",
        "-1",
        "null",
        "ada",
        MARK,
        "%",
        "%zz",
        "%ff%fe",
        "%F0%9F%92%A9",
        "' OR 1=1 --%20".replace(' ', "%20").as_str(),
        &"a".repeat(4_000),
    ] {
        is_problem(id, &get(id), 404, "not-found");
    }
    for query in
        ["limit=x", "limit=-1", "limit=1e3", "limit=", "after=%00", "after=%ff", "h0st1le=1", "limit=1&limit=2"]
    {
        let path = format!("/api/v1/accounts?{query}");
        is_problem(query, &appliance.with_token(&token, "GET", &path, None), 400, "invalid-parameter");
    }
    for query in ["before=x", "before=-1", "before=99999999999999999999", "limit=h0st1le"] {
        let path = format!("/api/v1/audit?{query}");
        is_problem(query, &appliance.with_token(&token, "GET", &path, None), 400, "invalid-parameter");
    }
    // Out of range is not wrong: a page has its size.
    for query in ["limit=0", "limit=4294967295"] {
        assert_eq!(appliance.with_token(&token, "GET", &format!("/api/v1/accounts?{query}"), None).status, 200);
    }
    for query in ["before=0", "before=18446744073709551615"] {
        assert_eq!(appliance.with_token(&token, "GET", &format!("/api/v1/audit?{query}"), None).status, 200, "{query}");
    }
    unharmed(&appliance);
}

/// Every route and its methods, from the binary's own document.
pub fn document() -> Value {
    let output = std::process::Command::new(BINARY).arg("openapi").output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_method_that_a_route_does_not_take_is_refused_with_those_it_takes() {
    let appliance = talkative();
    let document = document();
    let mut routes: Vec<(String, Vec<String>)> = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let id = "0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11";
        let path =
            ["{account}", "{session}", "{workspace}"].iter().fold(path.clone(), |path, name| path.replace(name, id));
        routes.push((path, methods.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect()));
    }
    routes.extend(
        ["/", "/account", "/source", "/assets/console.js"].map(|page| (page.to_owned(), vec!["GET".to_owned()])),
    );
    for (path, taken) in routes {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            if taken.iter().any(|one| one == method) {
                continue;
            }
            let answer = appliance.connect().raw(method, &path, &[], b"");
            is_problem(&format!("{method} {path}"), &answer, 405, "method-not-allowed");
            let allowed = answer.header("allow").unwrap_or_default();
            assert!(taken.iter().all(|one| allowed.contains(one.as_str())), "{method} {path}: {allowed}");
        }
    }
    unharmed(&appliance);
}

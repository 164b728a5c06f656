// SPDX-License-Identifier: AGPL-3.0-or-later
//! Every route and everybody: the table is the test, and a route that is not in it fails it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::http::{Answer, Connection};
use crate::harness::{Appliance, BINARY};

/// Who asks, in the order of the table's columns.
const EVERYBODY: [&str; 11] = [
    "anonymous",
    "guest",
    "user",
    "power_user",
    "admin",
    "guest elsewhere",
    "user elsewhere",
    "power_user elsewhere",
    "admin elsewhere",
    "operator",
    "local",
];

/// Ids: `{account}` is a User in `demo`, `{workspace}` is `demo`, `{room}` one of its rooms (nobody's where it would be
/// deleted), `{session}` and `{meeting}` are nobody's. The last row signs out.
///
/// *elsewhere*: accounts of another workspace · *operator*: over the network · *local*: root on the admin socket.
#[rustfmt::skip]
const TABLE: &str = "
    route                                                                                    anon guest user power admin | elsewhere: guest user power admin | oper local
    GET    /healthz                                                                           200  200  200  200  200  |  200  200  200  200  |  200  200
    GET    /api/v1/trust                                                                      200  200  200  200  200  |  200  200  200  200  |  200  200
    GET    /api/v1/trust/root.pem                                                             200  200  200  200  200  |  200  200  200  200  |  200  200
    GET    /api/v1/openapi.json                                                               200  200  200  200  200  |  200  200  200  200  |  200  200
    GET    /api/v1/sign-in                                                                    200  200  200  200  200  |  200  200  200  200  |  200  200
    GET    /api/v1/operator                                                                   200  200  200  200  200  |  200  200  200  200  |  200  200
    GET    /api/v1/supervisory-authorities                                                    200  200  200  200  200  |  200  200  200  200  |  200  200
    POST   /api/v1/sessions                                                                   400  400  400  400  400  |  400  400  400  400  |  400  400
    POST   /api/v1/sessions/refresh                                                           403  403  403  403  403  |  403  403  403  403  |  403  403
    GET    /api/v1/me                                                                         401  200  200  200  200  |  200  200  200  200  |  200  401
    GET    /api/v1/me/sessions                                                                401  200  200  200  200  |  200  200  200  200  |  200  401
    DELETE /api/v1/me/sessions/{session}                                                      401  404  404  404  404  |  404  404  404  404  |  404  401
    DELETE /api/v1/me/sessions                                                                401  200  200  200  200  |  200  200  200  200  |  200  401
    PUT    /api/v1/me/password                                                                401  400  400  400  400  |  400  400  400  400  |  400  401
    GET    /api/v1/accounts                                                                   401  403  403  200  200  |  403  403  200  200  |  401  401
    POST   /api/v1/accounts                                                                   401  403  403  201  201  |  403  403  201  201  |  401  401
    GET    /api/v1/accounts/{account}                                                         401  403  403  200  200  |  403  403  404  404  |  401  401
    PATCH  /api/v1/accounts/{account}                                                         401  403  403  200  200  |  403  403  404  404  |  401  401
    PUT    /api/v1/accounts/{account}/password                                                401  403  403  403  200  |  403  403  403  404  |  401  401
    GET    /api/v1/accounts/{account}/sessions                                                401  403  403  200  200  |  403  403  404  404  |  401  401
    DELETE /api/v1/accounts/{account}/sessions                                                401  403  403  204  204  |  403  403  404  404  |  401  401
    DELETE /api/v1/accounts/{account}/sessions/{session}                                      401  403  403  404  404  |  403  403  404  404  |  401  401
    GET    /api/v1/accounts/{account}/permissions/explain                                     401  403  403  200  200  |  403  403  404  404  |  401  401
    PUT    /api/v1/accounts/{account}/permissions/{permission}                                401  403  403  403  204  |  403  403  403  404  |  401  401
    DELETE /api/v1/accounts/{account}/permissions/{permission}                                401  403  403  403  204  |  403  403  403  404  |  401  401
    GET    /api/v1/agreement                                                                  401  200  200  200  200  |  200  200  200  200  |  401  401
    POST   /api/v1/agreement/acceptances                                                      401  403  403  403  409  |  403  403  403  409  |  401  401
    GET    /api/v1/policy                                                                     401  403  403  403  200  |  403  403  403  200  |  401  401
    PATCH  /api/v1/policy                                                                     401  403  403  403  200  |  403  403  403  200  |  401  401
    GET    /api/v1/approvals                                                                  401  403  403  403  200  |  403  403  403  200  |  401  401
    POST   /api/v1/approvals                                                                  401  403  403  403  201  |  403  403  403  404  |  401  401
    GET    /api/v1/approvals/{approval}                                                       401  403  403  403  404  |  403  403  403  404  |  401  401
    PUT    /api/v1/approvals/{approval}/decision                                              401  403  403  403  404  |  403  403  403  404  |  401  401
    DELETE /api/v1/accounts/{account}                                                         401  403  403  403  409  |  403  403  403  404  |  401  401
    GET    /api/v1/throttles                                                                  401  403  403  403  200  |  403  403  403  200  |  401  401
    DELETE /api/v1/throttles/{user_name}                                                      401  403  403  403  404  |  403  403  403  404  |  401  401
    GET    /api/v1/audit                                                                      401  403  403  403  200  |  403  403  403  200  |  401  401
    GET    /api/v1/audit/export                                                               401  403  403  403  200  |  403  403  403  200  |  401  401
    GET    /api/v1/audit/verification                                                         401  403  403  403  200  |  403  403  403  200  |  401  401
    GET    /api/v1/rooms                                                                      401  200  200  200  200  |  200  200  200  200  |  401  401
    POST   /api/v1/rooms                                                                      401  403  403  201  201  |  403  403  201  201  |  401  401
    GET    /api/v1/rooms/{room}                                                               401  200  200  200  200  |  404  404  404  404  |  401  401
    PATCH  /api/v1/rooms/{room}                                                               401  403  403  200  200  |  403  403  404  404  |  401  401
    DELETE /api/v1/rooms/{room}                                                               401  403  403  404  404  |  403  403  404  404  |  401  401
    POST   /api/v1/rooms/{room}/tickets                                                       401  201  201  201  201  |  404  404  404  404  |  401  401
    GET    /api/v1/meetings                                                                   401  403  403  200  200  |  403  403  200  200  |  401  401
    GET    /api/v1/meetings/{meeting}                                                         401  403  403  404  404  |  403  403  404  404  |  401  401
    DELETE /api/v1/meetings/{meeting}                                                         401  403  403  404  404  |  403  403  404  404  |  401  401
    GET    /api/v1/meetings/{meeting}/ledger                                                  401  403  403  404  404  |  403  403  404  404  |  401  401
    PUT    /api/v1/meetings/{meeting}/mute                                                    401  403  403  404  404  |  403  403  404  404  |  401  401
    PUT    /api/v1/meetings/{meeting}/lock                                                    401  403  403  404  404  |  403  403  404  404  |  401  401
    DELETE /api/v1/meetings/{meeting}/lock                                                    401  403  403  404  404  |  403  403  404  404  |  401  401
    POST   /api/v1/meetings/{meeting}/rotations                                               401  403  403  404  404  |  403  403  404  404  |  401  401
    DELETE /api/v1/meetings/{meeting}/participants/{number}                                   401  403  403  404  404  |  403  403  404  404  |  401  401
    PUT    /api/v1/meetings/{meeting}/participants/{number}/mute                              401  403  403  404  404  |  403  403  404  404  |  401  401
    DELETE /api/v1/meetings/{meeting}/participants/{number}/mute                              401  403  403  404  404  |  403  403  404  404  |  401  401
    PUT    /api/v1/meetings/{meeting}/lobby/{number}                                          401  403  403  404  404  |  403  403  404  404  |  401  401
    DELETE /api/v1/meetings/{meeting}/lobby/{number}                                          401  403  403  404  404  |  403  403  404  404  |  401  401
    GET    /api/v1/setup                                                                      404  404  404  404  404  |  404  404  404  404  |  404  404
    PUT    /api/v1/setup/scope                                                                404  404  404  404  404  |  404  404  404  404  |  404  404
    POST   /api/v1/setup/claim                                                                404  404  404  404  404  |  404  404  404  404  |  404  404
    POST   /api/v1/recovery                                                                   400  400  400  400  400  |  400  400  400  400  |  400  400
    GET    /api/v1/system/notices                                                             401  401  401  401  401  |  401  401  401  401  |  200  200
    POST   /api/v1/system/operators/{user_name}/recovery                                      404  404  404  404  404  |  404  404  404  404  |  404  404
    POST   /api/v1/system/setup                                                               404  404  404  404  404  |  404  404  404  404  |  404  409
    POST   /api/v1/system/setup/code                                                          404  404  404  404  404  |  404  404  404  404  |  404  409
    PUT    /api/v1/system/addresses                                                           404  404  404  404  404  |  404  404  404  404  |  404  200
    GET    /api/v1/system/doctor                                                              401  401  401  401  401  |  401  401  401  401  |  200  200
    GET    /api/v1/system/tokens                                                              401  401  401  401  401  |  401  401  401  401  |  200  200
    POST   /api/v1/system/tokens                                                              401  401  401  401  401  |  401  401  401  401  |  201  201
    DELETE /api/v1/system/tokens/{token}                                                      401  401  401  401  401  |  401  401  401  401  |  404  404
    GET    /metrics                                                                           401  401  401  401  401  |  401  401  401  401  |  401  200
    GET    /api/v1/system/status                                                              401  401  401  401  401  |  401  401  401  401  |  200  200
    GET    /api/v1/system/workspaces                                                          401  401  401  401  401  |  401  401  401  401  |  200  200
    POST   /api/v1/system/workspaces                                                          401  401  401  401  401  |  401  401  401  401  |  201  201
    GET    /api/v1/system/workspaces/{workspace}                                              401  401  401  401  401  |  401  401  401  401  |  200  200
    PATCH  /api/v1/system/workspaces/{workspace}                                              401  401  401  401  401  |  401  401  401  401  |  200  200
    GET    /api/v1/system/agreement                                                           401  401  401  401  401  |  401  401  401  401  |  200  200
    PUT    /api/v1/system/agreement                                                           401  401  401  401  401  |  401  401  401  401  |  200  200
    GET    /api/v1/system/appliance                                                           401  401  401  401  401  |  401  401  401  401  |  200  200
    PATCH  /api/v1/system/appliance                                                           401  401  401  401  401  |  401  401  401  401  |  200  200
    POST   /api/v1/system/workspaces/{workspace}/life                                         401  401  401  401  401  |  401  401  401  401  |  409  409
    GET    /api/v1/system/workspaces/{workspace}/export                                       401  401  401  401  401  |  401  401  401  401  |  409  409
    GET    /api/v1/system/workspaces/{workspace}/agreement                                    401  401  401  401  401  |  401  401  401  401  |  200  200
    POST   /api/v1/system/workspaces/{workspace}/agreement/acceptances                        401  401  401  401  401  |  401  401  401  401  |  409  409
    GET    /api/v1/system/workspaces/{workspace}/policy                                       401  401  401  401  401  |  401  401  401  401  |  200  200
    PATCH  /api/v1/system/workspaces/{workspace}/policy                                       401  401  401  401  401  |  401  401  401  401  |  200  200
    GET    /api/v1/system/workspaces/{workspace}/approvals                                    401  401  401  401  401  |  401  401  401  401  |  200  200
    POST   /api/v1/system/workspaces/{workspace}/approvals                                    401  401  401  401  401  |  401  401  401  401  |  201  201
    GET    /api/v1/system/workspaces/{workspace}/approvals/{approval}                         401  401  401  401  401  |  401  401  401  401  |  404  404
    PUT    /api/v1/system/workspaces/{workspace}/approvals/{approval}/decision                401  401  401  401  401  |  401  401  401  401  |  404  404
    DELETE /api/v1/system/workspaces/{workspace}/accounts/{account}                           401  401  401  401  401  |  401  401  401  401  |  409  409
    POST   /api/v1/system/workspaces/{workspace}/accept-rollback                              401  401  401  401  401  |  401  401  401  401  |  409  409
    GET    /api/v1/system/workspaces/{workspace}/accounts                                     401  401  401  401  401  |  401  401  401  401  |  200  200
    POST   /api/v1/system/workspaces/{workspace}/accounts                                     401  401  401  401  401  |  401  401  401  401  |  201  201
    GET    /api/v1/system/workspaces/{workspace}/accounts/{account}                           401  401  401  401  401  |  401  401  401  401  |  200  200
    PATCH  /api/v1/system/workspaces/{workspace}/accounts/{account}                           401  401  401  401  401  |  401  401  401  401  |  200  200
    PUT    /api/v1/system/workspaces/{workspace}/accounts/{account}/password                  401  401  401  401  401  |  401  401  401  401  |  200  200
    GET    /api/v1/system/workspaces/{workspace}/accounts/{account}/sessions                  401  401  401  401  401  |  401  401  401  401  |  200  200
    DELETE /api/v1/system/workspaces/{workspace}/accounts/{account}/sessions                  401  401  401  401  401  |  401  401  401  401  |  204  204
    DELETE /api/v1/system/workspaces/{workspace}/accounts/{account}/sessions/{session}        401  401  401  401  401  |  401  401  401  401  |  404  404
    GET    /api/v1/system/workspaces/{workspace}/accounts/{account}/permissions/explain       401  401  401  401  401  |  401  401  401  401  |  200  200
    PUT    /api/v1/system/workspaces/{workspace}/accounts/{account}/permissions/{permission}  401  401  401  401  401  |  401  401  401  401  |  204  204
    DELETE /api/v1/system/workspaces/{workspace}/accounts/{account}/permissions/{permission}  401  401  401  401  401  |  401  401  401  401  |  204  204
    GET    /api/v1/system/workspaces/{workspace}/throttles                                    401  401  401  401  401  |  401  401  401  401  |  200  200
    DELETE /api/v1/system/workspaces/{workspace}/throttles/{user_name}                        401  401  401  401  401  |  401  401  401  401  |  404  404
    GET    /api/v1/system/workspaces/{workspace}/audit                                        401  401  401  401  401  |  401  401  401  401  |  200  200
    GET    /api/v1/system/workspaces/{workspace}/audit/export                                 401  401  401  401  401  |  401  401  401  401  |  200  200
    GET    /api/v1/system/workspaces/{workspace}/audit/verification                           401  401  401  401  401  |  401  401  401  401  |  200  200
    GET    /api/v1/system/workspaces/{workspace}/rooms                                        401  401  401  401  401  |  401  401  401  401  |  200  200
    POST   /api/v1/system/workspaces/{workspace}/rooms                                        401  401  401  401  401  |  401  401  401  401  |  201  201
    GET    /api/v1/system/workspaces/{workspace}/rooms/{room}                                 401  401  401  401  401  |  401  401  401  401  |  200  200
    PATCH  /api/v1/system/workspaces/{workspace}/rooms/{room}                                 401  401  401  401  401  |  401  401  401  401  |  200  200
    DELETE /api/v1/system/workspaces/{workspace}/rooms/{room}                                 401  401  401  401  401  |  401  401  401  401  |  404  404
    GET    /api/v1/system/workspaces/{workspace}/meetings                                     401  401  401  401  401  |  401  401  401  401  |  200  200
    GET    /api/v1/system/workspaces/{workspace}/meetings/{meeting}                           401  401  401  401  401  |  401  401  401  401  |  404  404
    DELETE /api/v1/system/workspaces/{workspace}/meetings/{meeting}                           401  401  401  401  401  |  401  401  401  401  |  404  404
    GET    /api/v1/system/workspaces/{workspace}/meetings/{meeting}/ledger                    401  401  401  401  401  |  401  401  401  401  |  404  404
    PUT    /api/v1/system/workspaces/{workspace}/meetings/{meeting}/mute                      401  401  401  401  401  |  401  401  401  401  |  404  404
    PUT    /api/v1/system/workspaces/{workspace}/meetings/{meeting}/lock                      401  401  401  401  401  |  401  401  401  401  |  404  404
    DELETE /api/v1/system/workspaces/{workspace}/meetings/{meeting}/lock                      401  401  401  401  401  |  401  401  401  401  |  404  404
    POST   /api/v1/system/workspaces/{workspace}/meetings/{meeting}/rotations                 401  401  401  401  401  |  401  401  401  401  |  404  404
    DELETE /api/v1/system/workspaces/{workspace}/meetings/{meeting}/participants/{number}     401  401  401  401  401  |  401  401  401  401  |  404  404
    PUT    /api/v1/system/workspaces/{workspace}/meetings/{meeting}/participants/{number}/mute 401  401  401  401  401  |  401  401  401  401  |  404  404
    DELETE /api/v1/system/workspaces/{workspace}/meetings/{meeting}/participants/{number}/mute 401  401  401  401  401  |  401  401  401  401  |  404  404
    PUT    /api/v1/system/workspaces/{workspace}/meetings/{meeting}/lobby/{number}            401  401  401  401  401  |  401  401  401  401  |  404  404
    DELETE /api/v1/system/workspaces/{workspace}/meetings/{meeting}/lobby/{number}            401  401  401  401  401  |  401  401  401  401  |  404  404
    DELETE /api/v1/session                                                                    401  204  204  204  204  |  204  204  204  204  |  204  401
";

const NOBODY: &str = "0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11";

struct Row {
    method: &'static str,
    path: &'static str,
    expected: Vec<u16>,
}

fn table() -> Vec<Row> {
    let rows = TABLE.lines().map(str::trim).filter(|line| !line.is_empty()).skip(1);
    let row = |line: &'static str| {
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let expected: Vec<u16> = words.filter(|word| *word != "|").map(|word| word.parse().unwrap()).collect();
        assert_eq!(expected.len(), EVERYBODY.len(), "{line}");
        Row { method, path, expected }
    };
    rows.map(row).collect()
}

/// A body that asks for as little as possible.
fn body(row: &Row, who: usize) -> Option<Value> {
    match (row.method, row.path) {
        ("GET" | "DELETE", _) => None,
        (_, path) if path.ends_with("accept-rollback") => None,
        ("POST", path) if path.ends_with("/accounts") => {
            Some(json!({ "user_name": format!("made.{who}.{}", path.len()), "display_name": "Made" }))
        }
        ("POST", path) if path.ends_with("/acceptances") => Some(json!({ "sha256": "0".repeat(64) })),
        ("POST", path) if path.ends_with("/approvals") => {
            Some(json!({ "deed": "account.erase", "target": "{account}", "reason": "asked for by letter" }))
        }
        ("POST", path) if path.ends_with("/tokens") => Some(json!({ "name": "prometheus" })),
        ("PUT", path) if path.ends_with("/addresses") => Some(json!({ "addresses": ["192.0.2.7"] })),
        ("PUT", path) if path.ends_with("/decision") => Some(json!({ "verdict": "rejected" })),
        ("POST", path) if path.ends_with("/life") => Some(json!({ "step": "reopen" })),
        ("POST", path) if path.ends_with("/rotations") => None,
        ("PUT", path) if path.contains("/meetings/") => None,
        ("POST", path) if path.ends_with("/rooms") => Some(json!({ "name": format!("made-{who}-{}", path.len()) })),
        ("POST", path) if path.ends_with("/tickets") => Some(json!({ "key_thumbprint": "A".repeat(43) })),
        ("POST", path) if path.ends_with("/workspaces") => Some(json!({ "name": format!("made-{who}") })),
        ("POST", path) if path.ends_with("/setup") => Some(json!({
            "names": ["localhost"], "networks": [], "operator": { "user_name": "mallory", "display_name": "Mallory" },
            "without_recovery_kit": true,
        })),
        _ => Some(json!({})),
    }
}

/// What such a request names besides: an approval that nobody gave.
fn query(method: &str, path: &str) -> &'static str {
    let takes_two = (method == "DELETE" && path.ends_with("/accounts/{account}"))
        || (method == "GET" && path.ends_with("{workspace}/export"));
    if takes_two { "?approval=0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11" } else { "" }
}

/// An appliance with somebody of every kind.
struct Scene {
    appliance: Appliance,
    /// Access tokens, in the order of [`EVERYBODY`]; none where there is none.
    tokens: Vec<Option<String>>,
    workspace: String,
    account: String,
    room: String,
}

impl Scene {
    fn new() -> Self {
        let appliance = Appliance::start();
        let operator = appliance.claim();
        appliance.workspace("demo");
        appliance.workspace("elsewhere");
        appliance.account("demo", "target", "user");
        let mut tokens = vec![None];
        tokens
            .extend(["guest", "user", "power_user", "admin"].map(|role| Some(appliance.signed_in("demo", role, role))));
        tokens.extend(
            ["guest", "user", "power_user", "admin"].map(|role| Some(appliance.signed_in("elsewhere", role, role))),
        );
        let operator = appliance.sign_in("system", "root-operator", &operator)["access_token"].clone();
        tokens.push(Some(operator.as_str().unwrap().to_owned()));
        tokens.push(None);
        let (workspace, account) = (appliance.workspace_id("demo"), id_of(&appliance, "target"));
        let room = appliance.cli_json(&["room", "create", "-w", "demo", "lobby"])["id"].as_str().unwrap().to_owned();
        Self { appliance, tokens, workspace, account, room }
    }

    fn fill(&self, method: &str, path: &str) -> String {
        let query = query(method, path);
        let room = if method == "DELETE" { NOBODY } else { &self.room };
        let path = path.replace("{workspace}", &self.workspace).replace("{account}", &self.account);
        let path = path
            .replace("{room}", room)
            .replace("{number}", "1")
            .replace("{user_name}", "nobody")
            .replace("{token}", NOBODY)
            .replace("{permission}", "room.moderate");
        path.replace("{session}", NOBODY).replace("{meeting}", NOBODY).replace("{approval}", NOBODY) + query
    }

    fn body(&self, row: &Row, who: usize) -> Option<Value> {
        let text = body(row, who)?.to_string().replace("{account}", &self.account);
        serde_json::from_str(&text).ok()
    }

    fn token(&self, who: &str) -> &str {
        self.tokens[EVERYBODY.iter().position(|one| *one == who).unwrap()].as_deref().unwrap()
    }

    fn ask(&self, who: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.appliance.with_token(self.token(who), method, path, body)
    }
}

fn id_of(appliance: &Appliance, name: &str) -> String {
    appliance.cli_json(&["account", "show", "-w", "demo", name])["id"].as_str().unwrap().to_owned()
}

#[test]
fn every_route_answers_everybody_as_the_table_says() {
    let scene = Scene::new();
    let mut wrong = Vec::new();
    for row in table() {
        let path = scene.fill(row.method, row.path);
        for (who, (name, expected)) in EVERYBODY.iter().zip(&row.expected).enumerate() {
            let authorization = scene.tokens[who].as_ref().map(|token| format!("Bearer {token}"));
            let headers: Vec<_> = authorization.iter().map(|value| ("authorization", value.as_str())).collect();
            let door = match *name {
                "local" => Connection::unix(&scene.appliance.admin_socket()),
                _ => scene.appliance.connect(),
            };
            let answer = door.json(row.method, &path, &headers, scene.body(&row, who).as_ref());
            if answer.status != *expected {
                wrong.push(format!(
                    "{name}: {} {} is {}, not {expected}: {}",
                    row.method,
                    row.path,
                    answer.status,
                    answer.text()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_has_every_route_and_no_other() {
    let document: Value =
        serde_json::from_slice(&std::process::Command::new(BINARY).arg("openapi").output().unwrap().stdout).unwrap();
    let mut routes = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        routes.extend(methods.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let rows: Vec<_> = table().iter().map(|row| format!("{} {}", row.method, row.path)).collect();
    let listed: BTreeSet<_> = rows.iter().cloned().collect();
    assert_eq!(listed.len(), rows.len(), "a route stands there twice");
    assert_eq!(listed, routes);
}

#[test]
fn another_workspaces_account_answers_like_an_absent_one() {
    let scene = Scene::new();
    let below = table().into_iter().filter(|row| row.path.starts_with("/api/v1/accounts/{account}"));
    for row in below {
        let below = row.path.replace("{session}", NOBODY) + query(row.method, row.path);
        let (theirs, absent) = (below.replace("{account}", &scene.account), below.replace("{account}", NOBODY));
        let body = body(&row, 5);
        let theirs = scene.ask("admin elsewhere", row.method, &theirs, body.as_ref());
        let absent = scene.ask("admin elsewhere", row.method, &absent, body.as_ref());
        assert_eq!((theirs.status, theirs.code().as_str()), (404, "not-found"));
        assert_eq!(theirs.face(), absent.face(), "{} {}", row.method, row.path);
    }
    // What two persons decide there, too.
    let asked = scene.appliance.cli_json(&[
        "approval",
        "request",
        "account.erase",
        "target",
        "-w",
        "demo",
        "--reason",
        "asked for it by letter",
    ]);
    let (theirs, absent) = (asked["id"].as_str().unwrap(), NOBODY);
    for (method, rest, body) in [("GET", "", None), ("PUT", "/decision", Some(json!({ "verdict": "rejected" })))] {
        let ask =
            |id: &str| scene.ask("admin elsewhere", method, &format!("/api/v1/approvals/{id}{rest}"), body.as_ref());
        let (theirs, absent) = (ask(theirs), ask(absent));
        assert_eq!((theirs.status, theirs.face()), (404, absent.face()), "{method} {rest}");
    }
    // Nor by name, nor in the list.
    let list = scene.ask("admin elsewhere", "GET", "/api/v1/accounts", None).json();
    assert_eq!(list["accounts"].as_array().unwrap().len(), 4, "{list}");
    let named = |name: &str| scene.ask("admin elsewhere", "GET", &format!("/api/v1/accounts?user_name={name}"), None);
    assert_eq!(named("target").face(), named("nobody").face());
    // The same name is free there.
    let made = json!({ "user_name": "target", "display_name": "Target" });
    assert_eq!(scene.ask("admin elsewhere", "POST", "/api/v1/accounts", Some(&made)).status, 201);
    // An operator who names the wrong workspace finds nothing either.
    let elsewhere = scene.appliance.workspace_id("elsewhere");
    let crossed = format!("/api/v1/system/workspaces/{elsewhere}/accounts/{}", scene.account);
    let absent = format!("/api/v1/system/workspaces/{elsewhere}/accounts/{NOBODY}");
    let (crossed, absent) = (scene.ask("operator", "GET", &crossed, None), scene.ask("operator", "GET", &absent, None));
    assert_eq!((crossed.status, crossed.face()), (404, absent.face()));
}

#[test]
fn a_power_user_sees_no_admin_anywhere() {
    let scene = Scene::new();
    let admin = id_of(&scene.appliance, "admin");
    let list = scene.ask("power_user", "GET", "/api/v1/accounts", None).json();
    let names: Vec<_> =
        list["accounts"].as_array().unwrap().iter().map(|account| account["user_name"].clone()).collect();
    assert_eq!(names, ["guest", "power_user", "target", "user"]);
    // Pages have no holes where an Admin would be.
    let first = scene.ask("power_user", "GET", "/api/v1/accounts?limit=1", None).json();
    assert_eq!((&first["accounts"][0]["user_name"], &first["next"]), (&json!("guest"), &json!("guest")));
    let named = |name: &str| scene.ask("power_user", "GET", &format!("/api/v1/accounts?user_name={name}"), None);
    assert_eq!(named("admin").face(), named("nobody").face());
    let disable = json!({ "status": "disabled" });
    for (method, rest, body) in [
        ("GET", "", None),
        ("PATCH", "", Some(&disable)),
        ("GET", "/sessions", None),
        ("DELETE", "/sessions", None),
        ("DELETE", "/sessions/0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11", None),
        ("PUT", "/password", Some(&json!({}))),
    ] {
        let theirs = scene.ask("power_user", method, &format!("/api/v1/accounts/{admin}{rest}"), body);
        let absent = scene.ask("power_user", method, &format!("/api/v1/accounts/{NOBODY}{rest}"), body);
        assert_eq!(theirs.face(), absent.face(), "{method} {rest}");
    }
    assert_eq!(scene.ask("admin", "GET", "/api/v1/me", None).status, 200, "and nothing happened");
}

#[test]
fn a_power_user_manages_users_and_guests_and_makes_nobody_more() {
    let scene = Scene::new();
    let target = format!("/api/v1/accounts/{}", scene.account);
    let power_user = format!("/api/v1/accounts/{}", id_of(&scene.appliance, "power_user"));
    let ask = |method: &str, path: &str, body: Value| scene.ask("power_user", method, path, Some(&body));
    for (what, answer, expected) in [
        ("make a guest of a user", ask("PATCH", &target, json!({ "role": "guest" })), 200),
        ("switch a guest off", ask("PATCH", &target, json!({ "status": "disabled" })), 200),
        ("and on again, as a user", ask("PATCH", &target, json!({ "status": "active", "role": "user" })), 200),
        ("make a power user", ask("PATCH", &target, json!({ "role": "power_user" })), 403),
        ("make an admin", ask("PATCH", &target, json!({ "role": "admin" })), 403),
        ("make itself an admin", ask("PATCH", &power_user, json!({ "role": "admin" })), 403),
        ("rename a power user", ask("PATCH", &power_user, json!({ "display_name": "Root" })), 403),
        (
            "end a power user's sessions",
            scene.ask("power_user", "DELETE", &format!("{power_user}/sessions"), None),
            403,
        ),
        ("see a power user", scene.ask("power_user", "GET", &power_user, None), 200),
    ] {
        assert_eq!(answer.status, expected, "{what}: {}", answer.text());
    }
    for (role, expected) in [("guest", 201), ("user", 201), ("power_user", 403), ("admin", 403), ("operator", 400)] {
        let body = json!({ "user_name": format!("new.{role}"), "display_name": "New", "role": role });
        assert_eq!(ask("POST", "/api/v1/accounts", body).status, expected, "{role}");
    }
    assert_eq!(scene.ask("admin", "GET", &target, None).json()["role"], "user");
}

#[test]
fn only_admins_of_the_system_are_operators() {
    let scene = Scene::new();
    for role in ["guest", "user", "power_user"] {
        let token = scene.appliance.signed_in("system", &format!("helper.{role}"), role);
        for path in
            ["/api/v1/system/status", "/api/v1/system/workspaces", "/api/v1/system/workspaces/{workspace}/audit"]
        {
            let answer = scene.appliance.with_token(&token, "GET", &scene.fill("GET", path), None);
            assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{role} {path}");
        }
        assert_eq!(scene.appliance.with_token(&token, "GET", "/api/v1/me", None).status, 200, "{role}");
    }
    // The network knows no way to the doors of the host.
    for path in ["/api/v1/system/setup", "/api/v1/system/setup/code", "/test-hooks/clock", "/test-hooks/tick"] {
        let answer = scene.ask("operator", "POST", path, Some(&json!({})));
        assert_eq!((answer.status, answer.code().as_str()), (404, "not-found"), "{path}");
    }
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! Which command does what which route does, and why there is none: `docs/parity.md` is made from this.
//!
//! `…` stands for both prefixes of a workspace's routes; commands use the operators'.

use std::fmt::Write;

/// What stands for a route at the command line.
#[derive(Debug, Clone, Copy)]
pub enum Twin {
    /// These commands.
    Commands(&'static [&'static str]),
    /// Nothing, for this reason.
    Nothing(&'static str),
}

use Twin::{Commands, Nothing};

/// What a person does about themselves.
const ONES_OWN: &str = "a person's own; the local operator has no account, and does it to others with `conclave account` and `conclave session`";

/// Every route, in the order of the API document.
pub const ROUTES: &[(&str, &str, Twin)] = &[
    ("GET", "…/accounts", Commands(&["account list"])),
    ("POST", "…/accounts", Commands(&["account create"])),
    ("GET", "…/accounts/{account}", Commands(&["account show"])),
    ("PATCH", "…/accounts/{account}", Commands(&["account set", "account role", "account disable", "account enable"])),
    ("PUT", "…/accounts/{account}/password", Commands(&["account password"])),
    ("GET", "…/accounts/{account}/permissions/explain", Commands(&["account permissions"])),
    ("PUT", "…/accounts/{account}/permissions/{permission}", Commands(&["account give"])),
    ("DELETE", "…/accounts/{account}/permissions/{permission}", Commands(&["account take"])),
    ("GET", "…/accounts/{account}/sessions", Commands(&["session list"])),
    ("DELETE", "…/accounts/{account}/sessions", Commands(&["session revoke"])),
    ("DELETE", "…/accounts/{account}/sessions/{session}", Commands(&["session revoke"])),
    ("DELETE", "…/accounts/{account}", Commands(&["account erase"])),
    ("GET", "…/agreement", Commands(&["agreement show"])),
    ("POST", "…/agreement/acceptances", Commands(&["agreement accept"])),
    ("GET", "…/approvals", Commands(&["approval list"])),
    ("POST", "…/approvals", Commands(&["approval request"])),
    ("GET", "…/approvals/{approval}", Commands(&["approval show"])),
    ("PUT", "…/approvals/{approval}/decision", Commands(&["approval approve", "approval reject"])),
    ("GET", "…/audit", Commands(&["audit list"])),
    ("GET", "…/audit/export", Commands(&["audit export"])),
    ("GET", "…/audit/verification", Commands(&["audit verify"])),
    ("GET", "…/meetings", Commands(&["meeting list"])),
    ("GET", "…/meetings/{meeting}", Commands(&["meeting show"])),
    ("DELETE", "…/meetings/{meeting}", Commands(&["meeting end"])),
    ("GET", "…/meetings/{meeting}/ledger", Commands(&["meeting ledger"])),
    ("PUT", "…/meetings/{meeting}/lobby/{number}", Commands(&["meeting admit"])),
    ("DELETE", "…/meetings/{meeting}/lobby/{number}", Commands(&["meeting turn-away"])),
    ("PUT", "…/meetings/{meeting}/lock", Commands(&["meeting lock"])),
    ("DELETE", "…/meetings/{meeting}/lock", Commands(&["meeting unlock"])),
    ("PUT", "…/meetings/{meeting}/mute", Commands(&["meeting mute-all"])),
    ("DELETE", "…/meetings/{meeting}/participants/{number}", Commands(&["meeting kick"])),
    ("PUT", "…/meetings/{meeting}/participants/{number}/mute", Commands(&["meeting mute"])),
    ("DELETE", "…/meetings/{meeting}/participants/{number}/mute", Commands(&["meeting unmute"])),
    ("POST", "…/meetings/{meeting}/rotations", Commands(&["meeting rotate"])),
    ("GET", "…/policy", Commands(&["policy show"])),
    ("PATCH", "…/policy", Commands(&["policy set"])),
    ("GET", "…/rooms", Commands(&["room list"])),
    ("POST", "…/rooms", Commands(&["room create"])),
    ("GET", "…/rooms/{room}", Commands(&["room show"])),
    ("PATCH", "…/rooms/{room}", Commands(&["room set"])),
    ("DELETE", "…/rooms/{room}", Commands(&["room delete"])),
    ("GET", "…/throttles", Commands(&["throttle list"])),
    ("DELETE", "…/throttles/{user_name}", Commands(&["throttle clear"])),
    ("POST", "/api/v1/rooms/{room}/tickets", Commands(&["client"])),
    ("GET", "/api/v1/sign-in", Commands(&["client"])),
    ("POST", "/api/v1/sessions", Commands(&["client"])),
    ("POST", "/api/v1/sessions/refresh", Nothing("`conclave client` signs in anew, with its password")),
    ("DELETE", "/api/v1/session", Nothing(ONES_OWN)),
    ("GET", "/api/v1/me", Nothing(ONES_OWN)),
    ("PUT", "/api/v1/me/password", Nothing(ONES_OWN)),
    ("GET", "/api/v1/me/sessions", Nothing(ONES_OWN)),
    ("DELETE", "/api/v1/me/sessions", Nothing(ONES_OWN)),
    ("DELETE", "/api/v1/me/sessions/{session}", Nothing(ONES_OWN)),
    ("POST", "/api/v1/system/setup", Commands(&["setup claim"])),
    ("POST", "/api/v1/system/setup/code", Commands(&["setup code"])),
    ("PUT", "/api/v1/system/addresses", Commands(&["network addresses"])),
    ("GET", "/api/v1/system/doctor", Commands(&["doctor"])),
    ("GET", "/api/v1/system/tokens", Commands(&["token list"])),
    ("POST", "/api/v1/system/tokens", Commands(&["token create"])),
    ("DELETE", "/api/v1/system/tokens/{token}", Commands(&["token remove"])),
    ("GET", "/metrics", Nothing("for programs; `conclave doctor` and `conclave status` say it to people")),
    ("GET", "/api/v1/setup", Nothing("what the setup page begins with; `conclave setup code` says more")),
    ("PUT", "/api/v1/setup/scope", Commands(&["setup claim"])),
    ("POST", "/api/v1/setup/claim", Commands(&["setup claim"])),
    ("POST", "/api/v1/system/operators/{user_name}/recovery", Commands(&["operator recover"])),
    ("POST", "/api/v1/recovery", Nothing("for the person who has the link")),
    ("GET", "/api/v1/system/notices", Commands(&["status"])),
    ("GET", "/api/v1/system/status", Commands(&["status"])),
    ("GET", "/api/v1/system/workspaces", Commands(&["workspace list"])),
    ("POST", "/api/v1/system/workspaces", Commands(&["workspace create"])),
    ("GET", "/api/v1/system/workspaces/{workspace}", Commands(&["workspace show"])),
    ("PATCH", "/api/v1/system/workspaces/{workspace}", Commands(&["workspace set", "workspace rename"])),
    ("GET", "/api/v1/system/workspaces/{workspace}/export", Commands(&["workspace export"])),
    (
        "POST",
        "/api/v1/system/workspaces/{workspace}/life",
        Commands(&[
            "workspace extend",
            "workspace subscribe",
            "workspace suspend",
            "workspace resume",
            "workspace close",
            "workspace reopen",
        ]),
    ),
    ("GET", "/api/v1/system/agreement", Commands(&["agreement text"])),
    ("PUT", "/api/v1/system/agreement", Commands(&["agreement set"])),
    ("GET", "/api/v1/system/appliance", Commands(&["appliance show"])),
    ("PATCH", "/api/v1/system/appliance", Commands(&["appliance set"])),
    ("GET", "/api/v1/operator", Nothing("for everybody; `conclave appliance show` says the same")),
    ("GET", "/api/v1/supervisory-authorities", Commands(&["appliance authorities"])),
    ("POST", "/api/v1/system/workspaces/{workspace}/accept-rollback", Commands(&["workspace accept-rollback"])),
    ("GET", "/api/v1/trust", Commands(&["trust show"])),
    ("GET", "/api/v1/trust/root.pem", Commands(&["trust root"])),
    ("GET", "/api/v1/openapi.json", Commands(&["openapi"])),
    ("GET", "/healthz", Nothing("for what watches over the network; `conclave status` says more")),
];

/// Every command that asks no route, and why.
pub const WITHOUT_ROUTE: &[(&str, &str)] = &[
    ("footprint", "measures an appliance of its own"),
    ("preflight", "looks at the files while another release serves them, so it talks to neither"),
    ("manual", "made from the command line itself"),
    ("completions", "made from the command line itself"),
    ("network allow", "changes units of the host: the appliance behind the fence must not be able to open it"),
    ("network deny", "changes units of the host"),
    ("network list", "reads units of the host"),
    ("key seal", "has systemd seal the master key: done by root on the host"),
    ("key unseal", "has systemd open the master key: done by root on the host"),
    ("serve", "is the appliance"),
    ("demo", "is an appliance with people in it"),
    ("bench", "measures the relay without an appliance"),
    ("workspace verify-export", "verifies a file without an appliance"),
    ("recovery new", "makes a kit outside the appliance"),
    ("recovery restore", "restores files before there is an appliance"),
    ("config check", "is for before the start"),
    ("config example", "is for before the start"),
    ("config reference", "prints a page of the documentation"),
    ("problems", "prints a page of the documentation"),
    ("parity", "prints a page of the documentation"),
];

/// `docs/parity.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# API and command line\n\n\
         Generated by `conclave parity`; do not edit.\n\n\
         What the API can do the command line can do, or there is a reason why not. `…` stands for `/api/v1` and for\n\
         `/api/v1/system/workspaces/{workspace}`; commands use the latter, over the admin socket.\n\n\
         | route | command |\n|---|---|\n",
    );
    // Writing to a String cannot fail.
    for (method, path, twin) in ROUTES {
        let twin = match twin {
            Commands(commands) => {
                let commands: Vec<_> = commands.iter().map(|command| format!("`conclave {command}`")).collect();
                commands.join(", ")
            }
            Nothing(reason) => format!("none: {reason}"),
        };
        let _ = writeln!(page, "| `{method} {path}` | {twin} |");
    }
    page.push_str("\n| command without a route | because it |\n|---|---|\n");
    for (command, reason) in WITHOUT_ROUTE {
        let _ = writeln!(page, "| `conclave {command}` | {reason} |");
    }
    page
}

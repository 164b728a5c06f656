// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave status`.

use crate::api::types::Status;
use crate::api::types::setup::{Notices, RecoveryNotice};
use crate::cli::Door;
use crate::cli::exit::Failure;
use crate::cli::output::{facts, grouped};

/// For whom a link was made, when, and what became of it.
fn said(recovery: &RecoveryNotice) -> String {
    let used = match recovery.used_at {
        Some(at) => format!("USED {at}"),
        None => "not used".to_owned(),
    };
    format!("for {}, made {}, {used}", recovery.user_name, recovery.asked_at)
}

/// Runs the command.
pub async fn run(door: &Door) -> Result<(), Failure> {
    let status: Status = door.client.get("/api/v1/system/status").await?;
    let notices: Notices = door.client.get("/api/v1/system/notices").await?;
    let text = |status: &Status| {
        let names = status.trust.names.iter().cloned().chain(status.trust.networks.iter().map(ToString::to_string));
        let mut known = vec![
            ("Appliance", grouped(&status.appliance).to_lowercase()),
            ("Identity key", hex::encode(&status.identity_key.0)),
            ("Version", status.version.clone()),
            ("Claim", status.claim.clone()),
            ("Serving since", status.started_at.to_string()),
            ("HTTPS", status.https.join(", ")),
            ("Certificates for", names.collect::<Vec<_>>().join(", ")),
            ("Fingerprint", grouped(&status.trust.fingerprint)),
            ("Certificate until", status.trust.tcp_not_after.to_string()),
            ("System file", status.system_state.clone()),
            ("Anchor", if status.anchor_current { "current" } else { "OUT OF STEP with system.db" }.to_owned()),
            ("Workspaces", format!("{} ({} open)", status.workspaces, status.open_workspaces)),
            ("Connections", status.connections.to_string()),
        ];
        known.extend(notices.recoveries.iter().map(|recovery| ("Recovery link", said(recovery))));
        facts(&known)
    };
    Ok(door.output.print(&status, text)?)
}

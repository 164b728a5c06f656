// SPDX-License-Identifier: AGPL-3.0-or-later
//! From stored values to what the API shows.

use crate::api::error::Problem;
use crate::api::services::Services;
use crate::api::types::{AccountView, AuditRecordView, Base64, SessionView, TrustView, WorkspaceRef};
use crate::core::audit::Record;
use crate::core::auth::permission::Permission;
use crate::platform::store::accounts::Account;
use crate::platform::store::sessions::Session;
use crate::values::id::{SessionId, WorkspaceId};
use crate::values::name::WorkspaceName;

pub mod meetings;

/// The id of a workspace with its name.
pub fn workspace_ref(app: &Services, id: WorkspaceId) -> Result<WorkspaceRef, Problem> {
    if id == WorkspaceId::SYSTEM {
        return Ok(WorkspaceRef { id, name: WorkspaceName::system() });
    }
    app.store.registry().entry(id).map(|entry| WorkspaceRef { id, name: entry.name }).ok_or(Problem::NotFound)
}

fn names(permissions: impl Iterator<Item = Permission>) -> Vec<String> {
    permissions.map(|permission| permission.as_str().to_owned()).collect()
}

/// An account in its workspace.
pub fn account(account: &Account, workspace: &WorkspaceRef) -> AccountView {
    AccountView {
        id: account.id,
        user_name: account.user_name.clone(),
        display_name: account.display_name.clone(),
        role: account.role(),
        roles: account.roles.iter().collect(),
        status: account.status,
        voice_off: account.voice_off,
        workspace: workspace.clone(),
        permissions: names(account.rights().permissions()),
        by_hand: names(account.by_hand.iter()),
        session_replayed_at: account.replayed_at,
        created_at: account.created_at,
    }
}

/// A session; `current` is the one that asks.
pub fn session(session: &Session, current: Option<SessionId>) -> SessionView {
    SessionView {
        id: session.id,
        device_name: session.device_name.clone(),
        created_at: session.created_at,
        last_seen_at: session.last_seen_at,
        expires_at: session.expires_at(),
        persistent: session.persistent,
        current: current == Some(session.id),
    }
}

/// An audit record.
pub fn audit_record(record: Record) -> AuditRecordView {
    let Record { sequence, at, actor, strength, address, action, target, outcome, detail, .. } = record;
    AuditRecordView { sequence, at, actor, strength, address, action, target, outcome, detail }
}

/// What TLS presents now.
pub fn trust(app: &Services) -> TrustView {
    let certificates = app.trust.certificates();
    let authority = certificates.authority();
    let tcp = certificates.tcp();
    let scope = authority.as_ref().map(|authority| authority.scope());
    let fingerprint = authority.as_ref().map_or_else(|| tcp.fingerprint(), |authority| authority.root_fingerprint());
    TrustView {
        root_pem: authority.as_ref().map(|authority| authority.root_pem()),
        fingerprint: hex::encode(fingerprint.as_bytes()),
        names: scope.map(|scope| scope.names().iter().map(ToString::to_string).collect()).unwrap_or_default(),
        networks: scope.map(|scope| scope.networks().to_vec()).unwrap_or_default(),
        tcp_not_after: tcp.validity().not_after,
        udp_certificate_hashes: certificates.udp_hashes().iter().map(|hash| Base64(hash.as_bytes().to_vec())).collect(),
    }
}

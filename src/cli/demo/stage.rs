// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the demo needs of its appliance: the claim, a workspace, a room, accounts. All of it goes through the admin
//! socket, as the command line does, and what is there already is kept.

use std::net::SocketAddr;

use hyper::Method;
use serde_json::json;

use crate::api::types::meetings::MeetingView;
use crate::api::types::rooms::{RoomList, RoomView};
use crate::api::types::setup::SetupDone;
use crate::api::types::workspaces::{WorkspaceList, WorkspaceView};
use crate::api::types::{AccountList, CreatedAccount, PasswordSet, Status, TrustView};
use crate::cli::client::{Client, ClientError};
use crate::lifecycle::Ready;

pub const WORKSPACE: &str = "demo";
pub const ROOM: &str = "lobby";
pub const ADMIN: &str = "ada";
const OPERATOR: &str = "operator";

/// A claimed appliance with a workspace and a room.
pub struct Stage {
    /// Where HTTPS and the relay listen.
    pub addresses: Vec<SocketAddr>,
    /// The appliance id.
    pub appliance: String,
    /// What clients trust.
    pub trust: TrustView,
    client: Client,
    /// The path of the workspace.
    workspace: String,
    /// The path of the room.
    room: String,
}

impl Stage {
    /// Claims the appliance, and makes the workspace and the room; each once.
    pub async fn prepare(ready: &Ready) -> Result<Self, ClientError> {
        let client = Client::new(&ready.admin_socket);
        let status: Status = client.get("/api/v1/system/status").await?;
        if status.claim == "unclaimed" {
            let body = json!({
                "names": ["localhost"], "networks": ["127.0.0.0/8", "::1/128"],
                "operator": { "user_name": OPERATOR, "display_name": "Demo operator" },
                "without_recovery_kit": true,
            });
            let _: SetupDone = client.send_json(Method::POST, "/api/v1/system/setup", &body).await?;
        }
        let workspaces = "/api/v1/system/workspaces";
        let found: WorkspaceList = client.get(&format!("{workspaces}?name={WORKSPACE}")).await?;
        let made: WorkspaceView = match found.workspaces.into_iter().next() {
            Some(workspace) => workspace,
            None => {
                client
                    .send_json(Method::POST, workspaces, &json!({ "name": WORKSPACE, "agreement_accepted_by": "Demo" }))
                    .await?
            }
        };
        let workspace = format!("{workspaces}/{}", made.id);
        let rooms = format!("{workspace}/rooms");
        let found: RoomList = client.get(&format!("{rooms}?name={ROOM}")).await?;
        let made: RoomView = match found.rooms.into_iter().next() {
            Some(room) => room,
            None => client.send_json(Method::POST, &rooms, &json!({ "name": ROOM })).await?,
        };
        let room = format!("{rooms}/{}", made.id);
        let status: Status = client.get("/api/v1/system/status").await?;
        let Status { appliance, trust, .. } = status;
        Ok(Self { addresses: ready.https.clone(), appliance, trust, client, workspace, room })
    }

    /// How a browser on this machine names the appliance.
    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.addresses.first().map_or(0, SocketAddr::port))
    }

    /// The root certificate.
    pub fn root_pem(&self) -> &str {
        self.trust.root_pem.as_deref().unwrap_or_default()
    }

    /// A new password for an account, which is made when it is not there.
    pub async fn fresh_password(&self, user_name: &str, display_name: &str, role: &str) -> Result<String, ClientError> {
        let accounts = format!("{}/accounts", self.workspace);
        let found: AccountList = self.client.get(&format!("{accounts}?user_name={user_name}")).await?;
        let told = match found.accounts.first() {
            Some(account) => {
                let path = format!("{accounts}/{}/password", account.id);
                self.client.send_json::<PasswordSet>(Method::PUT, &path, &json!({})).await?.initial_password
            }
            None => {
                let body = json!({ "user_name": user_name, "display_name": display_name, "role": role });
                self.client.send_json::<CreatedAccount>(Method::POST, &accounts, &body).await?.initial_password
            }
        };
        told.ok_or_else(|| ClientError::Unreadable("no password was told".to_owned()))
    }

    /// The meeting in the room; none when nobody is there, or the room is gone.
    pub async fn meeting(&self) -> Option<MeetingView> {
        let room: RoomView = self.client.get(&self.room).await.ok()?;
        self.client.get(&format!("{}/meetings/{}", self.workspace, room.live.meeting?)).await.ok()
    }
}

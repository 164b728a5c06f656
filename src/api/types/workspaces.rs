// SPDX-License-Identifier: AGPL-3.0-or-later
//! The shapes of workspaces: their life, what they permit, the agreements for them, and what two persons decide.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::values::id::{ApprovalId, ApprovalTarget, WorkspaceId};
use crate::values::name::{DisplayName, Label, WorkspaceName};
use crate::values::time::Timestamp;

/// `POST /api/v1/system/workspaces`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWorkspace {
    /// The name people will type.
    pub name: WorkspaceName,
    /// Days after which nobody may use it unless it is extended or subscribed, 1 to 365. Without it: subscribed.
    #[schema(minimum = 1, maximum = 365)]
    pub trial_days: Option<u16>,
    /// Accounts that may be active at once. Without it, or with 0: any number.
    pub seats: Option<u32>,
    /// Where its data is, in words; without it as for the whole appliance.
    pub residency: Option<Label>,
    /// The person who accepted the data processing agreement for it, on paper or otherwise. Without one an Admin of the
    /// workspace accepts it before anybody else can use the workspace.
    pub agreement_accepted_by: Option<DisplayName>,
}

/// `PATCH /api/v1/system/workspaces/{workspace}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateWorkspace {
    /// Another name. The one before leads here for 90 days.
    pub name: Option<WorkspaceName>,
    /// Accounts that may be active at once; 0: any number. Who is active stays so.
    pub seats: Option<u32>,
    /// Where its data is, in words; empty: as for the whole appliance.
    pub residency: Option<Label>,
}

/// `POST /api/v1/system/workspaces/{workspace}/life`: a step in the life of a workspace.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum LifeStep {
    /// The trial ends later.
    Extend {
        /// When.
        #[schema(value_type = String, format = DateTime)]
        ends_at: Timestamp,
    },
    /// It has no end any more.
    Subscribe {},
    /// Nobody may use it until it is resumed.
    Suspend {},
    /// People may use it again.
    Resume {},
    /// Nobody may use it, and it is deleted after a cooling-off, in which it can be exported and reopened.
    Close {
        /// An approved request `workspace.close` in workspace `system`.
        #[schema(value_type = String, format = Uuid)]
        approval: ApprovalId,
        /// Days until it is deleted, 30 to 365; 30 when absent.
        #[schema(minimum = 30, maximum = 365)]
        cooling_off_days: Option<u16>,
    },
    /// It is not deleted.
    Reopen {},
}

/// A workspace, as operators see it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceView {
    /// Its id; never changes.
    #[schema(value_type = String, format = Uuid)]
    pub id: WorkspaceId,
    /// The name people type.
    pub name: WorkspaceName,
    /// State of its files: `open`, or a named state: `sealed`, `swapped`, `damaged`, `newer-schema`, `rolled-back`,
    /// `unreadable`.
    pub state: String,
    /// Why it is not `open`, with file and way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where it is in its life: `trial`, `subscribed`, `suspended` or `closed`.
    pub stage: String,
    /// Why nobody may use it now: `trial-over`, `workspace-suspended`, `workspace-closed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standstill: Option<String>,
    /// When its trial ends or ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub trial_ends_at: Option<Timestamp>,
    /// When it is deleted, since it is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub purge_at: Option<Timestamp>,
    /// Accounts that may be active at once; absent: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seats: Option<u32>,
    /// Accounts that are active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seats_taken: Option<u64>,
    /// Where its data is, as the operator says.
    pub residency: Label,
    /// Whether a data processing agreement was accepted for it; absent when it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement_accepted: Option<bool>,
    /// Since when it exists.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// How many accounts it has; absent when it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounts: Option<u64>,
    /// How many sessions are live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u64>,
}

/// Workspaces by name.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceList {
    /// This page.
    pub workspaces: Vec<WorkspaceView>,
    /// Give this as `after` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<WorkspaceName>,
}

/// What a workspace permits its people.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkspacePolicyView {
    /// Voice is forwarded in its meetings, where the room and the whole appliance permit it too.
    pub voice: bool,
    /// Screens may be shared in its meetings, where the room permits it too.
    pub screen_share: bool,
    /// Guests may sign in.
    pub guests: bool,
    /// Scripts may sign in without sealing the credential.
    pub plain_sign_in: bool,
    /// Who signs in is signed out everywhere else.
    pub single_device: bool,
    /// What a person proves at a sign-in. This release knows `password` alone.
    pub factors: Vec<String>,
    /// Hours after which a session that nobody uses ends.
    pub idle_hours: u16,
    /// Days after which a session ends however busy, unless it is persistent.
    pub session_days: u16,
    /// Days for which a device may stay signed in without being used, when its person wants that, and a year at most; 0: not
    /// at all.
    pub persistent_days: u16,
    /// Whether voice is on for the whole appliance.
    pub appliance_voice: bool,
}

/// `PATCH …/policy`: what is named is changed.
#[derive(Debug, Default, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateWorkspacePolicy {
    /// Forward voice.
    pub voice: Option<bool>,
    /// Let screens be shared.
    pub screen_share: Option<bool>,
    /// Let guests sign in. Without, those who are signed in are signed out.
    pub guests: Option<bool>,
    /// Let scripts sign in without sealing the credential.
    pub plain_sign_in: Option<bool>,
    /// Sign out everywhere else who signs in.
    pub single_device: Option<bool>,
    /// `["password"]`.
    pub factors: Option<Vec<String>>,
    /// 1 to 168. Also for sessions that live, when it becomes less.
    #[schema(minimum = 1, maximum = 168)]
    pub idle_hours: Option<u16>,
    /// 1 to 90. Also for sessions that live, when it becomes less.
    #[schema(minimum = 1, maximum = 90)]
    pub session_days: Option<u16>,
    /// 0 to 90. Also for sessions that live, when it becomes less.
    #[schema(maximum = 90)]
    pub persistent_days: Option<u16>,
}

/// A data processing agreement and who accepted one for the workspace.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AgreementView {
    /// The text that is to be accepted now.
    pub text: String,
    /// SHA-256 of the text in UTF-8, in hex.
    pub sha256: String,
    /// Whether one was accepted, so that people can use the workspace.
    pub accepted: bool,
    /// Whether it was another text than the present one.
    pub outdated: bool,
    /// What was accepted, the newest first; for those who may accept.
    pub acceptances: Vec<AcceptanceView>,
}

/// An agreement that was accepted.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AcceptanceView {
    /// SHA-256 of its text, in hex.
    pub sha256: String,
    /// The person who accepted it.
    pub person: DisplayName,
    /// Who that was, as the audit names them.
    pub actor: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub accepted_at: Timestamp,
}

/// `POST …/agreement/acceptances`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptAgreement {
    /// SHA-256 of the text that was read, in hex: what is accepted is what was shown.
    pub sha256: String,
    /// The person who accepts it; the caller's display name when absent. Operators name who accepted it.
    pub person: Option<DisplayName>,
}

/// `PUT /api/v1/system/agreement`: the text for workspaces from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetAgreement {
    /// The text, up to 200,000 bytes; absent: the one that comes with the product.
    pub text: Option<String>,
}

/// The text for workspaces.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AgreementText {
    /// The text.
    pub text: String,
    /// SHA-256 of the text in UTF-8, in hex.
    pub sha256: String,
    /// Whether it is the one that comes with the product.
    pub standard: bool,
}

/// `POST …/approvals`: something that takes two persons.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestApproval {
    /// `account.erase` in the workspace of the account; `workspace.close` and `workspace.export` in workspace `system`.
    pub deed: String,
    /// Id of the account or workspace.
    #[schema(value_type = String, format = Uuid)]
    pub target: ApprovalTarget,
    /// Why; the other person reads it.
    pub reason: Label,
}

/// `PUT …/approvals/{approval}/decision`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideApproval {
    /// `approved` or `rejected`. Whoever asked can only reject, which is to withdraw.
    pub verdict: VerdictName,
}

/// What the second person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictName {
    /// It may be done.
    Approved,
    /// It may not.
    Rejected,
}

/// A request and what became of it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ApprovalView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    pub id: ApprovalId,
    /// What is to be done.
    pub deed: String,
    /// Id of what it is about.
    #[schema(value_type = String, format = Uuid)]
    pub target: ApprovalTarget,
    /// Why.
    pub reason: Label,
    /// `pending`, `approved`, `rejected`, `used` or `expired`.
    pub state: String,
    /// Who asked, as the audit names them.
    pub requested_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Timestamp,
    /// Until when it can be decided or, once approved, be done.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// Who decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub decided_at: Option<Timestamp>,
    /// When it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub used_at: Option<Timestamp>,
}

/// Requests, the newest first; 1,000 at most.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ApprovalList {
    /// All of them.
    pub approvals: Vec<ApprovalView>,
}

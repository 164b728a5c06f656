// SPDX-License-Identifier: AGPL-3.0-or-later
//! The shapes of requests and answers. The CLI is a client of these types, and `docs/openapi.json` is made from them.
//!
//! Requests refuse unknown fields; text that has a type (names, ids) is parsed while it is read.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use crate::core::auth::login::AccountStatus;
use crate::core::auth::permission::{Role, Source};
use crate::values::id::{AccountId, SealingKeyId, SessionId, WorkspaceId};
use crate::values::name::{DisplayName, UserName, WorkspaceName};
use crate::values::secret::SecretText;
use crate::values::time::Timestamp;

pub mod appliance;
pub mod doctor;
pub mod meetings;
pub mod rooms;
pub mod workspaces;

pub mod object;

mod schemas;

pub mod setup;

/// Bytes, as base64url without padding (RFC 4648 §5).
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
#[schema(value_type = String)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text);
        bytes.map(Self).map_err(|_| serde::de::Error::custom("expected base64url without padding"))
    }
}

/// `GET /api/v1/sign-in`: what a credential is sealed to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SignInOffer {
    /// Ed25519 public key of the appliance.
    pub identity_key: Base64,
    /// The appliance id: half of SHA-256 of the identity key, in hex.
    pub appliance: String,
    /// The key to seal to.
    pub sealing_key: SealingKeyView,
    /// To be used once.
    pub challenge: Base64,
    /// When the challenge is void.
    #[schema(value_type = String, format = DateTime)]
    pub challenge_expires_at: Timestamp,
}

/// A sealing key, signed by the identity key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SealingKeyView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    pub id: SealingKeyId,
    /// X25519 public key.
    pub public_key: Base64,
    /// Until when boxes sealed to it open.
    #[schema(value_type = String, format = DateTime)]
    pub not_after: Timestamp,
    /// Ed25519 signature.
    pub signature: Base64,
}

/// A credential in its box (`docs/sign-in.md` §2).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// Which sealing key.
    #[schema(value_type = String, format = Uuid)]
    pub key_id: SealingKeyId,
    /// The one-time challenge.
    pub challenge: Base64,
    /// What the person typed, such as `https://meet.example.lan`.
    pub origin: String,
    /// HPKE encapsulated key.
    pub encapsulated_key: Base64,
    /// HPKE ciphertext and tag.
    pub ciphertext: Base64,
}

/// What is inside a sign-in box, and what a plain sign-in shows.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Workspace name.
    pub workspace: WorkspaceName,
    /// User name.
    pub user_name: UserName,
    /// Password.
    #[schema(value_type = String, format = Password)]
    pub password: SecretText,
}

/// How the refresh token travels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// In the body.
    #[default]
    Token,
    /// In a `__Host-` cookie.
    Cookie,
}

/// `POST /api/v1/sessions`: exactly one of `sealed` and `plain`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The sealed credential.
    #[serde(default, deserialize_with = "object::optional")]
    pub sealed: Option<Sealed>,
    /// An unsealed one, when the workspace allows it.
    #[serde(default, deserialize_with = "object::optional")]
    pub plain: Option<Credential>,
    /// What the person calls the device.
    #[schema(max_length = 80)]
    pub device_name: Option<DisplayName>,
    /// How the refresh token travels.
    #[serde(default)]
    pub carrier: Carrier,
    /// Whether the device is to stay signed in when it is not used for longer, as far as the workspace permits. A
    /// browser keeps the cookie when it is closed.
    #[serde(default)]
    pub persistent: bool,
}

/// `POST /api/v1/sessions/refresh`.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The refresh token; absent when the cookie carries it.
    pub refresh_token: Option<Base64>,
}

/// A session that begins or goes on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionGrant {
    /// JWT (HS512) for the `Authorization` header.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: String,
    /// When the access token is dead.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// The next refresh token, unless a cookie carries it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<Base64>,
    /// The session.
    #[schema(value_type = String, format = Uuid)]
    pub session: SessionId,
    /// Who signed in.
    pub account: AccountView,
}

/// A workspace, by id and name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceRef {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    pub id: WorkspaceId,
    /// The name people type.
    pub name: WorkspaceName,
}

/// An account.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AccountView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    pub id: AccountId,
    /// What the person signs in with.
    pub user_name: UserName,
    /// What others see.
    pub display_name: DisplayName,
    /// The role that counts, which is the highest: `guest`, `user`, `power_user` or `admin`.
    pub role: Role,
    /// All of its roles, the lowest first.
    #[schema(value_type = Vec<String>)]
    pub roles: Vec<Role>,
    /// Whether it may be used.
    pub status: AccountStatus,
    /// Whether its voice is switched off in every meeting.
    pub voice_off: bool,
    /// Where it belongs.
    pub workspace: WorkspaceRef,
    /// What it may do: what its role carries, and what it was given by hand.
    pub permissions: Vec<String>,
    /// What it was given by hand.
    pub by_hand: Vec<String>,
    /// When a used refresh token of it was presented again, so that somebody else may have had it; that session was ended.
    /// Gone once a new password is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub session_replayed_at: Option<Timestamp>,
    /// Since when it exists.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// `POST …/accounts`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAccount {
    /// What the person will sign in with.
    pub user_name: UserName,
    /// What others will see.
    pub display_name: DisplayName,
    /// The one role; `user` when absent.
    pub role: Option<Role>,
    /// Several roles, instead of one.
    #[schema(value_type = Option<Vec<String>>)]
    pub roles: Option<Vec<Role>>,
    /// The password, sealed (plaintext `{"new_password":…}`). Without one the appliance makes one and tells it once.
    #[serde(default, deserialize_with = "object::optional")]
    pub sealed: Option<Sealed>,
    /// The password in clear; on the admin socket only.
    #[schema(value_type = Option<String>, format = Password)]
    pub password: Option<SecretText>,
}

/// An account that was made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CreatedAccount {
    /// The account.
    pub account: AccountView,
    /// The password the appliance made, told this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_password: Option<String>,
}

/// `PATCH …/accounts/{account}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateAccount {
    /// A new display name.
    pub display_name: Option<DisplayName>,
    /// The one role from now on.
    pub role: Option<Role>,
    /// Several roles from now on, instead of one. The highest counts.
    #[schema(value_type = Option<Vec<String>>)]
    pub roles: Option<Vec<Role>>,
    /// `disabled` ends every session at once.
    pub status: Option<AccountStatus>,
    /// Whether its voice is switched off in every meeting, also those it is in.
    pub voice_off: Option<bool>,
}

/// `PUT …/accounts/{account}/password`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetPassword {
    /// The new password, sealed (plaintext `{"new_password":…}`). Without one the appliance makes one.
    #[serde(default, deserialize_with = "object::optional")]
    pub sealed: Option<Sealed>,
    /// The new password in clear; on the admin socket only.
    #[schema(value_type = Option<String>, format = Password)]
    pub password: Option<SecretText>,
}

/// Answer to a password reset.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PasswordSet {
    /// The password the appliance made, told this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_password: Option<String>,
    /// How many sessions were ended.
    pub sessions_ended: usize,
}

/// `PUT /api/v1/me/password`: plaintext of the box is `{"current_password":…,"new_password":…}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// Both passwords, sealed.
    #[serde(deserialize_with = "object::required")]
    pub sealed: Sealed,
}

/// Inside the box of [`ChangePassword`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// What it is now.
    pub current_password: SecretText,
    /// What it shall be.
    pub new_password: SecretText,
}

/// Inside the box of a password somebody sets for another.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// What it shall be.
    pub new_password: SecretText,
}

/// Accounts in the order of user names.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AccountList {
    /// This page.
    pub accounts: Vec<AccountView>,
    /// Give this as `after` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<UserName>,
}

/// A signed-in device.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    pub id: SessionId,
    /// What the person calls it.
    pub device_name: String,
    /// When it signed in.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last refreshed its tokens.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen_at: Timestamp,
    /// When it ends unless it is used.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// Whether the device stays signed in when it is not used for longer.
    pub persistent: bool,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// Sessions, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionList {
    /// All of them: an account has 100 at most.
    #[schema(max_items = 100)]
    pub sessions: Vec<SessionView>,
}

/// That the other sessions of the caller ended.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionsEnded {
    /// How many there were.
    pub sessions_ended: usize,
}

/// A permission of an account, and why it has it or not.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PermissionView {
    /// Its name.
    pub permission: String,
    /// Whether the account may do it now.
    pub effective: bool,
    /// `role` or `hand`; without it the account does not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Which of the roles of the account carry it.
    #[schema(value_type = Vec<String>)]
    pub carried_by: Vec<Role>,
    /// The lowest role that carries it; without it no role does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowest_role: Option<Role>,
    /// What stands in its way: `account-disabled`, `account-voice-off`, `room-entry`, `room-voice-off`,
    /// `room-screen-share-off`, `workspace-voice-off`, `workspace-screen-share-off`, `workspace-guests-off`,
    /// `appliance-voice-off`, `workspace-trial-over`, `workspace-suspended`, `workspace-closed`,
    /// `workspace-agreement-missing`, `workspace-read-only`, `account-manage-missing`.
    pub obstacles: Vec<String>,
}

/// What an account may do, and why.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// Which account.
    #[schema(value_type = String, format = Uuid)]
    pub account: AccountId,
    /// The role that counts, or the one that was asked about.
    pub role: Role,
    /// Whether it is what would be.
    pub simulated: bool,
    /// Every permission.
    pub permissions: Vec<PermissionView>,
}

/// Wrong tries to sign in under a name, as it was typed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ThrottleView {
    /// The name; there need be no such account.
    pub user_name: UserName,
    /// How many in a row.
    pub wrong_tries: u32,
    /// When the last one was.
    #[schema(value_type = String, format = DateTime)]
    pub last_try_at: Timestamp,
    /// When the next may be.
    #[schema(value_type = String, format = DateTime)]
    pub next_try_at: Timestamp,
}

/// Names that were tried wrongly in the last day, those that wait for longest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ThrottleList {
    /// 1,000 of them at most.
    #[schema(max_items = 1_000)]
    pub throttles: Vec<ThrottleView>,
}

/// An audit record.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditRecordView {
    /// Its place in the chain.
    pub sequence: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// How they proved it.
    pub strength: String,
    /// From where; empty when not over a network.
    pub address: String,
    /// What.
    pub action: String,
    /// On what.
    pub target: String,
    /// `allowed` or `refused`.
    pub outcome: String,
    /// Remark.
    pub detail: String,
}

/// Audit records, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// This page.
    pub records: Vec<AuditRecordView>,
    /// Give this as `before` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// What verifying a chain found.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditVerdict {
    /// Whether the chain and its anchor hold.
    pub ok: bool,
    /// How many records were verified.
    pub records: u64,
    /// Hash of the last of them, in hex.
    pub head: String,
    /// Ed25519 signature of the head by the identity key (`docs/files.md`).
    pub signature: Base64,
    /// The time that is in the signature.
    #[schema(value_type = String, format = DateTime)]
    pub signed_at: Timestamp,
    /// Where and how the chain is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What TLS presents, and what to trust.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TrustView {
    /// The root certificate (PEM); absent before the claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_pem: Option<String>,
    /// SHA-256 of the root, or of the bootstrap certificate before the claim, in hex.
    pub fingerprint: String,
    /// DNS names that certificates may be for.
    pub names: Vec<String>,
    /// Networks whose addresses certificates may be for.
    #[schema(value_type = Vec<String>)]
    pub networks: Vec<IpNet>,
    /// When the TCP certificate ends; it is renewed long before.
    #[schema(value_type = String, format = DateTime)]
    pub tcp_not_after: Timestamp,
    /// SHA-256 of the current and the next UDP certificate (`serverCertificateHashes`).
    pub udp_certificate_hashes: Vec<Base64>,
}

/// `GET /api/v1/system/status`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Version of the running binary.
    pub version: String,
    /// The appliance id.
    pub appliance: String,
    /// Its public identity key (Ed25519, 32 bytes): verifies exports.
    pub identity_key: Base64,
    /// `unclaimed` or `claimed`.
    pub claim: String,
    /// State of workspace `system`.
    pub system_state: String,
    /// Whether the anchor file is as new as `system.db` says.
    pub anchor_current: bool,
    /// How many workspaces exist.
    pub workspaces: u64,
    /// How many of them are open now.
    pub open_workspaces: u64,
    /// Since when it runs.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// Addresses that HTTPS listens on.
    pub https: Vec<String>,
    /// Open connections.
    pub connections: u64,
    /// What TLS presents.
    pub trust: TrustView,
}

/// `PUT /api/v1/system/addresses`: by which addresses the host is reached.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Addresses {
    /// Those of its interfaces that others can type.
    #[schema(value_type = Vec<String>, max_items = 64)]
    pub addresses: Vec<IpAddr>,
}

impl Addresses {
    /// How many there may be.
    pub const MAX: usize = 64;
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! Shapes of the claim, and of links by which an operator sets a new password.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::types::{AccountView, Base64, Sealed};
use crate::core::claim::SetupCode;
use crate::values::name::{DisplayName, UserName};
use crate::values::secret::SecretText;
use crate::values::time::Timestamp;

/// `GET /api/v1/setup`: what somebody sees of an appliance that nobody claimed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SetupFacts {
    /// The appliance id.
    pub appliance: String,
    /// Its public identity key (Ed25519, 32 bytes).
    pub identity_key: Base64,
    /// SHA-256 of the certificate that TLS presents until the claim, in hex: compare it with the journal.
    pub fingerprint: String,
    /// Until when the setup code holds; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub code_expires_at: Option<Timestamp>,
    /// How many wrong codes are still taken.
    pub tries_left: u8,
    /// Names that the appliance may be meant to have: how this request names it.
    pub names: Vec<String>,
    /// Networks that it may be meant to be in: those of the addresses it knows.
    #[schema(value_type = Vec<String>)]
    pub networks: Vec<IpNet>,
    /// The root that was minted, when names and networks were fixed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<ScopeDone>,
}

/// `PUT /api/v1/setup/scope`: fixes names and networks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FixScope {
    /// The setup code; not needed on the admin socket.
    #[schema(value_type = Option<String>)]
    pub code: Option<SetupCode>,
    /// DNS names (suffixes) that certificates may be for.
    pub names: Vec<String>,
    /// Networks whose addresses certificates may be for, such as `10.0.0.0/8`.
    pub networks: Vec<String>,
}

/// The root that the appliance will have once it is claimed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ScopeDone {
    /// SHA-256 of the root certificate, in hex.
    pub root_fingerprint: String,
    /// The root certificate (PEM).
    pub root_pem: String,
    /// DNS names that certificates may be for.
    pub names: Vec<String>,
    /// Networks whose addresses certificates may be for.
    #[schema(value_type = Vec<String>)]
    pub networks: Vec<IpNet>,
}

/// `POST /api/v1/setup/claim`: claims the appliance.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimAppliance {
    /// The setup code; not needed on the admin socket.
    #[schema(value_type = Option<String>)]
    pub code: Option<SetupCode>,
    /// The first operator.
    pub operator: FirstOperator,
    /// The operator's password, sealed (plaintext `{"new_password":…}`). Without one the appliance makes one.
    pub sealed: Option<Sealed>,
    /// The password in clear; on the admin socket only.
    #[schema(value_type = Option<String>, format = Password)]
    pub password: Option<SecretText>,
    /// Public half of the recovery kit: an X25519 public key.
    pub recovery_public_key: Base64,
    /// The root that was confirmed: SHA-256 in hex.
    pub root_fingerprint: String,
}

/// `POST /api/v1/system/setup`: claims the appliance in one step, on the host.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// DNS names (suffixes) that certificates may be for.
    pub names: Vec<String>,
    /// Networks whose addresses certificates may be for.
    pub networks: Vec<String>,
    /// The first operator.
    pub operator: FirstOperator,
    /// The operator's password. Without one the appliance makes one.
    #[schema(value_type = Option<String>, format = Password)]
    pub password: Option<SecretText>,
    /// Public half of the recovery kit: an X25519 public key.
    pub recovery_public_key: Option<Base64>,
    /// Whether there shall be no recovery kit: a lost master key is lost then.
    #[serde(default)]
    pub without_recovery_kit: bool,
}

/// The first operator's account.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FirstOperator {
    /// User name.
    #[schema(value_type = String)]
    pub user_name: UserName,
    /// Display name.
    #[schema(value_type = String)]
    pub display_name: DisplayName,
}

/// The appliance was claimed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SetupDone {
    /// The operator's account.
    pub operator: AccountView,
    /// The password the appliance made, told this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_password: Option<String>,
    /// SHA-256 of the root certificate, in hex.
    pub root_fingerprint: String,
    /// Where the console is from now on, when a name or an address of it is known.
    pub urls: Vec<String>,
}

/// `POST /api/v1/system/setup/code`.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskSetupCode {
    /// Whether to make a new one even when one holds.
    #[serde(default)]
    pub new: bool,
}

/// The setup code, and where to type it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SetupCodeView {
    /// The code.
    pub code: String,
    /// Until when it holds.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// How many wrong codes are still taken.
    pub tries_left: u8,
    /// Where the setup page is. The appliance knows its addresses only where the configuration names them.
    pub urls: Vec<String>,
    /// SHA-256 of the certificate that TLS presents until the claim, in hex.
    pub fingerprint: String,
}

/// A link by which an operator sets a new password, once.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RecoveryLink {
    /// The operator.
    #[schema(value_type = String)]
    pub user_name: UserName,
    /// The link; told this once.
    pub url: String,
    /// Until when it holds.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// `POST /api/v1/recovery`: sets a new password by a one-time link.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UseRecoveryLink {
    /// What stands behind the `#` of the link.
    #[schema(value_type = String, format = Password)]
    pub token: SecretText,
    /// The new password, sealed (plaintext `{"new_password":…}`).
    pub sealed: Sealed,
}

/// Whose password was set.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Recovered {
    /// The operator.
    #[schema(value_type = String)]
    pub user_name: UserName,
}

/// A link that was asked for on the host.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RecoveryNotice {
    /// For which operator.
    #[schema(value_type = String)]
    pub user_name: UserName,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub asked_at: Timestamp,
    /// Until when the link holds, or held.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// When it was used; absent when it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub used_at: Option<Timestamp>,
}

/// What every operator should know of.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Notices {
    /// Recovery links of the last thirty days, newest first.
    pub recoveries: Vec<RecoveryNotice>,
}

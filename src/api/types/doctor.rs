// SPDX-License-Identifier: AGPL-3.0-or-later
//! Shapes of what watches the appliance: checks, and tokens of programs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::values::id::ApiTokenId;
use crate::values::name::Label;
use crate::values::time::Timestamp;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warn,
    /// It does not work, or not for long.
    Fail,
}

impl CheckState {
    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// What, in a word that stays the same.
    pub name: String,
    /// How it is.
    pub state: CheckState,
    /// What was seen.
    pub says: String,
    /// What to do about it; absent when all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
}

impl Check {
    /// All is well.
    pub fn ok(name: &str, says: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state: CheckState::Ok, says: says.into(), way_out: None }
    }

    /// It works, for now.
    pub fn warn(name: &str, says: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state: CheckState::Warn, says: says.into(), way_out: Some(way_out.into()) }
    }

    /// It does not work.
    pub fn fail(name: &str, says: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { state: CheckState::Fail, ..Self::warn(name, says, way_out) }
    }
}

/// `GET /api/v1/system/doctor`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Checkup {
    /// All of them.
    pub checks: Vec<Check>,
}

impl Checkup {
    /// How the worst of them is.
    pub fn worst(&self) -> CheckState {
        self.checks.iter().map(|check| check.state).max().unwrap_or(CheckState::Ok)
    }
}

/// `POST /api/v1/system/tokens`: a token for a program that watches the appliance.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApiToken {
    /// Whose it is, such as `prometheus`.
    #[schema(value_type = String, min_length = 1)]
    pub name: Label,
    /// After how many days it ends by itself; without it, it does not.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3650)]
    pub days: Option<u32>,
}

/// A token, without what it is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiTokenView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    pub id: ApiTokenId,
    /// Whose it is.
    #[schema(value_type = String)]
    pub name: Label,
    /// What it opens: `metrics`.
    pub scope: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Until when; absent when for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// A token that was made just now.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiTokenMade {
    /// The token, told this once: `Authorization: Bearer …`.
    pub token: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub view: ApiTokenView,
}

/// `GET /api/v1/system/tokens`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiTokenList {
    /// The oldest first.
    pub tokens: Vec<ApiTokenView>,
}

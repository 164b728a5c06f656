// SPDX-License-Identifier: AGPL-3.0-or-later
//! The shapes of what is the same for the whole appliance: who runs it, where its data is, whether it has voice.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::types::object;
use crate::values::name::Label;

/// Who runs the appliance. Stored as it is shown.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OperatorIdentity {
    /// The organisation.
    pub name: Label,
    /// Its postal address.
    pub address: Label,
    /// How to reach it.
    pub contact: Label,
    /// Who answers questions about privacy, and how to reach them.
    pub privacy_contact: Label,
}

/// A supervisory authority.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuthorityView {
    /// Its country (ISO 3166-1, two letters).
    pub country: String,
    /// What it is called.
    pub name: String,
    /// Where it is found.
    pub website: String,
}

/// Supervisory authorities by country.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuthorityList {
    /// All of the EU and the EEA.
    pub authorities: Vec<AuthorityView>,
}

/// Who runs this, for everybody.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OperatorView {
    /// The operator.
    pub operator: OperatorIdentity,
    /// To whom people may complain.
    pub supervisory_authority: AuthorityView,
    /// Where the data is, as the operator says; empty when they said nothing.
    pub residency: Label,
}

/// What is the same for the whole appliance.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ApplianceView {
    /// Whether voice is forwarded at all.
    pub voice: bool,
    /// Who runs it.
    pub operator: OperatorIdentity,
    /// To whom people may complain.
    pub supervisory_authority: AuthorityView,
    /// Where the data is.
    pub residency: Label,
}

/// `PATCH /api/v1/system/appliance`: what is named is changed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateAppliance {
    /// Forward voice at all. Every live meeting follows at once.
    pub voice: Option<bool>,
    /// Who runs it, as a whole.
    #[serde(default, deserialize_with = "object::optional")]
    pub operator: Option<OperatorIdentity>,
    /// Country of the supervisory authority: one of `GET /api/v1/supervisory-authorities`.
    pub supervisory_authority: Option<String>,
    /// Where the data is.
    pub residency: Option<Label>,
}

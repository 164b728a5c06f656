// SPDX-License-Identifier: AGPL-3.0-or-later
//! The refusals that many routes share, for the API document.

use std::collections::BTreeMap;

use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::api::error::ProblemBody;

/// What every route about something in a workspace may answer instead.
pub struct Refusals;

/// What it may answer besides when it takes a body.
pub struct BodyRefusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        of(&["401", "403", "404", "503"])
    }
}

impl IntoResponses for BodyRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        of(&["400", "413", "415"])
    }
}

fn of(statuses: &[&str]) -> BTreeMap<String, RefOr<Response>> {
    let body = Content::new(Some(Ref::from_schema_name(ProblemBody::name())));
    let response = ResponseBuilder::new().content("application/problem+json", body).build();
    statuses.iter().map(|status| ((*status).to_owned(), RefOr::T(response.clone()))).collect()
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! The refusals of routes, for the API document. All have one shape: which it is says `code`.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::ToSchema;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{Components, Content, Ref, RefOr, Response, ResponseBuilder};

use crate::api::error::ProblemBody;

/// The name of the one response that all refusals are.
const PROBLEM: &str = "Problem";
/// What any request may be answered: it cannot be read, its sender sends too many, the appliance fails, or it cannot
/// now.
const EVERYWHERE: [u16; 4] = [400, 429, 500, 503];

/// What every route about something in a workspace may answer besides.
pub struct Refusals;

/// What a route may answer besides when it takes a body.
pub struct BodyRefusals;

/// One status that a route refuses with besides.
pub struct Refused<const STATUS: u16>;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        of(&[401, 403, 404])
    }
}

impl IntoResponses for BodyRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        of(&[400, 408, 413, 415])
    }
}

impl<const STATUS: u16> IntoResponses for Refused<STATUS> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        of(&[STATUS])
    }
}

fn of(statuses: &[u16]) -> BTreeMap<String, RefOr<Response>> {
    statuses.iter().map(|status| (status.to_string(), RefOr::Ref(Ref::from_response_name(PROBLEM)))).collect()
}

/// Adds what any request may be answered.
pub fn add_common(operation: &mut Operation) {
    operation.responses.responses.extend(of(&EVERYWHERE));
}

/// Describes a refusal, once.
pub fn add_problem(components: &mut Components) {
    let body = Content::new(Some(Ref::from_schema_name(ProblemBody::name())));
    let problem = ResponseBuilder::new()
        .description("Refused; `code` says why, `way_out` what to do next (docs/problems.md).")
        .content("application/problem+json", body);
    components.responses.insert(PROBLEM.to_owned(), problem.build().into());
}

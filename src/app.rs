// SPDX-License-Identifier: AGPL-3.0-or-later
//! The one router of the appliance: services that never name each other meet here.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;

use crate::api::error::Problem;
use crate::api::services::Services;
use crate::{api, console};

/// Everything that HTTPS and the admin socket serve.
pub fn router(services: &Arc<Services>) -> Router {
    let not_found = || Problem::NotFound.into_response();
    api::finish(api::routes(services).merge(console::routes(services.store.system(), not_found)), services)
}

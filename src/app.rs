// SPDX-License-Identifier: AGPL-3.0-or-later
//! The one router of the appliance: services that never name each other meet here.

use std::sync::Arc;

use axum::Router;

use crate::api::services::Services;
use crate::{api, console};

/// Everything that HTTPS and the admin socket serve.
pub fn router(services: &Arc<Services>) -> Router {
    api::finish(api::routes(services).merge(console::routes()))
}

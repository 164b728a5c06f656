// SPDX-License-Identifier: AGPL-3.0-or-later
//! Doors for the tests, on the admin socket only. Not in a shipped binary: the whole file is behind `test-hooks`.

use std::path::PathBuf;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use crate::api::error::Problem;
use crate::api::extract::Json;
use crate::api::life;
use crate::api::principal::LocalOperator;
use crate::api::services::App;
use crate::platform::probe;
use crate::values::time::Timestamp;

/// Moves the clock.
#[derive(Debug, Serialize, Deserialize)]
pub struct AdvanceClock {
    /// By so many milliseconds; backwards when negative.
    pub millis: i64,
}

/// Holds the clock.
#[derive(Debug, Serialize, Deserialize)]
pub struct HoldClock {
    /// At this moment, in milliseconds since the epoch; without one it runs again.
    pub at_millis: Option<i64>,
}

/// Writes what a relay sees.
#[derive(Debug, Serialize, Deserialize)]
pub struct OpenTap {
    /// Into this directory.
    pub directory: PathBuf,
}

/// What lives on the runtimes.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tasks {
    /// Tasks that are not done.
    pub alive: usize,
}

/// The routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/test-hooks/clock", post(advance_clock))
        .route("/test-hooks/clock/hold", post(hold_clock))
        .route("/test-hooks/tick", post(tick))
        .route("/test-hooks/tap", post(open_tap))
        .route("/test-hooks/tasks", get(tasks))
}

async fn advance_clock(
    State(app): State<App>,
    _local: LocalOperator,
    Json(request): Json<AdvanceClock>,
) -> Result<StatusCode, Problem> {
    app.clock.advance_millis(request.millis);
    Ok(StatusCode::NO_CONTENT)
}

async fn hold_clock(
    State(app): State<App>,
    _local: LocalOperator,
    Json(request): Json<HoldClock>,
) -> Result<StatusCode, Problem> {
    app.clock.hold(request.at_millis.map(Timestamp::from_millis));
    Ok(StatusCode::NO_CONTENT)
}

/// Does at once what the appliance does every minute.
async fn tick(State(app): State<App>, _local: LocalOperator) -> Result<StatusCode, Problem> {
    life::keep_up(&app).await;
    if let Err(error) = app.trust.renew(&app.store).await {
        tracing::error!(error = %error, "certificates cannot be renewed");
    }
    app.store.write_anchor(&app.clock).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Opens the tap of the relay.
async fn open_tap(_local: LocalOperator, Json(request): Json<OpenTap>) -> Result<StatusCode, Problem> {
    probe::open_tap(&request.directory).map_err(|_| Problem::Internal)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn tasks(_local: LocalOperator) -> axum::Json<Tasks> {
    axum::Json(Tasks { alive: probe::tasks() })
}

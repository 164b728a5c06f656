// SPDX-License-Identifier: AGPL-3.0-or-later
//! The life of a workspace: steps that operators take, and what time does by itself.
//!
//! The registry is changed first, then the sessions are ended in the workspace's own file: whoever signs in between finds
//! the registry changed, whoever signed in before is found by the second write.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::approvals;
use crate::api::error::{BodyRefusals, Problem, Refusals, Refused};
use crate::api::extract::{Json, Path};
use crate::api::principal::{Caller, Operator};
use crate::api::services::{App, Services};
use crate::api::types::workspaces::{LifeStep, WorkspaceView};
use crate::api::workspaces::{WorkspacePath, told, view};
use crate::core::approval::Deed;
use crate::core::audit::{Event, Outcome};
use crate::core::workspace::{COOLING_OFF, Step};
use crate::platform::store::registry::Entry;
use crate::platform::store::sessions;
use crate::platform::store::workspace::Write;
use crate::values::id::WorkspaceId;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Days of a cooling-off at most.
const COOLING_OFF_MAX: u16 = 365;

/// This file's routes, below `/api/v1/system`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(take_step))
}

/// Take a step in the life of a workspace: extend its trial, subscribe, suspend, resume, close or reopen it. What stops
/// people ends their sessions and meetings at once, and deletes nothing.
#[utoipa::path(post, path = "/workspaces/{workspace}/life", tag = "workspaces", params(("workspace" = String, Path, format = Uuid)), request_body = LifeStep, responses(
    (status = 200, body = WorkspaceView),
    Refused<409>,
    Refusals, BodyRefusals,
), security(("bearer" = [])))]
async fn take_step(
    State(app): State<App>,
    operator: Operator,
    Path(WorkspacePath { workspace }): Path<WorkspacePath>,
    Json(request): Json<LifeStep>,
) -> Result<axum::Json<WorkspaceView>, Problem> {
    let now = app.clock.now();
    let (action, step, approval) = match request {
        LifeStep::Extend { ends_at } => ("workspace.extend", Step::Extend { ends_at }, None),
        LifeStep::Subscribe {} => ("workspace.subscribe", Step::Subscribe, None),
        LifeStep::Suspend {} => ("workspace.suspend", Step::Suspend, None),
        LifeStep::Resume {} => ("workspace.resume", Step::Resume, None),
        LifeStep::Reopen {} => ("workspace.reopen", Step::Reopen, None),
        LifeStep::Close { approval, cooling_off_days } => {
            let days = cooling_off_days.map(|days| DAY * u32::from(days));
            if cooling_off_days.is_some_and(|days| days > COOLING_OFF_MAX) {
                return Err(Problem::InvalidBody(format!("`cooling_off_days` is 0 to {COOLING_OFF_MAX}")));
            }
            ("workspace.close", Step::Close { purge_at: now + days.unwrap_or(COOLING_OFF) }, Some(approval))
        }
    };
    let mut event = operator.caller.event(action, format!("workspace:{workspace}"), Outcome::Allowed);
    let (registry, caller) = (app.store.registry().clone(), operator.caller);
    let write = move |write: &Write<'_>| {
        let Some(before) = registry.entry(workspace) else { return Ok(Err(Problem::NotFound)) };
        let life = match before.life.after(step, now) {
            Ok(life) => life,
            Err(not_now) => return Ok(Err(Problem::Conflict(format!("{not_now}.")))),
        };
        if let Some(approval) = approval
            && let Err(problem) =
                approvals::use_up(write, approval, Deed::CloseWorkspace, *workspace.as_bytes(), caller, now)?
        {
            return Ok(Err(problem));
        }
        let after = Entry { life, ..before };
        // The name is its own.
        let _ = registry.update(write, &after, now)?;
        event.detail = told(&after);
        write.audit(&event, now)?;
        Ok(Ok((after, event)))
    };
    let (after, event) = app.store.system().write(write).await??;
    if after.life.standstill(now).is_some() {
        stop_people(&app, workspace, event).await;
    }
    Ok(axum::Json(view(&app, after).await))
}

/// Ends every session of a workspace, and every meeting; its own audit says why. A file that cannot be written keeps
/// rows of sessions that the registry refuses.
async fn stop_people(app: &Services, workspace: WorkspaceId, event: Event) {
    let (now, hub) = (app.clock.now(), Arc::clone(&app.hub));
    let write = move |write: &Write<'_>| {
        sessions::delete_all(write)?;
        write.after_commit(move || hub.end_workspace(workspace));
        write.audit(&event, now)
    };
    let written = async { app.store.workspace(workspace).await?.write(write).await };
    if let Err(error) = written.await {
        tracing::error!(workspace.id = %workspace, error = %error, "the sessions of a workspace that is stopped cannot be deleted");
        app.hub.end_workspace(workspace);
    }
}

/// What time does: ends the sessions of workspaces whose trial is over, and destroys those whose cooling-off is.
pub async fn keep_up(app: &Services) {
    let now = app.clock.now();
    let (mut stopped, mut due) = (HashSet::new(), Vec::new());
    for entry in app.store.registry().all() {
        if entry.life.is_to_be_purged(now) {
            due.push(entry.id);
        } else if entry.life.standstill(now).is_some() {
            stopped.insert(entry.id);
        }
    }
    let before = std::mem::replace(&mut *app.stopped(), stopped.clone());
    for workspace in stopped.difference(&before) {
        let target = format!("workspace:{workspace}");
        stop_people(app, *workspace, Caller::APPLIANCE.event("workspace.stop", target, Outcome::Allowed)).await;
    }
    for workspace in due {
        if let Err(problem) = purge(app, workspace).await {
            tracing::error!(workspace.id = %workspace, problem.code = problem.code(), "a closed workspace cannot be deleted");
        }
    }
}

/// Destroys a workspace for good: its keys, then its files, then its place in the registry. After a crash in between it
/// is still closed, and this is done again.
async fn purge(app: &Services, workspace: WorkspaceId) -> Result<(), Problem> {
    app.hub.end_workspace(workspace);
    app.store.shred(workspace).await?;
    let (now, registry) = (app.clock.now(), app.store.registry().clone());
    let event = Caller::APPLIANCE.event("workspace.purge", format!("workspace:{workspace}"), Outcome::Allowed);
    let write = move |write: &Write<'_>| {
        registry.remove(write, workspace)?;
        write.audit(&event, now)
    };
    app.store.system().write(write).await?;
    tracing::info!(workspace.id = %workspace, "a closed workspace was deleted: its keys are destroyed");
    Ok(())
}

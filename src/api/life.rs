// SPDX-License-Identifier: AGPL-3.0-or-later
//! The life of a workspace: steps that operators take, and what time does by itself.
//!
//! The registry is changed first, then the sessions are ended in the workspace's own file: whoever signs in between finds
//! the registry changed, whoever signed in before is found by the second write.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::State;
use rusqlite::Connection;
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
use crate::core::workspace::leap::Seen;
use crate::core::workspace::{COOLING_OFF_DAYS, DAY, NotNow, Step};
use crate::platform::store::error::StoreError;
use crate::platform::store::registry::Entry;
use crate::platform::store::workspace::Write;
use crate::platform::store::{clock_seen, purges, sessions};
use crate::values::id::WorkspaceId;
use crate::values::time::Timestamp;

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
        LifeStep::Reopen {} => ("workspace.reopen", Step::Reopen { is_kept: false }, None),
        LifeStep::Close { approval, cooling_off_days } => {
            let days = cooling_off_days.unwrap_or(*COOLING_OFF_DAYS.start());
            if !COOLING_OFF_DAYS.contains(&days) {
                let (least, most) = (COOLING_OFF_DAYS.start(), COOLING_OFF_DAYS.end());
                return Err(Problem::InvalidBody(format!("`cooling_off_days` is {least} to {most}")));
            }
            ("workspace.close", Step::Close { purge_at: now + DAY * u32::from(days) }, Some(approval))
        }
    };
    let mut event = operator.caller.event(action, format!("workspace:{workspace}"), Outcome::Allowed);
    let (registry, caller, clock) = (app.store.registry().clone(), operator.caller, app.clock.clone());
    let write = move |write: &Write<'_>| {
        // The moment of the write counts: a step that waited must not come after the end of a cooling-off.
        let now = clock.now();
        let Some(before) = registry.entry(workspace) else { return Ok(Err(Problem::NotFound)) };
        let step = match step {
            Step::Reopen { .. } if purges::has_begun(write.sql(), workspace)? => {
                return Ok(Err(Problem::Conflict(format!("{}.", NotNow::TooLate))));
            }
            Step::Reopen { .. } => Step::Reopen { is_kept: look(write.sql(), now)?.doubt.is_some() },
            step => step,
        };
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
        if after.life.purge_at.is_some() && !registry.any_cools_off() {
            // What was seen when another one cooled off is long ago.
            clock_seen::set(write, Seen::first(now))?;
        }
        // The name is its own.
        let _ = registry.update(write, &after, now)?;
        event.detail = told(&after);
        write.audit(&event, now)?;
        Ok(Ok((after, event)))
    };
    let (after, event) = operator.write(&app, write).await?;
    if after.life.standstill(now).is_some() && stop_people(&app, workspace, event).await {
        app.stopped().insert(workspace);
    }
    Ok(axum::Json(view(&app, after).await))
}

/// Ends every session of a workspace, and every meeting; its own audit says why. When its file cannot be written the
/// registry refuses the sessions that stay, and `keep_up` tries again.
async fn stop_people(app: &Services, workspace: WorkspaceId, event: Event) -> bool {
    let (now, hub) = (app.clock.now(), Arc::clone(&app.hub));
    let write = move |write: &Write<'_>| {
        sessions::delete_all(write)?;
        write.after_commit(move || hub.end_workspace(workspace));
        write.audit(&event, now)
    };
    let written = async { app.store.workspace(workspace).await?.write(write).await };
    let Err(error) = written.await else { return true };
    tracing::error!(workspace.id = %workspace, error = %error, "the sessions of a workspace that is stopped cannot be deleted");
    app.hub.end_workspace(workspace);
    false
}

/// What time does: ends the sessions of workspaces whose trial is over, and destroys those whose cooling-off is.
pub async fn keep_up(app: &Services) {
    if app.store.system().state() != "open" {
        // An older registry knows nothing of what was extended, resumed or reopened since.
        return;
    }
    let now = app.clock.now();
    let (is_kept, begun) =
        if app.store.registry().any_cools_off() { look_around(app, now).await } else { (false, HashSet::new()) };
    let (mut stopped, mut due) = (HashSet::new(), Vec::new());
    for entry in app.store.registry().all() {
        if begun.contains(&entry.id) || entry.life.is_to_be_purged(now) && !is_kept {
            due.push(entry.id);
        } else if entry.life.standstill(now).is_some() {
            stopped.insert(entry.id);
        }
    }
    app.stopped().retain(|workspace| stopped.contains(workspace));
    let before = app.stopped().clone();
    for workspace in stopped.difference(&before) {
        let target = format!("workspace:{workspace}");
        let event = Caller::APPLIANCE.event("workspace.stop", target, Outcome::Allowed);
        if stop_people(app, *workspace, event).await {
            app.stopped().insert(*workspace);
        }
    }
    for workspace in due {
        if let Err(problem) = purge(app, workspace).await {
            tracing::error!(workspace.id = %workspace, problem.code = problem.code(), "a closed workspace cannot be deleted");
        }
    }
}

/// What is seen of the clock now, after what was kept.
fn look(database: &Connection, now: Timestamp) -> rusqlite::Result<Seen> {
    Ok(Seen::look(clock_seen::get(database)?, now))
}

/// While a workspace cools off: whether nothing is to be deleted, as the clock leapt or nobody can tell; and which deletions
/// have begun, whatever time it is now.
async fn look_around(app: &Services, now: Timestamp) -> (bool, HashSet<WorkspaceId>) {
    let looked = async {
        let read = |sql: &Connection| Ok((clock_seen::get(sql)?, purges::begun(sql)?));
        let (kept, begun) = app.store.system().read(read).await?;
        let seen = Seen::look(kept, now);
        if kept.is_none_or(|kept| kept.is_outdated_by(seen)) {
            app.store.system().write(move |write| clock_seen::set(write, seen)).await?;
        }
        let before = kept.and_then(|kept| kept.doubt);
        match seen.doubt {
            Some(doubt) if doubt.ran.is_zero() && before.is_none_or(|before| !before.ran.is_zero()) => {
                let before = doubt.before.map(tracing::field::display);
                tracing::warn!(clock.before = before, clock.now = %now, "the clock may have leapt ahead: no closed workspace is deleted for now");
            }
            _ => {}
        }
        Ok::<_, StoreError>((seen.doubt.is_some(), begun))
    };
    looked.await.unwrap_or_else(|error| {
        tracing::error!(error = %error, "nobody can tell whether the clock leapt: no closed workspace is deleted");
        (true, HashSet::new())
    })
}

/// Destroys a workspace for good: on record first, then its keys, then its files, then its place in the registry. After a
/// crash in between it is still closed, and this is done again.
async fn purge(app: &Services, workspace: WorkspaceId) -> Result<(), Problem> {
    let (clock, registry) = (app.clock.clone(), app.store.registry().clone());
    let event = Caller::APPLIANCE.event("workspace.purge", format!("workspace:{workspace}"), Outcome::Allowed);
    let begin = move |write: &Write<'_>| {
        let now = clock.now();
        if purges::has_begun(write.sql(), workspace)? {
            return Ok(true);
        }
        // It may have been reopened while this waited. From this moment on it cannot be any more.
        let is_over = registry.entry(workspace).is_some_and(|entry| entry.life.is_to_be_purged(now));
        let is_due = is_over && look(write.sql(), now)?.doubt.is_none();
        if is_due {
            purges::begin(write, workspace)?;
            write.audit(&event, now)?;
        }
        Ok(is_due)
    };
    if !app.store.system().write(begin).await? {
        return Ok(());
    }
    app.hub.end_workspace(workspace);
    app.store.shred(workspace).await?;
    let registry = app.store.registry().clone();
    let end = move |write: &Write<'_>| {
        registry.remove(write, workspace)?;
        purges::end(write, workspace)
    };
    app.store.system().write(end).await?;
    tracing::info!(workspace.id = %workspace, "a closed workspace was deleted: its keys are destroyed");
    Ok(())
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! The workspaces of the appliance, for operators.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::agreement;
use crate::api::claim;
use crate::api::error::{BodyRefusals, Problem, Refusals, Refused};
use crate::api::etag::{ETag, IfMatch};
use crate::api::extract::{Json, Path, Query};
use crate::api::idempotency;
use crate::api::page::{Limit, Page};
use crate::api::principal::{Operator, existing_workspace};
use crate::api::services::{App, Services};
use crate::api::types::workspaces::{CreateWorkspace, UpdateWorkspace, WorkspaceList, WorkspaceView};
use crate::core::audit::Outcome;
use crate::core::workspace::{DAY, Life, Term};
use crate::platform::store::registry::{Entry, NameTaken};
use crate::platform::store::workspace::Write;
use crate::platform::store::{accounts, agreements, sessions};
use crate::values::id::WorkspaceId;
use crate::values::name::WorkspaceName;

/// Days of a trial at most.
const TRIAL_MAX: u16 = 365;

/// This file's routes, below `/api/v1/system`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(idempotency::on(routes!(list, create)))
        .routes(routes!(show, update))
        .routes(routes!(accept_rollback))
}

/// List workspaces.
#[utoipa::path(get, path = "/workspaces", tag = "workspaces", params(Page<WorkspaceName>), responses(
    (status = 200, body = WorkspaceList),
    Refused<401>, Refused<403>,
), security(("bearer" = [])))]
async fn list(
    State(app): State<App>,
    _operator: Operator,
    Query(page): Query<Page<WorkspaceName>>,
) -> Result<axum::Json<WorkspaceList>, Problem> {
    let (registry, limit) = (app.store.registry(), Limit::asked(page.limit));
    let mut entries = match page.name {
        // Also under a former name.
        Some(name) => registry.find(&name, app.clock.now()).into_iter().collect(),
        None => registry.page(page.after.as_ref(), limit.look_for()),
    };
    let next = limit.cut(&mut entries, |entry| entry.name.clone());
    let mut workspaces = Vec::with_capacity(entries.len());
    for entry in entries {
        workspaces.push(view(&app, entry).await);
    }
    Ok(axum::Json(WorkspaceList { workspaces, next }))
}

/// Create a workspace.
#[utoipa::path(post, path = "/workspaces", tag = "workspaces", request_body = CreateWorkspace, responses(
    (status = 201, body = WorkspaceView),
    Refused<401>, BodyRefusals, Refused<403>, Refused<409>,
), security(("bearer" = [])))]
async fn create(
    State(app): State<App>,
    operator: Operator,
    Json(request): Json<CreateWorkspace>,
) -> Result<(StatusCode, axum::Json<WorkspaceView>), Problem> {
    claim::require_claimed(&app).await?;
    let now = app.clock.now();
    let life = match request.trial_days {
        None => Life::SUBSCRIBED,
        Some(days @ 1..=TRIAL_MAX) => Life::trial(now + DAY * u32::from(days)),
        Some(_) => return Err(Problem::InvalidBody(format!("`trial_days` is 1 to {TRIAL_MAX}"))),
    };
    if request.name == WorkspaceName::system() || app.store.registry().find(&request.name, now).is_some() {
        return Err(Problem::WorkspaceNameTaken);
    }
    // Keys and file first; the workspace exists once it is in the registry.
    let workspace = app.store.create_workspace().await?;
    let entry = Entry {
        id: workspace.id(),
        name: request.name,
        life,
        seats: request.seats.filter(|seats| *seats > 0),
        residency: request.residency.unwrap_or_default(),
        created_at: now,
    };
    let mut event = operator.caller.event("workspace.create", format!("workspace:{}", entry.id), Outcome::Allowed);
    event.detail = told(&entry);
    let (registry, stored, recorded) = (app.store.registry().clone(), entry.clone(), event.clone());
    let write = move |write: &Write<'_>| match registry.insert(write, &stored)? {
        Ok(()) => write.audit(&recorded, now).map(Ok),
        Err(NameTaken) => Ok(Err(Problem::WorkspaceNameTaken)),
    };
    if let Err(problem) = operator.write(&app, write).await {
        // Nobody has anything in it.
        app.store.shred(entry.id).await?;
        return Err(problem);
    }
    let accepted = match request.agreement_accepted_by {
        Some(person) => Some((agreement::present(&app).await?, person)),
        None => None,
    };
    let caller = operator.caller;
    let write = move |write: &Write<'_>| {
        write.audit(&event, now)?;
        match accepted {
            Some((agreement, person)) => agreement::accept(write, &agreement, person, caller, now),
            None => Ok(()),
        }
    };
    workspace.write(write).await?;
    Ok((StatusCode::CREATED, axum::Json(view(&app, entry).await)))
}

#[derive(Deserialize)]
pub(super) struct WorkspacePath {
    pub workspace: WorkspaceId,
}

pub(super) fn entry_of(app: &Services, id: WorkspaceId) -> Result<Entry, Problem> {
    app.store.registry().entry(id).ok_or(Problem::NotFound)
}

/// Show a workspace. Its ETag is of what operators decide, for `If-Match`; state and counts are not in it.
#[utoipa::path(get, path = "/workspaces/{workspace}", tag = "workspaces", params(("workspace" = String, Path, format = Uuid)), responses(
    (status = 200, body = WorkspaceView, headers(("ETag" = String))),
    Refusals,
), security(("bearer" = [])))]
async fn show(
    State(app): State<App>,
    _operator: Operator,
    Path(WorkspacePath { workspace }): Path<WorkspacePath>,
) -> Result<Response, Problem> {
    let entry = entry_of(&app, workspace)?;
    let tag = tag(&entry);
    Ok(tag.with(&view(&app, entry).await))
}

/// The entity tag of what operators decide about a workspace.
fn tag(entry: &Entry) -> ETag {
    let purge_at = entry.life.purge_at.map(|at| at.to_string()).unwrap_or_default();
    ETag::of_bytes(format!("{} {purge_at} {}", entry.id, told(entry)).as_bytes())
}

/// Rename a workspace, or change its seats or where its data is said to be. Its former name leads to it for 90 days.
#[utoipa::path(patch, path = "/workspaces/{workspace}", tag = "workspaces", params(("workspace" = String, Path, format = Uuid), IfMatch), request_body = UpdateWorkspace, responses(
    (status = 200, body = WorkspaceView, headers(("ETag" = String))),
    Refused<409>, Refused<412>, Refusals, BodyRefusals,
), security(("bearer" = [])))]
async fn update(
    State(app): State<App>,
    operator: Operator,
    Path(WorkspacePath { workspace }): Path<WorkspacePath>,
    expected: IfMatch,
    Json(request): Json<UpdateWorkspace>,
) -> Result<Response, Problem> {
    let now = app.clock.now();
    let mut event = operator.caller.event("workspace.update", format!("workspace:{workspace}"), Outcome::Allowed);
    let registry = app.store.registry().clone();
    let write = move |write: &Write<'_>| {
        let Some(before) = registry.entry(workspace) else { return Ok(Err(Problem::NotFound)) };
        if let Err(problem) = expected.check(|| tag(&before)) {
            return Ok(Err(problem));
        }
        let after = Entry {
            name: request.name.unwrap_or_else(|| before.name.clone()),
            seats: request.seats.map_or(before.seats, |seats| Some(seats).filter(|seats| *seats > 0)),
            residency: request.residency.unwrap_or_else(|| before.residency.clone()),
            ..before.clone()
        };
        if after == before {
            return Ok(Ok(after));
        }
        if registry.update(write, &after, now)?.is_err() {
            return Ok(Err(Problem::WorkspaceNameTaken));
        }
        event.detail = told(&after);
        write.audit(&event, now)?;
        Ok(Ok(after))
    };
    let after = operator.write(&app, write).await?;
    let tag = tag(&after);
    Ok(tag.with(&view(&app, after).await))
}

/// A workspace for the audit.
pub(super) fn told(entry: &Entry) -> String {
    let seats = entry.seats.map_or_else(|| "any number of".to_owned(), |seats| seats.to_string());
    let end = match entry.life.term {
        Term::Trial { ends_at } => format!(" until {ends_at}"),
        Term::Subscribed => String::new(),
    };
    format!(
        "{}: {}{end}, {seats} seats, residency {:?}",
        entry.name,
        entry.life.stage().as_str(),
        entry.residency.as_str()
    )
}

/// Accept a rolled-back file as it is, after a restore on purpose.
#[utoipa::path(post, path = "/workspaces/{workspace}/accept-rollback", tag = "workspaces", params(("workspace" = String, Path, format = Uuid)), responses(
    (status = 204),
    Refused<409>, Refusals,
), security(("bearer" = [])))]
async fn accept_rollback(
    State(app): State<App>,
    operator: Operator,
    Path(WorkspacePath { workspace }): Path<WorkspacePath>,
) -> Result<StatusCode, Problem> {
    let workspace = existing_workspace(&app, workspace).await?;
    if workspace.state() != "rolled-back" {
        return Err(Problem::Conflict(format!("The workspace is in state {}, not rolled-back.", workspace.state())));
    }
    let event =
        operator.caller.event("workspace.accept_rollback", format!("workspace:{}", workspace.id()), Outcome::Allowed);
    app.store.accept_rollback(&workspace, event, &app.clock).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a file says of its workspace.
struct Counts {
    accounts: u64,
    seats_taken: u64,
    sessions: u64,
    agreement_accepted: bool,
}

/// A workspace with its state; counts only when it can be read.
pub(super) async fn view(app: &Services, entry: Entry) -> WorkspaceView {
    let (state, reason) = app.store.state_of(entry.id).await;
    let now = app.clock.now();
    let counts = match app.store.workspace(entry.id).await {
        Ok(workspace) => {
            let read = move |database: &rusqlite::Connection| {
                Ok(Counts {
                    accounts: accounts::count(database)?,
                    seats_taken: accounts::count_seats(database)?,
                    sessions: sessions::count_live(database, now)?,
                    agreement_accepted: agreements::is_any(database)?,
                })
            };
            workspace.read(read).await.ok()
        }
        Err(_) => None,
    };
    let trial_ends_at = match entry.life.term {
        Term::Trial { ends_at } => Some(ends_at),
        Term::Subscribed => None,
    };
    WorkspaceView {
        id: entry.id,
        name: entry.name,
        state: state.to_owned(),
        reason,
        stage: entry.life.stage().as_str().to_owned(),
        standstill: entry.life.standstill(now).map(|standstill| Problem::from(standstill).code().to_owned()),
        trial_ends_at,
        purge_at: entry.life.purge_at,
        seats: entry.seats,
        seats_taken: counts.as_ref().map(|counts| counts.seats_taken),
        residency: entry.residency,
        agreement_accepted: counts.as_ref().map(|counts| counts.agreement_accepted),
        created_at: entry.created_at,
        accounts: counts.as_ref().map(|counts| counts.accounts),
        sessions: counts.as_ref().map(|counts| counts.sessions),
    }
}

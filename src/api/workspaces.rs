// SPDX-License-Identifier: AGPL-3.0-or-later
//! The workspaces of the appliance, for operators.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::claim;
use crate::api::error::{Problem, ProblemBody};
use crate::api::extract::{Json, Path, Query};
use crate::api::principal::{Operator, existing_workspace};
use crate::api::services::{App, Services};
use crate::api::types::{CreateWorkspace, UpdateWorkspace, WorkspaceList, WorkspaceView};
use crate::core::audit::Outcome;
use crate::platform::store::registry::{self, Entry};
use crate::platform::store::workspace::Write;
use crate::platform::store::{accounts, sessions};
use crate::values::id::WorkspaceId;
use crate::values::name::WorkspaceName;

/// This file's routes, below `/api/v1/system`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(show, update)).routes(routes!(accept_rollback))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Exactly this name.
    #[param(value_type = Option<String>)]
    name: Option<WorkspaceName>,
}

/// List workspaces.
#[utoipa::path(get, path = "/workspaces", tag = "workspaces", params(Filter), responses(
    (status = 200, body = WorkspaceList),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
), security(("bearer" = [])))]
async fn list(
    State(app): State<App>,
    _operator: Operator,
    Query(filter): Query<Filter>,
) -> Result<axum::Json<WorkspaceList>, Problem> {
    let read = move |database: &rusqlite::Connection| match filter.name {
        Some(name) => Ok(registry::find(database, &name)?.into_iter().collect()),
        None => registry::all(database),
    };
    let entries: Vec<Entry> = app.store.system().read(read).await?;
    let mut workspaces = Vec::with_capacity(entries.len());
    for entry in entries {
        workspaces.push(view(&app, entry).await);
    }
    Ok(axum::Json(WorkspaceList { workspaces }))
}

/// Create a workspace.
#[utoipa::path(post, path = "/workspaces", tag = "workspaces", request_body = CreateWorkspace, responses(
    (status = 201, body = WorkspaceView),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    (status = 413, body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
), security(("bearer" = [])))]
async fn create(
    State(app): State<App>,
    operator: Operator,
    Json(request): Json<CreateWorkspace>,
) -> Result<(StatusCode, axum::Json<WorkspaceView>), Problem> {
    claim::require_claimed(&app).await?;
    let name = request.name.clone();
    let taken = app.store.system().read(move |database| registry::find(database, &name)).await?.is_some();
    if taken || request.name == WorkspaceName::system() {
        return Err(Problem::WorkspaceNameTaken);
    }
    // Keys and file first; the workspace exists once it is in the registry.
    let workspace = app.store.create_workspace().await?;
    let now = app.clock.now();
    let entry = Entry { id: workspace.id(), name: request.name, plain_sign_in: false, created_at: now };
    let event = operator.caller.event("workspace.create", format!("workspace:{}", entry.id), Outcome::Allowed);
    let (stored, recorded) = (entry.clone(), event.clone());
    let write = move |write: &Write<'_>| {
        let inserted = registry::insert(write, &stored)?;
        if inserted {
            write.audit(&recorded, now)?;
        }
        Ok(inserted)
    };
    if !app.store.system().write(write).await? {
        return Err(Problem::WorkspaceNameTaken);
    }
    workspace.write(move |write| write.audit(&event, now)).await?;
    Ok((StatusCode::CREATED, axum::Json(view(&app, entry).await)))
}

#[derive(Deserialize)]
struct WorkspacePath {
    workspace: WorkspaceId,
}

async fn entry_of(app: &Services, id: WorkspaceId) -> Result<Entry, Problem> {
    let found = app.store.system().read(move |database| registry::find_by_id(database, id)).await?;
    found.ok_or(Problem::NotFound)
}

/// Show a workspace.
#[utoipa::path(get, path = "/workspaces/{workspace}", tag = "workspaces", params(("workspace" = String, Path, format = Uuid)), responses(
    (status = 200, body = WorkspaceView),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
), security(("bearer" = [])))]
async fn show(
    State(app): State<App>,
    _operator: Operator,
    Path(WorkspacePath { workspace }): Path<WorkspacePath>,
) -> Result<axum::Json<WorkspaceView>, Problem> {
    let entry = entry_of(&app, workspace).await?;
    Ok(axum::Json(view(&app, entry).await))
}

/// Change a workspace's settings.
#[utoipa::path(patch, path = "/workspaces/{workspace}", tag = "workspaces", params(("workspace" = String, Path, format = Uuid)), request_body = UpdateWorkspace, responses(
    (status = 200, body = WorkspaceView),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 413, body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
), security(("bearer" = [])))]
async fn update(
    State(app): State<App>,
    operator: Operator,
    Path(WorkspacePath { workspace }): Path<WorkspacePath>,
    Json(request): Json<UpdateWorkspace>,
) -> Result<axum::Json<WorkspaceView>, Problem> {
    let mut entry = entry_of(&app, workspace).await?;
    if let Some(allowed) = request.plain_sign_in {
        let now = app.clock.now();
        let mut event = operator.caller.event("workspace.update", format!("workspace:{workspace}"), Outcome::Allowed);
        event.detail = format!("plain sign-in {}", if allowed { "allowed" } else { "refused" });
        let write = move |write: &Write<'_>| {
            registry::set_plain_sign_in(write, workspace, allowed)?;
            write.audit(&event, now)
        };
        app.store.system().write(write).await?;
        entry.plain_sign_in = allowed;
    }
    Ok(axum::Json(view(&app, entry).await))
}

/// Accept a rolled-back file as it is, after a restore on purpose.
#[utoipa::path(post, path = "/workspaces/{workspace}/accept-rollback", tag = "workspaces", params(("workspace" = String, Path, format = Uuid)), responses(
    (status = 204),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
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
    workspace.accept_rollback(event, app.clock.now()).await?;
    app.store.write_anchor(&app.clock).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A workspace with its state; counts only when it can be read.
async fn view(app: &Services, entry: Entry) -> WorkspaceView {
    let (state, reason) = app.store.state_of(entry.id).await;
    let now = app.clock.now();
    let counts = match app.store.workspace(entry.id).await {
        Ok(workspace) => {
            let read = move |database: &rusqlite::Connection| {
                Ok((accounts::count(database)?, sessions::count_live(database, now)?))
            };
            workspace.read(read).await.ok()
        }
        Err(_) => None,
    };
    WorkspaceView {
        id: entry.id,
        name: entry.name,
        state: state.to_owned(),
        reason,
        plain_sign_in: entry.plain_sign_in,
        created_at: entry.created_at,
        accounts: counts.map(|(accounts, _)| accounts),
        sessions: counts.map(|(_, sessions)| sessions),
    }
}

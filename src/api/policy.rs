// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a workspace permits its people. Meetings and sessions follow every change at once.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::error::{BodyRefusals, Problem, Refusals, Refused};
use crate::api::etag::{ETag, IfMatch, IfNoneMatch};
use crate::api::extract::Json;
use crate::api::principal::Administration;
use crate::api::services::{App, Services};
use crate::api::types::workspaces::{UpdateWorkspacePolicy, WorkspacePolicyView};
use crate::core::audit::Outcome;
use crate::core::auth::permission::{Permission, Role};
use crate::core::workspace::policy::WorkspacePolicy;
use crate::platform::store::workspace::Write;
use crate::platform::store::{policy, rooms, sessions};

/// What a person can prove at a sign-in.
const FACTORS: [&str; 1] = ["password"];

/// This file's routes, below `/api/v1` and below `/api/v1/system/workspaces/{workspace}`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show, update))
}

/// Show what the workspace permits.
#[utoipa::path(get, path = "/policy", tag = "policy", params(IfNoneMatch), responses(
    (status = 200, body = WorkspacePolicyView, headers(("ETag" = String))),
    (status = 304, description = "What the caller has is what there is."),
    Refusals,
), security(("bearer" = [])))]
async fn show(State(app): State<App>, admin: Administration, have: IfNoneMatch) -> Result<Response, Problem> {
    admin.require(Permission::WorkspacePolicy)?;
    let shown = view(&app, admin.workspace.read(policy::get).await?);
    let tag = ETag::of(&shown);
    Ok(have.or(&tag, || tag.with(&shown)))
}

/// Change what the workspace permits. Live meetings follow at once; sessions that live end when new ones would have.
#[utoipa::path(patch, path = "/policy", tag = "policy", params(IfMatch), request_body = UpdateWorkspacePolicy, responses(
    (status = 200, body = WorkspacePolicyView, headers(("ETag" = String))),
    Refused<412>, Refusals, BodyRefusals,
), security(("bearer" = [])))]
async fn update(
    State(app): State<App>,
    admin: Administration,
    expected: IfMatch,
    Json(request): Json<UpdateWorkspacePolicy>,
) -> Result<Response, Problem> {
    admin.require(Permission::WorkspacePolicy)?;
    if request.factors.as_ref().is_some_and(|factors| factors != &FACTORS) {
        return Err(Problem::InvalidBody("`factors`: this release knows [\"password\"] alone".to_owned()));
    }
    let services = Arc::clone(&app);
    let (now, workspace, hub) = (app.clock.now(), admin.workspace.id(), Arc::clone(&app.hub));
    let mut event = admin.caller.event("policy.update", format!("workspace:{workspace}"), Outcome::Allowed);
    let write = move |write: &Write<'_>| {
        let before = policy::get(write.sql())?;
        if let Err(problem) = expected.check(|| ETag::of(&view(&services, before))) {
            return Ok(Err(problem));
        }
        let after = match changed(before, &request).checked() {
            Ok(after) => after,
            Err(outside) => return Ok(Err(Problem::InvalidBody(outside.to_string()))),
        };
        policy::put(write, &after)?;
        let mut ended = Vec::new();
        for persistent in [false, true] {
            ended.extend(sessions::shorten(write, persistent, after.lifetime(persistent), now)?);
        }
        if !after.guests {
            ended.extend(sessions::delete_of_role(write, Role::Guest)?);
        }
        let rooms: Vec<_> = rooms::all(write.sql())?.iter().map(|room| (room.id, after.within(room.policy))).collect();
        write.after_commit(move || {
            ended.into_iter().for_each(|session| hub.end_session(workspace, session));
            rooms.into_iter().for_each(|(room, policy)| hub.apply_policy(workspace, room, policy));
        });
        event.detail = told(&after);
        write.audit(&event, now)?;
        Ok(Ok(after))
    };
    let after = admin.write(&app, write).await?;
    let shown = view(&app, after);
    Ok(ETag::of(&shown).with(&shown))
}

fn changed(before: WorkspacePolicy, request: &UpdateWorkspacePolicy) -> WorkspacePolicy {
    WorkspacePolicy {
        voice: request.voice.unwrap_or(before.voice),
        screen_share: request.screen_share.unwrap_or(before.screen_share),
        guests: request.guests.unwrap_or(before.guests),
        plain_sign_in: request.plain_sign_in.unwrap_or(before.plain_sign_in),
        single_device: request.single_device.unwrap_or(before.single_device),
        idle_hours: request.idle_hours.unwrap_or(before.idle_hours),
        session_days: request.session_days.unwrap_or(before.session_days),
        persistent_days: request.persistent_days.unwrap_or(before.persistent_days),
    }
}

/// A policy for the audit.
fn told(policy: &WorkspacePolicy) -> String {
    let WorkspacePolicy {
        voice,
        screen_share,
        guests,
        plain_sign_in,
        single_device,
        idle_hours,
        session_days,
        persistent_days,
    } = policy;
    let on = |allowed: bool| if allowed { "on" } else { "off" };
    format!(
        "voice {}, screen share {}, guests {}, plain sign-in {}, single device {}, idle {idle_hours} h, session {session_days} d, persistent {persistent_days} d",
        on(*voice),
        on(*screen_share),
        on(*guests),
        on(*plain_sign_in),
        on(*single_device)
    )
}

pub(super) fn view(app: &Services, policy: WorkspacePolicy) -> WorkspacePolicyView {
    WorkspacePolicyView {
        voice: policy.voice,
        screen_share: policy.screen_share,
        guests: policy.guests,
        plain_sign_in: policy.plain_sign_in,
        single_device: policy.single_device,
        factors: FACTORS.map(str::to_owned).into(),
        idle_hours: policy.idle_hours,
        session_days: policy.session_days,
        persistent_days: policy.persistent_days,
        appliance_voice: app.hub.has_voice(),
    }
}

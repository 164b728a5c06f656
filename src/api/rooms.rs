// SPDX-License-Identifier: AGPL-3.0-or-later
//! The rooms of a workspace, for its members and for operators: the same handlers under two prefixes.
//!
//! A room exists for who may enter it; for everybody else it answers as an absent one.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::error::{BodyRefusals, Problem, Refusals, Refused};
use crate::api::etag::{ETag, IfMatch};
use crate::api::extract::{Json, Path, Query};
use crate::api::idempotency;
use crate::api::page::{Limit, Page};
use crate::api::principal::Administration;
use crate::api::services::{App, Services};
use crate::api::types::rooms::{
    CreateRoom, LiveView, PolicyChange, PolicyView, PresentView, RoomList, RoomView, UpdateRoom,
};
use crate::core::audit::Outcome;
use crate::core::auth::permission::{Permission, Rights, Role};
use crate::core::keys::epoch::RotationInterval;
use crate::core::room::policy::{CAPACITY_MAX, RoomPolicy};
use crate::hub::facts::MeetingFacts;
use crate::platform::entropy;
use crate::platform::store::policy;
use crate::platform::store::rooms::{self, Room};
use crate::platform::store::workspace::Write;
use crate::values::id::{RoomId, WorkspaceId};
use crate::values::name::RoomName;

/// What a caller lacks who would shut itself out.
const ROLE_THAT_ENTERS: &str = "a role that may enter the room";

/// This file's routes, below `/api/v1` and below `/api/v1/system/workspaces/{workspace}`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(idempotency::on(routes!(list, create))).routes(routes!(show, update, delete))
}

/// List the rooms that the caller may enter, with who is there.
#[utoipa::path(get, path = "/rooms", tag = "rooms", params(Page<RoomName>), responses(
    (status = 200, body = RoomList),
    Refusals,
), security(("bearer" = [])))]
async fn list(
    State(app): State<App>,
    admin: Administration,
    Query(page): Query<Page<RoomName>>,
) -> Result<axum::Json<RoomList>, Problem> {
    let (limit, role) = (Limit::asked(page.limit), admin.role());
    let read = move |database: &rusqlite::Connection| match page.name {
        Some(name) => {
            Ok(rooms::find_by_name(database, &name)?.filter(|room| may_enter(room, role)).into_iter().collect())
        }
        None => rooms::page(database, page.after.as_ref(), limit.look_for(), |room| may_enter(room, role)),
    };
    let mut found: Vec<Room> = admin.workspace.read(read).await?;
    let next = limit.cut(&mut found, |room| room.name.clone());
    let meetings = app.hub.meetings(admin.workspace.id());
    let live: HashMap<RoomId, &MeetingFacts> = meetings.iter().map(|meeting| (meeting.room, meeting)).collect();
    let rooms = found.iter().map(|room| view(room, live.get(&room.id).copied())).collect();
    Ok(axum::Json(RoomList { rooms, next }))
}

/// Create a room.
#[utoipa::path(post, path = "/rooms", tag = "rooms", request_body = CreateRoom, responses(
    (status = 201, body = RoomView),
    Refusals, BodyRefusals, Refused<409>,
), security(("bearer" = [])))]
async fn create(
    State(app): State<App>,
    admin: Administration,
    Json(request): Json<CreateRoom>,
) -> Result<(StatusCode, axum::Json<RoomView>), Problem> {
    let role = admin.require(Permission::RoomCreate)?;
    if admin.workspace.id() == WorkspaceId::SYSTEM {
        return Err(Problem::Conflict("Workspace system is for operators and has no rooms.".to_owned()));
    }
    let policy = changed(RoomPolicy::default(), request.policy, role)?;
    let now = app.clock.now();
    let room = Room { id: RoomId::random(&mut entropy::system()), name: request.name, policy, created_at: now };
    let mut event = admin.caller.event("room.create", target(room.id), Outcome::Allowed);
    event.detail = told(&room);
    let stored = room.clone();
    let write = move |write: &Write<'_>| match rooms::insert(write, &stored)? {
        Ok(()) => write.audit(&event, now).map(Ok),
        Err(refused) => Ok(Err(refused.into())),
    };
    admin.write(&app, write).await?;
    Ok((StatusCode::CREATED, axum::Json(view(&room, None))))
}

#[derive(Deserialize)]
struct RoomPath {
    room: RoomId,
}

/// Show a room, with who is there. Its ETag is of the room itself: who is there is not in it.
#[utoipa::path(get, path = "/rooms/{room}", tag = "rooms", params(("room" = String, Path, format = Uuid)), responses(
    (status = 200, body = RoomView, headers(("ETag" = String))),
    Refusals,
), security(("bearer" = [])))]
async fn show(
    State(app): State<App>,
    admin: Administration,
    Path(RoomPath { room }): Path<RoomPath>,
) -> Result<Response, Problem> {
    let role = admin.role();
    let found = admin.workspace.read(move |database| rooms::find(database, room)).await?;
    let room = found.filter(|room| may_enter(room, role)).ok_or(Problem::NotFound)?;
    Ok(tag(&room).with(&view_now(&app, admin.workspace.id(), &room)))
}

/// Rename a room or change what it permits. A live meeting follows at once.
#[utoipa::path(patch, path = "/rooms/{room}", tag = "rooms", params(("room" = String, Path, format = Uuid), IfMatch), request_body = UpdateRoom, responses(
    (status = 200, body = RoomView, headers(("ETag" = String))),
    Refusals, BodyRefusals, Refused<409>, Refused<412>,
), security(("bearer" = [])))]
async fn update(
    State(app): State<App>,
    admin: Administration,
    Path(RoomPath { room }): Path<RoomPath>,
    expected: IfMatch,
    Json(request): Json<UpdateRoom>,
) -> Result<Response, Problem> {
    let role = admin.require(Permission::RoomCreate)?;
    let now = app.clock.now();
    let (workspace, hub) = (admin.workspace.id(), Arc::clone(&app.hub));
    let mut event = admin.caller.event("room.update", target(room), Outcome::Allowed);
    let write = move |write: &Write<'_>| {
        let Some(before) = rooms::find(write.sql(), room)?.filter(|room| may_enter(room, role)) else {
            return Ok(Err(Problem::NotFound));
        };
        if let Err(problem) = expected.check(|| tag(&before)) {
            return Ok(Err(problem));
        }
        let policy = match changed(before.policy, request.policy, role) {
            Ok(policy) => policy,
            Err(problem) => return Ok(Err(problem)),
        };
        let after = Room { name: request.name.unwrap_or(before.name), policy, ..before };
        if let Err(refused) = rooms::update(write, &after)? {
            return Ok(Err(refused.into()));
        }
        event.detail = told(&after);
        write.audit(&event, now)?;
        let permitted = policy::get(write.sql())?.within(after.policy);
        write.after_commit(move || hub.apply_policy(workspace, room, permitted));
        Ok(Ok(after))
    };
    let after = admin.write(&app, write).await?;
    Ok(tag(&after).with(&view_now(&app, admin.workspace.id(), &after)))
}

/// Delete a room. Its meeting ends.
#[utoipa::path(delete, path = "/rooms/{room}", tag = "rooms", params(("room" = String, Path, format = Uuid), IfMatch), responses(
    (status = 204),
    Refusals, Refused<412>,
), security(("bearer" = [])))]
async fn delete(
    State(app): State<App>,
    admin: Administration,
    Path(RoomPath { room }): Path<RoomPath>,
    expected: IfMatch,
) -> Result<StatusCode, Problem> {
    let role = admin.require(Permission::RoomCreate)?;
    let now = app.clock.now();
    let (workspace, hub) = (admin.workspace.id(), Arc::clone(&app.hub));
    let mut event = admin.caller.event("room.delete", target(room), Outcome::Allowed);
    let write = move |write: &Write<'_>| {
        let Some(found) = rooms::find(write.sql(), room)?.filter(|room| may_enter(room, role)) else {
            return Ok(Err(Problem::NotFound));
        };
        if let Err(problem) = expected.check(|| tag(&found)) {
            return Ok(Err(problem));
        }
        rooms::delete(write, room)?;
        event.detail = found.name.to_string();
        write.after_commit(move || hub.close_room(workspace, room));
        write.audit(&event, now).map(Ok)
    };
    admin.write(&app, write).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a room exists for this role.
pub(super) fn may_enter(room: &Room, role: Role) -> bool {
    room.policy.grant(Rights::of(role), false).is_some()
}

/// The tag of a room: of what somebody sets, without who is there.
fn tag(room: &Room) -> ETag {
    ETag::of(&(room.id, &room.name, PolicyView::from(room.policy), room.created_at))
}

fn target(room: RoomId) -> String {
    format!("room:{room}")
}

/// A policy with what somebody of this role wants changed.
fn changed(policy: RoomPolicy, change: PolicyChange, role: Role) -> Result<RoomPolicy, Problem> {
    let capacity = change.capacity.unwrap_or(policy.capacity);
    if !(1..=CAPACITY_MAX).contains(&capacity) {
        return Err(Problem::InvalidBody(format!("`policy.capacity` is 1 to {CAPACITY_MAX} participants")));
    }
    let voices = change.voices.unwrap_or(policy.voices);
    if voices > CAPACITY_MAX {
        return Err(Problem::InvalidBody(format!("`policy.voices` is 0 (all) to {CAPACITY_MAX}")));
    }
    let rotation = match change.rotation_seconds.map(RotationInterval::try_from) {
        Some(interval) => {
            interval.map_err(|error| Problem::InvalidBody(format!("`policy.rotation_seconds`: {error}")))?
        }
        None => policy.rotation,
    };
    let after = RoomPolicy {
        voice: change.voice.unwrap_or(policy.voice),
        screen_share: change.screen_share.unwrap_or(policy.screen_share),
        sensors: change.sensors.unwrap_or(policy.sensors),
        capacity,
        entry: change.entry.unwrap_or(policy.entry),
        lobby: change.lobby.unwrap_or(policy.lobby),
        voices,
        rotation,
    };
    if after.grant(Rights::of(role), false).is_none() {
        return Err(Problem::Forbidden(ROLE_THAT_ENTERS));
    }
    Ok(after)
}

/// A room for the audit.
fn told(room: &Room) -> String {
    let RoomPolicy { voice, screen_share, sensors, capacity, entry, lobby, voices, rotation } = room.policy;
    let on = |allowed| if allowed { "on" } else { "off" };
    format!(
        "{}: voice {}, screen share {}, sensors {}, capacity {capacity}, entry {}, lobby {}, voices {voices}, rotation {} s",
        room.name,
        on(voice),
        on(screen_share),
        on(sensors),
        entry.as_str(),
        lobby.as_str(),
        rotation.as_duration().as_secs(),
    )
}

fn view_now(app: &Services, workspace: WorkspaceId, room: &Room) -> RoomView {
    let meetings = app.hub.meetings(workspace);
    view(room, meetings.iter().find(|meeting| meeting.room == room.id))
}

pub(super) fn view(room: &Room, live: Option<&MeetingFacts>) -> RoomView {
    let present = live.map(|meeting| meeting.participants.as_slice()).unwrap_or_default();
    let participants = present.iter().map(|participant| PresentView {
        display_name: participant.display_name.clone(),
        muted: participant.muted,
        silenced: participant.silenced,
    });
    RoomView {
        id: room.id,
        name: room.name.clone(),
        policy: room.policy.into(),
        live: LiveView { participants: present.len(), meeting: live.map(|meeting| meeting.id) },
        participants: participants.collect(),
        created_at: room.created_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_changed_within_its_bounds_and_by_nobody_who_may_not_enter_then() {
        let check = |change: PolicyChange, good: bool| {
            assert_eq!(changed(RoomPolicy::default(), change, Role::PowerUser).is_ok(), good, "{change:?}");
        };
        let none = PolicyChange::default();
        check(none, true);
        for (capacity, good) in [(0, false), (1, true), (500, true), (501, false)] {
            check(PolicyChange { capacity: Some(capacity), ..none }, good);
        }
        for (voices, good) in [(0, true), (500, true), (501, false)] {
            check(PolicyChange { voices: Some(voices), ..none }, good);
        }
        for (seconds, good) in [(4, false), (5, true), (300, true), (301, false)] {
            check(PolicyChange { rotation_seconds: Some(seconds), ..none }, good);
        }
        check(PolicyChange { entry: Some(Role::PowerUser), ..none }, true);
        check(PolicyChange { entry: Some(Role::Admin), ..none }, false);
    }
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! Live meetings, for who may moderate: what can be known of them, and what can be done with them.
//!
//! Everything done is on record before it is done. A meeting in a room that the caller may not enter answers as an
//! absent one, and an account that the caller does not see stays unnamed.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use tokio::sync::oneshot;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::error::{Problem, Refusals};
use crate::api::extract::Path;
use crate::api::principal::Administration;
use crate::api::rooms::may_enter;
use crate::api::services::{App, Services};
use crate::api::types::meetings::{LedgerView, MeetingList, MeetingView};
use crate::api::views::meetings as views;
use crate::core::audit::Outcome;
use crate::core::auth::permission::Permission;
use crate::core::room::Wish;
use crate::hub::facts::MeetingFacts;
use crate::platform::store::accounts::{self, Account};
use crate::platform::store::rooms;
use crate::platform::store::workspace::Write;
use crate::values::id::{AccountId, MeetingId, RoomId};
use crate::wire::kid::Participant;

/// This file's routes, below `/api/v1` and below `/api/v1/system/workspaces/{workspace}`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, end))
        .routes(routes!(ledger))
        .routes(routes!(mute_all))
        .routes(routes!(kick))
        .routes(routes!(mute, unmute))
        .routes(routes!(lock, unlock))
        .routes(routes!(admit, turn_away))
        .routes(routes!(rotate))
}

/// List live meetings: one a room at most, of which a workspace has up to 1,000.
#[utoipa::path(get, path = "/meetings", tag = "meetings", responses(
    (status = 200, body = MeetingList),
    Refusals,
), security(("bearer" = [])))]
async fn list(State(app): State<App>, admin: Administration) -> Result<axum::Json<MeetingList>, Problem> {
    let role = admin.require(Permission::RoomModerate)?;
    let read = move |database: &rusqlite::Connection| {
        let rooms = rooms::all(database)?;
        Ok(rooms.into_iter().filter(|room| may_enter(room, role)).map(|room| (room.id, room.name)).collect())
    };
    let rooms: HashMap<RoomId, _> = admin.workspace.read(read).await?;
    let meetings = app.hub.meetings(admin.workspace.id());
    let shown = meetings.iter().filter_map(|meeting| Some(views::summary(meeting, rooms.get(&meeting.room)?)));
    Ok(axum::Json(MeetingList { meetings: shown.collect() }))
}

#[derive(Deserialize)]
struct MeetingPath {
    meeting: MeetingId,
}

#[derive(Deserialize)]
struct ParticipantPath {
    meeting: MeetingId,
    number: u16,
}

#[derive(Deserialize)]
struct WaiterPath {
    meeting: MeetingId,
    number: u32,
}

/// Show a live meeting: who is there and who waits, and what was counted.
#[utoipa::path(get, path = "/meetings/{meeting}", tag = "meetings", params(("meeting" = String, Path, format = Uuid)), responses(
    (status = 200, body = MeetingView),
    Refusals,
), security(("bearer" = [])))]
async fn show(
    State(app): State<App>,
    admin: Administration,
    Path(MeetingPath { meeting }): Path<MeetingPath>,
) -> Result<axum::Json<MeetingView>, Problem> {
    let role = admin.require(Permission::RoomModerate)?;
    let facts = visible(&app, &admin, meeting).await?;
    let there = facts.participants.iter().map(|participant| participant.account);
    let ids: Vec<AccountId> = there.chain(facts.waiting.iter().map(|waiter| waiter.account)).collect();
    let read = move |database: &rusqlite::Connection| {
        let found = ids.into_iter().filter_map(|id| accounts::find(database, id).transpose());
        found.map(|account| account.map(|account| (account.id, account))).collect()
    };
    let mut known: HashMap<AccountId, Account> = admin.workspace.read(read).await?;
    known.retain(|_, account| role.sees(account.role()));
    Ok(axum::Json(views::meeting(&facts, &known)))
}

/// Show how the keys of a meeting changed.
#[utoipa::path(get, path = "/meetings/{meeting}/ledger", tag = "meetings", params(("meeting" = String, Path, format = Uuid)), responses(
    (status = 200, body = LedgerView),
    Refusals,
), security(("bearer" = [])))]
async fn ledger(
    State(app): State<App>,
    admin: Administration,
    Path(MeetingPath { meeting }): Path<MeetingPath>,
) -> Result<axum::Json<LedgerView>, Problem> {
    admin.require(Permission::RoomModerate)?;
    let facts = visible(&app, &admin, meeting).await?;
    Ok(axum::Json(LedgerView { lines: facts.ledger.iter().map(views::ledger_line).collect() }))
}

/// End a meeting: everybody is sent away.
#[utoipa::path(delete, path = "/meetings/{meeting}", tag = "meetings", params(("meeting" = String, Path, format = Uuid)), responses(
    (status = 204),
    Refusals,
), security(("bearer" = [])))]
async fn end(
    State(app): State<App>,
    admin: Administration,
    Path(MeetingPath { meeting }): Path<MeetingPath>,
) -> Result<StatusCode, Problem> {
    moderate(&app, &admin, meeting, Wish::End).await
}

/// Switch off the voices of all who are there.
#[utoipa::path(put, path = "/meetings/{meeting}/mute", tag = "meetings", params(("meeting" = String, Path, format = Uuid)), responses(
    (status = 204),
    Refusals,
), security(("bearer" = [])))]
async fn mute_all(
    State(app): State<App>,
    admin: Administration,
    Path(MeetingPath { meeting }): Path<MeetingPath>,
) -> Result<StatusCode, Problem> {
    moderate(&app, &admin, meeting, Wish::MuteAll { but: None }).await
}

/// Remove a participant. It may come back with another ticket, unless the meeting is locked.
#[utoipa::path(delete, path = "/meetings/{meeting}/participants/{number}", tag = "meetings", params(("meeting" = String, Path, format = Uuid), ("number" = u16, Path)), responses(
    (status = 204),
    Refusals,
), security(("bearer" = [])))]
async fn kick(
    State(app): State<App>,
    admin: Administration,
    Path(ParticipantPath { meeting, number }): Path<ParticipantPath>,
) -> Result<StatusCode, Problem> {
    let who = Participant(number);
    moderate(&app, &admin, meeting, Wish::Kick(who)).await
}

/// Switch off the voice of a participant.
#[utoipa::path(put, path = "/meetings/{meeting}/participants/{number}/mute", tag = "meetings", params(("meeting" = String, Path, format = Uuid), ("number" = u16, Path)), responses(
    (status = 204),
    Refusals,
), security(("bearer" = [])))]
async fn mute(
    State(app): State<App>,
    admin: Administration,
    Path(ParticipantPath { meeting, number }): Path<ParticipantPath>,
) -> Result<StatusCode, Problem> {
    let who = Participant(number);
    moderate(&app, &admin, meeting, Wish::Mute(who)).await
}

/// Switch on the voice of a participant again.
#[utoipa::path(delete, path = "/meetings/{meeting}/participants/{number}/mute", tag = "meetings", params(("meeting" = String, Path, format = Uuid), ("number" = u16, Path)), responses(
    (status = 204),
    Refusals,
), security(("bearer" = [])))]
async fn unmute(
    State(app): State<App>,
    admin: Administration,
    Path(ParticipantPath { meeting, number }): Path<ParticipantPath>,
) -> Result<StatusCode, Problem> {
    let who = Participant(number);
    moderate(&app, &admin, meeting, Wish::Unmute(who)).await
}

/// Lock a meeting: nobody but moderators may enter.
#[utoipa::path(put, path = "/meetings/{meeting}/lock", tag = "meetings", params(("meeting" = String, Path, format = Uuid)), responses(
    (status = 204),
    Refusals,
), security(("bearer" = [])))]
async fn lock(
    State(app): State<App>,
    admin: Administration,
    Path(MeetingPath { meeting }): Path<MeetingPath>,
) -> Result<StatusCode, Problem> {
    moderate(&app, &admin, meeting, Wish::Lock(true)).await
}

/// Unlock a meeting.
#[utoipa::path(delete, path = "/meetings/{meeting}/lock", tag = "meetings", params(("meeting" = String, Path, format = Uuid)), responses(
    (status = 204),
    Refusals,
), security(("bearer" = [])))]
async fn unlock(
    State(app): State<App>,
    admin: Administration,
    Path(MeetingPath { meeting }): Path<MeetingPath>,
) -> Result<StatusCode, Problem> {
    moderate(&app, &admin, meeting, Wish::Lock(false)).await
}

/// Let somebody in who waits in the lobby.
#[utoipa::path(put, path = "/meetings/{meeting}/lobby/{number}", tag = "meetings", params(("meeting" = String, Path, format = Uuid), ("number" = u32, Path)), responses(
    (status = 204),
    Refusals,
), security(("bearer" = [])))]
async fn admit(
    State(app): State<App>,
    admin: Administration,
    Path(WaiterPath { meeting, number }): Path<WaiterPath>,
) -> Result<StatusCode, Problem> {
    moderate(&app, &admin, meeting, Wish::Admit(number)).await
}

/// Send somebody away who waits in the lobby.
#[utoipa::path(delete, path = "/meetings/{meeting}/lobby/{number}", tag = "meetings", params(("meeting" = String, Path, format = Uuid), ("number" = u32, Path)), responses(
    (status = 204),
    Refusals,
), security(("bearer" = [])))]
async fn turn_away(
    State(app): State<App>,
    admin: Administration,
    Path(WaiterPath { meeting, number }): Path<WaiterPath>,
) -> Result<StatusCode, Problem> {
    moderate(&app, &admin, meeting, Wish::TurnAway(number)).await
}

/// Change the keys of a meeting.
#[utoipa::path(post, path = "/meetings/{meeting}/rotations", tag = "meetings", params(("meeting" = String, Path, format = Uuid)), responses(
    (status = 204),
    Refusals,
), security(("bearer" = [])))]
async fn rotate(
    State(app): State<App>,
    admin: Administration,
    Path(MeetingPath { meeting }): Path<MeetingPath>,
) -> Result<StatusCode, Problem> {
    moderate(&app, &admin, meeting, Wish::Rotate).await
}

/// The meeting, when it is live in a room that exists for the caller.
async fn visible(app: &Services, admin: &Administration, meeting: MeetingId) -> Result<MeetingFacts, Problem> {
    let mut facts = app.hub.meeting(admin.workspace.id(), meeting).ok_or(Problem::NotFound)?;
    let (room, role) = (facts.room, admin.role());
    let found = admin.workspace.read(move |database| rooms::find(database, room)).await?;
    // It may have been renamed since the meeting began.
    facts.room_name = found.filter(|room| may_enter(room, role)).ok_or(Problem::NotFound)?.name;
    Ok(facts)
}

/// Does what a moderator wants, once it is on record.
async fn moderate(app: &App, admin: &Administration, meeting: MeetingId, wish: Wish) -> Result<StatusCode, Problem> {
    admin.require(Permission::RoomModerate)?;
    let facts = visible(app, admin, meeting).await?;
    let deed = facts.deed(wish).ok_or(Problem::NotFound)?;
    let mut event = admin.caller.event(deed.action, deed.target, Outcome::Allowed);
    event.detail = deed.detail;
    let (now, workspace, hub) = (app.clock.now(), admin.workspace.id(), Arc::clone(&app.hub));
    let (done, what) = oneshot::channel();
    let write = move |write: &Write<'_>| {
        write.audit(&event, now)?;
        write.after_commit(move || {
            // Nobody waits any more when the request was cancelled.
            let _ = done.send(hub.moderate(workspace, meeting, wish));
        });
        Ok(())
    };
    admin.workspace.write(write).await?;
    what.await.map_err(|_| Problem::Internal)??;
    Ok(StatusCode::NO_CONTENT)
}

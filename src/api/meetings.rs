// SPDX-License-Identifier: AGPL-3.0-or-later
//! Live meetings, for who may moderate: what can be known of them, and what can be done with them.
//!
//! Everything done is on record before it is done. A meeting in a room that the caller may not enter answers as an
//! absent one, and an account that the caller does not see stays unnamed.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
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
use crate::core::room::{NotThere, Wish};
use crate::hub::Hub;
use crate::hub::facts::MeetingFacts;
use crate::platform::store::accounts::{self, Account};
use crate::platform::store::rooms;
use crate::platform::store::workspace::Write;
use crate::values::id::{AccountId, MeetingId, RoomId, WorkspaceId};
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

/// List live meetings.
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
    known.retain(|_, account| role.sees(account.role));
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
    act(&app, &admin, meeting, Deed { action: "meeting.end", on: On::Meeting }, Hub::end).await
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
    let deed = Deed { action: "meeting.mute_all", on: On::Meeting };
    moderate(&app, &admin, meeting, deed, Wish::MuteAll { but: None }).await
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
    let deed = Deed { action: "meeting.kick", on: On::Participant(who) };
    moderate(&app, &admin, meeting, deed, Wish::Kick(who)).await
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
    let deed = Deed { action: "meeting.mute", on: On::Participant(who) };
    moderate(&app, &admin, meeting, deed, Wish::Mute(who)).await
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
    let deed = Deed { action: "meeting.unmute", on: On::Participant(who) };
    moderate(&app, &admin, meeting, deed, Wish::Unmute(who)).await
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
    moderate(&app, &admin, meeting, Deed { action: "meeting.lock", on: On::Meeting }, Wish::Lock(true)).await
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
    moderate(&app, &admin, meeting, Deed { action: "meeting.unlock", on: On::Meeting }, Wish::Lock(false)).await
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
    let deed = Deed { action: "meeting.admit", on: On::Waiter(number) };
    moderate(&app, &admin, meeting, deed, Wish::Admit(number)).await
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
    let deed = Deed { action: "meeting.turn_away", on: On::Waiter(number) };
    moderate(&app, &admin, meeting, deed, Wish::TurnAway(number)).await
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
    moderate(&app, &admin, meeting, Deed { action: "meeting.rotate", on: On::Meeting }, Wish::Rotate).await
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

/// What is done, as the audit says.
struct Deed {
    action: &'static str,
    on: On,
}

/// To whom.
#[derive(Clone, Copy)]
enum On {
    Meeting,
    Participant(Participant),
    Waiter(u32),
}

impl On {
    /// Its target and the account behind it, when it is there.
    fn find(self, facts: &MeetingFacts) -> Option<(String, Option<AccountId>)> {
        let meeting = format!("meeting:{}", facts.id);
        match self {
            Self::Meeting => Some((meeting, None)),
            Self::Participant(number) => {
                let found = facts.participants.iter().find(|participant| participant.number == number)?;
                Some((format!("{meeting}/participant:{number}"), Some(found.account)))
            }
            Self::Waiter(number) => {
                let found = facts.waiting.iter().find(|waiter| waiter.number == number)?;
                Some((format!("{meeting}/lobby:{number}"), Some(found.account)))
            }
        }
    }
}

async fn moderate(
    app: &Services,
    admin: &Administration,
    meeting: MeetingId,
    deed: Deed,
    wish: Wish,
) -> Result<StatusCode, Problem> {
    act(app, admin, meeting, deed, |hub, workspace, meeting| hub.moderate(workspace, meeting, wish)).await
}

async fn act(
    app: &Services,
    admin: &Administration,
    meeting: MeetingId,
    deed: Deed,
    run: impl FnOnce(&Hub, WorkspaceId, MeetingId) -> Result<(), NotThere>,
) -> Result<StatusCode, Problem> {
    admin.require(Permission::RoomModerate)?;
    let facts = visible(app, admin, meeting).await?;
    let (target, account) = deed.on.find(&facts).ok_or(Problem::NotFound)?;
    let mut event = admin.caller.event(deed.action, target, Outcome::Allowed);
    event.detail = match account {
        Some(account) => format!("account {account}, room {}", facts.room_name),
        None => format!("room {}", facts.room_name),
    };
    let now = app.clock.now();
    admin.workspace.write(move |write: &Write<'_>| write.audit(&event, now)).await?;
    run(&app.hub, admin.workspace.id(), meeting)?;
    Ok(StatusCode::NO_CONTENT)
}

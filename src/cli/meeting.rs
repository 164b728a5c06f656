// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave meeting …`.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::json;

use crate::api::types::meetings::{
    AccountRef, ChannelView, LedgerLineView, LedgerView, MeetingList, MeetingSummary, MeetingView, ParticipantView,
};
use crate::cli::exit::Failure;
use crate::cli::output::{facts, table};
use crate::cli::room::voice_state;
use crate::cli::{Door, InWorkspace, room, workspace};
use crate::values::id::MeetingId;

/// Live meetings.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List live meetings
    List {
        #[command(flatten)]
        at: InWorkspace,
    },
    /// Show a meeting: who is there, who waits, what was counted
    Show(Which),
    /// Show how the keys of a meeting changed
    Ledger(Which),
    /// Remove a participant
    Kick(Who),
    /// Switch off the voice of a participant
    Mute(Who),
    /// Switch on the voice of a participant again
    Unmute(Who),
    /// Switch off the voices of all who are there
    MuteAll(Which),
    /// Let nobody but moderators enter
    Lock(Which),
    /// Let people enter again
    Unlock(Which),
    /// Let somebody in who waits in the lobby
    Admit(Waiter),
    /// Send somebody away who waits in the lobby
    TurnAway(Waiter),
    /// Change the keys
    Rotate(Which),
    /// Send everybody away
    End(Which),
}

/// Which meeting.
#[derive(Debug, Args)]
pub struct Which {
    #[command(flatten)]
    at: InWorkspace,
    /// Room name or meeting id
    meeting: String,
}

/// Which participant of a meeting.
#[derive(Debug, Args)]
pub struct Who {
    #[command(flatten)]
    which: Which,
    /// Number of the participant, as `meeting show` shows it
    participant: u16,
}

/// Who in the lobby of a meeting.
#[derive(Debug, Args)]
pub struct Waiter {
    #[command(flatten)]
    which: Which,
    /// Number in the lobby, as `meeting show` shows it
    waiter: u32,
}

/// Runs the command.
pub async fn run(door: &Door, command: Command) -> Result<(), Failure> {
    use Method as M;
    match command {
        Command::List { at } => {
            let list: MeetingList = door.client.get(&meetings_path(door, &at).await?).await?;
            Ok(door.output.print(&list, list_text)?)
        }
        Command::Show(which) => {
            let meeting: MeetingView = door.client.get(&path_of(door, &which).await?).await?;
            Ok(door.output.print(&meeting, show_text)?)
        }
        Command::Ledger(which) => {
            let ledger: LedgerView = door.client.get(&format!("{}/ledger", path_of(door, &which).await?)).await?;
            Ok(door.output.print(&ledger, ledger_text)?)
        }
        Command::Kick(who) => on_participant(door, &who, M::DELETE, "", "is removed").await,
        Command::Mute(who) => on_participant(door, &who, M::PUT, "/mute", "is silenced").await,
        Command::Unmute(who) => on_participant(door, &who, M::DELETE, "/mute", "may be heard again").await,
        Command::MuteAll(which) => act(door, &which, M::PUT, "/mute", "Everybody there is silenced.").await,
        Command::Lock(which) => act(door, &which, M::PUT, "/lock", "The meeting is locked.").await,
        Command::Unlock(which) => act(door, &which, M::DELETE, "/lock", "The meeting is open.").await,
        Command::Admit(waiter) => on_waiter(door, &waiter, M::PUT, "is let in").await,
        Command::TurnAway(waiter) => on_waiter(door, &waiter, M::DELETE, "is sent away").await,
        Command::Rotate(which) => act(door, &which, M::POST, "/rotations", "Keys change.").await,
        Command::End(which) => act(door, &which, M::DELETE, "", "The meeting is ended.").await,
    }
}

async fn on_participant(door: &Door, who: &Who, method: Method, rest: &str, what: &str) -> Result<(), Failure> {
    let number = who.participant;
    let done = format!("Participant {number} {what}.");
    act(door, &who.which, method, &format!("/participants/{number}{rest}"), &done).await
}

async fn on_waiter(door: &Door, waiter: &Waiter, method: Method, what: &str) -> Result<(), Failure> {
    let number = waiter.waiter;
    let done = format!("Number {number} in the lobby {what}.");
    act(door, &waiter.which, method, &format!("/lobby/{number}"), &done).await
}

async fn act(door: &Door, which: &Which, method: Method, rest: &str, done: &str) -> Result<(), Failure> {
    let path = path_of(door, which).await?;
    door.client.send_empty(method, &format!("{path}{rest}")).await?;
    Ok(door.output.print(&json!({ "meeting": which.meeting, "done": done }), |_| done.to_owned())?)
}

async fn meetings_path(door: &Door, at: &InWorkspace) -> Result<String, Failure> {
    let id = workspace::id_of(door, &at.workspace).await?;
    Ok(format!("/api/v1/system/workspaces/{id}/meetings"))
}

/// The path of a meeting that is named by its id or by its room.
async fn path_of(door: &Door, which: &Which) -> Result<String, Failure> {
    let meetings = meetings_path(door, &which.at).await?;
    let id = match which.meeting.parse::<MeetingId>() {
        Ok(id) => id,
        Err(_) => {
            let (_, room) = room::find(door, &which.at, &which.meeting).await?;
            room.live.meeting.ok_or_else(|| Failure::NotFound(format!("nobody is in room {}", room.name)))?
        }
    };
    Ok(format!("{meetings}/{id}"))
}

fn list_text(list: &MeetingList) -> String {
    if list.meetings.is_empty() {
        return "Nobody is meeting.\n".to_owned();
    }
    let row = |meeting: &MeetingSummary| {
        [
            meeting.room.name.to_string(),
            meeting.participants.to_string(),
            meeting.waiting.to_string(),
            if meeting.locked { "locked" } else { "open" }.to_owned(),
            meeting.began_at.to_string(),
            meeting.id.to_string(),
        ]
    };
    let rows: Vec<_> = list.meetings.iter().map(row).collect();
    table(["ROOM", "THERE", "WAITING", "DOOR", "BEGAN", "ID"], &rows)
}

fn show_text(meeting: &MeetingView) -> String {
    let mut text = facts(&[
        ("Room", meeting.room.name.to_string()),
        ("Meeting", meeting.id.to_string()),
        ("Began", meeting.began_at.to_string()),
        ("Door", if meeting.locked { "locked" } else { "open" }.to_owned()),
        ("Epoch", meeting.epoch.map_or_else(|| "none yet".to_owned(), |epoch| epoch.to_string())),
        ("There", meeting.participants.len().to_string()),
        ("Waiting", meeting.waiting.len().to_string()),
    ]);
    if !meeting.participants.is_empty() {
        text.push('\n');
        text.push_str(&participants_text(&meeting.participants));
    }
    if !meeting.waiting.is_empty() {
        let rows: Vec<_> = meeting
            .waiting
            .iter()
            .map(|waiter| {
                let since = waiter.since.to_string();
                [waiter.number.to_string(), waiter.display_name.to_string(), user_name(waiter.account.as_ref()), since]
            })
            .collect();
        text.push_str("\nIn the lobby\n");
        text.push_str(&table(["NO", "NAME", "USER NAME", "SINCE"], &rows));
    }
    text
}

fn participants_text(participants: &[ParticipantView]) -> String {
    let row = |one: &ParticipantView| {
        let channels = [one.channels.pose, one.channels.voice, one.channels.event, one.channels.screen];
        let sum = |of: fn(&ChannelView) -> u64| channels.iter().map(of).fold(0, u64::saturating_add).to_string();
        [
            one.number.to_string(),
            one.display_name.to_string(),
            user_name(one.account.as_ref()),
            if one.moderator { "moderator" } else { "–" }.to_owned(),
            voice_state(one.muted, one.silenced).to_owned(),
            one.carrier.clone().unwrap_or_else(|| "away".to_owned()),
            one.rtt_micros.map_or_else(|| "–".to_owned(), milliseconds),
            sum(|channel| channel.frames_in),
            sum(|channel| channel.frames_out),
            one.superseded.to_string(),
            one.culled.to_string(),
            one.lost.to_string(),
            refusals(one),
        ]
    };
    let headings = [
        "NO",
        "NAME",
        "USER NAME",
        "MAY",
        "VOICE",
        "CARRIER",
        "RTT",
        "FRAMES IN",
        "OUT",
        "SUPERSEDED",
        "CULLED",
        "LOST",
        "REFUSED",
    ];
    let rows: Vec<_> = participants.iter().map(row).collect();
    table(headings, &rows)
}

fn user_name(account: Option<&AccountRef>) -> String {
    account.map_or_else(|| "–".to_owned(), |account| account.user_name.to_string())
}

fn milliseconds(micros: u64) -> String {
    format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100)
}

fn refusals(participant: &ParticipantView) -> String {
    if participant.refusals.is_empty() {
        return "0".to_owned();
    }
    let counted: Vec<_> = participant.refusals.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    counted.join(", ")
}

fn ledger_text(ledger: &LedgerView) -> String {
    let number = |count: Option<usize>| count.map_or_else(String::new, |count| count.to_string());
    let row = |line: &LedgerLineView| {
        [
            line.at.to_string(),
            line.epoch.to_string(),
            line.fate.clone(),
            line.reasons.join(" "),
            number(line.members),
            number(line.late),
        ]
    };
    let rows: Vec<_> = ledger.lines.iter().map(row).collect();
    table(["AT", "EPOCH", "FATE", "REASONS", "MEMBERS", "LATE"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_are_told_in_tenths_of_a_millisecond() {
        assert_eq!(
            (milliseconds(0), milliseconds(1_499), milliseconds(80_050)),
            ("0.0 ms".into(), "1.4 ms".into(), "80.0 ms".into())
        );
    }
}

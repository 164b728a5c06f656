// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave room …`.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};

use crate::api::types::rooms::{RoomList, RoomView};
use crate::cli::exit::Failure;
use crate::cli::output::{facts, table};
use crate::cli::workspace::Allowed;
use crate::cli::{Door, InWorkspace, pages, workspace};
use crate::values::name::RoomName;

/// Rooms.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a room
    Create {
        #[command(flatten)]
        at: InWorkspace,
        /// What people will type: a to z, digits and hyphens
        name: String,
        #[command(flatten)]
        policy: Policy,
    },
    /// List rooms and how many are there
    List {
        #[command(flatten)]
        at: InWorkspace,
    },
    /// Show a room: what it permits and who is there
    Show {
        #[command(flatten)]
        at: InWorkspace,
        /// Room name
        name: String,
    },
    /// Change what a room permits, or its name; its meeting follows at once
    Set {
        #[command(flatten)]
        at: InWorkspace,
        /// Room name
        name: String,
        /// A new name
        #[arg(long, value_name = "NAME")]
        rename: Option<String>,
        #[command(flatten)]
        policy: Policy,
    },
    /// Delete a room and end its meeting
    Delete {
        #[command(flatten)]
        at: InWorkspace,
        /// Room name
        name: String,
    },
}

/// What a room permits. What is not given stays; in a new room it is at its default.
#[derive(Debug, Args)]
pub struct Policy {
    /// Whether voice is forwarded [new room: allow]
    #[arg(long, value_enum)]
    voice: Option<Allowed>,
    /// Whether screens may be shared [new room: allow]
    #[arg(long, value_enum)]
    screen_share: Option<Allowed>,
    /// Whether clients may put eye, face and body data into poses [new room: refuse]
    #[arg(long, value_enum)]
    sensors: Option<Allowed>,
    /// Participants at most, 1 to 500 [new room: 100]
    #[arg(long, value_name = "N")]
    capacity: Option<u16>,
    /// The lowest role that may enter: guest, user, power_user or admin [new room: guest]
    #[arg(long, value_name = "ROLE")]
    entry: Option<String>,
    /// Who waits until a moderator admits them: off, guests or everyone [new room: off]
    #[arg(long, value_name = "WHO")]
    lobby: Option<String>,
    /// Loudest voices that each is sent, 0 for all [new room: 8]
    #[arg(long, value_name = "N")]
    voices: Option<u16>,
    /// How often keys change when nobody comes or goes, 5 to 300 seconds [new room: 30]
    #[arg(long, value_name = "SECONDS")]
    rotation: Option<u64>,
}

impl Policy {
    fn to_json(&self) -> Value {
        let allowed = |setting: Option<Allowed>| setting.map(|setting| json!(setting == Allowed::Allow));
        let given = [
            ("voice", allowed(self.voice)),
            ("screen_share", allowed(self.screen_share)),
            ("sensors", allowed(self.sensors)),
            ("capacity", self.capacity.map(|count| json!(count))),
            ("entry", self.entry.as_ref().map(|role| json!(role))),
            ("lobby", self.lobby.as_ref().map(|who| json!(who))),
            ("voices", self.voices.map(|count| json!(count))),
            ("rotation_seconds", self.rotation.map(|seconds| json!(seconds))),
        ];
        Value::Object(given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect())
    }
}

/// Runs the command.
pub async fn run(door: &Door, command: Command) -> Result<(), Failure> {
    match command {
        Command::Create { at, name, policy } => {
            let body = json!({ "name": name, "policy": policy.to_json() });
            let made: RoomView =
                door.client.send_json(Method::POST, &workspace::path_to(door, &at, "rooms").await?, &body).await?;
            Ok(door.output.print(&made, show_text)?)
        }
        Command::List { at } => {
            let path = workspace::path_to(door, &at, "rooms").await?;
            let list: RoomList = pages::all(&door.client, &path).await?;
            Ok(door.output.print(&list, |list| list_text(list, &at))?)
        }
        Command::Show { at, name } => {
            let (path, _) = find(door, &at, &name).await?;
            let room: RoomView = door.client.get(&path).await?;
            Ok(door.output.print(&room, show_text)?)
        }
        Command::Set { at, name, rename, policy } => {
            let (path, _) = find(door, &at, &name).await?;
            let mut body = Map::from_iter([("policy".to_owned(), policy.to_json())]);
            body.extend(rename.map(|name| ("name".to_owned(), json!(name))));
            let changed: RoomView = door.client.send_json(Method::PATCH, &path, &body).await?;
            Ok(door.output.print(&changed, show_text)?)
        }
        Command::Delete { at, name } => {
            let (path, room) = find(door, &at, &name).await?;
            door.client.send_empty(Method::DELETE, &path).await?;
            let done = format!("Room {} is deleted.\n", room.name);
            Ok(door.output.print(&json!({ "room": room.id, "deleted": true }), |_| done)?)
        }
    }
}

/// The room with this name, and the path of its resource.
pub async fn find(door: &Door, at: &InWorkspace, name: &str) -> Result<(String, RoomView), Failure> {
    let path = workspace::path_to(door, at, "rooms").await?;
    let missing = || workspace::missing(at, "room", name);
    let name: RoomName = name.parse().map_err(|_| missing())?;
    let found: RoomList = door.client.get(&format!("{path}?name={name}")).await?;
    let room = found.rooms.into_iter().next().ok_or_else(missing)?;
    Ok((format!("{path}/{}", room.id), room))
}

fn list_text(list: &RoomList, at: &InWorkspace) -> String {
    if list.rooms.is_empty() {
        return format!("There is no room yet.\n\nNext: conclave room create --workspace {} NAME\n", at.workspace);
    }
    let row = |room: &RoomView| {
        [
            room.name.to_string(),
            format!("{} of {}", room.live.participants, room.policy.capacity),
            room.policy.entry.as_str().to_owned(),
            room.policy.lobby.as_str().to_owned(),
            allowed(room.policy.voice).to_owned(),
            allowed(room.policy.screen_share).to_owned(),
            room.id.to_string(),
        ]
    };
    let rows: Vec<_> = list.rooms.iter().map(row).collect();
    table(["NAME", "THERE", "ENTRY", "LOBBY", "VOICE", "SCREEN SHARE", "ID"], &rows)
}

fn show_text(room: &RoomView) -> String {
    let policy = &room.policy;
    let voices = if policy.voices == 0 { "all".to_owned() } else { format!("the {} loudest", policy.voices) };
    let mut pairs = vec![
        ("Name", room.name.to_string()),
        ("Id", room.id.to_string()),
        ("Entry", policy.entry.as_str().to_owned()),
        ("Lobby", policy.lobby.as_str().to_owned()),
        ("Capacity", policy.capacity.to_string()),
        ("Voice", allowed(policy.voice).to_owned()),
        ("Voices", voices),
        ("Screen share", allowed(policy.screen_share).to_owned()),
        ("Sensors", allowed(policy.sensors).to_owned()),
        ("Keys change", format!("every {} s", policy.rotation_seconds)),
        ("Created", room.created_at.to_string()),
        ("There", room.live.participants.to_string()),
    ];
    pairs.extend(room.live.meeting.map(|meeting| ("Meeting", meeting.to_string())));
    let mut text = facts(&pairs);
    for present in &room.participants {
        let state = voice_state(present.muted, present.silenced);
        text.push_str(&format!("  {} ({state})\n", present.display_name));
    }
    text
}

const fn allowed(allowed: bool) -> &'static str {
    if allowed { "allowed" } else { "refused" }
}

/// How somebody's voice is.
pub const fn voice_state(muted: bool, silenced: bool) -> &'static str {
    match (silenced, muted) {
        (true, _) => "silenced",
        (false, true) => "muted",
        (false, false) => "on",
    }
}

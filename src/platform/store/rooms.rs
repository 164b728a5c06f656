// SPDX-License-Identifier: AGPL-3.0-or-later
//! Table `rooms`: the places of one workspace and what each permits.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::core::auth::permission::Role;
use crate::core::keys::epoch::RotationInterval;
use crate::core::room::policy::{Lobby, RoomPolicy};
use crate::platform::store::row::{BadColumn, id, text, time};
use crate::platform::store::workspace::Write;
use crate::values::id::RoomId;
use crate::values::name::RoomName;
use crate::values::time::Timestamp;

/// Rooms of a workspace at most.
pub const ROOMS_MAX: u64 = 1_000;

/// A room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Its id.
    pub id: RoomId,
    /// What it is called.
    pub name: RoomName,
    /// What it permits.
    pub policy: RoomPolicy,
    /// Since when it exists.
    pub created_at: Timestamp,
}

/// Why a room was not made or not renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomRefused {
    /// There is a room with this name.
    NameTaken,
    /// There are [`ROOMS_MAX`] of them.
    TooMany,
}

fn room(row: &Row<'_>) -> rusqlite::Result<Room> {
    let bad = |column| move || BadColumn(column);
    let entry: String = row.get("entry")?;
    let lobby: String = row.get("lobby")?;
    let rotation: u64 = row.get("rotation")?;
    Ok(Room {
        id: id(row, "id").map(RoomId::from_bytes)?,
        name: text(row, "name")?,
        policy: RoomPolicy {
            voice: row.get("voice")?,
            screen_share: row.get("screen_share")?,
            sensors: row.get("sensors")?,
            capacity: row.get("capacity")?,
            entry: Role::from_name(&entry).ok_or_else(bad("entry"))?,
            lobby: Lobby::from_name(&lobby).ok_or_else(bad("lobby"))?,
            voices: row.get("voices")?,
            rotation: RotationInterval::try_from(rotation).map_err(|_| BadColumn("rotation"))?,
        },
        created_at: time(row, "created_at")?,
    })
}

/// The room with this id.
pub fn find(database: &Connection, id: RoomId) -> rusqlite::Result<Option<Room>> {
    database.prepare_cached("SELECT * FROM rooms WHERE id = ?1")?.query_row(params![id.as_bytes()], room).optional()
}

/// The room with this name.
pub fn find_by_name(database: &Connection, name: &RoomName) -> rusqlite::Result<Option<Room>> {
    database.prepare_cached("SELECT * FROM rooms WHERE name = ?1")?.query_row(params![name.as_str()], room).optional()
}

/// Every room, by name.
pub fn all(database: &Connection) -> rusqlite::Result<Vec<Room>> {
    database.prepare_cached("SELECT * FROM rooms ORDER BY name")?.query_map([], room)?.collect()
}

/// Up to `limit` rooms behind `after` in the order of names, of those that are `visible`.
pub fn page(
    database: &Connection,
    after: Option<&RoomName>,
    limit: u32,
    visible: impl Fn(&Room) -> bool,
) -> rusqlite::Result<Vec<Room>> {
    let mut statement = database.prepare_cached("SELECT * FROM rooms WHERE name > ?1 ORDER BY name")?;
    let rows = statement.query_map(params![after.map_or("", RoomName::as_str)], room)?;
    let visible = rows.filter(|row| row.as_ref().map_or(true, &visible));
    visible.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
}

/// Adds a room.
pub fn insert(write: &Write<'_>, room: &Room) -> rusqlite::Result<Result<(), RoomRefused>> {
    let count: u64 = write.sql().query_row("SELECT count(*) FROM rooms", [], |row| row.get(0))?;
    if count >= ROOMS_MAX {
        return Ok(Err(RoomRefused::TooMany));
    }
    if find_by_name(write.sql(), &room.name)?.is_some() {
        return Ok(Err(RoomRefused::NameTaken));
    }
    put(write, room)?;
    Ok(Ok(()))
}

/// Changes the name of a room and what it permits.
pub fn update(write: &Write<'_>, room: &Room) -> rusqlite::Result<Result<(), RoomRefused>> {
    if find_by_name(write.sql(), &room.name)?.is_some_and(|other| other.id != room.id) {
        return Ok(Err(RoomRefused::NameTaken));
    }
    put(write, room)?;
    Ok(Ok(()))
}

/// Writes a room as it is to be; when it was made does not change.
fn put(write: &Write<'_>, room: &Room) -> rusqlite::Result<()> {
    let policy = &room.policy;
    write.sql().execute(
        "INSERT INTO rooms (id, name, voice, screen_share, sensors, capacity, entry, lobby, voices, rotation, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (id) DO UPDATE SET name = ?2, voice = ?3, screen_share = ?4, sensors = ?5, capacity = ?6, entry = ?7,
         lobby = ?8, voices = ?9, rotation = ?10",
        params![
            room.id.as_bytes(),
            room.name.as_str(),
            policy.voice,
            policy.screen_share,
            policy.sensors,
            policy.capacity,
            policy.entry.as_str(),
            policy.lobby.as_str(),
            policy.voices,
            seconds(policy.rotation),
            room.created_at.as_millis(),
        ],
    )?;
    Ok(())
}

/// Removes a room; says whether there was one.
pub fn delete(write: &Write<'_>, id: RoomId) -> rusqlite::Result<bool> {
    Ok(write.sql().execute("DELETE FROM rooms WHERE id = ?1", params![id.as_bytes()])? > 0)
}

fn seconds(rotation: RotationInterval) -> u64 {
    rotation.as_duration().as_secs()
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! Rooms: what a room permits, and what happens in a meeting.

pub mod policy;

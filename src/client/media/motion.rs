// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Motion without a headset: generated walking and nodding, or recorded poses.
//!
//! A generated pose is 110 bytes, little-endian, an example of what a client may put there; the relay never sees it:
//!
//! ```text
//! u8 version 1 ‖ u8 3 devices ‖ u64 time in µs
//! 3 × ( f32 x, y, z in m ‖ f32 quaternion x, y, z, w ‖ f32 trigger 0…1 )              head, left hand, right hand
//! u32 buttons
//! ```
//!
//! A recording is JSON lines: `{"at_ms": 13.9, "pose": "<base64url>"}`.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::client::ClientError;
use crate::client::media::fault;

/// Bytes of a generated pose.
pub const POSE_LEN: usize = 1 + 1 + 8 + 3 * 8 * 4 + 4;
/// Poses a second of most headsets.
pub const POSE_HZ: u32 = 72;

/// A recorded pose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// When, in milliseconds since the first.
    pub at_ms: f64,
    /// Its bytes, base64url without padding.
    pub pose: String,
}

/// Reads a recording: each pose with its time.
pub fn read(path: &Path) -> Result<Vec<(Duration, Vec<u8>)>, ClientError> {
    let fault = fault(path);
    let text = std::fs::read_to_string(path).map_err(|error| fault(&error))?;
    let mut poses = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let refused = |reason: &dyn std::fmt::Display| fault(&format!("line {number}: {reason}"));
        let recorded: Recorded = serde_json::from_str(line).map_err(|error| refused(&error))?;
        let pose = URL_SAFE_NO_PAD.decode(&recorded.pose).map_err(|error| refused(&error))?;
        let at = Duration::try_from_secs_f64(recorded.at_ms / 1_000.0).map_err(|error| refused(&error))?;
        poses.push((at, pose));
    }
    if poses.is_empty() { Err(fault(&"holds no poses")) } else { Ok(poses) }
}

/// A line of a recording.
pub fn line(at: Duration, pose: &[u8]) -> String {
    let recorded = Recorded { at_ms: at.as_secs_f64() * 1_000.0, pose: URL_SAFE_NO_PAD.encode(pose) };
    serde_json::to_string(&recorded).unwrap_or_default()
}

/// Somebody who walks in a circle of 1 m, looks ahead, nods, and swings both arms. `who` gives everybody another place.
pub fn generated(who: u16, at: Duration) -> [u8; POSE_LEN] {
    let time = at.as_secs_f32();
    let turn = time * 0.5 + f32::from(who);
    let (sin, cos) = turn.sin_cos();
    let swing = (time * 4.0).sin();
    let nod = (time * 1.5).sin() * 0.1;
    let device = |side: f32, height: f32, forward: f32, trigger: f32| {
        let (x, z) = (cos + side * sin + forward * cos, sin - side * cos + forward * sin);
        let half = turn / 2.0;
        [x, height, z, nod, half.sin(), 0.0, half.cos(), trigger]
    };
    let devices = [
        device(0.0, 1.7 + nod * 0.1, 0.0, 0.0),
        device(-0.3, 1.1, swing * 0.3, (swing > 0.9).into()),
        device(0.3, 1.1, -swing * 0.3, (swing < -0.9).into()),
    ];
    let micros = u64::try_from(at.as_micros()).unwrap_or(u64::MAX).to_le_bytes();
    let numbers = devices.iter().flatten().flat_map(|number: &f32| number.to_le_bytes());
    let bytes = [1, 3].into_iter().chain(micros).chain(numbers);
    let mut pose = [0; POSE_LEN];
    for (place, byte) in pose.iter_mut().zip(bytes) {
        *place = byte;
    }
    pose
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_read_back_and_name_the_line_that_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("motion.jsonl");
        let poses: Vec<_> = (0..3)
            .map(|n| (Duration::from_millis(14 * n), generated(1, Duration::from_millis(14 * n)).to_vec()))
            .collect();
        let lines: Vec<_> = poses.iter().map(|(at, pose)| line(*at, pose)).collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        assert_eq!(read(&path).unwrap(), poses);
        std::fs::write(&path, format!("{}\n{{\"at_ms\":-1,\"pose\":\"AA\"}}\n", lines[0])).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn people_move_and_are_not_in_one_place() {
        let at = Duration::from_millis(500);
        assert_eq!(POSE_LEN, 110);
        assert_ne!(generated(1, at), generated(2, at));
        assert_ne!(generated(1, at), generated(1, at * 2));
    }
}

// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What arrives, into files: a playable `.opus` for each speaker, an `.ivf` for each sharer, JSON lines for poses and
//! events. Voice is put in order by its counter, waiting for stragglers as a jitter buffer does.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::client::ClientError;
use crate::client::incoming::Received;
use crate::client::media::{ivf, ogg_opus};
use crate::values::time::Moment;
use crate::wire::kid::{Channel, Epoch, Participant};

/// Frames of voice that are waited for: 200 ms of 20 ms each.
const STRAGGLERS: usize = 10;

/// Frames of voice that count as missing at once: ten minutes. A counter may leap as far as its sender likes.
const MISSING_MAX: u64 = 10 * 60 * 50;

/// Writes what arrives below one directory.
pub struct Recorder {
    directory: PathBuf,
    began: Moment,
    voices: BTreeMap<Participant, Voice>,
    screens: BTreeMap<Participant, ivf::Writer>,
    poses: BufWriter<File>,
    events: BufWriter<File>,
}

/// One speaker: its file, and what waits to be written in order.
struct Voice {
    file: ogg_opus::Writer,
    waiting: BTreeMap<(Epoch, u64), Vec<u8>>,
    /// The last that was written.
    last: Option<(Epoch, u64)>,
}

impl Voice {
    fn add(&mut self, epoch: Epoch, counter: u64, packet: Vec<u8>) -> Result<(), ClientError> {
        if self.last.is_none_or(|last| (epoch, counter) > last) {
            self.waiting.insert((epoch, counter), packet);
        }
        while self.waiting.len() > STRAGGLERS || self.next_is_here() {
            self.write_first()?;
        }
        Ok(())
    }

    /// Whether the first that waits follows the last one written.
    fn next_is_here(&self) -> bool {
        match (self.last, self.waiting.keys().next()) {
            (Some((epoch, counter)), Some(first)) => *first == (epoch, counter + 1),
            _ => false,
        }
    }

    fn write_first(&mut self) -> Result<(), ClientError> {
        let Some(((epoch, counter), packet)) = self.waiting.pop_first() else { return Ok(()) };
        let missing = self.last.filter(|last| last.0 == epoch).map_or(0, |last| counter - last.1 - 1).min(MISSING_MAX);
        self.last = Some((epoch, counter));
        self.file.write(&packet, missing)
    }

    fn finish(mut self) -> Result<(), ClientError> {
        while !self.waiting.is_empty() {
            self.write_first()?;
        }
        self.file.finish()
    }
}

impl Recorder {
    /// Begins; makes the directory.
    pub fn create(directory: &Path, now: Moment) -> Result<Self, ClientError> {
        let fault = |error: std::io::Error| media(directory, &error);
        std::fs::create_dir_all(directory).map_err(fault)?;
        let file = |name: &str| File::create(directory.join(name)).map(BufWriter::new).map_err(fault);
        Ok(Self {
            directory: directory.to_owned(),
            began: now,
            voices: BTreeMap::new(),
            screens: BTreeMap::new(),
            poses: file("poses.jsonl")?,
            events: file("events.jsonl")?,
        })
    }

    /// Adds a frame.
    pub fn add(&mut self, received: &Received) -> Result<(), ClientError> {
        let Received { kid, counter, level, bytes, at } = received;
        let (from, at) = (kid.participant, at.since(self.began));
        match kid.channel {
            // Nobody who sends something else in its place ends the recording of the others.
            Channel::Voice if ogg_opus::samples(bytes).is_none() => Ok(()),
            Channel::Voice => {
                if !self.voices.contains_key(&from) {
                    let file = ogg_opus::Writer::create(&self.directory.join(format!("voice-{from}.opus")))?;
                    self.voices.insert(from, Voice { file, waiting: BTreeMap::new(), last: None });
                }
                let voice = self.voices.get_mut(&from);
                voice.map_or(Ok(()), |voice| voice.add(kid.epoch, *counter, bytes.clone()))
            }
            Channel::Screen => {
                if !self.screens.contains_key(&from) {
                    let file = ivf::Writer::create(&self.directory.join(format!("screen-{from}.ivf")), bytes)?;
                    self.screens.insert(from, file);
                }
                self.screens.get_mut(&from).map_or(Ok(()), |file| file.write(bytes, at))
            }
            Channel::Pose => self.line(Channel::Pose, from, at, bytes),
            Channel::Event => {
                let _ = level;
                self.line(Channel::Event, from, at, bytes)
            }
        }
    }

    fn line(&mut self, channel: Channel, from: Participant, at: Duration, bytes: &[u8]) -> Result<(), ClientError> {
        let at_ms = at.as_secs_f64() * 1_000.0;
        // Events of ours are JSON; of others anything.
        let event = serde_json::from_slice::<serde_json::Value>(bytes).ok();
        let (file, line) = match (channel, event) {
            (Channel::Event, Some(event)) => {
                (&mut self.events, json!({ "at_ms": at_ms, "from": from.0, "event": event }))
            }
            (Channel::Event, None) => {
                (&mut self.events, json!({ "at_ms": at_ms, "from": from.0, "bytes": URL_SAFE_NO_PAD.encode(bytes) }))
            }
            _ => (&mut self.poses, json!({ "at_ms": at_ms, "from": from.0, "pose": URL_SAFE_NO_PAD.encode(bytes) })),
        };
        writeln!(file, "{line}").map_err(|error| media(&self.directory, &error))
    }

    /// Ends every file.
    pub fn finish(mut self) -> Result<(), ClientError> {
        self.voices.into_values().try_for_each(Voice::finish)?;
        self.screens.into_values().try_for_each(ivf::Writer::finish)?;
        let flushed = self.poses.flush().and_then(|()| self.events.flush());
        flushed.map_err(|error| media(&self.directory, &error))
    }
}

fn media(path: &Path, error: &std::io::Error) -> ClientError {
    ClientError::Media { path: path.display().to_string(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::kid::Kid;

    #[test]
    fn voice_is_put_in_order_and_gaps_stay_gaps() {
        let dir = tempfile::tempdir().unwrap();
        let at = Moment::after_origin(Duration::ZERO);
        let mut recorder = Recorder::create(dir.path(), at).unwrap();
        let packet = |counter: u64| vec![0xf8, u8::try_from(counter).unwrap(), 1, 2];
        let kid = Kid { epoch: Epoch(1), participant: Participant(3), channel: Channel::Voice };
        let mut add = |counter, bytes| recorder.add(&Received { kid, counter, level: None, bytes, at }).unwrap();
        for counter in [1, 0, 2, 5, 4, 7, 6, 8] {
            add(counter, packet(counter));
        }
        // What is not Opus, and a leap.
        add(9, b"\xfbno speech"[..1].to_vec());
        add(9, Vec::new());
        add(u64::MAX, packet(9));
        recorder.finish().unwrap();
        let read = ogg_opus::read(&dir.path().join("voice-3.opus")).unwrap();
        let packets: Vec<_> = read.into_iter().map(|speech| speech.packet).collect();
        assert_eq!(packets, [0, 1, 2, 4, 5, 6, 7, 8, 9].map(packet));
    }
}

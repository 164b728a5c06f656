// SPDX-License-Identifier: AGPL-3.0-or-later
//! What is measured: how many people send what how often, and what therefore should arrive.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::pace::Beat;
use crate::core::room::policy::{CAPACITY_MAX, VOICES_DEFAULT};
use crate::wire::kid::Channel;
use crate::wire::stream::EVENT_MAX;

/// Longest pose or voice in bytes of plaintext: its frame fits a datagram on every path (QUIC begins with 1,200 bytes).
const DATAGRAM_PLAIN_MAX: usize = 1_000;
/// Bytes of an event.
const EVENT_BYTES: usize = 200;
/// Frames a second of a shared screen, and their bytes: about 2.4 Mbit/s, a presentation with motion.
const SCREEN_HZ: f64 = 15.0;
const SCREEN_BYTES: usize = 20_000;
/// Fastest sending that the protocol accepts of poses and voice (docs/protocol.md, Rates and bounds).
const HZ_MAX: f64 = 120.0;
/// Fastest sending of events.
const EVENT_HZ_MAX: f64 = 20.0;

/// What `conclave bench` takes.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// The figures that the other options change
    #[arg(long, value_enum, default_value = "meeting")]
    pub preset: Preset,
    /// Synthetic participants in all [default: 100, all-to-all 50]
    #[arg(long, value_name = "N")]
    pub participants: Option<usize>,
    /// Rooms they are spread over
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub rooms: usize,
    /// Poses a second of each participant, 0 to 120 [default: 72, all-to-all 0]
    #[arg(long, value_name = "HZ")]
    pub pose_hz: Option<f64>,
    /// Bytes of a pose before it is sealed [default: 110]
    #[arg(long, value_name = "BYTES")]
    pub pose_bytes: Option<usize>,
    /// Voice frames a second of who talks, 0 to 120 [default: 50]
    #[arg(long, value_name = "HZ")]
    pub voice_hz: Option<f64>,
    /// Bytes of a voice frame before it is sealed [default: 100]
    #[arg(long, value_name = "BYTES")]
    pub voice_bytes: Option<usize>,
    /// Participants that talk, in all [default: 8, all-to-all everybody]
    #[arg(long, value_name = "N")]
    pub talking: Option<usize>,
    /// Events a second of each participant, 0 to 20
    #[arg(long, value_name = "HZ", default_value_t = 0.0)]
    pub event_hz: f64,
    /// Somebody shares a screen in each room
    #[arg(long, value_name = "true|false", default_value_t = false, action = clap::ArgAction::Set,
        num_args = 0..=1, default_missing_value = "true")]
    pub screen: bool,
    /// How participants reach Conclave's relay; the baseline speaks raw QUIC
    #[arg(long, value_enum, default_value = "quic")]
    pub carrier: Carrier,
}

/// Figures to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// 100 people move (72 Hz, 110 B), 8 of them talk (50 Hz, 100 B)
    Meeting,
    /// 50 people send 50 messages of 100 B a second, everybody to everybody
    AllToAll,
}

/// How participants reach the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// Raw QUIC
    Quic,
    /// WebTransport over HTTP/3
    #[value(name = "webtransport")]
    WebTransport,
}

/// A load makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// Nobody would hear anybody.
    #[error("{participants} participants in {rooms} rooms: every room needs at least two, and at most {CAPACITY_MAX}")]
    Rooms {
        /// In all.
        participants: usize,
        /// Rooms.
        rooms: usize,
    },
    /// More would talk than are there.
    #[error("--talking {talking} is more than the {participants} participants there are")]
    Talking {
        /// Asked for.
        talking: usize,
        /// In all.
        participants: usize,
    },
    /// The relay would refuse what is more.
    #[error("{what} {hz} is not from 0 to {max}, what the protocol accepts")]
    Rate {
        /// Which option.
        what: &'static str,
        /// Asked for.
        hz: f64,
        /// At most.
        max: f64,
    },
    /// It would not fit into a datagram.
    #[error("{what} {bytes} is more than {DATAGRAM_PLAIN_MAX}, which fits into a datagram on every path")]
    Size {
        /// Which option.
        what: &'static str,
        /// Asked for.
        bytes: usize,
    },
    /// Nobody sends anything.
    #[error("nothing is sent: give --pose-hz, --voice-hz with --talking, --event-hz or --screen")]
    Silence,
}

/// How often something is sent, and how large it is before it is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// A second, by each who sends it.
    pub hz: f64,
    /// Bytes.
    pub bytes: usize,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// People in all. Participant `i` is in room `i % rooms`.
    pub participants: usize,
    /// Rooms.
    pub rooms: usize,
    /// How many talk: the first ones.
    pub talking: usize,
    /// Of everybody.
    pub pose: Rate,
    /// Of those who talk.
    pub voice: Rate,
    /// Of everybody.
    pub event: Rate,
    /// Of the first of each room.
    pub screen: Rate,
    /// How participants reach the relay.
    pub carrier: Carrier,
}

impl TryFrom<&LoadArgs> for Load {
    type Error = LoadError;

    fn try_from(args: &LoadArgs) -> Result<Self, LoadError> {
        let participants = args.participants.unwrap_or(match args.preset {
            Preset::Meeting => 100,
            Preset::AllToAll => 50,
        });
        let (pose_hz, talking) = match args.preset {
            Preset::Meeting => (72.0, 8.min(participants)),
            // Voice, not poses: of those the newest may replace others, and everything is to arrive.
            Preset::AllToAll => (0.0, participants),
        };
        let load = Self {
            participants,
            rooms: args.rooms,
            talking: args.talking.unwrap_or(talking),
            pose: Rate { hz: args.pose_hz.unwrap_or(pose_hz), bytes: args.pose_bytes.unwrap_or(110) },
            voice: Rate { hz: args.voice_hz.unwrap_or(50.0), bytes: args.voice_bytes.unwrap_or(100) },
            event: Rate { hz: args.event_hz, bytes: EVENT_BYTES.min(EVENT_MAX) },
            screen: Rate { hz: if args.screen { SCREEN_HZ } else { 0.0 }, bytes: SCREEN_BYTES },
            carrier: args.carrier,
        };
        load.check()?;
        Ok(load)
    }
}

impl Load {
    fn check(&self) -> Result<(), LoadError> {
        let Self { participants, rooms, talking, .. } = *self;
        if rooms == 0 || participants / rooms < 2 || participants.div_ceil(rooms) > usize::from(CAPACITY_MAX) {
            return Err(LoadError::Rooms { participants, rooms });
        }
        if talking > participants {
            return Err(LoadError::Talking { talking, participants });
        }
        let rates = [("--pose-hz", self.pose.hz, HZ_MAX), ("--voice-hz", self.voice.hz, HZ_MAX)];
        for (what, hz, max) in rates.into_iter().chain([("--event-hz", self.event.hz, EVENT_HZ_MAX)]) {
            if !(0.0..=max).contains(&hz) {
                return Err(LoadError::Rate { what, hz, max });
            }
        }
        for (what, bytes) in [("--pose-bytes", self.pose.bytes), ("--voice-bytes", self.voice.bytes)] {
            if bytes > DATAGRAM_PLAIN_MAX {
                return Err(LoadError::Size { what, bytes });
            }
        }
        if self.deliveries_per_second() == 0.0 { Err(LoadError::Silence) } else { Ok(()) }
    }

    /// The room of a participant.
    pub const fn room_of(&self, participant: usize) -> usize {
        participant % self.rooms
    }

    /// How many others are in a participant's room: who receives each of its frames.
    pub const fn receivers_of(&self, participant: usize) -> usize {
        let room = self.room_of(participant);
        (self.participants - room).div_ceil(self.rooms) - 1
    }

    /// How often a channel is sent, and how large.
    pub const fn rate(&self, channel: Channel) -> Rate {
        match channel {
            Channel::Pose => self.pose,
            Channel::Voice => self.voice,
            Channel::Event => self.event,
            Channel::Screen => self.screen,
        }
    }

    /// Who sends on a channel.
    pub fn senders(&self, channel: Channel) -> Vec<usize> {
        let last = match channel {
            Channel::Pose | Channel::Event => self.participants,
            Channel::Voice => self.talking,
            Channel::Screen => self.rooms,
        };
        (0..last).collect()
    }

    /// All that is sent, as the pace of it.
    pub fn beats(&self) -> Vec<Beat> {
        let beat = |channel| Beat { channel, senders: self.senders(channel), hz: self.rate(channel).hz };
        Channel::ALL.map(beat).into()
    }

    /// Whether anything travels in streams, which the baseline does not carry.
    pub fn has_streams(&self) -> bool {
        self.event.hz > 0.0 || self.screen.hz > 0.0
    }

    /// Loudest voices that a room is to forward: 8 as in a meeting, or all (0) when more of a room talk.
    pub const fn voices(&self) -> u16 {
        if self.talking.div_ceil(self.rooms) > VOICES_DEFAULT as usize { 0 } else { VOICES_DEFAULT }
    }

    /// Frames that should arrive in a second, at all receivers together.
    pub fn deliveries_per_second(&self) -> f64 {
        let of_channel = |channel| {
            let receivers: usize = self.senders(channel).into_iter().map(|sender| self.receivers_of(sender)).sum();
            self.rate(channel).hz * receivers as f64
        };
        Channel::ALL.into_iter().map(of_channel).sum()
    }
}

/// Reads a duration such as `10s`, `500ms`, `2m`; a number alone is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let unreadable = || format!("{text:?} is no duration: write for example 10s, 500ms or 2m");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..).unwrap_or_default() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        _ => return Err(unreadable()),
    };
    let value: f64 = digits.trim().parse().map_err(|_| unreadable())?;
    Duration::try_from_secs_f64(value * unit).map_err(|_| unreadable())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn load(arguments: &str) -> Result<Load, LoadError> {
        let line = Line::try_parse_from(std::iter::once("bench").chain(arguments.split_whitespace())).unwrap();
        Load::try_from(&line.load)
    }

    #[test]
    fn presets_are_the_loads_of_the_documents() {
        let meeting = load("").unwrap();
        assert_eq!((meeting.participants, meeting.talking, meeting.voices()), (100, 8, 8));
        assert_eq!((meeting.pose, meeting.voice), (Rate { hz: 72.0, bytes: 110 }, Rate { hz: 50.0, bytes: 100 }));
        assert_eq!(meeting.deliveries_per_second(), f64::from(99 * (100 * 72 + 8 * 50)));
        let all = load("--preset all-to-all").unwrap();
        assert_eq!((all.participants, all.talking, all.voices(), all.pose.hz), (50, 50, 0, 0.0));
        assert_eq!(all.deliveries_per_second(), f64::from(50 * 50 * 49));
    }

    #[test]
    fn options_win_over_the_preset() {
        let some =
            load("--preset all-to-all --participants 10 --talking 3 --pose-hz 20 --screen --carrier webtransport");
        let some = some.unwrap();
        assert_eq!((some.participants, some.talking, some.pose.hz), (10, 3, 20.0));
        assert_eq!((some.carrier, some.has_streams()), (Carrier::WebTransport, true));
        assert!(!load("--screen false").unwrap().has_streams());
        assert_eq!(load("--participants 5").unwrap().talking, 5);
    }

    #[test]
    fn rooms_share_the_people() {
        let load = load("--participants 7 --rooms 3 --talking 2 --pose-hz 0 --voice-hz 10").unwrap();
        assert_eq!((0..7).map(|one| load.room_of(one)).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!((0..3).map(|one| load.receivers_of(one)).collect::<Vec<_>>(), [2, 1, 1]);
        assert_eq!(load.deliveries_per_second(), 30.0);
    }

    #[test]
    fn loads_that_make_no_sense_are_refused_by_name() {
        let refused = |arguments: &str| load(arguments).unwrap_err();
        assert_eq!(refused("--participants 3 --rooms 2"), LoadError::Rooms { participants: 3, rooms: 2 });
        assert_eq!(refused("--rooms 0"), LoadError::Rooms { participants: 100, rooms: 0 });
        assert!(matches!(refused("--participants 501"), LoadError::Rooms { .. }));
        assert!(matches!(refused("--talking 101"), LoadError::Talking { .. }));
        assert!(matches!(refused("--pose-hz 121"), LoadError::Rate { what: "--pose-hz", .. }));
        assert!(matches!(refused("--event-hz NaN"), LoadError::Rate { what: "--event-hz", .. }));
        assert!(matches!(refused("--voice-bytes 1001"), LoadError::Size { what: "--voice-bytes", .. }));
        assert_eq!(refused("--pose-hz 0 --talking 0"), LoadError::Silence);
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "s", "-1s", "10h", "1e400"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}

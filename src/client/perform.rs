// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Takes part without a person: sends speech in real time, motion at 72 Hz, events, and a screen, as a headset would.
//!
//! Everything begins when there are keys. What cannot be sent while the carrier is lost is skipped: real time goes on.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::client::ClientError;
use crate::client::connection::ScreenGroup;
use crate::client::media::ivf::Picture;
use crate::client::media::motion::{POSE_HZ, generated};
use crate::client::media::ogg_opus::Speech;
use crate::client::participant::Participant;
use crate::platform::clock::Clock;

/// Whether to begin again at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Once.
    Once,
    /// For as long as it takes part.
    Forever,
}

/// Where poses come from.
pub enum Motion {
    /// Made up; everybody is somewhere else.
    Generated {
        /// Who.
        who: u16,
    },
    /// As it was recorded, over and over.
    Recorded(Vec<(Duration, Vec<u8>)>),
}

/// What to send.
#[derive(Default)]
pub struct Performance {
    /// Speech.
    pub voice: Option<(Vec<Speech>, Again)>,
    /// Poses.
    pub pose: Option<Motion>,
    /// Events, each sent when it comes.
    pub events: Option<mpsc::Receiver<Vec<u8>>>,
    /// A screen.
    pub screen: Option<(Vec<Picture>, Again)>,
}

impl Performance {
    /// Sends all of it, and ends when there is nothing more to send.
    pub async fn perform(self, participant: &Participant, clock: &Clock) {
        while participant.epoch().is_none() {
            sleep(Duration::from_millis(5)).await;
        }
        let Self { voice, pose, events, screen } = self;
        let voice = async {
            if let Some((speech, again)) = voice {
                speak(participant, &speech, again, clock).await;
            }
        };
        let pose = async {
            match pose {
                Some(Motion::Generated { who }) => move_about(participant, who, clock).await,
                Some(Motion::Recorded(poses)) => move_as(participant, &poses, clock).await,
                None => {}
            }
        };
        let events = async {
            if let Some(mut events) = events {
                while let Some(event) = events.recv().await {
                    say_event(participant, &event).await;
                }
            }
        };
        let screen = async {
            if let Some((pictures, again)) = screen {
                share(participant, &pictures, again, clock).await;
            }
        };
        tokio::join!(voice, pose, events, screen);
    }
}

fn now(clock: &Clock) -> Instant {
    Instant::from_std(clock.instant())
}

async fn speak(participant: &Participant, speech: &[Speech], again: Again, clock: &Clock) {
    let mut due = now(clock);
    loop {
        for one in speech {
            sleep_until(due).await;
            // Speech that cannot be sent is speech that nobody hears.
            let _ = participant.send_voice(one.level(), &one.packet);
            due += one.duration;
        }
        if again == Again::Once || speech.is_empty() {
            return;
        }
    }
}

async fn move_about(participant: &Participant, who: u16, clock: &Clock) {
    let began = now(clock);
    let mut ticks = interval(Duration::from_secs(1) / POSE_HZ);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let tick = ticks.tick().await;
        let _ = participant.send_pose(&generated(who, tick - began));
    }
}

async fn move_as(participant: &Participant, poses: &[(Duration, Vec<u8>)], clock: &Clock) {
    loop {
        let began = now(clock);
        for (at, pose) in poses {
            sleep_until(began + *at).await;
            let _ = participant.send_pose(pose);
        }
        // A recording of one moment does not spin.
        sleep(Duration::from_secs(1) / POSE_HZ).await;
    }
}

/// Sends an event; tries again while there is no carrier or too many wait.
async fn say_event(participant: &Participant, event: &[u8]) {
    const TRIES: u32 = 100;
    for _ in 0..TRIES {
        match participant.send_event(event) {
            Err(ClientError::Lost | ClientError::NotSent(_)) => sleep(Duration::from_millis(100)).await,
            _ => return,
        }
    }
}

async fn share(participant: &Participant, pictures: &[Picture], again: Again, clock: &Clock) {
    // The last picture is shown as long as the one before it.
    let step = match pictures {
        [.., one, other] => other.at.saturating_sub(one.at),
        _ => Duration::from_secs(1),
    };
    loop {
        let began = now(clock);
        let mut group: Option<ScreenGroup> = None;
        for picture in pictures {
            sleep_until(began + picture.at).await;
            if picture.key {
                if let Some(over) = group.take() {
                    over.finish();
                }
                group = participant.begin_screen_group().await.ok();
            }
            // After keys changed for somebody who went, or the carrier was lost, the next key frame begins again.
            if let Some(under_way) = &mut group
                && under_way.send(&picture.data).await.is_err()
            {
                group = None;
            }
        }
        if let Some(over) = group {
            over.finish();
        }
        if again == Again::Once || pictures.is_empty() {
            return;
        }
        sleep(step.max(Duration::from_millis(1))).await;
    }
}

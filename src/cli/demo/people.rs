// SPDX-License-Identifier: AGPL-3.0-or-later
//! Three synthetic participants. They are clients like any other: accounts of the workspace that sign in with a sealed
//! credential, join over the relay, send, and read what comes. Until they are told to leave.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::cli::demo::stage::{ROOM, Stage, WORKSPACE};
use crate::cli::exit::Failure;
use crate::client::ClientError;
use crate::client::account::{Account, Credential};
use crate::client::carrier::Kind;
use crate::client::https::Https;
use crate::client::incoming::Incoming;
use crate::client::media::{ivf, ogg_opus};
use crate::client::participant::{Options, Participant};
use crate::client::perform::{Again, Motion, Performance};
use crate::client::trust::Trust;
use crate::platform::clock::Clock;
use crate::values::secret::SecretText;

/// What they say and show: 68 KB of the binary. `tests/media/README.md` says where it comes from.
const SPEECH: &[u8] = include_bytes!("../../../tests/media/speech.opus");
const SCREEN: &[u8] = include_bytes!("../../../tests/media/screen.ivf");
/// How often each makes a gesture.
const GESTURE_EVERY: Duration = Duration::from_secs(15);
const GESTURES: [&str; 3] = ["wave", "nod", "point"];
/// Who was sent away comes back after this long.
const AWAY: Duration = Duration::from_secs(10);

/// Somebody, and what makes that one different from the others. All move and make gestures.
struct Person {
    user_name: &'static str,
    display_name: &'static str,
    carrier: Kind,
    does: Does,
}

enum Does {
    Speak,
    Share,
}

const PEOPLE: [Person; 3] = [
    Person { user_name: "demo.grace", display_name: "Grace Hopper", carrier: Kind::Quic, does: Does::Speak },
    Person { user_name: "demo.alan", display_name: "Alan Turing", carrier: Kind::WebTransport, does: Does::Share },
    Person { user_name: "demo.hedy", display_name: "Hedy Lamarr", carrier: Kind::WebTransport, does: Does::Speak },
];

/// Who is in the room, for a text.
pub fn names() -> String {
    PEOPLE.map(|person| person.display_name).join(", ")
}

/// The way to the appliance, and to leave it.
#[derive(Clone)]
struct Way {
    https: Https,
    trust: Trust,
    clock: Clock,
    leave: watch::Receiver<bool>,
}

impl Way {
    async fn told_to_leave(&self) {
        // Without its sender nobody wants them any more.
        drop(self.leave.clone().wait_for(|leave| *leave).await);
    }
}

/// The three of them.
pub struct People {
    leave: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl People {
    /// Gives each an account or, when it has one, a new password, and lets it come in.
    pub async fn invite(stage: &Stage) -> Result<Self, Failure> {
        let trust = Trust::from_pem(stage.root_pem().as_bytes())?;
        let https = Https::new(stage.origin().parse()?, stage.addresses.clone(), &trust)?;
        let (leave, leaving) = watch::channel(false);
        let way = Way { https, trust, clock: Clock::system(), leave: leaving };
        let mut tasks = JoinSet::new();
        for (number, person) in (1..).zip(PEOPLE) {
            let password = stage.fresh_password(person.user_name, person.display_name, "user").await?;
            tasks.spawn(person.attend(number, SecretText::new(password), way.clone()));
        }
        Ok(Self { leave, tasks })
    }

    /// Waits until all have left.
    pub async fn leave(mut self) {
        self.leave.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Person {
    /// Is there until told to leave. Who is sent away comes back after a while; who may not come in stays away.
    async fn attend(self, number: u16, password: SecretText, way: Way) {
        let credential = Credential { workspace: WORKSPACE.to_owned(), user_name: self.user_name.to_owned(), password };
        while !*way.leave.borrow() {
            if let Err(error) = self.visit(number, &credential, &way).await {
                tracing::warn!(error = %error, "a synthetic participant stays away");
                return;
            }
            tokio::select! {
                () = sleep(AWAY) => {}
                () = way.told_to_leave() => {}
            }
        }
    }

    /// Comes in and takes part until told to leave, or sent away.
    async fn visit(&self, number: u16, credential: &Credential, way: &Way) -> Result<(), ClientError> {
        let (gestures, events) = mpsc::channel(1);
        let performance = self.performance(number, events)?;
        let join = async {
            let account = Account::sign_in(way.https.clone(), way.clock.clone(), credential, "demo").await?;
            let options = Options { carrier: self.carrier, ..Options::default() };
            Participant::join(account, ROOM, way.trust.clone(), options).await
        };
        let (participant, mut incoming) = tokio::select! {
            joined = join => joined?,
            () = way.told_to_leave() => return Ok(()),
        };
        if !matches!(self.does, Does::Speak) {
            participant.set_muted(true)?;
        }
        tokio::select! {
            () = performance.perform(&participant, &way.clock) => {}
            () = make(gestures, number) => {}
            () = listen(&mut incoming) => {}
            () = way.told_to_leave() => {}
        }
        participant.leave().await;
        Ok(())
    }

    fn performance(&self, number: u16, events: mpsc::Receiver<Vec<u8>>) -> Result<Performance, ClientError> {
        let (mut voice, mut screen) = (None, None);
        match self.does {
            Does::Speak => voice = Some((ogg_opus::parse(Path::new("speech.opus"), SPEECH)?, Again::Forever)),
            Does::Share => screen = Some((ivf::parse(Path::new("screen.ivf"), SCREEN)?.1, Again::Forever)),
        }
        Ok(Performance { voice, pose: Some(Motion::Generated { who: number }), events: Some(events), screen })
    }
}

/// Makes gestures, one after another; everybody at another time.
async fn make(gestures: mpsc::Sender<Vec<u8>>, number: u16) {
    sleep(GESTURE_EVERY / 3 * u32::from(number)).await;
    for gesture in GESTURES.iter().cycle() {
        if gestures.send(json!({ "gesture": gesture }).to_string().into_bytes()).await.is_err() {
            return;
        }
        sleep(GESTURE_EVERY).await;
    }
}

/// Takes what comes, to the end.
async fn listen(incoming: &mut mpsc::Receiver<Incoming>) {
    while let Some(happened) = incoming.recv().await {
        if let Incoming::Ended(error) = happened {
            tracing::info!(reason = %error, "a synthetic participant is out, and comes back");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_something_to_send_over_both_carriers() {
        for person in &PEOPLE {
            let (_, events) = mpsc::channel(1);
            let performance = person.performance(1, events).unwrap();
            assert!(performance.voice.is_some() != performance.screen.is_some() && performance.pose.is_some());
        }
        for carrier in [Kind::Quic, Kind::WebTransport] {
            assert!(PEOPLE.iter().any(|person| person.carrier == carrier));
        }
    }
}

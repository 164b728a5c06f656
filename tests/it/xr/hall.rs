// SPDX-License-Identifier: AGPL-3.0-or-later
//! A room with people in it: what they hear is kept, to be looked at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use conclave::client::ClientError;
use conclave::client::account::{Account, Credential};
use conclave::client::carrier::{self, Kind};
use conclave::client::https::Https;
use conclave::client::incoming::{Entry, Incoming, Received};
use conclave::client::media::{ivf, ogg_opus};
use conclave::client::participant::{Options, Participant};
use conclave::client::perform::{Again, Performance};
use conclave::client::resolve::Server;
use conclave::client::trust::Trust;
use conclave::platform::clock::Clock;
use conclave::values::secret::SecretText;
use conclave::wire::close::CloseCode;
use conclave::wire::control::schema;
use conclave::wire::kid::{Channel, Epoch, Participant as Number};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use web_transport_quinn::Session;

use crate::harness::{self, Appliance, PATIENCE};

/// A claimed appliance with the room `lobby`, and a runtime on which people live while the test looks at them.
pub struct Hall {
    pub appliance: Appliance,
    pub runtime: Runtime,
    trust: Trust,
}

/// What somebody heard so far.
#[derive(Default)]
pub struct Heard {
    /// With the moment at which each came.
    pub frames: Vec<(Received, Instant)>,
    pub entries: Vec<(Entry, Number)>,
    pub rosters: Vec<schema::Roster>,
    pub policy: schema::Policy,
    pub outcomes: BTreeMap<u32, i32>,
    pub epochs: Vec<Epoch>,
    /// Why its carriers ended, as far as the appliance said it.
    pub lost: Vec<Option<CloseCode>>,
    pub ended: Option<ClientError>,
}

/// Somebody in the room.
pub struct Guest {
    pub name: String,
    pub participant: Participant,
    heard: Arc<Mutex<Heard>>,
}

impl Hall {
    /// A room with this policy.
    pub fn new(policy: &[&str]) -> Self {
        Self::with(&["--test-cheap-passwords"], policy)
    }

    /// The same, with these arguments of `serve`.
    pub fn with(arguments: &[&str], policy: &[&str]) -> Self {
        Self::of(Appliance::claimed_with(arguments), policy)
    }

    /// The same, of a claimed appliance with the workspace `demo`.
    pub fn of(appliance: Appliance, policy: &[&str]) -> Self {
        appliance.cli_ok(&[&["room", "create", "-w", "demo", "lobby"], policy].concat());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let trust = Trust::from_pem(appliance.root_pem().as_bytes()).unwrap();
        Self { appliance, runtime, trust }
    }

    /// A new account's credential.
    pub fn credential(&self, name: &str, role: &str) -> Credential {
        let password = SecretText::new(self.appliance.account("demo", name, role));
        Credential { workspace: "demo".to_owned(), user_name: name.to_owned(), password }
    }

    /// Signs in, and may join from then on.
    pub fn account(&self, credential: &Credential) -> Account {
        let server: Server = self.appliance.origin().parse().unwrap();
        let https = Https::new(server, vec![self.appliance.address], &self.trust).unwrap();
        self.runtime.block_on(Account::sign_in(https, Clock::system(), credential, "test headset")).unwrap()
    }

    /// Joins, which may be refused.
    pub fn try_join(&self, name: &str, account: Account, kind: Kind) -> Result<Guest, ClientError> {
        let options = Options { carrier: kind, ..Options::default() };
        let joined = self.runtime.block_on(Participant::join(account, "lobby", self.trust.clone(), options));
        let (participant, incoming) = joined?;
        let heard = Arc::default();
        self.runtime.spawn(listen(incoming, Arc::clone(&heard)));
        Ok(Guest { name: name.to_owned(), participant, heard })
    }

    /// Somebody new, with keys.
    pub fn enter_as(&self, name: &str, role: &str, kind: Kind) -> Guest {
        let account = self.account(&self.credential(name, role));
        let guest = self.try_join(name, account, kind).unwrap();
        becomes("there are keys", || guest.participant.epoch().is_some());
        guest
    }

    /// A user.
    pub fn enter(&self, name: &str, kind: Kind) -> Guest {
        self.enter_as(name, "user", kind)
    }

    /// One says the speech of the test media, and the other hears it.
    pub fn talk(&self, speaker: &Guest, listener: &Guest) {
        let said = Performance { voice: Some((speech(&media("speech.opus")), Again::Once)), ..Performance::default() };
        self.runtime.block_on(said.perform(&speaker.participant, &Clock::system()));
        becomes("the speech is heard", || listener.count(speaker.number(), Channel::Voice) > 20);
    }

    /// A carrier, and nothing said over it.
    pub async fn connect(&self, kind: Kind) -> Session {
        let server: Server = self.appliance.origin().parse().unwrap();
        carrier::connect(kind, &server, &[self.appliance.address], &self.trust).await.unwrap()
    }

    /// The meeting as a moderator sees it.
    pub fn meeting(&self) -> Value {
        self.appliance.cli_json(&["meeting", "show", "-w", "demo", "lobby"])
    }

    /// One participant, as a moderator sees it.
    pub fn facts(&self, name: &str) -> Value {
        let meeting = self.meeting();
        let all = meeting["participants"].as_array().unwrap();
        all.iter().find(|one| one["display_name"] == name).cloned().unwrap_or_else(|| panic!("{name} in {meeting}"))
    }

    /// A count in the facts of a participant; 0 when it is not there.
    pub fn count(&self, name: &str, pointer: &str) -> u64 {
        self.facts(name).pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
    }

    /// What a moderator does over the command line.
    pub fn act(&self, arguments: &[&str]) {
        self.appliance.cli_ok(&[&["meeting", arguments[0], "-w", "demo", "lobby"], &arguments[1..]].concat());
    }
}

impl Guest {
    /// Looks at what was heard.
    pub fn heard<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(&self.heard.lock().unwrap())
    }

    /// Its number now.
    pub fn number(&self) -> Number {
        self.heard(|heard| heard.entries.last().unwrap().1)
    }

    /// What came on a channel from one of the others, in the order of arrival.
    pub fn from(&self, from: &[Number], channel: Channel) -> Vec<Received> {
        self.timed(from, channel).into_iter().map(|(received, _)| received).collect()
    }

    /// The same, with the moment at which each came.
    pub fn timed(&self, from: &[Number], channel: Channel) -> Vec<(Received, Instant)> {
        let of = |one: &Received| from.contains(&one.kid.participant) && one.kid.channel == channel;
        self.heard(|heard| heard.frames.iter().filter(|(one, _)| of(one)).cloned().collect())
    }

    /// How many came.
    pub fn count(&self, from: Number, channel: Channel) -> usize {
        self.from(&[from], channel).len()
    }

    /// Why it is not there any more.
    pub fn ended(&self) -> Option<CloseCode> {
        self.heard(|heard| match &heard.ended {
            Some(ClientError::Closed(code)) => Some(*code),
            Some(other) => panic!("{}: {other}", self.name),
            None => None,
        })
    }
}

/// Waits until everybody seals under one epoch.
pub fn settled(guests: &[&Guest]) {
    becomes("everybody seals under one epoch", || {
        let epochs: Vec<_> = guests.iter().map(|guest| guest.participant.epoch()).collect();
        epochs.iter().all(|epoch| epoch.is_some() && *epoch == epochs[0])
    });
}

/// Waits until something holds.
pub fn becomes(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it does not come about: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

async fn listen(mut incoming: mpsc::Receiver<Incoming>, heard: Arc<Mutex<Heard>>) {
    while let Some(happened) = incoming.recv().await {
        let mut heard = heard.lock().unwrap();
        match happened {
            Incoming::Joined { entry, participant, .. } => heard.entries.push((entry, participant)),
            Incoming::Frame(received) => heard.frames.push((received, Instant::now())),
            Incoming::Roster(roster) => heard.rosters.push(roster),
            Incoming::Policy(policy) => heard.policy = policy,
            Incoming::Outcome(outcome) => {
                heard.outcomes.insert(outcome.request, outcome.answer);
            }
            Incoming::Switched(epoch) => heard.epochs.push(epoch),
            Incoming::Ended(why) => heard.ended = Some(why),
            Incoming::Waiting | Incoming::Lobby(_) | Incoming::Statistics(_) => {}
            Incoming::Lost(why) => heard.lost.push(why),
        }
    }
}

/// A file of `tests/media`.
pub fn media(name: &str) -> PathBuf {
    harness::repository().join("tests/media").join(name)
}

/// The packets of a speech file.
pub fn speech(path: &Path) -> Vec<ogg_opus::Speech> {
    ogg_opus::read(path).unwrap()
}

/// The pictures of a screen file.
pub fn pictures(path: &Path) -> Vec<Vec<u8>> {
    ivf::read(path).unwrap().1.into_iter().map(|picture| picture.data).collect()
}

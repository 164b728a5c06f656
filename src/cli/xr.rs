// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave client`: an XR client without a headset, for trying, testing and recording.
//!
//! It signs in, joins, sends what it is given in real time, records what arrives, and comes back by itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::cli::bench::duration;
use crate::cli::exit::Failure;
use crate::cli::output::{Output, facts, table};
use crate::client::ClientError;
use crate::client::account::{Account, Credential};
use crate::client::carrier::Kind;
use crate::client::https::Https;
use crate::client::incoming::{Entry, Incoming};
use crate::client::media::{ivf, motion, ogg_opus};
use crate::client::participant::{Options, Participant};
use crate::client::perform::{Again, Motion, Performance};
use crate::client::record::Recorder;
use crate::client::resolve::Server;
use crate::client::trust::Trust;
use crate::platform::clock::Clock;
use crate::values::secret::SecretText;
use crate::wire::close::CloseCode;
use crate::wire::control::schema::{self, Departure};
use crate::wire::kid::Channel;

const EXAMPLE: &str = "Example, beside a running `make run` (which prints it with the password):

  CONCLAVE_PASSWORD=PASSWORD conclave client --server https://localhost:8443 --root conclave-demo/root.pem \\
      --workspace demo --user ada --room lobby --pose generated --record heard --duration 10s";

/// Take part in a meeting without a headset
#[derive(Debug, Args)]
#[command(before_help = EXAMPLE)]
pub struct Xr {
    /// The appliance, such as `https://meet.example.lan`
    #[arg(long, value_name = "URL")]
    server: Server,
    /// Its root certificate (PEM)
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// Workspace name
    #[arg(long, short, value_name = "NAME")]
    workspace: String,
    /// User name
    #[arg(long, value_name = "NAME")]
    user: String,
    /// File with the password in its first line [default: $CONCLAVE_PASSWORD]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Room name
    #[arg(long, value_name = "NAME")]
    room: String,
    /// How to reach the relay
    #[arg(long, value_enum, default_value = "quic")]
    carrier: CarrierName,
    /// Address of the appliance, instead of asking for its name
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// Speak: an Ogg Opus file, in real time
    #[arg(long, value_name = "FILE")]
    voice: Option<PathBuf>,
    /// Move: `generated`, or a file of JSON lines
    #[arg(long, value_name = "FILE")]
    pose: Option<PathBuf>,
    /// Send events: a file of JSON lines, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Share a screen: an IVF file, in real time
    #[arg(long, value_name = "FILE")]
    screen: Option<PathBuf>,
    /// Begin voice and screen again when they end
    #[arg(long = "loop")]
    repeat: bool,
    /// Write what arrives into this directory: .opus for each speaker, .ivf, JSON lines
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Leave after this long [default: at Ctrl-C, or when everything was sent]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    duration: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CarrierName {
    Quic,
    Webtransport,
}

impl From<CarrierName> for Kind {
    fn from(name: CarrierName) -> Self {
        match name {
            CarrierName::Quic => Self::Quic,
            CarrierName::Webtransport => Self::WebTransport,
        }
    }
}

/// What became of a meeting.
#[derive(Debug, Serialize)]
struct Summary {
    ended: &'static str,
    sent: BTreeMap<&'static str, u64>,
    received: BTreeMap<&'static str, u64>,
    voice_gaps: u64,
    unopened: u64,
    dropped: u64,
    epochs: u64,
    resumed: u64,
    rejoined: u64,
    rtt_micros: Option<u128>,
}

const fn name(channel: Channel) -> &'static str {
    match channel {
        Channel::Pose => "pose",
        Channel::Voice => "voice",
        Channel::Event => "event",
        Channel::Screen => "screen",
    }
}

/// Takes part until it is over.
pub fn run(xr: Xr, output: Output) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(take_part(xr, output))
}

async fn take_part(xr: Xr, output: Output) -> Result<(), Failure> {
    let clock = Clock::system();
    let password = password(xr.password_file.as_deref())?;
    let trust = Trust::from_file(&xr.root)?;
    let performance = xr.performance()?;
    let addresses = match xr.address {
        Some(address) => vec![SocketAddr::new(address, xr.server.port())],
        None => xr.server.addresses().await?,
    };
    let https = Https::new(xr.server.clone(), addresses, &trust)?;
    let credential = Credential { workspace: xr.workspace.clone(), user_name: xr.user.clone(), password };
    let account = Account::sign_in(https, clock.clone(), &credential, "conclave client").await?;
    let options = Options { carrier: xr.carrier.into(), ..Options::default() };
    let (participant, incoming) = Participant::join(account, &xr.room, trust, options).await?;
    let recorder = xr.record.as_deref().map(|directory| Recorder::create(directory, clock.moment())).transpose()?;

    let watch = Watch { recorder, names: BTreeMap::new(), output };
    let ends_by_itself = xr.duration.is_none() && xr.sends_files_only();
    let perform = async {
        performance.perform(&participant, &clock).await;
        if ends_by_itself {
            // What was sent last is on its way.
            tokio::time::sleep(Duration::from_millis(500)).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    let leave = async {
        match xr.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let watching = watch.follow(incoming);
    tokio::pin!(watching);
    let rtt;
    let ended = tokio::select! {
        ended = &mut watching => {
            rtt = participant.rtt();
            Some(ended?)
        }
        () = perform => { rtt = participant.rtt(); None }
        () = leave => { rtt = participant.rtt(); None }
        interrupted = tokio::signal::ctrl_c() => { interrupted?; rtt = participant.rtt(); None }
    };
    let summary = |ended: &'static str| summary(&participant, ended, rtt);
    let (summary, failure) = match ended {
        None => (summary(CloseCode::Left.name()), None),
        Some(ClientError::Closed(code)) => (summary(code.name()), Some(ClientError::Closed(code))),
        Some(error) => (summary("LOST"), Some(error)),
    };
    if failure.is_none() {
        participant.leave().await;
        // Files are ended by who writes them, once nothing more can come.
        watching.await?;
    }
    output.print(&summary, Summary::text)?;
    failure.map_or(Ok(()), |error| Err(error.into()))
}

fn password(file: Option<&Path>) -> Result<SecretText, Failure> {
    let text = match file {
        Some(file) => Zeroizing::new(std::fs::read_to_string(file)?),
        None => match std::env::var("CONCLAVE_PASSWORD") {
            Ok(password) => Zeroizing::new(password),
            Err(_) => return Err(Failure::NoPassword),
        },
    };
    Ok(SecretText::new(text.lines().next().unwrap_or_default().to_owned()))
}

impl Xr {
    fn performance(&self) -> Result<Performance, Failure> {
        let again = if self.repeat { Again::Forever } else { Again::Once };
        let voice = self.voice.as_deref().map(ogg_opus::read).transpose()?;
        let screen = self.screen.as_deref().map(ivf::read).transpose()?;
        let pose = match self.pose.as_deref() {
            Some(path) if path == Path::new("generated") => {
                Some(Motion::Generated { who: u16::try_from(std::process::id() % 1_000).unwrap_or(0) })
            }
            Some(path) => Some(Motion::Recorded(motion::read(path)?)),
            None => None,
        };
        Ok(Performance {
            voice: voice.map(|speech| (speech, again)),
            pose,
            events: self.events.as_deref().map(events).transpose()?,
            screen: screen.map(|(_, pictures)| (pictures, again)),
        })
    }

    /// Whether everything it sends comes to an end, and there is nothing else to stay for.
    fn sends_files_only(&self) -> bool {
        let files = self.voice.is_some() || self.screen.is_some() || self.events.is_some();
        files && self.pose.is_none() && !self.repeat && self.record.is_none()
    }
}

/// Lines of a file, a few a second; or of standard input, as they are typed.
fn events(path: &Path) -> Result<mpsc::Receiver<Vec<u8>>, Failure> {
    /// Below the rate that the relay takes.
    const PACE: Duration = Duration::from_millis(100);
    let (sender, receiver) = mpsc::channel(16);
    if path == Path::new("-") {
        // It waits for a person, so it has a thread of its own, which ends with the program.
        std::thread::spawn(move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                if sender.blocking_send(line.into_bytes()).is_err() {
                    break;
                }
            }
        });
        return Ok(receiver);
    }
    let text = std::fs::read_to_string(path)?;
    let lines: Vec<_> =
        text.lines().filter(|line| !line.trim().is_empty()).map(|line| line.as_bytes().to_vec()).collect();
    tokio::spawn(async move {
        for line in lines {
            if sender.send(line).await.is_err() {
                break;
            }
            tokio::time::sleep(PACE).await;
        }
    });
    Ok(receiver)
}

/// Says who comes and goes, and keeps what arrives.
struct Watch {
    recorder: Option<Recorder>,
    names: BTreeMap<u32, String>,
    output: Output,
}

impl Watch {
    /// Follows until the end, and says why it ended.
    async fn follow(mut self, mut incoming: mpsc::Receiver<Incoming>) -> Result<ClientError, Failure> {
        let mut ended = ClientError::Lost;
        while let Some(happened) = incoming.recv().await {
            match happened {
                Incoming::Frame(received) => {
                    if let Some(recorder) = &mut self.recorder {
                        recorder.add(&received)?;
                    }
                }
                Incoming::Joined { entry, participant, roster, .. } => {
                    self.say(&match entry {
                        Entry::First => format!("joined as {participant}, with {} others", roster.len()),
                        Entry::Resumed => format!("came back as {participant}"),
                        Entry::Again => format!("joined again as {participant}"),
                    });
                    self.names.clear();
                    roster.iter().for_each(|member| self.note(member));
                }
                Incoming::Roster(roster) => self.roster(&roster),
                Incoming::Waiting => self.say("waiting in the lobby until somebody lets you in"),
                Incoming::Lost(None) => self.say("the connection was lost; coming back"),
                Incoming::Lost(Some(code)) => self.say(&format!("closed: {}; coming back", code.meaning())),
                Incoming::Ended(error) => {
                    ended = error;
                    break;
                }
                Incoming::Policy(_)
                | Incoming::Lobby(_)
                | Incoming::Outcome(_)
                | Incoming::Statistics(_)
                | Incoming::Switched(_) => {}
            }
        }
        self.recorder.map_or(Ok(()), Recorder::finish)?;
        Ok(ended)
    }

    fn note(&mut self, member: &schema::Member) {
        self.names.insert(member.participant, member.display_name.clone());
    }

    fn name(&self, number: u32) -> String {
        self.names.get(&number).cloned().unwrap_or_else(|| format!("participant {number}"))
    }

    fn roster(&mut self, roster: &schema::Roster) {
        for member in &roster.joined {
            self.note(member);
            self.say(&format!("{} came ({})", member.display_name, member.participant));
        }
        for gone in &roster.gone {
            let how = match gone.departure() {
                Departure::Kicked => "was removed",
                Departure::Lost => "was lost",
                Departure::Left | Departure::Unspecified => "left",
            };
            self.say(&format!("{} {how}", self.name(gone.participant)));
            self.names.remove(&gone.participant);
        }
        for replaced in &roster.replaced {
            if let Some(name) = self.names.remove(&replaced.old) {
                self.say(&format!("{name} came back as {}", replaced.new));
                self.names.insert(replaced.new, name);
            }
        }
    }

    fn say(&self, text: &str) {
        if self.output == Output::Text {
            // Nobody has to watch.
            drop(crate::cli::output::print(&format!("{text}\n")));
        }
    }
}

fn summary(participant: &Participant, ended: &'static str, rtt: Option<Duration>) -> Summary {
    let counters = participant.counters();
    let count =
        |of: &dyn Fn(Channel) -> u64| Channel::ALL.iter().map(|channel| (name(*channel), of(*channel))).collect();
    Summary {
        ended,
        sent: count(&|channel| counters.sent(channel)),
        received: count(&|channel| counters.received(channel)),
        voice_gaps: counters.voice_gaps(),
        unopened: counters.unopened.load(Ordering::Relaxed),
        dropped: counters.dropped.load(Ordering::Relaxed),
        epochs: counters.epochs.load(Ordering::Relaxed),
        resumed: counters.resumed.load(Ordering::Relaxed),
        rejoined: counters.rejoined.load(Ordering::Relaxed),
        rtt_micros: rtt.map(|rtt| rtt.as_micros()),
    }
}

impl Summary {
    fn text(&self) -> String {
        let of = |counts: &BTreeMap<&str, u64>, channel| counts.get(name(channel)).copied().unwrap_or(0).to_string();
        let row = |channel| [name(channel).to_owned(), of(&self.sent, channel), of(&self.received, channel)];
        let rows = Channel::ALL.map(row);
        let rtt = self.rtt_micros.map_or_else(|| "unknown".to_owned(), |micros| format!("{micros} µs"));
        let more = facts(&[
            ("Ended", self.ended.to_owned()),
            ("Voice frames missing", self.voice_gaps.to_string()),
            ("Frames that did not open", self.unopened.to_string()),
            ("Frames not taken in time", self.dropped.to_string()),
            ("Times keys changed", self.epochs.to_string()),
            ("Came back", format!("{} resumed, {} joined again", self.resumed, self.rejoined)),
            ("Round trip", rtt),
        ]);
        format!("\n{}\n{more}", table(["CHANNEL", "SENT", "RECEIVED"], &rows))
    }
}

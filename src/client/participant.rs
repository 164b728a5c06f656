// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A participant: the way into a room, and back by itself.
//!
//! A lost carrier is resumed over a new one within 15 s; after that, or when the appliance restarted, it joins again with
//! a new ticket. What is sent meanwhile is refused with [`ClientError::Lost`]. It gives up when the appliance says that it
//! has no place here any more, or when nothing answers for as long as [`Options::give_up`] says.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand_core::Rng;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::client::ClientError;
use crate::client::account::Account;
use crate::client::carrier::{self, Kind};
use crate::client::connection::{Connection, ScreenGroup, Way};
use crate::client::incoming::{Entry, Incoming};
use crate::client::seat::{Counters, Seat};
use crate::client::trust::Trust;
use crate::platform::clock::Clock;
use crate::platform::entropy;
use crate::wire::close::CloseCode;
use crate::wire::control::schema::client_message::Body as Said;
use crate::wire::control::schema::{Leave, Moderate, SetInterest, SetSelf, moderate};
use crate::wire::frame::AudioLevel;
use crate::wire::kid::{Epoch, Participant as Number};

/// How long a place is kept.
const RESUME_WITHIN: Duration = Duration::from_secs(15);
/// The first wait before another try, and the longest.
const WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long the relay has to answer the first message, but for the lobby.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);
/// Happenings that may wait to be read; frames beyond are dropped and counted.
const INCOMING_MAX: usize = 8_192;

/// How to take part.
#[derive(Debug, Clone)]
pub struct Options {
    /// Over which carrier.
    pub carrier: Kind,
    /// How the avatar looks; opaque, 1,024 bytes at most.
    pub avatar: Vec<u8>,
    /// How long to try to come back.
    pub give_up: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { carrier: Kind::Quic, avatar: Vec::new(), give_up: Duration::from_secs(60) }
    }
}

/// Somebody in a meeting.
pub struct Participant {
    shared: Arc<Shared>,
    leave: watch::Sender<bool>,
    task: JoinHandle<()>,
}

struct Shared {
    connection: Mutex<Option<Arc<Connection>>>,
    counters: Arc<Counters>,
}

impl Shared {
    fn connection(&self) -> Result<Arc<Connection>, ClientError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.as_ref().map(Arc::clone).ok_or(ClientError::Lost)
    }

    fn set(&self, connection: Option<Arc<Connection>>) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }
}

impl Participant {
    /// Joins a room; answers when it is in.
    pub async fn join(
        account: Account,
        room: &str,
        trust: Trust,
        options: Options,
    ) -> Result<(Self, mpsc::Receiver<Incoming>), ClientError> {
        let (incoming, happenings) = mpsc::channel(INCOMING_MAX);
        let counters = Arc::new(Counters::default());
        let shared = Arc::new(Shared { connection: Mutex::new(None), counters: Arc::clone(&counters) });
        let clock = Clock::system();
        let mut way_in = WayIn { account, room: room.to_owned(), trust, options, clock, counters, incoming };
        let connection = way_in.join(Entry::First).await?;
        shared.set(Some(Arc::clone(&connection)));
        let (leave, leaving) = watch::channel(false);
        let task = tokio::spawn(stay(way_in, connection, Arc::clone(&shared), leaving));
        Ok((Self { shared, leave, task }, happenings))
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// The epoch that is sealed under, once there is one.
    pub fn epoch(&self) -> Option<Epoch> {
        self.shared.connection().ok().and_then(|connection| connection.seat().sealing())
    }

    /// Round trip time; `None` while there is no carrier.
    pub fn rtt(&self) -> Option<Duration> {
        self.shared.connection().ok().map(|connection| connection.session().rtt())
    }

    /// Sends a pose.
    pub fn send_pose(&self, pose: &[u8]) -> Result<(), ClientError> {
        self.shared.connection()?.send_pose(pose)
    }

    /// Sends a frame of voice.
    pub fn send_voice(&self, level: AudioLevel, packet: &[u8]) -> Result<(), ClientError> {
        self.shared.connection()?.send_voice(level, packet)
    }

    /// Sends an event.
    pub fn send_event(&self, event: &[u8]) -> Result<(), ClientError> {
        self.shared.connection()?.send_event(event)
    }

    /// Begins a group of screen frames, which is to begin with a key frame.
    pub async fn begin_screen_group(&self) -> Result<ScreenGroup, ClientError> {
        self.shared.connection()?.begin_group().await
    }

    /// Says whether it is muted.
    pub fn set_muted(&self, muted: bool) -> Result<(), ClientError> {
        self.shared.connection()?.say(Said::SetSelf(SetSelf { muted }))
    }

    /// Says what it wants to be sent.
    pub fn set_interest(&self, interest: SetInterest) -> Result<(), ClientError> {
        self.shared.connection()?.say(Said::SetInterest(interest))
    }

    /// Does something as a moderator; what became of it comes as [`Incoming::Outcome`] with the same request.
    pub fn moderate(&self, request: u32, action: moderate::Action) -> Result<(), ClientError> {
        self.shared.connection()?.say(Said::Moderate(Moderate { request, action: Some(action) }))
    }

    /// Removes somebody, as a moderator.
    pub fn kick(&self, request: u32, number: Number) -> Result<(), ClientError> {
        self.moderate(request, moderate::Action::Kick(u32::from(number.0)))
    }

    /// Drops the carrier as a network does, without a word. It comes back by itself.
    pub fn lose_carrier(&self) -> Result<(), ClientError> {
        self.shared.connection()?.session().close(CloseCode::Internal.number(), b"");
        Ok(())
    }

    /// Leaves, and waits until the relay has heard it.
    pub async fn leave(self) {
        self.leave.send_replace(true);
        // It ends by itself within a second; what it failed at does not matter any more.
        let _ = self.task.await;
    }

    /// Its raw side, to send what nobody should.
    #[cfg(feature = "test-hooks")]
    pub fn hostile(&self) -> Result<super::hostile::Hostile, ClientError> {
        self.shared.connection().map(super::hostile::Hostile::new)
    }
}

/// What it takes to get in.
struct WayIn {
    account: Account,
    room: String,
    trust: Trust,
    options: Options,
    clock: Clock,
    counters: Arc<Counters>,
    incoming: mpsc::Sender<Incoming>,
}

impl WayIn {
    async fn join(&mut self, entry: Entry) -> Result<Arc<Connection>, ClientError> {
        let ticket = self.account.ticket(&self.room).await?;
        let way = Way::Join(Box::new(ticket), self.options.avatar.clone());
        self.enter(way, entry).await
    }

    async fn enter(&self, way: Way, entry: Entry) -> Result<Arc<Connection>, ClientError> {
        let https = self.account.https();
        let session = carrier::connect(self.options.carrier, https.server(), https.addresses(), &self.trust).await?;
        let entering = Connection::enter(session, way, &self.clock, &self.counters, &self.incoming);
        let (connection, _, welcome) = match entry {
            // Somebody may wait in the lobby for long.
            Entry::First | Entry::Again => entering.await?,
            Entry::Resumed => timeout(WELCOME_WITHIN, entering).await.map_err(|_| ClientError::Lost)??,
        };
        let participant = super::seat::number(welcome.participant)?;
        let meeting = connection.seat().meeting;
        let joined = Incoming::Joined { entry, meeting, participant, roster: welcome.roster };
        // Who does not listen may still speak.
        drop(self.incoming.send(joined).await);
        if let Some(policy) = welcome.policy {
            drop(self.incoming.send(Incoming::Policy(policy)).await);
        }
        Ok(Arc::new(connection))
    }

    /// Comes back: where it was while its place is kept, with a new ticket after that.
    async fn come_back(&mut self, seat: &Arc<Seat>, why: ClientError) -> Result<Arc<Connection>, ClientError> {
        let began = Instant::from_std(self.clock.instant());
        let mut resume = matches!(why, ClientError::Lost);
        let mut wait = WAIT.0;
        if matches!(why, ClientError::Closed(CloseCode::Draining)) {
            sleep(seat.back_after()).await;
        }
        let mut last = why;
        while Instant::from_std(self.clock.instant()) - began < self.options.give_up {
            let in_time = Instant::from_std(self.clock.instant()) - began < RESUME_WITHIN;
            let result = if resume && in_time {
                self.enter(Way::Resume(Arc::clone(seat)), Entry::Resumed).await
            } else {
                resume = false;
                self.join(Entry::Again).await
            };
            match result {
                Ok(connection) => {
                    let counted = if resume { &self.counters.resumed } else { &self.counters.rejoined };
                    counted.fetch_add(1, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(ClientError::Closed(code)) if code.may_rejoin() => {
                    resume = false;
                    last = ClientError::Closed(code);
                }
                Err(error @ (ClientError::Connect { .. } | ClientError::Lost)) => last = error,
                // The appliance is starting or stopping, or has too much to do.
                Err(ClientError::Refused { code, title, detail, way_out })
                    if code == "busy" || code == "stopping" || code == "workspace-unavailable" =>
                {
                    last = ClientError::Refused { code, title, detail, way_out };
                }
                Err(final_error) => return Err(final_error),
            }
            // Spread, so that a full house does not come back in one instant.
            let jitter = Duration::from_millis(u64::from(entropy::system().next_u32() % 100));
            sleep(wait + jitter).await;
            wait = (wait * 2).min(WAIT.1);
        }
        Err(last)
    }
}

/// Stays in the meeting until it leaves or cannot come back.
async fn stay(
    mut way_in: WayIn,
    mut connection: Arc<Connection>,
    shared: Arc<Shared>,
    mut leaving: watch::Receiver<bool>,
) {
    loop {
        let seat = Arc::clone(connection.seat());
        let left = tokio::select! {
            _ = connection.session().closed() => false,
            _ = leaving.wait_for(|leave| *leave) => true,
        };
        shared.set(None);
        if left {
            let _ = connection.say(Said::Leave(Leave {}));
            // The relay closes the carrier with LEFT.
            let _ = timeout(Duration::from_secs(1), connection.session().closed()).await;
            connection.session().close(CloseCode::Left.number(), CloseCode::Left.name().as_bytes());
            drop(way_in.incoming.send(Incoming::Ended(ClientError::Closed(CloseCode::Left))).await);
            return;
        }
        let why = carrier::ending(connection.session());
        let why = match why {
            // Closed by ourselves, as `lose_carrier` does.
            ClientError::Closed(CloseCode::Internal) => ClientError::Lost,
            other => other,
        };
        let code = if let ClientError::Closed(code) = why { Some(code) } else { None };
        if code.is_some_and(|code| !code.may_rejoin()) {
            drop(way_in.incoming.send(Incoming::Ended(why)).await);
            return;
        }
        drop(way_in.incoming.send(Incoming::Lost(code)).await);
        let back = tokio::select! {
            back = way_in.come_back(&seat, why) => back,
            _ = leaving.wait_for(|leave| *leave) => Err(ClientError::Closed(CloseCode::Left)),
        };
        match back {
            Ok(again) => {
                shared.set(Some(Arc::clone(&again)));
                connection = again;
            }
            Err(error) => {
                drop(way_in.incoming.send(Incoming::Ended(error)).await);
                return;
            }
        }
    }
}

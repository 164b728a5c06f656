// SPDX-License-Identifier: AGPL-3.0-or-later
//! Conclave's own relay under test: the hub and the relay of the appliance, and its API beside them when sign-ins
//! are part of it.
//!
//! Tickets are as the API makes them, but unsigned: the only ones who can use them are this measurement's own. How a
//! participant uses one is in `participant`.

use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::api::{self, Api};
use super::error::BenchError;
use super::load::Load;
use super::subject::{Facts, Running, Started};
use super::tls::Identity;
use crate::core::auth::permission::{Rights, Role};
use crate::core::auth::ticket::{KeyThumbprint, TicketAudience, TicketClaims};
use crate::core::room::policy::RoomPolicy;
use crate::hub::Hub;
use crate::hub::tickets::Expected;
use crate::platform::clock::Clock;
use crate::platform::entropy;
use crate::relay::{Relay, Settings};
use crate::values::id::{AccountId, RoomId, SessionId, TicketId, WorkspaceId};
use crate::values::name::{DisplayName, RoomName};
use crate::values::secret::Key256;
use crate::values::time::Timestamp;

/// Long enough for hundreds to join one after another on a slow machine.
const TICKET_LIFE: Duration = Duration::from_secs(600);

/// What a participant gets in with.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Credential {
    /// The ticket; the participant fills in its key.
    pub claims: TicketClaims,
    /// What a sealed sign-in would have left with it.
    pub psk: [u8; 32],
}

/// Starts the relay, and expects a meeting in each room. `with_api`: beside it an appliance's API is served.
pub(super) fn start(socket: UdpSocket, load: &Load, with_api: bool) -> Result<Started, BenchError> {
    let identity = Identity::new()?;
    let clock = Clock::system();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(BenchError::io("the runtime of the meetings"))?;
    let hub = {
        let _inside = runtime.enter();
        let as_it_says = |ticket: &str, _: Timestamp| serde_json::from_str(ticket).ok();
        // Nobody moderates here.
        Hub::start(clock.clone(), Box::new(as_it_says)).0
    };
    let api = match with_api {
        true => Some(runtime.block_on(api::serve(Arc::clone(&hub), clock.clone()))?),
        false => None,
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let meetings = std::thread::Builder::new()
        .name("meetings".to_owned())
        .spawn(move || drop(runtime.block_on(stopped)))
        .map_err(BenchError::io("the thread of the meetings"))?;
    let settings =
        Settings { sockets: vec![socket], tls: identity.appliance()?, secret: Key256::random(&mut entropy::system()) };
    let relay = Relay::start(Arc::clone(&hub), settings).map_err(unstarted)?;

    let workspace = WorkspaceId::random(&mut entropy::system());
    let rooms: Vec<_> = (0..load.rooms).map(|_| RoomId::random(&mut entropy::system())).collect();
    let tickets = Tickets { hub: &hub, load, workspace, now: clock.now() };
    // Participant i is in room i % rooms.
    let seats = (0..load.participants).zip(rooms.iter().cycle());
    let credentials = seats.map(|(index, room)| tickets.hand_out(index, *room)).collect::<Result<_, _>>()?;
    let address = api.as_ref().map(|api| api.address.clone());
    let running = Box::new(Appliance { hub, workspace, relay, stop, meetings, _api: api });
    Ok(Started { certificate: identity.certificate.to_vec(), credentials, api: address, running })
}

fn unstarted(error: impl std::fmt::Display) -> BenchError {
    BenchError::Relay(error.to_string())
}

/// Hands out tickets of one workspace.
struct Tickets<'a> {
    hub: &'a Hub,
    load: &'a Load,
    workspace: WorkspaceId,
    now: Timestamp,
}

impl Tickets<'_> {
    fn hand_out(&self, index: usize, room: RoomId) -> Result<String, BenchError> {
        let rng = &mut entropy::system();
        let (expires, psk) = (self.now + TICKET_LIFE, Key256::random(rng));
        let people = self.load.receivers_of(index) + 1;
        let policy = RoomPolicy {
            capacity: u16::try_from(people).map_err(unstarted)?,
            voices: self.load.voices(),
            ..RoomPolicy::default()
        };
        let grant =
            policy.grant(Rights::of(Role::User), false).ok_or_else(|| unstarted("users may not enter rooms"))?;
        let name: DisplayName = format!("Participant {index}").parse().map_err(unstarted)?;
        let claims = TicketClaims {
            iss: "conclave:bench".to_owned(),
            aud: TicketAudience::Relay,
            sub: AccountId::random(rng),
            wid: self.workspace,
            sid: SessionId::random(rng),
            room,
            jti: TicketId::random(rng),
            jkt: KeyThumbprint::from_bytes([0; 32]),
            name,
            grant,
            iat: self.now.as_secs(),
            exp: expires.as_secs(),
        };
        let room_name: RoomName = format!("room-{}", self.load.room_of(index)).parse().map_err(unstarted)?;
        let credential = serde_json::to_string(&Credential { claims: claims.clone(), psk: *psk.expose() });
        let (account, session) = (claims.sub, claims.sid);
        let expected = Expected { psk, workspace: claims.wid, room, room_name, policy, account, session, expires };
        self.hub.tickets().expect(claims.jti, expected, self.now).map_err(unstarted)?;
        credential.map_err(unstarted)
    }
}

struct Appliance {
    hub: Arc<Hub>,
    workspace: WorkspaceId,
    relay: Relay,
    stop: oneshot::Sender<()>,
    meetings: JoinHandle<()>,
    _api: Option<Api>,
}

impl Running for Appliance {
    fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        for participant in self.hub.meetings(self.workspace).iter().flat_map(|meeting| &meeting.participants) {
            facts.superseded += participant.superseded;
            facts.culled += participant.culled;
            facts.lost += participant.lost;
        }
        facts
    }

    fn stop(self: Box<Self>) {
        self.relay.stop();
        drop(self.stop);
        // Its panic was printed where it happened.
        drop(self.meetings.join());
    }
}

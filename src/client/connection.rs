// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One carrier of a participant: the control stream, the event stream, datagrams and screen groups, each with a task
//! that ends with the carrier.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use web_transport_quinn::{RecvStream, SendStream, Session};

use crate::client::ClientError;
use crate::client::account::Ticket;
use crate::client::carrier::ending;
use crate::client::incoming::{Entry, Incoming};
use crate::client::seat::{Counters, Seat, says_gone};
use crate::core::keys::boxes::BoxOpener;
use crate::platform::clock::Clock;
use crate::values::id::MeetingId;
use crate::wire::close::CloseCode;
use crate::wire::control::schema::client_message::Body as Said;
use crate::wire::control::schema::server_message::Body as Told;
use crate::wire::control::schema::{ClientMessage, Join, Ready, Welcome};
use crate::wire::control::{self, Splitter, VERSION};
use crate::wire::datagram::{DATAGRAM_MAX, Writer, downstream};
use crate::wire::frame::{AudioLevel, Clear, Frame};
use crate::wire::kid::{Channel, Epoch};
use crate::wire::sframe::OVERHEAD_MAX;
use crate::wire::stream::{
    EVENT_FRAME_MAX, EVENT_MAX, EventRecord, SCREEN_FRAME_MAX, SCREEN_LENGTH_LEN, StreamKind, event_downstream,
    push_event_upstream, screen_frame, screen_length,
};

/// Bytes of a stream read at once.
const CHUNK: usize = 16_384;
/// Control messages and events that may wait to be written.
const WAITING_MAX: usize = 256;

/// What a task needs besides its stream.
#[derive(Clone)]
struct Context {
    session: Session,
    seat: Arc<Seat>,
    counters: Arc<Counters>,
    incoming: mpsc::Sender<Incoming>,
    control: mpsc::Sender<Vec<u8>>,
}

/// One carrier with a place in a meeting.
pub(super) struct Connection {
    context: Context,
    events: mpsc::Sender<Vec<u8>>,
    /// The epoch of the last event: a later one begins with a barrier. Held while an event is sealed and queued, so that
    /// events leave in the order of their counters.
    last_event: Mutex<Option<Epoch>>,
    /// They end with this.
    _tasks: JoinSet<()>,
}

/// The control stream before there is a place.
struct Door {
    send: SendStream,
    receive: RecvStream,
    splitter: Splitter,
}

impl Door {
    async fn open(session: &Session, first: Said) -> Result<Self, ClientError> {
        let lost = |_| ending(session);
        let (mut send, receive) = session.open_bi().await.map_err(lost)?;
        let mut bytes = vec![StreamKind::Control.number()];
        bytes.extend(encode(first)?);
        send.write_all(&bytes).await.map_err(|_| ending(session))?;
        Ok(Self { send, receive, splitter: Splitter::default() })
    }

    /// The next message; one of a later version is passed over.
    async fn next(&mut self, session: &Session) -> Result<Told, ClientError> {
        next(&mut self.receive, &mut self.splitter).await.ok_or_else(|| ending(session))
    }

    async fn welcome(&mut self, session: &Session, incoming: &mpsc::Sender<Incoming>) -> Result<Welcome, ClientError> {
        loop {
            match self.next(session).await {
                Ok(Told::Welcome(welcome)) => return Ok(welcome),
                Ok(Told::Waiting(_)) => drop(incoming.send(Incoming::Waiting).await),
                Ok(_) => {}
                Err(_) => {
                    // The reason comes with the end of the carrier.
                    session.closed().await;
                    return Err(ending(session));
                }
            }
        }
    }
}

fn encode(said: Said) -> Result<Vec<u8>, ClientError> {
    control::encode(&ClientMessage::from(said)).map_err(|_| ClientError::NotSent("the message is too large"))
}

async fn next(stream: &mut RecvStream, splitter: &mut Splitter) -> Option<Told> {
    loop {
        while let Some(message) = splitter.take().ok()? {
            if let Some(told) = control::decode_server(&message).ok()? {
                return Some(told);
            }
        }
        splitter.push(&stream.read_chunk(CHUNK, true).await.ok()??.bytes);
    }
}

/// How to come in.
pub(super) enum Way {
    /// With a ticket.
    Join(Box<Ticket>, Vec<u8>),
    /// Where it was.
    Resume(Arc<Seat>),
}

impl Connection {
    /// Comes in over a carrier.
    pub async fn enter(
        session: Session,
        way: Way,
        clock: &Clock,
        counters: &Arc<Counters>,
        incoming: &mpsc::Sender<Incoming>,
    ) -> Result<(Self, Entry, Welcome), ClientError> {
        let (mut door, welcome, seat, entry);
        match way {
            Way::Join(ticket, avatar) => {
                let key = ticket.pair.public_key().to_vec();
                let join = Join { version: VERSION, ticket: ticket.token.clone(), key, avatar };
                door = Door::open(&session, Said::Join(join)).await?;
                welcome = door.welcome(&session, incoming).await?;
                let unreadable = || ClientError::Unreadable("the meeting's id".to_owned());
                let meeting = <[u8; 16]>::try_from(&welcome.meeting[..]).map_err(|_| unreadable())?;
                let meeting = MeetingId::from_bytes(meeting);
                let key = &welcome.encapsulated_key;
                let opener = BoxOpener::begin(&ticket.pair, meeting, key, &ticket.psk, ticket.session);
                let opener = opener.map_err(|error| ClientError::Unreadable(error.to_string()))?;
                seat = Arc::new(Seat::new(&welcome, opener, meeting, clock.clone())?);
                entry = Entry::First;
            }
            Way::Resume(before) => {
                door = Door::open(&session, Said::Resume(before.resume())).await?;
                welcome = door.welcome(&session, incoming).await?;
                before.resumed(&welcome)?;
                seat = before;
                entry = Entry::Resumed;
            }
        }
        let connection = Self::start(session, door, seat, counters, incoming).await?;
        Ok((connection, entry, welcome))
    }

    async fn start(
        session: Session,
        door: Door,
        seat: Arc<Seat>,
        counters: &Arc<Counters>,
        incoming: &mpsc::Sender<Incoming>,
    ) -> Result<Self, ClientError> {
        let (mut send_events, receive_events) = session.open_bi().await.map_err(|_| ending(&session))?;
        send_events.write_all(&[StreamKind::Event.number()]).await.map_err(|_| ending(&session))?;
        let (control, say) = mpsc::channel(WAITING_MAX);
        let (events, happen) = mpsc::channel(WAITING_MAX);
        let context = Context { session, seat, counters: Arc::clone(counters), incoming: incoming.clone(), control };
        let mut tasks = JoinSet::new();
        tasks.spawn(write(door.send, say));
        tasks.spawn(write(send_events, happen));
        tasks.spawn(obey(context.clone(), door.receive, door.splitter));
        tasks.spawn(read_events(context.clone(), receive_events));
        tasks.spawn(read_datagrams(context.clone()));
        tasks.spawn(read_screens(context.clone()));
        Ok(Self { context, events, last_event: Mutex::new(None), _tasks: tasks })
    }

    pub fn seat(&self) -> &Arc<Seat> {
        &self.context.seat
    }

    pub const fn session(&self) -> &Session {
        &self.context.session
    }

    /// Says something on the control stream.
    pub fn say(&self, said: Said) -> Result<(), ClientError> {
        let waits = |_| ClientError::NotSent("too many messages wait to be sent");
        self.context.control.try_send(encode(said)?).map_err(waits)
    }

    /// Writes any bytes to the control stream.
    #[cfg(feature = "test-hooks")]
    pub fn say_bytes(&self, bytes: Vec<u8>) -> Result<(), ClientError> {
        self.context.control.try_send(bytes).map_err(|_| ClientError::NotSent("too many messages wait to be sent"))
    }

    /// Writes any bytes to the event stream.
    #[cfg(feature = "test-hooks")]
    pub fn event_bytes(&self, bytes: Vec<u8>) -> Result<(), ClientError> {
        self.events.try_send(bytes).map_err(|_| ClientError::NotSent("too many events wait to be sent"))
    }

    /// Sends a pose.
    pub fn send_pose(&self, plain: &[u8]) -> Result<(), ClientError> {
        self.send_datagram(Channel::Pose, Clear::Nothing, plain)
    }

    /// Sends a frame of voice.
    pub fn send_voice(&self, level: AudioLevel, plain: &[u8]) -> Result<(), ClientError> {
        self.send_datagram(Channel::Voice, Clear::Level(level), plain)
    }

    fn send_datagram(&self, channel: Channel, clear: Clear, plain: &[u8]) -> Result<(), ClientError> {
        const TOO_LARGE: ClientError = ClientError::NotSent("it does not fit into a datagram of this path");
        let mut buffer = [0; DATAGRAM_MAX];
        let mut writer = Writer::upstream(&mut buffer, self.context.session.max_datagram_size());
        let written = self.context.seat.seal(channel, clear, plain, writer.spare())?;
        writer.commit(written).map_err(|_| TOO_LARGE)?;
        let bytes = writer.finish().map_err(|_| TOO_LARGE)?.to_vec();
        self.context.session.send_datagram(bytes.into()).map_err(|_| ClientError::Lost)?;
        self.context.counters.count_sent(channel);
        Ok(())
    }

    /// Sends an event. Nothing is sealed that cannot be queued: a receiver takes events without a gap only.
    pub fn send_event(&self, plain: &[u8]) -> Result<(), ClientError> {
        if plain.len() > EVENT_MAX {
            return Err(ClientError::NotSent("an event is at most 16,384 bytes"));
        }
        let place = self.events.try_reserve().map_err(|_| ClientError::NotSent("too many events wait to be sent"))?;
        let mut last = self.last_event.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sealed = vec![0; EVENT_FRAME_MAX];
        let written = self.context.seat.seal(Channel::Event, Clear::Nothing, plain, &mut sealed)?;
        let unreadable = |_| ClientError::NotSent("the event cannot be sent");
        let frame = Frame::decode(sealed.get(..written).unwrap_or_default()).map_err(|_| unreadable(()))?;
        let epoch = frame.kid().epoch;
        let mut record = Vec::with_capacity(written + 8);
        if last.replace(epoch).is_some_and(|last| last < epoch) {
            push_event_upstream(&mut record, EventRecord::Barrier(None, epoch)).map_err(|_| unreadable(()))?;
        }
        push_event_upstream(&mut record, EventRecord::Event(frame)).map_err(|_| unreadable(()))?;
        place.send(record);
        self.context.counters.count_sent(Channel::Event);
        Ok(())
    }

    /// Begins a group of screen frames, which is to begin with a key frame.
    pub async fn begin_group(&self) -> Result<ScreenGroup, ClientError> {
        let epoch = self.context.seat.sealing().ok_or(ClientError::NotSent("there are no keys yet"))?;
        let mut stream = self.context.session.open_uni().await.map_err(|_| ending(&self.context.session))?;
        stream.write_all(&[StreamKind::Screen.number()]).await.map_err(|_| ClientError::Lost)?;
        Ok(ScreenGroup {
            epoch,
            stream,
            seat: Arc::clone(&self.context.seat),
            counters: Arc::clone(&self.context.counters),
        })
    }
}

/// A group of screen frames on its way.
pub struct ScreenGroup {
    epoch: Epoch,
    stream: SendStream,
    seat: Arc<Seat>,
    counters: Arc<Counters>,
}

impl ScreenGroup {
    /// Sends a frame. [`ClientError::NotSent`]: keys changed so that another group is to be begun, with a key frame.
    pub async fn send(&mut self, plain: &[u8]) -> Result<(), ClientError> {
        let mut bytes = vec![0; SCREEN_LENGTH_LEN + plain.len() + OVERHEAD_MAX];
        let (length, sealed) = bytes.split_at_mut(SCREEN_LENGTH_LEN);
        let written = self.seat.seal_screen(self.epoch, plain, sealed)?;
        if written > SCREEN_FRAME_MAX {
            return Err(ClientError::NotSent("a frame of a screen is at most 1,048,576 bytes"));
        }
        length.copy_from_slice(&u32::try_from(written).unwrap_or(u32::MAX).to_be_bytes());
        bytes.truncate(SCREEN_LENGTH_LEN + written);
        self.stream.write_all(&bytes).await.map_err(|_| ClientError::Lost)?;
        self.counters.count_sent(Channel::Screen);
        Ok(())
    }

    /// Ends the group.
    pub fn finish(mut self) {
        // Without a carrier there is nothing to end.
        let _ = self.stream.finish();
    }
}

async fn write(mut stream: SendStream, mut messages: mpsc::Receiver<Vec<u8>>) {
    while let Some(message) = messages.recv().await {
        if stream.write_all(&message).await.is_err() {
            break;
        }
    }
}

/// Does what the appliance says.
async fn obey(context: Context, mut stream: RecvStream, mut splitter: Splitter) {
    while let Some(told) = next(&mut stream, &mut splitter).await {
        let incoming = match told {
            Told::Announce(announce) => {
                match context.seat.announce(&announce, &context.counters, &context.incoming) {
                    Ok(true) => match encode(Said::Ready(Ready { epoch: announce.epoch })) {
                        Ok(ready) => drop(context.control.send(ready).await),
                        Err(_) => break,
                    },
                    Ok(false) => {}
                    Err(_) => break,
                }
                continue;
            }
            Told::Switch(switch) => {
                context.seat.switch(Epoch(switch.epoch), &context.counters);
                Incoming::Switched(Epoch(switch.epoch))
            }
            Told::Roster(roster) => {
                if says_gone(&roster) {
                    context.seat.somebody_went();
                }
                Incoming::Roster(roster)
            }
            Told::Policy(policy) => Incoming::Policy(policy),
            Told::Lobby(lobby) => Incoming::Lobby(lobby),
            Told::Outcome(outcome) => Incoming::Outcome(outcome),
            Told::Statistics(statistics) => Incoming::Statistics(statistics),
            Told::Draining(draining) => {
                context.seat.drains(draining.after_millis);
                continue;
            }
            Told::Welcome(_) | Told::Waiting(_) | Told::Pong(_) => continue,
        };
        if context.incoming.send(incoming).await.is_err() {
            break;
        }
    }
    // Without a control stream there are no keys: end the carrier, and come back over another.
    context.session.close(CloseCode::Internal.number(), b"");
}

async fn read_events(context: Context, mut stream: RecvStream) {
    let (mut bytes, mut out) = (Vec::new(), vec![0; EVENT_FRAME_MAX]);
    while let Ok(Some(chunk)) = stream.read_chunk(CHUNK, true).await {
        bytes.extend_from_slice(&chunk.bytes);
        let mut taken = 0;
        while let Ok(Some((sequence, record, length))) = event_downstream(bytes.get(taken..).unwrap_or_default()) {
            match record {
                EventRecord::Event(frame) => {
                    context.seat.receive(&frame, &mut out, &context.counters, &context.incoming);
                }
                EventRecord::Barrier(Some(sender), epoch) => context.seat.barrier(sender, epoch),
                EventRecord::Barrier(None, _) => {}
            }
            context.seat.read_event(sequence);
            taken += length;
        }
        bytes.drain(..taken);
    }
}

async fn read_datagrams(context: Context) {
    let mut out = [0; DATAGRAM_MAX];
    while let Ok(bytes) = context.session.read_datagram().await {
        let Ok((_, frames)) = downstream(&bytes) else { continue };
        for frame in frames.map_while(Result::ok) {
            context.seat.receive(&frame, &mut out, &context.counters, &context.incoming);
        }
    }
}

async fn read_screens(context: Context) {
    let mut groups = JoinSet::new();
    while let Ok(stream) = context.session.accept_uni().await {
        while groups.try_join_next().is_some() {}
        groups.spawn(read_group(context.clone(), stream));
    }
}

async fn read_group(context: Context, mut stream: RecvStream) {
    let mut kind = [0];
    if stream.read_exact(&mut kind).await.is_err() || kind != [StreamKind::Screen.number()] {
        return;
    }
    let (mut frame, mut out) = (Vec::new(), Vec::new());
    let mut length = [0; SCREEN_LENGTH_LEN];
    while stream.read_exact(&mut length).await.is_ok() {
        let Ok(Some(size)) = screen_length(&length) else { return };
        frame.resize(size, 0);
        if stream.read_exact(&mut frame).await.is_err() {
            return;
        }
        if out.len() < size {
            out.resize(size, 0);
        }
        if let Ok(frame) = screen_frame(&frame) {
            context.seat.receive(&frame, &mut out, &context.counters, &context.incoming);
        }
    }
}

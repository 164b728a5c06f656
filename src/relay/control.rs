// SPDX-License-Identifier: AGPL-3.0-or-later
//! The control stream: reads what a participant says and does it, writes what it is told.

use bytes::Bytes;
use rand_core::CryptoRng;
use tokio::sync::mpsc;
use web_transport_quinn::{RecvStream, SendStream};

use crate::core::keys::epoch::reason::Removal;
use crate::core::room::interest::Interest;
use crate::core::room::rate::{Bucket, Rate};
use crate::core::room::{NotThere, Room, Wish};
use crate::hub::meeting::Reach;
use crate::platform::clock::Clock;
use crate::platform::probe;
use crate::relay::session::Seated;
use crate::values::time::Moment;
use crate::wire::close::CloseCode;
use crate::wire::control::schema::client_message::Body;
use crate::wire::control::schema::{Answer, Moderate, Outcome, Pong, moderate::Action, server_message};
use crate::wire::control::{self, ControlError, Splitter};
use crate::wire::kid::{Epoch, Participant};

/// Messages a client may send: what a person does, a hundred times over.
const MESSAGES: Rate = Rate { per_second: 50, burst: 200 };
/// Bytes read at once.
const CHUNK: usize = 4_096;

impl From<ControlError> for CloseCode {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::TooLarge => Self::TooLarge,
            ControlError::Malformed => Self::Malformed,
        }
    }
}

/// Reads messages from a stream.
pub(super) struct Reader {
    stream: RecvStream,
    splitter: Splitter,
    rate: Bucket,
    clock: Clock,
}

impl Reader {
    pub fn new(stream: RecvStream) -> Self {
        Self { stream, splitter: Splitter::default(), rate: Bucket::new(MESSAGES), clock: Clock::system() }
    }

    /// The next message.
    pub async fn next(&mut self) -> Result<Body, CloseCode> {
        loop {
            if let Some(message) = self.splitter.take()? {
                if !self.rate.take(self.clock.moment()) {
                    return Err(CloseCode::TooMany);
                }
                return Ok(control::decode_client(&message)?);
            }
            let chunk = self.stream.read_chunk(CHUNK, true).await;
            // A control stream that ends ends the carrier.
            let chunk = chunk.ok().flatten().ok_or(CloseCode::Unexpected)?;
            probe::arrived(&chunk.bytes);
            self.splitter.push(&chunk.bytes);
        }
    }
}

/// Writes what a participant is told, in order.
pub(super) async fn write(mut stream: SendStream, mut messages: mpsc::Receiver<Bytes>) {
    // Before events and screens: keys travel here.
    let _ = stream.set_priority(i32::MAX);
    while let Some(message) = messages.recv().await {
        probe::leaves(&message);
        if stream.write_chunk(message).await.is_err() {
            break;
        }
    }
}

/// Does what a participant says until its carrier ends or it says something wrong.
pub(super) async fn read(seated: Seated, mut reader: Reader) {
    loop {
        let done = match reader.next().await {
            Ok(message) => obey(&seated, message).await,
            Err(code) => Err(code),
        };
        if let Err(code) = done {
            return seated.close(code);
        }
    }
}

async fn obey(seated: &Seated, message: Body) -> Result<(), CloseCode> {
    let Seated { egress, meeting, .. } = seated;
    let participant = match (&message, egress.participant()) {
        (Body::Ping(ping), _) => {
            egress.tell(server_message::Body::Pong(Pong { token: ping.token }));
            return Ok(());
        }
        (Body::Leave(_), None) => return Err(CloseCode::Left),
        // In the lobby there is nothing else to say.
        (_, None) => return Err(CloseCode::Unexpected),
        (_, Some(participant)) => participant,
    };
    match message {
        Body::Ready(ready) => meeting.act(|room, now, rng| room.ready(participant, Epoch(ready.epoch), now, rng)),
        Body::SetInterest(said) => {
            let interest = Interest::parse(&said).map_err(|_| CloseCode::Malformed)?;
            meeting.act(|room, _, _| room.set_interest(participant, interest));
        }
        Body::SetSelf(own) => meeting.act(|room, _, _| room.set_muted(participant, own.muted)),
        Body::Moderate(said) => {
            let request = said.request;
            let answer = moderate(seated, participant, said).await?;
            egress.tell(server_message::Body::Outcome(Outcome { request, answer: answer.into() }));
        }
        Body::Leave(_) => meeting.act(|room, now, rng| leave(room, participant, Removal::Left, now, rng)),
        Body::Ping(_) => {}
        Body::Join(_) | Body::Resume(_) => return Err(CloseCode::Unexpected),
    }
    Ok(())
}

/// A participant goes.
pub(super) fn leave(
    room: &mut Room<Reach>,
    participant: Participant,
    removal: Removal,
    now: Moment,
    rng: &mut impl CryptoRng,
) {
    // Who was removed a moment ago is gone as well.
    let _: Result<(), NotThere> = room.remove(participant, removal, CloseCode::Left, now, rng);
}

async fn moderate(seated: &Seated, from: Participant, said: Moderate) -> Result<Answer, CloseCode> {
    let number = |number: u32| u16::try_from(number).map(Participant).map_err(|_| CloseCode::Malformed);
    let wish = match said.action.ok_or(CloseCode::Malformed)? {
        Action::Mute(participant) => Wish::Mute(number(participant)?),
        Action::Unmute(participant) => Wish::Unmute(number(participant)?),
        Action::MuteAll(_) => Wish::MuteAll { but: Some(from) },
        Action::Kick(participant) => Wish::Kick(number(participant)?),
        Action::Lock(locked) => Wish::Lock(locked),
        Action::Admit(waiter) => Wish::Admit(waiter),
        Action::TurnAway(waiter) => Wish::TurnAway(waiter),
        Action::Rotate(_) => Wish::Rotate,
    };
    let address = seated.session.remote_address().ip().to_canonical();
    Ok(seated.hub.moderate_from(&seated.meeting, from, address, wish).await)
}

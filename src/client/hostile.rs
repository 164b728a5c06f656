// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A participant that does not behave, for the tests: it has a place, and sends what nobody should.

use std::sync::Arc;

use web_transport_quinn::{SendStream, Session};

use crate::client::ClientError;
use crate::client::connection::Connection;
use crate::wire::datagram::{DATAGRAM_MAX, Writer};
use crate::wire::frame::Clear;
use crate::wire::header::Header;
use crate::wire::kid::{Channel, Kid};
use crate::wire::sframe::TAG_LEN;

/// The raw side of a participant.
pub struct Hostile {
    connection: Arc<Connection>,
}

impl Hostile {
    pub(super) const fn new(connection: Arc<Connection>) -> Self {
        Self { connection }
    }

    /// The carrier itself.
    pub fn session(&self) -> &Session {
        self.connection.session()
    }

    /// Sends a datagram of any bytes.
    pub fn datagram(&self, bytes: Vec<u8>) -> Result<(), ClientError> {
        self.session().send_datagram(bytes.into()).map_err(|_| ClientError::Lost)
    }

    /// A frame that is sealed as it should be, to be sent twice or late.
    pub fn sealed(&self, channel: Channel, clear: Clear, plain: &[u8]) -> Result<Vec<u8>, ClientError> {
        let mut out = vec![0; plain.len() + 64];
        let written = self.connection.seat().seal(channel, clear, plain, &mut out)?;
        out.truncate(written);
        Ok(out)
    }

    /// A frame that says it is of this key; nobody can open it, and the relay cannot know.
    pub fn forged(kid: Kid, counter: u64) -> Vec<u8> {
        Self::unsealed(kid, counter, &[0x5a; 8])
    }

    /// The same with `plain` where the ciphertext is to be: end-to-end encryption switched off.
    pub fn unsealed(kid: Kid, counter: u64, plain: &[u8]) -> Vec<u8> {
        let mut frame = Header { kid: kid.into(), counter }.encode().as_bytes().to_vec();
        frame.extend_from_slice(plain);
        frame.resize(frame.len() + TAG_LEN, 0x5a);
        if kid.channel == Channel::Voice {
            frame.push(0);
        }
        frame
    }

    /// Frames, side by side in a datagram.
    pub fn packed(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut buffer = [0; DATAGRAM_MAX];
        let mut writer = Writer::upstream(&mut buffer, DATAGRAM_MAX);
        let all = frames.iter().all(|frame| writer.push(frame).is_ok());
        if all { writer.finish().map(<[u8]>::to_vec).unwrap_or_default() } else { Vec::new() }
    }

    /// Writes any bytes to the control stream.
    pub fn control(&self, bytes: Vec<u8>) -> Result<(), ClientError> {
        self.connection.say_bytes(bytes)
    }

    /// Writes any bytes to the event stream.
    pub fn events(&self, bytes: Vec<u8>) -> Result<(), ClientError> {
        self.connection.event_bytes(bytes)
    }

    /// Opens a unidirectional stream with any bytes.
    pub async fn stream(&self, bytes: &[u8]) -> Result<SendStream, ClientError> {
        let mut stream = self.session().open_uni().await.map_err(|_| ClientError::Lost)?;
        stream.write_all(bytes).await.map_err(|_| ClientError::Lost)?;
        Ok(stream)
    }
}

// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An account on a device: sealed sign-in (`docs/sign-in.md`), refresh, rooms, tickets.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::client::ClientError;
use crate::client::https::Https;
use crate::core::keys::boxes::MeetingKeyPair;
use crate::core::keys::identity::PublicIdentity;
use crate::core::keys::sealing::AnnouncedKey;
use crate::platform::clock::Clock;
use crate::platform::entropy;
use crate::values::id::{SealingKeyId, SessionId};
use crate::values::secret::{Key256, SecretText};
use crate::values::time::Timestamp;

/// A token that has less than this to live is replaced first, in milliseconds.
const FRESH_MILLIS: i64 = 30_000;

/// What a person types.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Workspace name.
    pub workspace: String,
    /// User name.
    pub user_name: String,
    /// Password.
    pub password: SecretText,
}

/// A ticket, and what it takes to use it.
#[derive(Debug)]
pub struct Ticket {
    /// The JWT.
    pub token: String,
    /// The key it names.
    pub pair: MeetingKeyPair,
    /// What boxes of meeting keys are bound to.
    pub psk: Key256,
    /// Likewise.
    pub session: SessionId,
}

/// A signed-in account.
pub struct Account {
    https: Https,
    clock: Clock,
    session: SessionId,
    psk: Key256,
    access: Access,
}

/// The tokens of a session.
struct Access {
    token: Zeroizing<String>,
    expires: Timestamp,
    refresh: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Offer {
    identity_key: String,
    sealing_key: OfferedKey,
    challenge: String,
}

#[derive(Deserialize)]
struct OfferedKey {
    id: SealingKeyId,
    public_key: String,
    not_after: Timestamp,
    signature: String,
}

#[derive(Deserialize)]
struct Grant {
    access_token: String,
    expires_at: Timestamp,
    refresh_token: String,
    session: SessionId,
}

fn read<T: for<'de> Deserialize<'de>>(answer: Value) -> Result<T, ClientError> {
    serde_json::from_value(answer).map_err(|error| ClientError::Unreadable(error.to_string()))
}

fn bytes<const N: usize>(text: &str) -> Result<[u8; N], ClientError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| ClientError::Unreadable("a binary value has another length".to_owned()))
}

impl From<Grant> for Access {
    fn from(grant: Grant) -> Self {
        Self { token: grant.access_token.into(), expires: grant.expires_at, refresh: grant.refresh_token.into() }
    }
}

impl Account {
    /// Signs in with a sealed credential.
    pub async fn sign_in(
        https: Https,
        clock: Clock,
        credential: &Credential,
        device: &str,
    ) -> Result<Self, ClientError> {
        let offer: Offer = read(https.send(Method::GET, "/api/v1/sign-in", None, None).await?)?;
        let identity =
            PublicIdentity::from_bytes(&bytes::<32>(&offer.identity_key)?).map_err(|_| ClientError::Offer)?;
        let key = AnnouncedKey {
            id: offer.sealing_key.id,
            public_key: bytes(&offer.sealing_key.public_key)?,
            not_after: offer.sealing_key.not_after,
            signature: bytes(&offer.sealing_key.signature)?,
        };
        key.verify(identity).map_err(|_| ClientError::Offer)?;
        let origin = https.server().to_string();
        let challenge = URL_SAFE_NO_PAD.decode(&offer.challenge).map_err(|_| ClientError::Offer)?;
        let Credential { workspace, user_name, password } = credential;
        let plain = json!({ "workspace": workspace, "user_name": user_name, "password": password.expose() });
        let plain = Zeroizing::new(plain.to_string());
        let sealed = key.seal(&origin, &challenge, plain.as_bytes(), &mut entropy::system());
        let (sealed, psk) = sealed.map_err(|_| ClientError::Offer)?;
        let body = json!({
            "sealed": {
                "key_id": key.id, "challenge": offer.challenge, "origin": origin,
                "encapsulated_key": URL_SAFE_NO_PAD.encode(&sealed.encapsulated_key),
                "ciphertext": URL_SAFE_NO_PAD.encode(&sealed.ciphertext),
            },
            "device_name": device, "carrier": "token",
        });
        let grant: Grant = read(https.send(Method::POST, "/api/v1/sessions", None, Some(&body)).await?)?;
        Ok(Self { https, clock, session: grant.session, psk, access: grant.into() })
    }

    /// The appliance.
    pub const fn https(&self) -> &Https {
        &self.https
    }

    /// A request as this account, with a token that holds.
    pub async fn send(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ClientError> {
        if self.access.expires.as_millis() - self.clock.now().as_millis() < FRESH_MILLIS {
            let body = json!({ "refresh_token": *self.access.refresh });
            let grant: Grant =
                read(self.https.send(Method::POST, "/api/v1/sessions/refresh", None, Some(&body)).await?)?;
            self.access = grant.into();
        }
        self.https.send(method, path, Some(&self.access.token), body).await
    }

    /// A ticket to a room, by its name.
    pub async fn ticket(&mut self, room: &str) -> Result<Ticket, ClientError> {
        let no_room = || ClientError::NoRoom(room.to_owned());
        // The name of a room needs no encoding; what does is no name.
        if !room.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(no_room());
        }
        let found = self.send(Method::GET, &format!("/api/v1/rooms?name={room}"), None).await?;
        let id = found.pointer("/rooms/0/id").and_then(Value::as_str).ok_or_else(no_room)?;
        let path = format!("/api/v1/rooms/{id}/tickets");
        let pair = MeetingKeyPair::generate(&mut entropy::system());
        let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(pair.public_key()));
        let answer = self.send(Method::POST, &path, Some(&json!({ "key_thumbprint": thumbprint }))).await?;
        let token = answer.get("ticket").and_then(Value::as_str);
        let token = token.ok_or_else(|| ClientError::Unreadable("no ticket".to_owned()))?.to_owned();
        Ok(Ticket { token, pair, psk: self.psk.clone(), session: self.session })
    }

    /// Ends the session.
    pub async fn sign_out(mut self) -> Result<(), ClientError> {
        self.send(Method::DELETE, "/api/v1/session", None).await.map(drop)
    }
}

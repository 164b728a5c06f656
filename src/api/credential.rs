// SPDX-License-Identifier: AGPL-3.0-or-later
//! Opening sealed credentials: origin, challenge and key are checked before the box, and say nothing about accounts.

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header};
use serde::de::DeserializeOwned;

use crate::api::error::Problem;
use crate::api::services::Services;
use crate::api::types::{Base64, NewPassword, Sealed, SealingKeyView, SignInOffer};
use crate::core::keys::sealing::{Binding, SealedBox};
use crate::platform::entropy;
use crate::platform::password;
use crate::platform::pki::DnsName;
use crate::values::secret::{Key256, SecretText};

/// Longest plaintext in a box, in bytes; a credential with the longest names and passwords has less than 4 KiB.
const BOX_MAX: usize = 8_192;

/// What clients seal to.
pub fn offer(app: &Services) -> SignInOffer {
    let now = app.clock.now();
    let announced = app.sealing.current(now).announce(app.store.identity());
    let (challenge, challenge_expires_at) = app.challenges().issue(now, &mut entropy::system());
    let identity = app.store.public_identity();
    SignInOffer {
        identity_key: Base64(identity.to_bytes().to_vec()),
        appliance: identity.appliance_id(),
        sealing_key: SealingKeyView {
            id: announced.id,
            public_key: Base64(announced.public_key.to_vec()),
            not_after: announced.not_after,
            signature: Base64(announced.signature.to_vec()),
        },
        challenge: Base64(challenge),
        challenge_expires_at,
    }
}

/// How a request was addressed: `host:port` as the client wrote it.
pub fn authority<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.or_else(|| uri.authority().map(axum::http::uri::Authority::as_str))
}

/// A challenge that came with a box that opened. It is used up only when something is about to be computed for it:
/// those who cannot get that far cannot fill the memory of used ones.
#[must_use = "a challenge that is not redeemed could be used again"]
pub struct Unredeemed(Vec<u8>);

impl Unredeemed {
    /// Uses the challenge up; fails when it was used before or is too old.
    pub fn redeem(self, app: &Services) -> Result<(), Problem> {
        Ok(app.challenges().redeem(&self.0, app.clock.now())?)
    }
}

/// Opens a box of somebody who is signed in, and uses its challenge up.
pub fn open<T: DeserializeOwned>(app: &Services, sealed: &Sealed, addressed: Option<&str>) -> Result<T, Problem> {
    let opened: Unsealed<T> = open_unredeemed(app, sealed, addressed)?;
    opened.challenge.redeem(app)?;
    Ok(opened.value)
}

/// What came out of a box.
pub struct Unsealed<T> {
    /// What was in it.
    pub value: T,
    /// Its challenge, not used up yet.
    pub challenge: Unredeemed,
    /// The secret that the device and the appliance have now.
    pub exported: Key256,
}

/// Opens a box and reads the JSON inside.
pub fn open_unredeemed<T: DeserializeOwned>(
    app: &Services,
    sealed: &Sealed,
    addressed: Option<&str>,
) -> Result<Unsealed<T>, Problem> {
    let now = app.clock.now();
    if !is_ours(app, &sealed.origin, addressed) {
        return Err(Problem::OriginUnknown);
    }
    let stale =
        || Problem::ChallengeStale("The key that the credential was sealed to is not in use any more.".to_owned());
    let key = app.sealing.find(sealed.key_id, now).ok_or_else(stale)?;
    if sealed.ciphertext.0.len() > BOX_MAX {
        return Err(Problem::SealedUnreadable);
    }
    let binding = Binding { origin: &sealed.origin, key_id: sealed.key_id, challenge: &sealed.challenge.0 };
    let boxed =
        SealedBox { encapsulated_key: sealed.encapsulated_key.0.clone(), ciphertext: sealed.ciphertext.0.clone() };
    let opened = key.open(binding, &boxed).map_err(|_| Problem::SealedUnreadable)?;
    // The parser's message could quote the plaintext, so it is not passed on.
    let value = serde_json::from_slice(&opened.plain).map_err(|_| Problem::SealedUnreadable)?;
    Ok(Unsealed { value, challenge: Unredeemed(sealed.challenge.0.clone()), exported: opened.exported })
}

/// Whether `origin` is this appliance, as the client addressed it.
fn is_ours(app: &Services, origin: &str, addressed: Option<&str>) -> bool {
    let Some(origin) = origin.strip_prefix("https://") else { return false };
    let default_port = |authority: &str| authority.strip_suffix(":443").unwrap_or(authority).to_ascii_lowercase();
    if addressed.map(default_port) != Some(default_port(origin)) {
        return false;
    }
    let Ok(uri) = format!("https://{origin}").parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let certificates = app.trust.certificates();
    if certificates.authority().is_none() {
        // Before the claim nothing says which names are its own: what stands in the address bar has to do.
        return true;
    }
    let leaf = certificates.tcp();
    if let Ok(address) = host.parse::<IpAddr>() {
        let inside = certificates.authority().is_some_and(|authority| authority.scope().includes_address(address));
        return inside || leaf.subject().addresses.contains(&address);
    }
    let Ok(name) = host.parse::<DnsName>() else { return false };
    let inside = certificates.authority().is_some_and(|authority| authority.scope().includes_name(&name));
    inside || leaf.subject().names.contains(&name)
}

/// A password that an admin gives to another account.
pub enum Given {
    /// Chosen by the admin.
    Chosen(SecretText),
    /// Made here; to be told once.
    Made(SecretText),
}

impl Given {
    /// Reads it from a request: sealed, in clear on the admin socket, or made here. A chosen one must be strong.
    pub fn from_request(
        app: &Services,
        sealed: Option<&Sealed>,
        clear: Option<SecretText>,
        is_local: bool,
        addressed: Option<&str>,
        hints: &[&str],
    ) -> Result<Self, Problem> {
        let chosen = match (sealed, clear) {
            (Some(sealed), None) => open::<NewPassword>(app, sealed, addressed)?.new_password,
            (None, Some(_)) if !is_local => return Err(Problem::MustBeSealed),
            (None, Some(clear)) => clear,
            (None, None) => return Ok(Self::Made(password::random_password(&mut entropy::system()))),
            (Some(_), Some(_)) => {
                return Err(Problem::InvalidBody("give `sealed` or `password`, not both".to_owned()));
            }
        };
        password::check_strength(&chosen, hints)?;
        Ok(Self::Chosen(chosen))
    }

    /// The password.
    pub const fn password(&self) -> &SecretText {
        match self {
            Self::Chosen(password) | Self::Made(password) => password,
        }
    }

    /// What the answer tells: only what the appliance made itself.
    pub fn to_tell(&self) -> Option<String> {
        match self {
            Self::Chosen(_) => None,
            Self::Made(password) => Some(password.expose().to_owned()),
        }
    }
}

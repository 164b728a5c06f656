// SPDX-License-Identifier: AGPL-3.0-or-later
//! Access tokens and tickets: JWT with HS512 and nothing else (RFC 7515, 7519).
//!
//! The library signs and verifies; which claims hold is `core::auth::token`'s decision. The key is found by `kid` in
//! the keyring, in memory, before any database is touched.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::core::auth::ticket::TicketClaims;
use crate::core::auth::token::Claims;
use crate::platform::store::keyring::Keyring;
use crate::values::id::WorkspaceId;

/// A token longer than this is not looked at, in bytes; ours have about 450, tickets up to 1,200.
const LONGEST: usize = 2_048;

/// The token is not one of ours. Callers do not tell the reasons apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the access token is not valid")]
pub struct TokenError;

/// Signs claims under the newest token key of their workspace.
pub fn sign(keyring: &Keyring, claims: &Claims) -> Result<String, TokenError> {
    sign_claims(keyring, claims.wid, claims)
}

/// Signs the claims of a ticket, likewise.
pub fn sign_ticket(keyring: &Keyring, claims: &TicketClaims) -> Result<String, TokenError> {
    sign_claims(keyring, claims.wid, claims)
}

fn sign_claims(keyring: &Keyring, workspace: WorkspaceId, claims: &impl Serialize) -> Result<String, TokenError> {
    let keys = keyring.keys(workspace).ok_or(TokenError)?;
    let (version, key) = keys.newest_token().ok_or(TokenError)?;
    let mut header = Header::new(Algorithm::HS512);
    header.kid = Some(format!("{workspace}.{version}"));
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(key.expose())).map_err(|_| TokenError)
}

/// Verifies the signature and returns the claims with the workspace whose key made it. The claims are not checked yet.
pub fn verify(keyring: &Keyring, token: &str) -> Result<(Claims, WorkspaceId), TokenError> {
    verify_claims(keyring, token)
}

/// The same for a ticket. Neither reads as the other: they have other claims, and take no unknown ones.
pub fn verify_ticket(keyring: &Keyring, ticket: &str) -> Result<(TicketClaims, WorkspaceId), TokenError> {
    verify_claims(keyring, ticket)
}

fn verify_claims<C: DeserializeOwned>(keyring: &Keyring, token: &str) -> Result<(C, WorkspaceId), TokenError> {
    if token.len() > LONGEST {
        return Err(TokenError);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError)?;
    if header.alg != Algorithm::HS512 {
        return Err(TokenError);
    }
    let (workspace, version) = header.kid.as_deref().and_then(|kid| kid.split_once('.')).ok_or(TokenError)?;
    let workspace: WorkspaceId = workspace.parse().map_err(|_| TokenError)?;
    let version: u32 = version.parse().map_err(|_| TokenError)?;
    let keys = keyring.keys(workspace).ok_or(TokenError)?;
    let key = keys.token(version).ok_or(TokenError)?;

    // The library's own checks of `exp` have 60 s of leeway and read the clock: all off.
    let mut validation = Validation::new(Algorithm::HS512);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    let decoded = jsonwebtoken::decode::<C>(token, &DecodingKey::from_secret(key.expose()), &validation);
    decoded.map(|data| (data.claims, workspace)).map_err(|_| TokenError)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::core::auth::ticket::{Grant, KeyThumbprint, TicketAudience};
    use crate::platform::store::files::Layout;
    use crate::values::id::{AccountId, RoomId, SessionId, TicketId};
    use crate::values::time::Timestamp;

    const A: WorkspaceId = WorkspaceId::from_bytes([1; 16]);
    const B: WorkspaceId = WorkspaceId::from_bytes([2; 16]);

    fn keyring() -> (tempfile::TempDir, Keyring) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("data"), None);
        let _lock = layout.claim().unwrap();
        let ring = Keyring::load(layout).unwrap();
        ring.create(A).unwrap();
        ring.create(B).unwrap();
        (dir, ring)
    }

    fn claims() -> Claims {
        let (account, session) = (AccountId::from_bytes([3; 16]), SessionId::from_bytes([4; 16]));
        Claims::issue("conclave:test", A, account, session, Timestamp::from_millis(0))
    }

    fn forge(header: &str, key: &[u8], alg: Algorithm) -> String {
        let body = serde_json::to_vec(&claims()).unwrap();
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(body));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &EncodingKey::from_secret(key), alg).unwrap();
        format!("{message}.{signature}")
    }

    #[test]
    fn ours_verify_and_name_their_workspace() {
        let (_dir, ring) = keyring();
        let token = sign(&ring, &claims()).unwrap();
        assert_eq!(verify(&ring, &token), Ok((claims(), A)));
    }

    fn ticket() -> TicketClaims {
        TicketClaims {
            iss: format!("conclave:{}", "0".repeat(32)),
            aud: TicketAudience::Relay,
            sub: AccountId::from_bytes([3; 16]),
            wid: A,
            sid: SessionId::from_bytes([4; 16]),
            room: RoomId::from_bytes([5; 16]),
            jti: TicketId::from_bytes([6; 16]),
            jkt: KeyThumbprint::of(&[7; 32]),
            // The longest that a display name can be, in bytes.
            name: "\u{1f600}".repeat(80).parse().unwrap(),
            grant: Grant { voice: false, voice_off: false, screen: false, moderate: false, lobby: false },
            iat: 1_795_451_400,
            exp: 1_795_451_460,
        }
    }

    #[test]
    fn a_ticket_is_no_access_token_and_an_access_token_no_ticket() {
        let (_dir, ring) = keyring();
        let signed = sign_ticket(&ring, &ticket()).unwrap();
        assert_eq!(verify_ticket(&ring, &signed), Ok((ticket(), A)));
        assert_eq!(verify(&ring, &signed), Err(TokenError));
        assert_eq!(verify_ticket(&ring, &sign(&ring, &claims()).unwrap()), Err(TokenError));
        let (head, _) = signed.rsplit_once('.').unwrap();
        assert_eq!(verify_ticket(&ring, &format!("{head}.")), Err(TokenError));
        assert!(signed.len() <= 1_400, "{} bytes", signed.len());
    }

    #[test]
    fn nothing_but_hs512_under_the_named_key_verifies() {
        let (_dir, ring) = keyring();
        let key = *ring.keys(A).unwrap().token(1).unwrap().expose();
        let other = *ring.keys(B).unwrap().token(1).unwrap().expose();
        let header = |alg: &str, kid: &str| format!(r#"{{"alg":"{alg}","typ":"JWT","kid":"{kid}"}}"#);
        let kid = format!("{A}.1");

        let good = forge(&header("HS512", &kid), &key, Algorithm::HS512);
        assert!(verify(&ring, &good).is_ok());
        let refused = |token: &str| assert_eq!(verify(&ring, token), Err(TokenError), "{token}");
        refused(&forge(&header("HS256", &kid), &key, Algorithm::HS256));
        refused(&forge(&header("HS384", &kid), &key, Algorithm::HS384));
        refused(&forge(&header("none", &kid), &key, Algorithm::HS512));
        refused(&forge(&header("RS256", &kid), &key, Algorithm::HS512));
        refused(&forge(&header("HS512", &kid), &other, Algorithm::HS512));
        refused(&forge(&header("HS512", &format!("{B}.1")), &key, Algorithm::HS512));
        refused(&forge(&header("HS512", &format!("{A}.2")), &key, Algorithm::HS512));
        refused(&forge(&header("HS512", "../../etc"), &key, Algorithm::HS512));
        refused(&good[..good.len() - 2]);
        refused(&good[..good.rfind('.').unwrap() + 1]);
        refused("");
        refused(&"a".repeat(5_000));
        // What B signed for itself names B, so its claims about A do not hold.
        let cross = forge(&header("HS512", &format!("{B}.1")), &other, Algorithm::HS512);
        let (claims, signed_by) = verify(&ring, &cross).unwrap();
        assert_ne!(claims.wid, signed_by);
    }
}

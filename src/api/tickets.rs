// SPDX-License-Identifier: AGPL-3.0-or-later
//! Handing out tickets: what a session may do in a room is decided here, once, and stands in the ticket.
//!
//! Decided on the writer of the workspace, between the changes that could undo it: whoever ends a session, closes a room
//! or changes a policy voids the tickets that were handed out before.

use std::sync::Arc;

use axum::extract::State;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::credential;
use crate::api::error::{BodyRefusals, Problem, Refusals, Refused};
use crate::api::extract::{Json, Path};
use crate::api::principal::Member;
use crate::api::services::App;
use crate::api::types::Base64;
use crate::api::types::rooms::{AskTicket, CarriersView, RoomRef, TicketView};
use crate::core::auth::login::AccountStatus;
use crate::core::auth::ticket::{KeyThumbprint, LIFETIME, TicketAudience, TicketClaims};
use crate::hub::tickets::Expected;
use crate::platform::entropy;
use crate::platform::store::workspace::Write;
use crate::platform::store::{accounts, policy, rooms, sessions};
use crate::platform::token;
use crate::values::id::{RoomId, SessionId, TicketId, WorkspaceId};
use crate::values::name::RoomName;
use crate::values::time::Timestamp;

/// Where WebTransport sessions begin (docs/protocol.md).
const WEBTRANSPORT_PATH: &str = "/xr/v1";
/// The port of an `https` address that names none (RFC 9110 §4.2.2).
const HTTPS_PORT: u16 = 443;

/// This file's routes: for members alone, because a ticket is for a session.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create))
}

#[derive(Deserialize)]
struct RoomPath {
    room: RoomId,
}

/// Get a ticket: the right to join a room once, within a minute, with one meeting key.
#[utoipa::path(post, path = "/rooms/{room}/tickets", tag = "rooms", params(("room" = String, Path, format = Uuid)), request_body = AskTicket, responses(
    (status = 201, body = TicketView),
    Refusals, BodyRefusals, Refused<409>,
), security(("bearer" = [])))]
async fn create(
    State(app): State<App>,
    member: Member,
    Path(RoomPath { room }): Path<RoomPath>,
    headers: HeaderMap,
    uri: Uri,
    Json(request): Json<AskTicket>,
) -> Result<Response, Problem> {
    member.require_workspace()?;
    let carriers = carriers(credential::authority(&headers, &uri))?;
    let asked = Asked { issuer: app.issuer(), room, session: member.session.id, key: request.key_thumbprint };
    let (now, workspace, hub) = (app.clock.now(), member.workspace.id(), Arc::clone(&app.hub));
    let decide = move |write: &Write<'_>| {
        let (claims, expected) = match asked.decide(write, workspace, now)? {
            Ok(decided) => decided,
            Err(problem) => return Ok(Err(problem)),
        };
        let name = expected.room_name.clone();
        Ok(hub.tickets().expect(claims.jti, expected, now).map(|()| (claims, name)).map_err(Problem::from))
    };
    let (claims, name): (TicketClaims, RoomName) = member.workspace.write(decide).await??;
    let hashes = app.trust.certificates().udp_hashes();
    let ticket = TicketView {
        ticket: token::sign_ticket(app.store.keyring(), &claims).map_err(|_| Problem::Internal)?,
        expires_at: dead_at(&claims),
        room: RoomRef { id: room, name },
        carriers,
        certificate_hashes: hashes.iter().map(|hash| Base64(hash.as_bytes().to_vec())).collect(),
    };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], axum::Json(ticket)).into_response())
}

/// What a session asks for.
struct Asked {
    issuer: String,
    room: RoomId,
    session: SessionId,
    key: KeyThumbprint,
}

impl Asked {
    /// What is stored at this moment decides, not what was when the request came.
    fn decide(
        self,
        write: &Write<'_>,
        workspace: WorkspaceId,
        now: Timestamp,
    ) -> rusqlite::Result<Result<(TicketClaims, Expected), Problem>> {
        let Some(session) = sessions::find_live(write.sql(), self.session, now)? else {
            return Ok(Err(Problem::Unauthenticated));
        };
        let account = accounts::find(write.sql(), session.account)?;
        let Some(account) = account.filter(|account| account.status == AccountStatus::Active) else {
            return Ok(Err(Problem::Unauthenticated));
        };
        let permitted = policy::get(write.sql())?;
        let room = rooms::find(write.sql(), self.room)?;
        let room = room.map(|room| rooms::Room { policy: permitted.within(room.policy), ..room });
        let granted =
            room.and_then(|room| room.policy.grant(account.rights(), account.voice_off).map(|grant| (room, grant)));
        let Some((room, grant)) = granted else { return Ok(Err(Problem::NotFound)) };
        let Some(psk) = sessions::exported(write.sql(), write.keys(), session.id)? else {
            return Ok(Err(Problem::SealedSessionRequired));
        };
        let claims = TicketClaims {
            iss: self.issuer,
            aud: TicketAudience::Relay,
            sub: account.id,
            wid: workspace,
            sid: session.id,
            room: room.id,
            jti: TicketId::random(&mut entropy::system()),
            jkt: self.key,
            name: account.display_name,
            grant,
            iat: now.as_secs(),
            exp: (now + LIFETIME).as_secs(),
        };
        let expected = Expected {
            psk,
            workspace,
            room: room.id,
            room_name: room.name,
            policy: room.policy,
            account: account.id,
            session: session.id,
            expires: dead_at(&claims),
        };
        Ok(Ok((claims, expected)))
    }
}

const fn dead_at(claims: &TicketClaims) -> Timestamp {
    Timestamp::from_millis(claims.exp.saturating_mul(1_000))
}

/// The carriers, by the name the client knows the appliance by: UDP has the port number of HTTPS.
fn carriers(addressed: Option<&str>) -> Result<CarriersView, Problem> {
    let unknown = || Problem::MalformedRequest("The request does not say which host it is for.");
    let authority: Authority = addressed.and_then(|addressed| addressed.parse().ok()).ok_or_else(unknown)?;
    let quic = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(HTTPS_PORT));
    let webtransport = format!("https://{quic}{WEBTRANSPORT_PATH}");
    Ok(CarriersView { quic, webtransport })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carriers_are_where_the_appliance_was_addressed() {
        let check = |addressed: &str, quic: &str| assert_eq!(carriers(Some(addressed)).unwrap().quic, quic);
        check("meet.example.lan", "meet.example.lan:443");
        check("meet.example.lan:8443", "meet.example.lan:8443");
        check("10.0.0.7:8443", "10.0.0.7:8443");
        check("[fd00::7]", "[fd00::7]:443");
        check("[fd00::7]:8443", "[fd00::7]:8443");
        let webtransport = carriers(Some("meet.example.lan:8443")).unwrap().webtransport;
        assert_eq!(webtransport, "https://meet.example.lan:8443/xr/v1");
        assert!(carriers(None).is_err());
    }
}

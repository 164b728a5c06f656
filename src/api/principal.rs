// SPDX-License-Identifier: AGPL-3.0-or-later
//! Who asks: from an access token or the admin socket to a proven principal, checked on every request.
//!
//! A token is good for one surface: workspace routes take `conclave:member`, `/api/v1/system/…` takes
//! `conclave:system`. What is about the caller's own session ("me") takes either. Every failure is the same 401.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::header;
use axum::http::request::Parts;
use serde::Deserialize;

use crate::api::error::Problem;
use crate::api::extract::Path;
use crate::api::services::{App, Services};
use crate::core::audit::{Actor, Event, Outcome, Strength};
use crate::core::auth::login::AccountStatus;
use crate::core::auth::permission::{Administrator, Permission, Rights, Role};
use crate::core::auth::token::Audience;
use crate::platform::https::Peer;
use crate::platform::store::accounts::{self, Account};
use crate::platform::store::agreements;
use crate::platform::store::sessions::{self, Session};
use crate::platform::store::workspace::{Workspace, Write};
use crate::platform::token;
use crate::values::id::{AccountId, SessionId, WorkspaceId};
use crate::values::time::Timestamp;

/// Who acts, as the audit will say.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    actor: Actor,
    strength: Strength,
    address: Option<IpAddr>,
}

impl Caller {
    /// The appliance by itself.
    pub const APPLIANCE: Self = Self { actor: Actor::Appliance, strength: Strength::Nothing, address: None };

    /// Root on the host.
    pub const LOCAL: Self = Self { actor: Actor::LocalOperator, strength: Strength::LocalSocket, address: None };

    /// Somebody who proved nothing, at the other end of this connection.
    pub const fn anonymous(peer: Peer) -> Self {
        Self { actor: Actor::Anonymous, strength: Strength::Nothing, address: address_of(peer) }
    }

    /// Somebody who proved what this says, at the other end of this connection.
    pub const fn proven(actor: Actor, strength: Strength, peer: Peer) -> Self {
        Self { actor, strength, address: address_of(peer) }
    }

    /// An account that proved its password, at the other end of this connection.
    pub fn account(id: AccountId, workspace: WorkspaceId, peer: Peer) -> Self {
        let actor = if workspace == WorkspaceId::SYSTEM { Actor::Operator(id) } else { Actor::Account(id) };
        Self { actor, strength: Strength::Password, address: address_of(peer) }
    }

    /// Whether it is root on the host, where nothing travels over a network.
    pub const fn is_local(&self) -> bool {
        matches!(self.actor, Actor::LocalOperator)
    }

    /// Who it is, as the audit says.
    pub fn name(&self) -> String {
        self.actor.to_string()
    }

    /// An event of this caller.
    pub fn event(&self, action: &'static str, target: impl ToString, outcome: Outcome) -> Event {
        let Self { actor, strength, address } = *self;
        Event { actor, strength, address, action, target: target.to_string(), outcome, detail: String::new() }
    }
}

const fn address_of(peer: Peer) -> Option<IpAddr> {
    match peer {
        Peer::Network { remote, .. } => Some(remote.ip()),
        Peer::Local { .. } => None,
    }
}

/// A signed-in account, on either surface.
pub struct Member {
    /// Its workspace.
    pub workspace: Arc<Workspace>,
    /// Itself, as stored now.
    pub account: Account,
    /// The session that asks.
    pub session: Session,
    /// Which surface its token is for.
    pub audience: Audience,
    /// Whether the agreement was accepted for its workspace.
    agreed: bool,
    /// For the audit.
    pub caller: Caller,
}

impl Member {
    /// Refuses who is not on the surface of workspaces, or in one for which no agreement was accepted.
    pub fn require_workspace(&self) -> Result<(), Problem> {
        match self.audience {
            Audience::Member if self.agreed => Ok(()),
            Audience::Member => Err(Problem::AgreementMissing),
            Audience::System => Err(Problem::Unauthenticated),
        }
    }
}

impl FromRequestParts<App> for Member {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let peer = peer(parts)?;
        let token = bearer(parts).ok_or(Problem::Unauthenticated)?;
        let (claims, signed_by) = token::verify(app.store.keyring(), token).map_err(|_| Problem::Unauthenticated)?;
        let now = app.clock.now();
        let audience = Audience::of(signed_by);
        claims.check(&app.issuer(), audience, signed_by, now).map_err(|_| Problem::Unauthenticated)?;
        let workspace = app.store.workspace(signed_by).await?;
        let read = move |database: &rusqlite::Connection| {
            let session = sessions::find_live(database, claims.sid, now)?;
            Ok((session, accounts::find(database, claims.sub)?, agreements::is_any(database)?))
        };
        match workspace.read(read).await? {
            (Some(session), Some(account), agreed)
                if session.account == account.id && account.status == AccountStatus::Active =>
            {
                standstill(app, signed_by).map_or(Ok(()), Err)?;
                let caller = Caller::account(account.id, signed_by, peer);
                Ok(Self { workspace, account, session, audience, agreed, caller })
            }
            _ => Err(Problem::Unauthenticated),
        }
    }
}

/// Why nobody may use a workspace now, if so. The operators' own has no life of this kind.
pub fn standstill(app: &Services, workspace: WorkspaceId) -> Option<Problem> {
    if workspace == WorkspaceId::SYSTEM {
        return None;
    }
    match app.store.registry().entry(workspace) {
        Some(entry) => entry.life.standstill(app.clock.now()).map(Problem::from),
        None => Some(Problem::Unauthenticated),
    }
}

/// What made somebody the caller. Bodies and hashes take their time, so it is asked again where something is written:
/// whoever was stopped meanwhile changes nothing any more.
#[derive(Clone, Copy)]
enum Proof {
    /// Root on the host.
    Local,
    /// A session, and what its account might do.
    Session { session: SessionId, account: AccountId, rights: Rights },
}

impl Proof {
    const fn of(member: &Member) -> Self {
        Self::Session { session: member.session.id, account: member.account.id, rights: member.account.rights() }
    }

    /// Whether it still is so, in the file of its own workspace.
    fn holds(self, database: &rusqlite::Connection, now: Timestamp) -> rusqlite::Result<bool> {
        let Self::Session { session, account, rights } = self else { return Ok(true) };
        let session = sessions::find_live(database, session, now)?;
        let account = accounts::find(database, account)?.filter(|account| account.status == AccountStatus::Active);
        Ok(session.is_some() && account.is_some_and(|account| account.rights() == rights))
    }
}

/// An operator: root on the host, or an admin of workspace `system`.
pub struct Operator {
    /// For the audit.
    pub caller: Caller,
    proof: Proof,
}

impl Operator {
    /// Runs `work` in one write transaction of `system.db`, when the caller still is an operator there.
    pub async fn write<T, F>(&self, app: &App, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&Write<'_>) -> rusqlite::Result<Result<T, Problem>> + Send + 'static,
    {
        let (proof, clock) = (self.proof, app.clock.clone());
        let checked = move |write: &Write<'_>| match proof.holds(write.sql(), clock.now())? {
            true => work(write),
            false => Ok(Err(Problem::Unauthenticated)),
        };
        app.store.system().write(checked).await?
    }
}

impl FromRequestParts<App> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if is_local_operator(peer(parts)?, app) {
            return Ok(Self { caller: Caller::LOCAL, proof: Proof::Local });
        }
        let member = Member::from_request_parts(parts, app).await?;
        match member.audience {
            Audience::System if member.account.role() == Role::Admin => {
                Ok(Self { caller: member.caller, proof: Proof::of(&member) })
            }
            Audience::System => Err(Problem::Forbidden("the role of an operator")),
            Audience::Member => Err(Problem::Unauthenticated),
        }
    }
}

/// Root on the host and nobody else, not even an operator over the network.
pub struct LocalOperator {
    /// For the audit.
    pub caller: Caller,
}

impl FromRequestParts<App> for LocalOperator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match is_local_operator(peer(parts)?, app) {
            true => Ok(Self { caller: Caller::LOCAL }),
            // Over the network these routes do not exist.
            false => Err(Problem::NotFound),
        }
    }
}

/// One workspace under administration, and how far the caller's authority in it goes.
///
/// On `/api/v1/system/workspaces/{workspace}/…` that is an operator, elsewhere an account of the workspace itself.
pub struct Administration {
    /// The workspace.
    pub workspace: Arc<Workspace>,
    /// For the audit.
    pub caller: Caller,
    rights: Rights,
    /// The caller's own account here; operators have none.
    account: Option<AccountId>,
    proof: Proof,
}

#[derive(Deserialize)]
struct WorkspacePath {
    workspace: WorkspaceId,
}

/// The same, also before an agreement was accepted for the workspace.
pub struct BeforeAgreement(pub Administration);

impl FromRequestParts<App> for BeforeAgreement {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if is_of_the_system(parts) {
            return Administration::from_request_parts(parts, app).await.map(Self);
        }
        let member = Member::from_request_parts(parts, app).await?;
        match member.audience {
            Audience::Member => Ok(Self(Administration::of(member))),
            Audience::System => Err(Problem::Unauthenticated),
        }
    }
}

/// Whether it is a route of operators. By the whole path: nested routers see theirs without the prefix.
fn is_of_the_system(parts: &Parts) -> bool {
    parts.extensions.get::<MatchedPath>().is_some_and(|path| path.as_str().starts_with("/api/v1/system/"))
}

impl FromRequestParts<App> for Administration {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if !is_of_the_system(parts) {
            let member = Member::from_request_parts(parts, app).await?;
            member.require_workspace()?;
            return Ok(Self::of(member));
        }
        let operator = Operator::from_request_parts(parts, app).await?;
        let Path(WorkspacePath { workspace }) = Path::from_request_parts(parts, app).await?;
        let workspace = existing_workspace(app, workspace).await?;
        let Operator { caller, proof } = operator;
        Ok(Self { workspace, caller, rights: Rights::of(Role::Admin), account: None, proof })
    }
}

impl Administration {
    fn of(member: Member) -> Self {
        let (rights, account) = (member.account.rights(), Some(member.account.id));
        let proof = Proof::of(&member);
        Self { workspace: member.workspace, caller: member.caller, rights, account, proof }
    }

    /// Runs `work` in one write transaction of the workspace, when the caller still may do what it might when it came. An
    /// operator's account is in another file and is asked just before.
    pub async fn write<T, F>(&self, app: &App, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&Write<'_>) -> rusqlite::Result<Result<T, Problem>> + Send + 'static,
    {
        let (proof, is_own, now) = (self.proof, self.account.is_some(), app.clock.now());
        let workspace = self.workspace.id();
        if !is_own && !app.store.system().read(move |database| proof.holds(database, now)).await? {
            return Err(Problem::Unauthenticated);
        }
        let services = Arc::clone(app);
        let checked = move |write: &Write<'_>| {
            if is_own {
                if let Some(problem) = standstill(&services, workspace) {
                    return Ok(Err(problem));
                }
                if !proof.holds(write.sql(), services.clock.now())? {
                    return Ok(Err(Problem::Unauthenticated));
                }
            }
            work(write)
        };
        self.workspace.write(checked).await?
    }

    /// The caller's account in workspace `system`, if it is an operator's.
    pub const fn operator(&self) -> Option<AccountId> {
        match (self.account, self.proof) {
            (None, Proof::Session { account, .. }) => Some(account),
            _ => None,
        }
    }

    /// The caller's own account here, if it has one.
    pub const fn account(&self) -> Option<AccountId> {
        self.account
    }

    /// The caller's role here.
    pub const fn role(&self) -> Role {
        self.rights.role
    }

    /// The caller's role here, when it has `permission`.
    pub fn require(&self, permission: Permission) -> Result<Role, Problem> {
        if self.rights.has(permission) { Ok(self.role()) } else { Err(Problem::Forbidden(permission.as_str())) }
    }

    /// The caller as one who looks after accounts, when it has `permission`.
    pub fn administers(&self, permission: Permission) -> Result<Administrator, Problem> {
        self.require(permission).map(|_| Administrator::new(self.rights, self.account))
    }

    /// The same, and an Admin.
    pub fn administers_as_admin(&self, permission: Permission) -> Result<Administrator, Problem> {
        let admin = self.administers(permission)?;
        if admin.role() == Role::Admin { Ok(admin) } else { Err(Problem::Forbidden("the role of an Admin")) }
    }
}

/// The workspace with this id, when the registry has it.
pub async fn existing_workspace(app: &Services, id: WorkspaceId) -> Result<Arc<Workspace>, Problem> {
    if id != WorkspaceId::SYSTEM && app.store.registry().entry(id).is_none() {
        return Err(Problem::NotFound);
    }
    Ok(app.store.workspace(id).await?)
}

/// The other end of the connection.
pub fn peer(parts: &Parts) -> Result<Peer, Problem> {
    parts.extensions.get::<Peer>().copied().ok_or(Problem::Internal)
}

/// Whether it is root on the host, or the appliance itself.
pub fn is_local_operator(peer: Peer, app: &Services) -> bool {
    matches!(peer, Peer::Local { uid, .. } if uid == 0 || uid == app.own_uid)
}

/// The token of the one `Authorization` header. With two of them, what stands before us may have looked at the other.
pub(super) fn bearer(parts: &Parts) -> Option<&str> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).into_iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

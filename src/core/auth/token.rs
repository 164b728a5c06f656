// SPDX-License-Identifier: AGPL-3.0-or-later
//! Access token claims (RFC 7519 §4.1) and the rules that make them hold.
//!
//! The signature is checked in `platform::token`; everything else here, against a `now` that is told, without
//! leeway: a token is dead in the second its `exp` names.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::values::id::{AccountId, SessionId, WorkspaceId};
use crate::values::time::Timestamp;

/// Life of an access token. Revocation is checked on every use besides.
pub const LIFETIME: Duration = Duration::from_secs(600);

/// The surface a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Audience {
    /// The API of one workspace.
    #[serde(rename = "conclave:member")]
    Member,
    /// `/api/v1/system/…`, for operators.
    #[serde(rename = "conclave:system")]
    System,
}

impl Audience {
    /// The surface that accounts of `workspace` may reach.
    pub fn of(workspace: WorkspaceId) -> Self {
        if workspace == WorkspaceId::SYSTEM { Self::System } else { Self::Member }
    }
}

/// The claims of an access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Issuer: `conclave:<appliance id>`.
    pub iss: String,
    /// Surface.
    pub aud: Audience,
    /// Account.
    pub sub: AccountId,
    /// Workspace.
    pub wid: WorkspaceId,
    /// Session, checked against revocation on every use.
    pub sid: SessionId,
    /// Issued at, seconds since the epoch.
    pub iat: i64,
    /// Not before.
    pub nbf: i64,
    /// Expires: the first second in which it is dead.
    pub exp: i64,
}

/// Why claims do not hold. Callers answer all of them alike; the names are for tests and counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// Another appliance issued it.
    #[error("another issuer")]
    Issuer,
    /// For another surface.
    #[error("another audience")]
    Audience,
    /// Its workspace is not the one whose key signed it.
    #[error("another workspace")]
    Workspace,
    /// Not valid yet.
    #[error("not valid yet")]
    Early,
    /// Not valid any more, or for longer than tokens live.
    #[error("expired")]
    Expired,
}

impl Claims {
    /// Claims for a session that may use the API for [`LIFETIME`] from `now`.
    pub fn issue(issuer: &str, workspace: WorkspaceId, account: AccountId, session: SessionId, now: Timestamp) -> Self {
        let iat = now.as_secs();
        Self {
            iss: issuer.to_owned(),
            aud: Audience::of(workspace),
            sub: account,
            wid: workspace,
            sid: session,
            iat,
            nbf: iat,
            exp: (now + LIFETIME).as_secs(),
        }
    }

    /// When the token expires.
    pub const fn expires_at(&self) -> Timestamp {
        Timestamp::from_millis(self.exp.saturating_mul(1_000))
    }

    /// Checks every claim; `signed_by` is the workspace whose key verified the signature.
    pub fn check(
        &self,
        issuer: &str,
        audience: Audience,
        signed_by: WorkspaceId,
        now: Timestamp,
    ) -> Result<(), ClaimsError> {
        let now = now.as_secs();
        let life = self.exp.saturating_sub(self.iat);
        if self.iss != issuer {
            Err(ClaimsError::Issuer)
        } else if self.wid != signed_by {
            Err(ClaimsError::Workspace)
        } else if self.aud != audience {
            Err(ClaimsError::Audience)
        } else if now < self.nbf || now < self.iat {
            Err(ClaimsError::Early)
        } else if now >= self.exp || life > i64::try_from(LIFETIME.as_secs()).unwrap_or(i64::MAX) {
            Err(ClaimsError::Expired)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const W: WorkspaceId = WorkspaceId::from_bytes([1; 16]);

    #[test]
    fn the_table_of_refusals() {
        let start = Timestamp::from_millis(1_000_000);
        let claims = Claims::issue("us", W, AccountId::from_bytes([2; 16]), SessionId::from_bytes([3; 16]), start);
        let check = |issuer, audience, workspace, now| claims.check(issuer, audience, workspace, now);
        let last = start + (LIFETIME - Duration::from_millis(1));
        assert_eq!(check("us", Audience::Member, W, start), Ok(()));
        assert_eq!(check("us", Audience::Member, W, last), Ok(()));
        assert_eq!(check("us", Audience::Member, W, start + LIFETIME), Err(ClaimsError::Expired));
        assert_eq!(check("us", Audience::Member, W, start - Duration::from_secs(1)), Err(ClaimsError::Early));
        assert_eq!(check("them", Audience::Member, W, start), Err(ClaimsError::Issuer));
        assert_eq!(check("us", Audience::System, W, start), Err(ClaimsError::Audience));
        let other = WorkspaceId::from_bytes([9; 16]);
        assert_eq!(check("us", Audience::Member, other, start), Err(ClaimsError::Workspace));
        let eternal = Claims { exp: i64::MAX, ..claims.clone() };
        assert_eq!(eternal.check("us", Audience::Member, W, start), Err(ClaimsError::Expired));
    }
}

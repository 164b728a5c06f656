// SPDX-License-Identifier: AGPL-3.0-or-later
//! Table `approvals`: what two persons decide together.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::core::approval::{Approval, Deed, Signature, Verdict};
use crate::platform::store::row::{BadColumn, id, text, time, time_or_none};
use crate::platform::store::workspace::Write;
use crate::values::id::ApprovalId;
use crate::values::name::Label;
use crate::values::time::Timestamp;

/// Requests that are kept of one workspace; the oldest give way, they are in the audit.
pub const KEPT: u32 = 1_000;

/// A stored request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its id.
    pub id: ApprovalId,
    /// Why it is asked for.
    pub reason: Label,
    /// The request itself.
    pub approval: Approval,
}

fn signature(by: Option<String>, at: Option<Timestamp>) -> Option<Signature> {
    by.zip(at).map(|(by, at)| Signature { by, at })
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let deed: String = row.get("deed")?;
    let verdict = match row.get::<_, Option<String>>("verdict")?.as_deref() {
        None => None,
        Some("approved") => Some(Verdict::Approved),
        Some("rejected") => Some(Verdict::Rejected),
        Some(_) => return Err(BadColumn("verdict").into()),
    };
    let decided = signature(row.get("decided_by")?, time_or_none(row, "decided_at")?);
    Ok(Stored {
        id: id(row, "id").map(ApprovalId::from_bytes)?,
        reason: text(row, "reason")?,
        approval: Approval {
            deed: Deed::from_name(&deed).ok_or(BadColumn("deed"))?,
            target: id(row, "target")?,
            requested: Signature { by: row.get("requested_by")?, at: time(row, "requested_at")? },
            decided: verdict.zip(decided),
            used: signature(row.get("used_by")?, time_or_none(row, "used_at")?),
        },
    })
}

/// The request with this id.
pub fn find(database: &Connection, id: ApprovalId) -> rusqlite::Result<Option<Stored>> {
    let sql = "SELECT * FROM approvals WHERE id = ?1";
    database.query_row(sql, params![id.as_bytes()], stored).optional()
}

/// Every kept request, the newest first.
pub fn all(database: &Connection) -> rusqlite::Result<Vec<Stored>> {
    let mut statement = database.prepare("SELECT * FROM approvals ORDER BY requested_at DESC, id")?;
    statement.query_map([], stored)?.collect()
}

/// Keeps a new request.
pub fn insert(write: &Write<'_>, request: &Stored) -> rusqlite::Result<()> {
    let Approval { deed, target, requested, .. } = &request.approval;
    write.sql().execute(
        "INSERT INTO approvals (id, deed, target, reason, requested_by, requested_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            request.id.as_bytes(),
            deed.as_str(),
            target,
            request.reason.as_str(),
            requested.by,
            requested.at.as_millis()
        ],
    )?;
    write.sql().execute(
        "DELETE FROM approvals WHERE id NOT IN (SELECT id FROM approvals ORDER BY requested_at DESC, id LIMIT ?1)",
        params![KEPT],
    )?;
    Ok(())
}

/// Keeps what became of a request.
pub fn update(write: &Write<'_>, id: ApprovalId, approval: &Approval) -> rusqlite::Result<()> {
    let (verdict, decided) = approval.decided.as_ref().map(|(verdict, signature)| (*verdict, signature)).unzip();
    write.sql().execute(
        "UPDATE approvals SET verdict = ?2, decided_by = ?3, decided_at = ?4, used_by = ?5, used_at = ?6 WHERE id = ?1",
        params![
            id.as_bytes(),
            verdict.map(Verdict::as_str),
            decided.map(|signature| &signature.by),
            decided.map(|signature| signature.at.as_millis()),
            approval.used.as_ref().map(|signature| &signature.by),
            approval.used.as_ref().map(|signature| signature.at.as_millis())
        ],
    )?;
    Ok(())
}

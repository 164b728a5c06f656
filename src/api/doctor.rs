// SPDX-License-Identifier: AGPL-3.0-or-later
//! The doctor's half inside the appliance: files, keys, chains, schema, anchor, the fence. The other half is the host's
//! (`conclave doctor`).

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::audit;
use crate::api::error::{Problem, Refused};
use crate::api::principal::Operator;
use crate::api::services::{App, Services};
use crate::api::types::doctor::{Check, CheckState, Checkup};
use crate::core::audit::Record;
use crate::core::workspace::DAY;
use crate::core::workspace::leap::Seen;
use crate::platform::fence::{self, Tried};
use crate::platform::store::{audit_log, claim, clock_seen, database};
use crate::platform::sys;
use crate::values::id::WorkspaceId;

/// This file's routes, below `/api/v1/system`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(doctor))
}

/// Look at everything the appliance can see of itself. Takes a while with many workspaces: each file is opened and its
/// chain verified.
#[utoipa::path(get, path = "/doctor", tag = "system", responses(
    (status = 200, body = Checkup),
    Refused<401>, Refused<403>, Refused<503>,
), security(("bearer" = [])))]
async fn doctor(State(app): State<App>, _operator: Operator) -> Result<axum::Json<Checkup>, Problem> {
    // Every file is opened for it: one at a time.
    let _turn = app.doctor.try_acquire().map_err(|_| Problem::Busy)?;
    let mut checks = at_once(&app).await?;
    checks.extend(workspaces(&app).await);
    checks.extend(fences(&app).await);
    Ok(axum::Json(Checkup { checks }))
}

/// What takes no time.
pub async fn at_once(app: &App) -> Result<Vec<Check>, Problem> {
    let mut checks = workers(app);
    checks.extend([writing(app).await, files(app).await, master_key(app), recovery(app).await?, schema()]);
    checks.extend([anchor(app).await?, clock(app).await?, descriptors()]);
    Ok(checks)
}

/// What the watch saw last.
pub fn workers(app: &Services) -> Vec<Check> {
    let check = |seen: crate::api::health::Seen| Check {
        name: seen.name.to_owned(),
        state: seen.state,
        says: seen.says.to_owned(),
        way_out: (seen.state != CheckState::Ok).then(|| seen.way_out.to_owned()),
    };
    app.health.checks().into_iter().map(check).collect()
}

/// The watch looks again every few seconds; who asks wants to know how it is now.
async fn writing(app: &Services) -> Check {
    match app.store.try_disk().await {
        Ok(()) => Check::ok("writing", "the disk of the data takes what is written"),
        Err(error) => Check::fail("writing", error.to_string(), "the message says what to do; reads go on meanwhile"),
    }
}

async fn files(app: &Services) -> Check {
    let layout = app.store.layout().clone();
    let exposed = tokio::task::spawn_blocking(move || layout.exposed()).await.unwrap_or_default();
    let Some(first) = exposed.first() else { return Check::ok("files", "only the appliance's user can reach them") };
    let says = format!("others can reach {} of {} such files and directories", first.display(), exposed.len());
    Check::fail("files", says, format!("chmod -R go= {}", app.store.layout().root().display()))
}

fn master_key(app: &Services) -> Check {
    let layout = app.store.layout();
    if layout.master_key_is_handed_over() {
        return Check::ok("master key", "sealed to this machine by systemd");
    }
    if !layout.master_key().exists() && app.sealed_master_key.exists() {
        return Check::ok("master key", "sealed to this machine by systemd from the next start on");
    }
    let path = layout.master_key().display();
    match layout.read_master_key() {
        Ok(_) => Check::warn(
            "master key",
            format!("a file, {path}: whoever copies the whole disk has it"),
            "`conclave key seal` has systemd keep it sealed to this machine",
        ),
        Err(error) => Check::fail("master key", error.to_string(), "put it back: the next start needs it"),
    }
}

async fn recovery(app: &Services) -> Result<Check, Problem> {
    const NAME: &str = "recovery kit";
    if let Some(problem) = app.store.recovery_problem().await? {
        return Ok(Check::fail(NAME, problem, "restore recovery.json from a backup"));
    }
    Ok(match app.store.system().read(claim::recovery_key).await? {
        None => Check::ok(NAME, "made at the claim, which is still to come"),
        Some(Some(_)) => Check::ok(NAME, "what the claim made of it is in its place"),
        Some(None) => Check::warn(
            NAME,
            "the appliance was claimed without one: a lost master key is lost",
            "keep a copy of the master key elsewhere",
        ),
    })
}

fn schema() -> Check {
    // It was brought up to date when it was opened.
    Check::ok("schema", format!("system.db has schema {}", database::supported_schema()))
}

async fn anchor(app: &Services) -> Result<Check, Problem> {
    Ok(if app.store.anchor_is_current().await? {
        Check::ok("anchor", "as new as system.db")
    } else {
        Check::fail(
            "anchor",
            "not the one that system.db knows of: one of them is an older copy",
            "restore both from the backup of one day, or look at the audits and confirm with `conclave workspace accept-rollback system`",
        )
    })
}

/// A clock that was set back would let what is over hold again; one that leapt ahead would end what is not.
async fn clock(app: &Services) -> Result<Check, Problem> {
    let (newest, seen) = app
        .store
        .system()
        .read(|database| Ok((audit_log::page_back(database, u64::MAX, 1)?, clock_seen::get(database)?)))
        .await?;
    let newest = newest.first().and_then(|(record, _)| Record::decode(record).ok()).map(|record| record.at);
    let now = app.clock.now();
    let doubt = Seen::look(seen, now).doubt.filter(|_| app.store.registry().any_cools_off());
    Ok(match (newest, doubt) {
        (Some(at), _) if at > now + std::time::Duration::from_secs(60) => Check::fail(
            "clock",
            format!("it is {now} here, and the audit has a record of {at}: the clock was set back"),
            "set the clock (`timedatectl`): sessions, tickets and certificates go by it",
        ),
        (_, Some(doubt)) => {
            let days = doubt.left().as_secs().div_ceil(DAY.as_secs());
            let (before, way_out) = match doubt.before {
                Some(before) => (
                    format!("after a leap from {before}"),
                    "when that is wrong, set the clock (`timedatectl`); reopen what is to be kept (`conclave workspace reopen`)",
                ),
                None => (
                    "and nobody knows what time it was before".to_owned(),
                    "reopen what is to be kept (`conclave workspace reopen`)",
                ),
            };
            let says = format!(
                "it is {now} here, {before}: no closed workspace is deleted before the appliance ran for {days} more days"
            );
            Check::warn("clock", says, way_out)
        }
        _ => Check::ok("clock", format!("it is {now} here")),
    })
}

fn descriptors() -> Check {
    match sys::descriptors() {
        Ok((open, Some(most))) if open * 10 > most * 8 => Check::warn(
            "descriptors",
            format!("{open} of {most} are in use"),
            "raise LimitNOFILE= of conclave.service, or lower `limits.connections`",
        ),
        Ok((open, most)) => Check::ok(
            "descriptors",
            format!("{open} of {}", most.map_or("any number".to_owned(), |most| most.to_string())),
        ),
        Err(error) => Check::warn("descriptors", error.to_string(), "mount /proc for the service"),
    }
}

/// Opens every file and goes along every chain.
async fn workspaces(app: &App) -> Vec<Check> {
    let mut ids = vec![WorkspaceId::SYSTEM];
    ids.extend(app.store.registry().all().iter().map(|entry| entry.id));
    let (mut records, mut ill) = (0, Vec::new());
    for id in &ids {
        let looked = async { audit::verify_chain(&app.store.workspace(*id).await?).await };
        match looked.await {
            Ok((head, None)) => records += head.sequence,
            Ok((_, Some(problem))) => ill.push((*id, problem)),
            Err(_) => {
                let (state, reason) = app.store.state_of(*id).await;
                ill.push((*id, reason.unwrap_or_else(|| state.to_owned())));
            }
        }
    }
    let sealed = app.store.keyring().sealed_count();
    let mut checks: Vec<Check> = ill.iter().map(|(id, problem)| sick(*id, problem)).collect();
    if checks.is_empty() {
        checks
            .push(Check::ok("workspaces", format!("{} files open, {records} records of their audits hold", ids.len())));
    }
    if sealed == 0 {
        checks.push(Check::ok("keys", "every key file opens with the master key"));
    } else {
        let says = format!("{sealed} key files do not open with the master key");
        checks.push(Check::fail("keys", says, "restore them and the master key from the same backup"));
    }
    checks
}

fn sick(id: WorkspaceId, problem: &str) -> Check {
    let name = if id == WorkspaceId::SYSTEM { "system".to_owned() } else { format!("workspace {id}") };
    let way_out = "the message says what to restore; nothing was changed meanwhile, and other workspaces go on";
    Check::fail(&name, problem, way_out)
}

async fn fences(app: &App) -> Vec<Check> {
    let Some(socket) = app.handed_over.as_ref().and_then(|socket| socket.try_clone().ok()) else {
        let says = "no fence: it was not started by its units, so it could reach any address";
        return vec![Check::warn("fence", says, "run it as conclave.service, as the package installs it")];
    };
    let tried = tokio::task::spawn_blocking(move || (fence::connect_anew(), fence::send_over(&socket))).await;
    let Ok((connected, sent)) = tried else { return Vec::new() };
    vec![of_fence("fence: new connection", connected), of_fence("fence: datagram over an inherited socket", sent)]
}

/// What came of a try to reach the outside.
pub fn of_fence(name: &str, tried: Tried) -> Check {
    match tried {
        Tried::Refused(why) => Check::ok(name, format!("refused by the kernel ({why})")),
        Tried::Left => Check::fail(
            name,
            "it left for an address outside the client networks",
            "`systemctl cat conclave-https.socket conclave-quic.socket conclave.service` shows which file opens it: remove that, then `systemctl daemon-reload` and restart the three",
        ),
        Tried::NotTried(why) => {
            Check::warn(name, format!("could not be tried: {why}"), "look at the sockets with `ss -lntup`")
        }
    }
}

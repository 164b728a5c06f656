// SPDX-License-Identifier: AGPL-3.0-or-later
//! The data processing agreement: its text, and who accepted it for a workspace. Before somebody did, people can sign in
//! and read it, and do nothing else.

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::error::{BodyRefusals, Problem, Refusals, Refused};
use crate::api::extract::Json;
use crate::api::principal::{BeforeAgreement, Caller, Operator};
use crate::api::services::{App, Services};
use crate::api::types::workspaces::{AcceptAgreement, AcceptanceView, AgreementText, AgreementView, SetAgreement};
use crate::core::agreement::{Agreement, TEXT_MAX};
use crate::core::audit::Outcome;
use crate::core::auth::permission::Permission;
use crate::platform::store::agreements::{self, Acceptance};
use crate::platform::store::workspace::{Workspace, Write};
use crate::platform::store::{accounts, settings};
use crate::values::id::WorkspaceId;
use crate::values::name::DisplayName;
use crate::values::time::Timestamp;

/// Setting with the text, when it is not the standard one.
const TEXT: &str = "agreement";

/// This file's routes, below `/api/v1` and below `/api/v1/system/workspaces/{workspace}`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(accept_now))
}

/// Routes for operators, below `/api/v1/system`.
pub fn system_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show_text, set_text))
}

/// The agreement that is to be accepted now.
pub(super) async fn present(app: &Services) -> Result<Agreement, Problem> {
    let text = app.store.system().read(|database| settings::get(database, TEXT)).await?;
    Ok(text.and_then(Agreement::new).unwrap_or_default())
}

/// Keeps that a person accepted an agreement.
pub(super) fn accept(
    write: &Write<'_>,
    agreement: &Agreement,
    person: DisplayName,
    caller: Caller,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sha256 = agreement.hash();
    let mut event = caller.event("agreement.accept", "agreement", Outcome::Allowed);
    event.detail = format!("SHA-256 {}", hex::encode(sha256));
    let acceptance = Acceptance { sha256, person, actor: caller.name(), accepted_at: now };
    agreements::insert(write, agreement, &acceptance)?;
    write.audit(&event, now)
}

pub(super) fn acceptance_view(acceptance: Acceptance) -> AcceptanceView {
    AcceptanceView {
        sha256: hex::encode(acceptance.sha256),
        person: acceptance.person,
        actor: acceptance.actor,
        accepted_at: acceptance.accepted_at,
    }
}

async fn view(app: &Services, workspace: &std::sync::Arc<Workspace>) -> Result<AgreementView, Problem> {
    let agreement = present(app).await?;
    let acceptances = workspace.read(agreements::all).await?;
    let newest = acceptances.first().map(|acceptance| acceptance.sha256);
    Ok(AgreementView {
        sha256: hex::encode(agreement.hash()),
        accepted: newest.is_some(),
        outdated: newest.is_some_and(|newest| newest != agreement.hash()),
        text: agreement.text().to_owned(),
        acceptances: acceptances.into_iter().map(acceptance_view).collect(),
    })
}

/// Show the data processing agreement, and who accepted one for the workspace.
#[utoipa::path(get, path = "/agreement", tag = "policy", responses(
    (status = 200, body = AgreementView),
    Refusals,
), security(("bearer" = [])))]
async fn show(
    State(app): State<App>,
    BeforeAgreement(admin): BeforeAgreement,
) -> Result<axum::Json<AgreementView>, Problem> {
    let mut shown = view(&app, &admin.workspace).await?;
    if admin.require(Permission::WorkspacePolicy).is_err() {
        // Who accepted it is for those who could have: for others there are no Admins.
        shown.acceptances.clear();
    }
    Ok(axum::Json(shown))
}

/// Accept the data processing agreement for the workspace.
#[utoipa::path(post, path = "/agreement/acceptances", tag = "policy", request_body = AcceptAgreement, responses(
    (status = 201, body = AgreementView),
    Refused<409>,
    Refusals, BodyRefusals,
), security(("bearer" = [])))]
async fn accept_now(
    State(app): State<App>,
    BeforeAgreement(admin): BeforeAgreement,
    Json(request): Json<AcceptAgreement>,
) -> Result<(StatusCode, axum::Json<AgreementView>), Problem> {
    admin.require(Permission::WorkspacePolicy)?;
    if admin.workspace.id() == WorkspaceId::SYSTEM {
        return Err(Problem::Conflict("The operators' own workspace needs no agreement.".to_owned()));
    }
    let agreement = present(&app).await?;
    if request.sha256.to_ascii_lowercase() != hex::encode(agreement.hash()) {
        return Err(Problem::AgreementChanged);
    }
    let (caller, account, now) = (admin.caller, admin.account(), app.clock.now());
    let write = move |write: &Write<'_>| {
        let own = account.map(|id| accounts::find(write.sql(), id)).transpose()?.flatten();
        let Some(person) = request.person.or_else(|| own.map(|own| own.display_name)) else {
            let missing = "`person`: name who accepted it for the workspace";
            return Ok(Err(Problem::InvalidBody(missing.to_owned())));
        };
        let newest = agreements::all(write.sql())?.into_iter().next();
        if newest.is_some_and(|newest| newest.sha256 == agreement.hash()) {
            // It is accepted already.
            return Ok(Ok(()));
        }
        accept(write, &agreement, person, caller, now).map(Ok)
    };
    admin.write(&app, write).await?;
    Ok((StatusCode::CREATED, axum::Json(view(&app, &admin.workspace).await?)))
}

fn text_view(agreement: &Agreement) -> AgreementText {
    AgreementText {
        text: agreement.text().to_owned(),
        sha256: hex::encode(agreement.hash()),
        standard: *agreement == Agreement::default(),
    }
}

/// Show the text of the data processing agreement for workspaces.
#[utoipa::path(get, path = "/agreement", tag = "system", responses(
    (status = 200, body = AgreementText),
    Refusals,
), security(("bearer" = [])))]
async fn show_text(State(app): State<App>, _operator: Operator) -> Result<axum::Json<AgreementText>, Problem> {
    Ok(axum::Json(text_view(&present(&app).await?)))
}

/// Set the text of the data processing agreement. Workspaces for which another one was accepted go on; they are told
/// that there is a newer one.
#[utoipa::path(put, path = "/agreement", tag = "system", request_body = SetAgreement, responses(
    (status = 200, body = AgreementText),
    Refusals, BodyRefusals,
), security(("bearer" = [])))]
async fn set_text(
    State(app): State<App>,
    operator: Operator,
    Json(request): Json<SetAgreement>,
) -> Result<axum::Json<AgreementText>, Problem> {
    let agreement = match request.text {
        None => Agreement::default(),
        Some(text) => Agreement::new(text)
            .ok_or_else(|| Problem::InvalidBody(format!("`text` says something, in at most {TEXT_MAX} bytes")))?,
    };
    let now = app.clock.now();
    let mut event = operator.caller.event("agreement.set", "agreement", Outcome::Allowed);
    event.detail = format!("SHA-256 {}", hex::encode(agreement.hash()));
    let view = text_view(&agreement);
    let write = move |write: &Write<'_>| {
        settings::set(write, TEXT, agreement.text())?;
        write.audit(&event, now).map(Ok)
    };
    operator.write(&app, write).await?;
    Ok(axum::Json(view))
}

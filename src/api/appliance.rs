// SPDX-License-Identifier: AGPL-3.0-or-later
//! What is the same for the whole appliance: who runs it, to whom people may complain, where its data is, its voice.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::error::{BodyRefusals, Problem, Refused};
use crate::api::etag::{ETag, IfMatch, IfNoneMatch};
use crate::api::extract::Json;
use crate::api::principal::Operator;
use crate::api::services::{App, Services};
use crate::api::types::appliance::{
    ApplianceView, AuthorityList, AuthorityView, OperatorIdentity, OperatorView, UpdateAppliance,
};
use crate::core::audit::Outcome;
use crate::core::authority::{self, Authority};
use crate::hub::Hub;
use crate::platform::store::error::StoreError;
use crate::platform::store::workspace::Write;
use crate::platform::store::{Store, settings};
use crate::values::name::Label;

/// Setting with who runs the appliance.
const PROFILE: &str = "profile";
/// Setting that is there, and `off`, when voice is off for all.
const VOICE: &str = "voice";

/// Routes that need nobody, below `/api/v1`.
pub fn public_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(who_runs_this)).routes(routes!(authorities))
}

/// Routes for operators, below `/api/v1/system`.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show, update))
}

/// Who runs the appliance, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
struct Profile {
    operator: OperatorIdentity,
    country: String,
    residency: Label,
}

impl Default for Profile {
    fn default() -> Self {
        let operator = OperatorIdentity::default();
        Self { operator, country: authority::PRESET.to_owned(), residency: Label::default() }
    }
}

/// Takes up, at the start, whether there is voice.
pub async fn take_up_voice(store: &Store, hub: &Hub) -> Result<(), StoreError> {
    let voice = store.system().read(|database| settings::get(database, VOICE)).await?;
    hub.set_voice(voice.as_deref() != Some("off"));
    Ok(())
}

async fn profile(app: &Services) -> Result<Profile, Problem> {
    let stored = app.store.system().read(|database| settings::get(database, PROFILE)).await?;
    Ok(stored.map_or_else(Profile::default, |stored| read(&stored)))
}

fn read(stored: &str) -> Profile {
    serde_json::from_str(stored).unwrap_or_else(|error| {
        tracing::error!(error = %error, "who runs the appliance is stored in a form that is not understood");
        Profile::default()
    })
}

fn authority_view(authority: Authority) -> AuthorityView {
    AuthorityView {
        country: authority.country.to_owned(),
        name: authority.name.to_owned(),
        website: authority.website.to_owned(),
    }
}

fn view(profile: Profile, voice: bool) -> Result<ApplianceView, Problem> {
    let authority = authority::of(&profile.country).ok_or(Problem::Internal)?;
    Ok(ApplianceView {
        voice,
        operator: profile.operator,
        supervisory_authority: authority_view(authority),
        residency: profile.residency,
    })
}

/// Who runs this, and to whom people may complain.
#[utoipa::path(get, path = "/operator", tag = "system", responses(
    (status = 200, body = OperatorView),
))]
async fn who_runs_this(State(app): State<App>) -> Result<axum::Json<OperatorView>, Problem> {
    let ApplianceView { operator, supervisory_authority, residency, .. } = view(profile(&app).await?, true)?;
    Ok(axum::Json(OperatorView { operator, supervisory_authority, residency }))
}

/// The supervisory authorities of the EU and the EEA.
#[utoipa::path(get, path = "/supervisory-authorities", tag = "system", responses((status = 200, body = AuthorityList)))]
async fn authorities() -> axum::Json<AuthorityList> {
    axum::Json(AuthorityList { authorities: authority::ALL.map(authority_view).into() })
}

/// Show what is the same for the whole appliance.
#[utoipa::path(get, path = "/appliance", tag = "system", params(IfNoneMatch), responses(
    (status = 200, body = ApplianceView, headers(("ETag" = String))),
    (status = 304, description = "What the caller has is what there is."),
    Refused<401>, Refused<403>,
), security(("bearer" = [])))]
async fn show(State(app): State<App>, _operator: Operator, have: IfNoneMatch) -> Result<Response, Problem> {
    let shown = view(profile(&app).await?, app.hub.has_voice())?;
    let tag = ETag::of(&shown);
    Ok(have.or(&tag, || tag.with(&shown)))
}

/// Change what is the same for the whole appliance.
#[utoipa::path(patch, path = "/appliance", tag = "system", params(IfMatch), request_body = UpdateAppliance, responses(
    (status = 200, body = ApplianceView, headers(("ETag" = String))),
    Refused<401>, Refused<403>, Refused<412>, BodyRefusals,
), security(("bearer" = [])))]
async fn update(
    State(app): State<App>,
    operator: Operator,
    expected: IfMatch,
    Json(request): Json<UpdateAppliance>,
) -> Result<Response, Problem> {
    if let Some(country) = request.supervisory_authority.as_deref()
        && authority::of(country).is_none()
    {
        let unknown = "`supervisory_authority`: a country of the EU or the EEA, two capital letters".to_owned();
        return Err(Problem::InvalidBody(unknown));
    }
    let (now, hub) = (app.clock.now(), Arc::clone(&app.hub));
    let mut event = operator.caller.event("appliance.update", "appliance", Outcome::Allowed);
    let write = move |write: &Write<'_>| {
        let before = settings::get(write.sql(), PROFILE)?.map_or_else(Profile::default, |stored| read(&stored));
        let shown = match view(before.clone(), hub.has_voice()) {
            Ok(shown) => shown,
            Err(problem) => return Ok(Err(problem)),
        };
        if let Err(problem) = expected.check(|| ETag::of(&shown)) {
            return Ok(Err(problem));
        }
        let after = Profile {
            operator: request.operator.unwrap_or(before.operator),
            country: request.supervisory_authority.unwrap_or(before.country),
            residency: request.residency.unwrap_or(before.residency),
        };
        let Ok(stored) = serde_json::to_string(&after) else { return Ok(Err(Problem::Internal)) };
        settings::set(write, PROFILE, &stored)?;
        let mut told = vec![format!("authority {}, residency {:?}", after.country, after.residency.as_str())];
        if let Some(voice) = request.voice {
            settings::set(write, VOICE, if voice { "on" } else { "off" })?;
            told.push(format!("voice {}", if voice { "on" } else { "off" }));
            write.after_commit(move || hub.set_voice(voice));
        }
        event.detail = told.join(", ");
        write.audit(&event, now)?;
        Ok(Ok(after))
    };
    let after = operator.write(&app, write).await?;
    let shown = view(after, app.hub.has_voice())?;
    Ok(ETag::of(&shown).with(&shown))
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! The addresses of the host. The appliance looks at no interface (in its network namespace there is only loopback), so
//! the host tells it; links and certificates name them.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::error::{BodyRefusals, Problem, Refused};
use crate::api::extract::Json;
use crate::api::principal::LocalOperator;
use crate::api::services::App;
use crate::api::types::Addresses;
use crate::core::audit::Outcome;
use crate::platform::https::TlsFor;
use crate::platform::store::error::StoreError;
use crate::platform::store::workspace::Write;
use crate::platform::store::{Store, settings};

/// Setting with the addresses that the host told, as JSON.
const ADDRESSES: &str = "host.addresses";

/// This file's routes, below `/api/v1/system`, for the host.
pub fn host_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(hand_over))
}

/// The addresses that are known.
#[derive(Debug, Default)]
pub struct Known(Mutex<Vec<IpAddr>>);

impl Known {
    /// As they were told before the restart.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let stored = store.system().read(|database| settings::get(database, ADDRESSES)).await?;
        let told = stored.map(|stored| serde_json::from_str(&stored).unwrap_or_default());
        Ok(Self(Mutex::new(told.unwrap_or_default())))
    }

    /// All of them.
    pub fn all(&self) -> Vec<IpAddr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, addresses: Vec<IpAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }
}

/// Tell the appliance by which addresses its host is reached. On the host only.
#[utoipa::path(put, path = "/addresses", tag = "system", request_body = Addresses, responses(
    (status = 200, body = Addresses),
    Refused<404>,
    BodyRefusals,
))]
async fn hand_over(
    State(app): State<App>,
    local: LocalOperator,
    Json(request): Json<Addresses>,
) -> Result<axum::Json<Addresses>, Problem> {
    let mut addresses: Vec<IpAddr> = request.addresses.iter().map(IpAddr::to_canonical).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.len() > Addresses::MAX || addresses.iter().any(IpAddr::is_unspecified) {
        let reason = format!("addresses: {} at most, and none that stands for all", Addresses::MAX);
        return Err(Problem::InvalidBody(reason));
    }
    if addresses != app.addresses.all() {
        let now = app.clock.now();
        let mut event = local.caller.event("appliance.addresses", "appliance", Outcome::Allowed);
        event.detail = format!("{} addresses", addresses.len());
        let json = serde_json::to_string(&addresses).map_err(|_| Problem::Internal)?;
        let (told, services) = (addresses.clone(), app.clone());
        let write = move |write: &Write<'_>| {
            settings::set(write, ADDRESSES, &json)?;
            write.audit(&event, now)?;
            write.after_commit(move || services.addresses.set(told));
            Ok(())
        };
        app.store.system().write(write).await?;
        // A certificate names them from now on, those that the root permits.
        for address in &addresses {
            app.trust.tls_for(SocketAddr::new(*address, 0));
        }
        app.trust.renew(&app.store).await?;
    }
    Ok(axum::Json(Addresses { addresses }))
}

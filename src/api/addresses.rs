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
    // In the order of the host: the first one is the one to type.
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in request.addresses.iter().map(IpAddr::to_canonical) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.len() > Addresses::MAX || !addresses.iter().all(is_of_one_host) {
        let reason = format!("addresses: {} at most, each of one host and not of itself alone", Addresses::MAX);
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
    }
    // A certificate names them from now on, those that the root permits.
    for address in &addresses {
        app.trust.tls_for(SocketAddr::new(*address, 0));
    }
    app.trust.renew(&app.store).await?;
    Ok(axum::Json(Addresses { addresses }))
}

fn is_of_one_host(address: &IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || is_broadcast)
}

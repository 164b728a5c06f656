// SPDX-License-Identifier: AGPL-3.0-or-later
//! `GET /metrics`: how the appliance is, in numbers (OpenMetrics 1.0). No number says who, where from or which workspace.

use axum::extract::{FromRequestParts, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::claim;
use crate::api::error::{Problem, Refused};
use crate::api::principal::{self, bearer};
use crate::api::services::{App, Services};
use crate::core::auth::opaque::OpaqueToken;
use crate::core::room::member::Traffic;
use crate::core::room::refusal::Refusal;
use crate::platform::store::api_tokens::{self, Scope};
use crate::platform::sys;
use crate::values::secret::SecretText;
use crate::wire::kid::Channel;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// This file's routes, at the root.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Somebody who may see the numbers: root on the host, or whoever has a token for them.
struct Watcher;

impl FromRequestParts<App> for Watcher {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if principal::is_local_operator(principal::peer(parts)?, app) {
            return Ok(Self);
        }
        let token = bearer(parts).map(|token| SecretText::new(token.to_owned()));
        let hash = token.as_ref().and_then(OpaqueToken::parse).ok_or(Problem::Unauthenticated)?.hash();
        let now = app.clock.now();
        let holds = move |database: &rusqlite::Connection| api_tokens::holds(database, &hash, Scope::Metrics, now);
        if app.store.system().read(holds).await? { Ok(Self) } else { Err(Problem::Unauthenticated) }
    }
}

/// How the appliance is, in numbers. With a token for it, or on the host.
#[utoipa::path(get, path = "/metrics", tag = "system", responses(
    (status = 200, body = String, content_type = "application/openmetrics-text"),
    Refused<401>,
), security(("api_token" = [])))]
async fn metrics(State(app): State<App>, _watcher: Watcher) -> Result<impl IntoResponse, Problem> {
    let mut registry = Registry::with_prefix("conclave");
    app.metrics.register(&mut registry);
    appliance(&app, &mut registry, claim::is_claimed(&app).await?);
    door(&app, &mut registry);
    relay(&app, &mut registry);
    disk(&app, &mut registry);
    let mut common = Registry::default();
    process(&app, &mut common);
    let mut text = String::new();
    text::encode_registry(&mut text, &registry)
        .and_then(|()| text::encode_registry(&mut text, &common))
        .and_then(|()| text::encode_eof(&mut text))
        .map_err(|_| Problem::Internal)?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")], text))
}

/// One label and its value.
type Label = Vec<(&'static str, &'static str)>;

fn gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    registry.register(name, help, ConstGauge::new(saturating(value)));
}

fn counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    registry.register(name, help, ConstCounter::new(value));
}

/// A counter by one label.
fn counters(registry: &mut Registry, name: &str, help: &str, values: impl IntoIterator<Item = (Label, u64)>) {
    let family = Family::<Label, prometheus_client::metrics::counter::Counter>::default();
    for (label, value) in values {
        family.get_or_create(&label).inc_by(value);
    }
    registry.register(name, help, family);
}

fn saturating(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn appliance(app: &Services, registry: &mut Registry, is_claimed: bool) {
    registry.register("build", "The running release", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
    gauge(registry, "claimed", "1 when somebody runs this appliance", u64::from(is_claimed));
    gauge(registry, "workspaces", "Workspaces there are", count(app.store.registry().count()));
    gauge(registry, "open_workspaces", "Workspaces whose file is open", count(app.store.open_count()));
    gauge(registry, "password_hashes_under_way", "Passwords that are hashed or wait", count(app.hasher.under_way()));
    counter(registry, "password_hashes", "Passwords that were hashed", app.hasher.done());
    let checks = Family::<Label, Gauge>::default();
    for check in app.health.checks() {
        let state = saturating(check.state as u64);
        checks.get_or_create(&vec![("check", check.name)]).set(state);
    }
    registry.register("check", "What the appliance sees of itself: 0 ok, 1 warn, 2 fail", checks);
    let certificates = app.trust.certificates();
    let until = Family::<Label, Gauge>::default();
    let tcp = certificates.tcp().validity().not_after;
    let udp = certificates.udp().map(|leaf| leaf.validity().not_after);
    for (carrier, not_after) in [("tcp", Some(tcp)), ("udp", udp)] {
        if let Some(not_after) = not_after {
            until.get_or_create(&vec![("carrier", carrier)]).set(not_after.as_millis() / 1_000);
        }
    }
    registry.register_with_unit(
        "certificate_not_after_timestamp",
        "When a certificate ends, since 1970",
        Unit::Seconds,
        until,
    );
}

fn door(app: &Services, registry: &mut Registry) {
    let counts = app.counters.snapshot();
    gauge(
        registry,
        "connections",
        "Open connections to HTTPS and to the admin socket, half-open ones included",
        counts.open,
    );
    counter(registry, "connections_accepted", "Connections that were let in", counts.accepted);
    counters(
        registry,
        "connections_refused",
        "Connections closed at once: the house was full, or their address had enough",
        [(vec![("reason", "full")], counts.refused_total), (vec![("reason", "address")], counts.refused_address)],
    );
    counters(
        registry,
        "tls_handshakes_failed",
        "TLS handshakes that came to nothing",
        [
            (vec![("reason", "error")], counts.handshake_failed),
            (vec![("reason", "timeout")], counts.handshake_timed_out),
        ],
    );
    counters(
        registry,
        "connections_cut",
        "Connections closed because they asked for nothing, or did not read what they had asked for",
        [(vec![("reason", "idle")], counts.closed_idle), (vec![("reason", "stalled")], counts.closed_stalled)],
    );
    counter(registry, "accept_failures", "Accepts that failed for want of descriptors", counts.accept_failed);
}

fn relay(app: &Services, registry: &mut Registry) {
    let totals = app.hub.totals();
    gauge(registry, "meetings", "Live meetings", count(totals.meetings));
    gauge(registry, "participants", "People in meetings, those who are away included", count(totals.participants));
    gauge(registry, "lobby_waiting", "People in lobbies", count(totals.waiting));
    let of_channels = |of: fn(&Traffic) -> (u64, u64)| {
        let channels = Channel::ALL.iter().zip(totals.counted.channels);
        channels.flat_map(move |(channel, traffic)| {
            let (arrived, left) = of(&traffic);
            let label = |direction| vec![("channel", channel.as_str()), ("direction", direction)];
            [(label("in"), arrived), (label("out"), left)]
        })
    };
    let frames = of_channels(|traffic| (traffic.frames_in, traffic.frames_out));
    counters(registry, "relay_frames", "Frames accepted from people and sent to people", frames);
    let bytes = of_channels(|traffic| (traffic.bytes_in, traffic.bytes_out));
    counters(registry, "relay_payload_bytes", "Bytes of those frames", bytes);
    counter(
        registry,
        "relay_poses_superseded",
        "Poses overwritten before they were sent: by design",
        totals.counted.superseded,
    );
    counter(
        registry,
        "relay_frames_culled",
        "Frames somebody was not sent for want of room on the way",
        totals.counted.culled,
    );
    let refused = totals.counted.refusals;
    let refusals = Refusal::ALL.map(|refusal| (vec![("reason", refusal.as_str())], refused.of(refusal)));
    counters(registry, "relay_frames_refused", "Frames that were refused", refusals);
    counter(registry, "relay_turns", "Turns of the loop that ticks meetings", app.hub.turns());
}

fn disk(app: &Services, registry: &mut Registry) {
    if let Ok((free, all)) = sys::disk(app.store.layout().root()) {
        registry.register_with_unit(
            "data_free",
            "Free on the file system of the data",
            Unit::Bytes,
            ConstGauge::new(saturating(free)),
        );
        registry.register_with_unit(
            "data_size",
            "Size of the file system of the data",
            Unit::Bytes,
            ConstGauge::new(saturating(all)),
        );
    }
}

/// The names that every exporter has for these, without the prefix of ours.
fn process(app: &Services, registry: &mut Registry) {
    let start = app.started_at.as_millis() / 1_000;
    registry.register_with_unit(
        "process_start_time",
        "Since when it runs, since 1970",
        Unit::Seconds,
        ConstGauge::new(start),
    );
    if let Ok(resident) = sys::resident_bytes() {
        let resident = ConstGauge::new(saturating(resident));
        registry.register_with_unit("process_resident_memory", "Memory of the process", Unit::Bytes, resident);
    }
    if let Ok((open, most)) = sys::descriptors() {
        gauge(registry, "process_open_fds", "Descriptors the process has open", open);
        if let Some(most) = most {
            gauge(registry, "process_max_fds", "Descriptors it may have open", most);
        }
    }
}

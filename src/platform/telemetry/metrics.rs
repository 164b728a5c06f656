// SPDX-License-Identifier: AGPL-3.0-or-later
//! What is counted where it happens, for `GET /metrics`. No label says who, where from or which workspace.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use strum::VariantArray;

/// Upper bounds of the buckets for durations of requests, in seconds. A sign-in hashes a password: some tenths.
const SECONDS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Classes of status codes.
const STATUS: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// What became of a try to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum SignIn {
    /// A session began.
    Granted,
    /// A name or a password was wrong.
    Refused,
    /// The credential was right, and something else did not let it in.
    Denied,
    /// It had to wait after wrong tries.
    Throttled,
    /// Too many were at it.
    Busy,
}

impl SignIn {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Busy => "busy",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SignInLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    /// One of [`STATUS`].
    status: &'static str,
}

/// The counters. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    request_duration: Histogram,
    sign_ins: Family<SignInLabels, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let (requests, sign_ins) = (Family::default(), Family::default());
        // What never happened is 0 and not absent: else the first time is not seen as a rise.
        for outcome in SignIn::VARIANTS.iter().map(|outcome| outcome.as_str()) {
            drop(sign_ins.get_or_create(&SignInLabels { outcome }));
        }
        for (method, status) in ["GET", "POST"].into_iter().flat_map(|method| STATUS.map(|status| (method, status))) {
            drop(requests.get_or_create(&RequestLabels { method, status }));
        }
        Self { requests, request_duration: Histogram::new(SECONDS), sign_ins }
    }
}

impl Metrics {
    /// A request was answered.
    pub fn request(&self, method: &'static str, status: u16, took: Duration) {
        let [good, elsewhere, refused, failed] = STATUS;
        let status = match status / 100 {
            ..=2 => good,
            3 => elsewhere,
            4 => refused,
            _ => failed,
        };
        self.requests.get_or_create(&RequestLabels { method, status }).inc();
        self.request_duration.observe(took.as_secs_f64());
    }

    /// Somebody tried to sign in.
    pub fn sign_in(&self, outcome: SignIn) {
        self.sign_ins.get_or_create(&SignInLabels { outcome: outcome.as_str() }).inc();
    }

    /// Adds them to what is shown.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "http_requests",
            "Requests answered, on HTTPS and on the admin socket",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "From the head of a request to the head of its answer",
            Unit::Seconds,
            self.request_duration.clone(),
        );
        registry.register("sign_ins", "Tries to sign in, by what became of them", self.sign_ins.clone());
    }
}

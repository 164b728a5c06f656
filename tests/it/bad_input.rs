// SPDX-License-Identifier: AGPL-3.0-or-later
//! What nobody should send: each is a named refusal, or a closed connection where HTTP itself has no other answer.
//!
//! Never a 5xx, never a panic, nothing of it in the log, and the appliance serves on.

use crate::harness::Appliance;
use crate::harness::http::Answer;

mod bodies;
mod fuzz;
mod names;
mod paths;
mod wire;

/// Stands in whatever is sent, so that the log can be searched for it.
const MARK: &str = "h0st1le";

/// A claimed appliance that logs everything it can.
fn talkative() -> Appliance {
    let appliance = Appliance::start_with(&["--test-cheap-passwords", "--log-level", "trace"]);
    appliance.claim();
    appliance.workspace("demo");
    appliance
}

/// Serves still, did not panic or fail, and wrote down nothing of what it was sent.
fn unharmed(appliance: &Appliance) {
    assert_eq!(appliance.https("GET", "/healthz", &[], None).status, 200);
    assert_eq!(appliance.https("GET", "/nothing", &[], None).status, 404);
    let log = appliance.log();
    assert!(log.contains("request refused"), "the log is too quiet to prove anything");
    for word in ["panicked", "ERROR", MARK] {
        assert!(!log.contains(word), "{word:?} in the log:\n{log}");
    }
}

/// A refusal in the appliance's own words.
fn is_problem(what: &str, answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{what}: {}", answer.text());
    let body = answer.json();
    for field in ["type", "title", "detail", "way_out", "request_id"] {
        assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{what}: no {field}: {body}");
    }
}

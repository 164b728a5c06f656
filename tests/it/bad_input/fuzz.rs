// SPDX-License-Identifier: AGPL-3.0-or-later
//! Seeded random JSON over every route that takes a body, from the binary's own document.
//!
//! Bodies begin as what the schema asks for and are then spoiled, so that many get past the first check. `FUZZ_SEED`
//! and `FUZZ_ROUNDS` repeat or lengthen a run.

use serde_json::{Map, Value, json};

use super::paths::document;
use super::{is_problem, talkative, unharmed};
use crate::harness::Appliance;
use crate::harness::http::Connection;

/// A small generator (SplitMix64): the same numbers on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 33).unwrap() % sides
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())].clone()
    }

    /// Any JSON.
    fn junk(&mut self, depth: usize) -> Value {
        let texts = [
            "",
            "h0st1le",
            "\0",
            "\u{202e}",
            "ada",
            "admin",
            "demo",
            "AA",
            "-",
            "null",
            "https://localhost",
            "../..",
            "é",
            "00000000-0000-0000-0000-000000000000",
        ];
        match self.roll(if depth == 0 { 8 } else { 10 }) {
            0 => Value::Null,
            1 => json!(self.roll(2) == 0),
            2 => self.pick(&[json!(0), json!(-1), json!(u64::MAX), json!(i64::MIN), json!(1e308), json!(0.1)]),
            3 => json!("h0st1le".repeat(self.roll(300))),
            4..8 => json!(self.pick(&texts)),
            8 => (0..self.roll(4)).map(|_| self.junk(depth - 1)).collect(),
            _ => (0..self.roll(4))
                .map(|_| (self.pick(&texts).to_owned(), self.junk(depth - 1)))
                .collect::<Map<_, _>>()
                .into(),
        }
    }

    /// Something of the schema's shape.
    fn instance(&mut self, schema: &Value, document: &Value) -> Value {
        if let Some(name) = schema["$ref"].as_str() {
            return self.instance(&document["components"]["schemas"][name.rsplit('/').next().unwrap()], document);
        }
        if let Some(choices) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
            let choice = self.pick(choices);
            return self.instance(&choice, document);
        }
        if let Some(values) = schema["enum"].as_array() {
            return self.pick(values);
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => self.pick(kinds),
            kind => kind.clone(),
        };
        match kind.as_str() {
            Some("object") => {
                let fields = schema["properties"].as_object().cloned().unwrap_or_default();
                let some: Vec<_> = fields.iter().filter(|_| self.roll(8) > 0).collect();
                some.into_iter()
                    .map(|(name, field)| (name.clone(), self.instance(field, document)))
                    .collect::<Map<_, _>>()
                    .into()
            }
            Some("array") => (0..self.roll(3)).map(|_| self.instance(&schema["items"], document)).collect(),
            Some("boolean") => json!(self.roll(2) == 0),
            Some("integer" | "number") => json!(self.roll(1_000)),
            Some("null") => Value::Null,
            _ => json!(self.pick(&[
                "ada",
                "bob",
                "demo",
                "admin",
                "user",
                "guest",
                "active",
                "disabled",
                "localhost",
                "10.0.0.0/8",
                "AAAA",
                "quiet harbour lantern moss",
                "0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11"
            ])),
        }
    }

    /// Changes one thing somewhere inside.
    fn spoil(&mut self, value: &mut Value) {
        let junk = self.junk(3);
        match value {
            Value::Object(fields) if !fields.is_empty() && self.roll(6) > 0 => {
                let names: Vec<_> = fields.keys().cloned().collect();
                let name = self.pick(&names);
                match self.roll(6) {
                    0 => drop(fields.remove(&name)),
                    1 => drop(fields.insert(format!("{name}x"), junk)),
                    2 => fields[&name] = junk,
                    _ => self.spoil(&mut fields[&name]),
                }
            }
            Value::Array(values) if !values.is_empty() => {
                let index = self.roll(values.len());
                self.spoil(&mut values[index]);
            }
            other => *other = junk,
        }
    }

    /// Bytes, mostly JSON.
    fn body(&mut self, schema: &Value, document: &Value) -> Vec<u8> {
        let mut value = self.instance(schema, document);
        for _ in 0..self.roll(3) {
            self.spoil(&mut value);
        }
        let mut bytes = serde_json::to_vec(&value).unwrap();
        if self.roll(8) == 0 {
            let at = self.roll(bytes.len());
            match self.roll(3) {
                0 => bytes.truncate(at),
                1 => bytes[at] = u8::try_from(self.roll(256)).unwrap(),
                _ => bytes.insert(at, u8::try_from(self.roll(256)).unwrap()),
            }
        }
        bytes
    }
}

/// Every route with a body and the schema of it.
fn routes(document: &Value) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if ["post", "put", "patch"].contains(&method.as_str()) {
                let schema = operation["requestBody"]["content"]["application/json"]["schema"].clone();
                found.push((method.to_uppercase(), path.clone(), schema));
            }
        }
    }
    found
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn no_json_makes_the_appliance_fail() {
    let appliance = talkative();
    let document = document();
    let routes = routes(&document);
    assert!(routes.len() >= 12, "{}", routes.len());
    let token = format!("Bearer {}", appliance.signed_in("demo", "zoe", "admin"));
    let target = Target::new(&appliance);

    let seed = from_environment("FUZZ_SEED", 20_261_123);
    let mut dice = Dice(seed);
    let mut seen = std::collections::BTreeMap::<u16, usize>::new();
    for round in 0..from_environment("FUZZ_ROUNDS", 40) {
        for (method, path, schema) in &routes {
            let body = dice.body(schema, &document);
            let path = target.fill(path);
            let headers = [("content-type", "application/json"), ("authorization", token.as_str())];
            // The admin socket reaches every route as an operator; what is about a session wants a token besides.
            let answer = Connection::unix(&appliance.admin_socket()).raw(method, &path, &headers, &body);
            *seen.entry(answer.status).or_default() += 1;
            let what = format!("seed {seed}, round {round}: {method} {path} {}", String::from_utf8_lossy(&body));
            assert!(answer.status < 500, "{what}: {} {}", answer.status, answer.text());
            if answer.status >= 400 {
                let code = answer.code();
                is_problem(&what, &answer, answer.status, &code);
            }
        }
    }
    // It was not only the first check that saw them.
    assert!(seen.len() >= 6 && seen.contains_key(&201) && seen.contains_key(&200), "{seen:?}");
    unharmed(&appliance);
}

/// Ids to put into paths.
struct Target {
    workspace: String,
    account: String,
}

impl Target {
    fn new(appliance: &Appliance) -> Self {
        appliance.account("demo", "target", "user");
        let account = appliance.cli_json(&["account", "show", "--workspace", "demo", "target"])["id"].clone();
        Self { workspace: appliance.workspace_id("demo"), account: account.as_str().unwrap().to_owned() }
    }

    fn fill(&self, path: &str) -> String {
        path.replace("{workspace}", &self.workspace).replace("{account}", &self.account)
    }
}

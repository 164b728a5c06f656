// SPDX-License-Identifier: AGPL-3.0-or-later
//! Access tokens that do not hold: forged with the appliance's own unwrapped keys, and all refused with one answer.
//!
//! Every forgery differs from a good token in one thing, and the good one, made by the same code, opens the door.

use std::fs;
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use conclave::core::keys::envelope::{self, Purpose, WrappedKey};
use conclave::values::id::WorkspaceId;
use conclave::values::secret::Key256;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::harness::http::Answer;
use crate::harness::{Appliance, tool};

const ME: &str = "/api/v1/me";
const ACCOUNTS: &str = "/api/v1/accounts";
const STATUS: &str = "/api/v1/system/status";

/// A workspace's newest token key, unwrapped from the files as docs/files.md says.
fn token_key(appliance: &Appliance, workspace: &str) -> Vec<u8> {
    let master = Key256::from_slice(&fs::read(appliance.data_dir().join("master.key")).unwrap()).unwrap();
    let file = fs::read(appliance.data_dir().join(format!("keys/{workspace}.json"))).unwrap();
    let file: Value = serde_json::from_slice(&file).unwrap();
    let entry = file["keys"].as_array().unwrap().iter().find(|key| key["purpose"] == "token").unwrap();
    let bytes = |name: &str| hex::decode(entry[name].as_str().unwrap()).unwrap();
    let wrapped = WrappedKey { nonce: bytes("nonce").try_into().unwrap(), sealed: bytes("sealed") };
    let workspace: WorkspaceId = workspace.parse().unwrap();
    envelope::unwrap_key(&master, workspace, Purpose::Token, 1, &wrapped).unwrap().to_vec()
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap())
}

fn decoded(token: &str, index: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

/// `value` with one field set, or taken out when it is set to null.
fn with(value: &Value, field: &str, to: Value) -> Value {
    let mut value = value.clone();
    match to {
        Value::Null => drop(value.as_object_mut().unwrap().remove(field)),
        to => value[field] = to,
    }
    value
}

fn hmac(message: &str, algorithm: Algorithm, key: &[u8]) -> String {
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &EncodingKey::from_secret(key), algorithm).unwrap();
    format!("{message}.{signature}")
}

fn forge(header: &Value, claims: &Value, algorithm: Algorithm, key: &[u8]) -> String {
    hmac(&format!("{}.{}", part(header), part(claims)), algorithm, key)
}

/// An RSA signature, by somebody else's code and with a key nobody knows.
fn rs256(directory: &std::path::Path, message: &str) -> String {
    let (key, text) = (directory.join("rsa.pem"), directory.join("message"));
    fs::write(&text, message).unwrap();
    let made = tool("openssl").args(["genrsa", "-out"]).arg(&key).arg("2048").stderr(Stdio::null()).status().unwrap();
    assert!(made.success());
    let signed = tool("openssl").args(["dgst", "-sha256", "-sign"]).arg(&key).arg(&text).output().unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signed.stdout))
}

/// An appliance with two workspaces, and good tokens of each surface.
struct Scene {
    appliance: Appliance,
    demo: String,
    other: String,
    key: Vec<u8>,
    other_key: Vec<u8>,
    /// Of `ada`, an admin in `demo`.
    good: String,
    /// Of an operator.
    operator: String,
}

impl Scene {
    fn new() -> Self {
        let appliance = Appliance::start();
        let operator = appliance.claim();
        appliance.workspace("demo");
        appliance.workspace("other");
        let (demo, other) = (appliance.workspace_id("demo"), appliance.workspace_id("other"));
        let (key, other_key) = (token_key(&appliance, &demo), token_key(&appliance, &other));
        let good = appliance.signed_in("demo", "ada", "admin");
        let operator = appliance.sign_in("system", "root-operator", &operator)["access_token"].clone();
        let operator = operator.as_str().unwrap().to_owned();
        Self { appliance, demo, other, key, other_key, good, operator }
    }

    fn header(&self) -> Value {
        decoded(&self.good, 0)
    }

    fn claims(&self) -> Value {
        decoded(&self.good, 1)
    }

    /// Signed with the right key and algorithm.
    fn sign(&self, header: &Value, claims: &Value) -> String {
        forge(header, claims, Algorithm::HS512, &self.key)
    }

    fn ask(&self, path: &str, authorization: &[&str]) -> Answer {
        let headers: Vec<_> = authorization.iter().map(|value| ("authorization", *value)).collect();
        self.appliance.https("GET", path, &headers, None)
    }

    fn bearer(&self, path: &str, token: &str) -> Answer {
        self.ask(path, &[&format!("Bearer {token}")])
    }

    fn opens(&self, path: &str, token: &str) {
        let answer = self.bearer(path, token);
        assert_eq!(answer.status, 200, "{path} {token}: {}", answer.text());
    }

    /// Tokens with another algorithm, or a signature that is not one.
    fn other_algorithms(&self, into: &mut Refusals<'_>) {
        let (header, claims) = (self.header(), self.claims());
        for none in
            [json!("none"), json!("None"), json!("NONE"), json!("nOnE"), json!(""), json!(["HS512"]), json!(512)]
        {
            let header = with(&header, "alg", none.clone());
            let unsigned = format!("{}.{}", part(&header), part(&claims));
            into.token(&format!("{none} unsigned"), &format!("{unsigned}."));
            into.token(&format!("{none} without the last dot"), &unsigned);
            into.token(&format!("{none} with a good signature"), &self.sign(&header, &claims));
        }
        into.token("no alg", &self.sign(&with(&header, "alg", Value::Null), &claims));
        let alg = |name: &str| with(&header, "alg", json!(name));
        into.token("HS256", &forge(&alg("HS256"), &claims, Algorithm::HS256, &self.key));
        into.token("HS384", &forge(&alg("HS384"), &claims, Algorithm::HS384, &self.key));
        into.token("hs512", &self.sign(&alg("hs512"), &claims));
        into.token("HS512 over an HS256 signature", &forge(&header, &claims, Algorithm::HS256, &self.key));
        into.token("RS256 over an HS512 signature", &self.sign(&alg("RS256"), &claims));
        into.token("RS256 over an HS256 signature", &forge(&alg("RS256"), &claims, Algorithm::HS256, &self.key));
        let message = |header: &Value| format!("{}.{}", part(header), part(&claims));
        let directory = self.appliance.dir.path();
        into.token("RS256", &rs256(directory, &message(&alg("RS256"))));
        into.token("HS512 over an RSA signature", &rs256(directory, &message(&header)));
        // What is public must not be taken for a shared secret.
        let root = self.appliance.root_pem();
        into.token("HS512 keyed with the root", &hmac(&message(&header), Algorithm::HS512, root.as_bytes()));
        let offer = self.appliance.admin("GET", "/api/v1/sign-in", None).json();
        let identity = URL_SAFE_NO_PAD.decode(offer["identity_key"].as_str().unwrap()).unwrap();
        into.token("HS512 keyed with the identity", &hmac(&message(&header), Algorithm::HS512, &identity));
        into.token("HS512 without a key", &hmac(&message(&header), Algorithm::HS512, b""));

        let (rest, signature) = self.good.rsplit_once('.').unwrap();
        into.token("cut signature", &format!("{rest}.{}", &signature[..40]));
        into.token("no signature", &format!("{rest}."));
        // 512 bits end inside the last character: another one with the same leading bits is not the same token.
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let last = alphabet.find(signature.chars().last().unwrap()).unwrap();
        let twin = alphabet.chars().nth(last ^ 1).unwrap();
        into.token("malleated signature", &format!("{rest}.{}{twin}", &signature[..signature.len() - 1]));
        into.token("padded signature", &format!("{}==", self.good));
        into.token("four parts", &format!("{}.x", self.good));
    }

    /// Tokens with another key id, signed with the right key unless said otherwise.
    fn other_keys(&self, into: &mut Refusals<'_>) {
        let (header, claims, demo, other) = (self.header(), self.claims(), &self.demo, &self.other);
        let hs512 = |header: &Value, claims: &Value, key: &[u8]| forge(header, claims, Algorithm::HS512, key);
        let kid = |kid: &str| with(&header, "kid", json!(kid));
        into.token("another workspace's key", &hs512(&header, &claims, &self.other_key));
        let other_kid = kid(&format!("{other}.1"));
        into.token("another workspace's key id", &self.sign(&other_kid, &claims));
        into.token("another workspace's key and id", &hs512(&other_kid, &claims, &self.other_key));
        let moved = with(&claims, "wid", json!(other));
        into.token("another workspace in the claims", &self.sign(&header, &moved));
        into.token(
            "another workspace altogether, with a session of this one",
            &hs512(&other_kid, &moved, &self.other_key),
        );
        into.token("key version 2", &self.sign(&kid(&format!("{demo}.2")), &claims));
        into.token("key version 0", &self.sign(&kid(&format!("{demo}.0")), &claims));
        into.token("no key version", &self.sign(&kid(demo), &claims));
        into.token("absent workspace", &self.sign(&kid("0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11.1"), &claims));
        into.token("path as key id", &self.sign(&kid("../../../../dev/null"), &claims));
        into.token("SQL as key id", &self.sign(&kid("' UNION SELECT 1 --"), &claims));
        into.token("empty key id", &self.sign(&kid(""), &claims));
        into.token("number as key id", &self.sign(&with(&header, "kid", json!(1)), &claims));
        into.token("no key id", &self.sign(&with(&header, "kid", Value::Null), &claims));
    }

    /// Tokens with other claims, signed with the right key.
    fn other_claims(&self, into: &mut Refusals<'_>) {
        let (header, claims) = (self.header(), self.claims());
        let now = claims["iat"].as_i64().unwrap();
        let nil = json!("00000000-0000-0000-0000-000000000000");
        for (field, value) in [
            ("iss", json!("conclave:0123456789abcdef0123456789abcdef")),
            ("iss", json!("")),
            ("aud", json!("conclave:system")),
            ("aud", json!("conclave:MEMBER")),
            ("aud", json!(["conclave:member", "conclave:system"])),
            ("sub", nil.clone()),
            ("wid", nil.clone()),
            ("sid", nil),
            ("nbf", json!(now + 60)),
            ("iat", json!(now + 60)),
            ("exp", json!(now - 1)),
            ("exp", json!(-1)),
            ("exp", json!(now + 601)),
            ("exp", json!(i64::MAX)),
            ("exp", json!(1e300)),
            ("exp", json!("tomorrow")),
            ("role", json!("admin")),
            ("jti", json!("x")),
        ] {
            into.token(&format!("{field} {value}"), &self.sign(&header, &with(&claims, field, value.clone())));
        }
        for field in ["iss", "aud", "sub", "wid", "sid", "iat", "nbf", "exp"] {
            into.token(&format!("no {field}"), &self.sign(&header, &with(&claims, field, Value::Null)));
        }
        let twice = serde_json::to_string(&claims).unwrap().replace('{', r#"{"sub":"x","#);
        let twice = format!("{}.{}", part(&header), URL_SAFE_NO_PAD.encode(twice));
        into.token("a claim twice", &hmac(&twice, Algorithm::HS512, &self.key));
        let padded = with(&header, "cty", json!("x".repeat(2_000)));
        into.token("oversized", &self.sign(&padded, &claims));
        into.token("noise", &"a".repeat(5_000));
        into.token("dots", "..");
        into.token("empty", "");
    }

    /// Genuine tokens whose session, account or surface is not the right one.
    fn genuine(&self, into: &mut Refusals<'_>) {
        let appliance = &self.appliance;
        let revoked = appliance.signed_in("demo", "bob", "admin");
        let bob = decoded(&revoked, 1);
        let mixed = with(&self.claims(), "sid", bob["sid"].clone());
        into.token("the session of another account", &self.sign(&self.header(), &mixed));
        self.opens(ME, &revoked);
        appliance.cli_ok(&["session", "revoke", "--workspace", "demo", "bob", "--all"]);
        into.token("a revoked session", &revoked);
        let disabled = appliance.signed_in("demo", "eve", "admin");
        self.opens(ME, &disabled);
        appliance.cli_ok(&["account", "disable", "--workspace", "demo", "eve"]);
        into.token("a disabled account", &disabled);
        let gone = appliance.signed_in("demo", "dan", "admin");
        assert_eq!(appliance.with_token(&gone, "DELETE", "/api/v1/session", None).status, 204);
        into.token("a signed-out session", &gone);

        self.opens(ME, &self.operator);
        self.opens(STATUS, &self.operator);
        self.opens(ACCOUNTS, &self.good);
        into.add("operator on a workspace's route", self.bearer(ACCOUNTS, &self.operator));
        into.add("member on the system's route", self.bearer(STATUS, &self.good));
        let accounts = format!("/api/v1/system/workspaces/{}/accounts", self.demo);
        into.add("member on the system's view of its workspace", self.bearer(&accounts, &self.good));
        let system = with(&self.claims(), "aud", json!("conclave:system"));
        into.add("member that says it is an operator", self.bearer(STATUS, &self.sign(&self.header(), &system)));
    }

    /// The good token, carried in the wrong way.
    fn other_headers(&self, into: &mut Refusals<'_>) {
        let good = format!("Bearer {}", self.good);
        into.add("nothing", self.ask(ME, &[]));
        into.add("the token twice", self.ask(ME, &[&good, &good]));
        into.add("a bad one behind a good one", self.ask(ME, &[&good, "Bearer x"]));
        into.add("a good one behind a bad one", self.ask(ME, &["Basic YTpi", &good]));
        for value in [
            format!("Basic {}", URL_SAFE_NO_PAD.encode("ada:password")),
            format!("Token {}", self.good),
            self.good.clone(),
            "Bearer".to_owned(),
            format!("Bearer  {}", self.good),
            format!("Bearer\t{}", self.good),
            format!("Bearer {} x", self.good),
            format!("{good}, {good}"),
            format!("Bearer \"{}\"", self.good),
        ] {
            into.add(&value, self.ask(ME, &[&value]));
        }
        let query = format!("{ME}?access_token={}", self.good);
        into.add("in the query", self.ask(&query, &[]));
        let cookie = format!("access_token={}", self.good);
        into.add("in a cookie", self.appliance.https("GET", ME, &[("cookie", &cookie)], None));
    }
}

/// Refusals with what was tried.
struct Refusals<'a> {
    scene: &'a Scene,
    seen: Vec<(String, Answer)>,
}

impl Refusals<'_> {
    fn token(&mut self, tried: &str, token: &str) {
        let answer = self.scene.bearer(ME, token);
        self.add(tried, answer);
    }

    fn add(&mut self, tried: &str, answer: Answer) {
        self.seen.push((tried.to_owned(), answer));
    }
}

#[test]
fn every_token_that_does_not_hold_gets_the_same_401() {
    let scene = Scene::new();
    // The forger's code makes good tokens, so what it changes is what is refused.
    assert_eq!(scene.sign(&scene.header(), &scene.claims()).len(), scene.good.len());
    scene.opens(ME, &scene.sign(&scene.header(), &scene.claims()));
    scene.opens(ME, &scene.sign(&with(&scene.header(), "cty", json!("x".repeat(20))), &scene.claims()));

    let mut refusals = Refusals { scene: &scene, seen: Vec::new() };
    scene.other_algorithms(&mut refusals);
    scene.other_keys(&mut refusals);
    scene.other_claims(&mut refusals);
    scene.genuine(&mut refusals);
    scene.other_headers(&mut refusals);
    let seen = refusals.seen;
    assert!(seen.len() > 90, "{}", seen.len());
    for (tried, answer) in &seen {
        assert_eq!(answer.status, 401, "{tried}: {}", answer.text());
        assert_eq!(answer.code(), "unauthenticated", "{tried}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{tried}");
    }
    for (first, a) in &seen {
        for (second, b) in &seen {
            assert_eq!(a.face(), b.face(), "{first:?} and {second:?} can be told apart");
        }
    }
    // It was the tokens, not the appliance.
    scene.opens(ME, &scene.good);
    let log = scene.appliance.log();
    assert!(!log.contains("panicked") && !log.contains(&scene.good), "{log}");
}

#[test]
fn the_scheme_may_be_written_in_any_case() {
    // RFC 9110 §11.1: schemes are compared without regard to case.
    let appliance = Appliance::claimed();
    let token = appliance.signed_in("demo", "ada", "user");
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let value = format!("{scheme} {token}");
        assert_eq!(appliance.https("GET", ME, &[("authorization", &value)], None).status, 200, "{scheme}");
    }
}

#[test]
fn a_token_lives_to_its_last_millisecond_and_not_before_its_first() {
    let appliance = Appliance::claimed();
    let token = appliance.signed_in("demo", "ada", "user");
    let claims = decoded(&token, 1);
    let (nbf, exp) = (claims["nbf"].as_i64().unwrap() * 1_000, claims["exp"].as_i64().unwrap() * 1_000);
    assert_eq!(exp - nbf, 600_000);
    for (at, expected) in [
        (exp - 1_000, 200),
        (exp - 1, 200),
        (exp, 401),
        (exp + 1_000, 401),
        (exp + 86_400_000, 401),
        (nbf, 200),
        (nbf - 1, 401),
        (nbf - 1_000, 401),
        (0, 401),
    ] {
        appliance.hold(Some(at));
        let answer = appliance.with_token(&token, "GET", ME, None);
        assert_eq!(answer.status, expected, "{} ms from exp: {}", at - exp, answer.text());
    }
    appliance.hold(None);
    assert_eq!(appliance.with_token(&token, "GET", ME, None).status, 200);
}

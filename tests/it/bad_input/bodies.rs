// SPDX-License-Identifier: AGPL-3.0-or-later
//! JSON bodies: too large, too deep, twice, half, not JSON, not declared.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use serde_json::json;

use super::{MARK, is_problem, talkative, unharmed};
use crate::harness::http::{Answer, Connection};
use crate::harness::{Appliance, PATIENCE};

const JSON: (&str, &str) = ("content-type", "application/json");
/// What the appliance takes, in bytes (docs/sign-in.md's boxes are far smaller).
const LIMIT: usize = 65_536;

fn post(appliance: &Appliance, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    appliance.connect().raw("POST", "/api/v1/sessions", headers, body)
}

/// JSON of exactly `length` bytes.
fn of_length(length: usize) -> Vec<u8> {
    let mut body = br#"{"carrier":"token"}"#.to_vec();
    body.resize(length, b' ');
    body
}

fn in_chunks(body: &[u8]) -> Vec<u8> {
    let chunk = |piece: &[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
    [body.chunks(1_000).flat_map(chunk).collect::<Vec<u8>>(), b"0\r\n\r\n".to_vec()].concat()
}

#[test]
fn a_body_has_at_most_64_kib_whether_or_not_it_says_so() {
    let appliance = talkative();
    // `content-length` so that the client of the tests adds none.
    let chunked = [JSON, ("transfer-encoding", "chunked")];
    let send_chunked = |length: usize| {
        let mut connection = appliance.connect();
        let head = "POST /api/v1/sessions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
        let fields: String = chunked.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let whole = [head.as_bytes(), fields.as_bytes(), b"\r\n", &in_chunks(&of_length(length))].concat();
        drop(connection.write(&whole));
        connection.read().unwrap()
    };
    is_problem("declared, at the limit", &post(&appliance, &[JSON], &of_length(LIMIT)), 400, "invalid-body");
    is_problem("declared, over it", &post(&appliance, &[JSON], &of_length(LIMIT + 1)), 413, "body-too-large");
    is_problem("declared, far over it", &post(&appliance, &[JSON], &of_length(1 << 20)), 413, "body-too-large");
    is_problem("in chunks, at the limit", &send_chunked(LIMIT), 400, "invalid-body");
    is_problem("in chunks, over it", &send_chunked(LIMIT + 1), 413, "body-too-large");
    is_problem("in chunks, far over it", &send_chunked(1 << 20), 413, "body-too-large");
    // Refused by what it declares: none of it is there.
    let declared = [JSON, ("content-length", "1000000000000000")];
    is_problem("a petabyte, declared", &post(&appliance, &declared, b""), 413, "body-too-large");
    let admin = Connection::unix(&appliance.admin_socket()).raw("POST", "/api/v1/sessions", &declared, b"");
    is_problem("on the admin socket", &admin, 413, "body-too-large");
    unharmed(&appliance);
}

#[test]
fn a_body_is_one_json_value_of_the_right_shape() {
    let appliance = talkative();
    let sealed = r#"{"key_id":"0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11","challenge":"AA","origin":"https://x","encapsulated_key":"AA","ciphertext":"AA"}"#;
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(5_000), close.repeat(5_000));
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("empty", b"".to_vec()),
        ("blank", b" \r\n\t ".to_vec()),
        ("NUL", b"\0".to_vec()),
        ("null", b"null".to_vec()),
        ("a number", b"1e999999".to_vec()),
        ("a string", format!("\"{MARK}\"").into()),
        ("an array", b"[]".to_vec()),
        ("an array in place of an object", br#"["sealed"]"#.to_vec()),
        ("nothing chosen", b"{}".to_vec()),
        (
            "both chosen",
            format!(r#"{{"sealed":{sealed},"plain":{{"workspace":"demo","user_name":"ada","password":"x"}}}}"#).into(),
        ),
        ("deep arrays", deep("[", "]").into()),
        ("deep objects", deep(r#"{"sealed":"#, "}").into()),
        ("deep under a field", format!(r#"{{"device_name":{}"#, deep("[", "]")).into()),
        ("a field twice", br#"{"carrier":"token","carrier":"token"}"#.to_vec()),
        ("a field twice, once escaped", br#"{"carrier":"token","c\u0061rrier":"token"}"#.to_vec()),
        (
            "an inner field twice",
            format!(r#"{{"sealed":{}}}"#, sealed.replacen('{', r#"{"origin":"https://y","#, 1)).into(),
        ),
        ("an unknown field", format!(r#"{{"{MARK}":1}}"#).into()),
        ("an unknown inner field", format!(r#"{{"sealed":{}}}"#, sealed.replacen('{', r#"{"admin":true,"#, 1)).into()),
        ("a field in other case", br#"{"Carrier":"token"}"#.to_vec()),
        ("a prototype", br#"{"__proto__":{"role":"admin"}}"#.to_vec()),
        ("a number for text", br#"{"plain":{"workspace":1,"user_name":2,"password":3}}"#.to_vec()),
        ("an object for text", br#"{"plain":{"workspace":{"$ne":""},"user_name":{},"password":{}}}"#.to_vec()),
        ("an unknown variant", format!(r#"{{"carrier":"{MARK}"}}"#).into()),
        ("not base64url", format!(r#"{{"sealed":{}}}"#, sealed.replace(r#""AA""#, r#""A+/=""#)).into()),
        ("not an id", format!(r#"{{"sealed":{}}}"#, sealed.replace("0192f0c1-", "0192f0c1")).into()),
        (
            "an id in braces",
            format!(r#"{{"sealed":{}}}"#, sealed.replace("\"0192", "\"{0192").replace("7a11\"", "7a11}\"")).into(),
        ),
        ("NUL in a name", format!(r#"{{"device_name":"{MARK}\u0000"}}"#).into()),
        ("a bare control character", b"{\"device_name\":\"\x01\"}".to_vec()),
        ("half a surrogate", br#"{"device_name":"\ud800"}"#.to_vec()),
        ("invalid UTF-8", b"{\"device_name\":\"\xff\xfe\"}".to_vec()),
        ("overlong UTF-8", b"{\"device_name\":\"\xc0\x80\"}".to_vec()),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec()),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\xae\x05\0\x43\xbf\xa6\xa3\x02\0\0\0".to_vec()),
        ("half an object", br#"{"carrier":"#.to_vec()),
        ("half a string", br#"{"carrier":"tok"#.to_vec()),
        ("something behind it", format!(r#"{{"carrier":"token"}}{MARK}"#).into()),
        ("two values", b"{}{}".to_vec()),
        ("a comment", b"{/* */}".to_vec()),
        ("a last comma", br#"{"carrier":"token",}"#.to_vec()),
        ("single quotes", b"{'carrier':'token'}".to_vec()),
        ("not a number", br#"{"carrier":NaN}"#.to_vec()),
        ("a form", b"workspace=demo&user_name=ada&password=x".to_vec()),
        ("XML", format!(r#"<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;{MARK}</x>"#).into()),
    ];
    for (what, body) in bodies {
        is_problem(what, &post(&appliance, &[JSON], &body), 400, "invalid-body");
    }
    unharmed(&appliance);
}

#[test]
fn one_wrong_thing_in_a_good_body_is_enough() {
    let appliance = talkative();
    let path = format!("/api/v1/system/workspaces/{}/accounts", appliance.workspace_id("demo"));
    let create = |body: &str| Connection::unix(&appliance.admin_socket()).raw("POST", &path, &[JSON], body.as_bytes());
    let good = r#"{"user_name":"ada","display_name":"Ada","role":"user"}"#;
    for (what, from, to) in [
        ("an unknown field", "{", r#"{"h0st1le":1,"#),
        ("a field nobody may set", "{", r#"{"id":"0192f0c1-8f6e-4c55-9d3b-2f6a1f0e7a11","#),
        ("the same field twice", "{", r#"{"role":"user","#),
        ("the same field twice, once empty", "{", r#"{"role":null,"#),
        ("the same field twice, once escaped", "{", r#"{"r\u006fle":"admin","#),
        ("a field of another case", r#""role""#, r#""Role""#),
        ("a role that is none", r#""role":"user""#, r#""role":"h0st1le""#),
        ("a list of roles", r#""role":"user""#, r#""role":["user"]"#),
        ("a role in capitals", r#""role":"user""#, r#""role":"USER""#),
        ("a number for a name", r#""Ada""#, "7"),
        ("nothing for a name", r#""Ada""#, "null"),
        ("a list of names", r#""Ada""#, r#"["Ada"]"#),
        ("NUL in a name", "Ada", "Ada\\u0000"),
        ("no name", r#""display_name":"Ada","#, ""),
        ("something behind it", "}", "} h0st1le"),
        ("another value behind it", "}", "}{}"),
        ("a last comma", "}", ",}"),
        ("an array around it", good, r#"["ada","Ada","user"]"#),
        ("a string around it", good, r#""{}""#),
    ] {
        is_problem(what, &create(&good.replacen(from, to, 1)), 400, "invalid-body");
    }
    let answer = create(good);
    assert_eq!(answer.status, 201, "and the good one is good: {}", answer.text());
    unharmed(&appliance);
}

#[test]
fn a_body_is_declared_as_json() {
    let appliance = talkative();
    let body = br#"{"carrier":"token"}"#;
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application",
        "",
        "h0st1le",
    ] {
        is_problem(kind, &post(&appliance, &[("content-type", kind)], body), 415, "unsupported-media-type");
    }
    is_problem("undeclared", &post(&appliance, &[], body), 415, "unsupported-media-type");
    for kind in ["application/json", "Application/JSON", "application/json; charset=utf-8"] {
        is_problem(kind, &post(&appliance, &[("content-type", kind)], body), 400, "invalid-body");
    }
    unharmed(&appliance);
}

#[test]
fn a_body_that_breaks_off_is_named_or_the_connection_ends() {
    let appliance = talkative();
    for framing in ["content-length: 100\r\n\r\n{\"carrier\":", "transfer-encoding: chunked\r\n\r\n64\r\n{\"carrier\":"]
    {
        let mut stream = UnixStream::connect(appliance.admin_socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = "POST /api/v1/sessions HTTP/1.1\r\nhost: appliance\r\ncontent-type: application/json\r\n";
        stream.write_all(format!("{head}{framing}").as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        if let Some(answer) = Answer::parse(&bytes) {
            is_problem(framing, &answer, 400, "invalid-body");
        } else {
            assert!(bytes.is_empty(), "{framing}: {}", String::from_utf8_lossy(&bytes));
        }
    }
    unharmed(&appliance);
}

#[test]
fn a_password_with_a_control_character_is_refused_by_name() {
    let appliance = talkative();
    let demo = appliance.workspace_id("demo");
    let path = format!("/api/v1/system/workspaces/{demo}/accounts");
    for password in
        ["h0st1le\0quiet harbour lantern", "h0st1le quiet harbour\nlantern", "h0st1le quiet\u{7f} harbour lantern"]
    {
        let body = json!({ "user_name": "mallory", "display_name": "Mallory", "password": password });
        let answer = appliance.admin("POST", &path, Some(&body));
        is_problem(password, &answer, 422, "password-refused");
        assert!(answer.text().contains("control character") && !answer.text().contains("h0st1le"), "{}", answer.text());
    }
    let long = json!({ "user_name": "mallory", "display_name": "Mallory", "password": "quiet harbour ".repeat(100) });
    is_problem("long", &appliance.admin("POST", &path, Some(&long)), 422, "password-refused");
    unharmed(&appliance);
}

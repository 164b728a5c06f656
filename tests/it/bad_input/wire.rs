// SPDX-License-Identifier: AGPL-3.0-or-later
//! HTTP itself, bent: framing, headers, versions and methods, written byte by byte.

use super::{MARK, is_problem, talkative, unharmed};
use crate::harness::Appliance;
use crate::harness::http::Answer;

/// What comes back.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// The appliance's own refusal.
    Problem(u16, &'static str),
    /// A refusal below the appliance: a status and nothing else.
    Bare(u16),
    /// The connection ends without a word.
    Closed,
    /// Odd, and allowed.
    Fine,
}
use Expected::{Bare, Closed, Fine, Problem};

fn check(appliance: &Appliance, what: &str, request: &[u8], expected: Expected) {
    let mut connection = appliance.connect();
    // The appliance may close before it has read everything.
    drop(connection.write(request));
    let bytes = connection.read_all();
    let text = String::from_utf8_lossy(&bytes);
    // However it is read, it is one request: nothing behind it is answered.
    let answers = text.matches("HTTP/1.").count();
    match (expected, Answer::parse(&bytes)) {
        (Closed, None) => assert!(bytes.is_empty(), "{what}: {text}"),
        (Bare(status), Some(answer)) => {
            assert_eq!((answer.status, answer.body.len(), answers), (status, 0, 1), "{what}: {text}");
            assert_eq!(answer.header("connection"), Some("close"), "{what}");
        }
        (Problem(status, code), Some(answer)) => {
            is_problem(what, &answer, status, code);
            assert_eq!(answers, 1, "{what}: {text}");
        }
        (Fine, Some(answer)) => assert_eq!((answer.status, answers), (200, 1), "{what}: {text}"),
        (expected, _) => panic!("{what}: expected {expected:?}, got {text:?}"),
    }
}

#[test]
fn two_ways_to_read_one_request_are_refused() {
    let appliance = talkative();
    let smuggled = format!("GET /{MARK} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // Without `Connection: close`, so that a second request behind the first would be answered.
    let post = |framing: &str, body: &str| {
        format!(
            "POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{framing}\r\n\r\n{body}{smuggled}"
        )
    };
    let chunked = "2\r\n{}\r\n0\r\n\r\n";
    let both = format!("Content-Length: {}\r\nTransfer-Encoding: chunked", chunked.len() + smuggled.len());
    let both_turned = format!("Transfer-Encoding: chunked\r\nContent-Length: {}", chunked.len() + smuggled.len());
    let invalid = Problem(400, "invalid-body");
    let malformed = Problem(400, "malformed-request");
    for (what, framing, body, expected) in [
        ("two lengths", "Content-Length: 2\r\nContent-Length: 3", "{}", Bare(400)),
        ("a list of lengths", "Content-Length: 2, 2", "{}", Bare(400)),
        ("negative", "Content-Length: -1", "{}", Bare(400)),
        ("signed", "Content-Length: +2", "{}", Bare(400)),
        ("hexadecimal", "Content-Length: 0x2", "{}", Bare(400)),
        ("two numbers", "Content-Length: 2 2", "{}", Bare(400)),
        ("no number", "Content-Length: ", "{}", Bare(400)),
        ("more than 64 bits", "Content-Length: 99999999999999999999999", "{}", Bare(400)),
        ("nearly 64 bits", "Content-Length: 18446744073709551615", "{}", Bare(431)),
        ("nearly 63 bits", "Content-Length: 9223372036854775807", "{}", Problem(413, "body-too-large")),
        // RFC 9112 §6.3: the chunks count, and the connection ends.
        ("length and chunks", &both, chunked, invalid),
        ("chunks and length", &both_turned, chunked, invalid),
        ("chunks and not", "Transfer-Encoding: chunked, identity", chunked, Bare(400)),
        ("something and chunks", "Transfer-Encoding: gzip, chunked", chunked, malformed),
        ("chunks twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", chunked, malformed),
        ("nearly chunks", "Transfer-Encoding: xchunked\r\nContent-Length: 2", "{}", Bare(400)),
        ("blank before the colon", "Transfer-Encoding : chunked", chunked, Bare(400)),
        ("folded", "Transfer-Encoding:\r\n chunked", chunked, Bare(400)),
        ("vertical tab", "Transfer-Encoding: \u{b}chunked", chunked, Bare(400)),
        ("chunk of too many bytes", "Transfer-Encoding: chunked", "fffffffffffffffff\r\n{}\r\n0\r\n\r\n", invalid),
        ("negative chunk", "Transfer-Encoding: chunked", "-2\r\n{}\r\n0\r\n\r\n", invalid),
        ("chunk longer than it says", "Transfer-Encoding: chunked", "1\r\n{}\r\n0\r\n\r\n", invalid),
    ] {
        check(&appliance, what, post(framing, body).as_bytes(), expected);
    }
    let extension = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(20_000));
    check(&appliance, "chunk extension", post("Transfer-Encoding: chunked", &extension).as_bytes(), invalid);
    let old = format!("POST /api/v1/sessions HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}");
    check(&appliance, "chunks in HTTP/1.0", old.as_bytes(), Bare(400));
    unharmed(&appliance);
}

#[test]
fn a_request_says_once_whom_it_is_for() {
    let appliance = talkative();
    let get = |hosts: &str| format!("GET /healthz HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
    // RFC 9112 §3.2.
    check(&appliance, "no host", get("").as_bytes(), Problem(400, "malformed-request"));
    check(&appliance, "two hosts", get("Host: a\r\nHost: b\r\n").as_bytes(), Problem(400, "malformed-request"));
    check(&appliance, "the same twice", get("Host: a\r\nHost: a\r\n").as_bytes(), Problem(400, "malformed-request"));
    check(&appliance, "one host", get("Host: a\r\n").as_bytes(), Fine);
    check(&appliance, "HTTP/1.0 without", b"GET /healthz HTTP/1.0\r\n\r\n", Fine);
    unharmed(&appliance);
}

#[test]
fn headers_have_a_number_a_size_and_a_form() {
    let appliance = talkative();
    let get = |headers: &str| format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    let many = |count: usize| (0..count).map(|n| format!("x-{n}: {MARK}\r\n")).collect::<String>();
    for (what, headers, expected) in [
        ("64 headers", many(62), Fine),
        ("65 headers", many(63), Bare(431)),
        ("1,000 headers", many(1_000), Bare(431)),
        ("12 KiB", format!("x: {}\r\n", "y".repeat(12_000)), Fine),
        ("20 KiB", format!("x: {}\r\n", "y".repeat(20_000)), Bare(431)),
        ("20 KiB of name", format!("{}: y\r\n", "x".repeat(20_000)), Bare(431)),
        ("no colon", format!("{MARK}\r\n"), Bare(400)),
        ("no name", format!(": {MARK}\r\n"), Bare(400)),
        ("NUL in a value", format!("x: {MARK}\0y\r\n"), Bare(400)),
        ("NUL in a name", format!("x\0: {MARK}\r\n"), Bare(400)),
        ("return in a value", format!("x: {MARK}\ry\r\n"), Bare(400)),
        ("folded value", format!("x: {MARK}\r\n y\r\n"), Bare(400)),
        ("upgrade to HTTP/2 in clear", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n".to_owned(), Fine),
    ] {
        check(&appliance, what, get(&headers).as_bytes(), expected);
    }
    unharmed(&appliance);
}

#[test]
fn what_is_not_http_1_1_is_not_guessed_at() {
    let appliance = talkative();
    let line = |line: &str| format!("{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    check(&appliance, "HTTP/2 without having agreed on it", preface, Closed);
    check(&appliance, "TLS in TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Bare(400));
    check(&appliance, "noise", &[0xff; 200], Bare(400));
    check(&appliance, "NULs", &[0; 200], Bare(400));
    for (what, text, expected) in [
        ("HTTP/2 by name", line("GET /healthz HTTP/2.0"), Bare(400)),
        ("HTTP/9", line("GET /healthz HTTP/9.9"), Bare(400)),
        ("no version", line("GET /healthz"), Bare(400)),
        ("no target", line("GET  HTTP/1.1"), Bare(400)),
        ("blank in the target", line(&format!("GET /{MARK} x HTTP/1.1")), Bare(400)),
        ("bytes in the target", line("GET /\u{7f} HTTP/1.1"), Bare(400)),
        ("20 KiB of target", line(&format!("GET /{} HTTP/1.1", MARK.repeat(3_000))), Bare(431)),
        ("blank in the method", line("GE T /healthz HTTP/1.1"), Bare(400)),
        ("unheard-of method", line(&format!("{MARK} /healthz HTTP/1.1")), Problem(405, "method-not-allowed")),
        ("unheard-of method on a page", line(&format!("{MARK} / HTTP/1.1")), Problem(405, "method-not-allowed")),
        ("TRACE", line("TRACE / HTTP/1.1"), Problem(405, "method-not-allowed")),
        ("CONNECT", line(&format!("CONNECT {MARK}:443 HTTP/1.1")), Problem(404, "not-found")),
        ("OPTIONS of everything", line("OPTIONS * HTTP/1.1"), Problem(404, "not-found")),
        ("not a path", line(&format!("GET {MARK} HTTP/1.1")), Problem(404, "not-found")),
    ] {
        check(&appliance, what, text.as_bytes(), expected);
    }
    unharmed(&appliance);
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! A chain in a file: JSON lines that anybody verifies with the public identity key alone, and two forms for what
//! collects logs (RFC 5424, CEF). Every form carries the place of each record in the chain and its hash.
//!
//! An export of JSON lines is the records in their order, and then the signed head. What of it is for reading must say
//! what the canonical record says, so a line is written anew from that and compared.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::core::audit::{ChainError, ChainVerifier, Head, MalformedRecord, Record};
use crate::core::keys::identity::{Identity, PublicIdentity};
use crate::values::id::WorkspaceId;
use crate::values::time::Timestamp;

/// Private enterprise number in the names of structured data: the one for documentation (RFC 5612), as we have none.
const SD_ID: &str = "conclave@32473";
/// `user` facility is 1; audit is 13 (RFC 5424 §6.2.1).
const FACILITY: u8 = 13;

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON lines, to be verified.
    JsonLines,
    /// Syslog messages (RFC 5424).
    Syslog,
    /// ArcSight's Common Event Format.
    Cef,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::JsonLines, Self::Syslog, Self::Cef];

    /// The name that people give.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Syslog => "rfc5424",
            Self::Cef => "cef",
        }
    }

    /// The format with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::JsonLines => "application/x-ndjson",
            Self::Syslog | Self::Cef => "text/plain; charset=utf-8",
        }
    }

    /// A stored record as a line, with its end.
    ///
    /// # Errors
    /// When the bytes are no record.
    pub fn line(self, bytes: &[u8], hash: &[u8]) -> Result<String, MalformedRecord> {
        let record = Record::decode(bytes)?;
        let mut line = match self {
            Self::JsonLines => json_line(&record, bytes, hash),
            Self::Syslog => syslog_line(&record, hash),
            Self::Cef => cef_line(&record, hash),
        };
        line.push('\n');
        Ok(line)
    }

    /// The signed head as a line, with its end.
    pub fn head_line(self, head: Head, workspace: WorkspaceId, at: Timestamp, identity: &Identity) -> String {
        let signature = head.sign(workspace, at, identity);
        let (hash, signature) = (hex::encode(head.hash), hex::encode(signature));
        let sequence = head.sequence;
        match self {
            Self::JsonLines => format!("{}\n", json_head(head, workspace, at, &signature)),
            Self::Syslog => {
                let mut data = String::new();
                for (name, value) in [("seq", &sequence.to_string()), ("hash", &hash), ("signature", &signature)] {
                    let _ = write!(data, " {name}=\"{value}\"");
                }
                format!("<{}>1 {at} - conclave - audit.head [{SD_ID} ws=\"{workspace}\"{data}]\n", priority(true))
            }
            Self::Cef => format!(
                "CEF:0|Conclave|Conclave|{}|audit.head|Signed head|1|rt={} cn1Label=sequence cn1={sequence} \
                 cs1Label=hash cs1={hash} cs2Label=workspace cs2={workspace} cs4Label=signature cs4={signature}\n",
                env!("CARGO_PKG_VERSION"),
                at.as_millis()
            ),
        }
    }
}

fn json_line(record: &Record, bytes: &[u8], hash: &[u8]) -> String {
    let Record { workspace, sequence, previous, at, actor, strength, address, action, target, outcome, detail } =
        record;
    json!({
        "workspace": workspace, "sequence": sequence, "at": at, "actor": actor, "strength": strength, "address": address,
        "action": action, "target": target, "outcome": outcome, "detail": detail,
        "previous": hex::encode(previous), "hash": hex::encode(hash), "record": STANDARD.encode(bytes),
    })
    .to_string()
}

fn json_head(head: Head, workspace: WorkspaceId, at: Timestamp, signature: &str) -> String {
    let Head { sequence, hash } = head;
    let hash = hex::encode(hash);
    json!({ "head": { "workspace": workspace, "sequence": sequence, "hash": hash, "at": at, "signature": signature } })
        .to_string()
}

/// PRI: the facility, and notice, or warning for what was refused.
const fn priority(allowed: bool) -> u8 {
    FACILITY * 8 + if allowed { 5 } else { 4 }
}

/// A value of structured data: quotes, backslashes and closing brackets are escaped (RFC 5424 §6.3.3), and so is what
/// would end the line.
fn sd_value(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' | ']' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

fn syslog_line(record: &Record, hash: &[u8]) -> String {
    let fields = [
        ("ws", record.workspace.to_string()),
        ("seq", record.sequence.to_string()),
        ("prev", hex::encode(record.previous)),
        ("hash", hex::encode(hash)),
        ("actor", record.actor.clone()),
        ("strength", record.strength.clone()),
        ("address", record.address.clone()),
        ("target", record.target.clone()),
        ("outcome", record.outcome.clone()),
        ("detail", record.detail.clone()),
    ];
    let data: String = fields.iter().map(|(name, value)| format!(" {name}=\"{}\"", sd_value(value))).collect();
    let pri = priority(record.outcome != "refused");
    // HOSTNAME and PROCID are not known here. MSGID is at most 32 characters.
    let id: String = record.action.chars().filter(char::is_ascii_graphic).take(32).collect();
    format!("<{pri}>1 {} - conclave - {id} [{SD_ID}{data}]", record.at)
}

/// A value of an extension: backslashes, equals signs and ends of lines are escaped.
fn cef_value(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '=' => escaped.extend(['\\', c]),
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

fn cef_line(record: &Record, hash: &[u8]) -> String {
    let action: String = record.action.replace('\\', "\\\\").replace('|', "\\|");
    let severity = if record.outcome == "refused" { 5 } else { 3 };
    let mut extension = vec![
        ("rt", record.at.as_millis().to_string()),
        ("suid", record.actor.clone()),
        ("act", record.action.clone()),
        ("outcome", record.outcome.clone()),
        ("duid", record.target.clone()),
        ("msg", record.detail.clone()),
        ("cn1Label", "sequence".to_owned()),
        ("cn1", record.sequence.to_string()),
        ("cs1Label", "hash".to_owned()),
        ("cs1", hex::encode(hash)),
        ("cs2Label", "workspace".to_owned()),
        ("cs2", record.workspace.to_string()),
        ("cs3Label", "previous".to_owned()),
        ("cs3", hex::encode(record.previous)),
        ("cs5Label", "strength".to_owned()),
        ("cs5", record.strength.clone()),
    ];
    if !record.address.is_empty() {
        extension.push(("src", record.address.clone()));
    }
    let extension: Vec<_> = extension.iter().map(|(name, value)| format!("{name}={}", cef_value(value))).collect();
    let version = env!("CARGO_PKG_VERSION");
    format!("CEF:0|Conclave|Conclave|{version}|{action}|{action}|{severity}|{}", extension.join(" "))
}

/// What an export holds, once it is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Whose chain.
    pub workspace: WorkspaceId,
    /// Sequence of the first record in it.
    pub first: u64,
    /// The end of the chain, as it was signed.
    pub head: Head,
    /// When it was signed.
    pub signed_at: Timestamp,
}

/// Why an export does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// No record and no head, or something after the head.
    #[error("line {0} is no line of an audit export in JSON lines")]
    NoSuchLine(u64),
    /// What is for reading is not what the record says.
    #[error("line {0} says something else than the record in it: it was changed")]
    OtherWords(u64),
    /// A record.
    #[error("line {line}: {error}")]
    Chain {
        /// Which line.
        line: u64,
        /// What is wrong with it.
        error: ChainError,
    },
    /// No head at the end.
    #[error("the signed head is missing: the end of the export was cut off")]
    NoHead,
    /// The head is of more records than there are, or of others.
    #[error(
        "the head names record {named}, and the last record here is {found}: records at the end are missing or changed"
    )]
    OtherHead {
        /// By the head.
        named: u64,
        /// In the file.
        found: u64,
    },
    /// Another key, or a changed head.
    #[error("the head was not signed by this key")]
    Signature,
}

/// Verifies an export line by line, in constant memory.
#[derive(Debug, Default)]
pub struct ExportVerifier {
    line: u64,
    first: u64,
    chain: Option<ChainVerifier>,
    verified: Option<Verified>,
}

impl ExportVerifier {
    /// Takes the next line, without its end.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn push(&mut self, text_of_line: &str, key: PublicIdentity) -> Result<(), ExportError> {
        self.line += 1;
        let unread = ExportError::NoSuchLine(self.line);
        if self.verified.is_some() {
            return Err(unread);
        }
        let said: Value = serde_json::from_str(text_of_line).map_err(|_| unread.clone())?;
        if said.get("head").is_some() {
            self.verified = Some(self.head(&said, text_of_line, key).map_err(|error| error.unwrap_or(unread))?);
            return Ok(());
        }
        let text = |name: &str| said.get(name).and_then(Value::as_str);
        let bytes = text("record").and_then(|record| STANDARD.decode(record).ok()).ok_or_else(|| unread.clone())?;
        let hash = text("hash").and_then(|hash| hex::decode(hash).ok()).ok_or(unread)?;
        let chain = match &mut self.chain {
            Some(chain) => chain,
            None => {
                // An export may begin anywhere; the signed head vouches for what it holds.
                let first = Record::decode(&bytes).map_err(|_| ExportError::NoSuchLine(self.line))?;
                self.first = first.sequence;
                let before = Head { sequence: first.sequence.saturating_sub(1), hash: first.previous };
                self.chain.insert(ChainVerifier::after(first.workspace, before))
            }
        };
        let line = self.line;
        let record = chain.push(&bytes, &hash).map_err(|error| ExportError::Chain { line, error })?;
        // To the letter: of two members of one name one would be read and the other be held to the record.
        if json_line(&record, &bytes, &hash) == text_of_line { Ok(()) } else { Err(ExportError::OtherWords(line)) }
    }

    /// The head; `None` as the error when it cannot be read.
    fn head(&self, said: &Value, text_of_line: &str, key: PublicIdentity) -> Result<Verified, Option<ExportError>> {
        let of = |name: &str| said.get("head").and_then(|head| head.get(name));
        let text = |name: &str| of(name).and_then(Value::as_str).ok_or(None);
        let named = of("sequence").and_then(Value::as_u64).ok_or(None)?;
        let workspace: WorkspaceId = text("workspace")?.parse().map_err(|_| None)?;
        let at: Timestamp = serde_json::from_value(of("at").cloned().unwrap_or_default()).map_err(|_| None)?;
        let hash = hex::decode(text("hash")?).ok().and_then(|hash| hash.try_into().ok()).ok_or(None)?;
        let signature = hex::decode(text("signature")?).map_err(|_| None)?;
        let head = Head { sequence: named, hash };
        head.verify(workspace, at, key, &signature).map_err(|_| Some(ExportError::Signature))?;
        // One spelling and no other.
        if json_head(head, workspace, at, &hex::encode(signature)) != text_of_line {
            return Err(None);
        }
        let found = self.chain.as_ref().map_or(Head::EMPTY, ChainVerifier::head);
        if found != head || self.chain.as_ref().is_some_and(|chain| chain.workspace() != workspace) {
            return Err(Some(ExportError::OtherHead { named, found: found.sequence }));
        }
        Ok(Verified { workspace, first: self.first, head, signed_at: at })
    }

    /// What it held.
    ///
    /// # Errors
    /// When the head did not come.
    pub fn finish(self) -> Result<Verified, ExportError> {
        self.verified.ok_or(ExportError::NoHead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::audit::{Actor, Event, Hash, Outcome, Strength};
    use crate::values::secret::Key256;

    const W: WorkspaceId = WorkspaceId::from_bytes([5; 16]);

    fn identity() -> Identity {
        Identity::from_seed(&Key256::new([1; 32]))
    }

    /// A record and its hash.
    type Stored = (Vec<u8>, Hash);

    /// Records with everything in them that a form might trip over.
    fn chain(length: i64) -> (Vec<Stored>, Head) {
        let mut head = Head::EMPTY;
        let records = (1..=length).map(|n| {
            let event = Event {
                actor: Actor::LocalOperator,
                strength: Strength::LocalSocket,
                address: Some([10, 0, 0, 1].into()),
                action: "account.create",
                target: "account:x".to_owned(),
                outcome: if n % 2 == 0 { Outcome::Refused } else { Outcome::Allowed },
                detail: "a \"quoted\" ] \\ = | remark\nwith two lines".to_owned(),
            };
            let (record, next) = head.append(W, Timestamp::from_millis(n * 1_000), &event);
            head = next;
            (record, next.hash)
        });
        (records.collect(), head)
    }

    fn export(format: Format, skip: usize) -> String {
        let (records, head) = chain(4);
        let lines = records.iter().skip(skip).map(|(bytes, hash)| format.line(bytes, hash).unwrap());
        lines.collect::<String>() + &format.head_line(head, W, Timestamp::from_millis(9_000), &identity())
    }

    fn verify(text: &str) -> Result<Verified, ExportError> {
        let mut verifier = ExportVerifier::default();
        text.lines().try_for_each(|line| verifier.push(line, identity().public()))?;
        verifier.finish()
    }

    #[test]
    fn an_export_verifies_from_its_beginning_or_from_anywhere() {
        let whole = verify(&export(Format::JsonLines, 0)).unwrap();
        assert_eq!((whole.first, whole.head, whole.workspace), (1, chain(4).1, W));
        assert_eq!(verify(&export(Format::JsonLines, 2)).unwrap().first, 3);
        let empty = Format::JsonLines.head_line(Head::EMPTY, W, Timestamp::from_millis(1), &identity());
        assert_eq!(verify(&empty).unwrap().head, Head::EMPTY);
    }

    #[test]
    fn one_changed_character_anywhere_is_found() {
        let whole = export(Format::JsonLines, 0);
        let mut found = 0;
        for (at, byte) in whole.bytes().enumerate().filter(|(_, byte)| *byte != b'\n') {
            let mut changed = whole.clone().into_bytes();
            changed[at] = if byte == b'1' { b'2' } else { b'1' };
            let Ok(changed) = String::from_utf8(changed) else { continue };
            assert!(verify(&changed).is_err(), "{at}: {changed}");
            found += 1;
        }
        assert!(found > 2_000);
    }

    #[test]
    fn what_is_cut_out_cut_off_or_put_behind_is_named() {
        let whole = export(Format::JsonLines, 0);
        let lines: Vec<_> = whole.lines().collect();
        let without = |place: usize| {
            let kept = lines.iter().enumerate().filter(|(at, _)| *at != place);
            verify(&kept.map(|(_, line)| format!("{line}\n")).collect::<String>())
        };
        let gap = ChainError::Gap { expected: 2, found: 3 };
        assert_eq!(without(1), Err(ExportError::Chain { line: 2, error: gap }));
        assert_eq!(without(3), Err(ExportError::OtherHead { named: 4, found: 3 }));
        assert_eq!(without(4), Err(ExportError::NoHead));
        assert_eq!(verify(&format!("{whole}{}\n", lines[0])), Err(ExportError::NoSuchLine(6)));
        assert_eq!(verify(""), Err(ExportError::NoHead));
        let twice = whole.replacen('{', r#"{"actor":"account:somebody","#, 1);
        assert_eq!(verify(&twice), Err(ExportError::OtherWords(1)));
        let head = whole.replacen(r#"{"head":{"#, r#"{"head":{"sequence":1,"#, 1);
        assert_eq!(verify(&head), Err(ExportError::NoSuchLine(5)));
        let mut verifier = ExportVerifier::default();
        let other = Identity::from_seed(&Key256::new([2; 32])).public();
        let result = whole.lines().try_for_each(|line| verifier.push(line, other));
        assert_eq!(result, Err(ExportError::Signature));
    }

    #[test]
    fn syslog_and_cef_are_one_line_a_record_and_escaped() {
        let syslog = export(Format::Syslog, 0);
        let line = syslog.lines().next().unwrap();
        assert!(
            line.starts_with("<109>1 1970-01-01T00:00:01Z - conclave - account.create [conclave@32473 ws=\""),
            "{line}"
        );
        assert!(line.contains(r#"detail="a \"quoted\" \] \\ = | remark with two lines"]"#), "{line}");
        assert!(syslog.lines().nth(1).unwrap().starts_with("<108>1 "));
        let cef = export(Format::Cef, 0);
        let line = cef.lines().next().unwrap();
        assert!(
            line.starts_with("CEF:0|Conclave|Conclave|") && line.contains("|account.create|account.create|3|rt=1000 ")
        );
        assert!(line.contains(r#"msg=a "quoted" ] \\ \= | remark\nwith two lines cn1Label=sequence cn1=1 "#), "{line}");
        assert!(line.ends_with("src=10.0.0.1"), "{line}");
        for text in [syslog, cef] {
            assert_eq!(text.lines().count(), 5);
            assert!(text.lines().last().unwrap().contains(&hex::encode(chain(4).1.hash)));
        }
    }
}

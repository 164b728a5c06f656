// SPDX-License-Identifier: AGPL-3.0-or-later
//! The relay under test in a process of its own: both ends of the conversation with it, one line of JSON each way.
//!
//! The process is this program again. It ends when it is told so by a closed standard input, and is killed by its handle
//! when it does not; it ends by itself when whoever started it is gone. Every answer is waited for, for a bounded time.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::api::Address;
use super::error::BenchError;
use super::load::Load;
use super::socket;
use super::subject::{self, Facts, Started, Subject};
use super::usage::Usage;

/// The hidden option that makes this program the relay under test.
pub(super) const RELAY_OPTION: &str = "relay-process";
/// How long the process may take to start, and to answer while it is overloaded.
const ANSWER: Duration = Duration::from_secs(30);
/// How long it may take to end before it is killed.
const GOODBYE: Duration = Duration::from_secs(5);
/// How often it is looked whether it ended.
const LOOK: Duration = Duration::from_millis(10);

/// What the relay's process is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// Begin.
    Start { subject: Subject, load: Load },
    /// Say what was used and counted so far.
    Report,
}

/// What the relay's process answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// Participants may come.
    Ready(Invitation),
    /// So far.
    Report(Snapshot),
    /// It cannot go on.
    Failed(String),
}

/// What participants need to come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Invitation {
    /// Where the relay is.
    pub address: SocketAddr,
    /// What it presents, DER.
    pub certificate: Vec<u8>,
    /// One for each participant.
    pub credentials: Vec<String>,
    /// Where sign-ins go, when they are part of it.
    pub api: Option<Address>,
}

/// What a relay used and counted so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Snapshot {
    /// Its process.
    pub usage: Usage,
    /// The relay.
    pub facts: Facts,
}

impl Snapshot {
    /// What was used and counted since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self { usage: self.usage.since(&earlier.usage), facts: self.facts.since(earlier.facts) }
    }
}

/// Is the relay's process: obeys until its input ends.
pub(super) fn obey(orders: impl BufRead, mut answers: impl Write) -> Result<(), BenchError> {
    let mut started: Option<Started> = None;
    for line in orders.lines() {
        let line = line.map_err(BenchError::io("reading orders"))?;
        let answer = follow(&line, &mut started).unwrap_or_else(|error| Answer::Failed(error.reason()));
        let mut text = serde_json::to_string(&answer).map_err(|error| BenchError::Relay(error.to_string()))?;
        text.push('\n');
        answers.write_all(text.as_bytes()).and_then(|()| answers.flush()).map_err(BenchError::io("answering"))?;
    }
    if let Some(started) = started {
        started.running.stop();
    }
    Ok(())
}

fn follow(line: &str, started: &mut Option<Started>) -> Result<Answer, BenchError> {
    let order = serde_json::from_str(line).map_err(|error| BenchError::Relay(error.to_string()))?;
    match order {
        Order::Start { subject, load } => {
            let socket = socket::on_loopback().map_err(BenchError::io("the relay's socket"))?;
            let address = socket.local_addr().map_err(BenchError::io("the relay's socket"))?;
            let started = started.insert(subject::start(subject, socket, &load)?);
            let (certificate, credentials) = (started.certificate.clone(), started.credentials.clone());
            let api = started.api.clone();
            Ok(Answer::Ready(Invitation { address, certificate, credentials, api }))
        }
        Order::Report => {
            let started = started.as_ref().ok_or(BenchError::Process("was not started"))?;
            let usage = Usage::of_this_process().map_err(BenchError::io("CPU time from /proc"))?;
            Ok(Answer::Report(Snapshot { usage, facts: started.running.facts() }))
        }
    }
}

/// The relay's process, from outside.
pub(super) struct RelayProcess {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<io::Result<String>>,
}

impl RelayProcess {
    /// Starts a process and in it the relay.
    pub fn start(subject: Subject, load: &Load) -> Result<(Self, Invitation), BenchError> {
        let program = std::env::current_exe().map_err(BenchError::io("finding this program"))?;
        let mut command = Command::new(program);
        command.args(["bench", &format!("--{RELAY_OPTION}")]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(BenchError::io("starting the relay's process"))?;
        let (Some(orders), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(BenchError::Process("has no input or output"));
        };
        let (sender, answers) = channel();
        let mut process = Self { child, orders: Some(orders), answers };
        let read = move || BufReader::new(output).lines().try_for_each(|line| sender.send(line).ok());
        std::thread::Builder::new()
            .name("answers".to_owned())
            .spawn(read)
            .map_err(BenchError::io("a thread for the relay's answers"))?;
        match process.ask(&Order::Start { subject, load: load.clone() })? {
            Answer::Ready(invitation) => Ok((process, invitation)),
            Answer::Report(_) | Answer::Failed(_) => Err(BenchError::Process("answered something else")),
        }
    }

    /// What the relay used and counted so far.
    pub fn report(&mut self) -> Result<Snapshot, BenchError> {
        match self.ask(&Order::Report)? {
            Answer::Report(snapshot) => Ok(snapshot),
            Answer::Ready(_) | Answer::Failed(_) => Err(BenchError::Process("answered something else")),
        }
    }

    fn ask(&mut self, order: &Order) -> Result<Answer, BenchError> {
        let mut line = serde_json::to_string(order).map_err(|error| BenchError::Relay(error.to_string()))?;
        line.push('\n');
        let orders = self.orders.as_mut().ok_or(BenchError::Process("was told to end"))?;
        orders.write_all(line.as_bytes()).map_err(|_| BenchError::Process("ended"))?;
        match self.answers.recv_timeout(ANSWER) {
            Ok(Ok(line)) => match serde_json::from_str(&line) {
                Ok(Answer::Failed(reason)) => Err(BenchError::Relay(reason)),
                Ok(answer) => Ok(answer),
                Err(_) => Err(BenchError::Process("says what nobody understands")),
            },
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => Err(BenchError::Process("ended")),
            Err(RecvTimeoutError::Timeout) => Err(BenchError::Process("does not answer")),
        }
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        // Its input ends, so it does.
        self.orders = None;
        let mut waited = Duration::ZERO;
        while waited < GOODBYE && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK);
            waited += LOOK;
        }
        // Both do nothing when it ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::load::{Carrier, Rate};

    fn order(order: &Order) -> String {
        serde_json::to_string(order).unwrap() + "\n"
    }

    fn answers(orders: &str) -> Vec<Answer> {
        let mut said = Vec::new();
        obey(orders.as_bytes(), &mut said).unwrap();
        String::from_utf8(said).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_relay_starts_reports_and_ends_with_its_input() {
        let none = Rate { hz: 0.0, bytes: 0 };
        let voice = Rate { hz: 50.0, bytes: 100 };
        let load = Load {
            participants: 3,
            rooms: 1,
            talking: 3,
            pose: none,
            voice,
            event: none,
            screen: none,
            carrier: Carrier::Quic,
        };
        let start = Order::Start { subject: Subject::Baseline, load };
        let said = answers(&(order(&start) + &order(&Order::Report)));
        let [Answer::Ready(invitation), Answer::Report(snapshot)] = &said[..] else { panic!("{said:?}") };
        assert_eq!(invitation.credentials.len(), 3);
        assert!(!invitation.certificate.is_empty() && !snapshot.usage.threads.is_empty());
    }

    #[test]
    fn nonsense_is_answered_with_the_reason() {
        let said = answers(&("nonsense\n".to_owned() + &order(&Order::Report)));
        assert!(matches!(&said[..], [Answer::Failed(_), Answer::Failed(_)]), "{said:?}");
    }
}

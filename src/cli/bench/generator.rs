// SPDX-License-Identifier: AGPL-3.0-or-later
//! One run: synthetic participants join a relay, send and receive, and a window in the middle of it is measured.
//!
//! Receiving is on the caller's runtime, which has one thread; sending is on another. Both show up in the generator's
//! own CPU time, because it saturates before a good relay does.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::{Endpoint, EndpointConfig, TokioRuntime};
use tokio::task::JoinSet;

use super::error::BenchError;
use super::listen::{self, Ear, Hearing};
use super::load::Load;
use super::process::{Invitation, Snapshot};
use super::socket;
use super::speak::{self, Mouth};
use super::subject::{self, Door, Joined, Subject};
use super::tally::{Arrivals, Sent};
use super::usage::Usage;
use crate::platform::clock::Clock;

/// Connections of one socket: few enough that its buffers hold their bursts.
const CONNECTIONS_OF_SOCKET: usize = 25;
/// Participants that join at the same time; the relay bounds how many of one address it lets.
const JOINING: usize = 16;
/// How long one may take to join.
const JOIN_PATIENCE: Duration = Duration::from_secs(15);
/// How long keys may take to reach everybody, after all have joined.
const KEYS_PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked whether they did.
const LOOK: Duration = Duration::from_millis(20);

/// What is run.
pub(super) struct Run<'a> {
    pub subject: Subject,
    pub load: &'a Load,
    pub invitation: &'a Invitation,
    /// The relay, or the bad network in front of it.
    pub address: SocketAddr,
    /// Before the window.
    pub warm_up: Duration,
    /// The window.
    pub duration: Duration,
    /// How long sending goes on after it, so that its last frames arrive under the same load.
    pub tail: Duration,
}

/// Reads what the relay used and counted so far. May block.
pub(super) trait Meter: Send + 'static {
    fn read(&mut self) -> Result<Snapshot, BenchError>;
}

/// What came of a run.
#[derive(Debug)]
pub(super) struct Outcome {
    pub sent: Sent,
    pub arrivals: Arrivals,
    /// What the relay used and counted in the window.
    pub relay: Snapshot,
    /// What this process used in the window.
    pub generator: Usage,
    /// How long the window was.
    pub window: Duration,
    /// Participants whose carrier ended before the run did.
    pub gone: usize,
}

/// Runs it.
pub(super) async fn drive<M: Meter>(run: &Run<'_>, meter: M) -> Result<(Outcome, M), BenchError> {
    let endpoints = endpoints(run)?;
    let people = join_all(run, &endpoints).await?;
    wait_for_keys(&people).await?;
    let clock = Clock::system();
    let hearing = Arc::new(Hearing::new(clock.clone(), run.subject.framing(), run.load, &people));
    let sessions: Vec<_> = people.iter().map(|person| person.session.clone()).collect();
    let mut tasks = JoinSet::new();
    let mouths: Vec<Mouth> = people
        .into_iter()
        .enumerate()
        .map(|(index, person)| settle(run.load, index, person, &hearing, &mut tasks))
        .collect();

    let stop = Arc::new(AtomicBool::new(false));
    let speaking = {
        let (load, hearing, stop) = (run.load.clone(), Arc::clone(&hearing), Arc::clone(&stop));
        std::thread::Builder::new()
            .name("speak".to_owned())
            .spawn(move || speak::run(&load, &mouths, &hearing, &stop))
            .map_err(BenchError::io("the sending thread"))?
    };
    let meter = Arc::new(Mutex::new(meter));
    let measured = measure(run, &clock, &hearing, &meter).await;
    let gone = sessions.iter().filter(|session| session.close_reason().is_some()).count();
    stop.store(true, Ordering::Relaxed);
    let spoken = tokio::task::spawn_blocking(move || speaking.join()).await;
    let sent = spoken.ok().and_then(Result::ok).ok_or(BenchError::Process("was driven by a thread that failed"))?;
    tasks.shutdown().await;
    sessions.iter().for_each(|session| session.close(0, b""));
    for endpoint in &endpoints {
        endpoint.close(0_u32.into(), b"");
    }
    let (relay, generator, window) = measured?;
    let meter = Arc::into_inner(meter).ok_or(BenchError::Process("is still asked"))?;
    let meter = meter.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((Outcome { sent, arrivals: hearing.arrivals(), relay, generator, window, gone }, meter))
}

/// Warms up, opens the window, and lets what was sent in it arrive.
async fn measure<M: Meter>(
    run: &Run<'_>,
    clock: &Clock,
    hearing: &Hearing,
    meter: &Arc<Mutex<M>>,
) -> Result<(Snapshot, Usage, Duration), BenchError> {
    let own = || Usage::of_this_process().map_err(BenchError::io("CPU time from /proc"));
    tokio::time::sleep(run.warm_up).await;
    let before = read(meter).await?;
    let (own_before, begun) = (own()?, clock.moment());
    hearing.times.begin(begun);
    tokio::time::sleep(run.duration).await;
    let ended = clock.moment();
    hearing.times.end(ended);
    let own_after = own()?;
    let after = read(meter).await?;
    tokio::time::sleep(run.tail).await;
    Ok((after.since(&before), own_after.since(&own_before), ended.since(begun)))
}

/// Asks the relay on another thread, so that nobody stops listening meanwhile.
async fn read<M: Meter>(meter: &Arc<Mutex<M>>) -> Result<Snapshot, BenchError> {
    let meter = Arc::clone(meter);
    let asked = tokio::task::spawn_blocking(move || meter.lock().unwrap_or_else(PoisonError::into_inner).read());
    asked.await.unwrap_or(Err(BenchError::Process("was asked by a thread that failed")))
}

/// Sockets for everybody.
fn endpoints(run: &Run<'_>) -> Result<Vec<Endpoint>, BenchError> {
    let one = |_| {
        let socket = socket::beside(run.address)?;
        Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))
    };
    let count = run.load.participants.div_ceil(CONNECTIONS_OF_SOCKET);
    (0..count).map(one).collect::<Result<_, _>>().map_err(BenchError::io("sockets for the participants"))
}

/// Lets everybody in, a few at a time, in their order.
async fn join_all(run: &Run<'_>, endpoints: &[Endpoint]) -> Result<Vec<Joined>, BenchError> {
    let mut people = Vec::with_capacity(run.load.participants);
    let arriving: Vec<_> = run.invitation.credentials.iter().zip(endpoints.iter().cycle()).enumerate().collect();
    for some in arriving.chunks(JOINING) {
        let mut joining = Vec::with_capacity(some.len());
        for (index, (credential, endpoint)) in some.iter().copied() {
            let (subject, credential) = (run.subject, credential.clone());
            let door = Door {
                endpoint: endpoint.clone(),
                address: run.address,
                certificate: run.invitation.certificate.clone(),
                carrier: run.load.carrier,
            };
            let join =
                async move { tokio::time::timeout(JOIN_PATIENCE, subject::join(subject, &door, &credential)).await };
            joining.push((index, tokio::spawn(join)));
        }
        for (participant, joined) in joining {
            let refused = |reason: String| BenchError::Join { participant, reason };
            let joined = joined.await.map_err(|error| refused(error.to_string()))?;
            let joined = joined.map_err(|_| refused(format!("not within {} s", JOIN_PATIENCE.as_secs())))?;
            people.push(joined.map_err(refused)?);
        }
    }
    Ok(people)
}

async fn wait_for_keys(people: &[Joined]) -> Result<(), BenchError> {
    let mut waited = Duration::ZERO;
    loop {
        let waiting = people.iter().filter(|person| !person.keys.ready()).count();
        if waiting == 0 {
            return Ok(());
        }
        if waited >= KEYS_PATIENCE {
            return Err(BenchError::NoKeys { waiting, after: KEYS_PATIENCE });
        }
        tokio::time::sleep(LOOK).await;
        waited += LOOK;
    }
}

/// Starts listening for a participant, and gives where it speaks.
fn settle(load: &Load, index: usize, person: Joined, hearing: &Arc<Hearing>, tasks: &mut JoinSet<()>) -> Mouth {
    let Joined { session, keys, events, .. } = person;
    let room = load.room_of(index);
    tasks.spawn(listen::datagrams(session.clone(), Ear::new(hearing, room, &keys)));
    let events = events.map(|(send, receive)| {
        let (queue, waiting) = speak::queue();
        tasks.spawn(speak::events(send, waiting));
        tasks.spawn(listen::events(receive, Ear::new(hearing, room, &keys)));
        queue
    });
    let mut screen = None;
    if load.screen.hz > 0.0 {
        tasks.spawn(listen::screens(session.clone(), Arc::clone(hearing), room, Arc::clone(&keys)));
        if index < load.rooms {
            let (queue, waiting) = speak::queue();
            tasks.spawn(speak::screen(session.clone(), waiting));
            screen = Some(queue);
        }
    }
    Mouth { session, keys, events, screen }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::load::{Carrier, Rate};
    use crate::cli::bench::subject::Running;

    /// A relay in this process.
    struct Here(Box<dyn Running>);

    impl Meter for Here {
        fn read(&mut self) -> Result<Snapshot, BenchError> {
            Ok(Snapshot { usage: Usage::of_this_process().unwrap(), facts: self.0.facts() })
        }
    }

    #[tokio::test]
    async fn everything_that_a_few_people_send_arrives_whole() {
        let none = Rate { hz: 0.0, bytes: 0 };
        let load = Load {
            participants: 5,
            rooms: 2,
            talking: 3,
            pose: Rate { hz: 60.0, bytes: 110 },
            voice: Rate { hz: 50.0, bytes: 100 },
            event: none,
            screen: none,
            carrier: Carrier::Quic,
        };
        let socket = socket::on_loopback().unwrap();
        let address = socket.local_addr().unwrap();
        let started = subject::start(Subject::Baseline, socket, &load).unwrap();
        let (certificate, credentials) = (started.certificate, started.credentials);
        let invitation = Invitation { address, certificate, credentials, api: None };
        let (warm_up, duration) = (Duration::from_millis(200), Duration::from_secs(1));
        let tail = Duration::from_secs(2);
        let (subject, load, invitation) = (Subject::Baseline, &load, &invitation);
        let run = Run { subject, load, invitation, address, warm_up, duration, tail };
        let (outcome, meter) = drive(&run, Here(started.running)).await.unwrap();
        meter.0.stop();

        // Rooms of three and two; the first three talk.
        let [pose, voice, ..] = outcome.sent.frames;
        assert!(pose > 0 && voice > 0);
        assert!(outcome.sent.expected.iter().sum::<u64>() > pose + voice);
        for (delivered, expected) in outcome.arrivals.delivered.into_iter().zip(outcome.sent.expected) {
            // A busy machine may lose some datagrams; nothing may come twice.
            assert!(delivered <= expected && delivered * 10 >= expected * 9, "{delivered} of {expected}");
        }
        assert_eq!((outcome.arrivals.unreadable, outcome.arrivals.damaged, outcome.gone), (0, 0, 0));
        assert_eq!(outcome.sent.unsent, 0);
        assert!(outcome.arrivals.opened > 0 && outcome.arrivals.latency.max() > Duration::ZERO);
        assert!(outcome.relay.usage.cpu() > Duration::ZERO && outcome.window >= duration);
    }
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! Whether the appliance goes on. One task looks at every worker again and again; the service manager's watchdog, the
//! health page, the metrics and the doctor say what it saw last.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::api::services::Services;
use crate::api::types::doctor::CheckState;
use crate::platform::store::error::StoreError;
use crate::platform::sys;

/// How long the relay's thread may stand still, which goes round once a second at least.
const STANDSTILL: Duration = Duration::from_secs(10);
/// A disk may stand still for a while, and meetings go on meanwhile: a restart would end them and not mend the disk.
const STANDSTILL_OF_STORE: Duration = Duration::from_secs(120);
/// Hashing is the work of seconds at the highest costs.
const STANDSTILL_OF_HASHING: Duration = Duration::from_secs(60);
/// Less than this, in bytes, and commits may soon fail.
const DISK_LOW: u64 = 256 << 20;
/// How long before its end a certificate should have been renewed.
const RENEWED_BEFORE: Duration = Duration::from_secs(2 * 86_400);

/// What was seen of one thing, last.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// What.
    pub name: &'static str,
    /// How it was.
    pub state: CheckState,
    /// What that means.
    pub says: &'static str,
    /// The way out when it is not as it should be.
    pub way_out: &'static str,
    /// The appliance cannot go on like this: the watchdog is not fed.
    pub is_fatal: bool,
}

/// What was seen last.
#[derive(Debug, Default)]
pub struct Health(Mutex<Vec<Seen>>);

impl Health {
    /// Every check of the last look.
    pub fn checks(&self) -> Vec<Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, seen: Vec<Seen>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}

/// Something that goes on: since when it stands where it stands.
#[derive(Debug)]
struct Pulse {
    at: u64,
    since: Instant,
}

impl Pulse {
    const fn new(now: Instant) -> Self {
        Self { at: u64::MAX, since: now }
    }

    /// Whether it went on within `limit`.
    fn goes_on(&mut self, at: u64, now: Instant, limit: Duration) -> bool {
        if at != self.at {
            *self = Self { at, since: now };
        }
        now.duration_since(self.since) < limit
    }
}

/// Looks at all workers.
#[derive(Debug)]
pub struct Watch {
    looked: Instant,
    relay: Pulse,
    hashing: Pulse,
    store: Pulse,
    answers: u64,
}

impl Watch {
    /// Begins to look.
    pub fn begin(app: &Services) -> Self {
        let now = app.clock.instant();
        Self { looked: now, relay: Pulse::new(now), hashing: Pulse::new(now), store: Pulse::new(now), answers: 0 }
    }

    /// Looks once. Says whether the appliance can go on.
    pub async fn look(&mut self, app: &Services) -> bool {
        let now = app.clock.instant();
        if now.duration_since(self.looked) >= STANDSTILL {
            // The whole process stood still, or the machine: nobody else could move either.
            *self = Self { answers: self.answers, ..Self::begin(app) };
        }
        self.looked = now;
        let seen = vec![self.relay(app), self.store(app).await, self.hashing(app), disk(app), certificates(app)];
        let goes_on = !seen.iter().any(|seen| seen.is_fatal);
        let before = app.health.checks();
        for seen in &seen {
            let was = before.iter().find(|was| was.name == seen.name).map_or(CheckState::Ok, |was| was.state);
            report(seen, was);
        }
        app.health.set(seen);
        goes_on
    }

    fn relay(&mut self, app: &Services) -> Seen {
        let goes_on = self.relay.goes_on(app.hub.turns(), app.clock.instant(), STANDSTILL);
        worker("relay", goes_on, "meetings are ticked", "the relay's thread stands still")
    }

    fn hashing(&mut self, app: &Services) -> Seen {
        // Without work it need not move.
        let at = if app.hasher.under_way() == 0 { app.hub.turns() } else { app.hasher.done() };
        let goes_on = self.hashing.goes_on(at, app.clock.instant(), STANDSTILL_OF_HASHING);
        worker("hashing", goes_on, "passwords are hashed", "the hashing threads stand still")
    }

    /// An empty transaction on the writer's thread, or a look where nothing may be written.
    async fn store(&mut self, app: &Services) -> Seen {
        let system = app.store.system();
        let write = async {
            if system.state() == "open" { system.write(|_| Ok(())).await } else { system.read(|_| Ok(())).await }
        };
        let answer = tokio::time::timeout(STANDSTILL / 2, write).await;
        // An answer that says no is an answer: a restart would not help a full disk.
        if !matches!(answer, Err(_) | Ok(Err(StoreError::Busy { .. }))) {
            self.answers += 1;
        }
        let goes_on = self.store.goes_on(self.answers, app.clock.instant(), STANDSTILL_OF_STORE);
        let has_answered = answer.is_ok();
        let refusal = match answer {
            Ok(Err(error)) => Some(error),
            // An empty transaction needs no room, so it says nothing of a disk that has refused a real one.
            Ok(Ok(())) if app.store.disk_refused() => app.store.try_disk().await.err(),
            Ok(Ok(())) | Err(_) => None,
        };
        match refusal {
            Some(error) if goes_on => Seen {
                name: "store",
                state: CheckState::Fail,
                says: match error {
                    StoreError::DiskFull { .. } => "changes are refused: the disk of the data is full",
                    StoreError::DiskReadOnly { .. } => "changes are refused: the disk of the data is read-only",
                    _ => "system.db cannot be written",
                },
                way_out: match error {
                    StoreError::DiskFull { .. } => "free space: it goes on by itself, and nothing acknowledged is lost",
                    StoreError::DiskReadOnly { .. } => {
                        "the system log says why; make it writable again: nothing acknowledged is lost"
                    }
                    _ => "the log says why; `conclave status` shows the state of the files",
                },
                is_fatal: false,
            },
            _ if goes_on && system.state() != "open" => Seen {
                name: "store",
                state: CheckState::Warn,
                says: "system.db is read-only, because it does not agree with the anchor",
                way_out: "put the right file back, or confirm with `conclave workspace accept-rollback system`",
                is_fatal: false,
            },
            _ if goes_on && !has_answered => Seen {
                name: "store",
                state: CheckState::Warn,
                says: "system.db takes longer than seconds to answer",
                way_out: "look at the disk of the data and at what else writes to it",
                is_fatal: false,
            },
            _ => worker("store", goes_on, "system.db answers", "the store does not answer"),
        }
    }
}

/// Says in the log what changed.
fn report(seen: &Seen, was: CheckState) {
    let Seen { name, state, says, way_out, .. } = *seen;
    match state {
        _ if state == was => {}
        CheckState::Ok => tracing::info!(check.name = name, check.says = says, "a check is well again"),
        CheckState::Warn => {
            tracing::warn!(check.name = name, check.says = says, check.way_out = way_out, "a check warns")
        }
        CheckState::Fail => {
            tracing::error!(check.name = name, check.says = says, check.way_out = way_out, "a check fails")
        }
    }
}

const fn worker(name: &'static str, goes_on: bool, well: &'static str, ill: &'static str) -> Seen {
    if goes_on {
        return ok(name, well);
    }
    let way_out = "the service manager restarts the appliance; without one, restart it, and report this";
    Seen { name, state: CheckState::Fail, says: ill, way_out, is_fatal: true }
}

const fn ok(name: &'static str, says: &'static str) -> Seen {
    Seen { name, state: CheckState::Ok, says, way_out: "", is_fatal: false }
}

fn disk(app: &Services) -> Seen {
    match sys::disk(app.store.layout().root()) {
        Ok((free, _)) if free < DISK_LOW => Seen {
            name: "disk",
            state: if free < DISK_LOW / 16 { CheckState::Fail } else { CheckState::Warn },
            says: "the disk of the data is nearly full",
            way_out: "free space, or move the data to a larger disk: a full one refuses every change",
            is_fatal: false,
        },
        Ok(_) => ok("disk", "there is room for the data"),
        Err(_) => Seen {
            name: "disk",
            state: CheckState::Fail,
            says: "the file system of the data cannot be looked at",
            way_out: "look at the disk and the system log",
            is_fatal: false,
        },
    }
}

fn certificates(app: &Services) -> Seen {
    let (certificates, now) = (app.trust.certificates(), app.clock.now());
    let leaves = [Some(certificates.tcp()), certificates.udp()];
    let validities = || leaves.iter().flatten().map(|leaf| leaf.validity());
    if validities().any(|validity| validity.not_before > now || validity.not_after <= now) {
        return Seen {
            name: "certificates",
            state: CheckState::Fail,
            says: "a certificate does not hold at this time",
            way_out: "look at the clock of this host (`timedatectl`), then restart the appliance",
            is_fatal: false,
        };
    }
    if validities().any(|validity| validity.not_after - RENEWED_BEFORE <= now) {
        return Seen {
            name: "certificates",
            state: CheckState::Warn,
            says: "a certificate ends soon and was not renewed",
            way_out: "the log says why it could not be renewed",
            is_fatal: false,
        };
    }
    ok("certificates", "every certificate holds")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::clock::Clock;

    #[test]
    fn a_pulse_stands_still_after_its_limit_and_goes_on_when_it_moves() {
        let begin = Clock::system().instant();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let limit = Duration::from_secs(10);
        let mut pulse = Pulse::new(begin);
        assert!(pulse.goes_on(1, after(0), limit));
        assert!(pulse.goes_on(1, after(9), limit));
        assert!(!pulse.goes_on(1, after(10), limit));
        assert!(pulse.goes_on(2, after(11), limit));
        assert!(!pulse.goes_on(2, after(30), limit));
    }
}

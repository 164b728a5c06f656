// SPDX-License-Identifier: AGPL-3.0-or-later
//! A storm of sign-ins: more clients than can be hashed for, each with TLS connections and a sealed credential of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls_pki_types::CertificateDer;

use super::api::Address;
use super::error::BenchError;
use crate::client::ClientError;
use crate::client::account::{Account, Credential};
use crate::client::https::Https;
use crate::client::trust::Trust;
use crate::platform::clock::Clock;
use crate::values::secret::SecretText;

/// Clients at once: more than are hashed for and wait.
const CLIENTS: usize = 48;
/// How long one waits that was told to come back.
const PAUSE: Duration = Duration::from_millis(250);

/// What was answered.
#[derive(Debug, Default)]
struct Counts {
    hashed: AtomicU64,
    busy: AtomicU64,
    failed: AtomicU64,
}

/// A storm under way, on a thread of its own.
pub(super) struct Storm {
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    clock: Clock,
}

/// What became of a storm.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Stormed {
    /// Sign-ins that were hashed and answered, a second.
    pub answered_per_second: f64,
    /// Sign-ins that were told to come back later, a second.
    pub busy_per_second: f64,
    /// Sign-ins that failed in another way, a second.
    pub failed_per_second: f64,
}

impl Storm {
    /// Begins it.
    pub fn begin(address: &Address) -> Result<Self, BenchError> {
        let failed = |error: ClientError| BenchError::Relay(format!("no sign-in is possible: {error}"));
        let trust = Trust::from_certificate(CertificateDer::from(address.certificate.clone())).map_err(failed)?;
        let server = format!("https://localhost:{}", address.https.port()).parse().map_err(failed)?;
        let https = Https::new(server, vec![address.https], &trust).map_err(failed)?;
        let (counts, stop) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(BenchError::io("the runtime of the storm"))?;
        let (counted, stopped) = (Arc::clone(&counts), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("storm".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let clients = (0..CLIENTS).map(|client| {
                        let (https, counts, stop) = (https.clone(), Arc::clone(&counted), Arc::clone(&stopped));
                        tokio::spawn(async move { sign_in_again_and_again(client, https, &counts, &stop).await })
                    });
                    for client in clients.collect::<Vec<_>>() {
                        // A panic was printed where it happened.
                        drop(client.await);
                    }
                });
            })
            .map_err(BenchError::io("the thread of the storm"))?;
        Ok(Self { counts, stop, thread, clock: Clock::system() })
    }

    /// What is answered in a window that `during` lasts.
    pub async fn count<T>(&self, during: impl Future<Output = T>) -> (T, Stormed) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let now = || [&self.counts.hashed, &self.counts.busy, &self.counts.failed].map(read);
        let (before, begun) = (now(), self.clock.moment());
        let value = during.await;
        let (after, took) = (now(), self.clock.moment().since(begun).as_secs_f64().max(f64::MIN_POSITIVE));
        let [hashed, busy, failed] = std::array::from_fn(|place| {
            after.get(place).copied().unwrap_or(0).saturating_sub(before.get(place).copied().unwrap_or(0))
        });
        let rate = |count: u64| count as f64 / took;
        let stormed =
            Stormed { answered_per_second: rate(hashed), busy_per_second: rate(busy), failed_per_second: rate(failed) };
        (value, stormed)
    }

    /// Ends it.
    pub fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.join());
    }
}

async fn sign_in_again_and_again(client: usize, https: Https, counts: &Counts, stop: &AtomicBool) {
    for round in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // Names of their own: nobody waits for the wrong tries of another.
        let credential = Credential {
            workspace: "nowhere".to_owned(),
            user_name: format!("somebody.{client}.{round}"),
            password: SecretText::new("not a password of anybody".to_owned()),
        };
        let counted = match Account::sign_in(https.clone(), Clock::system(), &credential, "storm").await {
            Err(ClientError::Refused { code, .. }) if code == "sign-in-refused" => &counts.hashed,
            Err(ClientError::Refused { code, .. }) if code == "busy" => {
                tokio::time::sleep(PAUSE).await;
                &counts.busy
            }
            // On a slow machine a place in the queue outlasts a client's patience.
            Ok(_) | Err(_) => {
                tokio::time::sleep(PAUSE).await;
                &counts.failed
            }
        };
        counted.fetch_add(1, Ordering::Relaxed);
    }
}

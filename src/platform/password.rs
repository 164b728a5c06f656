// SPDX-License-Identifier: AGPL-3.0-or-later
//! Passwords: strength (zxcvbn) and Argon2id on its own threads, behind a bounded queue.
//!
//! A run takes 64 MiB, so there are as many threads as the machine can feed and 32 places to wait; whoever comes
//! after that is told when to come back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use rand_core::{CryptoRng, Rng};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::platform::clock::Clock;
use crate::platform::entropy;
use crate::values::secret::SecretText;

/// Sign-ins and password changes that may wait for a thread.
const QUEUE: usize = 32;
/// Shortest password, in characters (NIST SP 800-63B-4 §3.1.1.2 asks for 15 without, 8 with a second factor).
const SHORTEST: usize = 12;
/// Longest, in bytes: far beyond any passphrase, small enough not to be a burden.
const LONGEST: usize = 1_024;

/// What one Argon2id run costs (RFC 9106 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    /// KiB of memory.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Cost {
    /// The default: 64 MiB, 3 passes, 1 lane (the second recommendation of RFC 9106 §4 with one lane).
    pub const DEFAULT: Self = Self { memory_kib: 65_536, passes: 3 };
    /// The least that a configuration may ask for (OWASP's minimum).
    pub const FLOOR: Self = Self { memory_kib: 19_456, passes: 2 };

    fn argon2(self) -> Result<Argon2<'static>, PasswordError> {
        let params = Params::new(self.memory_kib, self.passes, 1, None).map_err(|_| PasswordError::Unusable)?;
        Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }
}

/// Why a password was not taken or not checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too few characters.
    #[error("the password is too short: use at least {SHORTEST} characters; four unrelated words are a good start")]
    TooShort,
    /// Too many bytes.
    #[error("the password is too long: use at most {LONGEST} bytes")]
    TooLong,
    /// A character that keyboards produce by accident and forms drop.
    #[error("the password contains a control character: use visible characters and spaces")]
    Control,
    /// Easy to guess.
    #[error("the password is easy to guess: {0}")]
    Guessable(String),
    /// All threads and all waiting places are taken.
    #[error("the appliance is busy with other sign-ins")]
    Busy,
    /// A stored hash or a configured cost is not usable.
    #[error("the stored password hash is not usable: set a new password")]
    Unusable,
}

/// Checks a new password. `hints` are words that must not carry it: names of the person and the workspace.
pub fn check_strength(password: &SecretText, hints: &[&str]) -> Result<(), PasswordError> {
    let text = password.expose();
    if text.len() > LONGEST {
        return Err(PasswordError::TooLong);
    }
    if text.chars().count() < SHORTEST {
        return Err(PasswordError::TooShort);
    }
    if text.chars().any(char::is_control) {
        return Err(PasswordError::Control);
    }
    // zxcvbn is quadratic in length, and what makes a password weak shows in its beginning.
    let beginning: String = text.chars().take(100).collect();
    let estimate = zxcvbn::zxcvbn(&beginning, hints);
    if estimate.score() >= zxcvbn::Score::Three {
        return Ok(());
    }
    let advice = estimate.feedback().and_then(|feedback| {
        let warning = feedback.warning().map(|warning| warning.to_string());
        warning.or_else(|| feedback.suggestions().first().map(ToString::to_string))
    });
    Err(PasswordError::Guessable(advice.unwrap_or_else(|| "Use a few words, avoid common phrases.".to_owned())))
}

type Task = Box<dyn FnOnce() + Send>;

/// The Argon2id threads.
#[derive(Clone)]
pub struct Hasher {
    queue: SyncSender<Task>,
    places: Arc<Semaphore>,
    /// How many there are.
    most: usize,
    done: Arc<AtomicU64>,
    cost: Cost,
    decoy: Arc<str>,
    decoy_time: Duration,
}

/// A place at the hashing threads, taken before anything is spent on a request.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held, and given back when it is dropped")] OwnedSemaphorePermit);

impl Hasher {
    /// Starts `threads` threads. `cost` is raised to the floor.
    pub fn start(threads: usize, cost: Cost, clock: &Clock) -> Result<Self, PasswordError> {
        let cost = Cost {
            memory_kib: cost.memory_kib.max(Cost::FLOOR.memory_kib),
            passes: cost.passes.max(Cost::FLOOR.passes),
        };
        let (queue, tasks) = mpsc::sync_channel::<Task>(QUEUE);
        let tasks = Arc::new(Mutex::new(tasks));
        let threads = threads.max(1);
        let done = Arc::new(AtomicU64::new(0));
        for _ in 0..threads {
            let (tasks, done) = (Arc::clone(&tasks), Arc::clone(&done));
            let run = move || {
                loop {
                    let next = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    match next {
                        Ok(task) => {
                            task();
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(_) => return,
                    }
                }
            };
            thread::Builder::new().name("argon2".to_owned()).spawn(run).map_err(|_| PasswordError::Unusable)?;
        }
        let started = clock.instant();
        let decoy = hash(&random_password(&mut entropy::system()), cost)?.into();
        let decoy_time = clock.instant().duration_since(started);
        let most = threads + QUEUE;
        let places = Arc::new(Semaphore::new(most));
        Ok(Self { queue, places, most, done, cost, decoy, decoy_time })
    }

    /// Takes a place for one hash, or says that all are taken.
    pub fn reserve(&self) -> Result<Place, PasswordError> {
        Arc::clone(&self.places).try_acquire_owned().map(Place).map_err(|_| PasswordError::Busy)
    }

    /// How many hashes are under way or wait.
    pub fn under_way(&self) -> usize {
        self.most.saturating_sub(self.places.available_permits())
    }

    /// How many were made since the start.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// How long from `elapsed` on a refused sign-in waits with its answer: to the next multiple of twice the time of a
    /// decoy. So neither a hash of an older, lower cost nor a file that had to be opened shows in the time.
    pub fn until_refusal(&self, elapsed: Duration) -> Duration {
        let step = (self.decoy_time * 2).max(Duration::from_millis(1));
        let steps = elapsed.as_nanos() / step.as_nanos() + 1;
        (step * u32::try_from(steps).unwrap_or(u32::MAX)).saturating_sub(elapsed)
    }

    /// One thread for each core but one, at least one.
    pub fn threads_for_this_machine() -> usize {
        thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1)).max(1)
    }

    /// The hash of a password nobody knows, with the cost of real ones.
    pub fn decoy(&self) -> &str {
        &self.decoy
    }

    /// Hashes a new password; the answer is a PHC string.
    pub async fn hash(&self, password: SecretText) -> Result<String, PasswordError> {
        let (place, cost) = (self.reserve()?, self.cost);
        self.run(place, move || hash(&password, cost)).await?
    }

    /// Whether `password` fits `phc`.
    pub async fn verify(&self, place: Place, password: SecretText, phc: String) -> Result<bool, PasswordError> {
        self.run(place, move || verify(&password, &phc)).await?
    }

    /// Whether a stored hash is cheaper than what is configured now, so that it should be replaced at this sign-in.
    pub fn is_outdated(&self, phc: &str) -> bool {
        let wanted = format!("$argon2id$v=19$m={},t={},p=1$", self.cost.memory_kib, self.cost.passes);
        !phc.starts_with(&wanted)
    }

    async fn run<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let (answer, answered) = oneshot::channel();
        let task = Box::new(move || {
            // Who hung up while waiting costs nothing more.
            if !answer.is_closed() {
                drop(answer.send(work()));
            }
            drop(place);
        });
        self.queue.try_send(task).map_err(|_| PasswordError::Busy)?;
        answered.await.map_err(|_| PasswordError::Busy)
    }
}

/// The bytes that are hashed: UTF-8 in normal form C, so that a password does not depend on the keyboard (RFC 8265 §4.2).
fn bytes(password: &SecretText) -> Zeroizing<String> {
    Zeroizing::new(password.expose().nfc().collect())
}

fn hash(password: &SecretText, cost: Cost) -> Result<String, PasswordError> {
    let mut salt = [0; 16];
    entropy::system().fill_bytes(&mut salt);
    let phc = cost.argon2()?.hash_password_with_salt(bytes(password).as_bytes(), &salt);
    phc.map(|phc| phc.to_string()).map_err(|_| PasswordError::Unusable)
}

fn verify(password: &SecretText, phc: &str) -> Result<bool, PasswordError> {
    let parsed = PasswordHash::new(phc).map_err(|_| PasswordError::Unusable)?;
    Ok(Argon2::default().verify_password(bytes(password).as_bytes(), &parsed).is_ok())
}

/// A password for somebody to be told once: 24 characters of an alphabet without look-alikes (120 bits), in groups.
pub fn random_password(rng: &mut impl CryptoRng) -> SecretText {
    const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789A";
    let mut bytes = [0; 24];
    rng.fill_bytes(&mut bytes);
    let mut text = String::with_capacity(29);
    for (position, byte) in bytes.iter().enumerate() {
        if position > 0 && position % 6 == 0 {
            text.push('-');
        }
        text.push(char::from(ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'a')));
    }
    SecretText::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretText {
        SecretText::new(text.to_owned())
    }

    #[test]
    fn weak_passwords_are_refused_with_advice() {
        let check = |text: &str, expected: &str| {
            let error = check_strength(&secret(text), &["lovelace", "demo"]).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("short", "too short");
        check("password1234", "easy to guess");
        check("aaaaaaaaaaaaaaaa", "easy to guess");
        check("lovelacelovelace", "easy to guess");
        check("quiet\u{0}harbour lantern", "control character");
        check(&"é".repeat(600), "too long");
        assert_eq!(check_strength(&secret("quiet harbour lantern moss"), &[]), Ok(()));
        assert_eq!(check_strength(&random_password(&mut entropy::system()), &[]), Ok(()));
    }

    #[test]
    fn refusals_come_at_multiples_of_two_decoys_whatever_was_computed() {
        let mut hasher = Hasher::start(1, Cost::FLOOR, &Clock::system()).unwrap();
        hasher.decoy_time = Duration::from_millis(50);
        let answered_at =
            |elapsed: u64| Duration::from_millis(elapsed) + hasher.until_refusal(Duration::from_millis(elapsed));
        for elapsed in [0, 10, 55, 99] {
            assert_eq!(answered_at(elapsed), Duration::from_millis(100), "{elapsed}");
        }
        assert_eq!(answered_at(100), Duration::from_millis(200));
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let hasher = Hasher::start(2, Cost::FLOOR, &Clock::system()).unwrap();
        let taken: Vec<_> = (0..2 + QUEUE).map(|_| hasher.reserve().unwrap()).collect();
        assert!(matches!(hasher.reserve(), Err(PasswordError::Busy)));
        drop(taken);
        assert!(hasher.reserve().is_ok());
    }

    #[test]
    fn hashes_are_argon2id_at_the_asked_cost() {
        let phc = hash(&secret("quiet harbour"), Cost::FLOOR).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert_eq!(verify(&secret("quiet harbour"), &phc), Ok(true));
        assert_eq!(verify(&secret("quiet harbor"), &phc), Ok(false));
        let typed = hash(&secret("cafe\u{301} au lait"), Cost::FLOOR).unwrap();
        assert_eq!(verify(&secret("caf\u{e9} au lait"), &typed), Ok(true));
        assert_eq!(verify(&secret("x"), "no hash"), Err(PasswordError::Unusable));
    }
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! The threads that hold a file open for writing: whoever ends the process waits for them.
//!
//! A process that ends while one of them closes its file leaves a write-ahead log behind. One that ends while the
//! thread itself comes to its end, its file closed, may die in the exit handlers of the cryptographic library, which
//! also frees what it keeps for each thread. So a thread is waited for until it is no more.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Longest wait for files to be closed; each has at most a write-ahead log to move into the file.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Threads {
    /// Those that still hold a file.
    holding: usize,
    /// Those that nobody has waited for.
    handles: Vec<JoinHandle<()>>,
    /// Somebody waited for long enough.
    given_up: bool,
}

#[derive(Debug, Default)]
struct Shared {
    threads: Mutex<Threads>,
    fewer: Condvar,
}

impl Shared {
    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All writer threads. Whoever holds one of these waits for them when dropping it.
#[derive(Debug, Default)]
pub struct Writers(Arc<Shared>);

/// Starts writer threads. Waits for none.
#[derive(Debug, Clone)]
pub struct Starter(Arc<Shared>);

/// A thread has this until its file is closed.
struct Holding(Arc<Shared>);

impl Writers {
    /// For those who start writer threads.
    pub fn starter(&self) -> Starter {
        Starter(Arc::clone(&self.0))
    }

    /// For somebody else who waits.
    pub fn another(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Starter {
    /// Starts a thread that runs `work`, which closes its file before it returns.
    pub fn start(&self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let holding = Holding::new(&self.0);
        let handle = thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
            work();
            drop(holding);
        })?;
        let mut threads = self.0.threads();
        threads.handles.extract_if(.., |handle| handle.is_finished()).for_each(join);
        threads.handles.push(handle);
        Ok(())
    }
}

impl Holding {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.threads().holding += 1;
        Self(Arc::clone(shared))
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.threads().holding -= 1;
        self.0.fewer.notify_all();
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        let threads = self.0.threads();
        // A writer thread that is the last to hold the store does not wait for itself.
        if threads.handles.iter().any(|handle| handle.thread().id() == thread::current().id()) {
            return;
        }
        let waits = |threads: &mut Threads| threads.holding > 0 && !threads.given_up;
        let waited = self.0.fewer.wait_timeout_while(threads, CLOSED_WITHIN, waits);
        let (mut threads, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if threads.holding == 0 {
            // None of them takes this lock any more, and whoever else waits does so until they are no more.
            threads.handles.drain(..).for_each(join);
        } else if waited.timed_out() && !threads.given_up {
            threads.given_up = true;
            tracing::error!(store.files = threads.holding, "files are still open; the next start recovers them");
        }
    }
}

/// Waits until a thread is no more. One that panicked has said so.
fn join(handle: JoinHandle<()>) {
    drop(handle.join());
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    /// What a library keeps for each thread, and takes its time to free.
    struct Slow(Arc<AtomicUsize>);

    impl Drop for Slow {
        fn drop(&mut self) {
            thread::sleep(Duration::from_millis(100));
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    thread_local! {
        static KEPT: RefCell<Option<Slow>> = const { RefCell::new(None) };
    }

    #[test]
    fn whoever_waits_does_so_until_the_threads_are_no_more() {
        let (writers, gone) = (Writers::default(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..3 {
            let slow = Slow(Arc::clone(&gone));
            writers.starter().start(|| KEPT.with(|kept| *kept.borrow_mut() = Some(slow))).unwrap();
        }
        let wait = |writers: Writers| {
            drop(writers);
            gone.load(Ordering::SeqCst)
        };
        thread::scope(|scope| {
            let others = [writers.another(), writers.another()].map(|one| scope.spawn(|| wait(one)));
            assert_eq!(wait(writers), 3);
            others.into_iter().for_each(|other| assert_eq!(other.join().unwrap(), 3));
        });
    }

    #[test]
    fn a_thread_does_not_wait_for_itself() {
        let writers = Writers::default();
        let last = writers.another();
        let (go, told) = mpsc::channel::<()>();
        let work = move || {
            told.recv().unwrap();
            drop(last);
        };
        writers.starter().start(work).unwrap();
        go.send(()).unwrap();
        let shared = Arc::clone(&writers.0);
        drop(writers);
        assert!(shared.threads().handles.is_empty() && !shared.threads().given_up);
    }
}

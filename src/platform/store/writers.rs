// SPDX-License-Identifier: AGPL-3.0-or-later
//! The writer threads that still hold a file: an appliance that stops waits for them.
//!
//! A process that ends while one of them closes its file leaves a write-ahead log behind, and dies in the exit
//! handlers of the cryptographic library under that thread's feet.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Longest wait for files to be closed; each has at most a write-ahead log to move into the file.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Count {
    running: Mutex<usize>,
    fewer: Condvar,
}

/// How many writer threads there are. The one who made it waits when dropped; the copies do not.
#[derive(Debug, Default)]
pub struct Writers(Arc<Count>);

/// Counts writer threads in.
#[derive(Debug, Clone)]
pub struct Register(Arc<Count>);

/// A writer thread holds this until its file is closed.
#[derive(Debug)]
pub struct Running(Arc<Count>);

impl Writers {
    /// For those who start writer threads.
    pub fn register(&self) -> Register {
        Register(Arc::clone(&self.0))
    }
}

impl Register {
    /// One more.
    pub fn enter(&self) -> Running {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Running(Arc::clone(&self.0))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.fewer.notify_all();
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.fewer.wait_timeout_while(running, CLOSED_WITHIN, |running| *running > 0);
        let (running, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *running > 0 {
            tracing::error!(store.files = *running, "files are still open; the next start recovers them");
        }
    }
}

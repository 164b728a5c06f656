// SPDX-License-Identifier: AGPL-3.0-or-later
//! Probes for the tests. In a shipped binary they do nothing.
//!
//! A tap writes every byte of a meeting that QUIC hands to us and that we hand to QUIC, as it is inside the encryption of
//! the way, to two files that a test searches; and each runtime can be asked how many tasks live on it.

#[cfg(feature = "test-hooks")]
mod probes {
    use std::fs::File;
    use std::io::{Result, Write};
    use std::path::Path;
    use std::sync::{Mutex, OnceLock, PoisonError};

    use tokio::runtime::Handle;

    static TAP: OnceLock<[File; 2]> = OnceLock::new();
    static RUNTIMES: Mutex<Vec<Handle>> = Mutex::new(Vec::new());

    /// Writes from now on to `in` and `out` in this directory; once only.
    pub fn open_tap(directory: &Path) -> Result<()> {
        let files = [File::create(directory.join("in"))?, File::create(directory.join("out"))?];
        TAP.set(files).map_err(|_| std::io::ErrorKind::AlreadyExists.into())
    }

    /// QUIC handed this to us.
    pub fn arrived(bytes: &[u8]) {
        if let Some([arrived, _]) = TAP.get() {
            write(arrived, bytes);
        }
    }

    /// This is handed to QUIC.
    pub fn leaves(bytes: &[u8]) {
        if let Some([_, leaving]) = TAP.get() {
            write(leaving, bytes);
        }
    }

    fn write(mut file: &File, bytes: &[u8]) {
        if let Err(error) = file.write_all(bytes) {
            tracing::error!(error = %error, "the tap cannot be written");
        }
    }

    /// This runtime is to be asked.
    pub fn runs_here() {
        RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner).push(Handle::current());
    }

    /// Tasks that are not done, on all runtimes.
    pub fn tasks() -> usize {
        let runtimes = RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner);
        runtimes.iter().map(|runtime| runtime.metrics().num_alive_tasks()).sum()
    }
}

#[cfg(not(feature = "test-hooks"))]
mod probes {
    /// QUIC handed this to us.
    #[inline]
    pub const fn arrived(_: &[u8]) {}

    /// This is handed to QUIC.
    #[inline]
    pub const fn leaves(_: &[u8]) {}

    /// This runtime is to be asked.
    #[inline]
    pub const fn runs_here() {}
}

pub use probes::*;

// SPDX-License-Identifier: AGPL-3.0-or-later
//! The `conclave` command.

use std::process::ExitCode;

/// Not the one of musl, which is slow and holds one lock for all threads.
#[cfg(not(feature = "bench-alloc"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The system's allocator, counted.
#[cfg(feature = "bench-alloc")]
#[global_allocator]
static COUNTED: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    conclave::cli::main()
}

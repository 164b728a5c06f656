// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a process used: CPU time of its threads, allocations; and what machine this is.
//!
//! CPU time is the first number of `/proc/self/task/*/schedstat`, nanoseconds on a CPU. `utime` and `stime` count ticks
//! and misstate low loads.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a process used since it began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Nanoseconds on a CPU, by thread. Threads that ended are left out: measure what has all its threads.
    pub threads: BTreeMap<u32, u64>,
    /// Allocations and reallocations; `None` when this binary does not count them (feature `bench-alloc`).
    pub allocations: Option<u64>,
}

impl Usage {
    /// Of this process, now.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn of_this_process() -> io::Result<Self> {
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir("/proc/self/task")? {
            let entry = entry?;
            let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            match fs::read_to_string(entry.path().join("schedstat")) {
                Ok(text) => {
                    threads.insert(thread, on_cpu(&text).unwrap_or(0));
                }
                // It ended meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { threads, allocations: allocations() })
    }

    /// What was used since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let used = |(thread, now): (&u32, &u64)| {
            (*thread, now.saturating_sub(earlier.threads.get(thread).copied().unwrap_or(0)))
        };
        Self {
            threads: self.threads.iter().map(used).collect(),
            allocations: self.allocations.zip(earlier.allocations).map(|(now, then)| now.saturating_sub(then)),
        }
    }

    /// CPU time of all threads.
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.threads.values().sum())
    }

    /// CPU time of the thread that used most.
    pub fn busiest(&self) -> Duration {
        Duration::from_nanos(self.threads.values().copied().max().unwrap_or(0))
    }
}

fn on_cpu(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

#[cfg(feature = "bench-alloc")]
fn allocations() -> Option<u64> {
    let counted = stats_alloc::INSTRUMENTED_SYSTEM.stats();
    u64::try_from(counted.allocations + counted.reallocations).ok()
}

#[cfg(not(feature = "bench-alloc"))]
const fn allocations() -> Option<u64> {
    None
}

/// Where it was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// CPUs this process may use.
    pub cores: usize,
    /// What they call themselves.
    pub model: String,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self { cores, model: model_name(&text).unwrap_or("unknown model").to_owned() }
    }
}

fn model_name(cpuinfo: &str) -> Option<&str> {
    cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':')).map(|(_, name)| name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_uses_grows() {
        let before = Usage::of_this_process().unwrap();
        let mut numbers: Vec<u64> = (0..2_000_000).collect();
        numbers.sort_by_key(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        std::hint::black_box(&numbers);
        let used = Usage::of_this_process().unwrap().since(&before);
        assert!(used.cpu() > Duration::ZERO && used.busiest() <= used.cpu());
    }

    #[test]
    fn differences_are_by_thread() {
        let usage =
            |threads: &[(u32, u64)], allocations| Usage { threads: threads.iter().copied().collect(), allocations };
        let used = usage(&[(1, 50), (2, 30)], Some(9)).since(&usage(&[(1, 40)], Some(4)));
        assert_eq!(used, usage(&[(1, 10), (2, 30)], Some(5)));
        assert_eq!((used.cpu(), used.busiest()), (Duration::from_nanos(40), Duration::from_nanos(30)));
    }

    #[test]
    fn the_kernels_texts_are_read() {
        assert_eq!(on_cpu("12345 67 8\n"), Some(12_345));
        assert_eq!(model_name("processor\t: 0\nmodel name\t: Some CPU\nmodel name\t: Other\n"), Some("Some CPU"));
        assert_eq!(model_name(""), None);
    }
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the process asks of the kernel about itself.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// Keeps keys out of core files and out of reach of other processes of the same user.
///
/// # Errors
/// When the kernel refuses; nothing else is changed then.
pub fn forbid_core_dumps() -> std::io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}

/// Makes every file that this process creates private to its user.
pub fn create_private_files() {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

/// Uses all the descriptors the process may have; many systems start with a soft limit of 1,024.
///
/// # Errors
/// When the kernel refuses.
pub fn raise_descriptor_limit() -> std::io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}

/// The user this process runs as.
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The name of this host, as it was given to the kernel; nothing is asked of any network.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

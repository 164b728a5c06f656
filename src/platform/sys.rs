// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the process asks of the kernel about itself.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// Keeps keys out of core files and out of reach of other processes of the same user.
///
/// # Errors
/// When the kernel refuses; nothing else is changed then.
pub fn forbid_core_dumps() -> std::io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    limit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
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
    self::limit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
}

/// A limit that holds already is left alone: behind the sandbox none can be set, and the unit has set them.
fn limit(resource: Resource, wanted: Rlimit) -> std::io::Result<()> {
    let holds = getrlimit(resource);
    if (holds.current, holds.maximum) != (wanted.current, wanted.maximum) {
        setrlimit(resource, wanted)?;
    }
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

/// Descriptors this process has open, and how many it may have.
///
/// # Errors
/// When `/proc` is not there.
pub fn descriptors() -> std::io::Result<(u64, Option<u64>)> {
    let open = std::fs::read_dir("/proc/self/fd")?.count();
    // One of them is the directory itself.
    Ok((u64::try_from(open).unwrap_or(u64::MAX).saturating_sub(1), getrlimit(Resource::Nofile).current))
}

/// Bytes of memory this process holds.
///
/// # Errors
/// When `/proc` is not there.
pub fn resident_bytes() -> std::io::Result<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let resident = pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    Ok(resident * u64::try_from(rustix::param::page_size()).unwrap_or(4_096))
}

/// Bytes that are free for this process on the file system of `path`, and all that it has.
///
/// # Errors
/// When it cannot be looked at.
pub fn disk(path: &std::path::Path) -> std::io::Result<(u64, u64)> {
    let status = rustix::fs::statvfs(path)?;
    Ok((status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize))
}

/// What calls of the C library become in the binary that is shipped, by the linker (`--wrap`, packaging/build.sh).
///
/// Names are resolved by `client` alone, with a resolver of its own. A library that would ask the C library, which would
/// load others, is told that there is nothing. glibc has more such calls than musl: with any of them its loader of
/// libraries comes along.
#[expect(unsafe_code, reason = "they take the place of functions of the C library, under their names")]
mod wrapped {
    use core::ffi::{c_char, c_int, c_uint, c_void};

    /// `EAI_FAIL` of netdb.h, the same in musl and glibc.
    const EAI_FAIL: c_int = -4;
    /// `ENOENT` of errno.h.
    const ENOENT: c_int = 2;

    #[unsafe(no_mangle)]
    extern "C" fn __wrap_getaddrinfo(
        _node: *const c_char,
        _service: *const c_char,
        _hints: *const c_void,
        _result: *mut *mut c_void,
    ) -> c_int {
        EAI_FAIL
    }

    #[unsafe(no_mangle)]
    extern "C" fn __wrap_freeaddrinfo(_result: *mut c_void) {}

    #[unsafe(no_mangle)]
    extern "C" fn __wrap_getnameinfo(
        _address: *const c_void,
        _length: c_uint,
        _host: *mut c_char,
        _host_length: c_uint,
        _service: *mut c_char,
        _service_length: c_uint,
        _flags: c_int,
    ) -> c_int {
        EAI_FAIL
    }

    #[unsafe(no_mangle)]
    extern "C" fn __wrap_gethostbyname(_name: *const c_char) -> *mut c_void {
        core::ptr::null_mut()
    }

    /// For the home directory of somebody who has no `HOME`.
    #[unsafe(no_mangle)]
    extern "C" fn __wrap_getpwuid_r(
        _uid: c_uint,
        _entry: *mut c_void,
        _buffer: *mut c_char,
        _length: usize,
        _result: *mut *mut c_void,
    ) -> c_int {
        ENOENT
    }

    /// It would translate what it says, for which glibc loads converters.
    #[unsafe(no_mangle)]
    extern "C" fn __wrap___assert_fail(
        _assertion: *const c_char,
        _file: *const c_char,
        _line: c_uint,
        _function: *const c_char,
    ) -> ! {
        std::process::abort()
    }
}

// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The only reader of the operating system's random number generator.

#![expect(clippy::disallowed_types, reason = "this file is the one reader of the system's randomness")]

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;

/// The operating system's generator, as the core's functions take it.
///
/// A kernel that cannot give random bytes ends the process: nothing here is safe without them.
pub type Entropy = UnwrapErr<SysRng>;

/// A generator for the duration of one call.
pub fn system() -> Entropy {
    UnwrapErr(SysRng)
}

// SPDX-License-Identifier: AGPL-3.0-or-later
//! The `conclave` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    conclave::cli::main()
}

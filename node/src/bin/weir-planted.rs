//! `weir` with one bug planted: of no use but to prove that the tests catch it.

use std::process::ExitCode;

/// The very same program, so that nothing but the bug differs.
#[path = "../main.rs"]
mod weir;

fn main() -> ExitCode {
    weir::main()
}

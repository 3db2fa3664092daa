//! The whole check, in the order in which it fails soonest.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{
    command::{self, cargo, cargo_program, command, target, works},
    deploy, tidy, tools,
};

/// Formatting, clippy, tidy, then every test, the cluster tests included.
///
/// `--quick` leaves formatting and clippy out; further arguments are filters
/// of test names.
fn run_all(quick: bool, filters: &[&str]) -> Result<()> {
    let (nats_server, postgres) = (tools::nats_server()?, tools::postgres()?);
    if !quick {
        verify()?;
    }
    build()?;
    let mut tests = if works(command(cargo_program()).args(["nextest", "--version"])) {
        nextest(filters)
    } else {
        eprintln!("cargo-nextest is not installed: running `cargo test`, which is slower");
        plain(filters)
    };
    tests.env("WEIR_NATS_SERVER", &nats_server).env("WEIR_POSTGRES_BIN", &postgres);
    tests.env("WEIR_BIN", target().join("debug/weir"));
    command::run(&mut tests)
}

/// Binaries and tests in one graph: tests ask for more features of some crates, and whatever builds without them
/// would build everything a second time. The cluster tests find the node that belongs to them.
pub fn build() -> Result<()> {
    cargo(&["build", "--workspace", "--bins", "--tests"])
}

/// The command `cargo xtask test`.
pub fn run(args: &[&str]) -> Result<()> {
    let quick = args.contains(&"--quick");
    let filters: Vec<&str> = args.iter().copied().filter(|arg| *arg != "--quick").collect();
    if let Some(unknown) = filters.iter().find(|arg| arg.starts_with('-')) {
        bail!("unknown option {unknown}; the one option is --quick");
    }
    let started = std::time::Instant::now();
    run_all(quick || !filters.is_empty(), &filters)?;
    println!("All checks passed in {} s.", started.elapsed().as_secs());
    Ok(())
}

/// Everything that needs no test run; writes nothing.
pub fn verify() -> Result<()> {
    if works(command(cargo_program()).args(["fmt", "--version"])) {
        cargo(&["fmt", "--all", "--check"])?;
    } else {
        eprintln!("rustfmt is not installed: formatting is not checked (rustup component add rustfmt)");
    }
    tidy::run()?;
    if works(command(cargo_program()).args(["clippy", "--version"])) {
        cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    } else {
        eprintln!("clippy is not installed: lints are not checked (rustup component add clippy)");
    }
    deploy::render_only()
}

fn nextest(filters: &[&str]) -> Command {
    let mut tests = command(cargo_program());
    tests.args(["nextest", "run", "--workspace", "--no-fail-fast"]).args(filters);
    if !filters.is_empty() {
        tests.arg("--no-tests=warn");
    }
    tests
}

fn plain(filters: &[&str]) -> Command {
    let mut tests = command(cargo_program());
    tests.args(["test", "--workspace", "--no-fail-fast", "--bins", "--tests"]);
    if !filters.is_empty() {
        tests.arg("--").args(filters);
    }
    tests
}

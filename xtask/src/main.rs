//! Chores of the repository: `cargo xtask <test|verify|fix|tidy|accept|chaos|ratchet|nats|postgres|deploy>`.
//!
//! Needs a Rust toolchain and Python 3, nothing else; what is missing beside
//! them (nats-server, PostgreSQL, the manifest validator) is fetched into `target/tools`.

mod accept;
mod chaos;
mod command;
mod deploy;
mod ratchet;
mod test;
mod tidy;
mod tools;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo xtask COMMAND

  test [--quick] [FILTER…]        the whole check; with a filter, only the tests that match
  verify                          formatting, clippy and tidy; writes nothing
  fix                             formats the code
  tidy                            the rules that no compiler checks
  accept [list|AREA|AREA/NAME]    the acceptance recipes; without a name, lists them
  chaos [FLAGS]                   attacks a cluster for some minutes and judges it; `chaos list` lists the faults
  ratchet [--update]              counts the instructions of an append; fails when they grow
  nats                            prints the path of a nats-server that serves, fetching one if need be
  postgres                        prints the folder of PostgreSQL's programs, fetching them if need be
  deploy                          renders and validates the Kubernetes manifests";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["test", rest @ ..] => test::run(rest),
        ["verify"] => test::verify(),
        ["fix"] => command::cargo(&["fmt", "--all"]),
        ["tidy"] => tidy::run(),
        ["accept", rest @ ..] => accept::run(rest),
        ["chaos", rest @ ..] => chaos::run(rest),
        ["ratchet", rest @ ..] => ratchet::run(rest),
        ["nats"] => {
            println!("{}", tools::nats_server()?.display());
            Ok(())
        }
        ["postgres"] => {
            println!("{}", tools::postgres()?.display());
            Ok(())
        }
        ["deploy"] => deploy::run(),
        [] | ["help" | "--help" | "-h", ..] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("unknown chore\n\n{USAGE}"),
    }
}

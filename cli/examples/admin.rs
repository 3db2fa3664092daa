//! The admin commands alone, without the node.
//!
//! `cargo run -p weir-cli --example admin -- stream list`

use std::process::ExitCode;

use clap::Parser;

/// The admin commands of Weir.
#[derive(Parser)]
struct Admin {
    #[command(subcommand)]
    command: weir_cli::Command,
}

#[tokio::main]
async fn main() -> ExitCode {
    Admin::parse().command.run(None).await
}

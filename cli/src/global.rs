use std::time::Duration;

use clap::Args;
use weir_client::{Client, ClientOptions};

use crate::{duration::parse_duration, error::CliError};

/// Their own part of every help page, after what is a command's own.
const GLOBAL: &str = "Options of every command that calls a server";

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct GlobalArgs {
    /// Addresses of nodes, with commas between
    #[arg(
        long,
        alias = "url",
        global = true,
        help_heading = GLOBAL,
        env = "WEIR_SERVER",
        default_value = "http://127.0.0.1:9123",
        value_name = "URL[,URL]"
    )]
    pub(crate) server: String,
    /// Print JSON
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,
    /// How long a call may take, all its tries together
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        default_value = "30s",
        value_parser = parse_duration,
        value_name = "DURATION"
    )]
    pub(crate) timeout: Duration,
}

impl GlobalArgs {
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        let options = ClientOptions { deadline: self.timeout, ..ClientOptions::default() };
        Ok(Client::new([&self.server], options)?)
    }
}

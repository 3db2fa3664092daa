//! `weir upcaster …`

use std::{fs, path::PathBuf};

use clap::Subcommand;
use weir_client::{
    Client, JsonText,
    v1::{UpcastBody, UpcastResult, UpcasterBody, UpcasterView},
};

use crate::{error::CliError, output::Output, payload::read_payload, projection::done};

#[derive(Debug, Subcommand)]
pub enum UpcasterCommand {
    /// Set what leads events of a name from a schema version to a later one
    Set {
        /// The name of the events
        name: String,
        /// The JavaScript file
        file: PathBuf,
        /// The schema version that it takes
        #[arg(long, value_name = "N")]
        from: u32,
        /// The schema version that it gives; the next one without it
        #[arg(long, value_name = "N")]
        to: Option<u32>,
        /// What it is, for people
        #[arg(long)]
        description: Option<String>,
    },
    /// Print an upcaster
    Get {
        /// The name of the events
        name: String,
        /// The schema version that it takes
        #[arg(long, value_name = "N")]
        from: u32,
    },
    /// List upcasters
    #[command(alias = "ls")]
    List,
    /// Remove an upcaster
    #[command(alias = "rm")]
    Delete {
        /// The name of the events
        name: String,
        /// The schema version that it takes
        #[arg(long, value_name = "N")]
        from: u32,
    },
    /// Try the upcasters of a name on data, and show each step
    Test {
        /// The name of the events
        name: String,
        /// The data: JSON, `@file`, or `-` for stdin
        data: String,
        /// The schema version of the data
        #[arg(long, default_value_t = 1, value_name = "N")]
        from: u32,
        /// The schema version that is wanted; the newest without it
        #[arg(long, value_name = "N")]
        to: Option<u32>,
    },
}

pub(crate) async fn run(command: &UpcasterCommand, client: &Client, output: &Output) -> Result<(), CliError> {
    match command {
        UpcasterCommand::Set { name, file, from, to, description } => {
            let source =
                fs::read_to_string(file).map_err(CliError::io(format!("read `{}`", file.display())))?;
            let body = UpcasterBody { to_version: *to, source, description: description.clone() };
            let result = client.set_upcaster(name, *from, &body).await?;
            if output.is_json() {
                return output.json(&result);
            }
            let before = if result.existed { "replaced" } else { "set" };
            done(output, &format!("upcaster {before}, as of log index {}", result.revision))
        }
        UpcasterCommand::Get { name, from } => {
            let upcaster = client.upcaster(name, *from).await?;
            if output.is_json() {
                return output.json(&upcaster);
            }
            output.line(&upcaster.source)
        }
        UpcasterCommand::List => {
            let list = client.upcasters().await?;
            if output.is_json() {
                return output.json(&list);
            }
            let rows: Vec<_> = list.upcasters.iter().map(row).collect();
            output.table(["EVENT", "FROM", "TO", "REVISION", "DESCRIPTION"], &rows)
        }
        UpcasterCommand::Delete { name, from } => {
            client.delete_upcaster(name, *from).await?;
            done(output, &format!("upcaster of `{name}` from schema version {from} removed"))
        }
        UpcasterCommand::Test { name, data, from, to } => {
            let data = JsonText::of_stored(&read_payload(data)?);
            let (event_name, metadata) = (None, None);
            let body = UpcastBody { event_name, from_version: Some(*from), to_version: *to, data, metadata };
            show(&client.test_upcasters(name, &body).await?, output)
        }
    }
}

fn row(view: &UpcasterView) -> [String; 5] {
    [
        view.event_name.clone(),
        view.from_version.to_string(),
        view.to_version.to_string(),
        view.revision.to_string(),
        view.description.clone(),
    ]
}

/// A try that does not reach its version is a failure of the command.
fn show(result: &UpcastResult, output: &Output) -> Result<(), CliError> {
    if output.is_json() {
        output.json(result)?;
    } else {
        for step in &result.steps {
            output.line(&format!("{} -> {}  {}", step.from_version, step.to_version, step.data.get()))?;
        }
    }
    match &result.error {
        Some(error) => Err(CliError::Failed(error.clone())),
        None if result.steps.is_empty() && !output.is_json() => {
            done(output, &format!("schema version {} needs no upcaster", result.schema_version))
        }
        None => Ok(()),
    }
}

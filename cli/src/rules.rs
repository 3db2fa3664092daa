//! `weir rules …` and `weir schema …`

use std::{fs, path::Path, path::PathBuf};

use clap::Subcommand;
use weir_api::objects;
use weir_client::{
    Client,
    v1::{EventSchemaBody, EventSchemaSummary, EventSchemasQuery, RulesBody, RulesView},
};

use crate::{error::CliError, output::Output, projection::done};

#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Set the rules of an entity type, or of the namespace, from a JSON file
    Set {
        /// The file: `{"schemas": "known", "metadata": {"tenantId": {"type": "string"}}}`
        #[arg(required_unless_present = "invariant")]
        file: Option<PathBuf>,
        /// The entity type; without it they are the namespace's
        #[arg(long = "type", value_name = "TYPE")]
        entity_type: Option<String>,
        /// The JavaScript file of the type's invariant
        #[arg(long, value_name = "FILE", requires = "entity_type")]
        invariant: Option<PathBuf>,
    },
    /// Print the rules of an entity type, or of the namespace
    Get {
        /// The entity type; without it they are the namespace's
        #[arg(long = "type", value_name = "TYPE")]
        entity_type: Option<String>,
    },
    /// List all rules
    #[command(alias = "ls")]
    List,
    /// Remove the rules of an entity type, or of the namespace
    #[command(alias = "rm")]
    Delete {
        /// The entity type; without it they are the namespace's
        #[arg(long = "type", value_name = "TYPE")]
        entity_type: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum SchemaCommand {
    /// Register the JSON Schema of a version of the events of a name
    Register {
        /// The name of the events
        name: String,
        /// The file
        file: PathBuf,
        /// The schema version of the events
        #[arg(long, default_value_t = 1, value_name = "N")]
        version: u32,
        /// What it is, for people
        #[arg(long)]
        description: Option<String>,
    },
    /// Print a schema
    Get {
        /// The name of the events
        name: String,
        /// The schema version; the newest without it
        #[arg(long, value_name = "N")]
        version: Option<u32>,
    },
    /// List schemas
    #[command(alias = "ls")]
    List {
        /// Only those of events of this name
        #[arg(long)]
        name: Option<String>,
        /// Schemas to show
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u64,
    },
    /// Remove a schema
    #[command(alias = "rm")]
    Delete {
        /// The name of the events
        name: String,
        /// The schema version
        #[arg(long, value_name = "N")]
        version: u32,
    },
}

pub(crate) async fn run(command: &RulesCommand, client: &Client, output: &Output) -> Result<(), CliError> {
    match command {
        RulesCommand::Set { file, entity_type, invariant } => {
            let mut body = file.as_deref().map(rules_of).transpose()?.unwrap_or_default();
            if let Some(invariant) = invariant {
                body.invariant = Some(text_of(invariant)?);
            }
            let result = client.set_rules(entity_type.as_deref(), &body).await?;
            if output.is_json() {
                return output.json(&result);
            }
            let before = if result.existed { "replaced" } else { "set" };
            done(output, &format!("rules {before}, as of log index {}", result.revision))
        }
        RulesCommand::Get { entity_type } => show(&client.rules(entity_type.as_deref()).await?, output),
        RulesCommand::List => {
            let list = client.all_rules().await?;
            if output.is_json() {
                return output.json(&list);
            }
            let rows: Vec<_> = list.rules.iter().map(row).collect();
            output.table(["OF", "SCHEMAS", "METADATA", "INVARIANT", "REVISION"], &rows)
        }
        RulesCommand::Delete { entity_type } => {
            client.delete_rules(entity_type.as_deref()).await?;
            done(output, "rules removed")
        }
    }
}

fn row(view: &RulesView) -> [String; 5] {
    let schemas = view.rules.schemas.and_then(|mode| serde_json::to_value(mode).ok());
    let schemas = schemas.and_then(|mode| mode.as_str().map(str::to_owned));
    let keys: Vec<&str> = view.rules.metadata.keys().map(String::as_str).collect();
    [
        view.entity_type.clone().unwrap_or_else(|| "(namespace)".to_owned()),
        schemas.unwrap_or_else(|| "-".to_owned()),
        keys.join(", "),
        view.rules.invariant.as_ref().map_or("-", |_| "yes").to_owned(),
        view.revision.to_string(),
    ]
}

fn show(view: &RulesView, output: &Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.json(view);
    }
    let text =
        serde_json::to_string_pretty(&view.rules).map_err(|error| CliError::Failed(error.to_string()))?;
    output.line(&text)
}

pub(crate) async fn run_schema(
    command: &SchemaCommand,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    match command {
        SchemaCommand::Register { name, file, version, description } => {
            let body = EventSchemaBody {
                event_name: name.clone(),
                version: Some(*version),
                schema_json: Some(text_of(file)?),
                schema: None,
                description: description.clone(),
            };
            let result = client.register_schema(&body).await?;
            if output.is_json() {
                return output.json(&result);
            }
            let told =
                format!("schema of `{}` version {} {}", result.event_name, result.version, result.status);
            done(output, &told)
        }
        SchemaCommand::Get { name, version } => {
            let schema = client.schema(name, *version).await?;
            if output.is_json() {
                return output.json(&schema);
            }
            output.line(&schema.schema_json)
        }
        SchemaCommand::List { name, limit } => {
            let query = EventSchemasQuery {
                event_name: name.clone(),
                limit: Some(*limit),
                ..EventSchemasQuery::default()
            };
            let list = client.schemas(&query).await?;
            if output.is_json() {
                return output.json(&list);
            }
            let row = |schema: &EventSchemaSummary| {
                let version = schema.version.to_string();
                [schema.event_name.clone(), version, schema.created_at.clone(), schema.description.clone()]
            };
            let rows: Vec<_> = list.schemas.iter().map(row).collect();
            output.table(["EVENT", "VERSION", "REGISTERED", "DESCRIPTION"], &rows)
        }
        SchemaCommand::Delete { name, version } => {
            client.delete_schema(name, *version).await?;
            done(output, &format!("schema of `{name}` version {version} removed"))
        }
    }
}

fn rules_of(file: &Path) -> Result<RulesBody, CliError> {
    objects::from_slice(text_of(file)?.as_bytes())
        .map_err(|error| CliError::Usage(format!("`{}` holds no rules: {error}", file.display())))
}

fn text_of(file: &Path) -> Result<String, CliError> {
    fs::read_to_string(file).map_err(CliError::io(format!("read `{}`", file.display())))
}

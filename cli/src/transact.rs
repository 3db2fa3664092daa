//! `weir transact`: appends to several streams, all of it or nothing.

use weir_api::{
    objects,
    v1::{TransactionBody, TransactionResult, Validated},
};
use weir_client::Client;
use weir_types::{GroupId, Position};

use crate::{error::CliError, output::Output, payload::read_payload};

#[derive(Debug, clap::Args)]
pub struct TransactArgs {
    /// The transaction, as the REST API takes it: JSON, @file, or - for stdin
    #[arg(value_name = "JSON|@FILE|-")]
    transaction: String,
    /// Check everything, write nothing
    #[arg(long)]
    validate_only: bool,
}

pub(crate) async fn run(args: &TransactArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let body = read_payload(&args.transaction)?;
    let body: TransactionBody = objects::from_slice(&body)
        .map_err(|error| CliError::Usage(format!("`{}` is no transaction: {error}", args.transaction)))?;
    let validate_only = args.validate_only || body.validate_only;
    let request = body.into_request(GroupId::DEFAULT, None)?;
    if validate_only {
        return valid(client.validate(&request).await?, output);
    }
    let result = TransactionResult::from(&client.transact(&request).await?);
    if output.is_json() {
        return output.json(&result);
    }
    let mut facts: Vec<_> = result
        .streams
        .iter()
        .map(|stream| (stream.entity_id.as_str(), format!("version {}", stream.last_version)))
        .collect();
    facts.push(("position", result.last_position.to_string()));
    facts.push(("repeated", result.repeated.to_string()));
    output.facts(&facts)
}

/// What was only checked would be taken.
pub(crate) fn valid(Position(position): Position, output: &Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.json(&Validated { valid: true, position });
    }
    output.facts(&[("valid at position", position.to_string())])
}

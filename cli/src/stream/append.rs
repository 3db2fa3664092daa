mod event;
mod lines;

use weir_client::{Client, v1::AppendResult};
use weir_types::{
    AppendRequest, EntityId, EntityType, ExpectedVersion, GroupId, IdempotencyKey, NameError, StreamVersion,
};

use crate::{error::CliError, output::Output, transact::valid};

#[derive(Debug, clap::Args)]
pub struct AppendArgs {
    /// The entity
    entity: String,
    /// The entity's type
    #[arg(long = "type", value_name = "TYPE")]
    entity_type: String,
    #[command(flatten)]
    event: event::EventArgs,
    /// Many events, all of them or nothing, in place of one: a file or - for stdin, with one JSON object a line as
    /// in `events` of the REST API: {"name":"order.placed","data":{}}
    #[arg(
        long,
        value_name = "FILE|-",
        conflicts_with_all = event::FLAGS
    )]
    events: Option<String>,
    /// The version that the stream must be at
    #[arg(
        long,
        default_value = "any",
        value_parser = parse_expected,
        allow_hyphen_values = true,
        value_name = "none|N|any|exists"
    )]
    expected_version: ExpectedVersion,
    /// The key by which a repeat is recognised; one is made if none is given
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Check everything, write nothing
    #[arg(long)]
    validate_only: bool,
}

pub(crate) fn parse_expected(text: &str) -> Result<ExpectedVersion, String> {
    match text {
        "any" => Ok(ExpectedVersion::Any),
        "exists" => Ok(ExpectedVersion::Exists),
        "none" => Ok(ExpectedVersion::Exact(StreamVersion::ZERO)),
        number => number
            .parse()
            .map(|version| ExpectedVersion::Exact(StreamVersion(version)))
            .map_err(|_| format!("`{text}` is not none, any, exists or a version")),
    }
}

pub(super) async fn run(args: &AppendArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let request = args.request()?;
    if args.validate_only {
        return valid(client.validate_append(&request).await?, output);
    }
    let ack = client.append(&request).await?;
    let result = AppendResult::new(&request.entity_id, &ack);
    if output.is_json() {
        return output.json(&result);
    }
    let events = match result.event_ids.len() {
        1 => ("event id", result.event_id),
        many => ("events", many.to_string()),
    };
    output.facts(&[
        ("version", result.last_version.to_string()),
        ("position", result.last_position.to_string()),
        events,
        ("repeated", result.repeated.to_string()),
    ])
}

impl AppendArgs {
    fn request(&self) -> Result<AppendRequest, CliError> {
        let name = |error: NameError| CliError::Usage(error.to_string());
        let events = match &self.events {
            Some(file) => lines::read(file)?,
            None => vec![self.event.to_event()?],
        };
        let key = self.idempotency_key.as_ref().map(IdempotencyKey::new);
        Ok(AppendRequest {
            group: GroupId::DEFAULT,
            entity_id: EntityId::new(&self.entity).map_err(name)?,
            entity_type: EntityType::new(&self.entity_type).map_err(name)?,
            expected: self.expected_version,
            idempotency_key: key.transpose().map_err(name)?,
            events,
        })
    }
}

use weir_api::parse_timestamp;
use weir_client::{Client, v1::AppendResult};
use weir_types::{
    AppendRequest, ContentType, EntityId, EntityType, EventId, EventName, EventSource, ExpectedVersion,
    GroupId, IdempotencyKey, NewEvent, StreamVersion, Tag,
};

use crate::{error::CliError, output::Output, payload::read_payload};

#[derive(Debug, clap::Args)]
pub struct AppendArgs {
    /// The entity
    entity: String,
    /// The entity's type
    #[arg(long = "type", value_name = "TYPE")]
    entity_type: String,
    /// What happened
    #[arg(long)]
    name: String,
    /// The data: JSON, @file, or - for stdin
    #[arg(long, value_name = "JSON|@FILE|-")]
    data: String,
    /// The version that the stream must be at
    #[arg(
        long,
        default_value = "any",
        value_parser = parse_expected,
        allow_hyphen_values = true,
        value_name = "none|N|any|exists"
    )]
    expected_version: ExpectedVersion,
    /// Metadata: a JSON object, @file, or - for stdin
    #[arg(long, value_name = "JSON|@FILE|-")]
    metadata: Option<String>,
    /// The key by which a repeat is recognised; one is made if none is given
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// When it happened, e.g. 2026-01-02T03:04:05+01:00
    #[arg(long, value_name = "TIME")]
    occurred_at: Option<String>,
    /// The version of the data's schema
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    schema_version: u32,
    /// What the event is about, beside its stream; may be given up to 16 times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// The event's id, a UUID; the server chooses one if none is given
    #[arg(long, value_name = "UUID")]
    event_id: Option<uuid::Uuid>,
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
    let ack = client.append(&request).await?;
    let result = AppendResult::new(&request.entity_id, &ack);
    if output.is_json() {
        return output.json(&result);
    }
    output.facts(&[
        ("version", result.last_version.to_string()),
        ("position", result.last_position.to_string()),
        ("event id", result.event_id),
        ("repeated", result.repeated.to_string()),
    ])
}

impl AppendArgs {
    fn request(&self) -> Result<AppendRequest, CliError> {
        let name = |error: weir_types::NameError| CliError::Usage(error.to_string());
        let event = NewEvent {
            id: self.event_id.map(EventId),
            name: EventName::new(&self.name).map_err(name)?,
            schema_version: self.schema_version,
            content_type: ContentType::Json,
            data: read_payload(&self.data)?,
            metadata: self.metadata.as_deref().map(read_payload).transpose()?.unwrap_or_default(),
            occurred_at: self.occurred_at.as_deref().map(parse_timestamp).transpose()?,
            source: EventSource::Api,
            tags: self.tags.iter().map(Tag::new).collect::<Result<_, _>>().map_err(name)?,
        };
        let key = self.idempotency_key.as_ref().map(IdempotencyKey::new);
        Ok(AppendRequest {
            group: GroupId::DEFAULT,
            entity_id: EntityId::new(&self.entity).map_err(name)?,
            entity_type: EntityType::new(&self.entity_type).map_err(name)?,
            expected: self.expected_version,
            idempotency_key: key.transpose().map_err(name)?,
            events: vec![event],
        })
    }
}

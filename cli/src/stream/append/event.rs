use weir_api::parse_timestamp;
use weir_types::{ContentType, EventId, EventName, EventSource, NameError, NewEvent, Tag};

use crate::{error::CliError, payload::read_payload};

/// The ids of [`EventArgs`].
pub(super) const FLAGS: [&str; 8] =
    ["name", "data", "metadata", "occurred_at", "schema_version", "tags", "event_id", "source"];

/// One event, said by flags.
#[derive(Debug, clap::Args)]
pub(super) struct EventArgs {
    /// What happened; needed without --events
    #[arg(long, required_unless_present = "events")]
    name: Option<String>,
    /// The data, needed without --events: JSON, @file, or - for stdin
    #[arg(long, required_unless_present = "events", value_name = "JSON|@FILE|-")]
    data: Option<String>,
    /// Metadata: a JSON object, @file, or - for stdin
    #[arg(long, value_name = "JSON|@FILE|-")]
    metadata: Option<String>,
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
    /// Where the event came from
    #[arg(long, default_value = "api", value_name = "SOURCE")]
    source: Source,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Source {
    Api,
    Cron,
    Webhook,
    Import,
}

impl From<Source> for EventSource {
    fn from(source: Source) -> Self {
        match source {
            Source::Api => Self::Api,
            Source::Cron => Self::Cron,
            Source::Webhook => Self::Webhook,
            Source::Import => Self::Import,
        }
    }
}

impl EventArgs {
    pub(super) fn to_event(&self) -> Result<NewEvent, CliError> {
        let name = |error: NameError| CliError::Usage(error.to_string());
        Ok(NewEvent {
            id: self.event_id.map(EventId),
            name: EventName::new(self.name.as_deref().unwrap_or_default()).map_err(name)?,
            schema_version: self.schema_version,
            content_type: ContentType::Json,
            data: read_payload(self.data.as_deref().unwrap_or("{}"))?,
            metadata: self.metadata.as_deref().map(read_payload).transpose()?.unwrap_or_default(),
            occurred_at: self.occurred_at.as_deref().map(parse_timestamp).transpose()?,
            source: self.source.into(),
            tags: self.tags.iter().map(Tag::new).collect::<Result<_, _>>().map_err(name)?,
        })
    }
}

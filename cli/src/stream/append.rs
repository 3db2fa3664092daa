mod event;
mod lines;

use serde_json::Value;
use weir_client::{ApiError, Client, ClientError, v1::AppendResult};
use weir_types::{
    AppendError, AppendRequest, EntityId, EntityType, ExpectedVersion, GroupId, IdempotencyKey, NameError,
    Position, StreamVersion,
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
        return valid(validate(request, client).await?, output);
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

/// Checks an append as a transaction of nothing else. It is refused as the append would be.
async fn validate(request: AppendRequest, client: &Client) -> Result<Position, ClientError> {
    let expected = request.expected;
    client.validate(&request.into()).await.map_err(|error| match &error {
        ClientError::Api(refusal) => {
            alone(refusal, expected).map_or(error, |alone| ApiError::from(alone).into())
        }
        _ => error,
    })
}

/// What stands against the only append of a transaction, as the append's own error.
fn alone(refusal: &ApiError, expected: ExpectedVersion) -> Option<AppendError> {
    let violation = refusal.details.get("violations")?.as_array()?.last()?;
    let member = |name: &str| violation.get(name);
    if let Some(actual) = member("actualVersion").and_then(Value::as_u64) {
        return Some(AppendError::VersionConflict { expected, actual: StreamVersion(actual) });
    }
    let actual = EntityType::new(member("actualType")?.as_str()?).ok()?;
    Some(AppendError::TypeConflict { actual })
}

#[cfg(test)]
mod tests {
    use weir_client::ErrorCode;
    use weir_types::{EntityId, Violation};

    use super::*;

    #[test]
    fn an_append_that_is_only_checked_is_refused_as_it_would_be() {
        let (entity_id, actual) = (EntityId::new("o-1").unwrap(), StreamVersion(4));
        let entity_type = EntityType::new("order").unwrap();
        for expected in
            [ExpectedVersion::Any, ExpectedVersion::Exists, ExpectedVersion::Exact(StreamVersion(7))]
        {
            for (violation, own) in [
                (
                    Violation::Version { entity_id: entity_id.clone(), expected, actual },
                    AppendError::VersionConflict { expected, actual },
                ),
                (
                    Violation::Type { entity_id: entity_id.clone(), actual: entity_type.clone() },
                    AppendError::TypeConflict { actual: entity_type.clone() },
                ),
            ] {
                let refusal = ApiError::from(AppendError::Violated { violations: vec![violation] });
                assert_eq!(alone(&refusal, expected), Some(own));
            }
        }
        assert_eq!(alone(&ApiError::new(ErrorCode::Overloaded, ""), ExpectedVersion::Any), None);
    }
}

//! `ironflow.v1.PubSubService/Subscribe`: what is asked, and what an event looks like. The WebSocket of the
//! contract takes the same options and gives the same topics and data.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use weir_types::{
    FilterText, Pattern, Position, RecordedEvent, Selector, Slow, SubscribeRequest, SubscriptionStart,
};

use super::{event::StreamEvent, proto_json::text};
use crate::{
    ApiError, ErrorCode, JsonText, ViewUpdate, format_timestamp, number,
    source::source_text,
    v1::{Beginning, data_of, heartbeat_of, metadata_of},
};

/// The request.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PubSubSubscribe {
    /// The pattern, which answers carry byte for byte.
    #[serde(deserialize_with = "text")]
    pub pattern: String,
    /// The options; none are the defaults.
    pub options: Option<PubSubOptions>,
}

/// The options of a subscription.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PubSubOptions {
    /// Begin with so many of the newest events.
    #[serde(deserialize_with = "number::optional")]
    pub replay: Option<u64>,
    /// Give each event's metadata.
    #[serde(alias = "include_metadata")]
    pub include_metadata: Option<bool>,
    /// Which of the events: an expression of CEL. With a consumer group it is the group's.
    #[serde(deserialize_with = "text")]
    pub filter: String,
    /// The namespace; `default` is the only one.
    #[serde(deserialize_with = "text")]
    pub namespace: String,
    /// A consumer group, in whose name events are taken; over a WebSocket and `SubscribeBidirectional`.
    #[serde(alias = "consumer_group", deserialize_with = "text")]
    pub consumer_group: String,
    /// Of a consumer group: `auto`, or `manual`.
    #[serde(alias = "ack_mode", deserialize_with = "word")]
    pub ack_mode: String,
    /// `drop` leaves events out where a subscriber is slow; the others end it.
    #[serde(deserialize_with = "word")]
    pub backpressure: String,
    /// Begin after a position; 0 is the beginning.
    #[serde(alias = "start_after_sequence", deserialize_with = "number::optional")]
    pub start_after_sequence: Option<u64>,
    /// Of Weir: begin where an earlier subscription was.
    #[serde(deserialize_with = "text")]
    pub cursor: String,
    /// Of Weir: give a cursor with every event, and frames for what is between events.
    pub cursors: Option<bool>,
    /// Of Weir: milliseconds between heartbeats.
    #[serde(alias = "heartbeat_ms", deserialize_with = "number::optional")]
    pub heartbeat_ms: Option<u64>,
}

/// A consumer group in whose name events are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedGroup<'a> {
    /// The group.
    pub name: &'a str,
    /// Its pattern.
    pub pattern: Pattern,
    /// Its filter; without it, whichever it has.
    pub filter: Option<FilterText>,
    /// Whether each event is settled as soon as it is sent.
    pub acks_itself: bool,
}

/// The last word of an enum's name, in small letters: `ACK_MODE_MANUAL` and `manual` are one; a number is refused.
fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let given = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    let last = given.rsplit('_').next().unwrap_or_default().to_ascii_lowercase();
    match last.as_str() {
        "unspecified" => Ok(String::new()),
        "" | "auto" | "manual" | "drop" | "block" | "buffer" => Ok(last),
        _ => Err(D::Error::custom(format!("`{given}` is not known"))),
    }
}

impl PubSubSubscribe {
    /// The request in Weir's words.
    ///
    /// # Errors
    /// `invalid_pattern`, `invalid_filter`, `invalid_request`, `invalid_cursor`, `too_large`, or `unimplemented` for
    /// consumer groups and manual acks.
    pub fn to_request(&self) -> Result<SubscribeRequest, ApiError> {
        let none = PubSubOptions::default();
        let options = self.options.as_ref().unwrap_or(&none);
        let pattern = Pattern::new(&self.pattern)?;
        options.check()?;
        let lacks =
            |what| Err(ApiError::new(ErrorCode::Unimplemented, format!("{what} are not served here")));
        if !options.consumer_group.is_empty() {
            return lacks("consumer groups");
        }
        if options.ack_mode == "manual" {
            return lacks("manual acks without a consumer group");
        }
        let start = options.start()?;
        let slow = if options.backpressure == "drop" { Slow::Conflate } else { Slow::Disconnect };
        let heartbeat = heartbeat_of(options.heartbeat_ms)?;
        let filter = FilterText::optional(&options.filter)?;
        Ok(SubscribeRequest { selector: Selector::Pattern(pattern), filter, start, slow, heartbeat })
    }

    /// Where the states of a projection are asked for: after which position, and the time between heartbeats.
    ///
    /// # Errors
    /// `invalid_request`, or `unimplemented` for consumer groups, manual acks and filters.
    pub fn to_watch(&self) -> Result<(Position, Duration), ApiError> {
        let none = PubSubOptions::default();
        let options = self.options.as_ref().unwrap_or(&none);
        options.check()?;
        if !options.consumer_group.is_empty() || options.ack_mode == "manual" {
            let message = "consumer groups and manual acks are not served for states";
            return Err(ApiError::new(ErrorCode::Unimplemented, message));
        }
        if !options.filter.is_empty() {
            return Err(ApiError::new(ErrorCode::Unimplemented, "filters are not served for states"));
        }
        let after = Position(options.start_after_sequence.unwrap_or(0));
        Ok((after, heartbeat_of(options.heartbeat_ms)?))
    }

    /// The consumer group in whose name events are wanted; `None` without one.
    ///
    /// # Errors
    /// `invalid_pattern`, `invalid_filter`, `invalid_request` when a beginning is named too, or `unimplemented`.
    pub fn to_consumer(&self) -> Result<Option<WantedGroup<'_>>, ApiError> {
        let Some(options) = self.options.as_ref().filter(|options| !options.consumer_group.is_empty()) else {
            return Ok(None);
        };
        options.check()?;
        if options.replay.is_some_and(|count| count > 0) || !options.cursor.is_empty() {
            return Err(ApiError::invalid("a consumer group knows where it is: consumerGroup goes alone"));
        }
        Ok(Some(WantedGroup {
            name: &options.consumer_group,
            pattern: Pattern::new(&self.pattern)?,
            filter: FilterText::optional(&options.filter)?,
            acks_itself: options.ack_mode != "manual",
        }))
    }

    /// Whether each event's metadata is wanted.
    #[must_use]
    pub fn wants_metadata(&self) -> bool {
        self.options.as_ref().and_then(|options| options.include_metadata).unwrap_or(false)
    }

    /// Whether cursors and marks are wanted.
    #[must_use]
    pub fn wants_cursors(&self) -> bool {
        self.options.as_ref().and_then(|options| options.cursors).unwrap_or(false)
    }
}

impl PubSubOptions {
    fn check(&self) -> Result<(), ApiError> {
        let replays = self.replay.is_some_and(|count| count > 0);
        if self.start_after_sequence.is_some() && (replays || !self.consumer_group.is_empty()) {
            return Err(ApiError::invalid("startAfterSequence goes with neither replay nor consumerGroup"));
        }
        let lacks = match self {
            _ if !matches!(self.namespace.as_str(), "" | "default") => "namespaces beside `default`",
            _ => return Ok(()),
        };
        Err(ApiError::new(ErrorCode::Unimplemented, format!("{lacks} are not served yet")))
    }

    fn start(&self) -> Result<SubscriptionStart, ApiError> {
        let beginning = Beginning {
            after_position: self.start_after_sequence,
            last: self.replay.filter(|count| *count > 0),
            cursor: Some(self.cursor.as_str()),
            ..Beginning::default()
        };
        beginning.to_start(false)
    }
}

/// The topic of an event, for who asked by this pattern.
#[must_use]
pub fn topic_of(pattern: &Pattern, event: &RecordedEvent) -> String {
    match pattern.is_by_name() {
        true => format!("events:{}", event.name),
        false => format!("entity:{}.{}.{}", event.entity_type, event.entity_id, event.name),
    }
}

/// The data of an event, for who asked by this pattern: its own when it was asked for by name, else an
/// envelope of the event in its stream.
#[must_use]
pub fn payload_of(pattern: &Pattern, event: &RecordedEvent) -> JsonText {
    if pattern.is_by_name() {
        return data_of(event);
    }
    let StreamEvent { id, name, data, version, timestamp, source, metadata, .. } = StreamEvent::from(event);
    let entity_version = event.version.0;
    let envelope = EntityEvent { id, name, data, entity_version, version, timestamp, source, metadata };
    JsonText::of_stored(&serde_json::to_vec(&envelope).unwrap_or_default())
}

/// An event of an entity within `data`, where numbers are numbers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EntityEvent {
    id: String,
    name: String,
    data: JsonText,
    entity_version: u64,
    version: u32,
    timestamp: String,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<JsonText>,
}

/// What the server streams.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionEvent {
    subscription_id: String,
    event_id: String,
    topic: String,
    data: JsonText,
    metadata: EventMetadata,
    sequence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_attempt: Option<u32>,
}

#[derive(Debug, Clone, Serialize)]
struct EventMetadata {
    timestamp: String,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom: Option<JsonText>,
}

impl SubscriptionEvent {
    /// An event for a subscription.
    #[must_use]
    pub fn new(id: &str, pattern: &Pattern, event: &RecordedEvent, with_metadata: bool) -> Self {
        Self {
            subscription_id: id.to_owned(),
            event_id: event.id.to_string(),
            topic: topic_of(pattern, event),
            data: payload_of(pattern, event),
            metadata: EventMetadata {
                timestamp: format_timestamp(event.recorded_at),
                source: source_text(event.source).to_owned(),
                custom: metadata_of(event).filter(|_| with_metadata),
            },
            sequence: event.position.to_string(),
            delivery_attempt: None,
        }
    }

    /// The same, of a consumer group: which delivery it is.
    #[must_use]
    pub fn with_attempt(self, attempt: u32) -> Self {
        Self { delivery_attempt: Some(attempt), ..self }
    }

    /// A new state of a projection for a subscription.
    #[must_use]
    pub fn of_state(id: &str, update: &ViewUpdate) -> Self {
        let (event_id, _, recorded_at) = &update.last_event;
        Self {
            subscription_id: id.to_owned(),
            event_id: event_id.to_string(),
            topic: update.topic(),
            data: update.payload(),
            metadata: EventMetadata {
                timestamp: format_timestamp(*recorded_at),
                source: "system".to_owned(),
                custom: None,
            },
            sequence: update.position.to_string(),
            delivery_attempt: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::event_tests::event;

    #[test]
    fn what_sdks_send_is_taken() {
        let browser = r#"{"pattern":"entity:order.ord-1.>","options":{"replay":10,"namespace":"default",
            "ackMode":"ACK_MODE_AUTO","backpressure":"BACKPRESSURE_MODE_BUFFER"}}"#;
        let request: PubSubSubscribe = serde_json::from_str(browser).unwrap();
        let asked = request.to_request().unwrap();
        assert_eq!((asked.start, asked.slow), (SubscriptionStart::Last(10), Slow::Disconnect));
        for (options, code) in [
            (r#"{"startAfterSequence":0,"replay":3}"#, Some(ErrorCode::InvalidRequest)),
            (r#"{"startAfterSequence":0,"consumerGroup":"g"}"#, Some(ErrorCode::InvalidRequest)),
            (r#"{"consumerGroup":"g"}"#, Some(ErrorCode::Unimplemented)),
            (r#"{"ackMode":"manual"}"#, Some(ErrorCode::Unimplemented)),
            (r#"{"filter":"data.n > 1"}"#, None),
            (r#"{"namespace":"other"}"#, Some(ErrorCode::Unimplemented)),
            (r#"{"start_after_sequence":"7","include_metadata":true}"#, None),
            (r#"{"somethingNew":1}"#, None),
        ] {
            let text = format!(r#"{{"pattern":"events:order.*","options":{options}}}"#);
            let request: PubSubSubscribe = serde_json::from_str(&text).unwrap();
            assert_eq!(request.to_request().err().map(|error| error.code), code, "{options}");
        }
        let filtered = |pattern: &str, filter: &str| PubSubSubscribe {
            pattern: pattern.into(),
            options: Some(PubSubOptions { filter: filter.into(), ..PubSubOptions::default() }),
        };
        let of_events = filtered("events:order.*", "data.n > 1").to_request().unwrap();
        assert_eq!(of_events.filter, FilterText::optional("data.n > 1").unwrap());
        let long = filtered("events:order.*", &"x".repeat(2_000)).to_request().unwrap_err();
        assert_eq!(long.code, ErrorCode::InvalidFilter);
        let of_states = filtered("system.projection.orders.>", "data.n > 1").to_watch().unwrap_err();
        assert_eq!(of_states.code, ErrorCode::Unimplemented);
    }

    #[test]
    fn an_event_has_the_topic_and_data_of_the_contract() {
        let by_entity = Pattern::new("entity:order.*").unwrap();
        let event = event();
        let text = serde_json::to_string(&SubscriptionEvent::new("s", &by_entity, &event, false)).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"subscriptionId":"s","eventId":"018f0000-0000-7000-8000-000000000001","#,
                r#""topic":"entity:order.o-1.order.placed","#,
                r#""data":{"id":"018f0000-0000-7000-8000-000000000001","name":"order.placed","#,
                r#""data":{"n": 12345678901234567890},"entityVersion":2,"version":1,"#,
                r#""timestamp":"1970-01-01T00:00:01.000000Z","source":"api"},"#,
                r#""metadata":{"timestamp":"1970-01-01T00:00:01.000000Z","source":"api"},"sequence":"9"}"#
            )
        );
        let by_name = Pattern::new("events:order.*").unwrap();
        assert_eq!(topic_of(&by_name, &event), "events:order.placed");
        assert_eq!(payload_of(&by_name, &event).get(), r#"{"n": 12345678901234567890}"#);
    }
}

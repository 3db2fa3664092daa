//! The frames of the WebSocket of the contract: JSON texts, `type` first.

use serde::{Deserialize, Serialize};

use crate::{
    ApiError, JsonText, ViewUpdate, connect::PubSubSubscribe, format_timestamp, number, v1::VerdictKind,
};

/// A frame of a client.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SocketRequest {
    /// Subscribe.
    Subscribe {
        /// To what.
        subscription: PubSubSubscribe,
    },
    /// End a subscription.
    Unsubscribe {
        /// Which.
        #[serde(rename = "subscriptionId", alias = "subscription_id")]
        subscription_id: String,
    },
    /// Say what became of an event of a consumer group.
    Ack {
        /// The event's id.
        #[serde(rename = "eventId", alias = "event_id")]
        event_id: String,
        /// Of which subscription, where several of the socket have it; without it the one that was given it first.
        #[serde(rename = "subscriptionId", alias = "subscription_id", default)]
        subscription_id: Option<String>,
        /// What is said of it; an ack without it.
        #[serde(rename = "ackType", alias = "ack_type", default)]
        ack_type: AckType,
        /// Of a `nak`: milliseconds until it is handed out again.
        #[serde(
            rename = "redeliverDelay",
            alias = "redeliverDelayMs",
            alias = "redeliver_delay_ms",
            default,
            deserialize_with = "number::optional"
        )]
        redeliver_delay: Option<u64>,
    },
}

impl SocketRequest {
    /// The pattern of a frame that subscribes, also of one that is not legal otherwise: clients find what became of
    /// it by the pattern.
    #[must_use]
    pub fn pattern_in(frame: &[u8]) -> Option<String> {
        let frame: serde_json::Value = serde_json::from_slice(frame).ok()?;
        let pattern = frame["subscription"]["pattern"].as_str()?;
        (frame["type"] == "subscribe").then(|| pattern.to_owned())
    }
}

/// What is said of an event, in the words of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum AckType {
    /// It is done.
    #[default]
    #[serde(rename = "ack", alias = "ACK_TYPE_ACK", alias = "ACK_TYPE_UNSPECIFIED")]
    Ack,
    /// It is not done.
    #[serde(rename = "nak", alias = "ACK_TYPE_NAK")]
    Nak,
    /// Nobody can do it.
    #[serde(rename = "term", alias = "ACK_TYPE_TERM")]
    Term,
}

impl From<AckType> for VerdictKind {
    fn from(ack: AckType) -> Self {
        match ack {
            AckType::Ack => Self::Ack,
            AckType::Nak => Self::Nak,
            AckType::Term => Self::Term,
        }
    }
}

/// A frame of the server.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SocketFrame {
    /// What became of a `subscribe`.
    SubscriptionResult {
        /// One result.
        results: [SubscriptionResult; 1],
    },
    /// An event.
    #[serde(rename_all = "camelCase")]
    Event {
        /// Of which subscription.
        subscription_id: String,
        /// Its topic.
        topic: String,
        /// Its data.
        data: JsonText,
        /// When, and its position.
        meta: EventMeta,
        /// Its id.
        event_id: String,
        /// Where the subscription is with it, if cursors are wanted.
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    },
    /// A subscription ended.
    #[serde(rename_all = "camelCase")]
    SubscriptionError {
        /// Which.
        subscription_id: String,
        /// The code of Connect, in capitals.
        code: String,
        /// For people.
        message: String,
        /// Whether the server takes it up again by itself, which it never does.
        retrying: bool,
        /// Where it was, if cursors are wanted.
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    },
    /// A frame was not taken, or the socket ends.
    Error {
        /// The code of Connect, in capitals.
        code: String,
        /// For people.
        message: String,
    },
    /// History has ended; if cursors are wanted.
    CaughtUp(SocketMark),
    /// Nothing new up to here; if cursors are wanted.
    Heartbeat(SocketMark),
    /// Events were left out; if cursors are wanted.
    LeftOut(SocketMark),
    /// Another deployment of a projection has taken the place of the one before; if cursors are wanted.
    #[serde(rename_all = "camelCase")]
    Redeployed {
        /// Of which subscription.
        subscription_id: String,
        /// The log index of the deployment.
        deployed: u64,
    },
}

/// What became of a `subscribe`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionResult {
    /// The pattern as it was sent.
    pub pattern: String,
    /// `ok` or `error`.
    pub status: &'static str,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_id: Option<String>,
    /// The code of Connect, in capitals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where it begins, if cursors are wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// When an event was recorded, and its position.
#[derive(Debug, Clone, Serialize)]
pub struct EventMeta {
    /// In RFC 3339.
    pub timestamp: String,
    /// The position.
    pub sequence: u64,
    /// The event's metadata, if it is wanted and there is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<JsonText>,
    /// Of a consumer group: which delivery this is, from 1.
    #[serde(rename = "deliveryAttempt", skip_serializing_if = "Option::is_none")]
    pub delivery_attempt: Option<u32>,
}

/// What is said between events.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SocketMark {
    /// Of which subscription.
    pub subscription_id: String,
    /// Where it is.
    pub cursor: String,
    /// The position of the cursor.
    pub sequence: u64,
    /// Events that are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl SocketFrame {
    /// The frame as text.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// A new state of a projection.
    #[must_use]
    pub fn of_state(id: &str, update: &ViewUpdate) -> Self {
        let (event_id, _, recorded_at) = &update.last_event;
        Self::Event {
            subscription_id: id.to_owned(),
            topic: update.topic(),
            data: update.payload(),
            meta: EventMeta {
                timestamp: format_timestamp(*recorded_at),
                sequence: update.position.0,
                custom: None,
                delivery_attempt: None,
            },
            event_id: event_id.to_string(),
            cursor: None,
        }
    }

    /// An error about the socket.
    #[must_use]
    pub fn error(error: &ApiError) -> Self {
        Self::Error { code: code_of(error), message: error.message.clone() }
    }

    /// A `subscribe` that was refused.
    #[must_use]
    pub fn refused(pattern: &str, error: &ApiError) -> Self {
        Self::SubscriptionResult {
            results: [SubscriptionResult {
                pattern: pattern.to_owned(),
                status: "error",
                subscription_id: None,
                code: Some(code_of(error)),
                message: Some(error.message.clone()),
                cursor: None,
            }],
        }
    }

    /// A `subscribe` that stands.
    #[must_use]
    pub fn subscribed(pattern: &str, id: &str, cursor: Option<String>) -> Self {
        Self::SubscriptionResult {
            results: [SubscriptionResult {
                pattern: pattern.to_owned(),
                status: "ok",
                subscription_id: Some(id.to_owned()),
                code: None,
                message: None,
                cursor,
            }],
        }
    }
}

/// The code of Connect as the contract spells it on sockets.
#[must_use]
pub fn code_of(error: &ApiError) -> String {
    error.code.connect_code().as_str().to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn frames_of_the_sdks_are_read() {
        let subscribe = r#"{"type":"subscribe","subscription":{"pattern":"events:x","options":{"replay":2,
            "includeMetadata":true,"backpressure":"buffer","namespace":"default"}}}"#;
        let SocketRequest::Subscribe { subscription } = serde_json::from_str(subscribe).unwrap() else {
            panic!("not a subscribe")
        };
        assert!(subscription.wants_metadata() && subscription.to_request().is_ok());
        for text in [
            r#"{"type":"unsubscribe","subscriptionId":"s"}"#,
            r#"{"type":"ack","eventId":"e1","ackType":"nak","redeliverDelay":500}"#,
            r#"{"type":"ack","eventId":"e1"}"#,
        ] {
            assert!(serde_json::from_str::<SocketRequest>(text).is_ok(), "{text}");
        }
        for bad in
            [r#"{"type":"other"}"#, r#"{"type":"ack"}"#, r#"{"type":"ack","eventId":"e","ackType":"x"}"#]
        {
            assert!(serde_json::from_str::<SocketRequest>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_is_echoed_byte_for_byte() {
        let pattern = "entity:größe.\"a\".>";
        let text = SocketFrame::subscribed(pattern, "s", None).text();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["type"], "subscription_result");
        assert_eq!(read["results"][0]["pattern"], pattern);
        assert_eq!(read["results"][0]["subscriptionId"], "s");
    }
}

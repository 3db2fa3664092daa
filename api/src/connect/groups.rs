//! `ironflow.v1.PubSubService`: its calls for consumer groups, and what goes over the streams of one.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_types::{AckMode, ConsumerGroup, ConsumerGroupName, ConsumerStatus};

use super::proto_json::text;
use crate::{
    ApiError, ErrorCode, number,
    socket::AckType,
    v1::{ConsumerGroupBody, ConsumerGroupChange, GroupAckMode, GroupStatus},
};

/// A call about a group: `CreateConsumerGroup`, `GetConsumerGroup`, `UpdateConsumerGroup`, `DeleteConsumerGroup` and
/// `ListConsumerGroups`. The fields of a group are taken beside the others, or within `group`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerGroupRequest {
    /// The group.
    pub group: Option<Box<Self>>,
    /// Of an update: what it changes; without it, what is not the default.
    #[serde(alias = "update_mask")]
    pub update_mask: Option<FieldMask>,
    /// The group's name, which is its id here.
    #[serde(deserialize_with = "text")]
    pub id: String,
    /// The group's name.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// The group's name.
    #[serde(alias = "group_name", deserialize_with = "text")]
    pub group_name: String,
    /// The namespace; `default` is the only one.
    #[serde(deserialize_with = "text")]
    pub namespace: String,
    /// Which events it hands out.
    #[serde(deserialize_with = "text")]
    pub pattern: String,
    /// Which of these events: an expression of CEL; all when it is empty.
    #[serde(alias = "filter_expr", deserialize_with = "text")]
    pub filter_expr: String,
    /// What settles an event that is sent to a `JoinConsumerGroup`.
    #[serde(alias = "ack_mode", deserialize_with = "text")]
    pub ack_mode: String,
    /// A group drops nothing: `DROP` is not served.
    #[serde(deserialize_with = "text")]
    pub backpressure: String,
    /// Events that are with consumers at once; 0 is the default.
    #[serde(
        alias = "max_inflight",
        alias = "maxInFlight",
        alias = "max_in_flight",
        deserialize_with = "number::or_zero"
    )]
    pub max_inflight: u64,
    /// How often an event is handed out again; 0 is the default.
    #[serde(alias = "max_redeliveries", deserialize_with = "number::or_zero")]
    pub max_redeliveries: u64,
    /// How long an event rests after a nak; 0 is the default.
    #[serde(alias = "redeliver_delay_ms", deserialize_with = "number::or_zero")]
    pub redeliver_delay_ms: u64,
    /// What somebody keeps with the group, which is not served.
    pub metadata: Value,
    /// Whether it hands out events.
    #[serde(deserialize_with = "text")]
    pub status: String,
}

/// The fields that an update is about: `maxInflight,status`, or as an object with `paths`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum FieldMask {
    /// As protobuf's JSON has it.
    Text(String),
    /// As an object.
    Paths {
        /// The fields.
        paths: Vec<String>,
    },
}

impl FieldMask {
    /// The fields in small letters, `max_inflight` and `maxInflight` alike.
    fn fields(&self) -> Vec<String> {
        let plain = |path: &str| path.trim().replace('_', "").to_ascii_lowercase();
        let all: Vec<String> = match self {
            Self::Text(text) => text.split(',').map(plain).collect(),
            Self::Paths { paths } => paths.iter().map(|path| plain(path)).collect(),
        };
        all.into_iter().filter(|field| !field.is_empty()).collect()
    }
}

impl ConsumerGroupRequest {
    /// The name of the group that is meant.
    ///
    /// # Errors
    /// `invalid_name`, or `unimplemented` for another namespace.
    pub fn to_name(&self) -> Result<ConsumerGroupName, ApiError> {
        self.check_namespace()?;
        let given = [&self.name, &self.group_name, &self.id];
        let name = given.into_iter().find(|name| !name.is_empty());
        match (name, &self.group) {
            (None, Some(group)) => group.to_name(),
            (name, _) => Ok(ConsumerGroupName::new(name.map_or("", String::as_str))?),
        }
    }

    /// The group that is to be made.
    ///
    /// # Errors
    /// `invalid_name`, `invalid_request`, or `unimplemented` for what groups do not have.
    pub fn to_body(&self) -> Result<ConsumerGroupBody, ApiError> {
        let name = self.to_name()?;
        let group = self.group.as_deref().unwrap_or(self);
        group.check()?;
        Ok(ConsumerGroupBody {
            name: name.to_string(),
            pattern: group.pattern.clone(),
            filter: Some(group.filter_expr.clone()).filter(|filter| !filter.is_empty()),
            max_in_flight: said(group.max_inflight),
            max_redeliveries: said(group.max_redeliveries),
            redeliver_delay_ms: said(group.redeliver_delay_ms),
            status: group.status()?,
            ack_mode: group.ack_mode()?,
            ..ConsumerGroupBody::default()
        })
    }

    /// What is to be changed, of which group.
    ///
    /// # Errors
    /// `invalid_name`, `invalid_request` for a mask that names no field, or `unimplemented` for what groups do not have.
    pub fn to_change(&self) -> Result<(ConsumerGroupName, ConsumerGroupChange), ApiError> {
        let name = self.to_name()?;
        let group = self.group.as_deref().unwrap_or(self);
        group.check()?;
        let mask = self.update_mask.as_ref().map(FieldMask::fields).filter(|fields| !fields.is_empty());
        let change = match mask {
            Some(fields) => group.masked(&fields)?,
            None => ConsumerGroupChange {
                pattern: Some(group.pattern.clone()).filter(|pattern| !pattern.is_empty()),
                filter: Some(group.filter_expr.clone()).filter(|filter| !filter.is_empty()),
                max_in_flight: said(group.max_inflight),
                max_redeliveries: said(group.max_redeliveries),
                redeliver_delay_ms: said(group.redeliver_delay_ms),
                status: group.status()?,
                ack_mode: group.ack_mode()?,
                ..ConsumerGroupChange::default()
            },
        };
        Ok((name, change))
    }

    /// What a mask names, also where it is 0.
    fn masked(&self, fields: &[String]) -> Result<ConsumerGroupChange, ApiError> {
        let mut change = ConsumerGroupChange::default();
        for field in fields {
            match field.as_str() {
                "pattern" => change.pattern = Some(self.pattern.clone()),
                "filterexpr" => change.filter = Some(self.filter_expr.clone()),
                "maxinflight" => change.max_in_flight = Some(self.max_inflight),
                "maxredeliveries" => change.max_redeliveries = Some(self.max_redeliveries),
                "redeliverdelayms" => change.redeliver_delay_ms = Some(self.redeliver_delay_ms),
                "status" => change.status = Some(self.status()?.unwrap_or(GroupStatus::Active)),
                "ackmode" => change.ack_mode = Some(self.ack_mode()?.unwrap_or(GroupAckMode::Auto)),
                // These are as every group has them, or were refused.
                "name" | "namespace" | "backpressure" | "metadata" => {}
                other => {
                    return Err(ApiError::invalid(format!(
                        "updateMask names `{other}`, which does not change"
                    )));
                }
            }
        }
        Ok(change)
    }

    /// Checks the namespace, which is all that `ListConsumerGroups` says.
    ///
    /// # Errors
    /// `unimplemented` for another than `default`.
    pub fn check_namespace(&self) -> Result<(), ApiError> {
        match self.namespace.as_str() {
            "" | "default" => Ok(()),
            _ => Err(lacks("namespaces beside `default`")),
        }
    }

    fn check(&self) -> Result<(), ApiError> {
        self.check_namespace()?;
        if !matches!(&self.metadata, Value::Null) && self.metadata != Value::Object(serde_json::Map::new()) {
            return Err(lacks("metadata of consumer groups"));
        }
        match word(&self.backpressure).as_str() {
            // It is what a group does: what its consumers do not take waits in the log.
            "" | "block" | "buffer" => Ok(()),
            "drop" => Err(lacks("consumer groups that drop events")),
            _ => Err(unknown("backpressure", &self.backpressure)),
        }
    }

    fn status(&self) -> Result<Option<GroupStatus>, ApiError> {
        match word(&self.status).as_str() {
            "" => Ok(None),
            "active" => Ok(Some(GroupStatus::Active)),
            "paused" => Ok(Some(GroupStatus::Paused)),
            "deleted" => Err(ApiError::invalid("a consumer group is deleted by DeleteConsumerGroup")),
            _ => Err(unknown("status", &self.status)),
        }
    }

    fn ack_mode(&self) -> Result<Option<GroupAckMode>, ApiError> {
        match word(&self.ack_mode).as_str() {
            "" => Ok(None),
            "auto" => Ok(Some(GroupAckMode::Auto)),
            "manual" => Ok(Some(GroupAckMode::Manual)),
            _ => Err(unknown("ackMode", &self.ack_mode)),
        }
    }
}

/// In protobuf's JSON a number that is not said is 0.
fn said(number: u64) -> Option<u64> {
    Some(number).filter(|number| *number > 0)
}

/// The last word of an enum's name, in small letters; none where it is unspecified.
fn word(name: &str) -> String {
    let last = name.rsplit('_').next().unwrap_or_default().to_ascii_lowercase();
    if last == "unspecified" { String::new() } else { last }
}

fn unknown(field: &str, given: &str) -> ApiError {
    ApiError::invalid(format!("{field} `{given}` is not known"))
}

fn lacks(what: &str) -> ApiError {
    ApiError::new(ErrorCode::Unimplemented, format!("{what} are not served here"))
}

/// A group, as the contract tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerGroupMessage {
    id: String,
    namespace: &'static str,
    name: String,
    pattern: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    filter_expr: String,
    ack_mode: &'static str,
    backpressure: &'static str,
    max_inflight: u32,
    max_redeliveries: u32,
    redeliver_delay_ms: u64,
    status: &'static str,
}

impl From<&ConsumerGroup> for ConsumerGroupMessage {
    fn from(group: &ConsumerGroup) -> Self {
        Self {
            id: group.name.to_string(),
            namespace: "default",
            name: group.name.to_string(),
            pattern: group.pattern.as_str().to_owned(),
            filter_expr: group.filter.as_ref().map_or_else(String::new, |filter| filter.as_str().to_owned()),
            ack_mode: match group.ack_mode {
                AckMode::Auto => "ACK_MODE_AUTO",
                AckMode::Manual => "ACK_MODE_MANUAL",
            },
            backpressure: "BACKPRESSURE_MODE_BLOCK",
            max_inflight: group.terms.in_flight_max,
            max_redeliveries: group.terms.redeliveries_max,
            redeliver_delay_ms: u64::try_from(group.terms.redeliver_delay.as_millis()).unwrap_or(u64::MAX),
            status: match group.status {
                ConsumerStatus::Active => "CONSUMER_GROUP_STATUS_ACTIVE",
                ConsumerStatus::Paused => "CONSUMER_GROUP_STATUS_PAUSED",
            },
        }
    }
}

/// The answer about one group: its fields, and the same within `group`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsumerGroupAnswer {
    group: ConsumerGroupMessage,
    #[serde(flatten)]
    fields: ConsumerGroupMessage,
}

impl From<&ConsumerGroup> for ConsumerGroupAnswer {
    fn from(group: &ConsumerGroup) -> Self {
        let fields = ConsumerGroupMessage::from(group);
        Self { group: fields.clone(), fields }
    }
}

/// The answer to `ListConsumerGroups`: all of them, in order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListConsumerGroupsResponse {
    groups: Vec<ConsumerGroupMessage>,
    total_count: usize,
}

impl From<&[ConsumerGroup]> for ListConsumerGroupsResponse {
    fn from(groups: &[ConsumerGroup]) -> Self {
        Self { groups: groups.iter().map(Into::into).collect(), total_count: groups.len() }
    }
}

/// `JoinConsumerGroup`. Who joins is not told apart: `consumerId` and `clientId` are passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JoinConsumerGroupRequest {
    /// The group.
    #[serde(alias = "group_name", deserialize_with = "text")]
    pub group_name: String,
    /// The namespace; `default` is the only one.
    #[serde(deserialize_with = "text")]
    pub namespace: String,
    /// Of Weir: give each event's metadata.
    #[serde(alias = "include_metadata")]
    pub include_metadata: bool,
}

impl JoinConsumerGroupRequest {
    /// The group that is meant.
    ///
    /// # Errors
    /// `invalid_name`, or `unimplemented` for another namespace.
    pub fn to_name(&self) -> Result<ConsumerGroupName, ApiError> {
        let of = ConsumerGroupRequest { namespace: self.namespace.clone(), ..Default::default() };
        of.check_namespace()?;
        Ok(ConsumerGroupName::new(&self.group_name)?)
    }
}

/// What a client of `SubscribeBidirectional` says of an event that it was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionAck {
    /// The event's id.
    #[serde(alias = "event_id", deserialize_with = "text")]
    pub event_id: String,
    /// What is said of it; an ack without it.
    #[serde(alias = "ack_type")]
    pub ack_type: AckType,
    /// Of a nak: milliseconds until the event is handed out again; 0 is as the group has it.
    #[serde(alias = "redeliver_delay_ms", deserialize_with = "number::or_zero")]
    pub redeliver_delay_ms: u64,
}

impl SubscriptionAck {
    /// The delay, if one is said.
    #[must_use]
    pub fn delay_ms(&self) -> Option<u64> {
        said(self.redeliver_delay_ms)
    }
}

#[cfg(test)]
mod tests {
    use weir_types::Position;

    use super::*;

    fn read(text: &str) -> ConsumerGroupRequest {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_group_is_made_of_either_shape_and_case() {
        let within = read(
            r#"{"group":{"namespace":"default","name":"mail","pattern":"events:order.*","filter_expr":"",
                "ack_mode":"ACK_MODE_MANUAL","backpressure":"BACKPRESSURE_MODE_UNSPECIFIED","max_inflight":5,
                "max_redeliveries":0,"redeliver_delay_ms":"100","metadata":{}}}"#,
        );
        let beside = read(
            r#"{"groupName":"mail","pattern":"events:order.*","ackMode":"manual","maxInflight":"5",
                "redeliverDelayMs":100,"metadata":null,"somethingNew":1}"#,
        );
        let body = within.to_body().unwrap();
        assert_eq!(body, beside.to_body().unwrap());
        let group = body.to_group(Position(0)).unwrap();
        assert_eq!((group.terms.in_flight_max, group.terms.redeliveries_max), (5, 3), "0 is not said");
        let told = serde_json::to_value(ConsumerGroupAnswer::from(&group)).unwrap();
        assert_eq!((&told["name"], &told["group"]["id"]), (&"mail".into(), &"mail".into()));
        assert_eq!(told["status"], "CONSUMER_GROUP_STATUS_ACTIVE");
        assert_eq!((&told["ackMode"], &told["maxInflight"]), (&"ACK_MODE_MANUAL".into(), &5.into()));
    }

    #[test]
    fn what_groups_do_not_have_is_refused() {
        for (fields, code) in [
            (r#""filterExpr":"data.n > 1""#, None),
            (r#""metadata":{"team":"post"}"#, Some(ErrorCode::Unimplemented)),
            (r#""backpressure":"BACKPRESSURE_MODE_DROP""#, Some(ErrorCode::Unimplemented)),
            (r#""namespace":"other""#, Some(ErrorCode::Unimplemented)),
            (r#""backpressure":"SIDEWAYS""#, Some(ErrorCode::InvalidRequest)),
            (r#""status":"CONSUMER_GROUP_STATUS_DELETED""#, Some(ErrorCode::InvalidRequest)),
            (r#""ackMode":"maybe""#, Some(ErrorCode::InvalidRequest)),
            (r#""name":"a b""#, Some(ErrorCode::InvalidName)),
            (r#""backpressure":"BACKPRESSURE_MODE_BUFFER","status":"CONSUMER_GROUP_STATUS_PAUSED""#, None),
        ] {
            let given = if fields.contains("\"name\"") { "" } else { r#""name":"mail","# };
            let asked = read(&format!(r#"{{{given}"pattern":">",{fields}}}"#));
            assert_eq!(asked.to_body().err().map(|error| error.code), code, "{fields}");
        }
        assert_eq!(read(r#"{"pattern":">"}"#).to_name().unwrap_err().code, ErrorCode::InvalidName);
    }

    #[test]
    fn an_update_changes_what_its_mask_names_or_what_is_said() {
        let group = r#""group":{"name":"mail","pattern":">","maxInflight":7,"status":"CONSUMER_GROUP_STATUS_PAUSED"}"#;
        let (name, plain) = read(&format!("{{{group}}}")).to_change().unwrap();
        assert_eq!((name.as_str(), plain.max_in_flight, plain.max_redeliveries), ("mail", Some(7), None));
        assert_eq!((plain.status, plain.pattern.as_deref()), (Some(GroupStatus::Paused), Some(">")));
        for mask in [r#""max_redeliveries,status""#, r#"{"paths":["maxRedeliveries","status"]}"#] {
            let (_, masked) = read(&format!(r#"{{{group},"updateMask":{mask}}}"#)).to_change().unwrap();
            let wanted = ConsumerGroupChange {
                max_redeliveries: Some(0),
                status: Some(GroupStatus::Paused),
                ..ConsumerGroupChange::default()
            };
            assert_eq!(masked, wanted, "{mask}");
        }
        let (_, empty) = read(&format!(r#"{{{group},"updateMask":""}}"#)).to_change().unwrap();
        assert_eq!(empty, plain);
        let unknown = read(&format!(r#"{{{group},"updateMask":"memberCount"}}"#)).to_change();
        assert_eq!(unknown.unwrap_err().code, ErrorCode::InvalidRequest);
    }

    #[test]
    fn a_verdict_is_read_as_the_contract_writes_it() {
        let read = |text: &str| serde_json::from_str::<SubscriptionAck>(text).unwrap();
        let nak = read(r#"{"event_id":"e","ack_type":"ACK_TYPE_NAK","redeliver_delay_ms":"5"}"#);
        assert_eq!((nak.ack_type, nak.delay_ms()), (AckType::Nak, Some(5)));
        assert_eq!(read(r#"{"eventId":"e","ackType":"term"}"#).ack_type, AckType::Term);
        assert_eq!((read(r#"{"eventId":"e"}"#).ack_type, read("{}").delay_ms()), (AckType::Ack, None));
        assert!(serde_json::from_str::<SubscriptionAck>(r#"{"ackType":"ACK_TYPE_MAYBE"}"#).is_err());
    }
}

//! What is stored of worker-run projections, as JSON. Each has the version of its form.

use serde::{Deserialize, Serialize};
use weir_api::JsonText;
use weir_types::limits;

/// The form of all but what has one of its own.
const FORM: u32 = 1;
/// The form of a registration whose events go to NATS, which the first versions cannot read.
const FORM_OF_SUBJECTS: u32 = 2;

/// What a projection's events are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    /// For a state.
    Managed,
    /// For effects outside.
    External,
}

impl Mode {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Managed => "managed",
            Self::External => "external",
        }
    }
}

/// Where the cluster itself sends a projection's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Sink {
    /// To an HTTP server.
    #[serde(rename_all = "camelCase")]
    Webhook {
        url: String,
        /// With which it is signed; nobody is told.
        secret: Option<String>,
    },
    /// To a stream of JetStream.
    Nats { subject: String },
}

impl Sink {
    /// The form of a registration with it.
    pub(super) const fn form(&self) -> u32 {
        match self {
            Self::Webhook { .. } => FORM,
            Self::Nats { .. } => FORM_OF_SUBJECTS,
        }
    }
}

/// What becomes of an event that no worker could fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnFailure {
    /// The projection stops before it.
    Park,
    /// It is put aside, and the next ones come.
    DeadLetter,
}

impl OnFailure {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Park => "park",
            Self::DeadLetter => "dead_letter",
        }
    }
}

/// A projection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Registration {
    pub(super) form: u32,
    pub(super) name: String,
    pub(super) events: Vec<String>,
    pub(super) partition_key: Option<String>,
    pub(super) mode: Mode,
    pub(super) lease_ms: u64,
    pub(super) deliveries_max: u32,
    pub(super) on_failure: OnFailure,
    /// Only of a projection that is for its effects.
    pub(super) sink: Option<Sink>,
    /// The number of the state that is served.
    pub(super) generation: u64,
    /// The number of the state that is built to take its place.
    pub(super) building: Option<u64>,
    pub(super) paused: bool,
    /// Microseconds.
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
}

impl Registration {
    pub(super) fn new(name: String, generation: u64, at: i64) -> Self {
        Self {
            form: FORM,
            name,
            events: Vec::new(),
            partition_key: None,
            mode: Mode::Managed,
            lease_ms: limits::WORKER_LEASE_MS_DEFAULT,
            deliveries_max: limits::WORKER_DELIVERIES_DEFAULT,
            on_failure: OnFailure::Park,
            sink: None,
            generation,
            building: None,
            paused: false,
            created_at: at,
            updated_at: at,
        }
    }

    /// The generation that workers are handed events for.
    pub(super) fn worked_on(&self) -> u64 {
        self.building.unwrap_or(self.generation)
    }
}

/// An event at which a projection is parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parked {
    pub(super) event_id: String,
    pub(super) event: String,
    pub(super) position: u64,
    pub(super) reason: String,
}

/// How far a generation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ledger {
    pub(super) form: u32,
    /// Up to where all is saved.
    pub(super) position: u64,
    /// The highest position that is saved of any partition.
    pub(super) ahead: u64,
    /// Events that were saved.
    pub(super) saved: u64,
    /// Events that were given up.
    pub(super) dead: u64,
    pub(super) parked: Option<Parked>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { form: FORM, position: 0, ahead: 0, saved: 0, dead: 0, parked: None }
    }
}

/// A partition, with its own checkpoint in the same value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Partition {
    pub(super) form: u32,
    pub(super) position: u64,
    pub(super) event_id: String,
    /// None of a projection that is for its effects.
    pub(super) state: Option<JsonText>,
}

impl Partition {
    pub(super) fn new(position: u64, event_id: String, state: Option<JsonText>) -> Self {
        Self { form: FORM, position, event_id, state }
    }
}

/// An event that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Letter {
    pub(super) form: u32,
    pub(super) event_id: String,
    pub(super) name: String,
    pub(super) position: u64,
    pub(super) partition: String,
    pub(super) deliveries: u32,
}

impl Letter {
    pub(super) fn new(event: &weir_types::RecordedEvent, partition: String, deliveries: u32) -> Self {
        Self {
            form: FORM,
            event_id: event.id.to_string(),
            name: event.name.as_str().to_owned(),
            position: event.position.0,
            partition,
            deliveries,
        }
    }
}

/// What a stored value is of another form than this node knows.
pub(super) fn has_known_form(text: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Formed {
        form: u32,
    }
    serde_json::from_slice::<Formed>(text).is_ok_and(|formed| formed.form <= FORM_OF_SUBJECTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts are on disks: whoever changes one reads the old one too.
    #[test]
    fn what_is_stored_keeps_its_form() {
        fn check<T: Serialize + for<'a> Deserialize<'a> + PartialEq + std::fmt::Debug>(
            value: &T,
            text: &str,
        ) {
            assert_eq!(serde_json::to_string(value).unwrap(), text);
            assert_eq!(&serde_json::from_str::<T>(text).unwrap(), value);
            assert!(has_known_form(text.as_bytes()));
        }
        let registration = Registration {
            events: vec!["order.*".into()],
            partition_key: Some("$.data.customer.id".into()),
            on_failure: OnFailure::DeadLetter,
            sink: Some(Sink::Webhook { url: "http://mail:8080/in".into(), secret: Some("s".into()) }),
            building: Some(9),
            ..Registration::new("orders".into(), 7, 5)
        };
        check(
            &registration,
            r#"{"form":1,"name":"orders","events":["order.*"],"partitionKey":"$.data.customer.id","mode":"managed","leaseMs":30000,"deliveriesMax":10,"onFailure":"dead_letter","sink":{"webhook":{"url":"http://mail:8080/in","secret":"s"}},"generation":7,"building":9,"paused":false,"createdAt":5,"updatedAt":5}"#,
        );
        let parked = Parked { event_id: "e".into(), event: "n".into(), position: 3, reason: "r".into() };
        check(
            &Ledger { position: 2, ahead: 8, saved: 4, dead: 1, parked: Some(parked), ..Ledger::default() },
            r#"{"form":1,"position":2,"ahead":8,"saved":4,"dead":1,"parked":{"eventId":"e","event":"n","position":3,"reason":"r"}}"#,
        );
        check(
            &Partition::new(8, "e".into(), Some(serde_json::from_str(r#"{"n":1.10}"#).unwrap())),
            r#"{"form":1,"position":8,"eventId":"e","state":{"n":1.10}}"#,
        );
        let sink = Some(Sink::Nats { subject: "shop.mail".into() });
        let form = sink.as_ref().map_or(FORM, Sink::form);
        check(
            &Registration { form, sink, mode: Mode::External, ..Registration::new("mail".into(), 7, 5) },
            r#"{"form":2,"name":"mail","events":[],"partitionKey":null,"mode":"external","leaseMs":30000,"deliveriesMax":10,"onFailure":"park","sink":{"nats":{"subject":"shop.mail"}},"generation":7,"building":null,"paused":false,"createdAt":5,"updatedAt":5}"#,
        );
        assert!(!has_known_form(br#"{"form":3}"#) && !has_known_form(b"{}"));
    }
}

use bytes::Bytes;
use serde_json::json;
use weir_check::history::Expected;
use weir_types::{
    AppendRequest, ContentType, EntityId, EntityType, EventName, EventSource, ExpectedVersion, GroupId,
    IdempotencyKey, NewEvent, StreamVersion, Tag, Timestamp,
};

use crate::folds::{ACCOUNT, Flaw, MOVED, TAG, TELLER, amount, flaw, occurred_us, tagged};

/// The type of all entities but accounts.
const THING: &str = "thing";

/// An append as the history names it.
pub(super) struct Draft {
    pub(super) stream: String,
    pub(super) expected: Expected,
    pub(super) key: Option<String>,
    pub(super) marks: Vec<String>,
}

impl Draft {
    /// `None` when a name is not legal.
    pub(super) fn request(&self) -> Option<AppendRequest> {
        let account = self.marks.first().is_some_and(|mark| amount(mark).is_some());
        Some(AppendRequest {
            group: GroupId::DEFAULT,
            entity_id: EntityId::new(&self.stream).ok()?,
            entity_type: EntityType::new(if account { ACCOUNT } else { THING }).ok()?,
            expected: match self.expected {
                Expected::Any => ExpectedVersion::Any,
                Expected::Exact(version) => ExpectedVersion::Exact(StreamVersion(version)),
            },
            idempotency_key: self.key.as_ref().map(IdempotencyKey::new).transpose().ok()?,
            events: self.marks.iter().map(|mark| event(mark)).collect::<Option<_>>()?,
        })
    }
}

/// The event that a mark stands for: it says all of it.
fn event(mark: &str) -> Option<NewEvent> {
    let (schema_version, data) = match (amount(mark), flaw(mark)) {
        (None, _) => (1, json!({ "op": mark })),
        (Some(amount), Some(Flaw::Data)) => (1, json!({ "op": mark, "amount": amount.to_string() })),
        (Some(amount), _) if amount % 2 == 0 => (2, json!({ "op": mark, "cents": 100 * amount })),
        (Some(amount), _) => (1, json!({ "op": mark, "amount": amount })),
    };
    let metadata = match flaw(mark) {
        Some(Flaw::Metadata) => Bytes::new(),
        _ if amount(mark).is_some() => Bytes::from(json!({ TELLER: "sim" }).to_string()),
        _ => Bytes::new(),
    };
    Some(NewEvent {
        id: None,
        name: EventName::new(if amount(mark).is_some() { MOVED } else { "thing.done" }).ok()?,
        schema_version,
        content_type: ContentType::Json,
        data: Bytes::from(data.to_string()),
        metadata,
        occurred_at: occurred_us(mark).map(Timestamp),
        source: EventSource::Api,
        tags: tagged(mark).then(|| Tag::new(TAG)).into_iter().collect::<Result<_, _>>().ok()?,
    })
}

use weir_api::ApiError;
use weir_check::history::{Call, Outcome, Seen};
use weir_types::{
    AppendAck, Condition, EntityId, ExpectedVersion, GroupId, IdempotencyKey, Position, StreamAppend,
    StreamCheck, StreamVersion, Tag, TransactionRequest,
};

use super::{Desk, Draft, Rests, Together, failed};
use crate::plant::Plant;

impl Desk {
    /// Appends to several streams at once; one outcome for each part.
    pub(super) async fn transact(&self, asked: Together) -> Vec<Outcome> {
        let count = asked.parts.len();
        let all = |outcome: Outcome| vec![outcome; count];
        let Some(mut request) = request(asked) else {
            return all(failed(&ApiError::invalid("no transaction")));
        };
        if self.plant == Some(Plant::RestsForgotten) {
            request.checks.clear();
            request.conditions.clear();
        }
        let last = request.appends.last().cloned();
        if self.plant == Some(Plant::PartApart) && count > 1 {
            request.appends.truncate(count - 1);
        }
        let mut acks = match self.engine.transact(request).await {
            Ok(ack) => ack.streams.into_iter().map(|(_, ack)| Outcome::Ok { seen: seen(&ack) }).collect(),
            Err(error) => all(failed(&error.into())),
        };
        if let (true, Some(part)) = (acks.len() < count, last) {
            let apart = self.engine.append(alone(part)).await;
            acks.push(
                apart.map_or_else(|error| failed(&error.into()), |ack| Outcome::Ok { seen: seen(&ack) }),
            );
        }
        acks
    }
}

/// `None` when a part is no append, or a name is not legal.
fn request(Together { parts, rests }: Together) -> Option<TransactionRequest> {
    let seat = rests.as_ref().map(|rests| Tag::new(format!("seat:{}", rests.seat))).transpose().ok()?;
    let check = |rests: &Rests| {
        let expected = ExpectedVersion::Exact(StreamVersion(rests.version));
        Some(StreamCheck { entity_id: EntityId::new(&rests.stream).ok()?, expected })
    };
    let condition = |rests: &Rests| {
        let (after, tags) = (Position(rests.after), seat.iter().cloned().collect());
        Condition { after, names: Vec::new(), tags }
    };
    let mut named = None;
    let mut append = |part| {
        let Call::Append { stream, expected, key, marks, .. } = part else { return None };
        named = key.clone();
        let mut part = Draft { stream, expected, key, marks }.request()?;
        part.events.iter_mut().for_each(|event| event.tags.extend(seat.clone()));
        Some(StreamAppend {
            entity_id: part.entity_id,
            entity_type: part.entity_type,
            expected: part.expected,
            events: part.events,
        })
    };
    Some(TransactionRequest {
        appends: parts.into_iter().map(&mut append).collect::<Option<_>>()?,
        idempotency_key: named.map(IdempotencyKey::new).transpose().ok()?,
        group: GroupId::DEFAULT,
        checks: rests.iter().map(check).collect::<Option<_>>()?,
        conditions: rests.iter().map(condition).collect(),
    })
}

fn alone(part: StreamAppend) -> weir_types::AppendRequest {
    weir_types::AppendRequest {
        group: GroupId::DEFAULT,
        entity_id: part.entity_id,
        entity_type: part.entity_type,
        expected: part.expected,
        idempotency_key: None,
        events: part.events,
    }
}

pub(super) fn seen(ack: &AppendAck) -> Seen {
    Seen::Appended {
        first_version: ack.first_version.0,
        last_version: ack.last_version.0,
        first_position: ack.first_position.0,
        repeated: ack.repeated,
    }
}

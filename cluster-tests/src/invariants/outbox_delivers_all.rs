//! O1: JetStream holds every committed event exactly once, in position order;
//! the stream's sequence is the position.

use weir_types::{EntityId, EntityType, EventName, GroupId, InvariantId::O1, subject_of};

use super::{Violation, hold};
use crate::{
    nats::PublishedEvent,
    replica::{Replica, StoredEvent},
};

/// Checks all of a stream against a replica that has applied everything.
///
/// # Errors
/// The first message that is out of place, missing or not the event.
pub fn check(published: &[PublishedEvent], replica: &Replica) -> Result<(), Violation> {
    let (messages, events) = (published.len(), replica.events.len());
    hold(O1, messages == events, || format!("JetStream holds {messages} messages, the log {events} events"))?;
    for (message, event) in published.iter().zip(&replica.events) {
        let numbers = [message.sequence, message.position, event.position];
        hold(O1, numbers.iter().all(|number| *number == event.position), || {
            format!("(sequence, header's position, position) are {numbers:?}")
        })?;
        let carried = carried(message);
        hold(O1, carried == [event.id.as_str(), &event.entity_id, &event.name], || {
            format!("message {} carries {carried:?}, the log has {event:?}", message.sequence)
        })?;
        let subject = expected_subject(event);
        hold(O1, message.subject == subject, || {
            format!("message {} is on `{}`, not on `{subject}`", message.sequence, message.subject)
        })?;
    }
    Ok(())
}

/// Id, entity and name of the event in a message.
fn carried(message: &PublishedEvent) -> [&str; 3] {
    let text =
        |names: [&str; 2]| names.iter().find_map(|name| message.event[name].as_str()).unwrap_or_default();
    [text(["id", "event_id"]), text(["entity_id", "entityId"]), text(["name", "event_name"])]
}

fn expected_subject(event: &StoredEvent) -> String {
    let words =
        (EntityType::new(&event.entity_type), EntityId::new(&event.entity_id), EventName::new(&event.name));
    match words {
        (Ok(kind), Ok(entity), Ok(name)) => subject_of(GroupId::DEFAULT, &kind, &entity, &name),
        _ => format!("no subject: {event:?} has a name that is not legal"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::replica::sample;

    fn published() -> Vec<PublishedEvent> {
        let message = |event: &StoredEvent| PublishedEvent {
            sequence: event.position,
            position: event.position,
            subject: expected_subject(event),
            event: json!({ "id": event.id, "entityId": event.entity_id, "name": event.name }),
        };
        sample(1).events.iter().map(message).collect()
    }

    #[test]
    fn a_lost_a_doubled_a_swapped_and_a_changed_message_are_found() {
        assert_eq!(check(&published(), &sample(1)), Ok(()));
        let (mut lost, mut doubled, mut swapped, mut changed) =
            (published(), published(), published(), published());
        lost.pop();
        doubled.insert(1, doubled[1].clone());
        swapped.swap(1, 2);
        changed[0].event["name"] = json!("other");
        for broken in [lost, doubled, swapped, changed] {
            assert!(check(&broken, &sample(1)).is_err());
        }
    }
}

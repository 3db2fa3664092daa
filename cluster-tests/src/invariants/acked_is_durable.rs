//! A1: what was acknowledged is on every replica, at the version and the
//! position that the answer named, once.

use std::collections::HashMap;

use weir_types::InvariantId::A1;

use super::{Violation, hold};
use crate::{history::History, replica::Replica};

/// Checks every acknowledgement against one replica.
///
/// # Errors
/// The first acknowledgement that the replica does not honour.
pub fn check(history: &History, replica: &Replica) -> Result<(), Violation> {
    let mut found: HashMap<&str, Vec<(&str, u64, u64)>> = HashMap::new();
    for event in &replica.events {
        if let Some(op) = event.op() {
            found.entry(op).or_default().push((&event.entity_id, event.version, event.position));
        }
    }
    for acked in history.acked() {
        let told = (acked.entity_id.as_str(), acked.version, acked.position);
        let held = found.get(acked.op.as_str()).map_or(&[][..], Vec::as_slice);
        hold(A1, held == [told], || {
            let (op, node) = (&acked.op, replica.node);
            format!(
                "op {op} was acknowledged as (stream, version, position) {told:?}; node {node} holds {held:?}"
            )
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::Acked, replica::sample};

    fn acked(position: u64, version: u64) -> History {
        let mut history = History::default();
        history.ack(Acked { op: format!("op-{position}"), entity_id: "a".to_owned(), version, position });
        history
    }

    #[test]
    fn a_lost_a_moved_and_a_doubled_ack_are_found() {
        assert_eq!(check(&acked(3, 2), &sample(1)), Ok(()));
        assert!(check(&acked(6, 4), &sample(1)).is_err(), "lost");
        assert!(check(&acked(3, 1), &sample(1)).is_err(), "moved");
        let mut doubled = sample(1);
        doubled.events.push(doubled.events[2].clone());
        assert!(check(&acked(3, 2), &doubled).is_err(), "doubled");
    }
}

//! A4: a refused append left nothing; and nothing is there that nobody sent.

use weir_types::InvariantId::A4;

use super::{Violation, hold};
use crate::{history::History, replica::Replica};

/// Checks every event of one replica against what clients did.
///
/// # Errors
/// The first event that was refused, or that no client ever sent.
pub fn check(history: &History, replica: &Replica) -> Result<(), Violation> {
    for event in &replica.events {
        let Some(op) = event.op() else { continue };
        hold(A4, history.was_attempted(op), || {
            format!("node {} holds op {op} at position {}, which nobody sent", replica.node, event.position)
        })?;
        let refused = history.refused().get(op);
        hold(A4, refused.is_none(), || {
            let (node, position) = (replica.node, event.position);
            format!("op {op} was refused with {refused:?}; node {node} holds it at position {position}")
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::sample;

    fn all_attempted() -> History {
        let mut history = History::default();
        (1..=5).for_each(|position| history.attempt(&format!("op-{position}")));
        history
    }

    #[test]
    fn a_phantom_and_a_refused_event_are_found() {
        assert_eq!(check(&all_attempted(), &sample(1)), Ok(()));
        assert!(check(&History::default(), &sample(1)).is_err(), "phantom");
        let mut refused = all_attempted();
        refused.refuse("op-2", "version_conflict");
        assert!(check(&refused, &sample(1)).is_err(), "refused");
    }
}

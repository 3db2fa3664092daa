//! R2: positions are 1..n with no hole, and equal on all replicas.

use weir_types::InvariantId::R2;

use super::{Violation, hold};
use crate::replica::Replica;

/// Checks replicas that have applied the same.
///
/// # Errors
/// The first position that is out of place or differs between two nodes.
pub fn check(replicas: &[Replica]) -> Result<(), Violation> {
    for replica in replicas {
        for (expected, event) in (1..).zip(&replica.events) {
            hold(R2, event.position == expected, || {
                let node = replica.node;
                format!("node {node} has position {} where {expected} belongs", event.position)
            })?;
        }
    }
    let Some((first, others)) = replicas.split_first() else { return Ok(()) };
    for other in others {
        let (a, b) = (first.node, other.node);
        hold(R2, first.events.len() == other.events.len(), || {
            format!("node {a} has {} events, node {b} has {}", first.events.len(), other.events.len())
        })?;
        let differs = first.events.iter().zip(&other.events).find(|(one, two)| one != two);
        hold(R2, differs.is_none(), || format!("nodes {a} and {b} differ: {differs:?}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::sample;

    #[test]
    fn a_hole_a_shorter_log_and_another_event_are_found() {
        assert_eq!(check(&[sample(1), sample(2)]), Ok(()));
        let (mut hole, mut short, mut other) = (sample(2), sample(2), sample(2));
        hole.events.remove(1);
        short.events.pop();
        other.events[4].id = "id-x".to_owned();
        for broken in [hole, short, other] {
            assert!(check(&[sample(1), broken]).is_err());
        }
    }
}

//! A2: the versions of a stream are 1..n with no hole and no double.

use weir_types::InvariantId::A2;

use super::{Violation, hold};
use crate::replica::Replica;

/// Checks every stream of one replica.
///
/// # Errors
/// The first version that is out of place.
pub fn check(replica: &Replica) -> Result<(), Violation> {
    for (stream, events) in replica.streams() {
        for (expected, event) in (1..).zip(events) {
            hold(A2, event.version == expected, || {
                let (node, version, position) = (replica.node, event.version, event.position);
                format!(
                    "stream `{stream}` on node {node}: version {version} at position {position}, \
                     where {expected} belongs"
                )
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::sample;

    #[test]
    fn a_hole_and_a_double_are_found() {
        assert_eq!(check(&sample(1)), Ok(()));
        let (mut hole, mut double) = (sample(1), sample(1));
        hole.events.remove(2);
        assert!(check(&hole).is_err());
        double.events[3].version = 2;
        assert!(check(&double).is_err());
    }
}

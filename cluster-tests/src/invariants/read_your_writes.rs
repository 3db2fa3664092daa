//! Q1: a read with `min_position` sees it.

use weir_types::InvariantId::Q1;

use super::{Violation, hold};

/// A read that named the position of an acknowledged append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The node that answered.
    pub node: u64,
    /// The position that the read asked for.
    pub min_position: u64,
    /// The position that the answer reflects.
    pub answered_at: u64,
    /// What the append wrote, and whether the answer shows it.
    pub shows_it: bool,
}

/// Checks every probe.
///
/// # Errors
/// The first answer that was older than it was asked to be.
pub fn check(probes: &[Probe]) -> Result<(), Violation> {
    for probe in probes {
        let fresh = probe.shows_it && probe.answered_at >= probe.min_position;
        hold(Q1, fresh, || format!("{probe:?}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_answer_is_found() {
        let probe = |answered_at, shows_it| Probe { node: 1, min_position: 7, answered_at, shows_it };
        assert_eq!(check(&[probe(7, true), probe(9, true)]), Ok(()));
        assert!(check(&[probe(6, true)]).is_err());
        assert!(check(&[probe(7, false)]).is_err());
    }
}

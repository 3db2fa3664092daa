//! What must hold of the leases under which workers fold a projection, by what the workers saw. Times are of one clock.

/// What a worker saw of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact<T> {
    /// Events were handed out.
    Given {
        /// The lease's number.
        number: u64,
        /// When that was known.
        ended: T,
    },
    /// A save was taken.
    Saved {
        /// The lease's number.
        number: u64,
        /// When it was asked for.
        began: T,
    },
}

/// Saves that were taken although events had been handed out under a newer lease before they were asked for.
#[must_use]
pub fn judge<T: Copy + Ord>(facts: &[Fact<T>]) -> Vec<String> {
    let given = |fact: &Fact<T>| match *fact {
        Fact::Given { number, ended } => Some((number, ended)),
        Fact::Saved { .. } => None,
    };
    let given: Vec<(u64, T)> = facts.iter().filter_map(given).collect();
    let late = |fact: &Fact<T>| match *fact {
        Fact::Saved { number, began } => {
            let (newer, _) = given.iter().find(|(newer, ended)| *ended < began && *newer > number)?;
            Some(format!("a save under lease {number} was taken after lease {newer} had begun"))
        }
        Fact::Given { .. } => None,
    };
    facts.iter().filter_map(late).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_save_is_late_when_a_newer_lease_was_seen_before_it_was_asked_for() {
        let given = |number, ended| Fact::Given { number, ended };
        let saved = |number, began| Fact::Saved { number, began };
        assert!(judge(&[given(1, 0), saved(1, 5), given(2, 10), saved(2, 12)]).is_empty());
        // Asked for before, and answered whenever.
        assert!(judge(&[given(1, 0), given(2, 10), saved(1, 9)]).is_empty());
        assert_eq!(judge(&[given(1, 0), given(2, 10), saved(1, 11)]).len(), 1);
    }
}

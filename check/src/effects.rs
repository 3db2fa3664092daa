//! What must hold of events that are sent to a server outside, by what the server heard.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// What a sender was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// That it is taken.
    Taken,
    /// That it is not.
    Refused,
    /// Nothing.
    Silence,
}

/// An event that came to a server outside.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Its position in the log.
    pub position: u64,
    /// Its id.
    pub id: String,
    /// The idempotency key that it came with.
    pub key: String,
    /// What its sender was told.
    pub reply: Reply,
}

/// What must not be: an event that was never sent, one that is not in the log, one under another id, and one that came
/// before one of those before it was taken.
#[must_use]
pub fn judge(due: &[(u64, String)], heard: &[Heard]) -> Vec<String> {
    let (mut wrong, mut taken, mut seen) = (Vec::new(), HashSet::new(), HashSet::new());
    for one in heard {
        match due.binary_search_by_key(&one.position, |(position, _)| *position) {
            Err(_) => wrong.push(format!("{one:?} is not in the log")),
            Ok(at) if due[at].1 != one.id || one.id != one.key => {
                wrong.push(format!("{one:?} is event {} in the log", due[at].1));
            }
            Ok(at) => {
                let before = at.checked_sub(1).map(|before| due[before].0);
                let too_early = before.is_some_and(|before| !taken.contains(&before));
                if seen.insert(one.position) && too_early {
                    wrong.push(format!("{one:?} was sent before {before:?} was taken"));
                }
            }
        }
        if one.reply == Reply::Taken {
            taken.insert(one.position);
        }
    }
    let missing = due.iter().filter(|(position, _)| !taken.contains(position));
    wrong.extend(missing.map(|(position, id)| format!("event {id} at {position} was never taken")));
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_come_in_order_each_under_its_id_until_it_is_taken() {
        let due = [(3, "a".to_owned()), (7, "b".to_owned())];
        let heard = |position, id: &str, reply| Heard { position, id: id.into(), key: id.into(), reply };
        use Reply::{Refused, Silence, Taken};
        for (all, fine) in [
            (vec![heard(3, "a", Taken), heard(7, "b", Taken)], true),
            (
                vec![
                    heard(3, "a", Refused),
                    heard(3, "a", Silence),
                    heard(3, "a", Taken),
                    heard(7, "b", Taken),
                ],
                true,
            ),
            (vec![heard(3, "a", Taken), heard(7, "b", Taken), heard(3, "a", Taken)], true),
            (vec![heard(3, "a", Taken)], false),
            (vec![heard(3, "a", Taken), heard(7, "b", Silence)], false),
            (vec![heard(7, "b", Taken), heard(3, "a", Taken)], false),
            (vec![heard(3, "a", Refused), heard(7, "b", Taken), heard(3, "a", Taken)], false),
            (vec![heard(3, "a", Taken), heard(7, "a", Taken), heard(7, "b", Taken)], false),
            (vec![heard(3, "a", Taken), heard(5, "c", Taken), heard(7, "b", Taken)], false),
        ] {
            assert_eq!(judge(&due, &all).is_empty(), fine, "{all:?}");
        }
    }
}

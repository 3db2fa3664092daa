use weir_types::{Deployment, ProjectionId};

/// Which generations of a projection a node folds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The one that answers.
    pub(super) serving: ProjectionId,
    /// The one that is to take its place, once it is not behind it.
    pub(super) next: Option<ProjectionId>,
}

impl Plan {
    /// All that is to be folded.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &ProjectionId> {
        std::iter::once(&self.serving).chain(&self.next)
    }
}

/// Decides by what the registry knows and by which generations serve, or once
/// did, on this node. `answers` is one that serves since before the registry
/// forgot it, which does when a node falls several generations behind. A node
/// that has none of them answers from the newest.
pub(super) fn plan(
    one: &Deployment,
    serves: impl Fn(&ProjectionId) -> bool,
    answers: Option<&ProjectionId>,
) -> Plan {
    let newest = || one.id.clone();
    match one.generations().map(|(id, _)| id).find(|id| serves(id)).or(answers) {
        None => Plan { serving: newest(), next: None },
        Some(serving) if *serving == one.id => Plan { serving: newest(), next: None },
        Some(serving) => {
            let wanted = !one.rebuild.is_some_and(|rebuild| rebuild.cancelled);
            Plan { serving: serving.clone(), next: wanted.then(newest) }
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_types::{
        EventPattern, LogIndex, OnError, ProjectionDefinition, ProjectionKind, ProjectionName, Rebuild,
        Timestamp,
    };

    use super::*;

    fn id(deployed: u64) -> ProjectionId {
        ProjectionId { name: ProjectionName::new("p").unwrap(), deployed: LogIndex(deployed) }
    }

    /// Generations 1 to `newest`.
    fn deployment(newest: u64, cancelled: Option<bool>) -> Deployment {
        let definition = ProjectionDefinition {
            name: id(1).name,
            events: vec![EventPattern::new("*").unwrap()],
            partition_key: None,
            source: "".into(),
            on_error: OnError::Park,
            kind: ProjectionKind::Async,
            sink: None,
        };
        let first = Deployment::new(id(1), definition.clone());
        let mut one = (2..=newest).fold(first, |one, at| one.succeeded_by(id(at), definition.clone()));
        one.rebuild = cancelled.map(|cancelled| Rebuild { asked_at: Timestamp(0), cancelled });
        one
    }

    #[test]
    fn the_newest_that_serves_answers_until_the_newest_of_all_does() {
        for (newest, cancelled, serves, serving, next) in [
            (1, None, vec![], 1, None),
            (1, None, vec![1], 1, None),
            (2, None, vec![], 2, None),
            (2, None, vec![1], 1, Some(2)),
            (2, Some(false), vec![1], 1, Some(2)),
            (2, Some(true), vec![1], 1, None),
            (2, Some(true), vec![1, 2], 2, None),
            (2, Some(true), vec![], 2, None),
            (3, None, vec![1], 1, Some(3)),
            (3, None, vec![1, 2], 2, Some(3)),
            (3, None, vec![1, 2, 3], 3, None),
        ] {
            let one = deployment(newest, cancelled);
            let serves: Vec<_> = serves.into_iter().map(id).collect();
            let expected = Plan { serving: id(serving), next: next.map(id) };
            let planned = plan(&one, |id| serves.contains(id), None);
            assert_eq!(planned, expected, "{newest} {cancelled:?} {serves:?}");
        }
    }

    #[test]
    fn what_answers_goes_on_when_the_registry_has_forgotten_it() {
        let one = deployment(9, None);
        for (serves, serving, next) in [(None, 1, Some(9)), (Some(8), 8, Some(9)), (Some(9), 9, None)] {
            let expected = Plan { serving: id(serving), next: next.map(id) };
            assert_eq!(plan(&one, |known| serves.map(id).as_ref() == Some(known), Some(&id(1))), expected);
        }
    }
}

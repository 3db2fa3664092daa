//! The registry of projections and of rules, and what becomes of a command to it: pure, and the same on every replica.

mod rules;
mod upcasters;

use std::collections::BTreeMap;

use self::rules::{RuleBook, judge_rules};
pub use self::{
    rules::RulesChange,
    upcasters::{UpcasterChange, UpcasterKey},
};
use crate::{
    Deployment, LogIndex, PartitionRebuild, ProjectionDefinition, ProjectionId, ProjectionKind,
    ProjectionName, Rebuild, RegistryCommand, RegistryError, RegistryOutcome, RuleSet, Timestamp, limits,
};

/// What a registry command changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryChange {
    /// Nothing.
    None,
    /// Deployments take the places of any others of their names.
    Put(Vec<Deployment>),
    /// The name is gone.
    Remove(ProjectionName),
    /// Rules or schemas of events are others.
    Rules(Box<RulesChange>),
}

/// The registry in memory, as of the last registry command that was applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    deployed: BTreeMap<ProjectionName, Deployment>,
    rules: RuleBook,
}

impl Registry {
    /// The registry that holds these deployments and rules.
    #[must_use]
    pub fn new(deployed: Vec<Deployment>, rules: &RuleSet) -> Self {
        let deployed = deployed.into_iter().map(|one| (one.name.clone(), one)).collect();
        Self { deployed, rules: RuleBook::new(rules) }
    }

    /// What is deployed, in order of names.
    pub fn deployments(&self) -> impl Iterator<Item = &Deployment> {
        self.deployed.values()
    }

    /// Takes a change.
    pub fn take(&mut self, change: RegistryChange) {
        match change {
            RegistryChange::None => {}
            RegistryChange::Put(deployments) => {
                self.deployed.extend(deployments.into_iter().map(|one| (one.name.clone(), one)));
            }
            RegistryChange::Remove(name) => {
                self.deployed.remove(&name);
            }
            RegistryChange::Rules(change) => self.rules.take(*change),
        }
    }

    /// What becomes of a command at `index`.
    #[must_use]
    pub fn judge(&self, index: LogIndex, command: &RegistryCommand) -> (RegistryChange, RegistryOutcome) {
        match command {
            RegistryCommand::Deploy(definition) => self.judge_deploy(index, definition),
            RegistryCommand::Remove(name) => {
                self.judge_named(name, |_| (RegistryChange::Remove(name.clone()), RegistryOutcome::Removed))
            }
            RegistryCommand::Rules(command) => {
                match judge_rules(&self.rules, index, command, &self.folding()) {
                    Ok((change, changed)) => {
                        (RegistryChange::Rules(Box::new(change)), RegistryOutcome::RulesChanged(changed))
                    }
                    Err(error) => (RegistryChange::None, RegistryOutcome::RulesRefused(error)),
                }
            }
            RegistryCommand::Pause(name) => self.judge_named(name, |standing| match standing.paused {
                true => (RegistryChange::None, RegistryOutcome::Changed),
                false => changed(Deployment { paused: true, ..standing.clone() }),
            }),
            RegistryCommand::Resume(name) => self.judge_named(name, |standing| {
                changed(Deployment { paused: false, resumed: index, ..standing.clone() })
            }),
            RegistryCommand::Rebuild { name, asked_at } => {
                self.judge_named(name, |standing| judge_rebuild(standing, index, *asked_at))
            }
            RegistryCommand::CancelRebuild(name) => self.judge_named(name, judge_cancel),
            RegistryCommand::Switch(one, other) => self.judge_switch(one, other),
            RegistryCommand::RebuildPartition { name, partition, asked_at } => {
                let (partition, asked_at) = (partition.clone(), *asked_at);
                let one = PartitionRebuild { at: index, partition, asked_at, cancelled: false };
                self.judge_named(name, |standing| judge_rebuild_partition(standing, one))
            }
        }
    }

    /// The log indexes of all generations that a node may fold.
    fn folding(&self) -> Vec<LogIndex> {
        self.deployed.values().flat_map(|one| one.generations().map(|(id, _)| id.deployed)).collect()
    }

    fn judge_named(
        &self,
        name: &ProjectionName,
        judge: impl FnOnce(&Deployment) -> (RegistryChange, RegistryOutcome),
    ) -> (RegistryChange, RegistryOutcome) {
        self.deployed.get(name).map_or_else(|| refused(RegistryError::NotFound), judge)
    }

    fn judge_deploy(
        &self,
        index: LogIndex,
        definition: &ProjectionDefinition,
    ) -> (RegistryChange, RegistryOutcome) {
        if let Err(error) = definition.check_limits() {
            return refused(error);
        }
        match self.deployed.get(&definition.name) {
            Some(standing) if standing.definition == *definition => {
                return (RegistryChange::None, RegistryOutcome::Deployed(standing.id.clone()));
            }
            None if self.deployed.len() >= limits::PROJECTIONS_MAX => {
                return refused(RegistryError::TooMany { max: limits::PROJECTIONS_MAX });
            }
            Some(_) | None => {}
        }
        let id = ProjectionId { name: definition.name.clone(), deployed: index };
        let one = match self.deployed.get(&definition.name) {
            Some(standing) => {
                Deployment { paused: false, ..standing.succeeded_by(id.clone(), definition.clone()) }
            }
            None => Deployment::new(id.clone(), definition.clone()),
        };
        (RegistryChange::Put(vec![one]), RegistryOutcome::Deployed(id))
    }

    fn judge_switch(
        &self,
        one: &ProjectionName,
        other: &ProjectionName,
    ) -> (RegistryChange, RegistryOutcome) {
        let (Some(first), Some(second)) = (self.deployed.get(one), self.deployed.get(other)) else {
            return refused(RegistryError::NotFound);
        };
        if one == other {
            return refused(RegistryError::Invalid {
                reason: "a projection cannot be switched with itself".into(),
            });
        }
        let put = vec![
            Deployment { name: one.clone(), ..second.clone() },
            Deployment { name: other.clone(), ..first.clone() },
        ];
        (RegistryChange::Put(put), RegistryOutcome::Changed)
    }
}

fn judge_rebuild(
    standing: &Deployment,
    index: LogIndex,
    asked_at: Timestamp,
) -> (RegistryChange, RegistryOutcome) {
    let id = ProjectionId { name: standing.id.name.clone(), deployed: index };
    let next = standing.succeeded_by(id.clone(), standing.definition.clone());
    let rebuild = Some(Rebuild { asked_at, cancelled: false });
    (RegistryChange::Put(vec![Deployment { rebuild, ..next }]), RegistryOutcome::Deployed(id))
}

fn judge_rebuild_partition(
    standing: &Deployment,
    one: PartitionRebuild,
) -> (RegistryChange, RegistryOutcome) {
    let kind = standing.definition.kind;
    match kind {
        ProjectionKind::Async | ProjectionKind::Inline => changed(standing.with_partition_rebuild(one)),
        ProjectionKind::Virtual | ProjectionKind::Sql => refused(RegistryError::Invalid {
            reason: format!("a projection of kind `{}` keeps no states of partitions", kind.as_str()),
        }),
    }
}

fn judge_cancel(standing: &Deployment) -> (RegistryChange, RegistryOutcome) {
    if standing.last_partition_rebuild().is_some_and(|last| !last.cancelled) {
        let mut next = standing.clone();
        next.partition_rebuilds.last_mut().expect("there is a last one").cancelled = true;
        return changed(next);
    }
    match standing.rebuild {
        Some(rebuild) if !rebuild.cancelled => {
            let rebuild = Some(Rebuild { cancelled: true, ..rebuild });
            changed(Deployment { rebuild, ..standing.clone() })
        }
        _ => refused(RegistryError::NotRebuilding),
    }
}

fn changed(one: Deployment) -> (RegistryChange, RegistryOutcome) {
    (RegistryChange::Put(vec![one]), RegistryOutcome::Changed)
}

fn refused(error: RegistryError) -> (RegistryChange, RegistryOutcome) {
    (RegistryChange::None, RegistryOutcome::Refused(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventPattern, OnError};

    fn name() -> ProjectionName {
        ProjectionName::new("p").unwrap()
    }

    fn definition(source: &str) -> ProjectionDefinition {
        ProjectionDefinition {
            name: name(),
            events: vec![EventPattern::new("*").unwrap()],
            partition_key: None,
            source: source.into(),
            on_error: OnError::Park,
            kind: crate::ProjectionKind::Async,
            sink: None,
        }
    }

    /// Takes commands from log index 1 on, and gives what is deployed then.
    fn run(commands: &[RegistryCommand]) -> (Option<Deployment>, Vec<RegistryOutcome>) {
        let mut registry = Registry::default();
        let mut outcomes = Vec::new();
        for (index, command) in (1..).zip(commands) {
            let (change, outcome) = registry.judge(LogIndex(index), command);
            registry.take(change);
            outcomes.push(outcome);
        }
        (registry.deployments().next().cloned(), outcomes)
    }

    #[test]
    fn a_pause_lasts_until_it_is_resumed_or_deployed_anew() {
        let deploy = |source| RegistryCommand::Deploy(definition(source));
        let (pause, resume) = (RegistryCommand::Pause(name()), RegistryCommand::Resume(name()));
        for (commands, paused, resumed) in [
            (vec![deploy("1"), pause.clone()], true, 0),
            (vec![deploy("1"), pause.clone(), pause.clone()], true, 0),
            (vec![deploy("1"), pause.clone(), deploy("1")], true, 0),
            (vec![deploy("1"), pause.clone(), deploy("2")], false, 0),
            (vec![deploy("1"), pause.clone(), resume.clone()], false, 3),
            (vec![deploy("1"), resume.clone(), resume.clone()], false, 3),
        ] {
            let (one, outcomes) = run(&commands);
            let one = one.unwrap();
            assert_eq!((one.paused, one.resumed), (paused, LogIndex(resumed)), "{commands:?}");
            assert!(!outcomes.iter().any(|outcome| matches!(outcome, RegistryOutcome::Refused(_))));
        }
        for command in [pause, resume, RegistryCommand::Remove(name())] {
            assert_eq!(run(&[command]).1, [RegistryOutcome::Refused(RegistryError::NotFound)]);
        }
    }

    #[test]
    fn a_name_keeps_the_generations_that_may_still_answer() {
        let deploy = |source| RegistryCommand::Deploy(definition(source));
        let rebuild = || RegistryCommand::Rebuild { name: name(), asked_at: Timestamp(7) };
        let cancel = || RegistryCommand::CancelRebuild(name());
        for (commands, generations, cancelled) in [
            (vec![deploy("1")], vec![1], None),
            (vec![deploy("1"), deploy("1")], vec![1], None),
            (vec![deploy("1"), deploy("2")], vec![2, 1], None),
            (vec![deploy("1"), rebuild()], vec![2, 1], Some(false)),
            (vec![deploy("1"), rebuild(), deploy("1")], vec![2, 1], Some(false)),
            (vec![deploy("1"), rebuild(), cancel()], vec![2, 1], Some(true)),
            (vec![deploy("1"), rebuild(), cancel(), rebuild()], vec![4, 2, 1], Some(false)),
            (vec![deploy("1"), rebuild(), deploy("2")], vec![3, 2, 1], None),
            (vec![deploy("1"), deploy("2"), deploy("3"), deploy("4")], vec![4, 3, 2], None),
        ] {
            let one = run(&commands).0.unwrap();
            let known: Vec<u64> = one.generations().map(|(id, _)| id.deployed.0).collect();
            assert_eq!(
                (known, one.rebuild.map(|rebuild| rebuild.cancelled)),
                (generations, cancelled),
                "{commands:?}"
            );
        }
        let refused = |commands: &[RegistryCommand]| run(commands).1.pop().unwrap();
        for commands in [
            vec![deploy("1"), cancel()],
            vec![deploy("1"), rebuild(), cancel(), cancel()],
            vec![deploy("1"), rebuild(), deploy("2"), cancel()],
        ] {
            assert_eq!(refused(&commands), RegistryOutcome::Refused(RegistryError::NotRebuilding));
        }
        assert_eq!(refused(&[rebuild()]), RegistryOutcome::Refused(RegistryError::NotFound));
    }

    #[test]
    fn rebuilds_of_partitions_are_known_once_each_and_the_last_is_given_up() {
        let deploy = |source| RegistryCommand::Deploy(definition(source));
        let key = |text: &str| crate::PartitionKey::new(text).unwrap();
        let part = |text: &str| RegistryCommand::RebuildPartition {
            name: name(),
            partition: key(text),
            asked_at: Timestamp(7),
        };
        let whole = || RegistryCommand::Rebuild { name: name(), asked_at: Timestamp(7) };
        let cancel = || RegistryCommand::CancelRebuild(name());
        for (commands, known, last, whole_cancelled) in [
            (vec![deploy("1"), part("a"), part("b")], "a2 b3", Some(3), None),
            (vec![deploy("1"), part("a"), part("b"), part("a")], "b3 a4", Some(4), None),
            (vec![deploy("1"), part("a"), part("b"), cancel()], "a2 b3-", Some(3), None),
            (vec![deploy("1"), whole(), part("a"), cancel(), cancel()], "a3-", Some(3), Some(true)),
            (vec![deploy("1"), part("a"), whole(), cancel()], "a2", None, Some(true)),
            (vec![deploy("1"), part("a"), deploy("2")], "a2", None, None),
        ] {
            let one = run(&commands).0.unwrap();
            let told = one
                .partition_rebuilds
                .iter()
                .map(|one| format!("{}{}{}", one.partition, one.at, if one.cancelled { "-" } else { "" }));
            assert_eq!(told.collect::<Vec<_>>().join(" "), known, "{commands:?}");
            assert_eq!(one.last_partition_rebuild().map(|one| one.at.0), last, "{commands:?}");
            assert_eq!(one.rebuild.map(|rebuild| rebuild.cancelled), whole_cancelled, "{commands:?}");
        }
        let refused = |commands: &[RegistryCommand]| run(commands).1.pop().unwrap();
        assert_eq!(refused(&[part("a")]), RegistryOutcome::Refused(RegistryError::NotFound));
        assert_eq!(
            refused(&[deploy("1"), part("a"), cancel(), cancel()]),
            RegistryOutcome::Refused(RegistryError::NotRebuilding)
        );
        let sql = ProjectionDefinition { kind: ProjectionKind::Sql, ..definition("1") };
        assert!(matches!(
            refused(&[RegistryCommand::Deploy(sql), part("a")]),
            RegistryOutcome::Refused(RegistryError::Invalid { .. })
        ));
        let many = (0..limits::PARTITION_REBUILDS_MAX + 3).map(|number| part(&number.to_string()));
        let one = run(&[deploy("1")].into_iter().chain(many).collect::<Vec<_>>()).0.unwrap();
        assert_eq!(one.partition_rebuilds.len(), limits::PARTITION_REBUILDS_MAX);
        assert_eq!(one.partition_rebuilds[0].partition, key("3"));
    }

    #[test]
    fn a_switch_lets_each_of_two_names_answer_from_the_other() {
        let other = ProjectionName::new("p-v2").unwrap();
        let deploy = |name: &ProjectionName| {
            RegistryCommand::Deploy(ProjectionDefinition { name: name.clone(), ..definition("1") })
        };
        let switch = RegistryCommand::Switch(name(), other.clone());
        let mut registry = Registry::default();
        let mut tell = |index, command: &RegistryCommand| {
            let (change, outcome) = registry.judge(LogIndex(index), command);
            registry.take(change);
            let all = registry.deployments().map(|one| (one.name.to_string(), one.id.deployed.0));
            (outcome, all.collect::<Vec<_>>())
        };
        tell(1, &deploy(&name()));
        assert_eq!(tell(2, &switch).0, RegistryOutcome::Refused(RegistryError::NotFound));
        tell(3, &deploy(&other));
        let pair = |p: u64, v2: u64| vec![("p".to_owned(), p), ("p-v2".to_owned(), v2)];
        assert_eq!(tell(4, &switch), (RegistryOutcome::Changed, pair(3, 1)));
        assert_eq!(tell(5, &switch), (RegistryOutcome::Changed, pair(1, 3)));
        assert_eq!(tell(6, &switch).1, pair(3, 1));
        // The old one is removed by the name that it has now, and the other one's source stands.
        let (_, left) = tell(7, &RegistryCommand::Remove(other.clone()));
        assert_eq!(left, [("p".to_owned(), 3)]);
        let itself = RegistryCommand::Switch(name(), name());
        assert!(matches!(tell(8, &itself).0, RegistryOutcome::Refused(RegistryError::Invalid { .. })));
    }
}

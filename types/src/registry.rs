//! The registry of projections and of rules, and what becomes of a command to it: pure, and the same on every replica.

mod rules;

use std::collections::BTreeMap;

pub use self::rules::RulesChange;
use self::rules::{RuleBook, judge_rules};
use crate::{
    Deployment, LogIndex, ProjectionDefinition, ProjectionId, ProjectionName, RegistryCommand, RegistryError,
    RegistryOutcome, RuleSet, limits,
};

/// What a registry command changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryChange {
    /// Nothing.
    None,
    /// A deployment takes the place of any other of its name.
    Put(Box<Deployment>),
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
        let deployed = deployed.into_iter().map(|one| (one.id.name.clone(), one)).collect();
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
            RegistryChange::Put(one) => {
                self.deployed.insert(one.id.name.clone(), *one);
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
            RegistryCommand::Rules(command) => match judge_rules(&self.rules, index, command) {
                Ok((change, changed)) => {
                    (RegistryChange::Rules(Box::new(change)), RegistryOutcome::RulesChanged(changed))
                }
                Err(error) => (RegistryChange::None, RegistryOutcome::RulesRefused(error)),
            },
            RegistryCommand::Pause(name) => self.judge_named(name, |standing| match standing.paused {
                true => (RegistryChange::None, RegistryOutcome::Changed),
                false => changed(Deployment { paused: true, ..standing.clone() }),
            }),
            RegistryCommand::Resume(name) => self.judge_named(name, |standing| {
                changed(Deployment { paused: false, resumed: index, ..standing.clone() })
            }),
        }
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
        let one = Deployment::new(id.clone(), definition.clone());
        (RegistryChange::Put(Box::new(one)), RegistryOutcome::Deployed(id))
    }
}

fn changed(one: Deployment) -> (RegistryChange, RegistryOutcome) {
    (RegistryChange::Put(Box::new(one)), RegistryOutcome::Changed)
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
}

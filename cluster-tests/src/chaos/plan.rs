//! What is done when: drawn from a seed alone, before anything runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Duration,
};

use serde::Serialize;

use weir_check::rng::Rng;

/// How long a period lasts, in seconds.
const PERIOD_S: Range<u64> = 5..21;
/// How many of a hundred periods are quiet.
const QUIET_PERCENT: u64 = 25;
/// How many faults begin in a period that is not.
const FAULTS: Range<u64> = 1..4;

/// A fault that may be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its name.
    pub name: &'static str,
    /// How many seconds it lasts.
    pub lasts: Range<u64>,
}

/// The whole plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What drew it.
    pub seed: u64,
    /// Its length in milliseconds.
    pub length_ms: u64,
    /// Its periods, in order.
    pub periods: Vec<Period>,
}

/// A stretch of time in which some faults begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Period {
    /// From 1.
    pub number: usize,
    /// When it begins.
    pub begins_ms: u64,
    /// When the next one begins.
    pub ends_ms: u64,
    /// What begins in it; quiet if nothing does, apart from what still lasts.
    pub faults: Vec<Planned>,
}

/// One fault of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// `period.number`.
    pub id: String,
    /// Which fault.
    pub name: &'static str,
    /// When it begins.
    pub begins_ms: u64,
    /// When it is healed.
    pub ends_ms: u64,
    /// For what it draws itself.
    pub seed: u64,
}

impl Plan {
    /// Draws the plan of a seed. Every fault comes once before any comes twice.
    #[must_use]
    pub fn draw(seed: u64, length: Duration, choices: &[Choice]) -> Self {
        let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let (mut rng, mut bag, mut periods, mut at) = (Rng::named(seed, "plan"), Vec::new(), Vec::new(), 0);
        while at < length_ms {
            let ends_ms = (at + rng.within(PERIOD_S) * 1_000).min(length_ms);
            let mut period = Period { number: periods.len() + 1, begins_ms: at, ends_ms, faults: Vec::new() };
            let count = if rng.chance(QUIET_PERCENT) { 0 } else { rng.within(FAULTS) };
            for _ in 0..count {
                if bag.is_empty() {
                    bag = choices.to_vec();
                    rng.shuffle(&mut bag);
                }
                let Some(choice) = bag.pop() else { break };
                let planned = planned(&choice, &period, length_ms, &mut rng);
                period.faults.push(planned);
            }
            at = ends_ms;
            periods.push(period);
        }
        Self { seed, length_ms, periods }
    }

    /// The same plan with only these periods and faults; the times stay.
    #[must_use]
    pub fn only(mut self, ids: &BTreeSet<String>) -> Self {
        for period in &mut self.periods {
            if !ids.contains(&period.number.to_string()) {
                period.faults.retain(|fault| ids.contains(&fault.id));
            }
        }
        self
    }

    /// All faults, in the order in which they begin.
    #[must_use]
    pub fn faults(&self) -> Vec<Planned> {
        let mut faults: Vec<Planned> =
            self.periods.iter().flat_map(|period| period.faults.iter().cloned()).collect();
        faults.sort_by_key(|fault| fault.begins_ms);
        faults
    }

    /// How often each kind of fault is planned.
    #[must_use]
    pub fn kinds(&self) -> BTreeMap<&'static str, u64> {
        let mut kinds = BTreeMap::new();
        for fault in self.periods.iter().flat_map(|period| &period.faults) {
            *kinds.entry(fault.name).or_default() += 1;
        }
        kinds
    }
}

fn planned(choice: &Choice, period: &Period, length_ms: u64, rng: &mut Rng) -> Planned {
    let begins_ms = period.begins_ms + rng.within(0..(period.ends_ms - period.begins_ms) / 2);
    let lasts_ms = rng.within(choice.lasts.start * 1_000..choice.lasts.end * 1_000).max(100);
    Planned {
        id: format!("{}.{}", period.number, period.faults.len() + 1),
        name: choice.name,
        begins_ms,
        ends_ms: (begins_ms + lasts_ms).min(length_ms),
        seed: rng.draw(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices() -> Vec<Choice> {
        ["a", "b", "c", "d"].map(|name| Choice { name, lasts: 1..30 }).to_vec()
    }

    #[test]
    fn a_seed_draws_the_same_plan_every_time() {
        let plan = |seed| Plan::draw(seed, Duration::from_secs(300), &choices());
        assert_eq!(plan(3), plan(3));
        assert_ne!(plan(3), plan(4));
    }

    #[test]
    fn periods_follow_one_another_and_no_fault_outlasts_the_plan() {
        let plan = Plan::draw(5, Duration::from_secs(600), &choices());
        assert!(plan.periods.windows(2).all(|pair| pair[0].ends_ms == pair[1].begins_ms));
        assert_eq!(plan.periods.last().unwrap().ends_ms, 600_000);
        let faults = plan.faults();
        assert!(faults.iter().all(|fault| fault.begins_ms < fault.ends_ms && fault.ends_ms <= 600_000));
        assert!(plan.periods.iter().any(|period| period.faults.is_empty()), "some are quiet");
        for choice in choices() {
            let times = faults.iter().filter(|fault| fault.name == choice.name).count();
            assert!(times.abs_diff(faults.len() / 4) <= 1, "all come equally often");
            assert_eq!(plan.kinds()[choice.name], times as u64);
        }
    }

    #[test]
    fn a_plan_can_be_cut_to_periods_and_faults() {
        let plan = Plan::draw(5, Duration::from_secs(600), &choices());
        let last = plan.faults().last().unwrap().clone();
        let period = plan.periods.iter().find(|period| period.faults.len() == 3).unwrap();
        let ids = BTreeSet::from([last.id.clone(), period.number.to_string()]);
        let cut = plan.clone().only(&ids);
        let expected = if last.id.starts_with(&format!("{}.", period.number)) { 3 } else { 4 };
        assert_eq!(cut.faults().len(), expected);
        assert_eq!(cut.periods.len(), plan.periods.len());
    }
}

//! Many runs, one after another, each from a seed of its own, and their sum.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::{
    options::Options,
    record,
    run::{Ended, remove_data, remove_history, run},
    smaller::smaller,
};

/// What the runs of a campaign came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sum {
    /// The seeds, in order.
    pub seeds: Vec<u64>,
    /// For how many seconds faults came.
    pub seconds: u64,
    /// Operations of clients that were checked.
    pub operations: u64,
    /// Those of them that are acknowledged appends.
    pub acked: u64,
    /// What was compared, by checker.
    pub facts: BTreeMap<String, u64>,
    /// How often each kind of fault began.
    pub faults: BTreeMap<String, u64>,
    /// In how many runs each kind of fault was planned.
    pub planned: BTreeMap<String, u64>,
    /// What each of them did, over all runs.
    pub did: BTreeMap<String, u64>,
    /// The runs that did not hold: seed and word.
    pub red: Vec<(u64, String)>,
}

/// In how many runs a kind of fault must have been planned to count as idle when it did nothing: in
/// one or two, others may have been in its way.
const PLANNED_MIN: u64 = 3;

impl Sum {
    /// Adds a run by its line of JSON.
    pub fn add(&mut self, line: &Map<String, Value>) {
        let number = |key: &str| line.get(key).and_then(Value::as_u64).unwrap_or(0);
        let entries = |key: &str| line.get(key).and_then(Value::as_object).into_iter().flatten();
        self.seeds.push(number("seed"));
        self.seconds += number("seconds");
        self.operations += number("ops");
        self.acked += number("acked");
        for (checker, told) in entries("verdicts") {
            *self.facts.entry(checker.clone()).or_default() += told["checked"].as_u64().unwrap_or(0);
        }
        for (name, times) in entries("faults") {
            if let Some(kind) = name.strip_suffix(".begun") {
                *self.faults.entry(kind.to_owned()).or_default() += times.as_u64().unwrap_or(0);
            }
        }
        for (kind, _) in entries("planned") {
            *self.planned.entry(kind.clone()).or_default() += 1;
            let did = line.get("faults").and_then(|faults| faults.get(kind)).and_then(Value::as_u64);
            *self.did.entry(kind.clone()).or_default() += did.unwrap_or(0);
        }
        let word = line.get("verdict").and_then(Value::as_str).unwrap_or("no verdict");
        if word != "holds" {
            self.red.push((number("seed"), word.to_owned()));
        }
    }

    /// The kinds of faults that were planned again and again, and did nothing in any run: what they are for
    /// was not shown, although no run was long enough to tell.
    #[must_use]
    pub fn idle(&self) -> Vec<&str> {
        let did = |kind: &String| self.did.get(kind).copied().unwrap_or(0);
        let idle = self.planned.iter().filter(|&(kind, runs)| *runs >= PLANNED_MIN && did(kind) == 0);
        idle.map(|(kind, _)| kind.as_str()).collect()
    }

    /// Whether every run held, and every kind of fault that had its chances did something.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.red.is_empty() && self.idle().is_empty()
    }

    /// For a machine.
    #[must_use]
    pub fn line(&self) -> Value {
        json!({
            "runs": self.seeds.len(),
            "seeds": self.seeds,
            "seconds": self.seconds,
            "operations": self.operations,
            "acked": self.acked,
            "facts": self.facts,
            "faults": self.faults.values().sum::<u64>(),
            "fault_kinds": self.faults.len(),
            "planned": self.planned,
            "did": self.did,
            "idle": self.idle(),
            "red": self.red,
        })
    }
}

/// Runs as often as was asked for, and prints a line of JSON per run. One that
/// does not hold does not end the campaign.
///
/// # Errors
/// When a run gives no verdict.
pub async fn campaign(options: &Options) -> Result<Sum> {
    let mut sum = Sum::default();
    for number in 0..options.campaign.max(1) {
        let options = Options { seed: options.seed + number, ..options.clone() };
        let ended = run(&options).await?;
        finish(&options, &ended).await?;
        sum.add(&ended.line);
        if options.record {
            record::put(&sum)?;
        }
        println!("{}", Value::Object(ended.line));
    }
    for kind in sum.idle() {
        eprintln!("idle: fault {kind} was planned in {} runs and did nothing in any", sum.planned[kind]);
    }
    Ok(sum)
}

/// A run that holds leaves its verdict, any other all that it wrote and the command that repeats it.
async fn finish(options: &Options, ended: &Ended) -> Result<()> {
    if ended.word == "holds" {
        remove_data(&ended.folder)?;
        return if options.campaign > 1 { remove_history(&ended.folder) } else { Ok(()) };
    }
    eprintln!("{}: seed {}, {}", ended.word, options.seed, ended.folder.display());
    eprintln!("replay: {}", options.replay());
    if options.minimise && ended.word == "broken" {
        let only = smaller(options, ended).await?;
        let small = Options { only: Some(only), ..options.clone() };
        eprintln!("fewer faults: {}", small.replay());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_is_the_sum_of_its_runs() {
        let line = |seed: u64, verdict: &str| {
            let line = json!({
                "seed": seed, "seconds": 300, "ops": 10, "acked": 6, "verdict": verdict,
                "faults": { "kill-one.begun": 2, "kill-one": 2, "flap.begun": 1 },
                "verdicts": { "A1": { "checked": 4, "violations": 0 } },
            });
            line.as_object().cloned().unwrap()
        };
        let mut sum = Sum::default();
        sum.add(&line(7, "holds"));
        assert!(sum.holds());
        sum.add(&line(8, "hollow"));
        assert!(!sum.holds());
        assert_eq!((sum.seconds, sum.operations, sum.acked), (600, 20, 12));
        assert_eq!((sum.facts["A1"], sum.faults["kill-one"], sum.faults.len()), (8, 4, 2));
        assert_eq!(sum.red, [(8, "hollow".to_owned())]);
    }

    #[test]
    fn a_fault_that_does_nothing_in_any_run_that_planned_it_makes_a_campaign_red() {
        let nothing = json!({});
        let cases = [
            ("planned in two runs only", vec![nothing.clone(), nothing.clone()], false),
            ("never begun", vec![nothing.clone(), nothing.clone(), nothing.clone()], true),
            (
                "begun in vain",
                vec![json!({ "flap.begun": 1, "flap": 0 }), nothing.clone(), nothing.clone()],
                true,
            ),
            ("did something once", vec![nothing.clone(), json!({ "flap": 1 }), nothing], false),
        ];
        for (what, runs, idle) in cases {
            let mut sum = Sum::default();
            for faults in runs {
                let line = json!({ "verdict": "holds", "planned": { "flap": 2 }, "faults": faults });
                sum.add(line.as_object().unwrap());
            }
            assert_eq!((!sum.idle().is_empty(), sum.holds()), (idle, !idle), "{what}");
        }
    }
}

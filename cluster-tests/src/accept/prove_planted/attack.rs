use std::{fmt, process::Command, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;
use weir_types::{Planted, planted::VARIABLE};

use super::{catch::Catch, plan::Plan};
use crate::{binary::beside, process::Process};

/// How long a run may take beyond its length: to start, to heal, to agree, and to judge.
const BEYOND: Duration = Duration::from_secs(480);

/// How many seconds a healed cluster may take: a bug often keeps it from coming back at all.
const RECOVER_S: &str = "60";

/// What a run of chaos told.
pub(super) struct Told(Value);

/// One run of chaos on `weir-planted`, with a bug or without.
pub(super) async fn attack(plan: Plan, plant: Option<Planted>, length_s: u64, seed: u64) -> Result<Told> {
    let folder = tempfile::Builder::new().prefix("weir-planted-").tempdir()?;
    let mut chaos = Command::new(beside("chaos")?);
    chaos.args(["--seconds", &length_s.to_string(), "--seed", &seed.to_string()]);
    chaos.args(["--recover", RECOVER_S]);
    chaos.args(plan.flags().iter().flat_map(|(flag, value)| [flag, value]));
    chaos.arg("--out").arg(folder.path());
    chaos.env("WEIR_BIN", beside("weir-planted")?).env_remove(VARIABLE);
    if let Some(plant) = plant {
        chaos.args(["--planted", plant.name()]).env(VARIABLE, plant.name());
    }
    let mut process = Process::start("chaos", &mut chaos, &folder.path().join("printed.log"))?;
    process.ended(Duration::from_secs(length_s) + BEYOND).await?;
    let printed = process.printed()?;
    let verdict = printed.lines().rev().find(|line| line.starts_with('{'));
    let verdict = verdict.with_context(|| format!("chaos told no verdict: {printed}"))?;
    Ok(Told(serde_json::from_str(verdict)?))
}

impl Told {
    /// Whether anything was found.
    pub(super) fn is_broken(&self) -> bool {
        self.0["verdict"] == "broken"
    }

    /// Whether this is among what was found.
    pub(super) fn shows(&self, catch: &Catch) -> bool {
        match catch {
            Catch::Invariant(_) | Catch::Streams | Catch::Keys => {
                self.broken().any(|checker| checker == catch.to_string())
            }
            Catch::Wrong(part) => self.wrong().any(|wrong| wrong.contains(part)),
        }
    }

    fn broken(&self) -> impl Iterator<Item = &str> {
        let verdicts = self.0["verdicts"].as_object().into_iter().flatten();
        verdicts.filter(|(_, verdict)| verdict["violations"] != 0).map(|(checker, _)| checker.as_str())
    }

    fn wrong(&self) -> impl Iterator<Item = &str> {
        self.0["wrong"].as_array().into_iter().flatten().filter_map(Value::as_str)
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (broken, wrong): (Vec<_>, Vec<_>) = (self.broken().collect(), self.wrong().collect());
        write!(f, "{}: checkers {broken:?}, wrong {wrong:?}", self.0["verdict"].as_str().unwrap_or_default())
    }
}

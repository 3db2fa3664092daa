//! `weir projection test`: a reducer over given events, with no server.

use std::{fs, path::PathBuf};

use serde_json::{Map, Value, json};
use weir_types::{BadEvent, Trial};

use super::{
    difference::{SHOWN_MAX, differences},
    given::{self, GivenEvent},
    source::source,
};
use crate::{error::CliError, output::Output, sandbox::Sandbox};

#[derive(Debug, clap::Args)]
pub struct TrialArgs {
    /// The projection's JavaScript file
    file: PathBuf,
    /// Events, one JSON object a line, as `weir log --json` prints them; a name is enough
    #[arg(long, value_name = "FILE.ndjson")]
    given: PathBuf,
    /// States that must come of it: an object by partition, as this command prints it
    #[arg(long, value_name = "FILE.json")]
    expect: Option<PathBuf>,
}

pub(crate) async fn run(
    args: &TrialArgs,
    sandbox: Option<&dyn Sandbox>,
    output: &Output,
) -> Result<(), CliError> {
    let sandbox = sandbox.ok_or_else(|| CliError::Failed("this program cannot run projections".into()))?;
    let source = source(&args.file, Some(sandbox)).await?;
    let in_given = |reason| CliError::Usage(format!("`{}`: {reason}", args.given.display()));
    let given = given::parse(&read(&args.given)?).map_err(in_given)?;
    let expected = args.expect.as_ref().map(expectation).transpose()?;
    let events = given.iter().map(|given| given.event.clone()).collect();
    let in_source = |reason| CliError::Failed(format!("`{}`: {reason}", args.file.display()));
    let trial = sandbox.trial(source, events).await.map_err(in_source)?;
    let states = states(&trial)?;
    print(&trial, &states, &given, output)?;
    if let Some(bad) = &trial.failed {
        return Err(CliError::Failed(told(bad, &given)));
    }
    match expected {
        None => Ok(()),
        Some(expected) => judge(&expected, &states),
    }
}

fn read(file: &PathBuf) -> Result<String, CliError> {
    fs::read_to_string(file).map_err(CliError::io(format!("read `{}`", file.display())))
}

fn expectation(file: &PathBuf) -> Result<Value, CliError> {
    let wrong = |reason: String| CliError::Usage(format!("`{}`: {reason}", file.display()));
    let value: Value = serde_json::from_str(&read(file)?).map_err(|error| wrong(error.to_string()))?;
    match value.is_object() {
        true => Ok(value),
        false => Err(wrong("must be an object of states by partition".into())),
    }
}

/// States by partition.
fn states(trial: &Trial) -> Result<Value, CliError> {
    let mut states = Map::new();
    for (partition, view) in &trial.states {
        let state = serde_json::from_slice(&view.state)
            .map_err(|error| CliError::Failed(format!("state of `{partition}` is not readable: {error}")))?;
        states.insert(partition.as_str().into(), state);
    }
    Ok(Value::Object(states))
}

fn print(trial: &Trial, states: &Value, given: &[GivenEvent], output: &Output) -> Result<(), CliError> {
    if output.is_json() {
        let bad = |bad: &BadEvent| {
            json!({ "line": line_of(bad, given), "event": bad.name.as_str(), "position": bad.position.0,
                    "message": bad.message, "stack": bad.stack })
        };
        return output.json(&json!({
            "projection": trial.definition.name.as_str(), "states": states, "given": given.len(),
            "folded": trial.folded, "unkeyed": trial.unkeyed,
            "deadLetters": trial.dead_letters.iter().map(bad).collect::<Vec<_>>(),
            "error": trial.failed.as_ref().map(bad),
        }));
    }
    let text = serde_json::to_string_pretty(states).map_err(|error| CliError::Failed(error.to_string()))?;
    output.line(&text)?;
    for bad in &trial.dead_letters {
        eprintln!("skipped: {}", told(bad, given));
    }
    let unkeyed = match trial.unkeyed {
        0 => String::new(),
        count => format!(", {count} without a partition key"),
    };
    eprintln!(
        "folded {} of {} events into {} states{unkeyed}",
        trial.folded,
        given.len(),
        trial.states.len()
    );
    Ok(())
}

fn line_of(bad: &BadEvent, given: &[GivenEvent]) -> Option<usize> {
    let at = given.binary_search_by_key(&bad.position, |given| given.event.position).ok()?;
    Some(given[at].line)
}

/// Where, what, and the stack.
fn told(bad: &BadEvent, given: &[GivenEvent]) -> String {
    let line = line_of(bad, given).map(|line| format!("line {line}: ")).unwrap_or_default();
    let stack = if bad.stack.is_empty() { String::new() } else { format!("\n{}", bad.stack) };
    format!("{line}{bad}{stack}")
}

fn judge(expected: &Value, states: &Value) -> Result<(), CliError> {
    let lines = differences(expected, states);
    for line in lines.iter().take(SHOWN_MAX) {
        eprintln!("  {line}");
    }
    match lines.len() {
        0 => Ok(()),
        many if many > SHOWN_MAX => Err(CliError::NotHealthy(format!(
            "states differ in over {SHOWN_MAX} places from what is expected"
        ))),
        few => Err(CliError::NotHealthy(format!("states differ in {few} places from what is expected"))),
    }
}

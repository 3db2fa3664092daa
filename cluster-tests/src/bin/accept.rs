//! Runs one acceptance recipe: `accept run AREA/NAME [FLAGS]`, or lists them: `accept list [--json]`.
//!
//! The figures come last on stdout, as one line of JSON. The exit code is 0
//! only when the recipe holds, or is skipped because its data is not here.

use std::process::ExitCode;

use serde_json::json;
use weir_cluster_tests::{
    accept::{Flags, Outcome, RECIPES, Recipe},
    report::Report,
};

const USAGE: &str = "usage: accept list [--json] | accept run AREA/NAME [--seed N] [--data FILE] [--outage S] [--window S] [--kills N] [--rounds N] [--only NAME,NAME]";

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["list"] => {
            RECIPES.iter().for_each(|recipe| println!("{:<40} {}", recipe.name, recipe.summary));
            ExitCode::SUCCESS
        }
        ["list", "--json"] => {
            println!("{}", listed());
            ExitCode::SUCCESS
        }
        ["run", name, ..] => match RECIPES.iter().find(|recipe| recipe.name == *name) {
            Some(recipe) => run(recipe, &args[2..]).await,
            None => usage(&format!("there is no recipe {name}")),
        },
        _ => usage("what to do is not said"),
    }
}

async fn run(recipe: &Recipe, args: &[String]) -> ExitCode {
    let flags = match Flags::parse(args) {
        Ok(flags) => flags,
        Err(error) => return usage(&format!("{error:#}")),
    };
    eprintln!("{}: {}", recipe.name, recipe.summary);
    let mut report = Report::default();
    let (line, code) = match (recipe.run)(&flags, &mut report).await {
        Ok(Outcome::Holds) => (report.line(recipe.name, "holds"), ExitCode::SUCCESS),
        Ok(Outcome::Skipped(reason)) => {
            (json!({ "recipe": recipe.name, "skipped": reason }).to_string(), ExitCode::SUCCESS)
        }
        Err(error) => {
            report.note("error", format!("{error:#}"));
            eprintln!("{} does not hold: {error:?}", recipe.name);
            eprintln!("replay: cargo xtask accept {} {}", recipe.name, replay(&flags));
            (report.line(recipe.name, "broken"), ExitCode::FAILURE)
        }
    };
    println!("{line}");
    code
}

fn replay(flags: &Flags) -> String {
    let data = flags.data.as_ref().map(|path| format!(" --data {}", path.display())).unwrap_or_default();
    let (outage, window) = (flags.outage.as_secs(), flags.window.as_secs());
    let only = flags.only.as_ref().map(|only| format!(" --only {}", only.join(","))).unwrap_or_default();
    let Flags { seed, kills, rounds, .. } = flags;
    format!("--seed {seed} --outage {outage} --window {window} --kills {kills} --rounds {rounds}{data}{only}")
}

fn listed() -> serde_json::Value {
    let entry = |recipe: &Recipe| json!({ "name": recipe.name, "summary": recipe.summary, "release": recipe.release });
    RECIPES.iter().map(entry).collect()
}

fn usage(wrong: &str) -> ExitCode {
    eprintln!("{wrong}\n{USAGE}");
    ExitCode::from(2)
}

//! Lists and runs the acceptance recipes of `cluster-tests`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    command::{cargo, command, output, run as run_command, target},
    test, tools,
};

struct Recipe {
    name: String,
    summary: String,
    release: bool,
}

/// The command `cargo xtask accept`: `list`, an area, or one recipe; what
/// follows a recipe's name is given to it.
pub fn run(args: &[&str]) -> Result<()> {
    test::build()?;
    let recipes = recipes()?;
    match args {
        [] | ["list"] => {
            for recipe in &recipes {
                println!("{:<40} {}", recipe.name, recipe.summary);
            }
            Ok(())
        }
        [wanted, flags @ ..] => run_wanted(&recipes, wanted, flags),
    }
}

fn run_wanted(recipes: &[Recipe], wanted: &str, flags: &[&str]) -> Result<()> {
    let inside = format!("{}/", wanted.trim_end_matches('/'));
    let chosen: Vec<&Recipe> =
        recipes.iter().filter(|recipe| recipe.name == wanted || recipe.name.starts_with(&inside)).collect();
    if chosen.is_empty() {
        bail!("there is no recipe and no area `{wanted}`; `cargo xtask accept` lists them");
    }
    let (nats_server, postgres) = (tools::nats_server()?, tools::postgres()?);
    if chosen.iter().any(|recipe| recipe.release) {
        cargo(&["build", "--release", "--package", "weir-node"])?;
    }
    let mut failed = Vec::new();
    for recipe in &chosen {
        let profile = if recipe.release { "release" } else { "debug" };
        let mut accept = command(program());
        accept.args(["run", &recipe.name]).args(flags);
        accept.env("WEIR_NATS_SERVER", &nats_server).env("WEIR_POSTGRES_BIN", &postgres);
        accept.env("WEIR_BIN", target().join(profile).join("weir"));
        if let Err(error) = run_command(&mut accept) {
            eprintln!("{error:#}");
            failed.push(recipe.name.as_str());
        }
    }
    if !failed.is_empty() {
        bail!("{} of {} recipes failed: {}", failed.len(), chosen.len(), failed.join(", "));
    }
    eprintln!("{} of {} recipes hold.", chosen.len(), chosen.len());
    Ok(())
}

fn recipes() -> Result<Vec<Recipe>> {
    let listed = output(command(program()).args(["list", "--json"]))?;
    let listed: Value = serde_json::from_str(&listed).context("`accept list --json` printed no JSON")?;
    let text = |recipe: &Value, key: &str| recipe[key].as_str().unwrap_or_default().to_owned();
    let recipes = listed.as_array().context("`accept list --json` printed no list")?;
    Ok(recipes
        .iter()
        .map(|recipe| Recipe {
            name: text(recipe, "name"),
            summary: text(recipe, "summary"),
            release: recipe["release"] == true,
        })
        .collect())
}

fn program() -> PathBuf {
    target().join("debug/accept")
}

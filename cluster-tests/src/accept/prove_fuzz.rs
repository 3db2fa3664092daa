//! Every fuzz target under libFuzzer, for `--window` seconds each.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use serde_json::{Value, json};

use super::{Flags, Outcome, Recipe};
use crate::{binary::workspace, process::Process, report::Report};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "prove/fuzz",
    summary: "every parser of outside bytes under libFuzzer, --window seconds each",
    release: false,
    run: |flags, report| story(flags, report).boxed(),
};

/// Coverage counters in every crate, without a nightly compiler.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";
/// The whole product on two cores.
const BUILD_PATIENCE: Duration = Duration::from_secs(60 * 60);
/// One input takes no longer: an author's loop without end is stopped far sooner.
const INPUT_SECONDS_MAX: u64 = 20;

async fn story(flags: &Flags, report: &mut Report) -> Result<Outcome> {
    let folder = tempfile::Builder::new().prefix("weir-fuzz-").tempdir()?;
    let built = workspace().join("target/fuzz");
    let fuzzer = build(&built, folder.path(), report).await?;
    let mut found = Vec::new();
    for (target, seeds) in targets()? {
        let (target, found_in) = (target.as_str(), &built.join("found"));
        let run =
            Run { target, seeds, fuzzer: &fuzzer, found: found_in, seconds: flags.window, seed: flags.seed };
        let (figures, finding) = run.run(folder.path()).await?;
        report.phase(&format!("{target}: {figures}"));
        report.note(target, figures);
        found.extend(finding);
    }
    ensure!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
    Ok(Outcome::Holds)
}

/// Builds the targets with coverage, apart from the usual builds.
async fn build(built: &Path, folder: &Path, report: &Report) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let host = Command::new("rustc").args(["--print", "host-tuple"]).output()?;
    let host = String::from_utf8(host.stdout)?.trim().to_owned();
    report.phase("building the targets with coverage");
    let mut command = Command::new(cargo);
    // With a target named, build scripts and macros are built without the counters.
    command.args(["build", "-p", "weir-fuzz", "--features", "libfuzzer", "--bin", "weir-libfuzzer"]);
    command.args(["--target", &host]);
    command.current_dir(workspace()).env("RUSTFLAGS", COVERAGE).env("CARGO_TARGET_DIR", built);
    let mut process = Process::start("cargo", &mut command, &folder.join("build.log"))?;
    let status = process.ended(BUILD_PATIENCE).await?;
    ensure!(status.success(), "the build ended with {status}:\n{}", process.printed()?);
    Ok(built.join(host).join("debug/weir-libfuzzer"))
}

/// A target's name and the folders of its seeds.
type Target = (String, Vec<PathBuf>);

/// As `weir-fuzz list` prints them: the name, what it is about, the folders.
fn targets() -> Result<Vec<Target>> {
    let this = std::env::current_exe()?;
    let listed = Command::new(this.with_file_name("weir-fuzz")).arg("list").output();
    let listed = listed.context("no `weir-fuzz` beside this program: run `cargo build -p weir-fuzz`")?;
    let listed = String::from_utf8(listed.stdout)?;
    let target = |line: &str| -> Option<Target> {
        let mut fields = line.split('\t');
        let name = fields.next()?.to_owned();
        Some((name, fields.skip(1).map(|folder| workspace().join(folder)).collect()))
    };
    let targets: Vec<Target> = listed.lines().filter_map(target).collect();
    ensure!(!targets.is_empty(), "there are no targets");
    Ok(targets)
}

/// One target's run.
struct Run<'a> {
    target: &'a str,
    seeds: Vec<PathBuf>,
    fuzzer: &'a Path,
    found: &'a Path,
    seconds: Duration,
    seed: u64,
}

impl Run<'_> {
    /// Its figures, and the command that replays what it found.
    async fn run(&self, folder: &Path) -> Result<(Value, Option<String>)> {
        let grown = folder.join(self.target);
        std::fs::create_dir_all(&grown)?;
        std::fs::create_dir_all(self.found)?;
        let artifact = self.found.join(format!("{}-", self.target));
        let mut command = Command::new(self.fuzzer);
        command.env("WEIR_FUZZ_TARGET", self.target).arg(&grown);
        // libFuzzer writes only into the first folder that it is given.
        command.args(&self.seeds);
        command
            .arg(format!("-max_total_time={}", self.seconds.as_secs()))
            .arg(format!("-seed={}", self.seed));
        command.arg(format!("-timeout={INPUT_SECONDS_MAX}")).arg("-print_final_stats=1");
        command
            .args(["-max_len=4096", "-rss_limit_mb=1024"])
            .arg(format!("-artifact_prefix={}", artifact.display()));
        let mut process =
            Process::start(self.target, &mut command, &folder.join(format!("{}.log", self.target)))?;
        let status = process.ended(self.seconds + BUILD_PATIENCE).await?;
        let printed = process.printed()?;
        let figures = figures(&printed);
        if status.success() {
            return Ok((figures, None));
        }
        let input =
            printed.lines().find_map(|line| line.split_once("Test unit written to ").map(|(_, file)| file));
        let input = input.with_context(|| format!("{} ended with {status}:\n{printed}", self.target))?;
        let why = printed.lines().find(|line| !line.starts_with(['#', ' ']) && line.contains("panicked at"));
        let replay = format!("cargo run -p weir-fuzz -- {} {input}", self.target);
        Ok((figures, Some(format!("{}: {}\n  replay: {replay}", self.target, why.unwrap_or("no panic")))))
    }
}

/// Executions, edges and features, from what libFuzzer printed last of each.
fn figures(printed: &str) -> Value {
    let stat = |name: &str| -> Option<u64> {
        printed.lines().rev().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    let field = |name: &str| -> Option<u64> {
        let line = printed.lines().rev().find(|line| line.starts_with('#') && line.contains(name))?;
        // The corpus is `inputs/bytes`.
        line.split_once(name)?.1.split([' ', '/']).next()?.parse().ok()
    };
    json!({
        "executions": stat("stat::number_of_executed_units:"),
        "perSecond": stat("stat::average_exec_per_sec:"),
        "edges": field("cov: "),
        "features": field("ft: "),
        "corpus": field("corp: "),
        "peakRssMb": stat("stat::peak_rss_mb:"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_the_last_that_were_printed() {
        let printed = "#2\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 0 rss: 30Mb\n#99\tDONE   cov: 120 ft: 345 corp: 17/2Kb lim: 40\n\
                       stat::number_of_executed_units: 99\nstat::average_exec_per_sec:     9\nstat::peak_rss_mb:              31\n";
        let figures = figures(printed);
        assert_eq!((&figures["executions"], &figures["edges"]), (&json!(99), &json!(120)));
        assert_eq!((&figures["features"], &figures["corpus"]), (&json!(345), &json!(17)));
    }
}

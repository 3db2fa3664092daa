//! `cargo xtask ratchet`: instructions of an append, stage by stage, which must
//! not grow. Callgrind counts them, so a busy machine changes nothing.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::command::{cargo, command, output, root, run as run_command, target, works};

/// Stages of `bench/append-path`, each a function `stage_…` there.
const STAGES: [&str; 4] = ["decide", "encode", "log", "apply"];
/// Appends that the program counts, as it says itself.
const APPENDS: u64 = 1_000;
/// What a stage may grow by, in percent. Runs of one build differ by 0.2, for the hash maps are
/// seeded anew in each.
const GROWTH_MAX: f64 = 2.0;

/// The command: compares with what is kept, or with `--update` keeps what is counted.
pub fn run(args: &[&str]) -> Result<()> {
    let update = match args {
        [] => false,
        ["--update"] => true,
        _ => bail!("the one option is --update"),
    };
    if !works(command("valgrind").arg("--version")) {
        println!("skipped: valgrind is not installed, and nothing else counts instructions");
        return Ok(());
    }
    cargo(&["build", "--release", "--package", "weir-append-path"])?;
    let counted = STAGES.iter().map(|stage| Ok(((*stage).to_owned(), count(stage)?)));
    let counted: BTreeMap<String, u64> = counted.collect::<Result<_>>()?;
    let compiler = output(command("rustc").arg("--version"))?.trim().to_owned();
    if update {
        return keep(&counted, &compiler);
    }
    compare(&counted, &compiler)
}

fn kept_file() -> PathBuf {
    root().join("bench/append-path/ratchet.json")
}

/// Instructions of one append in one stage.
fn count(stage: &str) -> Result<u64> {
    let folder = target().join("ratchet");
    fs::create_dir_all(&folder)?;
    let out = folder.join(format!("{stage}.out"));
    let mut counting = command("valgrind");
    counting.args(["--quiet", "--tool=callgrind", &format!("--toggle-collect=*stage_{stage}*")]);
    counting.arg(format!("--callgrind-out-file={}", out.display()));
    run_command(counting.arg(target().join("release/weir-append-path")))?;
    let text = fs::read_to_string(&out).with_context(|| format!("cannot read {}", out.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("summary: "));
    let total = total.or_else(|| text.lines().find_map(|line| line.strip_prefix("totals: ")));
    let total: u64 = total.context("callgrind wrote no sum")?.trim().parse()?;
    ensure!(total > 0, "no function is called `stage_{stage}`");
    Ok(total / APPENDS)
}

fn keep(counted: &BTreeMap<String, u64>, compiler: &str) -> Result<()> {
    let total: u64 = counted.values().sum();
    let kept = json!({
        "what": "instructions of one guarded append of 256 bytes, 20 appends an entry; `cargo xtask ratchet --update` writes this file",
        "compiler": compiler,
        "stages": counted,
        "total": total,
    });
    fs::write(kept_file(), format!("{}\n", serde_json::to_string_pretty(&kept)?))?;
    println!("kept: {total} instructions an append");
    Ok(())
}

fn compare(counted: &BTreeMap<String, u64>, compiler: &str) -> Result<()> {
    let kept: Value = serde_json::from_str(&fs::read_to_string(kept_file())?)?;
    let mut grown = Vec::new();
    for (stage, now) in counted {
        let before =
            kept["stages"][stage].as_u64().with_context(|| format!("stage {stage} was never kept"))?;
        let percent = growth(before, *now);
        println!("{stage:<8} {before:>8} → {now:>8}  {percent:>+6.2} %");
        if percent > GROWTH_MAX {
            grown.push(format!("{stage} by {percent:.2} %"));
        }
    }
    if kept["compiler"] != compiler {
        println!("not judged: kept with {}, this is {compiler}", kept["compiler"]);
        return Ok(());
    }
    if !grown.is_empty() {
        bail!(
            "an append takes over {GROWTH_MAX} % more instructions: {}; `cargo xtask ratchet --update` keeps them, with a reason in the commit",
            grown.join(", ")
        );
    }
    println!("The path of an append has not grown.");
    Ok(())
}

fn growth(before: u64, now: u64) -> f64 {
    (now as f64 / before as f64 - 1.0) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_in_percent_of_what_was_kept() {
        assert!((growth(1_000, 1_030) - 3.0).abs() < 1e-9);
        assert!(growth(1_000, 900) < 0.0);
        assert!(growth(1_000, 1_019) < GROWTH_MAX && growth(1_000, 1_021) > GROWTH_MAX);
    }
}

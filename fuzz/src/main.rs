//! Replays inputs, and makes mutated ones without coverage:
//! `weir-fuzz list`, `weir-fuzz TARGET FILE…`, `weir-fuzz TARGET --mutate RUNS [SEED]`.

use std::fs;

use anyhow::{Context, Result, bail};
use weir_fuzz::{Mutator, TARGETS, Target, corpus_dir, find, hold, inputs, seed_folders};

const USAGE: &str = "usage: weir-fuzz list | weir-fuzz TARGET FILE… | weir-fuzz TARGET --mutate RUNS [SEED]";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["list"] => {
            for target in TARGETS {
                println!("{}\t{}\t{}", target.name, target.about, seed_folders(target).join("\t"));
            }
            Ok(())
        }
        [target, "--mutate", runs] => mutate(find(target)?, runs, "1"),
        [target, "--mutate", runs, seed] => mutate(find(target)?, runs, seed),
        [target, files @ ..] if !files.is_empty() => replay(find(target)?, files),
        _ => bail!("{USAGE}"),
    }
}

fn replay(target: &Target, files: &[&str]) -> Result<()> {
    for file in files {
        let data = fs::read(file).with_context(|| format!("cannot read {file}"))?;
        target.run(&data);
        println!("{file}: holds");
    }
    Ok(())
}

/// Stops at the first finding and keeps it in the corpus.
fn mutate(target: &Target, runs: &str, seed: &str) -> Result<()> {
    let number = |text: &str| text.parse::<u64>().with_context(|| format!("{text} is no number"));
    let (runs, mut mutator) = (number(runs)?, Mutator::new(number(seed)?));
    let seeds: Vec<Vec<u8>> = inputs(target)?.into_iter().map(|input| input.bytes).collect();
    for run in 0..runs {
        let data = mutator.next(&seeds);
        if let Err(finding) = hold(target, &data) {
            let file = corpus_dir(target).join(format!("found-{seed}-{run}"));
            fs::write(&file, &data)?;
            bail!(
                "{}: replay with `cargo run -p weir-fuzz -- {} {}`",
                finding.why,
                target.name,
                file.display()
            );
        }
    }
    println!("{}: {runs} mutated inputs hold", target.name);
    Ok(())
}

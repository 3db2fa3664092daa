//! Runs simulated clusters: `weir-sim one`, `many` or `plants`. The figures come
//! last on stdout, as one line of JSON; the exit code is 0 only when all holds.

use std::{
    env,
    path::absolute,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::json;
use weir_sim::{
    plant::PLANTS,
    seeds::{Tally, one},
    verdict::{Options, Verdict, judge},
};

const USAGE: &str = "usage: weir-sim one --seed N [--plant NAME] [--trace FILE] [--keep DIR] [--aloud yes]
       weir-sim many [--from N] [--seeds N] [--seconds N] [--twice N]
       weir-sim plants [--from N] [--seeds N]";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let done = Flags::parse(&args).and_then(|flags| match flags.verb.as_str() {
        "one" => run_one(&flags),
        "many" => run_many(&flags),
        "plants" => run_plants(&flags),
        _ => bail!("{USAGE}"),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

struct Flags {
    verb: String,
    seed: u64,
    from: u64,
    seeds: Option<u64>,
    seconds: Option<u64>,
    twice: u64,
    options: Options,
    plant: Option<String>,
}

impl Flags {
    fn parse(args: &[String]) -> Result<Self> {
        let (verb, rest) = args.split_first().context(USAGE)?;
        let (verb, options) = (verb.clone(), Options::default());
        let mut flags =
            Self { verb, seed: 1, from: 1, seeds: None, seconds: None, twice: 0, options, plant: None };
        for pair in rest.chunks(2) {
            let [flag, value] = pair else { bail!("flag {} has no value", pair[0]) };
            let number = || value.parse::<u64>().with_context(|| format!("{flag} {value} is no number"));
            match flag.as_str() {
                "--seed" => flags.seed = number()?,
                "--from" => flags.from = number()?,
                "--seeds" => flags.seeds = Some(number()?),
                "--seconds" => flags.seconds = Some(number()?),
                "--twice" => flags.twice = number()?,
                "--plant" => {
                    flags.options.plant = Some(value.parse()?);
                    flags.plant = Some(value.clone());
                }
                "--trace" => flags.options.trace = Some(absolute(value)?),
                "--keep" => flags.options.keep = Some(absolute(value)?),
                "--aloud" => flags.options.aloud = value == "yes",
                _ => bail!("unknown flag {flag}\n{USAGE}"),
            }
        }
        Ok(flags)
    }
}

fn run_one(flags: &Flags) -> Result<bool> {
    let verdict = judge(flags.seed, &flags.options)?;
    println!("{}", serde_json::to_string(&verdict)?);
    Ok(verdict.wrong.is_empty())
}

/// Seeds in order until there were enough or the time is over; the first ones of them twice.
fn run_many(flags: &Flags) -> Result<bool> {
    let program = env::current_exe()?;
    let (began, mut tally) = (Instant::now(), Tally::default());
    let seconds = flags.seconds.map(Duration::from_secs);
    let seeds = flags.seeds.unwrap_or(if seconds.is_some() { u64::MAX } else { 100 });
    let mut differing = Vec::new();
    for seed in (flags.from..).take(usize::try_from(seeds).unwrap_or(usize::MAX)) {
        if seconds.is_some_and(|seconds| began.elapsed() >= seconds) {
            break;
        }
        let verdict = one(&program, seed, &[]).unwrap_or_else(|error| Verdict::broken(seed, &error));
        tally.add(&verdict);
        if !verdict.wrong.is_empty() {
            eprintln!("seed {seed} does not hold:");
            verdict.wrong.iter().for_each(|wrong| eprintln!("  {wrong}"));
            eprintln!("replay: cargo run -p weir-sim -- one --seed {seed} --aloud yes");
        }
        if tally.seeds <= flags.twice {
            let again = one(&program, seed, &[]).unwrap_or_else(|error| Verdict::broken(seed, &error));
            tally.twice += 1;
            if again != verdict {
                eprintln!("seed {seed} is not the same twice: trace {} and {}", verdict.trace, again.trace);
                eprintln!("replay: cargo run -p weir-sim -- one --seed {seed} --trace FILE, twice; compare");
                differing.push(seed);
            }
        }
    }
    tally.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    println!("{}", json!({ "tally": tally, "differing": differing }));
    Ok(tally.failed.is_empty() && differing.is_empty())
}

/// Every plant must be caught within so many seeds.
fn run_plants(flags: &Flags) -> Result<bool> {
    let program = env::current_exe()?;
    let mut caught = serde_json::Map::new();
    let mut all = true;
    for (name, _) in PLANTS.iter().filter(|(name, _)| flags.plant.as_ref().is_none_or(|one| one == name)) {
        let mut at = None;
        for (number, seed) in (1..=flags.seeds.unwrap_or(20)).zip(flags.from..) {
            let args = ["--plant", name];
            let verdict = one(&program, seed, &args).unwrap_or_else(|error| Verdict::broken(seed, &error));
            if let Some(wrong) = verdict.wrong.first() {
                eprintln!("{name}: caught by seed {seed}: {}", wrong.replace('\n', " "));
                at = Some(number);
                break;
            }
        }
        if at.is_none() {
            eprintln!("{name}: not caught");
            all = false;
        }
        caught.insert((*name).to_owned(), json!(at));
    }
    println!("{}", json!({ "plants": caught }));
    Ok(all)
}

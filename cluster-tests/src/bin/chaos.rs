//! Attacks a cluster for some minutes and judges what clients saw: `chaos [FLAGS]`, or lists
//! faults and workloads: `chaos list`.
//!
//! The verdict comes last on stdout, as one line of JSON. The exit code is 0 only when all holds.

use std::{process::ExitCode, time::SystemTime};

use anyhow::Result;
use weir_cluster_tests::chaos::{
    campaign::campaign,
    delay_queue, fault,
    options::{Options, USAGE},
    workload,
};
use weir_types::planted;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args == ["list"] {
        return list();
    }
    // What a delay fault starts at a node's place.
    if let [first, base, jitter] = args.as_slice()
        && first == delay_queue::COMMAND
    {
        return serve_queue(base, jitter);
    }
    let options = match Options::parse(&args, some_seed()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error:#}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if options.planted != std::env::var(planted::VARIABLE).ok() {
        eprintln!("a bug is planted by `cargo xtask chaos --planted NAME`, which builds for it");
        return ExitCode::from(2);
    }
    match attack(&options).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("no verdict: {error:#}\nreplay: {}", options.replay());
            ExitCode::from(3)
        }
    }
}

async fn attack(options: &Options) -> Result<ExitCode> {
    let sum = campaign(options).await?;
    if options.campaign > 1 {
        println!("{}", sum.line());
    }
    Ok(if sum.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn list() -> ExitCode {
    fault::all().iter().for_each(|kind| println!("fault     {:<20} {:?}", kind.name, kind.need));
    workload::all().iter().for_each(|workload| println!("workload  {}", workload.name()));
    ExitCode::SUCCESS
}

fn serve_queue(base: &str, jitter: &str) -> ExitCode {
    let (Ok(base), Ok(jitter)) = (base.parse(), jitter.parse()) else { return ExitCode::from(2) };
    let error = delay_queue::serve(base, jitter);
    eprintln!("the queue ended: {error:#?}");
    ExitCode::FAILURE
}

/// A seed of no significance; it is printed.
fn some_seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) % 1_000_000
}

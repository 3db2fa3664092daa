//! Guarded appends to a peer of Weir, in a closed loop, reported as `weir bench append --json` reports them.
//!
//! `peers-load nats|etcd|postgres --url URL[,URL…] [--in-flight N,N] [--duration SECONDS] [--warmup SECONDS]
//! [--size BYTES] [--streams N] [--pid NAME=PID]…`

mod args;
mod etcd;
mod machine;
mod measure;
mod nats;
mod postgres;
mod tally;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::{args::Args, measure::measure};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One thread, as `weir bench` has: the client shall cost the peer as little of the machine.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse(std::env::args().skip(1))?;
    let machine = machine::facts();
    let runs: Vec<Value> = match args.peer.as_str() {
        "nats" => measure(&args, &nats::Nats::connect(&args).await?).await?,
        "etcd" => measure(&args, &etcd::Etcd::connect(&args).await?).await?,
        "postgres" => measure(&args, &postgres::Postgres::connect(&args).await?).await?,
        other => bail!("unknown peer {other}; known are nats, etcd and postgres"),
    };
    let report = json!({
        "schema": "weir-bench",
        "schemaVersion": 2,
        "operation": "append",
        "mode": args.peer,
        "load": "closed",
        "guard": "exact",
        "size": args.size,
        "eventsPerAppend": 1,
        "streams": args.streams,
        "machine": machine,
        "runs": runs,
    });
    println!("{report}");
    Ok(())
}

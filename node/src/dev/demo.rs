//! `weir demo`: the main job once, from a file to a read model, on a store that stays.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::process::Command;

use super::{DevFlags, folder::DevFolder, single};
use crate::{
    config::LogFormat,
    telemetry::{self, show},
};

/// The files that the demo works on, as they are in `docs/examples`.
const FILES: [(&str, &str); 3] = [
    ("orders.csv", include_str!("../../../docs/examples/orders.csv")),
    ("orders.toml", include_str!("../../../docs/examples/orders.toml")),
    ("customer-orders.js", include_str!("../../../docs/examples/customer-orders.js")),
];

/// What is shown, and the command that shows it.
const STEPS: [(&str, &[&str]); 5] = [
    (
        "events from a file, each guarded by its exact version; a second run would change nothing",
        &["import", "--csv", "orders.csv", "--mapping", "orders.toml"],
    ),
    ("one order's stream", &["stream", "read", "order-1001"]),
    ("a read model, folded on every node", &["projection", "deploy", "customer-orders.js"]),
    (
        "what it says of one customer, once all that was appended before is folded",
        &["projection", "get", "customer-orders", "--partition", "Ada Byron", "--linearizable"],
    ),
    ("how far it is", &["projection", "status", "customer-orders"]),
];

/// Where the demo's store is.
#[derive(Debug, Clone, Args)]
pub struct DemoFlags {
    /// The folder of everything; made when there is none.
    #[arg(long, default_value = "./weir-data", value_name = "DIR")]
    pub data: PathBuf,
}

/// Starts a store in this process, runs the steps against it as commands of
/// their own, and stops it. The data stays.
///
/// # Errors
/// When the store does not start or a step fails; the text says which.
pub async fn run(flags: DemoFlags) -> anyhow::Result<()> {
    telemetry::log_to_stderr(LogFormat::Pretty, "warn").map_err(anyhow::Error::msg)?;
    let dev = DevFlags::one_node(flags.data);
    let folder = DevFolder::open(&dev)?;
    let files = folder.path.join("demo");
    write_files(&files)?;
    let running = single::start(&folder, None).await?;
    show(format_args!("weir runs at {}, its data is in {}", folder.url(), folder.path.display()));
    let shown = show_steps(&files, &folder.url()).await;
    running.stop().await;
    shown?;
    show(format_args!("\nThe data stays. Go on with it: weir dev --data {}", folder.path.display()));
    Ok(())
}

fn write_files(dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("making the folder {}", dir.display()))?;
    for (name, text) in FILES {
        let file = dir.join(name);
        std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

async fn show_steps(files: &Path, url: &str) -> anyhow::Result<()> {
    let weir = std::env::current_exe().context("finding this program's file")?;
    for (what, arguments) in STEPS {
        show(format_args!("\n# {what}\n$ weir {}", spoken(arguments)));
        let status = Command::new(&weir)
            .args(arguments)
            .env("WEIR_SERVER", url)
            .current_dir(files)
            .kill_on_drop(true)
            .status()
            .await
            .with_context(|| format!("running weir {}", arguments[0]))?;
        if !status.success() {
            bail!("weir {} ended with {status}", spoken(arguments));
        }
    }
    Ok(())
}

/// The arguments as one would type them.
fn spoken(arguments: &[&str]) -> String {
    let quoted = arguments.iter().map(|word| match word.contains(' ') {
        true => format!("'{word}'"),
        false => (*word).to_owned(),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

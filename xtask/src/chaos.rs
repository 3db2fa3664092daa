//! Attacks a cluster of real processes: `chaos` of `cluster-tests`, with all
//! that it needs at hand.

use std::path::Path;

use anyhow::Result;

use crate::{
    command::{cargo, command, output, run as run_command, target, works},
    test, tools,
};

/// Programs of the system that give a run its networks, and the Debian package of each.
const PROGRAMS: [(&str, &str); 3] = [("ip", "iproute2"), ("iptables", "iptables"), ("nsenter", "util-linux")];

/// The command `cargo xtask chaos`: all arguments are the run's.
pub fn run(args: &[&str]) -> Result<()> {
    test::build()?;
    let planted = args.iter().skip_while(|arg| **arg != "--planted").nth(1);
    install_missing();
    let (nats_server, postgres) = (tools::nats_server()?, tools::postgres()?);
    let mut chaos = command(target().join("debug/chaos"));
    chaos.args(args).env("WEIR_NATS_SERVER", &nats_server).env("WEIR_POSTGRES_BIN", &postgres);
    chaos.env("WEIR_BIN", target().join("debug/weir"));
    if let Some(planted) = planted {
        cargo(&["build", "--package", "weir-node", "--features", "planted", "--bin", "weir-planted"])?;
        chaos.env("WEIR_PLANTED", planted).env("WEIR_BIN", target().join("debug/weir-planted"));
    }
    run_command(&mut chaos)
}

/// Root on Debian is given what it lacks. Anybody else runs with fewer faults, and is told so.
fn install_missing() {
    let missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| tools::on_path(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    let is_root = output(command("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if missing.is_empty() || !is_root || !Path::new("/usr/bin/apt-get").exists() {
        return;
    }
    eprintln!("installing {}", missing.join(", "));
    let mut install = command("apt-get");
    install.args(["install", "--yes", "--no-install-recommends"]).args(&missing);
    if !works(&mut install) {
        eprintln!("could not install {}: the run will do without network faults", missing.join(", "));
    }
}

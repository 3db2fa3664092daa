use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use futures::{FutureExt as _, StreamExt as _, future::join_all, stream::FuturesUnordered};
use tokio::{
    process::Command,
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    DevFlags, banner,
    child::Child,
    folder::{DevFolder, DevNode},
    probe,
};
use crate::{shutdown::Signals, telemetry::tell};

/// How long all nodes together may take to be ready.
const START: Duration = Duration::from_secs(30);
/// Before a node that ended is started again: longer than an election, so that one is seen.
const PAUSE: Duration = Duration::from_secs(4);
/// A node that ends sooner than this after its start is not started again.
const SHORTEST_LIFE: Duration = Duration::from_secs(3);

/// How long the others wait for the leader's end.
const LEADER_FIRST: Duration = Duration::from_millis(500);

/// Who is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Nobody,
    Node(u64),
    All,
}

impl Stop {
    fn means(self, node: &DevNode) -> bool {
        match self {
            Self::Nobody => false,
            Self::Node(id) => id == node.id,
            Self::All => true,
        }
    }
}

/// How every node is started.
struct Launch<'a> {
    program: PathBuf,
    flags: &'a DevFlags,
    folder: &'a DevFolder,
    nats: Option<String>,
}

/// Runs the nodes as children until a signal; a node that is killed is started again.
pub async fn run(
    flags: &DevFlags,
    folder: &DevFolder,
    nats: Option<String>,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("finding this program")?;
    let launch = Launch { program, flags, folder, nats };
    let (stop, stopped) = watch::channel(Stop::Nobody);
    let mut nodes: FuturesUnordered<_> =
        folder.nodes.iter().map(|node| keep(&launch, node, stopped.clone()).boxed_local()).collect();
    let ready = async {
        let all = join_all(folder.nodes.iter().map(|node| probe::ready(node.listen, START))).await;
        match all.into_iter().all(|ready| ready) {
            true => banner::welcome(folder),
            false => tell(format_args!(
                "not every node is ready after {} s; their lines above say why",
                START.as_secs()
            )),
        }
    };
    tokio::pin!(ready);
    let mut announced = false;
    loop {
        tokio::select! {
            _ = signals.next() => break,
            () = &mut ready, if !announced => announced = true,
            ended = nodes.next() => match ended {
                Some(Ok(())) => {}
                Some(Err(error)) => tell(format_args!("{error:#}")),
                None => bail!("no node is left"),
            },
        }
    }
    tell("stopping");
    let mut failed = None;
    if let Some(leader) = probe::leader(&folder.nodes).await {
        // What it has in flight needs the others. One that hangs does not keep them.
        stop.send_replace(Stop::Node(leader));
        if let Ok(Some(Err(error))) = timeout(LEADER_FIRST, nodes.next()).await {
            failed = Some(error);
        }
    }
    stop.send_replace(Stop::All);
    while let Some(ended) = nodes.next().await {
        failed = failed.or(ended.err());
    }
    failed.map_or(Ok(()), Err)
}

/// Keeps one node running until told to stop.
async fn keep(launch: &Launch<'_>, node: &DevNode, mut stopped: watch::Receiver<Stop>) -> anyhow::Result<()> {
    loop {
        let began = Instant::now();
        let mut child = Child::spawn(&format!("node-{}", node.id), launch.command(node))?;
        let status = tokio::select! {
            status = child.ended() => status?,
            _ = stopped.wait_for(|stop| stop.means(node)) => {
                child.stop_with_parent().await;
                return Ok(());
            }
        };
        if began.elapsed() < SHORTEST_LIFE {
            bail!("node-{} ended with {status} right after its start and is left so", node.id);
        }
        tell(format_args!("node-{} ended with {status}; it is started again", node.id));
        tokio::select! {
            () = sleep(PAUSE) => {}
            _ = stopped.wait_for(|stop| stop.means(node)) => return Ok(()),
        }
    }
}

impl Launch<'_> {
    fn command(&self, node: &DevNode) -> Command {
        let mut command = Command::new(&self.program);
        // The children are told everything by flags; a stray WEIR_* variable must not reach them.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WEIR_") {
                command.env_remove(name);
            }
        }
        // The nodes share this machine: more threads than it has cores for them only cost wake-ups.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (cores / self.folder.nodes.len()).max(1);
        command.env("TOKIO_WORKER_THREADS", threads.to_string());
        command.arg("node").arg("--exit-with-parent").arg("--bootstrap");
        command.args(["--node-id", &node.id.to_string()]);
        command.args(["--cluster-id", &self.folder.cluster.to_string()]);
        command.arg("--data-dir").arg(self.folder.node_dir(node.id));
        command.args(["--listen", &node.listen.to_string(), "--peer-listen", &node.peer_listen.to_string()]);
        for member in self.folder.members() {
            command.args(["--peer", &member.to_string()]);
        }
        if let Some(url) = &self.nats {
            command.args(["--nats", url]);
        }
        let format = match self.flags.log_format {
            crate::config::LogFormat::Pretty => "pretty",
            crate::config::LogFormat::Json => "json",
        };
        command.args(["--log-format", format, "--log-filter", &self.flags.log_filter]);
        command
    }
}

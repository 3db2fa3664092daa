use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_types::NodeId;

use super::{DevFlags, ports};
use crate::config::Member;

/// The file that a dev folder begins with.
const FILE: &str = "dev.json";
/// The only form of it that this build reads.
const VERSION: u32 = 1;

/// A folder of `weir dev`: which cluster lives in it, and at which ports. Both
/// are in the replicated membership, so a restart must have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevFolder {
    /// Where it is.
    pub path: PathBuf,
    /// The cluster's id.
    pub cluster: Uuid,
    /// The nodes.
    pub nodes: Vec<DevNode>,
}

/// One node's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevNode {
    /// Its id.
    pub id: u64,
    /// Where it answers clients.
    pub listen: SocketAddr,
    /// Where it answers peers.
    pub peer_listen: SocketAddr,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    cluster: Uuid,
    nodes: Vec<DevNode>,
}

impl DevNode {
    /// The node as a member.
    pub fn member(&self) -> Member {
        Member {
            node: NodeId(self.id),
            peer: self.peer_listen.to_string(),
            edge: format!("http://{}", self.listen),
        }
    }
}

impl DevFolder {
    /// Opens the folder, or makes one with a new cluster id and free ports.
    ///
    /// # Errors
    /// When it holds another number of nodes, or other ports than `--listen` asks for.
    pub fn open(flags: &DevFlags) -> anyhow::Result<Self> {
        let path = std::path::absolute(&flags.data).context("resolving the data folder")?;
        let file = path.join(FILE);
        match fs::read(&file) {
            Ok(bytes) => Self::reopen(path, &bytes, flags),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::create(path, flags),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
        }
    }

    fn create(path: PathBuf, flags: &DevFlags) -> anyhow::Result<Self> {
        let nodes = ports::choose(flags.nodes, flags.listen, flags.port_step)?;
        let stored = Stored { version: VERSION, cluster: Uuid::new_v4(), nodes };
        fs::create_dir_all(&path).with_context(|| format!("making the folder {}", path.display()))?;
        let text = serde_json::to_vec_pretty(&stored).context("encoding the dev file")?;
        replace(&path, &text).with_context(|| format!("writing {FILE} in {}", path.display()))?;
        Ok(Self { path, cluster: stored.cluster, nodes: stored.nodes })
    }

    fn reopen(path: PathBuf, bytes: &[u8], flags: &DevFlags) -> anyhow::Result<Self> {
        let stored: Stored = serde_json::from_slice(bytes)
            .with_context(|| format!("{FILE} in {} is not readable by this weir", path.display()))?;
        let folder = path.display();
        if stored.version != VERSION {
            bail!("{FILE} in {folder} has version {}; this weir reads {VERSION}", stored.version);
        }
        let held = stored.nodes.len() as u64;
        if held != flags.nodes {
            bail!(
                "{folder} holds a cluster of {held} node(s): run with `--nodes {held}`, or name another folder with --data"
            );
        }
        if let Some(listen) = flags.listen
            && stored.nodes[0].listen != listen
        {
            let at = stored.nodes[0].listen;
            bail!(
                "{folder} holds a cluster that listens at {at}: leave out --listen, or name another folder with --data"
            );
        }
        Ok(Self { path, cluster: stored.cluster, nodes: stored.nodes })
    }

    /// The first node's address, as a client calls it.
    pub fn url(&self) -> String {
        format!("http://{}", self.nodes[0].listen)
    }

    /// The data folder of one node.
    pub fn node_dir(&self, id: u64) -> PathBuf {
        self.path.join(format!("node-{id}"))
    }

    /// The data folder of the nats-server.
    pub fn nats_dir(&self) -> PathBuf {
        self.path.join("nats")
    }

    /// All nodes as members.
    pub fn members(&self) -> Vec<Member> {
        self.nodes.iter().map(DevNode::member).collect()
    }
}

/// Writes the file whole or not at all: a crash leaves the folder without one, never with half of one.
fn replace(folder: &Path, text: &[u8]) -> std::io::Result<()> {
    let new = folder.join("dev.json.new");
    fs::write(&new, text)?;
    fs::File::open(&new)?.sync_all()?;
    fs::rename(&new, folder.join(FILE))?;
    fs::File::open(folder)?.sync_all()
}
